"""The steps in their order, and the walk through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx

from fmar_node.cli.tour import consent, credential, life, person, proof, registration, switch, tool, trust, window
from fmar_node.cli.tour.visit import Unexpected, Visit
from fmar_node.errors import FmarError
from fmar_node.journal.tree import ProofError


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it is called, why it matters, and what is done; the last gives the takeaway."""

    title: str
    why: str
    play: Callable[[Visit], str]


STEPS = (
    Step("Register an asset", "A provider describes a battery once, in published terms, and holds a receipt for it.", registration.register),
    Step("Four mistakes in one document", "Data are judged before they are written: all faults at once, each coded and on its field.", registration.refuse),
    Step("Justified, warned, filled", "Real data have gaps. Some need a reason, some only a warning, some are filled by rule.", registration.justify),
    Step("Asked outside", "A register that believes everybody is worth little. Others know meter points, certificates and machines.", registration.ask_others),
    Step("One query, many windows", "Everybody asks the same register and sees what the rules open to them, and nothing else.", window.look),
    Step("Credentials that do not hold", "Requests are signed. What was forged, recorded or stolen is refused, with a reason.", credential.defend),
    Step("Change, history, time travel", "Updates name the version that they are based on, and nothing is ever overwritten.", life.change),
    Step("Lookup and duplicates", "A meter point or a serial number leads to one asset, and only those who may know it.", life.find),
    Step("Leaving the register", "An end is a state with a reason. Nothing that others depend on disappears.", life.leave),
    Step("On behalf of another", "A platform works for a provider that has granted it: under both names, within limits, until it ends.", trust.delegate),
    Step("Keys that come and go", "Keys are changed while they are in use, and one that is lost is worth nothing a moment later.", trust.rotate),
    Step("A person signs in", "People have no keys. They sign in where they always do, and have the rights of their organisation and role.", person.sign_in),
    Step("A consumer consents", "What belongs to a person is registered with its consent alone, and for as long as that holds.", consent.consent),
    Step("Another provider", "Who manages an asset is its owner's choice. Who loses it is told in time, and cannot prevent it.", switch.switch),
    Step("Proof", "Nobody has to believe the operator: receipts verify offline, and tampering shows.", proof.prove),
    Step("Any tool", "SPARQL and HTTP are standards. An agent adds the signatures for tools that know neither.", tool.plug_in),
)


def walk(visit: Visit) -> bool:
    """Takes the steps one after the other; False where one of them went otherwise, and says how."""
    for number, step in enumerate(STEPS, start=1):
        visit.narrator.begin(number, step.title, step.why)
        try:
            takeaway = step.play(visit)
        except (Unexpected, FmarError, ProofError, httpx.HTTPError, KeyError, ValueError) as error:
            reason = str(error) if isinstance(error, Unexpected) else f"{type(error).__name__}: {error}"
            visit.narrator.failed(f"step {number}, {step.title}: {reason}")
            return False
        visit.narrator.done(takeaway)
    return True
