"""A market with a consent solution: consumers, their consents, and what a node makes of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from examples.servers.consent_solution import Given, Solution
from fmar_node.access.consent_receipt import ConsentReceipts
from fmar_node.clock import today
from fmar_node.drafting import Submission
from fmar_node.followers.consents import ConsentWatch
from fmar_node.identity import new_salt
from fmar_node.journal.register import Register, connect
from fmar_node.kinds import House
from fmar_node.record import Receipt, Version
from fmar_node.settings import ConsentSolution, Settings
from fmar_node.sources.consent import Consent, ConsentQuestion, Consents, SolutionAsker
from fmar_node.sources.inbox import Inbox
from fmar_node.submit import Desk, Outcome, submit
from tests.market import BASE, LOOKUP_KEY, Market, battery, mpan, vocabulary

HOME = {
    "ownerKind": "INDIVIDUAL", "ownerName": None, "justification": None, "assetName": "Home battery", "ratedCapacity": "5.00", "installedCapacity": "5.00",
    "genCapacity": "5.00", "demandCapacity": "5.00", "storageEnergyCapacity": "10.00", "exportMPAN": None,
}  # fmt: skip
OWN = mpan(4_711)


def home(serial: str = "HOME-1", **changes: Any) -> dict[str, Any]:
    """A consumer's battery at the meter point `OWN`."""
    return battery(serial, **{**HOME, "importMPAN": OWN, **changes})


class Solutions:
    """Whatever has verified proofs for a market: each question in a loop of its own, as the market's submissions are."""

    def __init__(self, market: Consenting) -> None:
        self.market = market

    async def verify(self, question: ConsentQuestion) -> Consent:
        consents = self.market.consents()
        try:
            return await consents.verify(question)
        finally:
            await consents.close()


class Consenting:
    """A market whose node trusts one consent solution, whose clock is the market's."""

    def __init__(self, market: Market, solution: Solution, **settings: Any) -> None:
        self.market, self.solution = market, solution
        solution.node, solution.clock = BASE, lambda: market.clock.now().timestamp()
        known = ConsentSolution(**{name: value for name, value in solution.settings("").items()})
        self.settings = Settings(base_url=BASE, consent_solutions=(known,), source_seconds=1.0, fetch_seconds=1.0, status_list_seconds=1.0, **settings)
        self.inbox = Inbox(market.folder / "state" / "notifications.db")
        market.house = House(has_consents=True, needs_authorisation=self.settings.owner_authorisation)
        market.run = self.run  # type: ignore[method-assign]

    def consents(self) -> Consents:
        """As a node that has just started has them: nothing is remembered."""
        clock = self.market.clock
        askers = [SolutionAsker(each, self.settings, clock) for each in self.settings.consent_solutions]
        return Consents(ConsentReceipts(self.settings, clock), askers, clock, new_salt, self.inbox.has_ended)

    def run(self, submission: Submission) -> Receipt:
        outcome = asyncio.run(self.outcome(submission))
        assert outcome.receipt is not None
        return outcome.receipt

    async def outcome(self, submission: Submission) -> Outcome:
        market = self.market
        desk = Desk(market.register, market, market, vocabulary(), market.house, Solutions(self))
        return await submit(desk, submission, today(market.clock))

    # -- consumers and providers

    def consent(self, to: str = "fsp-a", *subjects: str, **more: Any) -> Given:
        """A consumer lets a provider manage what is at its meter point."""
        return self.solution.consent(self.market.iri(to), list(subjects or (f"mpan:{OWN}",)), **more)

    def registered(self, given: Given | None = None, by: str = "fsp-a", serial: str = "HOME-1", **changes: Any) -> Receipt:
        given = given or self.consent(by)
        return self.market.submit(self.market.callers[by], "assets", home(serial, consentReference=given.reference, **changes))

    def asset(self, receipt: Receipt) -> Version:
        return self.market.current("assets", receipt.id)

    def kept(self, receipt: Receipt) -> Version:
        """The record of the consent that an asset rests on."""
        return self.market.current("consents", self.asset(receipt).document["consent"].rsplit("/", 1)[-1])

    # -- the follower

    @contextmanager
    def watch(self) -> Iterator[ConsentWatch]:
        market = self.market
        register = Register(connect(market.folder / "journal" / "journal.db"), vocabulary().terms, LOOKUP_KEY)
        watch = ConsentWatch(register, self.consents(), self.inbox, self.outcome, self.settings, market.clock)
        yield watch
        register.connection.close()

    def notify(self, id_: str, **more: Any) -> None:
        """What the node does with a notification whose signature holds."""
        from fmar_node.sources.notification import notification_of, sender

        headers, body = self.solution.notification(id_, **more)
        now = self.market.clock.now().timestamp()
        name, message = sender(headers, body, {"example": self.solution.secret}, now, 300)
        with self.watch() as watch:
            asyncio.run(watch.take(notification_of(name, message, body)))

    def check(self) -> bool:
        """What the node does when the time to ask again has come."""

        async def checking() -> bool:
            with self.watch() as watch:
                try:
                    return await watch.check()
                finally:
                    await watch.consents.close()

        return asyncio.run(checking())

    def wait(self, **step: float) -> None:
        self.market.clock.forward(**step)
