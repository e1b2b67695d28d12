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

from fmar_node.access.authority import authorise, check_authorised, key_id_of
from fmar_node.access.caller import Role, caller_of
from fmar_node.access.jose import UnacceptableError
from fmar_node.access.key import PublicKey
from fmar_node.client import Profile
from fmar_node.errors import Broken, Forbidden, Malformed
from fmar_node.folder import Folder, destroy, overwrite, sync, write_private
from fmar_node.journal.checkpoint import Checkpoint, NoteError, SigningKey, VerifierKey, sign_checkpoint
from fmar_node.journal.handover import LOSS, ROTATION, Authority, Chain, Handover
from fmar_node.journal.journal import refused
from fmar_node.journal.register import Register, connect
from fmar_node.journal.tree import ProofError, tree_root
from fmar_node.kinds.organisation import registered_key
from fmar_node.vocabulary import Vocabulary


def rotate(folder: Folder, reason: str = ROTATION) -> Handover:
    """The journal goes on under a new key, and the old one is destroyed. The caller sees to it that no node runs.

    Malformed where the journal is empty, Broken where it does not verify under the old key.
    """
    old = folder.journal_key(folder.settings().base_url)
    with closing(_register(folder)) as connection:
        register = _reading(connection, folder)
        return _hand_over(folder, register, _head(register, old.verifier), old, reason)


def replace_lost(folder: Folder, lost: VerifierKey, operator: Profile) -> Handover:
    """The same where the private key is gone: `lost` is its public part, and the operator's application key authorises.

    Forbidden where that key is not one of an operator's organisation.
    """
    with closing(_register(folder)) as connection:
        register = _reading(connection, folder)
        head = _head(register, lost)
        if operator.key_id not in operator_keys(register, head.size):
            raise Forbidden("not-permitted", f"the key of {operator.client_id} is not one that the operator's organisation has registered")
        return _hand_over(folder, register, head, lost, LOSS, operator)


def finish(folder: Folder) -> VerifierKey | None:
    """Finishes a change of keys that was cut off after the journal took it, and clears away one that was cut off before.

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
        destroy(fresh)
        return None
    _install(folder)
    return handovers[-1].new


def authority_in(register: Register) -> Authority:
    """Says who may replace a lost key by the operator's keys that the journal itself records."""

    def check(handover: Handover) -> None:
        keys = operator_keys(register, handover.size)
        try:
            key = keys.get(key_id_of(handover.authorisation))
            if key is None:
                raise UnacceptableError("is not of a key that the operator had then")
            check_authorised(handover.authorisation, handover.text, key)
        except UnacceptableError as error:
            raise NoteError("loss-not-authorised", f"the authorisation of the key {handover.new.id.hex()} {error}") from error

    return check


def operator_authority(key: PublicKey) -> Authority:
    """Says it by a key of the operator that a verifier has from elsewhere."""

    def check(handover: Handover) -> None:
        try:
            check_authorised(handover.authorisation, handover.text, key)
        except UnacceptableError as error:
            raise NoteError("loss-not-authorised", f"the authorisation of the key {handover.new.id.hex()} {error}") from error

    return check


def operator_keys(register: Register, size: int) -> dict[str, PublicKey]:
    """The active application keys of operators as the first `size` entries have them, by key id."""
    found: dict[str, PublicKey] = {}
    for version in register.as_of("organisations", size - 1):
        if caller_of(version.document).has(Role.OPERATOR):
            for each in version.document.get("applicationKey", ()):
                key, _ = registered_key(each["publicKey"])
                if key and each["keyStatus"] == "ACTIVE":
                    found[key.thumbprint] = key
    return found


def _register(folder: Folder) -> sqlite3.Connection:
    connection = connect(folder.journal / "journal.db", writable=True)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    return connection


def _reading(connection: sqlite3.Connection, folder: Folder) -> Register:
    return Register(connection, Vocabulary.load().terms, folder.lookup_key())


def _head(register: Register, key: VerifierKey) -> Checkpoint:
    """The newest checkpoint, which is the journal's, and signed by the key that hands over."""
    if not register.size():
        raise Malformed("malformed-request", "the journal is empty: there is nothing to hand over")
    try:
        head = Chain.leading(register.handovers(), key).open(register.checkpoint())
        if head.size != register.size() or tree_root(register, head.size) != head.root:
            raise ProofError("wrong-root", f"the {register.size()} entries are not those that were signed at {head.size}")
    except ProofError as error:
        raise Broken("internal-error", f"the journal does not verify under the key {key.id.hex()}: {error}; nothing was signed") from error
    return head


def _hand_over(folder: Folder, register: Register, head: Checkpoint, old: SigningKey | VerifierKey, reason: str, operator: Profile | None = None) -> Handover:
    new, fresh = SigningKey(head.origin, Ed25519PrivateKey.generate()), _fresh(folder)
    if fresh.exists():
        destroy(fresh)
    signers = [old, new] if isinstance(old, SigningKey) else [new]
    outgoing = old.verifier if isinstance(old, SigningKey) else old
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
    key = folder.keys / "journal.key"
    if key.exists():
        overwrite(key)
    _fresh(folder).replace(key)
    sync(folder.keys)


def _fresh(folder: Folder) -> Path:
    return folder.keys / "journal.key.new"
