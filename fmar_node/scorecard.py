"""Scorecards: how good the records are that somebody sees, by organisation, category, area, dimension or rule (DQ-3).

Rules kept here:
- a card is a query over the asker's own graph: it counts what its SPARQL would count, and tells no more;
- who is told aggregates alone (regulator, market facilitator) is told of all records, in cells of so many assets of so many
  organisations at least, with rounded figures, and of a day as of its first card: what is asked twice cannot be subtracted;
- where one cell alone is too small, the next smallest is left out with it, and no card says how many there are in all.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fmar_node.access.caller import Caller, Role
from fmar_node.checks.quality import DIMENSIONS, METRICS, QualityRules
from fmar_node.errors import Fault, Forbidden, Malformed, Severity
from fmar_node.query import Question, Want, ask_in, window
from fmar_node.settings import Settings
from fmar_node.store.pool import QueryPool
from fmar_node.vocabulary import FMAR

CLASSES = {"assets": "Asset", "organisations": "Organisation"}
HOLDERS = {"assets": "?record fmar:managedBy ?holder", "organisations": "BIND(?record AS ?holder)"}
"""Whose a record is."""
KEYS = {
    "organisation": "BIND(?holder AS ?key)",
    "category": "OPTIONAL { ?record fmar:assetCategory ?key }",
    "area": "OPTIONAL { ?record fmar:dnoConnection ?key }",
    "dimension": "",
}
BY = (*KEYS, "rule", "day")
OF_ASSETS = frozenset({"category", "area"})
AGGREGATED = frozenset({Role.REGULATOR, Role.FACILITATOR})
WHOLE_VIEW = frozenset({Role.OPERATOR, Role.NESO, Role.DSO, Role.FSP})
DIMENSION_OF = {metric: dimension for dimension, metric in METRICS.items()}
ROUNDED_TO = 5
"""Aggregates count in steps of so many."""
RESULTS = "application/sparql-results+json"
PREFIXES = f"PREFIX fmar: <{FMAR}>\nPREFIX dqv: <http://www.w3.org/ns/dqv#>\n"
MEASURED = "?record a fmar:{class_name} . ?part dqv:computedOn ?record ; dqv:isMeasurementOf {metric}"
CARD = PREFIXES + "SELECT {key} ?metric (COUNT(?part) AS ?records) (AVG(?value) AS ?score){holders} {{ " + MEASURED + " ; dqv:value ?value . {more} }} GROUP BY {key} ?metric"
MISSING = PREFIXES + "SELECT ?key (COUNT(?part) AS ?records){holders} {{ " + MEASURED + " ; fmar:missedRule ?key . {more} }} GROUP BY ?key"
RECORDS = PREFIXES + (
    "SELECT ?record ?score {{ " + MEASURED + " ; fmar:missedRule <{rule}> ; dqv:value ?score . FILTER(STR(?record) > {after}) }} ORDER BY STR(?record) LIMIT {limit}"
)
COUNT_HOLDERS = " (COUNT(DISTINCT ?holder) AS ?holders)"
Binding = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a card: `scores` by dimension, the whole one under "". Of a rule, `missing` of the `records` that it was measured of do."""

    key: str
    records: int
    scores: Mapping[str, int]
    missing: int | None = None
    holders: int = 0

    def as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"key": self.key or None, "records": self.records}
        if self.missing is not None:
            return {**found, "missing": self.missing}
        return {**found, "score": self.scores.get(""), **{each.lower(): self.scores[each] for each in DIMENSIONS if each in self.scores}}


@dataclass(frozen=True, slots=True)
class Card:
    """A scorecard: `suppressed` lines were left out of an aggregate."""

    by: str
    kind: str
    rows: tuple[Row, ...]
    suppressed: int = 0
    is_aggregated: bool = False


class Scorecards:
    """Asks the graph for cards."""

    def __init__(self, pool: QueryPool, settings: Settings, want: Want) -> None:
        self.pool, self.settings, self.want = pool, settings, want

    async def card(self, caller: Caller, kind: str, by: str, rules: QualityRules) -> Card:
        """A card for a caller. Forbidden, Malformed, and whatever refuses a query."""
        check(caller, kind, by)
        if not is_aggregated(caller):
            return Card(by, kind, await self._rows(caller, window(caller, self.settings.base_url)[0], kind, by, rules))
        rows = await self._rows(caller, f"{self.settings.base_url}/views/operator", kind, by, rules, with_holders=True)
        kept = enough(rows, self.settings.minimum_cell_assets, self.settings.minimum_cell_organisations)
        return Card(by, kind, kept, len(rows) - len(kept), is_aggregated=True)

    async def measured_on(self) -> str:
        """The day as of which every score stands; empty while they are measured."""
        graph = f"{self.settings.base_url}/quality"
        found = await self._asked(Caller(is_node=True), graph, f"SELECT ?day {{ <{graph}> <{FMAR}measuredOn> ?day }}")
        return found[0]["day"] if found else ""

    async def of_everybody(self, rules: QualityRules) -> tuple[Row, ...]:
        """Every provider's scores over its whole records, for the node itself to keep."""
        asker = Caller(is_node=True)
        return await self._rows(asker, f"{self.settings.base_url}/views/operator", "assets", "organisation", rules)

    async def missing(self, caller: Caller, kind: str, rule: str, after: str, limit: int) -> list[Binding]:
        """So many records that the caller sees and that miss a rule, in the order of their IRIs, behind one of them."""
        text = RECORDS.format(class_name=CLASSES[kind], metric="fmar:qualityScore", rule=rule, after=json.dumps(after), limit=limit)
        return await self._asked(caller, window(caller, self.settings.base_url)[0], text)

    async def _rows(self, caller: Caller, view: str, kind: str, by: str, rules: QualityRules, *, with_holders: bool = False) -> tuple[Row, ...]:
        more = f"OPTIONAL {{ {HOLDERS[kind]} }}" if with_holders or by == "organisation" else ""
        asked = {"class_name": CLASSES[kind], "holders": COUNT_HOLDERS if with_holders else ""}
        if by == "rule":
            whole = await self._asked(caller, view, CARD.format(**asked, metric="?metric", key="", more=more))
            missing = await self._asked(caller, view, MISSING.format(**asked, metric="fmar:qualityScore", more=more))
            return by_rule(whole, missing, rules, CLASSES[kind])
        key = "" if by == "dimension" else "?key"
        found = await self._asked(caller, view, CARD.format(**asked, metric="?metric", key=key, more=f"{more} {KEYS[by]}"))
        return by_dimension(found) if by == "dimension" else by_key(found)

    async def _asked(self, caller: Caller, view: str, text: str) -> list[Binding]:
        answer = await ask_in(self.pool, self.settings, Question(text, accept=(RESULTS,)), caller, self.want, ([view], [view]))
        found = json.loads(b"".join([chunk async for chunk in answer.chunks]))["results"]["bindings"]
        return [{name: term["value"] for name, term in each.items()} for each in found]


def is_aggregated(caller: Caller) -> bool:
    """Whether a caller is told aggregates of everything, and no record."""
    return caller.is_active and caller.has(*AGGREGATED) and not caller.has(*WHOLE_VIEW)


def check(caller: Caller, kind: str, by: str) -> None:
    """Refuses a card that there is not, or not for this caller."""
    if kind not in CLASSES:
        raise Malformed("malformed-request", f"kind is one of {', '.join(CLASSES)}")
    if by not in BY or (by in OF_ASSETS and kind != "assets"):
        raise Malformed("malformed-request", f"by is one of {', '.join(BY)}; {' and '.join(sorted(OF_ASSETS))} are of assets alone")
    if is_aggregated(caller) and by == "organisation":
        reason = "who is told aggregates is not told of single organisations: ask by category, area, dimension or rule"
        raise Forbidden("not-permitted", f"QUALITY-AGGREGATE-1: {reason}", (Fault("QUALITY-AGGREGATE-1", Severity.REJECT, reason),))


# -- from answers to rows


def by_key(found: Iterable[Binding]) -> tuple[Row, ...]:
    """One row for each key, in their order."""
    rows: dict[str, dict[str, Binding]] = defaultdict(dict)
    for each in found:
        if "metric" in each:  # a group of nothing has none
            rows[each.get("key", "")][DIMENSION_OF.get(each["metric"], "?")] = each
    return tuple(
        Row(key, _count(own[""]), {dimension: int(float(own[dimension]["score"])) for dimension in METRICS if dimension in own}, holders=_count(own[""], "holders"))
        for key, own in sorted(rows.items())
        if "" in own
    )


def by_dimension(found: Iterable[Binding]) -> tuple[Row, ...]:
    """One row for each dimension that anything was measured in, the whole first."""
    measured = {DIMENSION_OF.get(each["metric"], "?"): each for each in found if "metric" in each}
    return tuple(
        Row(dimension or "ALL", _count(measured[dimension]), {"": int(float(measured[dimension]["score"]))}, holders=_count(measured[dimension], "holders"))
        for dimension in METRICS
        if dimension in measured
    )


def by_rule(whole: Sequence[Binding], missing: Iterable[Binding], rules: QualityRules, class_name: str) -> tuple[Row, ...]:
    """One row for each rule that a record misses, the worst first; a rule that nobody may be told of is in none."""
    known = {rule.iri: rule for rule in rules.rules if rule.class_name == class_name}
    total = max((_count(each) for each in whole if "metric" in each), default=0)
    rows = [Row(known[each["key"]].key, total, {}, _count(each), _count(each, "holders")) for each in missing if each.get("key") in known]
    return tuple(sorted(rows, key=lambda row: (-(row.missing or 0), row.key)))


def _count(found: Binding, name: str = "records") -> int:
    return int(found.get(name, 0))


# -- minimum cells (UC-05.02)


def enough(rows: Sequence[Row], assets: int, organisations: int) -> tuple[Row, ...]:
    """The rows of an aggregate that may be told, in figures that may be told."""
    kept = [row for row in rows if _is_enough(row, assets, organisations)]
    if len(kept) == len(rows) - 1 and kept and rows[0].missing is None:
        kept.remove(min(kept, key=lambda row: (row.records, row.key)))
    return tuple(replace(row, records=_rounded(row.records), missing=None if row.missing is None else _rounded(row.missing), holders=0) for row in kept)


def _is_enough(row: Row, assets: int, organisations: int) -> bool:
    """A cell is large enough, and so is what it leaves over."""
    count = row.records if row.missing is None else row.missing
    left = 0 if row.missing is None else row.records - row.missing
    return count >= assets and row.holders >= organisations and (left == 0 or left >= assets)


def _rounded(count: int) -> int:
    return ROUNDED_TO * round(count / ROUNDED_TO)
