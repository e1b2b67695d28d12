"""Matters: what somebody has to act on, and how a notice of it is raised and settled (DQ-4). Every kind may import this.

Rules kept here: there is one notice for each party, type and subject, for good, and a claim in the journal holds it; it is
raised once, raised again it is renewed while it is open, and reopened after it was resolved; what nobody was told of is not
settled. All of it is found out in the register as it is inside the transaction, so that nothing gets in between.

A kind whose documents say by themselves what is to be acted on declares it (`Kind.matters`), and the write path does the
rest (`following`). What only an event says is raised and settled by the consequences of an action (`raised`, `settled`):
at most once for the same notice in one action.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fmar_node.identity import new_record_id
from fmar_node.kinds.kind import Claim, Consequence, Kind, Matter, Register
from fmar_node.record import Version
from fmar_node.vocabulary import Document

OPERATOR = "FMAR_OPERATOR"
"""The party of a matter that whoever operates the register has to act on: a code of OrganisationRole."""
OPEN, ACKNOWLEDGED, RESOLVED = "OPEN", "ACKNOWLEDGED", "RESOLVED"
UNRESOLVED = (OPEN, ACKNOWLEDGED)
CORRECTED, ACCEPTED, SETTLED, LAPSED = "CORRECTED", "ACCEPTED", "SETTLED", "LAPSED"
RESOLUTION_BY: Mapping[str, str] = {"update": CORRECTED, "acceptance": ACCEPTED, "deregistration": LAPSED, "orphaning": LAPSED}
"""What becomes of a record's matters by its actions; by all others they are settled."""


def claim_of(matter: Matter) -> Claim:
    """What makes a notice the only one."""
    return Claim("notice", f"{matter.party}|{matter.type}|{matter.subject}")


def raised(register: Register, matter: Matter) -> Iterable[Consequence]:
    """The notice of a matter is raised, renewed where the open one says something else, or reopened."""
    found, note = _notice(register, matter), told(matter)
    if found is None:
        yield Consequence("notices", new_record_id(), "register", note)
    elif found.state == RESOLVED:
        yield Consequence("notices", found.id, "reopening", note)
    elif any(found.document.get(term) != note.get(term) for term in RENEWED):
        yield Consequence("notices", found.id, "renewal", note)


def settled(register: Register, matter: Matter, resolution: str = SETTLED) -> Iterable[Consequence]:
    """The notice of a matter that is none any more is resolved, if somebody has been told and it is not."""
    found = _notice(register, matter)
    if found is not None and found.state in UNRESOLVED:
        yield Consequence("notices", found.id, "settlement", {"resolution": resolution})


def lapsed(register: Register, organisation: str) -> Iterable[Consequence]:
    """Nobody is left to act on what an organisation that goes was told."""
    for notice in register.belonging("notices", organisation, UNRESOLVED):
        yield Consequence("notices", notice.id, "settlement", {"resolution": LAPSED})


def following(register: Register, kind: Kind, action: str, before: Document | None, after: Document) -> Iterable[Consequence]:
    """What a new version of a record raises and settles: its matters, beside those that it had."""
    had = {claim_of(matter): matter for matter in kind.matters(before)} if before else {}
    has = {claim_of(matter): matter for matter in kind.matters(after)}
    for claim, matter in has.items():
        if had.get(claim) != matter:
            yield from raised(register, matter)
    for claim, matter in had.items():
        if claim not in has:
            yield from settled(register, matter, RESOLUTION_BY.get(action, SETTLED))


RENEWED = ("noticeField", "noticeSource", "dueBy", "text")
"""What may change of a notice while it is open."""


def told(matter: Matter) -> Document:
    """A matter in the words of a notice."""
    to = {"noticeRole": OPERATOR} if matter.party == OPERATOR else {"noticeParty": matter.party}
    said = {"text": matter.text, "noticeField": sorted(matter.fields), "noticeSource": sorted(matter.sources), "dueBy": matter.due_by}
    return {"noticeType": matter.type, **to, "subject": matter.subject, **{term: value for term, value in said.items() if value}}


def matter_of(notice: Document) -> Matter:
    """Whose, which and of what a notice is."""
    return Matter(notice.get("noticeParty", OPERATOR), notice["noticeType"], notice["subject"])


def _notice(register: Register, matter: Matter) -> Version | None:
    holder = register.holder(claim_of(matter))
    return register.current("notices", holder) if holder else None
