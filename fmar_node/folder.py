"""A node's data folder: where its keys, journal, graph and participants are, and how it is made.

Rules kept here: private keys are files that only their owner may read, and a node does not start on others; the base URL
is fixed when the node is made, because it stands in every IRI.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fmar_node.clock import AheadClock, Clock
from fmar_node.errors import Malformed
from fmar_node.journal.checkpoint import SigningKey, origin_of

if TYPE_CHECKING:
    from fmar_node.settings import Settings

KEY_BYTES = 32
PUT_BACK = "put the file back from a backup of this very node"


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
    def queries(self) -> Path:
        """Where saved queries of the operator are, if there are any."""
        return self.root / "queries"

    @property
    def releases(self) -> Path:
        """What is counted about releases: their impact, and what their shadow would have refused. Worked out again where it is gone."""
        return self.root / "state" / "releases"

    @property
    def log(self) -> Path:
        """Where the security log is."""
        return self.root / "log"

    @property
    def token_keys(self) -> Path:
        return self.keys / "token.jwks"

    @property
    def journal_key_file(self) -> Path:
        return self.keys / "journal.key"

    @property
    def lookup_key_file(self) -> Path:
        return self.keys / "lookup.key"

    @property
    def deliveries(self) -> Path:
        """What is still to be delivered to subscribers, and their secrets."""
        return self.root / "state" / "webhooks.db"

    @property
    def sessions(self) -> Path:
        """Who has signed in: no part of the register, and made anew where it is gone."""
        return self.root / "state" / "sessions.db"

    @property
    def jobs(self) -> Path:
        """Batches that were kept, and their results: no part of the register."""
        return self.root / "state" / "jobs"

    @property
    def notifications(self) -> Path:
        """What consent solutions have notified: no part of the register, and found again by asking them where it is gone."""
        return self.root / "state" / "notifications.db"

    @property
    def scorecards(self) -> Path:
        """What scorecards were, day by day: no part of the register, and begun anew where it is gone."""
        return self.root / "state" / "scorecards.db"

    @property
    def clock(self) -> Path:
        """How far the register is ahead of the machine's clock, where it may be."""
        return self.root / "state" / "clock"

    @property
    def is_made(self) -> bool:
        return self.settings_file.exists() and self.token_keys.exists()

    @property
    def incomplete(self) -> Path:
        """Stands there while the folder is being restored, and for good where that was cut off."""
        return self.root / "INCOMPLETE"

    @property
    def backups(self) -> Path:
        """Where backups of this node are (docs/formats/backup.md)."""
        return self.root / "backups"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    def check_made(self) -> None:
        """Malformed with what to do where this is no node's folder."""
        if self.incomplete.exists():
            raise Malformed("malformed-request", f"{self.root} was being restored and is not whole; remove it and restore again")
        if self.journal.exists() and not self.settings_file.exists():
            detail = f'{self.settings_file} is missing; write it again: one line, base_url = "https://...", as it stands in the IRI of every record'
            raise Malformed("malformed-request", detail)
        if not self.settings_file.exists():
            raise Malformed("malformed-request", f"{self.root} is not a node's data folder: is --data right, and the disk in its place? A new node is made with: fmar init")

    def wrong_keys(self, *files: Path) -> Iterator[tuple[str, str]]:
        """What is wrong with the files of the node's own keys, each with what to do about it; their content is not looked at."""
        for file in files or (self.journal_key_file, self.lookup_key_file, self.token_keys):
            remedy = PUT_BACK
            if file == self.journal_key_file:
                remedy += "; where there is none, move this one away, and the journal goes on under a new key: fmar key rotate-journal --lost --key KEY"
            if not file.is_file():
                yield f"{file} is missing", remedy
                continue
            if file != self.token_keys and (size := file.stat().st_size) != KEY_BYTES:
                yield f"{file} has {size} bytes instead of {KEY_BYTES}", remedy
            if is_open(file):
                yield readable(file)

    def check_keys(self, *files: Path) -> None:
        """Malformed with what to do where a key (all of them unless files are named) is missing, cut short, or readable by others."""
        for what, remedy in self.wrong_keys(*files):
            raise Malformed("malformed-request", f"{what}; {remedy}")

    def settings(self, config: Path | None = None, base_url: str | None = None) -> Settings:
        """The settings, refusing another base URL than the one that the folder was made for."""
        from fmar_node.settings import Settings  # pydantic with it: what participants do needs none

        made = Settings.read(self.settings_file, environment={})
        made_for = made.base_url.rstrip("/")
        settings = Settings.read(config or self.settings_file, base_url=(base_url or made_for).rstrip("/"))
        if settings.base_url != made_for:
            raise Malformed(
                "malformed-request",
                f"this folder was made for {made_for}, which stands in the IRI of every record; "
                f"it cannot be served as {settings.base_url}. Start without --base-url, or make a new folder with fmar init",
            )
        return settings

    def calendar(self, settings: Settings, clock: Clock) -> Clock:
        """What time it is in the register: that of the machine's `clock`, unless the settings say that it may be set."""
        return AheadClock(clock, self.clock) if settings.clock_may_be_set else clock

    def lookup_key(self) -> bytes:
        """The key that identifiers are hashed with in the journal's tables."""
        return self._key(self.lookup_key_file)

    def journal_key(self, base_url: str) -> SigningKey:
        """The Ed25519 key that signs the journal's checkpoints."""
        return SigningKey(origin_of(base_url), Ed25519PrivateKey.from_private_bytes(self._key(self.journal_key_file)))

    def _key(self, file: Path) -> bytes:
        if not file.is_file() or file.stat().st_size != KEY_BYTES:
            self.check_keys(file)
        return file.read_bytes()

    def secret(self, name: str) -> str:
        """What stands in a file of the folder that only its owner may read; nothing where no file is named. Malformed otherwise."""
        if not name:
            return ""
        file = self.root / name
        try:
            if is_open(file):
                raise Malformed("malformed-request", "; ".join(readable(file)))
            secret = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Malformed("malformed-request", f"{file} cannot be read: {error}") from error
        if not secret:
            raise Malformed("malformed-request", f"{file} is empty; put the secret there that the identity provider gave this node")
        return secret

    def make(self, base_url: str) -> None:
        """Folders, settings and keys. Malformed where there is a node already."""
        if self.is_made or self.journal.exists() or self.incomplete.exists():
            raise Malformed("malformed-request", f"{self.root} has a node already")
        if self.root.exists() and not self.root.is_dir():
            raise Malformed("malformed-request", f"{self.root} is a file; give a folder")
        for folder in (self.root, self.keys, self.journal, self.graph.parent, self.snapshots, self.participants):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        write_private(self.journal_key_file, Ed25519PrivateKey.generate().private_bytes_raw())
        write_private(self.lookup_key_file, secrets.token_bytes(KEY_BYTES))
        self.settings_file.write_text(
            "# Settings of this node; docs/reference/settings.md lists all of them.\n"
            f"# The base URL stands in the IRI of every record and cannot be changed.\nbase_url = {json.dumps(base_url)}\n",
            "utf-8",
        )


def is_open(file: Path) -> bool:
    """Whether others than its owner may read, write or enter a file or folder."""
    return os.name == "posix" and bool(stat.S_IMODE(file.stat().st_mode) & 0o077)


def readable(file: Path) -> tuple[str, str]:
    """What is wrong with a key that others may read, and what to do."""
    return f"{file} may be read by others than its owner", f"chmod 600 {file}; if anybody may have read it, exchange the key"


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
