"""OpenAPI that tells the truth: what each route takes, answers and refuses; and its page at /docs without any CDN."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fmar_node.kinds import KINDS
from fmar_node.node import Node
from fmar_node.representation import JSON, LD_JSON
from fmar_node.vocabulary import Term, TermKind, Vocabulary
from fmar_node.web.contract import OPEN, PERSON, READ, WRITE, Operation, operations, parameter
from fmar_node.web.cookie import session_cookie
from fmar_node.web.credentials import FORM
from fmar_node.web.pages import TEMPLATES
from fmar_node.web.problems import PROBLEM_JSON

JSON_FORMS: dict[TermKind, dict[str, Any]] = {
    TermKind.TEXT: {"type": "string"},
    TermKind.DECIMAL: {"oneOf": [{"type": "number"}, {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}]},
    TermKind.INTEGER: {"type": "integer"},
    TermKind.BOOLEAN: {"type": "boolean"},
    TermKind.DATE: {"type": "string", "format": "date"},
    TermKind.INSTANT: {"type": "string", "format": "date-time"},
    TermKind.RECORD: {"type": "string", "format": "uri-reference"},
}
PROBLEM = {"description": "Refused", "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
OAUTH_ERROR = {"description": "Refused", "content": {JSON: {"schema": {"$ref": "#/components/schemas/OAuthError"}}}}
ACCESS: dict[str, list[dict[str, list[str]]]] = {
    READ: [{}, {"dpop": []}, {"session": []}],
    WRITE: [{"dpop": []}, {"session": []}],
    OPEN: [],
    PERSON: [{"session": []}],
}
WORDS = {200: "Done", 201: "Made", 204: "Done, as you prefer without a body", 303: "Go on there", 304: "Not changed", 503: "Not now"}


def describe(app: FastAPI) -> None:
    """Replaces the generated description by one that is made from the ontology, the kinds and the routes."""
    node: Node = app.state.node

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            found = get_openapi(title=app.title, version=app.version, routes=app.routes, description=DESCRIPTION)
            app.openapi_schema = _completed(found, node)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


DESCRIPTION = (
    "One register of flexible assets, of the organisations that manage them, and of the relation between the two. "
    "Records are JSON-LD documents; every refusal is a problem document with coded errors."
)


def _completed(found: dict[str, Any], node: Node) -> dict[str, Any]:
    schemas = {kind.class_name: _schema(node.vocabulary, kind.class_name) for kind in KINDS.values()}
    components = found.setdefault("components", {})
    components["schemas"] = {**schemas, **_parts(node.vocabulary), "Problem": PROBLEM_SCHEMA, "OAuthError": OAUTH_SCHEMA}
    components["securitySchemes"] = {
        "dpop": {"type": "http", "scheme": "DPoP", "description": "Access token bound to the key of a DPoP proof (RFC 9449)"},
        "session": {"type": "apiKey", "in": "cookie", "name": session_cookie(node.settings.base_url), "description": "Session of a person who has signed in at /signin"},
    }
    found["servers"] = [{"url": node.settings.base_url}]
    told = {(each.path, each.method): each for each in operations()}
    for path, item in found["paths"].items():
        for method, operation in item.items():
            if (path, method) in told:
                operation.update(_told(told[path, method]))
    return found


def _told(operation: Operation) -> dict[str, Any]:
    """The description of one operation, beside what its docstring says."""
    path, names = operation.path, (*re.findall(r"\{(\w+)\}", operation.path), *operation.parameters)
    refused = OAUTH_ERROR if path == "/oauth/token" else PROBLEM
    described: dict[str, Any] = {
        "summary": f"{operation.method.upper()} {path}",
        "operationId": f"{operation.method}{re.sub('[^A-Za-z0-9]+', '-', path)}".rstrip("-"),
        "security": ACCESS[operation.access],
        "parameters": [parameter(name, path) for name in names],
        "responses": {**{str(status): _answer(operation, status) for status in operation.answers}, "4XX": refused, "5XX": PROBLEM},
    }
    if (room := path.split("/")[1]) in KINDS:
        described["tags"] = [room]
    if operation.takes:
        needed = operation.is_body_needed
        described["requestBody"] = {"required": needed, "content": {each: _body(each, operation, needed) for each in operation.takes}}
    return described


def _answer(operation: Operation, status: int) -> dict[str, Any]:
    content = {each: _body(each, operation, status != 200 or operation.method != "post") for each in operation.answers[status]}
    return {"description": WORDS[status], **({"content": content} if content else {})}


def _body(media_type: str, operation: Operation, is_record: bool) -> dict[str, Any]:
    if media_type == FORM and operation.path == "/sparql":
        return {"schema": {"type": "object", "required": ["query"], "properties": {"query": {"type": "string"}}}}
    has_schema = is_record and operation.schema and media_type in (JSON, LD_JSON)
    return {"schema": {"$ref": f"#/components/schemas/{operation.schema}"}} if has_schema else {}


def _schema(vocabulary: Vocabulary, class_name: str) -> dict[str, Any]:
    properties = {term.name: _property(term, vocabulary) for term in vocabulary.classes[class_name]}
    own = {"@context": {"type": "string"}, "id": {"type": "string", "readOnly": True}, "type": {"const": class_name}}
    return {"type": "object", "additionalProperties": False, "properties": {**own, **properties}}


def _parts(vocabulary: Vocabulary) -> dict[str, Any]:
    names = {term.part_class for term in vocabulary.terms.values() if term.kind is TermKind.PART}
    return {name: _schema(vocabulary, name) for name in sorted(names)}


def _property(term: Term, vocabulary: Vocabulary) -> dict[str, Any]:
    if term.kind is TermKind.PART:
        form: dict[str, Any] = {"$ref": f"#/components/schemas/{term.part_class}"}
    elif term.kind is TermKind.CODE:
        form = {"type": "string", "enum": sorted(vocabulary.schemes[term.scheme].codes)}
    else:
        form = dict(JSON_FORMS[term.kind])
    if term.many:
        form = {"type": "array", "items": form}
    if term.server_set and "$ref" not in form:
        form["readOnly"] = True
    return {**form, "description": term.definition} if "$ref" not in form else form


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    name: {"type": "string"} for name in ("pointer", "field", "code", "constraint", "severity", "message", "value")
                },
            },
        },
        "report": {"type": "object", "description": "SHACL validation report as JSON-LD"},
    },
}


OAUTH_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {name: {"type": "string"} for name in ("error", "error_description", "code")},
}


async def page(request: Request) -> Response:
    """The API for people, rendered from the OpenAPI description by the node itself."""
    node = request.app.state.node
    described = request.app.openapi()
    text = TEMPLATES.get_template("api.html").render(node=node, base=node.settings.base_url, root=urlsplit(node.settings.base_url).path, software=request.app.version, api=described)
    return HTMLResponse(text)
