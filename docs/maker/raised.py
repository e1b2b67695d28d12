"""What the package's source raises: fault calls with their codes, and the HTTP statuses of each problem code.

A problem code has no status of its own: the class of the error decides it (`fmar_node.web.problems.STATUS`), so the
places where the code is raised are read from the source.
"""

from __future__ import annotations

import ast
import importlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import fmar_node
from fmar_node.errors import PROBLEMS, FmarError, Severity
from fmar_node.web.problems import STATUS

PACKAGE = Path(fmar_node.__file__).parent
CLASSES = {kind.__name__: kind for kind in FmarError.__subclasses__()}
BY_NAME_ONLY = {
    "agent-refused": {403}, "node-unreachable": {502}, "credential-missing": {401}, "invalid-token": {401}, "invalid-dpop-proof": {401},
    "invalid-client": {401}, "invalid-client-certificate": {401}, "rate-limited": {429},
    "consent-not-available": {422}, "consent-required": {422},
}  # fmt: skip
"""Codes that reach their error class, or the agent's answer, through a variable."""
FAULT = ("code", "severity", "message", "pointer", "field", "value", "constraint")


@dataclass(frozen=True, slots=True)
class Call:
    """One place that makes a fault: in which function, with which code, severity and message."""

    function: str
    told: str
    code: str
    severity: str
    message: str


def fault_calls(module: str, known: Mapping[str, str]) -> Iterator[Call]:
    """Every `Fault(...)` in a module, in the order of the source; `known` are the values of its parameters."""
    source = importlib.import_module(module)
    tree = ast.parse(Path(str(source.__file__)).read_text("utf-8"))
    constants = {name: str(value) for name, value in vars(source).items() if name.isupper() and isinstance(value, int)}
    returned = {function.name: _returned(function) for function in _functions(tree)}
    for function in _functions(tree):
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Fault":
                given = dict(zip(FAULT, call.args, strict=False)) | {word.arg: word.value for word in call.keywords if word.arg}
                severity = Severity[ast.unparse(given["severity"]).rsplit(".", 1)[-1]].value
                texts = {**constants, **returned, **known, **_texts(function, call.lineno, constants)}
                told = ast.get_docstring(function) or ""
                yield Call(function.name, told, _text(given["code"], texts), severity, _text(given["message"], texts))


def _functions(tree: ast.Module) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def _returned(function: ast.FunctionDef) -> str:
    found = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    return " / ".join(_text(value, {}) for value in found if isinstance(value, ast.Constant | ast.JoinedStr))


def _texts(function: ast.FunctionDef, line: int, constants: Mapping[str, str]) -> dict[str, str]:
    """What the names of a function stand for at a line: the last assignment before it, pairs that a loop goes through."""
    found: dict[str, str] = {}
    for node in sorted(ast.walk(function), key=lambda node: getattr(node, "lineno", 0)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.lineno < line:
            if isinstance(node.value, ast.Constant | ast.JoinedStr):
                found[node.targets[0].id] = _text(node.value, constants)
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Tuple) and isinstance(node.iter, ast.Tuple):
            pairs = [pair.elts for pair in node.iter.elts if isinstance(pair, ast.Tuple)]
            for name, values in zip(node.target.elts, zip(*pairs, strict=True), strict=True):
                found[ast.unparse(name)] = " / ".join(dict.fromkeys(_text(value, {}) for value in values))
    return found


def _text(node: ast.expr, texts: Mapping[str, str]) -> str:
    """A text as people read it: what is filled in at run time stands in square brackets, but for constants."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, texts) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        name = ast.unparse(node.value).rsplit(".", 1)[-1]
        return texts[name] if name.isupper() and name in texts else f"[{name}]"
    if isinstance(node, ast.Call):
        return texts.get(ast.unparse(node.func), "")
    return texts.get(ast.unparse(node), f"[{ast.unparse(node)}]")


def statuses() -> dict[str, list[int]]:
    """The HTTP statuses that each problem code goes out with."""
    found: dict[str, set[int]] = defaultdict(set)
    for file in sorted(PACKAGE.rglob("*.py")):
        for name, status in _raised(ast.parse(file.read_text("utf-8"))):
            found[name].add(status)
    for name, known in BY_NAME_ONLY.items():
        found[name] |= known
    if silent := [name for name in PROBLEMS if not found[name]]:
        raise ValueError(f"no place raises these problems: {silent}")
    return {name: sorted(found[name]) for name in PROBLEMS}


def _raised(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = ast.unparse(node.func).rsplit(".", 1)[-1]
            if name in CLASSES and node.args[0].value in PROBLEMS:
                yield str(node.args[0].value), STATUS[CLASSES[name]]
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and isinstance(value, ast.Name) and value.id in CLASSES and key.value in PROBLEMS:
                    yield str(key.value), STATUS[CLASSES[value.id]]
