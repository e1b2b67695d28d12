"""`reveal`: the one pure function of what a caller sees of a record.

Reads, lists, lookups, histories and the graphs that SPARQL looks into all apply it, so that none of them
shows more, or less, than another. Rules kept here: default deny; a record is seen through the caller's
relations to it, each relation opens whole disclosure tiers; what is left is the record as far as this
caller is concerned, and its ETag and version count follow from that alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
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
    APPLICANT = "applicant"
    GRANTOR = "grantor"
    DELEGATE = "delegate"
    PUBLISHER = "publisher"
    AUDIENCE = "audience"
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
    Relation.APPLICANT: ALL,
    Relation.GRANTOR: ALL,
    Relation.DELEGATE: ALL,
    Relation.PUBLISHER: ALL,
    Relation.AUDIENCE: frozenset({Tier.OPEN}),
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
NEVER_PUBLIC = frozenset({"EV_CHARGER", "HEAT_PUMP"})
OPENED_BY = {
    "Asset": {Permission.READ_PERSONAL: Relation.GRANTED_PERSONAL, Permission.READ: Relation.GRANTED},
    "Organisation": {Permission.CONTACTS: Relation.CONTACTS, Permission.PASSPORT: Relation.PASSPORT},
}
"""The permissions that open a record, and how. A passport is what an organisation says of itself: no keys, no evidence."""


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
    for term, relation in STANDING_OF[document["type"]].items():
        if term in document and uuid_of(document[term]) == caller.organisation:
            yield relation
    if caller.applicant and document.get("applicant") == caller.applicant.identity and document.get("organisationStatus") == "PENDING_APPROVAL":
        yield Relation.APPLICANT
    if document["type"] == "Asset":
        yield from _of_systems(document, caller)
    if document["type"] == "SavedQuery" and _is_for(document, caller):
        yield Relation.AUDIENCE


STANDING_OF: Mapping[str, Mapping[str, Relation]] = {
    "Organisation": {"id": Relation.SELF},
    "Asset": {"managedBy": Relation.MANAGER, "owner": Relation.OWNER},
    "User": {"userOf": Relation.SELF},
    "Delegation": {"grantor": Relation.GRANTOR, "delegate": Relation.DELEGATE},
    "SavedQuery": {"publishedBy": Relation.PUBLISHER},
}
"""The terms by which a record names the organisations that it belongs to, the first of them first."""


def _of_systems(document: Document, caller: Caller) -> Iterable[Relation]:
    if caller.has(Role.DSO) and document.get("dnoConnection") in caller.areas:
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
    grantor = uuid_of(document.get("managedBy" if document["type"] == "Asset" else "id", ""))
    permissions = caller.granted(grantor, uuid_of(document["id"]))
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
    return tuple(uuid_of(document[term]) for term in STANDING_OF[document["type"]] if term in document)


def is_public(document: Document) -> bool:
    """Organisations once approved; assets that a register has already published, never a domestic or individual one; queries for everybody."""
    if document["type"] == "SavedQuery":
        return document.get("queryStatus") == "PUBLISHED" and "EVERYONE" in document.get("audience", ())
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
    open_tiers = tiers(document, caller)
    return filtered(document, open_tiers, vocabulary) if open_tiers else None


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


def _parts(value: Any, open_tiers: frozenset[Tier], terms: Mapping[str, Term]) -> Any:
    if isinstance(value, list):
        return [_parts(each, open_tiers, terms) for each in value]
    return _filtered(value, open_tiers, terms) if isinstance(value, dict) else value
