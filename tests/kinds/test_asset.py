"""What may happen to an asset: every policy, state and rule of `kinds/asset.py`, allowed and refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fmar_node.cim.table import MEANT
from fmar_node.clock import SetClock, today
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Fault, Forbidden, Invalid, NotFound
from fmar_node.identity import new_record_id
from fmar_node.kinds.asset import LIVE, NOT_FINAL
from fmar_node.record import Receipt
from tests.market import BASE, Market, battery, mpan, organisation, refused

EXAMPLES = Path(__file__).parents[2] / "examples" / "documents"
OTHERS = ("operator", "dso-east", "dso-south", "neso", "regulator", "platform")
REASONS = ("DECOMMISSIONED", "END_OF_CONTRACT", "NO_LONGER_FLEXIBLE", "ERROR")
NOT_LIVE = sorted(NOT_FINAL - LIVE - {"SUSPENDED_CONSENT_REVOKED"})
UNREGISTERED_OWNER = {"rule": "A03", "text": "owner not registered yet"}


def register(market: Market, serial: str = "S-1", by: str = "fsp-a", **changes: Any) -> Receipt:
    return market.submit(market.callers[by], "assets", battery(serial, **changes))


def leave(market: Market, id_: str, by: str = "fsp-a", **note: Any) -> Receipt:
    return market.act(market.callers[by], "assets", id_, "deregistration", **{"deregistrationReason": "DECOMMISSIONED", **note})


def owned_by(market: Market, name: str) -> dict[str, Any]:
    """The terms of an asset whose owner is that organisation."""
    return {"owner": f"organisations/{market.callers[name].organisation}", "ownerName": None, "justification": None}


def justified(*rules: str) -> list[dict[str, str]]:
    return [UNREGISTERED_OWNER, *({"rule": rule, "text": "it is another device behind the same meter"} for rule in rules)]


def capacity(rated: str) -> dict[str, str]:
    return {"ratedCapacity": rated, "installedCapacity": rated, "genCapacity": "10.00", "demandCapacity": "10.00"}


# -- registration: who, and what the node sets


@pytest.mark.parametrize("role", ["FSP", "AGGREGATOR"])
def test_an_active_provider_registers(market: Market, role: str) -> None:
    market.join("provider", role)

    receipt = register(market, by="provider")

    assert market.verdict(market.callers["provider"], "assets", "register").policy == "ASSET-REGISTER-1"
    assert market.current("assets", receipt.id).document["managedBy"] == f"{BASE}/organisations/{market.callers['provider'].organisation}"


@pytest.mark.parametrize("name", OTHERS)
def test_nobody_else_registers(market: Market, name: str) -> None:
    with refused("ASSET-REGISTER-1", as_=Forbidden):
        register(market, by=name)


def test_a_suspended_provider_does_not_register(market: Market) -> None:
    market.act(market.callers["operator"], "organisations", market.callers["fsp-a"].organisation, "suspension")

    with refused("ASSET-REGISTER-1", as_=Forbidden):
        register(market)


def test_a_provider_with_a_stale_credential_is_what_the_register_says(market: Market) -> None:
    active = market.callers["fsp-a"]
    market.act(market.callers["operator"], "organisations", active.organisation, "deregistration")

    assert active.is_active
    with refused("ASSET-REGISTER-1", as_=Forbidden):
        register(market)


def test_a_new_asset_is_live_and_waits_for_validation(market: Market) -> None:
    receipt = register(market)

    document = market.current("assets", receipt.id).document
    assert (document["registrationStatus"], document["validationStatus"], document["standing"]) == (
        "PENDING_VALIDATION", "PENDING_VALIDATION", "LIVE",
    )  # fmt: skip
    assert document["assetId"] == receipt.id


@pytest.mark.parametrize(("term", "value", "code"), [
    ("assetId", "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", "A01"),
    ("registrationStatus", "VERIFIED", "server-set"),
    ("managedBy", f"{BASE}/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", "server-set"),
    ("recordedAt", "2020-01-01T00:00:00Z", "server-set"),
    ("version", 7, "server-set"),
    ("defaulted", ["assetName"], "server-set"),
])  # fmt: skip
def test_what_the_node_sets_is_set_by_nobody_else(market: Market, term: str, value: Any, code: str) -> None:
    with refused("server-set", as_=Invalid) as refusal:
        register(market, **{term: value})

    assert [(fault.code, fault.field) for fault in refusal.value.faults] == [(code, term)]


def test_what_a_document_leaves_open_is_filled_and_noted(market: Market) -> None:
    receipt = register(market, energySource=None)

    document = market.current("assets", receipt.id).document
    assert (document["effectiveDate"], document["energySource"]) == ("2026-11-22", "GRID")
    assert document["defaulted"] == ["effectiveDate", "energySource"]


def test_what_a_document_says_is_not_filled(market: Market) -> None:
    receipt = register(market, effectiveDate="2026-12-01", energySource="SOLAR")

    document = market.current("assets", receipt.id).document
    assert (document["effectiveDate"], document["energySource"], "defaulted" in document) == ("2026-12-01", "SOLAR", False)


def test_what_was_filled_is_noted_for_as_long_as_it_stands(market: Market) -> None:
    receipt = register(market, energySource=None)

    notes = []
    for change in ({"assetName": "Other"}, {"effectiveDate": "2026-12-01"}, {"energySource": "SOLAR"}):
        market.update(market.callers["fsp-a"], "assets", receipt.id, **change)
        notes.append(market.current("assets", receipt.id).document.get("defaulted"))

    assert notes == [["effectiveDate", "energySource"], ["energySource"], None]


def test_a_document_sent_again_in_answer_to_a_query_is_warned_of_again(market: Market) -> None:
    receipt = register(market, storageEnergyCapacity=None)
    market.record("assets", receipt.id, validationStatus="QUERY", registrationStatus="QUERY")

    market.update(market.callers["fsp-a"], "assets", receipt.id)

    document = market.current("assets", receipt.id).document
    assert (document["registrationStatus"], [each["rule"] for each in document["warning"]]) == ("PENDING_VALIDATION", ["Asset.storageEnergyCapacity"])


# -- registration: owner


@pytest.mark.parametrize("name", ["fsp-a", "fsp-b", "installer"])
def test_a_registered_owner_needs_no_justification(market: Market, name: str) -> None:
    receipt = register(market, **owned_by(market, name))

    assert market.current("assets", receipt.id).document["owner"].endswith(market.callers[name].organisation)


def test_a_suspended_owner_is_still_an_owner(market: Market) -> None:
    market.act(market.callers["operator"], "organisations", market.callers["fsp-b"].organisation, "suspension")

    assert register(market, **owned_by(market, "fsp-b")).number == 1


@pytest.mark.parametrize("owner", [
    "organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11",
    "https://elsewhere.example/organisations/{fsp-b}",
    "assets/{fsp-b}",
    "organisations/{fsp-b}#applicationKey-1",
    "urn:uuid:{fsp-b}",
])  # fmt: skip
def test_an_owner_that_is_not_registered_is_refused(market: Market, owner: str) -> None:
    known = owner.replace("{fsp-b}", market.callers["fsp-b"].organisation)

    with refused("A03-unknown", as_=Invalid):
        register(market, **{**owned_by(market, "fsp-b"), "owner": known})


def test_an_owner_that_left_or_waits_is_refused(market: Market) -> None:
    operator = market.callers["operator"]
    market.act(operator, "organisations", market.callers["fsp-b"].organisation, "deregistration")
    market.enter("pending", market.submit(operator, "organisations", organisation("New", ["ASSET_OWNER"])).id)

    for name in ("fsp-b", "pending"):
        with refused("A03-unknown", as_=Invalid):
            register(market, **owned_by(market, name))


def test_an_asset_of_an_individual_needs_consent_which_is_not_available(market: Market) -> None:
    individual = {"ownerKind": "INDIVIDUAL", "ownerName": None, "justification": None}

    with refused("consent-not-available", as_=Invalid) as refusal:
        register(market, **individual)

    assert refusal.value.code == "consent-not-available"


# -- registration: dates


@pytest.mark.parametrize(("instant", "day"), [
    (datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC), date(2026, 11, 22)),
    (datetime(2026, 11, 23, 0, 0, tzinfo=UTC), date(2026, 11, 23)),
    (datetime(2027, 7, 1, 22, 59, 59, tzinfo=UTC), date(2027, 7, 1)),
    (datetime(2027, 7, 1, 23, 0, tzinfo=UTC), date(2027, 7, 2)),
    (datetime(2027, 3, 27, 23, 59, 59, tzinfo=UTC), date(2027, 3, 27)),
    (datetime(2027, 3, 28, 22, 59, 59, tzinfo=UTC), date(2027, 3, 28)),
    (datetime(2027, 10, 30, 23, 0, tzinfo=UTC), date(2027, 10, 31)),
    (datetime(2027, 10, 31, 23, 0, tzinfo=UTC), date(2027, 10, 31)),
])  # fmt: skip
def test_the_day_begins_at_midnight_in_london(market: Market, instant: datetime, day: date) -> None:
    market.clock = SetClock(instant)
    yesterday, tomorrow = day - timedelta(days=1), day + timedelta(days=1)

    with refused("A06-past"):
        register(market, effectiveDate=yesterday.isoformat(), connectionStatus="PENDING", commissioningDate=None)
    with refused("A13-future"):
        register(market, effectiveDate=tomorrow.isoformat(), commissioningDate=tomorrow.isoformat())
    assert today(market.clock) == day
    assert register(market, effectiveDate=day.isoformat(), commissioningDate=day.isoformat()).number == 1


def test_an_effective_date_in_the_future_is_accepted(market: Market) -> None:
    receipt = register(market, effectiveDate="2031-01-01")

    assert market.current("assets", receipt.id).document["effectiveDate"] == "2031-01-01"


def test_an_effective_date_that_has_passed_meanwhile_stays(market: Market) -> None:
    receipt = register(market, effectiveDate="2026-11-22")
    market.clock.forward(days=400)

    market.update(market.callers["fsp-a"], "assets", receipt.id, assetName="Renamed")
    with refused("A06-past"):
        market.update(market.callers["fsp-a"], "assets", receipt.id, effectiveDate="2026-11-23")

    assert market.current("assets", receipt.id).document["effectiveDate"] == "2026-11-22"


# -- registration: meter points and duplicates


def test_a_full_meter_point_is_registered_by_its_core(market: Market) -> None:
    receipt = register(market, importMPAN=f"00801A2C{mpan(1)}")

    document = market.current("assets", receipt.id).document
    assert document["importMPAN"] == mpan(1) and "importMPAN" in document["defaulted"]
    assert market.update(market.callers["fsp-a"], "assets", receipt.id, importMPAN=f"01801A2C{mpan(1)}").is_repeat
    with refused("A20-pattern"):
        register(market, "S-2", importMPAN=f"0801A2C{mpan(2)}")


def test_a_meter_point_of_another_organisation_needs_a_justification(market: Market) -> None:
    shared = {"importMPAN": mpan(1), "exportMPAN": mpan(2)}
    register(market, "S-1", **shared)

    with refused("A20-shared", "A21-shared", as_=Invalid) as refusal:
        register(market, "S-2", by="fsp-b", **shared, **capacity("20.00"))
    receipt = register(market, "S-2", by="fsp-b", **shared, **capacity("20.00"), justification=justified("A20", "A21"))

    assert {fault.pointer for fault in refusal.value.faults} == {"/importMPAN", "/exportMPAN"}
    assert receipt.number == 1


def test_a_meter_point_is_shared_whichever_way_it_is_used(market: Market) -> None:
    register(market, "S-1", importMPAN=mpan(1), exportMPAN=mpan(2))

    with refused("A21-shared"):
        register(market, "S-2", by="fsp-b", importMPAN=mpan(3), exportMPAN=mpan(1), **capacity("20.00"))


def test_a_shared_meter_point_is_said_without_naming_anybody(market: Market) -> None:
    first = register(market, "S-1", importMPAN=mpan(1))

    with refused("A20-shared") as refusal:
        register(market, "S-2", by="fsp-b", importMPAN=mpan(1), **capacity("20.00"))

    told = repr([fault.as_json() for fault in refusal.value.faults]) + str(refusal.value)
    assert not any(secret in told for secret in (first.id, market.callers["fsp-a"].organisation, mpan(1)))


def test_an_own_meter_point_is_shared_freely(market: Market) -> None:
    register(market, "S-1", importMPAN=mpan(1))

    assert register(market, "S-2", importMPAN=mpan(1), **capacity("20.00")).number == 1


def test_a_meter_point_of_a_deregistered_asset_is_free(market: Market) -> None:
    leave(market, register(market, "S-1", importMPAN=mpan(1)).id)

    assert register(market, "S-2", by="fsp-b", importMPAN=mpan(1)).number == 1


def test_a_meter_point_is_justified_when_it_is_named_not_at_every_change(market: Market) -> None:
    register(market, "S-1", importMPAN=mpan(1))
    shared = register(market, "S-2", by="fsp-b", importMPAN=mpan(1), **capacity("20.00"), justification=justified("A20"))
    caller, other = market.callers["fsp-b"], register(market, "S-3", by="fsp-b", **capacity("20.00"))

    assert market.update(caller, "assets", shared.id, assetName="Renamed", justification=justified()).number == 2
    with refused("A20-shared", "DUPLICATE_PROBABLE"):
        market.update(caller, "assets", other.id, importMPAN=mpan(1))


def test_the_same_device_again_is_refused_and_names_the_own_asset(market: Market) -> None:
    first = register(market, "GP-1", manufacturer="Acme Storage")

    with refused("DUPLICATE_EXACT", as_=Conflict) as refusal:
        register(market, "gp-1", manufacturer="ACME storage")

    assert f"assets/{first.id}" in refusal.value.faults[0].message


def test_the_same_device_of_another_organisation_is_refused_and_names_nobody(market: Market) -> None:
    first = register(market, "GP-1")

    with refused("DUPLICATE_EXACT", as_=Conflict) as refusal:
        register(market, "GP-1", by="fsp-b", importMPAN=mpan(7), exportMPAN=mpan(8))

    told = repr([fault.as_json() for fault in refusal.value.faults]) + str(refusal.value)
    assert "switch" in told
    assert not any(secret in told for secret in (first.id, market.callers["fsp-a"].organisation, "GP-1", "Acme"))


def test_the_same_serial_number_of_another_maker_is_another_device(market: Market) -> None:
    register(market, "GP-1", manufacturer="Acme Storage")

    assert register(market, "GP-1", manufacturer="Other", importMPAN=mpan(7), exportMPAN=mpan(8)).number == 1


def test_the_same_charge_point_is_the_same_device_with_and_without_asterisks(market: Market) -> None:
    register(market, "S-1", alias=[{"scheme": "EVSE", "value": "GB*ABC*E123"}])

    with refused("DUPLICATE_EXACT", as_=Conflict) as refusal:
        register(market, "S-2", by="fsp-b", alias=[{"scheme": "EVSE", "value": "GBABCE123"}])

    assert refusal.value.faults[0].pointer == "/alias"


def test_an_update_cannot_take_the_identity_of_another_device(market: Market) -> None:
    register(market, "GP-1", by="fsp-b")
    own = register(market, "GP-2")

    with refused("DUPLICATE_EXACT", as_=Conflict):
        market.update(market.callers["fsp-a"], "assets", own.id, serialNumber="GP-1")
    assert market.update(market.callers["fsp-a"], "assets", own.id, assetModel="AS-600").number == 2


def test_deregistration_frees_the_device(market: Market) -> None:
    leave(market, register(market, "GP-1", friendlyCode="B-1").id)

    assert register(market, "GP-1", by="fsp-b").number == 1


@pytest.mark.parametrize(("rated", "is_near"), [("475.00", True), ("474.99", False), ("526.31", True), ("526.32", False), ("500.00", True)])
def test_a_twin_within_five_per_cent_needs_a_justification(market: Market, rated: str, is_near: bool) -> None:
    register(market, "S-1", importMPAN=mpan(1), **capacity("500.00"))
    twin = {"importMPAN": mpan(1), **capacity(rated)}

    if is_near:
        with refused("DUPLICATE_PROBABLE", as_=Invalid):
            register(market, "S-2", **twin)
    assert register(market, "S-2", **twin, justification=justified("DUPLICATE_PROBABLE") if is_near else justified()).number == 1


def test_a_twin_of_another_category_is_no_twin(market: Market) -> None:
    register(market, "S-1", importMPAN=mpan(1))

    assert register(market, "S-2", importMPAN=mpan(1), assetCategory="SOLAR_PV", energySource="SOLAR", storageEnergyCapacity=None).number == 1


def test_a_twin_of_another_organisation_is_said_without_naming_anybody(market: Market) -> None:
    first = register(market, "S-1", importMPAN=mpan(1))

    with refused("DUPLICATE_PROBABLE", "A20-shared", as_=Invalid) as refusal:
        register(market, "S-2", by="fsp-b", importMPAN=mpan(1))

    told = repr([fault.as_json() for fault in refusal.value.faults]) + str(refusal.value)
    assert not any(secret in told for secret in (first.id, market.callers["fsp-a"].organisation, mpan(1)))


def probable(market: Market, serial: str, by: str = "fsp-a", **changes: Any) -> Fault:
    with refused("DUPLICATE_PROBABLE", *(("A20-shared",) if by != "fsp-a" else ()), as_=Invalid) as refusal:
        register(market, serial, by, **changes)
    return next(fault for fault in refusal.value.faults if fault.code == "DUPLICATE_PROBABLE")


@pytest.mark.parametrize(("changes", "score", "also"), [
    ({"manufacturer": "Other", "assetModel": "X-1", "commissioningDate": "2023-01-01"}, "70", 0), ({"manufacturer": "Other", "assetModel": "X-1"}, "80", 1),
    ({"assetModel": "x-1"}, "90", 2), ({"manufacturer": "ACME storage"}, "100", 3),
])  # fmt: skip
def test_a_twin_of_ones_own_has_a_score_and_its_reasons(market: Market, changes: dict[str, str], score: str, also: int) -> None:
    first = register(market, "S-1", importMPAN=mpan(1))

    fault = probable(market, "S-2", importMPAN=mpan(1), **changes)

    assert (fault.value, fault.message.count("the same")) == (score, 2 + also)
    assert "capacity within 5 %" in fault.message and f"assets/{first.id}" in fault.message and f"score {score} of 100" in fault.message


def test_of_a_twin_of_anothers_no_more_is_told_than_the_rule_says(market: Market) -> None:
    register(market, "S-1", importMPAN=mpan(1))

    faults = [probable(market, f"S-{rated[:3]}", "fsp-b", importMPAN=mpan(1), **capacity(rated), **changes) for rated, changes in (("500.00", {}), ("480.00", {"manufacturer": "Other", "assetModel": "X"}))]

    assert faults[0] == faults[1] and faults[0].value == "70"


def test_a_twin_of_ones_own_goes_before_one_of_anothers(market: Market) -> None:
    twin = {"importMPAN": mpan(1), "manufacturer": "Other"}
    own = register(market, "S-1", **twin)
    alone = probable(market, "S-3", **twin)
    register(market, "S-2", "fsp-b", importMPAN=mpan(1), justification=justified("A20", "DUPLICATE_PROBABLE"))

    with refused("DUPLICATE_PROBABLE", "A20-shared") as refusal:
        register(market, "S-3", **twin)

    assert alone in refusal.value.faults and own.id in alone.message


@pytest.mark.parametrize(("other", "is_twin"), [("STORAGE", False), ("DEMAND", True)])
def test_other_assets_are_twins_where_they_are_of_one_kind(market: Market, other: str, is_twin: bool) -> None:
    kind = {"assetCategory": "OTHER", "otherDescription": "a kiln", "energySource": "GRID", "demandTechType": "OTHER", "importMPAN": mpan(1)}
    register(market, "S-1", **kind, otherKind="DEMAND", storageEnergyCapacity=None)

    if is_twin:
        assert probable(market, "S-2", **kind, otherKind=other, storageEnergyCapacity=None).value == "100"
    else:
        assert register(market, "S-2", **kind, otherKind=other).number == 1


def test_five_per_cent_of_little_is_exact(market: Market) -> None:
    def little(rated: str) -> dict[str, str]:
        return capacity(rated) | {"genCapacity": "0.10", "demandCapacity": "0.10"}

    register(market, "S-1", importMPAN=mpan(1), **little("0.20"))

    assert probable(market, "S-2", importMPAN=mpan(1), **little("0.19")).value == "100"


def test_an_update_that_makes_a_twin_needs_a_justification_and_one_that_leaves_it_does_not(market: Market) -> None:
    register(market, "S-1", importMPAN=mpan(1))
    other, caller = register(market, "S-2", importMPAN=mpan(1), **capacity("20.00")), market.callers["fsp-a"]
    small = capacity("495.00") | {"genCapacity": "10.00"}

    with refused("DUPLICATE_PROBABLE"):
        market.update(caller, "assets", other.id, **small)
    assert market.update(caller, "assets", other.id, **small, justification=justified("DUPLICATE_PROBABLE")).number == 2
    assert market.update(caller, "assets", other.id, assetName="Renamed", justification=justified()).number == 3


def test_a_justification_for_another_rule_does_not_help(market: Market) -> None:
    register(market, "S-1", importMPAN=mpan(1))

    with refused("DUPLICATE_PROBABLE"):
        register(market, "S-2", importMPAN=mpan(1), justification=justified("DUPLICATE_EXACT", "A20"))


# -- friendly codes


@pytest.mark.parametrize("again", ["BESS-1", "bess-1", "Bess-1"])
def test_a_friendly_code_is_taken_whatever_its_case(market: Market, again: str) -> None:
    first = register(market, "S-1", friendlyCode="BESS-1")

    with refused("FRIENDLY_CODE_TAKEN", as_=Conflict) as refusal:
        register(market, "S-2", friendlyCode=again)

    assert f"assets/{first.id}" in refusal.value.faults[0].message


def test_a_friendly_code_is_free_in_another_organisation(market: Market) -> None:
    register(market, "S-1", friendlyCode="BESS-1")

    assert register(market, "S-2", by="fsp-b", friendlyCode="BESS-1").number == 1


def test_a_friendly_code_is_taken_for_updates_too(market: Market) -> None:
    register(market, "S-1", friendlyCode="BESS-1")
    second, caller = register(market, "S-2", friendlyCode="BESS-2"), market.callers["fsp-a"]

    with refused("FRIENDLY_CODE_TAKEN", as_=Conflict):
        market.update(caller, "assets", second.id, friendlyCode="bess-1")
    assert market.update(caller, "assets", second.id, friendlyCode="bess-2").number == 2


@pytest.mark.parametrize("how", ["renamed", "deregistered"])
def test_a_friendly_code_that_is_given_up_is_free(market: Market, how: str) -> None:
    first = register(market, "S-1", friendlyCode="BESS-1")
    if how == "renamed":
        market.update(market.callers["fsp-a"], "assets", first.id, friendlyCode="BESS-9")
    else:
        leave(market, first.id)

    assert register(market, "S-2", friendlyCode="bess-1").number == 1


# -- all faults together


def test_faults_of_the_document_and_of_the_register_come_together(market: Market) -> None:
    register(market, "S-1", friendlyCode="BESS-1", importMPAN=mpan(1))

    with refused("A04-minimum", "A06-past", "FRIENDLY_CODE_TAKEN", as_=Invalid):
        register(market, "S-2", friendlyCode="BESS-1", effectiveDate="2020-01-01", connectionStatus="PENDING",
                 **{**capacity("0"), "genCapacity": None, "demandCapacity": None})  # fmt: skip


def test_a_field_that_the_shapes_refuse_is_not_refused_again(market: Market) -> None:
    with refused("A03-individual", "consent-not-available", as_=Invalid):
        register(market, ownerKind="INDIVIDUAL", owner="organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", ownerName=None)


# -- updates


@pytest.mark.parametrize("name", ["operator", "dso-east", "neso", "owner"])
def test_who_sees_an_asset_but_does_not_manage_it_changes_nothing(market: Market, name: str) -> None:
    market.join("owner", "FSP")
    receipt = register(market, **owned_by(market, "owner"))

    with refused("ASSET-UPDATE-1", as_=Forbidden):
        market.update(market.callers[name], "assets", receipt.id, assetName="Mine")
    with refused("ASSET-DEREGISTER-1", as_=Forbidden):
        leave(market, receipt.id, by=name)
    assert market.current("assets", receipt.id).number == 1


def test_the_manager_changes_and_deregisters(market: Market) -> None:
    receipt, caller = register(market), market.callers["fsp-a"]

    assert market.verdict(caller, "assets", "update", receipt.id).policy == "ASSET-UPDATE-1"
    assert market.verdict(caller, "assets", "deregistration", receipt.id).policy == "ASSET-DEREGISTER-1"
    assert market.update(caller, "assets", receipt.id, assetName="Renamed").number == 2
    assert leave(market, receipt.id).number == 3


def test_a_suspended_manager_changes_nothing(market: Market) -> None:
    receipt = register(market)
    market.act(market.callers["operator"], "organisations", market.callers["fsp-a"].organisation, "suspension")

    with refused("ASSET-UPDATE-1", as_=Forbidden):
        market.update(market.callers["fsp-a"], "assets", receipt.id, assetName="Renamed")
    with refused("ASSET-DEREGISTER-1", as_=Forbidden):
        leave(market, receipt.id)


def test_a_manager_that_is_no_provider_any_more_changes_nothing(market: Market) -> None:
    receipt, operator = register(market), market.callers["operator"]
    market.update(operator, "organisations", market.callers["fsp-a"].organisation, organisationRoles=["ASSET_OWNER"])

    with refused("ASSET-UPDATE-1", as_=Forbidden):
        market.update(market.callers["fsp-a"], "assets", receipt.id, assetName="Renamed")


@pytest.mark.parametrize("name", ["fsp-b", "dso-south", "regulator", "platform", "installer"])
def test_who_does_not_see_an_asset_finds_none(market: Market, name: str) -> None:
    receipt = register(market)

    with pytest.raises(NotFound):
        market.update(market.callers[name], "assets", receipt.id, assetName="Mine")
    with pytest.raises(NotFound):
        leave(market, receipt.id, by=name)


def test_an_update_never_moves_the_asset_to_another_provider(market: Market) -> None:
    receipt = register(market)

    with refused("server-set"):
        market.update(market.callers["fsp-a"], "assets", receipt.id, managedBy=f"{BASE}/organisations/{market.callers['fsp-b'].organisation}")


def test_what_the_node_sets_may_be_left_out_or_echoed(market: Market) -> None:
    receipt, caller = register(market), market.callers["fsp-a"]
    echoed = market.update(caller, "assets", receipt.id, assetName="Echoed")

    left_out = market.submit(caller, "assets", battery("S-1", assetName="Left out", effectiveDate="2026-11-22"), "update", receipt.id, if_match=("*",))

    assert (echoed.number, left_out.number) == (2, 3)
    assert market.current("assets", receipt.id).document["assetId"] == receipt.id


@pytest.mark.parametrize("state", ["VERIFIED", "QUERY", *NOT_LIVE])
def test_an_asset_that_is_not_final_is_changed_and_deregistered(market: Market, state: str) -> None:
    receipt = register(market)
    market.record("assets", receipt.id, registrationStatus=state, **({"standing": state} if state in NOT_LIVE else {"validationStatus": state}))

    assert market.update(market.callers["fsp-a"], "assets", receipt.id, assetName="Renamed").number == 3
    assert leave(market, receipt.id).number == 4


def test_a_deregistered_asset_is_final(market: Market) -> None:
    receipt = register(market)
    leave(market, receipt.id)

    with refused("ASSET-UPDATE-2", as_=Conflict):
        market.update(market.callers["fsp-a"], "assets", receipt.id, assetName="Renamed")
    with refused("ASSET-DEREGISTER-3", as_=Conflict):
        leave(market, receipt.id)


@pytest.mark.parametrize(("before", "change", "after"), [
    ("VERIFIED", {"serialNumber": "S-2"}, "PENDING_VALIDATION"),
    ("VERIFIED", {"importMPAN": mpan(99)}, "PENDING_VALIDATION"),
    ("VERIFIED", {"assetName": "Renamed"}, "VERIFIED"),
    ("QUERY", {"assetName": "Renamed"}, "PENDING_VALIDATION"),
    ("PENDING_VALIDATION", {"serialNumber": "S-2"}, "PENDING_VALIDATION"),
])  # fmt: skip
def test_a_change_of_what_was_verified_sends_the_asset_back(market: Market, before: str, change: dict[str, str], after: str) -> None:
    receipt = register(market)
    market.record("assets", receipt.id, validationStatus=before, registrationStatus=before)

    market.update(market.callers["fsp-a"], "assets", receipt.id, **change)

    document = market.current("assets", receipt.id).document
    assert (document["validationStatus"], document["registrationStatus"]) == (after, after)


def test_the_same_document_again_answers_a_query(market: Market) -> None:
    receipt = register(market)
    market.record("assets", receipt.id, validationStatus="QUERY", registrationStatus="QUERY")

    assert market.update(market.callers["fsp-a"], "assets", receipt.id).number == 3
    assert market.current("assets", receipt.id).state == "PENDING_VALIDATION"


@pytest.mark.parametrize("standing", NOT_LIVE)
def test_validation_does_not_lift_a_suspension(market: Market, standing: str) -> None:
    receipt = register(market)
    market.record("assets", receipt.id, validationStatus="VERIFIED", standing=standing, registrationStatus=standing)

    market.update(market.callers["fsp-a"], "assets", receipt.id, serialNumber="S-2")

    document = market.current("assets", receipt.id).document
    assert (document["validationStatus"], document["registrationStatus"], document["standing"]) == ("PENDING_VALIDATION", standing, standing)


def test_an_update_that_leaves_a_filled_term_open_keeps_it(market: Market) -> None:
    receipt = register(market)

    market.submit(market.callers["fsp-a"], "assets", battery("S-1", assetName="Renamed"), "update", receipt.id, if_match=("*",))

    assert market.current("assets", receipt.id).document["effectiveDate"] == "2026-11-22"


# -- de-registration


@pytest.mark.parametrize("reason", REASONS)
def test_deregistration_gives_its_reason_and_time(market: Market, reason: str) -> None:
    receipt = register(market)

    leave(market, receipt.id, deregistrationReason=reason)

    document = market.current("assets", receipt.id).document
    assert (document["registrationStatus"], document["standing"], document["deregistrationReason"]) == ("DEREGISTERED", "DEREGISTERED", reason)
    assert document["deregisteredAt"] == document["recordedAt"]
    assert document["validationStatus"] == "PENDING_VALIDATION"


def test_deregistration_without_a_reason_is_refused(market: Market) -> None:
    receipt = register(market)

    with refused("ASSET-DEREGISTER-4", as_=Invalid):
        market.act(market.callers["fsp-a"], "assets", receipt.id, "deregistration")


def test_a_reason_that_is_no_code_is_refused(market: Market) -> None:
    receipt = register(market)

    with refused("literal-ill-formed", as_=Invalid) as refusal:
        leave(market, receipt.id, deregistrationReason="BORED")

    assert refusal.value.faults[0].field == "deregistrationReason"


def test_deregistration_takes_no_other_terms(market: Market) -> None:
    receipt = register(market)

    with refused("unknown-term", as_=Invalid):
        leave(market, receipt.id, assetName="Gone", standing="DEREGISTERED")


def test_a_duplicate_names_the_asset_that_stays(market: Market) -> None:
    kept, gone = register(market, "S-1"), register(market, "S-2")

    leave(market, gone.id, deregistrationReason="DUPLICATE", survivor=f"assets/{kept.id}")

    assert market.current("assets", gone.id).document["survivor"] == f"{BASE}/assets/{kept.id}"


@pytest.mark.parametrize(("reason", "survivor"), [
    ("DUPLICATE", None),
    ("DUPLICATE", "assets/{gone}"),
    ("DUPLICATE", "assets/{left}"),
    ("DUPLICATE", "assets/{foreign}"),
    ("DUPLICATE", "assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"),
    ("DUPLICATE", "https://elsewhere.example/assets/{kept}"),
    ("DUPLICATE", "organisations/{kept}"),
    ("ERROR", "assets/{kept}"),
])  # fmt: skip
def test_a_survivor_is_another_live_asset_of_the_same_provider(market: Market, reason: str, survivor: str | None) -> None:
    ids = {name: register(market, name, by="fsp-b" if name == "foreign" else "fsp-a").id for name in ("kept", "gone", "left", "foreign")}
    leave(market, ids["left"])
    note = {} if survivor is None else {"survivor": survivor.format(**ids)}

    with refused("ASSET-DEREGISTER-5", as_=Invalid):
        leave(market, ids["gone"], deregistrationReason=reason, **note)

    assert market.current("assets", ids["gone"]).number == 1


# -- the examples


@pytest.mark.parametrize("file", sorted(EXAMPLES.iterdir()), ids=lambda file: file.name)
def test_an_example_is_accepted_unless_it_is_there_to_be_refused(market: Market, file: Path) -> None:
    kind, by = ("organisations", "operator") if file.stem == "organisation" else ("assets", "fsp-a")
    media_type = {".xml": "application/rdf+xml", ".json": f"application/ld+json{MEANT if 'cim' in file.stem else ''}"}[file.suffix]
    sent = Submission(market.callers[by], kind, "register", new_record_id(), BASE, media_type, file.read_bytes())

    if file.stem == "broken":
        with refused("A12-pattern", "A13-future", "A20-check-digit", "unknown-term", as_=Invalid):
            market.run(sent)
    else:
        assert market.run(sent).number == 1
