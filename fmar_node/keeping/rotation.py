"""How the journal's signing key gives way to a new one, on a stopped node.

Rules kept here: the new private key is on disk before anything is signed with it, and the old one is destroyed after the
journal has taken the hand-over, so that a change that is cut off is either finished or has not happened; the newest
checkpoint is signed again by both, so that who knows either key can go on.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.access.authority import authorise
from fmar_node.client import Profile
from fmar_node.errors import Broken, Conflict, Forbidden, Malformed
from fmar_node.folder import Folder, destroy, overwrite, sync, write_private
from fmar_node.journal.checkpoint import SigningKey, VerifierKey, sign_checkpoint
from fmar_node.journal.handover import CUT, LOSS, ROTATION, Chain, Handover
from fmar_node.journal.journal import refused
from fmar_node.journal.register import Register, connect
from fmar_node.journal.tree import ProofError
from fmar_node.keeping.maintenance import verify_entries
from fmar_node.keeping.operators import operator_keys
from fmar_node.vocabulary import Vocabulary


def rotate(folder: Folder) -> Handover:
    """The journal goes on under a new key, and the old one is destroyed. The caller sees to it that no node runs.

    Malformed where the journal is empty, Broken where it does not verify under the old key.
    """
    old = folder.journal_key(folder.settings().base_url)
    with closing(_register(folder)) as connection:
        register = _reading(connection, folder)
        _verify(folder, register, old.verifier)
        return _hand_over(folder, register, old.verifier, ROTATION, old)


def replace_lost(folder: Folder, lost: VerifierKey, operator: Profile) -> Handover:
    """The same where the private key is gone: `lost` is its public part, and the operator's application key authorises.

    Conflict where the private key is not gone, Forbidden where the operator's key is not one of an operator's organisation.
    """
    check_lost(folder)
    with closing(_register(folder)) as connection:
        register = _reading(connection, folder)
        _verify(folder, register, lost)
        if operator.key_id not in operator_keys(register, register.size()):
            raise Forbidden("not-permitted", f"the key of {operator.client_id} is not one that the operator's organisation has registered")
        return _hand_over(folder, register, lost, LOSS, operator=operator)


def check_lost(folder: Folder) -> None:
    """Conflict where the private key is not gone."""
    if folder.journal_key_file.exists():
        raise Conflict("conflict", f"{folder.journal_key_file} is there, and not lost; where it is not this journal's key, move it away first")


def go_on_after_cut(folder: Folder) -> VerifierKey:
    """The new key of a journal whose newest entries were cut off. The caller has verified what is left, or will."""
    old = folder.journal_key(folder.settings().base_url)
    with closing(_register(folder)) as connection:
        return _hand_over(folder, _reading(connection, folder), old.verifier, CUT, old).new


def finish(folder: Folder) -> VerifierKey | None:
    """Finishes a change of keys that was cut off after the journal took it, and puts the key of one that was cut off before aside.

    The key that the journal goes on under now; None where nothing was left to finish.
    """
    fresh = _fresh(folder)
    if not fresh.exists():
        return None
    with closing(_register(folder)) as connection:
        handovers = _reading(connection, folder).handovers()
    made = fresh.read_bytes()
    public = Ed25519PrivateKey.from_private_bytes(made).public_key().public_bytes_raw() if len(made) == 32 else b""
    if not handovers or handovers[-1].new.public != public:
        fresh.replace(fresh.with_suffix(".unused"))  # not destroyed: a journal that lacks its log does not know of the change
        return None
    _install(folder)
    return handovers[-1].new


def _register(folder: Folder) -> sqlite3.Connection:
    connection = connect(folder.journal / "journal.db", writable=True)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def _reading(connection: sqlite3.Connection, folder: Folder) -> Register:
    return Register(connection, Vocabulary.load().terms, folder.lookup_key())


def _verify(folder: Folder, register: Register, key: VerifierKey) -> None:
    """A key is never given up for a journal that it cannot be shown to have signed, all of it."""
    if not register.size():
        raise Malformed("malformed-request", "the journal is empty: there is nothing to hand over")
    try:
        verify_entries(folder, key)
    except ProofError as error:
        detail = f"the journal does not verify under the key {key.id.hex()}: {error}; nothing was signed, no key destroyed; fmar check looks closer"
        raise Broken("internal-error", detail) from error


def _hand_over(
    folder: Folder, register: Register, outgoing: VerifierKey, reason: str, old: SigningKey | None = None, operator: Profile | None = None
) -> Handover:
    head = Chain.leading(register.handovers(), outgoing).open(register.checkpoint())
    new, fresh = SigningKey(head.origin, Ed25519PrivateKey.generate()), _fresh(folder)
    if fresh.exists():
        destroy(fresh)
    signers = [old, new] if old else [new]
    handover = Handover(head.origin, head.size, head.root, outgoing, new.verifier, reason).signed(*signers)
    if operator:
        handover = Handover.parse(f"{handover}\n{authorise(handover.text, operator.key)}\n")
    write_private(fresh, new.private.private_bytes_raw())
    note = sign_checkpoint(head, *reversed(signers))
    run = register.connection.execute
    try:
        run("BEGIN IMMEDIATE")
        run("INSERT INTO handover (note) VALUES (?)", (str(handover),))
        run("UPDATE checkpoint SET note = ? WHERE size = ?", (note, head.size))
        run("COMMIT")
    except sqlite3.OperationalError as error:
        destroy(fresh)
        raise refused(error) from error
    kept = folder.journal / "checkpoint"
    kept.with_suffix(".new").write_text(note, "utf-8")
    kept.with_suffix(".new").replace(kept)
    _install(folder)
    return handover


def _install(folder: Folder) -> None:
    """The new key in the old one's place, which is overwritten first."""
    if folder.journal_key_file.exists():
        overwrite(folder.journal_key_file)
    _fresh(folder).replace(folder.journal_key_file)
    sync(folder.keys)


def _fresh(folder: Folder) -> Path:
    return folder.journal_key_file.with_suffix(".key.new")
