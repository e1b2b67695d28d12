"""Generated queries, judged by the engine: the gate misses no SERVICE, refuses nothing else, changes no verdict.

The truth test: a query uses SERVICE when it parses, and no longer does once SERVICE is spelt SERVICX.
"""

from __future__ import annotations

import random

import pytest

from fmar_node.errors import FmarError
from fmar_node.settings import Settings
from fmar_node.store.gate import admit
from tests.store.test_gate import parses, uses_service

SETTINGS = Settings()
PROLOGUE = (
    "PREFIX ex: <http://ex/> PREFIX a: <http://127.0.0.1:9/> PREFIX : <http://127.0.0.1:9/#> PREFIX h: <http://h:8> "
    "PREFIX n: <http://[::1]> PREFIX serv: <urn:s:> BASE <http://127.0.0.1:9/> "
)
ODD_PROLOGUE = f"PREFIX \ufffdx: <http://127.0.0.1:9/> {PROLOGUE}"
SERVICES = ("SERVICE", "SERVICE ", "SERVICE SILENT ", "SERVICE SILENT", "SERVICE\n", "SERVICE #c\n", "SERVICE\t")
NAMES = ("<http://127.0.0.1:9/x>", "a:", "a:x", ":", "?v", "<x>", "serv:ice", "\ufffdx:y", "n:8x")
BEFORE = (
    *("", " ", "\n", ".", " . ", "?s ?p ?o .", "?s ?p ?o. ", "?s ?p ?o", "?s a", "?s a ex:a", "?s !a ?o", "?s ex:p/ex:q ?o", "?s ex:p? ?o", "?s <p>? ?o"),
    *("?s ?p 1", "?s ?p 1.", "?s ?p 1.5", "?s ?p 1e3", "?s ?p true", "?s ?p 'x'", "?s ?p 'x'@en", "?s ?p 'x'@en-", "?s ?p <o>", "?s ?p ()", "?s ?p []"),
    *("?s ?p ex:a.b.", "?s ?p ex:a.", "?s ?p ex:a.b", "?s ?p ex:", r"?s ?p ex:\#", "?s ?p h:", "?s ?p n:x:", "?s ?p _:a.b.", "?s ?p h:.", "?s ?p n:"),
    *("FILTER(1<2)", "FILTER(?a<?b)", "FILTER(?x <<a>)"),
    *("VALUES ?x { '''a' }", r"VALUES ?x { '''\uD800''' }", r"VALUES ?x { '\'' }", 'VALUES ?x { "a" }', "BIND(1 AS ?q)", "OPTIONAL {}", "{} UNION {}"),
    *("# c\n", "#'\n", "#<\n", "<< ?s ?p ?o >> ?q ?r .", "?s ?p ?o ~ ?r", "?s ?p ?o {| ?q ?r |}"),
)
GLUED = ("FILTER(ex:q<?b#c>'')", "FILTER(ex:q<?b#c>'''\n)", "FILTER(?x <<a'''>)", 'FILTER(?x<a"b)', "FILTER(1<1)?s<p>?o")
"""Here the engine may read less-than where the grammar has an IRI: such a query may fail in the end."""
AFTER = ("", " ", " . ", "?s ?p ?o", "#'''", "'''", "# \\uD800'''\n", "FILTER(1>2)", "FILTER('''>'''='')", "VALUES ?y { '''b''' }", '"""', "<y>")
NOISE = (*"<>'\"#\\{}().:;,?%@^|!~$ \n", "'''", '"""', "<<", ">>", "\\u0041", "\\uDC00", "é", "\ufff0", "·", "ex:", "1", "a", "true", "SERVICE")


def generated(rng: random.Random) -> str:
    """A query in which SERVICE stands in a doubtful place; half of them with a few characters disturbed."""
    service = rng.choice(SERVICES) + rng.choice(NAMES) + rng.choice(("{}", " {}", "\n{ ?x ?y ?z }"))
    pattern = "".join(rng.choice(BEFORE + GLUED) for _ in range(rng.randint(1, 2))) + service + rng.choice(AFTER)
    head = rng.choice(("SELECT * { ", "ASK {", "SELECT(1 AS ?one) WHERE {", "CONSTRUCT {} {"))
    text = head + pattern + rng.choice((" }", "\n}", " } #'''", "\n} LIMIT 1"))
    return rng.choice((PROLOGUE, PROLOGUE, ODD_PROLOGUE)) + (disturbed(rng, text) if rng.random() < 0.5 else text)


def disturbed(rng: random.Random, text: str) -> str:
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(NOISE) + text[at + rng.choice((0, 0, 1)) :]
    return text


def harmless(rng: random.Random) -> str:
    """A query that says SERVICE in names, strings, IRIs and comments alone."""
    words = ("ex:serviceArea", "'SERVICE'", "<http://x/SERVICE>", "?service", "_:service", "'''SERVICE <x> {}'''", "'x'@en", "1.5", "ex:a.service")
    body = " ".join(f"?s ex:p {rng.choice(words)} . #SERVICE\n" for _ in range(rng.randint(1, 4)))
    return f"PREFIX ex: <http://ex/> SELECT * {{ {body} {rng.choice(BEFORE)} }}"


def passed(text: str) -> str | None:
    """The text as the engine would get it; None when it is refused."""
    try:
        return admit(text, SETTINGS).text
    except FmarError:
        return None


@pytest.fixture(scope="module")
def queries() -> list[str]:
    rng = random.Random(20261122)
    return [generated(rng) for _ in range(2_000)]


def test_no_service_passes(queries):
    """B2: in thousands of generated queries."""
    using = [text for text in queries if uses_service(text)]

    missed = [text for text in using if (after := passed(text)) is not None and parses(after)]

    assert len(using) > 300
    assert missed == []


def test_what_passes_never_comes_to_use_service(queries):
    after = [text for text in map(passed, queries) if text is not None]

    assert len(after) > 20
    assert [text for text in after if uses_service(text)] == []


def test_nothing_else_is_refused():
    rng = random.Random(7)
    fine = [text for text in (harmless(rng) for _ in range(600)) if parses(text)]

    refused = [text for text in fine if (after := passed(text)) is None or not parses(after)]

    assert len(fine) > 300
    assert refused == []
