"""Who an organisation is, and how far that is shown (UC-01.02, UC-01.03): NOT_CHECKED, PENDING, CONFIRMED or QUERY.

Rules kept here: a company of the United Kingdom is asked of the companies register, where the node has one, when it is registered and
whenever its identity changes; of everybody else the operator records the evidence that it has seen; while a source is being
asked nobody is approved, and whom it queries only with a reason; what a source has answered is entered by the node itself,
about the version that it was asked about; an organisation that is in stays in while it is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.access.caller import Role
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.inquiry import VERIFICATION, Inquiry, facts
from fmar_node.kinds.kind import Action, Policy, Rule, Situation, by_node
from fmar_node.settings import COMPANIES_REGISTER
from fmar_node.sources.source import Finding
from fmar_node.vocabulary import Document

EVIDENCE = "evidence"
IDENTITY = ("organisationLegalName", "organisationRegistrationNumber", "organisationType", "countryOfIncorporation")
COMPARED = (*IDENTITY, "yearOfRegistration", "yearOfRegistrationBasis")
"""What a change of makes all earlier evidence worthless: the identity, and whatever else a source was asked about."""
COMPANIES = frozenset({"LTD", "PLC", "LLP"})
NOT_LEFT = frozenset({"PENDING_APPROVAL", "ACTIVE", "SUSPENDED"})
UNITED_KINGDOM = "United Kingdom"


def is_british_company(document: Document) -> bool:
    """Whether the companies register of the United Kingdom has to have it."""
    return (
        document.get("organisationType") in COMPANIES
        and document.get("countryOfIncorporation") == UNITED_KINGDOM
        and "organisationRegistrationNumber" in document
    )


def wanted(document: Document, sources: frozenset[str]) -> frozenset[str] | None:
    """The companies register, while it is waited for."""
    is_waiting = document.get("identityStatus") == "PENDING" and document.get("organisationStatus") in NOT_LEFT
    return frozenset({COMPANIES_REGISTER}) & sources or None if is_waiting else None


def note(findings: list[Finding]) -> Document:
    """What a finding makes of an identity."""
    is_confirmed = all(finding.is_confirmed for finding in findings)
    return {"identityStatus": "CONFIRMED" if is_confirmed else "QUERY", "identityEvidence": facts(findings)}


INQUIRY = Inquiry(frozenset({COMPANIES_REGISTER}), ("identityStatus", "PENDING"), wanted, note)


# -- rules


def is_who_it_says(situation: Situation) -> Iterable[Fault]:
    """UC-01.02: no approval while the companies register is being asked; a reason where it does not agree."""
    status = situation.document.get("identityStatus")
    if status == "PENDING" and COMPANIES_REGISTER in situation.house.sources:
        message = "the companies register is being asked about this organisation: try again in a while, or record evidence of your own"
        yield Fault("ORGANISATION-APPROVE-3", Severity.REJECT, message, "", "identityStatus")
    elif status == "QUERY" and "approvalReason" not in situation.note:
        fields = queried(situation.document)
        message = f"the companies register does not agree ({fields}): look at identityEvidence, and give an approvalReason"
        yield Fault("ORGANISATION-APPROVE-3", Severity.REJECT, message, "/approvalReason", "approvalReason")


def queried(document: Document) -> str:
    """The fields that a source has otherwise, or not at all."""
    fields = [part["evidenceField"] for part in document.get("identityEvidence", ()) if part.get("evidenceOutcome") in ("DIFFERS", "NOT_FOUND")]
    return ", ".join(fields)


def is_awaited(situation: Situation) -> Iterable[Fault]:
    """An answer is entered while it is waited for."""
    if situation.document.get("identityStatus") != "PENDING":
        yield Fault("ORGANISATION-VERIFY-2", Severity.REJECT, "nothing is being asked about this organisation", "", "identityStatus")


def is_told_apart(situation: Situation) -> Iterable[Fault]:
    """Evidence says of which kind it is, and where it can be seen again."""
    for term in ("evidenceKind", "evidenceReference"):
        if term not in situation.note:
            yield Fault("ORGANISATION-EVIDENCE-2", Severity.REJECT, f"{term} is missing", f"/{term}", term)


# -- what the node sets


def asked(situation: Situation) -> Document:
    """The document with its identity to be shown, and no evidence yet."""
    is_asked = COMPANIES_REGISTER in situation.house.sources and is_british_company(situation.document)
    kept = {name: value for name, value in situation.document.items() if name != "identityEvidence"}
    return {**kept, "identityStatus": "PENDING" if is_asked else "NOT_CHECKED"}


def asked_anew(situation: Situation) -> Document:
    """A changed identity is to be shown again; whatever else changes leaves what is known of it."""
    was = situation.previous.document if situation.previous else {}
    is_touched = any(situation.document.get(term) != was.get(term) for term in COMPARED)
    return asked(situation) if is_touched else situation.document


def verified(situation: Situation) -> Document:
    """What the source has answered, in the place of the question."""
    return {**situation.document, **situation.note}


def evidenced(situation: Situation) -> Document:
    """One more thing that the operator has seen; its word is enough, also where a source is silent or queries."""
    known = situation.document.get("identityEvidence", [])
    seen = {
        "id": f"{situation.document['id']}#identityEvidence-{len(known) + 1}",
        "type": "IdentityEvidence",
        "evidenceKind": situation.note["evidenceKind"],
        "checkedAt": situation.now,
        "evidenceOutcome": "AGREES",
        "evidenceReference": situation.note["evidenceReference"],
    }
    return {**situation.document, "identityStatus": "CONFIRMED", "identityEvidence": [*known, seen]}


# -- actions

WHO_IT_IS = Rule(is_who_it_says, ("ORGANISATION-APPROVE-3",))
IDENTITY_ACTIONS = {
    VERIFICATION: Action(
        VERIFICATION,
        ("UC-01.02", "UC-01.03"),
        by_node("ORGANISATION-VERIFY-1"),
        (Rule(is_awaited, ("ORGANISATION-VERIFY-2",)),),
        states=NOT_LEFT,
        state_rule="ORGANISATION-VERIFY-3",
        apply=verified,
        note_terms=frozenset({"identityStatus", "identityEvidence"}),
        is_nodes_own=True,
    ),
    EVIDENCE: Action(
        EVIDENCE,
        ("UC-01.02", "UC-01.03"),
        (Policy("ORGANISATION-EVIDENCE-1", "only the operator records evidence of who an organisation is", frozenset({Role.OPERATOR})),),
        (Rule(is_told_apart, ("ORGANISATION-EVIDENCE-2",)),),
        states=NOT_LEFT,
        state_rule="ORGANISATION-EVIDENCE-3",
        apply=evidenced,
        note_class="IdentityEvidence",
        note_terms=frozenset({"evidenceKind", "evidenceReference"}),
    ),
}
