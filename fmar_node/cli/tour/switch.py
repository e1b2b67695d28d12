"""Step 14: the person of step 13 chooses another provider. Whom it concerns is told, and on its day the battery changes hands.

Rules kept here: each endpoint is a server of its own, which checks every signature; nobody waits for a fortnight: the register's clock is put
forward, by a command on the node's machine and not over HTTP; subscriptions end with the step, so that the register can be visited again.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import httpx

from fmar_node.cli.tour.child import fmar
from fmar_node.cli.tour.consent import at_solution, consented
from fmar_node.cli.tour.narrator import flowing
from fmar_node.cli.tour.visit import PATIENCE, Visit, example, expect, expect_that
from fmar_node.record import uuid_of

LOSING, GAINING, NETWORK = WINDOWS = ("fsp-a", "fsp-b", "dso-east")
KINDS = {LOSING: ["assets", "switches", "notices"], NETWORK: ["assets", "switches"]}
"""Who is told by a webhook, and of what."""
Windows = Mapping[str, Mapping[str, str]]
"""What each of them reads of the asset, by name and term; and the status of the answer."""
TERMS = ("managedBy", "assetName", "friendlyCode", "importMPAN", "asOf")
DAY = len("2026-12-11")
STATE, SUSPENDED = "registrationStatus", "SUSPENDED_CONSENT_REVOKED"


def switch(visit: Visit) -> str:
    """Consent, request, notice, effect; and what is left when the consent is taken back (UC-03.04)."""
    home = visit.kept["home"].json()
    path = httpx.URL(home["id"]).path
    with ExitStack() as open_now:
        receivers = {who: open_now.enter_context(_subscribed(visit, who)) for who in KINDS}
        given, made = _request(visit, home)
        _told(visit, receivers, {LOSING: {"notice.appeared", "switch.appeared"}, NETWORK: {"switch.appeared"}})
        before = _windows(visit, path)
        _let_pass(visit, made)
        _change_hands(visit, before, _windows(visit, path))
        _told(visit, receivers, {LOSING: {"asset.changed", "notice.changed", "switch.changed"}, NETWORK: {"asset.changed", "switch.changed"}})
        expect("deliveries with a wrong signature", 0, sum(each.forged for each in receivers.values()))
    _take_back(visit, path, given)
    return "The owner's word moves an asset, on a day that all concerned have known of; each side keeps the view of its own time."


@contextmanager
def _subscribed(visit: Visit, who: str) -> Iterator[Any]:
    """The endpoint of a participant, that is sent events until the block ends."""
    receiving = runpy.run_path(str(example("servers/webhook_receiver.py")))["Receiver"]
    with receiving() as receiver:
        visit.narrator.remark(f"{who} has an endpoint, examples/servers/webhook_receiver.py at {receiver.url}, and subscribes:")
        wanted = {"type": "Subscription", "endpoint": receiver.url, "eventKind": KINDS[who]}
        made = visit.call(who, "POST", "/subscriptions", 201, document=wanted, keep=("subscriptionStatus",))
        receiver.secrets.append(made.headers["Fmar-Webhook-Secret"])
        place = httpx.URL(made.headers["Location"]).path
        visit.until(who, place, lambda record: record["subscriptionStatus"] == "ACTIVE")
        try:
            yield receiver
        finally:
            visit.client(who).post(f"{place}/cancellation")


def _request(visit: Visit, home: Mapping[str, Any]) -> tuple[dict[str, Any], httpx.Response]:
    """What the person gives to the gaining provider, and what that one does with it."""
    visit.narrator.remark("fsp-b has the meter point from the person, and no business with the battery yet: the register tells it nothing.")
    asked = {"scheme": "MPAN", "value": home["importMPAN"]}
    visit.call(GAINING, "POST", "/assets/lookup", 404, document=asked)

    visit.narrator.remark("The person consents at the consent solution, examples/servers/consent_solution.py, to a switch to fsp-b:")
    answer = consented(visit, home, GAINING, "SWITCH")
    visit.narrator.request(answer.request, "as the person", flowing(json.loads(answer.request.content)))
    visit.narrator.answer(answer, ("id", "reference"))
    given: dict[str, Any] = answer.json()

    visit.narrator.remark("With that proof the meter point finds the battery, and fsp-b requests it:")
    request = {"type": "Switch", "assetScheme": "MPAN", "assetValue": home["importMPAN"], "consentReference": given["reference"]}
    made = visit.call(GAINING, "POST", "/switches", 201, document=request, keep=("switchStatus", "switchDate", "effectiveAt", "switchAsset"))
    expect("the state of the switch", "IN_NOTICE", made.json()["switchStatus"])
    expect("the asset that was found", home["id"], made.json()["switchAsset"])
    return given, made


def _told(visit: Visit, receivers: Mapping[str, Any], wanted: Mapping[str, set[str]]) -> None:
    """Waits for these events at each endpoint, and shows what came since the last time."""
    rows = list[list[str]]()
    for who, receiver in receivers.items():
        expect_that(receiver.wait(partial(_has_all, receiver, wanted[who]), PATIENCE), f"{who} is told of {', '.join(sorted(wanted[who]))}")
        rows += ([who, event["id"], event["type"], uuid_of(event["subject"]), _changed(event)] for event in sorted(receiver.events, key=lambda each: int(each["id"])))
        receiver.events.clear()
    visit.narrator.remark("What the endpoints have been sent, each signature checked:")
    visit.narrator.table(("told", "id", "type", "subject", "changed"), rows, numbers=("id",))


def _has_all(receiver: Any, wanted: set[str]) -> bool:
    return wanted <= {_name(each) for each in receiver.events}


def _name(event: Mapping[str, Any]) -> str:
    return str(event["type"]).removeprefix("org.fmar.")


def _changed(event: Mapping[str, Any]) -> str:
    """What has another value now; of what is new, nothing."""
    names = [name for name in event["data"].get("changed", ()) if name not in ("version", "recordedAt")]
    return ", ".join(names) if _name(event).endswith("changed") else ""


def _let_pass(visit: Visit, made: httpx.Response) -> None:
    """The notice, in a moment."""
    visit.narrator.remark("fsp-a has a fortnight to end what it has promised with the battery. This register's clock, for trying out, is put forward:")
    command = ["clock", "--to", made.json()["switchDate"], "--data", str(visit.folder.root)]
    visit.narrator.code(f"fmar {' '.join(command)}", "bash")
    done = fmar(*command)
    visit.narrator.output(done.stdout + done.stderr)
    expect("how the command ends", 0, done.returncode)
    path = httpx.URL(made.headers["Location"]).path
    visit.until(GAINING, path, lambda record: record["switchStatus"] == "EFFECTIVE")
    visit.narrator.remark("The consent solution is asked once more, and the day has its effect; nobody has to call:")
    visit.call(GAINING, "GET", path, 200, keep=("switchStatus", "switchDate", "recordedAt"))


def _change_hands(visit: Visit, before: Windows, after: Windows) -> None:
    visit.narrator.remark("The same address before and after, as each of them reads it:")
    _beside(visit, {"before": before, "after": after})
    expect("what fsp-b reads before", "404", before[GAINING]["status"])
    for who, manager in ((LOSING, LOSING), (GAINING, GAINING), (NETWORK, GAINING)):
        expect(f"who manages the asset after, as {who} reads it", manager, after[who]["managedBy"])
    expect_that(bool(after[LOSING]["asOf"]) and not after[GAINING]["asOf"], "the last provider reads its own time, and says so")
    expect_that(not after[GAINING]["friendlyCode"], "what fsp-a called the battery stays with fsp-a")


def _windows(visit: Visit, path: str) -> Windows:
    """What each of them reads of the asset."""
    names, found = {profile.organisation: name for name, profile in visit.profiles.items()}, {}
    for who in WINDOWS:
        answer = visit.client(who).get(path)
        record = answer.json() if answer.is_success else {}
        found[who] = {
            **{term: str(record.get(term, "")) for term in (STATE, *TERMS)}, "status": str(answer.status_code),
            "managedBy": names.get(record.get("managedBy", ""), ""), "asOf": str(record.get("asOf", ""))[:DAY],
        }  # fmt: skip
    return found


def _beside(visit: Visit, moments: Mapping[str, Windows], terms: Sequence[str] = TERMS) -> None:
    """Windows onto one record side by side: for each viewer a column for each moment."""
    columns = [(who, moment) for who in WINDOWS for moment in moments]
    rows = [[term, *(moments[moment][who][term] for who, moment in columns)] for term in ("status", *terms)]
    visit.narrator.table(("", *(f"{who}\n{moment}".strip() for who, moment in columns)), rows)


def _take_back(visit: Visit, path: str, given: Mapping[str, Any]) -> None:
    visit.narrator.remark("The person takes the consent back. The solution notifies the node, and little is left for fsp-b, to which it was given:")
    answer = at_solution(visit, "DELETE", f"/consents/{given['id']}")
    visit.narrator.request(answer.request, "as the person")
    visit.narrator.answer(answer, ("revoked",))
    visit.until(GAINING, path, lambda record: record[STATE] == SUSPENDED)
    left = _windows(visit, path)
    _beside(visit, {"": left}, (STATE, *TERMS))
    expect("the state", SUSPENDED, left[GAINING][STATE])
    expect("the meter point and the name, as fsp-b reads them", ("", ""), (left[GAINING]["importMPAN"], left[GAINING]["assetName"]))
