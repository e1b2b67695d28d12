"""What becomes of switches, windows and consents, told a second time: dates and lists that follow the documentation and nothing of the node.

Rules kept here: every prediction comes from domain 5.2-5.5, `docs/guides/switching.md`, `docs/formats/consent.md` and
`docs/reference/policies.md`. Each thing that somebody does is a method: it returns the codes with which that is refused, and changes
nothing then, or none, and then everything is as it has to be afterwards. Identifiers alone are learned from the node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
PROVIDERS = ("fsp-a", "fsp-b", "fsp-c")
NETWORK, NATIONAL, OPERATOR = "dso-east", "neso", "operator"
NOTICE, FURTHEST = timedelta(days=14), timedelta(days=365)
LIVE, UNCONSENTED, SUSPENDED, AWAITING, GONE = "LIVE", "SUSPENDED_CONSENT_REVOKED", "SUSPENDED_ADMIN", "AWAITING_NEW_FSP", "DEREGISTERED"
PENDING, NOT_OVER = ("IN_NOTICE", "HELD"), ("DECLARED", "CONFIRMED")
ACCEPTED, UNSEEN = frozenset[str](), frozenset({"not-found"})
Codes = frozenset[str]


def day_of(instant: datetime) -> date:
    return instant.astimezone(LONDON).date()


def midnight(day: date) -> datetime:
    """When a day of the market begins."""
    return datetime.combine(day, time(), LONDON).astimezone(UTC)


@dataclass
class Given:
    """What a consumer has given to a provider: for what, about which meter points or asset, from when until when."""

    grantee: str
    purposes: tuple[str, ...]
    names: tuple[str, ...]
    begins: datetime
    ends: datetime
    is_single_use: bool = False
    is_forged: bool = False
    is_revoked: bool = False
    """Its solution says so when it is asked."""
    is_notified: bool = False
    """The node has been told so."""
    is_used: bool = False
    proof: str = ""
    id: str = ""


@dataclass(eq=False)
class Consent:
    """The register's record of a consent that was used."""

    given: Given
    status: str = "VALID"
    id: str = ""


@dataclass
class Kept:
    """What a former provider sees."""

    state: str
    is_open: bool
    as_of: datetime


@dataclass(eq=False)
class Asset:
    slot: str
    points: tuple[str, ...]
    owner: str
    """The organisation that owns it; empty for an individual's."""
    provider: str
    consent: Consent | None
    times: list[tuple[str, date, date | None]]
    standing: str = LIVE
    has_lost: bool = False
    """The consent that its provider had has fallen."""
    kept: dict[str, Kept] = field(default_factory=dict)
    id: str = ""

    @property
    def state(self) -> str:
        return "PENDING_VALIDATION" if self.standing == LIVE else self.standing

    @property
    def responsible(self) -> str:
        return "" if self.standing == AWAITING else self.provider

    def end_time(self, day: date) -> None:
        provider, begins, ends = self.times[-1]
        self.times[-1] = (provider, begins, ends or max(day, begins))


@dataclass(eq=False)
class Switch:
    asset: Asset
    gaining: str
    losing: str
    day: date
    consent: Consent | None
    status: str = "IN_NOTICE"
    reason: str = ""
    id: str = ""

    @property
    def is_pending(self) -> bool:
        return self.status in PENDING


@dataclass(eq=False)
class Window:
    asset: Asset
    provider: str
    to: str
    product: str
    begins: datetime
    ends: datetime
    status: str = "DECLARED"
    id: str = ""


@dataclass
class Oracle:
    now: datetime
    standing: dict[str, str] = field(default_factory=lambda: dict.fromkeys(PROVIDERS, "ACTIVE"))
    assets: list[Asset] = field(default_factory=list)
    switches: list[Switch] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    consents: list[Consent] = field(default_factory=list)
    is_answering: bool = True
    """Whether the consent solution is there."""
    earliest: str = ""
    """The day that the last refusal on account of a window names."""

    @property
    def today(self) -> date:
        return day_of(self.now)

    # -- consents

    def fault_of(self, given: Given, who: str, purpose: str, asset: str, points: tuple[str, ...]) -> str:
        """The code with which a proof is refused; empty where it holds."""
        is_about = asset in given.names or (bool(points) and all(each in given.names for each in points))
        if not self.is_answering:
            return "CONSENT_SERVICE_UNAVAILABLE"
        if given.is_forged or given.is_revoked:
            return "CONSENT_INVALID"
        if given.ends <= self.now:
            return "CONSENT_EXPIRED"
        if given.grantee != who:
            return "CONSENT_INVALID"
        if purpose not in given.purposes or not is_about:
            return "CONSENT_SCOPE"
        if given.begins > self.now or given.is_notified:
            return "CONSENT_INVALID"
        return "CONSENT_REPLAYED" if given.is_single_use and given.is_used else ""

    def keep(self, given: Given | None) -> Consent | None:
        if given is None:
            return None
        given.is_used = True
        self.consents.append(Consent(given))
        return self.consents[-1]

    def end(self, consent: Consent | None) -> None:
        """What rested on it needs it no longer."""
        if consent is not None and consent.status == "VALID":
            consent.status = "ENDED"

    def fall(self, consent: Consent, status: str) -> None:
        """It holds no longer: its own switch is cancelled, its own asset suspended, and nothing else happens."""
        consent.status = status
        for switch in self.switches:
            if switch.consent is consent and switch.is_pending:
                switch.status, switch.reason = "CANCELLED", "CONSENT_ENDED"
        for asset in self.assets:
            if asset.consent is consent and asset.standing == LIVE:
                asset.standing, asset.has_lost = UNCONSENTED, True

    def notified(self, given: Given) -> None:
        given.is_notified = True
        self._revoked(given)

    def rechecked(self) -> None:
        """The solution was asked about every consent that holds."""
        for given in [each.given for each in self.consents] if self.is_answering else []:
            if given.is_revoked or given.ends <= self.now:
                self._revoked(given)

    def _revoked(self, given: Given) -> None:
        for consent in self.consents:
            if consent.given is given and consent.status == "VALID":
                self.fall(consent, "REVOKED")

    # -- assets

    def register(self, who: str, slot: str, points: tuple[str, ...], owner: str, given: Given | None) -> Codes:
        if self.standing[who] != "ACTIVE":
            return frozenset({"ASSET-REGISTER-1"})
        codes = {"consent-required"} if given is None and not owner else set()
        if given is not None and (code := self.fault_of(given, who, "REGISTER", "", points)):
            codes = {code}
        if owner and self.standing[owner] == "WITHDRAWN" and codes != {"CONSENT_SERVICE_UNAVAILABLE"}:
            codes.add("A03")
        if not codes:
            self.assets.append(Asset(slot, points, owner, who, self.keep(given), [(who, self.today, None)]))
        return frozenset(codes)

    def renew(self, who: str, asset: Asset, given: Given | None) -> Codes:
        if refusal := self._may(who, asset, "ASSET-CONSENT-RENEW-1"):
            return refusal
        if asset.standing not in (LIVE, UNCONSENTED):
            return frozenset({"ASSET-CONSENT-RENEW-2"})
        if given is None:
            return frozenset({"consent-required"})
        if code := self.fault_of(given, who, "REGISTER", named(asset), asset.points):
            return frozenset({code})
        self.end(asset.consent)
        asset.consent, asset.standing, asset.has_lost = self.keep(given), LIVE, False
        return ACCEPTED

    def deregister(self, who: str, asset: Asset) -> Codes:
        if refusal := self._may(who, asset, "ASSET-DEREGISTER-1"):
            return refusal
        if asset.standing == GONE:
            return frozenset({"ASSET-DEREGISTER-3"})
        codes = {"CONFIRMED_WINDOW"} if self.committed(asset, self.now) else set()
        if self.pending(asset):
            codes.add("SWITCH_PENDING")
        if not codes:
            self.end(asset.consent)
            asset.end_time(self.today)
            asset.standing = GONE
        return frozenset(codes)

    def _may(self, who: str, asset: Asset, policy: str) -> Codes:
        """What only the provider does that manages the asset, seen as it is now, kept as it was, or not at all."""
        look = self.look(who, asset)
        if look is None:
            return UNSEEN
        if look[2] is not None:
            return frozenset({"FORMER-PROVIDER-1"})
        return ACCEPTED if asset.provider == who and self.standing[who] == "ACTIVE" else frozenset({policy})

    def look(self, who: str, asset: Asset) -> tuple[str, bool, datetime | None] | None:
        """The state that somebody sees of an asset, whether with its meter points, and as of when where its time has ended; None for nothing."""
        if who == NETWORK:
            return asset.state, True, None
        if self.standing[who] == "WITHDRAWN":
            return None
        if who in (asset.owner, asset.provider):
            return asset.state, who == asset.owner or not self.is_closed(asset), None
        kept = asset.kept.get(who)
        return (kept.state, kept.is_open, kept.as_of) if kept else None

    def is_closed(self, asset: Asset) -> bool:
        return asset.has_lost and asset.standing != LIVE

    # -- switches

    def pending(self, asset: Asset) -> Switch | None:
        return next((each for each in self.switches if each.asset is asset and each.is_pending), None)

    def committed(self, asset: Asset, after: datetime) -> list[Window]:
        """The confirmed windows of its provider, and of nobody else, that last beyond an instant."""
        mine = (each for each in self.windows if each.asset is asset and each.provider == asset.responsible)
        return [each for each in mine if each.status == "CONFIRMED" and each.ends > after]

    def request(self, who: str, meant: Asset | str, given: Given | None, day: date | None) -> Codes:
        """A switch of an asset, or of what stands at a meter point."""
        if self.standing[who] != "ACTIVE":
            return frozenset({"SWITCH-REQUEST-1"})
        found = [each for each in self.assets if each.standing != GONE and (each is meant or meant in each.points)]
        one = found[0] if len(found) == 1 else None
        if given is None:
            if one is None or one.owner != who:
                return frozenset({"consent-required"})
        else:
            points = one.points if one else (meant,) if isinstance(meant, str) else ()
            asset = named(one) if one else named(meant) if isinstance(meant, Asset) else ""
            if code := self.fault_of(given, who, "SWITCH", asset, points):
                return frozenset({code})
        if one is None:
            return frozenset({"ASSET_AMBIGUOUS" if found else "ASSET_UNKNOWN"})
        earliest = self.today + (NOTICE if one.responsible else timedelta())
        codes = set(self._obstacles(one, who, day or earliest, earliest))
        if not codes:
            self.switches.append(Switch(one, who, one.responsible, day or earliest, self.keep(given)))
        return frozenset(codes)

    def _obstacles(self, asset: Asset, who: str, day: date, earliest: date) -> Iterable[str]:
        if asset.standing == SUSPENDED:
            yield "NOT_ELIGIBLE_STATE"
        if asset.responsible == who:
            yield "SAME_FSP"
        if self.pending(asset):
            yield "SWITCH_ALREADY_PENDING"
        if not earliest <= day <= self.today + FURTHEST:
            yield "EFFECTIVE_DATE_INVALID"
        elif windows := self.committed(asset, midnight(day)):
            last = max(each.ends for each in windows)
            free = day_of(last)
            self.earliest = str(free if midnight(free) == last else free + timedelta(days=1))
            yield "SERVICE_WINDOW_CONFIRMED"

    def withdraw(self, who: str, switch: Switch) -> Codes:
        if who not in (switch.gaining, switch.losing) or self.standing[who] == "WITHDRAWN":
            return UNSEEN
        if who != switch.gaining or self.standing[who] != "ACTIVE":
            return frozenset({"SWITCH-WITHDRAW-1"})
        return self._decide(switch, "SWITCH-WITHDRAW-2", "WITHDRAWN")

    def hold(self, switch: Switch) -> Codes:
        if switch.status != "IN_NOTICE":
            return frozenset({"SWITCH-HOLD-2"})
        switch.status = "HELD"
        return ACCEPTED

    def release(self, switch: Switch) -> Codes:
        if switch.status != "HELD":
            return frozenset({"SWITCH-RELEASE-2"})
        switch.status, switch.day = "IN_NOTICE", max(switch.day, self.today)
        return ACCEPTED

    def cancel(self, switch: Switch) -> Codes:
        return self._decide(switch, "SWITCH-CANCEL-2", "OPERATOR")

    def _decide(self, switch: Switch, code: str, reason: str) -> Codes:
        if not switch.is_pending:
            return frozenset({code})
        self._give_up(switch, reason)
        return ACCEPTED

    def _give_up(self, switch: Switch, reason: str) -> None:
        switch.status, switch.reason = "CANCELLED", reason
        self.end(switch.consent)

    def take_effect(self, switch: Switch) -> None:
        """Its day has come: one provider's time ends, and another's begins, whenever that is noticed."""
        asset = switch.asset
        if asset.standing == SUSPENDED or (asset.responsible and asset.responsible != switch.losing):
            self._give_up(switch, "NOT_ELIGIBLE_STATE")
            return
        switch.status = "EFFECTIVE"
        asset.kept[asset.provider] = Kept(asset.state, not self.is_closed(asset), self.now)
        asset.end_time(switch.day)
        asset.times.append((switch.gaining, max(switch.day, asset.times[-1][2] or switch.day), None))
        self.end(asset.consent)
        asset.provider, asset.consent, asset.standing, asset.has_lost = switch.gaining, switch.consent, LIVE, False

    # -- windows

    def declare(self, who: str, asset: Asset, to: str, product: str, begins: datetime, ends: datetime) -> Codes:
        if self.standing[who] != "ACTIVE":
            return frozenset({"SERVICE-WINDOW-DECLARE-1"})
        codes = set() if asset.provider == who and asset.standing == LIVE else {"SERVICE-WINDOW-DECLARE-2"}
        if ends <= max(begins, self.now):
            codes.add("SERVICE-WINDOW-DECLARE-4")
        if not codes:
            self.windows.append(Window(asset, who, to, product, begins, ends))
        return frozenset(codes)

    def confirm(self, who: str, window: Window) -> Codes:
        if refusal := self._sees(who, window) or (ACCEPTED if who == window.to else frozenset({"SERVICE-WINDOW-CONFIRM-1"})):
            return refusal
        if window.status != "DECLARED":
            return frozenset({"SERVICE-WINDOW-CONFIRM-2"})
        codes, asset, switch = set(), window.asset, self.pending(window.asset)
        if asset.provider != window.provider or asset.standing != LIVE:
            codes.add("SERVICE-WINDOW-DECLARE-2")
        same = [each for each in self.committed(asset, window.begins) if (each.to, each.product) == (window.to, window.product)]
        if any(each.begins < window.ends for each in same):
            codes.add("WINDOW_OVERLAPS")
        if switch and window.ends > midnight(switch.day):
            codes.add("SWITCH_PENDING")
        if not codes:
            window.status = "CONFIRMED"
        return frozenset(codes)

    def take_back(self, who: str, window: Window) -> Codes:
        is_own = who == window.provider and self.standing[who] == "ACTIVE"
        if refusal := self._sees(who, window) or (ACCEPTED if is_own else frozenset({"SERVICE-WINDOW-WITHDRAW-1"})):
            return refusal
        return self._cancelled(window, ("DECLARED",), "SERVICE-WINDOW-WITHDRAW-2")

    def call_off(self, who: str, window: Window) -> Codes:
        is_let = who in (OPERATOR, window.to)
        if refusal := self._sees(who, window) or (ACCEPTED if is_let else frozenset({"SERVICE-WINDOW-CANCEL-2"})):
            return refusal
        return self._cancelled(window, NOT_OVER, "SERVICE-WINDOW-CANCEL-3")

    def _sees(self, who: str, window: Window) -> Codes:
        is_party = who in (OPERATOR, window.to) or (who == window.provider and self.standing[who] != "WITHDRAWN")
        return ACCEPTED if is_party else UNSEEN

    def _cancelled(self, window: Window, states: tuple[str, ...], code: str) -> Codes:
        if window.status not in states:
            return frozenset({code})
        window.status = "CANCELLED"
        return ACCEPTED

    # -- providers

    def suspend(self, who: str) -> Codes:
        if self.standing[who] != "ACTIVE":
            return frozenset({"ORGANISATION-SUSPEND-2"})
        self.standing[who] = "SUSPENDED"
        self._gains_nothing(who)
        return ACCEPTED

    def reinstate(self, who: str) -> Codes:
        if self.standing[who] != "SUSPENDED":
            return frozenset({"ORGANISATION-REINSTATE-2"})
        self.standing[who] = "ACTIVE"
        return ACCEPTED

    def leave(self, who: str) -> Codes:
        """The operator takes it out of the register; its assets wait for another one."""
        if self.standing[who] == "WITHDRAWN":
            return frozenset({"ORGANISATION-DEREGISTER-3"})
        self.standing[who] = "WITHDRAWN"
        self._gains_nothing(who)
        for asset in self.assets:
            if asset.provider == who and asset.standing != GONE:
                asset.end_time(self.today)
                asset.standing = AWAITING
        return ACCEPTED

    def _gains_nothing(self, who: str) -> None:
        for switch in self.switches:
            if switch.gaining == who and switch.is_pending:
                self._give_up(switch, "GAINING_FSP_NOT_ACTIVE")

    # -- the clock

    def due(self) -> list[tuple[datetime, Any]]:
        """What happens by the clock alone, in the order in which it does, whether its time has come or not."""
        consents = [(each.given.ends, each) for each in self.consents if each.status == "VALID"]
        windows = [(each.ends, each) for each in self.windows if each.status in NOT_OVER]
        return sorted([*consents, *windows, *self._coming(with_consent=False)], key=lambda each: each[0])

    def _coming(self, *, with_consent: bool) -> list[tuple[datetime, Switch]]:
        coming = (each for each in self.switches if each.status == "IN_NOTICE" and bool(each.consent) == with_consent)
        return sorted(((midnight(each.day), each) for each in coming), key=lambda each: each[0])

    def next_instant(self, until: datetime) -> datetime | None:
        """When something happens next."""
        instants = [at for at, _ in [*self.due(), *self._coming(with_consent=True)] if self.now < at <= until]
        return min(instants, default=None)

    def work(self) -> None:
        """What the node does each second: what is due, one after another; then what rests on a consent, on the word of its solution on that day."""
        while (due := self.due()) and due[0][0] <= self.now:
            match due[0][1]:
                case Consent() as consent:
                    self.fall(consent, "EXPIRED")
                case Window() as window:
                    window.status = "ENDED"
                case switch:
                    self.take_effect(switch)
        for at, switch in self._coming(with_consent=True) if self.is_answering else []:
            if at <= self.now and switch.consent is not None:
                given = switch.consent.given
                if given.is_revoked or given.ends <= self.now:
                    self.fall(switch.consent, "REVOKED")
                else:
                    self.take_effect(switch)


def named(asset: Asset) -> str:
    """How a consent names an asset itself."""
    return f"asset:{asset.id}"
