"""What judging and scoring cost: the compiled shapes beside pyshacl, scores beside triples, and a register measured anew.

Rules kept here: rounds take turns and medians are compared; one process and one core, but where it says otherwise.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from fmar_node.checks.quality import VALUE, QualityRules, packaged_rules
from fmar_node.checks.shape import Shapes
from fmar_node.followers.measures import Measures
from fmar_node.followers.projector import Projector
from fmar_node.journal.register import Register, Window
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
SWITCH_SECONDS = 0.0005
"""As in the writer."""
MEASURED_ON = DAY.date() + timedelta(30)
"""All rules of the package are in force by then."""


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

        def score() -> None:
            for each in found:
                rules.score_of(each, EVERYTHING, MEASURED_ON, self.vocabulary)

        def told() -> None:
            for each in found:
                list(triples(each, self.vocabulary))

        ours, theirs = _medians(score, told, (1, 1))
        yield Finding("scores of a document, all rules", f"{len(found) / ours:,.0f}/s", f"its triples alone: {len(found) / theirs:,.0f}/s", ours / theirs)

    def remeasure(self) -> Iterator[Finding]:
        """Every record of a register again, in all views, because the rules have changed; the graph is that of the writer."""
        sys.setswitchinterval(SWITCH_SECONDS)
        population = self.shelf.register(Plan(self.size))
        register, graph = open_register(population.folder), Graph(population.folder.graph)
        base_url = population.folder.settings().base_url
        try:
            projector, rules = Projector(register, graph, self.vocabulary, base_url), packaged_rules()

            def restart(now: QualityRules) -> Measures:
                projector.measures = Measures(graph, self.vocabulary, base_url, now)
                return projector.measures

            restart(rules)
            _measured(projector)  # the graph was made on the day of the clock
            alone = self._judged(register, rules)
            for what, now in (("one rule less", _without(rules, "is-verified")), ("the rule again", rules), ("all weights other ones", _turned(rules))):
                before = restart(now).before
                assert before is not None
                yield self._finding(f"assets measured again: {what}", projector, alone)
            restart(rules).before = None
            yield self._finding("assets measured again, what is held is read", projector, alone)
        finally:
            register.connection.close()
            graph.close()

    def _finding(self, what: str, projector: Projector, alone: float) -> Finding:
        """How long it takes; RuntimeError where no score became another one."""
        before = _total(projector)
        wall, processor = _measured(projector)
        if _total(projector) == before:
            raise RuntimeError(f"{what}: nothing was measured")
        rate = f"{wall:.1f} s, {self.size / wall:,.0f}/s ({processor:.1f} s of both cores)"
        return Finding(f"{self.size:,} {what}", rate, f"read from the journal and judged alone, one core: {alone:.1f} s", alone / wall)

    def _judged(self, register: Register, rules: QualityRules) -> float:
        """Seconds for reading every asset and finding what it misses, and nothing else."""
        started, after = time.perf_counter(), ""
        while found := register.page("assets", Window(everything=True), after, 500, {}):
            after = found[-1].id
            for version in found:
                rules.missed(version.document, MEASURED_ON, self.vocabulary)
        return time.perf_counter() - started


def _measured(projector: Projector) -> tuple[float, float]:
    """Seconds by the clock and of the processor until all is measured."""
    started, spent = time.perf_counter(), time.process_time()
    while projector.measures.go_on(projector, MEASURED_ON):
        pass
    return time.perf_counter() - started, time.process_time() - spent


def _total(projector: Projector) -> str:
    """The sum of everything that the operator's view has as scores."""
    found = projector.graph.store.query(f"SELECT (SUM(?value) AS ?sum) {{ GRAPH <{projector.base_url}/views/operator> {{ ?part <{VALUE}> ?value }} }}")
    return str(next(iter(found))["sum"])  # type: ignore[union-attr,arg-type,index]


def _without(rules: QualityRules, key: str) -> QualityRules:
    return QualityRules([rule for rule in rules.rules if rule.key != key], f"{rules.digest} without {key}")


def _turned(rules: QualityRules) -> QualityRules:
    """The same rules, the heavy ones light and the light ones heavy: nearly every score is another one."""
    return QualityRules([replace(rule, weight=5 - rule.weight) for rule in rules.rules], f"{rules.digest} turned")


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
