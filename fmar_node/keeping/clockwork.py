"""What happens by the clock: invitations and delegations that end or begin, assets that have waited for too long, in the order in which they were due.

Rules kept here: what is due stands in the journal's table of what is due, so that a node that was down catches up when it
starts; each is entered through the write path, by the node itself.
"""

from __future__ import annotations

from datetime import datetime

from fmar_node.access.caller import node_itself
from fmar_node.clock import stamp
from fmar_node.drafting import Submission
from fmar_node.identity import new_token
from fmar_node.journal.register import Register
from fmar_node.judge import Judgement
from fmar_node.kinds import KINDS
from fmar_node.representation import LD_JSON
from fmar_node.settings import Settings

AT_ONCE = 64


def due(register: Register, settings: Settings, now: datetime) -> list[tuple[Submission, Judgement]]:
    """What has become due and is to be entered; no more than a few at once."""
    found = []
    for kind, id_ in register.due(stamp(now), AT_ONCE):
        version = register.current(kind, id_)
        awaited = KINDS[kind].awaits(version.document) if version else None
        if awaited:
            submission = Submission(node_itself("clock"), kind, awaited[1], id_, settings.base_url, LD_JSON, b"{}", digest=new_token())
            found.append((submission, Judgement()))
    return found
