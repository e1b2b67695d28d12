"""Judgement by shapes: SHACL Core over a document's triples, every result a fault on its field.

Rules kept here: pyshacl on an rdflib graph is the judge and its word stands; a constraint's code is the local
name of its shape up to the first hyphen; a result that has no path is put on the term that the shape names with
`fmar:onProperty`. rdflib must not rewrite lexical forms, and tells `"a"` from `"a"^^xsd:string`: text goes in plain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyoxigraph as ox
import pyshacl
import rdflib
from rdflib.namespace import SH

from fmar_node.errors import Fault, Severity
from fmar_node.vocabulary import FMAR, SHAPES, XSD, Tier, Vocabulary, packaged

rdflib.NORMALIZE_LITERALS = False
ON_PROPERTY = rdflib.URIRef(FMAR + "onProperty")
SEVERITIES = {
    SH.Violation: Severity.REJECT,
    rdflib.URIRef(FMAR + "Justify"): Severity.JUSTIFY,
    SH.Warning: Severity.WARN,
}


class Shapes:
    """The shapes of every kind, read from a folder (the packaged one by default)."""

    def __init__(self, vocabulary: Vocabulary, folder: Path | None = None) -> None:
        self.vocabulary = vocabulary
        files = sorted((folder or packaged("shapes")).glob("*.ttl"))
        self.graphs = {file.stem: rdflib.Graph().parse(file, format="turtle") for file in files}

    def faults(self, triples: Iterable[ox.Triple], kind: str, pointers: Mapping[str, str]) -> list[Fault]:
        """All results for the document of a kind ("asset"), in the order of their pointers."""
        data = rdflib.Graph()
        for triple in triples:
            data.add((_term(triple.subject), _term(triple.predicate), _term(triple.object)))
        shapes = self.graphs[kind]
        _, report, _ = pyshacl.validate(data, shacl_graph=shapes, inference="none", inplace=True)
        found = [self._fault(report, result, shapes, pointers) for result in report.subjects(rdflib.RDF.type, SH.ValidationResult)]
        return sorted(found, key=lambda fault: (fault.pointer, fault.constraint))

    def _fault(self, report: Any, result: Any, shapes: Any, pointers: Mapping[str, str]) -> Fault:
        shape = report.value(result, SH.sourceShape)
        path = report.value(result, SH.resultPath) or shapes.value(shape, ON_PROPERTY)
        name = str(path).removeprefix(FMAR) if isinstance(path, rdflib.URIRef) else ""
        constraint = str(shape).rsplit("#", 1)[-1] if str(shape).startswith(SHAPES) else "closed"
        pointer = pointers.get(str(report.value(result, SH.focusNode)), "")
        value = report.value(result, SH.value)
        term = self.vocabulary.terms.get(name)
        shown = None if value is None or term is None or term.tier is Tier.PERSONAL else str(value)[:80]
        return Fault(
            code=constraint.split("-", 1)[0],
            severity=SEVERITIES.get(report.value(result, SH.resultSeverity), Severity.REJECT),
            message=str(report.value(result, SH.resultMessage)),
            pointer=f"{pointer}/{name}" if name else pointer,
            field=name,
            value=shown,
            constraint=constraint,
        )


def _term(term: Any) -> Any:
    if isinstance(term, ox.NamedNode):
        return rdflib.URIRef(term.value)
    if term.datatype.value == XSD + "string":
        return rdflib.Literal(term.value)
    return rdflib.Literal(term.value, datatype=rdflib.URIRef(term.datatype.value))
