"""Expanded JSON-LD: types under `@type`, the same graph, wherever the engine's output is cut."""

from __future__ import annotations

import io
import json

import pyoxigraph as ox
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmar_node.expanded import KEY, Typed, with_types

RDF_TYPE = ox.NamedNode("http://www.w3.org/1999/02/22-rdf-syntax-ns#type")
TEXTS = st.sampled_from(["x", KEY.decode(), '{"@id":"urn:T"}]', "}]", "\\", "\"", "\n"])
NODES = st.sampled_from([ox.NamedNode("urn:T"), ox.NamedNode("http://[::1]/t"), ox.NamedNode("urn:a"), ox.BlankNode("b")])
SUBJECTS = st.sampled_from([ox.NamedNode("urn:a"), ox.NamedNode("urn:b"), ox.BlankNode("b")])
TRIPLES = st.builds(ox.Triple, SUBJECTS, st.sampled_from([RDF_TYPE, ox.NamedNode("urn:p")]), NODES | TEXTS.map(ox.Literal))


@given(st.lists(TRIPLES, max_size=8), st.lists(st.integers(0, 900), max_size=6))
def test_the_graph_is_the_same_and_cuts_change_nothing(triples: list[ox.Triple], cuts: list[int]) -> None:
    data = ox.serialize(triples, format=ox.RdfFormat.JSON_LD)
    whole, out = with_types(data), io.BytesIO()

    typed = Typed(out)
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        typed.write(data[begin:end])
    typed.finish()

    assert out.getvalue() == whole
    dataset = ox.Dataset(ox.parse(whole, format=ox.RdfFormat.JSON_LD))
    expected = ox.Dataset(ox.Quad(*triple) for triple in triples)
    for each in (dataset, expected):
        each.canonicalize(ox.CanonicalizationAlgorithm.UNSTABLE)
    assert dataset == expected


@pytest.mark.parametrize("size", [1, 7, 64, 4_096])
def test_types_stand_under_their_keyword(size: int) -> None:
    nodes = [ox.Triple(ox.NamedNode(f"urn:{n}"), RDF_TYPE, ox.NamedNode(f"urn:T{each}")) for n in range(50) for each in range(2)]
    data, out = ox.serialize(nodes, format=ox.RdfFormat.JSON_LD), io.BytesIO()

    typed = Typed(out)
    for place in range(0, len(data), size):
        typed.write(data[place : place + size])
    typed.finish()

    assert json.loads(out.getvalue()) == [{"@id": f"urn:{n}", "@type": ["urn:T0", "urn:T1"]} for n in range(50)]
