"""What has been used once is not used again: jti of proofs and assertions, and nonces.

Rules kept here:
- of many uses of one jti by one owner at once, exactly one succeeds;
- what was used is remembered for longer than the longest time for which it could be accepted, then forgotten;
- what could have been used before this memory began (a restart, a clock set back) is not accepted
  without a nonce of this very process;
- the memory is bounded: full, it refuses; it never forgets early.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import threading

from fmar_node.access.jose import UnacceptableError, decode, encode
from fmar_node.clock import Clock
from fmar_node.errors import Unavailable
from fmar_node.identity import new_salt
from fmar_node.settings import Settings

MAC_BYTES = 16


class ReplayCache:
    """The memory of one process. Two generations of at least one window each; thread-safe."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._window = settings.proof_seconds + settings.clock_skew_seconds + 1
        self._most = settings.replay_entries
        self._nonce_seconds = settings.dpop_nonce_seconds
        self._secret = new_salt() + new_salt()
        self._lock = threading.Lock()
        self._began = clock.now().timestamp()
        self._since = self._began
        self._current: set[bytes] = set()
        self._previous: set[bytes] = set()

    def use(self, owner: str, jti: str) -> bool:
        """True for the first use of `jti` by `owner`, False for each further one. Unavailable when full."""
        mark = hashlib.sha256(f"{owner}\n{jti}".encode()).digest()[:MAC_BYTES]
        with self._lock:
            self._forget()
            if mark in self._current or mark in self._previous:
                return False
            if len(self) >= self._most:
                wait = {"Retry-After": str(self._window)}
                raise Unavailable("unavailable", "too many credentials are in use at once", headers=wait)
            self._current.add(mark)
            return True

    def remembers(self, issued: float) -> bool:
        """Whether everything issued at that time (whole seconds since 1970) would be known if it had been used."""
        with self._lock:
            return issued >= math.floor(self._since)

    def nonce(self) -> str:
        """A nonce of this process for DPoP-Nonce (RFC 9449, section 8)."""
        issued = int(self._clock.now().timestamp()).to_bytes(8)
        return encode(issued + self._mac(issued))

    def has_issued(self, nonce: str) -> bool:
        """Whether this process issued `nonce`, not too long ago."""
        try:
            data = decode(nonce, "nonce")
        except UnacceptableError:
            return False
        age = self._clock.now().timestamp() - int.from_bytes(data[:8])
        return hmac.compare_digest(data[8:], self._mac(data[:8])) and age <= self._nonce_seconds

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._secret, data, "sha256")[:MAC_BYTES]

    def _forget(self) -> None:
        now = self._clock.now().timestamp()
        if now - self._began < self._window:
            return
        is_recent = now - self._began < 2 * self._window
        self._since = max(self._since, self._began if is_recent else now - self._window)
        self._previous, self._current = (self._current if is_recent else set()), set()
        self._began = now

    def __len__(self) -> int:
        return len(self._current) + len(self._previous)
