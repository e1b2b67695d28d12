"""What a release in shadow would have refused of the documents that were accepted beside it, counted.

Rules kept here: counts by kind, constraint and organisation, nothing of a document; the file is behind by a few seconds, which a
node that is killed loses: these are figures to decide by, and no part of the register.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fmar_node.representation import json_bytes

log = logging.getLogger("fmar.shadow")
Row = tuple[str, str, str]
"""Kind, constraint, organisation."""
BEHIND_SECONDS = 2.0


class Shadow:
    """The counts for one release at a time, with their file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.release = ""
        self.judged = self.refused = 0
        self.rows: Counter[Row] = Counter()
        self.saved_at = 0.0

    def file(self, release: str) -> Path:
        return self.folder / f"{release}.shadow.json"

    def note(self, release: str, kind: str, organisation: str, against: Iterable[str], now: float) -> None:
        """One more document that was accepted, and the constraints of the candidate that stand against it. `now` in seconds of any clock."""
        self._take_up(release)
        constraints = tuple(against)
        self.judged += 1
        self.refused += bool(constraints)
        self.rows.update((kind, constraint, organisation) for constraint in constraints)
        if now - self.saved_at >= BEHIND_SECONDS:
            self.save()
            self.saved_at = now

    def told(self, release: str) -> dict[str, Any]:
        """What was counted for a release, in the file's form."""
        if release == self.release:
            return self._as_json()
        try:
            found: dict[str, Any] = json.loads(self.file(release).read_bytes())
        except (OSError, ValueError):
            return {"release": release, "judged": 0, "refused": 0, "rows": []}
        return found

    def _take_up(self, release: str) -> None:
        if release == self.release:
            return
        self.save()
        said = self.told(release)
        self.release, self.judged, self.refused = release, said["judged"], said["refused"]
        self.rows = Counter({(each["kind"], each["constraint"], each["organisation"]): each["documents"] for each in said["rows"]})

    def _as_json(self) -> dict[str, Any]:
        rows = [{"kind": kind, "constraint": constraint, "organisation": whose, "documents": count} for (kind, constraint, whose), count in sorted(self.rows.items())]
        return {"release": self.release, "judged": self.judged, "refused": self.refused, "rows": rows}

    def save(self) -> None:
        if not self.release:
            return
        file = self.file(self.release)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = file.with_suffix(".unfinished")
            unfinished.write_bytes(json_bytes(self._as_json()))
            unfinished.replace(file)
        except OSError as error:
            log.error("what the shadow counted could not be written: %s", error)
