"""What trust costs: credentials verified in a second, and the overhead of a credential on a request.

Each figure is the median of rounds that take turns with something plain: a bare ECDSA check of the same bytes, the same answer
without a credential.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from fmar_node.access.key import SigningKeys
from fmar_node.client import connect, new_key
from fmar_node.clock import SystemClock
from fmar_node.settings import Settings
from tests.access.conftest import Desk
from tests.live import LD_JSON, Live

HEAD = "| work | node | beside | ratio |\n|---|---|---|---|"
ROUNDS, EACH = 7, 300


def measured() -> list[str]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory(prefix="fmar-trust-") as folder:
        return [*verification(Path(folder)), *overhead(Path(folder))]


def verification(folder: Path) -> list[str]:
    """Token and proof verified in this process; a request has one proof, a token is in memory from its second request on."""
    desk = Desk(SigningKeys.generate(folder / "token.jwks"), new_key(), Settings(token_seconds=600), SystemClock())
    key = generate_private_key(SECP256R1())
    message = b"x" * 700
    signature = key.sign(message, ECDSA(SHA256()))

    def bare() -> float:
        public = key.public_key()
        return _timed([lambda: public.verify(signature, message, ECDSA(SHA256()))] * EACH)

    def known() -> float:
        token = desk.token()
        desk.verify(token)
        return _timed([partial(desk.verify, token, desk.proof(token=token)) for _ in range(EACH)])

    def new() -> float:
        pairs = [(token, desk.proof(token=token)) for token in (desk.forged() for _ in range(EACH))]
        return _timed([partial(desk.verify, *pair) for pair in pairs])

    rows = []
    for what, round_ in (("credential, token in memory: one proof checked", known), ("credential, token not seen before: token and proof checked", new)):
        ours, theirs = _in_turn(round_, bare)
        rows.append(f"| {what} | {EACH / ours:,.0f}/s | bare ES256 checks of as many bytes: {EACH / theirs:,.0f}/s | {theirs / ours:.2f} |")
    return rows


def overhead(folder: Path) -> list[str]:
    """The same public record and the same query over HTTP, with a credential and without, one request after the other."""
    with Live(folder / "live", {"fsp-a": {"roles": ["FSP"]}}, FMAR_ORGANISATION_REQUESTS="0", FMAR_APPLICATION_REQUESTS="0", FMAR_ANONYMOUS_REQUESTS="0") as node:
        public = node.register(alias=[{"scheme": "ECR", "value": "bench"}]).headers["Location"]
        node.ask("fsp-a", "ASK {}", after=0)
        point = f"SELECT ?name WHERE {{ GRAPH <{node.url}/views/public> {{ <{public}> <https://w3id.org/fmar/ns#assetCategory> ?name }} }}"
        with connect(node.profiles["fsp-a"]) as own, httpx.Client(base_url=node.url) as anybody:
            return [
                _row("list of one organisation", own, anybody, lambda client: client.get("/organisations?limit=1")),
                _row("point lookup by SPARQL", own, anybody, lambda client: client.post("/sparql", content=point, headers={**LD_JSON, "Content-Type": "application/sparql-query"})),
            ]


def _row(what: str, own: httpx.Client, anybody: httpx.Client, ask: Callable[[httpx.Client], httpx.Response]) -> str:
    def answered(client: httpx.Client) -> Callable[[], float]:
        def round_() -> float:
            took = 0.0
            for _ in range(EACH // 3):
                answer = ask(client)
                assert answer.status_code == 200, answer.text
                took += answer.elapsed.total_seconds()
            return took

        return round_

    ours, theirs = _in_turn(answered(own), answered(anybody))
    each = EACH // 3
    return f"| {what}, with DPoP credential (the client's own signature left out) | {1000 * ours / each:.2f} ms | the same without a credential: {1000 * theirs / each:.2f} ms | {ours / theirs:.2f} |"


def _timed(calls: Sequence[Callable[[], object]]) -> float:
    began = time.perf_counter()
    for call in calls:
        call()
    return time.perf_counter() - began


def _in_turn(one: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    pairs = [(one(), other()) for _ in range(ROUNDS)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)
