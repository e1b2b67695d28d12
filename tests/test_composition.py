"""Triples to record documents: one canonical form of every literal, one order, nothing that vanishes."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pyoxigraph as ox
import pytest

from fmar_node.composition import MOST_FAULTS, Composer, Reading, escaped, in_order, literal, unknown_term
from fmar_node.errors import Invalid
from fmar_node.representation import triples
from fmar_node.vocabulary import CODES, FMAR, RDF_TYPE, XSD, Document, TermKind
from tests.market import BASE, vocabulary

IRI = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
TYPE, LANG = ox.NamedNode(RDF_TYPE), "http://www.w3.org/1999/02/22-rdf-syntax-ns#langString"
DOCUMENT: Document = {
    "id": IRI, "type": "Asset", "assetName": "A", "assetCategory": "BESS", "ratedCapacity": "7.50", "v2gCapable": False,
    "device": [
        {"id": f"{IRI}#device-{number}", "type": "Device", "deviceType": "x", "ratedCapacity": "1.00"} for number in (1, 2, 10)
    ],
    "alias": [{"id": f"{IRI}#alias-1", "type": "Alias", "scheme": "ECR", "value": "v", "validFrom": "2024-01-01"}],
}  # fmt: skip


def composed(found: list[ox.Triple], class_name: str = "Asset") -> tuple[Document, Reading]:
    reading = Reading(pointers={IRI: ""})
    return Composer(vocabulary(), 4_096, IRI, reading).record(found, class_name), reading


def triple(subject: str, name: str, value: Any) -> ox.Triple:
    predicate = ox.NamedNode(name if ":" in name else FMAR + name)
    return ox.Triple(ox.NamedNode(subject), predicate, ox.Literal(value) if isinstance(value, str) else value)


def read(name: str, text: str, datatype: str = "string") -> Any:
    """What becomes of a literal of an XSD type as the value of a term."""
    iri = datatype if ":" in datatype else XSD + datatype
    value = ox.Literal(text, language="en") if iri == LANG else ox.Literal(text, datatype=ox.NamedNode(iri))
    return literal(vocabulary().terms[name], value, 64)


# -- literals


@pytest.mark.parametrize(("name", "datatype", "text", "value"), [
    ("ratedCapacity", "decimal", "7", "7.00"), ("ratedCapacity", "string", "7.5", "7.50"), ("ratedCapacity", "decimal", "+07.500", "7.50"),
    ("ratedCapacity", "decimal", "-0.0", "0.00"), ("ratedCapacity", "decimal", "3.141", "3.141"), ("easting", "decimal", "530000.1230", "530000.123"),
    ("ratedCapacity", "decimal", "1" * 15, "1" * 15 + ".00"), ("ratedCapacity", "decimal", "0000000000000000000001", "1.00"),
    ("ratedCapacity", "integer", "7", "7.00"), ("yearOfRegistration", "integer", "2024", 2024), ("yearOfRegistration", "integer", "+02024", 2024), ("version", "string", "7", 7),
    ("v2gCapable", "boolean", "true", True), ("v2gCapable", "boolean", "0", False), ("v2gCapable", "string", "1", True),
    ("commissioningDate", "date", "2024-02-29", "2024-02-29"), ("commissioningDate", "string", "2024-02-29", "2024-02-29"),
    ("recordedAt", "dateTime", "2026-11-22T09:30:00.000Z", "2026-11-22T09:30:00.000Z"), ("assetName", "string", " a ", " a "),
])  # fmt: skip
def test_a_literal_has_one_form(name: str, datatype: str, text: str, value: Any) -> None:
    assert read(name, text, datatype) == value
    assert type(read(name, text, datatype)) is type(value)


@pytest.mark.parametrize(("name", "datatype", "text"), [
    ("ratedCapacity", "decimal", "7.4E0"), ("ratedCapacity", "decimal", ""), ("ratedCapacity", "decimal", "."), ("ratedCapacity", "decimal", "1 "),
    ("ratedCapacity", "double", "7.4"), ("ratedCapacity", "decimal", "٧"), ("ratedCapacity", "decimal", "1" * 16),
    ("ratedCapacity", "decimal", "1.000000000000001"), ("ratedCapacity", "decimal", "0." + "0" * 30 + "1"), ("ratedCapacity", "decimal", "1" * 60),
    ("yearOfRegistration", "integer", "2024.0"), ("yearOfRegistration", "integer", "2e3"), ("yearOfRegistration", "integer", "9" * 16),
    ("v2gCapable", "boolean", "TRUE"), ("v2gCapable", "boolean", "yes"), ("v2gCapable", "integer", "1"),
    ("commissioningDate", "date", "2023-02-29"), ("commissioningDate", "date", "24-02-29"), ("commissioningDate", "date", "2024-02-29Z"),
    ("commissioningDate", "dateTime", "2024-02-29T00:00:00Z"), ("commissioningDate", "date", "2024-W01-1"), ("commissioningDate", "date", "٢٠٢٤-٠٢-٢٩"),
    ("recordedAt", "dateTime", "2026-11-22"), ("recordedAt", "dateTime", "2026-11-22T09:30:00"), ("recordedAt", "dateTime", "now"),
    ("assetName", LANG, "a"), ("assetName", "integer", "1"), ("assetName", "anyURI", "a"), ("assetName", "string", ""), ("assetName", "string", "\n"),
    ("assetName", "string", "a\nb"), ("assetName", "string", "a\u202eb"), ("assetName", "string", "x" * 65), ("text", "string", "a\x00b"),
])  # fmt: skip
def test_a_literal_of_another_form_is_none(name: str, datatype: str, text: str) -> None:
    assert read(name, text, datatype) is None


@pytest.mark.parametrize("kind", [kind for kind in TermKind if kind not in (TermKind.CODE, TermKind.RECORD, TermKind.PART)])
def test_a_node_is_no_literal(kind: TermKind) -> None:
    term = next(term for term in vocabulary().terms.values() if term.kind is kind)

    assert literal(term, ox.NamedNode("https://x.example/"), 64) is None
    assert literal(term, ox.BlankNode(), 64) is None


# -- documents


def test_a_document_is_its_triples() -> None:
    document, reading = composed(list(triples(DOCUMENT, vocabulary())))

    assert (document, reading.faults) == (DOCUMENT, [])


def test_the_order_of_triples_and_their_repetition_do_not_matter() -> None:
    found = list(triples(DOCUMENT, vocabulary())) * 2
    random.Random(7).shuffle(found)

    document, reading = composed(found)

    assert (document, reading.faults) == (DOCUMENT, [])
    assert [list(part) for part in document["device"]] == [["id", "type", "deviceType", "ratedCapacity"]] * 3


def test_keys_are_sorted_by_the_ontology_and_not_by_name() -> None:
    names = sorted(vocabulary().terms)

    orders = [vocabulary().terms[name].order for name in in_order(dict.fromkeys(names), vocabulary())]

    assert orders == sorted(orders)


@pytest.mark.parametrize(("extra", "code", "pointer"), [
    (triple(IRI, "assetName", "B"), "A02", "/assetName"),
    (triple(IRI, "owner", ox.Literal("x")), "A03", "/owner"),
    (triple(IRI, "owner", ox.BlankNode()), "A03", "/owner"),
    (triple(IRI, "nosuch", "x"), "unknown-term", "/nosuch"),
    (triple(IRI, "organisationLegalName", "x"), "unknown-term", "/organisationLegalName"),
    (triple(IRI, "https://x.example/a~b", "x"), "unknown-term", "/https:~1~1x.example~1a~0b"),
    (triple(IRI, RDF_TYPE, ox.NamedNode(FMAR + "Organisation")), "type-mismatch", "/type"),
    (triple("https://x.example/1", "assetName", "x"), "foreign-subject", ""),
    (triple(f"{IRI}#lost", "deviceType", "x"), "foreign-subject", ""),
    (triple(IRI, "device", ox.NamedNode(IRI)), "literal-ill-formed", "/device"),
    (triple(IRI, "device", ox.NamedNode(f"{IRI}#alias-1")), "literal-ill-formed", "/alias"),
    (triple(IRI, "device", ox.NamedNode(f"{IRI}#ü")), "literal-ill-formed", "/device"),
    (triple(f"{IRI}#device-1", "device", ox.NamedNode(f"{IRI}#device-2")), "unknown-term", "/device"),
])  # fmt: skip
def test_nothing_vanishes(extra: ox.Triple, code: str, pointer: str) -> None:
    _, reading = composed([*triples(DOCUMENT, vocabulary()), extra])

    assert (code, pointer) in [(fault.code, fault.pointer) for fault in reading.faults]


def test_a_code_of_another_list_keeps_its_iri_for_the_shapes_to_refuse() -> None:
    document, _ = composed([triple(IRI, "assetCategory", ox.NamedNode(f"{CODES}EnergySource#GRID"))])

    assert document["assetCategory"] == f"{CODES}EnergySource#GRID"


def test_too_many_faults_end_the_reading() -> None:
    found = [triple(IRI, f"nosuch{number}", "x") for number in range(MOST_FAULTS + 1)]

    with pytest.raises(Invalid) as refusal:
        composed(found)

    assert len(refusal.value.faults) == MOST_FAULTS
    assert len(composed(found[: MOST_FAULTS - 1])[1].faults) == MOST_FAULTS - 1


def test_a_long_key_is_cut_before_it_is_repeated() -> None:
    fault = unknown_term("k" * 10_000, "Asset", "/" + escaped("k" * 10_000), vocabulary(), set())

    assert max(map(len, (fault.message, fault.pointer, fault.field))) < 200
    assert escaped("a/b~c") == "a~1b~0c"


def test_a_suggestion_is_a_term_of_that_class() -> None:
    meant: set[str] = set()

    faults = [unknown_term(key, name, "/x", vocabulary(), meant) for key, name in itertools.product(["serialNumbr", "valu"], ["Asset", "Alias"])]

    assert ["did you mean" in fault.message for fault in faults] == [True, False, False, True]
    assert meant == {"serialNumber", "value"}
