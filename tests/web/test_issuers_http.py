"""External issuers, status lists and signing keys that change, over HTTP at a node of their own (A11, A12, A13)."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from fmar_node.access.key import public_key
from fmar_node.access.status import read_status_list
from fmar_node.client import FmarAuth, Profile, connect, new_key, public_part
from fmar_node.settings import Settings
from tests.issuing import Authority, signed
from tests.live import LD_JSON, Live
from tests.web.test_credentials_http import Hand, challenge, newcomer

PEOPLE: dict[str, dict[str, Any]] = {"fsp-a": {"roles": ["FSP"]}, "platform": {"roles": ["PLATFORM"]}}


@dataclass
class Abroad:
    """A node, two directories that it trusts, of which one answers nobody, and an application that only they know."""

    live: Live
    directory: Authority
    silent: Authority
    key: dict[str, Any] = field(default_factory=new_key)

    @property
    def subject(self) -> str:
        return self.live.profiles["fsp-a"].organisation

    def token(self, subject: str = "", **changes: Any) -> str:
        return self.directory.token(subject or self.subject, self.key, **changes)

    def send(self, method: str, path: str, token: str, **options: Any) -> httpx.Response:
        ath = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        claims = {"htm": method, "htu": self.live.url + path, "iat": int(time.time()), "jti": secrets.token_hex(8), "ath": ath}
        proof = signed(claims, self.key, typ="dpop+jwt", kid=None, jwk=public_part(self.key))
        headers = {"Authorization": f"DPoP {token}", "DPoP": proof, **options.pop("headers", {})}
        return self.live.client().request(method, path, headers=headers, **options)

    def get(self, token: str, path: str = "/assets?managed=me") -> httpx.Response:
        path, _, query = path.partition("?")
        return self.send("GET", path, token, params=query)


@pytest.fixture(scope="module")
def abroad(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abroad]:
    with Authority() as directory, Authority() as silent:
        silent.is_down = True
        entries = [directory.entry(organisation_alias="DIRECTORY", subject_prefix="https://directory.example/"), silent.entry()]
        live = Live(tmp_path_factory.mktemp("abroad"), PEOPLE, FMAR_ISSUERS=json.dumps(entries), FMAR_SIGNING_KEY_SECONDS="1")
        directory.audience = silent.audience = live.url
        with live:
            yield Abroad(live, directory, silent)


# -- tokens of others


def test_a_token_of_a_trusted_issuer_reads_and_writes_for_its_organisation(abroad: Abroad) -> None:
    made = abroad.send("POST", "/assets", abroad.token(), json=abroad.live.battery(), headers=LD_JSON)

    assert made.status_code == 201, made.text
    iri = made.headers["Location"]
    assert iri in [item["id"] for item in abroad.get(abroad.token()).json()["items"]]
    assert abroad.live.client("fsp-a").get(iri).status_code == 200


def test_roles_come_from_the_register_and_never_from_the_token(abroad: Abroad) -> None:
    token = abroad.token(roles=["FMAR_OPERATOR", "operator"], entitlements=["*"], scope="admin")

    refused = abroad.send("POST", "/organisations", token, json={"type": "Organisation"}, headers=LD_JSON)

    assert refused.status_code in (403, 422), refused.text
    assert "ORGANISATION-REGISTER-1" in refused.text


def test_log_and_history_say_on_whose_word_somebody_is_who_it_is(abroad: Abroad) -> None:
    made = abroad.send("POST", "/assets", abroad.token(), json=abroad.live.battery(), headers=LD_JSON)
    assert made.status_code == 201, made.text

    by = abroad.live.client("operator").get(f"{made.headers['Location']}/history").json()["items"][0]["by"]
    deadline = time.monotonic() + 10
    while not (lines := [line for line in abroad.live.client("operator").get("/security-log?event=write&limit=20").json()["items"] if line["request"] == made.headers["Fmar-Request-Id"]]):
        assert time.monotonic() < deadline
    assert by["issuer"] == lines[0]["issuer"] and by["issuer"].startswith("http")


def test_an_alias_is_entered_by_the_operator_alone_and_then_names_the_organisation(abroad: Abroad) -> None:
    live, (_, profile) = abroad.live, newcomer(abroad.live)
    name = f"org-{next(live.serials)}"
    token = abroad.token(f"https://directory.example/{name}")
    alias = {"alias": [{"scheme": "DIRECTORY", "value": name}]}
    assert "has a sub" in abroad.get(token).json()["detail"]

    with connect(profile, patience=0) as client:
        own = change(client, profile.organisation, alias)
    assert (own.status_code, own.json()["errors"][0]["code"]) == (422, "ORGANISATION-UPDATE-3")
    assert change(live.client("operator"), profile.organisation, alias).status_code == 200

    assert abroad.get(token).status_code == 200
    assert change(live.client("operator"), abroad.subject, alias).json()["errors"][0]["code"] == "ORG_ALREADY_REGISTERED"


def change(client: httpx.Client, iri: str, terms: dict[str, Any]) -> httpx.Response:
    tag = client.get(iri).headers["ETag"]
    return client.patch(iri, json=terms, headers={"Content-Type": "application/merge-patch+json", "If-Match": tag})


def test_a12_an_organisation_that_leaves_takes_its_foreign_tokens_along(abroad: Abroad) -> None:
    """A12: at the very next request."""
    _, profile = newcomer(abroad.live)
    token = abroad.token(profile.organisation)
    assert abroad.get(token).status_code == 200

    assert abroad.live.client("operator").post(f"{profile.organisation}/deregistration").status_code == 200

    assert "not admitted" in abroad.get(token).json()["detail"]


def test_a14_an_actor_needs_a_delegation_here(abroad: Abroad) -> None:
    """A14: what the issuer says of it is not enough."""
    platform = abroad.live.profiles["platform"].organisation
    token = abroad.token(act={"sub": platform})
    assert "delegation" in abroad.get(token).json()["detail"]

    document = {"type": "Delegation", "delegate": platform, "permission": ["READ"], "assetScope": "ALL_ASSETS", "validTo": "2099-01-01"}
    made = abroad.live.client("fsp-a").post("/delegations", json=document, headers=LD_JSON)
    assert abroad.live.client("platform").post(f"{made.headers['Location']}/acceptance").status_code == 200

    assert abroad.get(token).status_code == 200
    assert abroad.send("POST", "/assets", token, json=abroad.live.battery(), headers=LD_JSON).status_code == 403


def test_a11_a_flood_over_http_asks_the_issuer_once(abroad: Abroad) -> None:
    """A11: connections are counted where they arrive."""
    assert abroad.get(abroad.token()).status_code == 200
    before = abroad.directory.connections
    tokens = [abroad.token(header={"kid": f"k{number}"}) for number in range(200)]

    with ThreadPoolExecutor(10) as pool:
        statuses = Counter(response.status_code for response in pool.map(abroad.get, tokens))

    assert statuses == {401: 200}
    assert abroad.directory.connections - before <= 1


def test_a13_while_an_issuer_has_never_answered_its_tokens_are_503(abroad: Abroad) -> None:
    """A13: not 200, and not a 401 that would send the client for another token; the node's own go on."""
    response = abroad.get(abroad.silent.token(abroad.subject, abroad.key))

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert abroad.live.client("fsp-a").get("/assets").status_code == 200
    assert abroad.live.client().get("/readyz").status_code == 200
    assert "was not read from" in abroad.live.log.read_text()


def test_a12_a_token_that_its_issuer_has_taken_back_is_refused(abroad: Abroad) -> None:
    """A12: by the issuer's own list."""
    abroad.directory.statuses[5] = 1

    taken_back, good = (abroad.get(abroad.token(status=abroad.directory.place(index))) for index in (5, 6))

    assert "revoked" in challenge(taken_back)
    assert good.status_code == 200


def test_a13_a_list_that_cannot_be_read_is_503(abroad: Abroad) -> None:
    """A13: it fails closed."""
    response = abroad.get(abroad.token(status=abroad.directory.place(0, uri=f"{abroad.directory.url}/lists/none")))

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")


def test_the_metadata_name_the_issuers(abroad: Abroad) -> None:
    said = abroad.live.client().get("/.well-known/oauth-protected-resource").json()

    assert said["authorization_servers"] == [abroad.live.url, abroad.directory.url, abroad.silent.url]
    assert said["dpop_bound_access_tokens_required"] is True


# -- the node's own list


def own_list(live: Live) -> Any:
    """As somebody else reads it: by the published keys."""
    keys = {each["kid"]: public_key(each) for each in live.client().get("/oauth/jwks").json()["keys"]}
    uri = f"{live.url}/oauth/status/1"
    return read_status_list(live.client().get(uri).content, uri, Settings(), time.time(), None, lambda kid: keys[str(kid)])


def place(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["status"]["status_list"]
    return found


def test_a12_a_revoked_key_is_in_the_list_that_its_tokens_name(live: Live) -> None:
    """A12: whoever else is shown such a token learns of it at once here, and within its ttl elsewhere."""
    (name, profile), other = newcomer(live), live.profiles["fsp-a"]
    mine, others = (place(Hand(live, each).token()) for each in (profile, other))
    assert mine["uri"] == f"{live.url}/oauth/status/1"
    assert [own_list(live).status(each["idx"]) for each in (mine, others)] == [0, 0]

    live.client("operator").post(f"{profile.organisation}/key-revocation", json={"clientId": name}, headers=LD_JSON)

    assert [own_list(live).status(each["idx"]) for each in (mine, others)] == [1, 0]


def test_the_list_may_be_kept_for_half_a_minute(live: Live) -> None:
    first = live.client().get("/oauth/status/1")
    again = live.client().get("/oauth/status/1", headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, first.headers["Content-Type"], first.headers["Cache-Control"]) == (200, "application/statuslist+jwt", "public, max-age=30")
    assert (again.status_code, again.content) == (304, b"")


# -- signing keys


def test_signing_keys_change_under_load_and_no_request_fails(abroad: Abroad) -> None:
    """Eight clients, each with tokens of its own, old and new, through two changes of the key."""
    live, statuses, kids, is_over = abroad.live, Counter[int](), set[str](), threading.Event()

    def work(profile: Profile) -> None:
        with httpx.Client(base_url=live.url, trust_env=False, verify=False, timeout=60) as client:
            while not is_over.wait(0.05):
                auth = FmarAuth(profile)  # a new token
                for _ in range(5):
                    response = client.get("/assets", params={"limit": 1}, auth=auth)
                    statuses[response.status_code] += 1
                kids.add(kid_of(response.request.headers["Authorization"]))

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(work, live.profiles["fsp-a"]) for _ in range(8)]
        try:
            rotate(live)
            newest, deadline = rotate(live), time.monotonic() + 30
            while newest not in kids and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            is_over.set()
        for each in running:
            each.result()

    assert statuses.keys() == {200}
    assert statuses[200] > 100
    published = [each["kid"] for each in live.client().get("/oauth/jwks").json()["keys"]]
    assert len(published) == 3
    assert kids <= set(published)
    assert len(kids) > 1
    assert newest in kids
    assert live.client().get("/oauth/jwks").headers["Cache-Control"] == "public, max-age=1"


def rotate(live: Live) -> str:
    """The name of the new key."""
    time.sleep(0.3)
    command = [sys.executable, "-m", "fmar_node.cli", "key", "rotate-signing", "--data", str(live.folder)]
    rotated = subprocess.run(command, capture_output=True, text=True, check=False, env=live.environment)
    assert rotated.returncode == 0, rotated.stdout + rotated.stderr
    return rotated.stdout.split("made the signing key ")[1].split(";")[0]


def kid_of(authorization: str) -> str:
    head = authorization.removeprefix("DPoP ").partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])
