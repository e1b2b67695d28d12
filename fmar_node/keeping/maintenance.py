"""What is done to a node's data from outside: verify its journal, also beside a running node; rebuild a stopped one's graph.

Rules kept here: nothing is repaired silently.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from fmar_node.errors import Broken, counted
from fmar_node.folder import Folder
from fmar_node.journal.checkpoint import VerifierKey
from fmar_node.journal.entry import Entry
from fmar_node.journal.handover import Chain
from fmar_node.journal.journal import FORMAT, Journal, kept_note
from fmar_node.journal.register import Register, connect
from fmar_node.journal.tree import CompactRange, ProofError, tree_root
from fmar_node.keeping.derived import check_state
from fmar_node.keeping.operators import authority_in
from fmar_node.keeping.renewal import renew
from fmar_node.store.snapshot import TEMPORARY, put_in_place, sweep
from fmar_node.vocabulary import Vocabulary

BATCH = 1_000


def open_register(folder: Folder) -> Register:
    """The journal of a data folder, to read. OSError when there is none, Broken when it has another format, ProofError when it is damaged."""
    path = folder.journal / "journal.db"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    register = Register(connect(path), Vocabulary.load().terms, folder.lookup_key())
    try:
        found = register.meta("format")
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise ProofError("damaged-file", f"the database cannot be read: {error}") from error
    if found != FORMAT:
        register.connection.close()
        raise Broken("internal-error", f"the journal has format {found}, this version of fmar reads format {FORMAT}; run: fmar upgrade")
    return register


def open_journal(folder: Folder) -> Journal:
    """The journal of a data folder, to write; it is taken to the present format. The caller sees to it that no node runs."""
    key = folder.journal_key(folder.settings().base_url)
    return Journal(folder.journal, key.name, key, Vocabulary.load().terms, folder.lookup_key(), must_exist=True)


def upgrade_journal(folder: Folder) -> None:
    """Takes a stopped node's journal to the present format."""
    folder.check_made()
    open_journal(folder).close()


def verify_journal(folder: Folder) -> list[str]:
    """Recomputes every commitment, leaf, and the root; checks the signature. ProofError names what does not hold."""
    folder.check_made()
    key = folder.journal_key(folder.settings().base_url)
    return verify_entries(folder, key.verifier)


def verify_entries(folder: Folder, key: VerifierKey, *, with_kept: bool = True) -> list[str]:
    """The same for whoever has the public key only; `with_kept` compares the checkpoint that is kept beside the database too."""
    kept = kept_note(folder.journal) if with_kept else ""  # first: a running node keeps it after the commit, so that the entries below are not older
    register = open_register(folder)
    try:
        register.connection.execute("BEGIN")  # one view of the journal, whatever is appended meanwhile
        tree, count = _recomputed(register)
        if not count:
            raise ProofError("entry-missing", "the journal has no entries, not even the operator's organisation")
        chain = Chain.leading(register.handovers(), key, authority_in(register))
        signed = chain.open(register.checkpoint())
        if (signed.size, signed.root) != (tree.size, tree.root):
            raise ProofError("wrong-root", f"the {tree.size} entries are not those that were signed at {signed.size}")
        chain.check_roots(register, count)
        if kept:
            last = chain.open(kept)
            if last.size > count or tree_root(register, last.size) != last.root:
                raise ProofError("wrong-root", f"the {count} entries do not continue those that were signed at {last.size}")
        check_state(register)
        damage = register.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            raise ProofError("damaged-file", f"the database is damaged: {damage}")
    except ProofError:
        raise
    except Exception as error:  # a damaged row may hold anything, and a damaged schema have any name
        raise ProofError("damaged-file", f"the database cannot be read: {error}") from error
    finally:
        register.connection.close()
    handed_over = [counted(len(chain.handovers), "hand-over")] if chain.handovers else []
    return [counted(count, "entry", "entries"), "commitments", "leaves", "root", "signature", *handed_over, "current state"]


def _recomputed(register: Register) -> tuple[CompactRange, int]:
    tree, count = CompactRange(), register.size()
    for start in range(0, count, BATCH):
        leaves = []
        stored = [each for at in range(start, min(start + BATCH, count), 256) for each in register.read(0, at, min(256, min(start + BATCH, count) - at))]
        for index, leaf in enumerate(stored, start=start):
            entry = _whole(register, index)
            if entry is None:
                raise ProofError("entry-missing", f"entry {index} has no sections")
            entry.verify()
            if entry.leaf_hash != leaf:
                raise ProofError("leaf-mismatch", f"entry {index} is not what stands in the tree")
            _check_head(register, index, entry)
            leaves.append(leaf)
        if len(leaves) != min(BATCH, count - start):
            raise ProofError("entry-missing", f"entries are missing between {start} and {start + BATCH}")
        tree, _ = tree.append(leaves)
    return tree, count


def _whole(register: Register, index: int) -> Entry | None:
    try:
        return register.entry(index)
    except Broken as error:
        raise ProofError("unreadable-section", error.detail) from error


def _check_head(register: Register, index: int, entry: Entry) -> None:
    """The columns that lists and reads select by say what the envelope says."""
    row = register.connection.execute("SELECT kind, record, version, action, recorded_at FROM entry WHERE idx = ?", (index,)).fetchone()
    envelope = json.loads(entry.body("envelope") or b"{}")
    told = tuple(envelope.get(name) for name in ("kind", "record", "version", "action", "time"))
    if row is None or tuple(row) != told:
        raise ProofError("entry-mismatch", f"entry {index} is filed as something else than its envelope says")


def rebuild_graph(folder: Folder, status: AbstractContextManager[Any] | None = None) -> int:
    """Makes the graph of a stopped node anew from the journal, and puts it in the place of the old one; how many entries it holds then."""
    fresh = folder.graph.with_name(f"fresh{TEMPORARY}")
    sweep(folder.graph.parent)
    with status or nullcontext():
        entries = renew(folder, open_register(folder), fresh)
    put_in_place(fresh, folder.graph)
    return entries
