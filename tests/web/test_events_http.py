"""The feed over HTTP: cursors, waiting, bounds."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from fmar_node.client import connect
from tests.live import Live

BATCH = "application/cloudevents-batch+json"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node of which nobody else moves the journal."""
    participants: dict[str, dict[str, Any]] = {
        "fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}, "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN"]}, "dso-south": {"roles": ["DNO"], "licenceArea": ["UKPN_SPN"]},
    }  # fmt: skip
    with Live(tmp_path_factory.mktemp("told"), participants, FMAR_EVENT_WAITERS_PER_ORGANISATION="1", FMAR_EVENT_ENTRIES="10", FMAR_EVENT_WAIT_SECONDS="30") as node:
        yield node


def following(response: httpx.Response) -> str:
    found = re.fullmatch(r'<([^>]+)>; rel="next"', response.headers["Link"])
    assert found, response.headers
    return found[1]


def now(live: Live, name: str) -> str:
    """Where the feed goes on from here."""
    return following(live.client(name).get("/events?since=now"))


def test_a_registration_is_told_to_its_provider_and_its_network_operator_and_to_nobody_else(told: Live) -> None:
    places = {name: now(told, name) for name in ("fsp-a", "fsp-b", "dso-east", "dso-south")}

    made = told.register("fsp-a", dnoConnection="UKPN_EPN")

    answers = {name: told.client(name).get(place) for name, place in places.items()}
    assert {name: answer.headers["Content-Type"] for name, answer in answers.items()} == dict.fromkeys(places, BATCH)
    (provider,), (operator,) = answers["fsp-a"].json(), answers["dso-east"].json()
    assert (answers["fsp-b"].json(), answers["dso-south"].json()) == ([], [])
    assert provider["subject"] == operator["subject"] == made.headers["Location"]
    assert provider["id"] == operator["id"] == made.headers["Fmar-Journal-Index"]
    assert (provider["data"]["action"], operator["data"].get("action")) == ("register", None)
    assert operator["data"]["changed"] == [name for name in sorted(told.client("dso-east").get(made.headers["Location"]).json()) if name not in ("@context", "id", "type")]


def test_the_feed_is_read_page_by_page_and_each_event_once(told: Live) -> None:
    made = [told.register("fsp-a").headers["Location"] for _ in range(3)]
    client, place, found = told.client("fsp-a"), "/events?since=beginning&kind=assets&limit=2", list[dict[str, Any]]()

    while True:
        page = client.get(place)
        found += page.json()
        place = following(page)
        if page.headers["Fmar-Events-Behind"] == "0":
            break

    subjects = [event["subject"] for event in found]
    assert subjects[-3:] == made
    assert len({event["id"] for event in found}) == len(found)
    assert parse_qs(urlsplit(place).query).keys() == {"kind", "limit", "cursor"}


def test_a_page_may_be_empty_where_there_was_much_to_look_through(told: Live) -> None:
    for _ in range(6):
        told.register("fsp-a")

    page = told.client("fsp-b").get("/events?since=0&kind=delegations")

    assert page.json() == []
    assert int(page.headers["Fmar-Events-Behind"]) > 0


def test_it_begins_at_the_beginning_now_or_any_time_or_event_between(told: Live) -> None:
    client = told.client("fsp-a")
    event = client.get(f"{now(told, 'fsp-a')}&wait=0").json()
    made = told.register("fsp-a")
    index, at = made.headers["Fmar-Journal-Index"], made.json()["recordedAt"]

    first = client.get("/events?limit=1").json()[0]

    assert event == client.get("/events?since=now").json() == []
    assert first["type"] == "org.fmar.organisation.appeared"
    assert [each["id"] for each in client.get(f"/events?since={index}").json()] == [index]
    assert [each["id"] for each in client.get("/events", params={"since": at}).json()] == [index]
    assert client.get("/events?since=2099-01-01").json() == []


def test_who_waits_is_told_at_once(told: Live) -> None:
    place, answers = now(told, "dso-east"), list[httpx.Response]()
    with connect(told.profiles["dso-east"], patience=0) as client:
        waiting = threading.Thread(target=lambda: answers.append(client.get(f"{place}&wait=20", timeout=30)))
        waiting.start()
        time.sleep(0.5)
        began = time.monotonic()

        made = told.register("fsp-a", dnoConnection="UKPN_EPN")
        waiting.join(timeout=15)

    assert time.monotonic() - began < 10
    assert [event["subject"] for event in answers[0].json()] == [made.headers["Location"]]


def test_who_waits_in_vain_gets_an_empty_page(told: Live) -> None:
    answer = told.client("fsp-b").get(f"{now(told, 'fsp-b')}&wait=0.3")

    assert (answer.status_code, answer.json(), answer.headers["Fmar-Events-Behind"]) == (200, [], "0")


def test_so_many_of_an_organisation_wait_at_once(told: Live) -> None:
    place = now(told, "fsp-b")
    with connect(told.profiles["fsp-b"], patience=0) as client:
        waiting = threading.Thread(target=lambda: client.get(f"{place}&wait=3", timeout=30))
        waiting.start()
        time.sleep(0.7)

        second, other = told.client("fsp-b").get(f"{place}&wait=1"), told.client("dso-south").get(f"{now(told, 'dso-south')}&wait=0.1")
        at_once = told.client("fsp-b").get(place)
        waiting.join()

    assert (second.status_code, second.json()["code"], second.headers["Retry-After"]) == (429, "too-many-requests", "1")
    assert (other.status_code, at_once.status_code) == (200, 200)
    assert told.client("fsp-b").get(f"{place}&wait=0.1").status_code == 200


def test_the_feed_is_for_those_with_a_credential(told: Live) -> None:
    answer = told.client().get("/events")

    assert (answer.status_code, answer.json()["code"]) == (401, "credential-missing")


@pytest.mark.parametrize(
    "asked",
    ["cursor=x", "cursor=&since=now", "since=yesterday", "limit=0", "limit=501", "wait=31", "wait=-1", "wait=NaN", "kind=cars", "area=EAST", "category=TOASTER",
     "action=explosion", "cursor=e30", "name=x", "limit=1&limit=2"],
)  # fmt: skip
def test_what_is_not_understood_is_refused(told: Live, asked: str) -> None:
    answer = told.client("fsp-a").get(f"/events?{asked}")

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")


def test_a_node_that_stops_lets_those_go_who_wait(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Live(tmp_path_factory.mktemp("stopping"), {}) as node:
        place, answers = now(node, "operator"), list[httpx.Response]()
        with connect(node.profiles["operator"], patience=0) as client:
            waiting = threading.Thread(target=lambda: answers.append(client.get(f"{place}&wait=30", timeout=40)))
            waiting.start()
            time.sleep(0.5)
            began = time.monotonic()

            code = node.stop()
            waiting.join()

        assert (code, answers[0].json()) == (0, [])
        assert time.monotonic() - began < 8
        node.start()
