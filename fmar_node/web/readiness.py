"""Whether a node can do what it is for, part by part, and what is wrong where it cannot.

Rules kept here: liveness asks nothing but the web process; readiness is true only while every part works and the node
takes requests; what is wrong is said in words that tell an operator where to look.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from fmar_node.node import Node
from fmar_node.representation import JSON, json_bytes


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the node; `wrong` says what is wrong where it does not work."""

    is_good: bool
    wrong: str


async def healthz(_: Request) -> Response:
    """The web process answers."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether the node can do everything it is for; 503 with what is missing."""
    parts = readiness(request.app.state.node)
    wrong = {name: part.wrong for name, part in parts.items() if not part.is_good}
    said: dict[str, object] = {"ready": not wrong, **{name: part.is_good for name, part in parts.items()}}
    if wrong:
        said["detail"] = "; ".join(f"{name}: {reason}" for name, reason in wrong.items())
    status, retry = (503, {"Retry-After": "1"}) if wrong else (200, {})
    return Response(json_bytes(said), status, {"Cache-Control": "no-store", **retry}, JSON)


def readiness(node: Node) -> dict[str, Part]:
    """Part by part; `sandbox` tells whether query workers are cut off from the network."""
    queries, trouble = node.queries.status(), node.writer.vitals.trouble
    behind = _behind(node)
    return {
        "started": Part(node.is_ready and not node.is_stopping, "the node is stopping" if node.is_stopping else "the node is starting"),
        "writer": Part(node.writer.is_ready, "the writer process has ended and is being started again; nothing can be written"),
        "storage": Part(not trouble, trouble),
        "judges": Part(node.judges.count > 0, "no judge process runs; documents cannot be judged"),
        "queries": Part(queries.workers > 0, "no query worker has a snapshot; queries wait"),
        "graph": Part(node.is_ready and behind <= 0, f"the graph is {behind} entries further behind the journal than it may be"),
        "sandbox": Part(
            queries.is_locked or not node.settings.require_sandbox, "query workers cannot be cut off from the network on this machine"
        ),
    }


def _behind(node: Node) -> int:
    """How many entries the graph is behind what it has to hold."""
    if not node.is_ready:
        return 0
    needed = max(node.level_at, node.register.size() - 1 - node.settings.projector_backlog)
    return needed - node.queries.status().index
