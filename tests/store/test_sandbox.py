"""The lock of a query worker, tried in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fmar_node.store import sandbox

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="seccomp is Linux's")


def run(script: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stdout.strip()


def test_this_process_is_not_locked():
    assert not sandbox.is_locked()


def test_lock_holds_and_keeps_unix_sockets():
    script = (
        "import socket; from fmar_node.store import sandbox as s; print(s.lock_network(), s.is_locked()); socket.socketpair(); socket.socket(socket.AF_UNIX)"
    )

    assert run(script) == (0, "True True")


def test_lock_holds_in_threads_that_ran_before():
    script = """
import threading
from fmar_node.store import sandbox
locked, go = [], threading.Event()
thread = threading.Thread(target=lambda: (go.wait(), locked.append(sandbox.is_locked())))
thread.start(); sandbox.lock_network(); go.set(); thread.join()
print(locked)
"""

    assert run(script) == (0, "[True]")


def test_lock_holds_in_a_program_that_is_started():
    script = """
import subprocess, sys
from fmar_node.store import sandbox
sandbox.lock_network()
print(subprocess.run([sys.executable, "-c", "from fmar_node.store import sandbox; print(sandbox.is_locked())"], capture_output=True, text=True).stdout)
"""

    assert run(script) == (0, "True")


def test_foreign_system_calls_end_the_process():
    script = "import ctypes; from fmar_node.store import sandbox as s; s.lock_network(); ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 41), 2, 1, 0); print('alive')"

    assert run(script)[1] == ""


def test_io_uring_is_not_there():
    script = "import ctypes; from fmar_node.store import sandbox as s; s.lock_network(); c = ctypes.CDLL(None, use_errno=True); print(c.syscall(ctypes.c_long(425), 1, None), ctypes.get_errno())"

    assert run(script) == (0, "-1 38")


def test_address_space_and_core_files_are_capped():
    script = "import resource; from fmar_node.store import sandbox as s; s.limit(2**28); print(resource.getrlimit(resource.RLIMIT_AS)[0] >> 20, resource.getrlimit(resource.RLIMIT_CORE)[0])"

    assert run(script) == (0, "256 0")
