"""Documents registered over HTTP, one after the other, with what became of each: what an import does with its rows, and a list of names with its."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container
from typing import Any

import httpx

from fmar_node.cli.console import Refused, answered
from fmar_node.errors import Fault, Severity
from fmar_node.imports.release import changed_terms
from fmar_node.imports.report import Outcome
from fmar_node.imports.run import Register
from fmar_node.judge import fault_from_json

Names = dict[tuple[str, str], set[str]]
"""Assets by what they are known by: scheme and value."""
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
LD_JSON = {"Content-Type": "application/ld+json"}


def registering(client: httpx.Client, params: dict[str, str], aliases: Container[str] = ()) -> Register:
    """Registers documents over HTTP; a refusal is an outcome like any other.

    A row of an earlier release is found again by its alias, or as the same machine at its meter point: unchanged it makes no version,
    changed a new one. `aliases` are all of the file: what has one of them is another row's asset.
    """

    own = _named(client)

    def register(document: dict[str, Any], key: str) -> Outcome:
        try:
            known = _known(client, own, document, aliases)
            if known is not None:
                return _brought_up_to_date(client, known, document, params)
            return _accepted(answered(client.post("/assets", json=document, params=params, headers={**LD_JSON, "Idempotency-Key": key})))
        except Refused as refusal:
            return _refused(refusal)

    return register


def _refused(refusal: Refused) -> Outcome:
    faults = tuple(fault_from_json(each) for each in refusal.problem.get("errors", ()))
    return Outcome(False, faults=faults, detail=str(refusal.problem.get("detail", "")))


def linking(client: httpx.Client, params: dict[str, str]) -> Register:
    """Adds aliases to the caller's assets, which are found by those that they have; what is not registered is refused, and nothing is made.

    The assets are read once: a list of names has many that are not the caller's, and nobody is asked about those.
    """
    own = _named(client)

    def register(document: dict[str, Any], key: str) -> Outcome:  # noqa: ARG001
        found = {id_ for each in document["knownBy"] for id_ in own.get(_folded(each), ())}
        if len(found) != 1:
            return Outcome(False, faults=(SEVERAL if found else NOT_REGISTERED,))
        return _named_further(client, found.pop(), document["alias"], params)

    return register


NOT_REGISTERED = Fault("ASSET-UNKNOWN", Severity.REJECT, "none of your assets has a name of this row", field="alias")
SEVERAL = Fault("ASSET-AMBIGUOUS", Severity.REJECT, "several of your assets have names of this row; which one is meant is not known", field="alias")


def _named(client: httpx.Client) -> Names:
    """The caller's assets that are not de-registered, by their aliases and meter points."""
    found: Names = defaultdict(set)
    with client.stream("GET", "/assets/export", params={"format": "ndjson"}) as response:
        if not response.is_success:
            response.read()
            answered(response)
        for line in response.iter_lines():
            document = json.loads(line)
            if document.get("registrationStatus") == "DEREGISTERED":
                continue
            points = (("MPAN", document[term]) for term in ("exportMPAN", "importMPAN") if term in document)
            for name in (*map(_folded, document.get("alias", ())), *points):
                found[name].add(document["id"])
    return found


def _folded(alias: dict[str, Any]) -> tuple[str, str]:
    return alias["scheme"], alias["value"].strip().casefold()


def _named_further(client: httpx.Client, iri: str, aliases: list[dict[str, Any]], params: dict[str, str]) -> Outcome:
    """Adds what an asset lacks of some aliases; where another row has changed it meanwhile, once more."""
    for last in (False, False, True):
        known = answered(client.get(iri))
        record = known.json()
        given = {_folded(each) for each in record.get("alias", ())}
        further = [each for each in aliases if _folded(each) not in given]
        if not further:
            return Outcome(True, iri, is_unchanged=True)
        patch = {"alias": [*(_without_id(each) for each in record.get("alias", ())), *further]}
        try:
            return _accepted(answered(client.patch(iri, json=patch, params=params, headers={**MERGE_PATCH, "If-Match": known.headers["ETag"]})))
        except Refused as refusal:
            if last or refusal.problem.get("code") != "version-stale":
                return _refused(refusal)
    raise AssertionError


def _known(client: httpx.Client, own: Names, document: dict[str, Any], aliases: Container[str]) -> httpx.Response | None:
    """The record of the caller that carries the row's alias; otherwise the one at its meter point with its name, category and source, and of
    no other row: it has another capacity. None where there is no such, or several.
    """
    if found := own.get(_folded(document["alias"][0])):
        return answered(client.get(min(found)))
    points = {("MPAN", document[term]) for term in ("exportMPAN", "importMPAN") if term in document}
    near = [answered(client.get(id_)) for id_ in sorted({id_ for point in points for id_ in own.get(point, ())})]
    alike = [each for each in near if _is_alike(each.json(), document) and not any(alias["value"] in aliases for alias in each.json().get("alias", ()))]
    return alike[0] if len(alike) == 1 else None


def _is_alike(record: dict[str, Any], document: dict[str, Any]) -> bool:
    return all(str(record.get(term, "")).casefold() == str(document.get(term, "")).casefold() for term in ("assetName", "assetCategory", "energySource"))


def _brought_up_to_date(client: httpx.Client, known: httpx.Response, document: dict[str, Any], params: dict[str, str]) -> Outcome:
    record = known.json()
    changed = changed_terms(document, record)
    if not changed:
        return Outcome(True, record["id"], is_unchanged=True)
    patch = {term: document.get(term) for term in (*changed, "justification", "publishedValue", "publishedSource")}
    given = {(each["scheme"], each["value"]) for each in record.get("alias", ())}
    if further := [each for each in document["alias"] if (each["scheme"], each["value"]) not in given]:
        patch["alias"] = [*(_without_id(each) for each in record.get("alias", ())), *further]
    headers = {**MERGE_PATCH, "If-Match": known.headers["ETag"]}
    return _accepted(answered(client.patch(record["id"], json=patch, params=params, headers=headers)))


def _without_id(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in ("id", "type")}


def _accepted(response: httpx.Response) -> Outcome:
    """What a record says of its own acceptance: warnings, and terms that were filled."""
    body = response.json()
    if "accepted" in body:
        return Outcome(True, faults=tuple(fault_from_json(each) for each in body["errors"]))
    warned = [Fault(each["rule"], Severity.WARN, each["text"]) for each in body.get("warning", ())]
    filled = [Fault("default", Severity.FILLED, f"{name} was filled", f"/{name}", name) for name in body.get("defaulted", ())]
    replayed = response.headers.get("Idempotent-Replayed") == "true"
    return Outcome(True, response.headers.get("Location") or body["id"], tuple(warned + filled), is_unchanged=replayed)
