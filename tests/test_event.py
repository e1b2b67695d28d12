"""What an entry means to whoever is told of it: one event or none, and no value of a record in it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from fmar_node.errors import Malformed
from fmar_node.event import EVERYTHING, Event, Wish, marks_of, types
from fmar_node.feed import Feed, cursor_of, index_of
from fmar_node.kinds import KINDS
from fmar_node.record import uuid_of
from tests.market import BASE, Market, battery, vocabulary


def told(market: Market, name: str, after: int = -1, wish: Wish = EVERYTHING) -> list[Event]:
    """Everything that the feed tells a participant after an entry."""
    feed, events = Feed(market.register, vocabulary()), list[Event]()
    while after < market.register.size() - 1:
        page = feed.page(market.as_known(market.callers[name]), after, 3, wish, most=7)
        assert page.seen > after
        events, after = events + page.events, page.seen
    return events


def only(market: Market, name: str, after: int) -> dict[str, Any]:
    (event,) = told(market, name, after)
    return event.as_json(BASE)


def size(market: Market) -> int:
    return market.register.size() - 1


def test_who_manages_an_asset_is_told_what_changed_by_which_action(market: Market) -> None:
    asset = market.submit(market.callers["fsp-a"], "assets", battery())
    before = size(market)

    market.update(market.callers["fsp-a"], "assets", asset.id, assetName="Another name")

    event = only(market, "fsp-a", before)
    assert event == {
        "specversion": "1.0",
        "id": str(before + 1),
        "source": BASE,
        "type": "org.fmar.asset.changed",
        "subject": f"{BASE}/assets/{asset.id}",
        "time": "2026-11-22T09:30:00.000Z",
        "datacontenttype": "application/json",
        "data": {"version": 2, "changed": ["assetName", "recordedAt", "version"], "action": "update"} | {"changed": event["data"]["changed"]},
    }
    assert "assetName" in event["data"]["changed"]
    assert "Another name" not in json.dumps(event)


def test_an_event_has_no_values(market: Market) -> None:
    document = battery(friendlyCode="BESS-1")
    market.submit(market.callers["fsp-a"], "assets", document)

    said = json.dumps([event.as_json(BASE) for name in market.callers for event in told(market, name)])

    secret = [value for name, value in document.items() if isinstance(value, str) and name not in ("type", "assetCategory")]
    assert [value for value in secret if f'"{value}"' in said or (len(value) > 6 and value in said)] == []


def test_each_receiver_counts_its_own_versions_and_is_told_its_own_terms(market: Market) -> None:
    asset = market.submit(market.callers["fsp-a"], "assets", battery())
    market.update(market.callers["fsp-a"], "assets", asset.id, friendlyCode="BESS-1")  # which the network operator does not see
    before = size(market)

    market.update(market.callers["fsp-a"], "assets", asset.id, ratedCapacity="510.00", friendlyCode="BESS-2")

    provider, operator = only(market, "fsp-a", before)["data"], only(market, "dso-east", before)["data"]
    assert (provider["version"], provider["action"]) == (3, "update")
    assert {"ratedCapacity", "friendlyCode"} <= set(provider["changed"])
    assert operator == {"version": 2, "changed": ["ratedCapacity"]}


def test_a_change_that_is_not_seen_is_no_event(market: Market) -> None:
    asset = market.submit(market.callers["fsp-a"], "assets", battery())
    before = size(market)

    market.update(market.callers["fsp-a"], "assets", asset.id, friendlyCode="BESS-1")

    assert [told(market, name, before) for name in ("dso-east", "dso-south", "fsp-b", "platform")] == [[], [], [], []]
    assert len(told(market, "fsp-a", before)) == len(told(market, "operator", before)) == 1


def test_an_asset_that_moves_to_another_area_leaves_one_view_and_comes_into_another(market: Market) -> None:
    asset = market.submit(market.callers["fsp-a"], "assets", battery())
    before = size(market)

    market.record("assets", asset.id, dnoConnection="UKPN_SPN")

    gone, come = only(market, "dso-east", before), only(market, "dso-south", before)
    assert (gone["type"], gone["data"]) == ("org.fmar.asset.disappeared", {})
    assert (come["type"], come["data"]["version"]) == ("org.fmar.asset.appeared", 1)
    assert gone["id"] == come["id"] == str(before + 1)


def test_a_provider_that_takes_over_is_told_by_whom_it_was_done_and_the_other_one_only_that_it_is_gone(market: Market) -> None:
    asset = market.submit(market.callers["fsp-a"], "assets", battery())
    before = size(market)

    market.record("assets", asset.id, managedBy=market.iri("fsp-b"))

    assert only(market, "fsp-a", before)["data"] == {}
    assert only(market, "fsp-b", before)["data"]["action"] == "record"


def test_a_consequence_names_the_entry_that_brought_it_about(market: Market) -> None:
    market.offer("fsp-a", "platform", "READ")
    before = size(market)

    market.submit(market.callers["fsp-a"], "organisations", {}, "deregistration", market.callers["fsp-a"].organisation)

    market.callers["fsp-a"] = market.as_known(market.callers["fsp-a"])
    events = [event.as_json(BASE) for event in told(market, "operator", before)]
    caused = {event["type"]: event["data"].get("cause") for event in events}
    assert caused == {"org.fmar.organisation.changed": None, "org.fmar.delegation.changed": str(before + 1)}


@pytest.mark.parametrize("then", ["revocation", "suspension"])
def test_an_entry_that_moves_the_receivers_rights_says_so(market: Market, then: str) -> None:
    market.submit(market.callers["fsp-a"], "assets", battery())
    before = size(market)

    delegation = market.grant("fsp-a", "platform", "READ")
    accepted = [event.moves_view for event in told(market, "platform", before) if event.kind == "delegations"]
    before = size(market)
    if then == "revocation":
        market.act(market.callers["fsp-a"], "delegations", delegation, "revocation")
    else:
        market.act(market.callers["operator"], "organisations", market.callers["fsp-a"].organisation, "suspension")

    assert accepted == [False, True]
    assert [event.moves_view for event in told(market, "platform", before)] == [True]
    assert [event.moves_view for event in told(market, "fsp-b", before)] == ([] if then == "revocation" else [False])


def test_what_was_granted_is_told_from_then_on_and_of_the_past_too(market: Market) -> None:
    asset = market.submit(market.callers["fsp-a"], "assets", battery())
    assert [event for event in told(market, "platform") if event.kind == "assets"] == []

    market.grant("fsp-a", "platform", "READ")

    assert [uuid_of(event.subject) for event in told(market, "platform") if event.kind == "assets"] == [asset.id]


def test_a_wish_is_granted_by_what_the_receiver_sees(market: Market) -> None:
    asset = market.submit(market.callers["fsp-a"], "assets", battery())
    market.update(market.callers["fsp-a"], "assets", asset.id, ratedCapacity="510.00")

    def count(name: str, **chosen: str) -> int:
        return len(told(market, name, wish=Wish(**{word: frozenset({value}) for word, value in chosen.items()})))

    assert count("fsp-a", kinds="assets") == count("dso-east", kinds="assets") == 2
    assert count("fsp-a", areas="UKPN_EPN") == count("fsp-a", categories="BESS") == 2
    assert count("fsp-a", areas="UKPN_SPN") == count("fsp-a", categories="EV_CHARGER") == 0
    assert count("fsp-a", actions="update") == 1
    assert count("dso-east", actions="update") == 0, "a filter must not tell what is not seen"


def test_entries_are_passed_over_that_do_not_concern_the_caller_and_none_that_do(market: Market) -> None:
    """The marks in the journal's tables only save work: with them and without them the feed is the same."""
    for number in range(6):
        asset = market.submit(market.callers["fsp-b" if number % 3 else "fsp-a"], "assets", battery(f"S-{number}"))
        market.record("assets", asset.id, dnoConnection="UKPN_SPN" if number % 2 else "UKPN_EPN", alias=[{"id": f"{BASE}/assets/{asset.id}#alias-1", "type": "Alias", "scheme": "ECR", "value": "x"}] if number == 4 else None)
    market.grant("fsp-a", "platform", "READ")

    for name in market.callers:
        caller = market.as_known(market.callers[name])
        feed = Feed(market.register, vocabulary())
        slowly = [event for index in range(market.register.size()) if (event := feed.event(index, caller))]
        assert told(market, name) == slowly, name
    passed = [index for index, _ in market.register.naming(-1, size(market), marks_of(market.callers["dso-south"]), ("assets",), ("assets",))]
    assert 0 < len(passed) < len(list(market.register.naming(-1, size(market), None, (), ("assets",))))


@pytest.mark.parametrize("viewer", ["dso-east", "dso-south", "neso", "fsp-b", "platform", "regulator"])
def test_what_is_hidden_changes_nothing_that_is_told(market: Market, tmp_path: Path, viewer: str) -> None:
    """Two registers that differ only in what a viewer may not see give it the same feed, but for indexes and times."""
    shared = market.submit(market.callers["fsp-a"], "assets", battery())
    other = market.copied(tmp_path / "other")
    try:
        hidden = market.submit(market.callers["fsp-c"], "assets", battery("HIDDEN", dnoConnection="SSEN_SEPD"))
        market.update(market.callers["fsp-a"], "assets", shared.id, friendlyCode="BESS-1")
        market.update(market.callers["fsp-c"], "assets", hidden.id, friendlyCode="BESS-2")
        for each in (market, other):
            each.update(each.callers["fsp-a"], "assets", shared.id, ratedCapacity="510.00")

        feeds = [[dataclasses.replace(event, index=0, time="") for event in told(each, viewer) if uuid_of(event.subject) != hidden.id] for each in (market, other)]
    finally:
        other.close()

    assert feeds[0] == feeds[1]
    seen = [event for event in told(market, viewer) if uuid_of(event.subject) == hidden.id]
    assert len(seen) == (1 if viewer == "neso" else 0), "NESO sees every asset, once: a friendly code is none of its business"


def test_every_kind_has_its_types() -> None:
    assert len(types()) == 3 * len(KINDS)
    assert {"org.fmar.asset.appeared", "org.fmar.saved-query.changed", "org.fmar.delegation.disappeared"} <= set(types())


def test_a_cursor_goes_there_and_back() -> None:
    assert [index_of(cursor_of(index)) for index in (-1, 0, 12_345)] == [-1, 0, 12_345]


@pytest.mark.parametrize("cursor", ["", "x", "bnVsbA", "e30", "W10", "eyJhZnRlciI6LTJ9", "eyJhZnRlciI6MS41fQ", "eyJhZnRlciI6dHJ1ZX0", "é", "[" * 5000])
def test_a_cursor_of_somebody_elses_making_is_refused(cursor: str) -> None:
    with pytest.raises(Malformed):
        index_of(cursor)
