"""What a maintainer may get wrong in a file of shapes, told before any document is judged by it: with its file and its shape.

Rules kept here: a closed shape lists the property shapes of its file; paths are terms that the ontology has; severities are
those that the judgement knows; a pattern compiles, and takes a time that grows with its text alone; no SPARQL, which the compiled
shapes do not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import rdflib
from rdflib.namespace import RDF, SH

from fmar_node.checks.pattern import slowness
from fmar_node.checks.quality_file import read_rules
from fmar_node.checks.shape import SEVERITIES, TARGETS, Shapes, graph_of, read_shapes
from fmar_node.vocabulary import FMAR, SHAPES, Vocabulary


def mistakes(folder: Path, vocabulary: Vocabulary) -> Iterator[str]:
    """Every mistake in the files of a folder, each as one line."""
    for file in (*sorted(folder.glob("*.ttl")), *sorted(folder.glob("cim/*.ttl"))):
        name = file.relative_to(folder).as_posix()
        try:
            graph = graph_of(read_shapes(file))
        except (SyntaxError, ValueError) as error:
            yield f"{name}: {error}"
            continue
        yield from (f"{name}: {said}" for said in mistakes_in(graph, vocabulary))
    try:
        read_rules(folder, vocabulary)
    except (SyntaxError, ValueError, re.error) as error:
        yield f"quality: {error}"


def mistakes_in(graph: rdflib.Graph, vocabulary: Vocabulary) -> Iterator[str]:
    """Every mistake in a graph of shapes."""
    listed = set(graph.objects(None, SH.property))
    for shape in sorted(set(graph.subjects(RDF.type, SH.PropertyShape)), key=str):
        if shape not in listed and not any((shape, how, None) in graph for how in TARGETS) and isinstance(shape, rdflib.URIRef):
            yield f"{_name(shape)} is in the sh:property of no shape and has no target: it judges nothing"
    for shape, severity in sorted(graph.subject_objects(SH.severity)):
        if severity not in SEVERITIES:
            yield f"{_name(shape)} has the severity {_name(severity)}; there are {', '.join(sorted(map(_name, SEVERITIES)))}"
    for shape in sorted(set(graph.subjects(SH.sparql)), key=str):
        yield f"{_name(shape)} has sh:sparql, which shapes of a register do not have: a rule over more than the document is Python, in kinds/"
    for shape, path in sorted(graph.subject_objects(SH.path)):
        if str(path).startswith(FMAR) and str(path) not in vocabulary.by_iri and str(path) != f"{FMAR}direction":
            yield f"{_name(shape)} has the path {_name(path)}, which is no term of the ontology"
    for shape, pattern in sorted(graph.subject_objects(SH.pattern)):
        try:
            why = slowness(str(pattern))
        except (re.error, OverflowError, RecursionError) as error:
            yield f"{_name(shape)} has a pattern that does not compile: {error}"
        else:
            if why:
                yield f"{_name(shape)} has a pattern that may take for ever: {why}"


def _name(node: Any) -> str:
    text = str(node)
    return text.removeprefix(SHAPES).rsplit("#", 1)[-1] if isinstance(node, rdflib.URIRef) else "a shape without an IRI"


def not_compiled(folder: Path, vocabulary: Vocabulary) -> Iterator[str]:
    """Every shape of a folder without mistakes that pyshacl is asked about for each document, and why: no mistake, but slow."""
    bench = Shapes(vocabulary, folder)
    for file in (*sorted(folder.glob("*.ttl")), *sorted(folder.glob("cim/*.ttl"))):
        name = file.relative_to(folder).with_suffix("").as_posix()
        for shape, reason in sorted(bench.of(name).compiled.unsupported.items()):
            yield f"{name}.ttl: {_name(shape)} is not compiled ({reason})"
