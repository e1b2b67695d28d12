"""The faster judgement on real rows: rows of the published register, through the importer, as they are and with random changes.

Every one of them has the faults that pyshacl alone finds on the shapes as written, and what is said to conform has none.
A hundred in the suite; by the ten thousand: make test ARGS="-m campaign tests/checks/test_real_rows.py"
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from uuid import UUID

import pyoxigraph as ox
import pytest

from fmar_node.imports.ecr import read_rows
from fmar_node.imports.release import read_register
from fmar_node.representation import triples
from fmar_node.vocabulary import Document
from tests.benchmarks.population import judged as judged_by_node
from tests.checks.test_shape import (
    CHANGES,
    Triples,
    as_written,
    judged,
    judged_plainly,
    plain_report,
    shapes,
)
from tests.market import SETTINGS

PROJECT = Path(__file__).parents[2]
SAMPLE = PROJECT / "examples" / "data" / "ukpn-ecr-sample.csv"
RELEASES = PROJECT.parent / "shared" / "data" / "ukpn-ecr"
MANY = 120
"""Rows that the suite begins with; whole releases in the long form."""
AT_ONCE = 100
"""Documents that pyshacl judges in one run."""
BASE = "https://node.example/assets/"
pytestmark = [pytest.mark.xdist_group("shapes"), pytest.mark.filterwarnings("ignore:Parsing weird boolean")]


@cache
def rows(*, with_releases: bool = False) -> list[Document]:
    """The documents of the sample, and of whole releases where they are at hand and wanted, as the judge leaves those that it accepts."""
    files = [SAMPLE, *(sorted(RELEASES.glob("*.csv")) if with_releases and RELEASES.exists() else ())]
    read = (candidate.document for file in files for reading in read_register(read_rows(file)) for candidate in reading.candidates)
    judgements = (judged_by_node(document, f"{BASE}{UUID(int=1)}", shapes().vocabulary, shapes(), SETTINGS) for document in read)
    found = (judgement.document for judgement in judgements if judgement)
    return list(found if with_releases else islice(found, MANY))


def renamed(document: Document, number: int) -> Document:
    """The document under an IRI of its own, with its parts."""
    iri, own = document["id"], f"{BASE}{UUID(int=number + 2)}"

    def of(part: Document) -> Document:
        return {**part, "id": str(part["id"]).replace(iri, own)}

    moved = {name: [of(each) for each in value] if isinstance(value, list) and value and isinstance(value[0], dict) else value for name, value in document.items()}
    return {**moved, "id": own}


def real_documents(count: int, seed: int) -> list[Document]:
    """So many documents of rows, each under an IRI of its own, two thirds of them without some of their terms."""
    dice, found = random.Random(seed), []
    for number in range(count):
        document = renamed(dice.choice(rows()), number)
        if number % 3:
            kept = [name for name in document if name in ("id", "type") or dice.random() < 0.8]
            document = {name: document[name] for name in kept}
        found.append(document)
    return found


def varied(count: int, seed: int, documents: list[Document]) -> Iterator[Triples]:
    """So many rows as triples: every fifth as it is, the others with one to three changes."""
    dice = random.Random(seed)
    pool = [list(triples(each, shapes().vocabulary)) for each in documents[:200]]
    for number in range(count):
        found = list(triples(renamed(dice.choice(documents), number), shapes().vocabulary))
        for _ in range(dice.choice((1, 1, 2, 3)) if number % 5 else 0):
            place = dice.randrange(len(found))
            found[place : place + 1] = dice.choice(CHANGES)(found[place], dice, pool)
        yield found


def together(documents: Iterator[Triples]) -> Iterator[list[Triples]]:
    group: list[Triples] = []
    for each in documents:
        group.append(each)
        if len(group) == AT_ONCE:
            yield group
            group = []
    if group:
        yield group


@pytest.mark.parametrize(
    "count", [100, pytest.param(10_000, marks=[pytest.mark.campaign, pytest.mark.timeout(7_200)], id="ten thousand")]
)
def test_real_rows_with_changes_have_the_faults_that_pyshacl_alone_finds(count: int) -> None:
    compiled = shapes().of("asset").compiled
    faulty = certain = 0
    documents = rows(with_releases=count > 1_000)
    for group in together(varied(count, count, documents)):
        expected = judged_plainly("asset", plain_report(as_written("asset"), group), group)

        assert [judged("asset", each) for each in group] == expected
        conforming = [told for each, told in zip(group, expected, strict=True) if not compiled.suspects(each)]
        assert conforming == [[]] * len(conforming)
        faulty, certain = faulty + sum(map(bool, expected)), certain + len(conforming)

    assert faulty > 0.4 * count
    assert certain > count / 100 or count < 1_000


def test_the_rows_at_hand_are_many_and_their_parts_are_theirs() -> None:
    document = renamed(next(each for each in rows() if each.get("alias")), 7)

    assert len(rows()) == MANY
    assert all(part["id"].startswith(f"{document['id']}#") for part in document["alias"])
    assert all(isinstance(each.subject, ox.NamedNode) for each in triples(document, shapes().vocabulary))
