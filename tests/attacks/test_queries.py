"""Attacks by queries and by whatever a request says, B1 to B5: what the gate and the pool refuse in one process stands in tests/store."""

from __future__ import annotations

import ast
import itertools
import json
import re
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

import fmar_node
from fmar_node.client import public_part
from fmar_node.errors import PROBLEMS
from fmar_node.vocabulary import packaged
from tests.access.test_access_token import Listener
from tests.attacks.test_documents import LD_JSON, MERGE, N_TRIPLES, NDJSON, TURTLE, entries
from tests.killing import JUDGE, WORKER, WRITER, children
from tests.live import Live

# -- B1: injection


PAYLOADS = [
    "'", '"', "' OR '1'='1", "'; DROP TABLE record;--", "1; SELECT load_extension('x')", "' UNION SELECT body FROM section--", "\\' OR 1=1 --", "%' OR '%'='", "') OR ('1'='1",
    '"} DROP ALL #', '" . ?s ?p ?o } #', "> ?p ?o . <urn:x", "?x } UNION { ?s ?p ?o", '"""', "'''", "\\u0022 } #", '"@en . ?s ?p ?o', "$s", "?s", "<urn:fmar:state>", "} GRAPH ?g { ?s ?p ?o",
    "*", "%", "_", "[]", "{}", "null", "true", "-1", "1e9", "../../etc/passwd", "..%2f..%2f", "/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:1/", "${7*7}", "{{7*7}}", "#{7*7}",
    "<script>alert(1)</script>", "=1+1", "@x", "\t", "a b", "a\u00a0b", "\u202e", "\u0131", "é", "\U0001f600", "a" * 300, "a,b", "a;b", "a&b=c", "a=b", "a#b", "a?b", "a|b", "`id`", "$(id)", "|id",
]  # fmt: skip
QUIET = frozenset({400, 404, 405, 406, 412, 415, 422, 428, 431})


def sayable(payload: str) -> bytes:
    """A payload as a header can carry it."""
    return payload.encode("utf-8").replace(b"\t", b" ").strip() or b"x"


def requests_with(payload: str, iri: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The payload in every parameter that is read: in the query, the path, the headers, the body."""
    for name in (
        "cursor", "limit", "managed", "format", "friendlyCode", "owner", "managedBy", "assetCategory", "registrationStatus", "gspGroup", "dnoConnection", "standing", payload,
    ):  # fmt: skip
        yield "GET", "/assets", {"params": {name: payload}}
    for name in ("at", "version", "format"):
        yield "GET", iri, {"params": {name: payload}}
    for name in ("default-graph-uri", "named-graph-uri", "timeout", "format"):
        yield "GET", "/sparql", {"params": {"query": "ASK {}", name: payload}}
    quoted = httpx.QueryParams({"": payload})
    for path in ("/assets/{}", "/codes/{}", "/shapes/{}", "/problems/{}", "/journal/tile/{}", "/journal/entries/{}", "/assets/{}/history", "/{}"):
        yield "GET", path.format(str(quoted)[1:].replace("+", "%20")), {}
    for name in ("Accept", "If-None-Match", "Fmar-Min-Journal-Index", "X-Request-Id", "Prefer", "Accept-Language", "Origin", "X-Forwarded-For", "Forwarded"):
        yield "GET", "/assets?limit=1", {"headers": {name: sayable(payload)}}
    yield "POST", "/assets/lookup", {"json": {"scheme": payload, "value": payload}}
    for scheme in ("MPAN", "SERIAL", "FRIENDLY_CODE", "ECR", "EVSE"):
        yield "POST", "/assets/lookup", {"json": {"scheme": scheme, "value": payload, "manufacturer": payload}}
    yield "PATCH", iri, {"content": b"{}", "headers": {"Content-Type": MERGE, "If-Match": sayable(payload)}}
    yield "POST", "/assets", {"content": b"{}", "headers": {"Content-Type": sayable(payload)}}
    yield "POST", "/oauth/token", {"data": {"grant_type": payload, "client_id": payload, "client_assertion": payload, "scope": payload}}


EACH = [pytest.param(7, id="a seventh"), pytest.param(1, id="all", marks=pytest.mark.campaign)]


@pytest.mark.parametrize("share", EACH)
def test_whatever_a_parameter_says_it_is_a_value(live: Live, share: int) -> None:
    """B1: no payload in any parameter finds a record, breaks anything, or is written; `share`: every so manieth of the requests."""
    mine, hidden = live.register("fsp-a").json()["id"], live.register("fsp-b").json()["id"].rsplit("/", 1)[1]
    size, wrong = entries(live), []
    for offset, payload in enumerate(PAYLOADS):
        for method, url, given in itertools.islice(requests_with(payload, mine), offset % share, None, share):
            response = live.client("fsp-a").request(method, url, **given)
            if response.status_code >= 500 or hidden in response.text:
                wrong.append((method, url, given, response.status_code, response.text[:200]))
            if response.status_code >= 400 and (response.status_code not in QUIET | {401, 503} or response.json()["code"] not in PROBLEMS):
                wrong.append((method, url, given, response.status_code, response.text[:200]))

    assert wrong == []
    assert entries(live) == size


def test_a_friendly_code_is_no_injection(live: Live) -> None:
    """B1: it is letters, digits, dots, underscores and hyphens."""
    for code in ("\"} DROP ALL #", "' OR '1'='1", "%", "*", "a\\", "?s", "<urn:x>", "a b", "a'b", "a;b", "é", "a\n", "-a", ".a"):
        response = live.client("fsp-a").post("/assets", json=live.battery(friendlyCode=code))
        assert (response.status_code, {each["code"] for each in response.json()["errors"]} <= {"Asset.friendlyCode", "literal-ill-formed"}) == (422, True), response.text


def test_a_text_is_found_by_itself_and_nothing_else_is(live: Live) -> None:
    """B1: a manufacturer and an identifier that are injections are registered, looked up and queried as the texts that they are."""
    for payload in ("\"} DROP ALL #", "' OR '1'='1", "%_%", "*", "a\\", "?s ?p ?o", "<urn:x>", "'''\"\"\"", "${x}", "é\u0301"):
        name = f"{payload}{next(live.serials)}"
        iri = live.register(manufacturer=name, alias=[{"scheme": "ECR", "value": name}]).json()["id"]

        found = live.client("fsp-a").post("/assets/lookup", json={"scheme": "ECR", "value": name}).json()["items"]
        text = json.dumps(name, ensure_ascii=False)
        asked = live.rows("fsp-a", f"PREFIX fmar: <https://w3id.org/fmar/ns#> SELECT ?s {{ ?s fmar:manufacturer {text} }}", after=entries(live) - 1)
        assert [each["id"] for each in found] == [each["s"] for each in asked] == [iri], name


KEYWORD = re.compile(r"\b(SELECT|INSERT|DELETE|UPDATE|ASK|CONSTRUCT|WHERE|DROP)\b")
FROM_HERE = frozenset({
    "places", "schema", "FORMAT", "table", "clauses", "newest", "columns", "theirs", "ours", "column", "', '.join('?' * len(row))", "gone", "bound", "smaller", "larger", "most + 1", "', '.join('?' * len(KEPT))",
    "state.block(each)", "state.block(index)", "kind.lower()", "COLUMNS", "condition", "differs",
    "FORMERLY if is_former else AT_PRESENT", "','.join('?' * len(named))", "_first(flying)", "which", "kept", "value", "older", "old", "many", "' AND '.join(['e.idx > ?1 AND e.idx <= ?2', *clauses])", "plan", "','.join('?' * len(ids))",
    "graph", "FMAR", "' '.join((f'?{term}' for term in terms))", "ox.Literal(reference)", "CODES", "SCHEME", "wanted", "MOST",
    "own.format('manager')", "own.format('owner')", "own.format('manager', places)", "own.format('owner', places)",
})  # fmt: skip
"""What statements are put together from: names of tables and columns, question marks, whole numbers; all of them the node's own, and a literal that the engine has written."""


def test_no_statement_is_put_together_from_what_somebody_sent() -> None:
    """B1: every SQL and SPARQL statement in the package that has holes in its text, and what goes into them."""
    root = Path(fmar_node.__file__).parent
    filled = set()
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr) and KEYWORD.search("".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))):
                filled |= {ast.unparse(part.value) for part in node.values if isinstance(part, ast.FormattedValue)}

    assert filled - FROM_HERE == set()


# -- B2: nobody is visited


def test_no_query_visits_an_address(live: Live) -> None:
    """B2: SERVICE, LOAD and FROM, plain, hidden, in the parameters of the protocol: a listener sees no connection."""
    with Listener() as listener:
        url = listener.url
        texts = [
            f"SELECT * {{ SERVICE <{url}> {{ ?s ?p ?o }} }}", f"SELECT * {{ SERVICE SILENT <{url}> {{}} }}", f"SELECT * {{ VALUES ?u {{ <{url}> }} SERVICE ?u {{ ?s ?p ?o }} }}",
            f"SELECT * {{ {{ SELECT * {{ SERVICE <{url}> {{}} }} }} }}", f"ASK {{ FILTER EXISTS {{ SERVICE <{url}> {{}} }} }}", f"ASK {{ OPTIONAL {{ SERVICE <{url}> {{}} }} }}", f"LOAD <{url}>",
            f"PREFIX a: <{url}> SELECT * {{ SERVICEa:{{}} }}", f"CONSTRUCT {{ ?s ?p ?o }} {{ SERVICE <{url}> {{ ?s ?p ?o }} }}", f"SELECT * FROM <{url}> {{ ?s ?p ?o }}", f"SELECT * FROM NAMED <{url}> {{ GRAPH ?g {{}} }}",
            f"SELECT * {{ GRAPH <{url}> {{ ?s ?p ?o }} }}", f"DESCRIBE <{url}>", f"BASE <{url}> SELECT * FROM <> {{ ?s ?p ?o }}", f"INSERT DATA {{ <{url}> <{url}> 1 }}", f"SELECT * {{ S\\u0045RVICE <{url}> {{}} }}",
        ]  # fmt: skip
        for text in texts:
            assert live.ask("fsp-a", text).status_code < 500
            for name in ("default-graph-uri", "named-graph-uri"):
                live.client("fsp-a").get("/sparql", params={"query": "SELECT * { ?s ?p ?o } LIMIT 1", name: url})
        document = live.battery(owner=url, alias=[{"scheme": "ECR", "value": url}])
        for media_type, body in ((LD_JSON, json.dumps(document)), (TURTLE, f"<{url}> a <{url}> ."), (N_TRIPLES, f"<{url}> <{url}> <{url}> .")):
            live.client("fsp-a").post("/assets", content=body, headers={"Content-Type": media_type})
        seen = listener.hits

    assert seen == 0


# -- B3: queries that do not end


CODES = "GRAPH <{base}/codes>"
BOMBS = {
    "cartesian product": f"SELECT (COUNT(*) AS ?n) {{{{ {CODES} {{{{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }}}} }}}}",
    "paths of anything": f"SELECT (COUNT(*) AS ?n) {{{{ {CODES} {{{{ ?s (<x:p>|!<x:p>)* ?o . ?o (<x:p>|!<x:p>)* ?x . ?a (<x:p>|!<x:p>)* ?b . ?c (<x:p>|!<x:p>)* ?d }}}} }}}}",
    "ten optionals": f"SELECT (COUNT(*) AS ?n) {{{{ {CODES} {{{{ ?s ?p ?o " + " ".join(f"OPTIONAL {{{{ ?s{n} ?p{n} ?o{n} }}}}" for n in range(10)) + " }} }}",
    "a huge order": f"SELECT * {{{{ {CODES} {{{{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }}}} }}}} ORDER BY ?c ?f ?i",
    "a huge group": f"SELECT (GROUP_CONCAT(?c) AS ?x) {{{{ {CODES} {{{{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }}}} }}}}",
    "doubling": "SELECT ?x40 {{ BIND('xxxxxxxxxxxxxxxx' AS ?x0) " + " ".join(f"BIND(CONCAT(?x{n}, ?x{n}) AS ?x{n + 1})" for n in range(40)) + " }}",
    "a huge set": f"SELECT DISTINCT ?c ?f ?i {{{{ {CODES} {{{{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }}}} }}}}",
    "exists in exists": f"SELECT (COUNT(*) AS ?n) {{{{ {CODES} {{{{ ?a ?b ?c . ?d ?e ?f FILTER NOT EXISTS {{{{ ?g ?h ?i . ?j ?k ?l FILTER(STR(?i) = CONCAT(STR(?c), STR(?l), STR(?f))) }}}} }}}} }}}}",
}  # fmt: skip


def bomb(live: Live, name: str, text: str, seconds: str) -> httpx.Response:
    return live.client(name).get("/sparql", params={"query": text.replace("{{", "{").replace("}}", "}").replace("{base}", live.url), "timeout": seconds})


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_ends_at_its_deadline_and_others_are_answered(live: Live, kind: str) -> None:
    """B3: refused with its reason, while light queries of others go on."""
    light: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(bomb, live, "fsp-b", BOMBS[kind], "0.6")
        while not running.done():
            began = time.perf_counter()
            assert live.ask("fsp-a", "ASK { ?s ?p ?o }").status_code == 200
            light.append(time.perf_counter() - began)

    with suppress(httpx.RemoteProtocolError):  # rows that were on their way are broken off
        answer = running.result()
        assert answer.status_code in (503, 413), answer.text
        assert answer.json()["code"] in ("query-timeout", "query-out-of-memory", "query-too-many-rows", "query-too-complex")
    assert max(light) < 2 and live.process.poll() is None


@pytest.mark.campaign
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("bombers", [("fsp-b",), ("fsp-b", "fsp-c"), ("fsp-b", "fsp-c", "dso-east")], ids=["one", "as-many-as-workers", "more"])
def test_bombs_slow_light_queries_a_little(live: Live, bombers: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """B3: all bombs one after the other, light queries of another organisation meanwhile: the 99th percentile, with and without."""
    def light(count: int) -> list[float]:
        seconds = []
        for _ in range(count):
            began = time.perf_counter()
            assert live.ask("fsp-a", "ASK { ?s ?p ?o }").status_code == 200
            seconds.append(time.perf_counter() - began)
            time.sleep(0.03)  # within the rate of one organisation
        return seconds

    light(50)
    quiet, loud = light(400), list[float]()
    with ThreadPoolExecutor(len(bombers)) as pool:
        running = [pool.submit(bomb, live, name, text, "3") for text in BOMBS.values() for name in bombers]
        while not all(each.done() for each in running):
            loud += light(10)

    cuts = [statistics.quantiles(seconds, n=100) for seconds in (quiet, loud)]
    with capsys.disabled():
        for name, seconds, cut in zip(("quiet", "loud"), (quiet, loud), cuts, strict=True):
            print(f"\n{name}: {len(seconds)} queries, p50 {cut[49] * 1000:.1f} ms, p99 {cut[98] * 1000:.1f} ms, max {max(seconds) * 1000:.1f} ms")
    assert len(loud) >= 100 and cuts[1][49] < 4 * cuts[0][49] and cuts[1][98] < 0.5


# -- B4: patterns


def patterns() -> list[str]:
    texts = [file.read_text("utf-8") for file in packaged("shapes").glob("*.ttl")]
    return sorted({json.loads(f'"{found}"') for text in texts for found in re.findall(r'sh:pattern "((?:[^"\\]|\\.)*)"', text)})


@pytest.mark.parametrize("pattern", patterns())
def test_a_pattern_of_the_shapes_takes_linear_time(pattern: str) -> None:
    """B4: the longest text that a document may have, of whatever the pattern likes, with something behind it that it does not."""
    letters = sorted({*"a0A-. +@:/_x", *re.sub(r"[\\^$*+?{}()|\[\]]", "", pattern)})
    for unit in (*letters, "a.", "a-", "1 ", "aA0", "a@", "://", "0." * 3):
        text = (unit * 4_096)[:4_095] + "\x00"
        began = time.process_time()
        re.search(pattern, text)
        assert time.process_time() - began < 0.05, (pattern, unit)


def test_a_pattern_in_a_query_takes_no_time_or_is_refused(live: Live) -> None:
    """B4: nested repeats are linear in the engine; counted ones that would fill memory are refused, and cost nobody anything."""
    for pattern, subject in (("^(a+)+$", "a" * 5_000 + "!"), ("(a|aa)+$", "a" * 5_000 + "!"), ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 5_000), ("(x+x+)+y", "x" * 5_000)):
        began = time.perf_counter()
        response = live.ask("fsp-a", f'ASK {{ FILTER(REGEX("{subject}", "{pattern}")) }}')
        assert (response.status_code, time.perf_counter() - began < 2) == (200, True), response.text
    for pattern in ("((a{1,1000}){1,1000}){1,1000}", "(((a{100}){100}){100}){100}", "(" * 60 + "a" + ")" * 60, "[" * 1_000, "\\p{L}" * 5_000, "a{99999999999}"):
        response = live.ask("fsp-a", f'ASK {{ FILTER(REGEX("aaaa", "{pattern}")) }}')
        assert response.status_code in (200, 400, 413, 503), response.text
    assert live.ask("fsp-a", "ASK {}").status_code == 200


# -- B5: depth


DEEP = 1_000_000


def processes(live: Live) -> dict[str, list[int]]:
    return {name: children(live, name) for name in (WRITER, JUDGE, WORKER)} | {"web": [live.process.pid]}


def test_a_million_levels_end_no_process(live: Live) -> None:
    """B5: brackets of every kind, wherever text is parsed: refused, and each process is the one that it was."""
    live.ask("fsp-a", "ASK {}")
    iri, home = live.register().json()["id"], live.profiles["fsp-a"].organisation
    settle(live)
    before = processes(live)
    attacks = [
        *(("POST", "/sparql", "application/sparql-query", "ASK {" + unit * (DEEP // len(unit))) for unit in ("{", "(", "[", "!", "||1", "UNION{}", "<<", "OPTIONAL{")),
        *((method, url, media_type, unit * (200_000 // len(unit)))
          for method, url, media_type in (("POST", "/assets", LD_JSON), ("PUT", iri, LD_JSON), ("PATCH", iri, MERGE), ("POST", f"{iri}/deregistration", LD_JSON), ("POST", "/assets/lookup", LD_JSON))
          for unit in ("[", '{"a":', '{"device":[')),
        *(("POST", "/assets", TURTLE, f"<> <x:p> {unit * (200_000 // len(unit))}") for unit in ("[ <x:p> ", "( ", "<< ", "<<( ")),
        *(("POST", "/assets/batch", media_type, unit * (DEEP // len(unit))) for media_type in (NDJSON, LD_JSON) for unit in ("[", '{"a":')),
        ("POST", f"{home}/key-registration", LD_JSON, json.dumps({"clientId": "deep", "publicKey": '{"a":' * 40_000})),
        ("POST", f"{home}/key-registration", LD_JSON, json.dumps({"clientId": "deep", "publicKey": json.dumps({**public_part(live.profiles["fsp-b"].key), "x": "A" * 100_000})})),
    ]  # fmt: skip

    for method, url, media_type, body in attacks:
        response = live.client("fsp-a").request(method, url, content=body, headers={"Content-Type": media_type, "If-Match": "*"})
        answered = json.loads(response.text.splitlines()[0])["status"] if response.status_code == 200 else response.status_code
        assert answered in (400, 413, 415, 422), (method, url, media_type, body[:30], response.text[:200])

    assert processes(live) == before


def settle(live: Live, seconds: float = 10.0) -> None:
    """Until no snapshot is about to be exchanged, which brings new workers."""
    deadline, known = time.monotonic() + seconds, processes(live)
    while time.monotonic() < deadline:
        time.sleep(0.8)
        if known == (known := processes(live)):
            return


@pytest.mark.parametrize(("levels", "code"), [(32, "validation-failed"), (33, "nesting-too-deep")])
def test_the_depth_of_a_document_is_capped_to_the_level(live: Live, levels: int, code: str) -> None:
    """B5: one level more is one too many."""
    body = b'{"device":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    response = live.client("fsp-a").post("/assets", content=body, headers={"Content-Type": LD_JSON})

    assert response.json()["code"] == code
