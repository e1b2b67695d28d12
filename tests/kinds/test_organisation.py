"""What may happen to an organisation: every policy, state and rule of `kinds/organisation.py`, allowed and refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fmar_node.client import new_key, public_part, thumbprint
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound
from fmar_node.record import Receipt
from tests.market import Market, battery, organisation, refused

NAMED_ACTIONS = ("approval", "suspension", "reinstatement")
OTHERS = ("fsp-b", "dso-east", "neso", "regulator", "platform", "installer")
LEI = "213800KUD8LAJWSQ9D15"
VAT = "980780684"
ABSENT = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
SUSPEND, REINSTATE, LEAVE = "suspension", "reinstatement", "deregistration"


def register(market: Market, name: str = "New", by: str = "operator", roles: tuple[str, ...] = ("FSP",), **changes: Any) -> Receipt:
    return market.submit(market.callers[by], "organisations", organisation(name, list(roles), **changes))


def act(market: Market, by: str, target: str, action: str, **note: Any) -> Receipt:
    """An action by one participant on the record of another (a participant's name, or an id)."""
    id_ = market.callers[target].organisation if target in market.callers else target
    return market.act(market.callers[by], "organisations", id_, action, **note)


def state(market: Market, name: str) -> str:
    return market.current("organisations", market.callers[name].organisation).state


def update(market: Market, by: str, target: str, **changes: Any) -> Receipt:
    return market.update(market.callers[by], "organisations", market.callers[target].organisation, **changes)


def pending(market: Market, name: str = "pending", *roles: str) -> None:
    market.enter(name, register(market, name, roles=roles or ("FSP",)).id)


def jwk() -> str:
    return json.dumps(public_part(new_key()))


def keys(market: Market, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = market.current("organisations", market.callers[name].organisation).document["applicationKey"]
    return found


# -- registration and approval


def test_the_operator_registers_and_approves(market: Market) -> None:
    pending(market)

    assert state(market, "pending") == "PENDING_APPROVAL"
    assert market.verdict(market.callers["operator"], "organisations", "register").policy == "ORGANISATION-REGISTER-1"
    act(market, "operator", "pending", "approval")
    document = market.current("organisations", market.callers["pending"].organisation).document
    assert (document["organisationStatus"], document["fmarOrganisationId"]) == ("ACTIVE", market.callers["pending"].organisation)


@pytest.mark.parametrize("name", ["fsp-a", *OTHERS])
def test_nobody_else_registers(market: Market, name: str) -> None:
    with refused("ORGANISATION-REGISTER-1", as_=Forbidden):
        register(market, by=name)


@pytest.mark.parametrize(("action", "code"), [
    ("approval", "ORGANISATION-APPROVE-1"), (SUSPEND, "ORGANISATION-SUSPEND-1"), (REINSTATE, "ORGANISATION-REINSTATE-1"),
])  # fmt: skip
def test_nobody_but_the_operator_decides_on_an_organisation(market: Market, action: str, code: str) -> None:
    for name in ("fsp-a", *OTHERS):
        with refused(code, as_=Forbidden):
            act(market, name, "fsp-a", action)
    assert market.verdict(market.callers["operator"], "organisations", action, market.callers["fsp-a"].organisation).policy == code


def test_who_waits_is_seen_by_the_operator_alone(market: Market) -> None:
    pending(market)

    for name in ("fsp-a", "dso-east", "pending"):
        with pytest.raises(NotFound):
            act(market, name, "pending", "approval")


def test_the_states_follow_each_other(market: Market) -> None:
    pending(market)
    seen = []

    for action in ("approval", SUSPEND, REINSTATE, SUSPEND, LEAVE):
        act(market, "operator", "pending", action)
        seen.append(state(market, "pending"))

    assert seen == ["ACTIVE", "SUSPENDED", "ACTIVE", "SUSPENDED", "WITHDRAWN"]


@pytest.mark.parametrize(("path", "refusals"), [
    ((), {SUSPEND: "ORGANISATION-SUSPEND-2", REINSTATE: "ORGANISATION-REINSTATE-2", LEAVE: "ORGANISATION-DEREGISTER-3"}),
    (("approval",), {"approval": "ORGANISATION-APPROVE-2", REINSTATE: "ORGANISATION-REINSTATE-2"}),
    (("approval", SUSPEND), {"approval": "ORGANISATION-APPROVE-2", SUSPEND: "ORGANISATION-SUSPEND-2"}),
    (("approval", LEAVE), {
        "approval": "ORGANISATION-APPROVE-2", SUSPEND: "ORGANISATION-SUSPEND-2",
        REINSTATE: "ORGANISATION-REINSTATE-2", LEAVE: "ORGANISATION-DEREGISTER-3",
    }),
])  # fmt: skip
def test_no_other_step_is_taken(market: Market, path: tuple[str, ...], refusals: dict[str, str]) -> None:
    pending(market)
    for action in path:
        act(market, "operator", "pending", action)

    for action, code in refusals.items():
        with refused(code, as_=Conflict):
            act(market, "operator", "pending", action)


def test_a_named_action_takes_no_terms(market: Market) -> None:
    pending(market)

    with refused("unknown-term", as_=Invalid):
        act(market, "operator", "pending", "approval", organisationLegalName="Other")


def test_a_named_action_keeps_the_warnings_of_the_document(market: Market) -> None:
    receipt = register(market, primaryMobileNumber="+447700900000", primaryMobileNumberCountryCode="+33")
    before = market.current("organisations", receipt.id).document["warning"]

    act(market, "operator", receipt.id, "approval")

    assert [each["rule"] for each in before] == ["Organisation.primaryMobileNumberCountryCode"]
    assert market.current("organisations", receipt.id).document["warning"] == before


# -- one record per legal entity


ENTITY = {"organisationType": "LTD", "organisationTypeDescription": None, "organisationRegistrationNumber": "01234567"}


@pytest.mark.parametrize(("first", "second"), [
    (ENTITY, ENTITY),
    (ENTITY, {**ENTITY, "countryOfIncorporation": "United Kingdom"}),
    ({"vatRegistrationNumber": VAT}, {"vatRegistrationNumber": "GB" + VAT}),
    ({"alias": [{"scheme": "LEI", "value": LEI}]}, {"alias": [{"scheme": "LEI", "value": LEI}]}),
])  # fmt: skip
def test_a_legal_entity_is_registered_once(market: Market, first: dict[str, Any], second: dict[str, Any]) -> None:
    known = register(market, "Quiet Ltd", **first)

    with refused("ORG_ALREADY_REGISTERED", as_=Conflict) as refusal:
        register(market, "Loud Ltd", **second)

    told = repr([fault.as_json() for fault in refusal.value.faults]) + str(refusal.value)
    assert known.id not in told
    assert "Quiet" not in told


@pytest.mark.parametrize("other", [
    {**ENTITY, "organisationRegistrationNumber": "01234568"},
    {"organisationRegistrationNumber": "01234567", "countryOfIncorporation": "France"},
    {},
])  # fmt: skip
def test_another_legal_entity_is_another_one(market: Market, other: dict[str, Any]) -> None:
    register(market, "First", **ENTITY)

    assert register(market, "Second", **other).number == 1


def test_an_update_cannot_take_the_identity_of_another_entity(market: Market) -> None:
    register(market, "First", vatRegistrationNumber=VAT)

    with refused("ORG_ALREADY_REGISTERED", as_=Conflict):
        update(market, "fsp-a", "fsp-a", vatRegistrationNumber=VAT)
    assert update(market, "fsp-a", "fsp-a", vatRegistrationNumber="GB333289454").number == 3


def test_an_entity_that_left_does_not_come_back_as_another_record(market: Market) -> None:
    market.join("leaver", "FSP", vatRegistrationNumber=VAT)
    act(market, "operator", "leaver", LEAVE)

    with refused("ORG_ALREADY_REGISTERED", as_=Conflict):
        register(market, "Again", vatRegistrationNumber=VAT)


def test_a_vat_number_has_its_check_digits(market: Market) -> None:
    with refused("Organisation.vatRegistrationNumber-digits", as_=Invalid):
        register(market, vatRegistrationNumber="802311781")

    assert register(market, vatRegistrationNumber=VAT).number == 1
    assert register(market, "Abroad", vatRegistrationNumber="802311781", countryOfIncorporation="France").number == 1


@pytest.mark.parametrize(("number", "code"), [
    ("primaryMobileNumber", "primaryMobileNumberCountryCode"),
    ("secondaryContactMobileNumber", "secondaryContactMobileNumberCountryCode"),
    ("technicalItMobileNumber", "countryCode"),
])  # fmt: skip
def test_a_mobile_number_of_another_country_code_is_warned_of(market: Market, number: str, code: str) -> None:
    warned = register(market, "Warned", **{number: "+447700900000", code: "+33"})
    quiet = register(market, "Quiet", **{number: "+447700900000", code: "+44"})

    assert [each["rule"] for each in market.current("organisations", warned.id).document["warning"]] == [f"Organisation.{code}"]
    assert "warning" not in market.current("organisations", quiet.id).document


def test_a_british_company_is_incorporated_in_the_united_kingdom(market: Market) -> None:
    british = market.current("organisations", register(market, "British", **ENTITY).id).document
    other = market.current("organisations", register(market, "Other").id).document

    assert (british["countryOfIncorporation"], british["defaulted"]) == ("United Kingdom", ["countryOfIncorporation"])
    assert "countryOfIncorporation" not in other


# -- licence areas


@pytest.mark.parametrize(("roles", "areas"), [(("DNO",), None), (("FSP",), ["UKPN_EPN"]), (("FSP", "REGULATOR"), ["ENWL", "UKPN_EPN"])])
def test_licence_areas_go_with_the_role_of_a_network_operator(market: Market, roles: tuple[str, ...], areas: list[str] | None) -> None:
    with refused("Organisation.licenceArea", as_=Invalid):
        register(market, roles=roles, licenceArea=areas)

    assert register(market, roles=("DNO",), licenceArea=["ENWL", "UKPN_EPN"]).number == 1


def test_a_network_operator_keeps_an_area_as_long_as_it_is_one(market: Market) -> None:
    with refused("Organisation.licenceArea"):
        update(market, "operator", "dso-east", licenceArea=None)
    with refused("Organisation.licenceArea"):
        update(market, "operator", "dso-east", organisationRoles=["SUPPLIER"])

    assert update(market, "operator", "dso-east", organisationRoles=["SUPPLIER"], licenceArea=None).number == 3


# -- updates


def test_the_passport_is_changed_by_its_organisation_or_the_operator(market: Market) -> None:
    own = market.callers["fsp-a"].organisation

    assert market.verdict(market.callers["operator"], "organisations", "update", own).policy == "ORGANISATION-UPDATE-1"
    assert market.verdict(market.callers["fsp-a"], "organisations", "update", own).policy == "ORGANISATION-UPDATE-2"
    assert update(market, "fsp-a", "fsp-a", organisationTradingName="A").number == 3
    assert update(market, "operator", "fsp-a", organisationTradingName="B").number == 4


@pytest.mark.parametrize("name", OTHERS)
def test_nobody_else_changes_a_passport(market: Market, name: str) -> None:
    with refused("ORGANISATION-UPDATE-2", as_=Forbidden):
        update(market, name, "fsp-a", organisationTradingName="Mine")


def test_a_suspended_organisation_changes_nothing_of_its_own(market: Market) -> None:
    act(market, "operator", "fsp-a", SUSPEND)

    with refused("ORGANISATION-UPDATE-2", as_=Forbidden):
        update(market, "fsp-a", "fsp-a", organisationTradingName="Mine")
    with refused("ORGANISATION-DEREGISTER-2", as_=Forbidden):
        act(market, "fsp-a", "fsp-a", LEAVE)
    with refused("ORGANISATION-KEY-2", as_=Forbidden):
        act(market, "fsp-a", "fsp-a", "key-registration", clientId="c", publicKey=jwk())


@pytest.mark.parametrize(("name", "change"), [
    ("fsp-a", {"organisationRoles": ["FSP", "FMAR_OPERATOR"]}),
    ("fsp-a", {"organisationRoles": ["FSP", "OTHER"], "organisationRolesDescription": "more"}),
    ("dso-east", {"licenceArea": ["UKPN_EPN", "UKPN_LPN", "UKPN_SPN"]}),
])  # fmt: skip
def test_roles_and_areas_are_given_by_the_operator(market: Market, name: str, change: dict[str, Any]) -> None:
    with refused("ORGANISATION-UPDATE-3", as_=Invalid):
        update(market, name, name, **change)

    assert update(market, "operator", name, **change).number == 3


def test_a_name_in_a_directory_is_entered_and_taken_away_by_the_operator(market: Market) -> None:
    """Whose alias it is, for that one the tokens of an external issuer speak."""
    named, lei = {"scheme": "DIRECTORY", "value": "org-7"}, {"scheme": "LEI", "value": LEI}
    with refused("ORGANISATION-UPDATE-3", as_=Invalid):
        update(market, "fsp-a", "fsp-a", alias=[named])
    update(market, "operator", "fsp-a", alias=[named])

    for alias in (None, [], [{**named, "value": "org-8"}], [{**named, "validTo": "2030-01-01"}], [named, {**named, "value": "org-8"}]):
        with refused("ORGANISATION-UPDATE-3", as_=Invalid):
            update(market, "fsp-a", "fsp-a", alias=alias)

    assert update(market, "fsp-a", "fsp-a", alias=[named, lei]).number == 4
    assert update(market, "operator", "fsp-a", alias=[lei]).number == 5


def test_a_name_in_a_directory_is_one_organisations(market: Market) -> None:
    update(market, "operator", "fsp-a", alias=[{"scheme": "DIRECTORY", "value": "Org-7"}])

    for value in ("Org-7", "org-7"):
        with refused("ORG_ALREADY_REGISTERED", as_=Conflict):
            update(market, "operator", "fsp-b", alias=[{"scheme": "DIRECTORY", "value": value}])
    act(market, "operator", "fsp-a", "deregistration")
    assert update(market, "operator", "fsp-b", alias=[{"scheme": "DIRECTORY", "value": "Org-7"}])


@pytest.mark.parametrize("change", [{"organisationStatus": "SUSPENDED"}, {"fmarOrganisationId": ABSENT}, {"registeredAt": "2020-01-01T00:00:00Z"}])
def test_nobody_sets_what_the_node_sets(market: Market, change: dict[str, str]) -> None:
    for name in ("fsp-a", "operator"):
        with refused("server-set", as_=Invalid):
            update(market, name, "fsp-a", **change)


def test_keys_are_not_changed_by_an_update(market: Market) -> None:
    act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=jwk())
    (key,) = keys(market, "fsp-a")

    for changed in ([{**key, "keyStatus": "REVOKED"}], [key, {**key, "id": None, "clientId": "other"}]):
        with refused("server-set", as_=Invalid):
            update(market, "fsp-a", "fsp-a", applicationKey=changed)
    assert update(market, "fsp-a", "fsp-a", applicationKey=None, organisationTradingName="A").number == 4
    assert keys(market, "fsp-a") == [key]


@pytest.mark.parametrize("path", [(), ("approval",), ("approval", SUSPEND)])
def test_the_operator_changes_whoever_has_not_left(market: Market, path: tuple[str, ...]) -> None:
    pending(market)
    for action in path:
        act(market, "operator", "pending", action)

    assert update(market, "operator", "pending", organisationTradingName="Changed").number == len(path) + 2


def test_who_has_left_is_not_changed(market: Market) -> None:
    act(market, "operator", "fsp-a", LEAVE)

    with refused("ORGANISATION-UPDATE-4", as_=Conflict):
        update(market, "operator", "fsp-a", organisationTradingName="Changed")


# -- de-registration


@pytest.mark.parametrize(("name", "policy"), [("operator", "ORGANISATION-DEREGISTER-1"), ("fsp-a", "ORGANISATION-DEREGISTER-2")])
def test_an_organisation_leaves_by_itself_or_by_the_operator(market: Market, name: str, policy: str) -> None:
    verdict = market.verdict(market.callers[name], "organisations", LEAVE, market.callers["fsp-a"].organisation)

    act(market, name, "fsp-a", LEAVE)

    assert (verdict.permitted, verdict.policy) == (True, policy)
    assert state(market, "fsp-a") == "WITHDRAWN"


@pytest.mark.parametrize("name", OTHERS)
def test_nobody_else_deregisters_an_organisation(market: Market, name: str) -> None:
    with refused("ORGANISATION-DEREGISTER-2", as_=Forbidden):
        act(market, name, "fsp-a", LEAVE)


@pytest.mark.parametrize("relation", ["manager", "owner"])
def test_live_assets_stand_in_the_way_and_are_counted(market: Market, relation: str) -> None:
    own = {"owner": f"organisations/{market.callers['fsp-a'].organisation}", "ownerName": None, "justification": None}
    manager = "fsp-a" if relation == "manager" else "fsp-b"
    made = [market.submit(market.callers[manager], "assets", battery(serial, **own)) for serial in ("S-1", "S-2")]

    with refused("LIVE_ASSETS", as_=Conflict) as refusal:
        act(market, "operator", "fsp-a", LEAVE)
    for receipt in made:
        market.act(market.callers[manager], "assets", receipt.id, LEAVE, deregistrationReason="ERROR")

    assert refusal.value.faults[0].message.startswith("2 live assets")
    assert act(market, "operator", "fsp-a", LEAVE).number == 3


def test_an_operator_does_not_put_itself_out(market: Market) -> None:
    for action in (SUSPEND, LEAVE):
        with refused("ORGANISATION-OPERATOR-1", as_=Conflict):
            act(market, "operator", "operator", action)
    with refused("ORGANISATION-OPERATOR-1"):
        update(market, "operator", "operator", organisationRoles=["SUPPLIER"])

    market.join("second", "FMAR_OPERATOR")
    assert update(market, "operator", "operator", organisationRoles=["FMAR_OPERATOR", "SUPPLIER"]).number == 2
    assert act(market, "second", "operator", SUSPEND).number == 3


# -- keys


@pytest.mark.parametrize(("name", "policy"), [("operator", "ORGANISATION-KEY-1"), ("fsp-a", "ORGANISATION-KEY-2")])
def test_keys_are_registered_by_their_organisation_or_the_operator(market: Market, name: str, policy: str) -> None:
    for action in ("key-registration", "key-revocation"):
        assert market.verdict(market.callers[name], "organisations", action, market.callers["fsp-a"].organisation).policy == policy

    private = new_key()
    act(market, name, "fsp-a", "key-registration", clientId="app", publicKey=json.dumps(public_part(private)))

    (key,) = keys(market, "fsp-a")
    assert (key["clientId"], key["applicationName"], key["keyStatus"], key["keyId"]) == ("app", "app", "ACTIVE", thumbprint(public_part(private)))


@pytest.mark.parametrize("name", OTHERS)
def test_nobody_else_registers_a_key(market: Market, name: str) -> None:
    for action in ("key-registration", "key-revocation"):
        with refused("ORGANISATION-KEY-2", as_=Forbidden):
            act(market, name, "fsp-a", action, clientId="app", publicKey=jwk())


@pytest.mark.parametrize("text", [
    "not json", "[]", "5", "null", "[" * 4_000, "{}",
    '{"kty": "oct", "k": "c2VjcmV0"}',
    json.dumps(new_key()),
    json.dumps({**public_part(new_key()), "crv": "P-521"}),
])  # fmt: skip
def test_a_key_of_another_form_is_refused(market: Market, text: str) -> None:
    with refused("ORGANISATION-KEY-3", as_=Invalid) as refusal:
        act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=text)

    assert refusal.value.faults[0].pointer == "/publicKey"


def test_a_key_comes_with_its_application(market: Market) -> None:
    with refused("ORGANISATION-KEY-3", as_=Invalid) as refusal:
        act(market, "fsp-a", "fsp-a", "key-registration")

    assert [fault.pointer for fault in refusal.value.faults] == ["/clientId", "/publicKey"]


def test_a_key_belongs_to_one_application_of_one_organisation(market: Market) -> None:
    known = jwk()
    act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=known)

    for name, client, text in (("fsp-a", "app", known), ("fsp-a", "other", known), ("fsp-b", "other", known), ("fsp-b", "app", jwk())):
        with refused("ORGANISATION-KEY-4", as_=Conflict):
            act(market, name, name, "key-registration", clientId=client, publicKey=text)
    assert act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=jwk()).number == 4


def test_a_revoked_key_does_not_come_back(market: Market) -> None:
    known = jwk()
    act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=known)
    act(market, "fsp-a", "fsp-a", "key-revocation", clientId="app")

    with refused("ORGANISATION-KEY-4", as_=Conflict):
        act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=known)


def test_one_key_is_revoked_and_its_neighbour_stays(market: Market) -> None:
    for _ in range(2):
        act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=jwk())
    first, second = keys(market, "fsp-a")

    act(market, "fsp-a", "fsp-a", "key-revocation", clientId="app", keyId=first["keyId"])

    assert [key["keyStatus"] for key in keys(market, "fsp-a")] == ["REVOKED", "ACTIVE"]
    active = {key["keyId"]: market.register.application_key("app", key["keyId"])["is_active"] for key in (first, second)}
    assert active == {first["keyId"]: 0, second["keyId"]: 1}


def test_all_keys_of_an_application_are_revoked_at_once(market: Market) -> None:
    for client in ("app", "app", "other"):
        act(market, "fsp-a", "fsp-a", "key-registration", clientId=client, publicKey=jwk())

    act(market, "operator", "fsp-a", "key-revocation", clientId="app")

    assert [(key["clientId"], key["keyStatus"]) for key in keys(market, "fsp-a")] == [("app", "REVOKED"), ("app", "REVOKED"), ("other", "ACTIVE")]


@pytest.mark.parametrize("note", [{}, {"clientId": "other"}, {"clientId": "app", "keyId": "x"}, {"keyId": "x"}])
def test_a_key_that_is_not_there_is_not_revoked(market: Market, note: dict[str, str]) -> None:
    act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=jwk())

    with refused("ORGANISATION-KEY-5", as_=Invalid):
        act(market, "fsp-a", "fsp-a", "key-revocation", **note)


def test_keys_are_for_those_who_are_admitted(market: Market) -> None:
    pending(market)
    act(market, "operator", "fsp-b", LEAVE)

    for name in ("pending", "fsp-b"):
        with refused("ORGANISATION-KEY-6", as_=Conflict):
            act(market, "operator", name, "key-registration", clientId="app", publicKey=jwk())
    with refused("ORGANISATION-KEY-7", as_=Conflict):
        act(market, "operator", "pending", "key-revocation", clientId="app")
    act(market, "operator", "fsp-a", SUSPEND)
    assert act(market, "operator", "fsp-a", "key-registration", clientId="app", publicKey=jwk()).number == 4


def test_leaving_takes_every_key_away_in_the_same_entry(market: Market) -> None:
    act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=jwk())

    act(market, "fsp-a", "fsp-a", LEAVE)

    assert [key["keyStatus"] for key in keys(market, "fsp-a")] == ["REVOKED"]
    assert market.register.application_key("app", None)["is_active"] == 0


def test_a_suspended_organisation_keeps_its_keys_to_read_with(market: Market) -> None:
    act(market, "fsp-a", "fsp-a", "key-registration", clientId="app", publicKey=jwk())

    act(market, "operator", "fsp-a", SUSPEND)

    assert market.register.application_key("app", None)["is_active"] == 1


def test_the_last_key_of_an_operator_stays(market: Market) -> None:
    with refused("ORGANISATION-OPERATOR-2"):
        act(market, "operator", "operator", "key-revocation", clientId="operator")

    (first,) = keys(market, "operator")
    act(market, "operator", "operator", "key-registration", clientId="operator", publicKey=jwk())
    with refused("ORGANISATION-OPERATOR-2"):
        act(market, "operator", "operator", "key-revocation", clientId="operator")
    assert act(market, "operator", "operator", "key-revocation", clientId="operator", keyId=first["keyId"]).number == 3


def test_an_operator_without_keys_has_none_to_lose(market: Market) -> None:
    market.join("second", "FMAR_OPERATOR")

    with refused("ORGANISATION-KEY-5", as_=Invalid):
        act(market, "operator", "second", "key-revocation", clientId="app")


# -- leaving while assets depend on it


def test_the_operator_may_take_a_provider_out_and_its_assets_wait_for_another(market: Market) -> None:
    ids = [market.submit(market.callers["fsp-a"], "assets", battery(f"S-{number}")).id for number in range(3)]
    others = market.submit(market.callers["fsp-b"], "assets", battery("T-1", owner=market.iri("fsp-a"), ownerName=None)).id

    with refused("LIVE_ASSETS", as_=Conflict):
        act(market, "operator", "fsp-a", LEAVE)
    with refused("ORGANISATION-DEREGISTER-4"):
        act(market, "fsp-a", "fsp-a", LEAVE, forced=True)
    receipt = act(market, "operator", "fsp-a", LEAVE, forced=True)

    waiting = [market.current("assets", id_) for id_ in ids]
    causes = {row[0] for row in market.register.connection.execute("SELECT cause FROM entry WHERE idx > ?", (receipt.index,))}
    assert {version.state for version in waiting} == {"AWAITING_NEW_FSP"}
    assert market.current("assets", others).state == "PENDING_VALIDATION"
    assert causes == {receipt.index}
    assert market.current("organisations", receipt.id).document["forced"] is True
    with refused("ASSET-ORPHAN-2", as_=Conflict):
        market.act(market.node(), "assets", ids[0], "orphaning")


def test_no_more_assets_lose_their_provider_at_once_than_a_transaction_takes(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fmar_node.kinds.organisation.MOST_ORPHANS", 1)
    for number in range(2):
        market.submit(market.callers["fsp-a"], "assets", battery(f"S-{number}"))

    with refused("LIVE_ASSETS", as_=Conflict):
        act(market, "operator", "fsp-a", LEAVE, forced=True)
