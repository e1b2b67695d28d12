"""What each operation takes, answers and refuses, for the OpenAPI description: one table that tests hold against the node.

Rules kept here: an operation that is not in the table is not offered; statuses are those of success, refusals are
problem documents everywhere but at the token endpoint (RFC 6749 has its own).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from fmar_node.cim.table import TABLES
from fmar_node.event import BATCH
from fmar_node.jsonld import MEDIA_TYPES
from fmar_node.kinds import KINDS, Action, Kind
from fmar_node.kinds.asset import ASSET
from fmar_node.query import GRAPH_FORMATS, RESULT_FORMATS
from fmar_node.representation import JSON, LD_JSON
from fmar_node.scorecard import CLASSES
from fmar_node.web import events, export, quality, queries, releases, security, subscriptions, words
from fmar_node.web.batch import NDJSON, PLAIN, TAKEN
from fmar_node.web.credentials import FORM, KEY_SET, STATUS_LIST
from fmar_node.web.exchange import RECORD_FORMATS
from fmar_node.web.negotiation import MERGE_PATCH
from fmar_node.web.profile import taken
from fmar_node.web.sparql import DESCRIPTION_FORMATS, DIRECT
from fmar_node.web.template import CSV

TEXT, HTML, BYTES = "text/plain", "text/html", "application/octet-stream"
READ, WRITE, OPEN, PERSON, SIGNED = "read", "write", "open", "person", "signed"
"""Whether a credential widens what is seen, is needed, or plays no role; or whether it is a person's session, or a sender's signature, that is needed."""

INDEX, INDEX_WANTED = "Fmar-Journal-Index", "Fmar-Min-Journal-Index"
LISTING = ("cursor", "limit", "managed", "format")
READING = ("at", "version", "format", "If-None-Match")
PROFILING = ("profile", "namespace")
WRITING = ("dry-run", "format", "Idempotency-Key", "Prefer")
ASKING = ("default-graph-uri", "named-graph-uri", "format", "timeout", INDEX_WANTED)


@dataclass(frozen=True, slots=True)
class Operation:
    """`answers`: media types by status of success; `given` and `told`: the schemas of bodies in JSON, where they have one.

    `trial`: the schema of what a dry run answers, always in JSON; `headers`: those that every success of that status has.
    """

    path: str
    method: str
    answers: Mapping[int, Sequence[str]]
    access: str = READ
    parameters: tuple[str, ...] = ()
    takes: Sequence[str] = ()
    given: str | tuple[str, ...] = ""
    told: str | tuple[str, ...] = ""
    trial: str = ""
    is_body_needed: bool = True
    headers: Mapping[int, Sequence[str]] = field(default_factory=dict)


def operations() -> Iterator[Operation]:
    """Every operation of a node."""
    for plural, kind in KINDS.items():
        yield from _of_kind(f"/{plural}", kind)
    yield Operation("/assets/lookup", "post", {200: [JSON]}, takes=[JSON, LD_JSON], given=("Lookup", "Lookups"), told=("Found", "FoundEach"))
    yield Operation("/consents/notifications", "post", {204: ()}, SIGNED, ("webhook-id", "webhook-timestamp", "webhook-signature"), [JSON], given="ConsentNotification")
    batch = ("dry-run", "upsert", "Idempotency-Key", "profile", "Prefer")
    yield Operation("/assets/batch", "post", {200: [NDJSON], 202: [JSON]}, WRITE, batch, TAKEN, given="AssetBatch", told="Job", headers={202: ("Location",)})
    yield Operation("/switches/batch", "post", {200: [NDJSON]}, WRITE, ("dry-run", "Idempotency-Key", "profile"), PLAIN, given="SwitchBatch")
    yield from _jobs()
    yield Operation("/assets/template", "get", {200: [CSV], 304: ()}, OPEN, ("part", "If-None-Match"), headers={200: ("ETag",), 304: ("ETag",)})
    exported = ("format", "index", "at", "managed", *KINDS["assets"].filters, *PROFILING)
    yield Operation("/assets/export", "get", {200: list(export.FORMATS)}, WRITE, exported, headers={200: (INDEX,)})
    yield Operation("/assets/export/manifest", "get", {200: [TEXT]}, WRITE, exported, headers={200: (INDEX,)})
    results = {200: [*RESULT_FORMATS, *GRAPH_FORMATS]}
    described = {200: [*RESULT_FORMATS, *GRAPH_FORMATS, *(each for each in DESCRIPTION_FORMATS if each not in GRAPH_FORMATS)]}
    yield Operation("/sparql", "get", described, parameters=("query", *ASKING))
    yield Operation("/queries", "get", {200: [JSON, HTML]}, parameters=queries.PARAMETERS, told="Offers")
    yield Operation("/queries/{name}", "get", {200: [*RESULT_FORMATS, *GRAPH_FORMATS, HTML]}, parameters=("format", "timeout", INDEX_WANTED))
    yield Operation("/releases/{id}/impact", "get", {200: [JSON]}, WRITE, releases.NARROWING, told="Impact")
    yield Operation("/releases/{id}/shadow", "get", {200: [JSON]}, WRITE, told="Shadow")
    yield Operation("/sparql", "post", results, parameters=ASKING, takes=[DIRECT, FORM], given="QueryForm", headers={200: (INDEX,)})
    yield from _quality()
    yield Operation("/oauth/token", "post", {200: [JSON]}, OPEN, ("DPoP",), [FORM], given="TokenForm", told="Token")
    yield Operation("/oauth/jwks", "get", {200: [KEY_SET]}, OPEN, told="KeySet")
    yield Operation("/oauth/status/1", "get", {200: [STATUS_LIST], 304: ()}, OPEN, ("If-None-Match",))
    for name in ("oauth-authorization-server", "oauth-protected-resource"):
        yield Operation(f"/.well-known/{name}", "get", {200: [JSON]}, OPEN, told="Metadata")
    yield from _people()
    yield from _journal()
    yield from _vocabulary()
    yield Operation("/", "get", {200: [HTML, *DESCRIPTION_FORMATS[:-1]]}, parameters=("format",))
    yield Operation("/.well-known/void", "get", {200: DESCRIPTION_FORMATS[:-1]}, parameters=("format",), headers={200: (INDEX,)})
    yield Operation("/docs", "get", {200: [HTML]}, OPEN)
    yield Operation("/healthz", "get", {200: [TEXT]}, OPEN)
    yield Operation("/readyz", "get", {200: [JSON], 503: [JSON]}, OPEN, told="Readiness")
    yield Operation("/metrics", "get", {200: [TEXT]}, OPEN)
    yield Operation("/security-log", "get", {200: [JSON]}, WRITE, security.PARAMETERS)
    yield Operation("/subscriptions/{id}/deliveries", "get", {200: [JSON]}, WRITE, subscriptions.PARAMETERS, told="Deliveries")
    yield Operation("/subscriptions/{id}/replay", "post", {200: [JSON]}, WRITE, takes=[JSON], given="Replay", told="Replayed", is_body_needed=False)
    yield Operation("/events", "get", {200: [BATCH, JSON]}, WRITE, events.PARAMETERS, told="Events", headers={200: ("Link", events.BEHIND)})


@cache
def taken_at(path: str) -> Mapping[str, str]:
    """Headers that say which media types the methods of a path take, as in Accept-Patch."""
    found = {f"Accept-{each.method.title()}": ", ".join(each.takes) for each in operations() if each.path == path and each.takes}
    return found | ({"Accept-Query": found["Accept-Post"]} if path == "/sparql" else {})


def _of_kind(room: str, kind: Kind) -> Iterator[Operation]:
    one, record, name, takes = f"{room}/{{id}}", RECORD_FORMATS, kind.class_name, taken(kind.class_name)
    told, listed, document = (_in_profiles(kind, end) for end in ("", "List", "Document"))
    asked = PROFILING if name in TABLES else PROFILING[:1]
    writing = (*WRITING, *asked)
    changed, trial = {200: record, 204: ()}, f"{name}Trial"
    read = {200: ("ETag", "Link"), 304: ("ETag",)}
    wrote = {204: ("ETag", INDEX), 201: ("ETag", "Location", INDEX)}
    yield Operation(room, "get", {200: record}, parameters=(*kind.filters, *LISTING, *asked), told=listed)
    made: dict[int, Sequence[str]] = {201: record, **(changed if kind.upserts_by else {200: [JSON]})}
    if not kind.actions["register"].is_nodes_own:
        yield Operation(room, "post", made, WRITE, ("upsert", *writing) if kind.upserts_by else writing, takes, document, told, trial, headers=wrote)
    yield Operation(one, "get", {200: record, 304: ()}, READ, (*READING, *asked), told=told, headers=read)
    if "update" in kind.actions:
        parameters = ("If-Match", *writing)
        yield Operation(one, "put", changed, WRITE, parameters, takes, document, told, trial, headers=wrote)
        yield Operation(one, "patch", changed, WRITE, parameters, [MERGE_PATCH], f"{name}Patch", told, trial, headers=wrote)
    yield Operation(f"{one}/versions", "get", {200: [JSON]}, told="Versions")
    yield Operation(f"{one}/versions/{{number}}", "get", {200: record, 304: ()}, READ, ("format", "If-None-Match", *asked), told=told, headers=read)
    yield Operation(f"{one}/history", "get", {200: [JSON]}, told="History")
    if kind is ASSET:
        yield Operation(f"{one}/provenance", "get", {200: [JSON]}, told="Provenance")
    yield Operation(f"{one}/proof", "get", {200: [JSON]}, parameters=("at", "version"), told="Receipt")
    for action in kind.actions.values():
        if not action.takes_document and not action.is_nodes_own:
            noted = MEDIA_TYPES if action.note_terms else ()
            given = note_name(kind, action) if action.note_terms else ""
            path = f"{one}/{action.name}"
            yield Operation(path, "post", changed, WRITE, writing, noted, given, told, trial, is_body_needed=False, headers=wrote)


def _in_profiles(kind: Kind, end: str) -> str | tuple[str, str]:
    """The schemas of a record, a list or a document, in each profile that the kind has."""
    name = kind.class_name
    return f"{name}{end}" if name not in TABLES else (f"{name}{end}", f"{name}{end.removesuffix('Document')}InCim")


def note_name(kind: Kind, action: Action) -> str:
    """The name of the schema of an action's small document."""
    return kind.class_name + action.name.title().replace("-", "")


def _quality() -> Iterator[Operation]:
    for plural in CLASSES:
        yield Operation(f"/{plural}/{{id}}/quality", "get", {200: quality.SCORE_FORMATS}, parameters=("format",), told="Quality")
        yield Operation(f"/quality/{plural}", "get", {200: [JSON]}, parameters=quality.MISSING_PARAMETERS, told="Missing")
    yield Operation("/quality", "get", {200: quality.CARD_FORMATS}, parameters=quality.CARD_PARAMETERS, told="Scorecard")


def _people() -> Iterator[Operation]:
    yield Operation("/signin", "get", {200: [HTML, JSON], 303: ()}, OPEN, ("provider", "organisation", "return", "apply", "format"))
    yield Operation("/signin/callback", "get", {303: ()}, OPEN, ("code", "state", "iss", "error"))
    yield Operation("/session", "get", {200: [JSON, HTML]}, PERSON, ("format",))
    yield Operation("/session", "delete", {204: ()}, PERSON)
    yield Operation("/session/end", "post", {303: ()}, PERSON)
    yield Operation("/sessions", "get", {200: [JSON]}, PERSON)
    yield Operation("/sessions/{id}", "delete", {204: ()}, PERSON)


def _jobs() -> Iterator[Operation]:
    yield Operation("/jobs", "get", {200: [JSON]}, WRITE, told="Jobs")
    yield Operation("/jobs/{id}", "get", {200: [JSON]}, WRITE, told="Job")
    yield Operation("/jobs/{id}", "delete", {202: [JSON], 204: ()}, WRITE, told="Job")
    yield Operation("/jobs/{id}/results", "get", {200: [NDJSON]}, WRITE, ("skip",))
    yield Operation("/jobs/{id}/cancellation", "post", {200: [JSON]}, WRITE, told="Job")


def _journal() -> Iterator[Operation]:
    yield Operation("/journal/checkpoint", "get", {200: [TEXT]}, OPEN)
    yield Operation("/journal/key", "get", {200: [TEXT]}, OPEN)
    yield Operation("/journal/handovers", "get", {200: [TEXT]}, OPEN)
    yield Operation("/journal/tile/{path}", "get", {200: [BYTES]}, OPEN)
    yield Operation("/journal/entries/{index}", "get", {200: [JSON]}, told="Receipt")


def _vocabulary() -> Iterator[Operation]:
    known, tagged = ("format", "If-None-Match"), {200: ("ETag",), 304: ("ETag",)}
    for path in ("/context/v1", "/context/cim-v1", "/frames/{kind}"):
        yield Operation(path, "get", {200: [LD_JSON], 304: ()}, OPEN, ("If-None-Match",), headers=tagged)
    yield Operation("/ontology", "get", {200: words.FORMATS, 304: ()}, OPEN, known, headers=tagged)
    for path in ("/shapes", "/shapes/{kind}", "/shapes/cim/{kind}", "/shapes/quality/{kind}", "/codes"):
        yield Operation(path, "get", {200: words.FORMATS, 304: ()}, READ, ("release", *known), headers=tagged)
    yield Operation("/codes/{scheme}", "get", {200: [*words.FORMATS, JSON, HTML], 304: ()}, READ, ("release", *known))
    yield Operation("/problems/{code}", "get", {200: [HTML, JSON]}, OPEN)


HEADERS = frozenset({"Idempotency-Key", "Prefer", "If-Match", "If-None-Match", INDEX_WANTED, "DPoP", "webhook-id", "webhook-timestamp", "webhook-signature"})
NEEDED = frozenset({"If-Match", "DPoP", "webhook-id", "webhook-timestamp", "webhook-signature"})
