"""What the shapes of CIM see of a document: its triples under canonical names, typed, by one end of each association."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyoxigraph as ox

from fmar_node.cim import table as t
from fmar_node.cim.sent import Nodes, Sent, Value
from fmar_node.jsonld import Number, exact
from fmar_node.vocabulary import FMAR, RDF_TYPE, XSD

TYPES_FOR = {
    "string": ("string",), "dateTime": ("string", "date", "dateTime"), "decimal": ("string", "decimal", "integer", "float", "double"),
}  # fmt: skip
"""Datatype in the table -> those that a value may come with instead; CIMXML has no types at all."""
FORM_OF = {row.form.datatype: row.form for table in t.TABLES.values() for row in table.rows if row.form.datatype not in ("", "string")}
"""A form of each datatype: what it makes of what it has read is the canonical literal."""


@dataclass(slots=True)
class Evidence:
    """`where` has the place of each node (with an empty property) and of each property that it says."""

    triples: list[ox.Triple] = field(default_factory=list)
    where: dict[tuple[str, str], str] = field(default_factory=dict)

    def place(self, focus: str, path: str) -> str:
        """Where a property of a node stands in the document, or would stand; where the node does for none."""
        node = self.where.get((focus, ""), "")
        return self.where.get((focus, path), f"{node}/{t.local(path)}") if path else node


def evidence(table: t.Table, nodes: Nodes, iri: str) -> Evidence:
    """The evidence of a document about the record `iri`."""
    found = Evidence()
    names = {id_: ox.NamedNode(f"{iri}#node-{number}") for number, id_ in enumerate(nodes)}
    turned = {node.inverse: node.link for node in table.nodes if node.inverse} | {t.NAME_OF: t.NAMES}
    turned |= {t.ROLE_OF: t.ROLES_OF} if table.has_roles else {}
    for sent in nodes.values():
        _tell(found, sent, names, turned)
    return found


def _tell(found: Evidence, sent: Sent, names: Mapping[str, ox.NamedNode], turned: Mapping[str, str]) -> None:
    subject = names[sent.id]
    found.where[subject.value, ""] = sent.pointer
    found.triples += [ox.Triple(subject, ox.NamedNode(RDF_TYPE), class_) for each in sent.classes if (class_ := _node(each))]
    for name, values in sent.says.items():
        found.where[subject.value, t.iri(name)] = sent.place(name)
        for value in values if name in t.PROPERTIES else ():
            if name in turned and value.node in names:
                found.triples.append(ox.Triple(names[value.node], ox.NamedNode(t.iri(turned[name])), subject))
            else:
                found.triples.append(ox.Triple(subject, ox.NamedNode(t.iri(name)), _term(name, value, names)))


def _node(name: str) -> ox.NamedNode | None:
    try:
        return ox.NamedNode(t.iri(name))
    except ValueError:
        return None


def _term(name: str, value: Value, names: Mapping[str, ox.NamedNode]) -> ox.NamedNode | ox.Literal:
    datatype, raw = t.PROPERTIES[name][0], value.raw
    if value.node:
        return names.get(value.node, ox.Literal(value.node))
    if not datatype:
        text = next(iter(raw.values()), "") if isinstance(raw, dict) else raw
        return _node(str(text)) or ox.Literal(str(text))
    return typed(raw, datatype) or ox.Literal(str(raw), datatype=ox.NamedNode(f"{FMAR}ill-formed"))


def typed(raw: Any, datatype: str) -> ox.Literal | None:
    """A value as a literal of the table's datatype, in its canonical form; None where it is not one."""
    text, given = raw, "string"
    if isinstance(raw, Number):
        text, given = exact(raw), "decimal"
    elif isinstance(raw, dict) and raw.keys() <= {"@value", "@type"} and isinstance(raw.get("@value"), str):
        given = str(raw.get("@type", "string")).removeprefix(XSD).removeprefix("xsd:")
        text = exact(raw["@value"]) if given in ("float", "double") or isinstance(raw["@value"], Number) else raw["@value"]
    if not isinstance(text, str) or given not in TYPES_FOR[datatype]:
        return None
    if datatype == "string":
        return ox.Literal(text)
    back = FORM_OF[datatype].back(text)
    return None if back is None else ox.Literal(FORM_OF[datatype].out(back), datatype=ox.NamedNode(XSD + datatype))
