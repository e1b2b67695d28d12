"""What comes of a proof of consent, the same for every kind that takes one (domain 5.3, 5.4).

Rules kept here: a proof that was given has to hold, whether it is needed or not; a verdict counts for the question that it answers, so that what has
changed between verification and commit is found; a consent of a single use is used once, whatever form its proof has.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.errors import Fault, Severity, Unavailable
from fmar_node.kinds.kind import Claim, Consequence, Situation
from fmar_node.record import uuid_of
from fmar_node.sources.consent import Consent, ConsentQuestion, ConsentVerdict
from fmar_node.vocabulary import Document

PROOF = "consentReference"
"""The term that a proof comes in; it is never kept."""
RESTS_ON = "CONSENT_RECORD"
"""The scheme under which a record carries the id of the consent that it rests on."""
CODES = ("CONSENT_INVALID", "CONSENT_SCOPE", "CONSENT_EXPIRED", "CONSENT_REPLAYED")
CODE_OF = {
    ConsentVerdict.UNKNOWN: "CONSENT_INVALID", ConsentVerdict.REVOKED: "CONSENT_INVALID", ConsentVerdict.NOT_YET_VALID: "CONSENT_INVALID",
    ConsentVerdict.WRONG_GRANTEE: "CONSENT_INVALID", ConsentVerdict.WRONG_SUBJECT: "CONSENT_SCOPE", ConsentVerdict.WRONG_PURPOSE: "CONSENT_SCOPE",
    ConsentVerdict.EXPIRED: "CONSENT_EXPIRED", ConsentVerdict.REPLAYED: "CONSENT_REPLAYED",
}  # fmt: skip
MESSAGES = {
    "CONSENT_INVALID": "this proof is of no consent that holds now for this provider",
    "CONSENT_SCOPE": "the consent is for something else, or does not name the asset or all of its meter points",
    "CONSENT_EXPIRED": "the consent has ended",
    "CONSENT_REPLAYED": "the consent is for a single use, and has been used",
}
RETRY_SECONDS = 30


def faults(situation: Situation, question: ConsentQuestion, *, is_needed: bool) -> Iterable[Fault]:
    """What stands in the way of an action that a proof of consent comes with, or has to."""
    consent = situation.consent
    if consent is None:
        if is_needed and not question.proof:
            message = f"this needs a consent: send its proof as {PROOF}"
            yield Fault("consent-required", Severity.REJECT, message, f"/{PROOF}", PROOF)
        return
    verdict = consent.verdict if consent.about == question.about else ConsentVerdict.WRONG_SUBJECT
    if verdict is ConsentVerdict.VALID and any(map(situation.register.holder, uses(consent))):
        verdict = ConsentVerdict.REPLAYED
    if verdict is not ConsentVerdict.VALID:
        code = CODE_OF[verdict]
        yield Fault(code, Severity.REJECT, MESSAGES[code], f"/{PROOF}", PROOF)


def unavailable() -> Unavailable:
    """The refusal where a consent solution gives no answer."""
    fault = Fault("CONSENT_SERVICE_UNAVAILABLE", Severity.REJECT, "the consent solution gives no answer", f"/{PROOF}", PROOF)
    return Unavailable("consent-service-unavailable", "the proof of consent cannot be verified at present; nothing was written", (fault,), headers={"Retry-After": str(RETRY_SECONDS)})


def uses(consent: Consent) -> tuple[Claim, ...]:
    """What the record of a consent of a single use holds for good: the proof's hash, and the consent's own name, whatever its proof is."""
    return used(consent.digest, consent.solution, consent.reference) if consent.is_single_use else ()


def used(digest: str, solution: str, reference: str) -> tuple[Claim, ...]:
    return Claim("consent/proof", digest), Claim("consent/reference", f"{solution}|{reference}")


def resting(document: Document) -> set[tuple[str, str]]:
    """The identifier by which a record is found from the consent that it rests on."""
    return {(RESTS_ON, uuid_of(document["consent"]))} if "consent" in document else set()


def record_of(situation: Situation) -> str:
    """The IRI of the record that the verified consent is to have; empty where no consent was given."""
    base = situation.document["id"].rsplit("/", 2)[0]
    return f"{base}/consents/{situation.consent.record}" if situation.consent else ""


def kept(situation: Situation, question: ConsentQuestion, asset: str, owner: str = "") -> Consequence:
    """The record of a consent that was given, as a consequence of what it was given for. `asset` and `owner` are IRIs."""
    consent = situation.consent
    assert consent is not None
    told = {
        "grantee": question.grantee, "consentedBy": owner, "consentAsset": asset, "consentPurpose": sorted(consent.purposes),
        "consentSolution": consent.solution, "consentHash": consent.digest, "solutionReference": consent.reference, "statusPlace": consent.place,
        "consentFrom": consent.valid_from, "consentUntil": consent.valid_to, "isSingleUse": consent.is_single_use, "verifiedAt": consent.checked_at,
    }  # fmt: skip
    return Consequence("consents", consent.record, "register", {term: value for term, value in told.items() if value})


def ended(situation: Situation, iri: str) -> Iterable[Consequence]:
    """The end of a consent that something else takes the place of, where it holds still."""
    found = situation.register.current("consents", uuid_of(iri)) if iri else None
    if found is not None and found.state == "VALID":
        yield Consequence("consents", found.id, "end")


def points(document: Document) -> tuple[str, ...]:
    """The canonical identifiers of an asset and of its meter points."""
    found = (f"mpan:{document[term]}" for term in ("importMPAN", "exportMPAN") if term in document)
    return (f"asset:{uuid_of(document['id'])}", *dict.fromkeys(found))
