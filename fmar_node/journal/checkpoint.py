"""Checkpoints: the signed heads of the journal (C2SP tlog-checkpoint in C2SP signed-note v1.0.0).

Rules kept here:
- a note's text counts only after a signature of a known key was verified;
- signatures of unknown keys are passed over, so that witnesses may add theirs; a signature that claims a known
  key and does not verify condemns the whole note;
- there is one way to write everything: base64 with spare bits set, upper-case key ids, leading zeros are refused;
- Ed25519 (signature type 0x01) is the only kind of key.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fmar_node.journal.tree import HASH_BYTES, ProofError

ED25519 = b"\x01"
KEY_ID_BYTES = 4
MOST_SIGNATURES = 100
DASH = "—"
SIZE = re.compile(r"0|[1-9][0-9]{0,19}")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\ud800-\udfff]")


class NoteError(ProofError):
    """A note, key or checkpoint that is malformed, signed by nobody known, wrongly signed, or of another log."""


def encode_base64(data: bytes) -> str:
    """Standard base64 with padding (RFC 4648 section 4)."""
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str) -> bytes:
    """The inverse of `encode_base64`, for its very output only; NoteError otherwise."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if encode_base64(data) != text:
        raise NoteError("malformed-base64", "not the base64 text of anything")
    return data


def origin_of(base_url: str) -> str:
    """The origin of a node's journal, and the name of its key: `https://n.example` has `n.example/journal`."""
    return base_url.split("://", 1)[-1].rstrip("/") + "/journal"


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note: `id` is the 4-byte key id, `raw` the signature itself (64 bytes for Ed25519)."""

    name: str
    id: bytes
    raw: bytes

    def __str__(self) -> str:
        return f"{DASH} {self.name} {encode_base64(self.id + self.raw)}\n"

    @classmethod
    def parse(cls, line: str) -> Signature:
        """A line without its newline."""
        parts = line.split(" ")
        if len(parts) != 3 or parts[0] != DASH:
            raise NoteError("malformed-note", f"a signature line is: {DASH} <key name> <base64>")
        data = decode_base64(parts[2])
        if len(data) <= KEY_ID_BYTES:
            raise NoteError("malformed-note", "a signature line without a signature")
        return cls(_key_name(parts[1]), data[:KEY_ID_BYTES], data[KEY_ID_BYTES:])


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name, printed `<name>+<key id in hex>+<base64 of type and key>`. `public` is 32 bytes."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _key_name(self.name)
        if len(self.public) != 32:
            raise NoteError("malformed-key", "an Ed25519 public key has 32 bytes")

    @property
    def id(self) -> bytes:
        """The first 4 bytes of SHA-256(name || newline || type || key)."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:KEY_ID_BYTES]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encode_base64(ED25519 + self.public)}"

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """The key that prints as `text`; NoteError if there is none, or if it is not of type Ed25519."""
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise NoteError("malformed-key", "a verifier key is: <name>+<key id>+<base64>")
        data = decode_base64(parts[2])
        if data[:1] != ED25519:
            raise NoteError("malformed-key", "not a key of signature type 0x01 (Ed25519)")
        key = cls(parts[0], data[1:])
        if str(key) != text:
            raise NoteError("malformed-key", "the key id does not belong to this name and key")
        return key

    def has_signed(self, text: str, signature: Signature) -> bool:
        """False when the signature is another key's; NoteError when it claims this key and does not hold."""
        if (signature.name, signature.id) != (self.name, self.id):
            return False
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature.raw, text.encode())
        except InvalidSignature:
            raise NoteError("bad-signature", f"the signature of {self.name} is not one of this text") from None
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its name; `verifier` is what to publish of it."""

    name: str
    private: Ed25519PrivateKey

    @property
    def verifier(self) -> VerifierKey:
        return VerifierKey(self.name, self.private.public_key().public_bytes_raw())

    def sign(self, text: str) -> Signature:
        """A signature over a note's text, which ends in a newline."""
        key = self.verifier
        return Signature(key.name, key.id, self.private.sign(text.encode()))


@dataclass(frozen=True, slots=True)
class Note:
    """A text, newline at its end, and the signatures below it, not yet verified."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    @classmethod
    def parse(cls, note: str) -> Note:
        """The note that prints as `note`; NoteError if it breaks the format."""
        body, blank, lines = note.rpartition("\n\n")
        if not blank or not lines.endswith("\n") or CONTROL.search(note):
            raise NoteError("malformed-note", "a note is text, an empty line, signature lines; no control characters")
        signatures = lines[:-1].split("\n")
        if len(signatures) > MOST_SIGNATURES:
            raise NoteError("malformed-note", f"more than {MOST_SIGNATURES} signatures")
        return cls(body + "\n", tuple(map(Signature.parse, signatures)))

    def signers(self, keys: Sequence[VerifierKey]) -> list[VerifierKey]:
        """Which of `keys` signed, at least one; NoteError if none did, or if a signature of one of them is bad."""
        signed = [key for key in keys if [each for each in self.signatures if key.has_signed(self.text, each)]]
        if not signed:
            raise NoteError("unknown-signer", "none of the known keys has signed this")
        return signed


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a tree: which log, how many leaves, the root hash (32 bytes). Ours have no extension lines."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.root) != HASH_BYTES or self.size < 0:
            raise NoteError("malformed-checkpoint", f"a size is not negative, a root hash has {HASH_BYTES} bytes")
        if any(not line or "\n" in line or CONTROL.search(line) for line in (self.origin, *self.extensions)):
            raise NoteError("malformed-checkpoint", "a line is not empty and has no control characters")

    @property
    def text(self) -> str:
        """The note text that is signed."""
        return "\n".join((self.origin, str(self.size), encode_base64(self.root), *self.extensions)) + "\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint with this note text; NoteError if it breaks the format."""
        lines = text.removesuffix("\n").split("\n")
        if len(lines) < 3 or not SIZE.fullmatch(lines[1]):
            raise NoteError("malformed-checkpoint", "a checkpoint is: origin, size, root hash, one line each")
        return cls(lines[0], int(lines[1]), decode_base64(lines[2]), tuple(lines[3:]))


def sign_checkpoint(checkpoint: Checkpoint, *keys: SigningKey) -> str:
    """The signed note. The caller answers for never signing two heads that contradict each other."""
    return str(Note(checkpoint.text, tuple(key.sign(checkpoint.text) for key in keys)))


def open_checkpoint(note: str, origin: str, *keys: VerifierKey) -> Checkpoint:
    """The checkpoint of the log `origin` that one of `keys` has signed; NoteError otherwise."""
    opened = Note.parse(note)
    checkpoint = Checkpoint.parse(opened.text)
    if checkpoint.origin != origin:
        raise NoteError("wrong-origin", "the checkpoint is of another log")
    opened.signers(keys)
    return checkpoint


def _key_name(name: str) -> str:
    if not name or "+" in name or CONTROL.search(name) or any(character.isspace() for character in name):
        raise NoteError("malformed-key-name", "a key name is not empty and has neither spaces nor plus signs")
    return name
