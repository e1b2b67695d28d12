"""People over HTTP: sign in at an identity provider, see and end sessions. The rules are in `fmar_node.access`.

Rules kept here: a sign-in that was begun and failed counts for the network address and, once the provider has said who it is, for
that identity; past the limit of the hour nobody is told anything but to wait; who has signed in gets a new session, and the one
that the browser had is ended; nobody learns of a session that is not their own or, for an administrator, of their organisation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fmar_node.access.caller import Applicant, Caller, UserRole, applying
from fmar_node.access.session import Session
from fmar_node.access.signin import Arrival, admitted
from fmar_node.clock import stamp
from fmar_node.errors import FmarError, Forbidden, Malformed, NotFound, TooMany
from fmar_node.identity import is_uuid
from fmar_node.node import Node
from fmar_node.representation import JSON
from fmar_node.settings import Settings
from fmar_node.web.cookie import attempt_cookie, clearing, given, origin_of, session_cookie, setting
from fmar_node.web.exchange import Exchange, json_response
from fmar_node.web.limits import address_of
from fmar_node.web.noted import noted_of
from fmar_node.web.pages import session_page, signin_page
from fmar_node.web.problems import problem, status_of
from fmar_node.web.records import exchange_of

HTML = "text/html"
NOT_STORED = {"Cache-Control": "no-store", "Vary": "Accept, Cookie"}
ASKED = frozenset({"provider", "organisation", "return", "apply", "format"})


class Failures:
    """Counts failed sign-ins by network address and by identity."""

    def __init__(self, settings: Settings) -> None:
        self.per_address = RateLimitItemPerHour(settings.sign_in_failures_per_address)
        self.per_identity = RateLimitItemPerHour(settings.sign_in_failures_per_identity)
        self.window = MovingWindowRateLimiter(MemoryStorage())

    def check_address(self, address: str) -> None:
        """TooMany where that address has failed too often."""
        if not self.window.test(self.per_address, "address", address):
            raise _too_many()

    def check_identity(self, name: str) -> None:
        """TooMany where that identity has failed too often."""
        if not self.window.test(self.per_identity, "identity", name):
            raise _too_many()

    def count_address(self, address: str) -> None:
        self.window.hit(self.per_address, "address", address)

    def count_identity(self, name: str) -> None:
        self.window.hit(self.per_identity, "identity", name)


def _too_many() -> TooMany:
    return TooMany("too-many-requests", "too many sign-ins have failed in this hour", headers={"Retry-After": "600"})


async def begin(request: Request) -> Response:
    """The identity providers that people sign in with; with `provider`, to its page. `return` is the path to come back to."""
    exchange = exchange_of(request)
    asked = _once(exchange)
    if "provider" not in asked:
        return _choice_of_providers(exchange, asked)
    organisation = asked.get("organisation", "")
    if organisation and not is_uuid(organisation):
        raise Malformed("malformed-request", "organisation is the UUID at the end of an organisation's IRI")
    node = exchange.node
    if asked.get("apply", "false") not in ("true", "false"):
        raise Malformed("malformed-request", "apply is true or false: whether you come to apply for an organisation that is not in the register")
    is_application = asked.get("apply") == "true"
    url, sealed = await node.sign_in.begin(asked["provider"], organisation, asked.get("return", _home(node)), is_application=is_application)
    base_url = node.settings.base_url
    cookie = setting(attempt_cookie(base_url), sealed, node.settings.sign_in_seconds, base_url)
    return RedirectResponse(url, 303, {**NOT_STORED, "Set-Cookie": cookie})


def _once(exchange: Exchange) -> dict[str, str]:
    pairs = exchange.request.query_params.multi_items()
    if wrong := sorted({name for name, _ in pairs} - ASKED):
        raise Malformed("malformed-request", f"{wrong[0][:40]!r} is no parameter of /signin; there are {', '.join(sorted(ASKED))}")
    if len(dict(pairs)) != len(pairs):
        raise Malformed("malformed-request", "a parameter stands twice")
    return dict(pairs)


def _choice_of_providers(exchange: Exchange, asked: dict[str, str]) -> Response:
    kept = {name: value for name, value in asked.items() if name in ("organisation", "return", "apply")}
    providers = [{"name": name, "href": _link(exchange.node, {"provider": name, **kept})} for name in exchange.node.sign_in.providers]
    if exchange.wanted((HTML, JSON)) == HTML:
        return HTMLResponse(signin_page(exchange.node, providers=providers), headers=NOT_STORED)
    return json_response({"providers": providers}, headers=NOT_STORED)


def _link(node: Node, asked: dict[str, str]) -> str:
    return f"{node.settings.base_url}/signin?{urlencode(asked)}"


def _home(node: Node) -> str:
    return node.settings.base_url.removeprefix(origin_of(node.settings.base_url)) + "/"


async def callback(request: Request) -> Response:
    """Where the identity provider sends the browser back to: a session begins, or the refusal says why not."""
    exchange = exchange_of(request)
    base_url = exchange.node.settings.base_url
    noted_of(request).signed("sign-in")
    try:
        return await _arrived(exchange)
    except FmarError as refusal:
        refusal.headers["Set-Cookie"] = clearing(attempt_cookie(base_url), base_url)
        if exchange.wanted((JSON, HTML)) != HTML:
            raise
        request.state.refused = refusal
        told = problem(refusal, base_url, request.url.path)
        page = signin_page(exchange.node, refusal=told, choices=_named(exchange.node, refusal.members.get("choices", ())))
        return HTMLResponse(page, status_of(refusal), {**NOT_STORED, **refusal.headers})


async def _arrived(exchange: Exchange) -> Response:
    node, request = exchange.node, exchange.request
    failures, address = request.app.state.failures, address_of(request)
    failures.check_address(address)
    sealed = given(request.headers.getlist("cookie"), attempt_cookie(node.settings.base_url))
    try:
        arrival = await node.sign_in.finish(request.query_params.multi_items(), sealed[0] if len(sealed) == 1 else "")
        return await _entered(exchange, arrival)
    except Forbidden:
        failures.count_address(address)
        raise


async def _entered(exchange: Exchange, arrival: Arrival) -> Response:
    node, failures = exchange.node, exchange.request.app.state.failures
    failures.check_identity(arrival.identity.name)
    try:
        person = await admitted(node.people, arrival)
    except Forbidden:
        failures.count_identity(arrival.identity.name)
        raise
    except FmarError as refusal:
        refusal.members |= {"provider": arrival.attempt.provider, "return": arrival.attempt.path}
        raise
    for token in exchange.session_tokens:
        if earlier := node.sessions.find(token):
            node.sessions.end(earlier.id)
    provider = arrival.attempt.provider
    if isinstance(person, Applicant):
        exchange.request.state.caller = applying(person)
        token, _ = node.sessions.begin("", "", provider, person)
    else:
        exchange.request.state.caller = Caller(person.organisation, user=person.user, user_role=person.role)
        token, _ = node.sessions.begin(person.user, person.organisation, provider)
    noted_of(exchange.request).signed("sign-in", who=exchange.request.state.caller)
    base_url = node.settings.base_url
    answer = RedirectResponse(origin_of(base_url) + arrival.attempt.path, 303, NOT_STORED)
    answer.headers.append("Set-Cookie", clearing(attempt_cookie(base_url), base_url))
    answer.headers.append("Set-Cookie", setting(session_cookie(base_url), token, node.settings.session_seconds, base_url))
    return answer


def _named(node: Node, organisations: Iterable[str]) -> list[dict[str, str]]:
    """Organisations with their names, for people to choose from."""
    found = ((id_, node.register.current("organisations", id_)) for id_ in organisations)
    return [{"id": id_, "name": version.document["organisationLegalName"] if version else id_} for id_, version in found]


async def own(request: Request) -> Response:
    """Who has signed in: user, organisation, role, and until when."""
    exchange = exchange_of(request)
    caller, session = exchange.signed_in()
    if exchange.wanted((JSON, HTML)) == HTML:
        page = session_page(exchange.node, caller=caller, session=_told(exchange.node, session), organisation=_named(exchange.node, [caller.organisation])[0])
        return HTMLResponse(page, headers=NOT_STORED)
    role = {"role": caller.user_role.value} if caller.user_role else {}
    return json_response({**_told(exchange.node, session), **role}, headers=NOT_STORED)


async def leave(request: Request) -> Response:
    """Signs out."""
    return _left(exchange_of(request), Response(status_code=204, headers=NOT_STORED))


async def end_own(request: Request) -> Response:
    """Signs out, for a form of a page: leads to /signin."""
    exchange = exchange_of(request)
    return _left(exchange, RedirectResponse(f"{exchange.node.settings.base_url}/signin", 303, NOT_STORED))


def _left(exchange: Exchange, answer: Response) -> Response:
    _, session = exchange.signed_in()
    noted_of(exchange.request).signed("sign-in", "end")
    exchange.node.sessions.end(session.id)
    base_url = exchange.node.settings.base_url
    answer.headers.append("Set-Cookie", clearing(session_cookie(base_url), base_url))
    return answer


async def listed(request: Request) -> Response:
    """The sessions of whoever has signed in; for an administrator those of all people of the organisation."""
    exchange = exchange_of(request)
    caller, session = exchange.signed_in()
    sessions = exchange.node.sessions
    found = sessions.of_organisation(caller.organisation) if _administers(caller) else sessions.of_user(caller.user) if caller.user else [session]
    items = [{**_told(exchange.node, each), "isCurrent": each.id == session.id} for each in found]
    return json_response({"items": items}, headers=NOT_STORED)


async def end(request: Request) -> Response:
    """Ends a session at once: one's own, or for an administrator one of the organisation's people."""
    exchange = exchange_of(request)
    caller, own = exchange.signed_in()
    session = exchange.node.sessions.get(request.path_params["id"])
    if session is None or not (session.id == own.id or (caller.user and session.user == caller.user) or (_administers(caller) and session.organisation == caller.organisation)):
        raise NotFound("not-found", "no such session for this caller")
    noted_of(request).signed("sign-in", "end")
    exchange.node.sessions.end(session.id)
    return Response(status_code=204, headers=NOT_STORED)


def _administers(caller: Caller) -> bool:
    return caller.user_role is UserRole.ADMINISTRATOR


def _told(node: Node, session: Session) -> dict[str, Any]:
    base_url = node.settings.base_url
    times = {"began": session.began, "lastUsed": session.used, "ends": session.ends, "idleEnds": session.idle_ends}
    return {
        "id": f"{base_url}/sessions/{session.id}",
        **({"applicant": session.applicant.email} if session.applicant else _who(base_url, session)),
        "provider": session.provider,
        **{name: stamp(instant) for name, instant in times.items()},
    }


def _who(base_url: str, session: Session) -> dict[str, str]:
    return {"user": f"{base_url}/users/{session.user}", "organisation": f"{base_url}/organisations/{session.organisation}"}


ROUTES = (
    ("/signin", begin, "GET"),
    ("/signin/callback", callback, "GET"),
    ("/session", own, "GET"),
    ("/session", leave, "DELETE"),
    ("/session/end", end_own, "POST"),
    ("/sessions", listed, "GET"),
    ("/sessions/{id:record}", end, "DELETE"),
)
