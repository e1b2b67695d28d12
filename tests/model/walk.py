"""A walk through a register: one thing after another, and after each of them what the oracle says of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fmar_node.client import new_key, public_part, thumbprint
from tests.market import battery, mpan, organisation
from tests.model.oracle import Answer, Document, Oracle, Request, refused
from tests.model.subject import Subject

ABSENT = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
AREAS = ("UKPN_EPN", "UKPN_EPN", "UKPN_LPN", "UKPN_SPN")
KEYS = [json.dumps(public_part(new_key("Ed25519")), separators=(",", ":"), sort_keys=True) for _ in range(4)]
THUMBPRINTS = {key: thumbprint(json.loads(key)) for key in KEYS}
RULES = ("A03", "A20", "A21", "DUPLICATE_PROBABLE")
JUSTIFIED = [{"rule": code, "text": "it is so"} for code in RULES]
DEFECTS: dict[str, Document] = {
    "nothing": {},
    "an individual": {"ownerKind": "INDIVIDUAL", "ownerName": None},
    "check digit": {"importMPAN": mpan(1)[:-1] + str((int(mpan(1)[-1]) + 1) % 10)},
    "serial number": {"serialNumber": "no spaces please"},
    "installed": {"installedCapacity": "400.00"},
    "commissioned": {"commissioningDate": "2099-01-01", "effectiveDate": "2099-01-02"},
    "unknown term": {"friendlyKode": "x"},
    "no owner": {"owner": None, "ownerName": None},
    "past": {"effectiveDate": "past"},
    "owner": {"owner": ABSENT, "ownerName": None},
    "unjustified": {"justification": None},
}


def one_of(*values: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from(values)


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "serialNumber": one_of("S-100", "s-100", *(f"S-{number}00" for number in range(2, 9))),
    "manufacturer": one_of("Acme", "ACME", "Other", None),
    "friendlyCode": one_of(None, "Bat-1", "Bat-1", "BAT-1", "BAT-1", "Bat-2"),
    "dnoConnection": one_of(*AREAS),
    "importMPAN": one_of(*(mpan(number) for number in (1, 3, 5, 7))),
    "exportMPAN": one_of(*(mpan(number) for number in (2, 4, 6, 8))),
    "ratedCapacity": one_of("500.00", "510.00", "600.00"),
    "alias": one_of(None, [("ECR", "E-1")], [("EVSE", "GB*ABC*E1")], [("EVSE", "GBABCE1"), ("MCS", "M-1")]),
    "owner": one_of(None, None, None, "fsp-a", "fsp-b", "regulator"),
    "effectiveDate": one_of(None, None, "today", "later"),
    "assetCategory": one_of("BESS", "BESS", "BESS", "EV_CHARGER"),
    "device": one_of(None, None, "D-100"),
    "storageEnergyCapacity": one_of("1000.00", "1000.00", None),
    "assetName": one_of("Battery", "Store", None),
}
DEFECT = one_of(*["nothing"] * 20, *DEFECTS)
CHANGES = st.sampled_from(sorted(FIELDS)).flatmap(lambda name: FIELDS[name].map(lambda value: {name: value}))
PASSPORT: dict[str, st.SearchStrategy[Any]] = {
    "organisationTradingName": one_of(None, "Trade", "Commerce"),
    "organisationRegistrationNumber": one_of(None, None, "01234567", "07654321"),
    "countryOfIncorporation": one_of(None, None, "United Kingdom", "France"),
    "vatRegistrationNumber": one_of(None, None, "980780684", "GB980780684"),
    "alias": one_of(None, None, [("LEI", "213800KUD8LAJWSQ9D15")]),
    "roles": one_of(
        (["FSP"], None), (["AGGREGATOR"], None), (["ASSET_OWNER"], None), (["REGULATOR"], None), (["SYSTEM_OPERATOR"], None),
        (["DNO"], ["UKPN_EPN"]), (["DNO", "FSP"], ["UKPN_LPN", "UKPN_SPN"]), (["FMAR_OPERATOR", "FSP"], None), (["FMAR_OPERATOR"], None),
        (["DNO"], None), (["FSP"], ["UKPN_EPN"]),
    ),
}  # fmt: skip
AMENDMENTS = st.sampled_from(sorted(PASSPORT)).flatmap(lambda name: PASSPORT[name].map(lambda value: {name: value}))
PROVIDER = one_of(*["fsp-a"] * 8, *["fsp-b"] * 4, "dso-east", "neso", "operator", "newcomer")
ANYBODY = one_of(*["the right one"] * 8, "operator", "fsp-a", "fsp-b", "dso-east", "neso", "newcomer")
VIEWER = one_of("operator", "fsp-a", "fsp-b", "dso-east", "dso-south", "neso", "regulator", "newcomer", "nobody")
BASIS = one_of(*["current"] * 6, "older", "*", None)
IDEMPOTENCY = one_of("", "", "", "k-1", "k-2", "k-3")
PICK = st.integers(0, 11)


class Walk(RuleBasedStateMachine):
    """Requests of every kind, answered by the subject and by the oracle; they have to say the same."""

    make: ClassVar[Callable[[], Subject]]

    def __init__(self) -> None:
        super().__init__()
        self.subject = self.make()
        self.oracle = Oracle(THUMBPRINTS)
        self.subject.begin(self.oracle)
        self.sent: list[Request] = []
        self.newcomers: list[str] = []

    # -- who and what

    def someone(self, name: str, right: str = "") -> str:
        """The organisation that a name stands for; the one that has the right to it, where that is asked for."""
        if name == "the right one":
            return right
        if name == "newcomer":
            return self.newcomers[-1] if self.newcomers else self.subject.participants["fsp-b"]
        return self.subject.participants.get(name, "")

    def asset(self, pick: int) -> str:
        assets = list(self.oracle.records["assets"])
        return assets[pick % len(assets)] if assets else ABSENT

    def member(self, pick: int) -> str:
        members = list(self.subject.participants.values()) + self.newcomers
        return members[-1 - pick % len(members)]

    def manager(self, id_: str) -> str:
        found = self.oracle.now("assets", id_)
        return found.document["managedBy"] if found else self.subject.participants["fsp-a"]

    def sendable(self, fields: Document) -> Document:
        """A document with everything in it that was drawn by name; None stays, for patches."""
        document = dict(fields)
        today = date.fromisoformat(self.subject.today())
        days = {"today": today, "later": today + timedelta(days=40), "past": today - timedelta(days=40)}
        if (day := document.get("effectiveDate")) in days:
            document["effectiveDate"] = days[day].isoformat()
        if document.get("owner") in self.subject.participants:
            document["owner"] = self.someone(document["owner"])
        if document.get("owner"):
            document["ownerName"] = None
        if document.get("alias"):
            document["alias"] = [{"scheme": scheme, "value": value} for scheme, value in document["alias"]]
        if document.get("device"):
            document["device"] = [{"deviceType": "inverter", "manufacturer": "Acme", "serialNumber": document["device"]}]
        if document.get("assetCategory"):
            document["demandTechType"] = {"BESS": None, "EV_CHARGER": "EV"}[document["assetCategory"]]
        if "roles" in document:
            document["organisationRoles"], document["licenceArea"] = document.pop("roles")
        return document

    def asset_document(self, fields: Document, defect: str) -> Document:
        given = {"installedCapacity": "600.00", "justification": JUSTIFIED, **self.sendable({**fields, **DEFECTS[defect]})}
        return {name: value for name, value in battery(**{"energySource": None, **given}).items() if name != "type"} if "serialNumber" in given else {}

    # -- asking and comparing

    def ask(self, request: Request) -> Answer:
        """The subject's answer, which is the oracle's; what was accepted is kept in mind. Who has no credential asks nothing."""
        if request.caller not in self.subject.viewers(self.oracle):
            return refused("invalid-token")
        today = self.subject.today()
        expected = self.oracle.expect(request, today)
        answer = self.subject.write(request)
        assert_same(expected, answer, request)
        if not answer.code:
            self.learn(request, answer, today)
        if request.key:
            self.sent.append(request)
        return answer

    def learn(self, request: Request, answer: Answer, today: str) -> None:
        time = "" if answer.is_repeat else self.subject.time(request.kind, answer.id)
        self.oracle.take(request, answer, time, today)
        self.look(request.kind, answer.id)

    def look(self, kind: str, id_: str) -> None:
        """Everybody sees of a record what everybody is to see."""
        for caller in self.subject.viewers(self.oracle):
            wrong = difference(self.subject.read(caller, kind, id_), self.oracle.sees(kind, id_, caller))
            assert wrong == {}, (wrong, caller, kind, id_)

    def basis(self, kind: str, id_: str, basis: Any) -> Any:
        """What an update is said to be based on; an older version than the first is none that there ever was."""
        found = self.oracle.now(kind, id_)
        number = found.document["version"] if found else 1
        return {"current": number, "older": number - 1}.get(basis, basis)

    # -- assets

    @rule(who=PROVIDER, fields=st.fixed_dictionaries(FIELDS), defect=DEFECT, key=IDEMPOTENCY)
    def register(self, who: str, fields: Document, defect: str, key: str) -> None:
        document = self.asset_document(fields, defect)
        self.ask(Request(self.someone(who), "assets", "", "register", document, key=key))

    @rule(who=PROVIDER, fields=st.fixed_dictionaries(FIELDS), defect=DEFECT)
    def try_to_register(self, who: str, fields: Document, defect: str) -> None:
        request = Request(self.someone(who), "assets", "", "register", self.asset_document(fields, defect))
        if request.caller not in self.subject.viewers(self.oracle):
            return
        expected, answer = self.oracle.expect(request, self.subject.today()), self.subject.attempt(request)
        assert (answer.code, answer.faults) == (expected.code, expected.faults)

    @precondition(lambda self: self.oracle.records["assets"])
    @rule(who=ANYBODY, pick=PICK, fields=st.fixed_dictionaries(FIELDS), basis=BASIS, key=IDEMPOTENCY)
    def replace(self, who: str, pick: int, fields: Document, basis: Any, key: str) -> None:
        id_ = self.asset(pick)
        request = Request(self.someone(who, self.manager(id_)), "assets", id_, "update", self.asset_document(fields, "nothing"), "PUT", self.basis("assets", id_, basis), key)
        self.ask(request)

    @precondition(lambda self: self.oracle.records["assets"])
    @rule(who=ANYBODY, pick=PICK, changes=CHANGES, basis=BASIS, key=IDEMPOTENCY)
    def patch(self, who: str, pick: int, changes: Document, basis: Any, key: str) -> None:
        id_ = self.asset(pick)
        request = Request(self.someone(who, self.manager(id_)), "assets", id_, "update", self.sendable(changes), "PATCH", self.basis("assets", id_, basis), key)
        self.ask(request)

    @precondition(lambda self: self.oracle.records["assets"])
    @rule(who=ANYBODY, pick=PICK, basis=BASIS)
    def change_nothing(self, who: str, pick: int, basis: Any) -> None:
        id_ = self.asset(pick)
        self.ask(Request(self.someone(who, self.manager(id_)), "assets", id_, "update", {}, "PATCH", self.basis("assets", id_, basis)))

    @precondition(lambda self: self.oracle.records["assets"])
    @rule(who=ANYBODY, pick=PICK, reason=one_of("ERROR", "DECOMMISSIONED", "DUPLICATE", None), survivor=one_of(None, None, 0, 1, 2), key=IDEMPOTENCY)
    def deregister(self, who: str, pick: int, reason: str | None, survivor: int | None, key: str) -> None:
        id_ = self.asset(pick)
        note = {"deregistrationReason": reason, "survivor": None if survivor is None else self.asset(survivor)}
        given = {name: value for name, value in note.items() if value is not None}
        self.ask(Request(self.someone(who, self.manager(id_)), "assets", id_, "deregistration", given, key=key))

    # -- organisations

    @rule(who=one_of("operator", "operator", "operator", "fsp-a"), fields=st.fixed_dictionaries(PASSPORT), key=IDEMPOTENCY, is_approved=st.booleans())
    def join(self, who: str, fields: Document, key: str, is_approved: bool) -> None:
        document = passport(self.sendable(fields))
        answer = self.ask(Request(self.someone(who), "organisations", "", "register", document, key=key))
        if not answer.code and not answer.is_repeat:
            self.newcomers.append(answer.id)
            if is_approved:
                self.ask(Request(self.someone("operator"), "organisations", answer.id, "approval", {}))

    @rule(who=ANYBODY, pick=PICK, action=one_of(*["approval"] * 3, "suspension", *["reinstatement"] * 4, "deregistration"), key=IDEMPOTENCY)
    def decide(self, who: str, pick: int, action: str, key: str) -> None:
        self.ask(Request(self.someone(who, self.someone("operator")), "organisations", self.member(pick), action, {}, key=key))

    @rule(who=ANYBODY, pick=PICK, changes=AMENDMENTS, basis=BASIS, key=IDEMPOTENCY)
    def amend(self, who: str, pick: int, changes: Document, basis: Any, key: str) -> None:
        id_ = self.member(pick)
        caller = self.someone(who, id_ if pick % 2 else self.someone("operator"))
        self.ask(Request(caller, "organisations", id_, "update", self.sendable(changes), "PATCH", self.basis("organisations", id_, basis), key))

    @rule(who=ANYBODY, pick=PICK, client=one_of("app-1", "app-2", "app-3", None), key=one_of(*KEYS))
    def add_key(self, who: str, pick: int, client: str | None, key: str) -> None:
        id_, note = self.member(pick), {"publicKey": key} if client is None else {"publicKey": key, "clientId": client}
        self.ask(Request(self.someone(who, id_), "organisations", id_, "key-registration", note))

    @rule(who=ANYBODY, pick=PICK, client=one_of("app-1", "app-2", "app-3"), key=one_of(None, *KEYS))
    def revoke_key(self, who: str, pick: int, client: str, key: str | None) -> None:
        id_, note = self.member(pick), {"clientId": client} if key is None else {"clientId": client, "keyId": THUMBPRINTS[key]}
        self.ask(Request(self.someone(who, id_), "organisations", id_, "key-revocation", note))

    # -- again

    @precondition(lambda self: self.sent)
    @rule(pick=PICK)
    def repeat(self, pick: int) -> None:
        self.ask(self.sent[-1 - pick % len(self.sent)])

    # -- reading

    @precondition(lambda self: self.oracle.records["assets"])
    @rule(who=VIEWER, pick=PICK, number=st.integers(0, 4))
    def read_version(self, who: str, pick: int, number: int) -> None:
        caller, id_ = self.someone(who), self.asset(pick)
        told = self.oracle.versions("assets", id_, caller)
        expected = told[number - 1].document if 1 <= number <= len(told) else None
        if caller in self.subject.viewers(self.oracle):
            assert self.subject.count(caller, "assets", id_) == len(told)
            assert self.subject.read(caller, "assets", id_, number=number) == expected

    @precondition(lambda self: self.oracle.records["assets"])
    @rule(who=VIEWER, pick=PICK, entry=PICK)
    def read_past(self, who: str, pick: int, entry: int) -> None:
        """As it stood when some entry was made."""
        caller, id_ = self.someone(who), self.asset(pick)
        times = sorted(version.time for kind in self.oracle.records.values() for versions in kind.values() for version in versions)
        time = times[-1 - entry % len(times)]
        shown = self.oracle.at("assets", id_, caller, time)
        if caller in self.subject.viewers(self.oracle):
            assert self.subject.read(caller, "assets", id_, at=time) == (shown.document if shown else None)

    @rule(who=VIEWER, limit=one_of(1, 2, 50), managed=st.booleans(), equal=one_of(
        {}, {"dnoConnection": "UKPN_EPN"}, {"registrationStatus": "DEREGISTERED"}, {"standing": "LIVE"}, {"assetCategory": "BESS"},
        {"friendlyCode": "Bat-1"}, {"owner": "regulator"}, {"managedBy": "fsp-a"},
    ))  # fmt: skip
    def list_assets(self, who: str, limit: int, managed: bool, equal: dict[str, str]) -> None:
        wanted = {name: self.someone(value) if name in ("owner", "managedBy") else value for name, value in equal.items()}
        self.compare_list(self.someone(who), "assets", limit, managed, wanted)

    @rule(who=VIEWER, limit=one_of(2, 50), equal=one_of({}, {"organisationStatus": "ACTIVE"}, {"organisationRoles": "FSP"}, {"licenceArea": "UKPN_LPN"}))
    def list_organisations(self, who: str, limit: int, equal: dict[str, str]) -> None:
        self.compare_list(self.someone(who), "organisations", limit, False, equal)

    def compare_list(self, caller: str, kind: str, limit: int, managed: bool, equal: dict[str, str]) -> None:
        if caller in self.subject.viewers(self.oracle):
            found = self.subject.page(caller, kind, limit, managed and bool(caller), equal)
            assert found == self.oracle.listed(kind, caller, managed and bool(caller), equal)

    @rule(who=VIEWER, what=one_of(
        ("MPAN", mpan(1)), ("MPAN", mpan(2)), ("SERIAL", "s-100"), ("SERIAL", "D-100"), ("FRIENDLY_CODE", "BAT-1"),
        ("EVSE", "GBABCE*1"), ("ECR", "e-1"), ("SERIAL", "S-9"),
    ))  # fmt: skip
    def look_up(self, who: str, what: tuple[str, str]) -> None:
        caller = self.someone(who)
        if caller in self.subject.viewers(self.oracle):
            assert self.subject.look_up(caller, *what) == self.oracle.looked_up(*what, caller)

    @rule(who=VIEWER)
    def query(self, who: str) -> None:
        caller = self.someone(who)
        if caller in self.subject.viewers(self.oracle):
            self.compare_graph(caller)

    def compare_graph(self, caller: str) -> None:
        own = self.oracle.graph(caller) if caller and self.oracle.is_admitted(caller) else self.oracle.public_graph() if not caller else {}
        assert self.subject.graph(caller) == own, caller
        assert self.subject.graph(caller, public=True) == self.oracle.public_graph(), caller

    # -- crashes

    @rule(how=one_of("now", "in the follower"))
    def crash(self, how: str) -> None:
        self.subject.crash(how)

    # -- always

    @invariant()
    def is_sound(self) -> None:
        self.subject.check(self.oracle)

    def teardown(self) -> None:
        try:
            for kind, records in self.oracle.records.items():
                for id_ in records:
                    self.look(kind, id_)
            for caller in self.subject.viewers(self.oracle):
                self.compare_graph(caller)
                self.compare_list(caller, "assets", 50, False, {})
                self.compare_list(caller, "organisations", 50, False, {})
        finally:
            self.subject.close(self.oracle)


def difference(found: Document | None, expected: Document | None) -> dict[str, Any]:
    """The fields in which two documents differ: what is there, and what was expected."""
    if found is None or expected is None:
        return {} if found is expected else {"record": (found, expected)}
    return {name: (found.get(name), expected.get(name)) for name in found | expected if found.get(name) != expected.get(name)}


def passport(fields: Document) -> Document:
    described = {name: value for name, value in fields.items() if name != "organisationRoles"}
    return {name: value for name, value in organisation("A newcomer", fields["organisationRoles"], **described).items() if name != "type"}


def assert_same(expected: Answer, answer: Answer, request: Request) -> None:
    """The subject said what the oracle says; only new identifiers are its own."""
    if expected.code or answer.code:
        assert (answer.code, answer.faults) == (expected.code, expected.faults), request
        return
    assert answer.number in (expected.number, 0), request  # 0 where the caller does not see it, having put itself out
    assert (answer.index, answer.is_repeat) == (expected.index, expected.is_repeat), request
    assert not expected.id or answer.id == expected.id, request
