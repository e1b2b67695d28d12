"""What may happen to a delegation, and what it gives: every policy, state and rule of `kinds/delegation.py`, allowed and refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fmar_node.access.caller import Caller, Permission
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound
from fmar_node.vocabulary import Tier
from tests.market import BASE, Market, battery, refused

ABSENT = f"{BASE}/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
ALL = ("READ", "READ_PERSONAL", "REGISTER", "UPDATE", "DEREGISTER")


def asset(market: Market, serial: str = "S-1", by: str = "fsp-a") -> str:
    return market.submit(market.callers[by], "assets", battery(serial)).id


def sees(market: Market, who: Caller, id_: str, kind: str = "assets") -> set[str]:
    """The terms of a record that a caller sees; none where it sees no such record."""
    try:
        return set(market.reader.current(kind, id_, who).document)
    except NotFound:
        return set()


def state(market: Market, id_: str) -> str:
    return market.current("delegations", id_).state


# -- offering


def test_an_offer_gives_nothing_until_it_is_accepted(market: Market) -> None:
    id_ = asset(market)
    offer = market.offer("fsp-a", "platform", "READ")
    before = sees(market, market.as_known(market.callers["platform"]), id_)

    market.act(market.callers["platform"], "delegations", offer.id, "acceptance")

    assert (before, state(market, offer.id)) == (set(), "ACTIVE")
    assert "assetName" in sees(market, market.as_known(market.callers["platform"]), id_)
    assert market.current("delegations", offer.id).document["grantor"] == market.iri("fsp-a")


@pytest.mark.parametrize("delegate", [ABSENT, "fsp-a", "pending"])
def test_the_delegate_is_another_active_organisation(market: Market, delegate: str) -> None:
    market.enter("pending", market.submit(market.callers["operator"], "organisations", {
        "type": "Organisation", "organisationLegalName": "P", "organisationType": "OTHER", "organisationTypeDescription": "x", "organisationRoles": ["PLATFORM"],
    }).id)  # fmt: skip

    with refused("DELEGATION-OFFER-3", as_=Invalid):
        market.offer("fsp-a", "platform", "READ", delegate=delegate if delegate == ABSENT else market.iri(delegate))


def test_permissions_on_assets_go_from_providers_to_platforms_and_installers(market: Market) -> None:
    with refused("DELEGATION-OFFER-4", as_=Invalid):
        market.offer("fsp-a", "fsp-b", "READ")
    with refused("DELEGATION-OFFER-5", as_=Invalid):
        market.offer("neso", "platform", "READ")

    assert market.offer("fsp-a", "installer", "REGISTER").number == 1


@pytest.mark.parametrize(("given", "code"), [
    ({"assetScope": None}, "DELEGATION-OFFER-6"),
    ({"permission": ["PASSPORT"]}, "DELEGATION-OFFER-6"),
    ({"assetScope": "NAMED_ASSETS"}, "DELEGATION-OFFER-7"),
    ({"delegatedAsset": [f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"]}, "DELEGATION-OFFER-7"),
    ({"validTo": "2026-11-22"}, "DELEGATION-OFFER-9"),
    ({"validFrom": "2027-01-01", "validTo": "2027-01-01"}, "DELEGATION-OFFER-9"),
])  # fmt: skip
def test_an_offer_is_plain_about_what_and_until_when(market: Market, given: dict[str, Any], code: str) -> None:
    with refused(code, as_=Invalid):
        market.offer("fsp-a", "platform", "READ", **given)


def test_named_assets_are_the_grantors_own_and_exist(market: Market) -> None:
    own, others = asset(market), asset(market, "S-2", by="fsp-b")

    with refused("DELEGATION-OFFER-7"):
        market.offer("fsp-a", "platform", "READ", assets=[own, others])
    with refused("DELEGATION-OFFER-8"):
        market.offer("fsp-a", "platform", "REGISTER", assets=[own])

    assert market.offer("fsp-a", "platform", "READ", assets=[own]).number == 1


def test_a_suspended_organisation_offers_and_accepts_nothing(market: Market) -> None:
    offer = market.offer("fsp-b", "platform", "READ")
    for name in ("fsp-a", "platform"):
        market.act(market.callers["operator"], "organisations", market.callers[name].organisation, "suspension")

    with refused("DELEGATION-OFFER-1", as_=Forbidden):
        market.offer("fsp-a", "installer", "READ")
    with refused("DELEGATION-ACCEPT-1", as_=Forbidden):
        market.act(market.callers["platform"], "delegations", offer.id, "acceptance")


# -- accepting, ending


def test_only_the_delegate_accepts_and_once(market: Market) -> None:
    offer = market.offer("fsp-a", "platform", "READ")

    with refused("DELEGATION-ACCEPT-1", as_=Forbidden):
        market.act(market.callers["fsp-a"], "delegations", offer.id, "acceptance")
    with refused("DELEGATION-ACCEPT-1", as_=Forbidden):
        market.act(market.callers["operator"], "delegations", offer.id, "acceptance")
    with pytest.raises(NotFound):
        market.act(market.callers["installer"], "delegations", offer.id, "acceptance")
    market.act(market.callers["platform"], "delegations", offer.id, "acceptance")

    with refused("DELEGATION-ACCEPT-2", as_=Conflict):
        market.act(market.callers["platform"], "delegations", offer.id, "acceptance")


def test_an_offer_for_later_begins_on_its_day(market: Market) -> None:
    id_ = asset(market)
    offer = market.grant("fsp-a", "platform", "READ", validFrom="2026-12-01")
    waiting = (state(market, offer), sees(market, market.as_known(market.callers["platform"]), id_))

    with refused("DELEGATION-ACCEPT-3", as_=Conflict):
        market.act(market.callers["platform"], "delegations", offer, "acceptance")
    market.clock.forward(days=8, hours=14)  # 30 November, 23:30 in London
    early = market.tick()
    market.clock.forward(hours=1)

    assert (waiting, early, market.tick(), state(market, offer)) == (("OFFERED", set()), 0, 1, "ACTIVE")
    assert "assetName" in sees(market, market.as_known(market.callers["platform"]), id_)
    with refused("DELEGATION-ACTIVATE-2", as_=Conflict):
        market.act(market.node(), "delegations", offer, "activation")


def test_a_delegation_ends_on_its_day_even_before_that_is_entered(market: Market) -> None:
    id_, given = asset(market), market.grant("fsp-a", "platform", "READ", "UPDATE", validTo="2026-11-24")
    market.clock.forward(days=1, hours=15)

    platform = market.as_known(market.callers["platform"])
    entered = market.tick()

    assert sees(market, platform, id_) == set()
    assert (entered, state(market, given)) == (1, "EXPIRED")
    with refused("DELEGATION-REVOKE-3", as_=Conflict):
        market.act(market.callers["fsp-a"], "delegations", given, "revocation")
    with refused("DELEGATION-EXPIRE-2", as_=Conflict):
        market.act(market.node(), "delegations", given, "expiry")


@pytest.mark.parametrize(("name", "policy"), [("operator", "DELEGATION-REVOKE-1"), ("fsp-a", "DELEGATION-REVOKE-2"), ("platform", "DELEGATION-REVOKE-2")])
def test_each_side_and_the_operator_end_it(market: Market, name: str, policy: str) -> None:
    id_, given = asset(market), market.grant("fsp-a", "platform", "READ")

    assert market.verdict(market.callers[name], "delegations", "revocation", given).policy == policy
    market.act(market.callers[name], "delegations", given, "revocation")

    assert state(market, given) == "REVOKED"
    assert sees(market, market.as_known(market.callers["platform"]), id_) == set()


def test_nobody_else_sees_or_ends_it(market: Market) -> None:
    given = market.grant("fsp-a", "platform", "READ")

    with pytest.raises(NotFound):
        market.act(market.callers["fsp-b"], "delegations", given, "revocation")
    assert market.verdict(market.callers["fsp-b"], "delegations", "revocation", given).policy == "DELEGATION-REVOKE-2"


@pytest.mark.parametrize("leaver", ["fsp-a", "platform"])
def test_it_ends_with_either_organisation_in_the_same_transaction(market: Market, leaver: str) -> None:
    given = market.grant("fsp-a", "platform", "READ")

    receipt = market.act(market.callers["operator"], "organisations", market.callers[leaver].organisation, "deregistration")

    ended = market.current("delegations", given)
    assert (ended.state, ended.index, ended.action) == ("REVOKED", receipt.index + 1, "end")
    with refused("DELEGATION-END-2", as_=Conflict):
        market.act(market.node(), "delegations", given, "end")


@pytest.mark.parametrize("action", ["activation", "expiry", "end"])
def test_what_the_clock_does_nobody_else_does(market: Market, action: str) -> None:
    given = market.grant("fsp-a", "platform", "READ")

    for name in ("operator", "fsp-a", "platform"):
        with refused("NODE-1", as_=Forbidden):
            market.act(market.callers[name], "delegations", given, action)


def test_a_delegation_can_be_erased_and_is_never_public(market: Market) -> None:
    given = market.grant("fsp-a", "platform", "READ")

    with refused("DELEGATION-ERASE-1", as_=Forbidden):
        market.act(market.callers["fsp-a"], "delegations", given, "erasure", erasureReason="REQUEST")
    with refused("DELEGATION-ERASE-2", as_=Invalid):
        market.act(market.callers["operator"], "delegations", given, "erasure")
    assert sees(market, Caller(), given, "delegations") == set()


# -- what it gives


@pytest.mark.parametrize(("permissions", "tiers"), [
    (("READ",), set(Tier) - {Tier.PERSONAL}), (("READ_PERSONAL",), set(Tier)), (("UPDATE", "REGISTER", "DEREGISTER"), set()), (("PASSPORT", "CONTACTS"), set()),
])  # fmt: skip
def test_a_delegate_reads_what_was_granted(market: Market, permissions: tuple[str, ...], tiers: set[Tier]) -> None:
    from fmar_node.access.reveal import tiers as open_tiers

    id_ = asset(market)
    market.grant("fsp-a", "platform", *permissions)

    assert open_tiers(market.current("assets", id_).document, market.callers["platform"]) == tiers


def test_named_assets_are_all_that_is_granted(market: Market) -> None:
    one, other = asset(market, "S-1"), asset(market, "S-2")
    market.grant("fsp-a", "platform", "READ", "UPDATE", assets=[one])
    acting = market.acting("platform", "fsp-a")

    assert sees(market, acting, one) != set()
    assert sees(market, acting, other) == set()
    assert acting.granted(acting.organisation, one) == {Permission.READ, Permission.UPDATE}
    with pytest.raises(NotFound):
        market.update(acting, "assets", other, assetName="Mine")
    assert market.update(acting, "assets", one, assetName="Renamed").number == 2


def test_a_platform_registers_on_behalf_of_its_provider_and_the_journal_names_both(market: Market) -> None:
    market.grant("fsp-a", "platform", "READ", "REGISTER")

    receipt = market.submit(market.acting("platform", "fsp-a"), "assets", battery("S-9"))

    made = market.current("assets", receipt.id)
    assert made.document["managedBy"] == market.iri("fsp-a")
    assert (made.actor.organisation, made.actor.actor) == (market.callers["fsp-a"].organisation, market.callers["platform"].organisation)


@pytest.mark.parametrize("granted", ALL)
def test_effective_rights_are_the_intersection(market: Market, granted: str) -> None:
    """A14: what was not granted is not done, whatever the provider itself may."""
    id_ = asset(market)
    market.grant("fsp-a", "platform", "READ", granted)
    acting = market.acting("platform", "fsp-a")

    may = {action: market.verdict(acting, "assets", action, "" if action == "register" else id_).policy for action in ("register", "update", "deregistration")}

    policies = {"register": "ASSET-REGISTER-1", "update": "ASSET-UPDATE-1", "deregistration": "ASSET-DEREGISTER-1"}
    permissions = {"register": "REGISTER", "update": "UPDATE", "deregistration": "DEREGISTER"}
    assert may == {action: policies[action] if permissions[action] == granted else "DELEGATION-SCOPE-2" for action in may}


def test_a_delegate_cannot_delegate_nor_act_for_its_grantors_grantor(market: Market) -> None:
    """A14: nothing that was granted is granted on; what concerns the provider itself is never done for it."""
    market.grant("fsp-a", "platform", *ALL)
    acting = market.acting("platform", "fsp-a")

    for kind, action in (("delegations", "register"), ("users", "register")):
        assert market.verdict(acting, kind, action).policy == "DELEGATION-SCOPE-1"
    assert market.verdict(acting, "organisations", "key-registration", acting.organisation).policy == "DELEGATION-SCOPE-1"
    with refused("DELEGATION-SCOPE-1", as_=Forbidden):
        market.submit(acting, "delegations", {
            "type": "Delegation", "delegate": market.iri("installer"), "permission": ["READ"], "assetScope": "ALL_ASSETS", "validTo": "2027-01-01",
        })  # fmt: skip


def test_without_a_delegation_in_force_nobody_acts_for_anybody(market: Market) -> None:
    id_ = asset(market)
    acting = market.acting("platform", "fsp-a")

    assert (dict(acting.grants), sees(market, acting, id_)) == ({acting.organisation: ()}, set())
    with refused("DELEGATION-SCOPE-2", as_=Forbidden):
        market.submit(acting, "assets", battery("S-9"))


def test_a_delegate_has_nothing_of_its_grantors_other_rights(market: Market) -> None:
    """What the provider sees as an owner, or of itself, is not what it has granted."""
    owned = market.submit(market.callers["fsp-b"], "assets", battery("S-2", owner=market.iri("fsp-a"), ownerName=None)).id
    market.grant("fsp-a", "platform", *ALL)
    acting = market.acting("platform", "fsp-a")

    assert sees(market, acting, owned) == set()
    assert "applicationKey" not in sees(market, acting, acting.organisation, "organisations")


def test_permissions_on_assets_end_with_the_role_that_they_need(market: Market) -> None:
    id_ = asset(market)
    market.grant("fsp-a", "platform", "READ", "PASSPORT")
    market.update(market.callers["operator"], "organisations", market.callers["platform"].organisation, organisationRoles=["SUPPLIER"])

    assert sees(market, market.as_known(market.callers["platform"]), id_) == set()
    assert market.projected().deviations() == []


def test_an_offer_that_nobody_accepts_makes_nobody_wait(market: Market) -> None:
    before = market.as_known(market.callers["platform"]).since

    market.offer("fsp-a", "platform", "READ")

    assert market.as_known(market.callers["platform"]).since == before


def test_a_delegate_is_not_told_of_assets_that_were_not_granted(market: Market) -> None:
    """C8: neither a friendly code nor a serial number leads it to another asset of its provider."""
    one, other = (market.submit(market.callers["fsp-a"], "assets", battery(serial, friendlyCode=serial)).id for serial in ("S-1", "S-2"))
    market.grant("fsp-a", "platform", "READ", "UPDATE", assets=[one])

    for change in ({"friendlyCode": "S-2"}, {"serialNumber": "S-2"}):
        with pytest.raises((Conflict, Forbidden)) as refusal:
            market.update(market.acting("platform", "fsp-a"), "assets", one, **change)
        assert other not in str(refusal.value) + repr(refusal.value.faults)


def test_suspension_of_either_side_stops_it_and_reinstatement_brings_it_back(market: Market) -> None:
    id_ = asset(market)
    market.grant("fsp-a", "platform", "READ")

    for name in ("fsp-a", "platform"):
        own = market.callers[name].organisation
        market.act(market.callers["operator"], "organisations", own, "suspension")
        assert sees(market, market.as_known(market.callers["platform"]), id_) == set()
        market.act(market.callers["operator"], "organisations", own, "reinstatement")

    assert sees(market, market.as_known(market.callers["platform"]), id_) != set()


# -- the passport


@pytest.mark.parametrize(("permissions", "contacts", "passport"), [((), False, False), (("PASSPORT",), False, True), (("CONTACTS",), True, True)])
def test_contacts_never_go_without_a_grant(market: Market, permissions: tuple[str, ...], contacts: bool, passport: bool) -> None:
    own = market.callers["fsp-a"].organisation
    market.update(market.callers["fsp-a"], "organisations", own, primaryContactEmail="ada@fsp-a.example", vatRegistrationNumber="980780684")
    if permissions:
        market.grant("fsp-a", "fsp-b", *permissions)

    seen = sees(market, market.callers["fsp-b"], own, "organisations")

    assert ("primaryContactEmail" in seen, "vatRegistrationNumber" in seen) == (contacts, passport)
    assert "organisationLegalName" in seen


def test_a_graph_is_never_older_than_the_rights(market: Market) -> None:
    """A12: whoever has lost a right is not shown a graph from before."""
    given = market.grant("fsp-a", "platform", "READ")
    before = market.callers["platform"].since

    receipt = market.act(market.callers["fsp-a"], "delegations", given, "revocation")

    assert before < market.as_known(market.callers["platform"]).since == receipt.index
    assert replace(market.callers["platform"], since=0) == market.callers["platform"]
