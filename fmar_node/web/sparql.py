"""The SPARQL 1.1 Protocol at /sparql: query by GET, form, direct POST and HTTP QUERY; updates are refused."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Sequence
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fmar_node.access.caller import Caller
from fmar_node.errors import BrokenOff, FmarError, Malformed, NotAcceptable, TooLarge
from fmar_node.query import GRAPH_FORMATS, RESULT_FORMATS, Question, window
from fmar_node.representation import RDF_FORMATS, serialise_triples
from fmar_node.store.pool import Answer
from fmar_node.web.description import COUNTS, service_description, statistics
from fmar_node.web.exchange import Exchange
from fmar_node.web.limits import nameless
from fmar_node.web.negotiation import NUMBER, content_type, preferred
from fmar_node.web.noted import Noted, noted_of
from fmar_node.web.records import exchange_of
from fmar_node.web.workbench import page

log = logging.getLogger("fmar.web")
FORM, DIRECT, UPDATE = "application/x-www-form-urlencoded", "application/sparql-query", "application/sparql-update"
DESCRIPTION_FORMATS = (*RDF_FORMATS, "application/ld+json", "text/html")
OFFERED = (*RESULT_FORMATS, *GRAPH_FORMATS)
PLAINLY = {name: f"application/{syntax}" for name in OFFERED for syntax in ("json", "xml") if name.endswith(f"+{syntax}")}
"""Plain JSON and XML are taken for what SPARQL makes of them."""
FORMATS = {
    **{name: (name,) for name in OFFERED},
    **{short: (name,) for name, short in {**RESULT_FORMATS, **GRAPH_FORMATS}.items()},
    "json": ("application/sparql-results+json", "application/ld+json"),
    "xml": ("application/sparql-results+xml", "application/rdf+xml"),
    "json-ld": ("application/ld+json",),
    "rdf+xml": ("application/rdf+xml",),
}
"""What `format=` may say: short names, media types, and how SPARQLWrapper spells two of them."""
OWN = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, DPoP"}
"""Headers of what each caller is told differently."""
Pairs = list[tuple[str, str]]
MOST_PARAMETERS = 200


async def endpoint(request: Request) -> Response:
    """A query in any of the protocol's forms; the description of the service without one."""
    exchange = exchange_of(request)
    caller = await exchange.caller()
    await exchange.give_way()
    pairs = await _parameters(exchange)
    if not any(name in ("query", "update") for name, _ in pairs) and request.method in ("GET", "HEAD"):
        return _description(exchange, caller)
    question = _question(exchange, pairs, nameless(request) if caller.is_anonymous else "")
    return await answered(exchange, question, caller)


async def answered(exchange: Exchange, question: Question, caller: Caller) -> Response:
    """The answer to a question in the caller's window, whole where it is small, streamed otherwise; noted in the security log."""
    request = exchange.request
    noted_of(request).asked(question.text)
    answer = await exchange.while_wanted(exchange.node.query(question, caller))
    headers = {"Fmar-Journal-Index": str(answer.index), **OWN}
    base_url = exchange.node.settings.base_url
    if not caller.is_anonymous and answer.default_graph == (window(caller, base_url)[0],):
        public = f"{base_url}/views/public"
        headers["Fmar-Hint"] = f"your own graph was asked; what everybody sees is in GRAPH <{public}>"
    if answer.is_whole:
        noted_of(request).rows = answer.rows
        return Response(b"".join([chunk async for chunk in answer.chunks]), headers=headers, media_type=answer.media_type)
    return StreamingResponse(_body(answer, noted_of(request)), headers=headers, media_type=answer.media_type)


async def _body(answer: Answer, noted: Noted) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.chunks:
            yield chunk
        noted.rows = answer.rows
    except FmarError as error:
        log.warning("an answer was broken off: %s", error.code)
        raise BrokenOff(error.code) from error
    finally:
        await answer.close()


async def _parameters(exchange: Exchange) -> Pairs:
    """Every parameter of the request, in order; a direct query becomes one of them."""
    request, settings = exchange.request, exchange.node.settings
    pairs = _pairs(request.url.query)
    if request.method in ("GET", "HEAD"):
        return pairs
    given = exchange.header("content-type") or ""
    if given.partition(";")[0].strip().lower() == UPDATE:
        raise Malformed("query-refused", "this endpoint answers queries; records are changed with POST, PUT and PATCH")
    media_type = content_type(given, (DIRECT, FORM))
    try:
        body = await exchange.body(3 * settings.query_bytes)
    except TooLarge:
        raise TooLarge("query-too-complex", f"query_bytes: the body is longer than any query; this node accepts {settings.query_bytes} bytes of SPARQL") from None
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("query-malformed", f"the query is not UTF-8: {error.reason}") from error
    return [*pairs, ("query", text)] if media_type == DIRECT else [*pairs, *_pairs(text)]


def _pairs(text: str) -> Pairs:
    if text.count("&") >= MOST_PARAMETERS:
        raise Malformed("malformed-request", f"more than {MOST_PARAMETERS} parameters")
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except ValueError as error:
        raise Malformed("malformed-request", "the parameters are not a URL-encoded UTF-8 form") from error


def _question(exchange: Exchange, pairs: Pairs, asker: str) -> Question:
    def given(name: str) -> list[str]:
        return [value for key, value in pairs if key == name]

    if given("update"):
        raise Malformed("query-refused", "this endpoint answers queries; records are changed with POST, PUT and PATCH")
    queries = given("query")
    if len(queries) != 1:
        raise Malformed("malformed-request", f"send exactly one query, not {len(queries)}")
    if not all(given("default-graph-uri") + given("named-graph-uri")):
        raise Malformed("malformed-request", "default-graph-uri and named-graph-uri are the IRI of a graph; one of them is empty")
    return Question(
        text=queries[0],
        default_graphs=tuple(given("default-graph-uri")),
        named_graphs=tuple(given("named-graph-uri")),
        accept=accept_of(exchange, given("format")),
        seconds=seconds_of(given("timeout")),
        min_index=min_index_of(exchange.request.headers.get("fmar-min-journal-index")),
        nameless=asker,
    )


def accept_of(exchange: Exchange, formats: Sequence[str]) -> tuple[str, ...]:
    """The media types that are wanted: those of `format=`, otherwise by the Accept header. NotAcceptable where there is no such format.

    SPARQLWrapper gives a format twice, by two of its names, or by a list of them that is none.
    """
    if not (given := [short for short in formats if short]):
        return tuple(preferred(exchange.header("accept") or "", OFFERED, PLAINLY))
    if not (known := [FORMATS[short] for short in given if short in FORMATS]):
        raise NotAcceptable("not-acceptable", f"format is one of {', '.join(name for name in FORMATS if '/' not in name)}, or a media type of these")
    if not (wanted := tuple(name for name in known[0] if all(name in each for each in known))):
        raise Malformed("malformed-request", f"format is given {len(known)} times, and differently")
    return wanted


def seconds_of(texts: Sequence[str]) -> float | None:
    if not texts:
        return None
    if len(texts) > 1:
        raise Malformed("malformed-request", f"timeout is given {len(texts)} times")
    try:
        return float(texts[0])
    except ValueError as error:
        raise Malformed("malformed-request", "timeout is a number of seconds") from error


def min_index_of(text: str | None) -> int:
    if text is None:
        return -1
    if not NUMBER.fullmatch(text):
        raise Malformed("malformed-request", "Fmar-Min-Journal-Index is the Fmar-Journal-Index of a receipt")
    return int(text)


def _description(exchange: Exchange, caller: Caller) -> Response:
    media_type = exchange.wanted(DESCRIPTION_FORMATS)
    if media_type == "text/html":
        return page(exchange.node)
    return Response(serialise_triples(service_description(exchange.node.settings, caller), media_type), headers=OWN, media_type=media_type)


async def statistics_of(request: Request) -> Response:
    """VoID statistics of the caller's own graph, counted now: a query like any other."""
    exchange = exchange_of(request)
    caller, media_type = await exchange.caller(), exchange.wanted(DESCRIPTION_FORMATS[:-1])
    await exchange.give_way()
    asker, min_index = nameless(request) if caller.is_anonymous else "", min_index_of(request.headers.get("fmar-min-journal-index"))
    question = Question(COUNTS, accept=("application/sparql-results+json",), min_index=min_index, nameless=asker)
    noted_of(request).asked(question.text)
    answer = await exchange.while_wanted(exchange.node.query(question, caller))
    counts = json.loads(b"".join([chunk async for chunk in _body(answer, noted_of(request))]))["results"]["bindings"]
    found = statistics(exchange.node.settings, caller, counts)
    return Response(serialise_triples(found, media_type), headers={**OWN, "Fmar-Journal-Index": str(answer.index)}, media_type=media_type)
