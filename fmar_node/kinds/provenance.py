"""Where the values of an asset come from, and who may change them (domain 5.1: a less trusted source never overwrites a more trusted one).

Rules kept here: a source speaks for a value that it has itself, about the same identifier that it was asked by, and only while it objects
to nothing; what exists at a source (a meter point, a certificate, a serial number) is no value of the source's. Who is trusted less
changes such a value with a justification that is new, and then the source is asked again and queries what it has otherwise; the
source's own value is taken over by anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from fmar_node.access.caller import Role
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.kind import Situation
from fmar_node.record import alias_in, uuid_of
from fmar_node.settings import CONNECTION, MCS, METER_POINT
from fmar_node.vocabulary import Document, Vocabulary

PRECEDENCE = "SOURCE_PRECEDENCE"
NETWORK_DATA, METERING_REGISTRY, CERTIFIED_INSTALLER, FSP, DERIVED = TRUST = ("NETWORK_DATA", "METERING_REGISTRY", "CERTIFIED_INSTALLER", "FSP", "DERIVED")
"""The codes of SourceTrust, the most trusted first."""
TRUST_OF: Mapping[str, str] = {CONNECTION: NETWORK_DATA, METER_POINT: METERING_REGISTRY, MCS: CERTIFIED_INSTALLER}
"""How far each source is trusted; a maker's register only warns, and speaks for nothing."""
IDENTIFIERS = frozenset({"importMPAN", "exportMPAN", "alias", "serialNumber"})


def keeps_what_is_better_known(situation: Situation) -> Iterable[Fault]:
    """A value that a more trusted source has is changed with a justification for this change, or to what the source has."""
    if situation.previous is None:
        return
    was, document, own = situation.previous.document, situation.document, _own_trust(situation)
    stale = _said(was) & _said(document)
    for fact in _speaking(was, document):
        field, trust = fact["evidenceField"], TRUST_OF[fact["evidenceKind"]]
        if document.get(field) == was.get(field) or TRUST.index(trust) >= TRUST.index(own) or _is_its_value(fact, document.get(field)):
            continue
        severity = Severity.REJECT if stale else Severity.JUSTIFY
        message = f"{field} is as {fact['evidenceKind']} has it, which is trusted more ({trust}); justify {PRECEDENCE} for this change, and it is asked again"
        yield Fault(PRECEDENCE, severity, message, f"/{field}", field)


def _own_trust(situation: Situation) -> str:
    """How far the caller is trusted: an installer as its certificate, as far as the register of certificates confirms it."""
    assert situation.previous is not None
    was = situation.previous.document
    is_installer = situation.caller.has(Role.INSTALLER) and uuid_of(was.get("registeredBy", "")) == situation.caller.organisation
    is_certified = any(fact["evidenceKind"] == MCS for fact in _unopposed(was))
    return CERTIFIED_INSTALLER if is_installer and is_certified else FSP


def _said(document: Document) -> set[str]:
    """The justifications of a document for changing what is better known."""
    return {each.get("text", "") for each in document.get("justification", ()) if each.get("rule") == PRECEDENCE}


def _unopposed(document: Document) -> Iterator[Document]:
    """What has been confirmed by sources that object to nothing in the record."""
    facts = document.get("evidence", ())
    opposed = {fact["evidenceKind"] for fact in facts if fact["evidenceOutcome"] in ("DIFFERS", "NOT_FOUND")}
    for fact in facts:
        if fact["evidenceOutcome"] == "AGREES" and fact["evidenceKind"] in TRUST_OF.keys() - opposed:
            yield fact


def _speaking(was: Document, document: Document) -> Iterator[Document]:
    """The facts that speak for a value of a record, as long as they are about what it is called by now."""
    for fact in _unopposed(was):
        kind, field = fact["evidenceKind"], fact.get("evidenceField", "")
        if field not in IDENTIFIERS and _value_in(fact) and _asked_by(kind, was) == _asked_by(kind, document):
            yield fact


def _asked_by(source: str, document: Document) -> tuple[str, ...]:
    if source == METER_POINT:
        return str(document.get("importMPAN", "")), str(document.get("exportMPAN", ""))
    return (alias_in(document, MCS if source == MCS else "ECR"),)


def _value_in(fact: Document) -> str:
    return str(fact.get("comparedWith") or fact.get("comparedWithPersonal") or "")


def _is_its_value(fact: Document, value: Any) -> bool:
    """Whether a value is the one that a source has, however it is written."""
    try:
        return value is not None and Decimal(str(value)) == Decimal(_value_in(fact))
    except InvalidOperation:
        return value is not None and _folded(str(value)) == _folded(_value_in(fact))


def _folded(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def provenance(document: Document, vocabulary: Vocabulary) -> list[dict[str, str]]:
    """Of each field that somebody gives: whose word its value is (a code of SourceTrust), by which method, and when it was verified."""
    given = [name for name in document if name in vocabulary.terms and not vocabulary.terms[name].server_set and name != "justification"]
    return [{"field": name, **_provenance_of(name, document)} for name in given]


def _provenance_of(field: str, document: Document) -> dict[str, str]:
    facts = [fact for fact in document.get("evidence", ()) if fact.get("evidenceField") == field and fact["evidenceOutcome"] != "NOT_COMPARED"]
    speaking = sorted((TRUST.index(TRUST_OF.get(fact["evidenceKind"], FSP)), fact["evidenceKind"], fact["checkedAt"]) for fact in facts if fact["evidenceOutcome"] == "AGREES")
    contested = sorted({fact["evidenceKind"] for fact in facts if fact["evidenceOutcome"] != "AGREES"})
    told = {"quality": "QUERIED" if contested else "CONFIRMED" if speaking else "GIVEN"}
    if speaking and not contested:
        rank, kind, at = speaking[0]
        return {"source": TRUST[rank], "method": kind, "verifiedAt": at, **told}
    filled = field in document.get("defaulted", ())
    return {"source": DERIVED if filled else FSP, "method": "DEFAULT" if filled else "SUBMISSION", **told}
