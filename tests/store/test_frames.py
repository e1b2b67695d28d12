"""Frames between processes: whole or an error, blocking and with asyncio."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading

import pytest

from fmar_node import frames


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_header_and_blobs_arrive_as_sent(ends):
    ours, theirs = ends

    frames.send(ours, {"text": "é\ud800\n", "number": 7}, b"", b"\x00\xff")

    assert frames.receive(theirs) == ({"text": "é\ud800\n", "number": 7}, [b"", b"\x00\xff"])


def test_frames_keep_their_order_and_borders(ends):
    ours, theirs = ends

    for number in range(3):
        frames.send(ours, {"n": number}, b"x" * number)

    assert [frames.receive(theirs) for _ in range(3)] == [({"n": n}, [b"x" * n]) for n in range(3)]


def test_large_frame_arrives_while_it_is_sent(ends):
    ours, theirs = ends
    blob = bytes(range(256)) * 20_000

    sender = threading.Thread(target=frames.send, args=(ours, {}, blob))
    sender.start()

    assert frames.receive(theirs) == ({}, [blob])
    sender.join()


def test_closed_socket_is_the_end(ends):
    ours, theirs = ends

    ours.close()

    assert frames.receive(theirs) is None


@pytest.mark.parametrize("kept", [1, 3, 4, 8, 20])
def test_cut_frame_is_an_error_not_a_part(ends, kept):
    ours, theirs = ends

    ours.sendall(frames.pack({"a": 1}, b"xyz")[:kept])
    ours.close()

    with pytest.raises(EOFError):
        frames.receive(theirs)


def test_too_large_frame_is_refused_before_it_is_read(ends):
    ours, theirs = ends

    ours.sendall(struct.pack("!I", frames.MOST_BYTES + 1))

    with pytest.raises(ValueError, match="at most"):
        frames.receive(theirs)


def test_too_large_frame_is_not_sent(ends):
    ours, _ = ends

    with pytest.raises(ValueError, match="at most"):
        frames.send(ours, {}, bytes(frames.MOST_BYTES))


@pytest.mark.parametrize("rest", [b"", b"\x00\x01", struct.pack("!HI", 1, 2) + b"{}", struct.pack("!HII", 1, 2, 9) + b"{}"])
def test_sizes_that_do_not_add_up_are_refused(rest):
    with pytest.raises(ValueError, match="sizes"):
        frames.unpack(rest)


def test_asyncio_and_blocking_speak_the_same(ends):
    async def converse(ours: socket.socket, theirs: socket.socket):
        ours.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        await frames.write(writer, {"q": 1}, b"blob")
        asked = await asyncio.to_thread(frames.receive, theirs)
        sending = asyncio.to_thread(frames.send, theirs, {"a": 2}, b"x" * 300_000)
        _, answered = await asyncio.gather(sending, frames.read(reader))
        theirs.close()
        end = await frames.read(reader)
        writer.close()
        await writer.wait_closed()
        return asked, answered, end

    asked, answered, end = asyncio.run(converse(*ends))

    assert asked == ({"q": 1}, [b"blob"])
    assert answered == ({"a": 2}, [b"x" * 300_000])
    assert end is None


def test_asyncio_cut_frame_is_an_error():
    async def read_cut(kept: int):
        reader = asyncio.StreamReader()
        reader.feed_data(frames.pack({"a": 1}, b"xyz")[:kept])
        reader.feed_eof()
        return await frames.read(reader)

    for kept in (1, 4, 12):
        with pytest.raises(EOFError):
            asyncio.run(read_cut(kept))
