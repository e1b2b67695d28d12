"""A submission on its way to the journal: what was asked, and the version that it becomes.

Rules kept here: the node's own words (when, by whom, which version, what was filled and warned of) are added in this
one place; an entry's sections follow from the disclosure tiers, so that a receipt opens what its holder may see.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fmar_node.access.caller import Applicant, Caller
from fmar_node.access.past import pasts
from fmar_node.access.reveal import filtered, is_public
from fmar_node.errors import Fault, Severity
from fmar_node.journal.entry import canonical
from fmar_node.journal.journal import Draft
from fmar_node.kinds import KINDS, Situation
from fmar_node.kinds.erasure import ERASURE
from fmar_node.record import by_tier, state_in, uuid_of
from fmar_node.sources.consent import Consent
from fmar_node.vocabulary import Document, Tier, Vocabulary

NAMES = ("organisation", "application", "key_id", "actor", "user", "issuer", "is_node", "applicant")
"""What of a caller travels to the writer, which asks the register for the rest."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to write: who, which action on which record, with which bytes.

    `if_match` holds the entity tags' shared parts, None where the header was absent; `idempotency` the
    participant's key, `digest` what makes two requests with it the same one; `base_url` is the node's. The record's id is offered by the web room for new records.
    """

    caller: Caller
    kind: str
    action: str
    id: str
    base_url: str
    media_type: str
    body: bytes
    if_match: tuple[str, ...] | None = None
    idempotency: str = ""
    digest: str = ""
    offer: str = ""
    """A code that the web room has drawn, for an action that hands one out; it goes into no entry."""
    consent: Consent | None = None
    """What was said of the proof of consent that came with it; the proof itself does not travel."""

    @property
    def iri(self) -> str:
        return f"{self.base_url}/{self.kind}/{self.id}"

    @property
    def request(self) -> tuple[str, str, bytes]:
        """What an idempotency key is filed under, and what makes the request the same one."""
        return self.caller.sender, self.idempotency, bytes.fromhex(self.digest)

    def as_json(self) -> dict[str, Any]:
        header = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("body", "caller", "consent")}
        header["consent"] = self.consent.as_json() if self.consent else None
        caller = {name: getattr(self.caller, name) for name in NAMES}
        caller["applicant"] = asdict(self.caller.applicant) if self.caller.applicant else None
        return {**header, "caller": caller}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], body: bytes) -> Submission:
        if_match = value["if_match"]
        names = dict(value["caller"])
        applicant = names.pop("applicant")
        given = {**value, "consent": Consent.from_json(value["consent"]), "caller": Caller(**names, applicant=Applicant(**applicant) if applicant else None), "if_match": None if if_match is None else tuple(if_match)}
        return cls(**given, body=body)


def digest_of(method: str, path: str, media_type: str, body: bytes) -> str:
    """What makes two requests the same one: target and bytes, as they were sent."""
    return hashlib.sha256("\0".join((method, path, media_type)).encode() + b"\0" + body).hexdigest()


def recorded(applied: Document, situation: Situation, faults: tuple[Fault, ...], vocabulary: Vocabulary) -> Document:
    """The document with the record of its making: when, by whom, which version, what was filled and warned."""
    previous = situation.previous
    base = applied["id"].rsplit("/", 2)[0]
    document = {
        **applied,
        "version": previous.number + 1 if previous else 1,
        "recordedAt": situation.now,
        "recordedBy": None if situation.caller.is_node else f"{base}/organisations/{situation.caller.organisation or uuid_of(applied['id'])}",
        "registeredAt": previous.document["registeredAt"] if previous else situation.now,
        "shapesVersion": _judged_by(situation, vocabulary),
    }
    if document.get("standing") == "DEREGISTERED":
        document["deregisteredAt"] = situation.now
    if previous is None or faults or situation.document != previous.document:  # a named action leaves the notes as they are
        document |= _notes(document, faults, previous.document if previous else {})
    terms = vocabulary.terms
    ordered = sorted((name for name in document if name not in ("id", "type")), key=lambda name: (terms[name].order, name))
    present = {name: document[name] for name in ordered if document[name] not in ([], None)}
    return {"id": document["id"], "type": document["type"], **present}


def _judged_by(situation: Situation, vocabulary: Vocabulary) -> str:
    """The release that the document was judged by: a named action leaves it as it is, and what judged it."""
    previous = situation.previous
    is_as_it_was = previous is not None and situation.document == previous.document
    return str(previous.document["shapesVersion"]) if previous is not None and is_as_it_was else vocabulary.release


def _notes(document: Document, faults: tuple[Fault, ...], before: Document) -> Document:
    """What was warned of, and which of the present values the node has filled in: now, or earlier and unchanged since."""
    warned = [fault for fault in faults if fault.severity is Severity.WARN]
    filled = {fault.field for fault in faults if fault.severity is Severity.FILLED}
    kept = {name for name in before.get("defaulted", ()) if document.get(name) == before.get(name)}
    warnings = [
        {"id": f"{document['id']}#warning-{place}", "type": "Warning", "rule": fault.code, "text": fault.message}
        for place, fault in enumerate(warned, start=1)
    ]
    return {"warning": warnings, "defaulted": sorted(filled | kept)}


def without_personal(document: Document, vocabulary: Vocabulary) -> Document:
    """The document without its terms of the tier personal; a part that has nothing else goes whole."""
    shown = filtered(document, frozenset(Tier) - {Tier.PERSONAL}, vocabulary)
    kept = {name: _with_content(value) if isinstance(value, list) else value for name, value in shown.items()}
    return {name: value for name, value in kept.items() if value != []}


def _with_content(values: list[Any]) -> list[Any]:
    return [value for value in values if not isinstance(value, dict) or value.keys() - {"id", "type"}]


def draft_of(document: Document, situation: Situation, submission: Submission, vocabulary: Vocabulary, index: int, cause: int | None = None) -> Draft:
    """The version as the journal takes it: sections, state, identifiers."""
    return Draft(
        kind=submission.kind,
        id=submission.id,
        number=int(document["version"]),
        action=submission.action,
        recorded_at=situation.now,
        sections=_sections(document, situation, submission, vocabulary, index),
        erases=submission.action == ERASURE,
        idempotency=submission.request if submission.idempotency else None,
        cause=cause,
        **state_of(document, submission.kind),
    )


def state_of(document: Document, kind: str) -> dict[str, Any]:
    """What the journal's tables of current state hold for a document: a function of it alone, so that they can be checked."""
    manager, owner = (_uuid(document, term) for term in BELONGING[kind])
    manager = manager or _uuid(document, "registeredBy")
    awaited = KINDS[kind].awaits(document)
    return {
        "state": state_in(document),
        "is_live": document.get("standing") not in ("DEREGISTERED", None),
        "is_public": is_public(document),
        "manager": manager,
        "owner": owner,
        "area": document.get("dnoConnection") or document.get("switchArea"),
        "claims": frozenset((claim.scope, claim.value) for claim in KINDS[kind].claims(document)),
        "handles": frozenset(KINDS[kind].handles(document)),
        "keys": _keys(document),
        "former": frozenset((past.organisation, past.number) for past in pasts(document)),
        "due": awaited[0] if awaited else None,
    }


BELONGING = {
    "assets": ("managedBy", "owner"), "organisations": ("", ""), "users": ("userOf", ""), "delegations": ("grantor", "delegate"), "queries": ("publishedBy", ""),
    "notices": ("noticeParty", ""),
    "subscriptions": ("subscriber", ""),
    "consents": ("grantee", "consentedBy"),
    "releases": ("", ""),
    "switches": ("gainingProvider", "losingProvider"),
    "service-windows": ("windowProvider", "windowOperator"),
}  # fmt: skip
"""The terms that the tables know as a record's manager and owner; an asset without a provider is with whoever registered it."""


def _sections(
    document: Document, situation: Situation, submission: Submission, vocabulary: Vocabulary, index: int
) -> dict[str, bytes]:
    """The entry's sections: who may see which follows from the tiers (`docs/formats/journal.md`)."""
    envelope = {
        "index": index,
        "time": situation.now,
        "kind": submission.kind,
        "record": submission.id,
        "version": document["version"],
        "action": submission.action,
        "mediaType": submission.media_type,
    }
    cut = by_tier(document, vocabulary.terms)
    tiers = {tier.value: canonical(piece) for tier, piece in cut.items() if piece}
    actor = canonical(situation.caller.author.as_json())
    return {"envelope": canonical(envelope), "actor": actor, **tiers, "submission": submission.body}


def _uuid(document: Document, term: str) -> str | None:
    return uuid_of(document[term]) if term in document else None


def _keys(document: Document) -> tuple[tuple[str, str, str, bool], ...]:
    admitted = document.get("organisationStatus") in ("ACTIVE", "SUSPENDED")
    return tuple(
        (key["clientId"], key["keyId"], key["publicKey"], admitted and key["keyStatus"] == "ACTIVE")
        for key in document.get("applicationKey", ())
    )
