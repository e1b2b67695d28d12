"""What is shipped for watching a node fits a node: its metrics exist, its alerts say what to do, its files parse."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from fmar_node.errors import PROBLEMS, Unauthenticated
from fmar_node.vitals import Pulse, Spread, Vitals
from fmar_node.web.metrics import REASONS, histogram, reason_of
from tests.killing import JUDGE, WRITER, children, is_ready, kill, wait_for_others, wait_until
from tests.live import Live

PROJECT = Path(__file__).parents[2]
OPERATION = PROJECT / "examples" / "operation"
GUIDE = PROJECT / "docs" / "guides" / "node-operator.md"
METRIC = re.compile(r"\bfmar_[a-z_]+")
CERTIFICATE = "fmar_certificate_end_timestamp_seconds"
"""Exposed only by a node with a certificate; tests/operation/test_tls.py has one."""


def exposed(live: Live) -> dict[str, float]:
    """Every sample by name and labels."""
    families = list(text_string_to_metric_families(live.client().get("/metrics").text))
    return {each.name + "".join(f" {label}={value}" for label, value in sorted(each.labels.items())): each.value for family in families for each in family.samples}


def settled(live: Live, commits: float = 0) -> dict[str, float]:
    """The samples once the writer has told of so many commits and of a graph that is level with the journal."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = exposed(live)
        told = found["fmar_commit_entries_sum"]
        if told >= commits and found["fmar_graph_lag_entries"] == 0 and (commits or told == exposed(live)["fmar_commit_entries_sum"]):
            return found
        time.sleep(0.1)
    raise AssertionError("the writer did not tell")


def names(samples: dict[str, float]) -> set[str]:
    return {sample.split()[0] for sample in samples}


def alerts() -> dict[str, tuple[str, str]]:
    """Expression and runbook of each alert."""
    text = (OPERATION / "alerts.yml").read_text("utf-8")
    parts = re.split(r"^ +- alert: ", text, flags=re.MULTILINE)[1:]

    def said(part: str, name: str) -> str:
        found = re.search(rf"^ +{name}: (.+)$", part, re.MULTILINE)
        return found[1] if found else ""

    return {part.split("\n")[0]: (said(part, "expr"), said(part, "runbook")) for part in parts}


def expressions() -> list[str]:
    """Of the dashboard."""
    board = json.loads((OPERATION / "dashboard.json").read_text("utf-8"))
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_every_metric_that_dashboard_and_alerts_name_is_exposed(own: Live) -> None:
    own.register()
    own.ask("fsp-a", "ASK {}"), own.client().get("/assets?managed=me&limit=x"), own.client().get("/assets", headers={"Authorization": "Bearer x"})
    time.sleep(1.2)

    named = {name for text in (*expressions(), *(each[0] for each in alerts().values())) for name in METRIC.findall(text)}

    assert len(named) > 20
    assert named - names(exposed(own)) == {CERTIFICATE}


@pytest.mark.parametrize("alert", alerts())
def test_every_alert_says_what_to_do(alert: str) -> None:
    expression, runbook = alerts()[alert]

    page, _, anchor = runbook.partition("#")
    titles = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.+)$", GUIDE.read_text("utf-8"), re.MULTILINE)}
    assert expression and PROJECT / page == GUIDE
    assert anchor in titles


def test_the_writer_tells_of_its_commits(own: Live) -> None:
    time.sleep(1.2)  # what other tests did has been told
    before = settled(own)

    own.register()
    after = settled(own, before["fmar_commit_entries_sum"] + 1)

    assert after["fmar_commit_entries_sum"] == before["fmar_commit_entries_sum"] + 1
    assert after["fmar_commit_seconds_count"] == before["fmar_commit_seconds_count"] + 1
    assert after["fmar_graph_lag_entries"] == 0 and after["fmar_graph_lag_seconds"] == 0
    assert after["fmar_snapshot_timestamp_seconds"] > time.time() - 60
    assert min(after[f"fmar_storage_bytes part={part}"] for part in ("journal", "graph")) > 10_000
    assert {role for role in ("web", "writer", "judge", "query-worker") if after[f"fmar_resident_bytes role={role}"] > 1e6} == {"web", "writer", "judge", "query-worker"}


def test_a_writer_that_is_killed_is_counted_and_readiness_says_so(own: Live) -> None:
    before = exposed(own)["fmar_child_restarts_total role=writer"]
    (pid,) = children(own, WRITER)

    os.kill(pid, signal.SIGKILL)
    said = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and [each.status_code for each in said[-2:]] != [503, 200]:
        said.append(httpx.get(f"{own.url}/readyz"))

    assert said[-1].status_code == 200, said[-1].text
    broken = [answer for answer in said if answer.status_code == 503]
    assert broken and all(answer.json()["detail"] and answer.headers["Retry-After"] for answer in broken)
    assert any(answer.json()["detail"].startswith("writer: ") for answer in broken)
    assert exposed(own)["fmar_child_restarts_total role=writer"] == before + 1


def test_judges_that_are_killed_while_they_wait_are_missed_at_once_and_replaced(own: Live) -> None:
    before = exposed(own)["fmar_child_restarts_total role=judge"]
    killed = children(own, JUDGE)

    for pid in killed:
        os.kill(pid, signal.SIGKILL)

    wait_until(lambda: not httpx.get(f"{own.url}/readyz").json()["judges"], "readiness says nothing of the judges")
    wait_until(lambda: is_ready(own) and len(children(own, JUDGE)) == len(killed), "the judges were not replaced")
    assert exposed(own)["fmar_child_restarts_total role=judge"] == before + len(killed)
    descriptors = len(list(Path(f"/proc/{own.process.pid}/fd").iterdir()))
    for _ in range(3):
        wait_for_others(own, JUDGE, kill(children(own, JUDGE)))
    assert len(list(Path(f"/proc/{own.process.pid}/fd").iterdir())) <= descriptors + 1
    assert own.register().status_code == 201


def test_a_refused_credential_is_counted_by_its_reason(own: Live) -> None:
    before = exposed(own).get("fmar_credential_refusals_total reason=malformed", 0)

    assert httpx.get(f"{own.url}/assets", headers={"Authorization": "DPoP x.y.z"}).status_code == 401

    assert exposed(own)["fmar_credential_refusals_total reason=malformed"] == before + 1


@pytest.mark.parametrize(("detail", "reason"), [
    ("the access token has expired; get a new one at the token endpoint", "expired"),
    ("the DPoP proof has been used before; make a new one, with a new jti, for each request", "replayed"),
    ("the application key behind this access token has been revoked", "revoked"),
    ("the DPoP proof is for another URL; htu must be http://x/", "other-address"),
    ("the DPoP proof was issued in the future by the clock of this node; set the clock, or wait", "from-the-future"),
    ("the DPoP proof was issued before this node started; make a new one with the nonce in DPoP-Nonce", "nonce-needed"),
    ("something else", "malformed"),
])  # fmt: skip
def test_reasons_are_few(detail: str, reason: str) -> None:
    assert reason_of(Unauthenticated("invalid-token", detail)) == reason


def test_reasons_come_from_a_closed_list() -> None:
    assert len({reason for _, reason in REASONS}) < 12
    assert "invalid-token" in PROBLEMS


# -- vitals


def test_a_spread_becomes_a_cumulative_histogram() -> None:
    spread = Spread((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 9.0):
        spread.add(value)

    samples = {each.labels.get("le", each.name): each.value for each in histogram("x", "x", spread).samples}

    assert samples == {"1.0": 2, "2.0": 3, "+Inf": 4, "x_count": 4, "x_sum": 12.0}


def test_lag_is_counted_from_the_oldest_entry_that_is_missing(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "journal.db", tmp_path, size=5)

    pulse.committed(2, 0.01, size=7)
    behind = pulse.vitals(size=7, applied=4, trouble="")
    lag = behind.lag_seconds
    level = Vitals.from_json(json.loads(json.dumps(pulse.vitals(size=7, applied=6, trouble="no room").as_json())))

    assert behind.commit_entries.total == 2 and 0 < lag < 5
    assert (level.lag_entries, level.lag_seconds, level.trouble) == (0, 0.0, "no room")
