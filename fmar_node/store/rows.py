"""Rows of a SPARQL result, counted in the bytes of its serialisation as they pass.

Rules kept here: standard library only; exact whatever the values contain and wherever the bytes are cut;
nothing is parsed twice, a chunk costs a few passes at the speed of C.
"""

from __future__ import annotations

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
    """Of what stands outside of strings only the brackets matter: `[{` begins the first row, `},{` a further one.

    `{"head":{"vars":["x"]},"results":{"bindings":[{"x":{...}},{}]}}`; bindings inside a row are parted by `},"`.
    """

    def __init__(self) -> None:
        self.further = 0
        self.has_first = False
        self.is_quoted = False
        self.escaped = b""
        self.brackets = b""

    def take(self, chunk: bytes) -> int:
        text = self.escaped + chunk
        whole = len(text) - (len(text) - len(text.rstrip(b"\\"))) % 2
        self.escaped = text[whole:]
        pieces = text[:whole].replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        brackets = self.brackets + b"".join(pieces[self.is_quoted :: 2])
        self.is_quoted ^= len(pieces) % 2 == 0
        self.has_first = self.has_first or b"[{" in brackets
        self.further += brackets.count(b"},{")
        self.brackets = brackets[-2:]
        return self.further + self.has_first
