"""Who is responsible for an asset, and when (domain 5.3): intervals in days of the market, and in the register's own time.

Rules kept here: the day on which a time begins is its own, the day on which it ends is not; no two times overlap, so that a new one
begins on the day on which the last one ended, or later; where another provider follows, the version that the last one keeps is named.
"""

from __future__ import annotations

from fmar_node.clock import day_of
from fmar_node.vocabulary import Document

AWAITING_NEW_FSP = "AWAITING_NEW_FSP"
"""The standing of an asset that nobody is responsible for: installed and not claimed yet, or its provider has left the register."""


def begun(document: Document, provider: str, day: str, now: str) -> Document:
    """The asset with a time of this provider, from a day on; the times before it have ended."""
    times = _times(document)
    first = max(day, times[-1].get("validTo", day)) if times else day
    return _with(document, [*times, {"provider": provider, "validFrom": first, "begunAt": now}])


def over(document: Document, day: str, now: str) -> Document:
    """The asset when the time of its provider has ended; one that had ended before, or that had no provider, stays as it was."""
    times = _times(document)
    if times and "validTo" not in times[-1]:
        times[-1] |= {"validTo": max(day, times[-1]["validFrom"]), "endedAt": now}
    return _with(document, times) if times else document


def handed_over(document: Document, provider: str, day: str, now: str) -> Document:
    """The asset with another provider from a day on. The last one keeps this version."""
    times = _times(over(document, day, now))
    times[-1]["lastVersion"] = document["version"]
    times[-1]["endedAt"] = now
    return begun(_with({**document, "managedBy": provider}, times), provider, day, now)


def _times(document: Document) -> list[Document]:
    """The times so far; an asset that an earlier release has registered has had one provider, from its registration on."""
    if found := document.get("responsibility"):
        return [dict(each) for each in found]
    if "registeredAt" not in document or "managedBy" not in document:
        return []
    return [{"provider": document["managedBy"], "validFrom": day_of(document["registeredAt"]), "begunAt": document["registeredAt"]}]


def _with(document: Document, times: list[Document]) -> Document:
    numbered = [{**each, "id": f"{document['id']}#responsibility-{place}", "type": "Responsibility"} for place, each in enumerate(times, start=1)]
    return {**document, "responsibility": numbered}
