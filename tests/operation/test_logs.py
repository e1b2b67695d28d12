"""The log of a node: lines of JSON from every process, and no personal value in any of them, whatever happens."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fmar_node import logs
from fmar_node.errors import Malformed, OutOfRoom
from tests.killing import JUDGE, children, wait_until
from tests.live import LD_JSON, Live
from tests.market import organisation

MARK = "Xanthippe"
SECRETS = (MARK, "xanthippe", "2000000000777", "ZE3 9QQ", "+447700900456", "07700900456")


def document(live: Live, **changes: Any) -> dict[str, Any]:
    personal = {"assetName": f"Roof of {MARK}", "serialNumber": f"SN-{MARK}-{next(live.serials)}", "ownerName": MARK, "postcode": "ZE3 9QQ"}
    return live.battery(**{**personal, **changes})


def test_no_line_of_any_process_holds_a_personal_value(own: Live) -> None:
    client, held = own.client("fsp-a"), document(own)
    contact = {"primaryContactFirstName": MARK, "organisationEmail": f"{MARK}@example.org", "primaryMobileNumber": "+447700900456"}

    made = client.post("/assets", json=held, headers={**LD_JSON, "Idempotency-Key": f"key-{MARK}"})
    client.post("/assets", json={**held, "importMPAN": "2000000000777", "ratedCapacity": -1}, headers=LD_JSON)
    own.client("fsp-b").post("/assets", json=held, headers=LD_JSON)
    client.post("/assets", content=json.dumps(held)[:-20].encode(), headers=LD_JSON)
    client.post("/assets", content=f'<x> <y> "{MARK}'.encode(), headers={"Content-Type": "text/turtle"})
    client.post("/assets", json={**held, MARK: MARK, "id": f"http://{MARK}/"}, headers=LD_JSON)
    client.post("/assets/lookup", json={"scheme": "MPAN", "value": held["importMPAN"]})
    client.post("/assets/lookup", json={"scheme": "SERIAL", "value": held["serialNumber"]})
    client.post("/assets/batch", content=(json.dumps(document(own)) + f"\n{{{MARK}\n").encode(), headers={"Content-Type": "application/x-ndjson"})
    client.get("/assets/export"), client.get(f"/{MARK}?{MARK}={MARK}", headers={"User-Agent": MARK, "X-Request-Id": MARK})
    own.ask("fsp-a", f'SELECT * {{ ?s ?p "{MARK}" }}'), own.ask("fsp-a", f"SELECT {MARK}"), own.ask("fsp-a", f"SELECT * {{ SERVICE <http://{MARK}/> {{}} }}")
    own.ask("fsp-a", f"SELECT (COUNT(*) AS ?{MARK}) {{ GRAPH <{own.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }} }}", **{"Accept": "text/csv"})
    own.client("operator").post("/organisations", json=organisation(f"{MARK} Ltd", ["FSP"], **contact), headers=LD_JSON)

    said = own.log.read_text()
    assert made.status_code == 201, made.text
    assert [secret for secret in (*SECRETS, held["importMPAN"], held["exportMPAN"]) if secret in said] == []


def test_a_judge_that_crashes_over_a_document_says_nothing_of_it(own: Live) -> None:
    start = own.log.stat().st_size
    for pid in children(own, JUDGE):
        os.kill(pid, signal.SIGSEGV)

    response = own.client("fsp-a").post("/assets", json=document(own), headers=LD_JSON)

    wait_until(lambda: b"judge ended" in own.log.read_bytes()[start:], "nothing is said of the judge")
    assert response.status_code in (201, 422, 503)
    assert MARK not in own.log.read_bytes()[start:].decode()


def test_a_query_worker_that_dies_says_nothing_of_the_query(own: Live) -> None:
    start = own.log.stat().st_size
    bomb = f'SELECT (CONCAT("{MARK}", STR(?a), STR(?d), STR(?g)) AS ?x) {{ GRAPH <{own.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }} }} ORDER BY ?x'

    response = own.client("fsp-a").get("/sparql", params={"query": bomb, "timeout": "1"})

    said = own.log.read_bytes()[start:].decode()
    assert response.json()["code"] in ("query-timeout", "query-out-of-memory")
    assert "a query ended its worker" in said and MARK not in said


def test_every_line_is_json_and_says_which_process_wrote_it(own: Live) -> None:
    lines = [json.loads(line) for line in own.log.read_text().splitlines()]

    assert lines
    assert [line for line in lines if not {"timestamp", "level", "process", "pid", "event"} <= set(line)] == []
    assert {line["process"] for line in lines} <= {"web", "writer", "judge"}


def test_what_is_no_http_is_a_line_a_second(own: Live) -> None:
    before, port = own.log.read_text().count("Invalid HTTP request"), int(own.url.rsplit(":", 1)[1])
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"BAD\r\n\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 400 ")

    assert 1 <= own.log.read_text().count("Invalid HTTP request") - before < 10


def test_a_request_has_an_id_in_answer_and_log(own: Live) -> None:
    given = "0123456789abcdef0123456789ABCDEF"

    mine = own.client("fsp-a").get("/assets?managed=me", headers={"X-Request-Id": given}).headers["Fmar-Request-Id"]
    made = own.client("fsp-a").get("/assets?managed=me", headers={"X-Request-Id": "2000000000006"}).headers["Fmar-Request-Id"]

    deadline = time.monotonic() + 5
    while made not in own.log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert mine == given.lower() and re.fullmatch(r"[\w-]{20,}", made)
    assert {f'"request": "{each}"' in own.log.read_text() for each in (mine, made)} == {True}


# -- the module


@pytest.fixture
def line() -> Iterator[Any]:
    """What one record of this process becomes."""
    stream = io.StringIO()
    root = logging.Logger("root")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.Lines("test"))
    root.addHandler(handler)

    def written(name: str, message: Any, *arguments: Any, **more: Any) -> dict[str, Any]:
        record = logging.LogRecord(name, logging.ERROR, __file__, 7, message, arguments, more.get("exc_info"), "here")
        root.handle(record)
        told: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
        return told

    yield written


def raised() -> BaseException:
    try:
        try:
            raise ValueError(MARK)
        except ValueError as error:
            raise KeyError(MARK) from error
    except KeyError as error:
        return error


def test_an_exception_is_told_by_type_and_place(line: Any) -> None:
    error = raised()

    told = line("fmar.node", "it failed: %s", error, exc_info=(type(error), error, error.__traceback__))

    assert (told["event"], told["exception"], told["causes"]) == ("it failed: KeyError", "KeyError", ["ValueError"])
    assert re.fullmatch(r"operation/test_logs\.py:\d+:raised", told["frames"][-1])
    assert MARK not in json.dumps(told)


def test_the_nodes_own_troubles_are_told_and_refusals_of_documents_are_not(line: Any) -> None:
    assert line("fmar.node", "no: %s", OutOfRoom("storage-full", "the disk is full"))["event"] == "no: storage-full: the disk is full"
    assert line("fmar.node", "no: %s", Malformed("malformed-json", MARK))["event"] == "no: malformed-json"
    assert line("fmar.node", "no: %s", PermissionError(13, "Permission denied", f"/{MARK}"))["event"] == "no: PermissionError: Permission denied"


@pytest.mark.parametrize(("name", "message", "event"), [
    ("asyncio", f"Task exception was never retrieved\nfuture: <Task {MARK}>", "Task exception was never retrieved"),
    ("uvicorn.error", "Invalid HTTP request received.", "Invalid HTTP request received."),
    ("rdflib.term", f"{MARK} does not look like a valid URI", "rdflib.term said something at operation/test_logs.py:7:here"),
])  # fmt: skip
def test_what_other_libraries_say_is_told_by_place(line: Any, name: str, message: str, event: str) -> None:
    assert line(name, message)["event"] == event
