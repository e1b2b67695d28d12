"""Every check of a document: the form, the constraints of the shapes, the rules of the kinds."""

from __future__ import annotations

from collections.abc import Iterator

import rdflib
from maker.markdown import code, page, table
from maker.raised import fault_calls
from maker.words import FORM_CODES, PARAMETERS
from rdflib.namespace import SH

from fmar_node.kinds import KINDS, Kind, Rule
from fmar_node.vocabulary import FMAR, SHAPES, packaged

MORE = {
    "asset": ["fmar_node.checks.mpan"], "organisation": ["fmar_node.kinds.identity"], "saved-query": ["fmar_node.checks.saved_query"],
    "release": ["fmar_node.checks.release"],
}
"""The modules beside a kind's own that make faults for it."""
SEVERITIES = {SH.Violation: "R", rdflib.URIRef(FMAR + "Justify"): "J", SH.Warning: "W"}


def rules() -> str:
    parts = [
        "Every check of a document, by its code. A fault quotes the code, the constraint and the field; a justification names the "
        "code. Severity: **R** rejects, **J** is accepted with a justification, **W** is accepted with a warning, **F** was filled.",
        "## Form of a document",
        table("code | severity | means", FORM_CODES),
    ]
    for kind in KINDS.values():
        constraints = sorted(_constraints(kind), key=lambda row: _natural(row[0]))
        parts += [f"## Constraints: {kind.name}", f"From `shapes/{kind.name}.ttl`; judged without looking at other records."]
        parts.append(table("code | constraint | severity | field | message", constraints))
        if (packaged("shapes") / "cim" / f"{kind.name}.ttl").exists():
            in_cim = sorted(_constraints(kind, "cim/"), key=lambda row: row[1])
            parts += [f"## Constraints: {kind.name} in CIM", f"From `shapes/cim/{kind.name}.ttl`; judged of a document in the [CIM profile](cim-profile.md), as it was sent."]
            parts.append(table("code | constraint | severity | field | message", in_cim))
        parts += [f"## Rules: {kind.name}", f"From `{home(kind).replace('.', '/')}.py`: they look at the register, at dates, or do sums."]
        if kind.defaults.__doc__:
            parts.append(f"Filled where a document is silent (F): {_says(None, kind.defaults.__doc__).removeprefix('F: ')}")
        if kind.spelling.__doc__:
            parts.append(f"Written in one way, however a document writes it (F): {_says(None, kind.spelling.__doc__).removeprefix('F: ')}")
        parts.append(table("code | severity | message | rule", _rule_rows(kind)))
    return page("Rules", *parts)


def _constraints(kind: Kind, profile: str = "") -> Iterator[list[str]]:
    graph = rdflib.Graph().parse(packaged("shapes") / f"{profile}{kind.name}.ttl")
    for shape, severity in graph.subject_objects(SH.severity):
        name = str(shape).removeprefix(f"{SHAPES}{profile}{kind.name}#")
        place = graph.value(shape, SH.path) or graph.value(shape, rdflib.URIRef(FMAR + "onProperty")) or ""
        field = code(str(place).rsplit("#", 1)[-1])
        yield [code(name.split("-", 1)[0]), code(name), SEVERITIES[severity], field, str(graph.value(shape, SH.message))]


def home(kind: Kind) -> str:
    """The module that a kind is declared in."""
    return f"fmar_node.kinds.{kind.name.replace('-', '_')}"


def _rule_rows(kind: Kind) -> list[list[str]]:
    modules = [home(kind), *MORE.get(kind.name, ())]
    told = {rule.faults.__name__: rule for action in kind.actions.values() for rule in action.rules}
    rows = [
        [code(call.code), call.severity, call.message, _says(told.get(call.function), call.told)]
        for module in modules
        for call in fault_calls(module, PARAMETERS)
    ]
    return sorted(rows, key=lambda row: _natural(row[0]))


def _says(rule: Rule | None, otherwise: str) -> str:
    text = (rule.faults.__doc__ or "") if rule else otherwise
    return text.strip().split("\n\n", maxsplit=1)[0]


def _natural(text: str) -> tuple[bool, str]:
    return (not (text[1:2] in "AX" and text[2:4].isdigit()), text)
