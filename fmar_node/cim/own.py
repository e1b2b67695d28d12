"""Our own terms on nodes of a CIM document: what CIM has no name for, as a document of ours writes it."""

from __future__ import annotations

from typing import Any

from fmar_node.cim.draft import Draft
from fmar_node.cim.match import Match
from fmar_node.cim.sent import CODED, Sent, Value
from fmar_node.composition import CODE_TEXT, escaped
from fmar_node.vocabulary import FMAR


class OwnTerms:
    """Takes over what nodes say in the namespace of FMAR, parts with what is below them."""

    def __init__(self, match: Match, draft: Draft) -> None:
        self.match, self.draft = match, draft

    def id(self, sent: Sent) -> dict[str, str]:
        """The id of a part where the register can keep it."""
        name = sent.id.removeprefix(f"{self.match.iri}#")
        return {"id": sent.id} if name != sent.id and CODE_TEXT.fullmatch(name) else {}

    def said(self, sent: Sent, pointer: str) -> dict[str, Any]:
        """The terms of a node as an object of JSON that stands at `pointer` in our document."""
        found: dict[str, Any] = {}
        for name, values in sent.says.items():
            if name.startswith(FMAR) and name not in CODED:
                term = name.removeprefix(FMAR)
                found[term] = self._values(term, values, sent.place(name), f"{pointer}/{escaped(term)}")
        return found

    def _values(self, term: str, values: list[Value], place: str, here: str) -> Any:
        is_new = here not in self.draft.places
        if is_new:
            self.draft.places[here] = place
        made = [self._value(value, f"{here}/{number}", is_new) for number, value in enumerate(values)]
        known = self.draft.vocabulary.terms.get(term)
        is_listed = len(made) != 1 or values[0].pointer != place or (known is not None and known.many)
        return made if is_listed else made[0]

    def _value(self, value: Value, here: str, is_new: bool) -> Any:
        if is_new:
            self.draft.places.setdefault(here, value.pointer)
        part = self.match.nodes.get(value.node)
        if part is None or part.id in self.match.used:
            return {"@id": value.node} if value.node else value.raw
        self.match.used.add(part.id)
        for name in part.says:
            if not name.startswith(FMAR) or name in CODED:
                self.match.unknown(name, part, set())
        types = {"type": [each.removeprefix(FMAR) for each in part.classes]} if part.classes else {}
        return {**self.id(part), **types, **self.said(part, here)}
