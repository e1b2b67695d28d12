"""`fmar demo`: a node with an example market on this machine, and a tour of what it does."""

from __future__ import annotations

from pathlib import Path

import typer

from fmar_node.cli.console import told


def add_to(app: typer.Typer) -> None:
    app.command("demo")(demo)


@told
def demo(
    once: bool = typer.Option(False, "--once", help="End after the tour."),
    port: int = typer.Option(8080, "--port", min=1, max=65535, help="The loopback port of the node."),
    data: Path = typer.Option(Path(".fmar-demo"), "--data", help="The demo node's data folder; used again where there is one."),
) -> None:
    """A node with example participants and real asset rows, and a tour of what it does."""
    from fmar_node.cli.tour.stage import show

    show(once, port, data)
