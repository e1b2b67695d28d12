"""The dataset of a query: the caller's window, and never more than that, whatever the request or the query names."""

from __future__ import annotations

import pytest

from fmar_node.access.caller import Caller
from fmar_node.errors import Malformed, NotAcceptable
from fmar_node.query import Question, chosen, dataset
from fmar_node.store.gate import admit
from tests.market import BASE, SETTINGS

CALLER = Caller(organisation="0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", state="ACTIVE")
OWN, PUBLIC, CODES = f"{BASE}/views/{CALLER.organisation}", f"{BASE}/views/public", f"{BASE}/codes"
ALL = [OWN, PUBLIC, f"{BASE}/ontology", f"{BASE}/shapes", CODES]


def graphs(query: str, default: tuple[str, ...] = (), named: tuple[str, ...] = ()) -> tuple[list[str], list[str]]:
    question = Question(query, default_graphs=default, named_graphs=named)
    return dataset(question, admit(query, SETTINGS), CALLER, BASE)


def test_without_a_wish_it_is_the_callers_window() -> None:
    assert graphs("ASK { ?s ?p ?o }") == ([OWN], ALL)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"SELECT * FROM <{CODES}> {{ ?s ?p ?o }}", ([CODES], [])),
        (f"SELECT * FROM <{CODES}> FROM <{PUBLIC}> FROM NAMED <{OWN}> {{ ?s ?p ?o }}", ([CODES, PUBLIC], [OWN])),
        (f"PREFIX b: <{BASE}/> SELECT * FROM b:codes {{ ?s ?p ?o }}", ([CODES], [])),
        ("SELECT * FROM <codes> { ?s ?p ?o }", ([CODES], [])),
        (f"SELECT * FROM <{CODES}> FROM <codes> FROM NAMED <{OWN}> FROM NAMED <{OWN}> {{ ?s ?p ?o }}", ([CODES], [OWN])),
        (f"SELECT * FROM <{BASE}/c\\u006f\\U00000064es> {{ ?s ?p ?o }}", ([CODES], [])),
        (f"PREFIX v: <{BASE}/\\u0076iews/> SELECT * FROM v:{CALLER.organisation.replace('-', chr(92) + '-')} {{ ?s ?p ?o }}", ([OWN], [])),
        (f"BASE <{BASE}/views/> ASK FROM NAMED <public> {{ ?s ?p ?o }}", ([], [PUBLIC])),
        (f"SELECT * # FROM <{PUBLIC}>\n FROM <{CODES}> {{ ?s ?p 'FROM <{PUBLIC}>' }}", ([CODES], [])),
    ],
)
def test_from_narrows_the_window(query: str, expected: tuple[list[str], list[str]]) -> None:
    assert graphs(query) == expected


def test_graphs_of_the_request_are_resolved_as_those_of_the_query_and_counted_once() -> None:
    assert graphs("ASK {}", default=("codes", CODES), named=(PUBLIC, PUBLIC)) == ([CODES], [PUBLIC])


@pytest.mark.parametrize(("query", "default", "code"), [
    ("ASK {}", ("not an iri",), "malformed-request"), ("ASK {}", ("http://[",), "malformed-request"), ("ASK FROM <http://[> {}", (), "query-malformed"),
])  # fmt: skip
def test_a_graph_that_is_no_iri_is_refused_and_not_empty(query: str, default: tuple[str, ...], code: str) -> None:
    with pytest.raises(Malformed) as refused:
        graphs(query, default=default)
    assert refused.value.code == code


def test_from_opens_nothing_outside_the_window() -> None:
    foreign = f"{BASE}/views/operator"

    assert graphs(f"SELECT * FROM <{foreign}> FROM NAMED <{foreign}> {{ ?s ?p ?o }}") == ([], [])
    assert graphs("ASK { ?s ?p ?o }", default=(foreign,), named=(foreign,)) == ([], [])


def test_the_protocol_goes_before_the_query() -> None:
    assert graphs(f"SELECT * FROM <{PUBLIC}> {{ ?s ?p ?o }}", default=(CODES,)) == ([CODES], [])


@pytest.mark.parametrize(
    ("form", "accept", "expected"),
    [
        ("SELECT", None, "application/sparql-results+json"),
        ("ASK", ("text/turtle", "text/csv", "text/tab-separated-values"), "text/csv"),
        ("CONSTRUCT", ("text/csv", "application/ld+json", "text/turtle"), "application/ld+json"),
        ("DESCRIBE", None, "text/turtle"),
    ],
)
def test_the_format_is_the_clients_choice(form: str, accept: tuple[str, ...] | None, expected: str) -> None:
    assert chosen(form, accept) == expected


def test_a_format_that_does_not_fit_the_form_is_refused() -> None:
    with pytest.raises(NotAcceptable):
        chosen("SELECT", ("text/turtle",))
    with pytest.raises(NotAcceptable):
        chosen("SELECT", ())
