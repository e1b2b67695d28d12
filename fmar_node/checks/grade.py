"""How grave a change of a file of codes or shapes is, by semantic versioning: words, what is looser, what is stricter.

Rules kept here: PATCH changes words alone; MINOR refuses no document that was accepted before; whatever is not certainly one of the
two is MAJOR, as is a code that new documents may not have any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import rdflib
from rdflib.namespace import RDF, SH

from fmar_node.checks.shape import SEVERITIES
from fmar_node.errors import Severity
from fmar_node.vocabulary import FMAR

PATCH, MINOR, MAJOR = LEVELS = ("PATCH", "MINOR", "MAJOR")
WORDS = frozenset({SH.name, SH.message, SH.description, SH.order, SH.group})
UPPER = frozenset({SH.maxCount, SH.maxLength, SH.maxInclusive, SH.maxExclusive})
LOWER = frozenset({SH.minCount, SH.minLength, SH.minInclusive, SH.minExclusive})
ACTIVE = rdflib.URIRef(FMAR + "active")
GRAVITY = (Severity.WARN, Severity.JUSTIFY, Severity.REJECT)
Told = dict[Any, frozenset[Any]]
"""What is said of a subject: predicate -> values, blank nodes spelt out."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two files, for people."""

    level: str
    told: str


def changes(name: str, before: Any, after: Any) -> Iterator[Change]:
    """What is different in a file of a release, both as graphs."""
    old, new = _subjects(before), _subjects(after)
    grade = _of_code if name.startswith("codes/") else _of_shape
    for subject in sorted(old.keys() | new.keys(), key=str):
        one, other = old.get(subject, {}), new.get(subject, {})
        if one != other:
            yield grade(str(subject).rsplit("#", 1)[-1] if "#" in str(subject) else "the heading", one, other)


def _subjects(graph: Any) -> dict[Any, Told]:
    """Every named subject, with all that is said of it."""
    found: dict[Any, Told] = {}
    for subject in {each for each in graph.subjects() if isinstance(each, rdflib.URIRef)}:
        told: dict[Any, set[Any]] = defaultdict(set)
        for predicate, each in graph.predicate_objects(subject):
            told[predicate].add(_spelt(graph, each, ()))
        found[subject] = {predicate: frozenset(values) for predicate, values in told.items()}
    return found


def _spelt(graph: Any, node: Any, above: tuple[Any, ...]) -> Any:
    """A blank node by what is said of it: a list as its items, anything else as pairs."""
    if not isinstance(node, rdflib.BNode) or node in above:
        return node
    below = (*above, node)
    if (node, RDF.first, None) in graph:
        return ("list", *(_spelt(graph, each, below) for each in graph.items(node)))
    return frozenset((predicate, _spelt(graph, each, below)) for predicate, each in graph.predicate_objects(node))


def _of_code(name: str, one: Told, other: Told) -> Change:
    was, is_ = (each.get(ACTIVE) == frozenset({rdflib.Literal("true", datatype=rdflib.XSD.boolean)}) for each in (one, other))
    if not one or (is_ and not was):
        return Change(MINOR, f"the code {name} may be used")
    if not other or (was and not is_):
        return Change(MAJOR, f"new documents may not have {name}")
    return Change(PATCH, f"words of {name}")


def _of_shape(name: str, one: Told, other: Told) -> Change:
    if not other:
        return Change(MINOR, f"{name} is gone")
    if not one:
        return Change(MINOR, f"{name} is new, and only warns") if _gravity(other) == 0 else Change(MAJOR, f"{name} is new")
    if name == "the heading":
        return Change(PATCH, "the heading")
    parts = [_of_part(predicate, one.get(predicate, frozenset()), other.get(predicate, frozenset())) for predicate in one.keys() | other.keys()]
    level = max(parts, key=LEVELS.index)
    return Change(level, f"{name} {({PATCH: 'has other words', MINOR: 'is looser', MAJOR: 'is stricter, or not certainly looser'})[level]}")


def _of_part(predicate: Any, one: frozenset[Any], other: frozenset[Any]) -> str:
    """How grave it is that a shape says the one and then the other."""
    if one == other or predicate in WORDS:
        return PATCH
    return MINOR if _is_looser(predicate, one, other) else MAJOR


def _is_looser(predicate: Any, one: frozenset[Any], other: frozenset[Any]) -> bool:
    if predicate == SH.severity:
        return _grave(other) < _grave(one)
    if predicate in UPPER | LOWER:
        return not other or (bool(one) and (_number(other) >= _number(one) if predicate in UPPER else _number(other) <= _number(one)))
    if predicate == SH["in"] and len(one) == len(other) == 1:
        return set(next(iter(one))) <= set(next(iter(other)))
    return predicate == SH.property and one <= other


def _gravity(told: Told) -> int:
    return _grave(told.get(SH.severity, frozenset()))


def _grave(severities: frozenset[Any]) -> int:
    return GRAVITY.index(SEVERITIES.get(next(iter(severities), SH.Violation), Severity.REJECT))


def _number(values: frozenset[Any]) -> float:
    return float(next(iter(values)))


