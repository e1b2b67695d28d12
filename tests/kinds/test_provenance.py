"""Where values come from: what a more trusted source has confirmed is overwritten by nobody in passing, and everything else stays free."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fmar_node.access.caller import node_itself
from fmar_node.drafting import Submission
from fmar_node.errors import Forbidden, Invalid, NotFound
from fmar_node.identity import new_record_id
from fmar_node.kinds import House
from fmar_node.kinds.provenance import TRUST, TRUST_OF
from fmar_node.representation import fingerprint
from fmar_node.settings import CONNECTION, MCS, METER_POINT, OEM
from fmar_node.vocabulary import Document
from tests.market import BASE, Market, battery, mpan, refused, vocabulary

AT = "2026-12-01T12:00:00.000Z"
ALIASES = [{"scheme": "MCS", "value": "MCS-99-0001"}, {"scheme": "ECR", "value": "UKPN-1"}]
PRECEDENCE = {"rule": "SOURCE_PRECEDENCE", "text": "the site was surveyed on 1 December"}
UNREGISTERED = {"rule": "A03", "text": "owner not registered yet"}


def fact(source: str, field: str, outcome: str = "AGREES", found: str = "", personal: str = "") -> Document:
    told = {term: value for term, value in {"comparedWith": found, "comparedWithPersonal": personal}.items() if value}
    return {"evidenceKind": source, "checkedAt": AT, "evidenceReference": "https://source.example/x", "evidenceField": field, "evidenceOutcome": outcome, **told}


CONFIRMED = (
    fact(METER_POINT, "importMPAN", found="IMPORT"), fact(METER_POINT, "dnoConnection", found="UKPN_EPN"), fact(METER_POINT, "postcode", personal="IP1 2AB"),
    fact(MCS, "ratedCapacity", found="500.00"), fact(OEM, "assetModel", found="AS-500"), fact(CONNECTION, "connectionStatus", found="CONNECTED"),
)  # fmt: skip


@pytest.fixture
def asking(market: Market) -> Market:
    market.house = House(frozenset({METER_POINT, MCS, OEM, CONNECTION}))
    return market


def register(market: Market, *facts: Document, by: str = "fsp-a") -> str:
    id_ = market.submit(market.callers[by], "assets", battery(postcode="IP1 2AB", alias=ALIASES)).id
    body = json.dumps({"evidence": facts}).encode()
    basis = fingerprint(market.current("assets", id_).document)
    market.run(Submission(node_itself(), "assets", "verification", id_, BASE, "application/ld+json", body, (basis,)))
    return id_


def change(market: Market, id_: str, by: str = "fsp-a", **changes: Any) -> Document:
    market.update(market.callers[by], "assets", id_, **changes)
    return market.current("assets", id_).document


def test_the_ranks_are_the_code_list() -> None:
    assert tuple(vocabulary().schemes["SourceTrust"].codes) == TRUST
    assert [TRUST.index(TRUST_OF[source]) for source in (CONNECTION, METER_POINT, MCS)] == [0, 1, 2]


@pytest.mark.parametrize("changes", [
    {"postcode": "SE1 4QP"}, {"postcode": None}, {"ratedCapacity": "499.00", "genCapacity": "499.00"}, {"connectionStatus": "PENDING"},
])  # fmt: skip
def test_what_a_more_trusted_source_has_is_changed_with_a_justification(asking: Market, changes: dict[str, Any]) -> None:
    id_ = register(asking, *CONFIRMED)

    with refused("SOURCE_PRECEDENCE", as_=Invalid):
        change(asking, id_, **changes)
    document = change(asking, id_, **changes, justification=[UNREGISTERED, PRECEDENCE])

    assert document["validationStatus"] == "PENDING_VALIDATION", "the source is asked again"


def test_a_justification_is_good_for_one_change(asking: Market) -> None:
    id_ = register(asking, *CONFIRMED)
    change(asking, id_, justification=[UNREGISTERED, PRECEDENCE])

    with refused("SOURCE_PRECEDENCE", as_=Invalid):
        change(asking, id_, postcode="SE1 4QP")
    with refused("SOURCE_PRECEDENCE", as_=Invalid):
        change(asking, id_, postcode="SE1 4QP", justification=[UNREGISTERED])

    assert change(asking, id_, postcode="SE1 4QP", justification=[UNREGISTERED, {**PRECEDENCE, "text": "another reason"}])


@pytest.mark.parametrize("changes", [
    {"postcode": "ip12ab"},  # the source's own value, however it is written
    {"assetName": "Renamed"}, {"assetModel": "AS-501"}, {"installedCapacity": "510.00"},  # nobody better says anything
    {"importMPAN": mpan(77), "postcode": "SE1 4QP"},  # another meter point: the source spoke of the one before
    {"alias": [ALIASES[1], {"scheme": "MCS", "value": "MCS-99-0002"}], "ratedCapacity": "499.00", "genCapacity": "499.00"},
])  # fmt: skip
def test_everything_else_is_changed_as_before(asking: Market, changes: dict[str, Any]) -> None:
    id_ = register(asking, *CONFIRMED)

    assert change(asking, id_, **changes)["version"] == 3


def test_a_slip_is_mended_after_a_query(asking: Market) -> None:
    """A source that objects to anything speaks for nothing: either side may be the one that is wrong."""
    id_ = register(asking, *CONFIRMED[:2], fact(METER_POINT, "postcode", "DIFFERS", personal="IP1 2AC"), *CONFIRMED[3:])
    assert asking.current("assets", id_).document["registrationStatus"] == "QUERY"

    assert change(asking, id_, postcode="IP1 2AC")["registrationStatus"] == "PENDING_VALIDATION"
    assert change(asking, id_, dnoConnection="UKPN_LPN")["version"] == 4


def test_a_certified_installer_is_trusted_as_its_certificate(asking: Market) -> None:
    id_ = register(asking, *CONFIRMED, by="installer")

    assert change(asking, id_, "installer", ratedCapacity="499.00", genCapacity="499.00")["version"] == 3
    again = register_other(asking)
    with refused("SOURCE_PRECEDENCE", as_=Invalid):
        change(asking, again, "installer", postcode="SE1 4QP")


def register_other(market: Market) -> str:
    id_ = market.submit(market.callers["installer"], "assets", battery("I-2", postcode="IP1 2AB", alias=[{"scheme": "ECR", "value": "UKPN-2"}])).id
    body = json.dumps({"evidence": [fact(METER_POINT, "postcode", personal="IP1 2AB")]}).encode()
    basis = fingerprint(market.current("assets", id_).document)
    market.run(Submission(node_itself(), "assets", "verification", id_, BASE, "application/ld+json", body, (basis,)))
    return id_


def test_of_each_field_it_is_told_whose_word_it_is(asking: Market) -> None:
    id_ = register(asking, *CONFIRMED[:2], fact(METER_POINT, "postcode", "DIFFERS", personal="IP1 2AC"), *CONFIRMED[3:])

    told = {each.pop("field"): each for each in asking.reader.provenance(id_, asking.callers["fsp-a"])}

    assert told["dnoConnection"] == {"source": "METERING_REGISTRY", "method": "METER_POINT", "verifiedAt": AT, "quality": "CONFIRMED"}
    assert told["connectionStatus"]["source"] == "NETWORK_DATA" and told["ratedCapacity"]["source"] == "CERTIFIED_INSTALLER"
    assert told["postcode"] == {"source": "FSP", "method": "SUBMISSION", "quality": "QUERIED"}
    assert told["effectiveDate"] == {"source": "DERIVED", "method": "DEFAULT", "quality": "GIVEN"}
    assert told["assetName"] == {"source": "FSP", "method": "SUBMISSION", "quality": "GIVEN"}
    assert not told.keys() & {"registrationStatus", "managedBy", "evidence", "justification"}


def test_where_values_come_from_is_told_to_those_who_see_the_evidence(asking: Market) -> None:
    id_ = register(asking, *CONFIRMED)

    for name in ("dso-east", "fsp-b"):  # who sees it in the area, and what is in the ECR
        with pytest.raises(Forbidden):
            asking.reader.provenance(id_, asking.callers[name])
    with pytest.raises(NotFound):
        asking.reader.provenance(new_record_id(), asking.callers["fsp-a"])
