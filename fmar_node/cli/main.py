"""The `fmar` command: one tree of subcommands, help on every level."""

from __future__ import annotations

import typer

from fmar_node import __version__
from fmar_node.cli import (
    clock,
    demo,
    events,
    export,
    importing,
    keep,
    maintain,
    notices,
    operate,
    participate,
    quality,
    queries,
    release,
    subject,
    trust,
)

app = typer.Typer(
    name="fmar",
    help="The FMAR node: a register of flexible assets, queried by SPARQL, written with signed credentials.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"fmar {__version__}")
        raise typer.Exit


@app.callback()
def main(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version.")) -> None:
    """The FMAR node: a register of flexible assets, queried by SPARQL, written with signed credentials."""


operate.add_to(app)
keep.add_to(app)
participate.add_to(app)
export.add_to(app)
queries.add_to(app)
events.add_to(app)
release.add_to(app)
quality.add_to(app)
trust.add_to(app)
notices.add_to(app)
importing.add_to(app)
maintain.add_to(app)
subject.add_to(app)
clock.add_to(app)
demo.add_to(app)
