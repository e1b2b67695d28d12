"""Reads: one record, its versions, lists, lookup, proofs; from the journal's current state, through reveal.

Rules kept here: nothing leaves without `reveal`; what is absent and what is not the caller's look the same, and take the same time;
versions are counted as the caller can tell them apart, so that a change it may not see leaves no trace; a former
provider reads the record as of the end of its time (`access/past.py`).
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
from fmar_node.access.past import AS_OF, Look, earlier_look, keepers, look_of
from fmar_node.access.reveal import tiers
from fmar_node.checks import mpan
from fmar_node.checks.material import PERCENT, material
from fmar_node.clock import stamp
from fmar_node.errors import Forbidden, Malformed, NotFound
from fmar_node.event import changed
from fmar_node.identity import is_uuid
from fmar_node.journal.checkpoint import Checkpoint, Note
from fmar_node.journal.receipt import build_receipt
from fmar_node.journal.register import Register, Window
from fmar_node.journal.tree import inclusion_proof
from fmar_node.kinds import KINDS, Kind
from fmar_node.kinds.installation import code_hash
from fmar_node.kinds.naming import as_called_on
from fmar_node.kinds.provenance import provenance
from fmar_node.kinds.responsibility import AWAITING_NEW_FSP
from fmar_node.record import Version, by_tier, uuid_of
from fmar_node.representation import fingerprint
from fmar_node.vocabulary import Document, Tier, Vocabulary

SCAN = 5
"""Candidates fetched per item wanted, since reveal has the last word."""
MANAGED, FORMER = "me", "former"
"""Which records a list is of: those that the caller's organisation manages, and those that it has managed before."""
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

    def __init__(self, register: Register, vocabulary: Vocabulary, material_percent: float = PERCENT) -> None:
        self.register, self.vocabulary, self.material_percent = register, vocabulary, material_percent

    def current(self, kind: str, id_: str, caller: Caller) -> Shown:
        """The record now; NotFound where there is nothing for this caller."""
        version = self.register.current(kind, id_)
        if version is None:
            self._pretend(kind, id_, caller)
        elif (shown := self._seen(version, caller)) is not None:
            return shown
        raise not_here()

    def _pretend(self, kind: str, id_: str, caller: Caller) -> None:
        """Takes the time that a look at a record takes which is there and hidden."""
        other = self.register.alike(kind, id_)
        if other is not None:
            look_of(other, caller, self.register.version)

    def _seen(self, version: Version, caller: Caller, number: int = 0) -> Shown | None:
        """A record whose newest version this is, as the caller sees it."""
        return self._shown(look_of(version, caller, self.register.version), number)

    def _shown(self, look: Look, number: int) -> Shown | None:
        document = look.document(self.vocabulary)
        return None if document is None else Shown(look.version, document, number)

    def _looks(self, kind: str, id_: str, caller: Caller) -> Iterator[tuple[str, Shown | None]]:
        """When each version was recorded, and how the record looked to the caller from then on."""
        last: Shown | None = None
        version: Version | None = None
        for version in self.register.versions(kind, id_):
            shown = self._shown(self._earlier(version, caller), last.number + 1 if last else 1)
            if shown is not None and (last is None or shown.document != last.document):
                last = shown
            yield version.recorded_at, last if shown else None
        if version is None and (other := self.register.alike(kind, id_)):
            for version in self.register.versions(kind, other.id):
                self._earlier(version, caller)

    def versions(self, kind: str, id_: str, caller: Caller) -> list[Shown]:
        """The versions that the caller can tell apart, oldest first; NotFound where it sees none."""
        found = {look.number: look for _, look in self._looks(kind, id_, caller) if look}
        if not found:
            raise not_here()
        return list(found.values())

    def numbered(self, kind: str, id_: str, caller: Caller, number: int) -> Shown:
        versions = self.versions(kind, id_, caller)
        if not 1 <= number <= len(versions):
            raise not_here()
        return versions[number - 1]

    def at(self, kind: str, id_: str, caller: Caller, instant: datetime) -> Shown:
        """The record as it stood at an instant; NotFound where the caller doesn't see how it stood then."""
        time = stamp(instant)
        then = [look for recorded_at, look in self._looks(kind, id_, caller) if recorded_at <= time]
        if not then or then[-1] is None:
            raise not_here()
        return then[-1]

    def revealed(self, version: Version, caller: Caller) -> Document | None:
        """A version that need not be the current one, as far as the caller may see it now."""
        return self._earlier(version, caller).document(self.vocabulary)

    def open_tiers(self, version: Version, caller: Caller) -> frozenset[Tier]:
        """The tiers of a version that are open to the caller now."""
        return self._earlier(version, caller).sight.tiers

    def _earlier(self, version: Version, caller: Caller) -> Look:
        current = self.register.current(version.kind, version.id) or version
        present = look_of(current, caller, self.register.version)
        return earlier_look(version, present, caller, self.register.version)

    def history(self, kind: str, id_: str, caller: Caller) -> list[dict[str, Any]]:
        """Who changed what and when, newest last: the fields that changed, which of them materially, and the actor where it may be seen."""
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
        if AS_OF not in shown.document and self.open_tiers(version, caller) == frozenset(Tier):
            line |= {
                "journalIndex": version.index,
                "recordedAt": version.recorded_at,
                "action": version.action,
                "by": version.actor.as_json(),
            }
        found = material(before, shown.document, self.material_percent)
        return {**line, "changed": changed(before, shown.document), **({"material": found} if found else {})}

    def page(self, kind: Kind, caller: Caller, limit: int, cursor: str, managed: str, equal: Mapping[str, str]) -> Page:
        """Up to `limit` records by id: all, those that the caller manages, or those that it kept. `equal` compares what the caller sees, never what it doesn't."""
        single = {name: value for name, value in equal.items() if not self.vocabulary.terms[name].many}
        items: list[Document] = []
        after = _opened(cursor)
        while True:
            found = self._candidates(kind.plural, caller, managed, after, limit * SCAN, single)
            for version in found:
                shown = self._seen(version, caller)
                if shown is not None and _matches(shown.document, equal) and (managed != FORMER or AS_OF in shown.document):
                    if len(items) == limit:
                        return Page(items, _closed(uuid_of(items[-1]["id"])))
                    items.append(shown.document)
                after = version.id
            if len(found) < limit * SCAN:
                return Page(items, None)

    def _candidates(self, kind: str, caller: Caller, managed: str, after: str, limit: int, equal: Mapping[str, str]) -> list[Version]:
        """The newest versions of the next records that may be shown: those of the window, and those that are kept as they were."""
        window = window_of(caller, managed == MANAGED)
        found = {} if managed == FORMER else {each.id: each for each in self.register.page(kind, window, after, limit, equal)}
        if managed != MANAGED and not window.everything:
            kept = {caller.organisation} if managed == FORMER else keepers(caller)
            for id_ in self.register.kept(kind, kept, after, limit, equal):
                if id_ not in found and (version := self.register.current(kind, id_)):
                    found[id_] = version
        return [found[id_] for id_ in sorted(found)[:limit]]

    def lookup(self, scheme: str, value: str, caller: Caller, day: str = "") -> list[Document]:
        """The assets that carry an identifier and are the caller's to know of by it (domain 5.2), on a day where one is given, by the names that they have then."""
        wanted = normal(scheme, value)
        ids = {*self.register.found(scheme, wanted), *self.register.found_before(scheme, wanted, keepers(caller))}
        if not ids:
            self._pretend("assets", "", caller)
        shown = [self._seen(version, caller) for id_ in sorted(ids) if (version := self.register.current("assets", id_))]
        there = [each.document for each in shown if each and each.version.state != "DEREGISTERED"]
        return [document for document in there if _is_shown_under(document, scheme, wanted, day)]

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
        seen = {name: value for name, value in shown.document.items() if name != AS_OF}
        return by_tier(shown.version.document, terms)[tier] == by_tier(seen, terms)[tier]

    def export(
        self, kind: Kind, caller: Caller, index: int | None = None, equal: Mapping[str, str] = MappingProxyType({}), managed: str = MANAGED
    ) -> Iterator[Document]:
        """Everything that the caller managed at a place of the journal (the newest unless one is named), or had kept by then, by id, streamed.

        At one place it is always the same, but for what has been erased since, and for what a consent that has ended since no longer opens.
        """
        place = self.register.size() - 1 if index is None else index
        after = ""
        while True:
            found, after = self.register.page_as_of(kind.plural, caller.organisation, place, after, 100, is_former=managed == FORMER)
            for version in found:
                look = self._earlier(version, caller) if bool(managed == FORMER) != _manages(caller, version) else None
                document = look.document(self.vocabulary) if look and bool(look.as_of) == (managed == FORMER) else None
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
