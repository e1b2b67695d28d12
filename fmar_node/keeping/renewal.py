"""The graph made from the journal alone: for `fmar rebuild`, after a restore, and in place of one that holds erased values.

A store gives nothing back of what was deleted from it: Oxigraph keeps every text that it ever held. So a graph is
scrubbed by making it anew beside the one in service. Run as a module (arguments: data folder, folder of the new store)
it does that in a process of its own, since the work would slow a writer in the same one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fmar_node.folder import Folder
from fmar_node.followers.projector import Projector
from fmar_node.followers.vocabulary import load_vocabulary
from fmar_node.journal.register import Register, connect
from fmar_node.store.graph import Graph
from fmar_node.store.sandbox import die_with_parent
from fmar_node.vocabulary import Vocabulary

NICENESS = 10


def renew(folder: Folder, register: Register, store: Path) -> int:
    """Makes the graph of a journal in the folder `store`; how many entries it holds then."""
    base_url = folder.settings().base_url
    graph = Graph(store)
    load_vocabulary(graph, base_url, folder.graph.parent / "vocabulary")
    projector = Projector(register, graph, Vocabulary.load(), base_url)
    projector.fill()
    graph.compact()
    while projector.catch_up():
        pass
    graph.close()
    return projector.applied + 1


if __name__ == "__main__":
    die_with_parent()
    os.nice(NICENESS)
    data = Folder(Path(sys.argv[1]))
    renew(data, Register(connect(data.journal / "journal.db"), Vocabulary.load().terms, data.lookup_key()), Path(sys.argv[2]))
