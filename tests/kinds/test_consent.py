"""Consent: what is registered with one, what is refused without, and what follows when it is taken back (UC-05.05)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from examples.servers.consent_solution import Given, Solution
from fmar_node.access.reveal import reveal
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from fmar_node.feed import Feed
from fmar_node.identity import new_record_id
from fmar_node.kinds import KINDS
from fmar_node.kinds.consented import CONSENT_ACTIONS
from fmar_node.record import Receipt
from fmar_node.representation import json_bytes
from fmar_node.sources.notification import Notification
from tests.consenting import OWN, Consenting, home
from tests.market import BASE, Market, battery, mpan, refused, vocabulary

DAY = 86_400
SMALL = {"ratedCapacity": "3.00", "installedCapacity": "3.00", "genCapacity": "3.00", "demandCapacity": "3.00"}


@pytest.fixture
def solution() -> Iterator[Solution]:
    with Solution(seconds=3) as running:
        yield running


@pytest.fixture
def room(market: Market, solution: Solution) -> Consenting:
    return Consenting(market, solution)


# -- registration


@pytest.mark.parametrize("form", ["reference", "receipt"])
def test_an_individuals_asset_is_registered_with_a_valid_consent(room: Consenting, solution: Solution, form: str) -> None:
    given = room.consent()
    proof = given.reference if form == "reference" else solution.receipt(given)

    receipt = room.market.submit(room.market.callers["fsp-a"], "assets", home(consentReference=proof))

    asset, consent = room.asset(receipt), room.kept(receipt)
    assert asset.state == "PENDING_VALIDATION"
    assert consent.document["grantee"] == room.market.iri("fsp-a")
    assert consent.document["consentAsset"] == asset.iri
    assert (consent.document["consentSolution"], consent.document["solutionReference"]) == ("example", given.id)
    assert consent.state == "VALID"
    assert consent.index == asset.index + 1


@pytest.mark.parametrize("form", ["reference", "receipt"])
def test_the_proof_is_nowhere_in_the_journal(room: Consenting, solution: Solution, form: str) -> None:
    given = room.consent()
    proof = given.reference if form == "reference" else solution.receipt(given)

    receipt = room.market.submit(room.market.callers["fsp-a"], "assets", home(consentReference=proof))

    entries = [room.market.register.entry(index) for index in (receipt.index, receipt.index + 1)]
    bodies = b"".join(body for entry in entries if entry for body in entry.bodies if body)
    assert proof.encode() not in bodies
    assert b"sha256:" in bodies
    assert "consentReference" not in room.asset(receipt).document


def test_without_a_proof_it_is_refused(room: Consenting) -> None:
    with refused("consent-required", as_=Invalid) as refusal:
        room.market.submit(room.market.callers["fsp-a"], "assets", home())

    assert refusal.value.code == "consent-required"


def test_where_no_solution_is_trusted_it_is_refused_with_a_proof_and_without(market: Market) -> None:
    for document in (home(), home(consentReference="ck_0123456789abcdef"), battery(consentReference="ck_0123456789abcdef")):
        with refused("consent-not-available", as_=Invalid):
            market.submit(market.callers["fsp-a"], "assets", document)


def test_a_consent_that_was_given_for_a_switch_or_to_somebody_else_registers_nothing(room: Consenting) -> None:
    """A15: nor for another asset, another provider, another time."""
    cases = {
        "CONSENT_SCOPE": [room.consent(purposes=["SWITCH", "SHARE"]), room.consent("fsp-a", f"mpan:{mpan(1)}")],
        "CONSENT_INVALID": [room.consent("fsp-b"), room.consent(begins=room.solution.clock() + DAY)],
        "CONSENT_EXPIRED": [room.consent(ends=room.solution.clock() - 1)],
    }

    for code, given in cases.items():
        for each in given:
            for proof in (each.reference, room.solution.receipt(each)):
                with refused(code, as_=Invalid) as refusal:
                    room.market.submit(room.market.callers["fsp-a"], "assets", home(consentReference=proof))
                told = str(refusal.value.faults) + str(refusal.value)
                assert proof not in told
                assert each.id not in told


def test_what_no_solution_knows_is_no_proof(room: Consenting, solution: Solution) -> None:
    given = room.consent()
    revoked = room.consent()
    room.solution.revoke(revoked.id, notify=False)
    with Solution() as another:
        another.node, another.clock = solution.node, solution.clock
        foreign = another.receipt(given)
    proofs = [
        "ck_0123456789abcdef", "0123456789abcdefgh", foreign, solution.receipt(given)[:-4] + "AAAA",
        solution.receipt(given, aud="https://elsewhere.example"), solution.receipt(given, status=None), solution.receipt(given, subjects=None),
        solution.receipt(given, exp=None), solution.receipt(given, purposes="REGISTER"), solution.receipt(given, jti=None),
        solution.receipt(given, subjects={"salt": "AAAA", "names": ["x"]}), solution.receipt(revoked), revoked.reference,
        solution.receipt(given, status={"status_list": {"uri": "https://elsewhere.example/1", "idx": 0}}),
        solution.signed({"iss": solution.url, "aud": solution.node}, "at+jwt"),
    ]  # fmt: skip

    for proof in proofs:
        with refused("CONSENT_INVALID", as_=Invalid):
            room.market.submit(room.market.callers["fsp-a"], "assets", home(consentReference=proof))


@pytest.mark.parametrize("mode", ["down", "slow", "garbled"])
def test_where_the_solution_gives_no_answer_nothing_is_written(room: Consenting, solution: Solution, mode: str) -> None:
    given, size = room.consent(), room.market.journal.tree.size
    solution.mode = mode

    with refused("CONSENT_SERVICE_UNAVAILABLE", as_=Unavailable) as refusal:
        room.market.submit(room.market.callers["fsp-a"], "assets", home(consentReference=given.reference))

    assert refusal.value.code == "consent-service-unavailable"
    assert refusal.value.headers["Retry-After"]
    assert room.market.journal.tree.size == size


def test_a_receipt_whose_keys_cannot_be_had_is_not_believed(room: Consenting, solution: Solution) -> None:
    receipt = solution.receipt(room.consent())
    solution.mode = "down"

    with refused("CONSENT_SERVICE_UNAVAILABLE", as_=Unavailable):
        room.market.submit(room.market.callers["fsp-a"], "assets", home(consentReference=receipt))


def test_a_solution_that_answers_about_something_else_is_not_believed(room: Consenting, solution: Solution) -> None:
    given = room.consent()
    solution.mode = "wrong"

    with refused("CONSENT_INVALID", as_=Invalid):
        room.market.submit(room.market.callers["fsp-a"], "assets", home(consentReference=given.reference))


def test_a_proof_is_sent_with_hashes_of_the_meter_points_and_never_with_them(room: Consenting, solution: Solution) -> None:
    room.registered()

    ((path, asked),) = solution.asked
    assert path == "/verify"
    assert OWN not in str(asked)
    assert "@" not in str(asked)


def test_both_meter_points_have_to_be_consented_to(room: Consenting) -> None:
    other = mpan(4_712)
    with refused("CONSENT_SCOPE", as_=Invalid):
        room.registered(exportMPAN=other, genCapacity="5.00")

    assert room.registered(room.consent("fsp-a", f"mpan:{OWN}", f"mpan:{other}"), exportMPAN=other)


def test_a_consent_of_a_single_use_is_used_once_whatever_its_proof_is(room: Consenting, solution: Solution) -> None:
    """A15: a proof is no proof a second time."""
    given = room.consent(single_use=True)
    room.registered(given)

    for proof in (given.reference, solution.receipt(given)):
        with refused("CONSENT_REPLAYED", as_=Conflict):
            room.market.submit(room.market.callers["fsp-a"], "assets", home("HOME-2", consentReference=proof, **SMALL))


@pytest.mark.parametrize("said", ["true", 1, None])
def test_whether_a_consent_is_of_a_single_use_is_never_guessed(room: Consenting, solution: Solution, said: Any) -> None:
    fsp = room.market.callers["fsp-a"]
    garbled: Any = {"single_use": said}

    with refused("CONSENT_SERVICE_UNAVAILABLE", as_=Unavailable):
        room.registered(room.consent(**garbled))
    if said is not None:
        with refused("CONSENT_INVALID", as_=Invalid):
            room.market.submit(fsp, "assets", home(consentReference=solution.receipt(room.consent(), **garbled)))


def test_a_consent_of_more_uses_is_used_for_all_that_stands_at_the_meter_point(room: Consenting) -> None:
    given = room.consent()

    one, other = room.registered(given), room.registered(given, serial="HOME-2", **SMALL)
    room.notify(given.id)

    assert {room.asset(each).state for each in (one, other)} == {"SUSPENDED_CONSENT_REVOKED"}


def test_a_proof_that_is_given_without_need_has_to_hold(room: Consenting) -> None:
    with refused("CONSENT_INVALID", as_=Invalid):
        room.market.submit(room.market.callers["fsp-a"], "assets", battery(consentReference="ck_0123456789abcdef"))


def test_a_proof_in_escapes_is_refused(room: Consenting) -> None:
    given = room.consent()
    document = home(consentReference=given.reference)
    body = json.dumps(document).replace("ck_", "\\u0063k_").encode()
    with refused("CONSENT_INVALID", as_=Invalid):
        room.run(Submission(room.market.callers["fsp-a"], "assets", "register", new_record_id(), BASE, "application/ld+json", body))


def test_another_meter_point_needs_another_consent(room: Consenting) -> None:
    receipt = room.registered()
    fsp, other = room.market.callers["fsp-a"], mpan(4_712)

    room.market.update(fsp, "assets", receipt.id, assetName="Home battery 2")
    with refused("consent-required", as_=Invalid):
        room.market.update(fsp, "assets", receipt.id, importMPAN=other)

    before = room.kept(receipt)
    given = room.consent("fsp-a", f"mpan:{other}")
    room.market.update(fsp, "assets", receipt.id, importMPAN=other, consentReference=given.reference)
    assert room.kept(receipt).document["solutionReference"] == given.id
    assert room.market.current("consents", before.id).state == "ENDED"


def test_who_makes_it_an_organisations_asset_keeps_the_consent_that_it_rests_on(room: Consenting) -> None:
    given = room.consent()
    receipt = room.registered(given)
    reason = [{"rule": "A03", "text": "sold"}]
    room.market.update(room.market.callers["fsp-a"], "assets", receipt.id, ownerKind="ORGANISATION", ownerName="Jo's", justification=reason)

    room.notify(given.id)

    assert room.asset(receipt).state == "SUSPENDED_CONSENT_REVOKED"


def test_an_organisation_authorises_where_the_node_is_set_so(market: Market, solution: Solution) -> None:
    room = Consenting(market, solution, owner_authorisation=True)
    fsp, owned = market.callers["fsp-a"], {"owner": market.iri("fsp-c"), "ownerName": None, "justification": None, "importMPAN": OWN, "exportMPAN": None}

    with refused("consent-required", as_=Invalid):
        market.submit(fsp, "assets", battery(**owned))
    receipt = market.submit(fsp, "assets", battery(**owned, consentReference=room.consent().reference))
    own = market.submit(fsp, "assets", battery("GP-2", **{**owned, "owner": market.iri("fsp-a"), "importMPAN": mpan(77)}))

    consent = room.kept(receipt)
    assert consent.document["consentedBy"] == market.iri("fsp-c")
    assert reveal(consent.document, market.callers["fsp-c"], vocabulary()) is not None
    assert "consent" not in room.asset(own).document


# -- revocation


def test_a_revocation_suspends_the_asset_in_one_transaction_and_leaves_its_validation(room: Consenting) -> None:
    given = room.consent()
    receipt = room.registered(given)
    before = room.asset(receipt)

    room.notify(given.id)

    asset, consent = room.asset(receipt), room.kept(receipt)
    assert (consent.state, asset.state, asset.document["standing"]) == ("REVOKED", "SUSPENDED_CONSENT_REVOKED", "SUSPENDED_CONSENT_REVOKED")
    assert asset.document["validationStatus"] == before.document["validationStatus"]
    assert asset.index == consent.index + 1
    assert asset.action == "consent-loss"
    assert asset.recorded_at == consent.recorded_at


def test_who_has_lost_the_consent_reads_no_more_than_that_it_is_so(room: Consenting) -> None:
    given = room.consent()
    receipt = room.registered(given)
    market = room.market
    room.notify(given.id)

    fsp, dso = market.callers["fsp-a"], market.callers["dso-east"]
    shown = market.reader.current("assets", receipt.id, fsp).document
    assert shown["registrationStatus"] == "SUSPENDED_CONSENT_REVOKED"
    assert not {"importMPAN", "assetName", "serialNumber", "standing", "managedBy", "consent"} & shown.keys()
    assert OWN in str(market.reader.current("assets", receipt.id, dso).document)
    assert market.reader.lookup("MPAN", OWN, fsp) == []
    past = market.reader.versions("assets", receipt.id, fsp)
    assert OWN not in str([each.document for each in past])
    with pytest.raises(NotFound):
        market.reader.current("consents", room.kept(receipt).id, market.callers["fsp-b"])


def test_no_export_of_an_earlier_place_opens_what_a_consent_has_opened(room: Consenting) -> None:
    given = room.consent()
    receipt, market = room.registered(given), room.market
    place, fsp = market.register.size() - 1, market.callers["fsp-a"]
    room.notify(given.id)
    market.act(fsp, "assets", receipt.id, "deregistration", deregistrationReason="END_OF_CONTRACT")
    market.grant("fsp-a", "platform", "READ_PERSONAL")

    for caller in (fsp, market.acting("platform", "fsp-a")):
        exported = list(market.reader.export(KINDS["assets"], caller, place))
        assert [each["id"] for each in exported] == [room.asset(receipt).iri]
        assert OWN not in str(exported) and "assetName" not in exported[0]


def test_no_event_of_the_past_names_what_a_consent_has_opened(room: Consenting) -> None:
    given = room.consent()
    receipt, market = room.registered(given), room.market
    market.update(market.callers["fsp-a"], "assets", receipt.id, assetName="Home battery 2")
    market.grant("fsp-a", "platform", "READ_PERSONAL")
    room.notify(given.id)

    events = {name: [each for each in Feed(market.register, vocabulary()).page(market.callers[name], -1, 50).events if each.kind == "assets"] for name in ("fsp-a", "platform", "dso-east")}

    assert [(each.happening, each.action) for each in events["fsp-a"]] == [("appeared", ""), ("changed", "")]
    assert not {"assetName", "importMPAN", "serialNumber"} & {name for each in events["fsp-a"] for name in each.changed}
    assert [each.happening for each in events["platform"]] == ["disappeared"]
    assert "importMPAN" in events["dso-east"][0].changed


def test_the_graph_follows(room: Consenting) -> None:
    given = room.consent()
    receipt = room.registered(given)
    room.notify(given.id)

    projector = room.market.projected()

    assert projector.deviations() == []
    view = projector.view_of(room.market.callers["fsp-a"])
    assert OWN not in str(list(projector.graph.triples(view)))
    assert receipt.id in str(list(projector.graph.triples(view)))


def test_duplicate_late_and_forged_notifications_change_nothing(room: Consenting, solution: Solution) -> None:
    given, kept = room.consent(), room.consent()
    one, other = room.registered(given), room.registered(kept, serial="HOME-2", **SMALL)
    room.notify(given.id, name="msg_1")
    size = room.market.journal.tree.size

    room.notify(given.id, name="msg_1")  # the same again
    room.notify(given.id, name="msg_2")  # told once more
    room.notify(given.id, name="msg_3", at=solution.clock() - DAY)  # an older event
    room.notify(given.id, type_="consent.granted", name="msg_4", at=solution.clock() - DAY)  # one that another has overtaken
    room.notify("cr-of-nobody", name="msg_5")
    room.notify(kept.id, type_="consent.something", name="msg_6")

    assert room.market.journal.tree.size == size
    assert room.asset(one).state == "SUSPENDED_CONSENT_REVOKED"
    assert room.asset(other).state == "PENDING_VALIDATION"


def test_a_revocation_that_comes_before_the_record_is_not_lost(room: Consenting, solution: Solution) -> None:
    """Notified while the registration was on its way, after its proof had been verified."""
    given = room.consent()
    room.inbox.take(_revoked(room, given.id))
    with refused("CONSENT_INVALID", as_=Invalid):
        room.registered(given)

    late = room.consent()
    receipt = room.registered(late)
    room.inbox.take(_revoked(room, late.id))  # put down, and then the node was killed

    async def looking() -> None:
        with room.watch() as watch:
            task = asyncio.create_task(watch.run())
            for _ in range(200):
                await asyncio.sleep(0.01)
                if room.kept(receipt).state != "VALID":
                    break
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(looking())
    assert room.asset(receipt).state == "SUSPENDED_CONSENT_REVOKED"


def _revoked(room: Consenting, id_: str) -> Notification:
    return Notification("example", f"msg-{id_}", "consent.revoked", id_, "2026-11-22T09:00:00.000Z")


@pytest.mark.parametrize("form", ["reference", "receipt"])
def test_a_revocation_that_nobody_has_notified_is_found_by_asking_again(room: Consenting, solution: Solution, form: str) -> None:
    given, kept = room.consent(), room.consent()
    receipt = room.registered(given) if form == "reference" else room.market.submit(room.market.callers["fsp-a"], "assets", home(consentReference=solution.receipt(given)))
    other = room.registered(kept, serial="HOME-2", **SMALL)
    solution.revoke(given.id, notify=False)
    room.wait(seconds=60)

    assert room.check()

    assert room.asset(receipt).state == "SUSPENDED_CONSENT_REVOKED"
    assert room.asset(other).state == "PENDING_VALIDATION"


def test_a_solution_that_is_down_or_forgets_revokes_nothing(room: Consenting, solution: Solution) -> None:
    receipt = room.registered()

    for mode, is_whole in (("down", False), ("wrong", True), ("garbled", False)):
        solution.mode = mode
        assert room.check() is is_whole
        assert room.asset(receipt).state == "PENDING_VALIDATION"


def test_a_consent_ends_by_the_clock(room: Consenting) -> None:
    receipt = room.registered(room.consent(ends=room.solution.clock() + DAY))
    room.wait(days=1)
    assert room.market.tick() == 1

    assert room.kept(receipt).state == "EXPIRED"
    assert room.asset(receipt).state == "SUSPENDED_CONSENT_REVOKED"
    assert room.market.tick() == 0


# -- while it waits for a provider

CODE = "K7D2M-9QX4R-00011-ZZZZZ"


def installed(room: Consenting, given: Given | None = None) -> Receipt:
    """A consumer's battery that an installer has registered, with a consent for the installer."""
    given = given or room.consent("installer")
    body = json_bytes(home(consentReference=given.reference))
    return room.market.run(Submission(room.market.callers["installer"], "assets", "register", new_record_id(), BASE, "application/ld+json", body, offer=CODE))


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_consent_that_ends_closes_what_waits_for_a_provider(room: Consenting, end: str) -> None:
    given = room.consent("installer", **({"ends": room.solution.clock() + DAY} if end == "expired" else {}))
    receipt, market = installed(room, given), room.market

    if end == "revoked":
        room.notify(given.id)
    else:
        room.wait(days=1)
        market.tick()

    installer, asset = market.callers["installer"], room.asset(receipt)
    assert (asset.state, "consentEndedAt" in asset.document) == ("AWAITING_NEW_FSP", True)
    assert all(OWN not in str(each.document) for each in market.reader.versions("assets", receipt.id, installer))
    for action in ("update", "claim-code"):
        with refused("CONSENT-ENDED-1", as_=Forbidden):
            market.submit(installer, "assets", {}, action, receipt.id, if_match=("*",))
    assert OWN in str(market.reader.current("assets", receipt.id, market.callers["dso-east"]).document)


def test_whoever_registered_it_renews_the_consent_or_takes_the_asset_back(room: Consenting) -> None:
    given = room.consent("installer")
    receipt, market = installed(room, given), room.market
    room.notify(given.id)
    assert market.verdict(market.callers["installer"], "assets", "consent-renewal", receipt.id).policy == "ASSET-CONSENT-RENEW-3"
    assert market.verdict(market.callers["installer"], "assets", "deregistration", receipt.id).policy == "ASSET-DEREGISTER-2"

    market.act(market.callers["installer"], "assets", receipt.id, "consent-renewal", consentReference=room.consent("installer").reference)

    asset = room.asset(receipt)
    assert (asset.state, asset.document["standing"], "consentEndedAt" in asset.document) == ("AWAITING_NEW_FSP", "AWAITING_NEW_FSP", False)
    assert OWN in str(market.reader.current("assets", receipt.id, market.callers["installer"]).document)


@pytest.mark.parametrize("revoked", [False, True])
def test_who_claims_what_a_consumer_owns_brings_a_consent_of_its_own(room: Consenting, revoked: bool) -> None:
    first = room.consent("installer")
    receipt, market = installed(room, first), room.market
    before, fsp = room.kept(receipt), market.callers["fsp-a"]
    if revoked:
        room.notify(first.id)

    with refused("consent-required", as_=Invalid):
        market.act(fsp, "assets", receipt.id, "claim", claimCode=CODE)
    with refused("CONSENT_INVALID", as_=Invalid):
        market.act(fsp, "assets", receipt.id, "claim", claimCode=CODE, consentReference=room.consent("installer").reference)
    own = room.consent()
    with pytest.raises(NotFound):
        market.act(fsp, "assets", receipt.id, "claim", claimCode="00000", consentReference=own.reference)
    market.act(fsp, "assets", receipt.id, "claim", claimCode=CODE, consentReference=own.reference)

    asset = room.asset(receipt)
    assert (asset.state, asset.document["standing"], "consentEndedAt" in asset.document) == ("PENDING_VALIDATION", "LIVE", False)
    assert room.kept(receipt).document["grantee"] == market.iri("fsp-a")
    assert market.current("consents", before.id).state == ("REVOKED" if revoked else "ENDED")
    room.notify(own.id, name="msg_own")
    assert room.asset(receipt).state == "SUSPENDED_CONSENT_REVOKED"


def test_an_organisations_appointment_is_its_authorisation(market: Market, solution: Solution) -> None:
    room = Consenting(market, solution, owner_authorisation=True)
    document = battery(owner=market.iri("fsp-c"), ownerName=None, justification=None, importMPAN=OWN, exportMPAN=None)
    body = json_bytes({**document, "consentReference": room.consent("installer").reference})
    receipt = market.run(Submission(market.callers["installer"], "assets", "register", new_record_id(), BASE, "application/ld+json", body, offer=CODE))
    consent = room.kept(receipt)
    with refused("consent-required", as_=Invalid):
        market.act(market.callers["fsp-a"], "assets", receipt.id, "claim", claimCode=CODE)
    market.act(market.callers["fsp-c"], "assets", receipt.id, "appointment", appointedProvider=market.iri("fsp-a"))

    market.act(market.callers["fsp-a"], "assets", receipt.id, "claim")

    assert "consent" not in room.asset(receipt).document
    assert market.current("consents", consent.id).state == "ENDED"


# -- and back


def test_a_new_consent_makes_it_live_again(room: Consenting) -> None:
    given = room.consent()
    receipt = room.registered(given)
    room.notify(given.id)
    fsp, revoked = room.market.callers["fsp-a"], room.kept(receipt)

    with refused("consent-required", as_=Invalid):
        room.market.act(fsp, "assets", receipt.id, "consent-renewal")
    with refused("CONSENT_INVALID", as_=Invalid):
        room.market.act(fsp, "assets", receipt.id, "consent-renewal", consentReference=given.reference)
    with refused("CONSENT-ENDED-1"):
        room.market.update(fsp, "assets", receipt.id, assetName="still mine")
    with refused("ASSET-CONSENT-RENEW-1"):
        room.market.act(room.market.callers["dso-east"], "assets", receipt.id, "consent-renewal", consentReference=given.reference)
    again = room.consent()
    room.market.act(fsp, "assets", receipt.id, "consent-renewal", consentReference=again.reference)

    asset = room.asset(receipt)
    assert (asset.state, asset.document["standing"]) == ("PENDING_VALIDATION", "LIVE")
    assert "consentEndedAt" not in asset.document
    assert room.kept(receipt).document["solutionReference"] == again.id
    assert room.market.current("consents", revoked.id).state == "REVOKED"
    assert OWN in str(room.market.reader.current("assets", receipt.id, fsp).document)
    room.notify(given.id, name="msg_late")
    assert room.asset(receipt).state == "PENDING_VALIDATION"


def test_a_consent_that_runs_out_is_renewed_before(room: Consenting) -> None:
    receipt = room.registered(room.consent(ends=room.solution.clock() + DAY))
    first = room.kept(receipt)

    room.market.act(room.market.callers["fsp-a"], "assets", receipt.id, "consent-renewal", consentReference=room.consent().reference)
    room.wait(days=2)
    room.market.tick()

    assert room.market.current("consents", first.id).state == "ENDED"
    assert room.asset(receipt).state == "PENDING_VALIDATION"


def test_a_suspended_asset_is_deregistered_and_stays_closed(room: Consenting) -> None:
    given = room.consent()
    receipt = room.registered(given)
    room.notify(given.id)
    fsp = room.market.callers["fsp-a"]

    room.market.act(fsp, "assets", receipt.id, "deregistration", deregistrationReason="END_OF_CONTRACT")

    assert OWN not in str(room.market.reader.current("assets", receipt.id, fsp).document)
    with refused("ASSET-CONSENT-RENEW-2", as_=Conflict):
        room.market.act(fsp, "assets", receipt.id, "consent-renewal", consentReference=room.consent().reference)


def test_an_asset_that_ends_ends_its_consent(room: Consenting) -> None:
    given = room.consent()
    receipt = room.registered(given)
    room.market.act(room.market.callers["fsp-a"], "assets", receipt.id, "deregistration", deregistrationReason="END_OF_CONTRACT")

    room.notify(given.id)

    assert room.kept(receipt).state == "ENDED"
    assert room.asset(receipt).state == "DEREGISTERED"


# -- what only the node does


NODES_OWN = {
    "register": "CONSENT-REGISTER-1", "revocation": "CONSENT-REVOKE-1 CONSENT-REVOKE-2", "expiry": "CONSENT-EXPIRE-1 CONSENT-EXPIRE-2",
    "end": "CONSENT-END-1 CONSENT-END-2",
}  # fmt: skip


def test_nobody_else_makes_or_changes_the_record_of_a_consent(room: Consenting) -> None:
    receipt = room.registered()
    consent = room.kept(receipt)

    for name in ("fsp-a", "operator"):
        caller = room.market.callers[name]
        for action, codes in NODES_OWN.items():
            assert KINDS["consents"].actions[action].policies[0].code == codes.split()[0]
            with refused("NODE-1"):
                room.market.submit(caller, "consents", {"type": "Consent"}, action, "" if action == "register" else consent.id)
        with refused("NODE-1"):
            room.market.act(caller, "assets", receipt.id, "consent-loss")
    assert {action.state_rule for action in CONSENT_ACTIONS.values()} == {"ASSET-CONSENT-LOSS-2", "ASSET-CONSENT-RENEW-2"}
    assert CONSENT_ACTIONS["consent-loss"].policies[0].code == "ASSET-CONSENT-LOSS-1"


def test_what_holds_no_longer_neither_ends_nor_is_revoked_again(room: Consenting) -> None:
    given = room.consent()
    receipt = room.registered(given)
    room.notify(given.id)

    for action, code in (("revocation", "CONSENT-REVOKE-2"), ("expiry", "CONSENT-EXPIRE-2"), ("end", "CONSENT-END-2")):
        with refused(code, as_=Conflict):
            room.market.submit(room.market.node(), "consents", {}, action, room.kept(receipt).id)
    with refused("ASSET-CONSENT-LOSS-2", as_=Conflict):
        room.market.submit(room.market.node(), "assets", {}, "consent-loss", receipt.id)


def test_the_operator_erases_what_the_solution_calls_it(room: Consenting) -> None:
    receipt = room.registered()
    operator, consent = room.market.callers["operator"], room.kept(receipt)

    with refused("CONSENT-ERASE-1"):
        room.market.act(room.market.callers["fsp-a"], "consents", consent.id, "erasure", erasureReason="REQUEST")
    with refused("CONSENT-ERASE-2", as_=Invalid):
        room.market.act(operator, "consents", consent.id, "erasure")
    room.market.act(operator, "consents", consent.id, "erasure", erasureReason="REQUEST")

    assert "solutionReference" not in room.kept(receipt).document
    assert room.check()
