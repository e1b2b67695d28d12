"""A person applies for an organisation of its own, and becomes its administrator (UC-01.02, UC-01.01)."""

from __future__ import annotations

from typing import Any

import pytest

from fmar_node.access.caller import Applicant, Caller, applying
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionMissing, Stale
from fmar_node.record import Receipt
from fmar_node.representation import fingerprint
from tests.market import Market, battery, organisation, refused

ADA, EVE = Applicant("https://idp.example|ada", "ada@new.example"), Applicant("https://idp.example|eve", "eve@new.example")
ENTITY = {"organisationType": "OTHER", "organisationRegistrationNumber": "01234567", "countryOfIncorporation": "France"}


def apply(market: Market, who: Applicant = ADA, **changes: Any) -> Receipt:
    document = organisation("New Flex", ["FSP"], **{**ENTITY, **changes})
    return market.submit(applying(who), "organisations", document)


def test_an_application_waits_and_its_applicant_sees_it(market: Market) -> None:
    made = apply(market)

    version = market.current("organisations", made.id)
    assert (version.state, version.document["applicantEmail"]) == ("PENDING_APPROVAL", ADA.email)
    assert version.actor.organisation == ""
    assert market.reader.current("organisations", made.id, applying(ADA)).document["applicant"] == ADA.identity
    for caller in (applying(EVE), market.callers["fsp-a"], Caller()):
        with pytest.raises(NotFound):
            market.reader.current("organisations", made.id, caller)


def test_whoever_applied_becomes_the_administrator(market: Market) -> None:
    made = apply(market)

    receipt = market.act(market.callers["operator"], "organisations", made.id, "approval")

    (user,) = market.register.belonging("users", made.id, ("INVITED",))
    assert (user.document["userEmail"], user.document["userRole"], user.document["userOf"]) == (ADA.email, "ADMINISTRATOR", f"https://node.example/organisations/{made.id}")
    assert user.index == receipt.index + 1
    assert market.register.found("USER_EMAIL", ADA.email) == [user.id]
    assert {"applicant", "applicantEmail"} & market.current("organisations", made.id).document.keys() == set()
    with refused("ORGANISATION-UPDATE-2", as_=Forbidden):  # it is its administrator's from now on
        market.update(applying(ADA), "organisations", made.id, organisationTradingName="Mine")


def test_what_is_approved_is_the_version_that_was_looked_at(market: Market) -> None:
    """An applicant that changes who it is after its evidence was seen is looked at again."""
    made, operator = apply(market), market.callers["operator"]
    seen = fingerprint(market.current("organisations", made.id).document)
    market.update(applying(ADA), "organisations", made.id, organisationLegalName="Somebody Else")

    with pytest.raises(PreconditionMissing):
        market.submit(operator, "organisations", {}, "approval", made.id)
    with pytest.raises(Stale):
        market.submit(operator, "organisations", {}, "approval", made.id, if_match=(seen,))


def test_one_application_at_a_time(market: Market) -> None:
    first = apply(market)

    with refused("APPLICATION_PENDING", as_=Conflict):
        apply(market, organisationRegistrationNumber="7654321")
    market.act(market.callers["operator"], "organisations", first.id, "approval")

    assert apply(market, organisationRegistrationNumber="7654321").number == 1


def test_nobody_applies_to_be_the_operator(market: Market) -> None:
    with refused("ORGANISATION-REGISTER-3", as_=Invalid):
        apply(market, organisationRoles=["FSP", "FMAR_OPERATOR"])


def test_an_applicant_corrects_its_application_but_not_its_roles(market: Market) -> None:
    made = apply(market)

    assert market.update(applying(ADA), "organisations", made.id, organisationTradingName="Newer").number == 2
    with refused("ORGANISATION-UPDATE-3"):
        market.update(applying(ADA), "organisations", made.id, organisationRoles=["FSP", "REGULATOR"])


def test_an_applicant_does_nothing_else(market: Market) -> None:
    made = apply(market)

    for kind, document in (("assets", battery()), ("users", {"type": "User", "userEmail": "x@x.example"}), ("delegations", {"type": "Delegation"})):
        with pytest.raises(Forbidden, match="APPLICANT-1"):
            market.submit(applying(ADA), kind, document)
    with refused("APPLICANT-1", as_=Forbidden):
        market.act(applying(ADA), "organisations", made.id, "approval")


def test_an_application_is_rejected_with_a_reason_and_may_come_again(market: Market) -> None:
    made, operator = apply(market), market.callers["operator"]

    with refused("ORGANISATION-REJECT-4", as_=Invalid):
        market.act(operator, "organisations", made.id, "rejection")
    market.act(operator, "organisations", made.id, "rejection", rejectionReason="no such company")

    version = market.current("organisations", made.id)
    assert (version.state, version.document["rejectionReason"]) == ("WITHDRAWN", "no such company")
    with pytest.raises(NotFound):
        market.reader.current("organisations", made.id, Caller())
    with refused("ORGANISATION-REJECT-3", as_=Conflict):
        market.act(operator, "organisations", made.id, "rejection", rejectionReason="again")
    assert apply(market).number == 1


def test_an_applicant_withdraws_its_own(market: Market) -> None:
    made = apply(market)

    assert market.verdict(market.callers["operator"], "organisations", "rejection", made.id).policy == "ORGANISATION-REJECT-1"
    assert market.verdict(applying(ADA), "organisations", "rejection", made.id).policy == "ORGANISATION-REJECT-2"
    assert market.verdict(market.callers["fsp-a"], "organisations", "rejection", made.id).permitted is False
    with pytest.raises(NotFound):
        market.act(applying(EVE), "organisations", made.id, "rejection")
    market.act(applying(ADA), "organisations", made.id, "rejection")

    assert market.current("organisations", made.id).document["rejectionReason"] == "withdrawn by the applicant"


def test_an_organisation_registers_no_other(market: Market) -> None:
    assert market.verdict(market.callers["operator"], "organisations", "register").policy == "ORGANISATION-REGISTER-1"
    assert market.verdict(applying(ADA), "organisations", "register").policy == "ORGANISATION-REGISTER-2"
    with refused("ORGANISATION-REGISTER-1", as_=Forbidden):
        market.submit(market.callers["fsp-a"], "organisations", organisation("Other", ["FSP"]))


def test_what_an_applicant_registers_twice_with_one_key_is_one(market: Market) -> None:
    document = organisation("New Flex", ["FSP"])

    first = market.submit(applying(ADA), "organisations", document, idempotency="k")
    again = market.submit(applying(ADA), "organisations", document, idempotency="k")

    assert (again.id, again.is_repeat) == (first.id, True)
