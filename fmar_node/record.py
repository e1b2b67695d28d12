"""What a record is: a document that has versions, each of them one entry of the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fmar_node.vocabulary import Document, Term, Tier


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acted: an organisation, through an application; and for whom, where that is another.

    `organisation` is a bare UUID, empty for what the node itself did when it was made; `actor` that of the organisation
    which acted on behalf of it, `user` that of the person who had signed in, `issuer` who vouched for it where that was not this node.
    """

    organisation: str
    application: str = ""
    key_id: str = ""
    actor: str = ""
    user: str = ""
    issuer: str = ""

    def as_json(self) -> dict[str, str]:
        beside = {"actor": self.actor, "user": self.user, "issuer": self.issuer}
        said = {"organisation": self.organisation, "application": self.application, "keyId": self.key_id}
        return said | {name: value for name, value in beside.items() if value}

    @classmethod
    def from_json(cls, value: Mapping[str, str]) -> Actor:
        return cls(*(value.get(name, "") for name in ("organisation", "application", "keyId", "actor", "user", "issuer")))


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a record, whole: only `reveal` decides what of it a caller sees.

    `index` is the journal entry, `number` counts from 1, `recorded_at` is an xsd:dateTime in UTC.
    """

    kind: str
    id: str
    number: int
    index: int
    action: str
    recorded_at: str
    actor: Actor
    document: Document

    @property
    def iri(self) -> str:
        return str(self.document["id"])

    @property
    def state(self) -> str:
        """The record's state, by the term that its kind has for it."""
        return state_in(self.document)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an accepted submission gets back: which version, at which place of the journal."""

    kind: str
    id: str
    number: int
    index: int
    is_repeat: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "id": self.id, "number": self.number, "index": self.index, "repeat": self.is_repeat}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Receipt:
        return cls(value["kind"], value["id"], value["number"], value["index"], value["repeat"])


STATUS_TERMS = ("registrationStatus", "organisationStatus", "userStatus", "delegationStatus", "queryStatus", "noticeStatus", "subscriptionStatus", "consentStatus", "releaseStatus", "switchStatus", "windowStatus")


def state_in(document: Document) -> str:
    """The state of a record's document; empty where it has none yet."""
    return next((str(document[term]) for term in STATUS_TERMS if term in document), "")


def alias_in(document: Document, scheme: str) -> str:
    """The first identifier of a scheme that a record is known by; empty where there is none."""
    return next((str(alias["value"]) for alias in document.get("alias", ()) if alias.get("scheme") == scheme and "value" in alias), "")


def uuid_of(iri: str) -> str:
    """The UUID at the end of a record's IRI."""
    return iri.rsplit("/", 1)[-1]


def by_tier(document: Document, terms: Mapping[str, Term]) -> dict[Tier, Document]:
    """A document cut into one per tier, as the journal commits to it; `joined` is the inverse."""
    cut: dict[Tier, Document] = {tier: {} for tier in Tier}
    for name, value in document.items():
        if name in ("id", "type"):
            cut[Tier.OPEN][name] = value
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for tier, parts in _cut_parts(value, terms[name].tier, terms).items():
                cut[tier][name] = parts
        else:
            cut[terms[name].tier][name] = value
    return cut


def _cut_parts(parts: list[Document], own: Tier, terms: Mapping[str, Term]) -> dict[Tier, list[Document]]:
    """The parts by tier; none of their values is of a more open one than the part itself, which would tell of it."""
    cut: dict[Tier, list[Document]] = {own: []}
    for part in parts:
        pieces: dict[Tier, Document] = {own: {"id": part["id"], "type": part["type"]}}
        for name, value in part.items():
            if name not in ("id", "type"):
                tier = max(own, terms[name].tier, key=tuple(Tier).index)
                pieces.setdefault(tier, {"id": part["id"]})[name] = value
        for tier, piece in pieces.items():
            cut.setdefault(tier, []).append(piece)
    return cut


def joined(cut: Iterable[Document], terms: Mapping[str, Term]) -> Document:
    """The document that `by_tier` cut, as far as its tiers are still there."""
    whole: Document = {}
    for piece in cut:
        for name, value in piece.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                whole[name] = _joined_parts(whole.get(name, []), value, terms)
            else:
                whole[name] = value
    return _ordered(whole, terms)


def _joined_parts(left: list[Document], right: list[Document], terms: Mapping[str, Term]) -> list[Document]:
    by_id = {part["id"]: dict(part) for part in left}
    for part in right:
        by_id.setdefault(part["id"], {}).update(part)
    return [_ordered(part, terms) for part in by_id.values()]


def _ordered(document: Document, terms: Mapping[str, Term]) -> Document:
    first = {"id": -2, "type": -1}
    return {
        name: document[name]
        for name in sorted(document, key=lambda name: (first.get(name) or terms[name].order, name))
    }
