"""What an asset is committed to: confirmed service windows, and a pending switch of its provider. Kinds that have to do with one of them ask here.

Rules kept here: only a confirmed window of the present provider counts, and only until it is over; intervals are half-open, so that touching ones do not overlap;
at most one switch of an asset is pending, and a claim in the journal holds that.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from fmar_node.clock import day_of, midnight, parse_stamp, stamp
from fmar_node.errors import Fault, Severity
from fmar_node.kinds import proof
from fmar_node.kinds.kind import Claim, Consequence, Register, Situation
from fmar_node.record import Version, uuid_of
from fmar_node.vocabulary import Document

DECLARED, CONFIRMED = "DECLARED", "CONFIRMED"
PENDING = frozenset({"IN_NOTICE", "HELD"})
"""The states of a switch that is to take effect."""
LAPSE, NOT_ACTIVE = "lapse", "GAINING_FSP_NOT_ACTIVE"
"""The action by which a switch is given up when what it rests on falls, and the reason where that is its gaining provider."""
WINDOW_OF = "SERVICE_WINDOW"
"""The scheme under which a service window that is not over carries the id of its asset."""


def pending_claim(asset: str) -> Claim:
    """What the pending switch of an asset holds; `asset` is a bare UUID."""
    return Claim("switch", asset)


def pending_switch(register: Register, asset: str) -> Version | None:
    holder = register.holder(pending_claim(asset))
    return register.current("switches", holder) if holder else None


def confirmed_windows(register: Register, asset: str, after: str) -> list[Document]:
    """The confirmed windows of an asset's present provider that end after an instant (xsd:dateTime in UTC)."""
    present = register.current("assets", asset)
    found = (register.current("service-windows", id_) for id_ in sorted(register.found(WINDOW_OF, asset)))
    confirmed = (each.document for each in found if each is not None and each.state == CONFIRMED)
    own = (each for each in confirmed if present is not None and each["windowProvider"] == present.document.get("managedBy"))
    return [each for each in own if instant(each["windowTo"]) > after]


def instant(text: str) -> str:
    """A time of a document as `stamp` writes it, so that it can be compared."""
    return stamp(parse_stamp(text))


def free_from(windows: Iterable[Document]) -> str:
    """The first day that begins when none of these windows is left."""
    last = max(instant(each["windowTo"]) for each in windows)
    day = day_of(last)
    return day if midnight(day) == last else (parse_stamp(day) + timedelta(days=1)).date().isoformat()


def lapsing(situation: Situation) -> Iterable[Consequence]:
    """What becomes of the pending switches to an organisation that is suspended, or leaves, and of the consents that they rest on."""
    own = uuid_of(situation.document["id"])
    for switch in situation.register.belonging("switches", own, tuple(PENDING)):
        if uuid_of(switch.document["gainingProvider"]) == own:
            yield Consequence("switches", switch.id, LAPSE, {"switchReason": NOT_ACTIVE})
            yield from proof.ended(situation, switch.document.get("consent", ""))


def has_no_switch_pending(situation: Situation) -> Iterable[Fault]:
    """UC-01.04: who is to gain or lose an asset stays until that is over; where the operator forces it, what was to be gained is given up."""
    count = len(situation.register.belonging("switches", uuid_of(situation.document["id"]), tuple(PENDING)))
    if count and not situation.note.get("forced"):
        message = f"{count} switches of provider are pending: withdraw those to you (POST /switches/{{id}}/withdrawal), and wait for the others"
        yield Fault("SWITCH_PENDING", Severity.REJECT, message, "", "switchStatus")


def is_committed_to_nothing(situation: Situation) -> Iterable[Fault]:
    """Domain 5.5: what has to be over before an asset leaves the register; all of it at once, each with what to do."""
    asset, now = uuid_of(situation.document["id"]), situation.now or midnight(situation.today.isoformat())
    if windows := confirmed_windows(situation.register, asset, now):
        message = f"a confirmed service window stands in the way: de-register it from {free_from(windows)} on, or have its system operator cancel the window"
        yield Fault("CONFIRMED_WINDOW", Severity.REJECT, message, "", "standing")
    if pending_switch(situation.register, asset) is not None:
        message = "the asset is about to get another provider: it is de-registered by that one, or after the switch has been cancelled"
        yield Fault("SWITCH_PENDING", Severity.REJECT, message, "", "standing")
