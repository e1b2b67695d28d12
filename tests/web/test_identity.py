"""A live node and a companies register, both over HTTP: confirmed, queried, not answered, not answered yet."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from examples.servers.companies_register import Register
from fmar_node.cli import participate
from fmar_node.cli.main import app
from fmar_node.client import Profile
from fmar_node.errors import Malformed
from fmar_node.keeping.checkup import check_node
from fmar_node.node import Node
from fmar_node.settings import Settings
from tests.live import LD_JSON, Live
from tests.market import Market, organisation

GIVE_UP = 15


@pytest.fixture(scope="module")
def register() -> Iterator[Register]:
    with Register(key="a-key", seconds=0.3) as server:
        yield server


@pytest.fixture(scope="module")
def node(register: Register, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("identity")
    key = folder / "register.key"
    key.write_text("a-key\n", "ascii")
    key.chmod(0o600)
    source = {"FMAR_COMPANIES_REGISTER_URL": register.url, "FMAR_COMPANIES_REGISTER_KEY_FILE": str(key), "FMAR_SOURCE_CACHE_SECONDS": "0"}
    with Live(folder, {}, FMAR_SOURCE_PAUSE_SECONDS="0.1", FMAR_SOURCE_PAUSE_SECONDS_MOST="0.3", **source) as running:
        yield running


@pytest.fixture(autouse=True)
def up(register: Register) -> None:
    register.mode = "up"


def registered(node: Live, number: str, name: str, type_: str = "LTD") -> str:
    described = organisation(name, ["FSP"], organisationType=type_, organisationTypeDescription=None, organisationRegistrationNumber=number)
    response = node.client("operator").post("/organisations", json=described, headers=LD_JSON)
    assert response.status_code == 201, response.text
    return response.headers["Location"]


def read(node: Live, iri: str) -> dict[str, Any]:
    found: dict[str, Any] = node.client("operator").get(iri).json()
    return found


def settled(node: Live, iri: str) -> dict[str, Any]:
    until = time.monotonic() + GIVE_UP
    while (found := read(node, iri))["identityStatus"] == "PENDING" and time.monotonic() < until:
        time.sleep(0.02)
    return found


def fmar(node: Live, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments, "--data", str(node.folder)])
    return done.exit_code, " ".join((done.stdout + done.stderr).split())


def test_a_company_is_confirmed_and_approved(node: Live) -> None:
    iri = registered(node, "99000201", "Green Park Energy and Storage Ltd")

    found = settled(node, iri)

    assert found["identityStatus"] == "CONFIRMED"
    outcomes = {part["evidenceField"]: part["evidenceOutcome"] for part in found["identityEvidence"]}
    assert outcomes.pop("yearOfRegistration") == "NOT_COMPARED"
    assert set(outcomes.values()) == {"AGREES"}
    assert node.client("operator").post(f"{iri}/approval").json()["organisationStatus"] == "ACTIVE"
    line = node.client("operator").get(f"{iri}/history").json()["items"][1]
    assert (line["action"], line["by"]) == ("verification", {"organisation": "", "application": "COMPANIES_REGISTER", "keyId": ""})
    assert "identityStatus" not in httpx.get(iri, headers={"Accept": "application/json"}).json()


def test_a_query_is_listed_and_needs_a_reason(node: Live) -> None:
    iri, operator = registered(node, "99000203", "Tidal Example Ltd"), node.client("operator")
    settled(node, iri)

    listed = operator.get("/organisations", params={"identityStatus": "QUERY"}).json()["items"]
    refusal = operator.post(f"{iri}/approval")

    assert iri in [item["id"] for item in listed]
    assert refusal.status_code == 409
    assert [error["code"] for error in refusal.json()["errors"]] == ["ORGANISATION-APPROVE-3"]
    approved = operator.post(f"{iri}/approval", json={"approvalReason": "restored to the register last week"}, headers=LD_JSON)
    assert approved.json()["organisationStatus"] == "ACTIVE"


def test_while_the_register_is_down_it_is_pending_and_then_it_is_not(node: Live, register: Register) -> None:
    register.mode = "down"
    iri, asked = registered(node, "SC990210", "Highland Example Hydro Ltd"), len(register.asked)

    refusal = node.client("operator").post(f"{iri}/approval")
    until = time.monotonic() + GIVE_UP
    while len(register.asked) < asked + 2 and time.monotonic() < until:
        time.sleep(0.02)

    assert refusal.status_code == 409
    assert "is being asked" in refusal.json()["detail"]
    assert [item["id"] for item in node.client("operator").get("/organisations", params={"identityStatus": "PENDING"}).json()["items"]] == [iri]
    register.mode = "up"
    assert settled(node, iri)["identityStatus"] == "CONFIRMED"


def test_no_request_waits_for_the_register(node: Live, register: Register) -> None:
    register.mode = "slow"
    iri, began = registered(node, "OC990209", "Heat & Power Partners LLP", "LLP"), time.monotonic()

    read(node, iri)

    assert read(node, iri)["identityStatus"] == "PENDING" or time.monotonic() - began > register.seconds
    assert settled(node, iri)["identityStatus"] == "CONFIRMED"


def test_a_restart_loses_no_question(node: Live, register: Register) -> None:
    register.mode = "down"
    iri = registered(node, "99000207", "Cwmni Ynni Enghraifft Cyf")

    node.stop()
    register.mode = "up"
    node.start()

    assert settled(node, iri)["identityStatus"] == "CONFIRMED"


def test_answers_are_not_taken_over_http(node: Live) -> None:
    iri = registered(node, "NI990211", "Lagan Example Storage Ltd")

    response = node.client("operator").post(f"{iri}/verification", json={"identityStatus": "CONFIRMED"}, headers=LD_JSON)

    assert response.status_code == 404
    assert f"{node.url}/organisations/" not in response.text


def test_the_command_waits_for_the_register(node: Live, register: Register) -> None:
    register.mode = "slow"

    status, said = fmar(node, "participant", "add", "windmill", "--role", "fsp", "--legal-name", "Windmill Flex Ltd", "--registration-number", "99000200")

    assert (status, "onboarded windmill" in said) == (0, True), said
    profile = Profile.load(node.folder / "participants" / "windmill")
    assert read(node, profile.organisation)["identityStatus"] == "CONFIRMED"


def test_the_command_shows_a_query_and_goes_on_with_a_reason(node: Live) -> None:
    given = ("--role", "fsp", "--legal-name", "Old Name Energy Ltd", "--registration-number", "99000204")

    status, said = fmar(node, "participant", "add", "renamed", *given)

    assert status == 1
    for shown in ("organisationLegalName", "DIFFERS", "Old Name Energy Ltd", "NEW NAME FLEXIBILITY LIMITED", "--reason"):
        assert shown in said
    assert not (node.folder / "participants" / "renamed").exists()
    iri = said.partition("--organisation ")[2].split()[0]
    status, said = fmar(node, "participant", "approve", "renamed", "--organisation", iri, "--reason", "its own letter says so")
    assert (status, "onboarded renamed" in said) == (0, True), said
    assert read(node, iri)["approvalReason"] == "its own letter says so"


def test_the_command_says_when_the_register_does_not_answer(node: Live, register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participate, "IDENTITY_SECONDS", 0.2)
    register.mode = "down"
    given = ("--role", "dso", "--area", "NGED_SWEST", "--type", "plc", "--legal-name", "Western Example Networks plc", "--registration-number", "99000202")

    status, said = fmar(node, "participant", "add", "west", *given)

    assert (status, "has not answered yet" in said, "fmar participant approve west" in said) == (1, True, True), said
    register.mode = "up"
    iri = said.partition("--organisation ")[2].split()[0]
    settled(node, iri)
    assert fmar(node, "participant", "approve", "west", "--organisation", iri)[0] == 0


@pytest.mark.parametrize(("given", "said"), [
    ({"companies_register_url": "http://register.example"}, "companies_register_url is https"),
    ({"companies_register_url": "https://register.example", "companies_register_key_file": "absent.key"}, "cannot be read"),
    ({"companies_register_url": "https://register.example", "companies_register_key_file": "open.key"}, "may be read by others"),
])  # fmt: skip
def test_a_node_does_not_start_with_a_register_that_it_cannot_ask(market: Market, given: dict[str, str], said: str) -> None:
    folder = market.node_folder()
    (folder.root / "open.key").write_text("a-key", "ascii")
    (folder.root / "open.key").chmod(0o644)

    with pytest.raises(Malformed, match=said):
        Node(folder, Settings(**given))
    with folder.settings_file.open("a", encoding="utf-8") as settings:
        settings.writelines(f'{name} = "{value}"\n' for name, value in given.items())
    (found,) = [finding for finding in check_node(folder) if finding.what == "sources"]
    assert (found.is_ok, said in found.detail) == (False, True)
