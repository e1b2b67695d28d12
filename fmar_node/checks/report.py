"""A judgement's faults as a SHACL validation report in JSON-LD, for tools that speak SHACL."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import pyoxigraph as ox

from fmar_node.cim.table import CIM
from fmar_node.errors import Fault, Severity
from fmar_node.vocabulary import FMAR, SHAPES, packaged

CONTEXT = {
    "sh": "http://www.w3.org/ns/shacl#",
    "fmar": FMAR,
    "shape": f"{SHAPES}",
    "sh:sourceShape": {"@type": "@id"},
    "sh:sourceConstraintComponent": {"@type": "@id"},
    "sh:resultPath": {"@type": "@id"},
    "sh:resultSeverity": {"@type": "@id"},
}
SEVERITIES = {
    Severity.REJECT: "sh:Violation",
    Severity.JUSTIFY: "fmar:Justify",
    Severity.WARN: "sh:Warning",
    Severity.FILLED: "sh:Info",
}


def validation_report(faults: Iterable[Fault], kind: str) -> dict[str, Any]:
    """`sh:conforms` is true when nothing is worse than a default that was filled."""
    listed = list(faults)
    return {
        "@context": CONTEXT,
        "@type": "sh:ValidationReport",
        "sh:conforms": all(fault.severity is Severity.FILLED for fault in listed),
        "sh:result": [_result(fault, kind) for fault in listed],
    }


@cache
def _shapes_of(kind: str) -> frozenset[str]:
    """The named shapes of a kind; what is not among them was found by a plain check or a rule."""
    file = packaged("shapes") / f"{kind}.ttl"
    text = file.read_text("utf-8") if file.exists() else ""
    subjects = (quad.subject for quad in ox.parse(text, format=ox.RdfFormat.TURTLE))
    return frozenset(subject.value for subject in subjects if isinstance(subject, ox.NamedNode))


def _source(fault: Fault, kind: str) -> dict[str, str]:
    for name in (kind, f"cim/{kind}"):
        shape = f"{SHAPES}{name}#{fault.constraint or fault.code}"
        if shape in _shapes_of(name):
            return {"sh:sourceShape": shape}
    return {"sh:sourceConstraintComponent": "fmar:Rule", "fmar:rule": fault.code}


def _result(fault: Fault, kind: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "@type": "sh:ValidationResult",
        "sh:resultSeverity": SEVERITIES[fault.severity],
        **_source(fault, kind),
        "sh:resultMessage": fault.message,
        "fmar:pointer": fault.pointer,
    }
    if fault.field and ":" not in fault.field:
        result["sh:resultPath"] = CIM + fault.field if "." in fault.field else f"fmar:{fault.field}"
    if fault.value is not None:
        result["sh:value"] = fault.value
    return result
