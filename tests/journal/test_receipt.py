"""Receipts: one that was given out verifies with the key alone; whatever is altered in it is detected."""

from __future__ import annotations

import ast
import copy
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.journal import receipt as receipt_module
from fmar_node.journal.checkpoint import Checkpoint, SigningKey, decode_base64, encode_base64, sign_checkpoint
from fmar_node.journal.entry import SECTIONS, Entry, canonical, leaf_data, seal
from fmar_node.journal.receipt import MEMBERS, ReceiptError, build_receipt, parse_receipt, verify_receipt
from fmar_node.journal.tree import CompactRange, inclusion_proof, leaf_hash, node_hash

ORIGIN = "register.example/journal"
KEY = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
VERIFIER = str(KEY.verifier)
SEEN = ("open", "operational")
CHECKS = ["members", "sections", "commitments", "origin", "signature", "tree-size", "inclusion"]
SPECIFICATION = Path(__file__).parents[2] / "docs" / "formats" / "journal.md"


@pytest.fixture(scope="module")
def entry() -> Entry:
    """Entry 3, as an asset's first version; `commercial` is absent. Its salts are fixed."""
    bodies = {section: canonical({"section": section}) for section in SECTIONS if section != "commercial"}
    salts = iter(bytes(range(16 * at, 16 * at + 16)) for at in range(len(SECTIONS)))
    return seal(bodies, salts.__next__).at(3)


@pytest.fixture(scope="module")
def tree(grown, entry):
    """Five entries, of which number 3 is the one above."""
    tree = grown(3)
    tree.range, runs = tree.range.append([entry.leaf_hash, leaf_hash(b"later")])
    tree.shelf.keep(runs)
    return tree


@pytest.fixture(scope="module")
def checkpoint(tree) -> str:
    return sign_checkpoint(Checkpoint(ORIGIN, tree.range.size, tree.range.root), KEY)


@pytest.fixture(scope="module")
def proof(tree) -> list[bytes]:
    return inclusion_proof(tree.shelf, 3, 5)


@pytest.fixture
def receipt(entry, proof, checkpoint):
    return build_receipt(entry, SEEN, proof, checkpoint)


def refusal(receipt, key=VERIFIER, published=None) -> str:
    with pytest.raises(ReceiptError) as refused:
        verify_receipt(receipt, key, published)
    return refused.value.code


def test_a_receipt_verifies_with_the_key_alone(receipt):
    assert verify_receipt(receipt, VERIFIER) == CHECKS


def test_a_receipt_verifies_after_the_way_through_json(receipt):
    assert verify_receipt(parse_receipt(json.dumps(receipt)), VERIFIER) == CHECKS


def test_a_viewer_gets_the_sections_that_it_may_see_and_commitments_of_the_rest(receipt, entry):
    opened = [section for section, shown in receipt["sections"].items() if set(shown) == {"salt", "body"}]
    closed = [section for section, shown in receipt["sections"].items() if set(shown) == {"commitment"}]

    assert (opened, closed) == (list(SEEN), ["envelope", "actor", "commercial", "personal", "submission"])
    assert decode_base64(receipt["sections"]["open"]["body"]) == entry.body("open")
    assert encode_base64(entry.salt("personal")) not in str(receipt)


@pytest.mark.parametrize("seen", [(), SECTIONS])
def test_whatever_a_viewer_sees_verifies(seen, entry, proof, checkpoint):
    assert verify_receipt(build_receipt(entry, seen, proof, checkpoint), VERIFIER) == CHECKS


def test_a_receipt_given_out_before_an_erasure_still_verifies(entry, proof, checkpoint):
    before = build_receipt(entry, SECTIONS, proof, checkpoint)
    after = build_receipt(entry.erase("personal"), SECTIONS, proof, checkpoint)

    assert verify_receipt(before, VERIFIER) == verify_receipt(after, VERIFIER) == CHECKS
    assert after["sections"]["personal"] == {"commitment": encode_base64(entry.commitment("personal"))}


def test_an_erased_section_looks_like_one_that_is_not_shown(entry, proof, checkpoint):
    erased = build_receipt(entry.erase("personal"), SECTIONS, proof, checkpoint)
    hidden = build_receipt(entry, [name for name in SECTIONS if name != "personal"], proof, checkpoint)

    assert erased == hidden


def test_a_receipt_stays_good_after_a_witness_signed(receipt):
    witness = SigningKey("witness.example", Ed25519PrivateKey.from_private_bytes(bytes(32)))
    text = receipt["checkpoint"].partition("\n\n")[0] + "\n"
    receipt["checkpoint"] += str(witness.sign(text))

    assert verify_receipt(receipt, VERIFIER) == CHECKS


# tampering


def test_every_altered_byte_is_detected(entry, proof, checkpoint):
    original = build_receipt(entry, SEEN, proof, checkpoint)
    text = json.dumps(original, separators=(",", ":"), ensure_ascii=False).encode()
    unnoticed = []
    for place, byte in enumerate(text):
        for mask in (0x01, 0x20):
            altered = text[:place] + bytes([byte ^ mask]) + text[place + 1 :]
            try:
                verify_receipt(parse_receipt(altered), VERIFIER)
            except ReceiptError:
                continue
            unnoticed.append(altered)

    assert len(text) > 900
    assert unnoticed == []


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("seen", [(), SECTIONS])
def test_every_altered_bit_of_a_section_breaks_the_proof(section, seen, entry, proof, checkpoint):
    receipt = build_receipt(entry, seen, proof, checkpoint)
    shown = receipt["sections"][section]
    for member, value in list(shown.items()):
        for bit in range(8 * len(decode_base64(value))):
            data = bytearray(decode_base64(value))
            data[bit // 8] ^= 1 << bit % 8
            shown[member] = encode_base64(bytes(data))

            assert refusal(receipt, published=None) == "bad-proof"
        shown[member] = value
    assert verify_receipt(receipt, VERIFIER) == CHECKS


@pytest.mark.parametrize("member", MEMBERS)
def test_a_missing_member_is_refused(member, receipt):
    del receipt[member]

    assert refusal(receipt) == "malformed-receipt"


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("value", [None, True, 1.0, "1", 1, [], {}, [None], {"open": None}])
def test_a_member_of_another_kind_is_refused(member, value, receipt):
    receipt[member] = value

    assert refusal(receipt)


def test_true_is_not_the_number_one(entry):
    first = leaf_hash(b"first")
    head = Checkpoint(ORIGIN, 2, node_hash(first, entry.leaf_hash))
    receipt = build_receipt(replace(entry, index=1), SEEN, [first], sign_checkpoint(head, KEY))

    assert verify_receipt(receipt, VERIFIER) == CHECKS
    assert refusal({**receipt, "index": True}) == "malformed-receipt"


def test_a_further_member_is_refused(receipt):
    receipt["note"] = "trust me"

    assert refusal(receipt) == "malformed-receipt"


def test_a_missing_section_is_refused(receipt):
    del receipt["sections"]["personal"]

    assert refusal(receipt) == "missing-section"


def test_an_unknown_section_is_refused(receipt):
    receipt["sections"]["secret"] = receipt["sections"]["personal"]

    assert refusal(receipt) == "unknown-section"


@pytest.mark.parametrize("shown", [{}, {"salt": ""}, {"salt": "", "body": "", "commitment": ""}, {"comitment": ""}])
def test_a_section_is_either_opened_or_closed(shown, receipt):
    receipt["sections"]["open"] = shown

    assert refusal(receipt) == "malformed-section"


@pytest.mark.parametrize(
    ("shown", "code"),
    [
        ({"commitment": "AAAA"}, "wrong-commitment"),
        ({"salt": "AAAA", "body": ""}, "wrong-commitment"),
        ({"commitment": "not base64"}, "malformed-base64"),
        ({"commitment": 5}, "malformed-receipt"),
        ("AAAA", "malformed-receipt"),
    ],
)
def test_a_section_with_wrong_values_is_refused(shown, code, receipt):
    receipt["sections"]["open"] = shown

    assert refusal(receipt) == code


def test_salt_and_body_cut_elsewhere_are_refused(receipt):
    shown = receipt["sections"]["open"]
    joined = decode_base64(shown["salt"]) + decode_base64(shown["body"])
    receipt["sections"]["open"] = {"salt": encode_base64(joined[:15]), "body": encode_base64(joined[15:])}

    assert refusal(receipt) == "wrong-commitment"


def test_swapped_sections_are_refused(receipt):
    sections = receipt["sections"]
    sections["actor"], sections["personal"] = sections["personal"], sections["actor"]

    assert refusal(receipt) == "bad-proof"


@pytest.mark.parametrize("index", [-1, 0, 2, 4, 5, 10**30])
def test_another_index_is_refused(index, receipt):
    receipt["index"] = index

    assert refusal(receipt) == "bad-proof"


@pytest.mark.parametrize("size", [0, 4, 6])
def test_another_tree_size_is_refused(size, receipt):
    receipt["treeSize"] = size

    assert refusal(receipt) == "wrong-tree-size"


@pytest.mark.parametrize("change", [list.pop, list.reverse, lambda proof: proof.append(proof[0]), list.clear])
def test_another_proof_is_refused(change, receipt):
    change(receipt["inclusionProof"])

    assert refusal(receipt) == "bad-proof"


def test_another_origin_is_refused(receipt):
    receipt["origin"] = "other.example/journal"

    assert refusal(receipt) == "wrong-origin"


def test_the_receipt_of_another_journal_is_refused(entry, proof, tree):
    other = SigningKey("other.example/journal", KEY.private)
    checkpoint = sign_checkpoint(Checkpoint(other.name, tree.range.size, tree.range.root), other)
    receipt = build_receipt(entry, SEEN, proof, checkpoint)

    assert refusal(receipt) == "wrong-origin"
    assert refusal({**receipt, "origin": ORIGIN}) == "wrong-origin"
    assert verify_receipt(receipt, str(other.verifier)) == CHECKS


def test_another_key_is_refused(receipt):
    other = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)))

    assert refusal(receipt, key=str(other.verifier)) == "unknown-signer"
    assert refusal(receipt, key="no key") == "malformed-key"


def test_a_forged_checkpoint_is_refused(receipt, tree):
    forged, _ = CompactRange().append([leaf_hash(b"forged")] * 5)
    signature = receipt["checkpoint"].partition("\n\n")[2]
    receipt["checkpoint"] = Checkpoint(ORIGIN, 5, forged.root).text + "\n" + signature

    assert refusal(receipt) == "bad-signature"


def test_an_older_checkpoint_that_lacks_the_entry_is_refused(receipt, tree):
    older = CompactRange.read(tree.shelf, 3)
    receipt["checkpoint"] = sign_checkpoint(Checkpoint(ORIGIN, 3, older.root), KEY)

    assert refusal(receipt) == "wrong-tree-size"
    assert refusal({**receipt, "treeSize": 3}) == "bad-proof"


# with the leaf as it was published


def test_the_published_leaf_is_one_more_check(receipt, entry):
    assert verify_receipt(receipt, VERIFIER, entry.leaf_data) == [*CHECKS[:3], "published-leaf", *CHECKS[3:]]


@pytest.mark.parametrize("section", SEEN)
def test_the_published_leaf_names_the_altered_section(section, receipt, entry):
    receipt["sections"][section]["body"] = encode_base64(b"{}")

    with pytest.raises(ReceiptError, match=f"wrong-commitment: section {section} "):
        verify_receipt(receipt, VERIFIER, entry.leaf_data)


def test_a_published_leaf_of_no_known_format_is_refused(receipt):
    assert refusal(receipt, published=b"entry 3") == "leaf-mismatch"


# reading


@pytest.mark.parametrize("text", ["", "[]", "1", "{", '{"a":1,"a":1}', "[" * 100_000, b"\xff", '{"index":NaN'])
def test_what_is_no_receipt_is_refused(text):
    with pytest.raises(ReceiptError, match="malformed-receipt"):
        parse_receipt(text)


def test_a_member_that_stands_twice_is_refused(receipt):
    text = json.dumps(receipt)
    twice = text.replace('"treeSize"', '"index": 4, "treeSize"')

    assert parse_receipt(text) == receipt
    with pytest.raises(ReceiptError, match="malformed-receipt"):
        parse_receipt(twice)


def test_nothing_is_altered_by_verification(receipt):
    before = copy.deepcopy(receipt)

    verify_receipt(receipt, VERIFIER)

    assert receipt == before


def test_the_verifier_can_be_read_in_one_sitting():
    folder = Path(receipt_module.__file__).parent
    sources = {name: (folder / f"{name}.py").read_text("utf-8") for name in ("receipt", "entry", "checkpoint", "handover", "tree")}
    nodes = [node for source in sources.values() for node in ast.walk(ast.parse(source))]
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    modules |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}

    outside = {name for name in modules if name.split(".")[0] in ("fmar_node", "cryptography", "rfc8785", "pyoxigraph")}
    assert outside == {
        "cryptography.exceptions",
        "cryptography.hazmat.primitives.asymmetric.ed25519",
        "rfc8785",
        "fmar_node.journal.checkpoint",
        "fmar_node.journal.entry",
        "fmar_node.journal.handover",
        "fmar_node.journal.tree",
    }
    assert sum(source.count("\n") for source in sources.values()) < 1000


# docs/formats/journal.md


@pytest.fixture(scope="module")
def example() -> str:
    return SPECIFICATION.read_text("utf-8").partition("## Example")[2]


def hexes(example: str, after: str) -> list[bytes]:
    """The indented hexadecimal lines that follow the paragraph with these words."""
    lines = example.partition(after)[2].partition("\n\n")[2].partition("\n\n")[0].split("\n")
    return [bytes.fromhex(line) for line in lines if re.fullmatch(r"    [0-9a-f]+", line)]


def documented_entry(example: str) -> Entry:
    rows = re.findall(r"^\| `(\w+)` \| `([0-9a-f]{32})` \| (?:`(.*)`)? \| `([0-9a-f]{64})` \|$", example, re.M)
    assert [row[0] for row in rows] == list(SECTIONS)
    salts, bodies = iter(bytes.fromhex(row[1]) for row in rows), {row[0]: row[2].encode() for row in rows}
    sealed = seal(bodies, salts.__next__)
    assert [each.hex() for each in sealed.commitments] == [row[3] for row in rows]
    return sealed.at(1)


def test_the_documented_hashes_are_right(example):
    entry = documented_entry(example)
    before, after = hexes(example, "Entries 0 and 2")
    pair = node_hash(before, entry.leaf_hash)

    assert hexes(example, "Leaf data:") == [leaf_data(entry.commitments)]
    assert hexes(example, "Leaf hash:") == [entry.leaf_hash]
    assert hexes(example, "The subtree of entries 0 and 1") == [pair, node_hash(pair, after)]


def test_the_documented_bodies_are_canonical(example):
    entry = documented_entry(example)

    bodies = [entry.body(section) for section in SECTIONS[:-1] if entry.body(section)]
    assert bodies == [canonical(json.loads(body)) for body in bodies]
    assert len(bodies) == 5


def test_the_documented_receipt_is_what_the_node_would_give(example):
    entry, proof = documented_entry(example), hexes(example, "Entries 0 and 2")
    [seed] = hexes(example, "The private key")
    key = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(seed))
    root = hexes(example, "The subtree of entries 0 and 1")[-1]
    note, receipt = re.findall(r"```(?:json)?\n(.*?)```", example, re.S)

    assert note == sign_checkpoint(Checkpoint(ORIGIN, 3, root), key)
    assert parse_receipt(receipt) == build_receipt(entry, SEEN, proof, note)
    assert f"\n    {key.verifier}\n" in example
    assert verify_receipt(parse_receipt(receipt), str(key.verifier)) == CHECKS
