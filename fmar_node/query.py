"""SPARQL inside the caller's window: one default graph, a fixed list of named graphs, and nothing else.

Rules kept here: the dataset is chosen here and passed to the engine in both arguments, whatever the query says;
graphs that a request names only narrow it, and one that is named twice is one; the text passes the gate before a worker sees it; no graph is asked that
is older than the caller's rights.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urljoin

import pyoxigraph as ox

from fmar_node.access.caller import Caller
from fmar_node.errors import Forbidden, Malformed, NotAcceptable, Unavailable, counted, with_article
from fmar_node.settings import Settings
from fmar_node.store.gate import Admitted, admit
from fmar_node.store.pool import Answer, Query, QueryPool

RESULT_FORMATS = {
    "application/sparql-results+json": "json",
    "application/sparql-results+xml": "xml",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
}
GRAPH_FORMATS = {
    "text/turtle": "turtle",
    "application/n-triples": "ntriples",
    "application/ld+json": "jsonld",
    "application/rdf+xml": "rdfxml",
}
Want = Callable[[int], Awaitable[None]]
"""Asks for a snapshot that holds a journal index."""
SHARED_GRAPHS = ("views/public", "ontology", "shapes", "codes")


@dataclass(frozen=True, slots=True)
class Question:
    """A protocol request: the query, the datasets that it asks for, the formats that it accepts, its limits."""

    text: str
    default_graphs: tuple[str, ...] = ()
    named_graphs: tuple[str, ...] = ()
    accept: Sequence[str] | None = None
    """Media types, the most wanted first; None: whatever there is."""
    seconds: float | None = None
    min_index: int = -1
    bindings: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Terms of variables, for a saved query."""
    nameless: str = ""
    """Under what a query without a credential counts, and pays: the address that it came from."""


def window(caller: Caller, base_url: str) -> tuple[str, list[str]]:
    """The caller's default graph, and every graph that it may name."""
    own = f"{base_url}/views/{caller.view}"
    return own, [own, *(graph for name in SHARED_GRAPHS if (graph := f"{base_url}/{name}") != own)]


def dataset(question: Question, admitted: Admitted, caller: Caller, base_url: str) -> tuple[list[str], list[str]]:
    """Default and named graphs, each once: the caller's window, narrowed by the protocol's parameters or else by FROM, if any.

    Both are resolved against the endpoint, FROM against BASE where there is one. Malformed for what is no IRI.
    """
    own, allowed = window(caller, base_url)
    endpoint = f"{base_url}/sparql"
    if question.default_graphs or question.named_graphs:
        asked, code, base = (question.default_graphs, question.named_graphs), "malformed-request", endpoint
    elif admitted.default_graphs or admitted.named_graphs:
        asked, code, base = (admitted.default_graphs, admitted.named_graphs), "query-malformed", admitted.base
    else:
        return [own], allowed
    try:
        default, named = (dict.fromkeys(ox.NamedNode(urljoin(urljoin(endpoint, base), graph)).value for graph in graphs) for graphs in asked)
    except ValueError as error:
        raise Malformed(code, f"the IRI of a graph is wrong: {error}") from error
    return [graph for graph in default if graph in allowed], [graph for graph in named if graph in allowed]


def formats_of(form: str) -> Mapping[str, str]:
    """The media types that a query form is answered in, and their short names."""
    return RESULT_FORMATS if form in ("SELECT", "ASK") else GRAPH_FORMATS


def chosen(form: str, accept: Sequence[str] | None) -> str:
    """The media type of the answer to a query form: the first one accepted of those that it has; NotAcceptable if there is none."""
    offered = formats_of(form)
    for name in offered if accept is None else accept:
        if name in offered:
            return name
    raise NotAcceptable("not-acceptable", f"{with_article(form)} query is answered as {', '.join(offered)}")


async def ask(pool: QueryPool, settings: Settings, question: Question, caller: Caller, want: Want) -> Answer:
    """Evaluates a question in the caller's window; FmarError for every refusal.

    Who acts for another asks with a token of its own: its graph holds everything that anybody has granted it.
    """
    return await ask_in(pool, settings, question, caller, want)


async def ask_in(
    pool: QueryPool, settings: Settings, question: Question, caller: Caller, want: Want, graphs: tuple[list[str], list[str]] | None = None
) -> Answer:
    """The same, or in other graphs than the caller's: those of a text of the node's own, never of one that came from outside."""
    if caller.actor:
        raise Forbidden("not-permitted", "QUERY-ACTING-1: ask with your own organisation's token; its graph holds everything that has been granted to it")
    admitted = admit(question.text, settings)
    media_type = chosen(admitted.form, question.accept)
    default, named = graphs or dataset(question, admitted, caller, settings.base_url)
    seconds = settings.query_seconds_default if question.seconds is None else question.seconds
    if not 0 < seconds <= settings.query_seconds:
        raise Malformed("malformed-request", f"timeout is more than 0 and at most {counted(settings.query_seconds, 'second')}")
    await fresh_enough(pool, settings, max(question.min_index, caller.since), want)
    query = Query(
        admitted.text, tuple(default), tuple(named), media_type, seconds, caller.organisation or question.nameless,
        base_iri=f"{settings.base_url}/sparql", payer=caller.party,
        bindings=question.bindings, is_nameless=caller.is_anonymous,
    )  # fmt: skip
    return await pool.run(query)


async def fresh_enough(pool: QueryPool, settings: Settings, index: int, want: Want) -> None:
    """Waits, up to a bound, until the snapshot holds a journal index: a caller's own write."""
    if pool.index < index:
        await want(index)
    deadline = asyncio.get_running_loop().time() + settings.freshness_seconds
    while pool.index < index:
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable("graph-behind", f"the graph holds index {pool.index}, not yet {index}", headers={"Retry-After": "1"})
        await asyncio.sleep(0.02)
