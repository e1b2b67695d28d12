"""`?upsert=friendlyCode`, `?upsert=externalId`: a document registers an asset, or is its next version where the caller has one with that code.

Rules kept here: the code is the caller's own, unique among its live assets (`kinds/asset.py:has_own_friendly_code`,
`kinds/naming.py:has_own_external_id`), so that nobody's asset but its own is ever meant; a code that another request takes meanwhile is looked up again; an asset that the caller
does not see, as one that was not granted to it, is none that it has.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.datastructures import QueryParams

from fmar_node import jsonld
from fmar_node.access.reveal import names_unseen
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Fault, Forbidden, Invalid, Malformed, NotFound, Severity
from fmar_node.judge import Paper
from fmar_node.kinds.asset import ASSET, friendly_claim
from fmar_node.kinds.kind import UNSEEN
from fmar_node.kinds.naming import external_claim
from fmar_node.read import Shown
from fmar_node.submit import Outcome, hidden, permitted
from fmar_node.vocabulary import FMAR, Document
from fmar_node.web.exchange import Exchange

if TYPE_CHECKING:
    from fmar_node.web.records import Records

CLAIMS = {"friendlyCode": friendly_claim, "externalId": external_claim}
"""The identifiers of the caller's own, and how each is claimed."""
TAKEN = frozenset({"FRIENDLY_CODE_TAKEN", "EXTERNAL_ID_TAKEN"})


def upsert_term(asked: QueryParams) -> str:
    """The term by which an asset that is there is to be brought up to date; none: a document registers. Malformed for any other identifier."""
    given, known = set(asked.getlist("upsert")), ASSET.upserts_by
    if len(given) > 1 or given - set(known):
        raise Malformed("malformed-request", f"upsert is one of {', '.join(known)}: by no other identifier, not by {min(given - set(known), default='both')[:40]!r}")
    return next(iter(given), "")


def code_in(tree: Any, term: str) -> str:
    """The code of a document in JSON, whatever JSON-LD calls its term; nothing where it has none that is text."""
    names = (term, f"fmar:{term}", f"{FMAR}{term}")
    found = next((tree[name] for name in names if name in tree), None) if isinstance(tree, dict) else None
    return found if isinstance(found, str) and not isinstance(found, jsonld.Number) else ""


async def upserted(room: Records, exchange: Exchange, registering: Submission, term: str, code: str) -> tuple[Submission, Outcome]:
    """What a registration has become, and of what. FmarError for every refusal."""
    if not code:
        fault = Fault(term, Severity.REJECT, f"{term} is missing: an upsert goes by it", f"/{term}", term, constraint="upsert-code")
        raise Invalid("validation-failed", fault.message, (fault,))
    aimed = _aimed(exchange, registering, term, code)
    try:
        return aimed, await room.run(exchange, aimed)
    except Conflict as refusal:
        again = _aimed(exchange, registering, term, code)
        if again.id == aimed.id or not any(fault.code in TAKEN for fault in refusal.faults):
            raise
    return again, await room.run(exchange, again)


def _aimed(exchange: Exchange, registering: Submission, term: str, code: str) -> Submission:
    """The same submission, as the update of the asset that has the code where the caller has one."""
    (claim,) = CLAIMS[term]({term: code}, registering.caller.organisation)
    held = exchange.node.register.holder(claim)
    try:
        shown = exchange.node.reader.current("assets", held, registering.caller) if held else None
    except NotFound:
        shown = None
    if shown is None:
        return registering
    updating = replace(registering, action="update", id=shown.version.id, if_match=("*",))
    check_whole(exchange, updating, shown)
    return updating


def check_whole(exchange: Exchange, updating: Submission, shown: Shown) -> None:
    """Forbidden where somebody would replace what it sees only part of: what it does not see would be gone. Who may not change it at all is told that."""
    if shown.document == shown.version.document:
        return
    node = exchange.node
    permitted(replace(updating, if_match=("*",)), node.register, node.vocabulary, None, node.today, house=node.house)
    fault = Fault(UNSEEN, Severity.REJECT, "you see only part of this record: change it with PATCH (application/merge-patch+json)")
    raise Forbidden("not-permitted", fault.message, (fault,))


def check_in_sight(exchange: Exchange, updating: Submission, shown: Shown, change: Document) -> None:
    """Forbidden where a patch names what its sender does not see; who may not change the record at all is told that."""
    node = exchange.node
    if names_unseen(change, node.reader.open_tiers(shown.version, updating.caller), node.vocabulary):
        permitted(replace(updating, if_match=("*",)), node.register, node.vocabulary, None, node.today, house=node.house)
        raise hidden()


async def is_as_seen(exchange: Exchange, updating: Submission, shown: Shown) -> bool:
    """Whether a document that may not be entered is what its sender sees of the record, letter for letter: of what it does not see nothing is compared."""
    node, seen = exchange.node, shown.document
    paper = Paper("assets", "update", updating.iri, updating.media_type, updating.body, node.today, seen, node.vocabulary.release)
    judgement = await node.judges.judge(paper, updating.caller.party)
    filled = {fault.field for fault in judgement.faults if fault.severity is Severity.FILLED and fault.field not in seen}
    given = {term: value for term, value in judgement.document.items() if term not in filled}
    terms, is_nodes_own = node.vocabulary.terms, any(fault.constraint == "server-set" for fault in judgement.faults)
    return not is_nodes_own and given == {term: value for term, value in seen.items() if term not in terms or not terms[term].server_set}
