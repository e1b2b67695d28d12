"""Says of each asset in which flexible unit it is: python examples/flexible_units.py units.csv members.csv organisations/ID fmar-data/participants/fsp-a

`units.csv` is what a network operator publishes (a column fu_id), `members.csv` what the provider alone knows: fu_id and friendlyCode. A unit
is no record of its own: it becomes an extension field `flexibleUnit` of its members, in the namespace of the network operator, whose id is
the third argument. Sent again, it changes nothing; a member that is in another unit now is moved.
"""

import csv
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx

from fmar_node.client import Profile, connect

FIELD = "flexibleUnit"
MERGE = "application/merge-patch+json"


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        return list(csv.DictReader(lines))


def put_in(client: httpx.Client, code: str, unit: str, publisher: str) -> str:
    """What became of an asset: updated, unchanged, or why not."""
    found = client.post("/assets/lookup", json={"scheme": "FRIENDLY_CODE", "value": code})
    if not found.is_success:
        return f"refused: {found.json()['detail']}"
    held = client.get(found.json()["items"][0]["id"]).raise_for_status()
    fields: list[dict[str, Any]] = held.json().get("extension", [])
    others = [each for each in fields if (each["extensionPublisher"], each["extensionName"]) != (publisher, FIELD)]
    wanted = {"type": "Extension", "extensionPublisher": publisher, "extensionName": FIELD, "extensionValue": unit}
    if any(wanted.items() <= each.items() for each in fields):
        return "unchanged"
    answer = client.patch(held.json()["id"], json={"extension": [*others, wanted]}, headers={"Content-Type": MERGE, "If-Match": held.headers["ETag"]})
    return "updated" if answer.is_success else f"refused: {answer.json()['detail']}"


def main(units: Path, members: Path, publisher: str, profile: Profile) -> int:
    published, refused, publisher = {each["fu_id"] for each in rows(units)}, 0, urljoin(f"{profile.node}/", publisher)
    with connect(profile) as client:
        for member in rows(members):
            unit, code = member["fu_id"], member["friendlyCode"]
            said = put_in(client, code, unit, publisher) if unit in published else f"refused: {units.name} has no such unit"
            print(f"{code}  {unit}  {said}")
            refused += said.startswith("refused")
    return min(refused, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Profile.load(Path(sys.argv[4]))))
