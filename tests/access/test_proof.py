"""Row A8 of the attack catalogue: every check of RFC 9449 section 4.3, and nonces (section 8)."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from typing import Any

import pytest
from joserfc import jwk

from fmar_node.access.jose import UnacceptableError
from fmar_node.access.key import public_key
from fmar_node.access.proof import normal_url, token_hash
from fmar_node.client import new_key, public_part
from fmar_node.errors import Unauthenticated
from fmar_node.settings import Settings

from .conftest import Desk, b64, check_refusal

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_the_hash_of_a_token_is_the_example_of_the_standard() -> None:
    token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"

    assert token_hash(token) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


@pytest.mark.parametrize("name", ["htm", "htu", "iat", "jti", "ath"])
@pytest.mark.parametrize("value", [None, "", 7.5, True, [], {}, "\u00e9", "a\nb", "x" * 20_000], ids=lambda value: repr(value)[:12])
def test_a8_a_proof_without_a_proper_claim_is_refused(desk: Desk, name: str, value: Any) -> None:
    """A8: each claim, missing or of another form."""
    token = desk.token()

    refused = desk.refusal(token, desk.proof(token=token, **{name: value}))

    assert (refused.code, refused.members) == ("invalid-dpop-proof", {"error": "invalid_dpop_proof"})
    assert desk.verify(token) is not None


@pytest.mark.parametrize("method", ["POST", "get", "Get", "HEAD", "GET "])
def test_a8_a_proof_for_another_method_is_refused(desk: Desk, method: str) -> None:
    """A8: htm is the method, to the letter."""
    token = desk.token()

    assert "htm must be GET" in desk.refusal(token, desk.proof(method, token=token)).detail
    assert desk.verify(token, desk.proof("QUERY", token=token), "QUERY") is not None


SAME_URLS = [
    "http://127.0.0.1:8080/assets", "HTTP://127.0.0.1:8080/assets", "http://127.0.0.1:8080/assets?page=2",
    "http://127.0.0.1:8080/assets#x", "http://127.0.0.1:8080/%61ssets", "http://127.0.0.1:8080/assets?",
]  # fmt: skip
OTHER_URLS = [
    "http://127.0.0.1:8080/assets/", "http://127.0.0.1:8080/Assets", "http://127.0.0.1:8080", "http://127.0.0.1/assets",
    "https://127.0.0.1:8080/assets", "http://localhost:8080/assets", "http://127.0.0.1:8080/x/../assets", "/assets",
    "http://127.0.0.1:8080//assets", "http://user@127.0.0.1:8080/assets", "http://127.0.0.1:8080@evil.example/assets",
    "http://127.0.0.1:8080/assets%2F", "http://127.0.0.1:99999/assets", "http://[/assets", "javascript:alert(1)", "http:///assets",
    "http://127.0.0.1:8080\\assets",
]  # fmt: skip


@pytest.mark.parametrize("url", SAME_URLS)
def test_a8_a_url_is_compared_in_its_normal_form(desk: Desk, url: str) -> None:
    token = desk.token()

    assert desk.verify(token, desk.proof(url=url, token=token), url=f"{desk.url}?x=1#y") is not None


@pytest.mark.parametrize("url", OTHER_URLS)
def test_a8_a_proof_for_another_url_is_refused_with_the_expected_one(desk: Desk, url: str) -> None:
    """A8: htu is the URL, in its normal form."""
    token = desk.token()

    refused = desk.refusal(token, desk.proof(url=url, token=token))

    assert refused.code == "invalid-dpop-proof"
    assert desk.url in refused.detail or "htu that is not" in refused.detail
    assert desk.verify(token) is not None


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("http://Node.Example:80", "http://node.example/"), ("https://node.example:443/a", "https://node.example/a"),
        ("http://node.example:443/a", "http://node.example:443/a"), ("http://[::1]:80/%7ea%2fb%C3%a9", "http://[::1]/~a%2Fb%C3%A9"),
    ],
)  # fmt: skip
def test_normal_urls(url: str, normal: str) -> None:
    assert normal_url(url) == normal
    assert normal_url(normal) == normal


def test_a_relative_url_has_no_normal_form() -> None:
    with pytest.raises(UnacceptableError, match="absolute"):
        normal_url("/assets")


def test_a8_a_proof_for_another_token_is_refused(desk: Desk) -> None:
    """A8: ath is the hash of this token."""
    mine, other = desk.token(), desk.token()

    assert "ath" in desk.refusal(mine, desk.proof(token=other)).detail
    assert "ath" in desk.refusal(mine, desk.proof(ath=b64(b"x" * 32))).detail
    assert desk.verify(mine) is not None


@pytest.mark.parametrize(("age", "is_good"), [(0, True), (60, True), (60.5, False), (3600, False), (-10, True), (-10.5, False), (-3600, False)])
def test_a8_a_proof_counts_for_a_minute(desk: Desk, clock: Any, age: float, is_good: bool) -> None:
    """A8: iat is recent."""
    clock.forward(hours=2)
    token = desk.token()
    proof = desk.proof(token=token, iat=desk.now - age)

    if is_good:
        assert desk.verify(token, proof) is not None
    else:
        assert desk.refusal(token, proof).members == {"error": "invalid_dpop_proof"}


@pytest.mark.parametrize("part", [0, 1, 2])
def test_a8_an_altered_proof_is_refused(desk: Desk, part: int) -> None:
    token = desk.token()
    parts = desk.proof(token=token).split(".")
    parts[part] = parts[part][:-8] + ("AAAA" if parts[part][-8:-4] != "AAAA" else "BBBB") + parts[part][-4:]

    assert desk.refusal(token, ".".join(parts)).code == "invalid-dpop-proof"
    assert desk.verify(token) is not None


def test_a8_a_proof_signed_by_another_key_than_it_brings_is_refused(desk: Desk, app_keys: dict[str, Any]) -> None:
    token = desk.token()
    assert desk.verify(token) is not None

    refused = desk.refusal(token, desk.proof(token=token, key=app_keys["stranger"], header={"jwk": public_part(desk.key)}))

    assert refused.detail == "the DPoP proof has a signature that does not hold"


@pytest.mark.parametrize("kind", ["ES256", "Ed25519", "PS256"])
def test_a8_private_key_material_in_a_proof_is_refused(desk: Desk, app_keys: dict[str, Any], kind: str) -> None:
    token, key = desk.token(), app_keys[kind]
    proof = desk.proof(token=token, key=key, header={"jwk": key})

    refused = desk.refusal(token, proof)

    assert "private key" in refused.detail
    assert key["d"] not in str(refused.headers)
    assert desk.verify(token) is not None


def _bad_keys(good: dict[str, Any]) -> dict[str, Any]:
    """JWKs that nearly are `good`."""
    last = good["x"][-1]
    k1 = dict(jwk.generate_key("EC", "secp256k1", private=False).as_dict())
    p384 = dict(jwk.generate_key("EC", "P-384", private=False).as_dict())
    return {
        "none": None, "text": "key", "list": [good], "empty": {}, "oct": {"kty": "oct", "k": "AAAA"}, "P-384": p384,
        "Ed448": dict(jwk.generate_key("OKP", "Ed448", private=False).as_dict()), "kty list": {**good, "kty": ["EC"]},
        "X25519": dict(jwk.generate_key("OKP", "X25519", private=False).as_dict()), "no y": {**good, "y": None},
        "off the curve": {**good, "y": good["x"]}, "zero point": {**good, "x": b64(bytes(32)), "y": b64(bytes(32))},
        "long x": {**good, "x": b64(bytes(1) + urlsafe_b64decode(good["x"] + "="))}, "padded x": {**good, "x": good["x"] + "="},
        "for encryption": {**good, "use": "enc"}, "not to verify": {**good, "key_ops": ["sign"]}, "other alg": {**good, "alg": "ES384"},
        "key_ops text": {**good, "key_ops": "verify"}, "symmetric k": {**good, "k": "AAAA"}, "secp256k1": k1,
        "x with stray bits": {**good, "x": good["x"][:-1] + BASE64[BASE64.index(last) + 1]},
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(_bad_keys(public_part(new_key()))))
def test_a8_a_proof_with_a_key_of_another_kind_or_form_is_refused(desk: Desk, name: str) -> None:
    token, good = desk.token(), public_part(desk.key)
    bad = _bad_keys(good)[name]

    assert desk.refusal(token, desk.proof(token=token, header={"jwk": bad})).code == "invalid-dpop-proof"
    with pytest.raises(UnacceptableError, match=r"^has "):
        public_key(bad)
    assert public_key(good).jwk == good
    assert desk.verify(token) is not None


def test_a8_a_signature_has_one_spelling(desk: Desk) -> None:
    token = desk.token()
    proof = desk.proof(token=token)
    stray = proof[:-1] + BASE64[BASE64.index(proof[-1]) + 1]

    assert "canonical" in desk.refusal(token, stray).detail
    assert desk.verify(token, proof) is not None


@pytest.mark.filterwarnings("ignore:Key size should be")
@pytest.mark.parametrize("change", [{"e": "Aw"}, {"n": b64(b"\xff" * 128)}, {"n": b64(b"\xff" * 513)}, {"n": b64(b"\0" + b"\xff" * 256)}, {"n": ""}])
def test_a8_an_rsa_key_of_another_size_or_exponent_is_refused(desk: Desk, app_keys: dict[str, Any], change: dict[str, str]) -> None:
    token, key = desk.token(), app_keys["PS256"]

    refused = desk.refusal(token, desk.proof(token=token, key=key, header={"jwk": {**public_part(key), **change}}))

    assert "RSA" in refused.detail or "base64url" in refused.detail
    assert "bound to another key" in desk.refusal(token, desk.proof(token=token, key=key)).detail


@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519", "PS256"])
def test_a8_an_algorithm_that_does_not_fit_the_key_is_refused(desk: Desk, app_keys: dict[str, Any], alg: str) -> None:
    token = desk.token()
    key = app_keys["PS256" if alg == "PS256" else "Ed25519"]
    proof = desk.proof(token=token, key=key, header={"alg": alg, "jwk": public_part(desk.key)})

    assert desk.refusal(token, proof).detail == "the DPoP proof has an alg that does not fit its key"
    assert desk.verify(token) is not None


def test_a8_where_nonces_are_demanded_a_proof_without_one_gets_one(node_keys: Any, app_keys: dict[str, Any], clock: Any) -> None:
    """A8: the challenge carries DPoP-Nonce."""
    desk = Desk(node_keys, app_keys["ES256"], Settings(dpop_nonce=True), clock)
    first = desk.token_refusal()
    assert first.members == {"error": "use_dpop_nonce"}
    proof = desk.proof("POST", desk.token_url, nonce=first.headers["DPoP-Nonce"])
    token = desk.issue(proofs=[proof])["access_token"]

    refused = desk.refusal(token)

    assert refused.members == {"error": "use_dpop_nonce"}
    assert desk.verify(token, desk.proof(token=token, nonce=refused.headers["DPoP-Nonce"])) is not None


def test_a8_a_nonce_of_somebody_else_or_too_old_is_refused(desk: Desk, clock: Any) -> None:
    token, own = desk.token(), desk.replay.nonce()
    for nonce in ("", "x", "AAAA", b64(bytes(24)), own[:-4] + "AAAA", own + "AAAA", "é"):
        with pytest.raises(Unauthenticated) as caught:
            desk.verify(token, desk.proof(token=token, nonce=nonce))
        assert "nonce" in check_refusal(caught.value, token).detail
    assert desk.verify(token, desk.proof(token=token, nonce=own)) is not None

    clock.forward(seconds=301)
    later = desk.token()

    assert desk.refusal(later, desk.proof(token=later, nonce=own)).members == {"error": "use_dpop_nonce"}
