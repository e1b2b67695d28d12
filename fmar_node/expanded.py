"""Expanded JSON-LD as the engine writes it, but with `@type`, as JSON-LD tools expect (JSON-LD 1.1 API, section 8.4.2).

The engine writes rdf:type as a property like any other. No text can be taken for what is replaced: inside a JSON string a
quotation mark is escaped, and no IRI has one. A type that is a literal stays where it is.
"""

from __future__ import annotations

import re
from typing import Protocol

KEY = b'"http://www.w3.org/1999/02/22-rdf-syntax-ns#type":['
TYPES = re.compile(re.escape(KEY) + rb'((?:\{"@id":"[^"]*"\},?)+)\]')
NODE = re.compile(rb'\{"@id":("[^"]*")\}')


class Writer(Protocol):
    def write(self, chunk: bytes, /) -> int: ...


def with_types(data: bytes) -> bytes:
    """The same graph, its types under `@type`."""
    return TYPES.sub(lambda found: b'"@type":[' + NODE.sub(rb"\1", found[1]) + b"]", data)


class Typed:
    """Writes on what it is given, types under `@type`, however it is cut into pieces; `finish` writes what is left."""

    def __init__(self, out: Writer) -> None:
        self.out, self.held = out, b""

    def write(self, chunk: bytes) -> int:
        data = self.held + chunk
        at = self._cut(data)
        self.held = data[at:]
        if at:
            self.out.write(with_types(data[:at]))
        return len(chunk)

    def flush(self) -> None:
        """Nothing: a cut is made where it does no harm, and by size."""

    def finish(self) -> None:
        self.out.write(with_types(self.held))
        self.held = b""

    def _cut(self, data: bytes) -> int:
        """Up to where no list of types is begun and not ended."""
        begun = data.rfind(KEY)
        if begun >= 0 and data.find(b"}]", begun) < 0:
            return begun
        tail = data.find(KEY[:1], max(0, len(data) - len(KEY) + 1))
        while tail >= 0 and not KEY.startswith(data[tail:]):
            tail = data.find(KEY[:1], tail + 1)
        return tail if tail >= 0 else len(data)
