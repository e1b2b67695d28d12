"""What the shipped files promise: the unit is sound, the container's lock is the node's, and a node without rights works."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from fmar_node.foundation import make_node
from tests.live import free_port
from tests.market import organisation

PROJECT = Path(__file__).parents[2]
OPERATION = PROJECT / "examples" / "operation"
UNIT = OPERATION / "fmar.service"
NOBODY = 65534
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "mount"))), reason="needs root and mount namespaces"
)


def analysed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_the_unit_is_one(tmp_path: Path) -> None:
    unit = tmp_path / "fmar.service"
    unit.write_text(UNIT.read_text("utf-8").replace("/opt/fmar/bin/fmar", shutil.which("true") or "/bin/true"))

    done = analysed("verify", str(unit))

    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
def test_the_unit_exposes_little() -> None:
    done = analysed("security", "--offline=true", "--threshold=20", str(UNIT))

    if "unrecognized option" in done.stderr or "Unknown option" in done.stderr:
        pytest.skip("this systemd-analyze looks at running units only")
    assert done.returncode == 0, done.stdout


def test_the_containers_lock_has_what_the_node_needs_and_no_tools() -> None:
    lock, declared = PROJECT / "requirements.lock", (PROJECT / "pyproject.toml").read_text("utf-8")

    made = subprocess.run([sys.executable, OPERATION / "runtime.py", lock], capture_output=True, text=True, check=True).stdout

    named = set(re.findall(r"^([A-Za-z0-9._-]+)==", made, re.MULTILINE))
    section = declared.split("\ndependencies = [", 1)[1].split("]", 1)[0]
    assert set(re.findall(r'"([A-Za-z0-9-]+)', section)) - {"sys"} <= named
    assert named & {"pytest", "hatchling", "mypy", "ruff", "hypothesis", "pip", "setuptools"} == set()
    assert made.count("--hash=sha256:") > len(named)


# -- without rights


def hidden(path: Path) -> list[Path]:
    """The folders above a file that others may not enter."""
    return [folder for folder in path.resolve().parents if not folder.stat().st_mode & 0o001]


@needs_root
def test_a_node_runs_as_nobody_with_a_read_only_view_of_everything_but_its_data(tmp_path: Path) -> None:
    data, port, log = tmp_path / "data", free_port(), tmp_path / "log"
    make_node(data, f"http://127.0.0.1:{port}", organisation("Operator", ["FMAR_OPERATOR"]))
    for file in (data, *data.rglob("*")):
        os.chown(file, NOBODY, NOBODY)
    may_read = "--inh-caps +dac_read_search --ambient-caps +dac_read_search"  # where the interpreter is in somebody's home
    rights = may_read if hidden(Path(sys.executable)) else "--inh-caps=-all --ambient-caps=-all --bounding-set=-all"
    drop = f"setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups --no-new-privs {rights}"
    script = f"mount --make-rprivate / && mount --bind {data} /mnt && mount -o remount,ro,bind / && exec {drop} {sys.executable} -m fmar_node.cli serve --data /mnt"
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TMPDIR": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(PROJECT)}
    with log.open("wb") as out, subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=out, stderr=out, env=environment, cwd="/") as node:
        try:
            answer = waited_for(f"http://127.0.0.1:{port}/readyz", node)
            owner = Path(f"/proc/{node.pid}").stat().st_uid
            wrote = subprocess.run(["nsenter", "-t", str(node.pid), "-m", "touch", "/written"], capture_output=True, text=True, check=False)
        finally:
            node.send_signal(signal.SIGTERM)
            status = node.wait(30)

    said = log.read_text()
    assert answer is not None and answer.json()["sandbox"] is True, said
    assert (owner, status) == (NOBODY, 0), said
    assert wrote.returncode != 0 and "Read-only" in wrote.stderr


def waited_for(url: str, node: subprocess.Popen[bytes], seconds: float = 60) -> httpx.Response | None:
    """The first answer that says 200; None where the process ends before."""
    deadline = time.monotonic() + seconds
    while node.poll() is None and time.monotonic() < deadline:
        try:
            if (answer := httpx.get(url)).status_code == 200:
                return answer
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    return None


# -- the service manager


def test_a_service_manager_is_told_when_the_node_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    data, port, place = tmp_path / "data", free_port(), tmp_path / "notify"
    make_node(data, f"http://127.0.0.1:{port}", organisation("Operator", ["FMAR_OPERATOR"]))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(place))
        manager.settimeout(60)
        command = [sys.executable, "-m", "fmar_node.cli", "serve", "--data", str(data)]
        with subprocess.Popen(command, env={**os.environ, "NOTIFY_SOCKET": str(place)}, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as node:
            ready = manager.recv(1000).decode()
            answer = httpx.get(f"http://127.0.0.1:{port}/healthz").status_code
            node.send_signal(signal.SIGHUP)
            reload = [manager.recv(1000).decode() for _ in range(2)]
            node.send_signal(signal.SIGTERM)
            stopping = manager.recv(1000).decode()
            status = node.wait(30)

    assert ready.startswith("READY=1\n") and answer == 200
    assert reload[0].startswith("RELOADING=1\nMONOTONIC_USEC=") and reload[1] == "READY=1"
    assert (stopping, status) == ("STOPPING=1", 0)
