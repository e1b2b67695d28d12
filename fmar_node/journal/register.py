"""The journal read: entries, versions, current state, identifiers. Any process may have one; none of them writes.

Rules kept here: a document is put together from its sections, as far as they have not been erased; identifiers
are looked up by keyed hash, so that the tables hold no personal value beside the sections.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fmar_node.errors import Broken
from fmar_node.journal.cipher import NO_SALT, PERSONAL, SubjectKey, decrypt
from fmar_node.journal.entry import SALT_BYTES, SECTIONS, Entry, leaf_data
from fmar_node.journal.handover import Handover
from fmar_node.journal.tree import HASH_BYTES
from fmar_node.record import STATUS_TERMS, Actor, Version, joined
from fmar_node.vocabulary import Document, Term, Tier

PLAIN_TIERS = (Tier.OPEN, Tier.OPERATIONAL, Tier.COMMERCIAL)

MOVED_SINCE = 10_000
"""So many of the newest entries are looked through one by one; of more, those of the records in question are found by the records."""

AT_PRESENT = "SELECT id FROM record INDEXED BY record_manager WHERE kind = ?1 AND manager = ?2 AND id > ?3"
FORMERLY = "SELECT f.record FROM former f JOIN entry e ON e.idx = f.last WHERE e.kind = ?1 AND f.organisation = ?2 AND f.record > ?3"
"""Ids of records that an organisation manages, and that it has managed before."""
VERSION = """
SELECT e.idx, e.kind, e.record, e.version, e.action, e.recorded_at,
       s.actor, s.open, s.operational, s.commercial, s.personal, k.key, k.erased_before
FROM entry e JOIN section s ON s.idx = e.idx LEFT JOIN subject_key k ON k.record = e.record
"""
ALIKE = VERSION.replace("FROM entry e", "FROM record r CROSS JOIN entry e ON e.idx = r.head") + "WHERE r.kind = ? AND r.id > ? ORDER BY r.id LIMIT 1"


class Claimed(Protocol):
    """A value within a scope."""

    @property
    def scope(self) -> str: ...
    @property
    def value(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Window:
    """Which records a list may pick from: all, or those managed, owned, in these areas, of these grantors, or public."""

    everything: bool = False
    organisation: str = ""
    areas: tuple[str, ...] = ()
    managed_only: bool = False
    public: bool = True
    grantors: tuple[str, ...] = ()


def connect(path: Path, *, writable: bool = False) -> sqlite3.Connection:
    """A connection to the journal's file, which is there; read-only unless it is the writer's."""
    mode = "rw" if writable else "ro"
    connection = sqlite3.connect(f"file:{path}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


class Register:
    """Reads over one connection; one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, terms: Mapping[str, Term], lookup_key: bytes) -> None:
        self.connection, self.terms, self.lookup_key = connection, terms, lookup_key

    def blind(self, scheme: str, value: str) -> bytes:
        """A keyed hash of an identifier: the same value, the same 16 bytes; useless without the node's key."""
        return hmac.digest(self.lookup_key, f"{scheme}\0{value}".encode(), hashlib.sha256)[:16]

    # -- versions

    def current(self, kind: str, id_: str) -> Version | None:
        return self._one(VERSION + "JOIN record r ON r.head = e.idx WHERE r.kind = ? AND r.id = ?", kind, id_)

    def alike(self, kind: str, id_: str) -> Version | None:
        """The record of a kind that comes next by id, or the first: read in place of one that is not there, so that time tells nobody which are there."""
        return self._one(ALIKE, kind, id_) or self._one(ALIKE, kind, "")

    def version(self, kind: str, id_: str, number: int) -> Version | None:
        return self._one(VERSION + "WHERE e.record = ? AND e.version = ? AND e.kind = ?", id_, number, kind)

    def version_at(self, index: int) -> Version | None:
        return self._one(VERSION + "WHERE e.idx = ?", index)

    def versions(self, kind: str, id_: str, after: int = 0) -> Iterator[Version]:
        """Every version of a record, or every later one, oldest first."""
        return self._many(VERSION + "WHERE e.record = ? AND e.kind = ? AND e.version > ? ORDER BY e.version", id_, kind, after)

    def newest_of(self, kind: str) -> int:
        """The newest entry of a kind of record; -1 where there is none."""
        return int(self.connection.execute("SELECT coalesce(max(head), -1) FROM record WHERE kind = ?", (kind,)).fetchone()[0])

    def previous(self, version: Version) -> Version | None:
        return self.version(version.kind, version.id, version.number - 1) if version.number > 1 else None

    def since(self, index: int, limit: int) -> list[Version]:
        """The entries after `index`, in order."""
        return list(self._many(VERSION + "WHERE e.idx > ? ORDER BY e.idx LIMIT ?", index, limit))

    def naming(self, after: int, last: int, marks: Sequence[str] | None, kinds: Sequence[str], of: Sequence[str] = ()) -> Iterator[tuple[int, int | None]]:
        """Index and cause of the entries after one, up to another, whose record may concern whom these texts mark: of `kinds` those
        alone in which one of them stands, or stood before; without marks all. `of` narrows by kind.
        """
        said = [f"instr({row}.{tier.value}, ?{place})" for place in range(3, 3 + len(marks or ())) for row in ("s", "b") for tier in PLAIN_TIERS]
        values: list[Any] = [after, last, *(mark.encode() for mark in marks or ())]
        clauses = []
        for names, form in ((kinds if marks is not None else (), "(e.kind NOT IN ({places}) OR {said})"), (of, "e.kind IN ({places})")):
            if names:
                places = ",".join(f"?{len(values) + place}" for place in range(1, 1 + len(names)))
                clauses.append(form.format(places=places, said=" OR ".join(said) or "0"))
                values += names
        sql = (
            "SELECT e.idx, e.cause FROM entry e JOIN section s ON s.idx = e.idx LEFT JOIN entry p ON p.record = e.record AND p.version = e.version - 1 "
            f"LEFT JOIN section b ON b.idx = p.idx WHERE {' AND '.join(['e.idx > ?1 AND e.idx <= ?2', *clauses])} ORDER BY e.idx"
        )
        for row in self.connection.execute(sql, values):
            yield row[0], row[1]

    def cause_of(self, index: int) -> int | None:
        """The entry whose consequence an entry is; None where it is nobody's."""
        row = self.connection.execute("SELECT cause FROM entry WHERE idx = ?", (index,)).fetchone()
        return None if row is None else row[0]

    def of_kind_since(self, kind: str, index: int, limit: int) -> list[Version]:
        """The entries of a kind after `index`, in order."""
        return list(self._many(VERSION + "WHERE e.idx > ? AND e.kind = ? ORDER BY e.idx LIMIT ?", index, kind, limit))

    def as_of(self, kind: str, index: int) -> Iterator[Version]:
        """Each record of a kind as it stood at a place of the journal."""
        newest = "SELECT max(idx) FROM entry WHERE kind = ? AND idx <= ? GROUP BY record"
        return self._many(VERSION + f"WHERE e.idx IN ({newest}) ORDER BY e.idx", kind, index)

    def page_as_of(self, kind: str, manager: str, index: int, after: str, limit: int, *, is_former: bool = False) -> tuple[list[Version], str]:
        """Records as they stood at a place of the journal, by id, after a given one: those that somebody manages now, or has managed
        before (`is_former`), and those that have changed since, whoever manages them, so that what it had then is among them. With the id to go on after; empty at the end.
        """
        plan = "NOT INDEXED" if self.size() - index < MOVED_SINCE else ""
        sql = (
            f"SELECT * FROM ({FORMERLY if is_former else AT_PRESENT} ORDER BY 1 LIMIT ?4) UNION "
            f"SELECT * FROM (SELECT DISTINCT record FROM entry {plan} WHERE idx > ?5 AND kind = ?1 AND record > ?3 ORDER BY record LIMIT ?4) "
            "ORDER BY 1 LIMIT ?4"
        )
        ids = [row[0] for row in self.connection.execute(sql, (kind, manager, after, limit, index))]
        newest = f"SELECT max(idx) AS newest FROM entry WHERE record IN ({','.join('?' * len(ids))}) AND idx <= ? GROUP BY record"
        found = self._many(VERSION + f"WHERE e.idx IN ({newest}) ORDER BY e.record", *ids, index) if ids else ()
        return list(found), ids[-1] if len(ids) == limit else ""

    def page(self, kind: str, window: Window, after: str, limit: int, equal: Mapping[str, str]) -> list[Version]:
        """Records that the window may show, by id, after a given one; `equal` narrows by single-valued terms."""
        clauses, values = _selection(window)
        sql = VERSION + f"JOIN record r ON r.head = e.idx WHERE r.kind = ? AND r.id > ? AND ({clauses})"
        for term, value in equal.items():
            section = self.terms[term].tier.value
            sql += " AND r.state = ?" if term in STATUS_TERMS else f" AND json_extract(CAST(s.{section} AS TEXT), '$.{term}') = ?"
            values = [*values, value]
        return list(self._many(sql + " ORDER BY r.id LIMIT ?", kind, after, *values, limit))

    def kept(self, kind: str, organisations: Iterable[str], after: str, limit: int, equal: Mapping[str, str] | None = None) -> list[str]:
        """The ids of records of which these organisations are former providers, after a given one; `equal` narrows by how they were then."""
        named = sorted(organisations)
        sql = (
            f"SELECT DISTINCT f.record FROM former f JOIN entry e ON e.idx = f.last JOIN section s ON s.idx = f.last "
            f"WHERE f.organisation IN ({','.join('?' * len(named))}) AND f.record > ? AND e.kind = ?"
        )
        values = [*named, after, kind]
        for term, value in (equal or {}).items():
            sql += f" AND json_extract(CAST(s.{self.terms[term].tier.value} AS TEXT), '$.{term}') = ?"
            values.append(value)
        return [str(row[0]) for row in self.connection.execute(sql + " ORDER BY f.record LIMIT ?", (*values, limit))]

    def _one(self, sql: str, *values: Any) -> Version | None:
        row = self.connection.execute(sql, values).fetchone()
        return self._version(row) if row else None

    def _many(self, sql: str, *values: Any) -> Iterator[Version]:
        for row in self.connection.execute(sql, values):
            yield self._version(row)

    def _version(self, row: sqlite3.Row) -> Version:
        plain = {tier: row[tier.value] for tier in PLAIN_TIERS}
        plain[Tier.PERSONAL] = opened(row, "personal")[1]
        pieces: list[Document] = [json.loads(body) for body in plain.values() if body]
        actor = Actor.from_json(json.loads(row["actor"]) if row["actor"] else {})
        document = joined(pieces, self.terms)
        return Version(row["kind"], row["record"], row["version"], row["idx"], row["action"], row["recorded_at"], actor, document)

    # -- state

    def holder(self, claim: Claimed) -> str | None:
        digest = self.blind(claim.scope, claim.value)
        row = self.connection.execute("SELECT record FROM claim WHERE digest = ?", (digest,)).fetchone()
        return str(row[0]) if row else None

    def found(self, scheme: str, value: str) -> list[str]:
        digest = self.blind(f"handle:{scheme}", value)
        return [str(row[0]) for row in self.connection.execute("SELECT record FROM handle WHERE digest = ?", (digest,))]

    def found_before(self, scheme: str, value: str, organisations: Iterable[str]) -> list[str]:
        """The ids of records that carried an identifier when the time of one of these former providers ended."""
        digest, named = self.blind(f"handle:{scheme}", value), sorted(organisations)
        sql = f"SELECT record FROM former_handle WHERE digest = ? AND organisation IN ({','.join('?' * len(named))})"
        return [str(row[0]) for row in self.connection.execute(sql, (digest, *named))]

    def carrying(self, handles: Iterable[tuple[str, str]], after: str, limit: int) -> list[str]:
        """The ids of records that carry one of these identifiers at least, in their order, after a given one."""
        own = "SELECT * FROM (SELECT record FROM handle WHERE digest = ? AND record > ? ORDER BY record LIMIT ?)"
        values = [(self.blind(f"handle:{scheme}", value), after, limit) for scheme, value in handles]
        sql = " UNION ".join([own] * len(values)) + " ORDER BY record LIMIT ?"
        return [str(row[0]) for row in self.connection.execute(sql, (*itertools.chain(*values), limit))]

    def live_assets(self, organisation: str) -> int:
        own = "SELECT id FROM record INDEXED BY record_{0} WHERE kind = 'assets' AND is_live = 1 AND {0} = ?1"
        sql = f"SELECT count(*) FROM ({own.format('manager')} UNION {own.format('owner')})"
        return int(self.connection.execute(sql, (organisation,)).fetchone()[0])

    def granted_to(self, organisation: str, grantor: str = "") -> list[Version]:
        """The active delegations to an organisation whose grantors are active; of one grantor, where it is named."""
        sql = (
            "JOIN record r INDEXED BY record_owner ON r.head = e.idx "
            "JOIN record g ON g.kind = 'organisations' AND g.id = r.manager AND g.state = 'ACTIVE' "
            "WHERE r.kind = 'delegations' AND r.owner = ?1 AND r.state = 'ACTIVE' AND ?2 IN ('', r.manager) ORDER BY r.id"
        )
        return list(self._many(VERSION + sql, organisation, grantor))

    def granting_moved(self, organisation: str) -> int:
        """The newest entry that may have changed what is granted to an organisation; -1 where there is none. An offer changes nothing."""
        sql = (
            "SELECT max(max(r.head, CASE WHEN g.state <> 'ACTIVE' THEN g.head ELSE -1 END)) FROM record r INDEXED BY record_owner "
            "JOIN record g ON g.kind = 'organisations' AND g.id = r.manager JOIN section s ON s.idx = r.head "
            "WHERE r.kind = 'delegations' AND r.owner = ? AND json_extract(CAST(s.operational AS TEXT), '$.acceptedAt') IS NOT NULL"
        )
        newest = self.connection.execute(sql, (organisation,)).fetchone()[0]
        return -1 if newest is None else int(newest)

    def moved_by(self, index: int) -> set[str]:
        """Whose rights the entries from `index` on may have moved: organisations and users that a changed record names, itself
        among them, and whomever one of these has granted anything. An asset, a saved query and a notice move nobody's.
        """
        sql = (
            "WITH moved AS (SELECT r.id, r.manager, r.owner FROM entry e JOIN record r ON r.kind = e.kind AND r.id = e.record "
            "WHERE e.idx >= ? AND e.kind NOT IN ('assets', 'queries', 'notices', 'switches', 'service-windows')) "
            "SELECT id FROM moved UNION SELECT manager FROM moved UNION SELECT owner FROM moved UNION "
            "SELECT d.owner FROM moved CROSS JOIN record d INDEXED BY record_manager ON d.kind = 'delegations' AND d.manager = moved.id"
        )
        return {row[0] for row in self.connection.execute(sql, (index,))}

    def alike_since(self, version: Version, *terms: str) -> int:
        """The entry since which a record has had the values that a version has for some terms of the tier open."""
        differs = " OR ".join(f"json_extract(CAST(s.open AS TEXT), '$.{term}') IS NOT json_extract(CAST(n.open AS TEXT), '$.{term}')" for term in terms)
        sql = (
            "SELECT e.version FROM section n CROSS JOIN entry e CROSS JOIN section s ON s.idx = e.idx "
            f"WHERE n.idx = ? AND e.record = ? AND e.version < ? AND ({differs}) ORDER BY e.version DESC LIMIT 1"
        )
        row = self.connection.execute(sql, (version.index, version.id, version.number)).fetchone()
        first = "SELECT idx FROM entry WHERE record = ? AND version = ?"
        return int(self.connection.execute(first, (version.id, row[0] + 1 if row else 1)).fetchone()[0])

    def belonging(self, kind: str, organisation: str, states: Sequence[str]) -> list[Version]:
        """The records of a kind, in one of these states, that an organisation manages, has granted or was granted; or its users."""
        own = "SELECT head, id FROM record INDEXED BY record_{0} WHERE kind = ?1 AND {0} = ?2 AND state IN ({1})"
        places = ",".join(f"?{place}" for place in range(3, 3 + len(states)))
        sql = f"JOIN ({own.format('manager', places)} UNION {own.format('owner', places)}) r ON r.head = e.idx ORDER BY r.id"
        return list(self._many(VERSION + sql, kind, organisation, *states))

    def due(self, now: str, most: int) -> list[tuple[str, str]]:
        """Kind and id of records to which something happens by the clock, in the order in which it was due."""
        rows = self.connection.execute("SELECT kind, record FROM due WHERE at <= ? ORDER BY at, record LIMIT ?", (now, most))
        return [(row[0], row[1]) for row in rows]

    def counts(self) -> dict[tuple[str, str], int]:
        """How many records of each kind are in each state."""
        rows = self.connection.execute("SELECT kind, state, records FROM tally WHERE records > 0")
        return {(row[0], row[1]): row[2] for row in rows}

    def unchanged_since(self, kind: str, state: str, time: str, scheme: str) -> int:
        """How many records are in a state and have not changed since a time, or carry their state as an identifier of this scheme."""
        sql = (
            "SELECT count(*) FROM record r JOIN entry e ON e.idx = r.head WHERE r.kind = ? AND r.state = ? AND "
            "(e.recorded_at < ? OR EXISTS (SELECT 1 FROM handle h WHERE h.digest = ? AND h.record = r.id))"
        )
        return int(self.connection.execute(sql, (kind, state, time, self.blind(f"handle:{scheme}", state))).fetchone()[0])

    def ended_before(self, time: str, most: int) -> list[tuple[str, str]]:
        """Kind and id of records that have been de-registered or withdrawn before a time and not been erased since; queries and releases have nothing personal."""
        sql = (
            "SELECT r.kind, r.id FROM record r JOIN entry e ON e.idx = r.head "
            "WHERE r.state IN ('DEREGISTERED', 'WITHDRAWN') AND r.kind NOT IN ('queries', 'releases') AND e.recorded_at < ? AND e.action <> 'erasure' LIMIT ?"
        )
        return [(row[0], row[1]) for row in self.connection.execute(sql, (time, most))]

    def index_at(self, time: str) -> int:
        """The newest entry that was recorded at or before a time; -1 where there is none. Recorded times never run backwards."""
        return self._newest(lambda at: at <= time)

    def index_before(self, time: str) -> int:
        """The newest entry that was recorded before a time; -1 where there is none."""
        return self._newest(lambda at: at < time)

    def _newest(self, is_then: Callable[[str], bool]) -> int:
        low, high = 0, self.size()
        while low < high:
            middle = (low + high) // 2
            at = self.connection.execute("SELECT recorded_at FROM entry WHERE idx = ?", (middle,)).fetchone()[0]
            low, high = (middle + 1, high) if is_then(at) else (low, middle)
        return low - 1

    def application_key(self, client_id: str, key_id: str | None) -> sqlite3.Row | None:
        """The key of an application: by its id, or its newest active one."""
        sql = "SELECT * FROM application_key WHERE client_id = ?1 AND (?2 IS NULL OR key_id = ?2) ORDER BY is_active DESC"
        row: sqlite3.Row | None = self.connection.execute(sql, (client_id, key_id)).fetchone()
        return row

    def revoked_keys(self) -> tuple[int, list[int]]:
        """The highest entry that a key came with, and the entries of those keys that are revoked."""
        highest = self.connection.execute("SELECT coalesce(max(entry), 0) FROM application_key").fetchone()[0]
        sql = "SELECT entry FROM application_key GROUP BY entry HAVING max(is_active) = 0 ORDER BY entry"
        return int(highest), [row[0] for row in self.connection.execute(sql)]

    def repeated(self, organisation: str, key: str, digest: bytes) -> tuple[bool, int] | None:
        """Whether an earlier request with this idempotency key had the same digest, and its entry; None where there was none.

        After the record's erasure no request is the same any more.
        """
        sql = (
            "SELECT i.digest, i.idx, k.key, k.erased_before FROM idempotency i "
            "JOIN entry e ON e.idx = i.idx JOIN subject_key k ON k.record = e.record WHERE i.request = ?"
        )
        row = self.connection.execute(sql, (self.request(organisation, key),)).fetchone()
        if row is None:
            return None
        is_same = hmac.compare_digest(SubjectKey(row["key"], row["erased_before"]).digest(digest), row["digest"])
        return is_same, int(row["idx"])

    def request(self, organisation: str, key: str) -> bytes:
        """What an idempotency key is filed under."""
        return self.blind(f"idempotency/{organisation}", key)

    def subject_key(self, record: str) -> SubjectKey | None:
        """The key of a record's personal sections as it stands now; None before the record's first entry."""
        row = self.connection.execute("SELECT key, erased_before FROM subject_key WHERE record = ?", (record,)).fetchone()
        return SubjectKey(row["key"], row["erased_before"]) if row else None

    # -- the tree

    def size(self) -> int:
        return int(self.connection.execute("SELECT coalesce(max(idx) + 1, 0) FROM entry").fetchone()[0])

    def checkpoint(self) -> str:
        """The newest signed checkpoint: a C2SP signed note."""
        row = self.connection.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        return str(row[0]) if row else ""

    def handovers(self) -> list[Handover]:
        """From one signing key to the next, oldest first, not yet verified. NoteError where one is malformed."""
        return [Handover.parse(row[0]) for row in self.connection.execute("SELECT note FROM handover ORDER BY number")]

    def meta(self, key: str) -> str | None:
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def entry(self, index: int) -> Entry | None:
        """An entry as the tree knows it, with what has not been erased of salts and bodies.

        Broken where a personal section that was not erased is not there, or cannot be decrypted.
        """
        sql = (
            "SELECT s.*, k.key, k.erased_before FROM section s "
            "JOIN entry e ON e.idx = s.idx LEFT JOIN subject_key k ON k.record = e.record WHERE s.idx = ?"
        )
        row = self.connection.execute(sql, (index,)).fetchone()
        if row is None:
            return None
        kept = zip(SECTIONS, _cut(row["salts"], SALT_BYTES), strict=True)
        pairs = [opened(row, section) if section in PERSONAL and salt == NO_SALT else (salt, row[section]) for section, salt in kept]
        salts, bodies = zip(*pairs, strict=True)
        return Entry(index, salts, bodies, tuple(_cut(row["commitments"], HASH_BYTES)))

    def leaves(self, start: int, count: int) -> list[bytes]:
        """The leaf data of neighbouring entries, for entry bundles."""
        sql = "SELECT commitments FROM section WHERE idx >= ? AND idx < ? ORDER BY idx"
        rows = self.connection.execute(sql, (start, start + count))
        return [leaf_data(_cut(row[0], HASH_BYTES)) for row in rows]

    def read(self, level: int, start: int, count: int) -> list[bytes]:
        """Hashes of perfect subtrees at levels 0, 8, 16, 24, as proofs and tiles need them."""
        if level == 0:
            rows = self.connection.execute(
                "SELECT leaf_hash FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (start, start + count)
            )
        else:
            rows = self.connection.execute(
                "SELECT hash FROM node WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx",
                (level, start, start + count),
            )
        return [row[0] for row in rows]


Pair = tuple[bytes | None, bytes | None]
"""Salt and body of a section; two times None where it was erased."""


def opened(row: sqlite3.Row, section: str) -> Pair:
    """A personal section in the clear, from a row that has the record's key beside it; Broken where it should open and doesn't."""
    index, blob = row["idx"], row[section]
    if row["key"] is not None and index < row["erased_before"]:
        return None, None
    if row["key"] is None or blob is None or (pair := decrypt(row["key"], index, section, blob)) is None:
        raise Broken("internal-error", f"section {section} of entry {index} cannot be read, and no erasure says why; run fmar check")
    return pair


def _selection(window: Window) -> tuple[str, Sequence[str]]:
    if window.managed_only:
        return "r.manager = ?", [window.organisation]
    if window.everything:
        return "1", []
    clauses, values = (["r.is_public = 1"] if window.public else ["0"]), []
    if window.organisation:
        clauses += ["r.manager = ?", "r.owner = ?", "r.id = ?"]
        values += [window.organisation] * 3
    if window.areas:
        clauses.append(f"r.area IN ({','.join('?' * len(window.areas))})")
        values += window.areas
    if window.grantors:
        places = ",".join("?" * len(window.grantors))
        clauses += [f"r.manager IN ({places})", f"r.id IN ({places})"]
        values += window.grantors * 2
    return " OR ".join(clauses), values


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
