"""`fmar agent`: plain tools reach the node through it, web pages of other origins do not."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from fmar_node.cli.agent import agent_app
from fmar_node.client import Profile, new_key

from .conftest import ORGANISATION, LiveNode, Served

QUERY = "SELECT * WHERE { ?s ?p ?o }"


def _serve(profile: Profile) -> Served:
    served = Served("on")
    served.start(agent_app(profile))
    return served


@pytest.fixture(scope="session")
def running_agent(profile: Profile) -> Iterator[str]:
    served = _serve(profile)
    yield served.address
    served.stop()


@pytest.fixture
def agent(running_agent: str, live: LiveNode) -> str:
    """The address of an agent of `live`."""
    return running_agent


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
def test_any_method_path_query_and_body_passes_as_it_is(agent: str, method: str) -> None:
    answer = httpx.request(method, f"{agent}/a%20b/%7Bx%7D?q=%2F&q=a+b&r", content=b"\x00\xffbody")

    assert answer.json() == {
        "method": method, "path": "/a%20b/%7Bx%7D", "query": "q=%2F&q=a+b&r", "body": "\x00\xffbody", "organisation": ORGANISATION,
    }  # fmt: skip
    assert answer.headers["Fmar-Journal-Index"] == "7"


def test_head_passes_without_a_body(agent: str) -> None:
    answer = httpx.head(f"{agent}/assets")

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["Content-Length"]) > 0


def test_a_plain_sparql_tool_works(agent: str) -> None:
    """The request that SPARQLWrapper makes: urllib, a form, an Accept header."""
    form = urlencode({"query": QUERY}).encode()
    request = urllib.request.Request(f"{agent}/sparql", form, {"Accept": "application/sparql-results+json", "User-Agent": "sparqlwrapper 2.0.0"})

    with urllib.request.urlopen(request) as answer:
        said = json.load(answer)

    assert (said["organisation"], said["body"]) == (ORGANISATION, form.decode())


def test_sparqlwrapper_works(agent: str) -> None:
    wrapper = pytest.importorskip("SPARQLWrapper", reason="sparqlwrapper is in the dev group")
    sparql = wrapper.SPARQLWrapper(f"{agent}/sparql", returnFormat=wrapper.JSON)
    sparql.setQuery(QUERY)

    assert sparql.query().convert()["organisation"] == ORGANISATION


def test_a_tools_headers_pass_but_not_its_credential_nor_what_belongs_to_the_connection(agent: str, live: LiveNode) -> None:
    sent = {"Accept": "text/turtle", "X-Own": "1", "Authorization": "Bearer x", "DPoP": "y", "Connection": "close, X-Hop", "X-Hop": "1", "TE": "trailers"}

    assert httpx.get(f"{agent}/assets", headers=sent).status_code == 200

    got = [(name.decode(), value.decode()) for name, value in live.headers[-1]]
    assert {("accept", "text/turtle"), ("x-own", "1"), ("host", urlsplit(live.desk.base).netloc)} <= set(got)
    assert not {"x-hop", "te"} & {name for name, _ in got}
    assert [value.split()[0] for name, value in got if name == "authorization"] == ["DPoP"]


def test_large_bodies_stream_through(agent: str) -> None:
    size = 3_000_000

    answer = httpx.post(f"{agent}/assets/batch", content=(b"x" * 100_000 for _ in range(30)))

    assert len(answer.json()["body"]) == size
    assert len(httpx.post(f"{agent}/assets/batch", content=b"y" * size).json()["body"]) == size


def test_an_answer_streams_while_it_is_made(agent: str, live: LiveNode) -> None:
    with httpx.stream("GET", f"{agent}/stream") as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        live.may_end.set()
        rest = b"".join(chunks)

    assert (first, rest) == (b"first\n", b"last\n")


def test_only_the_headers_that_are_addresses_are_rewritten(agent: str, live: LiveNode) -> None:
    answer = httpx.get(f"{agent}/moved")

    base = live.desk.base
    assert answer.headers["Location"] == f"{agent}/assets/1"
    assert answer.headers["Content-Location"] == f"{agent}/assets/3"
    assert answer.headers["Link"] == f'<{agent}/assets/2>; rel="next", <{base}0/x>; rel="other"'
    assert answer.text == base


def test_a_refused_token_is_renewed_behind_the_tools_back(agent: str, live: LiveNode) -> None:
    assert httpx.get(f"{agent}/assets").status_code == 200
    live.forget_tokens = True

    assert httpx.post(f"{agent}/assets", content=b"once").json()["body"] == "once"


def _status(agent: str, *headers: tuple[str, str]) -> tuple[int, dict[str, Any]]:
    """The status of a request with exactly these headers."""
    link = http.client.HTTPConnection(urlsplit(agent).netloc)
    link.putrequest("GET", "/assets", skip_host=True)
    for name, value in headers:
        link.putheader(name, value)
    link.endheaders()
    answer = link.getresponse()
    content = json.load(answer)
    link.close()
    return answer.status, content


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8090", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example", "evil.example@127.0.0.1", "10.0.0.1", "0.0.0.0", "[::2]", "", "%"])
def test_a_host_that_is_not_loopback_is_refused(agent: str, live: LiveNode, host: str) -> None:
    status, problem = _status(agent, ("Host", host))

    assert (status, problem["type"]) == (403, f"{live.desk.base}/problems/agent-refused")
    assert live.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "[::1]:80", "127.0.0.2", "LOCALHOST"])
def test_a_loopback_host_is_served(agent: str, host: str) -> None:
    assert _status(agent, ("Host", host))[0] == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://", "", "http://localhost@evil.example"])
def test_an_origin_that_is_not_loopback_is_refused(agent: str, live: LiveNode, origin: str) -> None:
    status, problem = _status(agent, ("Host", "127.0.0.1"), ("Origin", origin))

    assert (status, problem["status"]) == (403, 403)
    assert live.requests == []
    assert _status(agent, ("Host", "127.0.0.1"), ("Origin", "http://localhost:9000"))[0] == 200


def test_a_request_that_a_browser_marks_as_cross_site_is_refused(agent: str) -> None:
    assert _status(agent, ("Host", "127.0.0.1"), ("Sec-Fetch-Site", "cross-site"))[0] == 403
    assert _status(agent, ("Host", "127.0.0.1"), ("Sec-Fetch-Site", "same-origin"))[0] == 200


def test_an_unreachable_node_is_a_502_that_says_so(profile: Profile) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
    served = _serve(replace(profile, node=gone, token_endpoint=f"{gone}/oauth/token"))

    answer = httpx.get(f"{served.address}/assets")
    served.stop()

    assert (answer.status_code, answer.headers["Content-Type"]) == (502, "application/problem+json")
    assert answer.json()["type"].endswith("/problems/node-unreachable")
    assert gone in answer.json()["detail"]


def test_a_refused_credential_is_a_502_with_the_reason(agent: str, live: LiveNode) -> None:
    assert httpx.get(f"{agent}/assets").status_code == 200
    live.desk.directory.revoke(live.desk.key)

    answer = httpx.get(f"{agent}/assets")

    assert (answer.status_code, answer.json()["type"]) == (502, f"{live.desk.base}/problems/invalid-client")
    assert "revoked" in answer.json()["detail"] and "fmar key rotate" in answer.json()["detail"]


def test_a_key_that_was_rotated_meanwhile_is_read_from_the_profile(profile: Profile, live: LiveNode) -> None:
    fresh = replace(profile, key=new_key())
    served = Served("on")
    served.start(agent_app(profile, read=lambda: fresh))
    assert httpx.get(f"{served.address}/assets").status_code == 200
    live.desk.directory.register("app-a", fresh.key)
    live.desk.directory.revoke(live.desk.key)

    answers = [httpx.post(f"{served.address}/assets", content=content) for content in (b"once", (each for each in (b"in ", b"parts")))]
    served.stop()

    assert [answer.json()["body"] for answer in answers] == ["once", "in parts"]


def test_the_agent_serves_on_loopback_until_it_is_stopped(live: LiveNode, folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from fmar_node.cli.agent import serve_agent; from fmar_node.client import Profile\n"
        "serve_agent(Profile.load(Path(sys.argv[1])), 0, lambda address: print(address, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True) as running:
        address = running.stdout.readline().strip()
        answer = httpx.get(f"{address}/assets")
        listening = _listeners(running.pid)
        running.send_signal(signal.SIGTERM)
        ended = running.wait(10)

    assert address.startswith("http://127.0.0.1:")
    assert answer.json()["organisation"] == ORGANISATION
    assert listening in ({"0100007F"}, None)
    assert ended in (0, -signal.SIGTERM)


def _listeners(pid: int) -> set[str] | None:
    """The local addresses on which a process listens, in the kernel's hexadecimal; None where the kernel does not say."""
    folder = Path(f"/proc/{pid}")
    if not folder.exists():
        return None
    sockets = {str(each.readlink()) for each in (folder / "fd").iterdir() if each.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in (folder / "net" / name).read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def test_a_port_that_is_taken_is_an_error(profile: Profile) -> None:
    from fmar_node.cli.agent import serve_agent

    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        serve_agent(profile, taken.getsockname()[1], lambda _: None)
