"""What judging and scoring cost: the compiled shapes beside pyshacl, scores beside triples, and a register measured anew.

Rules kept here: rounds take turns and medians are compared; one process and one core, but where it says otherwise.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

from fmar_node.checks.quality import QualityRules, packaged_rules
from fmar_node.checks.shape import Shapes
from fmar_node.followers.measures import Measures
from fmar_node.followers.projector import Projector
from fmar_node.keeping.maintenance import open_register
from fmar_node.representation import triples
from fmar_node.store.graph import Graph
from fmar_node.vocabulary import Tier, Vocabulary
from tests.benchmarks.population import DAY, Plan, assets, patterns
from tests.benchmarks.service import Shelf
from tests.benchmarks.trust import Finding

QUALITY_ROWS = ("conformance", "scores", "remeasure")
EVERYTHING = frozenset(Tier)
ROUNDS = 9


class Quality:
    """The table's rows; `rows` names them."""

    def __init__(self, shelf: Shelf, scratch: Path, size: int) -> None:
        self.shelf, self.scratch, self.size = shelf, scratch, size
        self.vocabulary = Vocabulary.load()
        self.rows: dict[str, Callable[[], Iterator[Finding]]] = {"conformance": self.conformance, "scores": self.scores, "remeasure": self.remeasure}

    def conformance(self) -> Iterator[Finding]:
        """Whether one asset document that is valid conforms: every shape of an asset, by compiled shapes and by pyshacl."""
        prepared = Shapes(self.vocabulary).of("asset")
        document = next(each.judged for each in patterns()[1] if not prepared.compiled.suspects(triples(_valid(each.judged), self.vocabulary)))
        facts, everything = list(triples(_valid(document), self.vocabulary)), prepared.compiled.shapes
        prepared.report(facts, everything)  # pyshacl reads its shapes once
        ours, theirs = _medians(lambda: prepared.compiled.suspects(facts), lambda: prepared.report(facts, everything), (200, 3))
        yield Finding("conformance of one valid asset document", f"{1000 * ours:.3g} ms", f"pyshacl on the same: {1000 * theirs:.3g} ms", theirs / ours)

    def scores(self) -> Iterator[Finding]:
        """The scores of a document, beside the triples that it is measured by."""
        rules, found = packaged_rules(), [each.judged for each in assets(Plan(200), "https://node.example")]
        day = DAY.date()

        def score() -> None:
            for each in found:
                rules.score_of(each, EVERYTHING, day, self.vocabulary)

        def told() -> None:
            for each in found:
                list(triples(each, self.vocabulary))

        ours, theirs = _medians(score, told, (1, 1))
        yield Finding("scores of a document, all rules", f"{len(found) / ours:,.0f}/s", f"its triples alone: {len(found) / theirs:,.0f}/s", ours / theirs)

    def remeasure(self) -> Iterator[Finding]:
        """Every record of a register again, in all views, because the rules have changed; the graph is that of the writer."""
        population = self.shelf.register(Plan(self.size))
        register, graph = open_register(population.folder), Graph(population.folder.graph)
        try:
            projector = Projector(register, graph, self.vocabulary, population.folder.settings().base_url)
            for what, rules in (("measured for the first time", packaged_rules()), ("measured again by other rules", _other(packaged_rules()))):
                projector.measures = Measures(graph, self.vocabulary, population.folder.settings().base_url, rules)
                seconds = _measured(projector, DAY.date() + timedelta(30))
                yield Finding(f"{self.size:,} assets {what}", f"{seconds:.1f} s", f"{self.size / seconds:,.0f} assets/s; 100,000 in {100_000 * seconds / self.size:.0f} s")
        finally:
            register.connection.close()
            graph.close()


def _measured(projector: Projector, day: date) -> float:
    started = time.perf_counter()
    while projector.measures.go_on(projector, day):
        pass
    return time.perf_counter() - started


def _other(rules: QualityRules) -> QualityRules:
    """The same rules with one less, so that every score of its dimension is another one."""
    return QualityRules([rule for rule in rules.rules if rule.key != "is-verified"], f"{rules.digest} without one")


def _valid(document: dict[str, object]) -> dict[str, object]:
    """A document that needs no justification: its owner is registered."""
    owned = {**document, "owner": "https://node.example/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"}
    return {name: value for name, value in owned.items() if name not in ("ownerName", "justification")}


def _medians(ours: Callable[[], object], theirs: Callable[[], object], times: tuple[int, int]) -> tuple[float, float]:
    """Seconds of one call of each; rounds take turns."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for work, count, seconds in zip((ours, theirs), times, found, strict=True):
            started = time.perf_counter()
            for _ in range(count):
                work()
            seconds.append((time.perf_counter() - started) / count)
    return statistics.median(found[0]), statistics.median(found[1])
