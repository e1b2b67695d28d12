"""What a journal entry means to whoever is told of it: at most one event (CloudEvents 1.0), and no value of any record.

Rules kept here:
- an event is made of what the receiver sees of the record before and after the entry, of the past as it sees that now: where both are
  the same there is none, so that what it may not see leaves no trace;
- a record that was not there for the receiver and now is has `appeared`, one that no longer is has `disappeared`; between these
  it has `changed`, and the terms that did are named;
- the action, and the entry that brought it about, are told to those who see the whole record, as in its history;
- an entry that moves the receiver's own rights says so (`viewMoved`): then other records may have come into view, or left it,
  without an entry of their own, and lists are to be read again;
- `id` is the place of the entry in the journal: the same for every receiver, and each time that it is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fmar_node.access.caller import Caller, Role
from fmar_node.access.reveal import PUBLISHED_REGISTERS, parties
from fmar_node.checks.material import PERCENT, material
from fmar_node.kinds import KINDS
from fmar_node.record import Version, state_in, uuid_of
from fmar_node.vocabulary import Document

SPECIFICATION = "1.0"
NAMESPACE = "org.fmar"
MEDIA_TYPE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
RIGHTS = ("organisationRoles", "licenceArea", "organisationStatus")
"""The terms of an organisation from which its rights, and those that it has granted, follow."""


class Happening(StrEnum):
    """What has become of a record, as its receiver sees it."""

    APPEARED = "appeared"
    CHANGED = "changed"
    DISAPPEARED = "disappeared"


@dataclass(frozen=True, slots=True)
class Event:
    """What one receiver is told of an entry. `number` is the version as it counts them, None where the record is gone for it."""

    kind: str
    subject: str
    index: int
    time: str
    happening: Happening
    changed: tuple[str, ...] = ()
    material: tuple[str, ...] = ()
    """Those of them by which networks and markets decide."""
    number: int | None = None
    action: str = ""
    cause: int | None = None
    moves_view: bool = False

    @property
    def id(self) -> str:
        return str(self.index)

    def as_json(self, source: str) -> dict[str, Any]:
        """The event in structured JSON; `source` is the node's base URL."""
        told = {"version": self.number, "changed": list(self.changed), "material": list(self.material), "action": self.action, "viewMoved": self.moves_view}
        cause = {"cause": str(self.cause)} if self.cause is not None else {}
        return {
            "specversion": SPECIFICATION,
            "id": self.id,
            "source": source,
            "type": type_of(self.kind, self.happening),
            "subject": self.subject,
            "time": self.time,
            "datacontenttype": "application/json",
            "data": {name: value for name, value in told.items() if value} | cause,
        }


@dataclass(frozen=True, slots=True)
class Wish:
    """Which events somebody wants: of these kinds, areas, categories, actions; of each, none named means any."""

    kinds: frozenset[str] = frozenset()
    areas: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    actions: frozenset[str] = frozenset()

    def grants(self, event: Event, faces: Iterable[Document]) -> bool:
        """Whether an event is among them; `faces` are what the receiver has seen of the record and sees now, and one that fits is enough."""
        fits = not self.kinds or event.kind in self.kinds
        return fits and (not self.actions or event.action in self.actions) and any(map(self._is_in, faces))

    def _is_in(self, face: Document) -> bool:
        is_there = not self.areas or face.get("dnoConnection") in self.areas
        return is_there and (not self.categories or face.get("assetCategory") in self.categories)


EVERYTHING = Wish()


def type_of(kind: str, happening: Happening) -> str:
    """The type of an event, by which a receiver chooses what to do with it: `org.fmar.asset.changed`."""
    return f"{NAMESPACE}.{KINDS[kind].name}.{happening}"


def types() -> list[str]:
    """Every type that there is."""
    return [type_of(kind, happening) for kind in KINDS for happening in Happening]


def event_of(
    version: Version, before: Document | None, after: Document | None, number: int, caller: Caller, cause: int | None = None,
    grantors: Iterable[str] = (), *, is_whole: bool = False, material_percent: float = PERCENT,
) -> Event | None:
    """What an entry means to a caller, who saw `before` of the record and now sees `after`; None where that is the same.

    `is_whole` says that nothing of the record is hidden from the caller, so that it is told who did what. `material_percent` is how much of a capacity is material. `grantors` are the organisations that have granted it something, whether or not they are active now.
    """
    if before == after:
        return None
    return Event(
        kind=version.kind,
        subject=version.iri,
        index=version.index,
        time=version.recorded_at,
        happening=_happening(before, after),
        changed=tuple(name for name in changed(before, after or {}) if name not in ("id", "type")) if after else (),
        material=tuple(material(before, after, material_percent)),
        number=number if after else None,
        action=version.action if is_whole else "",
        cause=cause if is_whole else None,
        moves_view=moves_view(version.kind, before or {}, after or {}, caller.organisation, grantors),
    )


def _happening(before: Document | None, after: Document | None) -> Happening:
    if after is None:
        return Happening.DISAPPEARED
    return Happening.CHANGED if before else Happening.APPEARED


def changed(before: Document | None, after: Document) -> list[str]:
    """The terms that have another value than before; all of them where there was nothing before."""
    if before is None:
        return sorted(after)
    return [name for name in after | before if after.get(name) != before.get(name)]


def moves_view(kind: str, before: Document, after: Document, receiver: str, grantors: Iterable[str]) -> bool:
    """Whether a change of this record gives its receiver other rights to other records, or takes some away."""
    face = after or before
    if kind == "organisations":
        concerns = uuid_of(face["id"]) in (receiver, *grantors)
        return concerns and bool(before) and any(before.get(term) != after.get(term) for term in RIGHTS)
    if kind == "delegations":
        is_held = receiver in parties(face)[1:]
        return is_held and ("ACTIVE" in (state_in(before), state_in(after))) and state_in(before) != state_in(after)
    return False


def marks_of(caller: Caller) -> tuple[str, ...] | None:
    """Texts of which each record of the kinds `NAMING` that concerns the caller has one at least; None where every record may.

    That they stand there says nothing yet: `reveal` decides.
    """
    if caller.has(Role.OPERATOR, Role.NESO) and not caller.actor:
        return None
    areas = sorted(caller.areas) if caller.has(Role.DSO) else ()
    return (caller.organisation, *sorted(caller.grants), *(f'"{code}"' for code in (*areas, *PUBLIC)))


NAMING = ("assets",)
"""The kinds whose records name those whom they concern, their areas, or the published register that they stand in."""
PUBLIC = tuple(sorted(PUBLISHED_REGISTERS))


def wish_of(chosen: Mapping[str, Iterable[str]]) -> Wish:
    """The wish in these words: `kind`, `area`, `category`, `action`."""
    return Wish(*(frozenset(chosen.get(word, ())) for word in WORDS))


WORDS = ("kind", "area", "category", "action")
