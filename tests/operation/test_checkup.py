"""`fmar check` tells the truth: each thing that can be wrong is found, named, and has a remedy; what is right is not blamed."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmar_node.cli.main import app
from fmar_node.clock import SetClock
from fmar_node.errors import Broken, Malformed
from fmar_node.folder import Folder
from fmar_node.foundation import make_node
from fmar_node.journal.register import Register, connect
from fmar_node.keeping.checkup import Finding, check_node
from fmar_node.keeping.derived import has_its_lookup_key, remake_state
from fmar_node.keeping.maintenance import open_journal, open_register
from fmar_node.keeping.rotation import rotate
from fmar_node.vocabulary import Vocabulary
from tests.live import Live
from tests.market import Market, organisation, saved_query
from tests.operation.secure import Authority


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's folder that nothing has been done to."""
    root = tmp_path_factory.mktemp("made") / "data"
    make_node(root, "https://register.example.org", organisation("Operator", ["FMAR_OPERATOR"]))
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Folder:
    shutil.copytree(made, tmp_path / "data")
    return Folder(tmp_path / "data")


def bad(folder: Folder, clock: SetClock | None = None) -> dict[str, Finding]:
    """What is wrong with a node; everything that is has a remedy."""
    wrong = {finding.what: finding for finding in check_node(folder, clock) if not finding.is_ok}
    assert all(finding.remedy for finding in wrong.values())
    return wrong


def test_nothing_is_wrong_with_a_new_node(folder: Folder) -> None:
    assert bad(folder) == {}


GOOD_QUERY = "# title: T\n# about: A\n# for: everyone\nSELECT * { ?s ?p ?o }"


def test_a_saved_query_that_is_left_out_is_told_with_all_that_is_wrong(folder: Folder) -> None:
    folder.queries.mkdir()
    (folder.queries / "good.rq").write_text(GOOD_QUERY)
    (folder.queries / "folder.rq").mkdir()
    assert next(finding.detail for finding in check_node(folder) if finding.what == "queries").startswith("1 saved query in")

    (folder.queries / "wrong.rq").write_text("# title: T\n# for: nobody\nSELECT ?x { ?x a ?x } LIMIT")

    found = bad(folder)["queries"]
    assert all(word in found.detail for word in ("wrong.rq is left out", "it has no about", "nobody is 'nobody'", "the engine does not read it: near line 3"))


def test_a_saved_query_that_hides_a_published_one_is_told(market: Market) -> None:
    market.submit(market.callers["dso-east"], "queries", saved_query("storage"))
    market.close()
    folder = market.node_folder()
    folder.queries.mkdir()
    (folder.queries / "storage.rq").write_text(GOOD_QUERY)

    (found,) = [finding for finding in check_node(folder) if finding.what == "queries"]

    assert found.is_ok and found.remedy and "storage.rq: an organisation has published a query of that name" in found.detail
    market.open()


def unreadable(folder: Folder) -> None:
    folder.settings_file.write_text("base_url = ")


def unknown(folder: Folder) -> None:
    with folder.settings_file.open("a") as settings:
        settings.write("query_secnds = 3\n")


def open_key(folder: Folder) -> None:
    (folder.root / "keys" / "lookup.key").chmod(0o644)


def open_participant(folder: Folder) -> None:
    (folder.participants / "operator" / "key.jwk").chmod(0o640)


def lost_key(folder: Folder) -> None:
    (folder.root / "keys" / "lookup.key").unlink()


def lost_tokens(folder: Folder) -> None:
    folder.token_keys.unlink()


def cut_key(folder: Folder) -> None:
    (folder.root / "keys" / "journal.key").write_bytes(b"short")


def broken_tokens(folder: Folder) -> None:
    folder.token_keys.write_text("{}")


def foreign_signature(folder: Folder) -> None:
    (folder.root / "keys" / "journal.key").write_bytes(secrets.token_bytes(32))


def no_journal(folder: Folder) -> None:
    shutil.rmtree(folder.journal)


def empty_journal(folder: Folder) -> None:
    with closing(connect(folder.journal / "journal.db", writable=True)) as connection:
        for table in ("section", "entry", "checkpoint", "node"):
            connection.execute(f"DELETE FROM {table}")
    (folder.journal / "checkpoint").unlink()


def rotated_and_other_address(folder: Folder) -> None:
    rotate(folder)
    other_address(folder)


def lost_certificate(folder: Folder) -> None:
    with folder.settings_file.open("a") as settings:
        settings.write('tls_certificate = "tls.crt"\ntls_key = "tls.key"\n')


def junk_checkpoint(folder: Folder) -> None:
    (folder.journal / "checkpoint").write_text("junk")


def other_address(folder: Folder) -> None:
    folder.settings_file.write_text('base_url = "https://other.example"')


def open_folder(folder: Folder) -> None:
    folder.root.chmod(0o755)
    (folder.journal / "journal.db").chmod(0o644)


@pytest.mark.parametrize(("change", "what", "words"), [
    (junk_checkpoint, "journal", "which is whole in itself"), (other_address, "journal", "another base URL"),
    (rotated_and_other_address, "journal", "another base URL"), (no_journal, "journal", "journal.db"), (empty_journal, "journal", "no entries"),
    (open_folder, "folder", "journal.db may be read"),
    (unreadable, "settings", "cannot be read"), (unknown, "settings", "query_secnds"),
    (open_key, "keys", "lookup.key may be read by others"), (open_participant, "keys", "key.jwk may be read by others"),
    (lost_key, "keys", "lookup.key is missing"), (lost_tokens, "keys", "token.jwks is missing"), (cut_key, "keys", "5 bytes instead of 32"),
    (broken_tokens, "keys", "is not a JWKS"), (foreign_signature, "journal", "not the key that this journal goes on under"),
    (lost_certificate, "certificate", "No such file"),
])  # fmt: skip
def test_what_is_wrong_is_found_and_nothing_else_is_blamed(folder: Folder, change: Callable[[Folder], None], what: str, words: str) -> None:
    change(folder)

    wrong = bad(folder)

    assert list(wrong) == [what] and words in wrong[what].detail


def test_a_clock_that_is_behind_the_journal_is_found(folder: Folder) -> None:
    wrong = bad(folder, SetClock(datetime.now(UTC) - timedelta(hours=2)))

    assert list(wrong) == ["clock"] and "behind the newest entry" in wrong["clock"].detail


@pytest.mark.parametrize(("days", "words"), [(-1, "expired at"), (5, "ends in 5 days")])
def test_a_certificate_that_has_ended_or_will_soon_is_found(folder: Folder, tmp_path: Path, days: float, words: str) -> None:
    lost_certificate(folder)
    Authority(tmp_path).issue(folder.root, "register.example.org", days=days)

    wrong = bad(folder)

    assert list(wrong) == ["certificate"] and words in wrong["certificate"].detail


def test_leftovers_are_noted_and_no_fault(folder: Folder) -> None:
    (folder.snapshots / "left.tmp").mkdir(parents=True)

    (finding,) = [each for each in check_node(folder) if each.what == "snapshots"]

    assert finding.is_ok and "1 left over" in finding.detail and finding.remedy


@pytest.mark.parametrize(("total", "free", "is_ok"), [(2**40, 2**29, False), (2**40, 2**33, True), (2**30, 2**26, False), (2**33, 2**29, False)])
def test_a_disk_that_is_nearly_full_is_found(folder: Folder, monkeypatch: pytest.MonkeyPatch, total: int, free: int, is_ok: bool) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(total, total - free, free))

    (finding,) = [each for each in check_node(folder) if each.what == "disk"]

    assert finding.is_ok is is_ok and finding.remedy


def test_a_small_disk_with_room_is_no_fault(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**29, 2**29))

    assert bad(folder) == {}


def test_a_node_that_takes_records_meanwhile_is_checked_without_false_alarm(own: Live) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [own.register().status_code for _ in range(60)])
        rounds = []
        while not writing.done():
            rounds.append(bad(Folder(own.folder)))

    assert rounds and not any(rounds)
    assert set(writing.result()) == {201}


def test_a_foreign_lookup_key_is_told_from_a_damaged_journal(own: Live, tmp_path: Path) -> None:
    own.register()
    shutil.copytree(own.folder, tmp_path / "data", ignore=shutil.ignore_patterns("graph"))
    (tmp_path / "data" / "keys" / "lookup.key").write_bytes(secrets.token_bytes(32))

    assert "lookup.key is not the key of this journal" in bad(Folder(tmp_path / "data"))["journal"].detail
    assert "lookup.key is not the key of this journal" in refusal(tmp_path / "data")


def refusal(folder: Path) -> str:
    """What `fmar serve` says, which does not start."""
    done = subprocess.run([sys.executable, "-m", "fmar_node.cli", "serve", "--data", str(folder)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize(("change", "words"), [
    (open_key, "lookup.key may be read by others"), (cut_key, "journal.key has 5 bytes"), (lost_tokens, "token.jwks is missing"),
    (unreadable, "node.toml cannot be read"),
])  # fmt: skip
def test_a_command_says_what_is_wrong_with_keys_and_settings(folder: Folder, change: Callable[[Folder], None], words: str) -> None:
    change(folder)

    done = CliRunner().invoke(app, ["serve", "--data", str(folder.root)], env={"COLUMNS": "300"})

    assert done.exit_code == 1 and words in done.output


@pytest.mark.parametrize(("change", "words"), [
    (foreign_signature, "fmar check says"), (junk_checkpoint, "fmar check says"), (no_journal, "the journal is gone"), (empty_journal, "no entries"),
    (other_address, "put the right base_url"), (rotated_and_other_address, "put the right base_url"),
])  # fmt: skip
def test_a_journal_that_is_gone_or_does_not_fit_what_is_beside_it_is_not_written(folder: Folder, change: Callable[[Folder], None], words: str) -> None:
    change(folder)
    before = sorted(path for path in folder.root.rglob("*") if not path.name.startswith("journal.db-"))

    with pytest.raises(Broken, match=words):
        open_journal(folder)

    assert sorted(path for path in folder.root.rglob("*") if not path.name.startswith("journal.db-")) == before


def test_a_journal_that_was_rolled_back_is_restored_and_its_checkpoint_kept(own: Live, tmp_path: Path) -> None:
    own.register()
    shutil.copytree(own.folder, tmp_path / "data", ignore=shutil.ignore_patterns("graph"))
    folder = Folder(tmp_path / "data")
    with closing(connect(folder.journal / "journal.db", writable=True)) as connection:
        for sql in ("section WHERE idx =", "checkpoint WHERE size = 1 +", "entry WHERE idx ="):
            connection.execute(f"DELETE FROM {sql} (SELECT max(idx) FROM entry)")
        remake_state(Register(connection, Vocabulary.load().terms, folder.lookup_key()))

    found = bad(folder)["journal"]

    assert "do not continue those that were signed" in found.detail and found.remedy.startswith("restore")


def test_one_damaged_entry_keeps_no_node_from_its_work(own: Live, tmp_path: Path) -> None:
    own.register()
    shutil.copytree(own.folder, tmp_path / "data", ignore=shutil.ignore_patterns("graph"))
    folder = Folder(tmp_path / "data")
    with closing(connect(folder.journal / "journal.db", writable=True)) as connection:
        connection.execute("UPDATE section SET open = CAST('junk' AS BLOB)")

    with closing(open_register(folder).connection) as connection:
        assert has_its_lookup_key(Register(connection, Vocabulary.load().terms, folder.lookup_key()))
    assert bad(folder)["journal"].remedy.startswith("restore")


def test_the_key_that_is_wrong_is_the_one_that_is_named(folder: Folder) -> None:
    lost_key(folder)
    (folder.keys / "journal.key").unlink()

    with pytest.raises(Malformed, match=r"lookup\.key is missing"):
        folder.lookup_key()
