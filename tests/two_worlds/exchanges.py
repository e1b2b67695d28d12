"""Requests by a seed that a viewer may send to a world, and what it can tell of the responses."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from fmar_node.kinds import KINDS
from fmar_node.representation import FORMATS, fingerprint
from tests.market import BASE, Market, battery, mpan, organisation
from tests.two_worlds.queries import Maker, Terms
from tests.two_worlds.worlds import instants, versions

ABSENT = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
LD_JSON, MERGE_PATCH, JSON = "application/ld+json", "application/merge-patch+json", "application/json"
EXCEPTED = frozenset({"date", "fmar-journal-index", "fmar-request-id", "ratelimit"})
"""Headers that tell times, sizes and identifiers: the declared exceptions; and what the viewer's own requests have left it, by the clock."""

INDEX = re.compile(r'"(?:journalIndex|index)": ?[0-9]+')

READS = ("", "/versions", "/versions/1", "/versions/2", "/versions/9", "/history", "/proof", "?version=1", "?version=2",
         "?profile=cim", "?profile=cim&format=rdfxml&namespace=cim100", "/versions/1?profile=cim&format=turtle", "/quality", "/quality?format=turtle")  # fmt: skip
FILTERS = (
    "", "managed=me", "assetCategory=BESS", "registrationStatus=VERIFIED", "standing=LIVE", "connectionType=FIRM", "dnoConnection=UKPN_SPN",
    "dnoConnection=UKPN_EPN", "friendlyCode=common-1", "organisationRoles=FSP", "organisationStatus=PENDING_APPROVAL",
    "licenceArea=UKPN_SPN", "serialNumber=SN-1", "format=turtle", "profile=cim", "profile=cim&format=nquads", "nonsense=1", "cursor=nonsense",
)  # fmt: skip
WRITES = (("PUT", ""), ("PATCH", ""), ("POST", "/deregistration"), ("POST", "/suspension"), ("POST", "/key-registration"), ("DELETE", ""))


@dataclass(frozen=True, slots=True)
class Sent:
    """A request; a list is walked to its end by its links."""

    method: str
    path: str
    body: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def walked(self, client: httpx.Client) -> Iterator[httpx.Response]:
        response = client.request(self.method, self.path, content=self.body, headers=self.headers)
        yield response
        while following := response.links.get("next"):
            response = client.request(self.method, following["url"], headers=self.headers)
            yield response

    def answers(self, client: httpx.Client) -> list[tuple[Any, ...]]:
        """What can be told of each response, but for the declared exceptions."""
        return [self._told(response) for response in self.walked(client)]

    def _told(self, response: httpx.Response) -> tuple[Any, ...]:
        headers = sorted((name, value) for name, value in response.headers.items() if name not in EXCEPTED)
        if self.path.split("?")[0].endswith("/proof") and response.status_code == 200:
            return response.status_code, _unsized(headers), opened(response.json()["sections"]) if response.content else {}
        if self.path.endswith("/history") and response.status_code == 200:
            return response.status_code, _unsized(headers), INDEX.sub("", response.text)
        if self.path.startswith("/assets?dry-run") and response.status_code == 200:
            return response.status_code, headers, re.sub(response.json()["document"]["id"], "offered", response.text)
        return response.status_code, headers, response.content


def _unsized(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """An index of more digits makes a longer body."""
    return [each for each in headers if each[0] != "content-length"]


def opened(sections: dict[str, dict[str, str]]) -> dict[str, str]:
    """The sections that a proof opens, without the entry's index in its envelope.

    A personal section that holds a value of a commercial part stays closed where the commercial one does: that bit is left out.
    """
    bodies = {name: base64.b64decode(shown["body"]).decode() for name, shown in sections.items() if "body" in shown}
    if "commercial" not in bodies:
        bodies.pop("personal", None)
    return {name: INDEX.sub("", body) for name, body in bodies.items()}


class Correspondence:
    """Everything that is sent in a viewer's name: the paths and values are those of both worlds."""

    def __init__(self, seed: str, markets: Iterable[Market], view: str) -> None:
        self.dice, self.markets = random.Random(seed), list(markets)
        self.maker = Maker(seed, Terms.of(self.markets), f"{BASE}/views/{view}")
        found = {(version.kind, version.id): version for market in self.markets for version in versions(market)}
        self.records = sorted([*found, ("assets", ABSENT), ("organisations", ABSENT)])
        self.documents = [version.document for version in found.values()]
        self.tags = [fingerprint(document) for document in self.documents]

    def reads(self, count: int, instants: list[str]) -> Iterator[Sent]:
        """Every record once as it is, and so many reads more."""
        for kind, id_ in self.records:
            yield Sent("GET", f"/{kind}/{id_}", headers={"Accept": self.dice.choice([*FORMATS, "text/html"])})
        for _ in range(count):
            kind, id_ = self.dice.choice(self.records)
            part = self.dice.choice([*READS, f"?at={self.dice.choice(instants)}", f"?at={self.dice.choice(instants)}"])
            known = {"If-None-Match": f'"{self.dice.choice(self.tags)}.jsonld"'} if self.dice.random() < 0.2 else {}
            yield Sent(self.dice.choice(["GET", "GET", "GET", "HEAD"]), f"/{kind}/{id_}{part}", headers=known)

    def lists(self) -> Iterator[Sent]:
        for plural in KINDS:
            for narrowed in FILTERS:
                if not narrowed.startswith("cursor"):
                    yield Sent("GET", f"/{plural}?limit={self.dice.choice([1, 3, 7, 500])}&{narrowed}")
        yield from (Sent("GET", f"/assets/export?format={short}") for short in ("ndjson", "csv", "nq", "ttl", "ndjson&profile=cim", "nq&profile=cim"))
        yield Sent("GET", "/assets?cursor=nonsense")
        for name in sorted({document["queryName"] for document in self.documents if document["type"] == "SavedQuery"} | {"portfolio", "absent"}):
            yield from (Sent("GET", f"/queries{path}") for path in (f"/{name}?format=csv", f"/{name}?area=UKPN_EPN", f"/{name}?aera=x", f"?name={name}"))
        yield from (Sent("GET", f"/queries?limit={limit}", headers={"Accept": kind}) for limit, kind in ((1, JSON), (4, JSON), (500, "text/html")))

    def lookups(self, count: int) -> Iterator[Sent]:
        assets = [document for document in self.documents if document["type"] == "Asset"]
        for _ in range(count):
            asked = self.dice.choice(list(_identifiers(self.dice.choice(assets))))
            yield Sent("POST", "/assets/lookup", json.dumps(asked), {"Content-Type": JSON})
            several = [self.dice.choice(list(_identifiers(self.dice.choice(assets)))) for _ in range(self.dice.randint(1, 5))]
            yield Sent("POST", "/assets/lookup", json.dumps({"identifiers": several}), {"Content-Type": JSON})

    def writes(self, count: int) -> Iterator[Sent]:
        """Changes of records that are not the viewer's, and trials: nothing of it is written."""
        for _ in range(count):
            kind, id_ = self.dice.choice(self.records)
            method, part = self.dice.choice(WRITES)
            media_type = MERGE_PATCH if method == "PATCH" else LD_JSON
            condition = self.dice.choice([{}, {"If-Match": "*"}, {"If-Match": f'"{self.dice.choice(self.tags)}.jsonld"'}])
            body = self.dice.choice(['{"assetName": "Other"}', '{"nonsense": 1}', "{", ""])
            yield Sent(method, f"/{kind}/{id_}{part}?dry-run=true", body, {"Content-Type": media_type, **condition})
        yield Sent("POST", "/assets?dry-run=true", json.dumps(battery("FREE-1", importMPAN=mpan(77_001), exportMPAN=None)), {"Content-Type": LD_JSON})
        yield Sent("POST", "/assets?dry-run=true", json.dumps(battery("FREE-2", assetCategory="WIND")), {"Content-Type": LD_JSON})
        yield Sent("POST", "/organisations", json.dumps(organisation("Other", ["FSP"])), {"Content-Type": LD_JSON})
        for owner in self.records[::5]:
            named = battery("FREE-3", owner=f"{owner[0]}/{owner[1]}", ownerName=None, justification=None, importMPAN=mpan(77_003), exportMPAN=None)
            if owner[0] == "organisations":
                yield Sent("POST", "/assets?dry-run=true", json.dumps(named), {"Content-Type": LD_JSON})

    def rest(self, count: int) -> Iterator[Sent]:
        """Queries of every protocol form, options, and what is no address."""
        for question in self.maker.questions(count):
            media_type = question.accept[0] if question.accept else "*/*"
            yield Sent("POST", "/sparql", question.text, {"Content-Type": "application/sparql-query", "Accept": media_type})
        for kind, id_ in self.records[::7]:
            origin = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "PUT"}
            yield Sent("OPTIONS", f"/{kind}/{id_}", headers=origin)
            yield Sent("GET", f"/{kind}/{id_}/nothing")

    def all(self, story: Any, size: int) -> list[Sent]:
        return [*self.reads(size, instants(story)), *self.lists(), *self.lookups(size // 2), *self.writes(size // 2), *self.rest(size)]


def _identifiers(asset: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Every way to look an asset up, whoever may."""
    for term in ("importMPAN", "exportMPAN"):
        if term in asset:
            yield {"scheme": "MPAN", "value": asset[term]}
    for thing in (asset, *asset.get("device", ())):
        if "serialNumber" in thing:
            yield {"scheme": "SERIAL", "value": thing["serialNumber"]}
            yield {"scheme": "SERIAL", "value": thing["serialNumber"], "manufacturer": thing.get("manufacturer", "")}
            yield {"scheme": "SERIAL", "value": f"|{thing['serialNumber']}"}
    if "friendlyCode" in asset:
        yield {"scheme": "FRIENDLY_CODE", "value": asset["friendlyCode"]}
    for alias in asset.get("alias", ()):
        yield {"scheme": alias["scheme"], "value": alias["value"]}
