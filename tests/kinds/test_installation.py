"""Registered at installation, and claimed by a provider: who may, with which authority, and who sees what before and afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from fmar_node.access.caller import Caller
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound
from fmar_node.feed import Feed
from fmar_node.identity import new_claim_code, new_record_id
from fmar_node.kinds.installation import code_hash
from fmar_node.record import Receipt
from fmar_node.representation import json_bytes
from tests.market import BASE, Market, battery, refused, vocabulary

CODE = "K7D2M-9QX4R-00011-ZZZZZ"


def install(market: Market, serial: str = "I-1", by: str = "installer", code: str = CODE, **changes: Any) -> Receipt:
    document = battery(serial, **changes)
    return market.run(Submission(market.callers[by], "assets", "register", new_record_id(), BASE, "application/ld+json", json_bytes(document), offer=code))


def claim(market: Market, id_: str, by: str = "fsp-a", **note: Any) -> Receipt:
    return market.act(market.callers[by], "assets", id_, "claim", **note)


def owned(market: Market, name: str = "owner") -> dict[str, Any]:
    if name not in market.callers:
        market.join(name, "ASSET_OWNER")
    return {"owner": market.iri(name), "ownerName": None, "justification": None}


def document_of(market: Market, receipt: Receipt) -> dict[str, Any]:
    return market.current("assets", receipt.id).document


def shown(market: Market, receipt: Receipt, name: str) -> dict[str, Any] | None:
    try:
        return market.reader.current("assets", receipt.id, market.callers[name]).document
    except NotFound:
        return None


# -- registration


def test_what_an_installer_registers_waits_for_a_provider(market: Market) -> None:
    made = install(market)

    document = document_of(market, made)
    assert (document["registrationStatus"], document["standing"], document["validationStatus"]) == ("AWAITING_NEW_FSP", "AWAITING_NEW_FSP", "PENDING_VALIDATION")
    assert document["registeredBy"] == market.iri("installer") and "managedBy" not in document
    assert document["claimCodeHash"] == code_hash(CODE) and CODE not in repr(document)
    assert market.verdict(market.callers["installer"], "assets", "register").policy == "ASSET-REGISTER-2"


@pytest.mark.parametrize(("role", "own"), [("TECHNOLOGY_PROVIDER", False), ("ASSET_OWNER", True)])
def test_makers_and_owners_register_too(market: Market, role: str, own: bool) -> None:
    market.join("other", role)

    made = install(market, by="other", **(owned(market, "other") if own else {}))

    assert document_of(market, made)["registeredBy"] == market.iri("other")


def test_an_owner_registers_nothing_but_its_own(market: Market) -> None:
    market.join("owner", "ASSET_OWNER")

    with refused("ASSET-INSTALL-1", as_=Invalid):
        install(market, by="owner")
    with refused("ASSET-INSTALL-1", as_=Invalid):
        install(market, by="owner", **owned(market, "fsp-b"))


def test_who_is_a_provider_too_manages_what_it_registers(market: Market) -> None:
    market.join("both", "FSP", "INSTALLER")

    document = document_of(market, install(market, by="both"))

    assert document["managedBy"] == market.iri("both") and not document.keys() & {"registeredBy", "claimCodeHash"}


def test_an_individuals_asset_needs_consent_at_installation_too(market: Market) -> None:
    with refused("consent-not-available", as_=Invalid):
        install(market, ownerKind="INDIVIDUAL", ownerName=None, justification=None)


def test_the_same_machine_is_not_installed_twice(market: Market) -> None:
    install(market)

    with refused("DUPLICATE_EXACT", as_=Conflict) as own:
        install(market)
    with refused("DUPLICATE_EXACT", "A20-shared", "A21-shared") as foreign:
        market.submit(market.callers["fsp-a"], "assets", battery("I-1"))

    assert "you have registered" in own.value.detail
    assert not any("assets/" in fault.message for fault in foreign.value.faults)


# -- until it has a provider


def test_the_installer_sees_and_corrects_what_it_has_registered(market: Market) -> None:
    made = install(market)

    market.update(market.callers["installer"], "assets", made.id, assetModel="AS-501")

    document = document_of(market, made)
    assert (document["assetModel"], document["registrationStatus"], document["version"]) == ("AS-501", "AWAITING_NEW_FSP", 2)
    assert market.verdict(market.callers["installer"], "assets", "update", made.id).policy == "ASSET-UPDATE-3"
    assert document["claimCodeHash"] == code_hash(CODE)


def test_the_installer_takes_back_what_was_registered_in_error(market: Market) -> None:
    made = install(market)

    market.act(market.callers["installer"], "assets", made.id, "deregistration", deregistrationReason="ERROR")

    assert market.verdict(market.callers["installer"], "assets", "deregistration", made.id).policy == "ASSET-DEREGISTER-2"
    assert document_of(market, made)["registrationStatus"] == "DEREGISTERED"
    with pytest.raises(NotFound):
        claim(market, made.id, claimCode=CODE)
    assert install(market).id != made.id


@pytest.mark.parametrize("name", ["fsp-a", "platform", "regulator", "dso-south"])
def test_others_see_nothing_of_it(market: Market, name: str) -> None:
    made = install(market)

    assert shown(market, made, name) is None


def test_every_view_is_what_reveal_says_before_and_after_the_claim(market: Market) -> None:
    made = [install(market, f"V-{number}", **owned(market)) for number in range(3)]
    projector = market.projected()
    before = projector.deviations()
    for each in made:
        claim(market, each.id, claimCode=CODE) if each is made[0] else None
    while projector.catch_up():
        pass

    assert (before, projector.deviations()) == ([], [])


# -- the claim


@pytest.mark.parametrize("written", [CODE, CODE.lower(), CODE.replace("-", ""), CODE.replace("0", "O").replace("1", "l"), f" {CODE} "])
def test_a_provider_claims_with_the_code_however_it_is_written(market: Market, written: str) -> None:
    made = install(market, friendlyCode="van-7")

    claim(market, made.id, claimCode=written)

    document = document_of(market, made)
    assert (document["managedBy"], document["standing"], document["registrationStatus"]) == (market.iri("fsp-a"), "LIVE", "PENDING_VALIDATION")
    assert not document.keys() & {"claimCodeHash", "friendlyCode", "appointedProvider"}
    assert market.verdict(market.callers["fsp-a"], "assets", "claim", made.id).policy == "ASSET-CLAIM-1"


def test_without_the_code_there_is_no_such_asset(market: Market) -> None:
    made = install(market)
    told = set()
    for id_, note in ((made.id, {"claimCode": new_claim_code()}), (made.id, {}), (new_record_id(), {"claimCode": CODE}), (made.id, {"claimCode": ""})):
        with pytest.raises(NotFound) as refusal:
            claim(market, id_, **note)
        told.add((refusal.value.code, refusal.value.detail))

    assert len(told) == 1


@pytest.mark.parametrize("name", ["installer", "operator", "dso-east", "platform"])
def test_nobody_but_a_provider_claims(market: Market, name: str) -> None:
    made = install(market)

    for id_ in (made.id, new_record_id()):
        with refused("ASSET-CLAIM-1", as_=Forbidden):
            claim(market, id_, name, claimCode=CODE)


def test_a_code_is_good_for_one_claim(market: Market) -> None:
    made = install(market)
    claim(market, made.id, claimCode=CODE)

    with pytest.raises(NotFound):
        claim(market, made.id, "fsp-b", claimCode=CODE)
    with refused("ASSET-CLAIM-2", as_=Conflict):
        claim(market, made.id, claimCode=CODE)


def test_after_the_claim_the_installer_has_nothing_to_do_with_it(market: Market) -> None:
    made, before = install(market), market.clock.now()
    market.clock.forward(minutes=1)
    claim(market, made.id, claimCode=CODE)

    assert shown(market, made, "installer") is None
    with pytest.raises(NotFound):
        market.reader.versions("assets", made.id, market.callers["installer"])
    with pytest.raises(NotFound):
        market.reader.at("assets", made.id, market.callers["installer"], before)
    events = Feed(market.register, vocabulary()).page(market.callers["installer"], -1, 50).events
    assert [(each.happening, each.changed) for each in events if each.kind == "assets"] == [("disappeared", ())]
    with pytest.raises(NotFound):
        market.act(market.callers["installer"], "assets", made.id, "deregistration", deregistrationReason="ERROR")
    with pytest.raises(NotFound):
        market.reader.versions("assets", made.id, market.callers["fsp-b"])
    assert [each.number for each in market.reader.versions("assets", made.id, market.callers["fsp-a"])] == [1]


def test_the_owner_appoints_the_provider_that_claims(market: Market) -> None:
    made = install(market, **owned(market))
    with pytest.raises(NotFound):
        claim(market, made.id)
    market.act(market.callers["owner"], "assets", made.id, "appointment", appointedProvider=market.iri("fsp-a"))

    with pytest.raises(NotFound):
        claim(market, made.id, "fsp-b")
    claim(market, made.id)

    assert document_of(market, made)["managedBy"] == market.iri("fsp-a")
    assert market.verdict(market.callers["owner"], "assets", "appointment", made.id).policy == "ASSET-APPOINT-1"


def test_an_appointment_is_taken_back(market: Market) -> None:
    made = install(market, **owned(market))
    market.act(market.callers["owner"], "assets", made.id, "appointment", appointedProvider=market.iri("fsp-a"))
    market.act(market.callers["owner"], "assets", made.id, "appointment")

    with pytest.raises(NotFound):
        claim(market, made.id)


@pytest.mark.parametrize("named", ["dso-east", "owner", "nobody"])
def test_only_an_active_provider_is_appointed(market: Market, named: str) -> None:
    made = install(market, **owned(market))
    iri = f"{BASE}/organisations/{new_record_id()}" if named == "nobody" else market.iri(named)

    with refused("ASSET-APPOINT-3", as_=Invalid):
        market.act(market.callers["owner"], "assets", made.id, "appointment", appointedProvider=iri)


def test_only_the_owner_appoints_and_only_while_the_asset_waits(market: Market) -> None:
    made = install(market, **owned(market))
    with refused("ASSET-APPOINT-1", as_=Forbidden):
        market.act(market.callers["installer"], "assets", made.id, "appointment", appointedProvider=market.iri("fsp-a"))
    claim(market, made.id, claimCode=CODE)

    with refused("ASSET-APPOINT-2", as_=Conflict):
        market.act(market.callers["owner"], "assets", made.id, "appointment", appointedProvider=market.iri("fsp-b"))


def test_an_owner_that_is_a_provider_claims_its_own(market: Market) -> None:
    made = install(market, **owned(market, "fsp-b"))

    claim(market, made.id, "fsp-b")

    assert document_of(market, made)["managedBy"] == market.iri("fsp-b")


def test_an_asset_whose_provider_has_left_is_claimed_by_appointment(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery("O-1", **owned(market)))
    market.act(market.callers["operator"], "organisations", market.callers["fsp-a"].organisation, "deregistration", forced=True)
    market.act(market.callers["owner"], "assets", made.id, "appointment", appointedProvider=market.iri("fsp-b"))
    with refused("ASSET-CODE-3", as_=Invalid):
        market.act(market.callers["owner"], "assets", made.id, "claim-code")

    claim(market, made.id, "fsp-b")

    assert document_of(market, made)["managedBy"] == market.iri("fsp-b")


def test_a_new_code_voids_the_one_before(market: Market) -> None:
    made = install(market)
    market.run(Submission(market.callers["installer"], "assets", "claim-code", made.id, BASE, "application/ld+json", b"", offer="NEWER-00000-00000-00000"))

    with pytest.raises(NotFound):
        claim(market, made.id, claimCode=CODE)
    claim(market, made.id, claimCode="NEWER-00000-00000-00000")
    with refused("ASSET-CODE-1", as_=Forbidden):
        market.act(market.callers["fsp-a"], "assets", made.id, "claim-code")


def test_a_code_is_made_for_an_asset_that_waits(market: Market) -> None:
    made = install(market, **owned(market))
    claim(market, made.id, claimCode=CODE)

    with refused("ASSET-CODE-2", as_=Conflict):
        market.act(market.callers["owner"], "assets", made.id, "claim-code")


def test_nobody_claims_on_behalf_of_another(market: Market) -> None:
    made = install(market)
    market.grant("fsp-a", "platform", "REGISTER", "UPDATE", "READ_PERSONAL")

    with refused("DELEGATION-SCOPE-1", as_=Forbidden):
        market.submit(market.acting("platform", "fsp-a"), "assets", {"claimCode": CODE}, "claim", made.id)


def test_an_installer_that_leaves_leaves_its_assets_to_be_claimed(market: Market) -> None:
    made = install(market)
    market.act(market.callers["operator"], "organisations", market.callers["installer"].organisation, "deregistration", forced=True)

    claim(market, made.id, claimCode=CODE)

    assert document_of(market, made)["managedBy"] == market.iri("fsp-a")


# -- what its registrant calls it


def test_an_external_id_is_unique_within_its_registrant(market: Market) -> None:
    install(market, "E-1", externalId="fleet/1")
    market.join("maker", "TECHNOLOGY_PROVIDER")

    with refused("EXTERNAL_ID_TAKEN", as_=Conflict):
        install(market, "E-2", externalId="FLEET/1")
    assert install(market, "E-3", by="maker", externalId="fleet/1")


def test_an_external_id_stays_its_registrants_after_the_claim(market: Market) -> None:
    made = install(market, externalId="fleet/1")
    claim(market, made.id, claimCode=CODE)

    with refused("ASSET-EXTERNAL-1", as_=Invalid):
        market.update(market.callers["fsp-a"], "assets", made.id, externalId="mine")
    with refused("EXTERNAL_ID_TAKEN", as_=Conflict) as refusal:
        install(market, "E-2", externalId="fleet/1")
    market.update(market.callers["fsp-a"], "assets", made.id, assetName="Renamed")

    assert "it has a provider now" in refusal.value.detail
    with refused("A20-shared", "A21-shared", "DUPLICATE_EXACT", "EXTERNAL_ID_TAKEN", as_=Invalid) as again:
        install(market, externalId="fleet/1")
    assert not any("switch" in fault.message for fault in again.value.faults)


# -- extension fields


def field(market: Market, publisher: str = "platform", name: str = "baselineMethod", value: str = "P376") -> dict[str, str]:
    return {"type": "Extension", "extensionPublisher": market.iri(publisher), "extensionName": name, "extensionValue": value}


def test_an_extension_field_is_kept_and_not_judged(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery("X-1", extension=[field(market), field(market, value="4 h", name="duration"), field(market, "neso")]))

    kept = [(each["extensionPublisher"], each["extensionName"], each["extensionValue"]) for each in document_of(market, made)["extension"]]
    assert kept == [(market.iri("platform"), "baselineMethod", "P376"), (market.iri("platform"), "duration", "4 h"), (market.iri("neso"), "baselineMethod", "P376")]


def test_an_extension_field_is_in_a_namespace_that_there_is(market: Market) -> None:
    unknown = {**field(market), "extensionPublisher": f"{BASE}/organisations/{new_record_id()}"}

    with refused("EXTENSION-1", as_=Invalid):
        market.submit(market.callers["fsp-a"], "assets", battery("X-1", extension=[unknown]))
    with refused("EXTENSION-2", as_=Invalid):
        market.submit(market.callers["fsp-a"], "assets", battery("X-1", extension=[field(market), field(market)]))


@pytest.mark.parametrize("changes", [{"extensionName": "9"}, {"extensionValue": "x" * 1001}, {"extensionValue": None}, {"extensionName": "a b"}])
def test_an_extension_field_is_well_formed(market: Market, changes: dict[str, Any]) -> None:
    given = {name: value for name, value in {**field(market), **changes}.items() if value is not None}

    with pytest.raises(Invalid):
        market.submit(market.callers["fsp-a"], "assets", battery("X-1", extension=[given]))


def test_fields_are_seen_with_the_tier_commercial_and_by_who_asked_for_them(market: Market) -> None:
    """NESO sees no commercial tier, and the fields of its own; so its graph; a platform those that a grant opens; a DSO and a stranger none."""
    market.grant("fsp-a", "platform", "READ")
    made = market.submit(market.callers["fsp-a"], "assets", battery("X-1", extension=[field(market, "neso"), field(market, "platform")]))

    def names(name: str) -> list[str] | None:
        document = shown(market, made, name)
        return document and [each["extensionPublisher"] for each in document.get("extension", ())]

    both = [market.iri("neso"), market.iri("platform")]
    assert [names(name) for name in ("fsp-a", "platform", "neso", "dso-east", "fsp-b")] == [both, both, both[:1], [], None]
    assert "friendlyCode" not in (shown(market, made, "neso") or {})
    projector = market.projected()
    market.update(market.callers["fsp-a"], "assets", made.id, extension=[field(market, "neso", value="P400")])
    projector.catch_up()
    assert projector.deviations() == []
    view = f"{BASE}/views/{market.callers['neso'].organisation}"
    assert [str(triple.object.value) for triple in projector.graph.triples(view) if triple.predicate.value.endswith("extensionValue")] == ["P400"]


def test_a_publisher_that_has_left_stays_on_the_records_that_name_it(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery("X-1", extension=[field(market)]))
    market.act(market.callers["operator"], "organisations", market.callers["platform"].organisation, "deregistration")

    market.update(market.callers["fsp-a"], "assets", made.id, assetName="Renamed")

    assert len(document_of(market, made)["extension"]) == 1


def caller_without_roles(market: Market) -> Caller:
    return market.join("nobody", "SUPPLIER")


def test_who_has_no_such_role_registers_nothing(market: Market) -> None:
    with refused("ASSET-REGISTER-1", as_=Forbidden):
        market.submit(caller_without_roles(market), "assets", battery("N-1"))


# -- former codes, and identifiers that have ended


def test_a_renamed_code_is_found_as_of_a_day(market: Market) -> None:
    provider = market.callers["fsp-a"]
    made = market.submit(provider, "assets", battery("R-1", friendlyCode="old"))
    market.clock.forward(hours=72)
    market.update(provider, "assets", made.id, friendlyCode="new")

    former = document_of(market, made)["formerCode"]
    assert [(each["formerCodeText"], each["validFrom"], each["validTo"]) for each in former] == [("old", "2026-11-22", "2026-11-25")]

    def found(code: str, day: str) -> int:
        return len(market.reader.lookup("FRIENDLY_CODE", code, provider, day))

    assert [found("old", "2026-11-24"), found("old", "2026-11-25"), found("new", "2026-11-24"), found("new", "2026-11-25")] == [1, 0, 0, 1]
    assert market.submit(provider, "assets", battery("R-2", friendlyCode="OLD")), "the code is free again"


def test_a_code_that_lasted_no_day_is_in_the_versions_alone(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery("R-1", friendlyCode="slip"))
    market.update(market.callers["fsp-a"], "assets", made.id, friendlyCode="right")

    assert "formerCode" not in document_of(market, made)
    assert [each.document["friendlyCode"] for each in market.reader.versions("assets", made.id, market.callers["fsp-a"])] == ["slip", "right"]


def evse(**dates: str) -> list[dict[str, str]]:
    return [{"scheme": "EVSE", "value": "GB*ABC*E1", **dates}]


@pytest.mark.parametrize(("first", "second", "is_taken"), [
    ({}, {}, True), ({"validTo": "2026-12-01"}, {}, True), ({}, {"validTo": "2027-01-01"}, True),
    ({"validFrom": "2026-01-01", "validTo": "2026-11-22"}, {}, False), ({}, {"validFrom": "2026-12-01"}, False), ({"validTo": "2026-11-23"}, {"validFrom": "2026-11-22"}, True),
])  # fmt: skip
def test_two_assets_have_one_evse_id_at_different_times_only(market: Market, first: dict[str, str], second: dict[str, str], is_taken: bool) -> None:
    market.submit(market.callers["fsp-a"], "assets", battery("V-1", alias=evse(**first)))
    other = battery("V-2", alias=evse(**second))

    if is_taken:
        with refused("DUPLICATE_EXACT", as_=Conflict):
            market.submit(market.callers["fsp-b"], "assets", other)
    else:
        assert market.submit(market.callers["fsp-b"], "assets", other)
