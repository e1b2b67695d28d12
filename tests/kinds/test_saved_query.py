"""What may happen to a saved query, and whom it is for: every policy, state and rule of `kinds/saved_query.py`, allowed and refused."""

from __future__ import annotations

from typing import Any

import pytest

from fmar_node.access.caller import ANONYMOUS, ROLE_OF_CODE, Caller
from fmar_node.checks.saved_query import FORM_OF_KIND, sense
from fmar_node.errors import Conflict, Forbidden, Invalid, NotFound
from fmar_node.kinds import KINDS, House
from fmar_node.kinds.saved_query import name_of
from fmar_node.saved_query import SavedQueries, SavedQuery
from fmar_node.web.throttle import TELLING
from tests.market import BASE, SETTINGS, Market, refused, saved_query, vocabulary

ABSENT = f"{BASE}/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
SELECT = "SELECT ?area { ?s ?p ?area }"
AREA = {"parameterName": "area", "parameterKind": "TEXT"}


def publish(market: Market, by: str = "dso-east", **changes: Any) -> str:
    return market.submit(market.callers[by], "queries", saved_query(**changes)).id


def state(market: Market, id_: str) -> str:
    return market.current("queries", id_).state


def catalogue(market: Market) -> SavedQueries:
    return SavedQueries(market.folder / "queries", market.register, vocabulary(), SETTINGS)


def askers(market: Market, name: str = "assets-by-area") -> set[str]:
    """Who may ask it; whom the list says it to, and who may read its record."""
    saved, found = catalogue(market), {}
    for who, caller in {**market.callers, "nobody": ANONYMOUS}.items():
        known = market.as_known(caller) if caller.organisation else caller
        found[who] = (_has(saved, name, known), name in [each.name for each in saved.page(known, "", 100)], _reads(market, name, known))
    assert all(len(set(ways)) == 1 for ways in found.values()), found
    return {who for who, ways in found.items() if ways[0]}


def _has(saved: SavedQueries, name: str, caller: Caller) -> bool:
    try:
        return isinstance(saved.get(name, caller), SavedQuery)
    except NotFound:
        return False


def _reads(market: Market, name: str, caller: Caller) -> bool:
    try:
        return bool(market.reader.current("queries", market.register.holder(name_of(name)) or "", caller))
    except NotFound:
        return False


# -- publishing


def test_whoever_is_active_publishes_and_is_said_to_have(market: Market) -> None:
    id_ = publish(market, "installer")

    document = market.current("queries", id_).document
    assert (document["publishedBy"], document["queryStatus"], document["version"]) == (market.iri("installer"), "PUBLISHED", 1)
    assert market.verdict(market.callers["installer"], "queries", "register").policy == "SAVED-QUERY-PUBLISH-1"


def test_who_is_suspended_publishes_nothing(market: Market) -> None:
    market.act(market.callers["operator"], "organisations", market.callers["fsp-a"].organisation, "suspension")

    with refused("SAVED-QUERY-PUBLISH-1", as_=Forbidden):
        publish(market, "fsp-a")


@pytest.mark.parametrize(("changes", "who"), [
    ({}, {"dso-east", "dso-south"}), ({"audience": None}, {"dso-east"}), ({"audience": ["EVERYONE"]}, None), ({"audience": ["SYSTEM_OPERATOR", "PLATFORM"]}, {"dso-east", "neso", "platform"}),
    ({"audience": ["AGGREGATOR"]}, {"dso-east", "fsp-a", "fsp-b", "fsp-c"}), ({"audience": None, "audienceOrganisation": ["fsp-b"]}, {"dso-east", "fsp-b"}),
])  # fmt: skip
def test_a_query_is_there_for_its_publisher_its_audience_and_the_operator_alone(market: Market, changes: dict[str, Any], who: set[str] | None) -> None:
    named = {term: [market.iri(each) for each in value] if term == "audienceOrganisation" else value for term, value in changes.items()}

    publish(market, **named)

    assert askers(market) == (who | {"operator"} if who is not None else {*market.callers, "nobody"})


def test_the_audience_does_not_see_who_else_is_in_it(market: Market) -> None:
    id_ = publish(market, audienceOrganisation=[market.iri("fsp-b")])

    assert "audienceOrganisation" not in market.reader.current("queries", id_, market.callers["fsp-b"]).document
    assert market.reader.current("queries", id_, market.callers["dso-east"]).document["audienceOrganisation"] == [market.iri("fsp-b")]


def test_a_platform_that_acts_for_another_has_what_is_for_everybody_alone(market: Market) -> None:
    market.grant("fsp-a", "platform", "READ")
    publish(market, audience=["FSP"])
    publish(market, queryName="for-all", audience=["EVERYONE"])

    found = catalogue(market).page(market.acting("platform", "fsp-a"), "register", 100)

    assert [each.name for each in found if each.record] == ["for-all"]


# -- names


def test_a_name_is_one_querys_as_long_as_that_is_published(market: Market) -> None:
    id_ = publish(market)

    with refused("QUERY_NAME_TAKEN", as_=Conflict) as own:
        publish(market)
    with refused("QUERY_NAME_TAKEN", as_=Conflict) as others:
        publish(market, "fsp-a")
    market.act(market.callers["dso-east"], "queries", id_, "withdrawal")

    assert (id_ in own.value.faults[0].message, id_ in others.value.faults[0].message) == (True, False)
    assert "you have registered" in own.value.faults[0].message and "QUERY_NAME_TAKEN" in TELLING
    assert publish(market, "fsp-a") != id_


def test_a_name_of_a_file_is_nobody_elses(market: Market) -> None:
    market.house = House(has_file=lambda name: name == "portfolio")

    with refused("SAVED-QUERY-PUBLISH-2", as_=Conflict):
        publish(market, queryName="portfolio")


def test_a_name_that_looks_like_an_id_is_none(market: Market) -> None:
    with refused("SavedQuery.queryName-sense", as_=Invalid):
        publish(market, queryName="abcdef01-2345-7abc-8def-0123456789ab")


def test_a_file_that_comes_later_goes_before_a_published_query(market: Market) -> None:
    publish(market, audience=["EVERYONE"])
    (market.folder / "queries").mkdir()
    (market.folder / "queries" / "assets-by-area.rq").write_text("# title: T\n# about: A\n# for: DNO\nSELECT * {}", "utf-8")

    saved = catalogue(market)

    assert (saved.get("assets-by-area", market.callers["dso-south"]).title, _has(saved, "assets-by-area", ANONYMOUS)) == ("T", False)
    assert [each.name for each in saved.page(market.callers["operator"], "", 100) if each.record] == []


def test_an_organisation_has_so_many_and_no_more(market: Market) -> None:
    market.house = House(most_queries=1)
    id_ = publish(market)

    with refused("SAVED-QUERY-PUBLISH-3", as_=Conflict):
        publish(market, queryName="another")
    market.act(market.callers["dso-east"], "queries", id_, "withdrawal")

    assert publish(market, queryName="another")


@pytest.mark.parametrize("who", [ABSENT, f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"])
def test_the_audience_is_in_the_register(market: Market, who: str) -> None:
    with refused("SAVED-QUERY-PUBLISH-4", as_=Invalid):
        publish(market, audienceOrganisation=[who])


# -- what is wrong with a query


@pytest.mark.parametrize(("changes", "codes"), [
    ({"queryText": "SELECT"}, ["SavedQuery.queryText-sense"]),
    ({"queryText": "ASK {}"}, ["SavedQuery.queryText-sense"]),
    ({"queryText": "DESCRIBE <urn:x>"}, ["SavedQuery.queryText-sense"]),
    ({"queryText": "SELECT * { SERVICE <http://x/> { ?s ?p ?area } }"}, ["SavedQuery.queryText-sense"]),
    ({"queryText": "INSERT DATA { <urn:a> <urn:b> <urn:c> }"}, ["SavedQuery.queryText-sense"]),
    ({"queryText": SELECT + " # \u202e"}, ["literal-ill-formed"]),
    ({"queryText": "SELECT ?x { ?s ?p ?x }"}, ["QueryParameter.parameterName-sense"]),
    ({"queryText": "SELECT ?s ?area { ?s ?p ?o FILTER(?o = ?area) }"}, ["QueryParameter.parameterName-sense"]),
    ({"queryText": SELECT, "parameter": [AREA, AREA]}, ["QueryParameter.parameterName-sense"] * 2),
    ({"queryText": "SELECT ?format { ?s ?p ?format }", "parameter": [{**AREA, "parameterName": "format"}]}, ["QueryParameter.parameterName-sense"]),
    ({"queryText": SELECT, "parameter": [{**AREA, "codeList": "DNOCode"}]}, ["QueryParameter.codeList-sense"]),
    ({"queryText": SELECT, "parameter": [{**AREA, "parameterKind": "CODE"}]}, ["QueryParameter.codeList-sense"]),
    ({"queryText": SELECT, "parameter": [{**AREA, "parameterKind": "CODE", "codeList": "DNOCodes"}]}, ["QueryParameter.codeList-sense"]),
])  # fmt: skip
def test_what_cannot_be_asked_cannot_be_published(market: Market, changes: dict[str, Any], codes: list[str]) -> None:
    with pytest.raises(Invalid) as refusal:
        publish(market, **changes)

    named = [fault.constraint if fault.constraint.endswith("-sense") else fault.code for fault in refusal.value.faults]
    assert named == codes


def test_everything_that_is_wrong_is_said_at_once_each_on_its_field(market: Market) -> None:
    lost = [{**AREA, "parameterKind": "CODE", "codeList": "Area"}, {"parameterName": "Kind", "parameterKind": "COLOUR"}]

    with pytest.raises(Invalid) as refusal:
        publish(market, queryName="Bad name", queryTitle=None, queryText="SELECT ?x { ?s ?p ?x }", parameter=lost, audience=["NOBODY"])

    assert {fault.pointer for fault in refusal.value.faults} >= {"/queryName", "/queryTitle", "/parameter/0/codeList", "/parameter/0/parameterName", "/audience"}


def test_a_text_that_would_take_for_ever_is_read_at_once(market: Market) -> None:
    """Reading evaluates nothing: forty million rows of no data at all would take long."""
    numbers = " ".join(map(str, range(80)))
    text = f"SELECT (COUNT(*) AS ?n) {{ {' '.join(f'VALUES ?{name} {{{numbers}}}' for name in 'abcd')} }}"

    assert list(sense("slow", text, [], vocabulary(), SETTINGS)) == []


# -- changing, withdrawing, leaving


def test_a_query_is_changed_by_its_publisher_and_keeps_its_name(market: Market) -> None:
    id_ = publish(market)

    market.update(market.callers["dso-east"], "queries", id_, audience=["EVERYONE"])
    with refused("SAVED-QUERY-UPDATE-3", as_=Invalid):
        market.update(market.callers["dso-east"], "queries", id_, queryName="another")
    with refused("SAVED-QUERY-PUBLISH-4", as_=Invalid):
        market.update(market.callers["dso-east"], "queries", id_, audienceOrganisation=[ABSENT])
    for other in ("operator", "dso-south"):
        with refused("SAVED-QUERY-UPDATE-1", as_=Forbidden):
            market.update(market.callers[other], "queries", id_, queryTitle="Mine")

    assert "nobody" in askers(market)
    assert market.current("queries", id_).number == 2


@pytest.mark.parametrize("who", ["dso-east", "operator"])
def test_a_withdrawn_query_is_gone_for_all_but_its_publisher_and_the_operator(market: Market, who: str) -> None:
    id_ = publish(market, audience=["EVERYONE"])

    market.act(market.callers[who], "queries", id_, "withdrawal")

    assert (state(market, id_), askers(market)) == ("WITHDRAWN", set())
    assert market.reader.current("queries", id_, market.callers["dso-east"]).document["queryText"]
    with pytest.raises(NotFound):
        market.reader.current("queries", id_, market.callers["fsp-a"])
    with refused("SAVED-QUERY-WITHDRAW-3", as_=Conflict):
        market.act(market.callers[who], "queries", id_, "withdrawal")
    with refused("SAVED-QUERY-UPDATE-2", as_=Conflict):
        market.update(market.callers["dso-east"], "queries", id_, queryTitle="Again")


def test_nobody_else_withdraws_it(market: Market) -> None:
    id_ = publish(market)

    assert market.verdict(market.callers["operator"], "queries", "withdrawal", id_).policy == "SAVED-QUERY-WITHDRAW-1"
    with refused("SAVED-QUERY-WITHDRAW-2", as_=Forbidden):
        market.act(market.callers["dso-south"], "queries", id_, "withdrawal")
    with pytest.raises(NotFound):
        market.act(market.callers["fsp-a"], "queries", id_, "withdrawal")
    with refused("NODE-1", as_=Forbidden):
        market.act(market.callers["dso-east"], "queries", id_, "end")


def test_who_leaves_takes_its_queries_along(market: Market) -> None:
    ids = [publish(market, "fsp-c"), publish(market, "fsp-c", queryName="another")]
    market.act(market.callers["fsp-c"], "queries", ids[1], "withdrawal")

    market.act(market.callers["operator"], "organisations", market.callers["fsp-c"].organisation, "deregistration")

    assert [(state(market, id_), market.current("queries", id_).action) for id_ in ids] == [("WITHDRAWN", "end"), ("WITHDRAWN", "withdrawal")]
    assert askers(market) == set()
    assert publish(market)
    with refused("SAVED-QUERY-END-2", as_=Conflict):
        market.act(market.node(), "queries", ids[0], "end")


def test_the_node_alone_ends_a_query(market: Market) -> None:
    assert market.verdict(market.callers["operator"], "queries", "end").permitted is False
    assert (KINDS["queries"].name, [policy.code for policy in KINDS["queries"].actions["end"].policies]) == ("saved-query", ["SAVED-QUERY-END-1"])


def test_the_operator_erases_a_query_with_a_reason(market: Market) -> None:
    id_ = publish(market)

    with refused("SAVED-QUERY-ERASE-2", as_=Invalid):
        market.act(market.callers["operator"], "queries", id_, "erasure")
    with refused("SAVED-QUERY-ERASE-1", as_=Forbidden):
        market.act(market.callers["dso-east"], "queries", id_, "erasure", erasureReason="REQUEST")
    market.act(market.callers["operator"], "queries", id_, "erasure", erasureReason="REQUEST")

    assert (market.current("queries", id_).document["erasureReason"], askers(market)) == ("REQUEST", {"dso-east", "dso-south", "operator"})


# -- lists, the graph


def test_a_list_is_walked_by_pages_and_has_each_once(market: Market) -> None:
    for number in range(5):
        publish(market, "fsp-a", queryName=f"by-a-{number}", audience=["EVERYONE"] if number % 2 else None)
    saved, caller = catalogue(market), market.callers["fsp-a"]
    whole = [each.name for each in saved.page(caller, "", 100)]

    walked: list[str] = []
    after = ""
    while found := saved.page(caller, after, 2):
        walked += [each.name for each in found]
        after = found[-1].record.rsplit("/", 1)[-1] or found[-1].name

    assert walked == whole
    assert [name for name in whole if name.startswith("by-a")] == [f"by-a-{number}" for number in range(5)]
    assert [each.name for each in saved.page(ANONYMOUS, "z", 100)] == ["by-a-1", "by-a-3"]


def test_the_graph_has_no_queries_and_goes_on(market: Market) -> None:
    publish(market, audience=["EVERYONE"])
    market.act(market.callers["operator"], "queries", publish(market, queryName="another"), "erasure", erasureReason="ERROR")

    projector = market.projected()

    assert (projector.applied, projector.deviations()) == (market.register.size() - 1, [])
    assert not [view for view in projector.graph.views() if any("SavedQuery" in str(triple) for triple in projector.graph.triples(view))]
    projector.graph.close()


def test_the_code_lists_are_what_the_node_knows() -> None:
    schemes = vocabulary().schemes

    assert set(schemes["Audience"].codes) == {"EVERYONE", *ROLE_OF_CODE}
    assert {code.lower() for code in schemes["ParameterKind"].codes} == {"code", *FORM_OF_KIND}
