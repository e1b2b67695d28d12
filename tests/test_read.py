"""Reads: records, versions, times, lists, lookups and proofs, as far as the caller sees them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fmar_node.access.caller import ANONYMOUS, Caller
from fmar_node.errors import Malformed, NotFound
from fmar_node.journal.entry import SECTIONS
from fmar_node.journal.receipt import ReceiptError, verify_receipt
from fmar_node.kinds import KINDS
from fmar_node.read import window_of
from tests.market import BASE, START, Market, battery, mpan, organisation, vocabulary

PUBLIC = [{"scheme": "ECR", "value": "ECR-1"}]
ABSENT = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
SEVEN = 7


def asset(market: Market, serial: str, by: str = "fsp-a", **changes: Any) -> str:
    return market.submit(market.callers[by], "assets", battery(serial, **changes)).id


def change(market: Market, id_: str, by: str = "fsp-a", **changes: Any) -> None:
    market.clock.forward(hours=1)
    market.update(market.callers[by], "assets", id_, **changes)


def listed(market: Market, caller: Caller, limit: int = 3, managed: bool = False, kind: str = "assets", **equal: str) -> list[str]:
    """The ids of all pages of a list; each page but the last is full."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = market.reader.page(KINDS[kind], caller, limit, cursor, "me" if managed else "", equal)
        assert len(page.items) == limit or page.cursor is None
        found += [item["id"].rsplit("/", 1)[-1] for item in page.items]
        cursor = page.cursor
    return found


# -- one record


def test_what_does_not_exist_and_what_is_not_shown_look_the_same(market: Market) -> None:
    hidden, viewer = asset(market, "S-1"), market.callers["fsp-b"]
    reads: list[Any] = [
        lambda id_: market.reader.current("assets", id_, viewer), lambda id_: market.reader.versions("assets", id_, viewer),
        lambda id_: market.reader.numbered("assets", id_, viewer, 1), lambda id_: market.reader.at("assets", id_, viewer, START),
        lambda id_: market.reader.history("assets", id_, viewer),
    ]  # fmt: skip

    for read in reads:
        refusals = []
        for id_ in (hidden, ABSENT, ABSENT.upper(), "", "'; DROP TABLE entry", market.callers["fsp-a"].organisation):
            with pytest.raises(NotFound) as refusal:
                read(id_)
            refusals.append((str(refusal.value), refusal.value.members, refusal.value.headers))
        assert len({repr(each) for each in refusals}) == 1


def test_a_record_is_of_one_kind(market: Market) -> None:
    id_ = asset(market, "S-1")

    assert market.reader.current("assets", id_, market.callers["fsp-a"]).document["id"] == f"{BASE}/assets/{id_}"
    with pytest.raises(NotFound):
        market.reader.current("organisations", id_, market.callers["fsp-a"])


# -- versions


def test_the_manager_sees_every_version(market: Market) -> None:
    id_ = asset(market, "S-1", assetName="First")
    change(market, id_, assetName="Second")
    change(market, id_, manufacturer="Other")

    versions = market.reader.versions("assets", id_, market.callers["fsp-a"])

    assert [shown.number for shown in versions] == [1, 2, 3]
    assert [shown.document["version"] for shown in versions] == [1, 2, 3]
    assert [shown.document["assetName"] for shown in versions] == ["First", "Second", "Second"]
    assert len({shown.fingerprint for shown in versions}) == 3


def test_versions_are_counted_as_the_caller_can_tell_them_apart(market: Market) -> None:
    id_ = asset(market, "S-1")
    change(market, id_, manufacturer="Other")
    change(market, id_, assetName="Renamed")
    change(market, id_, manufacturer="Third", serialNumber="S-9")

    counts = {name: len(market.reader.versions("assets", id_, market.callers[name])) for name in ("operator", "fsp-a", "dso-east", "neso")}

    assert counts == {"operator": 4, "fsp-a": 4, "dso-east": 3, "neso": 2}
    assert market.reader.numbered("assets", id_, market.callers["neso"], 2).document["assetName"] == "Renamed"


@pytest.mark.parametrize("number", [0, -1, 2, 3, 10**9])
def test_a_version_that_is_not_there_is_not_found(market: Market, number: int) -> None:
    id_ = asset(market, "S-1")
    change(market, id_, manufacturer="Other")

    with pytest.raises(NotFound):
        market.reader.numbered("assets", id_, market.callers["neso"], number)


def test_a_change_back_is_a_version_of_its_own(market: Market) -> None:
    id_ = asset(market, "S-1", assetName="A")
    change(market, id_, assetName="B")
    change(market, id_, assetName="A")

    names = [shown.document["assetName"] for shown in market.reader.versions("assets", id_, market.callers["neso"])]

    assert names == ["A", "B", "A"]


# -- times


def test_a_record_is_read_as_it_stood(market: Market) -> None:
    id_, viewer = asset(market, "S-1", assetName="First"), market.callers["fsp-a"]
    change(market, id_, assetName="Second")

    names = [market.reader.at("assets", id_, viewer, START + timedelta(minutes=minutes)).document["assetName"] for minutes in (0, 59, 60, 9_999)]

    assert names == ["First", "First", "Second", "Second"]
    with pytest.raises(NotFound):
        market.reader.at("assets", id_, viewer, START - timedelta(milliseconds=1))


def test_a_time_has_the_number_that_the_caller_counts(market: Market) -> None:
    id_, viewer = asset(market, "S-1"), market.callers["neso"]
    change(market, id_, manufacturer="Other")
    change(market, id_, assetName="Renamed")

    assert [market.reader.at("assets", id_, viewer, START + timedelta(hours=hours)).number for hours in (0, 1, 2)] == [1, 1, 2]


def test_a_record_that_left_an_area_is_seen_there_as_it_was_and_not_as_it_is(market: Market) -> None:
    id_, viewer = asset(market, "S-1"), market.callers["dso-east"]
    change(market, id_, dnoConnection="UKPN_SPN", importMPAN=mpan(5, 19), exportMPAN=mpan(6, 19))

    assert market.reader.at("assets", id_, viewer, START).document["dnoConnection"] == "UKPN_EPN"
    assert len(market.reader.versions("assets", id_, viewer)) == 1
    for read in (lambda: market.reader.current("assets", id_, viewer), lambda: market.reader.at("assets", id_, viewer, market.clock.now())):
        with pytest.raises(NotFound):
            read()
    assert market.reader.current("assets", id_, market.callers["dso-south"]).document["dnoConnection"] == "UKPN_SPN"


# -- history


def test_the_history_says_who_changed_what_and_when(market: Market) -> None:
    id_ = asset(market, "S-1")
    change(market, id_, assetName="Renamed", serialNumber="S-2")

    first, second = market.reader.history("assets", id_, market.callers["fsp-a"])

    assert set(second["changed"]) == {"assetName", "serialNumber", "version", "recordedAt"}
    assert first["changed"] == sorted(market.register.version("assets", id_, 1).document)
    assert (second["action"], second["recordedAt"], second["version"]) == ("update", "2026-11-22T10:30:00.000Z", 2)
    assert second["by"] == {"organisation": market.callers["fsp-a"].organisation, "application": "fsp-a", "keyId": ""}
    assert second["journalIndex"] == market.register.current("assets", id_).index


def test_the_history_names_nobody_to_who_does_not_see_everything(market: Market) -> None:
    """C9: who changed it is for those who see all of it."""
    id_ = asset(market, "S-1", alias=PUBLIC)
    change(market, id_, assetName="Renamed", serialNumber="S-2")
    change(market, id_, ratedCapacity="499.00", genCapacity="499.00")

    for name, count in (("dso-east", 3), ("neso", 3), ("regulator", 2)):
        history = market.reader.history("assets", id_, market.callers[name])
        assert [set(line) for line in history] == [{"version", "changed"}] * count
        assert {tuple(line["changed"]) for line in history[1:]} >= {("ratedCapacity", "genCapacity")}


def test_deregistration_is_the_last_line(market: Market) -> None:
    id_ = asset(market, "S-1")
    market.act(market.callers["fsp-a"], "assets", id_, "deregistration", deregistrationReason="ERROR")

    last = market.reader.history("assets", id_, market.callers["operator"])[-1]

    assert last["action"] == "deregistration"
    assert {"registrationStatus", "standing", "deregistrationReason", "deregisteredAt"} <= set(last["changed"])


# -- proofs


def receipt_of(market: Market, id_: str, name: str, number: int = 1) -> dict[str, Any]:
    caller = market.callers.get(name, ANONYMOUS)
    return market.reader.proof(market.reader.numbered("assets", id_, caller, number), caller)


@pytest.mark.parametrize(("name", "opened"), [
    ("fsp-a", set(SECTIONS)), ("operator", set(SECTIONS)), ("dso-east", {"open", "operational", "personal"}),
    ("neso", {"open", "operational"}), ("regulator", {"open"}), ("", {"open"}),
])  # fmt: skip
def test_a_proof_opens_what_the_caller_sees(market: Market, name: str, opened: set[str]) -> None:
    id_ = asset(market, "S-1", alias=PUBLIC)

    receipt = receipt_of(market, id_, name)

    assert {section for section, shown in receipt["sections"].items() if "body" in shown} == opened
    assert "inclusion" in verify_receipt(receipt, str(market.key.verifier))


def test_a_proof_holds_what_the_caller_reads(market: Market) -> None:
    id_ = asset(market, "S-1", alias=PUBLIC)

    bodies = {name: json.loads(base64.b64decode(shown["body"])) for name, shown in receipt_of(market, id_, "neso")["sections"].items() if "body" in shown}

    assert bodies["open"] | bodies["operational"] == market.reader.current("assets", id_, market.callers["neso"]).document


def test_every_version_keeps_its_proof(market: Market) -> None:
    id_ = asset(market, "S-1")
    for number in range(SEVEN):
        change(market, id_, assetName=f"Name {number}")

    receipts = [receipt_of(market, id_, "fsp-a", number) for number in range(1, SEVEN + 2)]

    assert [receipt["treeSize"] for receipt in receipts] == [market.journal.tree.size] * (SEVEN + 1)
    assert len({receipt["index"] for receipt in receipts}) == SEVEN + 1
    assert all("inclusion" in verify_receipt(receipt, str(market.key.verifier)) for receipt in receipts)


def test_an_altered_proof_fails(market: Market) -> None:
    receipt = receipt_of(market, asset(market, "S-1"), "fsp-a")
    body = base64.b64decode(receipt["sections"]["open"]["body"]).replace(b"BESS", b"WIND")
    receipt["sections"]["open"]["body"] = base64.b64encode(body).decode()

    with pytest.raises(ReceiptError):
        verify_receipt(receipt, str(market.key.verifier))


# -- lists


@pytest.fixture(scope="module")
def crowded(founded: Market, tmp_path_factory: pytest.TempPathFactory) -> Market:
    """A closed market: eleven assets of fsp-a, seven of fsp-b, some of them public, two in another area."""
    market = founded.copied(tmp_path_factory.mktemp("crowded"))
    for number in range(11):
        asset(market, f"A-{number}", friendlyCode=f"A-{number}", **({"alias": PUBLIC} if number % 3 == 0 else {}))
    for number in range(SEVEN):
        asset(market, f"B-{number}", "fsp-b", **({"alias": PUBLIC} if number == 0 else {}), **({"dnoConnection": "UKPN_SPN"} if number > 4 else {}))
    market.close()
    return market


@pytest.fixture
def crowd(crowded: Market, tmp_path: Path) -> Iterator[Market]:
    made = crowded.copied(tmp_path)
    yield made
    made.close()


def everything(market: Market, caller: Caller, kind: str = "assets") -> list[str]:
    """The ids of all records that a caller sees, found without any list."""
    found = []
    for version in market.register.as_of(kind, market.journal.tree.size):
        try:
            market.reader.current(kind, version.id, caller)
        except NotFound:
            continue
        found.append(version.id)
    return sorted(found)


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 11, 18, 500])
def test_every_record_stands_on_one_page(crowd: Market, limit: int) -> None:
    counts = {}
    for name, caller in {**crowd.callers, "": ANONYMOUS}.items():
        found = listed(crowd, caller, limit)
        assert found == everything(crowd, caller), name
        counts[name] = len(found)

    assert {"operator": 18, "neso": 18, "fsp-a": 12, "fsp-b": 11, "dso-east": 16, "dso-south": 7, "regulator": 5, "": 5}.items() <= counts.items()


def test_a_list_goes_on_though_records_come_and_go(crowd: Market) -> None:
    viewer = crowd.callers["fsp-a"]
    first = crowd.reader.page(KINDS["assets"], viewer, 5, "", "me", {})
    own = listed(crowd, viewer, managed=True)
    asset(crowd, "A-99")
    crowd.act(viewer, "assets", own[4], "deregistration", deregistrationReason="ERROR")

    rest = crowd.reader.page(KINDS["assets"], viewer, 500, str(first.cursor), "me", {})

    assert [item["id"].rsplit("/", 1)[-1] for item in rest.items][:6] == own[5:]
    assert len(rest.items) == 7


@pytest.mark.parametrize(("name", "count"), [("fsp-a", 11), ("fsp-b", 7), ("fsp-c", 0), ("operator", 0), ("neso", 0), ("dso-east", 0), ("", 0)])
def test_managed_means_managed(crowd: Market, name: str, count: int) -> None:
    caller = crowd.callers.get(name, ANONYMOUS)

    assert len(listed(crowd, caller, managed=True)) == count
    assert [item["id"].rsplit("/", 1)[-1] for item in crowd.reader.export(KINDS["assets"], caller)] == listed(crowd, caller, managed=True)


@pytest.mark.parametrize(("equal", "counts"), [
    ({"dnoConnection": "UKPN_SPN"}, {"operator": 2, "fsp-a": 0, "fsp-b": 2, "dso-south": 2, "dso-east": 0, "": 0}),
    ({"assetCategory": "BESS"}, {"operator": 18, "fsp-a": 12, "": 5}),
    ({"assetCategory": "CHP"}, {"operator": 0, "fsp-a": 0, "": 0}),
    ({"assetCategory": "BESS", "dnoConnection": "UKPN_SPN"}, {"operator": 2, "fsp-b": 2, "": 0}),
    ({"friendlyCode": "A-3"}, {"operator": 1, "fsp-a": 1, "fsp-b": 0, "dso-east": 0, "neso": 0, "": 0}),
    ({"connectionType": "FIRM"}, {"operator": 18, "fsp-a": 11, "neso": 18, "": 0}),
    ({"registrationStatus": "PENDING_VALIDATION"}, {"operator": 18, "": 5}),
])  # fmt: skip
def test_a_filter_compares_what_the_caller_sees(crowd: Market, equal: Mapping[str, str], counts: Mapping[str, int]) -> None:
    assert {name: len(listed(crowd, crowd.callers.get(name, ANONYMOUS), **equal)) for name in counts} == counts


def test_every_filter_is_a_term_that_is_not_personal() -> None:
    for kind in KINDS.values():
        terms = [vocabulary().terms[name] for name in kind.filters]
        assert [term.name for term in terms if term.tier == "personal" or kind.class_name not in term.domains] == []


def test_the_manager_filters_by_the_organisation(crowd: Market) -> None:
    iri = f"{BASE}/organisations/{crowd.callers['fsp-b'].organisation}"

    assert len(listed(crowd, crowd.callers["neso"], managedBy=iri)) == SEVEN
    assert listed(crowd, crowd.callers["regulator"], managedBy=iri) == []


def test_a_filter_of_many_values_finds_each(market: Market) -> None:
    market.join("both", "FSP", "DNO", licenceArea=["UKPN_EPN", "ENWL"])

    roles = ("FSP", "DNO", "INSTALLER", "SUPPLIER")
    by_role = {role: len(listed(market, ANONYMOUS, limit=1, kind="organisations", organisationRoles=role)) for role in roles}

    assert by_role == {"FSP": 4, "DNO": 3, "INSTALLER": 1, "SUPPLIER": 0}
    assert len(listed(market, ANONYMOUS, kind="organisations", licenceArea="UKPN_EPN")) == 2


def test_organisations_are_listed_once_they_are_approved(market: Market) -> None:
    waiting = market.submit(market.callers["operator"], "organisations", organisation("New", ["FSP"])).id
    market.act(market.callers["operator"], "organisations", market.callers["fsp-c"].organisation, "deregistration")

    public, all_ = (listed(market, caller, kind="organisations") for caller in (ANONYMOUS, market.callers["operator"]))

    assert set(all_) - set(public) == {waiting}
    assert market.callers["fsp-c"].organisation in public
    assert public == everything(market, ANONYMOUS, "organisations")


@pytest.mark.parametrize("cursor", ["!", "é", "YQ", "bnVsbA", "W10", "WzEsMl0", "eyJhIjogMX0x", base64.urlsafe_b64encode(b"[" * 5_000).decode(), "=", "\x00"])
def test_a_cursor_of_somebody_else_is_malformed(market: Market, cursor: str) -> None:
    with pytest.raises(Malformed):
        market.reader.page(KINDS["assets"], ANONYMOUS, 3, cursor, False, {})


def test_the_window_of_a_list_is_never_smaller_than_what_is_shown(market: Market) -> None:
    """A window only narrows what reveal is asked about: whoever sees all gets all, whoever has areas gets them."""
    windows = {name: window_of(caller, managed=False) for name, caller in market.callers.items()}

    assert {name for name, window in windows.items() if window.everything} == {"operator", "neso"}
    assert windows["dso-east"].areas == ("UKPN_EPN", "UKPN_LPN")
    assert all(window.public for window in windows.values())


# -- lookup


@pytest.fixture
def known(market: Market) -> str:
    return asset(market, "GP-1", importMPAN=mpan(1), exportMPAN=mpan(2), friendlyCode="BESS-1", alias=[*PUBLIC, {"scheme": "EVSE", "value": "GB*ABC*E123"}])


IDENTIFIERS = [
    ("MPAN", mpan(1)), ("MPAN", mpan(2)), ("MPAN", f" {mpan(1)} "), ("MPAN", f"00801A2c{mpan(1)}"), ("SERIAL", "gp-1"), ("SERIAL", "Acme Storage|GP-1"), ("SERIAL", "ACME STORAGE|gp-1"),
    ("FRIENDLY_CODE", "bess-1"), ("ECR", "ecr-1"), ("ECR", "ECR-1 "), ("EVSE", "GBABCE123"), ("EVSE", "gb*abc*e123"),
]  # fmt: skip


@pytest.mark.parametrize(("scheme", "value"), IDENTIFIERS)
def test_an_identifier_finds_its_asset(market: Market, known: str, scheme: str, value: str) -> None:
    for name in ("fsp-a", "operator"):
        found = market.reader.lookup(scheme, value, market.callers[name])
        assert [document["assetId"] for document in found] == [known]


@pytest.mark.parametrize(("scheme", "value"), IDENTIFIERS)
def test_an_identifier_finds_nothing_for_who_does_not_see_it(market: Market, known: str, scheme: str, value: str) -> None:
    allowed = {"dso-east"} if scheme in ("MPAN", "SERIAL") and "|" not in value else set()  # a manufacturer is commercial

    found = {name for name, caller in market.callers.items() if name not in ("fsp-a", "operator") and market.reader.lookup(scheme, value, caller)}

    assert found == allowed
    assert market.reader.lookup(scheme, value, ANONYMOUS) == []


@pytest.mark.parametrize(("scheme", "value"), [
    ("MPAN", mpan(3)), ("MPAN", ""), ("SERIAL", "GP-2"), ("SERIAL", "Other|GP-1"), ("FRIENDLY_CODE", "BESS"), ("ECR", "1"), ("NOSUCH", "x"),
    ("mpan", mpan(1)), ("handle:MPAN", mpan(1)), ("EVSE", "ECR-1"), ("", ""),
])  # fmt: skip
def test_what_is_not_registered_is_not_found(market: Market, known: str, scheme: str, value: str) -> None:
    assert market.reader.lookup(scheme, value, market.callers["operator"]) == []


def test_a_friendly_code_is_looked_up_among_ones_own(market: Market, known: str) -> None:
    other = asset(market, "GP-2", "fsp-b", friendlyCode="BESS-1")

    found = {name: [each["assetId"] for each in market.reader.lookup("FRIENDLY_CODE", "BESS-1", market.callers[name])] for name in ("fsp-a", "fsp-b", "operator")}

    assert found == {"fsp-a": [known], "fsp-b": [other], "operator": sorted([known, other])}


def test_nobody_called_an_asset_anything_here_before_it_was_registered(market: Market, known: str) -> None:
    found = [market.reader.lookup("FRIENDLY_CODE", "BESS-1", market.callers["fsp-a"], day) for day in ("2026-11-21", "2026-11-22")]

    assert [len(each) for each in found] == [0, 1]


def test_a_shared_meter_point_finds_what_the_caller_sees(market: Market, known: str) -> None:
    reason = [{"rule": rule, "text": "x"} for rule in ("A03", "A20", "DUPLICATE_PROBABLE")]
    other = asset(market, "GP-2", "fsp-b", importMPAN=mpan(1), justification=reason)

    found = {name: [each["assetId"] for each in market.reader.lookup("MPAN", mpan(1), market.callers[name])] for name in ("fsp-a", "fsp-b", "dso-east", "neso")}

    assert found == {"fsp-a": [known], "fsp-b": [other], "dso-east": sorted([known, other]), "neso": []}


def test_an_identifier_that_was_changed_finds_nothing_any_more(market: Market, known: str) -> None:
    change(market, known, serialNumber="GP-9", importMPAN=mpan(9), alias=None)

    lookups = [market.reader.lookup(scheme, value, market.callers["operator"]) for scheme, value in (("SERIAL", "GP-1"), ("MPAN", mpan(1)), ("ECR", "ECR-1"))]

    assert lookups == [[], [], []]
    assert market.reader.lookup("SERIAL", "GP-9", market.callers["operator"])[0]["assetId"] == known


@pytest.mark.parametrize(("scheme", "value"), IDENTIFIERS)
def test_a_deregistered_asset_is_not_looked_up(market: Market, known: str, scheme: str, value: str) -> None:
    market.act(market.callers["fsp-a"], "assets", known, "deregistration", deregistrationReason="DECOMMISSIONED")

    assert market.reader.lookup(scheme, value, market.callers["operator"]) == []
    assert market.reader.current("assets", known, market.callers["fsp-a"]).document["registrationStatus"] == "DEREGISTERED"


def test_an_owner_looks_up_what_it_owns(market: Market) -> None:
    owner = {"owner": f"organisations/{market.callers['installer'].organisation}", "ownerName": None, "justification": None}
    id_ = asset(market, "GP-1", importMPAN=mpan(1), **owner)

    assert [each["assetId"] for each in market.reader.lookup("MPAN", mpan(1), market.callers["installer"])] == [id_]
    assert market.reader.lookup("MPAN", mpan(1), market.callers["platform"]) == []


def test_an_alias_of_an_organisation_is_no_asset(market: Market) -> None:
    market.join("listed", "FSP", alias=[{"scheme": "LEI", "value": "213800KUD8LAJWSQ9D15"}])

    assert market.register.found("LEI", "213800kud8lajwsq9d15") == [market.callers["listed"].organisation]
    assert market.reader.lookup("LEI", "213800KUD8LAJWSQ9D15", market.callers["operator"]) == []
