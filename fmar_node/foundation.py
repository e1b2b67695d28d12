"""How a node is made: its folder and keys, and the first entry of its journal, the operator's organisation.

The first organisation cannot have been registered by another one: it is the one entry without an actor.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

from fmar_node.access.caller import Caller, Role
from fmar_node.access.key import SigningKeys
from fmar_node.checks.shape import Shapes
from fmar_node.client import Profile, new_key, public_part, thumbprint
from fmar_node.clock import Clock, SystemClock, today
from fmar_node.errors import Invalid, Severity
from fmar_node.folder import Folder
from fmar_node.identity import new_record_id
from fmar_node.journal.journal import Journal
from fmar_node.judge import Judgement, Paper, judge
from fmar_node.kinds import KINDS, Situation
from fmar_node.record import Receipt
from fmar_node.representation import json_bytes
from fmar_node.settings import Settings
from fmar_node.submit import Submission, draft_of, recorded
from fmar_node.vocabulary import Document, Vocabulary

OPERATOR_CLIENT = "operator"
FOUNDER = Caller(roles=frozenset({Role.OPERATOR}), state="ACTIVE")


def make_node(root: Path, base_url: str, operator: Document, clock: Clock | None = None) -> Profile:
    """Makes a node's folder with the operator's organisation and credential; the operator's profile.

    `operator` is a document of the operator's organisation. Malformed where there is a node already, Invalid
    where the document breaks a rule; then nothing is left behind but an empty folder.
    """
    clock = clock or SystemClock()
    vocabulary, settings = Vocabulary.load(), Settings(base_url=base_url)
    submission = _submission(operator, settings)
    paper = Paper(submission.kind, "register", submission.iri, submission.media_type, submission.body, today(clock))
    judgement = judge(paper, vocabulary, Shapes(vocabulary), settings)
    if faults := tuple(fault for fault in judgement.faults if fault.severity is Severity.REJECT):
        raise Invalid("validation-failed", f"the operator's organisation: {faults[0].message} ({faults[0].field})", faults)
    folder = Folder(root)
    folder.make(base_url)
    SigningKeys.generate(folder.token_keys)
    key = new_key()
    _write_first_entry(folder, submission, judgement, key, vocabulary, clock)
    profile = Profile(base_url, base_url, f"{base_url}/oauth/token", OPERATOR_CLIENT, submission.iri, key)
    profile.save(folder.participants / OPERATOR_CLIENT)
    return profile


def _submission(operator: Document, settings: Settings) -> Submission:
    return Submission(
        FOUNDER, "organisations", "register", new_record_id(), settings.base_url, "application/ld+json", json_bytes(operator)
    )


def _write_first_entry(
    folder: Folder, submission: Submission, judgement: Judgement, key: dict[str, object], vocabulary: Vocabulary, clock: Clock
) -> Receipt:
    signing = folder.journal_key(submission.base_url)
    journal = Journal(folder.journal, signing.name, signing, vocabulary.terms, folder.lookup_key())
    now, day = journal.recorded_now(clock.now()), today(clock)
    situation = _founding(submission, judgement, journal, day, now, key)
    document = recorded(situation.document, situation, judgement.faults, vocabulary)
    with journal.batch() as batch:
        draft = draft_of(document, situation, submission, vocabulary, batch.next_index)
        index = batch.append(draft)
    journal.close()
    return Receipt(submission.kind, submission.id, 1, index)


def _founding(
    submission: Submission, judgement: Judgement, journal: Journal, day: date, now: str, key: dict[str, object]
) -> Situation:
    """Registered, approved, and with its first key, in one step."""
    actions = KINDS["organisations"].actions
    document = {"id": submission.iri, "type": "Organisation", **judgement.document}
    note = {"clientId": OPERATOR_CLIENT, "applicationName": "operator", "publicKey": _text(public_part(key)), "keyId": thumbprint(key)}
    for action in ("register", "approval", "key-registration"):
        situation = Situation(FOUNDER, journal.register, day, document, None, now, note)
        document = actions[action].apply(situation)
    return Situation(FOUNDER, journal.register, day, document, None, now)


def _text(jwk: dict[str, object]) -> str:
    return json_bytes(jwk).decode()
