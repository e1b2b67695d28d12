"""For participants and those who onboard them: organisations, keys, assets, lookups, queries."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import typer
from rich.table import Table

from fmar_node.cli.bulk import MANY, register_in_job, register_many
from fmar_node.cli.console import (
    DATA_HELP,
    Refused,
    answered,
    client_of,
    data_folder,
    err,
    escaped,
    fail,
    found_profile,
    media_type_of,
    organisation_of,
    out,
    print_json,
    profile_folder,
    profile_of,
    show_problem,
    told,
)
from fmar_node.cli.keep import rotate_journal, rotate_signing
from fmar_node.client import Profile, connect, is_loopback, new_key, public_part, thumbprint

AS = typer.Option(..., "--as", help="A profile folder, or a participant's name beside --data.")
DATA = typer.Option(None, "--data", help=DATA_HELP)
NODE = typer.Option("", "--node", help="The node's URL (default: the profile's).")
FOR = typer.Option("", "--for", help="The organisation that you act for and that has granted it: its IRI, or its name beside --data.")
JSON = typer.Option(False, "--json", help="Print JSON.")
WHOSE = typer.Option("", "--organisation", help="Whose application it is: an IRI, or a name beside --data (default: what the profile of the application's name beside --data says).")
REASON = typer.Option("", "--reason", help="Why it is approved although the companies register does not agree.")
IDENTITY_SECONDS = 15.0
"""How long `participant add` waits for the companies register."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LD_JSON = {"Content-Type": "application/ld+json"}
ROLES = {
    "operator": "FMAR_OPERATOR", "fsp": "FSP", "dso": "DNO", "neso": "SYSTEM_OPERATOR", "regulator": "REGULATOR",
    "platform": "PLATFORM", "installer": "INSTALLER", "owner": "ASSET_OWNER",
}  # fmt: skip
ACCEPT = {"json": "application/sparql-results+json", "csv": "text/csv", "tsv": "text/tab-separated-values", "xml": "application/sparql-results+xml"}


def add_to(app: typer.Typer) -> None:
    participant = typer.Typer(help="Onboard organisations.", no_args_is_help=True)
    participant.command("add")(add_participant)
    participant.command("approve")(approve_participant)
    participant.command("rekey")(rekey_participant)
    app.add_typer(participant, name="participant")
    key = typer.Typer(help="Rotate and revoke keys.", no_args_is_help=True)
    key.command("rotate")(rotate_key)
    key.command("revoke")(revoke_key)
    key.command("public")(public_key)
    key.command("rotate-journal")(rotate_journal)
    key.command("rotate-signing")(rotate_signing)
    app.add_typer(key, name="key")
    asset = typer.Typer(help="Register assets.", no_args_is_help=True)
    asset.command("register")(register_assets)
    app.add_typer(asset, name="asset")
    for name, command in (("lookup", look_up), ("get", get), ("query", query), ("agent", agent)):
        app.command(name)(command)


@told
def add_participant(
    name: str = typer.Argument(..., help="A short name: the profile's folder and the client id."),
    role: list[str] = typer.Option([], help=f"One or more of {', '.join(ROLES)}."),
    legal_name: str = typer.Option("", help="The organisation's legal name (default: the short name)."),
    type_: str = typer.Option("", "--type", help="OrganisationType, e.g. LTD, PLC, LLP, CHARITY (default: LTD with a registration number, OTHER without)."),
    registration_number: str = typer.Option("", help="Companies House number."),
    area: list[str] = typer.Option([], help="Licence area of a DSO, e.g. UKPN_EPN; repeat for several."),
    document: Path | None = typer.Option(None, help="A whole organisation document instead of the options above."),
    reason: str = REASON,
    data: Path | None = DATA,
) -> None:
    """Register and approve an organisation as the operator, and give it an application key."""
    _check_name(name)
    if not (role or document):
        fail("what is this organisation?", f"give --role (one or more of {', '.join(ROLES)}), or --document")
    role = [_role_code(each) for each in role]
    described = json.loads(document.read_text("utf-8")) if document else organisation(legal_name or name, role, area, registration_number, type_)
    folder = data_folder(data) / "participants" / name
    _tell_onboarded(name, onboard(profile_of("operator", data), name, described, folder, reason), folder)


@told
def approve_participant(
    name: str = typer.Argument(..., help="A short name: the profile's folder and the client id."),
    organisation_iri: str = typer.Option(..., "--organisation", help="The organisation that has been registered and waits for approval."),
    reason: str = REASON,
    data: Path | None = DATA,
) -> None:
    """Approve an organisation that `participant add` has registered and left waiting, and give it an application key."""
    _check_name(name)
    operator, folder = profile_of("operator", data), data_folder(data) / "participants" / name
    _check_free(folder)
    with connect(operator) as client:
        profile = admit(client, operator, name, organisation_iri, folder, reason)
    _tell_onboarded(name, profile, folder)


@told
def rekey_participant(
    name: str = typer.Argument(..., help="The application: its client id, and the name of its profile."),
    organisation: str = WHOSE,
    data: Path | None = DATA,
) -> None:
    """Give an application a new key as the operator, where its own is lost, stolen or revoked; its older keys are revoked, its profile is written anew."""
    _check_name(name)
    operator, folder = profile_of("operator", data), data_folder(data) / "participants" / name
    if name == operator.client_id:
        fail("this is the key that you act with", f"fmar key rotate --as {name} --data {data_folder(data)}")
    iri = _organisation_of_application(name, organisation, data)
    with connect(operator) as client:
        keys = answered(client.get(iri)).json().get("applicationKey", ())
        if any((key["clientId"], key["keyStatus"]) == (name, "ACTIVE") for key in keys):
            answered(client.post(f"{iri}/key-revocation", json={"clientId": name}, headers=LD_JSON))
        give_key(client, operator, name, iri, folder)
    out.print(f"{name} has a new key; its older keys are revoked", soft_wrap=True)
    out.print(f"  profile {escaped(str(folder))}", soft_wrap=True)


def _tell_onboarded(name: str, profile: Profile, folder: Path) -> None:
    out.print(f"onboarded {name}: {profile.organisation}", soft_wrap=True)
    out.print(f"  profile {escaped(str(folder))}", soft_wrap=True)


def _role_code(text: str) -> str:
    """The code of a role, given by its short name or itself, in any case."""
    codes = {**ROLES, **{code.lower(): code for code in ROLES.values()}}
    return codes.get(text.lower()) or fail(f"no role {text!r}", f"roles are {', '.join(ROLES)}")


def organisation(legal_name: str, roles: list[str], areas: list[str], number: str = "", type_: str = "") -> dict[str, Any]:
    """An organisation document with the least that one needs."""
    described: dict[str, Any] = {
        "type": "Organisation",
        "organisationLegalName": legal_name,
        "organisationType": type_.upper() or ("LTD" if number else "OTHER"),
        "organisationRoles": roles,
    }
    if number:
        described["organisationRegistrationNumber"] = number
    if described["organisationType"] == "OTHER":
        described["organisationTypeDescription"] = "not stated"
    return {**described, "licenceArea": areas} if areas else described


def onboard(operator: Profile, name: str, described: dict[str, Any], folder: Path, reason: str = "") -> Profile:
    """Registers, approves and keys an organisation; its profile is saved in `folder`."""
    _check_free(folder)
    with connect(operator) as client:
        made = answered(client.post("/organisations", json=described, headers=LD_JSON))
        return admit(client, operator, name, made.headers["Location"], folder, reason, made.json())


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        fail(f"{name!r} cannot be a name", "letters, digits, dots, hyphens and underscores, as in fsp-a")


def _check_free(folder: Path) -> None:
    if (folder / "profile.json").exists():
        fail(f"{folder} holds a profile already", f"choose another name; where it needs a new key: fmar participant rekey {folder.name} --data {folder.parents[1]}")


def admit(
    client: httpx.Client, operator: Profile, name: str, iri: str, folder: Path, reason: str = "", known: dict[str, Any] | None = None
) -> Profile:
    """Approves a registered organisation once its identity has been asked about, and keys it; its profile is saved in `folder`."""
    found = _asked(client, iri, known)
    go_on = f"fmar participant approve {name} --organisation {iri} --data {folder.parents[1]}"
    if found.get("identityStatus") == "QUERY" and not reason:
        _show_evidence(found)
        fail(f"{iri} is registered and not approved: the companies register does not agree", f'mend the document with PUT, or: {go_on} --reason "why it is right all the same"')
    try:
        looked_at = {"If-Match": answered(client.get(iri)).headers["ETag"]}
        answered(client.post(f"{iri}/approval", json={"approvalReason": reason} if reason else {}, headers=LD_JSON | looked_at))
    except Refused:
        if found.get("identityStatus") != "PENDING":
            raise
        fail(f"{iri} is registered and not approved: the companies register has not answered yet", f"the node goes on asking; later: {go_on}")
    return give_key(client, operator, name, iri, folder)


def give_key(client: httpx.Client, operator: Profile, name: str, iri: str, folder: Path) -> Profile:
    """Registers a new key of an organisation's application; the profile that has it is saved in `folder`."""
    key = new_key()
    answered(client.post(f"{iri}/key-registration", json=_key_note(name, key), headers=LD_JSON))
    profile = Profile(operator.node, operator.issuer, operator.token_endpoint, name, iri, key, operator.ca)
    profile.save(folder)
    return profile


def _asked(client: httpx.Client, iri: str, known: dict[str, Any] | None) -> dict[str, Any]:
    """The organisation, as soon as nothing is being asked about it, or when that takes too long."""
    found: dict[str, Any] = known if known is not None else answered(client.get(iri)).json()
    if found.get("identityStatus") != "PENDING":
        return found
    until, pause = time.monotonic() + IDENTITY_SECONDS, 0.05
    with err.status("the companies register is being asked"):
        while found.get("identityStatus") == "PENDING" and time.monotonic() < until:
            time.sleep(pause)
            pause = min(2 * pause, 1.0)
            found = answered(client.get(iri)).json()
    return found


def _show_evidence(found: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("field", "outcome", "here", "in the companies register"):
        table.add_column(column, overflow="fold")
    for part in found.get("identityEvidence", ()):
        field = str(part.get("evidenceField", ""))
        table.add_row(*(escaped(str(each)) for each in (field, part.get("evidenceOutcome", ""), found.get(field, ""), part.get("comparedWith", ""))))
    err.print(table)


def _key_note(client_id: str, key: dict[str, Any]) -> dict[str, str]:
    return {"clientId": client_id, "applicationName": client_id, "publicKey": json.dumps(public_part(key))}


@told
def rotate_key(as_: str = AS, data: Path | None = DATA) -> None:
    """Register a new key for this application, then revoke the old one."""
    folder = profile_folder(as_, data)
    old = Profile.load(folder)
    key = new_key()
    with connect(old) as client:
        answered(client.post(f"{old.organisation}/key-registration", json=_key_note(old.client_id, key), headers=LD_JSON))
    fresh = replace(old, key=key)
    fresh.save(folder)
    note = {"clientId": old.client_id, "keyId": thumbprint(old.key)}
    with connect(fresh) as client:
        answered(client.post(f"{old.organisation}/key-revocation", json=note, headers=LD_JSON))
    out.print(f"rotated the key of {old.client_id}; the old one is revoked")


@told
def public_key(as_: str = AS, data: Path | None = DATA) -> None:
    """Print the public part of an application's key (JWK): what is registered at a node, and what others verify by."""
    print_json(public_part(profile_of(as_, data).key))


@told
def revoke_key(
    client_id: str = typer.Argument(..., help="The application."),
    key_id: str = typer.Option("", help="One key (default: all keys of the application)."),
    organisation: str = WHOSE,
    as_: str = AS,
    data: Path | None = DATA,
) -> None:
    """Revoke an application's key; it is refused from the next request on."""
    profile = profile_of(as_, data)
    is_own = client_id == profile.client_id and not organisation
    iri = profile.organisation if is_own else _organisation_of_application(client_id, organisation, data)
    note = {"clientId": client_id, **({"keyId": key_id} if key_id else {})}
    with connect(profile) as client:
        made = client.post(f"{iri}/key-revocation", json=note, headers=LD_JSON)
    if not made.is_success and any(fault["code"] == "ORGANISATION-KEY-5" for fault in made.json().get("errors", ())):
        fail(f"{iri} has no active key {key_id or 'at all'} of {client_id}", "fmar get and that IRI shows its applicationKey; where it is another organisation's application, give --organisation")
    answered(made)
    out.print(f"revoked {key_id or 'all keys'} of {client_id}")


def _organisation_of_application(client_id: str, organisation: str, data: Path | None) -> str:
    """The IRI of the organisation whose application it is: the one that is named, otherwise that of the participant of this name."""
    folder = None if organisation else found_profile(client_id, data)
    if not organisation and folder is None:
        fail(f"there is no participant {client_id!r} beside {data_folder(data)}", "give --organisation, the IRI or the name of the organisation whose application it is")
    return organisation_of(organisation or str(folder), data)


@told
def register_assets(
    files: list[Path] = typer.Argument(..., exists=True, dir_okay=False, help="Documents, one asset each: JSON-LD, Turtle, N-Triples or RDF/XML, in our terms or in CIM; or many assets, one in a row of CSV or a line of NDJSON."),
    as_: str = AS,
    data: Path | None = DATA,
    for_: str = FOR,
    node: str = NODE,
    dry_run: bool = typer.Option(False, help="Judge only, write nothing."),
    upsert: bool = typer.Option(False, help="By friendly code: what you have registered is brought up to date."),
    key: str = typer.Option("", help="Of many assets: what the file is known by when it is sent again (default: its content)."),
    job: bool = typer.Option(False, "--job", help="Of many assets: send the file whole, and let the node work through it; what is done does not depend on this command."),
    as_json: bool = JSON,
) -> None:
    """Register assets from documents, or from the rows of a table: fmar get assets/template has one to fill in."""
    refused = 0
    params = {**({"dry-run": "true"} if dry_run else {}), **({"upsert": "friendlyCode"} if upsert else {})}
    with client_of(as_, data, for_) as client:
        for file in files:
            if file.suffix.lower() in MANY:
                register = register_in_job if job else register_many
                refused += register(client, f"{node}/assets/batch", file, params, key, as_json)
                continue
            response = client.post(f"{node}/assets", content=file.read_bytes(), headers={"Content-Type": media_type_of(file), "Accept": LD_JSON["Content-Type"]}, params=params)
            refused += not response.is_success
            _tell_registered(file, response, as_json)
    if refused:
        raise typer.Exit(1)


def _tell_registered(file: Path, response: httpx.Response, as_json: bool) -> None:
    if as_json:
        print_json(response.json())
    elif response.is_success:
        place, index = response.headers.get("Location"), response.headers.get("Fmar-Journal-Index")
        told = {"registered": f"{place}  journal index {index}", "up to date": f"version {response.json().get('version')}", "would be accepted": "(dry run: nothing was written)"}
        word = "registered" if place else "up to date" if index else "would be accepted"
        out.print(f"[green]{word}[/] {escaped(file.name)}  {told[word]}", soft_wrap=True)
        if code := response.headers.get("Fmar-Claim-Code"):
            out.print(f"  claim code for its owner, told this once: {escaped(code)}", soft_wrap=True)
    else:
        out.print(f"[red]refused[/] {escaped(file.name)}", soft_wrap=True)
        show_problem(response.json())


@told
def look_up(
    values: list[str] = typer.Argument(..., help="The identifier's value, or several of one scheme."),
    scheme: str = typer.Option("MPAN", help="MPAN, SERIAL, EVSE, FRIENDLY_CODE, ECR, ..."),
    manufacturer: str = typer.Option("", help="For a serial number: its manufacturer."),
    as_: str = AS,
    data: Path | None = DATA,
    for_: str = FOR,
    as_json: bool = JSON,
) -> None:
    """Find assets by identifiers; an identifier never stands in a URL."""
    asked = [{"scheme": scheme, "value": value, **({"manufacturer": manufacturer} if manufacturer else {})} for value in values]
    with client_of(as_, data, for_) as client:
        found = answered(client.post("/assets/lookup", json=asked[0] if len(asked) == 1 else {"identifiers": asked})).json()
    answers = found.get("answers", [found])
    if as_json:
        print_json(found)
    for value, answer in zip(values, [] if as_json else answers, strict=False):
        named = f"{escaped(value)}  " if len(values) > 1 else ""
        told = [f"{item['id']}  {item.get('assetCategory', '')}  {item.get('registrationStatus', '')}" for item in answer.get("items", ())]
        for line in told or [answer["outcome"]]:
            out.print(f"{named}{line}", soft_wrap=True)
    if not all("items" in answer for answer in answers):
        raise typer.Exit(1)


@told
def get(
    record: str = typer.Argument(..., help="A record's URL, or its path such as assets/0190..."),
    as_: str = AS,
    data: Path | None = DATA,
    for_: str = FOR,
    accept: str = typer.Option("application/ld+json", help="The media type to ask for."),
    profile: str = typer.Option("", help="The profile to ask for: fmar, cim or labelled."),
    at: str = typer.Option("", help="As it stood at this time."),
    version: int | None = typer.Option(None, help="This version."),
) -> None:
    """Read a record."""
    asked = {"profile": profile, "at": at, "version": "" if version is None else str(version)}
    params = {name: value for name, value in asked.items() if value}
    with client_of(as_, data, for_) as client:
        url = record if record.startswith("http") else f"/{record.lstrip('/')}"
        sys.stdout.write(answered(client.get(url, params=params, headers={"Accept": accept})).text)


@told
def query(
    text: str = typer.Argument("", help="A SPARQL query, or a file that holds one, or - for standard input."),
    saved: str = typer.Option("", "--saved", help="A saved query by its name instead; fmar queries list has them."),
    param: list[str] = typer.Option([], "--param", help="A value for a saved query, as name=value; repeat for several."),
    as_: str = typer.Option("", "--as", help="A profile (without one: the public graph of --node)."),
    data: Path | None = DATA,
    node: str = NODE,
    format_: str = typer.Option("table", "--format", help="table, json, csv, tsv, xml, or a media type."),
    timeout: float | None = typer.Option(None, help="Seconds that the query may run."),
    for_: str = typer.Option("", "--for", help="Not here: your own graph holds what everybody has granted you."),
) -> None:
    """Ask a SPARQL query, or a saved one, inside your own window."""
    if for_:
        fail("a query is asked with your own credential, not on behalf of another", "leave --for out: your graph holds what everybody has granted you, and managedBy says whose an asset is")
    if bool(text) == bool(saved) or (param and not saved):
        fail("what is asked?", "give a SPARQL query, or --saved NAME and --param name=value; fmar queries list has the names")
    if format_ != "table" and format_ not in ACCEPT and "/" not in format_:
        fail(f"no format {format_!r}", f"formats are table, {', '.join(ACCEPT)}, or a media type")
    accept = ACCEPT["json"] + ", text/turtle;q=0.9" if format_ == "table" else ACCEPT.get(format_, format_)
    params: list[tuple[str, str | int | float | bool | None]] = [("timeout", str(timeout))] if timeout else []
    with client_of(as_, data) if as_ else anonymous(node or "http://127.0.0.1:8080") as client:
        if saved:
            response = client.get(f"{node}/queries/{quote(saved, safe='')}", headers={"Accept": accept}, params=[*params, *map(_value, param)])
        else:
            headers = {"Content-Type": "application/sparql-query", "Accept": accept}
            response = client.post(f"{node}/sparql", content=_sparql(text).encode(), headers=headers, params=params)
    _show_answer(answered(response), is_table=format_ == "table")


def _value(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals:
        fail(f"{given!r} gives no value", "a parameter is given as name=value")
    return name, value


def _sparql(text: str) -> str:
    if text == "-":
        return sys.stdin.read()
    if not _is_file(text) and not re.search(r"[\s{]", text):
        fail(f"there is no file {text}", "a query is a text of SPARQL, a file that holds one, or - for standard input")
    return Path(text).read_text("utf-8-sig") if _is_file(text) else text


def _show_answer(response: httpx.Response, *, is_table: bool) -> None:
    if is_table and "sparql-results+json" in response.headers["content-type"]:
        out.print(results_table(response.json()))
    else:
        sys.stdout.write(response.text)


def anonymous(node: str) -> httpx.Client:
    """A client without a credential; requests to this machine never go through a proxy."""
    return httpx.Client(base_url=node, trust_env=not is_loopback(httpx.URL(node).host))


def _is_file(text: str) -> bool:
    return len(text) < 250 and "\n" not in text and Path(text).is_file()


def results_table(results: dict[str, Any]) -> Table | str:
    """SPARQL JSON results for a person: IRIs shortened to what follows the last # or /."""
    if "boolean" in results:
        return "yes" if results["boolean"] else "no"
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in results["head"]["vars"]:
        table.add_column(escaped(name), overflow="fold")
    for row in results["results"]["bindings"]:
        table.add_row(*(escaped(_short(row.get(name, {}))) for name in results["head"]["vars"]))
    return table


def _short(cell: dict[str, str]) -> str:
    value = cell.get("value", "")
    return value.rsplit("#", 1)[-1].rsplit("/", 1)[-1] if cell.get("type") == "uri" else value


@told
def agent(
    as_: str = AS,
    data: Path | None = DATA,
    for_: str = FOR,
    port: int = typer.Option(8081, min=0, max=65_535, help="The loopback port to listen on."),
) -> None:
    """A loopback proxy that adds your credential, so that any plain HTTP or SPARQL tool can use the node."""
    from fmar_node.cli.agent import serve_agent

    folder, profile = profile_folder(as_, data), profile_of(as_, data)
    profile = profile.acting_for(organisation_of(for_, data)) if for_ else profile
    said = f"{profile.client_id} at {profile.node} through"
    try:
        serve_agent(profile, port, lambda address: out.print(f"{said} {address}  (Ctrl-C ends)"), lambda: Profile.load(folder))
    except OSError as error:
        fail(f"the agent cannot listen on port {port}: {error.strerror or error}", "--port takes another one; 0 is any free one")
