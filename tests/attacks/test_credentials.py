"""Attacks on credentials, A1 to A16, as far as no other test makes them (tests/access has most)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from fmar_node.access.jose import UnacceptableError, read_compact
from fmar_node.access.key import SMALL_ORDER, public_key
from fmar_node.client import ASSERTION_KIND, new_key, public_part, thumbprint
from fmar_node.folder import Folder
from tests.access.conftest import compact
from tests.access.test_access_token import Listener
from tests.live import Live
from tests.web.test_credentials_http import Hand

SUITES = Path(os.environ.get("FMAR_SUITES", Path(__file__).parents[3] / "shared" / "suites"))


@pytest.fixture
def hand(live: Live) -> Hand:
    return Hand(live, live.profiles["fsp-a"])


# -- A1: vectors in the manner of Project Wycheproof, of our own making


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
EDWARDS_ORDER = 2**252 + 27742317777372353535851937790883648493
PAYLOAD = b'{"sub":"x"}'
NEUTRAL = b"\x01" + bytes(31)
"""The neutral point of Edwards' curve: with it as R, and S = 0, a signature holds for many texts under a key of small order."""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Vector:
    """A compact JWS, the public key that it is checked with, and whether it holds."""

    name: str
    jwk: dict[str, Any]
    jws: str
    holds: bool


def text_of(alg: Any, payload: bytes = PAYLOAD, head: bytes | None = None) -> bytes:
    return f"{b64(json.dumps({'alg': alg}).encode() if head is None else head)}.{b64(payload)}".encode()


def ecdsa_vectors() -> Iterator[Vector]:
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32))}
    text = text_of("ES256")
    der = key.sign(text, ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    raw = r.to_bytes(32) + s.to_bytes(32)

    def signed(name: str, signature: bytes, holds: bool = False, signing: bytes = text, **changes: str) -> Vector:
        return Vector(f"ES256 {name}", {**jwk, **changes}, f"{signing.decode()}.{b64(signature)}", holds)

    yield signed("as it should be", raw, True)
    yield signed("in DER", der)
    yield signed("with its halves exchanged", raw[32:] + raw[:32])
    yield signed("of a half", raw[:32])
    yield signed("with zeros in front of its halves", b"\0" + raw[:32] + b"\0" + raw[32:])
    yield signed("with a byte behind it", raw + b"\0")
    yield signed("without its last byte", raw[:-1])
    for name, left, right in (
        ("of zeros", 0, 0), ("with r = 0", 0, s), ("with s = 0", r, 0), ("with r = n", ORDER, s), ("with s = n", r, ORDER), ("with r + n", r + ORDER, s),
        ("of ones", 1, 1), ("with s + n", r, s + ORDER), ("with all bits", 2**256 - 1, 2**256 - 1),
    ):  # fmt: skip
        yield signed(name, (left % 2**256).to_bytes(32) + (right % 2**256).to_bytes(32))
    other = ec.generate_private_key(ec.SECP256R1()).sign(text, ec.ECDSA(hashes.SHA256()))
    yield signed("of another key", b"".join(half.to_bytes(32) for half in decode_dss_signature(other)))
    weak = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA1())))
    yield signed("over a SHA-1", weak[0].to_bytes(32) + weak[1].to_bytes(32))
    yield signed("with a point that is off the curve", raw, y=b64((numbers.y ^ 1).to_bytes(32)))
    yield signed("with the point at infinity", raw, x=b64(bytes(32)), y=b64(bytes(32)))
    yield signed("with a coordinate beyond the field", raw, x=b64(b"\xff" * 32))
    yield signed("with a long coordinate", raw, x=b64(b"\0" + numbers.x.to_bytes(32)))
    yield signed("with the name of another curve", raw, crv="P-384")
    yield signed("with padding in its key", raw, x=jwk["x"] + "=")
    for name, head in (
        ("under a list of algorithms", b'{"alg":["ES256"]}'), ("under no algorithm", b"{}"), ("under null", b'{"alg":null}'), ("under two", b'{"alg":"none","alg":"ES256"}'),
        ("under ES256 and a blank", b'{"alg":"ES256 "}'), ("under ES256 and a zero", b'{"alg":"ES256\\u0000"}'), ("under Es256", b'{"alg":"Es256"}'), ("in a list", b'[{"alg":"ES256"}]'),
        ("in UTF-16", '{"alg":"ES256"}'.encode("utf-16")), ("behind a byte order mark", b'\xef\xbb\xbf{"alg":"ES256"}'),
    ):  # fmt: skip
        altered = text_of("", head=head)
        own = decode_dss_signature(key.sign(altered, ec.ECDSA(hashes.SHA256())))
        yield signed(name, own[0].to_bytes(32) + own[1].to_bytes(32), False, altered)
    spaced = text_of("", head=b'{ "alg" : "ES256" }\n')
    own = decode_dss_signature(key.sign(spaced, ec.ECDSA(hashes.SHA256())))
    yield signed("with blanks in its header", own[0].to_bytes(32) + own[1].to_bytes(32), True, spaced)
    for alg in ("none", "HS256", "EdDSA", "PS256", "ES384", "ES512"):
        yield signed(f"that says {alg}", raw, False, text_of(alg))


def ed25519_vectors() -> Iterator[Vector]:
    key = ed25519.Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}
    text = text_of("EdDSA")
    raw = key.sign(text)
    beyond = raw[:32] + (int.from_bytes(raw[32:], "little") + EDWARDS_ORDER).to_bytes(32, "little")

    def signed(name: str, signature: bytes, holds: bool = False, **changes: str) -> Vector:
        return Vector(f"Ed25519 {name}", {**jwk, **changes}, f"{text.decode()}.{b64(signature)}", holds)

    yield signed("as it should be", raw, True)
    yield signed("with S beyond the order", beyond)
    yield signed("with a byte behind it", raw + b"\0")
    yield signed("of a half", raw[:32])
    yield signed("of zeros", bytes(64))
    yield signed("of another key", ed25519.Ed25519PrivateKey.generate().sign(text))
    yield signed("under the name of another curve", raw, crv="Ed448")
    yield signed("under an X25519 key", raw, crv="X25519")
    yield signed("under a short key", raw, x=b64(bytes(31)))
    for point in sorted(SMALL_ORDER):
        for sign in (0, 0x80):
            x = b64(point[:-1] + bytes([point[-1] | sign]))
            yield signed(f"under the point of small order {point[:2].hex()} {sign}", NEUTRAL + bytes(32), x=x)


def rsa_vectors() -> Iterator[Vector]:
    key = rsa.generate_private_key(65537, 2048)
    n, text = key.public_key().public_numbers().n, text_of("PS256")
    jwk = {"kty": "RSA", "n": b64(n.to_bytes(256)), "e": "AQAB"}

    def pss(length: int, algorithm: hashes.HashAlgorithm, mask: hashes.HashAlgorithm) -> bytes:
        return key.sign(text, padding.PSS(padding.MGF1(mask), length), algorithm)

    def signed(name: str, signature: bytes, holds: bool = False, **changes: str) -> Vector:
        return Vector(f"PS256 {name}", {**jwk, **changes}, f"{text.decode()}.{b64(signature)}", holds)

    raw = pss(32, hashes.SHA256(), hashes.SHA256())
    yield signed("as it should be", raw, True)
    yield signed("without salt", pss(0, hashes.SHA256(), hashes.SHA256()))
    yield signed("with another mask", pss(32, hashes.SHA256(), hashes.SHA512()))
    yield signed("by another hash", pss(32, hashes.SHA512(), hashes.SHA256()))
    yield signed("in the older padding", key.sign(text, padding.PKCS1v15(), hashes.SHA256()))
    yield signed("of zeros", bytes(256))
    yield signed("of one", bytes(255) + b"\1")
    yield signed("with a zero in front", b"\0" + raw)
    yield signed("plus the modulus", ((int.from_bytes(raw) + n) % 2**2048).to_bytes(256))
    yield signed("with the exponent 1", raw, e="AQ")
    yield signed("with the exponent 3", raw, e="Aw")
    yield signed("with a zero before the exponent", raw, e="AAEAAQ")
    yield signed("with a zero before the modulus", raw, n=b64(b"\0" + n.to_bytes(256)))
    small = rsa.generate_private_key(65537, 1024)
    jws = f"{text.decode()}.{b64(small.sign(text, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()))}"
    yield Vector("PS256 by 1024 bits", {**jwk, "n": b64(small.public_key().public_numbers().n.to_bytes(128))}, jws, False)


VECTORS = [*ecdsa_vectors(), *ed25519_vectors(), *rsa_vectors()]


def holds(jwk: Any, jws: str) -> bool:
    try:
        public_key(jwk).check(read_compact(jws, 16_384))
    except UnacceptableError:
        return False
    return True


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_signature_holds_in_its_one_form_only(vector: Vector) -> None:
    """A1: signatures, keys and headers that are nearly right."""
    assert holds(vector.jwk, vector.jws) is vector.holds


def test_a_key_that_is_a_secret_verifies_nothing() -> None:
    """A1: no symmetric key and no private one is taken for a public key."""
    private = new_key()
    for jwk in ({"kty": "oct", "k": b64(b"secret")}, private, {**public_part(private), "kty": "oct"}, {**public_part(private), "use": "enc"}, None, [], "x", {}):
        assert not holds(jwk, compact({"alg": "ES256"}, PAYLOAD, private)), jwk


def test_the_vectors_of_wycheproof() -> None:
    """A1: Project Wycheproof's own, where they are at hand."""
    files = sorted(SUITES.glob("wycheproof*/**/json_web_signature*.json"))
    if not files:
        pytest.skip("no wycheproof suite here; FMAR_SUITES names the folder of the suites")
    wrong = []
    for group in (group for file in files for group in json.loads(file.read_text("utf-8"))["testGroups"]):
        jwk = group.get("public", {})
        taken = jwk.get("kty") in ("EC", "OKP", "RSA")
        wrong += [case["tcId"] for case in group["tests"] if holds(jwk, str(case["jws"])) and not (taken and case["result"] == "valid")]
    assert wrong == []


def test_a_forged_token_is_refused_over_http_without_a_word_of_the_key(hand: Hand) -> None:
    """A1: none, HMAC with the published key; the refusal is counted, and says nothing of what was sent."""
    key = hand.live.client().get("/oauth/jwks").json()["keys"][0]
    claims = base64.urlsafe_b64decode(hand.token().split(".")[1] + "==")
    pem = ec.EllipticCurvePublicNumbers(
        *(int.from_bytes(base64.urlsafe_b64decode(key[name] + "==")) for name in ("x", "y")), ec.SECP256R1()
    ).public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)  # fmt: skip
    head = {"typ": "at+jwt", "kid": key["kid"]}
    forged = [
        compact({**head, "alg": "HS256"}, claims, {"kty": "oct", "k": b64(pem)}),
        compact({**head, "alg": "HS256"}, claims, {"kty": "oct", "k": key["x"]}),
        *(f"{b64(json.dumps({**head, 'alg': name}).encode())}.{b64(claims)}.{tail}" for name in ("none", "None", "nOnE") for tail in ("", "AA")),
    ]
    before = refusals(hand.live)

    for token in forged:
        response = hand.get("/assets", token, hand.proof("GET", "/assets", token))
        assert (response.status_code, 'error="invalid_token"' in response.headers["WWW-Authenticate"]) == (401, True)
        assert token not in response.text and key["x"] not in response.text
    assert refusals(hand.live) >= before + len(forged)


def refusals(live: Live) -> int:
    lines = live.client().get("/metrics").text.splitlines()
    return sum(int(float(line.split()[-1])) for line in lines if line.startswith("fmar_refusals_total{") and "invalid-token" in line)


# -- A2, A3: nobody is asked for a key


def test_no_address_in_a_credential_is_ever_visited(hand: Hand) -> None:
    """A2: whichever header, claim or parameter names it: a listener sees no connection."""
    stranger = new_key()
    with Listener() as listener:
        url = listener.url
        named = {"jku": url, "x5u": url, "kid": url, "iss": url, "x5c": [url], "jwk": {**public_part(stranger), "x5u": url}}
        for name, value in named.items():
            for key in (stranger, hand.profile.key):
                header = {"typ": "at+jwt", "kid": "x", name: value}
                token = compact({"alg": "ES256", **header}, {"iss": url, "sub": url, "aud": hand.live.url, "exp": int(time.time()) + 60, "cnf": {"jku": url}}, key)
                assert hand.get("/assets", token, hand.proof("GET", "/assets", token)).status_code == 401
                assertion = compact({"alg": "ES256", **header, "typ": "JWT"}, {"iss": url, "sub": url, "aud": url, "jti": secrets.token_hex(8)}, key)
                assert hand.ask_token(client_assertion=assertion, client_id=url, request_uri=url, jwks_uri=url).status_code == 401
        proof = compact({"typ": "dpop+jwt", "alg": "ES256", "jwk": public_part(stranger), "jku": url}, {"htu": url, "htm": "POST"}, stranger)
        assert hand.ask_token(proof).status_code == 400
        hand.live.client("fsp-a").get("/assets", headers={"Referer": url, "Origin": url, "X-Forwarded-Host": url, "Forwarded": f"host={url}"})
        seen = listener.hits

    assert seen == 0


# -- A5: six types of JWT in five places


def now() -> int:
    return int(time.time())


def made(hand: Hand) -> dict[str, str]:
    """One JWT of each type, right for its own place: by the node's own key where the node would sign it."""
    node_key = node_keys(hand.live)[-1]
    url, organisation, head = hand.live.url, hand.profile.organisation, {"alg": "ES256", "kid": node_key["kid"]}
    both = {"iss": url, "sub": organisation, "aud": url, "iat": now(), "nbf": now(), "exp": now() + 300, "jti": secrets.token_hex(8)}
    bound = {"cnf": {"jkt": thumbprint(hand.profile.key)}, "client_id": hand.profile.client_id, "client_key_id": thumbprint(hand.profile.key), "scope": "fmar"}
    return {
        "access token": hand.token(),
        "id token": compact({**head, "typ": "JWT"}, {**both, **bound, "nonce": "n"}, node_key),
        "proof": hand.proof("GET", "/assets"),
        "assertion": hand.assertion(),
        "consent": compact({**head, "typ": "consent+jwt"}, {**both, **bound, "azp": hand.profile.client_id}, node_key),
        "status list": compact({**head, "typ": "statuslist+jwt"}, {**both, **bound, "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}, "ttl": 60}, node_key),
    }


def node_keys(live: Live) -> list[dict[str, Any]]:
    keys: list[dict[str, Any]] = json.loads(Folder(live.folder).token_keys.read_text())["keys"]
    return keys


PLACES = {"authorization": "access token", "bearer": "", "proof at resource": "proof", "proof at token": "", "assertion": "assertion"}


@pytest.mark.parametrize("kind", ["access token", "id token", "proof", "assertion", "consent", "status list"])
@pytest.mark.parametrize("place", PLACES)
def test_a_jwt_counts_in_its_own_place_only(hand: Hand, place: str, kind: str) -> None:
    """A5: access token, ID token, proof, assertion, consent and status list, each wherever a JWT is taken."""
    jwt = made(hand)[kind]
    ath = base64.urlsafe_b64encode(hashlib.sha256(jwt.encode()).digest()).rstrip(b"=").decode()
    if place == "authorization":
        response = hand.get("/assets", jwt, hand.proof("GET", "/assets", ath=ath))
    elif place == "bearer":
        response = hand.live.client().get("/assets", headers={"Authorization": f"Bearer {jwt}", "DPoP": hand.proof("GET", "/assets", ath=ath)})
    elif place == "proof at resource":
        token = hand.token()
        response = hand.get("/assets", token, hand.proof("GET", "/assets", token) if kind == "proof" else jwt)
    elif place == "proof at token":
        response = hand.ask_token(jwt)
    else:
        response = hand.ask_token(client_assertion=jwt)

    assert response.status_code == (200 if PLACES[place] == kind else 400 if place == "proof at token" else 401)


# -- A9: replays over HTTP


def at_once(count: int, send: Any) -> list[int]:
    with ThreadPoolExecutor(count) as pool:
        return sorted(pool.map(send, range(count)))


def test_of_a_hundred_replays_of_a_request_one_counts(hand: Hand) -> None:
    """A9: a hundred connections, one proof."""
    token = hand.token()
    headers = {"Authorization": f"DPoP {token}", "DPoP": hand.proof("GET", "/assets", token)}

    statuses = at_once(100, lambda _: httpx.get(f"{hand.live.url}/assets", headers=headers, timeout=60, trust_env=False).status_code)

    assert statuses == [200] + [401] * 99


def test_of_many_replays_of_a_write_one_counts(hand: Hand) -> None:
    """A9: and one asset comes of it."""
    token = hand.token()
    headers = {"Authorization": f"DPoP {token}", "DPoP": hand.proof("POST", "/assets", token), "Content-Type": "application/json"}
    body = json.dumps(hand.live.battery())

    statuses = at_once(30, lambda _: httpx.post(f"{hand.live.url}/assets", content=body, headers=headers, timeout=60, trust_env=False).status_code)

    assert statuses == [201] + [401] * 29


def test_of_many_replays_of_an_assertion_one_counts(hand: Hand) -> None:
    """A9: one assertion under thirty proofs is one token."""
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_KIND, "client_assertion": hand.assertion()}
    proofs = [hand.proof("POST", "/oauth/token") for _ in range(30)]

    statuses = at_once(30, lambda each: httpx.post(f"{hand.live.url}/oauth/token", data=form, headers={"DPoP": proofs[each]}, timeout=60, trust_env=False).status_code)

    assert statuses == [200] + [401] * 29


# -- A10: bombs over HTTP


def resident(live: Live) -> int:
    """KiB of memory that the web process has."""
    return next(int(line.split()[1]) for line in Path(f"/proc/{live.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


def test_large_credentials_cost_the_node_nothing(hand: Hand) -> None:
    """A10: tokens and proofs of tens of kilobytes, deep and long: 401 in milliseconds, and no memory is kept."""
    deep = b64(b'{"a":' * 9_000)
    bombs = ["A" * 40_000, f"{deep}.{deep}.AA"[:45_000], f"{b64(b'{' + b'}' * 9)}.{'A' * 30_000}.AA", "." * 30_000, "e30." * 9_000]
    headers = [{"Authorization": f"DPoP {bomb}", "DPoP": "x"} for bomb in bombs] + [{"Authorization": f"DPoP {hand.token()}", "DPoP": bomb} for bomb in bombs]
    client = hand.live.client()
    [client.get("/assets", headers=each) for each in headers]
    before, seconds = resident(hand.live), []

    for each in headers * 10:
        began = time.perf_counter()
        assert client.get("/assets", headers=each).status_code == 401
        seconds.append(time.perf_counter() - began)

    assert statistics.median(seconds) < 0.05
    assert resident(hand.live) - before < 16_384


def test_a_megabyte_of_headers_is_not_read(live: Live) -> None:
    """A10: nor one of the form at the token endpoint."""
    with suppress(httpx.TransportError):  # the connection may be closed while we are still sending
        assert live.client().get("/assets", headers={"Authorization": "DPoP " + "A" * 1_000_000}).status_code == 431
    assert live.client().post("/oauth/token", data={"client_assertion": "A" * 1_000_000}).status_code == 400
    assert live.client().get("/healthz").status_code == 200
