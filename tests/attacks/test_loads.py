"""Documents and headers that are small and cost much: each is refused before it does, and nobody else waits for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from fmar_node.errors import Malformed
from fmar_node.limits import MOST_VALUES, XML_DEPTH, check_xml
from fmar_node.web.negotiation import MOST_RANGES, ranges
from tests.live import LD_JSON, Live
from tests.market import saved_query

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="https://cim.ucaiug.io/ns#"'
ENTITIES = "<!DOCTYPE r [" + '<!ENTITY e0 "AAAAAAAAAA">' + "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 9)) + "]>"
DEEP = "<cim:Asset>" * (XML_DEPTH + 1) + "</cim:Asset>" * (XML_DEPTH + 1)
XML = {
    "entities": f"{ENTITIES}<rdf:RDF {RDF}><cim:Asset>&e8;</cim:Asset></rdf:RDF>",
    "entities behind an attribute": f'<rdf:RDF {RDF}><cim:Name cim:x="<?"/>{ENTITIES}<cim:Asset>&e8;</cim:Asset><cim:Name cim:y="?>"/></rdf:RDF>',
    "entities in what looks like a comment": f'<rdf:RDF {RDF} a="<!--">{ENTITIES}<cim:Asset>&e8;</cim:Asset><x b="-->"/></rdf:RDF>',
    "half a document": f"<rdf:RDF {RDF}><cim:Asset>x</cim:Asset>",
    "half a document behind an attribute": f'<rdf:RDF {RDF} xmlns:z="<?"><cim:Asset>x</cim:Asset>',
    "too deep": f"<rdf:RDF {RDF}>{DEEP}</rdf:RDF>",
    "another encoding than it says": f"<?xml version='1.0' encoding='UTF-16'?><rdf:RDF {RDF}/>",
}
PATTERNS = "SELECT ?a {{ {} }}"


@pytest.mark.parametrize("kind", XML)
def test_xml_is_read_by_a_parser_before_the_rdf_parser_sees_it(kind: str) -> None:
    """B11: what a look at the text takes for something else."""
    with pytest.raises(Malformed):
        check_xml(XML[kind].encode())


def test_sound_xml_passes() -> None:
    check_xml(f'<?xml version="1.0" encoding="UTF-8"?><!-- <!DOCTYPE --><rdf:RDF {RDF}><cim:Asset a="&lt;?"><![CDATA[<!ENTITY]]></cim:Asset></rdf:RDF>'.encode())


@pytest.mark.parametrize("path", ["/queries?dry-run=true", "/assets?dry-run=true"])
def test_more_values_than_anybody_means_are_refused_at_once(live: Live, path: str) -> None:
    """B1: 26,000 wrong codes once meant as many faults, compared with each other."""
    began = time.perf_counter()
    many = live.client("fsp-a").post(path, json=saved_query(audience=[str(number) for number in range(26_000)]), headers=LD_JSON)
    most = live.client("fsp-a").post("/queries?dry-run=true", json=saved_query(audience=[str(number) for number in range(MOST_VALUES)]), headers=LD_JSON)

    assert (many.status_code, most.status_code) == (400, 422) and str(MOST_VALUES) in many.json()["detail"]
    assert len(most.json()["errors"]) <= 100 and time.perf_counter() - began < 10


def test_a_text_that_takes_long_to_plan_is_no_saved_query(live: Live) -> None:
    """B3: the engine's planning grows by the fourth power of the patterns."""
    response = live.client("fsp-a").post("/queries?dry-run=true", json=saved_query(queryText=PATTERNS.format("?a?b?c." * 500), parameter=None), headers=LD_JSON)

    assert response.status_code == 422 and "query_tokens" in response.json()["errors"][0]["message"]


def test_one_partys_slow_documents_do_not_hold_up_anothers(live: Live) -> None:
    """Whoever was served longest ago is next: of ten that take their time, two at most are judged before the other's."""
    slow = saved_query(queryText=PATTERNS.format("?a?b?c." * 90), parameter=None)
    live.client("fsp-b").get("/"), live.client("fsp-a").get("/")
    with ThreadPoolExecutor(10) as pool:
        running = [pool.submit(live.client("fsp-b").post, "/queries?dry-run=true", json=slow, headers=LD_JSON) for _ in range(10)]
        while not any(each.done() for each in running):
            time.sleep(0.01)
        before = sum(each.done() for each in running)
        assert live.register("fsp-a").status_code == 201
        assert sum(each.done() for each in running) - before <= 3


def test_a_header_is_read_so_far_and_no_further() -> None:
    """A10: sixty kilobytes of media ranges."""
    assert len(ranges("a/b," * 20_000)) == MOST_RANGES
    assert ranges("a/b;q=0.5, */*")[1].quality == 1.0
