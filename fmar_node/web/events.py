"""GET /events: what has changed, for the caller, from any place of the journal on; a reader that is level may wait for more.

Rules kept here: a page always says how to go on; a page without events is one too, where there was much to look through, or nothing
came in time; who waits is let go when the node stops or nobody listens any more, and so many wait at once, each organisation its part.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from fmar_node.clock import parse_stamp, stamp
from fmar_node.errors import Malformed, TooMany
from fmar_node.event import BATCH, WORDS, Wish, wish_of
from fmar_node.feed import Page, Wanted, cursor_of, index_of
from fmar_node.kinds import KINDS
from fmar_node.node import Node
from fmar_node.representation import JSON, json_bytes
from fmar_node.vocabulary import Vocabulary
from fmar_node.web.exchange import PRIVATE, Exchange
from fmar_node.web.records import exchange_of, page_limit

PARAMETERS = ("cursor", "since", "limit", "wait", *WORDS)
BEHIND = "Fmar-Events-Behind"
BEGINNING, NOW = "beginning", "now"
SECONDS = re.compile(r"[0-9]{1,5}(\.[0-9]{1,3})?")
INDEX = re.compile(r"[0-9]{1,15}")


async def feed(request: Request) -> Response:
    """Events that concern the caller, in the order of the journal, behind a cursor or since a time; with `wait`, the next one when it comes."""
    exchange = exchange_of(request)
    caller, node, asked = await exchange.caller(), exchange.node, request.query_params
    if caller.is_anonymous:
        raise node.verifier.missing("the feed tells what concerns you; what everybody may see is at /sparql")
    _check(asked)
    limit = page_limit(asked.get("limit"), node.settings.page_items, node.settings.page_items_most)
    wish, after, seconds = wish_in(asked, node.vocabulary), await _start(asked, node), _seconds(asked, node)
    media_type = exchange.wanted((BATCH, JSON))
    await exchange.give_way()
    wanted = Wanted(lambda: node.standings.of(caller), limit, wish, node.settings.event_entries)
    with _waiting(node, caller.party, seconds):
        exchange.rest()
        page = await node.feeds.next(wanted, after, seconds, lambda: _is_over(exchange))
    return Response(json_bytes([event.as_json(node.settings.base_url) for event in page.events]), 200, _headers(page, asked, node), media_type)


def _headers(page: Page, asked: QueryParams, node: Node) -> dict[str, str]:
    kept = [(name, value) for name, value in asked.multi_items() if name not in ("cursor", "since")]
    following = f"{node.settings.base_url}/events?{urlencode([*kept, ('cursor', cursor_of(page.seen))])}"
    return {**PRIVATE, "Link": f'<{following}>; rel="next"', BEHIND: str(page.behind)}


async def _is_over(exchange: Exchange) -> bool:
    return exchange.node.is_stopping or await exchange.request.is_disconnected()


@contextmanager
def _waiting(node: Node, party: str, seconds: float) -> Iterator[None]:
    """One more that waits, if it waits at all. TooMany where that is one too many."""
    if not seconds:
        yield
        return
    waiting, settings = node.feeds.waiting, node.settings
    if waiting[party] >= settings.event_waiters_per_organisation or waiting.total() >= settings.event_waiters:
        most = f"{settings.event_waiters_per_organisation} requests of an organisation wait for events at once (event_waiters_per_organisation)"
        raise TooMany("too-many-requests", f"at most {most}; ask without wait, or later", headers={"Retry-After": "1"})
    waiting[party] += 1
    try:
        yield
    finally:
        waiting[party] -= 1
        if not waiting[party]:
            del waiting[party]


# -- what is asked for


def _check(asked: QueryParams) -> None:
    names = [name for name, _ in asked.multi_items()]
    if odd := [name for name in names if name not in PARAMETERS or (name not in WORDS and names.count(name) > 1)]:
        detail = f"the feed takes {', '.join(PARAMETERS)}, and those that narrow it ({', '.join(WORDS)}) several times; not {odd[0][:40]!r}"
        raise Malformed("malformed-request", detail)
    if "cursor" in names and "since" in names:
        raise Malformed("malformed-request", "the feed goes on behind a cursor, or begins with since, not both")


def known(vocabulary: Vocabulary) -> dict[str, Collection[str]]:
    """What the words that narrow the feed may say."""
    return {
        "kind": KINDS.keys(),
        "area": vocabulary.schemes["DNOCode"].codes.keys(),
        "category": vocabulary.schemes["AssetCategory"].codes.keys(),
        "action": {name for kind in KINDS.values() for name in kind.actions},
    }


def wish_in(asked: QueryParams, vocabulary: Vocabulary) -> Wish:
    """Which events are wanted. Malformed where a word names nothing that there is, lest nothing ever comes."""
    chosen = {word: asked.getlist(word) for word in WORDS}
    for word, values in known(vocabulary).items():
        if odd := [value for value in chosen[word] if value not in values]:
            raise Malformed("malformed-request", f"{word} is one of {', '.join(sorted(values))}, not {odd[0][:40]!r}")
    return wish_of(chosen)


async def _start(asked: QueryParams, node: Node) -> int:
    """The entry after which the feed begins: that of the cursor, or from `since` on: the beginning if nothing is said."""
    if "cursor" in asked:
        return index_of(asked["cursor"])
    since = asked.get("since", BEGINNING)
    if since == BEGINNING:
        return -1
    if since == NOW:
        return node.register.size() - 1
    if INDEX.fullmatch(since):
        return int(since) - 1
    try:
        return await node.feeds.before(stamp(parse_stamp(re.sub(r" (?=\d\d:\d\d$)", "+", since))))  # a plus sign that was not escaped
    except ValueError as error:
        raise Malformed("malformed-request", "since is beginning, now, the id of an event, or a time with a zone such as 2026-11-22T09:30:00Z") from error


def _seconds(asked: QueryParams, node: Node) -> float:
    text, most = asked.get("wait", "0"), node.settings.event_wait_seconds
    if not SECONDS.fullmatch(text) or float(text) > most:
        raise Malformed("malformed-request", f"wait is a number of seconds from 0 to {most:g}")
    return float(text)
