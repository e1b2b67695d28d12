"""A data folder that an earlier release made is taken to the present format: nothing said before becomes untrue.

Each `format-N` holds such a folder as that release left it, without its graph, and what its node answered then.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fmar_node.errors import Broken
from fmar_node.folder import Folder
from fmar_node.journal import upgrade
from fmar_node.journal.journal import FORMAT
from fmar_node.journal.receipt import verify_receipt
from fmar_node.journal.register import connect
from fmar_node.keeping.checkup import check_node
from fmar_node.keeping.maintenance import open_register, rebuild_graph, upgrade_journal, verify_journal
from fmar_node.record import uuid_of

HERE = Path(__file__).parent
FORMATS = sorted(path.name for path in HERE.glob("format-*"))
PERSONAL_VALUES = (b"Owner Person 0", b"New Owner 1", b"ada@fixture.example", b"FIX-3")


@pytest.fixture(params=FORMATS)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Folder, dict[str, Any]]]:
    """A folder of an earlier format, and what its node said."""
    source = HERE / request.param
    shutil.copytree(source / "data", tmp_path / "data")
    (tmp_path / request.param.removeprefix("format-")).touch()
    (tmp_path / "data").chmod(0o700)
    for private in (*(tmp_path / "data" / "keys").iterdir(), *tmp_path.glob("data/participants/*/key.jwk")):  # git keeps no modes
        private.chmod(0o600)
    yield Folder(tmp_path / "data"), json.loads((source / "expected.json").read_text("utf-8"))


def bytes_of(folder: Folder) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.journal.iterdir()))


def tables_of(folder: Folder) -> list[str]:
    with closing(connect(folder.journal / "journal.db")) as connection:
        return [row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY 1")]


def test_every_format_before_the_present_one_has_a_folder_here() -> None:
    assert [f"format-{number}" for number in range(1, int(FORMAT))] == FORMATS


def test_every_record_reads_as_before(old: tuple[Folder, dict[str, Any]]) -> None:
    folder, said = old

    upgrade_journal(folder)

    register = open_register(folder)
    for iri, document in said["documents"].items():
        version = register.current(iri.split("/")[-2], uuid_of(iri))
        assert version is not None
        assert version.document == {name: value for name, value in document.items() if name != "@context"}


def test_tree_receipts_and_signatures_hold(old: tuple[Folder, dict[str, Any]]) -> None:
    folder, said = old

    upgrade_journal(folder)

    assert open_register(folder).checkpoint() == said["checkpoint"]
    assert "signature" in verify_journal(folder)
    for receipt in said["receipts"]:
        assert "inclusion" in verify_receipt(receipt, said["key"])


def test_a_request_that_was_answered_before_is_known(old: tuple[Folder, dict[str, Any]]) -> None:
    folder, said = old
    manager = uuid_of(said["documents"][said["iris"][0]]["managedBy"])

    upgrade_journal(folder)

    register = open_register(folder)
    is_same, index = register.repeated(manager, said["repeat"]["key"], b"another request") or (True, -1)
    assert (is_same, register.version_at(index).iri) == (False, said["iris"][0])  # type: ignore[union-attr]


def test_personal_values_are_no_longer_in_the_clear(old: tuple[Folder, dict[str, Any]]) -> None:
    folder, _ = old
    before = bytes_of(folder)

    upgrade_journal(folder)

    after = bytes_of(folder)
    assert all((value in before) == (folder.root.parent / "1").exists() for value in PERSONAL_VALUES)
    assert not any(value in after for value in PERSONAL_VALUES)


def test_the_graph_follows_the_upgraded_journal(old: tuple[Folder, dict[str, Any]]) -> None:
    folder, _ = old
    upgrade_journal(folder)

    rebuild_graph(folder)

    assert [finding for finding in check_node(folder) if not finding.is_ok] == []


def test_who_only_reads_is_told_to_upgrade(old: tuple[Folder, dict[str, Any]]) -> None:
    folder, _ = old

    with pytest.raises(Broken, match="fmar upgrade"):
        open_register(folder)


def test_an_upgrade_that_is_cut_off_has_not_happened(old: tuple[Folder, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = old
    before, found = tables_of(folder), next(iter(folder.root.parent.glob("[0-9]"))).name
    step = upgrade.STEPS[found]
    monkeypatch.setitem(upgrade.STEPS, found, lambda *given: step(*given) or 1 / 0)  # type: ignore[arg-type, func-returns-value]

    with pytest.raises(ZeroDivisionError):
        upgrade_journal(folder)
    monkeypatch.undo()

    assert tables_of(folder) == before
    upgrade_journal(folder)
    assert "current state" in verify_journal(folder)
