"""docs/security.md promises nothing that no test shows: each test that it names is there, and its catalogue is the one that tests quote."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.attacks.test_catalogue import CATALOGUE, quotations

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "security.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)))
ROWS = dict(re.findall(r"^\| ([ABC]\d+) \|[^|]*\| (.*) \|$", PAGE, re.MULTILINE))


def functions(file: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(file.read_text("utf-8")).body if isinstance(node, kinds)}


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMED}))
def test_every_test_that_is_named_exists(file: str) -> None:
    names = {name for each, name in NAMED if each == file}

    assert (PROJECT / file).exists()
    assert sorted(names - functions(PROJECT / file)) == []


def test_every_promise_names_a_test() -> None:
    promises = PAGE.split("\n## What is promised\n")[1].split("\n### Promised without a test\n")[0]
    rows = [row for row in promises.splitlines() if row.startswith("| ") and not row.startswith(("| promise ", "| ---"))]

    assert len(rows) > 30
    assert [row for row in rows if "`tests/" not in row] == []


def test_the_catalogue_is_the_one_that_tests_quote() -> None:
    """Every number names a test that quotes it."""
    quoted = {(number, f"tests/{test}") for number, test in quotations()}
    carried = {number: re.findall(r"`(tests/[^`]+)`", row) for number, row in ROWS.items()}

    assert list(ROWS) == CATALOGUE
    assert [number for number, tests in carried.items() if not tests] == []
    assert [(number, test) for number, tests in carried.items() for test in tests if (number, test) not in quoted] == []
