"""Personal sections at rest: encrypted under a key of the record that they are about, so that destroying the key destroys them.

Rules kept here:
- the salt is encrypted with the body: with a salt in the open, a short body could be found by trying;
- a blob is bound to its entry and section and cannot be moved to another place;
- what is committed to, and so every leaf, root and receipt, is the plain body: encryption is the node's own affair.

A key lives in the journal's table `subject_key` and in the one `subject-keys.db` beside the backups, never in a
backup itself: once it has gone from both, every copy of the personal sections that was made with it is noise.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fmar_node.journal.entry import SALT_BYTES, SECTIONS

PERSONAL = ("personal", "submission")
"""The sections that hold personal values: what the tier holds, and the bytes as they were submitted."""
KEY_BYTES, NONCE_BYTES = 32, 12
NO_SALT = bytes(SALT_BYTES)
"""What stands in the place of a salt that is kept with its body, or was erased."""


@dataclass(frozen=True, slots=True)
class SubjectKey:
    """The key of one record's personal sections. Those of entries below `erased_before` are gone for good."""

    key: bytes
    erased_before: int = 0

    def opens(self, index: int) -> bool:
        return index >= self.erased_before

    def digest(self, data: bytes) -> bytes:
        """A keyed hash that nobody can try values against once the key is destroyed."""
        return hmac.digest(self.key, data, sha256)


def encrypt(key: bytes, index: int, section: str, salt: bytes, body: bytes) -> bytes:
    """What is stored of a section of the entry at `index`: nonce (12 bytes), then AES-256-GCM of salt and body."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, salt + body, _place(index, section))


def decrypt(key: bytes, index: int, section: str, blob: bytes) -> tuple[bytes, bytes] | None:
    """Salt and body; None where the key is not the one, or the blob was altered or moved."""
    try:
        plain = AESGCM(key).decrypt(blob[:NONCE_BYTES], blob[NONCE_BYTES:], _place(index, section))
    except (InvalidTag, ValueError):
        return None
    return plain[:SALT_BYTES], plain[SALT_BYTES:]


def at_rest(key: bytes, index: int, salts: Sequence[bytes], bodies: Sequence[bytes]) -> tuple[bytes, tuple[bytes, ...]]:
    """The columns of an entry's sections: all salts in one, and the bodies; personal ones encrypted, their salts with them."""
    stored, shown = list(bodies), list(salts)
    for section in PERSONAL:
        place = SECTIONS.index(section)
        stored[place], shown[place] = encrypt(key, index, section, salts[place], bodies[place]), NO_SALT
    return b"".join(shown), tuple(stored)


def _place(index: int, section: str) -> bytes:
    return index.to_bytes(8, "big") + section.encode()
