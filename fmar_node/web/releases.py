"""What is known of a release before it is in force: its impact on the stored records, and what its shadow counts. For the operator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fmar_node.access.caller import Role
from fmar_node.errors import Malformed, NotFound
from fmar_node.impact import impact_at, impact_file
from fmar_node.record import Version
from fmar_node.release import release_name
from fmar_node.web.exchange import Exchange, json_response
from fmar_node.web.noted import noted_of
from fmar_node.web.records import exchange_of

NARROWING = ("kind", "constraint", "outcome", "category", "manager")


async def impact(request: Request) -> Response:
    """How far the analysis of a release is, and what it has found: records that would newly fail, by constraint, category and manager."""
    return await _told(request, _impact)


async def shadow(request: Request) -> Response:
    """What a release in shadow would have refused of the documents that were accepted beside it, by constraint and organisation."""
    return await _told(request, lambda exchange, version: exchange.node.shadow.told(release_name(version.document)))


async def _told(request: Request, tell: Callable[[Exchange, Version], dict[str, Any]]) -> Response:
    """Unauthenticated without a credential; NotFound where there is no such release, and for everybody who is not the operator."""
    exchange, id_ = exchange_of(request), request.path_params["id"]
    noted = noted_of(request)
    noted.kind, noted.record = "releases", id_
    caller = await exchange.caller()
    if caller.is_anonymous:
        raise exchange.node.verifier.missing("what a release would do is told to the operator")
    version = exchange.node.register.current("releases", id_) if caller.has(Role.OPERATOR) and not caller.actor else None
    if version is None:
        raise NotFound("not-found", "no such record for this caller")
    return json_response(tell(exchange, version))


def _impact(exchange: Exchange, version: Version) -> dict[str, Any]:
    """What was found; with the ids of records where it is narrowed to some of the rows."""
    asked = exchange.request.query_params
    if odd := [name for name in asked if name not in NARROWING]:
        raise Malformed("malformed-request", f"an impact is narrowed by {', '.join(NARROWING)}, not by {odd[0][:40]!r}")
    found = impact_at(impact_file(exchange.node.folder, version.id))
    if found is None:
        return {"release": release_name(version.document), "status": "waiting", "records": 0, "total": 0, "failing": 0, "finished": "", "rows": []}
    said = found.as_json()
    rows = [row for row in said["rows"] if all(row[name] == value for name, value in asked.items())]
    shown = rows if asked else [{name: value for name, value in row.items() if name != "first"} for row in rows]
    status = "finished" if found.finished else "running"
    counts = {"records": found.looked, "total": found.total, "failing": found.failing, "finished": found.finished}
    return {"release": found.release, "over": found.base, "status": status, **counts, "rows": shown}


ROUTES = (("impact", impact), ("shadow", shadow))
