"""Manifests: what a node says of a file that it has given out, signed with the journal's key.

Rules kept here: a manifest is a signed note (C2SP) whose first line no checkpoint and no hand-over has, so that none is taken for
another; it names the file by its SHA-256, and the place of the journal that it was made at; a verifier pins the key, as for receipts.

docs/formats/export.md is the specification.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fmar_node.journal.checkpoint import Note, NoteError, SigningKey, VerifierKey
from fmar_node.journal.handover import Authority, Chain, nobody, parse_handovers

HEAD = "fmar-export-v1"
NEEDED: Mapping[str, type] = {"node": str, "sha256": str, "bytes": int, "assets": int, "journalIndex": int, "checkpoint": str}


def signed_manifest(manifest: Mapping[str, Any], key: SigningKey) -> str:
    """The signed note of a manifest."""
    text = f"{HEAD}\n{json.dumps(manifest, indent=2)}\n"
    return str(Note(text, (key.sign(text),)))


def open_manifest(note: str, key: str, handovers: str = "", authority: Authority = nobody) -> dict[str, Any]:
    """The manifest that the pinned key, or one that it was handed over to, has signed. NoteError otherwise."""
    pinned = VerifierKey.parse(key)
    opened = Note.parse(note)
    head, _, body = opened.text.partition("\n")
    if head != HEAD:
        raise NoteError("malformed-manifest", f"a manifest begins with the line {HEAD}")
    chain = Chain.following(parse_handovers(handovers), pinned, authority)
    opened.signers(chain.keys)
    try:
        manifest = json.loads(body)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or any(type(manifest.get(name)) is not kind for name, kind in NEEDED.items()):
        raise NoteError("malformed-manifest", f"a manifest has the members {', '.join(NEEDED)}")
    if chain.open(manifest["checkpoint"]).size <= manifest["journalIndex"]:
        raise NoteError("malformed-manifest", "the journal that it names does not reach the place that it names")
    return manifest


def verify_export(chunks: Iterable[bytes], note: str, key: str, handovers: str = "", authority: Authority = nobody) -> list[str]:
    """What was verified of a file by its manifest. NoteError where it is another file, or nobody has signed it."""
    manifest = open_manifest(note, key, handovers, authority)
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    if size != manifest["bytes"]:
        raise NoteError("wrong-file", f"the manifest is of {manifest['bytes']} bytes, the file has {size}")
    if digest.hexdigest() != manifest["sha256"]:
        raise NoteError("wrong-file", "the file is not the one that the manifest is of")
    return ["signature", "checkpoint", "size", "SHA-256"]
