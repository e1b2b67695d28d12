"""Oracles and abuse, C1 to C10: whether an answer, its headers, its size or its time tell of what the caller may not know."""

from __future__ import annotations

import itertools
import json
import math
import random
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from fmar_node.client import new_key, public_part
from fmar_node.identity import new_record_id
from fmar_node.kinds import KINDS
from tests.live import Live
from tests.market import Market, battery, mpan, organisation
from tests.web.test_credentials_http import newcomer

LD_JSON, MERGE = {"Content-Type": "application/ld+json"}, {"Content-Type": "application/merge-patch+json"}
ALLOWED = frozenset({"date", "fmar-request-id", "ratelimit"})
"""Headers that differ from request to request: the last tells a caller what it has left, and nothing but that."""
NOBODYS = '"0123456789abcdef.jsonld"'


# -- C1: what is not there and what is not yours


@dataclass(frozen=True)
class Ask:
    """A request about a record, whichever it is."""

    method: str
    suffix: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def send(self, client: httpx.Client, room: str, id_: str) -> tuple[int, list[tuple[str, str]], bytes]:
        """What there is to be told from the answer, with the id taken out of it."""
        response = client.request(self.method, f"/{room}/{id_}{self.suffix}", headers=list(self.headers), content=self.body or None)
        headers = [(name.lower(), value) for name, value in response.headers.multi_items() if name.lower() not in ALLOWED]
        return response.status_code, headers, response.content.replace(id_.encode(), b"ID")


def asks(room: str, tag: str) -> list[Ask]:
    """Every way to ask about a record of a kind."""
    parts = ("", "/versions", "/versions/1", "/versions/2", "/history", "/proof", "?version=1", "?version=9", "?at=2026-01-01", "?at=2030-01-01T00:00:00Z", "?format=turtle", "?format=html", "?format=docx", "/nothing")
    conditions = [(), (("If-Match", "*"),), (("If-Match", tag),), (("If-Match", NOBODYS),)]
    reads = [Ask(method, part) for method in ("GET", "HEAD") for part in parts]
    known = [Ask("GET", "", (("If-None-Match", each),)) for each in (tag, "*", NOBODYS)] + [Ask("GET", "", (("Accept", each),)) for each in ("text/turtle", "image/png", "text/html")]
    preflight = (("Origin", "https://elsewhere.example"), ("Access-Control-Request-Method", "PUT"))
    others = [Ask("OPTIONS"), Ask("OPTIONS", "", preflight), Ask("DELETE"), Ask("POST")]
    bodies = [b"{}", b'{"assetName": "x"}', b"{", b"", b"[]", json.dumps(battery("C1")).encode()]
    writes = [
        Ask(method, dry, (*media.items(), *condition), body)
        for method, media in (("PUT", LD_JSON), ("PATCH", MERGE)) for condition in conditions for body in bodies[:4] for dry in ("", "?dry-run=true")
    ]  # fmt: skip
    wrong = [Ask("PUT", "", (("Content-Type", "text/plain"), ("If-Match", "*")), b"x"), Ask("PATCH", "", (*MERGE.items(), ("If-Match", "x")), b"{}"), Ask("PATCH", "?dry-run=maybe", (*MERGE.items(), ("If-Match", "*")), b"{}")]
    acts = [
        Ask("POST", f"/{action.name}", (*LD_JSON.items(), *key), body)
        for action in KINDS[room].actions.values() if not action.takes_document
        for body in (b"", b"{}", b'{"deregistrationReason": "ERROR"}', b"{") for key in ((), (("Prefer", "return=minimal"),))
    ]  # fmt: skip
    return [*reads, *known, *others, *writes, *wrong, *acts]


def random_ids(count: int, like: str) -> Iterator[str]:
    """Ids of no record: half of them look like those that the node gives."""
    dice = random.Random(1)
    for number in range(count):
        yield str(uuid.UUID(int=dice.getrandbits(128), version=4)) if number % 2 else like[:18] + str(uuid.UUID(int=dice.getrandbits(128), version=4))[18:]


def hidden_records(live: Live) -> dict[str, str]:
    """An asset of fsp-a outside everybody's area, and an organisation that nobody has approved."""
    asset = live.register("fsp-a").json()
    pending = live.client("operator").post("/organisations", json=organisation(f"Pending {next(live.serials)}", ["FSP"])).json()
    return {"assets": asset["id"].rsplit("/", 1)[1], "organisations": pending["id"].rsplit("/", 1)[1]}


COUNTS = [pytest.param(400, id="400"), pytest.param(10_000, id="10000", marks=[pytest.mark.campaign, pytest.mark.timeout(1_200)])]


@pytest.mark.parametrize("count", COUNTS)
def test_what_is_hidden_answers_as_what_is_not_there(live: Live, count: int) -> None:
    """C1: every read, write, action, HEAD, OPTIONS and condition: status, headers and bytes, against random ids."""
    hidden, unequal, sent = hidden_records(live), [], 0
    viewers = ("fsp-b", "dso-south", "platform", "")
    ways = [(viewer, room, ask) for room, id_ in hidden.items() for viewer in viewers for ask in asks(room, tag_of(live, room, id_))]
    every = ways if count > 1_000 else [way for way in ways if way[0] == "fsp-b" and way[1] == "assets"] + ways[:: max(1, len(ways) // 250)]
    expected = {}
    for way, absent in zip(itertools.cycle(every), random_ids(count, hidden["assets"]), strict=False):
        viewer, room, ask = way
        if way not in expected:
            expected[way] = ask.send(live.client(viewer), room, hidden[room])
        told = ask.send(live.client(viewer), room, absent)
        sent += 1
        if told != expected[way] or told[0] >= 500:
            unequal.append((viewer, room, ask, expected[way], told))

    assert unequal[:3] == []
    assert sent == count and {answer[0] for answer in expected.values()} >= {400, 401, 404, 405, 415}
    assert live.client("fsp-a").get(f"/assets/{hidden['assets']}").json()["version"] == 1


def tag_of(live: Live, room: str, id_: str) -> str:
    return live.client("fsp-a" if room == "assets" else "operator").get(f"/{room}/{id_}").headers["ETag"]


@pytest.mark.parametrize("scheme", ["MPAN", "SERIAL", "FRIENDLY_CODE", "ECR"])
def test_a_lookup_of_what_is_hidden_is_one_of_nothing(live: Live, scheme: str) -> None:
    """C1, C3: by every identifier."""
    code = f"code-{next(live.serials)}"
    held = live.register("fsp-a", friendlyCode=code, alias=[{"scheme": "ECR", "value": code}]).json()
    values = {"MPAN": (held["importMPAN"], mpan(5_000_001)), "SERIAL": (held["serialNumber"], "free"), "FRIENDLY_CODE": (code, "free"), "ECR": (code, "free")}[scheme]

    answers = [live.client("fsp-b").post("/assets/lookup", json={"scheme": scheme, "value": value}) for value in values]

    assert answers[0].status_code == answers[1].status_code == 404
    assert answers[0].content == answers[1].content


# -- C2: time


def ks_test(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """The two-sample Kolmogorov-Smirnov statistic, and its asymptotic p-value."""
    left, right = sorted(one), sorted(other)
    i = j = 0
    distance = 0.0
    while i < len(left) and j < len(right):
        at = min(left[i], right[j])
        while i < len(left) and left[i] <= at:
            i += 1
        while j < len(right) and right[j] <= at:
            j += 1
        distance = max(distance, abs(i / len(left) - j / len(right)))
    root = math.sqrt(len(left) * len(right) / (len(left) + len(right)))
    scaled = (root + 0.12 + 0.11 / root) * distance
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101)) if scaled > 0.2 else 1.0
    return distance, min(1.0, max(0.0, p))


def test_the_statistic_tells_a_difference_and_none() -> None:
    """C2: what the campaign measures with."""
    dice = random.Random(2)
    one, same, later = ([dice.gauss(mean, 1) for _ in range(2_000)] for mean in (10, 10, 10.3))

    assert ks_test(one, same)[1] > 0.01 > ks_test(one, later)[1]


@pytest.mark.campaign
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("way", [Ask("GET"), Ask("GET", "/history"), Ask("PATCH", "", (*MERGE.items(), ("If-Match", "*")), b"{}"), Ask("POST", "/deregistration", tuple(LD_JSON.items()), b"{}")], ids=lambda way: f"{way.method}{way.suffix}")
def test_time_does_not_tell_the_hidden_from_the_absent(live: Live, way: Ask, capsys: pytest.CaptureFixture[str]) -> None:
    """C2: two thousand pairs, each pair in random order: the medians differ by less than 5 %, the distributions are one."""
    hidden = [live.register("fsp-a").json()["id"].rsplit("/", 1)[1] for _ in range(20)]
    live.register("fsp-a")  # so that there are records on both sides of each
    absent = [next(random_ids(1, id_)) for id_ in hidden]
    client, dice = live.client("fsp-b"), random.Random(3)
    times: dict[str, list[float]] = {"hidden": [], "absent": []}
    for place in range(2_100):
        pair = [("hidden", hidden[place % 20]), ("absent", absent[place % 20])]
        dice.shuffle(pair)
        for name, id_ in pair:
            began = time.perf_counter()
            way.send(client, "assets", id_)
            times[name].append(time.perf_counter() - began)

    one, other = times["hidden"][100:], times["absent"][100:]
    medians = statistics.median(one), statistics.median(other)
    distance, p = ks_test(one, other)
    with capsys.disabled():
        print(f"\n{way.method} {way.suffix}: medians {medians[0] * 1000:.3f} and {medians[1] * 1000:.3f} ms, D = {distance:.4f}, p = {p:.4f}")
    assert abs(medians[0] - medians[1]) < 0.05 * medians[1]
    assert p > 0.01


# -- C3, C4: identifiers of others


def test_a_conflict_tells_one_bit_and_nothing_of_the_holder(live: Live) -> None:
    """C3, C8: neither in words, nor in the report, nor in the headers: whoever the holder is, the answer is the same."""
    held = [live.register(name, manufacturer="Acme Storage").json() for name in ("fsp-a", "fsp-c")]

    answers = [live.client("fsp-b").post("/assets", json=live.battery(serialNumber=each["serialNumber"])) for each in held]

    for answer, record in zip(answers, held, strict=True):
        assert answer.status_code == 409
        said = answer.text + str(answer.headers)
        secrets = (record["id"].rsplit("/", 1)[1], record["managedBy"].rsplit("/", 1)[1], record["assetName"], record["importMPAN"], record["recordedAt"], "fsp-a", "fsp-c")
        assert [each for each in secrets if each in said] == []
    assert answers[0].text == answers[1].text


def probing(live: Live, name: str, **changes: Any) -> httpx.Response:
    return live.client(name).post("/assets?dry-run=true", json=live.battery(**changes))


def a_newcomer(live: Live) -> str:
    """The name of a provider whose answers nobody has counted yet."""
    name, profile = newcomer(live)
    live.profiles[name] = profile
    return name


def test_probing_for_identifiers_of_others_ends(few: Live) -> None:
    """C3: serial numbers and meter points: after so many answers that tell, none does, by no route."""
    held, name = few.register("fsp-a").json(), a_newcomer(few)
    shared = {"importMPAN": held["importMPAN"], "exportMPAN": held["exportMPAN"]}

    told = [probing(few, name, serialNumber=held["serialNumber"]).status_code for _ in range(3)] + [probing(few, name, **shared).status_code for _ in range(4)]
    batch = few.client(name).post("/assets/batch?dry-run=true", content=json.dumps([few.battery(serialNumber=held["serialNumber"])]), headers={"Content-Type": "application/json"})

    assert told == [409] * 3 + [422] * 2 + [429] * 2
    assert json.loads(batch.text.splitlines()[0])["status"] == 429
    assert few.client(name).post("/assets", json=few.battery()).status_code == 201


def test_probing_ends_also_beside_an_asset_of_ones_own(few: Live) -> None:
    """C3: a document that repeats an asset of one's own and names a meter point of others tells of others all the same."""
    held, name = few.register("fsp-a").json(), a_newcomer(few)
    own = few.client(name).post("/assets", json=few.battery()).json()

    told = [probing(few, name, serialNumber=own["serialNumber"], importMPAN=held["importMPAN"], exportMPAN=held["exportMPAN"]) for _ in range(7)]

    assert told[-1].status_code == 429


def test_what_is_at_a_meter_point_is_not_found_by_trying(live: Live) -> None:
    """C3: its category and capacity would be, by when a document is told to be probably the same."""
    held, name = live.register("fsp-a").json(), a_newcomer(live)

    told = [probing(live, name, importMPAN=held["importMPAN"], **{term: f"{size}.00" for term in ("ratedCapacity", "installedCapacity", "genCapacity")}).status_code for size in range(480, 492)]

    assert told == [422] * 10 + [429] * 2
    assert probing(live, name, importMPAN=live.register("fsp-a").json()["importMPAN"]).status_code == 422


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node that tells of others five times an hour."""
    with Live(tmp_path_factory.mktemp("few"), {"fsp-a": {"roles": ["FSP"]}}, FMAR_PROBES_PER_HOUR="5") as node:
        yield node


def test_a_friendly_code_says_nothing_to_others(live: Live) -> None:
    """C4: it is unique within an organisation; another one registers the same, is not told, and does not find the first."""
    code = f"code-{next(live.serials)}"
    first, second = (live.register(name, friendlyCode=code) for name in ("fsp-a", "fsp-b"))

    listed = live.client("fsp-b").get("/assets", params={"friendlyCode": code}).json()["items"]
    found = live.client("fsp-b").post("/assets/lookup", json={"scheme": "FRIENDLY_CODE", "value": code}).json()["items"]

    assert [each["id"] for each in listed] == [each["id"] for each in found] == [second.json()["id"]]
    assert first.json()["id"] != second.json()["id"]
    assert live.client("fsp-a").post("/assets", json=live.battery(friendlyCode=code)).status_code == 409


# -- C5: identifiers


def test_an_id_tells_its_time_and_no_more() -> None:
    """C5: version 7, whose leak is documented: beside the time nothing can be guessed from the last ids that were given."""
    ids = [uuid.UUID(new_record_id()) for _ in range(4_000)]

    random_part = [each.int & (2**32 - 1) for each in ids]
    ones = [sum(value >> bit & 1 for value in random_part) / len(ids) for bit in range(32)]
    steps = [abs(later - earlier) for earlier, later in itertools.pairwise(random_part)]
    assert {each.version for each in ids} == {7} and len(set(ids)) == len(ids)
    assert all(0.45 < share < 0.55 for share in ones)
    assert sum(step < 2**20 for step in steps) < 20


# -- C7: caches


@pytest.mark.parametrize("suffix", ["", "/versions", "/versions/1", "/history", "/proof"])
def test_no_cache_in_between_keeps_an_answer_and_each_viewer_has_its_own_tag(live: Live, suffix: str) -> None:
    """C7: private, by credential, and the tag is that of the view: who sees less gets another one."""
    iri = live.register("fsp-a").json()["id"] + suffix
    answers = {name: live.client(name).get(iri) for name in ("fsp-a", "dso-east", "neso", "operator", "fsp-b", "")}

    for answer in answers.values():
        assert "private" in answer.headers["Cache-Control"]
        assert {"Authorization", "DPoP", "Accept"} <= set(answer.headers["Vary"].split(", "))
    tags = [answers[name].headers.get("ETag") for name in ("fsp-a", "dso-east", "neso")]
    assert len(set(tags)) == (3 if tags[0] else 1)
    assert [answers[name].status_code for name in ("fsp-b", "")] == [404, 404]
    assert [name for name in ("ETag", "Last-Modified") if name in answers["fsp-b"].headers] == []


def test_a_change_that_is_not_seen_changes_no_header(live: Live) -> None:
    """C7: neither tag, nor date, nor length, nor the count of versions."""
    made = live.register("fsp-a")
    iri = made.json()["id"]

    def seen() -> list[Any]:
        told = []
        for suffix in ("", "?format=turtle", "?format=html", "/versions", "/history"):
            answer = live.client("neso").get(iri + suffix)
            told.append((answer.status_code, [(name, value) for name, value in answer.headers.items() if name not in ALLOWED], answer.content))
        return told

    before = seen()
    changed = live.client("fsp-a").patch(iri, content=b'{"manufacturer": "Another", "friendlyCode": "fc-x"}', headers={**MERGE, "If-Match": made.headers["ETag"]})

    assert changed.status_code == 200
    assert seen() == before


def test_a_tag_of_anothers_view_opens_nothing(live: Live) -> None:
    """C7: whoever brings the manager's tag is not told that it is the right one."""
    made = live.register("fsp-a")
    iri, tag = made.json()["id"], made.headers["ETag"]

    known = live.client("neso").get(iri, headers={"If-None-Match": tag})
    changes = [live.client("dso-east").patch(iri, content=b"{}", headers={**MERGE, "If-Match": each}) for each in (tag, NOBODYS)]

    assert known.status_code == 200
    assert [each.status_code for each in changes] == [403, 403]
    assert changes[0].content == changes[1].content


# -- C8: words


def test_a_report_speaks_of_nothing_but_what_was_sent(live: Live) -> None:
    """C8: every IRI in a refusal is of the document, of the vocabulary, or of the node's own pages."""
    others = [live.register(name).json() for name in ("fsp-a", "fsp-c")]
    document = live.battery(
        serialNumber=others[0]["serialNumber"], importMPAN=others[1]["importMPAN"], exportMPAN=others[0]["exportMPAN"], owner=others[0]["id"], ownerName=None, assetCategory="NONE",
        ratedCapacity="-1", device=[{"deviceType": "", "ratedCapacity": "x"}], justification=[{"rule": "A99", "text": ""}], commissioningDate="2999-01-01",
    )  # fmt: skip

    answer = live.client("fsp-b").post("/assets", json=document)

    said = answer.text.replace(others[0]["id"], "SENT").replace(others[0]["serialNumber"], "SENT")
    assert answer.status_code == 422
    for record in others:
        assert [each for each in (record["id"].rsplit("/", 1)[1], record["managedBy"].rsplit("/", 1)[1], record["importMPAN"], record["exportMPAN"], record["recordedAt"]) if each in said] == []
    iris = {word.strip('",') for word in said.split() if word.strip('",').startswith("http")}
    assert {iri for iri in iris if not iri.startswith(("https://w3id.org/fmar/", "http://www.w3.org/ns/shacl#", f"{live.url}/problems/"))} == set()


def test_a_key_of_somebody_else_is_refused_without_saying_whose(live: Live) -> None:
    """C8: whoever has registered it."""
    answers = []
    for name in ("fsp-a", "fsp-c", "operator"):
        note = {"clientId": f"app-{next(live.serials)}", "publicKey": json.dumps(public_part(live.profiles[name].key))}
        answers.append(live.client("fsp-b").post(f"{live.profiles['fsp-b'].organisation}/key-registration", json=note))
    fresh = {"clientId": "fsp-a", "publicKey": json.dumps(public_part(new_key()))}
    taken = live.client("fsp-b").post(f"{live.profiles['fsp-b'].organisation}/key-registration", json=fresh)

    assert {answer.status_code for answer in (*answers, taken)} == {409}
    assert len({answer.content for answer in answers}) == 1
    assert [name for name in ("fsp-a", "fsp-c", "operator") if any(live.profiles[name].organisation.rsplit("/", 1)[1] in answer.text for answer in (*answers, taken))] == []


def test_verdicts_on_what_is_hidden_are_those_on_what_is_not_there(market: Market) -> None:
    """C8: owners, survivors and parts that a document may name: hidden and absent are one fault in one wording."""
    from fmar_node.errors import FmarError

    hidden = market.submit(market.callers["fsp-a"], "assets", battery("HID-1")).id
    pending = market.submit(market.callers["operator"], "organisations", organisation("Pending", ["FSP"])).id
    own = market.submit(market.callers["fsp-b"], "assets", battery("OWN-1")).id
    told = []
    for there, absent in ((hidden, new_record_id()), (pending, new_record_id())):
        for id_ in (there, absent):
            with pytest.raises(FmarError) as survivor:
                market.act(market.callers["fsp-b"], "assets", own, "deregistration", deregistrationReason="DUPLICATE", survivor=f"assets/{id_}")
            with pytest.raises(FmarError) as owner:
                market.submit(market.callers["fsp-b"], "assets", battery("OWN-2", owner=f"organisations/{id_}", ownerName=None, justification=None))
            told.append(str([each.value.faults for each in (survivor, owner)]).replace(id_, "ID"))

    assert told[0] == told[1] == told[2] == told[3]
