"""OpenAPI that tells the truth: what each route takes, answers and refuses; and its page at /docs without any CDN."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fmar_node.jsonld import MEDIA_TYPES
from fmar_node.kinds import KINDS, Kind
from fmar_node.node import Node
from fmar_node.query import GRAPH_FORMATS, RESULT_FORMATS
from fmar_node.vocabulary import Term, TermKind, Vocabulary
from fmar_node.web.exchange import RECORD_FORMATS
from fmar_node.web.pages import TEMPLATES
from fmar_node.web.problems import PROBLEM_JSON
from fmar_node.web.records import MERGE_PATCH

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
    components["schemas"] = {**schemas, **_parts(node.vocabulary), "Problem": PROBLEM_SCHEMA}
    components["securitySchemes"] = {"dpop": {"type": "http", "scheme": "DPoP", "description": "Access token bound to the key of a DPoP proof (RFC 9449)"}}
    found["servers"] = [{"url": node.settings.base_url}]
    for path, item in found["paths"].items():
        kind = next((kind for plural, kind in KINDS.items() if path.startswith(f"/{plural}")), None)
        for method, operation in item.items():
            _complete(operation, path, method, kind)
    return found


def _complete(operation: dict[str, Any], path: str, method: str, kind: Kind | None) -> None:
    operation["responses"] = {"200": {"description": "Done"}, "4XX": PROBLEM, "5XX": PROBLEM}
    operation["security"] = [{}, {"dpop": []}]
    operation["summary"] = f"{method.upper()} {path}"
    if path == "/sparql":
        _complete_sparql(operation, method)
    if kind is None:
        return
    operation["tags"] = [kind.plural]
    schema = {"$ref": f"#/components/schemas/{kind.class_name}"}
    if path == f"/{kind.plural}/{{id}}" or (path == f"/{kind.plural}" and method == "post"):
        operation["responses"]["200"] = {"description": "The record", "content": {each: {"schema": schema} if "json" in each else {} for each in RECORD_FORMATS}}
    if path == f"/{kind.plural}" and method == "post":
        operation["responses"]["201"] = operation["responses"].pop("200")
        operation["parameters"] = [_parameter("Idempotency-Key", "header"), _parameter("dry-run", "query")]
    if method in ("post", "put", "patch") and (path == f"/{kind.plural}" or path.endswith("{id}")):
        taken = (MERGE_PATCH,) if method == "patch" else MEDIA_TYPES
        operation["requestBody"] = {"required": True, "content": {each: {"schema": schema} if "json" in each else {} for each in taken}}
        operation["security"] = [{"dpop": []}]
    if method in ("put", "patch"):
        operation.setdefault("parameters", []).append({**_parameter("If-Match", "header"), "required": True})
    if path == f"/{kind.plural}" and method == "get":
        names = (*kind.filters, "cursor", "limit", "managed")
        operation["parameters"] = [_parameter(name, "query") for name in names]


def _complete_sparql(operation: dict[str, Any], method: str) -> None:
    names = ("default-graph-uri", "named-graph-uri", "format", "timeout")
    operation["responses"]["200"] = {"description": "Results", "content": {each: {} for each in (*RESULT_FORMATS, *GRAPH_FORMATS)}}
    operation["parameters"] = [_parameter(name, "query") for name in (("query", *names) if method == "get" else names)]
    if method == "post":
        form = {"schema": {"type": "object", "required": ["query"], "properties": {"query": {"type": "string"}}}}
        operation["requestBody"] = {"content": {"application/sparql-query": {"schema": {"type": "string"}}, "application/x-www-form-urlencoded": form}}


def _parameter(name: str, place: str) -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": {"type": "string"}}


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


async def page(request: Request) -> Response:
    """The API for people, rendered from the OpenAPI description by the node itself."""
    node = request.app.state.node
    described = request.app.openapi()
    text = TEMPLATES.get_template("api.html").render(node=node, base=node.settings.base_url, software=request.app.version, api=described)
    return HTMLResponse(text)
