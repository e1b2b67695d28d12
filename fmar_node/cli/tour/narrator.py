"""How the tour is told: a rule and a sentence per step, requests and answers as blocks, small tables, a tick.

Rules kept here: what is printed as a request was sent, and what is printed as an answer came; both may be
shortened, never altered; without a terminal there is plain text of 100 columns and nothing else.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TextIO

import httpx
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.syntax import ANSI_DARK, ANSISyntaxTheme, Syntax
from rich.table import Table
from rich.text import Text

COLUMNS = 100
MARGIN = 2
BODY_COLUMNS = 88
SECRET_CHARS = 24
SECRETS = frozenset({"authorization", "dpop"})
UUID = re.compile(r"^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-([0-9a-f]{12})$")
COLOURS = ANSISyntaxTheme({token: style for token, style in ANSI_DARK.items() if token[-1:] != ("Error",)})
"""As a terminal has them; the dots for what was left out are no error."""
TELLING = ("location", "etag", "fmar-journal-index", "link", "retry-after", "www-authenticate", "idempotent-replayed")


class Narrator:
    """Prints the tour to a stream, `sys.stdout` unless another is given."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.console = Console(file=self.stream, highlight=False)
        self.console.width = min(self.console.width, COLUMNS) if self.console.is_terminal else COLUMNS
        self.tick = "✓" if self.console.encoding.lower().startswith("utf") else "ok"

    def print(self, what: RenderableType = "") -> None:
        """Prints without the blanks that fill lines up, and at once."""
        with self.console.capture() as captured:
            self.console.print(what, no_wrap=False)
        text = captured.get()
        if not self.console.is_terminal:
            text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        self._write(text)

    def line(self, text: str) -> None:
        """One plain line, whatever its length, to be copied or to be waited for."""
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        self.stream.write(text.encode(self.console.encoding, "replace").decode(self.console.encoding))
        self.stream.flush()

    # -- the frame

    def begin(self, number: int, title: str, why: str) -> None:
        """The head of a step."""
        self.print()
        self.rule(f"{number}  {title}")
        self.print(Text(why, style="italic"))

    def rule(self, title: str) -> None:
        line = "─" if self.tick == "✓" else "-"
        filled = line * max(2, self.console.width - len(title) - 4)
        self.print(Text.assemble((f"{line}{line} ", "dim"), (title, "bold"), (f" {filled}"[: self.console.width - len(title) - 3], "dim")))

    def remark(self, text: str) -> None:
        """What a reader should know before the next block."""
        self.print()
        self.print(Text(text))

    def done(self, takeaway: str) -> None:
        """The end of a step."""
        self.print()
        self.print(Text.assemble((self.tick, "bold green"), " ", takeaway))

    def failed(self, message: str) -> None:
        self.print()
        self.print(Text.assemble(("the tour ends here: ", "bold red"), message))

    # -- requests and answers

    def request(self, request: httpx.Request, note: str, body: str = "", language: str = "json", secrets: bool = False) -> None:
        """Method, URL, headers, and `body` (the request's own, or what of it is worth reading). `note` says who asks."""
        query = f"?{request.url.query.decode()}" if request.url.query else ""
        lines = [Text.assemble((request.method, "bold"), f" {request.url.path}{query}", (f"   {note}", "dim"))]
        lines += [_header(name, value) for name, value in _sent(request, secrets)]
        self._block(">", [*lines, *_body(body or request.content.decode("utf-8", "replace"), language)])

    def answer(self, response: httpx.Response, keep: Collection[str] = (), headers: Collection[str] = TELLING) -> None:
        """Status, the headers that matter, and those members of a JSON body that are named in `keep`.

        A problem shows its code and detail unless told otherwise, and its errors as a table.
        """
        milliseconds = response.elapsed.total_seconds() * 1000
        colour = "green" if response.is_success else "yellow"
        status = Text.assemble((f"{response.status_code} {response.reason_phrase}", f"bold {colour}"), (f"   {milliseconds:.0f} ms", "dim"))
        lines = [status, *(_header(name, value) for name, value in response.headers.items() if name in headers)]
        is_problem = response.headers.get("content-type", "").endswith("problem+json")
        if is_problem:
            problem = response.json()
            told = {name: problem[name] for name in keep or ("code", "detail")}
            self._block("<", [*lines, *_body(flowing(told))])
            self.faults(problem.get("errors", ()))
        else:
            self._block("<", [*lines, *_body(flowing(response.json(), keep) if keep else "")])

    def faults(self, errors: Sequence[Mapping[str, str]]) -> None:
        """The coded errors of a problem document, as a table."""
        names = ("severity", "code", "pointer", "message")
        if errors:
            self.table(names, [[str(each.get(name, "")) for name in names] for each in errors])

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], most: int = 12, numbers: Collection[str] = ()) -> None:
        """Rows under heads, at most `most` of them; the columns named in `numbers` to the right."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for head in heads:
            table.add_column(head, justify="right" if head in numbers else "left", overflow="fold")
        for row in rows[:most]:
            table.add_row(*(Text(UUID.sub(r"…\1", cell)) for cell in row))
        self.print(Padding(table, (1, 0, 0, MARGIN)))
        if len(rows) > most:
            self.print(Text(f"{' ' * MARGIN}and {len(rows) - most} more rows", style="dim"))

    def code(self, text: str, language: str) -> None:
        """A command, a script or a document."""
        self._block("$" if language == "bash" else "|", _highlighted(text.strip(), language))

    def output(self, text: str) -> None:
        """What a tool printed."""
        self._block("<", [Text(line) for line in text.strip().splitlines()])

    def _block(self, mark: str, lines: Sequence[Text]) -> None:
        """Lines behind a mark; what is wider than the page goes on behind the same mark."""
        self.print()
        room = self.console.width - MARGIN - 6
        for place, line in enumerate(lines):
            folded = line.wrap(self.console, room, overflow="fold") if line.plain else [line]
            for part, piece in enumerate(folded):
                shown = " " if mark == "$" and place else mark
                self.print(Text.assemble(" " * MARGIN, (shown, "dim"), "     " if part else " ", piece))


def flowing(document: Mapping[str, Any], keep: Collection[str] = (), columns: int = BODY_COLUMNS) -> str:
    """A JSON object with as many members on a line as fit.

    With `keep`, only those members in that order, without the id and type of nested parts, and with dots for what was left out.
    """
    shown = {name: document[name] for name in keep or document if name in document}
    parts = [f"{json.dumps(name)}: {_inline(value, is_whole=not keep)}" for name, value in shown.items()]
    parts = [f"{part}," for part in parts[:-1]] + parts[-1:]
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) < columns:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    left_out = len(document) - len(shown)
    lines += [f"… {left_out} more members"] if left_out else []
    return "\n".join(["{", *(f"  {line}" for line in lines), "}"]) if lines else "{}"


def _inline(value: Any, is_whole: bool) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_inline(each, is_whole) for each in value)}]"
    if isinstance(value, dict) and not is_whole and "#" in value.get("id", ""):
        told = [f"{json.dumps(name)}: {_inline(each, is_whole)}" for name, each in value.items() if name not in ("id", "type")]
        return f"{{…, {', '.join(told)}}}"
    return json.dumps(value, ensure_ascii=False)


def short(text: str, chars: int = SECRET_CHARS) -> str:
    """The beginning and the end of a token."""
    return text if len(text) <= chars else f"{text[: chars // 2]}…{text[-chars // 2 :]} ({len(text)} characters)"


def results(response: httpx.Response) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of SPARQL JSON results; IRIs shortened to what follows their last # or /."""
    found = response.json()
    heads = found["head"]["vars"]
    return heads, [[_cell(row.get(head, {})) for head in heads] for row in found["results"]["bindings"]]


def _cell(cell: Mapping[str, str]) -> str:
    value = cell.get("value", "")
    return value.rsplit("#", 1)[-1].rsplit("/", 1)[-1] if cell.get("type") == "uri" else value


def _sent(request: httpx.Request, secrets: bool) -> list[tuple[str, str]]:
    """The headers of a request that its reader needs."""
    wanted = {"content-type", "accept", "if-match", "idempotency-key", "fmar-min-journal-index", *(SECRETS if secrets else ())}
    given = [(name, value) for name, value in request.headers.items() if name in wanted and value != "*/*"]
    return [(name, short(value) if name in SECRETS else value) for name, value in given]


def _header(name: str, value: str) -> Text:
    shown = {"etag": "ETag", "dpop": "DPoP", "www-authenticate": "WWW-Authenticate"}.get(name, name.title())
    if name == "www-authenticate":
        value = f"{value.partition(', algs=')[0]}, …"
    return Text.assemble((f"{shown}: ", "dim"), value)


def _body(text: str, language: str = "json") -> list[Text]:
    """A body below an empty line; nothing for an empty one."""
    return [Text(), *_highlighted(text.strip(), language)] if text.strip() else []


def _highlighted(text: str, language: str = "json") -> list[Text]:
    coloured = Syntax(text, language, theme=COLOURS, background_color="default").highlight(text)
    coloured.rstrip()
    return list(coloured.split("\n"))
