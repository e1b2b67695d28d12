"""Terms, code lists, settings and problems: one table row for each, and the JSON-LD context."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from maker.markdown import code, page, table
from maker.raised import statuses
from maker.words import UNITS
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fmar_node.errors import PROBLEMS
from fmar_node.kinds import KINDS
from fmar_node.settings import Settings, structure_of
from fmar_node.vocabulary import CODES, FMAR, XSD, Code, Scheme, Term, TermKind, Vocabulary

VOCABULARY = Vocabulary.load()


def terms() -> str:
    parts = [
        f"Every key of a document, by class, in the order in which documents carry them. The IRI of a term is `{FMAR}` and its "
        "name; in SPARQL write `fmar:ratedCapacity`. *Published* is the term of the published data definitions, *rule* the key "
        "that faults quote. Terms marked *node* are set by the node only. Who sees which tier is told in [policies](policies.md)."
    ]
    records = [kind.class_name for kind in KINDS.values()]
    for name in (*records, *sorted(VOCABULARY.classes.keys() - set(records))):
        rows = [_term_row(term) for term in VOCABULARY.classes[name]]
        parts += [f"## {name}", table("term | published | form | unit | tier | rule | set by | definition", rows)]
    return page("Terms", *parts)


def _term_row(term: Term) -> list[str]:
    set_by = "node" if term.server_set else ""
    unit = UNITS[term.unit.rsplit("/", 1)[-1]] if term.unit else ""
    return [code(term.name), code(term.published), _form(term), unit, term.tier.value, term.rule, set_by, term.definition]


def _form(term: Term) -> str:
    form = {
        TermKind.CODE: f"code of [{term.scheme}](codes.md#{term.scheme.lower()})",
        TermKind.PART: f"[{term.part_class}](#{term.part_class.lower()})",
        TermKind.RECORD: f"IRI of an {term.part_class}",
    }.get(term.kind, term.kind.value)
    return f"{form}, several" if term.many else form


def codes() -> str:
    intro = (
        "Documents write a code; the graph holds its IRI, and its label stands in the graph `<{base}/codes>`. A record that has an "
        "inactive code keeps it, until it is changed: every document submitted needs active codes. "
        "Codes marked *ours* are not among the published ones."
    )
    parts = [intro]
    for name, scheme in sorted(VOCABULARY.schemes.items()):
        parts += [f"## {name}", _scheme_text(name, scheme), table("code | label | state | definition", map(_code_row, scheme.codes.values()))]
    return page("Code lists", *parts)


def _scheme_text(name: str, scheme: Scheme) -> str:
    users = ", ".join(code(term.name) for term in VOCABULARY.terms.values() if term.scheme == name)
    labels = " A document may write the label instead of the code." if scheme.labels_accepted else ""
    return f"`{scheme.iri}#...`, used by {users or 'the [CIM profile](cim-profile.md)'}.{labels}"


def _code_row(entry: Code) -> list[str]:
    state = "active" if entry.is_active else "inactive"
    return [code(entry.notation), entry.label, f"{state}, ours" if entry.iri in OURS else state, entry.definition]


OURS = {triple.subject.value for triple in VOCABULARY.codes if triple.predicate.value == FMAR + "addedBy"}


def problems() -> str:
    found = statuses()
    rows = [
        [f"<a id=\"{name}\"></a>{code(name)}", ", ".join(map(str, found[name])), problem.title, problem.remedy]
        for name, problem in PROBLEMS.items()
    ]
    intro = (
        "A refusal is `application/problem+json` (RFC 9457). Its `type` is `{base}/problems/{code}`, a page of the node that says what "
        "stands here; `code` is its last part. `detail` says what was wrong this time, `errors[]` has coded faults on their fields, "
        "and `report` the same as a SHACL validation report."
    )
    return page("Problems", intro, table("code | status | title | what to do", rows))


def settings() -> str:
    intro = (
        "Settings stand in `node.toml` in the node's data folder, or in the file that `fmar serve --config` names. An environment variable "
        "`FMAR_` and the name in capitals goes before the file: `FMAR_QUERY_SECONDS=10`. They are read once, at start. "
        "Sizes are bytes, times seconds, unless the name says otherwise. An unknown name is refused."
    )
    parts = [intro, _settings_table(Settings)]
    for name, field in Settings.model_fields.items():
        if (structure := structure_of(field.annotation)) is not None:
            told = f"Each is a table `[[{name}]]`, at the end of the file; in `FMAR_{name.upper()}` they are a JSON array of objects."
            parts += [f"## {_title(name)}", f"{structure.__doc__} {told}", _settings_table(structure)]
    return page("Settings", *parts)


def _settings_table(model: type[BaseModel]) -> str:
    rows = [[code(name), _default(name, field), _bounds(field.metadata), field.description or ""] for name, field in model.model_fields.items()]
    return table("name | default | bounds | meaning", rows)


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    if structure_of(field.annotation) is not None:
        return f"none; [tables](#{_title(name).lower().replace(' ', '-')})"
    return code(str(list(field.default) if isinstance(field.default, tuple) else field.default))


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _bounds(metadata: Iterable[Any]) -> str:
    least = [f"at least {each.ge}" for each in metadata if hasattr(each, "ge")]
    most = [f"at most {each.le}" for each in metadata if hasattr(each, "le")]
    return ", ".join(least + most)


# -- the context


def context() -> str:
    """The JSON-LD context: each term as its annotations in the ontology say."""
    head: dict[str, Any] = {"@version": 1.1, "@protected": True, "@vocab": FMAR, "id": "@id", "type": "@type", "fmar": FMAR, "xsd": XSD}
    own = {term.name: mapping(term) for term in VOCABULARY.terms.values()}
    return json.dumps({"@context": {**head, **own}}, indent=2) + "\n"


def mapping(term: Term) -> dict[str, Any]:
    """What a context says of a term."""
    found: dict[str, Any] = {"@id": f"fmar:{term.name}"}
    if term.kind is TermKind.CODE:
        found |= {"@type": "@vocab", "@context": {"@vocab": f"{CODES}{term.scheme}#"}}
    elif term.kind in (TermKind.RECORD, TermKind.PART):
        found["@type"] = "@id"
    elif term.kind is not TermKind.TEXT:
        found["@type"] = f"xsd:{term.range.removeprefix(XSD)}"
    return {**found, "@container": "@set"} if term.many else found
