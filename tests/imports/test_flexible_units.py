"""The worked example for published flexible units: which assets are in them is said in the network operator's own namespace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fmar_node.vocabulary import packaged
from tests.live import Live

EXAMPLES = packaged("examples")
UNITS = EXAMPLES / "data" / "ukpn-flexible-units-sample.csv"
HENDON, WEYBRIDGE = "hendon-way-da-ev-portfolio", "OCTO-W. W-LTU-1A48"


def run(live: Live, members: Path, *told: tuple[str, str]) -> tuple[int, list[str]]:
    """The program's exit code, and what became of each member."""
    members.write_text("".join(f"{unit},{code}\n" for unit, code in (("fu_id", "friendlyCode"), *told)), "utf-8")
    publisher = f"organisations/{live.profiles['dso-east'].organisation.rpartition('/')[2]}"
    command = [sys.executable, str(EXAMPLES / "flexible_units.py"), str(UNITS), str(members), publisher, str(live.folder / "participants" / "fsp-a")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, [line.rpartition("  ")[2] for line in done.stdout.splitlines()] or [done.stderr]


def test_members_of_published_units_are_told_and_asked_for(live: Live, tmp_path: Path) -> None:
    codes, other = [f"UNIT-{next(live.serials)}" for _ in range(2)], {"extensionPublisher": live.profiles["neso"].organisation, "extensionName": "baselineMethod", "extensionValue": "P376"}
    first, second = (live.register(friendlyCode=code, extension=[other]).json()["id"] for code in codes)
    members = tmp_path / "members.csv"

    assert run(live, members, (HENDON, codes[0]), (HENDON, codes[1])) == (0, ["updated", "updated"])
    assert run(live, members, (HENDON, codes[0]), (HENDON, codes[1])) == (0, ["unchanged", "unchanged"])
    assert run(live, members, (WEYBRIDGE, codes[1])) == (0, ["updated"]), "a member of another unit now"

    def told(asset: str) -> set[tuple[str, str]]:
        return {(each["extensionName"], each["extensionValue"]) for each in live.client("fsp-a").get(asset).json()["extension"]}

    assert told(first) == {("baselineMethod", "P376"), ("flexibleUnit", HENDON)} and told(second) == {("baselineMethod", "P376"), ("flexibleUnit", WEYBRIDGE)}
    index = int(live.client().get("/journal/checkpoint").text.split("\n")[1]) - 1
    query = (EXAMPLES / "queries" / "flexible-units.rq").read_text("utf-8")
    for viewer in ("fsp-a", "dso-east"):
        assert {row["unit"]: row["assets"] for row in live.rows(viewer, query, index)} == {HENDON: "1", WEYBRIDGE: "1"}, viewer
    assert live.rows("dso-south", query, index) == []


def test_who_is_not_there_keeps_nobody_out(live: Live, tmp_path: Path) -> None:
    code = f"UNIT-{next(live.serials)}"
    live.register(friendlyCode=code)

    ended, said = run(live, tmp_path / "members.csv", (HENDON, "NOBODY-7"), ("no-such-unit", code), (HENDON, code))

    assert ended == 1 and said[0].startswith("refused") and said[1] == f"refused: {UNITS.name} has no such unit" and said[2] == "updated"
