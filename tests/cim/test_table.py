"""The table agrees with the ontology's alignment, with the shapes, and with itself: CIM's names where CIM has them, and no kW under a MW."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import pytest
from rdflib import RDFS, SH, SKOS, Graph, URIRef
from rdflib.collection import Collection

from fmar_node.cim import table as t
from fmar_node.cim.form import KILOVOLT, MEGAWATT, MEGAWATT_HOUR, METRE, MINUS_MEGAWATT
from fmar_node.vocabulary import CODES, FMAR, TermKind, packaged
from tests.market import vocabulary

NAMESPACES = (t.CIM, t.NC)
UNITS = {"KiloW": {MEGAWATT, MINUS_MEGAWATT}, "KiloW-HR": {MEGAWATT_HOUR}, "KiloV": {KILOVOLT}, "M": {METRE}}


@cache
def aligned() -> dict[str, set[str]]:
    """Subject -> the terms of CIM that the ontology relates it to."""
    graph, found = Graph().parse(packaged("ontology") / "cim-align.ttl"), defaultdict(set)
    for predicate in (RDFS.subPropertyOf, RDFS.subClassOf, SKOS.closeMatch):
        for subject, thing in graph.subject_objects(predicate):
            if str(thing).startswith(NAMESPACES):
                found[str(subject)].add(str(thing))
    return found


def is_property(iri: str) -> bool:
    return "." in t.local(iri) and not any(iri.startswith(f"{t.CIM}{kind}") for kind in (t.STATE_KIND, "MarketRoleKind."))


def carried() -> dict[str, set[str]]:
    """Our terms -> the properties that say them."""
    found = defaultdict(set)
    for table in t.TABLES.values():
        for row in table.rows:
            found[row.term].add(t.iri(row.property))
        for name in table.names:
            found[name.term].add(t.iri(t.NAME))
    return found


def links_to(table: t.Table, name: str) -> set[str]:
    """The associations on the ways from the record to a node."""
    node = table.by_name[name]
    return {t.iri(node.link)} - {t.CIM} | {link for above in node.under for link in links_to(table, above)}


def ways(term: str) -> set[str]:
    """Every property on the ways from the record to a term."""
    found = {t.iri(t.NAMES), t.iri(t.NAME)} if any(name.term == term for table in t.TABLES.values() for name in table.names) else set()
    for table in t.TABLES.values():
        places = [row.node for row in table.rows if row.term == term] + [name.node for name in table.names if name.term == term]
        found |= {link for place in places for link in links_to(table, place)}
    return found | carried()[term]


@pytest.mark.parametrize("term", sorted(carried()))
def test_what_the_table_carries_the_ontology_aligns(term: str) -> None:

    said = {iri for iri in aligned()[FMAR + term] if is_property(iri)}

    assert said != set()
    assert said <= ways(term)


def test_what_the_ontology_aligns_with_a_property_the_table_carries() -> None:
    beside = {"alias": t.NAMES, "value": t.NAME, "scheme": t.NAME_TYPE, "registrationStatus": t.STATE, "organisationRoles": t.ROLE_TYPE}
    terms = {subject.removeprefix(FMAR) for subject, things in aligned().items() if subject.startswith(FMAR) and any(map(is_property, things))}

    assert terms - carried().keys() == set(beside)
    assert {name: {t.iri(property_)} for name, property_ in beside.items()} == {name: aligned()[FMAR + name] for name in beside}


def test_categories_states_and_roles_are_those_of_the_ontology() -> None:
    codes = {iri.removeprefix(CODES).replace("#", " "): {t.named(each) for each in things} for iri, things in aligned().items() if iri.startswith(CODES)}

    units = {f"AssetCategory {code}" if not kind else f"OtherKind {kind}": {class_} for (code, kind), class_ in t.UNITS.items()}
    states = {f"RegistrationStatus {code}": {t.STATE_KIND + kind} for code, kind in t.STATES.items()}
    roles = {f"OrganisationRole {code}": {kind or class_} for code, (class_, kind) in t.ROLES.items()}
    assert codes == {**units, **states, **roles}


def test_every_category_state_and_kind_has_its_place() -> None:
    schemes = vocabulary().schemes

    assert {category for category, _ in t.UNITS} == set(schemes["AssetCategory"].codes)
    assert {kind for category, kind in t.UNITS if category == "OTHER"} == set(schemes["OtherKind"].codes)
    assert set(t.STATES) == set(schemes["RegistrationStatus"].codes)
    assert set(t.ROLES) <= set(schemes["OrganisationRole"].codes)
    assert set(t.AUTHORITIES) <= {*schemes["IdentifierScheme"].codes, *(name.type for table in t.TABLES.values() for name in table.names)}


@pytest.mark.parametrize("table", t.TABLES.values(), ids=t.TABLES)
def test_a_property_stands_only_on_a_class_that_has_it(table: t.Table) -> None:
    for row in table.rows:
        assert any(t.has(class_, row.property) for class_ in table.by_name[row.node].classes), row
    for node in table.nodes[1:]:
        assert any(t.has(class_, node.link) for name in node.under for class_ in table.by_name[name].classes), node
        assert not node.inverse or any(t.has(class_, node.inverse) for class_ in node.classes), node


@pytest.mark.parametrize("table", t.TABLES.values(), ids=t.TABLES)
def test_a_term_is_written_in_one_place_of_a_class(table: t.Table) -> None:
    for class_ in {class_ for node in table.nodes for class_ in node.classes}:
        written = [row.term for row in table.rows if row.written and class_ in table.by_name[row.node].classes and t.has(class_, row.property)]
        assert len(written) == len(set(written)) or class_ == "ActivePowerLimit"
    terms = [row.term for row in table.rows] + [name.term for name in table.names]
    assert set(terms) <= vocabulary().terms.keys()
    assert all(table.class_name in vocabulary().terms[term].domains for term in terms)


@pytest.mark.parametrize("row", [row for table in t.TABLES.values() for row in table.rows], ids=lambda row: f"{row.term} {row.property}")
def test_a_quantity_is_converted_by_its_unit(row: t.Row) -> None:
    term = vocabulary().terms[row.term]

    assert (row.form in UNITS[term.unit.rsplit("/", 1)[-1]]) if term.unit else (row.form not in {form for forms in UNITS.values() for form in forms})
    assert (term.kind is TermKind.RECORD) is (row.form.datatype == "")


@pytest.mark.parametrize(("kilo", "mega"), [("500.00", "0.5"), ("0.01", "0.00001"), ("0.00", "0"), ("999999999999999", "999999999999.999"), ("450.50", "0.4505"), ("1", "0.001"), ("1000000", "1000")])
def test_the_decimal_point_moves_three_places_and_no_digit_changes(kilo: str, mega: str) -> None:
    assert MEGAWATT.out(kilo) == mega
    assert float(MEGAWATT.back(mega) or "x") == float(kilo)
    assert MINUS_MEGAWATT.out(kilo) == ("0" if mega == "0" else f"-{mega}")
    assert float(MINUS_MEGAWATT.back(MINUS_MEGAWATT.out(kilo)) or "x") == float(kilo)


@pytest.mark.parametrize("text", ["", "1e3", "NaN", "INF", " 1", "1 ", "0x1", "٣", "1,5", "1" * 26])
def test_what_is_no_decimal_does_not_become_one(text: str) -> None:
    assert MEGAWATT.back(text) is None


@pytest.mark.parametrize("kind", ["asset", "organisation"])
def test_the_shapes_list_what_the_table_knows(kind: str) -> None:
    shapes = Graph().parse(packaged("shapes") / "cim" / f"{kind}.ttl")
    table = next(each for each in t.TABLES.values() if each.kind == kind)

    def listed(name: str, predicate: URIRef) -> set[str]:
        shape = URIRef(f"https://w3id.org/fmar/shapes/cim/{kind}#{name}")
        return {str(each) for each in Collection(shapes, shapes.value(shape, predicate))}

    assert listed("NameType.name-code", SH["in"]) == {*(name.type for name in table.names), *vocabulary().schemes["IdentifierScheme"].codes}
    if kind == "asset":
        assert listed("RegisteredResource.registrationStatus-code", SH["in"]) == {t.CIM + t.STATE_KIND + each for each in t.STATES.values()}
    else:
        assert listed("MarketRole.type-code", SH["in"]) == {t.CIM + each for each in (t.RESOURCE_PROVIDER, t.SYSTEM_OPERATOR)}


def test_a_name_is_what_it_is_under_every_namespace() -> None:
    names = {t.named(f"{space}BatteryUnit") for space, known in t.ALIASES.items() if known == t.CIM}

    assert names == {"BatteryUnit"}
    assert t.named("http://entsoe.eu/ns/nc#ElectricalChargingUnit") == "nc:ElectricalChargingUnit"
    assert t.named("https://example.org/#BatteryUnit") == "https://example.org/#BatteryUnit"
    assert all(t.named(t.iri(name)) == name for name in t.words() if name != t.DIRECTION)
