"""Signed notes and checkpoints against the examples of C2SP, golang.org/x/mod/sumdb/note and sum.golang.org."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.journal.checkpoint import (
    Checkpoint,
    Note,
    NoteError,
    Signature,
    SigningKey,
    VerifierKey,
    decode_base64,
    encode_base64,
    open_checkpoint,
    origin_of,
    sign_checkpoint,
)

# c2sp.org/signed-note, "Verifier keys", example
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = """\
This is an example message.

— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=
"""
# c2sp.org/signed-note, first example (no key is published for it)
POEM = """\
Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
"""
# golang.org/x/mod/sumdb/note, package documentation and tests
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_SEED = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM="
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
TEXT = """\
If you think cryptography is the answer to your problem,
then you don't know what your problem is.
"""
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
# the Go checksum database: a checkpoint of a real log, whose tree head c2sp.org/tlog-checkpoint shows too
GO_SUM = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_SUM_NOTE = """\
go.sum database tree
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— sum.golang.org Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""

ORIGIN = "register.example/journal"
HEAD = Checkpoint(ORIGIN, 3, bytes(range(32)))


def signing_key(name: str = ORIGIN, seed: int = 7) -> SigningKey:
    return SigningKey(name, Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32))


def test_the_published_key_verifies_the_published_note():
    key = VerifierKey.parse(FOO)

    assert Note.parse(FOO_NOTE).signers([key]) == [key]


def test_empty_lines_belong_to_the_text():
    note = Note.parse(POEM)

    assert note.text.endswith("\n\ned è subito sera.\n")
    assert note.signatures[0].id.hex() == "367ba04b"
    assert str(note) == POEM


def test_signing_gives_the_published_signature():
    key = SigningKey("PeterNeumann", Ed25519PrivateKey.from_private_bytes(base64.b64decode(PETER_SEED)))

    assert str(key.verifier) == PETER
    assert str(key.sign(TEXT)) == PETER_LINE


@pytest.mark.parametrize("known", [[PETER], [ENOCH], [PETER, ENOCH]])
def test_signatures_of_others_are_passed_over(known):
    keys = [VerifierKey.parse(each) for each in known]
    note = Note.parse(TEXT + "\n" + PETER_LINE + ENOCH_LINE)

    assert note.signers(keys) == keys


def test_a_note_that_no_known_key_signed_is_refused():
    note = Note.parse(TEXT + "\n" + ENOCH_LINE)

    with pytest.raises(NoteError, match="unknown-signer"):
        note.signers([VerifierKey.parse(PETER)])


def test_one_bad_signature_of_a_known_key_condemns_the_note():
    bad = PETER_LINE.replace("x08go/Z", "x08go/a")
    keys = [VerifierKey.parse(PETER), VerifierKey.parse(ENOCH)]

    for lines in (bad + ENOCH_LINE, ENOCH_LINE + bad, PETER_LINE + bad):
        with pytest.raises(NoteError, match="bad-signature"):
            Note.parse(TEXT + "\n" + lines).signers(keys)


@pytest.mark.parametrize("line", [PETER_LINE.replace("Peter", "Carmen"), PETER_LINE.replace("x08g", "xxxx")])
def test_name_and_key_id_must_both_be_those_of_the_key(line):
    with pytest.raises(NoteError, match="unknown-signer"):
        Note.parse(TEXT + "\n" + line).signers([VerifierKey.parse(PETER)])


@pytest.mark.parametrize(
    "note",
    [
        "",
        TEXT,
        TEXT + "\n",
        TEXT + "\n" + PETER_LINE[:-1],
        "\x01" + TEXT + "\n" + PETER_LINE,
        "\udcff" + TEXT + "\n" + PETER_LINE,
        TEXT + "\r\n" + PETER_LINE,
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Bad Name"),
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter\u00a0Neumann"),
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", "Peter+Neumann"),
        TEXT + "\n" + PETER_LINE.replace("PeterNeumann", ""),
        TEXT + "\n" + PETER_LINE.replace("—", "-"),
        TEXT + "\n" + PETER_LINE + "Unexpected line.\n",
        TEXT + "\n" + PETER_LINE * 101,
        TEXT + "\n— PeterNeumann x08gow==\n",
    ],
)
def test_a_malformed_note_is_refused(note):
    with pytest.raises(NoteError, match="malformed"):
        Note.parse(note)


def test_a_hundred_signatures_are_read():
    note = Note.parse(TEXT + "\n" + PETER_LINE * 100)

    assert len(note.signers([VerifierKey.parse(PETER)])) == 1


@pytest.mark.parametrize("text", [FOO, PETER, ENOCH, GO_SUM])
def test_a_verifier_key_prints_as_it_was_read(text):
    assert str(VerifierKey.parse(text)) == text


def test_a_mangled_verifier_key_is_refused():
    cuts = [PETER[start:end] for start in range(len(PETER)) for end in range(start, len(PETER) + 1)][:-1]
    cuts.remove(PETER)
    shifts = [PETER[:at] + chr(ord(PETER[at]) + 1) + PETER[at + 1 :] for at in range(len(PETER))]

    for text in cuts + shifts:
        with pytest.raises(NoteError):
            VerifierKey.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        PETER.replace("c74f20a3", "C74F20A3"),
        PETER + "\n",
    ],
)
def test_a_key_of_wrong_length_or_spelling_is_refused(text):
    with pytest.raises(NoteError, match="malformed"):
        VerifierKey.parse(text)


def test_a_key_of_another_type_is_refused():
    with pytest.raises(NoteError, match="not a key of signature type 0x01"):
        VerifierKey.parse("PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")


@pytest.mark.parametrize("text", ["AB==", "AAE", "AAE=\n", "AA E=", "AAE==", "A-E=", "é", "=AAE"])
def test_base64_has_one_spelling(text):
    with pytest.raises(NoteError, match="malformed-base64"):
        decode_base64(text)


def test_base64_of_nothing_is_nothing():
    assert (encode_base64(b""), decode_base64("")) == ("", b"")


def test_a_checkpoint_of_a_real_log_opens():
    head = open_checkpoint(GO_SUM_NOTE, "go.sum database tree", VerifierKey.parse(GO_SUM))

    assert head.size == 20_852_163
    assert head.root.hex() == "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"


def test_a_checkpoint_opens_as_it_was_signed():
    key = signing_key()

    note = sign_checkpoint(HEAD, key)

    assert note.startswith("register.example/journal\n3\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n— register")
    assert open_checkpoint(note, ORIGIN, key.verifier) == HEAD


def test_an_added_signature_changes_nothing():
    key, witness = signing_key(), signing_key("witness.example", 8)
    note = sign_checkpoint(HEAD, key) + str(witness.sign(HEAD.text))

    assert note == sign_checkpoint(HEAD, key, witness)
    assert open_checkpoint(note, ORIGIN, key.verifier) == HEAD
    assert Note.parse(note).signers([witness.verifier]) == [witness.verifier]


def test_a_key_of_another_type_may_sign_too():
    key = signing_key()
    cosignature = Signature("witness.example", b"\x00\x01\x02\x03", bytes(2428))

    assert open_checkpoint(sign_checkpoint(HEAD, key) + str(cosignature), ORIGIN, key.verifier) == HEAD


def test_the_wrong_key_opens_nothing():
    note = sign_checkpoint(HEAD, signing_key())

    with pytest.raises(NoteError, match="unknown-signer"):
        open_checkpoint(note, ORIGIN, signing_key(seed=8).verifier)


def test_no_key_opens_nothing():
    with pytest.raises(NoteError, match="unknown-signer"):
        open_checkpoint(sign_checkpoint(HEAD, signing_key()), ORIGIN)


def test_altered_text_is_refused():
    key = signing_key()
    note = sign_checkpoint(HEAD, key).replace("\n3\n", "\n4\n")

    with pytest.raises(NoteError, match="bad-signature"):
        open_checkpoint(note, ORIGIN, key.verifier)


def test_a_checkpoint_of_another_log_is_refused():
    key = signing_key()

    with pytest.raises(NoteError, match="wrong-origin"):
        open_checkpoint(sign_checkpoint(HEAD, key), "other.example/journal", key.verifier)


def test_extension_lines_are_kept():
    head = Checkpoint(ORIGIN, 0, bytes(32), ("first", "second line"))

    assert Checkpoint.parse(head.text) == head


@pytest.mark.parametrize(
    "text",
    [
        "o\n3\n",
        "\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n03\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n-3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n３\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n" + "9" * 5000 + "\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n3\nAAAA\n",
        "o\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n",
        "o\n3\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nx\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text):
    with pytest.raises(NoteError, match="malformed-checkpoint"):
        Checkpoint.parse(text)


@pytest.mark.parametrize("wrong", [("", 1, bytes(32)), ("o\np", 1, bytes(32)), ("o", -1, bytes(32)), ("o", 1, b"")])
def test_no_checkpoint_is_made_that_could_not_be_read(wrong):
    with pytest.raises(NoteError, match="malformed-checkpoint"):
        Checkpoint(*wrong)


@pytest.mark.parametrize("base", ["https://register.example", "https://register.example/", "http://register.example"])
def test_the_origin_is_the_address_without_scheme(base):
    assert origin_of(base) == "register.example/journal"


def test_a_key_name_has_no_spaces():
    with pytest.raises(NoteError, match="malformed-key-name"):
        VerifierKey("register example", bytes(32))
