"""Two worlds over HTTP: whole responses, of nodes that differ only in what the caller may not see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from fmar_node.vocabulary import Document
from tests.market import Market, battery, mpan
from tests.two_worlds.exchanges import ABSENT, LD_JSON, Correspondence, Sent
from tests.two_worlds.pairs import Worlds
from tests.two_worlds.serving import PROBES, Served, vocabulary_graph
from tests.two_worlds.worlds import OTHERS, REASONS, Story, caller_in, fuller, seen, told, versions

SIZE = 12


@dataclass
class Nodes:
    """The plain world and a fuller one, served."""

    story: Story
    market: Market
    plain: Served
    fuller: Served

    def correspondence(self, viewer: str) -> Correspondence:
        return Correspondence(f"{self.story.seed}/{viewer}", [self.story.plain, self.market], caller_in(self.market, viewer).view)

    def unequal(self, viewer: str, sent: list[Sent]) -> list[tuple[Sent, Any, Any]]:
        left, right = self.plain.client(viewer), self.fuller.client(viewer)
        answers = ((each, each.answers(left), each.answers(right)) for each in sent)
        return [(each, *pair) for each, *pair in answers if pair[0] != pair[1]]


def served(folder: Path, story: Story, market: Market, stack: ExitStack) -> Nodes:
    words = vocabulary_graph(folder / "words")
    pair = [stack.enter_context(Served(each, folder / name, words)) for name, each in (("left", story.plain), ("right", market))]
    return Nodes(story, market, *(each.wait() for each in pair))


@pytest.fixture(scope="module")
def nodes(worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield served(tmp_path_factory.mktemp("nodes"), worlds.story, worlds.fuller("fsp-a"), stack)


@pytest.mark.parametrize("viewer", ["fsp-a", "dso-east"])
def test_the_responses_are_the_same(nodes: Nodes, viewer: str) -> None:
    """C1, C7, C8: whole responses, of worlds that differ in what is hidden."""
    caller = caller_in(nodes.market, viewer)
    assert seen(nodes.market, caller) == seen(nodes.story.plain, caller)

    assert nodes.unequal(viewer, nodes.correspondence(viewer).all(nodes.story, SIZE)) == []


def test_who_may_see_the_difference_is_told_it(nodes: Nodes) -> None:
    correspondence = nodes.correspondence("operator")

    assert len(nodes.unequal("operator", list(correspondence.lists()))) > 6


def test_the_hidden_and_the_absent_are_refused_alike(nodes: Nodes) -> None:
    hidden = next(version.id for version in versions(nodes.market) if version.kind == "assets" and not seen_by(nodes, version.iri, "platform"))
    client = nodes.fuller.client("platform")

    for part in ("", "/versions", "/history", "/proof", "?version=1"):
        refusals = [client.get(f"/assets/{id_}{part}") for id_ in (hidden, ABSENT)]
        assert refusals[0].status_code == 404
        assert refusals[0].text.replace(hidden, ABSENT) == refusals[1].text


def seen_by(nodes: Nodes, iri: str, viewer: str) -> bool:
    return iri in seen(nodes.market, caller_in(nodes.market, viewer))


def test_a_conflict_with_a_hidden_record_tells_one_bit(nodes: Nodes) -> None:
    """The declared exception: refused in one world and not in the other, in words that are the same whoever is in the way."""
    documents = hidden_assets(nodes, "fsp-a")
    known = {version.iri for version in versions(nodes.story.plain)}
    alone = [document for document in documents if document["id"] not in known]

    free, refusals = trial(nodes.plain, "fsp-a", alone[0]), [trial(nodes.fuller, "fsp-a", each) for each in (alone[0], documents[0])]

    assert free.status_code == 200
    assert [[fault["code"] for fault in refusal.json()["errors"]] for refusal in refusals] == [["DUPLICATE_EXACT"], ["DUPLICATE_EXACT"]]
    assert alone[0] != documents[0]
    assert refusals[0].text == refusals[1].text


def test_a_trial_that_tells_of_a_hidden_record_is_counted(nodes: Nodes) -> None:
    """Whether the bit comes with a refusal or, once justified, with a yes: an organisation is not told it without end."""
    document = {**hidden_assets(nodes, "fsp-a")[0], "serialNumber": "FREE-9"}
    shared = {term: document[term] for term in ("importMPAN", "exportMPAN", "dnoConnection")}

    statuses = [trial(nodes.fuller, "fsp-a", document, **shared, justification=REASONS).status_code for _ in range(PROBES + 1)]

    assert (statuses[0], statuses[-1], set(statuses)) == (200, 429, {200, 429})


def hidden_assets(nodes: Nodes, viewer: str) -> list[Document]:
    """The live assets of the fuller world that a viewer doesn't see, older ones first."""
    shown = seen(nodes.market, caller_in(nodes.market, viewer))
    newest = {version.iri: version for version in versions(nodes.market) if version.kind == "assets"}
    return [newest[iri].document for iri in sorted(newest) if iri not in shown and newest[iri].state != "DEREGISTERED"]


def trial(served: Served, viewer: str, like: Document, **changes: Any) -> httpx.Response:
    """A dry run of a registration with the serial number of another asset."""
    given = {"manufacturer": like["manufacturer"], "importMPAN": mpan(77_009), "exportMPAN": None, **changes}
    document = battery(like["serialNumber"], **given)
    return served.client(viewer).post("/assets?dry-run=true", json=document, headers={"Content-Type": LD_JSON})


# -- the campaign: make test ARGS="-m campaign tests/two_worlds/test_http.py"


@pytest.mark.campaign
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("seed", [11, 12])
@pytest.mark.parametrize("viewers", [OTHERS, ("neso",)])
def test_thousands_of_responses_are_the_same(tmp_path: Path, seed: int, viewers: tuple[str, ...]) -> None:
    story = told(tmp_path, seed)
    with ExitStack() as stack:
        nodes = served(tmp_path, story, fuller(tmp_path / "fuller", story, viewers), stack)

        for viewer in viewers:
            assert nodes.unequal(viewer, nodes.correspondence(viewer).all(nodes.story, 300)) == []
