"""What people and operators see of a node: pages, its description, readiness, metrics, logs; and rude connections."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyoxigraph as ox
import pytest
from fastapi import FastAPI
from fastapi.openapi.models import OpenAPI
from fastapi.routing import APIRoute
from prometheus_client.parser import text_string_to_metric_families

from fmar_node.folder import Folder
from fmar_node.foundation import make_node
from fmar_node.node import Node
from fmar_node.web.app import create_app
from tests.live import LD_JSON, Live
from tests.market import organisation, saved_query
from tests.releasing import ASSETS, changed, release

MERGE = {"Content-Type": "application/merge-patch+json"}
NO_ICON = '<link rel="icon" href="data:,">'
METHODS = ("get", "post", "put", "patch")
PERSON = [{"session": []}]
"""What operations need that are for people who have signed in."""


# -- pages


@pytest.mark.parametrize("path", ["/", "/docs", "/sparql", "/codes/AssetCategory", "/problems/not-found"])
def test_a_page_needs_nothing_from_elsewhere(live: Live, path: str) -> None:
    page = live.client().get(path, headers={"Accept": "text/html"})

    links = re.findall(r"""(?:src|href|action)\s*=\s*["']([^"']*)""", page.text.replace(NO_ICON, ""))
    assert (page.status_code, page.headers["Content-Type"].split(";")[0]) == (200, "text/html")
    assert links and all(link.startswith((live.url, "/")) and not link.startswith("//") for link in links)
    assert "url(" not in page.text
    assert re.findall(r"<script(?! src=\"/| type=\"application/json\")", page.text) == []
    assert "script-src 'self'" in page.headers["Content-Security-Policy"] or "<script" not in page.text
    assert not re.search(r"script-src[^;]*unsafe|default-src (?!'none')", page.headers["Content-Security-Policy"])


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_every_link_of_a_page_leads_somewhere(live: Live, path: str) -> None:
    page = live.client().get(path, headers={"Accept": "text/html"}).text

    links = sorted(set(re.findall(r'href="([^"]*)"', page.replace(NO_ICON, ""))))
    assert {link: live.client().get(link).status_code for link in links} == dict.fromkeys(links, 200)


@pytest.mark.parametrize(("media_type", "format_"), [
    ("text/turtle", ox.RdfFormat.TURTLE), ("application/ld+json", ox.RdfFormat.JSON_LD), ("application/rdf+xml", ox.RdfFormat.RDF_XML),
    ("application/n-triples", ox.RdfFormat.N_TRIPLES),
])  # fmt: skip
def test_machines_learn_what_this_node_is(live: Live, media_type: str, format_: ox.RdfFormat) -> None:
    response = live.client().get("/", headers={"Accept": media_type})

    facts = {(quad.predicate.value.rsplit("#")[-1], getattr(quad.object, "value", "")) for quad in ox.parse(response.content, format=format_)}
    assert {("endpointURL", f"{live.url}/sparql"), ("endpointDescription", f"{live.url}/openapi.json"), ("endpoint", f"{live.url}/sparql")} <= facts


# -- the OpenAPI description


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """The application of a node that does not run."""
    root = tmp_path_factory.mktemp("described") / "data"
    make_node(root, "http://127.0.0.1:9", organisation("Operator", ["FMAR_OPERATOR"]))
    return create_app(Node(Folder(root), Folder(root).settings()))


def operations(described: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def test_the_description_is_well_formed(app: FastAPI) -> None:
    described = app.openapi()

    OpenAPI.model_validate(described)
    references = set(re.findall(r'"#/components/(\w+)/(\w+)"', json.dumps(described)))
    assert not [each for each in references if each[1] not in described["components"][each[0]]]
    identifiers = [operation["operationId"] for _, _, operation in operations(described)]
    assert len(set(identifiers)) == len(identifiers)


def test_the_description_declares_the_parameters_of_every_path(app: FastAPI) -> None:
    for path, method, operation in operations(app.openapi()):
        declared = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "path"}

        assert declared == set(re.findall(r"\{(\w+)\}", path)), (method, path)
        assert operation["responses"], (method, path)


def test_every_route_is_described_and_nothing_else(app: FastAPI) -> None:
    routes = {(APIRoute(path, endpoint).path_format, method.lower()) for path, endpoint, method in app.state.ways}

    from fmar_node.web import contract

    assert {(path, method) for path, method, _ in operations(app.openapi())} == routes
    assert {(each.path, each.method) for each in contract.operations()} == routes


SAMPLES = ("assets", "users", "delegations", "queries")


def sampled(live: Live, room: str) -> str:
    """The id of a new record that fsp-a sees."""
    documents = {
        "users": {"type": "User", "userEmail": f"sample-{next(live.serials)}@example.org"},
        "delegations": {
            "type": "Delegation", "delegate": live.profiles["platform"].organisation, "permission": ["READ"],
            "assetScope": "ALL_ASSETS", "validTo": "2099-01-01",
        },
        "queries": saved_query(f"sample-{next(live.serials)}"),
    }  # fmt: skip
    made = live.register() if room == "assets" else live.client("fsp-a").post(f"/{room}", json=documents[room], headers=LD_JSON)
    return made.headers["Location"].rsplit("/", 1)[1]


OF_OTHERS = ("/notices/{id}", "/subscriptions/{id}", "/consents/{id}", "/jobs/{id}", "/service-windows/{id}", "/switches/{id}", "/quality/assets", "/quality/organisations")
"""What fsp-a has none of, or makes in another way, or has to name a rule for: their own tests read it."""


def sampled_release(live: Live) -> str:
    """The id of a release that the operator sees, and nobody else."""
    client = live.client("operator")
    items = client.get("/releases").json()["items"]
    words = {ASSETS: changed(ASSETS, ("assetCategory is missing", "there is no assetCategory"))}
    made = items[0] if items else client.post("/releases", json=release(words, "PATCH"), headers=LD_JSON).json()
    return str(made["id"]).rsplit("/", 1)[1]


def sample(live: Live, path: str) -> str:
    room = path.split("/")[1]
    if room == "releases" and "{id}" in path:
        return path.format(id=sampled_release(live), number=1)
    record = sampled(live, room) if room in SAMPLES else live.profiles["fsp-a"].organisation.rsplit("/", 1)[1]
    return path.format(id=record, number=1, index=0, path="0/000.p/1", kind="asset", scheme="OwnerKind", code="not-found", name="portfolio")


def test_every_read_answers_in_every_format_that_is_described(live: Live) -> None:
    described = live.client().get("/openapi.json").json()
    seen = 0
    for path, method, operation in operations(described):
        if method != "get" or path in ("/sparql", "/queries/{name}") or path.startswith(OF_OTHERS) or operation["security"] == PERSON or "200" not in operation["responses"]:
            continue
        url, reader = sample(live, path), live.client("operator" if path.startswith("/releases/") else "fsp-a")
        for media_type in operation["responses"]["200"].get("content", {}):
            response = reader.get(url, headers={"Accept": media_type})
            assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (200, media_type), (path, media_type)
            seen += 1
        if "304" in operation["responses"]:
            response = reader.get(url, headers={"If-None-Match": reader.get(url).headers["ETag"]})
            assert response.status_code == 304, path
    assert seen > 80


def test_sparql_answers_in_every_format_that_is_described(live: Live) -> None:
    formats = live.client().get("/openapi.json").json()["paths"]["/sparql"]
    queries = {"get": ("SELECT * {}", "CONSTRUCT WHERE { ?s ?p ?o }", None), "post": ("SELECT * {}", "CONSTRUCT WHERE { ?s ?p ?o }")}
    for method, asked in queries.items():
        for media_type in formats[method]["responses"]["200"]["content"]:
            answers = [
                live.client().request(method.upper(), "/sparql", **({"params" if method == "get" else "data": {"query": query}} if query else {}), headers={"Accept": media_type})
                for query in asked
            ]
            assert media_type in {answer.headers["Content-Type"].split(";")[0] for answer in answers if answer.status_code == 200}


def test_saved_queries_answer_in_every_format_that_is_described(live: Live) -> None:
    formats = live.client().get("/openapi.json").json()["paths"]["/queries/{name}"]["get"]["responses"]["200"]["content"]
    document = saved_query(queryText="CONSTRUCT WHERE { ?s ?p ?area }", audience=["EVERYONE"], queryName=f"sample-{next(live.serials)}")
    assert live.client("fsp-a").post("/queries", json=document, headers=LD_JSON).status_code == 201
    for media_type in formats:
        answers = [live.client("fsp-a").get(f"/queries/{name}", headers={"Accept": media_type}) for name in ("portfolio", document["queryName"])]
        assert media_type in {answer.headers["Content-Type"].split(";")[0] for answer in answers if answer.status_code == 200}


@pytest.mark.parametrize("path", ["/assets", "/organisations"])
def test_every_filter_that_is_described_is_one(live: Live, path: str) -> None:
    described = live.client().get("/openapi.json").json()
    properties = described["components"]["schemas"]["Asset" if path == "/assets" else "Organisation"]["properties"]
    values = {"limit": "1", "managed": "me", "format": "json", "cursor": "", "profile": "cim", "namespace": "cim"}
    beside = {"namespace": {"profile": "cim"}}

    for parameter in described["paths"][path]["get"]["parameters"]:
        name = parameter["name"]
        form = properties.get(name, {})
        of_record = [f"{live.url}/organisations/{'0' * 8}-0000-7000-8000-{'0' * 12}"] if form.get("format") == "uri-reference" else []
        known = of_record or form.get("enum") or form.get("items", {}).get("enum") or ["X"]
        response = live.client("fsp-a").get(path, params={name: values.get(name, known[0]), **beside.get(name, {})})
        assert response.status_code == 200, response.text


def test_writes_answer_with_the_statuses_that_are_described(live: Live) -> None:
    described = live.client().get("/openapi.json").json()["paths"]
    client, made = live.client("fsp-a"), live.register()
    iri, patched = made.headers["Location"], {**MERGE, "If-Match": "*"}

    answers = {
        ("/assets", "post"): [made, client.post("/assets?dry-run=true", json=live.battery(), headers=LD_JSON)],
        ("/assets/{id}", "patch"): [client.patch(iri, content=b"{}", headers=patched), client.patch(iri, content=b"{}", headers={**patched, "Prefer": "return=minimal"})],
        ("/assets/{id}", "put"): [client.put(iri, json=made.json(), headers={**LD_JSON, "If-Match": "*"})],
        ("/assets/{id}/deregistration", "post"): [client.post(f"{iri}/deregistration", json={"deregistrationReason": "ERROR"})],
        ("/assets/batch", "post"): [client.post("/assets/batch", content=b"", headers={"Content-Type": "application/x-ndjson"})],
        ("/assets/lookup", "post"): [client.post("/assets/lookup", json={"scheme": "SERIAL", "value": live.register().json()["serialNumber"]})],
    }
    for (path, method), responses in answers.items():
        for response in responses:
            assert response.is_success, response.text
            told = described[path][method]["responses"][str(response.status_code)]
            assert response.status_code == 204 or response.headers["Content-Type"].split(";")[0] in told["content"]
    assert [answer.status_code for answer in answers["/assets", "post"]] == [201, 200]
    assert [answer.status_code for answer in answers["/assets/{id}", "patch"]] == [200, 204]


def test_who_needs_a_credential_is_described(live: Live) -> None:
    described = live.client().get("/openapi.json").json()
    for path, method, operation in operations(described):
        needed = bool(operation["security"]) and {} not in operation["security"]
        response = live.client().request(method, sample(live, path))
        assert (response.status_code == 401) == needed, (method, path, response.status_code)


def test_an_asset_of_the_description_is_an_asset(app: FastAPI, live: Live) -> None:
    schema = app.openapi()["components"]["schemas"]["Asset"]

    record = live.register().json()

    assert set(record) <= set(schema["properties"])
    assert record["assetCategory"] in schema["properties"]["assetCategory"]["enum"]
    assert schema["properties"]["assetId"]["readOnly"] is True and schema["additionalProperties"] is False


# -- readiness, metrics, logs


def test_a_node_that_is_ready_says_so_part_by_part(live: Live) -> None:
    response = live.client().get("/readyz")

    assert response.status_code == 200
    assert {name for name, good in response.json().items() if good} == {"ready", "started", "writer", "storage", "judges", "queries", "graph", "sandbox"}
    assert live.client().get("/healthz").text == "ok\n"


def metric(live: Live, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(live.client().get("/metrics").text)
    samples = (each for family in families for each in family.samples)
    return sum(each.value for each in samples if each.name == name and labels.items() <= each.labels.items())


def test_metrics_count_requests_by_route(live: Live) -> None:
    labels = {"route": "/assets", "method": "POST", "status": "201"}
    before, entries = metric(live, "fmar_requests_total", **labels), metric(live, "fmar_journal_entries")

    live.register()

    assert metric(live, "fmar_requests_total", **labels) == before + 1
    assert metric(live, "fmar_journal_entries") == entries + 1
    assert metric(live, "fmar_request_seconds_count", route="/assets") > 0


def test_metrics_count_refusals_and_queries(live: Live) -> None:
    before = metric(live, "fmar_refusals_total", code="query-refused"), metric(live, "fmar_queries", outcome="answered")

    live.ask("fsp-a", "DROP ALL"), live.ask("fsp-a", "ASK {}")

    assert metric(live, "fmar_refusals_total", code="query-refused") == before[0] + 1
    assert metric(live, "fmar_queries", outcome="answered") >= before[1] + 1


def test_metrics_name_routes_and_no_records(live: Live) -> None:
    made = live.register()
    live.client("fsp-a").get(made.headers["Location"])
    live.client().get("/marked-path/2000000000006")

    text = live.client().get("/metrics").text

    assert made.json()["assetId"] not in text and "marked-path" not in text
    assert 'route="/assets/{id:record}"' in text


def test_neither_log_nor_metrics_hold_what_is_personal(live: Live) -> None:
    """C9: nobody learns from them who was looked up."""
    mark = f"Mark{next(live.serials).replace('-', '')}"
    document = live.battery(assetName=mark, serialNumber=f"SN{mark}", ownerName=f"Owner {mark}", postcode="ZE1 0AA", friendlyCode=f"FC{mark}")
    contact = {"primaryContactFirstName": mark, "organisationEmail": f"{mark}@example.org", "primaryMobileNumber": "+447700900123"}
    client = live.client("fsp-a")

    made = client.post("/assets", json=document, headers=LD_JSON)
    client.post("/assets", json={**document, "ratedCapacity": "-1", "importMPAN": "2000000000777"}, headers={**LD_JSON, "Idempotency-Key": f"IK{mark}"})
    live.client("fsp-b").post("/assets", json=document, headers=LD_JSON)
    client.post("/assets/lookup", json={"scheme": "MPAN", "value": document["importMPAN"]})
    client.get("/assets", params={"importMPAN": document["importMPAN"], "x": mark})
    client.get(f"/{mark}/{document['importMPAN']}?{mark}", headers={"User-Agent": mark, "Referer": mark})
    client.get("/assets/export")
    live.ask("fsp-a", f'ASK {{ ?s ?p "{mark}" }}'), live.ask("fsp-a", f"not a query {mark}")
    live.client("operator").post("/organisations", json=organisation(f"Org {mark}", ["FSP"], **contact), headers=LD_JSON)

    said = live.log.read_text() + live.client().get("/metrics").text
    assert made.status_code == 201
    assert not [value for value in (mark, document["importMPAN"], document["exportMPAN"], "2000000000777", "ZE1 0AA", "+447700900123") if value in said]


def logged(live: Live, start: int, seconds: float = 10.0) -> dict[str, Any]:
    """The first line about a registration after a place in the log; it is written once the answer has been sent."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for line in live.log.read_bytes()[start:].decode().splitlines(keepends=True):
            if '"/assets"' in line and '"POST"' in line and line.endswith("\n"):
                told: dict[str, Any] = json.loads(line)
                return told
        time.sleep(0.05)
    raise AssertionError("nothing was logged")


def test_the_log_is_json_and_tells_who_did_what(live: Live) -> None:
    live.client().get("/healthz")
    time.sleep(0.2)
    start = live.log.stat().st_size

    live.register()

    told = logged(live, start)
    assert (told["status"], told["application"], told["organisation"]) == (201, "fsp-a", live.profiles["fsp-a"].organisation.rsplit("/", 1)[1])
    assert told["ms"] > 0


# -- rude connections


def spoken(url: str, *chunks: bytes, seconds: float = 3.0) -> bytes:
    """What the node says to these bytes until it closes, or until it has said nothing for `seconds`."""
    said = b""
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=seconds) as line:
        try:
            for chunk in chunks:
                line.sendall(chunk)
            while data := line.recv(65_536):
                said += data
        except (TimeoutError, ConnectionError):
            pass
    return said


POST = b"POST /sparql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/sparql-query\r\n"


@pytest.mark.parametrize("rest", [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nASK{}x",
    b"Content-Length: -1\r\n\r\nASK{}", b"Content-Length: +5\r\n\r\nASK{}", b"Content-Length: 99999999999999999999999\r\n\r\n", b"Content-Length: 5, 5\r\n\r\nASK{}",
    b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n\r\n", b"X: a\r\n b\r\nContent-Length: 5\r\n\r\nASK{}", b"X: a\x00b\r\nContent-Length: 5\r\n\r\nASK{}",
    b"X : a\r\nContent-Length: 5\r\n\r\nASK{}",
])  # fmt: skip
def test_a_request_that_can_be_read_twice_is_400(live: Live, rest: bytes) -> None:
    """B17: request smuggling."""
    assert spoken(live.url, POST + rest).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(("path", "media_type"), [("/sparql", "application/sparql-query"), ("/assets", "application/ld+json"), ("/assets/batch", "text/csv")])
def test_who_goes_away_while_sending_is_no_failure_of_the_node(live: Live, path: str, media_type: str) -> None:
    said = len(live.log.read_text())

    def cut() -> Iterator[bytes]:
        yield b"ASK"
        raise InterruptedError

    with pytest.raises(InterruptedError):
        live.client("fsp-a").post(path, content=cut(), headers={"Content-Type": media_type})

    def told() -> list[dict[str, Any]]:
        return [json.loads(each) for each in live.log.read_text()[said:].splitlines()]

    until = time.monotonic() + 5
    while not (met := [each for each in told() if each["event"] == "request" and each["route"].startswith(path)]) and time.monotonic() < until:
        time.sleep(0.02)
    assert [(each["status"], each["refused"]) for each in met] == [(400, "client-gone")]
    assert not [each for each in told() if each["level"] == "error"]


@pytest.mark.parametrize("line", [b"GET http://evil.example/healthz HTTP/1.1\r\n", b"GET /healthz#fragment HTTP/1.1\r\n", b"GET /healthz?%00 HTTP/1.1\r\n"])
def test_an_odd_target_is_read_as_its_path(live: Live, line: bytes) -> None:
    assert spoken(live.url, line + b"Host: x\r\nConnection: close\r\n\r\n").endswith(b"ok\n")


@pytest.mark.parametrize("path", [b"//healthz", b"//evil.example/", b"/codes/../healthz", b"/./healthz", b"/assets%2flookup/", b"/%2e%2e/healthz", b"*"])
def test_a_tricky_path_leads_nowhere(live: Live, path: bytes) -> None:
    said = spoken(live.url, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert said.split(b" ")[1] in (b"404", b"400")
    assert b"\r\nlocation:" not in said.lower()


@pytest.mark.parametrize(("head", "status"), [
    (b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"), (b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n", b"400"),
    (b"GET /healthz HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n", b"400"), (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
    (b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000 + b"\r\nConnection: close\r\n\r\n", b"431"), (b"GET /healthz HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", b"200"),
])  # fmt: skip
def test_a_request_names_one_host_and_its_head_is_bounded_also_where_it_comes_at_once(live: Live, head: bytes, status: bytes) -> None:
    """B17: a request that can be read twice is none."""
    assert spoken(live.url, head, seconds=8).split(b" ")[1] == status


@pytest.mark.parametrize("start", [b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: ", b"GET /", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_a_head_without_end_is_cut_off(live: Live, start: bytes) -> None:
    line = b"a" * 1000 if not start.endswith(b"x\r\n") else b"X: " + b"a" * 995 + b"\r\n"

    started = time.monotonic()

    said = spoken(live.url, start, *[line * 50] * 40, seconds=8)

    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
    assert time.monotonic() - started < 6, "it was not cut off, it was waited for"
    assert live.client().get("/healthz").status_code == 200


def test_a_head_that_is_large_but_not_too_large_is_read(live: Live) -> None:
    said = spoken(live.url, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"a" * 60_000 + b"\r\n\r\n")

    assert said.endswith(b"ok\n")


def test_many_requests_come_through_one_connection(live: Live) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 10_000 + b"\r\n\r\n"

    said = spoken(live.url, *[request] * 20, request.replace(b"Host: x", b"Host: x\r\nConnection: close"))

    assert said.count(b"HTTP/1.1 200 ") == 21


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that waits for nobody longer than a second."""
    with Live(tmp_path_factory.mktemp("hasty"), {}, FMAR_HEAD_SECONDS="1", FMAR_BODY_SECONDS="1", FMAR_FRESHNESS_SECONDS="2") as node:
        yield node


@pytest.mark.parametrize("start", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"GET"])
def test_who_does_not_finish_a_head_is_hung_up_on(hasty: Live, start: bytes) -> None:
    started = time.monotonic()

    said = spoken(hasty.url, start, seconds=4)

    assert said == b""
    assert 0.5 < time.monotonic() - started < 3


def test_who_does_not_finish_a_body_is_told_so(hasty: Live) -> None:
    said = spoken(hasty.url, POST + b"Content-Length: 50\r\n\r\nASK{}", seconds=4)

    assert said.startswith(b"HTTP/1.1 400 ") and b"did not arrive" in said


def test_who_waits_for_an_answer_is_not_hurried(hasty: Live) -> None:
    response = httpx.get(f"{hasty.url}/sparql?query=ASK{{}}", headers={"Fmar-Min-Journal-Index": "1000000"}, timeout=10)

    assert response.json()["code"] == "graph-behind"


def test_a_second_node_on_the_same_folder_is_refused_and_harms_nothing(hasty: Live, tmp_path: Path) -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "fmar_node.cli", "serve", "--data", str(hasty.folder), "--port", "1"]

    second = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert second.returncode == 1 and "another node is running on this folder" in second.stderr
    assert "Traceback" not in second.stderr
    assert httpx.get(f"{hasty.url}/sparql", params={"query": "ASK { ?s ?p ?o }"}).json()["boolean"] is True
