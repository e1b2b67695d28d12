"""What the register makes of whoever asks, now: the organisation's roles, its person's role, and what others have granted it.

Rules kept here: both organisations of a grant are active, or it gives nothing; an organisation that acts for another has
the least of both states; a person whose account is not active, or is another organisation's, has no rights at all; a
caller is as new as the last entry that changed its rights, so that no older graph is ever shown to it; what is remembered
of a caller is forgotten with the first entry that may concern it, and with the day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from fmar_node.access.caller import (
    ANONYMOUS,
    WITHOUT_RIGHTS,
    Caller,
    Grant,
    Grants,
    UserRole,
    applying,
    as_held_by,
    caller_of,
    grant_of,
    is_in_force,
)
from fmar_node.clock import Clock, today
from fmar_node.journal.register import Register
from fmar_node.record import uuid_of

RIGHTS = ("organisationRoles", "licenceArea", "organisationStatus")
"""The terms of an organisation from which its rights follow."""
MOST = 10_000
"""Callers that are remembered at once."""


class Standings:
    """Callers as the register has them now. What is worked out is kept until an entry or a new day may have changed it:
    that assets are registered, or that others are granted something, makes nobody else's request dearer.
    """

    def __init__(self, register: Register, clock: Clock) -> None:
        self.register, self.clock = register, clock
        self.found: dict[tuple[str, ...], Caller] = {}
        self.size, self.day = -1, date.min

    def of(self, known: Caller) -> Caller:
        """The caller of whom `known` gives the names."""
        if not known.organisation:
            return caller_in(self.register, known, today(self.clock))
        return self.named(known.organisation, known.application, known.key_id, known.actor, known.user, known.issuer)

    def named(self, organisation: str, application: str = "", key_id: str = "", actor: str = "", user: str = "", issuer: str = "") -> Caller:
        """The caller of these names."""
        self._forget()
        names = (organisation, actor, user, application, key_id, issuer)
        if (caller := self.found.get(names)) is None:
            caller = caller_in(self.register, Caller(organisation, application, key_id, actor=actor, user=user, issuer=issuer), self.day)
            if caller.organisation:
                self.found[names] = caller
        return caller

    def mandate(self, grantor: str, delegate: str) -> bool:
        """Whether an organisation has granted another anything that is in force."""
        return bool(self.named(grantor, actor=delegate).grants.get(grantor))

    def _forget(self) -> None:
        """What may not be so any more. The size is read first: what is entered meanwhile is looked at the next time."""
        size, day = self.register.size(), today(self.clock)
        if day != self.day or len(self.found) > MOST:
            self.found.clear()
        elif size != self.size and self.found and (moved := self.register.moved_by(self.size)):
            self.found = {names: caller for names, caller in self.found.items() if moved.isdisjoint(names[:3])}
        self.size, self.day = size, day


class Present:
    """Callers in one transaction and on one day: what is entered in it counts for what comes after it.

    `Standings` reads what has been committed; it would keep what a transaction had in it that was then taken back.
    """

    def __init__(self, register: Register, day: date) -> None:
        self.register, self.day = register, day
        self.found: dict[Caller, Caller] = {}

    def of(self, known: Caller) -> Caller:
        """The caller of whom `known` gives the names."""
        if (caller := self.found.get(known)) is None:
            caller = self.found[known] = caller_in(self.register, known, self.day)
        return caller

    def after(self, kind: str) -> None:
        """Something of a kind was entered, or was taken back: only of an asset follows nothing for anybody's rights."""
        if kind != "assets":
            self.found.clear()


def caller_in(register: Register, known: Caller, today: date) -> Caller:
    """The caller as the register has it now; of `known` only the names count. Anonymous where the register knows no such one."""
    if known.applicant:
        return applying(known.applicant)
    if known.is_anonymous or known.is_node:
        return known
    organisation = register.current("organisations", known.organisation)
    if organisation is None:
        return ANONYMOUS
    caller = replace(caller_of(organisation.document, known.application, known.key_id), issuer=known.issuer)
    if known.actor:
        return _acting(register, caller, known.actor, today)
    caller = replace(caller, since=max(register.alike_since(organisation, *RIGHTS), register.granting_moved(caller.organisation)))
    caller = replace(caller, grants=granted_to(register, caller, today))
    return _as_user(register, caller, known.user) if known.user else caller


def granted_to(register: Register, caller: Caller, today: date, grantor: str = "") -> Grants:
    """What others, or one of them, have granted to an organisation that is active."""
    if not caller.is_active:
        return {}
    found = ((uuid_of(each.document["grantor"]), each) for each in register.granted_to(caller.organisation, grantor))
    return _gathered((grantor, as_held_by(caller, grant_of(each.document))) for grantor, each in found if is_in_force(each.document, today))


def _acting(register: Register, subject: Caller, actor: str, today: date) -> Caller:
    """The subject as the actor may act for it: nothing at all unless both are active."""
    found = register.current("organisations", actor)
    by = caller_of(found.document) if found else ANONYMOUS
    if not (by.is_active and subject.is_active):
        return replace(subject, actor=actor, roles=frozenset(), areas=frozenset(), state=WITHOUT_RIGHTS)
    grants = granted_to(register, by, today, subject.organisation)
    return replace(subject, actor=actor, grants={subject.organisation: grants.get(subject.organisation, ())})


def _as_user(register: Register, caller: Caller, user: str) -> Caller:
    found = register.current("users", user)
    is_one = found is not None and found.state == "ACTIVE" and uuid_of(found.document["userOf"]) == caller.organisation
    if found is None or not is_one:
        return replace(caller, user=user, roles=frozenset(), areas=frozenset(), grants={}, state=WITHOUT_RIGHTS)
    return replace(caller, user=user, user_role=UserRole(found.document["userRole"]))


def _gathered(found: Iterable[tuple[str, Grant]]) -> Grants:
    grants: dict[str, tuple[Grant, ...]] = defaultdict(tuple)
    for grantor, grant in found:
        grants[grantor] += (grant,)
    return dict(grants)
