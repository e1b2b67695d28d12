"""What may happen to a release, and what its life does to the records: every policy, state and rule of `kinds/release.py`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fmar_node.access.caller import ANONYMOUS
from fmar_node.clock import today
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Invalid, NotFound, Unavailable
from fmar_node.judge import Paper
from fmar_node.keeping import derived, retention
from fmar_node.kinds.release import raised
from fmar_node.release import Releases
from fmar_node.settings import Settings
from fmar_node.vocabulary import RELEASE
from tests.market import BASE, LOOKUP_KEY, Market, battery, refused, vocabulary
from tests.releasing import (
    ASSETS,
    CATEGORIES,
    SUBSCRIPTIONS,
    analysed,
    bring_into_force,
    capped,
    changed,
    propose,
    release,
    v2g,
    without_hvac,
)

V2G = {"assetCategory": "V2G_CHARGER", "energySource": "GRID", "storageEnergyCapacity": "60.00"}
WORDS = {ASSETS: changed(ASSETS, ("assetCategory is missing", "there is no assetCategory"))}


def charger(**changes: Any) -> dict[str, Any]:
    return battery("V2G-1", **{**V2G, **changes})


def state(market: Market, id_: str) -> str:
    return market.current("releases", id_).state


def in_shadow(market: Market, files: dict[str, str]) -> str:
    id_ = propose(market, files)
    analysed(market, id_)
    market.act(market.callers["operator"], "releases", id_, "shadow")
    return id_


def approve(market: Market, id_: str, day: str | None = "2026-11-30") -> None:
    market.submit(market.callers["operator"], "releases", {"activeFrom": day} if day else {}, "approval", id_)


# -- its life


def test_a_release_is_proposed_shadowed_approved_in_force_and_superseded(market: Market) -> None:
    seen = []
    id_ = propose(market, v2g())
    seen.append(state(market, id_))
    analysed(market, id_)
    market.act(market.callers["operator"], "releases", id_, "shadow")
    seen.append(state(market, id_))
    approve(market, id_)
    seen.append(state(market, id_))
    market.clock.forward(days=8)
    assert market.tick() == 1
    seen.append(state(market, id_))
    following = propose(market, {ASSETS: v2g()[ASSETS].replace("assetCategory is missing", "there is no assetCategory")}, "PATCH")
    analysed(market, following)
    market.act(market.callers["operator"], "releases", following, "shadow")
    approve(market, following)
    assert market.tick() == 1

    assert [*seen, state(market, id_), state(market, following)] == ["PROPOSED", "SHADOW", "APPROVED", "ACTIVE", "SUPERSEDED", "ACTIVE"]
    ended, began = market.current("releases", id_), market.current("releases", following)
    assert (began.action, ended.action, ended.index - began.index) == ("activation", "supersession", 1)
    assert began.document["basedOn"] == ended.iri


def test_it_comes_into_force_at_midnight_in_london_and_not_before(market: Market) -> None:
    id_ = in_shadow(market, v2g())
    approve(market, id_, "2026-11-23")

    market.clock.forward(hours=14, minutes=29, seconds=59)
    assert (market.tick(), state(market, id_)) == (0, "APPROVED")
    market.clock.forward(seconds=1)
    assert (market.tick(), state(market, id_)) == (1, "ACTIVE")


def test_it_says_what_it_is(market: Market) -> None:
    document = market.current("releases", propose(market, v2g())).document

    assert (document["releaseNumber"], document["releaseVersion"], document["releasedOver"]) == (2, "2.0.0+2", RELEASE)
    assert "basedOn" not in document
    assert document["releaseDescription"] == "What a test\nneeds."
    assert {each["fileName"] for each in document["releaseFile"]} == {CATEGORIES, ASSETS, SUBSCRIPTIONS}


@pytest.mark.parametrize(("version", "level", "following"), [("1.0.0", "PATCH", "1.0.1"), ("1.4.2+7", "MINOR", "1.5.0"), ("1.4.2+7", "MAJOR", "2.0.0")])
def test_versions_are_semantic(version: str, level: str, following: str) -> None:
    assert raised(version, level) == following


def test_a_release_has_the_files_of_the_one_before_that_it_leaves_as_they_are(market: Market) -> None:
    bring_into_force(market, v2g())

    files = {CATEGORIES: v2g()[CATEGORIES].replace("as well as giving it", "as well as giving", 1).replace('prefLabel "V2G charger"', 'changeNote "Shorter."@en ;\n    skos:prefLabel "V2G charger"')}
    document = market.current("releases", propose(market, files, "PATCH")).document

    assert {each["fileName"]: each["fileText"] for each in document["releaseFile"]} == {**v2g(), **files}
    assert (document["releaseNumber"], document["releaseVersion"]) == (3, "2.0.1+3")


# -- who may, and when


@pytest.mark.parametrize(("action", "policy"), [
    ("register", "RELEASE-PROPOSE-1"), ("analysis", "RELEASE-ANALYSE-1"), ("shadow", "RELEASE-SHADOW-1"), ("approval", "RELEASE-APPROVE-1"), ("withdrawal", "RELEASE-WITHDRAW-1"),
])  # fmt: skip
def test_the_operator_alone_releases(market: Market, action: str, policy: str) -> None:
    id_ = "" if action == "register" else propose(market, WORDS, "PATCH")

    assert market.verdict(market.callers["operator"], "releases", action, id_).permitted
    assert [market.verdict(market.callers[name], "releases", action, id_).policy for name in ("fsp-a", "neso", "regulator")] == [policy] * 3


@pytest.mark.parametrize(("action", "code"), [("impact", "RELEASE-IMPACT-1"), ("activation", "RELEASE-ACTIVATE-1"), ("supersession", "RELEASE-SUPERSEDE-1")])
def test_what_only_the_node_does(market: Market, action: str, code: str) -> None:
    id_ = propose(market, WORDS, "PATCH")

    verdict = market.verdict(market.callers["operator"], "releases", action, id_)

    assert (verdict.permitted, verdict.policy, code) == (False, "NODE-1", code)


@pytest.mark.parametrize(("action", "note", "rule"), [
    ("shadow", {}, "RELEASE-SHADOW-2"), ("approval", {"activeFrom": "2026-11-30"}, "RELEASE-APPROVE-2"),
    ("withdrawal", {}, "RELEASE-WITHDRAW-2"), ("analysis", {}, "RELEASE-ANALYSE-2"),
])  # fmt: skip
def test_what_is_in_force_stays_until_the_next_one(market: Market, action: str, note: dict[str, str], rule: str) -> None:
    id_ = bring_into_force(market, WORDS, "PATCH")

    with refused(rule, as_=Conflict):
        market.submit(market.callers["operator"], "releases", note, action, id_)


@pytest.mark.parametrize(("action", "rule"), [("impact", "RELEASE-IMPACT-2"), ("activation", "RELEASE-ACTIVATE-2"), ("supersession", "RELEASE-SUPERSEDE-2")])
def test_the_node_too_keeps_to_the_states(market: Market, action: str, rule: str) -> None:
    id_ = propose(market, WORDS, "PATCH")
    market.act(market.callers["operator"], "releases", id_, "withdrawal")

    with refused(rule, as_=Conflict):
        market.submit(market.node(), "releases", {}, action, id_)


@pytest.mark.parametrize("when", ["PROPOSED", "SHADOW", "APPROVED"])
def test_what_is_not_in_force_yet_can_be_taken_back(market: Market, when: str) -> None:
    id_ = propose(market, WORDS, "PATCH") if when == "PROPOSED" else in_shadow(market, WORDS)
    if when == "APPROVED":
        approve(market, id_)

    market.act(market.callers["operator"], "releases", id_, "withdrawal")
    market.clock.forward(days=10)

    assert (market.tick(), state(market, id_)) == (0, "WITHDRAWN")
    assert market.releases.in_force(market.register) is market.releases.packaged


def test_nothing_goes_into_shadow_whose_impact_is_not_known(market: Market) -> None:
    id_, operator = propose(market, v2g()), market.callers["operator"]

    with refused("RELEASE-SHADOW-3", as_=Conflict):
        market.act(operator, "releases", id_, "shadow")
    analysed(market, id_)
    market.act(operator, "releases", id_, "shadow")
    market.act(operator, "releases", id_, "analysis")

    assert "impactAt" not in market.current("releases", id_).document


def test_there_is_one_candidate_at_a_time(market: Market) -> None:
    first, second = in_shadow(market, v2g()), propose(market, WORDS, "PATCH")
    analysed(market, second)

    with refused("RELEASE-SHADOW-4", as_=Conflict):
        market.act(market.callers["operator"], "releases", second, "shadow")
    market.act(market.callers["operator"], "releases", first, "withdrawal")
    market.act(market.callers["operator"], "releases", second, "shadow")

    assert state(market, second) == "SHADOW"


def test_a_proposal_over_what_is_no_longer_in_force_is_proposed_again(market: Market) -> None:
    stale = propose(market, without_hvac())
    analysed(market, stale)
    bring_into_force(market, v2g())

    with refused("RELEASE-SHADOW-5", as_=Conflict):
        market.act(market.callers["operator"], "releases", stale, "shadow")


@pytest.mark.parametrize("day", [None, "2026-11-21"])
def test_a_release_does_not_come_into_force_in_the_past(market: Market, day: str | None) -> None:
    id_ = in_shadow(market, v2g())

    with refused("RELEASE-APPROVE-3", as_=Invalid):
        approve(market, id_, day)


# -- who sees it


def test_candidates_are_the_operators_and_what_is_approved_everybodys(market: Market) -> None:
    id_ = in_shadow(market, v2g())

    def sees(caller: Any) -> bool:
        try:
            return bool(market.reader.current("releases", id_, caller))
        except NotFound:
            return False

    before = [sees(market.callers["operator"]), sees(market.callers["fsp-a"]), sees(ANONYMOUS)]
    approve(market, id_)

    assert before == [True, False, False]
    assert [sees(market.callers["fsp-a"]), sees(ANONYMOUS)] == [True, True]


# -- what it does to the records


def test_a_new_category_may_be_used_from_its_day_on(market: Market) -> None:
    with refused("A05-code", as_=Invalid):
        market.submit(market.callers["fsp-a"], "assets", charger())
    bring_into_force(market, v2g())

    receipt = market.submit(market.callers["fsp-a"], "assets", charger())

    assert market.current("assets", receipt.id).document["shapesVersion"] == "2.0.0+2"


def test_its_required_attribute_is_asked_for(market: Market) -> None:
    bring_into_force(market, v2g())

    with refused("V2G-storage", as_=Invalid):
        market.submit(market.callers["fsp-a"], "assets", charger(storageEnergyCapacity=None))


def test_a_deprecated_code_stays_where_it_is_and_is_refused_where_it_is_new(market: Market) -> None:
    hvac = {"assetCategory": "HVAC", "energySource": None, "genCapacity": None, "installedCapacity": None, "storageEnergyCapacity": None, "demandTechType": "HVAC"}
    old = market.submit(market.callers["fsp-a"], "assets", battery("HVAC-1", **hvac)).id
    other = market.submit(market.callers["fsp-a"], "assets", battery("BESS-2")).id
    bring_into_force(market, without_hvac())

    market.update(market.callers["fsp-a"], "assets", old, assetName="Another name")
    with refused("A05-code", as_=Invalid):
        market.submit(market.callers["fsp-a"], "assets", battery("HVAC-3", **hvac))
    with refused("A05-code", as_=Invalid):
        market.update(market.callers["fsp-a"], "assets", other, **hvac)

    assert market.current("assets", old).document["assetCategory"] == "HVAC"
    assert [version.document["shapesVersion"] for version in market.register.versions("assets", old)] == [RELEASE, "2.0.0+2"]


def test_a_named_action_leaves_what_a_record_was_judged_by(market: Market) -> None:
    id_ = market.submit(market.callers["fsp-a"], "assets", battery()).id
    bring_into_force(market, capped())

    market.submit(market.callers["fsp-a"], "assets", {"deregistrationReason": "DECOMMISSIONED"}, "deregistration", id_)

    assert (market.current("assets", id_).state, market.current("assets", id_).document["shapesVersion"]) == ("DEREGISTERED", RELEASE)


def test_the_shadow_counts_and_refuses_nothing(market: Market) -> None:
    in_shadow(market, capped())

    for serial, capacity in (("S-1", "500.00"), ("S-2", "300.00")):
        market.submit(market.callers["fsp-a"], "assets", battery(serial, ratedCapacity=capacity, installedCapacity=capacity, genCapacity=capacity, demandCapacity=capacity))

    assert market.shadowed == [("NEW-cap",), ()]


def test_what_was_judged_before_is_not_entered_after(market: Market) -> None:
    """Judged by the release before, in the transaction of the next one: nothing is written, though the next one would accept it too."""
    id_ = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
    submission = Submission(market.callers["fsp-a"], "assets", "register", id_, BASE, "application/ld+json", _json(battery()))
    paper = Paper("assets", "register", submission.iri, submission.media_type, submission.body, today(market.clock))
    judgement = asyncio.run(market.judge(paper))
    bring_into_force(market, v2g())

    with pytest.raises(Unavailable) as refusal:
        asyncio.run(market.commit(submission, judgement))

    assert (refusal.value.code, refusal.value.headers) == ("release-changed", {"Retry-After": "1"})
    assert market.register.current("assets", id_) is None
    assert market.run(submission).id == id_


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def test_a_judge_that_lacks_the_release_of_a_paper_says_so(market: Market) -> None:
    paper = Paper("assets", "register", f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", "application/ld+json", _json(battery()), today(market.clock), release="9.9.9+9")

    with pytest.raises(Unavailable) as refusal:
        market.shelf.judge(paper, Settings())

    assert refusal.value.code == "release-changed"


# -- what stays


def test_another_process_obeys_what_the_journal_says(market: Market) -> None:
    id_ = bring_into_force(market, v2g())

    fresh = Releases(vocabulary())

    assert fresh.in_force(market.register).release == "2.0.0+2"
    assert fresh.numbered(market.register, 2)[1] == market.current("releases", id_)
    assert fresh.numbered(market.register, 1)[0].release == RELEASE
    with pytest.raises(NotFound):
        fresh.numbered(market.register, 3)


def test_a_release_over_another_package_says_so_in_what_it_judges(market: Market) -> None:
    id_ = bring_into_force(market, v2g())
    version = market.current("releases", id_)
    version.document["releasedOver"] = "0.9.0"

    assert Releases(vocabulary()).of(version).release == f"2.0.0+2.on.{RELEASE}"


def test_the_tables_follow_from_the_entries_and_nothing_of_it_is_kept_too_long(market: Market) -> None:
    withdrawn = propose(market, WORDS, "PATCH")
    market.act(market.callers["operator"], "releases", withdrawn, "withdrawal")
    bring_into_force(market, v2g())
    market.clock.forward(days=400)

    derived.check_state(market.journal.register)

    assert retention.due(market.register, Settings(retention_days=1), market.clock.now()) == []
    assert market.register.lookup_key == LOOKUP_KEY


def test_a_release_with_nothing_in_it_is_refused(market: Market) -> None:
    with refused("Release.releaseFile-required", as_=Invalid):
        market.submit(market.callers["operator"], "releases", release({}))
