"""Saved queries: right answers in the caller's own window, values that stay values, and files that are wrong."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from fmar_node.access.caller import Caller, Role
from fmar_node.checks.saved_query import Term
from fmar_node.errors import Malformed, NotFound
from fmar_node.saved_query import SavedQueries, parse
from fmar_node.settings import Settings
from fmar_node.vocabulary import CODES, Vocabulary, packaged
from tests.live import LD_JSON, Live
from tests.market import Market, saved_query

POWER = ("assets-by-connection-point", "capacity-by-technology", "portfolio", "registrations-per-month", "storage-by-licence-area")
SHIPPED = tuple(sorted((*POWER, "qualification", "quality-by-category")))
FORMATS = ("application/sparql-results+json", "application/sparql-results+xml", "text/csv", "text/tab-separated-values")
HEAD = "# title: T\n# about: A\n# for: everyone\n"
BROWSER = {"Accept": "text/html,*/*;q=0.8"}
VOCABULARY, SETTINGS = Vocabulary.load(), Settings(base_url="http://node")
EVIL = ['"} SERVICE <http://x/> {', "x> <y", "\\u003e", "' OR 1=1 #", "?s", "a\nb", "x" * 201, "\x00"]


OF_AREA = "PREFIX fmar: <https://w3id.org/fmar/ns#> SELECT (COUNT(?a) AS ?n) { ?a fmar:dnoConnection <https://w3id.org/fmar/codes/DNOCode#UKPN_EPN> }"


def rows(live: Live, name: str, path: str, after: str = "") -> list[dict[str, str]]:
    headers = {"Accept": "text/csv", **({"Fmar-Min-Journal-Index": after} if after else {})}
    response = live.client(name).get(path, headers=headers)
    assert response.status_code == 200, response.text
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


def total(found: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in found), Decimal())


def test_those_that_ship_are_listed_and_each_answers(live: Live) -> None:
    items = [item for item in live.client("fsp-a").get("/queries").json()["items"] if item["record"] is None]

    assert tuple(item["name"] for item in items) == SHIPPED
    for item in items:
        assert item["title"] and item["about"]
        assert live.client("fsp-a").get(item["example"]).status_code == 200
        for parameter in item["parameters"]:
            if values := parameter.get("oneOf"):
                assert live.client("fsp-a").get(item["url"], params={parameter["name"]: values[0]}).status_code == 200


@pytest.mark.parametrize("name", POWER)
def test_an_asset_more_is_its_power_more_in_its_providers_window_alone(live: Live, name: str) -> None:
    before, others = rows(live, "fsp-b", f"/queries/{name}"), rows(live, "fsp-c", f"/queries/{name}")

    made = live.register("fsp-b", gridSupplyPoint="Barking")
    after = made.headers["Fmar-Journal-Index"]

    added = total(rows(live, "fsp-b", f"/queries/{name}", after), "MW") - total(before, "MW")
    assert added * 1000 == 500
    assert total(rows(live, "fsp-c", f"/queries/{name}", after), "MW") == total(others, "MW")


def test_what_a_qualification_asks_is_a_row_for_each_asset_of_ones_own(live: Live) -> None:
    code = f"QUALIFY-{next(live.serials)}"
    made = live.register("fsp-a", friendlyCode=code, flexibleUpKw="120.00", connectionVoltage="11")
    after, point = made.headers["Fmar-Journal-Index"], made.json()["importMPAN"]

    (row,) = (each for each in rows(live, "fsp-a", "/queries/qualification?area=UKPN_EPN", after) if each["friendlyCode"] == code)

    assert (row["asset"], row["importMPAN"], row["ratedKW"], row["upKW"], row["downKW"], row["kV"]) == (made.json()["id"], point, "500", "120", "", "11")
    assert made.json()["id"] not in {each["asset"] for name in ("fsp-b", "dso-east") for each in rows(live, name, "/queries/qualification", after)}
    assert rows(live, "", "/queries/qualification", after) == []


def test_a_parameter_narrows_the_answer(live: Live) -> None:
    after = live.register("fsp-a").headers["Fmar-Journal-Index"]
    everything = rows(live, "fsp-a", "/queries/portfolio", after)

    batteries = rows(live, "fsp-a", "/queries/portfolio?category=BESS")

    assert batteries == [row for row in everything if row["category"].endswith("#BESS")] != []
    assert rows(live, "fsp-a", "/queries/portfolio?category=WIND_TURBINE") == [row for row in everything if row["category"].endswith("#WIND_TURBINE")]
    assert rows(live, "fsp-a", "/queries/portfolio?category=") == everything


@pytest.mark.parametrize("accept", FORMATS)
def test_every_result_format(live: Live, accept: str) -> None:
    response = live.client().get("/queries/capacity-by-technology", headers={"Accept": accept})

    assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (200, accept)
    assert "Fmar-Journal-Index" in response.headers


@pytest.mark.parametrize(("asked", "said"), [("timeout=x", "timeout is a number"), ("timeout=1e9", "timeout is more than 0"), ("area=NOWHERE", "area is one of")])
def test_what_is_wrong_is_named(live: Live, asked: str, said: str) -> None:
    response = live.client().get(f"/queries/storage-by-licence-area?{asked}")

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")
    assert said in response.json()["detail"]


def test_everything_that_is_wrong_with_the_parameters_is_said_at_once(live: Live) -> None:
    response = live.client().get("/queries/assets-by-connection-point?aera=UKPN_EPN&area=NOWHERE&gsp=x&gsp=y&wholly-else=1")

    errors = {(each["code"], each["field"]): each["message"] for each in response.json()["errors"]}
    assert response.status_code == 400
    assert set(errors) == {("parameter-unknown", "aera"), ("parameter-malformed", "area"), ("parameter-repeated", "gsp"), ("parameter-unknown", "wholly-else")}
    assert "did you mean area?" in errors["parameter-unknown", "aera"]
    assert "it takes area, format, gsp, timeout" in errors["parameter-unknown", "wholly-else"]


@pytest.mark.parametrize("value", EVIL)
@pytest.mark.parametrize("parameter", ["gsp", "area"])
def test_a_value_stays_a_value(live: Live, parameter: str, value: str) -> None:
    response = live.client("fsp-a").get("/queries/assets-by-connection-point", params={parameter: value, "format": "csv"})

    if response.status_code == 200:
        assert parameter == "gsp" and len(response.text.splitlines()) == 1
    else:
        assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


def test_a_browser_gets_the_page_about_it(live: Live) -> None:
    listed, page = live.client().get("/queries", headers=BROWSER), live.client().get("/queries/assets-by-connection-point", headers=BROWSER)

    assert "Assets by connection point" in listed.text and "/queries/portfolio" in listed.text
    assert '<option value="UKPN_EPN">UK Power Networks' in page.text and 'name="gsp"' in page.text and "SELECT ?area" in page.text and "without a credential" in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"] and "<script" not in page.text
    for link in re.findall(r'href="(/queries[^"]*)"', page.text):
        assert live.client().get(link.replace("&amp;", "&")).status_code == 200
    assert live.client().get("/queries/portfolio?category=", headers=BROWSER).headers["Content-Type"].startswith("application/sparql")


def test_an_operators_own_query_is_there_at_once_and_only_for_whom_it_is(live: Live) -> None:
    folder = live.folder / "queries"
    folder.mkdir(exist_ok=True)
    own = live.profiles["fsp-b"].organisation
    (folder / "for-operators.rq").write_text(f"# title: T\n# about: A\n# for: FMAR_OPERATOR {own}\nSELECT * {{ ?s ?p ?o }} LIMIT 1", "utf-8")
    (folder / "broken.rq").write_text(HEAD + "SELECT * { SERVICE <http://x/> { ?s ?p ?o } }", "utf-8")
    try:
        refused = live.client("fsp-a").get("/queries/for-operators")
        absent = live.client("fsp-a").get("/queries/no-such-query")
        assert [live.client(name).get("/queries/for-operators").status_code for name in ("operator", "fsp-b", "fsp-a", "")] == [200, 200, 404, 404]
        assert refused.content.replace(b"for-operators", b"no-such-query") == absent.content
        assert live.client("operator").get("/queries/broken").status_code == 404
        assert "for-operators" not in live.client().get("/queries").text
    finally:
        for file in folder.iterdir():
            file.unlink()
    assert live.client("operator").get("/queries/for-operators").status_code == 404


# -- published


@pytest.fixture
def published(live: Live) -> Iterator[Any]:
    """Publishes queries, and withdraws them after the test: the document's changes to the record's URL."""
    made: list[tuple[str, str]] = []

    def publish(by: str = "dso-east", **changes: Any) -> str:
        response = live.client(by).post("/queries", json=saved_query(**changes), headers=LD_JSON)
        assert response.status_code == 201, response.text
        made.append((by, response.headers["Location"]))
        return response.headers["Location"]

    yield publish
    for by, record in made:
        live.client(by).post(f"{record}/withdrawal")


def test_a_published_query_answers_its_audience_in_their_own_windows_and_is_listed(live: Live, published: Any) -> None:
    after = live.register("fsp-b").headers["Fmar-Journal-Index"]
    record = published(audience=["DNO", "FSP"])

    asked = {name: rows(live, name, "/queries/assets-by-area?area=UKPN_EPN", after) for name in ("dso-east", "dso-south", "fsp-b", "fsp-c")}
    (item,) = live.client("fsp-b").get("/queries?name=assets-by-area").json()["items"]

    own = {name: live.rows(name, OF_AREA, int(after))[0]["n"] for name in asked}
    assert {name: str(total(found, "assets")) for name, found in asked.items()} == own
    assert int(own["dso-east"]) >= int(own["fsp-b"]) > 0 and own["dso-south"] == "0"
    assert (item["publisher"], item["record"], item["url"]) == (live.profiles["dso-east"].organisation, record, f"{live.url}/queries/assets-by-area")
    assert live.client("fsp-b").get(item["example"]).status_code == live.client("fsp-b").get(record).status_code == 200


def test_who_is_not_its_audience_gets_the_very_bytes_of_nothing(live: Live, published: Any) -> None:
    """By its name and by its id, before it was there, while it is, and when it has been withdrawn."""
    names = {"Accept": "*/*"}
    outsiders = [live.client("fsp-a"), live.client()]
    before = [client.get("/queries/assets-by-area?area=x", headers=names).content for client in outsiders]

    record = published()
    during = [client.get("/queries/assets-by-area?area=x", headers=names).content for client in outsiders]
    absent = re.sub("[0-9a-f]{4}$", "0000", record)
    records = [(client.get(record).content.replace(record[-4:].encode(), b"0000"), client.get(absent).content) for client in outsiders]
    live.client("operator").post(f"{record}/withdrawal")

    assert during == before == [client.get("/queries/assets-by-area?area=x", headers=names).content for client in outsiders]
    assert [one for one, _ in records] == [other for _, other in records]
    assert live.client("dso-south").get("/queries/assets-by-area").status_code == 404
    assert live.client("dso-south").get(record).status_code == 404
    assert live.client("dso-east").get(record).json()["queryStatus"] == "WITHDRAWN"
    assert "assets-by-area" not in live.client("dso-east").get("/queries").text


@pytest.mark.parametrize("value", EVIL)
def test_a_value_of_a_published_query_stays_a_value(live: Live, published: Any, value: str) -> None:
    published(queryText="SELECT ?area ?s { ?s ?p ?area FILTER STRSTARTS(STR(?area), 'x') }", parameter=[{"parameterName": "area", "parameterKind": "TEXT"}])

    response = live.client("dso-east").get("/queries/assets-by-area", params={"area": value, "format": "csv"})

    assert response.status_code == 400 or len(response.text.splitlines()) == 1


def test_a_construct_is_a_graph_in_every_format(live: Live, published: Any) -> None:
    after = live.register("fsp-a").headers["Fmar-Journal-Index"]
    text = "PREFIX fmar: <https://w3id.org/fmar/ns#> CONSTRUCT { ?s fmar:ratedCapacity ?kW } { ?s fmar:ratedCapacity ?kW ; fmar:assetCategory ?category }"
    published("fsp-a", queryText=text, parameter=[{"parameterName": "category", "parameterKind": "CODE", "codeList": "AssetCategory"}])
    client, headers = live.client("fsp-a"), {"Fmar-Min-Journal-Index": after}

    found = {name: client.get(f"/queries/assets-by-area?category=BESS&format={name}", headers=headers) for name in ("turtle", "ntriples", "jsonld", "rdfxml")}
    none = client.get("/queries/assets-by-area?category=WIND_TURBINE&format=ntriples", headers=headers)

    assert all(response.status_code == 200 and "ratedCapacity" in response.text for response in found.values())
    assert none.text == ""
    refused = client.get("/queries/assets-by-area?category=BESS", headers={"Accept": "text/csv"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")


def test_what_a_publisher_writes_is_text_on_every_page(live: Live, published: Any) -> None:
    evil = "<script>alert(1)</script>"
    record = published("fsp-a", queryTitle=evil, queryDescription=evil, audience=["EVERYONE"], parameter=[{"parameterName": "area", "parameterKind": "TEXT", "parameterDescription": evil}])

    for path in ("/queries", "/queries/assets-by-area", record):
        page = live.client().get(path, headers=BROWSER)
        assert page.status_code == 200 and "<script" not in page.text and "&lt;script&gt;" in page.text


def test_a_list_goes_on_where_it_ends(live: Live, published: Any) -> None:
    for number in range(3):
        published("fsp-a", queryName=f"list-{number}")

    found, path = [], "/queries?limit=3"
    while path:
        page = live.client("fsp-a").get(path)
        found += [item["name"] for item in page.json()["items"]]
        path = page.json().get("next", "")

    assert [name for name in found if not name.startswith("sample-")] == [*SHIPPED, "list-0", "list-1", "list-2"]
    for odd in ("limit=0", "cursor=../x", "name=a&name=b", "publisher=x"):
        assert live.client().get(f"/queries?{odd}").status_code == 400
    assert live.client().get("/queries?name=list-0").json() == {"items": []}


def test_the_names_that_files_have_are_taken(live: Live) -> None:
    folder = live.folder / "queries"
    folder.mkdir(exist_ok=True)
    (folder / "mine.rq").write_text("broken, and still the operator's", "utf-8")
    try:
        refused = [live.client("fsp-a").post("/queries", json=saved_query(name), headers=LD_JSON) for name in ("portfolio", "mine")]
    finally:
        (folder / "mine.rq").unlink()

    assert [(each.status_code, each.json()["errors"][0]["code"]) for each in refused] == [(409, "SAVED-QUERY-PUBLISH-2")] * 2


def test_a_trial_says_what_is_wrong_on_its_field(live: Live) -> None:
    document = saved_query(queryText="SELECT ?area { ?s ?p ?o FILTER(?area = ?o) }", queryTitle=None)

    refused = live.client("fsp-a").post("/queries?dry-run=true", json=document, headers=LD_JSON)

    assert {(each["code"], each["pointer"]) for each in refused.json()["errors"]} == {
        ("SavedQuery.queryTitle", "/queryTitle"), ("QueryParameter.parameterName", "/parameter/0/parameterName"),
    }  # fmt: skip


# -- files


@pytest.mark.parametrize(("text", "said"), [
    ("SELECT * { ?s ?p ?o }", "it has no title"), (HEAD + "ASK {}", "a SELECT or a CONSTRUCT, not ASK"), (HEAD + "SELECT", "does not read it"),
    (HEAD + "# x: number\nSELECT ?x { ?x ?p ?o }", "what the parameter x is"), (HEAD + "# x: code Nothing\nSELECT ?x { ?x ?p ?o }", "no code list"),
    (HEAD + "# x: text\nSELECT ?s { ?s ?p ?x }", "x is no variable of its result"), (HEAD + "# format: text\nSELECT ?format { ?s ?p ?format }", "call format something else"),
    ("# title: T\n# about: A\n# for: somebody\nSELECT * {}", "nobody is 'somebody'"), (HEAD + "SELECT * { SERVICE <http://x/> {} }", "SERVICE"),
])  # fmt: skip
def test_a_file_that_is_wrong_says_why(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse("name", text, VOCABULARY, SETTINGS)


def test_a_file_says_everything_that_is_wrong_with_it() -> None:
    text = "# title: T\n# for: somebody\n# x: number\n# y: text\n# y: text\nSELECT ?z { ?s ?p ?z }"

    with pytest.raises(ValueError, match=r"no about.*nobody is 'somebody'.*what the parameter x is.*two parameters are called y"):
        parse("name", text, VOCABULARY, SETTINGS)


def test_only_comments_at_its_head_are_a_files_head() -> None:
    assert parse("name", HEAD + "SELECT * {\n# note: this is no parameter\n?s ?p ?o }", VOCABULARY, SETTINGS).parameters == ()


def test_every_shipped_file_is_right() -> None:
    files = sorted((packaged("examples") / "saved-queries").glob("*.rq"))

    assert tuple(parse(file.stem, file.read_text("utf-8"), VOCABULARY, SETTINGS).name for file in files) == SHIPPED


XSD = "http://www.w3.org/2001/XMLSchema#"


@pytest.mark.parametrize(("kind", "given", "term"), [
    ("text", "a b", Term("a b", f"{XSD}string")), ("iri", "urn:x:y", Term("urn:x:y")), ("date", "2026-02-28", Term("2026-02-28", f"{XSD}date")),
    ("integer", "-07", Term("-7", f"{XSD}integer")), ("decimal", "1.50", Term("1.50", f"{XSD}decimal")), ("code DNOCode", "UKPN_EPN", Term(f"{CODES}DNOCode#UKPN_EPN")),
    ("text", "", None), ("iri", "x y", None), ("iri", "relative", None), ("iri", "urn:x>", None), ("date", "2026-02-30", None), ("date", "20260228T00", None),
    ("integer", "1.0", None), ("integer", "9" * 19, None), ("decimal", "1e3", None), ("decimal", "NaN", None), ("code DNOCode", "ukpn_epn", None),
])  # fmt: skip
def test_a_value_is_the_term_of_its_kind_or_refused(kind: str, given: str, term: Any) -> None:
    query = parse("name", f"{HEAD}# x: {kind}\nSELECT ?x {{ ?s ?p ?x }}", VOCABULARY, SETTINGS)

    if term is None:
        with pytest.raises(Malformed, match="x is "):
            query.bound([("x", given)], VOCABULARY)
    else:
        assert query.bound([("x", given)], VOCABULARY) == {"x": term}
    with pytest.raises(Malformed, match="x is needed"):
        query.bound([], VOCABULARY)


def test_a_role_opens_what_is_for_it(market: Market) -> None:
    (market.folder / "grid.rq").write_text(HEAD.replace("everyone", "DNO, SYSTEM_OPERATOR") + "SELECT * { ?s ?p ?o }", "utf-8")
    saved = SavedQueries(market.folder, market.register, VOCABULARY, SETTINGS)

    assert saved.get("grid", Caller("o", roles=frozenset({Role.DSO}))).title == "T"
    with pytest.raises(NotFound):
        saved.get("grid", Caller("o", roles=frozenset({Role.FSP})))
