"""The journal on disk: all or nothing, never a second history, damage is found, identifiers are blind."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.errors import Broken, Conflict, OutOfRoom, Unavailable
from fmar_node.folder import Folder
from fmar_node.journal.checkpoint import Checkpoint, NoteError, SigningKey, open_checkpoint, sign_checkpoint
from fmar_node.journal.entry import SALT_BYTES, SECTIONS, canonical, commit, leaf_data
from fmar_node.journal.journal import Journal, kept_note, refused
from fmar_node.journal.register import Register, connect
from fmar_node.journal.tree import HASH_BYTES, ProofError, leaf_hash, tree_root
from fmar_node.keeping.derived import remake_state
from fmar_node.keeping.maintenance import verify_journal
from fmar_node.kinds import Claim
from tests.journal.drafts import KEY, LOOKUP_KEY, ORIGIN, draft, opened, record_id
from tests.market import Market, battery, mpan, vocabulary
from tests.market import refused as refusal_of

PROJECT = Path(__file__).parents[2]


def grown(folder: Path, count: int, each: int = 1) -> Journal:
    """A journal of `count` entries, `each` of them to a batch."""
    journal = opened(folder)
    for start in range(0, count, each):
        with journal.batch() as batch:
            for number in range(start, min(start + each, count)):
                batch.append(draft(number))
    return journal


def closed(folder: Path, count: int) -> Path:
    """The file of a journal of `count` entries that nobody has open."""
    grown(folder, count).close()
    return folder / "journal" / "journal.db"


def records(journal: Journal) -> list[str]:
    return [row[0] for row in journal.connection.execute("SELECT record FROM entry ORDER BY idx")]


def contents(connection: sqlite3.Connection, tables: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
    return {table: sorted((tuple(row) for row in connection.execute(f"SELECT * FROM {table}")), key=repr) for table in tables}


ALL = ("meta", "entry", "section", "node", "checkpoint", "record", "claim", "handle", "application_key", "idempotency")


# -- one transaction


def test_a_refusal_in_a_batch_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    journal = opened(tmp_path)

    with journal.batch() as batch:
        with batch.savepoint():
            batch.append(draft(0))
        with pytest.raises(KeyError):
            refuse(batch, 1)
        with batch.savepoint():
            batch.append(draft(2))

    assert records(journal) == [record_id(0), record_id(2)]
    assert journal.tree.size == 2


def refuse(batch: Any, number: int) -> None:
    """A submission that is refused after it was written."""
    with batch.savepoint():
        batch.append(draft(number, claims=frozenset({("serial", "x")}), handles=frozenset({("MPAN", "1")}), idempotency=("o", "k", b"d")))
        raise KeyError("refused")


def test_what_a_refused_submission_had_claimed_is_free(tmp_path: Path) -> None:
    journal = opened(tmp_path)

    with journal.batch() as batch:
        with pytest.raises(KeyError):
            refuse(batch, 0)
        batch.append(draft(1, claims=frozenset({("serial", "x")})))

    assert journal.register.holder(Claim("serial", "x")) == record_id(1)
    assert contents(journal.connection, ["handle", "idempotency"]) == {"handle": [], "idempotency": []}


def test_a_batch_that_fails_writes_nothing(tmp_path: Path) -> None:
    journal = grown(tmp_path, 2)
    before, tree, note = contents(journal.connection, ALL), journal.tree, kept_note(tmp_path / "journal")

    with pytest.raises(KeyError), journal.batch() as batch:
        batch.append(draft(2))
        raise KeyError

    assert (contents(journal.connection, ALL), journal.tree, kept_note(tmp_path / "journal")) == (before, tree, note)
    with journal.batch() as batch:
        assert batch.append(draft(3)) == 2


def test_nothing_is_seen_before_the_commit(tmp_path: Path) -> None:
    journal = grown(tmp_path, 1)
    reader = Register(connect(tmp_path / "journal" / "journal.db"), vocabulary().terms, LOOKUP_KEY)

    with journal.batch() as batch:
        batch.append(draft(1))
        inside, outside = journal.register.size(), reader.size()

    assert (inside, outside, reader.size()) == (2, 1, 2)


def test_an_empty_batch_signs_nothing(tmp_path: Path) -> None:
    journal = grown(tmp_path, 1)

    with journal.batch():
        pass

    assert [row[0] for row in journal.connection.execute("SELECT size FROM checkpoint")] == [1]


def test_a_reader_writes_nothing(tmp_path: Path) -> None:
    grown(tmp_path, 1)
    reader = connect(tmp_path / "journal" / "journal.db")

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM entry")


@pytest.mark.parametrize("each", [1, 3, 7, 300])
def test_entries_stand_in_the_order_of_their_batches(tmp_path: Path, each: int) -> None:
    journal = grown(tmp_path, 300 if each == 300 else 7, each)

    assert records(journal) == [record_id(number) for number in range(journal.tree.size)]
    assert journal.tree.root == tree_root(journal.register, journal.tree.size)
    assert journal.register.read(0, 0, 1) == [journal.register.entry(0).leaf_hash]


def test_a_journal_goes_on_where_it_stopped(tmp_path: Path) -> None:
    grown(tmp_path, 5).close()

    journal = opened(tmp_path)
    with journal.batch() as batch:
        index = batch.append(draft(5))

    assert (index, journal.tree.size) == (5, 6)
    assert journal.tree.root == tree_root(journal.register, 6)


def test_a_writer_that_was_overtaken_writes_nothing(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    with second.batch() as batch:
        batch.append(draft(0))

    with pytest.raises(sqlite3.IntegrityError), first.batch() as batch:
        batch.append(draft(1))

    assert records(second) == [record_id(0)]


def test_a_writer_that_has_to_wait_too_long_is_told_to_come_back(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    first.connection.execute("PRAGMA busy_timeout = 0")

    with second.batch(), pytest.raises(Unavailable) as refusal, first.batch():
        pass

    assert refusal.value.headers == {"Retry-After": "1"}


def test_recorded_time_never_runs_backwards_over_a_restart(tmp_path: Path) -> None:
    grown(tmp_path, 1).close()
    journal, start = opened(tmp_path), datetime(2026, 11, 22, 9, 30, tzinfo=UTC)

    times = [journal.recorded_now(start + timedelta(seconds=step)) for step in (-60, 1, 0, 2)]

    assert times == [f"2026-11-22T09:30:0{second}.000Z" for second in (0, 1, 1, 2)]


# -- the signed checkpoint


def test_the_newest_checkpoint_is_signed_and_kept_beside_the_journal(tmp_path: Path) -> None:
    journal = grown(tmp_path, 5, 2)

    kept = open_checkpoint(kept_note(tmp_path / "journal"), ORIGIN, KEY.verifier)

    assert (kept.size, kept.root) == (5, journal.tree.root)
    assert journal.register.checkpoint() == kept_note(tmp_path / "journal")
    assert [row[0] for row in journal.connection.execute("SELECT size FROM checkpoint ORDER BY size")] == [2, 4, 5]


def shorter(folder: Path, older: bytes) -> None:
    (folder / "journal" / "journal.db").write_bytes(older)


def other(folder: Path, _: bytes) -> None:
    (folder / "journal" / "journal.db").write_bytes(closed(folder / "other", 5).read_bytes())


def other_and_longer(folder: Path, _: bytes) -> None:
    (folder / "journal" / "journal.db").write_bytes(closed(folder / "other", 9).read_bytes())


def gone(folder: Path, _: bytes) -> None:
    (folder / "journal" / "journal.db").unlink()


def emptied(folder: Path, _: bytes) -> None:
    (folder / "journal" / "journal.db").write_bytes(b"")


def one_byte(folder: Path, _: bytes) -> None:
    (folder / "journal" / "journal.db").write_bytes(b"S")


def ill_signed(folder: Path, _: bytes) -> None:
    note = (folder / "journal" / "checkpoint").read_text("utf-8")
    (folder / "journal" / "checkpoint").write_text(note.replace("\n5\n", "\n4\n"), "utf-8")


def not_a_note(folder: Path, _: bytes) -> None:
    (folder / "journal" / "checkpoint").write_bytes(b"\xff\x01\xfe")


def of_another_journal(folder: Path, _: bytes) -> None:
    key = SigningKey(ORIGIN, Ed25519PrivateKey.generate())
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), key)
    (folder / "journal" / "checkpoint").write_text(note, "utf-8")


@pytest.mark.parametrize("wrong", [shorter, other, other_and_longer, gone, emptied, one_byte, ill_signed, not_a_note, of_another_journal])
def test_a_journal_that_contradicts_its_checkpoint_is_not_written_to(tmp_path: Path, wrong: Callable[[Path, bytes], None]) -> None:
    older = closed(tmp_path, 3).read_bytes()
    journal = opened(tmp_path)
    with journal.batch() as batch:
        batch.append(draft(3))
        batch.append(draft(4))
    journal.close()
    wrong(tmp_path, older)
    before = {file.name: file.read_bytes() for file in (tmp_path / "journal").iterdir()}

    with pytest.raises(Broken):
        opened(tmp_path)

    assert {file.name: file.read_bytes() for file in (tmp_path / "journal").iterdir()} == before


@pytest.mark.parametrize("note", [None, b""])
def test_a_checkpoint_that_a_power_cut_has_emptied_is_written_again(tmp_path: Path, note: bytes | None) -> None:
    closed(tmp_path, 3)
    file = tmp_path / "journal" / "checkpoint"
    file.unlink() if note is None else file.write_bytes(note)

    journal = opened(tmp_path)
    with journal.batch() as batch:
        batch.append(draft(3))

    assert open_checkpoint(kept_note(tmp_path / "journal"), ORIGIN, KEY.verifier).size == 4


def test_a_checkpoint_that_lags_behind_is_no_contradiction(tmp_path: Path) -> None:
    closed(tmp_path, 3)
    older = kept_note(tmp_path / "journal")
    grown_further = opened(tmp_path)
    with grown_further.batch() as batch:
        batch.append(draft(3))
    grown_further.close()

    (tmp_path / "journal" / "checkpoint").write_text(older, "utf-8")

    assert opened(tmp_path).tree.size == 4


def test_a_journal_signs_with_its_own_key_only(tmp_path: Path) -> None:
    closed(tmp_path, 1)

    with pytest.raises(Broken):
        opened(tmp_path, SigningKey(ORIGIN, Ed25519PrivateKey.generate()))
    with pytest.raises(Broken):
        opened(tmp_path, origin="elsewhere.example/journal")


def test_a_journal_of_another_format_is_not_written_to(tmp_path: Path) -> None:
    file = closed(tmp_path, 1)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'format'")
    connection.close()

    with pytest.raises(Broken, match="format 99"):
        opened(tmp_path)


# -- a crash: the write-ahead log cut anywhere


def crashed(folder: Path) -> tuple[bytes, bytes, list[bytes]]:
    """A journal's file and write-ahead log as a crash leaves them, and the root at each size."""
    journal = grown(folder, 12, 2)
    file = folder / "journal" / "journal.db"
    roots = [tree_root(journal.register, size) for size in range(13)]
    found = file.read_bytes(), file.with_name("journal.db-wal").read_bytes(), roots
    journal.close()
    return found


def recovered(folder: Path, file: bytes, log: bytes, note: str = "") -> Journal:
    """The journal that comes up on these bytes."""
    (folder / "journal").mkdir(parents=True)
    (folder / "journal" / "journal.db").write_bytes(file)
    (folder / "journal" / "journal.db-wal").write_bytes(log)
    (folder / "journal" / "checkpoint").write_text(note, "utf-8")
    return opened(folder)


def check_cut(folder: Path, whole: tuple[bytes, bytes, list[bytes]], cut: int) -> int:
    """That a cut at a byte leaves a whole prefix, and goes on from there; how long that is."""
    file, log, roots = whole
    journal = recovered(folder, file, log[:cut])
    size = journal.tree.size
    assert size % 2 == 0  # a batch is there or it isn't
    assert tree_root(journal.register, size) == roots[size]
    for index in range(size):
        journal.register.entry(index).verify()
    with journal.batch() as batch:
        assert batch.append(draft(99)) == size
    journal.close()
    shutil.rmtree(folder)
    return size


def test_a_log_cut_at_any_byte_leaves_a_whole_prefix(tmp_path: Path) -> None:
    whole = crashed(tmp_path / "whole")
    ends = [0, 1, 31, 32, 33, len(whole[1]) - 1, len(whole[1])]
    cuts = sorted({*ends, *random.Random(7).sample(range(len(whole[1])), 60)})

    sizes = [check_cut(tmp_path / f"cut-{cut}", whole, cut) for cut in cuts]

    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (0, 12)
    assert len(set(sizes)) == 7


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("part", range(4))
def test_a_log_cut_at_every_byte_of_its_last_commit_leaves_a_whole_prefix(tmp_path: Path, part: int) -> None:
    whole = crashed(tmp_path / "whole")
    cuts = range(5 * len(whole[1]) // 6 + part, len(whole[1]) + 1, 4)

    sizes = [check_cut(tmp_path / "cut", whole, cut) for cut in cuts]

    assert sizes == sorted(sizes)
    assert set(sizes) <= {8, 10, 12}


def test_a_log_that_has_lost_what_was_signed_is_refused(tmp_path: Path) -> None:
    file, log, _ = crashed(tmp_path / "whole")
    note = kept_note(tmp_path / "whole" / "journal")

    with pytest.raises(Broken):
        recovered(tmp_path / "cut", file, log[: len(log) // 2], note)
    assert recovered(tmp_path / "all", file, log, note).tree.size == 12


# -- damage


def stopped(market: Market) -> Folder:
    """A market with two assets as the folder of a node that is not running."""
    market.submit(market.callers["fsp-a"], "assets", battery("S-1"))
    market.submit(market.callers["fsp-a"], "assets", battery("S-2", friendlyCode="BESS-2"))
    market.close()
    return market.node_folder()


def said(file: Path) -> Any:
    """Entries, sections and newest checkpoint, as far as they can be read."""
    connection = connect(file)
    try:
        newest = connection.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        return contents(connection, ["section"]), [tuple(row)[:7] for row in connection.execute("SELECT * FROM entry ORDER BY idx")], tuple(newest)
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        return None
    finally:
        connection.close()


def is_noticed(folder: Folder) -> bool:
    try:
        verify_journal(folder)
    except ProofError:
        return True
    return False


def test_a_flipped_bit_is_noticed_where_it_changes_anything(market: Market) -> None:
    folder = stopped(market)
    file = folder.journal / "journal.db"
    intact, whole, noticed, rng = said(file), file.read_bytes(), 0, random.Random(7)

    for place in rng.sample(range(len(whole)), 80):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        is_changed, was_noticed = said(file) != intact, is_noticed(folder)
        noticed += was_noticed
        assert was_noticed or not is_changed, f"bit at {place}"

    assert noticed > 10


def test_a_file_cut_short_is_noticed_and_not_written_to(market: Market) -> None:
    folder = stopped(market)
    file = folder.journal / "journal.db"
    whole, rng = file.read_bytes(), random.Random(7)

    for cut in [0, 1, 99, 100, 511, 512, 4_096, *rng.sample(range(len(whole)), 20)]:
        file.write_bytes(whole[:cut])
        with pytest.raises(Broken):
            Market(market.folder)
        assert file.read_bytes() == whole[:cut]
        assert is_noticed(folder)


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
def test_every_flipped_bit_is_noticed_where_it_changes_anything(market: Market) -> None:
    folder = stopped(market)
    file = folder.journal / "journal.db"
    intact, whole = said(file), file.read_bytes()

    for place in range(0, len(whole), 29):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert is_noticed(folder) or said(file) == intact, f"bit at {place}"


def test_a_journal_as_it_should_be_passes(market: Market) -> None:
    folder = stopped(market)

    assert verify_journal(folder) == [f"{Market(market.folder).journal.tree.size} entries", "commitments", "leaves", "root", "signature", "current state"]


@pytest.mark.parametrize("section", SECTIONS)
def test_an_altered_section_is_found(market: Market, section: str) -> None:
    folder = stopped(market)
    file = folder.journal / "journal.db"
    with sqlite3.connect(file) as connection:
        connection.execute(f"UPDATE section SET {section} = CAST({section} || ' ' AS BLOB) WHERE idx = 19")
    connection.close()

    with pytest.raises(ProofError) as finding:
        verify_journal(folder)
    assert finding.value.code == ("unreadable-section" if section in ("personal", "submission") else "wrong-commitment")
    assert section in finding.value.detail


TAMPERING = {
    "a salt": ("UPDATE section SET salts = randomblob(112) WHERE idx = 3", "wrong-commitment"),
    "a commitment": ("UPDATE section SET commitments = randomblob(224) WHERE idx = 3", "wrong-commitment"),
    "a commitment cut": ("UPDATE section SET commitments = substr(commitments, 1, 192) WHERE idx = 3", "malformed-entry"),
    "salts cut": ("UPDATE section SET salts = substr(salts, 1, 96) WHERE idx = 3", "damaged-file"),
    "a leaf": ("UPDATE entry SET leaf_hash = randomblob(32) WHERE idx = 3", "leaf-mismatch"),
    "two entries swapped": ("UPDATE section SET idx = CASE idx WHEN 3 THEN -4 WHEN 4 THEN -3 END WHERE idx IN (3, 4); UPDATE section SET idx = -idx WHERE idx < 0", "unreadable-section"),
    "a record": ("UPDATE entry SET record = '0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11' WHERE idx = 3", "unreadable-section"),
    "a kind": ("UPDATE entry SET kind = 'assets' WHERE idx = 3", "entry-mismatch"),
    "a version": ("UPDATE entry SET version = 99 WHERE idx = 3", "entry-mismatch"),
    "an action": ("UPDATE entry SET action = 'suspension' WHERE idx = 3", "entry-mismatch"),
    "a time": ("UPDATE entry SET recorded_at = '2020-01-01T00:00:00.000Z' WHERE idx = 3", "entry-mismatch"),
    "sections gone": ("DELETE FROM section WHERE idx = 3", "entry-missing"),
    "an entry gone": ("DELETE FROM entry WHERE idx = 3", "entry-missing"),
    "a key": ("UPDATE subject_key SET key = randomblob(32)", "unreadable-section"),
    "a key gone": ("DELETE FROM subject_key", "unreadable-section"),
    "a personal section gone": ("UPDATE section SET personal = NULL WHERE idx = 19", "unreadable-section"),
    "a tally": ("UPDATE tally SET records = records + 1", "state-mismatch"),
    "the newest gone": ("DELETE FROM entry WHERE idx = (SELECT max(idx) FROM entry)", "wrong-root"),
    "the newest gone with its checkpoint": (
        "DELETE FROM section WHERE idx = (SELECT max(idx) FROM entry); DELETE FROM entry WHERE idx = (SELECT max(idx) FROM entry);"
        " DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)", "wrong-root",
    ),
    "everything gone": ("DELETE FROM section; DELETE FROM entry; DELETE FROM checkpoint", "entry-missing"),
    "the checkpoint gone": ("DELETE FROM checkpoint", "malformed-note"),
    "an older checkpoint": ("DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)", "wrong-root"),
    "a checkpoint's text": ("UPDATE checkpoint SET note = replace(note, 'node', 'mode')", "wrong-origin"),
    "a checkpoint's size": ("UPDATE checkpoint SET note = replace(note, char(10) || size || char(10), char(10) || 7 || char(10))", "bad-signature"),
}  # fmt: skip


@pytest.mark.parametrize(("statements", "code"), TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_found(market: Market, statements: str, code: str) -> None:
    folder = stopped(market)
    with sqlite3.connect(folder.journal / "journal.db") as connection:
        connection.executescript(statements)
    connection.close()

    with pytest.raises(ProofError) as finding:
        verify_journal(folder)

    assert finding.value.code == code


def test_an_entry_that_was_made_anew_in_itself_consistent_is_found(market: Market) -> None:
    folder = stopped(market)
    connection = sqlite3.connect(folder.journal / "journal.db")
    commitments, salts, body = connection.execute("SELECT commitments, salts, open FROM section WHERE idx = 19").fetchone()
    place, forged = SECTIONS.index("open"), body.replace(b"BESS", b"CHP")
    made = commit(salts[place * SALT_BYTES : (place + 1) * SALT_BYTES], forged)
    commitments = commitments[: place * HASH_BYTES] + made + commitments[(place + 1) * HASH_BYTES :]
    leaf = leaf_hash(leaf_data([commitments[at : at + HASH_BYTES] for at in range(0, len(commitments), HASH_BYTES)]))
    connection.execute("UPDATE section SET open = ?, commitments = ? WHERE idx = 19", (forged, commitments))
    connection.execute("UPDATE entry SET leaf_hash = ? WHERE idx = 19", (leaf,))
    connection.commit()
    connection.close()

    with pytest.raises(ProofError) as finding:
        verify_journal(folder)

    assert body != forged
    assert finding.value.code == "wrong-root"


def test_a_checkpoint_of_another_key_is_found(market: Market) -> None:
    folder = stopped(market)
    (folder.root / "keys" / "journal.key").write_bytes(Ed25519PrivateKey.generate().private_bytes_raw())

    with pytest.raises(NoteError) as finding:
        verify_journal(folder)

    assert finding.value.code == "unknown-signer"


def test_an_erased_section_breaks_no_proof(market: Market) -> None:
    folder = stopped(market)
    file = folder.journal / "journal.db"
    connection = sqlite3.connect(file)
    connection.execute("UPDATE section SET personal = NULL, submission = NULL WHERE idx = 20")
    connection.execute("UPDATE subject_key SET erased_before = 21 WHERE record = (SELECT record FROM entry WHERE idx = 20)")
    connection.commit()
    connection.close()

    reopened = Market(market.folder)
    with reopened.journal.batch():
        remake_state(reopened.journal.register)
    document = reopened.register.version_at(20).document

    assert "root" in verify_journal(folder)
    assert ("importMPAN" in document, document["manufacturer"]) == (False, "Acme Storage")
    reopened.close()


DERIVED = ["UPDATE record SET head = 11 WHERE kind = 'assets'", "DELETE FROM claim", "UPDATE handle SET record = 'x'", "UPDATE application_key SET jwk = '{}'"]


@pytest.mark.parametrize("statement", DERIVED)
def test_current_state_that_does_not_follow_from_the_entries_is_found(market: Market, statement: str) -> None:
    folder = stopped(market)
    with sqlite3.connect(folder.journal / "journal.db") as connection:
        connection.execute(statement)
    connection.close()

    assert is_noticed(folder)


# -- no room


def starved(folder: Path, how: str) -> list[list[Any]]:
    """What a process saw whose disk is full, or only readable."""
    command = [sys.executable, "-m", "tests.journal.starving", str(folder), how]
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=PROJECT, timeout=60)
    assert result.returncode == 0, result.stderr
    found: list[list[Any]] = json.loads(result.stdout)
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("how", ["full", "full-amid"])
def test_a_full_disk_writes_nothing_and_is_got_over(tmp_path: Path, how: str) -> None:
    seen = starved(tmp_path, how)

    assert seen == [["written", "", 3], ["OutOfRoom", "storage-full", 3], ["OutOfRoom", "storage-full", 3], ["written", "", 6]]
    journal = opened(tmp_path)
    assert records(journal) == [record_id(number) for number in (0, 1, 2, 43, 44, 45)]
    for index in range(6):
        journal.register.entry(index).verify()


@pytest.mark.skipif(sys.platform != "linux", reason="root has to give up a capability")
@pytest.mark.parametrize("how", ["folder", "file"])
def test_a_journal_that_can_only_be_read_is_no_damaged_one(tmp_path: Path, how: str) -> None:
    assert starved(tmp_path, how) == [["OutOfRoom", "storage-full", -1]]

    journal = opened(tmp_path)
    with journal.batch() as batch:
        batch.append(draft(0))
    assert journal.tree.size == 1


def test_a_folder_that_is_no_folder_has_no_room(tmp_path: Path) -> None:
    (tmp_path / "journal" / "journal.db").mkdir(parents=True)

    with pytest.raises(OutOfRoom):
        opened(tmp_path)


@pytest.mark.parametrize(("text", "expected"), [
    ("database or disk is full", OutOfRoom), ("attempt to write a readonly database", OutOfRoom), ("disk I/O error", OutOfRoom),
    ("unable to open database file", OutOfRoom), ("too many open files", OutOfRoom), ("database is locked", Unavailable),
])  # fmt: skip
def test_a_failed_write_has_a_reason_that_the_caller_can_act_on(text: str, expected: type) -> None:
    assert type(refused(sqlite3.OperationalError(text))) is expected


# -- identifiers


def test_the_tables_of_identifiers_hold_no_identifier(market: Market) -> None:
    market.submit(market.callers["fsp-a"], "assets", battery("SECRET-1", importMPAN=mpan(1), friendlyCode="QUIET-1"))
    tables = contents(market.journal.connection, ["claim", "handle", "record", "idempotency", "entry"])

    stored = repr(tables).casefold()

    assert (len(tables["claim"]) > 2, len(tables["handle"]) > 3) == (True, True)
    assert not any(secret in stored for secret in (mpan(1), "secret-1", "quiet-1", "acme"))
    sections = repr(contents(market.journal.connection, ["section"]))
    assert "AS-500" in sections
    assert mpan(1) not in sections


def test_an_identifier_is_blind_without_the_nodes_key(tmp_path: Path) -> None:
    register = grown(tmp_path, 1).register
    guess = Register(register.connection, vocabulary().terms, b"x" * 32)
    plain = {hashlib.new(name, mpan(1).encode()).digest()[:16] for name in ("sha256", "sha1", "md5")}

    assert len(register.blind("handle:MPAN", mpan(1))) == 16
    assert register.blind("handle:MPAN", mpan(1)) not in {guess.blind("handle:MPAN", mpan(1)), register.blind("handle:MPAN", mpan(2)), *plain}


def test_a_record_gives_up_what_it_does_not_claim_any_more(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    first = {"claims": frozenset({("serial", "a"), ("friendlyCode/x", "b")}), "handles": frozenset({("MPAN", "1"), ("MPAN", "2")})}
    second = {"claims": frozenset({("serial", "a")}), "handles": frozenset({("MPAN", "2"), ("MPAN", "3")})}

    for version, given in ((1, first), (2, second)):
        with journal.batch() as batch:
            batch.append(draft(0, version=version, **given))

    held = [journal.register.holder(Claim(scope, value)) for scope, value in (("serial", "a"), ("friendlyCode/x", "b"))]
    assert held == [record_id(0), None]
    assert [journal.register.found("MPAN", value) for value in "123"] == [[], [record_id(0)], [record_id(0)]]


def test_a_claim_has_one_holder_and_a_handle_has_many(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    with journal.batch() as batch:
        for number in range(2):
            batch.append(draft(number, handles=frozenset({("MPAN", "1")}), claims=frozenset({("serial", str(number))})))

    with pytest.raises(sqlite3.IntegrityError), journal.batch() as batch:
        batch.append(draft(2, claims=frozenset({("serial", "0")})))

    assert sorted(journal.register.found("MPAN", "1")) == [record_id(0), record_id(1)]
    assert journal.tree.size == 2


def test_deregistration_frees_identifiers_and_keeps_the_record(market: Market) -> None:
    caller = market.callers["fsp-a"]
    receipt = market.submit(caller, "assets", battery("S-1", friendlyCode="B-1"))
    before = len(contents(market.journal.connection, ["claim"])["claim"])

    market.act(caller, "assets", receipt.id, "deregistration", deregistrationReason="ERROR")

    assert len(contents(market.journal.connection, ["claim"])["claim"]) == before - 2
    assert [version.number for version in market.register.versions("assets", receipt.id)] == [1, 2]
    again = market.submit(caller, "assets", battery("S-1", friendlyCode="B-1"))
    with refusal_of("DUPLICATE_EXACT", "FRIENDLY_CODE_TAKEN"):
        market.submit(caller, "assets", battery("S-1", friendlyCode="B-1"))
    assert again.id != receipt.id


def test_a_refusal_by_the_journals_state_is_a_conflict(market: Market) -> None:
    caller = market.callers["fsp-a"]
    market.submit(caller, "assets", battery("S-1"))

    with refusal_of("DUPLICATE_EXACT", as_=Conflict):
        market.submit(caller, "assets", battery("S-1", importMPAN=mpan(1), exportMPAN=mpan(2)))


def test_sections_are_canonical_json(market: Market) -> None:
    receipt = market.submit(market.callers["fsp-a"], "assets", battery("S-1"))

    entry = market.register.entry(receipt.index)

    for section in SECTIONS[:-1]:
        body = entry.body(section)
        assert body == canonical(json.loads(body))
    assert json.loads(entry.body("submission"))["serialNumber"] == "S-1"
