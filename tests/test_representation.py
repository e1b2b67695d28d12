"""Documents out: what goes out parses back to the same triples, by this package and by others."""

from __future__ import annotations

import json
import random
from datetime import date
from decimal import Decimal
from typing import Any

import pyoxigraph as ox
import pytest
import rdflib
from hypothesis import given, settings
from hypothesis import strategies as st
from pyld import jsonld as pyld

from fmar_node.judge import Judgement, Paper, judge
from fmar_node.representation import FORMATS, JSON, LD_JSON, RDF_FORMATS, fingerprint, json_bytes, serialise, triples
from fmar_node.vocabulary import CODES, CONTEXT, FMAR, XSD, Document, TermKind, Tier
from tests.market import BASE, SETTINGS, battery, mpan, named, shapes, vocabulary

IRI = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
OWNER = f"{BASE}/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12"
PART = vocabulary().terms["device"]
RDF_NAMES = {"text/turtle": "turtle", "application/n-triples": "nt", "application/n-quads": "nquads", "application/rdf+xml": "xml"}
READ_BACK = (LD_JSON, JSON, "text/turtle", "application/n-triples")
FEW = settings(max_examples=40, derandomize=True, database=None, deadline=None)


def judged(body: bytes, media_type: str = LD_JSON) -> Judgement:
    return judge(Paper("assets", "register", IRI, media_type, body, date(2026, 11, 22)), vocabulary(), shapes(), SETTINGS)


def accepted(document: Document) -> Document:
    """The record document that a valid one becomes."""
    judgement = judged(json.dumps(document).encode())
    assert [named(fault) for fault in judgement.faults if fault.severity == "R"] == []
    return judgement.document


def parsed(data: bytes, format_: ox.RdfFormat) -> set[ox.Triple]:
    return {quad.triple for quad in ox.parse(data, format=format_)}


def by_rdflib(data: bytes, name: str) -> set[ox.Triple]:
    """The triples that rdflib reads, lexical forms as they stand."""
    graph = (rdflib.Dataset() if name == "nquads" else rdflib.Graph()).parse(data=data, format=name)
    return parsed(graph.serialize(format=name if name == "nquads" else "nt").encode(), ox.RdfFormat.N_QUADS)


def by_pyld(data: bytes) -> set[ox.Triple]:
    """The triples that PyLD reads, with the packaged context in place of its IRI."""
    tree = json.loads(data)
    assert tree.pop("@context") == CONTEXT
    lines = pyld.to_rdf({"@context": dict(vocabulary().context), **tree}, {"format": "application/n-quads"})
    return parsed(lines.encode(), ox.RdfFormat.N_QUADS)


def full() -> Document:
    """An asset with something of every kind of term."""
    return accepted(battery(
        friendlyCode="BESS-1", owner=OWNER, v2gCapable=False, flexibleConnection=True, connectionVoltage="33", gspGroup="_A",
        flexibleUpKw="0.25", easting="530000.123", northing="180000", postcode="SW1A 1AA",
        alias=[{"scheme": "ECR", "value": 'a "quoted" <value> & \\more', "validFrom": "2024-01-01"}, {"scheme": "MCS", "value": "é 中 \U0001f600"}],
        device=[{"deviceType": "inverter", "ratedCapacity": 250, "manufacturer": "Acme", "serialNumber": "D-1"}, {"deviceType": "cell"}],
        publishedValue=[{"publishedField": "Town", "publishedText": "line one\r\nline two\ttabbed\rthree"}],
        justification=[{"rule": "A03", "text": " spaces around, ]]> and -- and {braces} "}],
    ))  # fmt: skip


# -- every format


@pytest.mark.parametrize("media_type", RDF_FORMATS)
def test_an_rdf_format_says_the_triples_of_the_document(media_type: str) -> None:
    document = full()

    data = serialise(document, media_type, vocabulary())

    assert parsed(data, RDF_FORMATS[media_type]) == set(triples(document, vocabulary()))
    assert by_rdflib(data, RDF_NAMES[media_type]) == set(triples(document, vocabulary()))


def test_json_ld_says_the_triples_of_the_document() -> None:
    document = full()

    data = serialise(document, LD_JSON, vocabulary())

    assert by_pyld(data) == set(triples(document, vocabulary()))
    turtle = serialise(document, "text/turtle", vocabulary())
    assert by_pyld(data) == by_rdflib(turtle, "turtle")


@pytest.mark.parametrize("media_type", READ_BACK)
def test_what_went_out_comes_back_the_same(media_type: str) -> None:
    document = full()

    judgement = judged(serialise(document, media_type, vocabulary()), media_type)

    assert judgement.document == document
    assert list(judgement.document) == list(document)


@pytest.mark.parametrize("media_type", FORMATS)
def test_the_same_document_is_the_same_bytes(media_type: str) -> None:
    assert serialise(full(), media_type, vocabulary()) == serialise(full(), media_type, vocabulary())


def test_decimals_are_text_in_json_ld_and_numbers_in_json() -> None:
    linked, plain = (json.loads(serialise(full(), media_type, vocabulary()), parse_float=str) for media_type in (LD_JSON, JSON))

    assert (linked["ratedCapacity"], linked["flexibleUpKw"], linked["device"][0]["ratedCapacity"]) == ("500.00", "0.25", "250.00")
    assert (plain["ratedCapacity"], plain["flexibleUpKw"], plain["device"][0]["ratedCapacity"]) == ("500.0", "0.25", "250.0")
    assert json.loads(serialise(full(), JSON, vocabulary()))["easting"] == 530000.123
    assert (plain["importMPAN"], plain["v2gCapable"]) == (full()["importMPAN"], False)


@pytest.mark.parametrize("number", ["999999999999999", "9999999999999.99", "1234567890123.45", "0.01", "100000000000000", "4503599627370.49"])
def test_every_decimal_that_is_accepted_is_exact_in_json(number: str) -> None:
    document = accepted(battery(ratedCapacity=number, installedCapacity=None, genCapacity=None, demandCapacity=None))

    back = judged(serialise(document, JSON, vocabulary()), JSON).document

    assert back["ratedCapacity"] == document["ratedCapacity"]


def test_codes_are_notations_in_json_and_concepts_in_triples() -> None:
    document = full()

    concepts = {triple.object for triple in triples(document, vocabulary()) if triple.predicate.value == FMAR + "assetCategory"}

    assert json.loads(serialise(document, LD_JSON, vocabulary()))["assetCategory"] == "BESS"
    assert concepts == {ox.NamedNode(f"{CODES}AssetCategory#BESS")}


def test_no_triple_has_a_blank_node_and_every_part_stands_below_its_record() -> None:
    subjects = {triple.subject for triple in triples(full(), vocabulary())}

    assert {type(subject) for subject in subjects} == {ox.NamedNode}
    assert {subject.value.partition("#")[0] for subject in subjects} == {IRI}
    assert len(subjects) == 7


# -- one order


def test_keys_stand_in_the_order_of_the_ontology() -> None:
    document = full()

    orders = [vocabulary().terms[name].order for name in list(document)[2:]]

    assert list(document)[:2] == ["id", "type"]
    assert orders == sorted(orders)
    assert list(json.loads(serialise(document, LD_JSON, vocabulary()))) == ["@context", *document]


def test_the_order_of_what_was_sent_does_not_matter() -> None:
    sent = json.loads(serialise(full(), LD_JSON, vocabulary()))
    shuffled = list(sent.items())
    random.Random(7).shuffle(shuffled)
    reversed_parts = {name: value[::-1] if name == "device" else value for name, value in shuffled}

    assert serialise(accepted(reversed_parts), LD_JSON, vocabulary()) == serialise(full(), LD_JSON, vocabulary())


def test_parts_stand_by_their_number() -> None:
    document = accepted(battery(device=[{"deviceType": f"cell {number}"} for number in range(12)]))

    assert [part["deviceType"] for part in document["device"]] == [f"cell {number}" for number in range(12)]


# -- fingerprints


def test_a_fingerprint_follows_the_document_alone() -> None:
    document = full()
    backwards = dict(reversed(document.items()))

    assert fingerprint(document) == fingerprint(backwards) == fingerprint(full())
    assert len(fingerprint(document)) == 16


@pytest.mark.parametrize("name", ["assetName", "ratedCapacity", "v2gCapable", "device", "importMPAN"])
def test_a_fingerprint_changes_with_every_value(name: str) -> None:
    document = full()
    without = {key: value for key, value in document.items() if key != name}

    assert len({fingerprint(document), fingerprint(without), fingerprint({**document, name: "x"}), fingerprint({**document, name: ["x"]})}) == 4


# -- any document


LETTERS = st.characters(codec="utf-8", categories=("L", "N"))
FREE = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufffe\uffff", include_characters="\n\t\r")
free_text = st.text(FREE, min_size=1, max_size=40).filter(str.strip)
line = free_text.map(lambda text: " ".join(text.split("\n"))).filter(lambda text: text.strip() and not set(text) & set("\t\r\x85\u2028\u2029"))
capacity = st.decimals("0.01", "999999999999", places=2, allow_nan=False).map(str) | st.integers(1, 10**12)
parts = {
    "device": st.fixed_dictionaries({"deviceType": line, "manufacturer": line}, optional={"ratedCapacity": capacity, "serialNumber": st.from_regex(r"[A-Za-z0-9_-]{3,64}", fullmatch=True)}),
    "alias": st.fixed_dictionaries({"scheme": st.sampled_from(["ECR", "MCS", "OEM", "VEN"]), "value": line}, optional={"source": line, "validFrom": st.dates().map(str)}),
    "publishedValue": st.fixed_dictionaries({"publishedField": line, "publishedText": free_text}),
}  # fmt: skip
optional = {
    "assetName": st.text(LETTERS, min_size=1, max_size=40), "friendlyCode": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    "v2gCapable": st.booleans(), "flexibleConnection": st.booleans(), "storageEnergyCapacity": capacity, "agreedExportCapacity": capacity,
    "connectionType": st.sampled_from(["FIRM", "NON_FIRM", "DYNAMIC"]), "gspGroup": st.sampled_from(["_A", "_P"]), "bulkSupplyPoint": line,
    "otherDescription": line, "publishedSource": line, "easting": st.integers(0, 700_000), "connectionVoltage": st.sampled_from([11, "33", "0.4"]),
    "manufacturer": line, "owner": st.just(OWNER), **{name: st.lists(part, max_size=3) for name, part in parts.items()},
}  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> Document:
    reason = [{"rule": "A03", "text": draw(free_text)}]
    rated = draw(capacity)
    return battery(**{
        "ratedCapacity": rated, "installedCapacity": None, "genCapacity": None, "demandCapacity": None, "manufacturer": None,
        "justification": reason, **draw(st.fixed_dictionaries({}, optional=optional)),
    })  # fmt: skip


@FEW
@given(documents(), st.sampled_from(READ_BACK))
def test_any_accepted_document_round_trips(sent: Document, media_type: str) -> None:
    document = accepted(sent)

    back = judged(serialise(document, media_type, vocabulary()), media_type)

    assert [named(fault) for fault in back.faults if fault.severity == "R"] == []
    assert json.dumps(back.document) == json.dumps(document)


@FEW
@given(documents())
def test_any_accepted_document_is_the_same_to_others(sent: Document) -> None:
    document = accepted(sent)
    expected = set(triples(document, vocabulary()))

    assert by_pyld(serialise(document, LD_JSON, vocabulary())) == expected
    for media_type, name in RDF_NAMES.items():
        data = serialise(document, media_type, vocabulary())
        assert parsed(data, RDF_FORMATS[media_type]) == expected
        assert by_rdflib(data, name) == expected


@FEW
@given(documents())
def test_what_was_sent_is_read_as_others_read_it(sent: Document) -> None:
    document = accepted(sent)

    theirs = by_pyld(serialise({"effectiveDate": document["effectiveDate"], **as_text(sent)}, LD_JSON, vocabulary()))

    assert said(theirs) == said(set(triples(document, vocabulary())))


def as_text(value: Any) -> Any:
    """A document with its numbers as text: what JSON-LD makes of numbers is not what anybody means."""
    if isinstance(value, list):
        return [as_text(each) for each in value]
    if isinstance(value, dict):
        return {name: as_text(each) for name, each in value.items()}
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def said(found: set[ox.Triple]) -> list[tuple[str, str]]:
    """What triples say of a record and its parts, whatever those are called."""
    plain = [triple for triple in found if vocabulary().by_iri.get(triple.predicate.value, PART).kind is not TermKind.PART]
    return sorted((triple.predicate.value, value(triple.object)) for triple in plain)


def value(node: ox.NamedNode | ox.Literal) -> str:
    is_decimal = isinstance(node, ox.Literal) and node.datatype.value == XSD + "decimal"
    return str(Decimal(node.value).normalize()) if is_decimal else node.value


# -- the context


EXPECTED = {
    TermKind.TEXT: {}, TermKind.DECIMAL: {"@type": "xsd:decimal"}, TermKind.INTEGER: {"@type": "xsd:integer"},
    TermKind.BOOLEAN: {"@type": "xsd:boolean"}, TermKind.DATE: {"@type": "xsd:date"}, TermKind.INSTANT: {"@type": "xsd:dateTime"},
    TermKind.RECORD: {"@type": "@id"}, TermKind.PART: {"@type": "@id"},
}  # fmt: skip


@pytest.mark.parametrize("name", vocabulary().terms)
def test_the_context_says_of_a_term_what_the_ontology_says(name: str) -> None:
    term = vocabulary().terms[name]
    typed = EXPECTED.get(term.kind, {"@type": "@vocab", "@context": {"@vocab": f"{CODES}{term.scheme}#"}})

    assert vocabulary().context[name] == {"@id": f"fmar:{name}", **typed, **({"@container": "@set"} if term.many else {})}


def test_the_context_says_nothing_else() -> None:
    rest = {name: value for name, value in vocabulary().context.items() if name not in vocabulary().terms}

    assert rest == {"@version": 1.1, "@protected": True, "@vocab": FMAR, "id": "@id", "type": "@type", "fmar": FMAR, "xsd": XSD}
    assert {Tier.OPEN, Tier.PERSONAL} <= {term.tier for term in vocabulary().terms.values()}


def test_a_meter_point_stays_text_in_every_format() -> None:
    document = accepted(battery(importMPAN=mpan(1)))

    for media_type in FORMATS:
        assert mpan(1).encode() in serialise(document, media_type, vocabulary())
    assert json.loads(serialise(document, JSON, vocabulary()))["importMPAN"] == mpan(1)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@FEW
@given(VALUES)
def test_json_is_indented_as_the_library_does_it(value: Any) -> None:
    assert json_bytes(value) == json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
