"""Service windows: when a provider has committed an asset to a system operator (domain 1, W2 5.7.2).

States: DECLARED -> CONFIRMED -> ENDED by the clock; DECLARED or CONFIRMED -> CANCELLED. The provider declares, and withdraws what is not confirmed;
the system operator that it is declared to confirms and cancels, and nobody else. Only confirmed ones stand in anybody's way: of one asset no
two of them overlap for the same operator and product, and none reaches beyond the day on which the asset gets another provider.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.access.caller import Permission, Role, UserRole
from fmar_node.access.reveal import Relation
from fmar_node.clock import midnight
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.commitment import (
    CONFIRMED,
    DECLARED,
    WINDOW_OF,
    confirmed_windows,
    instant,
    pending_switch,
)
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.kind import Action, Kind, Policy, Rule, Situation, becomes, by_node
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document

ENDED, CANCELLED = "ENDED", "CANCELLED"
NOT_OVER = frozenset({DECLARED, CONFIRMED})
LIVE = frozenset({"PENDING_VALIDATION", "VERIFIED", "QUERY"})
PROVIDER, OPERATOR = frozenset({Role.FSP}), frozenset({Role.OPERATOR})
COMMITTING, COMMITTED_TO = frozenset({Relation.COMMITTING}), frozenset({Relation.COMMITTED_TO})


# -- rules


def asset_is_own(situation: Situation) -> Iterable[Fault]:
    """Who declares a window manages the asset, which is live; it manages it still when the window is confirmed."""
    document = situation.document
    asset = situation.register.current("assets", uuid_of(document.get("windowAsset", "")))
    provider = uuid_of(document["windowProvider"]) if "windowProvider" in document else situation.caller.organisation
    is_own = asset is not None and asset.iri == document.get("windowAsset") and uuid_of(asset.document.get("managedBy", "")) == provider
    if not (is_own and asset is not None and asset.state in LIVE):
        message = "windowAsset is a live asset that the provider manages"
        yield Fault("SERVICE-WINDOW-DECLARE-2", Severity.REJECT, message, "/windowAsset", "windowAsset")


def operator_is_responsible(situation: Situation) -> Iterable[Fault]:
    """The network operator of the asset's area, or the national one."""
    document, register = situation.document, situation.register
    asset = register.current("assets", uuid_of(document.get("windowAsset", "")))
    found = register.current("organisations", uuid_of(document.get("windowOperator", "")))
    is_here = found is not None and found.iri == document.get("windowOperator") and found.state == "ACTIVE"
    of_area = found is not None and asset is not None and asset.document.get("dnoConnection") in found.document.get("licenceArea", ())
    is_national = found is not None and "SYSTEM_OPERATOR" in found.document.get("organisationRoles", ())
    if not (is_here and (of_area or is_national)):
        message = "windowOperator is the active network operator of the asset's area, or the national system operator"
        yield Fault("SERVICE-WINDOW-DECLARE-3", Severity.REJECT, message, "/windowOperator", "windowOperator")


def is_still_to_come(situation: Situation) -> Iterable[Fault]:
    """It ends after it begins, and has not ended."""
    begins, ends = (situation.document.get(term, "") for term in ("windowFrom", "windowTo"))
    if begins and ends and not _are_in_order(begins, ends, situation):
        message = "windowTo is the first instant after the window: later than windowFrom, and not past; both have a zone, as in 2026-12-01T17:00:00Z"
        yield Fault("SERVICE-WINDOW-DECLARE-4", Severity.REJECT, message, "/windowTo", "windowTo", ends)


def _are_in_order(begins: str, ends: str, situation: Situation) -> bool:
    try:
        return instant(ends) > max(instant(begins), situation.now or midnight(situation.today.isoformat()))
    except ValueError:
        return False


def overlaps_none(situation: Situation) -> Iterable[Fault]:
    """No two confirmed windows of an asset overlap for the same operator and product; touching is fine."""
    own = situation.document
    others = confirmed_windows(situation.register, uuid_of(own["windowAsset"]), instant(own["windowFrom"]))
    same = [each for each in others if all(each[term] == own[term] for term in ("windowOperator", "windowProduct"))]
    if any(instant(each["windowFrom"]) < instant(own["windowTo"]) for each in same):
        message = "another confirmed window of this asset, for you and this product, overlaps this one"
        yield Fault("WINDOW_OVERLAPS", Severity.REJECT, message, "/windowFrom", "windowFrom")


def ends_before_a_switch(situation: Situation) -> Iterable[Fault]:
    """Who gets the asset gets it free: no window is confirmed beyond that."""
    switch = pending_switch(situation.register, uuid_of(situation.document["windowAsset"]))
    if switch is not None and instant(situation.document["windowTo"]) > switch.document["effectiveAt"]:
        message = f"the asset gets another provider on {switch.document['switchDate']}, before this window ends"
        yield Fault("SWITCH_PENDING", Severity.REJECT, message, "/windowTo", "windowTo")


# -- what the node sets


def declared(situation: Situation) -> Document:
    base = situation.document["id"].rsplit("/service-windows/", 1)[0]
    return {**situation.document, "windowProvider": f"{base}/organisations/{situation.caller.organisation}", "windowStatus": DECLARED}


def confirmed(situation: Situation) -> Document:
    return {**situation.document, "windowStatus": CONFIRMED, "confirmedAt": situation.now}


def awaits(document: Document) -> tuple[str, str] | None:
    """Its end."""
    return (instant(document["windowTo"]), "end") if document.get("windowStatus") in NOT_OVER else None


def handles(document: Document) -> set[tuple[str, str]]:
    """What is looked for by its asset."""
    return {(WINDOW_OF, uuid_of(document["windowAsset"]))} if document.get("windowStatus") in NOT_OVER else set()


ASSET_IS_OWN = Rule(asset_is_own, ("SERVICE-WINDOW-DECLARE-2",))
SERVICE_WINDOW = Kind(
    name="service-window",
    plural="service-windows",
    class_name="ServiceWindow",
    handles=handles,
    awaits=awaits,
    filters=("windowAsset", "windowProvider", "windowOperator", "windowProduct", "windowStatus"),
    actions={
        "register": Action(
            "register",
            ("UC-03.04",),
            (Policy("SERVICE-WINDOW-DECLARE-1", "an active provider declares when its assets are committed", PROVIDER),),
            (
                ASSET_IS_OWN,
                Rule(operator_is_responsible, ("SERVICE-WINDOW-DECLARE-3",)),
                Rule(is_still_to_come, ("SERVICE-WINDOW-DECLARE-4",)),
            ),
            apply=declared,
            takes_document=True,
            permission=Permission.UPDATE,
            user_role=UserRole.EDITOR,
        ),
        "confirmation": Action(
            "confirmation",
            ("UC-03.04",),
            (Policy("SERVICE-WINDOW-CONFIRM-1", "a window is confirmed by the system operator that it is declared to", relations=COMMITTED_TO),),
            (
                ASSET_IS_OWN,
                Rule(overlaps_none, ("WINDOW_OVERLAPS",)),
                Rule(ends_before_a_switch, ("SWITCH_PENDING",)),
            ),
            states=frozenset({DECLARED}),
            state_rule="SERVICE-WINDOW-CONFIRM-2",
            apply=confirmed,
            user_role=UserRole.EDITOR,
        ),
        "withdrawal": Action(
            "withdrawal",
            ("UC-03.04",),
            (Policy("SERVICE-WINDOW-WITHDRAW-1", "a window that is not confirmed is withdrawn by the provider that has declared it", relations=COMMITTING),),
            states=frozenset({DECLARED}),
            state_rule="SERVICE-WINDOW-WITHDRAW-2",
            apply=becomes("windowStatus", CANCELLED),
            permission=Permission.UPDATE,
            user_role=UserRole.EDITOR,
        ),
        "cancellation": Action(
            "cancellation",
            ("UC-03.04",),
            (
                Policy("SERVICE-WINDOW-CANCEL-1", "the operator cancels any window", OPERATOR),
                Policy("SERVICE-WINDOW-CANCEL-2", "a window is cancelled by the system operator that it is declared to, or by the operator", relations=COMMITTED_TO),
            ),
            states=NOT_OVER,
            state_rule="SERVICE-WINDOW-CANCEL-3",
            apply=becomes("windowStatus", CANCELLED),
            user_role=UserRole.EDITOR,
        ),
        "end": Action(
            "end",
            ("UC-03.04",),
            by_node("SERVICE-WINDOW-END-1"),
            states=NOT_OVER,
            state_rule="SERVICE-WINDOW-END-2",
            apply=becomes("windowStatus", ENDED),
            is_nodes_own=True,
        ),
        ERASURE: erasure("SERVICE-WINDOW", NOT_OVER | {ENDED, CANCELLED}),
    },
)
