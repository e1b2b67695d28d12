"""Reads: one record, its versions, lists, lookup, proofs; from the journal's current state, through reveal.

Rules kept here: nothing leaves without `reveal`; what is absent and what is not the caller's look the same;
versions are counted as the caller can tell them apart, so that a change it may not see leaves no trace.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fmar_node.access.caller import Caller, Role
from fmar_node.access.reveal import reveal, tiers
from fmar_node.checks import mpan
from fmar_node.clock import stamp
from fmar_node.errors import Malformed, NotFound
from fmar_node.identity import is_uuid
from fmar_node.journal.checkpoint import Checkpoint, Note
from fmar_node.journal.receipt import build_receipt
from fmar_node.journal.register import Register, Window
from fmar_node.journal.tree import inclusion_proof
from fmar_node.kinds import KINDS, Kind
from fmar_node.record import Version, by_tier, uuid_of
from fmar_node.representation import fingerprint
from fmar_node.vocabulary import Document, Tier, Vocabulary

SCAN = 5
"""Candidates fetched per item wanted, since reveal has the last word."""
SECTION_OF_TIER = {Tier.OPEN: "open", Tier.OPERATIONAL: "operational", Tier.COMMERCIAL: "commercial", Tier.PERSONAL: "personal"}


@dataclass(frozen=True, slots=True)
class Shown:
    """A version as a caller sees it. `number` counts the versions that this caller can tell apart."""

    version: Version
    document: Document
    number: int

    @property
    def fingerprint(self) -> str:
        """The part of the ETag that all formats of this view of the record share."""
        return fingerprint(self.document)


@dataclass(frozen=True, slots=True)
class Page:
    """Items of a list, and the cursor of the next page (none on the last)."""

    items: list[Document]
    cursor: str | None


class Reader:
    """Reads for one caller at a time, over one register."""

    def __init__(self, register: Register, vocabulary: Vocabulary) -> None:
        self.register, self.vocabulary = register, vocabulary

    def current(self, kind: str, id_: str, caller: Caller) -> Shown:
        """The record now; NotFound where there is nothing for this caller."""
        version = self.register.current(kind, id_)
        document = reveal(version.document, caller, self.vocabulary) if version else None
        if version is None or document is None:
            raise not_here()
        return Shown(version, document, 0)

    def versions(self, kind: str, id_: str, caller: Caller) -> list[Shown]:
        """The versions that the caller can tell apart, oldest first; NotFound where it sees none."""
        shown: list[Shown] = []
        for version in self.register.versions(kind, id_):
            document = reveal(version.document, caller, self.vocabulary)
            if document is not None and (not shown or document != shown[-1].document):
                shown.append(Shown(version, document, len(shown) + 1))
        if not shown:
            raise not_here()
        return shown

    def numbered(self, kind: str, id_: str, caller: Caller, number: int) -> Shown:
        versions = self.versions(kind, id_, caller)
        if not 1 <= number <= len(versions):
            raise not_here()
        return versions[number - 1]

    def at(self, kind: str, id_: str, caller: Caller, instant: datetime) -> Shown:
        """The record as it stood at an instant; NotFound where the caller doesn't see how it stood then."""
        time = stamp(instant)
        then = [version for version in self.register.versions(kind, id_) if version.recorded_at <= time]
        document = reveal(then[-1].document, caller, self.vocabulary) if then else None
        past = [shown for shown in self.versions(kind, id_, caller) if shown.version.recorded_at <= time] if document else []
        if not past:
            raise not_here()
        return past[-1]

    def history(self, kind: str, id_: str, caller: Caller) -> list[dict[str, Any]]:
        """Who changed what and when, newest last: the fields that changed, and the actor where it may be seen."""
        lines, before = [], None
        for shown in self.versions(kind, id_, caller):
            lines.append(self._line(shown, before, caller))
            before = shown.document
        return lines

    def _line(self, shown: Shown, before: Document | None, caller: Caller) -> dict[str, Any]:
        version = shown.version
        line: dict[str, Any] = {"version": shown.number}
        if _sees_everything(version.document, caller):
            line |= {
                "journalIndex": version.index,
                "recordedAt": version.recorded_at,
                "action": version.action,
                "by": version.actor.as_json(),
            }
        changed = [name for name in shown.document | (before or {}) if shown.document.get(name) != (before or {}).get(name)]
        return {**line, "changed": changed if before is not None else sorted(shown.document)}

    def page(self, kind: Kind, caller: Caller, limit: int, cursor: str, managed: bool, equal: Mapping[str, str]) -> Page:
        """Up to `limit` records by id. `equal` compares what the caller sees, never what it doesn't."""
        window = window_of(caller, managed)
        single = {name: value for name, value in equal.items() if not self.vocabulary.terms[name].many}
        items: list[Document] = []
        after = _opened(cursor)
        while True:
            found = self.register.page(kind.plural, window, after, limit * SCAN, single)
            for version in found:
                document = reveal(version.document, caller, self.vocabulary)
                if document is not None and _matches(document, equal):
                    if len(items) == limit:
                        return Page(items, _closed(uuid_of(items[-1]["id"])))
                    items.append(document)
                after = version.id
            if len(found) < limit * SCAN:
                return Page(items, None)

    def lookup(self, scheme: str, value: str, caller: Caller) -> list[Document]:
        """The assets that carry an identifier and are the caller's to know of by it (domain 5.2)."""
        found = [self.register.current("assets", id_) for id_ in sorted(self.register.found(scheme, normal(scheme, value)))]
        shown = [reveal(version.document, caller, self.vocabulary) for version in found if version and version.state != "DEREGISTERED"]
        return [document for document in shown if document is not None and _is_shown_under(document, scheme, normal(scheme, value))]

    def proof(self, shown: Shown, caller: Caller) -> dict[str, Any]:
        """The receipt of a version: inclusion proof in the newest signed tree, sections that the caller sees whole."""
        entry = self.register.entry(shown.version.index)
        assert entry is not None
        note = self.register.checkpoint()
        size = Checkpoint.parse(Note.parse(note).text).size
        open_tiers = tiers(shown.version.document, caller)
        seen = {SECTION_OF_TIER[tier] for tier in open_tiers if self._is_seen_whole(shown, tier)}
        if open_tiers == frozenset(Tier):
            seen |= {"envelope", "actor", "submission"}
        return build_receipt(entry, seen, inclusion_proof(self.register, shown.version.index, size), note)

    def _is_seen_whole(self, shown: Shown, tier: Tier) -> bool:
        """Whether a section holds nothing but what is shown: a value that is open may stand in a part that is not."""
        terms = self.vocabulary.terms
        return by_tier(shown.version.document, terms)[tier] == by_tier(shown.document, terms)[tier]

    def export(self, kind: Kind, caller: Caller) -> Iterator[Document]:
        """Everything that the caller manages, streamed."""
        cursor = ""
        while True:
            page = self.page(kind, caller, 100, cursor, True, {})
            yield from page.items
            if page.cursor is None:
                return
            cursor = page.cursor


def not_here() -> NotFound:
    """The one answer for what does not exist and for what this caller does not see."""
    return NotFound("not-found", "no such record for this caller")


def window_of(caller: Caller, managed: bool) -> Window:
    """Which records a list for the caller picks from; reveal still decides on each."""
    if caller.has(Role.OPERATOR, Role.NESO) and not managed:
        return Window(everything=True)
    areas = tuple(sorted(caller.areas)) if caller.has(Role.DSO) else ()
    return Window(organisation=caller.organisation, areas=areas, managed_only=managed, grantors=tuple(sorted(caller.grants)))


def normal(scheme: str, value: str) -> str:
    """An identifier as handles keep it."""
    if scheme == "MPAN":
        return mpan.core(value.strip())
    text = value.strip().casefold()
    return text.replace("*", "") if scheme == "EVSE" else text


def _is_shown_under(shown: Document, scheme: str, value: str) -> bool:
    """A public face is not standing: who looks up by an identifier must be one who sees that identifier, all of it.

    A serial number without its manufacturer is no pair: it would tell whether there is a manufacturer that is not shown.
    """
    return not (scheme == "SERIAL" and value.startswith("|")) and (scheme, value) in KINDS["assets"].handles(shown)


def _sees_everything(document: Document, caller: Caller) -> bool:
    return tiers(document, caller) == frozenset(Tier)


def _matches(document: Document, equal: Mapping[str, str]) -> bool:
    for name, wanted in equal.items():
        value = document.get(name)
        if value != wanted and not (isinstance(value, list) and wanted in value):
            return False
    return True


def _closed(after: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([after]).encode()).decode().rstrip("=")


def _opened(cursor: str) -> str:
    if not cursor:
        return ""
    try:
        (after,) = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError, RecursionError):
        after = ""
    if not isinstance(after, str) or not is_uuid(after):
        raise Malformed("malformed-request", "this cursor was not issued by this node")
    return after
