"""What a network operator publishes of connections: beside a SPARQL endpoint and beside a file, and what says nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from examples.servers.asset_sources import Sources
from fmar_node.clock import SetClock
from fmar_node.folder import Folder
from fmar_node.followers.verification import clients
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.published import ConnectionFile
from fmar_node.imports.release import read_register
from fmar_node.settings import CONNECTION, Settings
from fmar_node.sources.connection import ConnectionNode, connections_of, query
from fmar_node.sources.source import Finding, SourceUnavailable
from fmar_node.store.gate import form_of
from fmar_node.vocabulary import Document
from tests.market import battery

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "ukpn-ecr-sample.csv"
ASSET = battery(alias=[{"scheme": "ECR", "value": "ukpn-1"}])


@pytest.fixture
def server() -> Iterator[Sources]:
    with Sources() as running:
        yield running


def ask(source: ConnectionNode | ConnectionFile, document: Document) -> Finding:
    async def asking() -> Finding:
        try:
            return await source.ask(document)
        finally:
            await source.close()

    return asyncio.run(asking())


def node(server: Sources, document: Document) -> Finding:
    settings = Settings(connection_url=f"{server.url}/connections")
    return ask(ConnectionNode(settings, SetClock(NOON)), document)


def told(finding: Finding) -> dict[str, str]:
    return {each.field: each.outcome.value for each in finding.comparisons}


def objections(finding: Finding) -> list[str]:
    return sorted(field for field, outcome in told(finding).items() if outcome in ("DIFFERS", "NOT_FOUND"))


@pytest.mark.parametrize(("changes", "differs"), [
    ({}, []), ({"connectionStatus": "PENDING"}, ["connectionStatus"]), ({"dnoConnection": "UKPN_LPN"}, ["dnoConnection"]), ({"energySource": None}, []),
    ({"ratedCapacity": "490.00", "installedCapacity": None}, ["ratedCapacity"]), ({"alias": [{"scheme": "ECR", "value": "X"}]}, ["alias"]),
])  # fmt: skip
def test_an_asset_is_compared_with_its_connection(server: Sources, changes: dict[str, Any], differs: list[str]) -> None:
    server.answers["connections"][0]["reference"] = "ukpn-1"

    found = node(server, {term: value for term, value in {**ASSET, **changes}.items() if value is not None})

    assert (objections(found), found.source, found.reference) == (differs, CONNECTION, f"{server.url}/connections")


def test_of_several_technologies_the_likest_is_compared(server: Sources) -> None:
    body = b'{"results": {"bindings": [%s]}}' % b", ".join(
        b'{"reference": {"value": "ukpn-1"}, "energySource": {"value": "%s"}, "ratedCapacity": {"value": "%s"}}' % each for each in ((b"SOLAR", b"9"), (b"GRID", b"500"))
    )

    assert [connection.codes["energySource"] for connection in connections_of(body, "UKPN-1")] == ["SOLAR", "GRID"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"results": []}', b'{"results": {"bindings": 7}}', b'{"results": {"bindings": [7]}}', b'{"results": {"bindings": [{"reference": {"value": "other"}}]}}'])
def test_what_is_no_answer_says_nothing(body: bytes) -> None:
    with pytest.raises(SourceUnavailable):
        connections_of(body, "UKPN-1")


@pytest.mark.parametrize("reference", ['"} }', "\\", 'a" . ?s ?p ?o . "', "\n", "}#"])
def test_a_reference_is_a_value_and_never_text_of_the_query(reference: str) -> None:
    pyoxigraph = pytest.importorskip("pyoxigraph")

    store = pyoxigraph.Store()

    assert form_of(query(reference)) == "SELECT"
    assert list(store.query(query(reference))) == []


# -- a file


def published() -> list[Document]:
    return [candidate.document for reading in read_register(read_rows(SAMPLE)) for candidate in reading.candidates]


def file(path: Path = SAMPLE, area: str = "") -> ConnectionFile:
    return ConnectionFile(path, area, SetClock(NOON))


def test_what_was_imported_from_a_file_agrees_with_it() -> None:
    source = file()
    for document in published()[:40]:
        found = ask(source, document)
        assert (objections(found), told(found)["alias"], found.reference) == ([], "AGREES", SAMPLE.name)


def test_a_renewed_reference_is_found_by_its_meter_point() -> None:
    document = next(each for each in published() if "exportMPAN" in each and "ratedCapacity" in each)
    renewed = {**document, "alias": [{"scheme": "ECR", "value": "ECR-of-a-release-before"}], "ratedCapacity": "1.00", "installedCapacity": "1.00"}

    found = ask(file(), renewed)

    assert (told(found)["alias"], objections(found)) == ("NOT_COMPARED", ["ratedCapacity"])


def test_a_file_says_nothing_of_other_areas() -> None:
    unknown = {**ASSET, "dnoConnection": "SSEN_SEPD"}

    assert told(ask(file(), unknown)) == {"alias": "NOT_COMPARED"}
    assert objections(ask(file(area="SSEN_SEPD"), unknown)) == ["alias"]
    assert objections(ask(file(), ASSET)) == ["alias"]


def test_a_newer_release_takes_the_place_of_the_file(tmp_path: Path) -> None:
    copy = tmp_path / "ecr.csv"
    shutil.copy(SAMPLE, copy)
    document = published()[0]
    source = file(copy, document["dnoConnection"])
    assert objections(ask(source, document)) == []

    lines = SAMPLE.read_text("utf-8-sig").splitlines(keepends=True)
    copy.write_text(lines[0] + "".join(lines[-40:]), "utf-8")

    assert objections(ask(source, document)) == ["alias"]


@pytest.mark.parametrize("content", [None, b"", b"no header\n", b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_silent(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ecr.csv"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SourceUnavailable):
        ask(file(path), ASSET)


def test_a_node_asks_the_other_node_or_looks_into_the_file(tmp_path: Path) -> None:
    folder, clock = Folder(tmp_path), SetClock(NOON)

    by_url = clients(Settings(connection_url="https://dno.example/sparql", connection_file="ecr.csv"), folder, clock)
    by_file = clients(Settings(connection_file="ecr.csv", connection_area="UKPN_EPN"), folder, clock)

    assert [type(each) for each in by_url] == [ConnectionNode] and [type(each) for each in by_file] == [ConnectionFile]
    assert Settings(connection_file="ecr.csv").sources == {CONNECTION} and clients(Settings(), folder, clock) == []
    asyncio.run(by_url[0].close())
