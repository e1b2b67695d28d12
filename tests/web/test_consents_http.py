"""Consent over HTTP: assets of consumers, and what a consent solution notifies, signed or forged."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.servers.consent_solution import Given, Solution
from tests.consenting import home
from tests.live import LD_JSON, Live
from tests.market import mpan

PARTICIPANTS: dict[str, dict[str, Any]] = {"fsp-a": {"roles": ["FSP"]}, "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN"]}}


@pytest.fixture(scope="module")
def solution() -> Iterator[Solution]:
    with Solution() as running:
        yield running


@pytest.fixture(scope="module")
def node(solution: Solution, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("consents")
    secret = folder / "notifications.secret"
    secret.write_text(solution.notification_secret)
    secret.chmod(0o600)
    trusted = json.dumps([solution.settings(str(secret))])
    live = Live(folder / "node", PARTICIPANTS, FMAR_CONSENT_SOLUTIONS=trusted, FMAR_CONSENT_CHECK_SECONDS="1", FMAR_STATUS_LIST_SECONDS="1")
    solution.node = live.url
    with live:
        yield live


NUMBERS = iter(range(5_000, 6_000))


def consumer(node: Live, solution: Solution) -> tuple[str, Given]:
    """A consumer with a meter point of its own, who lets fsp-a manage what is there."""
    point = mpan(next(NUMBERS))
    return point, solution.consent(node.profiles["fsp-a"].organisation, [f"mpan:{point}"])


def registered(node: Live, point: str, proof: str, **changes: Any) -> httpx.Response:
    return node.client("fsp-a").post("/assets", json=home(f"H-{point}", importMPAN=point, consentReference=proof, **changes), headers=LD_JSON)


def status(node: Live, iri: str) -> str:
    return str(node.client("operator").get(iri).json()["registrationStatus"])


def becomes(found: Callable[[], object], wanted: object, seconds: float = 20) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + seconds
    while (was := found()) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    assert was == wanted


IF_ANY = {"If-Match": "*"}


def provider_row(node: Live, iri: str) -> dict[str, Any]:
    """An asset as its provider has it in an export."""
    return next(row for row in map(json.loads, node.client("fsp-a").get("/assets/export").text.splitlines()) if row["id"] == iri)


def told(node: Live) -> str:
    """Everything that the node has written down for people: its log, and its security log."""
    return "".join(file.read_text("utf-8", "replace") for file in [node.log, *(node.folder / "log").rglob("*")] if file.is_file())


def test_a_consumers_asset_from_registration_to_revocation_and_back(node: Live, solution: Solution) -> None:
    point, given = consumer(node, solution)
    receipt = solution.receipt(given)

    made = registered(node, point, receipt)
    assert made.status_code == 201, made.text
    iri, consent = made.headers["Location"], made.json()["consent"]
    assert "consentReference" not in made.json()
    kept = node.client("fsp-a").get(consent).json()
    assert (kept["consentStatus"], kept["solutionReference"]) == ("VALID", given.id)
    assert node.client("dso-east").get(consent).status_code == 404

    solution.revoke(given.id)
    assert status(node, iri) == "SUSPENDED_CONSENT_REVOKED"
    shown = node.client("fsp-a").get(iri)
    assert point not in shown.text
    assert point not in node.client("fsp-a").get(f"{iri}?version=1").text
    assert node.client("fsp-a").post("/assets/lookup", json={"scheme": "MPAN", "value": point}).status_code == 404
    index = node.client("operator").get(f"{iri}/history").json()["items"][-1]["journalIndex"]
    assert node.rows("fsp-a", f"SELECT ?point {{ <{iri}> <https://w3id.org/fmar/ns#importMPAN> ?point }}", after=index) == []

    provider, row = node.client("fsp-a"), provider_row(node, iri)
    sent = [provider.put(iri, json=row, headers=IF_ANY), provider.patch(iri, json={"assetName": "x"}, headers={**IF_ANY, "Content-Type": "application/merge-patch+json"})]
    assert [(each.status_code, each.json()["errors"][0]["code"]) for each in sent] == [(403, "CONSENT-ENDED-1")] * 2
    assert "consent-renewal" in sent[0].json()["detail"]
    same, other, hidden = provider.post("/assets/batch", json=[row, {**row, "assetCategory": "SOLAR_PV"}, {**row, "importMPAN": point}]).text.splitlines()
    assert json.loads(same) == {"row": 1, "status": 200, "outcome": "unchanged", "id": iri}
    assert [json.loads(each)["problem"]["errors"][0]["code"] for each in (other, hidden)] == ["CONSENT-ENDED-1"] * 2

    again = solution.consent(given.grantee, given.subjects)
    renewed = node.client("fsp-a").post(f"{iri}/consent-renewal", json={"consentReference": again.reference}, headers=LD_JSON)
    assert renewed.status_code == 200, renewed.text
    assert (renewed.json()["registrationStatus"], renewed.json()["importMPAN"]) == ("PENDING_VALIDATION", point)
    for secret in (receipt, given.reference, again.reference, given.id, point):
        assert secret not in told(node)


@pytest.mark.parametrize(("spoil", "word"), [
    (lambda headers: {name: value for name, value in headers.items() if not name.startswith("webhook")}, "missing"),
    (lambda headers: {**headers, "webhook-signature": "v1,AAAA"}, "signature"),
    (lambda headers: {**headers, "webhook-signature": b"v1,\xfc"}, "signature"),
    (lambda headers: {**headers, "webhook-id": "msg_other"}, "signature"),
    (lambda headers: {**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}, "signature"),
])  # fmt: skip
def test_a_forged_notification_changes_nothing(node: Live, solution: Solution, spoil: Callable[[dict[str, str]], Any], word: str) -> None:
    point, given = consumer(node, solution)
    iri = registered(node, point, given.reference).headers["Location"]
    headers, body = solution.notification(given.id)

    refused = node.client().post("/consents/notifications", content=body, headers=spoil(headers))

    assert (refused.status_code, refused.json()["code"]) == (401, "notification-not-accepted")
    assert word in refused.json()["detail"]
    assert refused.headers["WWW-Authenticate"]
    assert status(node, iri) == "PENDING_VALIDATION"
    becomes(lambda: "notification-not-accepted" in told(node), wanted=True)


def test_an_overheard_notification_is_soon_worth_nothing(node: Live, solution: Solution) -> None:
    now = solution.clock
    solution.clock = lambda: now() - 600
    try:
        headers, body = solution.notification("cr-1")
    finally:
        solution.clock = now

    refused = node.client().post("/consents/notifications", content=body, headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (401, "notification-not-accepted")
    assert "too far from now" in refused.json()["detail"]


def test_a_signed_notification_that_says_nothing_is_malformed(node: Live, solution: Solution) -> None:
    headers, body = solution.notification("cr 1")

    refused = node.client().post("/consents/notifications", content=body, headers=headers)

    assert (refused.status_code, refused.json()["code"]) == (400, "notification-not-accepted")


def test_a_repeated_notification_is_taken_and_changes_nothing(node: Live, solution: Solution) -> None:
    point, given = consumer(node, solution)
    iri = registered(node, point, given.reference).headers["Location"]
    headers, body = solution.notification(given.id)

    answers = [node.client().post("/consents/notifications", content=body, headers=headers).status_code for _ in range(3)]

    assert answers == [204, 204, 204]
    assert [each["action"] for each in node.client("operator").get(f"{iri}/history").json()["items"]] == ["register", "consent-loss"]


def test_a_revocation_that_was_not_notified_is_found_by_asking_again(node: Live, solution: Solution) -> None:
    made = []
    for form in ("receipt", "reference"):
        point, given = consumer(node, solution)
        proof = solution.receipt(given) if form == "receipt" else given.reference
        made.append(registered(node, point, proof).headers["Location"])
        solution.revoke(given.id, notify=False)

    becomes(lambda: {status(node, iri) for iri in made}, {"SUSPENDED_CONSENT_REVOKED"})


def test_what_was_notified_is_not_lost_when_the_node_is_killed(node: Live, solution: Solution) -> None:
    point, given = consumer(node, solution)
    iri = registered(node, point, given.reference).headers["Location"]
    solution.mode = "down"  # nobody can ask again: the notification is all that there is
    try:
        assert solution.notify(given.id) == 204
        os.killpg(node.process.pid, signal.SIGKILL)
        node.process.wait(timeout=30)
        node.start()

        becomes(lambda: status(node, iri), "SUSPENDED_CONSENT_REVOKED")
    finally:
        solution.mode = "up"


def test_a_solution_that_is_down_is_503_and_the_same_request_works_later(node: Live, solution: Solution) -> None:
    point, given = consumer(node, solution)
    solution.mode = "down"
    try:
        refused = registered(node, point, given.reference)
    finally:
        solution.mode = "up"

    assert (refused.status_code, refused.json()["code"]) == (503, "consent-service-unavailable")
    assert refused.headers["Retry-After"]
    assert refused.json()["errors"][0]["code"] == "CONSENT_SERVICE_UNAVAILABLE"
    assert registered(node, point, given.reference).status_code == 201


def test_rows_of_a_batch_bring_proofs_of_their_own(node: Live, solution: Solution) -> None:
    point, given = consumer(node, solution)
    other, _ = consumer(node, solution)
    rows = [home(f"H-{point}", importMPAN=point, consentReference=given.reference), home(f"H-{other}", importMPAN=other)]
    lines = "\n".join(map(json.dumps, rows))

    answer = node.client("fsp-a").post("/assets/batch", content=lines, headers={"Content-Type": "application/x-ndjson"})

    first, second = (json.loads(line) for line in answer.text.splitlines())
    assert (first["status"], second["problem"]["code"]) == (201, "consent-required")


def test_a_table_has_a_column_for_the_proof(node: Live, solution: Solution) -> None:
    point, given = consumer(node, solution)
    row = {name: value for name, value in home(f"H-{point}", importMPAN=point, consentReference=given.reference).items() if name != "type"}
    table = ",".join(row) + "\n" + ",".join(map(str, row.values())) + "\n"

    answer = node.client("fsp-a").post("/assets/batch", content=table, headers={"Content-Type": "text/csv"})

    assert json.loads(answer.text)["status"] == 201, answer.text
    assert "consentReference" in node.client().get("/assets/template").text


def test_a_dry_run_verifies_and_writes_nothing(node: Live, solution: Solution) -> None:
    point, given = consumer(node, solution)
    document = home(f"H-{point}", importMPAN=point, consentReference=given.reference)

    tried = node.client("fsp-a").post("/assets?dry-run=true", json=document, headers=LD_JSON)

    assert tried.status_code == 200, tried.text
    assert given.reference not in tried.text
    assert registered(node, point, given.reference).status_code == 201


def test_a_key_file_that_is_no_secret_stops_the_node(tmp_path: Path) -> None:
    from fmar_node.sources.notification import secret_of

    for text in ("", "whsec_", "whsec_AAAA", "whsec_!", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"):
        with pytest.raises(ValueError, match=r"whsec_|base64"):
            secret_of(text)
