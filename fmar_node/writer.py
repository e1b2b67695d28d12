"""The writer process: the only one that writes the journal and the graph.

Threads: one commits submissions in batches that share an fsync, one lets the projector follow, one makes snapshots, one
scrubs after erasures, one looks for what may no longer be kept, one at the clock, one reports. Rules kept here: an answer goes out after the
journal's commit, never before; the graph may lag behind by a bounded number of entries, then commits wait; a snapshot never
stands in the way of a commit; what could not be written is tried again until it can, and said to be so meanwhile; a thread
that ends by a defect ends the process, as a snapshot that hangs does, and the node starts another.

`fmar_node.links` starts it (arguments: socket descriptor, data folder; first frame: settings, and whether no
query worker of this node runs yet); it ends when the node hangs up.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import queue
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fmar_node import frames, logs
from fmar_node.access.standing import Present
from fmar_node.clock import SystemClock, today
from fmar_node.drafting import Submission
from fmar_node.errors import Broken, FmarError, OutOfRoom, Unavailable
from fmar_node.folder import Folder
from fmar_node.followers.projector import GROUP, Projector
from fmar_node.followers.vocabulary import load_vocabulary
from fmar_node.identity import new_token
from fmar_node.journal.journal import Batch, Journal, refused
from fmar_node.journal.register import Register, connect
from fmar_node.judge import Judgement, refusal_as_json
from fmar_node.keeping import clockwork, retention
from fmar_node.keeping.derived import has_its_lookup_key
from fmar_node.keeping.scrub import Scrub, pending
from fmar_node.launch import lasting
from fmar_node.release import Releases
from fmar_node.saved_query import house_of
from fmar_node.settings import Settings
from fmar_node.store.graph import Graph, opened
from fmar_node.store.snapshot import put_in_place, sweep, try_to_write
from fmar_node.submit import enter
from fmar_node.vitals import Pulse
from fmar_node.vocabulary import Vocabulary

log = logging.getLogger("fmar.writer")
Order = tuple[dict[str, Any], list[bytes]]
Chore = Callable[[], None]
"""What is done by the thread that commits, between two commits."""
FLOOD = 16
"""When so many entries came together, more are let gather until the next snapshot may be, unless a query waits: many at once cost
the graph half (`store.graph.LOADED`)."""
EAGER = 0.2
"""The part of the snapshot interval that passes even when a query waits."""
NOT_WRITTEN = "the journal could not be written"
NOT_THERE = "the journal's files are not in their place any more; put them back, or stop the node"


class WriterProcess:
    """Everything that the process holds; `run` returns when the node has hung up."""

    def __init__(self, sock: socket.socket, folder: Folder, settings: Settings) -> None:
        self.sock, self.folder, self.settings = sock, folder, settings
        self.clock, self.vocabulary = folder.calendar(settings, SystemClock()), Vocabulary.load()
        self.house = house_of(settings, folder.queries)
        key = folder.journal_key(settings.base_url)
        terms, lookup_key = self.vocabulary.terms, folder.lookup_key()
        self.graph = opened(folder.graph)
        self.journal = Journal(folder.journal, key.name, key, terms, lookup_key, must_exist=True)
        reading = Register(connect(folder.journal / "journal.db"), terms, lookup_key)
        if not has_its_lookup_key(reading):
            detail = "keys/lookup.key is not the key of this journal: nothing would be found by its identifiers; put this node's own key back from a backup"
            raise Broken("internal-error", detail)
        self.reading = reading
        self.following, self.copying = threading.Lock(), threading.Lock()
        self.releases, self.showing = Releases(self.vocabulary), Releases(self.vocabulary)
        self.shown = ""
        """The release whose code lists and shapes the graph holds."""
        self._show_release()
        self.projector = Projector(reading, self.graph, self.vocabulary, settings.base_url)
        self.orders: queue.Queue[Order | Chore | None] = queue.Queue()
        self.moved = threading.Condition()
        self.sending = threading.Lock()
        self.is_ending = False
        self.has_more = False
        """Whether the graph holds something that no snapshot has, beside entries: another release, or scores."""
        self.is_suspect = False
        """Whether the graph has failed to write a snapshot since it was opened."""
        self.held, self.wanted = -2, -2
        """The entries that the last snapshot holds, and that the next one should."""
        self.snapshot_begun = math.inf
        """Since when a snapshot is being made, while one is."""
        self.troubles: dict[str, str] = {}
        """What failed last and has not worked since, by the part that it befell."""
        self.pulse = Pulse(folder.journal / "journal.db", folder.graph, self.journal.tree.size)

    def run(self) -> None:
        work = (self._receive, self._follow, self._snapshot, self._report, self._scrub, self._retain, self._look_at_clock)
        threads = [threading.Thread(target=self._work, args=(each,), daemon=True) for each in work]
        for thread in threads:
            thread.start()
        while (order := self.orders.get()) is not None:
            if callable(order):
                self._do(order)
            else:
                self._commit([order, *self._waiting()])
        with self.moved:
            self.is_ending = True
            self.moved.notify_all()
        for thread in threads[1:]:
            thread.join()
        self.journal.close()
        self.graph.close()

    def _work(self, thread: Chore) -> None:
        try:
            thread()
        except BaseException:  # an engine's panic is no Exception
            log.exception("the writer ends: %s failed", thread.__name__)
            self.orders.put(None)
            raise

    def _receive(self) -> None:
        try:
            while (frame := frames.receive(self.sock)) is not None:
                if "wanted" in frame[0]:
                    self._want(frame[0]["wanted"])
                else:
                    self.orders.put(frame)
        except (OSError, EOFError):
            log.warning("the node's end of the socket is gone")
        self.orders.put(None)

    def _want(self, index: int) -> None:
        """A query waits for the graph as of this entry."""
        with self.moved:
            self.wanted = max(self.wanted, min(index, self.journal.tree.size - 1))
            self.moved.notify_all()

    def _waiting(self) -> list[Order]:
        """The orders that have come in meanwhile: they share the next fsync."""
        waiting: list[Order] = []
        while len(waiting) < self.settings.commit_batch - 1:
            try:
                order = self.orders.get_nowait()
            except queue.Empty:
                break
            if order is None:
                self.orders.put(None)
                break
            if callable(order):
                self._do(order)
            else:
                waiting.append(order)
        return waiting

    def _do(self, chore: Chore) -> None:
        try:
            chore()
        except FmarError as error:
            log.error("a chore was not done: %s", error)

    def _commit(self, orders: list[Order]) -> None:
        self._wait_for_graph()
        answers: list[dict[str, Any]] = []
        started, size = time.monotonic(), self.journal.tree.size
        try:
            with self.journal.batch() as batch:
                callers = Present(self.journal.register, today(self.clock))
                answers = [self._settle(batch, callers, *order) for order in orders]
            if self.journal.tree.size > size:
                self.pulse.committed(self.journal.tree.size - size, time.monotonic() - started, self.journal.tree.size)
                self._recover("journal")
        except FmarError as error:
            if isinstance(error, OutOfRoom):
                self._complain("journal", NOT_WRITTEN if self.journal.is_in_place else NOT_THERE, error)
            answers = [{"refusal": refusal_as_json(error)} for _ in orders]
        except Exception as error:
            log.exception("a batch failed")
            refusal = Unavailable("unavailable", f"the journal could not be written: {type(error).__name__}")
            answers = [{"refusal": refusal_as_json(refusal)} for _ in orders]
        for (header, _), answer in zip(orders, answers, strict=True):
            self._send({"id": header["id"], **answer})
        with self.moved:
            self.moved.notify_all()

    def _settle(self, batch: Batch, callers: Present, header: dict[str, Any], blobs: list[bytes]) -> dict[str, Any]:
        """One submission inside the transaction: a receipt, or a refusal that leaves its neighbours alone."""
        submission = Submission.from_json(header["submission"], blobs[0])
        judgement = Judgement.from_json(header["judgement"])
        now = self.journal.recorded_now(self.clock.now())
        try:
            with batch.savepoint():
                vocabulary = self.releases.in_force(self.journal.register)
                receipt = enter(batch, submission, judgement, vocabulary, callers.day, now, self.house, callers.of(submission.caller))
                return {"receipt": receipt.as_json()}
        except FmarError as error:
            return {"refusal": refusal_as_json(error)}
        except sqlite3.OperationalError as error:
            raise refused(error) from error
        except Exception:
            log.exception("a submission failed: %s %s", submission.kind, submission.action)
            return {"refusal": refusal_as_json(Broken("internal-error", "nothing was written"))}
        finally:
            callers.after(submission.kind)

    def _wait_for_graph(self) -> None:
        """Commits wait while the graph is more than the allowed backlog behind."""
        with self.moved:
            most = self.settings.projector_backlog
            self.moved.wait_for(lambda: self._behind() <= most, timeout=30)

    def _is_enough(self) -> bool:
        """Whether what has gathered is to be taken up now."""
        return self.is_ending or self.projector.applied < self.wanted or self._behind() >= GROUP

    def _behind(self) -> int:
        """Entries that the graph does not hold yet."""
        return self.journal.tree.size - 1 - self.projector.applied

    def _follow(self) -> None:
        while not self.is_ending:
            try:
                if self.is_suspect:
                    self._open_again()
                with self.following:
                    self.graph.check_open()
                    measured = self.projector.measures.held
                    is_measuring = self.projector.measures.go_on(self.projector, today(self.clock))
                    if is_measuring or self.projector.measures.held != measured:
                        self.has_more = True
                    applied = self.projector.catch_up() if self.projector.applied >= 0 else self.projector.fill()
                    self._show_release()
                self._recover("graph")
            except OSError as error:
                self._complain("graph", "the graph could not be written", _engine(error))
                applied, is_measuring = 0, False
                self._open_again()
            except Exception:
                log.exception("the graph could not follow the journal; it is tried again")
                self.troubles["graph"] = "the graph could not follow the journal"
                applied, is_measuring = 0, False
                self._open_again()
            with self.moved:
                self.moved.notify_all()
                if applied >= FLOOD and not is_measuring:
                    self.moved.wait_for(self._is_enough, timeout=self.settings.snapshot_seconds)
                elif not (applied or is_measuring or self.is_ending):
                    self.moved.wait_for(lambda: self.is_ending or not self._is_level(), timeout=1)

    def _show_release(self) -> None:
        """The graphs of code lists and shapes are those of the release in force; no snapshot has a part of them."""
        found = self.showing.in_force(self.reading)
        if found.release != self.shown:
            with self.copying:
                load_vocabulary(self.graph, self.settings.base_url, self.folder.graph.parent / "vocabulary", found)
            self.shown, self.has_more = found.release, True

    def _complain(self, part: str, what: str, error: FmarError) -> None:
        """Said once until it works again; anybody may hear what does not work, the log alone has the words that name files."""
        if part not in self.troubles:
            log.error("%s; it is tried again: %s", what, error)
        self.troubles[part] = what

    def _recover(self, part: str) -> None:
        if self.troubles.pop(part, None):
            log.warning("the %s works again", part)

    def _open_again(self) -> None:
        """Closes and opens the graph, once its folder can be written: a store that has failed to write once may refuse to until then,
        and one that is closed while there is no room may hang."""
        with self.moved:
            self.moved.wait_for(lambda: self.is_ending, timeout=1)
        try:
            try_to_write(self.folder.graph.parent)
            with self.following, self.copying:
                self.is_suspect = False
                self.graph.close()
                self._take_up(opened(self.folder.graph))
        except OSError as error:
            self._complain("graph", "the graph could not be opened again", _engine(error))
        except FmarError as error:
            self._complain("graph", "the graph could not be opened again", error)

    def _take_up(self, graph: Graph) -> None:
        self.graph, self.shown = graph, ""
        self.projector = Projector(self.reading, graph, self.vocabulary, self.settings.base_url)

    def _snapshot(self) -> None:
        """A snapshot whenever the graph has moved, not oftener than the interval and, in a flood, ten times its duration;
        sooner when a query waits for what it lacks.

        Once the graph has caught up with the journal there is no flood to be kind to, and readers wait for the last entries.
        Its name is new even after a restart of this process: workers may still read those of the last one.
        """
        while True:
            started, self.held, self.has_more = time.monotonic(), self.projector.applied, False
            try:
                target = self.folder.snapshots / new_token()
                with self.copying:
                    self.snapshot_begun = time.monotonic()
                    self.graph.snapshot(target)
                self._send({"event": "snapshot", "path": str(target)})
                self.pulse.snapped(time.monotonic() - started)
                self._recover("snapshot")
            except OSError as error:
                self._complain("snapshot", "no snapshot could be made", _engine(error))
                self.is_suspect = True
                self.held = -2
            self.snapshot_begun = math.inf
            took = time.monotonic() - started
            with self.moved:
                self.moved.wait_for(lambda: self.is_ending, timeout=max(EAGER * self.settings.snapshot_seconds, took))
                self.moved.wait_for(lambda: self.is_ending or self.held < self.wanted <= self.projector.applied, timeout=(1 - EAGER) * self.settings.snapshot_seconds)
                self.moved.wait_for(lambda: self.is_ending or self._is_level(), timeout=9 * took)
                self.moved.wait_for(lambda: self.is_ending or self.has_more or self.projector.applied > self.held)
            if self.is_ending:
                return

    def exchange(self, fresh: Path) -> list[Path]:
        """Puts a graph that was made anew in the place of this one; the snapshots of the old one. A writer that cannot open it ends."""
        with self.following, self.copying:
            old = list(self.folder.snapshots.iterdir()) if self.folder.snapshots.exists() else []
            self.graph.close()
            try:
                put_in_place(fresh, self.folder.graph)
                self._take_up(opened(self.folder.graph))
            except BaseException:
                self.orders.put(None)
                raise
            self.held = -2
        with self.moved:
            self.moved.notify_all()
        return old

    def _scrub(self) -> None:
        """Removes what erasures have left in files, soon after them, and again until it has been done."""
        register = Register(connect(self.folder.journal / "journal.db"), self.vocabulary.terms, self.reading.lookup_key)
        scrub = Scrub(self.folder, self.settings, register, self.exchange, lambda: self.is_ending)
        while not self.is_ending:
            started = time.monotonic()
            try:
                if -1 < pending(register) <= self.projector.applied:
                    scrub.run()
            except (FmarError, OSError, sqlite3.Error) as error:
                log.error("a scrub did not finish; it is tried again: %s", error)
            with self.moved:
                self.moved.wait_for(lambda: self.is_ending, timeout=max(1.0, time.monotonic() - started))

    def _retain(self) -> None:
        """Asks for the erasure of what may no longer be kept."""
        register = Register(connect(self.folder.journal / "journal.db"), self.vocabulary.terms, self.reading.lookup_key)
        while not self.is_ending:
            due = []
            try:
                due = retention.due(register, self.settings, self.clock.now())
                if before := retention.forgettable(register, self.settings, self.clock.now()):
                    self.orders.put(functools.partial(self.journal.forget_requests, before))
            except (FmarError, sqlite3.Error) as error:
                log.error("what may no longer be kept could not be looked for: %s", error)
            self._order(due)
            with self.moved:
                self.moved.wait_for(lambda: self.is_ending, timeout=1 if due else self.settings.retention_seconds)

    def _look_at_clock(self) -> None:
        """Asks for what has become due."""
        register = Register(connect(self.folder.journal / "journal.db"), self.vocabulary.terms, self.reading.lookup_key)
        while not self.is_ending:
            try:
                self._order(clockwork.due(register, self.settings, self.clock.now()))
            except (FmarError, sqlite3.Error) as error:
                log.error("what is due by the clock could not be looked for: %s", error)
            with self.moved:
                self.moved.wait_for(lambda: self.is_ending, timeout=1)

    def _order(self, wanted: Iterable[tuple[Submission, Judgement]]) -> None:
        """What the node itself has to write; nobody waits for the answer."""
        for submission, judgement in wanted:
            self.orders.put(({"id": -1, "submission": submission.as_json(), "judgement": judgement.as_json()}, [submission.body]))

    def _report(self) -> None:
        """Tells the node how the writer is, once a second, and finds out whether a journal that could not be written can be again.

        The engine's flush, of which a snapshot has one, may wait for ever for a thread of its own that nobody wakes: the process ends then,
        as if it were killed.
        """
        while not self.is_ending:
            if time.monotonic() - self.snapshot_begun > self.settings.snapshot_seconds_most:
                log.critical("the writer ends: the engine has not made a snapshot in %s s", self.settings.snapshot_seconds_most)
                os._exit(1)
            if "journal" in self.troubles or not self.journal.is_in_place:
                self.orders.put(self._try_journal)
            vitals = self.pulse.vitals(self.journal.tree.size, self.projector.applied, "; ".join(self.troubles.values()))
            self._send({"event": "vitals", "vitals": vitals.as_json()})
            with self.moved:
                self.moved.wait_for(lambda: self.is_ending, timeout=1)

    def _try_journal(self) -> None:
        try:
            self.journal.try_to_write()
            self._recover("journal")
        except OutOfRoom as error:
            self._complain("journal", NOT_WRITTEN if self.journal.is_in_place else NOT_THERE, error)

    def _is_level(self) -> bool:
        """Whether the graph holds everything that the journal does."""
        return self._behind() <= 0

    def _send(self, header: Mapping[str, Any]) -> None:
        with self.sending:
            try:
                frames.send(self.sock, dict(header))
            except OSError:
                log.warning("the node did not take an answer")


def _engine(error: OSError) -> OutOfRoom:
    return OutOfRoom("storage-full", str(error))


def main(descriptor: str, data: str) -> None:
    """The process: opens everything, says so, works until the node hangs up."""
    logs.set_up_child("writer")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(0.0005)
    sock = frames.inherited(descriptor)
    folder = Folder(Path(data))
    if (frame := frames.receive(sock)) is None:
        return
    settings = Settings(**frame[0]["settings"])
    logs.set_level(settings.log_level)
    try:
        with lasting():
            process = WriterProcess(sock, folder, settings)
        sweep(folder.snapshots, everything=frame[0]["is_first"])
        sweep(folder.graph.parent)
    except FmarError as error:
        frames.send(sock, {"event": "failed", "refusal": refusal_as_json(error)})
        return
    except OSError as error:
        frames.send(sock, {"event": "failed", "refusal": refusal_as_json(_engine(error))})
        return
    frames.send(sock, {"event": "ready", "size": process.journal.tree.size})
    process.run()
