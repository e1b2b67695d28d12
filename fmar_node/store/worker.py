"""The query worker: answers SPARQL over one snapshot, locked in, until it is told to end or is killed.

Rules kept here:
- the order: limits, no network, and only then the engine; without the lock it does not start;
- both dataset arguments, always: a query sees the graphs in its header and nothing else; several default graphs are one (`merge`);
- a result is made, consumed and serialised in this one thread; only bytes leave, in frames;
- an answer is announced as good when all of it or 256 KiB of it are there. What fails before is an error with
  a code, what fails after is an abort; an answer that has no `end` is no answer.

Conversation, one frame each: `{snapshot, memory, must_lock}` -> `{ready, index, locked}`; then per query
`{query, default_graph, named_graphs, base_iri, media_type, prefixes, bindings, rows, bytes, merged}` ->
`{status: ok, media_type}` with bytes, any number of `{}` with bytes, `{end, rows}`; or `{error, detail}`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import IO, TYPE_CHECKING, TypeVar, cast

from fmar_node import frames
from fmar_node.expanded import Typed
from fmar_node.store import merge, rows, sandbox, state, xml

if TYPE_CHECKING:
    import pyoxigraph as ox

F = TypeVar("F")

CHUNK_BYTES = 262_144
JSON_LD, RDF_XML = "application/ld+json", "application/rdf+xml"
GRAPH_TYPES = ("text/turtle", "application/n-triples", JSON_LD, RDF_XML)


class Refusal(Exception):
    """A query that gets no answer: a code of `errors.PROBLEMS`, and what to say."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Sink:
    """What the engine writes into: counts, cuts into frames, refuses what is too much, and stays refusing."""

    def __init__(self, sock: socket.socket, media_type: str, most_bytes: int, most_rows: int) -> None:
        self.sock = sock
        self.media_type = media_type
        self.most_bytes = most_bytes
        self.most_rows = most_rows
        self.characters = xml.Characters() if media_type in (RDF_XML, rows.XML) else None
        self.count: rows.Counter | None = None
        self.rows = 0
        self.bytes = 0
        self.held: list[bytes] = []
        self.held_bytes = 0
        self.is_announced = False
        self.failure: BaseException | None = None

    def write(self, chunk: bytes) -> int:
        if self.failure is None:
            try:
                self.take(chunk)
            except BaseException as error:
                self.failure = error
                raise
        return len(chunk)

    def flush(self) -> None:
        """The engine flushes at its end; frames are cut by size alone."""

    def take(self, chunk: bytes) -> None:
        if self.characters:
            try:
                chunk = self.characters.take(chunk)
            except ValueError as error:
                raise Refusal("not-acceptable", f"{error}; ask for another format") from None
        self.bytes += len(chunk)
        if self.bytes > self.most_bytes:
            raise Refusal("query-too-many-rows", f"the result has more than {self.most_bytes} bytes")
        if self.count:
            self.check_rows(self.count(chunk))
        self.held.append(bytes(chunk))
        self.held_bytes += len(chunk)
        if self.held_bytes >= CHUNK_BYTES:
            self.send({})

    def check_rows(self, number: int) -> None:
        self.rows = number
        if number > self.most_rows:
            raise Refusal("query-too-many-rows", f"the result has more than {self.most_rows} rows")

    def send(self, header: frames.Header) -> None:
        """Send what is held; the first time, announce the answer."""
        announced = {} if self.is_announced else {"status": "ok", "media_type": self.media_type}
        self.is_announced = True
        frames.send(self.sock, announced | header, b"".join(self.held))
        self.held.clear()
        self.held_bytes = 0

    def finish(self) -> None:
        if self.failure:
            raise self.failure
        self.send({"end": True, "rows": self.rows})


def main(descriptor: str) -> None:
    """The process: works until the other side hangs up, however politely."""
    with suppress(ConnectionError):
        work(frames.inherited(descriptor))


def work(sock: socket.socket) -> None:
    """Lock up, open the snapshot, answer until the other side hangs up."""
    if (setup := frames.receive(sock)) is None:
        return
    sandbox.die_with_parent()
    sandbox.limit(setup[0]["memory"])
    is_locked = sandbox.lock_network() and sandbox.is_locked()
    if (setup[0]["must_lock"] and not is_locked) or not setup[0]["snapshot"]:
        frames.send(sock, {"ready": False, "index": -1, "locked": is_locked})
        return
    import pyoxigraph as ox

    store = ox.Store.read_only(setup[0]["snapshot"])
    frames.send(sock, {"ready": True, "index": state.applied(store), "locked": is_locked})
    while (request := frames.receive(sock)) is not None:
        answer(sock, store, request[0])


def answer(sock: socket.socket, store: ox.Store, request: frames.Header) -> None:
    """Answer one query. What is wrong with this process rather than with the query ends the process."""
    sink = Sink(sock, request["media_type"], request["bytes"], request["rows"])
    try:
        evaluate(store, request, sink)
        sink.finish()
    except ConnectionError:
        raise
    except Exception as error:
        refusal = sink.failure if isinstance(sink.failure, Refusal) else refusal_of(error)
        frames.send(sock, {"error": refusal.code, "detail": refusal.detail})
        if isinstance(error, OSError | MemoryError):
            raise SystemExit(f"a query worker ends: {type(error).__name__}: {error}") from None


def refusal_of(error: Exception) -> Refusal:
    """What an error of the engine means for the one who asked."""
    match error:
        case Refusal():
            return error
        case SyntaxError():
            return Refusal("query-malformed", str(error))
        case MemoryError():
            return Refusal("query-out-of-memory")
        case OSError():
            return Refusal("unavailable", "the snapshot could not be read")
    return Refusal("query-failed", str(error)[:500])


def evaluate(store: ox.Store, request: frames.Header, sink: Sink) -> None:
    import pyoxigraph as ox

    default: list[merge.Name] = [ox.NamedNode(graph) for graph in request["default_graph"]]
    named: list[merge.Named] = [ox.NamedNode(graph) for graph in request["named_graphs"]]
    where, whole = _merged(store, default, named, request["merged"]) if len(default) > 1 else (store, default)
    result = where.query(
        request["query"],
        base_iri=request["base_iri"],
        default_graph=whole,
        named_graphs=named,
        substitutions={ox.Variable(name): _term(*term) for name, term in request["bindings"].items()},
    )
    output = cast("IO[bytes]", sink)
    if isinstance(result, ox.QueryTriples):
        graph_format = _format(ox.RdfFormat.from_media_type, sink.media_type, GRAPH_TYPES)
        typed = Typed(output) if graph_format == ox.RdfFormat.JSON_LD else None
        ox.serialize(counted(result, sink), cast("IO[bytes]", typed or output), graph_format, prefixes=request["prefixes"])
        if typed:
            typed.finish()
        return
    result_format = _format(ox.QueryResultsFormat.from_media_type, sink.media_type, rows.MEDIA_TYPES)
    if isinstance(result, ox.QuerySolutions):
        sink.count = rows.counter(sink.media_type)
    result.serialize(output, result_format)


def _merged(store: ox.Store, default: list[merge.Name], named: list[merge.Named], most: int) -> tuple[ox.Store, list[merge.Name]]:
    try:
        return merge.merged(store, default, named, most)
    except merge.TooLarge:
        detail = f"query_merged_triples: the default graphs of this query have triples in common, and with its named graphs more than {most} to merge"
        raise Refusal("query-too-complex", f"{detail}; ask one of them, and the others by GRAPH") from None


def _term(value: str, datatype: str) -> ox.NamedNode | ox.Literal:
    import pyoxigraph as ox

    return ox.Literal(value, datatype=ox.NamedNode(datatype)) if datatype else ox.NamedNode(value)


def _format(find: Callable[[str], F | None], media_type: str, offered: Collection[str]) -> F:
    if media_type not in offered or not (found := find(media_type)):
        raise Refusal("not-acceptable", f"this form of query is answered as one of {', '.join(offered)}; not as {media_type}")
    return found


def counted(triples: Iterable[ox.Triple], sink: Sink) -> Iterator[ox.Triple]:
    """The same triples, each counted; what the format cannot write is refused rather than written wrong."""
    check = {JSON_LD: _check_json_ld, RDF_XML: _check_rdf_xml}.get(sink.media_type)
    for number, triple in enumerate(triples, 1):
        sink.check_rows(number)
        if check:
            check(triple)
        yield triple


def _check_json_ld(triple: ox.Triple) -> None:
    if _has_triple_term(triple):
        raise Refusal("not-acceptable", "JSON-LD cannot write a triple term; ask for another format")


def _check_rdf_xml(triple: ox.Triple) -> None:
    if not xml.may_be_predicate(triple.predicate.value):
        raise Refusal("not-acceptable", "a predicate of this graph has no name in RDF/XML; ask for another format")
    if _has_triple_term(triple):
        _check_rdf_xml(cast("ox.Triple", triple.object))


def _has_triple_term(triple: ox.Triple) -> bool:
    import pyoxigraph as ox

    return isinstance(triple.object, ox.Triple)
