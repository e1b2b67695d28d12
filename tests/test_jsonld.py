"""Documents in: exact numbers, nothing that vanishes, every fault of form on its pointer, nothing that hurts the reader."""

from __future__ import annotations

import json
import time
from datetime import date
from typing import Any

import pytest

from fmar_node.errors import FmarError, Invalid, Malformed, TooLarge
from fmar_node.jsonld import Number, exact, read_json
from fmar_node.judge import Judgement, Paper, judge
from fmar_node.vocabulary import CODES, CONTEXT, FMAR
from tests.market import BASE, SETTINGS, battery, mpan, named, organisation, shapes, vocabulary

IRI = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
ORGANISATION = f"{BASE}/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12"
LD_JSON, TURTLE, N_TRIPLES = "application/ld+json", "text/turtle", "application/n-triples"
PREFIX = f"@prefix fmar: <{FMAR}> . @prefix xsd: <http://www.w3.org/2001/XMLSchema#> .\n"


def judged(body: Any, media_type: str = LD_JSON, kind: str = "assets") -> Judgement:
    """The judgement of a document (or of bytes, as they are)."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    iri = IRI if kind == "assets" else ORGANISATION
    return judge(Paper(kind, "register", iri, media_type, data, date(2026, 11, 22)), vocabulary(), shapes(), SETTINGS)


def with_raw(term: str, raw: str, **changes: Any) -> bytes:
    """A battery with the JSON text of one value as it is."""
    return json.dumps(battery(**{**changes, term: "RAW"})).replace('"RAW"', raw, 1).encode()


def wrong(judgement: Judgement) -> list[tuple[str, str]]:
    """Constraint and pointer of what was rejected."""
    return [(named(fault), fault.pointer) for fault in judgement.faults if fault.severity == "R"]


def record(*statements: str) -> str:
    """A Turtle document about a blank node that is an asset."""
    return f"{PREFIX} _:r a fmar:Asset ; fmar:assetCategory <{CODES}AssetCategory#BESS> . {' '.join(statements)}"


# -- numbers


@pytest.mark.parametrize(("raw", "value"), [
    ("7", "7.00"), ("7.5", "7.50"), ("7.50", "7.50"), ("0.25", "0.25"), ('"7.50"', "7.50"), ("1e3", "1000.00"), ("1E+2", "100.00"),
    ("7.500", "7.50"), ("25e-2", "0.25"), ('"+7"', "7.00"), ('".5"', "0.50"), ('"7."', "7.00"), ('"007.10"', "7.10"),
    ("[7.5]", "7.50"), ('{"@value": "7.50"}', "7.50"), ('{"@value": 7.5, "@type": "xsd:decimal"}', "7.50"), ("12500.00", "12500.00"),
    ("9007199254740.99", "9007199254740.99"), ("0.1", "0.10"), ("100000000000000", "100000000000000.00"),
])  # fmt: skip
def test_a_number_is_kept_exactly(raw: str, value: str) -> None:
    judgement = judged(with_raw("ratedCapacity", raw, installedCapacity=None, genCapacity="0.10", demandCapacity=None))

    assert judgement.document["ratedCapacity"] == value
    assert wrong(judgement) == []


@pytest.mark.parametrize(("raw", "name"), [
    ('"10kW"', "literal-ill-formed"), ('"12,500"', "literal-ill-formed"), ("1e400", "literal-ill-formed"), ("true", "literal-ill-formed"),
    ('" 7"', "literal-ill-formed"), ('"7 "', "literal-ill-formed"), ('"1e3"', "literal-ill-formed"), ('"NaN"', "literal-ill-formed"),
    ('"INF"', "literal-ill-formed"), ('"0x10"', "literal-ill-formed"), ('"٣"', "literal-ill-formed"), ('""', "literal-ill-formed"),
    ("{}", "literal-ill-formed"), ("[]", "literal-ill-formed"), ("[7, 8]", "literal-ill-formed"), ("[[7]]", "literal-ill-formed"),
    ('{"@value": 7, "@type": "xsd:string"}', "literal-ill-formed"), ('{"@value": "7", "@language": "en"}', "literal-ill-formed"),
    ('{"id": "7"}', "literal-ill-formed"), ("1" * 27, "literal-ill-formed"), ("1" * 5_000, "literal-ill-formed"),
    (f'"{"1" * 30}"', "literal-ill-formed"), (f'"1.{"0" * 27}1"', "literal-ill-formed"), ("1e99999999999999999999", "literal-ill-formed"),
    ("3.141", "A04-decimals"), ("0", "A04-minimum"), ("-1", "A04-minimum"), ("-0", "A04-minimum"), ("0.001", "A04-decimals"),
])  # fmt: skip
def test_what_is_no_capacity_is_refused_on_its_field(raw: str, name: str) -> None:
    """B14: numbers."""
    judgement = judged(with_raw("ratedCapacity", raw, installedCapacity=None, genCapacity=None, demandCapacity=None))

    assert wrong(judgement) == [(name, "/ratedCapacity")]
    assert {fault.code for fault in judgement.faults if fault.severity == "R"} == {"A04"}


@pytest.mark.parametrize("raw", ["NaN", "Infinity", "-Infinity", "07", "7.", ".5", "+7", "0x10", "1_000", "7e", "'7'", "undefined"])
def test_what_json_does_not_have_is_malformed(raw: str) -> None:
    with pytest.raises(Malformed) as refusal:
        judged(with_raw("ratedCapacity", raw))

    assert refusal.value.code == "malformed-json"


def test_zero_has_one_form() -> None:
    documents = [judged(with_raw("genCapacity", raw)).document for raw in ("0", "-0", "0.00", '"-0.00"', "0e5", '"+0"')]

    assert [document["genCapacity"] for document in documents] == ["0.00"] * 6


@pytest.mark.parametrize(("text", "written"), [("1e3", "1000"), ("1E-2", "0.01"), ("-7.50", "-7.50"), ("0.1", "0.1"), ("1e400", None), ("1e-400", None), ("1" * 31, None)])
def test_a_json_number_is_written_out(text: str, written: str | None) -> None:
    assert exact(text) == written


@pytest.mark.parametrize("raw", ["2000000000006", "2.000000000006e12", "true", '["2000000000006", "1"]'])
def test_a_meter_point_is_text_and_never_a_number(raw: str) -> None:
    judgement = judged(with_raw("importMPAN", raw))

    assert wrong(judgement) == [("literal-ill-formed", "/importMPAN")]
    assert judgement.faults[0].code == "A20"
    assert "2000000000006" not in repr(judgement.faults)


@pytest.mark.parametrize(("term", "raw", "value"), [
    ("v2gCapable", "true", True), ("v2gCapable", '"false"', False), ("v2gCapable", "1", None), ("v2gCapable", '"yes"', None),
    ("commissioningDate", '"2024-02-29"', "2024-02-29"), ("commissioningDate", '"2023-02-29"', None), ("commissioningDate", '"01/03/2024"', None),
    ("commissioningDate", '"2024-03-01T00:00:00Z"', None), ("commissioningDate", '"20240301"', None), ("commissioningDate", "20240301", None),
    ("assetName", "7", None), ("assetName", "true", None), ("assetName", '["a", "b"]', None), ("assetName", '{"@value": "a"}', "a"),
    ("assetName", '" "', None), ("assetName", '{"id": "a"}', None), ("assetName", '{"@value": "a", "@language": "en"}', None),
    ("assetName", '{"@value": "a", "more": 1}', None), ("assetName", "{}", None), ("assetName", '["a"]', "a"),
])  # fmt: skip
def test_a_value_has_the_form_of_its_term(term: str, raw: str, value: Any) -> None:
    judgement = judged(with_raw(term, raw))

    assert judgement.document.get(term) == value
    assert wrong(judgement) == ([] if value is not None else [("literal-ill-formed", f"/{term}")])


@pytest.mark.parametrize(("year", "value"), [("2024", 2024), ("2.024e3", 2024), ('"2024"', 2024), ("2024.0", None), ("2024.5", None), ('"MMXXIV"', None)])
def test_a_whole_number_is_whole(year: str, value: int | None) -> None:
    document = json.dumps(organisation("Org", ["FSP"], yearOfRegistration="RAW", yearOfRegistrationBasis="FMAR")).replace('"RAW"', year)

    assert judged(document, kind="organisations").document.get("yearOfRegistration") == value


# -- the JSON text


@pytest.mark.parametrize(("body", "code"), [
    (b"", "malformed-json"), (b"[]", "malformed-json"), (b'"text"', "malformed-json"), (b"null", "malformed-json"), (b"{} {}", "malformed-json"),
    (b"{'type': 'Asset'}", "malformed-json"), (b'{"assetName": "\xff"}', "malformed-json"), ('{"assetName": "é"}'.encode("utf-16"), "malformed-json"),
    (b'{"assetName": "a", "assetName": "a"}', "malformed-json"), (b'{"device": [{"deviceType": "a", "deviceType": "b"}]}', "malformed-json"),
    (b'{"assetName": "a\x01b"}', "malformed-json"), (b'{"assetName": "\\ud800"}', "malformed-json"), (b'{"\\udfff": 1}', "malformed-json"),
    (b'{"assetName": "\xed\xa0\x80"}', "malformed-json"),
])  # fmt: skip
def test_a_text_that_is_not_one_json_object_is_malformed(body: bytes, code: str) -> None:
    """B17: encodings and duplicate keys."""
    with pytest.raises(Malformed) as refusal:
        judged(body)

    assert refusal.value.code == code
    str(refusal.value).encode()


def test_a_byte_order_mark_is_passed_over() -> None:
    assert wrong(judged(b"\xef\xbb\xbf" + json.dumps(battery()).encode())) == []


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert judged(with_raw("justification", r'[{"rule": "A03", "text": "\ud83d\ude00"}]')).document["justification"][0]["text"] == "\U0001f600"


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\u202e", "\u2066", "\ufffe", "\uffff", "\n", "\r", "\t", "\x85", "\u2028"])
def test_a_character_that_deceives_is_refused(character: str) -> None:
    """B14: text."""
    for term in ("assetName", "serialNumber", "friendlyCode", "manufacturer"):
        assert wrong(judged(battery(**{term: f"abc{character}def"}))) == [("literal-ill-formed", f"/{term}")]


def test_free_text_may_have_lines_and_any_script() -> None:
    text = "first\r\nsecond\t\u00e9 \u4e2d \U0001f600 \u05d0"

    assert judged(battery(justification=[{"rule": "A03", "text": text}])).document["justification"][0]["text"] == text


def test_a_personal_value_is_not_repeated_in_its_fault() -> None:
    judgement = judged(battery(serialNumber="secret\x00serial", postcode="x" * 5_000, publishedValue=[{"publishedField": "a\x00", "publishedText": "b"}]))

    assert {fault.pointer for fault in judgement.faults if fault.severity == "R"} == {"/serialNumber", "/postcode", "/publishedValue/0/publishedField"}
    assert not any(fault.value for fault in judgement.faults if fault.severity == "R")


# -- keys


@pytest.mark.parametrize(("key", "meant"), [
    ("ratedCapcity", "ratedCapacity"), ("RatedCapacity", "ratedCapacity"), ("assetname", "assetName"), ("importMpan", "importMPAN"),
    ("fmar:asetName", "assetName"), (f"{FMAR}asetName", "assetName"), ("zzz", None), ("organisationLegalName", None), ("", None),
])  # fmt: skip
def test_an_unknown_key_is_named_with_what_was_meant(key: str, meant: str | None) -> None:
    judgement = judged(battery(**{key: "1"}))

    (fault,) = [fault for fault in judgement.faults if fault.code == "unknown-term"]
    assert (f"did you mean {meant}?" in fault.message) is (meant is not None)
    assert fault.pointer == "/" + key.replace("/", "~1")


def test_a_misspelt_key_is_one_fault_and_not_two() -> None:
    document = {("assetCategry" if name == "assetCategory" else name): value for name, value in battery().items()}

    assert wrong(judged(document)) == [("unknown-term", "/assetCategry")]


def test_a_key_in_a_part_has_the_pointer_of_the_part() -> None:
    judgement = judged(battery(device=[{"deviceType": "a"}, {"deviceTyp": "b", "a/b~c": 1}], alias=[{"scheme": "ECR", "value": "x", "until": "y"}]))

    assert sorted(wrong(judgement)) == [
        ("unknown-term", "/alias/0/until"), ("unknown-term", "/device/1/a~1b~0c"), ("unknown-term", "/device/1/deviceTyp"),
    ]  # fmt: skip


def test_a_fault_in_a_part_has_the_pointer_of_the_part() -> None:
    judgement = judged(battery(device=[{"deviceType": "a"}, {"ratedCapacity": "1.005"}], alias=[{"scheme": "LEI", "value": 5}]))

    assert ("Device.ratedCapacity-decimals", "/device/1/ratedCapacity") in wrong(judgement)
    assert ("literal-ill-formed", "/alias/0/value") in wrong(judgement)


@pytest.mark.parametrize("name", ["fmar:assetName", f"{FMAR}assetName"])
def test_a_key_may_be_written_as_its_iri(name: str) -> None:
    document = {name if term == "assetName" else term: value for term, value in battery().items()}

    assert judged(document).document == judged(battery()).document


def test_a_term_said_twice_is_a_fault_unless_it_is_the_same() -> None:
    assert wrong(judged(battery(**{"fmar:assetName": "Other"})))[0][1] == "/assetName"
    assert wrong(judged(battery(**{"fmar:assetName": battery()["assetName"]}))) == []


@pytest.mark.parametrize("keyword", ["@graph", "@reverse", "@included", "@nest", "@index", "@list", "@set", "@json", "@unknown"])
def test_a_keyword_that_says_more_than_one_record_is_refused(keyword: str) -> None:
    """B7: in the record and in its parts."""
    for document in (battery(**{keyword: []}), battery(device=[{"deviceType": "a", keyword: []}])):
        with pytest.raises(Invalid) as refusal:
            judged(document)
        assert refusal.value.code == "keyword-not-supported"


@pytest.mark.parametrize("given", [CONTEXT, [CONTEXT], None])
def test_the_context_may_be_absent_or_ours(given: Any) -> None:
    assert wrong(judged(battery(**{"@context": given}))) == []


@pytest.mark.parametrize("given", [
    "https://evil.example/context", "http://w3id.org/fmar/context/v1", f"{CONTEXT}#", {}, {"assetName": "fmar:serialNumber"}, [CONTEXT, {}],
    [CONTEXT, CONTEXT], [], "", 0, False, "file:///etc/passwd",
])  # fmt: skip
def test_any_other_context_is_refused(given: Any) -> None:
    """B6: no context but the bundled one."""
    with pytest.raises(Invalid) as refusal:
        judged({**battery(), "@context": given})

    assert refusal.value.code == "context-not-supported"


def test_a_part_has_no_context_of_its_own() -> None:
    assert wrong(judged(battery(device=[{"@context": CONTEXT, "deviceType": "a"}]))) == [("unknown-term", "/device/0/@context")]


@pytest.mark.parametrize("type_", ["Organisation", "asset", ["Asset", "Organisation"], None, 5, [], "fmar:Organisation"])
def test_a_document_of_another_type_is_refused(type_: Any) -> None:
    expected = [] if type_ == [] else [("type-mismatch", "/type")]

    assert wrong(judged({**battery(), "type": type_})) == expected


@pytest.mark.parametrize("type_", ["Asset", "fmar:Asset", f"{FMAR}Asset", ["Asset"]])
def test_a_type_may_be_written_as_its_iri(type_: Any) -> None:
    assert judged({**battery(), "type": type_}).document == judged({name: value for name, value in battery().items() if name != "type"}).document


@pytest.mark.parametrize(("id_", "is_ours"), [(IRI, True), (IRI.removeprefix(BASE + "/"), True), (None, True), (IRI + "0", False), ("x", False), (7, False), ("_:b", False)])
def test_identifiers_are_issued_by_the_node(id_: Any, is_ours: bool) -> None:
    assert wrong(judged({**battery(), "id": id_})) == ([] if is_ours else [("A01", "/id")])
    assert judged({**battery(), "id": id_}).document["id"] == IRI


# -- codes and references


@pytest.mark.parametrize(("written", "stored"), [
    ("Private Limited Company (Ltd)", "LTD"), ("LTD", "LTD"), (f"{CODES}OrganisationType#LTD", "LTD"), ("Other", "OTHER"),
])  # fmt: skip
def test_a_label_stands_for_its_code_where_it_was_published_so(written: str, stored: str) -> None:
    judgement = judged(organisation("Org", ["Flexibility Service Provider (FSP)", "AGGREGATOR"], organisationType=written), kind="organisations")

    assert (judgement.document["organisationType"], judgement.document["organisationRoles"]) == (stored, ["AGGREGATOR", "FSP"])
    assert wrong(judgement) == []


@pytest.mark.parametrize("code", ["Battery Storage", "bess", "BESS ", f"{CODES}EnergySource#GRID", "id", "type", "fmar:BESS", "_:b", "@id", "", "OTHER_", "assetName"])
def test_a_code_is_of_its_list_and_nothing_else(code: str) -> None:
    judgement = judged(battery(assetCategory=code))

    assert [(fault.code, fault.pointer) for fault in judgement.faults if fault.severity == "R"] == [("A05", "/assetCategory")]


@pytest.mark.parametrize("code", ["id", "type", "@id", "_:b"])
def test_a_code_that_json_ld_would_drop_is_refused(code: str) -> None:
    assert [pointer for _, pointer in wrong(judged(battery(otherKind=code)))] == ["/otherKind"]


def test_codes_said_twice_are_said_once() -> None:
    judgement = judged(organisation("Org", ["FSP", "FSP", f"{CODES}OrganisationRole#FSP"]), kind="organisations")

    assert judgement.document["organisationRoles"] == ["FSP"]


@pytest.mark.parametrize("owner", ["organisations/1", "/organisations/1", f"{BASE}/organisations/1", {"id": "organisations/1"}, {"@id": "organisations/1"}, ["organisations/1"]])
def test_a_reference_may_be_relative_to_the_node(owner: Any) -> None:
    assert judged(battery(owner=owner)).document["owner"] == f"{BASE}/organisations/1"


@pytest.mark.parametrize("owner", [
    "http://[", "::", "http://a/%", "//[", "_:b", "1:2", "", "a b", "<a>", "a" * 600, 7, True, {}, {"id": "a", "more": 1}, {"@value": "a"}, ["a", "b"],
])  # fmt: skip
def test_a_reference_that_is_no_iri_is_refused(owner: Any) -> None:
    assert wrong(judged(battery(owner=owner))) == [("literal-ill-formed", "/owner")]


@pytest.mark.parametrize("owner", ["@id", "@foo", "id", "type", ".", "?q", "a:b:c", "urn:x:y", "fmar:x"])
def test_no_reference_vanishes(owner: str) -> None:
    judgement = judged(battery(owner=owner))

    assert "owner" in judgement.document or ("literal-ill-formed", "/owner") in wrong(judgement)


# -- parts


def test_parts_get_hash_iris_below_the_record() -> None:
    document = judged(battery(device=[{"deviceType": "a"}, {"deviceType": "b"}], alias={"scheme": "ECR", "value": "x"})).document

    assert [part["id"] for part in document["device"]] == [f"{IRI}#device-1", f"{IRI}#device-2"]
    assert [part["id"] for part in document["alias"]] == [f"{IRI}#alias-1"]


@pytest.mark.parametrize("given", ["#device-1", f"{IRI}#device-1", "#inverter"])
def test_a_part_keeps_its_id_wherever_it_stands(given: str) -> None:
    judgement = judged(battery(device=[{"deviceType": "new"}, {"id": given, "deviceType": "known"}]))

    name = given.rpartition("#")[2]
    assert wrong(judgement) == []
    assert {part["id"].rpartition("#")[2]: part["deviceType"] for part in judgement.document["device"]}[name] == "known"
    assert len({part["id"] for part in judgement.document["device"]}) == 2


@pytest.mark.parametrize("given", ["https://evil.example/#a", f"{IRI}", "#", "#a b", "device-1", 5, "_:b", f"{IRI}x#a", "#" + "a" * 65])
def test_a_part_has_no_id_elsewhere(given: Any) -> None:
    judgement = judged(battery(device=[{"id": given, "deviceType": "a"}]))

    assert wrong(judgement) == [("part-id", "/device/0/id")]


def test_two_parts_have_two_ids() -> None:
    assert wrong(judged(battery(device=[{"id": "#a", "deviceType": "a"}, {"id": "#a", "deviceType": "b"}]))) == [("part-id", "/device/1/id")]


@pytest.mark.parametrize("value", ["text", 5, True, [["nested"]], ["text"]])
def test_a_part_is_an_object(value: Any) -> None:
    ((name, pointer),) = wrong(judged(battery(device=value)))

    assert name == "literal-ill-formed"
    assert pointer.startswith("/device")


def test_the_number_of_parts_is_capped() -> None:
    many = [{"deviceType": "a"}] * (SETTINGS.parts - 1)  # one place is the justification's

    assert len(judged(battery(device=many)).document["device"]) == SETTINGS.parts - 1
    with pytest.raises(Invalid, match="parts"):
        judged(battery(device=[*many, {}]))


# -- Turtle and N-Triples


def test_a_blank_node_becomes_the_record_and_its_parts() -> None:
    judgement = judged(record('_:r fmar:assetName "A" ; fmar:device [ fmar:deviceType "x" ] , [ fmar:deviceType "y" ] .'), TURTLE)

    assert (judgement.document["id"], judgement.document["assetName"]) == (IRI, "A")
    assert {part["deviceType"] for part in judgement.document["device"]} == {"x", "y"}
    assert all(part["id"].startswith(f"{IRI}#device-") and part["type"] == "Device" for part in judgement.document["device"])


def test_the_number_of_blank_nodes_is_capped() -> None:
    """B10: to the node."""
    few, many = (record(*["_:r fmar:device [] ."] * count) for count in (SETTINGS.parts - 1, SETTINGS.parts))

    assert len(judged(few, TURTLE).document["device"]) == SETTINGS.parts - 1
    with pytest.raises(Invalid, match="parts"):
        judged(many, TURTLE)


def test_the_record_may_be_written_as_the_empty_reference() -> None:
    text = f'{PREFIX} <> a fmar:Asset ; fmar:assetName "A" ; fmar:device <#device-2> , [ fmar:deviceType "y" ] . <#device-2> fmar:deviceType "x" .'

    document = judged(text, TURTLE).document

    assert (document["id"], document["assetName"]) == (IRI, "A")
    assert sorted((part["deviceType"], part["id"] == f"{IRI}#device-2") for part in document["device"]) == [("x", True), ("y", False)]


def test_the_same_record_in_n_triples() -> None:
    lines = [f'_:r <{FMAR}assetName> "A" .', f"_:r <http://www.w3.org/1999/02/22-rdf-syntax-ns#type> <{FMAR}Asset> .", f'_:d <{FMAR}deviceType> "x" .', f"_:r <{FMAR}device> _:d ."]

    document = judged("\n".join(lines), N_TRIPLES).document

    assert (document["id"], document["assetName"], document["device"][0]["deviceType"]) == (IRI, "A", "x")


@pytest.mark.parametrize(("statement", "expected"), [
    ('<https://evil.example/a> fmar:assetName "B" .', ("foreign-subject", "")),
    ('_:other fmar:assetName "B" .', ("foreign-subject", "")),
    ("_:other a fmar:Asset .", ("foreign-subject", "")),
    (f"<{IRI}#lost> a fmar:Device .", ("foreign-subject", "")),
    ("_:r a fmar:Organisation .", ("type-mismatch", "/type")),
    ('_:r fmar:assetNam "B" .', ("unknown-term", "/assetNam")),
    ('_:r <http://www.w3.org/2000/01/rdf-schema#label> "B" .', ("unknown-term", "/http:~1~1www.w3.org~12000~101~1rdf-schema#label")),
    ('_:r fmar:assetName "B", "C" .', ("A02", "/assetName")),
    ("_:r fmar:assetName _:name .", ("literal-ill-formed", "/assetName")),
    ('_:r fmar:assetName "B"@en .', ("literal-ill-formed", "/assetName")),
    ("_:r fmar:importMPAN 2000000000006 .", ("literal-ill-formed", "/importMPAN")),
    ('_:r fmar:ratedCapacity "7.4E0"^^xsd:decimal .', ("literal-ill-formed", "/ratedCapacity")),
    ("_:r fmar:ratedCapacity 7.4e0 .", ("literal-ill-formed", "/ratedCapacity")),
    ('_:r fmar:v2gCapable "yes"^^xsd:boolean .', ("literal-ill-formed", "/v2gCapable")),
    ('_:r fmar:commissioningDate "2024-02-30"^^xsd:date .', ("literal-ill-formed", "/commissioningDate")),
    ('_:r fmar:owner "organisations/1" .', ("literal-ill-formed", "/owner")),
    ("_:r fmar:device _:r .", ("literal-ill-formed", "/device")),
    ("_:r fmar:device <https://evil.example/d> .", ("literal-ill-formed", "/device")),
    ("_:r fmar:device _:d ; fmar:alias _:d .", ("literal-ill-formed", "/alias")),
    ("_:r fmar:device [ a fmar:Alias ] .", ("type-mismatch", "/type")),
])  # fmt: skip
def test_what_turtle_says_beside_one_record_is_refused(statement: str, expected: tuple[str, str]) -> None:
    """B8: foreign subjects, unknown predicates, other types."""
    assert expected in wrong(judged(record(statement), TURTLE))


def test_the_lexical_form_of_turtle_is_kept() -> None:
    judgement = judged(record('_:r fmar:ratedCapacity 7.50 ; fmar:genCapacity "0.1"^^xsd:decimal ; fmar:assetName "A"^^xsd:string ; fmar:v2gCapable true .'), TURTLE)

    assert [judgement.document[name] for name in ("ratedCapacity", "genCapacity", "assetName", "v2gCapable")] == ["7.50", "0.10", "A", True]


@pytest.mark.parametrize("text", ["this is not turtle", "<a> <b> .", "@prefix x: <y> . x:a x:b", '<> a "', "<> <\\u0000> 1 .", "\x00", "<<( <a> <b> <c> )>> <d> <e> ."])
def test_a_text_that_is_not_turtle_is_malformed(text: str) -> None:
    with pytest.raises(Malformed) as refusal:
        judged(text, TURTLE)

    assert refusal.value.code == "malformed-rdf"


def test_a_triple_about_a_triple_is_refused() -> None:
    assert wrong(judged(record('_:r fmar:assetName <<( <a:a> <a:b> <a:c> )>> .'), TURTLE)) != []


# -- what could hurt the reader


def is_refused(body: Any, media_type: str) -> bool:
    try:
        return bool(wrong(judged(body, media_type)))
    except FmarError:
        return True


@pytest.mark.parametrize("body", [
    b"[" * 250_000, b'{"a":' * 50_000, b'{"device": [' + b'{"device": [' * 20_000, b"]" * 200_000 + b"[", b'{"assetName": "' + b"[" * 200_000,
    b'{"assetName": "' + b'\\"' * 100_000, b'"' * 250_000, b"\\" * 250_000, b'{"' + b"a" * 250_000 + b'": 1}', b"9" * 250_000,
    b'{"ratedCapacity": ' + b"9" * 250_000 + b"}", b'{"ratedCapacity": 1e' + b"9" * 200_000 + b"}",
    b"{" + b",".join(b'"k%d":1' % number for number in range(20_000)) + b"}",
    b"{" + b",".join(b'"k%d":1' % number for number in range(20_000)) + b',"k19999":2}',
    b'{"organisationRoles": [' + b",".join([b'"x"'] * 50_000) + b"]}", b'{"justification": [' + b",".join([b"1"] * 50_000) + b"]}",
    b'{"justification": [' + b",".join([b"{}"] * 50_000) + b"]}", b'{"type": [' + b",".join([b'"x"'] * 50_000) + b"]}",
    b'{"device": [{"id": "#a"}' + b',{"id": "#a"}' * 15_000 + b"]}",
], ids=lambda body: f"{body[:24]!r}")  # fmt: skip
def test_a_hostile_text_is_refused_quickly(body: bytes) -> None:
    """B12: whatever fills a body."""
    begun = time.process_time()

    assert is_refused(body, LD_JSON)
    assert time.process_time() - begun < 1


def test_a_million_levels_are_refused_before_any_parser() -> None:
    """B5: JSON."""
    begun = time.process_time()

    with pytest.raises(Malformed) as refusal:
        read_json(b"[" * 1_000_000, SETTINGS)

    assert refusal.value.code == "nesting-too-deep"
    assert time.process_time() - begun < 1


@pytest.mark.parametrize("text", [
    PREFIX + "<> fmar:device " + "[ fmar:device " * 20_000, PREFIX + "<> fmar:device " + "( " * 100_000,
    "".join(f"_:b{number} <{FMAR}device> _:b{number + 1} .\n" for number in range(3_000)),
    "".join(f'_:b <{FMAR}p{number}> "x" .\n' for number in range(3_000)),
], ids=["brackets", "lists", "chain", "predicates"])  # fmt: skip
def test_hostile_turtle_is_refused_quickly(text: str) -> None:
    """B10: chains and nests of blank nodes."""
    begun = time.process_time()

    assert is_refused(text, TURTLE)
    assert time.process_time() - begun < 1


def test_a_body_has_its_cap() -> None:
    with pytest.raises(TooLarge):
        judged(b" " * (SETTINGS.body_bytes + 1))

    assert wrong(judged(json.dumps(battery()).encode().ljust(SETTINGS.body_bytes))) == []


def test_a_text_has_its_cap() -> None:
    reasons = [[{"rule": "A03", "text": "x" * length}] for length in (SETTINGS.literal_chars, SETTINGS.literal_chars + 1)]

    assert [wrong(judged(battery(justification=reason))) for reason in reasons] == [[], [("literal-ill-formed", "/justification/0/text")]]


def test_numbers_of_a_tree_keep_their_text() -> None:
    tree = read_json(b'{"a": 7.50, "b": [1e3, "1"]}', SETTINGS)

    assert (tree["a"], tree["b"]) == ("7.50", ["1e3", "1"])
    assert [isinstance(each, Number) for each in (tree["a"], *tree["b"])] == [True, True, False]


def test_the_vectors_of_meter_points_hold() -> None:
    assert wrong(judged(battery(importMPAN="1200036481236", exportMPAN=mpan(5), dnoConnection="UKPN_LPN"))) == []
    assert ("A20-check-digit", "/importMPAN") in wrong(judged(battery(importMPAN="1200036481235")))
