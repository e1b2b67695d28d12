"""The token endpoint: RFC 6749 section 4.4, RFC 7523 section 3, RFC 9449 section 5, RFC 9068, and the metadata."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from fmar_node.access.credential import protected_resource_metadata
from fmar_node.access.token import authorization_server_metadata
from fmar_node.client import new_key, thumbprint
from fmar_node.errors import Malformed, Unauthenticated
from fmar_node.settings import Settings

from .conftest import BASE, ORGANISATION, Desk


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, payload, _ = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(head), json.loads(payload)


def test_a_token_says_who_for_whom_until_when_and_by_which_key(desk: Desk) -> None:
    answer = desk.issue()

    header, claims = _parts(answer.pop("access_token"))
    assert answer == {"token_type": "DPoP", "expires_in": 300, "scope": "fmar"}
    assert header == {"typ": "at+jwt", "alg": "ES256", "kid": desk.keys.jwks[-1]["kid"]}
    assert len(claims.pop("jti")) >= 16
    assert claims == {
        "iss": BASE, "sub": f"{BASE}/organisations/{ORGANISATION}", "aud": BASE, "client_id": "app-a",
        "client_key_id": thumbprint(desk.key), "iat": desk.now, "nbf": desk.now, "exp": desk.now + 300,
        "scope": "fmar", "cnf": {"jkt": thumbprint(desk.key)}, "status": {"status_list": {"idx": 0, "uri": f"{BASE}/oauth/status/1"}},
    }  # fmt: skip


def test_a_token_is_bound_to_the_key_of_the_proof_which_may_be_another_than_the_registered_one(desk: Desk) -> None:
    passing = new_key()

    token = desk.issue(proofs=[desk.proof("POST", desk.token_url, key=passing)])["access_token"]

    assert desk.verify(token, desk.proof(token=token, key=passing)) is not None
    assert "another key" in desk.refusal(token, desk.proof(token=token)).detail


def test_the_settings_say_how_long_a_token_lives(node_keys: Any, clock: Any) -> None:
    desk = Desk(node_keys, new_key(), Settings(token_seconds=60), clock)

    assert desk.issue()["expires_in"] == 60


@pytest.mark.parametrize("audience", [BASE, f"{BASE}/oauth/token"])
def test_an_assertion_for_the_issuer_or_the_endpoint_is_accepted(desk: Desk, audience: str) -> None:
    assert desk.issue(desk.form(client_assertion=desk.assertion(aud=audience)))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": None}, {"aud": f"{BASE}/"}, {"aud": [BASE]}, {"aud": [BASE, "http://other.example"]}, {"aud": "http://other.example"},
        {"iss": "app-b"}, {"sub": "app-b"}, {"iss": None}, {"sub": None}, {"iss": "app-b", "sub": "app-b"}, {"iss": 7, "sub": 7},
        {"iss": "app-a' OR 1=1", "sub": "app-a' OR 1=1"}, {"exp": None}, {"exp": "soon"}, {"exp": 2**53}, {"exp": 10**400}, {"iat": None}, {"iat": "now"}, {"jti": None},
        {"jti": ""}, {"jti": 7}, {"jti": "x" * 300}, {"nbf": "x"},
    ],
    ids=repr,
)  # fmt: skip
def test_an_assertion_that_says_something_else_is_refused(desk: Desk, claims: dict[str, Any]) -> None:
    refused = desk.token_refusal(desk.form(client_assertion=desk.assertion(**claims)))

    assert isinstance(refused, Unauthenticated)
    assert (refused.code, refused.members) == ("invalid-client", {"error": "invalid_client"})
    assert "WWW-Authenticate" in refused.headers
    assert desk.token()


@pytest.mark.parametrize(
    ("times", "is_good"),
    [
        ({"exp": 1}, True), ({"exp": -9}, True), ({"exp": -10}, False), ({"exp": 10**6}, True), ({"iat": -60}, True), ({"iat": -61}, False),
        ({"iat": 10}, True), ({"iat": 11}, False), ({"nbf": 10}, True), ({"nbf": 11}, False),
    ],
)  # fmt: skip
def test_an_assertion_counts_for_a_minute(desk: Desk, clock: Any, times: dict[str, int], is_good: bool) -> None:
    clock.forward(hours=1)
    form = desk.form(client_assertion=desk.assertion(**{name: desk.now + value for name, value in times.items()}))

    if is_good:
        assert desk.issue(form)
    else:
        assert desk.token_refusal(form).code == "invalid-client"


def test_an_assertion_by_an_unregistered_key_is_refused(desk: Desk, app_keys: dict[str, Any]) -> None:
    unknown = desk.assertion(key=app_keys["stranger"])
    renamed = desk.assertion(key=app_keys["stranger"], header={"kid": thumbprint(desk.key)})

    details = {desk.token_refusal(desk.form(client_assertion=each)).detail for each in (unknown, renamed)}
    assert len(details) == 1 and "not registered" in details.pop(), "a stranger learns no names by it"
    assert desk.token()


def test_an_assertion_without_kid_means_the_clients_only_active_key(desk: Desk, app_keys: dict[str, Any]) -> None:
    form = desk.form(client_assertion=desk.assertion(header={"kid": None}))
    assert desk.issue(form)

    desk.directory.register("app-a", app_keys["Ed25519"])

    assert desk.token_refusal(desk.form(client_assertion=desk.assertion(header={"kid": None}))).code == "invalid-client"


def test_a_client_id_beside_the_assertion_must_be_the_same(desk: Desk) -> None:
    assert desk.issue(desk.form(client_id="app-a"))
    assert desk.token_refusal(desk.form(client_id="app-b")).code == "invalid-client"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"grant_type": None}, "invalid_request"), ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"), ({"scope": "admin"}, "invalid_scope"),
        ({"client_assertion_type": None}, "invalid_client"), ({"client_assertion": None}, "invalid_client"),
        ({"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, "invalid_client"),
        ({"client_assertion": "e30.e30.e30"}, "invalid_client"), ({"client_assertion": "x"}, "invalid_client"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_malformed_request_is_refused_in_the_words_of_oauth(desk: Desk, change: dict[str, str | None], word: str) -> None:
    form = {name: value for name, value in {**desk.form(), **change}.items() if value is not None}

    assert desk.token_refusal(form).members == {"error": word}
    assert desk.issue(desk.form(scope="fmar"))


def test_the_token_endpoint_needs_exactly_one_proof_for_itself(desk: Desk) -> None:
    good = [desk.proof("POST", desk.token_url), desk.proof("POST", desk.token_url)]
    refused = [[], good, [desk.proof("GET", desk.token_url)], [desk.proof("POST", desk.url)], [desk.proof("POST", desk.token_url, iat=1)], ["x"]]

    for proofs in refused:
        error = desk.token_refusal(proofs=proofs)
        assert isinstance(error, Malformed)
        assert error.code == "invalid-dpop-proof"
        assert error.members["error"] in ("invalid_dpop_proof", "use_dpop_nonce")
    assert desk.issue(proofs=good[:1])


def test_the_metadata_of_the_authorization_server_has_what_rfc_8414_requires() -> None:
    said = authorization_server_metadata(BASE)

    assert said["issuer"] == BASE
    assert said["token_endpoint"] == f"{BASE}/oauth/token"
    assert said["response_types_supported"] == []
    assert said["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert "ES256" in said["dpop_signing_alg_values_supported"]
    assert not {"none", "HS256", "RS256"} & set(said["token_endpoint_auth_signing_alg_values_supported"])


def test_the_metadata_of_the_resource_has_what_rfc_9728_requires() -> None:
    said = protected_resource_metadata(BASE, "FMAR node")

    assert (said["resource"], said["authorization_servers"]) == (BASE, [BASE])
    assert (said["bearer_methods_supported"], said["dpop_bound_access_tokens_required"]) == ([], True)
