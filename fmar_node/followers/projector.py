"""The projector: a follower of the journal that keeps every viewer's graph equal to `reveal` over the journal.

Rules kept here: an entry goes into all graphs that it belongs in, together with its index, in one update; only
differences are written; when an organisation's rights to others' records change, its graph is made anew; what
the graph holds is known from the graph itself, so that a start after a crash goes on exactly where it stopped; an
empty graph is filled in bulk from the newest versions, and holds an index only when all of it is there; what one
entry costs does not grow with the organisations that have nothing to do with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pyoxigraph as ox

from fmar_node.access.caller import Caller, Grant, Role, as_held_by, caller_of, grant_of, is_same_window
from fmar_node.access.past import Look, look_of, own_look, pasts
from fmar_node.access.reveal import WIDE, Sight, parties
from fmar_node.checks.quality import is_measurement
from fmar_node.followers.measures import Measures
from fmar_node.journal.register import Register, Window
from fmar_node.kinds.erasure import ERASURE
from fmar_node.read import window_of
from fmar_node.record import Version
from fmar_node.representation import triples
from fmar_node.store.graph import Change, Graph, as_stored
from fmar_node.vocabulary import Document, Tier, Vocabulary

GROUP = 256
"""Entries that share one update of the graph, where so many wait."""
PAGE = 500
"""Records that are read at once; between pages the journal may be written and its log be cleared."""
BLOCK_CHARS = 16_000_000
"""N-Quads that are loaded at once: larger blocks save work, smaller ones memory."""
TOGETHER = 100
"""Records that change in one view at once."""
KINDS = ("organisations", "assets", "users", "delegations", "notices", "switches", "service-windows")
"""What the graph holds. Saved queries are how the register is asked, not what it says: `GET /queries` lists them; and one that is
for a role would have to stand in the graph of everybody who has it, and move with the role."""

Key = tuple[int, Sight, str]
"""Entry, what is in sight of it, and the end of whose time: of viewers who see the same of a record."""
Made = dict[Key, frozenset[ox.Triple]]
OPERATOR_VIEW = Caller(organisation="operator", roles=frozenset({Role.OPERATOR}), state="ACTIVE")
PUBLIC_VIEW = Caller()
SHARED_VIEWS = (OPERATOR_VIEW, PUBLIC_VIEW)


class Projector:
    """Reads with a cursor (the index that the graph holds), writes to the graph only."""

    def __init__(self, register: Register, graph: Graph, vocabulary: Vocabulary, base_url: str) -> None:
        self.register, self.graph, self.vocabulary, self.base_url = register, graph, vocabulary, base_url
        self.applied = graph.applied
        self.measures = Measures(graph, vocabulary, base_url)
        self.viewers: dict[str, Caller] = {}
        self.granted: dict[str, dict[str, tuple[str, Grant]]] = {}
        self.delegates: dict[str, set[str]] = {}
        self.wide: dict[str, Caller] = {}
        self._admit_all(self.applied)

    def _admit_all(self, index: int) -> None:
        """Who looks into the graph at a place of the journal, and what each has been granted then."""
        for version in self._stood("organisations", Window(everything=True), index):
            self._admit(caller_of(version.document))
        for version in self._stood("delegations", Window(everything=True), index):
            self._note_grant(version)
        for delegate in self.granted:
            self._admit(self._with_grants(self.viewers[delegate]))

    def _admit(self, viewer: Caller) -> None:
        self.viewers[viewer.organisation] = viewer
        self.wide.pop(viewer.organisation, None)
        if viewer.has(*WIDE):
            self.wide[viewer.organisation] = viewer

    def _note_grant(self, version: Version) -> None:
        """A delegation is there while its record says ACTIVE: the days on which it begins and ends are entries of their own."""
        grantor, delegate = parties(version.document)
        given = self.granted.setdefault(delegate, {})
        given.pop(version.id, None)
        if version.state == "ACTIVE":
            given[version.id] = (grantor, grant_of(version.document))
            self.delegates.setdefault(grantor, set()).add(delegate)

    def _with_grants(self, viewer: Caller) -> Caller:
        """The viewer with what active organisations have granted it, if it is active itself."""
        grants: dict[str, tuple[Grant, ...]] = {}
        for _, (grantor, grant) in sorted(self.granted.get(viewer.organisation, {}).items()) if viewer.is_active else ():
            if self.viewers[grantor].is_active:
                grants[grantor] = (*grants.get(grantor, ()), as_held_by(viewer, grant))
        return replace(viewer, grants=grants)

    def catch_up(self, most: int = GROUP) -> int:
        """Applies up to `most` further entries; how many there were."""
        versions = self.register.since(self.applied, most)
        changes: list[Change] = []
        for version in versions:
            if version.kind not in KINDS:
                continue
            if version.kind in ("organisations", "delegations") and self._moves_a_window(version):
                self._apply(changes, version.index - 1)
                changes = list(self._move_windows(version))
            elif version.action == ERASURE:
                self._apply(changes, version.index - 1)
                changes = list(self._replaced(version))
            else:
                changes += self._changes(version)
        if versions:
            self._apply(changes, versions[-1].index)
        return len(versions)

    def _moves_a_window(self, version: Version) -> bool:
        """Whether an entry changes what somebody sees of others' records."""
        if version.kind == "delegations":
            grantor, delegate = parties(version.document)
            given = (grantor, grant_of(version.document)) if version.state == "ACTIVE" else None
            return self.granted.get(delegate, {}).get(version.id) != given
        after = self._with_grants(caller_of(version.document))
        before = self.viewers.get(after.organisation)
        is_granting = after.organisation in self.delegates and before is not None and before.is_active != after.is_active
        return is_granting or not is_same_window(self.viewers, after)

    def _move_windows(self, version: Version) -> Iterable[Change]:
        """Makes the graphs that an entry moves what they are to be; what it changes in all others."""
        if version.kind == "delegations":
            grantor, delegate = parties(version.document)
            self._note_grant(version)
            self._regrant(delegate, grantor, version.index)
            return self._changes(version)
        viewer = self._with_grants(caller_of(version.document))
        is_same = is_same_window(self.viewers, viewer)
        self._admit(viewer)
        for delegate in sorted(self.delegates.get(viewer.organisation, ())):
            self._regrant(delegate, viewer.organisation, version.index)
        if not is_same:
            self._make_anew(viewer, version.index)
        return self._changes(version, only_shared=not is_same and viewer.organisation not in self.delegates)

    def _regrant(self, delegate: str, grantor: str, index: int) -> None:
        """Brings what a delegate sees of a grantor's records to what is granted now; repeated whole if the process ends in between."""
        old = self.viewers[delegate]
        viewer = self._with_grants(old)
        if viewer.grants.get(grantor) == old.grants.get(grantor):
            return
        self._admit(viewer)
        if viewer.has(Role.OPERATOR):
            return
        records: Iterator[Version] = itertools.chain(
            self._stood("assets", Window(organisation=grantor, managed_only=True), index),
            self._stood("organisations", Window(organisation=grantor, public=False), index),
            self._stood("switches", Window(organisation=grantor, managed_only=True), index),
            self._stood("service-windows", Window(organisation=grantor, managed_only=True), index),
        )
        if grantor not in old.grants:
            records = iter(self._loaded(viewer, records))
        while together := list(itertools.islice(records, TOGETHER)):
            self.graph.apply([self._replacing(viewer, each) for each in together], self.applied)

    def _loaded(self, viewer: Caller, records: Iterable[Version]) -> list[Version]:
        """Adds to a view what it now holds more of these records; those of which it may have held another version are left, and returned."""
        left: list[Version] = []

        def added() -> Iterator[ox.Triple]:
            for each in records:
                if pasts(each.document):
                    left.append(each)
                else:
                    yield from self.shown_to(each, viewer)

        self.graph.load(self.view_of(viewer), added())
        return left

    def _replacing(self, viewer: Caller, version: Version) -> Change:
        view = self.view_of(viewer)
        return Change(view, list(self._held_of(view, version.iri)), list(self.shown_to(version, viewer)))

    def _held_of(self, view: str, record: str) -> Iterator[ox.Triple]:
        return itertools.chain(self.graph.about(view, record), self.measures.held_of(view, record))

    def _apply(self, changes: list[Change], index: int) -> None:
        if index > self.applied:
            self.graph.apply(changes, index)
            self.applied = index
        changes.clear()

    def _changes(self, version: Version, only_shared: bool = False) -> Iterator[Change]:
        """The differences that one version makes in the graphs of those whom it concerns.

        Viewers to whom the same tiers are open share one computation.
        """
        previous = self.register.previous(version)
        documents = [version.document, *([previous.document] if previous else [])]
        made: Made = {}
        for viewer in SHARED_VIEWS if only_shared else self.concerned(*documents):
            before = self._triples(previous, viewer, made) if previous else frozenset()
            after = self._triples(version, viewer, made)
            if previous and self.measures.is_under_way:  # nobody knows whether it has been here: what was held goes, what is wanted comes
                held = frozenset(self.measures.held_of(self.view_of(viewer), version.iri))
                yield Change(self.view_of(viewer), (before | held) - after, after - {each for each in before if not is_measurement(each)})
            elif before != after:
                yield Change(self.view_of(viewer), before - after, after - before)

    def _replaced(self, version: Version) -> Iterator[Change]:
        """The changes that an erasure makes: the journal no longer knows what has to go, so that all goes that a view holds."""
        made: Made = {}
        for viewer in self.all_viewers():
            view = self.view_of(viewer)
            yield Change(view, list(self._held_of(view, version.iri)), self._triples(version, viewer, made))

    def concerned(self, *documents: Document, former: Iterable[str] = ()) -> list[Caller]:
        """Everybody in whose graph these versions of a record may stand, whatever reveal then says of it.

        Former providers keep what they have while a record goes on: they need to be named only where a view is made anew.
        """
        belonging = {party for document in documents for party in parties(document)} | set(former)
        granting = {party for document in documents for party in parties(document)[:1]} | set(former)
        belonging |= {delegate for party in granting for delegate in self.delegates.get(party, ())}
        named = {party: self.viewers[party] for party in belonging if party in self.viewers}
        return [*SHARED_VIEWS, *(viewer for viewer in (named | self.wide).values() if not viewer.has(Role.OPERATOR))]

    def _triples(self, version: Version, viewer: Caller, made: Made) -> frozenset[ox.Triple]:
        look = self._look(version, viewer)
        if look is None:
            return frozenset()
        key = (look.version.index, look.sight, look.as_of)
        if key not in made:
            made[key] = frozenset(self._stated(look))
        return made[key]

    def _look(self, version: Version, viewer: Caller) -> Look | None:
        """What a viewer's own graph shows of a record: public rows stand in the public graph alone."""
        look = look_of if viewer.is_anonymous else own_look
        return look(version, viewer, self.register.version)

    def shown_to(self, version: Version, viewer: Caller) -> Iterator[ox.Triple]:
        """What the graph of a viewer holds of a record."""
        look = self._look(version, viewer)
        return self._stated(look) if look else iter(())

    def _stated(self, look: Look) -> Iterator[ox.Triple]:
        """What a view shows of a record, and what it therefore says of its quality; what is kept as it was is not measured again."""
        document = look.document(self.vocabulary)
        if document is None:
            return iter(())
        if look.as_of:
            return triples(document, self.vocabulary)
        return itertools.chain(triples(document, self.vocabulary), self.measures.of(look.version.document, look.sight.tiers))

    def telling(self, version: Version) -> Iterator[tuple[str, frozenset[Tier]]]:
        """The views that may tell of a record's quality, and the tiers of it that are open there; none where it is not shown, or as it was."""
        for viewer in self.concerned(version.document):
            look = self._look(version, viewer)
            yield self.view_of(viewer), look.sight.tiers if look and not look.as_of else frozenset()

    def stood_at(self, record: tuple[str, str]) -> Iterator[Version]:
        """A record, by kind and id, as it stood where the graph is; none where it was not there yet."""
        current = self.register.current(*record)
        return self.earlier([current] if current else [], self.applied)

    def _own_views(self) -> Iterable[Caller]:
        return (viewer for viewer in self.viewers.values() if not viewer.has(Role.OPERATOR))

    def view_of(self, viewer: Caller) -> str:
        return f"{self.base_url}/views/{viewer.view}"

    def _make_anew(self, viewer: Caller, index: int) -> None:
        """An organisation's graph after its rights have changed; repeated whole if the process ends in between."""
        own = f"{self.base_url}/views/{viewer.organisation}"
        self.graph.clear(own)
        if not viewer.has(Role.OPERATOR):
            self.graph.load(own, self._held(viewer, index))

    def _held(self, viewer: Caller, index: int) -> Iterator[ox.Triple]:
        """What `window` is, from those records alone that may be in it."""
        candidates = replace(window_of(viewer, managed=False), public=viewer.is_anonymous)
        for kind in KINDS:
            for version in self._stood(kind, candidates, index):
                yield from self.shown_to(version, viewer)

    def _stood(self, kind: str, window: Window, index: int) -> Iterator[Version]:
        """The records of a window as they stood at a place of the journal, which may grow meanwhile; some of them twice."""
        after = ""
        while index >= 0 and (found := self.register.page(kind, window, after, PAGE, {})):
            yield from self.earlier(found, index)
            after = found[-1].id
        yield from self.earlier(self._kept(kind, window) if index >= 0 else (), index)
        if index >= 0 and not window.everything:  # what has changed since may have been in the window before
            yield from self.earlier((version for version in self._since(index) if version.kind == kind), index)

    def _kept(self, kind: str, window: Window) -> Iterator[Version]:
        """The records of which those of a window are former providers."""
        after, former = "", {window.organisation, *window.grantors} - {""}
        while former and (found := self.register.kept(kind, former, after, PAGE)):
            yield from (version for id_ in found if (version := self.register.current(kind, id_)))
            after = found[-1]

    def earlier(self, versions: Iterable[Version], index: int) -> Iterator[Version]:
        """The same records as they stood at a place of the journal, as far as they were there."""
        for version in versions:
            stood: Version | None = version
            while stood and stood.index > index:
                stood = self.register.previous(stood)
            if stood:
                yield stood

    def _since(self, index: int) -> Iterator[Version]:
        while versions := self.register.since(index, PAGE):
            yield from versions
            index = versions[-1].index

    def fill(self) -> int:
        """Makes the graph from the newest versions, all views at once, where it holds no index; how many entries it holds then.

        What an interrupted filling has left is cleared first, and the index goes in last.
        """
        index = self.register.size() - 1
        if self.applied >= 0 or index < 0:
            return self.applied + 1
        for view in self.graph.views():
            if "/views/" in view:
                self.graph.clear(view)
        self._admit_all(index)
        with ThreadPoolExecutor(1) as loader:  # the engine loads one block while the next is made
            loading: Future[None] | None = None
            for block in _blocks(self._lines(index)):
                if loading:
                    loading.result()
                loading = loader.submit(self.graph.load_quads, block)
            if loading:
                loading.result()
        self._apply([], index)
        self.measures.hold(index)
        return index + 1

    def _lines(self, index: int) -> Iterator[str]:
        """All views at a place of the journal as N-Quads, record by record."""
        for kind in KINDS:
            for version in self._stood(kind, Window(everything=True), index):
                shown: dict[Key, list[str]] = {}
                former = [past.organisation for past in pasts(version.document)]
                for viewer in self.concerned(version.document, former=former):
                    if (look := self._look(version, viewer)) is None:
                        continue
                    key = (look.version.index, look.sight, look.as_of)
                    if key not in shown:
                        shown[key] = [str(triple) for triple in self._stated(look)]
                    if shown[key]:
                        end = f" <{self.view_of(viewer)}> .\n"
                        yield end.join(shown[key]) + end

    def window(self, viewer: Caller, index: int) -> Iterator[ox.Triple]:
        """Everything that a viewer's graph holds at a place of the journal, by `reveal` over all entries alone."""
        for kind in KINDS:
            for version in self.register.as_of(kind, index):
                yield from self.shown_to(version, viewer)

    def all_viewers(self) -> list[Caller]:
        return [*SHARED_VIEWS, *self._own_views()]

    def deviations(self) -> list[str]:
        """The views that differ from `reveal` over the journal; none, or the graph needs a rebuild."""
        expected = {self.view_of(viewer): viewer for viewer in self.all_viewers()}
        held = {view for view in self.graph.views() if "/views/" in view}
        return sorted(held - set(expected)) + [
            view
            for view, viewer in expected.items()
            if self._told(self.graph.triples(view)) != self._told(as_stored(self.window(viewer, self.applied)))
        ]

    def _told(self, found: Iterable[ox.Triple]) -> set[ox.Triple]:
        """What is compared: scores only while all of them are of one day and of the rules that there are."""
        is_level = self.measures.held is not None
        return {triple for triple in found if is_level or not is_measurement(triple)}


def _blocks(lines: Iterable[str]) -> Iterator[bytes]:
    block, size = [], 0
    for line in lines:
        block.append(line)
        size += len(line)
        if size >= BLOCK_CHARS:
            yield "".join(block).encode()
            block, size = [], 0
    if block:
        yield "".join(block).encode()
