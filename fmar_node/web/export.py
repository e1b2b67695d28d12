"""UC-02.05: everything that the caller manages, streamed, in a form that can be registered again.

Rules kept here: a cell that a spreadsheet would run as a formula is defused, and can be read back; MPANs are text; the register is
unchanged by it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fmar_node.access.caller import Caller
from fmar_node.kinds import KINDS
from fmar_node.representation import FLAT, LD_JSON, Profile, serialise_triples
from fmar_node.vocabulary import Document, TermKind, Vocabulary
from fmar_node.web.exchange import PRIVATE, SHORT
from fmar_node.web.negotiation import best
from fmar_node.web.noted import noted_of
from fmar_node.web.profile import profile_of
from fmar_node.web.records import exchange_of
from fmar_node.web.template import guarded, in_order, line


async def assets(request: Request) -> Response:
    """GET /assets/export: NDJSON-LD, CSV, N-Quads or Turtle, by Accept or `format=`."""
    exchange = exchange_of(request)
    caller = await exchange.caller()
    if caller.is_anonymous:
        raise exchange.node.verifier.missing("an export holds what the caller manages")
    short = request.query_params.get("format", "")
    profile = profile_of(request.query_params, KINDS["assets"].class_name)
    offered = tuple(name for name in FORMATS if _is_offered(name, profile))
    named = next((name for name in offered if short in (FORMATS[name][0], SHORT.get(name))), None)
    media_type = named or best(short or exchange.header("accept") or "", offered)
    short, write = FORMATS[media_type]
    documents = _noted(request, exchange.node.reader.export(KINDS["assets"], caller), caller)
    headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="assets.{short}"'}
    return StreamingResponse(_stepwise(write(documents, exchange.node.vocabulary, profile)), headers=headers, media_type=media_type)


def _is_offered(media_type: str, profile: Profile) -> bool:
    """A table has the terms of records as they are; the other formats are those of the profile, JSON line by line."""
    return profile is FLAT if media_type == "text/csv" else {"application/x-ndjson": LD_JSON}.get(media_type, media_type) in profile.formats


def _noted(request: Request, documents: Iterator[Document], caller: Caller) -> Iterator[Document]:
    noted = noted_of(request)
    noted.kind = "assets"
    for document in documents:
        noted.saw([document], caller)
        yield document


async def _stepwise(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


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


FORMATS: dict[str, tuple[str, Callable[[Iterator[Document], Vocabulary, Profile], Iterator[bytes]]]] = {
    "application/x-ndjson": ("ndjson", ndjson),
    "text/csv": ("csv", table),
    "application/n-quads": ("nq", quads),
    "text/turtle": ("ttl", turtle),
}
