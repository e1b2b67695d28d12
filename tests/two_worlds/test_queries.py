"""SPARQL in two worlds: whatever is asked, by whomever, what the caller may not see makes no difference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fmar_node.query import Question
from fmar_node.store.pool import Query
from tests.market import BASE
from tests.two_worlds.asking import Answered, Snapshot, evaluated
from tests.two_worlds.pairs import NARROW_CIRCLES, Pair, Worlds
from tests.two_worlds.queries import unordered
from tests.two_worlds.window import Reference, rows
from tests.two_worlds.worlds import VIEWERS, caller_in, seen

CAMPAIGN_QUESTIONS = 1_430
"""For each viewer and seed; 10,010 together."""

def differing(pairs: list[Pair]) -> list[Question]:
    return [question for question, left, right in pairs if left != right]


def deviating(worlds: Worlds, viewer: str, folder: Path) -> list[Question]:
    """The questions that the reference window answers otherwise."""
    caller, reference = worlds.caller(viewer), Reference(worlds.story.plain, worlds.caller(viewer), folder)
    found = []
    for question, answer, _ in worlds.pairs(viewer):
        plain = unordered(question)
        told = answer if plain == question else worlds.plain.ask(plain, caller)
        if told != (copy := reference.ask(plain)) and rows(told) != rows(copy):
            found.append(question)
    return found


# -- the worlds


@pytest.mark.parametrize("viewer", VIEWERS)
def test_the_viewer_sees_the_same_in_worlds_that_are_not(worlds: Worlds, viewer: str) -> None:
    plain, beside, caller = worlds.story.plain, worlds.fuller(viewer), worlds.caller(viewer)

    assert caller_in(beside, viewer) == caller
    assert seen(beside, caller) == seen(plain, caller)
    assert beside.register.size() > plain.register.size() + 30


def test_more_happens_to_what_is_seen_and_beside_it(worlds: Worlds) -> None:
    beside, caller = worlds.fuller("dso-east"), worlds.caller("dso-east")
    operator = beside.callers["operator"]
    common, more = seen(worlds.story.plain, operator), seen(beside, operator)

    changed = {iri for iri, looks in common.items() if looks != more[iri]}

    assert changed & set(seen(worlds.story.plain, caller))
    assert {iri.split("/")[3] for iri in set(more) - set(common)} == {"assets", "organisations", "users", "delegations", "queries"}
    assert min(more) < max(common)


# -- the answers


@pytest.mark.parametrize("viewer", VIEWERS)
def test_the_answers_are_the_same_bytes(worlds: Worlds, viewer: str) -> None:
    """B16: CONSTRUCT and DESCRIBE are among them."""
    assert differing(worlds.pairs(viewer)) == []


@pytest.mark.parametrize("viewer", ["", "fsp-a", "fsp-c", "dso-east", "neso"])
def test_the_reference_window_gives_the_same_answers(worlds: Worlds, viewer: str, tmp_path: Path) -> None:
    assert deviating(worlds, viewer, tmp_path / "reference") == []


def test_the_questions_are_worth_asking(worlds: Worlds) -> None:
    answers = [answer for viewer in VIEWERS for _, answer, _ in worlds.pairs(viewer)]

    refused = [answer for answer in answers if answer.is_refusal]
    told = [answer for answer in answers if not answer.is_refusal and any(rows(answer))]

    assert len(refused) < len(answers) / 20
    assert len(told) > len(answers) / 4


# -- controls: the comparison can fail


def test_who_may_see_the_difference_sees_it(worlds: Worlds) -> None:
    operator, maker = worlds.caller("operator"), worlds.maker("operator", "fsp-a")
    beside = worlds.snapshots["fsp-a"]

    pairs = [(question, worlds.plain.ask(question, operator), beside.ask(question, operator)) for question in maker.questions(200)]

    assert len(differing(pairs)) > 6


class Leaky(Snapshot):
    """A snapshot asked with one graph too many among those that a query may name."""

    def __init__(self, sound: Snapshot) -> None:
        self.store, self.index, self.loop = sound.store, sound.index, sound.loop

    async def run(self, query: Query) -> Answered:
        return evaluated(self.store, replace(query, named_graphs=(*query.named_graphs, f"{BASE}/views/operator")))


@pytest.mark.parametrize("viewer", ["", "neso"])
def test_one_graph_too_many_is_found(worlds: Worlds, viewer: str, tmp_path: Path) -> None:
    caller, maker = worlds.caller(viewer), worlds.maker(viewer, viewer)
    plain, beside = Leaky(worlds.plain), Leaky(worlds.snapshots[viewer])

    assert any(plain.ask(question, caller) != beside.ask(question, caller) for question in maker.questions(600))


def test_a_window_with_a_record_too_many_is_found(worlds: Worlds, tmp_path: Path) -> None:
    narrow = Reference(worlds.story.plain, worlds.caller("regulator"), tmp_path / "narrow")
    pairs = [(question, answer, narrow.ask(question)) for question, answer, _ in worlds.pairs("fsp-a")]

    assert any(rows(answer) != rows(copy) for _, answer, copy in pairs)


# -- the campaign: make test ARGS="-m campaign tests/two_worlds/test_queries.py"


@pytest.mark.campaign
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_ten_thousand_questions_are_answered_with_the_same_bytes(seed: int, tmp_path: Path) -> None:
    worlds = Worlds(tmp_path, seed, CAMPAIGN_QUESTIONS, NARROW_CIRCLES)

    unequal = {viewer: differing(worlds.pairs(viewer)) for viewer in VIEWERS}
    deviant = {viewer: deviating(worlds, viewer, tmp_path / f"reference-{viewer}") for viewer in VIEWERS}

    assert sum(len(worlds.pairs(viewer)) for viewer in VIEWERS) >= 10_000
    assert not any(unequal.values()), unequal
    assert not any(deviant.values()), deviant
    worlds.close()
