"""Moves an export to another node: python examples/moving.py leaving/assets.ndjson fmar-data/participants/fsp-a

What the new node sets is left out, and so are the ids of the old one: assets go by their friendly codes, which they keep; one without a
code gets its old id as one. Where you were the owner, you are again. What has been de-registered stays behind. Sent again, it changes nothing.
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from fmar_node.client import Profile, connect

ROWS = 200


def own_terms(client: httpx.Client) -> set[str]:
    """The terms that a participant fills in, as the new node's template has them."""
    lines = client.get("/assets/template").raise_for_status().text.splitlines()
    return {column.split(".")[0] for column in next(csv.reader(lines[1:]))}


def moved(document: dict[str, Any], terms: set[str], organisation: str) -> dict[str, Any]:
    """The asset as it is registered at the new node."""
    made = {name: parts(value) for name, value in document.items() if name in terms}
    made.setdefault("friendlyCode", document["id"].rsplit("/", 1)[-1])
    if document.get("owner") == document["managedBy"]:
        made["owner"] = organisation
    return {"type": "Asset", **made}


def parts(value: Any) -> Any:
    """Parts of a record have ids of the old node."""
    if isinstance(value, list):
        return [parts(each) for each in value]
    return {name: each for name, each in value.items() if name not in ("id", "type")} if isinstance(value, dict) else value


def living(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The assets that have not ended; how many had is told."""
    ended = 0
    for document in map(json.loads, lines):
        if document["registrationStatus"] == "DEREGISTERED":
            ended += 1
        else:
            yield document
    if ended:
        print(f"{ended} de-registered, left out", file=sys.stderr)


def main(file: Path, profile: Profile) -> int:
    refused = 0
    with connect(profile) as client, file.open(encoding="utf-8") as lines:
        terms, assets = own_terms(client), living(lines)
        while piece := list(islice(assets, ROWS)):
            body = "".join(json.dumps(moved(each, terms, profile.organisation)) + "\n" for each in piece)
            answer = client.post("/assets/batch", params={"upsert": "friendlyCode"}, content=body, headers={"Content-Type": "application/x-ndjson"})
            for old, result in zip(piece, map(json.loads, answer.raise_for_status().text.splitlines()), strict=True):
                print(old["id"], result.get("id") or result["problem"]["detail"], result["outcome"])
                refused += result["outcome"] == "refused"
    return min(refused, 1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Profile.load(Path(sys.argv[2]))))
