"""Identifiers and randomness come from here and nowhere else."""

from __future__ import annotations

import re
import secrets

import uuid_utils

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
UUID_TEXT = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def new_record_id() -> str:
    """A UUID version 7 (RFC 9562): opaque, sortable by time of issue."""
    return str(uuid_utils.uuid7())


def new_salt() -> bytes:
    """16 random bytes that hide a short value behind its commitment."""
    return secrets.token_bytes(16)


def new_key() -> bytes:
    """32 random bytes that a record's personal sections are encrypted with."""
    return secrets.token_bytes(32)


def new_token(size: int = 16) -> str:
    """A random URL-safe text of `size` bytes of entropy, for jti, nonce, cursor keys."""
    return secrets.token_urlsafe(size)


def new_claim_code() -> str:
    """20 characters of Crockford's base 32 in groups of five, 100 random bits, to be written down and read out."""
    letters = "".join(secrets.choice(CROCKFORD) for _ in range(20))
    return "-".join(letters[place : place + 5] for place in range(0, 20, 5))


def by_chance(least: float, most: float) -> float:
    """A number between two others, so that those who were refused together do not come again together."""
    return secrets.SystemRandom().uniform(least, most)


def is_uuid(text: str) -> bool:
    return UUID_TEXT.fullmatch(text) is not None
