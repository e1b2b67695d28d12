"""The operator's word for a signing key of the journal whose predecessor was lost.

Rules kept here: it is a compact JWS of its own type, over the whole text of the hand-over, by an application key of an
organisation that operated the register at that moment; no other signature of that key can be taken for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from joserfc import jwk as jose_key

from fmar_node.access.jose import UnacceptableError, read_compact, sign_compact
from fmar_node.access.key import ALGORITHMS_OF, MEMBERS_OF, PublicKey, public_key, thumbprint

TYPE = "fmar-handover+jwt"
MOST_CHARACTERS = 8_192


def authorise(text: str, key: Mapping[str, Any]) -> str:
    """The JWS over a hand-over's text by an application's private key (a JWK)."""
    kid = thumbprint({name: key[name] for name in MEMBERS_OF[key["kty"]]})
    header = {"typ": TYPE, "alg": ALGORITHMS_OF[key["kty"]][0], "kid": kid}
    return sign_compact(header, {"handover": text}, jose_key.import_key(dict(key)))


def key_id_of(jws: str) -> str:
    """Which key claims to have signed. UnacceptableError where it is no such JWS."""
    header = read_compact(jws, MOST_CHARACTERS).header
    if header.get("typ") != TYPE or not isinstance(header.get("kid"), str):
        raise UnacceptableError(f"is not of the type {TYPE}, or names no key")
    return str(header["kid"])


def check_authorised(jws: str, text: str, key: PublicKey) -> None:
    """UnacceptableError unless `key` has signed this very text."""
    if key_id_of(jws) != key.thumbprint:
        raise UnacceptableError("is of another key")
    compact = read_compact(jws, MOST_CHARACTERS)
    key.check(compact)
    if compact.claims() != {"handover": text}:
        raise UnacceptableError("is over another text")


def operator_key(text: str) -> PublicKey:
    """The operator's public key, from a JWK's text. UnacceptableError where it is none."""
    try:
        return public_key(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, UnacceptableError) else UnacceptableError("is not a JWK in JSON") from None
