"""The ontology, and the shapes and code lists of the release in force, put into graphs of their own so that callers can query them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fmar_node.store.graph import Graph
from fmar_node.vocabulary import Vocabulary, packaged, shape_names, turtle


def load_vocabulary(graph: Graph, base_url: str, mark: Path, vocabulary: Vocabulary) -> None:
    """Puts ontology, shapes and code lists into their graphs where they are not those of this release."""
    codes = (f"codes/{file.name}" for file in sorted(packaged("ontology").glob("codes/*.ttl")))
    texts = {
        "ontology": [file.read_text("utf-8") for file in sorted(packaged("ontology").glob("*.ttl"))],
        "codes": [vocabulary.text(name) for name in codes],
        "shapes": [vocabulary.text(f"shapes/{name}.ttl") for name in shape_names()],
    }
    state = hashlib.sha256("".join(text for of_room in texts.values() for text in of_room).encode()).hexdigest()
    if mark.exists() and mark.read_text("ascii") == state and f"{base_url}/codes" in graph.views():
        return
    mark.unlink(missing_ok=True)
    for name, of_room in texts.items():
        graph.clear(f"{base_url}/{name}")
        graph.load(f"{base_url}/{name}", (triple for text in of_room for triple in turtle(text)))
    mark.write_text(state, "ascii")
