"""Golden fixtures of the shapes: `conforming.ttl` has no results at all, `violating.ttl` what `expected.txt` says.

A line of `expected.txt` is focus node, source shape and severity. All fixtures of the same shapes are judged in one
run, each under IRIs of its own: shapes look at one record and its parts, so that neighbours don't matter.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path

import pyshacl
import pytest
from rdflib import RDF, SH, Graph, URIRef

PROJECT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent
FIXTURES = sorted(path.parent.relative_to(FOLDER).as_posix() for path in FOLDER.glob("*/*/expected.txt"))
EXAMPLE = "https://example.org/"
pytestmark = pytest.mark.xdist_group("shapes")
ON_PROPERTY = URIRef("https://w3id.org/fmar/ns#onProperty")


def lines(fixture: str, name: str) -> list[str]:
    return (FOLDER / fixture / name).read_text("utf-8").splitlines()


def results(fixture: str, role: str) -> list[str]:
    """The results for one file of a fixture, as `expected.txt` writes them."""
    own = f"{EXAMPLE}{fixture}/{role}/"
    found = judged(tuple(lines(fixture, "shapes.txt")))[own]
    return sorted(line.replace(own, EXAMPLE) for line in found)


@cache
def judged(files: tuple[str, ...]) -> dict[str, list[str]]:
    """Judges every fixture that names these shapes; its own IRI prefix -> results."""
    shapes, data, found = loaded(files), Graph(), defaultdict(list)
    for fixture in FIXTURES:
        if tuple(lines(fixture, "shapes.txt")) == files:
            for role in ("conforming", "violating"):
                turtle = "\n".join(lines(fixture, f"{role}.ttl"))
                data.parse(data=turtle.replace(f"<{EXAMPLE}>", f"<{EXAMPLE}{fixture}/{role}/>"), format="turtle")
    _, report, _ = pyshacl.validate(data, shacl_graph=shapes, advanced=True, inference="none")
    for result in report.objects(None, SH.result):
        focus, shape, severity = (
            str(report.value(result, part)) for part in (SH.focusNode, SH.sourceShape, SH.resultSeverity)
        )
        found[focus[: focus.rindex("/") + 1]].append(f"{focus} {shape} {severity}")
    return found


@cache
def loaded(files: tuple[str, ...]) -> Graph:
    graph = Graph()
    for file in files:
        graph.parse(PROJECT / file, format="turtle")
    return graph


@cache
def quoted() -> frozenset[str]:
    """Every constraint that some `expected.txt` names."""
    return frozenset(line.split()[1] for fixture in FIXTURES for line in lines(fixture, "expected.txt"))


def constraints() -> list[tuple[str, str]]:
    """Every named constraint of every shapes file: those that have a severity."""
    files = sorted(path.relative_to(PROJECT).as_posix() for path in (PROJECT / "shapes").rglob("*.ttl"))
    return [(file, str(shape)) for file in files for shape in sorted(loaded((file,)).subjects(SH.severity))]


def test_there_are_fixtures_for_every_shapes_file():
    files = {file for file, _ in constraints()}

    named = {file for fixture in FIXTURES for file in lines(fixture, "shapes.txt")}

    assert named == files != set()


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_conforming_record_has_no_results(fixture):
    assert results(fixture, "conforming") == []


@pytest.mark.parametrize("fixture", FIXTURES)
def test_a_violating_record_has_exactly_the_expected_results(fixture):
    expected = lines(fixture, "expected.txt")

    assert expected == sorted(expected) != []
    assert results(fixture, "violating") == expected


@pytest.mark.parametrize(("file", "constraint"), constraints())
def test_every_constraint_is_quoted_by_a_fixture(file, constraint):
    assert constraint in quoted()


@pytest.mark.parametrize(("file", "constraint"), constraints())
def test_every_constraint_says_what_is_wrong_and_where(file, constraint):
    shapes, shape = loaded((file,)), URIRef(constraint)

    kinds = set(shapes.objects(shape, RDF.type))
    places = [*shapes.objects(shape, SH.path), *shapes.objects(shape, ON_PROPERTY), *shapes.objects(shape, SH.closed)]

    assert kinds <= {SH.NodeShape, SH.PropertyShape}
    assert len(places) == 1
    assert len(list(shapes.objects(shape, SH.message))) == len(list(shapes.objects(shape, SH.name))) == 1
    assert constraint.startswith(f"https://w3id.org/fmar/{Path(file).with_suffix('').as_posix()}#")
    assert "-" in constraint.rsplit("#", 1)[1]
