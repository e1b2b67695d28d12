"""Queries under names: what there is to ask, and an organisation's own, published from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import typer
from rich.table import Table

from fmar_node.cli.console import answered, client_of, escaped, fail, out, print_json, profile_of, told
from fmar_node.cli.participate import AS, DATA, JSON, LD_JSON, NODE, anonymous

TEXTS = ("queryName", "queryTitle", "queryDescription", "queryText")


def add_to(app: typer.Typer) -> None:
    queries = typer.Typer(help="Saved queries: what there is to ask (fmar query --saved NAME asks it), and your own.", no_args_is_help=True)
    for name, command in (("list", list_queries), ("publish", publish), ("withdraw", withdraw)):
        queries.command(name)(command)
    app.add_typer(queries, name="queries")


@told
def list_queries(
    as_: str = typer.Option("", "--as", help="A profile (without one: what everybody may ask of --node)."),
    data: Path | None = DATA,
    node: str = NODE,
    as_json: bool = JSON,
) -> None:
    """The saved queries that you may ask, with their parameters."""
    items: list[dict[str, Any]] = []
    with client_of(as_, data) if as_ else anonymous(node or "http://127.0.0.1:8080") as client:
        following: str | None = f"{node}/queries?limit=500"
        while following:
            page = answered(client.get(following)).json()
            items += page["items"]
            following = page.get("next")
    if as_json:
        print_json(items)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "title", "parameters"):
        table.add_column(column, overflow="fold")
    for item in items:
        table.add_row(*map(escaped, (item["name"], item["title"], ", ".join(map(_parameter, item["parameters"])))))
    out.print(table)


def _parameter(each: dict[str, Any]) -> str:
    kind = str(each["codes"]).rsplit("/", 1)[-1] if "codes" in each else each["kind"]
    return f"{each['name']} ({kind}{', optional' if each['isOptional'] else ''})"


@told
def publish(
    file: Path = typer.Argument(..., exists=True, dir_okay=False, help="A query with a head: # title, # about, # for, and a line for each parameter."),
    name: str = typer.Option("", "--name", help="What it is called in its URL (default: the file's name without .rq)."),
    dry_run: bool = typer.Option(False, help="Judge only, write nothing."),
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Publish a query of your organisation, or change the one that you have published under that name."""
    document = document_of(name or file.stem, file.read_text("utf-8"))
    params = {"dry-run": "true"} if dry_run else {}
    with client_of(as_, data) as client:
        known = _named(client, document["queryName"])
        record = known.get("record") if known.get("publisher") == profile_of(as_, data).organisation else None
        if record:
            current = answered(client.get(record))
            if _compared(current.json()) == _compared(document):
                out.print(f"unchanged {document['queryName']}: {record}", soft_wrap=True)
                return
            made = answered(client.put(record, json=document, headers=LD_JSON | {"If-Match": current.headers["ETag"]}, params=params))
        else:
            made = answered(client.post("/queries", json=document, headers=LD_JSON, params=params))
    if dry_run:
        out.print("would be accepted (dry run: nothing was written)")
        return
    out.print(f"{'changed' if record else 'published'} {document['queryName']}: {record or made.headers['Location']}", soft_wrap=True)
    out.print(f"  for {', '.join(_readers(document)) or 'your own organisation alone'}; asked with: fmar query --saved {document['queryName']}", soft_wrap=True)


def document_of(name: str, text: str) -> dict[str, Any]:
    """The record that a file with a head is published as."""
    from fmar_node.checks.saved_query import sense
    from fmar_node.saved_query import EVERYONE, head_of
    from fmar_node.settings import Settings
    from fmar_node.vocabulary import Vocabulary

    head = head_of(text)
    if head.wrong:
        missing = [f"it has no {what}" for what, said in (("title", head.title), ("about", head.about)) if not said]
        others = [fault.message for fault in sense(name, head.text, head.parameters, Vocabulary.load(), Settings())]
        fail("; ".join([*head.wrong, *missing, *others]), "docs/guides/dso-analyst.md has an example")
    named = {"queryName": name, "queryTitle": head.title, "queryDescription": head.about, "queryText": head.text}
    parameters = [
        {
            "parameterName": each.name, "parameterKind": each.kind.upper(), "codeList": each.scheme,
            "isOptional": each.is_optional or None, "parameterDescription": each.about,
        }
        for each in head.parameters
    ]  # fmt: skip
    audience = {
        "audience": [each.upper() if each == EVERYONE else each for each in head.readers if ":" not in each],
        "audienceOrganisation": [each for each in head.readers if ":" in each],
    }
    return _filled({"type": "SavedQuery", **named, "parameter": [_filled(each) for each in parameters], **audience})


def _compared(document: dict[str, Any]) -> dict[str, Any]:
    """What a file says of a query, without the ids of its parts and the order of its lists."""
    plain = {term: document.get(term) for term in TEXTS}
    parts = [sorted((term, value) for term, value in each.items() if term not in ("id", "type")) for each in document.get("parameter", ())]
    return {**plain, "parameter": sorted(parts), "readers": sorted(_readers(document))}


def _filled(document: dict[str, Any]) -> dict[str, Any]:
    return {term: value for term, value in document.items() if value}


def _readers(document: dict[str, Any]) -> list[str]:
    return [*document.get("audience", ()), *document.get("audienceOrganisation", ())]


def _named(client: httpx.Client, name: str) -> dict[str, Any]:
    """What the node says of the query of that name; nothing where there is none to ask."""
    items: list[dict[str, Any]] = answered(client.get("/queries", params={"name": name})).json()["items"]
    return items[0] if items else {}


@told
def withdraw(name: str = typer.Argument(..., help="What it is called in its URL."), as_: str = AS, data: Path | None = DATA) -> None:
    """Take a published query back; it is not answered any more from the next request on."""
    with client_of(as_, data) as client:
        known = _named(client, name)
        if not known:
            fail(f"no published query {name!r}", "fmar queries list --as ... has those that you may ask")
        if not known.get("record"):
            fail(f"{name} is no published query: it is part of the node, or a file of its operator", "your own have publisher and record in fmar queries list --json")
        made = client.post(f"{known['record']}/withdrawal")
        if not made.is_success and known["publisher"] != profile_of(as_, data).organisation:
            fail(f"{name} is published by {known['publisher']}, and yours to ask, not to withdraw", "its publisher withdraws it, or the node's operator")
        answered(made)
    out.print(f"withdrew {escaped(name)}")
