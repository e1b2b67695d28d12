"""Rows counted in the bytes of a result, whatever the values hold and wherever the bytes are cut."""

from __future__ import annotations

import pyoxigraph as ox
import pytest

from fmar_node.store.rows import MEDIA_TYPES, counter

AWKWARD = ["", "x", '"', '""', "\\", '\\"', "a\r\nb", "},{", '},{"', "[{", "<result>", "&lt;result>", ",", '"\n"', "}\\", "é𐀀"]


def result(values: list[str], media_type: str) -> bytes:
    rows = " ".join(f"({ox.Literal(value)} UNDEF)" for value in values)
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


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_no_rows_are_none(media_type):
    assert counter(media_type)(result([], media_type)) == 0


@pytest.mark.parametrize("media_type", MEDIA_TYPES)
def test_rows_without_variables_count(media_type):
    data = ox.Store().query("SELECT * { {} UNION {} UNION {} }").serialize(format=ox.QueryResultsFormat.from_media_type(media_type))

    assert counter(media_type)(data) == 3
