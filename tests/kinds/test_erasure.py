"""Erasure of personal values: gone from every version, the graph and the tables; tree, proofs and the rest stay."""

from __future__ import annotations

import json

import pytest

from fmar_node.errors import Forbidden, Invalid
from fmar_node.keeping.maintenance import verify_journal
from fmar_node.record import Receipt
from tests.market import BASE, Market, battery, mpan, refused

OWNER, LATER = "Erasmus Personal", "Lavinia Subsequent"
SECRETS = (OWNER, LATER, mpan(7), mpan(8), "ERASE-1")


def registered(market: Market) -> Receipt:
    """An asset with two versions that differ in their owner's name."""
    made = market.submit(market.callers["fsp-a"], "assets", battery("ERASE-1", ownerName=OWNER, importMPAN=mpan(7), exportMPAN=mpan(8)), idempotency="key-1")
    market.update(market.callers["fsp-a"], "assets", made.id, ownerName=LATER)
    return made


def erase(market: Market, id_: str, by: str = "operator", kind: str = "assets", **note: str) -> Receipt:
    return market.act(market.callers[by], kind, id_, "erasure", **{"erasureReason": "REQUEST", **note})


def known(market: Market, id_: str) -> str:
    """Everything that the journal can still say of a record."""
    versions = list(market.register.versions("assets", id_))
    entries = [market.register.entry(version.index) for version in versions]
    bodies = [body.decode() for entry in entries if entry for body in entry.bodies if body]
    return json.dumps([version.document for version in versions]) + "".join(bodies)


def test_all_personal_values_of_every_version_are_gone(market: Market) -> None:
    made = registered(market)
    assert all(secret in known(market, made.id) for secret in SECRETS)

    erase(market, made.id)

    assert not any(secret in known(market, made.id) for secret in SECRETS)
    document = market.current("assets", made.id).document
    assert (document["erasureReason"], document["erasureScope"], document["erasedAt"]) == ("REQUEST", "EVERYTHING", document["recordedAt"])
    assert (document["version"], document["ratedCapacity"], document.get("friendlyCode", "")) == (3, "500.00", "")


def test_the_past_alone_is_erased_on_request(market: Market) -> None:
    made = registered(market)

    erase(market, made.id, erasureScope="PAST")

    assert market.current("assets", made.id).document["ownerName"] == LATER
    assert OWNER not in known(market, made.id)
    assert ["ownerName" in version.document for version in market.register.versions("assets", made.id)] == [False, False, True]


def test_tree_proofs_and_state_stay_valid(market: Market) -> None:
    made, other = registered(market), market.submit(market.callers["fsp-b"], "assets", battery("KEPT-1"))
    leaves = market.register.read(0, 0, market.register.size())

    erase(market, made.id)

    assert market.register.read(0, 0, len(leaves)) == leaves
    assert market.current("assets", other.id).document["serialNumber"] == "KEPT-1"
    market.close()
    assert "current state" in verify_journal(market.node_folder())


def test_the_erasure_is_itself_an_entry(market: Market) -> None:
    made = registered(market)

    receipt = erase(market, made.id)

    version = market.register.version_at(receipt.index)
    assert version is not None
    assert (version.action, version.actor.organisation) == ("erasure", market.callers["operator"].organisation)


def test_what_was_looked_up_by_is_no_longer_found_and_free(market: Market) -> None:
    made = registered(market)
    assert market.register.found("MPAN", mpan(7)) == [made.id]

    erase(market, made.id)

    assert market.register.found("MPAN", mpan(7)) == market.register.found("SERIAL", "erase-1") == []
    assert market.submit(market.callers["fsp-b"], "assets", battery("ERASE-1")).number == 1


def test_a_request_from_before_is_never_the_same_again(market: Market) -> None:
    made = registered(market)
    erase(market, made.id)

    with pytest.raises(Invalid) as refusal:
        market.submit(
            market.callers["fsp-a"], "assets", battery("ERASE-1", ownerName=OWNER, importMPAN=mpan(7), exportMPAN=mpan(8)), idempotency="key-1",
        )

    assert refusal.value.code == "idempotency-key-reused"


def test_the_graph_has_none_of_it_wherever_it_stood(market: Market) -> None:
    made = registered(market)
    before = market.projected()
    held = {view: " ".join(map(str, before.graph.about(view, f"{BASE}/assets/{made.id}"))) for view in before.graph.views()}
    assert sum(LATER in text for text in held.values()) >= 3
    before.graph.close()

    erase(market, made.id)

    after = market.projected()
    assert after.deviations() == []
    assert not any(secret in str(triple) for view in after.graph.views() for triple in after.graph.triples(view) for secret in SECRETS)


def test_a_graph_that_lags_behind_an_erasure_forgets_too(market: Market) -> None:
    made = registered(market)
    market.projected().graph.close()
    market.update(market.callers["fsp-a"], "assets", made.id, dnoConnection="UKPN_SPN", justification=[{"rule": "A03", "text": "x"}])
    erase(market, made.id)
    market.update(market.callers["fsp-a"], "assets", made.id, importMPAN=mpan(9, 19), dnoConnection="UKPN_SPN", ownerName="Somebody Else", serialNumber="NEW-1")

    assert market.projected().deviations() == []


def test_a_record_goes_on_after_its_erasure(market: Market) -> None:
    made = registered(market)
    erase(market, made.id)

    market.update(market.callers["fsp-a"], "assets", made.id, importMPAN=mpan(21), ownerName="Next Owner")

    document = market.current("assets", made.id).document
    assert (document["ownerName"], document["erasureScope"], document["version"]) == ("Next Owner", "EVERYTHING", 4)
    assert OWNER not in known(market, made.id)


def test_the_contacts_of_an_organisation_are_erased(market: Market) -> None:
    operator, own = market.callers["operator"], market.callers["fsp-b"].organisation
    market.update(operator, "organisations", own, primaryContactFirstName="Ada", primaryContactEmail="ada@example.org")

    erase(market, own, kind="organisations")

    assert "ada@example.org" not in json.dumps([version.document for version in market.register.versions("organisations", own)])
    assert market.current("organisations", own).state == "ACTIVE"


@pytest.mark.parametrize("by", ["fsp-a", "dso-east", "neso"])
def test_only_the_operator_erases(market: Market, by: str) -> None:
    made = registered(market)
    own = market.callers["fsp-a"].organisation

    for kind, id_, code in (("assets", made.id, "ASSET-ERASE-1"), ("organisations", own, "ORGANISATION-ERASE-1")):
        with pytest.raises(Forbidden) as refusal:
            erase(market, id_, by, kind)
        assert refusal.value.faults[0].code == code
    assert OWNER in known(market, made.id)


@pytest.mark.parametrize(("kind", "code"), [("assets", "ASSET-ERASE-2"), ("organisations", "ORGANISATION-ERASE-2")])
def test_erasure_says_why(market: Market, kind: str, code: str) -> None:
    id_ = registered(market).id if kind == "assets" else market.callers["fsp-a"].organisation

    with refused(code):
        market.act(market.callers["operator"], kind, id_, "erasure")


def test_an_erasure_that_is_refused_in_a_batch_destroys_nothing(market: Market) -> None:
    made = registered(market)

    with pytest.raises(KeyError), market.journal.batch():
        market.journal.connection.execute("UPDATE section SET personal = NULL WHERE idx = ?", (made.index,))
        raise KeyError

    assert OWNER in known(market, made.id)
