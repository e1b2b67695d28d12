"""The Merkle tree against the definition in RFC 6962 and the public vectors of transparency-dev/merkle."""

from __future__ import annotations

import base64
import json
import os
import pickle
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmar_node.journal.tree import (
    EMPTY_ROOT,
    CompactRange,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

SUITES = Path(os.environ.get("FMAR_SUITES", Path(__file__).parents[3] / "shared" / "suites"))
VECTORS = SUITES / "transparency-dev-merkle" / "testdata"
REPEATABLE = settings(derandomize=True, deadline=None, database=None)
LARGE = (65_535, 65_536, 65_537, 65_536 + 257)


# RFC 6962 section 2.1, word for word


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end])."""
    if end - start == 1:
        return leaf_hash(b"entry %d" % start)
    k = start + half(end - start)
    return node_hash(mth(start, k), mth(k, end))


def half(n: int) -> int:
    """The largest power of two smaller than n."""
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end])."""
    if end - start == 1:
        return []
    k = half(end - start)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, is_whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b)."""
    if m == end - start:
        return [] if is_whole else [mth(start, end)]
    k = half(end - start)
    if m <= k:
        return [*subproof(m, start, start + k, is_whole), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, False), mth(start, start + k)]


def spread(size: int) -> list[int]:
    """Places worth a look: both ends, the middle, and around powers of two."""
    near = {place for power in (2, 8, 64, 128, 256, 512, 32_768, 65_536) for place in (power - 1, power, power + 1)}
    return sorted(place for place in {0, 1, size // 3, size // 2, size - 2, size - 1, *near} if 0 <= place < size)


@pytest.fixture(scope="module")
def small(grown):
    return grown(300)


@pytest.fixture(scope="module")
def large(grown):
    return grown(max(LARGE))


def test_the_empty_tree_has_the_hash_of_nothing():
    assert CompactRange().root == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_published_hashes_of_leaf_and_node():
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert node_hash(b"N123", b"N456").hex() == "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"


@pytest.mark.parametrize("size", range(1, 301))
def test_roots_of_small_trees(size, small):
    grown, _ = CompactRange().append(small.leaves[:size])

    assert grown.root == tree_root(small.shelf, size) == mth(0, size)


@pytest.mark.parametrize("size", LARGE)
def test_roots_of_large_trees(size, large):
    assert tree_root(large.shelf, size) == mth(0, size)


@pytest.mark.parametrize("batch", [1, 2, 3, 64, 255, 256, 257])
def test_batches_of_any_size_store_the_same(batch, grown, small):
    tree = grown(300, batch)

    assert tree.range == small.range
    assert tree.shelf.levels == small.shelf.levels


def test_only_perfect_subtrees_of_stored_levels_are_stored(large):
    counts = {level: len(hashes) for level, hashes in large.shelf.levels.items()}

    assert counts == {0: 65_793, 8: 257, 16: 1}
    assert large.shelf.levels[8][256] == mth(65_536, 65_792)


def test_a_range_continues_from_what_is_stored(small):
    read = CompactRange.read(small.shelf, 200)

    continued, runs = read.append(small.leaves[200:])

    assert continued == small.range
    assert [(run.level, run.start, len(run.hashes)) for run in runs] == [(0, 200, 100), (8, 0, 1)]


def test_appending_nothing_changes_nothing(small):
    assert small.range.append([]) == (small.range, [])


@pytest.mark.parametrize("size", range(1, 301))
def test_inclusion_proofs_of_small_trees(size, small):
    for index in range(size) if size <= 40 else spread(size):
        proof = inclusion_proof(small.shelf, index, size)

        assert proof == path(index, 0, size)
        verify_inclusion(small.leaves[index], index, size, proof, mth(0, size))


@pytest.mark.parametrize("size", range(1, 301))
def test_consistency_proofs_of_small_trees(size, small):
    for old in range(1, size + 1) if size <= 40 else [place + 1 for place in spread(size)]:
        proof = consistency_proof(small.shelf, old, size)

        assert proof == subproof(old, 0, size, True)
        verify_consistency(old, size, proof, mth(0, old), mth(0, size))


@pytest.mark.parametrize("size", LARGE)
def test_proofs_of_large_trees(size, large):
    for place in spread(size):
        proof = inclusion_proof(large.shelf, place, size)
        growth = consistency_proof(large.shelf, place + 1, size)

        assert (proof, growth) == (path(place, 0, size), subproof(place + 1, 0, size, True))
        verify_inclusion(large.leaves[place], place, size, proof, mth(0, size))
        verify_consistency(place + 1, size, growth, mth(0, place + 1), mth(0, size))


@REPEATABLE
@given(st.data())
def test_a_proof_holds_for_no_other_index(small, data):
    size = data.draw(st.integers(2, 300))
    index, other = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    proof = inclusion_proof(small.shelf, index, size)

    with pytest.raises(ProofError):
        verify_inclusion(small.leaves[index], other, size, proof, mth(0, size))


@REPEATABLE
@given(st.data())
def test_an_altered_hash_breaks_any_proof(small, data):
    size = data.draw(st.integers(2, 300))
    old = data.draw(st.integers(1, size - 1))
    inclusion, consistency = inclusion_proof(small.shelf, old, size), consistency_proof(small.shelf, old, size)
    bit = data.draw(st.integers(0, 255))
    for proof in (inclusion, consistency):
        place = data.draw(st.integers(0, len(proof) - 1))
        proof[place] = (int.from_bytes(proof[place], "big") ^ 1 << bit).to_bytes(32, "big")

    with pytest.raises(ProofError, match="root-mismatch"):
        verify_inclusion(small.leaves[old], old, size, inclusion, mth(0, size))
    with pytest.raises(ProofError, match="root-mismatch"):
        verify_consistency(old, size, consistency, mth(0, old), mth(0, size))


def test_a_rewritten_past_is_not_consistent(small):
    forged, _ = CompactRange().append([leaf_hash(b"forged"), *small.leaves[1:100]])
    proof = consistency_proof(small.shelf, 100, 300)

    with pytest.raises(ProofError, match="older root"):
        verify_consistency(100, 300, proof, forged.root, mth(0, 300))


@pytest.mark.parametrize("index", [-1, 300, 2**64])
def test_no_proof_for_an_index_beyond_the_tree(index, small):
    with pytest.raises(ProofError, match="index-beyond-tree"):
        inclusion_proof(small.shelf, index, 300)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [(5, 4, "sizes-reversed"), (-1, 4, "sizes-reversed"), (0, 4, "old-tree-empty"), (0, 0, "old-tree-empty")],
)
def test_no_proof_of_impossible_growth(old, new, code, small):
    with pytest.raises(ProofError, match=code):
        consistency_proof(small.shelf, old, new)


def test_a_hash_that_is_not_stored_is_named(small):
    with pytest.raises(ProofError, match="hash-missing: level 0"):
        inclusion_proof(small.shelf, 299, 400)


def test_a_proof_error_survives_the_way_to_another_process():
    error = pickle.loads(pickle.dumps(ProofError("root-mismatch", "because")))

    assert (error.code, error.detail, str(error)) == ("root-mismatch", "because", "root-mismatch: because")


class Endless:
    """Has a hash at every place, as far as reading goes."""

    def __init__(self):
        self.counts = []

    def read(self, level, start, count):
        self.counts.append(count)
        return [bytes(32)] * count


@pytest.mark.parametrize("size", [999_999, 1_000_000, 2**20 - 1, 10**8 - 1])
def test_a_proof_reads_few_hashes(size):
    stored_levels = -(-size.bit_length() // 8)
    for place in spread(size)[1:]:
        inclusion, consistency = Endless(), Endless()

        inclusion_proof(inclusion, place, size)
        consistency_proof(consistency, place, size)

        assert max(inclusion.counts + consistency.counts) <= 256
        assert sum(inclusion.counts) <= 2 * 256 * stored_levels
        assert sum(consistency.counts) <= 3 * 256 * stored_levels


# transparency-dev/merkle, testdata


def vectors(kind: str) -> list:
    files = sorted((VECTORS / kind).rglob("*.json"))
    skipped = pytest.mark.skip(reason=f"public suite not found: {VECTORS}")
    return [pytest.param(file, id=str(file.relative_to(VECTORS))) for file in files] or [
        pytest.param(None, marks=skipped)
    ]


def verdict(verify, *given) -> bool:
    try:
        verify(*given)
    except ProofError:
        return False
    return True


@pytest.mark.parametrize("file", vectors("inclusion"))
def test_public_inclusion_vector(file):
    case = json.loads(file.read_text("utf-8"))
    leaf, root = base64.b64decode(case["leafHash"]), base64.b64decode(case["root"])
    proof = [base64.b64decode(each) for each in case["proof"] or []]

    holds = verdict(verify_inclusion, leaf, case["leafIdx"], case["treeSize"], proof, root)

    assert holds is not case["wantErr"]


@pytest.mark.parametrize("file", vectors("consistency"))
def test_public_consistency_vector(file):
    case = json.loads(file.read_text("utf-8"))
    roots = [base64.b64decode(case[name]) for name in ("root1", "root2")]
    proof = [base64.b64decode(each) for each in case["proof"] or []]

    holds = verdict(verify_consistency, case["size1"], case["size2"], proof, *roots)

    assert holds is not case["wantErr"]


@pytest.mark.skipif(not VECTORS.exists(), reason=f"public suite not found: {VECTORS}")
def test_the_public_suite_is_whole():
    counts = {kind: len(list((VECTORS / kind).rglob("*.json"))) for kind in ("inclusion", "consistency")}

    assert counts == {"inclusion": 98, "consistency": 98}
