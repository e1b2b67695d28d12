"""Rows A1 to A7, A10 and A12 of the attack catalogue, at the resource: forged, foreign, stale and revoked tokens."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from joserfc import jwk

from fmar_node.access.credential import Credential
from fmar_node.access.key import ApplicationKey
from fmar_node.client import new_key, public_part, thumbprint
from fmar_node.errors import Unauthenticated
from fmar_node.settings import Settings

from .conftest import NOON, ORGANISATION, Desk, b64, check_refusal, compact


def test_an_honest_request_has_a_credential(desk: Desk) -> None:
    token = desk.token()

    credential = desk.verify(token)

    assert isinstance(credential, Credential)
    assert (credential.organisation, credential.client_id, credential.scope) == (ORGANISATION, "app-a", "fmar")
    assert (credential.key_id, credential.actor) == (thumbprint(desk.key), None)
    assert credential.issued_at == NOON
    assert (credential.expires_at - credential.issued_at).total_seconds() == 300


def test_a_forged_token_with_nothing_forged_is_accepted(desk: Desk) -> None:
    assert desk.verify(desk.forged()) is not None


def test_no_authorization_at_all_is_anonymous(desk: Desk) -> None:
    assert desk.verifier.verify("GET", desk.url, [], []) is None


# A1: algorithms


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", "es256", "ES384", "RS256", "HS256", "HS512", "ES256K"])
def test_a1_another_algorithm_is_refused(desk: Desk, name: str) -> None:
    """A1: none in any spelling, HMAC, and whatever else is not on the list, with and without a signature."""
    head, payload, signature = desk.forged().split(".")
    header = json.loads(_decoded(head)) | {"alg": name}

    for tail in (signature, "", b64(b"x")):
        desk.refusal(f"{b64(json.dumps(header).encode())}.{payload}.{tail}")
    assert desk.verify(f"{head}.{payload}.{signature}") is not None


def test_a1_an_hmac_keyed_with_the_public_key_is_refused(desk: Desk) -> None:
    """A1: the public key as a shared secret, in each of its forms."""
    public = jwk.import_key(desk.keys.jwks[-1])
    pems = [public.as_pem(private=False), public.as_der(private=False), json.dumps(desk.keys.public()["keys"][0]).encode()]

    for pem in pems:
        refused = desk.refusal(desk.forged(key={"kty": "oct", "k": b64(pem)}, alg="HS256"))
        assert refused.code == "invalid-token"
    assert desk.verify(desk.forged()) is not None


def test_a1_an_unregistered_key_under_the_right_kid_is_refused(desk: Desk, app_keys: dict[str, Any]) -> None:
    refused = desk.refusal(desk.forged(key=app_keys["stranger"]))

    assert refused.detail == "the access token has a signature that does not hold"
    assert desk.verify(desk.forged()) is not None


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a1_a_token_altered_in_any_part_is_refused(desk: Desk, part: int) -> None:
    token = desk.token()
    parts = token.split(".")
    middle = len(parts[part]) // 2
    parts[part] = parts[part][:middle] + ("A" if parts[part][middle] != "A" else "B") + parts[part][middle + 1 :]

    desk.refusal(".".join(parts), desk.proof(token=".".join(parts)))
    assert desk.verify(token) is not None


def test_a1_trailing_bytes_after_the_signature_are_refused(desk: Desk) -> None:
    token = desk.token()

    for tail in ("A", "AAAA", "=", ".", ".e30"):
        desk.refusal(token + tail)
    assert desk.verify(token) is not None


# A2: keys from outside


class Listener:
    """A socket that counts whoever connects."""

    def __enter__(self) -> Listener:
        self.hits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/keys"
        threading.Thread(target=self._count, daemon=True).start()
        return self

    def _count(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.hits += 1

    def touch(self) -> None:
        port = self._socket.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def test_a2_a_key_or_its_address_in_the_header_is_refused_and_never_fetched(desk: Desk, app_keys: dict[str, Any]) -> None:
    """A2: nobody hears from the node, whatever address a header names."""
    stranger = app_keys["stranger"]
    with Listener() as listener:
        sources = {"jwk": public_part(stranger), "jku": listener.url, "x5u": listener.url, "x5c": ["MIIB"]}
        for name, value in sources.items():
            for key in (stranger, None):
                assert desk.refusal(desk.forged(key=key, **{name: value})).code == "invalid-token"
                proof = desk.proof(key=key, header={"jku": listener.url} if name == "jwk" else {name: value})
                assert desk.refusal(desk.token(), proof).code == "invalid-dpop-proof"
                assertion = desk.assertion(key=key, header={name: value})
                assert desk.token_refusal(desk.form(client_assertion=assertion)).code == "invalid-client"
        seen = listener.hits
        listener.touch()
        _wait_until(lambda: listener.hits == 1)

    assert seen == 0
    assert desk.verify(desk.forged()) is not None


# A3: kid


HOSTILE_KIDS: list[Any] = [
    None, "", "../../../../dev/null", "/etc/passwd", "' OR '1'='1", "x'; DROP TABLE keys;--", "?k } UNION { ?s ?p ?o",
    "file:///dev/null", "A" * 43, "\x00", 0, 1.5, True, [], ["a"], {}, {"kid": 1},
]  # fmt: skip


@pytest.mark.parametrize("kid", HOSTILE_KIDS, ids=repr)
def test_a3_a_hostile_kid_finds_no_key_of_the_node(desk: Desk, kid: Any) -> None:
    """A3: paths, SQL and SPARQL are no key of the node."""
    assert desk.refusal(desk.forged(kid=kid)).code == "invalid-token"
    assert desk.verify(desk.forged()) is not None


@pytest.mark.parametrize("kid", [each for each in HOSTILE_KIDS if each not in (None, "A" * 43)], ids=repr)
def test_a3_a_hostile_kid_never_reaches_the_directory(desk: Desk, kid: Any) -> None:
    """A3: nor is the register asked for them."""
    refused = desk.token_refusal(desk.form(client_assertion=desk.assertion(header={"kid": kid})))

    assert refused.code == "invalid-client"
    assert desk.directory.asked == []
    assert desk.token()
    assert desk.directory.asked == [("app-a", thumbprint(desk.key))]


@given(kid=st.text(max_size=60) | st.integers() | st.lists(st.text(max_size=3), max_size=2))
@effort(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a3_no_kid_but_the_nodes_own_finds_a_key(desk: Desk, kid: Any) -> None:
    """A3: nor any other text or value."""
    own = desk.keys.jwks[-1]["kid"]

    assert (desk.keys.find(kid) is None) == (kid != own)
    assert desk.keys.find(own) is not None


def test_a3_the_same_kid_under_another_client_finds_nothing(desk: Desk, app_keys: dict[str, Any]) -> None:
    """A3: a key counts for the client that registered it."""
    desk.directory.register("app-b", app_keys["Ed25519"])
    stolen_name = desk.assertion(iss="app-b", sub="app-b")

    assert desk.token_refusal(desk.form(client_assertion=stolen_name)).members == {"error": "invalid_client"}
    assert desk.token()


# A4: critical extensions


@pytest.mark.parametrize(
    "header",
    [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": True}, {"crit": ["bork"], "bork": 1}, {"crit": "x"}, {"b64": False}, {"zip": "DEF"}],
    ids=repr,
)  # fmt: skip
def test_a4_whatever_changes_the_meaning_of_a_signature_is_refused(desk: Desk, header: dict[str, Any]) -> None:
    """A4: crit, b64 and zip, in token, proof and assertion."""
    assert desk.refusal(desk.forged(**header)).code == "invalid-token"
    assert desk.refusal(desk.token(), desk.proof(header=header)).code == "invalid-dpop-proof"
    assert desk.token_refusal(desk.form(client_assertion=desk.assertion(header=header))).code == "invalid-client"
    assert desk.verify(desk.forged()) is not None


# A6: from whom, for whom


@pytest.mark.parametrize("name", ["iss", "aud"])
@pytest.mark.parametrize(
    "value",
    [
        None, "", "http://127.0.0.1:8080/", "http://127.0.0.1:80800", "http://127.0.0.1:808", "HTTP://127.0.0.1:8080",
        "http://127.0.0.1:8080.evil.example", "https://127.0.0.1:8080", "http://127.0.0.1:8080/oauth/token",
        ["http://127.0.0.1:8080"], ["http://127.0.0.1:8080", "http://other.example"], {"http://127.0.0.1:8080": 1}, 8080, True,
    ],
    ids=repr,
)  # fmt: skip
def test_a6_another_issuer_or_audience_is_refused(desk: Desk, name: str, value: Any) -> None:
    """A6: prefixes, suffixes, slashes, lists and other letters."""
    assert desk.refusal(desk.forged(desk.claims(**{name: value}))).code == "invalid-token"
    assert desk.verify(desk.forged(desk.claims(**{name: "http://127.0.0.1:8080"}))) is not None


@pytest.mark.parametrize(
    "subject",
    [
        None, 7, "", ORGANISATION, f"http://other.example/organisations/{ORGANISATION}",
        f"http://127.0.0.1:8080/organisations/{ORGANISATION}/", "http://127.0.0.1:8080/organisations/*",
        f"http://127.0.0.1:8080/organisations/{ORGANISATION.upper()}", f"http://127.0.0.1:8080/users/{ORGANISATION}",
    ],
    ids=repr,
)  # fmt: skip
def test_a6_a_subject_that_is_no_organisation_of_this_node_is_refused(desk: Desk, subject: Any) -> None:
    assert desk.refusal(desk.forged(desk.claims(sub=subject))).code == "invalid-token"
    assert desk.refusal(desk.forged(desk.claims(act={"sub": subject}))).code == "invalid-token"
    assert desk.verify(desk.forged()) is not None


ACTOR = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12"


def test_an_actor_is_an_organisation_of_this_node_and_the_key_is_its_own(desk: Desk, app_keys: dict[str, Any]) -> None:
    act = {"sub": f"{desk.base}/organisations/{ACTOR}"}
    claims = desk.claims(act=act)
    assert "revoked" in desk.refusal(desk.forged(claims)).detail

    desk.directory.register("app-a", desk.key, ACTOR)
    credential = desk.verify(desk.forged(claims))

    assert credential is not None
    assert (credential.organisation, credential.actor, credential.acting) == (ORGANISATION, ACTOR, ACTOR)
    assert "revoked" in desk.refusal(desk.forged()).detail


def test_a14_a_chain_of_actors_is_refused(desk: Desk) -> None:
    """A14: depth one."""
    desk.directory.register("app-a", desk.key, ACTOR)
    act = {"sub": f"{desk.base}/organisations/{ACTOR}"}

    for chain in ({**act, "act": act}, {**act, "act": None}, [act], "x", {}, {"sub": None}):
        assert "act" in desk.refusal(desk.forged(desk.claims(act=chain))).detail or chain in ({}, {"sub": None})
    assert desk.verify(desk.forged(desk.claims(act=act)))


def test_a12_the_actors_key_is_asked_at_every_request(desk: Desk) -> None:
    """A12: also of a token that was verified before."""
    desk.directory.register("app-a", desk.key, ACTOR)
    token = desk.forged(desk.claims(act={"sub": f"{desk.base}/organisations/{ACTOR}"}))
    assert desk.verify(token)

    desk.directory.revoke(desk.key)

    assert "revoked" in desk.refusal(token).detail


def test_whom_a_refused_token_names_is_believed_where_this_node_has_signed_it(desk: Desk, app_keys: dict[str, Any]) -> None:
    past = desk.claims(act={"sub": f"{desk.base}/organisations/{ACTOR}"}, exp=desk.now - 1)
    desk.refusal(desk.forged(past))

    named = desk.verifier.claimed([f"DPoP {desk.forged(past)}"])

    assert named is not None and (named.organisation, named.application, named.actor) == (ORGANISATION, "app-a", ACTOR)
    others = [
        desk.forged(past, app_keys["stranger"]), desk.forged(past, kid="another"), desk.forged(past, typ="JWT"), desk.forged({**past, "iss": "https://elsewhere.example"}),
        desk.forged({**past, "sub": "https://elsewhere.example"}), desk.forged(b"{"), "e30.e30.e30", "",
    ]  # fmt: skip
    assert [desk.verifier.claimed([f"DPoP {token}"]) for token in others] == [None] * len(others)
    assert [desk.verifier.claimed(given) for given in ([], [f"DPoP {desk.forged(past)}"] * 2)] == [None, None]


# A7: times


NO_TIMES: list[Any] = [None, "", "1800000000", True, False, [], {}, -1, -0.5, 10**300, 10**400, 2**53, 1e300]


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", NO_TIMES, ids=repr)
def test_a7_what_is_no_time_is_refused(desk: Desk, name: str, value: Any) -> None:
    """A7: missing, text, booleans, negative and enormous numbers."""
    assert desk.refusal(desk.forged(desk.claims(**{name: value}))).code == "invalid-token"
    assert desk.verify(desk.forged()) is not None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5_000])
def test_a7_a_number_that_json_does_not_have_is_refused(desk: Desk, number: str) -> None:
    """A7: NaN and Infinity, also by overflow."""
    text = json.dumps(desk.claims(exp=0)).replace('"exp": 0', f'"exp": {number}')
    assert number in text

    assert desk.refusal(desk.forged(text.encode())).code == "invalid-token"
    assert desk.verify(desk.forged(text.replace(number, str(desk.now + 60)).encode())) is not None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "9" * 5_000])
def test_a7_such_a_number_is_refused_even_where_nobody_reads_it(desk: Desk, number: str) -> None:
    text = json.dumps(desk.claims(extra=0)).replace('"extra": 0', f'"extra": {number}')

    assert "JSON" in desk.refusal(desk.forged(text.encode())).detail
    assert desk.verify(desk.forged(text.replace(number, "1").encode())) is not None


@pytest.mark.parametrize(
    ("iat", "nbf", "exp", "is_good"),
    [
        (0, 0, 300, True), (0, 0, 1, True), (0, 0, 0, False), (-300, -300, -1, False), (0, 0, 0.5, True),
        (10, 0, 300, True), (11, 0, 300, False), (0, 10, 300, True), (0, 11, 300, False),
        (0, 0, 600, True), (0, 0, 601, False), (-599, -599, 1, True), (-600, -600, 1, False), (0, 0, 10**9, False),
    ],
)  # fmt: skip
def test_a7_a_token_counts_within_its_time_and_for_a_bounded_life(desk: Desk, iat: float, nbf: float, exp: float, is_good: bool) -> None:
    """A7: to the second, and for no longer than the ceiling."""
    token = desk.forged(desk.claims(iat=desk.now + iat, nbf=desk.now + nbf, exp=desk.now + exp))

    if is_good:
        assert desk.verify(token) is not None
    else:
        assert desk.refusal(token).code == "invalid-token"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(
    name=st.sampled_from(["iss", "sub", "aud", "client_id", "client_key_id", "iat", "nbf", "exp", "jti", "scope", "cnf", "act"]),
    value=JSON_VALUES,
)
@effort(max_examples=250, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a7_any_claim_with_any_value_is_a_refusal_or_a_credential_in_time(desk: Desk, name: str, value: Any) -> None:
    """A7: any JSON value in any claim."""
    token = desk.forged(desk.claims(**{name: value}) | {name: value})

    try:
        credential = desk.verify(token)
    except Unauthenticated as error:
        check_refusal(error, token)
    else:
        assert credential is not None
        assert name in ("iat", "nbf", "exp", "jti", "scope", "act") or value == desk.claims()[name]
        assert 0 < (credential.expires_at - desk.clock.now()).total_seconds() <= 600


@given(payload=st.binary(max_size=60))
@effort(max_examples=100, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a7_any_signed_bytes_are_a_refusal(desk: Desk, payload: bytes) -> None:
    token = desk.forged(payload or b"x")

    assert desk.refusal(token, desk.proof(token=token)).code == "invalid-token"


def test_a_duplicate_claim_is_refused(desk: Desk) -> None:
    text = json.dumps(desk.claims())

    assert desk.refusal(desk.forged(text.replace("{", '{"exp": 1, ', 1).encode())).code == "invalid-token"
    assert desk.verify(desk.forged(text.encode())) is not None


# A10: bombs


def test_a10_a_megabyte_is_refused_before_it_is_read(desk: Desk) -> None:
    """A10: in time and memory that do not grow with it."""
    bomb, honest = "A" * 1_000_000, desk.token()
    requests = [([f"DPoP {bomb}"], [honest]), ([f"DPoP {honest}"], [bomb]), ([bomb], []), ([f"DPoP e30.{bomb}.e30"], [bomb])]

    for authorization, dpop in requests:
        tracemalloc.start()
        began = time.perf_counter()
        with pytest.raises(Unauthenticated):
            desk.verifier.verify("GET", desk.url, authorization, dpop)
        seconds, (_, peak) = time.perf_counter() - began, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seconds < 0.05  # 5 ms without the tracing
        assert peak < 200_000
    assert desk.token_refusal(desk.form(client_assertion=bomb)).code == "invalid-client"
    assert desk.verify(honest) is not None


def test_a10_a_well_formed_giant_is_refused_by_its_size(desk: Desk) -> None:
    token, pad = desk.token(), "x" * 13_000

    assert "longer than" in desk.refusal(desk.forged(desk.claims(pad=pad))).detail
    assert "longer than" in desk.refusal(token, desk.proof(token=token, pad=pad)).detail
    assert "longer than" in desk.token_refusal(desk.form(client_assertion=desk.assertion(pad=pad))).detail
    assert desk.verify(token, desk.proof(token=token, pad=pad[:8_000])) is not None


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_a10_depth_is_refused(desk: Desk, opening: bytes) -> None:
    """A10: deep claims and deep headers."""
    deep = opening * (9_000 // len(opening))

    assert desk.refusal(desk.forged(deep)).detail == "the access token has a payload that is not well-formed JSON"
    assert desk.refusal(f"{b64(deep)}.e30.e30").code == "invalid-token"
    assert desk.refusal(desk.token(), f"{b64(deep)}.e30.e30").code == "invalid-dpop-proof"
    assert desk.verify(desk.forged()) is not None


def test_a10_a_compressed_payload_is_not_inflated(desk: Desk) -> None:
    """A10: nothing is ever decompressed."""
    squeezed = zlib.compress(json.dumps(desk.claims()).encode())

    assert desk.refusal(desk.forged(squeezed)).code == "invalid-token"
    assert desk.refusal(desk.forged(squeezed, zip="DEF")).code == "invalid-token"
    assert desk.refusal("e30.e30.e30.e30.e30").code == "invalid-token"
    assert desk.verify(desk.forged()) is not None


# A12: revocation


def test_a12_a_revoked_key_is_refused_at_the_next_request(desk: Desk) -> None:
    """A12: whatever its token says."""
    token = desk.token()
    assert desk.verify(token) is not None

    desk.directory.revoke(desk.key)

    refused = desk.refusal(token)
    assert refused.members == {"error": "invalid_token"}
    assert "revoked" in refused.detail
    assert "revoked" in desk.token_refusal().detail


def test_a12_revoking_one_key_leaves_the_clients_other_key_alone(desk: Desk, app_keys: dict[str, Any]) -> None:
    desk.directory.register("app-a", app_keys["Ed25519"])
    desk.directory.revoke(desk.key)
    assertion = desk.assertion(key=app_keys["Ed25519"])

    token = desk.issue(desk.form(client_assertion=assertion))["access_token"]

    assert desk.verify(token) is not None


def test_a12_a_key_that_has_moved_to_another_organisation_is_refused(desk: Desk) -> None:
    token, name = desk.token(), thumbprint(desk.key)
    assert desk.verify(token) is not None

    desk.directory.keys[name] = ApplicationKey("app-a", "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12", name, public_part(desk.key), True)

    assert "revoked" in desk.refusal(token).detail


def test_a12_a_token_that_was_verified_before_expires_all_the_same(desk: Desk, clock: Any) -> None:
    token = desk.token()
    assert desk.verify(token) is not None

    clock.forward(seconds=299)
    assert desk.verify(token) is not None
    clock.forward(seconds=1)

    assert "expired" in desk.refusal(token).detail


# headers


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Basic", "DPoPx", "MAC"])
def test_another_scheme_than_dpop_is_refused_naming_dpop(desk: Desk, scheme: str) -> None:
    token = desk.token()

    with pytest.raises(Unauthenticated) as caught:
        desk.verifier.verify("GET", desk.url, [f"{scheme} {token}"], [desk.proof(token=token)])

    assert "Authorization: DPoP" in check_refusal(caught.value, token).headers["WWW-Authenticate"]
    assert desk.verifier.verify("GET", desk.url, [f"dpop {token}"], [desk.proof(token=token)]) is not None


def test_exactly_one_header_of_each_kind_is_taken(desk: Desk) -> None:
    token = desk.token()
    good, other = f"DPoP {token}", f"Bearer {token}"
    proofs = [desk.proof(token=token), desk.proof(token=token)]
    requests = [
        ([good, good], proofs[:1]), ([good, other], proofs[:1]), ([other, good], proofs[:1]), ([f"{good}, {other}"], proofs[:1]),
        ([good], []), ([good], proofs), ([good], [", ".join(proofs)]), ([""], proofs[:1]), ([token], proofs[:1]), (["DPoP"], proofs[:1]),
    ]  # fmt: skip

    for authorization, dpop in requests:
        with pytest.raises(Unauthenticated) as caught:
            desk.verifier.verify("GET", desk.url, authorization, dpop)
        check_refusal(caught.value, token)
    assert desk.verifier.verify("GET", desk.url, [good], proofs[:1]) is not None


def test_a_missing_credential_names_no_error(desk: Desk) -> None:
    refused = desk.verifier.missing()

    assert (refused.code, refused.members) == ("credential-missing", {})
    assert refused.headers["WWW-Authenticate"].startswith('DPoP algs="ES256 ')
    assert f'resource_metadata="{desk.base}/.well-known/oauth-protected-resource"' in refused.headers["WWW-Authenticate"]


def test_a_challenge_is_quoted_safely(desk: Desk) -> None:
    token = desk.token()
    url = f'{desk.base}/a"b\\c\r\nSet-Cookie: x=1\u2028é/' + "long" * 500

    with pytest.raises(Unauthenticated) as caught:
        desk.verify(token, url=url)

    challenge = check_refusal(caught.value, token).headers["WWW-Authenticate"]
    assert challenge.count('"') == 8
    assert len(challenge) < 800


# binding and memory


@pytest.mark.parametrize("cnf", [None, {}, "jkt", {"jkt": None}, {"jkt": ""}, {"jkt": 7}, {"jkt": "A" * 43}, {"x5t#S256": "A" * 43}], ids=repr)
def test_a8_a_token_that_is_bound_to_no_key_or_another_is_refused(desk: Desk, cnf: Any) -> None:
    """A8: no cnf, or one that is another key."""
    assert desk.refusal(desk.forged(desk.claims(cnf=cnf))).code == "invalid-token"
    assert desk.verify(desk.forged()) is not None


def test_a8_a_stolen_token_with_the_thiefs_own_proof_is_refused(desk: Desk, app_keys: dict[str, Any]) -> None:
    token = desk.token()
    assert desk.verify(token) is not None

    refused = desk.refusal(token, desk.proof(token=token, key=app_keys["stranger"]))

    assert refused.members == {"error": "invalid_token"}
    assert "another key" in refused.detail
    assert desk.verify(token) is not None


@pytest.mark.parametrize("kind", ["ES256", "Ed25519", "PS256"])
def test_each_accepted_key_type_gets_and_uses_a_token(desk: Desk, app_keys: dict[str, Any], kind: str) -> None:
    desk.key = app_keys[kind]
    desk.directory.register("app-a", desk.key)

    token = desk.token()

    assert desk.verify(token) is not None
    assert desk.verify(token) is not None


def test_the_old_name_of_ed25519_is_accepted(desk: Desk, app_keys: dict[str, Any]) -> None:
    desk.key = app_keys["Ed25519"]
    desk.directory.register("app-a", desk.key)
    assertion = desk.assertion(header={"alg": "EdDSA"})
    proof = desk.proof("POST", desk.token_url, header={"alg": "EdDSA"})

    assert desk.issue(desk.form(client_assertion=assertion), [proof])["token_type"] == "DPoP"


def test_remembered_tokens_are_bounded(node_keys: Any, clock: Any) -> None:
    desk = Desk(node_keys, new_key(), Settings(token_cache=3), clock)
    tokens = [desk.forged() for _ in range(5)]

    assert all(desk.verify(token) is not None for token in tokens)
    assert len(desk.verifier._seen) == 3
    assert desk.verify(tokens[0]) is not None


def test_a_token_of_an_older_key_of_the_node_still_counts_after_a_rotation(desk: Desk, tmp_path: Any) -> None:
    older = desk.token()
    desk.keys = desk.keys.rotate(tmp_path / "keys.jwks")
    desk.restart()
    newer = desk.token()

    assert newer.split(".")[0] != older.split(".")[0]
    assert desk.verify(older) is not None
    assert desk.verify(newer) is not None


def _decoded(part: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _wait_until(is_done: Any) -> None:
    for _ in range(400):
        if is_done():
            return
        time.sleep(0.005)
    raise AssertionError("waited in vain")


def test_the_forgers_tool_makes_signatures_that_hold(desk: Desk) -> None:
    token = compact({"typ": "at+jwt", "alg": "ES256", "kid": desk.keys.jwks[-1]["kid"]}, desk.claims(), desk.keys.jwks[-1])

    assert math.isclose(len(token), len(desk.token()), rel_tol=0.2)
    assert desk.verify(token) is not None
