"""The JSON schemas of the OpenAPI description: of records from the ontology, of everything else as it stands here.

Rules kept here: a term has the form that the ontology gives it; what the node sets is `readOnly`; what a parameter may be
is said as closely as the node checks it, so that a tool can make requests from the description alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from fmar_node.checks.saved_query import FORM_OF_KIND, NAME
from fmar_node.cim.table import CONTEXT as CIM_CONTEXT
from fmar_node.cim.table import TABLES, Table
from fmar_node.errors import PROBLEMS
from fmar_node.event import SPECIFICATION, WORDS, types
from fmar_node.job import OUTCOMES, State
from fmar_node.kinds import KINDS, Action, Kind
from fmar_node.kinds.asset import ASSET
from fmar_node.kinds.provenance import TRUST
from fmar_node.query import GRAPH_FORMATS, RESULT_FORMATS
from fmar_node.representation import LABELLED
from fmar_node.scorecard import BY, CLASSES
from fmar_node.security_log import EVENTS
from fmar_node.settings import Settings
from fmar_node.vocabulary import CONTEXT, FMAR, Term, TermKind, Vocabulary, shape_names
from fmar_node.web import events, export
from fmar_node.web.contract import HEADERS, INDEX_WANTED, NEEDED, Operation, note_name
from fmar_node.web.exchange import SHORT
from fmar_node.web.profile import NAMESPACES, profiles
from fmar_node.web.template import PARTS

Schema = dict[str, Any]
SH = "http://www.w3.org/ns/shacl#"
TEXT: Schema = {"type": "string"}
LABELS: Schema = {
    "type": "array",
    "readOnly": True,
    "items": {"type": "object", "required": ["id", "label"], "properties": {"id": {"type": "string"}, "label": {"type": "string"}}},
    "description": "In the profile labelled: what people call the terms and codes of the record",
}
NUMBER: Schema = {"type": "integer", "minimum": 1}
URI: Schema = {"type": "string", "format": "uri"}
INSTANT: Schema = {"type": "string", "format": "date-time"}
JSON_FORMS: dict[TermKind, Schema] = {
    TermKind.TEXT: TEXT,
    TermKind.DECIMAL: {"oneOf": [{"type": "number"}, {"type": "string", "pattern": r"^-?[0-9]{1,15}(\.[0-9]{1,15})?$"}]},
    TermKind.INTEGER: {"type": "integer"},
    TermKind.BOOLEAN: {"type": "boolean"},
    TermKind.DATE: {"type": "string", "format": "date"},
    TermKind.INSTANT: INSTANT,
    TermKind.RECORD: {"type": "string", "format": "uri-reference"},
}


# -- records


def schemas(vocabulary: Vocabulary) -> dict[str, Schema]:
    """Every schema that the description refers to, by name."""
    parts = {term.part_class for term in vocabulary.terms.values() if term.kind is TermKind.PART}
    found = {name: record(vocabulary, name) for name in sorted(parts)}
    for kind in KINDS.values():
        found |= _of_kind(kind, vocabulary)
    return found | FIXED


def _of_kind(kind: Kind, vocabulary: Vocabulary) -> dict[str, Schema]:
    name = kind.class_name
    whole = record(vocabulary, name)
    whole["properties"]["@included"] = LABELS
    own = {term: form for term, form in whole["properties"].items() if not form.get("readOnly")}
    found = {
        name: whole,
        f"{name}Document": {"allOf": [reference(name)], "required": needed(kind, vocabulary)},
        f"{name}Patch": {"type": "object", "properties": {term: {"anyOf": [form, {"type": "null"}]} for term, form in own.items()}},
        f"{name}List": _list(reference(name), CONTEXT, LABELLED.context),
    }
    if name in TABLES:
        found |= {f"{name}InCim": in_cim(TABLES[name]), f"{name}ListInCim": _list(reference(f"{name}InCim"), CIM_CONTEXT)}
    told = {"anyOf": [reference(name), reference(f"{name}InCim")]} if name in TABLES else reference(name)
    found[f"{name}Trial"] = _object(["accepted", "document", "errors", "report"], accepted={"const": True}, document=told, errors=ERRORS, report=REPORT)
    if kind.plural in CLASSES:
        found[f"{name}Trial"]["properties"]["quality"] = {"type": "object"}
    if name in ("Asset", "Switch"):
        found[f"{name}Batch"] = {"type": "array", "items": reference(f"{name}Document")}
    return found | {note_name(kind, action): note(kind, action, vocabulary) for action in kind.actions.values() if action.note_terms}


def record(vocabulary: Vocabulary, class_name: str) -> Schema:
    """A record or a part of one, as it is read; a caller may see only some of its terms."""
    properties = {term.name: form_of(term, vocabulary) for term in vocabulary.classes[class_name]}
    own = {"@context": {"enum": [CONTEXT, LABELLED.context]}, "id": {"type": "string", "readOnly": True}, "type": {"const": class_name}}
    return {"type": "object", "additionalProperties": False, "properties": {**own, **properties}}


def in_cim(table: Table) -> Schema:
    """A record in the CIM profile: a node with its class, and the others in it; what they may say is the shapes' business."""
    properties = {"@context": {"const": CIM_CONTEXT}, "id": URI, "type": {"enum": list(table.root.classes)}}
    return {"type": "object", "required": ["type"], "properties": properties, "description": "The record in CIM: see /context/cim-v1 and /shapes/cim"}


def note(kind: Kind, action: Action, vocabulary: Vocabulary) -> Schema:
    """The small document of a named action."""
    terms = {term.name: term for term in vocabulary.classes[action.note_class or kind.class_name]}
    forms = {name: form_of(terms[name], vocabulary) for name in sorted(action.note_terms) if name in terms}
    properties = {name: {key: value for key, value in form.items() if key != "readOnly"} for name, form in forms.items()}
    return {"type": "object", "additionalProperties": False, "properties": {"@context": {"const": CONTEXT}, **properties}}


def form_of(term: Term, vocabulary: Vocabulary) -> Schema:
    """What a term's value looks like in JSON."""
    if term.kind is TermKind.PART:
        form = reference(term.part_class)
    elif term.kind is TermKind.CODE:
        form = {"type": "string", "enum": sorted(vocabulary.schemes[term.scheme].codes)}
    else:
        form = dict(JSON_FORMS[term.kind])
    if term.many:
        form = {"type": "array", "items": form}
    if term.server_set and "$ref" not in form:
        form["readOnly"] = True
    return {**form, "description": term.definition} if "$ref" not in form else form


@cache
def _always_needed(name: str, class_name: str) -> frozenset[str]:
    """The terms that the packaged shapes of a kind ask of every document, whatever else it says."""
    triples = Vocabulary.load().shapes[name]

    def those(predicate: str, is_meant: Callable[[Any], bool]) -> set[Any]:
        return {triple.subject for triple in triples if triple.predicate.value == SH + predicate and is_meant(triple.object)}

    targeted = those("targetClass", lambda target: target.value == FMAR + class_name)
    constraints = {triple.object for triple in triples if triple.subject in targeted and triple.predicate.value == f"{SH}property"}
    counted, milder = those("minCount", lambda count: count.value != "0"), those("severity", lambda grave: grave.value != f"{SH}Violation")
    paths = {triple.subject: getattr(triple.object, "value", "") for triple in triples if triple.predicate.value == f"{SH}path"}
    return frozenset(str(paths[each]).removeprefix(FMAR) for each in paths if each in constraints and each in counted and each not in milder)


def needed(kind: Kind, vocabulary: Vocabulary) -> list[str]:
    """Those of them that a participant writes itself."""
    return sorted(term for term in _always_needed(kind.name, kind.class_name) if term in vocabulary.terms and not vocabulary.terms[term].server_set)


# -- parameters


def parameter(name: str, operation: Operation, vocabulary: Vocabulary, settings: Settings) -> Schema:
    """The OpenAPI parameter of that name of an operation."""
    place = "path" if f"{{{name}}}" in operation.path else "header" if name in HEADERS else "query"
    is_needed = place == "path" or name in NEEDED
    return {"name": name, "in": place, "required": is_needed, "schema": _form(name, operation, vocabulary, settings)}


def _form(name: str, operation: Operation, vocabulary: Vocabulary, settings: Settings) -> Schema:
    if name == "format":
        return {"type": "string", "enum": _formats(operation)}
    if operation.path == "/events" and name in WORDS:
        return {"type": "array", "items": {"type": "string", "enum": sorted(events.known(vocabulary)[name])}, "maxItems": 3}
    if name in PARAMETERS:
        return PARAMETERS[name]
    by_node: dict[str, Schema] = {
        "wait": {"type": "number", "minimum": 0, "maximum": 1, "multipleOf": 0.25},
        "limit": {**NUMBER, "maximum": settings.page_items_most, "default": settings.page_items},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": settings.query_seconds, "default": settings.query_seconds_default},
        "query": {"type": "string", "maxLength": settings.query_bytes},
        "scheme": {"type": "string", "enum": sorted(vocabulary.schemes)},
        "kind": {"type": "string", "enum": _kinds_of_shapes(next((f"{each}/" for each in ("cim", "quality") if f"/{each}/" in operation.path), ""))},
        "code": {"type": "string", "enum": sorted(PROBLEMS)},
    }
    term = vocabulary.terms.get(name)
    if name in by_node or term is None:
        return by_node.get(name, TEXT)
    return {"type": "string", "enum": sorted(vocabulary.schemes[term.scheme].codes)} if term.kind is TermKind.CODE else TEXT


def _kinds_of_shapes(profile: str) -> list[str]:
    names = sorted(shape_names())
    return [name.removeprefix(profile) for name in names if name.startswith(profile) and "/" not in name.removeprefix(profile)]


def _formats(operation: Operation) -> list[str]:
    """The short names of what an operation answers in."""
    media_types = [each for listed in operation.answers.values() for each in listed]
    if operation.path.startswith("/assets/export"):
        return [short for short, _ in export.FORMATS.values()]
    short = {**RESULT_FORMATS, **GRAPH_FORMATS, **({} if "{" in operation.path else SHORT)} if operation.path in ASKED else SHORT
    return sorted({short[each] for each in media_types if each in short})


ASKED = ("/sparql", "/queries/{name}")
INDEX: Schema = {"type": "integer", "minimum": 0, "maximum": 10**15 - 1}
TAGS: Schema = {"type": "string", "pattern": r'^(\*|(W/)?"[!#-~]*"( *, *(W/)?"[!#-~]*")*)$'}
PARAMETERS: dict[str, Schema] = {
    "id": {"type": "string", "format": "uuid"},
    "number": {**NUMBER, "maximum": 10**15 - 1},
    "index": INDEX,
    "path": {"type": "string", "pattern": r"^(entries|[0-9]|[1-5][0-9])(/x[0-9]{3})*/[0-9]{3}(\.p/[0-9]{1,3})?$"},
    "version": {**NUMBER, "maximum": 10**15 - 1},
    "managed": {"enum": ["me", "former"]},
    "release": {**NUMBER, "maximum": 10**9 - 1},
    "outcome": {"type": "string", "enum": ["R", "J", "kept"]},
    "upsert": {"type": "string", "enum": list(ASSET.upserts_by)},
    "part": {"type": "string", "enum": list(PARTS)},
    "profile": {"type": "string", "enum": [each.name for each in profiles("Asset")]},
    "namespace": {"type": "string", "enum": list(NAMESPACES)},
    "dry-run": {"type": "boolean"},
    "at": {"oneOf": [INSTANT, {"type": "string", "format": "date"}]},
    "from": INSTANT,
    "to": INSTANT,
    "event": {"type": "string", "enum": list(EVENTS)},
    "apply": {"type": "boolean"},
    "status": {"type": "string", "enum": ["waiting", "dead"]},
    "since": {"anyOf": [INSTANT, {"enum": [events.BEGINNING, events.NOW]}, {"type": "string", "pattern": f"^{events.INDEX.pattern}$"}]},
    "by": {"type": "string", "enum": list(BY), "default": "dimension"},
    "rule": {"type": "string", "pattern": "^[a-z0-9-]{1,63}$"},
    "organisation": {"type": "string", "format": "uuid"},
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "If-Match": TAGS,
    "If-None-Match": TAGS,
    "Idempotency-Key": {"type": "string", "maxLength": 255},
    "Prefer": {"enum": ["return=minimal", "respond-async"]},
    "skip": {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
    INDEX_WANTED: INDEX,
}
ANSWERED: dict[str, Schema] = {
    "ETag": {"description": "Changes when what this caller sees does, and with the format", "schema": TAGS},
    "Link": {"description": 'Where the proof of the record is, `<...>; rel="proof"`; which profile this is, and where the others are', "schema": TEXT},
    "Location": {"description": "The IRI of the new record", "schema": URI},
    events.BEHIND: {"description": "How many entries of the journal have not been looked through yet; 0: the feed is level", "schema": INDEX},
    "Fmar-Journal-Index": {"description": "The index of the newest journal entry that the answer takes into account", "schema": INDEX},
    "WWW-Authenticate": {"description": "How to get a credential, and what was wrong with this one", "schema": TEXT},
}
"""Headers of answers."""


# -- everything else


def reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Iterable[str], **properties: Any) -> Schema:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(item: Schema, *contexts: Any) -> Schema:
    """A page of records; `next` is the URL of the following one."""
    return _object(["@context", "type", "items"], **{"@context": {"enum": contexts or [CONTEXT]}, "type": {"const": "Collection"}}, items={"type": "array", "items": item}, next=URI)


def _items(item: Schema) -> Schema:
    return _object(["record", "items"], record=URI, items={"type": "array", "items": item})


FAULT = ("pointer", "field", "code", "constraint", "severity", "message", "value")
ERRORS: Schema = {"type": "array", "items": {"type": "object", "properties": dict.fromkeys(FAULT, TEXT)}}
REPORT: Schema = {"type": "object", "description": "SHACL validation report as JSON-LD"}
FOUND: Schema = {"type": "object", "required": ["id"], "properties": {"id": URI}}
NULLABLE_URI: Schema = {"anyOf": [URI, {"type": "null"}]}
OFFER: Schema = _object(
    ["name", "title", "about", "publisher", "record", "url", "example", "formats", "parameters", "query"],
    name=TEXT, title=TEXT, about=TEXT, publisher=NULLABLE_URI, record=NULLABLE_URI, url=URI, example=URI, formats={"type": "array", "items": TEXT}, query=TEXT,
    parameters={"type": "array", "items": _object(
        ["name", "kind", "isOptional", "about"], name=TEXT, kind={"enum": [*FORM_OF_KIND, "code"]}, isOptional={"type": "boolean"}, about=TEXT, codes=URI,
        oneOf={"type": "array", "items": TEXT},
    )},
)  # fmt: skip
"""A saved query as the list describes it."""
EVENT: Schema = _object(
    ["specversion", "id", "source", "type", "subject", "time", "data"],
    specversion={"const": SPECIFICATION}, id=TEXT, source=URI, type={"enum": types()}, subject=URI, time=INSTANT, datacontenttype={"const": "application/json"},
    data=_object([], version=NUMBER, changed={"type": "array", "items": TEXT}, material={"type": "array", "items": TEXT}, action=TEXT, cause=TEXT, viewMoved={"const": True}),
)  # fmt: skip
"""A CloudEvent."""
COUNT: Schema = {"type": "integer", "minimum": 0}
JOB: Schema = _object(
    ["id", "type", "state", "results", "rows", "bytes", "bytesRead", "made"],
    id=URI, type={"const": "Job"}, state={"enum": list(State)}, results=URI, rows=COUNT, **dict.fromkeys(OUTCOMES, COUNT),
    bytes=COUNT, bytesRead=COUNT, made=INSTANT, began=INSTANT, ended=INSTANT, problem={"type": "object"},
)  # fmt: skip
"""A batch that is worked through later."""
DAY: Schema = {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}
SCORE: Schema = {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 100}, {"type": "null"}]}
MISSED: Schema = _object(
    ["rule", "label", "message", "field", "dimension", "weight", "status", "id"],
    rule=TEXT, label=TEXT, message=TEXT, field=TEXT, dimension=TEXT, weight=NUMBER, status=TEXT, id=URI,
)  # fmt: skip
FIXED: dict[str, Schema] = {
    "Impact": _object(
        ["release", "status", "records", "total", "failing", "finished", "rows"],
        release=TEXT, over=TEXT, status={"enum": ["waiting", "running", "finished"]}, records=COUNT, total=COUNT, failing=COUNT, finished=TEXT,
        rows={"type": "array", "items": _object(
            ["kind", "constraint", "outcome", "category", "manager", "records"],
            kind=TEXT, constraint=TEXT, outcome=TEXT, category=TEXT, manager=TEXT, records=COUNT, first={"type": "array", "items": TEXT},
        )},
    ),
    "Shadow": _object(
        ["release", "judged", "refused", "rows"], release=TEXT, judged=COUNT, refused=COUNT,
        rows={"type": "array", "items": _object(["kind", "constraint", "organisation", "documents"], kind=TEXT, constraint=TEXT, organisation=TEXT, documents=COUNT)},
    ),
    "Problem": _object(
        ["type", "title", "status", "detail", "instance", "code"],
        type=URI, title=TEXT, status={"type": "integer"}, detail=TEXT, instance=TEXT, code=TEXT, errors=ERRORS, report=REPORT,
    ),
    "OAuthError": _object(["error"], error=TEXT, error_description=TEXT, code=TEXT),
    "Lookup": {**_object(["scheme", "value"], scheme=TEXT, value=TEXT, manufacturer=TEXT, at={"type": "string", "format": "date"}, claimCode=TEXT, **{"@context": {"const": CONTEXT}}), "additionalProperties": False},
    "Lookups": {**_object(["identifiers"], identifiers={"type": "array", "minItems": 1, "items": reference("Lookup")}, **{"@context": {"const": CONTEXT}}), "additionalProperties": False},
    "Found": _list(FOUND),
    "FoundEach": _object(["answers"], answers={"type": "array", "items": _object(["outcome"], outcome={"enum": ["found", "absent", "too-many-requests"]}, items={"type": "array", "items": FOUND})}),
    "Job": JOB,
    "Jobs": _object(["items"], items={"type": "array", "items": reference("Job")}),
    "Offers": _object(["items"], items={"type": "array", "items": OFFER}, next=URI),
    "Versions": _items(_object(["version", "id"], version=NUMBER, id=URI)),
    "History": _items(_object(["version", "changed"], version=NUMBER, changed={"type": "array", "items": TEXT}, material={"type": "array", "items": TEXT}, recordedAt=INSTANT, action=TEXT, journalIndex=INDEX)),
    "Deliveries": _object(["items"], items={"type": "array", "items": _object(["event", "attempts"], event=TEXT, attempts={"type": "integer"}, since=INSTANT, next=INSTANT, problem=TEXT)}, next=URI),
    "Replay": {**_object([], events={"type": "array", "items": {"type": "string", "pattern": "^[0-9]{1,15}$"}, "maxItems": 500}), "additionalProperties": False},
    "Replayed": _object(["replayed"], replayed={"type": "integer", "minimum": 0}),
    "Events": {"type": "array", "items": EVENT},
    "Provenance": _items(_object(["field", "source", "method", "quality"], field=TEXT, source={"enum": list(TRUST)}, method=TEXT, quality={"enum": ["GIVEN", "CONFIRMED", "QUERIED"]}, verifiedAt=INSTANT)),
    "Receipt": {"type": "object", "required": ["index", "sections"], "properties": {"index": INDEX, "sections": {"type": "object"}}},
    "ConsentNotification": _object(["type", "timestamp", "data"], type=TEXT, timestamp=INSTANT, data=_object(["consent"], consent=TEXT)),
    "Quality": _object(["record", "measuredOn", "score", "dimensions", "missed"], record=URI, measuredOn=DAY, score=SCORE, dimensions={"type": "object"}, missed={"type": "array", "items": MISSED}),
    "Missing": _object(["rule", "label", "message", "items"], rule=TEXT, label=TEXT, message=TEXT, next=URI, items={"type": "array", "items": _object(["id", "score", "quality"], id=URI, score=SCORE, quality=URI)}),
    "Scorecard": _object(["by", "kind", "measuredOn", "items"], by=TEXT, kind=TEXT, measuredOn=DAY, isAggregate={"const": True}, suppressed=INDEX, items={"type": "array", "items": {"type": "object"}}),
    "QueryForm": _object(["query"], query=TEXT),
    "TokenForm": _object(
        ["grant_type"],
        grant_type={"enum": ["client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange"]},
        subject_token=URI, subject_token_type={"const": "https://w3id.org/fmar/ns#Organisation"},
        client_assertion_type={"const": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
        client_assertion=TEXT, client_id=TEXT, scope={"const": "fmar"},
    ),
    "Token": _object(["access_token", "token_type", "expires_in"], access_token=TEXT, token_type={"enum": ["DPoP", "Bearer"]}, expires_in=NUMBER, scope=TEXT),
    "KeySet": _object(["keys"], keys={"type": "array", "items": {"type": "object"}}),
    "Metadata": {"type": "object"},
    "Readiness": _object(["ready"], ready={"type": "boolean"}),
}  # fmt: skip
