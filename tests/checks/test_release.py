"""What is wrong with a proposed release, by its code; and how grave its changes are."""

from __future__ import annotations

from typing import Any

import pytest

from fmar_node.checks.grade import changes
from fmar_node.checks.release import faults, names
from fmar_node.checks.shape import graph_of
from fmar_node.errors import Fault, Severity
from fmar_node.settings import Settings
from fmar_node.vocabulary import turtle
from tests.market import SETTINGS, vocabulary
from tests.releasing import ASSETS, CATEGORIES, CONCEPT, REQUIRED, capped, changed, release, v2g, without_hvac

BESS = "Stationary electrochemical storage capable of import and export."
CLOSED = ("        asset:A03-form ,\n", "        asset:A03-form , asset:NEW-pattern ,\n")


def found(files: dict[str, str], level: str = "MAJOR", settings: Settings = SETTINGS) -> list[Fault]:
    return faults(files, release(files, level), vocabulary(), settings)


def graph(text: str) -> Any:
    return graph_of(turtle(text))


def codes(files: dict[str, str], level: str = "MAJOR") -> set[str]:
    return {fault.code for fault in found(files, level) if fault.severity is Severity.REJECT}


def pattern(text: str, more: str = "") -> dict[str, str]:
    shape = f'asset:NEW-pattern a sh:PropertyShape ; sh:path fmar:assetName ; {more} sh:pattern "{text}" ; sh:name "x" ; sh:message "x" ; sh:severity sh:Violation .'
    return {ASSETS: changed(ASSETS, CLOSED, more=shape)}


@pytest.mark.parametrize("files", [v2g(), without_hvac(), capped(), pattern("^[A-Z]")], ids=["a category", "a deprecation", "a cap", "a pattern"])
def test_a_sound_release_has_no_faults(files: dict[str, str]) -> None:
    assert codes(files) == set()


# -- files


@pytest.mark.parametrize("name", ["ontology/asset.ttl", "codes/ReleaseStatus.ttl", "codes/OrganisationRole.ttl", "shapes/release.ttl", "../asset.ttl", "codes/New.ttl", "shapes/asset"])
def test_a_release_changes_files_of_a_closed_set(name: str) -> None:
    assert codes({name: "# nothing"}) == {"RELEASE-FILE-1"}


def test_the_set_has_lists_that_documents_choose_from_and_shapes() -> None:
    assert {CATEGORIES, ASSETS, "shapes/cim/asset.ttl", "shapes/organisation.ttl", "codes/DNOCode.ttl"} <= names()


def test_a_file_stands_once() -> None:
    document = release(v2g())
    document["releaseFile"].append(document["releaseFile"][0])

    assert {fault.code for fault in faults(v2g(), document, vocabulary(), SETTINGS)} == {"RELEASE-FILE-2"}


def test_a_release_is_no_larger_than_the_operator_lets_it_be() -> None:
    size = sum(len(text.encode()) for text in v2g().values())

    assert found(v2g(), settings=Settings(release_bytes=size)) == []
    assert [fault.code for fault in found(v2g(), settings=Settings(release_bytes=size - 1))] == ["RELEASE-FILE-3"]


def test_what_is_as_it_is_in_force_is_left_out() -> None:
    assert codes({**v2g(), "codes/OtherKind.ttl": vocabulary().text("codes/OtherKind.ttl")}) == {"RELEASE-FILE-4"}


@pytest.mark.parametrize("text", ["this is not turtle", "<a> <b> <c>", "@prefix : <x:> . :a :b :c ; ;;"])
def test_what_is_not_turtle_is_told_with_its_place(text: str) -> None:
    (fault,) = found({CATEGORIES: text})

    assert (fault.code, fault.pointer) == ("RELEASE-FILE-5", "/releaseFile/0/fileText")


# -- codes


def test_a_list_has_codes_of_its_own_and_nothing_else() -> None:
    assert "RELEASE-CODES-1" in codes({CATEGORIES: changed(CATEGORIES, more="<https://w3id.org/fmar/ns#ratedCapacity> a skos:Concept .")})


@pytest.mark.parametrize(("old", "new"), [
    ('skos:notation "V2G_CHARGER"', 'skos:notation "BESS"'), ('skos:notation "V2G_CHARGER"', 'skos:notation "V2G_CHARGER" , "V2G"'),
    ("    fmar:active true ;\n", ""), ("codes/AssetCategory>", "codes/OtherKind>"),
])  # fmt: skip
def test_a_code_is_whole_and_is_no_other_one(old: str, new: str) -> None:
    files = v2g()
    files[CATEGORIES] = changed(CATEGORIES, more=CONCEPT.replace(old, new))

    assert "RELEASE-CODES-2" in codes(files)


def test_a_code_does_not_go() -> None:
    text = vocabulary().text(CATEGORIES)
    head, tail = text.split("code:HVAC a skos:Concept", 1)

    assert "RELEASE-CODES-3" in codes({**without_hvac(), CATEGORIES: head + tail.split(" .\n", 1)[1]})


def test_a_code_keeps_its_meaning_and_an_amendment_is_stated() -> None:
    silent = {CATEGORIES: changed(CATEGORIES, (BESS, "Something else."))}
    stated = {CATEGORIES: changed(CATEGORIES, (f'"{BESS}"@en ;', '"Stationary storage."@en ;\n    skos:changeNote "Shorter; the meaning is the same."@en ;'))}

    assert codes(silent) == {"RELEASE-CODES-4"}
    assert codes(stated, "PATCH") == set()


def test_the_codes_of_a_shape_are_the_active_ones() -> None:
    alone = v2g()
    del alone[ASSETS]

    (fault,) = found(alone)

    assert (fault.code, "V2G_CHARGER" in fault.message) == ("RELEASE-CODES-5", True)


# -- shapes


@pytest.mark.parametrize(("more", "said"), [
    ("asset:NEW-lost a sh:PropertyShape ; sh:path fmar:assetName ; sh:minCount 1 ; sh:message 'x' .", "it judges nothing"),
    ("asset:NEW-term a sh:PropertyShape ; sh:targetClass fmar:Asset ; sh:path fmar:noSuchTerm ; sh:minCount 1 ; sh:message 'x' ; sh:severity sh:Violation .", "no term of the ontology"),
])  # fmt: skip
def test_mistakes_of_shapes_are_told(more: str, said: str) -> None:
    faults_ = found({ASSETS: changed(ASSETS, more=more)})

    assert {fault.code for fault in faults_} == {"RELEASE-SHAPES-1"}
    assert said in faults_[0].message


@pytest.mark.parametrize("text", ["^(a+)+$", "^(", "a+b"])
def test_a_pattern_that_does_not_end_or_begin_is_refused(text: str) -> None:
    assert codes(pattern(text)) >= {"RELEASE-SHAPES-1"}


@pytest.mark.parametrize("more", [
    'asset:NEW-sparql a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:sparql [ sh:select "SELECT $this { $this ?p ?o }" ] ; sh:message "x" ; sh:severity sh:Violation .',
    'asset:NEW-js a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:js [ sh:jsFunctionName "x" ] ; sh:message "x" ; sh:severity sh:Violation .',
    '<https://w3id.org/fmar/shapes/organisation#X-y> a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:message "x" ; sh:severity sh:Violation .',
    "<https://w3id.org/fmar/shapes/asset> owl:imports <https://example.org/shapes> .",
    'asset:NEW a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:message "x" ; sh:severity sh:Violation .',
    "asset:NEW-silent a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:severity sh:Violation .",
])  # fmt: skip
def test_shapes_are_core_named_and_say_what_is_wrong(more: str) -> None:
    assert "RELEASE-SHAPES-2" in codes({ASSETS: changed(ASSETS, more=more)})


@pytest.mark.parametrize("more", [
    'asset:NEW-length a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:property [ sh:path fmar:assetName ; sh:maxLength "long" ] ; sh:message "x" ; sh:severity sh:Violation .',
    "[] a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:closed true .",
])  # fmt: skip
def test_shapes_that_cannot_be_prepared_are_refused(more: str) -> None:
    assert "RELEASE-SHAPES-3" in codes({ASSETS: changed(ASSETS, more=more)})


def test_what_is_not_compiled_is_said_and_not_skipped() -> None:
    more = (
        "asset:NEW-alias a sh:PropertyShape ; sh:targetClass fmar:Asset ; sh:path [ sh:inversePath fmar:alias ] ; sh:maxCount 0 ; "
        'sh:message "x" ; sh:severity sh:Violation .'
    )
    (fault,) = [each for each in found({ASSETS: changed(ASSETS, more=more)}) if each.code.startswith("RELEASE-SHAPES")]

    assert (fault.code, fault.severity, "NEW-alias" in fault.message) == ("RELEASE-SHAPES-4", Severity.WARN, True)


def test_a_constraint_whose_faults_would_have_no_name_is_refused() -> None:
    more = 'asset:NEW-name a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:property [ sh:path fmar:assetName ; sh:minCount 1 ] ; sh:message "x" ; sh:severity sh:Violation .'

    (fault,) = [each for each in found({ASSETS: changed(ASSETS, more=more)}) if each.severity is Severity.REJECT]

    assert fault.code == "RELEASE-SHAPES-3" and "without a name: the property shape of assetName" in fault.message


def test_a_shape_that_refers_to_itself_is_refused() -> None:
    more = 'asset:NEW-self a sh:NodeShape ; sh:targetClass fmar:Asset ; sh:not asset:NEW-self ; sh:message "x" ; sh:severity sh:Violation .'

    (fault,) = [each for each in found({ASSETS: changed(ASSETS, more=more)}) if each.severity is Severity.REJECT]

    assert (fault.code, "NEW-self refers to itself" in fault.message) == ("RELEASE-SHAPES-2", True)


def test_rules_of_quality_come_with_the_package() -> None:
    assert codes({"shapes/quality/asset.ttl": "# none"}) == {"RELEASE-FILE-1"}


# -- how grave


@pytest.mark.parametrize(("files", "level"), [(v2g(), "MAJOR"), (without_hvac(), "MAJOR"), (capped(), "MAJOR")])
def test_a_release_says_how_grave_it_is(files: dict[str, str], level: str) -> None:
    assert codes(files, level) == set()
    assert codes(files, "MINOR") == codes(files, "PATCH") == {"RELEASE-LEVEL-1"}


def test_an_added_code_is_minor() -> None:
    files = {**v2g(), ASSETS: v2g()[ASSETS].removesuffix(REQUIRED)}

    assert codes(files, "MINOR") == set()
    assert codes(files, "PATCH") == {"RELEASE-LEVEL-1"}


def test_the_examples_that_it_would_refuse_are_told() -> None:
    warned = [fault for fault in found(capped()) if fault.code == "RELEASE-EXAMPLE-1"]

    assert any("battery.json" in fault.message and "NEW-cap" in fault.message for fault in warned)
    assert {fault.severity for fault in warned} == {Severity.WARN}


CAP = '@prefix s: <https://w3id.org/fmar/shapes/asset#> . @prefix sh: <http://www.w3.org/ns/shacl#> . @prefix fmar: <https://w3id.org/fmar/ns#> .\ns:A-b a sh:PropertyShape ; sh:path fmar:x ; '


@pytest.mark.parametrize(("before", "after", "level"), [
    ('sh:message "one"', 'sh:message "two"', "PATCH"),
    ("sh:maxInclusive 10", "sh:maxInclusive 20", "MINOR"),
    ("sh:maxInclusive 20", "sh:maxInclusive 10", "MAJOR"),
    ("sh:minLength 3", "sh:minLength 2", "MINOR"),
    ("sh:minLength 2", "sh:minLength 3", "MAJOR"),
    ("sh:maxCount 1", "sh:name 'x'", "MINOR"),
    ("sh:name 'x'", "sh:maxCount 1", "MAJOR"),
    ("sh:in ( s:a s:b )", "sh:in ( s:b s:c s:a )", "MINOR"),
    ("sh:in ( s:a s:b )", "sh:in ( s:a )", "MAJOR"),
    ("sh:severity sh:Violation", "sh:severity sh:Warning", "MINOR"),
    ("sh:severity fmar:Justify", "sh:severity sh:Violation", "MAJOR"),
    ('sh:pattern "^a$"', 'sh:pattern "^[ab]$"', "MAJOR"),
    ("sh:not [ sh:maxCount 1 ]", "sh:not [ sh:maxCount 2 ]", "MAJOR"),
])  # fmt: skip
def test_changes_are_graded(before: str, after: str, level: str) -> None:
    assert [each.level for each in changes(ASSETS, graph(f"{CAP}{before} ."), graph(f"{CAP}{after} ."))] == [level]


def test_a_shape_that_is_written_in_another_way_is_the_same() -> None:
    assert list(changes(ASSETS, graph(f"{CAP}sh:in ( s:a s:b ) ; sh:maxCount 1 ."), graph(f"{CAP}sh:maxCount 1 ; sh:in (s:a\n s:b) ."))) == []
