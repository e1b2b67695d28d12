"""Saved queries over HTTP: a list, a page about each, and each as a URL that answers in any format of its form."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fmar_node.access.caller import Caller
from fmar_node.checks.saved_query import RESERVED, Parameter
from fmar_node.errors import Malformed, NotFound
from fmar_node.node import Node
from fmar_node.query import Question, formats_of
from fmar_node.record import uuid_of
from fmar_node.representation import JSON
from fmar_node.saved_query import SavedQuery, example
from fmar_node.web.exchange import PRIVATE, Exchange, json_response
from fmar_node.web.limits import nameless
from fmar_node.web.negotiation import accepted
from fmar_node.web.noted import noted_of
from fmar_node.web.pages import page_of
from fmar_node.web.records import exchange_of, page_limit
from fmar_node.web.sparql import accept_of, answered, min_index_of, seconds_of

HTML = "text/html"
PARAMETERS = ("name", "limit", "cursor", "format")
CURSOR = re.compile(r"[a-z0-9-]{1,63}")


async def listed(request: Request) -> Response:
    """The saved queries that the caller may ask, with their parameters and addresses."""
    exchange = exchange_of(request)
    caller, node, asked = await exchange.caller(), exchange.node, request.query_params
    _check_list(asked)
    limit = page_limit(asked.get("limit"), node.settings.page_items, node.settings.page_items_most)
    await exchange.give_way()
    found = _named(asked["name"], node, caller) if "name" in asked else node.saved_queries.page(caller, asked.get("cursor", ""), limit + 1)
    headers, following = dict(PRIVATE), {}
    if len(found) > limit:
        cursor = uuid_of(found[limit - 1].record) or found[limit - 1].name
        kept = {name: value for name, value in asked.items() if name != "cursor"}
        following["next"] = f"{node.settings.base_url}/queries?{urlencode({**kept, 'cursor': cursor})}"
        headers["Link"] = f'<{following["next"]}>; rel="next"'
    items = [_told(each, node) for each in found[:limit]]
    if exchange.wanted((JSON, HTML)) == HTML:
        return HTMLResponse(page_of("queries.html", node, queries=items, caller=caller, **following), headers=headers)
    return json_response({"items": items, **following}, 200, headers)


def _check_list(asked: QueryParams) -> None:
    names = [name for name, _ in asked.multi_items()]
    if odd := [name for name in names if name not in PARAMETERS or names.count(name) > 1]:
        raise Malformed("malformed-request", f"the list takes {', '.join(PARAMETERS)}, each once at most, and not {odd[0][:40]!r}")
    if not CURSOR.fullmatch(asked.get("cursor", "first")):
        raise Malformed("malformed-request", "this cursor was not issued by this node")


def _named(name: str, node: Node, caller: Caller) -> list[SavedQuery]:
    try:
        return [node.saved_queries.get(name, caller)]
    except NotFound:
        return []


async def asked(request: Request) -> Response:
    """The answer to one, or the page about it for a browser that asks for nothing in particular."""
    exchange = exchange_of(request)
    caller = await exchange.caller()
    query = exchange.node.saved_queries.get(request.path_params["name"], caller)
    given = request.query_params.multi_items()
    if not given and _is_browser(exchange):
        told = {**_told(query, exchange.node), "shortFormats": sorted(formats_of(query.form).values())}
        return HTMLResponse(page_of("query.html", exchange.node, query=told, caller=caller), headers=PRIVATE)
    names = {name for name, _ in given}
    noted = noted_of(request)
    noted.saved, noted.parameters = query.name, tuple(each.name for each in query.parameters if each.name in names)
    await exchange.give_way()
    question = Question(
        query.text,
        accept=accept_of(exchange, [value for name, value in given if name == "format"]),
        seconds=seconds_of([value for name, value in given if name == "timeout"]),
        min_index=min_index_of(request.headers.get("fmar-min-journal-index")),
        bindings=query.bound([each for each in given if each[0] not in RESERVED], exchange.node.vocabulary),
        nameless=nameless(request) if caller.is_anonymous else "",
    )
    return await answered(exchange, question, caller)


def _is_browser(exchange: Exchange) -> bool:
    return accepted(exchange.header("accept") or "")[:1] == [HTML]


def _told(query: SavedQuery, node: Node) -> dict[str, Any]:
    url, values, offered = f"{node.settings.base_url}/queries/{query.name}", example(query, node.vocabulary), formats_of(query.form)
    needed = {each.name: values[each.name] for each in query.parameters if not each.is_optional}
    return {
        "name": query.name,
        "title": query.title,
        "about": query.about,
        "publisher": query.publisher or None,
        "record": query.record or None,
        "url": url,
        "example": f"{url}?{urlencode({**needed, 'format': 'csv' if query.form == 'SELECT' else 'turtle'})}",
        "formats": list(offered),
        "parameters": [_parameter(each, node) for each in query.parameters],
        "query": query.text,
    }


def _parameter(each: Parameter, node: Node) -> dict[str, Any]:
    codes = {"codes": f"{node.settings.base_url}/codes/{each.scheme}", "oneOf": sorted(node.vocabulary.schemes[each.scheme].codes)} if each.scheme else {}
    return {"name": each.name, "kind": each.kind, "isOptional": each.is_optional, "about": each.about, **codes}
