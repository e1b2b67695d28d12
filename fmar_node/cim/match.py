"""Which node of a CIM document is which node of the table.

Rules kept here: nodes are found from the record on, along associations stated by either end; the register has one node of
each name; every node is accounted for: it has a place, or a fault says why it has none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import cached_property

from fmar_node.cim import table as t
from fmar_node.cim.draft import ILL_FORMED, Draft
from fmar_node.cim.sent import Nodes, Sent
from fmar_node.errors import Fault, Invalid, Severity, nearest

NAMING = frozenset({"Name", "NameType", "NameTypeAuthority"})


class Match:
    """`placed` are the nodes of the document by their names in the table, `used` the ids of all that are accounted for.

    Of those, `told` are the ones that a fault has told of; `named` has each Name or role with the node that it belongs to.
    """

    def __init__(self, table: t.Table, nodes: Nodes, iri: str, draft: Draft) -> None:
        self.table, self.nodes, self.iri, self.draft = table, nodes, iri, draft
        self.placed: dict[str, Sent] = {}
        self.used: set[str] = set()
        self.told: set[str] = set()
        self.named: set[tuple[str, str]] = set()
        self.pointing: dict[tuple[str, str], list[Sent]] = {}
        for sent in nodes.values():
            for name, values in sent.says.items():
                for value in values:
                    if value.node:
                        self.pointing.setdefault((name, value.node), []).append(sent)

    def find(self, base_url: str) -> Sent:
        """Places what has a place; the record's own node. Invalid where there is not one such."""
        found = [sent for sent in self.nodes.values() if set(sent.classes) & set(self.table.root.classes)]
        if len(found) != 1:
            named = " or ".join(f"cim:{each}" for each in self.table.root.classes)
            message = f"{len(found) or 'no'} nodes are of class {named}: a document describes one record"
            raise Invalid("validation-failed", message, (Fault("type-mismatch", Severity.REJECT, message, found[1].pointer if found else "", "type"),))
        self._place(self.table.root.name, found[0])
        self._check_ids(found[0], base_url)
        for node in self.table.nodes[1:]:
            self._find(node)
        return found[0]

    def _place(self, name: str, sent: Sent) -> None:
        self.placed[name] = sent
        self.used.add(sent.id)

    def _check_ids(self, root: Sent, base_url: str) -> None:
        """The record's id is the node's to give, and those of other records are not this document's."""
        if not root.id.startswith(("_:", f"{self.iri}#")):
            self.draft.tree["id"] = root.id
            self.draft.places["/id"] = root.place("id")
        for sent in self.nodes.values():
            if sent is not root and sent.id.startswith(f"{base_url}/") and not sent.id.startswith(f"{self.iri}#"):
                self.draft.fault("foreign-subject", f"{sent.id[:200]} is another record: this document describes its own", sent.pointer, "id")
                self._tell(sent.id)

    def _find(self, node: t.Node) -> None:
        for name in node.under:
            above = self.placed.get(name)
            if above is not None and node.name not in self.placed and any(t.has(class_, node.link) for class_ in above.classes):
                fitting = [each for each in self.linked(above, node.link, node.inverse) if _fits(each, node)]
                for each in fitting[:1]:
                    self._place(node.name, each)
                for each in fitting[1:]:
                    self.draft.fault("cim-twice", f"a second {node.name.replace('-', ' ')}: the register has one", each.pointer, node.link)
                    self.use_all(each)

    def linked(self, above: Sent, link: str, inverse: str) -> list[Sent]:
        """The nodes at the other end of an association that have no place yet."""
        forward = [self.nodes[value.node] for value in above.says.get(link, ()) if value.node in self.nodes]
        backward = self.pointing.get((inverse, above.id), []) if inverse else []
        return [each for each in {each.id: each for each in (*forward, *backward)}.values() if each.id not in self.used]

    def use_all(self, sent: Sent) -> None:
        """Takes a node, and what is below it, as accounted for: one fault has told of it."""
        waiting = [sent]
        while waiting:
            each = waiting.pop()
            if each.id not in self.used:
                self._tell(each.id)
                waiting += [self.nodes[value.node] for values in each.says.values() for value in values if value.node in self.nodes]

    def _tell(self, id_: str) -> None:
        self.used.add(id_)
        self.told.add(id_)

    def leads(self, node: t.Node, name: str, id_: str) -> bool:
        """Whether that node of the document is what this association of a node of the table leads to, by whichever end."""
        if id_ in self.told or (self.placed[node.name].id, id_) in self.named:
            return True
        if name == node.inverse:
            return any(self.placed[each].id == id_ for each in node.under if each in self.placed)
        fitting = [each for each in self.table.nodes if each.link == name and node.name in each.under]
        return any(self.placed[each.name].id == id_ for each in fitting if each.name in self.placed)

    def unknown(self, name: str, sent: Sent, known: set[str]) -> None:
        """Reports a property that is not carried where it stands, once, with all that it leads to."""
        belongs = [row.node for row in self.table.rows if row.property == name]
        meant = self.draft.unknown(name, sent, known, belongs[0] if belongs else "")
        self.draft.meant |= {row.term for row in self.table.rows if row.property == meant}
        for value in sent.says[name]:
            if value.node in self.nodes:
                self.use_all(self.nodes[value.node])

    def check_classes(self, sent: Sent, known: Collection[str]) -> None:
        """A node is of the classes that its place has, and of no other."""
        for class_ in sent.classes:
            if class_ not in known:
                self.draft.fault("cim-class", f"{class_[:80]!r} is not what this node can be; there are {', '.join(known)}", sent.place("type"), "type")

    def check_says(self, sent: Sent, known: tuple[str, ...], single: str, ours: str = "-") -> None:
        """A node says nothing but what is known, and `single` once; `ours` begins what it may say beside that."""
        for name, values in sent.says.items():
            if name not in known and (name == t.DIRECTION or not name.startswith(ours)):
                self.unknown(name, sent, set(known))
            elif name == single and len(values) != 1:
                self.draft.fault("cim-twice", f"{t.local(name)} stands here {len(values)} times", sent.place(name), name)

    def report_rest(self) -> None:
        """Nodes that have found no place: of no class that has one, of no direction, or with nothing that leads to them.

        What hangs together with one that has been told of, by whichever end, is not told of as well.
        """
        for report in (self._report_class, self._report_direction, self._report_lost):
            lost = [sent for sent in self.nodes.values() if sent.id not in self.used and (sent.says or sent.classes)]
            told = [sent for sent in lost if report(sent, [node for node in self.table.nodes if set(node.classes) & set(sent.classes)])]
            for sent in told:
                self._use_around(sent)

    @cached_property
    def _around(self) -> Mapping[str, set[str]]:
        """The ids of the nodes that each node points at or that point at it."""
        around: dict[str, set[str]] = defaultdict(set)
        for (_, id_), others in self.pointing.items():
            for other in others:
                around[id_].add(other.id)
                around[other.id].add(id_)
        return around

    def _use_around(self, sent: Sent) -> None:
        waiting = [sent.id]
        while waiting:
            each = waiting.pop()
            if each not in self.used:
                self._tell(each)
                waiting += self._around.get(each, ())

    def _report_class(self, sent: Sent, fitting: list[t.Node]) -> bool:
        if fitting or not NAMING.isdisjoint(sent.classes):
            return False
        known = [*NAMING, *(t.local(each) for node in self.table.nodes for each in node.classes)]
        near = nearest(_shown(sent), known)
        hint = f"did you mean {near}?" if near else "the register has no place for it"
        self.draft.fault("cim-class", f"a node of class {_shown(sent) or 'none'} is not carried here; {hint}", sent.place("type"), "type")
        return True

    def _report_direction(self, sent: Sent, fitting: list[t.Node]) -> bool:
        directions = {said for node in fitting for name, said in node.fixed if name == t.DIRECTION}
        if not directions or (len(given := sent.says.get(t.DIRECTION, [])) == 1 and given[0].raw in directions):
            return False
        self.draft.fault(ILL_FORMED if given else "cim-direction", f"fmar:direction says which {_shown(sent)} this is: IMPORT or EXPORT", sent.place(t.DIRECTION), t.DIRECTION)
        names = {node.name for node in fitting}
        self.draft.meant |= {row.term for row in self.table.rows if row.node in names} | {name.term for name in self.table.names if name.node in names}
        return True

    def _report_lost(self, sent: Sent, fitting: list[t.Node]) -> bool:
        if sent.id in self.used:
            return False
        by = f", as {fitting[0].link} does" if fitting and fitting[0].link else ""
        self.draft.fault("cim-node", f"nothing leads from the record to this {_shown(sent)}{by}", sent.pointer, "id")
        self._use_around(sent)
        return True


def _shown(sent: Sent) -> str:
    return ", ".join(t.local(each) for each in sent.classes)[:80]


def _fits(sent: Sent, node: t.Node) -> bool:
    is_one = not set(sent.classes).isdisjoint(node.classes)
    return is_one and all([value.raw for value in sent.says.get(name, ())] == [said] for name, said in node.fixed if name == t.DIRECTION)
