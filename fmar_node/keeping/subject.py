"""A subject: whoever personal values of a record are about. What is held about it, and by which records it is known.

Rules kept here: nothing is changed; everything is told, to the operator alone, who answers to the person concerned
(subject access); an erased section is told as erased, never left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from fmar_node.access.caller import Caller
from fmar_node.access.past import look_of
from fmar_node.access.standing import caller_in
from fmar_node.clock import SystemClock, today
from fmar_node.errors import NotFound
from fmar_node.identity import is_uuid
from fmar_node.journal.entry import SECTIONS
from fmar_node.journal.register import Register
from fmar_node.kinds import KINDS
from fmar_node.kinds.erasure import ERASURE, PAST
from fmar_node.read import normal
from fmar_node.record import Version
from fmar_node.vocabulary import Tier

PAGE = 500
SCHEME = re.compile(r"[A-Z][A-Z0-9_]+")


def named(register: Register, subject: str) -> list[Version]:
    """The records that a subject names: an IRI, `assets/UUID`, or SCHEME:VALUE as in lookups (MPAN:2000000000006). NotFound for none."""
    *_, kind, id_ = ["", *subject.rstrip("/").split("/")]
    found = [register.current(kind, id_)] if kind in KINDS and is_uuid(id_) else _carrying(register, subject)
    versions = [version for version in found if version is not None]
    if not versions:
        raise NotFound("not-found", "no record has this IRI (.../assets/UUID), or carries this identifier (SCHEME:VALUE) now; fmar subject find looks into the past too")
    return versions


def mentioning(register: Register, text: str) -> Iterator[Version]:
    """The records of which some version has the text among its personal values, in whatever case; each once, as it is now.

    SCHEME:VALUE, as in lookups (MPAN:2000000000006), finds those that carry the identifier now, and those that have ever had the value.
    """
    scheme, _, value = text.partition(":")
    wanted = {each.strip().casefold() for each in ((text, value) if SCHEME.fullmatch(scheme.upper()) else (text,)) if each.strip()}
    carrying = _carrying(register, text)
    yield from carrying
    seen, index = {(version.kind, version.id) for version in carrying}, -1
    while versions := register.since(index, PAGE):
        for version in versions:
            if (version.kind, version.id) not in seen and _mentions(register, version.index, wanted):
                seen.add((version.kind, version.id))
                current = register.current(version.kind, version.id)
                assert current is not None
                yield current
        index = versions[-1].index


def _carrying(register: Register, identifier: str) -> list[Version]:
    scheme, _, value = identifier.partition(":")
    ids = register.found(scheme.upper(), normal(scheme.upper(), value)) if value else []
    return [version for kind in KINDS for id_ in ids if (version := register.current(kind, id_))]


def is_erased(version: Version, scope: str) -> bool:
    """Whether an erasure of this scope finds nothing: there is no past, or the newest entry is an erasure of this scope or a wider one."""
    done = version.document.get("erasureScope") if version.action == ERASURE else None
    return (scope == PAST and version.number == 1) or (done is not None and scope in (done, PAST))


def held(register: Register, version: Version) -> dict[str, Any]:
    """Everything that the node holds about a record, as JSON: all versions with all sections, who sees what, what leads to it."""
    id_, count = version.id, register.connection.execute
    return {
        "record": version.iri,
        "state": version.state,
        "versions": [_told(register, each) for each in register.versions(version.kind, id_)],
        "seenBy": list(_seen_by(register, version)),
        "keyedHashes": {
            "claims": count("SELECT count(*) FROM claim WHERE record = ?", (id_,)).fetchone()[0],
            "lookupHandles": count("SELECT count(*) FROM handle WHERE record = ?", (id_,)).fetchone()[0],
            "idempotencyKeys": count(
                "SELECT count(*) FROM idempotency WHERE idx IN (SELECT idx FROM entry WHERE record = ?)", (id_,)
            ).fetchone()[0],
        },
    }


def _told(register: Register, version: Version) -> dict[str, Any]:
    entry = register.entry(version.index)
    assert entry is not None
    sections = {section: _shown(section, entry.body(section)) for section in SECTIONS}
    return {"journalIndex": version.index, "version": version.number, "action": version.action, "recordedAt": version.recorded_at, "sections": sections}


def _shown(section: str, body: bytes | None) -> Any:
    if body is None:
        return "erased"
    if section == "submission":
        return body.decode("utf-8", "replace")
    return json.loads(body) if body else None


def _seen_by(register: Register, version: Version) -> Iterator[dict[str, Any]]:
    day = today(SystemClock())
    for other in register.as_of("organisations", register.size() - 1):
        look = look_of(version, caller_in(register, Caller(other.id), day), register.version)
        if opened := look.sight.tiers:
            told = {"organisation": other.iri, "name": other.document.get("organisationLegalName"), "tiers": sorted(tier.value for tier in opened)}
            yield {**told, "personal": Tier.PERSONAL in opened, **({"asOf": look.as_of} if look.as_of else {})}


def _mentions(register: Register, index: int, wanted: set[str]) -> bool:
    entry = register.entry(index)
    assert entry is not None
    bodies = (entry.body("personal"), entry.body("submission"))
    held = " ".join(body.decode("utf-8", "replace") for body in bodies if body).casefold()
    return any(each in held for each in wanted)
