"""The companies register: what is the same as what it has, what counts as an answer, and what a bad server cannot do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from examples.servers.companies_register import Register
from fmar_node.clock import SetClock
from fmar_node.errors import Malformed
from fmar_node.settings import Settings
from fmar_node.sources.asker import checked, key_in
from fmar_node.sources.companies_register import (
    CompaniesRegister,
    Company,
    company_of,
    compared,
    same_name,
)
from fmar_node.sources.source import Finding, Outcome, SourceUnavailable

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
WINDMILL = {"organisationLegalName": "Windmill Flex Ltd", "organisationType": "LTD", "organisationRegistrationNumber": "99000200"}
AS_REGISTERED = Company("99000200", "WINDMILL FLEX LTD", "active", "ltd", 2019)


@pytest.fixture(scope="module")
def running() -> Iterator[Register]:
    with Register(key="secret", seconds=0.5) as server:
        yield server


@pytest.fixture
def server(running: Register) -> Register:
    running.mode, running.most_waiting = "up", 0
    running.asked.clear()
    return running


def client(server: Register, key: str = "secret", **given: Any) -> CompaniesRegister:
    settings = Settings(companies_register_url=server.url, **{"source_seconds": 5.0, **given})
    return CompaniesRegister(settings, SetClock(NOON), key)


def ask(server: Register, document: dict[str, Any] = WINDMILL, **given: Any) -> Finding:
    async def asking() -> Finding:
        source = client(server, **given)
        try:
            return await source.ask(document)
        finally:
            await source.close()

    return asyncio.run(asking())


def outcomes(document: dict[str, Any], company: Company | None) -> dict[str, Outcome]:
    return {each.field: each.outcome for each in compared(document, company)}


# -- names


@pytest.mark.parametrize(("ours", "theirs"), [
    ("Windmill Flex Ltd", "WINDMILL FLEX LIMITED"),
    ("Windmill Flex Ltd.", "WINDMILL  FLEX LTD"),
    ("A. B. Smith & Sons Limited", "A B SMITH AND SONS LTD"),
    ("O'Brien-Jones Energy P.L.C.", "OBRIEN JONES ENERGY PUBLIC LIMITED COMPANY"),
    ("Heat and Power Partners L.L.P.", "HEAT & POWER PARTNERS LIMITED LIABILITY PARTNERSHIP"),
    ("Cwmni Ynni Enghraifft Cyf", "CWMNI YNNI ENGHRAIFFT CYFYNGEDIG"),
    ("Énergie Exemple Ltd", "ENERGIE EXEMPLE LIMITED"),
    ("Greenpark Ltd", "GREEN PARK LTD"),
])  # fmt: skip
def test_a_name_is_the_same_in_another_spelling(ours: str, theirs: str) -> None:
    assert same_name(ours, theirs)


@pytest.mark.parametrize(("ours", "theirs"), [
    ("Windmill Flex Ltd", "WINDMILL FLEX PLC"),
    ("Windmill Flex", "WINDMILL FLEX LTD"),
    ("Windmill Flex Unlimited", "WINDMILL FLEX LIMITED"),
    ("Windmill Flex 2 Ltd", "WINDMILL FLEX LTD"),
    ("Old Name Energy Ltd", "NEW NAME FLEXIBILITY LIMITED"),
])  # fmt: skip
def test_another_name_is_another_name(ours: str, theirs: str) -> None:
    assert not same_name(ours, theirs)


# -- the comparison


def test_everything_that_can_be_compared_is() -> None:
    document = {**WINDMILL, "yearOfRegistration": 2019, "yearOfRegistrationBasis": "NATIONAL"}

    found = compared(document, AS_REGISTERED)

    assert {each.outcome for each in found} == {Outcome.AGREES}
    assert [(each.field, each.found) for each in found] == [
        ("organisationRegistrationNumber", "99000200"), ("organisationLegalName", "WINDMILL FLEX LTD"),
        ("organisationType", "ltd"), ("companyStatus", "active"), ("yearOfRegistration", "2019"),
    ]  # fmt: skip


@pytest.mark.parametrize(("changes", "field"), [
    ({"organisationLegalName": "Other Ltd"}, "organisationLegalName"),
    ({"organisationType": "PLC"}, "organisationType"),
    ({"yearOfRegistration": 2018, "yearOfRegistrationBasis": "NATIONAL"}, "yearOfRegistration"),
])  # fmt: skip
def test_what_differs_is_told_field_by_field(changes: dict[str, Any], field: str) -> None:
    found = outcomes({**WINDMILL, **changes}, AS_REGISTERED)

    assert [name for name, outcome in found.items() if outcome is Outcome.DIFFERS] == [field]


@pytest.mark.parametrize("status", ["dissolved", "liquidation", "administration", "removed", "closed"])
def test_a_company_has_to_be_active(status: str) -> None:
    assert outcomes(WINDMILL, Company("99000200", "WINDMILL FLEX LTD", status, "ltd", 0))["companyStatus"] is Outcome.DIFFERS


@pytest.mark.parametrize(("type_", "ours", "outcome"), [
    ("private-limited-guarant-nsc", "LTD", Outcome.AGREES),
    ("private-limited-shares-section-30-exemption", "LTD", Outcome.AGREES),
    ("old-public-company", "PLC", Outcome.AGREES),
    ("llp", "LLP", Outcome.AGREES),
    ("oversea-company", "LTD", Outcome.DIFFERS),
    ("limited-partnership", "LLP", Outcome.DIFFERS),
    ("northern-ireland", "PLC", Outcome.NOT_COMPARED),
    ("", "LTD", Outcome.NOT_COMPARED),
])  # fmt: skip
def test_types_of_companies_are_ours(type_: str, ours: str, outcome: Outcome) -> None:
    document = {**WINDMILL, "organisationType": ours}

    assert outcomes(document, Company("99000200", "WINDMILL FLEX LTD", "active", type_, 0))["organisationType"] is outcome


@pytest.mark.parametrize("given", [{}, {"yearOfRegistration": 2001}, {"yearOfRegistration": 2001, "yearOfRegistrationBasis": "FMAR"}])
def test_a_year_in_fmar_is_not_the_registers(given: dict[str, Any]) -> None:
    assert outcomes({**WINDMILL, **given}, AS_REGISTERED)["yearOfRegistration"] is Outcome.NOT_COMPARED


def test_a_finding_is_confirmed_when_nothing_is_otherwise() -> None:
    def finding(company: Company | None) -> Finding:
        return Finding("COMPANIES_REGISTER", "", "", compared(WINDMILL, company))

    assert finding(AS_REGISTERED).is_confirmed
    assert not finding(Company("99000200", "WINDMILL FLEX LTD", "dissolved", "ltd", 2019)).is_confirmed
    assert not finding(None).is_confirmed


@pytest.mark.parametrize("body", [
    b"", b"[]", b"null", b"{}", b"[" * 10_000, b"\xff", b'{"company_name": 5}',
    b'{"company_name": "A", "company_number": "99000200"}',
    b'{"company_name": "\\u0000 ", "company_status": "active", "company_number": "99000200"}',
    b'{"company_name": "A", "company_status": "active", "company_number": "99000201"}',
])  # fmt: skip
def test_what_describes_no_such_company_is_no_answer(body: bytes) -> None:
    with pytest.raises(SourceUnavailable):
        company_of(body, "99000200")


def test_texts_of_an_answer_are_one_printable_line() -> None:
    body = b'{"company_name": "A\\n\\u202eB", "company_status": "active", "company_number": "99000200", "date_of_creation": 5, "type": null}'

    assert company_of(body, "99000200") == Company("99000200", "A B", "active", "", 0)


# -- over HTTP


def test_a_company_is_found(server: Register) -> None:
    found = ask(server)

    assert found.is_confirmed
    assert (found.source, found.at) == ("COMPANIES_REGISTER", "2026-12-01T12:00:00.000Z")
    assert found.reference == f"{server.url}/company/99000200"


def test_a_number_that_the_register_does_not_have(server: Register) -> None:
    found = ask(server, {**WINDMILL, "organisationRegistrationNumber": "99999999"})

    assert [(each.field, each.outcome) for each in found.comparisons] == [("organisationRegistrationNumber", Outcome.NOT_FOUND)]


@pytest.mark.parametrize("mode", ["down", "limited", "garbled", "huge", "packed", "redirect", "page", "other"])
def test_what_is_no_answer_says_nothing_of_the_company(server: Register, mode: str) -> None:
    server.mode = mode

    with pytest.raises(SourceUnavailable):
        ask(server)

    assert server.asked == ["99000200"]


@pytest.mark.parametrize("mode", ["slow", "endless"])
def test_an_answer_has_its_time(server: Register, mode: str) -> None:
    server.mode, began = mode, time.monotonic()

    with pytest.raises(SourceUnavailable, match=r"no answer within 0.2 seconds"):
        ask(server, source_seconds=0.2)

    assert time.monotonic() - began < 2


def test_a_slow_answer_is_one(server: Register) -> None:
    server.mode = "slow"

    assert ask(server).is_confirmed


def test_nobody_there_is_no_answer(server: Register) -> None:
    with Register() as gone:
        pass

    with pytest.raises(SourceUnavailable, match="no answer: ConnectError"):
        ask(gone)


def test_the_source_may_say_how_long_it_wants_to_be_left_alone(server: Register) -> None:
    server.mode = "limited"

    with pytest.raises(SourceUnavailable) as refusal:
        ask(server)

    assert refusal.value.pause == 1


@pytest.mark.parametrize("key", ["", "wrong"])
def test_a_key_that_is_not_accepted_is_said_to_be_so(server: Register, key: str) -> None:
    with pytest.raises(SourceUnavailable, match="does not accept this node's key"):
        ask(server, key=key)


@pytest.mark.parametrize("number", ["", "../admin", "9900020", "99000200?x", "９９０００２００"])
def test_only_a_number_goes_into_the_address(server: Register, number: str) -> None:
    with pytest.raises(SourceUnavailable):
        ask(server, {**WINDMILL, "organisationRegistrationNumber": number})

    assert server.asked == []


@pytest.mark.parametrize(("seconds", "questions"), [(60.0, 1), (0.0, 2)])
def test_an_answer_is_used_again_for_a_while(server: Register, seconds: float, questions: int) -> None:
    async def asking() -> tuple[Finding, Finding]:
        source = client(server, source_cache_seconds=seconds)
        first = await source.ask(WINDMILL)
        source.clock.forward(seconds=5)  # type: ignore[attr-defined]
        second = await source.ask({**WINDMILL, "organisationLegalName": "Other Ltd"})
        await source.close()
        return first, second

    first, second = asyncio.run(asking())

    assert len(server.asked) == questions
    assert (first.is_confirmed, second.is_confirmed) == (True, False)
    assert (first.at == second.at) == (questions == 1)  # the time is that of the answer


def test_no_answer_is_not_remembered(server: Register) -> None:
    async def asking() -> Finding:
        source = client(server)
        server.mode = "down"
        with pytest.raises(SourceUnavailable):
            await source.ask(WINDMILL)
        server.mode = "up"
        try:
            return await source.ask(WINDMILL)
        finally:
            await source.close()

    assert asyncio.run(asking()).is_confirmed


# -- settings


@pytest.mark.parametrize("url", [
    "http://register.example", "ftp://127.0.0.1", "register.example", "https://", "https://user:secret@register.example",
    "https://register.example/?x=1", "https://register.example:x", "http://127.0.0.1.example",
])  # fmt: skip
def test_an_address_is_https_or_this_machine(url: str) -> None:
    with pytest.raises(Malformed, match="companies_register_url"):
        checked(url, "companies_register_url")


@pytest.mark.parametrize("url", ["https://register.example/api/", "http://127.0.0.1:8090", "http://[::1]:8090", "http://localhost:8090"])
def test_such_an_address_is_taken(url: str) -> None:
    assert checked(url, "mcs_url") == url.rstrip("/")


@pytest.mark.parametrize("content", [b"", b"two words", b"user:password", b"two\nlines", b"\xff"])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "register.key"
    file.write_bytes(content)

    with pytest.raises(Malformed, match="companies_register_key_file"):
        key_in(file, "companies_register_key_file")


def test_a_key_stands_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "register.key"
    file.write_text("0f3c-secret\n", "ascii")

    assert key_in(file, "oem_key_file") == "0f3c-secret"
    with pytest.raises(Malformed, match="cannot be read"):
        key_in(tmp_path / "absent.key", "oem_key_file")
