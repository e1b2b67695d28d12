"""For whoever has to act: what on, and by when (notices)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from fmar_node.cli.console import answered, client_of, out, told
from fmar_node.cli.participate import AS, DATA, JSON
from fmar_node.cli.trust import listed, tell

NOTICE = typer.Argument(..., help="The notice: its IRI or id.")


def add_to(app: typer.Typer) -> None:
    notices = typer.Typer(help="What you have to act on, and by when.", no_args_is_help=True)
    for name, command in (("list", list_notices), ("acknowledge", acknowledge), ("resolve", resolve)):
        notices.command(name)(command)
    app.add_typer(notices, name="notices")


@told
def list_notices(
    type_: str = typer.Option("", "--type", help="Only of this type, e.g. QUERY_OPEN."),
    everything: bool = typer.Option(False, "--all", help="Those that are resolved too."),
    as_: str = AS,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """What you have to act on; as the operator, what anybody has."""
    equal = {"noticeType": type_} if type_ else {}
    with client_of(as_, data) as client:
        states = ({},) if everything else ({"noticeStatus": "OPEN"}, {"noticeStatus": "ACKNOWLEDGED"})
        items = [item for state in states for item in listed(client, "/notices", **equal, **state)]
    tell(sorted(items, key=lambda item: (item.get("dueBy", "~"), item["id"])), as_json, _lines)


def _lines(item: dict[str, Any]) -> tuple[str, ...]:
    due = f", due by {item['dueBy']}" if "dueBy" in item else ""
    where = ", ".join((*item.get("noticeField", ()), *item.get("noticeSource", ())))
    return f"{item['noticeStatus']} {item['noticeType']}{due}", f"{item['subject']}{f' ({where})' if where else ''}", item.get("text", "")


@told
def acknowledge(notice: str = NOTICE, as_: str = AS, data: Path | None = DATA) -> None:
    """Say that you have seen a notice of yours."""
    _act(notice, "acknowledgement", {}, as_, data)
    out.print("acknowledged")


@told
def resolve(
    notice: str = NOTICE,
    resolution: str = typer.Option(..., "--resolution", help="What became of it: CORRECTED, SOURCE_WRONG or ACCEPTED."),
    text: str = typer.Option(..., "--text", help="And why, in a sentence."),
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Resolve a notice of yours; the operator resolves any."""
    _act(notice, "resolution", {"resolution": resolution.upper(), "resolutionText": text}, as_, data)
    out.print(f"resolved as {resolution.upper()}")


def _act(notice: str, action: str, note: dict[str, str], as_: str, data: Path | None) -> None:
    with client_of(as_, data) as client:
        answered(client.post(f"/notices/{notice.rstrip('/').rsplit('/', 1)[-1]}/{action}", json=note))
