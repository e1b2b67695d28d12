"""Subscriptions over HTTP, beyond what every record has: secrets, what is not delivered yet, dead letters.

Rules kept here: a secret is told once, in the answer to the request that made it, to whoever was let make it; what is not delivered
is told to those who see the subscription, and replayed for its subscriber alone.
"""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from fmar_node import jsonld
from fmar_node.access.caller import Caller
from fmar_node.clock import stamp_of
from fmar_node.drafting import Submission
from fmar_node.errors import Fault, FmarError, Forbidden, Malformed, NotFound, Severity, Unavailable
from fmar_node.feed import cursor_of, index_of
from fmar_node.followers.deliveries import Delivery
from fmar_node.kinds import Situation
from fmar_node.read import Shown
from fmar_node.submit import Outcome
from fmar_node.web.exchange import Exchange, json_response
from fmar_node.web.noted import noted_of
from fmar_node.web.records import Endpoint, Records, page_limit

SECRET = "Fmar-Webhook-Secret"  # noqa: S105
GIVING = frozenset({"register", "secret-rotation"})
STATUSES = ("waiting", "dead")
PARAMETERS = ("status", "limit", "cursor")
MOST_EVENTS = 500


class Subscriptions(Records):
    """The routes of subscriptions."""

    def more(self) -> tuple[tuple[str, Endpoint, str], ...]:
        return ("deliveries", self.deliveries, "GET"), ("replay", self.replay, "POST")

    async def run(self, exchange: Exchange, submission: Submission) -> Outcome:
        if submission.action not in GIVING:
            return await super().run(exchange, submission)
        made = await exchange.node.webhooks.new_secret(submission.id)
        try:
            outcome = await super().run(exchange, submission)
        except FmarError as refusal:
            if not isinstance(refusal, Unavailable):  # then it may have been written all the same
                await exchange.node.webhooks.drop(made)
            raise
        if outcome.receipt is None or outcome.receipt.is_repeat:
            await exchange.node.webhooks.drop(made)
            return outcome
        await exchange.node.webhooks.use(made)
        exchange.request.state.secret = made.secret
        return outcome

    def _answer(self, exchange: Exchange, submission: Submission, outcome: Outcome) -> Response:
        response = super()._answer(exchange, submission, outcome)
        if secret := getattr(exchange.request.state, "secret", ""):
            response.headers[SECRET] = secret
            response.headers["Cache-Control"] = "no-store"
        return response

    async def deliveries(self, request: Request) -> Response:
        """What has not been delivered yet (`status=waiting`), or was given up (`status=dead`): which events, how often tried, and why not taken."""
        exchange = self._met(request)
        shown, _ = await self._found(exchange)
        node, asked = exchange.node, request.query_params
        if odd := [name for name, _ in asked.multi_items() if name not in PARAMETERS or len(asked.getlist(name)) > 1]:
            raise Malformed("malformed-request", f"deliveries are narrowed by one each of {', '.join(PARAMETERS)}, not by {odd[0][:40]!r}")
        if (status := asked.get("status", STATUSES[0])) not in STATUSES:
            raise Malformed("malformed-request", f"status is one of {', '.join(STATUSES)}")
        limit = page_limit(asked.get("limit"), node.settings.page_items, node.settings.page_items_most)
        after = index_of(asked["cursor"]) if "cursor" in asked else -1
        found = await node.webhooks.page(shown.version.id, status == "dead", after, limit + 1)
        items = [_told(each) for each in found[:limit]]
        if len(found) <= limit:
            return json_response({"items": items})
        following = f"{shown.version.iri}/deliveries?{urlencode({'status': status, 'limit': limit, 'cursor': cursor_of(found[limit - 1].entry)})}"
        return json_response({"items": items, "next": following}, 200, {"Link": f'<{following}>; rel="next"'})

    async def replay(self, request: Request) -> Response:
        """Delivers dead letters again: those whose events the body names, `{"events": ["42"]}`, or all of them."""
        exchange = self._met(request)
        noted_of(request).wrote("replay")
        shown, caller = await self._found(exchange)
        self._check_own(shown, caller, exchange)
        entries = _entries(await exchange.body(exchange.node.settings.body_bytes), exchange)
        replayed = await exchange.node.webhooks.replay(shown.version.id, entries)
        if entries and not replayed:
            raise NotFound("not-found", "none of these events is a dead letter of this subscription; GET .../deliveries?status=dead lists them")
        return json_response({"replayed": replayed})

    async def _found(self, exchange: Exchange) -> tuple[Shown, Caller]:
        caller = await exchange.caller()
        if caller.is_anonymous:
            raise exchange.node.verifier.missing("deliveries are the subscriber's own")
        return exchange.node.reader.current(self.kind.plural, exchange.request.path_params["id"], caller), caller

    def _check_own(self, shown: Shown, caller: Caller, exchange: Exchange) -> None:
        """Who may pause and resume may replay."""
        situation = Situation(caller, exchange.node.register, exchange.node.today, shown.version.document, shown.version)
        verdict = self.kind.actions["resumption"].verdict(situation)
        if not verdict.permitted:
            raise Forbidden("not-permitted", f"{verdict.policy}: {verdict.reason}", (Fault(verdict.policy, Severity.REJECT, verdict.reason),))


def _entries(body: bytes, exchange: Exchange) -> list[int] | None:
    if not body.strip():
        return None
    said = jsonld.read_json(body, exchange.node.settings)
    if not isinstance(said, dict) or said.keys() - {"events"}:
        raise Malformed("malformed-request", 'send {"events": ["42", ...]}, or nothing for all of them')
    events = said.get("events")
    if events is None:
        return None
    if not isinstance(events, list) or len(events) > MOST_EVENTS or not all(isinstance(each, str) and not isinstance(each, jsonld.Number) and each.isascii() and each.isdigit() and len(each) < 16 for each in events):
        raise Malformed("malformed-request", f"events are the ids of at most {MOST_EVENTS} events, as text")
    return [int(each) for each in events]


def _told(delivery: Delivery) -> dict[str, object]:
    told: dict[str, object] = {"event": str(delivery.entry), "attempts": delivery.attempts}
    if delivery.since is not None:
        told |= {"since": stamp_of(delivery.since), "problem": delivery.problem}
        if not delivery.is_dead:
            told["next"] = stamp_of(delivery.due)
    return told


