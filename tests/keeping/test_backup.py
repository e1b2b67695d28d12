"""Backup, restore and drill: what was acknowledged is there, what was erased is not, and nothing half made counts.

Rules kept here: a market in this process, its folder on disk; real processes where something is killed or limited.
Every step is killed by: make test ARGS="-m campaign tests/keeping"
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fmar_node.cli.main import app
from fmar_node.errors import Broken, Conflict, FmarError, Malformed, Unavailable
from fmar_node.folder import Folder
from fmar_node.identity import new_key
from fmar_node.journal.checkpoint import VerifierKey
from fmar_node.journal.handover import CUT, Chain
from fmar_node.journal.journal import FORMAT
from fmar_node.journal.receipt import verify_receipt
from fmar_node.journal.register import connect
from fmar_node.keeping.backup import Manifest, make_backup
from fmar_node.keeping.checkup import check_node
from fmar_node.keeping.erase import _erase, erase_records
from fmar_node.keeping.maintenance import open_journal, open_register, rebuild_graph, verify_journal
from fmar_node.keeping.places import forget, remembered, unreached
from fmar_node.keeping.restore import Restored, Wish, digests, drill, restore
from fmar_node.keeping.rotation import rotate
from fmar_node.kinds.saved_query import name_of
from fmar_node.read import Reader, Shown
from fmar_node.store.graph import Graph
from tests.market import BASE, Market, battery, mpan, saved_query, vocabulary

PROJECT = Path(__file__).parents[2]
PERSONAL = {"importMPAN": mpan(70_001), "exportMPAN": mpan(70_002)}


@dataclass
class Story:
    """A register with a history: assets, an update, a request with an idempotency key; `backup` was made at its end."""

    market: Market
    folder: Folder
    backup: Path
    assets: list[str]
    receipt: dict[str, Any]
    key: VerifierKey

    @property
    def place(self) -> Path:
        return self.backup.parent


@pytest.fixture(scope="module")
def told(founded: Market, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story that `story` is copied from; not to be changed."""
    root = tmp_path_factory.mktemp("story")
    market = founded.copied(root / "data")
    provider = market.callers["fsp-a"]
    assets = []
    for number in range(3):
        market.clock.forward(minutes=1)
        personal = PERSONAL if not number else {}
        assets.append(market.submit(provider, "assets", battery(f"BK-{number}", **personal), idempotency=f"key-{number}").id)
    market.clock.forward(minutes=1)
    market.update(provider, "assets", assets[0], assetName="A new name")
    version = market.current("assets", assets[1])
    receipt = market.reader.proof(Shown(version, version.document, 0), provider)
    market.close()
    folder = market.node_folder()
    rebuild_graph(folder)
    return Story(market, folder, make_backup(folder, root / "place"), assets, receipt, market.key.verifier)


@pytest.fixture
def story(told: Story, tmp_path: Path) -> Story:
    """A copy of the folder and of its backups."""
    shutil.copytree(told.folder.root, tmp_path / "data")
    shutil.copytree(told.place, tmp_path / "place")
    (tmp_path / "data" / "backups").write_text(f"{tmp_path / 'place'}\n", "utf-8")
    return Story(told.market, Folder(tmp_path / "data"), tmp_path / "place" / told.backup.name, told.assets, told.receipt, told.key)


class Rekeyed(Market):
    """A market that goes on under the key in its folder."""

    def __post_init__(self) -> None:
        self.key = Folder(self.folder).journal_key(BASE)
        self.open()


def restored(story: Story, name: str = "new", **wished: Any) -> tuple[Folder, Restored]:
    target = story.place.parent / name
    return Folder(target), restore(Wish(**{"backup": story.backup, **wished}), target)


def erase(folder: Folder, record: str, index: int) -> bytes:
    """What an erasure does to the keys of a record in the journal's tables."""
    fresh = new_key()
    with closing(connect(folder.journal / "journal.db", writable=True)) as connection:
        connection.execute("UPDATE section SET personal = NULL, submission = NULL WHERE idx IN (SELECT idx FROM entry WHERE record = ? AND idx < ?)", (record, index))
        connection.execute("UPDATE subject_key SET key = ?, erased_before = ? WHERE record = ?", (fresh, index, record))
    return fresh


def documents(folder: Folder) -> dict[tuple[str, str], dict[str, Any]]:
    """Every version of every record, as stored."""
    with closing((register := open_register(folder)).connection):
        return {(version.id, str(version.number)): dict(version.document) for version in register.since(-1, 10_000)}


def tables(folder: Folder) -> dict[str, list[tuple[Any, ...]]]:
    names = ("entry", "section", "node", "checkpoint", "record", "tally", "claim", "handle", "application_key", "idempotency", "subject_key")
    with closing(connect(folder.journal / "journal.db")) as connection:
        held = {name: sorted((tuple(row) for row in connection.execute(f"SELECT * FROM {name}")), key=repr) for name in names}
    return {**held, "tally": [row for row in held["tally"] if row[-1]]}


def bytes_under(place: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(place.rglob("*")) if file.is_file())


def graph_of(folder: Folder) -> dict[str, str]:
    rebuild_graph(folder)
    graph = Graph(folder.graph)
    try:
        return digests(graph)
    finally:
        graph.close()


def refuses(kind: type[FmarError], words: str, wanted: Callable[[], object]) -> None:
    with pytest.raises(kind, match=words):
        wanted()


# -- a backup


def test_a_backup_says_what_it_is(story: Story) -> None:
    manifest = Manifest.read(story.backup)

    assert story.backup.name == f"{story.backup.name.split('-')[0]}-{manifest.entries}"
    assert (manifest.entries, manifest.checkpoint) == (open_register(story.folder).size(), (story.folder.journal / "checkpoint").read_text("utf-8"))
    assert {"journal.db", "node.toml", "keys/lookup.key", "keys/journal.key"} <= set(manifest.files)


def test_only_its_owner_reads_a_backup(story: Story) -> None:
    made = make_backup(story.folder, story.place)

    modes = {path: path.stat().st_mode & 0o077 for path in (story.place / "subject-keys.db", made, *made.rglob("*"))}
    assert [path for path, mode in modes.items() if mode] == []


def test_a_backup_holds_no_key_of_a_subject_and_no_value_to_try_a_hash_against(story: Story) -> None:
    with closing(connect(story.folder.journal / "journal.db")) as connection:
        secrets = [row[0] for table, column in (("subject_key", "key"), ("claim", "digest"), ("handle", "digest")) for row in connection.execute(f"SELECT {column} FROM {table}")]

    held = bytes_under(story.backup)

    assert len(secrets) > 10
    assert [secret for secret in (*secrets, *(value.encode() for value in PERSONAL.values())) if secret in held] == []


def test_a_backup_may_leave_the_nodes_keys_out(story: Story) -> None:
    made = make_backup(story.folder, story.place, with_keys=False)

    assert {path.name for path in made.iterdir()} == {"journal.db", "node.toml", "manifest.json", "backups"}
    refuses(Malformed, "--keys", lambda: restored(story, backup=made))
    assert restored(story, "with", backup=made, keys=story.folder.keys)[1].entries == Manifest.read(made).entries


def test_a_node_remembers_where_its_backups_are(story: Story) -> None:
    make_backup(story.folder, story.place.with_name("second"))
    make_backup(story.folder, story.place.with_name("second"))

    assert remembered(story.folder) == [story.place, story.place.with_name("second")]


@pytest.mark.parametrize("name", ["data/place", "link/place", "place/../data/x", "link"])
def test_a_backup_is_not_put_into_the_folder_that_it_is_of(story: Story, name: str) -> None:
    (story.folder.root.parent / "link").symlink_to(story.folder.root)

    refuses(Malformed, "inside the data folder", lambda: make_backup(story.folder, story.folder.root.parent / name))

    assert remembered(story.folder) == [story.place]


def test_each_backup_is_a_whole_prefix_while_others_write(market: Market, tmp_path_factory: pytest.TempPathFactory) -> None:
    tmp_path = tmp_path_factory.mktemp("hot")
    folder, provider, acknowledged, is_over = market.node_folder(), market.callers["fsp-a"], [], threading.Event()

    def write() -> None:
        for number in range(200):
            acknowledged.append(market.submit(provider, "assets", battery(f"HOT-{number}")).index)
            if is_over.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    told = []
    for _ in range(5):
        time.sleep(0.05)
        before = acknowledged[-1] if acknowledged else -1
        told.append((before, make_backup(folder, tmp_path / "place")))
    is_over.set()
    writer.join()

    for number, (before, made) in enumerate(told):
        manifest = Manifest.read(made)
        assert manifest.entries > before
        assert restore(Wish(made), tmp_path / f"restored-{number}").entries == manifest.entries
    assert len({made.name.split("-")[1] for _, made in told}) > 1


# -- refused backups


def test_the_place_of_another_nodes_backups_is_refused(story: Story) -> None:
    with closing(sqlite3.connect(story.place / "subject-keys.db")) as keys, keys:
        keys.execute("UPDATE meta SET value = 'other.example/journal' WHERE key = 'origin'")

    refuses(Conflict, "other.example/journal", lambda: make_backup(story.folder, story.place))


def test_a_place_inside_the_data_folder_is_refused(story: Story) -> None:
    refuses(Malformed, "inside the data folder", lambda: make_backup(story.folder, story.folder.root / "backups-here"))


def test_a_journal_that_is_not_what_was_signed_is_not_backed_up(story: Story) -> None:
    with closing(connect(story.folder.journal / "journal.db", writable=True)) as connection:
        connection.execute("DELETE FROM entry WHERE idx = (SELECT max(idx) FROM entry)")

    refuses(Broken, "not those that were signed", lambda: make_backup(story.folder, story.place))
    assert [path.name for path in story.place.iterdir() if path.is_dir()] == [story.backup.name]


def test_an_erasure_is_not_undone_by_the_backup_of_an_older_copy(story: Story) -> None:
    older = shutil.copytree(story.folder.root, story.place.with_name("older"))
    erase(story.folder, story.assets[0], 30)
    forget(story.folder)

    refuses(Conflict, story.assets[0], lambda: make_backup(Folder(older), story.place))


def test_one_backup_at_a_time_is_made_in_a_place(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmar_node.keeping.places.PATIENCE", 0.1)
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl,sys,time; f=open(sys.argv[1],'w'); fcntl.flock(f,2); print(1,flush=True); time.sleep(60)", str(story.place / ".lock")],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout and holder.stdout.readline()
        refuses(Unavailable, "another backup", lambda: make_backup(story.folder, story.place))
    finally:
        holder.kill()
        holder.communicate()


# -- a restore


def test_a_restored_node_is_the_one_that_was_backed_up(story: Story) -> None:
    folder, found = restored(story)

    assert tables(folder) == tables(story.folder)
    assert (folder.journal / "checkpoint").read_bytes() == (story.folder.journal / "checkpoint").read_bytes()
    assert documents(folder) == documents(story.folder)
    assert "inclusion" in verify_receipt(story.receipt, str(story.key))
    assert graph_of(folder) == graph_of(story.folder)
    assert (found.cut, found.lost, found.is_handed_over, remembered(folder)[-1]) == (0, 0, False, story.place)


def test_lists_lookups_and_repeats_are_as_before(story: Story) -> None:
    folder, _ = restored(story)

    registers = [open_register(each) for each in (story.folder, folder)]
    pages = [Reader(each, vocabulary()) for each in registers]
    caller = story.market.callers["fsp-a"]
    assert registers[1].found("MPAN", PERSONAL["importMPAN"]) == [story.assets[0]]
    assert pages[0].history("assets", story.assets[0], caller) == pages[1].history("assets", story.assets[0], caller)
    assert registers[1].repeated(caller.organisation, "key-1", b"") == registers[0].repeated(caller.organisation, "key-1", b"") != None  # noqa: E711


def test_a_restored_node_is_written_on(story: Story) -> None:
    folder, found = restored(story)
    for name in ("journal", "keys"):
        assert (folder.root / name).stat().st_mode & 0o777 == 0o700

    market = Market(folder.root, story.market.clock, dict(story.market.callers))
    receipt = market.submit(market.callers["fsp-a"], "assets", battery("AFTER"))
    market.close()

    assert receipt.index == found.entries
    assert "signature" in verify_journal(folder)


def sizes_of(folder: Folder) -> list[int]:
    with closing(connect(folder.journal / "journal.db")) as connection:
        return [row[0] for row in connection.execute("SELECT size FROM checkpoint ORDER BY size")]


def test_the_journal_is_restored_to_every_commit(story: Story) -> None:
    everything = documents(story.folder)
    sizes = sizes_of(story.folder)
    for number, size in enumerate(sizes[-6:]):
        folder, found = restored(story, f"at-{number}", at=size - 1)

        held = documents(folder)
        assert found.entries == size
        assert held == dict(list(everything.items())[:size])
        assert found.is_handed_over == (size < sizes[-1])
        chain = Chain.following(open_register(folder).handovers(), story.key)
        assert [(each.size, each.reason) for each in chain.handovers] == [(size, CUT)] * found.is_handed_over
        assert "current state" in verify_journal(folder)


def test_an_instant_means_the_last_commit_before_it(story: Story) -> None:
    with closing((register := open_register(story.folder)).connection):
        times = {size: register.version_at(size - 1).recorded_at for size in sizes_of(story.folder)}  # type: ignore[union-attr]
    size, recorded = list(times.items())[-3]

    from fmar_node.clock import parse_stamp

    assert restored(story, at=parse_stamp(recorded))[1].entries == size


def test_entries_of_one_commit_stay_together(story: Story) -> None:
    size = sizes_of(story.folder)[-1]
    with closing(connect(story.folder.journal / "journal.db", writable=True)) as connection:  # as if the last three had shared a commit
        connection.execute("DELETE FROM checkpoint WHERE size IN (?, ?)", (size - 2, size - 1))
    made = make_backup(story.folder, story.place)

    sizes = [restored(story, f"at-{at}", backup=made, at=at)[1].entries for at in range(size - 4, size)]

    assert sizes == [size - 3, size - 3, size - 3, size]


def test_a_receipt_of_what_was_cut_off_does_not_count_any_more(story: Story) -> None:
    index = story.receipt["treeSize"]
    folder, _ = restored(story, at=sizes_of(story.folder)[-3] - 1)

    from fmar_node.journal.handover import print_handovers
    from fmar_node.journal.receipt import ReceiptError

    told = print_handovers(open_register(folder).handovers())
    assert "inclusion" in verify_receipt(story.receipt, str(story.key))
    with pytest.raises(ReceiptError) as refusal:
        verify_receipt(story.receipt, str(story.key), handovers=told)
    assert (refusal.value.code, index) == ("not-continued", sizes_of(story.folder)[-1])


@pytest.mark.parametrize("at", [99, datetime(2200, 1, 1, tzinfo=UTC)])
def test_what_came_after_the_backup_cannot_be_restored(story: Story, at: int | datetime) -> None:
    refuses(Malformed, "take a later backup", lambda: restored(story, at=at))


def test_before_the_first_commit_there_is_nothing_to_restore(story: Story) -> None:
    refuses(Malformed, "no commit", lambda: restored(story, at=-1))


# -- erased since


def test_an_erasure_reaches_every_backup(story: Story) -> None:
    erase(story.folder, story.assets[0], 30)

    assert (unreached(story.folder) != [], forget(story.folder), unreached(story.folder)) == (True, [], [])

    folder, _ = restored(story)
    mine = [document for (record, _), document in documents(folder).items() if record == story.assets[0]]
    assert (len(mine), [document for document in mine if "importMPAN" in document]) == (2, [])
    assert open_register(folder).found("MPAN", PERSONAL["importMPAN"]) == []
    assert mine[0]["assetName"] == "Green Park battery 1"


def test_the_next_backup_takes_the_old_key_away_too(story: Story) -> None:
    with closing(connect(story.folder.journal / "journal.db")) as connection:
        old = connection.execute("SELECT key FROM subject_key WHERE record = ?", (story.assets[0],)).fetchone()[0]
    erase(story.folder, story.assets[0], 30)

    before = bytes_under(story.place)
    make_backup(story.folder, story.place, is_verified=False)

    assert (old in before, old in bytes_under(story.place)) == (True, False)


def test_no_byte_of_an_old_key_stays_in_the_file(story: Story) -> None:
    with closing(connect(story.folder.journal / "journal.db")) as connection:
        old = connection.execute("SELECT key FROM subject_key WHERE record = ?", (story.assets[0],)).fetchone()[0]
    erase(story.folder, story.assets[0], 30)

    forget(story.folder)

    assert old not in bytes_under(story.place)


def test_a_record_that_was_erased_after_the_cut_is_written_on(story: Story) -> None:
    size, owned = sizes_of(story.folder)[-2], {**PERSONAL, "ownerName": "A new owner", "justification": battery()["justification"]}
    erase(story.folder, story.assets[0], 100)
    forget(story.folder)
    folder, _ = restored(story, at=size - 1)

    market = Rekeyed(folder.root, story.market.clock, dict(story.market.callers))
    market.update(market.callers["fsp-a"], "assets", story.assets[0], **owned)
    market.close()

    newest = open_register(folder).current("assets", story.assets[0])
    assert newest and newest.document["importMPAN"] == PERSONAL["importMPAN"]
    made = make_backup(folder, story.place)
    assert open_register(restored(story, "again", backup=made)[0]).current("assets", story.assets[0]) == newest
    assert "importMPAN" not in documents(restored(story, "old")[0])[story.assets[0], "1"]


def test_places_that_cannot_be_reached_are_named(story: Story) -> None:
    erase(story.folder, story.assets[0], 30)
    story.place.rename(story.place.with_name("away"))

    missed = forget(story.folder)

    assert [str(story.place) in each for each in (*missed, *unreached(story.folder))] == [True, True]
    story.place.with_name("away").rename(story.place)
    assert forget(story.folder) == []


@pytest.mark.parametrize("reach", [forget, lambda folder: make_backup(folder, folder.root.parent / "place", is_verified=False)])
def test_places_that_have_been_reached_may_be_away(story: Story, reach: Callable[[Folder], object]) -> None:
    story.place.rename(away := story.place.with_name("away"))
    assert unreached(story.folder) == []  # nothing was ever erased
    away.rename(story.place)
    erase(story.folder, story.assets[0], 30)
    reach(story.folder)
    story.place.rename(away)

    assert unreached(story.folder) == []

    erase(story.folder, story.assets[1], 30)
    assert [str(story.place) in each for each in unreached(story.folder)] == [True]


def test_two_disks_under_one_path_are_told_apart(story: Story) -> None:
    make_backup(story.folder, story.place)
    story.place.rename(first := story.place.with_name("first"))
    make_backup(story.folder, story.place)
    erase(story.folder, story.assets[0], 30)
    assert [reason.split(": ", 1)[1].startswith("another disk") for reason in forget(story.folder)] == [True]

    story.place.rename(story.place.with_name("second"))
    assert [str(story.place) in each for each in unreached(story.folder)] == [True]
    first.rename(story.place)
    assert forget(story.folder) == []


def test_a_place_where_no_backup_came_to_be_is_not_one(story: Story) -> None:
    (mistyped := story.place.with_name("mistyped")).mkdir()
    (mistyped / "subject-keys.db").write_bytes(b"junk")

    refuses(Conflict, "damaged", lambda: make_backup(story.folder, mistyped))

    assert remembered(story.folder) == [story.place]


@pytest.mark.parametrize("content", [b"\xff\xfe", b"garbage\n"])
def test_a_list_of_places_that_cannot_be_read_stops_an_erasure_before_it_happens(story: Story, content: bytes) -> None:
    story.folder.backups.write_bytes(content)
    before = open_register(story.folder).size()

    done = CliRunner().invoke(app, ["erase", f"assets/{story.assets[0]}", "--yes", "--data", str(story.folder.root)], env={"COLUMNS": "400"})

    assert (done.exit_code, "put it back from the newest backup" in done.output, open_register(story.folder).size()) == (1, True, before)
    (found,) = [finding for finding in check_node(story.folder) if finding.what == "backups"]
    assert (found.is_ok, str(story.folder.backups) in found.detail) == (False, True)


def test_nothing_is_said_of_backups_where_nothing_was_erased(story: Story) -> None:
    done = CliRunner().invoke(app, ["erase", f"assets/{story.assets[1]}", "--past", "--yes", "--data", str(story.folder.root)])

    assert (done.exit_code, "nothing left to erase" in done.output, "backup" in done.output) == (0, True, False)


def test_a_journal_that_does_not_verify_is_backed_up_by_request_alone(story: Story) -> None:
    with closing(connect(story.folder.journal / "journal.db", writable=True)) as connection:
        connection.execute("UPDATE section SET open = zeroblob(10) WHERE idx = 0")
    before = sorted(story.place.iterdir())

    refuses(Broken, "keep the backups that you have", lambda: make_backup(story.folder, story.place))
    assert sorted(story.place.iterdir()) == before
    make_backup(story.folder, story.place, is_verified=False)


def test_the_subject_keys_are_found_in_a_folder_that_has_them(story: Story) -> None:
    (elsewhere := story.place.with_name("kept")).mkdir()
    (story.place / "subject-keys.db").rename(elsewhere / "subject-keys.db")

    assert restored(story, subject_keys=elsewhere)[1].without_key == 0
    refuses(Conflict, r"empty/subject-keys\.db", lambda: restored(story, "other", subject_keys=tmp_folder(story, "empty")))


def tmp_folder(story: Story, name: str) -> Path:
    (made := story.place.with_name(name)).mkdir()
    return made


# -- keys that were lost, and not destroyed


def without_keys(story: Story) -> tuple[Folder, Restored]:
    """A node restored while the subject keys were out of reach."""
    shutil.copytree(story.backup, story.place.parent / "alone" / story.backup.name)
    folder, found = restored(story, "lossy", backup=story.place.parent / "alone" / story.backup.name, lose_personal=True)
    folder.backups.write_text(story.folder.backups.read_text())  # the backup was copied from elsewhere, where nothing may be changed
    return folder, found


def test_keys_that_one_node_has_lost_stay_beside_the_backups(story: Story) -> None:
    kept = (story.place / "subject-keys.db").read_bytes()
    folder, _ = without_keys(story)

    refuses(Conflict, "has lost", lambda: make_backup(folder, story.place))
    assert (forget(folder), unreached(folder), (story.place / "subject-keys.db").read_bytes() == kept) == ([], [], True)
    assert [finding for finding in check_node(folder) if finding.what == "erasures"] == []

    elsewhere = story.place.with_name("elsewhere")
    assert restored(story, "again", backup=make_backup(folder, elsewhere))[1].entries == Manifest.read(story.backup).entries


def keys_in(place: Path) -> dict[str, bytes]:
    with closing(sqlite3.connect(place / "subject-keys.db")) as keys:
        return dict(keys.execute("SELECT record, key FROM subject_key").fetchall())


def test_what_is_erased_after_its_key_was_lost_is_erased_everywhere_and_nothing_else(story: Story) -> None:
    folder, _ = without_keys(story)
    before, version = keys_in(story.place), open_register(folder).current("assets", story.assets[0])
    assert version

    erase_records(folder, [version], {"erasureReason": "REQUEST", "erasureScope": "EVERYTHING"})

    after = keys_in(story.place)
    assert {record for record in before if before[record] != after[record]} == {story.assets[0]}
    assert "importMPAN" not in documents(restored(story)[0])[story.assets[0], "1"]


def test_an_erasure_that_was_cut_off_is_finished_by_the_same_command(story: Story) -> None:
    with closing(open_journal(story.folder)) as journal:
        version = journal.register.current("assets", story.assets[0])
        assert version
        with journal.batch() as batch:
            _erase(batch, version, json.dumps({"erasureReason": "REQUEST"}).encode(), story.folder.settings())
    iri, data = version.iri, str(story.folder.root)
    assert {finding.what for finding in check_node(story.folder) if not finding.is_ok} >= {"erasures", "views"}

    done = CliRunner().invoke(app, ["erase", iri, "--yes", "--data", data])

    assert (done.exit_code, "finished an erasure" in done.output) == (0, True), done.output
    assert [finding for finding in check_node(story.folder) if finding.what in ("erasures", "views", "journal") and not finding.is_ok] == []
    story.place.rename(story.place.with_name("away"))
    assert "nothing left to erase" in CliRunner().invoke(app, ["erase", iri, "--yes", "--data", data]).output


def test_an_operators_saved_queries_are_kept_and_restored(story: Story) -> None:
    story.folder.queries.mkdir()
    (story.folder.queries / "storage.rq").write_text("SELECT * {}", "utf-8")
    (story.folder.queries / "notes.txt").write_text("no query", "utf-8")

    backup = make_backup(story.folder, story.place)
    folder, _ = restored(story, backup=backup)

    assert [name for name in Manifest.read(backup).files if name.startswith("queries/")] == ["queries/storage.rq"]
    assert [file.read_text("utf-8") for file in folder.queries.iterdir()] == ["SELECT * {}"]
    assert Manifest.read(backup).format == Manifest.read(story.backup).format


def test_a_published_query_is_found_by_its_name_after_a_restore(story: Story) -> None:
    market = Market(story.folder.root, story.market.clock, dict(story.market.callers))
    id_ = market.submit(market.callers["dso-east"], "queries", saved_query("storage")).id
    market.close()

    folder, _ = restored(story, backup=make_backup(story.folder, story.place))

    with closing((register := open_register(folder)).connection):
        assert register.holder(name_of("storage")) == id_
        assert register.carrying([("QUERY_READER", "DNO")], "", 10) == [id_]


# -- refused restores


def rewrite(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    said = json.loads(file.read_text("utf-8"))
    change(said)
    file.write_text(json.dumps(said), "utf-8")


def alter(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


REFUSED: dict[str, tuple[Callable[[Story], object], type[FmarError], str]] = {
    "no manifest": (lambda story: (story.backup / "manifest.json").unlink(), Malformed, "not a backup"),
    "a manifest that is no JSON": (lambda story: (story.backup / "manifest.json").write_text("{"), Malformed, "damaged"),
    "a member missing": (lambda story: rewrite(story.backup / "manifest.json", lambda said: said.pop("entries")), Malformed, "damaged"),
    "a later format": (lambda story: rewrite(story.backup / "manifest.json", lambda said: said.update(format=2)), Malformed, "format 2"),
    "a later format of the journal": (
        lambda story: rewrite(story.backup / "manifest.json", lambda said: said.update(journalFormat=str(int(FORMAT) + 1))), Broken, "format",
    ),
    "another count": (lambda story: rewrite(story.backup / "manifest.json", lambda said: said.update(entries=3)), Broken, "not of the journal"),
    "another checkpoint": (
        lambda story: rewrite(story.backup / "manifest.json", lambda said: said.update(checkpoint="x")), Broken, "not of the journal",
    ),
    "another base URL": (
        lambda story: rewrite(story.backup / "manifest.json", lambda said: said.update(baseUrl="https://x.example")), Broken, "base URL",
    ),
    "a way out of the backup": (
        lambda story: rewrite(story.backup / "manifest.json", lambda said: said["files"].update({"../../data/node.toml": "0"})), Broken, "lost",
    ),
    "an altered journal": (lambda story: alter(story.backup / "journal.db"), Broken, "not what was backed up"),
    "an altered key": (lambda story: alter(story.backup / "keys" / "lookup.key"), Broken, "not what was backed up"),
    "a file lost": (lambda story: (story.backup / "keys" / "token.jwks").unlink(), Broken, "lost keys/token.jwks"),
    "no subject keys": (lambda story: (story.place / "subject-keys.db").unlink(), Conflict, "--lose-personal"),
    "damaged subject keys": (lambda story: (story.place / "subject-keys.db").write_bytes(b"x" * 5000), Conflict, "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("defect", REFUSED)
def test_a_backup_that_is_not_whole_is_refused(story: Story, defect: str) -> None:
    make, kind, words = REFUSED[defect]
    make(story)

    refuses(kind, words, lambda: restored(story))

    assert not (story.place.parent / "new").exists()


def test_one_subjects_key_that_is_missing_is_not_passed_over(story: Story) -> None:
    with closing(sqlite3.connect(story.place / "subject-keys.db")) as keys, keys:
        keys.execute("DELETE FROM subject_key WHERE record = ?", (story.assets[0],))
    refuses(Conflict, "keys of 1 records", lambda: restored(story))

    folder, found = restored(story, lose_personal=True)

    assert found.without_key == 1
    assert "importMPAN" not in documents(folder)[story.assets[0], "1"]
    assert "importMPAN" in documents(folder)[story.assets[1], "1"]


def test_personal_values_are_given_up_only_where_that_is_said(story: Story) -> None:
    (story.place / "subject-keys.db").unlink()

    folder, found = restored(story, lose_personal=True)

    assert found.without_key == len({record for record, _ in documents(folder)})
    assert "current state" in verify_journal(folder)


@pytest.mark.parametrize("what", ["a file in it", "a file in its place", "a node"])
def test_a_folder_that_is_not_empty_is_refused(story: Story, what: str) -> None:
    target = {"a node": story.folder.root}.get(what, story.place.parent / "target")
    if what == "a file in it":
        target.mkdir()
        (target / "notes.txt").write_text("mine")
    elif what == "a file in its place":
        target.write_text("mine")
    before = bytes_under(story.folder.root)

    refuses(Malformed, "not empty", lambda: restore(Wish(story.backup), target))

    assert bytes_under(story.folder.root) == before


# -- what was signed elsewhere


def grown(story: Story) -> str:
    """The checkpoint of the node after two more entries."""
    market = Market(story.folder.root, story.market.clock, dict(story.market.callers))
    for number in range(2):
        market.submit(market.callers["fsp-a"], "assets", battery(f"LATER-{number}"))
    market.close()
    return (story.folder.journal / "checkpoint").read_text("utf-8")


def test_entries_that_were_signed_since_are_said_to_be_lost(story: Story) -> None:
    kept = grown(story)
    refuses(Conflict, "2 entries were signed", lambda: restored(story, checkpoint=kept))

    folder, found = restored(story, checkpoint=kept, new_key=True)

    assert (found.lost, found.is_handed_over) == (2, True)
    chain = Chain.leading(open_register(folder).handovers(), folder.journal_key("https://node.example").verifier)
    with pytest.raises(ValueError, match="not continued"):
        chain.open(kept)


def test_an_older_checkpoint_proves_that_the_backup_is_of_the_same_journal(story: Story) -> None:
    kept = (story.folder.journal / "checkpoint").read_text("utf-8")
    grown(story)

    found = restored(story, backup=make_backup(story.folder, story.place), checkpoint=kept)[1]

    assert (found.lost, found.is_handed_over) == (0, False)


def test_a_checkpoint_of_another_history_forbids_the_backup(story: Story) -> None:
    from fmar_node.journal.checkpoint import Checkpoint, sign_checkpoint

    other = sign_checkpoint(Checkpoint(story.key.name, 3, bytes(32)), story.market.key)

    refuses(Conflict, "must not be used", lambda: restored(story, checkpoint=other, new_key=True))


def test_a_restore_follows_the_keys_that_came_since(story: Story) -> None:
    from fmar_node.journal.handover import print_handovers

    grown(story)
    rotate(story.folder)
    told, kept = print_handovers(open_register(story.folder).handovers()), (story.folder.journal / "checkpoint").read_text("utf-8")
    refuses(Conflict, "--handovers", lambda: restored(story, keys=story.folder.keys))

    folder, found = restored(story, keys=story.folder.keys, handovers=told, checkpoint=kept, new_key=True)

    handovers = open_register(folder).handovers()
    assert ([each.reason for each in handovers], found.lost) == (["rotation", "cut"], 2)
    assert "2 hand-overs" in verify_journal(folder)


# -- the drill


def test_a_drill_proves_the_restore_and_leaves_nothing(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "drills").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "drills"))

    found = drill(Wish(story.backup), story.folder)

    assert (found.is_good, found.deviations, found.differing, found.not_compared) == (True, (), (), "")
    assert len(found.views) > 8
    assert list((tmp_path / "drills").iterdir()) == []


def test_a_drill_finds_a_graph_that_is_not_what_was_backed_up(story: Story) -> None:
    graph = Graph(story.folder.graph)
    view = next(view for view in graph.views() if "/views/" in view)
    graph.clear(view)
    graph.close()

    found = drill(Wish(story.backup), story.folder)

    assert (found.is_good, found.differing) == (False, (view,))


def test_a_drill_says_why_it_does_not_compare(story: Story) -> None:
    graph = Graph(story.folder.graph)

    found = drill(Wish(story.backup), story.folder)

    graph.close()
    assert (found.is_good, found.not_compared) == (True, "a node is running on it")


# -- cut off


KILLED = """
import sys, os, signal
from pathlib import Path
from fmar_node.keeping import backup, restore
from fmar_node.folder import Folder
what, one, two, place, nth = sys.argv[1:]
count = 0
def watch(frame, event, _):
    global count
    if event == "call" and frame.f_code.co_filename.endswith(("fmar_node/keeping/backup.py", "fmar_node/keeping/places.py", "fmar_node/keeping/restore.py", "fmar_node/keeping/rotation.py", "fmar_node/folder.py")):
        count += 1
        if count == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(watch)
if what == "backup":
    backup.make_backup(Folder(Path(one)), Path(two))
else:
    restore.restore(restore.Wish(Path(one), at=int(place)), Path(two))
sys.setprofile(None)
print(count)
"""


def killed(what: str, one: Path, two: Path, nth: int, place: int = 0) -> int:
    """Runs it in a process that is killed at the nth function that it enters; its exit status, or how many there were."""
    done = subprocess.run([sys.executable, "-c", KILLED, what, str(one), str(two), str(place), str(nth)], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return int(done.stdout) if done.returncode == 0 else done.returncode


def steps(count: int, times: int) -> Iterator[int]:
    return (1 + count * number // times for number in range(times))


def check_killed_backup(story: Story, nth: int) -> bool:
    """The backups that there are are whole, and the next one goes on; whether it was killed before its end."""
    status = killed("backup", story.folder.root, story.place, nth)

    for number, made in enumerate(path for path in story.place.iterdir() if (path / "manifest.json").exists() and not path.name.startswith(".")):
        restore(Wish(made), story.place.parent / f"{nth}-{number}")
    after = make_backup(story.folder, story.place)
    left = {path.name for path in story.place.iterdir() if path.name.startswith(".unfinished") or path.suffix in (".new", ".old")}
    assert (after.exists(), left) == (True, set())
    return status == -signal.SIGKILL


def check_killed_restore(story: Story, nth: int) -> None:
    """What is left is no node, and says so; or it is whole."""
    target = Folder(story.place.parent / f"killed-{nth}")
    size = sizes_of(story.folder)[-2]

    assert killed("restore", story.backup, target.root, nth, size - 1) == -signal.SIGKILL

    if target.incomplete.exists() or not target.root.exists() or not any(target.root.iterdir()):
        refuses(Malformed, "not whole|not a node", target.check_made)
    else:
        assert f"{size} entries" in verify_journal(target)


def test_a_backup_that_is_killed_leaves_the_others_whole(story: Story) -> None:
    count = killed("backup", story.folder.root, story.place.with_name("counted"), 10**9)

    assert [check_killed_backup(story, nth) for nth in steps(count - 10, 2)] == [True, True]


def test_a_restore_that_is_killed_leaves_no_node(story: Story) -> None:
    count = killed("restore", story.backup, story.place.with_name("counted"), 10**9, sizes_of(story.folder)[-2] - 1)

    for nth in steps(count, 2):
        check_killed_restore(story, nth)


@pytest.mark.campaign
@pytest.mark.timeout(1_800)
def test_a_backup_is_killed_at_every_step(story: Story) -> None:
    nth = 1
    while check_killed_backup(story, nth):
        for made in story.place.glob("2*"):
            if made != story.backup:
                shutil.rmtree(made)
        nth += 1

    assert nth > 50


@pytest.mark.campaign
@pytest.mark.timeout(1_800)
def test_a_restore_is_killed_at_every_step(story: Story) -> None:
    count = killed("restore", story.backup, story.place.with_name("counted"), 10**9, sizes_of(story.folder)[-2] - 1)

    for nth in steps(count, min(count, 300)):
        check_killed_restore(story, nth)


FULL = """
import sys
from pathlib import Path
import resource
from fmar_node.keeping import backup, restore
from fmar_node.errors import OutOfRoom
from fmar_node.folder import Folder
import fmar_node.vocabulary
what, one, two, room = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), resource.RLIM_INFINITY))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    backup.make_backup(Folder(Path(one)), Path(two)) if what == "backup" else restore.restore(restore.Wish(Path(one)), Path(two))
except OutOfRoom as error:
    print(error.detail)
"""


@pytest.mark.parametrize(("what", "room"), [("backup", 30), ("backup", 60_000), ("restore", 60_000)])
def test_a_full_disk_is_said_to_be_one(story: Story, what: str, room: int) -> None:
    source, target = (story.folder.root, story.place) if what == "backup" else (story.backup, story.place.parent / "new")
    before = {path.name for path in story.place.iterdir()}

    done = subprocess.run([sys.executable, "-c", FULL, what, str(source), str(target), str(room)], capture_output=True, text=True, check=False, cwd=PROJECT)

    assert "could not be written" in done.stdout, done.stderr
    assert {path.name for path in story.place.iterdir()} - {".lock"} == before - {".lock"}
    assert not (story.place.parent / "new").exists()
