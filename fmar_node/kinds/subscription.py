"""Subscriptions: where an organisation is told of events, and of which (domain C6).

States: PENDING_VERIFICATION -> ACTIVE <-> PAUSED; ACTIVE -> FAILED -> PENDING_VERIFICATION; each of them -> ENDED. Nothing but a
challenge is sent before the endpoint has answered it, and again when it is another one. Where and what an organisation is
told is its own business: nobody subscribes on behalf of another. The secret is no part of the record: the journal never has it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from fmar_node.access.address import may_ask
from fmar_node.access.caller import Role
from fmar_node.access.reveal import Relation
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.kind import Action, Kind, Policy, Rule, Situation, becomes, by_node
from fmar_node.settings import Settings, is_loopback, is_safe_url
from fmar_node.vocabulary import Document, Vocabulary

PENDING, ACTIVE, PAUSED, FAILED, ENDED = "PENDING_VERIFICATION", "ACTIVE", "PAUSED", "FAILED", "ENDED"
OPEN = frozenset({PENDING, ACTIVE, PAUSED, FAILED})
OPERATOR, OWN = frozenset({Role.OPERATOR}), frozenset({Relation.SELF})
USE_CASES = ("UC-05.01",)


# -- the endpoint


def endpoint_may_be_asked(document: Document, _: Vocabulary, settings: Settings) -> list[Fault]:
    """An https URL in public, at a port that the operator allows; what a name stands for is judged when it is asked."""
    endpoint = document.get("endpoint")
    if not isinstance(endpoint, str):
        return []
    if not is_safe_url(endpoint, may_be_loopback=settings.webhook_loopback) or not _is_whole(endpoint):
        return [_wrong("SUBSCRIPTION-ENDPOINT-1", "endpoint is not an https URL without user and fragment")]
    parts = urlsplit(endpoint)
    if is_loopback(parts.hostname or "") and settings.webhook_loopback:
        return []
    if (parts.port or 443) not in settings.webhook_ports:
        ports = ", ".join(map(str, settings.webhook_ports))
        return [_wrong("SUBSCRIPTION-ENDPOINT-2", f"endpoint has a port that is not asked from here; the ports are {ports}")]
    if not _is_public(parts.hostname or ""):
        return [_wrong("SUBSCRIPTION-ENDPOINT-3", "endpoint has an address that is not asked from here; it has to be a public one")]
    return []


def _is_whole(endpoint: str) -> bool:
    """Whether whoever is to ask it will take it for a URL: the name of its host may be none."""
    from fmar_node.access.fetch import FetchError, checked  # and with it httpx: nobody else here pays for it

    try:
        return bool(checked(endpoint))
    except FetchError:
        return False


def _is_public(host: str) -> bool:
    if host == "localhost":
        return False
    try:
        return may_ask(_address(host), may_be_private=False)
    except ValueError:
        return True


def _address(host: str) -> IPv4Address | IPv6Address:
    """The address that a host is, also as resolvers understand it: 2130706433, 0x7f.1. ValueError for a name."""
    try:
        return ip_address(socket.inet_aton(host))
    except (OSError, ValueError):
        return ip_address(host)


def _wrong(code: str, message: str) -> Fault:
    return Fault(code, Severity.REJECT, message, "/endpoint", "endpoint")


# -- rules


def there_is_room(situation: Situation) -> Iterable[Fault]:
    """So many at once, as the operator sets it."""
    most = situation.house.most_subscriptions
    if len(situation.register.belonging("subscriptions", situation.caller.organisation, tuple(sorted(OPEN)))) >= most:
        message = f"your organisation has {most} subscriptions, as many as it may have; end one first"
        yield Fault("SUBSCRIPTION-OPEN-2", Severity.REJECT, message, "", "subscriptionStatus")


def there_are_such_events(situation: Situation) -> Iterable[Fault]:
    """What is misspelt would never be told."""
    known = situation.house.actions
    chosen = situation.document.get("eventKind", ())
    for place, kind in enumerate(chosen):
        if kind not in known:
            message = f"a value of eventKind is a kind as it stands in URLs: {', '.join(sorted(known))}"
            yield Fault("SUBSCRIPTION-OPEN-3", Severity.REJECT, message, f"/eventKind/{place}", "eventKind")
    actions = frozenset().union(*(known[kind] for kind in chosen or known if kind in known))
    for place, action in enumerate(situation.document.get("eventAction", ())):
        if action not in actions:
            message = "a value of eventAction is not an action of these kinds"
            yield Fault("SUBSCRIPTION-OPEN-4", Severity.REJECT, message, f"/eventAction/{place}", "eventAction")


EVENTS = Rule(there_are_such_events, ("SUBSCRIPTION-OPEN-3", "SUBSCRIPTION-OPEN-4"))


# -- what the node sets


def opened(situation: Situation) -> Document:
    base = situation.document["id"].rsplit("/subscriptions/", 1)[0]
    own = f"{base}/organisations/{situation.caller.organisation}"
    return {**situation.document, "subscriber": own, "secretSince": situation.now, "subscriptionStatus": PENDING}


def changed(situation: Situation) -> Document:
    """Another endpoint has to answer for itself."""
    was = situation.previous.document if situation.previous else {}
    is_same = situation.document.get("endpoint") == was.get("endpoint")
    return situation.document if is_same else {**situation.document, "subscriptionStatus": PENDING}


def resumed(situation: Situation) -> Document:
    """What had failed has to answer again."""
    was_paused = situation.document["subscriptionStatus"] == PAUSED
    return {**situation.document, "subscriptionStatus": ACTIVE if was_paused else PENDING}


def with_new_secret(situation: Situation) -> Document:
    return {**situation.document, "secretSince": situation.now}


def by_subscriber(code: str, does: str) -> tuple[Policy, ...]:
    return (Policy(code, f"a subscription is {does} by the organisation that is told", relations=OWN),)


SUBSCRIPTION = Kind(
    name="subscription",
    plural="subscriptions",
    class_name="Subscription",
    plain_checks=endpoint_may_be_asked,
    filters=("subscriptionStatus",),
    actions={
        "register": Action(
            "register",
            USE_CASES,
            (Policy("SUBSCRIPTION-OPEN-1", "an active organisation is told of events at an address of its own"),),
            (Rule(there_is_room, ("SUBSCRIPTION-OPEN-2",)), EVENTS),
            apply=opened,
            takes_document=True,
        ),
        "update": Action(
            "update",
            USE_CASES,
            by_subscriber("SUBSCRIPTION-UPDATE-1", "changed"),
            (EVENTS,),
            states=OPEN,
            state_rule="SUBSCRIPTION-UPDATE-2",
            apply=changed,
            takes_document=True,
        ),
        "verification": Action(
            "verification",
            USE_CASES,
            by_node("SUBSCRIPTION-VERIFY-1"),
            states=frozenset({PENDING}),
            state_rule="SUBSCRIPTION-VERIFY-2",
            apply=becomes("subscriptionStatus", ACTIVE),
            is_nodes_own=True,
        ),
        "pause": Action(
            "pause",
            USE_CASES,
            by_subscriber("SUBSCRIPTION-PAUSE-1", "paused"),
            states=frozenset({ACTIVE}),
            state_rule="SUBSCRIPTION-PAUSE-2",
            apply=becomes("subscriptionStatus", PAUSED),
        ),
        "resumption": Action(
            "resumption",
            USE_CASES,
            by_subscriber("SUBSCRIPTION-RESUME-1", "resumed"),
            states=frozenset({PAUSED, FAILED}),
            state_rule="SUBSCRIPTION-RESUME-2",
            apply=resumed,
        ),
        "secret-rotation": Action(
            "secret-rotation",
            USE_CASES,
            by_subscriber("SUBSCRIPTION-SECRET-1", "given a new secret"),
            states=OPEN,
            state_rule="SUBSCRIPTION-SECRET-2",
            apply=with_new_secret,
        ),
        "failure": Action(
            "failure",
            USE_CASES,
            by_node("SUBSCRIPTION-FAIL-1"),
            states=frozenset({PENDING, ACTIVE}),
            state_rule="SUBSCRIPTION-FAIL-2",
            apply=becomes("subscriptionStatus", FAILED),
            is_nodes_own=True,
        ),
        "cancellation": Action(
            "cancellation",
            USE_CASES,
            (
                Policy("SUBSCRIPTION-CANCEL-1", "the operator ends any subscription", OPERATOR),
                Policy("SUBSCRIPTION-CANCEL-2", "a subscription is ended by the organisation that is told, or by the operator", relations=OWN),
            ),
            states=OPEN,
            state_rule="SUBSCRIPTION-CANCEL-3",
            apply=becomes("subscriptionStatus", ENDED),
        ),
        "end": Action(
            "end",
            ("UC-01.04",),
            by_node("SUBSCRIPTION-END-1"),
            states=OPEN,
            state_rule="SUBSCRIPTION-END-2",
            apply=becomes("subscriptionStatus", ENDED),
            is_nodes_own=True,
        ),
        ERASURE: erasure("SUBSCRIPTION", OPEN | {ENDED}),
    },
)
