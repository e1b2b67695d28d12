"""Batches that are taken in, answered at once, and worked through later: progress, results, cancellation, and a node that dies meanwhile."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live import Live
from tests.web.test_bulk import CSV, LENGTHS, MEBIBYTE, NDJSON, documents, in_csv, in_ndjson, resident
from tests.web.test_table import size

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that keeps at most two jobs of one organisation at once, and small ones."""
    with Live(tmp_path_factory.mktemp("jobs"), FMAR_JOBS_PER_ORGANISATION="2", FMAR_JOB_BYTES="2000000", FMAR_JOBS_KEPT="8") as live:
        yield live


def send(live: Live, name: str, rows: list[dict[str, Any]], media_type: str = NDJSON, query: str = "", **headers: str) -> httpx.Response:
    form = in_csv if media_type == CSV else in_ndjson
    body = b"".join(form(rows))
    return live.client(name).post(f"/assets/batch{query}", content=body, headers={"Content-Type": media_type, **ASYNC, **headers})


def progress(live: Live, name: str, job: str) -> dict[str, Any]:
    answer = live.client(name).get(job)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ended(live: Live, name: str, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = progress(live, name, job)
        if "ended" in found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{job} has not ended")


def results(live: Live, name: str, job: str, skip: int = 0) -> list[dict[str, Any]]:
    answer = live.client(name).get(f"{job}/results", params={"skip": skip} if skip else {})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize(("media_type", "first"), [(NDJSON, 1), (CSV, 2)])
def test_a_batch_that_is_answered_at_once_is_done_later(node: Live, media_type: str, first: int) -> None:
    rows = list(islice(documents(node), 30))
    rows[7]["assetCategory"] = "NO_SUCH"

    taken = send(node, "fsp-a", rows, media_type)
    job = taken.headers["Location"]
    lines = results(node, "fsp-a", job)  # while it runs
    found = ended(node, "fsp-a", job)

    assert (taken.status_code, taken.headers["Preference-Applied"], taken.json()["id"]) == (202, "respond-async", job)
    assert [line["row"] for line in lines] == list(range(first, first + 30))
    assert [line["outcome"] for line in lines] == ["created"] * 7 + ["refused"] + ["created"] * 22
    assert (found["state"], found["rows"], found["created"], found["refused"]) == ("FINISHED", 30, 29, 1)
    assert found["bytesRead"] == found["bytes"]
    assert node.client("fsp-a").get(lines[-1]["id"]).status_code == 200
    assert results(node, "fsp-a", job, skip=28) == lines[28:]


def test_what_lies_on_disk_is_the_owners_and_goes_with_the_job(node: Live) -> None:
    job = send(node, "fsp-a", list(islice(documents(node), 3))).headers["Location"]
    ended(node, "fsp-a", job)
    folder, id_ = node.folder / "state" / "jobs", job.rpartition("/")[2]
    deadline = time.monotonic() + 10
    while (folder / f"{id_}.body").exists() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not (folder / f"{id_}.body").exists()
    assert (folder / f"{id_}.results").stat().st_mode & 0o077 == 0 and folder.stat().st_mode & 0o077 == 0

    assert node.client("fsp-a").delete(job).status_code == 204
    assert not (folder / f"{id_}.results").exists()
    assert node.client("fsp-a").get(job).status_code == 404


def test_a_job_is_its_senders_alone(node: Live) -> None:
    job = send(node, "fsp-a", list(islice(documents(node), 2))).headers["Location"]

    answers = [node.client(name).get(path) for name in ("fsp-b", "operator") for path in (job, f"{job}/results")]
    answers += [node.client("fsp-b").delete(job), node.client("fsp-b").post(f"{job}/cancellation")]
    absent = node.client("fsp-b").get("/jobs/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11")

    assert {answer.status_code for answer in answers} == {404} and absent.status_code == 404
    assert answers[0].json()["detail"] == absent.json()["detail"]
    assert node.client().get(job).status_code == 401
    assert job in [each["id"] for each in node.client("fsp-a").get("/jobs").json()["items"]]
    assert job not in node.client("fsp-b").get("/jobs").text
    ended(node, "fsp-a", job)


def test_a_key_that_comes_again_gets_the_job_that_there_is(node: Live) -> None:
    rows, key = list(islice(documents(node), 4)), {"Idempotency-Key": f"job-{next(node.serials)}"}
    first = send(node, "fsp-b", rows, **key)
    ended(node, "fsp-b", first.headers["Location"])
    before = size(node)

    again, other = send(node, "fsp-b", rows, **key), send(node, "fsp-b", rows[:2], **key)

    assert (again.status_code, again.headers["Location"], again.headers["Idempotent-Replayed"]) == (202, first.headers["Location"], "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert size(node) == before


def test_a_dry_run_is_done_later_too_and_writes_nothing(node: Live) -> None:
    rows, before = list(islice(documents(node), 5)), size(node)
    rows[1]["ratedCapacity"] = "much"

    found = ended(node, "fsp-b", send(node, "fsp-b", rows, query="?dry-run=true").headers["Location"])

    assert (found["state"], found["accepted"], found["refused"], found["created"]) == ("FINISHED", 4, 1, 0)
    assert size(node) == before


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"assetName,noSuchColumn\r\nx,y\r\n", {"Content-Type": CSV}, 422, "validation-failed"),
        (b"x" * 2_000_001, {"Content-Type": NDJSON}, 413, "body-too-large"),
        (b'{"type": "Asset"}', {"Content-Type": "application/json"}, 400, "malformed-json"),
        (b'[{"type": "Asset"}, {', {"Content-Type": "application/ld+json"}, 400, "malformed-json"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
    ],
)
def test_what_holds_no_rows_is_refused_at_once(node: Live, body: bytes, headers: dict[str, str], status: int, code: str) -> None:
    before = node.client("fsp-b").get("/jobs").json()

    answer = node.client("fsp-b").post("/assets/batch", content=body, headers={**ASYNC, **headers})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert node.client("fsp-b").get("/jobs").json() == before
    assert not list((node.folder / "state" / "jobs").glob("*.body"))


def test_a_body_that_cannot_be_read_to_its_end_fails_the_job(node: Live) -> None:
    rows = list(islice(documents(node), 2))
    body = b"".join(in_ndjson(rows)) + b'{"assetName": "' + b"x" * 600_000 + b'"}\n' + b"".join(in_ndjson(islice(documents(node), 2)))

    job = node.client("fsp-b").post("/assets/batch", content=body, headers={**ASYNC, "Content-Type": NDJSON}).headers["Location"]
    found = ended(node, "fsp-b", job)

    assert (found["state"], found["created"], found["refused"], found["problem"]["code"]) == ("FAILED", 2, 1, "body-too-large")


def test_who_has_enough_jobs_waits_and_what_is_cancelled_stops(node: Live) -> None:
    before = size(node)
    rows = list(islice(documents(node), 900))
    running, waiting = (send(node, "fsp-c", rows[at : at + 450]).headers["Location"] for at in (0, 450))

    refused = send(node, "fsp-c", rows[:1])
    others = send(node, "fsp-b", list(islice(documents(node), 3)))
    assert node.client("fsp-c").post(f"{waiting}/cancellation").json()["state"] == "CANCELLED"
    while progress(node, "fsp-c", running)["rows"] == 0:
        time.sleep(0.02)
    assert node.client("fsp-c").delete(running).status_code == 202
    found, lines = ended(node, "fsp-c", running), results(node, "fsp-c", running)

    assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
    assert ended(node, "fsp-b", others.headers["Location"])["created"] == 3
    assert (found["state"], found["rows"]) == ("CANCELLED", len(lines)) and 0 < len(lines) < 450
    assert size(node) - before == len(lines) + 3
    assert ended(node, "fsp-c", waiting)["rows"] == 0 and results(node, "fsp-c", waiting) == []


def test_the_security_log_tells_of_a_job_at_its_end(node: Live) -> None:
    job = send(node, "fsp-a", list(islice(documents(node), 3))).headers["Location"]
    ended(node, "fsp-a", job)

    lines = node.client("operator").get("/security-log", params={"event": "write", "limit": 50}).json()["items"]

    (line,) = [each for each in lines if each.get("job") == job.rpartition("/")[2]]
    assert (line["action"], line["records"], line["outcome"]) == ("batch", 3, "granted")
    assert job.rpartition("/")[2] not in json.dumps([each for each in lines if "organisation" not in each])


def test_a_job_goes_on_after_the_node_was_killed(tmp_path: Path) -> None:
    with Live(tmp_path / "killed", {"fsp-a": {"roles": ["FSP"]}}) as live:
        rows, before = list(islice(documents(live), 120)), size(live)
        job = send(live, "fsp-a", rows).headers["Location"]
        for much in (20, 60):
            while progress(live, "fsp-a", job)["rows"] < much:
                time.sleep(0.02)
            live.stop(signal.SIGKILL)
            live.start()
        live.stop()  # in peace, with the job under way or not
        live.start()

        found, lines = ended(live, "fsp-a", job), results(live, "fsp-a", job)

        assert [line["row"] for line in lines] == list(range(1, 121))
        assert (found["state"], found["created"]) == ("FINISHED", 120)
        assert len({line["id"] for line in lines}) == 120 == size(live) - before


def test_rights_are_asked_anew_for_each_row(tmp_path: Path) -> None:
    with Live(tmp_path / "revoked", {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}}) as live:
        jobs = {name: send(live, name, list(islice(documents(live), 120))).headers["Location"] for name in ("fsp-a", "fsp-b")}
        while min(progress(live, name, job)["rows"] for name, job in jobs.items()) < 10:
            time.sleep(0.02)
        revoked = live.client("operator").post(f"{live.profiles['fsp-a'].organisation}/key-revocation", json={"clientId": "fsp-a"})
        suspended = live.client("operator").post(f"{live.profiles['fsp-b'].organisation}/suspension")
        assert (revoked.status_code, suspended.status_code) == (200, 200), (revoked.text, suspended.text)

        found = ended(live, "fsp-b", jobs["fsp-b"])
        deadline = time.monotonic() + 60
        while (live.folder / "state" / "jobs" / f"{jobs['fsp-a'].rpartition('/')[2]}.body").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        file = live.folder / "state" / "jobs" / f"{jobs['fsp-a'].rpartition('/')[2]}.results"
        lines = [json.loads(line) for line in file.read_text().splitlines()]

        assert found["state"] == "FINISHED" and found["created"] >= 10 and found["refused"] > 0
        assert len(lines) == 120 and {line["problem"]["code"] for line in lines if line["outcome"] == "refused"} == {"invalid-token"}
        assert {line["problem"]["code"] for line in results(live, "fsp-b", jobs["fsp-b"]) if line["outcome"] == "refused"} == {"not-permitted"}


@pytest.mark.parametrize(("length", "warm"), LENGTHS)
def test_a_job_of_any_length_needs_the_memory_of_a_few_rows(tmp_path: Path, length: int, warm: int) -> None:
    with Live(tmp_path / "long", {"fsp-a": {"roles": ["FSP"]}}, FMAR_JUDGES="2") as live:
        taken = live.client("fsp-a").post("/assets/batch", content=in_ndjson(islice(documents(live), length)), headers={"Content-Type": NDJSON, **ASYNC})
        job, memory, most = taken.headers["Location"], 0.0, 0.0
        while "ended" not in (found := progress(live, "fsp-a", job)):
            memory = resident(live)["web"] if found["rows"] <= max(warm, 1) else memory
            most = max(most, resident(live)["web"] if found["rows"] > warm else 0.0)
            time.sleep(length / 2_000)

        assert (found["state"], found["created"]) == ("FINISHED", length)
        assert most - memory < 16 * MEBIBYTE
