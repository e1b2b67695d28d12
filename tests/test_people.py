"""Who has an account or an invitation, as the register has it: what sign-ins find, and what an acceptance writes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fmar_node.access.caller import UserRole
from fmar_node.access.id_token import Identity
from fmar_node.access.signin import Arrival, Attempt, Person, admitted, proof_of
from fmar_node.clock import today
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Forbidden, Malformed
from fmar_node.folder import Folder
from fmar_node.people import Accounts
from fmar_node.submit import Desk, Outcome, submit
from tests.market import BASE, Market, vocabulary

ADA = Identity("https://id.example", "ada-1", "ada@fsp-a.example", ("pwd",), None, "ab" * 32)


def accounts(market: Market) -> Accounts:
    async def written(submission: Submission) -> Outcome:
        return await submit(Desk(market.register, market, market, vocabulary()), submission, today(market.clock))

    return Accounts(market.register, written, BASE, market.clock)


def invite(market: Market, by: str = "fsp-a", email: str = "Ada@FSP-A.example", role: str = "EDITOR") -> str:
    return market.submit(market.callers[by], "users", {"type": "User", "userEmail": email, "userRole": role}).id


def enter(market: Market, organisation: str = "", identity: Identity = ADA) -> Person:
    return asyncio.run(admitted(accounts(market), Arrival(identity, Attempt("central", organisation, "/", 0.0))))


def test_an_acceptance_is_the_nodes_own_entry(market: Market) -> None:
    id_ = invite(market)

    person = enter(market)

    user = market.current("users", id_)
    assert person == Person(id_, market.callers["fsp-a"].organisation, UserRole.EDITOR)
    assert (user.state, user.document["identity"], user.document["identityProof"]) == ("ACTIVE", ADA.name, proof_of(ADA))
    assert (user.action, user.actor.application, user.number) == ("acceptance", "sign-in", 2)


def test_from_then_on_the_identity_counts_and_the_address_does_not(market: Market) -> None:
    invite(market)
    first = enter(market)

    assert enter(market, identity=Identity(ADA.issuer, ADA.subject, "new@fsp-a.example")) == first
    with pytest.raises(Forbidden):
        enter(market, identity=Identity(ADA.issuer, "eve-2", ADA.email))
    assert market.current("users", first.user).number == 2


def test_an_invitation_that_has_ended_is_none(market: Market) -> None:
    id_ = invite(market)
    market.clock.forward(days=14, seconds=-1)
    assert [each.user for each in accounts(market).invited(ADA.email)] == [id_]

    market.clock.forward(seconds=1)

    with pytest.raises(Forbidden):
        enter(market)
    assert market.current("users", id_).state == "INVITED"


def test_who_was_deactivated_is_nobody(market: Market) -> None:
    invite(market)
    person = enter(market)
    market.act(market.callers["fsp-a"], "users", person.user, "deactivation")

    assert accounts(market).signed_in(ADA.issuer, ADA.subject) == []
    with pytest.raises(Forbidden):
        enter(market)


def test_people_of_a_suspended_organisation_come_in_and_of_one_that_left_do_not(market: Market) -> None:
    invite(market)
    person, operator = enter(market), market.callers["operator"]

    market.act(operator, "organisations", person.organisation, "suspension")
    assert enter(market) == person
    market.act(operator, "organisations", person.organisation, "deregistration")

    with pytest.raises(Forbidden):
        enter(market)


def test_one_identity_has_an_account_in_each_organisation(market: Market) -> None:
    invite(market)
    first = enter(market)
    second = invite(market, by="fsp-b", email=ADA.email)

    with pytest.raises(Conflict):
        enter(market)
    assert enter(market, market.callers["fsp-b"].organisation).user == second
    assert enter(market, first.organisation) == first


def test_a_secret_is_its_owners_alone(tmp_path: Path) -> None:
    file, folder = tmp_path / "secret", Folder(tmp_path)
    file.write_text("s3cret\n")
    file.chmod(0o600)

    assert (folder.secret("secret"), folder.secret("")) == ("s3cret", "")
    file.chmod(0o644)
    for name in ("secret", "absent"):
        with pytest.raises(Malformed):
            folder.secret(name)
