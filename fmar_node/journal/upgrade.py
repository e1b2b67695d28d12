"""Journals of earlier formats, brought to the present one, step by step, each in one transaction.

Rules kept here: an upgrade is whole or did not happen; entries, tree and checkpoints are never touched, so that every
receipt stays valid; a journal of a later format is refused, never guessed at. Every step is tested on a folder that
the release of its time has made (`tests/upgrades`).
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fmar_node.errors import Broken
from fmar_node.identity import new_key
from fmar_node.journal.cipher import SubjectKey, at_rest
from fmar_node.journal.entry import SALT_BYTES, SECTIONS

if TYPE_CHECKING:
    from fmar_node.journal.register import Register

log = logging.getLogger("fmar.journal")
Step = Callable[[sqlite3.Connection, "Register"], None]
NEW_IN_2 = ("subject_key", "handover", "tally", "idempotency")
NEW_IN_3 = ("application_key", "due")
NEW_IN_4 = ("former", "former_handle")


def run(connection: sqlite3.Connection, register: Register, wanted: str) -> None:
    """Takes the journal to format `wanted`. Broken where it has a later format, or one that is not known."""
    while (found := register.meta("format") or "") != wanted:
        if found not in STEPS:
            raise Broken("internal-error", f"the journal has format {found}; this version of fmar writes format {wanted}")
        log.warning("the journal has format %s; it is taken to the next one", found)
        connection.execute("BEGIN IMMEDIATE")
        try:
            STEPS[found](connection, register)
            connection.execute("UPDATE meta SET value = ? WHERE key = 'format'", (str(int(found) + 1),))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def encrypt_personal_sections(connection: sqlite3.Connection, register: Register) -> None:
    """Format 1 to 2: a key for each record, its personal sections under it; tallies; idempotency keys as keyed hashes."""
    connection.execute("ALTER TABLE idempotency RENAME TO idempotency_1")
    for statement in statements(NEW_IN_2):
        connection.execute(statement)
    keys: dict[str, SubjectKey] = {}
    for index, record in connection.execute("SELECT idx, record FROM entry ORDER BY idx").fetchall():
        subject = keys.setdefault(record, SubjectKey(new_key()))
        _encrypt(connection, index, subject)
    connection.executemany("INSERT INTO subject_key VALUES (?, ?, 0)", ((record, each.key) for record, each in keys.items()))
    connection.execute("INSERT INTO tally SELECT kind, state, count(*) FROM record GROUP BY kind, state")
    sql = "SELECT i.organisation, i.key, i.digest, i.idx, e.record FROM idempotency_1 i JOIN entry e ON e.idx = i.idx"
    for organisation, key, digest, index, record in connection.execute(sql).fetchall():
        row = (register.request(organisation, key), keys[record].digest(digest), index)
        connection.execute("INSERT INTO idempotency VALUES (?, ?, ?)", row)
    connection.execute("DROP TABLE idempotency_1")


def know_what_is_due(connection: sqlite3.Connection, register: Register) -> None:
    """Format 2 to 3: what happens by the clock (nothing did so far), and the entry that each application key came with."""
    connection.execute("ALTER TABLE application_key RENAME TO application_key_2")
    for statement in statements(NEW_IN_3):
        connection.execute(statement)
    came: dict[tuple[str, str], int] = {}
    for record in connection.execute("SELECT DISTINCT organisation FROM application_key_2").fetchall():
        for version in register.versions("organisations", record[0]):
            for key in version.document.get("applicationKey", ()):
                came.setdefault((key["clientId"], key["keyId"]), version.index)
    rows = [(*row, came[row["client_id"], row["key_id"]]) for row in connection.execute("SELECT * FROM application_key_2")]
    connection.executemany("INSERT INTO application_key VALUES (?, ?, ?, ?, ?, ?)", rows)
    connection.execute("DROP TABLE application_key_2")


def know_former_providers(connection: sqlite3.Connection, _: Register) -> None:
    """Format 3 to 4: who was a record's manager before; no record has changed its manager so far."""
    for statement in statements(NEW_IN_4):
        connection.execute(statement)


def _encrypt(connection: sqlite3.Connection, index: int, subject: SubjectKey) -> None:
    columns = ", ".join(SECTIONS)
    salts, *bodies = connection.execute(f"SELECT salts, {columns} FROM section WHERE idx = ?", (index,)).fetchone()
    cut = [salts[at : at + SALT_BYTES] for at in range(0, len(salts), SALT_BYTES)]
    kept, stored = at_rest(subject.key, index, cut, [body or b"" for body in bodies])
    personal, submission = (None if body is None else blob for body, blob in zip(bodies[-2:], stored[-2:], strict=True))
    connection.execute("UPDATE section SET salts = ?, personal = ?, submission = ? WHERE idx = ?", (kept, personal, submission, index))


def statements(tables: tuple[str, ...] = ()) -> list[str]:
    """The statements of schema.sql that make these tables and their indexes; all of them where none is named."""
    schema = Path(__file__).with_name("schema.sql").read_text("utf-8")
    plain = "\n".join(line.split("--")[0] for line in schema.splitlines())
    return [text for text in plain.split(";") if text.strip() and (not tables or _table_of(text) in tables)]


def _table_of(statement: str) -> str:
    words = statement.replace("(", " ").split()
    return words[words.index("ON") + 1] if words[1] == "INDEX" else words[2]


STEPS: Mapping[str, Step] = {"1": encrypt_personal_sections, "2": know_what_is_due, "3": know_former_providers}
"""What takes a journal of a format to the next one."""
