"""Every attack of the catalogue is quoted by a test, none left out.

A test quotes an attack by its number at the beginning of its docstring, as in "A9: ..." or "B6, B7: ...". The numbers are
those of the security reference: A1 to A16 credentials, B1 to B19 queries and documents, C1 to C10 oracles and abuse.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
CATALOGUE = [f"A{number}" for number in range(1, 17)] + [f"B{number}" for number in range(1, 20)] + [f"C{number}" for number in range(1, 11)]
QUOTED = re.compile(r"((?:[ABC][1-9][0-9]?)(?:, [ABC][1-9][0-9]?)*): ")


def quotations() -> Iterator[tuple[str, str]]:
    """Each number that a test quotes, and the test."""
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                quoted = QUOTED.match(ast.get_docstring(node) or "")
                for number in quoted[1].split(", ") if quoted else ():
                    yield number, f"{file.relative_to(TESTS)}::{node.name}"


def test_every_attack_is_quoted() -> None:
    quoted = defaultdict(list)
    for number, test in quotations():
        quoted[number].append(test)

    assert [number for number in CATALOGUE if number not in quoted] == []
    assert [number for number in quoted if number not in CATALOGUE] == [], "the catalogue has no such number"
