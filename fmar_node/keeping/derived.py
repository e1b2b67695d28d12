"""The journal's tables of current state: what follows from the newest version of each record, checked against it or made anew.

Rules kept here: every row follows from a version's document by `state_of`, and there is no other row; one record is
looked at at a time, whatever the size of the register.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress

from fmar_node.access.past import pasts
from fmar_node.drafting import state_of
from fmar_node.errors import Broken
from fmar_node.journal.register import Register
from fmar_node.journal.tree import ProofError
from fmar_node.kinds import KINDS
from fmar_node.record import Version

Rows = dict[str, set[tuple[object, ...]]]
RECORD_COLUMN = {"record": "id", "claim": "record", "handle": "record", "application_key": "organisation", "due": "record", "former": "record", "former_handle": "record"}
"""The tables with rows of one record, and the column that names it."""
UNREADABLE = (Broken, ValueError, TypeError, KeyError, sqlite3.DatabaseError)
"""What reading a damaged entry may come to."""
SAMPLE = 20
"""Rows that are looked at to see whether a key is the right one, before a damaged table is taken for a wrong key."""
Progress = Callable[[int], None]


def check_state(register: Register) -> None:
    """ProofError when a table of current state does not follow from the entries."""
    total: Counter[str] = Counter()
    tally: Counter[tuple[str, str]] = Counter()
    for version in newest(register):
        rows = rows_of(version, register)
        tally[version.kind, str(state_of(version.document, version.kind)["state"])] += 1
        for table, column in RECORD_COLUMN.items():
            sql = f"SELECT * FROM {table} WHERE {column} = ?2" + " AND kind = ?1" * (table == "record")  # the key begins with the kind
            held = {tuple(row) for row in register.connection.execute(sql, (version.kind, version.id))}
            _compare(table, held == rows[table])
            total[table] += len(held)
    for table in RECORD_COLUMN:
        _compare(table, register.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == total[table])
    _compare("tally", register.counts() == dict(tally))


def remake_state(register: Register, progress: Progress = lambda _: None) -> None:
    """Makes the tables of current state anew, inside the transaction that the caller has begun."""
    run = register.connection
    for table in (*RECORD_COLUMN, "tally"):
        run.execute(f"DELETE FROM {table}")
    tally: Counter[tuple[str, str]] = Counter()
    for number, version in enumerate(newest(register), start=1):
        for table, rows in rows_of(version, register).items():
            for row in rows:
                run.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        tally[version.kind, str(state_of(version.document, version.kind)["state"])] += 1
        progress(number)
    run.executemany("INSERT INTO tally VALUES (?, ?, ?)", ((kind, state, count) for (kind, state), count in tally.items()))


def has_its_lookup_key(register: Register) -> bool:
    """Whether the key at hand is the one that the identifiers in the tables were hashed with; true where there are none."""
    tried = False
    for table in ("claim", "handle"):
        sql = f"SELECT t.digest, r.kind, r.id FROM {table} t JOIN record r ON r.id = t.record LIMIT ?"
        with suppress(*UNREADABLE):
            for digest, kind, id_ in register.connection.execute(sql, (SAMPLE,)).fetchall():
                with suppress(*UNREADABLE):
                    rows = rows_of(version, register)[table] if (version := register.current(kind, id_)) else set()
                    if (digest, id_) in rows:
                        return True
                    tried = True
    return not tried


def newest(register: Register) -> Iterator[Version]:
    """The newest version of every record, kind by kind."""
    for kind in KINDS:
        yield from register.as_of(kind, register.size() - 1)


def rows_of(version: Version, register: Register) -> Rows:
    """What the tables hold for a record whose newest version this is."""
    state = state_of(version.document, version.kind)
    came = _came(version, register)
    columns = (state["manager"], state["owner"], state["area"], int(state["is_live"]), int(state["is_public"]))
    return {
        "record": {(version.kind, version.id, version.index, state["state"], *columns)},
        "claim": {(register.blind(*claim), version.id) for claim in state["claims"]},
        "handle": {(register.blind(f"handle:{scheme}", value), version.id) for scheme, value in state["handles"]},
        "application_key": {(client, key, version.id, jwk, int(active), came[client, key]) for client, key, jwk, active in state["keys"]},
        "due": {(version.id, version.kind, state["due"])} if state["due"] else set(),
        **_former(version, register),
    }


def _former(version: Version, register: Register) -> Rows:
    """Who was the record's manager before, the entry that each of them keeps, and what it was found by then."""
    found: Rows = {"former": set(), "former_handle": set()}
    subject = register.subject_key(version.id)
    for past in pasts(version.document):
        kept = register.version(version.kind, version.id, past.number)
        assert kept is not None
        found["former"].add((past.organisation, version.id, kept.index))
        if subject is not None and subject.erased_before <= kept.index:
            handles = state_of(kept.document, kept.kind)["handles"]
            found["former_handle"] |= {(register.blind(f"handle:{scheme}", value), version.id, past.organisation) for scheme, value in handles}
    return found


def _came(version: Version, register: Register) -> dict[tuple[str, str], int]:
    """The entry that each application key of a record came with."""
    found: dict[tuple[str, str], int] = {}
    for earlier in register.versions(version.kind, version.id) if "applicationKey" in version.document else ():
        for key in earlier.document.get("applicationKey", ()):
            found.setdefault((key["clientId"], key["keyId"]), earlier.index)
    return found


def _compare(table: str, is_equal: bool) -> None:
    if not is_equal:
        raise ProofError("state-mismatch", f"the table {table} does not follow from the entries")
