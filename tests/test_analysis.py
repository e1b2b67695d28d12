"""The impact of a release on the stored register: whom it would newly fail, and what stays valid where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fmar_node.analysis import Analysis, Bench
from fmar_node.impact import Impact, impact_at
from fmar_node.journal.register import Window
from fmar_node.kinds.asset import ASSET
from fmar_node.shadow import Shadow
from fmar_node.vocabulary import Vocabulary
from tests.market import Market, battery, vocabulary
from tests.releasing import ASSETS, capped, changed, v2g, without_hvac

HVAC = {
    "assetCategory": "HVAC", "energySource": None, "genCapacity": None, "installedCapacity": None, "storageEnergyCapacity": None, "demandTechType": "HVAC",
    "ratedCapacity": "200.00", "demandCapacity": "200.00",
}  # fmt: skip


def candidate(files: dict[str, str]) -> Vocabulary:
    return vocabulary().released("2.0.0+2", files)


def register(market: Market, name: str, serial: str, **changes: Any) -> str:
    return market.submit(market.callers[name], "assets", battery(serial, **changes)).id


def small(**changes: Any) -> dict[str, Any]:
    return {"ratedCapacity": "300.00", "installedCapacity": "300.00", "genCapacity": "300.00", "demandCapacity": "300.00", **changes}


def looked_at(market: Market, files: dict[str, str]) -> Impact:
    found = Analysis(market.register, vocabulary(), candidate(files))
    impact = found.begun(1)
    list(found.pages(impact))
    return impact


def rows(impact: Impact) -> dict[tuple[str, str, str, str], int]:
    return {(each["constraint"], each["outcome"], each["category"], each["manager"]): each["records"] for each in impact.as_json()["rows"]}


@pytest.fixture
def owned(market: Market) -> Market:
    for number in range(3):
        register(market, "fsp-a", f"A-{number}")
    register(market, "fsp-b", "B-1")
    register(market, "fsp-b", "B-2", **small())
    gone = register(market, "fsp-b", "B-3")
    market.submit(market.callers["fsp-b"], "assets", {"deregistrationReason": "ERROR"}, "deregistration", gone)
    return market


def test_who_would_newly_fail_is_counted_by_constraint_category_and_manager(owned: Market) -> None:
    impact = looked_at(owned, capped())

    a, b = (owned.callers[name].organisation for name in ("fsp-a", "fsp-b"))
    assert rows(impact) == {("NEW-cap", "R", "BESS", a): 3, ("NEW-cap", "R", "BESS", b): 1}
    assert (impact.looked, impact.total, impact.failing, bool(impact.finished)) == (5, 5, 4, True)
    assert {owned.current("assets", id_).state for each in impact.first.values() for id_ in each} == {"PENDING_VALIDATION"}


def test_what_fails_no_stored_record_has_no_impact(owned: Market) -> None:
    impact = looked_at(owned, v2g())

    assert (impact.looked, impact.failing, rows(impact)) == (5, 0, {})


def test_a_deprecated_code_is_kept_and_no_failure(owned: Market) -> None:
    register(owned, "fsp-c", "C-1", **HVAC)

    impact = looked_at(owned, without_hvac())

    assert rows(impact) == {("A05-code", "kept", "HVAC", owned.callers["fsp-c"].organisation): 1}
    assert impact.failing == 0


def test_what_is_answered_with_a_justification_does_not_fail(owned: Market) -> None:
    files = {ASSETS: capped()[ASSETS].replace("asset:NEW-cap a sh:PropertyShape", "asset:N01-cap a sh:PropertyShape").replace("asset:NEW-cap", "asset:N01-cap")}
    files[ASSETS] = files[ASSETS].removesuffix("sh:severity sh:Violation .\n") + "sh:severity fmar:Justify .\n"
    answered = [{"rule": "A03", "text": "owner not registered yet"}, {"rule": "N01", "text": "a large one"}]
    register(owned, "fsp-c", "C-1", justification=answered)

    found = rows(looked_at(owned, files))

    assert {outcome for _, outcome, _, _ in found} == {"J"}
    assert sum(found.values()) == 4


def test_it_is_told_what_only_a_file_of_another_kind_changes(owned: Market) -> None:
    name = "shapes/organisation.ttl"
    impact = looked_at(owned, {name: changed(name, ("FMAR organisation shapes", "Organisation shapes"))})

    assert (impact.kind, impact.looked, impact.failing) == ("organisations", 10, 0)


# -- compiled shapes and pyshacl


def test_compiled_shapes_decide_once_pyshacl_has_borne_them_out(owned: Market) -> None:
    bench = Bench(candidate(capped()), ASSET, borne_out=2)
    (document,) = [version.document for version in owned.register.page("assets", Window(everything=True), "", 1, {})]
    plain = {name: value for name, value in document.items() if name in ("id", "type") or not vocabulary().terms[name].server_set}

    found = [bench.against(plain) for _ in range(4)]

    assert found == [{"NEW-cap": "R"}] * 4
    assert bench.agreed["NEW-cap"] == 2


def test_a_shape_that_pyshacl_sees_otherwise_is_never_believed() -> None:
    bench = Bench(candidate(capped()), ASSET)

    bench._compare({"NEW-cap", "A14-code"}, {"NEW-cap"})
    bench._compare({"A05-required"}, {"A05-required", "A05-code"})

    assert bench.doubtful == {"A14-code", "A05-required"}


# -- going on


def test_it_goes_on_where_it_stopped(owned: Market, tmp_path: Path) -> None:
    file, whole = tmp_path / "state" / "impact.json", looked_at(owned, capped())
    found = Analysis(owned.register, vocabulary(), candidate(capped()), page=2)
    first = found.begun(1)
    next(found.pages(first))
    first.save(file)

    again = impact_at(file)
    assert again is not None
    assert (again.looked, again.finished) == (2, "")
    list(Analysis(owned.register, vocabulary(), candidate(capped())).pages(again))

    assert (again.rows, again.looked, again.failing) == (whole.rows, whole.looked, whole.failing)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"of": 1', '{"of":1,"release":"x","base":"y","rows":[{}]}'])
def test_a_file_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)

    assert impact_at(tmp_path / "x.json") is None


# -- the shadow


def test_the_shadow_counts_by_constraint_and_organisation_and_is_taken_up_again(tmp_path: Path) -> None:
    shadow = Shadow(tmp_path / "releases")
    for now, whose, against in ((0.0, "a", ("X-1",)), (0.5, "a", ()), (1.0, "b", ("X-1", "X-2"))):
        shadow.note("2.0.0+2", "assets", whose, against, now)
    shadow.save()

    again = Shadow(tmp_path / "releases")
    again.note("2.0.0+2", "assets", "a", ("X-1",), 0.0)

    told = again.told("2.0.0+2")
    assert (told["judged"], told["refused"]) == (4, 3)
    assert {(each["constraint"], each["organisation"]): each["documents"] for each in told["rows"]} == {("X-1", "a"): 2, ("X-1", "b"): 1, ("X-2", "b"): 1}
    assert again.told("3.0.0+3") == {"release": "3.0.0+3", "judged": 0, "refused": 0, "rows": []}
