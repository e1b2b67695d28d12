"""Step 5: SPARQL in the caller's window. One register, one query, and as many answers as there are rights."""

from __future__ import annotations

import httpx

from fmar_node.cli.tour.narrator import results
from fmar_node.cli.tour.visit import ANYBODY, Visit, expect, expect_that
from fmar_node.vocabulary import Tier, Vocabulary

CALLERS = ("dso-east", "neso", "fsp-a", ANYBODY)


def look(visit: Visit) -> str:
    """A DSO, the system operator, a provider and a stranger ask."""
    _ask_as_network(visit)
    _ask_as_system_operator(visit)
    _ask_as_provider(visit)
    _compare(visit)
    _ask_as_stranger(visit)
    return "Four callers, four windows. What a caller may not see is not in the graph that its query runs on."


def _ask_as_network(visit: Visit) -> None:
    visit.narrator.remark("dso-east runs two licence areas, UKPN_EPN and UKPN_LPN. Which batteries are on its network?")
    rows = visit.query("dso-east", "storage-by-capacity", numbers=("kW", "kWh"))
    expect("the areas that dso-east sees", {"UKPN_EPN", "UKPN_LPN"}, {row["area"] for row in rows})
    ours = _id_of(visit.kept["battery"])
    place = next((place for place, row in enumerate(rows, start=1) if row["asset"] == ours), 0)
    expect_that(place > 0, "the battery of step 1 is in the network's window")
    visit.narrator.remark(f"Number {place} of {len(rows)} is the battery of step 1, with {rows[place - 1]['kW']} kW.")
    sizes = [float(row["kW"]) for row in rows]
    expect("the order by capacity", sorted(sizes, reverse=True), sizes)


def _ask_as_system_operator(visit: Visit) -> None:
    visit.narrator.remark("neso asks for the national picture:")
    rows = visit.query("neso", "national-picture", most=14, numbers=("assets", "MW"))
    expect_that(len({row["area"] for row in rows}) >= 3, "NESO sees all the licence areas that assets stand in")


def _ask_as_provider(visit: Visit) -> None:
    visit.narrator.remark("fsp-a asks for its own portfolio:")
    rows = visit.query("fsp-a", "my-portfolio", numbers=("assets", "named", "MW"))
    expect_that(any(int(row["named"]) for row in rows), "a provider sees the names that it gave")


def _compare(visit: Visit) -> None:
    visit.narrator.remark("One query, how-much-storage.rq, asked by each of them, and by somebody without a credential:")
    asked = {who: visit.ask(who, "how-much-storage") for who in CALLERS}
    visit.narrator.request(asked["neso"].request, "as each of them", language="sparql")
    found = {who: results(answer)[1][0] for who, answer in asked.items()}
    rows = [[who or "(anybody)", *cells] for who, cells in found.items()]
    visit.narrator.table(("caller", "assets", "MW"), rows, numbers=("assets", "MW"))
    counts = {who: int(cells[0]) for who, cells in found.items()}
    expect("how many different answers three windows give", 3, len({counts[who] for who in CALLERS[:3]}))
    expect_that(max(counts.values()) == counts["neso"], "the national window is the widest")
    expect_that(0 < counts[ANYBODY] < counts["neso"], "a stranger sees published assets, and not those of this visit")


def _ask_as_stranger(visit: Visit) -> None:
    visit.narrator.remark("What does a stranger see of an asset? The open terms, of assets that a public register has named:")
    rows = visit.query(ANYBODY, "what-is-public", most=20, numbers=("assets",))
    seen = {row["term"] for row in rows}
    expect("terms that should not be public", set(), seen - _open_terms())
    path = httpx.URL(visit.kept["battery"].headers["Location"]).path
    visit.call(ANYBODY, "GET", path, 404)


def _open_terms() -> set[str]:
    """What the ontology says that everybody may see, and scores of no more than that."""
    return {"type", *(term.name for term in Vocabulary.load().terms.values() if term.tier is Tier.OPEN)}


def _id_of(made: httpx.Response) -> str:
    return made.headers["Location"].rsplit("/", 1)[-1]
