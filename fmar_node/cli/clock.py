"""What time it is in a register; and, on a node for trying things out, another one."""

from __future__ import annotations

from pathlib import Path

import typer

from fmar_node.cli.console import fail, out, told
from fmar_node.clock import AheadClock, SystemClock, parse_stamp, stamp
from fmar_node.folder import Folder


def add_to(app: typer.Typer) -> None:
    app.command("clock")(clock)


@told
def clock(
    to: str = typer.Option("", "--to", help="Put it forward to a day, which begins at midnight in London, or to a time such as 2026-11-27T09:30:00Z."),
    data: Path = typer.Option(Path("fmar-data"), "--data", help="The node's data folder."),
) -> None:
    """Say what time it is in the register, or put it forward: only on a node for trying things out, whose settings say that its clock may be set."""
    folder, machine = Folder(data), SystemClock()
    folder.check_made()
    calendar = folder.calendar(folder.settings(), machine)
    if to and not isinstance(calendar, AheadClock):
        fail("this node's clock is the machine's", "one for trying things out, on loopback, has a clock of its own with clock_may_be_set = true in its node.toml")
    if to and isinstance(calendar, AheadClock):
        calendar.go_to(parse_stamp(to))
    out.print(f"{stamp(calendar.now())} in the register, {stamp(machine.now())} on this machine", soft_wrap=True)
