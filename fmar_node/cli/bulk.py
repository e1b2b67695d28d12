"""A table of assets sent to a node in pieces, each of them a batch: `fmar asset register FILE.csv`.

Rules kept here: a piece is small enough that a node can answer all of it before anybody reads; the table is read as it is sent; rows
have the numbers that a spreadsheet shows; each piece has an Idempotency-Key of its own, so that a table that was broken off is sent
again whole, and goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
from rich.progress import Progress

from fmar_node.cli.console import answered, err, escaped, fail, out, show_problem
from fmar_node.web.sheet import Splitter, cells_of, delimiter_of, is_above_header, plain

ROWS = 500
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


def register_table(client: httpx.Client, url: str, file: Path, params: dict[str, str], key: str, as_json: bool) -> int:
    """Registers every row, and tells of each that is refused; how many that were."""
    key = key or _digest(file)
    outcomes: Counter[str] = Counter()
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task(escaped(file.name), total=file.stat().st_size)
        for piece in pieces_of(file):
            keyed = {} if params.get("dry-run") else {"Idempotency-Key": f"{key}/{piece.number}"}
            for result in _results(client, url, piece, params, keyed):
                outcomes[str(result.get("outcome", "would be accepted"))] += 1
                _tell(result, as_json)
                progress.advance(bar, len(piece.body) / max(1, len(piece.rows)))
    if not as_json:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no rows"
        out.print(f"{escaped(file.name)}: {told}", soft_wrap=True)
    return outcomes["refused"]


def _digest(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()[:32]


def _results(client: httpx.Client, url: str, piece: Piece, params: dict[str, str], headers: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What the node says of each row; Refused where it takes none. A row that the rest cannot be told from ends it."""
    with client.stream("POST", url, content=piece.body, params=params, headers={"Content-Type": "text/csv", **headers}) as response:
        if not response.is_success:
            response.read()
            answered(response)
        for line in response.iter_lines():
            result: dict[str, Any] = json.loads(line)
            result["row"] += piece.skipped
            yield result
            if result.get("problem", {}).get("code") == "body-too-large":
                fail(f"what stands from row {result['row']} on was not sent", "mend that row, and send the table again")


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False))
    elif result.get("outcome") == "refused":
        out.print(f"[red]refused[/] row {result['row']}")
        show_problem(result["problem"])
