"""How far an asset is verified (UC-02.02, UC-02.04): PENDING_VALIDATION, VERIFIED or QUERY.

Rules kept here: the status follows from the facts that the record holds and from the sources that the node asks; a source is asked about
an asset that has what it knows of, and again when that changes, or when its answer was queried and the asset is submitted anew; what
another one has answered stays; a maker's register warns and queries nothing; whom no source is asked about stays pending;
the operator accepts a query with a reason, which holds until something verified changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fmar_node.access.caller import Role
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.inquiry import VERIFICATION, Inquiry, facts
from fmar_node.kinds.kind import Action, Policy, Rule, Situation, by_node
from fmar_node.record import alias_in
from fmar_node.settings import MCS, METER_POINT, OEM
from fmar_node.vocabulary import Document

PENDING, QUERY, VERIFIED = "PENDING_VALIDATION", "QUERY", "VERIFIED"
ACCEPTANCE = "acceptance"
VERIFIED_FIELDS = ("importMPAN", "exportMPAN", "serialNumber", "manufacturer", "assetModel", "assetCategory", "dnoConnection")
"""What a change of sends a verified asset back, whoever is asked about it."""
COMPARED: Mapping[str, tuple[str, ...]] = {
    METER_POINT: ("importMPAN", "exportMPAN", "dnoConnection", "postcode"),
    MCS: ("postcode", "ratedCapacity", "installedCapacity"),
    OEM: ("manufacturer", "serialNumber", "assetModel", "ratedCapacity"),
}
"""What each source is asked about; the register of certificates about the alias besides."""
DOUBTED = "the register of the maker has this serial number not at all, or with another model or capacity"


def _asked_of(source: str, document: Document) -> tuple[Any, ...]:
    """The values of a record that a source's answer is about."""
    values = tuple(document.get(term) for term in COMPARED[source])
    return (alias_in(document, MCS), *values) if source == MCS else values


def known_to(document: Document) -> frozenset[str]:
    """The sources that should know of an asset."""
    has = {
        METER_POINT: "importMPAN" in document or "exportMPAN" in document,
        MCS: bool(alias_in(document, MCS)),
        OEM: "manufacturer" in document and "serialNumber" in document,
    }
    return frozenset(source for source, holds in has.items() if holds)


def missing(document: Document, sources: frozenset[str]) -> frozenset[str]:
    """The sources that have yet to answer about an asset."""
    return (known_to(document) & sources) - {fact["evidenceKind"] for fact in document.get("evidence", ())}


def wanted(document: Document, sources: frozenset[str]) -> frozenset[str] | None:
    """The sources that have yet to answer, of those that are asked about a live asset which waits for any."""
    is_waiting = document.get("registrationStatus") == PENDING and known_to(document) & sources
    return missing(document, sources) if is_waiting else None


INQUIRY = Inquiry(frozenset(COMPARED), ("registrationStatus", PENDING), wanted, lambda findings: {"evidence": facts(findings)})


# -- what follows from the facts


def status(document: Document, sources: frozenset[str]) -> str:
    """What the facts make of an asset: it is pending until all have answered, and where nobody is asked."""
    if not known_to(document) & sources or missing(document, sources):
        return PENDING
    return QUERY if any(map(_queries, document.get("evidence", ()))) else VERIFIED


def _differs(fact: Document) -> bool:
    return fact["evidenceOutcome"] in ("DIFFERS", "NOT_FOUND")


def _queries(fact: Document) -> bool:
    return _differs(fact) and fact["evidenceKind"] != OEM


def _with_status(document: Document, value: str) -> Document:
    """The registration has the status of the validation while the asset is live."""
    live = {"registrationStatus": value} if document["standing"] == "LIVE" else {}
    return {**document, "validationStatus": value, **live}


def verified(situation: Situation) -> Document:
    """What sources have answered, beside what others had answered before, and the status that follows."""
    document, new = situation.document, situation.note.get("evidence", [])
    answered = {fact["evidenceKind"] for fact in new}
    kept = [fact for fact in document.get("evidence", ()) if fact["evidenceKind"] not in answered]
    numbered = [{**fact, "id": f"{document['id']}#evidence-{place}"} for place, fact in enumerate([*kept, *new], start=1)]
    whole = _warned({**document, "evidence": numbered})
    return _with_status(whole, status(whole, situation.house.sources))


def _warned(document: Document) -> Document:
    """With the warning that a maker's register gives, or without it."""
    warnings = [each for each in document.get("warning", ()) if each["text"] != DOUBTED]
    if is_doubted(document):
        places = {each["id"] for each in warnings}
        free = next(iri for place in range(1, len(warnings) + 2) if (iri := f"{document['id']}#warning-{place}") not in places)
        warnings.append({"id": free, "type": "Warning", "rule": "A12", "text": DOUBTED})
    return {**document, "warning": warnings}


def is_doubted(document: Document) -> bool:
    """Whether the register of the maker has something else than the record."""
    return any(_differs(fact) for fact in document.get("evidence", ()) if fact["evidenceKind"] == OEM)


def validated_anew(situation: Situation) -> Document:
    """An update with the facts that still hold: a change of a verified field, or an answer to a query, sends the asset back to validation."""
    assert situation.previous is not None
    document, was = dict(situation.document), situation.previous.document
    moved = {source for source in COMPARED if _asked_of(source, document) != _asked_of(source, was)}
    concerned = known_to(document) & situation.house.sources | {fact["evidenceKind"] for fact in was.get("evidence", ())}
    touched = any(document.get(term) != was.get(term) for term in VERIFIED_FIELDS) or bool(moved & concerned)
    before = was["validationStatus"]
    if before == VERIFIED and not touched:
        return document
    document.pop("acceptanceReason", None)
    kept = [fact for fact in document.pop("evidence", ()) if fact["evidenceKind"] not in moved | _queried(was)]
    document |= {"evidence": kept} if kept else {}
    return _with_status(document, status(document, situation.house.sources))


def _queried(document: Document) -> set[str]:
    return {fact["evidenceKind"] for fact in document.get("evidence", ()) if _queries(fact)}


# -- rules


def agrees_with_its_maker(situation: Situation) -> Iterable[Fault]:
    """A12: what the register of the maker has otherwise is warned of, for as long as its answer is about the same."""
    was = situation.previous.document if situation.previous else {}
    if is_doubted(was) and _asked_of(OEM, was) == _asked_of(OEM, situation.document):
        yield Fault("A12", Severity.WARN, DOUBTED, "/serialNumber", "serialNumber", constraint="A12-oem")


def says_why(situation: Situation) -> Iterable[Fault]:
    """Who accepts a query says why."""
    if "acceptanceReason" not in situation.note:
        yield Fault("ASSET-ACCEPT-3", Severity.REJECT, "acceptanceReason is missing", "/acceptanceReason", "acceptanceReason")


def accepted(situation: Situation) -> Document:
    """The operator's word is enough; what the sources have stays beside it."""
    return _with_status({**situation.document, **situation.note}, VERIFIED)


MAKERS_WORD = Rule(agrees_with_its_maker, ("A12",))
VALIDATION_ACTIONS = {
    VERIFICATION: Action(
        VERIFICATION,
        ("UC-02.02", "UC-02.04"),
        by_node("ASSET-VERIFY-1"),
        states=frozenset({PENDING}),
        state_rule="ASSET-VERIFY-2",
        apply=verified,
        note_terms=frozenset({"evidence"}),
        is_nodes_own=True,
    ),
    ACCEPTANCE: Action(
        ACCEPTANCE,
        ("UC-02.02",),
        (Policy("ASSET-ACCEPT-1", "only the operator accepts what a source has queried", frozenset({Role.OPERATOR})),),
        (Rule(says_why, ("ASSET-ACCEPT-3",)),),
        states=frozenset({QUERY}),
        state_rule="ASSET-ACCEPT-2",
        apply=accepted,
        note_terms=frozenset({"acceptanceReason"}),
    ),
}
