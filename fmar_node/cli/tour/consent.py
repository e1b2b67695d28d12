"""Step 13: a consumer lets a provider register a battery at home, takes that back, and thinks better of it.

Rules kept here: the consumer speaks to the consent solution and to nobody else; what the provider has of it is a proof, which the node asks
the solution about and forgets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from fmar_node.cli.tour.visit import Visit, expect, expect_that

NAME = "demo"
REFERENCE_PREFIX = "ck_"
SECRET_FILE = "keys/demo-consent.secret"  # noqa: S105 (a name, and no secret)
HOME: dict[str, Any] = {
    "type": "Asset", "assetName": "Home battery", "ownerKind": "INDIVIDUAL", "assetCategory": "BESS", "ratedCapacity": "5.00",
    "installedCapacity": "5.00", "genCapacity": "5.00", "demandCapacity": "5.00", "storageEnergyCapacity": "10.00",
    "connectionStatus": "CONNECTED", "connectionType": "FIRM", "dnoConnection": "UKPN_EPN", "commissioningDate": "2026-03-01",
}  # fmt: skip
PLACE = 5
"""Which of the visit's own meter points is at home."""


def settings_for(solution: str) -> str:
    """The setting that makes the demo's node trust its consent solution."""
    trusted = {"name": NAME, "url": solution, "reference_prefix": REFERENCE_PREFIX, "notification_secret_file": SECRET_FILE}
    return json.dumps([trusted])


def consent(visit: Visit) -> str:
    """An individual's asset comes with a consent, and rests on it (UC-02.02, UC-05.05)."""
    home = HOME | {"importMPAN": visit.meter_point("10", PLACE), "friendlyCode": f"HOME-{visit.mark}"}
    visit.narrator.remark("fsp-a describes the battery of a person:")
    refused = visit.call("fsp-a", "POST", "/assets", 422, document=home, show=("assetName", "ownerKind", "importMPAN"))
    expect("the problem", "consent-required", refused.json()["code"])

    visit.narrator.remark("The person consents at the consent solution, which gives fsp-a a reference. The node asks about it, and keeps its hash:")
    given = consented(visit, home, "fsp-a", "REGISTER").json()
    made = visit.call("fsp-a", "POST", "/assets", 201, document=home | {"consentReference": given["reference"]}, show=("consentReference",), keep=("registrationStatus", "consent"))
    path, kept = httpx.URL(made.headers["Location"]).path, visit.call("fsp-a", "GET", httpx.URL(made.json()["consent"]).path, 200, keep=("consentStatus", "consentPurpose", "consentHash"))
    expect_that(given["reference"] not in made.text + kept.text, "the proof is kept nowhere")

    visit.narrator.remark("The person takes it back. The solution tells the node, and fsp-a sees what is left for it:")
    at_solution(visit, "DELETE", f"/consents/{given['id']}")
    left = visit.call("fsp-a", "GET", path, 200, keep=("registrationStatus", "assetName", "importMPAN", "consentEndedAt"))
    expect("the state", "SUSPENDED_CONSENT_REVOKED", left.json()["registrationStatus"])
    expect_that(home["importMPAN"] not in left.text and "assetName" not in left.json(), "nothing personal or commercial is shown")

    visit.narrator.remark("And consents again. A new proof makes it live, its validation as it was:")
    again = consented(visit, home, "fsp-a", "REGISTER").json()
    live = visit.call("fsp-a", "POST", f"{path}/consent-renewal", 200, document={"consentReference": again["reference"]}, keep=("registrationStatus", "importMPAN"))
    expect("the meter point", home["importMPAN"], live.json()["importMPAN"])
    visit.kept["home"] = live
    return "What belongs to a person is in the register for as long as that person wants, and the proof of it nowhere."


def consented(visit: Visit, home: Mapping[str, Any], grantee: str, purpose: str) -> httpx.Response:
    """What the person does, and what the solution gives the provider for it: `id`, `reference` and `receipt`."""
    asked = {"grantee": visit.profiles[grantee].organisation, "subjects": [f"mpan:{home['importMPAN']}"], "purposes": [purpose]}
    return at_solution(visit, "POST", "/consents", asked)


def at_solution(visit: Visit, method: str, path: str, asked: dict[str, Any] | None = None) -> httpx.Response:
    """A request to the consent solution, unprinted."""
    response = httpx.request(method, f"{visit.consent_solution}{path}", json=asked, trust_env=False, timeout=20)
    expect(f"the status of {method} {path} at the consent solution", True, response.is_success)
    return response
