"""For those who are told: the feed of events, once or for as long as one likes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import typer

from fmar_node.cli.console import answered, client_of, escaped, out, told
from fmar_node.cli.participate import AS, DATA, FOR

WAIT_SECONDS = 20


def add_to(app: typer.Typer) -> None:
    app.command("events")(events)


@told
def events(
    as_: str = AS,
    data: Path | None = DATA,
    for_: str = FOR,
    since: str = typer.Option("beginning", help="Where to begin: beginning, now, a time, or the id of an event."),
    cursor: str = typer.Option("", help="Go on behind this cursor instead."),
    kind: list[str] = typer.Option([], help="Only of this kind, e.g. assets; repeat for several."),
    area: list[str] = typer.Option([], help="Only of assets in this licence area, e.g. UKPN_EPN; repeat for several."),
    category: list[str] = typer.Option([], help="Only of assets of this category, e.g. BESS; repeat for several."),
    action: list[str] = typer.Option([], help="Only by this action, e.g. update, of what you see whole; repeat for several."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Wait for more, until Ctrl-C."),
    as_json: bool = typer.Option(False, "--json", help="Print a JSON object per line."),
) -> None:
    """What has changed of what you see: one line per event, the oldest first; no values."""
    params: dict[str, str | list[str]] = {"kind": kind, "area": area, "category": category, "action": action}
    params |= {"cursor": cursor} if cursor else {"since": since}
    if follow:
        params["wait"] = str(WAIT_SECONDS)
    with client_of(as_, data, for_) as client:
        place = f"/events?{urlencode(params, doseq=True)}"
        try:
            for event in fed(client, place, follow=follow):
                if as_json:
                    print(json.dumps(event, ensure_ascii=False), flush=True)
                else:
                    out.print(_line(event), soft_wrap=True)
        except KeyboardInterrupt:
            return


def fed(client: httpx.Client, place: str, *, follow: bool) -> Iterator[dict[str, Any]]:
    """The events of the feed from a place on, to its present end, or for ever."""
    while True:
        page = answered(client.get(place, timeout=WAIT_SECONDS + 10))
        yield from page.json()
        if page.headers["Fmar-Events-Behind"] == "0" and not follow:
            return
        place = page.links["next"]["url"]


def _line(event: dict[str, Any]) -> str:
    data = event["data"]
    said = [event["time"], event["type"].removeprefix("org.fmar."), event["subject"]]
    if "version" in data:
        said.append(f"version {data['version']}")
    if "action" in data:
        said.append(f"by {data['action']}")
    if data.get("viewMoved"):
        said.append("your rights have changed: read your lists again")
    return escaped("  ".join(said))
