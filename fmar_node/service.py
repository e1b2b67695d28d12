"""What a service manager is told (sd_notify): that the node is ready, loads its files again, stops.

Rules kept here: where nobody asked (`NOTIFY_SOCKET` is not set) nothing is said, and a manager that does not listen stops nobody.
"""

from __future__ import annotations

import socket
import time

from fmar_node.settings import surroundings


def notify(*states: str) -> None:
    """Tells the service manager, for instance `READY=1`; one datagram, a state a line."""
    address = surroundings().get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto("\n".join(states).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
    except OSError:
        return


def monotonic_state() -> str:
    """When a reload began, as systemd wants it beside `RELOADING=1`."""
    return f"MONOTONIC_USEC={time.monotonic_ns() // 1_000}"
