"""The vocabulary over HTTP: context, ontology, shapes, code lists; the pages of problem codes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyoxigraph as ox
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fmar_node.access.reveal import is_public, tiers
from fmar_node.errors import PROBLEMS, Malformed, NotFound
from fmar_node.kinds import KINDS
from fmar_node.representation import JSON, LD_JSON, RDF_FORMATS, json_bytes, serialise_triples
from fmar_node.vocabulary import CODES, CONTEXT, RELEASE, TermKind, Vocabulary, packaged
from fmar_node.web.exchange import etag
from fmar_node.web.negotiation import best, is_known
from fmar_node.web.pages import codes_page, problem_page
from fmar_node.web.records import exchange_of

FORMATS = ("text/turtle", LD_JSON, *(name for name in RDF_FORMATS if name != "text/turtle"))
LONG = {"Cache-Control": "public, max-age=86400", "Vary": "Accept", "Fmar-Vocabulary": RELEASE}
"""What comes with the package alone."""
A_WHILE = "public, max-age=60"
"""What the next release may change."""
NUMBER = re.compile("[1-9][0-9]{0,8}")


async def context(request: Request) -> Response:
    """The JSON-LD context, version 1."""
    return cached(request, (packaged("ontology") / "context-v1.jsonld").read_bytes(), LD_JSON)


async def cim_context(request: Request) -> Response:
    """The JSON-LD context of the CIM profile, version 1."""
    return cached(request, (packaged("ontology") / "context-cim-v1.jsonld").read_bytes(), LD_JSON)


async def frame(request: Request) -> Response:
    """A JSON-LD frame: a graph that holds records of this kind becomes their documents by it."""
    kind = next((each for each in KINDS.values() if each.name == request.path_params["kind"]), None)
    if kind is None:
        raise NotFound("not-found", f"frames exist for {', '.join(each.name for each in KINDS.values())}")
    return cached(request, json_bytes(frame_of(kind.class_name, exchange_of(request).node.vocabulary)), LD_JSON)


def frame_of(class_name: str, vocabulary: Vocabulary) -> dict[str, Any]:
    """The frame of a class (JSON-LD 1.1 Framing): its parts stand inside it, and nothing stands there that it has not."""
    parts = [term for term in vocabulary.classes[class_name] if term.kind is TermKind.PART]
    return {"@context": CONTEXT, "type": class_name, "@omitDefault": True, **{term.name: {"type": term.part_class} for term in parts}}


async def ontology(request: Request) -> Response:
    """All ontology modules in one graph."""
    return _graph(request, exchange_of(request).node.vocabulary.ontology)


async def shapes(request: Request) -> Response:
    """All shapes in one graph, or those of one kind at /shapes/{kind}; of the release in force, or of another with ?release=."""
    return await _shapes(request, request.path_params.get("kind"))


async def cim_shapes(request: Request) -> Response:
    """The shapes of one kind in the CIM profile."""
    return await _shapes(request, f"cim/{request.path_params['kind']}")


async def quality_shapes(request: Request) -> Response:
    """The quality rules of one kind."""
    return await _shapes(request, f"quality/{request.path_params['kind']}")


async def vocabulary_of(request: Request) -> tuple[Vocabulary, dict[str, str]]:
    """The release in force, or the one that ?release= asks for; with the headers of an answer about it.

    Malformed where that is no number; NotFound where there is none for this caller: candidates are the operator's alone.
    """
    exchange, given = exchange_of(request), request.query_params.get("release")
    if given is None:
        found, keep = exchange.node.obey(), A_WHILE
    elif not NUMBER.fullmatch(given):
        raise Malformed("malformed-request", "release is the number of a release, from 1")
    else:
        found, version = exchange.node.releases.numbered(exchange.node.register, int(given))
        keep = LONG["Cache-Control"] if version is None or is_public(version.document) else "private, no-cache"
        if version is not None and not tiers(version.document, await exchange.caller()):
            raise NotFound("not-found", "there is no release of this number for you")
    return found, {**LONG, "Cache-Control": keep, "Fmar-Vocabulary": found.release}


async def _shapes(request: Request, name: str | None) -> Response:
    vocabulary, headers = await vocabulary_of(request)
    by_kind = vocabulary.shapes
    if name is not None and name not in by_kind:
        raise NotFound("not-found", f"shapes exist for {', '.join(by_kind)}")
    return _graph(request, by_kind[name] if name else [triple for triples in by_kind.values() for triple in triples], headers)


async def codes(request: Request) -> Response:
    """One code list; all of them at /codes; of the release in force, or of another with ?release=."""
    vocabulary, headers = await vocabulary_of(request)
    name = request.path_params.get("scheme")
    if name is not None and name not in vocabulary.schemes:
        raise NotFound("not-found", f"code lists are {', '.join(sorted(vocabulary.schemes))}")
    prefix = f"{CODES}{name}#" if name else CODES
    scheme = CODES + name if name else ""
    found = [each for each in vocabulary.codes if each.subject.value.startswith(prefix) or each.subject.value == scheme]  # type: ignore[union-attr]
    media_type = exchange_of(request).wanted((*FORMATS, JSON, "text/html") if name else FORMATS)
    if name and media_type == "text/html":
        return HTMLResponse(codes_page(exchange_of(request).node, vocabulary.schemes[name]), headers=headers)
    if name and media_type == JSON:
        listed = vocabulary.schemes[name].codes.values()
        rows = [{"code": c.notation, "label": c.label, "definition": c.definition, "active": c.is_active} for c in listed]
        return cached(request, json_bytes({"scheme": name, "codes": rows}), JSON, headers)
    return _graph(request, found, headers)


def _graph(request: Request, triples: Iterable[ox.Triple], kept: Mapping[str, str] = LONG) -> Response:
    media_type = exchange_of(request).wanted(FORMATS)
    return cached(request, serialise_triples(tuple(triples), media_type), media_type, kept)


def cached(request: Request, data: bytes, media_type: str, kept: Mapping[str, str] = LONG) -> Response:
    """What changes with a release only."""
    shared = hashlib.sha256(data).hexdigest()[:16]
    tag = etag(shared, media_type)
    headers = {**kept, "ETag": tag}
    if is_known(tag, exchange_of(request).header("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=media_type)


async def problem_code(request: Request) -> Response:
    """What a problem code means and what to do about it."""
    code = request.path_params["code"]
    if code not in PROBLEMS:
        raise NotFound("not-found", "no problem has this code")
    if best(request.headers.get("accept", ""), ("text/html", JSON)) == JSON:
        return Response(json_bytes({"code": code, "title": PROBLEMS[code].title, "remedy": PROBLEMS[code].remedy}), media_type=JSON)
    return HTMLResponse(problem_page(exchange_of(request).node, code))


ROUTES = (
    ("/context/v1", context),
    ("/context/cim-v1", cim_context),
    ("/frames/{kind}", frame),
    ("/ontology", ontology),
    ("/shapes", shapes),
    ("/shapes/{kind}", shapes),
    ("/shapes/cim/{kind}", cim_shapes),
    ("/shapes/quality/{kind}", quality_shapes),
    ("/codes", codes),
    ("/codes/{scheme}", codes),
    ("/problems/{code}", problem_code),
)
