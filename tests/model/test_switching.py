"""Switches, windows, consents and the clock do what the documentation says, whatever is done in whatever order (UC-03.04, UC-05.05, domain 5.2-5.5).

Before each step the oracle (`tests/model/switching.py`) says what becomes of it; after each step the whole state is compared with it, and what three
providers and the network operator see. The campaign, thousands of steps: make test ARGS="-m campaign tests/model/test_switching.py".
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from examples.servers.consent_solution import Given as Told
from examples.servers.consent_solution import Solution
from fmar_node.access import past, reveal
from fmar_node.clock import parse_stamp, stamp
from fmar_node.errors import Conflict, FmarError, NotFound, Severity
from fmar_node.followers.switching import SwitchWatch
from fmar_node.journal.register import Register, connect
from fmar_node.keeping import clockwork
from fmar_node.keeping.maintenance import verify_journal
from fmar_node.kinds import KINDS, proof, service_window
from fmar_node.kinds import switch as switches
from fmar_node.record import Receipt, uuid_of
from fmar_node.sources.consent import Consents, ConsentVerdict, SolutionAsker
from fmar_node.sources.source import SourceUnavailable
from tests.consenting import Consenting, home
from tests.market import BASE, LOOKUP_KEY, SETTINGS, Market, battery, mpan, vocabulary
from tests.model.switching import (
    ACCEPTED,
    GONE,
    LIVE,
    NATIONAL,
    NETWORK,
    OPERATOR,
    PROVIDERS,
    SUSPENDED,
    Asset,
    Codes,
    Consent,
    Given,
    Oracle,
    Switch,
    Window,
    midnight,
    named,
)

UNHURRIED = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "print_blob": True, "report_multiple_bugs": False}
SHORT = settings(max_examples=4, stateful_step_count=40, derandomize=True, **UNHURRIED)
LONG = settings(max_examples=150, stateful_step_count=60, **UNHURRIED)

FLAT, HOUSE, WORKS = (mpan(4_711),), (mpan(4_713), mpan(4_714)), (mpan(4_715),)
SLOTS = {"flat": FLAT, "attic": FLAT, "house": HOUSE, "works": WORKS}
"""What may be registered: two batteries at one meter point, one at two, and one of an organisation."""
OWNER = {"works": "fsp-c"}
POINTS = (*FLAT, *HOUSE, *WORKS, mpan(4_799))
JUSTIFIED = [{"rule": code, "text": "it is so"} for code in ("A20", "A21")]
STARTS = ("2026-11-22T09:30:00Z", "2027-03-10T23:30:00Z", "2027-06-30T23:30:00Z", "2027-10-14T23:30:00Z")
"""A fortnight before the clocks change, and nights on which the day of London and that of Greenwich differ."""
FORGED = "ck_this-is-of-no-consent"


class Beside(SolutionAsker):
    """Asks a solution in this process."""

    def __init__(self, server: Solution, room: Consenting) -> None:
        self.solution, self.settings, self.clock, self.server = room.settings.consent_solutions[0], room.settings, room.market.clock, server

    async def _body(self, path: str, asked: Mapping[str, Any] | None) -> bytes | None:
        if self.server.mode == "down":
            raise SourceUnavailable("no answer")
        found = self.server.verify(dict(asked or {})) if path == "verify" else self.server.statuses(dict(asked or {}))
        return None if found is None else json.dumps(found).encode()

    async def close(self) -> None:
        """There is no connection."""


class Room(Consenting):
    def consents(self) -> Consents:
        found = super().consents()
        found.askers = {"example": Beside(self.solution, self)}
        return found


class Node:
    """A market with a consent solution: what is asked of it, and what it shows."""

    def __init__(self, founded: Market) -> None:
        self.home = TemporaryDirectory()
        self.market = founded.copied(Path(self.home.name))
        self.server = Solution()
        self.room = Room(self.market, self.server)
        self.names = {caller.organisation: name for name, caller in self.market.callers.items()}

    def close(self) -> None:
        self.market.close()
        self.server.server.server_close()
        self.room.inbox.close()

    # -- doing

    def told(self, how: Callable[[], Receipt]) -> tuple[Codes, str, str]:
        """The codes with which something is refused, and the message of it; or the id of what it has made."""
        size = self.market.register.size()
        try:
            return ACCEPTED, how().id, ""
        except FmarError as refusal:
            assert self.market.register.size() == size, "a refused request has left a trace"
            blocking = frozenset(each.code for each in refusal.faults if each.severity in (Severity.REJECT, Severity.JUSTIFY))
            return blocking or frozenset({refusal.code}), "", refusal.detail + str(refusal.faults)

    def submit(self, who: str, kind: str, document: dict[str, Any]) -> tuple[Codes, str, str]:
        given = {term: value for term, value in document.items() if value is not None}
        return self.told(lambda: self.market.submit(self.market.callers[who], kind, given))

    def act(self, who: str, kind: str, id_: str, action: str, **note: Any) -> Codes:
        return self.told(lambda: self.market.act(self.market.callers[who], kind, id_, action, **note))[0]

    def tick(self) -> None:
        """What the writer does each second; what has moved on meanwhile it leaves alone."""
        while found := clockwork.due(self.market.register, SETTINGS, self.market.clock.now()):
            for submission, judgement in found:
                with suppress(Conflict):
                    _run(self.market.commit(submission, judgement))

    def watch(self) -> None:
        """What a web process does each second."""
        register = Register(connect(self.market.folder / "journal" / "journal.db"), vocabulary().terms, LOOKUP_KEY)
        watching = SwitchWatch(register, self.room.consents(), self.room.outcome, self.room.settings, self.market.clock)
        _run(watching.look())
        register.connection.close()

    # -- showing

    def record(self, kind: str, id_: str) -> dict[str, Any]:
        return self.market.current(kind, id_).document

    def name(self, iri: str) -> str:
        return self.names[uuid_of(iri)] if iri else ""

    def count(self, kind: str) -> int:
        return sum(1 for _ in self.market.register.as_of(kind, self.market.register.size()))

    def look(self, who: str, id_: str) -> tuple[str, bool, datetime | None] | None:
        try:
            seen = self.market.reader.current("assets", id_, self.caller(who)).document
        except NotFound:
            return None
        assert ("importMPAN" in seen) == ("responsibility" in seen) or who == NETWORK
        return seen["registrationStatus"], "importMPAN" in seen, parse_stamp(seen["asOf"]) if "asOf" in seen else None

    def caller(self, who: str) -> Any:
        return self.market.as_known(self.market.callers[who])

    def listed(self, who: str, managed: str) -> set[str]:
        return {uuid_of(each["id"]) for each in self.market.reader.page(KINDS["assets"], self.caller(who), 50, "", managed, {}).items}

    def found(self, who: str, point: str) -> set[str]:
        return {uuid_of(each["id"]) for each in self.market.reader.lookup("MPAN", point, self.caller(who))}


def _run(what: Any) -> Any:
    return asyncio.run(what)


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


WHO, PICK = one_of(*PROVIDERS), st.integers(0, 15)
SLOT = one_of(*SLOTS)
DAYS = one_of(None, None, None, -1, 0, 1, 13, 14, 15, 17, 18, 20, 30, 365, 366)
BROUGHT = one_of(*["fresh"] * 6, "of a single use", "for a month", "for another purpose", "for one meter point", "of the asset", "to another", "forged", "not yet", "none", "none", "old", "old", "nobody answers")


class SwitchingWalk(RuleBasedStateMachine):
    """Whatever consumers, providers, system operators and the operator do while time passes."""

    make: ClassVar[Callable[[], Node]]

    def __init__(self) -> None:
        super().__init__()
        self.node = self.make()
        self.given: list[Given] = []
        self.messages: list[tuple[Given, str]] = []

    @initialize(start=one_of(*STARTS))
    def begin(self, start: str) -> None:
        self.node.market.clock.instant = datetime.fromisoformat(start).astimezone(UTC)
        self.oracle = Oracle(self.node.market.clock.now())
        for slot, who in (("flat", "fsp-a"), ("attic", "fsp-b"), ("house", "fsp-a"), ("works", "fsp-b")):
            self.register(who, slot, "none" if slot in OWNER else "fresh", 0)

    # -- who and what

    def asset(self, slot: str) -> Asset:
        """The newest that was registered there."""
        return next(each for each in reversed(self.oracle.assets) if each.slot == slot)

    def switch(self, pick: int) -> Switch:
        """One of them, rather one that is pending."""
        pending = [each for each in self.oracle.switches if each.is_pending]
        among = pending if pending and pick % 4 else self.oracle.switches
        return among[-1 - pick % len(among)]

    def window(self, pick: int) -> Window:
        return self.oracle.windows[-1 - pick % len(self.oracle.windows)]

    def consent_of(self, who: str, slot: str, purpose: str, brought: str, pick: int) -> Given | None:
        """What somebody brings as a proof. Its solution answers, unless nobody is to."""
        self.solution_is_there(brought != "nobody answers")
        if brought == "none":
            return None
        if brought == "old":
            return self.given[-1 - pick % len(self.given)] if self.given else None
        now, points = self.oracle.now, SLOTS[slot]
        to = PROVIDERS[(PROVIDERS.index(who) + 1) % 3] if brought == "to another" else who
        names = points[:1] if brought == "for one meter point" else (named(self.asset(slot)),) if brought == "of the asset" and self.oracle.assets else points
        purposes = ("SHARE", {"SWITCH": "REGISTER", "REGISTER": "SWITCH"}[purpose]) if brought == "for another purpose" else ("REGISTER", "SWITCH")
        begins = now + timedelta(days=1) if brought == "not yet" else now - timedelta(minutes=1)
        ends = now + timedelta(days=16 + pick, minutes=7) if brought == "for a month" else now + timedelta(days=400, minutes=7)
        return self.give(Given(to, purposes, names, begins, ends, brought == "of a single use", brought == "forged"))

    def give(self, given: Given) -> Given:
        """A consumer says yes."""
        names = [each if each.startswith("asset:") else f"mpan:{each}" for each in given.names]
        told: Told = self.node.room.consent(
            given.grantee, *names, purposes=list(given.purposes), begins=given.begins.timestamp(), ends=given.ends.timestamp(), single_use=given.is_single_use
        )
        given.id, given.proof = told.id, FORGED if given.is_forged else told.reference
        if not given.is_forged:
            self.given.append(given)
        return given

    def day(self, days: int | None) -> date | None:
        return None if days is None else self.oracle.today + timedelta(days=days)

    def learn_consent(self, record: dict[str, Any], consent: Consent | None) -> None:
        """The id of the consent that a record rests on."""
        assert ("consent" in record) == (consent is not None)
        if consent is not None:
            consent.id = uuid_of(record["consent"])

    # -- assets

    @precondition(lambda self: any(self.asset(slot).standing == GONE for slot in SLOTS))
    @rule(who=WHO, brought=BROUGHT, pick=PICK)
    def register_again(self, who: str, brought: str, pick: int) -> None:
        self.register(who, next(slot for slot in SLOTS if self.asset(slot).standing == GONE), brought, pick)

    def register(self, who: str, slot: str, brought: str, pick: int) -> None:
        given, points, owner = self.consent_of(who, slot, "REGISTER", brought, pick), SLOTS[slot], OWNER.get(slot, "")
        expected = self.oracle.register(who, slot, points, owner, given)
        size = {"attic": "3.00"}.get(slot, "5.00")
        common = {"importMPAN": points[0], "exportMPAN": points[1] if len(points) > 1 else None, "justification": JUSTIFIED, "consentReference": given.proof if given else None}
        sizes = dict.fromkeys(("ratedCapacity", "installedCapacity", "genCapacity", "demandCapacity"), size)
        document = battery(slot, owner=self.node.market.iri(owner), ownerName=None, **common) if owner else home(slot, **{**sizes, **common})
        codes, id_, _ = self.node.submit(who, "assets", document)
        assert codes == expected, (codes, expected)
        if not codes:
            asset = self.oracle.assets[-1]
            asset.id = id_
            self.learn_consent(self.node.record("assets", id_), asset.consent)

    @rule(who=one_of("provider", "provider", *PROVIDERS), slot=SLOT, brought=BROUGHT, pick=PICK)
    def renew(self, who: str, slot: str, brought: str, pick: int) -> None:
        asset = self.asset(slot)
        who = asset.provider if who == "provider" else who
        given = self.consent_of(who, slot, "REGISTER", brought, pick)
        expected = self.oracle.renew(who, asset, given)
        codes = self.node.act(who, "assets", asset.id, "consent-renewal", **({"consentReference": given.proof} if given else {}))
        assert codes == expected, (codes, expected)
        if not codes:
            self.learn_consent(self.node.record("assets", asset.id), asset.consent)

    @rule(who=one_of("provider", *PROVIDERS), slot=SLOT)
    def deregister(self, who: str, slot: str) -> None:
        asset = self.asset(slot)
        who = asset.provider if who == "provider" else who
        self.same(self.oracle.deregister(who, asset), self.node.act(who, "assets", asset.id, "deregistration", deregistrationReason="ERROR"))

    @precondition(lambda self: any(not each.consent and each.standing in (LIVE, SUSPENDED) for each in self.oracle.assets))
    @rule()
    def suspend_asset(self) -> None:
        """What the operator will do one day, and the node itself enters until then."""
        asset = next(each for each in self.oracle.assets if not each.consent and each.standing in (LIVE, SUSPENDED))
        asset.standing = SUSPENDED if asset.standing == LIVE else LIVE
        self.node.market.record("assets", asset.id, standing=asset.standing, registrationStatus=asset.state)

    def same(self, expected: Codes, codes: Codes) -> None:
        assert codes == expected, (codes, expected)

    # -- switches

    @rule(who=WHO, slot=SLOT, brought=BROUGHT, pick=PICK, days=DAYS, is_by_point=st.booleans())
    def request(self, who: str, slot: str, brought: str, pick: int, days: int | None, is_by_point: bool) -> None:
        self.ask(who, slot, brought, pick, days, is_by_point)

    @precondition(lambda self: self.free_assets())
    @rule(who=WHO, pick=PICK, days=one_of(None, None, 14, 18, 20), lasts=one_of("fresh", "fresh", "for a month", "of a single use"))
    def request_well(self, who: str, pick: int, days: int | None, lasts: str) -> None:
        """Refused on account of a window alone; an owner brings no proof."""
        free = self.free_assets()
        asset = free[pick % len(free)]
        if who == asset.responsible or self.oracle.standing[who] != "ACTIVE":
            who = next((each for each in PROVIDERS if each != asset.responsible and self.oracle.standing[each] == "ACTIVE"), who)
        self.ask(who, asset.slot, "none" if asset.owner == who else lasts, pick % 10, days, False)

    def free_assets(self) -> list[Asset]:
        return [each for each in self.oracle.assets if each.standing not in (GONE, SUSPENDED) and not self.oracle.pending(each)]

    @precondition(lambda self: self.free_assets())
    @rule(who=WHO, pick=PICK, lasts=one_of("fresh", "for a month"), is_late=st.booleans())
    def request_and_wait(self, who: str, pick: int, lasts: str, is_late: bool) -> None:
        self.request_well(who, pick, None, lasts)
        self.pass_a_fortnight(is_late)

    def ask(self, who: str, slot: str, brought: str, pick: int, days: int | None, is_by_point: bool) -> None:
        asset, given, day = self.asset(slot), self.consent_of(who, slot, "SWITCH", brought, pick), self.day(days)
        point = POINTS[pick % len(POINTS)] if pick > 10 else asset.points[pick % len(asset.points)]
        expected = self.oracle.request(who, point if is_by_point else asset, given, day)
        meant = {"assetScheme": "MPAN", "assetValue": point} if is_by_point else {"switchAsset": f"{BASE}/assets/{asset.id}"}
        codes, id_, message = self.node.submit(
            who, "switches", {"type": "Switch", **meant, "switchDate": day and day.isoformat(), "consentReference": given.proof if given else None}
        )
        assert codes == expected, (codes, expected, message)
        if "SERVICE_WINDOW_CONFIRMED" in codes:
            assert self.oracle.earliest in message
        if not codes:
            switch = self.oracle.switches[-1]
            switch.id = id_
            self.learn_consent(self.node.record("switches", id_), switch.consent)

    @precondition(lambda self: self.oracle.switches)
    @rule(action=one_of("hold", "hold", "hold", "release", "release", "release", "withdrawal", "cancellation"), who=one_of("gaining", "gaining", *PROVIDERS), pick=PICK)
    def decide(self, action: str, who: str, pick: int) -> None:
        switch, oracle = self.switch(pick), self.oracle
        by = OPERATOR if action != "withdrawal" else switch.gaining if who == "gaining" else who
        expected = {"hold": oracle.hold, "release": oracle.release, "cancellation": oracle.cancel, "withdrawal": lambda _: oracle.withdraw(by, switch)}[action](switch)
        self.same(expected, self.node.act(by, "switches", switch.id, action))

    # -- windows

    @rule(
        who=one_of("provider", "provider", "provider", *PROVIDERS), slot=SLOT, to=one_of(NETWORK, NETWORK, NATIONAL), product=one_of("P", "P", "Q"), begins=st.integers(-2, 30),
        lasts=one_of(0, 1, 3, 14, 20, 30), hours=one_of(-9, -1, 0, 0, 0, 1, 9), is_confirmed=st.booleans(),
    )  # fmt: skip
    def declare(self, who: str, slot: str, to: str, product: str, begins: int, lasts: int, hours: int, is_confirmed: bool) -> None:
        """From midnight, until an hour about midnight, so that windows touch each other and the days of switches."""
        asset = self.asset(slot)
        who = asset.provider if who == "provider" else who
        since = midnight(self.oracle.today + timedelta(days=begins))
        until = midnight(self.oracle.today + timedelta(days=begins + lasts)) + timedelta(hours=hours)
        expected = self.oracle.declare(who, asset, to, product, since, until)
        codes, id_, _ = self.node.submit(who, "service-windows", {
            "type": "ServiceWindow", "windowAsset": f"{BASE}/assets/{asset.id}", "windowOperator": self.node.market.iri(to), "windowProduct": product,
            "windowFrom": stamp(since), "windowTo": stamp(until),
        })  # fmt: skip
        self.same(expected, codes)
        if not codes:
            self.oracle.windows[-1].id = id_
            if is_confirmed:
                self.confirm("operator of it", 0)

    @precondition(lambda self: self.oracle.windows)
    @rule(who=one_of(*["operator of it"] * 4, *PROVIDERS, NATIONAL), pick=PICK)
    def confirm(self, who: str, pick: int) -> None:
        window = self.window(pick)
        who = window.to if who == "operator of it" else who
        self.same(self.oracle.confirm(who, window), self.node.act(who, "service-windows", window.id, "confirmation"))

    @precondition(lambda self: self.oracle.windows)
    @rule(who=one_of("provider", "operator of it", "operator of it", OPERATOR, NETWORK, *PROVIDERS), action=one_of("withdrawal", "cancellation"), pick=PICK)
    def end(self, who: str, action: str, pick: int) -> None:
        window = self.window(pick)
        who = {"provider": window.provider, "operator of it": window.to}.get(who, who)
        expected = {"withdrawal": self.oracle.take_back, "cancellation": self.oracle.call_off}[action](who, window)
        self.same(expected, self.node.act(who, "service-windows", window.id, action))

    # -- consents

    @precondition(lambda self: self.given)
    @rule(pick=PICK, how=one_of("notified", "notified", "not notified", "not notified"))
    def revoke(self, pick: int, how: str) -> None:
        """Taken back, used or not; the node hears of it at once, or later, or finds out."""
        given = self.some_given(pick)
        given.is_revoked = True
        self.node.server.revoke(given.id, notify=False)
        if how == "notified":
            self.notify(given)

    def some_given(self, pick: int) -> Given:
        """One of those that were given, rather one that something rests on."""
        held = [each.given for each in self.oracle.consents if each.status == "VALID"]
        among = held if held and pick % 4 else self.given
        return among[-1 - pick % len(among)]

    def notify(self, given: Given) -> None:
        self.oracle.notified(given)
        self.messages.append((given, f"msg-{len(self.messages)}"))
        self.node.room.notify(given.id, name=self.messages[-1][1])

    @precondition(lambda self: any(each.is_revoked for each in self.given))
    @rule(pick=PICK, how=one_of("late", "once more", "the same message", "found"))
    def hear_of_it(self, pick: int, how: str) -> None:
        """Late, again, the same message twice, or by asking about every consent that holds."""
        revoked = [each for each in self.given if each.is_revoked and (how != "late" or not each.is_notified)]
        if how == "found":
            self.oracle.rechecked()
            assert self.node.room.check() == (self.oracle.is_answering or all(each.status != "VALID" for each in self.oracle.consents))
        elif how == "the same message" and self.messages:
            given, message = self.messages[-1 - pick % len(self.messages)]
            self.node.room.notify(given.id, name=message)
        elif revoked:
            self.notify(revoked[-1 - pick % len(revoked)])

    def solution_is_there(self, is_there: bool) -> None:
        self.oracle.is_answering, self.node.server.mode = is_there, "up" if is_there else "down"

    # -- providers

    @rule(who=WHO, action=one_of("suspension", "reinstatement", "reinstatement", "reinstatement"))
    def judge_provider(self, who: str, action: str) -> None:
        expected = {"suspension": self.oracle.suspend, "reinstatement": self.oracle.reinstate}[action](who)
        self.same(expected, self.node.act(OPERATOR, "organisations", self.node.market.callers[who].organisation, action))

    @precondition(lambda self: self.oracle.switches and "WITHDRAWN" not in self.oracle.standing.values())
    @rule(who=WHO)
    def leave(self, who: str) -> None:
        self.same(self.oracle.leave(who), self.node.act(OPERATOR, "organisations", self.node.market.callers[who].organisation, "deregistration", forced=True))

    # -- the clock

    @rule(hours=one_of(0.0003, 1, 7, 24, 24 * 3, 24 * 7, 24 * 15), is_late=st.booleans(), is_back=st.booleans())
    def pass_time(self, hours: float, is_late: bool, is_back: bool) -> None:
        """The node was up all the time, or comes late to all of it; a consent solution that was away may be back, or not."""
        self.solution_is_there(self.oracle.is_answering or is_back)
        self.wait_until(self.oracle.now + timedelta(hours=hours), is_late)

    @rule(is_late=st.booleans())
    def pass_a_fortnight(self, is_late: bool) -> None:
        self.solution_is_there(True)
        self.wait_until(self.oracle.now + timedelta(days=15), is_late)

    @precondition(lambda self: any(each.is_pending and midnight(each.day) > self.oracle.now for each in self.oracle.switches))
    @rule(pick=PICK, seconds=one_of(-1, 0, 0, 0, 3_600, 200_000), is_late=st.booleans(), is_away=one_of(False, False, False, True))
    def come_to_the_day(self, pick: int, seconds: int, is_late: bool, is_away: bool) -> None:
        """About the midnight on which a switch is to take effect."""
        self.solution_is_there(not is_away)
        coming = [each for each in self.oracle.switches if each.is_pending and midnight(each.day) > self.oracle.now]
        self.wait_until(max(self.oracle.now, midnight(coming[-1 - pick % len(coming)].day) + timedelta(seconds=seconds)), is_late)

    def wait_until(self, end: datetime, is_late: bool) -> None:
        while not is_late and (instant := self.oracle.next_instant(end)):
            self.go_to(instant)
        self.go_to(end)

    def go_to(self, instant: datetime) -> None:
        self.oracle.now = self.node.market.clock.instant = instant
        self.work()

    def work(self) -> None:
        self.oracle.work()
        self.node.tick()
        self.node.watch()
        self.is_the_same()

    # -- always

    @invariant()
    def is_the_same(self) -> None:
        oracle, node = self.oracle, self.node
        for asset in oracle.assets:
            record = node.record("assets", asset.id)
            times = [(node.name(each["provider"]), date.fromisoformat(each["validFrom"]), _day(each.get("validTo"))) for each in record["responsibility"]]
            assert (node.name(record["managedBy"]), record["registrationStatus"], record["standing"], times) == (asset.provider, asset.state, asset.standing, asset.times)
            for who in (*PROVIDERS, NETWORK):
                assert node.look(who, asset.id) == oracle.look(who, asset), (asset.slot, who)
        for switch in oracle.switches:
            record = node.record("switches", switch.id)
            assert (record["switchStatus"], record.get("switchReason", "")) == (switch.status, switch.reason)
            assert (node.name(record["gainingProvider"]), node.name(record.get("losingProvider", "")), record["switchDate"]) == (switch.gaining, switch.losing, switch.day.isoformat())
            assert parse_stamp(record["effectiveAt"]) == midnight(switch.day)
        assert [node.record("service-windows", each.id)["windowStatus"] for each in oracle.windows] == [each.status for each in oracle.windows]
        assert [node.record("consents", each.id)["consentStatus"] for each in oracle.consents] == [each.status for each in oracle.consents]
        assert [node.count(kind) for kind in ("assets", "switches", "service-windows", "consents")] == [len(each) for each in (oracle.assets, oracle.switches, oracle.windows, oracle.consents)]

    @rule(who=WHO, point=one_of(*POINTS))
    def search(self, who: str, point: str) -> None:
        """What somebody manages, has kept, and finds by a meter point, is what it sees."""
        looks = {each.id: (each, self.oracle.look(who, each)) for each in self.oracle.assets}
        seen = {id_: (asset, look) for id_, (asset, look) in looks.items() if look}
        assert self.node.listed(who, "former") == {id_ for id_, (_, look) in seen.items() if look[2]}
        assert self.node.listed(who, "me") == {id_ for id_, (asset, _) in seen.items() if asset.provider == who}
        assert self.node.found(who, point) == {id_ for id_, (asset, look) in seen.items() if point in asset.points and look[1] and look[0] != GONE}

    def teardown(self) -> None:
        try:
            assert self.node.market.projected().deviations() == []
        finally:
            self.node.close()
        assert "current state" in verify_journal(self.node.market.node_folder())
        self.node.home.cleanup()


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def walking(founded: Market) -> type[SwitchingWalk]:
    return type("SwitchingWalk", (SwitchingWalk,), {"make": staticmethod(lambda: Node(founded))})


def test_a_market_of_switches_does_what_the_documentation_says(founded: Market) -> None:
    run_state_machine_as_test(walking(founded), settings=SHORT)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(1, 5))
def test_it_does_so_for_a_long_time(founded: Market, number: int) -> None:
    run_state_machine_as_test(seed(number)(walking(founded)), settings=LONG)


# -- controls: the comparison can fail


def unasked(*_: Any) -> Any:
    """A consent is believed on the day of the switch without asking."""

    async def valid(*_: Any) -> ConsentVerdict:
        return ConsentVerdict.VALID

    return valid


WRONG_RULES: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "no notice": (switches, "earliest_date", lambda _: lambda asset, situation: situation.today.isoformat()),
    "midnight in Greenwich": (switches, "midnight", lambda _: lambda day: f"{day}T00:00:00.000Z"),
    "no window in the way": (switches, "confirmed_windows", lambda _: lambda *_: []),
    "windows beyond a switch": (service_window, "pending_switch", lambda _: lambda *_: None),
    "consents go on": (proof, "ended", lambda _: lambda *_: ()),
    "not asked again": (SwitchWatch, "_verdict", unasked),
    "nothing is kept": (past, "pasts", lambda _: lambda _: []),
    "seen without consent": (reveal, "lacks_consent", lambda _: lambda _: False),
}


def story(founded: Market) -> None:
    """A walk that comes by each of these rules; what is expected of each step is the oracle's to say."""
    walk = walking(founded)()
    try:
        walk.begin(STARTS[3])
        for step in (
            lambda: walk.declare("fsp-a", "house", NETWORK, "P", 0, 20, 0, True),
            lambda: walk.ask("fsp-b", "house", "fresh", 0, None, False),
            lambda: walk.ask("fsp-b", "house", "of a single use", 0, 20, False),
            lambda: walk.declare("fsp-a", "house", NETWORK, "Q", 0, 30, 0, True),
            lambda: walk.decide("withdrawal", "gaining", 0),
            lambda: walk.ask("fsp-b", "house", "old", 0, 20, False),
            lambda: walk.ask("fsp-b", "flat", "fresh", 0, None, False),
            lambda: walk.pass_a_fortnight(False),
            lambda: walk.ask("fsp-c", "house", "fresh", 0, 20, True),
            lambda: walk.revoke(0, "not notified"),
            lambda: walk.come_to_the_day(0, 0, True, False),
            lambda: walk.ask("fsp-c", "flat", "fresh", 0, None, False),
            lambda: walk.judge_provider("fsp-c", "suspension"),
            lambda: walk.notify(walk.asset("attic").consent.given),
            lambda: walk.search("fsp-a", FLAT[0]),
        ):
            step()
            walk.is_the_same()
    finally:
        walk.node.close()
        walk.node.home.cleanup()
    assert {each.reason or each.status for each in walk.oracle.switches} == {"WITHDRAWN", "EFFECTIVE", "CONSENT_ENDED", "GAINING_FSP_NOT_ACTIVE"}


def test_the_story_is_as_the_oracle_tells_it(founded: Market) -> None:
    story(founded)


@pytest.mark.parametrize("name", WRONG_RULES)
def test_a_wrong_rule_is_found(founded: Market, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, rule_, wrong = WRONG_RULES[name]
    monkeypatch.setattr(place, rule_, wrong(getattr(place, rule_)))
    with pytest.raises(AssertionError):
        story(founded)


# -- what it has found


def test_a_window_of_a_provider_that_has_left_stands_in_nobodys_way(founded: Market) -> None:
    """Domain 5.3: windows of the losing provider count. One that left the register with a confirmed window kept its former asset from moving on, and from leaving."""
    walk = walking(founded)()
    walk.begin(STARTS[0])
    walk.declare("fsp-a", "house", NETWORK, "P", 0, 200, 0, True)
    walk.leave("fsp-a")
    walk.ask("fsp-b", "house", "fresh", 0, None, False)
    walk.pass_time(1, False, True)
    walk.ask("fsp-c", "house", "fresh", 0, None, False)
    walk.decide("cancellation", "", 0)
    walk.declare("fsp-b", "house", NETWORK, "P", 3, 1, 0, True)
    walk.end("operator of it", "cancellation", 0)
    walk.deregister("fsp-b", "house")
    walk.is_the_same()
    walk.teardown()
