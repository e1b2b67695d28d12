"""Child processes of the node: started, spoken to in frames, ended, and their end classified.

Rules kept here: a child is started by exec and never by a bare fork (a forked copy of a process that has
a store open corrupted the store); it inherits one end of a socket pair and nothing else; its first
argument is that end's descriptor; closing our end is the polite way to end it, SIGKILL the other one.

A module that is started so has a `main` that takes these arguments, and begins with `frames.inherited`.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Self

from fmar_node import frames
from fmar_node.settings import surroundings

LAST_WORDS_STEPS, LAST_WORDS_SECONDS = 100, 0.01
PACKAGE = Path(__file__).resolve().parent


class End(StrEnum):
    """How a child ended. Killed, aborted and crashed are three different problems for the caller."""

    DONE = "done"
    FAILED = "failed"
    KILLED = "killed"
    ABORTED = "aborted"
    CRASHED = "crashed"


def end_of(returncode: int) -> End:
    """SIGKILL (deadline, out of memory), SIGABRT (allocation refused, panic), other signals, exit codes."""
    if returncode >= 0:
        return End.FAILED if returncode else End.DONE
    return {-signal.SIGKILL: End.KILLED, -signal.SIGABRT: End.ABORTED}.get(returncode, End.CRASHED)


class Child:
    """A running child process and the socket to it; made by `start`."""

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.process = process
        self.reader = reader
        self.writer = writer
        self.is_condemned = False

    @classmethod
    async def start(cls, module: str, *arguments: str, log: Path | None = None, one_arena: bool = False, is_mute: bool = False) -> Self:
        """Run `main(DESCRIPTOR, *arguments)` of a module in a process of its own (`fmar_node.launch`).

        Its standard error goes to ours, or is appended to the file `log`, or nowhere where it `is_mute`. `one_arena` keeps
        glibc to one malloc arena, which makes RLIMIT_AS exact (engine reference, section 1).
        """
        ours, theirs = socket.socketpair()
        try:
            process = await _execute(module, (str(theirs.fileno()), *arguments), theirs.fileno(), log, one_arena, is_mute)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(process, reader, writer)

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    async def send(self, header: frames.Header, *blobs: bytes) -> None:
        """ConnectionError when the child has gone."""
        if self.writer.is_closing():  # uvloop would raise RuntimeError
            raise ConnectionResetError("the child has gone")
        await frames.write(self.writer, header, *blobs)

    async def receive(self) -> frames.Frame | None:
        """The child's next frame; None when it has closed its end."""
        return await frames.read(self.reader)

    def kill(self) -> None:
        """SIGKILL, now; nothing happens when the child has ended already."""
        self.is_condemned = True
        if self.is_running:
            self.process.kill()

    def hang_up(self) -> None:
        """Close our end: the child reads end of file and ends by itself."""
        self.writer.close()

    async def wait(self) -> End:
        """Wait until the child has ended and been reaped; what it said last can still be received."""
        returncode = await self.process.wait()
        await self._close()
        return end_of(returncode)

    async def _close(self) -> None:
        """Close our end, but not before its last words have arrived, unless nobody wants them."""
        steps = 0 if self.is_condemned else LAST_WORDS_STEPS
        while steps and not self.reader.at_eof():
            steps -= 1
            await asyncio.sleep(LAST_WORDS_SECONDS)
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def stop(self, seconds: float = 5.0) -> End:
        """Hang up, wait for at most `seconds`, then kill."""
        self.hang_up()
        try:
            async with asyncio.timeout(seconds):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()


async def _execute(module: str, arguments: tuple[str, ...], descriptor: int, log: Path | None, one_arena: bool, is_mute: bool) -> Process:
    """`-P` and PYTHONPATH: the child imports this very package, whatever the working directory holds. A session of its own: Ctrl-C in
    a terminal reaches the node, which ends its children in its own order."""
    environment = surroundings(PYTHONPATH=str(PACKAGE.parent), **({"MALLOC_ARENA_MAX": "1"} if one_arena else {}))
    stderr = log.open("ab") if log else None
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "fmar_node.launch", module, *arguments,
            stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL if is_mute else stderr, pass_fds=(descriptor,), env=environment, start_new_session=True,
        )  # fmt: skip
    finally:
        if stderr:
            stderr.close()
