"""Allowances: used at once, back evenly, forgotten when full."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fmar_node.allowance import Allowances


def test_a_quota_is_used_at_once_and_comes_back_evenly() -> None:
    allowances = Allowances(10, 5)

    taken = [allowances.take("a", 1, 100.0) for _ in range(11)]
    later = [allowances.take("a", 1, 101.0) for _ in range(3)]

    assert (taken, later) == ([True] * 10 + [False], [True, True, False])
    assert allowances.wait("a", 1, 101.0) == 0.5


def test_one_callers_use_is_nobody_elses() -> None:
    allowances = Allowances(1, 60)

    allowances.take("a", 1, 0.0)

    assert (allowances.take("a", 1, 0.0), allowances.take("b", 1, 0.0)) == (False, True)


def test_what_was_charged_beyond_the_quota_is_owed() -> None:
    allowances = Allowances(10, 10)

    allowances.charge("a", 15, 0.0)

    assert (allowances.left("a", 0.0), allowances.left("a", 5.0), allowances.left("a", 60.0)) == (-5, 0, 10)


def test_a_quota_of_nothing_is_no_limit() -> None:
    allowances = Allowances(0, 10)

    allowances.charge("a", 1e9, 0.0)

    assert allowances.take("a", 1e9, 0.0) and allowances.wait("a", 5, 0.0) == 0 and not allowances.purses


def test_memory_is_bounded_and_those_who_have_all_of_theirs_are_forgotten_first() -> None:
    allowances = Allowances(2, 10, most=100)
    allowances.charge("debtor", 50, 0.0)

    for number in range(1000):
        allowances.take(f"key {number}", 1, 6.0 * number)

    assert len(allowances.purses) <= 100
    assert allowances.left("key 999", 6.0 * 999) == 1


def test_a_debtor_is_not_forgotten_for_those_who_come_once() -> None:
    allowances = Allowances(2, 10, most=100)
    allowances.charge("debtor", 2_000, 0.0)

    for number in range(1000):
        allowances.take(f"key {number}", 1, 6.0 * number)

    assert allowances.left("debtor", 6_000.0) < 0


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3)), max_size=60))
def test_nobody_gets_more_than_the_quota_and_what_came_back(steps: list[tuple[float, float]]) -> None:
    allowances, now, given_ = Allowances(10, 20), 0.0, 0.0

    for pause, amount in steps:
        now += pause
        given_ += amount if allowances.take("a", amount, now) else 0.0

    assert given_ <= 10 + now * 10 / 20 + 1e-6
