"""Step 15: receipts that anybody can check offline, and a journal that shows when it was altered.

Rules kept here: what is tampered with is a copy, made through SQLite's backup; the keys beside it are the
node's own by reference, so that no private key is copied anywhere.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fmar_node.cli.tour.life import path_of
from fmar_node.cli.tour.visit import Visit, expect, expect_that, journal_index, speaking
from fmar_node.folder import Folder
from fmar_node.journal.receipt import ReceiptError, parse_receipt, verify_receipt
from fmar_node.journal.tree import ProofError
from fmar_node.keeping.maintenance import verify_journal

BODY_CHARS = 60


def prove(visit: Visit) -> str:
    """The receipt of step 1 is verified without the node; an altered journal is found out."""
    made = visit.kept["battery"]
    visit.narrator.remark("The receipt of step 1's registration, as fsp-a and as the network of the area get it:")
    receipts = {who: _receipt(visit, who, f"{path_of(made)}/proof?version=1") for who in ("fsp-a", "dso-east")}
    _show_sections(visit, receipts)
    expect("the entry of the receipt", journal_index(made), receipts["fsp-a"]["index"])
    _verify_offline(visit, receipts)
    _alter_receipt(visit, receipts["fsp-a"])
    _alter_journal(visit, journal_index(made))
    return "Both receipts hold without trust in the node; one altered number and one flipped bit are found."


def _verify_offline(visit: Visit, receipts: dict[str, dict[str, Any]]) -> None:
    visit.narrator.remark("Verified offline, with the journal's public key, pinned when fsp-a joined; the node is not asked:")
    rows = [("the key", visit.verifier_key)]
    for who, receipt in receipts.items():
        passed = verify_receipt(receipt, visit.verifier_key)
        expect("the last check", "inclusion", passed[-1])
        rows.append((f"receipt of {who}", f"verified: {', '.join(passed)}"))
    visit.narrator.table(("", "checks"), rows)
    file, key = visit.folder.root / "receipt.json", visit.folder.root / "journal.vkey"
    file.write_text(json.dumps(receipts["fsp-a"], indent=2) + "\n", "utf-8")
    key.write_text(visit.verifier_key + "\n", "utf-8")
    visit.narrator.remark("By hand:")
    visit.narrator.code(f"fmar audit verify --receipt {file} --key {key}", "bash")


def _receipt(visit: Visit, who: str, path: str) -> dict[str, Any]:
    answer = visit.client(who).get(path)
    visit.narrator.request(answer.request, speaking(who))
    visit.narrator.answer(answer)
    expect("the status of the proof", 200, answer.status_code)
    return parse_receipt(answer.content)


def _show_sections(visit: Visit, receipts: dict[str, dict[str, Any]]) -> None:
    """Which sections a receipt opens; the others are there as commitments."""
    rows = []
    for section in receipts["fsp-a"]["sections"]:
        shown = [_opened(receipt["sections"][section]) for receipt in receipts.values()]
        rows.append([section, *("closed" if body is None else "open" for body in shown), " ".join((shown[0] or "").split())[:BODY_CHARS]])
    visit.narrator.table(("section", *receipts, "begins"), rows)
    states = {row[0]: tuple(row[1:3]) for row in rows}
    expect("who sees the commercial section", ("open", "closed"), states["commercial"])
    receipt = receipts["fsp-a"]
    visit.narrator.remark(
        f"Of a closed section there is the commitment. {len(receipt['inclusionProof'])} hashes lead from entry {receipt['index']} "
        f"to the root of the tree of {receipt['treeSize']}, which the checkpoint signs."
    )


def _opened(section: dict[str, str]) -> str | None:
    return base64.b64decode(section["body"]).decode("utf-8", "replace") if "body" in section else None


def _alter_receipt(visit: Visit, receipt: dict[str, Any]) -> None:
    visit.narrator.remark("The same receipt, in which somebody has made 500 kW into 900:")
    altered = json.loads(json.dumps(receipt))
    body = base64.b64decode(altered["sections"]["open"]["body"])
    altered["sections"]["open"]["body"] = base64.b64encode(body.replace(b'"ratedCapacity":"500.00"', b'"ratedCapacity":"900.00"')).decode()
    expect_that(altered != receipt, "the receipt was altered")
    try:
        verify_receipt(altered, visit.verifier_key)
    except ReceiptError as error:
        visit.narrator.output(f"not verified: {error}")
    else:
        expect_that(False, "an altered receipt is refused")


def _alter_journal(visit: Visit, index: int) -> None:
    visit.narrator.remark("The whole journal, entry by entry: the node's own, then a copy with one bit of that entry flipped.")
    rows = [("the node's journal", f"verified: {', '.join(verify_journal(visit.folder))}")]
    with copied(visit.folder) as copy:
        expect("the last check of an unchanged copy", "current state", verify_journal(copy)[-1])
        flip_bit(copy, index)
        try:
            verify_journal(copy)
        except ProofError as error:
            visit.narrator.table(("", "checks"), [*rows, ("the altered copy", f"not verified: {error}")])
        else:
            expect_that(False, "an altered journal is detected")
    visit.narrator.remark("By hand:")
    visit.narrator.code(f"fmar audit verify --data {visit.folder.root}", "bash")


@contextmanager
def copied(folder: Folder) -> Iterator[Folder]:
    """A data folder with a copy of the journal, and the node's settings and keys by reference, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="fmar-tampered-") as place:
        copy = Folder(Path(place))
        copy.journal.mkdir()
        with closing(sqlite3.connect(folder.journal / "journal.db")) as source, closing(sqlite3.connect(copy.journal / "journal.db")) as target:
            source.backup(target)
        for name in ("keys", "node.toml"):
            (copy.root / name).symlink_to((folder.root / name).resolve())
        yield copy


def flip_bit(folder: Folder, index: int) -> None:
    """Changes one bit in the middle of an entry's open section, as a damaged disk or a dishonest operator would."""
    with closing(sqlite3.connect(folder.journal / "journal.db")) as database, database:
        (body,) = database.execute("SELECT open FROM section WHERE idx = ?", (index,)).fetchone()
        changed = bytearray(body)
        changed[len(changed) // 2] ^= 1
        database.execute("UPDATE section SET open = ? WHERE idx = ?", (bytes(changed), index))
