"""What may happen to a user: every policy, state and rule of `kinds/user.py`, allowed and refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fmar_node.access.caller import Caller, UserRole
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound
from fmar_node.kinds import KINDS
from fmar_node.record import Receipt
from tests.market import Market, refused

ADA = "ada@fsp-a.example"
IDENTITY = "https://idp.example|ada"


def invite(market: Market, email: str = ADA, by: str = "fsp-a", **given: Any) -> Receipt:
    return market.submit(market.callers[by], "users", {"type": "User", "userEmail": email, **given})


def accept(market: Market, id_: str, identity: str = IDENTITY) -> Receipt:
    return market.act(market.node(), "users", id_, "acceptance", identity=identity, identityProof="OpenID Connect, https://idp.example")


def active(market: Market, email: str = ADA, role: str = "ADMINISTRATOR", by: str = "fsp-a") -> str:
    id_ = invite(market, email, by, userRole=role).id
    accept(market, id_, f"https://idp.example|{email}")
    return id_


def person(market: Market, id_: str, name: str = "fsp-a") -> Caller:
    return market.as_known(Caller(market.callers[name].organisation, user=id_))


def test_who_is_invited_and_proves_who_it_is_becomes_a_user(market: Market) -> None:
    id_ = invite(market, userRole="EDITOR", userName="Ada").id
    invited = market.current("users", id_).document

    accept(market, id_)

    user = market.current("users", id_)
    assert (invited["userStatus"], invited["userOf"], invited["inviteEnds"]) == ("INVITED", market.iri("fsp-a"), "2026-12-06T09:30:00.000Z")
    assert (user.state, user.document["identity"], user.actor.application) == ("ACTIVE", IDENTITY, "node")
    assert market.register.found("USER_IDENTITY", IDENTITY) == [id_]
    assert market.register.found("USER_EMAIL", ADA) == []
    assert person(market, id_).user_role is UserRole.EDITOR


def test_a_role_that_is_not_given_is_the_least(market: Market) -> None:
    assert market.current("users", invite(market).id).document["userRole"] == "READER"


def test_an_organisation_invites_its_own_and_the_operator_anybodys(market: Market) -> None:
    operators = invite(market, by="operator", userOf=market.iri("fsp-b"))

    with refused("USER-INVITE-3", as_=Invalid):
        invite(market, by="fsp-a", userOf=market.iri("fsp-b"))

    assert market.verdict(market.callers["operator"], "users", "register").policy == "USER-INVITE-1"
    assert market.verdict(market.callers["fsp-a"], "users", "register").policy == "USER-INVITE-2"
    assert market.current("users", operators.id).document["userOf"] == market.iri("fsp-b")


def test_a_suspended_organisation_invites_nobody_and_nobody_is_invited_for_it(market: Market) -> None:
    market.act(market.callers["operator"], "organisations", market.callers["fsp-a"].organisation, "suspension")

    with refused("USER-INVITE-2", as_=Forbidden):
        invite(market)
    with refused("USER-INVITE-4", as_=Conflict):
        invite(market, by="operator", userOf=market.iri("fsp-a"))


def test_an_address_has_one_account_in_an_organisation(market: Market) -> None:
    first = invite(market, "Ada@FSP-A.example").id

    with refused("USER_EXISTS", as_=Conflict):
        invite(market, "ada@fsp-a.example")
    invite(market, ADA, by="fsp-b")

    market.act(market.callers["fsp-a"], "users", first, "deactivation")
    assert market.current("users", invite(market).id).state == "INVITED"


def test_an_identity_has_one_account_in_an_organisation(market: Market) -> None:
    first, second, elsewhere = invite(market, "a@x.example").id, invite(market, "b@x.example").id, invite(market, "b@x.example", by="fsp-b").id
    accept(market, first)

    with refused("USER_EXISTS", as_=Conflict):
        accept(market, second)

    assert accept(market, elsewhere).number == 2


def test_only_the_node_accepts_expires_and_lets_depart(market: Market) -> None:
    id_ = invite(market).id

    for action, code in (("acceptance", "NODE-1"), ("expiry", "NODE-1"), ("departure", "NODE-1")):
        for name in ("operator", "fsp-a"):
            with refused(code, as_=Forbidden):
                market.act(market.callers[name], "users", id_, action)


def test_an_invitation_ends_by_the_clock(market: Market) -> None:
    id_ = invite(market).id
    market.clock.forward(days=14)

    with refused("USER-ACCEPT-3", as_=Conflict):
        accept(market, id_)
    entered = market.tick()

    assert (entered, market.tick(), market.current("users", id_).state) == (1, 0, "EXPIRED")
    with refused("USER-ACCEPT-2", as_=Conflict):
        accept(market, id_)
    with refused("USER-EXPIRE-2", as_=Conflict):
        market.act(market.node(), "users", id_, "expiry")
    assert invite(market).number == 1


def test_a_user_is_changed_by_its_organisation_or_the_operator(market: Market) -> None:
    id_ = active(market)

    assert market.verdict(market.callers["operator"], "users", "update", id_).policy == "USER-UPDATE-1"
    assert market.verdict(market.callers["fsp-a"], "users", "update", id_).policy == "USER-UPDATE-2"
    assert market.verdict(market.callers["fsp-b"], "users", "update", id_).policy == "USER-UPDATE-2"
    with pytest.raises(NotFound):
        market.update(market.callers["fsp-b"], "users", id_, userRole="READER")
    assert market.update(market.callers["fsp-a"], "users", id_, userName="Ada L").number == 3


@pytest.mark.parametrize("change", [{"userEmail": "eve@fsp-a.example"}, {"userOf": "https://node.example/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"}])
def test_an_account_stays_one_persons(market: Market, change: dict[str, str]) -> None:
    id_ = active(market)

    with refused("USER-UPDATE-4", as_=Invalid):
        market.update(market.callers["fsp-a"], "users", id_, **change)


def test_the_last_administrator_stays_until_there_is_another(market: Market) -> None:
    first = active(market)
    own = market.callers["fsp-a"]

    with refused("LAST_ADMINISTRATOR", as_=Conflict):
        market.act(own, "users", first, "deactivation")
    with refused("LAST_ADMINISTRATOR", as_=Conflict):
        market.update(own, "users", first, userRole="READER")
    active(market, "bob@fsp-a.example")

    assert market.update(own, "users", first, userRole="READER").number == 3
    assert market.act(own, "users", first, "deactivation").number == 4


def test_the_operator_may_deactivate_the_last_administrator(market: Market) -> None:
    id_ = active(market)

    market.act(market.callers["operator"], "users", id_, "deactivation")

    assert market.current("users", id_).state == "DEACTIVATED"
    assert market.verdict(market.callers["operator"], "users", "deactivation", id_).policy == "USER-DEACTIVATE-1"
    assert market.verdict(market.callers["fsp-b"], "users", "deactivation", id_).policy == "USER-DEACTIVATE-2"
    with refused("USER-DEACTIVATE-3", as_=Conflict):
        market.act(market.callers["fsp-a"], "users", id_, "deactivation")
    with refused("USER-UPDATE-3", as_=Conflict):
        market.update(market.callers["fsp-a"], "users", id_, userName="Gone")


def test_who_is_deactivated_has_no_rights_at_the_next_request(market: Market) -> None:
    id_ = active(market)
    before = person(market, id_)

    market.act(market.callers["operator"], "users", id_, "deactivation")

    assert (before.is_active, person(market, id_).is_active, person(market, id_).roles) == (True, False, frozenset())


def test_a_user_of_another_organisation_is_nobody_here(market: Market) -> None:
    id_ = active(market)

    assert person(market, id_, "fsp-b").is_active is False


def test_a_person_has_the_rights_of_its_organisation_and_of_its_role(market: Market) -> None:
    administrator, editor, reader = (person(market, active(market, f"{role.lower()}@x.example", role)) for role in UserRole)
    own = market.callers["fsp-a"].organisation

    def may(who: Caller, kind: str, action: str, id_: str = "") -> str:
        return market.verdict(who, kind, action, id_).policy

    assert [may(who, "assets", "register") for who in (administrator, editor, reader)] == ["ASSET-REGISTER-1", "ASSET-REGISTER-1", "USER-ROLE-1"]
    assert [may(who, "organisations", "update", own) for who in (administrator, editor, reader)] == ["ORGANISATION-UPDATE-2", "USER-ROLE-1", "USER-ROLE-1"]
    assert market.verdict(replace(administrator, user_role=None), "organisations", "suspension", own).permitted is False
    with refused("USER-ROLE-1", as_=Forbidden):
        market.submit(editor, "users", {"type": "User", "userEmail": "eve@x.example"})


def test_a_persons_doing_is_recorded_with_the_person(market: Market) -> None:
    id_ = active(market)

    receipt = market.submit(person(market, id_), "users", {"type": "User", "userEmail": "eve@x.example"})

    assert market.current("users", receipt.id).actor.user == id_


def test_users_leave_with_their_organisation_and_with_the_same_cause(market: Market) -> None:
    first, second = active(market), invite(market, "bob@x.example").id
    own = market.callers["fsp-a"].organisation

    receipt = market.act(market.callers["operator"], "organisations", own, "deregistration")

    causes = [row[0] for row in market.register.connection.execute("SELECT cause FROM entry WHERE idx > ?", (receipt.index,))]
    assert [market.current("users", id_).state for id_ in (first, second)] == ["DEACTIVATED", "DEACTIVATED"]
    assert causes == [receipt.index, receipt.index]
    with refused("USER-DEPART-2", as_=Conflict):
        market.act(market.node(), "users", first, "departure")


def test_nothing_of_a_user_is_public_or_another_organisations(market: Market) -> None:
    id_ = active(market)

    for name in ("fsp-b", "neso", "dso-east", "platform"):
        with pytest.raises(NotFound):
            market.reader.current("users", id_, market.callers[name])
    with pytest.raises(NotFound):
        market.reader.current("users", id_, Caller())
    assert market.reader.current("users", id_, market.callers["fsp-a"]).document["userEmail"] == ADA


def test_erasure_takes_name_address_and_identity(market: Market) -> None:
    id_ = active(market)
    market.act(market.callers["operator"], "users", id_, "deactivation")

    with refused("USER-ERASE-1", as_=Forbidden):
        market.act(market.callers["fsp-a"], "users", id_, "erasure", erasureReason="REQUEST")
    with refused("USER-ERASE-2", as_=Invalid):
        market.act(market.callers["operator"], "users", id_, "erasure")
    market.act(market.callers["operator"], "users", id_, "erasure", erasureReason="REQUEST")

    document = market.current("users", id_).document
    assert {"userName", "userEmail", "identity"} & document.keys() == set()
    assert document["userStatus"] == "DEACTIVATED"


def test_the_policies_of_the_nodes_own_actions_have_names() -> None:
    own = {action.policies[0].code for kind in KINDS.values() for action in kind.actions.values() if action.is_nodes_own}

    assert own == {
        "ASSET-ORPHAN-1", "ASSET-HANDOVER-1", "ASSET-VERIFY-1", "USER-ACCEPT-1", "USER-EXPIRE-1", "USER-DEPART-1", "DELEGATION-ACTIVATE-1", "DELEGATION-EXPIRE-1", "DELEGATION-END-1", "SAVED-QUERY-END-1", "ORGANISATION-VERIFY-1",
        "NOTICE-RAISE-1", "NOTICE-RENEW-1", "NOTICE-REOPEN-1", "NOTICE-SETTLE-1", "ASSET-OVERRUN-1",
        "SUBSCRIPTION-VERIFY-1", "SUBSCRIPTION-FAIL-1", "SUBSCRIPTION-END-1",
        "SWITCH-LAPSE-1", "SWITCH-EFFECT-1", "SERVICE-WINDOW-END-1",
        "RELEASE-IMPACT-1", "RELEASE-ACTIVATE-1", "RELEASE-SUPERSEDE-1",
        "CONSENT-REGISTER-1", "CONSENT-REVOKE-1", "CONSENT-EXPIRE-1", "CONSENT-END-1", "ASSET-CONSENT-LOSS-1",
    }  # fmt: skip
