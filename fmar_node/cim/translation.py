"""In: a CIM document as the ordinary document of a record, which takes the one write path from here on.

Rules kept here: nothing vanishes: a node, a class, a property or a value that the register has no place for is a fault where
it stands, with what was most likely meant; what classes and literals of CIM say agrees with what our terms say; every fault
points into the document that was sent, also those that are found later in the document that it becomes (`places`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fmar_node.cim import table as t
from fmar_node.cim.draft import ILL_FORMED, Draft, code_in
from fmar_node.cim.evidence import Evidence, evidence, typed
from fmar_node.cim.match import Match
from fmar_node.cim.naming import Naming
from fmar_node.cim.own import OwnTerms
from fmar_node.cim.sent import Nodes, Sent, Source, Value
from fmar_node.composition import Reading, moved
from fmar_node.errors import Fault, Invalid, with_article
from fmar_node.jsonld import read_tree
from fmar_node.limits import check_size
from fmar_node.settings import Settings
from fmar_node.vocabulary import FMAR, Document, Vocabulary

FORMS = {"string": "one text", "decimal": "one decimal number", "dateTime": "midnight UTC of a day, nor a day"}


@dataclass(frozen=True, slots=True)
class Translated:
    """A CIM document that was understood: what it comes to, what is wrong where it stands, and what the shapes see of it.

    `faults` have pointers of the document that was sent, those of `reading` our own; `places` lead from these to those.
    """

    reading: Reading
    faults: tuple[Fault, ...]
    places: Mapping[str, str]
    evidence: Evidence


def translated(
    body: bytes, media_type: str, class_name: str, iri: str, previous: Document | None, vocabulary: Vocabulary, settings: Settings, *, is_meant: bool
) -> Translated | None:
    """What a CIM document says of the record `iri`; None where it is no CIM document. Malformed, TooLarge, Invalid."""
    table = t.TABLES.get(class_name)
    check_size(body, settings.body_bytes)
    if table is None:
        return None
    reading = Reading()
    nodes = Source(table, iri, vocabulary, settings, reading).read(body, media_type, is_meant)
    if nodes is None:
        return None
    draft = Draft(vocabulary, reading)
    _Translation(table, nodes, iri, draft).read(settings.base_url, previous or {})
    return _composed(table, nodes, iri, draft, settings)


def _composed(table: t.Table, nodes: Nodes, iri: str, draft: Draft, settings: Settings) -> Translated:
    try:
        reading = read_tree(draft.tree, table.class_name, iri, draft.vocabulary, settings)
    except Invalid as refusal:
        told = tuple(replace(fault, pointer=moved(fault.pointer, draft.places)) for fault in refusal.faults)
        refusal.faults = (*draft.reading.faults, *told)
        raise
    reading.meant |= draft.meant
    return Translated(reading, tuple(draft.reading.faults), draft.places, evidence(table, nodes, iri))


class _Translation:
    def __init__(self, table: t.Table, nodes: Nodes, iri: str, draft: Draft) -> None:
        self.table, self.nodes, self.draft = table, nodes, draft
        self.match = Match(table, nodes, iri, draft)
        self.own = OwnTerms(self.match, draft)

    def read(self, base_url: str, previous: Document) -> None:
        root = self.match.find(base_url)
        naming = Naming(self.match, self.draft, self.own)
        naming.read()
        for name, sent in self.match.placed.items():
            self._read(self.table.by_name[name], sent)
        if naming.aliases:
            before = self.draft.tree.get("alias", [])
            self.draft.tree["alias"] = [*(before if isinstance(before, list) else [before]), *naming.aliases]
        self._check_unit()
        self._check_state(previous)
        self.match.report_rest()
        for name, sent in self.match.placed.items():
            self._check_links(self.table.by_name[name], sent)
        self._place_rest(root)

    # -- what a node says

    def _read(self, node: t.Node, sent: Sent) -> None:
        self.match.check_classes(sent, node.classes)
        if node is self.table.root:
            for term, value in self.own.said(sent, "").items():
                self.draft.collect(term, value, sent.place(FMAR + term))
        rows = {row.property: row for row in self.table.rows_of(node.name) if any(t.has(class_, row.property) for class_ in sent.classes)}
        fixed, links = dict(node.fixed), self._links_of(node, sent)
        for name, values in sent.says.items():
            if name in rows:
                self._read_row(rows[name], values, sent)
            elif name in fixed:
                self._check_fixed(name, fixed[name], values, sent)
            elif name not in links and not self._is_elsewhere(name, node):
                self.match.unknown(name, sent, {*rows, *fixed, *links})

    def _is_elsewhere(self, name: str, node: t.Node) -> bool:
        """Whether a property of this node is read by somebody else: our own terms, the state."""
        return (node is self.table.root and name.startswith(FMAR) and name != t.DIRECTION) or (node.name == "resource" and name == t.STATE)

    def _links_of(self, node: t.Node, sent: Sent) -> set[str]:
        found = {each.link for each in self.table.nodes if node.name in each.under and any(t.has(class_, each.link) for class_ in sent.classes)}
        if node is self.table.root or any(each.node == node.name for each in self.table.names):
            found.add(t.NAMES)
        if node is self.table.root and self.table.has_roles:
            found.add(t.ROLES_OF)
        return found | {node.inverse} - {""}

    def _read_row(self, row: t.Row, values: list[Value], sent: Sent) -> None:
        for value in values:
            if not row.form.datatype:
                self.draft.collect(row.term, value.raw, value.pointer)
                continue
            literal = typed(value.raw, row.form.datatype)
            back = row.form.back(literal.value) if literal is not None else None
            if back is not None:
                self.draft.collect(row.term, back, value.pointer)
            else:
                self.draft.meant.add(row.term)
                self.draft.fault(ILL_FORMED, f"{row.property} is not {FORMS[row.form.datatype]}", sent.place(row.property), row.property)

    def _check_fixed(self, name: str, said: str, values: list[Value], sent: Sent) -> None:
        if [value.raw for value in values] != [said]:
            self.draft.fault("cim-fixed", f"{t.local(name)} is always {said} here: convert what it is about", sent.place(name), name)

    def _check_links(self, node: t.Node, sent: Sent) -> None:
        """An association leads to the node that is at its other end, and to none that the document does not describe."""
        for name in self._links_of(node, sent) & sent.says.keys():
            for value in sent.says[name]:
                if not self.match.leads(node, name, value.node):
                    what = "a node that has no place there" if value.node in self.nodes else "what is no node of the document"
                    self.draft.fault("cim-node", f"{t.local(name)} leads to {what}", value.pointer, name)

    # -- what follows from classes and literals

    def _check_unit(self) -> None:
        """The class of the unit and the category say the same, or the class says it alone."""
        unit = self.match.placed.get("unit")
        if unit is None:
            return
        class_ = next(each for each in unit.classes if each in self.table.by_name["unit"].classes)
        pairs, place = t.candidates(class_), unit.place("type")
        category, kind = code_in(self.draft.tree.get("assetCategory", "")), code_in(self.draft.tree.get("otherKind", ""))
        known = t.UNITS.get((category, kind if category == "OTHER" else ""))
        if known is not None and known != class_:
            named = " or ".join(sorted({pair[0] for pair in pairs}))
            message = f"{with_article(class_)} is the unit of the category {named}; that of {category} is {with_article(known)}"
            self.draft.fault("cim-unit", message, place, "assetCategory")
        elif not category and len({pair[0] for pair in pairs}) == 1:
            self.draft.collect("assetCategory", pairs[0][0], place)

    def _check_state(self, previous: Document) -> None:
        """The state of the registration is the node's to set; what it has set may be sent back."""
        resource = self.match.placed.get("resource")
        for value in resource.says.get(t.STATE, ()) if resource else ():
            if value.raw != t.STATE_KIND + t.STATES.get(previous.get("registrationStatus", ""), ""):
                self.draft.fault("server-set", f"{t.STATE} is set by the node", value.pointer, t.STATE)

    # -- where the terms would stand that were not sent

    def _place_rest(self, root: Sent) -> None:
        places = self.draft.places
        places.setdefault("", root.pointer)
        for row in self.table.rows:
            if row.written:
                places.setdefault(f"/{row.term}", self._home(self.table.by_name[row.node], row.property))
        for name in self.table.names:
            places.setdefault(f"/{name.term}", self._home(self.table.by_name[name.node], t.NAMES))

    def _home(self, node: t.Node, name: str) -> str:
        """Where a property of a node is, or the nearest thing above it that is missing."""
        if (sent := self.match.placed.get(node.name)) is not None:
            return sent.place(name)
        return self._home(self.table.by_name[node.under[0]], node.link)
