"""Who an organisation is: what is asked, what is approved, what counts as evidence; and the spelling of what identifies it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fmar_node.access.caller import ANONYMOUS, Caller, node_itself
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound, Severity, Stale
from fmar_node.foundation import FOUNDER
from fmar_node.kinds import KINDS, House
from fmar_node.record import Receipt
from fmar_node.representation import fingerprint
from fmar_node.settings import COMPANIES_REGISTER, Settings
from fmar_node.vocabulary import Document
from tests.market import BASE, Market, battery, organisation, refused

COMPANY = {"organisationType": "LTD", "organisationTypeDescription": None, "organisationRegistrationNumber": "99000200"}
NODE = node_itself(COMPANIES_REGISTER)
AGREES = {"identityStatus": "CONFIRMED", "identityEvidence": [
    {"evidenceKind": COMPANIES_REGISTER, "checkedAt": "2026-12-01T12:00:00.000Z", "evidenceField": "organisationLegalName", "evidenceOutcome": "AGREES"},
]}  # fmt: skip
DIFFERS = {"identityStatus": "QUERY", "identityEvidence": [
    {**AGREES["identityEvidence"][0], "evidenceOutcome": "DIFFERS", "comparedWith": "OTHER LTD"},  # type: ignore[dict-item]
]}  # fmt: skip
SEEN = {"evidenceKind": "FOREIGN_REGISTER", "evidenceReference": "Handelsregister Berlin, HRB 990002"}


@pytest.fixture
def asking(market: Market) -> Market:
    """A market whose node has a companies register."""
    market.house = House(frozenset({COMPANIES_REGISTER}))
    return market


def register(market: Market, name: str = "Windmill Flex Ltd", **changes: Any) -> str:
    """A new organisation, a British company unless the changes say otherwise; its id."""
    document = organisation(name, ["FSP"], **{**COMPANY, **changes})
    return market.submit(market.callers["operator"], "organisations", document).id


def answer(market: Market, id_: str, note: Document, caller: Caller = NODE, about: str | None = "now") -> Receipt:
    """What a source has answered, as the node enters it, about the version that it is told of."""
    basis = fingerprint(market.current("organisations", id_).document) if about == "now" else about
    body = json.dumps(note).encode()
    submission = Submission(caller, "organisations", "verification", id_, BASE, "application/ld+json", body, None if basis is None else (basis,))
    return market.run(submission)


def act(market: Market, id_: str, action: str, by: str = "operator", **note: Any) -> Receipt:
    return market.act(market.callers[by], "organisations", id_, action, **note)


def change(market: Market, id_: str, by: str = "operator", **changes: Any) -> Receipt:
    return market.update(market.callers[by], "organisations", id_, **changes)


def document(market: Market, id_: str) -> Document:
    return market.current("organisations", id_).document


def status(market: Market, id_: str) -> tuple[str, str]:
    found = document(market, id_)
    return found["organisationStatus"], found["identityStatus"]


# -- who is asked


def test_a_british_company_is_asked_of_the_register(asking: Market) -> None:
    for place, type_ in enumerate(("LTD", "PLC", "LLP")):
        id_ = register(asking, organisationType=type_, organisationRegistrationNumber=f"{99000300 + place}")
        assert status(asking, id_) == ("PENDING_APPROVAL", "PENDING")


def test_without_a_register_nobody_is_asked(market: Market) -> None:
    assert status(market, register(market)) == ("PENDING_APPROVAL", "NOT_CHECKED")


ELSE: list[dict[str, Any]] = [
    {"organisationType": "SOLE_TRADER"}, {"organisationType": "PARTNERSHIP"}, {"organisationType": "CHARITY"},
    {"organisationType": "PUBLIC_AUTHORITY"}, {"organisationType": "GOVERNMENT_DEPARTMENT"},
    {"organisationType": "OTHER", "organisationTypeDescription": "a club"},
    {"organisationType": "NON_UK", "nonUkCompanyName": "Wind GmbH", "nonUkCompanyBusinessType": "GmbH"},
    {"countryOfIncorporation": "Ireland"}, {"organisationRegistrationNumber": None},
]  # fmt: skip


def test_everybody_else_goes_another_way(asking: Market) -> None:
    for place, changes in enumerate(ELSE):
        id_ = register(asking, **{"organisationRegistrationNumber": f"{99000300 + place}", **changes})

        assert status(asking, id_) == ("PENDING_APPROVAL", "NOT_CHECKED")
        act(asking, id_, "approval")
        assert status(asking, id_) == ("ACTIVE", "NOT_CHECKED")


# -- approval


def test_nobody_is_approved_while_the_register_is_asked(asking: Market) -> None:
    id_ = register(asking)

    for note in ({}, {"approvalReason": "known for years"}):
        with refused("ORGANISATION-APPROVE-3", as_=Conflict) as refusal:
            act(asking, id_, "approval", **note)

    assert "is being asked" in refusal.value.detail
    answer(asking, id_, AGREES)
    act(asking, id_, "approval")
    assert status(asking, id_) == ("ACTIVE", "CONFIRMED")


def test_whom_the_register_queries_is_approved_with_a_reason(asking: Market) -> None:
    id_ = register(asking)
    answer(asking, id_, DIFFERS)

    with refused("ORGANISATION-APPROVE-3", as_=Conflict) as refusal:
        act(asking, id_, "approval")
    act(asking, id_, "approval", approvalReason="the change of its name is under way")

    assert "organisationLegalName" in refusal.value.detail
    assert status(asking, id_) == ("ACTIVE", "QUERY")
    assert document(asking, id_)["approvalReason"] == "the change of its name is under way"


def test_a_question_that_nobody_asks_any_more_does_not_stand_in_the_way(asking: Market) -> None:
    id_ = register(asking)
    asking.house = House()

    act(asking, id_, "approval")

    assert status(asking, id_) == ("ACTIVE", "PENDING")


# -- answers


def test_an_answer_is_kept_with_all_that_was_compared(asking: Market) -> None:
    id_ = register(asking)

    answer(asking, id_, DIFFERS)

    assert status(asking, id_) == ("PENDING_APPROVAL", "QUERY")
    (fact,) = document(asking, id_)["identityEvidence"]
    assert fact == {
        "id": f"{BASE}/organisations/{id_}#identityEvidence-1", "type": "IdentityEvidence", "evidenceKind": COMPANIES_REGISTER,
        "checkedAt": "2026-12-01T12:00:00.000Z", "evidenceField": "organisationLegalName", "evidenceOutcome": "DIFFERS", "comparedWith": "OTHER LTD",
    }  # fmt: skip


def test_an_answer_is_the_nodes_own_entry(asking: Market) -> None:
    id_ = register(asking)

    answer(asking, id_, AGREES)

    version = asking.current("organisations", id_)
    assert (version.actor.organisation, version.actor.application, version.action) == ("", COMPANIES_REGISTER, "verification")
    assert "recordedBy" not in version.document
    act(asking, id_, "approval")
    assert document(asking, id_)["recordedBy"] == f"{BASE}/organisations/{asking.callers['operator'].organisation}"


def test_nobody_but_the_node_enters_an_answer(asking: Market) -> None:
    id_ = asking.callers["fsp-a"].organisation

    for caller in asking.callers.values():
        with refused("NODE-1", as_=Forbidden):
            answer(asking, id_, AGREES, caller)
    with pytest.raises(NotFound):
        answer(asking, register(asking), AGREES, ANONYMOUS)
    assert asking.verdict(NODE, "organisations", "verification", id_).policy == "NODE-1"


def test_a_credential_never_makes_the_node(asking: Market) -> None:
    callers = [ANONYMOUS, FOUNDER, Caller(), *asking.callers.values(), Caller(organisation="0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", application="x")]

    assert [caller for caller in callers if caller.is_node or asking.as_known(caller).is_node] == []


def test_the_node_does_nothing_else_that_way(asking: Market) -> None:
    for action in KINDS["organisations"].actions.keys() - {"verification", "register"}:
        with pytest.raises(Forbidden):
            asking.submit(NODE, "organisations", {}, action, asking.callers["fsp-a"].organisation, if_match=("*",))
    with pytest.raises(Forbidden):
        asking.submit(NODE, "organisations", organisation("New", ["FSP"]))
    with pytest.raises(Forbidden):
        asking.submit(NODE, "assets", battery())


def test_an_answer_about_an_earlier_version_is_dropped(asking: Market) -> None:
    id_ = register(asking)
    asked_about = fingerprint(document(asking, id_))
    change(asking, id_, organisationTradingName="Windy")

    with pytest.raises(Stale):
        answer(asking, id_, AGREES, about=asked_about)

    assert status(asking, id_) == ("PENDING_APPROVAL", "PENDING")


def test_an_answer_that_is_not_waited_for_is_dropped(asking: Market) -> None:
    id_ = register(asking)
    answer(asking, id_, AGREES)

    with refused("ORGANISATION-VERIFY-2", as_=Conflict):
        answer(asking, id_, DIFFERS)


def test_who_has_left_is_not_verified(asking: Market) -> None:
    id_ = register(asking)
    answer(asking, id_, AGREES)
    act(asking, id_, "approval")
    change(asking, id_, organisationLegalName="Windmill Flexibility Ltd")
    act(asking, id_, "deregistration")

    with refused("ORGANISATION-VERIFY-3", as_=Conflict):
        answer(asking, id_, AGREES)
    with refused("ORGANISATION-EVIDENCE-3", as_=Conflict):
        act(asking, id_, "evidence", **SEEN)


# -- a changed identity


@pytest.mark.parametrize("changes", [
    {"organisationLegalName": "Windmill Flexibility Ltd"}, {"organisationRegistrationNumber": "99000201"}, {"organisationType": "PLC"},
    {"yearOfRegistration": 2019, "yearOfRegistrationBasis": "NATIONAL"},
])  # fmt: skip
def test_a_changed_identity_is_asked_again_and_its_organisation_stays_in(asking: Market, changes: dict[str, Any]) -> None:
    id_ = register(asking)
    answer(asking, id_, AGREES)
    act(asking, id_, "approval")

    change(asking, id_, **changes)

    assert status(asking, id_) == ("ACTIVE", "PENDING")
    assert "identityEvidence" not in document(asking, id_)
    answer(asking, id_, DIFFERS)
    assert status(asking, id_) == ("ACTIVE", "QUERY")


def test_an_organisation_changes_its_own_name_and_is_asked_again(asking: Market) -> None:
    asking.house = House()
    asking.join("windmill", "FSP", **COMPANY)
    asking.house = House(frozenset({COMPANIES_REGISTER}))
    id_ = asking.callers["windmill"].organisation

    change(asking, id_, "windmill", organisationLegalName="Windmill Flexibility Ltd")

    assert status(asking, id_) == ("ACTIVE", "PENDING")


def test_whatever_else_changes_leaves_what_is_known(asking: Market) -> None:
    id_ = register(asking)
    answer(asking, id_, AGREES)

    change(asking, id_, organisationTradingName="Windy")

    assert status(asking, id_) == ("PENDING_APPROVAL", "CONFIRMED")
    assert len(document(asking, id_)["identityEvidence"]) == 1


def test_a_company_that_moves_abroad_is_not_asked_any_more(asking: Market) -> None:
    id_ = register(asking)

    change(asking, id_, countryOfIncorporation="Ireland")

    assert status(asking, id_) == ("PENDING_APPROVAL", "NOT_CHECKED")


@pytest.mark.parametrize("changed", [{"identityStatus": "CONFIRMED"}, {"identityEvidence": AGREES["identityEvidence"]}, {"approvalReason": "mine"}])
def test_nobody_writes_its_own_identity(asking: Market, changed: dict[str, Any]) -> None:
    for name in ("fsp-a", "operator"):
        with refused("server-set", as_=Invalid):
            change(asking, asking.callers["fsp-a"].organisation, name, **changed)


# -- evidence


def test_the_operator_records_what_it_has_seen(asking: Market) -> None:
    id_ = register(asking, organisationType="NON_UK", nonUkCompanyName="Wind GmbH", nonUkCompanyBusinessType="GmbH", countryOfIncorporation="Germany")

    act(asking, id_, "evidence", **SEEN)
    act(asking, id_, "evidence", evidenceKind="OTHER", evidenceReference="a call to its notary")

    assert status(asking, id_) == ("PENDING_APPROVAL", "CONFIRMED")
    first, second = document(asking, id_)["identityEvidence"]
    assert {term: first[term] for term in SEEN} == SEEN
    assert (first["evidenceOutcome"], second["id"]) == ("AGREES", f"{BASE}/organisations/{id_}#identityEvidence-2")


@pytest.mark.parametrize("note", [None, DIFFERS])
def test_its_word_is_enough_where_a_source_is_silent_or_queries(asking: Market, note: Document | None) -> None:
    id_ = register(asking)
    if note:
        answer(asking, id_, note)

    act(asking, id_, "evidence", **{**SEEN, "evidenceKind": COMPANIES_REGISTER})
    act(asking, id_, "approval")

    assert status(asking, id_) == ("ACTIVE", "CONFIRMED")


def test_nobody_else_records_evidence(asking: Market) -> None:
    id_ = asking.callers["fsp-a"].organisation

    for name in asking.callers.keys() - {"operator"}:
        with refused("ORGANISATION-EVIDENCE-1", as_=Forbidden):
            act(asking, id_, "evidence", name, **SEEN)
    assert asking.verdict(asking.callers["operator"], "organisations", "evidence", id_).policy == "ORGANISATION-EVIDENCE-1"


@pytest.mark.parametrize("missing", sorted(SEEN))
def test_evidence_says_what_it_is_and_where(asking: Market, missing: str) -> None:
    with refused("ORGANISATION-EVIDENCE-2", as_=Invalid):
        act(asking, register(asking), "evidence", **{term: value for term, value in SEEN.items() if term != missing})
    with refused("literal-ill-formed", as_=Invalid):
        act(asking, register(asking, organisationRegistrationNumber="99000201"), "evidence", **{**SEEN, "evidenceKind": "HEARSAY"})


def test_evidence_is_shown_to_its_organisation_and_the_operator_alone(market: Market) -> None:
    id_ = market.callers["fsp-a"].organisation
    act(market, id_, "evidence", **SEEN)

    seen = {name for name, caller in market.callers.items() if "identityEvidence" in market.reader.current("organisations", id_, caller).document}

    assert seen == {"operator", "fsp-a"}


def test_a_reference_may_be_a_persons_and_is_erased_with_what_is(market: Market) -> None:
    id_ = market.callers["fsp-a"].organisation
    act(market, id_, "evidence", evidenceKind="IDENTITY_DOCUMENT", evidenceReference="passport 990002000")

    act(market, id_, "erasure", erasureReason="REQUEST")

    assert [version.document for version in market.register.versions("organisations", id_) if "990002000" in json.dumps(version.document)] == []
    assert status(market, id_) == ("ACTIVE", "CONFIRMED")


def test_the_operator_finds_who_is_queried(asking: Market) -> None:
    pending, queried = register(asking), register(asking, organisationRegistrationNumber="99000201")
    answer(asking, queried, DIFFERS)

    def listed(name: str, wanted: str) -> list[str]:
        page = asking.reader.page(KINDS["organisations"], asking.callers[name], 50, "", "", {"identityStatus": wanted})
        return [item["id"].rsplit("/", 1)[-1] for item in page.items]

    assert (listed("operator", "PENDING"), listed("operator", "QUERY")) == ([pending], [queried])
    assert listed("fsp-a", "NOT_CHECKED") == [asking.callers["fsp-a"].organisation]


# -- spelling and check digits


def test_a_number_is_written_as_the_register_writes_it(market: Market) -> None:
    for written, number in (("1234567", "01234567"), ("sc123456", "SC123456"), (" 0123 4568", "01234568"), ("oc990209", "OC990209")):
        found = document(market, register(market, organisationRegistrationNumber=written))

        assert found["organisationRegistrationNumber"] == number
        assert "organisationRegistrationNumber" in found["defaulted"]


def test_a_prefix_that_is_not_known_is_warned_of(market: Market) -> None:
    for number, warned in (("ZZ123456", True), ("zz123457", True), ("SC123456", False), ("SL12345A", False), ("IP1234AB", False)):
        found = document(market, register(market, organisationRegistrationNumber=number))

        assert ("Organisation.organisationRegistrationNumber" in [each["rule"] for each in found.get("warning", ())]) == warned


def test_what_is_no_number_of_the_register_is_refused(market: Market) -> None:
    for number in ("123456789", "SC12345", "SC-12345", "12 34 567 8 9"):
        with refused("Organisation.organisationRegistrationNumber-pattern", as_=Invalid):
            register(market, organisationRegistrationNumber=number)


def test_the_united_kingdom_has_one_name(asking: Market) -> None:
    for place, country in enumerate(("UK", "GB", "Great Britain", "the United Kingdom", "England and Wales", "scotland", "united kingdom")):
        number = {"organisationRegistrationNumber": f"{99000300 + place}"}
        id_ = register(asking, countryOfIncorporation=country, registeredCountry=country, **number)

        found = document(asking, id_)
        assert (found["countryOfIncorporation"], found["registeredCountry"]) == ("United Kingdom", "United Kingdom")
        assert status(asking, id_) == ("PENDING_APPROVAL", "PENDING")
        with refused("ORG_ALREADY_REGISTERED", as_=Conflict):
            register(asking, **number)


def test_an_update_that_is_spelt_otherwise_changes_nothing_of_the_identity(asking: Market) -> None:
    id_ = register(asking, organisationRegistrationNumber="1234567")
    answer(asking, id_, AGREES)

    change(asking, id_, organisationRegistrationNumber="1234567", countryOfIncorporation="UK")

    assert status(asking, id_) == ("PENDING_APPROVAL", "CONFIRMED")


@pytest.mark.parametrize(("scheme", "good", "bad"), [
    ("LEI", "213800KUD8LAJWSQ9D15", "213800KUD8LXJWSQ9D15"),
    ("GLN", "0847976000005", "0847976000006"),
    ("EIC", "22XWATTPLUS----G", "22XWATTPLUS----X"),
])  # fmt: skip
def test_an_alias_has_its_check_digits(market: Market, scheme: str, good: str, bad: str) -> None:
    with refused("Alias.value-digits", as_=Invalid) as refusal:
        register(market, alias=[{"scheme": scheme, "value": bad}])

    (fault,) = [fault for fault in refusal.value.faults if fault.severity is Severity.REJECT]
    assert (fault.code, fault.pointer) == ("Alias.value", "/alias/0/value")
    assert register(market, alias=[{"scheme": scheme, "value": good}])


def test_an_alias_of_another_form_has_one_fault(market: Market) -> None:
    with refused("Alias.value-lei", as_=Invalid):
        register(market, alias=[{"scheme": "LEI", "value": "213800"}])


def test_a_source_is_named_where_its_address_is_set() -> None:
    assert Settings().sources == frozenset()
    assert Settings(companies_register_url="https://register.example").sources == {COMPANIES_REGISTER}
