"""What is remembered of callers is what the register says now, and is worked out anew only for those whom an entry may concern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple

import pytest

from fmar_node.access.caller import Caller, Permission
from fmar_node.access.standing import Standings
from tests.kinds.test_user import active
from tests.market import Market, battery


def known(market: Market, standings: Standings, name: str, for_: str = "") -> Caller:
    """A participant, or one on behalf of another, as it is remembered."""
    own = market.callers[name].organisation
    return standings.of(Caller(market.callers[for_].organisation, name, actor=own) if for_ else Caller(own, name))


@pytest.fixture
def standings(market: Market) -> Standings:
    return Standings(market.register, market.clock)


def granted(market: Market, standings: Standings, grantor: str = "fsp-a") -> frozenset[Permission]:
    """What the platform has of a provider, by its own name; by its acting for it there must be the same."""
    own, acting = known(market, standings, "platform"), known(market, standings, "platform", grantor)
    id_ = market.callers[grantor].organisation
    assert own.granted(id_) == acting.granted(id_)
    return own.granted(id_)


READ = frozenset({Permission.READ})


def test_a_revocation_is_noticed_at_the_next_request(market: Market, standings: Standings) -> None:
    given = market.grant("fsp-a", "platform", "READ")
    before = granted(market, standings)

    receipt = market.act(market.callers["fsp-a"], "delegations", given, "revocation")

    assert (before, granted(market, standings)) == (READ, frozenset())
    assert known(market, standings, "platform").since == receipt.index


@pytest.mark.parametrize("name", ["fsp-a", "platform"])
def test_a_suspension_of_either_side_and_its_end_are_noticed_at_the_next_request(market: Market, standings: Standings, name: str) -> None:
    market.grant("fsp-a", "platform", "READ")
    market.grant("fsp-b", "platform", "READ")
    own, seen = market.callers[name].organisation, [granted(market, standings)]

    for action in ("suspension", "reinstatement"):
        market.act(market.callers["operator"], "organisations", own, action)
        seen.append(granted(market, standings))

    assert seen == [READ, frozenset(), READ]
    assert granted(market, standings, "fsp-b") == READ


def test_the_end_of_one_suspension_is_noticed_while_a_later_one_lasts(market: Market, standings: Standings) -> None:
    """The newest entry that concerns the platform is the same before and after."""
    for name in ("fsp-a", "fsp-b"):
        market.grant(name, "platform", "READ")
    for name in ("fsp-a", "fsp-b"):
        market.act(market.callers["operator"], "organisations", market.callers[name].organisation, "suspension")
    before = (granted(market, standings), granted(market, standings, "fsp-b"))

    market.act(market.callers["operator"], "organisations", market.callers["fsp-a"].organisation, "reinstatement")

    assert before == (frozenset(), frozenset())
    assert (granted(market, standings), granted(market, standings, "fsp-b")) == (READ, frozenset())


def test_the_coming_of_a_day_is_noticed_at_the_next_request(market: Market, standings: Standings) -> None:
    """Even where the entry that says so has not been made yet."""
    market.grant("fsp-a", "platform", "READ", validTo="2026-11-24")
    before = granted(market, standings)

    market.clock.forward(days=1, hours=14)  # 23:30 in London
    still = granted(market, standings)
    market.clock.forward(hours=1)

    assert (before, still, granted(market, standings)) == (READ, READ, frozenset())


def test_a_person_whose_account_ends_has_no_rights_at_the_next_request(market: Market, standings: Standings) -> None:
    active(market, "first@fsp-a.example")
    id_ = active(market)
    names = Caller(market.callers["fsp-a"].organisation, user=id_)
    before = standings.of(names)

    market.act(market.callers["fsp-a"], "users", id_, "deactivation")

    assert before.user_role is not None
    assert standings.of(names).user_role is None


def test_what_others_write_costs_a_caller_nothing(market: Market, standings: Standings) -> None:
    """But for one look at what was written."""
    market.grant("fsp-a", "platform", "READ")
    before, read = known(market, standings, "platform"), list[str]()

    market.submit(market.callers["fsp-a"], "assets", battery("S-1"))
    market.grant("fsp-b", "installer", "READ")
    market.update(market.callers["operator"], "organisations", market.callers["neso"].organisation, organisationLegalName="Renamed")
    market.register.connection.set_trace_callback(read.append)
    after = known(market, standings, "platform")
    market.register.connection.set_trace_callback(None)

    assert after is before
    assert len(read) == 2


def test_whatever_happens_what_is_remembered_is_what_the_register_says(market: Market, standings: Standings) -> None:
    operator, fsp, platform = (market.callers[name] for name in ("operator", "fsp-a", "platform"))
    user = active(market)
    names = [Caller(each.organisation, name) for name, each in market.callers.items()]
    names += [Caller(fsp.organisation, "p", actor=platform.organisation), Caller(platform.organisation, "p", actor=fsp.organisation), Caller(fsp.organisation, user=user)]
    given: list[str] = []
    steps: list[Callable[[], object]] = [
        lambda: given.append(market.grant("fsp-a", "platform", "READ")),
        lambda: market.submit(fsp, "assets", battery("S-1")),
        lambda: market.grant("fsp-b", "platform", "PASSPORT"),
        lambda: market.act(operator, "organisations", market.callers["fsp-b"].organisation, "suspension"),
        lambda: market.act(operator, "organisations", platform.organisation, "suspension"),
        lambda: market.act(operator, "organisations", platform.organisation, "reinstatement"),
        lambda: market.act(market.callers["fsp-a"], "delegations", given[0], "revocation"),
        lambda: market.act(operator, "organisations", market.callers["fsp-b"].organisation, "reinstatement"),
        lambda: market.update(operator, "organisations", market.callers["dso-east"].organisation, licenceArea=["UKPN_EPN"]),
        lambda: market.clock.forward(days=400),
        market.tick,
        lambda: market.act(operator, "organisations", fsp.organisation, "suspension"),
    ]

    differing = []
    for number, step in enumerate(steps):
        step()
        differing += [(number, each) for each in names if astuple(standings.of(each)) != astuple(market.as_known(each))]

    assert differing == []


def test_names_that_nobody_has_take_no_room(market: Market, standings: Standings) -> None:
    for number in range(50):
        assert standings.of(Caller(f"nobody-{number}")).is_anonymous

    assert standings.found == {}
