"""OpenAPI that tells the truth: what each route takes, answers and refuses; and its page at /docs without any CDN."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fmar_node.kinds import KINDS
from fmar_node.node import Node
from fmar_node.representation import JSON
from fmar_node.web.batch import NDJSON
from fmar_node.web.contract import OPEN, PERSON, READ, SIGNED, WRITE, Operation, operations
from fmar_node.web.cookie import session_cookie
from fmar_node.web.credentials import FORM
from fmar_node.web.pages import TEMPLATES
from fmar_node.web.problems import PROBLEM_JSON
from fmar_node.web.schema import ANSWERED, parameter, reference, schemas

PROBLEM = {"description": "Refused", "content": {PROBLEM_JSON: {"schema": reference("Problem")}}}
OAUTH_ERROR = {"description": "Refused", "content": {JSON: {"schema": reference("OAuthError")}}}
ACCESS: dict[str, list[dict[str, list[str]]]] = {
    READ: [{}, {"dpop": []}, {"session": []}],
    WRITE: [{"dpop": []}, {"session": []}],
    OPEN: [],
    PERSON: [{"session": []}],
    SIGNED: [{"signature": []}],
}
WORDS = {200: "Done", 201: "Made", 202: "Taken, and done later", 204: "Done, as you prefer without a body", 303: "Go on there", 304: "Not changed", 503: "Not now"}


def describe(app: FastAPI) -> None:
    """Replaces the generated description by one that is made from the ontology, the kinds and the routes."""
    node: Node = app.state.node

    def openapi() -> dict[str, Any]:
        release = node.vocabulary.release
        if not app.openapi_schema or app.state.described != release:
            app.state.described = release
            routes = [APIRoute(path, endpoint, methods=[method], response_model=None, name=path) for path, endpoint, method in app.state.ways]
            found = get_openapi(title=app.title, version=app.version, routes=routes, description=DESCRIPTION)
            app.openapi_schema = _completed(found, node)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


DESCRIPTION = (
    "One register of flexible assets, of the organisations that manage them, and of the relation between the two. "
    "Records are JSON-LD documents; every refusal is a problem document with coded errors."
)


def _completed(found: dict[str, Any], node: Node) -> dict[str, Any]:
    components = found.setdefault("components", {})
    components["schemas"] = schemas(node.vocabulary)
    components["securitySchemes"] = {
        "signature": {"type": "apiKey", "in": "header", "name": "webhook-signature", "description": "a Standard Webhooks signature of a consent solution that the node trusts"},
        "dpop": {"type": "http", "scheme": "DPoP", "description": "Access token bound to the key of a DPoP proof (RFC 9449)"},
        "session": {"type": "apiKey", "in": "cookie", "name": session_cookie(node.settings.base_url), "description": "Session of a person who has signed in at /signin"},
    }
    found["servers"] = [{"url": node.settings.base_url}]
    told = {(each.path, each.method): each for each in operations()}
    for path, item in found["paths"].items():
        for method, operation in item.items():
            if (path, method) in told:
                operation.update(_told(told[path, method], node))
    return found


def _told(operation: Operation, node: Node) -> dict[str, Any]:
    """The description of one operation, beside what its docstring says."""
    path, names = operation.path, (*re.findall(r"\{(\w+)\}", operation.path), *operation.parameters)
    refused = OAUTH_ERROR if path == "/oauth/token" else PROBLEM
    unknown = {} if operation.access == OPEN else {"401": {**PROBLEM, **_headers(("WWW-Authenticate",))}}
    described: dict[str, Any] = {
        "summary": f"{operation.method.upper()} {path}",
        "operationId": f"{operation.method}{re.sub('[^A-Za-z0-9]+', '-', path)}".rstrip("-"),
        "security": ACCESS[operation.access],
        "parameters": [parameter(name, operation, node.vocabulary, node.settings) for name in names],
        "responses": {**{str(status): _answer(operation, status) for status in operation.answers}, **unknown, "4XX": refused, "5XX": PROBLEM},
    }
    if (room := path.split("/")[1]) in KINDS:
        described["tags"] = [room]
    if operation.takes:
        content = {each: _schema(operation.given, each) for each in operation.takes}
        described["requestBody"] = {"required": operation.is_body_needed, "content": content}
    return described


def _answer(operation: Operation, status: int) -> dict[str, Any]:
    content = {each: _schema(_shown(operation, status, each), each) for each in operation.answers[status]}
    headers = _headers(operation.headers.get(status, ()))
    return {"description": WORDS[status], **({"content": content} if content else {}), **headers}


def _shown(operation: Operation, status: int, media_type: str) -> str | tuple[str, ...]:
    """The schema, or schemas, of an answer; a dry run is answered in JSON, whatever was asked for."""
    if not operation.trial or status != 200 or media_type != JSON:
        return operation.told
    told = (operation.told,) if isinstance(operation.told, str) else operation.told
    return operation.trial if operation.answers[status] == [JSON] else (*told, operation.trial)


def _headers(names: Sequence[str]) -> dict[str, Any]:
    return {"headers": {name: {**ANSWERED[name], "required": True} for name in names}} if names else {}


def _schema(name: str | tuple[str, ...], media_type: str) -> dict[str, Any]:
    """What stands beside a media type: a schema, where it is one of JSON or a form."""
    if not name or not (media_type.endswith("json") or media_type == FORM) or media_type == NDJSON:
        return {}
    return {"schema": reference(name) if isinstance(name, str) else {"anyOf": [reference(each) for each in name]}}


async def page(request: Request) -> Response:
    """The API for people, rendered from the OpenAPI description by the node itself."""
    node = request.app.state.node
    described = request.app.openapi()
    text = TEMPLATES.get_template("api.html").render(node=node, base=node.settings.base_url, root=urlsplit(node.settings.base_url).path, software=request.app.version, api=described)
    return HTMLResponse(text)
