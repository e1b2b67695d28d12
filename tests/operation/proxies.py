"""nginx and Caddy in front of a node, each with the configuration file that is shipped, its ports, names and paths exchanged."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.live import free_port
from tests.operation.secure import Authority

SHIPPED = Path(__file__).parents[2] / "examples" / "proxies"
PROGRAMS = {"nginx": shutil.which("nginx") or "/usr/sbin/nginx", "caddy": shutil.which("caddy") or "/usr/bin/caddy"}
INSTALLED = {name for name, program in PROGRAMS.items() if os.access(program, os.X_OK)}


@dataclass(frozen=True)
class Door:
    """A running proxy: where it is reached, and whose certificates it knows."""

    name: str
    port: int

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"


@contextmanager
def proxy(name: str, folder: Path, behind: int, authority: Authority, port: int = 0, **changes: str) -> Iterator[Door]:
    """The program of that name in front of the node on port `behind`; `changes` are further texts to exchange, by any name."""
    door = Door(name, port or free_port())
    folder.mkdir(exist_ok=True)
    authority.issue(folder, "localhost")
    paths = {"127.0.0.1:8080": f"127.0.0.1:{behind}", "/etc/fmar/tls": f"{folder}/tls", "/etc/fmar/clients.crt": str(authority.ca)}
    command = COMMANDS[name](folder, door.port, paths, dict(pair.split(" -> ") for pair in changes.values()))
    with (folder / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)}) as process:
        try:
            _wait(door.port, process, folder / "log")
            yield door
        finally:
            process.terminate()
            process.wait(10)


def _exchanged(file: str, texts: Mapping[str, str]) -> str:
    text = (SHIPPED / file).read_text("utf-8")
    for said, ours in texts.items():
        assert said in text, f"{said} is not in {file}"
        text = text.replace(said, ours)
    return text


def _nginx(folder: Path, port: int, paths: Mapping[str, str], changes: Mapping[str, str]) -> list[str]:
    text = _exchanged("nginx.conf", {**paths, "listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "register.example.org": "localhost", **changes})
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    whole = f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}} http {{ access_log off; {places}\n{text}\n}}"
    (folder / "nginx.conf").write_text(whole)
    return [PROGRAMS["nginx"], "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


def _caddy(folder: Path, port: int, paths: Mapping[str, str], changes: Mapping[str, str]) -> list[str]:
    text = _exchanged("Caddyfile", {**paths, "https://register.example.org": f"https://localhost:{port}", **changes})
    options = ["admin off", "auto_https disable_redirects", "default_bind 127.0.0.1", f"storage file_system {folder}", "servers {\nprotocols h1\n}"]
    (folder / "Caddyfile").write_text("\n".join(["{", *options, "}", text]))
    return [PROGRAMS["caddy"], "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


COMMANDS = {"nginx": _nginx, "caddy": _caddy}


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"the proxy did not start:\n{log.read_text()[-2000:]}")
