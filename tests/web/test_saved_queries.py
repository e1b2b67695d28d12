"""Saved queries: right answers in the caller's own window, values that stay values, and files that are wrong."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fmar_node.access.caller import Caller, Role
from fmar_node.errors import FmarError, Malformed, NotFound
from fmar_node.saved_query import SavedQueries, Term, parse
from fmar_node.settings import Settings
from fmar_node.vocabulary import CODES, Vocabulary, packaged
from tests.live import Live

SHIPPED = ("assets-by-connection-point", "capacity-by-technology", "portfolio", "registrations-per-month", "storage-by-licence-area")
FORMATS = ("application/sparql-results+json", "application/sparql-results+xml", "text/csv", "text/tab-separated-values")
HEAD = "# title: T\n# about: A\n# for: everyone\n"
VOCABULARY, SETTINGS = Vocabulary.load(), Settings(base_url="http://node")
EVIL = ['"} SERVICE <http://x/> {', "x> <y", "\\u003e", "' OR 1=1 #", "?s", "a\nb", "x" * 201, "\x00"]


def rows(live: Live, name: str, path: str, after: str = "") -> list[dict[str, str]]:
    headers = {"Accept": "text/csv", **({"Fmar-Min-Journal-Index": after} if after else {})}
    response = live.client(name).get(path, headers=headers)
    assert response.status_code == 200, response.text
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


def total(found: list[dict[str, str]], column: str) -> Decimal:
    return sum((Decimal(row[column]) for row in found), Decimal())


def test_those_that_ship_are_listed_and_each_answers(live: Live) -> None:
    items = live.client("fsp-a").get("/queries").json()["items"]

    assert tuple(item["name"] for item in items) == SHIPPED
    for item in items:
        assert item["title"] and item["about"]
        assert live.client("fsp-a").get(item["example"]).status_code == 200
        for parameter in item["parameters"]:
            if values := parameter.get("oneOf"):
                assert live.client("fsp-a").get(item["url"], params={parameter["name"]: values[0]}).status_code == 200


@pytest.mark.parametrize("name", SHIPPED)
def test_an_asset_more_is_its_power_more_in_its_providers_window_alone(live: Live, name: str) -> None:
    before, others = rows(live, "fsp-b", f"/queries/{name}"), rows(live, "fsp-c", f"/queries/{name}")

    made = live.register("fsp-b", gridSupplyPoint="Barking")
    after = made.headers["Fmar-Journal-Index"]

    added = total(rows(live, "fsp-b", f"/queries/{name}", after), "MW") - total(before, "MW")
    assert added * 1000 == 500
    assert total(rows(live, "fsp-c", f"/queries/{name}", after), "MW") == total(others, "MW")


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


@pytest.mark.parametrize(("asked", "said"), [
    ("area=NOWHERE", "area is one of"), ("areas=UKPN_EPN", "it takes area, format, timeout"), ("area=UKPN_EPN&area=UKPN_LPN", "given twice"),
    ("timeout=x", "timeout is a number"), ("timeout=1e9", "timeout is more than 0"),
])  # fmt: skip
def test_what_is_wrong_is_named(live: Live, asked: str, said: str) -> None:
    response = live.client().get(f"/queries/storage-by-licence-area?{asked}")

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")
    assert said in response.json()["detail"]


@pytest.mark.parametrize("value", EVIL)
@pytest.mark.parametrize("parameter", ["gsp", "area"])
def test_a_value_stays_a_value(live: Live, parameter: str, value: str) -> None:
    response = live.client("fsp-a").get("/queries/assets-by-connection-point", params={parameter: value, "format": "csv"})

    if response.status_code == 200:
        assert parameter == "gsp" and len(response.text.splitlines()) == 1
    else:
        assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


def test_a_browser_gets_the_page_about_it(live: Live) -> None:
    for path in ("/queries", "/queries/portfolio"):
        page = live.client().get(path, headers={"Accept": "text/html,*/*;q=0.8"})
        assert page.status_code == 200 and "SELECT ?category" in page.text
    assert live.client().get("/queries/portfolio?category=", headers={"Accept": "text/html,*/*;q=0.8"}).headers["Content-Type"].startswith("application/sparql")


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
        assert {**refused.json(), "instance": ""} == {**absent.json(), "instance": ""}
        assert live.client("operator").get("/queries/broken").status_code == 404
        assert "for-operators" not in live.client().get("/queries").text
    finally:
        for file in folder.iterdir():
            file.unlink()
    assert live.client("operator").get("/queries/for-operators").status_code == 404


# -- files


@pytest.mark.parametrize(("text", "said"), [
    ("SELECT * { ?s ?p ?o }", "it has no title"), (HEAD + "ASK {}", "it is no SELECT"), (HEAD + "SELECT", "does not read it"),
    (HEAD + "# x: number\nSELECT ?x { ?x ?p ?o }", "x is no parameter"), (HEAD + "# x: code Nothing\nSELECT ?x { ?x ?p ?o }", "no code list"),
    (HEAD + "# x: text\nSELECT ?s { ?s ?p ?x }", "x is no variable of its result"), (HEAD + "# format: text\nSELECT ?format { ?s ?p ?format }", "format is no parameter"),
    ("# title: T\n# about: A\n# for: somebody\nSELECT * {}", "nobody is 'somebody'"), (HEAD + "SELECT * { SERVICE <http://x/> {} }", "SERVICE"),
])  # fmt: skip
def test_a_file_that_is_wrong_says_why(text: str, said: str) -> None:
    with pytest.raises((ValueError, FmarError)) as caught:
        parse("name", text, VOCABULARY, SETTINGS)

    assert said in str(caught.value)


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
        with pytest.raises(Malformed):
            query.bound([("x", given)], VOCABULARY)
    else:
        assert query.bound([("x", given)], VOCABULARY) == {"x": term}
    with pytest.raises(Malformed, match="needs x"):
        query.bound([], VOCABULARY)


def test_a_role_opens_what_is_for_it(tmp_path: Path) -> None:
    (tmp_path / "grid.rq").write_text(HEAD.replace("everyone", "DNO, SYSTEM_OPERATOR") + "SELECT * { ?s ?p ?o }", "utf-8")
    saved = SavedQueries(tmp_path, VOCABULARY, SETTINGS)

    assert saved.get("grid", Caller("o", roles=frozenset({Role.DSO}))).title == "T"
    with pytest.raises(NotFound):
        saved.get("grid", Caller("o", roles=frozenset({Role.FSP})))
