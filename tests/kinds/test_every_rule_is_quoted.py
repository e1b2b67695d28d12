"""Every policy, rule and state rule has a code, and each code is quoted by a test."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from fmar_node.kinds import KINDS

TESTS = Path(__file__).parents[1]
KIND_FILES = sorted((TESTS.parent / "fmar_node" / "kinds").glob("*.py"))
CODE = re.compile(
    r"[A-Z]+(-[A-Z]+)+-\d+"  # a policy, a state rule: ASSET-DEREGISTER-3
    r"|[AX]\d\d(-[a-z-]+)?"  # a published rule, a constraint: A06, A06-past
    r"|(Asset|Organisation)\.[A-Za-z]+(-[a-z-]+)?"  # ours: Organisation.licenceArea
    r"|[a-z]+(-[a-z]+)+"  # a problem of its own: consent-not-available
)


def declared() -> set[str]:
    """The codes that the kinds declare."""
    actions = [action for kind in KINDS.values() for action in kind.actions.values()]
    policies = {policy.code for action in actions for policy in action.policies}
    rules = {code for action in actions for rule in action.rules for code in rule.codes}
    return policies | rules | {action.state_rule for action in actions if action.state_rule}


def strings(file: Path) -> Iterator[str]:
    """Every text of a Python file, the fixed parts of f-strings too; no comments, no docstrings."""
    tree = ast.parse(file.read_text("utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def written() -> set[str]:
    """What looks like a code in the files of the kinds, and the code of every fault that they make."""
    found = {text for file in KIND_FILES for text in strings(file) if CODE.fullmatch(text)}
    for file in KIND_FILES:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Fault", "Rule", "Policy", "by_node"):
                found |= {each.value for each in node.args[:1] if isinstance(each, ast.Constant)}
    actions = {name for kind in KINDS.values() for name in kind.actions}
    return found - actions


@cache
def quoted() -> frozenset[str]:
    """Every word of every text in the tests."""
    files = [file for file in TESTS.rglob("test_*.py") if file != Path(__file__)]
    return frozenset(word for file in files for text in strings(file) for word in re.findall(r"[\w.-]+", text))


def stem(code: str) -> str:
    """A constraint's code: A06 of A06-past."""
    return code.split("-", maxsplit=1)[0] if re.match(r"[AX]\d\d|\w+\.", code) else code


def test_the_codes_are_found() -> None:
    assert len(declared()) > 30
    assert {"ASSET-DEREGISTER-3", "ASSET-DEREGISTER-5", "A06-past", "ORGANISATION-KEY-3", "DUPLICATE_PROBABLE"} <= written()


@pytest.mark.parametrize("code", sorted(declared() | written()))
def test_a_test_quotes_it(code: str) -> None:
    quotes = {word for word in quoted() if word == code or stem(word) == code}

    assert quotes, f"no test quotes {code}"


def test_every_action_has_a_policy_and_a_state_rule_where_it_needs_one() -> None:
    actions = [(kind.name, action) for kind in KINDS.values() for action in kind.actions.values()]

    assert [(name, action.name) for name, action in actions if not action.policies] == []
    assert [(name, action.name) for name, action in actions if bool(action.states) != bool(action.state_rule)] == [(kind.name, "erasure") for kind in KINDS.values() if "erasure" in kind.actions]  # no state refuses it
    assert [(name, action.name) for name, action in actions if not action.states and action.name != "register"] == []


def test_a_code_means_one_thing() -> None:
    """A policy's code stands for one reason within an action; the same code in two actions belongs to the same family."""
    for kind in KINDS.values():
        for action in kind.actions.values():
            codes = [policy.code for policy in action.policies] + [action.state_rule]
            assert len(codes) == len(set(codes))
            assert all(code.startswith(kind.name.upper()) for code in codes if code)
