"""A provider's side in forty lines: register an asset, change it, ask about it. Copy it and make it yours.

    .venv/bin/python examples/participant.py .fmar-demo/participants/fsp-c

The argument is a profile folder (`profile.json` and `key.jwk`). Tokens and proofs are the client's work.
"""

import json
import secrets
import sys
from pathlib import Path

from fmar_node.client import Profile, connect

HERE = Path(__file__).parent
profile = Profile.load(Path(sys.argv[1]))

with connect(profile) as node:
    document = json.loads((HERE / "documents" / "justified.json").read_text("utf-8"))
    document["friendlyCode"] = f"PV-{secrets.token_hex(4)}"
    answer = node.post("/assets", json=document, headers={"Content-Type": "application/ld+json"})
    if answer.status_code != 201:
        for error in answer.json().get("errors", []):
            print(error["severity"], error["code"], error["pointer"], error["message"])
        sys.exit(1)
    asset, receipt = answer.headers["Location"], answer.headers["Fmar-Journal-Index"]
    print(f"registered {asset} as journal entry {receipt}")

    change = {"ratedCapacity": "4900.00", "genCapacity": "4900.00"}
    merge_patch = {"Content-Type": "application/merge-patch+json", "If-Match": answer.headers["ETag"]}
    changed = node.patch(asset, json=change, headers=merge_patch).raise_for_status()
    print(f"version {changed.json()['version']} has {changed.json()['ratedCapacity']} kW")

    query = (HERE / "queries" / "my-portfolio.rq").read_bytes()
    wait = {"Fmar-Min-Journal-Index": changed.headers["Fmar-Journal-Index"]}  # an answer that knows of this change
    sparql = {"Content-Type": "application/sparql-query", "Accept": "text/csv", **wait}
    print(node.post("/sparql", content=query, headers=sparql).raise_for_status().text)

    end = {"deregistrationReason": "ERROR"}
    gone = node.post(f"{asset}/deregistration", json=end, headers={"Content-Type": "application/ld+json"})
    print(f"the asset is {gone.raise_for_status().json()['registrationStatus']}")
