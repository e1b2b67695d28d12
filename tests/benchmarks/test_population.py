"""The generator's promises: the judge accepts what it makes, equal plans are equal, the register it fills holds."""

from __future__ import annotations

import pytest

from fmar_node.keeping.maintenance import rebuild_graph, verify_journal
from tests.benchmarks.population import Plan, Population, assets, judged, populate
from tests.market import SETTINGS, shapes, vocabulary

BASE = "https://node.example"
PLAN = Plan(120, providers=6, every=40)


@pytest.fixture(scope="module")
def population(tmp_path_factory: pytest.TempPathFactory) -> Population:
    return populate(tmp_path_factory.mktemp("population") / "data", BASE, PLAN)


def test_the_judge_accepts_a_sample_and_reads_it_as_it_is_written() -> None:
    sample = list(assets(PLAN, BASE))[::4]

    judgements = [judged(asset.submitted, asset.judged["id"], vocabulary(), shapes(), SETTINGS) for asset in sample]

    assert all(judgements)
    assert [judgement and judgement.document for judgement in judgements] == [asset.judged for asset in sample]


def test_equal_plans_make_equal_assets() -> None:
    assert list(assets(PLAN, BASE)) == list(assets(PLAN, BASE))
    assert list(assets(PLAN, BASE)) != list(assets(Plan(120, providers=6, every=40, seed=2), BASE))


def test_providers_differ_in_size_and_meter_points_do_not_repeat() -> None:
    made = list(assets(PLAN, BASE))

    sizes = [sum(asset.provider == place for asset in made) for place in range(PLAN.providers)]
    points = [asset.judged[term] for asset in made for term in ("importMPAN", "exportMPAN") if term in asset.judged]

    assert sizes[0] > 2 * sizes[-1]
    assert len(points) == len(set(points)) > 60


def test_a_filled_register_verifies_and_its_graph_is_made(population: Population) -> None:
    passed = verify_journal(population.folder)

    count = rebuild_graph(population.folder)

    assert "current state" in passed
    assert count == PLAN.assets + PLAN.providers + 4


