"""Every limit and switch of a node, with its unit and default, in one frozen object.

Read once (`Settings.read`) from `node.toml` in the data folder, overridden by `FMAR_*` environment
variables (`FMAR_QUERY_SECONDS=10`), and passed on; nothing else in the package reads the environment.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fmar_node.errors import Malformed

COMPANIES_REGISTER = "COMPANIES_REGISTER"
"""The name of a source that a node may be set to ask; a code of EvidenceKind."""
NOT_SETTINGS = frozenset({"FMAR_SUITES"})
"""FMAR_* names that mean something to others: where the tests find the public suites."""


class Settings(BaseModel):
    """A node's settings. Sizes are bytes, times are seconds, unless the name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # who and where
    base_url: str = Field("http://127.0.0.1:8080", description="what every IRI of this node begins with; fixed when the node is made")
    node_name: str = Field("FMAR node", description="shown to people on the start page")

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="the least grave lines of the log that are written")

    # the connection
    tls_certificate: str = Field("", description="PEM file of the certificate and its chain, relative to the data folder; none: plain HTTP")
    tls_key: str = Field("", description="PEM file of the certificate's private key, readable by its owner only")
    drain_seconds: float = Field(0.0, ge=0, le=300, description="how long `/readyz` says 503 before a stopping node takes no more requests")
    stop_seconds: float = Field(10.0, ge=0, le=3600, description="longest time that a stopping node gives to requests in flight")

    # documents
    body_bytes: int = Field(262_144, ge=1, description="largest request body of a record or action")
    body_seconds: float = Field(60.0, gt=0, description="longest time for a request body to arrive")
    head_bytes: int = Field(65_536, ge=1, description="largest request line and headers together")
    head_seconds: float = Field(15.0, gt=0, description="longest time for request line and headers to arrive")
    batch_bytes: int = Field(16_777_216, ge=1, description="largest JSON array of a batch (NDJSON has no limit but that of its lines)")
    json_depth: int = Field(32, ge=1, description="deepest nesting of a JSON body")
    literal_chars: int = Field(4_096, ge=1, description="longest single text value in a document")
    parts: int = Field(64, ge=1, description="most nested parts in one document")
    judges: int = Field(2, ge=1, description="judge processes kept warm")
    judge_queue: int = Field(256, ge=0, description="documents that may wait for a judge")
    judge_seconds: float = Field(10.0, gt=0, description="deadline for judging one document")

    # queries
    query_bytes: int = Field(65_536, ge=1, description="longest SPARQL text")
    query_nesting: int = Field(64, ge=0, description="deepest nesting of { ( [ in a query")
    query_optionals: int = Field(40, ge=0, description="most OPTIONAL keywords in a query (planning cost grows steeply)")
    query_operators: int = Field(1_000, ge=1, description="most operators or UNIONs in a query (chains overflow the parser's stack)")
    query_tokens: int = Field(20_000, ge=1, description="most tokens in a query")
    query_seconds: float = Field(30.0, gt=0, description="longest run time that a request may ask for with timeout=")
    query_seconds_default: float = Field(10.0, gt=0, description="run time when a request asks for none")
    query_rows: int = Field(1_000_000, ge=1, description="most rows or triples in one result")
    query_result_bytes: int = Field(268_435_456, ge=1, description="most bytes in one result")
    query_workers: int = Field(2, ge=1, description="queries that run at once")
    query_queue: int = Field(64, ge=0, description="queries that may wait for a worker")
    query_queue_seconds: float = Field(5.0, ge=0, description="longest wait for a worker")
    query_per_organisation: int = Field(1, ge=1, description="queries of one organisation that run at once; the rest wait")
    query_queue_per_organisation: int = Field(32, ge=0, description="queries of one organisation that may wait for a worker")
    query_delivery_seconds: float = Field(120.0, gt=0, description="longest time from the start of a query until its client has taken the result")
    worker_memory_bytes: int = Field(536_870_912, ge=1, description="address space of a query worker (RLIMIT_AS)")
    require_sandbox: bool = Field(True, description="refuse to start where query workers cannot be cut off from the network")
    snapshot_seconds: float = Field(1.0, gt=0, description="shortest time between two snapshots of the graph")
    freshness_seconds: float = Field(15.0, ge=0, description="longest wait for Fmar-Min-Journal-Index")

    # writing
    commit_batch: int = Field(64, ge=1, description="most submissions that share one fsync")
    projector_backlog: int = Field(1_000, ge=1, description="entries that the graph may lag behind before commits wait")

    # keeping
    retention_days: int = Field(0, ge=0, description="days after which personal values of de-registered assets and withdrawn organisations are erased; 0: only on request")
    idempotency_days: int = Field(0, ge=0, description="days for which an Idempotency-Key is remembered; 0: for ever")
    retention_seconds: float = Field(3_600.0, gt=0, description="time between two looks at what may no longer be kept")

    # credentials
    token_seconds: int = Field(300, ge=10, le=600, description="life of an access token")
    clock_skew_seconds: int = Field(10, ge=0, description="how far a participant's clock may be off")
    proof_seconds: int = Field(60, ge=1, description="how old a DPoP proof or a client assertion may be")
    header_bytes: int = Field(16_384, ge=1, description="largest Authorization or DPoP header")
    token_seconds_most: int = Field(600, ge=10, le=3600, description="longest life of a token that is accepted, even a signed one")
    token_cache: int = Field(10_000, ge=1, description="verified access tokens kept in memory until they expire")
    replay_entries: int = Field(1_000_000, ge=1, description="used jti kept in memory, about 110 bytes each; full means 503")
    dpop_nonce: bool = Field(False, description="demand a nonce of this node in every DPoP proof (RFC 9449, section 8)")
    dpop_nonce_seconds: int = Field(300, ge=10, description="how long a DPoP nonce may be used")

    probes_per_hour: int = Field(120, ge=0, description="answers per organisation and hour that tell of somebody else's record or of none")

    # external sources
    companies_register_url: str = Field("", description="where the companies register is asked who a British company is, e.g. `https://api.company-information.service.gov.uk`; none: it is not asked")
    companies_register_key_file: str = Field("", description="file with the key for the companies register (HTTP Basic), relative to the data folder, readable by its owner only")
    source_seconds: float = Field(5.0, gt=0, description="longest time that an external source is given for one answer")
    source_bytes: int = Field(65_536, ge=1, description="largest answer of an external source")
    source_questions: int = Field(4, ge=1, description="questions to an external source that are under way at once")
    source_pause_seconds: float = Field(2.0, gt=0, description="pause after a question that a source did not answer; twice as long after each further one")
    source_pause_seconds_most: float = Field(600.0, gt=0, description="longest such pause")
    source_cache_seconds: float = Field(300.0, ge=0, description="how long an answer of an external source is used again; 0: not at all")

    # lists
    page_items: int = Field(50, ge=1, description="items on a page when the request asks for no limit")
    page_items_most: int = Field(500, ge=1, description="most items on a page")

    @property
    def sources(self) -> frozenset[str]:
        """The external sources that this node asks, as codes of EvidenceKind."""
        return frozenset({COMPANIES_REGISTER} if self.companies_register_url else ())

    @classmethod
    def read(cls, file: Path | None = None, environment: Mapping[str, str] | None = None, **given: Any) -> Self:
        """Settings from `file`, then the environment, then `given` (those that are not None)."""
        try:
            values: dict[str, Any] = tomllib.loads(file.read_text("utf-8")) if file and file.exists() else {}
        except ValueError as error:
            raise Malformed("malformed-request", f"settings: {file} cannot be read: {error}") from error
        surroundings = os.environ if environment is None else environment
        for name in cls.model_fields:
            if (value := surroundings.get(f"FMAR_{name.upper()}")) is not None:
                values[name] = value
        known = {f"FMAR_{name.upper()}" for name in cls.model_fields} | NOT_SETTINGS
        if unknown := sorted(name for name in surroundings if name.startswith("FMAR_") and name not in known):
            raise Malformed("malformed-request", f"settings: {unknown[0]} in the environment is none; docs/reference/settings.md lists them")
        values.update({name: value for name, value in given.items() if value is not None})
        try:
            return cls(**values)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            raise Malformed("malformed-request", f"settings: {wrong}") from error


def surroundings(**more: str) -> dict[str, str]:
    """The environment for a child process: this process's own, and `more`; a given PYTHONPATH goes in front."""
    inherited = dict(os.environ)
    if (path := inherited.get("PYTHONPATH")) and "PYTHONPATH" in more:
        more["PYTHONPATH"] += os.pathsep + path
    return inherited | more
