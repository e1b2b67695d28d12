"""Erasure on a stopped node's folder: the same write path, the same scrubbing, without the node's processes.

Rules kept here: nobody else has the folder open meanwhile; when this returns, nothing that the node keeps holds the values.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing

from fmar_node.access.caller import Caller
from fmar_node.checks.shape import Shapes
from fmar_node.clock import SystemClock, today
from fmar_node.drafting import Submission
from fmar_node.folder import Folder
from fmar_node.foundation import OPERATOR_CLIENT
from fmar_node.journal.journal import Batch
from fmar_node.judge import Paper, judge
from fmar_node.keeping.maintenance import open_journal, open_register, rebuild_graph
from fmar_node.keeping.scrub import finish, pending
from fmar_node.kinds.erasure import ERASURE
from fmar_node.record import Version
from fmar_node.representation import LD_JSON, json_bytes
from fmar_node.settings import Settings
from fmar_node.store.graph import opened
from fmar_node.submit import enter
from fmar_node.vocabulary import Vocabulary


def erase_records(folder: Folder, versions: Sequence[Version], note: Mapping[str, str]) -> None:
    """Erases the personal values of these records, as the organisation that made the node. Unavailable where a node is running."""
    opened(folder.graph).close()
    with closing(open_journal(folder)) as journal, journal.batch() as batch:
        for version in versions:
            _erase(batch, version, json_bytes(note), folder.settings())
    shutil.rmtree(folder.snapshots, ignore_errors=True)
    rebuild_graph(folder)
    with closing((register := open_register(folder)).connection):
        finish(folder, pending(register))


def _erase(batch: Batch, version: Version, body: bytes, settings: Settings) -> None:
    founder, vocabulary, clock = batch.journal.register.version_at(0), Vocabulary.load(), SystemClock()
    assert founder is not None
    caller, day = Caller(founder.id, OPERATOR_CLIENT), today(clock)
    submission = Submission(caller, version.kind, ERASURE, version.id, settings.base_url, LD_JSON, body)
    judgement = judge(Paper(version.kind, ERASURE, version.iri, LD_JSON, body, day), vocabulary, Shapes(vocabulary), settings)
    enter(batch, submission, judgement, vocabulary, day, batch.journal.recorded_now(clock.now()))
