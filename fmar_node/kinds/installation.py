"""Registered at installation, before there is a provider, and claimed by one later (UC-02.02).

Rules kept here: an installer or a maker registers on behalf of an owner that the document names, an owner what is its own; such an asset
waits for a provider (AWAITING_NEW_FSP), and whoever registered it corrects it until it has one, and has nothing to do with it afterwards.
A provider claims it with the authority of its owner: the claim code that was handed to the owner at the installation, or the owner's
appointment of that provider; who owns the asset itself needs neither. An individual's asset it claims with a consent of its own besides. Who claims without authority is told the same whether the asset is
there or not. A code is drawn outside, told once, kept as a hash, and gone with the claim.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from fmar_node.access.caller import Role, UserRole
from fmar_node.access.reveal import Relation
from fmar_node.errors import Fault, Severity
from fmar_node.kinds import proof
from fmar_node.kinds.consented import CLAIM_RULES, consent_replaced, consented, live_again, question_of
from fmar_node.kinds.kind import Action, Policy, Rule, Situation
from fmar_node.kinds.responsibility import AWAITING_NEW_FSP, begun, handed_over
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document

CLAIM, APPOINTMENT, CLAIM_CODE = "claim", "appointment", "claim-code"
PROVIDER = frozenset({Role.FSP})
INSTALLING = frozenset({Role.INSTALLER, Role.OEM})
REGISTRANTS, REGISTRANT = INSTALLING | {Role.OWNER}, frozenset({Relation.REGISTRANT})
LEFT_BEHIND = ("claimCodeHash", "appointedProvider", "friendlyCode", "formerCode", "consent")
"""What does not go with an asset to its next provider: what let it claim the asset, what another organisation calls it, and the consent which that one had."""
SPELT = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
"""How claim codes are misread, and how they are grouped."""


def code_hash(code: str) -> str:
    """The hash by which a record knows a claim code, however it was written down. The code has 100 random bits: nobody finds it from that."""
    return hashlib.sha256(b"fmar claim code\0" + code.upper().translate(SPELT).encode()).hexdigest()


def steward(asset: Document) -> str:
    """Who keeps an asset: the provider that manages it, or as long as there is none whoever registered it; a bare UUID."""
    return uuid_of(asset.get("managedBy") or asset.get("registeredBy", ""))


def is_installed(situation: Situation) -> bool:
    """Whether a registration is one at installation: by somebody who is no provider."""
    return not situation.caller.has(Role.FSP)


def installed(situation: Situation) -> Document:
    """What an asset is that has no provider yet."""
    base = situation.document["id"].rsplit("/assets/", 1)[0]
    return {
        "registrationStatus": AWAITING_NEW_FSP,
        "standing": AWAITING_NEW_FSP,
        "registeredBy": f"{base}/organisations/{situation.caller.organisation}",
        **({"claimCodeHash": code_hash(situation.offer)} if situation.offer else {}),
    }


# -- rules


def owner_registers_its_own(situation: Situation) -> Iterable[Fault]:
    """Who neither installs nor makes anything registers what it owns itself."""
    caller = situation.caller
    if is_installed(situation) and not caller.has(*INSTALLING) and uuid_of(situation.document.get("owner", "")) != caller.organisation:
        message = "an owner registers its own assets: owner is your organisation"
        yield Fault("ASSET-INSTALL-1", Severity.REJECT, message, "/owner", "owner")


def appoints_a_provider(situation: Situation) -> Iterable[Fault]:
    """Who is appointed is an active provider; nobody takes an appointment back."""
    iri = situation.note.get("appointedProvider")
    found = situation.register.current("organisations", uuid_of(iri)) if iri else None
    is_provider = found is not None and found.iri == iri and not {"FSP", "AGGREGATOR"}.isdisjoint(found.document.get("organisationRoles", ()))
    if iri and not (is_provider and found is not None and found.state == "ACTIVE"):
        message = "appointedProvider is an active flexibility service provider of this register"
        yield Fault("ASSET-APPOINT-3", Severity.REJECT, message, "/appointedProvider", "appointedProvider")


def has_no_provider_yet(situation: Situation) -> Iterable[Fault]:
    """A claim code belongs to an asset that nobody has managed."""
    if "managedBy" in situation.document:
        message = "the asset has had a provider; its owner appoints the next one"
        yield Fault("ASSET-CODE-3", Severity.REJECT, message)


def has_authority(situation: Situation) -> bool:
    """Whether the caller may claim the asset for its owner: by the code, by appointment, as the owner; who has claimed it already may too."""
    asset, caller = situation.document, situation.caller.organisation
    code, known = situation.note.get("claimCode", ""), asset.get("claimCodeHash", "")
    has_code = hmac.compare_digest(code_hash(code), known) if code and known else False
    return has_code or (bool(caller) and caller in {uuid_of(asset.get(term, "")) for term in ("appointedProvider", "owner", "managedBy")})


# -- what the node sets


def claimed(situation: Situation) -> Document:
    """The provider's from now on: live, as far validated as it was meanwhile."""
    asset, day, now = left_behind(situation.document), situation.today.isoformat(), situation.now
    provider = f"{asset['id'].rsplit('/assets/', 1)[0]}/organisations/{situation.caller.organisation}"
    follow = handed_over if asset.get("managedBy", provider) != provider else begun
    whole = follow(asset, provider, day, now)
    return consented(situation, live_again({**whole, "managedBy": provider}))


def left_behind(asset: Document) -> Document:
    """An asset without what stays with who has had it so far."""
    return {term: value for term, value in asset.items() if term not in LEFT_BEHIND}


def appointed(situation: Situation) -> Document:
    """With the provider that is appointed; without one the appointment is taken back."""
    kept = {term: value for term, value in situation.document.items() if term != "appointedProvider"}
    return {**kept, **situation.note}


def with_new_code(situation: Situation) -> Document:
    """The code before this one is void."""
    return {**situation.document, "claimCodeHash": code_hash(situation.offer)}


OWNERS_OWN = Rule(owner_registers_its_own, ("ASSET-INSTALL-1",))
WAITING = frozenset({AWAITING_NEW_FSP})
INSTALLATION_ACTIONS = {
    CLAIM: Action(
        CLAIM,
        ("UC-02.02",),
        (Policy("ASSET-CLAIM-1", "an active flexibility service provider claims an asset that waits for one, with the authority of its owner", PROVIDER),),
        CLAIM_RULES,
        states=WAITING,
        state_rule="ASSET-CLAIM-2",
        apply=claimed,
        consequences=consent_replaced,
        consent=question_of,
        note_terms=frozenset({"claimCode", proof.PROOF}),
        note_class="AssetClaim",
        user_role=UserRole.EDITOR,
        authority=has_authority,
    ),
    APPOINTMENT: Action(
        APPOINTMENT,
        ("UC-02.02",),
        (Policy("ASSET-APPOINT-1", "only the asset's owner appoints the provider that may claim it", relations=frozenset({Relation.OWNER})),),
        (Rule(appoints_a_provider, ("ASSET-APPOINT-3",)),),
        states=WAITING,
        state_rule="ASSET-APPOINT-2",
        apply=appointed,
        note_terms=frozenset({"appointedProvider"}),
    ),
    CLAIM_CODE: Action(
        CLAIM_CODE,
        ("UC-02.02",),
        (
            Policy(
                "ASSET-CODE-1", "whoever registered the asset, or owns it, has a new claim code made for its owner",
                relations=frozenset({Relation.REGISTRANT, Relation.OWNER}),
            ),
        ),
        (Rule(has_no_provider_yet, ("ASSET-CODE-3",)),),
        states=WAITING,
        state_rule="ASSET-CODE-2",
        apply=with_new_code,
        user_role=UserRole.EDITOR,
        draws_code=True,
    ),
}
