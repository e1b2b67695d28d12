"""POST /assets/lookup: assets by identifiers, which stand in the body and never in a URL (domain 5.2).

Rules kept here: what is absent and what is not the caller's have one answer (decision 8); several identifiers are answered each as it would be
alone, in their order, and what is not found of them counts each; a question that cannot be understood is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fmar_node import jsonld
from fmar_node.access.caller import Caller
from fmar_node.errors import FmarError, Invalid, Malformed, NotFound
from fmar_node.read import not_here
from fmar_node.representation import LD_JSON
from fmar_node.vocabulary import CONTEXT, Document, Vocabulary
from fmar_node.web.exchange import Exchange, json_response
from fmar_node.web.limits import nameless
from fmar_node.web.negotiation import content_type
from fmar_node.web.noted import noted_of
from fmar_node.web.records import exchange_of
from fmar_node.web.throttle import Throttle

MOST_BYTES = 65_536
TOLD = ("id", "assetId", "assetCategory", "registrationStatus", "ratedCapacity", "friendlyCode")
OWN_SCHEMES = frozenset({"MPAN", "SERIAL", "FRIENDLY_CODE"})
"""Schemes of identifiers that are terms of their own; the others are those of aliases."""
HELD_BACK = "too-many-requests"


async def look_up(request: Request) -> Response:
    """POST /assets/lookup: an identifier, or several, in the body; absent and not the caller's are one answer."""
    exchange = exchange_of(request)
    noted_of(request).kind = "assets"
    caller = await exchange.caller()
    content_type(exchange.header("content-type"), ("application/json", LD_JSON))
    given = jsonld.read_json(await exchange.body(MOST_BYTES), exchange.node.settings)
    if "identifiers" in given:
        return await _several(exchange, given, caller)
    scheme, value = identifier_in(given, exchange.node.vocabulary)
    await exchange.give_way()
    return json_response({"@context": CONTEXT, "type": "Collection", "items": _found(exchange, scheme, value, caller)})


async def _several(exchange: Exchange, given: Document, caller: Caller) -> Response:
    """One answer per identifier, in their order."""
    asked, most = given["identifiers"], exchange.node.settings.lookup_identifiers
    if not isinstance(asked, list) or not 0 < len(asked) <= most or given.keys() - {"identifiers", "@context"}:
        raise Invalid("validation-failed", f'send {{"identifiers": [{{"scheme": "MPAN", "value": "..."}}, ...]}} and nothing beside it; up to {most} (lookup_identifiers)')
    known = [identifier_in(each, exchange.node.vocabulary, f"identifiers/{place}: ") for place, each in enumerate(asked)]
    answers = []
    for scheme, value in known:
        await exchange.give_way()
        answers.append(_answer(exchange, scheme, value, caller))
    is_held_back = any(answer["outcome"] == HELD_BACK for answer in answers)
    return json_response({"answers": answers}, headers={"Retry-After": "600"} if is_held_back else None)


def _answer(exchange: Exchange, scheme: str, value: str, caller: Caller) -> dict[str, Any]:
    try:
        return {"outcome": "found", "items": _found(exchange, scheme, value, caller)}
    except FmarError as refusal:
        return {"outcome": "absent" if isinstance(refusal, NotFound) else HELD_BACK}


def _found(exchange: Exchange, scheme: str, value: str, caller: Caller) -> list[Document]:
    """What is told of the assets that the caller may know by an identifier. NotFound, or TooMany where it has looked for too much."""
    found = exchange.node.reader.lookup(scheme, value, caller)
    if not found:
        throttle: Throttle = exchange.request.app.state.throttle
        raise throttle.missed(caller.party or nameless(exchange.request), not_here())
    noted_of(exchange.request).saw(found, caller)
    return [{term: document[term] for term in TOLD if term in document} for document in found]


def identifier_in(given: Any, vocabulary: Vocabulary, where: str = "") -> tuple[str, str]:
    """Scheme and value, as handles know them. Invalid, Malformed."""
    scheme, value = (given.get("scheme"), given.get("value")) if isinstance(given, dict) else (None, None)
    if not _are_texts((scheme, value)) or set(given) - {"scheme", "value", "manufacturer", "@context"}:
        raise Invalid("validation-failed", f'{where}send {{"scheme": "MPAN", "value": "..."}}; a serial number may come with its manufacturer')
    scheme, known = str(scheme).upper(), OWN_SCHEMES | set(vocabulary.schemes["IdentifierScheme"].codes)
    if scheme not in known:
        raise Malformed("malformed-request", f"{where}scheme is one of {', '.join(sorted(known))}")
    maker = given.get("manufacturer")
    if isinstance(maker, str) and maker.strip() and scheme == "SERIAL":
        value = f"{maker.strip()}|{str(value).strip()}"
    return scheme, str(value)


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
