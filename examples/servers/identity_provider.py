"""A small OpenID Connect provider for trying things out: people sign in by pressing a button with their name. Never for service.

    python examples/servers/identity_provider.py --port 9001 --people people.json

`people.json` is a list of people: `[{"sub": "1", "name": "Ada", "email": "ada@example.org"}, ...]`; `"email_verified": false` makes
an address that nobody has checked. With `--client` and `--redirect-uri` only that client is served (otherwise any on this machine), with `--secret-file` it has to
authenticate. Authorization code with PKCE (S256) only; `login_hint=` with a `sub` or an address presses the button, for scripts.
`POST /rotate` makes a new signing key; with `?forget=true` the old ones are no longer published.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import html
import json
import secrets
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from joserfc import jwk, jwt

HERE = ("127.0.0.1", "localhost")
"""Where a redirect may lead unless one redirect_uri is given."""
CODE_SECONDS, TOKEN_SECONDS = 60, 300
Answer = tuple[int, dict[str, str], bytes]


class Refusal(Exception):
    """A request that is not served; `word` is that of RFC 6749."""

    def __init__(self, word: str, detail: str = "") -> None:
        super().__init__(word, detail)
        self.word, self.detail = word, detail


@dataclass
class Code:
    """An authorization code: for whom, and what was asked with it."""

    person: dict[str, Any]
    asked: dict[str, str]
    issued: float = field(default_factory=time.time)


class Provider:
    """The provider itself. Whoever wants another one (with faults, say) overrides `claims` or `signed`."""

    def __init__(self, issuer: str, people: list[dict[str, Any]], client: str = "", redirect_uri: str = "", secret: str = "") -> None:
        self.issuer, self.people = issuer, people
        self.client, self.redirect_uri, self.secret = client, redirect_uri, secret
        self.codes: dict[str, Code] = {}
        self.keys: list[dict[str, Any]] = []
        self.rotate()

    def rotate(self, forget: bool = False) -> None:
        """A new key signs from now on."""
        key = jwk.generate_key("EC", "P-256", auto_kid=True)
        self.keys = [*([] if forget else self.keys), {**key.as_dict(private=True), "alg": "ES256", "use": "sig"}]

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{name: value for name, value in key.items() if name != "d"} for key in self.keys]}

    # -- the page, and the way back

    def authorize(self, asked: dict[str, str]) -> Answer:
        """A page with a button for each person; where `login_hint` names one, as if it had been pressed."""
        is_known = asked.get("client_id") == self.client if self.client else bool(asked.get("client_id"))
        place = asked.get("redirect_uri", "")
        is_place = place == self.redirect_uri if self.redirect_uri else place.isprintable() and urlsplit(place).hostname in HERE
        if not (is_known and is_place):
            raise Refusal("invalid_request", "unknown client_id, or another redirect_uri than its own")
        if asked.get("response_type") != "code" or "openid" not in asked.get("scope", "").split():
            return self.back(asked, error="invalid_request")
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            return self.back(asked, error="invalid_request")
        hint = asked.get("login_hint")
        person = next((each for each in self.people if hint and hint in (each["sub"], each.get("email"))), None)
        if hint == "nobody":
            return self.back(asked, error="access_denied")
        if person is None:
            return 200, {"Content-Type": "text/html; charset=utf-8"}, self.page(asked).encode()
        code = secrets.token_urlsafe(24)
        self.codes[code] = Code(person, asked)
        return self.back(asked, code=code)

    def back(self, asked: dict[str, str], **said: str) -> Answer:
        """The browser is sent back to the client, with `state` and `iss` (RFC 9207)."""
        parameters = {**said, **({"state": asked["state"]} if "state" in asked else {}), "iss": self.issuer}
        return 302, {"Location": f"{asked['redirect_uri']}?{urlencode(parameters)}"}, b""

    def page(self, asked: dict[str, str]) -> str:
        def button(person: dict[str, Any]) -> str:
            hidden = {**asked, "login_hint": person["sub"]}
            fields = "".join(f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">' for name, value in hidden.items())
            return f'<form action="/authorize">{fields}<p><button>{html.escape(person.get("name", person["sub"]))}</button></p></form>'

        buttons = "".join(map(button, self.people))
        return f'<!doctype html><html lang="en"><title>Who are you?</title><h1>Who are you?</h1>{buttons}</html>'

    # -- the token

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any]:
        """An ID token for a code, once, to the client that asked for it (RFC 6749, section 4.1.3; RFC 7636, section 4.6)."""
        if form.get("grant_type") != "authorization_code":
            raise Refusal("unsupported_grant_type")
        client = self.authenticated(form, authorization)
        code = self.codes.pop(form.get("code", ""), None)
        if code is None or time.time() - code.issued > CODE_SECONDS:
            raise Refusal("invalid_grant", "no such code")
        if (client, form.get("redirect_uri")) != (code.asked["client_id"], code.asked["redirect_uri"]):
            raise Refusal("invalid_grant", "the code was given to another client")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.asked["code_challenge"]:
            raise Refusal("invalid_grant", "the code_verifier is another one")
        token = self.signed(self.claims(code))
        return {"id_token": token, "access_token": secrets.token_urlsafe(24), "token_type": "Bearer", "expires_in": TOKEN_SECONDS}

    def authenticated(self, form: dict[str, str], authorization: str) -> str:
        name, secret = form.get("client_id", ""), form.get("client_secret", "")
        if authorization.startswith("Basic "):
            name, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            name, secret = unquote(name), unquote(secret)
        if self.secret and not hmac.compare_digest(secret.encode(), self.secret.encode()):
            raise Refusal("invalid_client")
        return name

    def claims(self, code: Code) -> dict[str, Any]:
        """What the ID token says."""
        now = int(time.time())
        told: dict[str, Any] = {name: code.person[name] for name in ("sub", "name", "email") if name in code.person}
        verified = {"email_verified": code.person.get("email_verified", True)} if "email" in told else {}
        about = {"iss": self.issuer, "aud": code.asked["client_id"], "iat": now, "exp": now + TOKEN_SECONDS, "auth_time": now, "amr": ["pwd"]}
        nonce = {"nonce": code.asked["nonce"]} if "nonce" in code.asked else {}
        return {**about, **told, **verified, **nonce}

    def signed(self, claims: dict[str, Any]) -> str:
        key = self.keys[-1]
        return jwt.encode({"alg": "ES256", "kid": key["kid"]}, claims, jwk.import_key(key), algorithms=["ES256"])

    # -- HTTP

    def answer(self, method: str, target: str, body: bytes, authorization: str) -> Answer:
        parts = urlsplit(target)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        path = parts.path.removeprefix(urlsplit(self.issuer).path)
        try:
            match method, path:
                case "GET", "/authorize":
                    return self.authorize(asked)
                case "GET", "/.well-known/openid-configuration":
                    found = self.discovery()
                case "GET", "/jwks":
                    found = self.jwks()
                case "POST", "/token":
                    found = self.token(dict(parse_qsl(body.decode())), authorization)
                case "POST", "/rotate":
                    self.rotate(asked.get("forget") == "true")
                    found = self.jwks()
                case _:
                    return as_json(404, {"error": "not_found"})
        except Refusal as refusal:
            return as_json(401 if refusal.word == "invalid_client" else 400, {"error": refusal.word, "error_description": refusal.detail})
        return as_json(200, found)


def as_json(status: int, value: dict[str, Any]) -> Answer:
    return status, {"Content-Type": "application/json", "Cache-Control": "no-store"}, json.dumps(value).encode()


def server_of(provider: Provider, port: int = 0) -> ThreadingHTTPServer:
    """An HTTP server for a provider on loopback; `server_port` says where, `serve_forever` runs it."""

    class Request(BaseHTTPRequestHandler):
        wbufsize = -1

        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            self.reply()

        def reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, answer = provider.answer(self.command, self.path, body, self.headers.get("Authorization", ""))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Nothing: a line would hold codes."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Request)
    server.daemon_threads = True
    return server


def main() -> None:
    parser = argparse.ArgumentParser(description="A small OpenID Connect provider for trying things out.")
    parser.add_argument("--port", type=int, default=9001)
    parser.add_argument("--people", type=Path, required=True, help="JSON: a list of objects with sub, name, email")
    parser.add_argument("--client", default="", help="the only client_id that is served (default: any)")
    parser.add_argument("--redirect-uri", default="", help="its redirect_uri (default: any)")
    parser.add_argument("--secret-file", type=Path, help="file with its secret (default: a public client)")
    given = parser.parse_args()
    people = json.loads(given.people.read_text("utf-8"))
    secret = given.secret_file.read_text("utf-8").strip() if given.secret_file else ""
    provider = Provider(f"http://127.0.0.1:{given.port}", people, given.client, given.redirect_uri, secret)
    server = server_of(provider, given.port)
    print(f"identity provider at {provider.issuer}, Ctrl-C to end", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
