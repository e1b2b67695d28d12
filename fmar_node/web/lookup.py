"""POST /assets/lookup: assets by identifiers, which stand in the body and never in a URL (domain 5.2).

Rules kept here: what is absent and what is not the caller's have one answer (decision 8); several identifiers are answered each as it would be
alone, in their order, and what is not found of them counts each; a question that cannot be understood is refused whole; names count that
an asset has today, or on the day that is asked for; a provider without standing brings its authority, the asset's claim code or the owner's
appointment, and is told of an asset that waits for a provider what it needs to claim it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fmar_node import jsonld
from fmar_node.access.caller import Caller
from fmar_node.errors import FmarError, Invalid, Malformed, NotFound
from fmar_node.kinds.installation import CLAIM
from fmar_node.read import not_here
from fmar_node.representation import LD_JSON
from fmar_node.vocabulary import CONTEXT, Document
from fmar_node.web.exchange import Exchange, json_response
from fmar_node.web.limits import nameless
from fmar_node.web.negotiation import content_type
from fmar_node.web.noted import noted_of
from fmar_node.web.records import exchange_of
from fmar_node.web.throttle import Throttle

MOST_BYTES = 65_536
TOLD = ("id", "assetId", "assetCategory", "registrationStatus", "ratedCapacity", "friendlyCode")
TO_CLAIM = ("id", "assetId", "assetCategory", "registrationStatus", "ratedCapacity")
"""What is told of an asset to a provider that may claim it."""
OWN_SCHEMES = frozenset({"MPAN", "SERIAL", "FRIENDLY_CODE", "EXTERNAL_ID", "CLAIM_CODE"})
"""Schemes of identifiers that are terms of their own; the others are those of aliases."""
MEMBERS = frozenset({"scheme", "value", "manufacturer", "at", "claimCode", "@context"})
CODE_CHARS = 64
HELD_BACK = "too-many-requests"


@dataclass(frozen=True, slots=True)
class Asked:
    """An identifier as handles know it, the day on which an asset is to have it (an xsd:date), and a claim code beside it where there is one."""

    scheme: str
    value: str
    day: str
    code: str = ""

    @property
    def is_with_code(self) -> bool:
        return bool(self.code) or self.scheme == "CLAIM_CODE"


async def look_up(request: Request) -> Response:
    """POST /assets/lookup: an identifier, or several, in the body; absent and not the caller's are one answer."""
    exchange = exchange_of(request)
    noted_of(request).kind = "assets"
    caller = await exchange.caller()
    content_type(exchange.header("content-type"), ("application/json", LD_JSON))
    given = jsonld.read_json(await exchange.body(MOST_BYTES), exchange.node.settings)
    if "identifiers" in given:
        return await _several(exchange, given, caller)
    asked = identifier_in(given, exchange)
    await exchange.give_way()
    return json_response({"@context": CONTEXT, "type": "Collection", "items": _found(exchange, asked, caller)})


async def _several(exchange: Exchange, given: Document, caller: Caller) -> Response:
    """One answer per identifier, in their order."""
    asked, most = given["identifiers"], exchange.node.settings.lookup_identifiers
    if not isinstance(asked, list) or not 0 < len(asked) <= most or given.keys() - {"identifiers", "@context"}:
        raise Invalid("validation-failed", f'send {{"identifiers": [{{"scheme": "MPAN", "value": "..."}}, ...]}} and nothing beside it; up to {most} (lookup_identifiers)')
    known = [identifier_in(each, exchange, f"identifiers/{place}: ") for place, each in enumerate(asked)]
    answers = []
    for each in known:
        await exchange.give_way()
        answers.append(_answer(exchange, each, caller))
    is_held_back = any(answer["outcome"] == HELD_BACK for answer in answers)
    return json_response({"answers": answers}, headers={"Retry-After": "600"} if is_held_back else None)


def _answer(exchange: Exchange, asked: Asked, caller: Caller) -> dict[str, Any]:
    try:
        return {"outcome": "found", "items": _found(exchange, asked, caller)}
    except FmarError as refusal:
        return {"outcome": "absent" if isinstance(refusal, NotFound) else HELD_BACK}


def _found(exchange: Exchange, asked: Asked, caller: Caller) -> list[Document]:
    """What is told of the assets that the caller may know by an identifier. NotFound, or TooMany where it has looked for too much."""
    reader, noted = exchange.node.reader, noted_of(exchange.request)
    found = reader.lookup(asked.scheme, asked.value, caller, asked.day)
    known = {document["id"] for document in found}
    waiting = [document for document in reader.waiting(asked.scheme, asked.value, caller, asked.code, asked.day) if document["id"] not in known]
    if not found and not waiting:
        throttle: Throttle = exchange.request.app.state.throttle
        refused = throttle.unproven if asked.is_with_code else throttle.missed
        raise refused(caller.party or nameless(exchange.request), not_here())
    noted.saw(found, caller)
    noted.proved(waiting)
    told = [{term: document[term] for term in TOLD if term in document} for document in found]
    return [*told, *({**{term: document[term] for term in TO_CLAIM if term in document}, "nextStep": CLAIM} for document in waiting)]


def identifier_in(given: Any, exchange: Exchange, where: str = "") -> Asked:
    """What is asked for. Invalid, Malformed."""
    scheme, value = (given.get("scheme"), given.get("value")) if isinstance(given, dict) else (None, None)
    if not _are_texts((scheme, value)) or set(given) - MEMBERS:
        raise Invalid("validation-failed", f'{where}send {{"scheme": "MPAN", "value": "..."}}; a serial number may come with its manufacturer, all with a day (at) and a claimCode')
    scheme, known = str(scheme).upper(), OWN_SCHEMES | set(exchange.node.vocabulary.schemes["IdentifierScheme"].codes)
    if scheme not in known:
        raise Malformed("malformed-request", f"{where}scheme is one of {', '.join(sorted(known))}")
    maker = given.get("manufacturer")
    if isinstance(maker, str) and maker.strip() and scheme == "SERIAL":
        value = f"{maker.strip()}|{str(value).strip()}"
    return Asked(scheme, str(value), _day(given.get("at"), exchange.node.today, where), _code(given.get("claimCode", ""), where))


def _day(given: Any, today: date, where: str) -> str:
    """The day that is asked for, today where none is. Invalid where it is none."""
    if given is None:
        return today.isoformat()
    try:
        return date.fromisoformat(given).isoformat()
    except (TypeError, ValueError):
        raise Invalid("validation-failed", f"{where}at is a day such as 2026-11-22") from None


def _code(given: Any, where: str) -> str:
    if not isinstance(given, str) or isinstance(given, jsonld.Number) or len(given) > CODE_CHARS:
        raise Invalid("validation-failed", f"{where}claimCode is the code that was handed to the owner, as text")
    return given


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)
