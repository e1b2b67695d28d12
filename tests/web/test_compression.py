"""Answers compressed for clients that take it: the same bytes inside, streams that go on, and tags that stay true."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import httpx
import pytest

from fmar_node.web.compression import Compressed, takes_gzip
from tests.live import Live

LONG = "SELECT * { ?s ?p ?o } ORDER BY ?s ?p ?o LIMIT 400"


def raw(live: Live, path: str, name: str = "fsp-a", **headers: str) -> tuple[httpx.Response, bytes]:
    with live.client(name).stream("GET", path, headers=headers) as response:
        return response, b"".join(response.iter_raw())


@pytest.mark.parametrize("accept", ["application/sparql-results+json", "application/sparql-results+xml", "text/csv", "text/tab-separated-values"])
def test_the_same_bytes_are_inside(live: Live, accept: str) -> None:
    live.register()
    path = f"/sparql?query={LONG.replace(' ', '+').replace('?', '%3F')}"

    plain, body = raw(live, path, Accept=accept, **{"Accept-Encoding": "identity"})
    packed, small = raw(live, path, Accept=accept, **{"Accept-Encoding": "gzip"})

    assert "Content-Encoding" not in plain.headers and packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small) == body
    assert len(small) < len(body) / 2
    assert "Accept-Encoding" in plain.headers["Vary"] and "Accept-Encoding" in packed.headers["Vary"]


def test_what_has_a_tag_is_left_as_it_is(live: Live) -> None:
    """A tag is good for the bytes that came with it, and a condition needs a strong one."""
    location = live.register("fsp-a").headers["Location"]
    for path in (location, "/ontology", "/context/v1"):
        response, _ = raw(live, path, **{"Accept-Encoding": "gzip"})

        assert "Content-Encoding" not in response.headers and response.headers["ETag"].startswith('"')


@pytest.mark.parametrize(("path", "method"), [("/healthz", "GET"), ("/sparql", "HEAD"), ("/signin", "GET")])
def test_what_is_small_or_without_a_body_or_not_to_be_kept_is_left_alone(live: Live, path: str, method: str) -> None:
    assert "Content-Encoding" not in live.client().request(method, path, headers={"Accept-Encoding": "gzip"}).headers


def test_tokens_are_never_compressed(live: Live) -> None:
    refused = live.client().post("/oauth/token", data={"grant_type": "client_credentials", "scope": "x" * 5_000}, headers={"Accept-Encoding": "gzip"})

    assert refused.status_code == 400 and refused.headers["Cache-Control"] == "no-store"
    assert "Content-Encoding" not in refused.headers


@pytest.mark.parametrize(("header", "expected"), [
    ("gzip", True), ("GZIP;q=0.5", True), ("br, *;q=0.1", True), ("x-gzip", True),
    ("", False), ("br", False), ("gzip;q=0", False), ("*, gzip;q=0.0", False), ("identity", False), (";;,gzip;q=x", False),
])  # fmt: skip
def test_who_takes_it(header: str, expected: bool) -> None:
    assert takes_gzip(header) is expected


def answered(pieces: list[bytes], is_broken: bool = False) -> list[dict[str, Any]]:
    """What a client is sent of an answer in pieces, which breaks off perhaps."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]})
        for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if is_broken:
            raise ConnectionError
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": "GET", "headers": [(b"accept-encoding", b"gzip")]}
    try:
        asyncio.run(Compressed(app)(scope, None, send))  # type: ignore[arg-type]
    except ConnectionError:
        assert is_broken
    return sent


def test_each_piece_can_be_read_when_it_comes() -> None:
    reader = zlib.decompressobj(31)

    read = [reader.decompress(message["body"]) for message in answered([b"a,b\r\n", b"1,2\r\n", b"3,4\r\n"])[1:]]

    assert read == [b"a,b\r\n", b"1,2\r\n", b"3,4\r\n", b""]
    assert reader.eof


def test_a_broken_stream_has_no_end() -> None:
    sent = answered([b"a,b\r\n", b"1,2\r\n"], is_broken=True)

    reader = zlib.decompressobj(31)
    assert b"".join(reader.decompress(message["body"]) for message in sent[1:]) == b"a,b\r\n1,2\r\n"
    assert not reader.eof and sent[-1]["more_body"]


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_an_answer_that_breaks_off_is_noticed_over_http(live: Live, encoding: str) -> None:
    """More rows than may be: found when 200 has long been said, so the connection breaks, inside the compressed stream too."""
    rows = " ".join(f"VALUES ?v{place} {{ {' '.join(map(str, range(30)))} }}" for place in range(5))
    sent = {"Content-Type": "application/sparql-query", "Accept": "text/csv", "Accept-Encoding": encoding}
    reader, read = zlib.decompressobj(31), 0

    with pytest.raises(httpx.RemoteProtocolError), live.client("fsp-c").stream("POST", "/sparql", content=f"SELECT * {{ {rows} }}".encode(), headers=sent) as response:
        assert response.status_code == 200
        for chunk in response.iter_raw():
            read += len(reader.decompress(chunk) if encoding == "gzip" else chunk)

    assert read > 1_000_000 and not reader.eof
    log = live.log.read_text()
    assert "an answer was broken off: query-too-many-rows" in log and "RuntimeError" not in log and "Exception in ASGI" not in log
