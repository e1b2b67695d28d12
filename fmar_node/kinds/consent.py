"""Consents: what a consumer, or an organisation that owns an asset, lets a provider do with it (UC-05.05, domain 5.4).

States: VALID -> REVOKED by the consent solution, EXPIRED by the clock, or ENDED with what rested on it. The node makes and changes these
records itself. Rules kept here: of the proof there is the hash alone; a consent that does not hold any more never does again, a new one takes
its place; whatever rests on it follows in the same transaction: records that carry its id under `RESTS_ON`, by the table `RESTING`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fmar_node.kinds.commitment import LAPSE, PENDING
from fmar_node.kinds.consented import HOLDING, LOSS
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.kind import Action, Claim, Consequence, Kind, Situation, becomes, by_node
from fmar_node.kinds.proof import RESTS_ON, used
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document

VALID = "VALID"
STATES = frozenset({VALID, "REVOKED", "EXPIRED", "ENDED"})


@dataclass(frozen=True, slots=True)
class Dependant:
    """What becomes of records of a kind that rest on a consent which holds no longer, in these of their states."""

    action: str
    states: frozenset[str]


RESTING: Mapping[str, Dependant] = {
    "assets": Dependant(LOSS, HOLDING),
    "switches": Dependant(LAPSE, PENDING),
}
"""By kind: one line for each kind that a consent may be given for."""


def falls(situation: Situation) -> Iterable[Consequence]:
    """What rests on the consent falls with it."""
    own = uuid_of(situation.document["id"])
    for id_ in sorted(situation.register.found(RESTS_ON, own)):
        for kind, dependant in RESTING.items():
            found = situation.register.current(kind, id_)
            if found is not None and found.state in dependant.states:
                yield Consequence(kind, id_, dependant.action)


# -- what the node sets


def revoked(situation: Situation) -> Document:
    """Since when, by the solution's word; the node's own time is the entry's."""
    return {**situation.document, **situation.note, "consentStatus": "REVOKED"}


def awaits(document: Document) -> tuple[str, str] | None:
    """Its end, where it has one."""
    until = document.get("consentUntil")
    return (until, "expiry") if until and document.get("consentStatus") == VALID else None


def claims(document: Document) -> set[Claim]:
    """A consent of a single use is used for good."""
    if not document.get("isSingleUse"):
        return set()
    return set(used(document["consentHash"], document["consentSolution"], document.get("solutionReference", "")))


def handles(document: Document) -> set[tuple[str, str]]:
    """What the solution's notifications find it by."""
    reference = document.get("solutionReference")
    return {handle(document["consentSolution"], reference)} if reference else set()


def handle(solution: str, reference: str) -> tuple[str, str]:
    """The identifier of a consent at its solution."""
    return "CONSENT", f"{solution}|{reference}"


CONSENT = Kind(
    name="consent",
    plural="consents",
    class_name="Consent",
    claims=claims,
    handles=handles,
    awaits=awaits,
    filters=("grantee", "consentAsset", "consentStatus", "consentSolution"),
    actions={
        "register": Action(
            "register",
            ("UC-05.05",),
            by_node("CONSENT-REGISTER-1"),
            apply=becomes("consentStatus", VALID),
            takes_document=True,
            is_nodes_own=True,
        ),
        "revocation": Action(
            "revocation",
            ("UC-05.05",),
            by_node("CONSENT-REVOKE-1"),
            states=frozenset({VALID}),
            state_rule="CONSENT-REVOKE-2",
            apply=revoked,
            consequences=falls,
            note_terms=frozenset({"revokedAt"}),
            is_nodes_own=True,
        ),
        "expiry": Action(
            "expiry",
            ("UC-05.05",),
            by_node("CONSENT-EXPIRE-1"),
            states=frozenset({VALID}),
            state_rule="CONSENT-EXPIRE-2",
            apply=becomes("consentStatus", "EXPIRED"),
            consequences=falls,
            is_nodes_own=True,
        ),
        "end": Action(
            "end",
            ("UC-05.05",),
            by_node("CONSENT-END-1"),
            states=frozenset({VALID}),
            state_rule="CONSENT-END-2",
            apply=becomes("consentStatus", "ENDED"),
            is_nodes_own=True,
        ),
        ERASURE: erasure("CONSENT", STATES),
    },
)
