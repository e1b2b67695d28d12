"""The node's signing keys while they change: the file is looked at again, and each key counts for its time.

Rules kept here:
- a change of the file is noticed within a second; a file that is broken or gone changes nothing, and the log says so;
- publish first, sign later: a new key is in `/oauth/jwks` at once, and signs when nobody's copy of the older set can be
  fresh any more (`signing_key_seconds`);
- an old key verifies until the longest token that it can have signed has ended, and is neither published nor accepted after.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

from fmar_node.access.key import PublicKey, SigningKeys
from fmar_node.clock import Clock
from fmar_node.settings import Settings

log = logging.getLogger("fmar.access")
LOOK_SECONDS = 1.0


class RotatingKeys:
    """The keys of one node's file as they count now. PermissionError or ValueError where the file holds none at the start."""

    def __init__(self, file: Path, settings: Settings, clock: Clock) -> None:
        self._file, self._clock = file, clock
        self._published, self._life = lives(settings)
        self._seen, self._held = self._identity(), SigningKeys.load(file)
        self._counting = self._held
        self._looked_at = -math.inf

    @property
    def signing_kid(self) -> str:
        return self._now().signing_kid

    def public(self) -> dict[str, Any]:
        return self._now().public()

    def find(self, kid: object) -> PublicKey | None:
        return self._now().find(kid)

    def sign(self, claims: dict[str, Any], typ: str) -> str:
        return self._now().sign(claims, typ)

    def _now(self) -> SigningKeys:
        now = self._clock.now().timestamp()
        if not 0 <= now - self._looked_at < LOOK_SECONDS:
            self._looked_at = now
            self._look()
            counting = self._held.at(now, self._published, self._life)
            if counting != self._counting:
                self._counting = counting
        return self._counting

    def _look(self) -> None:
        identity = self._identity()
        if identity == self._seen:
            return
        self._seen = identity
        try:
            self._held = SigningKeys.load(self._file)
            log.info("the signing keys were read again; there are %d", len(self._held.jwks))
        except (OSError, ValueError) as error:
            log.error("the signing keys were not read again, the old ones are kept: %s", error)

    def _identity(self) -> tuple[int, ...]:
        try:
            found = self._file.stat()
        except OSError:
            return ()
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)


def lives(settings: Settings) -> tuple[float, float]:
    """For how many seconds a key is published before it signs, and verifies after it has signed."""
    return settings.signing_key_seconds + LOOK_SECONDS, settings.token_seconds_most + settings.clock_skew_seconds + LOOK_SECONDS


def rotate_signing(file: Path, settings: Settings, clock: Clock, *, at_once: bool = False) -> SigningKeys:
    """A new signing key in the file, without the keys that count no more; `at_once` without any other one.

    PermissionError or ValueError where the file holds no keys.
    """
    now = clock.now().timestamp()
    published, life = lives(settings)
    held = SigningKeys.load(file)
    kept = {each["kid"] for each in held.at(now, published, life).jwks}
    left = SigningKeys(() if at_once else tuple(each for each in held.jwks if each["kid"] in kept))
    return left.rotate(file, now)
