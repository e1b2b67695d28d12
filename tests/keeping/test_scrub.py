"""After an erasure no byte of what was erased is left in the node's folder: not in a file, not in a free page, not in a log."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from fmar_node.cli.main import app
from fmar_node.folder import Folder
from fmar_node.keeping.checkup import check_node
from fmar_node.keeping.maintenance import open_register, verify_journal
from fmar_node.keeping.scrub import pending
from fmar_node.security_log import Wish, read
from tests.live import LD_JSON, Live
from tests.market import mpan

OWNER, LATER, MAIL = "Erasmus Thoroughly Personal", "Lavinia Subsequent Owner", "erasmus@personal.example"
MPANS = (mpan(4711), mpan(4712))
SECRETS = [each.encode() for each in (OWNER, LATER, MAIL, "ERASED-SERIAL-4711", *MPANS)]
PATIENCE = 60.0
MERGE = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node whose personal values are erased."""
    two: dict[str, dict[str, Any]] = {"fsp-a": {"roles": ["FSP"]}, "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN"]}}
    with Live(tmp_path_factory.mktemp("scrub"), two) as made:
        yield made


@pytest.fixture
def running(node: Live) -> Live:
    if node.process.poll() is not None:
        node.start()
    return node


def personal(node: Live) -> dict[str, Any]:
    """An asset with personal values in two versions, which its provider and the DSO of its area have seen."""
    given = {"serialNumber": "ERASED-SERIAL-4711", "ownerName": OWNER, "importMPAN": MPANS[0], "exportMPAN": MPANS[1]}
    made = node.client("fsp-a").post("/assets", json={**node.battery(), **given}, headers={**LD_JSON, "Idempotency-Key": f"personal-{next(node.serials)}"})
    changed = node.client("fsp-a").patch(made.headers["Location"], json={"ownerName": LATER}, headers=MERGE)
    contact = {"primaryContactFirstName": "Erasmus", "primaryContactEmail": MAIL}
    told = node.client("operator").patch(node.profiles["fsp-a"].organisation, json=contact, headers=MERGE)
    assert [each.status_code for each in (made, changed, told)] == [201, 200, 200], made.text + changed.text + told.text
    index = max(int(each.headers["Fmar-Journal-Index"]) for each in (changed, told))
    for name in ("fsp-a", "dso-east", "operator"):
        assert LATER in node.ask(name, "SELECT * { ?s ?p ?o }", after=index).text
    return dict(made.json())


def left(folder: Path) -> dict[str, list[bytes]]:
    """Which of the secrets stand in which file, below the participants' own profiles and beside them."""
    held = {str(file): bytes_of(file) for file in folder.rglob("*") if file.is_file()}
    return {name: found for name, data in held.items() if (found := [secret for secret in SECRETS if secret in data])}


def bytes_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:  # of a snapshot that has gone meanwhile
        return b""


def fmar(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_running_node_is_scrubbed(running: Live) -> None:
    asset = personal(running)
    assert left(running.folder)  # in the graph

    fmar("erase", asset["id"], "--yes", "--data", str(running.folder))
    fmar("erase", running.profiles["fsp-a"].organisation, "--yes", "--reason", "ERROR", "--data", str(running.folder))

    assert left(running.folder) == {}
    assert not any(secret in running.log.read_bytes() for secret in SECRETS)
    document = running.client("fsp-a").get(asset["id"]).json()
    assert (document["erasureReason"], document["manufacturer"], "ownerName" in document) == ("REQUEST", "Acme Storage", False)
    with closing((register := open_register(Folder(running.folder))).connection):
        size = register.size()
        for scope in ((), ("--past",)):
            assert "nothing left to erase" in fmar("erase", asset["id"], "--yes", *scope, "--data", str(running.folder))
        assert register.size() == size


def test_a_scrubbed_node_answers_and_goes_on(running: Live) -> None:
    asset = personal(running)
    fmar("erase", asset["id"], "--yes", "--data", str(running.folder))

    made = running.register("fsp-a", ownerName="Somebody Else")

    rows = running.rows("dso-east", "SELECT ?name { ?asset <https://w3id.org/fmar/ns#ownerName> ?name }", after=int(made.headers["Fmar-Journal-Index"]))
    assert "Somebody Else" in {row["name"] for row in rows}
    assert LATER not in {row["name"] for row in rows}


def test_a_node_killed_before_it_has_scrubbed_does_it_at_its_next_start(running: Live) -> None:
    asset = personal(running)
    erased = running.client("operator").post(f"{asset['id']}/erasure", json={"erasureReason": "REQUEST"}, headers=LD_JSON)
    running.process.kill()
    running.process.wait()

    running.start()

    assert erased.status_code == 200
    register, deadline = open_register(Folder(running.folder)), time.monotonic() + PATIENCE
    while pending(register) >= 0:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    register.connection.close()
    assert [where for where, found in left(running.folder).items() if MAIL.encode() not in found] == []


def test_who_waits_for_a_node_that_is_killed_is_told(running: Live) -> None:
    asset = personal(running)
    command = [sys.executable, "-u", "-m", "fmar_node.cli", "erase", asset["id"], "--yes", "--data", str(running.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout and waiting.stderr
        assert [asset["id"] in line or "erased 1 record" in line for line in (waiting.stdout.readline(), waiting.stdout.readline())] == [True, True]
        running.process.kill()
        running.process.wait()
        said = waiting.stderr.read()

    assert (waiting.returncode, "the node has ended" in said) == (1, True)


def test_a_stopped_node_is_scrubbed(running: Live) -> None:
    asset = personal(running)
    running.stop()

    said = fmar("erase", f"MPAN:{MPANS[0]}", "--yes", "--data", str(running.folder))
    fmar("erase", f"organisations/{running.profiles['fsp-a'].organisation.rsplit('/', 1)[-1]}", "--past", "--yes", "--data", str(running.folder))
    fmar("erase", running.profiles["fsp-a"].organisation, "--yes", "--data", str(running.folder))

    assert asset["id"] in said
    assert left(running.folder) == {}
    assert "current state" in verify_journal(Folder(running.folder))
    assert [finding for finding in check_node(Folder(running.folder)) if not finding.is_ok] == []


def test_the_operator_is_told_what_is_held_and_then_that_it_is_gone(running: Live, tmp_path: Path) -> None:
    asset, report = personal(running), tmp_path / "report.json"

    for known in (LATER.upper(), f"MPAN:{MPANS[0]}", MPANS[1], "ERASED-SERIAL-4711"):
        assert asset["id"] in fmar("subject", "find", known, "--data", str(running.folder))
    fmar("subject", "export", asset["id"], "--out", str(report), "--data", str(running.folder))

    (record,) = json.loads(report.read_text("utf-8"))["records"]
    assert [version["sections"]["personal"]["ownerName"] for version in record["versions"]] == [OWNER, LATER]
    seeing = {each["organisation"] for each in record["seenBy"] if each["personal"]}
    assert seeing == {running.profiles[name].organisation for name in ("operator", "fsp-a", "dso-east")}
    assert (report.stat().st_mode & 0o777, record["keyedHashes"]["idempotencyKeys"]) == (0o600, 1)
    fmar("erase", asset["id"], "--yes", "--data", str(running.folder))
    looked = [line for line in read(running.folder / "log", Wish(event="read")).lines if line["route"] == "fmar subject export"]
    assert (looked[0]["records"], OWNER in str(looked)) == (1, False)
    assert "0 records" in fmar("subject", "find", LATER, "--data", str(running.folder))
    after = json.loads(fmar("subject", "export", asset["id"], "--data", str(running.folder)))["records"][0]
    assert [version["sections"]["personal"] for version in after["versions"]] == ["erased", "erased", None]


def test_who_is_not_the_operator_erases_nothing(running: Live) -> None:
    asset = personal(running)

    response: httpx.Response = running.client("fsp-a").post(f"{asset['id']}/erasure", json={"erasureReason": "REQUEST"}, headers=LD_JSON)

    assert (response.status_code, response.json()["errors"][0]["code"]) == (403, "ASSET-ERASE-1")
    fmar("erase", asset["id"], "--yes", "--data", str(running.folder))


def test_no_backup_opens_what_was_erased(running: Live, tmp_path: Path) -> None:
    asset = personal(running)
    fmar("backup", str(tmp_path / "backups"), "--data", str(running.folder))
    (backup,) = [path for path in (tmp_path / "backups").iterdir() if path.is_dir()]
    assert left(tmp_path / "backups") == {}
    fmar("restore", str(backup), "--data", str(tmp_path / "before"))
    assert OWNER in fmar("subject", "export", asset["id"], "--data", str(tmp_path / "before"))

    said = fmar("erase", asset["id"], "--yes", "--data", str(running.folder))

    assert "no backup opens these values any more" in said
    fmar("restore", str(backup), "--data", str(tmp_path / "after"))
    assert OWNER not in fmar("subject", "export", asset["id"], "--data", str(tmp_path / "after"))
    assert "current state" in verify_journal(Folder(tmp_path / "after"))


def test_a_check_tells_of_what_is_not_scrubbed_yet(running: Live, tmp_path: Path) -> None:
    asset, away = personal(running), tmp_path / "away"
    fmar("backup", str(tmp_path / "disk"), "--data", str(running.folder))
    (tmp_path / "disk").rename(away)

    said = CliRunner().invoke(app, ["erase", asset["id"], "--yes", "--data", str(running.folder)])

    assert (said.exit_code, "not reached" in said.output) == (1, True)
    (found,) = [finding for finding in check_node(Folder(running.folder)) if finding.what == "erasures" and "disk" in finding.detail]
    assert (found.is_ok, "fmar backup" in found.remedy) == (False, True)
    away.rename(tmp_path / "disk")
    fmar("backup", str(tmp_path / "disk"), "--data", str(running.folder))
    assert [finding for finding in check_node(Folder(running.folder)) if finding.what == "erasures" and "disk" in finding.detail] == []
