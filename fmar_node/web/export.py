"""UC-02.05: everything that the caller manages, or has kept, streamed, in a form that can be registered again; and a manifest, signed by the node.

Rules kept here: a cell that a spreadsheet would run as a formula is defused, and can be read back; MPANs are text; the register is
unchanged by it; an export is of one place of the journal, and there its bytes are always the same, so that a manifest can be had in
another request than the file (but for what has been erased since, or is closed to who has lost a consent); no more than a page of records is held.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from fmar_node.access.caller import Caller
from fmar_node.clock import parse_stamp, stamp
from fmar_node.errors import Malformed
from fmar_node.journal.manifest import signed_manifest
from fmar_node.kinds import KINDS
from fmar_node.read import MANAGED
from fmar_node.representation import FLAT, JSON, LD_JSON, Profile, as_object, serialise_triples
from fmar_node.vocabulary import Document, TermKind, Vocabulary
from fmar_node.web.exchange import PRIVATE, SHORT, Exchange
from fmar_node.web.negotiation import NUMBER, best
from fmar_node.web.noted import noted_of
from fmar_node.web.profile import PARAMETERS, profile_of
from fmar_node.web.records import check_managed, check_once, exchange_of, filters_in
from fmar_node.web.template import guarded, in_order, line

ASSETS = KINDS["assets"]
Write = Callable[[Iterator[Document], Vocabulary, Profile], Iterator[bytes]]
OWN = frozenset({"format", "index", "at", "managed"}) | PARAMETERS


@dataclass(slots=True)
class Export:
    """What is exported: whose, in which form, of which place of the journal, narrowed by what."""

    exchange: Exchange
    caller: Caller
    media_type: str
    profile: Profile
    index: int
    equal: Mapping[str, str]
    managed: str = MANAGED
    count: int = 0
    """Records that have been written."""

    def chunks(self) -> Iterator[bytes]:
        """The bytes of it, record by record."""
        noted = noted_of(self.exchange.request)
        noted.kind = "assets"
        _, write = FORMATS[self.media_type]
        return write(self._documents(), self.exchange.node.vocabulary, self.profile)

    def _documents(self) -> Iterator[Document]:
        noted = noted_of(self.exchange.request)
        for document in self.exchange.node.reader.export(ASSETS, self.caller, self.index, self.equal, self.managed):
            noted.saw([document], self.caller)
            self.count += 1
            yield document


async def assets(request: Request) -> Response:
    """GET /assets/export: NDJSON-LD, CSV, an array of JSON or JSON-LD, N-Quads, N-Triples, Turtle or RDF/XML, by Accept or `format=`.

    As the register stands, as it stood `at` a time, or at an `index` of the journal; narrowed by fields, as lists are;
    with `managed=former` what the caller has kept of what it managed before.
    """
    export = await _asked(request)
    short, _ = FORMATS[export.media_type]
    headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="assets.{short}"', "Fmar-Journal-Index": str(export.index)}
    return StreamingResponse(_stepwise(export.chunks()), headers=headers, media_type=export.media_type)


async def manifest(request: Request) -> Response:
    """GET /assets/export/manifest: what the export is that the same parameters give at that `index`, in a note signed with the journal's key."""
    export = await _asked(request, itself="text/plain")
    digest, size = hashlib.sha256(), 0
    async for chunk in _stepwise(export.chunks()):
        await export.exchange.give_way()
        digest.update(chunk)
        size += len(chunk)
    told = _told(export, size, digest.hexdigest())
    node = export.exchange.node
    note = signed_manifest(told, node.folder.journal_key(node.settings.base_url))
    return PlainTextResponse(note, headers={**PRIVATE, "Fmar-Journal-Index": str(export.index)})


def _told(export: Export, size: int, digest: str) -> dict[str, Any]:
    """The members of a manifest."""
    node, caller = export.exchange.node, export.caller
    base, entry = node.settings.base_url, node.register.version_at(export.index)
    return {
        "node": base,
        "onBehalfOf": f"{base}/organisations/{caller.organisation}",
        "by": f"{base}/organisations/{caller.party}",
        "assets": export.count,
        "bytes": size,
        "sha256": digest,
        "mediaType": export.media_type,
        "profile": export.profile.iri,
        "filters": dict(export.equal),
        "journalIndex": export.index,
        "recordedAt": entry.recorded_at if entry else "",
        "checkpoint": node.register.checkpoint(),
        "made": stamp(node.calendar.now()),
        "vocabulary": node.obey().release,
        "openLicence": node.settings.open_licence,
    }


async def _asked(request: Request, itself: str = "") -> Export:
    """What a request asks for. FmarError where that cannot be given. Who accepts nothing but what is asked for `itself` leaves the format of the export open."""
    exchange = exchange_of(request)
    caller = await exchange.caller()
    if caller.is_anonymous:
        raise exchange.node.verifier.missing("an export holds what the caller manages")
    check_once(request.query_params)
    profile = profile_of(request.query_params, ASSETS.class_name)
    index, equal = _index(exchange), filters_in(exchange, ASSETS, OWN)
    return Export(exchange, caller, _media_type(exchange, profile, itself), profile, index, equal, check_managed(request.query_params))


def _media_type(exchange: Exchange, profile: Profile, itself: str) -> str:
    accepted = exchange.header("accept") or ""
    short = exchange.request.query_params.get("format", "")
    offered = tuple(name for name in FORMATS if _is_offered(name, profile))
    named = next((name for name in offered if short in (FORMATS[name][0], SHORT.get(name))), None)
    return named or best(short or ("" if accepted == itself else accepted), offered)


def _index(exchange: Exchange) -> int:
    """The place of the journal that is asked for: by its index, by a time, otherwise the newest."""
    asked, register = exchange.request.query_params, exchange.node.register
    newest, number, at = register.size() - 1, asked.get("index"), asked.get("at")
    if number is not None and at is not None:
        raise Malformed("malformed-request", "an export is of one index or at one time, not both")
    if number is not None:
        if not NUMBER.fullmatch(number) or int(number) > newest:
            raise Malformed("malformed-request", f"index is a place of the journal, from 0 to {newest}")
        return int(number)
    if at is None:
        return newest
    try:
        return register.index_at(stamp(parse_stamp(at)))
    except ValueError as error:
        raise Malformed("malformed-request", "at is a time with a zone such as 2026-11-22T09:30:00Z, or a day such as 2026-11-22") from error


def _is_offered(media_type: str, profile: Profile) -> bool:
    """A table has the terms of records as they are; the other formats are those of the profile, JSON line by line."""
    return profile is FLAT if media_type == "text/csv" else {"application/x-ndjson": LD_JSON}.get(media_type, media_type) in profile.formats


async def _stepwise(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """One chunk in a turn of the loop: others are not kept waiting for all of it."""
    for chunk in chunks:
        yield chunk
        await asyncio.sleep(0)


def ndjson(documents: Iterator[Document], vocabulary: Vocabulary, profile: Profile) -> Iterator[bytes]:
    for document in documents:
        yield json.dumps({"@context": profile.context, **profile.tree(document, vocabulary)}, ensure_ascii=False).encode() + b"\n"


def quads(documents: Iterator[Document], vocabulary: Vocabulary, profile: Profile) -> Iterator[bytes]:
    for document in documents:
        yield serialise_triples(profile.triples(document, vocabulary), "application/n-quads")


def turtle(documents: Iterator[Document], vocabulary: Vocabulary, profile: Profile) -> Iterator[bytes]:
    """One Turtle document: the prefixes stand once."""
    for place, document in enumerate(documents):
        text = serialise_triples(profile.triples(document, vocabulary), "text/turtle", profile.prefixes)
        yield text if place == 0 else b"".join(line for line in text.splitlines(True) if not line.startswith(b"@prefix"))


def rdf_xml(documents: Iterator[Document], vocabulary: Vocabulary, profile: Profile) -> Iterator[bytes]:
    """One document of RDF/XML: what each record's own begins and ends with stands once."""
    end = b""
    for document in documents:
        text = serialise_triples(profile.triples(document, vocabulary), "application/rdf+xml", profile.prefixes)
        start, close = text.index(b">\n", text.index(b"<rdf:RDF")) + 2, text.rindex(b"</rdf:RDF>")
        yield text[:close] if not end else text[start:close]
        end = text[close:]
    yield end or serialise_triples((), "application/rdf+xml", profile.prefixes)


def _array(media_type: str) -> Write:
    """One array in JSON, a record on a line; `POST /assets/batch` takes it back."""

    def write(documents: Iterator[Document], vocabulary: Vocabulary, profile: Profile) -> Iterator[bytes]:
        before = b"[\n"
        for document in documents:
            tree = {"@context": profile.context, **as_object(document, media_type, vocabulary, profile)}
            yield before + json.dumps(tree, ensure_ascii=False).encode()
            before = b",\n"
        yield b"\n]\n" if before == b",\n" else b"[]\n"

    return write


def triples(documents: Iterator[Document], vocabulary: Vocabulary, profile: Profile) -> Iterator[bytes]:
    for document in documents:
        yield serialise_triples(profile.triples(document, vocabulary), "application/n-triples")


def table(documents: Iterator[Document], vocabulary: Vocabulary, _: Profile) -> Iterator[bytes]:
    """CSV with one column per term of an asset; parts as JSON. `POST /assets/batch` takes it back."""
    header = ["id", *(term.name for term in in_order(vocabulary))]
    yield line(header).encode()
    for document in documents:
        yield line(_cell(document.get(name), vocabulary, name) for name in header).encode()


def _cell(value: Any, vocabulary: Vocabulary, name: str) -> str:
    if value is None:
        return ""
    term = vocabulary.terms.get(name)
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    is_number = term is not None and term.kind in (TermKind.DECIMAL, TermKind.INTEGER)
    return text if is_number else guarded(text)


FORMATS: dict[str, tuple[str, Write]] = {
    "application/x-ndjson": ("ndjson", ndjson),
    "text/csv": ("csv", table),
    "application/n-quads": ("nq", quads),
    "text/turtle": ("ttl", turtle),
    LD_JSON: ("jsonld", _array(LD_JSON)),
    JSON: ("json", _array(JSON)),
    "application/n-triples": ("nt", triples),
    "application/rdf+xml": ("rdf", rdf_xml),
}
