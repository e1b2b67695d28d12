"""The sources of assets: what is compared with what, what is never taken from an answer, and what never stands in a URL."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from examples.servers.asset_sources import Sources
from fmar_node.clock import SetClock
from fmar_node.followers.verification import CLIENTS
from fmar_node.settings import COMPANIES_REGISTER, CONNECTION, MCS, METER_POINT, OEM, Settings
from fmar_node.sources.mcs import certificate_of
from fmar_node.sources.meter_point import meter_point_of
from fmar_node.sources.oem import machine_of
from fmar_node.sources.source import Finding, SourceUnavailable, number_of
from tests.market import battery, mpan

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
PERSONAL = ("1000000000012", "1000000000021", "IP1 2AB", "GP-BESS-0001", "Jo Example")
ASSET = battery(
    "GP-BESS-0001", importMPAN=PERSONAL[0], exportMPAN=PERSONAL[1], postcode="IP1 2AB", alias=[{"scheme": "MCS", "value": "MCS-99-000018"}, {"scheme": "ECR", "value": "UKPN-1"}],
)  # fmt: skip
BY_NAME = {client.name: client for client in CLIENTS if client.name != COMPANIES_REGISTER}
PATHS = {METER_POINT: "meter-points", MCS: "certificates", OEM: "devices", CONNECTION: "connections"}


@pytest.fixture
def server() -> Iterator[Sources]:
    with Sources(key="secret", seconds=0.3) as running:
        yield running


def ask(server: Sources, source: str, **changes: Any) -> Finding:
    given = {term: value for term, value in {**ASSET, **changes}.items() if value is not None}
    url = f"{server.url}/{PATHS[source]}" if source == CONNECTION else server.url
    settings = Settings(**{f"{source.lower()}_url": url}, source_seconds=0.2 if server.modes["meter-points"] == "slow" else 5.0)

    async def asking() -> Finding:
        client = BY_NAME[source](settings, SetClock(NOON), "secret")
        try:
            return await client.ask(given)
        finally:
            await client.close()

    return asyncio.run(asking())


def told(finding: Finding) -> list[tuple[str, str, str]]:
    return [(each.field, each.outcome.value, each.found or each.personal) for each in finding.comparisons]


# -- what is compared


def test_a_meter_point_is_where_it_should_be(server: Sources) -> None:
    found = ask(server, METER_POINT)

    assert found.is_confirmed
    assert (found.source, found.at, found.reference) == (METER_POINT, "2026-12-01T12:00:00.000Z", f"{server.url}/meter-points")
    assert told(found) == [
        ("importMPAN", "AGREES", "IMPORT"), ("dnoConnection", "AGREES", "UKPN_EPN"), ("postcode", "AGREES", "IP1 2AB"),
        ("exportMPAN", "AGREES", "EXPORT"), ("dnoConnection", "AGREES", "UKPN_EPN"), ("postcode", "AGREES", "IP1 2AB"),
    ]  # fmt: skip


@pytest.mark.parametrize(("changes", "differs"), [
    ({"postcode": "IP1 2AC"}, ["postcode", "postcode"]),
    ({"postcode": "ip12ab"}, []),
    ({"dnoConnection": "UKPN_LPN"}, ["dnoConnection", "dnoConnection"]),
    ({"importMPAN": mpan(2), "exportMPAN": mpan(1)}, ["importMPAN", "exportMPAN"]),
    ({"importMPAN": mpan(5)}, ["importMPAN"]),
    ({"importMPAN": mpan(1, 24), "exportMPAN": None}, []),  # an independent network, in any area
])  # fmt: skip
def test_what_differs_of_a_meter_point_is_told_field_by_field(server: Sources, changes: dict[str, Any], differs: list[str]) -> None:
    found = ask(server, METER_POINT, **changes)

    assert [each.field for each in found.comparisons if each.outcome.value in ("DIFFERS", "NOT_FOUND")] == differs


@pytest.mark.parametrize(("changes", "differs"), [
    ({}, []), ({"ratedCapacity": "490.00"}, []), ({"ratedCapacity": "490.00", "installedCapacity": None}, ["ratedCapacity"]),
    ({"postcode": "SE1 4QP"}, ["postcode"]), ({"alias": [{"scheme": "MCS", "value": "MCS-99-1"}]}, ["alias"]),
    ({"importMPAN": mpan(7), "exportMPAN": None}, []),  # does not void a certificate
])  # fmt: skip
def test_a_certificate_is_of_a_place_and_a_capacity(server: Sources, changes: dict[str, Any], differs: list[str]) -> None:
    found = ask(server, MCS, **changes)

    assert [each.field for each in found.comparisons if each.outcome.value in ("DIFFERS", "NOT_FOUND")] == differs


@pytest.mark.parametrize(("changes", "differs"), [
    ({}, []), ({"assetModel": "as 500"}, []), ({"assetModel": None}, []), ({"assetModel": "AS-501"}, ["assetModel"]),
    ({"ratedCapacity": "499.00"}, ["ratedCapacity"]), ({"serialNumber": "GP-BESS-0009"}, ["serialNumber"]), ({"manufacturer": "Other"}, ["serialNumber"]),
])  # fmt: skip
def test_a_machine_is_of_a_model_and_a_capacity(server: Sources, changes: dict[str, Any], differs: list[str]) -> None:
    found = ask(server, OEM, **changes)

    assert [each.field for each in found.comparisons if each.outcome.value in ("DIFFERS", "NOT_FOUND")] == differs


@pytest.mark.parametrize("source", [METER_POINT, MCS])
def test_what_the_record_does_not_say_is_not_taken_from_the_source(server: Sources, source: str) -> None:
    found = ask(server, source, postcode=None)

    assert {(outcome, value) for field, outcome, value in told(found) if field == "postcode"} == {("NOT_COMPARED", "")}
    assert "Jo Example" not in repr(found)


@pytest.mark.parametrize(("value", "number"), [(9.6, "9.6"), ("500.00", "500.00"), (True, None), (None, None), ("ten", None), ("NaN", None), ([], None)])
def test_a_capacity_is_a_number(value: object, number: str | None) -> None:
    found = number_of({"capacity": value}, "capacity")

    assert (found is None and number is None) or str(found) == number


# -- what is an answer


@pytest.mark.parametrize("mode", ["down", "limited", "slow", "wrong", "garbled", "huge", "redirect"])
@pytest.mark.parametrize("source", sorted(BY_NAME))
def test_what_is_no_answer_says_nothing_of_the_asset(server: Sources, source: str, mode: str) -> None:
    server.modes = dict.fromkeys(server.modes, mode)

    with pytest.raises(SourceUnavailable) as refusal:
        ask(server, source)

    assert not any(value in str(refusal.value) for value in PERSONAL)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"[" * 10_000, b"\xff", b'{"mpan": 1000000000012}', b"{}"])
def test_what_describes_nothing_that_was_asked_is_no_answer(body: bytes) -> None:
    for read, number in ((meter_point_of, PERSONAL[0]), (certificate_of, "MCS-1"), (machine_of, "S-1")):
        with pytest.raises(SourceUnavailable):
            read(body, number)


@pytest.mark.parametrize("source", sorted(BY_NAME))
def test_what_is_personal_is_in_no_url_and_no_log(server: Sources, source: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        finding = ask(server, source)
        server.modes = dict.fromkeys(server.modes, "garbled")
        with pytest.raises(SourceUnavailable):
            ask(server, source)

    assert set(server.lines) == {f"POST /{PATHS[source]} HTTP/1.1"}
    assert not any(value in caplog.text + finding.reference + "".join(server.lines) for value in PERSONAL)
    assert {path for path, _ in server.asked} == {PATHS[source]}
    assert "Jo Example" not in json.dumps(server.asked)
