"""`reveal`: the one pure function of what a caller sees of a record.

Reads, lists, lookups, histories and the graphs that SPARQL looks into all apply it, so that none of them
shows more, or less, than another. Rules kept here: default deny; a record is seen through the caller's
relations to it, each relation opens whole disclosure tiers; what is left is the record as far as this
caller is concerned, and its ETag and version count follow from that alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fmar_node.access.caller import ADMITTED, ROLE_OF_CODE, Caller, Permission, Role
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document, Term, Tier, Vocabulary


class Relation(StrEnum):
    """How a caller stands to a record."""

    OPERATOR = "operator"
    SELF = "self"
    MANAGER = "manager"
    OWNER = "owner"
    REGISTRANT = "registrant"
    APPLICANT = "applicant"
    GRANTOR = "grantor"
    DELEGATE = "delegate"
    PUBLISHER = "publisher"
    AUDIENCE = "audience"
    ADDRESSEE = "addressee"
    GRANTEE = "grantee"
    WITHOUT_CONSENT = "without consent"
    GAINING = "gaining"
    LOSING = "losing"
    COMMITTING = "committing"
    COMMITTED_TO = "committed to"
    AREA = "area"
    NATIONAL = "national"
    GRANTED = "granted"
    GRANTED_PERSONAL = "granted personal"
    PASSPORT = "passport"
    CONTACTS = "contacts"
    PUBLIC = "public"


ALL = frozenset(Tier)
SEES: Mapping[Relation, frozenset[Tier]] = {
    Relation.OPERATOR: ALL,
    Relation.SELF: ALL,
    Relation.MANAGER: ALL,
    Relation.OWNER: ALL,
    Relation.REGISTRANT: ALL,
    Relation.APPLICANT: ALL,
    Relation.GRANTOR: ALL,
    Relation.DELEGATE: ALL,
    Relation.PUBLISHER: ALL,
    Relation.GRANTEE: ALL,
    Relation.WITHOUT_CONSENT: frozenset({Tier.OPEN}),
    Relation.GAINING: ALL,
    Relation.LOSING: frozenset({Tier.OPEN}),
    Relation.COMMITTING: ALL,
    Relation.COMMITTED_TO: ALL,
    Relation.AUDIENCE: frozenset({Tier.OPEN}),
    Relation.ADDRESSEE: ALL,
    Relation.AREA: frozenset({Tier.OPEN, Tier.OPERATIONAL, Tier.PERSONAL}),
    Relation.NATIONAL: frozenset({Tier.OPEN, Tier.OPERATIONAL}),
    Relation.GRANTED: ALL - {Tier.PERSONAL},
    Relation.GRANTED_PERSONAL: ALL,
    Relation.PASSPORT: frozenset({Tier.OPEN, Tier.OPERATIONAL}),
    Relation.CONTACTS: frozenset({Tier.OPEN, Tier.OPERATIONAL, Tier.PERSONAL}),
    Relation.PUBLIC: frozenset({Tier.OPEN}),
}
"""Which tiers a relation opens. A DSO sees the MPANs of its own network, NESO sees none."""

PUBLISHED_REGISTERS = frozenset({"ECR", "REPD", "TEC", "BMU"})
ANNOUNCED = frozenset({"APPROVED", "ACTIVE", "SUPERSEDED"})
"""The states in which a release is everybody's to read: those who send documents prepare for it."""
NEVER_PUBLIC = frozenset({"EV_CHARGER", "HEAT_PUMP"})
OPENED_BY = {
    "Asset": {Permission.READ_PERSONAL: Relation.GRANTED_PERSONAL, Permission.READ: Relation.GRANTED},
    "Organisation": {Permission.CONTACTS: Relation.CONTACTS, Permission.PASSPORT: Relation.PASSPORT},
    "Switch": {Permission.SWITCH: Relation.GRANTED},
    "ServiceWindow": {Permission.READ: Relation.GRANTED},
}
"""The permissions that open a record, and how. A passport is what an organisation says of itself: no keys, no evidence."""
GRANTED_BY = {"Asset": "managedBy", "Organisation": "id", "Switch": "gainingProvider", "ServiceWindow": "windowProvider"}
"""The term that says whose grant it is; what a switch or a window is about stands in one of `ABOUT`."""
ABOUT = ("switchAsset", "windowAsset", "id")


def relations(document: Document, caller: Caller) -> frozenset[Relation]:
    """The relations through which the caller sees the record; who acts on behalf of another sees what was granted alone."""
    found = {Relation.PUBLIC} if is_public(document) else set()
    if caller.is_anonymous or caller.state not in ADMITTED:
        return frozenset(found)
    own = () if caller.actor else standings(document, caller)
    return frozenset({*found, *own, *_granted(document, caller)})


def standings(document: Document, caller: Caller) -> Iterable[Relation]:
    """How the caller's organisation itself stands to the record, whoever acts for it."""
    if caller.has(Role.OPERATOR):
        yield Relation.OPERATOR
    for term, relation in _named(document).items():
        if uuid_of(document[term]) == caller.organisation:
            yield Relation.WITHOUT_CONSENT if relation in CONSENTED and lacks_consent(document) else relation
    if caller.applicant and document.get("applicant") == caller.applicant.identity and document.get("organisationStatus") == "PENDING_APPROVAL":
        yield Relation.APPLICANT
    if document["type"] in ("Asset", "Switch"):
        yield from _of_systems(document, caller)
    if document["type"] == "SavedQuery" and _is_for(document, caller):
        yield Relation.AUDIENCE
    if document["type"] == "Notice" and "noticeRole" in document and caller.has(Role.OPERATOR):
        yield Relation.ADDRESSEE


STANDING_OF: Mapping[str, Mapping[str, Relation]] = {
    "Organisation": {"id": Relation.SELF},
    "Asset": {"managedBy": Relation.MANAGER, "registeredBy": Relation.REGISTRANT, "owner": Relation.OWNER},
    "User": {"userOf": Relation.SELF},
    "Delegation": {"grantor": Relation.GRANTOR, "delegate": Relation.DELEGATE},
    "SavedQuery": {"publishedBy": Relation.PUBLISHER},
    "Notice": {"noticeParty": Relation.ADDRESSEE},
    "Subscription": {"subscriber": Relation.SELF},
    "Consent": {"grantee": Relation.GRANTEE, "consentedBy": Relation.OWNER},
    "Release": {},
    "Switch": {"gainingProvider": Relation.GAINING, "losingProvider": Relation.LOSING},
    "ServiceWindow": {"windowProvider": Relation.COMMITTING, "windowOperator": Relation.COMMITTED_TO},
}
"""The terms by which a record names the organisations that it belongs to, the first of them first."""
CONSENTED = frozenset({Relation.MANAGER, Relation.REGISTRANT})
"""Those that see an asset on the word of its owner, as long as that holds."""


def _named(document: Document) -> Mapping[str, Relation]:
    """Those terms that a record has. Whoever registered an asset at its installation has nothing to do with it once it has a provider."""
    found = {term: relation for term, relation in STANDING_OF[document["type"]].items() if term in document}
    return {term: relation for term, relation in found.items() if not (relation is Relation.REGISTRANT and "managedBy" in found)}


def lacks_consent(document: Document) -> bool:
    """Whether the consent that an asset's provider, or who registered it, had holds no longer: it sees then that the asset is there, and in which state."""
    return "consentEndedAt" in document and document.get("standing") != "LIVE"


def _of_systems(document: Document, caller: Caller) -> Iterable[Relation]:
    if caller.has(Role.DSO) and document.get("dnoConnection", document.get("switchArea")) in caller.areas:
        yield Relation.AREA
    if caller.has(Role.NESO):
        yield Relation.NATIONAL


def _is_for(document: Document, caller: Caller) -> bool:
    """Whether a published query is for the caller's organisation, by its roles or by its name; for everybody is public."""
    named = any(uuid_of(iri) == caller.organisation for iri in document.get("audienceOrganisation", ()))
    has_role = not caller.roles.isdisjoint(ROLE_OF_CODE.get(code) for code in document.get("audience", ()))
    return document.get("queryStatus") == "PUBLISHED" and (named or has_role)


def _granted(document: Document, caller: Caller) -> Iterable[Relation]:
    """What a grant opens: of an asset by who manages it, of an organisation its own passport."""
    if not caller.grants or document["type"] not in OPENED_BY:
        return
    grantor = uuid_of(document.get(GRANTED_BY[document["type"]], ""))
    permissions = caller.granted(grantor, uuid_of(next(document[term] for term in ABOUT if term in document)))
    if lacks_consent(document):
        if caller.actor and permissions:
            yield Relation.WITHOUT_CONSENT
        return
    for permission, relation in OPENED_BY[document["type"]].items():
        if permission in permissions:
            yield relation
            return


WIDE = (Role.DSO, Role.NESO)
"""The roles that stand in a relation to records which do not name the organisation."""


def parties(document: Document) -> tuple[str, ...]:
    """The organisations that a record itself names as related to it, in the order of `STANDING_OF`.

    Any other that is related has one of the roles `WIDE`, or a grant of the first of these.
    """
    return tuple(uuid_of(document[term]) for term in _named(document))


def is_public(document: Document) -> bool:
    """Organisations once approved; assets that a register has already published, never a domestic or individual one; queries for everybody; releases that are approved."""
    if document["type"] == "SavedQuery":
        return document.get("queryStatus") == "PUBLISHED" and "EVERYONE" in document.get("audience", ())
    if document["type"] == "Release":
        return document.get("releaseStatus") in ANNOUNCED
    if document["type"] == "Organisation":
        was_in = document.get("organisationStatus") == "WITHDRAWN" and "rejectionReason" not in document
        return was_in or document.get("organisationStatus") in ADMITTED
    return (
        document["type"] == "Asset"
        and document.get("ownerKind") == "ORGANISATION"
        and document.get("assetCategory") not in NEVER_PUBLIC
        and any(alias.get("scheme") in PUBLISHED_REGISTERS for alias in document.get("alias", ()))
    )


def tiers(document: Document, caller: Caller) -> frozenset[Tier]:
    """The tiers of this record that are open to the caller; empty when it sees nothing of it."""
    return opened_by(relations(document, caller))


@functools.cache
def opened_by(found: frozenset[Relation]) -> frozenset[Tier]:
    """The tiers that these relations open together."""
    return frozenset().union(*(SEES[relation] for relation in found))


def reveal(document: Document, caller: Caller, vocabulary: Vocabulary) -> Document | None:
    """The record as the caller sees it, or None when there is nothing there for it."""
    sight = sight_of(document, caller)
    return seen(document, sight, vocabulary) if sight.tiers else None


@dataclass(frozen=True, slots=True)
class Sight:
    """What is open to a caller of a record: tiers, and beside them the extension fields of one publisher (the IRI of an organisation)."""

    tiers: frozenset[Tier]
    publisher: str = ""


def sight_of(document: Document, caller: Caller) -> Sight:
    """What is open to a caller by its relations to a record."""
    return sight_through(relations(document, caller), document, caller)


def sight_through(found: frozenset[Relation], document: Document, caller: Caller) -> Sight:
    """The tiers, and where the tier of extension fields is not among them those fields that the caller has asked for itself; the public sees none."""
    opened = opened_by(found)
    if Tier.COMMERCIAL in opened or not found - {Relation.PUBLIC}:
        return Sight(opened)
    publishers = (str(field.get("extensionPublisher", "")) for field in document.get("extension", ()))
    return Sight(opened, next((iri for iri in publishers if uuid_of(iri) == caller.organisation), ""))


def seen(document: Document, sight: Sight, vocabulary: Vocabulary) -> Document:
    """The properties of a document that are in sight."""
    shown = filtered(document, sight.tiers, vocabulary)
    if not sight.publisher:
        return shown
    own = [field for field in document["extension"] if field.get("extensionPublisher") == sight.publisher]
    return {name: own if name == "extension" else shown[name] for name in document if name in shown or name == "extension"}


def filtered(document: Document, open_tiers: frozenset[Tier], vocabulary: Vocabulary) -> Document:
    """The properties of a document whose tiers are open."""
    return document if open_tiers == ALL else _filtered(document, open_tiers, vocabulary.terms)


def _filtered(document: Document, open_tiers: frozenset[Tier], terms: Mapping[str, Term]) -> Document:
    shown: Document = {}
    for name, value in document.items():
        if name in ("id", "type"):
            shown[name] = value
        elif terms[name].tier in open_tiers:
            shown[name] = _parts(value, open_tiers, terms)
    return shown


def unseen(document: Document, open_tiers: frozenset[Tier], vocabulary: Vocabulary) -> Document:
    """What `filtered` leaves out: the properties whose tiers are not open, and of the parts that are seen what is not."""
    return {} if open_tiers == ALL else _unseen(document, open_tiers, vocabulary.terms)


def _unseen(document: Document, open_tiers: frozenset[Tier], terms: Mapping[str, Term]) -> Document:
    hidden: Document = {}
    for name, value in document.items():
        if name in terms and terms[name].tier not in open_tiers:
            hidden[name] = value
        elif name in terms and any(parts := [_unseen(each, open_tiers, terms) for each in _parts_of(value)]):
            hidden[name] = parts
    return hidden


def names_unseen(change: Document, open_tiers: frozenset[Tier], vocabulary: Vocabulary) -> bool:
    """Whether a patch names what is not open, whatever it says of it: that it is so already would tell what is there."""
    for key, value in change.items():
        term = vocabulary.named(key)
        if (term is not None and term.tier not in open_tiers) or any(names_unseen(each, open_tiers, vocabulary) for each in _parts_of(value)):
            return True
    return False


def _parts_of(value: Any) -> list[Document]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]


def _parts(value: Any, open_tiers: frozenset[Tier], terms: Mapping[str, Term]) -> Any:
    if isinstance(value, list):
        return [_parts(each, open_tiers, terms) for each in value]
    return _filtered(value, open_tiers, terms) if isinstance(value, dict) else value
