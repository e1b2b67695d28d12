"""Refusals as HTTP: the only place where a status code is chosen (RFC 9457 problem documents)."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from fmar_node import errors
from fmar_node.checks.report import validation_report
from fmar_node.errors import FmarError
from fmar_node.representation import json_bytes

STATUS: dict[type[FmarError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.NotAcceptable: 406,
    errors.Conflict: 409,
    errors.Stale: 412,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Invalid: 422,
    errors.Outdated: 426,
    errors.PreconditionMissing: 428,
    errors.TooMany: 429,
    errors.Broken: 500,
    errors.Unavailable: 503,
    errors.OutOfRoom: 507,
}
PROBLEM_JSON = "application/problem+json"


def status_of(error: FmarError) -> int:
    return STATUS[type(error)]


def problem(error: FmarError, base_url: str, instance: str, kind: str = "") -> dict[str, Any]:
    """The problem document: coded errors on their fields, and the SHACL report where a document was judged."""
    document: dict[str, Any] = {
        "type": f"{base_url}/problems/{error.code}",
        "title": error.title,
        "status": status_of(error),
        "detail": error.detail or errors.PROBLEMS[error.code].remedy,
        "instance": instance,
        "code": error.code,
        **error.members,
    }
    if error.faults:
        document["errors"] = [fault.as_json() for fault in error.faults]
        if kind and isinstance(error, errors.Invalid):
            document["report"] = validation_report(error.faults, kind)
    return document


def problem_bytes(error: FmarError, base_url: str, instance: str, kind: str = "") -> bytes:
    return json_bytes(problem(error, base_url, instance, kind))


def refusal(error: FmarError, base_url: str, instance: str, kind: str = "") -> Response:
    """The answer that a refusal leaves as."""
    headers = {"Cache-Control": "private, no-store", "Vary": "Accept, Authorization, DPoP", **error.headers}
    return Response(problem_bytes(error, base_url, instance, kind), status_of(error), headers, PROBLEM_JSON)
