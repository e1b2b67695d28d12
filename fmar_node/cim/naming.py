"""Names, and roles: nodes of which a record has many.

Rules kept here: a Name is of one NameType, which the node that it names has; what the table knows the authority of has no
other one; an alias keeps its id, where that is one that the register can give; role nodes say no more than `organisationRoles`.
"""

from __future__ import annotations

from typing import Any

from fmar_node.cim import table as t
from fmar_node.cim.draft import Draft, code_in
from fmar_node.cim.match import Match
from fmar_node.cim.own import OwnTerms
from fmar_node.cim.sent import Sent
from fmar_node.vocabulary import FMAR


class Naming:
    """Reads the names of a document, and the roles of an organisation."""

    def __init__(self, match: Match, draft: Draft, own: OwnTerms) -> None:
        self.match, self.draft, self.own, self.table = match, draft, own, match.table
        self.schemes = draft.vocabulary.schemes["IdentifierScheme"].codes
        self.aliases: list[dict[str, Any]] = []

    def read(self) -> None:
        root = self.table.root.name
        for of in dict.fromkeys((root, *(each.node for each in self.table.names))):
            if (sent := self.match.placed.get(of)) is not None:
                for each in self.match.linked(sent, t.NAMES, t.NAME_OF):
                    if "Name" in each.classes:
                        self._belongs(each, sent, t.NAME_OF)
                        self._read(each, of, self.schemes if of == root else ())
        if self.table.has_roles:
            self._read_roles(self.match.placed[root])

    def _belongs(self, sent: Sent, above: Sent, inverse: str) -> None:
        """A name or role is that of one node, whichever end says so."""
        self.match.used.add(sent.id)
        self.match.named.add((above.id, sent.id))
        for value in sent.says.get(inverse, ()):
            if value.node != above.id:
                self.draft.fault("cim-node", f"{t.local(inverse)} leads to another node than this belongs to", value.pointer, inverse)

    def _read(self, sent: Sent, of: str, schemes: Any) -> None:
        self.match.check_classes(sent, ("Name",))
        type_, place = self._type_of(sent)
        term = next((each.term for each in self.table.names if (each.node, each.type) == (of, type_)), "")
        is_alias = not term and type_ in schemes
        self.match.check_says(sent, (t.NAME, t.NAME_TYPE, t.NAME_OF), t.NAME, FMAR if is_alias else "-")
        if term:
            for value in sent.says.get(t.NAME, ()):
                self.draft.collect(term, value.raw, value.pointer)
        elif is_alias:
            self._read_alias(sent, type_, place)
        else:
            known = ", ".join((*(each.type for each in self.table.names if each.node == of), *schemes))
            message = f"{type_[:80]!r} is no NameType here; there are {known}" if type_ else "a Name is of one NameType, which has one name"
            self.draft.fault("cim-name-type", message, place, t.TYPE_NAME)

    def _type_of(self, name: Sent) -> tuple[str, str]:
        """The name of a Name's type, empty where there is not one, and where it stands."""
        types = [self.match.nodes[value.node] for value in name.says.get(t.NAME_TYPE, ()) if value.node in self.match.nodes]
        if len(types) != 1:
            return "", name.place(t.NAME_TYPE)
        texts = [value.raw for value in types[0].says.get(t.TYPE_NAME, ())]
        type_ = texts[0] if len(texts) == 1 and type(texts[0]) is str else ""
        if types[0].id not in self.match.used:
            self.match.used.add(types[0].id)
            self.match.check_classes(types[0], ("NameType",))
            self.match.check_says(types[0], (t.TYPE_NAME, t.AUTHORITY), t.TYPE_NAME)
            self._check_authority(types[0], type_)
        return type_, types[0].place(t.TYPE_NAME)

    def _check_authority(self, sent: Sent, type_: str) -> None:
        known = t.AUTHORITIES.get(type_)
        for value in sent.says.get(t.AUTHORITY, ()):
            issuer = self.match.nodes.get(value.node)
            if issuer is not None and issuer.id not in self.match.used:
                self.match.used.add(issuer.id)
                self.match.check_classes(issuer, ("NameTypeAuthority",))
                self.match.check_says(issuer, (t.AUTHORITY_NAME,), t.AUTHORITY_NAME)
            given = [each.raw for each in issuer.says.get(t.AUTHORITY_NAME, ())] if issuer else []
            if known is None or given != [known]:
                wanted = f"is {known}" if known else "is nobody in particular here: leave it out"
                self.draft.fault("cim-authority", f"the authority of the NameType {type_[:80]!r} {wanted}", sent.place(t.AUTHORITY), t.AUTHORITY)

    def _read_alias(self, sent: Sent, type_: str, place: str) -> None:
        before = self.match.placed[self.table.root.name].says.get(f"{FMAR}alias", ())
        here = f"/alias/{len(before) + len(self.aliases)}"
        values = [value.raw for value in sent.says.get(t.NAME, ())]
        self.draft.places |= {here: sent.pointer, f"{here}/scheme": place, f"{here}/value": sent.place(t.NAME)}
        said = {**self.own.id(sent), **self.own.said(sent, here)}
        self.aliases.append({**said, "scheme": type_, "value": values[0] if len(values) == 1 else values})

    def _read_roles(self, root: Sent) -> None:
        known = {code_in(value.raw) for value in root.says.get(f"{FMAR}organisationRoles", ())}
        for each in self.match.linked(root, t.ROLES_OF, t.ROLE_OF):
            self._belongs(each, root, t.ROLE_OF)
            self.match.check_classes(each, tuple(dict.fromkeys(class_ for class_, _ in t.ROLES.values())))
            self.match.check_says(each, (t.ROLE_TYPE, t.ROLE_OF), t.ROLE_TYPE)
            kind = next((t.local(str(value.raw)) for value in each.says.get(t.ROLE_TYPE, ())), "")
            self._read_role(each, known, sorted(code for code, (class_, type_) in t.ROLES.items() if class_ in each.classes and type_ == kind))

    def _read_role(self, sent: Sent, known: set[str], codes: list[str]) -> None:
        """A role node agrees with `organisationRoles`, or stands for it where that is not said."""
        if known and known.isdisjoint(codes):
            message = f"organisationRoles has none of {', '.join(codes) or 'this kind'}, which this role stands for"
        elif known:
            return
        elif len(codes) == 1:
            self.draft.tree.setdefault("organisationRoles", []).extend(codes)
            self.draft.places.setdefault("/organisationRoles", sent.pointer)
            return
        else:
            message = f"this role may be {' or '.join(codes) or 'none of ours'}: say organisationRoles"
        self.draft.fault("cim-role", message, sent.pointer, "organisationRoles")
