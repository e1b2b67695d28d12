"""Faults by shapes are pyshacl's results on the shapes as written, whatever was compiled, left out or kept between documents.

Every fixture, and more mutants: make test ARGS="-m campaign tests/checks/test_shape.py"
"""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cache
from pathlib import Path

import pyoxigraph as ox
import pyshacl
import pytest
import rdflib
from rdflib.namespace import SH

from fmar_node.checks.shape import ON_PROPERTY, SEVERITIES, Shapes, graph_of
from fmar_node.errors import Fault, Severity
from fmar_node.vocabulary import FMAR, XSD, Tier, Vocabulary

PROJECT = Path(__file__).parents[2]
FIXTURES = sorted(path.parent for path in (PROJECT / "tests" / "shapes").glob("**/expected.txt"))
EXAMPLE = "https://example.org/"
KINDS = ("asset", "organisation", "cim/asset", "cim/organisation")
MUTANTS = {"asset": 240, "organisation": 480, "cim/asset": 120, "cim/organisation": 120}
BROKEN = {"asset": (30, 50), "organisation": (30, 50), "cim/asset": (20, 30), "cim/organisation": (10, 15)}
"""So many different constraints are broken by a quarter of the mutants, or by all, at least."""
SHARES = [pytest.param(4, id="a quarter"), pytest.param(1, id="all", marks=pytest.mark.campaign)]
"""Every so manieth fixture or mutant: pyshacl alone takes a tenth of a second for each."""

Triples = list[ox.Triple]
Row = tuple[str, str, str, str, str | None]

pytestmark = [
    pytest.mark.xdist_group("shapes"),
    pytest.mark.filterwarnings("ignore:Parsing weird boolean"),
]


@cache
def shapes() -> Shapes:
    return Shapes(Vocabulary.load())


@cache
def as_written(kind: str) -> rdflib.Graph:
    return rdflib.Graph().parse(PROJECT / "shapes" / f"{kind}.ttl", format="turtle")


def kind_of(fixture: Path) -> str:
    (file,) = (fixture / "shapes.txt").read_text("utf-8").split()
    return Path(file).relative_to("shapes").with_suffix("").as_posix()


def of_fixture(fixture: Path, role: str) -> Triples:
    """The document of a fixture under IRIs of its own."""
    return moved(parsed((fixture / f"{role}.ttl").read_text("utf-8")), f"{fixture.name}-{role}")


def parsed(turtle: str) -> Triples:
    return [quad.triple for quad in ox.parse(turtle, format=ox.RdfFormat.TURTLE)]


def moved(triples: Triples, place: str) -> Triples:
    def new(term: ox.NamedNode | ox.Literal) -> ox.NamedNode | ox.Literal:
        is_old = isinstance(term, ox.NamedNode) and term.value.startswith(EXAMPLE)
        return ox.NamedNode(f"{EXAMPLE}{place}/{term.value.removeprefix(EXAMPLE)}") if is_old else term

    return [ox.Triple(new(each.subject), each.predicate, new(each.object)) for each in triples]


# -- both judges give rows: pointer, constraint, severity, message, value where it may be shown


def judged(kind: str, triples: Triples) -> list[Row]:
    faults = shapes().faults(triples, kind, {each.subject.value: each.subject.value for each in triples})
    return sorted(map(row, faults), key=str)


def row(fault: Fault) -> Row:
    return fault.pointer, fault.constraint, fault.severity.value, fault.message, fault.value


def judged_plainly(kind: str, report: rdflib.Graph, documents: list[Triples]) -> list[list[Row]]:
    """The rows of every document that pyshacl judged in one run: shapes look at one record and its parts."""
    rows = defaultdict(list)
    for result in report.objects(None, SH.result):
        focus = str(report.value(result, SH.focusNode))
        rows[focus].append(plain_row(report, result, focus, kind))
    subjects = [{each.subject.value for each in triples} for triples in documents]
    return [sorted((each for focus in own for each in rows[focus]), key=str) for own in subjects]


def plain_report(graph: rdflib.Graph, documents: list[Triples]) -> rdflib.Graph:
    triples = [triple for triples in documents for triple in triples]
    rdflib.NORMALIZE_LITERALS = False
    data = rdflib.Graph().parse(data=ox.serialize(triples, format=ox.RdfFormat.N_TRIPLES), format="nt")
    _, report, _ = pyshacl.validate(data, shacl_graph=graph, inference="none")
    rdflib.NORMALIZE_LITERALS = False
    return report


def plain_row(report: rdflib.Graph, result: rdflib.term.Node, focus: str, kind: str) -> Row:
    shape, value = report.value(result, SH.sourceShape), report.value(result, SH.value)
    path = report.value(result, SH.resultPath) or as_written(kind).value(shape, ON_PROPERTY)
    term = shapes().vocabulary.terms.get(str(path).removeprefix(FMAR))
    is_hidden = value is None or str(value) == focus or term is None or term.tier is Tier.PERSONAL
    shown = None if is_hidden else str(value)[:80]
    severity = SEVERITIES[report.value(result, SH.resultSeverity)]
    message = str(report.value(result, SH.resultMessage))
    return f"{focus}/{str(path).removeprefix(FMAR)}", str(shape).rsplit("#", 1)[1], severity.value, message, shown


# -- the golden fixtures


@cache
def golden(kind: str, share: int) -> dict[tuple[Path, str], Triples]:
    """The documents of every so manieth fixture of the kind."""
    of_kind = [each for each in FIXTURES if kind_of(each) == kind][::share]
    return {(each, role): of_fixture(each, role) for each in of_kind for role in ("conforming", "violating")}


@cache
def golden_report(kind: str, share: int) -> rdflib.Graph:
    return plain_report(as_written(kind), list(golden(kind, share).values()))


def expected_constraints(fixture: Path, role: str) -> list[str]:
    lines = (fixture / "expected.txt").read_text("utf-8").splitlines() if role == "violating" else []
    return sorted(line.split()[1].rsplit("#", 1)[1] for line in lines)


@pytest.mark.parametrize("kind", sorted({kind_of(fixture) for fixture in FIXTURES}))
def test_every_golden_fixture_has_the_faults_that_it_expects(kind):
    found = {each: sorted(constraint for _, constraint, *_ in judged(kind, triples)) for each, triples in golden(kind, 1).items()}

    assert found == {each: expected_constraints(*each) for each in found} != {}


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", KINDS)
def test_golden_fixtures_have_the_faults_that_pyshacl_alone_finds(kind, share):
    documents = golden(kind, share)

    found = [judged(kind, triples) for triples in documents.values()]

    assert found == judged_plainly(kind, golden_report(kind, share), list(documents.values()))
    assert sum(map(bool, found)) == len(documents) // 2 > 2


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", KINDS)
def test_shapes_that_were_set_apart_give_the_results_of_the_shapes_as_written(kind, share):
    apart = shapes().of(kind).graph

    report = plain_report(apart, list(golden(kind, share).values()))

    assert set(apart) != set(as_written(kind))
    assert results(report) == results(golden_report(kind, share)) != []


def results(report: rdflib.Graph) -> list[list[str]]:
    return sorted(
        sorted(f"{p} {o.n3()}" for p, o in report.predicate_objects(each)) for each in report.objects(None, SH.result)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_every_shape_is_compiled_and_can_be_asked_alone(kind):
    prepared = shapes().of(kind)
    constraints = set(as_written(kind).subjects(SH.severity))

    assert prepared.compiled.unsupported == {}
    assert set(prepared.compiled.shapes) == constraints != set()


# -- mutants


TEXTS = (
    "", "a", "OTHER", "x" * 300, "00", "0", "-1", "7.5", "7.505", "1000000.01", "+07.50", "1.5E3", " 5", "true", "1", "2020-01-01",
    "2030-12-31", "2026-02-30", "2026-01-01T00:00:00Z", "1200036481236", "ip1 2ab", "GB", "+44", "\n",
)  # fmt: skip
UNSUITABLE = {XSD + "date": ("2020-01-01", "2030-12-31", "1999-12-31"), XSD + "decimal": ("-1", "0", "7.5", "7.505", "+07.50", "99999999.99")}


def mutant(chance: random.Random, pool: list[Triples]) -> Triples:
    """A conforming document with one to three changes."""
    triples = list(chance.choice(pool))
    for _ in range(chance.choice((1, 1, 2, 3))):
        place = chance.randrange(len(triples))
        triples[place : place + 1] = chance.choice(CHANGES)(triples[place], chance, pool)
    return triples


def dropped(_triple: ox.Triple, _chance: random.Random, _pool: list[Triples]) -> Triples:
    return []


def retold(triple: ox.Triple, chance: random.Random, _pool: list[Triples]) -> Triples:
    """Another value of the same type, well-formed or not; codes become codes of no list."""
    if isinstance(triple.object, ox.NamedNode):
        return [ox.Triple(triple.subject, triple.predicate, ox.NamedNode(triple.object.value + "X"))]
    texts = UNSUITABLE.get(triple.object.datatype.value, TEXTS)
    return [ox.Triple(triple.subject, triple.predicate, ox.Literal(chance.choice(texts), datatype=triple.object.datatype))]


def retyped(triple: ox.Triple, chance: random.Random, _pool: list[Triples]) -> Triples:
    """Text in place of what was there: of another type, or of a code."""
    return [ox.Triple(triple.subject, triple.predicate, ox.Literal(chance.choice(TEXTS)))]


def doubled(triple: ox.Triple, chance: random.Random, pool: list[Triples]) -> Triples:
    return [triple, *retold(triple, chance, pool), triple]


def grafted(triple: ox.Triple, chance: random.Random, pool: list[Triples]) -> Triples:
    """A property that another document has, known to this class or not."""
    other = chance.choice(chance.choice(pool))
    return [triple, ox.Triple(triple.subject, other.predicate, other.object)]


CHANGES = (dropped, dropped, retold, retold, retyped, doubled, grafted, grafted)


@cache
def mutants(kind: str, share: int) -> list[Triples]:
    chance = random.Random(20261122)
    pool = [parsed((each / "conforming.ttl").read_text("utf-8")) for each in FIXTURES if kind_of(each) == kind]
    return [moved(mutant(chance, pool), f"mutant-{number}") for number in range(MUTANTS[kind] // share)]


@cache
def mutant_rows(kind: str, share: int) -> list[list[Row]]:
    return judged_plainly(kind, plain_report(as_written(kind), mutants(kind, share)), mutants(kind, share))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", KINDS)
def test_mutants_have_the_faults_that_pyshacl_alone_finds(kind, share):
    found = [judged(kind, triples) for triples in mutants(kind, share)]

    expected = mutant_rows(kind, share)
    assert found == expected
    assert 0.5 < sum(map(bool, expected)) / len(expected) < 0.95
    assert len({constraint for rows in expected for _, constraint, *_ in rows}) > BROKEN[kind][share == 1]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_mutant_conforms_where_pyshacl_alone_finds_a_fault(kind, share):
    compiled = shapes().of(kind).compiled

    conforming = [number for number, triples in enumerate(mutants(kind, share)) if compiled.suspects(triples) == []]

    expected = mutant_rows(kind, share)
    assert [expected[number] for number in conforming] == [[]] * len(conforming) != []


# -- nothing stays behind


def test_what_was_judged_before_makes_no_difference():
    documents = [(kind, triples) for kind in KINDS for triples in mutants(kind, 4)[:40]]
    fresh = Shapes(shapes().vocabulary)

    forwards = [judged(*each) for each in documents]
    backwards = [judged(*each) for each in reversed(documents)]

    assert forwards == backwards[::-1]
    for kind in KINDS:
        _ = fresh.of(kind).judge  # pyshacl adds a little of its own, once, as it reads them
        assert len(shapes().of(kind).graph) == len(fresh.of(kind).graph)


def test_values_keep_their_lexical_form_though_others_let_rdflib_rewrite_them(monkeypatch):
    monkeypatch.setattr(rdflib, "NORMALIZE_LITERALS", True)
    asset = f'<{EXAMPLE}a> a <{FMAR}Asset> ; <{FMAR}ratedCapacity> "+07.505"^^<{XSD}decimal> .'

    faults = {fault.constraint: fault.value for fault in shapes().faults(parsed(asset), "asset", {})}

    assert faults["A04-decimals"] == "+07.505"


def test_judging_leaves_rdflib_as_it_is(monkeypatch):
    monkeypatch.setattr(rdflib, "NORMALIZE_LITERALS", False)

    found = [judged("asset", triples) for triples in mutants("asset", 4)[:10]]

    assert any(found)
    assert rdflib.NORMALIZE_LITERALS is False


def test_text_is_the_same_with_and_without_its_datatype():
    plain, typed = parsed(f'<{EXAMPLE}a> <{EXAMPLE}p> "a" .'), parsed(f'<{EXAMPLE}a> <{EXAMPLE}p> "a"^^<{XSD}string> .')

    assert set(graph_of(plain).objects()) == set(graph_of(typed).objects()) == {rdflib.Literal("a")}


# -- shapes of other forms than the packaged ones


PREFIXES = f"""
@prefix ex: <{EXAMPLE}> .
@prefix s: <https://w3id.org/fmar/shapes/thing#> .
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
"""
FORMS = {
    "closed": "s:N sh:targetClass ex:C ; sh:closed true ; sh:ignoredProperties ( rdf:type ) ; sh:property s:P . s:P sh:path ex:p ; sh:minCount 2 .",
    "closed-without-ignored": "s:N sh:targetClass ex:C ; sh:closed true ; sh:property s:P . s:P sh:path ex:p ; sh:minCount 2 .",
    "not-closed": "s:N sh:targetClass ex:C ; sh:closed false ; sh:property s:P ; sh:nodeKind sh:Literal . s:P sh:path ex:p ; sh:minCount 2 .",
    "two-targets": "s:N sh:targetClass ex:C ; sh:targetSubjectsOf ex:q ; sh:targetNode ex:u ; sh:property s:P . s:P sh:path ex:p ; sh:minCount 2 .",
    "shared": "s:N sh:targetClass ex:C ; sh:property s:P . s:M sh:targetSubjectsOf ex:q ; sh:property s:P . s:P sh:path ex:p ; sh:minCount 2 .",
    "referred-to": "s:N sh:targetClass ex:C ; sh:property s:P . s:M sh:targetClass ex:D ; sh:node s:N . s:P sh:path ex:p ; sh:minCount 2 .",
    "named-condition": "s:N sh:targetClass ex:C ; sh:not [ sh:node s:M ; sh:property s:P ] . s:M sh:property s:Q . s:Q sh:path ex:q ; sh:minCount 1 . s:P sh:path ex:p ; sh:maxCount 1 .",
    "targeted-itself": "s:N sh:targetClass ex:C ; sh:property s:P . s:P sh:targetClass ex:C ; sh:path ex:p ; sh:minCount 2 .",
    "deactivated": "s:N sh:targetClass ex:C ; sh:deactivated true ; sh:property s:P . s:P sh:path ex:p ; sh:minCount 2 .",
    "deactivated-property": "s:N sh:targetClass ex:C ; sh:closed true ; sh:property s:P . s:P sh:deactivated true ; sh:path ex:p ; sh:minCount 2 .",
    "a-class": "s:N a sh:NodeShape , rdfs:Class ; sh:targetClass ex:C ; sh:property s:P . s:P sh:path ex:p ; sh:minCount 2 .",
    "not-compiled": "s:N sh:targetClass ex:C ; sh:property s:P . s:P sh:path [ sh:inversePath ex:p ] ; sh:minCount 2 .",
    "list-of-texts": "s:N sh:targetClass ex:C ; sh:property s:P . s:P sh:path ex:p ; sh:in ( 'b' 'c' ) .",
}  # fmt: skip
THINGS = "ex:x a ex:C ; ex:p 'a' ; ex:q ex:y . ex:y a ex:D ; ex:p 'b' . ex:z a ex:C , ex:D ; ex:q 1 , 2 . ex:w a s:N . ex:v ex:q 1 ."


def of_things(folder: Path, form: str) -> Shapes:
    (folder / "thing.ttl").write_text(PREFIXES + form, "utf-8")
    return Shapes(shapes().vocabulary, folder)


@pytest.mark.parametrize("form", FORMS)
def test_shapes_of_any_form_give_the_results_of_pyshacl_alone(form, tmp_path):
    things, triples = of_things(tmp_path, FORMS[form]), parsed(PREFIXES + THINGS)
    report = plain_report(rdflib.Graph().parse(data=PREFIXES + FORMS[form], format="turtle"), [triples])

    faults = things.faults(triples, "thing", {EXAMPLE + name: EXAMPLE + name for name in "uvwxyz"})

    expected = [source_of(report, result) for result in report.objects(None, SH.result)]
    assert sorted((fault.pointer.removesuffix(f"/{fault.field}"), fault.constraint) for fault in faults) == sorted(expected)
    assert form == "deactivated" or expected != []


def source_of(report: rdflib.Graph, result: rdflib.term.Node) -> tuple[str, str]:
    shape = report.value(result, SH.sourceShape)
    return str(report.value(result, SH.focusNode)), shape.rsplit("#", 1)[1] if isinstance(shape, rdflib.URIRef) else "closed"


def test_details_of_a_result_are_not_faults_of_their_own(tmp_path):
    form = "s:N-wrong sh:targetClass ex:C ; sh:node s:M ; sh:severity sh:Warning . s:M sh:property s:P . s:P sh:path ex:p ; sh:maxCount 0 ."

    (fault,) = of_things(tmp_path, form).faults(parsed(PREFIXES + "ex:x a ex:C ; ex:p 1 ."), "thing", {})

    assert (fault.code, fault.constraint, fault.severity) == ("N", "N-wrong", Severity.WARN)


def test_a_property_shape_without_an_iri_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a constraint without a name: the property shape of .*/p has no IRI"):
        of_things(tmp_path, "s:N sh:targetClass ex:C ; sh:property [ sh:path ex:p ; sh:minCount 1 ] .").of("thing")


def test_a_targeted_shape_without_an_iri_is_refused(tmp_path):
    with pytest.raises(ValueError, match="1 targeted shapes have no IRI"):
        of_things(tmp_path, "[ sh:targetClass ex:C ; sh:nodeKind sh:Literal ] .").of("thing")
