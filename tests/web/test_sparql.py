"""The SPARQL 1.1 Protocol at /sparql, as tools speak it, each caller inside its own window."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx
import pyoxigraph as ox
import pytest

from tests.live import NEVER, Live

ASSETS = "PREFIX fmar: <https://w3id.org/fmar/ns#> SELECT ?asset { ?asset a fmar:Asset }"
COUNT = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"
DIRECT = {"Content-Type": "application/sparql-query"}
GRAPHS = {
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    "application/ld+json": ox.RdfFormat.JSON_LD,
    "application/rdf+xml": ox.RdfFormat.RDF_XML,
}
SD = "http://www.w3.org/ns/sparql-service-description#"
CODES = "http://www.w3.org/2004/02/skos/core#"


def get(live: Live, name: str = "", headers: dict[str, str] | None = None, **asked: Any) -> httpx.Response:
    return live.client(name).get(f"/sparql?{urlencode(asked, doseq=True)}", headers=headers)


def view(live: Live, name: str) -> str:
    return f"{live.url}/views/{live.profiles[name].organisation.rsplit('/', 1)[1]}"


def published(live: Live, name: str = "fsp-a") -> httpx.Response:
    """An asset that a public register has already told of."""
    return live.register(name, alias=[{"scheme": "ECR", "value": f"ecr-{next(live.serials)}"}])


def index(made: httpx.Response) -> int:
    return int(made.headers["Fmar-Journal-Index"])


# -- the protocol


@pytest.mark.parametrize("send", ["get", "form", "direct", "query", "query-form", "direct-with-charset"])
def test_a_query_is_taken_in_every_form_of_the_protocol(live: Live, send: str) -> None:
    client, text = live.client("fsp-a"), "ASK { BIND(1 AS ?one) }"
    sent = {
        "get": lambda: client.get("/sparql", params={"query": text}),
        "form": lambda: client.post("/sparql", data={"query": text}),
        "direct": lambda: client.post("/sparql", content=text, headers=DIRECT),
        "query": lambda: client.request("QUERY", "/sparql", content=text, headers=DIRECT),
        "query-form": lambda: client.request("QUERY", "/sparql", data={"query": text}),
        "direct-with-charset": lambda: client.post("/sparql", content=text, headers={"Content-Type": "application/sparql-query; charset=UTF-8"}),
    }

    response = sent[send]()

    assert (response.status_code, response.json()["boolean"]) == (200, True)


def test_a_byte_order_mark_is_no_part_of_a_query(live: Live) -> None:
    assert live.client().post("/sparql", content=b"\xef\xbb\xbfASK{}", headers=DIRECT).json()["boolean"] is True


def read_json(text: str) -> list[str]:
    return [row["n"]["value"] for row in json.loads(text)["results"]["bindings"]]


def read_xml(text: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(text).iter("{http://www.w3.org/2005/sparql-results#}literal")]


def read_csv(text: str) -> list[str]:
    return [row["n"] for row in csv.DictReader(io.StringIO(text))]


def read_tsv(text: str) -> list[str]:
    return text.split()[1:]


RESULTS = {
    "application/sparql-results+json": ("json", read_json), "application/sparql-results+xml": ("xml", read_xml),
    "text/csv": ("csv", read_csv), "text/tab-separated-values": ("tsv", read_tsv),
}  # fmt: skip


@pytest.mark.parametrize("media_type", RESULTS)
def test_rows_come_in_every_result_format(live: Live, media_type: str) -> None:
    short, read = RESULTS[media_type]
    query = "SELECT ?n { VALUES ?n { 1 2 3 } }"

    accepted = get(live, query=query, headers={"Accept": media_type})
    named = get(live, query=query, format=short, headers={"Accept": "image/png"})

    assert accepted.headers["Content-Type"].split(";")[0] == media_type
    assert read(accepted.text) == ["1", "2", "3"]
    assert named.content == accepted.content


@pytest.mark.parametrize("media_type", GRAPHS)
@pytest.mark.parametrize("form", ["CONSTRUCT WHERE { ?s ?p ?o }", "DESCRIBE ?s { ?s ?p ?o }"])
def test_graphs_come_in_every_graph_format(live: Live, form: str, media_type: str) -> None:
    made = published(live)

    response = live.ask("fsp-a", form, after=index(made), Accept=media_type)

    subjects = {quad.subject.value for quad in ox.parse(response.content, format=GRAPHS[media_type])}
    assert response.headers["Content-Type"].split(";")[0] == media_type
    assert made.json()["id"] in subjects


@pytest.mark.parametrize(("accept", "given"), [
    ("text/csv;q=0.1, application/sparql-results+xml;q=0.9", "application/sparql-results+xml"), ("*/*", "application/sparql-results+json"),
    ("application/json", "application/sparql-results+json"), ("application/sparql-results+json,*/*;q=0.9", "application/sparql-results+json"),
    ("text/*", "text/csv"), ("*/*, application/sparql-results+json;q=0", "application/sparql-results+xml"), ("text/*, text/csv;q=0.2", "text/tab-separated-values"), ("image/png, */*;q=0.1", "application/sparql-results+json"), ("", "application/sparql-results+json"),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "application/sparql-results+xml"),
])  # fmt: skip
def test_accept_is_weighed(live: Live, accept: str, given: str) -> None:
    response = get(live, query=COUNT, headers={"Accept": accept})

    assert response.headers["Content-Type"].split(";")[0] == given


@pytest.mark.parametrize(("query", "short", "given"), [
    (COUNT, "csv", "text/csv"), (COUNT, "json", "application/sparql-results+json"), (COUNT, "text/tab-separated-values", "text/tab-separated-values"),
    ("CONSTRUCT WHERE { ?s ?p ?o }", "json", "application/ld+json"), ("CONSTRUCT WHERE { ?s ?p ?o }", "xml", "application/rdf+xml"),
    ("CONSTRUCT WHERE { ?s ?p ?o }", "rdf+xml", "application/rdf+xml"), (COUNT, "", "application/sparql-results+json"),
])  # fmt: skip
def test_format_says_what_the_form_of_the_query_has_of_that_name(live: Live, query: str, short: str, given: str) -> None:
    assert get(live, query=query, format=short).headers["Content-Type"].split(";")[0] == given


@pytest.mark.parametrize("short", ["html", "nquads", "application/pdf", "nope"])
def test_a_format_that_there_is_not_is_406_and_not_another_one(live: Live, short: str) -> None:
    response = get(live, query=COUNT, format=short)

    assert (response.status_code, response.json()["code"]) == (406, "not-acceptable")
    assert "csv" in response.json()["detail"]


@pytest.mark.parametrize(("query", "accept"), [(COUNT, "text/turtle"), (COUNT, "image/png"), ("CONSTRUCT WHERE { ?s ?p ?o }", "text/csv")])
def test_a_format_that_the_form_has_not_is_406_and_says_which_it_has(live: Live, query: str, accept: str) -> None:
    response = get(live, query=query, headers={"Accept": accept})

    assert (response.status_code, response.json()["code"]) == (406, "not-acceptable")
    assert query.split(maxsplit=1)[0] in response.json()["detail"]


def test_parameters_that_other_servers_know_are_ignored(live: Live) -> None:
    response = get(live, query="ASK {}", output="json", results="json", infer="true")

    assert (response.status_code, response.json()["boolean"]) == (200, True)


@pytest.mark.parametrize("timeout", ["31", "0", "-1", "nan", "inf", "soon", "", "1e999"])
def test_a_run_time_that_is_not_offered_is_400(live: Live, timeout: str) -> None:
    response = get(live, query="ASK {}", timeout=timeout)

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


@pytest.mark.parametrize(("path", "pairs", "said"), [
    ("/sparql", "query=ASK{}&format=csv&format=json", "format is given 2 times"), ("/queries/portfolio", "timeout=1&timeout=2", "timeout is given 2 times"),
    ("/sparql", "query=ASK{}" + "&x=1" * 200, "more than 200 parameters"), ("/sparql", "query=ASK{}&x=%E9", "UTF-8"),
    ("/queries/assets-by-connection-point", "gsp=%E9", "UTF-8"), ("/assets", "assetName=%E9", "UTF-8"),
])  # fmt: skip
def test_parameters_that_cannot_be_meant_are_400_with_the_reason(live: Live, path: str, pairs: str, said: str) -> None:
    response = live.client("fsp-a").get(f"{path}?{pairs}")

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")
    assert said in response.json()["detail"]


@pytest.mark.parametrize("pairs", ["query=ASK{}&query=ASK{}", "x=y", ""])
def test_a_form_has_exactly_one_query(live: Live, pairs: str) -> None:
    response = live.client().post("/sparql", content=pairs, headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


def test_a_query_in_the_url_and_one_in_the_body_are_two(live: Live) -> None:
    assert live.client().post("/sparql?query=ASK{}", content="ASK{}", headers=DIRECT).status_code == 400
    assert live.client().get("/sparql?query=ASK{}&query=ASK{}").status_code == 400


@pytest.mark.parametrize("query", [
    "SELECT * { SERVICE <http://127.0.0.1:9/> { ?s ?p ?o } }", "SELECT * { { SERVICE SILENT ?x { ?s ?p ?o } } }",
    "LOAD <http://127.0.0.1:9/>", "INSERT DATA { <a:b> <a:b> 1 }", "DROP ALL", "DELETE WHERE { ?s ?p ?o }",
])  # fmt: skip
def test_what_this_endpoint_never_does_is_refused_by_name(live: Live, query: str) -> None:
    """B2: over HTTP."""
    response = live.ask("fsp-a", query)

    assert (response.status_code, response.json()["code"]) == (400, "query-refused")


@pytest.mark.parametrize("sent", [
    {"data": {"update": "DROP ALL"}}, {"content": "DROP ALL", "headers": {"Content-Type": "application/sparql-update"}},
])  # fmt: skip
def test_an_update_is_refused_with_the_way_to_write(live: Live, sent: dict[str, Any]) -> None:
    response = live.client("fsp-a").post("/sparql", **sent)

    assert (response.status_code, response.json()["code"]) == (400, "query-refused")
    assert "PATCH" in response.json()["detail"]


@pytest.mark.parametrize("text", [b"", b"SELECT", b"ASK{} ; DROP ALL", b"\xef\xbb\xbf\xef\xbb\xbfASK{}", b"ASK{}\x00", b"ASK{\xff}", b"SELECT ?x { ?x ?y }"])
def test_what_is_no_query_is_400(live: Live, text: bytes) -> None:
    response = live.client().post("/sparql", content=text, headers=DIRECT)

    assert (response.status_code, response.json()["code"]) == (400, "query-malformed")


@pytest.mark.parametrize(("text", "limit"), [
    ("ASK {" + " " * 70_000 + "}", "query_bytes"), ("ASK {" + " " * 300_000 + "}", "query_bytes"), ("ASK " + "{" * 100 + "}" * 100, "query_nesting"),
    ("ASK {" + "OPTIONAL { ?a ?b ?c } " * 41 + "}", "query_optionals"), ("ASK { FILTER(" + "!" * 1100 + "true) }", "query_operators"),
])  # fmt: skip
def test_a_query_beyond_a_limit_is_told_which_one(live: Live, text: str, limit: str) -> None:
    response = live.ask("fsp-a", text)

    assert (response.status_code, response.json()["code"]) == (413, "query-too-complex")
    assert response.json()["detail"].startswith(limit)
    assert "196608" not in response.json()["detail"]


@pytest.mark.parametrize("body", [b"query=%ff", b"query=ASK{}&" + b"x=1&" * 300])
def test_a_form_that_is_none_is_400(live: Live, body: bytes) -> None:
    response = live.client().post("/sparql", content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


@pytest.mark.parametrize("media_type", GRAPHS)
def test_a_plain_get_describes_the_service(live: Live, media_type: str) -> None:
    response = live.client().get("/sparql", headers={"Accept": media_type})

    facts = {(quad.predicate.value, quad.object.value) for quad in ox.parse(response.content, format=GRAPHS[media_type]) if quad.object.__class__ is not ox.BlankNode}
    assert response.headers["Content-Type"].split(";")[0] == media_type
    assert {(f"{SD}endpoint", f"{live.url}/sparql"), (f"{SD}name", f"{live.url}/views/public"), (f"{SD}supportedLanguage", f"{SD}SPARQL11Query")} <= facts


def test_every_graph_that_the_description_names_can_be_asked(live: Live) -> None:
    published(live)
    text = live.client().get("/sparql", headers={"Accept": "application/n-triples"}).content
    names = [quad.object.value for quad in ox.parse(text, format=ox.RdfFormat.N_TRIPLES) if quad.predicate.value == f"{SD}name"]

    answers = {name: live.ask("", f"ASK {{ GRAPH <{name}> {{ ?s ?p ?o }} }}").json()["boolean"] for name in names}

    assert len(names) == 4 and all(answers.values())


def test_a_browser_gets_a_page_with_everything_that_it_loads(live: Live) -> None:
    response = live.client().get("/sparql", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    assert "<textarea" in response.text
    assert "https://w3id.org/fmar/ns#" in response.text
    loaded = [live.client().get(path) for path in re.findall(r"""(?:src|href)="(/yasgui/[^"]+)""", response.text)]
    assert {each.headers["Content-Type"].split(";")[0] for each in loaded} == {"text/css", "text/javascript"}
    assert {each.status_code for each in loaded} == {200} and all("immutable" in each.headers["Cache-Control"] for each in loaded)


@pytest.mark.parametrize("path", ["/yasgui/1.0.0/yasgui.min.js", "/yasgui/{version}/yasgui.json", "/yasgui/{version}/..%2Fworkbench.py"])
def test_the_page_has_no_other_files(live: Live, path: str) -> None:
    page = live.client().get("/sparql", headers={"Accept": "text/html"}).text
    version = re.findall(r"/yasgui/([^/]+)/", page)[0]

    assert live.client().get(path.format(version=version)).status_code == 404


def test_the_examples_of_the_page_are_answered(live: Live) -> None:
    page = live.client().get("/sparql", headers={"Accept": "text/html"}).text
    given = json.loads(re.findall(r'<script type="application/json" id="given">(.*?)</script>', page)[0])

    assert len(given["queries"]) >= 5
    assert {live.ask("fsp-a", query["text"]).status_code for query in given["queries"]} == {200}


def test_a_web_page_of_another_origin_may_ask(live: Live) -> None:
    origin = {"Origin": "https://yasgui.example"}
    asked = {**origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type,accept,dpop"}

    preflight = live.client().options("/sparql", headers=asked)
    answer = get(live, query="ASK {}", headers=origin)

    assert preflight.status_code == 200
    assert {"authorization", "content-type", "accept", "dpop"} <= set(preflight.headers["Access-Control-Allow-Headers"].split(","))
    removal = live.client().options("/jobs/1", headers={**origin, "Access-Control-Request-Method": "DELETE"})
    assert removal.status_code == 200 and "DELETE" in removal.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*" and "Access-Control-Allow-Credentials" not in answer.headers
    assert {"Link", "ETag", "Location", "Retry-After", "Fmar-Claim-Code", "Idempotent-Replayed", "Allow", "Accept-Patch"} <= set(answer.headers["Access-Control-Expose-Headers"].split(", "))


# -- freshness


def test_who_waits_for_its_own_write_reads_it(live: Live) -> None:
    for _ in range(3):
        made = live.register()

        response = live.ask("fsp-a", f"ASK {{ <{made.json()['id']}> ?p ?o }}", after=index(made))

        assert response.json()["boolean"] is True
        assert int(response.headers["Fmar-Journal-Index"]) >= index(made)


def test_an_index_that_does_not_come_is_503_and_says_so(live: Live) -> None:
    response = live.ask("fsp-b", "ASK {}", after=NEVER)

    assert (response.status_code, response.json()["code"]) == (503, "graph-behind")
    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("value", ["-1", "x", "1.5", "9" * 20, "\u00b2".encode("latin-1")])
def test_an_index_that_is_none_is_400(live: Live, value: Any) -> None:
    response = live.client().get("/sparql?query=ASK{}", headers={"Fmar-Min-Journal-Index": value})

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


# -- windows


def test_three_windows_give_three_answers(live: Live) -> None:
    made = live.register("fsp-a", dnoConnection="UKPN_EPN", gspGroup=None)
    query = f"SELECT ?p {{ <{made.json()['id']}> ?p ?o }}"

    names = {
        name: {row["p"].rsplit("#")[1] for row in live.rows(name, query, after=index(made))} for name in ("fsp-a", "dso-east", "neso", "fsp-b", "")
    }

    assert names["fsp-a"] > names["dso-east"] > names["neso"] > set() == names["fsp-b"] == names[""]
    assert "manufacturer" in names["fsp-a"] - names["dso-east"] and "importMPAN" in names["dso-east"] - names["neso"]


def held(response: httpx.Response, subject: str) -> set[str]:
    """The triples about a subject but for its scores, which a graph has beside it, with literals as a store keeps them ("500.00" is "500")."""
    store = ox.Store()
    store.load(response.content, format=ox.RdfFormat.N_TRIPLES)
    return {str(quad.triple) for quad in store if quad.subject.value == subject and not quad.predicate.value.startswith("http://www.w3.org/ns/dqv#")}


def test_sparql_shows_what_a_read_shows(live: Live) -> None:
    made = live.register()
    for name in ("fsp-a", "dso-east", "neso", "operator"):
        read = live.client(name).get(made.json()["id"], headers={"Accept": "application/n-triples"})

        asked = live.ask(name, f"CONSTRUCT WHERE {{ <{made.json()['id']}> ?p ?o }}", after=index(made), Accept="application/n-triples")

        assert held(asked, made.json()["id"]) == held(read, made.json()["id"]) != set()


def test_who_has_no_credential_sees_what_is_public(live: Live) -> None:
    hidden, shown = live.register(), published(live)

    rows = live.rows("", "SELECT ?s ?p { ?s ?p ?o }", after=index(shown))

    seen = {row["p"].rsplit("#")[-1] for row in rows if row["s"] == shown.json()["id"]}
    assert {"assetCategory", "ratedCapacity"} <= seen
    assert not seen & {"serialNumber", "importMPAN", "manufacturer", "assetName", "managedBy"}
    assert hidden.json()["id"] not in {row["s"] for row in rows}


@pytest.mark.parametrize("query", [
    "SELECT ?s FROM <{foreign}> {{ ?s ?p ?o }}", "SELECT ?s FROM NAMED <{foreign}> {{ GRAPH ?g {{ ?s ?p ?o }} }}",
    "SELECT ?s {{ GRAPH <{foreign}> {{ ?s ?p ?o }} }}", "SELECT ?s {{ {{ GRAPH ?g {{ ?s ?p ?o }} }} UNION {{ ?s ?p ?o }} }}",
    "PREFIX v: <{base}/views/> SELECT ?s {{ GRAPH ?g {{ ?s ?p ?o }} FILTER(STRSTARTS(STR(?g), STR(v:))) }}",
    "SELECT (?asset AS ?s) {{ BIND(<{asset}> AS ?asset) FILTER EXISTS {{ ?asset ?p ?o }} }}",
    "SELECT ?s {{ VALUES ?s {{ <{asset}> }} ?s ?p ?o }}",
])  # fmt: skip
def test_no_query_reaches_anothers_view(live: Live, query: str) -> None:
    """B16: by no form of the query."""
    made = live.register("fsp-a")
    live.rows("fsp-a", ASSETS, after=index(made))

    rows = live.rows("fsp-b", query.format(foreign=view(live, "fsp-a"), base=live.url, asset=made.json()["id"]), after=index(made))

    assert made.json()["id"] not in {row["s"] for row in rows}


def test_graphs_in_the_query_narrow_the_window_like_those_in_the_request(live: Live) -> None:
    made = live.register("fsp-b")

    rows = live.rows("fsp-b", f"SELECT ?s FROM <{live.url}/codes> {{ ?s ?p ?o }}", after=index(made))

    assert made.json()["id"] not in {row["s"] for row in rows}


def test_the_named_graphs_are_the_window_and_no_more(live: Live) -> None:
    made = live.register("fsp-b")
    published(live)
    query = "SELECT DISTINCT ?g { GRAPH ?g { ?s ?p ?o } }"

    graphs = {row["g"] for row in live.rows("fsp-b", query, after=index(made))}

    shared = {f"{live.url}/{name}" for name in ("views/public", "ontology", "shapes", "codes")}
    assert graphs == {*shared, view(live, "fsp-b")}
    assert {row["g"] for row in live.rows("", query)} == shared


def test_graphs_in_the_request_narrow_the_window(live: Live) -> None:
    public, own, foreign = f"{live.url}/views/public", view(live, "fsp-b"), view(live, "fsp-a")
    published(live), published(live, "fsp-b"), live.register("fsp-b")

    def count(**graphs: Any) -> int:
        return int(read_csv(get(live, "fsp-b", query=COUNT, format="csv", **graphs).text)[0])

    anonymous = int(read_csv(get(live, query=COUNT, format="csv").text)[0])
    assert count(**{"default-graph-uri": public}) == anonymous > 0
    assert max(anonymous, count()) < count(**{"default-graph-uri": [public, own, public]}) < anonymous + count()  # a register lists what fsp-b has
    assert count(**{"default-graph-uri": foreign}) == 0 == count(**{"named-graph-uri": own})


@pytest.mark.parametrize("graph", ["no iri <>", ""])
def test_a_graph_in_the_request_that_is_no_iri_is_400(live: Live, graph: str) -> None:
    response = get(live, query="ASK {}", **{"default-graph-uri": graph})

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


def test_what_two_graphs_have_is_there_once_when_both_are_asked(live: Live) -> None:
    made = published(live)
    query = f"SELECT ?kW FROM <{view(live, 'fsp-a')}> FROM <{live.url}/views/public> {{ <{made.json()['id']}> <https://w3id.org/fmar/ns#ratedCapacity> ?kW }}"

    assert len(live.rows("fsp-a", query, after=index(made))) == 1


def test_named_graphs_in_the_request_narrow_graph(live: Live) -> None:
    asked = [f"{live.url}/codes", view(live, "fsp-a"), "urn:fmar:state"]

    response = get(live, "fsp-b", query="SELECT DISTINCT ?g { GRAPH ?g { ?s ?p ?o } }", format="csv", **{"named-graph-uri": asked})

    assert response.text.split() == ["g", f"{live.url}/codes"]


def test_the_vocabulary_is_at_hand(live: Live) -> None:
    made = live.register()
    query = f"""PREFIX fmar: <https://w3id.org/fmar/ns#> PREFIX skos: <{CODES}>
        SELECT ?label {{ <{made.json()["id"]}> fmar:assetCategory ?code . GRAPH <{live.url}/codes> {{ ?code skos:prefLabel ?label }} }}"""

    rows = live.rows("fsp-a", query, after=index(made))

    assert rows == [{"label": "Battery Energy Storage System"}]
    for graph, kind in (("ontology", "http://www.w3.org/2002/07/owl#DatatypeProperty"), ("shapes", "http://www.w3.org/ns/shacl#NodeShape")):
        assert live.ask("", f"ASK {{ GRAPH <{live.url}/{graph}> {{ ?s a <{kind}> }} }}").json()["boolean"] is True


def test_an_answer_points_to_what_everybody_sees(live: Live) -> None:
    assert f"{live.url}/views/public" in live.ask("fsp-c", COUNT).headers["Fmar-Hint"]
    assert "Fmar-Hint" not in live.ask("", COUNT).headers


@pytest.mark.parametrize(("query", "asked"), [(f"{COUNT[:24]} FROM <codes> {COUNT[24:]}", {}), (COUNT, {"default-graph-uri": "codes"})])
def test_an_answer_from_another_graph_does_not_say_that_the_own_was_asked(live: Live, query: str, asked: dict[str, str]) -> None:
    response = get(live, "fsp-c", query=query, **asked)

    assert response.status_code == 200 and "Fmar-Hint" not in response.headers


def test_an_answer_is_not_kept_by_caches_in_between(live: Live) -> None:
    response = live.ask("fsp-a", COUNT)

    assert "private" in response.headers["Cache-Control"]
    assert {"Authorization", "DPoP", "Accept"} <= set(response.headers["Vary"].split(", "))


# -- load


def test_a_heavy_query_ends_at_its_deadline_and_holds_nobody_else_up(live: Live) -> None:
    heavy = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{live.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }} }}"
    light: list[float] = []

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(get, live, "fsp-b", query=heavy, timeout="2")
        time.sleep(0.2)
        while not running.done():
            started = time.perf_counter()
            assert live.ask("fsp-a", "ASK { ?s ?p ?o }").json()["boolean"] is True
            light.append(time.perf_counter() - started)

    answer = running.result()
    assert (answer.status_code, answer.json()["code"]) == (503, "query-timeout")
    assert "2 seconds" in answer.json()["detail"]
    assert len(light) > 20 and sorted(light)[len(light) // 2] < 0.2


def test_after_a_heavy_query_its_own_caller_is_served_again(live: Live) -> None:
    heavy = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{live.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i }} }}"

    assert get(live, "fsp-c", query=heavy, timeout="0.3").status_code == 503
    assert get(live, "fsp-c", query="ASK {}", timeout="5").status_code == 200


# -- tools, through `fmar agent`


@pytest.fixture(scope="module")
def agent(live: Live) -> Iterator[str]:
    """The address of an agent of fsp-a, in a process of its own."""
    folder = live.folder / "participants" / "fsp-a"
    command = [sys.executable, "-m", "fmar_node.cli", "agent", "--as", str(folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        yield next(word for word in process.stdout.readline().split() if word.startswith("http://127.0.0.1:") and word != live.url)
        process.send_signal(signal.SIGTERM)


def test_sparqlwrapper_asks_in_the_window_of_its_agent(live: Live, agent: str) -> None:
    wrapper = pytest.importorskip("SPARQLWrapper", reason="sparqlwrapper is in the dev group")
    made = live.register("fsp-a")
    live.rows("fsp-a", ASSETS, after=index(made))
    sparql = wrapper.SPARQLWrapper(f"{agent}/sparql", returnFormat=wrapper.JSON)
    sparql.setQuery(ASSETS)

    found = {row["asset"]["value"] for row in sparql.queryAndConvert()["results"]["bindings"]}

    assert made.json()["id"] in found
    assert made.json()["id"] not in {row["asset"] for row in live.rows("fsp-b", ASSETS)}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("format_", "query", "part"), [
    ("xml", ASSETS, "<sparql"), ("csv", ASSETS, "asset\r\n"), ("turtle", "CONSTRUCT WHERE { ?s a ?o }", " a "), ("json-ld", "CONSTRUCT WHERE { ?s a ?o }", "@id"),
])  # fmt: skip
def test_sparqlwrapper_gets_the_formats_that_it_asks_for(live: Live, agent: str, format_: str, query: str, part: str, method: str) -> None:
    wrapper = pytest.importorskip("SPARQLWrapper", reason="sparqlwrapper is in the dev group")
    live.register("fsp-a")
    sparql = wrapper.SPARQLWrapper(f"{agent}/sparql", returnFormat=format_)
    sparql.setMethod(method)
    sparql.setQuery(query)

    with sparql.query().response as response:
        assert part in response.read().decode()


@pytest.mark.parametrize("by", ["node", "agent"])
@pytest.mark.parametrize(("rows", "status"), [(10, b"200"), (6_000, b"200"), (90_000, b"426")])
def test_http_1_0_gets_an_answer_whole_with_its_length_or_none(live: Live, agent: str, by: str, rows: int, status: bytes) -> None:
    text = f"SELECT ?a ?d {{ GRAPH <{live.url}/codes> {{ ?a ?b ?c . ?d ?e ?f }} }} LIMIT {rows}"
    host, port = (agent if by == "agent" else live.url).removeprefix("http://").split(":")

    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(f"GET /sparql?{urlencode({'query': text, 'format': 'tsv'})} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        head, _, body = b"".join(iter(lambda: connection.recv(65_536), b"")).partition(b"\r\n\r\n")

    assert head.split()[1] == status and b"transfer-encoding" not in head.lower()
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert body.count(b"\n") == rows + 1 if status == b"200" else json.loads(body)["type"].endswith("/http-too-old")


@pytest.mark.parametrize("by", ["dso-south", "fsp-a"])
def test_who_goes_before_the_first_byte_is_not_worked_for(live: Live, agent: str, by: str) -> None:
    """B3: also through the agent; the organisation's next query finds its place free."""
    heavy = f"SELECT (COUNT(*) AS ?n) {{ GRAPH <{live.url}/codes> {{ ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }} }}"

    live.ask(by, "ASK {}")  # has a token from here on
    with pytest.raises(httpx.ReadTimeout):
        asking = httpx if by == "fsp-a" else live.client(by)
        asking.post(f"{agent if by == 'fsp-a' else live.url}/sparql?timeout=30", content=heavy, headers=DIRECT, timeout=httpx.Timeout(5, read=0.5))
    started = time.perf_counter()

    assert live.ask(by, "ASK {}").status_code == 200
    assert time.perf_counter() - started < 4  # otherwise 429 after the five seconds of the queue


def test_rdflib_asks_in_the_window_of_its_agent(live: Live, agent: str) -> None:
    from rdflib import Graph, URIRef
    from rdflib.plugins.stores.sparqlstore import SPARQLStore

    made = live.register("fsp-a")
    live.rows("fsp-a", ASSETS, after=index(made))

    for method in ("GET", "POST", "POST_FORM"):
        graph = Graph(store=SPARQLStore(f"{agent}/sparql", method=method))
        assert URIRef(made.json()["id"]) in {row[0] for row in graph.query(ASSETS)}
        assert (URIRef(made.json()["id"]), None, None) in graph
