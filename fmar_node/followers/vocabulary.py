"""The release's own ontology, shapes and code lists, put into graphs of their own so that callers can query them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyoxigraph as ox

from fmar_node.store.graph import Graph
from fmar_node.vocabulary import packaged


def load_vocabulary(graph: Graph, base_url: str, mark: Path) -> None:
    """Puts ontology, shapes and code lists into their graphs where they are not those of this release."""
    folders = {
        "ontology": sorted(packaged("ontology").glob("*.ttl")),
        "codes": sorted(packaged("ontology").glob("codes/*.ttl")),
        "shapes": sorted(packaged("shapes").rglob("*.ttl")),
    }
    state = hashlib.sha256(b"".join(file.read_bytes() for files in folders.values() for file in files)).hexdigest()
    if mark.exists() and mark.read_text("ascii") == state and f"{base_url}/codes" in graph.views():
        return
    for name, files in folders.items():
        graph.clear(f"{base_url}/{name}")
        graph.load(f"{base_url}/{name}", read_turtle(files))
    mark.write_text(state, "ascii")


def read_turtle(files: list[Path]) -> Iterator[ox.Triple]:
    """The triples of vocabulary files; these alone may hold blank nodes, they are replaced as a whole."""
    for file in files:
        for quad in ox.parse(path=str(file), format=ox.RdfFormat.TURTLE):
            yield quad.triple
