"""An Embedded Capacity Register as a source: what a network operator's own file has under an asset's ECR reference.

Rules kept here: a reference goes before a meter point, by which a technology is found whose reference a later release has renewed; the file is read again when it has changed; it says nothing of assets in other licence areas than its own; one that
cannot be read is a source that is silent, and says nothing of any asset.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from fmar_node.clock import Clock, stamp
from fmar_node.errors import FmarError
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.release import read_register
from fmar_node.record import alias_in
from fmar_node.settings import CONNECTION
from fmar_node.sources.connection import SCHEME, Connection, compared, connection_of
from fmar_node.sources.source import Comparison, Finding, Outcome, SourceUnavailable, folded
from fmar_node.vocabulary import Document

POINTS = ("importMPAN", "exportMPAN")


@dataclass(frozen=True, slots=True)
class Published:
    """What a file has, by reference and by meter point; the licence areas that it is of; and which file that was."""

    stamp: tuple[int, int]
    areas: frozenset[str]
    connections: dict[str, list[Connection]] = field(default_factory=dict)
    at_points: dict[str, list[Connection]] = field(default_factory=dict)

    def beside(self, document: Document) -> tuple[Comparison, ...]:
        """An asset beside what the file has of it; nothing is compared where it is none of the file's."""
        if found := self.connections.get(folded(alias_in(document, SCHEME)), []):
            return compared(document, found)
        points = [each for term in POINTS for each in self.at_points.get(document.get(term, ""), [])]
        if not points and document.get("dnoConnection") not in self.areas:
            return (Comparison("alias", Outcome.NOT_COMPARED),)
        return compared(document, points, Outcome.NOT_COMPARED)


class ConnectionFile:
    """Looks into an Embedded Capacity Register."""

    name = CONNECTION

    def __init__(self, path: Path, area: str, clock: Clock) -> None:
        self.path, self.area, self.clock = path, area, clock
        self.published: Published | None = None

    async def ask(self, document: Document) -> Finding:
        """What the file has of an asset's connection, field by field."""
        published = await asyncio.to_thread(self._read)
        return Finding(self.name, stamp(self.clock.now()), self.path.name, published.beside(document))

    def _read(self) -> Published:
        try:
            state = self.path.stat()
            known = (state.st_mtime_ns, state.st_size)
            if self.published is None or self.published.stamp != known:
                self.published = published_in(self.path, self.area, known)
            return self.published
        except (OSError, FmarError, ValueError) as error:
            raise SourceUnavailable(f"the file of connections cannot be read: {type(error).__name__}") from error

    async def close(self) -> None:
        """It holds nothing open."""


def published_in(path: Path, area: str, known: tuple[int, int]) -> Published:
    """The file's technologies by reference. FmarError, OSError where it cannot be read."""
    found: dict[str, list[Connection]] = defaultdict(list)
    points: dict[str, list[Connection]] = defaultdict(list)
    areas = {area} if area else set[str]()
    for reading in read_register(read_rows(path)):
        for candidate in reading.candidates:
            document = candidate.document
            if area and document.get("dnoConnection") != area:
                continue
            areas.add(document.get("dnoConnection", ""))
            connection = connection_of(document)
            found[folded(alias_in(document, SCHEME))].append(connection)
            for point in {document[term] for term in POINTS if term in document}:
                points[point].append(connection)
    return Published(known, frozenset(areas - {""}), dict(found), dict(points))
