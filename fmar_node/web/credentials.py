"""OAuth 2.0 over HTTP: token endpoint, keys, metadata. The rules are in `fmar_node.access`."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from fmar_node.access.caller import Caller
from fmar_node.access.credential import protected_resource_metadata
from fmar_node.access.jose import read_compact
from fmar_node.access.status import LIST_TYPE, OWN_TTL
from fmar_node.access.token import authorization_server_metadata, claimed_client
from fmar_node.errors import FmarError, Malformed, TooMany
from fmar_node.record import uuid_of
from fmar_node.representation import JSON, json_bytes
from fmar_node.web.limits import address_of
from fmar_node.web.negotiation import content_type, is_known
from fmar_node.web.noted import noted_of
from fmar_node.web.problems import status_of
from fmar_node.web.records import exchange_of

FORM = "application/x-www-form-urlencoded"
KEY_SET = "application/jwk-set+json"
STATUS_LIST = f"application/{LIST_TYPE}"
MOST_BYTES = 32_768
NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


async def token(request: Request) -> Response:
    """A token for a client that authenticates with private_key_jwt or a client certificate; it is bound to the key of the DPoP proof or to the certificate."""
    exchange, noted, limits = exchange_of(request), noted_of(request), request.app.state.limits
    noted.signed("token")
    form: dict[str, str] = {}
    try:
        content_type(exchange.header("content-type"), (FORM,))
        form = _form(await exchange.body(MOST_BYTES))
        issued = exchange.node.tokens.issue(form, request.headers.getlist("dpop"), request.method, exchange.url, exchange.certificates)
    except FmarError as error:
        client = claimed_client(form)
        noted.claims("client_id", exchange.node.registered(client))
        return _refused(request, limits.refused_token(client, address_of(request), error))
    noted.who = request.state.caller = holder(issued["access_token"])
    request.state.account = limits.account(noted.who.party, noted.who.application)
    request.state.is_over = limits.owes(request.state.account)
    return Response(json_bytes(issued), headers=NOT_STORED, media_type=JSON)


def _refused(request: Request, error: FmarError) -> Response:
    request.state.refused = error
    return _oauth_error(error)


def holder(token: str) -> Caller:
    """Whom a token names that this node has just signed."""
    claims = read_compact(token, len(token)).claims()
    actor = claims.get("act", {}).get("sub", "")
    return Caller(uuid_of(claims["sub"]), claims["client_id"], actor=uuid_of(actor))


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise Malformed("invalid-grant-request", "the body is not a form", members={"error": "invalid_request"}) from error
    if len({name for name, _ in pairs}) != len(pairs):
        raise Malformed("invalid-grant-request", "a parameter stands twice", members={"error": "invalid_request"})
    return dict(pairs)


def _oauth_error(error: FmarError) -> Response:
    """RFC 6749 section 5.2: the OAuth words, with our code beside them."""
    body = {"error": error.members.get("error", "invalid_request"), "error_description": error.detail or error.title, "code": error.code}
    if isinstance(error, TooMany):
        body["error"] = "slow_down"  # RFC 8628 has the word for this endpoint
        return Response(json_bytes(body), status_of(error), {**NOT_STORED, **error.headers}, JSON)
    status = 401 if body["error"] == "invalid_client" else max(400, min(status_of(error), 503)) if status_of(error) >= 500 else 400
    return Response(json_bytes(body), status, {**NOT_STORED, **error.headers}, JSON)


async def jwks(request: Request) -> Response:
    """The public keys that verify this node's access tokens."""
    node = exchange_of(request).node
    headers = {"Cache-Control": f"public, max-age={node.settings.signing_key_seconds}"}
    return Response(json_bytes(node.keys.public()), headers=headers, media_type=KEY_SET)


async def status(request: Request) -> Response:
    """The status list of the applications' keys, one bit each: 1 is revoked (draft-ietf-oauth-status-list)."""
    exchange = exchange_of(request)
    current = exchange.node.status_list.current()
    tag = f'"{current.tag}"'
    headers = {"Cache-Control": f"public, max-age={OWN_TTL}", "ETag": tag}
    if is_known(tag, exchange.header("if-none-match")):
        return Response(status_code=304, headers=headers)
    return Response(current.text, headers=headers, media_type=STATUS_LIST)


async def authorization_server(request: Request) -> Response:
    """RFC 8414 metadata."""
    node = exchange_of(request).node
    return Response(json_bytes(authorization_server_metadata(node.settings.base_url, node.certificates.is_offered)), media_type=JSON)


async def protected_resource(request: Request) -> Response:
    """RFC 9728 metadata."""
    node = exchange_of(request).node
    found = protected_resource_metadata(node.settings.base_url, node.settings.node_name, node.certificates.is_offered, node.settings.issuers)
    return Response(json_bytes(found), media_type=JSON)
