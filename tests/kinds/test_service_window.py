"""Service windows: declared by a provider, confirmed by the system operator alone; only confirmed ones stand in anybody's way (UC-03.04, domain 5.5)."""

from __future__ import annotations

from typing import Any

import pytest

from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound
from fmar_node.kinds import KINDS
from tests.market import BASE, Market, battery, refused

A, B, EAST = "fsp-a", "fsp-b", "dso-east"


def asset(market: Market, who: str = A, **changes: Any) -> str:
    return market.submit(market.callers[who], "assets", battery(**changes)).id


def declared(market: Market, id_: str, begins: str = "2026-12-01T17:00:00Z", ends: str = "2026-12-01T19:00:00Z", who: str = A, to: str = EAST, product: str = "Sustain-H") -> str:
    document = {"type": "ServiceWindow", "windowAsset": f"{BASE}/assets/{id_}", "windowOperator": market.iri(to), "windowProduct": product, "windowFrom": begins, "windowTo": ends}
    return market.submit(market.callers[who], "service-windows", document).id


def confirmed(market: Market, id_: str, begins: str = "2026-12-01T17:00:00Z", ends: str = "2026-12-01T19:00:00Z", to: str = EAST, product: str = "Sustain-H") -> str:
    window = declared(market, id_, begins, ends, to=to, product=product)
    market.act(market.callers[to], "service-windows", window, "confirmation")
    return window


def state(market: Market, window: str) -> str:
    return market.current("service-windows", window).state


def test_it_is_confirmed_by_its_system_operator_and_ends_by_the_clock(market: Market) -> None:
    window = confirmed(market, asset(market))
    assert market.current("service-windows", window).document["confirmedAt"]

    market.clock.instant = market.clock.instant.replace(month=12, day=1, hour=18, minute=59)
    assert (market.tick(), state(market, window)) == (0, "CONFIRMED")
    market.clock.forward(minutes=1)
    assert (market.tick(), state(market, window)) == (1, "ENDED")


def test_nobody_else_confirms(market: Market) -> None:
    window = declared(market, asset(market))

    with refused("SERVICE-WINDOW-CONFIRM-1", as_=Forbidden):
        market.act(market.callers[A], "service-windows", window, "confirmation")
    for other in ("dso-south", "neso", B):
        with pytest.raises(NotFound):
            market.act(market.callers[other], "service-windows", window, "confirmation")
    market.act(market.callers[EAST], "service-windows", window, "confirmation")
    with refused("SERVICE-WINDOW-CONFIRM-2", as_=Conflict):
        market.act(market.callers[EAST], "service-windows", window, "confirmation")


@pytest.mark.parametrize(("given", "code"), [
    ({"who": B}, "SERVICE-WINDOW-DECLARE-2"), ({"to": "dso-south"}, "SERVICE-WINDOW-DECLARE-3"), ({"to": "regulator"}, "SERVICE-WINDOW-DECLARE-3"),
    ({"ends": "2026-12-01T17:00:00Z"}, "SERVICE-WINDOW-DECLARE-4"), ({"begins": "2026-11-01T17:00:00Z", "ends": "2026-11-22T09:30:00Z"}, "SERVICE-WINDOW-DECLARE-4"),
])  # fmt: skip
def test_what_cannot_be_is_refused(market: Market, given: dict[str, str], code: str) -> None:
    id_ = asset(market)

    with refused(code, as_=Invalid):
        declared(market, id_, **given)


def test_only_providers_declare(market: Market) -> None:
    with refused("SERVICE-WINDOW-DECLARE-1", as_=Forbidden):
        declared(market, asset(market), who=EAST)
    assert state(market, declared(market, market.register.found("SERIAL", "gp-bess-0001")[0], to="neso")) == "DECLARED"


def test_confirmed_windows_of_one_operator_and_product_do_not_overlap(market: Market) -> None:
    id_ = asset(market)
    confirmed(market, id_)

    with refused("WINDOW_OVERLAPS", as_=Conflict):
        confirmed(market, id_, "2026-12-01T18:59:59Z", "2026-12-01T20:00:00Z")
    for given in ({"begins": "2026-12-01T19:00:00Z", "ends": "2026-12-01T20:00:00Z"}, {"begins": "2026-12-01T16:00:00Z", "ends": "2026-12-01T17:00:00Z"}, {"product": "Secure"}, {"to": "neso"}):
        assert state(market, confirmed(market, id_, **given)) == "CONFIRMED"


def test_what_is_not_confirmed_is_withdrawn_and_what_is_cancelled_by_the_other_side(market: Market) -> None:
    id_ = asset(market)
    window, other = declared(market, id_), declared(market, id_, "2026-12-02T17:00:00Z", "2026-12-02T19:00:00Z")

    with refused("SERVICE-WINDOW-WITHDRAW-1", as_=Forbidden):
        market.act(market.callers[EAST], "service-windows", window, "withdrawal")
    with refused("SERVICE-WINDOW-CANCEL-2", as_=Forbidden):
        market.act(market.callers[A], "service-windows", window, "cancellation")
    market.act(market.callers[A], "service-windows", window, "withdrawal")
    market.act(market.callers[EAST], "service-windows", other, "confirmation")
    with refused("SERVICE-WINDOW-WITHDRAW-2", as_=Conflict):
        market.act(market.callers[A], "service-windows", other, "withdrawal")
    assert market.verdict(market.callers["operator"], "service-windows", "cancellation", other).policy == "SERVICE-WINDOW-CANCEL-1"
    market.act(market.callers["operator"], "service-windows", other, "cancellation")
    with refused("SERVICE-WINDOW-CANCEL-3", as_=Conflict):
        market.act(market.callers[EAST], "service-windows", other, "cancellation")
    assert {state(market, window), state(market, other)} == {"CANCELLED"}


def test_a_confirmed_window_keeps_an_asset_in_the_register(market: Market) -> None:
    id_ = asset(market)
    declared(market, id_, "2026-12-03T17:00:00Z", "2026-12-03T19:00:00Z")
    confirmed(market, id_)

    with refused("CONFIRMED_WINDOW", as_=Conflict) as refusal:
        market.act(market.callers[A], "assets", id_, "deregistration", deregistrationReason="DECOMMISSIONED")
    assert "2026-12-02" in refusal.value.faults[0].message
    market.clock.forward(days=10)
    market.tick()
    market.act(market.callers[A], "assets", id_, "deregistration", deregistrationReason="DECOMMISSIONED")
    assert market.current("assets", id_).state == "DEREGISTERED"


def test_it_is_erased_by_the_operator_who_says_why(market: Market) -> None:
    window = confirmed(market, asset(market))
    assert KINDS["service-windows"].name == "service-window"

    with refused("SERVICE-WINDOW-ERASE-1", as_=Forbidden):
        market.act(market.callers[A], "service-windows", window, "erasure", erasureReason="REQUEST")
    with refused("SERVICE-WINDOW-ERASE-2", as_=Invalid):
        market.act(market.callers["operator"], "service-windows", window, "erasure")


def test_only_the_node_ends_it(market: Market) -> None:
    window = confirmed(market, asset(market))

    assert KINDS["service-windows"].actions["end"].policies[0].code == "SERVICE-WINDOW-END-1"
    with refused("NODE-1", as_=Forbidden):
        market.act(market.callers["operator"], "service-windows", window, "end")
    market.act(market.callers[EAST], "service-windows", window, "cancellation")
    with refused("SERVICE-WINDOW-END-2", as_=Conflict):
        market.submit(market.node(), "service-windows", {}, "end", window)


def test_its_two_sides_and_the_operator_see_it_in_reads_and_in_the_graph(market: Market) -> None:
    window = confirmed(market, asset(market))
    projector = market.projected()

    for name, caller in market.callers.items():
        items = market.reader.page(KINDS["service-windows"], caller, 5, "", "", {}).items
        assert bool(items) == (name in (A, EAST, "operator")), name
        assert any(window in str(triple) for triple in projector.graph.triples(f"{BASE}/views/{caller.view}")) == bool(items)
    assert projector.deviations() == []
