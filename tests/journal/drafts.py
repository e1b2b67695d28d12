"""Drafts for a journal by itself: whole entries without a market around them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.journal.checkpoint import SigningKey
from fmar_node.journal.entry import canonical
from fmar_node.journal.journal import Draft, Journal
from fmar_node.vocabulary import Vocabulary

ORIGIN = "node.example/journal"
KEY = SigningKey(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"s" * 32))
LOOKUP_KEY = b"k" * 32
TIME = "2026-11-22T09:30:00.000Z"


def opened(folder: Path, key: SigningKey = KEY, origin: str = ORIGIN) -> Journal:
    """The journal in a folder, made where there is none."""
    return Journal(folder / "journal", origin, key, Vocabulary.load().terms, LOOKUP_KEY)


def record_id(number: int) -> str:
    return f"0190f2a4-7c1e-7b3a-9a55-{number:012x}"


def draft(number: int, size: int = 100, version: int = 1, **given: Any) -> Draft:
    """A version of the number-th record, with a submission of `size` random bytes."""
    iri = f"https://node.example/assets/{record_id(number)}"
    envelope = {"kind": "assets", "record": record_id(number), "version": version, "action": "register", "time": TIME}
    sections = {
        "envelope": canonical(envelope), "actor": canonical({"organisation": "x"}),
        "open": canonical({"id": iri, "type": "Asset"}), "submission": os.urandom(size),
    }  # fmt: skip
    defaults: dict[str, Any] = {"state": "VERIFIED", "is_live": True, "is_public": False}
    return Draft("assets", record_id(number), version, "register", TIME, sections, **{**defaults, **given})
