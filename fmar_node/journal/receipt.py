"""Receipts: that an entry stands in the journal, for anybody to verify offline with the journal's public key.

Rules kept here:
- a section is opened whole (salt and body) or stays closed (commitment); there is nothing in between;
- no member of a receipt goes unverified: one that the format does not have is refused;
- verification reads nothing but the receipt and the key, and imports nothing but the standard library,
  `cryptography` (Ed25519) and the journal's own formats: tree.py, checkpoint.py, handover.py and entry.py.

docs/formats/journal.md is the specification.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fmar_node.journal.checkpoint import (
    Checkpoint,
    Note,
    NoteError,
    VerifierKey,
    decode_base64,
    encode_base64,
)
from fmar_node.journal.entry import SECTIONS, Entry, commit, leaf_data, parse_leaf
from fmar_node.journal.handover import Authority, Chain, nobody, parse_handovers
from fmar_node.journal.tree import HASH_BYTES, ProofError, leaf_hash, verify_inclusion

MEMBERS = ("origin", "index", "sections", "treeSize", "inclusionProof", "checkpoint")
OPENED = {"salt", "body"}
CLOSED = {"commitment"}
JSON_NAMES: Mapping[type, str] = {dict: "object", list: "array", str: "string", int: "integer"}


class ReceiptError(ProofError):
    """The first thing of a receipt that does not hold; `code` names the check."""


def build_receipt(entry: Entry, seen: Collection[str], proof: Sequence[bytes], checkpoint: str) -> dict[str, Any]:
    """The receipt of `entry` for a viewer who may see the sections `seen` in full.

    `checkpoint` is the signed note, `proof` the inclusion proof in the tree of its size.
    Erased sections stay closed, as those do that the viewer may not see: the two look the same.
    """
    head = Checkpoint.parse(Note.parse(checkpoint).text)
    return {
        "origin": head.origin,
        "index": entry.index,
        "sections": {section: _shown(entry, section, section in seen) for section in SECTIONS},
        "treeSize": head.size,
        "inclusionProof": [encode_base64(each) for each in proof],
        "checkpoint": checkpoint,
    }


def parse_receipt(text: str | bytes) -> dict[str, Any]:
    """The receipt in a JSON text; ReceiptError if it is not one object, or names a member twice."""
    try:
        receipt = json.loads(text, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError) as error:
        raise ReceiptError("malformed-receipt", f"not the JSON text of a receipt: {error}") from None
    _need(receipt, dict, "receipt")
    members: dict[str, Any] = receipt
    return members


def verify_receipt(
    receipt: Mapping[str, Any], verifier_key: str, published: bytes | None = None, handovers: str | None = None, authority: Authority = nobody
) -> list[str]:
    """The names of the checks passed, in order; ReceiptError names the first that fails.

    `verifier_key` is `<origin>+<key id>+<base64>`, from a source other than the receipt. With the entry's leaf data
    as the journal published it (from an entry bundle), an altered section is named instead of failing the proof.
    With the journal's hand-overs, checkpoints of the key's successors count too, and those that the journal has not
    continued no longer do; `authority` says who may replace a lost key.
    """
    _need_members(receipt)
    commitments = _commitments(receipt["sections"])
    passed = ["members", "sections", "commitments"]
    if published is not None:
        _need_published(commitments, published)
        passed.append("published-leaf")
    head = _head(receipt, verifier_key, handovers, authority)
    if receipt["treeSize"] != head.size:
        raise ReceiptError("wrong-tree-size", "treeSize is not the size of the checkpoint's tree")
    proof = [_hash(each, "inclusionProof", "bad-proof") for each in receipt["inclusionProof"]]
    try:
        verify_inclusion(leaf_hash(leaf_data(commitments)), receipt["index"], head.size, proof, head.root)
    except ProofError as error:
        raise ReceiptError("bad-proof", str(error)) from None
    followed = [] if handovers is None else ["hand-overs"]
    return [*passed, "origin", *followed, "signature", "tree-size", "inclusion"]


def _shown(entry: Entry, section: str, is_seen: bool) -> dict[str, str]:
    salt, body = entry.salt(section), entry.body(section)
    if not is_seen or salt is None or body is None:
        return {"commitment": encode_base64(entry.commitment(section))}
    return {"salt": encode_base64(salt), "body": encode_base64(body)}


def _need_members(receipt: Mapping[str, Any]) -> None:
    if set(receipt) != set(MEMBERS):
        raise ReceiptError("malformed-receipt", f"the members of a receipt are {', '.join(MEMBERS)}")
    for name, kind in zip(MEMBERS, (str, int, dict, int, list, str), strict=True):
        _need(receipt[name], kind, name)


def _commitments(sections: Mapping[str, Any]) -> list[bytes]:
    if unknown := sections.keys() - set(SECTIONS):
        raise ReceiptError("unknown-section", f"an entry has no section {min(unknown)!r}")
    if missing := [section for section in SECTIONS if section not in sections]:
        raise ReceiptError("missing-section", f"section {missing[0]} is neither opened nor closed")
    return [_commitment(section, sections[section]) for section in SECTIONS]


def _commitment(section: str, shown: Any) -> bytes:
    """The commitment that a section shows, or that follows from its salt and body."""
    _need(shown, dict, section)
    if set(shown) == CLOSED:
        return _hash(shown["commitment"], section, "wrong-commitment")
    if set(shown) != OPENED:
        raise ReceiptError("malformed-section", f"section {section} has either salt and body, or a commitment")
    salt, body = _bytes(shown["salt"], section), _bytes(shown["body"], section)
    try:
        return commit(salt, body)
    except ProofError as error:
        raise ReceiptError("wrong-commitment", f"section {section}: {error.detail}") from None


def _need_published(commitments: Sequence[bytes], published: bytes) -> None:
    try:
        expected = parse_leaf(published)
    except ProofError as error:
        raise ReceiptError("leaf-mismatch", error.detail) from None
    for section, ours, theirs in zip(SECTIONS, commitments, expected, strict=True):
        if ours != theirs:
            raise ReceiptError("wrong-commitment", f"section {section} is not what the journal committed to")


def _head(receipt: Mapping[str, Any], verifier_key: str, handovers: str | None, authority: Authority) -> Checkpoint:
    """The signed tree head of the log that the key is named after."""
    try:
        key = VerifierKey.parse(verifier_key)
        if key.name != receipt["origin"]:
            raise NoteError("wrong-origin", "the receipt is of another journal than the key")
        return Chain.following(parse_handovers(handovers or ""), key, authority).open(receipt["checkpoint"])
    except ProofError as error:
        raise ReceiptError(error.code, error.detail) from None


def _hash(text: Any, where: str, code: str) -> bytes:
    data = _bytes(text, where)
    if len(data) != HASH_BYTES:
        raise ReceiptError(code, f"{where}: a hash has {HASH_BYTES} bytes")
    return data


def _bytes(text: Any, where: str) -> bytes:
    _need(text, str, where)
    try:
        return decode_base64(text)
    except ProofError as error:
        raise ReceiptError(error.code, f"{where}: {error.detail}") from None


def _need(value: Any, kind: type, where: str) -> None:
    """`true` is no integer here."""
    if type(value) is not kind:
        raise ReceiptError("malformed-receipt", f"{where} is not a JSON {JSON_NAMES[kind]}")


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice in one object")
    return members
