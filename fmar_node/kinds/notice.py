"""Notices: who has to act on what, and by when (DQ-4: discrepancies among them).

States: OPEN -> ACKNOWLEDGED -> RESOLVED, and OPEN again when the cause comes back. The node alone raises, renews and reopens
them, and resolves those whose cause is gone (`kinds/matter.py`); such an entry names nobody, since whoever has caused it may be one
that the reader does not know of. Who has to act acknowledges and resolves; the operator resolves any. A notice
names terms and sources of its subject, never values: these stand in the record, for those who see it.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.access.caller import Role, UserRole
from fmar_node.access.reveal import Relation
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.kind import Action, Claim, Kind, Policy, Rule, Situation, by_node
from fmar_node.kinds.matter import (
    ACCEPTED,
    ACKNOWLEDGED,
    CORRECTED,
    OPEN,
    RENEWED,
    RESOLVED,
    UNRESOLVED,
    claim_of,
    matter_of,
)
from fmar_node.vocabulary import Document

BY_HAND = frozenset({CORRECTED, "SOURCE_WRONG", ACCEPTED})
"""The resolutions that somebody gives; the others are the node's own findings."""
TOLD = frozenset({"noticeType", "noticeParty", "noticeRole", "subject", *RENEWED})
PAST = ("acknowledgedAt", "resolution", "resolutionText", "resolvedAt", "resolvedBy")
"""What a notice says of its last time, and no more when it is opened again."""
OPERATOR, ADDRESSEE = frozenset({Role.OPERATOR}), frozenset({Relation.ADDRESSEE})
STILL_OPEN = frozenset(UNRESOLVED)


# -- rules


def says_what_became_of_it(situation: Situation) -> Iterable[Fault]:
    """A resolution by hand says which, and why."""
    if situation.note.get("resolution") not in BY_HAND:
        message = f"resolution is {', '.join(sorted(BY_HAND))}; the others are the node's own"
        yield Fault("NOTICE-RESOLVE-4", Severity.REJECT, message, "/resolution", "resolution")
    if "resolutionText" not in situation.note:
        yield Fault("NOTICE-RESOLVE-5", Severity.REJECT, "resolutionText is missing: what became of it?", "/resolutionText", "resolutionText")


def is_the_only_one(situation: Situation) -> Iterable[Fault]:
    """One notice for each party, type and subject; a resolved one is reopened."""
    if situation.register.holder(claim_of(matter_of(situation.note))) is not None:
        yield Fault("NOTICE-RAISE-2", Severity.REJECT, "there is a notice of this for this party already", "/subject", "subject")


# -- what the node sets


def opened(situation: Situation) -> Document:
    return {**situation.document, **situation.note, "noticeStatus": OPEN, "raisedAt": situation.now, "recurrence": 0}


def renewed(situation: Situation) -> Document:
    """It stays what it is; what it says of its cause is what holds now."""
    kept = {term: value for term, value in situation.document.items() if term not in RENEWED}
    return {**kept, **situation.note}


def reopened(situation: Situation) -> Document:
    """The same notice once more."""
    kept = {term: value for term, value in renewed(situation).items() if term not in PAST}
    return {**kept, "noticeStatus": OPEN, "reopenedAt": situation.now, "recurrence": int(kept["recurrence"]) + 1}


def acknowledged(situation: Situation) -> Document:
    return {**situation.document, "noticeStatus": ACKNOWLEDGED, "acknowledgedAt": situation.now}


def resolved(situation: Situation) -> Document:
    base = situation.document["id"].rsplit("/notices/", 1)[0]
    by = {} if situation.caller.is_node else {"resolvedBy": f"{base}/organisations/{situation.caller.organisation}"}
    return {**situation.document, **situation.note, **by, "noticeStatus": RESOLVED, "resolvedAt": situation.now}


def claims(document: Document) -> set[Claim]:
    """A resolved notice keeps its place: it is the one that is opened again."""
    return {claim_of(matter_of(document))}


NOTICE = Kind(
    name="notice",
    plural="notices",
    class_name="Notice",
    claims=claims,
    filters=("noticeStatus", "noticeType", "noticeParty", "noticeRole", "subject", "noticeField", "noticeSource", "resolution"),
    names_no_cause=True,
    actions={
        "register": Action(
            "register",
            ("DQ-4",),
            by_node("NOTICE-RAISE-1"),
            (Rule(is_the_only_one, ("NOTICE-RAISE-2",)),),
            apply=opened,
            note_terms=TOLD,
            is_nodes_own=True,
        ),
        "renewal": Action(
            "renewal",
            ("DQ-4",),
            by_node("NOTICE-RENEW-1"),
            states=STILL_OPEN,
            state_rule="NOTICE-RENEW-2",
            apply=renewed,
            note_terms=TOLD,
            is_nodes_own=True,
        ),
        "reopening": Action(
            "reopening",
            ("DQ-4",),
            by_node("NOTICE-REOPEN-1"),
            states=frozenset({RESOLVED}),
            state_rule="NOTICE-REOPEN-2",
            apply=reopened,
            note_terms=TOLD,
            is_nodes_own=True,
        ),
        "settlement": Action(
            "settlement",
            ("DQ-4",),
            by_node("NOTICE-SETTLE-1"),
            states=STILL_OPEN,
            state_rule="NOTICE-SETTLE-2",
            apply=resolved,
            note_terms=frozenset({"resolution"}),
            is_nodes_own=True,
        ),
        "acknowledgement": Action(
            "acknowledgement",
            ("DQ-4",),
            (Policy("NOTICE-ACKNOWLEDGE-1", "a notice is acknowledged by who has to act on it", relations=ADDRESSEE),),
            states=frozenset({OPEN}),
            state_rule="NOTICE-ACKNOWLEDGE-2",
            apply=acknowledged,
            user_role=UserRole.EDITOR,
        ),
        "resolution": Action(
            "resolution",
            ("DQ-4",),
            (
                Policy("NOTICE-RESOLVE-1", "the operator resolves any notice", OPERATOR),
                Policy("NOTICE-RESOLVE-2", "a notice is resolved by who has to act on it, or by the operator", relations=ADDRESSEE),
            ),
            (Rule(says_what_became_of_it, ("NOTICE-RESOLVE-4", "NOTICE-RESOLVE-5")),),
            states=STILL_OPEN,
            state_rule="NOTICE-RESOLVE-3",
            apply=resolved,
            note_terms=frozenset({"resolution", "resolutionText"}),
            user_role=UserRole.EDITOR,
        ),
        ERASURE: erasure("NOTICE", STILL_OPEN | {RESOLVED}),
    },
)
