"""The follower that asks who organisations are: every question is answered in the end, once, and about what it was asked about."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from examples.servers.asset_sources import Sources
from examples.servers.companies_register import Register as CompaniesServer
from fmar_node.clock import today
from fmar_node.drafting import Submission
from fmar_node.errors import Unavailable
from fmar_node.followers import verification
from fmar_node.followers.verification import CLIENTS, Trouble, Verification
from fmar_node.journal.register import Register, connect
from fmar_node.kinds import House
from fmar_node.settings import COMPANIES_REGISTER, MCS, METER_POINT, OEM, Settings
from fmar_node.submit import Desk, submit
from tests.market import LOOKUP_KEY, Market, battery, mpan, organisation, vocabulary

QUICK = {"source_pause_seconds": 0.05, "source_pause_seconds_most": 0.2, "source_seconds": 1.0}
GIVE_UP = 10


@pytest.fixture
def server() -> Iterator[CompaniesServer]:
    with CompaniesServer() as running:
        yield running


@pytest.fixture
def asking(market: Market) -> Market:
    market.house = House(frozenset({COMPANIES_REGISTER}))
    return market


def company(market: Market, number: str = "99000200", name: str = "Windmill Flex Ltd", type_: str = "LTD") -> str:
    described = organisation(name, ["FSP"], organisationType=type_, organisationTypeDescription=None, organisationRegistrationNumber=number)
    return market.submit(market.callers["operator"], "organisations", described).id


def follower(market: Market, server: CompaniesServer | Sources, **given: Any) -> Verification:
    """Of all sources that the market's node asks."""
    urls = {f"{source.lower()}_url": server.url for source in market.house.sources}
    settings = Settings(**{**urls, **QUICK, **given})
    sources = [client(settings, market.clock) for client in CLIENTS if client.name in market.house.sources]
    register = Register(connect(market.folder / "journal" / "journal.db"), vocabulary().terms, LOOKUP_KEY)

    async def enter(submission: Submission) -> object:
        desk = Desk(market.register, market, market, vocabulary(), market.house)
        return await submit(desk, submission, today(market.clock))

    return Verification(register, sources, enter, settings, market.clock)


@asynccontextmanager
async def running(verification: Verification) -> AsyncIterator[None]:
    task = asyncio.create_task(verification.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await verification.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(GIVE_UP):
        while not holds():
            await asyncio.sleep(0.01)


def identity(market: Market, id_: str) -> str:
    found: str = market.current("organisations", id_).document["identityStatus"]
    return found


def follow(verification: Verification, holds: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    """Lets the follower run until something holds."""

    async def following() -> None:
        async with running(verification):
            meanwhile()
            await until(holds)

    asyncio.run(following())


ANSWERS = (
    ("99000200", "Windmill Flex Ltd", "LTD", "CONFIRMED"),
    ("OC990209", "Heat and Power Partners LLP", "LLP", "CONFIRMED"),
    ("99000203", "Tidal Example Ltd", "LTD", "QUERY"),
    ("99000204", "Old Name Energy Limited", "LTD", "QUERY"),
    ("99000208", "Public By Now Ltd", "LTD", "QUERY"),
    ("99999999", "Nowhere Ltd", "LTD", "QUERY"),
)


def test_an_answer_becomes_an_entry(asking: Market, server: CompaniesServer) -> None:
    made = [company(asking, number, name, type_) for number, name, type_, _ in ANSWERS]

    follow(follower(asking, server), lambda: all(identity(asking, id_) != "PENDING" for id_ in made))

    for id_, (number, _, _, expected) in zip(made, ANSWERS, strict=True):
        version = asking.current("organisations", id_)
        assert (version.document["identityStatus"], version.document["organisationStatus"], version.number) == (expected, "PENDING_APPROVAL", 2)
        assert {each["evidenceReference"] for each in version.document["identityEvidence"]} == {f"{server.url}/company/{number}"}


def test_many_are_asked_few_at_a_time(asking: Market, server: CompaniesServer) -> None:
    made = [company(asking, f"{99000300 + number}") for number in range(7)]
    server.mode, server.seconds = "slow", 0.05

    follow(follower(asking, server, source_questions=3), lambda: all(identity(asking, id_) == "QUERY" for id_ in made))

    assert (len(server.asked), server.most_waiting) == (7, 3)


@pytest.mark.parametrize("mode", ["down", "limited", "garbled", "other"])
def test_a_source_that_gives_no_answer_is_asked_until_it_does(asking: Market, server: CompaniesServer, mode: str) -> None:
    id_, server.mode = company(asking), mode
    seen: list[str] = []

    async def following() -> None:
        async with running(follower(asking, server)):
            await until(lambda: len(server.asked) >= 3)
            seen.append(identity(asking, id_))
            server.mode = "up"
            await until(lambda: identity(asking, id_) == "CONFIRMED")

    asyncio.run(following())

    assert seen == ["PENDING"]
    assert asking.current("organisations", id_).number == 2


def test_one_that_is_never_answered_does_not_hold_up_the_others(asking: Market, server: CompaniesServer) -> None:
    server.companies["99000200"] = {"company_number": "99000200"}  # describes nothing
    unlucky, lucky = company(asking), company(asking, "SC990210", "Highland Example Hydro Ltd")

    follow(follower(asking, server, source_questions=1), lambda: identity(asking, lucky) == "CONFIRMED")

    assert identity(asking, unlucky) == "PENDING"


def test_a_silent_source_is_left_alone(asking: Market, server: CompaniesServer) -> None:
    for number in range(12):
        company(asking, f"{99000300 + number}")
    server.mode = "down"

    async def following() -> None:
        async with running(follower(asking, server, source_questions=2, source_pause_seconds=30, source_pause_seconds_most=60)) as _:
            await until(lambda: len(server.asked) >= 2)
            await asyncio.sleep(0.2)

    asyncio.run(following())

    assert len(server.asked) == 2


def test_pauses_grow_and_have_a_limit() -> None:
    settings, trouble = Settings(source_pause_seconds=2, source_pause_seconds_most=10), Trouble()

    pauses = []
    for _ in range(5):
        trouble.grow(settings, 100.0)
        pauses.append(trouble.until - 100.0)
    trouble.grow(settings, 100.0, pause=1e6)

    assert pauses == [2, 4, 8, 10, 10]
    assert trouble.until == 110.0


def test_a_new_question_wakes_the_follower(asking: Market, server: CompaniesServer) -> None:
    asked: list[str] = []

    async def following() -> None:
        verification = follower(asking, server)
        async with running(verification):
            await asyncio.sleep(0.1)
            asked.append(await asyncio.to_thread(company, asking))
            verification.wake()
            await until(lambda: identity(asking, asked[0]) == "CONFIRMED")

    asyncio.run(following())

    assert server.asked == ["99000200"]


def test_a_question_is_found_by_the_clock_too(asking: Market, server: CompaniesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "LOOK_SECONDS", 0.05)
    made: list[str] = []

    async def following() -> None:
        async with running(follower(asking, server)):
            await asyncio.sleep(0.1)
            made.append(await asyncio.to_thread(company, asking))
            await until(lambda: identity(asking, made[0]) == "CONFIRMED")

    asyncio.run(following())


def test_a_follower_that_ends_loses_no_question(asking: Market, server: CompaniesServer) -> None:
    id_, server.mode, server.seconds = company(asking), "slow", 5.0

    follow(follower(asking, server, source_seconds=10), lambda: len(server.asked) == 1)
    assert identity(asking, id_) == "PENDING"
    server.mode = "up"
    follow(follower(asking, server), lambda: identity(asking, id_) == "CONFIRMED")

    assert len(server.asked) == 2


def test_what_has_moved_on_meanwhile_is_asked_about_as_it_is(asking: Market, server: CompaniesServer) -> None:
    id_, server.mode, server.seconds = company(asking, name="Wrong Name Ltd"), "slow", 0.3

    async def following() -> None:
        async with running(follower(asking, server)):
            await until(lambda: len(server.asked) == 1)
            await asyncio.to_thread(asking.update, asking.callers["operator"], "organisations", id_, organisationLegalName="Windmill Flex Ltd")
            await until(lambda: identity(asking, id_) != "PENDING")

    asyncio.run(following())

    assert [version.document["identityStatus"] for version in asking.register.versions("organisations", id_)] == ["PENDING", "PENDING", "CONFIRMED"]
    assert server.asked == ["99000200"]  # the second time from what was answered before


def test_an_answer_that_cannot_be_written_now_is_entered_later(asking: Market, server: CompaniesServer) -> None:
    id_ = company(asking)
    verification, refusals = follower(asking, server), iter([Unavailable("unavailable"), Unavailable("unavailable")])
    enter = verification.submit

    async def reluctant(submission: Submission) -> object:
        if (refusal := next(refusals, None)) is not None:
            raise refusal
        return await enter(submission)

    verification.submit = reluctant
    follow(verification, lambda: identity(asking, id_) == "CONFIRMED")

    assert server.asked == ["99000200"]


def test_whoever_has_left_or_is_evidenced_is_not_asked_about(asking: Market, server: CompaniesServer) -> None:
    gone, evidenced, pending = company(asking, "99000201"), company(asking, "99000202"), company(asking)
    operator = asking.callers["operator"]
    asking.house = House()
    asking.act(operator, "organisations", gone, "approval")
    asking.act(operator, "organisations", gone, "deregistration")
    asking.act(operator, "organisations", evidenced, "evidence", evidenceKind="OTHER", evidenceReference="x")
    asking.house = House(frozenset({COMPANIES_REGISTER}))

    follow(follower(asking, server), lambda: identity(asking, pending) == "CONFIRMED")

    assert server.asked == ["99000200"]


# -- assets


@pytest.fixture
def sources() -> Iterator[Sources]:
    with Sources(seconds=0.3) as running:
        yield running


@pytest.fixture
def validating(market: Market) -> Market:
    market.house = House(frozenset({METER_POINT, MCS, OEM}))
    return market


def asset(market: Market, number: int = 1, **changes: Any) -> str:
    """A battery that all sources know, by the first two meter points of the recorded answers; or by others."""
    known = {"importMPAN": mpan(2 * number - 1), "exportMPAN": mpan(2 * number), "postcode": "IP1 2AB", "alias": [{"scheme": "MCS", "value": "MCS-99-000018"}]}
    return market.submit(market.callers["fsp-a"], "assets", battery(f"GP-BESS-{number:04}", **{**known, **changes})).id


def validation(market: Market, id_: str) -> str:
    found: str = market.current("assets", id_).document["validationStatus"]
    return found


def facts(market: Market, id_: str) -> dict[str, str]:
    evidence = market.current("assets", id_).document.get("evidence", ())
    return {f"{each['evidenceKind']} {each['evidenceField']}": each["evidenceOutcome"] for each in evidence}


def test_an_asset_is_verified_in_one_entry(validating: Market, sources: Sources) -> None:
    id_ = asset(validating)

    follow(follower(validating, sources), lambda: validation(validating, id_) != "PENDING_VALIDATION")

    version = validating.current("assets", id_)
    assert (version.state, version.number, version.actor.application) == ("VERIFIED", 2, "MCS METER_POINT OEM")
    assert set(facts(validating, id_).values()) == {"AGREES"}


@pytest.mark.parametrize(("changes", "fact", "outcome"), [
    ({"postcode": "IP1 2AC"}, "METER_POINT postcode", "DIFFERS"),
    ({"exportMPAN": mpan(999)}, "METER_POINT exportMPAN", "NOT_FOUND"),
    ({"alias": [{"scheme": "MCS", "value": "MCS-99-1"}]}, "MCS alias", "NOT_FOUND"),
])  # fmt: skip
def test_an_asset_that_a_source_has_otherwise_is_queried(validating: Market, sources: Sources, changes: dict[str, Any], fact: str, outcome: str) -> None:
    id_ = asset(validating, **changes)

    follow(follower(validating, sources), lambda: validation(validating, id_) == "QUERY")

    assert facts(validating, id_)[fact] == outcome


def test_many_assets_are_asked_about_few_at_a_time(validating: Market, sources: Sources) -> None:
    sources.others = True
    validating.house = House(frozenset({METER_POINT}))
    made = [asset(validating, number, alias=None) for number in range(1, 13)]

    follow(follower(validating, sources, source_questions=3), lambda: all(validation(validating, id_) == "VERIFIED" for id_ in made))

    assert len(sources.asked) == 24


@pytest.mark.parametrize("mode", ["down", "limited", "wrong", "garbled"])
def test_what_one_source_has_answered_stays_while_another_gives_no_answer(validating: Market, sources: Sources, mode: str) -> None:
    id_, sources.modes["meter-points"] = asset(validating), mode
    seen: list[tuple[str, set[str]]] = []

    async def following() -> None:
        async with running(follower(validating, sources, source_cache_seconds=0)):
            await until(lambda: [path for path, _ in sources.asked].count("meter-points") >= 4)
            seen.append((validation(validating, id_), set(facts(validating, id_))))
            sources.modes["meter-points"] = "up"
            await until(lambda: validation(validating, id_) == "VERIFIED")

    asyncio.run(following())

    ((state, known),) = seen
    assert (state, {fact.split()[0] for fact in known}) == ("PENDING_VALIDATION", {MCS, OEM})
    assert [path for path, _ in sources.asked].count("certificates") == 1
    assert validating.current("assets", id_).number == 3


def test_a_source_that_is_down_does_not_hold_up_what_others_are_asked(validating: Market, sources: Sources) -> None:
    sources.modes["meter-points"] = "down"
    waiting = [asset(validating, number, alias=None, serialNumber=None) for number in range(3, 9)]
    lucky = asset(validating, 9, importMPAN=None, exportMPAN=None, mpanUnknownReason="WITHHELD_BY_SOURCE", alias=None, justification=[
        {"rule": rule, "text": "for a test"} for rule in ("A03", "A20", "A21", "X01")])  # fmt: skip

    follow(follower(validating, sources, source_pause_seconds=30, source_pause_seconds_most=60), lambda: validation(validating, lucky) == "VERIFIED")

    assert {validation(validating, id_) for id_ in waiting} == {"PENDING_VALIDATION"}


def test_a_restart_loses_no_asset_and_asks_nobody_twice(validating: Market, sources: Sources) -> None:
    id_, sources.modes["devices"] = asset(validating), "down"

    follow(follower(validating, sources), lambda: len(facts(validating, id_)) > 0)
    assert validation(validating, id_) == "PENDING_VALIDATION"
    sources.modes["devices"] = "up"
    follow(follower(validating, sources), lambda: validation(validating, id_) == "VERIFIED")

    assert [path for path, _ in sources.asked].count("meter-points") == 2


def test_an_asset_that_has_moved_on_meanwhile_is_asked_about_as_it_is(validating: Market, sources: Sources) -> None:
    id_, sources.modes["meter-points"] = asset(validating, postcode="IP1 2AC"), "slow"

    async def following() -> None:
        async with running(follower(validating, sources)):
            await until(lambda: len(sources.asked) == 4)
            await asyncio.to_thread(validating.update, validating.callers["fsp-a"], "assets", id_, postcode="IP1 2AB")
            await until(lambda: validation(validating, id_) != "PENDING_VALIDATION")

    asyncio.run(following())

    assert [version.state for version in validating.register.versions("assets", id_)] == ["PENDING_VALIDATION", "PENDING_VALIDATION", "VERIFIED"]
    assert facts(validating, id_)["METER_POINT postcode"] == "AGREES"


def test_who_mends_a_query_is_asked_about_again(validating: Market, sources: Sources) -> None:
    id_ = asset(validating, postcode="IP1 2AC")

    async def following() -> None:
        async with running(follower(validating, sources)) as _:
            await until(lambda: validation(validating, id_) == "QUERY")
            await asyncio.to_thread(validating.update, validating.callers["fsp-a"], "assets", id_, postcode="IP1 2AB")

    asyncio.run(following())
    follow(follower(validating, sources), lambda: validation(validating, id_) == "VERIFIED")


def test_what_waits_for_too_long_is_counted(validating: Market, sources: Sources, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(verification, "COUNT_SECONDS", 0.0)
    sources.modes["devices"] = "down"
    asset(validating, importMPAN=mpan(71), exportMPAN=mpan(72), alias=None)
    queried = asset(validating, 2, postcode="IP1 2AC", alias=None, serialNumber=None)
    follow(first := follower(validating, sources), lambda: validation(validating, queried) == "QUERY")
    validating.clock.forward(days=15)

    follow(later := follower(validating, sources), lambda: later.overdue == {"PENDING_VALIDATION": 1, "QUERY": 1})

    assert validating.tick() == 2
    follow(last := follower(validating, sources), lambda: last.overdue == {"PENDING_VALIDATION": 1, "QUERY": 1})
    assert first.overdue == {"PENDING_VALIDATION": 0, "QUERY": 0}
    assert "assets have waited for their validation for too long: 1 unanswered, 1 queried" in caplog.text
    assert "IP1 2A" not in caplog.text and mpan(71) not in caplog.text
