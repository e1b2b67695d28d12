"""For organisations: who acts for them. Their people (users), and the platforms that they have granted something to."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import typer
from rich.table import Table

from fmar_node.cli.console import answered, client_of, escaped, organisation_of, out, print_json, told
from fmar_node.cli.participate import AS, DATA, JSON, LD_JSON

PERMISSIONS = ("READ", "READ_PERSONAL", "REGISTER", "UPDATE", "DEREGISTER", "PASSPORT", "CONTACTS")
OF_PASSPORTS = {"PASSPORT", "CONTACTS"}
YEAR = timedelta(days=365)


def add_to(app: typer.Typer) -> None:
    delegation = typer.Typer(help="What you grant to others, and they to you.", no_args_is_help=True)
    for name, command in (("offer", offer), ("accept", accept), ("revoke", revoke), ("list", list_delegations)):
        delegation.command(name)(command)
    app.add_typer(delegation, name="delegation")
    user = typer.Typer(help="The people of your organisation.", no_args_is_help=True)
    for name, command in (("invite", invite), ("deactivate", deactivate), ("list", list_users)):
        user.command(name)(command)
    app.add_typer(user, name="user")


@told
def offer(
    to: str = typer.Argument(..., help="The organisation that is granted something: its IRI, or its name beside --data."),
    permission: list[str] = typer.Option(..., "--permission", help=f"One or more of {', '.join(PERMISSIONS)}."),
    asset: list[str] = typer.Option([], "--asset", help="Only on this asset (its IRI); repeat for several. Without it: on all that you manage."),
    until: str = typer.Option("", "--until", help="The first day on which it no longer holds (default: in a year)."),
    from_: str = typer.Option("", "--from", help="The first day on which it holds (default: when it is accepted)."),
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Offer an organisation permissions on your assets, or your passport."""
    document: dict[str, Any] = {
        "type": "Delegation",
        "delegate": organisation_of(to, data),
        "permission": permission,
        "validTo": until or _in_a_year(),
    }
    if set(permission) - OF_PASSPORTS:
        document["assetScope"] = "NAMED_ASSETS" if asset else "ALL_ASSETS"
    if asset:
        document["delegatedAsset"] = asset
    if from_:
        document["validFrom"] = from_
    with client_of(as_, data) as client:
        made = answered(client.post("/delegations", json=document, headers=LD_JSON))
    out.print(f"offered {', '.join(permission)} until {document['validTo']}: {made.headers['Location']}", soft_wrap=True)
    out.print("  it holds when the other side has accepted: fmar delegation accept", soft_wrap=True)


def _in_a_year() -> str:
    from fmar_node.clock import SystemClock, today

    day: date = today(SystemClock()) + YEAR
    return day.isoformat()


@told
def accept(delegation: str = typer.Argument(..., help="The delegation: its IRI or id."), as_: str = AS, data: Path | None = DATA) -> None:
    """Accept what was offered to you."""
    with client_of(as_, data) as client:
        status = _act(client, "delegations", delegation, "acceptance")["delegationStatus"]
    out.print(f"accepted; it is {status}")


@told
def revoke(delegation: str = typer.Argument(..., help="The delegation: its IRI or id."), as_: str = AS, data: Path | None = DATA) -> None:
    """End what you have granted, or were granted; it is refused from the next request on."""
    with client_of(as_, data) as client:
        _act(client, "delegations", delegation, "revocation")
    out.print("revoked")


@told
def list_delegations(as_: str = AS, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """What you have granted, and what was granted to you."""
    _print("/delegations", ("id", "delegationStatus", "grantor", "delegate", "permission", "assetScope", "validTo"), as_, data, as_json)


@told
def invite(
    email: str = typer.Argument(..., help="The address that the person can prove at an identity provider of the node."),
    role: str = typer.Option("READER", "--role", help="ADMINISTRATOR, EDITOR or READER."),
    name: str = typer.Option("", "--name", help="What the person is called."),
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Invite a person of your organisation, who then signs in at the node's /signin."""
    document = {"type": "User", "userEmail": email, "userRole": role, **({"userName": name} if name else {})}
    with client_of(as_, data) as client:
        made = answered(client.post("/users", json=document, headers=LD_JSON))
    ends = made.json().get("inviteEnds", "")
    out.print(f"invited {escaped(email)} as {role} until {ends}: {made.headers['Location']}", soft_wrap=True)


@told
def deactivate(user: str = typer.Argument(..., help="The user: its IRI or id."), as_: str = AS, data: Path | None = DATA) -> None:
    """End a person's account; its sessions end with it."""
    with client_of(as_, data) as client:
        _act(client, "users", user, "deactivation")
    out.print("deactivated")


@told
def list_users(as_: str = AS, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """The people of your organisation."""
    _print("/users", ("id", "userStatus", "userRole", "userEmail", "userName"), as_, data, as_json)


def _act(client: httpx.Client, kind: str, record: str, action: str) -> dict[str, Any]:
    path = record if record.startswith("http") else f"/{kind}/{record.rsplit('/', 1)[-1]}"
    made: dict[str, Any] = answered(client.post(f"{path}/{action}")).json()
    return made


def _print(path: str, columns: tuple[str, ...], as_: str, data: Path | None, as_json: bool) -> None:
    items: list[dict[str, Any]] = []
    with client_of(as_, data) as client:
        following: str | None = f"{path}?limit=500"
        while following:
            page = answered(client.get(following)).json()
            items += page["items"]
            following = page.get("next")
    if as_json:
        print_json(items)
        return
    if not items:
        out.print("there are none yet")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for item in items:
        table.add_row(*(escaped(_short(item.get(column, ""))) for column in columns))
    out.print(table)


def _short(value: Any) -> str:
    return ", ".join(map(_short, value)) if isinstance(value, list) else str(value).rsplit("/", 1)[-1]
