"""The journal over HTTP: C2SP checkpoint and tiles for everybody, entries to those who may see them."""

from __future__ import annotations

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from fmar_node.errors import NotFound
from fmar_node.journal.checkpoint import Checkpoint, Note
from fmar_node.journal.handover import print_handovers
from fmar_node.journal.tile import Tile, bundle_bytes, tile_bytes
from fmar_node.journal.tree import ProofError
from fmar_node.read import Shown
from fmar_node.web.exchange import json_response
from fmar_node.web.noted import noted_of
from fmar_node.web.records import exchange_of

IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}


async def checkpoint(request: Request) -> Response:
    """The newest signed head of the tree."""
    note = exchange_of(request).node.register.checkpoint()
    return PlainTextResponse(note, headers={"Cache-Control": "public, max-age=1"})


async def key(request: Request) -> Response:
    """The verifier key of the checkpoints, `<origin>+<key id>+<base64>`; pin it, do not fetch it with each proof."""
    return PlainTextResponse(f"{exchange_of(request).node.verifier_key}\n")


async def handovers(request: Request) -> Response:
    """From each signing key to the next, oldest first; follow them from the key that you have pinned. Empty where there was one key only."""
    return PlainTextResponse(print_handovers(exchange_of(request).node.register.handovers()), headers={"Cache-Control": "public, max-age=60"})


async def tile(request: Request) -> Response:
    """A tile of hashes, or a bundle of leaves."""
    register = exchange_of(request).node.register
    try:
        wanted = Tile.parse(request.path_params["path"])
        size = Checkpoint.parse(Note.parse(register.checkpoint()).text).size
        if not wanted.is_in(size):
            raise NotFound("not-found", "the tree has no such tile yet")
        if wanted.level is None:
            data = bundle_bytes(register.leaves(wanted.start, wanted.width))
        else:
            data = tile_bytes(register, wanted, size)
    except ProofError as error:
        raise NotFound("not-found", f"not a tile: {error.detail}") from error
    return Response(data, headers=IMMUTABLE, media_type="application/octet-stream")


async def entry(request: Request) -> Response:
    """An entry's receipt, as far as the caller sees its record."""
    exchange = exchange_of(request)
    caller = await exchange.caller()
    node = exchange.node
    version = node.register.version_at(request.path_params["index"])
    shown = []
    if version:
        with suppress(NotFound):
            seen = node.reader.versions(version.kind, version.id, caller)
            shown = [each for each in seen if each.version.index == version.index]
    if not shown:
        raise NotFound("not-found", "no such entry for this caller")
    noted = noted_of(request)
    noted.kind, noted.record = shown[0].version.kind, shown[0].version.id
    noted.shown(shown[0], caller)
    return json_response(node.reader.proof(Shown(shown[0].version, shown[0].document, 0), caller))
