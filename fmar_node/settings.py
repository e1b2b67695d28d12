"""Every limit and switch of a node, with its unit and default, in one frozen object.

Read once (`Settings.read`) from `node.toml` in the data folder, overridden by `FMAR_*` environment
variables (`FMAR_QUERY_SECONDS=10`), and passed on; nothing else in the package reads the environment.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fmar_node.errors import Malformed

COMPANIES_REGISTER, METER_POINT, MCS, OEM, CONNECTION = SOURCES = ("COMPANIES_REGISTER", "METER_POINT", "MCS", "OEM", "CONNECTION")
"""The sources that a node may be set to ask, by two settings each; codes of EvidenceKind."""
NOT_SETTINGS = frozenset({"FMAR_SUITES"})
"""FMAR_* names that mean something to others: where the tests find the public suites."""

AliasScheme = Literal["", "DIRECTORY"]
"""The schemes of aliases that may name the organisation of a foreign token: those that the operator alone enters."""


def outward(url: str) -> str:
    """A URL that the node may ask. ValueError otherwise."""
    if not is_safe_url(url, may_be_loopback=True) or "?" in url:
        raise ValueError("is an https URL without user, query and fragment; http only on loopback")
    return url


def prefix_of(url: str) -> str:
    """A URL that others begin with: it ends with a slash. ValueError otherwise."""
    if not outward(url).endswith("/"):
        raise ValueError("does not end with a slash; others begin with it")
    return url


Outward = Annotated[str, AfterValidator(outward)]
Prefix = Annotated[str, AfterValidator(prefix_of)]


class Issuer(BaseModel):
    """An external issuer whose access tokens are accepted beside the node's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: Outward = Field(description="`iss` of its tokens, compared as text")
    jwks_uri: Outward = Field(description="where its keys are; nothing else is ever asked for a key")
    audience: str = Field("", description="`aud` of its tokens, compared as text; none: the base URL")
    bearer: bool = Field(False, description="take its tokens as plain bearer tokens too, where they are bound to no key")
    organisation_alias: AliasScheme = Field("", description="scheme of the alias by which `sub` names an organisation; none: `sub` is always the IRI of an organisation of this node")
    subject_prefix: str = Field("", description="what every `sub` that is found by alias begins with; the alias is the rest")
    status: Literal["optional", "required"] = Field("optional", description="whether each of its tokens has to have a place in a status list")
    status_lists: tuple[Prefix, ...] = Field((), description="what the addresses of its status lists begin with; a token that names another one is refused")


class ConsentSolution(BaseModel):
    """A consent solution whose receipts, references and notifications count, as `[[consent_solutions]]` in node.toml describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="what the node calls it, in the records of consents")
    issuer: Outward | Literal[""] = Field("", description="`iss` of its receipts, compared as text; none: it issues none")
    jwks_uri: Outward | Literal[""] = Field("", description="where the keys are that sign its receipts; nothing else is ever asked for a key")
    status_lists: tuple[Prefix, ...] = Field((), description="what the addresses of its status lists begin with; where there are any, each receipt has to have a place in one")
    url: Outward | Literal[""] = Field("", description="where its references are verified and its consents are checked again (`docs/formats/consent.md`); none: it is not asked")
    key_file: str = Field("", description="file with the key that it is asked with (HTTP Basic), relative to the data folder, mode 0600")
    reference_prefix: str = Field("", max_length=32, pattern=r"^[A-Za-z0-9._~-]*$", description="what its references begin with; a proof that begins so is sent to it and to nobody else")
    notification_secret_file: str = Field("", description="file with the secret (`whsec_...`) that its notifications are signed with, relative to the data folder, mode 0600; none: none of its notifications counts")

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.issuer) != bool(self.jwks_uri):
            raise ValueError("issuer and jwks_uri go together")
        if not (self.issuer or self.url):
            raise ValueError("needs an issuer of receipts, or a url where references are verified")
        return self


class IdentityProvider(BaseModel):
    """An OpenID Connect provider that people may sign in with, as `[[identity_providers]]` in node.toml describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="what the node calls it, in URLs and to people")
    issuer: str = Field(max_length=512, description="its issuer identifier, exactly as its discovery document has it; https, or http on loopback")
    client_id: str = Field(min_length=1, max_length=256, pattern=r"^[\x21-\x7e]+$", description="what it calls this node")
    client_secret_file: str = Field("", description="file with the secret that it gave this node, relative to the data folder, mode 0600; none: a public client")
    scopes: tuple[str, ...] = Field(("openid", "email"), description="scopes asked for; openid and email are always among them")

    @field_validator("issuer")
    @classmethod
    def _is_an_issuer(cls, issuer: str) -> str:
        if not is_safe_url(issuer, may_be_loopback=True) or "?" in issuer:
            raise ValueError("an issuer is an https URL without user, query and fragment; http only on loopback")
        return issuer

    @field_validator("scopes")
    @classmethod
    def _are_scopes(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if any(not scope or not scope.isascii() or not scope.isprintable() or set(scope) & set(' "\\') for scope in scopes):
            raise ValueError("a scope is a word without spaces and quotes")
        return tuple(dict.fromkeys(("openid", "email", *scopes)))


class Settings(BaseModel):
    """A node's settings. Sizes are bytes, times are seconds, unless the name says otherwise."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # who and where
    base_url: str = Field("http://127.0.0.1:8080", description="what every IRI of this node begins with; fixed when the node is made")
    node_name: str = Field("FMAR node", description="shown to people on the start page")
    open_licence: str = Field("https://www.nationalarchives.gov.uk/doc/open-government-licence/version/3/", pattern=r"https?://[^\s<>\"]+", description="licence of what everybody may see, an IRI; told in the catalogue")

    clock_may_be_set: bool = Field(False, description="let `fmar clock` put the register ahead of this machine's clock: for a demonstration or a test; refused where the base URL is not on this machine's loopback")
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
    release_bytes: int = Field(524_288, ge=1, description="most bytes in the files of a release of code lists and shapes, those that it takes over from the one before included")
    release_seconds: float = Field(60.0, gt=0, description="deadline for judging a proposed release, and for making one ready in a judge")
    judges: int = Field(2, ge=1, description="judge processes kept warm")
    judge_queue: int = Field(256, ge=0, description="documents that may wait for a judge")
    judge_seconds: float = Field(10.0, gt=0, description="deadline for judging one document")

    # batches that are kept and worked through later
    job_bytes: int = Field(268_435_456, ge=1, description="largest body of a batch that is kept as a job")
    jobs_at_once: int = Field(2, ge=1, description="jobs that are worked through at once, no two of one organisation")
    jobs_per_organisation: int = Field(4, ge=0, description="jobs of one organisation that may wait or run; 0: none are taken")
    jobs_kept: int = Field(20, ge=1, description="jobs of one organisation that have ended and are kept with their results, the newest")
    job_seconds: float = Field(604_800.0, ge=0, description="how long a job that has ended is kept with its results; its body goes at once")

    # queries
    query_bytes: int = Field(65_536, ge=1, description="longest SPARQL text")
    query_nesting: int = Field(64, ge=0, description="deepest nesting of { ( [ in a query")
    query_optionals: int = Field(40, ge=0, description="most OPTIONAL keywords in a query (planning cost grows steeply)")
    query_operators: int = Field(1_000, ge=1, description="most operators or UNIONs in a query (chains overflow the parser's stack)")
    query_tokens: int = Field(20_000, ge=1, description="most tokens in a query")
    query_merged_triples: int = Field(200_000, ge=0, description="most triples in the graphs of a query whose default graphs have triples in common, so that they are merged in memory")
    query_seconds: float = Field(30.0, gt=0, description="longest run time that a request may ask for with timeout=")
    query_seconds_default: float = Field(10.0, gt=0, description="run time when a request asks for none")
    query_rows: int = Field(1_000_000, ge=1, description="most rows or triples in one result")
    query_result_bytes: int = Field(268_435_456, ge=1, description="most bytes in one result")
    query_workers: int = Field(2, ge=1, description="queries that run at once, not counting `query_heavy`")
    query_heavy: int = Field(4, ge=0, description="queries that have run for more than 0.1 s and go on beside these, at a low priority")
    query_queue: int = Field(64, ge=0, description="queries that may wait for a worker")
    query_queue_seconds: float = Field(5.0, ge=0, description="longest wait for a worker")
    query_per_organisation: int = Field(1, ge=1, description="queries of one organisation that run at once; the rest wait")
    query_queue_per_organisation: int = Field(32, ge=0, description="queries of one organisation that may wait for a worker")
    queries_per_organisation: int = Field(50, ge=0, description="saved queries that one organisation may have published at once")
    query_delivery_seconds: float = Field(120.0, gt=0, description="longest time from the start of a query until its client has taken the result")
    judge_memory_bytes: int = Field(1_073_741_824, ge=268_435_456, description="address space of a judge (RLIMIT_AS)")
    worker_memory_bytes: int = Field(536_870_912, ge=1, description="address space of a query worker (RLIMIT_AS)")
    require_sandbox: bool = Field(True, description="refuse to start where query workers cannot be cut off from the network")
    snapshot_seconds: float = Field(1.0, gt=0, description="shortest time between two snapshots of the graph; a fifth of it while a query waits for one")
    snapshot_seconds_most: float = Field(120.0, ge=2, description="a snapshot that takes longer hangs: its writer ends, and another one is started")
    freshness_seconds: float = Field(15.0, ge=0, description="longest wait for Fmar-Min-Journal-Index")

    # writing
    commit_batch: int = Field(64, ge=1, description="most submissions that share one fsync")
    projector_backlog: int = Field(1_000, ge=1, description="entries that the graph may lag behind before commits wait")
    writer_silence_seconds: float = Field(30.0, ge=2, description="a writer that has said nothing of itself for so long hangs: it is killed, and another one started")

    # keeping
    retention_days: int = Field(0, ge=0, description="days after which personal values of de-registered assets and withdrawn organisations are erased; 0: only on request")
    idempotency_days: int = Field(0, ge=0, description="days for which an Idempotency-Key is remembered; 0: for ever")
    retention_seconds: float = Field(3_600.0, gt=0, description="time between two looks at what may no longer be kept")

    # credentials
    token_seconds: int = Field(300, ge=10, le=600, description="life of an access token")
    clock_skew_seconds: int = Field(10, ge=0, description="how far a participant's clock may be off")
    proof_seconds: int = Field(60, ge=1, description="how old a DPoP proof or a client assertion may be")
    header_bytes: int = Field(16_384, ge=1, description="largest Authorization, DPoP or client certificate header")
    token_seconds_most: int = Field(600, ge=10, le=3600, description="longest life of a token that is accepted, even a signed one")
    token_cache: int = Field(10_000, ge=1, description="verified access tokens kept in memory until they expire")
    replay_entries: int = Field(1_000_000, ge=1, description="used jti kept in memory, about 110 bytes each; full means 503")
    dpop_nonce: bool = Field(False, description="demand a nonce of this node in every DPoP proof (RFC 9449, section 8)")
    dpop_nonce_seconds: int = Field(300, ge=10, description="how long a DPoP nonce may be used")

    # client certificates, which reverse proxies forward
    trusted_proxies: tuple[str, ...] = Field((), description="addresses or networks of the proxies whose client certificate header counts, in the environment with commas between; none: it is never read")
    client_certificate_header: str = Field("Client-Cert", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$", description="header in which a listed proxy forwards the client's certificate: RFC 9440, or percent-encoded PEM")

    # signing keys, external issuers
    signing_key_seconds: int = Field(300, ge=1, le=86_400, description="how long others may keep `/oauth/jwks`, and how long a new signing key is published before it signs")
    issuers: tuple[Issuer, ...] = Field((), description="external issuers whose access tokens are accepted")
    issuer_keys_seconds: float = Field(300.0, ge=1, description="how old an issuer's key set may be before it is fetched again")
    issuer_keys_wait_seconds: float = Field(30.0, ge=1, description="shortest time between two fetches of one key set, however many unknown keys are asked for")
    issuer_keys_stale_seconds: float = Field(86_400.0, ge=0, le=86_400, description="how old a key set may get while its issuer cannot be reached; past that its tokens are answered with 503")
    status_list_seconds: float = Field(30.0, ge=1, le=60, description="how old a status list may be before it is fetched again; its own `ttl` may be shorter")
    status_list_stale_seconds: float = Field(300.0, ge=0, le=86_400, description="how old a status list may get while it cannot be fetched; past that its tokens are answered with 503")
    status_list_bytes: int = Field(1_048_576, ge=1_024, description="largest status list, fetched and inflated")
    fetch_seconds: float = Field(5.0, gt=0, description="longest time for fetching a key set or a status list")

    probes_per_hour: int = Field(120, ge=0, description="answers per organisation and hour that tell of somebody else's record")
    point_probes_per_hour: int = Field(10, ge=1, description="of these, answers that tell of somebody else's asset at one meter point")
    lookups_per_hour: int = Field(3_000, ge=0, description="lookups per organisation and hour that find nothing of its own")
    claims_per_hour: int = Field(60, ge=0, description="claims of assets, and lookups with a claim code, per organisation and hour that have no authority")
    lookup_identifiers: int = Field(100, ge=1, description="most identifiers in one lookup")

    # people
    identity_providers: tuple[IdentityProvider, ...] = Field((), description="OpenID Connect providers that people sign in with ([people](../guides/people.md)); none: nobody signs in")
    provider_seconds: float = Field(5.0, gt=0, le=60, description="longest wait for an answer of an identity provider")
    provider_bytes: int = Field(262_144, ge=1_024, description="largest answer of an identity provider")
    provider_cache_seconds: int = Field(3_600, ge=60, le=86_400, description="how long an identity provider's discovery document and keys are kept")
    provider_refresh_seconds: int = Field(30, ge=1, le=3_600, description="shortest time between two fetches of an identity provider's keys for the sake of an unknown one")
    sign_in_seconds: int = Field(600, ge=60, le=3_600, description="how long a person may take at the identity provider")
    sign_in_failures_per_address: int = Field(60, ge=1, description="failed sign-ins from one network address (IPv6: one /64) and hour")
    sign_in_failures_per_identity: int = Field(10, ge=1, description="failed sign-ins of one subject of an identity provider and hour")
    session_idle_seconds: int = Field(1_800, ge=120, le=86_400, description="a session ends when it has not been used for so long; use is noted once a minute")
    session_seconds: int = Field(43_200, ge=600, le=604_800, description="longest life of a session, used or not")
    sessions_per_user: int = Field(5, ge=1, le=100, description="most sessions of one person at once; one more ends the oldest")

    # external sources
    companies_register_url: str = Field("", description="where the companies register is asked who a British company is, e.g. `https://api.company-information.service.gov.uk`; none: it is not asked")
    companies_register_key_file: str = Field("", description="file with the key for the companies register (HTTP Basic), relative to the data folder, readable by its owner only")
    meter_point_url: str = Field("", description="where the meter point service is asked about the MPANs of assets; none: it is not asked")
    meter_point_key_file: str = Field("", description="file with the key for the meter point service, as `companies_register_key_file`")
    mcs_url: str = Field("", description="where the register of MCS certificates is asked about the certificates of assets; none: it is not asked")
    mcs_key_file: str = Field("", description="file with the key for the register of MCS certificates, as `companies_register_key_file`")
    oem_url: str = Field("", description="where the register of makers' serial numbers is asked about assets; none: it is not asked")
    oem_key_file: str = Field("", description="file with the key for the register of serial numbers, as `companies_register_key_file`")
    connection_url: str = Field("", description="another node whose public view is asked about the connections of assets that have an ECR reference; none: it is not asked")
    connection_key_file: str = Field("", description="file with the key for the other node, as `companies_register_key_file`")
    connection_file: str = Field("", description="an Embedded Capacity Register (CSV), relative to the data folder, that is looked into instead of another node; the network operator's own, and newer releases take its place")
    connection_area: str = Field("", description="the licence area (a code of DNOCode) that `connection_file` is of: of assets elsewhere it says nothing")
    device_catalogue: str = Field("", description="catalogue of devices (CSV), relative to the data folder, that fills what documents do not say of a maker's model; read when the node starts")
    validation_seconds: float = Field(1_209_600.0, gt=0, le=315_360_000, description="how long an asset may wait for the answers of sources, before the operator gets a notice, and `fmar_assets_overdue` counts it")
    asset_query_seconds: float = Field(1_209_600.0, gt=0, le=315_360_000, description="how long a provider may take to answer a query of an asset of its own, before the operator gets a notice, and `fmar_assets_overdue` counts it")
    source_seconds: float = Field(5.0, gt=0, description="longest time that an external source is given for one answer")
    source_bytes: int = Field(65_536, ge=1, description="largest answer of an external source")
    source_questions: int = Field(4, ge=1, description="questions to an external source that are under way at once")
    source_pause_seconds: float = Field(2.0, gt=0, description="pause after a question that a source did not answer; twice as long after each further one")
    source_pause_seconds_most: float = Field(600.0, gt=0, description="longest such pause")
    source_cache_seconds: float = Field(300.0, ge=0, description="how long an answer of an external source is used again; 0: not at all")

    # consent
    consent_solutions: tuple[ConsentSolution, ...] = Field((), description="consent solutions that this node trusts ([format](../formats/consent.md)); none: assets of individuals are refused")
    owner_authorisation: bool = Field(False, description="whether an asset of another organisation than the provider needs that owner's authorisation, a proof like a consumer's consent")
    consent_check_seconds: float = Field(3_600.0, gt=0, description="time between two checks of a consent that holds, so that a missed notification is found")
    notification_seconds: int = Field(300, ge=10, le=3_600, description="how old, or how far ahead, the time of a consent solution's notification may be")

    # switches of provider
    switch_notice_days: int = Field(14, ge=0, le=365, description="days between the request for a switch of provider and the first day that it may be for, where a provider is responsible now; where none is, there is no notice")
    switch_days_most: int = Field(365, ge=1, le=3_650, description="days from today to the last day that a switch of provider may be requested for")

    # limits of one caller
    organisation_requests: int = Field(3_000, ge=0, description="requests of one organisation in `rate_seconds`; 0: as many as it likes")
    application_requests: int = Field(2_400, ge=0, description="requests of one application in `rate_seconds`; 0: as many as it likes")
    anonymous_requests: int = Field(1_000, ge=0, description="requests without a credential from one address in `rate_seconds`; 0: as many as it likes")
    rate_seconds: float = Field(10.0, ge=1, le=3600, description="time in which so many requests are taken, in one go or spread out")
    refusals_at_once: int = Field(5, ge=1, description="refusals of one caller in a second that are answered and logged at once")
    refusal_seconds: float = Field(1.0, ge=0, le=30, description="how long a refusal beyond those is kept waiting")
    refusals_waiting: int = Field(1_000, ge=0, description="refusals that are kept waiting at once; beyond them the connection is closed")
    token_refusals: int = Field(30, ge=0, description="refused token requests under one client_id, and from one address, in a minute; 0: as many as it likes")
    query_budget: float = Field(40.0, ge=0, description="seconds of query workers for one organisation in a minute; 0: as many as it likes")

    # the security log
    security_log_bytes: int = Field(67_108_864, ge=4_096, description="size at which a file of the security log is put aside and a new one begun")
    security_log_files: int = Field(30, ge=1, description="files of the security log that are kept, the newest")
    security_log_days: int = Field(400, ge=0, description="days after which a file of the security log is removed; 0: not for its age")
    security_log_waiting: int = Field(20_000, ge=1, description="lines of the security log that may wait to be written; beyond them lines are dropped, and counted")

    # events
    material_capacity_percent: float = Field(10.0, ge=0, le=100, description="change of a capacity, in per cent of what it was, beyond which events and histories call it material")
    event_entries: int = Field(20_000, ge=1, description="most entries of the journal that one request to `/events` looks through")
    event_wait_seconds: float = Field(60.0, ge=0, le=600, description="longest time that a request to `/events` may wait for an event")
    event_waiters: int = Field(1_000, ge=0, description="requests to `/events` that may wait at once")
    event_waiters_per_organisation: int = Field(8, ge=0, description="requests to `/events` of one organisation that may wait at once")

    # webhooks
    subscriptions_per_organisation: int = Field(20, ge=0, description="subscriptions that one organisation may have at once")
    webhook_loopback: bool = Field(False, description="take endpoints on this machine too, also with http and at any port: for a demonstration or a test, never where others may subscribe")
    webhook_ports: tuple[int, ...] = Field((443, 8443), description="ports that endpoints may have; in the environment with commas between")
    webhook_seconds: float = Field(10.0, gt=0, description="longest time that an endpoint is given for its answer, looking its name up included")
    webhook_bytes: int = Field(4_096, ge=256, description="most bytes of an endpoint's answer that are read")
    webhook_at_once: int = Field(8, ge=1, description="deliveries to one endpoint that are under way at once, each of another record")
    webhook_waiting: int = Field(1_000, ge=1, description="deliveries of one subscription that are waited with; beyond them the journal keeps the place")
    webhook_pause_seconds: float = Field(5.0, gt=0, description="pause after a delivery that was not taken; twice as long after each further one, more or less by chance")
    webhook_pause_seconds_most: float = Field(21_600.0, gt=0, description="longest such pause, and longest Retry-After that is honoured")
    webhook_give_up_seconds: float = Field(259_200.0, gt=0, description="how long after its first attempt a delivery is tried again before it is a dead letter")
    webhook_fail_seconds: float = Field(432_000.0, gt=0, description="how long nothing at all can be delivered, or a challenge stays unanswered, before a subscription has failed")
    webhook_secret_overlap_seconds: float = Field(86_400.0, ge=0, description="how long deliveries are signed with the old secret too, after a new one was made")
    webhook_dead_letters: int = Field(10_000, ge=1, description="dead letters of one subscription that are kept, the newest")

    # lists
    page_items: int = Field(50, ge=1, description="items on a page when the request asks for no limit")
    page_items_most: int = Field(500, ge=1, description="most items on a page")

    # data quality
    minimum_cell_assets: int = Field(10, ge=1, description="least records in a line of an aggregate, which the regulator and the market facilitator are told")
    minimum_cell_organisations: int = Field(3, ge=1, description="least organisations whose records are in a line of an aggregate")
    scorecard_days: int = Field(1_100, ge=1, description="days for which the daily scores of each organisation are kept")

    @property
    def sources(self) -> frozenset[str]:
        """The external sources that this node asks, as codes of EvidenceKind."""
        return frozenset(name for name in SOURCES if self.source_url(name))

    def source_url(self, name: str) -> str:
        """Where a source is asked, or the file that it is; empty where it is not."""
        return str(getattr(self, f"{name.lower()}_url") or (self.connection_file if name == CONNECTION else ""))

    def source_key_file(self, name: str) -> str:
        """The file with the key for a source; empty where it needs none."""
        return str(getattr(self, f"{name.lower()}_key_file"))

    @field_validator("webhook_ports", "trusted_proxies", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if ip_network(each).prefixlen == 0:
                raise ValueError(f"{each} is everybody; whoever connects could claim any certificate")
        return value

    @field_validator("identity_providers", "issuers", "consent_solutions", mode="before")
    @classmethod
    def _from_json(cls, given: Any) -> Any:
        """In the environment they are JSON."""
        if not isinstance(given, str):
            return given
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            raise ValueError("in the environment it is a JSON array of objects") from None

    @field_validator("identity_providers")
    @classmethod
    def _are_distinct(cls, given: tuple[IdentityProvider, ...]) -> tuple[IdentityProvider, ...]:
        for each in ("name", "issuer"):
            values = [getattr(provider, each) for provider in given]
            if len(set(values)) != len(values):
                raise ValueError(f"two identity providers have the same {each}")
        return given

    @field_validator("consent_solutions")
    @classmethod
    def _are_told_apart(cls, given: tuple[ConsentSolution, ...]) -> tuple[ConsentSolution, ...]:
        for each in ("name", "issuer"):
            values = [value for solution in given if (value := getattr(solution, each))]
            if twice := _repeated(values):
                raise ValueError(f"consent_solutions: {each} {twice} stands twice")
        asked = [solution.reference_prefix for solution in given if solution.url]
        if any(one.startswith(other) for place, one in enumerate(asked) for other in asked[:place] + asked[place + 1 :]):
            raise ValueError("consent_solutions: the references of two begin alike; give each a reference_prefix of its own")
        return given

    @model_validator(mode="after")
    def _check_clock(self) -> Self:
        if self.clock_may_be_set and not is_loopback(urlsplit(self.base_url).hostname or ""):
            raise ValueError("clock_may_be_set: only of a node whose base_url is on loopback; what others rely on keeps the time")
        return self

    @model_validator(mode="after")
    def _check_issuers(self) -> Self:
        """Each issuer has one entry and an alias scheme of its own, lest one of them names another one's organisations."""
        names = [self.base_url, *(each.issuer for each in self.issuers)]
        schemes = [each.organisation_alias for each in self.issuers if each.organisation_alias]
        for what, values in (("issuer", names), ("organisation_alias", schemes)):
            if twice := _repeated(values):
                raise ValueError(f"issuers: {what} {twice} stands twice")
        return self

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


def is_safe_url(url: str, *, may_be_loopback: bool) -> bool:
    """Whether a URL may be asked or sent people to: https, or http on loopback where that is allowed; nobody's name in it."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    if not is_whole or not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>#@|'):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and may_be_loopback and is_loopback(parts.hostname or ""))


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def structure_of(annotation: Any) -> type[BaseModel] | None:
    """The model of a setting that is a list of tables; None for every other one."""
    inner = next(iter(get_args(annotation)), None) if get_origin(annotation) is tuple else None
    return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None


def _repeated(values: Iterable[str]) -> str:
    seen: set[str] = set()
    return next((value for value in values if value in seen or seen.add(value)), "")  # type: ignore[func-returns-value]


def surroundings(**more: str) -> dict[str, str]:
    """The environment for a child process: this process's own, and `more`; a given PYTHONPATH goes in front."""
    inherited = dict(os.environ)
    if (path := inherited.get("PYTHONPATH")) and "PYTHONPATH" in more:
        more["PYTHONPATH"] += os.pathsep + path
    return inherited | more
