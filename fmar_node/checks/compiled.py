"""SHACL Core shapes compiled once into closures that can say "conforms", in a fraction of a millisecond.

Rules kept here:
- pyshacl is the judge: a shape that is not certainly satisfied is a *suspect*, and pyshacl is asked about it;
- a construct that is not compiled makes its targeted shape a suspect for every document, with the reason;
- nothing is guessed: where a literal is ill-formed, or XSD, rdflib and Python may read or order it differently,
  there is doubt, and no negation around it can turn doubt into "conforms".

Not compiled: property paths that are not one IRI, qualified value shapes, recursion, SPARQL, custom components.
Facts are `{subject: {predicate IRI: {terms}}}`. Sections are those of the W3C recommendation of 2017-07-20.
"""

from __future__ import annotations

import operator
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyoxigraph as ox
import rdflib
from rdflib.namespace import RDF, RDFS, SH

from fmar_node.checks.literal import DATATYPES, Doubt, holds, ordered
from fmar_node.vocabulary import RDF_TYPE, XSD

Term = ox.NamedNode | ox.BlankNode | ox.Literal
Facts = Mapping[Term, Mapping[str, Collection[Term]]]
Conforms = Callable[[Facts, Term], bool]
Check = Callable[[Facts, Term, Collection[Term]], bool]
Targets = frozenset[tuple[str, Term]]
Component = Callable[["_Compiler", Any, Any], Check]

SUBCLASS_OF = str(RDFS.subClassOf)
NO_FACTS: Mapping[str, Collection[Term]] = {}
NO_TERMS: Collection[Term] = ()
NOBODY = ox.NamedNode("urn:fmar:nobody")
"""A node of which nothing is said."""


RECURSION = "recursion"


class Unsupported(Exception):
    """A construct that is not compiled; says which."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """The targeted shapes of a graph: closures, by the targets that they share, and why the others have none."""

    groups: Mapping[Targets, tuple[tuple[Any, Conforms, str], ...]]
    """Each with the property that a node has to have for not conforming; empty where there is none such."""
    unsupported: Mapping[Any, str]
    reads: Mapping[Any, frozenset[str] | None]
    """The properties that each targeted shape looks at, in itself and in the shapes that it is made of; None where that may be every one."""

    @property
    def shapes(self) -> list[Any]:
        """Every targeted shape."""
        return [*self.unsupported, *(shape for shapes in self.groups.values() for shape, *_ in shapes)]

    def suspects(self, triples: Iterable[ox.Triple]) -> list[Any]:
        """The targeted shapes (nodes of the shapes graph) that pyshacl has to be asked about. None: all conform."""
        return [*self.unsupported, *dict.fromkeys(shape for shape, _ in self.failures(triples))]

    def read_by(self, shapes: Iterable[Any], triples: Iterable[ox.Triple]) -> list[ox.Triple]:
        """Those of the triples that some targeted shapes may look at: about these, they say the same as about all."""
        read: set[str] = set()
        for shape in shapes:
            if (own := self.reads[shape]) is None:
                return list(triples)
            read |= own
        return [triple for triple in triples if triple.predicate.value in read]

    def failures(self, triples: Iterable[ox.Triple]) -> Iterator[tuple[Any, Term]]:
        """Every compiled shape and focus node where conformance is not certain."""
        facts = facts_of(triples)
        for targets, shapes in self.groups.items():
            nodes = {node for how, what in targets for node in TARGETS[how](facts, what)}
            for node in nodes:
                present = facts.get(node, NO_FACTS)
                for shape, conforms, path in shapes:
                    if (not path or path in present) and not certainly(conforms, facts, node):
                        yield shape, node


def compile_shapes(graph: rdflib.Graph) -> Compiled:
    """Compiles every shape of the graph that has a target. ValueError or re.error for a malformed parameter."""
    compiler = _Compiler(graph)
    groups: dict[Targets, list[tuple[Any, Conforms, str]]] = defaultdict(list)
    unsupported, reads = {}, dict[Any, frozenset[str] | None]()
    for shape, targets in sorted(_targeted(graph).items()):
        try:
            groups[frozenset(targets)].append((shape, (conforms := compiler.shape(shape)), _judged_path(graph, shape, conforms)))
            followed = {what.value for how, what in targets if how in FOLLOWED}
            reads[shape] = None if (own := properties_of(graph, shape)) is None else frozenset({RDF_TYPE, SUBCLASS_OF, *followed, *map(str, own)})
        except Unsupported as reason:
            unsupported[shape], reads[shape] = str(reason), None
    return Compiled({targets: tuple(shapes) for targets, shapes in groups.items()}, unsupported, reads)


def _judged_path(graph: Any, shape: Any, conforms: Conforms) -> str:
    """The property without whose values a shape has nothing to judge; empty where it judges their absence too, or is no property shape."""
    is_idle = (shape, SH.path, None) in graph and (shape, SH.equals, None) not in graph and certainly(conforms, {}, NOBODY)
    return str(graph.value(shape, SH.path)) if is_idle else ""


def properties_of(graph: Any, shape: Any) -> set[Any] | None:
    """The properties that a shape which compiles looks at, beside the classes of nodes; None where one is closed, which looks at all."""
    found: set[Any] = set()
    waiting, seen = [shape], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        for predicate, value in graph.predicate_objects(node):
            if predicate == SH.closed:
                return None
            if predicate == SH.path or predicate in PAIRED:
                found.add(value)
            elif isinstance(value, rdflib.BNode) or predicate in REFERRING:
                waiting.append(value)
    return found


def facts_of(triples: Iterable[ox.Triple]) -> Facts:
    """An index of the triples, each once."""
    facts: dict[Any, dict[str, dict[Any, None]]] = {}
    for triple in triples:
        facts.setdefault(triple.subject, {}).setdefault(triple.predicate.value, {})[triple.object] = None
    return facts


def certainly(conforms: Conforms, facts: Facts, focus: Term) -> bool:
    """Whether a node conforms beyond doubt."""
    try:
        return conforms(facts, focus)
    except Doubt:
        return False


# -- targets (section 2.1.3)


def _classes(facts: Facts, node: Term) -> set[Term]:
    """The classes of a node and, where the data says so, their superclasses."""
    found: set[Term] = set()
    waiting = [*facts.get(node, NO_FACTS).get(RDF_TYPE, NO_TERMS)]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += facts.get(each, NO_FACTS).get(SUBCLASS_OF, NO_TERMS)
    return found


def _objects(facts: Facts, predicate: Term) -> Iterator[Term]:
    for properties in facts.values():
        yield from properties.get(predicate.value, NO_TERMS)


TARGETS: Mapping[str, Callable[[Facts, Term], Iterable[Term]]] = {
    str(SH.targetClass): lambda facts, what: [node for node in facts if what in _classes(facts, node)],
    str(SH.targetNode): lambda _, what: [what],
    str(SH.targetSubjectsOf): lambda facts, what: [node for node in facts if what.value in facts[node]],
    str(SH.targetObjectsOf): _objects,
}


def _targeted(graph: rdflib.Graph) -> dict[Any, set[tuple[str, Term]]]:
    """Every shape that has a target, also the implicit one of a shape that is a class."""
    found: dict[Any, set[tuple[str, Term]]] = defaultdict(set)
    for how in TARGETS:
        for shape, what in graph.subject_objects(rdflib.URIRef(how)):
            found[shape].add((how, _term(what)))
    for kind in {RDFS.Class, rdflib.OWL.Class, *graph.subjects(RDFS.subClassOf, RDFS.Class)}:
        for shape in graph.subjects(RDF.type, kind):
            if not {SH.NodeShape, SH.PropertyShape}.isdisjoint(graph.objects(shape, RDF.type)):
                found[shape].add((str(SH.targetClass), _term(shape)))
    return found


# -- constraint components (section 4)


class _Compiler:
    """Shapes of one graph as closures, each made once."""

    def __init__(self, graph: rdflib.Graph) -> None:
        self.graph: Any = graph
        self.made: dict[Any, Conforms] = {}
        self.open: set[Any] = set()
        self.has_custom = (None, RDF.type, SH.ConstraintComponent) in graph

    def shape(self, node: Any) -> Conforms:
        """The closure of a shape. Unsupported where it, or a shape inside it, cannot have one."""
        if node in self.open:
            raise Unsupported(RECURSION)
        if node not in self.made:
            self.open.add(node)
            try:
                self.made[node] = self._closure(node)
            finally:
                self.open.remove(node)
        return self.made[node]

    def shapes(self, listed: Any) -> tuple[Conforms, ...]:
        if not (found := tuple(self.shape(each) for each in self.graph.items(listed))):
            raise Unsupported("an empty list of shapes")
        return found

    def terms(self, listed: Any) -> frozenset[Term]:
        return frozenset(_term(each) for each in self.graph.items(listed))

    def path(self, shape: Any) -> str:
        paths = list(self.graph.objects(shape, SH.path))
        if len(paths) != 1 or not isinstance(paths[0], rdflib.URIRef):
            raise Unsupported("a property path that is not one IRI")
        return str(paths[0])

    def _closure(self, node: Any) -> Conforms:
        if self.has_custom:
            raise Unsupported("custom constraint components")
        checks = tuple(self._checks(node))
        if any(map(_is_true, self.graph.objects(node, SH.deactivated))):
            return _at_node(())
        return _at_path(self.path(node), checks) if (node, SH.path, None) in self.graph else _at_node(checks)

    def _checks(self, node: Any) -> Iterator[Check]:
        for parameter, argument in self.graph.predicate_objects(node):
            if parameter in COMPONENTS:
                yield COMPONENTS[parameter](self, node, argument)
            elif parameter.startswith(SHACL) and parameter.removeprefix(SHACL) not in NO_CONSTRAINTS:
                raise Unsupported(f"sh:{parameter.removeprefix(SHACL)}")


def _at_node(checks: tuple[Check, ...]) -> Conforms:
    def conforms(facts: Facts, focus: Term) -> bool:
        values = (focus,)
        for check in checks:  # noqa: SIM110 - a generator takes twice as long
            if not check(facts, focus, values):
                return False
        return True

    return conforms


def _at_path(path: str, checks: tuple[Check, ...]) -> Conforms:
    def conforms(facts: Facts, focus: Term) -> bool:
        values = facts.get(focus, NO_FACTS).get(path, NO_TERMS)
        for check in checks:  # noqa: SIM110 - a generator takes twice as long
            if not check(facts, focus, values):
                return False
        return True

    return conforms


def _of_values(holds: Callable[[Collection[Any]], bool]) -> Check:
    return lambda _facts, _focus, values: holds(values)


def _of_each(holds: Callable[[Any], bool]) -> Check:
    return lambda _facts, _focus, values: all(map(holds, values))


def _of_each_in(holds: Callable[[Facts, Term], bool]) -> Check:
    def check(facts: Facts, _: Term, values: Collection[Term]) -> bool:
        for value in values:  # noqa: SIM110 - as above
            if not holds(facts, value):
                return False
        return True

    return check


def _of_text(holds: Callable[[str], Any]) -> Check:
    return _of_each(lambda value: not isinstance(value, ox.BlankNode) and holds(value.value))


def _class(_: _Compiler, __: Any, argument: Any) -> Check:
    wanted = _term(argument)
    return _of_each_in(lambda facts, value: wanted in _classes(facts, value))


def _datatype(_: _Compiler, __: Any, argument: Any) -> Check:
    if (datatype := DATATYPES.get(str(argument))) is None:
        raise Unsupported(f"the datatype {argument}")
    wanted = str(argument)

    def is_one(value: Any) -> bool:
        return (
            isinstance(value, ox.Literal) and value.datatype.value == wanted and datatype.value(value.value) is not None
        )

    return _of_each(is_one)


def _node_kind(_: _Compiler, __: Any, argument: Any) -> Check:
    kinds = tuple(kind for name, kind in NODE_KINDS.items() if name in argument.removeprefix(SHACL))
    return _of_each(lambda value: isinstance(value, kinds))


def _count(order: Callable[[int, int], bool]) -> Component:
    def make(_: _Compiler, __: Any, argument: Any) -> Check:
        bound = int(argument)
        return _of_values(lambda values: order(len(values), bound))

    return make


def _length(order: Callable[[int, int], bool]) -> Component:
    def make(_: _Compiler, __: Any, argument: Any) -> Check:
        bound = int(argument)
        return _of_text(lambda text: order(len(text), bound))

    return make


def _range(order: Callable[[Any, Any], bool]) -> Component:
    def make(_: _Compiler, __: Any, argument: Any) -> Check:
        try:
            bound = ordered(_term(argument))
        except Doubt:
            raise Unsupported(f"the bound {argument}") from None
        return _of_each(lambda value: holds(order, ordered(value), bound))

    return make


def _pattern(compiler: _Compiler, shape: Any, argument: Any) -> Check:
    flags = "".join(compiler.graph.objects(shape, SH.flags))
    if flags not in FLAGS:
        raise Unsupported(f"the flags {flags}")
    return _of_text(re.compile(argument, FLAGS[flags]).search)


def _language_in(compiler: _Compiler, _: Any, argument: Any) -> Check:
    ranges = {each.value.lower() for each in compiler.terms(argument)}

    def is_in(value: Any) -> bool:
        """As pyshacl has it: the whole tag or its first part."""
        tag = (value.language or "") if isinstance(value, ox.Literal) else ""
        return tag != "" and not ranges.isdisjoint({"*", tag, tag.split("-")[0]})

    return _of_each(is_in)


def _unique_lang(_: _Compiler, __: Any, argument: Any) -> Check:
    if str(argument) not in ("true", "false"):
        raise Unsupported(f"sh:uniqueLang {argument}")
    is_wanted = str(argument) == "true"

    def is_unique(values: Collection[Any]) -> bool:
        tags = [value.language for value in values if isinstance(value, ox.Literal) and value.language]
        return len(tags) == len(set(tags)) or not is_wanted

    return _of_values(is_unique)


def _pair(holds: Callable[[Collection[Term], Collection[Term]], bool]) -> Component:
    """Compares the values with those of another property of the focus node."""

    def make(_: _Compiler, __: Any, argument: Any) -> Check:
        other = str(argument)
        return lambda facts, focus, values: holds(values, facts.get(focus, NO_FACTS).get(other, NO_TERMS))

    return make


def _before(order: Callable[[Any, Any], bool]) -> Component:
    return _pair(
        lambda ones, others: all(holds(order, ordered(one), ordered(two)) for one in ones for two in others)
    )


def _logical(holds: Callable[[Iterator[bool]], bool]) -> Component:
    def make(compiler: _Compiler, _: Any, argument: Any) -> Check:
        inner = compiler.shapes(argument)
        return _of_each_in(lambda facts, value: holds(conforms(facts, value) for conforms in inner))

    return make


def _not(compiler: _Compiler, _: Any, argument: Any) -> Check:
    inner = compiler.shape(argument)
    return _of_each_in(lambda facts, value: not inner(facts, value))


def _closed(compiler: _Compiler, shape: Any, argument: Any) -> Check:
    graph, is_closed = compiler.graph, _is_true(argument)
    allowed = {term.value for ignored in graph.objects(shape, SH.ignoredProperties) for term in compiler.terms(ignored)}
    allowed |= {compiler.path(each) for each in graph.objects(shape, SH.property)}
    return _of_each_in(lambda facts, value: not is_closed or allowed.issuperset(facts.get(value, NO_FACTS)))


def _has_value(_: _Compiler, __: Any, argument: Any) -> Check:
    wanted = _term(argument)
    return _of_values(lambda values: wanted in values)


COMPONENTS: Mapping[Any, Component] = {
    SH["class"]: _class,
    SH.datatype: _datatype,
    SH.nodeKind: _node_kind,
    SH.minCount: _count(operator.ge),
    SH.maxCount: _count(operator.le),
    SH.minExclusive: _range(operator.gt),
    SH.minInclusive: _range(operator.ge),
    SH.maxExclusive: _range(operator.lt),
    SH.maxInclusive: _range(operator.le),
    SH.minLength: _length(operator.ge),
    SH.maxLength: _length(operator.le),
    SH.pattern: _pattern,
    SH.languageIn: _language_in,
    SH.uniqueLang: _unique_lang,
    SH.equals: _pair(lambda ones, others: set(ones) == set(others)),
    SH.disjoint: _pair(lambda ones, others: set(ones).isdisjoint(others)),
    SH.lessThan: _before(operator.lt),
    SH.lessThanOrEquals: _before(operator.le),
    SH["not"]: _not,
    SH["and"]: _logical(all),
    SH["or"]: _logical(any),
    SH.xone: _logical(lambda verdicts: sum(verdicts) == 1),
    SH.node: lambda compiler, _, argument: _of_each_in(compiler.shape(argument)),
    SH.property: lambda compiler, _, argument: _of_each_in(compiler.shape(argument)),
    SH.closed: _closed,
    SH.hasValue: _has_value,
    SH["in"]: lambda compiler, _, argument: _of_each(compiler.terms(argument).__contains__),
}
PAIRED = (SH.equals, SH.disjoint, SH.lessThan, SH.lessThanOrEquals)
REFERRING = (SH.node, SH.property, SH["not"], RDF.first, RDF.rest)
FOLLOWED = (str(SH.targetSubjectsOf), str(SH.targetObjectsOf))
NO_CONSTRAINTS = frozenset(
    {"path", "severity", "message", "name", "description", "order", "group", "defaultValue", "deactivated", "flags"}
    | {"ignoredProperties", *(target.removeprefix(str(SH)) for target in TARGETS)}
)
NODE_KINDS = {"BlankNode": ox.BlankNode, "IRI": ox.NamedNode, "Literal": ox.Literal}
FLAGS = {"": 0, "i": re.IGNORECASE, "m": re.MULTILINE}
SHACL = str(SH)


def _is_true(argument: Any) -> bool:
    return str(argument) in ("true", "1")


def _term(node: Any) -> Term:
    """An rdflib node as pyoxigraph has it."""
    if isinstance(node, rdflib.URIRef):
        return ox.NamedNode(node)
    if isinstance(node, rdflib.BNode):
        return ox.BlankNode(node)
    if node.language:
        return ox.Literal(node, language=node.language)
    return ox.Literal(node, datatype=ox.NamedNode(node.datatype or XSD + "string"))
