"""A register in which platforms act for providers: organisations and delegations in force, written past HTTP and judge.

Rules kept here: it begins as any population does; what is added goes through the kinds' own functions and the real
journal, so that nothing holds that could not have been offered and accepted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from uuid import UUID

from fmar_node.access.caller import Caller
from fmar_node.journal.journal import Batch, Journal
from fmar_node.kinds import KINDS
from fmar_node.vocabulary import Document, Vocabulary
from tests.benchmarks.population import COMMIT, Asset, Filling, Plan, Population, assets, populate

PERMISSIONS = ("READ", "REGISTER", "UPDATE")
ENDS = "2099-01-01"


@dataclass(slots=True)
class Granting:
    """Adds to a population what no plan of assets has."""

    population: Population
    filling: Filling
    batch: Batch

    def join(self, name: str, role: str) -> Caller:
        return self.filling.join(self.batch, self.population, name, [role], [])

    def caller(self, name: str) -> Caller:
        """Who a profile's organisation is, as one that may grant and be granted."""
        return Caller(self.population.profiles[name].organisation.rpartition("/")[2], name, state="ACTIVE")

    def grant(self, grantor: str, delegate: str, number: int, permissions: Sequence[str] = PERMISSIONS) -> str:
        """A delegation on all assets, offered, and in force with the next entry; its id."""
        id_ = str(UUID(int=(8 << 112) | (7 << 76) | (2 << 62) | number))
        document: Document = {
            "id": f"{self.filling.base_url}/delegations/{id_}", "type": "Delegation", "permission": list(permissions), "assetScope": "ALL_ASSETS",
            "delegate": self.population.profiles[delegate].organisation, "validTo": ENDS,
        }  # fmt: skip
        actions = KINDS["delegations"].actions
        for name in ("register", "acceptance"):
            document = actions[name].apply(self.filling.situation(self.caller(grantor), document))
        body = json.dumps(document).encode()
        self.batch.append(self.filling.drafted("delegations", id_, document, self.caller(grantor), (), body, self.batch.next_index))
        return id_

    def register(self, asset: Asset, provider: Caller) -> None:
        self.batch.append(self.filling.draft(asset, provider, self.batch.next_index))


@contextmanager
def adding(population: Population) -> Iterator[tuple[Journal, Filling]]:
    """A stopped register's journal, to be written to."""
    folder, vocabulary, base_url = population.folder, Vocabulary.load(), population.profiles["operator"].node
    signing = folder.journal_key(base_url)
    journal = Journal(folder.journal, signing.name, signing, vocabulary.terms, folder.lookup_key())
    try:
        yield journal, Filling(journal, vocabulary, base_url)
    finally:
        journal.close()


def granted(root: Path, base_url: str, plan: Plan, large: Sequence[int] = ()) -> Population:
    """A population whose providers have all granted `platform`, and the largest of them `platform-one`; `large` are providers
    beside them, of so many assets each, and `outsider` is one without any; they have granted nobody anything."""
    population = populate(root, base_url, plan)
    coming = islice(assets(Plan(plan.assets + sum(large), plan.providers, plan.seed, plan.every), base_url), plan.assets, None)
    with adding(population) as (journal, filling):
        with journal.batch() as batch:
            granting = Granting(population, filling, batch)
            for name in ("platform", "platform-one"):
                granting.join(name, "PLATFORM")
            granting.join("outsider", "FSP")
            for number in range(plan.providers):
                granting.grant(f"fsp-{number}", "platform", number)
            granting.grant("fsp-0", "platform-one", plan.providers)
            owners = {size: granting.join(f"large-{size}", "FSP") for size in large}
        for size in large:
            mine = islice(coming, size)
            while chunk := list(islice(mine, COMMIT)):
                with journal.batch() as batch:
                    for asset in chunk:
                        Granting(population, filling, batch).register(asset, owners[size])
    return population
