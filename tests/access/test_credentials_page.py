"""docs/formats/credentials.md says what is so: its examples run, its tables are complete."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import pytest

from fmar_node.settings import Settings

from .conftest import Desk, LiveNode

PAGE = (Path(__file__).parents[2] / "docs" / "formats" / "credentials.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ACCESS = Path(__file__).parents[2] / "fmar_node" / "access"


def _first_column(section: str) -> set[str]:
    """The words in the first column of the table below a heading."""
    table = PAGE.split(f"# {section}\n", 1)[1].split("\n#", 1)[0]
    rows = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([^`]+)`", row)} - {"error"}


@pytest.mark.parametrize("number", range(3))
def test_each_python_example_runs(folder: Path, live: LiveNode, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (folder.parents[1] / ".fmar-demo").symlink_to(folder.parents[1])
    monkeypatch.chdir(folder.parents[1])

    exec(compile(EXAMPLES[number], "credentials.md", "exec"), {})

    assert len(EXAMPLES) == 3
    assert number == 0 or live.requests == [("POST", "/oauth/token"), ("GET", "/assets")]


def test_the_claims_of_an_access_token_are_all_told(desk: Desk) -> None:
    payload = desk.token().split(".")[1]

    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))

    assert _first_column("Access token") == claims.keys()


def test_every_word_of_refusal_is_explained() -> None:
    source = "".join((ACCESS / name).read_text("utf-8") for name in ("token.py", "proof.py", "credential.py"))

    used = set(re.findall(r'"((?:invalid|use|unsupported)_[a-z_]+)"', source))

    assert used == _first_column("Refusals")


def test_the_named_limits_exist_with_the_told_values() -> None:
    settings = Settings()

    named = PAGE.split("**Limits**:")[1].split(" in the node's settings")[0]

    assert set(re.findall(r"`(\w+)`", named)) <= settings.model_dump().keys()
    assert (settings.token_seconds, settings.token_seconds_most) == (300, 600)
    assert (settings.proof_seconds, settings.clock_skew_seconds) == (60, 10)
