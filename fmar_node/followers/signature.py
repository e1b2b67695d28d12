"""Signatures of deliveries: Standard Webhooks (https://www.standardwebhooks.com), symmetric.

What is signed is `id.timestamp.body` under HMAC-SHA256; while two secrets count, both signatures stand in the header.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable

from fmar_node.identity import new_key

PREFIX, VERSION = "whsec_", "v1"


def new_secret() -> str:
    """A secret of 32 random bytes, as its holder writes it down."""
    return PREFIX + base64.b64encode(new_key()).decode()


def signature(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """The signature of one delivery under one secret."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return f"{VERSION},{base64.b64encode(hmac.digest(key, f'{id_}.{timestamp}.'.encode() + body, hashlib.sha256)).decode()}"


def signed(secrets: Iterable[str], id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a delivery."""
    signatures = " ".join(signature(secret, id_, timestamp, body) for secret in secrets)
    return {"webhook-id": id_, "webhook-timestamp": str(timestamp), "webhook-signature": signatures}
