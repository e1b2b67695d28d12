"""The CIM profile over HTTP: what a CIM tool sends and gets, from a node that runs."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pyoxigraph as ox
import pytest

from fmar_node.cim import table as t
from fmar_node.cim.projection import CIM
from fmar_node.representation import RDF_FORMATS, serialise
from fmar_node.vocabulary import packaged
from tests.cim.documents import asset, unit, usage_point
from tests.live import LD_JSON, Live
from tests.market import mpan, vocabulary
from tests.web.test_records import RDF, size, triples

CIM_PROFILE = {"profile": "cim"}
SHORT = ("jsonld", "json", "turtle", "ntriples", "nquads", "rdfxml")
XML = {"Content-Type": "application/rdf+xml"}


def fresh(live: Live, **changes: Any) -> dict[str, Any]:
    """A valid battery in CIM that no other test has used."""
    number = next(live.serials)
    point = usage_point("IMPORT", mpan(hash(number) % 10**8))
    return asset(**{"Asset.serialNumber": f"CIM-{number}", "Asset.PowerSystemResources": [unit(**{"Equipment.UsagePoints": [point]}), asset()["Asset.PowerSystemResources"][1]], **changes})


def post(live: Live, document: Any, name: str = "fsp-a", params: dict[str, str] | None = None, **headers: str) -> httpx.Response:
    return live.client(name).post("/assets", json=document, params=params or {}, headers={**LD_JSON, **headers})


def read(live: Live, iri: str, name: str = "fsp-a", **params: str) -> httpx.Response:
    return live.client(name).get(iri, params={**CIM_PROFILE, **params})


# -- out


@pytest.mark.parametrize("media_type", RDF)
def test_every_format_says_the_same(live: Live, media_type: str) -> None:
    iri = live.register().headers["Location"]

    response = live.client("fsp-a").get(iri, params=CIM_PROFILE, headers={"Accept": media_type})

    document = live.client("fsp-a").get(iri).json()
    del document["@context"]
    assert response.headers["Content-Type"].split(";")[0] == media_type
    assert triples(response.content, RDF[media_type]) == {str(triple) for triple in CIM.triples(document, vocabulary())}


def test_json_ld_says_the_same_under_the_context_that_the_node_serves(live: Live) -> None:
    iri = live.register().headers["Location"]
    context = live.client().get("/context/cim-v1").json()["@context"]

    linked = read(live, iri).json()

    assert linked["@context"] == t.CONTEXT
    reference = read(live, iri, format="ntriples").content
    assert triples(json.dumps({**linked, "@context": context}).encode(), ox.RdfFormat.JSON_LD) == triples(reference, ox.RdfFormat.N_TRIPLES) != set()


def test_each_profile_and_format_has_a_tag_of_its_own_and_is_304_under_it(live: Live) -> None:
    iri = live.register().headers["Location"]
    params = [{**profile, "format": short} for profile in ({}, CIM_PROFILE) for short in SHORT] + [{**CIM_PROFILE, "namespace": "cim100", "format": "rdfxml"}]

    tags = [live.client("fsp-a").get(iri, params=each).headers["ETag"] for each in params]
    known = [live.client("fsp-a").get(iri, params=each, headers={"If-None-Match": tag}) for each, tag in zip(params, tags, strict=True)]
    other = [live.client("fsp-a").get(iri, params=each, headers={"If-None-Match": tag}) for each, tag in zip(params, [*tags[1:], tags[0]], strict=True)]

    assert len(set(tags)) == len(params)
    assert {response.status_code for response in known} == {304} and {response.status_code for response in other} == {200}
    assert not any(tag.startswith("W/") for tag in tags)


def test_a_representation_says_which_profile_it_is_and_where_the_others_are(live: Live) -> None:
    iri = live.register().headers["Location"]

    plain, cim, older = live.client("fsp-a").get(iri), read(live, iri), read(live, iri, namespace="cim100", format="rdfxml")

    assert f'<{t.PROFILE}>; rel="profile"' in cim.headers["Link"] and f'<{iri}>; rel="alternate"' in cim.headers["Link"]
    assert f'<{iri}?profile=cim>; rel="alternate"; profile="{t.PROFILE}"' in plain.headers["Link"] and f'<{t.PROFILE}>; rel="profile"' not in plain.headers["Link"]
    assert (plain.headers["Content-Location"], cim.headers["Content-Location"]) == (iri, f"{iri}?profile=cim")
    assert older.headers["Content-Location"] == f"{iri}?profile=cim&namespace=cim100"
    assert live.client("fsp-a").get(cim.headers["Content-Location"]).content == cim.content


def test_head_has_the_headers_of_get(live: Live) -> None:
    iri = live.register().headers["Location"]

    head, get = live.client("fsp-a").head(iri, params=CIM_PROFILE), read(live, iri)

    assert [head.headers[name] for name in ("ETag", "Content-Length", "Link", "Content-Location")] == [get.headers[name] for name in ("ETag", "Content-Length", "Link", "Content-Location")]


def test_tools_for_cim17_get_its_namespace_in_rdf(live: Live) -> None:
    iri = live.register().headers["Location"]

    xml = read(live, iri, namespace="cim100", format="rdfxml")
    linked = read(live, iri, namespace="cim100", format="jsonld")

    assert t.CIM100 in xml.text and t.CIM not in xml.text
    assert (linked.status_code, linked.json()["code"]) == (406, "not-acceptable")


@pytest.mark.parametrize(("params", "status", "code"), [
    ({"profile": "ngsi-ld"}, 406, "profile-not-offered"), ({"profile": ""}, 406, "profile-not-offered"), ({"profile": "CIM"}, 406, "profile-not-offered"),
    ({"profile": "cim", "format": "html"}, 406, "not-acceptable"), ({"profile": "cim", "namespace": "cim16"}, 400, "malformed-request"),
    ({"namespace": "cim100"}, 400, "malformed-request"),
])  # fmt: skip
def test_what_is_not_offered_is_refused_with_what_is(live: Live, params: dict[str, str], status: int, code: str) -> None:
    iri = live.register().headers["Location"]

    response = live.client("fsp-a").get(iri, params=params)

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert code != "profile-not-offered" or "fmar, labelled, cim" in response.json()["detail"]


def test_a_kind_without_cim_says_so(live: Live) -> None:
    response = live.client("fsp-a").get("/users", params=CIM_PROFILE)

    assert (response.status_code, "cim" in response.json()["detail"]) == (406, False)


def test_two_profiles_at_once_are_refused(live: Live) -> None:
    iri = live.register().headers["Location"]

    assert live.client("fsp-a").get(f"{iri}?profile=cim&profile=fmar").status_code == 406


@pytest.mark.parametrize("name", ["fsp-a", "dso-east", "neso", "operator"])
def test_nobody_sees_more_in_cim_than_of_the_record(live: Live, name: str) -> None:
    iri = live.register(friendlyCode=f"code-{next(live.serials)}").headers["Location"]

    shown = live.client(name).get(iri).json()
    cim = read(live, iri, name)

    document = {key: value for key, value in shown.items() if key != "@context"}
    assert cim.content == serialise(document, "application/ld+json", vocabulary(), CIM)


def test_what_is_not_the_callers_is_404_in_any_profile(live: Live) -> None:
    iri = live.register().headers["Location"]

    assert read(live, iri, "fsp-b").content.replace(b"?profile=cim", b"") == live.client("fsp-b").get(iri).content


def test_versions_and_lists_are_told_in_cim(live: Live) -> None:
    made = live.register(name="fsp-b")
    iri = made.headers["Location"]

    version = read(live, f"{iri}/versions/1", "fsp-b")
    listed = live.client("fsp-b").get("/assets", params={**CIM_PROFILE, "managed": "me", "limit": "1"})
    turtle = live.client("fsp-b").get("/assets", params={**CIM_PROFILE, "managed": "me", "format": "turtle"})

    assert version.json()["Asset.serialNumber"] == made.json()["serialNumber"]
    assert listed.json()["@context"] == t.CONTEXT and listed.json()["items"][0]["type"] == "Asset" and "@context" not in listed.json()["items"][0]
    assert "next" not in listed.json() or "profile=cim" in listed.json()["next"]
    assert f"{t.CIM}BatteryUnit" in str(triples(turtle.content, ox.RdfFormat.TURTLE))


@pytest.mark.parametrize(("form", "status"), [("ndjson", 200), ("nq", 200), ("ttl", 200), ("csv", 406)])
def test_an_export_is_told_in_cim(live: Live, form: str, status: int) -> None:
    live.register(name="fsp-c")

    response = live.client("fsp-c").get("/assets/export", params={**CIM_PROFILE, "format": form})

    assert response.status_code == status
    if form == "ndjson":
        assert {json.loads(line)["@context"] for line in response.text.splitlines()} == {t.CONTEXT}
    elif status == 200:
        assert "BatteryUnit" in response.text


def test_an_organisation_is_told_in_cim(live: Live) -> None:
    iri = live.profiles["dso-east"].organisation

    document = live.client().get(iri, params=CIM_PROFILE).json()

    assert (document["type"], document["Organisation.Roles"][0]["type"]) == ("Organisation", "DistributionSystemOperator")
    assert document["licenceArea"] == ["UKPN_EPN", "UKPN_LPN"]


# -- in


def test_a_document_in_cim_becomes_a_record(live: Live) -> None:
    response = post(live, fresh(live))

    record = response.json()
    assert (response.status_code, record["@context"]) == (201, "https://w3id.org/fmar/context/v1")
    assert (record["ratedCapacity"], record["assetCategory"], record["registrationStatus"]) == ("500.00", "BESS", "PENDING_VALIDATION")


def test_it_is_answered_in_cim_where_that_is_asked_for(live: Live) -> None:
    plain = {key: value for key, value in fresh(live).items() if key != "@context"}

    response = post(live, plain, params=CIM_PROFILE)

    assert (response.status_code, response.json()["@context"]) == (201, t.CONTEXT)
    assert response.headers["ETag"].endswith('.cim-jsonld"')
    assert response.headers["ETag"] == read(live, response.headers["Location"]).headers["ETag"]


def test_the_journal_keeps_what_was_sent_and_as_what(live: Live) -> None:
    plain = {key: value for key, value in fresh(live).items() if key != "@context"}
    made = post(live, plain, params=CIM_PROFILE)

    sections = live.client("fsp-a").get(f"{made.headers['Location']}/proof").json()["sections"]

    import base64

    assert json.loads(base64.b64decode(sections["submission"]["body"])) == plain
    assert json.loads(base64.b64decode(sections["envelope"]["body"]))["mediaType"] == "application/ld+json;profile=cim"


@pytest.mark.parametrize("short", SHORT)
def test_a_record_that_was_read_in_cim_is_changed_and_sent_back(live: Live, short: str) -> None:
    iri = live.register(friendlyCode=f"code-{next(live.serials)}", alias=[{"scheme": "ECR", "value": f"EPN-{next(live.serials)}"}]).headers["Location"]
    before = live.client("fsp-a").get(iri).json()
    shown = read(live, iri, format=short)
    media_type = shown.headers["Content-Type"].split(";")[0]
    if media_type == "application/n-quads":
        pytest.skip("quads are not taken")

    same = live.client("fsp-a").put(iri, content=shown.content, headers={"Content-Type": media_type, "If-Match": shown.headers["ETag"]})
    text = shown.content.replace(b"Green Park battery 1", b"Green Park battery 2")
    changed = live.client("fsp-a").put(iri, content=text, headers={"Content-Type": media_type, "If-Match": shown.headers["ETag"]}, params=CIM_PROFILE)

    assert (same.status_code, same.json()) == (200, before)
    assert changed.status_code == 200, changed.text
    after = live.client("fsp-a").get(iri).json()
    assert {name for name in after if after[name] != before.get(name)} == {"assetName", "version", "recordedAt"}


def test_a_stale_change_in_cim_is_412_and_one_without_a_version_428(live: Live) -> None:
    iri = live.register().headers["Location"]
    shown = read(live, iri)
    live.client("fsp-a").put(iri, content=shown.content.replace(b"battery 1", b"battery 7"), headers={**LD_JSON, "If-Match": shown.headers["ETag"]})

    stale = live.client("fsp-a").put(iri, content=shown.content, headers={**LD_JSON, "If-Match": shown.headers["ETag"]})
    bare = live.client("fsp-a").put(iri, content=shown.content, headers=LD_JSON)

    assert (stale.status_code, bare.status_code) == (412, 428)


@pytest.mark.parametrize("change", [
    ("VERIFIED", '"registrationStatus": "PENDING_VALIDATION"', '"registrationStatus": "VERIFIED"'),
    ("Active", "cim:ResourceRegistrationStatus.Planned", "cim:ResourceRegistrationStatus.Active"),
])  # fmt: skip
def test_what_the_node_sets_is_not_changed_through_cim(live: Live, change: tuple[str, str, str]) -> None:
    iri = live.register().headers["Location"]
    shown = read(live, iri)
    assert change[1] in shown.text

    response = live.client("fsp-a").put(iri, content=shown.text.replace(change[1], change[2]), headers={**LD_JSON, "If-Match": shown.headers["ETag"]})

    assert response.status_code == 422
    assert {error["constraint"] for error in response.json()["errors"]} == {"server-set"}


def test_the_provider_is_not_changed_through_cim(live: Live) -> None:
    iri = live.register().headers["Location"]
    shown = read(live, iri).json()
    shown["Asset.PowerSystemResources"][1]["RegisteredResource.MarketParticipant"] = live.profiles["fsp-b"].organisation

    response = live.client("fsp-a").put(iri, json=shown, headers={**LD_JSON, "If-Match": "*"})

    assert [error["pointer"] for error in response.json()["errors"]] == ["/Asset.PowerSystemResources/1/RegisteredResource.MarketParticipant"]


def test_somebody_else_does_not_change_it_through_cim(live: Live) -> None:
    iri = live.register().headers["Location"]
    shown = read(live, iri)

    foreign = live.client("fsp-b").put(iri, content=shown.content, headers={**LD_JSON, "If-Match": "*"})
    partly = live.client("dso-east").put(iri, content=read(live, iri, "dso-east").content, headers={**LD_JSON, "If-Match": "*"})

    assert (foreign.status_code, partly.status_code) == (404, 403)


def test_faults_of_rules_point_into_the_document_too(live: Live) -> None:
    document = fresh(live)
    assert post(live, document).status_code == 201

    response = post(live, document)

    assert response.status_code == 409
    assert [(error["code"], error["pointer"]) for error in response.json()["errors"] if error["code"] == "DUPLICATE_EXACT"] == [("DUPLICATE_EXACT", "/Asset.serialNumber")]


def test_a_dry_run_tells_in_cim_what_would_stand(live: Live) -> None:
    before = size(live)

    response = live.client("fsp-a").post("/assets", json=fresh(live), params={**CIM_PROFILE, "dry-run": "true"}, headers=LD_JSON)

    assert (response.status_code, size(live)) == (200, before)
    assert response.json()["document"]["Asset.PowerSystemResources"][0]["type"] == "BatteryUnit"


def test_the_report_names_the_shapes_of_cim(live: Live) -> None:
    document = fresh(live)
    document["Asset.PowerSystemResources"][0]["PowerElectronicsUnit.maxP"] = "0.1234567"

    problem = post(live, document).json()

    graph = live.client().get("/shapes/cim/asset", params={"format": "ntriples"}).text
    (result,) = [result for result in problem["report"]["sh:result"] if result["sh:resultSeverity"] == "sh:Violation"]
    assert f"<{result['sh:sourceShape']}>" in graph
    assert result["sh:resultPath"] == f"{t.CIM}PowerElectronicsUnit.maxP"


def test_rows_of_a_batch_may_be_in_cim_and_an_export_comes_back_unchanged(live: Live) -> None:
    live.client("fsp-c").post("/assets", json=fresh(live), headers=LD_JSON)
    export = live.client("fsp-c").get("/assets/export", params={**CIM_PROFILE, "format": "ndjson"}).content
    new = {key: value for key, value in fresh(live).items() if key != "@context"}

    back = live.client("fsp-c").post("/assets/batch", content=export, headers={"Content-Type": "application/x-ndjson"})
    more = live.client("fsp-c").post("/assets/batch", content=json.dumps(new).encode(), headers={"Content-Type": "application/x-ndjson"}, params=CIM_PROFILE)

    assert {json.loads(line)["outcome"] for line in back.text.splitlines()} == {"unchanged"}
    assert json.loads(more.text)["outcome"] == "created"


def test_an_idempotency_key_tells_the_profiles_apart(live: Live) -> None:
    plain = {key: value for key, value in fresh(live).items() if key != "@context"}
    key = {"Idempotency-Key": f"key-{next(live.serials)}"}

    first = post(live, plain, params=CIM_PROFILE, **key)
    again = post(live, plain, params=CIM_PROFILE, **key)
    other = post(live, plain, **key)

    assert (first.status_code, again.status_code, again.headers["Idempotent-Replayed"]) == (201, 201, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


@pytest.mark.parametrize(("params", "headers"), [({"profile": "nope"}, {}), ({}, {"Accept": "image/png"}), ({"profile": "cim", "format": "html"}, {})])
def test_an_answer_that_cannot_be_given_is_refused_before_anything_is_written(live: Live, params: dict[str, str], headers: dict[str, str]) -> None:
    before = size(live)

    response = post(live, fresh(live), params=params, **headers)

    assert (response.status_code, size(live)) == (406, before)


def test_a_merge_patch_is_one_of_the_record_whatever_it_is_answered_in(live: Live) -> None:
    made = live.register()

    response = live.client("fsp-a").patch(
        made.headers["Location"], content=b'{"assetName": "Renamed"}', params=CIM_PROFILE, headers={"Content-Type": "application/merge-patch+json", "If-Match": made.headers["ETag"]}
    )

    assert (response.status_code, response.json()["IdentifiedObject.name"]) == (200, "Renamed")


def test_an_organisation_changes_itself_in_cim(live: Live) -> None:
    iri = live.profiles["fsp-b"].organisation
    shown = live.client("fsp-b").get(iri, params=CIM_PROFILE)
    document = {**shown.json(), "Organisation.electronicAddress": {"type": "ElectronicAddress", "ElectronicAddress.email1": "office@example.com"}}

    response = live.client("fsp-b").put(iri, json=document, headers={**LD_JSON, "If-Match": shown.headers["ETag"]})

    assert (response.status_code, response.json()["organisationEmail"]) == (200, "office@example.com")


def test_an_organisation_takes_no_role_through_cim(live: Live) -> None:
    iri = live.profiles["fsp-b"].organisation
    shown = live.client("fsp-b").get(iri, params=CIM_PROFILE)
    document = {key: value for key, value in shown.json().items() if key != "organisationRoles"}
    document["Organisation.Roles"] = [{"type": "MarketRole", "MarketRole.type": "cim:MarketRoleKind.SystemOperator"}]

    response = live.client("fsp-b").put(iri, json=document, headers={**LD_JSON, "If-Match": shown.headers["ETag"]})

    assert "ORGANISATION-UPDATE-3" in {error["code"] for error in response.json()["errors"]}


def test_entities_are_refused_over_http(live: Live) -> None:
    body = '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'

    response = live.client("fsp-a").post("/assets", content=body, headers=XML)

    assert (response.status_code, response.json()["code"]) == (400, "malformed-rdf")


def test_rdf_xml_of_our_own_terms_is_read_as_well(live: Live) -> None:
    iri = live.register().headers["Location"]
    shown = live.client("fsp-a").get(iri, params={"format": "rdfxml"})

    response = live.client("fsp-a").put(iri, content=shown.content, headers={**XML, "If-Match": shown.headers["ETag"]})

    assert (response.status_code, response.json()["version"]) == (200, 1)


def test_the_context_is_the_packaged_one(live: Live) -> None:
    response = live.client().get("/context/cim-v1")

    assert response.content == (packaged("ontology") / "context-cim-v1.jsonld").read_bytes()
    assert response.headers["Content-Type"] == "application/ld+json"


@pytest.mark.parametrize("kind", ["asset", "organisation"])
def test_the_shapes_of_cim_are_served_as_the_others_are(live: Live, kind: str) -> None:
    whole = live.client().get("/shapes", params={"format": "ntriples"}).text

    response = live.client().get(f"/shapes/cim/{kind}", headers={"Accept": "text/turtle"})

    assert response.status_code == 200
    assert f"https://w3id.org/fmar/shapes/cim/{kind}#" in response.text and f"https://w3id.org/fmar/shapes/cim/{kind}#" in whole
    assert live.client().get("/shapes/cim/user").status_code == 404
    assert len(RDF_FORMATS) == 4
