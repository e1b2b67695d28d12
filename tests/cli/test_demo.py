"""`fmar demo` from end to end: the tour of a fresh folder, what it leaves running, and its end.

The same folder again: make test ARGS="-m campaign tests/cli"
"""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

from fmar_node.cli.tour.narrator import Narrator, flowing, short
from fmar_node.cli.tour.route import STEPS, walk
from fmar_node.cli.tour.stage import check_answers
from fmar_node.cli.tour.visit import Visit, example
from fmar_node.client import Profile, connect, new_key
from fmar_node.folder import Folder, write_private
from fmar_node.keeping.maintenance import open_register
from fmar_node.settings import surroundings
from tests.live import LD_JSON, Live, free_port

pytestmark = pytest.mark.timeout(300)
READY = "(Ctrl-C ends it)"
TITLES = [
    "Register an asset", "Four mistakes in one document", "Justified, warned, filled", "Asked outside", "One query, many windows",
    "Credentials that do not hold", "Change, history, time travel", "Lookup and duplicates", "Leaving the register",
    "On behalf of another", "Keys that come and go", "A person signs in", "A consumer consents", "Another provider", "Proof", "Any tool",
]  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "fmar_node.cli", *arguments]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), check=False, capture_output=True, text=True, timeout=200)


@dataclass
class Demo:
    """A demo's folder, and what its runs said."""

    port: int
    data: Path
    output: str = ""
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def arguments(self, *more: str) -> list[str]:
        return ["demo", "--port", str(self.port), "--data", str(self.data), *more]

    def client(self, name: str) -> httpx.Client:
        return connect(Profile.load(self.data / "participants" / name))

    def start(self, until: str) -> subprocess.Popen[str]:
        """A demo in the background that has said `until`."""
        process = subprocess.Popen(command(*self.arguments()), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        self.output = ""
        while until not in self.output:
            line = process.stdout.readline()
            assert line, self.output[-3000:]
            self.output += line
        return process


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """A fresh folder, toured once."""
    demo = Demo(free_port(), tmp_path_factory.mktemp("demo") / "data")
    done = run(*demo.arguments("--once"))
    demo.output = done.stdout
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    return demo


@pytest.fixture(scope="module")
def again(first: Demo) -> Iterator[Demo]:
    """The same folder once more, toured and serving."""
    demo = Demo(first.port, first.data)
    demo.process = demo.start(until=READY)
    yield demo
    if demo.process.poll() is None:
        demo.process.terminate()
        demo.process.wait(30)
    assert demo.process.stdout is not None
    demo.process.stdout.close()


# -- the tour


def test_the_tour_takes_its_steps(first: Demo) -> None:
    heads = re.findall(r"^── (\d+)  (.*?) ─", first.output, re.MULTILINE)

    assert heads == [(str(number), title) for number, title in enumerate(TITLES, start=1)]
    assert first.output.count("\n✓ ") == len(STEPS) == len(TITLES)


def test_the_companies_register_has_confirmed_the_participants(first: Demo) -> None:
    register = open_register(Folder(first.data))

    found = [version.document["identityStatus"] for version in register.as_of("organisations", register.size())]
    register.connection.close()

    assert (found.count("CONFIRMED"), found.count("PENDING"), found.count("QUERY")) == (8, 0, 0)


def test_assets_are_verified_and_queried_in_the_tour(first: Demo) -> None:
    for shown in (r"METER_POINT +importMPAN +AGREES", r"OEM +serialNumber +AGREES", r"MCS +postcode +DIFFERS +SE1 4QP"):
        assert re.search(shown, first.output), shown


def test_a_switch_is_told_of_takes_effect_on_its_day_and_is_seen_from_each_side(first: Demo) -> None:
    step = first.output.partition("Another provider")[2].partition("\n──")[0]
    day = re.search(r"fmar clock --to (\S+)", step)
    assert day is not None

    for shown in (
        r"404 Not Found(.|\n)*POST /consents   as the person(.|\n)*POST /switches   as fsp-b(.|\n)*201 Created(.|\n)*IN_NOTICE",
        r"fsp-a +\d+  org\.fmar\.switch\.appeared",
        r"fsp-a +\d+  org\.fmar\.notice\.appeared",
        r"dso-east +\d+  org\.fmar\.switch\.appeared",
        rf'"switchStatus": "EFFECTIVE", "switchDate": "{day[1]}"',
        r"status +200 +200 +404 +200 +200 +200",
        r"managedBy +fsp-a +fsp-a +fsp-b +fsp-a +fsp-b",
        rf"asOf +{day[1]}",
        r"fsp-a +\d+  org\.fmar\.asset\.changed +\S+ +asOf",
        r"dso-east +\d+  org\.fmar\.asset\.changed +\S+ +managedBy",
        r"registrationStatus +VERIFIED +SUSPENDED_CONSENT_REVOKED",
    ):
        assert re.search(shown, step), shown


def test_at_least_500_assets_are_registered(first: Demo) -> None:
    found = re.search(r"^(\d+) assets in", first.output, re.MULTILINE)

    assert found is not None and int(found[1]) >= 500


def test_without_a_terminal_the_output_is_plain_and_narrow(first: Demo) -> None:
    lines = first.output.splitlines()

    assert [line for line in lines if len(line) > 100 or line != line.rstrip()] == []
    assert [line for line in lines if not all(character.isprintable() for character in line)] == []


def test_requests_and_answers_are_shown(first: Demo) -> None:
    for shown in ("> POST /assets", "< 201 Created", "< 422 ", "unknown-term", "< 412 ", "< 409 Conflict", "< 401 ", "> POST /sparql"):
        assert shown in first.output


def test_the_report_on_every_row_is_kept(first: Demo) -> None:
    lines = [json.loads(line) for line in (first.data / "import-report.jsonl").read_text().splitlines()]

    assert len(lines) == lines[-1]["summary"]["rows"] + 1


# -- the same folder again


@pytest.mark.campaign
def test_a_second_demo_takes_the_same_steps(first: Demo, again: Demo) -> None:
    assert again.output.count("\n✓ ") == len(STEPS)
    assert f"FMAR node at {again.url}  (Ctrl-C ends it)\n" in again.output


@pytest.mark.campaign
def test_a_second_demo_registers_no_row_twice(first: Demo, again: Demo) -> None:
    assert re.search(r"unchanged +\d{3}  registered before", again.output)
    assert "registered as published" not in again.output


@pytest.mark.campaign
def test_all_participants_are_there_with_their_areas(again: Demo) -> None:
    names = sorted(folder.name for folder in (again.data / "participants").iterdir())
    with again.client("operator") as operator:
        east = operator.get(Profile.load(again.data / "participants" / "dso-east").organisation).json()

    assert names == sorted(["operator", "fsp-a", "fsp-b", "fsp-c", "dso-east", "dso-south", "neso", "regulator", "platform", "installer"])
    assert east["licenceArea"] == ["UKPN_EPN", "UKPN_LPN"]
    assert east["primaryContactEmail"].endswith(".example.com")


@pytest.mark.campaign
def test_the_suggested_query_runs(again: Demo) -> None:
    suggested = re.search(r"^  fmar (query \S+ --as dso-east --data \S+)$", again.output, re.MULTILINE)
    assert suggested is not None

    done = run(*suggested[1].split())

    assert done.returncode == 0, done.stderr
    assert "UKPN_LPN" in done.stdout and "UKPN_SPN" not in done.stdout


@pytest.mark.parametrize("file", sorted(example("queries").glob("*.rq")), ids=lambda file: file.stem)
@pytest.mark.campaign
def test_every_example_query_has_an_answer(again: Demo, file: Path) -> None:
    with again.client("fsp-b") as client:
        answer = client.post("/sparql", content=file.read_bytes(), headers={"Content-Type": "application/sparql-query"})

    assert answer.status_code == 200, answer.text
    assert answer.json()["results"]["bindings"]


def judged(demo: Demo, name: str) -> httpx.Response:
    with demo.client("fsp-c") as client:
        return client.post("/assets?dry-run=true", content=example(f"documents/{name}.json").read_bytes(), headers=LD_JSON)


@pytest.mark.parametrize("name", ["battery", "justified", "warned"])
@pytest.mark.campaign
def test_example_documents_are_accepted_as_they_are(again: Demo, name: str) -> None:
    assert judged(again, name).json()["accepted"] is True


@pytest.mark.campaign
def test_the_broken_example_has_four_faults(again: Demo) -> None:
    codes: list[Any] = [error["code"] for error in judged(again, "broken").json()["errors"]]

    assert sorted(codes) == ["A12", "A13", "A20", "unknown-term"]


@pytest.mark.campaign
def test_the_participants_program_runs(again: Demo) -> None:
    program, environment = example("participant.py"), surroundings(PYTHONPATH=str(example("").parent))
    arguments = [sys.executable, str(program), str(again.data / "participants" / "fsp-c")]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=60, env=environment)

    assert done.returncode == 0, done.stderr
    assert "version 2 has 4900" in done.stdout and "the asset is DEREGISTERED" in done.stdout


# -- refusals


def test_a_port_in_use_is_refused_with_a_hint(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("demo", "--once", "--port", str(port), "--data", str(tmp_path / "data"))

    assert done.returncode == 1
    assert f"port {port}" in done.stderr and "hint:" in done.stderr and "--port" in done.stderr
    assert not (tmp_path / "data").exists()


def test_another_node_that_answers_is_not_taken_for_the_demos(tmp_path: Path, live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Folder(tmp_path)
    folder.journal_key_file.parent.mkdir(parents=True)
    write_private(folder.journal_key_file, b"k" * 32)

    with pytest.raises(typer.Exit):
        check_answers(folder, live.url)
    assert "address already in use" in capsys.readouterr().err


def test_a_folder_of_another_port_is_refused_with_a_hint(first: Demo) -> None:
    done = run("demo", "--once", "--port", str(free_port()), "--data", str(first.data))

    assert done.returncode == 1
    assert f"--port {first.port}" in done.stderr


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear all")

    done = run("demo", "--once", "--port", str(free_port()), "--data", str(tmp_path))

    assert done.returncode == 1
    assert [file.name for file in tmp_path.iterdir()] == ["letter.txt"]


def test_what_differs_ends_the_tour(tmp_path: Path) -> None:
    stream, nobody = io.StringIO(), f"http://127.0.0.1:{free_port()}"
    visit = Visit(Folder(tmp_path), nobody, Narrator(stream), {"fsp-a": a_profile(nobody)}, "", "")

    is_well = walk(visit)
    visit.close()

    assert not is_well
    assert "the tour ends here: step 1, Register an asset" in stream.getvalue()


def a_profile(node: str) -> Profile:
    return Profile(node, node, f"{node}/oauth/token", "fsp-a", f"{node}/organisations/0", new_key())


# -- the page


def test_members_flow_onto_lines_that_fit() -> None:
    text = flowing({"name": "a", "size": 1, "long": "x" * 40}, columns=50)

    assert text == '{\n  "name": "a", "size": 1,\n  "long": "' + "x" * 40 + '"\n}'
    assert json.loads(text) == {"name": "a", "size": 1, "long": "x" * 40}


def test_what_is_left_out_is_counted() -> None:
    assert flowing({"a": 1, "b": 2, "c": 3}, keep=("b",)) == '{\n  "b": 2\n  … 2 more members\n}'


def test_tokens_are_shortened() -> None:
    assert short("DPoP " + "a" * 100) == f"DPoP {'a' * 7}…{'a' * 12} (105 characters)"


# -- the end


def test_a_killed_demo_leaves_nothing_running(tmp_path: Path) -> None:
    demo = Demo(free_port(), tmp_path / "data")
    process = demo.start(until="started it")
    assert httpx.get(f"{demo.url}/healthz").is_success

    process.kill()
    process.communicate()

    assert is_free(demo.port, seconds=20)


@pytest.mark.campaign
def test_a_serving_demo_ends_well_when_told_to(again: Demo) -> None:
    assert again.process is not None and again.process.poll() is None

    again.process.send_signal(signal.SIGTERM)

    assert again.process.wait(30) == 0
    assert is_free(again.port, seconds=1)


def is_free(port: int, seconds: float) -> bool:
    """Whether nobody listens on a port any more, within a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return True
        time.sleep(0.1)
    return False
