"""What an asset rests on: a consumer's consent, or the authorisation of an organisation that owns it (UC-02.02, UC-05.05).

Rules kept here: an individual's asset is registered with a valid consent for the provider, about this asset or all of its meter points, and needs
another one when what was consented to changes; an organisation's needs its authorisation where the node is set so, unless it is the provider;
a consent that no longer holds suspends the asset, validation unchanged, and a new one makes it live again; one that waits for a provider goes
on waiting, and whoever registered it sees no more of it than a provider does that has lost the consent. A consent is one provider's: who claims
the asset brings its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.access.caller import Permission, Role, UserRole
from fmar_node.access.reveal import Relation
from fmar_node.errors import Fault, Severity
from fmar_node.kinds import proof
from fmar_node.kinds.kind import Action, Consequence, Policy, Rule, Situation, by_node
from fmar_node.kinds.responsibility import AWAITING_NEW_FSP
from fmar_node.record import uuid_of
from fmar_node.sources.consent import ConsentPurpose, ConsentQuestion
from fmar_node.vocabulary import Document

SUSPENDED = "SUSPENDED_CONSENT_REVOKED"
LOSS, RENEWAL = "consent-loss", "consent-renewal"
HOLDING = frozenset({"PENDING_VALIDATION", "VERIFIED", "QUERY", AWAITING_NEW_FSP})
"""The states in which an asset rests on a consent that holds."""


def question_of(situation: Situation) -> ConsentQuestion | None:
    """Whether the provider may manage this very asset."""
    if not situation.house.has_consents:
        return None
    document = situation.document
    base, given = document["id"].rsplit("/assets/", 1)[0], {**document, **situation.note}.get(proof.PROOF, "")
    grantee = f"{base}/organisations/{situation.caller.organisation}"
    return ConsentQuestion(given, grantee, ConsentPurpose.REGISTER, proof.points(document))


def _rests_on_consent(document: Document, situation: Situation) -> bool:
    if document.get("ownerKind") == "INDIVIDUAL":
        return True
    is_anothers = uuid_of(document.get("owner", "")) != situation.caller.organisation
    return situation.house.needs_authorisation and is_anothers


def _needs_consent(situation: Situation) -> bool:
    """Whether a document needs a consent that the record has not yet."""
    document, was = situation.document, situation.previous.document if situation.previous else None
    if not _rests_on_consent(document, situation):
        return False
    if was is None or not _rests_on_consent(was, situation):
        return True
    has_another_owner = any(document.get(term) != was.get(term) for term in ("ownerKind", "owner"))
    return has_another_owner or not set(proof.points(document)) <= set(proof.points(was))


# -- rules


def consent_can_be_verified(situation: Situation) -> Iterable[Fault]:
    """Where no consent solution is trusted, what needs a consent is refused, and so is a proof."""
    document = {**situation.document, **situation.note}
    if not situation.house.has_consents and (document.get("ownerKind") == "INDIVIDUAL" or proof.PROOF in document):
        message = "this node trusts no consent solution: assets of individuals cannot be registered, and no proof can be verified"
        yield Fault("consent-not-available", Severity.REJECT, message, "/ownerKind", "ownerKind")


def is_consented_to(situation: Situation) -> Iterable[Fault]:
    """A proof where one is needed; one that is given holds."""
    question = question_of(situation)
    if question is not None:
        yield from proof.faults(situation, question, is_needed=_needs_consent(situation))
    elif situation.house.needs_authorisation and _needs_consent(situation) and situation.document.get("ownerKind") != "INDIVIDUAL":
        yield Fault("consent-required", Severity.REJECT, "this needs its owner's authorisation", f"/{proof.PROOF}", proof.PROOF)


def is_claimed_with_consent(situation: Situation) -> Iterable[Fault]:
    """Who claims what rests on a consent brings its own, unless the owner has appointed it: the one that the asset has is somebody else's."""
    question, asset = question_of(situation), situation.document
    is_appointed = uuid_of(asset.get("appointedProvider", "")) == situation.caller.organisation
    if question is not None:
        yield from proof.faults(situation, question, is_needed=_rests_on_consent(asset, situation) and not is_appointed)


def is_renewed(situation: Situation) -> Iterable[Fault]:
    """Whoever renews a consent brings one."""
    question = question_of(situation)
    if question is not None:
        yield from proof.faults(situation, question, is_needed=True)


VERIFIABLE, PROOF_CODES = Rule(consent_can_be_verified, ("consent-not-available",)), ("consent-required", *proof.CODES)
CONSENT_RULES = (VERIFIABLE, Rule(is_consented_to, PROOF_CODES))
CLAIM_RULES = (VERIFIABLE, Rule(is_claimed_with_consent, PROOF_CODES))


# -- what the node sets


def consented(situation: Situation, document: Document) -> Document:
    """The asset with the record of the consent that came with it, if one did."""
    return {**document, "consent": proof.record_of(situation)} if situation.consent else document


def lost(situation: Situation) -> Document:
    """The consent holds no longer: the asset waits for another one, or as it did for a provider, which brings it."""
    is_waiting = situation.document["standing"] == AWAITING_NEW_FSP
    suspended = {} if is_waiting else {"registrationStatus": SUSPENDED, "standing": SUSPENDED}
    return {**situation.document, **suspended, "consentEndedAt": situation.now}


def live_again(document: Document) -> Document:
    """An asset whose standing is mended: live, its validation as it was."""
    return {**_allowed_again(document), "standing": "LIVE", "registrationStatus": document["validationStatus"]}


def _allowed_again(document: Document) -> Document:
    return {term: value for term, value in document.items() if term != "consentEndedAt"}


def renewed(situation: Situation) -> Document:
    mended = _allowed_again if situation.document["standing"] == AWAITING_NEW_FSP else live_again
    return consented(situation, mended(situation.document))


def consent_kept(situation: Situation) -> Iterable[Consequence]:
    """The record of the consent that came, and the end of the one before it."""
    question = question_of(situation)
    if situation.consent is None or question is None:
        return
    document, was = situation.document, situation.previous.document if situation.previous else {}
    owner = document.get("owner", "") if document.get("ownerKind") == "ORGANISATION" else ""
    yield proof.kept(situation, question, document["id"], owner)
    yield from proof.ended(situation, was.get("consent", ""))


def consent_replaced(situation: Situation) -> Iterable[Consequence]:
    """Who has claimed the asset has its own consent, or needs none: the one before it ends."""
    yield from consent_kept(situation) if situation.consent else consent_ended(situation)


def consent_ended(situation: Situation) -> Iterable[Consequence]:
    """An asset that ends needs its consent no longer."""
    yield from proof.ended(situation, situation.document.get("consent", ""))


CONSENT_ACTIONS = {
    LOSS: Action(
        LOSS,
        ("UC-05.05",),
        by_node("ASSET-CONSENT-LOSS-1"),
        states=HOLDING,
        state_rule="ASSET-CONSENT-LOSS-2",
        apply=lost,
        is_nodes_own=True,
    ),
    RENEWAL: Action(
        RENEWAL,
        ("UC-05.05",),
        (
            Policy(
                "ASSET-CONSENT-RENEW-3",
                "whoever registered the asset offers a new consent for it as long as it has no provider",
                frozenset({Role.INSTALLER, Role.OEM}),
                frozenset({Relation.REGISTRANT, Relation.WITHOUT_CONSENT}),
            ),
            Policy(
                "ASSET-CONSENT-RENEW-1",
                "only the provider that manages the asset offers a new consent for it",
                frozenset({Role.FSP}),
                frozenset({Relation.MANAGER, Relation.WITHOUT_CONSENT}),
            ),
        ),
        (VERIFIABLE, Rule(is_renewed, PROOF_CODES)),
        states=HOLDING | {SUSPENDED},
        state_rule="ASSET-CONSENT-RENEW-2",
        apply=renewed,
        consequences=consent_kept,
        consent=question_of,
        note_terms=frozenset({proof.PROOF}),
        permission=Permission.UPDATE,
        user_role=UserRole.EDITOR,
    ),
}
