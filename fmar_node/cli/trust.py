"""For organisations: who acts for them. Their people (users), and the platforms that they have granted something to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from textwrap import fill
from typing import Any

import httpx
import typer

from fmar_node.cli.console import answered, client_of, escaped, fail, organisation_of, out, print_json, told
from fmar_node.cli.participate import AS, DATA, JSON, LD_JSON
from fmar_node.errors import counted

PERMISSIONS = ("READ", "READ_PERSONAL", "REGISTER", "UPDATE", "DEREGISTER", "SWITCH", "PASSPORT", "CONTACTS")
OF_PASSPORTS = {"PASSPORT", "CONTACTS"}
YEAR = timedelta(days=365)
WHOSE = typer.Option("", "--organisation", help="As the operator, of which organisation: its IRI, or its name beside --data.")


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
    permission: list[str] = typer.Option(..., "--permission", help=f"One or more of {', '.join(PERMISSIONS)}; repeat it, or put commas between."),
    asset: list[str] = typer.Option([], "--asset", help="Only on this asset (its IRI); repeat for several. Without it: on all that you manage."),
    until: str = typer.Option("", "--until", help="The first day on which it no longer holds (default: in a year)."),
    from_: str = typer.Option("", "--from", help="The first day on which it holds (default: when it is accepted)."),
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Offer an organisation permissions on your assets, or your passport."""
    permissions = [each.strip().upper() for given in permission for each in given.split(",") if each.strip()]
    if unknown := [each for each in permissions if each not in PERMISSIONS]:
        fail(f"there is no permission {unknown[0]!r}", f"permissions are {', '.join(PERMISSIONS)}")
    document: dict[str, Any] = {
        "type": "Delegation",
        "delegate": organisation_of(to, data),
        "permission": permissions,
        "validTo": until or _in_a_year(),
    }
    if set(permissions) - OF_PASSPORTS:
        document["assetScope"] = "NAMED_ASSETS" if asset else "ALL_ASSETS"
    if asset:
        document["delegatedAsset"] = asset
    if from_:
        document["validFrom"] = from_
    with client_of(as_, data) as client:
        made = answered(client.post("/delegations", json=document, headers=LD_JSON))
    place = made.headers["Location"]
    out.print(f"offered {', '.join(permissions)} until {document['validTo']}: {place}", soft_wrap=True)
    who = "--as PROFILE" if to == document["delegate"] else f"--as {to}" + (f" --data {data}" if data else "")
    out.print(f"  it holds when the other side has accepted: fmar delegation accept {place} {escaped(who)}", soft_wrap=True)


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
def list_delegations(organisation: str = WHOSE, as_: str = AS, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """What you have granted, and what was granted to you; as the operator, of everybody."""
    whose = organisation_of(organisation, data) if organisation else ""
    with client_of(as_, data) as client:
        items = [each for each in listed(client, "/delegations") if whose in ("", each["grantor"], each["delegate"])]
        names = {} if as_json else names_of(client, items, "grantor", "delegate")
    tell(items, as_json, lambda item: (
        f"{item['delegationStatus']} until {item['validTo']}: {names[item['grantor']]} grants {names[item['delegate']]}",
        f"{', '.join(item['permission'])}{_on(item)}",
    ))  # fmt: skip


def _on(delegation: dict[str, Any]) -> str:
    """On which assets a delegation is; on none where it is of a passport."""
    named = delegation.get("delegatedAsset", ())
    return f" on {counted(len(named), 'asset')}" if named else " on all assets" if "assetScope" in delegation else ""


@told
def invite(
    email: str = typer.Argument(..., help="The address that the person can prove at an identity provider of the node."),
    role: str = typer.Option("READER", "--role", help="ADMINISTRATOR, EDITOR or READER."),
    name: str = typer.Option("", "--name", help="What the person is called."),
    organisation: str = WHOSE,
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Invite a person of your organisation (the operator: of any one), who then signs in at the node's /signin."""
    document = {"type": "User", "userEmail": email, "userRole": role, **({"userName": name} if name else {})}
    if organisation:
        document["userOf"] = organisation_of(organisation, data)
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
def list_users(organisation: str = WHOSE, as_: str = AS, data: Path | None = DATA, as_json: bool = JSON) -> None:
    """The people of your organisation; as the operator, of all."""
    with client_of(as_, data) as client:
        items = listed(client, "/users", **({"userOf": organisation_of(organisation, data)} if organisation else {}))
        names = {} if as_json else names_of(client, items, "userOf")
    tell(items, as_json, lambda item: (
        f"{item['userStatus']} {item['userRole']} of {names[item['userOf']]}",
        " ".join(item[term] for term in ("userName", "userEmail") if term in item),
    ))  # fmt: skip


def _act(client: httpx.Client, kind: str, record: str, action: str) -> dict[str, Any]:
    made: dict[str, Any] = answered(client.post(f"/{kind}/{record.rstrip('/').rsplit('/', 1)[-1]}/{action}")).json()
    return made


def listed(client: httpx.Client, path: str, **equal: str) -> list[dict[str, Any]]:
    """The records of a list, page by page."""
    items: list[dict[str, Any]] = []
    page = answered(client.get(path, params={"limit": "500", **equal})).json()
    items += page["items"]
    while following := page.get("next"):
        page = answered(client.get(following)).json()
        items += page["items"]
    return items


def names_of(client: httpx.Client, items: list[dict[str, Any]], *terms: str) -> dict[str, str]:
    """What the organisations are called that the records name by these terms."""
    found = {}
    for iri in {item[term] for item in items for term in terms}:
        response = client.get(f"/organisations/{iri.rsplit('/', 1)[-1]}")
        found[iri] = response.json()["organisationLegalName"] if response.is_success else iri
    return found


def tell(items: list[dict[str, Any]], as_json: bool, told_of: Callable[[dict[str, Any]], tuple[str, ...]]) -> None:
    """Each record with its IRI on a line of its own, whole, so that it can be copied."""
    if as_json:
        print_json(items)
        return
    if not items:
        out.print("there are none yet")
    for item in items:
        out.print(item["id"], soft_wrap=True)
        for line in told_of(item):
            out.print(escaped(fill(line, out.width, initial_indent="  ", subsequent_indent="  ")))
