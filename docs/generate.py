"""Writes what follows from the code and the ontology: `docs/reference/` and the JSON-LD context.

`python docs/generate.py` writes, `--check` only says what is stale. Rules kept here: a page states nothing that the
code does not; what the code cannot say (titles of use cases, what a relation means in words) stands in
`docs/words.py`, and a missing word is an error, never a gap.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import rdflib
from raised import fault_calls, statuses
from rdflib.namespace import SH
from words import (
    ACTORS,
    CALLERS,
    FORM_CODES,
    HEADERS,
    PARAMETERS,
    RECORDS,
    RELATIONS,
    ROUTES,
    SHORT,
    SUPPORT,
    UNITS,
    USE_CASES,
)

from fmar_node.access.caller import ANONYMOUS, Caller, caller_of
from fmar_node.access.key import SigningKeys
from fmar_node.access.reveal import SEES, Relation, tiers
from fmar_node.errors import PROBLEMS
from fmar_node.folder import Folder
from fmar_node.kinds import KINDS, Action, Kind, Rule, Situation
from fmar_node.node import Node
from fmar_node.record import Actor, Version
from fmar_node.settings import Settings
from fmar_node.vocabulary import CODES, FMAR, SHAPES, XSD, Code, Scheme, Term, TermKind, Tier, Vocabulary
from fmar_node.web.app import create_app

HERE = Path(__file__).parent
PROJECT = HERE.parent
BASE = "https://node.example"
NOTE = "<!-- Made from the code by docs/generate.py; do not edit. -->"
SEVERITIES = {SH.Violation: "R", rdflib.URIRef(FMAR + "Justify"): "J", SH.Warning: "W"}
VOCABULARY = Vocabulary.load()


def page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", NOTE, *parts]) + "\n"


def table(header: str, rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table; `header` has its columns parted by bars."""
    names = [name.strip() for name in header.split("|")]
    lines = [names, ["---"] * len(names), *([cell(each) for each in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    text = " ".join(str(value).split())
    return text.replace("|", "\\|")


def code(text: str) -> str:
    return f"`{text}`" if text else ""


# -- terms and codes


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
        "Documents write a code; the graph holds its IRI, and its label stands in the graph `<{base}/codes>`. An inactive code stays "
        "valid where it stands and is refused in new documents. Codes marked *ours* are not among the published ones."
    )
    parts = [intro]
    for name, scheme in sorted(VOCABULARY.schemes.items()):
        parts += [f"## {name}", _scheme_text(name, scheme), table("code | label | state | definition", map(_code_row, scheme.codes.values()))]
    return page("Code lists", *parts)


def _scheme_text(name: str, scheme: Scheme) -> str:
    users = ", ".join(code(term.name) for term in VOCABULARY.terms.values() if term.scheme == name)
    labels = " A document may write the label instead of the code." if scheme.labels_accepted else ""
    return f"`{scheme.iri}#...`, used by {users}.{labels}"


def _code_row(entry: Code) -> list[str]:
    state = "active" if entry.is_active else "inactive"
    return [code(entry.notation), entry.label, f"{state}, ours" if entry.iri in OURS else state, entry.definition]


OURS = {triple.subject.value for triple in VOCABULARY.codes if triple.predicate.value == FMAR + "addedBy"}


# -- rules


def rules() -> str:
    parts = [
        "Every check of a document, by its code. A fault quotes the code, the constraint and the field; a justification names the "
        "code. Severity: **R** rejects, **J** is accepted with a justification, **W** is accepted with a warning, **F** was filled.",
        "## Form of a document",
        table("code | severity | means", FORM_CODES),
    ]
    for kind in KINDS.values():
        constraints = sorted(_constraints(kind), key=lambda row: _natural(row[0]))
        parts += [f"## Constraints: {kind.name}", f"From `shapes/{kind.name}.ttl`; judged without looking at other records."]
        parts.append(table("code | constraint | severity | field | message", constraints))
        parts += [f"## Rules: {kind.name}", f"From `fmar_node/kinds/{kind.name}.py`: they look at the register, at dates, or do sums."]
        parts.append(f"Filled where a document is silent (F): {_says(None, kind.defaults.__doc__ or '').removeprefix('F: ')}")
        parts.append(table("code | severity | message | rule", _rule_rows(kind)))
    return page("Rules", *parts)


def _constraints(kind: Kind) -> Iterator[list[str]]:
    graph = rdflib.Graph().parse(PROJECT / "shapes" / f"{kind.name}.ttl")
    for shape, severity in graph.subject_objects(SH.severity):
        name = str(shape).removeprefix(f"{SHAPES}{kind.name}#")
        place = graph.value(shape, SH.path) or graph.value(shape, rdflib.URIRef(FMAR + "onProperty")) or ""
        field = code(str(place).removeprefix(FMAR))
        yield [code(name.split("-", 1)[0]), code(name), SEVERITIES[severity], field, str(graph.value(shape, SH.message))]


def _rule_rows(kind: Kind) -> list[list[str]]:
    modules = [kind.defaults.__module__, *(["fmar_node.checks.mpan"] if kind.name == "asset" else [])]
    told = {rule.faults.__name__: rule for action in kind.actions.values() for rule in action.rules}
    rows = [
        [code(call.code), call.severity, call.message, _says(told.get(call.function), call.told)]
        for module in modules
        for call in fault_calls(module, PARAMETERS)
    ]
    return sorted(rows, key=lambda row: _natural(row[0]))


def _says(rule: Rule | None, otherwise: str) -> str:
    text = (rule.faults.__doc__ or "") if rule else otherwise
    return text.strip().split("\n\n", maxsplit=1)[0]


def _natural(text: str) -> tuple[bool, str]:
    return (not (text[1:2] in "AX" and text[2:4].isdigit()), text)


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
    rows = [
        [code(name), code(str(field.default)), _bounds(field.metadata), field.description]
        for name, field in Settings.model_fields.items()
    ]
    intro = (
        "Settings stand in `node.toml` in the node's data folder, or in the file that `fmar serve --config` names. An environment variable "
        "`FMAR_` and the name in capitals goes before the file: `FMAR_QUERY_SECONDS=10`. They are read once, at start. "
        "Sizes are bytes, times seconds, unless the name says otherwise. An unknown name is refused."
    )
    return page("Settings", intro, table("name | default | bounds | meaning", rows))


def _bounds(metadata: Iterable[Any]) -> str:
    least = [f"at least {each.ge}" for each in metadata if hasattr(each, "ge")]
    most = [f"at most {each.le}" for each in metadata if hasattr(each, "le")]
    return ", ".join(least + most)


# -- HTTP


def http() -> str:
    described = openapi()
    rows = [
        [code(f"{method.upper()} {path}"), _does(path, method, operation), _parameters(operation), _takes(operation), _needs(path, operation)]
        for path, item in described["paths"].items()
        for method, operation in item.items()
    ]
    intro = (
        "Every route of a node, from its OpenAPI description (`/openapi.json`, for people at `/docs`). `{id}` is a UUID. "
        "*Credential*: **needed**, **widens** what is seen (without one: what is public), or of no use. "
        "`HEAD` goes wherever `GET` does; `/sparql` takes the method `QUERY` too. Refusals: [problems](problems.md)."
    )
    narrowed = [[code(f"GET /{plural}"), ", ".join(map(code, kind.filters))] for plural, kind in KINDS.items()]
    return page(
        "HTTP", intro, table("request | does | parameters | takes | credential", rows),
        "## Filters of lists", "Equal values of what the caller sees; codes as codes, organisations as IRI or UUID.",
        table("list | is narrowed by", narrowed),
        "## Headers", table("header | on | means", HEADERS),
    )  # fmt: skip


def openapi() -> dict[str, Any]:
    """The description that a node gives of itself."""
    with tempfile.TemporaryDirectory() as root, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Folder(Path(root) / "node")
        folder.make(BASE)
        SigningKeys.generate(folder.token_keys)
        described: dict[str, Any] = create_app(Node(folder, Settings(base_url=BASE))).openapi()
    return described


def _does(path: str, method: str, operation: Mapping[str, Any]) -> str:
    told = operation.get("description") or next(said for (verb, end), said in ROUTES.items() if verb == method and path.endswith(end))
    text = str(told).removeprefix(f"{method.upper()} {path}: ").removeprefix(f"{method.upper()}: ").removeprefix(f"{method.upper()} ")
    return text[0].upper() + text[1:]


def _parameters(operation: Mapping[str, Any]) -> str:
    return ", ".join(code(each["name"]) for each in operation.get("parameters", ()) if each["in"] != "path" and each["name"] not in FILTERS)


FILTERS = {name for kind in KINDS.values() for name in kind.filters}


def _takes(operation: Mapping[str, Any]) -> str:
    return ", ".join(SHORT.get(each, each) for each in operation.get("requestBody", {}).get("content", {}))


def _needs(path: str, operation: Mapping[str, Any]) -> str:
    if path.split("/")[1] not in (*KINDS, "sparql", "journal") or path.startswith(("/journal/checkpoint", "/journal/key", "/journal/tile")):
        return ""
    has_to = {} not in operation["security"] or path.endswith(("/lookup", "/export", "/batch")) or path.rsplit("/", maxsplit=1)[-1] in ACTIONS
    return "needed" if has_to else "widens"


ACTIONS = {name for kind in KINDS.values() for name in kind.actions}


# -- policies


def policies() -> str:
    sight = [[code(relation.value), RELATIONS[relation.value], *("yes" if tier in SEES[relation] else "" for tier in Tier)] for relation in Relation]
    seen = [[name, *(_seen(document, caller) for document in records().values())] for name, caller in callers().items()]
    parts = [
        "## Who sees what",
        "A caller sees a record through its relations to it; each relation opens whole disclosure tiers "
        "(`fmar_node/access/reveal.py`). Who has none sees nothing: 404, the same as for what does not exist.",
        table("relation | is | " + " | ".join(tier.value for tier in Tier), sight),
        "Worked out with `reveal` itself for the callers below:",
        table("caller | " + " | ".join(records()), seen),
    ]
    for kind in KINDS.values():
        may = [[code(name), *(_may(action, each, kind) for each in callers().values())] for name, action in kind.actions.items()]
        parts += [f"## Who does what: {kind.name}", table("action | use case | policy | states | rules", _action_rows(kind))]
        parts += ["Worked out with the policies themselves:", table("action | " + " | ".join(callers()), may)]
    note = "Refusals quote the code of the policy, the state rule or the rule. Where the caller does not see the record at all, the answer is 404."
    return page("Policies", note, *parts)


def callers() -> dict[str, Caller]:
    """The callers of `CALLERS`, made of organisation documents as the node makes them."""
    made = {}
    for name, (organisation, roles, areas, status) in CALLERS.items():
        iri = f"{BASE}/organisations/{ACTORS[organisation]}"
        made[name] = caller_of({"id": iri, "organisationRoles": roles, "licenceArea": areas, "organisationStatus": status})
    return {**made, "nobody": ANONYMOUS}


def records() -> dict[str, dict[str, Any]]:
    """The documents of `RECORDS`, with IRIs for the names of organisations."""
    named = {f"@{name}": f"{BASE}/organisations/{number}" for name, number in ACTORS.items()}
    return {name: {term: named.get(str(value), value) for term, value in document.items()} for name, document in RECORDS.items()}


def _seen(document: dict[str, Any], caller: Caller) -> str:
    found = tiers(document, caller)
    return "all" if found == frozenset(Tier) else ", ".join(tier.value for tier in Tier if tier in found) or "nothing"


def _may(action: Action, caller: Caller, kind: Kind) -> str:
    document = next(each for each in records().values() if each["type"] == kind.class_name)
    previous = None if action.name == "register" else Version(kind.plural, document["id"].rsplit("/", 1)[-1], 1, 0, "register", "", Actor(""), document)
    return "yes" if action.verdict(Situation(caller, None, None, document, previous)).permitted else ""  # type: ignore[arg-type]


def _action_rows(kind: Kind) -> Iterator[list[str]]:
    for name, action in kind.actions.items():
        allowed = "; ".join(f"`{policy.code}`: {policy.reason}" for policy in action.policies)
        states = ", ".join(code(state) for state in sorted(action.states)) + (f" (`{action.state_rule}`)" if action.state_rule else "")
        named = ", ".join(dict.fromkeys(code(rule.code) for rule in action.rules))
        yield [code(name), ", ".join(action.use_cases), allowed, states, named]


def use_cases() -> str:
    done = {id_: [f"{kind.name} {name}" for kind in KINDS.values() for name, action in kind.actions.items() if id_ in action.use_cases] for id_ in USE_CASES}
    named = {id_ for kind in KINDS.values() for action in kind.actions.values() for id_ in action.use_cases}
    if unknown := named - USE_CASES.keys():
        raise ValueError(f"kinds name use cases that docs/words.py does not: {unknown}")
    rows = [[id_, title, ", ".join(map(code, done[id_])), *SUPPORT.get(id_, ("", "not yet", ""))] for id_, title in USE_CASES.items()]
    if silent := [id_ for id_ in named if id_ not in SUPPORT]:
        raise ValueError(f"docs/words.py does not say how far these are covered: {silent}")
    covered = [sum(row[4].startswith(word) for row in rows) for word in ("covered", "in part", "not yet")]
    intro = f"The catalogue has {len(rows)} use cases; of these {covered[0]} are covered, {covered[1]} in part, {covered[2]} not yet. Numbers follow the catalogue's list."
    return page("Use cases", intro, table("use case | title | actions | also by | status | remark", rows))


# -- the context


def context() -> str:
    """The JSON-LD context: each term as its annotations in the ontology say."""
    head: dict[str, Any] = {"@version": 1.1, "@protected": True, "@vocab": FMAR, "id": "@id", "type": "@type", "fmar": FMAR, "xsd": XSD}
    own = {term.name: _mapping(term) for term in VOCABULARY.terms.values()}
    return json.dumps({"@context": {**head, **own}}, indent=2) + "\n"


def _mapping(term: Term) -> dict[str, Any]:
    found: dict[str, Any] = {"@id": f"fmar:{term.name}"}
    if term.kind is TermKind.CODE:
        found |= {"@type": "@vocab", "@context": {"@vocab": f"{CODES}{term.scheme}#"}}
    elif term.kind in (TermKind.RECORD, TermKind.PART):
        found["@type"] = "@id"
    elif term.kind is not TermKind.TEXT:
        found["@type"] = f"xsd:{term.range.removeprefix(XSD)}"
    return {**found, "@container": "@set"} if term.many else found


REFERENCE = {
    "terms": terms, "codes": codes, "rules": rules, "problems": problems, "settings": settings, "http": http,
    "policies": policies, "use-cases": use_cases,
}  # fmt: skip
FILES: Mapping[Path, Callable[[], str]] = {
    **{HERE / "reference" / f"{name}.md": make for name, make in REFERENCE.items()},
    PROJECT / "ontology" / "context-v1.jsonld": context,
}


def main(arguments: list[str]) -> int:
    """Status 1 when `--check` finds a stale file."""
    stale = {file: text for file, make in FILES.items() if not is_current(file, text := make())}
    for file, text in stale.items() if "--check" not in arguments else ():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    word = "stale" if "--check" in arguments else "wrote"
    print("\n".join(f"{word}: {file.relative_to(PROJECT).as_posix()}" for file in stale) or "everything is current")
    return int(bool(stale) and "--check" in arguments)


def is_current(file: Path, text: str) -> bool:
    return file.exists() and file.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
