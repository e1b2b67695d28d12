"""The scores in the graph: measured with every entry, and measured again when the rules change or a day goes by.

Rules kept here: what a view says of a record's quality follows from what that view shows of it; the graph itself holds by
which rules and on which day it was measured, and while it is measured again by which it was and by which it will be; a measuring
that was cut off goes on from its beginning, which changes nothing where it has been; it goes on between entries, some hundreds of records at a time,
and nobody waits for it; what is written are differences to what is held. A graph that was never measured has no scores.

What is held is not read: it follows from the rules by which it was measured, which the graph names with weight and dimension,
and from what the operator's view, which shows everything, says that the record missed. Where that is not known (nobody has said by which
rules; other rules came while a measuring went on) it is read, which takes five times as long.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyoxigraph as ox

from fmar_node.checks.plausible import TURNS
from fmar_node.checks.quality import (
    EVERYTHING,
    MISSED,
    PARTS,
    QualityRules,
    has_ended,
    measurements,
    packaged_rules,
    rules_of,
)
from fmar_node.journal.register import Window
from fmar_node.record import Version
from fmar_node.store.graph import Change, Graph
from fmar_node.vocabulary import FMAR, XSD, Document, Tier, Vocabulary

if TYPE_CHECKING:
    from fmar_node.followers.projector import Projector

MEASURED_KINDS = ("organisations", "assets")
CLASSES = ("Organisation", "Asset")
TOGETHER = 25
"""Records that are measured again in one update of the graph."""
UPDATES = 32
"""So many of them before entries have their turn."""
MOST_KNOWN = 8
MOST_MOVES = 2_000
STATE, DAY, RULES, NEXT_STATE, NEXT_DAY = (ox.NamedNode(FMAR + name) for name in ("measuredBy", "measuredOn", "measuredRules", "measuringBy", "measuringOn"))
ANY = "urn:any:record"
"""Stands for a record in what is the same for many."""
Move = tuple[str, str]
"""What leaves and what enters a view, of `ANY`."""


class Measures:
    """By which rules, and on which day, a graph is measured."""

    def __init__(self, graph: Graph, vocabulary: Vocabulary, base_url: str, rules: QualityRules | None = None) -> None:
        self.graph, self.vocabulary, self.subject = graph, vocabulary, ox.NamedNode(f"{base_url}/quality")
        self.everything = f"{base_url}/views/operator"
        self.given = rules
        said = {triple.predicate: triple.object.value for triple in graph.triples(self.subject.value) if isinstance(triple.object, ox.Literal)}
        self.held = self._day(said, DAY, STATE)
        """The day as of which every score in the graph stands; none while it was not measured, or by other rules."""
        self.begun = self._day(said, NEXT_DAY, NEXT_STATE)
        """The day as of which a measuring by the present rules was cut off."""
        self.before = _rules(said.get(RULES, "")) if self.begun or NEXT_STATE not in said else None
        """The rules by which what is held was measured, but for what a measuring has been through; none where it has to be read."""
        self.day = self.held
        self.work: Iterator[list[Version]] | None = None
        self.known: dict[int, tuple[Document, date, frozenset[str]]] = {}
        self.moves: dict[tuple[str, frozenset[Tier], frozenset[str], frozenset[str]], Move] = {}

    def _day(self, said: dict[ox.NamedNode, str], on: ox.NamedNode, by: ox.NamedNode) -> date | None:
        """A day that the graph names, where it is the present rules that it names with it."""
        day = date.fromisoformat(said[on]) if on in said else None
        return day if day and said.get(by) == self.rules.state(day) else None

    @property
    def rules(self) -> QualityRules:
        """Those of the package, unless others were given."""
        return self.given or packaged_rules()

    @property
    def is_under_way(self) -> bool:
        """Whether some scores in the graph may be those of other rules, or of another day."""
        return self.day is not None and self.held is None

    def of(self, document: Document, opened: frozenset[Tier]) -> Iterator[ox.Triple]:
        """What is said of the quality of a record to those to whom these tiers of it are open."""
        if self.day is None or document["type"] not in CLASSES:
            return iter(())
        return measurements(document["id"], self.rules.score(document, self._missed(document, self.day), opened, self.day))

    def _missed(self, document: Document, day: date) -> frozenset[str]:
        """Views of one record ask one after the other: what it misses is found out once for all of them."""
        found = self.known.get(id(document))
        if found is None or found[0] is not document or found[1] != day:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            found = self.known[id(document)] = (document, day, self.rules.missed(document, day, self.vocabulary))
        return found[2]

    def held_of(self, view: str, record: str) -> Iterator[ox.Triple]:
        """What a view holds of the quality of a record."""
        for part in PARTS.values():
            yield from self.graph.about(view, f"{record}#{part}")

    def go_on(self, projector: Projector, day: date) -> bool:
        """Measures some records again if a day, or the rules, may have changed their scores; whether there is more to do.

        What has begun ends as of its day, whatever day it is meanwhile.
        """
        if self.held == day:
            return False
        if projector.applied < 0:  # it is measured where it is filled
            self.day = day
            return False
        if self.work is None:
            self.work = self._begun(projector, day)
        if self._measure(projector, self.work):
            return True
        self.hold(projector.applied)
        return self.held != day

    def _begun(self, projector: Projector, day: date) -> Iterator[list[Version]]:
        """What there is to measure; from now on the graph says that it is measured again, and by what it was."""
        self.day = self.begun or day
        work, self.held = self._touched(projector, self.day), None
        before = {RULES: self.before.text(self.day)} if self.before else {}
        self._say({NEXT_STATE: self.rules.state(self.day), NEXT_DAY: self.day, **before}, projector.applied)
        return work

    def hold(self, index: int) -> None:
        """Says in the graph that everything in it was measured on the present day, where it was measured."""
        if self.day is not None:
            text = self.rules.text(self.day)
            self._say({STATE: self.rules.state(self.day), DAY: self.day, RULES: text}, index)
            self.held, self.begun, self.work, self.before = self.day, None, None, rules_of(text)
            self.moves.clear()

    def _say(self, what: dict[ox.NamedNode, str | date], index: int) -> None:
        """What the graph is to say of its measuring, and nothing else."""
        held = set(self.graph.triples(self.subject.value))
        says = {ox.Triple(self.subject, predicate, _literal(value)) for predicate, value in what.items()}
        self.graph.apply([Change(self.subject.value, held - says, says - held)], index)

    def _touched(self, projector: Projector, day: date) -> Iterator[list[Version]]:
        """The records whose scores may be other ones: all where the rules are, otherwise those of which a time has run out."""
        if self.held is None or self.rules.state(self.held) != self.rules.state(day):
            return _all(projector)
        since = min(self.held, day)
        return _entered(projector, [(since - timedelta(turn), max(self.held, day) - timedelta(turn)) for turn in TURNS])

    def _measure(self, projector: Projector, work: Iterator[list[Version]]) -> bool:
        """The engine takes up some records while the next ones are measured; whether there were any."""
        writing: Future[None] | None = None
        with ThreadPoolExecutor(1) as engine:
            for versions in itertools.islice(work, UPDATES):
                changes = [change for version in versions for change in self._changes(projector, version)]
                if writing:
                    writing.result()
                writing = engine.submit(self.graph.apply, changes, projector.applied)
            if writing:
                writing.result()
        return writing is not None

    def _changes(self, projector: Projector, version: Version) -> Iterable[Change]:
        """What has to change in the views that show a record, as it stands where the graph is."""
        if self.before is None or "erasedAt" in version.document:  # of which the operator is told nothing, and others may be
            return self._read(projector, version)
        return () if has_ended(version.document, EVERYTHING) else self._followed(projector, version, self.before)

    def _read(self, projector: Projector, version: Version) -> Iterator[Change]:
        for view, opened in projector.telling(version):
            held, wanted = set(self.held_of(view, version.iri)), set(self.of(version.document, opened))
            if held != wanted:
                yield Change(view, held - wanted, wanted - held)

    def _followed(self, projector: Projector, version: Version, before: QualityRules) -> Iterator[Change]:
        """The same without reading: what a view held follows from what the record missed by the rules before.

        A view that is ahead, since an entry came meanwhile or the measuring had been here, holds all that is wanted: this leaves it so.
        """
        assert self.day
        missed = self.rules.missed(version.document, self.day, self.vocabulary)
        was = frozenset(before.key_of.get(iri, iri) for iri in self.graph.values(self.everything, f"{version.iri}#{PARTS['']}", MISSED))
        for view, opened in projector.telling(version):
            key = (version.document["type"], opened, was, missed)
            if key not in self.moves:
                if len(self.moves) >= MOST_MOVES:
                    self.moves.clear()
                self.moves[key] = self._move(version.document, opened, (before, was), (self.rules, missed))
            leaves, enters = self.moves[key]
            if leaves or enters:
                yield Change(view, [leaves.replace(ANY, version.iri)] if leaves else (), [enters.replace(ANY, version.iri)] if enters else ())

    def _move(self, document: Document, opened: frozenset[Tier], *then_and_now: tuple[QualityRules, frozenset[str]]) -> Move:
        assert self.day
        then, now = ([*measurements(ANY, rules.score(document, missed, opened, self.day))] for rules, missed in then_and_now)
        return " .\n".join(str(each) for each in then if each not in now), " .\n".join(str(each) for each in now if each not in then)


def _rules(text: str) -> QualityRules | None:
    """The rules that a graph names; none where it names none, or as no present node would."""
    try:
        return rules_of(text)
    except ValueError:
        return None


def _literal(value: str | date) -> ox.Literal:
    return ox.Literal(value.isoformat(), datatype=ox.NamedNode(f"{XSD}date")) if isinstance(value, date) else ox.Literal(value)


def _all(projector: Projector) -> Iterator[list[Version]]:
    """All records, some at a time, as they stand where the graph is when their turn has come."""
    for kind in MEASURED_KINDS:
        after = ""
        while found := projector.register.page(kind, Window(everything=True), after, TOGETHER, {}):
            after = found[-1].id
            if page := list(projector.earlier(found, projector.applied)):
                yield page


def _entered(projector: Projector, spans: list[tuple[date, date]]) -> Iterator[list[Version]]:
    """What was entered after the first and up to the second of two days, each record once, likewise."""
    records = _entries(projector, spans)
    while page := list(itertools.islice(records, TOGETHER)):
        if found := [version for record in page for version in projector.stood_at(record)]:
            yield found


def _entries(projector: Projector, spans: list[tuple[date, date]]) -> Iterator[tuple[str, str]]:
    seen: set[tuple[str, str]] = set()
    for first, last in spans:
        low, high = (projector.register.index_at(f"{each.isoformat()}T23:59:59.999Z") for each in (first, last))
        while low < high and (found := projector.register.since(low, min(500, high - low))):
            low = found[-1].index
            for version in found:
                if version.kind in MEASURED_KINDS and (key := (version.kind, version.id)) not in seen:
                    seen.add(key)
                    yield key
