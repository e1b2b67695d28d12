"""What the register makes of whoever asks, now: the organisation's roles, its person's role, and what others have granted it.

Rules kept here: both organisations of a grant are active, or it gives nothing; an organisation that acts for another has
the least of both states; a person whose account is not active, or is another organisation's, has no rights at all; a
caller is as new as the last entry that changed its rights, so that no older graph is ever shown to it.
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
    caller_of,
    grant_of,
    has_same_rights,
    is_in_force,
)
from fmar_node.journal.register import Register
from fmar_node.record import Version, uuid_of


def caller_in(register: Register, known: Caller, today: date) -> Caller:
    """The caller as the register has it now; of `known` only the names count. Anonymous where the register knows no such one."""
    if known.applicant:
        return applying(known.applicant)
    if known.is_anonymous or known.is_node:
        return known
    organisation = register.current("organisations", known.organisation)
    if organisation is None:
        return ANONYMOUS
    caller = caller_of(organisation.document, known.application, known.key_id)
    if known.actor:
        return _acting(register, caller, known.actor, today)
    caller = replace(caller, since=max(_rights_since(register, organisation), register.granting_moved(caller.organisation)))
    caller = replace(caller, grants=granted_to(register, caller, today))
    return _as_user(register, caller, known.user) if known.user else caller


def granted_to(register: Register, caller: Caller, today: date) -> Grants:
    """What others have granted to an organisation that is active."""
    if not caller.is_active:
        return {}
    found = ((uuid_of(each.document["grantor"]), each) for each in register.granted_to(caller.organisation))
    return _gathered((grantor, grant_of(each.document)) for grantor, each in found if is_in_force(each.document, today))


def _acting(register: Register, subject: Caller, actor: str, today: date) -> Caller:
    """The subject as the actor may act for it: nothing at all unless both are active."""
    found = register.current("organisations", actor)
    by = caller_of(found.document) if found else ANONYMOUS
    if not (by.is_active and subject.is_active):
        return replace(subject, actor=actor, roles=frozenset(), areas=frozenset(), state=WITHOUT_RIGHTS)
    grants = granted_to(register, by, today)
    return replace(subject, actor=actor, grants={subject.organisation: grants.get(subject.organisation, ())})


def _as_user(register: Register, caller: Caller, user: str) -> Caller:
    found = register.current("users", user)
    is_one = found is not None and found.state == "ACTIVE" and uuid_of(found.document["userOf"]) == caller.organisation
    if found is None or not is_one:
        return replace(caller, user=user, roles=frozenset(), areas=frozenset(), grants={}, state=WITHOUT_RIGHTS)
    return replace(caller, user=user, user_role=UserRole(found.document["userRole"]))


def _rights_since(register: Register, newest: Version) -> int:
    """The entry that gave an organisation the roles, areas and state that it has."""
    now, since = caller_of(newest.document), newest
    while (before := register.previous(since)) and has_same_rights(caller_of(before.document), now) and before.state == newest.state:
        since = before
    return since.index


def _gathered(found: Iterable[tuple[str, Grant]]) -> Grants:
    grants: dict[str, tuple[Grant, ...]] = defaultdict(tuple)
    for grantor, grant in found:
        grants[grantor] += (grant,)
    return dict(grants)
