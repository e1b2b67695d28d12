"""For the operator and its maintainers: releases of code lists and shapes, from a folder of files to the day they are in force."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import typer
from rich.table import Table

from fmar_node.cli.console import answered, client_of, escaped, fail, out, print_json, told
from fmar_node.cli.participate import AS, DATA, JSON, LD_JSON

RELEASE = typer.Argument(..., help="The number of the release, or its IRI.")
SHOWN = ("releaseNumber", "releaseVersion", "releaseStatus", "activeFrom", "impactFailing", "releaseTitle")


def add_to(app: typer.Typer) -> None:
    releases = typer.Typer(help="Releases of code lists and shapes, for the operator.", no_args_is_help=True)
    for name, command in (
        ("files", files), ("propose", propose), ("list", list_releases), ("impact", impact), ("shadow", shadow), ("approve", approve), ("withdraw", withdraw),
    ):  # fmt: skip
        releases.command(name)(command)
    app.add_typer(releases, name="release")


@told
def files(folder: Path = typer.Argument(..., help="Where to put them; it is made."), as_: str = AS, data: Path | None = DATA) -> None:
    """Write the code lists and shapes that are in force into a folder, to be changed there and proposed."""
    from fmar_node.checks.release import names

    with client_of(as_, data) as client:
        texts = _in_force(client)
    if folder.exists() and any(folder.iterdir()):
        fail(f"{folder} has something in it", "give a folder that is not there yet")
    for name in sorted(names()):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_text(name, texts), "utf-8")
    out.print(f"wrote {len(names())} files to {escaped(str(folder))}", soft_wrap=True)


@told
def propose(
    folder: Path = typer.Argument(..., file_okay=False, help="A folder with codes/*.ttl and shapes/*.ttl; what is as it is in force is left out."),
    title: str = typer.Option(..., help="What it is called."),
    about: str = typer.Option(..., help="What it changes, for whom, and why."),
    level: str = typer.Option(..., help="MAJOR, MINOR or PATCH: how grave its changes are."),
    dry_run: bool = typer.Option(False, help="Judge only, write nothing."),
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Propose the files of a folder as the next release."""
    found = {file.relative_to(folder).as_posix(): file.read_text("utf-8") for file in sorted(folder.rglob("*.ttl"))}
    with client_of(as_, data) as client:
        client.timeout = httpx.Timeout(120)
        texts = _in_force(client)
        parts = [{"fileName": name, "fileText": text} for name, text in found.items() if text != _text(name, texts)]
        if not parts:
            fail(f"{folder} has nothing that is not in force already", "fmar release files FOLDER writes what is in force; change it there")
        document = {"type": "Release", "releaseTitle": title, "releaseDescription": about, "releaseLevel": level.upper(), "releaseFile": parts}
        made = answered(client.post("/releases", json=document, headers=LD_JSON, params={"dry-run": "true"} if dry_run else {}))
    changed = ", ".join(part["fileName"] for part in parts)
    if dry_run:
        out.print(f"would be accepted (dry run: nothing was written): {changed}", soft_wrap=True)
        for each in made.json().get("errors", ()):
            if each["severity"] == "W":
                out.print(f"  W {escaped(each['code'])}  {escaped(each['message'])}", soft_wrap=True)
        return
    record = made.json()
    out.print(f"proposed release {record['releaseNumber']}, {record['releaseVersion']}: {changed}", soft_wrap=True)
    for each in record.get("warning", ()):
        out.print(f"  W {escaped(each['rule'])}  {escaped(each['text'])}", soft_wrap=True)
    out.print(f"  {record['id']}", soft_wrap=True)


@told
def list_releases(as_: str = AS, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """The releases of a node; those that are not approved are shown to its operator alone."""
    with client_of(as_, data) as client:
        items = sorted(_all(client), key=lambda each: int(each["releaseNumber"]))
    if as_json:
        print_json(items)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("number", "version", "status", "from", "would fail", "title"):
        table.add_column(column, overflow="fold")
    for item in items:
        table.add_row(*(escaped(str(item.get(name, ""))) for name in SHOWN))
    out.print(table)


@told
def impact(release: str = RELEASE, as_: str = AS, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """Which stored records a release would newly refuse: by constraint, category and manager."""
    with client_of(as_, data) as client:
        said = answered(client.get(f"{_found(release, client)}/impact")).json()
    if as_json:
        print_json(said)
        return
    out.print(f"{said['status']}: {said['failing']} of {said['records']} records would fail ({said['total']} to look at)", soft_wrap=True)
    for row in said["rows"]:
        out.print("  " + escaped("  ".join(str(row[name]) for name in ("records", "outcome", "constraint", "category", "manager"))), soft_wrap=True)


@told
def shadow(release: str = RELEASE, as_: str = AS, data: Path | None = DATA) -> None:
    """Put a proposed release into shadow, and tell what it would have refused where it is there already."""
    with client_of(as_, data) as client:
        iri = _found(release, client)
        if answered(client.get(iri)).json()["releaseStatus"] == "PROPOSED":
            answered(client.post(f"{iri}/shadow", json={}, headers=LD_JSON))
        said = answered(client.get(f"{iri}/shadow")).json()
    out.print(f"in shadow: {said['refused']} of {said['judged']} documents that were accepted since would be refused", soft_wrap=True)
    for row in said["rows"]:
        out.print("  " + escaped(f"{row['documents']}  {row['constraint']}  {row['kind']}  {row['organisation']}"), soft_wrap=True)


@told
def approve(
    release: str = RELEASE,
    day: str = typer.Option(..., "--from", help="The day at whose beginning it comes into force; today means at once."),
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Have a release in shadow come into force on a day."""
    with client_of(as_, data) as client:
        answered(client.post(f"{_found(release, client)}/approval", json={"activeFrom": day}, headers=LD_JSON))
    out.print(f"approved: in force from {day}", soft_wrap=True)


@told
def withdraw(release: str = RELEASE, as_: str = AS, data: Path | None = DATA) -> None:
    """Take a release back that is not in force yet."""
    with client_of(as_, data) as client:
        answered(client.post(f"{_found(release, client)}/withdrawal", json={}, headers=LD_JSON))
    out.print("withdrawn", soft_wrap=True)


def _in_force(client: httpx.Client) -> dict[str, str]:
    """The files of the release in force."""
    items = answered(client.get("/releases", params={"releaseStatus": "ACTIVE"})).json()["items"]
    return {each["fileName"]: each["fileText"] for item in items for each in item["releaseFile"]}


def _text(name: str, texts: dict[str, str]) -> str:
    """A file as it is in force; empty where there is none of that name, and the node says so."""
    from fmar_node.vocabulary import packaged_text

    try:
        return texts.get(name) or packaged_text(name)
    except OSError:
        return ""


def _all(client: httpx.Client) -> list[dict[str, Any]]:
    items, following = [], "/releases?limit=100"
    while following:
        page = answered(client.get(following)).json()
        items += page["items"]
        following = page.get("next", "")
    return items


def _found(release: str, client: httpx.Client) -> str:
    """The IRI of a release that is named by its number."""
    if not release.isdigit():
        return release
    numbered = [str(each["id"]) for each in _all(client) if str(each["releaseNumber"]) == release]
    return numbered[0] if numbered else fail(f"there is no release {json.dumps(release)} for you", "fmar release list --as operator")
