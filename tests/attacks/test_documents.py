"""Attacks by documents, B6 to B18, through every route that takes one; what is refused in one process stands in tests/test_jsonld.py."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fmar_node.client import new_key, public_part
from fmar_node.errors import FmarError, Malformed, TooLarge
from fmar_node.jsonld import elements, read
from fmar_node.vocabulary import CONTEXT, FMAR
from tests.access.test_access_token import Listener
from tests.live import Live
from tests.market import BASE, SETTINGS, battery, organisation, vocabulary
from tests.web.test_operations_http import spoken

LD_JSON, JSON, MERGE, NDJSON, TURTLE, N_TRIPLES = (
    "application/ld+json", "application/json", "application/merge-patch+json", "application/x-ndjson", "text/turtle", "application/n-triples",
)  # fmt: skip
A = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
OWL, RDFS, SH = "http://www.w3.org/2002/07/owl#", "http://www.w3.org/2000/01/rdf-schema#", "http://www.w3.org/ns/shacl#"


def entries(live: Live) -> int:
    """How many entries the journal has."""
    return int(live.client().get("/journal/checkpoint").text.splitlines()[1])


@dataclass
class Stage:
    """An asset of ours that an attack is sent about, and one of somebody else that it is meant for."""

    live: Live
    own: str
    victim: str
    before: dict[str, bytes] = field(default_factory=dict)

    def seen(self) -> dict[str, bytes]:
        """What there is to be seen of both, and of the organisations behind them."""
        read = {"fsp-b": (self.victim, self.live.profiles["fsp-b"].organisation), "fsp-a": (self.own, self.live.profiles["fsp-a"].organisation)}
        return {iri: self.live.client(name).get(iri).content for name, iris in read.items() for iri in iris}


@pytest.fixture(scope="module")
def stage(live: Live) -> Stage:
    found = Stage(live, live.register("fsp-a").json()["id"], live.register("fsp-b").json()["id"])
    found.before = found.seen()
    return found


# -- every way in


def as_turtle(document: dict[str, Any], subject: str) -> str:
    """A document of flat text terms as triples; keys that are IRIs stay so."""
    def term(key: str) -> str:
        return f"<{key if ':' in key else FMAR + key}>"

    def value(each: Any) -> str:
        return f"<{each['@id']}>" if isinstance(each, dict) else json.dumps(str(each))

    facts = [f"{subject} {term(key)} {value(each)} ." for key, each in document.items() if key not in ("type", "id")]
    return "\n".join([f"{subject} <{A}> <{FMAR}Asset> .", *facts])


@dataclass(frozen=True)
class Way:
    """A route that takes a document in JSON: where it goes, around which document, and how it is wrapped."""

    name: str
    method: str
    media_type: str
    of_organisation: bool = False

    def send(self, stage: Stage, added: dict[str, Any], text: str = "") -> httpx.Response:
        live, own = stage.live, stage.own
        client, home = live.client("fsp-a"), live.profiles["fsp-a"].organisation
        document: dict[str, Any] = {"deregistrationReason": "ERROR"}
        if self.name in ("register", "batch", "array", "replace"):
            document = live.battery()
        elif self.name in ("patch", "patch organisation"):
            document = {}
        elif self.name == "replace organisation":
            client, document = live.client("fsp-a"), organisation("The fsp-a organisation", ["FSP"])
        elif self.name == "key":
            document = {"clientId": f"app-{next(live.serials)}", "publicKey": json.dumps(public_part(new_key()))}
        url = {
            "register": "/assets", "batch": "/assets/batch", "array": "/assets/batch", "replace": own, "patch": own, "action": f"{own}/deregistration",
            "replace organisation": home, "patch organisation": home, "key": f"{home}/key-registration",
        }[self.name]  # fmt: skip
        body = text or json.dumps({**document, **added})
        headers = {"Content-Type": self.media_type, **({"If-Match": "*"} if self.method in ("PUT", "PATCH") else {})}
        return client.request(self.method, url, content=f"[{body}]" if self.name == "array" else body, headers=headers)


WAYS = [
    Way("register", "POST", LD_JSON), Way("register", "POST", JSON), Way("replace", "PUT", LD_JSON), Way("patch", "PATCH", MERGE),
    Way("batch", "POST", NDJSON), Way("array", "POST", JSON), Way("action", "POST", LD_JSON),
    Way("replace organisation", "PUT", LD_JSON, True), Way("patch organisation", "PATCH", MERGE, True), Way("key", "POST", LD_JSON, True),
]  # fmt: skip


def status(response: httpx.Response) -> int:
    """Of the request, or of the first row of a batch."""
    if response.status_code == 200 and response.headers["Content-Type"].startswith(NDJSON):
        return int(json.loads(response.text.splitlines()[0])["status"])
    return response.status_code


def refused(stage: Stage, way: Way, added: dict[str, Any], text: str = "") -> list[str]:
    """What is wrong about the answer to an attack, if anything: nothing may be written, nothing may break."""
    size = entries(stage.live)
    response = way.send(stage, added, text)
    wrong = [] if status(response) in (400, 413, 415, 422) else [f"{way.name} {added or text[:80]}: {status(response)} {response.text[:200]}"]
    return wrong + ([f"{way.name} {added or text[:80]}: written"] if entries(stage.live) != size else [])


# -- B6, B7: contexts and keywords


def contexts(url: str, canary: Path) -> list[Any]:
    return [
        url, [url], [CONTEXT, url], f"file://{canary}", str(canary), f"file://localhost{canary}", "data:application/json,{}", {"@import": url}, [CONTEXT, {"@import": url}],
        {"@vocab": FMAR}, {"@base": "https://evil.example/"}, {"@propagate": False}, {"@version": 1.1}, {"@protected": True}, {"owner": f"{FMAR}assetName"},
        {"assetName": {"@id": f"{FMAR}managedBy", "@type": "@id"}}, {"assetName": {"@reverse": f"{FMAR}managedBy"}}, {"a": "@graph"}, {"id": None}, {"type": "@id"},
        {"assetName": {"@id": f"{FMAR}assetName", "@context": url}}, {"device": {"@id": f"{FMAR}device", "@container": "@graph"}}, {"x": {"@nest": "y"}}, {"@language": "en"},
        f"{CONTEXT}/", f"{CONTEXT}?x", CONTEXT.upper(), CONTEXT.replace("https", "http"), [[CONTEXT]], {"@context": CONTEXT}, [CONTEXT, None], [], {}, "", 7, True,
    ]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.name} {way.media_type}")
def test_no_context_is_fetched_and_none_changes_what_a_document_says(stage: Stage, way: Way, tmp_path: Path) -> None:
    """B6, B7: remote, local and inline contexts are refused by every route; nobody is asked, no file is read."""
    canary = tmp_path / "canary.jsonld"
    canary.write_text('{"@context": {"serialNumber": "https://w3id.org/fmar/ns#assetName"}}')
    with Listener() as listener:
        given = contexts(listener.url, canary)
        chosen = given if way.name == "register" and way.media_type == LD_JSON else given[:: 4 if way.method == "PUT" else 3]
        wrong = [said for each in chosen for said in refused(stage, way, {"@context": each})]
        seen = listener.hits

    assert (wrong, seen) == ([], 0)
    assert stage.seen() == stage.before


KEYWORDS = [
    {"@graph": [{"@id": "VICTIM", f"{FMAR}assetName": "x"}]}, {"@graph": []}, {"@included": [{"@id": "VICTIM", "assetName": "x"}]}, {"@reverse": {f"{FMAR}managedBy": "VICTIM"}},
    {"@reverse": {"device": {"@id": "VICTIM"}}}, {"@nest": {"registrationStatus": "VERIFIED"}}, {"@index": "x"}, {"@set": []}, {"@list": []}, {"@value": "x"}, {"@language": "en"},
    {"@direction": "ltr"}, {"@container": "@graph"}, {"@json": {}}, {"@none": {}}, {"@prefix": True}, {"@vocab": FMAR}, {"@base": "https://evil.example/"}, {"@import": "x"},
    {"@propagate": True}, {"@protected": True}, {"@version": 1.1}, {"@id": "VICTIM"}, {"id": "VICTIM"}, {"@type": f"{FMAR}Device"}, {"type": ["Asset", "Organisation", "Erasure"]},
    {"@unheard-of": 1}, {"device": [{"@id": "VICTIM", "deviceType": "x"}]}, {"device": [{"deviceType": "x", "@graph": [{"@id": "VICTIM"}]}]}, {"device": {"@reverse": {"device": "VICTIM"}}},
    {"alias": [{"@included": [{"@id": "VICTIM"}], "scheme": "ECR", "value": "x"}]}, {"assetName": {"@value": "x", "@type": "@json"}}, {"assetName": {"@id": "VICTIM"}},
    {"assetName": {"@set": ["x"]}}, {"assetName": {"@list": ["x"]}}, {"device": {"@set": [{"deviceType": "x"}]}}, {"device": {"@graph": {"@id": "VICTIM", "assetName": "x"}}},
]  # fmt: skip


def aimed(value: Any, stage: Stage) -> Any:
    """The same attack, aimed at somebody else's asset."""
    return json.loads(json.dumps(value).replace("VICTIM", stage.victim))


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.name} {way.media_type}")
def test_no_keyword_says_more_than_one_record(stage: Stage, way: Way) -> None:
    """B7, B9: @graph, @included, @reverse, @nest and their like, in the record, its parts and its values."""
    chosen = KEYWORDS if way.name in ("register", "patch") else KEYWORDS[::3]

    wrong = [said for each in chosen for said in refused(stage, way, aimed(each, stage))]

    assert wrong == []
    assert stage.seen() == stage.before


# -- B8: triples that are not the submitter's to say


SMUGGLED: list[dict[str, Any]] = [
    {f"{OWL}sameAs": {"@id": "VICTIM"}}, {"owl:sameAs": "VICTIM"}, {"sameAs": "VICTIM"}, {f"{RDFS}subClassOf": {"@id": f"{FMAR}Organisation"}}, {f"{OWL}imports": {"@id": "https://evil.example/"}},
    {f"{SH}deactivated": "true"}, {f"{SH}rule": {"@id": "https://evil.example/"}}, {f"{SH}js": "x"}, {f"{SH}sparql": "SELECT * {}"}, {"https://w3id.org/fmar/tiers#tier": "open"},
    {f"{FMAR}managedBy": {"@id": "FOREIGN"}}, {"managedBy": "FOREIGN"}, {"fmar:managedBy": "FOREIGN"}, {f"{FMAR}tier": "open"}, {A: {"@id": f"{FMAR}Organisation"}}, {"rdf:type": "fmar:Organisation"},
]  # fmt: skip
SERVER_SET: list[dict[str, Any]] = [
    {"registrationStatus": "VERIFIED"}, {"validationStatus": "VERIFIED"}, {"standing": "DEREGISTERED"}, {"assetId": "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"}, {"version": 7},
    {"recordedAt": "2020-01-01T00:00:00Z"}, {"recordedBy": "FOREIGN"}, {"registeredAt": "2020-01-01T00:00:00Z"}, {"deregisteredAt": "2020-01-01T00:00:00Z"}, {"shapesVersion": "9.9.9"},
    {"warning": [{"rule": "A04", "text": "x"}]}, {"defaulted": ["assetName"]}, {"survivor": "VICTIM"},
]  # fmt: skip
ORGANISATIONS_SERVER_SET: list[dict[str, Any]] = [
    {"organisationStatus": "SUSPENDED"}, {"fmarOrganisationId": "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"}, {"organisationRoles": ["FSP", "FMAR_OPERATOR"]}, {"licenceArea": ["UKPN_EPN"]},
    {"applicationKey": [{"clientId": "evil", "keyId": "x", "publicKey": "{}", "keyStatus": "ACTIVE"}]}, {"version": 7}, {"recordedBy": "FOREIGN"}, {"warning": [{"rule": "A04", "text": "x"}]},
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.name} {way.media_type}")
def test_nobody_says_what_only_the_node_says(stage: Stage, way: Way) -> None:
    """B8: sameAs, subclasses, shapes and tiers; the manager; whatever the node sets itself: through every route."""
    live = stage.live
    foreign = live.profiles["fsp-b"].organisation
    protected = ORGANISATIONS_SERVER_SET if way.of_organisation else SERVER_SET
    attacks = [json.loads(json.dumps(each).replace("VICTIM", stage.victim).replace("FOREIGN", foreign)) for each in (*SMUGGLED, *protected)]

    wrong = [said for each in attacks for said in refused(stage, way, each)]

    assert wrong == []
    assert stage.seen() == stage.before


def about(statements: str, **_: Any) -> str:
    return f'@prefix fmar: <{FMAR}> . @prefix owl: <{OWL}> . @prefix rdfs: <{RDFS}> . @prefix sh: <{SH}> .\n<> a fmar:Asset ; fmar:assetName "A" .\n{statements}'


TRIPLES = [
    '<VICTIM> fmar:assetName "mine" .', "<VICTIM> a fmar:Asset .", "<VICTIM> fmar:managedBy <OWNER> .", "<VICTIM#device-1> fmar:deviceType \"x\" .", "<> owl:sameAs <VICTIM> .", "<VICTIM> owl:sameAs <> .",
    "fmar:Asset rdfs:subClassOf fmar:Organisation .", "fmar:assetName rdfs:subPropertyOf fmar:managedBy .", "<> sh:deactivated true .", "<https://w3id.org/fmar/shapes/asset#A04> sh:deactivated true .",
    "<> owl:imports <https://evil.example/> .", "<> fmar:managedBy <FOREIGN> .", '<> fmar:registrationStatus <https://w3id.org/fmar/codes/RegistrationStatus#VERIFIED> .', '<> fmar:version 7 .',
    "<FOREIGN> fmar:organisationStatus <https://w3id.org/fmar/codes/OrganisationStatus#WITHDRAWN> .", "<> fmar:device <VICTIM> .", "<> fmar:device <VICTIM#device-1> .", "<> fmar:device [ owl:sameAs <VICTIM> ] .",
    "[] owl:sameAs <VICTIM> .", "[] fmar:device <VICTIM> .", '<> fmar:recordedAt "2020-01-01T00:00:00Z"^^<http://www.w3.org/2001/XMLSchema#dateTime> .', "<urn:fmar:state> <urn:fmar:index> 1 .",
    "<> fmar:warning [ fmar:rule \"A04\" ; fmar:text \"x\" ] .", "@base <VICTIM> . <> fmar:assetName \"mine\" .", "@prefix v: <VICTIM> . v: fmar:assetName \"mine\" .", "@base <VICTIM> . <#x> fmar:deviceType \"x\" .",
    "<> <VICTIM> <VICTIM> .", "<> fmar:assetName <VICTIM> .", "<<( <VICTIM> fmar:assetName \"x\" )>> fmar:assetName \"y\" .", "<VICTIM> fmar:assetName \"x\" {| fmar:rule \"y\" |} .",
]  # fmt: skip


@pytest.mark.parametrize("way", ["register", "replace"])
def test_no_triple_is_smuggled_in_turtle(stage: Stage, way: str) -> None:
    """B8: foreign subjects, schema, shapes, node-set predicates, other bases, reified statements."""
    live, client, size = stage.live, stage.live.client("fsp-a"), entries(stage.live)
    wrong = []
    for statement in TRIPLES:
        text = about(statement.replace("VICTIM", stage.victim).replace("FOREIGN", live.profiles["fsp-b"].organisation).replace("OWNER", live.profiles["fsp-a"].organisation))
        response = client.request(
            "POST" if way == "register" else "PUT", "/assets" if way == "register" else stage.own, content=text, headers={"Content-Type": TURTLE, "If-Match": "*"}
        )
        codes = {error["code"] for error in response.json().get("errors", ())}
        if response.status_code not in (400, 422) or (response.status_code == 422 and not codes & TOLD):
            wrong.append((statement, response.status_code, sorted(codes)))

    assert wrong == []
    assert (entries(live), stage.seen()) == (size, stage.before)


TOLD = {"foreign-subject", "unknown-term", "type-mismatch", "server-set", "A01", "A02", "literal-ill-formed", "part-id"}


@pytest.mark.parametrize("media_type", [TURTLE, N_TRIPLES, LD_JSON])
def test_any_foreign_subject_is_refused(media_type: str) -> None:
    """B8: three hundred subjects that look like the record, each beside a good document."""
    iri = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
    dice = random.Random(8)
    for _ in range(300):
        foreign = subject_like(iri, dice)
        if media_type == LD_JSON:
            body = json.dumps(battery(device=[{"id": foreign, "deviceType": "x"}]))
        else:
            body = f'{as_turtle(battery(justification=None), f"<{iri}>")}\n<{foreign}> <{FMAR}assetName> "mine" .'
        with suppress(FmarError):
            reading = read(body.encode(), media_type, "Asset", iri, vocabulary(), SETTINGS)
            assert {"foreign-subject", "part-id"} & {fault.code for fault in reading.faults}, foreign


def subject_like(iri: str, dice: random.Random) -> str:
    """Another IRI, as like the record's as can be."""
    number = f"{dice.getrandbits(48):012x}"
    return dice.choice([
        iri[:-12] + number, iri.upper(), f"{iri}/", f"{iri}?x", f"{iri}%20", f"{iri}/versions/1", f"{iri}#{number} ".strip() + "/x", f"{iri}#", iri.replace("https", "http"), f"{iri}#%61",
        iri.replace("assets", "organisations"), iri.replace("node.example", "node.example.evil"), iri.replace("node.example", "NODE.example"), iri[:-1], f"{iri}0", f"{iri}#a/b", f"{iri}%23device-1",
        iri.replace("0190", "%30190"), f"{FMAR}Asset", "urn:fmar:state", f"{BASE}/views/public", f"{BASE}/codes", f"{iri}#{'x' * 65}", "https://w3id.org/fmar/shapes/asset#A04", f"mailto:{number}",
    ])  # fmt: skip


# -- B9: graphs that are not ours to choose


@pytest.mark.parametrize(("media_type", "body"), [
    ("application/trig", "<GRAPH> { <> a <x:y> }"), ("application/n-quads", "<OWN> <x:p> <x:o> <GRAPH> ."), ("application/x-trig", "<GRAPH> {}"), ("text/x-nquads", ""), ("text/n3", "{ <a> <b> <c> } => {} ."),
    (TURTLE, "GRAPH <GRAPH> { <> a <x:y> }"), (TURTLE, "<GRAPH> { <> a <x:y> }"), (TURTLE, "{ <> a <x:y> }"), (N_TRIPLES, "<OWN> <x:p> <x:o> <GRAPH> ."), (N_TRIPLES, "<OWN> <x:p> <x:o> _:g ."),
    (LD_JSON, '{"@id": "GRAPH", "@graph": [{"@id": "OWN"}]}'), (LD_JSON, '[{"@id": "GRAPH", "@graph": []}]'), (JSON, '{"@graph": [{"@id": "VICTIM"}]}'),
])  # fmt: skip
def test_a_document_chooses_no_graph(stage: Stage, media_type: str, body: str) -> None:
    """B9: no quads, in no syntax, into no graph."""
    live, size = stage.live, entries(stage.live)
    graphs = [f"{live.url}/views/public", f"{live.url}/views/operator", f"{live.url}/codes", "urn:fmar:state"]
    for graph, (method, url) in itertools.product(graphs, [("POST", "/assets"), ("PUT", stage.own)]):
        text = body.replace("GRAPH <GRAPH>", f"GRAPH <{graph}>").replace("<GRAPH>", f"<{graph}>").replace('"GRAPH"', f'"{graph}"').replace("OWN", stage.own).replace("VICTIM", stage.victim)
        response = live.client("fsp-a").request(method, url, content=text, headers={"Content-Type": media_type, "If-Match": "*"})
        assert response.status_code in (400, 415, 422), (graph, method, response.text)

    assert (entries(live), stage.seen()) == (size, stage.before)


# -- B10: blank nodes


def test_poison_graphs_cost_no_time(live: Live) -> None:
    """B10: complete graphs of blank nodes, and chains of them, are refused within a second: nothing canonicalises them."""
    for count in (6, 7, 8, 30):
        body = "\n".join(f"_:b{one} <{FMAR}device> _:b{other} ." for one in range(count) for other in range(count) if one != other)
        for media_type in (TURTLE, N_TRIPLES):
            began = time.perf_counter()
            response = live.client("fsp-a").post("/assets", content=body, headers={"Content-Type": media_type})
            assert response.status_code == 422
            assert time.perf_counter() - began < 1


# -- B11: RDF/XML


ENTITIES = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">' + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)) + "]><r>&j;</r>"
OUTSIDE = '<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>'


@pytest.mark.parametrize("media_type", ["application/rdf+xml", "application/xml", "text/xml", "application/xhtml+xml", "image/svg+xml", "application/atom+xml"])
def test_no_xml_with_entities_is_read(stage: Stage, media_type: str) -> None:
    """B11: XML is 415 on every route that takes a body; RDF/XML, where a document may be CIM, is 400 as soon as it declares an entity."""
    live = stage.live
    home = live.profiles["fsp-a"].organisation
    routes = [
        ("POST", "/assets"), ("PUT", stage.own), ("PATCH", stage.own), ("POST", f"{stage.own}/deregistration"), ("POST", "/assets/batch"), ("POST", "/assets/lookup"), ("POST", "/organisations"),
        ("PUT", home), ("POST", f"{home}/key-registration"), ("POST", "/sparql"),
    ]  # fmt: skip
    for (method, url), bomb in itertools.product(routes, (ENTITIES, OUTSIDE)):
        response = live.client("fsp-a").request(method, url, content=bomb, headers={"Content-Type": media_type, "If-Match": "*"})
        read = {("POST", "/assets"): (400, "malformed-rdf"), ("PUT", stage.own): (400, "malformed-rdf"), ("PUT", home): (400, "malformed-rdf"), ("POST", "/organisations"): (403, "not-permitted")}
        refused = read.get((method, url), (415, "unsupported-media-type")) if media_type == "application/rdf+xml" else (415, "unsupported-media-type")
        assert (response.status_code, response.json()["code"]) == refused, (method, url, response.text)
        assert "root:" not in response.text


# -- B12: sizes


def test_a_body_without_end_is_cut_off(live: Live) -> None:
    """B12: of a gigabyte the node reads a little more than its cap, answers, and closes the connection soon after."""
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b'{"assetName": "'
        for _ in range(16_384):
            sent += 65_536
            yield b"x" * 65_536

    with suppress(httpx.TransportError):
        response = live.client("fsp-a").post("/assets", content=endless(), headers={"Content-Type": LD_JSON})
        assert response.status_code == 413
    assert sent < 64 * 2**20
    assert live.client().get("/healthz").status_code == 200


@pytest.mark.parametrize("body", [
    "".join(f"@prefix p{number}: <http://x/{number}#> .\n" for number in range(7_000)), "@prefix p: <http://x/> .\n" * 9_000, f'<> <{FMAR}assetName> "{"x" * 250_000}" .', "<a> <b> " + '"""' + '"' * 200_000,
], ids=["prefixes", "one prefix", "literal", "quotes"])  # fmt: skip
def test_what_fills_a_body_is_refused_quickly(live: Live, body: str) -> None:
    """B12: thousands of prefixes, one long literal."""
    began = time.perf_counter()

    response = live.client("fsp-a").post("/assets", content=body[:262_000], headers={"Content-Type": TURTLE})

    assert response.status_code in (400, 422)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "compress", "gzip, gzip", "identity, gzip", "x-gzip", "aes128gcm"])
def test_no_body_is_decompressed(live: Live, encoding: str) -> None:
    """B12: there is no ratio to be capped."""
    response = live.client("fsp-a").post("/assets", content=b"\x1f\x8b\x08\x00", headers={"Content-Type": LD_JSON, "Content-Encoding": encoding})

    assert (response.status_code, response.json()["code"]) == (415, "unsupported-media-type")


@pytest.mark.parametrize("unit", [b"[]", b"{}", b"1", b'"x"', b"[[],[]]"])
def test_a_batch_of_millions_holds_nobody_up(live: Live, unit: bytes) -> None:
    """B12: one request of 16 MiB has millions of rows: others are answered meanwhile, and who has gone is not worked for."""
    body = b"[" + b",".join([unit] * (16_000_000 // (len(unit) + 1))) + b"]"
    before, waits = resident(live), []

    with live.client("fsp-a").stream("POST", "/assets/batch?dry-run=true", content=body, headers={"Content-Type": JSON}) as response:
        for line, _ in zip(response.iter_lines(), range(40), strict=False):
            began = time.perf_counter()
            assert live.client().get("/healthz").status_code == 200
            waits.append(time.perf_counter() - began)
            assert json.loads(line)["status"] in (400, 422)

    assert max(waits) < 1
    assert resident(live) - before < 150_000
    assert is_idle_soon(live), "it goes on for a client that has gone"


def resident(live: Live) -> int:
    return next(int(line.split()[1]) for line in Path(f"/proc/{live.process.pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


def is_idle_soon(live: Live, seconds: float = 10.0) -> bool:
    def ticks() -> int:
        return sum(map(int, Path(f"/proc/{live.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        before = ticks()
        time.sleep(0.3)
        if ticks() - before <= 6:
            return True
    return False


@pytest.mark.parametrize(("text", "found"), [
    (b"[]", []), (b" [ ] ", []), (b"\xef\xbb\xbf[1]", [b"1"]), (b'[{"a": [1, {"b": ","}]}, "],[", 3 ]', [b'{"a": [1, {"b": ","}]}', b' "],["', b" 3 "]), (b"[1,,2]", [b"1", b"", b"2"]),
    (b"[1,]", [b"1", b""]), (b'["\\"", "\\\\", 2]', [b'"\\""', b' "\\\\"', b" 2"]), (b'["a,b]', [b'"a,b']), (b"[[1,2],[3]]", [b"[1,2]", b"[3]"]), (b"[}{,]", [b"}{", b""]),
])  # fmt: skip
def test_an_array_is_taken_apart_at_its_commas(text: bytes, found: list[bytes]) -> None:
    """B12: without being read; what is no JSON between them is refused as a row."""
    assert list(elements(text, SETTINGS)) == found


@pytest.mark.parametrize("text", [b"", b"[", b"]", b"{}", b"1", b"null", b'"[]"', b"[1] x", b"\xff\xfe[\x00]\x00"])
def test_what_is_no_array_is_malformed(text: bytes) -> None:
    """B12, B17: a batch in JSON is one array."""
    with pytest.raises(Malformed):
        list(elements(text, SETTINGS))


@pytest.mark.parametrize("text", [b'["' + b"x" * 300_000 + b'"]', b"[" + b"[" * 300_000 + b"]", b"[" + b" " * 300_000 + b"1]", b'["' + b'\\"' * 8_000_000 + b"]", b"[" + b'"' * 4_000_001 + b"]"])
def test_an_element_is_no_longer_than_a_document(text: bytes) -> None:
    """B12: and finding that out takes time in proportion, whatever it is made of."""
    began = time.process_time()

    with pytest.raises(TooLarge):
        list(elements(text, SETTINGS))

    assert time.process_time() - began < 3


# -- B13: shapes


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/shapes", "/shapes/asset", "/ontology", "/codes", "/codes/AssetCategory", "/context/v1", "/journal/checkpoint"])
def test_nobody_brings_shapes_or_words(live: Live, method: str, path: str) -> None:
    """B13: shapes, ontology and codes come with the package; no route takes any, from nobody."""
    for name in ("fsp-a", "operator"):
        assert live.client(name).request(method, path, content=b"<> a <http://www.w3.org/ns/shacl#NodeShape> .", headers={"Content-Type": TURTLE}).status_code == 405


# -- B14: numbers and text


NUMBERS = [
    "1e400", "-1e400", "1e-400", "NaN", "Infinity", "-0", "-0.0", "0e0", "1E+2", "9" * 40, "9" * 5_000, "0." + "0" * 40 + "1", "1.0000000000000001", "00", "+1", "1.", ".1", "0x1", "1_0", "true", "null", "[]", "{}",
    '"1e5"', '"NaN"', '"INF"', '"-0"', '"٣"', '"１２"', '"1 000"', '"1,5"', '" 1"', '"1\\n"', '"\\u0000"', '"1\\u202e"', '"0b1"', '"1e"', '"∞"', '"½"', '"²"', '"1.5.5"', '"--1"',
]  # fmt: skip
TEXTS = [
    "\\u0000", "\\ud800", "\\udfff\\ud800", "a\\u202eb", "a\\u2066b", "\\ufeff", "\\u200b", "аsset", "ＡＢＣ", "a\\nb", "a\\r\\nb", "\\u2028", "\\u0085", " ", "", "%41", "%00", "${jndi:ldap://x}", "{{7*7}}", "<script>", "'; DROP TABLE record;--",
    "=cmd|' /C calc'!A0", "../../etc/passwd", "\\u0041\\u030a", "ﬃ", "\\ud83d\\ude00", "x" * 4_097, "\\uffff", "\\u0007", "\\\\u0000", "a\\tb",
]  # fmt: skip
INSTANTS = ["0000-01-01", "9999-12-31", "10000-01-01", "-0001-01-01", "2024-02-30", "2024-2-3", "20240203", "2024-W01-1", "2024-01-01T00:00:00", "24:00", "٢٠٢٤-٠١-٠١", "2024-01-01Z", ""]


@pytest.mark.parametrize("way", [Way("register", "POST", LD_JSON), Way("patch", "PATCH", MERGE), Way("array", "POST", JSON)], ids=lambda way: way.name)
def test_odd_numbers_and_texts_are_refused_or_made_plain(stage: Stage, way: Way) -> None:
    """B14: no answer is a failure; what is accepted comes back in its one form."""
    values = [("genCapacity", raw) for raw in NUMBERS] + [("assetName", f'"{text}"') for text in TEXTS] + [("commissioningDate", f'"{text}"') for text in INSTANTS]
    values += [("importMPAN", raw) for raw in ('"20 0000 0000 006"', '"２０００００００００００６"', '"2000000000006\\n"', "2000000000006", '"2000000000006 "', '"200000000000O"')]
    values += [("owner", f'"{text}"') for text in ("%41", "organisations/%30", "\\u0000", "http://[::1", "a b", "//x", "file:///etc/passwd", "organisations/../assets/x", "ORGANISATIONS/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11")]
    for term, raw in values if way.name == "register" else values[::5]:
        document = {**stage.live.battery(), term: "RAW"} if way.name != "patch" else {term: "RAW"}
        response = way.send(stage, {}, json.dumps(document).replace('"RAW"', raw, 1))
        answered = status(response)
        assert answered in (200, 201, 400, 409, 422), (term, raw[:40], response.text[:300])
        if term == "owner" or (term == "importMPAN" and way.name == "register"):
            assert answered in (400, 422), (term, raw)
        if answered == 201 and way.name == "register" and term == "genCapacity":
            assert response.json().get(term, "0.00").replace(".", "").isdigit()


# -- B17: types, encodings, keys


@pytest.mark.parametrize("header", [
    "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/ld+json;charset=utf-16", "application/ld+json; charset=iso-8859-1", "application/ld+json; charset=utf-7",
    "application/ld+json, application/json", "application/ld+json\tx", "*/*", "application/*", "application/ld+jsonx", "application/ld json", "text/turtle; charset=utf-16le", "application/json; charset=\"utf-32\"",
    "application/vnd.x+json", "application/problem+json", "application/sparql-update",
])  # fmt: skip
def test_a_type_that_is_not_taken_is_415_everywhere(stage: Stage, header: str) -> None:
    """B17: the type and its charset decide, never the look of the bytes."""
    size = entries(stage.live)
    for method, url in (("POST", "/assets"), ("PUT", stage.own), ("POST", f"{stage.own}/deregistration"), ("POST", "/assets/batch"), ("PATCH", stage.own), ("POST", "/assets/lookup")):
        response = stage.live.client("fsp-a").request(method, url, content=json.dumps(stage.live.battery()), headers={"Content-Type": header, "If-Match": "*"})
        assert response.status_code == 415, (method, url, header, response.text[:200])
    assert entries(stage.live) == size


@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way.name} {way.media_type}")
def test_a_key_that_stands_twice_and_bytes_that_are_no_utf_8_are_refused(stage: Stage, way: Way) -> None:
    """B17: by every route, also deep inside and by escapes."""
    texts = [
        '{"assetName": "a", "assetName": "b"}', '{"assetName": "a", "asset\\u004eame": "b"}', '{"device": [{"deviceType": "a", "deviceType": "b"}]}', '{"type": "Asset"}{"type": "Asset"}', '{"type": "Asset"} // x',
        "{'type': 'Asset'}", '{"type": "Asset",}', "\x00{}", '{"a": "\x01"}', '{"\\ud800": 1}', '{"a": 01}', "{\"a\": Infinity}", "[" * 40 + "]" * 40, '{"a":' * 40 + "1" + "}" * 40,
    ]  # fmt: skip

    wrong = [said for text in (texts if way.name in ("register", "patch") else texts[::3]) for said in refused(stage, way, {}, text)]

    assert wrong == []


@pytest.mark.parametrize("body", ['{"assetName": "é"}'.encode("utf-16"), '{"assetName": "é"}'.encode("latin-1"), b'\xef\xbb\xbf\xef\xbb\xbf{"a": 1}', b'{"a": "\xc0\x80"}', b'{"a": "\xf8\x88\x80\x80\x80"}', b'{"a": "\xed\xa0\x80"}'])
def test_bytes_that_are_no_utf_8_are_malformed(live: Live, body: bytes) -> None:
    """B17: overlong forms, surrogates, other encodings, a second byte order mark."""
    response = live.client("fsp-a").post("/assets", content=body, headers={"Content-Type": LD_JSON})

    assert (response.status_code, response.json()["code"]) == (400, "malformed-json")


# -- B18: the log


def test_nobody_writes_lines_into_the_log(live: Live) -> None:
    """B18: line breaks and JSON in paths, queries, headers, methods, names and texts: every line is the node's own."""
    mark = f"forged{next(live.serials).replace('-', '')}"
    line = f'\r\n{{"event": "{mark}", "level": "critical"}}\r\n'
    client = live.client("fsp-a")
    start = live.log.stat().st_size
    for encoded in (httpx.QueryParams({"x": line}), httpx.QueryParams({"friendlyCode": line})):
        client.get(f"/assets?{encoded}"), client.get(f"/{mark}%0d%0a{encoded}")
    client.post("/assets", json=live.battery(assetName=line, friendlyCode=line))
    client.post("/assets", content=line, headers={"Content-Type": TURTLE})
    client.post("/assets/lookup", json={"scheme": "SERIAL", "value": line})
    client.post("/oauth/token", data={"client_id": line, "grant_type": line, "client_assertion": line})
    live.ask("fsp-a", f"SELECT * {{ ?s ?p '''{line}''' }} # {line}")
    for raw in (b"GET /%0d%0a{%22event%22} HTTP/1.1\r\nX-Request-Id: a\nb", b'G"T / HTTP/1.1\r\nX: y', b"GET / HTTP/1.1\r\nX-Request-Id: \x1b[31mred", b"GET /\x85\xe2\x80\xa8 HTTP/1.1\r\nUser-Agent: \xff\x00"):
        spoken(live.url, raw + f" {mark}".encode() + b"\r\nHost: x\r\nConnection: close\r\n\r\n", seconds=1)
    client.get("/healthz"), time.sleep(0.3)

    written = live.log.read_bytes()[start:].decode().splitlines()
    told = [json.loads(each) for each in written]
    assert told and all({"timestamp", "level", "process", "event"} <= set(each) for each in told)
    assert [each for each in written if mark in each or "\x1b" in each or "\x85" in each or "\u2028" in each] == []
