"""The journal's Merkle tree: RFC 6962 section 2.1 over SHA-256, as pure mathematics.

Rules kept here:
- a leaf is hashed behind 0x00 and a pair behind 0x01, so that neither can pass for the other;
- what is stored is the hashes of perfect subtrees at levels 0, 8, 16, 24, ... (level 8 index 3 covers the leaves
  768 to 1023); every hash in between is computed from at most 256 stored ones;
- proofs are made and verified by the same descent from the root, which is the RFC's recursive definition;
- a proof that does not hold raises `ProofError`, with a code and the reason; no return value needs testing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Protocol

HASH_BYTES = 32
STORED_EVERY = 8
EMPTY_ROOT = sha256(b"").digest()


class ProofError(ValueError):
    """Something of the journal does not hold. `code` is kebab-case, `detail` says what to a person."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class HashReader(Protocol):
    """A port to the stored hashes of perfect subtrees."""

    def read(self, level: int, start: int, count: int) -> list[bytes]:
        """The hashes `start` to `start + count - 1` of `level` (0, 8, 16, ...), 32 bytes each, `count` at most 256."""
        ...


class Run(NamedTuple):
    """Neighbouring hashes of one stored level: `hashes[0]` has the index `start`."""

    level: int
    start: int
    hashes: tuple[bytes, ...]


def leaf_hash(data: bytes) -> bytes:
    """MTH({d}) = SHA-256(0x00 || d) (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees: SHA-256(0x01 || left || right) (RFC 6962 section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """A tree reduced to what appending needs: its size, and the roots of the perfect subtrees that it consists of.

    `peaks` stand from left to right, one per 1-bit of `size`, the largest first.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    @classmethod
    def read(cls, reader: HashReader, size: int) -> CompactRange:
        """The range of the first `size` stored leaves."""
        return cls(size, tuple(_peaks(reader, 0, size)))

    @property
    def root(self) -> bytes:
        """The Merkle tree hash, 32 bytes; of the empty tree SHA-256 of nothing."""
        return _join(self.peaks) if self.peaks else EMPTY_ROOT

    def append(self, leaf_hashes: Sequence[bytes]) -> tuple[CompactRange, list[Run]]:
        """The range with further leaves, and the hashes that are to be stored for them. O(n), row by row."""
        peaks = dict(zip(_bits(self.size), self.peaks, strict=True))
        runs: list[Run] = []
        row, start, level = list(leaf_hashes), self.size, 0
        while row:
            if level % STORED_EVERY == 0:
                runs.append(Run(level, start, tuple(row)))
            if start % 2:
                row.insert(0, peaks.pop(level))
            if len(row) % 2:
                peaks[level] = row.pop()
            row, start, level = _paired(row), start // 2, level + 1
        size = self.size + len(leaf_hashes)
        return CompactRange(size, tuple(peaks[bit] for bit in _bits(size))), runs


def tree_root(reader: HashReader, size: int) -> bytes:
    """The root of the tree of the first `size` leaves."""
    return CompactRange.read(reader, size).root


def inclusion_proof(reader: HashReader, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]): from the leaf's sibling up to the root's child (RFC 6962 section 2.1.1)."""
    _need_leaf(index, size)
    return [_range_hash(reader, step.start, step.end) for step in _to_leaf(index, size)]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """That the leaf with hash `leaf` is number `index` of the tree with this size and root; ProofError if not."""
    _need_leaf(index, size)
    steps = _to_leaf(index, size)
    _need_hashes([leaf, *proof], len(steps) + 1)
    found = leaf
    for step, sibling in zip(steps, proof, strict=True):
        found = node_hash(sibling, found) if step.is_left else node_hash(found, sibling)
    if found != root:
        raise ProofError("root-mismatch", f"leaf {index} and its proof do not lead to the root of the tree of {size}")


def consistency_proof(reader: HashReader, old: int, new: int) -> list[bytes]:
    """PROOF(old, D[new]): that the tree of `old` leaves is the beginning of the tree of `new` (section 2.1.2).

    ProofError when `old` is 0 or above `new`; equal sizes have an empty proof.
    """
    _need_growth(old, new)
    steps = _to_boundary(old, new)
    seed = _seed_start(steps)
    lowest = [_range_hash(reader, seed, old)] if seed else []
    return lowest + [_range_hash(reader, step.start, step.end) for step in steps]


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """That the tree `new`, `new_root` was made from `old`, `old_root` by appending only; ProofError if not."""
    _need_growth(old, new)
    steps = _to_boundary(old, new)
    has_seed = _seed_start(steps) > 0
    _need_hashes(proof, len(steps) + has_seed)
    before = after = proof[0] if has_seed else old_root
    for step, sibling in zip(steps, proof[has_seed:], strict=True):
        if step.is_left:
            before = node_hash(sibling, before)
        after = node_hash(sibling, after) if step.is_left else node_hash(after, sibling)
    if before != old_root:
        raise ProofError("root-mismatch", f"the proof does not lead to the older root, of {old} leaves")
    if after != new_root:
        raise ProofError("root-mismatch", f"the proof does not lead to the newer root, of {new} leaves")


class _Step(NamedTuple):
    """A sibling passed on the way: the subtree over the leaves `start` to `end - 1`."""

    start: int
    end: int
    is_left: bool


def _to_leaf(index: int, size: int) -> list[_Step]:
    """The siblings between the leaf and the root, the lowest first."""
    steps, start, end = [], 0, size
    while end - start > 1:
        steps.append(_step(index + 1, start, end))
        start, end = _other_side(steps[-1], start, end)
    return steps[::-1]


def _to_boundary(old: int, new: int) -> list[_Step]:
    """The siblings between the root and the subtree that ends where the older tree ended, the lowest first."""
    steps, start, end = [], 0, new
    while end != old:
        steps.append(_step(old, start, end))
        start, end = _other_side(steps[-1], start, end)
    return steps[::-1]


def _step(boundary: int, start: int, end: int) -> _Step:
    """Split at the largest power of two below the width; the sibling is the half without leaf `boundary - 1`."""
    split = start + (1 << ((end - start - 1).bit_length() - 1))
    return _Step(split, end, False) if boundary <= split else _Step(start, split, True)


def _other_side(step: _Step, start: int, end: int) -> tuple[int, int]:
    return (step.end, end) if step.is_left else (start, step.start)


def _seed_start(steps: Sequence[_Step]) -> int:
    """Where the lowest common subtree starts; at 0 it is the older tree itself, whose root needs no proof."""
    return max((step.end for step in steps if step.is_left), default=0)


def _range_hash(reader: HashReader, start: int, end: int) -> bytes:
    """MTH(D[start:end]) for a range that the RFC's splitting leads to: `start` is aligned to its largest subtree."""
    return _join(list(_peaks(reader, start, end)))


def _peaks(reader: HashReader, start: int, end: int) -> Iterator[bytes]:
    """The roots of the perfect subtrees that make up the range, from left to right."""
    for level in _bits(end - start):
        yield _subtree_hash(reader, level, start >> level)
        start += 1 << level


def _subtree_hash(reader: HashReader, level: int, index: int) -> bytes:
    """The hash of the perfect subtree over the leaves index * 2**level onward: one read, at most 127 hashes."""
    above = level % STORED_EVERY
    count = 1 << above
    row = reader.read(level - above, index << above, count)
    if len(row) != count:
        raise ProofError("hash-missing", f"level {level - above} has {len(row)} hashes of {count} at {index << above}")
    while len(row) > 1:
        row = _paired(row)
    return row[0]


def _paired(row: list[bytes]) -> list[bytes]:
    return [node_hash(left, right) for left, right in zip(row[::2], row[1::2], strict=True)]


def _join(peaks: Sequence[bytes]) -> bytes:
    """The root over perfect subtrees of falling size."""
    root = peaks[-1]
    for peak in reversed(peaks[:-1]):
        root = node_hash(peak, root)
    return root


def _bits(number: int) -> list[int]:
    """The places of the 1-bits, the highest first."""
    return [place for place in reversed(range(number.bit_length())) if number >> place & 1]


def _need_leaf(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ProofError("index-beyond-tree", f"a tree of {size} has no leaf {index}")


def _need_growth(old: int, new: int) -> None:
    if not 0 <= old <= new:
        raise ProofError("sizes-reversed", f"a tree of {new} cannot follow a tree of {old}")
    if old == 0:
        raise ProofError("old-tree-empty", "every tree continues the empty one: there is nothing to prove")


def _need_hashes(hashes: Sequence[bytes], count: int) -> None:
    if len(hashes) != count or any(len(each) != HASH_BYTES for each in hashes):
        raise ProofError("proof-malformed", f"this proof consists of {count} hashes of {HASH_BYTES} bytes")
