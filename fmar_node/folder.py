"""A node's data folder: where its keys, journal, graph and participants are, and how it is made.

Rules kept here: private keys are files that only their owner may read; the base URL is fixed when the node
is made, because it stands in every IRI.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.errors import Malformed
from fmar_node.journal.checkpoint import SigningKey, origin_of
from fmar_node.settings import Settings


@dataclass(frozen=True, slots=True)
class Folder:
    """The paths of a data folder."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "node.toml"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    @property
    def graph(self) -> Path:
        return self.root / "graph" / "store"

    @property
    def snapshots(self) -> Path:
        return self.root / "graph" / "snapshots"

    @property
    def participants(self) -> Path:
        return self.root / "participants"

    @property
    def token_keys(self) -> Path:
        return self.root / "keys" / "token.jwks"

    @property
    def is_made(self) -> bool:
        return self.settings_file.exists() and self.token_keys.exists()

    @property
    def incomplete(self) -> Path:
        """Stands there while the folder is being restored, and for good where that was cut off."""
        return self.root / "INCOMPLETE"

    @property
    def backups(self) -> Path:
        """Where backups of this node are: an absolute path a line."""
        return self.root / "backups"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    def check_made(self) -> None:
        """Malformed with what to do where this is no node's folder."""
        if self.incomplete.exists():
            raise Malformed("malformed-request", f"{self.root} was being restored and is not whole; remove it and restore again")
        if not self.is_made:
            raise Malformed("malformed-request", f"{self.root} is not a node's data folder; make one with: fmar init {self.root}")

    def settings(self, config: Path | None = None, base_url: str | None = None) -> Settings:
        """The settings, refusing another base URL than the one that the folder was made for."""
        made = Settings.read(self.settings_file, environment={})
        settings = Settings.read(config or self.settings_file, base_url=(base_url or made.base_url).rstrip("/"))
        if settings.base_url != made.base_url:
            raise Malformed(
                "malformed-request",
                f"this folder was made for {made.base_url}, which stands in the IRI of every record; "
                f"it cannot be served as {settings.base_url}. Start without --base-url, or make a new folder with fmar init",
            )
        return settings

    def lookup_key(self) -> bytes:
        """The key that identifiers are hashed with in the journal's tables."""
        return (self.root / "keys" / "lookup.key").read_bytes()

    def journal_key(self, base_url: str) -> SigningKey:
        """The Ed25519 key that signs the journal's checkpoints."""
        raw = (self.root / "keys" / "journal.key").read_bytes()
        return SigningKey(origin_of(base_url), Ed25519PrivateKey.from_private_bytes(raw))

    def make(self, base_url: str) -> None:
        """Folders, settings and keys. Malformed where there is a node already."""
        if self.is_made or self.journal.exists() or self.incomplete.exists():
            raise Malformed("malformed-request", f"{self.root} has a node already")
        for folder in (self.root / "keys", self.journal, self.graph.parent, self.snapshots, self.participants):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.root, self.root / "keys"):
            folder.chmod(0o700)
        write_private(self.root / "keys" / "journal.key", Ed25519PrivateKey.generate().private_bytes_raw())
        write_private(self.root / "keys" / "lookup.key", secrets.token_bytes(32))
        self.settings_file.write_text(
            "# Settings of this node; docs/reference/settings.md lists all of them.\n"
            f"# The base URL stands in the IRI of every record and cannot be changed.\nbase_url = {json.dumps(base_url)}\n",
            "utf-8",
        )


def write_private(file: Path, data: bytes) -> None:
    """A new file that only its owner may read, on disk when this returns. FileExistsError where there is one."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def destroy(file: Path) -> None:
    """Overwrites a file with zeros, on disk, and removes it."""
    overwrite(file)
    file.unlink()


def overwrite(file: Path) -> None:
    """Puts zeros where a file's bytes were; what a copy-on-write disk keeps of them is beyond a program's reach."""
    with file.open("r+b", buffering=0) as out:
        left = out.seek(0, os.SEEK_END)
        out.seek(0)
        while left > 0:
            left -= out.write(bytes(min(left, 1 << 20)))
        os.fsync(out.fileno())


def sync(path: Path) -> None:
    """A file's bytes, or a folder's names, are on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
