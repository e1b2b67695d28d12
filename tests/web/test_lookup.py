"""Lookups over HTTP: one identifier or several, what is found, and that nothing is told of the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.live import Live
from tests.market import mpan


def look(live: Live, name: str, *identifiers: Any) -> httpx.Response:
    return live.client(name).post("/assets/lookup", json={"identifiers": list(identifiers)})


def by(scheme: str, value: str, **more: str) -> dict[str, str]:
    return {"scheme": scheme, "value": value, **more}


def outcomes(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [answer["outcome"] for answer in response.json()["answers"]]


def test_several_identifiers_are_answered_in_their_order(live: Live) -> None:
    evse = f"GB*ABC*E{next(live.serials).replace('-', '')}"
    made = live.register(friendlyCode=f"code-{next(live.serials)}", alias=[{"scheme": "EVSE", "value": evse}]).json()
    asked = [
        by("MPAN", made["importMPAN"]), by("MPAN", f"00801ABC{made['importMPAN']}"), by("MPAN", mpan(9_000_001)), by("evse", evse.replace("*", "").lower()),
        by("SERIAL", made["serialNumber"], manufacturer=made["manufacturer"]), by("FRIENDLY_CODE", made["friendlyCode"].upper()), by("SERIAL", "none"),
    ]  # fmt: skip

    response = look(live, "fsp-a", *asked)

    assert outcomes(response) == ["found", "found", "absent", "found", "found", "found", "absent"]
    assert {answer["items"][0]["id"] for answer in response.json()["answers"] if "items" in answer} == {made["id"]}
    single = [live.client("fsp-a").post("/assets/lookup", json=each) for each in asked]
    assert [each.json().get("items") for each in single] == [answer.get("items") for answer in response.json()["answers"]]


def test_what_is_anothers_is_answered_as_what_is_not_there(live: Live) -> None:
    code = f"code-{next(live.serials)}"
    held, free = live.register(friendlyCode=code, alias=[{"scheme": "ECR", "value": code}]).json(), live.battery()
    own = live.register("fsp-b").json()

    def asked(document: dict[str, Any], name: str) -> list[dict[str, str]]:
        return [by("MPAN", own["importMPAN"]), by("MPAN", document["importMPAN"]), by("SERIAL", document["serialNumber"]), by("FRIENDLY_CODE", name), by("ECR", name)]

    first, second = look(live, "fsp-b", *asked(held, code)), look(live, "fsp-b", *asked(free, "free"))

    assert outcomes(first) == ["found", *["absent"] * 4]
    assert first.content == second.content
    assert {name: value for name, value in first.headers.items() if name in ("content-length", "retry-after", "etag")} == {"content-length": second.headers["content-length"]}


@pytest.mark.parametrize(("body", "status"), [
    ({"identifiers": []}, 422), ({"identifiers": {}}, 422), ({"identifiers": "x"}, 422), ({"identifiers": [by("MPAN", "1")] * 101}, 422), ({"identifiers": [[]]}, 422),
    ({"identifiers": [by("MPAN", "1"), {"scheme": "MPAN"}]}, 422), ({"identifiers": [by("MPAN", "1", x="y")]}, 422), ({"identifiers": [by("NOSUCH", "1")]}, 400),
    ({"identifiers": [by("MPAN", "1")], "scheme": "MPAN"}, 422), ({"identifiers": [{"identifiers": []}]}, 422), ({"identifiers": [by("SERIAL", "x" * 70_000)]}, 413),
])  # fmt: skip
def test_a_question_that_is_not_understood_is_refused_whole(live: Live, body: dict[str, Any], status: int) -> None:
    assert live.client("fsp-a").post("/assets/lookup", json=body).status_code == status


def test_as_many_as_are_allowed_are_answered(live: Live) -> None:
    own = live.register("fsp-c").json()["importMPAN"]

    assert outcomes(look(live, "fsp-c", *[by("MPAN", own)] * 100)) == ["found"] * 100


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that tells of five absences an hour."""
    with Live(tmp_path_factory.mktemp("few"), {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}}, FMAR_LOOKUPS_PER_HOUR="5") as node:
        yield node


def test_each_identifier_that_finds_nothing_counts(few: Live) -> None:
    own = by("MPAN", few.register("fsp-b").json()["importMPAN"])
    misses = [by("SERIAL", f"none-{number}") for number in range(7)]

    response = look(few, "fsp-b", own, *misses, own)

    assert outcomes(response) == ["found", *["absent"] * 5, *["too-many-requests"] * 2, "found"]
    assert response.headers["Retry-After"] == "600"
    assert few.client("fsp-b").post("/assets/lookup", json=misses[0]).status_code == 429
    assert few.client("fsp-a").post("/assets/lookup", json=misses[0]).status_code == 404
