"""Documents from a die, read and judged: a judgement or a refusal in the node's own words, in bounded time, whatever they are.

A million of them, which takes about half an hour: make test ARGS="-n 0 -m campaign tests/fuzz/test_documents.py"
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import date

import pytest

from fmar_node.cim.table import MEANT
from fmar_node.errors import PROBLEMS, Fault, FmarError
from fmar_node.jsonld import read
from fmar_node.judge import Paper, judge
from fmar_node.kinds import KINDS
from fmar_node.web.problems import problem_bytes
from tests.fuzz.documents import Grower
from tests.market import BASE, SETTINGS, shapes, vocabulary

ID = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
SECONDS = 2.0
"""No document takes longer than this to be read and judged."""
MAKERS: dict[str, Callable[[Grower], bytes]] = {
    "application/ld+json": Grower.json, "application/json": Grower.json, "text/turtle": Grower.turtle, "application/n-triples": Grower.n_triples, "application/rdf+xml": Grower.rdf_xml, f"application/ld+json{MEANT}": Grower.cim,
}  # fmt: skip


def refusal_of(media_type: str, body: bytes, kind: str, is_judged: bool) -> tuple[str, tuple[Fault, ...]]:
    """What becomes of a document: the code of its refusal, if any, and its faults."""
    paper = Paper(kind, "register", f"{BASE}/{kind}/{ID}", media_type, body, date(2026, 11, 22))
    try:
        if is_judged:
            return "", tuple(judge(paper, vocabulary(), shapes(), SETTINGS).faults)
        reading = read(body, media_type, KINDS[kind].class_name, paper.iri, vocabulary(), SETTINGS)
        return "", tuple(reading.faults)
    except FmarError as error:
        problem_bytes(error, BASE, f"/{kind}", KINDS[kind].name)
        return error.code, error.faults


def survey(seed: int, count: int, judged_of: int) -> Counter[str]:
    """So many documents; every `judged_of`-th, and those of CIM, are judged by the shapes too. Their refusals, counted."""
    grower, told = Grower(seed), Counter[str]()
    for number in range(count):
        media_type = list(MAKERS)[number % len(MAKERS)]
        body = MAKERS[media_type](grower)
        kind = "organisations" if number % 5 == 0 else "assets"
        began = time.process_time()
        try:
            code, faults = refusal_of(media_type, body, kind, number % judged_of == 0 or media_type.endswith(MEANT))
        except Exception as error:
            raise AssertionError(f"document {number} of seed {seed}, {media_type} as one of {kind}: {body[:2_000]!r}") from error
        assert time.process_time() - began < SECONDS, body[:500]
        assert code == "" or code in PROBLEMS
        assert all(fault.pointer == "" or fault.pointer.startswith("/") for fault in faults)
        told[code or ("faults" if faults else "read")] += 1
    return told


def test_any_document_is_read_or_refused() -> None:
    """B14, B7: twelve hundred documents, in every format that is taken."""
    told = survey(1, 1_200, judged_of=20)

    assert {"faults", "malformed-json", "malformed-rdf", "keyword-not-supported"} <= set(told)


@pytest.mark.campaign
@pytest.mark.timeout(7_200)
def test_a_million_documents_are_read_or_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """B14: ten seeds of a hundred thousand."""
    for seed in range(100, 110):
        told = survey(seed, 100_000, judged_of=20)
        with capsys.disabled():
            print(f"\nseed {seed}: {dict(told)}", flush=True)
