"""Notifications of consent solutions, signed by the headers of Standard Webhooks (standardwebhooks.com): who sent them, and what they say.

Rules kept here: the signature is over id, time and the raw body, with a secret that one solution alone shares with this node; it is checked before
anything of the body is read; a time that is too far from now is refused, so that what was overheard is soon worth nothing; a notification has an
id of its own, by which a repeated one is known.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass

from fmar_node.clock import parse_stamp, stamp
from fmar_node.sources.asker import members_of
from fmar_node.sources.consent import is_reference
from fmar_node.sources.source import SourceUnavailable

PREFIX = "whsec_"
LEAST_BYTES = 24
REVOKED = "consent.revoked"
ID = re.compile(r"[A-Za-z0-9_.-]{1,128}")
SECONDS = re.compile(r"[0-9]{1,12}")


class Unsigned(Exception):
    """Nobody whom this node trusts has signed it, or not now; the message says what was wrong and quotes nothing."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What a solution has told of one of its consents, and since when that holds (xsd:dateTime)."""

    solution: str
    id: str
    type: str
    reference: str
    since: str


def secret_of(text: str) -> bytes:
    """The secret that a file holds, `whsec_` and base64. ValueError where it is none, or too short to be one."""
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("is no base64") from error
    if not text.startswith(PREFIX) or len(secret) < LEAST_BYTES:
        raise ValueError(f"is not {PREFIX} and base64 of at least {LEAST_BYTES} bytes")
    return secret


def signature(secret: bytes, id_: str, seconds: str, body: bytes) -> str:
    """What `webhook-signature` has for a body, with its version."""
    signed = f"{id_}.{seconds}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def sender(headers: Mapping[str, str], body: bytes, secrets: Mapping[str, bytes], now: float, seconds: float) -> tuple[str, str]:
    """The solution that has signed a body, by its secret, and the id of the notification. Unsigned otherwise."""
    id_, time, given = (headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not ID.fullmatch(id_) or not SECONDS.fullmatch(time):
        raise Unsigned("webhook-id or webhook-timestamp is missing, or has another form")
    signatures = given.split(" ")[:8]
    found = [name for name, secret in secrets.items() if any(hmac.compare_digest(signature(secret, id_, time, body).encode(), each.encode()) for each in signatures)]
    if not found:
        raise Unsigned("webhook-signature is of no secret of this node")
    if abs(now - float(time)) > seconds:
        raise Unsigned("webhook-timestamp is too far from now; send it again, signed anew")
    return found[0], id_


def notification_of(solution: str, id_: str, body: bytes) -> Notification:
    """What a signed body says. ValueError where it says nothing that can be understood."""
    try:
        told = members_of(body)
        data = told["data"]
        reference, since = data["consent"], stamp(parse_stamp(told["timestamp"]))
    except (SourceUnavailable, KeyError, TypeError, ValueError) as error:
        raise ValueError("is not {type, timestamp, data: {consent}}") from error
    if not isinstance(told.get("type"), str) or not isinstance(reference, str) or not is_reference(reference):
        raise ValueError("has a type or a data.consent that is none")
    return Notification(solution, id_, told["type"], reference, since)
