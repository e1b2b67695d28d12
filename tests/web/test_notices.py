"""Notices over HTTP, at a live node with the sources of assets: who is told, who sees it, who acts on it, and the command."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from examples.servers.asset_sources import Sources
from fmar_node.cli.main import app
from tests.live import LD_JSON, Live
from tests.market import battery, mpan

GIVE_UP = 20
PARTICIPANTS = {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}, "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN"]}, "neso": {"roles": ["SYSTEM_OPERATOR"]}}
FORMATS = ("application/ld+json", "application/json", "text/turtle", "application/n-triples", "application/n-quads", "application/rdf+xml", "text/html")
Item = dict[str, Any]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """It asks a meter point service; a provider has a second to answer a query."""
    with Sources() as server:
        given = {"FMAR_METER_POINT_URL": server.url, "FMAR_SOURCE_CACHE_SECONDS": "0", "FMAR_ASSET_QUERY_SECONDS": "1", "FMAR_FRESHNESS_SECONDS": "15"}
        with Live(tmp_path_factory.mktemp("notices"), PARTICIPANTS, **given) as running:
            yield running


def waited(found: Callable[[], list[Item]]) -> Item:
    """The one that is there by and by."""
    until = time.monotonic() + GIVE_UP
    while not (items := found()) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(items) == 1, items
    return items[0]


def listed(node: Live, by: str, **equal: str) -> list[Item]:
    response = node.client(by).get("/notices", params=equal)
    assert response.status_code == 200, response.text
    items: list[Item] = response.json()["items"]
    return items


def asset(node: Live, number: int) -> str:
    """An asset of fsp-a whose postcode is not that of its meter point."""
    document = battery(f"N-{number}", importMPAN=mpan(1), exportMPAN=None, postcode="IP1 2AC", serialNumber=None, ratedCapacity=f"{number + 5}00.00", genCapacity="500.00")
    document["justification"] = [{"rule": rule, "text": "for a test"} for rule in ("A03", "DUPLICATE_PROBABLE", "A21")]
    response = node.client("fsp-a").post("/assets", json=document, headers=LD_JSON)
    assert response.status_code == 201, response.text
    return response.headers["Location"]


def told(node: Live, number: int, by: str = "fsp-a", type_: str = "QUERY_OPEN") -> Item:
    """The notice of such an asset."""
    iri = asset(node, number)
    return waited(lambda: listed(node, by, noticeStatus="OPEN", noticeType=type_, subject=iri))


def codes(response: Any) -> list[str]:
    return [error["code"] for error in response.json()["errors"]]


def test_the_provider_is_told_and_nobody_else_sees_it(node: Live) -> None:
    notice = told(node, 1)

    assert (notice["noticeParty"], notice["noticeField"]) == (node.profiles["fsp-a"].organisation, ["postcode"])
    assert "IP1 2AB" not in json.dumps(notice) and mpan(1) not in json.dumps(notice)
    assert notice in listed(node, "operator", noticeType="QUERY_OPEN")
    for name in ("fsp-b", "dso-east", "neso"):
        assert listed(node, name) == []
        assert node.client(name).get(notice["id"]).status_code == 404
        assert node.client(name).post(f"{notice['id']}/acknowledgement").status_code == 404
    assert node.client().get("/notices").json()["items"] == []
    assert node.client().get(notice["id"]).status_code == 404


def test_it_is_read_in_every_format_and_has_a_history_and_a_proof(node: Live) -> None:
    notice = told(node, 2)

    for media_type in FORMATS:
        response = node.client("fsp-a").get(notice["id"], headers={"Accept": media_type})
        assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (200, media_type)
    page = node.client("fsp-a").get("/notices", headers={"Accept": "text/html"})
    assert "Query open (QUERY_OPEN)" in page.text
    history = node.client("fsp-a").get(f"{notice['id']}/history").json()["items"]
    assert (history[0]["action"], history[0]["by"]["organisation"]) == ("register", "")
    assert node.client("fsp-a").get(f"{notice['id']}/proof").status_code == 200
    assert node.client("fsp-a").get(f"{notice['id']}/versions").status_code == 200


def test_it_is_acknowledged_and_resolved_with_a_reason(node: Live) -> None:
    notice, client = told(node, 3), node.client("fsp-a")

    seen = client.post(f"{notice['id']}/acknowledgement")
    again = client.post(f"{notice['id']}/acknowledgement")
    bare = client.post(f"{notice['id']}/resolution", json={"resolution": "SETTLED"}, headers=LD_JSON)
    wrong = client.post(f"{notice['id']}/resolution", json={"resolution": "FINE", "resolutionText": "x"}, headers=LD_JSON)
    done = client.post(f"{notice['id']}/resolution", json={"resolution": "SOURCE_WRONG", "resolutionText": "the service has the old one"}, headers=LD_JSON)

    assert (seen.status_code, seen.json()["noticeStatus"]) == (200, "ACKNOWLEDGED")
    assert (again.status_code, codes(again)) == (409, ["NOTICE-ACKNOWLEDGE-2"])
    assert (bare.status_code, codes(bare)) == (422, ["NOTICE-RESOLVE-4", "NOTICE-RESOLVE-5"])
    assert wrong.status_code == 422
    assert (done.status_code, done.json()["resolvedBy"]) == (200, node.profiles["fsp-a"].organisation)
    assert notice["id"] not in [each["id"] for each in listed(node, "fsp-a", noticeStatus="OPEN")]
    assert notice["id"] in [each["id"] for each in listed(node, "fsp-a", noticeStatus="RESOLVED", resolution="SOURCE_WRONG")]


def test_the_operator_is_told_of_what_is_overdue(node: Live) -> None:
    notice = told(node, 4, "operator", "QUERY_OVERDUE")

    assert (notice["noticeRole"], "noticeParty" in notice) == ("FMAR_OPERATOR", False)
    assert notice["id"] not in [each["id"] for each in listed(node, "fsp-a")]
    assert node.client("operator").post(f"{notice['id']}/acknowledgement").status_code == 200
    node.client("operator").post(f"{notice['subject']}/acceptance", json={"acceptanceReason": "seen on site"}, headers=LD_JSON)
    settled = {each["noticeType"]: each for each in listed(node, "operator", subject=notice["subject"])}
    assert {name: (each["noticeStatus"], each["resolution"]) for name, each in settled.items()} == {
        "QUERY_OPEN": ("RESOLVED", "ACCEPTED"), "QUERY_OVERDUE": ("RESOLVED", "ACCEPTED"),
    }  # fmt: skip
    assert "resolvedBy" not in settled["QUERY_OVERDUE"]


def test_nobody_writes_a_notice(node: Live) -> None:
    notice = told(node, 5)

    made = node.client("operator").post("/notices", json={"type": "Notice", "noticeType": "QUERY_OPEN", "subject": notice["subject"]}, headers=LD_JSON)

    assert made.status_code == 405
    assert [node.client("operator").post(f"{notice['id']}/{action}").status_code for action in ("settlement", "reopening", "renewal")] == [404] * 3
    assert "post" not in node.client().get("/openapi.json").json()["paths"]["/notices"]


def test_a_notice_is_in_the_graph_of_who_sees_it(node: Live) -> None:
    notice = told(node, 6)
    index = int(node.client("fsp-a").post(f"{notice['id']}/acknowledgement").headers["Fmar-Journal-Index"])
    query = f"PREFIX fmar: <https://w3id.org/fmar/ns#> SELECT ?status {{ <{notice['id']}> fmar:noticeStatus ?status }}"

    found = {name: [row["status"].rpartition("#")[2] for row in node.rows(name, query, index)] for name in ("fsp-a", "operator", "fsp-b", "dso-east", "neso")}

    assert found == {"fsp-a": ["ACKNOWLEDGED"], "operator": ["ACKNOWLEDGED"], "fsp-b": [], "dso-east": [], "neso": []}


def test_the_command_lists_acknowledges_and_resolves(node: Live) -> None:
    notice, as_ = told(node, 7), ("--as", str(node.folder / "participants" / "fsp-a"))
    run = CliRunner()

    told_ = run.invoke(app, ["notices", "list", "--type", "QUERY_OPEN", *as_])
    seen = run.invoke(app, ["notices", "acknowledge", notice["id"], *as_])
    raw = json.loads(run.invoke(app, ["notices", "list", "--json", *as_]).output)
    done = run.invoke(app, ["notices", "resolve", notice["id"], "--resolution", "corrected", "--text", "a slip of the pen", *as_])
    after = run.invoke(app, ["notices", "list", *as_])
    everything = json.loads(run.invoke(app, ["notices", "list", "--all", "--json", *as_]).output)

    assert notice["id"] in told_.output and "OPEN QUERY_OPEN, due by " in told_.output
    assert (seen.output, done.output) == ("acknowledged\n", "resolved as CORRECTED\n")
    assert {each["id"]: each["noticeStatus"] for each in raw}[notice["id"]] == "ACKNOWLEDGED"
    assert notice["id"] not in after.output
    assert {each["id"]: each.get("resolutionText") for each in everything}[notice["id"]] == "a slip of the pen"
