"""What may no longer be kept, found by the clock: personal values of records that have ended, and idempotency keys.

Rules kept here: the periods are settings, and 0 keeps; what is due is erased through the write path, by the organisation
that made the node, with the reason RETENTION; a record that has ended is erased once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from fmar_node.access.caller import Caller
from fmar_node.clock import stamp
from fmar_node.drafting import Submission
from fmar_node.identity import new_token
from fmar_node.journal.register import Register
from fmar_node.judge import Judgement
from fmar_node.kinds.erasure import ERASURE, EVERYTHING
from fmar_node.representation import LD_JSON, json_bytes
from fmar_node.settings import Settings

AT_ONCE = 64
"""Erasures that are asked for before the next look."""
NOTE = {"erasureReason": "RETENTION", "erasureScope": EVERYTHING}
APPLICATION = "retention"


def due(register: Register, settings: Settings, now: datetime) -> list[tuple[Submission, Judgement]]:
    """The erasures of records that ended longer ago than their personal values are kept; no more than a few."""
    if not settings.retention_days:
        return []
    ended = register.ended_before(stamp(now - timedelta(days=settings.retention_days)), AT_ONCE)
    return [(_erasure(register, settings, kind, id_), Judgement(NOTE)) for kind, id_ in ended]


def forgettable(register: Register, settings: Settings, now: datetime) -> int:
    """The entry before which idempotency keys need not be remembered any more; 0 where all are."""
    if not settings.idempotency_days:
        return 0
    return register.index_at(stamp(now - timedelta(days=settings.idempotency_days))) + 1


def _erasure(register: Register, settings: Settings, kind: str, id_: str) -> Submission:
    founder = register.version_at(0)
    assert founder is not None
    body = json_bytes(NOTE)
    return Submission(Caller(founder.id, APPLICATION), kind, ERASURE, id_, settings.base_url, LD_JSON, body, digest=new_token())
