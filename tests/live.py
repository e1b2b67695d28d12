"""A live node: `fmar serve` in a process of its own on loopback, real keys, real HTTP."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from fmar_node.access.caller import Caller
from fmar_node.client import Profile, connect, new_key, public_part
from fmar_node.clock import SystemClock, today
from fmar_node.drafting import Submission
from fmar_node.folder import Folder
from fmar_node.foundation import make_node
from fmar_node.identity import new_record_id
from fmar_node.journal.journal import Batch, Journal
from fmar_node.judge import Paper, judge
from fmar_node.record import uuid_of
from fmar_node.representation import LD_JSON as LINKED
from fmar_node.representation import json_bytes
from fmar_node.settings import Settings
from fmar_node.submit import enter
from tests.market import BARE, battery, organisation, shapes, vocabulary

PARTICIPANTS: dict[str, dict[str, Any]] = {
    "fsp-a": {"roles": ["FSP"]},
    "fsp-b": {"roles": ["FSP"]},
    "fsp-c": {"roles": ["FSP"]},
    "dso-east": {"roles": ["DNO"], "licenceArea": ["UKPN_EPN", "UKPN_LPN"]},
    "dso-south": {"roles": ["DNO"], "licenceArea": ["UKPN_SPN"]},
    "neso": {"roles": ["SYSTEM_OPERATOR"]},
    "regulator": {"roles": ["REGULATOR"]},
    "platform": {"roles": ["PLATFORM"]},
    "installer": {"roles": ["INSTALLER"]},
}
NEVER = 10**12
"""A place of the journal that no test waits for."""
LD_JSON = {"Content-Type": "application/ld+json"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def entered(folder: Path, operator: Profile, participants: dict[str, dict[str, Any]]) -> dict[str, Profile]:
    """Participants of a node that does not run yet: what `fmar participant add` enters over HTTP, judged and permitted like there, in a tenth of the time."""
    home, clock = Folder(folder), SystemClock()
    signing, settings = home.journal_key(operator.node), Settings(base_url=operator.node)
    journal = Journal(home.journal, signing.name, signing, vocabulary().terms, home.lookup_key(), must_exist=True)
    by = Caller(uuid_of(operator.organisation), operator.client_id)

    def act(batch: Batch, action: str, id_: str, document: dict[str, Any]) -> None:
        submission = Submission(by, "organisations", action, id_, operator.node, LINKED, json_bytes(document), ("*",) if action == "approval" else None)
        judgement = judge(Paper("organisations", action, submission.iri, LINKED, submission.body, today(clock)), vocabulary(), shapes(), settings)
        enter(batch, submission, judgement, vocabulary(), today(clock), journal.recorded_now(clock.now()), BARE)

    made: dict[str, Profile] = {}
    with journal.batch() as batch:
        for name, given in participants.items():
            id_, key, terms = new_record_id(), new_key(), {term: value for term, value in given.items() if term != "roles"}
            act(batch, "register", id_, organisation(f"The {name} organisation", given["roles"], **terms))
            act(batch, "approval", id_, {})
            act(batch, "key-registration", id_, {"clientId": name, "applicationName": name, "publicKey": json.dumps(public_part(key))})
            made[name] = Profile(operator.node, operator.issuer, operator.token_endpoint, name, f"{operator.node}/organisations/{id_}", key, operator.ca)
            made[name].save(home.participants / name)
    journal.close()
    return made


class Live:
    """A node with participants; use as a context manager. It has one judge, to start quickly, unless `environment` says otherwise."""

    def __init__(self, folder: Path, participants: dict[str, dict[str, Any]] | None = None, **environment: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.url = folder / "data", f"http://127.0.0.1:{free_port()}"
        self.environment = {**os.environ, "FMAR_JUDGES": "1", **environment}
        self.log = folder / "node.log"
        self.participants = PARTICIPANTS if participants is None else participants
        self.profiles: dict[str, Profile] = {}
        self.clients: dict[str, httpx.Client] = {}
        self.serials = (f"{os.getpid()}-{number}" for number in itertools.count(1))

    def __enter__(self) -> Self:
        self.profiles["operator"] = make_node(self.folder, self.url, organisation("Operator", ["FMAR_OPERATOR"]))
        self.profiles |= entered(self.folder, self.profiles["operator"], self.participants)
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for client in self.clients.values():
            client.close()
        self.stop()

    def start(self) -> None:
        command = [sys.executable, "-m", "fmar_node.cli", "serve", "--data", str(self.folder)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, start_new_session=True)
        deadline = time.monotonic() + 60
        with httpx.Client(base_url=self.url, verify=False) as client:
            while time.monotonic() < deadline:
                try:
                    if client.get("/readyz").status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise RuntimeError(f"the node did not start:\n{self.log.read_text()[-3000:]}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        return self.process.wait(timeout=30)

    def client(self, name: str = "") -> httpx.Client:
        """A participant's client; without a name an anonymous one."""
        if name not in self.clients:
            self.clients[name] = connect(self.profiles[name], patience=0) if name else httpx.Client(base_url=self.url)
        return self.clients[name]

    def battery(self, **changes: Any) -> dict[str, Any]:
        """A valid battery document that no other test has used."""
        return battery(f"LIVE-{next(self.serials)}", **changes)

    def register(self, name: str = "fsp-a", **changes: Any) -> httpx.Response:
        response = self.client(name).post("/assets", json=self.battery(**changes), headers=LD_JSON)
        assert response.status_code == 201, response.text
        return response

    def ask(self, name: str, query: str, after: int | None = None, **headers: str) -> httpx.Response:
        """A SPARQL query by direct POST; `after` waits for that journal index, also where another test has written so much that the node says it is behind."""
        wait = {} if after is None else {"Fmar-Min-Journal-Index": str(after)}
        sent = {"Content-Type": "application/sparql-query", **wait, **headers}
        deadline = time.monotonic() + (60 if after is not None and after < NEVER else 0)
        while True:
            response = self.client(name).post("/sparql", content=query.encode(), headers=sent)
            if response.status_code != 503 or time.monotonic() > deadline:
                return response

    def rows(self, name: str, query: str, after: int | None = None) -> list[dict[str, str]]:
        response = self.ask(name, query, after)
        assert response.status_code == 200, response.text
        return [{key: cell["value"] for key, cell in row.items()} for row in response.json()["results"]["bindings"]]
