"""What the engine makes of a value from outside, against the same text with a VALUES clause put in.

`CARRIED` and `LOST` are texts by hand: of each one that is lost, the engine's answer is shown to be another one. Then come
texts by a seed, of every construct that a parameter may stand in: whatever is not refused has the answer that it should have.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import pyoxigraph as ox
import pytest

from fmar_node.settings import Settings
from fmar_node.store import substitution
from fmar_node.store.gate import admit
from fmar_node.store.substitution import unreached

DATA = """@prefix : <http://x/> .
:a :k :red ; :n 1 ; :t "x" . :b :k :blue ; :n 2.0 . :c :k :red ; :n 3 ; :k 2 . :d :n 4 ; :t "red" . :e :k "x" ; :k 1.0 .
:red :l "Red" . :blue :l "Blue" ; :n 2 ."""
IN_GRAPHS = {"http://x/red": "@prefix : <http://x/> . :a :k :blue ; :n 2 . :red :l 'Rot' .", "http://x/g": "@prefix : <http://x/> . :c :k :red ; :n 1 ."}
PREFIX = "PREFIX : <http://x/> PREFIX xsd: <http://www.w3.org/2001/XMLSchema#> "
XSD = "http://www.w3.org/2001/XMLSchema#"
P = ox.Variable("p")
TERMS: tuple[ox.NamedNode | ox.Literal, ...] = (
    ox.NamedNode("http://x/red"), ox.NamedNode("http://x/k"), ox.NamedNode("http://x/none"), ox.Literal("x"),
    *(ox.Literal(text, datatype=ox.NamedNode(XSD + name)) for text, name in (("2", "integer"), ("1", "decimal"), ("9", "integer"))),
)  # fmt: skip
Rows = Counter[Any]


@cache
def store() -> ox.Store:
    made = ox.Store()
    made.load(DATA.encode(), format=ox.RdfFormat.TURTLE)
    for graph, data in IN_GRAPHS.items():
        made.load(data.encode(), format=ox.RdfFormat.TURTLE, to_graph=ox.NamedNode(graph))
    return made


def rows(text: str, value: Any = None) -> Rows:
    found = store().query(PREFIX + text, substitutions={P: value} if value is not None else None)
    if isinstance(found, ox.QueryTriples):
        return Counter(set(map(str, found)))
    assert isinstance(found, ox.QuerySolutions)
    return Counter(tuple(str(row[name]) for name in found.variables) for row in found)


def expected(marked: str, value: Any) -> Rows:
    """The answer with a VALUES clause at each mark; where AS binds the parameter, the rows that have the value or none."""
    return narrowed(marked, value) if "AS ?p" in marked else rows(marked.replace("«", f" VALUES ?p {{ {value} }} "))


def narrowed(marked: str, value: Any) -> Rows:
    """The rows of the answer without a value from outside that have the value or none."""
    found = store().query(PREFIX + marked.replace("«", ""))
    if not isinstance(found, ox.QuerySolutions):
        return Counter()
    read = [{name: row[name] if name != P or row[P] is not None else value for name in found.variables} for row in found]
    return Counter(tuple(str(cell) for cell in row.values()) for row in read if row[P] == value)


def is_carried(marked: str) -> bool:
    text = admit(PREFIX + marked.replace("«", ""), Settings()).text
    return all(rows(text, value) == expected(marked, value) for value in TERMS)


def refusal(marked: str) -> str:
    return unreached(admit(PREFIX + marked.replace("«", ""), Settings()).text, ["p"]).get("p", "")


CARRIED = (
    "SELECT ?s ?p {« ?s :k ?p }", "SELECT ?s $p {« ?s :k $p }", "SELECT ?s ?p {« ?s :n ?n FILTER(?n >= ?p) }", "SELECT ?s ?p {« ?s :n ?n FILTER(?n * 2 = ?p + 1) }",
    "SELECT ?s ?p {« ?s :n ?n FILTER(COALESCE(?n >= ?p, true)) }", "SELECT ?s ?p {« ?s :k ?k FILTER sameTerm(?k, ?p) }",
    "SELECT ?s ?p {« ?s :n ?n ; :k ?p FILTER(?p = ?n) }", "SELECT ?s ?p {« ?s :t ?t FILTER CONTAINS(?t, STR(?p)) }",
    "SELECT ?s ?p {« ?s :n ?n OPTIONAL {« ?s :k ?p } }", "SELECT ?s ?p {« {« ?s :k ?p } UNION {« ?s :n ?p } }",
    "SELECT ?s ?p {« ?s :n ?n FILTER NOT EXISTS {« ?s :k ?p } }", "SELECT ?s ?p {« VALUES ?p { :red :blue } ?s :k ?p }", "SELECT ?p ?s {« GRAPH ?p { ?s :k ?k } }",
    "SELECT ?p (COUNT(?s) AS ?c) {« ?s :k ?p } GROUP BY ?p HAVING (COUNT(?s) > 1) ORDER BY DESC(?p)", "SELECT ?s ?p {« ?s :n ?n . ?s (:k|:l) ?p }",
    "SELECT ?s ?p { ?s :k ?k BIND(?k AS ?p) }", "SELECT ?s (?k AS ?p) { ?s :k ?k } LIMIT 9", "SELECT ?p (COUNT(?s) AS ?c) { ?s :k ?k BIND(STR(?k) AS ?p) } GROUP BY ?p",
    "CONSTRUCT { ?s :n ?n } {« ?s :k ?p ; :n ?n }", "CONSTRUCT { ?s :out ?p } {« ?s :k ?k ; :n ?n OPTIONAL {« ?k :n ?p } }", "CONSTRUCT WHERE { ?s :k ?p }",
)  # fmt: skip

LOST = {
    "SELECT ?s ?p {« ?s :n ?n FILTER(!BOUND(?p)) }": substitution.BOUND,
    "SELECT ?s ?p {« ?s :n ?n FILTER(?n = ?p) }": substitution.UNTYPED,
    "SELECT ?s ?p {« ?s :n ?n FILTER(?n IN (?p)) }": substitution.UNTYPED,
    "SELECT ?s ?p {« ?s :n ?n FILTER((?p) = ?n) }": substitution.UNTYPED,
    "SELECT ?s ?p ?q {« ?s :n ?n BIND(?p AS ?q) }": substitution.UNTYPED,
    "SELECT ?s ?p (?p AS ?q) {« ?s :n ?n }": substitution.UNTYPED,
    "SELECT ?s ?p ?q {« ?s :n ?n BIND(?p AS ?q) ?s :k ?p }": substitution.UNTYPED,
    "SELECT ?s ?p {« ?s :n ?n FILTER(STR(?n = ?p) = 'true') }": substitution.UNTYPED,
    "SELECT ?s ?p {« ?s :n ?n MINUS { ?x :t ?y } }": substitution.MINUS,
    "SELECT ?s ?p {« ?s :n ?n { SELECT ?p { ?x :k ?p } ORDER BY ?x LIMIT 1 } }": substitution.NESTED,
    "SELECT ?s ?p { { ?s :k ?k BIND(?k AS ?p) } UNION { ?s :n ?n FILTER(?n > ?p) } }": substitution.INNER_AS,
    "SELECT ?s ?p ?q { ?s :t ?t BIND(?none AS ?p) BIND(?p > 1 AS ?q) }": substitution.AS_AND_MORE,
    "CONSTRUCT { ?s :out ?p } {« ?s :n ?n FILTER(?n >= ?p) }": substitution.NOT_MATCHED,
}


@pytest.mark.parametrize("marked", CARRIED)
def test_a_value_reaches_every_place_and_is_admitted(marked: str) -> None:
    if marked.startswith("CONSTRUCT WHERE"):
        assert rows(marked, TERMS[0]) == Counter({"<http://x/a> <http://x/k> <http://x/red>": 1, "<http://x/c> <http://x/k> <http://x/red>": 1})
    else:
        assert is_carried(marked)
    assert refusal(marked) == ""


@pytest.mark.parametrize("marked", LOST)
def test_a_value_that_the_engine_loses_is_refused(marked: str) -> None:
    assert not is_carried(marked)
    assert refusal(marked) == LOST[marked]


@pytest.mark.parametrize(("text", "why"), [
    ("SELECT ?s { ?s :k ?p }", substitution.NOT_GIVEN), ("SELECT * { ?s :k ?p }", substitution.STAR), ("SELECT ?s { ?s :k ?s } GROUP BY ?p", substitution.NOT_GIVEN),
    ("SELECT ?s { ?s :k ?k } # ?p", substitution.NOT_GIVEN), ("SELECT ?s ?p { { SELECT ?s { ?s :k '?p' } } }", ""), ("CONSTRUCT { ?s :k ?p } { ?s :k ?k }", substitution.NOT_MATCHED),
    ("CONSTRUCT { ?s :k ?k } { ?s :k ?k FILTER EXISTS { ?s :n ?p } }", substitution.NOT_MATCHED), ("SELECT (COUNT(*) AS ?p) ?s { ?s ?x ?o } GROUP BY ?s", ""),
])  # fmt: skip
def test_what_has_no_such_variable_is_refused(text: str, why: str) -> None:
    assert refusal(text) == why


# -- by a seed

EXPRESSIONS = (
    "?n > ?p", "?p <= ?n", "?n = ?p", "?p != ?n", "?n + ?p > 3", "!BOUND(?p)", "COALESCE(?n >= ?p, true)", "STR(?p) = 'x'", "CONTAINS(STR(?k), STR(?p))",
    "sameTerm(?k, ?p)", "?n IN (?p, 2)", "IF(?n > 1, ?p, 2) = 2", "xsd:integer(?p) = ?n", "!?p", "?p", "?n > 1", "COALESCE(?p, 2) = ?n", "-?p < ?n", "isIRI(?p)",
    "?n = 2 || ?p > 1", "STR(?n = ?p) = 'true'",
)  # fmt: skip
PATTERNS = ("?s :n ?n .", "?s :k ?k .", "?s :k ?p .", "?s ?p ?x .", "?p :l ?l .", "?s :t ?t .", "?z :n ?y .", "?s :n ?p .", "?s :k [ :l ?l2 ] .", "?p ^:k ?s .")


class Author:
    """Writes texts by a seed; « marks the groups that would need a VALUES clause of their own."""

    def __init__(self, seed: int) -> None:
        self.dice, self.count = random.Random(seed), 0

    def text(self) -> str:
        group, given = self.group(0), self.dice.choice(EXPRESSIONS)
        return self.dice.choice([
            *(f"SELECT ?s ?p ?n ?k {group}",) * 6, f"SELECT ?p (COUNT(*) AS ?c) {group} GROUP BY ?p HAVING (SUM(?n) > ?p)",
            f"SELECT ?s ?p ({given} AS ?q) {group} ORDER BY DESC(?p)", f"SELECT ?s (?k AS ?p) {group}", f"CONSTRUCT {{ ?s :out ?p ; :n ?n }} {group}",
        ])  # fmt: skip

    def group(self, depth: int) -> str:
        parts = [self.dice.choice(PATTERNS) for _ in range(self.dice.randint(1, 2))]
        parts += [self.dice.choice(self._parts())(depth + 1) for _ in range(self.dice.randint(0, 3 - depth))]
        self.dice.shuffle(parts)
        text = " ".join(parts)
        own = re.sub(r"\{.*\}", "", text)
        return f"{{{'«' if depth == 0 or '?p' in own.replace('AS ?p', '') else ''} {text} }}"

    def _parts(self) -> list[Any]:
        return [
            *(lambda _: f"FILTER({self.dice.choice(EXPRESSIONS)})",) * 6, lambda _: self.bound(), lambda _: f"BIND({self.dice.choice(['?k', '?n + 1'])} AS ?p)",
            lambda _: "VALUES (?p ?n) { (:red 1) (2 2) (UNDEF 3) }", lambda depth: f"OPTIONAL {self.group(depth)}", self.group,
            lambda depth: f"{self.group(depth)} UNION {self.group(depth)}", lambda depth: f"FILTER NOT EXISTS {self.group(depth)}", lambda depth: f"GRAPH ?g {self.group(depth)}",
        ]  # fmt: skip

    def bound(self) -> str:
        self.count += 1
        return f"BIND({self.dice.choice(EXPRESSIONS)} AS ?q{self.count})"


def admitted(seeds: range) -> Iterator[str]:
    for seed in seeds:
        marked = Author(seed).text()
        try:
            rows(marked.replace("«", ""))
        except SyntaxError:
            continue
        if not refusal(marked) and not (marked.startswith("CONSTRUCT") and "AS ?p" in marked):
            yield marked


def test_whatever_is_admitted_has_the_answer_that_it_should_have() -> None:
    found = list(admitted(range(1_200)))

    assert len(found) > 300
    assert [marked for marked in found if not is_carried(marked)] == []


@pytest.mark.campaign
def test_whatever_is_admitted_has_that_answer_at_length() -> None:
    """The engine loses a row now and then with the VALUES clause (a UNION within GRAPH): narrowing its plain answer is as good."""
    odd = [marked for marked in admitted(range(10_000, 60_000)) if not is_carried(marked)]

    assert [(marked, value) for marked in odd for value in TERMS if rows(marked.replace("«", ""), value) not in (expected(marked, value), narrowed(marked, value))] == []
