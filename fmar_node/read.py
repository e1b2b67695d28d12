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
from types import MappingProxyType
from typing import Any

from fmar_node.access.caller import Caller, Role
from fmar_node.access.reveal import filtered, past_tiers, reveal, tiers
from fmar_node.checks import mpan
from fmar_node.clock import stamp
from fmar_node.errors import Forbidden, Malformed, NotFound
from fmar_node.event import changed
from fmar_node.identity import is_uuid
from fmar_node.journal.checkpoint import Checkpoint, Note
from fmar_node.journal.receipt import build_receipt
from fmar_node.journal.register import Register, Window
from fmar_node.journal.tree import inclusion_proof
from fmar_node.kinds import KINDS, Kind
from fmar_node.kinds.installation import AWAITING_NEW_FSP, code_hash
from fmar_node.kinds.naming import as_called_on
from fmar_node.kinds.provenance import provenance
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
        current = self._current(kind, id_)
        for version in self.register.versions(kind, id_):
            document = self._revealed(version, current, caller)
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
        document = self._revealed(then[-1], self._current(kind, id_), caller) if then else None
        past = [shown for shown in self.versions(kind, id_, caller) if shown.version.recorded_at <= time] if document else []
        if not past:
            raise not_here()
        return past[-1]

    def revealed(self, version: Version, caller: Caller) -> Document | None:
        """A version that need not be the current one, as far as the caller may see it now."""
        return self._revealed(version, self._current(version.kind, version.id), caller)

    def open_tiers(self, version: Version, caller: Caller) -> frozenset[Tier]:
        """The tiers of a version that are open to the caller now."""
        return past_tiers(version.document, self._current(version.kind, version.id), caller)

    def _revealed(self, version: Version, current: Document, caller: Caller) -> Document | None:
        opened = past_tiers(version.document, current, caller)
        return filtered(version.document, opened, self.vocabulary) if opened else None

    def _current(self, kind: str, id_: str) -> Document:
        version = self.register.current(kind, id_)
        return version.document if version else {}

    def history(self, kind: str, id_: str, caller: Caller) -> list[dict[str, Any]]:
        """Who changed what and when, newest last: the fields that changed, and the actor where it may be seen."""
        lines, before = [], None
        for shown in self.versions(kind, id_, caller):
            lines.append(self._line(shown, before, caller))
            before = shown.document
        return lines

    def provenance(self, id_: str, caller: Caller) -> list[dict[str, str]]:
        """Where the values of an asset come from, for those who see the evidence; NotFound, Forbidden."""
        shown = self.current("assets", id_, caller)
        if Tier.COMMERCIAL not in tiers(shown.version.document, caller):
            raise Forbidden("not-permitted", "where values come from is told to those who see the evidence: the tier commercial")
        return provenance(shown.document, self.vocabulary)

    def _line(self, shown: Shown, before: Document | None, caller: Caller) -> dict[str, Any]:
        version = shown.version
        line: dict[str, Any] = {"version": shown.number}
        if self.open_tiers(version, caller) == frozenset(Tier):
            line |= {
                "journalIndex": version.index,
                "recordedAt": version.recorded_at,
                "action": version.action,
                "by": version.actor.as_json(),
            }
        return {**line, "changed": changed(before, shown.document)}

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

    def lookup(self, scheme: str, value: str, caller: Caller, day: str = "") -> list[Document]:
        """The assets that carry an identifier and are the caller's to know of by it (domain 5.2), on a day where one is given, by the names that they have then."""
        shown = [reveal(document, caller, self.vocabulary) for document in self._carrying(scheme, value)]
        return [document for document in shown if document is not None and _is_shown_under(document, scheme, normal(scheme, value), day)]

    def waiting(self, scheme: str, value: str, caller: Caller, code: str = "", day: str = "") -> list[Document]:
        """Of the assets that carry an identifier and wait for a provider those that the caller may claim: by their claim code, or by appointment."""
        if not (caller.has(Role.FSP) and caller.is_active) or caller.actor:
            return []
        found = [document for document in self._carrying(scheme, value) if document["standing"] == AWAITING_NEW_FSP]
        given = {code_hash(each) for each in (code, value if scheme == "CLAIM_CODE" else "") if each}
        proved = [each for each in found if each.get("claimCodeHash") in given or uuid_of(each.get("appointedProvider", "")) == caller.organisation]
        return [each for each in proved if _is_shown_under(each, scheme, normal(scheme, value), day)]

    def _carrying(self, scheme: str, value: str) -> list[Document]:
        found = [self.register.current("assets", id_) for id_ in sorted(self.register.found(scheme, normal(scheme, value)))]
        return [version.document for version in found if version and version.state != "DEREGISTERED"]

    def proof(self, shown: Shown, caller: Caller) -> dict[str, Any]:
        """The receipt of a version: inclusion proof in the newest signed tree, sections that the caller sees whole."""
        entry = self.register.entry(shown.version.index)
        assert entry is not None
        note = self.register.checkpoint()
        size = Checkpoint.parse(Note.parse(note).text).size
        open_tiers = self.open_tiers(shown.version, caller)
        seen = {SECTION_OF_TIER[tier] for tier in open_tiers if self._is_seen_whole(shown, tier)}
        if open_tiers == frozenset(Tier):
            seen |= {"envelope", "actor", "submission"}
        return build_receipt(entry, seen, inclusion_proof(self.register, shown.version.index, size), note)

    def _is_seen_whole(self, shown: Shown, tier: Tier) -> bool:
        """Whether a section holds nothing but what is shown: a value that is open may stand in a part that is not."""
        terms = self.vocabulary.terms
        return by_tier(shown.version.document, terms)[tier] == by_tier(shown.document, terms)[tier]

    def export(self, kind: Kind, caller: Caller, index: int | None = None, equal: Mapping[str, str] = MappingProxyType({})) -> Iterator[Document]:
        """Everything that the caller managed at a place of the journal (the newest unless one is named), by id, streamed.

        At one place it is always the same, but for what has been erased since.
        """
        place = self.register.size() - 1 if index is None else index
        after = ""
        while True:
            found, after = self.register.page_as_of(kind.plural, caller.organisation, place, after, 100)
            for version in found:
                document = reveal(version.document, caller, self.vocabulary) if _manages(caller, version) else None
                if document is not None and _matches(document, equal):
                    yield document
            if not after:
                return


def _manages(caller: Caller, version: Version) -> bool:
    return bool(caller.organisation) and uuid_of(str(version.document.get("managedBy", ""))) == caller.organisation


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
    if scheme == "CLAIM_CODE":
        return code_hash(value)
    text = value.strip().casefold()
    return text.replace("*", "") if scheme == "EVSE" else text


def _is_shown_under(shown: Document, scheme: str, value: str, day: str) -> bool:
    """A public face is not standing: who looks up by an identifier must be one who sees that identifier, all of it.

    A serial number without its manufacturer is no pair: it would tell whether there is a manufacturer that is not shown.
    """
    called = as_called_on(shown, day) if day else shown
    return not (scheme == "SERIAL" and value.startswith("|")) and (scheme, value) in KINDS["assets"].handles(called)


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
