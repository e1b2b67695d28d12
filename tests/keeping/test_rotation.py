"""A node whose signing key is rotated, lost, and cut off: it goes on after each, and one receipt is followed through all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from fmar_node.access.authority import authorise, check_authorised, operator_key
from fmar_node.access.jose import UnacceptableError
from fmar_node.cli.main import app
from fmar_node.client import Profile, new_key, public_part
from fmar_node.errors import Broken, FmarError, Forbidden, Malformed
from fmar_node.folder import Folder
from fmar_node.foundation import make_node
from fmar_node.journal.checkpoint import VerifierKey
from fmar_node.journal.handover import parse_handovers
from fmar_node.journal.register import connect
from fmar_node.journal.tree import ProofError
from fmar_node.keeping.maintenance import open_journal, open_register, verify_journal
from fmar_node.keeping.rotation import finish, replace_lost, rotate
from tests.live import Live
from tests.market import organisation

BASE = "https://node.example"
PROJECT = Path(__file__).parents[2]


def fmar(*arguments: object) -> str:
    """What the command prints, which does its work."""
    done = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.output


def refused(*arguments: object) -> str:
    done = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    assert done.exit_code == 1, done.output
    return done.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A node's folder that nobody runs; not to be changed."""
    root = tmp_path_factory.mktemp("made") / "data"
    make_node(root, BASE, organisation("Operator", ["FMAR_OPERATOR"]))
    return root


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Folder:
    shutil.copytree(made, tmp_path / "data")
    return Folder(tmp_path / "data")


def key_of(folder: Folder) -> VerifierKey:
    return folder.journal_key(BASE).verifier


def operator_of(folder: Folder) -> Profile:
    return Profile.load(folder.participants / "operator")


def lose(folder: Folder) -> VerifierKey:
    lost = key_of(folder)
    (folder.keys / "journal.key").unlink()
    return lost


def opens(folder: Folder) -> bool:
    """Whether the writer would go on with this journal."""
    try:
        open_journal(folder).close()
    except Broken:
        return False
    return True


# -- one folder


def test_the_old_private_key_is_nowhere_any_more(folder: Folder) -> None:
    old, file = (folder.keys / "journal.key").read_bytes(), (folder.keys / "journal.key").open("rb")

    rotate(folder)

    with file:
        assert file.read() == bytes(32)
    assert old not in b"".join(path.read_bytes() for path in folder.root.rglob("*") if path.is_file())
    assert (folder.keys / "journal.key").stat().st_mode & 0o777 == 0o600


def test_the_newest_checkpoint_holds_under_both_keys(folder: Folder) -> None:
    before = key_of(folder)

    after = rotate(folder).new

    from fmar_node.journal.checkpoint import open_checkpoint

    with closing((register := open_register(folder)).connection):
        note = register.checkpoint()
    assert note == (folder.journal / "checkpoint").read_text("utf-8")
    assert open_checkpoint(note, before.name, before) == open_checkpoint(note, after.name, after)
    assert opens(folder)


def test_a_checkpoint_kept_under_an_earlier_key_is_accepted(folder: Folder) -> None:
    kept = (folder.journal / "checkpoint").read_text("utf-8")
    rotate(folder)
    rotate(folder)

    (folder.journal / "checkpoint").write_text(kept, "utf-8")

    assert opens(folder)
    assert "2 hand-overs" in verify_journal(folder)


def test_a_lost_key_is_replaced_on_the_operators_word(folder: Folder) -> None:
    lost = lose(folder)

    handover = replace_lost(folder, lost, operator_of(folder))

    assert (handover.reason, handover.old, opens(folder)) == ("loss", lost, True)
    assert "1 hand-over" in verify_journal(folder)


def test_nobody_else_replaces_a_lost_key(folder: Folder) -> None:
    profile, lost = operator_of(folder), lose(folder)
    stranger = Profile(profile.node, profile.issuer, profile.token_endpoint, "stranger", profile.organisation, new_key())

    with pytest.raises(Forbidden):
        replace_lost(folder, lost, stranger)

    assert list(folder.keys.glob("journal.key*")) == []


def test_a_key_that_was_not_the_journals_is_not_lost(folder: Folder) -> None:
    other = VerifierKey(lose(folder).name, Ed25519PrivateKey.generate().public_key().public_bytes_raw())

    with pytest.raises(Broken, match="does not verify"):
        replace_lost(folder, other, operator_of(folder))


def tamper(folder: Folder) -> None:
    """The tree still is what was signed, and an entry is not what stands in it."""
    with closing(connect(folder.journal / "journal.db", writable=True)) as connection:
        assert connection.execute("UPDATE section SET open = zeroblob(10) WHERE idx = 0").rowcount == 1


def test_no_key_is_given_up_for_a_journal_that_does_not_verify(folder: Folder) -> None:
    key = key_of(folder)
    tamper(folder)

    assert "no key destroyed" in refused("key", "rotate-journal", "--data", folder.root)
    assert "does not verify" in refused("upgrade", "--data", folder.root)
    assert (key_of(folder), open_register(folder).handovers()) == (key, [])

    lose(folder)
    with pytest.raises(Broken, match="wrong-commitment"):
        replace_lost(folder, key, operator_of(folder))
    assert [file.name for file in folder.keys.glob("journal.key*")] == []


def test_a_key_that_is_there_is_not_lost(folder: Folder) -> None:
    key = key_of(folder)

    said = refused("key", "rotate-journal", "--lost", "--key", key, "--data", folder.root)

    assert "is there, and not lost" in said
    assert (key_of(folder), open_register(folder).handovers()) == (key, [])


def test_an_empty_journal_is_not_handed_over(folder: Folder) -> None:
    with closing(connect(folder.journal / "journal.db", writable=True)) as connection:
        for table in ("section", "entry", "checkpoint"):
            connection.execute(f"DELETE FROM {table}")

    with pytest.raises(Malformed, match="empty"):
        rotate(folder)


def forge(folder: Folder, change: Callable[[str], str]) -> None:
    with closing(connect(folder.journal / "journal.db", writable=True)) as connection:
        note = connection.execute("SELECT note FROM handover").fetchone()[0]
        connection.execute("UPDATE handover SET note = ?", (change(note),))


def test_a_forged_authorisation_is_found_in_the_journal(folder: Folder) -> None:
    replace_lost(folder, lose(folder), operator_of(folder))

    def change(note: str) -> str:
        text = note.split("\n\n", maxsplit=1)[0] + "\n"
        return note.rsplit("\n\n", 1)[0] + f"\n\n{authorise(text, new_key())}\n"

    forge(folder, change)

    with pytest.raises(ProofError, match="loss-not-authorised"):
        verify_journal(folder)


@pytest.mark.parametrize("alg", ["ES256", "Ed25519"])
def test_an_authorisation_is_over_one_text_by_one_key(alg: Any) -> None:
    key = new_key(alg)
    said, public = authorise("text\n", key), operator_key(json.dumps(public_part(key)))

    check_authorised(said, "text\n", public)

    for wrong in (lambda: check_authorised(said, "other\n", public), lambda: check_authorised(said, "text\n", operator_key(json.dumps(public_part(new_key()))))):
        with pytest.raises(UnacceptableError):
            wrong()


def test_a_change_of_keys_that_was_cut_off_is_finished(folder: Folder) -> None:
    old = (folder.keys / "journal.key").read_bytes()
    new = rotate(folder).new
    (folder.keys / "journal.key").rename(folder.keys / "journal.key.new")
    (folder.keys / "journal.key").write_bytes(old)
    assert not opens(folder)

    assert finish(folder) == new

    assert (opens(folder), finish(folder), sorted(path.name for path in folder.keys.iterdir())) == (True, None, ["journal.key", "lookup.key", "token.jwks"])


def test_a_change_of_keys_that_did_not_happen_is_cleared_away(folder: Folder) -> None:
    (folder.keys / "journal.key.new").write_bytes(bytes(range(32)))

    assert finish(folder) is None

    assert opens(folder)
    assert not (folder.keys / "journal.key.new").exists()


KILLED = """
import os, signal, sys
from pathlib import Path
from fmar_node.folder import Folder
from fmar_node.keeping.rotation import rotate
count = 0
def watch(frame, event, _):
    global count
    if event == "call" and frame.f_code.co_filename.endswith(("fmar_node/keeping/rotation.py", "fmar_node/folder.py", "pathlib.py")):
        count += 1
        if count == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.setprofile(watch)
rotate(Folder(Path(sys.argv[1])))
sys.setprofile(None)
print(count)
"""


def killed(folder: Folder, nth: int) -> int:
    """Rotates in a process that is killed at the nth function that it enters; how many there were where it was not."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder.root), str(nth)], capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return int(done.stdout or 0)


def check_killed(made: Path, root: Path, nth: int) -> bool:
    """The journal goes on under the old key, or the change is finished; whether it had happened."""
    shutil.copytree(made, root)
    folder = Folder(root)
    before = key_of(folder)

    killed(folder, nth)

    has_happened = not opens(folder)
    assert (finish(folder) is not None) is has_happened or key_of(folder) != before
    assert opens(folder)
    verify_journal(folder)
    assert not (folder.keys / "journal.key.new").exists()
    return has_happened


@pytest.fixture(scope="module")
def calls(made: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many functions a rotation enters."""
    root = tmp_path_factory.mktemp("counted") / "data"
    shutil.copytree(made, root)
    return killed(Folder(root), 10**9)


def test_a_rotation_that_is_killed_has_happened_or_not(made: Path, tmp_path: Path, calls: int) -> None:
    for nth in (calls // 2, calls - 5):
        check_killed(made, tmp_path / str(nth), nth)


@pytest.mark.campaign
@pytest.mark.timeout(1_800)
def test_a_rotation_is_killed_at_a_hundred_steps(made: Path, tmp_path: Path, calls: int) -> None:
    happened = [check_killed(made, tmp_path / str(nth), nth) for nth in range(1, calls, max(1, calls // 100))]

    assert {True, False} == set(happened)


def test_a_lost_key_has_to_be_named(folder: Folder) -> None:
    lose(folder)

    assert "--lost" in refused("key", "rotate-journal", "--data", folder.root)
    assert "which key was lost" in refused("key", "rotate-journal", "--lost", "--data", folder.root)
    assert "no verifier key" in refused("key", "rotate-journal", "--lost", "--key", "x", "--data", folder.root)


# -- a node that goes on


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("rotation"), {"fsp-a": {"roles": ["FSP"]}}) as made:
        yield made


def receipt_of(node: Live, location: str, file: Path) -> Path:
    file.write_bytes(node.client("fsp-a").get(f"{location}/proof").content)
    return file


def test_a_node_goes_on_after_a_rotation_a_loss_and_a_cut(node: Live, tmp_path: Path) -> None:
    first, place, operators = node.register(), tmp_path / "place", tmp_path / "operator.jwk"
    key, old = node.client().get("/journal/key").text, receipt_of(node, first.headers["Location"], tmp_path / "old.json")
    assert node.client().get("/journal/handovers").text == ""
    operators.write_text(fmar("key", "public", "--as", "operator", "--data", node.folder))
    assert json.loads(operators.read_text()) == public_part(node.profiles["operator"].key)
    assert "a node is running" in refused("key", "rotate-journal", "--data", node.folder)
    assert "a node is running" in refused("upgrade", "--data", node.folder)

    def follow(receipt: Path) -> str:
        chain = tmp_path / "handovers.txt"
        chain.write_text(node.client().get("/journal/handovers").text, "utf-8")
        return fmar("audit", "verify", "--receipt", receipt, "--key", key, "--handovers", chain, "--operator-key", operators)

    node.stop()
    fmar("key", "rotate-journal", "--data", node.folder)
    node.start()
    second = node.register()
    assert "hand-overs" in follow(receipt_of(node, second.headers["Location"], tmp_path / "second.json"))

    node.stop()
    lost = str(key_at(node))
    (node.folder / "keys" / "journal.key").unlink()
    fmar("key", "rotate-journal", "--lost", "--key", lost, "--data", node.folder)
    node.start()
    node.register()
    backup = next(iter(sorted(path for path in backed_up(node, place).glob("2*"))))
    node.register()
    node.stop()

    at = int(second.headers["Fmar-Journal-Index"])
    said = fmar("restore", backup, "--data", tmp_path / "restored", "--at", at)
    assert "new signing key" in said
    node.folder = tmp_path / "restored"
    node.start()
    third = node.register()
    handovers = parse_handovers(node.client().get("/journal/handovers").text)
    assert [each.reason for each in handovers] == ["rotation", "loss", "cut"]
    assert [third.headers["Fmar-Journal-Index"], handovers[-1].size] == [str(at + 1), at + 1]
    assert node.client("fsp-a").get(first.headers["Location"]).json() == first.json()
    assert "verified" in follow(old) and "verified" in follow(receipt_of(node, third.headers["Location"], tmp_path / "third.json"))
    assert str(handovers[-1].new) == node.client().get("/journal/key").text.strip()
    assert "3 hand-overs" in fmar("audit", "verify", "--data", node.folder)


def key_at(node: Live) -> VerifierKey:
    return Folder(node.folder).journal_key(node.url).verifier


def backed_up(node: Live, place: Path) -> Path:
    fmar("backup", place, "--data", node.folder)
    return place


def test_a_half_restored_folder_is_not_served(folder: Folder) -> None:
    folder.incomplete.write_text("", "utf-8")

    for command in (("serve",), ("check",), ("rebuild",), ("upgrade",), ("audit", "verify"), ("key", "rotate-journal"), ("subject", "find", "x"), ("subject", "export", "x")):
        assert "not whole" in refused(*command, "--data", folder.root)
    with pytest.raises(FmarError):
        folder.make(BASE)
