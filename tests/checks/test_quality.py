"""Quality rules: each says what pyshacl says, reads what it says that it reads, and scores what is seen and nothing else."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import rdflib
from rdflib.namespace import SH

from fmar_node.access.reveal import SEES, filtered
from fmar_node.checks.plausible import PLAIN
from fmar_node.checks.quality import DIMENSIONS, QualityRules, measurements, packaged_rules, rules_of
from fmar_node.checks.quality_file import read_rules
from fmar_node.checks.shape_file import mistakes
from fmar_node.representation import triples
from fmar_node.vocabulary import Document, Tier, Vocabulary, packaged
from tests.checks.test_real_rows import real_documents
from tests.checks.test_shape import as_written, plain_report
from tests.market import battery, mpan

DAY = date(2026, 11, 22)
IRI = "https://node.example/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
EVERYTHING = frozenset(Tier)
OPENED = sorted({*SEES.values()}, key=sorted)
VOCABULARY = Vocabulary.load()
HEAD = """@prefix asset: <https://w3id.org/fmar/shapes/quality/asset#> .
@prefix dimension: <https://w3id.org/fmar/codes/QualityDimension#> .
@prefix fmar: <https://w3id.org/fmar/ns#> .
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix status: <https://w3id.org/fmar/codes/RuleStatus#> .
"""
MEASURED = "sh:targetClass fmar:Asset ; fmar:qualityDimension dimension:VALIDITY ; fmar:weight 1 ; fmar:ruleStatus status:ACTIVE"


def recorded(**changes: Any) -> Document:
    """An asset as the journal has it."""
    document = {
        "id": IRI, **battery(), "registeredAt": "2026-11-22T09:30:00.000Z", "recordedAt": "2026-11-22T09:30:00.000Z",
        "validationStatus": "VERIFIED", "registrationStatus": "VERIFIED", **changes,
    }  # fmt: skip
    document.pop("justification")
    return {name: value for name, value in document.items() if value is not None}


def missed(day: date = DAY, **changes: Any) -> frozenset[str]:
    return packaged_rules().missed(recorded(**changes), day, VOCABULARY)


# -- plain rules, at their bounds


@pytest.mark.parametrize(
    ("rule", "held", "not_held"),
    [
        ("plausible-storage-hours", {"storageEnergyCapacity": "125.00"}, {"storageEnergyCapacity": "124.99"}),
        ("plausible-storage-hours", {"storageEnergyCapacity": "24000.00"}, {"storageEnergyCapacity": "24000.01"}),
        ("plausible-installed-capacity", {"installedCapacity": "1500.00"}, {"installedCapacity": "1500.01"}),
        ("plausible-installed-capacity", {"installedCapacity": "250.00"}, {"installedCapacity": "249.99"}),
        ("plausible-commissioning", {"commissioningDate": "1990-01-01"}, {"commissioningDate": "1989-12-31"}),
        ("meter-point-in-area", {"dnoConnection": "UKPN_EPN"}, {"importMPAN": mpan(7, 12)}),
        ("settled-soon", {"validationStatus": "VERIFIED"}, {"validationStatus": "QUERY", "registeredAt": "2026-08-24T00:00:00.000Z"}),
        ("settled-soon", {"validationStatus": "QUERY", "registeredAt": "2026-08-25T00:00:00.000Z"}, {"validationStatus": "QUERY", "registeredAt": "2026-08-24T23:59:59.000Z"}),
    ],
)  # fmt: skip
def test_a_plain_rule_at_its_bounds(rule: str, held: dict[str, Any], not_held: dict[str, Any]) -> None:
    assert rule not in missed(**held)
    assert rule in missed(**not_held)


def test_a_record_ages_on_the_day_itself() -> None:
    assert "kept-current" not in missed(DAY + timedelta(729))
    assert "kept-current" in missed(DAY + timedelta(730))


def test_what_does_not_concern_a_record_is_satisfied() -> None:
    bare = {term: None for term in ("storageEnergyCapacity", "installedCapacity", "commissioningDate", "importMPAN", "exportMPAN", "dnoConnection")}

    assert not missed(**bare) & {"plausible-storage-hours", "plausible-installed-capacity", "plausible-commissioning", "meter-point-in-area"}


@pytest.mark.parametrize(("rule", "point", "is_missed"), [("A20", "importMPAN", True), ("A21", "exportMPAN", True), ("A20", "exportMPAN", False), ("A03", "importMPAN", False)])
def test_a_meter_point_that_is_shared_is_not_one_that_is_unknown(rule: str, point: str, is_missed: bool) -> None:
    """The same rule is justified where the number is missing, and where another organisation's asset has it."""
    points = {"importMPAN": None, "exportMPAN": None, point: mpan(1)}
    document = {**recorded(**points), "justification": [{"id": f"{IRI}#justification-1", "type": "Justification", "rule": rule, "text": "for a test"}]}

    assert ("meter-point-of-its-own" in packaged_rules().missed(document, DAY, VOCABULARY)) is is_missed


# -- rules that are shapes


@cache
def by_pyshacl(kind: str, documents: int, seed: int) -> tuple[tuple[Document, frozenset[str]], ...]:
    """Real rows and mutants of them, and the rules that pyshacl alone finds missed, all in one run."""
    found = real_documents(documents, seed)
    report = plain_report(as_written(kind), [list(triples(each, VOCABULARY)) for each in found])
    failing: dict[str, set[str]] = {each["id"]: set() for each in found}
    for result in report.objects(None, SH.result):
        focus, shape = str(report.value(result, SH.focusNode)), str(report.value(result, SH.sourceShape))
        failing[focus].add(shape.rpartition("#")[2])
    return tuple((each, frozenset(failing[each["id"]])) for each in found)


@pytest.mark.parametrize("documents", [12, pytest.param(2_000, marks=pytest.mark.campaign)])
def test_rules_are_missed_where_pyshacl_finds_a_result(documents: int) -> None:
    broken: Counter[str] = Counter()
    for document, expected in by_pyshacl("quality/asset", documents, 1):
        found = packaged_rules().missed(document, DAY, VOCABULARY)
        assert found - PLAIN.keys() == expected
        for opened in OPENED:
            judged = packaged_rules().score(document, expected | (found & PLAIN.keys()), opened, DAY)
            assert packaged_rules().score_of(document, opened, DAY, VOCABULARY) == judged
        broken.update(expected)

    assert len(broken) > 4


def test_every_rule_of_a_shape_has_its_severity_and_every_plain_one_its_function() -> None:
    for kind, class_name in (("asset", "Asset"), ("organisation", "Organisation")):
        shaped = {str(each).rpartition("#")[2] for each in as_written(f"quality/{kind}").subjects(SH.severity)}
        rules = {rule.key for rule in packaged_rules().rules if rule.class_name == class_name}

        assert shaped == rules - PLAIN.keys()
    assert PLAIN.keys() <= {rule.key for rule in packaged_rules().rules}


# -- scores


def test_what_is_kept_of_rules_scores_as_they_did() -> None:
    kept = rules_of(packaged_rules().text(DAY))
    for document in real_documents(30, 5):
        missed = packaged_rules().missed(document, DAY, VOCABULARY)
        for opened in OPENED:
            then, now = (rules.score(document, missed, opened, DAY) for rules in (packaged_rules(), kept))

            assert list(measurements(document["id"], then)) == list(measurements(document["id"], now))
    with pytest.raises(NotImplementedError):
        kept.missed(recorded(), DAY, VOCABULARY)


def test_a_score_is_the_share_of_the_weights() -> None:
    rules = [replace(rule, weight=weight, dimension="VALIDITY", status="ACTIVE") for rule, weight in zip(packaged_rules().rules[:3], (1, 2, 4), strict=True)]
    rules = [replace(rule, class_name="Asset", tiers=frozenset({Tier.OPEN}), begins="", ends="") for rule in rules]
    bench = QualityRules(rules, "")

    score = bench.score(recorded(), frozenset({rules[1].key}), EVERYTHING, DAY)

    assert score is not None
    assert (score.total, dict(score.dimensions)) == (71, {"VALIDITY": 71})


def changed(key: str, **how: Any) -> QualityRules:
    rules = packaged_rules()
    return QualityRules([replace(rule, **how) if rule.key == key else rule for rule in rules.rules], rules.digest)


@pytest.mark.parametrize(("status", "is_told", "is_counted"), [("DRAFT", False, False), ("SHADOW", True, False), ("ACTIVE", True, True), ("RETIRED", False, False)])
def test_a_rule_in_each_status(status: str, is_told: bool, is_counted: bool) -> None:
    without = changed("has-friendly-code", status="RETIRED").score_of(recorded(), EVERYTHING, DAY, VOCABULARY)

    score = changed("has-friendly-code", status=status, weight=50).score_of(recorded(), EVERYTHING, DAY, VOCABULARY)

    assert score is not None and without is not None
    assert ("has-friendly-code" in {rule.key for rule in score.missed}) is is_told
    assert (score.total < without.total) is is_counted


def test_a_rule_is_in_force_from_its_first_day_to_before_its_last() -> None:
    rules = changed("has-friendly-code", begins="2026-11-23", ends="2026-11-25")

    days = [DAY + timedelta(number) for number in range(5)]

    assert ["has-friendly-code" in rules.missed(recorded(), day, VOCABULARY) for day in days] == [False, True, True, False, False]
    assert len({rules.state(day) for day in days}) == 2


@pytest.mark.parametrize("ended", [{"registrationStatus": "DEREGISTERED"}, {"erasedAt": "2026-11-22T09:30:00.000Z"}])
def test_what_has_ended_has_no_score(ended: dict[str, str]) -> None:
    assert packaged_rules().score_of(recorded(**ended), EVERYTHING, DAY, VOCABULARY) is None


# -- what is seen


@pytest.mark.parametrize("seed", range(4))
def test_a_score_is_that_of_what_is_seen(seed: int) -> None:
    """The two worlds: whatever is hidden of a document, the score of what is seen stays the same."""
    dice = random.Random(seed)
    for document in real_documents(30, seed):
        for opened in OPENED:
            shown = filtered(document, opened, VOCABULARY)
            other = {**_scrambled(document, dice), **shown}
            hidden = {name: value for name, value in other.items() if name in shown or VOCABULARY.terms[name].tier not in opened}

            scores = [packaged_rules().score_of(each, opened, DAY, VOCABULARY) for each in (document, shown, hidden)]

            assert scores[0] == scores[1] == scores[2]


def _scrambled(document: Document, dice: random.Random) -> Document:
    """The same document without half of its terms."""
    return {name: value for name, value in document.items() if dice.random() < 0.5}


def test_every_dimension_is_measured_for_who_sees_everything() -> None:
    score = packaged_rules().score_of(recorded(), EVERYTHING, DAY, VOCABULARY)

    assert score is not None
    assert tuple(score.dimensions) == DIMENSIONS


def test_a_plain_rule_is_handed_what_it_reads_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: dict[str, set[str]] = {}
    for key in PLAIN:
        monkeypatch.setitem(PLAIN, key, lambda document, _, key=key: handed.setdefault(key, set()).update(document) is None)  # type: ignore[index]
    rules = read_rules(packaged("shapes"), VOCABULARY)

    rules.missed(recorded(), DAY, VOCABULARY)

    assert handed["kept-current"] == {"recordedAt"}
    assert handed["plausible-storage-hours"] == {"storageEnergyCapacity", "ratedCapacity"}
    assert "id" not in set().union(*handed.values())


# -- files that are wrong


WRONG = {
    "not compiled": (f"asset:x-y a sh:NodeShape ; {MEASURED} ; sh:property [ sh:path [ sh:inversePath fmar:owner ] ; sh:minCount 1 ] .", "x-y does not compile"),
    "closed": (f"asset:x-y a sh:NodeShape ; {MEASURED} ; sh:closed true ; sh:property [ sh:path fmar:owner ] .", "is closed"),
    "no function": (f"asset:x-y a fmar:PlainRule ; {MEASURED} ; fmar:reads fmar:owner .", "no function of that key"),
    "no weight": (f"asset:x-y a sh:PropertyShape ; {MEASURED.replace('fmar:weight 1', 'fmar:weight 0')} ; sh:path fmar:owner ; sh:minCount 1 .", "no weight"),
    "no dimension of the list": (f"asset:x-y a sh:PropertyShape ; {MEASURED.replace('VALIDITY', 'BEAUTY')} ; sh:path fmar:owner ; sh:minCount 1 .", "no dimension"),
    "no term": (f"asset:x-y a sh:PropertyShape ; {MEASURED} ; sh:path fmar:colour ; sh:minCount 1 .", "no term of the ontology"),
    "nothing": (f"asset:x-y a sh:NodeShape ; {MEASURED} .", "looks at no property"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_a_rule_is_said(tmp_path: Path, wrong: str) -> None:
    text, said = WRONG[wrong]
    (tmp_path / "quality").mkdir()
    (tmp_path / "quality" / "asset.ttl").write_text(HEAD + text, "utf-8")

    with pytest.raises(ValueError, match=said):
        read_rules(tmp_path, VOCABULARY)
    assert any(said in each for each in mistakes(tmp_path, VOCABULARY))


def test_a_key_is_one_rules_alone(tmp_path: Path) -> None:
    (tmp_path / "quality").mkdir()
    for name in ("asset", "organisation"):
        text = f"{name}:x-y a sh:PropertyShape ; {MEASURED} ; sh:path fmar:alias ; sh:minCount 1 ."
        (tmp_path / "quality" / f"{name}.ttl").write_text(HEAD.replace("asset", name) + text, "utf-8")

    with pytest.raises(ValueError, match="x-y: a key is one rule's alone"):
        read_rules(tmp_path, VOCABULARY)


def test_the_packaged_rules_have_no_mistakes() -> None:
    assert list(mistakes(packaged("shapes"), VOCABULARY)) == []
    assert rdflib.NORMALIZE_LITERALS is False
