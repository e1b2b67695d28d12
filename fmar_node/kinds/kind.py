"""What a kind of record is: its actions, who may take them, in which states, by which rules.

Each kind is one declarative file beside this one. Rules kept here: default deny (an action without a policy that permits
is refused), and what forbids comes before what permits; policies are data, and `decide` is the one pure function over
them, so that every combination can be worked out; every policy and rule has a code that errors and tests quote; a rule
is a pure function of the `Situation`, which reads the journal's own tables inside its transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

from fmar_node.access.caller import Caller, Permission, Role, UserRole
from fmar_node.access.reveal import CONSENTED, Relation, parties, standings
from fmar_node.errors import Fault
from fmar_node.kinds.inquiry import Inquiry
from fmar_node.record import Version
from fmar_node.settings import Settings
from fmar_node.sources.consent import Consent, ConsentQuestion
from fmar_node.vocabulary import Document, Vocabulary


@dataclass(frozen=True, slots=True)
class Claim:
    """A value that only one live record may have within a scope, e.g. a friendly code within an organisation."""

    scope: str
    value: str


class Register(Protocol):
    """What rules may ask of the register: the journal's current state."""

    def current(self, kind: str, id_: str) -> Version | None:
        """The newest version of a record."""
        ...

    def holder(self, claim: Claim) -> str | None:
        """The id of the record that holds a claim."""
        ...

    def found(self, scheme: str, value: str) -> list[str]:
        """The ids of the records that carry an identifier."""
        ...

    def live_assets(self, organisation: str) -> int:
        """How many assets that are not de-registered an organisation manages or owns."""
        ...

    def belonging(self, kind: str, organisation: str, states: Sequence[str]) -> list[Version]:
        """The records of a kind, in one of these states, that are an organisation's, or that it has granted or was granted."""
        ...


@dataclass(frozen=True, slots=True)
class House:
    """What the node itself, beside its register, brings to a decision."""

    sources: frozenset[str] = frozenset()
    """The external sources that it asks, as codes of EvidenceKind."""
    most_queries: int = 50
    """Saved queries that one organisation may have published at once."""
    most_subscriptions: int = 20
    """Subscriptions that one organisation may have at once."""
    actions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Every kind of record, and the actions of its records."""
    has_file: Callable[[str], bool] = lambda _: False
    """Whether a saved query of that name is a file of the node, or of its operator."""
    validation_seconds: float = 1_209_600.0
    """How long an asset may wait for the answers of sources."""
    asset_query_seconds: float = 1_209_600.0
    """How long a provider may take to answer a query of an asset."""
    has_consents: bool = False
    """Whether it trusts a consent solution at all."""
    needs_authorisation: bool = False
    """Whether an asset of another organisation than the provider needs that owner's authorisation."""
    switch_notice_days: int = 14
    """How long before the day of a switch the provider that is responsible learns of it."""
    switch_days_most: int = 365
    """How far off the day of a switch may be."""


BARE = House()


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a policy or a rule may look at."""

    caller: Caller
    register: Register
    today: date
    document: Document
    previous: Version | None = None
    now: str = ""
    """The instant of recording, an xsd:dateTime."""
    note: Document = field(default_factory=dict)
    """The small document of a named action."""
    house: House = BARE
    offer: str = ""
    """The code that is offered to an action which hands one out."""
    consent: Consent | None = None
    """What a consent solution has said of the proof that came with the action; none where none came."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A yes or no with its reason."""

    permitted: bool
    policy: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """A named permission: organisations of one of these roles that stand in one of these relations to the record.

    None given means any. The reason is shown to those who may not.
    """

    code: str
    reason: str
    roles: frozenset[Role] = frozenset()
    relations: frozenset[Relation] = frozenset()
    applicants: bool = False
    """Only persons that apply for an organisation."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything about a caller that decides what it may do to a record.

    `permissions` are what was granted to the organisation that acts for it, None where it acts for itself; `user_role` is
    that of the person that has signed in, None for an application.
    """

    roles: frozenset[Role] = frozenset()
    relations: frozenset[Relation] = frozenset()
    is_active: bool = True
    permissions: frozenset[Permission] | None = None
    user_role: UserRole | None = None
    is_node: bool = False
    is_applicant: bool = False


NODE_ONLY = "NODE-1"
USER_ROLE = "USER-ROLE-1"
NEVER_DELEGATED, NOT_GRANTED = "DELEGATION-SCOPE-1", "DELEGATION-SCOPE-2"
APPLICANT = "APPLICANT-1"
FORMER_PROVIDER = "FORMER-PROVIDER-1"
UNSEEN = "UNSEEN-1"
CONSENT_ENDED = "CONSENT-ENDED-1"
FORBIDDING: Mapping[str, str] = {
    NODE_ONLY: "only the node itself does this, when the time or another's answer has come",
    USER_ROLE: "your role in your organisation does not allow this; its administrators can do it",
    NEVER_DELEGATED: "this cannot be done on behalf of another organisation",
    APPLICANT: "who applies for an organisation does nothing else until it has been approved",
    FORMER_PROVIDER: "your time with this record has ended; you keep it as it was then, and whoever is responsible for it now changes it",
    CONSENT_ENDED: "the consent that you had for this asset has ended; offer a new one first (POST .../consent-renewal)",
    UNSEEN: "what you do not see of a record you do not change: leave those terms as they are",
    NOT_GRANTED: "the organisation on whose behalf this was sent has not granted this",
}
"""The policies that hold for every action and forbid, before any other is looked at."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over the state of the register: `faults` has everything that is wrong, under one of `codes`."""

    faults: Callable[[Situation], Iterable[Fault]]
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Consequence:
    """A further entry that an action brings about: an action of another record, with its note, in the same transaction."""

    kind: str
    id: str
    action: str
    note: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Matter:
    """What somebody has to act on; `kinds/matter.py` makes notices of it."""

    party: str
    """The IRI of the organisation that has to act, or FMAR_OPERATOR."""
    type: str
    """A code of NoticeType."""
    subject: str
    """The IRI of the record that it is about."""
    text: str = ""
    fields: tuple[str, ...] = ()
    """The names of terms of the subject, never their values."""
    sources: tuple[str, ...] = ()
    """The sources that differ or are silent, as codes of EvidenceKind."""
    due_by: str = ""
    """An xsd:dateTime; empty where there is no hurry."""


def nothing_further(_: Situation) -> Iterable[Consequence]:
    return ()


def no_question(_: Situation) -> ConsentQuestion | None:
    return None


def becomes(term: str, value: str) -> Callable[[Situation], Document]:
    """What an action makes of a record where one term, such as its status, gets that value, and all else stays."""
    return lambda situation: {**situation.document, term: value}


@dataclass(frozen=True, slots=True)
class Action:
    """Something that may happen to a record. `states` are those it may happen in (none: it makes the record)."""

    name: str
    use_cases: tuple[str, ...]
    policies: tuple[Policy, ...]
    rules: tuple[Rule, ...] = ()
    states: frozenset[str] = frozenset()
    state_rule: str = ""
    apply: Callable[[Situation], Document] = lambda situation: situation.document
    consequences: Callable[[Situation], Iterable[Consequence]] = nothing_further
    note_terms: frozenset[str] = frozenset()
    """The terms of the small document that the action takes (named actions only)."""
    note_class: str = ""
    """The class that the small document is read as, where it is not the record's own."""
    takes_document: bool = False
    permission: Permission | None = None
    """What has to be granted to who does it on behalf of another; None: nobody may."""
    user_role: UserRole = UserRole.ADMINISTRATOR
    """The least role of a person that does it for its organisation."""
    names_version: Callable[[Document], bool] = lambda _: False
    """Of which records a named action says which version it is about (If-Match), as every update does."""
    is_open_to_applicants: bool = False
    """Whether a person that has no organisation yet may take it, as far as a policy permits."""
    is_nodes_own: bool = False
    """Whether only the node itself does it; no request may."""
    authority: Callable[[Situation], bool] | None = None
    """By which an organisation of the right role takes the action that need not see the record; who has none is told that there is no record."""
    draws_code: bool = False
    """Whether it hands out a code: drawn outside, offered to `apply`, told once."""
    consent: Callable[[Situation], ConsentQuestion | None] = no_question
    """What a proof of consent that comes with the action has to answer (`proof` is empty where none came); None where it takes none."""

    def is_open_in(self, state: str | None) -> bool:
        """Whether a record in that state takes the action; None where there is no record yet."""
        return state in (self.states or {None})

    def verdict(self, situation: Situation) -> Verdict:
        """Whether the caller may take the action, and by which policy."""
        return decide(self, standing(situation))


def by_node(code: str) -> tuple[Policy, ...]:
    """The policies of an action that only the node itself takes."""
    return (Policy(code, FORBIDDING[NODE_ONLY]),)


def standing(situation: Situation) -> Standing:
    """How the caller stands to the record of a situation."""
    caller, previous = situation.caller, situation.previous
    permissions = None
    if caller.actor:
        asset = previous.id if previous else None
        granting = parties(previous.document)[:1] if previous else (caller.organisation,)
        permissions = caller.granted(caller.organisation, asset) if caller.organisation in granting else frozenset()
    relations = frozenset(standings(previous.document, caller)) if previous else frozenset()
    return Standing(caller.roles, relations, caller.is_active, permissions, caller.user_role, caller.is_node, caller.applicant is not None)


def decide(action: Action, standing: Standing) -> Verdict:
    """The policy matrix: what forbids first, then the first policy that permits, otherwise the refusal of the last one, or the want of a consent."""
    if action.is_nodes_own or standing.is_node:
        both = action.is_nodes_own and standing.is_node
        return Verdict(both, NODE_ONLY, "" if both else FORBIDDING[NODE_ONLY])
    if (forbidden := _forbidden(action, standing)) is not None:
        return Verdict(False, forbidden, FORBIDDING[forbidden])
    for policy in action.policies if standing.is_active else ():
        if _permits(policy, standing):
            return Verdict(True, policy.code)
    if Relation.WITHOUT_CONSENT in standing.relations and any(_permits(policy, _consented(standing)) for policy in action.policies):
        return Verdict(False, CONSENT_ENDED, FORBIDDING[CONSENT_ENDED])
    refused = action.policies[-1]
    return Verdict(False, refused.code, refused.reason)


def _consented(standing: Standing) -> Standing:
    """How who has lost a consent would stand to the record with another one."""
    return replace(standing, relations=standing.relations - {Relation.WITHOUT_CONSENT} | CONSENTED)


def _forbidden(action: Action, standing: Standing) -> str | None:
    if standing.is_applicant and not action.is_open_to_applicants:
        return APPLICANT
    if standing.permissions is not None:
        if action.permission is None:
            return NEVER_DELEGATED
        if action.permission not in standing.permissions:
            return NOT_GRANTED
    if standing.user_role is not None and not standing.user_role.includes(action.user_role):
        return USER_ROLE
    return None


def _permits(policy: Policy, standing: Standing) -> bool:
    if policy.applicants and not standing.is_applicant:
        return False
    has_role = not policy.roles or not policy.roles.isdisjoint(standing.roles)
    return has_role and (not policy.relations or not policy.relations.isdisjoint(standing.relations))


def earliest(*awaited: tuple[str, str] | None) -> tuple[str, str] | None:
    """What happens first of several things that a record awaits."""
    return min((each for each in awaited if each), default=None)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record. `plural` is its room in every URL, `class_name` its class in the ontology."""

    name: str
    plural: str
    class_name: str
    actions: Mapping[str, Action]
    defaults: Callable[[Document, date], dict[str, object]] = lambda _, __: {}
    """What is filled where a document is silent."""
    plain_checks: Callable[[Document, Vocabulary, Settings], list[Fault]] = lambda _, __, ___: []
    """What a plain function judges better than a shape."""
    claims: Callable[[Document], set[Claim]] = lambda _: set()
    """What only this record may have."""
    handles: Callable[[Document], set[tuple[str, str]]] = lambda _: set()
    """The identifiers that it is found by: scheme and value."""
    filters: tuple[str, ...] = ()
    awaits: Callable[[Document], tuple[str, str] | None] = lambda _: None
    """What happens to the record by the clock if nothing else does before: when (xsd:dateTime in UTC), and which action; `earliest` of several."""
    matters: Callable[[Document], Iterable[Matter]] = lambda _: ()
    """What somebody has to act on as long as the record is as it is: notices follow in the same transaction, and are settled when it is so no more."""
    names_no_cause: bool = False
    """Whether what other actions bring about on its records names nobody: who has caused it may be none that its reader knows of."""
    inquiry: Inquiry | None = None
    """What is asked outside about its records."""
    spelling: Callable[[Document], dict[str, object]] = lambda _: {}
    """The values that a document writes in another way than the register does, as the register writes them."""
    upserts_by: tuple[str, ...] = ()
    """The terms by which a caller may mean a record of its own that is there: identifiers of its choosing, which no other one of its records has."""
