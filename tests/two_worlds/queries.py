"""Queries by a seed: every form and construct of SPARQL 1.1, with terms of the vocabulary and of both worlds.

Patterns hang together by their variables, so that most queries have answers and none has a million rows.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from fmar_node.query import GRAPH_FORMATS, RESULT_FORMATS, Question
from fmar_node.representation import triples
from fmar_node.vocabulary import FMAR, RDF_TYPE
from tests.market import BASE, Market, vocabulary
from tests.two_worlds.worlds import versions

SKOS_NOTATION, LABEL = "http://www.w3.org/2004/02/skos/core#notation", "http://www.w3.org/2000/01/rdf-schema#label"
SHARED = ("operator", "public", "nobody")
LINKS = ("managedBy", "owner", "alias", "device", "justification", "recordedBy", "applicationKey", "survivor")


def unordered(question: Question) -> Question:
    """The question without what depends on the order in which rows come: slices, samples, concatenations."""
    text = re.sub(r"(LIMIT|OFFSET) \d+|REDUCED", "", question.text)
    text = re.sub(r"GROUP_CONCAT\((.*?); SEPARATOR=\"\|\"\)", r"MIN(\1)", text).replace("SAMPLE(", "MIN(")
    return replace(question, text=text)


@dataclass
class Terms:
    """What queries are made of: by predicate the values that it has in some world, and every IRI that is a subject."""

    values: dict[str, list[str]]
    subjects: list[str]
    graphs: list[str]

    @classmethod
    def of(cls, markets: Iterable[Market]) -> Terms:
        values: dict[str, dict[str, None]] = defaultdict(dict)
        subjects: dict[str, None] = {}
        for market in markets:
            for version in versions(market):
                for triple in triples(version.document, vocabulary()):
                    values[str(triple.predicate)][str(triple.object)] = None
                    subjects[str(triple.subject)] = None
        organisations = [subject for subject in subjects if "/organisations/" in subject and "#" not in subject]
        views = [each.replace("/organisations/", "/views/") for each in organisations] + [f"<{BASE}/views/{name}>" for name in SHARED]
        graphs = [*views, *(f"<{BASE}/{name}>" for name in ("ontology", "codes", "shapes")), "<urn:fmar:state>"]
        return cls({name: list(each) for name, each in values.items()}, list(subjects), graphs)


@dataclass
class Maker:
    """Makes one question after another; `view` is the asker's own graph, which it names more often than others."""

    seed: str
    terms: Terms
    view: str
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.predicates, self.weights = list(self.terms.values), [len(each) ** 0.5 for each in self.terms.values.values()]
        self.links = [f"<{FMAR}{name}>" for name in LINKS]

    def questions(self, count: int) -> Iterator[Question]:
        for _ in range(count):
            yield self.question()

    def question(self) -> Question:
        self.names = 0
        form = self.pick({"SELECT": 8, "AGGREGATE": 5, "ASK": 2, "CONSTRUCT": 3, "DESCRIBE": 2})
        text = {
            "SELECT": self.select, "AGGREGATE": self.aggregate, "ASK": self.ask, "CONSTRUCT": self.construct, "DESCRIBE": self.describe,
        }[form]()  # fmt: skip
        offered = GRAPH_FORMATS if form in ("CONSTRUCT", "DESCRIBE") else RESULT_FORMATS
        accept = None if self.chance(0.4) else (self.one(sorted(offered)),)
        if self.chance(0.06):
            return Question(text, self.graph_list(), self.graph_list(), accept)
        return Question(text, accept=accept)

    # -- dice

    def chance(self, of: float) -> bool:
        return self.dice.random() < of

    def one(self, choices: list[str]) -> str:
        return self.dice.choice(choices)

    def pick(self, weights: dict[str, int]) -> str:
        return self.dice.choices(list(weights), list(weights.values()))[0]

    def new(self) -> str:
        self.names += 1
        return f"?v{self.names}"

    # -- terms

    def predicate(self) -> str:
        return self.one(self.links) if self.chance(0.2) else self.dice.choices(self.predicates, self.weights)[0]

    def value(self, predicate: str) -> str:
        return self.one(self.terms.values.get(predicate) or self.terms.subjects)

    def any_value(self) -> str:
        return self.value(self.predicate())

    def graph(self) -> str:
        return f"<{self.view}>" if self.chance(0.2) else f"<{BASE}/views/public>" if self.chance(0.2) else self.one(self.terms.graphs)

    def graph_list(self) -> tuple[str, ...]:
        return tuple(self.graph()[1:-1] for _ in range(self.dice.randrange(3)))

    # -- patterns

    def path(self, depth: int = 1) -> str:
        if depth == 0:
            return self.predicate()
        inner = self.path(depth - 1)
        return self.pick({
            f"^{self.predicate()}": 2, f"{inner}/{self.path(0)}": 4, f"({inner}|{self.path(0)})": 2, f"({inner})*": 2, f"({inner})+": 2,
            f"({inner})?": 2, f"!{self.predicate()}": 1, f"!({self.predicate()}|^{self.predicate()})": 1, f"(!{self.predicate()})*": 1,
            f"{inner}/^{self.path(0)}": 1,
        })  # fmt: skip

    def triple(self, known: list[str], inside_graph: bool = False) -> str:
        """A pattern about a known variable, most of the time; the names it adds become known."""
        subject = self.one(known) if known and self.chance(0.85) else self.one(self.terms.subjects) if self.chance(0.4) else self.new()
        verb = self.pick({"iri": 13, "variable": 3, "path": 4})
        if verb == "path" and inside_graph and subject.startswith("?"):
            verb = "iri"
        predicate = self.predicate() if verb == "iri" else self.new() if verb == "variable" else self.path(self.dice.randrange(1, 3))
        if "!" in predicate and subject.startswith("?"):  # everything to everything would take seconds
            subject = self.one(self.terms.subjects)
        if self.chance(0.22):
            object_ = self.value(predicate) if verb == "iri" else self.any_value()
        else:
            object_ = self.one(known) if known and self.chance(0.08) else self.new()
        for name in (subject, predicate, object_):
            if name.startswith("?") and name not in known:
                known.append(name)
        return f"{subject} {predicate} {object_} ."

    def kind(self, known: list[str]) -> str:
        """The usual beginning: something of a class."""
        name = self.new()
        known.append(name)
        return f"{name} a {self.value(f'<{RDF_TYPE}>')} ."

    def group(self, known: list[str], depth: int = 2) -> str:
        parts = [] if self.chance(0.4) else [self.triple(known)]
        if not known:
            parts.append(self.kind(known))
        parts += [self.triple(known) for _ in range(self.dice.choice([0, 0, 1, 1, 2]))]
        if depth:
            parts += [self.element(known, depth - 1) for _ in range(self.dice.choice([0, 1, 1, 2]))]
        return " ".join(parts)

    def element(self, known: list[str], depth: int) -> str:
        makers: dict[str, Callable[[list[str], int], str]] = {
            "optional": self.optional, "minus": self.minus, "exists": self.exists, "filter": self.filter, "union": self.union,
            "values": self.values, "bind": self.bind, "subquery": self.subquery, "graph": self.in_graph,
        }  # fmt: skip
        weights = {"optional": 4, "minus": 2, "exists": 3, "filter": 4, "union": 2, "values": 1, "bind": 2, "subquery": 2, "graph": 5}
        return makers[self.pick(weights)](known, depth)

    def optional(self, known: list[str], depth: int) -> str:
        inner = self.element(known, depth - 1) if depth and self.chance(0.3) else ""
        return f"OPTIONAL {{ {self.triple(known)} {inner} }}"

    def minus(self, known: list[str], depth: int) -> str:
        return f"MINUS {{ {self.triple(list(known))} }}"

    def exists(self, known: list[str], depth: int) -> str:
        inside = self.in_graph(list(known), depth) if self.chance(0.3) else self.triple(list(known))
        return f"FILTER {'NOT ' if self.chance(0.5) else ''}EXISTS {{ {inside} }}"

    def filter(self, known: list[str], depth: int) -> str:
        return f"FILTER({self.condition(known)})"

    def condition(self, known: list[str]) -> str:
        name, value = self.one(known), self.any_value()
        text = self.one(["GB", "SN-", "ECR", "a", "10", "Renamed", "2026"])
        return self.pick({
            f"{name} = {value}": 2, f"{name} != {value}": 2, f"{name} IN ({value}, {self.any_value()})": 1, f'CONTAINS(STR({name}), "{text}")': 2,
            f'REGEX(STR({name}), "^.*{text}", "i")': 1, f"isIRI({name})": 1, f"{name} > 100": 1, f"{name} <= {value}": 1,
            f"STRLEN(STR({name})) > 40": 1, f"BOUND({name}) && isLITERAL({name})": 1, f"!BOUND({name}) || DATATYPE({name}) != <urn:x>": 1,
        })  # fmt: skip

    def union(self, known: list[str], depth: int) -> str:
        left, right = list(known), list(known)
        text = f"{{ {self.triple(left)} }} UNION {{ {self.triple(right)} }}"
        known += [name for name in (*left, *right) if name not in known]
        return text

    def values(self, known: list[str], depth: int) -> str:
        name = self.one(known)
        return f"VALUES {name} {{ {' '.join(self.one([self.any_value(), self.one(self.terms.subjects), 'UNDEF']) for _ in range(4))} }}"

    def bind(self, known: list[str], depth: int) -> str:
        source, made = self.one(known), self.new()
        expression = self.pick({
            f"STRLEN(STR({source}))": 1, f"STR({source})": 1, f"COALESCE({source}, {self.any_value()})": 1, f"IF({self.condition(known)}, 1, 0)": 1,
            self.any_value(): 1, f"({source} + 1)": 1, f"EXISTS {{ {self.triple([source])} }}": 2,
        })  # fmt: skip
        known.append(made)
        return f"BIND({expression} AS {made})"

    def subquery(self, known: list[str], depth: int) -> str:
        name = self.one(known)
        inner = [name]
        body = self.triple(inner)
        if self.chance(0.5):
            made = self.new()
            known.append(made)
            return f"{{ SELECT {name} (COUNT(*) AS {made}) {{ {body} }} GROUP BY {name} }}"
        return f"{{ SELECT DISTINCT {name} {{ {body} }} ORDER BY STR({name}) LIMIT {self.dice.randrange(1, 9)} }}"

    def in_graph(self, known: list[str], depth: int) -> str:
        graph = self.new() if self.chance(0.5) else self.graph()
        inner = [] if self.chance(0.25) else list(known)
        body = self.kind(inner) if not inner or self.chance(0.2) else self.triple(inner, inside_graph=True)
        if self.chance(0.4):
            body += " " + self.triple(inner, inside_graph=True)
        known += [name for name in (graph, *inner) if name.startswith("?") and name not in known]
        return f"GRAPH {graph} {{ {body} }}"

    # -- forms

    def dataset(self) -> str:
        if not self.chance(0.12):
            return ""
        return " ".join(f"FROM {self.pick({'': 1, 'NAMED': 1})} {self.graph()}" for _ in range(self.dice.randrange(1, 4)))

    def where(self, known: list[str]) -> str:
        if self.chance(0.04):
            known += ["?s", "?p", "?o"]
            return self.one(["{ ?s ?p ?o }", "{ GRAPH ?g { ?s ?p ?o } }", "{ { ?s ?p ?o } UNION { GRAPH ?g { ?s ?p ?o } } }"])
        return f"{{ {self.group(known)} }}"

    def select(self) -> str:
        known: list[str] = []
        dataset, where = self.dataset(), self.where(known)
        shown = "*" if self.chance(0.4) else " ".join(dict.fromkeys(self.one(known) for _ in range(3)))
        return f"SELECT {self.one(['', '', 'DISTINCT', 'REDUCED'])} {shown} {dataset} {where} {self.modifiers(known)}"

    def modifiers(self, known: list[str]) -> str:
        """Ordered by text: the engine's order of mixed values is no order, and ends its process where it notices."""
        order = f"ORDER BY {self.one(['', 'DESC'])}(STR({self.one(known)})) STR({self.one(known)})" if self.chance(0.35) else ""
        limit = f"LIMIT {self.dice.randrange(1, 12)}" if self.chance(0.25) else ""
        offset = f"OFFSET {self.dice.randrange(5)}" if self.chance(0.15) else ""
        return f"{order} {limit} {offset}"

    def aggregate(self) -> str:
        known: list[str] = []
        dataset, where = self.dataset(), self.where(known)
        name, by = self.one(known), self.one(known)
        distinct = self.one(["", "DISTINCT"])
        function = self.pick({
            "COUNT(*)": 3, f"COUNT({distinct} {name})": 3, f"SUM({distinct} {name})": 2, f"AVG({name})": 1, f"MIN({name})": 2, f"MAX({name})": 2,
            f"SAMPLE({name})": 1, f'GROUP_CONCAT({distinct} STR({name}); SEPARATOR="|")': 2,
        })  # fmt: skip
        if self.chance(0.3):
            return f"SELECT ({function} AS ?made) {dataset} {where}"
        having = f"HAVING (COUNT(*) {self.one(['>', '<', '='])} {self.dice.randrange(4)})" if self.chance(0.4) else ""
        return f"SELECT {by} ({function} AS ?made) {dataset} {where} GROUP BY {by} {having} {self.modifiers([by, '?made'])}"

    def ask(self) -> str:
        known: list[str] = []
        return f"ASK {self.dataset()} {self.where(known)}"

    def construct(self) -> str:
        known: list[str] = []
        if self.chance(0.12):
            return self.one([
                "CONSTRUCT WHERE { ?s ?p ?o }", "CONSTRUCT { ?s ?p ?o } WHERE { GRAPH ?g { ?s ?p ?o } }",
                "CONSTRUCT { ?s ?p ?o } WHERE { { ?s ?p ?o } UNION { GRAPH ?g { ?s ?p ?o } } }", "CONSTRUCT { ?g a ?g } WHERE { GRAPH ?g {} }",
            ])  # fmt: skip
        dataset, where = self.dataset(), self.where(known)
        template = " ".join(f"{self.one(known)} {self.predicate()} {self.one(known)} ." for _ in range(2))
        return f"CONSTRUCT {{ {template} }} {dataset} WHERE {where} {self.modifiers(known)}"

    def describe(self) -> str:
        if self.chance(0.5):
            subjects = " ".join(self.one(self.terms.subjects) for _ in range(self.dice.randrange(1, 4)))
            return f"DESCRIBE {subjects} {self.dataset()}"
        known: list[str] = []
        dataset, where = self.dataset(), self.where(known)
        return f"DESCRIBE {self.one(known)} {dataset} {where} LIMIT {self.dice.randrange(1, 20)}"
