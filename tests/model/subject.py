"""What a walk drives: a register that answers requests and shows what it holds, in this process or over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from tests.model.oracle import Answer, Document, Oracle, Request

PARTS = ("alias", "device", "justification", "applicationKey", "responsibility")
LINKS = ("owner", "managedBy", "recordedBy", "survivor", "provider")


class Subject(Protocol):
    """A register with participants, whose names map to their organisations' identifiers. Not there is None."""

    participants: dict[str, str]

    def begin(self, oracle: Oracle) -> None:
        """Tells what is there before the walk begins."""
        ...

    def today(self) -> str: ...
    def write(self, request: Request) -> Answer: ...

    def attempt(self, request: Request) -> Answer:
        """A dry run."""
        ...

    def read(self, caller: str, kind: str, id_: str, number: int | None = None, at: str | None = None) -> Document | None: ...

    def count(self, caller: str, kind: str, id_: str) -> int:
        """How many versions the caller can tell apart."""
        ...

    def page(self, caller: str, kind: str, limit: int, managed: bool, equal: Mapping[str, str]) -> list[str]:
        """All pages of a list."""
        ...

    def look_up(self, caller: str, scheme: str, value: str) -> list[str]: ...

    def graph(self, caller: str, *, public: bool = False) -> dict[str, set[str]]:
        """What SPARQL finds in the caller's own graph, or in the public one: records, and the fields that they have there."""
        ...

    def viewers(self, oracle: Oracle) -> list[str]:
        """The organisations that may look, and nobody."""
        ...

    def time(self, kind: str, id_: str) -> str:
        """When the newest version of a record was recorded."""
        ...

    def crash(self, how: str) -> None:
        """Ends the register without ceremony, and starts it again."""
        ...

    def crash_while_writing(self, request: Request, how: str) -> None: ...
    def check(self, oracle: Oracle) -> None:
        """What can be checked after every step."""
        ...

    def close(self, oracle: Oracle) -> None:
        """The last checks, and the end."""
        ...


def plain(document: Mapping[str, Any]) -> Document:
    """A document of the node as the oracle tells it."""
    return {name: _plain(name, value) for name, value in document.items() if name not in ("id", "type", "@context")}


def _plain(name: str, value: Any) -> Any:
    if name == "warning":
        return sorted({each["rule"] for each in value})
    if name in PARTS:
        return [plain(each) for each in value]
    if name in LINKS:
        return value.rsplit("/", 1)[-1]
    return "*" if name == "shapesVersion" else value


def linked(document: Document) -> Document:
    """A document of the oracle as a participant sends it."""
    rooms = {"owner": "organisations", "survivor": "assets"}
    return {name: f"{rooms[name]}/{value}" if name in rooms and value is not None else value for name, value in document.items()}
