"""`?upsert=friendlyCode`: a document registers an asset, or is its next version where the caller has one with that code.

Rules kept here: the code is the caller's own, unique among its live assets (`kinds/asset.py:has_own_friendly_code`), so that nobody's
asset but its own is ever meant; a code that another request takes meanwhile is looked up again; an asset that the caller
does not see, as one that was not granted to it, is none that it has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams

from fmar_node import jsonld
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Fault, Forbidden, Invalid, Malformed, NotFound, Severity
from fmar_node.kinds.asset import ASSET, friendly_claim
from fmar_node.read import Shown
from fmar_node.submit import Outcome
from fmar_node.vocabulary import FMAR
from fmar_node.web.exchange import Exchange

if TYPE_CHECKING:
    from fmar_node.web.records import Records

CODE = ASSET.upserts_by
NAMES = (CODE, f"fmar:{CODE}", f"{FMAR}{CODE}")
"""What JSON-LD may call it."""


def is_upsert(asked: QueryParams) -> bool:
    """Whether an asset that is there is to be brought up to date. Malformed for another identifier than the caller's own."""
    if given := set(asked.getlist("upsert")) - {CODE}:
        raise Malformed("malformed-request", f"upsert={CODE}: by no other identifier, not by {min(given)[:40]!r}")
    return "upsert" in asked


def code_in(tree: Any) -> str:
    """The code of a document in JSON; nothing where it has none that is text."""
    found = next((tree[name] for name in NAMES if name in tree), None) if isinstance(tree, dict) else None
    return found if isinstance(found, str) and not isinstance(found, jsonld.Number) else ""


async def upserted(room: Records, exchange: Exchange, registering: Submission, code: str) -> tuple[Submission, Outcome]:
    """What a registration has become, and of what. FmarError for every refusal."""
    if not code:
        fault = Fault(CODE, Severity.REJECT, f"{CODE} is missing: an upsert goes by it", f"/{CODE}", CODE, constraint="upsert-code")
        raise Invalid("validation-failed", fault.message, (fault,))
    aimed = _aimed(exchange, registering, code)
    try:
        return aimed, await room.run(exchange, aimed)
    except Conflict as refusal:
        again = _aimed(exchange, registering, code)
        if again.id == aimed.id or not any(fault.code == "FRIENDLY_CODE_TAKEN" for fault in refusal.faults):
            raise
    return again, await room.run(exchange, again)


def _aimed(exchange: Exchange, registering: Submission, code: str) -> Submission:
    """The same submission, as the update of the asset that has the code where the caller has one."""
    (claim,) = friendly_claim({CODE: code}, registering.caller.organisation)
    held = exchange.node.register.holder(claim)
    try:
        shown = exchange.node.reader.current("assets", held, registering.caller) if held else None
    except NotFound:
        shown = None
    if shown is None:
        return registering
    check_whole(shown)
    return replace(registering, action="update", id=shown.version.id, if_match=("*",))


def check_whole(shown: Shown) -> None:
    """Forbidden where somebody would replace what it sees only part of: what it does not see would be gone."""
    if shown.document != shown.version.document:
        raise Forbidden("not-permitted", "you see only part of this record: change it with PATCH (application/merge-patch+json)")
