"""Hand-overs: how the journal's signing key gives way to its successor, and how a verifier follows from one to the next.

Rules kept here:
- the new key signs every hand-over, the old one too; where the old one was lost, an operator's application key
  authorises the new one in its stead;
- a hand-over names the tree of its moment: of what the old key has signed, nothing beyond that tree is continued;
- a verifier follows the chain from the key that it has pinned onwards, never back: an old key that leaks later
  must not speak for the journal again.

docs/formats/journal.md is the specification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from fmar_node.journal.checkpoint import (
    SIZE,
    Checkpoint,
    Note,
    NoteError,
    Signature,
    SigningKey,
    VerifierKey,
    decode_base64,
    encode_base64,
)
from fmar_node.journal.tree import HASH_BYTES, HashReader, tree_root

HEAD = "fmar-handover-v1"
ROTATION, LOSS, CUT = "rotation", "loss", "cut"
REASONS = (ROTATION, LOSS, CUT)


@dataclass(frozen=True, slots=True)
class Handover:
    """The signing key `old` gives way to `new` at the tree of `size` leaves with this root.

    `reason` is rotation (the old key is destroyed), loss (it was gone), or cut (the journal goes on from here, and
    what the old key may have signed beyond is not continued). `authorisation` goes with loss alone: a compact JWS.
    """

    origin: str
    size: int
    root: bytes
    old: VerifierKey
    new: VerifierKey
    reason: str
    signatures: tuple[Signature, ...] = ()
    authorisation: str = ""

    def __post_init__(self) -> None:
        if self.reason not in REASONS or len(self.root) != HASH_BYTES or self.size < 1:
            raise NoteError("malformed-handover", f"a reason is one of {', '.join(REASONS)}; a size is 1 or more; a root has {HASH_BYTES} bytes")
        if {self.old.name, self.new.name} != {self.origin} or self.old == self.new:
            raise NoteError("malformed-handover", "the keys are two, and named after the journal")
        if self.authorisation and self.reason != LOSS:
            raise NoteError("malformed-handover", "only the loss of a key is authorised by another one")

    @property
    def text(self) -> str:
        """The note text that is signed."""
        lines = (HEAD, self.origin, str(self.size), encode_base64(self.root), str(self.old), str(self.new), self.reason)
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        note = str(Note(self.text, self.signatures))
        return f"{note}\n{self.authorisation}\n" if self.authorisation else note

    def signed(self, *keys: SigningKey) -> Handover:
        return replace(self, signatures=tuple(key.sign(self.text) for key in keys))

    @classmethod
    def parse(cls, text: str) -> Handover:
        """The hand-over that prints as `text`, not yet verified; NoteError if it breaks the format."""
        blocks = text.removesuffix("\n").split("\n\n")
        if len(blocks) not in (2, 3) or not text.endswith("\n"):
            raise NoteError("malformed-handover", "a hand-over is a signed note, and where a key was lost one more line")
        note = Note.parse("\n\n".join(blocks[:2]) + "\n")
        lines = note.text.removesuffix("\n").split("\n")
        if len(lines) != 7 or lines[0] != HEAD or not SIZE.fullmatch(lines[2]):
            raise NoteError("malformed-handover", f"a hand-over is: {HEAD}, origin, size, root, old key, new key, reason, one line each")
        made = cls(
            lines[1], int(lines[2]), decode_base64(lines[3]), VerifierKey.parse(lines[4]), VerifierKey.parse(lines[5]), lines[6],
            note.signatures, blocks[2] if len(blocks) == 3 else "",
        )  # fmt: skip
        if str(made) != text:
            raise NoteError("malformed-handover", "there is one way to write a hand-over, and this is another one")
        return made

    def verify(self, authority: Authority) -> None:
        """NoteError unless those who must have signed it."""
        note = Note(self.text, self.signatures)
        for key in (self.new,) if self.reason == LOSS else (self.old, self.new):
            note.signers([key])
        if self.reason == LOSS:
            authority(self)


Authority = Callable[[Handover], None]
"""Says whether the operator has authorised the successor of a lost key: NoteError where not."""


def nobody(handover: Handover) -> None:
    """The authority of those who know no key of the operator."""
    raise NoteError("loss-not-authorised", f"the key {handover.old.id.hex()} was lost, and no key of the operator was given to believe its successor by")


def own_key(_: Handover) -> None:
    """The authority of the node itself, which holds the newest key."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Signing keys of one journal, oldest first, and the hand-overs between them: one fewer than keys."""

    keys: tuple[VerifierKey, ...]
    handovers: tuple[Handover, ...] = ()

    @classmethod
    def following(cls, handovers: Sequence[Handover], key: VerifierKey, authority: Authority = nobody) -> Chain:
        """The chain from a pinned key on. NoteError where a hand-over of it does not hold, or none knows the key."""
        start = next((place for place, each in enumerate(handovers) if each.old == key), len(handovers))
        if start == len(handovers) and handovers and handovers[-1].new != key:
            raise NoteError("unknown-key", "these hand-overs do not lead from this key to another one")
        return cls._linked(key, handovers[start:], authority)

    @classmethod
    def leading(cls, handovers: Sequence[Handover], key: VerifierKey, authority: Authority = own_key) -> Chain:
        """The whole chain, which has to lead to `key`. NoteError where it does not."""
        chain = cls._linked(handovers[0].old if handovers else key, handovers, authority)
        if chain.newest != key:
            raise NoteError("wrong-successor", f"the journal was handed over to the key {chain.newest.id.hex()}, and this is {key.id.hex()}")
        return chain

    @classmethod
    def _linked(cls, first: VerifierKey, handovers: Sequence[Handover], authority: Authority) -> Chain:
        keys, size = [first], 0
        for each in handovers:
            if each.old != keys[-1] or each.new in keys:
                raise NoteError("broken-chain", "a hand-over begins with the key that the one before ended with, and no key comes back")
            if each.reason == ROTATION and each.size < size:
                raise NoteError("broken-chain", f"a journal of {size} entries does not become one of {each.size} without a cut")
            each.verify(authority)
            keys.append(each.new)
            size = each.size
        return cls(tuple(keys), tuple(handovers))

    @property
    def newest(self) -> VerifierKey:
        return self.keys[-1]

    @property
    def origin(self) -> str:
        return self.newest.name

    def most(self, key: VerifierKey) -> int | None:
        """The largest tree that a key has signed of what the journal still is; None for the newest key."""
        return min((each.size for each in self.handovers[self.keys.index(key) :]), default=None)

    def open(self, note: str) -> Checkpoint:
        """The checkpoint that one of the keys has signed, and that the journal has continued; NoteError otherwise."""
        opened = Note.parse(note)
        head = Checkpoint.parse(opened.text)
        if head.origin != self.origin:
            raise NoteError("wrong-origin", "the checkpoint is of another log")
        limits = [self.most(key) for key in opened.signers(self.keys)]
        if not any(limit is None or head.size <= limit for limit in limits):
            raise NoteError("not-continued", f"the key handed over at {max(limit or 0 for limit in limits)} entries; this one of {head.size} is not continued")
        return head

    def check_roots(self, reader: HashReader, size: int) -> None:
        """NoteError where a hand-over names another tree than the journal's, as far as later cuts have left it."""
        for place, each in enumerate(self.handovers):
            if each.size <= min((later.size for later in self.handovers[place + 1 :]), default=size) and tree_root(reader, each.size) != each.root:
                raise NoteError("wrong-root", f"hand-over {place + 1} names another tree of {each.size} entries than this journal's")


def parse_handovers(text: str) -> list[Handover]:
    """The hand-overs of a file, oldest first, an empty line between them; NoteError if it breaks the format."""
    blocks = text.removesuffix("\n").split("\n\n") if text else []
    starts = [place for place, block in enumerate(blocks) if block.startswith(HEAD + "\n")]
    if blocks and (starts[:1] != [0] or not text.endswith("\n")):
        raise NoteError("malformed-handover", f"hand-overs begin with the line {HEAD} and end with a newline")
    ends = [*starts, len(blocks)][1:]
    return [Handover.parse("\n\n".join(blocks[start:end]) + "\n") for start, end in zip(starts, ends, strict=True)]


def print_handovers(handovers: Iterable[Handover]) -> str:
    """The inverse of `parse_handovers`."""
    return "\n".join(map(str, handovers))
