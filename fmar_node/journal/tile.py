"""The tree and its entries as static files: C2SP tlog-tiles.

Rules kept here:
- a tile is 256 neighbouring hashes of a stored level (tile level L is tree level 8 * L), 8,192 bytes; the last one
  of a level may be partial and then has its width in its path;
- entry bundles follow the tiles of level 0 and hold the leaf data behind a 16-bit big-endian length;
- every tile has one path, and nothing is served that the tree of the signed size does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fmar_node.journal.tree import HASH_BYTES, STORED_EVERY, HashReader, ProofError

TILE_WIDTH = 256
HIGHEST_LEVEL = 63
PATH = re.compile(r"(entries|[0-9]{1,2})/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([0-9]{1,3}))?")


class TileError(ProofError):
    """A path that no tile has, a tile that the tree does not have, or bytes that are no bundle."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile of hashes at tile `level` 0 to 63, or with level None a bundle of entries; partial below width 256."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not (0 <= (self.level or 0) <= HIGHEST_LEVEL and self.index >= 0 and 1 <= self.width <= TILE_WIDTH):
            raise TileError("no-such-tile", "a level is 0 to 63, a width 1 to 256")

    @property
    def start(self) -> int:
        """The index of the first hash (or entry) within the level."""
        return self.index * TILE_WIDTH

    @property
    def path(self) -> str:
        """Below `<prefix>/tile/`, e.g. `0/x001/x234/067` or `entries/000.p/3`."""
        level = "entries" if self.level is None else str(self.level)
        suffix = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"{level}/{_elements(self.index)}{suffix}"

    @classmethod
    def parse(cls, path: str) -> Tile:
        """The tile with this path; TileError if none has it."""
        found = PATH.fullmatch(path)
        if not found:
            raise TileError("malformed-tile-path", "a tile path is <level>/<index>[.p/<width>]")
        level, index, width = found.groups()
        digits = index.replace("/", "").replace("x", "")
        tile = cls(None if level == "entries" else int(level), int(digits), int(width or TILE_WIDTH))
        if tile.path != path:
            raise TileError("malformed-tile-path", "leading zeros, or a partial tile of full width")
        return tile

    def is_in(self, size: int) -> bool:
        """Whether a tree of `size` leaves has all of it."""
        return self.start + self.width <= _count(self.level or 0, size)


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of hashes of a tree of `size` leaves, level by level, the partial ones with their widths."""
    level = 0
    while count := _count(level, size):
        for index in range(count // TILE_WIDTH):
            yield Tile(level, index)
        if rest := count % TILE_WIDTH:
            yield Tile(level, count // TILE_WIDTH, rest)
        level += 1


def tile_bytes(reader: HashReader, tile: Tile, size: int) -> bytes:
    """The tile's hashes, `32 * width` bytes, if the tree of the signed `size` has them; TileError otherwise."""
    if tile.level is None or not tile.is_in(size):
        raise TileError("no-such-tile", f"the tree of {size} leaves has no such tile")
    data = b"".join(reader.read(tile.level * STORED_EVERY, tile.start, tile.width))
    if len(data) != HASH_BYTES * tile.width:
        raise TileError("hash-missing", f"tile {tile.path} is not stored whole")
    return data


def bundle_bytes(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry's leaf data (at most 65,535 bytes) behind its length as a big-endian uint16."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def parse_bundle(data: bytes) -> list[bytes]:
    """The leaf data of the entries of a bundle; TileError when it is cut."""
    entries: list[bytes] = []
    position = 0
    while position < len(data):
        start = position + 2
        position = start + int.from_bytes(data[position:start], "big")
        if position > len(data):
            raise TileError("malformed-bundle", f"the bundle is cut within entry {len(entries)}")
        entries.append(data[start:position])
    return entries


def _count(level: int, size: int) -> int:
    """How many hashes tile level `level` of a tree of `size` leaves has: one per perfect subtree of 256**level."""
    return size >> (STORED_EVERY * level)


def _elements(index: int) -> str:
    """1234067 as `x001/x234/067`."""
    text = f"{index % 1000:03d}"
    while index := index // 1000:
        text = f"x{index % 1000:03d}/{text}"
    return text
