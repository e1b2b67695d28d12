"""How good a record is, as far as somebody sees it: a score for each dimension, and the rules that it misses (DQ-1, DQ-2).

Rules kept here:
- a score is a pure function of what is seen of a record, of the rules, and of a day; nothing else goes into it;
- a rule is measured where every property that it looks at is open, so that no score tells of a value that is not seen: a plain
  rule is handed no other property, a shape that looks at all of them (sh:closed) is no rule of quality;
- a rule has to compile: what pyshacl alone could judge is no rule of quality;
- rules that are SHADOW are told where they are missed, and counted nowhere; DRAFT and RETIRED ones are not measured;
- a record that has ended, or whose values were erased, has no score.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import pyoxigraph as ox

from fmar_node.checks.facts import facts_in
from fmar_node.representation import node
from fmar_node.vocabulary import FMAR, RDF_TYPE, XSD, Document, Tier, Vocabulary, packaged

DQV = "http://www.w3.org/ns/dqv#"
ON, MEASUREMENT, OF, VALUE = f"{DQV}computedOn", f"{DQV}QualityMeasurement", f"{DQV}isMeasurementOf", f"{DQV}value"
MISSED = f"{FMAR}missedRule"
DIMENSIONS = ("COMPLETENESS", "VALIDITY", "CONSISTENCY", "UNIQUENESS", "TIMELINESS", "ACCURACY")
METRICS = {"": f"{FMAR}qualityScore", **{each: f"{FMAR}{each.lower()}Score" for each in DIMENSIONS}}
"""What each score is a measurement of; the whole one under no dimension."""
PARTS = {each: "quality" + (f"-{each.lower()}" if each else "") for each in METRICS}
"""The names of the measurements, below the record. They point to it, and it does not point to them: what is said of the record stays what is read of it."""
MEASURED = ("ACTIVE", "SHADOW")
ENDED = frozenset({"DEREGISTERED", "WITHDRAWN"})
EVERYTHING = frozenset(Tier)
Holds = Callable[[Document, Any, ox.NamedNode, date], bool]
"""Whether a record satisfies a rule: its document, the facts in it, its node, the day."""


@dataclass(frozen=True, slots=True)
class QualityRule:
    """A rule of quality. `tiers` are those of the properties that it looks at; it is in force from `begins` to before `ends`."""

    key: str
    iri: str
    class_name: str
    label: str
    message: str
    dimension: str
    weight: int
    status: str
    severity: str
    field: str
    tiers: frozenset[Tier]
    begins: str
    ends: str
    holds: Holds

    def is_measured(self, day: str) -> bool:
        return self.status in MEASURED and self.begins <= day < (self.ends or "9999")


@dataclass(frozen=True, slots=True)
class Score:
    """0 to 100 over all and by dimension, where a rule that counts is measured; and the rules that are missed, by key."""

    total: int
    dimensions: Mapping[str, int]
    missed: tuple[QualityRule, ...]


class QualityRules:
    """The rules of a folder of shapes (`quality_file.py` reads them)."""

    def __init__(self, rules: Iterable[QualityRule], digest: str) -> None:
        self.rules, self.digest = tuple(sorted(rules, key=lambda rule: rule.key)), digest
        self.by_key = {rule.key: rule for rule in self.rules}
        self.key_of = {rule.iri: rule.key for rule in self.rules}
        self.chosen: dict[tuple[str, frozenset[Tier], date], tuple[QualityRule, ...]] = {}

    def state(self, day: date) -> str:
        """A text that is another one when a day may measure what another day, or other rules, did not."""
        in_force = [rule.key for rule in self.rules if rule.is_measured(day.isoformat())]
        return hashlib.sha256("\n".join([self.digest, *in_force]).encode()).hexdigest()

    def text(self, day: date) -> str:
        """The rules that measure on a day, as JSON that says all that a score is made of but how a rule is judged; `rules_of` reads it."""
        in_force = [rule for rule in self.rules if rule.is_measured(day.isoformat())]
        return json.dumps([[rule.key, rule.iri, rule.class_name, rule.dimension, rule.weight, rule.status, sorted(rule.tiers)] for rule in in_force])

    def measured(self, class_name: str, opened: frozenset[Tier], day: date) -> tuple[QualityRule, ...]:
        """The rules that records of a class are measured by on a day, for somebody to whom these tiers are open."""
        key = class_name, opened, day
        if key not in self.chosen:
            if len(self.chosen) > 1_000:  # days go by
                self.chosen.clear()
            self.chosen[key] = tuple(
                rule for rule in self.rules if rule.class_name == class_name and rule.tiers <= opened and rule.is_measured(day.isoformat())
            )
        return self.chosen[key]

    def missed(self, document: Document, day: date, vocabulary: Vocabulary) -> frozenset[str]:
        """The keys of all rules that a record misses on a day, whoever may be told of them."""
        rules = self.measured(document["type"], EVERYTHING, day)
        facts, focus = facts_in(document, vocabulary) if rules else {}, ox.NamedNode(document["id"])
        return frozenset(rule.key for rule in rules if not rule.holds(document, facts, focus, day))

    def score(self, document: Document, missed: frozenset[str], opened: frozenset[Tier], day: date) -> Score | None:
        """The score of a record for somebody to whom these tiers are open; None where nothing that counts is measured."""
        rules = self.measured(document["type"], opened, day)
        counted = [rule for rule in rules if rule.status == "ACTIVE"]
        if not counted or has_ended(document, opened):
            return None
        shares = {each: _share(own, missed) for each in DIMENSIONS if (own := [rule for rule in counted if rule.dimension == each])}
        return Score(_share(counted, missed), shares, tuple(rule for rule in rules if rule.key in missed))

    def score_of(self, document: Document, opened: frozenset[Tier], day: date, vocabulary: Vocabulary) -> Score | None:
        """Both at once."""
        return self.score(document, self.missed(document, day, vocabulary), opened, day)


def has_ended(document: Document, opened: frozenset[Tier]) -> bool:
    """Whether a record has ended, or lost values to an erasure, for who is told of that."""
    is_erased = "erasedAt" in document and Tier.OPERATIONAL in opened
    return is_erased or document.get("registrationStatus") in ENDED or document.get("organisationStatus") in ENDED


def _share(rules: Sequence[QualityRule], missed: Container[str]) -> int:
    """The weights of the rules that are satisfied, in per cent of all of them, rounded down."""
    whole = sum(rule.weight for rule in rules)
    return 100 * (whole - sum(rule.weight for rule in rules if rule.key in missed)) // whole


def measurements(record: str, score: Score | None) -> Iterator[ox.Triple]:
    """A score in DQV: a measurement for the whole and for each dimension, as parts of the record."""
    if score is None:
        return
    for dimension, value in {"": score.total, **score.dimensions}.items():
        part = ox.NamedNode(f"{record}#{PARTS[dimension]}")
        yield ox.Triple(part, node(ON), ox.NamedNode(record))
        yield ox.Triple(part, node(RDF_TYPE), node(MEASUREMENT))
        yield ox.Triple(part, node(OF), node(METRICS[dimension]))
        yield ox.Triple(part, node(VALUE), ox.Literal(str(value), datatype=node(XSD + "integer")))
    whole = ox.NamedNode(f"{record}#quality")
    for rule in score.missed:
        yield ox.Triple(whole, node(MISSED), node(rule.iri))


def is_measurement(triple: ox.Triple) -> bool:
    """Whether a triple is one of `measurements`."""
    return isinstance(triple.subject, ox.NamedNode) and "#quality" in triple.subject.value


def summary(score: Score | None) -> dict[str, Any]:
    """A score as JSON; no score where nothing was measured."""
    if score is None:
        return {"score": None, "dimensions": {}, "missed": []}
    return {"score": score.total, "dimensions": {each.lower(): value for each, value in score.dimensions.items()}, "missed": [_missed(rule) for rule in score.missed]}


def _missed(rule: QualityRule) -> dict[str, Any]:
    return {
        "rule": rule.key, "label": rule.label, "message": rule.message, "field": rule.field, "dimension": rule.dimension,
        "weight": rule.weight, "status": rule.status, "id": rule.iri,
    }  # fmt: skip


def rules_of(text: str) -> QualityRules:
    """Rules of which only that is known: they score a record of which it is known what it misses, and judge none. ValueError where it is no such text."""
    found = [
        QualityRule(key, iri, class_name, "", "", dimension, weight, status, "", "", frozenset(map(Tier, tiers)), "", "", _unknown)
        for key, iri, class_name, dimension, weight, status, tiers in json.loads(text)
    ]
    return QualityRules(found, hashlib.sha256(text.encode()).hexdigest())


def _unknown(document: Document, facts: Any, focus: ox.NamedNode, day: date) -> bool:
    raise NotImplementedError("how this rule judged is not known any more")


@cache
def packaged_rules() -> QualityRules:
    """The rules of the package, which a process reads once."""
    from fmar_node.checks.quality_file import read_rules  # and with it rdflib, which takes as long as all the rest

    return read_rules(packaged("shapes"), Vocabulary.load())
