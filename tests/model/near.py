"""A register in this process: journal and graph on disk, judge and rules, a follower that goes as far as it is told.

A crash is what is on the disk at that moment, copied, and opened in the place of the old one.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyoxigraph as ox

from fmar_node.access.caller import ANONYMOUS, Caller, caller_of
from fmar_node.clock import SetClock, parse_stamp, stamp, today
from fmar_node.drafting import Submission, digest_of
from fmar_node.errors import FmarError, NotFound, Severity
from fmar_node.followers.projector import Projector
from fmar_node.identity import new_record_id
from fmar_node.journal.journal import Batch
from fmar_node.judge import Judgement
from fmar_node.keeping.maintenance import verify_journal
from fmar_node.kinds import KINDS
from fmar_node.query import window
from fmar_node.record import Receipt
from fmar_node.representation import fingerprint
from fmar_node.store.graph import Change, Graph, Triple
from fmar_node.submit import Desk, submit
from fmar_node.vocabulary import FMAR
from fmar_node.web.records import merge
from tests.market import BASE, Market, vocabulary
from tests.model.oracle import Answer, Document, Oracle, Request, refused
from tests.model.subject import linked, plain

FIELDS = "SELECT DISTINCT ?s ?p WHERE { ?s ?p ?o }"
PUBLIC = f"SELECT DISTINCT ?s ?p WHERE {{ GRAPH <{BASE}/views/public> {{ ?s ?p ?o }} }}"


class MortalMarket(Market):
    """A market that may be photographed, or end, in the midst of a write."""

    moment: Callable[[str], None] = staticmethod(lambda _: None)

    async def commit(self, submission: Submission, judgement: Judgement) -> Receipt:
        receipt = await super().commit(submission, judgement)
        self.moment("after the commit")
        return receipt

    def settle(self, batch: Batch, submission: Submission, judgement: Judgement) -> Receipt:
        receipt = super().settle(batch, submission, judgement)
        self.moment("before the commit")
        return receipt


class WatchedGraph(Graph):
    """A graph that tells before each of its operations."""

    moment: Callable[[], None] = staticmethod(lambda: None)

    def apply(self, changes: Sequence[Change], index: int) -> None:
        self.moment()
        super().apply(changes, index)

    def clear(self, view: str) -> None:
        self.moment()
        super().clear(view)

    def load(self, view: str, triples: Iterable[Triple]) -> None:
        self.moment()
        super().load(view, triples)


class Near:
    """The subject of a walk in this process."""

    def __init__(self, founded: Market) -> None:
        self.room = TemporaryDirectory(prefix="fmar-model-")
        self.lives = 0
        self.participants = {name: caller.organisation for name, caller in founded.callers.items()}
        self.clock = SetClock(founded.clock.now())
        self.latest = self.clock.now()
        self.key = b""
        self._open(Path(shutil.copytree(founded.folder, Path(self.room.name) / "0")))

    def _image(self) -> Path:
        """What is on the disk now, in a folder of its own; of the graph, whose files come and go, by its own means."""
        self.lives += 1
        folder = Path(self.room.name) / str(self.lives)
        shutil.copytree(self.market.folder / "journal", folder / "journal")
        self.graph_store.snapshot(folder / "graph")
        return folder

    def _open(self, folder: Path) -> None:
        self.market = MortalMarket(folder, self.clock)
        self.graph_store = WatchedGraph(folder / "graph")
        self.projector = Projector(self.market.register, self.graph_store, vocabulary(), BASE)

    def _shut(self) -> None:
        self.market.close()
        self.graph_store.close()

    # -- what is there at the beginning

    def begin(self, oracle: Oracle) -> None:
        for version in self.market.register.since(-1, 1_000):
            document = plain(version.document)
            oracle.keep(version.kind, version.id, document, version.recorded_at, document["recordedBy"])

    def viewers(self, oracle: Oracle) -> list[str]:
        return ["", *oracle.records["organisations"]]

    # -- writing

    def today(self) -> str:
        return today(self.clock).isoformat()

    def caller(self, id_: str) -> Caller:
        version = self.market.register.current("organisations", id_)
        return caller_of(version.document, application="app") if version else ANONYMOUS

    def _submission(self, request: Request) -> Submission:
        document, id_ = linked(request.document), request.id or new_record_id()
        body = json.dumps(document).encode()
        digest = digest_of(request.method, f"/{request.kind}/{request.id}/{request.action}", "application/ld+json", body)
        if request.method == "PATCH":
            current = self.market.register.current(request.kind, id_)
            body = json.dumps(merge(current.document if current else {}, document)).encode()
        basis = None if request.basis is None else (self._tag(request.kind, id_, request.basis),)
        caller = self.caller(request.caller)
        return Submission(caller, request.kind, request.action, id_, BASE, "application/ld+json", body, basis, request.key, digest)

    def _tag(self, kind: str, id_: str, basis: str | int) -> str:
        """Who may change a record sees all of it, so that its tag is that of the whole document."""
        found = self.market.register.version(kind, id_, int(basis)) if basis != "*" else None
        return fingerprint(found.document) if found else "*" if basis == "*" else "0" * 16

    def write(self, request: Request) -> Answer:
        return self._told(request, self.market.run)

    def attempt(self, request: Request) -> Answer:
        return self._told(request, self._dry)

    def _dry(self, submission: Submission) -> Receipt:
        desk = Desk(self.market.register, self.market, self.market, vocabulary())
        outcome = asyncio.run(submit(desk, submission, today(self.clock), dry_run=True))
        assert outcome.receipt is None
        return Receipt(submission.kind, submission.id, 0, -1)

    def _told(self, request: Request, how: Callable[[Submission], Receipt]) -> Answer:
        before = self.market.journal.register.checkpoint()
        try:
            receipt = how(self._submission(request))
        except FmarError as refusal:
            assert self.market.journal.register.checkpoint() == before, "a refused request has left a trace"
            blocking = {fault.code for fault in refusal.faults if fault.severity in (Severity.REJECT, Severity.JUSTIFY)}
            return refused(refusal.code, *blocking)
        return Answer(receipt.id, receipt.number, receipt.index, receipt.is_repeat)

    def validate(self, id_: str, validation: str, standing: str) -> None:
        """The node's own entry."""
        status = validation if standing == "LIVE" else standing
        self.market.record("assets", id_, validationStatus=validation, standing=standing, registrationStatus=status)

    def time(self, kind: str, id_: str) -> str:
        """When the newest version was recorded: not before its instant, unless the clock has been moved back."""
        recorded = self.market.current(kind, id_).recorded_at
        assert stamp(self.clock.now()) <= recorded <= stamp(self.latest)
        return recorded

    def newest(self) -> Answer:
        """What the last entry of the journal would have been answered with."""
        version = self.market.register.version_at(self.market.register.size() - 1)
        assert version is not None
        return Answer(version.id, version.number, version.index)

    # -- reading

    def read(self, caller: str, kind: str, id_: str, number: int | None = None, at: str | None = None) -> Document | None:
        who, reader = self.caller(caller), self.market.reader
        try:
            if at is not None:
                return plain(reader.at(kind, id_, who, parse_stamp(at)).document)
            shown = reader.current(kind, id_, who) if number is None else reader.numbered(kind, id_, who, number)
        except NotFound:
            return None
        return plain(shown.document)

    def count(self, caller: str, kind: str, id_: str) -> int:
        try:
            return len(self.market.reader.versions(kind, id_, self.caller(caller)))
        except NotFound:
            return 0

    def page(self, caller: str, kind: str, limit: int, managed: bool, equal: Mapping[str, str]) -> list[str]:
        wanted = {name: f"{BASE}/organisations/{value}" if name in ("owner", "managedBy") else value for name, value in equal.items()}
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.market.reader.page(KINDS[kind], self.caller(caller), limit, cursor, "me" if managed else "", wanted)
            assert len(page.items) == limit or page.cursor is None
            found += [item["id"].rsplit("/", 1)[-1] for item in page.items]
            cursor = page.cursor
        return found

    def look_up(self, caller: str, scheme: str, value: str) -> list[str]:
        return [document["assetId"] for document in self.market.reader.lookup(scheme, value, self.caller(caller))]

    def graph(self, caller: str, *, public: bool = False) -> dict[str, set[str]]:
        self.follow()
        own, allowed = window(self.caller(caller), BASE)
        return fields(self._rows(PUBLIC if public else FIELDS, own, allowed))

    def _rows(self, text: str, own: str, allowed: list[str]) -> Iterable[tuple[str, str]]:
        graphs = {"default_graph": [ox.NamedNode(own)], "named_graphs": [ox.NamedNode(name) for name in allowed]}
        found: Any = self.graph_store.store.query(text, **graphs)
        return [(row["s"].value, row["p"].value) for row in found]

    # -- the follower, the clock, the end

    def follow(self, most: int | None = None) -> None:
        """The follower goes so many entries further, or all the way."""
        if most is not None:
            self.projector.catch_up(most)
            return
        while self.projector.catch_up():
            pass

    def move_clock(self, hours: float) -> None:
        self.clock.forward(hours=hours)
        self.latest = max(self.latest, self.clock.now())

    def crash(self, how: str) -> None:
        images: list[Path] = []
        if how == "in the follower":
            self._shoot_while_following(images)
        self._again_from(images[0] if images else self._image())

    def _again_from(self, image: Path) -> None:
        self._shut()
        self._open(image)

    def _shoot_while_following(self, images: list[Path]) -> None:
        """The disk as it is before the follower's second or last operation on the graph."""
        operations = 0

        def moment() -> None:
            nonlocal operations
            operations += 1
            if operations == 2:
                images.append(self._image())

        self.graph_store.moment = moment
        self.follow()
        self.graph_store.moment = lambda: None

    def crash_while_writing(self, request: Request, how: str) -> None:
        """Ends before the commit of an accepted request, or after it, in both cases before anybody is told."""
        note = (self.market.folder / "journal" / "checkpoint").read_bytes()
        images: list[Path] = []

        def moment(now: str) -> None:
            if (now == "before the commit") == (how == "before the commit"):
                images.append(self._image())

        self.market.moment = moment
        with suppress(FmarError):
            self.market.run(self._submission(request))
        if how == "before the checkpoint is kept" and images:
            (images[-1] / "journal" / "checkpoint").write_bytes(note)
        self._again_from(images[-1] if images else self._image())

    # -- checks

    def check(self, oracle: Oracle) -> None:
        register = self.market.register
        assert register.size() == self.market.journal.tree.size == oracle.size
        assert self.market.journal.last_time <= stamp(self.latest)

    def compare(self) -> None:
        """The graph is what `reveal` says, as far as it has followed."""
        assert self.projector.deviations() == []

    def close(self, oracle: Oracle) -> None:
        try:
            self._last_checks(oracle)
        finally:
            self.room.cleanup()

    def _last_checks(self, oracle: Oracle) -> None:
        self.follow()
        self.compare()
        connection = self.market.register.connection
        assert connection.execute("SELECT count(*) FROM idempotency").fetchone()[0] == len(oracle.answered)
        times = [row[0] for row in connection.execute("SELECT recorded_at FROM entry ORDER BY idx")]
        assert times == sorted(times)
        self._check_keys(oracle)
        self._shut()
        assert "current state" in verify_journal(self.market.node_folder())

    def _check_keys(self, oracle: Oracle) -> None:
        """A key opens the door while it is active and its organisation is admitted."""
        for id_, document in oracle.everything("organisations"):
            for key in document.get("applicationKey", ()):
                row = self.market.register.application_key(key["clientId"], key["keyId"])
                assert row is not None
                assert bool(row["is_active"]) == (key["keyStatus"] == "ACTIVE" and oracle.is_admitted(id_))


def fields(rows: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """Which fields each record has, from subjects and predicates."""
    found: dict[str, set[str]] = {}
    for subject, predicate in rows:
        if "#" not in subject:
            names = found.setdefault(subject.rsplit("/", 1)[-1], set())
            names |= {predicate.removeprefix(FMAR)} if predicate.startswith(FMAR) else set()
    return found
