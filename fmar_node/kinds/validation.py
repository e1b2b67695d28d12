"""How far an asset is verified (UC-02.02, UC-02.04): PENDING_VALIDATION, VERIFIED or QUERY.

Rules kept here: the status follows from the facts that the record holds and from the sources that the node asks; a source is asked about
an asset that has what it knows of, and again when that changes, or when its answer was queried and the asset is submitted anew; what
another one has answered stays; a maker's register warns and queries nothing; whom no source is asked about stays pending;
the operator accepts a query with a reason, which holds until something verified changes; who waits has a time for it, and what is
overdue is the operator's to act on. What somebody has to act on follows from the record alone, and notices from that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fmar_node.access.caller import Role
from fmar_node.clock import later
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.inquiry import VERIFICATION, Inquiry, facts
from fmar_node.kinds.kind import Action, Matter, Policy, Rule, Situation, by_node
from fmar_node.kinds.matter import OPERATOR
from fmar_node.record import alias_in
from fmar_node.settings import CONNECTION, MCS, METER_POINT, OEM
from fmar_node.vocabulary import Document

PENDING, QUERY, VERIFIED = "PENDING_VALIDATION", "QUERY", "VERIFIED"
ASKED_ABOUT = (PENDING, "AWAITING_NEW_FSP")
"""The states of assets that sources are asked about: what waits for a provider is validated meanwhile."""
ACCEPTANCE = "acceptance"
VERIFIED_FIELDS = ("importMPAN", "exportMPAN", "serialNumber", "manufacturer", "assetModel", "assetCategory", "dnoConnection")
"""What a change of sends a verified asset back, whoever is asked about it."""
COMPARED: Mapping[str, tuple[str, ...]] = {
    METER_POINT: ("importMPAN", "exportMPAN", "dnoConnection", "postcode"),
    MCS: ("postcode", "ratedCapacity", "installedCapacity"),
    CONNECTION: ("dnoConnection", "connectionStatus", "ratedCapacity", "installedCapacity", "energySource", "agreedExportCapacity", "agreedImportCapacity"),
    OEM: ("manufacturer", "serialNumber", "assetModel", "ratedCapacity"),
}
"""What each source is asked about; the register of certificates and the connection data about the alias besides."""
BY_ALIAS = {MCS: MCS, CONNECTION: "ECR"}
"""The schemes of the aliases that sources know assets by."""
DUE, SINCE = "validationDueBy", "overdueSince"
UNTIMED = frozenset({DUE, SINCE})
OVERRUN = "overrun"
OVERDUE = "OVERDUE"
"""The scheme of the handles by which overdue assets are found: their status is the value."""
QUERIED_TEXT = "a source has these fields otherwise: correct the asset, or show the operator why the source is wrong; both values stand in its evidence"
UNANSWERED_TEXT = "the provider has not answered this query in time: accept it with a reason, or ask the provider"
SILENT_TEXT = "a source that is asked about this asset has not answered in time: see whether it answers anybody"
DOUBTED_TEXT = "the register of the maker has these fields otherwise: correct the asset, or have the maker correct its register"
DOUBTED = "the register of the maker has this serial number not at all, or with another model or capacity"


def _asked_of(source: str, document: Document) -> tuple[Any, ...]:
    """The values of a record that a source's answer is about."""
    values = tuple(document.get(term) for term in COMPARED[source])
    return (alias_in(document, BY_ALIAS[source]), *values) if source in BY_ALIAS else values


def known_to(document: Document) -> frozenset[str]:
    """The sources that should know of an asset."""
    has = {
        METER_POINT: "importMPAN" in document or "exportMPAN" in document,
        MCS: bool(alias_in(document, MCS)),
        CONNECTION: bool(alias_in(document, "ECR")),
        OEM: "manufacturer" in document and "serialNumber" in document,
    }
    return frozenset(source for source, holds in has.items() if holds)


def missing(document: Document, sources: frozenset[str]) -> frozenset[str]:
    """The sources that have yet to answer about an asset."""
    return (known_to(document) & sources) - {fact["evidenceKind"] for fact in document.get("evidence", ())}


def wanted(document: Document, sources: frozenset[str]) -> frozenset[str] | None:
    """The sources that have yet to answer, of those that are asked about a live asset which waits for any."""
    is_waiting = document.get("registrationStatus") in ASKED_ABOUT and document.get("validationStatus") == PENDING and known_to(document) & sources
    return missing(document, sources) if is_waiting else None


INQUIRY = Inquiry(frozenset(COMPARED), ("registrationStatus", *ASKED_ABOUT), wanted, lambda findings: {"evidence": facts(findings)})


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


def _with_status(document: Document, value: str, situation: Situation) -> Document:
    """The registration has the status of the validation while the asset is live; a status that is new has its own time."""
    live = {"registrationStatus": value} if document["standing"] == "LIVE" else {}
    return timed({**document, "validationStatus": value, **live}, document["validationStatus"], situation)


def timed(document: Document, was: str, situation: Situation) -> Document:
    """With the time by which what is waited for should have come: the answers of sources, or that of the provider to a query."""
    status, house = document["validationStatus"], situation.house
    given = {PENDING: house.validation_seconds, QUERY: house.asset_query_seconds}.get(status)
    is_waiting = status == QUERY or bool(known_to(document) & house.sources)
    if status == was and is_waiting and not UNTIMED.isdisjoint(document):
        return document
    kept = {term: value for term, value in document.items() if term not in UNTIMED}
    return {**kept, "validationDueBy": later(situation.now, given)} if given and is_waiting else kept


def verified(situation: Situation) -> Document:
    """What sources have answered, beside what others had answered before, and the status that follows."""
    document, new = situation.document, situation.note.get("evidence", [])
    answered = {fact["evidenceKind"] for fact in new}
    kept = [fact for fact in document.get("evidence", ()) if fact["evidenceKind"] not in answered]
    numbered = [{**fact, "id": f"{document['id']}#evidence-{place}"} for place, fact in enumerate([*kept, *new], start=1)]
    whole = _warned({**document, "evidence": numbered})
    return _with_status(whole, status(whole, situation.house.sources), situation)


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
    return _with_status(document, status(document, situation.house.sources), situation)


def _queried(document: Document) -> set[str]:
    return {fact["evidenceKind"] for fact in document.get("evidence", ()) if _queries(fact)}


# -- what is waited for, and who has to act


def awaits(document: Document) -> tuple[str, str] | None:
    """Its time runs out, while it waits and is live."""
    is_waiting = document.get("registrationStatus") in (PENDING, QUERY) and DUE in document
    return (document[DUE], OVERRUN) if is_waiting else None


def overrun(situation: Situation) -> Document:
    kept = {term: value for term, value in situation.document.items() if term != DUE}
    return {**kept, SINCE: situation.document[DUE]}


def handles(document: Document) -> set[tuple[str, str]]:
    """What is overdue is found by its status."""
    status = document.get("registrationStatus", "")
    return {(OVERDUE, status)} if status in (PENDING, QUERY) and SINCE in document else set()


def matters(document: Document) -> Iterable[Matter]:
    """What its provider has to act on, and what the operator has."""
    if document["standing"] != "LIVE":
        return
    status, subject, provider = document["validationStatus"], document["id"], document["managedBy"]
    if status == QUERY:
        differing = [fact for fact in document.get("evidence", ()) if _queries(fact)]
        due = document.get(DUE) or document.get(SINCE, "")
        yield Matter(provider, "QUERY_OPEN", subject, QUERIED_TEXT, *_places(differing), due_by=due)
        if SINCE in document:
            yield Matter(OPERATOR, "QUERY_OVERDUE", subject, UNANSWERED_TEXT, *_places(differing))
    elif status == PENDING and SINCE in document:
        yield Matter(OPERATOR, "VALIDATION_OVERDUE", subject, SILENT_TEXT)
    doubting = [fact for fact in document.get("evidence", ()) if fact["evidenceKind"] == OEM and _differs(fact)]
    if doubting:
        yield Matter(provider, "DISCREPANCY", subject, DOUBTED_TEXT, *_places(doubting))


def _places(facts: list[Document]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields that sources have otherwise, and these sources."""
    return tuple(sorted({fact["evidenceField"] for fact in facts})), tuple(sorted({fact["evidenceKind"] for fact in facts}))


# -- rules


def is_overdue(situation: Situation) -> Iterable[Fault]:
    """Its time has passed: it may have got another one since this was asked for."""
    due = situation.document.get(DUE, "")
    if not due or (situation.now and situation.now < due):
        yield Fault("ASSET-OVERRUN-3", Severity.REJECT, "what this asset waits for is not overdue", "", DUE)


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
    return _with_status({**situation.document, **situation.note}, VERIFIED, situation)


MAKERS_WORD = Rule(agrees_with_its_maker, ("A12",))
VALIDATION_ACTIONS = {
    VERIFICATION: Action(
        VERIFICATION,
        ("UC-02.02", "UC-02.04"),
        by_node("ASSET-VERIFY-1"),
        states=frozenset(ASKED_ABOUT),
        state_rule="ASSET-VERIFY-2",
        apply=verified,
        note_terms=frozenset({"evidence"}),
        is_nodes_own=True,
    ),
    OVERRUN: Action(
        OVERRUN,
        ("UC-02.02", "DQ-4"),
        by_node("ASSET-OVERRUN-1"),
        (Rule(is_overdue, ("ASSET-OVERRUN-3",)),),
        states=frozenset({PENDING, QUERY}),
        state_rule="ASSET-OVERRUN-2",
        apply=overrun,
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
