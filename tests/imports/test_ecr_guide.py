"""The guide tells what the code does: its counts are the sample's, and every code of the importer is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fmar_node.imports.ecr import SKIPS, read_rows
from fmar_node.imports.release import read_register
from fmar_node.imports.render import MEANINGS
from fmar_node.imports.report import Verdict
from fmar_node.imports.run import run_import

from .conftest import ROOT, SAMPLE, Desk

GUIDE = (ROOT / "docs" / "guides" / "importing-the-ecr.md").read_text("utf-8")
CODE = re.compile(r'"([A-Z]+(?:-[A-Z]+)+)"')


def test_the_outcomes_in_the_guide_are_those_of_the_sample() -> None:
    report = run_import(read_register(read_rows(SAMPLE)), Desk().register)

    assert f"{len(report.rows)} rows, {len(report.documents)} documents" in GUIDE
    for verdict in (Verdict.ACCEPTED, Verdict.WARNED, Verdict.JUSTIFIED, Verdict.REFUSED, Verdict.SKIPPED):
        documents = sum(document.verdict is verdict for document in report.documents) or "-"
        assert re.search(rf" {verdict.value} +{report.count(verdict)} +{documents}  {MEANINGS[verdict]}", GUIDE)


@pytest.mark.parametrize("module", ["cell", "connection", "ecr", "release", "technology"])
def test_every_code_of_the_importer_is_explained(module: str) -> None:
    text = (Path(ROOT) / "fmar_node" / "imports" / f"{module}.py").read_text("utf-8")

    codes = {code for code in CODE.findall(text) if code != "NFC"} | set(SKIPS)

    assert len(codes) > len(SKIPS) or module == "ecr"
    assert [code for code in sorted(codes) if code not in GUIDE] == []
