"""The writable graph: changes and index in one transaction, snapshots, what a killed process leaves."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pyoxigraph as ox
import pytest

from fmar_node.store.graph import LOADED, Change, Graph, vocabulary_triples
from fmar_node.store.snapshot import TEMPORARY, discard, is_there, sweep
from fmar_node.store.state import GRAPH
from tests.store.conftest import OURS, THEIRS, triple

AWKWARD = ['"', "\\", "a\nb\r\tc", "'''", "é𐀀\u2028", "} ; DROP ALL #", "\x01\x7f"]


@pytest.fixture
def empty(tmp_path: Path):
    graph = Graph(tmp_path / "store")
    yield graph
    if hasattr(graph, "store"):
        graph.close()


def test_empty_graph_holds_no_index(empty):
    assert (empty.applied, empty.views()) == (-1, [])


def test_changes_of_a_group_are_carried_out_in_order(empty):
    first, second = triple("a", "1"), triple("a", "2")

    empty.apply([Change(OURS, (), [first]), Change(THEIRS, (), [first]), Change(OURS, [first], [second])], 4)

    assert (set(empty.triples(OURS)), set(empty.triples(THEIRS)), empty.applied) == ({second}, {first}, 4)


def test_index_is_in_the_store_and_no_view(empty, tmp_path):
    empty.apply([Change(OURS, (), [triple("a", "1")])], 4)
    empty.apply([], 9)
    empty.close()

    again = Graph(tmp_path / "store")

    assert (again.applied, again.views()) == (9, [OURS])
    again.close()


def test_index_never_goes_back(empty):
    empty.apply([Change(OURS, (), [triple("a", "1")])], 4)

    with pytest.raises(ValueError, match="cannot go back"):
        empty.apply([Change(OURS, (), [triple("b", "1")])], 3)

    assert len(list(empty.triples(OURS))) == 1


def test_a_change_that_fails_leaves_nothing_of_its_group(empty):
    broken = ox.Triple(ox.BlankNode("b"), ox.NamedNode("http://p"), ox.Literal("x"))

    with pytest.raises(SyntaxError):
        empty.apply([Change(OURS, (), [triple("a", "1")]), Change(OURS, [broken], ())], 4)

    assert (list(empty.triples(OURS)), empty.applied) == ([], -1)


def test_values_arrive_as_they_are(empty):
    values = [triple(str(number), text) for number, text in enumerate(AWKWARD)]

    empty.apply([Change(OURS, (), values)], 1)

    assert set(empty.triples(OURS)) == set(values)
    assert empty.views() == [OURS]


def test_much_that_only_enters_is_loaded_and_is_what_an_update_makes_of_it(empty, tmp_path):
    values = [triple(str(number), f"{text}{number}") for number in range(LOADED // len(AWKWARD)) for text in AWKWARD]
    texts = [str(triple("text", text)) for text in AWKWARD]
    empty.apply([Change(OURS, (), [triple("a", "1")])], 3)

    empty.apply([Change(OURS, (), [triple("a", "1"), *values]), Change(THEIRS, (), texts)], 7)
    empty.apply([Change(OURS, [values[0]], ())], 8)
    empty.close()

    again = Graph(tmp_path / "store")
    assert set(again.triples(OURS)) == {triple("a", "1"), *values[1:]} and set(again.triples(THEIRS)) == {triple("text", text) for text in AWKWARD}
    assert again.applied == 8
    assert len(list(again.triples(GRAPH))) == 1
    again.close()


def test_what_is_deleted_in_vain_or_inserted_twice_has_no_effect(empty):
    empty.apply([Change(OURS, [triple("x", "0")], [triple("a", "1"), triple("a", "1")])], 1)
    empty.apply([Change(OURS, (), [triple("a", "1")])], 1)

    assert list(empty.triples(OURS)) == [triple("a", "1")]


def test_default_graph_stays_empty(empty):
    empty.apply([Change(OURS, (), [triple("a", "1")])], 1)
    empty.load(THEIRS, [triple("b", "1")])

    assert list(empty.store.quads_for_pattern(None, None, None, ox.DefaultGraph())) == []


def test_view_is_cleared_and_loaded_anew(empty):
    empty.apply([Change(OURS, (), [triple("a", "1")]), Change(THEIRS, (), [triple("a", "1")])], 1)

    empty.clear(OURS)
    empty.load(OURS, [triple("b", "2")])

    assert (list(empty.triples(OURS)), len(list(empty.triples(THEIRS))), empty.applied) == ([triple("b", "2")], 1, 1)


def test_snapshot_is_what_the_graph_was(empty, tmp_path):
    empty.apply([Change(OURS, (), [triple("a", "1")])], 1)
    empty.snapshot(tmp_path / "snapshots" / "1")
    empty.apply([Change(OURS, [triple("a", "1")], [triple("a", "2")])], 2)

    frozen = ox.Store.read_only(str(tmp_path / "snapshots" / "1"))

    assert {quad.triple for quad in frozen.quads_for_pattern(None, None, None, ox.NamedNode(OURS))} == {triple("a", "1")}


def test_a_view_that_is_made_anew_keeps_no_snapshot_waiting(empty, tmp_path):
    begun, may_end = threading.Event(), threading.Event()
    empty.apply([Change(OURS, (), [triple("a", "1")])], 1)

    def long():
        begun.set()
        assert may_end.wait(30)
        yield triple("b", "2")

    loading = threading.Thread(target=empty.load, args=(THEIRS, long()))
    loading.start()
    assert begun.wait(30)
    empty.snapshot(tmp_path / "snapshots" / "1")
    may_end.set()
    loading.join()

    frozen = ox.Store.read_only(str(tmp_path / "snapshots" / "1"))
    assert {name.value for name in frozen.named_graphs()} == {OURS, GRAPH}
    assert empty.views() == sorted((OURS, THEIRS))


def test_snapshot_is_never_made_over_another(empty, tmp_path):
    empty.snapshot(tmp_path / "snapshots" / "1")

    with pytest.raises(FileExistsError):
        empty.snapshot(tmp_path / "snapshots" / "1")


def test_snapshot_removes_what_was_left_half_made(empty, tmp_path):
    for name in ("1.tmp", "2.tmp.tmp"):
        (tmp_path / "snapshots" / name).mkdir(parents=True)

    empty.snapshot(tmp_path / "snapshots" / "3")

    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == ["3"]


def test_live_store_is_never_discarded(empty, tmp_path):
    with pytest.raises(ValueError, match="live store"):
        discard(tmp_path / "store")

    empty.apply([Change(OURS, (), [triple("a", "1")])], 1)
    assert empty.views() == [OURS]


def test_discarding_what_is_gone_is_no_error(tmp_path):
    discard(tmp_path / "nothing")
    sweep(tmp_path / "nothing", everything=True)

    assert not (tmp_path / "nothing").exists()


def test_store_has_one_owner(empty, tmp_path):
    with pytest.raises(OSError, match="LOCK"):
        Graph(tmp_path / "store")


def test_vocabulary_files_keep_their_blank_nodes_apart(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.ttl").write_text(f"_:x <http://p> '{name}' .")

    found = list(vocabulary_triples([tmp_path / "a.ttl", tmp_path / "b.ttl"]))

    assert len({each.subject for each in found}) == 2


WRITER = """
import sys
from pathlib import Path
import pyoxigraph as ox
from fmar_node.store.graph import Change, Graph
graph = Graph(Path(sys.argv[1]))
def at(index):
    return [ox.Triple(ox.NamedNode(f"http://a/{part}"), ox.NamedNode("http://p"), ox.Literal(str(index))) for part in range(50)]
index = graph.applied
print("open", flush=True)
while True:
    was, index = index, index + 1
    graph.apply([Change(view, at(was) if was >= 0 else (), at(index)) for view in ("http://v/1", "http://v/2", "http://v/3")], index)
"""


def test_killed_in_mid_write_the_graph_holds_what_its_index_says(tmp_path):
    reached = []
    for pause in (0.05, 0.11, 0.17):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "store")], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert writer.stdout.readline() == b"open\n"
        time.sleep(pause)
        writer.kill()
        writer.communicate()

        graph = Graph(tmp_path / "store")
        for view in graph.views():
            assert {(each.object.value) for each in graph.triples(view)} == {str(graph.applied)}
            assert len(list(graph.triples(view))) == 50
        reached.append((graph.applied, len(graph.views())))
        graph.close()

    assert reached == sorted(reached)
    assert reached[0][0] >= 0
    assert reached[-1][0] > reached[0][0]
    assert {views for _, views in reached} == {3}


LOADER = """
import sys
from pathlib import Path
import pyoxigraph as ox
from fmar_node.store.graph import LOADED, Change, Graph
graph = Graph(Path(sys.argv[1]))
print("open", flush=True)
while True:
    index = graph.applied + 1
    added = [ox.Triple(ox.NamedNode(f"http://a/{index}"), ox.NamedNode("http://p"), ox.Literal(str(part))) for part in range(LOADED)]
    graph.apply([Change(view, (), added) for view in ("http://v/1", "http://v/2")], index)
    print(index, flush=True)
"""


def test_killed_in_mid_load_the_graph_holds_what_its_index_says(tmp_path):
    reached = []
    for pause in (0.02, 0.06, 0.1):
        loader = subprocess.Popen([sys.executable, "-c", LOADER, str(tmp_path / "store")], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        assert loader.stdout.readline() == b"open\n"
        assert int(loader.stdout.readline()) >= 0
        time.sleep(pause)
        loader.kill()
        loader.communicate()

        graph = Graph(tmp_path / "store")
        for view in graph.views():
            held = Counter(each.subject.value for each in graph.triples(view))
            assert held == {f"http://a/{index}": LOADED for index in range(graph.applied + 1)}
        reached.append(graph.applied)
        graph.close()

    assert reached == sorted(set(reached))


def test_a_snapshot_is_there_until_its_last_byte_is_gone(tmp_path):
    snapshot = tmp_path / "one"
    snapshot.mkdir()
    assert is_there(snapshot)

    going = snapshot.rename(tmp_path / f"one{TEMPORARY}")
    assert is_there(snapshot)

    going.rmdir()
    assert not is_there(snapshot)
