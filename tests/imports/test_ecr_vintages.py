"""Both vintages of a public register through a live node: everything of the first, and of the second only what has changed in substance.

make test ARGS="-m campaign tests/imports/test_ecr_vintages.py"
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fmar_node.cli.registering import registering
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.release import aliases_of, read_register
from fmar_node.imports.report import Report, Verdict
from fmar_node.imports.run import run_import
from tests.live import Live

from .conftest import shared_register
from .test_ecr_sample import VINTAGES

ROWS = {VINTAGES[0]: 586, VINTAGES[1]: 711}
"""What the README of the data says."""


def imported(live: Live, name: str) -> Report:
    readings = read_register(read_rows(shared_register(name)))
    assert len(readings) == ROWS[name]
    return run_import(readings, registering(live.client("fsp-a"), {}, aliases_of(readings)), concurrency=4)


def versions(live: Live) -> dict[str, dict[str, Any]]:
    """Every asset that there is, by its IRI."""
    lines = live.client("fsp-a").get("/assets/export").text.splitlines()
    return {document["id"]: document for document in map(json.loads, lines)}


@pytest.mark.campaign
@pytest.mark.timeout(3_600)
def test_the_second_vintage_changes_only_what_has_changed_in_substance(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Live(tmp_path / "vintages", {"fsp-a": {"roles": ["FSP"]}}, FMAR_JUDGES="2", FMAR_ORGANISATION_REQUESTS="0", FMAR_APPLICATION_REQUESTS="0") as live:
        first = imported(live, VINTAGES[0])
        before = versions(live)
        again = imported(live, VINTAGES[0])
        assert versions(live) == before

        second = imported(live, VINTAGES[1])
        after = versions(live)
        third = imported(live, VINTAGES[1])
        assert versions(live) == after

    changed = [iri for iri in before if after[iri] != before[iri]]
    outcomes = Counter(document.verdict for document in second.documents)
    with capsys.disabled():
        for name, report in (("first", first), ("again", again), ("second", second), ("third", third)):
            print(f"\n{name}: {json.dumps({each.value: count for each, count in Counter(document.verdict for document in report.documents).items()})}", end="")
        print(f"\n{len(before)} assets, then {len(after)}; {len(changed)} changed")
    registered = sum(document.verdict is not Verdict.REFUSED for document in first.documents)
    assert len(before) == registered and {document.verdict for document in again.documents} == {Verdict.UNCHANGED, Verdict.REFUSED}
    assert outcomes[Verdict.UNCHANGED] > 0.2 * len(before)
    assert {document.verdict for document in third.documents} == {Verdict.UNCHANGED, Verdict.REFUSED}
    for iri in changed:
        differs = {term for term in before[iri] | after[iri] if before[iri].get(term) != after[iri].get(term)}
        assert differs - BESIDE, f"a version of {iri} without anything new"


BESIDE = frozenset({"version", "recordedAt", "recordedBy", "justification", "publishedValue", "publishedSource", "alias", "warning", "validationStatus", "validationNotes"})
"""Terms that tell of a version and how it was published, nothing of the asset."""
