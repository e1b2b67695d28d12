"""The write path as a whole: a submission becomes an entry, or nothing at all."""

from __future__ import annotations

import pytest

from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionMissing, Stale
from fmar_node.representation import fingerprint
from tests.market import Market, battery


def test_an_accepted_document_becomes_the_records_first_version(market: Market) -> None:
    receipt = market.submit(market.callers["fsp-a"], "assets", battery())

    version = market.current("assets", receipt.id)
    assert (version.number, version.index, version.state) == (1, receipt.index, "PENDING_VALIDATION")
    assert version.document["managedBy"].endswith(market.callers["fsp-a"].organisation)


def test_a_refused_document_leaves_no_trace(market: Market) -> None:
    before = market.journal.tree

    with pytest.raises(Invalid):
        market.submit(market.callers["fsp-a"], "assets", battery(ratedCapacity="0"))

    assert market.journal.tree == before
    assert market.register.size() == before.size


def test_only_a_provider_registers(market: Market) -> None:
    for name in ("dso-east", "neso", "regulator", "platform", "operator"):
        with pytest.raises(Forbidden) as refusal:
            market.submit(market.callers[name], "assets", battery())
        assert refusal.value.faults[0].code == "ASSET-REGISTER-1"


def test_an_update_needs_the_version_that_it_is_based_on(market: Market) -> None:
    receipt = market.submit(market.callers["fsp-a"], "assets", battery())
    document = market.current("assets", receipt.id).document

    with pytest.raises(PreconditionMissing):
        market.submit(market.callers["fsp-a"], "assets", document, "update", receipt.id)
    with pytest.raises(Stale):
        market.submit(market.callers["fsp-a"], "assets", document, "update", receipt.id, if_match=("0" * 16,))


def test_an_update_that_changes_nothing_makes_no_version(market: Market) -> None:
    receipt = market.submit(market.callers["fsp-a"], "assets", battery())

    again = market.update(market.callers["fsp-a"], "assets", receipt.id)

    assert again.is_repeat
    assert again.index == receipt.index


def test_another_provider_cannot_tell_the_record_from_none(market: Market) -> None:
    receipt = market.submit(market.callers["fsp-a"], "assets", battery())

    with pytest.raises(NotFound) as hidden:
        market.act(market.callers["fsp-b"], "assets", receipt.id, "deregistration", deregistrationReason="ERROR")
    with pytest.raises(NotFound) as absent:
        market.act(market.callers["fsp-b"], "assets", receipt.id[:-1] + "0", "deregistration", deregistrationReason="ERROR")
    assert str(hidden.value) == str(absent.value)


def test_the_same_idempotency_key_is_the_same_request(market: Market) -> None:
    document, caller = battery(), market.callers["fsp-a"]
    first = market.submit(caller, "assets", document, idempotency="k-1")

    again = market.submit(caller, "assets", document, idempotency="k-1")

    assert again.is_repeat
    assert (again.id, again.index) == (first.id, first.index)
    with pytest.raises(Invalid) as refusal:
        market.submit(caller, "assets", battery("OTHER-1"), idempotency="k-1")
    assert refusal.value.code == "idempotency-key-reused"


def test_an_organisation_with_live_assets_stays(market: Market) -> None:
    receipt = market.submit(market.callers["fsp-a"], "assets", battery())
    own = market.callers["fsp-a"]

    with pytest.raises(Conflict) as refusal:
        market.act(own, "organisations", own.organisation, "deregistration")
    market.act(own, "assets", receipt.id, "deregistration", deregistrationReason="DECOMMISSIONED")
    market.act(own, "organisations", own.organisation, "deregistration")

    assert refusal.value.faults[0].code == "LIVE_ASSETS"
    assert market.current("organisations", own.organisation).state == "WITHDRAWN"


def test_recorded_time_never_runs_backwards(market: Market) -> None:
    first = market.submit(market.callers["fsp-a"], "assets", battery("T-1"))
    market.clock.forward(hours=-5)

    second = market.submit(market.callers["fsp-a"], "assets", battery("T-2"))

    assert market.current("assets", second.id).recorded_at >= market.current("assets", first.id).recorded_at


def test_the_key_of_a_request_that_changes_nothing_is_kept_too(market: Market) -> None:
    own = market.callers["fsp-a"]
    made = market.submit(own, "assets", battery("SAME-1"))
    tag = (fingerprint(market.current("assets", made.id).document),)
    unchanged = market.submit(own, "assets", battery("SAME-1"), "update", made.id, if_match=tag, idempotency="key-1")

    market.update(own, "assets", made.id, assetName="Changed meanwhile")

    again = market.submit(own, "assets", battery("SAME-1"), "update", made.id, if_match=tag, idempotency="key-1")
    assert (unchanged.index, again.index) == (made.index, made.index)
    with pytest.raises(Invalid, match="idempotency-key-reused"):
        market.submit(own, "assets", battery("SAME-1", assetName="Other"), "update", made.id, if_match=tag, idempotency="key-1")
