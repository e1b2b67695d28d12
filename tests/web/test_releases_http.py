"""Releases over HTTP: the whole life on a live node with two judges, what others see of it, kills.

The flood over the activation and the analysis that is killed: make test ARGS="-m campaign tests/web/test_releases_http.py"
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from fmar_node.cli.main import app
from fmar_node.clock import LONDON
from fmar_node.vocabulary import RELEASE
from tests.killing import WRITER, children, kill, wait_for_others, wait_until
from tests.live import LD_JSON, Live
from tests.releasing import ASSETS, CATEGORIES, capped, release, v2g

V2G = {"assetCategory": "V2G_CHARGER", "storageEnergyCapacity": "60.00"}


@pytest.fixture
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node of its own for each: what is in force cannot be taken back."""
    participants: dict[str, dict[str, Any]] = {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}}
    with Live(tmp_path_factory.mktemp("releases"), participants, FMAR_JUDGES="2") as live:
        yield live


def today() -> str:
    return datetime.now(UTC).astimezone(LONDON).date().isoformat()


def propose(node: Live, files: dict[str, str], level: str = "MAJOR") -> str:
    made = node.client("operator").post("/releases", json=release(files, level), headers=LD_JSON)
    assert made.status_code == 201, made.text
    return str(made.headers["Location"])


def act(node: Live, iri: str, action: str, **note: str) -> httpx.Response:
    return node.client("operator").post(f"{iri}/{action}", json=note, headers=LD_JSON)


def status(node: Live, iri: str) -> str:
    return str(node.client("operator").get(iri).json()["releaseStatus"])


def in_shadow(node: Live, files: dict[str, str], level: str = "MAJOR") -> str:
    iri = propose(node, files, level)
    wait_until(lambda: "impactAt" in node.client("operator").get(iri).json(), "the impact is not known")
    assert act(node, iri, "shadow").is_success
    return iri


def in_force(node: Live, files: dict[str, str]) -> str:
    iri = in_shadow(node, files)
    assert act(node, iri, "approval", activeFrom=today()).is_success
    wait_until(lambda: status(node, iri) == "ACTIVE", "the release is not in force")
    return iri


def codes(node: Live, who: str = "", **asked: str) -> set[str]:
    answer = node.client(who).get("/codes/AssetCategory", params=asked, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    return {each["code"] for each in answer.json()["codes"]}


def test_a_release_from_its_proposal_to_the_records_that_obey_it(node: Live) -> None:
    old = node.register()
    iri = in_shadow(node, v2g())
    operator = node.client("operator").get(iri).json()
    assert (operator["impactRecords"], operator["impactFailing"]) == (1, 0)
    assert "V2G_CHARGER" not in codes(node)
    assert "V2G_CHARGER" in codes(node, "operator", release="2")
    assert node.client("fsp-a").post("/assets", json=node.battery(**V2G), headers=LD_JSON).json()["errors"][0]["constraint"] == "A05-code"

    act(node, iri, "approval", activeFrom=today())
    wait_until(lambda: status(node, iri) == "ACTIVE", "the release is not in force")

    made = node.register(**V2G)
    assert made.json()["shapesVersion"] == "2.0.0+2"
    lacking = node.client("fsp-a").post("/assets", json=node.battery(**{**V2G, "storageEnergyCapacity": None}), headers=LD_JSON)
    assert (lacking.status_code, lacking.json()["errors"][0]["constraint"]) == (422, "V2G-storage")
    assert "V2G_CHARGER" in codes(node)
    assert "V2G_CHARGER" not in codes(node, release="1")
    assert node.client("").get("/shapes/asset").headers["Fmar-Vocabulary"] == "2.0.0+2"
    assert node.client("fsp-a").get(old.headers["Location"]).json()["shapesVersion"] == RELEASE
    assert "V2G_CHARGER" in json.dumps(node.client("").get("/openapi.json").json())
    assert "V2G charger" in node.client("fsp-a").get(made.headers["Location"], headers={"Accept": "text/html"}).text
    obeyed_after_a_restart(node)


def obeyed_after_a_restart(node: Live) -> None:
    """The graphs of the vocabulary have followed, and stay."""
    asked = f'SELECT ?c {{ GRAPH <{node.url}/codes> {{ ?c <http://www.w3.org/2004/02/skos/core#notation> "V2G_CHARGER" }} }}'

    def seen() -> bool:
        answer = node.ask("fsp-a", asked)
        return answer.status_code == 200 and bool(answer.json()["results"]["bindings"])

    wait_until(seen, "the graph of code lists has not followed")
    node.stop()
    node.start()
    for client in node.clients.values():
        client.close()
    node.clients.clear()

    assert seen()
    assert node.register(**V2G).json()["shapesVersion"] == "2.0.0+2"


def test_what_is_wrong_is_not_proposed_and_what_is_not_approved_is_the_operators_alone(node: Live) -> None:
    refused = node.client("operator").post("/releases", json=release({CATEGORIES: "nonsense", ASSETS: "more"}), headers=LD_JSON)
    forbidden = node.client("fsp-a").post("/releases", json=release(v2g()), headers=LD_JSON)
    alone = node.client("operator").post("/releases", json=release({CATEGORIES: v2g()[CATEGORIES]}), headers=LD_JSON)

    assert (refused.status_code, {each["code"] for each in refused.json()["errors"]}) == (422, {"RELEASE-FILE-5"})
    assert (forbidden.status_code, forbidden.json()["errors"][0]["code"]) == (403, "RELEASE-PROPOSE-1")
    assert [each["code"] for each in alone.json()["errors"]] == ["RELEASE-CODES-5", "RELEASE-CODES-5"]

    iri = in_shadow(node, v2g())

    for path in (iri, f"{iri}/impact", f"{iri}/shadow", "/codes/AssetCategory?release=2", "/shapes?release=2", "/codes?release=9"):
        mine, absent = node.client("fsp-a").get(path), node.client("fsp-a").get(path.replace(iri[-12:], "0" * 12).replace("release=2", "release=9"))
        assert (mine.status_code, absent.status_code) == (404, 404), path
        assert {**mine.json(), "instance": ""} == {**absent.json(), "instance": ""}
    assert node.client("").get("/codes?release=0").status_code == node.client("").get("/codes?release=x").status_code == 400
    act(node, iri, "approval", activeFrom="2999-01-01")
    assert "V2G_CHARGER" in codes(node, release="2")
    assert node.client("").get(iri).json()["activeFrom"] == "2999-01-01"
    assert node.client("fsp-a").get(f"{iri}/impact").status_code == 404


def test_the_operator_reads_who_would_fail_and_what_the_shadow_counts(node: Live) -> None:
    for _ in range(2):
        node.register()
    node.register("fsp-b")
    iri = in_shadow(node, capped())
    node.register()

    impact = node.client("operator").get(f"{iri}/impact").json()
    assert (impact["status"], impact["records"], impact["failing"]) == ("finished", 3, 3)
    assert sorted(row["records"] for row in impact["rows"]) == [1, 2]
    (row,) = [row for row in impact["rows"] if row["records"] == 1]
    (narrowed,) = node.client("operator").get(f"{iri}/impact", params={"manager": row["manager"]}).json()["rows"]
    assert node.client("operator").get(f"/assets/{narrowed['first'][0]}").status_code == 200
    assert node.client("operator").get(f"{iri}/impact?assetName=x").status_code == 400
    shadow = node.client("operator").get(f"{iri}/shadow").json()
    assert (shadow["judged"], shadow["refused"], [each["constraint"] for each in shadow["rows"]]) == (1, 1, ["NEW-cap"])


@pytest.mark.campaign
def test_a_flood_over_the_activation_has_no_record_of_the_wrong_release(node: Live) -> None:
    """Every record says which release it was judged by; that is the one in force at its entry, and no request notices the change."""
    iri, going, answers = in_shadow(node, capped()), threading.Event(), list[httpx.Response]()

    def flood(name: str) -> None:
        while not going.is_set():
            answers.append(node.client(name).post("/assets", json=node.battery(), headers=LD_JSON))

    writers = [threading.Thread(target=flood, args=(name,)) for name in ("fsp-a", "fsp-b") for _ in range(3)]
    for each in writers:
        each.start()
    wait_until(lambda: len(answers) > 20, "nothing is written")
    act(node, iri, "approval", activeFrom=today())
    wait_until(lambda: status(node, iri) == "ACTIVE", "the release is not in force")
    size = len(answers)
    wait_until(lambda: len(answers) > size + 20, "nothing is answered")
    going.set()
    for each in writers:
        each.join()

    history = node.client("operator").get(f"{iri}/history").json()["items"]
    (entry,) = [line["journalIndex"] for line in history if line["action"] == "activation"]
    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} == {201, 422}
    assert {answer.json()["errors"][0]["constraint"] for answer in answers if answer.status_code == 422} == {"NEW-cap"}
    assert {answer.json()["shapesVersion"] for answer in made} == {RELEASE}
    assert max(int(answer.headers["Fmar-Journal-Index"]) for answer in made) < entry


def test_a_node_that_is_killed_around_the_activation_obeys_one_release_or_the_other(node: Live) -> None:
    iri = in_shadow(node, v2g())
    act(node, iri, "approval", activeFrom=today())
    killed = kill(children(node, WRITER))
    wait_for_others(node, WRITER, killed)
    wait_until(lambda: status(node, iri) == "ACTIVE", "the release is not in force")

    assert node.register(**V2G).json()["shapesVersion"] == "2.0.0+2"


def test_the_command_goes_from_a_folder_to_a_release_in_force(node: Live, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(app, ["release", *words, "--as", str(node.folder / "participants" / "operator")])
        assert done.exit_code == 0, done.output
        return str(done.output)

    mine = tmp_path / "mine"
    run("files", str(mine))
    for name, text in v2g().items():
        (mine / name).write_text(text)
    told = ("--title", "V2G chargers", "--about", "Adds a category.", "--level", "major")

    assert run("propose", str(mine), *told, "--dry-run").startswith("would be accepted")
    assert run("propose", str(mine), *told).startswith("proposed release 2, 2.0.0+2: codes/AssetCategory.ttl, shapes/asset.ttl")
    wait_until(lambda: run("impact", "2").startswith("finished: 0 of 0"), "the impact is not known")
    wait_until(lambda: "impactAt" in json.loads(run("list", "--json"))[0], "the impact is not entered")
    assert run("shadow", "2").startswith("in shadow: 0 of 0")
    assert run("approve", "2", "--from", "2999-01-01") == "approved: in force from 2999-01-01\n"
    assert "APPROVED" in run("list")
    assert run("withdraw", "2") == "withdrawn\n"


@pytest.mark.campaign
def test_an_analysis_that_is_killed_is_taken_up_again(node: Live) -> None:
    node.register()
    iri = propose(node, v2g())
    wait_until(lambda: bool(children(node, "fmar_node.analysis")) or "impactAt" in node.client("operator").get(iri).json(), "no analysis")
    kill(children(node, "fmar_node.analysis"))

    wait_until(lambda: "impactAt" in node.client("operator").get(iri).json(), "the impact is not known")
    assert node.client("operator").get(f"{iri}/impact").json()["status"] == "finished"
