"""Rows counted in the bytes of a result, whatever the values hold and wherever the bytes are cut."""

from __future__ import annotations

import pyoxigraph as ox
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmar_node.store.rows import MEDIA_TYPES, counter

AWKWARD = ["", "x", '"', '""', "\\", '\\"', "a\r\nb", "},{", '},{"', "[{", "<result>", "&lt;result>", ",", '"\n"', "}\\", "é𐀀", ",{}", "[{}", '",{}', ':{', ',{"x":{', '[{"x":{"', ',{', "{}"]


def result(values: list[str | None], media_type: str) -> bytes:
    """A row for each value, whose second variable has none; None is a row without any."""
    rows = " ".join("(UNDEF UNDEF)" if value is None else f"({ox.Literal(value)} UNDEF)" for value in values)
    answer = ox.Store().query(f"SELECT ?a ?b {{ VALUES (?a ?b) {{ {rows} }} }}")
    return answer.serialize(format=ox.QueryResultsFormat.from_media_type(media_type))


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 8192])
def test_rows_are_exact_however_the_bytes_are_cut(media_type, size):
    data, take = result(AWKWARD, media_type), counter(media_type)

    counts = [take(data[at : at + size]) for at in range(0, len(data), size)]

    assert counts[-1] == len(AWKWARD)
    assert counts == sorted(counts)


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
@pytest.mark.parametrize("value", AWKWARD)
def test_one_row_is_one_whatever_it_holds(media_type, value):
    assert counter(media_type)(result([value], media_type)) == 1


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(MEDIA_TYPES), st.lists(st.none() | st.sampled_from(AWKWARD), max_size=12), st.lists(st.integers(0, 700), max_size=8))
def test_rows_are_exact_whatever_they_hold_and_wherever_they_are_cut(media_type, values, cuts):
    data, take = result(values, media_type), counter(media_type)

    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), None], strict=True):
        count = take(data[begin:end])

    assert count == len(values)


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_no_rows_are_none(media_type):
    assert counter(media_type)(result([], media_type)) == 0


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_rows_without_variables_count(media_type):
    data = ox.Store().query("SELECT * { {} UNION {} UNION {} }").serialize(format=ox.QueryResultsFormat.from_media_type(media_type))

    assert counter(media_type)(data) == 3
