"""Documents registered over HTTP, one after the other, with what became of each: what an import does with its rows."""

from __future__ import annotations

from typing import Any

import httpx

from fmar_node.cli.console import Refused, answered
from fmar_node.errors import Fault, Severity
from fmar_node.imports.release import changed_terms
from fmar_node.imports.report import Outcome
from fmar_node.imports.run import Register
from fmar_node.judge import fault_from_json

LD_JSON = {"Content-Type": "application/ld+json"}


def registering(client: httpx.Client, params: dict[str, str]) -> Register:
    """Registers documents over HTTP; a refusal is an outcome like any other.

    A row of an earlier release is found again by its alias: unchanged it makes no version, changed a new one.
    """

    def register(document: dict[str, Any], key: str) -> Outcome:
        try:
            known = _known(client, document)
            if known is not None:
                return _brought_up_to_date(client, known, document, params)
            return _accepted(answered(client.post("/assets", json=document, params=params, headers={**LD_JSON, "Idempotency-Key": key})))
        except Refused as refusal:
            faults = tuple(fault_from_json(each) for each in refusal.problem.get("errors", ()))
            return Outcome(False, faults=faults, detail=str(refusal.problem.get("detail", "")))

    return register


def _known(client: httpx.Client, document: dict[str, Any]) -> httpx.Response | None:
    """The record that carries the row's alias, where the caller has one."""
    alias = document["alias"][0]
    found = client.post("/assets/lookup", json={"scheme": alias["scheme"], "value": alias["value"]})
    return None if found.status_code == httpx.codes.NOT_FOUND else answered(client.get(answered(found).json()["items"][0]["id"]))


def _brought_up_to_date(client: httpx.Client, known: httpx.Response, document: dict[str, Any], params: dict[str, str]) -> Outcome:
    changed = changed_terms(document, known.json())
    if not changed:
        return Outcome(True, known.json()["id"], is_unchanged=True)
    patch = {term: document.get(term) for term in (*changed, "justification", "publishedValue", "publishedSource")}
    headers = {"Content-Type": "application/merge-patch+json", "If-Match": known.headers["ETag"]}
    return _accepted(answered(client.patch(known.json()["id"], json=patch, params=params, headers=headers)))


def _accepted(response: httpx.Response) -> Outcome:
    """What a record says of its own acceptance: warnings, and terms that were filled."""
    body = response.json()
    if "accepted" in body:
        return Outcome(True, faults=tuple(fault_from_json(each) for each in body["errors"]))
    warned = [Fault(each["rule"], Severity.WARN, each["text"]) for each in body.get("warning", ())]
    filled = [Fault("default", Severity.FILLED, f"{name} was filled", f"/{name}", name) for name in body.get("defaulted", ())]
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return Outcome(True, response.headers["Location"], tuple(warned + filled), is_unchanged=replayed)
