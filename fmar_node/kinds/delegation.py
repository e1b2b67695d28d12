"""Delegations: what one organisation grants another, until a day (UC-05.04, domain 5.7), and the passport that it shares.

States: OFFERED -> ACTIVE -> REVOKED or EXPIRED; an offer may be revoked or expire too. A provider grants a platform or an
installer named permissions on all or on named assets; any organisation grants any other its passport, without or with
its contacts. The delegate accepts; each side ends it at any time, and it ends with either organisation. What was
granted is never granted on: nobody delegates on behalf of another. An accepted offer becomes active on its first day.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.access.caller import Permission, Role
from fmar_node.access.reveal import Relation
from fmar_node.clock import midnight
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.kind import Action, Kind, Policy, Rule, Situation, becomes, by_node
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document

ON_ASSETS = frozenset({Permission.READ, Permission.READ_PERSONAL, Permission.REGISTER, Permission.UPDATE, Permission.DEREGISTER, Permission.SWITCH})
UNNAMED = frozenset({Permission.REGISTER, Permission.SWITCH})
"""Those on assets that are not the grantor's yet."""
DELEGATES = frozenset({"PLATFORM", "INSTALLER"})
PROVIDERS = frozenset({"FSP", "AGGREGATOR"})
MOST_ASSETS = 1_000
OPEN = frozenset({"OFFERED", "ACTIVE"})
OPERATOR = frozenset({Role.OPERATOR})


# -- rules


def delegate_may_have_it(situation: Situation) -> Iterable[Fault]:
    """The delegate is another active organisation; permissions on assets go from providers to platforms and installers."""
    iri = situation.document.get("delegate", "")
    found = situation.register.current("organisations", uuid_of(iri)) if iri else None
    if found is None or found.iri != iri or found.state != "ACTIVE" or found.id == situation.caller.organisation:
        message = "the delegate is another active organisation of this register"
        yield Fault("DELEGATION-OFFER-3", Severity.REJECT, message, "/delegate", "delegate")
    elif _on_assets(situation.document) and DELEGATES.isdisjoint(found.document.get("organisationRoles", ())):
        message = "permissions on assets are granted to a platform or an installer"
        yield Fault("DELEGATION-OFFER-4", Severity.REJECT, message, "/delegate", "delegate")


def grantor_has_it(situation: Situation) -> Iterable[Fault]:
    """Nobody grants what it has not: permissions on assets are a provider's to give."""
    if _on_assets(situation.document) and not situation.caller.has(Role.FSP):
        message = "permissions on assets are granted by the provider that manages them"
        yield Fault("DELEGATION-OFFER-5", Severity.REJECT, message, "/permission", "permission")


def scope_is_plain(situation: Situation) -> Iterable[Fault]:
    """All assets, or named ones of the grantor's; what is new has no name yet; a passport is no asset."""
    document, named = situation.document, situation.document.get("delegatedAsset", ())
    scope = document.get("assetScope")
    if bool(scope) != bool(_on_assets(document)):
        message = "assetScope (ALL_ASSETS or NAMED_ASSETS) goes with permissions on assets: both or neither"
        yield Fault("DELEGATION-OFFER-6", Severity.REJECT, message, "/assetScope", "assetScope")
    elif bool(named) != (scope == "NAMED_ASSETS") or len(named) > MOST_ASSETS:
        message = f"delegatedAsset goes with the scope NAMED_ASSETS: 1 to {MOST_ASSETS} of your assets"
        yield Fault("DELEGATION-OFFER-7", Severity.REJECT, message, "/delegatedAsset", "delegatedAsset")
    elif scope == "NAMED_ASSETS" and not UNNAMED.isdisjoint(document.get("permission", ())):
        message = "REGISTER and SWITCH are granted with the scope ALL_ASSETS: an asset that is not the grantor's has no name yet"
        yield Fault("DELEGATION-OFFER-8", Severity.REJECT, message, "/permission", "permission")
    elif not all(_manages(situation, iri) for iri in named):
        message = "each delegatedAsset is an asset that you manage"
        yield Fault("DELEGATION-OFFER-7", Severity.REJECT, message, "/delegatedAsset", "delegatedAsset")


def ends_after_it_begins(situation: Situation) -> Iterable[Fault]:
    """From a day on, today's if it says none, up to a later day."""
    ends, begins = situation.document.get("validTo"), situation.document.get("validFrom", "")
    if ends and ends <= max(begins, situation.today.isoformat()):
        message = "validTo is the first day on which it no longer holds: later than today, and than validFrom"
        yield Fault("DELEGATION-OFFER-9", Severity.REJECT, message, "/validTo", "validTo", ends)


def _on_assets(document: Document) -> bool:
    return not ON_ASSETS.isdisjoint(document.get("permission", ()))


def _manages(situation: Situation, iri: str) -> bool:
    found = situation.register.current("assets", uuid_of(iri))
    is_own = found is not None and uuid_of(found.document.get("managedBy", "")) == situation.caller.organisation
    return is_own and found is not None and found.iri == iri and found.state != "DEREGISTERED"


# -- what the node sets


def offered(situation: Situation) -> Document:
    base = situation.document["id"].rsplit("/delegations/", 1)[0]
    return {**situation.document, "grantor": f"{base}/organisations/{situation.caller.organisation}", "delegationStatus": "OFFERED"}


def accepted(situation: Situation) -> Document:
    """In force at once, or from its first day on."""
    begins = situation.document.get("validFrom", "")
    status = "ACTIVE" if begins <= situation.today.isoformat() else "OFFERED"
    return {**situation.document, "acceptedAt": situation.now, "delegationStatus": status}


def is_not_accepted_yet(situation: Situation) -> Iterable[Fault]:
    if "acceptedAt" in situation.document:
        yield Fault("DELEGATION-ACCEPT-3", Severity.REJECT, "this offer has been accepted; it becomes active on its first day", "", "acceptedAt")


def awaits(document: Document) -> tuple[str, str] | None:
    """Its first day where it waits for that, otherwise its end."""
    if document.get("delegationStatus") not in OPEN:
        return None
    if document["delegationStatus"] == "OFFERED" and "acceptedAt" in document:
        return midnight(document["validFrom"]), "activation"
    return midnight(document["validTo"]), "expiry"


DELEGATION = Kind(
    name="delegation",
    plural="delegations",
    class_name="Delegation",
    awaits=awaits,
    filters=("grantor", "delegate", "permission", "assetScope", "delegationStatus"),
    actions={
        "register": Action(
            "register",
            ("UC-05.04",),
            (Policy("DELEGATION-OFFER-1", "an active organisation grants what is its own"),),
            (
                Rule(delegate_may_have_it, ("DELEGATION-OFFER-3", "DELEGATION-OFFER-4")),
                Rule(grantor_has_it, ("DELEGATION-OFFER-5",)),
                Rule(scope_is_plain, ("DELEGATION-OFFER-6", "DELEGATION-OFFER-7", "DELEGATION-OFFER-8")),
                Rule(ends_after_it_begins, ("DELEGATION-OFFER-9",)),
            ),
            apply=offered,
            takes_document=True,
        ),
        "acceptance": Action(
            "acceptance",
            ("UC-05.04",),
            (Policy("DELEGATION-ACCEPT-1", "the organisation that it is offered to accepts it", relations=frozenset({Relation.DELEGATE})),),
            (Rule(is_not_accepted_yet, ("DELEGATION-ACCEPT-3",)),),
            states=frozenset({"OFFERED"}),
            state_rule="DELEGATION-ACCEPT-2",
            apply=accepted,
        ),
        "revocation": Action(
            "revocation",
            ("UC-05.04",),
            (
                Policy("DELEGATION-REVOKE-1", "the operator ends any delegation", OPERATOR),
                Policy(
                    "DELEGATION-REVOKE-2",
                    "a delegation is ended by who has granted it, by who was granted it, or by the operator",
                    relations=frozenset({Relation.GRANTOR, Relation.DELEGATE}),
                ),
            ),
            states=OPEN,
            state_rule="DELEGATION-REVOKE-3",
            apply=becomes("delegationStatus", "REVOKED"),
        ),
        "activation": Action(
            "activation",
            ("UC-05.04",),
            by_node("DELEGATION-ACTIVATE-1"),
            states=frozenset({"OFFERED"}),
            state_rule="DELEGATION-ACTIVATE-2",
            apply=becomes("delegationStatus", "ACTIVE"),
            is_nodes_own=True,
        ),
        "expiry": Action(
            "expiry",
            ("UC-05.04",),
            by_node("DELEGATION-EXPIRE-1"),
            states=OPEN,
            state_rule="DELEGATION-EXPIRE-2",
            apply=becomes("delegationStatus", "EXPIRED"),
            is_nodes_own=True,
        ),
        "end": Action(
            "end",
            ("UC-01.04",),
            by_node("DELEGATION-END-1"),
            states=OPEN,
            state_rule="DELEGATION-END-2",
            apply=becomes("delegationStatus", "REVOKED"),
            is_nodes_own=True,
        ),
        ERASURE: erasure("DELEGATION", OPEN | {"REVOKED", "EXPIRED"}),
    },
)
