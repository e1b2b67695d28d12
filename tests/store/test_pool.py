"""Query workers on a real store on disk: answers, windows, deadlines, memory, network, snapshots, fairness."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pyoxigraph as ox
import pytest

from fmar_node.errors import FmarError, Malformed, NotAcceptable, TooLarge, TooMany, Unavailable
from fmar_node.settings import Settings
from fmar_node.store import rows, state
from fmar_node.store.crew import NICENESS, hire
from fmar_node.store.gate import admit
from fmar_node.store.graph import Change, Graph
from fmar_node.store.pool import Query, QueryPool
from fmar_node.store.reading import check_reading
from fmar_node.store.worker import GRAPH_TYPES
from fmar_node.store.xml import RDF, RESERVED, Characters
from tests.store.conftest import ASSETS, INDEX, OURS, PUBLIC, SHARED, THEIRS, ask, question, triple, until

COUNT = "SELECT (COUNT(*) AS ?n) { ?s ?p ?o }"
SLOW = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f }"
ENDLESS = "SELECT (COUNT(*) AS ?n) { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i . ?j ?k ?l }"
MEMORY = "SELECT * { ?a ?b ?c . ?d ?e ?f . ?g ?h ?i } ORDER BY ?c ?f ?i"
MANY = "SELECT ?c ?f { ?a ?b ?c . ?d ?e ?f }"
COUNTED = f"n\r\n{ASSETS}\r\n".encode()


async def refused(pool: QueryPool, text: str, **how) -> FmarError:
    with pytest.raises(FmarError) as caught:
        await ask(pool, text, **how)
    return caught.value


# answers


FORMATS = [
    ("SELECT ?o { <http://node/assets/ours-7> ?p ?o }", "application/sparql-results+json", b'"bindings":[{"o":{"type":"literal","value":"7"}}]'),
    ("SELECT ?o { <http://node/assets/ours-7> ?p ?o }", "application/sparql-results+xml", b"<literal>7</literal>"),
    ("SELECT ?o { <http://node/assets/ours-7> ?p ?o }", "text/csv", b"o\r\n7\r\n"),
    ("SELECT ?o { <http://node/assets/ours-7> ?p ?o }", "text/tab-separated-values", b'?o\n"7"\n'),
    ("ASK { ?s ?p '7' }", "application/sparql-results+json", b'"boolean":true'),
    ("ASK { ?s ?p 'x' }", "application/sparql-results+xml", b"<boolean>false</boolean>"),
    ("DESCRIBE <http://node/assets/ours-7>", "text/turtle", b'<http://node/assets/ours-7> <https://w3id.org/fmar/ns#capacity> "7" .'),
    ("CONSTRUCT { ?s <http://p> 1 } { ?s ?p '7' }", "application/n-triples", b'<http://node/assets/ours-7> <http://p> "1"^^'),
    ("CONSTRUCT { ?s ?p ?o } { ?s ?p ?o FILTER(?o = '7') }", "application/ld+json", b'"@id":"http://node/assets/ours-7"'),
    ("CONSTRUCT { ?s ?p ?o } { ?s ?p ?o FILTER(?o = '7') }", "application/rdf+xml", b'rdf:about="http://node/assets/ours-7"'),
]


@pytest.fixture(scope="module")
def answers(pooling) -> dict[tuple[str, str], tuple[str, int, bytes]]:
    """What one pool answers to the queries of FORMATS."""

    async def run():
        found = {}
        async with pooling() as pool:
            for text, media_type, _ in FORMATS:
                answer = await pool.run(question(text, media_type))
                found[text, media_type] = answer.media_type, answer.index, b"".join([chunk async for chunk in answer.chunks])
        return found

    return asyncio.run(run())


@pytest.mark.parametrize(("text", "media_type", "part"), FORMATS)
def test_answer_comes_in_every_format(answers, text, media_type, part):
    said, index, body = answers[text, media_type]

    assert (said, index) == (media_type, INDEX)
    assert part in body


def test_format_of_the_other_kind_is_not_acceptable(pooling):
    async def run():
        async with pooling() as pool:
            return await refused(pool, "ASK {}", media_type="text/turtle"), await refused(pool, "DESCRIBE <http://x>", media_type="text/csv")

    assert [type(error) for error in asyncio.run(run())] == [NotAcceptable, NotAcceptable]


RDF_XML, XML, JSON_LD = "application/rdf+xml", "application/sparql-results+xml", "application/ld+json"
UNWRITABLE = [
    ("CONSTRUCT { ?s <http://p/9> ?o } { ?s ?p ?o }", RDF_XML),
    *((f"CONSTRUCT {{ <x:s> <{iri}> 1 }} {{}}", RDF_XML) for iri in (*sorted(RESERVED), "http://www.w3.org/2000/xmlns/a", "http://p/x\u00b2")),
    (f"CONSTRUCT {{ <x:s> <x:p> <<( <x:s> <{RDF}li> 1 )>> }} {{}}", RDF_XML),
    ("CONSTRUCT { <x:s> <x:p> <<( <x:s> <x:p> 1 )>> } {}", JSON_LD),
    *((text % escape, media_type) for escape in ("\\u0001", "\\u0000", "\\uFFFE", "\\uFFFF") for text, media_type in
      (("CONSTRUCT { <x:s> <x:p> 'a%sb' } {}", RDF_XML), ("SELECT ('a%sb' AS ?x) {}", XML))),
]  # fmt: skip


def test_what_a_format_cannot_write_is_refused_not_written_wrong_and_costs_no_worker(pooling):
    async def run():
        async with pooling() as pool:
            codes = {(text, media_type): (await refused(pool, text, media_type=media_type)).code for text, media_type in UNWRITABLE}
            return codes, pool.status().outcomes

    codes, outcomes = asyncio.run(run())

    assert set(codes.values()) == {"not-acceptable"}
    assert outcomes == {"refused": len(UNWRITABLE)}


def test_a_carriage_return_is_read_back_from_xml(pooling):
    value = "'a\\r\\nb\\r'"

    async def run():
        async with pooling() as pool:
            return await ask(pool, f"SELECT ({value} AS ?x) {{}}", XML), await ask(pool, f"CONSTRUCT {{ <x:s> <x:p> {value} }} {{}}", RDF_XML)

    said, written = asyncio.run(run())

    assert ElementTree.fromstring(said)[1][0][0][0].text == "a\r\nb\r"
    assert ElementTree.fromstring(written)[0][0].text == "a\r\nb\r"


@pytest.mark.parametrize("cut", [1, 2])
def test_a_character_that_xml_has_not_is_found_wherever_the_bytes_are_cut(cut):
    data, passing = "a\uffff".encode(), Characters()

    with pytest.raises(ValueError, match="XML"):
        [passing.take(data[at : at + cut]) for at in range(0, len(data), cut)]


def test_malformed_query_gets_the_engines_place_and_words(pooling):
    async def run():
        async with pooling() as pool:
            return await refused(pool, "SELECT *\n{ ?s ?p x:y }")

    error = asyncio.run(run())

    assert isinstance(error, Malformed)
    assert (error.code, error.detail) == ("query-malformed", "near line 2, column 12: Prefix not found")


@pytest.mark.parametrize(("text", "detail"), [
    ("SELECT *\n{ <a> <b> ?o . <c> ?p }", "near line 2, column 23: unexpected '}'"),
    ("ASK { ?s <http://[> 1 }", "near line 1, column 20: IRI parsing failed"),
    ("ASK { ?s ?p ?o", "near line 1, column 15: a bracket is not closed"),
    ("SELECT ?x { ?x ?y }", "near line 1, column 20: the query ends here, and something before is incomplete or too much"),
])  # fmt: skip
def test_a_place_is_that_of_the_query_as_it_was_sent_with_a_reason(text, detail):
    with pytest.raises(ValueError, match=f"^{re.escape(detail)}$"):
        check_reading(admit(text, Settings()).text)


def test_unknown_function_is_refused_and_costs_no_worker(pooling):
    async def run():
        async with pooling() as pool:
            error = await refused(pool, "SELECT (<http://x/f>(1) AS ?y) {}")
            return error, pool.status().outcomes

    error, outcomes = asyncio.run(run())

    assert (type(error), error.code, outcomes) == (Malformed, "query-failed", {"refused": 1})


# the window

WINDOW = {
    "every triple of the default graph": ("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }", COUNTED),
    "FROM another view": (f"SELECT (COUNT(*) AS ?n) FROM <{THEIRS}> {{ ?s ?p ?o }}", COUNTED),
    "FROM NAMED another view": (f"SELECT (COUNT(*) AS ?n) FROM NAMED <{THEIRS}> {{ GRAPH <{THEIRS}> {{ ?s ?p ?o }} }}", b"n\r\n0\r\n"),
    "GRAPH another view": (f"ASK {{ GRAPH <{THEIRS}> {{ ?s ?p ?o }} }}", b"false"),
    "GRAPH the state": (f"ASK {{ GRAPH <{state.GRAPH}> {{ ?s ?p ?o }} }}", b"false"),
    "all named graphs": ("SELECT DISTINCT ?g { GRAPH ?g { ?s ?p ?o } } ORDER BY ?g", f"g\r\n{OURS}\r\n{PUBLIC}\r\n".encode()),
    "all graphs without a pattern": ("SELECT (COUNT(*) AS ?n) { GRAPH ?g {} }", b"n\r\n2\r\n"),
    "a value of another view": ("ASK { { ?s ?p 'secret' } UNION { GRAPH ?g { ?s ?p 'secret' } } }", b"false"),
    "EXISTS in another view": (f"ASK {{ FILTER EXISTS {{ GRAPH <{THEIRS}> {{ ?s ?p ?o }} }} }}", b"false"),
    "a path into another view": ("ASK { <http://node/assets/theirs-1> <https://w3id.org/fmar/ns#capacity>* 'secret' }", b"false"),
    "DESCRIBE a record of another view": ("DESCRIBE <http://node/assets/theirs-1>", b""),
    "CONSTRUCT from another view": (f"CONSTRUCT {{ ?s ?p ?o }} FROM <{THEIRS}> {{ GRAPH <{THEIRS}> {{ ?s ?p ?o }} }}", b""),
    "the public view by its name": (f"SELECT ?o {{ GRAPH <{PUBLIC}> {{ ?s ?p ?o }} }}", b"o\r\nopen\r\n"),
}


def test_no_query_sees_anything_outside_its_two_datasets(pooling):
    def media_type(text: str) -> str:
        return "application/n-triples" if text.startswith(("DESCRIBE", "CONSTRUCT")) else "text/csv"

    async def run():
        async with pooling() as pool:
            return {name: await ask(pool, text, media_type(text)) for name, (text, _) in WINDOW.items()}

    assert asyncio.run(run()) == {name: expected for name, (_, expected) in WINDOW.items()}


# several default graphs


def between(text: str, *default: str) -> Query:
    """A query over these default graphs, that may name what is public."""
    return replace(question(text), default_graph=default, named_graphs=(PUBLIC, SHARED))


MERGED = {
    "graphs that share a triple": ("SELECT (COUNT(*) AS ?n) { ?s ?p ?o . ?s ?p ?same }", (PUBLIC, SHARED), b"n\r\n2\r\n"),
    "and one that does not": ("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }", (SHARED, OURS, PUBLIC), f"n\r\n{ASSETS + 2}\r\n".encode()),
    "graphs that share none": ("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }", (OURS, PUBLIC), f"n\r\n{ASSETS + 1}\r\n".encode()),
    "and named graphs beside them": ("SELECT (COUNT(*) AS ?n) { ?s ?p ?o GRAPH ?g { ?s ?p ?o } }", (PUBLIC, SHARED), b"n\r\n3\r\n"),
    "no named graph that is not asked": (f"ASK {{ GRAPH <{OURS}> {{ ?s ?p ?o }} }}", (PUBLIC, SHARED), b"false"),
}


def test_several_default_graphs_are_merged(pooling):
    """A triple that two graphs have is there once, however many patterns of the query meet it."""
    async def run():
        async with pooling() as pool:
            return {name: b"".join([chunk async for chunk in (await pool.run(between(text, *default))).chunks]) for name, (text, default, _) in MERGED.items()}

    assert asyncio.run(run()) == {name: expected for name, (*_, expected) in MERGED.items()}


def test_what_is_too_much_to_merge_is_refused_and_what_needs_no_merge_is_not(pooling):
    async def run():
        async with pooling(query_merged_triples=5) as pool:
            with pytest.raises(TooLarge) as caught:
                await pool.run(between("ASK {}", OURS, PUBLIC, SHARED))
            answer = await pool.run(between("SELECT (COUNT(*) AS ?n) { ?s ?p ?o }", OURS, PUBLIC))
            return caught.value, b"".join([chunk async for chunk in answer.chunks])

    error, body = asyncio.run(run())

    assert (error.code, error.detail.split(":")[0]) == ("query-too-complex", "query_merged_triples")
    assert body == MERGED["graphs that share none"][2]


# what goes wrong stays with the one who asked


def test_deadline_kills_and_the_next_query_is_answered(pooling):
    """B3: a query that does not end is ended."""
    async def run():
        async with pooling() as pool:
            loop = asyncio.get_running_loop()
            started = loop.time()
            error = await refused(pool, ENDLESS, seconds=0.3)
            taken = loop.time() - started
            return error, taken, await ask(pool, COUNT), pool.status().outcomes

    error, taken, body, outcomes = asyncio.run(run())

    assert (type(error), error.code, body) == (Unavailable, "query-timeout", COUNTED)
    assert 0.3 <= taken < 1.0
    assert outcomes == {"timeout": 1, "answered": 1}


def test_memory_bomb_aborts_its_worker_alone(pooling):
    """B3: one that eats memory ends its worker."""
    async def run():
        async with pooling(worker_memory_bytes=256 * 2**20) as pool:
            return await refused(pool, MEMORY, seconds=20), await ask(pool, COUNT)

    error, body = asyncio.run(run())

    assert (type(error), error.code, body) == (Unavailable, "query-out-of-memory", COUNTED)


def test_crash_of_the_parser_is_a_refusal(pooling):
    async def run():
        async with pooling() as pool:
            return await refused(pool, "ASK " + "{" * 30_000 + "}" * 30_000), await ask(pool, COUNT), pool.status().outcomes

    error, body, outcomes = asyncio.run(run())

    assert (type(error), error.code, body) == (Unavailable, "query-failed", COUNTED)
    assert outcomes == {"crashed": 1, "answered": 1}


AT_THE_CAPS = [
    "ASK " + "{" * 64 + "}" * 64,
    "ASK { FILTER" + "(" * 63 + "1" + ")" * 63 + " }",
    "ASK { FILTER(" + "!" * 999 + "1) }",
    "ASK { FILTER(1" + "||1" * 999 + ") }",
    "ASK { FILTER(1" + "+1" * 998 + " = 1000) }",
    "ASK { {}" + " UNION {}" * 1_000 + " }",
    "ASK { " + "MINUS { ?s ?p ?o } " * 1_000 + " }",
    "ASK { ?s " + "<http://p>/" * 999 + "<http://p> ?o }",
    "ASK { ?s ?p " + "[ ?p " * 63 + "1" + " ]" * 63 + " }",
    "ASK { " + "<< " * 60 + "?s ?p ?o" + " >> ?p ?o" * 60 + " }",
]


def test_what_the_gate_admits_at_its_caps_does_not_crash_the_engine(pooling):
    """B5: the caps lie below what overflows."""
    async def run():
        async with pooling() as pool:
            for text in AT_THE_CAPS:
                with suppress(Unavailable):  # planning may be slow, but nothing overflows
                    await ask(pool, admit(text, pool.settings).text, seconds=0.3)
            return pool.status().outcomes

    outcomes = asyncio.run(run())

    assert sum(outcomes.values()) == len(AT_THE_CAPS)
    assert set(outcomes) <= {"answered", "timeout"}
    assert outcomes["answered"] >= 5


def test_idle_worker_that_dies_is_replaced(pooling):
    async def run():
        async with pooling() as pool:
            await until(lambda: len(pool.crew.idle) == 2)
            victims = [worker.child.pid for worker in pool.crew.idle]
            for pid in victims:
                os.kill(pid, signal.SIGSEGV)
            await until(lambda: len(pool.crew.idle) == 2 and not {worker.child.pid for worker in pool.crew.idle} & set(victims))
            return await ask(pool, COUNT)

    assert asyncio.run(run()) == COUNTED


# no network


@pytest.fixture
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A loopback listener that notes every connection."""
    hits: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                hits.append(connection.recv(100))
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/sparql", hits
        server.shutdown(socket.SHUT_RDWR)


def test_service_reaches_the_network_from_a_process_that_is_not_locked(listener):
    address, hits = listener

    with pytest.raises(OSError):
        list(ox.Store().query(f"SELECT * {{ SERVICE <{address}> {{ ?s ?p ?o }} }}"))

    assert len(hits) == 1


def test_service_behind_the_gate_reaches_nothing(pooling, listener):
    """B2: a listener hears nothing from a worker that is locked in."""
    address, hits = listener

    async def run():
        async with pooling() as pool:
            plain = await refused(pool, f"SELECT * {{ SERVICE <{address}> {{ ?s ?p ?o }} }}")
            named = await refused(pool, f"SELECT * {{ VALUES ?there {{ <{address}> }} SERVICE ?there {{ ?s ?p ?o }} }}")
            silent = await ask(pool, f"SELECT * {{ SERVICE SILENT <{address}> {{ ?s ?p ?o }} }}")
            return plain.code, named.code, silent, await ask(pool, COUNT)

    assert asyncio.run(run()) == ("query-failed", "query-failed", b"o,p,s\r\n,,\r\n", COUNTED)
    assert hits == []


def test_load_is_not_even_parsed_by_a_worker(pooling, listener):
    """B2: nor by LOAD."""
    address, hits = listener

    async def run():
        async with pooling() as pool:
            return await refused(pool, f"LOAD <{address}>")

    assert asyncio.run(run()).code == "query-malformed"
    assert hits == []


WITHOUT_SECCOMP = """
import asyncio, ctypes, struct, sys
from fmar_node.errors import FmarError
from fmar_node.settings import Settings
from fmar_node.store import sandbox
from fmar_node.store.pool import Query, QueryPool
from fmar_node.store.worker import GRAPH_TYPES
machine = sandbox.MACHINES[__import__("os").uname().machine]
steps = ((0x20, 0, 0, 0), (0x15, 0, 1, machine.seccomp), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000))
code = b"".join(struct.pack("=HBBI", *step) for step in steps)
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(sandbox.Program(len(steps), code))) == 0
async def run():
    pool = QueryPool(Settings(require_sandbox=sys.argv[1] == "required"))
    try:
        await pool.start()
        print("started", pool.is_locked)
    except FmarError as error:
        print(error.code)
    finally:
        await pool.close()
asyncio.run(run())
"""


@pytest.mark.parametrize(("setting", "said"), [("required", "sandbox-missing"), ("waived", "started False")])
def test_machine_that_cannot_lock_a_worker_in_is_told_at_the_start(setting, said):
    done = subprocess.run([sys.executable, "-c", WITHOUT_SECCOMP, setting], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])

    assert done.stdout.strip() == said


# snapshots


def test_running_query_keeps_its_snapshot_while_others_have_the_new_one(tmp_path):
    live = Graph(tmp_path / "store")
    live.apply([Change(OURS, (), [triple(str(number), "1") for number in range(2_500)])], 1)
    live.snapshot(old := tmp_path / "snapshots" / "1")

    async def run():
        pool = QueryPool(Settings())
        await pool.start()
        await pool.use(old)
        await until(lambda: pool.index == 1)
        slow = asyncio.create_task(pool.run(question(SLOW, seconds=30)))
        await until(lambda: pool.status().running == 1)
        live.apply([Change(OURS, (), [triple("new", "1")])], 2)
        live.snapshot(new := tmp_path / "snapshots" / "2")
        await pool.use(new)
        await until(lambda: pool.index == 2)
        fresh = await ask(pool, COUNT, organisation="other")
        seen = slow.done(), old.exists()
        answer = await slow
        body = b"".join([chunk async for chunk in answer.chunks])
        await until(lambda: not old.exists())
        await pool.close()
        return seen, fresh, answer.index, body, new.exists()

    seen, fresh, index, body, is_left = asyncio.run(run())
    live.close()

    assert seen == (False, True)
    assert (fresh, index, body) == (b"n\r\n2501\r\n", 1, f"n\r\n{2_500**2}\r\n".encode())
    assert not is_left


def test_snapshot_that_was_overtaken_is_removed_unread(pooling, snapshot):
    async def run():
        async with pooling() as pool:
            overtaken, last = snapshot(), snapshot()
            await pool.use(overtaken)
            await pool.use(last)
            await until(lambda: pool.status().snapshot == last.name and not overtaken.exists())
            return await ask(pool, COUNT)

    assert asyncio.run(run()) == COUNTED


def test_snapshot_that_cannot_be_read_changes_nothing(pooling, snapshot, tmp_path):
    async def run():
        async with pooling() as pool:
            (broken := tmp_path / "broken").mkdir()
            await pool.use(broken)
            await asyncio.sleep(0.3)
            before = await ask(pool, COUNT)
            await pool.use(good := snapshot())
            await until(lambda: pool.status().snapshot == good.name and not broken.exists())
            return before, await ask(pool, COUNT)

    assert asyncio.run(run()) == (COUNTED, COUNTED)


def test_without_a_snapshot_the_caller_is_told_to_come_back(tmp_path):
    async def run():
        pool = QueryPool(Settings(query_queue_seconds=0.1))
        await pool.start()
        try:
            return await refused(pool, COUNT), pool.index, pool.status().is_ready
        finally:
            await pool.close()

    error, index, is_ready = asyncio.run(run())

    assert (error.code, error.headers, index, is_ready) == ("unavailable", {"Retry-After": "1"}, -1, False)


def test_closing_ends_running_queries_and_every_process(snapshot):
    async def run():
        pool = QueryPool(Settings())
        await pool.start()
        await pool.use(directory := snapshot())
        await until(lambda: pool.index == INDEX)
        running = asyncio.create_task(pool.run(question(ENDLESS)))
        await until(lambda: pool.status().running == 1)
        pids = [worker.child.pid for worker in pool.crew.members]
        await pool.close()
        return await asyncio.gather(running, return_exceptions=True), pids, directory.exists()

    (error,), pids, is_left = asyncio.run(run())

    assert isinstance(error, Unavailable)
    assert not is_left
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


# large results


def test_large_result_comes_in_pieces_and_whole(pooling):
    async def run():
        async with pooling() as pool:
            answer = await pool.run(question(MANY, "application/sparql-results+json"))
            return [len(chunk) async for chunk in answer.chunks], pool.status().outcomes

    sizes, outcomes = asyncio.run(run())

    assert outcomes == {"answered": 1}
    assert len(sizes) > 10
    assert max(sizes) < 300_000


def test_worker_holds_a_piece_of_the_result_not_all_of_it(pooling):
    async def run():
        async with pooling() as pool:
            answer = await pool.run(question("SELECT ?a ?c ?d ?f { ?a ?b ?c . ?d ?e ?f }", "application/sparql-results+xml"))
            size = sum([len(chunk) async for chunk in answer.chunks])
            status = Path(f"/proc/{answer.chunks.worker.child.pid}/status").read_text()
            peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
            return size, peak

    size, peak = asyncio.run(run())

    assert size > 70 * 2**20
    assert peak < 60 * 2**20


ROWS = ("SELECT ?s ?o { ?s ?p ?o }", "SELECT ?s ?o { { ?s ?p ?o } UNION { BIND(1 AS ?s) } }")
TRIPLES = (
    "CONSTRUCT { ?s ?p ?o } { ?s ?p ?o }",
    "CONSTRUCT { ?s ?p ?o } { { ?s ?p ?o } UNION { BIND(<http://s> AS ?s) BIND(<http://p> AS ?p) BIND(1 AS ?o) } }",
)


@pytest.mark.parametrize(("queries", "media_types"), [(ROWS, rows.MEDIA_TYPES), (TRIPLES, GRAPH_TYPES)])
def test_row_cap_admits_its_number_and_no_more(pooling, queries, media_types):
    """B15: to the row."""
    async def run():
        async with pooling(query_rows=ASSETS) as pool:
            return [(len(await ask(pool, queries[0], each)), await refused(pool, queries[1], media_type=each)) for each in media_types]

    for size, error in asyncio.run(run()):
        assert size > 5_000
        assert (type(error), error.code, error.detail) == (TooLarge, "query-too-many-rows", f"the result has more than {ASSETS} rows")


def test_result_that_fails_on_its_way_is_never_taken_for_whole(pooling):
    async def run():
        async with pooling(query_result_bytes=1_000_000) as pool:
            answer = await pool.run(question(MANY))
            received = 0
            with pytest.raises(TooLarge) as caught:
                async for chunk in answer.chunks:
                    received += len(chunk)
            return caught.value, received, await ask(pool, COUNT)

    error, received, body = asyncio.run(run())

    assert (error.code, error.detail, body) == ("query-too-many-rows", "the result has more than 1000000 bytes", COUNTED)
    assert 0 < received <= 1_000_000


def test_worker_that_is_killed_on_the_way_breaks_the_answer_off(pooling):
    async def run():
        async with pooling() as pool:
            answer = await pool.run(question(MANY, "application/sparql-results+xml"))
            os.kill(answer.chunks.worker.child.pid, signal.SIGSEGV)
            return [chunk async for chunk in answer.chunks]

    with pytest.raises(Unavailable, match="query-failed"):
        asyncio.run(run())


# clients


def test_slow_client_is_not_cut_off_by_the_run_time(pooling):
    async def run():
        async with pooling() as pool:
            answer = await pool.run(question(MANY, seconds=1))
            chunks = answer.chunks
            first = await anext(chunks)
            await asyncio.sleep(1.1)
            return first + b"".join([chunk async for chunk in chunks])

    assert asyncio.run(run()).count(b"\n") == ASSETS**2 + 1


def test_client_that_never_takes_its_result_loses_it(pooling):
    async def run():
        async with pooling(query_delivery_seconds=0.5) as pool:
            answer = await pool.run(question(MANY))
            await until(lambda: pool.status().running == 0)
            with pytest.raises(Unavailable, match="not taken"):
                [chunk async for chunk in answer.chunks]
            return pool.status().outcomes

    assert asyncio.run(run()) == {"overdue": 1}


def test_client_that_goes_away_frees_its_worker_at_once(pooling):
    async def run():
        async with pooling() as pool:
            task = asyncio.create_task(pool.run(question(ENDLESS)))
            await until(lambda: pool.status().running == 1)
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])
            return pool.status().running, pool.status().outcomes, await ask(pool, COUNT)

    assert asyncio.run(run()) == (0, {"client-gone": 1}, COUNTED)


@pytest.mark.parametrize("how", ["closed", "forgotten"])
def test_answer_that_is_dropped_frees_its_worker(pooling, how):
    async def run():
        async with pooling() as pool:
            answer = await pool.run(question(MANY))
            await anext(answer.chunks)
            if how == "closed":
                await answer.close()
            del answer
            gc.collect()
            await until(lambda: pool.status().running == 0, seconds=2)
            return pool.status().outcomes, await ask(pool, COUNT)

    assert asyncio.run(run()) == ({"client-gone": 1}, COUNTED)


def test_client_that_goes_away_in_the_queue_leaves_no_trace(pooling):
    async def run():
        async with pooling() as pool:
            first = asyncio.create_task(pool.run(question(ENDLESS)))
            second = asyncio.create_task(pool.run(question(COUNT)))
            await until(lambda: (pool.status().running, pool.status().waiting) == (1, 1))
            second.cancel()
            await asyncio.wait([second])
            waiting = pool.status().waiting
            first.cancel()
            await asyncio.wait([first])
            return waiting, await ask(pool, COUNT)

    assert asyncio.run(run()) == (0, COUNTED)


# fairness


def test_fifty_queries_of_one_organisation_do_not_hold_up_another(pooling):
    async def run():
        order: list[str] = []

        async def one(pool: QueryPool, name: str) -> None:
            assert await ask(pool, COUNT, organisation=name) == COUNTED
            order.append(name)

        async with pooling(query_workers=1, query_queue_per_organisation=50, query_queue_seconds=30) as pool:
            crowd = [asyncio.create_task(one(pool, "crowd")) for _ in range(50)]
            await until(lambda: pool.status().running == 1)
            before = len(order)
            await one(pool, "other")
            await asyncio.gather(*crowd)
        return order, before

    order, before = asyncio.run(run())

    assert (len(order), order.count("crowd")) == (51, 50)
    assert order.index("other") - before <= 2


def test_an_organisation_runs_one_query_at_once_and_others_run_beside_it(pooling):
    async def run():
        async with pooling(query_workers=3) as pool:
            tasks = [asyncio.create_task(pool.run(question(ENDLESS, organisation=name))) for name in ("a", "a", "a", "b")]
            await until(lambda: pool.status().running == 2)
            await asyncio.sleep(0.1)
            seen = pool.status().running, pool.status().waiting
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            return seen

    assert asyncio.run(run()) == (2, 2)


def test_as_many_endless_queries_as_workers_do_not_hold_up_a_light_one(pooling):
    async def run():
        async with pooling(query_workers=2, query_heavy=2) as pool:
            tasks = [asyncio.create_task(pool.run(question(ENDLESS, organisation=name))) for name in ("a", "b")]
            await until(lambda: pool.status().running == 2)
            answered = await ask(pool, COUNT, organisation="c")
            still = pool.status().running
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            return answered, still

    assert asyncio.run(run()) == (COUNTED, 2)


def test_who_waits_too_long_is_told_when_to_come_back(pooling):
    async def run():
        async with pooling(query_workers=1, query_heavy=0, query_queue_seconds=0.2) as pool:
            endless = asyncio.create_task(pool.run(question(ENDLESS)))
            await until(lambda: pool.status().running == 1)
            errors = [await refused(pool, COUNT, organisation=name) for name in ("ours", "theirs")]
            endless.cancel()
            await asyncio.wait([endless])
            return errors

    own, other = asyncio.run(run())

    assert (type(own), own.code, own.headers) == (TooMany, "too-many-requests", {"Retry-After": "1"})
    assert "query_per_organisation" in own.detail
    assert other.detail == "no worker became free within 0.2 seconds (query_queue_seconds)"


def test_status_says_how_it_stands(pooling):
    async def run():
        async with pooling() as pool:
            await ask(pool, COUNT)
            await until(lambda: len(pool.crew.idle) == 2)
            return pool.status(), pool.crew.snapshot.name

    status, name = asyncio.run(run())

    assert (status.workers, status.running, status.waiting, status.index, status.is_locked) == (2, 0, 0, INDEX, True)
    assert (status.is_ready, status.snapshot, status.outcomes) == (True, name, {"answered": 1})


def test_worker_of_no_snapshot_only_says_whether_it_is_locked():
    async def run():
        child, said = await hire(Settings(), None)
        await child.stop()
        return said

    assert asyncio.run(run()) == {"ready": False, "index": -1, "locked": True}


# giving way


@pytest.mark.parametrize("may_be_raised", [True, False])
def test_a_query_that_takes_long_gives_way_and_the_next_is_as_quick_as_any(pooling, monkeypatch, may_be_raised):
    """Where a priority cannot be raised again, the worker is replaced."""
    if may_be_raised and os.geteuid() != 0:
        pytest.skip("this user may not raise a priority again")
    setting = os.setpriority

    def unprivileged(which: int, who: int, niceness: int) -> None:
        if niceness < os.getpriority(which, who):
            raise PermissionError
        setting(which, who, niceness)

    if not may_be_raised:
        monkeypatch.setattr(os, "setpriority", unprivileged)

    def priority(pid: int) -> int | None:
        try:
            return os.getpriority(os.PRIO_PROCESS, pid)
        except ProcessLookupError:  # it is being replaced
            return None

    async def run():
        async with pooling(query_seconds=60.0) as pool:
            await until(lambda: len(pool.status().pids) == 2)
            before, own = set(pool.status().pids), os.getpriority(os.PRIO_PROCESS, 0)
            work = asyncio.create_task(ask(pool, "SELECT (COUNT(*) AS ?n) { VALUES ?x { 0 1 2 3 4 5 6 7 8 9 } ?a ?b ?c . ?d ?e ?f }"))
            await until(lambda: any(priority(pid) == own + NICENESS for pid in before))
            await work
            await until(lambda: len(pool.status().pids) == 2 and all(priority(pid) == own for pid in pool.status().pids))
            return before, set(pool.status().pids)

    before, after = asyncio.run(run())

    assert (before == after) is may_be_raised
