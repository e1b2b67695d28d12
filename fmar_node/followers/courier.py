"""Brings the events of one subscription to its endpoint, in the order of each record.

Rules kept here:
- nothing but a challenge goes to an endpoint that has not answered one;
- what is sent is made when it is sent, with the rights that the subscriber has then; what it may not know any more is dropped;
- an endpoint that takes nothing is tried with one delivery at a time, later and later; a single delivery that is not taken is
  tried again, later and later, and its record's later ones wait for it, until it is a dead letter; other records go on;
- an endpoint that is gone (410) ends its subscription, one that has taken nothing for days has failed;
- a delivery that is tried again has the same `webhook-id`: the id of its event.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from fmar_node.access.caller import ADMITTED, Caller, node_itself
from fmar_node.access.fetch import FetchError
from fmar_node.access.outlet import Outlet, Reply
from fmar_node.access.standing import Standings
from fmar_node.clock import Clock, parse_stamp, stamp
from fmar_node.drafting import Submission
from fmar_node.errors import FmarError
from fmar_node.event import MEDIA_TYPE, NAMESPACE, SPECIFICATION, Event, Wish
from fmar_node.feed import Feed
from fmar_node.followers.deliveries import Deliveries, Delivery
from fmar_node.followers.signature import signed
from fmar_node.identity import by_chance, new_token
from fmar_node.kinds.subscription import ACTIVE, ENDED, PENDING
from fmar_node.record import Version, uuid_of
from fmar_node.representation import LD_JSON, fingerprint, json_bytes
from fmar_node.settings import Settings

log = logging.getLogger("fmar.webhooks")
CHALLENGE = f"{NAMESPACE}.endpoint.challenge"
PAGE = 100
"""Events that are put down at once."""
OUTCOMES = ("taken", "refused", "dead", "dropped")
"""What becomes of an attempt; dropped is what the subscriber may not know any more."""
IDLE_SECONDS = 60.0
"""A courier looks so often, even where nothing tells it to."""
MORE = 1.5
"""By how much a pause may be longer than another, by chance; and as much shorter."""


@dataclass(slots=True)
class Silence:
    """How often an endpoint has taken nothing in a row, and until when it is left alone (seconds since 1970)."""

    times: int = 0
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Message:
    """A delivery as it is sent."""

    delivery: Delivery
    id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """What a courier does next: with the subscription as it is now, what it sends, for how long it may rest, and what it has the node enter."""

    version: Version
    messages: tuple[Message, ...] = ()
    secrets: tuple[str, ...] = ()
    nap: float = IDLE_SECONDS
    enters: str = ""


@dataclass(slots=True)
class Desk:
    """What all couriers share. The register, the feed and the deliveries are used in one thread, by `do`."""

    feed: Feed
    standings: Standings
    deliveries: Deliveries
    submit: Callable[[Submission], Awaitable[object]]
    do: Callable[[Callable[[], Any]], Awaitable[Any]]
    settings: Settings
    clock: Clock
    counts: Counter[str] = field(default_factory=Counter)
    """Attempts by outcome."""
    posts: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(64))

    @property
    def now(self) -> float:
        return self.clock.now().timestamp()


class Courier:
    """`run` goes on until the subscription has ended, or it is cancelled."""

    def __init__(self, subscription: str, desk: Desk) -> None:
        self.subscription, self.desk = subscription, desk
        self.woken = asyncio.Event()
        self.state = ""
        self.silence = Silence()
        self.flying: dict[asyncio.Task[Reply | FetchError], Delivery] = {}
        self.landed: list[tuple[Delivery, Reply | FetchError]] = []
        self.outlet: Outlet | None = None
        self.seen, self.lag = -1, 0
        """How far it has looked through the journal, and how many entries there are behind that."""

    def wake(self) -> None:
        self.woken.set()

    async def run(self) -> None:
        try:
            while True:
                self.woken.clear()
                plan = await self._planned()
                if plan is None:
                    return
                await self._followed(plan)
        finally:
            for task in self.flying:
                task.cancel()
            await asyncio.gather(*self.flying, return_exceptions=True)
            if self.outlet:
                await self.outlet.close()

    async def _planned(self) -> Plan | None:
        """The next plan, when there can be one: a file that cannot be written is tried again."""
        while True:
            try:
                plan: Plan | None = await self.desk.do(self._plan)
                return plan
            except Exception:
                log.exception("a subscription's deliveries could not be looked at; it is tried again")
                await asyncio.sleep(1.0)

    async def _followed(self, plan: Plan) -> None:
        """Whatever goes wrong with it, the next plan has its turn."""
        try:
            await self._follow(plan)
        except Exception:
            log.exception("a subscription's plan could not be followed; it is tried again")
            await asyncio.sleep(1.0)

    async def _follow(self, plan: Plan) -> None:
        if plan.enters:
            await self._enter(plan.enters, plan.version)
        elif plan.version.state == PENDING and plan.nap == 0:
            await self._challenge(plan)
        for message in plan.messages:
            self.flying[asyncio.create_task(self._post(plan, message))] = message.delivery
        await self._rest(plan.nap)

    async def _rest(self, seconds: float) -> None:
        """Until a delivery has landed, somebody wakes it, or the time has come."""
        waking = asyncio.create_task(self.woken.wait())
        try:
            await asyncio.wait({waking, *self.flying}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waking.cancel()
        for task in [task for task in self.flying if task.done()]:
            self.landed.append((self.flying.pop(task), task.result()))

    # -- what is to be done: in the thread

    def _plan(self) -> Plan | None:
        """Puts down what has landed, looks through the journal, and takes what is due; None where the subscription has ended."""
        desk = self.desk
        version = desk.feed.register.current("subscriptions", self.subscription)
        if version is None or version.state == ENDED:
            desk.deliveries.forget(self.subscription)
            return None
        with desk.deliveries.writing():
            enters = self._put_down()
            self._note_state(version)
            secrets = tuple(desk.deliveries.secrets(self.subscription, desk.now))
            enters = enters or self._failure(version, secrets)
            if enters or version.state not in (ACTIVE, PENDING):
                return Plan(version, enters=enters, nap=0.0 if enters else IDLE_SECONDS)
            left = max(0.0, self.silence.until - desk.now)
            if version.state == PENDING:
                return Plan(version, secrets=secrets, nap=left)
            return self._deliveries(version, secrets, left)

    def _note_state(self, version: Version) -> None:
        deliveries = self.desk.deliveries
        if deliveries.seen(self.subscription) is None:
            deliveries.advance(self.subscription, version.index, ())
        if version.state not in (self.state, ACTIVE):
            deliveries.renew(self.subscription, self.desk.now)
            self.silence = Silence()
        self.state = version.state

    def _failure(self, version: Version, secrets: Sequence[str]) -> str:
        """`failure`, where nothing has been taken for too long, or cannot be signed; otherwise nothing."""
        if version.state not in (ACTIVE, PENDING):
            return ""
        since = self.desk.deliveries.failing_since(self.subscription)
        if version.state == PENDING:
            since = parse_stamp(version.document["recordedAt"]).timestamp() if self.silence.times else None
        is_over = since is not None and self.desk.now - since >= self.desk.settings.webhook_fail_seconds
        return "failure" if is_over or not secrets else ""

    def _deliveries(self, version: Version, secrets: tuple[str, ...], left: float) -> Plan:
        caller = self.desk.standings.named(uuid_of(version.document["subscriber"]))
        if caller.state not in ADMITTED:
            return Plan(version)
        wish = wish_in(version)
        fresh, is_level = self._look(caller, wish)
        if left:
            return Plan(version, nap=left if is_level else 0.0)
        room = (1 if self._is_silent else self.desk.settings.webhook_at_once) - len(self.flying)
        messages, dropped = self._taken(caller, wish, fresh, room) if room > 0 else ((), 0)
        return Plan(version, messages, secrets, self._nap(bool(dropped) or not is_level, len(messages) < room))

    def _look(self, caller: Caller, wish: Wish) -> tuple[dict[int, Event], bool]:
        """Puts down what the next part of the journal means to the subscriber, as far as there is room; whether that was all."""
        deliveries, most = self.desk.deliveries, self.desk.settings.webhook_waiting
        seen = deliveries.seen(self.subscription) or 0
        room = most - deliveries.waiting(self.subscription)
        size = self.desk.feed.register.size()
        self.seen, self.lag = seen, max(0, size - 1 - seen)
        if room <= 0 or not self.lag:
            return {}, True
        page = self.desk.feed.page(caller, seen, min(PAGE, room), wish)
        deliveries.advance(self.subscription, page.seen, ((event.index, uuid_of(event.subject)) for event in page.events))
        self.seen, self.lag = page.seen, page.behind
        return {event.index: event for event in page.events}, not page.behind

    def _taken(self, caller: Caller, wish: Wish, fresh: dict[int, Event], room: int) -> tuple[tuple[Message, ...], int]:
        """What goes out now; and of how much the subscriber may know nothing any more."""
        desk, messages, dropped = self.desk, list[Message](), 0
        flying = [delivery.record for delivery in self.flying.values()]
        for delivery in desk.deliveries.due(self.subscription, desk.now, flying, room):
            event = fresh.get(delivery.entry) or desk.feed.event(delivery.entry, caller, wish)
            if event is None:
                desk.deliveries.delivered(self.subscription, delivery.entry)
                dropped += 1
            else:
                messages.append(Message(delivery, event.id, json_bytes(event.as_json(desk.settings.base_url))))
        desk.counts["dropped"] += dropped
        return tuple(messages), dropped

    def _nap(self, is_more: bool, has_room: bool) -> float:
        """Seconds until there may be something to do, if nothing lands and nobody wakes it before."""
        if is_more and has_room:
            return 0.0
        flying = [delivery.record for delivery in self.flying.values()]
        due = self.desk.deliveries.next_due(self.subscription, now := self.desk.now, flying)
        return IDLE_SECONDS if due is None else min(due - now, IDLE_SECONDS)

    # -- what has become of it: in the thread

    def _put_down(self) -> str:
        """The outcomes of what has landed; the action that follows from them, if one does."""
        landed, self.landed = self.landed, []
        gone = False
        for delivery, outcome in landed:
            if isinstance(outcome, Reply) and outcome.is_taken:
                self._was_taken(delivery)
            else:
                gone = gone or (isinstance(outcome, Reply) and outcome.status == HTTPStatus.GONE)
                self._was_refused(delivery, outcome)
        return "end" if gone else ""

    def _was_taken(self, delivery: Delivery) -> None:
        desk = self.desk
        desk.deliveries.delivered(self.subscription, delivery.entry)
        desk.deliveries.note_failing(self.subscription, None)
        if self._is_silent:
            desk.deliveries.hasten(self.subscription, desk.now)
        self.silence = Silence()
        desk.counts["taken"] += 1

    def _was_refused(self, delivery: Delivery, outcome: Reply | FetchError) -> None:
        desk, now = self.desk, self.desk.now
        since = delivery.since if delivery.since is not None else now
        is_dead = now - since >= desk.settings.webhook_give_up_seconds
        wanted = outcome.pause if isinstance(outcome, Reply) else 0.0
        pause = self._pause(delivery.attempts, wanted)
        again = replace(delivery, is_dead=is_dead, attempts=delivery.attempts + 1, since=since, due=now + pause, problem=problem_of(outcome))
        desk.deliveries.postponed(self.subscription, again)
        desk.deliveries.note_failing(self.subscription, now)
        if is_dead:
            desk.deliveries.bury(self.subscription, desk.settings.webhook_dead_letters)
        desk.counts["dead" if is_dead else "refused"] += 1
        self._fall_silent(wanted)

    def _fall_silent(self, wanted: float) -> None:
        """One more that was not taken: after as many in a row as may be under way, the endpoint is left alone; and as long as it asks for."""
        self.silence.times += 1
        if wanted or self._is_silent:
            times = max(0, self.silence.times - self.desk.settings.webhook_at_once)
            self.silence.until = self.desk.now + self._pause(times, wanted)

    @property
    def _is_silent(self) -> bool:
        return self.silence.times >= self.desk.settings.webhook_at_once

    def _pause(self, attempts: int, wanted: float) -> float:
        settings = self.desk.settings
        grown: float = min(settings.webhook_pause_seconds * 2 ** min(attempts, 30), settings.webhook_pause_seconds_most)
        return max(grown * by_chance(1 / MORE, MORE), wanted)

    # -- what goes out

    async def _post(self, plan: Plan, message: Message) -> Reply | FetchError:
        return await self._send(plan, message.id, message.body)

    async def _send(self, plan: Plan, id_: str, body: bytes) -> Reply | FetchError:
        """What the endpoint has answered, or why it has not."""
        headers = {"Content-Type": MEDIA_TYPE, "User-Agent": "fmar-node", **signed(plan.secrets, id_, int(self.desk.now), body)}
        try:
            async with self.desk.posts:
                return await (await self._outlet(plan.version.document["endpoint"])).post(body, headers)
        except FetchError as refusal:
            return refusal
        except Exception:
            log.exception("a subscription's endpoint could not be asked")
            return FetchError("it could not be asked; the node's log says why")

    async def _outlet(self, endpoint: str) -> Outlet:
        if self.outlet is None or self.outlet.endpoint != endpoint:
            old, self.outlet = self.outlet, Outlet(endpoint, self.desk.settings, self.desk.clock)
            if old:
                await old.close()
        return self.outlet

    async def _challenge(self, plan: Plan) -> None:
        """Asks the endpoint whether it wants this: it does if it answers with the token."""
        token = new_token()
        challenge = {
            "specversion": SPECIFICATION, "id": f"challenge-{new_token()}", "source": self.desk.settings.base_url, "type": CHALLENGE,
            "subject": plan.version.iri, "time": stamp(self.desk.clock.now()), "datacontenttype": "application/json", "data": {"challenge": token},
        }  # fmt: skip
        reply = await self._send(plan, str(challenge["id"]), json_bytes(challenge))
        if isinstance(reply, Reply) and reply.is_taken and has_answered(reply.body, token):
            await self._enter("verification", plan.version)
            return
        wanted = reply.pause if isinstance(reply, Reply) else 0.0
        self.silence.until = self.desk.now + self._pause(self.silence.times, wanted)
        self.silence.times += 1

    async def _enter(self, action: str, version: Version) -> None:
        """The node's own word about the subscription, as it was looked at."""
        desk, asked_about = self.desk, (fingerprint(version.document),)
        submission = Submission(node_itself("webhooks"), "subscriptions", action, version.id, desk.settings.base_url, LD_JSON, b"{}", if_match=asked_about)
        try:
            await desk.submit(submission)
        except FmarError as refusal:
            log.warning("what became of a subscription could not be entered (%s); it is looked at again", refusal.code)
            await asyncio.sleep(1.0)
        self.silence = Silence()
        self.wake()


def wish_in(version: Version) -> Wish:
    """Which events a subscription is for."""
    document = version.document
    return Wish(*(frozenset(document.get(term, ())) for term in ("eventKind", "eventArea", "eventCategory", "eventAction")))


def has_answered(body: bytes, token: str) -> bool:
    """Whether an answer is the token alone, or JSON that has it as `challenge`: whoever sends back what it is sent has not read it."""
    if body.strip() == token.encode():
        return True
    with suppress(ValueError, RecursionError):
        said = json.loads(body)
        return isinstance(said, dict) and said.get("challenge") == token
    return False


def problem_of(outcome: Reply | FetchError) -> str:
    """Why a delivery was not taken, for the subscriber."""
    if isinstance(outcome, FetchError):
        return str(outcome)[:200]
    redirected = " and redirects are not followed" if 300 <= outcome.status < 400 else ""
    return f"the answer was {outcome.status}{redirected}"


