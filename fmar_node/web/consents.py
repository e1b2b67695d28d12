"""What consent solutions notify: POST /consents/notifications (UC-05.05; `docs/formats/consent.md`)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from fmar_node.errors import Malformed, Unauthenticated
from fmar_node.sources.notification import Unsigned, notification_of, sender
from fmar_node.web.noted import noted_of
from fmar_node.web.records import exchange_of

MOST_BYTES = 65_536


async def notifications(request: Request) -> Response:
    """Takes a signed notification; 204 once it is on disk, and in force where the writer is there. A repeated one changes nothing."""
    exchange = exchange_of(request)
    node, noted = exchange.node, noted_of(request)
    noted.wrote("notification")
    noted.kind = "consents"
    body = await exchange.body(min(MOST_BYTES, node.settings.body_bytes))
    try:
        solution, id_ = sender(request.headers, body, node.consent_secrets, node.clock.now().timestamp(), node.settings.notification_seconds)
    except Unsigned as reason:
        raise Unauthenticated("notification-not-accepted", str(reason), headers={"WWW-Authenticate": 'Webhook-Signature realm="consents"'}) from reason
    try:
        notification = notification_of(solution, id_, body)
    except ValueError as reason:
        raise Malformed("notification-not-accepted", f"the body {reason}") from reason
    await node.take(notification)
    return Response(status_code=204, headers={"Cache-Control": "no-store"})
