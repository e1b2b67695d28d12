"""Data quality over HTTP: scores of records, scorecards, what misses a rule; each as the caller sees it."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pyoxigraph as ox
import pytest

from fmar_node.checks.quality import packaged_rules
from fmar_node.scorecard_file import ScorecardFile
from tests.live import Live

DQV = "http://www.w3.org/ns/dqv#"
CARDS = ("organisation", "category", "area", "dimension", "rule")
AVERAGE = """PREFIX dqv: <http://www.w3.org/ns/dqv#> PREFIX fmar: <https://w3id.org/fmar/ns#>
SELECT (AVG(?value) AS ?score) (COUNT(?part) AS ?records) { ?asset a fmar:Asset . ?part dqv:computedOn ?asset ; dqv:isMeasurementOf fmar:qualityScore ; dqv:value ?value }"""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node of its own: scorecards count everything that there is."""
    with Live(tmp_path_factory.mktemp("scored"), FMAR_MINIMUM_CELL_ASSETS="3", FMAR_MINIMUM_CELL_ORGANISATIONS="2") as live:
        for name, count in (("fsp-a", 3), ("fsp-b", 2), ("fsp-c", 1)):
            for _ in range(count):
                made = register(live, name)
        register(live, "fsp-b", assetCategory="SOLAR_PV", energySource="SOLAR", storageEnergyCapacity=None, demandCapacity=None)
        wait(live, register(live, "fsp-b", friendlyCode="B-9", manufacturer="unknown").headers["Fmar-Journal-Index"])
        assert made.status_code == 201
        yield live


def register(live: Live, name: str, **changes: Any) -> httpx.Response:
    response = live.client(name).post("/assets", json=live.battery(**changes), headers={"Content-Type": "application/ld+json"})
    assert response.status_code == 201, response.text
    return response


def wait(live: Live, index: str) -> None:
    assert live.client("operator").get("/sparql", params={"query": "ASK {}"}, headers={"Fmar-Min-Journal-Index": index}).status_code == 200
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and live.client("operator").get("/quality").json()["measuredOn"] is None:
        time.sleep(0.2)


def card(live: Live, name: str, by: str, **more: str) -> dict[str, Any]:
    response = live.client(name).get("/quality", params={"by": by, **more})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def keyed(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {(row["key"] or "").rpartition("#")[2].rpartition("/")[2]: row for row in found["items"]}


# -- one record


def test_a_record_tells_its_score_and_what_to_mend(scored: Live) -> None:
    made = register(scored, "fsp-a", manufacturer="unknown")
    links = made.headers["Link"]
    iri = made.headers["Location"]
    assert f'<{iri}/quality>; rel="quality"' in links

    told = scored.client("fsp-a").get(f"{iri}/quality").json()

    assert told["score"] == int(made.headers["Fmar-Quality"])
    assert set(told["dimensions"]) == {"completeness", "validity", "consistency", "uniqueness", "timeliness", "accuracy"}
    missed = {each["rule"]: each for each in told["missed"]}
    assert missed["make-is-real"]["field"] == "manufacturer"
    assert missed["has-voltage"]["status"] == "SHADOW"


def test_mending_raises_the_score(scored: Live) -> None:
    made = register(scored, "fsp-a")
    before = int(made.headers["Fmar-Quality"])

    changed = scored.client("fsp-a").patch(made.headers["Location"], json={"friendlyCode": f"Q-{before}-{time.time_ns()}"}, headers={"Content-Type": "application/merge-patch+json", "If-Match": made.headers["ETag"]})

    assert changed.status_code == 200
    assert int(changed.headers["Fmar-Quality"]) > before


def test_who_sees_less_is_measured_by_less(scored: Live) -> None:
    iri = register(scored, "fsp-a", manufacturer="unknown").headers["Location"]

    own, dso = (scored.client(name).get(f"{iri}/quality").json() for name in ("fsp-a", "dso-east"))

    assert "make-is-real" in {each["rule"] for each in own["missed"]}
    assert "make-is-real" not in {each["rule"] for each in dso["missed"]}
    assert "uniqueness" not in dso["dimensions"]


def test_hidden_and_absent_are_one_answer(scored: Live) -> None:
    iri = register(scored, "fsp-a").headers["Location"]
    absent = iri[:-4] + "0000"

    refusals = [scored.client("fsp-b").get(f"{each}/quality") for each in (iri, absent)]

    assert [each.status_code for each in refusals] == [404, 404]
    assert refusals[0].text.replace(iri[-36:], absent[-36:]) == refusals[1].text


@pytest.mark.parametrize("media_type", ["text/turtle", "application/n-triples", "application/ld+json", "application/rdf+xml"])
def test_a_score_in_dqv(scored: Live, media_type: str) -> None:
    iri = register(scored, "fsp-a").headers["Location"]

    response = scored.client("fsp-a").get(f"{iri}/quality", headers={"Accept": media_type})

    triples = list(ox.parse(response.content, format=ox.RdfFormat.from_media_type(media_type), base_iri=iri))
    values = {each.subject.value: int(each.object.value) for each in triples if each.predicate.value == f"{DQV}value"}
    assert values[f"{iri}#quality"] == scored.client("fsp-a").get(f"{iri}/quality").json()["score"]
    assert len(values) == 7


def test_a_trial_tells_the_score_and_writes_nothing(scored: Live) -> None:
    trial = scored.client("fsp-a").post("/assets?dry-run=true", json=scored.battery(manufacturer="tbc"), headers={"Content-Type": "application/ld+json"}).json()

    assert 0 < trial["quality"]["score"] < 100
    assert "make-is-real" in {each["rule"] for each in trial["quality"]["missed"]}


def test_organisations_have_scores_too_and_other_kinds_none(scored: Live) -> None:
    own = scored.profiles["fsp-a"].organisation
    assert scored.client("fsp-a").get(f"{own}/quality").json()["score"] < 100
    assert scored.client("fsp-a").get("/users/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11/quality").status_code == 404


# -- scorecards


@pytest.mark.parametrize("by", CARDS)
def test_every_card_in_every_format(scored: Live, by: str) -> None:
    found = card(scored, "operator", by)
    assert (found["by"], found["kind"]) == (by, "assets")
    assert found["measuredOn"]

    for name in ("csv", "turtle", "jsonld", "html", "ntriples", "rdfxml"):
        assert scored.client("operator").get("/quality", params={"by": by, "format": name}).status_code == 200
    rows = list(csv.DictReader(io.StringIO(scored.client("operator").get("/quality", params={"by": by, "format": "csv"}).text)))
    assert len(rows) == len(card(scored, "operator", by)["items"]) > 0


def test_a_card_is_what_sparql_says(scored: Live) -> None:
    for name in ("operator", "fsp-b", "dso-east"):
        answer = scored.client(name).get("/sparql", params={"query": AVERAGE}).json()["results"]["bindings"][0]

        whole = keyed(card(scored, name, "dimension"))["ALL"]

        assert whole["records"] == int(answer["records"]["value"]) > 0
        assert whole["score"] == int(float(answer["score"]["value"]))


def test_a_provider_is_told_of_its_own_and_an_operator_of_all(scored: Live) -> None:
    own = scored.profiles["fsp-b"].organisation.rpartition("/")[2]

    mine, everything = (keyed(card(scored, name, "organisation")) for name in ("fsp-b", "operator"))

    assert set(mine) == {own}
    assert mine[own] == everything[own]
    assert len(everything) >= 3


def test_a_network_operator_is_told_of_its_areas(scored: Live) -> None:
    assert set(keyed(card(scored, "dso-east", "area"))) == {"UKPN_EPN"}
    assert card(scored, "dso-south", "area")["items"] == []


def test_what_misses_a_rule_is_counted_and_found(scored: Live) -> None:
    rows = keyed(card(scored, "fsp-b", "rule"))
    assert rows["has-friendly-code"]["missing"] == rows["has-friendly-code"]["records"] - 1

    found, following = [], "/quality/assets?rule=has-friendly-code&limit=1"
    while following:
        page = scored.client("fsp-b").get(following).json()
        found += [each["id"] for each in page["items"]]
        following = page.get("next")

    assert len(found) == len(set(found)) == rows["has-friendly-code"]["missing"]
    for iri in found:
        assert "has-friendly-code" in {each["rule"] for each in scored.client("fsp-b").get(f"{iri}/quality").json()["missed"]}


# -- aggregates


def test_a_regulator_is_told_large_cells_of_everything(scored: Live) -> None:
    found = card(scored, "regulator", "category")

    assert found["isAggregate"] is True
    assert set(keyed(found)) <= {"BESS"}
    assert "SOLAR_PV" not in keyed(found)
    assert all(row["records"] % 5 == 0 for row in found["items"])


def test_an_aggregate_says_the_same_all_day(scored: Live) -> None:
    before = card(scored, "regulator", "dimension")
    wait(scored, register(scored, "fsp-c").headers["Fmar-Journal-Index"])

    assert card(scored, "regulator", "dimension") == before


def test_a_regulator_is_not_told_of_single_organisations(scored: Live) -> None:
    refused = scored.client("regulator").get("/quality?by=organisation")

    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (403, "QUALITY-AGGREGATE-1")
    assert scored.client("regulator").get("/quality/assets?rule=has-voltage").json()["items"] == []


# -- days


def test_a_day_is_kept_for_each_provider(scored: Live) -> None:
    deadline = time.monotonic() + 90
    while not (rows := card(scored, "fsp-a", "day")["items"]) and time.monotonic() < deadline:
        time.sleep(1)

    assert date.fromisoformat(rows[0]["key"])
    assert 0 < rows[0]["score"] <= 100
    other = scored.profiles["fsp-a"].organisation.rpartition("/")[2]
    assert card(scored, "operator", "day", organisation=other)["items"] == rows
    assert card(scored, "operator", "day", organisation=scored.profiles["fsp-a"].organisation)["items"] == rows
    assert scored.client("operator").get(f"/quality?by=category&organisation={other}").status_code == 400
    refused = scored.client("fsp-b").get(f"/quality?by=day&organisation={other}")
    assert (refused.status_code, refused.json()["detail"].partition(":")[0]) == (403, "QUALITY-DAYS-1")


def test_days_that_are_too_old_go_and_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    file = ScorecardFile(tmp_path / "state" / "scorecards.db", days=2)
    for day in (1, 2, 3, 4):
        file.keep(date(2026, 11, day), [("a", (day, {"": 50}))])
    assert [day for day, _ in file.days("a")] == ["2026-11-02", "2026-11-03", "2026-11-04"]
    file.close()
    (tmp_path / "state" / "scorecards.db").write_bytes(b"not a database, by far" * 100)

    again = ScorecardFile(tmp_path / "state" / "scorecards.db", days=2)

    assert again.days("a") == []
    again.close()


# -- what is wrong


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/quality?by=colour", "by is one of"),
        ("/quality?by=area&kind=organisations", "of assets alone"),
        ("/quality?kind=users", "kind is one of"),
        ("/quality?by=area&by=rule", "each once at most"),
        ("/quality?colour=red", "this takes"),
        ("/quality/assets?rule=has-nmae", "did you mean has-name"),
        ("/quality/assets", "rule is one of"),
        ("/quality/assets?rule=has-website", "rule is one of"),
        ("/quality/assets?rule=has-name&cursor=x", "cursor was not issued"),
        ("/quality/assets?rule=has-name&limit=0", "limit is a number"),
    ],
)
def test_what_is_wrong_is_named(scored: Live, path: str, said: str) -> None:
    response = scored.client("fsp-a").get(path)

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")
    assert said in response.json()["detail"]


def test_rules_are_published(scored: Live) -> None:
    response = scored.client().get("/shapes/quality/asset", headers={"Accept": "application/n-triples"})

    assert response.status_code == 200
    assert all(rule.iri in response.text for rule in packaged_rules().rules if rule.class_name == "Asset")
