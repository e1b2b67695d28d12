"""The scores in the graph: measured with every entry, and measured again when the rules change or a day goes by.

Rules kept here: what a view says of a record's quality follows from what that view shows of it; the graph itself holds by
which rules and on which day it was measured, and holds that last, so that a measuring that was cut off begins anew; a
measuring goes on between entries, a page at a time, and nobody waits for it; what is written are differences to what is held.
A graph that was never measured has no scores.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyoxigraph as ox

from fmar_node.checks.plausible import TURNS
from fmar_node.checks.quality import PARTS, QualityRules, is_measurement, measurements, packaged_rules
from fmar_node.journal.register import Window
from fmar_node.store.graph import Change, Graph
from fmar_node.vocabulary import FMAR, XSD, Document, Tier, Vocabulary

if TYPE_CHECKING:
    from fmar_node.followers.projector import Projector

MEASURED_KINDS = ("organisations", "assets")
CLASSES = ("Organisation", "Asset")
TOGETHER = 50
"""Records that are measured again in one update of the graph."""
MOST_KNOWN = 8
STATE, DAY = ox.NamedNode(f"{FMAR}measuredBy"), ox.NamedNode(f"{FMAR}measuredOn")


class Measures:
    """By which rules, and on which day, a graph is measured."""

    def __init__(self, graph: Graph, vocabulary: Vocabulary, base_url: str, rules: QualityRules | None = None) -> None:
        self.graph, self.vocabulary, self.subject = graph, vocabulary, ox.NamedNode(f"{base_url}/quality")
        self.given = rules
        held = {triple.predicate: triple.object.value for triple in graph.triples(self.subject.value) if isinstance(triple.object, ox.Literal)}
        is_level = DAY in held and held.get(STATE) == self.rules.state(date.fromisoformat(held[DAY]))
        self.held = date.fromisoformat(held[DAY]) if is_level else None
        """The day as of which every score in the graph stands; none while it was not measured, or by other rules."""
        self.day = self.held
        self.work: Iterator[tuple[str, str]] | None = None
        self.known: dict[int, tuple[Document, date, frozenset[str]]] = {}

    @property
    def rules(self) -> QualityRules:
        """Those of the package, unless others were given."""
        return self.given or packaged_rules()

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
        """Measures some records again if a day, or the rules, may have changed their scores; whether there is more to do."""
        if self.held == day:
            return False
        if self.work is None or self.day != day:
            self.work, self.day = self._touched(projector, day), day
        if page := list(itertools.islice(self.work, TOGETHER)):
            changes = [change for record in page for change in self._changes(projector, record)]
            self.graph.apply([*self._said(None), *changes], projector.applied)
            return True
        self.hold(projector.applied)
        return False

    def hold(self, index: int) -> None:
        """Says in the graph that everything in it was measured on the present day, where it was measured."""
        if self.day is not None:
            self.graph.apply(list(self._said(self.day)), index)
            self.held, self.work = self.day, None

    def _said(self, day: date | None) -> Iterator[Change]:
        """What the graph is to say of its measuring; nothing while that goes on."""
        held, says = set(self.graph.triples(self.subject.value)), set()
        if day is not None:
            on = ox.Literal(day.isoformat(), datatype=ox.NamedNode(f"{XSD}date"))
            says = {ox.Triple(self.subject, STATE, ox.Literal(self.rules.state(day))), ox.Triple(self.subject, DAY, on)}
        if held != says:
            yield Change(self.subject.value, held - says, says - held)

    def _touched(self, projector: Projector, day: date) -> Iterator[tuple[str, str]]:
        """The records whose scores may be other ones: all where the rules are, otherwise those of which a time has run out."""
        if self.held is None or self.rules.state(self.held) != self.rules.state(day):
            return ((kind, id_) for kind in MEASURED_KINDS for id_ in _ids(projector, kind))
        since = min(self.held, day)
        return _entered(projector, [(since - timedelta(turn), max(self.held, day) - timedelta(turn)) for turn in TURNS])

    def _changes(self, projector: Projector, record: tuple[str, str]) -> Iterator[Change]:
        """What has to change in the views that show a record, as it stands where the graph is."""
        for version in projector.stood_at(record):
            for viewer in projector.concerned(version.document):
                view = projector.view_of(viewer)
                held = set(self.held_of(view, version.iri))
                wanted = {triple for triple in projector.shown_to(version, viewer) if is_measurement(triple)}
                if held != wanted:
                    yield Change(view, held - wanted, wanted - held)


def _ids(projector: Projector, kind: str) -> Iterator[str]:
    after = ""
    while found := projector.register.page(kind, Window(everything=True), after, 500, {}):
        yield from (version.id for version in found)
        after = found[-1].id


def _entered(projector: Projector, spans: list[tuple[date, date]]) -> Iterator[tuple[str, str]]:
    """Kind and id of what was entered after the first and up to the second of two days, once each."""
    seen: set[tuple[str, str]] = set()
    for first, last in spans:
        low, high = (projector.register.index_at(f"{each.isoformat()}T23:59:59.999Z") for each in (first, last))
        while low < high and (found := projector.register.since(low, min(500, high - low))):
            low = found[-1].index
            for version in found:
                if version.kind in MEASURED_KINDS and (key := (version.kind, version.id)) not in seen:
                    seen.add(key)
                    yield key
