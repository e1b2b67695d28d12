"""What guides show of the command is what it says: sessions marked `<!-- executed -->` are typed at a node, in the order of the page.

A session's own addresses, ids, times and dates stand for those of the run, the same one for the same one; a line `...` for any lines.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmar_node.cli.main import app
from tests.live import Live

PROJECT = Path(__file__).parents[2]
SESSION = re.compile(r"^<!-- executed -->\n```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALLED = {
    "Green Park Flexibility Ltd": "The fsp-a organisation",
    "Tidewater Energy Services Ltd": "The fsp-b organisation",
    "Brightwire Installations Ltd": "The installer organisation",
}
"""The demo's organisations, and what they are called at a node of the tests."""
OWN = re.compile(
    r"http://127\.0\.0\.1:8080|https://register\.example\.org|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?|(?<=journal index )\d+|" + "|".join(CALLED)
)
"""What is different in every run."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with Live(tmp_path_factory.mktemp("console")) as made:
        yield made


@pytest.fixture
def place(node: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the reader of a guide sits: the checkout's examples, the data folder under the names of the guides."""
    for name, target in ((".fmar-demo", node.folder), ("fmar-data", node.folder), ("examples", PROJECT / "examples")):
        (tmp_path / name).symlink_to(target)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def steps(session: str) -> list[tuple[str, list[str]]]:
    """Each command with the lines that it prints."""
    return [(command, said.splitlines()) for command, said in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE)]


def typed(command: str, known: dict[str, str]) -> list[str]:
    """What a command prints, typed with the run's own values."""
    for own, value in known.items():
        command = command.replace(own, value)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    return [line.rstrip() for line in done.output.splitlines()]


def compare(said: list[str], printed: list[str], known: dict[str, str]) -> None:
    """The page says what was printed; `known` learns what the page's own values stand for."""
    left, is_skipping = list(printed), False
    for line in said:
        if line == "...":
            is_skipping = True
            continue
        pieces = re.split(f"({OWN.pattern})", line)
        pattern = "".join((re.escape(known[piece]) if piece in known else r"(\S+)") if at % 2 else re.escape(piece).replace(r"\.\.\.", ".*") for at, piece in enumerate(pieces))
        found = None
        while left and not (found := re.fullmatch(pattern, left.pop(0))) and is_skipping:
            pass
        assert found, "\n".join(["the page says", *said, "printed was", *printed])
        known.update(zip((piece for piece in pieces[1::2] if piece not in known), found.groups(), strict=True))
        is_skipping = False
    assert is_skipping or not left, "\n".join(["the page does not say", *left])


@pytest.mark.parametrize("name", ["acting-for-others", "people", "node-operator"])
def test_sessions_that_are_marked_for_it_say_what_is_printed(node: Live, place: Path, name: str) -> None:
    sessions = SESSION.findall((PROJECT / "docs" / "guides" / f"{name}.md").read_text("utf-8"))
    known = {"http://127.0.0.1:8080": node.url, "https://register.example.org": node.url, **CALLED}

    for command, said in (step for session in sessions for step in steps(session)):
        node.client("operator").get("/security-log?limit=1")  # what waits is written
        compare(said, typed(command, known), known)

    assert sessions != []
