"""Batches that are longer than anybody holds: sent and answered at once, in constant memory, broken off and gone on with.

A hundred thousand rows in one request: make test ARGS="-m campaign tests/web/test_bulk.py"
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import count, islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.live import Live
from tests.market import mpan
from tests.web.test_table import flat, size, table

NDJSON, CSV = "application/x-ndjson", "text/csv"
MEBIBYTE = 1_048_576


def signed(live: Live, name: str, path: str) -> dict[str, str]:
    """The headers of a participant's request, for a client that is not httpx."""
    client = live.client(name)
    flow = client.auth.sync_auth_flow(client.build_request("POST", path))  # type: ignore[union-attr]
    step = next(flow)
    while step.url.path == "/oauth/token":
        answer = httpx.post(step.url, headers=step.headers, content=step.content)
        step = flow.send(answer)
    return {name: step.headers[name] for name in ("Authorization", "DPoP")}


class Exchange:
    """A request whose body is sent while the answer is read."""

    def __init__(self, live: Live, name: str, chunks: Iterable[bytes], media_type: str, **headers: str) -> None:
        place = urlsplit(live.url)
        self.connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
        self.connection.connect()
        self.connection.auto_open = 0
        self.connection.putrequest("POST", "/assets/batch", skip_accept_encoding=True)
        for header, value in {**signed(live, name, "/assets/batch"), "Content-Type": media_type, "Transfer-Encoding": "chunked", **headers}.items():
            self.connection.putheader(header, value)
        self.connection.endheaders()
        threading.Thread(target=self._send, args=(chunks,), daemon=True).start()

    def _send(self, chunks: Iterable[bytes]) -> None:
        with suppress(OSError, http.client.HTTPException, AttributeError):  # hung up
            for chunk in chunks:
                self.connection.send(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.connection.send(b"0\r\n\r\n")

    def results(self) -> Generator[dict[str, Any], None, None]:
        """The lines of the answer; whoever wants no more of them hangs up."""
        with closing(self.connection), self.connection.getresponse() as response:
            assert response.status == 200, response.read()
            for line in response:
                yield json.loads(line)


def documents(live: Live) -> Iterator[dict[str, Any]]:
    """Assets at meter points of their own, without an end."""
    first = 500_000_000 + 1_000 * int(next(live.serials).rpartition("-")[2])
    for number in count(first):
        yield live.battery(importMPAN=mpan(2 * number), exportMPAN=mpan(2 * number + 1))


def in_csv(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """A table in chunks, the header first."""
    for place, row in enumerate(rows):
        whole = table([flat(row)])
        yield whole if place == 0 else whole.split(b"\r\n", 1)[1]


def in_ndjson(rows: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    for row in rows:
        yield json.dumps(row).encode() + b"\n"


FORMS: list[Any] = [pytest.param(CSV, in_csv, id="csv"), pytest.param(NDJSON, in_ndjson, id="ndjson")]
Form = Callable[[Iterable[dict[str, Any]]], Iterator[bytes]]


def resident(live: Live) -> dict[str, float]:
    families = text_string_to_metric_families(live.client().get("/metrics").text)
    return {each.labels["role"]: each.value for family in families for each in family.samples if each.name == "fmar_resident_bytes"}


LENGTHS = [
    pytest.param(200, 100, id="200"),
    pytest.param(100_000, 2_000, id="100000", marks=[pytest.mark.campaign, pytest.mark.timeout(7_200)]),
]


@pytest.mark.parametrize(("length", "warm"), LENGTHS)
def test_a_table_of_any_length_needs_the_memory_of_a_few_rows(tmp_path: Path, length: int, warm: int, capsys: pytest.CaptureFixture[str]) -> None:
    with Live(tmp_path / "long", {"fsp-a": {"roles": ["FSP"]}}, FMAR_JUDGES="2") as live:
        rows = documents(live)
        began, memory, most, done = time.monotonic(), 0.0, 0.0, 0
        for result in Exchange(live, "fsp-a", in_csv(islice(rows, length)), CSV).results():
            assert (result["row"], result["status"]) == (done + 2, 201), result
            done += 1
            if done == warm:
                memory = resident(live)["web"]
            if done > warm and done % (length // 20) == 0:
                most = max(most, resident(live)["web"])

        with capsys.disabled():
            print(f"\n{done} rows, {done / (time.monotonic() - began):.0f} a second, web {memory / MEBIBYTE:.0f} MiB after {warm}, {most / MEBIBYTE:.0f} at most")
        assert done == length and size(live) >= length
        assert most - memory < 16 * MEBIBYTE


@pytest.mark.parametrize(("media_type", "form"), FORMS)
def test_whoever_goes_away_leaves_whole_rows_and_no_more(live: Live, media_type: str, form: Form) -> None:
    rows, key = list(islice(documents(live), 400)), f"away-{next(live.serials)}"
    before = size(live)
    gone = threading.Event()

    def halting() -> Iterator[bytes]:
        yield from islice(form(rows), 60)
        gone.wait(30)

    broken = Exchange(live, "fsp-b", halting(), media_type, **{"Idempotency-Key": key}).results()
    seen = list(islice(broken, 20))

    broken.close()
    gone.set()
    left = settled(live)
    again = list(Exchange(live, "fsp-b", form(rows), media_type, **{"Idempotency-Key": key}).results())

    assert 20 <= left - before <= 60 < len(rows)
    assert [result["id"] for result in again[:20]] == [result["id"] for result in seen]
    assert {result["status"] for result in again} == {201} and size(live) == before + len(rows)


def settled(live: Live) -> int:
    """The journal's size, once it does not grow any more."""
    known, deadline = -1, time.monotonic() + 20
    while time.monotonic() < deadline:
        if known == (known := size(live)):
            return known
        time.sleep(0.5)
    raise AssertionError("the batch goes on although nobody is there")


def test_a_batch_is_answered_row_by_row_before_it_has_been_sent(live: Live) -> None:
    go_on = threading.Event()

    def halting() -> Iterator[bytes]:
        yield from islice(in_csv(documents(live)), 40)
        assert go_on.wait(30)

    results = Exchange(live, "fsp-b", halting(), CSV).results()
    first = list(islice(results, 20))
    go_on.set()

    assert [result["row"] for result in [*first, *results]] == list(range(2, 42))
