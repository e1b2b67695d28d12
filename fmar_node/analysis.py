"""What a proposed release would do to the stored register: a process of its own looks through it, page by page.

Rules kept here: looked at are the records that may still be changed, as they would be judged if they were sent again as they stand;
counted is what stands against them in the candidate and not in the release in force, by constraint, kind, category and manager; a
deprecated code that stays valid where it stands is counted apart. The compiled shapes decide where pyshacl has borne them out, and
pyshacl everywhere else. What was found is a file that is replaced as a whole, and with it where to go on: a node that is started
again loses a page at most. Nothing is written to the register here.

`main` (arguments: socket descriptor, data folder, id of the release; first frame: settings) ends when it has looked at everything.
"""

from __future__ import annotations

import os
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdflib import URIRef
from rdflib.namespace import SH

from fmar_node import frames, logs
from fmar_node.checks.shape import SEVERITIES, Shapes
from fmar_node.clock import SystemClock, stamp
from fmar_node.errors import Severity
from fmar_node.folder import Folder
from fmar_node.impact import KEPT, Impact, impact_at, impact_file
from fmar_node.journal.register import Register, Window, connect
from fmar_node.judge import keeps_codes
from fmar_node.kinds import KINDS, Kind
from fmar_node.record import Version
from fmar_node.release import Releases, release_name
from fmar_node.representation import triples
from fmar_node.settings import Settings
from fmar_node.store.sandbox import die_with_parent
from fmar_node.vocabulary import FMAR, SHAPES, Document, Vocabulary

PAGE = 500
BORNE_OUT = 20
"""So many records that pyshacl sees as a compiled shape does, and the shape decides by itself."""
NICENESS = 10


class Bench:
    """The shapes of one kind in one release, as they judge stored records."""

    def __init__(self, vocabulary: Vocabulary, kind: Kind, borne_out: int = BORNE_OUT) -> None:
        self.vocabulary, self.kind, self.shapes, self.borne_out = vocabulary, kind, Shapes(vocabulary), borne_out
        self.prepared = self.shapes.of(kind.name)
        self.agreed: Counter[str] = Counter()
        self.doubtful = {_local(shape) for shape in self.prepared.compiled.unsupported}

    def against(self, document: Document) -> dict[str, str]:
        """Constraint -> severity, for everything that stands in the document's way."""
        found = list(triples(document, self.vocabulary))
        suspects = {_local(shape): shape for shape in self.prepared.compiled.suspects(found)}
        if all(self.agreed[name] >= self.borne_out and name not in self.doubtful for name in suspects):
            told = {name: SEVERITIES.get(self.prepared.graph.value(shape, SH.severity), Severity.REJECT) for name, shape in suspects.items()}
        else:
            told = {fault.constraint: fault.severity for fault in self.shapes.faults(found, self.kind.name, {})}
            self._compare(set(suspects), set(told))
        answered = {each.get("rule") for each in document.get("justification", ())}
        grave = {Severity.REJECT, Severity.JUSTIFY}
        return {name: how.value for name, how in told.items() if how in grave and (how is Severity.REJECT or name.split("-", 1)[0] not in answered)}

    def _compare(self, compiled: set[str], judged: set[str]) -> None:
        """A shape that pyshacl sees otherwise is never believed again."""
        for name in compiled & judged:
            self.agreed[name] += 1
        if judged - compiled:
            self.doubtful |= compiled
        self.doubtful |= compiled - judged

    def is_kept(self, constraint: str, document: Document) -> bool:
        """Whether all that a constraint has against a document are deprecated codes, which stay valid where they stand."""
        term = self.vocabulary.terms.get(constraint_term(self.prepared.graph, self.kind, constraint)) if constraint.endswith("-code") else None
        return term is not None and keeps_codes(term, document, document, self.vocabulary)


def constraint_term(graph: Any, kind: Kind, constraint: str) -> str:
    """The term that a constraint is about; empty where it is about several."""
    return str(graph.value(URIRef(f"{SHAPES}{kind.name}#{constraint}"), SH.path) or "").removeprefix(FMAR)


def _local(shape: Any) -> str:
    return str(shape).rsplit("#", 1)[-1]


class Analysis:
    """Looks through a register for a release over another one."""

    def __init__(self, register: Register, base: Vocabulary, candidate: Vocabulary, page: int = PAGE) -> None:
        self.register, self.base, self.candidate, self.page = register, base, candidate, page
        self.kinds = [kind for kind in KINDS.values() if "update" in kind.actions and self._differs(f"shapes/{kind.name}.ttl")]
        self.terms = frozenset(name for name, term in candidate.terms.items() if term.server_set)

    def _differs(self, name: str) -> bool:
        return self.base.text(name) != self.candidate.text(name)

    def begun(self, of: int) -> Impact:
        """An impact of which nothing is known but how much there is to look at."""
        counts = self.register.counts()
        total = sum(count for (plural, state), count in counts.items() for kind in self.kinds if plural == kind.plural and state in kind.actions["update"].states)
        return Impact(of, self.candidate.release, self.base.release, total)

    def pages(self, impact: Impact) -> Iterator[None]:
        """Goes on where the impact stands, a page at a time, and is finished at the end."""
        plurals = [kind.plural for kind in self.kinds]
        for kind in self.kinds[plurals.index(impact.kind) if impact.kind in plurals else 0 :]:
            impact.kind, impact.after = kind.plural, impact.after if impact.kind == kind.plural else ""
            before, after = Bench(self.base, kind), Bench(self.candidate, kind)
            while page := self.register.page(kind.plural, Window(everything=True), impact.after, self.page, {}):
                for version in page:
                    if version.state in kind.actions["update"].states:
                        impact.add(version, self._new(version, before, after))
                impact.after = page[-1].id
                yield
        impact.finished = stamp(SystemClock().now())

    def _new(self, version: Version, before: Bench, after: Bench) -> dict[str, str]:
        """What stands against a record in the candidate alone, as it would be judged: without what the node itself has set."""
        document = {name: value for name, value in version.document.items() if name not in self.terms}
        if not (found := after.against(document)):
            return {}
        old = before.against(document)
        return {name: KEPT if after.is_kept(name, document) else how for name, how in found.items() if name not in old}


def main(descriptor: str, data: str, id_: str) -> None:
    """The process."""
    die_with_parent()
    logs.set_up_child("analysis")
    sock, folder = frames.inherited(descriptor), Folder(Path(data))
    if (frame := frames.receive(sock)) is None:
        return
    settings = Settings(**frame[0]["settings"])
    logs.set_level(settings.log_level)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (settings.judge_memory_bytes, resource.RLIM_INFINITY))
    releases = Releases()
    register = Register(connect(folder.journal / "journal.db"), releases.packaged.terms, folder.lookup_key())
    version = register.current("releases", id_)
    assert version is not None
    analysis = Analysis(register, releases.in_force(register), releases.of(version))
    file = impact_file(folder, id_)
    impact = impact_at(file)
    if impact is None or (impact.of, impact.release, impact.base) != (version.number, release_name(version.document), analysis.base.release):
        impact = analysis.begun(version.number)
    impact.save(file)
    for _ in analysis.pages(impact):
        impact.save(file)
    impact.save(file)
