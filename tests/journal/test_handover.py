"""Hand-overs of the signing key: followed from the pinned key on, forged ones refused, what was cut off does not count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.journal.checkpoint import Checkpoint, NoteError, SigningKey, sign_checkpoint
from fmar_node.journal.handover import CUT, LOSS, ROTATION, Chain, Handover, own_key, parse_handovers, print_handovers

ORIGIN = "node.example/journal"
A, B, C, D = (SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)) for seed in range(4))
ROOT = bytes(range(32))


def handed(old: SigningKey, new: SigningKey, size: int, reason: str = ROTATION, *signers: SigningKey, **given: str) -> Handover:
    made = Handover(ORIGIN, size, ROOT, old.verifier, new.verifier, reason, **given)  # type: ignore[arg-type]
    return made.signed(*(signers or (old, new)))


CHAIN = [handed(A, B, 10), handed(B, C, 30, LOSS, C, authorisation="a.b.c"), handed(C, D, 20, CUT)]


def checkpoint(size: int, *keys: SigningKey) -> str:
    return sign_checkpoint(Checkpoint(ORIGIN, size, ROOT), *keys)


def code_of(refused: Callable[[], object]) -> str:
    with pytest.raises(NoteError) as refusal:
        refused()
    return refusal.value.code


@pytest.mark.parametrize("handovers", [[], CHAIN[:1], CHAIN])
def test_what_is_printed_is_read(handovers: list[Handover]) -> None:
    assert parse_handovers(print_handovers(handovers)) == handovers


def test_a_chain_is_followed_from_the_pinned_key_on() -> None:
    chains = [Chain.following(CHAIN, key.verifier, own_key) for key in (A, B, C, D)]

    assert [[key.id for key in chain.keys] for chain in chains] == [[key.verifier.id for key in (A, B, C, D)[place:]] for place in range(4)]


def test_a_chain_is_not_followed_back() -> None:
    pinned = Chain.following(CHAIN, C.verifier)

    assert code_of(lambda: pinned.open(checkpoint(5, A))) == "unknown-signer"


def test_a_key_that_no_hand_over_names_is_unknown() -> None:
    stranger = SigningKey(ORIGIN, Ed25519PrivateKey.generate())

    assert code_of(lambda: Chain.following(CHAIN, stranger.verifier)) == "unknown-key"


@pytest.mark.parametrize(
    ("size", "signers", "counts"),
    [
        (10, (A,), True), (11, (A,), False), (20, (B,), True), (21, (B,), False), (30, (B, D), True),
        (20, (C,), True), (25, (C,), False), (99, (D,), True),
    ],
)  # fmt: skip
def test_a_key_speaks_for_the_tree_that_it_handed_over_and_that_was_left(size: int, signers: tuple[SigningKey, ...], counts: bool) -> None:
    chain = Chain.following(CHAIN, A.verifier, own_key)

    if counts:
        assert chain.open(checkpoint(size, *signers)).size == size
    else:
        assert code_of(lambda: chain.open(checkpoint(size, *signers))) == "not-continued"


def altered(change: Callable[[Handover], Handover], place: int = 0) -> list[Handover]:
    return [change(each) if number == place else each for number, each in enumerate(CHAIN)]


FORGED = {
    "another old key": (altered(lambda each: replace(each, old=D.verifier)), "unknown-signer"),
    "another root": (altered(lambda each: replace(each, root=bytes(32))), "bad-signature"),
    "another size": (altered(lambda each: replace(each, size=11)), "bad-signature"),
    "another reason": (altered(lambda each: replace(each, reason=CUT)), "bad-signature"),
    "a loss told as a rotation": (altered(lambda each: replace(each, reason=ROTATION, authorisation=""), 1), "unknown-signer"),
    "a rotation told as a loss": (altered(lambda each: replace(each, reason=LOSS, signatures=each.signatures[1:])), "bad-signature"),
    "not signed by the old key": ([handed(A, B, 10, ROTATION, B)], "unknown-signer"),
    "not signed by the new key": ([handed(A, B, 10, ROTATION, A)], "unknown-signer"),
    "signed by others": ([handed(A, B, 10, ROTATION, C, D)], "unknown-signer"),
    "swapped": ([CHAIN[1], CHAIN[0], CHAIN[2]], "broken-chain"),
    "one left out": ([CHAIN[0], CHAIN[2]], "broken-chain"),
    "a key that comes back": ([CHAIN[0], handed(B, A, 12)], "broken-chain"),
    "shorter without a cut": ([CHAIN[0], handed(B, C, 9)], "broken-chain"),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_chain_is_refused(forged: str) -> None:
    handovers, code = FORGED[forged]

    assert code_of(lambda: Chain.following(handovers, handovers[0].old, own_key)) == code


def test_the_loss_of_a_key_is_believed_by_an_operators_key_only() -> None:
    assert code_of(lambda: Chain.following(CHAIN, B.verifier)) == "loss-not-authorised"


def test_who_has_another_key_than_the_newest_is_told() -> None:
    assert code_of(lambda: Chain.leading(CHAIN, C.verifier)) == "wrong-successor"


TEXT = print_handovers(CHAIN)
MALFORMED = {
    "something before": "\n" + TEXT,
    "no line at the end": TEXT[:-1],
    "another head": TEXT.replace("fmar-handover-v1", "fmar-handover-v2", 1),
    "a line more": TEXT.replace("rotation\n", "rotation\nx\n", 1),
    "a size with a zero before it": TEXT.replace("\n10\n", "\n010\n", 1),
    "size nought": TEXT.replace("\n10\n", "\n0\n", 1),
    "an unknown reason": TEXT.replace("rotation", "whim", 1),
    "an authorisation without a loss": TEXT.replace("rotation", "cut", 1).replace("loss", "rotation", 1),
    "of another journal": TEXT.replace("fmar-handover-v1\nnode", "fmar-handover-v1\nmode", 1),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_what_is_not_written_as_specified_is_refused(text: str) -> None:
    assert code_of(lambda: parse_handovers(text)) in ("malformed-handover", "malformed-note", "malformed-base64")
