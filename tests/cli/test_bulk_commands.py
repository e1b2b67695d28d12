"""Many assets by the command: NDJSON in pieces, jobs, exports with a manifest, and an organisation that leaves for another node."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

from tests.cli.test_commands import as_, failed, here, succeeded
from tests.live import Live
from tests.web.test_bulk import documents
from tests.web.test_table import flat, size, table

ROOT = Path(__file__).parents[2]


def ndjson(live: Live, file: Path, number: int) -> Path:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in islice(documents(live), number)), "utf-8")
    return file


@pytest.mark.parametrize("job", [(), ("--job",)])
def test_a_file_of_many_lines_is_registered_and_sent_again_changes_nothing(live: Live, tmp_path: Path, job: tuple[str, ...]) -> None:
    file = ndjson(live, tmp_path / "assets.ndjson", 7)

    said = succeeded(here("asset", "register", str(file), *job, *as_(live)))
    before = size(live)
    again = succeeded(here("asset", "register", str(file), *job, *as_(live)))

    assert "assets.ndjson: 7 created" in said and size(live) == before
    assert ("7 created" if job else "7 unchanged") in again


@pytest.mark.parametrize("job", [(), ("--job",)])
def test_rows_that_are_refused_are_told_and_the_others_registered(live: Live, tmp_path: Path, job: tuple[str, ...]) -> None:
    file = ndjson(live, tmp_path / "assets.jsonl", 3)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(f"{json.dumps(live.battery(ratedCapacity='-1'))}\n")

    failed(here("asset", "register", str(file), *job, *as_(live)), "A04")


def test_a_quotation_mark_that_is_left_open_ends_a_table_and_what_stands_before_it_is_told(live: Live, tmp_path: Path) -> None:
    head, *rows = table([flat(live.battery()) for _ in range(3)]).decode().splitlines()
    file = tmp_path / "assets.csv"
    file.write_text("\n".join([head, rows[0], '"' + rows[1], rows[2]]) + "\n", "utf-8")

    said = here("asset", "register", str(file), *as_(live))

    failed(said, "what stands from row 3 on was not sent")
    assert "assets.csv: 1 created, 1 refused" in said.stdout


def test_a_job_that_was_cancelled_is_told_to_be(live: Live, tmp_path: Path) -> None:
    file, key = ndjson(live, tmp_path / "assets.ndjson", 300), f"cancelled-{next(live.serials)}"
    headers = {"Content-Type": "application/x-ndjson", "Prefer": "respond-async", "Idempotency-Key": key}
    job = live.client("fsp-a").post("/assets/batch", content=file.read_bytes(), headers=headers).headers["Location"]
    live.client("fsp-a").post(f"{job}/cancellation").raise_for_status()

    said = here("asset", "register", str(file), "--job", "--key", key, *as_(live))

    failed(said, "the job is CANCELLED: it ended after", "--key")
    assert "assets.ndjson: " in said.stdout


def test_a_job_may_be_a_dry_run(live: Live, tmp_path: Path) -> None:
    file, before = ndjson(live, tmp_path / "assets.ndjson", 2), size(live)

    said = succeeded(here("asset", "register", str(file), "--job", "--dry-run", *as_(live)))

    assert "2 would be accepted" in said and size(live) == before


def test_an_export_in_a_folder_is_verified_without_the_node(live: Live, tmp_path: Path) -> None:
    live.register("fsp-c")
    said = succeeded(here("export", "--out", str(tmp_path / "out"), "--format", "csv", *as_(live, "fsp-c")))
    file, key = tmp_path / "out" / "assets.csv", live.client().get("/journal/key").text.strip()

    assert "journal index" in said
    assert "verified" in succeeded(here("audit", "verify", "--export", str(file), "--key", key))

    failed(here("export", "--out", str(tmp_path / "out"), "--format", "csv", *as_(live, "fsp-c")), "is there already")
    file.write_bytes(file.read_bytes() + b"x")
    failed(here("audit", "verify", "--export", str(file), "--key", key), "wrong-file")


def test_an_export_of_the_command_is_narrowed_and_of_a_place(live: Live) -> None:
    made = live.register("fsp-c", connectionType="FIRM")
    live.register("fsp-c")

    lines = succeeded(here("export", "--index", made.headers["Fmar-Journal-Index"], "--filter", "assetCategory=BESS", *as_(live, "fsp-c"))).splitlines()

    assert json.loads(max(lines, key=lambda line: json.loads(line)["id"]))["id"] == made.json()["id"]
    failed(here("export", "--filter", "assetCategory", *as_(live)), "gives no value")


def test_an_organisation_moves_to_another_node_with_all_its_assets(live: Live, tmp_path: Path) -> None:
    first = live.register("fsp-b", friendlyCode=f"MOVE-{next(live.serials)}", owner=live.profiles["fsp-b"].organisation, alias=[{"scheme": "ECR", "value": "E-7"}]).json()
    succeeded(here("export", "--out", str(tmp_path / "leaving"), "--filter", "assetCategory=BESS", *as_(live, "fsp-b")))
    file = tmp_path / "leaving" / "assets.ndjson"
    (own,) = [json.loads(line) for line in file.read_text("utf-8").splitlines() if first["id"] in line]
    ended = {**own, "id": f"{own['id'][:-4]}0000", "friendlyCode": "GONE", "registrationStatus": "DEREGISTERED"}
    file.write_text("".join(json.dumps(each) + "\n" for each in (ended, own)), "utf-8")

    with Live(tmp_path / "elsewhere", {"fsp-b": {"roles": ["FSP"]}}) as elsewhere:
        outcomes = []
        for _ in range(2):
            command = [sys.executable, str(ROOT / "examples" / "moving.py"), str(file), str(elsewhere.folder / "participants" / "fsp-b")]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            outcomes.append([line.split()[-1] for line in done.stdout.splitlines()])
            assert done.stderr.strip() == "1 de-registered, left out"
        (there,) = [json.loads(line) for line in elsewhere.client("fsp-b").get("/assets/export").text.splitlines()]

    assert outcomes == [["created"], ["unchanged"]]
    assert there["owner"] == elsewhere.profiles["fsp-b"].organisation
    same = ("friendlyCode", "assetName", "ratedCapacity", "importMPAN", "serialNumber", "commissioningDate")
    assert {term: there[term] for term in same} == {term: first[term] for term in same}
