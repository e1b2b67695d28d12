"""Who is asking: a credential resolved, in this one place, to an organisation with roles, areas and state.

Rules kept here: what a caller may do follows from the register as it is now, never from claims in a token;
an organisation that is not active has no roles to write with, one that is withdrawn or pending none at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from fmar_node.record import Actor
from fmar_node.vocabulary import Document


class Role(StrEnum):
    """What an organisation is in the market, as far as rights depend on it."""

    OPERATOR = "operator"
    FSP = "fsp"
    DSO = "dso"
    NESO = "neso"
    REGULATOR = "regulator"
    PLATFORM = "platform"
    INSTALLER = "installer"


ROLE_OF_CODE = {
    "FMAR_OPERATOR": Role.OPERATOR,
    "FSP": Role.FSP,
    "AGGREGATOR": Role.FSP,
    "DNO": Role.DSO,
    "SYSTEM_OPERATOR": Role.NESO,
    "REGULATOR": Role.REGULATOR,
    "MARKET_FACILITATOR": Role.REGULATOR,
    "PLATFORM": Role.PLATFORM,
    "INSTALLER": Role.INSTALLER,
}
ADMITTED = frozenset({"ACTIVE", "SUSPENDED"})


@dataclass(frozen=True, slots=True)
class Caller:
    """An organisation, through an application. `organisation` is a bare UUID; empty when anonymous."""

    organisation: str = ""
    application: str = ""
    key_id: str = ""
    roles: frozenset[Role] = frozenset()
    areas: frozenset[str] = frozenset()
    state: str = ""

    @property
    def is_anonymous(self) -> bool:
        return not self.organisation

    @property
    def is_node(self) -> bool:
        """The node itself, through a part of it: no credential makes a caller that has an application and no organisation."""
        return not self.organisation and bool(self.application)

    @property
    def is_active(self) -> bool:
        """Suspension blocks writes, not reading (UC-01.03)."""
        return self.state == "ACTIVE"

    @property
    def view(self) -> str:
        """The name of the graph that this caller looks into: its own, the operator's, or the public one."""
        if Role.OPERATOR in self.roles:
            return "operator"
        return self.organisation or "public"

    @property
    def actor(self) -> Actor:
        return Actor(self.organisation, self.application, self.key_id)

    def has(self, *roles: Role) -> bool:
        return not self.roles.isdisjoint(roles)


ANONYMOUS = Caller()


def caller_of(organisation: Document, application: str = "", key_id: str = "") -> Caller:
    """The caller that an organisation's document makes of its application's credential."""
    state = organisation.get("organisationStatus", "")
    admitted = state in ADMITTED
    return Caller(
        organisation=organisation["id"].rsplit("/", 1)[-1],
        application=application,
        key_id=key_id,
        roles=roles_of(organisation.get("organisationRoles", ())) if admitted else frozenset(),
        areas=frozenset(organisation.get("licenceArea", ())) if admitted else frozenset(),
        state=state,
    )


def roles_of(codes: Iterable[str]) -> frozenset[Role]:
    return frozenset(ROLE_OF_CODE[code] for code in codes if code in ROLE_OF_CODE)


def is_same_window(before: Mapping[str, Caller], after: Caller) -> bool:
    """Whether a change of its own record leaves an organisation's rights to others' records as they were."""
    old = before.get(after.organisation)
    reading = old is not None and (old.roles, old.areas) == (after.roles, after.areas)
    return reading and old is not None and (old.state in ADMITTED) == (after.state in ADMITTED)
