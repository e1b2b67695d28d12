"""The `fmar` command as an operator and a participant run it: each command as a real process, more of its cases in this one.

Rules kept here: output that is data goes to standard output, an error with a hint to standard error; the exit status
is 0, 1 for what is refused, 2 for usage; nobody is shown a traceback.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import typer
from typer.testing import CliRunner

from fmar_node.cli.bulk import pieces_of
from fmar_node.cli.console import out
from fmar_node.cli.main import app
from fmar_node.client import CredentialError, Profile, connect
from fmar_node.folder import Folder
from fmar_node.journal.tree import ProofError
from fmar_node.keeping.checkup import check_node
from fmar_node.keeping.maintenance import open_register, verify_journal
from fmar_node.vocabulary import packaged
from tests.cim.documents import CIMXML
from tests.cim.documents import asset as cim_asset
from tests.live import Live, free_port
from tests.market import battery

EXAMPLES = Path(__file__).parents[2] / "examples"
SAMPLE = EXAMPLES / "data" / "ukpn-ecr-sample.csv"
BATTERY, BROKEN = EXAMPLES / "documents" / "battery.json", EXAMPLES / "documents" / "broken.json"
FMAR = "https://w3id.org/fmar/ns#"
COMMAND = [sys.executable, "-m", "fmar_node.cli"]
WIDE = {"COLUMNS": "200", "TERMINAL_WIDTH": "200"}
Done = subprocess.CompletedProcess[str]


def fmar(*arguments: object, stdin: str = "") -> Done:
    """The outcome of one run of the command."""
    called = [*COMMAND, *map(str, arguments)]
    done = subprocess.run(called, check=False, capture_output=True, text=True, input=stdin, timeout=60)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done


def here(*arguments: object) -> Done:
    """The same command in this process, which saves the start of one."""
    done = CliRunner().invoke(app, [*map(str, arguments)], env=WIDE)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Done(arguments, done.exit_code, done.stdout, done.stderr)


def succeeded(done: Done) -> str:
    """What a run printed that did its work."""
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def failed(done: Done, *words: str) -> None:
    """A run did not do its work, and said so on standard error in these words, with a hint."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert [word for word in (*words, "hint:") if word not in done.stderr] == [], done.stderr


def as_(live: Live, name: str = "fsp-a") -> tuple[object, ...]:
    return ("--as", name, "--data", live.folder)


def written(folder: Path, name: str, document: Any) -> Path:
    file = folder / name
    file.write_text(json.dumps(document), "utf-8")
    return file


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that only these tests use, with one provider."""
    with Live(tmp_path_factory.mktemp("own"), {"fsp-a": {"roles": ["FSP"]}}) as node:
        node.register()
        yield node


@pytest.fixture
def running(own: Live) -> Live:
    """The node, started again where another test has stopped it."""
    if own.process.poll() is not None:
        own.start()
    return own


@pytest.fixture(scope="module")
def at_rest(own: Live, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The data folder of a stopped node; not to be changed."""
    copy = tmp_path_factory.mktemp("at-rest") / "data"
    own.stop()
    shutil.copytree(own.folder, copy)
    return Folder(copy)


@pytest.fixture
def stopped(at_rest: Folder, tmp_path: Path) -> Folder:
    """A copy of the stopped node's folder."""
    shutil.copytree(at_rest.root, tmp_path / "data")
    return Folder(tmp_path / "data")


# -- help


def commands(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every level of the command, with what is typed to reach it."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, (*path, name))


LEVELS = dict(commands())


@pytest.mark.parametrize("path", LEVELS, ids=lambda path: " ".join(path) or "fmar")
def test_help_names_every_option_and_command(path: tuple[str, ...]) -> None:
    command = LEVELS[path]

    shown = here(*path, "--help")

    words = set(re.findall(r"[\w-]+", shown.stdout))
    options = {name for each in command.params for name in each.opts if name.startswith("-")}
    assert shown.returncode == 0
    assert sorted((options | set(getattr(command, "commands", {}))) - words) == []


def test_help_explains_every_option() -> None:
    silent = [(*path, each.name) for path, command in LEVELS.items() for each in command.params if not getattr(each, "help", None)]

    assert silent == []


def test_help_is_short_and_on_standard_output() -> None:
    said = succeeded(fmar("asset", "register", "-h"))

    assert "Usage:" in said and "--dry-run" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["serve", "--bogus"], "No such option"),
        (["get", "assets/1"], "Missing option '--as'"),
        (["agent", "--as", "x", "--port", "many"], "Invalid value for '--port'"),
        (["asset", "register", "absent.json", "--as", "x"], "does not exist"),
        (["import", "ecr", str(SAMPLE), "--as", "x", "--limit", "-1"], "Invalid value for '--limit'"),
    ],
    ids=lambda each: " ".join(each)[:30] if isinstance(each, list) else "",
)
def test_wrong_usage_has_status_2(arguments: list[str], said: str) -> None:
    done = here(*arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: " in done.stderr and said in done.stderr


# -- init and serve


def test_init_makes_a_folder_with_an_operator(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a [bracket] of data")

    said = succeeded(fmar("init", folder.root, "--base-url", "https://fmar.example.org/", "--operator", "The Office"))

    operator = Profile.load(folder.participants / "operator")
    assert f"made {folder.root}\n" in said and operator.organisation in said
    assert operator.organisation.startswith("https://fmar.example.org/organisations/")
    assert stat.S_IMODE((folder.root / "keys").stat().st_mode) == 0o700
    failed(here("init", folder.root), "has a node already")
    assert Profile.load(folder.participants / "operator") == operator


@pytest.mark.parametrize("url", ["ftp://node.example", "http://[x"])
def test_init_refuses_what_cannot_be_a_base_url(tmp_path: Path, url: str) -> None:
    failed(here("init", tmp_path / "data", "--base-url", url), repr(url), "https://fmar.example.org")

    assert not (tmp_path / "data").exists()


def test_serve_refuses_a_folder_that_is_none(tmp_path: Path) -> None:
    done = fmar("serve", "--data", tmp_path)

    assert done.returncode == 1
    assert f"{tmp_path} is not a node's data folder: is --data right, and the disk in its place? A new node is made with: fmar init" in done.stderr


def test_serve_refuses_another_base_url(live: Live) -> None:
    done = fmar("serve", "--data", live.folder, "--base-url", "https://elsewhere.example")

    assert done.returncode == 1
    assert f"made for {live.url}" in done.stderr and "cannot be served as https://elsewhere.example" in done.stderr
    assert "fmar init" in done.stderr


# -- participants and their keys


def test_participant_add_onboards_with_roles_and_areas(live: Live) -> None:
    given = ["--role", "dso", "--role", "owner", "--area", "UKPN_EPN", "--area", "UKPN_SPN", "--legal-name", "Grid & Co"]

    said = succeeded(fmar("participant", "add", "grid", *given, "--data", live.folder))

    profile = Profile.load(live.folder / "participants" / "grid")
    with connect(profile) as client:
        record = client.get(profile.organisation).json()
    assert profile.organisation in said
    assert record["organisationLegalName"] == "Grid & Co"
    assert sorted(record["organisationRoles"]) == ["ASSET_OWNER", "DNO"]
    assert sorted(record["licenceArea"]) == ["UKPN_EPN", "UKPN_SPN"]


def test_participant_add_takes_a_document(live: Live, tmp_path: Path) -> None:
    document = {"type": "Organisation", "organisationLegalName": "Papers", "organisationType": "CHARITY", "organisationRoles": ["FSP"]}

    succeeded(here("participant", "add", "papers", "--document", written(tmp_path, "o.json", document), "--data", live.folder))

    profile = Profile.load(live.folder / "participants" / "papers")
    with connect(profile) as client:
        assert client.get(profile.organisation).json()["organisationType"] == "CHARITY"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody", "--role", "king"], "no role 'king'"),
        (["nobody"], "--role"),
        (["../nobody", "--role", "fsp"], "cannot be a name"),
        (["fsp-a", "--role", "fsp"], "holds a profile already"),
        (["nobody", "--role", "dso", "--area", "NOWHERE"], "Organisation.licenceArea"),
    ],
    ids=["unknown role", "no role", "bad name", "name taken", "unknown area"],
)
def test_participant_add_refuses(live: Live, arguments: list[str], said: str) -> None:
    before = live.profiles["fsp-a"]

    failed(here("participant", "add", *arguments, "--data", live.folder), said)

    assert not (live.folder / "participants" / "nobody").exists()
    assert Profile.load(live.folder / "participants" / "fsp-a") == before


def test_rotated_and_revoked_keys_are_refused_at_the_next_request(live: Live) -> None:
    succeeded(here("participant", "add", "turner", "--role", "fsp", "--data", live.folder))
    old = Profile.load(live.folder / "participants" / "turner")
    with connect(old) as held:
        assert held.get(old.organisation).status_code == 200

        said = succeeded(fmar("key", "rotate", *as_(live, "turner")))

        assert "the old one is revoked" in said
        with pytest.raises(CredentialError, match="revoked"):
            held.get("/assets?managed=me")
    fresh = Profile.load(live.folder / "participants" / "turner")
    assert fresh.key_id != old.key_id and stat.S_IMODE((live.folder / "participants" / "turner" / "key.jwk").stat().st_mode) == 0o600
    assert old.organisation in succeeded(here("get", fresh.organisation, *as_(live, "turner")))
    succeeded(here("key", "revoke", "turner", "--key-id", fresh.key_id, *as_(live, "turner")))
    failed(fmar("get", fresh.organisation, *as_(live, "turner")), "no token from", "has been revoked", "hint: the organisation registers another key", "fmar participant rekey")


def test_an_operator_revokes_all_keys_of_another_application(live: Live) -> None:
    succeeded(here("participant", "add", "leaver", "--role", "FSP", "--data", live.folder))
    leaver = Profile.load(live.folder / "participants" / "leaver")

    said = succeeded(fmar("key", "revoke", "leaver", "--organisation", leaver.organisation, *as_(live, "operator")))

    assert "revoked all keys of leaver" in said
    failed(here("lookup", "1012345678901", *as_(live, "leaver")), "no token from")


def test_an_application_is_found_as_other_names_are_and_never_taken_for_ones_own(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    succeeded(here("participant", "add", "second", "--role", "fsp", "--data", live.folder))
    (tmp_path / ".fmar-demo").symlink_to(live.folder)
    monkeypatch.chdir(tmp_path)

    assert succeeded(here("key", "revoke", "second", "--as", "operator")) == "revoked all keys of second\n"
    failed(here("key", "revoke", "second", "--organisation", "second", "--as", "operator"), Profile.load(live.folder / "participants" / "second").organisation, "has no active key at all of second")
    failed(here("key", "revoke", "nobody", "--as", "operator"), "there is no participant 'nobody' beside .fmar-demo", "--organisation")


@pytest.mark.parametrize(("there", "used"), [((".fmar-demo", "fmar-data"), ".fmar-demo"), (("fmar-data",), "fmar-data"), ((), "fmar-data")])
def test_names_are_looked_up_beside_one_folder_by_every_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], used: str) -> None:
    for name in there:
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)

    for command in (["export", "--as", "nobody"], ["key", "revoke", "nobody", "--as", "nobody"], ["participant", "rekey", "nobody"]):
        failed(here(*command), f"beside {used}")
    assert used in here("security-log").stderr


def test_a_participant_without_a_key_is_given_one_and_the_journal_says_by_whom(live: Live) -> None:
    """Of all that it had only the new one works."""
    succeeded(here("participant", "add", "robbed", "--role", "fsp", "--data", live.folder))
    folder = live.folder / "participants" / "robbed"
    stolen = Profile.load(folder)
    succeeded(here("key", "revoke", "robbed", *as_(live, "operator")))

    said = succeeded(fmar("participant", "rekey", "robbed", "--data", live.folder))
    first = Profile.load(folder)
    shutil.rmtree(folder)
    succeeded(here("participant", "rekey", "robbed", "--organisation", stolen.organisation, "--data", live.folder))

    fresh = Profile.load(folder)
    assert said == f"robbed has a new key; its older keys are revoked\n  profile {folder}\n"
    assert stolen.organisation in succeeded(here("get", fresh.organisation, *as_(live, "robbed")))
    for old in (stolen, first):
        with connect(old) as client, pytest.raises(CredentialError, match="revoked"):
            client.get("/assets")
    with connect(fresh) as client:
        history = [(line["action"], line["by"]["organisation"]) for line in client.get(f"{fresh.organisation}/history").json()["items"]]
    operator = live.profiles["operator"].organisation.rsplit("/", 1)[1]
    assert history[-4:] == [(action, operator) for action in ("key-revocation", "key-registration") * 2]


@pytest.mark.parametrize(
    ("name", "said"),
    [("operator", "fmar key rotate"), ("nobody", "--organisation"), ("../nobody", "cannot be a name")],
)
def test_a_new_key_is_not_given_to_whoever_is_unknown_or_does_it(live: Live, name: str, said: str) -> None:
    before = Profile.load(live.folder / "participants" / "operator")

    failed(here("participant", "rekey", name, "--data", live.folder), said)

    assert Profile.load(live.folder / "participants" / "operator") == before
    assert not (live.folder / "participants" / "nobody").exists()


def test_an_unknown_profile_is_refused(live: Live) -> None:
    failed(here("export", "--as", "nobody", "--data", live.folder), "no profile 'nobody'")


# -- assets


def test_each_file_is_registered_or_refused_with_its_codes(live: Live, tmp_path: Path) -> None:
    good, other = (written(tmp_path, name, live.battery()) for name in ("good [1].json", "other.json"))
    bad = written(tmp_path, "bad.json", live.battery(serialNumber="*", importMPAN="1000990000018"))

    done = fmar("asset", "register", good, bad, other, *as_(live))

    assert done.returncode == 1
    lines = [re.sub(r" +\S*/assets/\S{36} +journal index \d+$", "", line) for line in done.stdout.splitlines()]
    assert lines == ["registered good [1].json", "refused bad.json", "registered other.json"]
    failed(done, "422 validation-failed", "A12", "/serialNumber", "A20", "/importMPAN")


def test_a_dry_run_writes_nothing(live: Live, tmp_path: Path) -> None:
    document = live.battery()
    file = written(tmp_path, "asset.json", document)

    said = succeeded(fmar("asset", "register", file, "--dry-run", *as_(live)))

    assert said == "would be accepted asset.json  (dry run: nothing was written)\n"
    assert live.client("fsp-a").post("/assets/lookup", json={"scheme": "MPAN", "value": document["importMPAN"]}).status_code == 404


def test_register_prints_json_in_place_of_text(live: Live, tmp_path: Path) -> None:
    file = written(tmp_path, "asset.json", live.battery())

    record = json.loads(succeeded(here("asset", "register", file, "--json", *as_(live))))
    refused = here("asset", "register", file, "--json", *as_(live))

    assert live.client("fsp-a").get(record["id"]).status_code == 200
    assert refused.returncode == 1 and json.loads(refused.stdout)["errors"][0]["code"] == "DUPLICATE_EXACT"


def sheet(tmp_path: Path, rows: list[dict[str, Any]], name: str = "assets.csv") -> Path:
    """A table of these documents under a title, parts as JSON."""
    file = tmp_path / name
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("# FMAR assets 1.0.0\n")
        writer = csv.DictWriter(out, [term for term in rows[0] if term != "type"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows({term: json.dumps(value) if isinstance(value, list) else value for term, value in row.items()} for row in rows)
    return file


def test_a_table_is_registered_row_by_row_and_goes_on_where_it_stopped(live: Live, tmp_path: Path) -> None:
    rows = [live.battery() for _ in range(4)]
    rows[2]["importMPAN"] = "2.00006E+12"
    file = sheet(tmp_path, rows)

    trial, first, again = (here("asset", "register", file, *options, *as_(live)) for options in (["--dry-run"], [], []))

    assert [done.stdout.splitlines()[-1] for done in (trial, first, again)] == [
        "assets.csv: 1 refused, 3 would be accepted", "assets.csv: 3 created, 1 refused", "assets.csv: 1 refused, 3 unchanged",
    ]  # fmt: skip
    assert "refused row 5" in first.stdout
    failed(first, "A20", "/importMPAN", "format the column as Text")


def test_a_table_is_sent_in_pieces_whose_rows_keep_their_numbers(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmar_node.cli.bulk.pieces_of", lambda file: pieces_of(file, 2))
    file = sheet(tmp_path, [live.battery() for _ in range(5)])

    lines = [json.loads(line) for line in succeeded(here("asset", "register", file, "--json", *as_(live))).splitlines()]

    assert [(line["row"], line["outcome"]) for line in lines] == [(row, "created") for row in range(3, 8)]


def test_a_table_with_a_header_that_is_not_understood_is_not_sent_further(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "wrong.csv"
    file.write_text("assetName,ratedCapcity\n" + "x,1\n" * 1_200)

    failed(here("asset", "register", file, *as_(live)), "422 validation-failed", "did you mean ratedCapacity?")


@pytest.mark.parametrize("text", ["", "a,b\n", "# x\na;b\n1;\"2\n3\"\n", "a,b\n" + "1,2\n" * 7])
def test_the_pieces_of_a_table_are_the_table(tmp_path: Path, text: str) -> None:
    file = tmp_path / "table.csv"
    file.write_text(text)

    pieces = list(pieces_of(file, 3))

    assert b"".join((*pieces[0].head, *(row for piece in pieces for row in piece.rows))).decode() == text
    assert [piece.skipped for piece in pieces] == [3 * place for place in range(len(pieces))]


def test_lookup_finds_by_identifier(live: Live) -> None:
    asset = live.register().json()

    by_mpan = succeeded(fmar("lookup", asset["exportMPAN"], *as_(live)))
    by_serial = here("lookup", asset["serialNumber"], "--scheme", "SERIAL", "--manufacturer", asset["manufacturer"], "--json", *as_(live))

    assert by_mpan == f"{asset['id']}  BESS  PENDING_VALIDATION\n"
    assert [item["id"] for item in json.loads(succeeded(by_serial))["items"]] == [asset["id"]]
    failed(here("lookup", asset["exportMPAN"], *as_(live, "fsp-b")), "404 not-found")


def test_lookup_takes_several_identifiers(live: Live) -> None:
    first, second = live.register().json(), live.register().json()

    both = succeeded(fmar("lookup", first["exportMPAN"], second["exportMPAN"], *as_(live)))
    one = here("lookup", first["exportMPAN"], "1000000000040", *as_(live))

    assert both.splitlines() == [f"{each['exportMPAN']}  {each['id']}  BESS  PENDING_VALIDATION" for each in (first, second)]
    assert (one.returncode, one.stdout.splitlines()[1]) == (1, "1000000000040  absent")


def test_get_reads_a_record_as_it_is_and_was(live: Live) -> None:
    made = live.register(assetName="First name")
    url = made.headers["Location"]
    merge = {"Content-Type": "application/merge-patch+json", "If-Match": made.headers["ETag"]}
    assert live.client("fsp-a").patch(url, json={"assetName": "Second name"}, headers=merge).status_code == 200

    now = json.loads(succeeded(fmar("get", url.removeprefix(live.url), *as_(live))))
    then = json.loads(succeeded(here("get", url, "--at", made.json()["recordedAt"], *as_(live))))
    first = succeeded(here("get", url, "--version", 1, "--accept", "text/turtle", *as_(live)))

    assert (now["assetName"], now["version"]) == ("Second name", 2)
    assert (then["assetName"], then["version"]) == ("First name", 1)
    assert 'fmar:assetName "First name"' in first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--version", "99"], "404 not-found"),
        (["--at", "yesterday"], "400 malformed-request"),
        (["--accept", "image/png"], "406 not-acceptable"),
    ],
    ids=lambda each: each[0] if isinstance(each, list) else "",
)
def test_get_says_why_there_is_no_answer(live: Live, options: list[str], said: str) -> None:
    done = here("get", live.profiles["fsp-a"].organisation, *options, *as_(live))

    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


# -- delegations and people


def test_an_offer_says_the_whole_command_that_accepts_it(live: Live) -> None:
    said = succeeded(here("delegation", "offer", "installer", "--permission", "passport,CONTACTS", *as_(live)))
    accepting = said.partition("accepted: fmar ")[2].split()

    accepted = here(*accepting)

    delegation = accepting[2]
    assert said.startswith("offered PASSPORT, CONTACTS until ") and succeeded(accepted) == "accepted; it is ACTIVE\n"
    assert succeeded(here("delegation", "revoke", delegation.rsplit("/", 1)[1], *as_(live))) == "revoked\n"
    assert live.client("fsp-a").get(delegation).json()["delegationStatus"] == "REVOKED"


def test_an_offer_to_an_iri_leaves_the_profile_to_the_other_side(live: Live) -> None:
    said = succeeded(here("delegation", "offer", live.profiles["platform"].organisation, "--permission", "PASSPORT", *as_(live)))

    assert re.search(r"fmar delegation accept \S+/delegations/\S{36} --as PROFILE$", said, re.MULTILINE)


def test_an_offer_of_an_unknown_permission_names_those_that_there_are(live: Live) -> None:
    failed(here("delegation", "offer", "installer", "--permission", "READ,RULE", *as_(live)), "'RULE'", "READ_PERSONAL, REGISTER")


def test_delegations_are_listed_with_names_and_whole_iris_on_a_narrow_terminal(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    asset = live.register().headers["Location"]
    made = succeeded(here("delegation", "offer", "platform", "--permission", "READ", "--permission", "UPDATE", "--asset", asset, "--until", "2099-01-01", *as_(live)))
    iri = re.search(r"http\S+", made)
    monkeypatch.setattr(out, "width", 80)

    told, raw = succeeded(here("delegation", "list", *as_(live))), succeeded(here("delegation", "list", "--json", *as_(live)))
    others = [succeeded(here("delegation", "list", "--organisation", name, *as_(live, "operator"))) for name in ("platform", "fsp-b")]

    assert iri is not None
    assert f"{iri[0]}\n  OFFERED until 2099-01-01: The fsp-a organisation grants The platform\n  organisation\n  READ, UPDATE on 1 asset\n" in told
    assert max(map(len, told.splitlines())) <= 80
    assert [iri[0] in each for each in others] == [True, False]
    assert json.loads(raw) == live.client("fsp-a").get("/delegations?limit=500").json()["items"]


def test_the_operator_invites_and_lists_the_people_of_any_organisation(live: Live) -> None:
    invited = succeeded(fmar("user", "invite", "ada@fsp-c.example", "--role", "ADMINISTRATOR", "--name", "Ada", "--organisation", "fsp-c", *as_(live, "operator")))
    own = succeeded(here("user", "invite", "oda@operator.example", *as_(live, "operator")))

    all_, narrowed = (succeeded(here("user", "list", *given, *as_(live, "operator"))) for given in ([], ["--organisation", live.profiles["fsp-c"].organisation]))
    iris = [re.search(r"http\S+", each) for each in (invited, own)]
    lines = [f"{iri[0]}\n  INVITED {role} of {name}\n" for iri, role, name in zip(iris, ("ADMINISTRATOR", "READER"), ("The fsp-c organisation", "Operator"), strict=True) if iri]
    assert [line in all_ for line in lines] == [True, True]
    assert [line in narrowed for line in lines] == [True, False]
    assert "  Ada ada@fsp-c.example\n" in narrowed


def test_nobody_else_invites_people_of_another_organisation(live: Live) -> None:
    done = here("user", "invite", "eve@fsp-b.example", "--organisation", "fsp-b", *as_(live))

    failed(done, "USER-INVITE-3")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["get", "assets/1"], ["no delegation of this organisation to yours is in force", "hint: fmar delegation list"]),
        (["query", "ASK {}"], ["with your own credential", "hint: leave --for out"]),
    ],
    ids=["no delegation", "query"],
)
def test_who_cannot_act_for_another_is_told_what_to_do(live: Live, arguments: list[str], words: list[str]) -> None:
    failed(here(*arguments, "--for", "fsp-b", *as_(live, "installer")), *words)


# -- the security log


def test_the_log_is_narrowed_by_the_name_the_iri_and_the_uuid_of_an_organisation(live: Live) -> None:
    live.client("fsp-c").get("/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11")
    live.client("fsp-c").get("/security-log")  # writes what waits
    iri = live.profiles["fsp-c"].organisation
    asked = ("security-log", "--event", "refused", "--data", live.folder, "--organisation")

    lines = [succeeded(here(*asked, given)) for given in ("fsp-c", iri, iri.rsplit("/", 1)[1])]

    assert lines[0] == lines[1] == lines[2]
    assert f"not-found by {iri.rsplit('/', 1)[1]} fsp-c\n" in lines[0]


@pytest.mark.parametrize("organisation", ["nonsense", "https://register.example.org/organisations"])
def test_the_log_of_no_organisation_is_refused(live: Live, organisation: str) -> None:
    failed(here("security-log", "--data", live.folder, "--organisation", organisation), "no organisation", organisation)


# -- queries


def test_an_asset_is_registered_from_cimxml_and_read_in_cim(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "battery.xml"
    file.write_text(CIMXML.replace("GP-1", f"XML-{next(live.serials)}").replace("https://node.example/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12", live.profiles["fsp-b"].organisation), "utf-8")

    said = succeeded(here("asset", "register", file, *as_(live)))
    shown = json.loads(succeeded(here("get", said.split()[2], "--profile", "cim", *as_(live))))

    assert shown["Asset.PowerSystemResources"][0]["PowerElectronicsUnit.minP"] == "-0.48"


@pytest.fixture(scope="module")
def question(live: Live) -> str:
    """A query with one row, over an asset that the graph holds already."""
    made = live.register()
    where = f"<{made.headers['Location']}> fmar:dnoConnection ?area BIND('a [red] :100: note' AS ?note) BIND('{'x' * 200}' AS ?long)"
    query = f"PREFIX fmar: <{FMAR}> SELECT ?note ?area ?long WHERE {{ {where} }}"
    assert len(live.rows("fsp-a", query, after=int(made.headers["Fmar-Journal-Index"]))) == 1
    return query


def test_query_reads_text_a_file_and_standard_input(live: Live, question: str, tmp_path: Path) -> None:
    file = tmp_path / "question.rq"
    file.write_text(question)

    asked = ("--format", "csv", *as_(live))
    said = [here("query", question, *asked), here("query", file, *asked), fmar("query", "-", *asked, stdin=question)]

    rows = [list(csv.reader(succeeded(each).splitlines())) for each in said]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0] == [["note", "area", "long"], ["a [red] :100: note", "https://w3id.org/fmar/codes/DNOCode#UKPN_EPN", "x" * 200]]


def test_a_table_has_whole_values_and_short_names(live: Live, question: str) -> None:
    said = succeeded(fmar("query", question, *as_(live)))

    assert re.match(r"note +area +long", said)
    assert re.search(r"^a \[red\] :100: note +UKPN_EPN +x", said, re.MULTILINE)
    assert said.count("x") == 200


def test_json_results_are_those_of_the_node(live: Live, question: str) -> None:
    results = json.loads(succeeded(here("query", question, "--format", "json", *as_(live))))

    assert results["head"]["vars"] == ["note", "area", "long"]
    assert results["results"]["bindings"][0]["area"]["value"] == "https://w3id.org/fmar/codes/DNOCode#UKPN_EPN"


def test_without_a_profile_the_public_graph_answers(live: Live, question: str) -> None:
    everybody = succeeded(fmar("query", "ASK { ?s ?p ?o }", "--node", live.url))
    nothing = succeeded(here("query", question, "--node", live.url, "--format", "csv"))

    assert everybody == "yes\n"
    assert nothing.split() == ["note,area,long"]


@pytest.mark.parametrize(
    ("query", "options", "said"),
    [
        ("DELETE WHERE { ?s ?p ?o }", [], "400 query-refused"),
        ("SELECT nonsense", [], "400 query-malformed"),
        ("ASK {}", ["--format", "excel"], "no format 'excel'"),
        ("ASK {}", ["--node", "http://127.0.0.1:port"], "not a URL"),
        ("ASK {}", ["--node", "http://127.0.0.1:9"], "the node does not answer"),
    ],
    ids=["update", "no sparql", "unknown format", "no url", "no node"],
)
def test_a_query_without_an_answer_says_why(live: Live, query: str, options: list[str], said: str) -> None:
    done = here("query", query, *(options if "--node" in options else [*options, *as_(live)]))

    assert done.stdout == ""
    failed(done, said)


def test_an_answer_that_breaks_off_is_told_as_that() -> None:
    class Breaking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nn\n\r\n")

        def log_message(self, *said: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Breaking) as server:
        answering = threading.Thread(target=server.handle_request)
        answering.start()
        done = here("query", "ASK {}", "--node", f"http://127.0.0.1:{server.server_port}")
        answering.join()

    failed(done, "the answer broke off after its first bytes", "narrow")


def test_a_query_of_a_file_may_begin_with_a_byte_order_mark(live: Live, tmp_path: Path) -> None:
    (tmp_path / "ask.rq").write_text("\ufeffASK {}", "utf-8")

    assert succeeded(here("query", tmp_path / "ask.rq", "--node", live.url)) == "yes\n"


PUBLISHED = """# title: Assets by area
# about: How many assets an area has.
# for: FSP, DNO
# area: code DNOCode; the licence area
PREFIX fmar: <https://w3id.org/fmar/ns#>
# a remark that stays
SELECT ?area (COUNT(?asset) AS ?assets) { ?asset fmar:dnoConnection ?area } GROUP BY ?area
"""


def test_a_saved_query_is_asked_by_its_name_and_values(live: Live, question: str) -> None:
    table = succeeded(fmar("query", "--saved", "storage-by-licence-area", "--param", "area=UKPN_EPN", *as_(live)))
    rows = succeeded(here("query", "--saved", "storage-by-licence-area", "--format", "csv", *as_(live))).splitlines()

    assert re.match(r"area +name +assets +MW +MWh", table)
    assert rows[0] == "area,name,assets,MW,MWh" and any("UKPN_EPN" in row for row in rows)
    assert "storage-by-licence-area  Storage by licence area" in re.sub(" {2,}", "  ", succeeded(here("queries", "list", "--node", live.url)))


def test_a_file_is_published_changed_asked_and_withdrawn(live: Live, question: str, tmp_path: Path) -> None:
    file = tmp_path / "by-area.rq"
    file.write_text(PUBLISHED, "utf-8")

    tried = succeeded(here("queries", "publish", file, "--dry-run", *as_(live)))
    made = succeeded(here("queries", "publish", file, *as_(live)))
    asked = succeeded(here("query", "--saved", "by-area", "--param", "area=UKPN_EPN", *as_(live, "dso-east")))
    (item,) = [each for each in json.loads(succeeded(here("queries", "list", "--json", *as_(live)))) if each["name"] == "by-area"]
    file.write_text(PUBLISHED.replace("# for: FSP, DNO\n", ""), "utf-8")
    changed = succeeded(here("queries", "publish", file, *as_(live)))
    narrowed = here("query", "--saved", "by-area", "--param", "area=UKPN_EPN", *as_(live, "dso-east"))
    failed(here("queries", "withdraw", "by-area", *as_(live, "fsp-b")), "no published query 'by-area'")
    withdrawn = succeeded(here("queries", "withdraw", "by-area", *as_(live)))

    assert "nothing was written" in tried and made.startswith("published by-area: ") and "for FSP, DNO;" in made
    assert "UKPN_EPN" in asked
    assert (item["query"].splitlines()[:2], item["publisher"]) == (["PREFIX fmar: <https://w3id.org/fmar/ns#>", "# a remark that stays"], live.profiles["fsp-a"].organisation)
    assert changed.startswith("changed by-area: ") and "your own organisation alone" in changed
    failed(narrowed, "404 not-found")
    assert withdrawn == "withdrew by-area\n"


def test_the_example_is_published_and_asked(live: Live, question: str) -> None:
    made = succeeded(here("queries", "publish", EXAMPLES / "large-storage.rq", *as_(live, "dso-east")))
    rows = succeeded(here("query", "--saved", "large-storage", "--param", "least=400", "--format", "csv", *as_(live))).splitlines()
    none = succeeded(here("query", "--saved", "large-storage", "--param", "least=999999999", "--format", "csv", *as_(live))).splitlines()
    succeeded(here("queries", "withdraw", "large-storage", *as_(live, "operator")))

    assert "for FSP, DNO, SYSTEM_OPERATOR" in made
    assert rows[0] == none[0] == "area,least,assets,MW" and "UKPN_EPN,400," in rows[1] and none[1:] == []


@pytest.mark.parametrize(("arguments", "said"), [
    (["query"], "what is asked?"), (["query", "ASK {}", "--saved", "portfolio"], "what is asked?"), (["query", "ASK {}", "--param", "a=b"], "what is asked?"),
    (["query", "--saved", "portfolio", "--param", "category"], "gives no value"), (["query", "--saved", "../sparql"], "404 not-found"),
    (["query", "--saved", "portfolio", "--param", "category=X", "--param", "catgory=BESS"], "did you mean category?"),
    (["queries", "withdraw", "portfolio"], "part of the node"),
])  # fmt: skip
def test_a_saved_query_that_is_not_asked_right_says_why(live: Live, arguments: list[str], said: str) -> None:
    done = here(*arguments, *as_(live))

    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_a_file_that_cannot_be_published_says_everything(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "Bad Name.rq"
    file.write_text("# title: T\n# area: code Nothing\nSELECT ?x { ?x a ?x }", "utf-8")

    done = here("queries", "publish", file, *as_(live))

    assert done.returncode == 1
    for said in ("/queryName", "queryDescription is missing", "there is no code list Nothing", "area is no variable of its result"):
        assert said in done.stderr


def test_all_that_is_wrong_with_a_head_is_said_at_once_and_by_line(live: Live, tmp_path: Path) -> None:
    file = written(tmp_path, "q.rq", "")
    file.write_text("# title: T\n# area: codes DNOCode\n# least: number\n# day: date\nSELECT ?x { ?x a ?x }", "utf-8")

    failed(here("queries", "publish", file, *as_(live)), "line 2 does not say what the parameter area is", "line 3 does not say", "it has no about", "day is no variable")


def test_a_query_is_published_once_and_withdrawn_by_whoever_may(live: Live, tmp_path: Path) -> None:
    file = tmp_path / "again.rq"
    file.write_text(PUBLISHED, "utf-8")
    succeeded(here("queries", "publish", file, *as_(live)))

    assert succeeded(here("queries", "publish", file, *as_(live))).startswith("unchanged again: ")
    failed(here("queries", "withdraw", "again", *as_(live, "fsp-b")), live.profiles["fsp-a"].organisation, "not to withdraw")
    failed(here("queries", "withdraw", "portfolio", *as_(live)), "part of the node")
    succeeded(here("queries", "withdraw", "again", *as_(live)))


def test_a_query_file_that_is_not_there_is_told(live: Live) -> None:
    failed(here("query", "absent/question.rq", *as_(live)), "there is no file absent/question.rq")


@pytest.mark.parametrize("arguments", [["queries", "list", "--json"], ["export"], ["query", "SELECT * { ?s ?p ?o } LIMIT 5000", "--format", "csv"]], ids=lambda each: each[0])
def test_output_that_is_not_read_to_its_end_ends_the_command_quietly(live: Live, arguments: list[str]) -> None:
    live.register()
    with subprocess.Popen([*COMMAND, *arguments, *map(str, as_(live))], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stderr is not None
        run.stdout.close()
        said = run.stderr.read()

    assert (said, run.returncode) == ("", 141)


def test_an_export_may_be_in_cim(live: Live) -> None:
    live.register()

    assert '"Asset.PowerSystemResources"' in succeeded(here("export", "--profile", "cim", *as_(live)))


def test_export_streams_to_a_file(live: Live, tmp_path: Path) -> None:
    asset, output = live.register().json(), tmp_path / "assets.csv"

    said = succeeded(fmar("export", "--format", "csv", "--output", output, *as_(live)))

    with output.open(encoding="utf-8", newline="") as file:
        exported = {row["id"]: row for row in csv.DictReader(file)}
    assert said == ""
    assert exported[asset["id"]]["importMPAN"] == asset["importMPAN"]


def test_export_streams_to_standard_output(live: Live) -> None:
    asset = live.register("fsp-b").json()

    lines = succeeded(fmar("export", *as_(live, "fsp-b"))).splitlines()

    assert asset["id"] in [json.loads(line)["id"] for line in lines]


def test_export_refuses_an_unknown_format(live: Live, tmp_path: Path) -> None:
    failed(here("export", "--format", "excel", "--output", tmp_path / "out", *as_(live)), "406 not-acceptable", "text/csv")

    assert list(tmp_path.iterdir()) == []


# -- offline judgement


def test_validate_accepts_and_refuses_each_file(tmp_path: Path) -> None:
    done = fmar("validate", BATTERY, BROKEN)

    assert (done.returncode, done.stderr) == (1, "")
    assert f"{BATTERY}: accepted\n" in done.stdout and f"{BROKEN}: refused\n" in done.stdout
    assert re.findall(r"^  R (\S+)", done.stdout, re.MULTILINE) == ["unknown-term", "A12", "A20"]


def test_validate_prints_json(tmp_path: Path) -> None:
    unjustified = written(tmp_path, "unjustified.json", battery(justification=None))

    done = here("validate", unjustified, BATTERY, "--json")

    first, second = json.loads(done.stdout)
    assert done.returncode == 1
    assert [(each["code"], each["severity"]) for each in first["errors"] if each["severity"] != "F"] == [("A03", "J")]
    assert [each["severity"] for each in second["errors"]] == ["F"]


def test_validate_judges_by_a_working_copy_of_the_shapes(tmp_path: Path) -> None:
    copy = tmp_path / "shapes"
    shutil.copytree(packaged("shapes"), copy)
    text = (copy / "asset.ttl").read_text("utf-8")
    assert "[A-Za-z0-9_-]{3,64}" in text
    (copy / "asset.ttl").write_text(text.replace("[A-Za-z0-9_-]{3,64}", "[a-z]{3}"), "utf-8")

    done = fmar("validate", BATTERY, "--shapes", copy)

    assert done.returncode == 1
    assert re.findall(r"^  R (\S+)", done.stdout, re.MULTILINE) == ["A12"]


@pytest.mark.parametrize(("name", "body"), [("battery.jsonld", json.dumps(cim_asset())), ("battery.xml", CIMXML)])
def test_validate_judges_documents_in_cim_and_points_into_them(tmp_path: Path, name: str, body: str) -> None:
    good, bad = tmp_path / name, tmp_path / f"bad-{name}"
    good.write_text(body, "utf-8")
    bad.write_text(body.replace("BatteryUnit.ratedE", "BatteryUnit.rateE"), "utf-8")

    done = here("validate", good, bad, "--json")

    first, second = json.loads(done.stdout)
    assert [error for error in first["errors"] if error["severity"] == "R"] == []
    assert [(error["code"], error["pointer"].rsplit("/", 1)[1]) for error in second["errors"] if error["severity"] == "R"] == [("unknown-term", "BatteryUnit.rateE")]


def test_validate_judges_cim_by_a_working_copy_of_its_shapes(tmp_path: Path) -> None:
    copy = tmp_path / "shapes"
    shutil.copytree(packaged("shapes"), copy)
    text = (copy / "cim" / "asset.ttl").read_text("utf-8")
    (copy / "cim" / "asset.ttl").write_text(text.replace("[0-9]{0,5}", "[0-9]{0,0}", 1), "utf-8")
    document = written(tmp_path, "battery.json", cim_asset())

    done = here("validate", document, "--shapes", copy)

    assert re.findall(r"^  R (\S+)", done.stdout, re.MULTILINE) == ["PowerElectronicsUnit.maxP"]


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--kind", "kings"], "there are no kings"), (["--shapes", str(EXAMPLES / "queries")], "has no asset.ttl")],
    ids=["kind", "shapes"],
)
def test_validate_refuses_what_it_cannot_judge_by(options: list[str], said: str) -> None:
    failed(here("validate", BATTERY, *options), said)


# -- import


def imported(running: Live, *options: object) -> dict[str, Any]:
    """The summary of an import of the first rows, which has a line for each row before it."""
    lines = succeeded(fmar("import", "ecr", SAMPLE, "--limit", 2, "--json", *options, *as_(running))).splitlines()
    assert [json.loads(line)["row"] for line in lines[:-1]] == [2, 3]
    summary: dict[str, Any] = json.loads(lines[-1])["summary"]
    return summary


def test_import_judges_then_registers_then_knows_its_rows(running: Live) -> None:
    before = len(running.client("fsp-a").get("/assets?managed=me").json()["items"])

    judged = imported(running, "--dry-run")
    after_dry_run = len(running.client("fsp-a").get("/assets?managed=me").json()["items"])
    first, second = imported(running), imported(running)

    assert after_dry_run == before
    assert judged["rows"] == first["rows"] == 2 and first["registered"] == judged["documents"] > 0
    assert second["outcomes"]["unchanged"] == 2
    assert len(running.client("fsp-a").get("/assets?managed=me").json()["items"]) == before + first["registered"]


def test_import_prints_a_report_for_people(running: Live) -> None:
    said = succeeded(here("import", "ecr", SAMPLE, "--limit", 2, "--dry-run", *as_(running)))

    assert said.startswith("2 rows, 2 documents") and "Reasons" in said


def test_import_of_a_row_that_is_refused_ends_with_1(running: Live) -> None:
    done = here("import", "ecr", SAMPLE, "--limit", 64, "--dry-run", "--json", *as_(running))

    outcomes = json.loads(done.stdout.splitlines()[-1])["summary"]["outcomes"]
    assert (done.returncode, outcomes["refused"] > 0) == (1, True)


def test_import_refuses_a_file_of_something_else(running: Live) -> None:
    done = here("import", "ecr", BATTERY, *as_(running))

    assert done.returncode == 1 and "no header of a known register" in done.stderr


# -- a running node


def test_a_running_node_is_checked_but_for_its_graph_and_not_rebuilt(running: Live) -> None:
    check, rebuild = fmar("check", "--data", running.folder), fmar("rebuild", "--data", running.folder)

    assert check.returncode == 0, check.stdout
    assert "ok   journal: " in check.stdout and "note graph: in use: a node is running" in check.stdout
    failed(rebuild, "a node is running on this folder", "stop it first")
    assert running.client("fsp-a").get("/assets?managed=me").json()["items"]
    assert running.ask("fsp-a", "ASK { ?s ?p ?o }").json()["boolean"] is True


# -- audit


@pytest.fixture(scope="module")
def receipt(live: Live) -> dict[str, Any]:
    document: dict[str, Any] = live.client("fsp-a").get(live.register().headers["Location"] + "/proof").json()
    return document


def test_a_receipt_verifies_offline_by_a_key_as_text_or_in_a_file(live: Live, receipt: dict[str, Any], tmp_path: Path) -> None:
    file, key = written(tmp_path, "r.json", receipt), live.client().get("/journal/key").text
    (tmp_path / "key").write_text(key)

    said = succeeded(fmar("audit", "verify", "--receipt", file, "--key", key))

    assert said.startswith("verified: ") and "signature" in said and "inclusion" in said
    assert succeeded(here("audit", "verify", "--receipt", file, "--key", tmp_path / "key")) == said


def other_body(receipt: dict[str, Any]) -> None:
    receipt["sections"]["open"]["body"] = receipt["sections"]["envelope"]["body"]


def other_index(receipt: dict[str, Any]) -> None:
    receipt["index"] -= 1


def other_checkpoint(receipt: dict[str, Any]) -> None:
    name, size, *rest = receipt["checkpoint"].split("\n")
    receipt["checkpoint"] = "\n".join([name, str(int(size) + 1), *rest])


@pytest.mark.parametrize(
    ("tamper", "code"),
    [(other_body, "bad-proof"), (other_index, "bad-proof"), (other_checkpoint, "bad-signature")],
)
def test_a_tampered_receipt_does_not_verify(
    live: Live, receipt: dict[str, Any], tmp_path: Path, tamper: Callable[[dict[str, Any]], None], code: str
) -> None:
    altered = json.loads(json.dumps(receipt))
    tamper(altered)
    key = live.client().get("/journal/key").text

    done = here("audit", "verify", "--receipt", written(tmp_path, "r.json", altered), "--key", key, "--json")

    failed(done, "not verified", code, "/journal/key")
    assert (json.loads(done.stdout)["verified"], json.loads(done.stdout)["code"]) == (False, code)


def test_without_anything_to_verify_the_audit_says_what_it_needs() -> None:
    failed(here("audit", "verify"), "--receipt FILE --key KEY", "--data DIR")


def test_the_whole_journal_of_a_stopped_node_verifies(at_rest: Folder) -> None:
    told = json.loads(succeeded(fmar("audit", "verify", "--data", at_rest.root, "--json")))

    assert told == {"verified": True, "checks": verify_journal(at_rest)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE section SET envelope = CAST(envelope || ' ' AS BLOB) WHERE idx = 3", "entry 3"),
        ("UPDATE entry SET recorded_at = '2020-01-01T00:00:00Z' WHERE idx = 2", "entry 2"),
        ("DELETE FROM entry WHERE idx = (SELECT max(idx) FROM entry)", "were signed at"),
    ],
    ids=["section changed", "time changed", "last entry gone"],
)
def test_a_tampered_journal_does_not_verify(stopped: Folder, change: str, said: str) -> None:
    tampered(stopped, change)
    with pytest.raises(ProofError):
        verify_journal(stopped)

    failed(here("audit", "verify", "--data", stopped.root), "not verified", said, "backup")


def tampered(folder: Folder, change: str) -> None:
    """Changes a journal as somebody with the file in hands can, past its triggers and references."""
    with sqlite3.connect(folder.journal / "journal.db") as database:
        database.execute("PRAGMA foreign_keys = OFF")
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        assert database.execute(change).rowcount == 1
    database.close()


# -- check and rebuild

EVERYTHING = ("settings", "keys", "folder", "disk", "sandbox", "certificate", "journal", "clock", "backups", "graph", "views", "snapshots")

def test_check_finds_a_stopped_node_whole(at_rest: Folder) -> None:
    findings = json.loads(succeeded(fmar("check", "--data", at_rest.root, "--json")))

    assert {finding["what"]: finding["ok"] for finding in findings} == dict.fromkeys(EVERYTHING, True)


def test_check_says_what_is_wrong_and_what_to_do(stopped: Folder) -> None:
    tampered(stopped, "UPDATE section SET envelope = CAST(envelope || ' ' AS BLOB) WHERE idx = 3")

    done = fmar("check", "--data", stopped.root)

    assert done.returncode == 1
    assert re.search(r"^BAD  journal: .*\b3\b", done.stdout, re.MULTILINE) and "from a backup" in done.stdout


def test_rebuild_makes_an_equal_graph(stopped: Folder) -> None:
    shutil.rmtree(stopped.graph.parent)

    said = succeeded(fmar("rebuild", "--data", stopped.root))

    assert said == f"rebuilt the graph from {open_register(stopped).size()} journal entries\n"
    assert [finding for finding in check_node(stopped) if not finding.is_ok] == []


@pytest.mark.parametrize("command", [["check"], ["rebuild"], ["audit", "verify"]], ids=" ".join)
def test_no_folder_is_made_where_there_is_no_node(tmp_path: Path, command: list[str]) -> None:
    done = here(*command, "--data", tmp_path / "data")

    assert done.returncode == 1 and "is not a node's data folder: is --data right, and the disk in its place? A new node is made with: fmar init" in done.stderr
    assert not (tmp_path / "data").exists()


# -- agent


def test_a_plain_tool_works_through_the_agent(live: Live, question: str) -> None:
    called = [*COMMAND, *map(str, ("agent", *as_(live), "--port", free_port()))]
    with subprocess.Popen(called, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        address = re.search(r"through (http://127\.0\.0\.1:\d+)", agent.stdout.readline())
        try:
            assert address is not None
            request = urllib.request.Request(f"{address[1]}/sparql?{urlencode({'query': question})}", headers={"Accept": "text/csv"})
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
                rows = answer.read().decode().splitlines()
        finally:
            agent.send_signal(signal.SIGTERM)
            agent.wait(20)

    assert rows[0] == "note,area,long" and rows[1].startswith("a [red] :100: note,")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sh:severity sh:Warning", "sh:severity sh:Grave", "has the severity Grave"),
        ("sh:path fmar:assetName ;", "sh:path fmar:assetNam ;", "has the path assetNam, which is no term"),
        ("asset:Asset.ownerKind-code , ", "", "Asset.ownerKind-code is in the sh:property of no shape"),
        ("sh:path fmar:assetName ;", "sh:path fmar:assetName ; sh:sparql [ ] ;", "has sh:sparql"),
        ("sh:path fmar:assetName ;", 'sh:path fmar:assetName ; sh:pattern "(" ;', "does not compile"),
    ],
    ids=["severity", "path", "not listed", "sparql", "pattern"],
)
def test_mistakes_in_a_folder_of_shapes_are_told_with_file_and_shape(tmp_path: Path, old: str, new: str, said: str) -> None:
    shutil.copytree(packaged("shapes"), tmp_path / "shapes")
    file = tmp_path / "shapes" / "asset.ttl"
    assert old in file.read_text("utf-8")
    file.write_text(file.read_text("utf-8").replace(old, new, 1), "utf-8")

    failed(here("validate", BATTERY, "--shapes", tmp_path / "shapes"), "asset.ttl: ", said)


def test_packaged_shapes_have_no_mistakes_and_stand_in_for_those_of_cim(tmp_path: Path) -> None:
    shutil.copytree(packaged("shapes"), tmp_path / "shapes")
    whole = here("validate", BATTERY, "--shapes", tmp_path / "shapes")
    shutil.rmtree(tmp_path / "shapes" / "cim")

    assert (whole.returncode, whole.stderr) == (0, "")
    assert "judged by the packaged shapes of CIM" in here("validate", BATTERY, "--shapes", tmp_path / "shapes").stderr


def test_a_document_of_another_kind_is_told_of_the_option() -> None:
    failed(here("validate", BATTERY, "--kind", "organisations"), "--kind takes assets, organisations")


def test_events_tell_what_has_changed(live: Live) -> None:
    made = live.register("fsp-a")
    place, index = made.headers["Location"], made.headers["Fmar-Journal-Index"]

    line = succeeded(here("events", "--since", index, "--kind", "assets", *as_(live)))
    as_json = succeeded(fmar("events", "--since", index, "--json", *as_(live)))

    assert f"asset.appeared  {place}  version 1  by register" in line
    assert json.loads(as_json.splitlines()[0])["subject"] == place
    assert place not in succeeded(here("events", "--since", index, *as_(live, "fsp-b")))
    assert "kind is one of" in here("events", "--kind", "cars", *as_(live)).stderr
