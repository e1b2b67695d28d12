"""Behind nginx, with the configuration file that is shipped: proofs hold, what is streamed is streamed, what is long is waited for."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator

import pytest

from tests.live import LD_JSON, free_port
from tests.operation.proxies import INSTALLED, proxy
from tests.operation.secure import Authority, Secure

pytestmark = pytest.mark.skipif("nginx" not in INSTALLED, reason="nginx is not installed")


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    """A node on plain loopback, and nginx before it with TLS."""
    authority, port = Authority(tmp_path_factory.mktemp("authority")), free_port()
    node = Secure(tmp_path_factory.mktemp("behind"), authority, port, FMAR_QUERY_SECONDS="30", FMAR_TRUSTED_PROXIES="127.0.0.1")
    with proxy("nginx", tmp_path_factory.mktemp("proxy"), node.behind, authority, port), node:
        yield node


def test_proofs_hold_for_writing_reading_and_asking(proxied: Secure) -> None:
    made = proxied.register()
    client = proxied.client("fsp-a")

    index = int(made.headers["Fmar-Journal-Index"])
    assert client.get(made.headers["Location"]).status_code == 200
    assert client.patch(made.headers["Location"], json={"friendlyCode": "N-1"}, headers={"Content-Type": "application/merge-patch+json", "If-Match": made.headers["ETag"]}).status_code == 200
    assert client.get("/assets", params={"managed": "me", "limit": "1"}).status_code == 200
    assert proxied.rows("fsp-a", "SELECT ?s WHERE { ?s ?p ?o } LIMIT 1", after=index)
    assert client.request("QUERY", "/sparql", content=b"ASK { ?s ?p ?o }", headers={"Content-Type": "application/sparql-query"}).json()["boolean"]


def test_a_batch_that_is_sent_slowly_is_taken_row_by_row(proxied: Secure) -> None:
    def rows() -> Iterator[bytes]:
        for _ in range(3):
            yield json.dumps(proxied.battery()).encode() + b"\n"
            time.sleep(0.1)

    with proxied.client("fsp-a").stream("POST", "/assets/batch", content=rows(), headers={"Content-Type": "application/x-ndjson"}) as response:
        lines = [json.loads(line) for line in response.iter_lines()]

    assert [line["outcome"] for line in lines if "row" in line][:3] == ["created"] * 3


def test_an_export_comes_in_pieces_and_whole(proxied: Secure) -> None:
    for _ in range(3):
        proxied.register()

    with proxied.client("fsp-a").stream("GET", "/assets/export", headers={"Accept": "application/n-quads"}) as response:
        text = "".join(response.iter_text())

    assert response.headers.get("Transfer-Encoding") == "chunked"
    assert text.count("assetName") >= 3 and text.endswith("\n")


def test_a_query_that_runs_long_is_waited_for(proxied: Secure) -> None:
    heavy = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{proxied.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }} }}"
    started = time.monotonic()

    response = proxied.client("fsp-a").get("/sparql", params={"query": heavy, "timeout": "1"})

    assert response.json()["code"] == "query-timeout" and time.monotonic() - started > 0.9


def test_large_heads_and_request_ids_come_through(proxied: Secure) -> None:
    response = proxied.client("fsp-a").get("/assets?managed=me", headers={"X-Long": "a" * 20_000})

    assert response.status_code == 200
    assert re.fullmatch("[0-9a-f]{32}", response.headers["Fmar-Request-Id"]), "nginx gives the id"


def test_metrics_are_not_for_the_world(proxied: Secure) -> None:
    assert proxied.client("fsp-a").get("/metrics").status_code == 403


def test_a_document_of_the_wrong_form_is_refused_by_the_node(proxied: Secure) -> None:
    response = proxied.client("fsp-a").post("/assets", content=b"x" * 300_000, headers=LD_JSON)

    assert response.status_code == 413 and response.json()["code"] == "body-too-large"
