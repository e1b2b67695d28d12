"""Records over HTTP: register, read, change, list, act, history, proof."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote_to_bytes, urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from fmar_node import jsonld
from fmar_node.access.caller import Caller
from fmar_node.access.reveal import tiers
from fmar_node.checks.quality import packaged_rules, summary
from fmar_node.checks.report import validation_report
from fmar_node.cim.table import MEANT
from fmar_node.clock import parse_stamp
from fmar_node.drafting import Submission, digest_of
from fmar_node.errors import Conflict, FmarError, Invalid, Malformed, NotFound, TooMany, UnsupportedMedia
from fmar_node.identity import is_uuid, new_claim_code, new_record_id
from fmar_node.kinds import Kind
from fmar_node.kinds.installation import code_hash
from fmar_node.read import FORMER, MANAGED, Shown
from fmar_node.record import Receipt, Version, uuid_of
from fmar_node.representation import FLAT, JSON, LD_JSON, Profile, as_object, json_bytes, serialise_triples
from fmar_node.scorecard import CLASSES
from fmar_node.settings import Settings
from fmar_node.submit import Outcome
from fmar_node.vocabulary import FMAR, Term, Tier
from fmar_node.web.exchange import PRIVATE, RECORD_FORMATS, Exchange, etag, json_response
from fmar_node.web.negotiation import MERGE_PATCH, NUMBER, content_type, entity_tags, is_known, prefers_minimal
from fmar_node.web.noted import noted_of
from fmar_node.web.pages import list_page, record_page
from fmar_node.web.profile import PARAMETERS, links, meant, profile_of, taken
from fmar_node.web.throttle import Throttle
from fmar_node.web.upsert import check_in_sight, check_whole, code_in, upsert_term, upserted

Endpoint = Callable[[Request], Awaitable[Response]]
KEY_CHARS = 255
BEYOND_ASCII = re.compile(rb"%[89A-Fa-f]")
PAGE_PARAMETERS = frozenset({"cursor", "limit", "managed", "format"}) | PARAMETERS
PERSONAL = "an asset is found by an identifier with POST /assets/lookup, and by what a graph shows of its place with SPARQL"


class Records:
    """The routes of one kind of record."""

    def __init__(self, kind: Kind, running: set[tuple[str, str]]) -> None:
        self.kind, self.running = kind, running
        self.is_measured = kind.plural in CLASSES

    def more(self) -> tuple[tuple[str, Endpoint, str], ...]:
        """Paths below a record, beyond those that every kind has: each with its endpoint and method."""
        return ()

    # -- reading

    async def read(self, request: Request) -> Response:
        exchange = self._met(request)
        caller = await exchange.caller()
        await exchange.give_way()
        shown = self._selected(exchange, caller)
        noted_of(request).shown(shown, caller)
        await exchange.give_way()
        return self._shown(exchange, shown)

    def _met(self, request: Request) -> Exchange:
        """The exchange, with the record noted that it is about."""
        noted = noted_of(request)
        noted.kind, noted.record = self.kind.plural, request.path_params.get("id", "")
        return exchange_of(request)

    def _selected(self, exchange: Exchange, caller: Caller) -> Shown:
        """The version that ?at= or ?version= asks for, the current one without."""
        reader, id_ = exchange.node.reader, exchange.request.path_params["id"]
        at, number = exchange.request.query_params.get("at"), exchange.request.query_params.get("version")
        if at is not None:
            try:
                return reader.at(self.kind.plural, id_, caller, parse_stamp(at))
            except ValueError as error:
                raise Malformed("malformed-request", "at is a time with a zone such as 2026-11-22T09:30:00Z, or a day such as 2026-11-22") from error
        if number is not None:
            if not NUMBER.fullmatch(number) or int(number) < 1:
                raise Malformed("malformed-request", "version is a number from 1")
            return reader.numbered(self.kind.plural, id_, caller, int(number))
        return reader.current(self.kind.plural, id_, caller)

    def _shown(self, exchange: Exchange, shown: Shown, status: int = 200, extra: dict[str, str] | None = None) -> Response:
        profile, media_type = self._asked(exchange)
        tag = etag(shown.fingerprint, media_type, profile)
        iri = shown.document["id"]
        quality = f', <{iri}/quality>; rel="quality"' if self.is_measured else ""
        link = f'<{iri}/proof>; rel="proof"{quality}{links(iri, profile, self.kind.class_name)}'
        headers = {**PRIVATE, "ETag": tag, "Link": link, "Content-Location": iri + profile.query, **(extra or {})}
        if recorded := shown.document.get("recordedAt"):
            headers["Last-Modified"] = http_date(recorded)
        if "update" in self.kind.actions:
            headers["Accept-Patch"] = MERGE_PATCH
        is_read = status == 200 and exchange.request.method in ("GET", "HEAD")
        if is_read and is_known(tag, exchange.header("if-none-match")):
            return Response(status_code=304, headers=headers)
        if media_type == "text/html":
            return Response(record_page(exchange.node, self.kind, shown), status, headers, "text/html")
        return Response(exchange.represent(shown.document, media_type, profile), status, headers, media_type)

    def _asked(self, exchange: Exchange) -> tuple[Profile, str]:
        """Profile and media type to answer in. NotAcceptable where there is no such."""
        profile = profile_of(exchange.request.query_params, self.kind.class_name)
        return profile, exchange.wanted(RECORD_FORMATS if profile is FLAT else profile.formats)

    async def versions(self, request: Request) -> Response:
        exchange = self._met(request)
        caller, id_ = await exchange.caller(), request.path_params["id"]
        base = f"{exchange.node.settings.base_url}/{self.kind.plural}/{id_}"
        found = exchange.node.reader.versions(self.kind.plural, id_, caller)
        items = [{"version": shown.number, "id": f"{base}/versions/{shown.number}"} for shown in found]
        return json_response({"record": base, "items": items})

    async def version(self, request: Request) -> Response:
        exchange = self._met(request)
        caller, number = await exchange.caller(), int(request.path_params["number"])
        shown = exchange.node.reader.numbered(self.kind.plural, request.path_params["id"], caller, number)
        noted_of(request).shown(shown, caller)
        return self._shown(exchange, shown)

    async def history(self, request: Request) -> Response:
        exchange = self._met(request)
        caller, id_ = await exchange.caller(), request.path_params["id"]
        items = exchange.node.reader.history(self.kind.plural, id_, caller)
        return json_response({"record": f"{exchange.node.settings.base_url}/{self.kind.plural}/{id_}", "items": items})

    async def provenance(self, request: Request) -> Response:
        exchange = self._met(request)
        caller, id_ = await exchange.caller(), request.path_params["id"]
        items = exchange.node.reader.provenance(id_, caller)
        return json_response({"record": f"{exchange.node.settings.base_url}/{self.kind.plural}/{id_}", "items": items})

    async def proof(self, request: Request) -> Response:
        exchange = self._met(request)
        caller = await exchange.caller()
        shown = self._selected(exchange, caller)
        noted_of(request).shown(shown, caller)
        return json_response(exchange.node.reader.proof(shown, caller))

    async def list(self, request: Request) -> Response:
        """A page of the records that the caller sees, by id, narrowed by fields."""
        exchange = self._met(request)
        caller, asked = await exchange.caller(), request.query_params
        _check_page(asked)
        limit = page_limit(asked.get("limit"), exchange.node.settings.page_items, exchange.node.settings.page_items_most)
        equal = filters_in(exchange, self.kind, PAGE_PARAMETERS)
        await exchange.give_way()
        page = exchange.node.reader.page(self.kind, caller, limit, asked.get("cursor", ""), asked.get("managed", ""), equal)
        noted_of(request).saw(page.items, caller)
        profile, media_type = self._asked(exchange)
        headers, following = dict(PRIVATE), {}
        if page.cursor:
            kept = {name: value for name, value in asked.items() if name != "cursor"}
            following["next"] = f"{exchange.node.settings.base_url}/{self.kind.plural}?{urlencode({**kept, 'cursor': page.cursor})}"
            headers["Link"] = f'<{following["next"]}>; rel="next"'
        vocabulary = exchange.node.vocabulary
        if media_type == "text/html":
            query = urlencode({name: value for name, value in asked.items() if name not in ("cursor", "format")})
            return Response(list_page(exchange.node, self.kind, page.items, following.get("next", ""), query), 200, headers, media_type)
        if media_type not in (LD_JSON, JSON):
            found = (each for item in page.items for each in profile.triples(item, vocabulary))
            return Response(serialise_triples(found, media_type, profile.prefixes), 200, headers, media_type)
        items = [as_object(item, media_type, vocabulary, profile) for item in page.items]
        body = {"@context": profile.context, "type": "Collection", "items": items, **following}
        return Response(json_bytes(body), 200, headers, media_type)

    # -- writing

    async def register(self, request: Request) -> Response:
        return await self._write(self._met(request), "register", new_record_id(), taken(self.kind.class_name))

    async def replace(self, request: Request) -> Response:
        """PUT: the whole document again. A caller who sees only part of the record patches instead."""
        return await self._write(self._met(request), "update", request.path_params["id"], taken(self.kind.class_name))

    async def patch(self, request: Request) -> Response:
        """PATCH by merge patch (RFC 7396) of the current document, in terms of the register, judged as a whole; `profile` is that of the answer."""
        return await self._write(self._met(request), "update", request.path_params["id"], (MERGE_PATCH,))

    async def act(self, request: Request, action: str) -> Response:
        """A named action of the kind, with its own small document."""
        return await self._write(self._met(request), action, request.path_params["id"], jsonld.MEDIA_TYPES)

    async def _write(self, exchange: Exchange, action: str, id_: str, offered: tuple[str, ...]) -> Response:
        exchange.request.state.kind = self.kind.name
        request, node = exchange.request, exchange.node
        noted_of(request).wrote(action)
        caller = await exchange.caller()
        if caller.is_anonymous:
            raise node.verifier.missing("writing needs a credential")
        profile, _ = self._asked(exchange)
        await exchange.give_way()
        body = await exchange.body(node.settings.body_bytes)
        media_type = LD_JSON
        if body or action in ("register", "update"):
            media_type = content_type(exchange.header("content-type"), offered)
        if action in ("register", "update") and media_type != MERGE_PATCH:
            media_type = meant(media_type, profile)
        key = request.headers.get("idempotency-key", "")
        if len(key) > KEY_CHARS:
            raise Malformed("malformed-request", f"an Idempotency-Key has at most {KEY_CHARS} characters")
        digest = digest_of(request.method, request.url.path, media_type, body)
        if_match = entity_tags(exchange.header("if-match"))
        if media_type == MERGE_PATCH:
            shown = node.reader.current(self.kind.plural, id_, caller)
            change = jsonld.read_json(body, node.settings)
            body, media_type = encoded(merge(shown.version.document, change)).encode(), LD_JSON
            if_match = (shown.fingerprint,) if if_match == ("*",) else if_match  # "*" is the version that was merged
        submission = Submission(
            caller, self.kind.plural, action, id_, node.settings.base_url, media_type, body,
            if_match, key, digest, new_claim_code() if self.kind.actions[action].draws_code else "",
        )  # fmt: skip
        if request.method == "PATCH":
            check_in_sight(exchange, submission, shown, change)
        if request.method == "PUT":
            check_whole(exchange, submission, node.reader.current(self.kind.plural, id_, caller))
        term = upsert_term(request.query_params) if action == "register" and self.kind.upserts_by else ""
        if term:
            submission, outcome = await upserted(self, exchange, submission, term, _code(body, media_type, term, node.settings))
        else:
            outcome = await self.run(exchange, submission)
        return self._answer(exchange, submission, outcome)

    async def run(self, exchange: Exchange, submission: Submission) -> Outcome:
        """The write path, once per idempotency key at a time."""
        dry_run = _is_dry(exchange.request.query_params)
        noted_of(exchange.request).is_trial = dry_run
        running = (submission.caller.sender, submission.idempotency)
        if submission.idempotency:
            if running in self.running:
                raise Conflict("idempotency-key-running", "the first request with this key is still running", headers={"Retry-After": "1"})
            self.running.add(running)
        throttle: Throttle = exchange.request.app.state.throttle
        try:
            outcome = await exchange.node.submit(submission, dry_run=dry_run)
            if dry_run and isinstance(refusal := throttle.pass_on(submission.caller, _told(outcome), submission.body), TooMany):
                raise refusal
            return outcome
        except (Conflict, Invalid) as refusal:
            raise throttle.pass_on(submission.caller, refusal, submission.body) from None
        except NotFound as refusal:
            is_claim = self.kind.actions[submission.action].authority is not None
            raise throttle.unproven(submission.caller.party, refusal) if is_claim else refusal from None
        finally:
            self.running.discard(running)

    def _answer(self, exchange: Exchange, submission: Submission, outcome: Outcome) -> Response:
        if outcome.receipt is None:
            faults = [fault.as_json() for fault in outcome.faults]
            report = validation_report(outcome.faults, self.kind.name)
            document = profile_of(exchange.request.query_params, self.kind.class_name).tree(outcome.document, exchange.node.vocabulary)
            told = {"accepted": True, "document": document, "errors": faults, "report": report}
            return json_response({**told, **self._quality(exchange, submission, outcome)})
        receipt = outcome.receipt
        noted_of(exchange.request).record = receipt.id
        status = 201 if submission.action == "register" else 200
        extra = {"Fmar-Journal-Index": str(receipt.index)}
        if status == 201:
            extra["Location"] = submission_iri(submission, receipt)
        if receipt.is_repeat and submission.idempotency:
            extra["Idempotent-Replayed"] = "true"
        shown = self._written(exchange, submission.caller, receipt)
        if code := handed_out(submission, shown.version):
            extra["Fmar-Claim-Code"] = code
        extra |= self._scored(exchange, submission.caller, shown)
        if prefers_minimal(exchange.request.headers):
            tag = etag(shown.fingerprint, LD_JSON, self._asked(exchange)[0])
            return Response(status_code=status if status == 201 else 204, headers={**PRIVATE, **extra, "ETag": tag, "Preference-Applied": "return=minimal"})
        return self._shown(exchange, shown, status, extra)

    def _quality(self, exchange: Exchange, submission: Submission, outcome: Outcome) -> dict[str, Any]:
        """How good the record would be, as far as the caller sees it."""
        if not self.is_measured:
            return {}
        node, previous = exchange.node, exchange.node.register.current(self.kind.plural, submission.id)
        opened = tiers(previous.document, node.standings.of(submission.caller)) if previous else frozenset(Tier)
        return {"quality": summary(packaged_rules().score_of(outcome.document, opened, node.today, node.vocabulary))}

    def _scored(self, exchange: Exchange, caller: Caller, shown: Shown) -> dict[str, str]:
        """The header with the score of what was written, where there is one."""
        if not self.is_measured:
            return {}
        node, document = exchange.node, shown.version.document
        score = packaged_rules().score_of(document, tiers(document, node.standings.of(caller)), node.today, node.vocabulary)
        return {"Fmar-Quality": str(score.total)} if score else {}

    def _written(self, exchange: Exchange, caller: Caller, receipt: Receipt) -> Shown:
        version = exchange.node.register.version_at(receipt.index)
        assert version is not None
        document = exchange.node.reader.revealed(version, exchange.node.standings.of(caller))
        return Shown(version, document or {"id": version.iri, "type": self.kind.class_name}, receipt.number)


def _code(body: bytes, media_type: str, term: str, settings: Settings) -> str:
    """The code of a document that is upserted. UnsupportedMedia where it is not in JSON: then the judges alone can read it."""
    if media_type.removesuffix(MEANT) not in jsonld.JSON_TYPES:
        raise UnsupportedMedia("unsupported-media-type", "an upsert takes JSON-LD or JSON")
    return code_in(jsonld.read_json(body, settings), term)


def handed_out(submission: Submission, version: Version) -> str:
    """The claim code that a version of an asset has got by this submission; empty where it has got none, as after a repeat."""
    is_its_code = submission.offer and version.document.get("claimCodeHash") == code_hash(submission.offer)
    return submission.offer if is_its_code else ""


def _told(outcome: Outcome) -> FmarError:
    """What a trial tells although it was justified counts as a refusal for the same faults does."""
    return Invalid("validation-failed", "", outcome.faults)


def exchange_of(request: Request) -> Exchange:
    """Malformed where the parameters of the URL are not UTF-8: they would be read as others than were sent."""
    if BEYOND_ASCII.search(given := request.scope["query_string"]):
        try:
            unquote_to_bytes(given).decode()
        except UnicodeDecodeError as error:
            raise Malformed("malformed-request", "the parameters of the URL are not UTF-8") from error
    return Exchange(request, request.app.state.node)


def submission_iri(submission: Submission, receipt: Receipt) -> str:
    return f"{submission.base_url}/{receipt.kind}/{receipt.id}"


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def encoded(value: Any) -> str:
    """JSON text in which numbers stand digit for digit as they were sent."""
    if isinstance(value, jsonld.Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{encoded(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encoded, value)) + "]"
    return json.dumps(value)


def filters_in(exchange: Exchange, kind: Kind, others: frozenset[str]) -> dict[str, str]:
    """The fields that a list is narrowed by. Malformed for one that it is not, and for a personal one."""
    equal = {}
    terms = exchange.node.vocabulary.terms
    for name, value in exchange.request.query_params.items():
        if name in others:
            continue
        term = terms.get(name)
        if term is not None and term.tier is Tier.PERSONAL:
            raise Malformed("personal-filter", f"{name} is personal, and no list is narrowed by it; {PERSONAL}")
        if name not in kind.filters:
            raise Malformed("malformed-request", f"lists are narrowed by {', '.join(kind.filters)}, not by {name[:40]!r}")
        if term is not None and term.kind == "code" and value not in exchange.node.vocabulary.schemes[term.scheme].codes:
            raise Malformed("malformed-request", f"{name} is one of {', '.join(exchange.node.vocabulary.schemes[term.scheme].codes)}")
        equal[name] = _record(term, value, exchange.node.settings.base_url) if term is not None and term.kind == "record" else value
    return equal


def page_limit(text: str | None, otherwise: int, most: int) -> int:
    """How many items a page is to have: what `limit` says, within bounds."""
    if text is None:
        return otherwise
    if not NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise Malformed("malformed-request", f"limit is a number from 1 to {most}")
    return int(text)


def _record(term: Term, value: str, base_url: str) -> str:
    """The IRI of the record that a list is narrowed by. Malformed where it is no such."""
    if term.range == f"{FMAR}Organisation":
        return _organisation(term.name, value, base_url)
    if not (value.startswith(f"{base_url}/") and is_uuid(uuid_of(value))):
        raise Malformed("malformed-request", f"{term.name} is the IRI of a record of this node, {base_url}/, its kind and its UUID")
    return value


def _organisation(name: str, value: str, base_url: str) -> str:
    """The IRI of the organisation that a list is narrowed by. Malformed where it is no such."""
    iri = f"{base_url}/organisations/{value}" if is_uuid(value) else value
    if not (iri.startswith(f"{base_url}/organisations/") and is_uuid(uuid_of(iri))):
        raise Malformed("malformed-request", f"{name} is the IRI of an organisation, {base_url}/organisations/ and its UUID, or the UUID alone")
    return iri


def _check_page(asked: QueryParams) -> None:
    """What is not understood must not look as if it had been answered."""
    check_once(asked)
    check_managed(asked)


def check_once(asked: QueryParams) -> None:
    """What is asked for twice must not look as if it had been answered."""
    names = [name for name, _ in asked.multi_items()]
    if twice := [name for name in names if names.count(name) > 1]:
        raise Malformed("malformed-request", f"{twice[0][:40]!r} stands twice; a list is narrowed by one value of each field")


def check_managed(asked: QueryParams) -> str:
    """Which of its own records the caller asks for: those that it manages, where it says nothing. Malformed where there are no such."""
    wanted = asked.get("managed", MANAGED)
    if wanted not in (MANAGED, FORMER):
        raise Malformed("malformed-request", f"managed is {MANAGED}, for what you manage, or {FORMER}, for what you have managed before")
    return wanted


def _is_dry(asked: QueryParams) -> bool:
    """Whether `dry-run` is asked for, however it is spelt; Malformed where that is not plain, lest a trial is written."""
    given = {value.lower() for name, value in asked.multi_items() if re.sub("[^a-z]", "", name.lower()) == "dryrun"}
    if len(given) > 1 or given - {"true", "1", "", "false", "0"}:
        raise Malformed("malformed-request", "dry-run is true or false")
    return bool(given & {"true", "1", ""})


def http_date(instant: str) -> str:
    return format_datetime(datetime.fromisoformat(instant).astimezone(UTC).replace(microsecond=0), usegmt=True)


def acting(room: Records, action: str) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint of a named action."""

    async def act(request: Request) -> Response:
        return await room.act(request, action)

    return act
