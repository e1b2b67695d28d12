"""What may no longer be kept goes when its time has come, and not before."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from fmar_node.clock import SetClock
from fmar_node.keeping.retention import due, forgettable
from tests.market import SETTINGS, START, Market, battery

KEEPING = SETTINGS.model_copy(update={"retention_days": 30, "idempotency_days": 7})


def left(market: Market) -> str:
    """An asset that is de-registered on the first day."""
    made = market.submit(market.callers["fsp-a"], "assets", battery("GONE-1", ownerName="Once Owner"), idempotency="key-1")
    market.act(market.callers["fsp-a"], "assets", made.id, "deregistration", deregistrationReason="ERROR")
    market.submit(market.callers["fsp-a"], "assets", battery("LIVE-1", ownerName="Present Owner"))
    return made.id


@pytest.mark.parametrize(("days", "count"), [(0, 0), (29.9, 0), (30.1, 1)])
def test_a_record_that_has_ended_is_due_after_its_days(market: Market, days: float, count: int) -> None:
    id_ = left(market)

    found = due(market.register, KEEPING, START + timedelta(days=days))

    assert [submission.id for submission, _ in found] == [id_] * count


def test_what_is_due_is_erased_through_the_write_path_once(market: Market) -> None:
    id_, later = left(market), START + timedelta(days=31)
    market.clock = SetClock(later)

    for submission, _ in due(market.register, KEEPING, later):
        market.run(submission)

    document = market.current("assets", id_).document
    assert (document["erasureReason"], document["registrationStatus"]) == ("RETENTION", "DEREGISTERED")
    assert "Once Owner" not in json.dumps([version.document for version in market.register.versions("assets", id_)])
    assert due(market.register, KEEPING, later) == []


def test_a_withdrawn_organisation_is_due_too(market: Market) -> None:
    own = market.callers["installer"].organisation
    market.act(market.callers["operator"], "organisations", own, "deregistration")

    assert [submission.id for submission, _ in due(market.register, KEEPING, START + timedelta(days=31))] == [own]


def test_nothing_is_due_where_nothing_is_set(market: Market) -> None:
    left(market)

    assert due(market.register, SETTINGS, START + timedelta(days=36_500)) == []
    assert forgettable(market.register, SETTINGS, START + timedelta(days=36_500)) == 0


def test_idempotency_keys_are_forgotten_after_their_days(market: Market) -> None:
    left(market)
    market.clock = SetClock(START + timedelta(days=10))
    kept = market.submit(market.callers["fsp-a"], "assets", battery("LATE-1"), idempotency="key-2")

    market.journal.forget_requests(forgettable(market.register, KEEPING, START + timedelta(days=10)))

    organisation = market.callers["fsp-a"].organisation
    assert market.register.repeated(organisation, "key-1", b"") is None
    assert market.register.repeated(organisation, "key-2", b"") == (False, kept.index)


def test_an_entry_is_found_by_time(market: Market) -> None:
    before = market.register.size() - 1
    market.clock = SetClock(START + timedelta(days=1))
    market.submit(market.callers["fsp-a"], "assets", battery("NEXT-1"))

    times = ["2026-11-22T09:29:59.999Z", "2026-11-22T09:30:00.000Z", "2026-11-23T09:29:59.999Z", "2026-11-23T09:30:00.000Z"]
    assert [market.register.index_at(time) for time in times] == [-1, before, before, before + 1]
