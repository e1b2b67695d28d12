"""The SPARQL page for browsers: YASGUI, shipped with the node, on the node's own endpoint.

Rules kept here: nothing comes from anywhere else, and the page may ask nobody else; what browsers keep for good has the
version in its path. Where the files are from stands in `yasgui/yasgui.json`.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from fmar_node.errors import NotFound
from fmar_node.node import Node
from fmar_node.vocabulary import packaged
from fmar_node.web.pages import page_of

FILES = Path(__file__).parent / "yasgui"
MEDIA_TYPES = {"yasgui.min.js": "text/javascript", "start.js": "text/javascript", "yasgui.min.css": "text/css"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'"
)


async def file(request: Request) -> Response:
    """A file of the page, by the version of them all."""
    name = request.path_params["name"]
    if request.path_params["version"] != version() or name not in MEDIA_TYPES:
        raise NotFound("not-found", "there is nothing at this address")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(contents(name), headers=headers, media_type=MEDIA_TYPES[name])


@cache
def contents(name: str) -> bytes:
    return (FILES / name).read_bytes()


@cache
def version() -> str:
    """Of all files together: of YASGUI, and of what starts it."""
    own = hashlib.sha256(contents("start.js")).hexdigest()[:8]
    return f"{json.loads(contents('yasgui.json'))['version']}-{own}"


def page(node: Node) -> Response:
    """The page itself."""
    text = page_of("sparql.html", node, queries=queries(), yasgui=version())
    return HTMLResponse(text, headers={"Vary": "Accept", "Content-Security-Policy": POLICY})


@cache
def queries() -> tuple[dict[str, Any], ...]:
    """The packaged examples, by their names; the comment above each says what it is about."""
    files = sorted((packaged("examples") / "queries").glob("*.rq"), key=lambda file: (file.stem != "how-much-storage", file.stem))
    return tuple(_query(file.stem, file.read_text("utf-8")) for file in files)


def _query(name: str, text: str) -> dict[str, Any]:
    about = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    return {"name": name.replace("-", " "), "about": " ".join(about), "text": text}
