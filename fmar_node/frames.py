"""Frames between the node's processes: a JSON header and any number of binary blobs, length-prefixed.

Rules kept here: a frame is whole or it is an error, never a part; its size is checked before anything is
allocated for it; nothing but the standard library is imported, since query workers start with this module.

Layout, integers big-endian: size of the rest (4 bytes), number of blobs (2), size of the header (4),
sizes of the blobs (4 each), header (JSON), blobs.
"""

from __future__ import annotations

import json
import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

Header = dict[str, Any]
Frame = tuple[Header, list[bytes]]

MOST_BYTES = 64 * 1024 * 1024
"""Largest frame in bytes: both sides refuse a larger one, the receiver before it allocates."""

_SIZE = struct.Struct("!I")
_HEAD = struct.Struct("!HI")


def inherited(descriptor: str) -> socket.socket:
    """The child's end of the socket pair: `fmar_node.process` passes its number as the first argument."""
    return socket.socket(fileno=int(descriptor))


def send(sock: socket.socket, header: Header, *blobs: bytes) -> None:
    """Send one frame. ValueError when it is larger than MOST_BYTES, OSError when nobody listens."""
    sock.sendall(pack(header, *blobs))


def receive(sock: socket.socket) -> Frame | None:
    """The next frame, or None when the other side has closed. EOFError inside a frame, ValueError when too large."""
    if not (prefix := _exactly(sock, _SIZE.size, may_end=True)):
        return None
    return unpack(_exactly(sock, _size(prefix)))


async def write(writer: StreamWriter, header: Header, *blobs: bytes) -> None:
    """`send` for asyncio; waits while the other side is slow to read."""
    writer.write(pack(header, *blobs))
    await writer.drain()


async def read(reader: StreamReader) -> Frame | None:
    """`receive` for asyncio; a connection that was reset counts as closed."""
    from asyncio import IncompleteReadError  # a query worker has no use for asyncio, which takes 70 ms to import

    try:
        prefix = await reader.readexactly(_SIZE.size)
        return unpack(await reader.readexactly(_size(prefix)))
    except IncompleteReadError as cut:
        if cut.partial or cut.expected != _SIZE.size:
            raise EOFError("the connection ended inside a frame") from cut
        return None
    except ConnectionError:
        return None


def pack(header: Header, *blobs: bytes) -> bytes:
    """One frame as bytes."""
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    sizes = b"".join(_SIZE.pack(len(blob)) for blob in blobs)
    rest = _HEAD.size + len(sizes) + len(text) + sum(map(len, blobs))
    if rest > MOST_BYTES:
        raise ValueError(f"a frame of {rest} bytes; at most {MOST_BYTES}")
    return b"".join((_SIZE.pack(rest), _HEAD.pack(len(blobs), len(text)), sizes, text, *blobs))


def unpack(rest: bytes) -> Frame:
    """A frame from its bytes after the size. ValueError when the sizes inside do not add up."""
    try:
        count, header_size = _HEAD.unpack_from(rest)
        sizes = struct.unpack_from(f"!{count}I", rest, _HEAD.size)
    except struct.error as error:
        raise ValueError("a frame that is too short for its sizes") from error
    at = _HEAD.size + _SIZE.size * count
    if at + header_size + sum(sizes) != len(rest):
        raise ValueError("a frame whose sizes do not add up")
    header = json.loads(rest[at : (at := at + header_size)])
    return header, [rest[at : (at := at + size)] for size in sizes]


def _size(prefix: bytes) -> int:
    size: int = _SIZE.unpack(prefix)[0]
    if size > MOST_BYTES:
        raise ValueError(f"a frame of {size} bytes; at most {MOST_BYTES}")
    return size


def _exactly(sock: socket.socket, size: int, may_end: bool = False) -> bytes:
    """`size` bytes from the socket; empty when `may_end` and it closes before the first."""
    filled, buffer = 0, bytearray(size)
    view = memoryview(buffer)
    while filled < size:
        if not (count := sock.recv_into(view[filled:])):
            if may_end and not filled:
                return b""
            raise EOFError("the connection ended inside a frame")
        filled += count
    return bytes(buffer)
