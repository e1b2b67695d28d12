"""GET /security-log: who was let do what; the operator sees all of it, an organisation its own part.

Rules kept here: an organisation's part is what it did, what was done on its behalf, what it did on others' behalf, and what
was tried with a credential that names it and was refused (`claimed`); it does not learn who read its records, nor what the
records that it read name; reading the log is logged.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fmar_node.access.caller import Role, UserRole
from fmar_node.clock import parse_stamp
from fmar_node.errors import Forbidden, Malformed
from fmar_node.identity import is_uuid
from fmar_node.security_log import EVENTS, Line, Wish, read
from fmar_node.web.exchange import json_response
from fmar_node.web.noted import noted_of
from fmar_node.web.records import exchange_of, page_limit

PARAMETERS = ("from", "to", "limit", "cursor", "event")


async def page(request: Request) -> Response:
    """Lines of the security log, newest first; `from` and `to` are instants, `event` one of its kinds."""
    exchange = exchange_of(request)
    caller, node = await exchange.caller(), exchange.node
    noted_of(request).event = "log-read"
    if caller.is_anonymous:
        raise node.verifier.missing("the security log tells you what was done with your credentials")
    if caller.user_role not in (None, UserRole.ADMINISTRATOR):
        raise Forbidden("not-permitted", "of the people of an organisation its administrators read the security log")
    asked = request.query_params
    if odd := [name for name, _ in asked.multi_items() if name not in PARAMETERS or len(asked.getlist(name)) > 1]:
        raise Malformed("malformed-request", f"the security log is narrowed by one each of {', '.join(PARAMETERS)}, not by {odd[0][:40]!r}")
    if (event := asked.get("event", "")) and event not in EVENTS:
        raise Malformed("malformed-request", f"event is one of {', '.join(EVENTS)}")
    if (cursor := asked.get("cursor", "")) and not is_uuid(cursor):
        raise Malformed("malformed-request", "this cursor was not issued by this node")
    settings = node.settings
    is_operator = caller.has(Role.OPERATOR) and not caller.actor
    wish = Wish(
        _instant(asked.get("from"), "from"), _instant(asked.get("to"), "to"), event, cursor,
        "" if is_operator else caller.party, page_limit(asked.get("limit"), settings.page_items, settings.page_items_most),
    )  # fmt: skip
    await asyncio.to_thread(node.security.flush)
    found = await asyncio.to_thread(read, node.folder.log, wish)
    items = found.lines if is_operator else [_own(line) for line in found.lines]
    if found.cursor:
        kept = {name: value for name, value in asked.items() if name != "cursor"}
        following = f"{settings.base_url}/security-log?{urlencode({**kept, 'cursor': found.cursor})}"
        return json_response({"items": items, "next": following}, 200, {"Link": f'<{following}>; rel="next"'})
    return json_response({"items": items})


def _own(line: Line) -> Line:
    """A line as the organisation sees it that it is about."""
    return {name: value for name, value in line.items() if name != "holders"}


def _instant(text: str | None, name: str) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_stamp(re.sub(r" (?=\d\d:\d\d$)", "+", text))  # a plus sign that was not escaped
    except ValueError as error:
        raise Malformed("malformed-request", f"{name}: {error}") from error
