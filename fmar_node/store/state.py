"""The journal index that a store holds: one quad, written in the same transaction as the data.

Rules kept here: it stands in a graph of its own that is in no query's dataset; the index is always read
from the store, never from the name of its directory (engine reference, section 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyoxigraph as ox

GRAPH = "urn:fmar:state"
JOURNAL = "urn:fmar:journal"
HOLDS = "urn:fmar:holds-up-to"


def applied(store: ox.Store) -> int:
    """The last journal index whose changes the store holds; -1 when it holds none."""
    return max(said(store), default=-1)


def said(store: ox.Store) -> list[int]:
    """Every index that the store says it holds: one, or those of loads that came one after the other, of which the largest counts."""
    import pyoxigraph as ox

    quads = store.quads_for_pattern(ox.NamedNode(JOURNAL), ox.NamedNode(HOLDS), None, ox.NamedNode(GRAPH))
    return [int(quad.object.value) for quad in quads if isinstance(quad.object, ox.Literal)]


def quad(index: int) -> ox.Quad:
    """The quad that says `index`."""
    import pyoxigraph as ox

    return ox.Quad(ox.NamedNode(JOURNAL), ox.NamedNode(HOLDS), ox.Literal(index), ox.NamedNode(GRAPH))


def block(index: int) -> str:
    """The quad that says `index`, for DELETE DATA and INSERT DATA."""
    return f"GRAPH <{GRAPH}> {{ <{JOURNAL}> <{HOLDS}> {index} }}"
