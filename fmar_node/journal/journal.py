"""The journal written: one process, one connection, batches that share an fsync.

Rules kept here:
- an entry, the state that follows from it and the signed checkpoint are one SQLite transaction, fsynced
  (WAL, synchronous=FULL) before anyone is told; a savepoint per submission, so that one refusal leaves its
  neighbours alone;
- never two checkpoints that contradict each other: the newest is also kept beside the database, and a
  journal that has become shorter than it, or other than it, is not written to;
- what is written stands where the next start looks for it: a journal whose files were moved or removed takes nothing;
- recorded time never runs backwards.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from fmar_node.clock import stamp
from fmar_node.errors import Broken, FmarError, OutOfRoom, Unavailable
from fmar_node.identity import new_key, new_salt, new_token
from fmar_node.journal import upgrade
from fmar_node.journal.checkpoint import Checkpoint, Note, NoteError, SigningKey, sign_checkpoint
from fmar_node.journal.cipher import SubjectKey, at_rest
from fmar_node.journal.entry import SECTIONS, Sealed, seal
from fmar_node.journal.handover import Chain
from fmar_node.journal.register import Register, connect
from fmar_node.journal.tree import CompactRange, ProofError, tree_root
from fmar_node.vocabulary import Term

FORMAT = "4"
LEAST_BYTES = 512
"""A smaller file is no SQLite database, and may be taken for a new one."""
TRIED = "INSERT OR REPLACE INTO meta VALUES ('tried', ?)"
"""A write that means nothing."""
LOST = "lost "
"""Begins the names in the table `meta` of records whose key was lost, not destroyed: nobody has decided that it be gone elsewhere too."""
KEY = (
    "INSERT INTO application_key VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
    "organisation = excluded.organisation, jwk = excluded.jwk, is_active = excluded.is_active"
)
"""A key as it stands now; the entry that it came with stays."""
CUT_OFF = ("SQLITE_FULL", "SQLITE_IOERR_WRITE")
"""Errors after which a batch is not whole in the log."""
log = logging.getLogger("fmar.journal")


@dataclass(frozen=True, slots=True)
class Draft:
    """A version that has passed every check, ready to be appended.

    `claims` and `handles` are (scope, value) pairs; `keys` rows of (client_id, key_id, jwk text, is_active).
    """

    kind: str
    id: str
    number: int
    action: str
    recorded_at: str
    sections: Mapping[str, bytes]
    state: str
    is_live: bool
    is_public: bool
    manager: str | None = None
    owner: str | None = None
    area: str | None = None
    claims: frozenset[tuple[str, str]] = frozenset()
    handles: frozenset[tuple[str, str]] = frozenset()
    keys: tuple[tuple[str, str, str, bool], ...] = ()
    former: frozenset[tuple[str, int]] = frozenset()
    """Who was the record's manager before, and the number of the last version in its time."""
    due: str | None = None
    """When something happens to the record by the clock (xsd:dateTime in UTC); None: nothing does."""
    idempotency: tuple[str, str, bytes] | None = None
    cause: int | None = None
    erases: bool = False
    """Whether the personal sections of the record's earlier entries are destroyed with this one."""


@dataclass(slots=True)
class Batch:
    """Submissions that share one commit: leaves waiting for the tree."""

    journal: Journal
    leaves: list[bytes] = field(default_factory=list)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Everything inside, or nothing of it; the batch goes on either way."""
        connection, kept = self.journal.connection, len(self.leaves)
        connection.execute("SAVEPOINT submission")
        try:
            yield
        except BaseException:
            if connection.in_transaction:  # a full disk ends the whole of it, savepoints too
                connection.execute("ROLLBACK TO submission")
                connection.execute("RELEASE submission")
            del self.leaves[kept:]
            raise
        connection.execute("RELEASE submission")

    def append(self, draft: Draft) -> int:
        """The journal index of the draft's entry."""
        index = self.journal.tree.size + len(self.leaves)
        sealed = seal(draft.sections, new_salt)
        self.journal.insert(index, draft, sealed)
        self.leaves.append(sealed.leaf_hash)
        return index

    def remember(self, request: tuple[str, str, bytes], record: str, index: int) -> None:
        """An idempotency key (organisation, key, digest) whose request came to what the record's entry `index` says already."""
        self.journal.remember(request, record, index)

    @property
    def next_index(self) -> int:
        return self.journal.tree.size + len(self.leaves)


class Journal:
    """The writer's journal. `register` reads through the same connection, inside the running transaction."""

    def __init__(self, folder: Path, origin: str, key: SigningKey, terms: Mapping[str, Term], lookup_key: bytes, *, must_exist: bool = False) -> None:
        """Opens the journal in `folder`, or makes it, unless it `must_exist`.

        Broken when it is gone, damaged or contradicts its last checkpoint, OutOfRoom when it cannot be written.
        """
        self.origin, self.key, self.signed, file = origin, key, folder / "checkpoint", folder / "journal.db"
        if (must_exist or kept_note(folder)) and (not file.exists() or file.stat().st_size < LEAST_BYTES):
            raise Broken("internal-error", f"the journal is gone: {file} is missing or empty; put it back, or restore the data folder from a backup")
        folder.mkdir(parents=True, exist_ok=True)
        try:
            if not file.exists():
                file.touch(0o600)
            self.connection = connect(file, writable=True)
        except OSError as error:
            raise OutOfRoom("storage-full", f"the journal could not be made: {error.strerror}") from error
        except sqlite3.OperationalError as error:
            raise refused(error) from error
        self.register = Register(self.connection, terms, lookup_key)
        try:
            self._prepare()
            self.tree = CompactRange.read(self.register, self.register.size())
            if must_exist and not self.tree.size:
                raise Broken("internal-error", "the journal has no entries; restore the data folder from a backup")
            self._check_signed()
            newest = self.connection.execute("SELECT recorded_at FROM entry ORDER BY idx DESC LIMIT 1").fetchone()
            self.held = {path: _identity(path) for path in (file, file.with_name(f"{file.name}-wal"))}
            self.try_to_write()  # a file that could not be opened for writing is read-only for as long as it is open
        except FmarError:
            self.connection.close()
            raise
        except (sqlite3.DatabaseError, UnicodeDecodeError, ProofError) as error:
            self.connection.close()
            raise unusable(error) from error
        self.last_time = str(newest[0]) if newest else ""

    def _prepare(self) -> None:
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("PRAGMA secure_delete = ON")
        made = self.connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").fetchone()[0]
        if not made:
            schema = Path(__file__).with_name("schema.sql").read_text("utf-8")
            self.connection.executescript(f"BEGIN; {schema} INSERT INTO meta VALUES ('format', '{FORMAT}'); COMMIT;")
        upgrade.run(self.connection, self.register, FORMAT)

    def _check_signed(self) -> None:
        """The journal still holds the tree that was last signed."""
        chain = self._chain()
        note = kept_note(self.signed.parent)
        if not note:  # the database's own checkpoint still stands
            return
        try:
            last = chain.open(note)
        except NoteError as error:
            detail = f"journal/checkpoint does not verify under keys/journal.key: {error}; fmar check says which of them is wrong, and what to do"
            raise Broken("internal-error", detail) from error
        if last.size > self.tree.size or tree_root(self.register, last.size) != last.root:
            raise Broken(
                "internal-error",
                f"the journal has {self.tree.size} entries and is not the one that was signed at {last.size}; "
                "nothing will be signed over it: restore it from a backup",
            )

    def _chain(self) -> Chain:
        """The keys that have signed this journal, of which this process has the newest."""
        if (found := origin_in(self.register)) not in ("", self.origin):
            raise Broken("internal-error", f"this journal is {found}, and the base URL makes it {self.origin}; put the right base_url into node.toml")
        try:
            if self.key.name != self.origin:
                raise NoteError("wrong-origin", f"it is a key of {self.key.name}")
            return Chain.leading(self.register.handovers(), self.key.verifier)
        except NoteError as error:
            raise Broken(
                "internal-error",
                f"keys/journal.key is not the key that this journal goes on under: {error}; "
                "a change of keys that was cut off is finished by: fmar key rotate-journal",
            ) from error

    @contextmanager
    def batch(self) -> Iterator[Batch]:
        """One transaction; its entries, tree and signed checkpoint are on disk when this ends without an error."""
        self._execute("BEGIN IMMEDIATE")
        batch = Batch(self)
        try:
            yield batch
            tree, note = self._seal(batch)
            self._commit()
        except BaseException as error:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise refused(error) from error
            raise
        self.tree = tree
        if note:
            self._keep(note)

    @property
    def is_in_place(self) -> bool:
        """Whether the files that are written are those that the next start would find."""
        return all(_identity(path) == identity for path, identity in self.held.items())

    def _execute(self, statement: str) -> None:
        try:
            self.connection.execute(statement)
        except sqlite3.OperationalError as error:
            raise refused(error) from error

    def _commit(self) -> None:
        """Refuses in words that are true of what is on disk.

        Where anything but a write has failed, such as the sync, the whole batch stands in the log, and would come back at the next
        start; so something else is written over it. Where that fails too, nobody knows.
        """
        if not self.is_in_place:
            raise OutOfRoom("storage-full", "the journal's files are not in their place any more; nothing was written")
        try:
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname not in CUT_OFF:
                self._write_over(error)
            raise

    def _write_over(self, trouble: sqlite3.OperationalError) -> None:
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            self.connection.execute(TRIED, (new_token(),))
        except sqlite3.OperationalError:
            detail = f"the journal could not be synced ({trouble}); whether it was written shows when you ask again with the same Idempotency-Key"
            raise Unavailable("unavailable", detail, headers={"Retry-After": "1"}) from trouble

    def _seal(self, batch: Batch) -> tuple[CompactRange, str]:
        """Stores the tree's new hashes and signs its head, inside the transaction."""
        if not batch.leaves:
            return self.tree, ""
        tree, runs = self.tree.append(batch.leaves)
        rows = [(run.level, run.start + at, each) for run in runs if run.level for at, each in enumerate(run.hashes)]
        self.connection.executemany("INSERT INTO node VALUES (?, ?, ?)", rows)
        note = sign_checkpoint(Checkpoint(self.origin, tree.size, tree.root), self.key)
        self.connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (tree.size, note))
        return tree, note

    def _keep(self, note: str) -> None:
        fresh = self.signed.with_suffix(".new")
        try:
            fresh.write_text(note, "utf-8")
            fresh.replace(self.signed)
        except OSError as error:
            log.error("the newest checkpoint could not be kept beside the journal: %s", error)

    def recorded_now(self, instant: datetime) -> str:
        """The time to record: now, or the last recorded time where the clock has stepped back."""
        self.last_time = max(stamp(instant), self.last_time)
        return self.last_time

    def insert(self, index: int, draft: Draft, sealed: Sealed) -> None:
        """Writes an entry and the state that follows from it; `Batch.append` calls this."""
        run = self.connection.execute
        run(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (index, sealed.leaf_hash, draft.kind, draft.id, draft.number, draft.action, draft.recorded_at, draft.cause),
        )
        if draft.erases:
            self._erase(draft.id, index)
        subject = self._new_subject_key(draft.id) if draft.number == 1 else self._subject_key(draft.id)
        salts, bodies = at_rest(subject.key, index, sealed.salts, sealed.bodies)
        places = ", ".join("?" * (3 + len(SECTIONS)))
        run(f"INSERT INTO section VALUES ({places})", (index, b"".join(sealed.commitments), salts, *bodies))
        self._count(draft)
        self._part(draft)
        run(
            "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (draft.kind, draft.id, index, draft.state, draft.manager, draft.owner, draft.area, draft.is_live, draft.is_public),
        )
        self._identify(draft)
        for client, key, jwk, active in draft.keys:
            run(KEY, (client, key, draft.id, jwk, active, index))
        self._await(draft)
        if draft.idempotency:
            self.remember(draft.idempotency, draft.id, index)

    def _await(self, draft: Draft) -> None:
        if draft.number > 1:
            self.connection.execute("DELETE FROM due WHERE record = ?", (draft.id,))
        if draft.due:
            self.connection.execute("INSERT INTO due VALUES (?, ?, ?)", (draft.id, draft.kind, draft.due))

    def remember(self, request: tuple[str, str, bytes], record: str, index: int) -> None:
        """Files an idempotency key, unless it is filed; `Batch.remember` calls this."""
        organisation, key, digest = request
        row = (self.register.request(organisation, key), self._subject_key(record).digest(digest), index)
        self.connection.execute("INSERT OR IGNORE INTO idempotency VALUES (?, ?, ?)", row)

    def _subject_key(self, record: str) -> SubjectKey:
        """The key of a record's personal sections, made with its first entry."""
        return self.register.subject_key(record) or self._new_subject_key(record)

    def _new_subject_key(self, record: str) -> SubjectKey:
        made = SubjectKey(new_key())
        self.connection.execute("INSERT INTO subject_key VALUES (?, ?, ?)", (record, made.key, made.erased_before))
        return made

    def _erase(self, record: str, index: int) -> None:
        """Destroys the personal sections of a record's entries before `index`, and the key of every copy of them.

        What is left of them in the database's log goes with `truncate`; `erased` in the table `meta` says up to where there
        is something to scrub.
        """
        run = self.connection.execute
        sql = "UPDATE section SET personal = NULL, submission = NULL WHERE idx IN (SELECT idx FROM entry WHERE record = ? AND idx < ?)"
        run(sql, (record, index))
        run("UPDATE subject_key SET key = ?, erased_before = ? WHERE record = ?", (new_key(), index, record))
        run("DELETE FROM meta WHERE key = ?", (LOST + record,))
        run("INSERT OR REPLACE INTO meta VALUES ('erased', ?)", (str(index),))

    def _count(self, draft: Draft) -> None:
        """Keeps the tally, before the record's own row is replaced."""
        run = self.connection.execute
        if draft.number > 1:
            (before,) = run("SELECT state FROM record WHERE kind = ? AND id = ?", (draft.kind, draft.id)).fetchone()
            if before == draft.state:
                return
            run("UPDATE tally SET records = records - 1 WHERE kind = ? AND state = ?", (draft.kind, before))
        run("INSERT INTO tally VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET records = records + 1", (draft.kind, draft.state))

    def _identify(self, draft: Draft) -> None:
        """Replaces the record's claims and handles where they have changed."""
        blind = self.register.blind
        for table, values in (
            ("claim", {blind(scope, value) for scope, value in draft.claims}),
            ("handle", {blind(f"handle:{scheme}", value) for scheme, value in draft.handles}),
        ):
            before = set()
            if draft.number > 1:
                before = {row[0] for row in self.connection.execute(f"SELECT digest FROM {table} WHERE record = ?", (draft.id,))}
            if gone := [(digest, draft.id) for digest in before - values]:
                self.connection.executemany(f"DELETE FROM {table} WHERE digest = ? AND record = ?", gone)
            if new := [(digest, draft.id) for digest in values - before]:
                self.connection.executemany(f"INSERT INTO {table} VALUES (?, ?)", new)

    def _part(self, draft: Draft) -> None:
        """Notes who is no longer the record's manager, and who is again, before its identifiers are replaced."""
        run = self.connection.execute
        if draft.erases:
            run("DELETE FROM former_handle WHERE record = ?", (draft.id,))
        if not draft.former:
            return
        sql = "SELECT f.organisation, e.version, f.last FROM former f JOIN entry e ON e.idx = f.last WHERE f.record = ?"
        held = {(row[0], row[1]) for row in run(sql, (draft.id,))}
        for organisation, _ in held - draft.former:
            for table in ("former", "former_handle"):
                run(f"DELETE FROM {table} WHERE record = ? AND organisation = ?", (draft.id, organisation))
        for organisation, number in draft.former - held:
            run("INSERT INTO former SELECT ?, record, idx FROM entry WHERE record = ? AND version = ?", (organisation, draft.id, number))
            run("INSERT INTO former_handle SELECT digest, record, ? FROM handle WHERE record = ?", (organisation, draft.id))

    def forget_requests(self, before: int) -> None:
        """Idempotency keys of requests that became entries before this one are not known any more."""
        with self.batch():
            self.connection.execute("DELETE FROM idempotency WHERE idx < ?", (before,))

    def try_to_write(self) -> None:
        """OutOfRoom or Unavailable while nothing can be written; what it writes means nothing."""
        with self.batch():
            self.connection.execute(TRIED, (new_token(),))

    def close(self) -> None:
        self.connection.close()


def kept_note(folder: Path) -> str:
    """The signed checkpoint that is kept beside the journal; empty when there is none, or a loss of power has left zeros in its place."""
    file = folder / "checkpoint"
    held = file.read_bytes() if file.exists() else b""
    return "" if b"\0" in held else held.decode("utf-8", "replace")


def origin_in(register: Register) -> str:
    """What the journal calls itself, by the newest of what was signed; empty where nothing was. NoteError where it is malformed."""
    if handovers := register.handovers():
        return handovers[-1].new.name
    note = register.checkpoint()
    return Checkpoint.parse(Note.parse(note).text).origin if note else ""


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def unusable(error: sqlite3.DatabaseError | UnicodeDecodeError | ProofError) -> OutOfRoom | Broken:
    """Why a journal that is there cannot be opened: no room to write, or damage."""
    if isinstance(error, sqlite3.OperationalError) and isinstance(trouble := refused(error), OutOfRoom):
        return trouble
    return Broken("internal-error", f"the journal is damaged ({error}); restore it from a backup")


def refused(error: sqlite3.OperationalError) -> OutOfRoom | Unavailable:
    """What a failed write means for the caller: no room, or not now. Nothing was written either way."""
    text = str(error)
    if any(sign in text for sign in ("full", "readonly", "disk I/O", "unable to open", "too many open")):
        return OutOfRoom("storage-full", f"the journal could not be written: {text}")
    return Unavailable("unavailable", f"the journal could not be written: {text}", headers={"Retry-After": "1"})
