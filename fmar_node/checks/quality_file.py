"""The files of quality rules: `shapes/quality/`, one for each kind of record, read and compiled.

Rules kept here: what is wrong with a rule is said with its key, before anything is measured by it: a rule that does not
compile, that looks at nothing, or whose function is not there, is none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import rdflib
from rdflib.namespace import SH

from fmar_node.checks import plausible
from fmar_node.checks.compiled import certainly, compile_shapes, properties_of
from fmar_node.checks.plausible import PLAIN
from fmar_node.checks.quality import DIMENSIONS, Holds, QualityRule, QualityRules
from fmar_node.checks.shape import ON_PROPERTY, graph_of, read_shapes
from fmar_node.vocabulary import FMAR, SHAPES, Vocabulary

FOLDER = "quality"
DIMENSION, STATUS, WEIGHT, READS, FROM, UNTIL = (
    rdflib.URIRef(FMAR + name) for name in ("qualityDimension", "ruleStatus", "weight", "reads", "inForceFrom", "inForceUntil")
)


def read_rules(folder: Path, vocabulary: Vocabulary) -> QualityRules:
    """The rules in the subfolder `quality` of a folder of shapes. SyntaxError, or ValueError that says which rule is wrong and how."""
    files = sorted((folder / FOLDER).glob("*.ttl"))
    found = [rule for file in files for rule in _in_file(file, vocabulary)]
    keys = [rule.key for rule in found]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise ValueError(f"{', '.join(twice)}: a key is one rule's alone")
    sources = [*files, Path(plausible.__file__)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()
    return QualityRules(found, digest)


def _in_file(file: Path, vocabulary: Vocabulary) -> Iterator[QualityRule]:
    graph: Any = graph_of(read_shapes(file))
    compiled = compile_shapes(graph)
    closures = {shape: conforms for shapes in compiled.groups.values() for shape, conforms, _ in shapes}
    for iri in sorted(set(graph.subjects(DIMENSION))):
        key = str(iri).removeprefix(f"{SHAPES}{FOLDER}/{file.stem}#")
        if iri in compiled.unsupported:
            raise ValueError(f"{key} does not compile: {compiled.unsupported[iri]}")
        yield _rule(graph, iri, key, closures.get(iri), vocabulary)


def _rule(graph: Any, iri: Any, key: str, conforms: Any, vocabulary: Vocabulary) -> QualityRule:
    def said(term: Any) -> str:
        return str(graph.value(iri, term, default=""))

    is_plain = (iri, rdflib.RDF.type, rdflib.URIRef(f"{FMAR}PlainRule")) in graph
    if is_plain and key not in PLAIN:
        raise ValueError(f"{key} is a plain rule, and the node has no function of that key")
    dimension, status, weight = said(DIMENSION).rpartition("#")[2], said(STATUS).rpartition("#")[2], said(WEIGHT)
    if dimension not in DIMENSIONS or status not in vocabulary.schemes["RuleStatus"].codes or not weight.isdigit() or weight == "0":
        raise ValueError(f"{key} has no dimension or status of their code lists, or no weight from 1 on")
    paths = set(graph.objects(iri, READS)) if is_plain else properties_of(graph, iri)
    if paths is None:
        raise ValueError(f"{iri} is closed: it looks at every property, and nobody could be told what it says")
    if not paths or any(str(path) not in vocabulary.by_iri for path in paths):
        raise ValueError(f"{key} looks at no property, or at one that is no term of the ontology")
    return QualityRule(
        key, str(iri), said(SH.targetClass).removeprefix(FMAR), said(SH.name), said(SH.message), dimension, int(weight), status,
        said(SH.severity).rpartition("#")[2], (said(SH.path) or said(ON_PROPERTY)).removeprefix(FMAR),
        frozenset(vocabulary.by_iri[str(path)].tier for path in paths), said(FROM), said(UNTIL),
        _plainly(key, (str(path).removeprefix(FMAR) for path in paths)) if is_plain else _by_shape(conforms),
    )  # fmt: skip


def _by_shape(conforms: Any) -> Holds:
    return lambda _, facts, focus, __: certainly(conforms, facts, focus)


def _plainly(key: str, reads: Iterable[str]) -> Holds:
    function, terms = PLAIN[key], tuple(reads)
    return lambda document, _, __, day: function({term: document[term] for term in terms if term in document}, day)
