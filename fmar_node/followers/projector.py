"""The projector: a follower of the journal that keeps every viewer's graph equal to `reveal` over the journal.

Rules kept here: an entry goes into all graphs that it belongs in, together with its index, in one update; only
differences are written; when an organisation's rights to others' records change, its graph is made anew; what
the graph holds is known from the graph itself, so that a start after a crash goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyoxigraph as ox

from fmar_node.access.caller import Caller, Role, caller_of, is_same_window
from fmar_node.access.reveal import Relation, filtered, relations, tiers
from fmar_node.journal.register import Register
from fmar_node.record import Version
from fmar_node.representation import triples
from fmar_node.store.graph import Change, Graph, as_stored
from fmar_node.vocabulary import Document, Tier, Vocabulary

GROUP = 64
"""Entries that share one update of the graph."""

OPERATOR_VIEW = Caller(organisation="operator", roles=frozenset({Role.OPERATOR}), state="ACTIVE")
PUBLIC_VIEW = Caller()
SHARED_VIEWS = (OPERATOR_VIEW, PUBLIC_VIEW)


class Projector:
    """Reads with a cursor (the index that the graph holds), writes to the graph only."""

    def __init__(self, register: Register, graph: Graph, vocabulary: Vocabulary, base_url: str) -> None:
        self.register, self.graph, self.vocabulary, self.base_url = register, graph, vocabulary, base_url
        self.applied = graph.applied
        self.viewers: dict[str, Caller] = {}
        for version in register.as_of("organisations", self.applied):
            self._admit(caller_of(version.document))

    def _admit(self, viewer: Caller) -> None:
        self.viewers[viewer.organisation] = viewer

    def catch_up(self, most: int = GROUP) -> int:
        """Applies up to `most` further entries; how many there were."""
        versions = self.register.since(self.applied, most)
        changes: list[Change] = []
        for version in versions:
            if version.kind == "organisations" and not is_same_window(self.viewers, caller_of(version.document)):
                self._apply(changes, version.index - 1)
                changes = list(self._changes(version, SHARED_VIEWS))
                self._make_anew(version)
            else:
                changes += self._changes(version, self.all_viewers())
        if versions:
            self._apply(changes, versions[-1].index)
        return len(versions)

    def _apply(self, changes: list[Change], index: int) -> None:
        if index > self.applied:
            self.graph.apply(changes, index)
            self.applied = index
        changes.clear()

    def _changes(self, version: Version, viewers: Iterable[Caller]) -> Iterator[Change]:
        """The differences that one version makes in the graphs of these viewers.

        Viewers to whom the same tiers are open share one computation.
        """
        previous = self.register.previous(version)
        made: dict[tuple[int, frozenset[Tier]], frozenset[ox.Triple]] = {}
        for viewer in viewers:
            before = self._triples(previous.document, viewer, made) if previous else frozenset()
            after = self._triples(version.document, viewer, made)
            if before != after:
                yield Change(self.view_of(viewer), before - after, after - before)

    def _triples(self, document: Document, viewer: Caller, made: dict[Any, frozenset[ox.Triple]]) -> frozenset[ox.Triple]:
        opened = self._opened(document, viewer)
        key = (id(document), opened)
        if key not in made:
            made[key] = frozenset(self._shown(document, opened))
        return made[key]

    def _opened(self, document: Document, viewer: Caller) -> frozenset[Tier]:
        """The tiers that a viewer's own graph shows: public rows stand in the public graph alone."""
        if viewer.is_anonymous or relations(document, viewer) - {Relation.PUBLIC}:
            return tiers(document, viewer)
        return frozenset()

    def _shown(self, document: Document, opened: frozenset[Tier]) -> Iterator[ox.Triple]:
        return triples(filtered(document, opened, self.vocabulary), self.vocabulary) if opened else iter(())

    def _own_views(self) -> Iterable[Caller]:
        return (viewer for viewer in self.viewers.values() if not viewer.has(Role.OPERATOR))

    def view_of(self, viewer: Caller) -> str:
        return f"{self.base_url}/views/{viewer.view}"

    def _make_anew(self, version: Version) -> None:
        """An organisation's graph after its rights have changed; repeated whole if the process ends in between."""
        viewer = caller_of(version.document)
        self._admit(viewer)
        own = f"{self.base_url}/views/{viewer.organisation}"
        self.graph.clear(own)
        if not viewer.has(Role.OPERATOR):
            self.graph.load(own, self.window(viewer, version.index))

    def window(self, viewer: Caller, index: int) -> Iterator[ox.Triple]:
        """Everything that a viewer's graph holds at a place of the journal, by `reveal` alone."""
        for kind in ("organisations", "assets"):
            for version in self.register.as_of(kind, index):
                yield from self._shown(version.document, self._opened(version.document, viewer))

    def all_viewers(self) -> list[Caller]:
        return [*SHARED_VIEWS, *self._own_views()]

    def deviations(self) -> list[str]:
        """The views that differ from `reveal` over the journal; none, or the graph needs a rebuild."""
        expected = {self.view_of(viewer): viewer for viewer in self.all_viewers()}
        held = {view for view in self.graph.views() if "/views/" in view}
        return sorted(held - set(expected)) + [
            view
            for view, viewer in expected.items()
            if set(self.graph.triples(view)) != as_stored(self.window(viewer, self.applied))
        ]
