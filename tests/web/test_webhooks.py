"""Subscriptions and webhooks on a live node, with a real endpoint: verification, signatures, order, retries, dead letters, kill -9."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from examples.servers.webhook_receiver import Receiver
from tests.live import LD_JSON, Live

QUICK = {
    "FMAR_WEBHOOK_LOOPBACK": "true", "FMAR_WEBHOOK_PAUSE_SECONDS": "0.1", "FMAR_WEBHOOK_PAUSE_SECONDS_MOST": "0.3", "FMAR_WEBHOOK_SECONDS": "1",
    "FMAR_WEBHOOK_GIVE_UP_SECONDS": "1.5", "FMAR_WEBHOOK_FAIL_SECONDS": "600", "FMAR_WEBHOOK_AT_ONCE": "4", "FMAR_WEBHOOK_SECRET_OVERLAP_SECONDS": "600",
    "FMAR_SUBSCRIPTIONS_PER_ORGANISATION": "100",
}  # fmt: skip
PARTICIPANTS: dict[str, dict[str, Any]] = {
    "fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}, "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN"]}, "platform": {"roles": ["PLATFORM"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that lets endpoints be on loopback, and is in a hurry."""
    with Live(tmp_path_factory.mktemp("hooked"), PARTICIPANTS, **QUICK) as node:
        yield node


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made


def subscribe(live: Live, receiver: Receiver, name: str = "fsp-a", **changes: Any) -> httpx.Response:
    document = {"type": "Subscription", "endpoint": f"{receiver.url}/hook", "eventKind": ["assets"], **changes}
    made = live.client(name).post("/subscriptions", json=document, headers=LD_JSON)
    assert made.status_code == 201, made.text
    receiver.secrets.append(made.headers["Fmar-Webhook-Secret"])
    return made


def until(is_so: Callable[[], bool], seconds: float = 25.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it has not come about in time"
        time.sleep(0.05)


def status(live: Live, place: str, name: str = "fsp-a") -> str:
    return str(live.client(name).get(place).json()["subscriptionStatus"])


def active(live: Live, receiver: Receiver, name: str = "fsp-a", **changes: Any) -> str:
    """A subscription whose endpoint has answered the challenge."""
    place: str = subscribe(live, receiver, name, **changes).headers["Location"]
    until(lambda: status(live, place, name) == "ACTIVE")
    return place


def ended(live: Live, *places: str, name: str = "fsp-a") -> None:
    for place in places:
        live.client(name).post(f"{place}/cancellation", headers=LD_JSON)


def subjects(receiver: Receiver) -> list[str]:
    return [event["subject"] for event in receiver.events]


def test_an_endpoint_answers_a_challenge_and_is_told_signed_events(hooked: Live, receiver: Receiver) -> None:
    place = active(hooked, receiver)

    made = hooked.register("fsp-a").headers["Location"]

    assert receiver.wait(lambda: made in subjects(receiver))
    (event,) = [each for each in receiver.events if each["subject"] == made]
    fed = hooked.client("fsp-a").get(f"/events?since={event['id']}&limit=1").json()
    assert [event] == fed
    assert (receiver.forged, [id_ for id_, subject, _ in receiver.deliveries if subject == made]) == (0, [event["id"]])
    assert made not in subjects(receiver)[1:] or subjects(receiver).count(made) == 1
    ended(hooked, place)


def test_nothing_is_sent_to_an_endpoint_that_does_not_answer_the_challenge(hooked: Live, receiver: Receiver) -> None:
    """B19: whoever does not expect the node is left in peace."""
    for mode in ("deaf", "echo", "redirect"):
        receiver.mode = mode
        before = len(receiver.deliveries)
        place = subscribe(hooked, receiver).headers["Location"]
        hooked.register("fsp-a")

        assert receiver.wait(lambda before=before: len(receiver.deliveries) >= before + 3)
        assert {subject for _, subject, _ in receiver.deliveries[before:]} == {place}, mode
        assert status(hooked, place) == "PENDING_VERIFICATION"
        ended(hooked, place)
    assert receiver.events == []


def test_the_secret_is_told_once_and_stands_nowhere_else(hooked: Live, receiver: Receiver) -> None:
    key = {"Idempotency-Key": f"once-{time.time_ns()}"}
    document = {"type": "Subscription", "endpoint": f"{receiver.url}/hook", "eventKind": ["delegations"]}
    made = hooked.client("fsp-a").post("/subscriptions", json=document, headers=LD_JSON | key)
    secret = made.headers["Fmar-Webhook-Secret"]

    again = hooked.client("fsp-a").post("/subscriptions", json=document, headers=LD_JSON | key)
    read = hooked.client("fsp-a").get(made.headers["Location"])

    assert secret.startswith("whsec_")
    assert made.headers["Cache-Control"] == "no-store"
    assert (again.headers.get("Fmar-Webhook-Secret"), again.headers["Idempotent-Replayed"]) == (None, "true")
    assert "Fmar-Webhook-Secret" not in read.headers
    written = b"".join(file.read_bytes() for folder in ("journal", "log") for file in (hooked.folder / folder).rglob("*") if file.is_file())
    assert secret.encode() not in written + made.content + read.content + hooked.log.read_bytes()
    assert (hooked.folder / "state" / "webhooks.db").stat().st_mode & 0o077 == 0
    ended(hooked, made.headers["Location"])


def test_after_a_rotation_both_secrets_sign_for_a_while(hooked: Live, receiver: Receiver) -> None:
    place = active(hooked, receiver)
    (old,) = receiver.secrets

    rotated = hooked.client("fsp-a").post(f"{place}/secret-rotation", headers=LD_JSON)
    new = rotated.headers["Fmar-Webhook-Secret"]
    receiver.secrets[:] = [new]
    first = hooked.register("fsp-a").headers["Location"]
    assert receiver.wait(lambda: first in subjects(receiver))
    receiver.secrets[:] = [old]
    second = hooked.register("fsp-a").headers["Location"]

    assert receiver.wait(lambda: second in subjects(receiver))
    assert (new != old, receiver.forged, len(receiver.signatures[-1].split())) == (True, 0, 2)
    ended(hooked, place)


def test_each_subscriber_is_told_what_it_sees(hooked: Live, receiver: Receiver) -> None:
    with Receiver() as operators, Receiver() as others:
        places = [active(hooked, receiver), active(hooked, operators, "dso-east"), active(hooked, others, "fsp-b")]

        made = hooked.register("fsp-a", dnoConnection="UKPN_EPN").headers["Location"]
        own = hooked.register("fsp-b", dnoConnection="UKPN_SPN").headers["Location"]

        assert operators.wait(lambda: made in subjects(operators))
        assert others.wait(lambda: own in subjects(others))
        assert (own in subjects(operators), made in subjects(others)) == (False, False)
        assert "action" not in operators.events[-1]["data"]
        for place, name in zip(places, ("fsp-a", "dso-east", "fsp-b"), strict=True):
            ended(hooked, place, name=name)


def test_the_events_of_a_record_come_in_order_while_one_is_refused_and_other_records_go_on(hooked: Live, receiver: Receiver) -> None:
    place = active(hooked, receiver)
    refused = hooked.register("fsp-a")
    assert receiver.wait(lambda: refused.headers["Location"] in subjects(receiver))
    receiver.mode = f"reject {refused.headers['Location']}"
    events, tag = list[str](), refused.headers["ETag"]
    for capacity in ("510.00", "520.00"):
        changed = hooked.client("fsp-a").patch(refused.headers["Location"], json={"ratedCapacity": capacity}, headers={"Content-Type": "application/merge-patch+json", "If-Match": tag})
        tag = changed.headers["ETag"]
        events.append(changed.headers["Fmar-Journal-Index"])

    other = hooked.register("fsp-a").headers["Location"]
    assert receiver.wait(lambda: other in subjects(receiver))
    tried = {id_ for id_, subject, _ in receiver.deliveries if subject == refused.headers["Location"]}
    receiver.mode = "up"

    assert receiver.wait(lambda: events[1] in [event["id"] for event in receiver.events])
    assert events[1] not in tried
    came = [event["id"] for event in receiver.events if event["subject"] == refused.headers["Location"]]
    assert came == sorted(came, key=int)
    ended(hooked, place)


@pytest.mark.parametrize("mode", ["down", "limited", "slow", "redirect"])
def test_what_is_not_taken_is_tried_again_with_the_same_id(hooked: Live, receiver: Receiver, mode: str) -> None:
    place = active(hooked, receiver)
    receiver.mode = mode
    made = hooked.register("fsp-a").headers["Location"]
    assert receiver.wait(lambda: any(subject == made for _, subject, _ in receiver.deliveries))

    receiver.mode = "up"

    assert receiver.wait(lambda: (made, 200) in [(subject, answer) for _, subject, answer in receiver.deliveries])
    assert len({id_ for id_, subject, _ in receiver.deliveries if subject == made}) == 1
    ended(hooked, place)


def test_an_answer_that_is_too_large_is_taken_and_not_read(hooked: Live, receiver: Receiver) -> None:
    place = active(hooked, receiver)
    receiver.mode = "huge"
    first, second = (hooked.register("fsp-a").headers["Location"] for _ in range(2))

    assert receiver.wait(lambda: {first, second} <= set(subjects(receiver)))
    ended(hooked, place)


def test_what_is_not_taken_for_long_is_a_dead_letter_that_can_be_replayed(hooked: Live, receiver: Receiver) -> None:
    place, client = active(hooked, receiver), hooked.client("fsp-a")
    receiver.mode = "down"
    made = hooked.register("fsp-a")
    index = made.headers["Fmar-Journal-Index"]

    until(lambda: bool(client.get(f"{place}/deliveries?status=dead").json()["items"]))
    (letter,) = client.get(f"{place}/deliveries?status=dead").json()["items"]
    later = hooked.register("fsp-a").headers["Location"]
    receiver.mode = "up"
    assert receiver.wait(lambda: later in subjects(receiver))
    foreign = [hooked.client(name).get(f"{place}/deliveries").status_code for name in ("fsp-b", "dso-east", "")]
    kept = hooked.client("operator").post(f"{place}/replay")
    replayed = client.post(f"{place}/replay", json={"events": [index]})

    assert (letter["event"], letter["problem"], letter["attempts"] > 1) == (index, "the answer was 503", True)
    assert made.headers["Location"] not in client.get(f"{place}/deliveries?status=dead").text
    assert foreign == [404, 404, 401]
    assert (kept.status_code, kept.json()["errors"][0]["code"]) == (403, "SUBSCRIPTION-RESUME-1")
    assert (replayed.status_code, replayed.json()) == (200, {"replayed": 1})
    assert client.post(f"{place}/replay", json={"events": ["999999999"]}).status_code == 404
    assert receiver.wait(lambda: made.headers["Location"] in subjects(receiver))
    until(lambda: client.get(f"{place}/deliveries?status=dead").json()["items"] == [])
    ended(hooked, place)


@pytest.mark.parametrize(("body", "is_json"), [('{"events": "42"}', True), ('{"event": ["42"]}', True), ('{"events": [true]}', True), ('{"events": [42]}', True), ("[", False), ('{"events": ["-1"]}', True)])
def test_a_replay_that_is_not_understood_is_refused(hooked: Live, receiver: Receiver, body: str, is_json: bool) -> None:
    place = subscribe(hooked, receiver).headers["Location"]

    answer = hooked.client("fsp-a").post(f"{place}/replay", content=body)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request" if is_json else "malformed-json")
    ended(hooked, place)


def test_an_endpoint_that_is_gone_ends_its_subscription(hooked: Live, receiver: Receiver) -> None:
    place = active(hooked, receiver)
    receiver.mode = "gone"

    hooked.register("fsp-a")

    until(lambda: status(hooked, place) == "ENDED")
    assert hooked.client("fsp-a").get(f"{place}/history").json()["items"][-1]["action"] == "end"


def test_a_pause_holds_events_back_and_loses_none(hooked: Live, receiver: Receiver) -> None:
    place, client = active(hooked, receiver), hooked.client("fsp-a")
    client.post(f"{place}/pause", headers=LD_JSON)
    time.sleep(0.3)
    made = hooked.register("fsp-a").headers["Location"]
    time.sleep(0.7)
    held = made not in subjects(receiver)

    client.post(f"{place}/resumption", headers=LD_JSON)

    assert receiver.wait(lambda: made in subjects(receiver))
    assert held
    ended(hooked, place)


def test_who_has_lost_its_rights_is_told_nothing_that_waited(hooked: Live, receiver: Receiver) -> None:
    """What is sent is revealed when it is sent."""
    with Receiver() as platforms:
        given = {"type": "Delegation", "delegate": hooked.profiles["platform"].organisation, "permission": ["READ"], "assetScope": "ALL_ASSETS", "validTo": "2099-01-01"}
        grant = hooked.client("fsp-a").post("/delegations", json=given, headers=LD_JSON).headers["Location"]
        hooked.client("platform").post(f"{grant}/acceptance", headers=LD_JSON)
        place = active(hooked, platforms, "platform")
        seen = hooked.register("fsp-a").headers["Location"]
        assert platforms.wait(lambda: seen in subjects(platforms))
        hooked.client("platform").post(f"{place}/pause", headers=LD_JSON)
        unseen = hooked.register("fsp-a").headers["Location"]
        hooked.client("fsp-a").post(f"{grant}/revocation", headers=LD_JSON)

        hooked.client("platform").post(f"{place}/resumption", headers=LD_JSON)
        own = hooked.client("platform").patch(place, json={"eventKind": ["assets", "subscriptions"]}, headers={"Content-Type": "application/merge-patch+json", "If-Match": "*"})

        assert own.status_code == 200, own.text
        assert platforms.wait(lambda: place in subjects(platforms))
        assert unseen not in [subject for _, subject, _ in platforms.deliveries]
        ended(hooked, place, name="platform")


def test_nothing_is_lost_when_the_node_is_killed_between_commit_and_delivery(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> None:
    with Live(tmp_path_factory.mktemp("killed"), {"fsp-a": {"roles": ["FSP"]}}, **{**QUICK, "FMAR_WEBHOOK_GIVE_UP_SECONDS": "600"}) as node:
        active(node, receiver)
        made = list[str]()
        for mode in ("down", "up", "slow"):
            receiver.mode = mode
            made += [node.register("fsp-a").headers["Location"] for _ in range(4)]
            node.stop(signal.SIGKILL)
            node.start()
        receiver.mode = "up"

        assert receiver.wait(lambda: set(made) <= set(subjects(receiver)), 60), [each for each in made if each not in subjects(receiver)]
        ids = {subject: {id_ for id_, each, _ in receiver.deliveries if each == subject} for subject in made}
        assert {len(each) for each in ids.values()} == {1}, "a duplicate carries the same id"


def test_an_endpoint_that_takes_nothing_for_long_has_failed_and_goes_on_where_it_was_when_it_is_mended(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> None:
    with Live(tmp_path_factory.mktemp("failing"), {"fsp-a": {"roles": ["FSP"]}}, **{**QUICK, "FMAR_WEBHOOK_GIVE_UP_SECONDS": "600", "FMAR_WEBHOOK_FAIL_SECONDS": "1.5"}) as node:
        client, place = node.client("fsp-a"), active(node, receiver)
        receiver.mode = "down"
        made = [node.register("fsp-a").headers["Location"]]
        until(lambda: status(node, place) == "FAILED")
        made.append(node.register("fsp-a").headers["Location"])
        receiver.mode = "up"

        resumed = client.post(f"{place}/resumption", headers=LD_JSON)

        assert resumed.json()["subscriptionStatus"] == "PENDING_VERIFICATION"
        assert receiver.wait(lambda: set(made) <= set(subjects(receiver)))
        assert status(node, place) == "ACTIVE"
        metrics = node.client().get("/metrics").text
        assert "fmar_webhook_lag_entries 0" in metrics
        assert 'fmar_webhook_deliveries_total{outcome="taken"} 0' not in metrics


def test_who_has_lost_its_secrets_has_failed_and_makes_new_ones(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> None:
    """As after a restore: secrets are in no backup."""
    with Live(tmp_path_factory.mktemp("restored"), {"fsp-a": {"roles": ["FSP"]}}, **QUICK) as node:
        client, place = node.client("fsp-a"), active(node, receiver)
        node.stop()
        for file in (node.folder / "state").glob("webhooks.db*"):
            file.unlink()
        node.start()
        until(lambda: status(node, place) == "FAILED")

        receiver.secrets.append(client.post(f"{place}/secret-rotation", headers=LD_JSON).headers["Fmar-Webhook-Secret"])
        client.post(f"{place}/resumption", headers=LD_JSON)

        until(lambda: status(node, place) == "ACTIVE")
        made = node.register("fsp-a").headers["Location"]
        assert receiver.wait(lambda: made in subjects(receiver))
        assert receiver.forged == 0
