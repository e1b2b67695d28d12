"""Tiles and entry bundles: paths and contents as c2sp.org/tlog-tiles has them."""

from __future__ import annotations

import pytest

from fmar_node.journal.tile import Tile, TileError, bundle_bytes, parse_bundle, tile_bytes, tiles_of
from fmar_node.journal.tree import leaf_hash, node_hash, tree_root

PATHS = [
    ("0/x001/x234/067", Tile(0, 1_234_067)),
    ("0/000", Tile(0, 0)),
    ("1/x001/000", Tile(1, 1000)),
    ("0/x999/999", Tile(0, 999_999)),
    ("63/255.p/1", Tile(63, 255, 1)),
    ("0/x001/x234/067.p/255", Tile(0, 1_234_067, 255)),
    ("entries/x001/x234/067", Tile(None, 1_234_067)),
    ("entries/273.p/112", Tile(None, 273, 112)),
]


@pytest.mark.parametrize(("path", "tile"), PATHS)
def test_a_tile_and_its_path(path, tile):
    assert tile.path == path
    assert Tile.parse(path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "0",
        "0/",
        "/0/000",
        "0/0",
        "0/1000",
        "0/001/000",
        "0/x001/x000",
        "0/x000/001",
        "00/000",
        "64/000",
        "-1/000",
        "0/-01",
        "0/000.p/0",
        "0/000.p/01",
        "0/000.p/256",
        "0/000.p/",
        "0/000.p",
        "0/000/",
        "0/000\n",
        "0/٠٠٠",
        "data/000",
        "entries/000.p/999",
        "0/" + "x001/" * 7 + "000",
    ],
)
def test_any_other_path_is_refused(path):
    with pytest.raises(TileError):
        Tile.parse(path)


def test_the_tiles_of_the_published_example():
    tiles = list(tiles_of(70_000))

    assert [tile for tile in tiles if tile.width < 256] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert [tile for tile in tiles if tile.width == 256] == [*(Tile(0, index) for index in range(273)), Tile(1, 0)]


def test_a_tree_of_256_has_a_partial_tile_above():
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]


def test_the_empty_tree_has_no_tiles():
    assert list(tiles_of(0)) == []


@pytest.mark.parametrize("size", [1, 255, 256, 257, 600])
def test_every_tile_holds_what_the_tree_is_made_of(size, grown):
    tree = grown(size)

    for tile in tiles_of(size):
        data = tile_bytes(tree.shelf, tile, size)

        hashes = [data[at : at + 32] for at in range(0, len(data), 32)]
        assert hashes == tree.shelf.levels[8 * tile.level][tile.start : tile.start + tile.width]


def test_a_full_tile_hashes_to_its_place_in_the_tile_above(grown):
    tree = grown(600)
    lower, upper = tile_bytes(tree.shelf, Tile(0, 1), 600), tile_bytes(tree.shelf, Tile(1, 0, 2), 600)

    row = [lower[at : at + 32] for at in range(0, len(lower), 32)]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]

    assert len(lower) == 8192
    assert row[0] == upper[32:]
    assert tree_root(tree.shelf, 512) == node_hash(upper[:32], upper[32:])


def test_a_narrower_partial_tile_is_still_served(grown):
    assert tile_bytes(grown(10).shelf, Tile(0, 0, 7), 10) == b"".join(grown(7).leaves)


@pytest.mark.parametrize("tile", [Tile(0, 0), Tile(0, 0, 11), Tile(0, 1, 1), Tile(1, 0, 1), Tile(None, 0, 10)])
def test_nothing_beyond_the_signed_size_is_served(tile, grown):
    stored = grown(300)

    with pytest.raises(TileError, match="no-such-tile"):
        tile_bytes(stored.shelf, tile, 10)


def test_a_tile_with_a_gap_is_not_served(grown):
    with pytest.raises(TileError, match="hash-missing"):
        tile_bytes(grown(9).shelf, Tile(0, 0, 10), 10)


@pytest.mark.parametrize(("tile", "size", "is_there"), [(Tile(None, 1), 512, True), (Tile(None, 1), 511, False)])
def test_a_bundle_is_there_when_its_entries_are(tile, size, is_there):
    assert tile.is_in(size) is is_there


@pytest.mark.parametrize("entries", [[], [b""], [b"a", b"", b"ccc"], [b"x" * 65_535], [bytes(238)] * 256])
def test_a_bundle_and_its_entries(entries):
    data = bundle_bytes(entries)

    assert len(data) == sum(2 + len(entry) for entry in entries)
    assert parse_bundle(data) == entries


def test_a_length_is_two_bytes_the_higher_first():
    assert bundle_bytes([b"z" * 258])[:3] == b"\x01\x02z"


def test_bundled_entries_hash_to_the_tile_of_level_0(grown):
    entries = parse_bundle(bundle_bytes(b"entry %d" % index for index in range(5)))

    assert b"".join(map(leaf_hash, entries)) == tile_bytes(grown(5).shelf, Tile(0, 0, 5), 5)


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_cut_bundle_is_refused(cut):
    data = bundle_bytes([b"abc", b"defg"])
    kept = data[:-cut]

    if len(kept) == 5:
        assert parse_bundle(kept) == [b"abc"]
    else:
        with pytest.raises(TileError, match="malformed-bundle"):
            parse_bundle(kept)
