"""A CIM document as it was sent: its nodes, what each says, and where in the document that stands.

Rules kept here: names are the table's, whatever the document calls them; ids of nodes are names within the document; what
JSON-LD would silently drop or bend is refused. RDF has no JSON pointers: there a node's pointer is its fragment, its IRI, or its class and number.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pyoxigraph as ox

from fmar_node.cim import table as t
from fmar_node.cim.lexicon import NEIGHBOURS, OUR_WORDS, lexicon_of, spaces_in
from fmar_node.composition import Reading, escaped
from fmar_node.errors import Fault, Invalid, Severity
from fmar_node.jsonld import JSON_TYPES, RDF_TYPES, parse_rdf, read_json
from fmar_node.settings import Settings
from fmar_node.vocabulary import CODES, FMAR, RDF_TYPE, XSD, TermKind, Vocabulary

MARK = re.compile(rb"context\\?/cim-v1|cim\.ucaiug\.io|iec\.ch|cim4\.eu|entsoe\.eu")
"""What a document has somewhere that is written in CIM."""
CIM_LIKE = re.compile(r"https?://(?:cim\.ucaiug\.io|iec\.ch/TC57|cim4\.eu|entsoe\.eu)/", re.IGNORECASE)
"""How a namespace of CIM begins, whatever version it is of."""
NODES_FOR_PART = 4
"""A part may become so many nodes at most: a name, its type, the type's authority."""
CODED = MappingProxyType({t.DIRECTION: f"{CODES}Direction#", t.STATE: "", t.ROLE_TYPE: ""})
"""Properties whose value is a code or literal of CIM: the namespace of bare ones."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value: what stands there, as JSON has it, or the id of the node that it is."""

    raw: Any
    pointer: str
    node: str = ""


@dataclass(slots=True)
class Sent:
    """A node: what it is, what it says under which name of the table, and where each of that begins."""

    id: str
    pointer: str
    classes: list[str] = field(default_factory=list)
    says: dict[str, list[Value]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def say(self, name: str, values: Iterable[Value], place: str) -> None:
        self.says.setdefault(name, []).extend(values)
        self.places.setdefault(name, place)

    def place(self, name: str) -> str:
        """Where a property stands, or would stand."""
        return self.places.get(name, f"{self.pointer}/{t.local(name)}")


Nodes = dict[str, Sent]


class Source:
    """Reads a document into nodes; what has no name at all is reported in the reading."""

    def __init__(self, table: t.Table, iri: str, vocabulary: Vocabulary, settings: Settings, reading: Reading) -> None:
        self.table, self.iri, self.vocabulary, self.settings, self.reading = table, iri, vocabulary, settings, reading
        self.nodes: Nodes = {}
        self.lexicon = OUR_WORDS

    def read(self, body: bytes, media_type: str, is_meant: bool) -> Nodes | None:
        """The nodes of a CIM document; None where it is none. Malformed, Invalid."""
        if not (is_meant or MARK.search(body)):
            return None
        if media_type in JSON_TYPES:
            return self._of_json(read_json(body, self.settings), is_meant)
        return self._of_rdf(parse_rdf(body, RDF_TYPES[media_type], self.iri))

    # -- JSON

    def _of_json(self, tree: Mapping[str, Any], is_meant: bool) -> Nodes | None:
        lexicon = lexicon_of(tree.get("@context"), is_meant)
        if lexicon is None:
            if odd := _not_understood(spaces_in(tree.get("@context"))):
                raise Invalid("context-not-supported", odd)
            return None
        self.lexicon = lexicon
        said = {key: value for key, value in tree.items() if key != "@context"}
        if "@graph" not in said:
            self._node(said, "")
        elif said.keys() != {"@graph"} or not isinstance(said["@graph"], list):
            raise Invalid("keyword-not-supported", "@graph is a list of nodes and stands alone: a document has one graph, and no name for it")
        for place, each in enumerate(said.get("@graph", ())):
            if not isinstance(each, dict):
                raise Invalid("keyword-not-supported", f"an element of @graph is no object: /@graph/{place}")
            self._node(each, f"/@graph/{place}")
        return self.nodes

    def _node(self, tree: Mapping[str, Any], pointer: str) -> str:
        sent = self._sent(self._id(tree, pointer), pointer)
        for key, value in tree.items():
            here = f"{pointer}/{escaped(key)}"
            if key in ("type", "@type"):
                sent.classes += [self.lexicon.name(each) or each for each in _texts(value, here)]
                sent.places.setdefault("type", here)
            elif key.startswith("@") and key != "@id":
                raise Invalid("keyword-not-supported", f"{key[:60]} at {here[:200]}")
            elif key in ("id", "@id"):
                sent.places.setdefault("id", here)
            elif value is not None:
                self._say(sent, key, value, here)
        return sent.id

    def _sent(self, id_: str, pointer: str) -> Sent:
        if len(self.nodes) > NODES_FOR_PART * self.settings.parts:
            raise Invalid("validation-failed", f"more than {NODES_FOR_PART * self.settings.parts} nodes in one document")
        return self.nodes.setdefault(id_, Sent(id_, pointer))

    def _id(self, tree: Mapping[str, Any], pointer: str) -> str:
        given = tree.get("id", tree.get("@id"))
        if "id" in tree and "@id" in tree:
            raise Invalid("keyword-not-supported", f"a node has one id: {pointer[:200] or '/'}")
        return f"_:{pointer or '/'}" if given is None else self._absolute(*_texts([given], pointer))

    def _absolute(self, text: str) -> str:
        return self.lexicon.id(text, self.iri, self.settings.base_url)

    def _say(self, sent: Sent, key: str, value: Any, here: str) -> None:
        name = self.lexicon.name(key)
        if not name:
            self.reading.report(Fault("unknown-term", Severity.REJECT, f"{key[:80]!r} has no meaning under this @context", here, key[:80]))
            return
        given = value if isinstance(value, list) else [value]
        pointers = [f"{here}/{place}" if isinstance(value, list) else here for place in range(len(given))]
        sent.say(name, [self._value(name, each, there) for each, there in zip(given, pointers, strict=True) if each is not None], here)

    def _value(self, name: str, value: Any, there: str) -> Value:
        if name in CODED:
            text = value.get("id", value.get("@id")) if isinstance(value, dict) and len(value) == 1 else value
            return Value(self._coded(name, text) if isinstance(text, str) else value, there)
        if self._is_node(name) and isinstance(value, str):
            return Value(None, there, self._absolute(value))
        if self._is_node(name) and isinstance(value, dict) and "@value" not in value:
            return Value(None, there, self._node(value, there))
        if name not in t.PROPERTIES and not name.startswith(FMAR) and isinstance(value, dict):
            return Value(value, there, self._id(value, there))  # a property that nobody knows is reported with the node that it leads to
        return Value(value, there)

    def _coded(self, name: str, text: str) -> str:
        return f"{CODED[name]}{text}" if CODED[name] and ":" not in text else self.lexicon.name(text)

    def _is_node(self, name: str) -> bool:
        """Whether the values of a property are nodes: those of an association, and our own parts."""
        if name in self.table.links:
            return True
        term = self.vocabulary.by_iri.get(name)
        return term is not None and term.kind is TermKind.PART

    # -- RDF

    def _of_rdf(self, triples: list[ox.Triple]) -> Nodes | None:
        found = list(dict.fromkeys(triples))
        names = {t.named(each.value) for triple in found for each in (triple.predicate, triple.object) if isinstance(each, ox.NamedNode)}
        if not any(t.iri(name) != name for name in names):
            if odd := _not_understood({re.split(r"(?<=[#/])[^#/]*$", name)[0] for name in names}):
                raise Invalid("validation-failed", odd, (Fault("unknown-term", Severity.REJECT, odd, "", "type"),))
            return None
        pointers = self._pointers(found)
        for triple in found:
            id_ = _label(triple.subject)
            sent = self._sent(id_, pointers[id_])
            if _is_type(triple):
                sent.classes.append(t.named(_label(triple.object)))
            else:
                name = t.named(triple.predicate.value)
                here = f"{sent.pointer}/{escaped(t.local(name))}"
                sent.say(name, [self._object(name, triple.object, here)], here)
        return self.nodes

    def _pointers(self, triples: list[ox.Triple]) -> dict[str, str]:
        """The pointer of each node."""
        classes = {_label(triple.subject): t.local(_label(triple.object)) for triple in triples if _is_type(triple)}
        numbers: dict[str, int] = defaultdict(int)
        found: dict[str, str] = {self.iri: ""}
        for id_ in dict.fromkeys(_label(triple.subject) for triple in triples):
            if id_.startswith("_:"):
                class_ = classes.get(id_, "_")
                numbers[class_] += 1
                found[id_] = f"/{escaped(class_)}" + (f"-{numbers[class_]}" if numbers[class_] > 1 else "")
            else:
                found.setdefault(id_, f"/{escaped(id_.removeprefix(self.iri))}")
        return found

    def _object(self, name: str, value: Any, here: str) -> Value:
        if isinstance(value, ox.Literal):
            return Value(_raw(value), here)
        if self._is_node(name):
            return Value(None, here, _label(value))
        return Value(t.named(value.value) if name in CODED and isinstance(value, ox.NamedNode) else {"@id": _label(value)}, here)


def _not_understood(spaces: Iterable[str]) -> str:
    """Of namespaces that look like CIM's, which one is not understood, and which ones are; empty where there is none such."""
    odd = sorted(each for each in spaces if CIM_LIKE.match(each) and each not in NEIGHBOURS)
    return f"the namespace {odd[0][:100]} is not understood; of CIM these are: {', '.join(t.ALIASES)}" if odd else ""


def _texts(value: Any, here: str) -> list[str]:
    """The ids or classes that stand there; JSON-LD has nothing else in their place."""
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in found):
        raise Invalid("keyword-not-supported", f"an id or a type is a text: {here[:200]}")
    return found


def _is_type(triple: ox.Triple) -> bool:
    return triple.predicate.value == RDF_TYPE and isinstance(triple.object, ox.NamedNode)


def _label(node: Any) -> str:
    return node.value if isinstance(node, ox.NamedNode) else f"_:{getattr(node, 'value', 'triple')}"


def _raw(value: ox.Literal) -> Any:
    if value.language:
        return {"@value": value.value, "@language": value.language}
    return value.value if value.datatype.value == XSD + "string" else {"@value": value.value, "@type": value.datatype.value}


