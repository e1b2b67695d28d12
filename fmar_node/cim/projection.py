"""Out: a record document as CIM nodes, and these as triples or as one JSON-LD object.

Rules kept here: only the document that it is given is looked at, so that nobody sees more through CIM; a name of CIM stands
only where CIM has it; what has no place in CIM stays in the namespace of FMAR on the record's own node; no blank nodes; the
same document gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pyoxigraph as ox

from fmar_node.cim import table as t
from fmar_node.composition import CODE_TEXT
from fmar_node.representation import RDF_FORMATS, Profile, facts
from fmar_node.vocabulary import FMAR, RDF_TYPE, XSD, Document, Vocabulary


@dataclass(slots=True)
class Made:
    """A node that was made: what it says in CIM, in order, and what of the document stays on it in FMAR."""

    iri: str
    class_: str
    says: list[tuple[str, Value]] = field(default_factory=list)
    rest: Document = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Text:
    """A literal. `datatype` is an XSD type."""

    text: str
    datatype: str


Value = Made | Text | str
"""A node, a literal, or an IRI."""


def project(document: Document) -> Made:
    """The record's own node; the others hang on it."""
    return _Projection(t.TABLES[document["type"]], document).root()


class _Projection:
    def __init__(self, table: t.Table, document: Document) -> None:
        self.table, self.document = table, document
        self.taken = {part["id"] for value in document.values() if isinstance(value, list) for part in value if isinstance(part, dict)}
        self.carried = {"id", "type"}
        self.order = table.order(document)
        self.types: dict[str, Made] = {}

    def root(self) -> Made:
        made = self._node(self.table.root)
        assert made is not None
        made.says += [(t.NAMES, self._alias(alias)) for alias in self.document.get("alias", ())]
        made.says += [(t.ROLES_OF, role) for role in self._roles()]
        made.rest = {term: value for term, value in self.document.items() if term not in self.carried | {"alias"}}
        return made

    def _node(self, node: t.Node) -> Made | None:
        """The node with all that hangs on it, None where it would say nothing."""
        class_ = self.table.class_of(node, self.document)
        says = [*self._values(node, class_), *self._names(node), *self._under(node)]
        is_there = says or node.always or not node.under or node.beside in self.order
        iri = self.document["id"] if not node.under else self._free(node.name)
        return Made(iri, class_, [*((name, self._fixed(name, value)) for name, value in node.fixed), *says]) if is_there else None

    def _values(self, node: t.Node, class_: str) -> Iterator[tuple[str, Value]]:
        for row in self.table.rows_of(node.name):
            if row.written and row.term in self.document and t.has(class_, row.property):
                self.carried.add(row.term)
                text = row.form.out(self.document[row.term])
                yield row.property, Text(text, row.form.datatype) if row.form.datatype else text
        if node.name == "resource" and (state := t.STATES.get(self.document.get("registrationStatus", ""))):
            yield t.STATE, t.CIM + t.STATE_KIND + state

    def _under(self, node: t.Node) -> Iterator[tuple[str, Value]]:
        for child in self.order[node.name]:
            if made := self._node(child):
                yield child.link, made

    def _names(self, node: t.Node) -> Iterator[tuple[str, Value]]:
        for name in self.table.names:
            if name.node == node.name and name.term in self.document:
                self.carried.add(name.term)
                says: list[tuple[str, Value]] = [(t.NAME, Text(self.document[name.term], "string")), (t.NAME_TYPE, self._type(name.type))]
                yield t.NAMES, Made(self._free(name.term), "Name", says)

    def _alias(self, alias: Document) -> Made:
        says: list[tuple[str, Value]] = [(t.NAME, Text(alias["value"], "string")), (t.NAME_TYPE, self._type(alias["scheme"]))]
        rest = {term: value for term, value in alias.items() if term not in ("id", "type", "scheme", "value")}
        return Made(alias["id"], "Name", says, rest)

    def _type(self, name: str) -> Made:
        """The node of a NameType: one for all names of the type."""
        if name not in self.types:
            made = self.types[name] = Made(self._free(name), "NameType", [(t.TYPE_NAME, Text(name, "string"))])
            if authority := t.AUTHORITIES.get(name):
                issuer = Made(self._free(f"{name}.authority"), "NameTypeAuthority", [(t.AUTHORITY_NAME, Text(authority, "string"))])
                made.says.append((t.AUTHORITY, issuer))
        return self.types[name]

    def _roles(self) -> Iterator[Made]:
        for role in self.document.get("organisationRoles", ()):
            if role in t.ROLES:
                class_, type_ = t.ROLES[role]
                yield Made(self._free(role), class_, [(t.ROLE_TYPE, t.CIM + type_)] if type_ else [])

    def _free(self, name: str) -> str:
        """An IRI below the record that no part has."""
        stem = iri = f"{self.document['id']}#{name if CODE_TEXT.fullmatch(name) else 'node'}"
        number = 2
        while iri in self.taken:
            iri, number = f"{stem}-{number}", number + 1
        self.taken.add(iri)
        return iri

    @staticmethod
    def _fixed(name: str, value: str) -> Value:
        return value if name == t.DIRECTION else Text(value, "string")


# -- triples


def triples(document: Document, vocabulary: Vocabulary) -> Iterator[ox.Triple]:
    """The triples of a record in CIM, each once, and those of a node together, as readers of CIMXML want them."""
    said: dict[ox.NamedNode, list[ox.Triple]] = {}
    seen: set[str] = set()
    waiting = [project(document)]
    while waiting:
        made = waiting.pop()
        if made.iri not in seen:
            seen.add(made.iri)
            for triple in _said(made, vocabulary):
                said.setdefault(triple.subject, []).append(triple)  # type: ignore[arg-type]
            waiting += reversed([value for _, value in made.says if isinstance(value, Made)])
    for of_node in said.values():
        yield from of_node


def _said(made: Made, vocabulary: Vocabulary) -> Iterator[ox.Triple]:
    subject = ox.NamedNode(made.iri)
    yield ox.Triple(subject, _word(RDF_TYPE), _word(made.class_))
    for name, value in made.says:
        yield ox.Triple(subject, _word(name), _object(value))
    yield from facts(subject, made.rest, vocabulary)


@cache
def _word(name: str) -> ox.NamedNode:
    """The node of a class, property or datatype, of which there are a few."""
    return ox.NamedNode(t.iri(name))


def _object(value: Value) -> ox.NamedNode | ox.Literal:
    if isinstance(value, Text):
        return ox.Literal(value.text) if value.datatype == "string" else ox.Literal(value.text, datatype=_word(XSD + value.datatype))
    return ox.NamedNode(value.iri if isinstance(value, Made) else value)


def in_cim100(document: Document, vocabulary: Vocabulary) -> Iterator[ox.Triple]:
    """The same triples under the namespace of CIM17, which tools for GB LTDS and CGMES 3.0 read."""
    for triple in triples(document, vocabulary):
        yield ox.Triple(triple.subject, _renamed(triple.predicate), _renamed(triple.object))


def _renamed(term: Any) -> Any:
    if isinstance(term, ox.NamedNode) and term.value.startswith(t.CIM):
        return ox.NamedNode(t.CIM100 + term.value.removeprefix(t.CIM))
    return term


# -- JSON-LD


def tree(document: Document, _: Vocabulary) -> Document:
    """The record as one JSON-LD object under the CIM context: each node stands where it is named first."""
    return _tree(project(document), set())


def _tree(made: Made, seen: set[str]) -> Document:
    seen.add(made.iri)
    found: Document = {"id": made.iri, "type": t.local(made.class_.removeprefix("nc:"))}
    for name, value in made.says:
        _put(found, name, _shown(value, seen))
    return {**found, **made.rest}


def _put(found: Document, name: str, shown: Any) -> None:
    key = t.local(name)
    if t.PROPERTIES[name][1]:
        found.setdefault(key, []).append(shown)
    else:
        found[key] = shown


def _shown(value: Value, seen: set[str]) -> Any:
    if isinstance(value, Made):
        return value.iri if value.iri in seen else _tree(value, seen)
    if isinstance(value, Text):
        return value.text
    if value.startswith(t.CIM):
        return f"cim:{value.removeprefix(t.CIM)}"
    return t.local(value) if value in (t.IMPORT, t.EXPORT) else value


def decimals() -> Iterable[str]:
    """The keys whose values are decimals."""
    return (name for name, (datatype, _) in t.PROPERTIES.items() if datatype == "decimal")


PREFIXES = {"cim": t.CIM, "nc": t.NC, "fmar": FMAR, "xsd": XSD}
CIM = Profile("cim", t.PROFILE, t.CONTEXT, triples, tree, frozenset(decimals()), PREFIXES, tag="cim-", query="?profile=cim")
CIM_100 = Profile(
    "cim", t.PROFILE, t.CONTEXT, in_cim100, tree, CIM.decimals, {**PREFIXES, "cim": t.CIM100},
    tag="cim100-", query="?profile=cim&namespace=cim100", formats=tuple(RDF_FORMATS),
)  # fmt: skip
"""The same for readers of CIM17, in the RDF formats only: the JSON-LD context knows one namespace."""
