"""What a judgement says beyond the shapes: echoes, defaults, codes that were deprecated."""

from __future__ import annotations

import json

from fmar_node.judge import Judgement, Paper, judge
from fmar_node.vocabulary import Document
from tests.market import BASE, SETTINGS, START, battery, shapes, vocabulary

IRI = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"


def judged(document: Document, previous: Document | None = None) -> Judgement:
    body = json.dumps(document).encode()
    action = "update" if previous else "register"
    paper = Paper("assets", action, IRI, "application/ld+json", body, START.date(), previous)
    return judge(paper, vocabulary(), shapes(), SETTINGS)


def constraints(judgement: Judgement) -> set[str]:
    return {fault.constraint or fault.code for fault in judgement.faults}


def test_a_deprecated_code_is_refused_on_a_new_record() -> None:
    assert "A14-code" in constraints(judged(battery(connectionStatus="DE_ENERGISED")))


def test_a_deprecated_code_stays_valid_on_the_record_that_has_it() -> None:
    standing = judged(battery(connectionStatus="DE_ENERGISED")).document

    assert "A14-code" not in constraints(judged(standing, standing))


def test_a_record_does_not_change_to_a_deprecated_code() -> None:
    standing = judged(battery()).document

    assert "A14-code" in constraints(judged({**standing, "connectionStatus": "DE_ENERGISED"}, standing))


def test_a_code_that_never_was_is_refused_even_where_it_stands() -> None:
    standing = {**judged(battery()).document, "connectionStatus": "NEVER_WAS"}

    assert "A14-code" in constraints(judged(standing, standing))


def test_what_the_node_set_may_be_echoed_and_not_changed() -> None:
    standing = {**judged(battery()).document, "version": 3}

    assert "server-set" not in constraints(judged(standing, standing))
    assert "server-set" in constraints(judged({**standing, "version": 4}, standing))
