"""A simulated market in one process: a real journal and graph on disk, real judgement and rules, a clock that stands.

Given a market, when something is submitted, then a verdict and a journal entry.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.access.caller import Caller, node_itself
from fmar_node.access.reveal import reveal
from fmar_node.access.standing import caller_in
from fmar_node.checks.mpan import check_digit
from fmar_node.checks.shape import Shapes
from fmar_node.client import new_key, public_part
from fmar_node.clock import SetClock, today
from fmar_node.drafting import Submission, digest_of, draft_of, recorded
from fmar_node.errors import Fault, FmarError, Severity
from fmar_node.folder import Folder, write_private
from fmar_node.followers.projector import Projector
from fmar_node.foundation import first_draft
from fmar_node.identity import new_record_id
from fmar_node.journal.checkpoint import SigningKey
from fmar_node.journal.journal import Batch, Journal
from fmar_node.journal.register import Register, connect
from fmar_node.judge import Judgement, Paper, Shelf, judge
from fmar_node.keeping import clockwork
from fmar_node.kinds import BARE, KINDS, House, Situation, Verdict
from fmar_node.read import Reader
from fmar_node.record import Receipt, Version
from fmar_node.release import Releases
from fmar_node.representation import fingerprint
from fmar_node.settings import Settings
from fmar_node.store.graph import Graph
from fmar_node.submit import Desk, enter, submit
from fmar_node.vocabulary import Document, Vocabulary

BASE = "https://node.example"
ORIGIN = "node.example/journal"
START = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
SETTINGS = Settings(base_url=BASE)
LOOKUP_KEY = b"k" * 32


@cache
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@cache
def shapes() -> Shapes:
    return Shapes(vocabulary())


def mpan(number: int, distributor: int = 10) -> str:
    """The number-th valid MPAN core of a distributor."""
    core = f"{distributor:02d}{number:010d}"
    return core + str(check_digit(core))


def battery(serial: str = "GP-BESS-0001", **changes: Any) -> Document:
    """A valid battery in UKPN_EPN; a change to None leaves the term out."""
    number = sum(ord(character) * 31**place for place, character in enumerate(serial)) % 10**9
    document = {
        "type": "Asset",
        "assetName": "Green Park battery 1",
        "ownerKind": "ORGANISATION",
        "ownerName": "Green Park Energy",
        "assetCategory": "BESS",
        "energySource": "GRID",
        "ratedCapacity": "500.00",
        "installedCapacity": "500.00",
        "genCapacity": "500.00",
        "demandCapacity": "480.00",
        "storageEnergyCapacity": "1000.00",
        "connectionStatus": "CONNECTED",
        "connectionType": "FIRM",
        "dnoConnection": "UKPN_EPN",
        "importMPAN": mpan(2 * number),
        "exportMPAN": mpan(2 * number + 1),
        "commissioningDate": "2024-03-01",
        "manufacturer": "Acme Storage",
        "assetModel": "AS-500",
        "serialNumber": serial,
        "justification": [{"rule": "A03", "text": "owner not registered yet"}],
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def saved_query(name: str = "assets-by-area", **changes: Any) -> Document:
    """A valid saved query for network operators; a change to None leaves the term out."""
    document = {
        "type": "SavedQuery",
        "queryName": name,
        "queryTitle": "Assets by area",
        "queryDescription": "How many assets an area has.",
        "queryText": "PREFIX fmar: <https://w3id.org/fmar/ns#>\nSELECT ?area (COUNT(?asset) AS ?assets) { ?asset fmar:dnoConnection ?area } GROUP BY ?area",
        "parameter": [{"parameterName": "area", "parameterKind": "CODE", "codeList": "DNOCode", "isOptional": True}],
        "audience": ["DNO"],
        **changes,
    }
    return {term: value for term, value in document.items() if value is not None}


def organisation(name: str, roles: list[str], **changes: Any) -> Document:
    document = {
        "type": "Organisation",
        "organisationLegalName": name,
        "organisationType": "OTHER",
        "organisationTypeDescription": "for a test",
        "organisationRoles": roles,
        **changes,
    }
    return {term: value for term, value in document.items() if value is not None}


def named(fault: Fault) -> str:
    """The constraint that a fault comes from, or its code where it has no other name."""
    return fault.constraint or fault.code


@contextmanager
def refused(*names: str, as_: type[FmarError] = FmarError) -> Iterator[pytest.ExceptionInfo[FmarError]]:
    """The block is refused, and what stands in its way is exactly what has these names."""
    with pytest.raises(as_) as refusal:
        yield refusal
    blocking = (Severity.REJECT, Severity.JUSTIFY)
    assert sorted({named(fault) for fault in refusal.value.faults if fault.severity in blocking}) == sorted(names)


@dataclass
class Market:
    """A register with participants, driven directly."""

    folder: Path
    clock: SetClock = field(default_factory=lambda: SetClock(START))
    callers: dict[str, Caller] = field(default_factory=dict)
    house: House = BARE

    def __post_init__(self) -> None:
        self.key = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"s" * 32))
        self.open()

    def open(self) -> None:
        self.journal = Journal(self.folder / "journal", ORIGIN, self.key, vocabulary().terms, LOOKUP_KEY)
        self.register = Register(connect(self.folder / "journal" / "journal.db"), vocabulary().terms, LOOKUP_KEY)
        self.reader = Reader(self.register, vocabulary())
        self.releases, self.shelf = Releases(vocabulary()), Shelf()
        self.shadowed: list[tuple[str, ...]] = []
        """What stood against each accepted document in the candidate."""

    def close(self) -> None:
        self.register.connection.close()
        self.journal.close()

    def copied(self, folder: Path) -> Market:
        """The same market in another folder: the same records, identifiers and time, from here on by itself."""
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return Market(folder, SetClock(self.clock.now()), dict(self.callers))

    def node_folder(self) -> Folder:
        """The market's data as the folder of a node that is not running; close the market first."""
        made = Folder(self.folder)
        made.token_keys.parent.mkdir(exist_ok=True)
        made.settings_file.write_text(f'base_url = "{BASE}"\n', "utf-8")
        made.token_keys.write_text("{}", "utf-8")
        for file, key in ((made.journal_key_file, self.key.private.private_bytes_raw()), (made.lookup_key_file, LOOKUP_KEY)):
            file.unlink(missing_ok=True)
            write_private(file, key)
        return made

    # -- participants

    def join(self, name: str, *roles: str, **changes: Any) -> Caller:
        """Registers and approves an organisation as the operator; the first one is the operator itself."""
        founder = self.callers.get("operator", Caller(organisation=new_record_id(), roles=frozenset(), state="ACTIVE"))
        if not self.callers:
            return self._found(name, *roles)
        receipt = self.submit(founder, "organisations", organisation(name, list(roles), **changes))
        self.act(founder, "organisations", receipt.id, "approval")
        return self.enter(name, receipt.id)

    def _found(self, name: str, *roles: str) -> Caller:
        document, key = organisation(name, list(roles)), public_part(new_key())
        draft = first_draft(document, self.journal, vocabulary(), shapes(), SETTINGS, self.clock, key)
        with self.journal.batch() as batch:
            batch.append(draft)
        return self.enter(name, draft.id)

    def enter(self, name: str, id_: str) -> Caller:
        version = self.register.current("organisations", id_)
        assert version is not None
        self.callers[name] = self.as_known(Caller(id_, name))
        return self.callers[name]

    def as_known(self, names: Caller) -> Caller:
        """The caller of these names as the register has it now."""
        return caller_in(self.register, names, today(self.clock))

    def acting(self, actor: str, subject: str) -> Caller:
        """One participant on behalf of another, as the register has both now."""
        return self.as_known(Caller(self.callers[subject].organisation, actor, actor=self.callers[actor].organisation))

    def iri(self, name: str) -> str:
        """The IRI of a participant's organisation."""
        return f"{BASE}/organisations/{self.callers[name].organisation}"

    def node(self) -> Caller:
        """The node itself."""
        return node_itself()

    def tick(self) -> int:
        """Enters what has become due by the clock, as the writer does each second; how much it was."""
        found = clockwork.due(self.register, SETTINGS, self.clock.now())
        for submission, judgement in found:
            asyncio.run(self.commit(submission, judgement))
        return len(found)

    def offer(self, grantor: str, to: str, *permissions: str, assets: Sequence[str] = (), **changes: Any) -> Receipt:
        """An offer of permissions on all assets, or on those with these ids; of a passport where there is none on assets."""
        on_assets = bool(set(permissions) - {"PASSPORT", "CONTACTS"})
        document = {
            "type": "Delegation",
            "delegate": self.iri(to),
            "permission": list(permissions),
            "assetScope": ("NAMED_ASSETS" if assets else "ALL_ASSETS") if on_assets else None,
            "delegatedAsset": [f"{BASE}/assets/{each}" for each in assets] or None,
            "validTo": "2027-06-01",
            **changes,
        }
        return self.submit(self.callers[grantor], "delegations", {name: value for name, value in document.items() if value is not None})

    def grant(self, grantor: str, delegate: str, *permissions: str, **given: Any) -> str:
        """An offer that is accepted; the delegation's id. The delegate is known with it from then on."""
        offered = self.offer(grantor, delegate, *permissions, **given)
        self.act(self.callers[delegate], "delegations", offered.id, "acceptance")
        self.enter(delegate, self.callers[delegate].organisation)
        return offered.id

    # -- writing

    def submit(self, caller: Caller, kind: str, document: Document, action: str = "register", id_: str = "", **given: Any) -> Receipt:
        """Through judge, rules and journal; FmarError for a refusal, and then nothing was written."""
        body = json.dumps(document).encode()
        digest = digest_of("POST", f"/{kind}/{id_}/{action}", "application/ld+json", body)
        target = id_ or new_record_id()
        submission = Submission(caller, kind, action, target, BASE, "application/ld+json", body, digest=digest, **given)
        return self.run(submission)

    def run(self, submission: Submission) -> Receipt:
        """The whole write path, with the judge and the writer in this process."""
        outcome = asyncio.run(submit(self.desk(), submission, today(self.clock)))
        assert outcome.receipt is not None
        return outcome.receipt

    def desk(self) -> Desk:
        """The desk of a web process that knows what is in force."""
        candidate = self.releases.candidate(self.register)
        in_force, shadow = self.releases.in_force(self.register), candidate.release if candidate else ""
        return Desk(self.register, self, self, in_force, self.house, shadow=shadow, noted=self._note_shadow)

    def _note_shadow(self, _: Submission, judgement: Judgement) -> None:
        if judgement.shadow is not None:
            self.shadowed.append(judgement.shadow)

    async def judge(self, paper: Paper, party: str = "") -> Judgement:
        if paper.release == vocabulary().release and not paper.shadow:
            return judge(paper, vocabulary(), shapes(), SETTINGS)
        for found in (self.releases.candidate(self.register), self.releases.in_force(self.register)):
            if found is not None and found.files and found.release not in self.shelf.given:
                self.shelf.put(found.release, found.files)
        return self.shelf.judge(paper, SETTINGS)

    async def commit(self, submission: Submission, judgement: Judgement) -> Receipt:
        with self.journal.batch() as batch, batch.savepoint():
            return self.settle(batch, submission, judgement)

    def settle(self, batch: Batch, submission: Submission, judgement: Judgement) -> Receipt:
        """One submission inside the journal's transaction."""
        now = self.journal.recorded_now(self.clock.now())
        in_force = self.releases.in_force(self.journal.register)
        return enter(batch, submission, judgement, in_force, today(self.clock), now, self.house)

    def update(self, caller: Caller, kind: str, id_: str, **changes: Any) -> Receipt:
        """A change of some terms of the current document, based on the current version."""
        current = self.current(kind, id_)
        document = {name: value for name, value in {**current.document, **changes}.items() if value is not None}
        shown = reveal(current.document, caller, vocabulary()) or {}
        return self.submit(caller, kind, document, "update", id_, if_match=(fingerprint(shown),))

    def act(self, caller: Caller, kind: str, id_: str, action: str, **note: Any) -> Receipt:
        return self.submit(caller, kind, note, action, id_, if_match=("*",) if action == "approval" else None)

    def record(self, kind: str, id_: str, **changes: Any) -> Version:
        """A version that the node itself writes, as a follower with an external answer will; past all rules."""
        previous = self.current(kind, id_)
        document = {name: value for name, value in {**previous.document, **changes}.items() if value is not None}
        now = self.journal.recorded_now(self.clock.now())
        situation = Situation(Caller(), self.journal.register, today(self.clock), document, previous, now)
        submission = Submission(Caller(), kind, "record", id_, BASE, "application/ld+json", b"")
        whole = recorded(document, situation, (), vocabulary())
        with self.journal.batch() as batch:
            batch.append(draft_of(whole, situation, submission, vocabulary(), batch.next_index))
        return self.current(kind, id_)

    # -- asking

    def verdict(self, caller: Caller, kind: str, action: str, id_: str = "") -> Verdict:
        """What the policies of an action say to a caller, about a record where it has one."""
        previous = self.current(kind, id_) if id_ else None
        document = previous.document if previous else {}
        situation = Situation(caller, self.register, today(self.clock), document, previous)
        return KINDS[kind].actions[action].verdict(situation)

    def current(self, kind: str, id_: str) -> Version:
        version = self.register.current(kind, id_)
        assert version is not None
        return version

    def projected(self) -> Projector:
        """A graph that has caught up with the journal."""
        projector = Projector(self.register, Graph(self.folder / "graph"), vocabulary(), BASE)
        while projector.catch_up():
            pass
        return projector
