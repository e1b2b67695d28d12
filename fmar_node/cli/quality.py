"""Data quality for a participant: its scorecard, the worst rules, and the records that miss one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from fmar_node.cli.console import answered, client_of, escaped, out, print_json, told
from fmar_node.cli.participate import AS, DATA, JSON

BY = typer.Option("dimension", "--by", help="organisation, category, area, dimension, rule or day.")
KIND = typer.Option("assets", "--kind", help="assets or organisations.")
FIRST = ("key", "records", "missing", "score")


def add_to(app: typer.Typer) -> None:
    app.command("quality")(quality)


@told
def quality(
    record: str = typer.Argument("", help="The IRI of a record, to be told its score and what to mend (default: a scorecard)."),
    by: str = BY,
    kind: str = KIND,
    rule: str = typer.Option("", "--rule", help="List the records that miss this rule."),
    as_: str = AS,
    data: Path | None = DATA,
    as_json: bool = JSON,
) -> None:
    """How good your records are, as far as you see them: a scorecard, one record, or what misses a rule."""
    with client_of(as_, data) as client:
        if rule:
            _tell_missing(_all_pages(client, f"/quality/{kind}?limit=500&rule={rule}"), as_json)
            return
        found: dict[str, Any] = answered(client.get(f"{record}/quality") if record else client.get("/quality", params={"by": by, "kind": kind})).json()
    if as_json:
        print_json(found)
    elif record:
        _tell_record(found)
    else:
        _tell_card(found)


def _all_pages(client: Any, first: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    following: str | None = first
    while following:
        page = answered(client.get(following)).json()
        items += page["items"]
        following = page.get("next")
    return items


def _tell_missing(items: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(items)
        return
    for item in items:
        out.print(f"{item['score']:>3}  {escaped(item['id'])}", soft_wrap=True)


def _tell_record(found: dict[str, Any]) -> None:
    score = "not measured" if found["score"] is None else f"{found['score']} of 100"
    out.print(f"{score}  " + "  ".join(f"{name} {value}" for name, value in found["dimensions"].items()), soft_wrap=True)
    for each in found["missed"]:
        note = " (not counted)" if each["status"] == "SHADOW" else ""
        out.print(f"  {escaped(each['rule'])}{note}: {escaped(each['message'])}", soft_wrap=True)


def _tell_card(found: dict[str, Any]) -> None:
    items = found["items"]
    columns = [*(name for name in FIRST if any(name in row for row in items)), *(name for row in items[:1] for name in row if name not in FIRST)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in columns:
        table.add_column(name)
    for row in items:
        table.add_row(*(escaped(_short(row.get(name))) for name in columns))
    out.print(table)
    if found.get("suppressed"):
        out.print(f"[dim]{found['suppressed']} lines with too few records or organisations are left out[/]")
    if not found["measuredOn"] and found["by"] != "day":
        out.print("[dim]scores are being measured; ask again in a moment[/]")


def _short(value: Any) -> str:
    return "" if value is None else str(value).rpartition("#")[2].rpartition("/")[2]
