"""Data quality over HTTP: the score of one record, scorecards, and the records that miss a rule.

Rules kept here: everything is told as the caller sees it: a record's score is of what it is shown of the record, a card of
its own graph; who is told aggregates is told a card once a day, and no record.
"""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

import pyoxigraph as ox
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fmar_node.access.caller import Caller, Role
from fmar_node.access.reveal import tiers
from fmar_node.checks.quality import (
    DIMENSIONS,
    DQV,
    METRICS,
    QualityRule,
    QualityRules,
    Score,
    measurements,
    packaged_rules,
    summary,
)
from fmar_node.errors import Forbidden, Malformed, nearest
from fmar_node.identity import is_uuid
from fmar_node.kinds import KINDS
from fmar_node.read import Shown
from fmar_node.record import uuid_of
from fmar_node.representation import JSON, LD_JSON, PREFIXES, RDF_FORMATS, serialise_triples
from fmar_node.scorecard import BY, CLASSES, is_aggregated
from fmar_node.scorecard import check as check_card
from fmar_node.vocabulary import CODES, FMAR, RDF_TYPE, XSD
from fmar_node.web.exchange import PRIVATE, Exchange, json_response
from fmar_node.web.noted import noted_of
from fmar_node.web.pages import page_of
from fmar_node.web.records import exchange_of, page_limit

HTML, CSV = "text/html", "text/csv"
SCORE_FORMATS = (JSON, LD_JSON, *RDF_FORMATS, HTML)
CARD_FORMATS = (JSON, CSV, LD_JSON, *RDF_FORMATS, HTML)
CARD_PARAMETERS = ("by", "kind", "organisation", "format")
MISSING_PARAMETERS = ("rule", "limit", "cursor")
COLUMNS = ("key", "records", "missing", "score", *(each.lower() for each in DIMENSIONS))
WITH_DQV = {**PREFIXES, "dqv": DQV}


async def rules_at_hand() -> QualityRules:
    """The rules; the first one to ask waits until they are read, and nobody else with it."""
    return await asyncio.to_thread(packaged_rules)


# -- one record


def of(plural: str) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a kind's records."""

    async def score(request: Request) -> Response:
        """How good a record is, as far as the caller sees it: a score for each dimension, and the rules that it misses."""
        exchange, noted = exchange_of(request), noted_of(request)
        noted.kind, noted.record = plural, request.path_params["id"]
        caller = await exchange.caller()
        await exchange.give_way()
        shown, rules = exchange.node.reader.current(plural, request.path_params["id"], caller), await rules_at_hand()
        found, media_type = scored(exchange, shown, caller, rules), exchange.wanted(SCORE_FORMATS)
        if media_type == JSON:
            return json_response(as_json(shown, found, exchange))
        if media_type == HTML:
            called = KINDS[plural].class_name
            return HTMLResponse(page_of("quality.html", exchange.node, called=called, score=as_json(shown, found, exchange)), headers=PRIVATE)
        told = serialise_triples(measurements(shown.document["id"], found), media_type, WITH_DQV)
        return Response(told, headers=PRIVATE, media_type=media_type)

    return score


def scored(exchange: Exchange, shown: Shown, caller: Caller, rules: QualityRules) -> Score | None:
    """The score of a version as the caller sees it, today."""
    document = shown.version.document
    return rules.score_of(document, tiers(document, caller), exchange.node.today, exchange.node.vocabulary)


def as_json(shown: Shown, score: Score | None, exchange: Exchange) -> dict[str, Any]:
    head = {"record": shown.document["id"], "measuredOn": exchange.node.today.isoformat()}
    return {**head, **summary(score)}


# -- scorecards


async def card(request: Request) -> Response:
    """A scorecard of what the caller sees, by organisation, category, area, dimension, rule or day."""
    exchange, asked = exchange_of(request), request.query_params
    caller, media_type = await exchange.caller(), exchange.wanted(CARD_FORMATS)
    _check(asked, CARD_PARAMETERS)
    if "organisation" in asked and asked.get("by") != "day":
        raise Malformed("malformed-request", "organisation is of by=day alone; by=organisation has each that you see")
    await exchange.give_way()
    told = await exchange.while_wanted(_card(exchange, caller, asked.get("kind", "assets"), asked.get("by", "dimension")))
    if media_type == JSON:
        return json_response(told)
    if media_type == CSV:
        return Response(_csv(told), headers={**PRIVATE, "Content-Disposition": 'inline; filename="quality.csv"'}, media_type=CSV)
    if media_type == HTML:
        return HTMLResponse(page_of("scorecard.html", exchange.node, card=told, by=BY, columns=[name for name in COLUMNS if any(name in row for row in told["items"])]), headers=PRIVATE)
    return Response(serialise_triples(list(_as_dqv(told, exchange)), media_type, WITH_DQV), headers=PRIVATE, media_type=media_type)


async def _card(exchange: Exchange, caller: Caller, kind: str, by: str) -> dict[str, Any]:
    node = exchange.node
    check_card(caller, kind, by)
    if by == "day":
        return _days(exchange, caller, kind)
    rules = await rules_at_hand()
    if not is_aggregated(caller):
        return _told(await node.scorecards.card(caller, kind, by, rules), await node.scorecards.measured_on())
    name = f"{kind} by {by} {rules.state(node.today)}"
    if (released := node.past_scores.released(name, node.today)) is None:
        released = _told(await node.scorecards.card(caller, kind, by, rules), await node.scorecards.measured_on())
        node.past_scores.release(name, node.today, released)
    return dict(released)


def _told(found: Any, measured_on: str) -> dict[str, Any]:
    aggregate = {"isAggregate": True, "suppressed": found.suppressed} if found.is_aggregated else {}
    return {"by": found.by, "kind": found.kind, "measuredOn": measured_on or None, **aggregate, "items": [row.as_json() for row in found.rows]}


def _days(exchange: Exchange, caller: Caller, kind: str) -> dict[str, Any]:
    """The caller's own scores day by day. Only whole records are counted there, so that an organisation is told its own alone."""
    if caller.is_anonymous or caller.actor or is_aggregated(caller):
        raise Forbidden("not-permitted", "QUALITY-DAYS-1: the scores of past days are told to the organisation that they are of")
    if kind != "assets":
        raise Malformed("malformed-request", "by=day is of assets alone")
    named = exchange.request.query_params.get("organisation", caller.organisation)
    wanted = named.removeprefix(f"{exchange.node.settings.base_url}/organisations/")
    if not is_uuid(wanted) or (wanted != caller.organisation and not caller.has(Role.OPERATOR)):
        raise Forbidden("not-permitted", "QUALITY-DAYS-1: the scores of past days are told to the organisation that they are of, by its IRI or UUID")
    rows = exchange.node.past_scores.days(wanted)
    items = [{"key": day, "records": records, "score": scores.get(""), **{name.lower(): value for name, value in scores.items() if name}} for day, (records, scores) in rows]
    return {"by": "day", "kind": kind, "measuredOn": rows[-1][0] if rows else None, "items": items}


def _csv(told: dict[str, Any]) -> str:
    out = io.StringIO(newline="")
    lines = csv.DictWriter(out, COLUMNS, restval="")
    lines.writeheader()
    lines.writerows(told["items"])
    return out.getvalue()


def _as_dqv(told: dict[str, Any], exchange: Exchange) -> Iterator[ox.Triple]:
    """Each figure as a measurement, computed on what its line is of."""
    place = f"{exchange.node.settings.base_url}/quality?{urlencode({'by': told['by'], 'kind': told['kind']})}"
    for row in told["items"]:
        about = _subject(told["by"], row["key"] or "", place)
        for dimension, metric in METRICS.items():
            name = dimension.lower() or "score"
            if name in row and row[name] is not None:
                part = ox.NamedNode(f"{place}#{uuid_of(row['key'] or 'none').replace('#', '-')}-{name}")
                yield ox.Triple(part, ox.NamedNode(RDF_TYPE), ox.NamedNode(f"{DQV}QualityMeasurement"))
                yield ox.Triple(part, ox.NamedNode(f"{DQV}computedOn"), about)
                yield ox.Triple(part, ox.NamedNode(f"{DQV}isMeasurementOf"), ox.NamedNode(metric))
                yield ox.Triple(part, ox.NamedNode(f"{DQV}value"), ox.Literal(str(row[name]), datatype=ox.NamedNode(f"{XSD}integer")))
        if "missing" in row:
            yield ox.Triple(about, ox.NamedNode(f"{FMAR}missedBy"), ox.Literal(str(row["missing"]), datatype=ox.NamedNode(f"{XSD}integer")))


def _subject(by: str, key: str, place: str) -> ox.NamedNode:
    if by == "rule":
        return ox.NamedNode(packaged_rules().by_key[key].iri)
    if by == "dimension" and key in DIMENSIONS:
        return ox.NamedNode(f"{CODES}QualityDimension#{key}")
    return ox.NamedNode(key if key.startswith("http") else place)


# -- the records that miss a rule


def missing(plural: str) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a kind's records."""

    async def listed(request: Request) -> Response:
        """The records that the caller sees and that miss a rule, by IRI, each with its score."""
        exchange, asked = exchange_of(request), request.query_params
        caller, node = await exchange.caller(), exchange.node
        _check(asked, MISSING_PARAMETERS)
        rule = _rule(asked.get("rule", ""), plural, await rules_at_hand())
        limit = page_limit(asked.get("limit"), node.settings.page_items, node.settings.page_items_most)
        cursor, base = asked.get("cursor", ""), f"{node.settings.base_url}/{plural}"
        if cursor and not is_uuid(cursor):
            raise Malformed("malformed-request", "this cursor was not issued by this node")
        await exchange.give_way()
        found = await exchange.while_wanted(node.scorecards.missing(caller, plural, rule.iri, f"{base}/{cursor}" if cursor else "", limit + 1))
        items = [{"id": each["record"], "score": int(each["score"]), "quality": f"{each['record']}/quality"} for each in found[:limit]]
        told: dict[str, Any] = {"rule": rule.key, "label": rule.label, "message": rule.message, "items": items}
        if len(found) <= limit:
            return json_response(told)
        kept = {name: value for name, value in asked.items() if name != "cursor"}
        following = f"{node.settings.base_url}/quality/{plural}?{urlencode({**kept, 'cursor': uuid_of(found[limit - 1]['record'])})}"
        return json_response({**told, "next": following}, 200, {"Link": f'<{following}>; rel="next"'})

    return listed


def _rule(key: str, plural: str, rules: QualityRules) -> QualityRule:
    rule = rules.by_key.get(key)
    if rule is None or rule.class_name != CLASSES[plural]:
        keys = [each.key for each in rules.rules if each.class_name == CLASSES[plural]]
        hint = f"; did you mean {near}?" if (near := nearest(key, keys)) else ""
        raise Malformed("malformed-request", f"rule is one of {', '.join(keys)}{hint}")
    return rule


def _check(asked: QueryParams, known: Iterable[str]) -> None:
    names, known = [name for name, _ in asked.multi_items()], tuple(known)
    if odd := [name for name in names if name not in known or names.count(name) > 1]:
        raise Malformed("malformed-request", f"this takes {', '.join(known)}, each once at most, and not {odd[0][:40]!r}")


ROUTES = (
    ("/quality", card),
    *((f"/{plural}/{{id:record}}/quality", of(plural)) for plural in CLASSES),
    *((f"/quality/{plural}", missing(plural)) for plural in CLASSES),
)
