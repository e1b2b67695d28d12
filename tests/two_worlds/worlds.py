"""Markets by a seed: a story that any number of worlds live, and what only the fuller ones live besides."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

from fmar_node.access.caller import ANONYMOUS, Caller, Role
from fmar_node.access.reveal import SEES, Relation, filtered, is_public, reveal
from fmar_node.client import new_key, public_part
from fmar_node.clock import stamp, today
from fmar_node.errors import FmarError
from fmar_node.kinds import KINDS, Situation
from fmar_node.record import Version, uuid_of
from fmar_node.vocabulary import Document
from tests.market import BASE, START, Market, battery, mpan, organisation, saved_query, vocabulary

MEMBERS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "fsp-a": (["FSP"], {}),
    "fsp-b": (["FSP"], {}),
    "fsp-c": (["FSP"], {}),
    "dso-east": (["DNO"], {"licenceArea": ["UKPN_EPN"]}),
    "dso-south": (["DNO"], {"licenceArea": ["UKPN_SPN"]}),
    "neso": (["SYSTEM_OPERATOR"], {}),
    "regulator": (["REGULATOR"], {}),
    "platform": (["PLATFORM"], {}),
    "installer": (["INSTALLER"], {}),
}
VIEWERS = ("", "fsp-a", "fsp-c", "dso-east", "neso", "regulator", "platform")
"""Each kind of caller: nobody, a provider, a suspended one, a DSO, NESO, a regulator, a platform. The operator sees all."""

OTHERS = tuple(viewer for viewer in VIEWERS if viewer != "neso")
"""All but NESO, which sees every asset and so needs a fuller world of its own."""

LATENT = {Role.DSO: Relation.AREA, Role.NESO: Relation.NATIONAL}
PROVIDERS = ("fsp-a", "fsp-b", "fsp-c")
DISTRIBUTORS = {"UKPN_EPN": 10, "UKPN_LPN": 12, "UKPN_SPN": 19}
NAMES = ("Green Park", "Mill Lane", "Harbour", "Quarry", "Abbey")
REASONS = [{"rule": rule, "text": f"because of {rule}"} for rule in ("A03", "A20", "A21", "DUPLICATE_PROBABLE")]
Look = tuple[Document | None, Document | None]
"""A record as a caller sees it, and as everybody does: the public graph and the public list stand beside the caller's own."""
Looks = dict[str, list[tuple[str, Look]]]
"""By the IRI of a record: since when it looks how."""
NO_LOOK: Look = (None, None)

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


@cache
def key_of(name: str) -> dict[str, Any]:
    """The private key of a participant: the same in every world."""
    return new_key()


def record_id(dice: random.Random, instant: datetime) -> str:
    """A UUID version 7 of an instant, as the node would issue it, by the dice."""
    milliseconds = int(instant.timestamp() * 1000) + dice.randrange(50_000)
    return str(UUID(int=(milliseconds << 80) | (7 << 76) | (dice.getrandbits(12) << 64) | (2 << 62) | dice.getrandbits(62)))


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens: `document` is a whole one, the terms that change, or an action's note."""

    by: str
    kind: str
    action: str
    id: str
    document: Document = field(default_factory=dict)

    def happen(self, market: Market, instant: datetime) -> None:
        """FmarError where it is refused."""
        market.clock.instant = instant
        caller = market.callers[self.by]
        match self.action:
            case "register":
                market.submit(caller, self.kind, self.document, "register", self.id)
            case "update":
                market.update(caller, self.kind, self.id, **self.document)
            case "record":
                market.record(self.kind, self.id, **self.document)
            case _:
                market.act(caller, self.kind, self.id, self.action, **self.document)

    def outcome(self, market: Market) -> tuple[Document | None, Document]:
        """The record's document before, and after as far as `reveal` depends on it."""
        iri = f"{BASE}/{self.kind}/{self.id}"
        previous = market.register.current(self.kind, self.id)
        before = previous.document if previous else None
        takes_document = self.action in ("register", "update")
        document = {"id": iri, "type": KINDS[self.kind].class_name, **(before or {}), **(self.document if takes_document else {})}
        document = {name: value for name, value in document.items() if value is not None}
        situation = Situation(market.callers[self.by], market.register, today(market.clock), document, previous, "", self.document)
        return before, KINDS[self.kind].actions[self.action].apply(situation)


class Author:
    """Thinks of steps, by a seed, that are possible in a market as it is."""

    def __init__(self, seed: int, mark: str) -> None:
        self.dice, self.mark, self.count = random.Random(f"{seed}/{mark}"), mark, 0
        self.assets: list[str] = []
        """The assets that this author has registered."""

    def number(self) -> int:
        """A number that no other author of this seed uses, for serial numbers and meter points."""
        self.count += 1
        return self.count + {"common": 0, "more": 1_000}[self.mark]

    def asset(self, market: Market, instant: datetime) -> Step:
        number, dice = self.number(), self.dice
        by, area = dice.choice(PROVIDERS), dice.choice(sorted(DISTRIBUTORS))
        given: Document = {
            "assetName": f"{dice.choice(NAMES)} {number}",
            "justification": REASONS,
            **dict.fromkeys(("ratedCapacity", "installedCapacity", "genCapacity", "demandCapacity"), f"{dice.choice([5, 50, 500])}.00"),
            "manufacturer": dice.choice(["Acme Storage", "Volt & Sons", 'O"Hara <Ltd>']),
            **self._place(number, area),
        }
        for chance, terms in (
            (0.35, {"alias": [{"scheme": "ECR", "value": f"ECR-{number}"}]}),
            (0.2, {"alias": [{"scheme": "EVSE", "value": f"GB*ABC*E{number}"}]}),
            (0.5, {"friendlyCode": f"{self.mark}-{dice.randrange(6)}"}),
            (0.3, {"device": self._devices(number)}),
            (0.3, self._owner(market, dice)),
            (0.4, {"postcode": "CB1 2AB", "gridSupplyPoint": f"GSP {dice.randrange(3)}"}),
            (0.3, {"flexibleUpKw": "4.50", "primarySubstation": f"Substation {number}"}),
        ):
            if dice.random() < chance:
                given |= terms
        id_ = record_id(dice, instant)
        self.assets.append(id_)
        return Step(by, "assets", "register", id_, battery(f"SN-{number}", **given))

    def _place(self, number: int, area: str) -> Document:
        code = DISTRIBUTORS[area]
        return {"dnoConnection": area, "importMPAN": mpan(2 * number, code), "exportMPAN": mpan(2 * number + 1, code)}

    def _devices(self, number: int) -> list[Document]:
        made = [{"manufacturer": "Wright", "assetModel": "W1", "serialNumber": f"DEV-{number}-{each}"} for each in (1, 2)]
        return [{**each, "ratedCapacity": "2.50", "deviceType": "inverter"} for each in made]

    def _owner(self, market: Market, dice: random.Random) -> Document:
        owner = market.callers[dice.choice(["installer", *PROVIDERS])].organisation
        return {"owner": f"organisations/{owner}", "ownerName": None}

    def change(self, market: Market, instant: datetime) -> Step:
        """A change of some tier, or a move to another area."""
        id_ = self.dice.choice(assets_of(market))
        number = self.number()
        changes: Document = self.dice.choice([
            {"assetName": f"Renamed {number}"}, {"gridSupplyPoint": f"GSP {number}"}, {"ratedCapacity": f"{number + 600}.50"},
            {"manufacturer": f"Maker {number}"}, {"assetModel": f"Model {number}"}, {"friendlyCode": f"Code-{number}"},
            {"serialNumber": f"SN-{number}"}, {"postcode": f"CB{number % 9} 2AB"}, {"device": self._devices(number)},
            {"alias": [{"scheme": "MCS", "value": f"M-{number}"}]}, {"alias": [{"scheme": "ECR", "value": f"ECR-{number}"}]},
            self._place(number, self.dice.choice(sorted(DISTRIBUTORS))), self._place(number, self.dice.choice(sorted(DISTRIBUTORS))),
        ])  # fmt: skip
        return Step(manager_of(market, id_), "assets", "update", id_, changes)

    def give_up(self, market: Market, instant: datetime) -> Step:
        """An owner leaves; what it owned is out of its window."""
        owned = [id_ for id_ in assets_of(market) if "owner" in market.current("assets", id_).document]
        id_ = self.dice.choice(owned)
        return Step(manager_of(market, id_), "assets", "update", id_, {"owner": None, "ownerName": "somebody", "justification": REASONS})

    def end(self, market: Market, instant: datetime) -> Step:
        """An asset of this author's own is de-registered."""
        id_ = self.dice.choice([id_ for id_ in self.assets if id_ in assets_of(market)])
        return Step(manager_of(market, id_), "assets", "deregistration", id_, {"deregistrationReason": "ERROR"})

    def validate(self, market: Market, instant: datetime) -> Step:
        """A source has answered: the record has facts of two tiers more."""
        id_, number = self.dice.choice(assets_of(market)), self.number()
        fact = {
            "id": f"{BASE}/assets/{id_}#evidence-1", "type": "Evidence", "evidenceKind": "METER_POINT", "checkedAt": "2026-11-22T09:30:00.000Z",
            "evidenceField": "postcode", "evidenceOutcome": "AGREES", "comparedWithPersonal": f"CB{number % 9} 3AB", "evidenceReference": f"https://points.example/{number}",
        }  # fmt: skip
        return Step("operator", "assets", "record", id_, {"validationStatus": "VERIFIED", "registrationStatus": "VERIFIED", "evidence": [fact]})

    def newcomer(self, market: Market, instant: datetime) -> Step:
        """An organisation that waits for approval."""
        number = self.number()
        document = organisation(f"Newcomer {number}", ["FSP"], organisationEmail=f"n{number}@example.org")
        return Step("operator", "organisations", "register", record_id(self.dice, instant), document)

    def passport(self, market: Market, instant: datetime) -> Step:
        """An organisation's own matters: its contacts, an alias, another key."""
        number, name = self.number(), self.dice.choice(sorted(MEMBERS))
        id_ = market.callers[name].organisation
        if self.dice.random() < 0.3:
            note = {"clientId": f"client-{number}", "publicKey": json.dumps(public_part(new_key()))}
            return Step("operator", "organisations", "key-registration", id_, note)
        changes: Document = self.dice.choice([
            {"organisationEmail": f"office{number}@example.org"}, {"primaryContactFirstName": f"Ada {number}"},
            {"organisationTradingName": f"Trading {number}"},
        ])  # fmt: skip
        return Step("operator", "organisations", "update", id_, changes)


    def person(self, market: Market, instant: datetime) -> Step:
        """A user of an organisation that nobody looks over the shoulder of."""
        return Step("fsp-b", "users", "register", record_id(self.dice, instant), {"type": "User", "userEmail": f"{self.number()}@fsp-b.example"})

    def grant(self, market: Market, instant: datetime) -> Step:
        """Something between a provider and an installer."""
        document = {
            "type": "Delegation", "delegate": market.iri("installer"), "permission": ["READ"], "assetScope": "ALL_ASSETS", "validTo": f"20{self.number() % 50 + 40}-01-01",
        }  # fmt: skip
        return Step("fsp-b", "delegations", "register", record_id(self.dice, instant), document)

    def question(self, market: Market, instant: datetime) -> Step:
        """A saved query, for whomever it is."""
        audience = {"common": self.dice.choice([["EVERYONE"], ["DNO", "PLATFORM"], ["REGULATOR"]]), "more": ["INSTALLER"]}[self.mark]
        document = saved_query(f"{self.mark}-{self.number()}", audience=audience)
        return Step("fsp-b", "queries", "register", record_id(self.dice, instant), document)


Thought = Callable[[Author, Market, datetime], Step]
COMMON: tuple[Thought, ...] = (
    *(Author.asset,) * 6, *(Author.change,) * 7, Author.give_up, Author.end, Author.validate, Author.newcomer, Author.passport,
    Author.question,
)  # fmt: skip
MORE: tuple[Thought, ...] = (
    *(Author.asset,) * 12, *(Author.change,) * 10, Author.end, Author.newcomer, Author.passport, Author.person, Author.grant,
    Author.question,
)  # fmt: skip


def assets_of(market: Market) -> list[str]:
    """The assets that may still change, by id."""
    rows = market.register.connection.execute("SELECT id FROM record WHERE kind = 'assets' AND state != 'DEREGISTERED' ORDER BY id")
    return [row[0] for row in rows]


def manager_of(market: Market, id_: str) -> str:
    managed = uuid_of(market.current("assets", id_).document["managedBy"])
    return next(name for name, caller in market.callers.items() if caller.organisation == managed)


@dataclass
class Story:
    """The steps of a seed in their order, a minute apart; `half` is the world when the first half was over."""

    seed: int
    steps: list[Step] = field(default_factory=list)
    plain: Market = field(init=False)
    half: Market = field(init=False)

    def instant(self, place: int) -> datetime:
        return START + (place + 1) * MINUTE

    @property
    def middle(self) -> int:
        return len(self.steps) // 2


def told(folder: Path, seed: int, length: int = 50) -> Story:
    """Makes up a story of that length while the plain world lives it. What a market refuses does not happen."""
    story, author = Story(seed), Author(seed, "common")
    market = founded(folder / "plain", seed)
    while len(story.steps) < length:
        if len(story.steps) == length // 2 and not hasattr(story, "half"):
            market.projected().graph.close()
            market.close()
            story.half = market.copied(folder / "half")
            story.half.close()
            market.open()
        if len(story.steps) == length // 4:
            _delegate(story, market)
        if len(story.steps) == length * 2 // 3:
            _live(story, market, Step("operator", "organisations", "suspension", market.callers["fsp-c"].organisation))
            _live(story, market, Step("operator", "organisations", "update", market.callers["dso-east"].organisation, {"licenceArea": ["UKPN_EPN", "UKPN_LPN"]}))
        with suppress(FmarError, IndexError):
            _live(story, market, author.dice.choice(COMMON)(author, market, story.instant(len(story.steps))))
    refresh(market)
    story.plain = market
    return story


def _delegate(story: Story, market: Market) -> None:
    """fsp-a lets the platform read its assets, with their personal values, and shares its passport."""
    id_ = record_id(random.Random(f"{story.seed}/delegation"), START)
    offer: Document = {
        "type": "Delegation", "delegate": market.iri("platform"), "permission": ["READ_PERSONAL", "PASSPORT"],
        "assetScope": "ALL_ASSETS", "validTo": "2099-01-01",
    }  # fmt: skip
    _live(story, market, Step("fsp-a", "delegations", "register", id_, offer))
    _live(story, market, Step("platform", "delegations", "acceptance", id_))


def _live(story: Story, market: Market, step: Step) -> None:
    step.happen(market, story.instant(len(story.steps)))
    story.steps.append(step)


def founded(folder: Path, seed: int) -> Market:
    """The participants, each with the key of its application; identifiers by the seed but for the operator's."""
    dice = random.Random(seed)
    market = Market(folder)
    operator = market.join("operator", "FMAR_OPERATOR")
    note = {"clientId": "app-operator", "publicKey": json.dumps(public_part(key_of("operator")))}
    market.act(operator, "organisations", operator.organisation, "key-registration", **note)
    for name, (roles, terms) in MEMBERS.items():
        id_ = record_id(dice, START)
        document = organisation(f"The {name} organisation", roles, organisationEmail=f"{name}@example.org", **terms)
        market.submit(operator, "organisations", document, "register", id_)
        market.act(operator, "organisations", id_, "approval")
        note = {"clientId": f"app-{name}", "publicKey": json.dumps(public_part(key_of(name)))}
        market.act(operator, "organisations", id_, "key-registration", **note)
        market.enter(name, id_)
    return market


def refresh(market: Market) -> None:
    """The callers as the register has them now."""
    for name, caller in list(market.callers.items()):
        market.enter(name, caller.organisation)


def caller_in(market: Market, name: str) -> Caller:
    return market.callers[name] if name else ANONYMOUS


def fuller(folder: Path, story: Story, viewers: Iterable[str], each: int = 2) -> Market:
    """A world that lives the story and, after each step of its second half, `each` more that no viewer sees."""
    market = story.half.copied(folder)
    callers = [caller_in(story.plain, name) for name in viewers]
    windows = [Window(caller, seen(story.plain, caller)) for caller in callers]
    author = Author(story.seed, "more")
    for place in range(story.middle, len(story.steps)):
        story.steps[place].happen(market, story.instant(place))
        for turn in range(each):
            _hide(market, author, story.instant(place) + (turn + 1) * 10 * SECOND, windows)
    refresh(market)
    return market


def _hide(market: Market, author: Author, instant: datetime, windows: list[Window]) -> None:
    """Something happens that these callers do not see, at the first of a few attempts that is such a thing."""
    for _ in range(12):
        with suppress(FmarError, IndexError):
            step = author.dice.choice(MORE)(author, market, instant)
            before, after = step.outcome(market)
            if all(window.hides(before, after, stamp(instant)) for window in windows):
                step.happen(market, instant)
                return


@dataclass(frozen=True, slots=True)
class Window:
    """What a caller sees when the story is over, and how each record looks to it from when on."""

    caller: Caller
    looks: Looks

    def hides(self, before: Document | None, after: Document, instant: str) -> bool:
        """Whether this change of a record cannot be seen, neither now nor when the story brings the record back."""
        is_seen_later = any(each != NO_LOOK for recorded_at, each in self.looks.get(after["id"], ()) if recorded_at > instant)
        if before and is_seen_later and self._latent(before) != self._latent(after):
            return False
        return (look(before, self.caller) if before else NO_LOOK) == look(after, self.caller)

    def _latent(self, document: Document) -> tuple[bool, Document]:
        """What decides how the record will look to the caller if it comes into its window."""
        relation = next((LATENT[role] for role in self.caller.roles if role in LATENT), Relation.PUBLIC)
        return is_public(document), filtered(document, SEES[relation], vocabulary())


def look(document: Document, caller: Caller) -> Look:
    return reveal(document, caller, vocabulary()), reveal(document, ANONYMOUS, vocabulary())


def seen(market: Market, caller: Caller) -> Looks:
    """What a caller can tell of each record: how it looked from when on; records that it has never seen are left out."""
    looks: Looks = {}
    for version in versions(market):
        shown = look(version.document, caller)
        past = looks.setdefault(version.iri, [("", NO_LOOK)])
        if shown != past[-1][1]:
            past.append((version.recorded_at, shown))
    return {iri: past for iri, past in looks.items() if len(past) > 1}


def versions(market: Market) -> Iterator[Version]:
    """Every version of the journal, in its order."""
    yield from market.register.since(-1, market.register.size())


def instants(story: Story) -> list[str]:
    """Times between the steps of a story."""
    return [stamp(story.instant(place) + 45 * SECOND) for place in range(-1, len(story.steps), 6)]
