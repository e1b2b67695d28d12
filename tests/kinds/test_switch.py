"""Switch of provider: requested on the owner's authority, refused for its reasons, effective at midnight in London, whoever was away (UC-03.04, domain 5.3)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.servers.consent_solution import Given, Solution
from fmar_node.errors import Conflict, FmarError, Forbidden, Invalid, NotFound, Unavailable
from fmar_node.followers.projector import Projector
from fmar_node.followers.switching import SwitchWatch
from fmar_node.journal.register import Register, connect
from fmar_node.keeping.maintenance import verify_journal
from fmar_node.kinds import KINDS, House
from fmar_node.record import uuid_of
from fmar_node.store.graph import Graph
from tests.consenting import OWN, Consenting
from tests.kinds.test_service_window import confirmed, declared
from tests.market import BASE, LOOKUP_KEY, Market, battery, mpan, refused, vocabulary

A, B, C = "fsp-a", "fsp-b", "fsp-c"
NOTICE = "2026-12-06"
"""14 days after the day on which the market's clock stands."""


def owned(market: Market, by: str = A, owner: str = B, serial: str = "S-1", **changes: Any) -> str:
    """An asset of an organisation that may switch it to itself."""
    given = {"owner": f"organisations/{market.callers[owner].organisation}", "ownerName": None, "justification": None, **changes}
    return market.submit(market.callers[by], "assets", battery(serial, **given)).id


def switch(market: Market, id_: str, to: str = B, **changes: Any) -> str:
    document = {"type": "Switch", "switchAsset": f"{BASE}/assets/{id_}", **changes}
    return market.submit(market.callers[to], "switches", {term: value for term, value in document.items() if value is not None}).id


def state(market: Market, id_: str) -> tuple[str, str]:
    document = market.current("switches", id_).document
    return document["switchStatus"], document.get("switchReason", "")


def provider(market: Market, id_: str) -> str:
    managed = uuid_of(market.current("assets", id_).document["managedBy"])
    return next(name for name, caller in market.callers.items() if caller.organisation == managed)


def go_to(market: Market, instant: str) -> int:
    """Moves the clock, and enters what has become due meanwhile; how much that was."""
    market.clock.instant = datetime.fromisoformat(instant).astimezone(UTC)
    return market.tick()


# -- from request to effect


def test_after_the_notice_the_gaining_provider_is_responsible(market: Market) -> None:
    asset = owned(market, friendlyCode="mine")
    request = switch(market, asset)

    document = market.current("switches", request).document
    assert (document["switchStatus"], document["switchDate"], document["effectiveAt"]) == ("IN_NOTICE", NOTICE, "2026-12-06T00:00:00.000Z")
    assert (document["gainingProvider"], document["losingProvider"], document["switchArea"]) == (market.iri(B), market.iri(A), "UKPN_EPN")
    assert go_to(market, "2026-12-05T23:59:59+00:00") == 0
    assert provider(market, asset) == A
    assert go_to(market, "2026-12-06T00:00:00+00:00") == 1

    assert (state(market, request), provider(market, asset)) == (("EFFECTIVE", ""), B)
    after = market.current("assets", asset).document
    assert [(each["provider"], each["validFrom"], each.get("validTo")) for each in after["responsibility"]] == [
        (market.iri(A), "2026-11-22", NOTICE), (market.iri(B), NOTICE, None),
    ]  # fmt: skip
    assert "friendlyCode" not in after
    assert market.reader.current("assets", asset, market.callers[A]).document["friendlyCode"] == "mine"


def test_what_follows_has_one_cause(market: Market) -> None:
    asset, _ = owned(market), None
    request = switch(market, asset)
    go_to(market, "2026-12-06T00:00:00+00:00")

    effect = market.current("switches", request).index
    causes = [(version.kind, version.action, market.register.cause_of(version.index)) for version in market.register.since(effect - 1, 9)]
    assert causes == [("switches", "effect", None), ("notices", "settlement", effect), ("assets", "handover", effect)]


def test_the_losing_provider_is_told_of_asset_and_date_and_of_nothing_else(market: Market) -> None:
    asset = owned(market)
    request = switch(market, asset)

    notices = market.reader.page(KINDS["notices"], market.callers[A], 5, "", "", {}).items
    seen = market.reader.current("switches", request, market.callers[A]).document
    assert [(each["noticeType"], each["subject"], each["dueBy"]) for each in notices] == [("SWITCH_PENDING", f"{BASE}/assets/{asset}", "2026-12-06T00:00:00.000Z")]
    assert set(seen) == {"id", "type", "switchAsset", "switchDate", "effectiveAt", "switchStatus", "losingProvider"}
    assert market.reader.current("switches", request, market.callers["dso-east"]).document["switchArea"] == "UKPN_EPN"
    for other in (C, "dso-south", "regulator"):
        with pytest.raises(NotFound):
            market.reader.current("switches", request, market.callers[other])
    go_to(market, "2026-12-06T00:00:00+00:00")
    assert [each["noticeStatus"] for each in market.reader.page(KINDS["notices"], market.callers[A], 5, "", "", {}).items] == ["RESOLVED"]


@pytest.mark.parametrize(("start", "day", "instant"), [
    ("2027-03-10T12:00:00+00:00", "2027-03-28", "2027-03-28T00:00:00.000Z"), ("2027-03-10T12:00:00+00:00", "2027-03-29", "2027-03-28T23:00:00.000Z"),
    ("2027-10-10T12:00:00+00:00", "2027-10-31", "2027-10-30T23:00:00.000Z"), ("2027-10-10T12:00:00+00:00", "2027-11-01", "2027-11-01T00:00:00.000Z"),
])  # fmt: skip
def test_a_day_begins_at_midnight_in_london_whichever_way_the_clocks_go(market: Market, start: str, day: str, instant: str) -> None:
    go_to(market, start)
    asset = owned(market)
    request = switch(market, asset, switchDate=day)

    assert market.current("switches", request).document["effectiveAt"] == instant
    market.clock.instant = datetime.fromisoformat(instant)
    market.clock.forward(seconds=-1)
    assert (market.tick(), provider(market, asset)) == (0, A)
    market.clock.forward(seconds=1)
    assert (market.tick(), provider(market, asset)) == (1, B)


def test_who_was_away_catches_up_in_order(market: Market) -> None:
    first, second = owned(market, serial="S-1"), owned(market, owner=C, serial="S-2")
    late, early = switch(market, first, switchDate="2026-12-20"), switch(market, second, C, switchDate="2026-12-10")
    market.close()
    market.open()

    assert go_to(market, "2027-02-01T08:00:00+00:00") == 2

    assert market.current("switches", early).index < market.current("switches", late).index
    assert [market.current("assets", each).document["responsibility"][1]["validFrom"] for each in (first, second)] == ["2026-12-20", "2026-12-10"]


def test_an_asset_without_a_provider_is_switched_at_once(market: Market) -> None:
    asset = owned(market)
    market.act(market.callers["operator"], "organisations", market.callers[A].organisation, "deregistration", forced=True)

    request = switch(market, asset)
    assert market.tick() == 1

    after = market.current("assets", asset).document
    assert (state(market, request)[0], provider(market, asset), after["standing"]) == ("EFFECTIVE", B, "LIVE")
    assert [(each["validFrom"], each.get("validTo")) for each in after["responsibility"]] == [("2026-11-22", "2026-11-22"), ("2026-11-22", None)]


# -- reasons


def test_one_switch_of_an_asset_is_pending_at_most(market: Market) -> None:
    asset = owned(market)
    request = switch(market, asset)

    with refused("SWITCH_ALREADY_PENDING", as_=Conflict):
        switch(market, asset)
    market.act(market.callers[B], "switches", request, "withdrawal")
    assert state(market, request) == ("CANCELLED", "WITHDRAWN")
    assert state(market, switch(market, asset))[0] == "IN_NOTICE"


def test_of_two_at_once_exactly_one(market: Market) -> None:
    """Both were judged before either was written: the claim inside the transaction decides."""
    rounds, taken = 100, 0
    assets = [owned(market, serial=f"R-{number}", importMPAN=mpan(9_000 + number), exportMPAN=None) for number in range(rounds)]

    for asset in assets:
        waiting: list[Any] = []

        async def later(submission: Any, judgement: Any, waiting: list[Any] = waiting) -> Any:
            waiting.append((submission, judgement))
            raise Unavailable("unavailable", "kept for later")

        commit, market.commit = market.commit, later  # type: ignore[method-assign]
        for _ in range(2):
            with pytest.raises(Unavailable):
                switch(market, asset)
        market.commit = commit  # type: ignore[method-assign]
        refusals = []
        for submission, judgement in waiting:
            try:
                asyncio.run(market.commit(submission, judgement))
            except FmarError as refusal:
                refusals += [fault.code for fault in refusal.faults]
        assert refusals == ["SWITCH_ALREADY_PENDING"]
        taken += 1
    assert taken == rounds


def test_a_confirmed_window_stands_in_the_way_and_no_more_is_told_than_the_earliest_date(market: Market) -> None:
    asset = owned(market)
    declared(market, asset, "2026-12-10T17:00:00Z", "2027-01-15T19:00:00Z", product="not confirmed")
    confirmed(market, asset, "2026-12-10T17:00:00Z", "2026-12-20T19:00:00Z")

    with refused("SERVICE_WINDOW_CONFIRMED", as_=Conflict) as refusal:
        switch(market, asset)
    fault = refusal.value.faults[0]
    assert "2026-12-21" in fault.message
    assert all(secret not in str(refusal.value.faults) for secret in ("Sustain-H", "2026-12-20", "19:00"))
    assert state(market, switch(market, asset, switchDate="2026-12-21"))[0] == "IN_NOTICE"


def test_a_window_that_ends_at_midnight_does_not_overlap_the_day_after(market: Market) -> None:
    asset = owned(market)
    confirmed(market, asset, "2026-12-10T17:00:00Z", "2026-12-20T00:00:00Z")

    with refused("SERVICE_WINDOW_CONFIRMED", as_=Conflict):
        switch(market, asset, switchDate="2026-12-19")
    assert state(market, switch(market, asset, switchDate="2026-12-20"))[0] == "IN_NOTICE"


def test_no_window_is_confirmed_beyond_a_pending_switch(market: Market) -> None:
    asset = owned(market)
    switch(market, asset)

    with refused("SWITCH_PENDING", as_=Conflict):
        confirmed(market, asset, "2026-12-05T17:00:00Z", "2026-12-06T00:00:01Z")
    confirmed(market, asset, "2026-12-05T17:00:00Z", "2026-12-06T00:00:00Z")


@pytest.mark.parametrize("day", ["2026-12-05", "2026-11-22", "2027-11-23", "2026-12-99", "9999-12-31"])
def test_a_date_within_the_notice_or_too_far_off_is_refused(market: Market, day: str) -> None:
    asset = owned(market)

    with pytest.raises(Invalid) as refusal:
        switch(market, asset, switchDate=day)
    assert {"EFFECTIVE_DATE_INVALID", "literal-ill-formed"} & {fault.code for fault in refusal.value.faults}


def test_who_is_the_provider_already_needs_no_switch(market: Market) -> None:
    with refused("SAME_FSP", as_=Conflict):
        switch(market, owned(market, by=A, owner=A), A)


def test_an_asset_that_is_suspended_by_the_operator_cannot_be_switched(market: Market) -> None:
    asset = owned(market)
    market.record("assets", asset, standing="SUSPENDED_ADMIN", registrationStatus="SUSPENDED_ADMIN")

    with refused("NOT_ELIGIBLE_STATE", as_=Conflict):
        switch(market, asset)


def test_only_an_active_provider_gains(market: Market) -> None:
    asset = owned(market)
    with refused("SWITCH-REQUEST-1", as_=Forbidden):
        switch(market, asset, "platform")
    market.act(market.callers["operator"], "organisations", market.callers[B].organisation, "suspension")
    with refused("SWITCH-REQUEST-1", as_=Forbidden):
        switch(market, asset)


@pytest.mark.parametrize("changes", [{"switchAsset": None}, {"assetScheme": "MPAN", "assetValue": mpan(1)}, {"switchAsset": None, "assetScheme": "MPAN"}])
def test_one_asset_is_named_in_one_way(market: Market, changes: dict[str, Any]) -> None:
    asset = owned(market)
    with pytest.raises(Invalid) as refusal:
        switch(market, asset, **changes)
    assert "SWITCH-REQUEST-2" in {fault.code for fault in refusal.value.faults}


# -- its end before its time


def test_a_provider_that_is_suspended_gains_nothing(market: Market) -> None:
    asset = owned(market)
    request = switch(market, asset)

    market.act(market.callers["operator"], "organisations", market.callers[B].organisation, "suspension")

    assert state(market, request) == ("CANCELLED", "GAINING_FSP_NOT_ACTIVE")
    assert go_to(market, "2026-12-06T00:00:00+00:00") == 0
    assert provider(market, asset) == A


def test_the_operator_holds_lets_go_and_cancels(market: Market) -> None:
    operator = market.callers["operator"]
    asset, other = owned(market), owned(market, serial="S-2")
    request, second = switch(market, asset), switch(market, other)
    for action, code in (("hold", "SWITCH-HOLD-1"), ("cancellation", "SWITCH-CANCEL-1")):
        with refused(code, as_=Forbidden):
            market.act(market.callers[B], "switches", request, action)

    market.act(operator, "switches", request, "hold")
    with refused("SWITCH-HOLD-2", as_=Conflict):
        market.act(operator, "switches", request, "hold")
    with refused("SWITCH-RELEASE-1", as_=Forbidden):
        market.act(market.callers[B], "switches", request, "release")
    market.act(operator, "switches", second, "cancellation")
    assert go_to(market, "2026-12-10T10:00:00+00:00") == 0
    market.act(operator, "switches", request, "release")
    with refused("SWITCH-RELEASE-2", as_=Conflict):
        market.act(operator, "switches", request, "release")
    with refused("SWITCH-CANCEL-2", as_=Conflict):
        market.act(operator, "switches", second, "cancellation")

    assert (market.current("switches", request).document["switchDate"], market.tick()) == ("2026-12-10", 1)
    assert (state(market, request)[0], state(market, second)) == ("EFFECTIVE", ("CANCELLED", "OPERATOR"))


def test_only_its_requester_withdraws_and_only_in_time(market: Market) -> None:
    request = switch(market, owned(market))

    with refused("SWITCH-WITHDRAW-1", as_=Forbidden):
        market.act(market.callers[A], "switches", request, "withdrawal")
    go_to(market, "2026-12-06T00:00:00+00:00")
    with refused("SWITCH-WITHDRAW-2", as_=Conflict):
        market.act(market.callers[B], "switches", request, "withdrawal")


def test_its_personal_values_are_erased_by_the_operator_who_says_why(market: Market) -> None:
    request = switch(market, owned(market))

    with refused("SWITCH-ERASE-1", as_=Forbidden):
        market.act(market.callers[B], "switches", request, "erasure", erasureReason="REQUEST")
    with refused("SWITCH-ERASE-2", as_=Invalid):
        market.act(market.callers["operator"], "switches", request, "erasure")
    market.act(market.callers["operator"], "switches", request, "erasure", erasureReason="REQUEST")
    assert state(market, request)[0] == "IN_NOTICE"


def test_what_only_the_node_does_nobody_else_does(market: Market) -> None:
    request = switch(market, owned(market))

    for action, code in (("effect", "SWITCH-EFFECT-1"), ("lapse", "SWITCH-LAPSE-1")):
        assert KINDS["switches"].actions[action].policies[0].code == code
        with refused("NODE-1", as_=Forbidden):
            market.act(market.callers["operator"], "switches", request, action)
    market.act(market.callers[B], "switches", request, "withdrawal")
    for action, code in (("effect", "SWITCH-EFFECT-2"), ("lapse", "SWITCH-LAPSE-2")):
        with refused(code, as_=Conflict):
            market.submit(market.node(), "switches", {}, action, request)


def test_an_asset_that_is_not_eligible_any_more_does_not_move(market: Market) -> None:
    asset = owned(market)
    request = switch(market, asset)
    market.record("assets", asset, standing="SUSPENDED_ADMIN", registrationStatus="SUSPENDED_ADMIN")

    go_to(market, "2026-12-06T00:00:00+00:00")

    assert (state(market, request), provider(market, asset)) == (("CANCELLED", "NOT_ELIGIBLE_STATE"), A)


# -- what a pending switch stands in the way of


def test_everything_that_keeps_an_asset_in_the_register_is_told_together(market: Market) -> None:
    asset = owned(market)
    confirmed(market, asset)
    switch(market, asset)

    with refused("CONFIRMED_WINDOW", "SWITCH_PENDING", as_=Conflict):
        market.act(market.callers[A], "assets", asset, "deregistration", deregistrationReason="DECOMMISSIONED")


def test_an_organisation_stays_while_a_switch_of_it_is_pending(market: Market) -> None:
    asset = owned(market, by=A, owner=C, serial="S-9")
    request = switch(market, asset, C)
    gaining = market.callers[C]

    with refused("LIVE_ASSETS", "SWITCH_PENDING", as_=Conflict):
        market.act(gaining, "organisations", gaining.organisation, "deregistration")
    market.act(market.callers["operator"], "organisations", gaining.organisation, "deregistration", forced=True)
    assert state(market, request) == ("CANCELLED", "GAINING_FSP_NOT_ACTIVE")


def test_a_platform_requests_for_a_provider_that_has_granted_it(market: Market) -> None:
    asset, document = owned(market), {"type": "Switch"}
    market.grant(B, "platform", "READ", "UPDATE")
    document["switchAsset"] = f"{BASE}/assets/{asset}"
    with refused("DELEGATION-SCOPE-2", as_=Forbidden):
        market.submit(market.acting("platform", B), "switches", document)

    market.grant(B, "platform", "SWITCH")
    request = market.submit(market.acting("platform", B), "switches", document).id

    assert market.current("switches", request).document["gainingProvider"] == market.iri(B)
    assert market.reader.current("switches", request, market.acting("platform", B)).document["switchStatus"] == "IN_NOTICE"
    assert market.projected().deviations() == []


# -- on a consumer's word


@pytest.fixture
def solution() -> Iterator[Solution]:
    with Solution(seconds=3) as running:
        yield running


@pytest.fixture
def room(market: Market, solution: Solution) -> Consenting:
    room = Consenting(market, solution)
    room.registered(room.consent(A))
    return room


def asset_in(room: Consenting) -> str:
    return room.market.register.found("MPAN", OWN)[0]


def word(room: Consenting, to: str = B, **more: Any) -> Given:
    return room.consent(to, purposes=["SWITCH", "REGISTER"], **more)


def asked(room: Consenting, given: Given | None = None, to: str = B, **changes: Any) -> str:
    """A request by meter point, with a consumer's word."""
    named = {"switchAsset": None, "assetScheme": "MPAN", "assetValue": OWN, "consentReference": given.reference if given else None}
    return switch(room.market, "", to, **{**named, **changes})


def watch(room: Consenting) -> None:
    """What the node does each second."""

    async def looking() -> None:
        register = Register(connect(room.market.folder / "journal" / "journal.db"), vocabulary().terms, LOOKUP_KEY)
        watching = SwitchWatch(register, room.consents(), room.outcome, room.settings, room.market.clock)
        try:
            await watching.look()
        finally:
            await watching.consents.close()
            await watching.close()

    asyncio.run(looking())


def test_a_consumers_asset_is_found_by_its_meter_point_and_moves_on_its_word(room: Consenting) -> None:
    market = room.market
    request = asked(room, word(room))
    before = market.current("assets", asset_in(room)).document["consent"]
    kept = market.current("switches", request).document
    assert kept["switchAsset"] == f"{BASE}/assets/{asset_in(room)}"
    assert not {"assetScheme", "assetValue", "consentReference"} & set(kept)
    assert OWN not in str(kept)

    assert go_to(market, "2026-12-06T00:00:00+00:00") == 0
    watch(room)

    after = market.current("assets", asset_in(room)).document
    assert (state(market, request)[0], provider(market, asset_in(room))) == ("EFFECTIVE", B)
    assert after["consent"] == kept["consent"] != before
    assert [market.current("consents", uuid_of(each)).state for each in (before, after["consent"])] == ["ENDED", "VALID"]


def test_without_proof_or_with_a_wrong_one_it_looks_the_same_whether_the_asset_is_there(room: Consenting) -> None:
    """C6: nobody takes an asset over, or learns of it, without its owner's word."""
    nowhere = mpan(5_555)
    answers: dict[str, list[Any]] = {}
    for where in (OWN, nowhere):
        other = room.consent(B, f"mpan:{mpan(6_666)}", purposes=["SWITCH"])
        for proof in (None, other):
            with pytest.raises(FmarError) as refusal:
                asked(room, proof, assetValue=where)
            answers.setdefault(where, []).append((refusal.value.code, refusal.value.detail, [(each.code, each.message) for each in refusal.value.faults]))
    assert answers[OWN] == answers[nowhere]


def test_what_is_not_registered_is_to_be_registered_first_which_who_has_proof_is_told(room: Consenting) -> None:
    nowhere = mpan(5_555)
    with refused("ASSET_UNKNOWN", as_=Conflict) as refusal:
        asked(room, room.consent(B, f"mpan:{nowhere}", purposes=["SWITCH"]), assetValue=nowhere)
    assert "register it" in refusal.value.faults[0].message


def test_of_several_assets_at_a_meter_point_one_is_named(room: Consenting) -> None:
    small = dict.fromkeys(("ratedCapacity", "installedCapacity", "genCapacity", "demandCapacity"), "3.00")
    room.registered(room.consent(A), serial="HOME-2", **small)

    with refused("ASSET_AMBIGUOUS", as_=Conflict) as refusal:
        asked(room, word(room))
    assert all(f"assets/{each}" in refusal.value.faults[0].message for each in room.market.register.found("MPAN", OWN))


def test_of_two_makers_with_one_serial_number_each_is_switched_by_its_own(room: Consenting) -> None:
    other, market = mpan(4_712), room.market
    room.registered(room.consent(C, f"mpan:{other}"), by=C, importMPAN=other, manufacturer="Another Maker")
    proof = word(room)

    with refused("ASSET_AMBIGUOUS", as_=Conflict) as refusal:
        asked(room, proof, assetScheme="SERIAL", assetValue="HOME-1")
    with refused("CONSENT_SCOPE", as_=Invalid):
        asked(room, room.consent(B, f"mpan:{mpan(6_666)}", purposes=["SWITCH"]), assetScheme="SERIAL", assetValue="HOME-1")
    request = asked(room, proof, assetScheme="SERIAL", assetValue="Acme Storage|HOME-1")

    assert "assets/" not in refusal.value.faults[0].message
    assert uuid_of(market.current("switches", request).document["switchAsset"]) == asset_in(room)


@pytest.mark.parametrize("scheme", ["EXTERNAL_ID", "FRIENDLY_CODE", "CLAIM_CODE", "NOSUCH"])
def test_nobody_tries_out_what_others_call_their_assets(room: Consenting, scheme: str) -> None:
    market = room.market
    market.update(market.callers[A], "assets", asset_in(room), friendlyCode="home-1", externalId="home-1")

    with refused("assetScheme", as_=Invalid) as refusal:
        asked(room, word(room), assetScheme=scheme, assetValue="home-1")
    assert "EVSE" in refusal.value.detail + refusal.value.faults[0].message


@pytest.mark.parametrize(("more", "code"), [
    ({"purposes": ["REGISTER"]}, "CONSENT_SCOPE"), ({"to": C}, "CONSENT_INVALID"), ({"ends": 1_000.0}, "CONSENT_EXPIRED"), ({"begins": 9e9}, "CONSENT_INVALID"),
])  # fmt: skip
def test_each_fault_of_a_consent_has_its_reason(room: Consenting, more: dict[str, Any], code: str) -> None:
    to = more.pop("to", B)
    with refused(code, as_=Invalid):
        asked(room, room.consent(to, **{"purposes": ["SWITCH"], **more}))


def test_a_consent_of_a_single_use_is_used_once(room: Consenting) -> None:
    given = word(room, single_use=True)
    room.market.act(room.market.callers[B], "switches", asked(room, given), "withdrawal")

    with refused("CONSENT_REPLAYED", as_=Conflict):
        asked(room, given)


def test_where_nobody_answers_nothing_is_switched_and_nothing_written(room: Consenting, solution: Solution) -> None:
    given, size = word(room), room.market.register.size()
    solution.mode = "down"
    with pytest.raises(Unavailable) as refusal:
        asked(room, given)
    assert [fault.code for fault in refusal.value.faults] == ["CONSENT_SERVICE_UNAVAILABLE"]
    assert room.market.register.size() == size


def test_a_consent_that_is_taken_back_takes_its_own_switch_with_it(room: Consenting) -> None:
    given = word(room)
    request = asked(room, given)
    room.solution.revoke(given.id, notify=False)
    room.notify(given.id)

    assert state(room.market, request) == ("CANCELLED", "CONSENT_ENDED")
    assert provider(room.market, asset_in(room)) == A
    assert room.market.current("assets", asset_in(room)).state == "PENDING_VALIDATION"


def test_on_its_day_the_consent_is_asked_about_once_more(room: Consenting) -> None:
    given = word(room)
    request = asked(room, given)
    room.solution.revoke(given.id, notify=False)
    go_to(room.market, "2026-12-06T00:00:00+00:00")
    watch(room)

    assert state(room.market, request) == ("CANCELLED", "CONSENT_ENDED")
    assert provider(room.market, asset_in(room)) == A


def test_a_solution_that_is_away_on_that_day_delays_it(room: Consenting, solution: Solution) -> None:
    request = asked(room, word(room))
    go_to(room.market, "2026-12-06T00:00:00+00:00")
    solution.mode = "down"
    watch(room)
    assert (state(room.market, request)[0], provider(room.market, asset_in(room))) == ("IN_NOTICE", A)

    solution.mode = "up"
    watch(room)

    assert (state(room.market, request)[0], provider(room.market, asset_in(room))) == ("EFFECTIVE", B)
    assert room.market.current("assets", asset_in(room)).document["responsibility"][1]["validFrom"] == NOTICE


def test_an_asset_that_lost_its_consent_is_live_again_with_the_next_provider(room: Consenting) -> None:
    market, asset = room.market, asset_in(room)
    lost = market.current("assets", asset).document["consent"]
    market.submit(market.node(), "consents", {"revokedAt": "2026-11-22T09:00:00Z"}, "revocation", uuid_of(lost))
    assert market.current("assets", asset).state == "SUSPENDED_CONSENT_REVOKED"
    request = asked(room, word(room))
    go_to(market, "2026-12-06T00:00:00+00:00")
    watch(room)

    after = market.current("assets", asset).document
    assert (state(market, request)[0], after["standing"], "consentEndedAt" in after) == ("EFFECTIVE", "LIVE", False)
    seen = market.reader.current("assets", asset, market.callers[A]).document
    assert "importMPAN" not in seen
    assert all("importMPAN" not in each.document for each in market.reader.versions("assets", asset, market.callers[A]))


# -- whatever happens


ACTS = st.sampled_from(["switch", "switch", "withdraw", "hold", "release", "window", "confirm", "cancel", "suspend", "reinstate", "day", "week", "week", "erase", "leave"])
STEPS = st.lists(st.tuples(ACTS, st.integers(0, 2), st.integers(0, 3)), min_size=10, max_size=40)


def walk(market: Market, steps: list[tuple[str, int, int]]) -> None:
    """Whatever is done in whatever order: times touch and do not overlap, at most one switch is pending, no window is broken, and all readers agree."""
    names, assets, requests, windows = (A, B, C), [], list[str](), list[str]()
    for number, owner in enumerate((B, C, A)):
        assets.append(owned(market, A if owner != A else B, owner, f"W-{number}"))
    graph = Graph(market.folder / "graph")
    for act, one, other in steps:
        asset, name = assets[one], names[other % 3]
        owner = (B, C, A)[one]
        try:
            if act == "switch":
                requests.append(switch(market, asset, owner, switchDate=[None, "2026-12-24", "2027-01-10", "2027-02-01"][other]))
            elif act in ("withdraw", "hold", "release") and requests:
                request = requests[(one + other) % len(requests)]
                by = uuid_of(market.current("switches", request).document["gainingProvider"])
                who = market.as_known(replace(market.callers[A], organisation=by)) if act == "withdraw" else market.callers["operator"]
                market.act(who, "switches", request, {"withdraw": "withdrawal"}.get(act, act))
            elif act == "window":
                begins = market.clock.now().date().isoformat()
                windows.append(declared(market, asset, f"{begins}T00:00:00Z", f"2027-01-{10 + other}T00:00:00Z", who=provider(market, asset), product=f"P-{other}"))
            elif act in ("confirm", "cancel") and windows:
                market.act(market.callers["dso-east"], "service-windows", windows[(one + other) % len(windows)], {"confirm": "confirmation", "cancel": "cancellation"}[act])
            elif act in ("suspend", "reinstate"):
                market.act(market.callers["operator"], "organisations", market.callers[name].organisation, {"suspend": "suspension", "reinstate": "reinstatement"}[act])
            elif act in ("day", "week"):
                market.clock.forward(days={"day": 1, "week": 7}[act])
                while market.tick():
                    pass
            elif act == "erase":
                market.act(market.callers["operator"], "assets", asset, "erasure", erasureReason="REQUEST", erasureScope="PAST")
            elif act == "leave":
                market.act(market.callers[provider(market, asset)], "assets", asset, "deregistration", deregistrationReason="ERROR")
        except FmarError:
            pass
        for each in names:
            market.enter(each, market.callers[each].organisation)
        check(market, assets, windows)
    projector = Projector(market.register, graph, vocabulary(), BASE)
    while projector.catch_up():
        pass
    assert projector.deviations() == []


def check(market: Market, assets: list[str], windows: list[str]) -> None:
    pending = [each.document for each in market.register.as_of("switches", market.register.size()) if each.state in ("IN_NOTICE", "HELD")]
    for asset in assets:
        document = market.current("assets", asset).document
        times = document["responsibility"]
        assert all(one["validTo"] <= other["validFrom"] for one, other in itertools.pairwise(times))
        assert times[-1]["provider"] == document["managedBy"]
        of_asset = [each for each in pending if each["switchAsset"] == document["id"]]
        assert len(of_asset) <= 1
        assert not (of_asset and document["standing"] == "DEREGISTERED")
        confirmed_ones = [market.current("service-windows", each).document for each in windows if market.current("service-windows", each).state == "CONFIRMED"]
        for window in (each for each in confirmed_ones if each["windowAsset"] == document["id"]):
            assert document["standing"] == "DEREGISTERED" or window["windowProvider"] == document["managedBy"] or window["windowTo"] <= document["recordedAt"]


@given(STEPS)
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_happens_responsibility_is_one_line_in_time(founded: Market, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]) -> None:
    market = founded.copied(tmp_path_factory.mktemp("walk"))
    walk(market, steps)
    market.close()
    assert "current state" in verify_journal(market.node_folder())


@pytest.mark.campaign
@given(STEPS)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
def test_thousands_of_steps(founded: Market, tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]) -> None:
    market = founded.copied(tmp_path_factory.mktemp("walk"))
    walk(market, steps)
    market.close()


def test_the_notice_is_a_setting(market: Market) -> None:
    market.house = House(switch_notice_days=0)
    asset = owned(market)
    switch(market, asset)
    assert (market.tick(), provider(market, asset)) == (1, B)
