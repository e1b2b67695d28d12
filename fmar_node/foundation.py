"""How a node is made: its folder and keys, and the first entry of its journal, the operator's organisation.

The first organisation cannot have been registered by another one: it is the one entry without an actor.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fmar_node.access.caller import Caller, Role
from fmar_node.access.key import SigningKeys
from fmar_node.checks.shape import Shapes
from fmar_node.client import Profile, new_key, public_part
from fmar_node.clock import Clock, SystemClock, today
from fmar_node.drafting import Submission, draft_of, recorded
from fmar_node.errors import Invalid, Severity
from fmar_node.folder import Folder, sync
from fmar_node.identity import new_record_id
from fmar_node.journal.journal import Draft, Journal
from fmar_node.judge import Judgement, Paper, judge
from fmar_node.kinds import KINDS, Situation
from fmar_node.representation import LD_JSON, json_bytes
from fmar_node.settings import Settings
from fmar_node.vocabulary import Document, Vocabulary

OPERATOR_CLIENT = "operator"
FOUNDER = Caller(roles=frozenset({Role.OPERATOR}), state="ACTIVE")


def make_node(root: Path, base_url: str, operator: Document, clock: Clock | None = None) -> Profile:
    """Makes a node's folder with the operator's organisation and credential; the operator's profile. All is on disk then.

    `operator` is a document of the operator's organisation. Malformed where there is a node already, Invalid
    where the document breaks a rule; then nothing is left behind but an empty folder.
    """
    clock, vocabulary, settings = clock or SystemClock(), Vocabulary.load(), Settings(base_url=base_url)
    shapes = Shapes(vocabulary)
    judged(operator, vocabulary, shapes, settings, clock)
    folder, key = Folder(root), new_key()
    folder.make(base_url)
    SigningKeys.generate(folder.token_keys)
    signing = folder.journal_key(base_url)
    journal = Journal(folder.journal, signing.name, signing, vocabulary.terms, folder.lookup_key())
    draft = first_draft(operator, journal, vocabulary, shapes, settings, clock, public_part(key))
    with journal.batch() as batch:
        batch.append(draft)
    journal.close()
    iri = f"{base_url}/organisations/{draft.id}"
    profile = Profile(base_url, base_url, f"{base_url}/oauth/token", OPERATOR_CLIENT, iri, key)
    profile.save(folder.participants / OPERATOR_CLIENT)
    for path in (*root.rglob("*"), root):
        sync(path)
    with suppress(PermissionError):  # a folder that may be written to and not read
        sync(root.absolute().parent)
    return profile


def judged(operator: Document, vocabulary: Vocabulary, shapes: Shapes, settings: Settings, clock: Clock) -> tuple[Submission, Judgement]:
    """The founding submission and its judgement; Invalid where the document breaks a rule."""
    body = json_bytes(operator)
    submission = Submission(FOUNDER, "organisations", "register", new_record_id(), settings.base_url, LD_JSON, body)
    paper = Paper(submission.kind, "register", submission.iri, LD_JSON, body, today(clock))
    judgement = judge(paper, vocabulary, shapes, settings)
    if faults := tuple(fault for fault in judgement.faults if fault.severity is Severity.REJECT):
        raise Invalid("validation-failed", f"the operator's organisation: {faults[0].message} ({faults[0].field})", faults)
    return submission, judgement


def first_draft(
    operator: Document, journal: Journal, vocabulary: Vocabulary, shapes: Shapes, settings: Settings, clock: Clock, key: dict[str, object]
) -> Draft:
    """The first entry: the operator's organisation registered, approved, and with its first key, in one step."""
    submission, judgement = judged(operator, vocabulary, shapes, settings, clock)
    now, day = journal.recorded_now(clock.now()), today(clock)
    note = {"clientId": OPERATOR_CLIENT, "applicationName": OPERATOR_CLIENT, "publicKey": json_bytes(key).decode()}
    document = {"id": submission.iri, "type": "Organisation", **judgement.document}
    for action in ("register", "approval", "key-registration"):
        situation = Situation(FOUNDER, journal.register, day, document, None, now, note)
        document = KINDS["organisations"].actions[action].apply(situation)
    founded = Situation(FOUNDER, journal.register, day, document, None, now)
    return draft_of(recorded(document, founded, judgement.faults, vocabulary), founded, submission, vocabulary, 0)
