"""Many assets sent to a node, a table or NDJSON: in pieces, each of them a batch, or whole, as a job. `fmar asset register FILE.csv`.

Rules kept here: a piece is small enough that a node can answer all of it before anybody reads; the file is read as it is sent; rows
have the numbers that a spreadsheet or an editor shows; each piece has an Idempotency-Key of its own, so that a file that was broken off is sent
again whole, and goes on where it stopped; a job goes on whoever looks at it, and the same file is the same job.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress

from fmar_node.cli.console import answered, err, escaped, fail, out, show_problem
from fmar_node.web.sheet import Splitter, cells_of, delimiter_of, is_above_header, plain

CSV = "text/csv"
MANY = {".csv": CSV, ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}
"""Files with many assets, by the end of their names."""
ROWS = 500
LOOK_SECONDS = 5.0
"""How long the results of a job are read before its progress is looked at."""
READ_BYTES = 65_536
MOST_BYTES = 16_777_216
"""A row that is longer has no end; the node takes less."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a table under its header. `skipped` is how many rows stand between the two in the table."""

    number: int
    head: tuple[bytes, ...]
    rows: tuple[bytes, ...]
    skipped: int

    @property
    def body(self) -> bytes:
        return b"".join((*self.head, *self.rows))


def lines_of(file: Path, most: int = ROWS) -> Iterator[Piece]:
    """A file of NDJSON in pieces: lines that are not blank."""
    skipped = 0
    with file.open("rb") as source:
        lines = (line for line in source if line.strip())
        for number, piece in enumerate(iter(lambda: tuple(islice(lines, most)), ())):
            yield Piece(number, (), piece, skipped)
            skipped += len(piece)


def pieces_of(file: Path, most: int = ROWS) -> Iterator[Piece]:
    """The table in pieces; without rows there is one piece, for the header to be looked at."""
    splitter, skipped = Splitter(MOST_BYTES), 0
    rows = _rows(file, splitter)
    head = _head(rows, splitter)
    for number, piece in enumerate(iter(lambda: tuple(islice(rows, most)), ())):
        yield Piece(number, head, piece, skipped)
        skipped += len(piece)
    if not skipped:
        yield Piece(0, head, (), 0)


def _rows(file: Path, splitter: Splitter) -> Iterator[bytes]:
    with file.open("rb") as source:
        while chunk := source.read(READ_BYTES):
            yield from (row for _, row in splitter.feed(chunk))
    yield from (row for _, row in splitter.end())


def _head(rows: Iterator[bytes], splitter: Splitter) -> tuple[bytes, ...]:
    """Everything down to the header."""
    head: list[bytes] = []
    for row in rows:
        head.append(row if head else plain(row))
        delimiter = delimiter_of(head[-1])
        if not is_above_header(cells_of(head[-1], delimiter)):
            splitter.know(delimiter)
            break
    return tuple(head)


def register_many(client: httpx.Client, url: str, file: Path, params: dict[str, str], key: str, as_json: bool) -> int:
    """Registers every row, and tells of each that is refused; how many that were."""
    key = key or _digest(file)
    media_type = MANY[file.suffix.lower()]
    outcomes: Counter[str] = Counter()
    stopped_at = 0
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress, _interrupted(outcomes):
        bar = progress.add_task(escaped(file.name), total=file.stat().st_size)
        for piece in (pieces_of if media_type == CSV else lines_of)(file):
            keyed = {} if params.get("dry-run") else {"Idempotency-Key": f"{key}/{piece.number}"}
            for result in _results(client, url, piece, params, {"Content-Type": media_type, **keyed}):
                stopped_at = result["row"] if "row" in result.get("problem", {}) else 0
                _count(result, outcomes, as_json)
                progress.advance(bar, len(piece.body) / max(1, len(piece.rows)))
            if stopped_at:
                break
    refused = _told(file, outcomes, as_json)
    if stopped_at:
        fail(f"what stands from row {stopped_at} on was not sent", "the rows before it stay as they are; mend that row, and send the table again")
    return refused


def register_in_job(client: httpx.Client, url: str, file: Path, params: dict[str, str], key: str, as_json: bool) -> int:
    """Sends the file whole, and looks on while the node works through it; how many rows were refused."""
    headers = {"Content-Type": MANY[file.suffix.lower()], "Prefer": "respond-async"}
    headers |= {} if params.get("dry-run") else {"Idempotency-Key": key or _digest(file)}
    outcomes: Counter[str] = Counter()
    job = ""
    try:
        with Progress(console=err, transient=True, disable=not err.is_terminal) as progress, file.open("rb") as source:
            sent = client.post(url, content=iter(lambda: source.read(READ_BYTES), b""), params=params, headers=headers)
            job = answered(sent).headers["Location"]
            bar = progress.add_task(escaped(file.name), total=sent.json()["bytes"])
            while (found := _lines_of_job(client, job, outcomes, as_json)) is None or "ended" not in found:
                progress.update(bar, completed=found["bytesRead"] if found else 0)
    except httpx.ConnectError:
        if not job:
            raise
        fail("the node is gone; it goes on with the job when it runs again", "the same command looks on again")
    except KeyboardInterrupt:
        hint = f"fmar get {job} shows how far it is; the same command looks on again" if job else "the file had not been sent; nothing was registered"
        fail("broken off; the node goes on with the job" if job else "broken off", hint)
    if problem := found.get("problem"):
        show_problem(problem)
    refused = _told(file, outcomes, as_json)
    if found["state"] != "FINISHED":
        fail(f"the job is {found['state']}: it ended after {outcomes.total()} rows, which stay as they are", "to send the file again, give it another --key")
    return refused


def _lines_of_job(client: httpx.Client, job: str, outcomes: Counter[str], as_json: bool) -> dict[str, Any] | None:
    """Reads the results that are new, for a while; then where the job stands. None where the connection was lost meanwhile."""
    until = time.monotonic() + LOOK_SECONDS
    try:
        with client.stream("GET", f"{job}/results", params={"skip": str(outcomes.total())}, timeout=LOOK_SECONDS * 4) as response:
            if response.is_success:
                for line in response.iter_lines():
                    _count(json.loads(line), outcomes, as_json)
                    if time.monotonic() > until:
                        break
    except (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError):
        return None
    found: dict[str, Any] = answered(client.get(job)).json()
    return found if "ended" not in found or found["rows"] == outcomes.total() else None


@contextmanager
def _interrupted(outcomes: Counter[str]) -> Iterator[None]:
    """Ctrl-C, or a node that is gone, ends it with what to do next."""
    again = "the same command goes on where it stopped: rows that were sent change nothing when they come again"
    try:
        yield
    except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
        fail(f"the node was gone after {outcomes.total()} rows, which stay as they are", again)
    except KeyboardInterrupt:
        fail(f"broken off after {outcomes.total()} rows, which stay as they are", again)


def _count(result: dict[str, Any], outcomes: Counter[str], as_json: bool) -> None:
    outcomes["would be accepted" if result["outcome"] == "accepted" else result["outcome"]] += 1
    _tell(result, as_json)


def _told(file: Path, outcomes: Counter[str], as_json: bool) -> int:
    """Says what became of the rows; how many were refused."""
    if not as_json:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no rows"
        out.print(f"{escaped(file.name)}: {told}", soft_wrap=True)
    return outcomes["refused"]


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()[:32]


def _results(client: httpx.Client, url: str, piece: Piece, params: dict[str, str], headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What the node says of each row; Refused where it takes none. A row that the rest cannot be told from is the last."""
    with client.stream("POST", url, content=piece.body, params=params, headers=headers) as response:
        if not response.is_success:
            response.read()
            answered(response)
        for line in response.iter_lines():
            result: dict[str, Any] = json.loads(line)
            result["row"] += piece.skipped
            yield result


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    elif result.get("outcome") == "refused":
        out.print(f"[red]refused[/] row {result['row']}")
        show_problem(result["problem"])
