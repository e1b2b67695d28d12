"""Children of the demo: the node, and the agent, as processes of their own that never outlive it.

Rules kept here: a child is started by exec, in a session of its own, so that Ctrl-C reaches the demo alone, which
ends its children in its own order; a child's standard input is a pipe that nobody writes to: when the demo is
gone, however it went, the pipe closes, and the child ends itself as it would on SIGTERM.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fmar_node.settings import surroundings

PACKAGES = Path(__file__).resolve().parents[3]
"""Where the running package is imported from; its children import the same one."""
STOP_SECONDS = 15.0
LOOPBACK = {"no_proxy": "127.0.0.1,localhost", "NO_PROXY": "127.0.0.1,localhost"}
Process = subprocess.Popen[str]


@contextmanager
def running(*arguments: str, log: Path, is_read: bool = False, **settings: str) -> Iterator[Process]:
    """`fmar` with these arguments, and these settings in its environment, until the block ends. Its errors go to the file `log`,
    and its output too unless `is_read` leaves that to the caller."""
    environment = surroundings(PYTHONPATH=str(PACKAGES), **settings)
    with log.open("ab") as sink:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-P", "-m", __name__, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE if is_read else sink, stderr=sink,
            env=environment, start_new_session=True, text=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        stop(process)


def stop(process: Process) -> None:
    """SIGTERM, and SIGKILL for what has not ended after a while."""
    try:
        process.terminate()
        process.wait(STOP_SECONDS)
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                pipe.close()
        process.wait()


def tool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A plain tool run to its end; requests to this machine never go through a proxy."""
    environment = surroundings(PYTHONPATH=str(PACKAGES), **LOOPBACK)
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=60, env=environment)  # noqa: S603 - what the tour shows


def fmar(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a person would type it, run to its end."""
    return tool(sys.executable, "-P", "-m", "fmar_node.cli", *arguments)


def last_lines(log: Path, count: int = 5) -> str:
    """What a child said last."""
    return "\n".join(log.read_text("utf-8", "replace").splitlines()[-count:]) if log.exists() else ""


def _end_with_parent() -> None:
    """The descriptor is read itself: a thread inside `sys.stdin` would break the interpreter's own end."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    runpy.run_module("fmar_node.cli", run_name="__main__")
