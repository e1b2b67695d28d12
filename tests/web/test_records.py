"""Records over HTTP: what a participant's tool sends and gets, from a node that runs."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyoxigraph as ox
import pytest

from fmar_node.errors import PROBLEMS
from fmar_node.journal.receipt import parse_receipt, verify_receipt
from tests.live import LD_JSON, Live

MERGE = {"Content-Type": "application/merge-patch+json"}
RDF = {
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    "application/n-quads": ox.RdfFormat.N_QUADS,
    "application/rdf+xml": ox.RdfFormat.RDF_XML,
}
SHORT = {"jsonld": "application/ld+json", "json": "application/json", "turtle": "text/turtle", "ntriples": "application/n-triples",
         "nquads": "application/n-quads", "rdfxml": "application/rdf+xml", "html": "text/html"}  # fmt: skip
BODY_BYTES = 262_144


def triples(data: bytes, format_: ox.RdfFormat) -> set[str]:
    return {str(quad.triple) for quad in ox.parse(data, format=format_)}


def size(live: Live) -> int:
    """How many entries the journal has."""
    return int(live.client().get("/journal/checkpoint").text.splitlines()[1])


def post(live: Live, document: Any, name: str = "fsp-a", **headers: str) -> httpx.Response:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return live.client(name).post("/assets", content=body, headers={**LD_JSON, **headers})


def patch(live: Live, iri: str, change: dict[str, Any], tag: str, name: str = "fsp-a", **headers: str) -> httpx.Response:
    return live.client(name).patch(iri, content=json.dumps(change).encode(), headers={**MERGE, "If-Match": tag, **headers})


def codes(response: httpx.Response) -> set[str]:
    return {error["code"] for error in response.json()["errors"]}


# -- registering and reading


def test_registering_answers_with_place_tag_index_proof_and_the_record(live: Live) -> None:
    document = live.battery()

    response = post(live, document)

    record = response.json()
    assert response.status_code == 201
    assert response.headers["Location"] == record["id"]
    assert response.headers["ETag"].startswith('"')
    assert int(response.headers["Fmar-Journal-Index"]) == size(live) - 1
    assert response.headers["Link"].startswith(f'<{record["id"]}/proof>; rel="proof", ')
    assert record["serialNumber"] == document["serialNumber"]


@pytest.mark.parametrize("body", [
    '[] a <https://w3id.org/fmar/ns#Asset> ; <https://w3id.org/fmar/ns#assetName> "T" .',
    '<> a <https://w3id.org/fmar/ns#Asset> ; <https://w3id.org/fmar/ns#assetName> "T" .',
])  # fmt: skip
def test_turtle_is_read_like_json(live: Live, body: str) -> None:
    response = live.client("fsp-a").post("/assets", content=body, headers={"Content-Type": "text/turtle"})

    assert response.status_code == 422
    assert {"A04", "A05", "A14", "A18"} <= codes(response)


@pytest.mark.parametrize("media_type", RDF)
def test_every_rdf_format_says_the_same(live: Live, media_type: str) -> None:
    iri = live.register().headers["Location"]

    response = live.client("fsp-a").get(iri, headers={"Accept": media_type})

    reference = live.client("fsp-a").get(iri, headers={"Accept": "application/n-triples"}).content
    assert response.headers["Content-Type"].split(";")[0] == media_type
    assert triples(response.content, RDF[media_type]) == triples(reference, ox.RdfFormat.N_TRIPLES) != set()


def test_json_ld_says_the_same_under_the_context_that_the_node_serves(live: Live) -> None:
    iri = live.register().headers["Location"]
    context = live.client().get("/context/v1").json()["@context"]

    document = {**live.client("fsp-a").get(iri).json(), "@context": context}

    reference = live.client("fsp-a").get(iri, headers={"Accept": "application/n-triples"}).content
    assert triples(json.dumps(document).encode(), ox.RdfFormat.JSON_LD) == triples(reference, ox.RdfFormat.N_TRIPLES)


def test_decimals_are_text_in_json_ld_and_numbers_in_json(live: Live) -> None:
    iri = live.register(ratedCapacity=500.1, installedCapacity="500.10").headers["Location"]

    linked = live.client("fsp-a").get(iri, headers={"Accept": "application/ld+json"}).json()
    plain = live.client("fsp-a").get(iri, headers={"Accept": "application/json"}).json()

    assert (linked["ratedCapacity"], plain["ratedCapacity"], type(plain["version"])) == ("500.10", 500.1, int)


@pytest.mark.parametrize("short", SHORT)
def test_format_in_the_url_wins_over_accept(live: Live, short: str) -> None:
    iri = live.register().headers["Location"]

    response = live.client("fsp-a").get(iri, params={"format": short}, headers={"Accept": "image/png"})

    assert (response.status_code, response.headers["Content-Type"].split(";")[0]) == (200, SHORT[short])


def test_a_list_is_a_page_for_people(live: Live) -> None:
    made = live.register(assetName="A -_/() name")
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}

    first = live.client("fsp-a").get("/assets?managed=me&limit=1&assetCategory=BESS", headers=browser)
    following = re.findall(r'rel="next" href="([^"]+)"', first.text)
    found, page = first.text, following
    while page:
        answer = live.client("fsp-a").get(page[0].replace("&amp;", "&"), headers=browser)
        found, page = found + answer.text, re.findall(r'rel="next" href="([^"]+)"', answer.text)

    assert first.headers["Content-Type"].startswith("text/html") and f'href="{urlsplit(made.headers["Location"]).path}"' in found
    assert "A -_/() name" in found and "Nothing that you may see" in live.client().get("/delegations", headers=browser).text
    assert live.client("fsp-a").get("/assets", headers={"Accept": "*/*"}).headers["Content-Type"].startswith("application/ld+json")


@pytest.mark.parametrize(("accept", "given"), [
    ("text/turtle;q=0.2, application/json;q=0.9, */*;q=0.1", "application/json"),
    ("text/*", "text/turtle"), ("*/*", "application/ld+json"), ("", "application/ld+json"),
    ("application/ld+json;profile=\"http://www.w3.org/ns/json-ld#compacted\"", "application/ld+json"),
    ("application/ld+json;q=0, application/json", "application/json"), ("text/turtle;q=nonsense, text/html", "text/html"),
    ("TEXT/TURTLE", "text/turtle"), (";;,,text/turtle,;", "text/turtle"),
    ("*/*, application/ld+json;q=0", "application/json"), ("text/*, text/turtle;q=0.1", "text/html"), ("*/*;q=0.1, application/ld+json;q=0.05", "application/json"),
])  # fmt: skip
def test_accept_is_weighed(live: Live, accept: str, given: str) -> None:
    iri = live.register().headers["Location"]

    response = live.client("fsp-a").get(iri, headers={"Accept": accept})

    assert response.headers["Content-Type"].split(";")[0] == given


def test_accept_in_two_lines_is_one_list(live: Live) -> None:
    iri = live.register().headers["Location"]

    response = live.client().get(iri.replace(iri[-4:], "0000"), headers=[("Accept", "image/png"), ("Accept", "*/*")])
    shown = live.client("fsp-a").get(iri, headers=[("Accept", "image/png"), ("Accept", "text/turtle")])

    assert response.status_code == 404
    assert shown.headers["Content-Type"].startswith("text/turtle")


@pytest.mark.parametrize("asked", [{"headers": {"Accept": "image/png"}}, {"params": {"format": "docx"}}])
def test_a_format_that_there_is_not_is_406_and_says_which_there_are(live: Live, asked: dict[str, Any]) -> None:
    iri = live.register().headers["Location"]

    response = live.client("fsp-a").get(iri, **asked)

    assert (response.status_code, response.json()["code"]) == (406, "not-acceptable")
    assert "text/turtle" in response.json()["detail"]


def test_a_page_for_people_runs_nothing_that_a_participant_wrote(live: Live) -> None:
    """B18: nor does a page."""
    iri = live.register(manufacturer="<script>alert(1)</script>\"'><img src=x onerror=alert(2)>").headers["Location"]

    page = live.client("fsp-a").get(iri, headers={"Accept": "text/html"})

    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "<script" not in page.text and "<img" not in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_an_unchanged_record_is_304_without_a_body(live: Live) -> None:
    made = live.register()

    response = live.client("fsp-a").get(made.headers["Location"], headers={"If-None-Match": f'"other", W/{made.headers["ETag"]}'})

    assert (response.status_code, response.content, response.headers["ETag"]) == (304, b"", made.headers["ETag"])


def test_the_tag_of_another_format_does_not_make_it_304(live: Live) -> None:
    made = live.register()

    response = live.client("fsp-a").get(made.headers["Location"], headers={"If-None-Match": made.headers["ETag"], "Accept": "text/turtle"})

    assert response.status_code == 200
    assert response.headers["ETag"] != made.headers["ETag"]


def test_a_changed_record_is_not_304(live: Live) -> None:
    made = live.register()
    patch(live, made.headers["Location"], {"assetName": "Changed"}, made.headers["ETag"])

    response = live.client("fsp-a").get(made.headers["Location"], headers={"If-None-Match": made.headers["ETag"]})

    assert (response.status_code, response.json()["assetName"]) == (200, "Changed")


def test_head_has_the_headers_of_get_and_no_body(live: Live) -> None:
    iri = live.register().headers["Location"]

    head, get = live.client("fsp-a").head(iri), live.client("fsp-a").get(iri)

    names = ("ETag", "Content-Type", "Content-Length", "Link", "Last-Modified", "Vary", "Cache-Control")
    assert [head.headers[name] for name in names] == [get.headers[name] for name in names]
    assert head.content == b""


@pytest.mark.parametrize("text", ["Ünïcødé 電池 \U0001f50b", "two\nlines\tand a tab", "ﬀ ligature", "\u200fשלום\u200f", "quote \" back \\ slash"])
def test_text_comes_back_as_it_was_sent(live: Live, text: str) -> None:
    iri = live.register(justification=[{"rule": "A03", "text": text}]).headers["Location"]

    record = live.client("fsp-a").get(iri).json()
    quads = ox.parse(live.client("fsp-a").get(iri, params={"format": "ntriples"}).content, format=ox.RdfFormat.N_TRIPLES)

    assert record["justification"][0]["text"] == text
    assert text in {quad.object.value for quad in quads}


@pytest.mark.parametrize("maker", ["a\u0000b", "a\u202eb", "\ud800", " ", "x" * 5000])
def test_text_that_is_no_text_is_refused(live: Live, maker: str) -> None:
    before = size(live)

    response = post(live, live.battery(manufacturer=maker))

    assert response.status_code in (400, 422)
    assert size(live) == before


# -- changing


def test_a_change_without_if_match_is_428(live: Live) -> None:
    made = live.register()

    response = live.client("fsp-a").put(made.headers["Location"], json=made.json(), headers=LD_JSON)

    assert (response.status_code, response.json()["code"]) == (428, "precondition-required")


def test_a_change_of_an_older_version_is_412(live: Live) -> None:
    made = live.register()
    patch(live, made.headers["Location"], {"assetName": "Second"}, made.headers["ETag"])

    response = patch(live, made.headers["Location"], {"assetName": "Third"}, made.headers["ETag"])

    assert (response.status_code, response.json()["code"]) == (412, "version-stale")
    assert live.client("fsp-a").get(made.headers["Location"]).json()["assetName"] == "Second"


@pytest.mark.parametrize("short", SHORT)
def test_the_tag_of_any_format_counts_for_a_change(live: Live, short: str) -> None:
    iri = live.register().headers["Location"]
    tag = live.client("fsp-a").get(iri, params={"format": short}).headers["ETag"]

    response = patch(live, iri, {"assetName": "Changed"}, tag)

    assert (response.status_code, response.json()["version"]) == (200, 2)


@pytest.mark.parametrize("form", ['"stale.json", {tag}', '"stale.json",{tag} , "x"', "*"])
def test_if_match_is_a_list_or_a_star(live: Live, form: str) -> None:
    made = live.register()

    response = patch(live, made.headers["Location"], {"assetName": "Changed"}, form.format(tag=made.headers["ETag"]))

    assert response.status_code == 200


def test_if_match_without_quotes_is_400(live: Live) -> None:
    made = live.register()

    response = patch(live, made.headers["Location"], {"assetName": "Changed"}, made.headers["ETag"].strip('"'))

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


def test_what_the_node_sets_may_be_sent_back_unchanged(live: Live) -> None:
    made = live.register()

    response = live.client("fsp-a").put(
        made.headers["Location"], json={**made.json(), "assetName": "Renamed"}, headers={**LD_JSON, "If-Match": made.headers["ETag"]}
    )

    assert (response.status_code, response.json()["assetName"], response.json()["version"]) == (200, "Renamed", 2)


@pytest.mark.parametrize("change", [
    {"version": 7}, {"registrationStatus": "VERIFIED"}, {"recordedAt": "2020-01-01T00:00:00Z"}, {"assetId": "x"},
])  # fmt: skip
def test_what_the_node_sets_may_not_be_changed(live: Live, change: dict[str, Any]) -> None:
    made = live.register()

    response = patch(live, made.headers["Location"], change, made.headers["ETag"])

    assert response.status_code == 422
    assert f"/{next(iter(change))}" in {error["pointer"] for error in response.json()["errors"]}


def test_the_manager_cannot_give_an_asset_away(live: Live) -> None:
    made = live.register()
    other = live.profiles["fsp-b"].organisation

    response = patch(live, made.headers["Location"], {"managedBy": other}, made.headers["ETag"])

    assert response.status_code == 422
    assert live.client("fsp-a").get(made.headers["Location"]).json()["managedBy"] == live.profiles["fsp-a"].organisation


def test_a_merge_patch_with_null_removes_a_term(live: Live) -> None:
    made = live.register(friendlyCode=f"code-{next(live.serials)}")

    response = patch(live, made.headers["Location"], {"friendlyCode": None}, made.headers["ETag"])

    assert response.status_code == 200
    assert "friendlyCode" not in live.client("fsp-a").get(made.headers["Location"]).json()


def test_a_patch_that_changes_nothing_makes_no_version(live: Live) -> None:
    made = live.register()
    before = size(live)

    response = patch(live, made.headers["Location"], {}, made.headers["ETag"])

    assert (response.status_code, response.json()["version"], size(live)) == (200, 1, before)


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b"", b"{", b"\xff"])
def test_a_patch_that_is_no_object_is_400(live: Live, body: bytes) -> None:
    made = live.register()

    response = live.client("fsp-a").patch(made.headers["Location"], content=body, headers={**MERGE, "If-Match": made.headers["ETag"]})

    assert (response.status_code, response.json()["code"]) == (400, "malformed-json")


def test_who_sees_only_part_of_a_record_does_not_change_it(live: Live) -> None:
    made = live.register()
    tag = live.client("dso-east").get(made.headers["Location"]).headers["ETag"]

    response = patch(live, made.headers["Location"], {"assetName": "Mine"}, tag, "dso-east")

    assert (response.status_code, codes(response)) == (403, {"ASSET-UPDATE-1"})


def test_of_ten_changes_at_once_from_one_version_one_is_made(live: Live) -> None:
    made = live.register()

    def change(number: int) -> int:
        return patch(live, made.headers["Location"], {"assetName": f"By {number}"}, made.headers["ETag"]).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = sorted(pool.map(change, range(10)))

    assert statuses == [200] + [412] * 9
    assert live.client("fsp-a").get(made.headers["Location"]).json()["version"] == 2


def test_an_update_and_a_deregistration_at_once_leave_it_deregistered(live: Live) -> None:
    made = live.register()
    iri = made.headers["Location"]
    note = {"deregistrationReason": "DECOMMISSIONED"}

    with ThreadPoolExecutor(2) as pool:
        update = pool.submit(patch, live, iri, {"assetName": "Late"}, made.headers["ETag"])
        end = pool.submit(live.client("fsp-a").post, f"{iri}/deregistration", json=note)

    assert end.result().status_code == 200
    assert update.result().status_code in (200, 409, 412)
    assert live.client("fsp-a").get(iri).json()["registrationStatus"] == "DEREGISTERED"
    assert patch(live, iri, {"assetName": "Again"}, "*").status_code == 409


# -- preferences, trials, repetitions


def test_a_minimal_answer_has_headers_only(live: Live) -> None:
    made = post(live, live.battery(), Prefer="return=minimal")
    changed = patch(live, made.headers["Location"], {"assetName": "Short"}, made.headers["ETag"], Prefer="handling=lenient, return=minimal")

    assert (made.status_code, made.content, made.headers["Preference-Applied"]) == (201, b"", "return=minimal")
    assert (changed.status_code, changed.content) == (204, b"")
    assert live.client("fsp-a").get(made.headers["Location"], headers={"If-None-Match": changed.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("spelling", ["dry-run=true", "dry-run=1", "dry-run", "dry_run=true", "dryRun=TRUE"])
def test_a_trial_tells_everything_and_writes_nothing(live: Live, spelling: str) -> None:
    before = size(live)

    response = live.client("fsp-a").post(f"/assets?{spelling}", json=live.battery(), headers=LD_JSON)

    answer = response.json()
    assert (response.status_code, answer["accepted"]) == (200, True)
    assert {(error["code"], error["severity"]) for error in answer["errors"]} >= {("default", "F"), ("A03", "J")}
    assert answer["report"]["@type"] == "sh:ValidationReport"
    assert size(live) == before


def test_a_trial_of_a_bad_document_is_refused_like_the_document(live: Live) -> None:
    response = live.client("fsp-a").post("/assets?dry-run=true", json=live.battery(ratedCapacity="-1"), headers=LD_JSON)

    assert response.status_code == 422
    assert "A04" in codes(response)


@pytest.mark.parametrize("query", ["dry-run=yes", "dry-run=maybe", "dry-run=true&dry-run=false"])
def test_a_trial_that_is_not_plainly_one_is_not_written(live: Live, query: str) -> None:
    before = size(live)

    response = live.client("fsp-a").post(f"/assets?{query}", json=live.battery(), headers=LD_JSON)

    assert (response.status_code, size(live)) == (400, before)


def test_a_trial_of_a_change_and_of_an_action_writes_nothing(live: Live) -> None:
    made = live.register()
    before = size(live)

    changed = live.client("fsp-a").patch(
        f"{made.headers['Location']}?dry-run=true", content=b'{"assetName":"X"}', headers={**MERGE, "If-Match": made.headers["ETag"]}
    )
    ended = live.client("fsp-a").post(f"{made.headers['Location']}/deregistration?dry-run=true", json={"deregistrationReason": "ERROR"})

    assert (changed.status_code, ended.status_code, size(live)) == (200, 200, before)


def test_the_same_request_with_the_same_key_gets_the_same_answer(live: Live) -> None:
    document, key = live.battery(), f"key-{next(live.serials)}"
    first = post(live, document, **{"Idempotency-Key": key})
    before = size(live)

    again = post(live, document, **{"Idempotency-Key": key})

    assert (again.status_code, again.content, again.headers["ETag"]) == (201, first.content, first.headers["ETag"])
    assert again.headers["Fmar-Journal-Index"] == first.headers["Fmar-Journal-Index"]
    assert (again.headers["Idempotent-Replayed"], size(live)) == ("true", before)


def test_another_request_with_the_same_key_is_422(live: Live) -> None:
    key = f"key-{next(live.serials)}"
    post(live, live.battery(), **{"Idempotency-Key": key})

    response = post(live, live.battery(), **{"Idempotency-Key": key})

    assert (response.status_code, response.json()["code"]) == (422, "idempotency-key-reused")


def test_a_patch_is_repeated_by_its_key_too(live: Live) -> None:
    made, key = live.register(), {"Idempotency-Key": f"key-{next(live.serials)}"}
    first = patch(live, made.headers["Location"], {"assetName": "Once"}, made.headers["ETag"], **key)

    again = patch(live, made.headers["Location"], {"assetName": "Once"}, made.headers["ETag"], **key)

    assert (first.status_code, again.status_code, again.content) == (200, 200, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_key_belongs_to_its_organisation(live: Live) -> None:
    key = {"Idempotency-Key": f"key-{next(live.serials)}"}
    mine = post(live, live.battery(), **key)

    other = post(live, live.battery(), "fsp-b", **key)

    assert (mine.status_code, other.status_code) == (201, 201)
    assert mine.headers["Location"] != other.headers["Location"]


def test_fifty_at_once_with_one_key_have_one_effect(live: Live) -> None:
    document, key = live.battery(), {"Idempotency-Key": f"key-{next(live.serials)}"}
    before = size(live)

    def send(_: int) -> httpx.Response:
        with httpx.Client(base_url=live.url, auth=live.client("fsp-a").auth, timeout=60, trust_env=False) as client:
            return client.post("/assets", json=document, headers={**LD_JSON, **key})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(send, range(50)))

    made = {answer.headers["Location"] for answer in answers if answer.status_code == 201}
    assert {answer.status_code for answer in answers} <= {201, 409} and len(made) == 1
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency-key-running"}
    assert size(live) == before + 1


def test_a_key_that_is_too_long_is_400(live: Live) -> None:
    assert post(live, live.battery(), **{"Idempotency-Key": "x" * 256}).status_code == 400


# -- paths, methods, bodies


@pytest.mark.parametrize("path", [
    "/nothing", "/assets/", "/assets/x", "/assets//", "/assets/lookup/", "/assets/..%2f", "/assets/%00", "/ASSETS",
    "/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11/nothing", "/journal/entries/" + "9" * 5000, "/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11/versions/" + "9" * 5000,
])  # fmt: skip
def test_a_path_that_there_is_not_is_a_404_problem(live: Live, path: str) -> None:
    response = live.client().get(path, headers={"Host": "elsewhere.example"})

    assert (response.status_code, response.headers["Content-Type"], response.json()["code"]) == (404, "application/problem+json", "not-found")
    assert "elsewhere" not in response.text + str(response.headers)


@pytest.mark.parametrize(("method", "path", "allowed"), [
    ("DELETE", "/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", {"GET", "HEAD", "PUT", "PATCH"}),
    ("PUT", "/assets", {"GET", "HEAD", "POST"}), ("GET", "/assets/lookup", {"POST"}), ("GET", "/assets/batch", {"POST"}),
    ("DELETE", "/sparql", {"GET", "HEAD", "POST", "QUERY"}), ("POST", "/healthz", {"GET", "HEAD"}), ("TRACE", "/", {"GET", "HEAD"}),
    ("GET", "/oauth/token", {"POST"}), ("POST", "/assets/export", {"GET", "HEAD"}),
])  # fmt: skip
def test_a_method_that_there_is_not_is_405_and_says_which_there_are(live: Live, method: str, path: str, allowed: set[str]) -> None:
    response = live.client().request(method, path)

    assert (response.status_code, response.json()["code"]) == (405, "method-not-allowed")
    assert set(response.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize(("path", "allowed", "taken"), [
    ("/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", {"GET", "HEAD", "PUT", "PATCH"}, {"Accept-Patch": "application/merge-patch+json"}),
    ("/users", {"GET", "HEAD", "POST"}, {"Accept-Post": "application/ld+json, application/json, text/turtle, application/n-triples"}),
    ("/delegations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", {"GET", "HEAD"}, {}),
    ("/sparql", {"GET", "HEAD", "POST", "QUERY"}, {"Accept-Query": "application/sparql-query, application/x-www-form-urlencoded"}),
    ("/assets/lookup", {"POST"}, {"Accept-Post": "application/json, application/ld+json"}), ("/healthz", {"GET", "HEAD"}, {}),
])  # fmt: skip
def test_options_says_what_there_is_and_what_it_takes(live: Live, path: str, allowed: set[str], taken: dict[str, str]) -> None:
    response = live.client().options(path)

    assert (response.status_code, response.content) == (204, b"")
    assert set(response.headers["Allow"].split(", ")) == allowed
    assert {name: response.headers.get(name) for name in taken} == taken


def test_options_of_no_path_is_404(live: Live) -> None:
    assert live.client().options("/nothing/here").status_code == 404


def test_a_record_says_how_it_may_be_patched(live: Live) -> None:
    iri = live.register().headers["Location"]

    assert live.client("fsp-a").get(iri).headers["Accept-Patch"] == "application/merge-patch+json"
    assert live.client("fsp-a").patch(iri, content=b"{}", headers={"Content-Type": "text/plain"}).headers["Accept-Patch"] == "application/merge-patch+json"


def test_a_uuid_in_capitals_is_no_record(live: Live) -> None:
    iri = live.register().headers["Location"]
    room, id_ = iri.rsplit("/", 1)

    assert live.client("fsp-a").get(f"{room}/{id_.upper()}").status_code == 404
    assert live.client("fsp-a").get(iri).status_code == 200


@pytest.mark.parametrize("header", [
    "application/xml", "text/html", "application/n-quads", "application/trig", "application/x-www-form-urlencoded", "", "nonsense",
    "application/json; charset=utf-16", "application/ld+json, text/turtle",
])  # fmt: skip
def test_a_body_of_another_type_is_415_and_says_which_are_taken(live: Live, header: str) -> None:
    """B11, B17: nothing is read that was not asked for."""
    response = post(live, live.battery(), **{"Content-Type": header})

    assert (response.status_code, response.json()["code"]) == (415, "unsupported-media-type")


def test_two_content_types_are_not_one(live: Live) -> None:
    """B17: nobody chooses between them."""
    sent = [("Content-Type", "application/ld+json"), ("Content-Type", "text/turtle")]

    response = live.client("fsp-a").post("/assets", content=json.dumps(live.battery()), headers=sent)

    assert response.status_code == 415


def test_plain_json_with_a_charset_and_a_byte_order_mark_is_taken(live: Live) -> None:
    response = post(live, b"\xef\xbb\xbf" + json.dumps(live.battery()).encode(), **{"Content-Type": "application/json; charset=UTF-8"})

    assert response.status_code == 201


def test_a_body_that_is_too_large_is_413_by_its_declared_size(live: Live) -> None:
    response = post(live, b" " * (BODY_BYTES + 1))

    assert (response.status_code, response.json()["code"]) == (413, "body-too-large")
    assert str(BODY_BYTES) in response.json()["detail"]


def test_a_body_that_is_too_large_is_413_without_a_declared_size(live: Live) -> None:
    chunks: Iterator[bytes] = (b" " * 1024 for _ in range(1 + BODY_BYTES // 1024))

    response = live.client("fsp-a").post("/assets", content=chunks, headers=LD_JSON)

    assert (response.status_code, response.json()["code"]) == (413, "body-too-large")


def test_a_body_of_the_largest_size_is_read(live: Live) -> None:
    document = json.dumps(live.battery()).encode()

    assert post(live, document + b" " * (BODY_BYTES - len(document))).status_code == 201


@pytest.mark.parametrize("path", ["/assets", "/assets/batch", "/assets/lookup", "/sparql"])
def test_a_compressed_body_is_refused(live: Live, path: str) -> None:
    """B12: its size could not be bounded by its bytes."""
    headers = {"Content-Type": "application/sparql-query" if path == "/sparql" else "application/json", "Content-Encoding": "gzip"}

    response = live.client("fsp-a").post(path, content=gzip.compress(b"{}"), headers=headers)

    assert (response.status_code, response.json()["code"]) == (415, "unsupported-media-type")


@pytest.mark.parametrize(("body", "code", "told"), [
    (b'{"type": "Asset",\n  "assetName": }', "malformed-json", "line 2 column 16"), (b"", "malformed-json", "line 1 column 1"),
    (b'{"ratedCapacity": NaN}', "malformed-json", "NaN"), (b'{"type": "Asset", "type": "Asset"}', "malformed-json", "'type'"),
    (b'{"a": "\xff"}', "malformed-json", "utf-8"), (b"[]", "malformed-json", "object"), (b'{"\\ud800": 1}', "malformed-json", "surrogates"),
    (b'{"a":' * 40 + b"1" + b"}" * 40, "nesting-too-deep", "32"),
])  # fmt: skip
def test_json_that_is_none_is_400_and_says_where(live: Live, body: bytes, code: str, told: str) -> None:
    response = post(live, body)

    assert (response.status_code, response.json()["code"]) == (400, code)
    assert told in response.json()["detail"]


def test_turtle_that_is_none_is_400_and_says_where(live: Live) -> None:
    response = live.client("fsp-a").post("/assets", content=b"<> a\n  [", headers={"Content-Type": "text/turtle"})

    assert (response.status_code, response.json()["code"]) == (400, "malformed-rdf")
    assert "line 2" in response.json()["detail"]


# -- problems


def test_a_problem_has_all_members(live: Live) -> None:
    response = post(live, {"type": "Asset"})

    problem = response.json()
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["type"] == f"{live.url}/problems/{problem['code']}"
    assert (problem["status"], problem["instance"], problem["title"]) == (422, "/assets", PROBLEMS["validation-failed"].title)
    assert problem["detail"]


def test_an_error_names_field_rule_and_severity(live: Live) -> None:
    response = post(live, live.battery(ratedCapacity="-5"))

    error = next(each for each in response.json()["errors"] if each["code"] == "A04" and each["severity"] == "R")
    assert (error["pointer"], error["field"], error["value"]) == ("/ratedCapacity", "ratedCapacity", "-5.00")
    assert error["constraint"].startswith("A04-")


def test_a_misspelt_key_is_named_with_what_was_meant(live: Live) -> None:
    response = post(live, live.battery(ratedCapcity=1))

    error = next(each for each in response.json()["errors"] if each["code"] == "unknown-term")
    assert (error["pointer"], "ratedCapacity" in error["message"]) == ("/ratedCapcity", True)


def test_the_report_is_a_shacl_report_in_json_ld(live: Live) -> None:
    problem = post(live, {"type": "Asset"}).json()

    found = ox.Store()
    found.bulk_extend(ox.parse(json.dumps(problem["report"]).encode(), format=ox.RdfFormat.JSON_LD))
    query = "PREFIX sh: <http://www.w3.org/ns/shacl#> SELECT ?r ?m { ?report a sh:ValidationReport ; sh:conforms false ; sh:result ?r . ?r sh:resultSeverity ?s ; sh:resultMessage ?m }"
    rows = list(found.query(query))
    assert {row["m"].value for row in rows} == {error["message"] for error in problem["errors"]}


def test_a_personal_value_is_masked_in_errors(live: Live) -> None:
    response = post(live, live.battery(importMPAN="2000000000777"))

    assert response.status_code == 422
    assert "A20" in codes(response)
    assert "2000000000777" not in response.text


def test_every_problem_code_has_a_page(live: Live) -> None:
    for code, problem in PROBLEMS.items():
        page = live.client().get(f"/problems/{code}", headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert page.text.count(code) > 0
        assert live.client().get(f"/problems/{code}", headers={"Accept": "application/json"}).json()["title"] == problem.title


def test_a_duplicate_of_anothers_asset_tells_nothing_of_it(live: Live) -> None:
    document = live.battery(friendlyCode=f"secret-{next(live.serials)}", assetName="A name of fsp-a")
    made = post(live, document)

    response = post(live, {**document, "friendlyCode": None, "assetName": "Other", "ratedCapacity": "77.00", "installedCapacity": "77.00",
                           "genCapacity": "77.00", "demandCapacity": "77.00"}, "fsp-b")  # fmt: skip

    assert response.status_code in (409, 422)
    assert "DUPLICATE_EXACT" in codes(response)
    hidden = (made.json()["assetId"], document["friendlyCode"], document["assetName"], "500.00", live.profiles["fsp-a"].organisation.rsplit("/", 1)[1])
    assert not [value for value in hidden if value in response.text]


def test_absent_and_anothers_record_are_one_answer(live: Live) -> None:
    hidden = live.register().headers["Location"]
    absent = hidden[:-4] + "0000"

    first, second = live.client("fsp-b").get(hidden), live.client("fsp-b").get(absent)

    assert first.status_code == second.status_code == 404
    assert first.text.replace(hidden[-36:], "") == second.text.replace(absent[-36:], "")
    own = {"date", "fmar-request-id", "ratelimit"}
    assert {name: value for name, value in first.headers.items() if name not in own} == {
        name: value for name, value in second.headers.items() if name not in own
    }


@pytest.mark.parametrize(("method", "suffix"), [
    ("GET", "/history"), ("GET", "/versions"), ("GET", "/proof"), ("GET", "/versions/1"), ("PUT", ""), ("PATCH", ""), ("POST", "/deregistration"),
])  # fmt: skip
def test_anothers_record_is_absent_by_every_way(live: Live, method: str, suffix: str) -> None:
    hidden = live.register().headers["Location"]
    given = {} if method == "GET" else {"json": {"deregistrationReason": "ERROR"} if suffix else live.battery(), "headers": {"If-Match": "*"}}
    if method == "PATCH":
        given["headers"] |= MERGE

    response = live.client("fsp-b").request(method, hidden + suffix, **given)

    assert (response.status_code, response.json()["detail"]) == (404, "no such record for this caller")


# -- lists and lookup


@pytest.mark.parametrize("field", ["importMPAN", "serialNumber", "postcode", "ownerName"])
def test_a_list_is_never_filtered_by_a_personal_field(live: Live, field: str) -> None:
    response = live.client("fsp-a").get("/assets", params={field: "2000000000006"})

    assert (response.status_code, response.json()["code"]) == (400, "personal-filter")
    assert "/assets/lookup" in response.json()["detail"]
    assert "2000000000006" not in response.text


@pytest.mark.parametrize("query", [
    "nonsense=1", "limit=0", "limit=501", "limit=x", "limit=²", "limit=-1", "managed=true", "assetCategory=BESS&assetCategory=SOLAR",
    "cursor=x", "cursor=é", "cursor=" + "W1tb" * 9000, "assetName=x",
])  # fmt: skip
def test_a_list_that_cannot_be_made_is_400(live: Live, query: str) -> None:
    response = live.client("fsp-a").get(f"/assets?{query}")

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


def pages(live: Live, name: str, **asked: str) -> Iterator[list[str]]:
    response = live.client(name).get("/assets", params=asked)
    while True:
        body = response.json()
        yield [item["id"] for item in body["items"]]
        if "next" not in response.links:
            return
        assert response.links["next"]["url"] == body["next"]
        response = live.client(name).get(response.links["next"]["url"])


def test_the_pages_of_a_list_hold_everything_once(live: Live) -> None:
    made = {live.register("fsp-c").headers["Location"] for _ in range(5)}

    found = list(pages(live, "fsp-c", managed="me", limit="2"))

    flat = [id_ for page in found for id_ in page]
    assert made <= set(flat)
    assert len(flat) == len(set(flat)) and all(len(page) <= 2 for page in found)


def test_anothers_cursor_opens_nothing(live: Live) -> None:
    for _ in range(3):
        live.register("fsp-c")
    cursor = live.client("fsp-c").get("/assets", params={"managed": "me", "limit": "1"}).json()["next"].split("cursor=")[1]

    response = live.client("fsp-b").get(f"/assets?managed=me&cursor={cursor}")

    assert {item["managedBy"] for item in response.json()["items"]} <= {live.profiles["fsp-b"].organisation}


def test_a_list_is_narrowed_by_a_field_that_the_caller_sees(live: Live) -> None:
    code = f"code-{next(live.serials)}"
    iri = live.register(friendlyCode=code).headers["Location"]

    own = live.client("fsp-a").get("/assets", params={"friendlyCode": code}).json()["items"]
    network = live.client("dso-east").get("/assets", params={"friendlyCode": code}).json()["items"]

    assert ([item["id"] for item in own], network) == ([iri], [])
    assert live.client("dso-east").get(iri).status_code == 200


@pytest.mark.parametrize("media_type", RDF)
def test_a_list_comes_in_every_format(live: Live, media_type: str) -> None:
    code = f"code-{next(live.serials)}"
    iri = live.register(friendlyCode=code).headers["Location"]

    response = live.client("fsp-a").get("/assets", params={"friendlyCode": code}, headers={"Accept": media_type})

    single = live.client("fsp-a").get(iri, headers={"Accept": media_type})
    assert triples(response.content, RDF[media_type]) == triples(single.content, RDF[media_type])


def test_a_list_in_json_has_numbers(live: Live) -> None:
    code = f"code-{next(live.serials)}"
    live.register(friendlyCode=code)

    response = live.client("fsp-a").get("/assets", params={"friendlyCode": code, "format": "json"})

    assert response.json()["items"][0]["ratedCapacity"] == 500.0


def test_an_asset_is_looked_up_by_an_identifier_in_the_body(live: Live) -> None:
    made = live.register()
    asked = {"scheme": "MPAN", "value": made.json()["importMPAN"]}

    response = live.client("fsp-a").post("/assets/lookup", json=asked)

    assert [item["id"] for item in response.json()["items"]] == [made.json()["id"]]


def test_a_lookup_of_anothers_asset_is_a_lookup_of_nothing(live: Live) -> None:
    held, free = live.register().json()["serialNumber"], live.battery()["serialNumber"]

    first, second = (live.client("fsp-b").post("/assets/lookup", json={"scheme": "SERIAL", "value": value}) for value in (held, free))

    assert first.status_code == second.status_code == 404
    assert first.content == second.content


@pytest.mark.parametrize("body", [b"{}", b'{"scheme": "MPAN"}', b'{"scheme": 1, "value": {}}', b'{"scheme": "MPAN", "value": "1", "x": 1}'])
def test_a_lookup_that_asks_nothing_is_422(live: Live, body: bytes) -> None:
    response = live.client("fsp-a").post("/assets/lookup", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 422


# -- versions, history, proof


def two_versions(live: Live) -> tuple[str, list[dict[str, Any]]]:
    made = live.register(assetName="First")
    changed = patch(live, made.headers["Location"], {"assetName": "Second"}, made.headers["ETag"])
    return made.headers["Location"], [made.json(), changed.json()]


def test_versions_are_counted_and_kept(live: Live) -> None:
    iri, versions = two_versions(live)

    listed = live.client("fsp-a").get(f"{iri}/versions").json()["items"]

    assert [item["id"] for item in listed] == [f"{iri}/versions/1", f"{iri}/versions/2"]
    assert [live.client("fsp-a").get(item["id"]).json() for item in listed] == versions
    assert live.client("fsp-a").get(iri, params={"version": "1"}).json() == versions[0]


@pytest.mark.parametrize(("number", "status"), [("0", 400), ("3", 404), ("-1", 400), ("x", 400), ("²", 400), ("1" * 40, 400)])
def test_a_version_that_there_is_not_is_refused(live: Live, number: str, status: int) -> None:
    iri, _ = two_versions(live)

    assert live.client("fsp-a").get(iri, params={"version": number}).status_code == status


def test_a_record_is_read_as_it_stood(live: Live) -> None:
    iri, versions = two_versions(live)

    then = live.client("fsp-a").get(iri, params={"at": versions[0]["recordedAt"]})
    before = live.client("fsp-a").get(iri, params={"at": "2020-01-01"})

    assert (then.json(), before.status_code) == (versions[0], 404)


@pytest.mark.parametrize("instant", ["yesterday", "2026-13-01", "2026-11-22T09:30:00", "", "9999999999999", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_is_none_is_400(live: Live, instant: str) -> None:
    iri = live.register().headers["Location"]

    response = live.client("fsp-a").get(iri, params={"at": instant})

    assert (response.status_code, response.json()["code"]) == (400, "malformed-request")


def test_the_history_says_who_changed_what(live: Live) -> None:
    iri, versions = two_versions(live)

    lines = live.client("fsp-a").get(f"{iri}/history").json()["items"]

    assert [(line["version"], line["action"]) for line in lines] == [(1, "register"), (2, "update")]
    assert lines[1]["by"]["organisation"] == live.profiles["fsp-a"].organisation.rsplit("/", 1)[1]
    assert {"assetName", "version", "recordedAt"} <= set(lines[1]["changed"]) < set(versions[1])


def test_a_change_that_a_viewer_does_not_see_leaves_no_trace_for_it(live: Live) -> None:
    made = live.register()
    seen = live.client("dso-east").get(made.headers["Location"])
    patch(live, made.headers["Location"], {"manufacturer": "Another Maker"}, made.headers["ETag"])

    now = live.client("dso-east").get(made.headers["Location"])

    assert (now.content, now.headers["ETag"]) == (seen.content, seen.headers["ETag"])
    assert len(live.client("dso-east").get(f"{made.headers['Location']}/history").json()["items"]) == 1


def test_a_proof_is_verified_offline(live: Live) -> None:
    made = live.register()
    key = live.client().get("/journal/key").text.strip()

    receipt = parse_receipt(live.client("fsp-a").get(made.links["proof"]["url"]).content)

    assert "inclusion" in verify_receipt(receipt, key)
    assert receipt["index"] == int(made.headers["Fmar-Journal-Index"])
    assert all("body" in section for name, section in receipt["sections"].items())


def test_a_proof_shows_a_viewer_its_own_sections_only(live: Live) -> None:
    made = live.register()
    key = live.client().get("/journal/key").text.strip()

    receipt = parse_receipt(live.client("neso").get(made.links["proof"]["url"]).content)

    assert "signature" in verify_receipt(receipt, key)
    assert {name for name, section in receipt["sections"].items() if "body" in section} == {"open", "operational"}


def test_an_entry_of_the_journal_is_the_proof_of_its_version(live: Live) -> None:
    made = live.register()
    index = made.headers["Fmar-Journal-Index"]

    own, others = live.client("fsp-a").get(f"/journal/entries/{index}"), live.client("fsp-b").get(f"/journal/entries/{index}")

    assert (own.json()["sections"], others.status_code) == (live.client("fsp-a").get(made.links["proof"]["url"]).json()["sections"], 404)
    assert live.client("fsp-b").get("/journal/entries/999999999").json()["detail"] == others.json()["detail"]


# -- export and batch


def exported(live: Live, short: str, name: str = "fsp-a") -> httpx.Response:
    response = live.client(name).get("/assets/export", params={"format": short})
    assert response.status_code == 200
    return response


def test_an_export_in_csv_runs_no_formula(live: Live) -> None:
    maker = f"=HYPERLINK(\"http://x/{next(live.serials)}\";\"y\"),\""
    iri = live.register(manufacturer=maker).headers["Location"]

    row = next(row for row in csv.DictReader(io.StringIO(exported(live, "csv").text)) if row["id"] == iri)

    assert (row["manufacturer"], row["ratedCapacity"]) == (f"'{maker}", "500.00")
    assert row["importMPAN"].isdigit()


@pytest.mark.parametrize(("short", "format_"), [("ttl", ox.RdfFormat.TURTLE), ("nq", ox.RdfFormat.N_QUADS)])
def test_an_export_in_rdf_parses_and_holds_the_records(live: Live, short: str, format_: ox.RdfFormat) -> None:
    texts = ("plain", 'a line\n@prefix x: <y> . "quoted"\n')
    iris = [live.register(justification=[{"rule": "A03", "text": text}]).headers["Location"] for text in texts]

    held = triples(exported(live, short).content, format_)

    for iri in iris:
        record = live.client("fsp-a").get(iri, headers={"Accept": "application/n-triples"}).content
        assert triples(record, ox.RdfFormat.N_TRIPLES) <= held


def test_an_export_holds_what_the_caller_manages_and_nothing_else(live: Live) -> None:
    mine, other = live.register("fsp-b").headers["Location"], live.register("fsp-a").headers["Location"]

    lines = [json.loads(line) for line in exported(live, "ndjson", "fsp-b").text.splitlines()]

    assert mine in {line["id"] for line in lines} and other not in {line["id"] for line in lines}
    assert {line["managedBy"] for line in lines} == {live.profiles["fsp-b"].organisation}


def test_an_exported_line_is_put_back_without_effect_and_not_registered_again(live: Live) -> None:
    made = live.register()
    line = next(each for each in exported(live, "ndjson").content.splitlines() if made.json()["assetId"].encode() in each)
    before = size(live)

    again = post(live, line)
    back = live.client("fsp-a").put(made.headers["Location"], content=line, headers={**LD_JSON, "If-Match": made.headers["ETag"]})

    assert (again.status_code, back.status_code, size(live)) == (422, 200, before)
    assert "A01" in codes(again)


def test_an_export_needs_a_credential_and_a_format_that_there_is(live: Live) -> None:
    assert live.client().get("/assets/export").status_code == 401
    assert live.client("fsp-a").get("/assets/export", params={"format": "xlsx"}).status_code == 406
    assert live.client("fsp-a").get("/assets/export", headers={"Accept": "text/csv"}).headers["Content-Type"].startswith("text/csv")


def batch(live: Live, rows: list[Any], **headers: str) -> list[dict[str, Any]]:
    body = b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    response = live.client("fsp-a").post("/assets/batch", content=body, headers={"Content-Type": "application/x-ndjson", **headers})
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def test_the_rows_of_a_batch_are_independent_and_answered_in_order(live: Live) -> None:
    rows = [live.battery(), live.battery(ratedCapacity="-1"), b"{bad", live.battery()]

    results = batch(live, rows)

    assert [(result["row"], result["status"]) for result in results] == [(1, 201), (2, 422), (3, 400), (4, 201)]
    assert live.client("fsp-a").get(results[3]["id"]).json()["serialNumber"] == rows[3]["serialNumber"]


def test_a_broken_batch_goes_on_where_it_stopped(live: Live) -> None:
    rows, key = [live.battery() for _ in range(4)], {"Idempotency-Key": f"batch-{next(live.serials)}"}
    first = batch(live, rows[:2], **key)
    before = size(live)

    results = batch(live, rows, **key)

    assert [result["id"] for result in results[:2]] == [result["id"] for result in first]
    assert [result["status"] for result in results] == [201] * 4
    assert size(live) == before + 2


def test_a_batch_in_many_small_chunks_loses_nothing(live: Live) -> None:
    body = b"\n".join(json.dumps(live.battery()).encode() for _ in range(20))
    chunks = (body[at : at + 700] for at in range(0, len(body), 700))

    response = live.client("fsp-a").post("/assets/batch", content=chunks, headers={"Content-Type": "application/x-ndjson"})

    assert [json.loads(line)["status"] for line in response.text.splitlines()] == [201] * 20


def test_an_empty_batch_has_no_results(live: Live) -> None:
    assert batch(live, []) == []


def test_patches_at_once_under_a_star_lose_nothing(live: Live) -> None:
    iri = live.register("fsp-a").headers["Location"]
    headers = {"Content-Type": "application/merge-patch+json", "If-Match": "*"}
    changes = [{"assetName": "Renamed"}, {"assetModel": "AS-501"}, {"friendlyCode": f"star-{iri[-6:]}"}, {"connectionType": "DYNAMIC"}]

    with ThreadPoolExecutor(len(changes)) as pool:
        answers = list(pool.map(lambda change: live.client("fsp-a").patch(iri, json=change, headers=headers), changes))

    record = live.client("fsp-a").get(iri).json()
    kept = [change for change, answer in zip(changes, answers, strict=True) if answer.status_code == 200]
    assert {answer.status_code for answer in answers} <= {200, 412}
    assert kept and all(record[name] == value for change in kept for name, value in change.items())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"assetCategory": "bess"}, "did you mean BESS? Codes are listed at /codes/AssetCategory"),
        ({"assetCategory": "BATTERY"}, "did you mean BESS? Codes are listed at /codes/AssetCategory"),
        ({"assetCategory": "a battery"}, "a code of the list at /codes/AssetCategory"),
        ({"assetName": "x" * 100_000}, "assetName is longer than"),
        ({"ratedCapacity": "1e300"}, "of at most 15 digits"),
    ],
    ids=["small letters", "another word", "no code at all", "over-long text", "beyond all bounds"],
)
def test_a_wrong_value_is_told_what_would_be_right(live: Live, changes: dict[str, Any], said: str) -> None:
    body = json.dumps(live.battery(**changes)).replace('"1e300"', "1e300")

    errors = live.client("fsp-a").post("/assets", content=body, headers={"Content-Type": "application/ld+json"}).json()["errors"]

    (term,) = changes
    assert [said in error["message"] for error in errors if error["field"] == term] == [True]


def test_a_wrong_code_of_a_note_is_told_what_was_meant(live: Live) -> None:
    made = live.register()

    refused = live.client("fsp-a").post(f"{made.headers['Location']}/deregistration", json={"deregistrationReason": "DECOMMISION"}, headers={"Content-Type": "application/ld+json"})

    assert "did you mean DECOMMISSIONED? Codes are listed at /codes/DeregistrationReason" in refused.text


@pytest.mark.parametrize(
    ("path", "said"),
    [("?version=0", "version is a number from 1"), ("?at=yesterday", "such as 2026-11-22T09:30:00Z")],
)
def test_a_version_that_cannot_be_says_the_form(live: Live, path: str, said: str) -> None:
    answer = live.client("fsp-a").get(f"{live.profiles['fsp-a'].organisation}{path}")

    assert (answer.status_code, said in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize("owner", ["x", "https://elsewhere.example/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"])
def test_a_list_is_not_narrowed_by_what_is_no_organisation(live: Live, owner: str) -> None:
    answer = live.client("fsp-a").get("/assets", params={"owner": owner})

    assert (answer.status_code, "owner is the IRI of an organisation" in answer.json()["detail"]) == (400, True)


def test_a_personal_filter_is_told_where_else_to_look(live: Live) -> None:
    detail = live.client("fsp-a").get("/assets?postcode=CB1").json()["detail"]

    assert "POST /assets/lookup" in detail and "SPARQL" in detail
