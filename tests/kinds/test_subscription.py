"""Subscriptions: who is told where, of what, and the life of an endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound
from fmar_node.kinds import KINDS, House
from fmar_node.record import Receipt
from fmar_node.vocabulary import Document
from tests.market import Market, refused

ACTIONS = {plural: frozenset(kind.actions) for plural, kind in KINDS.items()}
ENDPOINT = "https://hooks.example/fmar"


@pytest.fixture
def subscribing(market: Market) -> Market:
    market.house = House(actions=ACTIONS, most_subscriptions=2)
    return market


def subscription(**changes: Any) -> Document:
    """A valid subscription; a change to None leaves the term out."""
    document = {"type": "Subscription", "endpoint": ENDPOINT, **changes}
    return {name: value for name, value in document.items() if value is not None}


def opened(market: Market, name: str = "fsp-a", **changes: Any) -> Receipt:
    return market.submit(market.callers[name], "subscriptions", subscription(**changes))


def verified(market: Market, name: str = "fsp-a", **changes: Any) -> str:
    id_ = opened(market, name, **changes).id
    market.act(market.node(), "subscriptions", id_, "verification")
    return id_


def state(market: Market, id_: str) -> str:
    return market.current("subscriptions", id_).state


def test_a_subscription_waits_for_its_endpoint_and_belongs_to_who_opened_it(subscribing: Market) -> None:
    made = opened(subscribing, eventKind=["assets"], eventArea=["UKPN_EPN"], eventCategory=["BESS"], eventAction=["update"])

    document = subscribing.current("subscriptions", made.id).document
    assert (document["subscriptionStatus"], document["subscriber"]) == ("PENDING_VERIFICATION", subscribing.iri("fsp-a"))
    assert document["secretSince"] == document["recordedAt"]
    assert "secret" not in document
    assert subscribing.verdict(subscribing.callers["fsp-a"], "subscriptions", "register").policy == "SUBSCRIPTION-OPEN-1"


def test_nobody_but_its_organisation_and_the_operator_sees_it(subscribing: Market) -> None:
    id_ = opened(subscribing).id

    for name in ("fsp-a", "operator"):
        assert subscribing.reader.current("subscriptions", id_, subscribing.callers[name]).document["endpoint"] == ENDPOINT
    for name in ("fsp-b", "dso-east", "neso", "regulator", "platform"):
        with pytest.raises(NotFound):
            subscribing.reader.current("subscriptions", id_, subscribing.callers[name])


@pytest.mark.parametrize(
    ("endpoint", "code"),
    [
        ("http://hooks.example/fmar", "SUBSCRIPTION-ENDPOINT-1"),
        ("http://127.0.0.1:9000/", "SUBSCRIPTION-ENDPOINT-1"),
        ("ftp://hooks.example/", "SUBSCRIPTION-ENDPOINT-1"),
        ("https://somebody@hooks.example/", "SUBSCRIPTION-ENDPOINT-1"),
        ("https://hooks.example/#part", "SUBSCRIPTION-ENDPOINT-1"),
        ("nowhere", "SUBSCRIPTION-ENDPOINT-1"),
        ("https://xn--.example/", "SUBSCRIPTION-ENDPOINT-1"),
        ("https://hooks.example:22/", "SUBSCRIPTION-ENDPOINT-2"),
        ("https://localhost/", "SUBSCRIPTION-ENDPOINT-3"),
        ("https://127.0.0.1/", "SUBSCRIPTION-ENDPOINT-3"),
        ("https://10.0.0.8/", "SUBSCRIPTION-ENDPOINT-3"),
        ("https://169.254.169.254/latest/", "SUBSCRIPTION-ENDPOINT-3"),
        ("https://[::1]/", "SUBSCRIPTION-ENDPOINT-3"),
        ("https://[::ffff:10.0.0.8]/", "SUBSCRIPTION-ENDPOINT-3"),
        ("https://[fe80::1]/", "SUBSCRIPTION-ENDPOINT-3"),
    ],
)
def test_an_endpoint_is_a_public_https_url_at_a_port_that_is_allowed(subscribing: Market, endpoint: str, code: str) -> None:
    with refused(code):
        opened(subscribing, endpoint=endpoint)


@pytest.mark.parametrize("endpoint", [ENDPOINT, "https://hooks.example:8443/x?y=z", "https://93.184.216.34/"])
def test_such_endpoints_are_taken(subscribing: Market, endpoint: str) -> None:
    assert subscribing.current("subscriptions", opened(subscribing, endpoint=endpoint).id).document["endpoint"] == endpoint


def test_what_is_wanted_has_to_exist(subscribing: Market) -> None:
    with refused("SUBSCRIPTION-OPEN-3", as_=Invalid):
        opened(subscribing, eventKind=["cars"])
    with refused("SUBSCRIPTION-OPEN-4", as_=Invalid):
        opened(subscribing, eventKind=["delegations"], eventAction=["deregistration"])
    assert opened(subscribing, eventKind=["assets"], eventAction=["deregistration"])


def test_an_organisation_has_so_many_and_an_ended_one_does_not_count(subscribing: Market) -> None:
    first = opened(subscribing)
    opened(subscribing)
    with refused("SUBSCRIPTION-OPEN-2", as_=Conflict):
        opened(subscribing)
    opened(subscribing, "fsp-b")

    subscribing.act(subscribing.callers["fsp-a"], "subscriptions", first.id, "cancellation")

    assert opened(subscribing)


def test_an_answer_makes_it_active_and_another_endpoint_answers_for_itself(subscribing: Market) -> None:
    id_, owner = verified(subscribing), subscribing.callers["fsp-a"]
    assert state(subscribing, id_) == "ACTIVE"

    subscribing.update(owner, "subscriptions", id_, eventKind=["assets"])
    same = state(subscribing, id_)
    subscribing.update(owner, "subscriptions", id_, endpoint="https://hooks.example/other")

    assert (same, state(subscribing, id_)) == ("ACTIVE", "PENDING_VERIFICATION")


def test_it_is_paused_resumed_and_cancelled(subscribing: Market) -> None:
    id_, owner = verified(subscribing), subscribing.callers["fsp-a"]

    states = []
    for action in ("pause", "resumption", "cancellation"):
        subscribing.act(owner, "subscriptions", id_, action)
        states.append(state(subscribing, id_))

    assert states == ["PAUSED", "ACTIVE", "ENDED"]


def test_what_has_failed_answers_again_before_it_is_told_anything(subscribing: Market) -> None:
    id_ = verified(subscribing)
    subscribing.act(subscribing.node(), "subscriptions", id_, "failure")

    subscribing.act(subscribing.callers["fsp-a"], "subscriptions", id_, "resumption")

    assert state(subscribing, id_) == "PENDING_VERIFICATION"


@pytest.mark.parametrize(
    ("action", "code"),
    [("update", "SUBSCRIPTION-UPDATE-2"), ("pause", "SUBSCRIPTION-PAUSE-2"), ("resumption", "SUBSCRIPTION-RESUME-2"), ("secret-rotation", "SUBSCRIPTION-SECRET-2"), ("cancellation", "SUBSCRIPTION-CANCEL-3")],
)
def test_what_has_ended_stays_so(subscribing: Market, action: str, code: str) -> None:
    id_, owner = verified(subscribing), subscribing.callers["fsp-a"]
    subscribing.act(owner, "subscriptions", id_, "cancellation")

    with refused(code, as_=Conflict):
        if action == "update":
            subscribing.update(owner, "subscriptions", id_, eventKind=["assets"])
        else:
            subscribing.act(owner, "subscriptions", id_, action)


@pytest.mark.parametrize(
    ("action", "code"),
    [("pause", "SUBSCRIPTION-PAUSE-1"), ("resumption", "SUBSCRIPTION-RESUME-1"), ("secret-rotation", "SUBSCRIPTION-SECRET-1"), ("update", "SUBSCRIPTION-UPDATE-1")],
)
def test_the_operator_sees_it_and_leaves_it_to_its_organisation(subscribing: Market, action: str, code: str) -> None:
    id_, operator = verified(subscribing), subscribing.callers["operator"]

    with refused(code, as_=Forbidden):
        if action == "update":
            subscribing.update(operator, "subscriptions", id_, eventKind=["assets"])
        else:
            subscribing.act(operator, "subscriptions", id_, action)


def test_the_operator_and_its_organisation_end_it(subscribing: Market) -> None:
    id_ = verified(subscribing)

    assert subscribing.verdict(subscribing.callers["operator"], "subscriptions", "cancellation", id_).policy == "SUBSCRIPTION-CANCEL-1"
    assert subscribing.verdict(subscribing.callers["fsp-a"], "subscriptions", "cancellation", id_).policy == "SUBSCRIPTION-CANCEL-2"


def test_only_the_node_says_that_an_endpoint_has_answered_or_failed(subscribing: Market) -> None:
    own = {code: action for action in KINDS["subscriptions"].actions.values() for code in (action.policies[0].code, action.state_rule) if action.is_nodes_own}
    assert own.keys() == {"SUBSCRIPTION-VERIFY-1", "SUBSCRIPTION-VERIFY-2", "SUBSCRIPTION-FAIL-1", "SUBSCRIPTION-FAIL-2", "SUBSCRIPTION-END-1", "SUBSCRIPTION-END-2"}
    id_ = opened(subscribing).id

    with refused("NODE-1", as_=Forbidden):
        subscribing.act(subscribing.callers["fsp-a"], "subscriptions", id_, "verification")


def test_it_ends_with_its_organisation_in_the_same_transaction(subscribing: Market) -> None:
    id_, owner = verified(subscribing), subscribing.callers["fsp-a"]

    gone = subscribing.submit(owner, "organisations", {}, "deregistration", owner.organisation)

    version = subscribing.current("subscriptions", id_)
    assert (version.state, version.action, subscribing.register.cause_of(version.index)) == ("ENDED", "end", gone.index)


def test_a_new_secret_changes_the_record_by_its_time_alone(subscribing: Market) -> None:
    id_, owner = verified(subscribing), subscribing.callers["fsp-a"]
    before = subscribing.current("subscriptions", id_).document
    subscribing.clock.forward(hours=1)

    subscribing.act(owner, "subscriptions", id_, "secret-rotation")

    after = subscribing.current("subscriptions", id_).document
    assert {name for name in after if after[name] != before.get(name)} == {"secretSince", "recordedAt", "recordedBy", "version"}


def test_an_erasure_has_its_policy_and_its_reason(subscribing: Market) -> None:
    id_ = verified(subscribing)
    with refused("SUBSCRIPTION-ERASE-1", as_=Forbidden):
        subscribing.act(subscribing.callers["fsp-a"], "subscriptions", id_, "erasure", erasureReason="REQUEST")
    with refused("SUBSCRIPTION-ERASE-2", as_=Invalid):
        subscribing.act(subscribing.callers["operator"], "subscriptions", id_, "erasure")
