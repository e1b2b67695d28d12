"""Whatever a market does, in whatever order: graphs, lists and the journal's own tables say what reveal says."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from fmar_node.access.past import look_of
from fmar_node.errors import FmarError
from fmar_node.followers.projector import Projector
from fmar_node.keeping.maintenance import verify_journal
from fmar_node.kinds import KINDS
from fmar_node.kinds.installation import steward
from fmar_node.store.graph import LOADED, Graph
from tests.market import BASE, Market, battery, vocabulary

AREAS = ("UKPN_EPN", "UKPN_SPN", "ENWL")
ROLES = (["FSP"], ["FSP", "DNO"], ["DNO"], ["SYSTEM_OPERATOR"], ["REGULATOR"], ["FSP", "FMAR_OPERATOR"], ["ASSET_OWNER"], ["INSTALLER"])
STEPS = 90


class Walk:
    """A market that does one thing after another, by a seed; what is refused is refused."""

    def __init__(self, market: Market, seed: int) -> None:
        self.market, self.dice, self.assets = market, random.Random(seed), [""]
        self.acts: list[Callable[[], Any]] = [
            *[self.register] * 5, *[self.update] * 5, self.leave, self.hand_over, self.hand_over, self.erase, self.validate, *[self.claim] * 2, self.promote, self.promote, self.decide,
            *[self.offer] * 3, *[self.accept] * 3, self.revoke, self.pass_time, self.invite,
        ]
        self.offers: list[str] = [""]

    def step(self) -> None:
        with suppress(FmarError, AssertionError):
            self.dice.choice(self.acts)()
        for name in self.market.callers:
            self.market.enter(name, self.someone(name).organisation)

    def someone(self, name: str = "") -> Any:
        return self.market.callers[name or self.dice.choice(sorted(self.market.callers))]

    def owner(self) -> dict[str, Any]:
        return {"owner": f"organisations/{self.someone().organisation}", "ownerName": None}

    def register(self) -> None:
        alias = [{"scheme": self.dice.choice(["ECR", "MCS"]), "value": "x"}]
        given = {"dnoConnection": self.dice.choice(AREAS), "alias": alias, **(self.owner() if self.dice.random() < 0.4 else {})}
        self.assets.append(self.market.submit(self.someone(), "assets", battery(f"S-{len(self.assets)}", **given)).id)

    def manager(self, id_: str) -> Any:
        managed = steward(self.market.current("assets", id_).document)
        return next(caller for caller in self.market.callers.values() if managed.endswith(caller.organisation))

    def update(self) -> None:
        id_ = self.dice.choice(self.assets)
        changes = [
            {"dnoConnection": self.dice.choice(AREAS)}, {"alias": None}, {"alias": [{"scheme": "ECR", "value": "y"}]}, self.owner(),
            {"friendlyCode": f"F-{self.dice.random()}"}, {"device": [{"deviceType": "a", "ratedCapacity": 1}]}, {"assetName": "Renamed"},
        ]  # fmt: skip
        self.market.update(self.manager(id_), "assets", id_, **self.dice.choice(changes))

    def leave(self) -> None:
        id_ = self.dice.choice(self.assets)
        self.market.act(self.manager(id_), "assets", id_, "deregistration", deregistrationReason="ERROR")

    def hand_over(self) -> None:
        """What a switch of provider brings about; a provider may become one again."""
        note = {"provider": self.market.iri(self.dice.choice(["fsp-a", "fsp-b", "fsp-c"])), "validFrom": "2026-11-22"}
        id_ = self.dice.choice(self.assets)
        if not self.market.current("assets", id_).document["managedBy"].endswith(note["provider"]):
            self.market.submit(self.market.node(), "assets", note, "handover", id_)

    def erase(self) -> None:
        note = {"erasureReason": "REQUEST", "erasureScope": self.dice.choice(["PAST", "EVERYTHING"])}
        self.market.act(self.someone("operator"), "assets", self.dice.choice(self.assets), "erasure", **note)

    def claim(self) -> None:
        id_, provider = self.dice.choice(self.assets), self.someone()
        with suppress(FmarError, StopIteration):
            owner = self.market.current("assets", id_).document.get("owner", "none")
            appoints = next(caller for caller in self.market.callers.values() if owner.endswith(caller.organisation))
            self.market.act(appoints, "assets", id_, "appointment", appointedProvider=f"{BASE}/organisations/{provider.organisation}")
        self.market.act(provider, "assets", id_, "claim")

    def validate(self) -> None:
        state = self.dice.choice(["VERIFIED", "QUERY"])
        self.market.record("assets", self.dice.choice(self.assets), validationStatus=state, registrationStatus=state)

    def promote(self) -> None:
        roles = self.dice.choice(ROLES)
        areas = [self.dice.choice(AREAS)] if "DNO" in roles else None
        self.market.update(self.someone("operator"), "organisations", self.someone().organisation, organisationRoles=roles, licenceArea=areas)

    def offer(self) -> None:
        permissions = self.dice.choice([["READ"], ["READ_PERSONAL", "REGISTER"], ["REGISTER"], ["PASSPORT"], ["CONTACTS"], ["READ", "CONTACTS"]])
        managed = [id_ for id_ in self.assets[1:] if self.market.current("assets", id_).document.get("managedBy") == self.market.iri("fsp-a")]
        named = managed[:2] if permissions == ["READ"] and self.dice.random() < 0.5 else []
        ends = self.dice.choice(["2026-11-24", "2027-06-01"])
        to = self.dice.choice(["platform", "installer"] if self.dice.random() < 0.7 else sorted(self.market.callers))
        self.offers.append(self.market.offer("fsp-a" if named else self.dice.choice(["fsp-a", "fsp-b"]), to, *permissions, assets=named, validTo=ends).id)

    def accept(self) -> None:
        offer = self.market.current("delegations", self.dice.choice(self.offers))
        delegate = next(caller for caller in self.market.callers.values() if offer.document["delegate"].endswith(caller.organisation))
        self.market.act(delegate, "delegations", offer.id, "acceptance")

    def revoke(self) -> None:
        self.market.act(self.someone("operator"), "delegations", self.dice.choice(self.offers), "revocation")

    def pass_time(self) -> None:
        self.market.clock.forward(hours=self.dice.choice([1, 20]))
        self.market.tick()

    def invite(self) -> None:
        self.market.submit(self.someone(), "users", {"type": "User", "userEmail": f"{self.dice.random()}@x.example"})

    def decide(self) -> None:
        action = self.dice.choice(["suspension", "suspension", "reinstatement", "reinstatement", "deregistration"])
        self.market.act(self.someone("operator"), "organisations", self.someone().organisation, action)


@pytest.mark.parametrize(("seed", "loaded"), [(1, LOADED), (2, LOADED), (3, LOADED), (1, 1)])
def test_whatever_happens_every_answer_follows_from_reveal(market: Market, seed: int, loaded: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where every change that only adds is loaded."""
    monkeypatch.setattr("fmar_node.store.graph.LOADED", loaded)
    walk, graph = Walk(market, seed), Graph(market.folder / "graph")

    for _ in range(STEPS):
        walk.step()
        if walk.dice.random() < 0.3:
            Projector(market.register, graph, vocabulary(), BASE).catch_up(most=walk.dice.choice([1, 2, 64]))
    projector = Projector(market.register, graph, vocabulary(), BASE)
    while projector.catch_up():
        pass

    assert len(walk.assets) > 2
    assert projector.deviations() == []
    for caller in market.callers.values():
        for plural, kind in KINDS.items():
            versions = market.register.as_of(plural, projector.applied)
            shown = [version.id for version in versions if look_of(version, caller, market.register.version).document(vocabulary())]
            listed = market.reader.page(kind, caller, 500, "", "", {}).items
            assert [item["id"].rsplit("/", 1)[-1] for item in listed] == sorted(shown)
    market.close()
    assert "current state" in verify_journal(market.node_folder())


def test_an_organisation_that_becomes_an_operator_has_no_graph_of_its_own_left(market: Market) -> None:
    market.submit(market.callers["fsp-a"], "assets", battery("S-1"))
    own, operator = market.callers["fsp-a"].organisation, market.callers["operator"]
    graph = market.projected().graph
    assert f"{BASE}/views/{own}" in graph.views()

    market.update(operator, "organisations", own, organisationRoles=["FSP", "FMAR_OPERATOR"])
    projector = Projector(market.register, graph, vocabulary(), BASE)
    projector.catch_up()

    assert f"{BASE}/views/{own}" not in graph.views()
    assert projector.deviations() == []
