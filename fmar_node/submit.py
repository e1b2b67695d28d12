"""The write path. Every kind of record goes through it; its steps stand here in the order they execute.

  1 limits      the web room caps bytes and headers before it calls
  2 credential  headers -> caller, in the web room
  3 document    in a judge process: bytes -> exact triples -> record document
  4 permission  which action, may the caller, does the state allow it
  5 shapes      in the judge process: four severities, all faults at once
  6 sources     only consent is waited for, and fails closed (`proven`); all else is asked after the commit (`followers/verification.py`)
  7 rules       uniqueness, references, dates: pure functions over the journal's own tables
  8 identity    the identifier that was offered becomes the record's
  9 journal     append, fsync: the commit point
 10 receipt     which version, at which place of the journal
 11 graph       the projector follows, in the writer's process

`submit` runs in the web process, `enter` in the writer's, inside the journal's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Protocol

from fmar_node.access.caller import Caller, node_itself
from fmar_node.access.past import own_look
from fmar_node.access.reveal import filtered, reveal, tiers, unseen
from fmar_node.access.standing import Standings, caller_in
from fmar_node.drafting import Submission, draft_of, recorded, without_personal
from fmar_node.errors import (
    Broken,
    Conflict,
    Fault,
    FmarError,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionMissing,
    Severity,
    Stale,
    Unavailable,
    counted,
)
from fmar_node.identity import new_record_id
from fmar_node.journal.journal import Batch, Draft
from fmar_node.journal.register import Register
from fmar_node.judge import Judgement, Paper
from fmar_node.kinds import BARE, KINDS, Action, Consequence, House, Situation
from fmar_node.kinds.erasure import ERASURE, EVERYTHING
from fmar_node.kinds.kind import FORBIDDING, FORMER_PROVIDER, UNSEEN
from fmar_node.kinds.matter import following
from fmar_node.kinds.proof import PROOF, unavailable
from fmar_node.record import Receipt, Version
from fmar_node.representation import LD_JSON, fingerprint, json_bytes
from fmar_node.sources.consent import Consent, ConsentQuestion, ConsentVerdict
from fmar_node.vocabulary import Document, Term, Vocabulary

CONFLICTS = frozenset({
    "DUPLICATE_EXACT", "FRIENDLY_CODE_TAKEN", "ORG_ALREADY_REGISTERED", "LIVE_ASSETS", "ORGANISATION-KEY-4",
    "ORGANISATION-OPERATOR-1", "ORGANISATION-OPERATOR-2", "USER_EXISTS", "LAST_ADMINISTRATOR", "DELEGATION-ACCEPT-3", "USER-INVITE-4", "USER-ACCEPT-3",
    "ORGANISATION-APPROVE-3", "ORGANISATION-VERIFY-2", "APPLICATION_PENDING", "QUERY_NAME_TAKEN", "SAVED-QUERY-PUBLISH-2", "SAVED-QUERY-PUBLISH-3",
    "NOTICE-RAISE-2",
    "EXTERNAL_ID_TAKEN",
    "SUBSCRIPTION-OPEN-2",
    "CONSENT_REPLAYED",
    "ASSET_UNKNOWN", "ASSET_AMBIGUOUS", "NOT_ELIGIBLE_STATE", "SAME_FSP", "SWITCH_ALREADY_PENDING", "SERVICE_WINDOW_CONFIRMED",
    "CONFIRMED_WINDOW", "SWITCH_PENDING", "WINDOW_OVERLAPS",
    "RELEASE-SHADOW-3", "RELEASE-SHADOW-4", "RELEASE-SHADOW-5",
})  # fmt: skip
"""Faults of state rather than of the document: 409, not 422."""
OWN_PROBLEMS = ("consent-not-available", "consent-required")
"""Faults that are a problem of their own, where nothing else rejects."""


class Judges(Protocol):
    """The warm judge processes."""

    async def judge(self, paper: Paper, party: str = "") -> Judgement: ...


class Writer(Protocol):
    """The process that writes the journal and the graph."""

    async def commit(self, submission: Submission, judgement: Judgement) -> Receipt: ...


class Consenting(Protocol):
    """Whoever has proofs of consent verified (`fmar_node.sources.consent.Consents`)."""

    async def verify(self, question: ConsentQuestion) -> Consent: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What the write path needs in the web process."""

    register: Register
    judges: Judges
    writer: Writer
    vocabulary: Vocabulary
    """The release in force, as far as the web process knows."""
    house: House = BARE
    consents: Consenting | None = None
    shadow: str = ""
    """The candidate, by which documents are judged beside; none where it is empty."""
    noted: Callable[[Submission, Judgement], None] = lambda _, __: None
    """Told of what was judged and is to be entered."""
    standings: Standings | None = None
    """What is known of callers; without it they are worked out each time."""

    def permitted(self, submission: Submission, judgement: Judgement | None, today: date) -> Situation:
        """Step 4 as far as the web process knows."""
        caller = self.standings.of(submission.caller) if self.standings else None
        return permitted(submission, self.register, self.vocabulary, judgement, today, house=self.house, caller=caller)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a submission: its receipt (none after a dry run), and everything noted on the way."""

    receipt: Receipt | None
    document: Document
    faults: tuple[Fault, ...] = field(default=())


async def submit(desk: Desk, submission: Submission, today: date, *, dry_run: bool = False) -> Outcome:
    """Takes a submission through all steps. FmarError for every refusal; then nothing was written."""
    repeated = _repeated(submission, desk.register)
    if repeated is not None:
        return Outcome(repeated, {})
    situation = desk.permitted(submission, None, today)
    previous = situation.previous.document if situation.previous else None
    shadow = "" if dry_run else desk.shadow
    paper = Paper(
        submission.kind, submission.action, submission.iri, submission.media_type, submission.body, today, previous, desk.vocabulary.release, shadow
    )  # fmt: skip
    judgement = await desk.judges.judge(paper, submission.caller.party)
    situation = desk.permitted(submission, judgement, today)
    if (question := _action(submission).consent(situation)) and question.proof and not _is_rejected(judgement):
        submission, judgement = await proven(desk, submission, judgement, question)
        situation = desk.permitted(submission, judgement, today)
    faults = examined(situation, submission, judgement, desk.vocabulary.terms)
    told = _told(faults, situation, desk.vocabulary.terms)
    if dry_run:
        return Outcome(None, _judged(situation, desk.vocabulary), told)
    receipt = await desk.writer.commit(submission, judgement)
    desk.noted(submission, judgement)
    return Outcome(receipt, situation.document, told)


async def proven(desk: Desk, submission: Submission, judgement: Judgement, question: ConsentQuestion) -> tuple[Submission, Judgement]:
    """Step 6: what is said of the proof of consent, in its place; nothing that goes on to the writer holds the proof itself.

    Unavailable where nobody says, Invalid where the proof does not stand in the body as it is.
    """
    proof = question.proof.encode()
    if proof not in submission.body:
        message = f"{PROOF} is written as it is, without escapes"
        raise Invalid("validation-failed", message, (Fault("CONSENT_INVALID", Severity.REJECT, message, f"/{PROOF}", PROOF),))
    consent = await desk.consents.verify(question) if desk.consents else Consent(ConsentVerdict.UNAVAILABLE)
    if consent.verdict is ConsentVerdict.UNAVAILABLE:
        raise unavailable()
    body = submission.body.replace(proof, consent.digest.encode())
    document = {name: value for name, value in judgement.document.items() if name != PROOF}
    return replace(submission, body=body, consent=replace(consent, record=new_record_id())), replace(judgement, document=document)


def _is_rejected(judgement: Judgement) -> bool:
    """Whether the document is refused whatever anybody says of its proof."""
    return any(fault.severity is Severity.REJECT for fault in judgement.faults)


@dataclass(frozen=True, slots=True)
class Settled:
    """A submission that has passed every check inside the transaction: its draft, and what follows from it."""

    draft: Draft
    situation: Situation
    consequences: tuple[Consequence, ...] = ()


def _judged(situation: Situation, vocabulary: Vocabulary) -> Document:
    """The document of a trial as far as the caller sees the record: what it does not see is in what was judged all the same."""
    if situation.previous is None:
        return situation.document
    return filtered(situation.document, tiers(situation.previous.document, situation.caller), vocabulary)


def _told(faults: Iterable[Fault], situation: Situation, terms: Mapping[str, Term]) -> tuple[Fault, ...]:
    """What nobody has to mend of a document, as far as it is about what the caller sees."""
    if situation.previous is None:
        return tuple(faults)
    opened = tiers(situation.previous.document, situation.caller)
    return tuple(fault for fault in faults if (term := terms.get(fault.field)) is None or term.tier in opened)


def settle(
    submission: Submission, judgement: Judgement, register: Register, vocabulary: Vocabulary, today: date, now: str, index: int,
    house: House = BARE, caller: Caller | None = None,
) -> Settled | Receipt:
    """Steps 4, 7 and 8 inside the journal's transaction: a draft to append, or the receipt of a repeated request.

    `vocabulary` is the release in force there. Unavailable where the document was judged by another one: what is refused is not
    refused by what was in force before, nor accepted.
    """
    repeated = _repeated(submission, register)
    if repeated is not None:
        return repeated
    if judgement.release != vocabulary.release and not submission.caller.is_node:
        detail = "another release has come into force since this was judged; nothing was written"
        raise Unavailable("release-changed", detail, headers={"Retry-After": "1"})
    situation = permitted(submission, register, vocabulary, judgement, today, now, house, caller)
    faults = examined(situation, submission, judgement, vocabulary.terms)
    action = _action(submission)
    if (question := action.consent(situation)) and question.proof:
        raise Broken("internal-error", "a proof of consent is never kept")
    applied = action.apply(situation)
    if situation.previous is not None and applied == situation.previous.document:
        previous = situation.previous
        return Receipt(previous.kind, previous.id, previous.number, previous.index, is_repeat=True)
    if action.name == ERASURE and applied["erasureScope"] == EVERYTHING:
        applied = without_personal(applied, vocabulary)
    document = recorded(applied, situation, faults, vocabulary)
    draft = draft_of(document, situation, submission, vocabulary, index)
    before = situation.previous.document if situation.previous else None
    notices = following(register, KINDS[submission.kind], action.name, before, document)
    return Settled(draft, situation, (*notices, *action.consequences(situation)))


def enter(
    batch: Batch, submission: Submission, judgement: Judgement, vocabulary: Vocabulary, today: date, now: str,
    house: House = BARE, caller: Caller | None = None,
) -> Receipt:
    """Settles a submission and appends what it becomes and brings about, inside the journal's transaction; FmarError for every refusal."""
    settled = settle(submission, judgement, batch.journal.register, vocabulary, today, now, batch.next_index, house, caller)
    if isinstance(settled, Settled):
        draft = settled.draft
        receipt = Receipt(draft.kind, draft.id, draft.number, batch.append(draft))
        for each in settled.consequences:
            _bring_about(batch, each, submission, settled.situation, vocabulary, receipt.index)
        return receipt
    if submission.idempotency:
        batch.remember(submission.request, settled.id, settled.index)
    return settled


def _bring_about(batch: Batch, each: Consequence, submission: Submission, cause: Situation, vocabulary: Vocabulary, index: int) -> None:
    """One consequence, and the notices that follow from it: the node's own doing in the name of who caused it, asked by no policy."""
    kind, register = KINDS[each.kind], batch.journal.register
    action, previous = kind.actions[each.action], register.current(each.kind, each.id)
    if not action.is_open_in(previous.state if previous else None):
        raise Broken("internal-error", f"{each.kind} {each.action} cannot follow from {submission.kind} {submission.action}")
    body = json_bytes(each.note)
    own = replace(submission, kind=each.kind, action=each.action, id=each.id, media_type=LD_JSON, body=body, idempotency="", if_match=None)
    made = {"id": own.iri, "type": kind.class_name, **each.note}
    caller = node_itself() if kind.names_no_cause else cause.caller
    situation = replace(cause, caller=caller, register=register, document=dict(previous.document) if previous else made, previous=previous, note=each.note)
    document = recorded(action.apply(situation), situation, (), vocabulary)
    batch.append(draft_of(document, situation, own, vocabulary, batch.next_index, index))
    for further in following(register, kind, each.action, previous.document if previous else None, document):
        _bring_about(batch, further, submission, cause, vocabulary, index)


def permitted(
    submission: Submission, register: Register, vocabulary: Vocabulary, judgement: Judgement | None, today: date, now: str = "",
    house: House = BARE, caller: Caller | None = None,
) -> Situation:
    """Step 4: the action exists, the caller sees the record and may, the state allows it, the version is current.

    None stands for a document that has not been read yet: then nobody can say what authority it brings. `caller` is the submission's as the
    register has it, where that has been worked out before.
    """
    caller = caller or caller_in(register, submission.caller, today)
    action = _action(submission)
    previous = register.current(submission.kind, submission.id) if submission.action != "register" else None
    shown = _shown(previous, caller, action, vocabulary)
    if submission.action != "register" and shown is None and action.authority is None:
        raise _unseen(previous or register.alike(submission.kind, submission.id), caller, register, is_there=previous is not None)
    read = judgement or Judgement()
    carried = _carried(read.document, previous, vocabulary) if action.takes_document else dict(previous.document if previous else {})
    document = {"id": submission.iri, "type": KINDS[submission.kind].class_name, **carried}
    note = {} if action.takes_document else read.document
    situation = Situation(caller, register, today, document, previous, now, note, house, submission.offer, submission.consent)
    verdict = action.verdict(situation)
    if not verdict.permitted:
        fault = Fault(verdict.policy, Severity.REJECT, verdict.reason)
        suspended = "your organisation is suspended and may only read; " if caller.state == "SUSPENDED" else ""
        raise Forbidden("not-permitted", f"{suspended}{verdict.policy}: {verdict.reason}", (fault,))
    if action.authority is not None:
        if judgement is None:
            return situation
        if previous is None or not action.authority(situation):
            raise NotFound("not-found", "no such record for this caller")
    if previous is not None and action.takes_document and judgement is not None:
        _check_unseen(document, previous.document, caller, vocabulary)
    if previous is not None and not action.is_open_in(previous.state):
        allowed = ", ".join(sorted(action.states))
        fault = Fault(action.state_rule, Severity.REJECT, f"the record is {previous.state}; {action.name} needs {allowed}")
        raise Conflict("conflict", fault.message, (fault,))
    is_named = action.takes_document or submission.if_match is not None or (previous is not None and action.names_version(previous.document))
    if is_named and shown is not None:
        _check_condition(submission, shown)
    return situation


def examined(situation: Situation, submission: Submission, judgement: Judgement, terms: Mapping[str, Term]) -> tuple[Fault, ...]:
    """Step 7: the judge's faults and the rules' together. Invalid or Conflict with all of them when any blocks."""
    found = list(judgement.faults)
    readable = not any(fault.code in ("type-mismatch", "foreign-subject") for fault in found)
    seen = {fault.pointer for fault in found if fault.severity is Severity.REJECT}
    for rule in _action(submission).rules if readable else ():
        placed = map(judgement.placed, rule.faults(situation))
        found += [fault for fault in placed if fault.pointer not in seen or not fault.pointer]
    justified = {each.get("rule") for each in situation.document.get("justification", ())}
    blocking = [fault for fault in found if _blocks(fault, justified)]
    if blocking:
        raise _refusal(blocking, [*blocking, *_told((each for each in found if each not in blocking), situation, terms)])
    return tuple(found)


def _blocks(fault: Fault, justified: Iterable[str | None]) -> bool:
    return fault.severity is Severity.REJECT or (fault.severity is Severity.JUSTIFY and fault.code not in justified)


def _refusal(blocking: list[Fault], found: list[Fault]) -> FmarError:
    blocks = {id(fault) for fault in blocking}
    shown = tuple(fault for fault in found if id(fault) in blocks or fault.severity is Severity.WARN)
    rejected = [fault for fault in blocking if fault.severity is Severity.REJECT]
    if all(fault.code in CONFLICTS for fault in blocking):
        return Conflict("conflict", blocking[0].message, shown)
    if rejected and rejected[0].code in OWN_PROBLEMS and all(fault.code == rejected[0].code for fault in rejected):
        return Invalid(rejected[0].code, rejected[0].message, shown)
    count = len(blocking)
    return Invalid("validation-failed", f"{counted(count, 'fault')} to mend or justify", shown)


def _shown(previous: Version | None, caller: Caller, action: Action, vocabulary: Vocabulary) -> Document | None:
    """What the caller sees of the record, which it must see to act on it; the node acts on what it has found itself."""
    if previous is None or (caller.is_node and action.is_nodes_own):
        return previous.document if previous else None
    return reveal(previous.document, caller, vocabulary)


def _unseen(previous: Version | None, caller: Caller, register: Register, *, is_there: bool) -> FmarError:
    """Why a record cannot be acted on that the caller does not see as it is now: it was its provider, or there is no such record for it.

    Of one that is not there another is looked at, so that time does not tell which are.
    """
    if previous is not None and own_look(previous, caller, register.version) is not None and is_there:
        fault = Fault(FORMER_PROVIDER, Severity.REJECT, FORBIDDING[FORMER_PROVIDER])
        return Forbidden("not-permitted", f"{fault.code}: {fault.message}", (fault,))
    return NotFound("not-found", "no such record for this caller")


def hidden() -> Forbidden:
    """The refusal of whoever would change what it does not see."""
    fault = Fault(UNSEEN, Severity.REJECT, FORBIDDING[UNSEEN])
    return Forbidden("not-permitted", f"{fault.code}: {fault.message}", (fault,))


def _check_unseen(document: Document, before: Document, caller: Caller, vocabulary: Vocabulary) -> None:
    """Forbidden where something changes that the caller does not see: it is not judged either, so that no trial tells what is there."""
    opened = tiers(before, caller)
    if unseen(document, opened, vocabulary) != unseen(before, opened, vocabulary):
        raise hidden()


def _action(submission: Submission) -> Action:
    kind = KINDS.get(submission.kind)
    if kind is None or submission.action not in kind.actions:
        raise NotFound("not-found", f"{submission.kind} has no action {submission.action!r}")
    return kind.actions[submission.action]


def _repeated(submission: Submission, register: Register) -> Receipt | None:
    """The receipt of an earlier request with the same idempotency key; Invalid when it was another request."""
    if not submission.idempotency or submission.caller.is_anonymous:
        return None
    earlier = register.repeated(*submission.request)
    if earlier is None:
        return None
    is_same, index = earlier
    if not is_same:
        raise Invalid("idempotency-key-reused", "the same Idempotency-Key came with another request before")
    version = register.version_at(index)
    assert version is not None
    return Receipt(version.kind, version.id, version.number, version.index, is_repeat=True)


def _check_condition(submission: Submission, shown: Document) -> None:
    """Compare-and-set: an update names the version that it is based on (domain C5)."""
    if submission.if_match is None:
        raise PreconditionMissing("precondition-required", "send If-Match with the record's ETag")
    if "*" not in submission.if_match and fingerprint(shown) not in submission.if_match:
        raise Stale("version-stale", "the record is no longer the version that this change is based on")


def _carried(document: Document, previous: Version | None, vocabulary: Vocabulary) -> Document:
    """The submitted document with what the node has set before."""
    if previous is None:
        return document
    kept = {name: value for name, value in previous.document.items() if _is_server_set(name, vocabulary)}
    return {**kept, **document}


def _is_server_set(name: str, vocabulary: Vocabulary) -> bool:
    term = vocabulary.terms.get(name)
    return term is not None and term.server_set
