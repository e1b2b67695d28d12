"""The node's metrics, in Prometheus' text format.

Rules kept here: no metric holds a personal value or names a record; what stands in a label comes from a closed list;
a scrape reads what was counted where it happened, and searches no table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from fmar_node import __version__
from fmar_node.certificate import Tls
from fmar_node.errors import FmarError
from fmar_node.followers.courier import OUTCOMES
from fmar_node.followers.verification import NONE_OVERDUE
from fmar_node.node import Node
from fmar_node.vitals import Spread, free_bytes, resident_bytes
from fmar_node.web.readiness import readiness

CREDENTIAL_CODES = frozenset({"credential-missing", "invalid-token", "invalid-dpop-proof", "invalid-client"})
REASONS = (
    ("before this node started", "nonce-needed"),
    ("nonce", "nonce-needed"),
    ("has been used before", "replayed"),
    ("revoked", "revoked"),
    ("no delegation", "not-granted"),
    ("has expired", "expired"),
    ("seconds ago", "expired"),
    ("not valid yet", "from-the-future"),
    ("in the future", "from-the-future"),
    ("another URL", "other-address"),
    ("another method", "other-address"),
    ("another key", "other-key"),
    ("another access token", "other-key"),
    ("not signed", "bad-signature"),
    ("signature", "bad-signature"),
    ("not from an issuer", "other-node"),
    ("not for this node", "other-node"),
    ("not admitted", "not-admitted"),
)
"""Words of a refused credential, and the reason that is counted; everything else is `malformed`."""


class Measures:
    """Counted here: requests, refusals. Collected at each scrape: what the node and its children tell of themselves."""

    def __init__(self, node: Node, tls: Tls | None = None) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("fmar_requests", "Requests answered", ["route", "method", "status"], registry=self.registry)
        self.seconds = Histogram("fmar_request_seconds", "Time to answer", ["route"], registry=self.registry)
        self.refusals = Counter("fmar_refusals", "Refusals by problem code", ["code"], registry=self.registry)
        self.credentials = Counter("fmar_credential_refusals", "Credentials refused, by reason", ["reason"], registry=self.registry)
        self.counters: dict[tuple[str, str, int], Counter] = {}
        self.spreads: dict[str, Histogram] = {}
        """Of the labels that there have been: finding them again costs more than counting."""
        self.registry.register(NodeMetrics(node, tls))

    def answered(self, route: str, method: str, status: int) -> None:
        """Counts a request."""
        labels = route, method, status
        if (counter := self.counters.get(labels)) is None:
            counter = self.counters[labels] = self.requests.labels(route, method, str(status))
        counter.inc()

    def took(self, route: str, seconds: float) -> None:
        """Counts how long a request took."""
        if (spread := self.spreads.get(route)) is None:
            spread = self.spreads[route] = self.seconds.labels(route)
        spread.observe(seconds)

    def refused(self, error: FmarError) -> None:
        """Counts a refusal."""
        self.refusals.labels(error.code).inc()
        if error.code in CREDENTIAL_CODES:
            self.credentials.labels(reason_of(error)).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)


def reason_of(error: FmarError) -> str:
    """Why a credential was refused, in a word."""
    if error.code == "credential-missing":
        return "missing"
    return next((reason for words, reason in REASONS if words in error.detail), "malformed")


class NodeMetrics(Collector):
    """What the node knows of itself, its writer, judges and query workers at the time of a scrape."""

    def __init__(self, node: Node, tls: Tls | None) -> None:
        self.node, self.tls = node, tls

    def describe(self) -> Iterator[Metric]:
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield labelled("fmar_part_ready", "Whether a part of the node works, as /readyz says", "part", {name: float(part.is_good) for name, part in readiness(self.node).items()})
        yield labelled("fmar_build", "The version that runs", "version", {__version__: 1.0})
        if self.node.is_ready:
            yield from self._journal()
            yield from self._events()
        meaning = "Assets that have waited for answers for longer than validation_seconds, or been queried for longer than asset_query_seconds"
        yield labelled("fmar_assets_overdue", meaning, "state", self.node.verification.overdue if self.node.verification else NONE_OVERDUE)
        yield from self._writer()
        yield from self._judges()
        yield from self._queries()
        yield from self._security()
        yield from self._machine()

    def _journal(self) -> Iterator[Metric]:
        yield gauge("fmar_journal_entries", "Entries in the journal", self.node.register.size())
        records = GaugeMetricFamily("fmar_records", "Records by kind and state", labels=["kind", "state"])
        for (kind, state), count in self.node.register.counts().items():
            records.add_metric([kind, state], count)
        yield records

    def _events(self) -> Iterator[Metric]:
        webhooks = self.node.webhooks
        yield gauge("fmar_event_waiters", "Requests to /events that wait for an event", self.node.feeds.waiting.total())
        yield gauge("fmar_subscriptions_open", "Subscriptions that are open", len(webhooks.couriers))
        yield gauge("fmar_webhook_lag_entries", "Entries of the journal that some subscription has not been looked through for yet", webhooks.lag)
        yield labelled("fmar_webhook_held", "Deliveries that wait, and dead letters, counted once a minute", "state", webhooks.held)
        outcomes = CounterMetricFamily("fmar_webhook_deliveries", "Attempts to deliver since the start, by outcome", labels=["outcome"])
        for outcome in OUTCOMES:
            outcomes.add_metric([outcome], webhooks.desk.counts[outcome])
        yield outcomes

    def _writer(self) -> Iterator[Metric]:
        vitals = self.node.writer.vitals
        yield histogram("fmar_commit_seconds", "Time of a commit of the journal", vitals.commit_seconds)
        yield histogram("fmar_commit_entries", "Entries that shared a commit", vitals.commit_entries)
        yield histogram("fmar_snapshot_seconds", "Time to make a snapshot of the graph", vitals.snapshot_seconds)
        yield gauge("fmar_snapshot_timestamp_seconds", "When the newest snapshot was made", vitals.snapshot_at)
        yield gauge("fmar_graph_lag_entries", "Entries of the journal that the graph does not hold yet", vitals.lag_entries)
        yield gauge("fmar_graph_lag_seconds", "Age of the oldest entry that the graph does not hold yet", vitals.lag_seconds)
        yield gauge("fmar_storage_trouble", "1 while a commit, the graph or a snapshot cannot be written", float(bool(vitals.trouble)))
        sizes = {"journal": vitals.journal_bytes, "wal": vitals.wal_bytes, "graph": vitals.graph_bytes}
        yield labelled("fmar_storage_bytes", "Bytes on disk", "part", sizes)

    def _judges(self) -> Iterator[Metric]:
        yield gauge("fmar_judges", "Judges running", self.node.judges.count)
        yield gauge("fmar_documents_waiting", "Documents waiting for a judge", self.node.judges.waiting)

    def _queries(self) -> Iterator[Metric]:
        status = self.node.queries.status()
        yield gauge("fmar_graph_index", "Newest journal index that queries see", status.index)
        yield gauge("fmar_query_workers", "Query workers running", status.workers)
        yield gauge("fmar_queries_running", "Queries that a worker is at", status.running)
        yield gauge("fmar_queries_waiting", "Queries waiting for a worker", status.waiting)
        yield labelled("fmar_queries", "Queries since the start, by outcome", "outcome", status.outcomes)
        yield histogram("fmar_query_wait_seconds", "Time that queries waited for a worker", self.node.queries.waits)
        restarts = CounterMetricFamily("fmar_child_restarts", "Children that had to be replaced, by role", labels=["role"])
        for role, count in (("writer", self.node.writer.restarts), ("judge", self.node.judges.restarts), ("query-worker", status.restarts)):
            restarts.add_metric([role], count)
        yield restarts

    def _security(self) -> Iterator[Metric]:
        security = self.node.security
        yield CounterMetricFamily("fmar_security_log_written", "Lines of the security log that were written", value=security.written)
        yield CounterMetricFamily("fmar_security_log_dropped", "Lines of the security log that were lost", value=security.dropped)
        yield gauge("fmar_security_log_trouble", "1 while the security log cannot be written", float(bool(security.trouble)))

    def _machine(self) -> Iterator[Metric]:
        yield gauge("fmar_disk_free_bytes", "Room on the disk of the data folder", free_bytes(self.node.folder.root))
        writer = self.node.writer.child
        pids = {
            "web": (os.getpid(),),
            "writer": (writer.pid,) if writer else (),
            "judge": tuple(child.pid for child in self.node.judges.members),
            "query-worker": self.node.queries.status().pids,
        }
        memory = {role: sum(map(resident_bytes, each)) for role, each in pids.items()}
        yield labelled("fmar_resident_bytes", "Memory of the processes, by role", "role", memory)
        if self.tls:
            yield gauge("fmar_certificate_end_timestamp_seconds", "When the TLS certificate ends", self.tls.certificate.ends.timestamp())


def gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def labelled(name: str, meaning: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def histogram(name: str, meaning: str, spread: Spread) -> Metric:
    """Prometheus' buckets are cumulative."""
    below, buckets = 0, []
    for bound, count in zip((*map(str, spread.bounds), "+Inf"), spread.counts, strict=True):
        below += count
        buckets.append((bound, below))
    return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=spread.total)


async def metrics(request: Request) -> Response:
    """Prometheus text format."""
    return Response(request.app.state.measures.text(), media_type="text/plain; version=0.0.4")
