"""A visit to a running node: who may speak, what they send, and what has to come back.

Rules kept here: every expectation of the tour is checked; what differs ends it, in words that say what was
wanted and what came. The documents of a visit are the packaged examples with serial numbers, meter points and
names of its own, so that one register can be visited again and again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fmar_node.checks.mpan import check_digit
from fmar_node.cli.tour.narrator import Narrator, flowing, results
from fmar_node.client import Profile, connect
from fmar_node.folder import Folder
from fmar_node.vocabulary import packaged

LD_JSON = "application/ld+json"
MERGE_PATCH = "application/merge-patch+json"
SPARQL = "application/sparql-query"
ANYBODY = ""
"""The name of a caller without a credential."""
UNUSED = 99_000_000
"""Where the meter points of the examples begin: the networks have given out none of these numbers."""
KEPT_ALIVE = httpx.Limits(max_connections=20, max_keepalive_connections=20, keepalive_expiry=2.0)
"""Connections are given up before the node gives them up (5 seconds), so that none breaks under a request."""
PATIENCE = 60.0
"""Seconds for which the tour asks again when it is told to, as while the graph follows a large import."""


class Unexpected(Exception):
    """Something else came than the tour expects."""


def expect(what: str, wanted: object, came: object) -> None:
    """Unexpected unless both are equal."""
    if wanted != came:
        raise Unexpected(f"{what}: expected {wanted!r}, but it is {came!r}")


def expect_that(holds: bool, what: str) -> None:
    """Unexpected, in the words of what should hold, unless it holds."""
    if not holds:
        raise Unexpected(f"this does not hold: {what}")


@dataclass
class Visit:
    """One walk through the tour. `mark` is a number that no earlier visit of this node had."""

    folder: Folder
    base_url: str
    narrator: Narrator
    profiles: Mapping[str, Profile]
    verifier_key: str
    early_token: str
    consent_solution: str = ""
    """Where the demo's consumers consent."""
    mark: int = 0
    newest: int = 0
    """The journal index of the visit's last write."""
    clients: dict[str, httpx.Client] = field(default_factory=dict)
    kept: dict[str, httpx.Response] = field(default_factory=dict)
    """Answers that later steps come back to."""

    def client(self, who: str) -> httpx.Client:
        """A participant's client; without a name an anonymous one."""
        if who not in self.clients:
            options: dict[str, Any] = {"limits": KEPT_ALIVE}
            self.clients[who] = connect(self.profiles[who], **options) if who else httpx.Client(base_url=self.base_url, trust_env=False, **options)
        return self.clients[who]

    def close(self) -> None:
        for client in self.clients.values():
            client.close()

    # -- requests

    def call(
        self, who: str, method: str, path: str, status: int, *, document: Mapping[str, Any] | None = None, media_type: str = LD_JSON,
        show: Collection[str] = (), keep: Collection[str] = (), secrets: bool = False, **headers: str,
    ) -> httpx.Response:  # fmt: skip
        """Sends, prints request and answer, and expects the status.

        `show` and `keep` are the members of request and answer that are printed. Header names have underscores.
        """
        content = None if document is None else flowing(document).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {} if document is None else {"Content-Type": media_type}
        response = self.client(who).request(method, path, content=content, headers=sent)
        self.narrator.request(response.request, speaking(who), flowing(document, show) if document and show else "", secrets=secrets)
        self.narrator.answer(response, keep)
        expect(f"the status of {method} {path}", status, response.status_code)
        if method != "GET" and response.is_success and "Fmar-Journal-Index" in response.headers:
            self.newest = journal_index(response)
        return response

    def query(self, who: str, name: str, *, most: int = 8, numbers: Collection[str] = ()) -> list[dict[str, str]]:
        """Asks an example query by direct POST, prints it and its table; the rows by head."""
        response = self.ask(who, name)
        self.narrator.request(response.request, f"{speaking(who)}, {name}.rq", language="sparql")
        self.narrator.answer(response)
        heads, rows = results(response)
        self.narrator.table(heads, rows, most, numbers)
        return [dict(zip(heads, row, strict=True)) for row in rows]

    def ask(self, who: str, name: str) -> httpx.Response:
        """An example query's answer, unprinted, from a graph that has reached this visit's last write."""
        headers = {"Content-Type": SPARQL, "Accept": "application/sparql-results+json", "Fmar-Min-Journal-Index": str(self.newest)}
        query, deadline = example(f"queries/{name}.rq").read_bytes(), time.monotonic() + PATIENCE
        response = self.client(who).post("/sparql", content=query, headers=headers)
        while "Retry-After" in response.headers and time.monotonic() < deadline:
            time.sleep(float(response.headers["Retry-After"]))
            response = self.client(who).post("/sparql", content=query, headers=headers)
        expect(f"the status of the query {name} as {who or 'anybody'}", 200, response.status_code)
        return response

    def settled(self, who: str, path: str) -> httpx.Response:
        """A record, unprinted, once the sources that are asked about it have answered."""
        return self.until(who, path, lambda record: record.get("validationStatus") != "PENDING_VALIDATION")

    def until(self, who: str, path: str, is_so: Callable[[dict[str, Any]], bool]) -> httpx.Response:
        """A record, unprinted, once something is so of it, or as it is when patience ends."""
        deadline = time.monotonic() + PATIENCE
        while not is_so((response := self.client(who).get(path)).json()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return response

    def checkpoint(self) -> str:
        """The journal's newest signed checkpoint, a C2SP note: origin, size, root hash, signature."""
        return self.client(ANYBODY).get("/journal/checkpoint").text

    def journal_size(self) -> int:
        """The size in the journal's newest signed checkpoint."""
        return int(self.checkpoint().splitlines()[1])

    # -- documents

    def document(self, name: str) -> dict[str, Any]:
        """An example document with this visit's own identifiers."""
        document: dict[str, Any] = json.loads(example(f"documents/{name}.json").read_bytes())
        place = DOCUMENTS.index(name)
        for term in ("serialNumber", "friendlyCode"):
            if term in document:
                document[term] += f"-{self.mark}"
        for step, term in enumerate(("importMPAN", "exportMPAN")):
            if term in document:
                document[term] = self.meter_point(document[term][:2], 2 * place + step)
        return document

    def meter_point(self, distributor: str, place: int) -> str:
        """The visit's own MPAN number `place` (0 to 9), with its check digit."""
        core = f"{distributor}{UNUSED + 10 * self.mark + place:010d}"
        return f"{core}{check_digit(core)}"


DOCUMENTS = ("battery", "broken", "justified", "warned", "certified")


def speaking(who: str) -> str:
    return f"as {who}" if who else "without a credential"


def example(name: str) -> Path:
    """A packaged example by its path below `examples/`."""
    return packaged("examples") / name


def errors_of(response: httpx.Response) -> list[tuple[str, str]]:
    """Code and pointer of every error in a problem document, sorted."""
    return sorted((each["code"], each["pointer"]) for each in response.json().get("errors", ()))


def journal_index(response: httpx.Response) -> int:
    """The place of a receipt in the journal."""
    return int(response.headers["Fmar-Journal-Index"])
