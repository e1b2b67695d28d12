"""Requests made from the node's own description, right ones and wrong ones: no answer is a failure of the node, each is as described.

The campaign: make test ARGS="-n 0 -m campaign tests/fuzz/test_openapi.py"
"""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as effort
from hypothesis.errors import Unsatisfiable

from tests.live import Live
from tests.market import organisation

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is in the dev group")

LEAST, REQUESTS = 20_000, 26_000
PASSING = frozenset({"graph-behind", "query-timeout", "query-out-of-memory", "unavailable"})
"""What a node may be unable to do just now; it says so with 503, and when to come back."""
READERS = ("", "fsp-a", "fsp-b", "dso-east", "neso", "regulator", "operator")
WRITERS = ("fsp-a", "operator", "fsp-a", "operator", "fsp-b", "dso-east", "")
UNLIMITED = {
    "FMAR_FRESHNESS_SECONDS": "0.05", "FMAR_QUERY_SECONDS_DEFAULT": "1", "FMAR_QUERY_SECONDS": "1",
    **dict.fromkeys(("FMAR_ORGANISATION_REQUESTS", "FMAR_APPLICATION_REQUESTS", "FMAR_ANONYMOUS_REQUESTS", "FMAR_TOKEN_REFUSALS", "FMAR_QUERY_BUDGET", "FMAR_REFUSAL_SECONDS"), "0"),
    "FMAR_PROBES_PER_HOUR": "1000000",
}  # fmt: skip
"""A node that holds nobody up: its limits have their own tests."""
ABSENT = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"


@dataclass
class Wanderer:
    """Sends what is generated in the name of one participant after another, and keeps what must not be."""

    live: Live
    checks: list[Any]
    newcomer: str
    told: Counter[tuple[str, int]] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.numbers = itertools.count()
        self.assets = [self.live.register(name).json()["id"].rsplit("/", 1)[1] for name in ("fsp-a", "fsp-b")]

    def ids(self, path: str) -> list[dict[str, str] | None]:
        """Ids that are generated, of no record, and of records that there are."""
        records = self.assets if path.startswith("/assets") else [self.newcomer]
        return [None, {"id": ABSENT}, *({"id": id_} for id_ in records * 2)] if "{id}" in path else [None]

    def send(self, case: Any) -> None:
        number = next(self.numbers)
        name = (READERS if case.operation.method.lower() == "get" else WRITERS)[number % len(READERS)]
        if number % 2 and case.operation.path in ("/assets", "/assets/{id}") and isinstance(case.body, dict):
            case.body = {**self.live.battery(), **dict(list(case.body.items())[:2])}
        try:
            response = self.answered(name, case)
        except httpx.InvalidURL:  # longer than a client sends, and than a node reads
            return
        except httpx.TransportError as error:  # the node hangs up on an idle connection just when it is used again: once, not twice
            first = repr(error)
            try:
                response = self.answered(name, case)
            except httpx.TransportError as again:
                self.failures.setdefault(f"{case.operation.path} {type(again).__name__}", f"{first} {again!r} {case.as_transport_kwargs(base_url=self.live.url)}")
                return
        label = f"{case.operation.method.upper()} {case.operation.path}"
        self.told[label, response.status_code] += 1
        code = code_of(response)
        self.codes[code] += 1
        if response.status_code >= 500:
            if code not in PASSING or "Retry-After" not in response.headers:
                self.failures.setdefault(f"{label} {response.status_code}", f"{as_sent(response)}\n{response.text[:600]}")
            return
        if response.status_code != 431 and "Preference-Applied" not in response.headers:  # which leaves the body away
            self.check(label, case, response)

    def answered(self, name: str, case: Any) -> httpx.Response:
        from requests import Request

        given = case.as_transport_kwargs(base_url=self.live.url)
        asked = Request(**{key: given[key] for key in ("method", "url", "headers", "params", "data", "json", "cookies") if key in given}).prepare()
        headers = {key: value for key, value in asked.headers.items() if key.lower() not in ("authorization", "dpop", "content-length", "user-agent")}
        if case.operation.path == "/oauth/token":
            name, headers = "", dict(asked.headers)
        client = self.live.client(name)
        return client.request(str(asked.method), str(asked.url), headers=[(key.encode(), as_bytes(value)) for key, value in headers.items()], content=asked.body)

    def check(self, label: str, case: Any, response: httpx.Response) -> None:
        try:
            case.validate_response(response, checks=self.checks)
        except schemathesis.errors.SchemathesisError:
            raise
        except BaseExceptionGroup as group:
            for each in group.exceptions:
                self.failures.setdefault(f"{label} {response.status_code} {type(each).__name__}", f"{as_sent(response)}\n{str(each)[:700]}")


def as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("latin-1", "replace")


def code_of(response: httpx.Response) -> str:
    if "json" in response.headers.get("Content-Type", "") and response.status_code >= 400:
        try:
            return str(response.json().get("code", ""))
        except (ValueError, AttributeError):
            return "not JSON"
    return ""


def as_sent(response: httpx.Response) -> str:
    sent = response.request
    return f"{sent.method} {sent.url} {dict(sent.headers)} {sent.content[:400]!r}"


def checks() -> list[Any]:
    from schemathesis import checks as named
    from schemathesis.specs.openapi import checks as described

    return [
        named.not_a_server_error, described.status_code_conformance, described.content_type_conformance,
        described.response_headers_conformance, described.response_schema_conformance,
    ]  # fmt: skip


@pytest.fixture
def wandering(tmp_path: Path) -> Iterator[Wanderer]:
    with Live(tmp_path, **UNLIMITED) as live:
        made = live.client("operator").post("/organisations", json=organisation("A newcomer", ["FSP"]))
        yield Wanderer(live, checks(), made.json()["id"].rsplit("/", 1)[1])


@pytest.mark.campaign
@pytest.mark.timeout(7_200)
def test_no_described_request_breaks_the_node(wandering: Wanderer, capsys: pytest.CaptureFixture[str]) -> None:
    """B14, B17: whatever is sent by the description or against it, no answer is a failure, and each is as described."""
    live = wandering.live
    pid = live.process.pid
    description = schemathesis.openapi.from_dict(live.client().get("/openapi.json").json())
    operations = [found.ok() for found in description.get_all_operations()]
    wanted = int(os.environ.get("REQUESTS", REQUESTS))
    ways = [(op, ids, mode) for op in operations for ids in wandering.ids(op.path) for mode in modes(op)]

    for operation, ids, mode in ways:
        wander(wandering, operation.as_strategy(mode, path_parameters=ids), wanted // len(ways) + 10)

    with capsys.disabled():
        print(f"\n{sum(wandering.told.values())} requests: {dict(Counter(status for (_, status), n in wandering.told.items() for _ in range(n)))}")
        print(json.dumps(dict(wandering.codes.most_common()), indent=1))
    assert not wandering.failures, "\n\n".join(f"{label}\n{said}" for label, said in wandering.failures.items())
    assert sum(wandering.told.values()) >= min(LEAST, wanted)
    assert (live.process.poll(), live.process.pid) == (None, pid)
    assert live.client().get("/readyz").status_code == 200
    live.register()


def modes(operation: Any) -> list[Any]:
    """Right requests, and wrong ones where there is anything to get wrong."""
    takes = operation.path_parameters or operation.query or operation.headers or operation.body
    modes = schemathesis.GenerationMode
    return [modes.POSITIVE, modes.NEGATIVE] if takes else [modes.POSITIVE]


def wander(wandering: Wanderer, cases: Any, count: int) -> None:
    @seed(1)
    @effort(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def each(case: Any) -> None:
        wandering.send(case)

    with suppress(Unsatisfiable):  # nothing is wrong about a request in which everything is given
        each()
