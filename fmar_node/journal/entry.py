"""A journal entry, format v1: seven sections, each behind a salted commitment; the leaf holds the commitments alone.

Rules kept here:
- commitment = SHA-256(salt || body) with a salt of 16 random bytes, so that a short body (an MPAN has 13 digits)
  cannot be found by trying; the salt's length is fixed, so that no other cut of the same bytes commits alike;
- an absent section has a salt and an empty body: from outside it looks like any other;
- erasure destroys salt and body; the commitment stays, and with it leaf, root and every proof.

docs/formats/journal.md is the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar

import rfc8785

from fmar_node.journal.tree import HASH_BYTES, ProofError, leaf_hash

FORMAT = b"fmar-entry-v1\n"
SECTIONS = ("envelope", "actor", "open", "operational", "commercial", "personal", "submission")
SALT_BYTES = 16
LEAF_BYTES = len(FORMAT) + HASH_BYTES * len(SECTIONS)

T = TypeVar("T")


class EntryError(ProofError):
    """An entry that is not of format v1, or whose section is not what was committed to."""


def canonical(document: Mapping[str, Any]) -> bytes:
    """RFC 8785 canonical JSON: the body of every section but `submission`."""
    return rfc8785.dumps(dict(document))


def commit(salt: bytes, body: bytes) -> bytes:
    """The commitment to a body: SHA-256(salt || body), 32 bytes; `salt` has 16 bytes."""
    if len(salt) != SALT_BYTES:
        raise EntryError("malformed-salt", f"a salt has {SALT_BYTES} bytes")
    return sha256(salt + body).digest()


def leaf_data(commitments: Sequence[bytes]) -> bytes:
    """The leaf: format line and the seven commitments in the order of `SECTIONS`, 238 bytes."""
    if len(commitments) != len(SECTIONS) or any(len(each) != HASH_BYTES for each in commitments):
        raise EntryError("malformed-entry", f"an entry has {len(SECTIONS)} commitments of {HASH_BYTES} bytes")
    return FORMAT + b"".join(commitments)


def parse_leaf(data: bytes) -> tuple[bytes, ...]:
    """The seven commitments in a leaf; EntryError when it is not of format v1."""
    if len(data) != LEAF_BYTES or not data.startswith(FORMAT):
        raise EntryError("malformed-leaf", "not a leaf of format fmar-entry-v1")
    return tuple(data[at : at + HASH_BYTES] for at in range(len(FORMAT), LEAF_BYTES, HASH_BYTES))


@dataclass(frozen=True, slots=True)
class Sealed:
    """Sections with their salts and commitments, in the order of `SECTIONS`, before the entry has an index."""

    salts: tuple[bytes, ...]
    bodies: tuple[bytes, ...]
    commitments: tuple[bytes, ...]

    @property
    def leaf_data(self) -> bytes:
        return leaf_data(self.commitments)

    @property
    def leaf_hash(self) -> bytes:
        """What goes into the tree (RFC 6962)."""
        return leaf_hash(self.leaf_data)

    def at(self, index: int) -> Entry:
        """The entry that this becomes at a place of the journal."""
        return Entry(index, self.salts, self.bodies, self.commitments)


def seal(sections: Mapping[str, bytes], new_salt: Callable[[], bytes]) -> Sealed:
    """Commit to the bodies, those that are not given being empty; `new_salt` is called seven times."""
    if unknown := sections.keys() - set(SECTIONS):
        raise EntryError("unknown-section", f"an entry has no section {min(unknown)!r}")
    bodies = tuple(sections.get(section, b"") for section in SECTIONS)
    salts = tuple(new_salt() for _ in SECTIONS)
    return Sealed(salts, bodies, tuple(map(commit, salts, bodies)))


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the journal keeps it; salt and body of an erased section are None. `index` counts from 0."""

    index: int
    salts: tuple[bytes | None, ...]
    bodies: tuple[bytes | None, ...]
    commitments: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not len(self.salts) == len(self.bodies) == len(self.commitments) == len(SECTIONS):
            raise EntryError("malformed-entry", f"an entry has {len(SECTIONS)} sections")

    @property
    def leaf_data(self) -> bytes:
        return leaf_data(self.commitments)

    @property
    def leaf_hash(self) -> bytes:
        return leaf_hash(self.leaf_data)

    def salt(self, section: str) -> bytes | None:
        return self.salts[_place(section)]

    def body(self, section: str) -> bytes | None:
        """The section's bytes; empty when it was absent, None when it was erased."""
        return self.bodies[_place(section)]

    def commitment(self, section: str) -> bytes:
        return self.commitments[_place(section)]

    def is_erased(self, section: str) -> bool:
        return self.body(section) is None

    def erase(self, section: str) -> Entry:
        """The entry without the section's salt and body; its leaf is the same."""
        place = _place(section)
        return replace(self, salts=_without(self.salts, place), bodies=_without(self.bodies, place))

    def verify(self) -> None:
        """That each section that is still there is what was committed to; EntryError names the first that is not."""
        for section, salt, body, commitment in zip(SECTIONS, self.salts, self.bodies, self.commitments, strict=True):
            if salt is None and body is None:
                continue
            if salt is None or body is None or commit(salt, body) != commitment:
                raise EntryError("wrong-commitment", f"section {section} is not what entry {self.index} committed to")


def _without(values: tuple[T | None, ...], place: int) -> tuple[T | None, ...]:
    return (*values[:place], None, *values[place + 1 :])


def _place(section: str) -> int:
    if section not in SECTIONS:
        raise EntryError("unknown-section", f"an entry has no section {section!r}")
    return SECTIONS.index(section)
