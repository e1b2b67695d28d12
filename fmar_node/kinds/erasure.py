"""Erasure, the same for every kind of record: personal values are destroyed, and the record says when and why (UC-05.06).

Rules kept here: only the operator erases, in whatever state the record is; EVERYTHING takes all personal values of the
record, PAST those of its earlier versions (a contact that has left, an owner before this one). What is destroyed is
what the tier personal holds, and every document as it was submitted; it cannot be undone.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.access.caller import Role
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.kind import Action, Policy, Rule, Situation
from fmar_node.vocabulary import Document

ERASURE = "erasure"
"""The action's name, in every kind, and in the envelope of its entry."""
EVERYTHING, PAST = "EVERYTHING", "PAST"


def erasure(name: str, states: frozenset[str]) -> Action:
    """The action for a kind; `name` begins its codes, `states` are all states of the kind, so that no state refuses it."""
    code = f"{name}-ERASE"

    def has_a_reason(situation: Situation) -> Iterable[Fault]:
        """Erasure says why."""
        if "erasureReason" not in situation.note:
            yield Fault(f"{code}-2", Severity.REJECT, "erasureReason is missing", "/erasureReason", "erasureReason")

    return Action(
        name=ERASURE,
        use_cases=("UC-05.06",),
        policies=(Policy(f"{code}-1", "only the operator destroys personal values", frozenset({Role.OPERATOR})),),
        rules=(Rule(has_a_reason, (f"{code}-2",)),),
        states=states,
        apply=erased,
        note_terms=frozenset({"erasureReason", "erasureScope"}),
    )


def erased(situation: Situation) -> Document:
    """The record says so; its personal values are taken out where the version is drafted."""
    scope = situation.note.get("erasureScope", EVERYTHING)
    return {**situation.document, "erasedAt": situation.now, "erasureReason": situation.note["erasureReason"], "erasureScope": scope}
