"""The register does what its documentation says, whatever is done to it in whatever order.

The campaigns, many markets in this process and a live node that is killed: make test ARGS="-m campaign tests/model".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from fmar_node.identity import new_token
from tests.market import Market
from tests.model.far import Far
from tests.model.near import Near
from tests.model.oracle import Request
from tests.model.walk import ANYBODY, FIELDS, IDEMPOTENCY, PICK, PROVIDER, Walk, assert_same, one_of

UNHURRIED = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": True}
SHORT = settings(max_examples=8, stateful_step_count=30, derandomize=True, **UNHURRIED)
LONG = settings(max_examples=300, stateful_step_count=60, **UNHURRIED)
LIVE = settings(max_examples=10, stateful_step_count=100, phases=[Phase.generate], **UNHURRIED)
"""A node for each walk; a failure is not made smaller, since that would start a hundred of them."""


class NearWalk(Walk):
    """A walk in this process: with a follower that stops anywhere, a clock that runs backwards, and an end at any moment."""

    subject: Near

    @rule(most=st.integers(1, 5))
    def follow(self, most: int) -> None:
        self.subject.follow(most)

    @rule()
    def compare(self) -> None:
        self.subject.compare()

    @rule(hours=one_of(0.001, 1, 30, 30, -1, -50))
    def move_clock(self, hours: float) -> None:
        self.subject.move_clock(hours)

    @precondition(lambda self: self.oracle.records["assets"])
    @rule(pick=PICK, validation=one_of("VERIFIED", "VERIFIED", "QUERY"), standing=one_of("LIVE", "LIVE", "SUSPENDED_ADMIN", "AWAITING_NEW_FSP"))
    def validate(self, pick: int, validation: str, standing: str) -> None:
        id_ = self.asset(pick)
        if self.oracle.now("assets", id_).state != "DEREGISTERED":
            document = self.oracle.validated(id_, validation, standing)
            self.subject.validate(id_, validation, standing)
            self.oracle.keep("assets", id_, document, self.subject.time("assets", id_), id_)
            self.look("assets", id_)

    @rule(who=PROVIDER, fields=st.fixed_dictionaries(FIELDS), key=IDEMPOTENCY, how=one_of("before the commit", "after the commit", "before the checkpoint is kept"))
    def crash_while_registering(self, who: str, fields: dict[str, Any], key: str, how: str) -> None:
        """Nobody was told: the record is there whole, or not at all; asked again with the same key it is there once."""
        request = Request(self.someone(who), "assets", "", "register", self.asset_document(fields, "nothing"), key=key)
        self.crash_while(request, how)

    @precondition(lambda self: self.oracle.records["assets"])
    @rule(who=ANYBODY, pick=PICK, key=IDEMPOTENCY, how=one_of("before the commit", "after the commit"))
    def crash_while_deregistering(self, who: str, pick: int, key: str, how: str) -> None:
        id_ = self.asset(pick)
        self.crash_while(Request(self.someone(who, self.manager(id_)), "assets", id_, "deregistration", {"deregistrationReason": "ERROR"}, key=key), how)

    def crash_while(self, request: Request, how: str) -> None:
        today = self.subject.today()
        expected = self.oracle.expect(request, today)
        self.subject.crash_while_writing(request, how)
        if not expected.code and not expected.is_repeat and how != "before the commit":
            self.learn(request, self.subject.newest(), today)
        if request.key:
            self.ask(request)


class FarWalk(Walk):
    """A walk over HTTP, in which the writer and the whole node are killed."""

    make = Far
    subject: Far

    @rule(who=PROVIDER, fields=st.fixed_dictionaries(FIELDS), how=one_of("at once", "soon", "a little later"))
    def crash_while_registering(self, who: str, fields: dict[str, Any], how: str) -> None:
        """Whether it was told or not: asked again with the same key, the record is there once."""
        request = Request(self.someone(who), "assets", "", "register", self.asset_document(fields, "nothing"), key=new_token())
        if request.caller not in self.subject.viewers(self.oracle):
            return
        today = self.subject.today()
        expected = self.oracle.expect(request, today)
        self.subject.crash_while_writing(request, how)
        answer = self.subject.insist(request)
        assert_same(expected, answer, request)
        if not answer.code:
            self.learn(request, answer, today)


def founded(folder: Path) -> Market:
    """A closed market with somebody of each sort."""
    made = Market(folder)
    made.join("operator", "FMAR_OPERATOR")
    for name, role, given in (
        ("fsp-a", "FSP", {}), ("fsp-b", "FSP", {}), ("dso-east", "DNO", {"licenceArea": ["UKPN_EPN", "UKPN_LPN"]}),
        ("dso-south", "DNO", {"licenceArea": ["UKPN_SPN"]}), ("neso", "SYSTEM_OPERATOR", {}), ("regulator", "REGULATOR", {}),
    ):  # fmt: skip
        made.join(name, role, **given)
    made.projected().graph.close()
    made.close()
    return made


@pytest.fixture(scope="module")
def beginning(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return founded(tmp_path_factory.mktemp("beginning"))


def walking(beginning: Market) -> type[NearWalk]:
    return type("NearWalk", (NearWalk,), {"make": staticmethod(lambda: Near(beginning))})


@pytest.mark.timeout(600)
def test_a_market_does_what_the_documentation_says(beginning: Market) -> None:
    run_state_machine_as_test(walking(beginning), settings=SHORT)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(1, 5))
def test_a_market_does_so_for_a_long_time(beginning: Market, number: int) -> None:
    run_state_machine_as_test(seed(number)(walking(beginning)), settings=LONG)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(1, 3))
def test_a_live_node_does_so_through_kills(number: int) -> None:
    run_state_machine_as_test(seed(number)(type("FarWalk", (FarWalk,), {})), settings=LIVE)
