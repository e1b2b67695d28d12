"""The projector: a follower of the journal that keeps every viewer's graph equal to `reveal` over the journal.

Rules kept here: an entry goes into all graphs that it belongs in, together with its index, in one update; only
differences are written; when an organisation's rights to others' records change, its graph is made anew; what
the graph holds is known from the graph itself, so that a start after a crash goes on exactly where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyoxigraph as ox

from fmar_node.access.caller import Caller, Role, caller_of, is_same_window
from fmar_node.access.reveal import Relation, public_face, relations, reveal
from fmar_node.journal.register import Register
from fmar_node.record import Version
from fmar_node.representation import triples
from fmar_node.store.graph import Change, Graph, as_stored
from fmar_node.vocabulary import Document, Vocabulary

GROUP = 64
"""Entries that share one update of the graph."""

OPERATOR_VIEW = Caller(organisation="operator", roles=frozenset({Role.OPERATOR}), state="ACTIVE")
PUBLIC_VIEW = Caller()


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
                changes = [*self._shared_changes(version)]
                self._make_anew(version)
            else:
                changes += self._changes(version)
        if versions:
            self._apply(changes, versions[-1].index)
        return len(versions)

    def _apply(self, changes: list[Change], index: int) -> None:
        if index > self.applied:
            self.graph.apply(changes, index)
            self.applied = index
        changes.clear()

    def _changes(self, version: Version) -> Iterator[Change]:
        """The differences that one version makes in the graphs of all its viewers."""
        previous = self.register.previous(version)
        yield from self._shared_changes(version)
        for viewer in self._own_views():
            yield from self._difference(viewer, previous.document if previous else None, version.document)

    def _shared_changes(self, version: Version) -> Iterator[Change]:
        previous = self.register.previous(version)
        was = previous.document if previous else None
        for viewer in (OPERATOR_VIEW, PUBLIC_VIEW):
            yield from self._difference(viewer, was, version.document)

    def _own_views(self) -> Iterable[Caller]:
        return (viewer for viewer in self.viewers.values() if not viewer.has(Role.OPERATOR))

    def _difference(self, viewer: Caller, was: Document | None, now: Document) -> Iterator[Change]:
        before = frozenset(self.shown(viewer, was)) if was else frozenset()
        after = frozenset(self.shown(viewer, now))
        if before != after:
            yield Change(self.view_of(viewer), before - after, after - before)

    def shown(self, viewer: Caller, document: Document) -> Iterator[ox.Triple]:
        """The triples of a record in a viewer's own graph: public rows stand in the public graph alone."""
        if viewer.is_anonymous:
            face = public_face(document, self.vocabulary)
        else:
            face = reveal(document, viewer, self.vocabulary) if relations(document, viewer) - {Relation.PUBLIC} else None
        return triples(face, self.vocabulary) if face else iter(())

    def view_of(self, viewer: Caller) -> str:
        return f"{self.base_url}/views/{viewer.view}"

    def _make_anew(self, version: Version) -> None:
        """An organisation's graph after its rights have changed; repeated whole if the process ends in between."""
        viewer = caller_of(version.document)
        self._admit(viewer)
        if viewer.has(Role.OPERATOR):
            return
        self.graph.clear(self.view_of(viewer))
        self.graph.load(self.view_of(viewer), self.window(viewer, version.index))

    def window(self, viewer: Caller, index: int) -> Iterator[ox.Triple]:
        """Everything that a viewer's graph holds at a place of the journal, by `reveal` alone."""
        for kind in ("organisations", "assets"):
            for version in self.register.as_of(kind, index):
                yield from self.shown(viewer, version.document)

    def all_viewers(self) -> list[Caller]:
        return [OPERATOR_VIEW, PUBLIC_VIEW, *self._own_views()]

    def deviations(self) -> list[str]:
        """The views that differ from `reveal` over the journal; none, or the graph needs a rebuild."""
        expected = {self.view_of(viewer): viewer for viewer in self.all_viewers()}
        held = {view for view in self.graph.views() if "/views/" in view}
        return sorted(held - set(expected)) + [
            view
            for view, viewer in expected.items()
            if set(self.graph.triples(view)) != as_stored(self.window(viewer, self.applied))
        ]
