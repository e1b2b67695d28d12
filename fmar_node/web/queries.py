"""Saved queries over HTTP: a list, a page about each, and each as a URL that answers in any result format."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fmar_node.node import Node
from fmar_node.query import RESULT_FORMATS, Question
from fmar_node.representation import JSON
from fmar_node.saved_query import RESERVED, SavedQuery, example
from fmar_node.web.exchange import Exchange, json_response
from fmar_node.web.limits import address_of
from fmar_node.web.negotiation import accepted
from fmar_node.web.pages import page_of
from fmar_node.web.records import exchange_of
from fmar_node.web.sparql import OWN, accept_of, answered, min_index_of, seconds_of

HTML = "text/html"


async def listed(request: Request) -> Response:
    """The saved queries that the caller may ask, with their parameters and addresses."""
    exchange = exchange_of(request)
    found = exchange.node.saved_queries.all(await exchange.caller())
    if exchange.wanted((JSON, HTML)) == HTML:
        return HTMLResponse(page_of("queries.html", exchange.node, queries=[_told(each, exchange.node) for each in found]), headers=OWN)
    return json_response({"items": [_told(each, exchange.node) for each in found]}, 200, dict(OWN))


async def asked(request: Request) -> Response:
    """The answer to one, or the page about it for a browser that asks for nothing in particular."""
    exchange = exchange_of(request)
    caller = await exchange.caller()
    query = exchange.node.saved_queries.get(request.path_params["name"], caller)
    given = request.query_params.multi_items()
    if not given and _is_browser(exchange):
        return HTMLResponse(page_of("queries.html", exchange.node, queries=[_told(query, exchange.node)]), headers=OWN)
    await exchange.give_way()
    question = Question(
        query.text,
        accept=accept_of(exchange, [value for name, value in given if name == "format"]),
        seconds=seconds_of([value for name, value in given if name == "timeout"]),
        min_index=min_index_of(request.headers.get("fmar-min-journal-index")),
        bindings=query.bound([each for each in given if each[0] not in RESERVED], exchange.node.vocabulary),
        address=address_of(request) if caller.is_anonymous else "",
    )
    return await answered(exchange, question, caller)


def _is_browser(exchange: Exchange) -> bool:
    return accepted(exchange.header("accept") or "")[:1] == [HTML]


def _told(query: SavedQuery, node: Node) -> dict[str, Any]:
    url, values = f"{node.settings.base_url}/queries/{query.name}", example(query, node.vocabulary)
    needed = {each.name: values[each.name] for each in query.parameters if not each.is_optional}
    return {
        "name": query.name,
        "title": query.title,
        "about": query.about,
        "url": url,
        "example": f"{url}?{urlencode({**needed, 'format': 'csv'})}",
        "formats": list(RESULT_FORMATS),
        "parameters": [
            {"name": each.name, "kind": each.kind, "isOptional": each.is_optional, "about": each.about}
            | ({"codes": f"{node.settings.base_url}/codes/{each.scheme}", "oneOf": sorted(node.vocabulary.schemes[each.scheme].codes)} if each.scheme else {})
            for each in query.parameters
        ],
        "query": query.text,
    }
