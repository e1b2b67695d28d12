"""Rows of a SPARQL result, counted in the bytes of its serialisation as they pass.

Rules kept here: standard library only; exact whatever the values contain and wherever the bytes are cut;
nothing is parsed twice, a chunk costs a few passes at the speed of C.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Counter = Callable[[bytes], int]
"""Takes the next chunk, returns how many rows have begun or ended so far."""

CSV = "text/csv"
TSV = "text/tab-separated-values"
JSON = "application/sparql-results+json"
XML = "application/sparql-results+xml"
MEDIA_TYPES = (JSON, XML, CSV, TSV)


def counter(media_type: str) -> Counter:
    """A new counter for one of the four result formats."""
    kinds: dict[str, Callable[[], _Tsv | _Csv | _Xml | _Json]] = {CSV: _Csv, TSV: _Tsv, JSON: _Json, XML: _Xml}
    return kinds[media_type]().take


class _Tsv:
    """One line feed per row and one for the header; line feeds inside literals are escaped."""

    def __init__(self) -> None:
        self.rows = -1

    def take(self, chunk: bytes) -> int:
        self.rows += chunk.count(b"\n")
        return max(0, self.rows)


class _Csv:
    """The same outside of quotation marks; a doubled quotation mark leaves and enters at once."""

    def __init__(self) -> None:
        self.rows = -1
        self.is_quoted = False

    def take(self, chunk: bytes) -> int:
        pieces = chunk.split(b'"')
        self.rows += sum(piece.count(b"\n") for piece in pieces[self.is_quoted :: 2])
        self.is_quoted ^= len(pieces) % 2 == 0
        return max(0, self.rows)


class _Xml:
    """`<result>` per row; `<` in values is escaped. `kept` is what a cut may have left of a tag."""

    TAG = b"<result>"

    def __init__(self) -> None:
        self.rows = 0
        self.kept = b""

    def take(self, chunk: bytes) -> int:
        text = self.kept + chunk
        self.rows += text.count(self.TAG)
        self.kept = text[-len(self.TAG) + 1 :]
        return self.rows


class _Json:
    """A row with a binding begins as `[{"x":{` or `,{"x":{`, one without is `[{}` or `,{}`.

    The first can be no part of a string: of its three quotation marks the first would have to end one, and nothing begins
    with `:{` that comes so soon after the end of a string. The second can, so it is looked for outside of strings alone.

    `{"head":{"vars":["x"]},"results":{"bindings":[{"x":{...}},{}]}}`
    """

    FIRST, FURTHER = re.compile(rb'\[\{"[^"\\]*":\{'), re.compile(rb',\{"[^"\\]*":\{')
    BEGUN = re.compile(rb'[\[,](?:\{(?:"[^"\\]*(?:":?)?)?)?\Z')
    EMPTY = re.compile(rb"\{\}(?<=[\[,]\{\})")  # a pattern that begins with a class is three times as slow

    def __init__(self) -> None:
        self.rows = 0
        self.kept = b""
        self.is_quoted = False
        self.escaped = b""
        self.outside = b""

    def take(self, chunk: bytes) -> int:
        text = self.kept + chunk
        if not self.rows:
            self.rows = len(self.FIRST.findall(text))
        self.rows += len(self.FURTHER.findall(text)) + self._empty(chunk)
        begun = self.BEGUN.search(text, _third_last(text))
        self.kept = begun[0] if begun else b""
        return self.rows

    def _empty(self, chunk: bytes) -> int:
        """How many rows without a binding end here; keeps track of strings."""
        text = self.escaped + chunk
        whole = len(text) - (len(text) - len(text.rstrip(b"\\"))) % 2
        self.escaped = text[whole:]
        plain = text[:whole]
        if b"\\" in plain:
            plain = plain.replace(b"\\\\", b"").replace(b'\\"', b"")
        before, was_quoted = self.outside, self.is_quoted
        self.is_quoted ^= plain.count(b'"') % 2 == 1
        ends = plain.rpartition(b'"')
        self.outside = b"" if self.is_quoted else ends[2][-2:] if ends[1] else (before + plain)[-2:]
        if not (self.EMPTY.search(plain) or self.EMPTY.search(before + plain[:2])):
            return 0
        pieces = plain.split(b'"')
        outside = b'"'.join([before, *pieces[1::2]] if was_quoted else [before + pieces[0], *pieces[2::2]])
        return len(self.EMPTY.findall(outside))


def _third_last(text: bytes) -> int:
    """Where the third quotation mark from the end stands, or the beginning."""
    at = len(text)
    for _ in range(3):
        if (at := text.rfind(b'"', 0, at)) < 0:
            return 0
    return at
