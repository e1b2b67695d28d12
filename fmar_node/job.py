"""Jobs: batches that were taken in whole and are worked through later, each with its body and its results in a folder beside the register.

Rules kept here:
- a job is a request that was kept: whose it was (names, never rights), its parameters, its body;
- the lines of its results are its progress: what stands there has been answered, and is not done again after a crash;
- its body holds what others must not read: the folder is its owner's alone, and the body goes when the job ends;
- results go after `job_seconds`, and the oldest of a party with more than `jobs_kept`; what belongs to no job is removed;
- a file that is damaged is made anew, without jobs: the register knows nothing of them, and sent again they change nothing.

One thread uses a store.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from io import FileIO
from pathlib import Path
from typing import Any

from fmar_node.access.caller import Caller
from fmar_node.clock import Clock
from fmar_node.folder import destroy
from fmar_node.settings import Settings
from fmar_node.state_file import opened_or_anew, writing

FORMAT = 1
SCHEMA = f"""
CREATE TABLE job (
    id TEXT PRIMARY KEY,
    party TEXT NOT NULL,         -- whose doing it is, and counted as
    sender TEXT NOT NULL,        -- whose Idempotency-Keys count, and who may see it
    names TEXT NOT NULL,         -- of the caller: organisation, application, key, actor, user
    media_type TEXT NOT NULL, query TEXT NOT NULL,
    key TEXT NOT NULL,           -- the Idempotency-Key that it came with; empty where there was none
    digest TEXT NOT NULL,        -- SHA-256 of body, media type and parameters
    bytes INTEGER NOT NULL,
    entry INTEGER NOT NULL,      -- size of the journal when it came
    state TEXT NOT NULL, tally TEXT NOT NULL, problem TEXT NOT NULL,
    made REAL NOT NULL, began REAL, ended REAL      -- seconds since 1970
) WITHOUT ROWID;
CREATE UNIQUE INDEX job_key ON job (sender, key) WHERE key <> '';
CREATE INDEX job_party ON job (party, made);
PRAGMA user_version = {FORMAT};
"""
COLUMNS = "id, names, media_type, query, key, digest, bytes, entry, state, tally, problem, made, began, ended"
NAMES = ("organisation", "application", "key_id", "actor", "user")
OUTCOMES = ("created", "updated", "unchanged", "accepted", "refused")
"""What may become of a row; `accepted` where a dry run says that it would be."""
log = logging.getLogger("fmar.jobs")


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


ENDED = frozenset({State.FINISHED, State.CANCELLED, State.FAILED})


@dataclass(frozen=True, slots=True)
class Job:
    """A batch that was kept. `sender` has the names of the caller, no rights; `tally` counts results by their outcome, once it has ended."""

    id: str
    sender: Caller
    media_type: str
    query: str
    key: str
    digest: str
    bytes: int
    entry: int
    made: float
    state: State = State.QUEUED
    tally: Mapping[str, int] = field(default_factory=dict, hash=False)
    problem: Mapping[str, Any] = field(default_factory=dict, hash=False)
    began: float | None = None
    ended: float | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


class Jobs:
    """The jobs of one node, in `folder`, which is made where it is not there. PermissionError where others may read it."""

    def __init__(self, folder: Path, settings: Settings, clock: Clock) -> None:
        self.folder, self.settings, self.clock = folder, settings, clock
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        self.connection = opened_or_anew(folder / "jobs.db", SCHEMA, FORMAT, log, "the jobs in it are gone")
        self.sweep()
        self._remove_strays()

    def body(self, id_: str) -> Path:
        return self.folder / f"{id_}.body"

    def results(self, id_: str) -> Path:
        return self.folder / f"{id_}.results"

    def add(self, job: Job) -> None:
        """Keeps a job whose body is on disk; on disk itself when this returns. OutOfRoom."""
        sender = job.sender
        names = json.dumps({name: getattr(sender, name) for name in NAMES})
        row = (job.id, sender.party, sender.sender, names, job.media_type, job.query, job.key, job.digest, job.bytes, job.entry, job.state, "{}", "{}", job.made)
        with self._writing():
            self.connection.execute(
                "INSERT INTO job (id, party, sender, names, media_type, query, key, digest, bytes, entry, state, tally, problem, made) "
                f"VALUES ({', '.join('?' * len(row))})",
                row,
            )

    def begin(self, job: Job) -> None:
        with self._writing():
            self.connection.execute("UPDATE job SET state = ?, began = coalesce(began, ?) WHERE id = ?", (State.RUNNING, self.now(), job.id))

    def end(self, job: Job, state: State, tally: Mapping[str, int], problem: Mapping[str, Any] | None = None) -> None:
        """The job is over: its results stay for a while, and `drop_body` is due."""
        with self._writing():
            sql = "UPDATE job SET state = ?, tally = ?, problem = ?, ended = ? WHERE id = ?"
            self.connection.execute(sql, (state, json.dumps(tally), json.dumps(problem or {}), self.now(), job.id))
        self.sweep()

    def drop_body(self, id_: str) -> None:
        """Overwrites a body, which may take a moment, and removes it; any thread may do it."""
        with suppress(FileNotFoundError):
            destroy(self.body(id_))

    def remove(self, job: Job) -> None:
        with self._writing():
            self.connection.execute("DELETE FROM job WHERE id = ?", (job.id,))
        self._discard(job.id)

    def find(self, id_: str, sender: str) -> Job | None:
        """The job of that id, where it is this sender's."""
        return next(self._found("id = ? AND sender = ?", id_, sender), None)

    def get(self, id_: str) -> Job | None:
        return next(self._found("id = ?", id_), None)

    def keyed(self, sender: str, key: str) -> Job | None:
        """The job that came with that Idempotency-Key."""
        return next(self._found("sender = ? AND key = ?", sender, key), None) if key else None

    def of(self, sender: str) -> list[Job]:
        """A sender's jobs, the newest first."""
        return list(self._found("sender = ? ORDER BY made DESC, id DESC", sender))

    def waiting(self) -> list[Job]:
        """What has not ended, in the order in which it came."""
        return list(self._found("ended IS NULL ORDER BY made, id"))

    def count_waiting(self, party: str) -> int:
        return int(self.connection.execute("SELECT count(*) FROM job WHERE party = ? AND ended IS NULL", (party,)).fetchone()[0])

    def counted(self, id_: str) -> Counter[str]:
        """The results that there are by their outcome; half a line, which a crash left, is cut off."""
        tally: Counter[str] = Counter()
        file = self.results(id_)
        if not file.exists():
            return tally
        whole = 0
        with file.open("r+b") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                tally[outcome_of(json.loads(line))] += 1
            lines.truncate(whole)
        return tally

    def sweep(self) -> None:
        """Removes what has been kept for long enough."""
        old = "ended < ?1"
        many = (
            "id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY party ORDER BY ended DESC, id DESC) AS place "
            "FROM job WHERE ended IS NOT NULL) WHERE place > ?2)"
        )
        limits = (self.now() - self.settings.job_seconds, self.settings.jobs_kept)
        gone = [row[0] for row in self.connection.execute(f"SELECT id FROM job WHERE {old} OR {many}", limits)]
        if gone:
            with self._writing():
                self.connection.executemany("DELETE FROM job WHERE id = ?", [(id_,) for id_ in gone])
            for id_ in gone:
                self._discard(id_)

    def close(self) -> None:
        self.connection.close()

    def now(self) -> float:
        return self.clock.now().timestamp()

    def appending(self, id_: str) -> FileIO:
        """The results, to write further lines to."""
        return FileIO(os.open(self.results(id_), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a")

    def _discard(self, id_: str) -> None:
        self.drop_body(id_)
        self.results(id_).unlink(missing_ok=True)

    def _remove_strays(self) -> None:
        """Bodies of which a crash has left a part, and files of jobs that are not known any more."""
        known = {row[0]: row[1] for row in self.connection.execute("SELECT id, ended FROM job")}
        for file in self.folder.glob("*.*"):
            is_over = file.stem not in known or known[file.stem] is not None
            if file.suffix == ".body" and is_over:
                self.drop_body(file.stem)
            elif file.suffix == ".results" and file.stem not in known:
                file.unlink()

    def _found(self, condition: str, *values: Any) -> Iterator[Job]:
        rows: Iterable[tuple[Any, ...]] = self.connection.execute(f"SELECT {COLUMNS} FROM job WHERE {condition}", values).fetchall()
        for id_, names, media_type, query, key, digest, size, entry, state, tally, problem, made, began, ended in rows:
            sender = Caller(**json.loads(names))
            yield Job(id_, sender, media_type, query, key, digest, size, entry, made, State(state), json.loads(tally), json.loads(problem), began, ended)

    def _writing(self) -> AbstractContextManager[None]:
        return writing(self.connection, log, "the jobs")


def outcome_of(result: Mapping[str, Any]) -> str:
    """What a line of results says of its row; of a dry run `accepted` where the row would be."""
    return str(result.get("outcome", "accepted"))
