"""The graph made from the journal alone: for `fmar rebuild`, after a restore, and in place of one that holds erased values.

A store gives nothing back of what was deleted from it: Oxigraph keeps every text that it ever held. So a graph is
scrubbed by making it anew beside the one in service. `main` (arguments: data folder, folder of the new store)
does that in a process of its own, since the work would slow a writer in the same one.
"""

from __future__ import annotations

import os
from pathlib import Path

from fmar_node.clock import SystemClock, today
from fmar_node.folder import Folder
from fmar_node.followers.projector import Projector
from fmar_node.followers.vocabulary import load_vocabulary
from fmar_node.journal.register import Register, connect
from fmar_node.release import Releases
from fmar_node.store.graph import Graph
from fmar_node.store.sandbox import die_with_parent
from fmar_node.vocabulary import Vocabulary

NICENESS = 10


def renew(folder: Folder, register: Register, store: Path) -> int:
    """Makes the graph of a journal in the folder `store`; how many entries it holds then."""
    base_url = folder.settings().base_url
    graph = Graph(store)
    vocabulary = Vocabulary.load()
    load_vocabulary(graph, base_url, folder.graph.parent / "vocabulary", Releases(vocabulary).in_force(register))
    projector = Projector(register, graph, vocabulary, base_url)
    projector.measures.go_on(projector, today(SystemClock()))
    projector.fill()
    graph.compact()
    while projector.catch_up():
        pass
    graph.close()
    return projector.applied + 1


def main(data: str, store: str) -> None:
    """The process of its own."""
    die_with_parent()
    os.nice(NICENESS)
    folder = Folder(Path(data))
    renew(folder, Register(connect(folder.journal / "journal.db"), Vocabulary.load().terms, folder.lookup_key()), Path(store))
