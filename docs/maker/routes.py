"""Every route, from the description that a node gives of itself."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maker.markdown import code, page, table
from maker.words import HEADERS, ROUTES, SHORT

from fmar_node.access.key import SigningKeys
from fmar_node.folder import Folder
from fmar_node.kinds import KINDS
from fmar_node.node import Node
from fmar_node.settings import Settings
from fmar_node.web.app import create_app

BASE = "https://node.example"
FILTERS = {name for kind in KINDS.values() for name in kind.filters}


def http() -> str:
    described = openapi()
    rows = [
        [code(f"{method.upper()} {path}"), _does(path, method, operation), _parameters(operation), _takes(operation), _needs(operation)]
        for path, item in described["paths"].items()
        for method, operation in item.items()
    ]
    intro = (
        "Every route of a node, from its OpenAPI description (`/openapi.json`, for people at `/docs`). `{id}` is a UUID. "
        "*Credential*: **needed**, **widens** what is seen (without one: what is public), **a person's** session, or of no use. "
        "`HEAD` goes wherever `GET` does; `/sparql` takes the method `QUERY` too. Refusals: [problems](problems.md)."
    )
    narrowed = [[code(f"GET /{plural}"), ", ".join(map(code, kind.filters))] for plural, kind in KINDS.items() if kind.filters]
    return page(
        "HTTP", intro, table("request | does | parameters | takes | credential", rows),
        "## Filters of lists", "Equal values of what the caller sees; codes as codes, organisations as IRI or UUID.",
        table("list | is narrowed by", narrowed),
        "## Headers", table("header | on | means", HEADERS),
    )  # fmt: skip


def openapi() -> dict[str, Any]:
    """The description that a node gives of itself."""
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Folder(Path(root) / "node")
        folder.make(BASE)
        SigningKeys.generate(folder.token_keys)
        described: dict[str, Any] = create_app(Node(folder, Settings(base_url=BASE))).openapi()
    return described


def _does(path: str, method: str, operation: Mapping[str, Any]) -> str:
    told = operation.get("description") or next(said for (verb, end), said in ROUTES.items() if verb == method and path.endswith(end))
    text = str(told).removeprefix(f"{method.upper()} {path}: ").removeprefix(f"{method.upper()}: ").removeprefix(f"{method.upper()} ")
    return text[0].upper() + text[1:]


def _parameters(operation: Mapping[str, Any]) -> str:
    return ", ".join(code(each["name"]) for each in operation.get("parameters", ()) if each["in"] != "path" and each["name"] not in FILTERS)


def _takes(operation: Mapping[str, Any]) -> str:
    return ", ".join(SHORT.get(each, each) for each in operation.get("requestBody", {}).get("content", {}))


def _needs(operation: Mapping[str, Any]) -> str:
    if not operation["security"]:
        return ""
    if {} in operation["security"]:
        return "widens"
    return "needed" if {"dpop": []} in operation["security"] else "a person's"
