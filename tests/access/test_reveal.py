"""What a caller sees of a record: relation by tier, for every property, and no trace of what it doesn't see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmar_node.access.caller import ANONYMOUS, Caller, Grant, Grants, Permission, Role, caller_of
from fmar_node.access.reveal import SEES, Relation, is_public, relations, reveal, tiers
from fmar_node.errors import NotFound
from fmar_node.kinds import KINDS
from fmar_node.representation import FORMATS, serialise
from fmar_node.vocabulary import FMAR, Document, Term, TermKind, Tier
from tests.market import BASE, Market, battery, mpan, organisation, vocabulary

MATRIX = {
    #                      open operational commercial personal
    Relation.OPERATOR:    "open operational commercial personal",
    Relation.SELF:        "open operational commercial personal",
    Relation.MANAGER:     "open operational commercial personal",
    Relation.OWNER:       "open operational commercial personal",
    Relation.REGISTRANT:  "open operational commercial personal",
    Relation.APPLICANT:   "open operational commercial personal",
    Relation.GRANTOR:     "open operational commercial personal",
    Relation.DELEGATE:    "open operational commercial personal",
    Relation.PUBLISHER:   "open operational commercial personal",
    Relation.GRANTEE:     "open operational commercial personal",
    Relation.WITHOUT_CONSENT: "open",
    Relation.GAINING:     "open operational commercial personal",
    Relation.LOSING:      "open",
    Relation.COMMITTING:  "open operational commercial personal",
    Relation.COMMITTED_TO: "open operational commercial personal",
    Relation.AUDIENCE:    "open",
    Relation.ADDRESSEE:   "open operational commercial personal",
    Relation.AREA:        "open operational            personal",
    Relation.NATIONAL:    "open operational",
    Relation.GRANTED:     "open operational commercial",
    Relation.GRANTED_PERSONAL: "open operational commercial personal",
    Relation.PASSPORT:    "open operational",
    Relation.CONTACTS:    "open operational            personal",
    Relation.PUBLIC:      "open",
}  # fmt: skip
MANAGER, OWNER, OTHER = (f"0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b{number}" for number in (11, 12, 13))
ID = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2baa"
FEW = settings(max_examples=60, derandomize=True, database=None, deadline=None)
EXAMPLES = {
    TermKind.DECIMAL: "1.50", TermKind.INTEGER: 7, TermKind.BOOLEAN: True, TermKind.DATE: "2026-11-22",
    TermKind.INSTANT: "2026-11-22T09:30:00.000Z", TermKind.RECORD: f"{BASE}/organisations/{OTHER}",
}  # fmt: skip


def example(term: Term, iri: str) -> Any:
    """A value that names the term it stands for, where its kind allows that."""
    if term.kind is TermKind.PART:
        return [whole(term.part_class, f"{iri}#{term.name}-{place}") for place in (1, 2)]
    value = EXAMPLES.get(term.kind, f"{term.tier.value}:{term.name}")
    return [value] if term.many else value


def whole(class_name: str, iri: str, **given: Any) -> Document:
    """A document that has every property of its class."""
    terms = {term.name: example(term, iri) for term in vocabulary().classes[class_name]}
    return {"id": iri, "type": class_name, **terms, **given}


def asset(**given: Any) -> Document:
    """A public asset in UKPN_EPN, managed by MANAGER for OWNER, with every property."""
    relating = {
        "managedBy": f"{BASE}/organisations/{MANAGER}", "owner": f"{BASE}/organisations/{OWNER}",
        "dnoConnection": "UKPN_EPN", "ownerKind": "ORGANISATION", "assetCategory": "BESS", "standing": "LIVE",
    }  # fmt: skip
    document = whole("Asset", f"{BASE}/assets/{ID}", **relating)
    document["alias"][0]["scheme"] = "ECR"
    for field in document["extension"]:
        field["extensionPublisher"] = f"{BASE}/organisations/{MANAGER}"
    return {**document, **given}


def caller(organisation_id: str = OTHER, *roles: Role, areas: tuple[str, ...] = (), state: str = "ACTIVE") -> Caller:
    return Caller(organisation_id, roles=frozenset(roles), areas=frozenset(areas), state=state)


CALLERS = {
    Relation.OPERATOR: caller(OTHER, Role.OPERATOR),
    Relation.MANAGER: caller(MANAGER, Role.FSP),
    Relation.OWNER: caller(OWNER),
    Relation.AREA: caller(OTHER, Role.DSO, areas=("UKPN_LPN", "UKPN_EPN")),
    Relation.NATIONAL: caller(OTHER, Role.NESO),
    Relation.GRANTED: replace(caller(OTHER, Role.PLATFORM), grants={MANAGER: (Grant(frozenset({Permission.READ})),)}),
    Relation.GRANTED_PERSONAL: replace(
        caller(OTHER, Role.PLATFORM), grants={MANAGER: (Grant(frozenset({Permission.READ_PERSONAL}), frozenset({ID})),)}
    ),
    Relation.PUBLIC: ANONYMOUS,
}
GRANTED_ELSE = {
    "another asset": {MANAGER: (Grant(frozenset({Permission.READ}), frozenset({OTHER})),)},
    "another grantor's": {OWNER: (Grant(frozenset({Permission.READ_PERSONAL})),)},
    "not to read": {MANAGER: (Grant(frozenset({Permission.UPDATE, Permission.REGISTER, Permission.PASSPORT})),)},
}
STRANGERS = [
    ANONYMOUS, caller(OTHER, Role.FSP), caller(OTHER, Role.REGULATOR), caller(OTHER, Role.PLATFORM), caller(OTHER, Role.INSTALLER),
    caller(OTHER, Role.DSO, areas=("UKPN_SPN",)), caller(OTHER, Role.FSP, areas=("UKPN_EPN",)), caller(MANAGER, Role.FSP, state="WITHDRAWN"),
    caller(OWNER, state="PENDING_APPROVAL"), caller(OTHER, Role.OPERATOR, state="WITHDRAWN"), caller(OTHER, Role.NESO, state=""),
]  # fmt: skip


def paths(document: Document, above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every value in a document and its parts, by the names that lead to it and, for parts, their place."""
    found: dict[tuple[str, ...], Any] = {}
    for name, value in document.items():
        if isinstance(value, list) and isinstance(value[0], dict):
            for place, part in enumerate(value):
                found |= paths(part, (*above, name, str(place)))
        else:
            found[(*above, name)] = value
    return found


def is_open(path: tuple[str, ...], open_tiers: set[str]) -> bool:
    """Whether every property on a path is in these tiers."""
    terms = [vocabulary().terms[name] for name in path if not name.isdigit() and name not in ("id", "type")]
    return all(term.tier.value in open_tiers for term in terms)


# -- the matrix


def test_the_table_of_relations_is_this_one() -> None:
    assert {relation: {tier.value for tier in SEES[relation]} for relation in Relation} == {
        relation: set(line.split()) for relation, line in MATRIX.items()
    }


@pytest.mark.parametrize("relation", CALLERS, ids=str)
def test_a_relation_shows_its_tiers_of_an_asset_and_nothing_else(relation: Relation) -> None:
    document, open_tiers = asset(), set(MATRIX[relation].split())

    shown = reveal(document, CALLERS[relation], vocabulary())

    assert relations(document, CALLERS[relation]) == {relation, Relation.PUBLIC}
    assert shown is not None
    assert paths(shown) == {path: value for path, value in paths(document).items() if is_open(path, open_tiers)}


@pytest.mark.parametrize(("viewer", "relation"), [
    (CALLERS[Relation.OPERATOR], Relation.OPERATOR),
    (caller(ID), Relation.SELF),
    (caller(ID, state="SUSPENDED"), Relation.SELF),
    (caller(OTHER, Role.FSP), Relation.PUBLIC),
    (caller(OTHER, Role.NESO), Relation.PUBLIC),
    (ANONYMOUS, Relation.PUBLIC),
])  # fmt: skip
def test_a_relation_shows_its_tiers_of_an_organisation(viewer: Caller, relation: Relation) -> None:
    document = whole("Organisation", f"{BASE}/organisations/{ID}", organisationStatus="ACTIVE")

    shown = reveal(document, viewer, vocabulary())

    assert shown is not None
    assert paths(shown) == {path: value for path, value in paths(document).items() if is_open(path, set(MATRIX[relation].split()))}


@pytest.mark.parametrize("viewer", STRANGERS, ids=lambda viewer: f"{'+'.join(sorted(viewer.roles)) or 'none'}-{viewer.state}")
def test_who_has_no_relation_sees_what_is_public_or_nothing(viewer: Caller) -> None:
    unpublished = asset(alias=[{"id": "#1", "type": "Alias", "scheme": "MCS", "value": "1"}])

    assert relations(asset(), viewer) == {Relation.PUBLIC}
    assert reveal(asset(), viewer, vocabulary()) == reveal(asset(), ANONYMOUS, vocabulary())
    assert reveal(unpublished, viewer, vocabulary()) is None
    assert tiers(unpublished, viewer) == frozenset()


@pytest.mark.parametrize("grants", GRANTED_ELSE.values(), ids=GRANTED_ELSE)
def test_what_was_granted_for_something_else_opens_nothing(grants: Grants) -> None:
    viewer = replace(caller(OTHER, Role.PLATFORM), grants=grants)

    assert relations(asset(), viewer) == {Relation.PUBLIC}


def test_who_acts_for_another_sees_what_was_granted_and_not_what_that_one_sees() -> None:
    acting = replace(CALLERS[Relation.MANAGER], actor=OTHER, grants={MANAGER: (Grant(frozenset({Permission.READ})),)})

    assert relations(asset(), acting) == {Relation.GRANTED, Relation.PUBLIC}
    assert relations(asset(), replace(acting, grants={MANAGER: ()})) == {Relation.PUBLIC}
    assert relations(asset(managedBy=f"{BASE}/organisations/{OTHER}", owner=f"{BASE}/organisations/{MANAGER}"), acting) == {Relation.PUBLIC}


def test_a_part_that_is_shown_is_filtered_as_its_record_is() -> None:
    """No relation of today opens a part's tier and not all of its properties': the rule is there for the next one."""
    words = vocabulary()
    bare = replace(words, terms={**words.terms, "device": replace(words.terms["device"], tier=Tier.OPERATIONAL)})

    shown = reveal(asset(), CALLERS[Relation.NATIONAL], bare)

    assert shown is not None
    assert [set(part) for part in shown["device"]] == [{"id", "type", "ratedCapacity"}] * 2


def test_relations_add_up() -> None:
    both = caller(MANAGER, Role.FSP, Role.DSO, areas=("UKPN_EPN",))
    area = caller(OTHER, Role.DSO, Role.NESO, areas=("UKPN_EPN",))

    assert tiers(asset(), both) == frozenset(Tier)
    assert tiers(asset(), area) == {Tier.OPEN, Tier.OPERATIONAL, Tier.PERSONAL}


def test_a_manager_is_a_manager_by_the_record_and_not_by_role() -> None:
    assert Relation.MANAGER in relations(asset(), caller(MANAGER))
    assert Relation.MANAGER not in relations(asset(managedBy=f"{BASE}/organisations/{OTHER}"), caller(MANAGER, Role.FSP))
    assert relations({name: value for name, value in asset().items() if name not in ("managedBy", "owner")}, Caller()) == {Relation.PUBLIC}


def test_every_property_has_exactly_one_tier() -> None:
    tiers_of: dict[str, list[str]] = {}
    for triple in vocabulary().ontology:
        if triple.predicate.value == FMAR + "disclosureTier":
            tiers_of.setdefault(triple.subject.value, []).append(triple.object.value.removeprefix(FMAR))

    assert {term.iri: [term.tier.value] for term in vocabulary().terms.values()} == tiers_of
    assert all(set(each) <= {tier.value for tier in Tier} for each in tiers_of.values())


# -- the public face


@pytest.mark.parametrize("document", [asset(), whole("Organisation", f"{BASE}/organisations/{ID}", organisationStatus="ACTIVE")], ids=["asset", "organisation"])
def test_the_public_face_holds_no_value_of_a_closed_tier(document: Document) -> None:
    face = json.dumps(reveal(document, ANONYMOUS, vocabulary()))

    closed = [term.name for term in vocabulary().terms.values() if term.tier is not Tier.OPEN]
    assert not any(f'"{name}"' in face for name in closed)
    assert not any(f"{tier}:" in face for tier in ("operational", "commercial", "personal"))
    assert '"open:' in face


@pytest.mark.parametrize(("given", "expected"), [
    ({}, True),
    ({"assetCategory": "EV_CHARGER"}, False),
    ({"assetCategory": "HEAT_PUMP"}, False),
    ({"ownerKind": "INDIVIDUAL"}, False),
    ({"ownerKind": None}, False),
    ({"alias": []}, False),
    *[({"alias": [{"scheme": scheme, "value": "x"}]}, scheme in ("ECR", "REPD", "TEC", "BMU"))
      for scheme in vocabulary().schemes["IdentifierScheme"].codes],
])  # fmt: skip
def test_an_asset_is_public_that_a_register_has_published(given: dict[str, Any], expected: bool) -> None:
    document = {name: value for name, value in asset(**given).items() if value is not None}

    assert is_public(document) is expected
    assert (reveal(document, ANONYMOUS, vocabulary()) is not None) is expected


def test_a_domestic_asset_is_never_public_through_the_register(market: Market) -> None:
    demand = {
        "assetCategory": "EV_CHARGER", "energySource": None, "demandTechType": "EV", "genCapacity": None, "exportMPAN": None,
        "storageEnergyCapacity": None, "alias": [{"scheme": "ECR", "value": "ecr-1"}],
    }  # fmt: skip
    receipt = market.submit(market.callers["fsp-a"], "assets", battery(**demand))

    for name in ("regulator", "fsp-b", "dso-south"):
        with pytest.raises(NotFound):
            market.reader.current("assets", receipt.id, market.callers[name])
    assert market.reader.page(KINDS["assets"], ANONYMOUS, 10, "", False, {}).items == []
    assert market.reader.current("assets", receipt.id, market.callers["dso-east"]).document["assetCategory"] == "EV_CHARGER"


# -- organisations on their way in and out


@pytest.mark.parametrize(("state", "is_shown"), [("PENDING_APPROVAL", False), ("ACTIVE", True), ("SUSPENDED", True), ("WITHDRAWN", True)])
def test_an_organisation_is_public_once_it_is_approved(state: str, is_shown: bool) -> None:
    document = whole("Organisation", f"{BASE}/organisations/{ID}", organisationStatus=state)
    del document["rejectionReason"]

    assert (reveal(document, ANONYMOUS, vocabulary()) is not None) is is_shown
    assert reveal(document, CALLERS[Relation.OPERATOR], vocabulary()) == document


def test_an_organisation_whose_application_was_rejected_was_never_public() -> None:
    document = whole("Organisation", f"{BASE}/organisations/{ID}", organisationStatus="WITHDRAWN", rejectionReason="unknown")

    assert reveal(document, ANONYMOUS, vocabulary()) is None


@pytest.mark.parametrize("state", ["PENDING_APPROVAL", "WITHDRAWN"])
def test_who_is_not_admitted_is_nobody(market: Market, state: str) -> None:
    operator = market.callers["operator"]
    if state == "WITHDRAWN":
        market.join("new", "SYSTEM_OPERATOR", "DNO", licenceArea=["UKPN_EPN"], organisationEmail="a@b.example")
        market.act(operator, "organisations", market.callers["new"].organisation, "deregistration")
    else:
        new = organisation("New", ["SYSTEM_OPERATOR", "DNO"], licenceArea=["UKPN_EPN"], organisationEmail="a@b.example")
        market.enter("new", market.submit(operator, "organisations", new).id)
    viewer = market.enter("new", market.callers["new"].organisation)
    receipt = market.submit(market.callers["fsp-a"], "assets", battery())

    assert (viewer.roles, viewer.areas) == (frozenset(), frozenset())
    with pytest.raises(NotFound):
        market.reader.current("assets", receipt.id, viewer)
    own = market.current("organisations", viewer.organisation).document
    assert reveal(own, viewer, vocabulary()) == reveal(own, ANONYMOUS, vocabulary())


def test_a_suspended_organisation_still_reads_its_own(market: Market) -> None:
    before, receipt = market.callers["fsp-a"], market.submit(market.callers["fsp-a"], "assets", battery())
    market.act(market.callers["operator"], "organisations", before.organisation, "suspension")

    suspended = market.enter("fsp-a", before.organisation)

    assert suspended.state == "SUSPENDED"
    assert market.reader.current("assets", receipt.id, suspended).document == market.current("assets", receipt.id).document
    assert market.reader.current("organisations", before.organisation, suspended).document["version"] == 3
    assert [item["id"] for item in market.reader.export(KINDS["assets"], suspended)] == [f"{BASE}/assets/{receipt.id}"]


# -- properties


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """An asset with some of its properties."""
    document = asset(
        assetCategory=draw(st.sampled_from(["BESS", "EV_CHARGER"])), ownerKind=draw(st.sampled_from(["ORGANISATION", "INDIVIDUAL"])),
        dnoConnection=draw(st.sampled_from(["UKPN_EPN", "ENWL"])),
    )  # fmt: skip
    kept = draw(st.sets(st.sampled_from(sorted(set(document) - {"id", "type"}))))
    return {name: value for name, value in document.items() if name in kept or name in ("id", "type")}


callers = st.builds(
    Caller,
    organisation=st.sampled_from(["", MANAGER, OWNER, OTHER]),
    roles=st.frozensets(st.sampled_from(list(Role)), max_size=3),
    areas=st.frozensets(st.sampled_from(["UKPN_EPN", "UKPN_LPN"])),
    state=st.sampled_from(["ACTIVE", "ACTIVE", "SUSPENDED", "PENDING_APPROVAL", "WITHDRAWN", ""]),
)


@FEW
@given(documents(), callers)
def test_what_is_shown_is_a_part_of_the_document_and_no_less_than_the_public_face(document: Document, viewer: Caller) -> None:
    before = json.dumps(document)

    shown, face = reveal(document, viewer, vocabulary()) or {}, reveal(document, ANONYMOUS, vocabulary()) or {}

    assert paths(face).items() <= paths(shown).items() <= paths(document).items()
    assert [name for name in document if name in shown] == list(shown)
    assert json.dumps(document) == before


@FEW
@given(documents(), callers, st.data())
def test_a_value_that_is_not_shown_changes_nothing(document: Document, viewer: Caller, data: st.DataObject) -> None:
    relating = {"type", "managedBy", "owner", "dnoConnection", "ownerKind", "assetCategory", "alias"}
    shown = reveal(document, viewer, vocabulary())
    hidden = sorted(set(document) - set(shown or {}) - relating)

    for name in data.draw(st.sets(st.sampled_from(hidden))) if hidden else ():
        document = {**document, name: "changed"}

    assert reveal(document, viewer, vocabulary()) == shown


# -- two registers that differ only in what a caller doesn't see


HIDDEN = {
    "commercial": {"friendlyCode": "NEW-1", "manufacturer": "Other", "device": [{"deviceType": "inverter"}]},
    "personal": {"serialNumber": "S-99", "importMPAN": mpan(77), "postcode": "SW1A 1AA"},
    "operational": {"assetName": "Renamed", "connectionType": "NON_FIRM"},
}
BLIND = [
    ("neso", "commercial"), ("neso", "personal"), ("dso-east", "commercial"),
    ("regulator", "operational"), ("fsp-b", "commercial"), ("dso-south", "personal"), ("", "operational"), ("", "personal"),
]  # fmt: skip


@pytest.fixture
def small(market: Market) -> Market:
    """A public asset with a history, an unpublished one, and one of another provider."""
    caller, public = market.callers["fsp-a"], [{"scheme": "ECR", "value": "ecr-1"}]
    first = market.submit(caller, "assets", battery("S-1", alias=public, assetName="Known"))
    market.submit(caller, "assets", battery("S-2", friendlyCode="S-2"))
    market.submit(market.callers["fsp-b"], "assets", battery("S-3", alias=public, importMPAN=mpan(3), exportMPAN=mpan(4)))
    market.clock.forward(hours=1)
    market.update(caller, "assets", first.id, ratedCapacity="501.00", installedCapacity="501.00")
    return market


def observed(market: Market, viewer: Caller) -> list[Any]:
    """Everything that a caller's reads answer: lists, pages, records, versions, histories, times, fingerprints."""
    seen: list[Any] = []
    for kind in KINDS.values():
        for managed, limit in ((False, 1), (False, 2), (True, 1), (False, 500)):
            cursor: str | None = ""
            while cursor is not None:
                page = market.reader.page(kind, viewer, limit, cursor, "me" if managed else "", {})
                cursor = page.cursor
                seen += [page.items, cursor]
        for item in [item for item in seen[-2] if item]:
            seen.append(recounted(market, kind.plural, item["id"].rsplit("/", 1)[-1], viewer))
    return seen


def recounted(market: Market, kind: str, id_: str, viewer: Caller) -> list[Any]:
    reader, shown = market.reader, market.reader.current(kind, id_, viewer)
    return [
        shown.fingerprint, reader.history(kind, id_, viewer),
        [serialise(shown.document, media_type, vocabulary()) for media_type in FORMATS],
        [(each.number, each.document, each.fingerprint) for each in reader.versions(kind, id_, viewer)],
        reader.at(kind, id_, viewer, market.clock.now()).number,
    ]  # fmt: skip


def changed(market: Market, tier: str) -> None:
    """Every asset of fsp-a changes in a tier; further records appear that only their own see."""
    for item in list(market.reader.export(KINDS["assets"], market.callers["fsp-a"])):
        number = item["serialNumber"][-1]
        change = {name: f"{value}{number}" if name in ("friendlyCode", "serialNumber") else value for name, value in HIDDEN[tier].items()}
        change |= {"importMPAN": mpan(700 + int(number))} if "importMPAN" in change else {}
        market.update(market.callers["fsp-a"], "assets", item["id"].rsplit("/", 1)[-1], **change)


@pytest.mark.parametrize(("name", "tier"), BLIND)
def test_a_change_in_a_hidden_tier_leaves_no_trace(small: Market, tmp_path: Path, name: str, tier: str) -> None:
    viewer = small.callers.get(name, ANONYMOUS)
    other = small.copied(tmp_path / "other")
    other.clock = small.clock

    changed(other, tier)

    assert repr(observed(small, viewer)) == repr(observed(other, viewer))
    assert repr(observed(small, small.callers["operator"])) != repr(observed(other, small.callers["operator"]))
    other.close()


@pytest.mark.parametrize("name", ["regulator", "fsp-b", "dso-south", ""])
def test_a_record_that_is_hidden_whole_leaves_no_trace(small: Market, tmp_path: Path, name: str) -> None:
    viewer, other = small.callers.get(name, ANONYMOUS), small.copied(tmp_path / "other")

    made = [other.submit(other.callers["fsp-a"], "assets", battery(f"N-{number}", importMPAN=mpan(50 + number))) for number in range(3)]
    other.act(other.callers["fsp-a"], "assets", made[0].id, "deregistration", deregistrationReason="ERROR")
    other.submit(other.callers["operator"], "organisations", organisation("Waiting", ["FSP"]))

    assert repr(observed(small, viewer)) == repr(observed(other, viewer))
    assert repr(observed(small, small.callers["operator"])) != repr(observed(other, small.callers["operator"]))
    other.close()


def test_the_graphs_leave_no_trace_either(small: Market, tmp_path: Path) -> None:
    other = small.copied(tmp_path / "other")
    changed(other, "commercial")
    changed(other, "personal")

    views = {name: viewer.view for name, viewer in small.callers.items()} | {"public": "public"}
    before, after = small.projected().graph, other.projected().graph
    same = {name for name, view in views.items() if set(before.triples(f"{BASE}/views/{view}")) == set(after.triples(f"{BASE}/views/{view}"))}

    assert same == set(views) - {"operator", "fsp-a", "dso-east"}
    other.close()


def test_the_caller_of_an_organisation_is_what_its_record_says(market: Market) -> None:
    document = market.current("organisations", market.callers["dso-east"].organisation).document

    made = caller_of(document, application="app")

    assert (made.roles, made.areas, made.state, made.application) == ({Role.DSO}, {"UKPN_EPN", "UKPN_LPN"}, "ACTIVE", "app")
    assert caller_of({**document, "organisationStatus": "WITHDRAWN"}).roles == frozenset()


# -- a consent that was taken back


def test_who_has_lost_the_consent_sees_that_the_asset_is_there_and_others_see_what_they_saw() -> None:
    suspended = asset(standing="SUSPENDED_CONSENT_REVOKED", ownerKind="INDIVIDUAL")
    acting = replace(caller(MANAGER, Role.FSP), actor=OTHER, grants={MANAGER: (Grant(frozenset({Permission.READ_PERSONAL})),)})

    assert relations(suspended, CALLERS[Relation.MANAGER]) == {Relation.WITHOUT_CONSENT}
    assert relations(suspended, acting) == {Relation.WITHOUT_CONSENT}
    assert relations(suspended, replace(acting, organisation=OTHER, grants={OTHER: acting.grants[MANAGER]})) == frozenset()
    assert tiers(suspended, CALLERS[Relation.GRANTED_PERSONAL]) == frozenset()
    for relation in (Relation.OPERATOR, Relation.OWNER, Relation.AREA, Relation.NATIONAL):
        assert relations(suspended, CALLERS[relation]) == {relation}
