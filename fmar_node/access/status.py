"""Token status lists (draft-ietf-oauth-status-list): others' are read, the node's own is made.

Rules kept here:
- a list is a JWS of its own type, signed by a key of the issuer of the token that names it, about exactly the address
  that it was fetched from, not in the future, not ended, and not older than the one that was read before it;
- it is inflated to a limit and no further; 1, 2, 4 or 8 bits are a status, the lowest bits of a byte come first;
- only status 0 counts as valid; a place outside the list is refused;
- the node's own list has one bit for each application key, at the place of the journal entry that the key came with.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fmar_node.access.jose import UnacceptableError, decode, encode, read_compact, text_claim, time_claim
from fmar_node.access.key import NodeKeys, PublicKey
from fmar_node.access.publication import Edition
from fmar_node.clock import Clock
from fmar_node.settings import Settings

LIST_TYPE = "statuslist+jwt"
BITS = (1, 2, 4, 8)
SEGMENTS = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")
"""What may follow the configured beginning of a list's address: no dots that lead upwards, no query, no escapes."""
LARGEST_INDEX = 2**40
OWN_LIST = "/oauth/status/1"
OWN_TTL = 30
OWN_LIFE = 3_600
BLOCK = 1_024
"""The own list grows by so many bytes, so that its length does not tell of every key."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the status of a token stands."""

    uri: str
    index: int

    def is_below(self, prefix: str) -> bool:
        return self.uri.startswith(prefix) and SEGMENTS.fullmatch(self.uri[len(prefix) :]) is not None

    def as_claim(self) -> dict[str, Any]:
        return {"status_list": {"idx": self.index, "uri": self.uri}}


def place_of(claims: dict[str, Any]) -> Place | None:
    """The claim `status` of a token; None where it has none. UnacceptableError where it cannot be looked up."""
    if claims.get("status") is None:
        return None
    listed = claims["status"].get("status_list") if isinstance(claims["status"], dict) else None
    index = listed.get("idx") if isinstance(listed, dict) else None
    if not isinstance(listed, dict) or not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < LARGEST_INDEX:
        raise UnacceptableError("has a status that is not a place in a status list")
    return Place(text_claim(listed, "uri"), index)


# -- others' lists


@dataclass(frozen=True, slots=True)
class StatusList(Edition):
    """A list as it was read: so many bits for each status, and when it was issued."""

    bits: int = 1
    packed: bytes = b""
    issued: float = 0.0

    def status(self, index: int) -> int:
        """The status at a place. UnacceptableError where the list has none there."""
        byte, shift = divmod(index * self.bits, 8)
        if byte >= len(self.packed):
            raise UnacceptableError("has a place that its status list does not have")
        return (self.packed[byte] >> shift) & ((1 << self.bits) - 1)


def read_status_list(
    body: bytes, uri: str, settings: Settings, now: float, before: StatusList | None, find: Callable[[object], PublicKey]
) -> StatusList:
    """A status list token. UnacceptableError unless it is whole, signed by a key that `find` knows, about `uri`, and in time."""
    compact = read_compact(_text(body), settings.status_list_bytes)
    if compact.header.get("typ") != LIST_TYPE:
        raise UnacceptableError(f"has a typ other than {LIST_TYPE}")
    find(compact.header.get("kid")).check(compact)
    claims = compact.claims()
    if claims.get("sub") != uri:
        raise UnacceptableError("is about another address")
    issued, ends = time_claim(claims, "iat"), time_claim(claims, "exp") if "exp" in claims else Edition().ends
    if issued > now + settings.clock_skew_seconds or now >= ends:
        raise UnacceptableError("is not valid yet, or no longer")
    if before is not None and issued < before.issued:
        raise UnacceptableError("is older than the one before it")
    ttl = time_claim(claims, "ttl") if "ttl" in claims else Edition().ttl
    bits, packed = _statuses(claims.get("status_list"), settings.status_list_bytes)
    return StatusList(ttl, ends, bits, packed, issued)


def _text(body: bytes) -> str:
    try:
        return body.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise UnacceptableError("is not a signed JWT") from error


def _statuses(listed: Any, most: int) -> tuple[int, bytes]:
    if not isinstance(listed, dict) or listed.get("bits") not in BITS or isinstance(listed["bits"], bool):
        raise UnacceptableError("has no status_list of 1, 2, 4 or 8 bits")
    squeezed = decode(text_claim(listed, "lst", most), "status_list")
    inflater = zlib.decompressobj()
    try:
        packed = inflater.decompress(squeezed, most + 1)
    except zlib.error as error:
        raise UnacceptableError("has a status_list that cannot be inflated") from error
    if len(packed) > most or not inflater.eof or inflater.unused_data:
        raise UnacceptableError(f"has a status_list that is cut off, or larger than {most} bytes")
    return int(listed["bits"]), packed


# -- the node's own list


class Revocations(Protocol):
    """What the register knows of revoked keys."""

    def size(self) -> int:
        """How many entries the journal has: nothing changes while it has no more."""
        ...

    def revoked_keys(self) -> tuple[int, Sequence[int]]:
        """The highest place of a key, and the places of the keys that are revoked."""
        ...


@dataclass(frozen=True, slots=True)
class SignedList:
    """The own list, ready to be sent."""

    text: str
    tag: str
    ends: float


class OwnList:
    """The status of the node's application keys, for those to whom its tokens or its applications are shown."""

    def __init__(self, base_url: str, keys: NodeKeys, clock: Clock, revocations: Revocations) -> None:
        self.uri = own_list(base_url)
        self._keys, self._clock, self._revocations = keys, clock, revocations
        self._size, self._highest = -1, 0
        self._revoked: Sequence[int] = ()
        self._made: tuple[object, SignedList] | None = None

    def current(self) -> SignedList:
        """The list as it stands now; the same bytes until something changes, or half of its life has passed."""
        if (size := self._revocations.size()) != self._size:
            self._highest, self._revoked = self._revocations.revoked_keys()
            self._size = size
        now = int(self._clock.now().timestamp())
        content = (self._highest // (8 * BLOCK), tuple(self._revoked), self._keys.signing_kid)
        if self._made is None or self._made[0] != content or not OWN_LIFE / 2 < self._made[1].ends - now <= OWN_LIFE:
            self._made = (content, self._signed(now))
        return self._made[1]

    def _signed(self, now: int) -> SignedList:
        packed = bytearray((self._highest // (8 * BLOCK) + 1) * BLOCK)
        for place in self._revoked:
            packed[place // 8] |= 1 << place % 8
        listed = {"bits": 1, "lst": encode(zlib.compress(bytes(packed), 9))}
        claims = {"sub": self.uri, "iat": now, "exp": now + OWN_LIFE, "ttl": OWN_TTL, "status_list": listed}
        text = self._keys.sign(claims, LIST_TYPE)
        return SignedList(text, hashlib.sha256(text.encode("ascii")).hexdigest()[:32], now + OWN_LIFE)


def own_list(base_url: str) -> str:
    """The address of the node's own list."""
    return base_url + OWN_LIST
