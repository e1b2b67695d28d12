"""POST /assets/batch and /switches/batch: many documents in one request, one result line per row, in order, streamed both ways.

Rules kept here: rows are independent, each is a submission of its own; a row that has the id of one of the caller's
assets is the asset's next version, so that an export sent back unchanged changes nothing, and is told so even where nothing may be changed; with an Idempotency-Key a row's key is the
request's with the row number, so that a broken batch is sent again and goes on where it stopped; no more than a few
rows are read at once; a JSON array is received whole, under a cap, and taken apart as its rows are judged; rows of one asset
are judged one after the other, in their order; a fault of a row of a table points to its column. Whoever goes away ends the batch:
what has been judged stays, and the rest is not begun; whose key is revoked meanwhile has the rest of the rows refused. With
`Prefer: respond-async` a batch of assets is kept, and worked through later (`jobs`). Switches are requested, and no more: neither tables, nor ids, nor jobs.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Container, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from fmar_node import jsonld
from fmar_node.access.caller import Caller, Role
from fmar_node.composition import moved
from fmar_node.drafting import Submission, digest_of
from fmar_node.errors import Conflict, Fault, FmarError, Forbidden, Malformed, NotAcceptable, TooLarge, Unavailable
from fmar_node.identity import is_uuid, new_claim_code, new_record_id
from fmar_node.representation import FLAT, JSON, LD_JSON, Profile
from fmar_node.submit import Outcome
from fmar_node.web.exchange import PRIVATE, Exchange
from fmar_node.web.negotiation import content_type, prefers_async
from fmar_node.web.noted import noted_of
from fmar_node.web.problems import problem
from fmar_node.web.profile import meant, profile_of
from fmar_node.web.records import KEY_CHARS, Records, encoded, exchange_of, handed_out
from fmar_node.web.template import CSV, Row, rows_in
from fmar_node.web.upsert import check_whole, code_in, is_as_seen, upsert_term, upserted

NDJSON = "application/x-ndjson"
PLAIN = (NDJSON, LD_JSON, JSON)
TAKEN = (*PLAIN, CSV)
TOGETHER = 16
"""Rows judged at once."""
PAUSE, LONGEST_PAUSE = 0.5, 10.0
"""Seconds before a row is tried again of a batch that has patience; twice as many each time."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch being registered: whose, under which key, in which room."""

    exchange: Exchange
    caller: Caller
    key: str
    room: Records
    media_type: str = LD_JSON
    """That of each row, with its profile where that was asked for."""
    upserts_by: str = ""
    """The term that a row without an id goes by, where it is to be upserted."""
    patience: float = 0.0
    """Seconds for which a row is tried again while the node cannot do it."""
    since: int = 0
    again: Container[int] = ()
    """Rows that a crash may have cut off after they were entered; what they became since this place of the journal is their own doing."""

    @property
    def path(self) -> str:
        return f"/{self.room.kind.plural}/batch"

    async def results(self, rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
        """One line of JSON per row, in the order of the rows."""
        async for result in self.outcomes(rows):
            yield line_of(result)

    async def outcomes(self, rows: AsyncIterator[Row]) -> AsyncIterator[dict[str, Any]]:
        """What became of each row, in their order; one that the rest cannot be told from is the last."""
        started: deque[Started] = deque()
        number = 0
        try:
            async for row in rows:
                number, aim = row.number, self._aim(row.body)
                earlier = next((each.task for each in reversed(started) if aim.subject and each.subject == aim.subject), None)
                started.append(Started(asyncio.create_task(self._row(row, aim, earlier)), aim.subject))
                if len(started) >= TOGETHER:
                    yield await started.popleft().task
            while started:
                yield await started.popleft().task
        except FmarError as error:
            for each in started:
                yield await each.task
            error.members.setdefault("row", number + 1)
            yield {"row": error.members["row"], **self._refused(error)}
        finally:
            for each in started:
                each.task.cancel()

    async def _row(self, row: Row, aim: Aim, earlier: asyncio.Task[Any] | None) -> dict[str, Any]:
        noted = noted_of(self.exchange.request)
        try:
            if row.refusal is not None:
                raise row.refusal
            if earlier is not None:
                await asyncio.wait([earlier])
            result = await self._patiently(row, aim)
        except FmarError as error:
            noted.refused_row(error)
            return {"row": row.number, **self._refused(error, row.places)}
        noted.records += 1
        return result

    async def _patiently(self, row: Row, aim: Aim) -> dict[str, Any]:
        """The outcome; where the node cannot do it right now, as while its writer starts again, the row waits for as long as there is patience."""
        waited, pause = 0.0, PAUSE
        while True:
            try:
                return await self._outcome(row, aim)
            except Unavailable:
                if waited >= self.patience:
                    raise
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE)

    async def _outcome(self, row: Row, aim: Aim) -> dict[str, Any]:
        """One row: a new asset, or with the id or the code of one of the caller's, that asset as it is to be from now on."""
        self.exchange.node.check_key(self.caller)
        submission = self._submission(row, aim)
        try:
            submission, outcome = await self._submitted(submission, aim)
        except (Conflict, Forbidden):
            if not aim.id or not await is_as_seen(self.exchange, submission, self.exchange.node.reader.current("assets", aim.id, self.caller)):
                raise
            return {"row": row.number, "status": 200, "outcome": "unchanged", "id": submission.iri}
        if outcome.receipt is None:
            return {"row": row.number, "status": 200, "outcome": "accepted", "errors": [fault.as_json() for fault in _placed(outcome.faults, row.places)]}
        receipt, is_known = outcome.receipt, submission.action == "update"
        word = "unchanged" if receipt.is_repeat else "updated" if is_known else "created"
        if receipt.is_repeat and row.number in self.again and receipt.index >= self.since:
            word = "created" if receipt.number == 1 else "updated"
        iri = f"{submission.base_url}/{submission.kind}/{receipt.id}"
        version = self.exchange.node.register.version_at(receipt.index) if submission.offer else None
        code = handed_out(submission, version) if version else ""
        told = {"row": row.number, "status": 200 if is_known else 201, "outcome": word, "id": iri, "journalIndex": receipt.index}
        return {**told, "claimCode": code} if code else told

    def _submission(self, row: Row, aim: Aim) -> Submission:
        known, key, kind = aim.id, f"{self.key}/{row.number}" if self.key else "", self.room.kind
        hands_out = kind.actions["register"].draws_code and not (known or self.caller.has(Role.FSP))
        return Submission(
            self.caller, kind.plural, "update" if known else "register", known or new_record_id(),
            self.exchange.node.settings.base_url, self.media_type, row.body, ("*",) if known else None, key,
            digest_of("POST", self.path, self.media_type, row.body), new_claim_code() if hands_out else "",
        )  # fmt: skip

    async def _submitted(self, submission: Submission, aim: Aim) -> tuple[Submission, Outcome]:
        if aim.id:
            check_whole(self.exchange, submission, self.exchange.node.reader.current("assets", aim.id, self.caller))
        elif self.upserts_by:
            return await upserted(self.room, self.exchange, submission, self.upserts_by, aim.code)
        return submission, await self.room.run(self.exchange, submission)

    def _aim(self, row: bytes) -> Aim:
        """Which asset the row is about, where it names one of this node, as an export does that is sent back, or where it goes by its code."""
        if "update" not in self.room.kind.actions:
            return Aim()
        try:
            given = jsonld.read_json(row, self.exchange.node.settings)
        except FmarError:
            return Aim()
        iri = given.get("id", given.get("@id"))
        id_ = iri.removeprefix(f"{self.exchange.node.settings.base_url}/assets/") if isinstance(iri, str) else ""
        return Aim(id_) if is_uuid(id_) else Aim(code=code_in(given, self.upserts_by) if self.upserts_by else "")

    def _refused(self, error: FmarError, places: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
        placed = replace(error, faults=_placed(error.faults, places)) if places and error.faults else error
        shown = problem(placed, self.exchange.node.settings.base_url, self.path)
        return {"status": shown["status"], "outcome": "refused", "problem": shown}


@dataclass(frozen=True, slots=True)
class Aim:
    """Which asset a row is about: the UUID of one, or a friendly code; neither where it is a new one."""

    id: str = ""
    code: str = ""

    @property
    def subject(self) -> str:
        """What rows of the same asset have in common."""
        return self.id or self.code.strip().casefold()


@dataclass(frozen=True, slots=True)
class Started:
    """A row that is being judged, and which asset it is about."""

    task: asyncio.Task[dict[str, Any]]
    subject: str


def _placed(faults: tuple[Fault, ...], places: Mapping[str, str]) -> tuple[Fault, ...]:
    """Faults of a document where their terms stand in the row that it was made of."""
    return tuple(replace(fault, pointer=moved(fault.pointer, places)) for fault in faults) if places else faults


class Duplex(StreamingResponse):
    """A response that is made while the request is still being read: nobody else may listen for a disconnect, since
    whoever listens takes the body's chunks away."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        with suppress(ClientDisconnect):
            await self.stream_response(send)


class JobTaker(Protocol):
    """Who keeps a batch that is to be worked through later."""

    async def take(self, exchange: Exchange, caller: Caller, media_type: str, key: str) -> Response: ...


def batch_of(room: Records, jobs: JobTaker | None = None) -> Any:
    """The endpoint for the room of a kind; without `jobs` it takes no tables, and keeps nothing for later."""

    async def batch(request: Request) -> Response:
        """Registers each row of an NDJSON stream or a JSON array, of assets also of a table in CSV (`/assets/template`); answers one line per row."""
        exchange = exchange_of(request)
        noted = noted_of(request)
        noted.wrote("batch")
        noted.kind = room.kind.plural
        caller = await exchange.caller()
        if caller.is_anonymous:
            raise exchange.node.verifier.missing("writing needs a credential")
        media_type = content_type(exchange.header("content-type"), TAKEN if jobs else PLAIN)
        exchange.check_encoding()
        key = request.headers.get("idempotency-key", "")
        if len(key) > KEY_CHARS - 10:
            raise Malformed("malformed-request", f"the Idempotency-Key of a batch has at most {KEY_CHARS - 10} characters")
        profile = profile_of(request.query_params, room.kind.class_name)
        by_term = upsert_term(request.query_params) if room.kind.upserts_by else ""
        if jobs and prefers_async(request.headers):
            return await jobs.take(exchange, caller, media_type, key)
        batch = Batch(exchange, caller, key, room, meant(LD_JSON, profile), by_term)
        results = batch.results(await rows_sent(exchange, media_type, profile))
        return Duplex(results, headers=PRIVATE, media_type=NDJSON)

    return batch


async def rows_sent(exchange: Exchange, media_type: str, profile: Profile) -> AsyncIterator[Row]:
    """The rows of a body, as they come in. FmarError where there are none to be read."""
    if media_type == CSV:
        if profile is not FLAT:
            raise NotAcceptable("profile-not-offered", f"a table has the terms of records as they are, profile={FLAT.name}")
        return await rows_in(exchange)
    settings = exchange.node.settings
    found = _lines(exchange) if media_type == NDJSON else _elements(jsonld.elements(await exchange.body(settings.batch_bytes), settings), exchange)
    return _numbered(found)


async def _numbered(bodies: AsyncIterator[bytes]) -> AsyncIterator[Row]:
    number = 0
    async for body in bodies:
        number += 1
        yield Row(number, body)


async def _lines(exchange: Exchange) -> AsyncIterator[bytes]:
    """The lines of the body as they come in; TooLarge for one that is longer than a document may be."""
    waiting, most = b"", exchange.node.settings.body_bytes
    async for chunk in exchange.request.stream():
        *whole, waiting = (waiting + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line
        if len(waiting) > most:
            raise TooLarge("body-too-large", f"a line has more than {most} bytes")
    if waiting.strip():
        yield waiting


async def _elements(elements: Iterator[bytes], exchange: Exchange) -> AsyncIterator[bytes]:
    """The elements of a JSON array, numbers as they were written; what is no JSON as it is, to be refused in its row.

    Nobody is waited for who has gone: otherwise one request would keep the node at work for as many rows as it had.
    """
    for element in elements:
        if await exchange.request.is_disconnected():
            return
        row = element
        with suppress(Malformed):
            row = encoded(jsonld.read_value(element, exchange.node.settings)).encode()
        yield row


def line_of(result: dict[str, Any]) -> bytes:
    return json.dumps(result, ensure_ascii=False).encode() + b"\n"
