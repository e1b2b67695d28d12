"""Exports (UC-02.05): of one place of the journal, in every format, narrowed, with a manifest that the node has signed; and put back."""

from __future__ import annotations

import hashlib
import json
import random
import time
from typing import Any

import httpx
import pyoxigraph as ox
import pytest

from fmar_node.journal.checkpoint import Note, NoteError, VerifierKey
from fmar_node.journal.manifest import open_manifest, verify_export
from fmar_node.kinds import KINDS
from tests.live import Live
from tests.market import Market, battery
from tests.web.test_table import size

FORMATS = ("ndjson", "csv", "json", "jsonld", "nq", "nt", "ttl", "rdf")


def export(live: Live, name: str = "fsp-a", path: str = "/assets/export", **params: Any) -> httpx.Response:
    answer = live.client(name).get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer


def manifest(live: Live, name: str = "fsp-a", **params: Any) -> str:
    return export(live, name, "/assets/export/manifest", **params).text


def key_of(live: Live) -> str:
    return live.client().get("/journal/key").text.strip()


@pytest.mark.parametrize("short", FORMATS)
def test_an_export_at_an_index_is_the_same_whatever_comes_after(live: Live, short: str) -> None:
    made = live.register()
    first = export(live, format=short)
    place = first.headers["Fmar-Journal-Index"]
    live.register()
    live.client("fsp-a").patch(made.headers["Location"], json={"manufacturer": "Another"}, headers={"Content-Type": "application/merge-patch+json", "If-Match": made.headers["ETag"]})

    again, now = export(live, format=short, index=place), export(live, format=short)

    assert again.content == first.content != now.content
    assert again.headers["Fmar-Journal-Index"] == place < now.headers["Fmar-Journal-Index"] or len(place) < len(now.headers["Fmar-Journal-Index"])


@pytest.mark.parametrize("short", FORMATS)
def test_what_was_exported_is_verified_by_the_manifest_without_the_node(live: Live, short: str) -> None:
    live.register()
    file = export(live, format=short)
    note, key = manifest(live, format=short, index=file.headers["Fmar-Journal-Index"]), key_of(live)

    told = open_manifest(note, key)

    assert verify_export([file.content], note, key) == ["signature", "checkpoint", "size", "SHA-256"]
    assert (told["sha256"], told["bytes"]) == (hashlib.sha256(file.content).hexdigest(), len(file.content))
    assert (told["onBehalfOf"], told["node"]) == (live.profiles["fsp-a"].organisation, live.url)
    assert told["assets"] == len(export(live, index=told["journalIndex"]).text.splitlines())


def test_another_file_or_another_manifest_is_not_believed(live: Live) -> None:
    live.register()
    file = export(live)
    note, key = manifest(live, index=file.headers["Fmar-Journal-Index"]), key_of(live)
    other = str(VerifierKey(VerifierKey.parse(key).name, bytes(32)))
    checkpoint = live.client().get("/journal/checkpoint").text

    for data, given, by, code in (
        (file.content + b"\n", note, key, "wrong-file"),
        (file.content.replace(b"BESS", b"BEES"), note, key, "wrong-file"),
        (file.content, note.replace('"assets": ', '"assets": 1'), key, "bad-signature"),
        (file.content, note, other, "unknown-signer"),
        (file.content, checkpoint, key, "malformed-manifest"),
    ):
        with pytest.raises(NoteError) as refused:
            verify_export([data], given, by)
        assert refused.value.code == code
    assert Note.parse(note).text.startswith("fmar-export-v1\n")


def test_an_export_is_as_of_a_time(live: Live) -> None:
    early = live.register("fsp-b").json()
    time.sleep(0.01)
    late = live.register("fsp-b").json()

    then = export(live, "fsp-b", at=early["recordedAt"]).text

    assert early["id"] in then and late["id"] not in then
    assert late["id"] in export(live, "fsp-b", at=late["recordedAt"]).text
    assert export(live, "fsp-b", at="2001-01-01").text == ""


def test_an_export_is_narrowed_as_lists_are(live: Live) -> None:
    one = live.register("fsp-c", connectionType="NON_FIRM").json()["id"]
    other = live.register("fsp-c", connectionType="FIRM").json()["id"]

    found = export(live, "fsp-c", dnoConnection=live.client("fsp-c").get(one).json()["dnoConnection"]).text
    none = export(live, "fsp-c", dnoConnection="SSEN_SHEPD").text

    assert one in found and other in found and none == ""
    refused = {name: live.client("fsp-c").get("/assets/export", params={name: value}) for name, value in (("importMPAN", "2000000000006"), ("noSuch", "x"))}
    assert {name: (each.status_code, each.json()["code"]) for name, each in refused.items()} == {"importMPAN": (400, "personal-filter"), "noSuch": (400, "malformed-request")}


@pytest.mark.parametrize("query", ["index=-1", "index=99999999", "index=x", "index=1&index=2", "index=1&at=2026-01-01", "at=yesterday"])
def test_a_place_that_there_is_not_is_refused(live: Live, query: str) -> None:
    for path in ("/assets/export", "/assets/export/manifest"):
        answer = live.client("fsp-a").get(f"{path}?{query}")

        assert (answer.status_code, answer.json()["code"]) == (400, "malformed-request")


def test_a_manifest_is_plain_text_and_an_export_is_not(live: Live) -> None:
    plain = {"Accept": "text/plain"}

    told, refused = (live.client("fsp-a").get(path, headers=plain) for path in ("/assets/export/manifest", "/assets/export"))

    assert (told.status_code, open_manifest(told.text, key_of(live))["mediaType"]) == (200, "application/x-ndjson")
    assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")


def test_a_manifest_needs_a_credential(live: Live) -> None:
    assert live.client().get("/assets/export/manifest").status_code == 401


@pytest.mark.parametrize(("short", "media_type"), [("json", "application/json"), ("jsonld", "application/ld+json"), ("ndjson", "application/x-ndjson")])
def test_an_export_put_back_changes_nothing(live: Live, short: str, media_type: str) -> None:
    rare = {"connectionType": "DYNAMIC"}  # other tests' assets stay out of it
    live.register("fsp-b", alias=[{"scheme": "ECR", "value": "E-9"}], **rare)
    ended = live.register("fsp-b", **rare).headers["Location"]
    live.client("fsp-b").post(f"{ended}/deregistration", json={"deregistrationReason": "DECOMMISSIONED"}).raise_for_status()
    file, before = export(live, "fsp-b", format=short, **rare).content, size(live)

    answer = live.client("fsp-b").post("/assets/batch", content=file, headers={"Content-Type": media_type})

    assert {json.loads(line)["outcome"] for line in answer.text.splitlines()} == {"unchanged"} and size(live) == before


def test_rdf_of_an_export_holds_the_same_in_every_syntax(live: Live) -> None:
    place = live.register(justification=[{"rule": "A03", "text": 'a line\n</rdf:RDF> & "quoted"'}]).headers["Fmar-Journal-Index"]
    syntaxes = {"nt": ox.RdfFormat.N_TRIPLES, "nq": ox.RdfFormat.N_QUADS, "ttl": ox.RdfFormat.TURTLE, "rdf": ox.RdfFormat.RDF_XML}

    found = [{(str(each.subject), str(each.predicate), str(each.object)) for each in ox.parse(export(live, format=short, index=place).content, format=syntax)} for short, syntax in syntaxes.items()]

    assert len(found[0]) > 20 and all(each == found[0] for each in found)


@pytest.mark.parametrize("short", FORMATS)
def test_an_export_of_nothing_is_still_one(live: Live, short: str) -> None:
    file = export(live, "installer", format=short).content

    if short in ("json", "jsonld"):
        assert json.loads(file) == []
    if short == "rdf":
        assert list(ox.parse(file, format=ox.RdfFormat.RDF_XML)) == []
    assert open_manifest(manifest(live, "installer", format=short), key_of(live))["assets"] == 0


def test_every_place_of_the_journal_is_exported_as_it_was_exported_then(market: Market) -> None:
    chance, taken, owners = random.Random(7), {}, ("fsp-a", "fsp-b")
    reader = market.reader
    made: list[tuple[str, str]] = []
    for number in range(60):
        name = chance.choice(owners)
        own = [id_ for whose, id_ in made if whose == name]
        if own and chance.random() < 0.4:
            market.update(market.callers[name], "assets", chance.choice(own), manufacturer=f"Maker {number}")
        else:
            made.append((name, market.submit(market.callers[name], "assets", battery(f"EXPORT-{number}")).id))
        for each in owners:
            taken[each, reader.register.size() - 1] = list(reader.export(KINDS["assets"], market.callers[each]))

    assert all(list(reader.export(KINDS["assets"], market.callers[name], index)) == before for (name, index), before in taken.items())
