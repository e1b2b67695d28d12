"""A judgement's faults as a SHACL validation report in JSON-LD, for tools that speak SHACL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fmar_node.errors import Fault, Severity
from fmar_node.vocabulary import FMAR, SHAPES

CONTEXT = {
    "sh": "http://www.w3.org/ns/shacl#",
    "fmar": FMAR,
    "shape": f"{SHAPES}",
    "sh:sourceShape": {"@type": "@id"},
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


def _result(fault: Fault, kind: str) -> dict[str, Any]:
    result: dict[str, Any] = {
        "@type": "sh:ValidationResult",
        "sh:resultSeverity": SEVERITIES[fault.severity],
        "sh:sourceShape": f"{SHAPES}{kind}#{fault.constraint or fault.code}",
        "sh:resultMessage": fault.message,
        "fmar:pointer": fault.pointer,
    }
    if fault.field and ":" not in fault.field:
        result["sh:resultPath"] = f"fmar:{fault.field}"
    if fault.value is not None:
        result["sh:value"] = fault.value
    return result
