"""`reveal`: the one pure function of what a caller sees of a record.

Reads, lists, lookups, histories and the graphs that SPARQL looks into all apply it, so that none of them
shows more, or less, than another. Rules kept here: default deny; a record is seen through the caller's
relations to it, each relation opens whole disclosure tiers; what is left is the record as far as this
caller is concerned, and its ETag and version count follow from that alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from fmar_node.access.caller import ADMITTED, Caller, Role
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document, Term, Tier, Vocabulary


class Relation(StrEnum):
    """How a caller stands to a record."""

    OPERATOR = "operator"
    SELF = "self"
    MANAGER = "manager"
    OWNER = "owner"
    AREA = "area"
    NATIONAL = "national"
    PUBLIC = "public"


ALL = frozenset(Tier)
SEES: Mapping[Relation, frozenset[Tier]] = {
    Relation.OPERATOR: ALL,
    Relation.SELF: ALL,
    Relation.MANAGER: ALL,
    Relation.OWNER: ALL,
    Relation.AREA: frozenset({Tier.OPEN, Tier.OPERATIONAL, Tier.PERSONAL}),
    Relation.NATIONAL: frozenset({Tier.OPEN, Tier.OPERATIONAL}),
    Relation.PUBLIC: frozenset({Tier.OPEN}),
}
"""Which tiers a relation opens. A DSO sees the MPANs of its own network, NESO sees none."""

PUBLISHED_REGISTERS = frozenset({"ECR", "REPD", "TEC", "BMU"})
NEVER_PUBLIC = frozenset({"EV_CHARGER", "HEAT_PUMP"})


def relations(document: Document, caller: Caller) -> frozenset[Relation]:
    """Every relation of the caller to the record."""
    found = {Relation.PUBLIC} if is_public(document) else set()
    if caller.is_anonymous or caller.state not in ADMITTED:
        return frozenset(found)
    if caller.has(Role.OPERATOR):
        found.add(Relation.OPERATOR)
    by_kind = _to_organisation if document["type"] == "Organisation" else _to_asset
    return frozenset(found | set(by_kind(document, caller)))


def _to_organisation(document: Document, caller: Caller) -> Iterable[Relation]:
    if uuid_of(document["id"]) == caller.organisation:
        yield Relation.SELF


def _to_asset(document: Document, caller: Caller) -> Iterable[Relation]:
    if uuid_of(document.get("managedBy", "")) == caller.organisation:
        yield Relation.MANAGER
    if uuid_of(document.get("owner", "")) == caller.organisation:
        yield Relation.OWNER
    if caller.has(Role.DSO) and document.get("dnoConnection") in caller.areas:
        yield Relation.AREA
    if caller.has(Role.NESO):
        yield Relation.NATIONAL


WIDE = (Role.DSO, Role.NESO)
"""The roles that stand in a relation to records which do not name the organisation."""


def parties(document: Document) -> frozenset[str]:
    """The organisations that a record itself names as related to it; any other that is related has one of the roles `WIDE`."""
    terms = ("id",) if document["type"] == "Organisation" else ("managedBy", "owner")
    return frozenset(uuid_of(document[term]) for term in terms if term in document)


def is_public(document: Document) -> bool:
    """Organisations once approved; assets that a register has already published, never a domestic or individual one."""
    if document["type"] == "Organisation":
        return document.get("organisationStatus") in ("ACTIVE", "SUSPENDED", "WITHDRAWN")
    return (
        document.get("ownerKind") == "ORGANISATION"
        and document.get("assetCategory") not in NEVER_PUBLIC
        and any(alias.get("scheme") in PUBLISHED_REGISTERS for alias in document.get("alias", ()))
    )


def tiers(document: Document, caller: Caller) -> frozenset[Tier]:
    """The tiers of this record that are open to the caller; empty when it sees nothing of it."""
    return frozenset().union(*(SEES[relation] for relation in relations(document, caller)))


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
