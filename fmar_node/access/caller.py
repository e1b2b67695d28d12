"""Who is asking: a credential resolved, in this one place, to an organisation with roles, areas, state, and what it was granted.

Rules kept here: what a caller may do follows from the register as it is now, never from claims in a token; an
organisation that is not active has no roles to write with, one that is withdrawn or pending none at all; who acts on
behalf of another has the rights of that one and, of these, what was granted, and nothing of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum

from fmar_node.record import Actor, uuid_of
from fmar_node.vocabulary import Document


class Role(StrEnum):
    """What an organisation is in the market."""

    OPERATOR = "operator"
    FSP = "fsp"
    DSO = "dso"
    NESO = "neso"
    REGULATOR = "regulator"
    FACILITATOR = "market facilitator"
    PLATFORM = "platform"
    INSTALLER = "installer"
    SUPPLIER = "supplier"
    OWNER = "asset owner"
    OEM = "technology provider"


ROLE_OF_CODE = {
    "FMAR_OPERATOR": Role.OPERATOR,
    "FSP": Role.FSP,
    "AGGREGATOR": Role.FSP,
    "DNO": Role.DSO,
    "SYSTEM_OPERATOR": Role.NESO,
    "REGULATOR": Role.REGULATOR,
    "MARKET_FACILITATOR": Role.FACILITATOR,
    "PLATFORM": Role.PLATFORM,
    "INSTALLER": Role.INSTALLER,
    "SUPPLIER": Role.SUPPLIER,
    "ASSET_OWNER": Role.OWNER,
    "TECHNOLOGY_PROVIDER": Role.OEM,
}
ADMITTED = frozenset({"ACTIVE", "SUSPENDED"})
WITHOUT_RIGHTS = "WITHDRAWN"


class UserRole(StrEnum):
    """What a person may do of what its organisation may; each role has the rights of those after it."""

    ADMINISTRATOR = "ADMINISTRATOR"
    EDITOR = "EDITOR"
    READER = "READER"

    def includes(self, other: UserRole) -> bool:
        ranks = tuple(UserRole)
        return ranks.index(self) <= ranks.index(other)


class Permission(StrEnum):
    """What one organisation may grant another: the codes of the list Permission."""

    READ = "READ"
    READ_PERSONAL = "READ_PERSONAL"
    REGISTER = "REGISTER"
    UPDATE = "UPDATE"
    DEREGISTER = "DEREGISTER"
    SWITCH = "SWITCH"
    PASSPORT = "PASSPORT"
    CONTACTS = "CONTACTS"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a delegation in force gives: on which assets (None: on all that the grantor manages)."""

    permissions: frozenset[Permission]
    assets: frozenset[str] | None = None

    def covers(self, asset: str) -> bool:
        return self.assets is None or asset in self.assets


ON_PASSPORTS = frozenset({Permission.PASSPORT, Permission.CONTACTS})


Grants = Mapping[str, tuple[Grant, ...]]
"""By the organisation that has granted them, as bare UUID."""


@dataclass(frozen=True, slots=True)
class Applicant:
    """A person who has proved who it is, and has no organisation here yet: `identity` is "issuer|subject"."""

    identity: str
    email: str


@dataclass(frozen=True, slots=True)
class Caller:
    """An organisation, through an application or a person. `organisation` is a bare UUID; empty when anonymous.

    `actor` is the organisation that acts on behalf of this one (RFC 8693), `user` the record of the person that has signed in;
    both empty where there is none.
    """

    organisation: str = ""
    application: str = ""
    key_id: str = ""
    roles: frozenset[Role] = frozenset()
    areas: frozenset[str] = frozenset()
    state: str = ""
    actor: str = ""
    user: str = ""
    issuer: str = ""
    """Of an external issuer's credential, whose word it is that this is the organisation; a `key_id` it has none then."""
    user_role: UserRole | None = None
    grants: Grants = field(default_factory=dict, hash=False)
    """What others have granted to this organisation; where another one acts, what this organisation has granted to that one."""
    since: int = field(default=-1, compare=False)
    """The journal entry since which it has had these rights: no older graph is shown to it."""
    applicant: Applicant | None = None
    """The person that applies for an organisation of its own; then there is no organisation."""
    is_node: bool = False
    """The node itself, which enters what follows from the clock, a sign-in or an external answer; no request makes one."""

    @property
    def is_anonymous(self) -> bool:
        return not (self.organisation or self.applicant or self.is_node)

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
    def party(self) -> str:
        """Whose doing it is: of two organisations that act together the one that does it, or the person that applies."""
        return self.actor or self.organisation or (self.applicant.identity if self.applicant else "")

    @property
    def sender(self) -> str:
        """Whose idempotency keys count: of two organisations that act together, of both together."""
        return f"{self.actor} {self.organisation}" if self.actor else self.party

    @property
    def author(self) -> Actor:
        """Who the journal says it was."""
        return Actor(self.organisation, self.application, self.key_id, self.actor, self.user, self.issuer)

    def has(self, *roles: Role) -> bool:
        return not self.roles.isdisjoint(roles)

    def granted(self, grantor: str, asset: str | None = None) -> frozenset[Permission]:
        """What the grantor has granted for an asset; for what does not exist yet (None), what holds for all assets."""
        grants = self.grants.get(grantor, ())
        return frozenset().union(*(each.permissions for each in grants if each.assets is None or (asset is not None and each.covers(asset))))


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


def applying(applicant: Applicant) -> Caller:
    """The caller that an applicant is: it has no rights but those of its application."""
    return Caller(application="applicant", state="ACTIVE", applicant=applicant)


def node_itself(part: str = "node") -> Caller:
    """The caller of what the node enters by itself; `part` says on what ground: the clock, a sign-in, a source's answer."""
    return Caller(application=part, state="ACTIVE", is_node=True)


def roles_of(codes: Iterable[str]) -> frozenset[Role]:
    return frozenset(ROLE_OF_CODE[code] for code in codes if code in ROLE_OF_CODE)


def grant_of(delegation: Document) -> Grant:
    """What a delegation gives while it is in force."""
    named = frozenset(uuid_of(iri) for iri in delegation.get("delegatedAsset", ()))
    permissions = frozenset(Permission(code) for code in delegation["permission"])
    return Grant(permissions, None if delegation.get("assetScope", "ALL_ASSETS") == "ALL_ASSETS" else named)


def as_held_by(holder: Caller, grant: Grant) -> Grant:
    """What a grant gives its holder: permissions on assets to a platform or an installer, for as long as it is one."""
    is_one = holder.has(Role.PLATFORM, Role.INSTALLER)
    return grant if is_one else replace(grant, permissions=grant.permissions & ON_PASSPORTS)


def is_in_force(delegation: Document, today: date) -> bool:
    """Whether a delegation gives anything on a day: half-open, as all intervals here."""
    day = today.isoformat()
    return bool(delegation["delegationStatus"] == "ACTIVE" and delegation.get("validFrom", "") <= day < delegation["validTo"])


def is_same_window(before: Mapping[str, Caller], after: Caller) -> bool:
    """Whether a change of its own record leaves an organisation's rights to others' records as they were."""
    old = before.get(after.organisation)
    return old is not None and has_same_rights(old, after)


def has_same_rights(one: Caller, other: Caller) -> bool:
    """Whether two states of an organisation open the same of others' records to it."""
    same = (one.roles, one.areas, one.grants) == (other.roles, other.areas, other.grants)
    return same and (one.state in ADMITTED) == (other.state in ADMITTED)
