"""How often an organisation may be told something about records that are not its own.

A conflict of identifiers tells one bit about somebody else's record. It is needed, and may not be asked ten thousand
times: each answer of that kind counts, and past the limit of the hour none is given. What an organisation has itself
registered is no news to it, but to whoever acts for it. Lookups that find nothing are counted by themselves, so that nobody tries out meter points; claims without authority likewise, so that nobody tries out claim codes; what is found
is never held back.
"""

from __future__ import annotations

import hashlib
import re

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from fmar_node.access.caller import Caller
from fmar_node.errors import FmarError, TooMany
from fmar_node.settings import Settings

TELLING = frozenset({"A20-shared", "A21-shared", "DUPLICATE_EXACT", "DUPLICATE_PROBABLE", "FRIENDLY_CODE_TAKEN", "EXTERNAL_ID_TAKEN", "ORG_ALREADY_REGISTERED", "ORGANISATION-KEY-4", "QUERY_NAME_TAKEN"})
OF_ONES_OWN = frozenset({"FRIENDLY_CODE_TAKEN", "EXTERNAL_ID_TAKEN"})
"""What tells of the organisation's own records alone: no news to itself."""
OF_A_POINT = frozenset({"A20-shared", "A21-shared", "DUPLICATE_PROBABLE"})
"""What tells of an asset at a meter point; tried often enough, what kind of asset it is."""
POINT = re.compile(rb"(?<![0-9])(?:[0-9]{8})?([0-9]{13})(?![0-9])")


class Throttle:
    """Counts telling answers by organisation."""

    def __init__(self, settings: Settings) -> None:
        self.limit, self.misses = RateLimitItemPerHour(settings.probes_per_hour), RateLimitItemPerHour(settings.lookups_per_hour)
        self.at_point = RateLimitItemPerHour(settings.point_probes_per_hour)
        self.claims = RateLimitItemPerHour(settings.claims_per_hour)
        self.window = MovingWindowRateLimiter(MemoryStorage())

    def missed(self, key: str, refusal: FmarError) -> FmarError:
        """That nothing was found, or TooMany in its place when the caller has looked for too much that is not there for it."""
        detail = f"{self.misses.amount} lookups in this hour found nothing that is yours: as many as an organisation is given (lookups_per_hour)"
        return refusal if self.window.hit(self.misses, "lookup", key) else _too_many(detail)

    def unproven(self, key: str, refusal: FmarError) -> FmarError:
        """That there is no authority, or TooMany in its place when the caller has tried too often to find one."""
        detail = f"{self.claims.amount} claims in this hour had no authority: as many as an organisation is given (claims_per_hour)"
        return refusal if self.window.hit(self.claims, "claim", key) else _too_many(detail)

    def pass_on(self, caller: Caller, refusal: FmarError, body: bytes = b"") -> FmarError:
        """The refusal, or TooMany in its place when the caller has been told enough for this hour, of all or of the meter points in a document."""
        is_own = not caller.actor
        told = {fault.constraint or fault.code for fault in refusal.faults if not (is_own and (fault.code in OF_ONES_OWN or "you have registered" in fault.message))}
        if not TELLING & told:
            return refusal
        points = sorted(set(POINT.findall(body)) or {b""}) if OF_A_POINT & told else []
        if not all([self.window.hit(self.at_point, caller.party, hashlib.sha256(point).hexdigest()) for point in points]):
            return _too_many(f"{self.at_point.amount} answers in this hour told of somebody else's asset at this meter point: what it is like is not found by trying (point_probes_per_hour)")
        if self.window.hit(self.limit, caller.party):
            return refusal
        return _too_many(f"{self.limit.amount} answers in this hour told of records that are not yours: as many as an organisation is given (probes_per_hour)")


def _too_many(detail: str) -> TooMany:
    return TooMany("too-many-requests", detail, headers={"Retry-After": "600"})
