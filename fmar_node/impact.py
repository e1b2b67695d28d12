"""The impact of a release on the stored register, as far as it is known: what was found, where to go on, and its file.

Rules kept here: nothing of a record but its id, its category and who manages it; the file is replaced as a whole, so that it is
never half written; it may be lost, and is worked out again then (`fmar_node.analysis`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmar_node.drafting import BELONGING
from fmar_node.folder import Folder
from fmar_node.record import Version, uuid_of
from fmar_node.representation import json_bytes

FIRST = 100
"""Ids that are kept of the records of one row."""
Row = tuple[str, str, str, str, str]
"""Kind, constraint, what becomes of it (a severity, or KEPT), category, manager."""
KEPT = "kept"


@dataclass
class Impact:
    """What was found so far, and where to go on. `of` is the version of the release's record that is analysed."""

    of: int
    release: str
    base: str
    total: int = 0
    looked: int = 0
    failing: int = 0
    kind: str = ""
    after: str = ""
    finished: str = ""
    """When everything had been looked at, an xsd:dateTime."""
    rows: Counter[Row] = field(default_factory=Counter)
    first: dict[Row, list[str]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        names = ("kind", "constraint", "outcome", "category", "manager")
        rows = [{**dict(zip(names, row, strict=True)), "records": count, "first": self.first[row]} for row, count in sorted(self.rows.items())]
        return {**{name: getattr(self, name) for name in MEMBERS}, "rows": rows}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Impact:
        found = cls(**{name: value[name] for name in MEMBERS})
        for each in value["rows"]:
            row = each["kind"], each["constraint"], each["outcome"], each["category"], each["manager"]
            found.rows[row], found.first[row] = each["records"], each["first"]
        return found

    def add(self, version: Version, constraints: Mapping[str, str]) -> None:
        """Counts a record, with what there is against it: constraint -> what becomes of it."""
        self.looked += 1
        self.failing += any(outcome != KEPT for outcome in constraints.values())
        manager = BELONGING[version.kind][0]
        for constraint, outcome in constraints.items():
            row = version.kind, constraint, outcome, version.document.get("assetCategory", ""), uuid_of(version.document.get(manager, ""))
            self.rows[row] += 1
            kept = self.first.setdefault(row, [])
            if len(kept) < FIRST:
                kept.append(version.id)

    def save(self, file: Path) -> None:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_bytes(json_bytes(self.as_json()))
        unfinished.replace(file)


MEMBERS = ("of", "release", "base", "total", "looked", "failing", "kind", "after", "finished")


def impact_file(folder: Folder, id_: str) -> Path:
    """Where the impact of a release stands."""
    return folder.releases / f"{id_}.impact.json"


def impact_at(file: Path) -> Impact | None:
    """What a file says; None where there is none, or none that can be read."""
    try:
        return Impact.from_json(json.loads(file.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None
