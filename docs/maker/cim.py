"""The CIM profile: its JSON-LD context and its reference page, from the table and the ontology."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from maker.lists import VOCABULARY, mapping
from maker.markdown import code, page, table
from maker.words import CIM_CODES, UNITS

from fmar_node.cim import table as t
from fmar_node.vocabulary import CODES, FMAR, XSD, TermKind


def context() -> str:
    """The JSON-LD context of the profile: CIM by its own names, and our terms as they stand in records."""
    head: dict[str, Any] = {
        "@version": 1.1, "@protected": True, "@vocab": FMAR, "id": "@id", "type": "@type",
        "cim": t.CIM, "nc": t.NC, "eu": t.EU, "fmar": FMAR, "xsd": XSD,
    }  # fmt: skip
    words = {t.local(t.iri(name)): _mapping(name) for name in t.words()}
    classes = {*t.TABLES, *(term.part_class for term in VOCABULARY.terms.values() if term.kind is TermKind.PART)}
    own = {term.name: mapping(term) for term in VOCABULARY.terms.values() if term.domains & classes}
    return json.dumps({"@context": {**head, **words, **own}}, indent=2) + "\n"


def _mapping(name: str) -> dict[str, Any] | str:
    iri = t.iri(name)
    compact = next((f"{prefix}:{iri.removeprefix(space)}" for prefix, space in (("cim", t.CIM), ("nc", t.NC), ("fmar", FMAR)) if iri.startswith(space)), iri)
    if name not in t.PROPERTIES:
        return compact
    datatype, is_many = t.PROPERTIES[name]
    found: dict[str, Any] = {"@id": compact}
    if name == t.DIRECTION:
        found |= {"@type": "@vocab", "@context": {"@vocab": f"{CODES}Direction#"}}
    elif not datatype:
        found["@type"] = "@id"
    elif datatype != "string":
        found["@type"] = f"xsd:{datatype}"
    return {**found, "@container": "@set"} if is_many else found


def profile() -> str:
    parts = [INTRO]
    for record in t.TABLES.values():
        parts += [f"## {record.class_name}", f"Shapes: `shapes/cim/{record.kind}.ttl`, at a node `/shapes/cim/{record.kind}`."]
        parts += ["### Nodes", table("node | class | there by | or, the other way | always says", _nodes(record))]
        parts += ["### Terms", table("term | unit | node | property | written", _terms(record))]
        parts += ["### In no CIM term", f"On the record's own node, under their own names: {_left(record)}."]
    units = [[code(category if not kind else f"{category}, {kind}"), code(class_)] for (category, kind), class_ in t.UNITS.items()]
    parts += ["## Technical units", "Category, and for `OTHER` the kind, and the unit's class.", table("category | class", units)]
    states = [[code(state), code(f"{t.STATE_KIND}{kind}")] for state, kind in t.STATES.items()]
    parts += ["## States", f"`{t.STATE}` says less than `registrationStatus`, which stands beside it.", table("state | literal", states)]
    roles = [[code(role), code(class_), code(kind)] for role, (class_, kind) in t.ROLES.items()]
    parts += ["## Roles", "Nodes by `Organisation.Roles`, beside `organisationRoles`, which has all of them.", table("role | class | `MarketRole.type`", roles)]
    parts += ["## Names", NAMES, table("NameType | authority | names", _names())]
    spaces = [[f"`{space}`", code({t.CIM: "cim", t.EU: "eu", t.NC: "nc"}[known])] for space, known in t.ALIASES.items()]
    parts += ["## Namespaces", "Understood on the way in, whatever prefix they have; the first of each is the one that is given out.", table("namespace | is", spaces)]
    parts += ["## Faults", "Beside those of the shapes and of [the form of a document](rules.md#form-of-a-document):", table("code | means", CIM_CODES)]
    return page("CIM profile", *parts)


def _nodes(record: t.Table) -> Iterator[list[str]]:
    for node in record.nodes:
        says = ", ".join(f"{code('fmar:direction' if name == t.DIRECTION else t.local(name))} {code(t.local(value) if '/' in value else value)}" for name, value in node.fixed)
        classes = "by category" if node.name == "unit" else ", ".join(map(code, node.classes))
        yield [node.name, classes, code(node.link), code(node.inverse), says]


def _terms(record: t.Table) -> Iterator[list[str]]:
    for row in record.rows:
        says = row.form.says if row.written else f"{row.form.says}; on the way in only"
        yield [_link(row.term), _unit(row.term), row.node, code(row.property), says]
    for name in record.names:
        yield [_link(name.term), "", name.node, code(t.NAMES), f"the Name of NameType {code(name.type)}"]


def _link(term: str) -> str:
    return f"[{code(term)}](terms.md)"


def _unit(term: str) -> str:
    unit = VOCABULARY.terms[term].unit
    return UNITS[unit.rsplit("/", 1)[-1]] if unit else ""


def _left(record: t.Table) -> str:
    carried = {row.term for row in record.rows if row.written} | {name.term for name in record.names} | {"alias"}
    return ", ".join(code(term.name) for term in VOCABULARY.classes[record.class_name] if term.name not in carried)


def _names() -> Iterator[list[str]]:
    for record in t.TABLES.values():
        for type_ in dict.fromkeys(name.type for name in record.names):
            yield [code(type_), t.AUTHORITIES.get(type_, ""), ", ".join(code(name.term) for name in record.names if name.type == type_)]
    for scheme in VOCABULARY.schemes["IdentifierScheme"].codes.values():
        yield [code(scheme.notation), t.AUTHORITIES.get(scheme.notation, ""), f"aliases: {scheme.label}"]


INTRO = f"""A record as the Common Information Model has it: `?profile=cim`, out and in ([decision 21](../decisions/0021-cim-by-one-table.md)). Unprefixed names are
`cim:`, that is `{t.CIM}`; `nc:` is `{t.NC}`. The JSON-LD context is `{t.CONTEXT}`,
at a node `/context/cim-v1`; the profile's IRI is `{t.PROFILE}`.

Power is MW and energy MWh, generation positive and consumption negative; a record has kW and kWh. Values are exact: a MW with more than five decimals is
more than two of a kW, and refused. Every node is an IRI below the record, `{{record}}#unit`; ids in documents that are sent are names within the document."""
NAMES = (
    "Of a Name the register keeps `Name.name` and the type; of an alias also `validFrom`, `validTo` and `source`, in our own terms. An authority may be left out; another one is refused."
)
