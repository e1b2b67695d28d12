"""A register over HTTP: a live node with participants who have keys of their own, killed and started again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from fmar_node.clock import SystemClock, today
from tests.killing import AGAIN, WRITER, assert_sound, children, kill, kill_node, wait_for_others
from tests.live import LD_JSON, Live
from tests.model.near import fields
from tests.model.oracle import Answer, Document, Oracle, Request, refused
from tests.model.subject import linked, plain

PARTICIPANTS: dict[str, dict[str, Any]] = {
    "fsp-a": {"roles": ["FSP"]},
    "fsp-b": {"roles": ["FSP"]},
    "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN", "UKPN_LPN"]},
    "dso-south": {"roles": ["DNO"], "licenceArea": ["UKPN_SPN"]},
    "neso": {"roles": ["SYSTEM_OPERATOR"]},
    "regulator": {"roles": ["REGULATOR"]},
}
SETTINGS = {"FMAR_FRESHNESS_SECONDS": "30", "FMAR_PROBES_PER_HOUR": "1000000", "FMAR_LOOKUPS_PER_HOUR": "1000000", "FMAR_REFUSAL_SECONDS": "0"}
MERGE = {"Content-Type": "application/merge-patch+json"}
NO_TAG = '"0000000000000000-jsonld"'
PATIENCE = 30.0


class Far:
    """The subject of a walk over HTTP. Who has left, or came without a key, has no credential and does nothing."""

    def __init__(self) -> None:
        self.room = TemporaryDirectory(prefix="fmar-model-")
        self.live = Live(Path(self.room.name), PARTICIPANTS, **SETTINGS)
        self.live.__enter__()
        self.participants = {name: profile.organisation.rsplit("/", 1)[-1] for name, profile in self.live.profiles.items()}
        self.names = {"": "", **{id_: name for name, id_ in self.participants.items()}}
        self.oracle = Oracle({})

    def begin(self, oracle: Oracle) -> None:
        self.oracle, operator = oracle, self.live.client("operator")
        found = []
        for id_ in self.participants.values():
            for line in operator.get(f"/organisations/{id_}/history").json()["items"]:
                document = operator.get(f"/organisations/{id_}/versions/{line['version']}").json()
                found.append((line["journalIndex"], id_, plain(document)))
        for index, id_, document in sorted(found, key=lambda each: each[0]):
            assert index == oracle.size
            oracle.keep("organisations", id_, document, document["recordedAt"], document["recordedBy"])

    def viewers(self, oracle: Oracle) -> list[str]:
        return ["", *(id_ for id_ in self.participants.values() if oracle.is_admitted(id_))]

    def today(self) -> str:
        return today(SystemClock()).isoformat()

    def client(self, caller: str) -> httpx.Client:
        return self.live.client(self.names[caller])

    # -- writing

    def write(self, request: Request) -> Answer:
        return self._told(self._sent(request))

    def attempt(self, request: Request) -> Answer:
        return self._told(self._sent(request, {"dry-run": "true"}))

    def _sent(self, request: Request, params: Mapping[str, str] | None = None) -> httpx.Response:
        path = "/".join(("", request.kind, *([request.id] if request.id else [])))
        path += "" if request.is_document else f"/{request.action}"
        headers = dict(MERGE if request.method == "PATCH" else LD_JSON)
        if request.key:
            headers["Idempotency-Key"] = request.key
        if request.basis is not None:
            headers["If-Match"] = "*" if request.basis == "*" else self._tag(request.kind, request.id, int(request.basis))
        return self.client(request.caller).request(request.method, path, json=linked(request.document), headers=headers, params=params)

    def _tag(self, kind: str, id_: str, number: int) -> str:
        for operator in self._operators():
            response = self.client(operator).get(f"/{kind}/{id_}/versions/{number}")
            return response.headers.get("ETag", NO_TAG)
        return NO_TAG

    def _operators(self) -> list[str]:
        """Those who see everything."""
        return [id_ for id_ in self.viewers(self.oracle) if id_ and self.oracle.has(id_, "FMAR_OPERATOR")]

    def _told(self, response: httpx.Response) -> Answer:
        said = response.json()
        if not response.is_success:
            assert response.status_code < 500, response.text
            return refused(said["code"], *(each["code"] for each in said.get("errors", ()) if each["severity"] in "RJ"))
        if "Fmar-Journal-Index" not in response.headers:
            return Answer()
        index = int(response.headers["Fmar-Journal-Index"])
        return Answer(said["id"].rsplit("/", 1)[-1], said.get("version", 0), index, index < self.oracle.size)

    def time(self, kind: str, id_: str) -> str:
        for viewer in [*self._operators(), *self.viewers(self.oracle)]:
            response = self.client(viewer).get(f"/{kind}/{id_}")
            if response.is_success and "recordedAt" in response.json():
                return str(response.json()["recordedAt"])
        raise AssertionError("nobody sees when it was recorded")

    # -- reading

    def read(self, caller: str, kind: str, id_: str, number: int | None = None, at: str | None = None) -> Document | None:
        path = f"/{kind}/{id_}" if number is None else f"/{kind}/{id_}/versions/{number}"
        response = self.client(caller).get(path, params={} if at is None else {"at": at})
        assert response.status_code in (200, 404), response.text
        return plain(response.json()) if response.status_code == 200 else None

    def count(self, caller: str, kind: str, id_: str) -> int:
        response = self.client(caller).get(f"/{kind}/{id_}/versions")
        assert response.status_code in (200, 404), response.text
        return len(response.json()["items"]) if response.status_code == 200 else 0

    def page(self, caller: str, kind: str, limit: int, managed: bool, equal: Mapping[str, str]) -> list[str]:
        params = {"limit": str(limit), **equal, **({"managed": "me"} if managed else {})}
        response = self.client(caller).get(f"/{kind}", params=params)
        found = []
        while True:
            assert response.status_code == 200, response.text
            found += [item["id"].rsplit("/", 1)[-1] for item in response.json()["items"]]
            if (following := response.json().get("next")) is None:
                return found
            response = self.client(caller).get(following)

    def look_up(self, caller: str, scheme: str, value: str) -> list[str]:
        response = self.client(caller).post("/assets/lookup", json={"scheme": scheme, "value": value})
        assert response.status_code in (200, 404), response.text
        return [item["assetId"] for item in response.json()["items"]] if response.status_code == 200 else []

    def graph(self, caller: str, *, public: bool = False) -> dict[str, set[str]]:
        where = f"GRAPH <{self.live.url}/views/public> {{ ?s ?p ?o }}" if public else "?s ?p ?o"
        rows = self.live.rows(self.names[caller], f"SELECT DISTINCT ?s ?p WHERE {{ {where} }}", after=self.oracle.size - 1)
        return fields((row["s"], row["p"]) for row in rows)

    # -- the end, and again

    def crash(self, how: str) -> None:
        if how == "now":
            kill_node(self.live)
            self.live.start()
        else:
            wait_for_others(self.live, WRITER, kill(children(self.live, WRITER)))

    def crash_while_writing(self, request: Request, how: str) -> None:
        """The writer, or all of the node, is killed while a request with an idempotency key is on its way."""
        self.client(request.caller)
        with ThreadPoolExecutor(1) as pool:
            sent = pool.submit(self._sent, request)
            time.sleep({"at once": 0.0, "soon": 0.004, "a little later": 0.012}[how])
            killed = kill(children(self.live, WRITER))
            with suppress(httpx.HTTPError):
                sent.result()
        wait_for_others(self.live, WRITER, killed)

    def insist(self, request: Request) -> Answer:
        """Asked until the node says what became of it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            response = self._sent(request)
            if response.is_success or response.json()["code"] not in AGAIN:
                return self._told(response)
            assert time.monotonic() < deadline, response.text
            time.sleep(0.05)

    # -- checks

    def check(self, oracle: Oracle) -> None:
        """The journal is as long as the oracle's: nothing is lost, and nothing that was refused is in it."""
        assert int(self.live.client().get("/journal/checkpoint").text.split("\n")[1]) == oracle.size

    def close(self, oracle: Oracle) -> None:
        try:
            self.live.__exit__(None, None, None)
            assert_sound(self.live)
        finally:
            self.room.cleanup()
