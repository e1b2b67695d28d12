"""Whether a pattern reads a text in a time that grows with its length alone: what a maintainer writes must not stop a judge.

Rules kept here: a pattern with one reading of every text is linear, whatever the text; one that can read the same part of a text in
two ways, and go on so, is not, and is refused, also where some bound would save it; what cannot be looked through (looking around,
references back) is refused. The question is put to the automaton of positions of the pattern (Glushkov), in which every variable
count is a loop: two ways around one place are exponential, two loops that read the same text one after the other are quadratic,
and two ways to read nothing are not told apart by any text. A part that has such a loop and is repeated a fixed number of times counts as a
loop too: each time may take what the next one might.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MOST_PLACES = 400
CATEGORIES = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w", "NOT_DIGIT": r"\D", "NOT_SPACE": r"\S", "NOT_WORD": r"\W"}
REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
SAMPLES = "a\u00e9Z0_ \n-\u20ac"
Part = tuple[bool, frozenset[int], frozenset[int]]
"""Whether it may be empty, the places that it may begin with, and those that it may end with."""
EMPTY: Part = (True, frozenset(), frozenset())


class _Opaque(Exception):
    """A construct that cannot be looked through; says which."""


def slowness(pattern: str) -> str:
    """Why a pattern may take longer than its text is long; empty where it does not. re.error where it does not compile."""
    tree = _parser.parse(pattern)
    try:
        own, tried = _Automaton(_alphabet(tree)), _Automaton(_alphabet(tree))
        own.read(tree)
        tried.read(tree if _is_anchored(tree) else _parser.parse(f"(?s:.*)(?:{pattern})"))
    except _Opaque as construct:
        return f"it has {construct}, which is not looked through"
    if own.is_doubled or any(map(own.goes_around_twice, own.loops)):
        return "it reads a repeated part of a text in more than one way"
    if tried.has_rivals:
        unanchored = "" if _is_anchored(tree) else "; begin it with ^"
        return f"two repeated parts of it read the same text, one after the other{unanchored}"
    return ""


def _is_anchored(tree: Any) -> bool:
    """Whether it is tried at one place of a text only, or has no loop."""
    begins = [str(given) for op, given in tree.data[:1] if str(op) == "AT"]
    return begins == ["AT_BEGINNING"] or not any(str(op) in REPEATS for op, _ in _nodes(tree))


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every node of a parsed pattern."""
    for op, given in tree:
        yield op, given
        for inner in _inside(str(op), given):
            yield from _nodes(inner)


def _has_loop(tree: Any) -> bool:
    """Whether some repeat in a pattern has no fixed count."""
    return any(str(op) in REPEATS and given[0] != given[1] for op, given in _nodes(tree))


def _inside(op: str, given: Any) -> Iterable[Any]:
    if op == "BRANCH":
        return tuple(given[1])
    return tuple(given[{"SUBPATTERN": 3, "MAX_REPEAT": 2, "MIN_REPEAT": 2}[op] :]) if op in ("SUBPATTERN", *REPEATS) else ()


def _alphabet(tree: Any) -> str:
    """Characters that stand for all others: the ends of every range, their neighbours, and some of every category."""
    found = set(SAMPLES)
    for op, given in _nodes(tree):
        for kind, value in given if str(op) == "IN" else [(op, given)]:
            ends = {"LITERAL": (value,), "NOT_LITERAL": (value,), "RANGE": value}.get(str(kind), ())
            found |= {chr(min(max(end + step, 0), 0x10FFFF)) for end in ends for step in (-1, 0, 1)}
    return "".join(sorted(found | {each.swapcase() for each in found if len(each.swapcase()) == 1}))


@dataclass
class _Automaton:
    """Places of a pattern that read a character, and what may follow what."""

    alphabet: str
    reads: list[frozenset[str]] = field(default_factory=list)
    follow: dict[int, set[int]] = field(default_factory=dict)
    is_doubled: bool = False
    """Whether one step of a loop can be made in two ways, or nothing be read in two: a repeat of a repeat, or of what may be empty."""

    def read(self, tree: Any) -> Part:
        whole = EMPTY
        for op, given in tree:
            whole = self._joined(whole, self._part(str(op), given))
        return whole

    def _part(self, op: str, given: Any) -> Part:
        if op in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return self._place(_matcher(op, given))
        if op == "AT":
            return EMPTY
        if op == "SUBPATTERN":
            return self.read(given[3])
        if op == "BRANCH":
            ways = [self.read(each) for each in given[1]]
            self.is_doubled = self.is_doubled or sum(way[0] for way in ways) > 1
            return any(way[0] for way in ways), frozenset().union(*(way[1] for way in ways)), frozenset().union(*(way[2] for way in ways))
        if op in REPEATS:
            return self._repeated(*given)
        raise _Opaque(op.lower().replace("_", " "))

    def _place(self, matches: Callable[[str], bool]) -> Part:
        if len(self.reads) >= MOST_PLACES:
            raise _Opaque(f"more than {MOST_PLACES} places")
        self.reads.append(frozenset(each for each in self.alphabet if matches(each)))
        place = len(self.reads) - 1
        self.follow[place] = set()
        return False, frozenset({place}), frozenset({place})

    def _joined(self, one: Part, other: Part) -> Part:
        for last in one[2]:
            self.follow[last] |= other[1]
        first = one[1] | other[1] if one[0] else one[1]
        last_ = one[2] | other[2] if other[0] else other[2]
        return one[0] and other[0], first, last_

    def _repeated(self, least: int, most: int, inner: Any) -> Part:
        part = self.read(inner)
        self.is_doubled = self.is_doubled or part[0]
        if most != least or (most > 1 and _has_loop(inner)):
            self.is_doubled = self.is_doubled or any(part[1] & self.follow[last] for last in part[2])
            for last in part[2]:
                self.follow[last] |= part[1]
        return part[0] or least == 0, part[1], part[2]

    def steps(self, *places: int) -> Iterator[tuple[int, ...]]:
        """Where each of these places may go to by one and the same character."""
        found: list[tuple[tuple[int, ...], frozenset[str]]] = [((), frozenset(self.alphabet))]
        for place in places:
            found = [((*made, to), both) for made, chars in found for to in self.follow[place] if (both := chars & self.reads[to])]
        return (made for made, _ in found)

    def reached(self, *places: int) -> set[tuple[int, ...]]:
        seen: set[tuple[int, ...]] = set()
        waiting = [places]
        while waiting:
            for after in self.steps(*waiting.pop()):
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        return seen

    @cached_property
    def loops(self) -> list[int]:
        """The places that can be come back to."""
        return [place for place in self.follow if (place,) in self.reached(place)]

    def goes_around_twice(self, place: int) -> bool:
        """Whether two ways lead from a place back to it by the same text."""
        apart = [pair for pair in self.reached(place, place) if pair[0] != pair[1]]
        return any((place, place) in self.reached(*pair) for pair in apart)

    @property
    def has_rivals(self) -> bool:
        """Whether a loop can hand over to another one in the middle of a text that both read."""
        loops = self.loops
        return any((one, other, other) in self.reached(one, one, other) for one in loops for other in loops if one != other)


def _matcher(op: str, given: Any) -> Callable[[str], bool]:
    if op == "ANY":
        return lambda each: each != "\n"
    if op in ("LITERAL", "NOT_LITERAL"):
        return lambda each: (ord(each) == given) == (op == "LITERAL")
    is_negated = str(given[0][0]) == "NEGATE"
    members = [_member(str(kind), value) for kind, value in given[is_negated:]]
    return lambda each: any(holds(each) for holds in members) != is_negated


def _member(kind: str, value: Any) -> Callable[[str], bool]:
    if kind == "LITERAL":
        return lambda each: ord(each) == value
    if kind == "RANGE":
        return lambda each: value[0] <= ord(each) <= value[1]
    if kind == "CATEGORY":
        category = re.compile(CATEGORIES[str(value).removeprefix("CATEGORY_")])
        return lambda each: category.match(each) is not None
    raise _Opaque(kind.lower())
