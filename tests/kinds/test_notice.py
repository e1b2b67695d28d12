"""Notices: raised once, renewed, reopened and settled by the node; acknowledged and resolved by who has to act."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fmar_node.access.caller import Caller, node_itself
from fmar_node.access.reveal import reveal
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound
from fmar_node.identity import new_record_id
from fmar_node.journal.register import Window
from fmar_node.judge import Paper
from fmar_node.kinds import Consequence, Matter
from fmar_node.kinds.kind import earliest
from fmar_node.kinds.matter import lapsed, raised, settled, told
from fmar_node.record import Receipt, Version
from fmar_node.vocabulary import Document
from tests.market import BASE, Market, refused, vocabulary

SUBJECT = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
OTHER = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12"
DUE, LATER = "2026-12-01T00:00:00.000Z", "2026-12-08T00:00:00.000Z"


def matter(market: Market, party: str = "fsp-a", **given: Any) -> Matter:
    """A matter for a participant, or for the operator by its role."""
    to = "FMAR_OPERATOR" if party == "operator" else market.iri(party)
    said = {"party": to, "type": "QUERY_OPEN", "subject": SUBJECT, "text": "a source differs", "fields": ("postcode",), "due_by": DUE}
    return Matter(**{**said, **given})


def entry(action: str, id_: str, note: Document) -> Submission:
    return Submission(node_itself(), "notices", action, id_, BASE, "application/ld+json", json.dumps(note).encode())


def enter(market: Market, wanted: Iterable[Consequence]) -> list[Receipt]:
    """What a consequence does, done by the node itself."""
    return [market.run(entry(each.action, each.id, each.note)) for each in wanted]


def raise_(market: Market, of: Matter) -> Version:
    receipts = enter(market, raised(market.register, of))
    return market.current("notices", receipts[0].id)


def notices(market: Market) -> list[Version]:
    return market.register.page("notices", Window(everything=True), "", 100, {})


def sees(market: Market, name: str, notice: Version) -> bool:
    caller = market.callers[name] if name else Caller()
    return reveal(market.current("notices", notice.id).document, caller, vocabulary()) is not None


# -- raising


def test_a_notice_says_who_has_to_act_on_what_by_when(market: Market) -> None:
    notice = raise_(market, matter(market))

    found = notice.document
    assert (found["noticeParty"], found["noticeType"], found["subject"]) == (market.iri("fsp-a"), "QUERY_OPEN", SUBJECT)
    assert (found["noticeField"], found["dueBy"], found["text"]) == (["postcode"], DUE, "a source differs")
    assert (found["noticeStatus"], found["raisedAt"], found["recurrence"]) == ("OPEN", found["recordedAt"], 0)
    assert "recordedBy" not in found
    assert notice.actor.organisation == ""


def test_raised_again_it_is_the_same_one(market: Market) -> None:
    notice = raise_(market, matter(market))

    assert enter(market, raised(market.register, matter(market))) == []
    assert [each.id for each in notices(market)] == [notice.id]


def test_an_open_one_is_renewed_where_it_says_something_else(market: Market) -> None:
    notice = raise_(market, matter(market))
    market.act(market.callers["fsp-a"], "notices", notice.id, "acknowledgement")

    enter(market, raised(market.register, matter(market, due_by=LATER, fields=("postcode", "importMPAN"))))

    found = market.current("notices", notice.id)
    assert (found.action, found.state, found.document["dueBy"]) == ("renewal", "ACKNOWLEDGED", LATER)
    assert found.document["noticeField"] == ["importMPAN", "postcode"]
    assert found.document["recurrence"] == 0


def test_a_resolved_one_is_reopened_when_the_cause_comes_back(market: Market) -> None:
    notice = raise_(market, matter(market))
    market.act(market.callers["fsp-a"], "notices", notice.id, "acknowledgement")
    market.act(market.callers["fsp-a"], "notices", notice.id, "resolution", resolution="CORRECTED", resolutionText="the postcode was wrong")

    market.clock.forward(days=1)
    again = raise_(market, matter(market, due_by=LATER))

    assert (again.id, again.action, again.state, again.document["recurrence"]) == (notice.id, "reopening", "OPEN", 1)
    assert again.document["reopenedAt"] > again.document["raisedAt"] == notice.document["raisedAt"]
    assert {"acknowledgedAt", "resolution", "resolutionText", "resolvedAt", "resolvedBy"}.isdisjoint(again.document)


def test_another_party_type_or_subject_is_another_notice(market: Market) -> None:
    for each in (matter(market), matter(market, "fsp-b"), matter(market, "operator"), matter(market, type="DISCREPANCY"), matter(market, subject=OTHER)):
        raise_(market, each)

    assert len(notices(market)) == 5


def test_of_twenty_raised_at_once_there_is_one(market: Market) -> None:
    note = told(matter(market))
    judgement = asyncio.run(market.judge(Paper("notices", "register", SUBJECT, "application/ld+json", json.dumps(note).encode(), market.clock.now().date())))
    made, refusals = [], []
    with market.journal.batch() as batch:
        for _ in range(20):
            try:
                with batch.savepoint():
                    made.append(market.settle(batch, entry("register", new_record_id(), note), judgement))
            except Conflict as refusal:
                refusals.append(refusal.faults[0].code)

    assert len(made) == len(notices(market)) == 1
    assert refusals == ["NOTICE-RAISE-2"] * 19


def test_nobody_raises_a_notice_but_the_node(market: Market) -> None:
    notice = raise_(market, matter(market))
    for name in ("operator", "fsp-a"):
        with refused("NODE-1", as_=Forbidden):
            market.submit(market.callers[name], "notices", told(matter(market, subject=OTHER)))
        for action in ("renewal", "reopening", "settlement"):
            with refused("NODE-1", as_=Forbidden):
                market.act(market.callers[name], "notices", notice.id, action)


def test_the_node_does_to_a_notice_what_its_state_allows(market: Market) -> None:
    notice = raise_(market, matter(market))
    with refused("NOTICE-REOPEN-2", as_=Conflict):
        market.run(entry("reopening", notice.id, told(matter(market))))
    enter(market, settled(market.register, matter(market)))
    with refused("NOTICE-RENEW-2", as_=Conflict):
        market.run(entry("renewal", notice.id, told(matter(market))))
    with refused("NOTICE-SETTLE-2", as_=Conflict):
        market.run(entry("settlement", notice.id, {"resolution": "SETTLED"}))


# -- settling


def test_it_is_settled_by_the_node_when_its_cause_is_gone(market: Market) -> None:
    notice = raise_(market, matter(market))

    enter(market, settled(market.register, matter(market), "CORRECTED"))

    found = market.current("notices", notice.id).document
    assert (found["noticeStatus"], found["resolution"], found["resolvedAt"]) == ("RESOLVED", "CORRECTED", found["recordedAt"])
    assert {"resolvedBy", "recordedBy"}.isdisjoint(found)


def test_what_was_not_raised_or_is_resolved_is_not_settled(market: Market) -> None:
    assert list(settled(market.register, matter(market))) == []

    raise_(market, matter(market))
    enter(market, settled(market.register, matter(market)))

    assert list(settled(market.register, matter(market))) == []


def test_what_an_organisation_was_told_lapses_with_it(market: Market) -> None:
    own, others = raise_(market, matter(market, "fsp-c")), raise_(market, matter(market, "fsp-b"))
    assert len(list(lapsed(market.register, market.callers["fsp-c"].organisation))) == 1

    market.act(market.callers["operator"], "organisations", market.callers["fsp-c"].organisation, "deregistration")

    found = market.current("notices", own.id)
    assert (found.state, found.document["resolution"]) == ("RESOLVED", "LAPSED")
    assert market.current("notices", others.id).state == "OPEN"


# -- those who have to act


def test_who_has_to_act_acknowledges_it(market: Market) -> None:
    notice = raise_(market, matter(market))
    market.act(market.callers["fsp-a"], "notices", notice.id, "acknowledgement")

    found = market.current("notices", notice.id)
    assert (found.state, found.document["acknowledgedAt"]) == ("ACKNOWLEDGED", found.document["recordedAt"])
    with refused("NOTICE-ACKNOWLEDGE-2", as_=Conflict):
        market.act(market.callers["fsp-a"], "notices", notice.id, "acknowledgement")


def test_the_operator_acknowledges_what_it_has_to_act_on_itself(market: Market) -> None:
    own, others = raise_(market, matter(market, "operator")), raise_(market, matter(market))

    market.act(market.callers["operator"], "notices", own.id, "acknowledgement")
    with refused("NOTICE-ACKNOWLEDGE-1", as_=Forbidden):
        market.act(market.callers["operator"], "notices", others.id, "acknowledgement")


@pytest.mark.parametrize(("name", "policy"), [("fsp-a", "NOTICE-RESOLVE-2"), ("operator", "NOTICE-RESOLVE-1")])
def test_who_has_to_act_resolves_it_and_so_does_the_operator(market: Market, name: str, policy: str) -> None:
    notice = raise_(market, matter(market))
    assert market.verdict(market.callers[name], "notices", "resolution", notice.id).policy == policy

    market.act(market.callers[name], "notices", notice.id, "resolution", resolution="SOURCE_WRONG", resolutionText="the service has the old number")

    found = market.current("notices", notice.id).document
    assert (found["noticeStatus"], found["resolution"], found["resolvedBy"]) == ("RESOLVED", "SOURCE_WRONG", market.iri(name))
    with refused("NOTICE-RESOLVE-3", as_=Conflict):
        market.act(market.callers[name], "notices", notice.id, "resolution", resolution="ACCEPTED", resolutionText="twice")


@pytest.mark.parametrize(("note", "codes"), [
    ({"resolution": "CORRECTED"}, ["NOTICE-RESOLVE-5"]),
    ({"resolutionText": "done"}, ["NOTICE-RESOLVE-4"]),
    ({"resolution": "SETTLED", "resolutionText": "done"}, ["NOTICE-RESOLVE-4"]),
    ({"resolution": "LAPSED", "resolutionText": "done"}, ["NOTICE-RESOLVE-4"]),
    ({}, ["NOTICE-RESOLVE-4", "NOTICE-RESOLVE-5"]),
])  # fmt: skip
def test_a_resolution_says_which_and_why(market: Market, note: dict[str, str], codes: list[str]) -> None:
    notice = raise_(market, matter(market))

    with refused(*codes, as_=Invalid):
        market.act(market.callers["fsp-a"], "notices", notice.id, "resolution", **note)


@pytest.mark.parametrize("party", ["fsp-a", "operator"])
def test_nobody_else_sees_a_notice(market: Market, party: str) -> None:
    notice = raise_(market, matter(market, party))

    seen = {name for name in [*market.callers, ""] if sees(market, name, notice)}

    assert seen == {party, "operator"}
    for name in set(market.callers) - seen:
        with pytest.raises(NotFound):
            market.act(market.callers[name], "notices", notice.id, "acknowledgement")


def test_a_notice_for_a_network_operator_is_for_it_alone(market: Market) -> None:
    notice = raise_(market, matter(market, "dso-east"))

    assert {name for name in market.callers if sees(market, name, notice)} == {"dso-east", "operator"}


def test_it_stands_in_the_graphs_of_who_sees_it(market: Market) -> None:
    notices_ = [raise_(market, matter(market, party)) for party in ("fsp-a", "operator", "dso-east")]
    market.act(market.callers["fsp-a"], "notices", notices_[0].id, "acknowledgement")

    assert market.projected().deviations() == []


def test_only_the_operator_erases_one_and_says_why(market: Market) -> None:
    notice = raise_(market, matter(market))
    with refused("NOTICE-ERASE-1", as_=Forbidden):
        market.act(market.callers["fsp-a"], "notices", notice.id, "erasure", erasureReason="REQUEST")
    with refused("NOTICE-ERASE-2", as_=Invalid):
        market.act(market.callers["operator"], "notices", notice.id, "erasure")


def test_what_a_record_awaits_first_is_the_earliest_of_several() -> None:
    assert earliest(None, (LATER, "expiry"), (DUE, "overrun")) == (DUE, "overrun")
    assert earliest(None, None) is earliest() is None


# -- whatever happens


EVENT = st.tuples(st.sampled_from(["raise", "settle", "acknowledge", "resolve"]), st.sampled_from(["fsp-a", "operator"]), st.sampled_from([SUBJECT, OTHER]), st.sampled_from([DUE, LATER]))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=st.lists(EVENT, min_size=1, max_size=12))
def test_there_is_at_most_one_notice_per_party_type_and_subject(market: Market, tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, str, str]]) -> None:
    """And it is open exactly where its cause is there and nobody has resolved it since."""
    own = market.copied(Path(tmp_path_factory.mktemp("notices")))
    expected: dict[tuple[str, str], bool] = {}
    for what, party, subject, due in events:
        of, key = matter(own, party, subject=subject, due_by=due), (party, subject)
        if what == "raise":
            enter(own, raised(own.register, of))
            expected[key] = True
        elif what == "settle":
            enter(own, settled(own.register, of))
            expected |= {key: False} if key in expected else {}
        elif expected.get(key):
            _by_hand(own, party, subject, what)
            expected[key] = what == "acknowledge"

    found = notices(own)
    told_of = [(each.document.get("noticeParty", "operator"), each.document["noticeType"], each.document["subject"]) for each in found]
    assert len(set(told_of)) == len(told_of) == len(expected)
    named = {own.iri("fsp-a"): "fsp-a", "operator": "operator"}
    assert {(named[party], subject): each.state != "RESOLVED" for each, (party, _, subject) in zip(found, told_of, strict=True)} == expected
    own.close()


def _by_hand(market: Market, party: str, subject: str, what: str) -> None:
    """What who has to act does, where it has not done it."""
    to = market.iri(party) if party == "fsp-a" else None
    (notice,) = [each for each in notices(market) if each.document["subject"] == subject and each.document.get("noticeParty") == to]
    if what == "resolve":
        market.act(market.callers[party], "notices", notice.id, "resolution", resolution="ACCEPTED", resolutionText="known")
    elif notice.state == "OPEN":
        market.act(market.callers[party], "notices", notice.id, "acknowledgement")
