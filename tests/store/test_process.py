"""Child processes: started by exec, spoken to, ended, classified."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fmar_node.process import Child, End, end_of

ECHO = """
import gc, os
from fmar_node import frames

def main(descriptor, *arguments):
    sock = frames.inherited(descriptor)
    while frame := frames.receive(sock):
        told = {"argv": arguments, "arena": os.environ.get("MALLOC_ARENA_MAX"), "fds": sorted(os.listdir("/proc/self/fd")), "collects": gc.isenabled(), "spared": gc.get_freeze_count()}
        frames.send(sock, told, *frame[1])
"""


@pytest.fixture
def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "echo_child.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "echo_child"


def test_child_answers_and_ends_when_we_hang_up(echo):
    async def converse():
        child = await Child.start(echo, "argument", one_arena=True)
        await child.send({}, b"blob")
        return await child.receive(), await child.stop()

    (header, blobs), end = asyncio.run(converse())

    assert (header["argv"], header["arena"], blobs, end) == (["argument"], "1", [b"blob"], End.DONE)


def test_what_a_child_has_imported_is_not_looked_at_for_garbage_and_what_comes_after_is(echo):
    async def converse():
        child = await Child.start(echo)
        await child.send({})
        frame = await child.receive()
        await child.stop()
        return frame

    header, _ = asyncio.run(converse())

    assert header["collects"] and header["spared"] > 1_000


def test_child_inherits_one_descriptor_and_no_input(echo, tmp_path):
    async def converse():
        with (tmp_path / "secret").open("w"):
            child = await Child.start(echo)
            await child.send({})
            frame = await child.receive()
            await child.stop()
            return frame

    header, _ = asyncio.run(converse())

    assert len(header["fds"]) == 5  # standard input, output and error, the socket, and the listing itself


@pytest.mark.parametrize(("sent", "end"), [(signal.SIGKILL, End.KILLED), (signal.SIGABRT, End.ABORTED), (signal.SIGSEGV, End.CRASHED)])
def test_end_by_signal_is_told_apart(echo, sent, end):
    async def run():
        child = await Child.start(echo)
        os.kill(child.pid, sent)
        return await child.wait(), await child.receive(), child.is_running

    assert asyncio.run(run()) == (end, None, False)


def test_child_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    (tmp_path / "deaf_child.py").write_text("import time\n\ndef main(descriptor):\n    time.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    async def run():
        child = await Child.start("deaf_child")
        return await child.stop(seconds=0.2)

    assert asyncio.run(run()) is End.KILLED


def test_child_that_fails_says_so_in_the_log(tmp_path):
    async def run():
        child = await Child.start("no_such_module", log=tmp_path / "log")
        return await child.receive(), await child.wait()

    assert asyncio.run(run()) == (None, End.FAILED)
    assert "no_such_module" in (tmp_path / "log").read_text()


def test_exit_codes_are_done_or_failed():
    assert [end_of(code) for code in (0, 1, 137)] == [End.DONE, End.FAILED, End.FAILED]


@pytest.mark.parametrize(
    ("module", "others"),
    [
        ("fmar_node.store.worker", {"asyncio", "pydantic", "pyoxigraph", "ssl"}),
        ("fmar_node.judge", {"fastapi", "httpx", "joserfc", "pyshacl", "rdflib"}),
        ("fmar_node.writer", {"fastapi", "httpx", "joserfc", "rdflib"}),
        ("fmar_node.cli.main", {"fastapi", "fmar_node.kinds", "pydantic", "rdflib", "stdnum"}),
    ],
)
def test_a_process_starts_without_what_others_need(module, others):
    script = f"import sys, {module}; print(sorted({others} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])

    assert out.stdout.strip() == "[]"
