"""Credentials over HTTP: the token endpoint, proofs, and what becomes of a participant whose standing changes."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwk, jwt

from fmar_node.cli.participate import onboard
from fmar_node.client import ASSERTION_KIND, EXCHANGE, Profile, connect, new_key, public_part, thumbprint
from tests.live import LD_JSON, Live
from tests.market import organisation

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@dataclass
class Hand:
    """A participant that makes its assertions and proofs by hand, right or wrong."""

    live: Live
    profile: Profile

    def signed(self, header: dict[str, Any], claims: dict[str, Any], key: dict[str, Any] | None = None) -> str:
        return jwt.encode({"alg": "ES256", **header}, claims, jwk.import_key(key or self.profile.key), algorithms=["ES256"])

    def assertion(self, **changes: Any) -> str:
        now, name = int(time.time()), self.profile.client_id
        claims = {"iss": name, "sub": name, "aud": self.live.url, "iat": now, "exp": now + 60, "jti": secrets.token_hex(8), **changes}
        return self.signed({"kid": thumbprint(self.profile.key)}, claims)

    def proof(self, method: str, path: str, token: str = "", key: dict[str, Any] | None = None, **changes: Any) -> str:
        claims = {"htm": method, "htu": self.live.url + path, "iat": int(time.time()), "jti": secrets.token_hex(8)}
        if token:
            claims["ath"] = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        header = {"typ": "dpop+jwt", "jwk": public_part(key or self.profile.key)}
        return self.signed(header, {**claims, **changes}, key)

    def ask_token(self, proof: str = "", **changes: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_KIND, "client_assertion": self.assertion(), **changes}
        headers = {"DPoP": proof or self.proof("POST", "/oauth/token")}
        return self.live.client().post("/oauth/token", data=form, headers=headers)

    def token(self) -> str:
        response = self.ask_token()
        assert response.status_code == 200, response.text
        return str(response.json()["access_token"])

    def get(self, path: str, token: str, proof: str, **headers: str) -> httpx.Response:
        return self.live.client().get(path, headers={"Authorization": f"DPoP {token}", "DPoP": proof, **headers})


@pytest.fixture
def hand(live: Live) -> Hand:
    return Hand(live, live.profiles["fsp-a"])


def newcomer(live: Live, *roles: str) -> tuple[str, Profile]:
    """An organisation that only this test knows."""
    name = f"newcomer-{next(live.serials)}"
    return name, onboard(live.profiles["operator"], name, organisation(name, list(roles) or ["FSP"]), live.folder / "participants" / name)


def challenge(response: httpx.Response) -> str:
    assert response.status_code == 401, response.text
    return response.headers["WWW-Authenticate"]


# -- the token endpoint


def test_a_token_is_short_lived_bound_and_not_stored(hand: Hand) -> None:
    response = hand.ask_token()

    given = response.json()
    assert (given["token_type"].lower(), 0 < given["expires_in"] <= 600) == ("dpop", True)
    assert response.headers["Cache-Control"] == "no-store"
    assert hand.get("/assets", given["access_token"], hand.proof("GET", "/assets", given["access_token"])).status_code == 200


def test_a_token_is_verified_with_the_published_keys(hand: Hand) -> None:
    token = hand.token()
    keys = jwk.KeySet.import_key_set(hand.live.client().get("/oauth/jwks").json())

    found = jwt.decode(token, keys, algorithms=["ES256"])

    assert found.header["typ"] == "at+jwt"
    assert (found.claims["iss"], found.claims["aud"], found.claims["sub"]) == (hand.live.url, hand.live.url, hand.profile.organisation)
    assert found.claims["cnf"]["jkt"] == thumbprint(hand.profile.key)


@pytest.mark.parametrize(("changes", "status", "word"), [
    ({"grant_type": "password"}, 400, "unsupported_grant_type"), ({"grant_type": ""}, 400, "unsupported_grant_type"),
    ({"client_assertion": "x"}, 401, "invalid_client"), ({"client_assertion": ""}, 401, "invalid_client"),
    ({"client_assertion_type": "x"}, 401, "invalid_client"), ({"scope": "everything"}, 400, "invalid_scope"),
])  # fmt: skip
def test_a_token_request_is_refused_in_the_words_of_oauth(hand: Hand, changes: dict[str, str], status: int, word: str) -> None:
    response = hand.ask_token(**changes)

    assert (response.status_code, response.json()["error"]) == (status, word)
    assert response.headers["Content-Type"] == "application/json"
    assert response.json()["error_description"]


@pytest.mark.parametrize("changes", [
    {"aud": "http://other.example"}, {"iss": "nobody", "sub": "nobody"}, {"sub": "fsp-b"}, {"exp": 1}, {"iat": 9999999999, "exp": 9999999999}, {"exp": None},
])  # fmt: skip
def test_an_assertion_that_is_not_of_this_client_for_this_node_now_is_refused(hand: Hand, changes: dict[str, Any]) -> None:
    response = hand.ask_token(client_assertion=hand.assertion(**changes))

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


def test_an_assertion_counts_once(hand: Hand) -> None:
    assertion = hand.assertion()

    first, second = hand.ask_token(client_assertion=assertion), hand.ask_token(client_assertion=assertion)

    assert (first.status_code, second.status_code, second.json()["error"]) == (200, 401, "invalid_client")


def test_a_token_request_has_a_proof_for_this_url(hand: Hand) -> None:
    response = hand.ask_token(hand.proof("POST", "/assets"))

    assert (response.status_code, response.json()["error"]) == (400, "invalid_dpop_proof")
    assert f"{hand.live.url}/oauth/token" in response.json()["error_description"]


@pytest.mark.parametrize("sent", [
    {}, {"json": {}}, {"content": b"grant_type=a&grant_type=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    {"data": {"grant_type": "x" * 40_000}}, {"content": b"%ff=1", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    {"data": {f"p{number}": "1" for number in range(100)}},
])  # fmt: skip
def test_a_token_request_that_is_none_is_400(live: Live, sent: dict[str, Any]) -> None:
    response = live.client().post("/oauth/token", **sent)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_the_metadata_lead_from_the_challenge_to_a_token(live: Live) -> None:
    told = challenge(live.client().post("/assets", json={}))
    where = told.split('resource_metadata="')[1].split('"')[0]

    resource = live.client().get(where).json()
    server = live.client().get(f"{resource['authorization_servers'][0]}/.well-known/oauth-authorization-server").json()

    assert resource["resource"] == live.url == server["issuer"]
    assert resource["dpop_bound_access_tokens_required"] is True and resource["bearer_methods_supported"] == []
    assert server["token_endpoint"] == live.profiles["fsp-a"].token_endpoint
    assert server["grant_types_supported"] == ["client_credentials", EXCHANGE] and server["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]


def test_the_published_keys_are_public(live: Live) -> None:
    response = live.client().get("/oauth/jwks")

    keys = response.json()["keys"]
    assert keys and not [key for key in keys if PRIVATE & set(key)]
    assert response.headers["Content-Type"] == "application/jwk-set+json"


# -- requests


@pytest.mark.parametrize(("method", "path"), [
    ("POST", "/assets"), ("POST", "/assets/batch"), ("GET", "/assets/export"), ("POST", "/organisations"),
    ("PUT", "/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"), ("PATCH", "/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"),
    ("POST", "/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11/deregistration"), ("POST", "/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11/approval"),
])  # fmt: skip
def test_whoever_writes_without_a_credential_is_told_how_to_get_one(live: Live, method: str, path: str) -> None:
    response = live.client().request(method, path)

    told = challenge(response)
    assert told.startswith("DPoP ") and "ES256" in told and "oauth-protected-resource" in told
    assert "error=" not in told
    assert response.json()["code"] == "credential-missing"


def test_a_proof_counts_once(hand: Hand) -> None:
    token = hand.token()
    proof = hand.proof("GET", "/assets", token)

    first, second = hand.get("/assets", token, proof), hand.get("/assets", token, proof)

    assert first.status_code == 200
    assert 'error="invalid_dpop_proof"' in challenge(second)


@pytest.mark.parametrize("changes", [
    {"htu": "http://other.example/assets"}, {"htm": "POST"}, {"ath": "x"}, {"iat": 1}, {"iat": 9999999999}, {"jti": ""}, {"jti": None}, {"htu": "/assets"},
    {"htu": "%"}, {"htu": ["x"]}, {"jti": "x" * 300},
])  # fmt: skip
def test_a_proof_for_something_else_is_refused(hand: Hand, changes: dict[str, Any]) -> None:
    token = hand.token()

    response = hand.get("/assets", token, hand.proof("GET", "/assets", token, **changes))

    assert 'error="invalid_dpop_proof"' in challenge(response)
    assert response.json()["code"] == "invalid-dpop-proof"


def test_a_proof_for_another_url_is_told_the_expected_one(hand: Hand) -> None:
    token = hand.token()

    response = hand.get("/assets?managed=me", token, hand.proof("GET", "/organisations", token))

    assert f"htu must be {hand.live.url}/assets" in response.json()["detail"]


def test_the_host_header_does_not_say_which_url_it_is(hand: Hand) -> None:
    token = hand.token()

    spoofed = hand.get("/assets", token, hand.proof("GET", "/assets", token, htu="http://evil.example/assets"), Host="evil.example")
    proxied = hand.get("/assets", token, hand.proof("GET", "/assets", token), Host="evil.example")

    assert (spoofed.status_code, proxied.status_code) == (401, 200)


def test_a_stolen_token_is_worth_nothing_without_its_key(hand: Hand) -> None:
    token = hand.token()

    response = hand.get("/assets", token, hand.proof("GET", "/assets", token, key=new_key()))

    assert 'error="invalid_token"' in challenge(response)
    assert token not in response.text + str(response.headers)


def test_a_bearer_token_is_refused(hand: Hand) -> None:
    response = hand.live.client().get("/assets", headers={"Authorization": f"Bearer {hand.token()}"})

    assert 'error="invalid_token"' in challenge(response)


@pytest.mark.parametrize("header", ["DPoP", "DPoP x", "Basic YTpi", "DPoP a.b.c", "DPoP " + "x" * 20_000, "", "DPoP a b", "DPoP é".encode("latin-1"), "dpop ..", "Bearer"])
def test_a_credential_that_is_none_is_401_on_reads_too(live: Live, header: Any) -> None:
    response = live.client().get("/assets", headers={"Authorization": header, "DPoP": "x"})

    assert 'error="' in challenge(response)


@pytest.mark.parametrize("name", ["Authorization", "DPoP"])
def test_a_header_that_stands_twice_is_refused(hand: Hand, name: str) -> None:
    token = hand.token()
    sent = [("Authorization", f"DPoP {token}"), ("DPoP", hand.proof("GET", "/assets", token))]

    response = hand.live.client().get("/assets", headers=[*sent, next(pair for pair in sent if pair[0] == name)])

    assert "there are 2" in response.json()["detail"]
    assert response.status_code == 401


def test_a_proof_alone_is_no_credential(hand: Hand) -> None:
    response = hand.live.client().get("/assets", headers={"DPoP": hand.proof("GET", "/assets")})

    assert (response.status_code, len(response.json()["items"])) == (200, len(hand.live.client().get("/assets").json()["items"]))


# -- standing


def test_a_revoked_key_is_refused_on_the_very_next_request(live: Live) -> None:
    """A12: over HTTP."""
    name, profile = newcomer(live)
    with connect(profile) as client:
        assert client.get("/assets").status_code == 200
        note = {"clientId": name, "keyId": thumbprint(profile.key)}
        assert live.client("operator").post(f"{profile.organisation}/key-revocation", json=note, headers=LD_JSON).status_code == 200

        with pytest.raises(httpx.HTTPError, match="401"):
            client.get("/assets")


def test_the_token_of_a_revoked_key_dies_with_it(live: Live) -> None:
    name, profile = newcomer(live)
    hand = Hand(live, profile)
    token = hand.token()
    live.client("operator").post(f"{profile.organisation}/key-revocation", json={"clientId": name}, headers=LD_JSON)

    response = hand.get("/assets", token, hand.proof("GET", "/assets", token))

    assert 'error="invalid_token"' in challenge(response)
    assert "revoked" in response.json()["detail"]


def test_a_new_key_works_beside_the_old_one_until_that_is_revoked(live: Live, tmp_path: Path) -> None:
    name, profile = newcomer(live)
    key = new_key("Ed25519")
    note = {"clientId": name, "publicKey": json.dumps(public_part(key))}
    with connect(profile) as client:
        assert client.post(f"{profile.organisation}/key-registration", json=note, headers=LD_JSON).status_code == 200
        assert client.get("/assets").status_code == 200

    with connect(Profile(live.url, live.url, profile.token_endpoint, name, profile.organisation, key)) as client:
        assert client.get("/assets").status_code == 200


def test_anothers_key_cannot_be_registered(live: Live) -> None:
    _, profile = newcomer(live)
    note = {"clientId": f"thief-{next(live.serials)}", "publicKey": json.dumps(public_part(live.profiles["fsp-a"].key))}

    with connect(profile) as client:
        response = client.post(f"{profile.organisation}/key-registration", json=note, headers=LD_JSON)

    assert (response.status_code, response.json()["errors"][0]["code"]) == (409, "ORGANISATION-KEY-4")


def test_a_suspended_organisation_reads_and_does_not_write(live: Live) -> None:
    _, profile = newcomer(live)
    with connect(profile) as client:
        made = client.post("/assets", json=live.battery(), headers=LD_JSON)
        live.client("operator").post(f"{profile.organisation}/suspension")

        read, written = client.get(made.headers["Location"]), client.post("/assets", json=live.battery(), headers=LD_JSON)
        ended = client.post(f"{made.headers['Location']}/deregistration", json={"deregistrationReason": "ERROR"})
        live.client("operator").post(f"{profile.organisation}/reinstatement")
        again = client.post("/assets", json=live.battery(), headers=LD_JSON)

    assert (read.status_code, read.json()) == (200, made.json())
    assert (written.status_code, written.json()["errors"][0]["code"]) == (403, "ASSET-REGISTER-1")
    assert (ended.status_code, again.status_code) == (403, 201)


def test_a_withdrawn_organisation_is_a_stranger_at_once(live: Live) -> None:
    _, profile = newcomer(live, "REGULATOR")
    hand = Hand(live, profile)
    token = hand.token()
    assert live.client("operator").post(f"{profile.organisation}/deregistration").status_code == 200

    response = hand.get("/assets", token, hand.proof("GET", "/assets", token))

    assert 'error="invalid_token"' in challenge(response)
    assert hand.ask_token().status_code == 401


def test_an_organisation_with_live_assets_cannot_leave(live: Live) -> None:
    _, profile = newcomer(live)
    with connect(profile) as client:
        client.post("/assets", json=live.battery(), headers=LD_JSON)

        response = client.post(f"{profile.organisation}/deregistration")

        assert (response.status_code, response.json()["errors"][0]["code"]) == (409, "LIVE_ASSETS")
        assert client.get("/assets", params={"managed": "me"}).json()["items"]


@pytest.mark.parametrize(("name", "action", "code"), [
    ("fsp-a", "approval", "ORGANISATION-APPROVE-1"), ("fsp-a", "suspension", "ORGANISATION-SUSPEND-1"), ("regulator", "reinstatement", "ORGANISATION-REINSTATE-1"),
    ("fsp-a", "deregistration", "ORGANISATION-DEREGISTER-2"), ("dso-east", "key-registration", "ORGANISATION-KEY-2"), ("platform", "key-revocation", "ORGANISATION-KEY-2"),
])  # fmt: skip
def test_what_is_the_operators_is_refused_to_others_by_its_policy(live: Live, name: str, action: str, code: str) -> None:
    target = live.profiles["fsp-b"].organisation

    response = live.client(name).post(f"{target}/{action}", json={}, headers=LD_JSON)

    assert (response.status_code, response.json()["errors"][0]["code"]) == (403, code)


@pytest.mark.parametrize("name", ["dso-east", "neso", "regulator", "platform", "operator"])
def test_only_a_provider_registers_assets(live: Live, name: str) -> None:
    response = live.client(name).post("/assets", json=live.battery(), headers=LD_JSON)

    assert (response.status_code, response.json()["errors"][0]["code"]) == (403, "ASSET-REGISTER-1")


def test_only_the_operator_registers_organisations(live: Live) -> None:
    response = live.client("fsp-a").post("/organisations", json=organisation("Mine", ["FMAR_OPERATOR"]), headers=LD_JSON)

    assert (response.status_code, response.json()["errors"][0]["code"]) == (403, "ORGANISATION-REGISTER-1")


def test_nobody_makes_itself_the_operator(live: Live) -> None:
    _, profile = newcomer(live)
    with connect(profile) as client:
        own = client.get(profile.organisation)

        response = client.patch(
            profile.organisation, content=b'{"organisationRoles": ["FMAR_OPERATOR"]}',
            headers={"Content-Type": "application/merge-patch+json", "If-Match": own.headers["ETag"]},
        )  # fmt: skip

    assert (response.status_code, response.json()["errors"][0]["code"]) == (422, "ORGANISATION-UPDATE-3")
