"""The node and PyJWT, which share no code but the cryptography, agree on what is signed by whom."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fmar_node.access.jose import UnacceptableError, read_compact
from fmar_node.access.key import public_key
from fmar_node.client import public_part

from .conftest import Desk, b64, compact

pyjwt = pytest.importorskip("jwt", reason="pyjwt is in the dev group")

KINDS = ["ES256", "Ed25519", "PS256"]


def _ours(text: str, jwk: dict[str, Any]) -> dict[str, Any] | None:
    try:
        read = read_compact(text, 16_384)
        public_key(jwk).check(read)
        return read.claims()
    except UnacceptableError:
        return None


def _theirs(text: str, jwk: dict[str, Any], algorithms: list[str]) -> dict[str, Any] | None:
    off = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        key = pyjwt.PyJWK({**jwk}, algorithms[0]).key
        return dict(pyjwt.decode(text, key, algorithms=algorithms, options=off))
    except (pyjwt.PyJWTError, ValueError):
        return None


def _variants(kind: str, key: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[str, str]]:
    claims = {"sub": "a", "n": 1}
    good = compact({"alg": kind, "typ": "JWT"}, claims, key)
    head, payload, signature = good.split(".")
    none = b64(json.dumps({"alg": "none"}).encode())
    yield "good", good
    yield "other key", compact({"alg": other["alg_"], "typ": "JWT"}, claims, {k: v for k, v in other.items() if k != "alg_"})
    yield "no signature", f"{head}.{payload}."
    yield "alg none", f"{none}.{payload}."
    yield "alg none, signed", f"{none}.{payload}.{signature}"
    yield "other payload", f"{head}.{b64(json.dumps({'sub': 'b'}).encode())}.{signature}"
    yield "short signature", f"{head}.{payload}.{signature[:-4]}"
    yield "zero signature", f"{head}.{payload}.{b64(bytes(64))}"
    yield "long signature", f"{good}AAAA"
    yield "crit", compact({"alg": kind, "crit": ["x"], "x": 1}, claims, key)
    yield "two parts", f"{head}.{payload}"
    yield "four parts", f"{good}.e30"
    yield "no claims object", compact({"alg": kind}, b"[1]", key)
    yield "no JSON", compact({"alg": kind}, b"{", key)
    yield "not base64", f"{head}.{payload[:-1]}!.{signature}"


@pytest.mark.parametrize("kind", KINDS)
def test_two_libraries_agree_on_every_variant(app_keys: dict[str, Any], kind: str) -> None:
    key, other_kind = app_keys[kind], "ES256" if kind == "Ed25519" else "Ed25519"
    other = {**app_keys[other_kind], "alg_": other_kind}
    algorithms = ["EdDSA", "Ed25519"] if kind == "Ed25519" else [kind]
    named = dict(_variants("EdDSA" if kind == "Ed25519" else kind, key, other))
    jwk = public_part(key)

    ours = {name: _ours(text, jwk) for name, text in named.items()}

    assert ours == {name: _theirs(text, jwk, algorithms) for name, text in named.items()}
    assert {name for name, claims in ours.items() if claims} == {"good"}


def test_another_library_reads_our_tokens_with_our_published_key(desk: Desk) -> None:
    token = desk.token()
    key = pyjwt.PyJWKSet.from_dict(desk.keys.public())[pyjwt.get_unverified_header(token)["kid"]]

    claims = pyjwt.decode(token, key.key, algorithms=["ES256"], audience=desk.base, issuer=desk.base, options={"verify_exp": False, "verify_nbf": False, "verify_iat": False})

    assert claims["client_id"] == "app-a"
    with pytest.raises(pyjwt.InvalidAudienceError):
        pyjwt.decode(token, key.key, algorithms=["ES256"], audience="http://other.example", options={"verify_exp": False, "verify_nbf": False, "verify_iat": False})


def test_another_librarys_assertion_is_accepted(desk: Desk) -> None:
    claims = {"iss": "app-a", "sub": "app-a", "aud": desk.base, "iat": desk.now, "exp": desk.now + 60, "jti": "theirs"}
    key = pyjwt.PyJWK(desk.key, "ES256").key

    assertion = pyjwt.encode(claims, key, algorithm="ES256")

    assert desk.issue(desk.form(client_assertion=assertion))["token_type"] == "DPoP"
