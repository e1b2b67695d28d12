"""A table in CSV as it comes in: the rows of a body, one after the other, each as soon as it ends.

Rules kept here: a row ends with a line outside quotation marks (RFC 4180), and no more than one is held, so that a body of any length
needs the memory of its longest row; a row has the number that a spreadsheet shows, the first is 1; a row that cannot be read
is refused, and those after it go on; one whose end cannot be found, since it is too long or a quotation mark is left open, ends the table; nothing is guessed of letters: the text is UTF-8.
"""

from __future__ import annotations

import csv
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import AsyncIterator, Iterator, Sequence

from fmar_node.errors import Malformed, TooLarge, counted

DELIMITERS = ",;\t"
QUOTED = re.compile(rb'(?:[^"]++|"")*+"')
"""What is left of a cell in quotation marks, up to the one that closes it."""
OPENING = re.compile(rb'(?:\A|[,;\t])"')
SAVE_AS = "save it as CSV UTF-8"


class Splitter:
    """Bytes in, rows out. `delimiter` is any of the known ones until somebody has seen the header."""

    def __init__(self, most: int) -> None:
        self.most, self.number, self.opening = most, 0, OPENING
        self.waiting, self.size, self.is_quoted = b"", 0, False
        self.lines: list[bytes] = []

    def know(self, delimiter: str) -> None:
        """From here on only this one begins a cell."""
        self.opening = re.compile(rb'(?:\A|%s)"' % delimiter.encode())

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """The rows that end in what has come. TooLarge for one that is longer than it may be."""
        *whole, self.waiting = (self.waiting + chunk).split(b"\n")
        for line in whole:
            yield from self._line(line + b"\n")
        self._check(self.size + len(self.waiting))

    def end(self) -> Iterator[tuple[int, bytes]]:
        """The last row, where no line ends it."""
        if self.waiting or self.lines:
            self.lines.append(self.waiting)
            yield self._row()

    @property
    def is_open(self) -> bool:
        """Whether what has come ends inside quotation marks."""
        return self._ends_quoted(self.waiting)

    def _line(self, line: bytes) -> Iterator[tuple[int, bytes]]:
        self.is_quoted = self._ends_quoted(line)
        self.lines.append(line)
        self.size += len(line)
        self._check(self.size)
        if not self.is_quoted:
            yield self._row()

    def _ends_quoted(self, line: bytes) -> bool:
        at, is_quoted = 0, self.is_quoted
        while True:
            if is_quoted:
                if (closing := QUOTED.match(line, at)) is None:
                    return True
                at = closing.end()
            if (opening := self.opening.search(line, at)) is None:
                return False
            at, is_quoted = opening.end(), True

    def _row(self) -> tuple[int, bytes]:
        self.number += 1
        row, self.lines, self.size = b"".join(self.lines), [], 0
        return self.number, row

    def _check(self, size: int) -> None:
        if size > self.most:
            detail = f"row {self.number + 1} has more than {self.most} bytes; was a quotation mark opened in it and not closed?"
            raise TooLarge("body-too-large", detail, members={"row": self.number + 1})


async def rows_of(chunks: AsyncIterator[bytes], splitter: Splitter) -> AsyncIterator[tuple[int, bytes]]:
    """The rows of a stream, each with its number."""
    async for chunk in chunks:
        for row in splitter.feed(chunk):
            yield row
    if splitter.is_open:
        detail = f"a quotation mark is opened in row {splitter.number + 1} and not closed: where that row ends, and what follows it, nobody can tell"
        raise Malformed("malformed-request", detail, members={"row": splitter.number + 1})
    for row in splitter.end():
        yield row


def cells_of(row: bytes, delimiter: str) -> list[str]:
    """The cells of a row as they were written. Malformed."""
    try:
        text = row.decode().removesuffix("\n").removesuffix("\r")
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        raise Malformed("malformed-request", f"this is not UTF-8; {SAVE_AS}") from error
    except csv.Error as error:
        raise Malformed("malformed-request", f"this is no row of CSV: {error}") from error


def is_above_header(cells: Sequence[str]) -> bool:
    """Whether a row of the beginning is blank or a note, such as the version of a template."""
    return not any(map(str.strip, cells)) or cells[0].lstrip().startswith("#")


def delimiter_of(header: bytes) -> str:
    """What stands between the cells, by the header: names of columns have none of it."""
    return max(DELIMITERS, key=header.decode(errors="replace").count)


def plain(first: bytes) -> bytes:
    """The first row without a byte-order mark. Malformed where it is no UTF-8, or lines end as they did on old machines."""
    if first.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise Malformed("malformed-request", f"the table is UTF-16; {SAVE_AS}")
    if (lines := first.rstrip(b"\r\n").count(b"\r")) > 0:
        raise Malformed("malformed-request", f"{counted(lines, 'line ends', 'lines end')} with CR alone; {SAVE_AS}, lines end with LF or CR LF")
    return first.removeprefix(BOM_UTF8)
