"""requirements.lock read and held against what is asked for and what is installed; nothing is fetched.

Rules kept here: every line of the lock is a name, an exact version and at least one SHA-256; there is no address, option or
editable among them; what pyproject.toml asks for, by itself or in its group dev, is in it in a version that fits; what is
installed where this runs is what the lock says, no more and no less.

    python .ci/lock.py      says what is wrong on standard error, and exits with 1
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+_-]+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: --hash=sha256:[0-9a-f]{64})+)")
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
OWN = "fmar-node"
BROUGHT_ALONG = frozenset({OWN, "setuptools"})
"""What is installed beside the lock: this package, and what a new environment of Python 3.11 has in it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One package of the lock. `wanted_by` has what it is there for: other packages, `fmar-node`, `fmar-node:dev`."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    wanted_by: frozenset[str]

    @property
    def applies(self) -> bool:
        """Whether it is for this machine."""
        return not self.marker or Requirement(f"{self.name} ; {self.marker}").marker.evaluate()  # type: ignore[union-attr]


class LockError(ValueError):
    """A line of the lock that is no pinned and hashed package."""


Lock = tuple[Entry, ...]


def read_lock(text: str) -> Lock:
    """The packages of a lock; one that is there in two versions has a marker on each. LockError where it holds anything else."""
    found: list[Entry] = []
    for line, wanted_by in _statements(text):
        entry = ENTRY.fullmatch(line)
        if entry is None:
            raise LockError(f"not a package with an exact version and SHA-256 hashes: {line[:100]}")
        made = Entry(canonicalize_name(entry["name"]), entry["version"], (entry["marker"] or "").strip(), tuple(HASH.findall(entry["hashes"])), wanted_by)
        if any(each.name == made.name and not (each.marker and made.marker) for each in found):
            raise LockError(f"{made.name} stands twice")
        found.append(made)
    return tuple(found)


def _statements(text: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Each statement on one line, with the `via` comments that follow it."""
    statement, wanted_by = "", set[str]()
    for line in [*text.splitlines(), "end"]:
        if line.lstrip().startswith("#"):
            named = line.lstrip("# ").removeprefix("via").strip()
            wanted_by |= {_wanting(named)} if statement and named else set()
        elif line.startswith((" ", "\t")):
            statement += f" {line.strip().removesuffix(chr(92)).strip()}"
        elif line.strip():
            if statement:
                yield statement, frozenset(wanted_by)
            statement, wanted_by = line.strip().removesuffix("\\").strip(), set()


def _wanting(comment: str) -> str:
    """`fmar-node (pyproject.toml:dev)` is `fmar-node:dev`, any other name itself."""
    name, _, place = comment.partition(" ")
    return f"{OWN}:dev" if place.endswith(":dev)") else canonicalize_name(name)


def shipped(lock: Lock) -> Lock:
    """What is installed with the package itself: what it asks for, and what that asks for in turn."""
    names, wanted = {OWN}, set[str]()
    while names != wanted:
        wanted = set(names)
        names |= {entry.name for entry in lock if entry.wanted_by & wanted}
    return tuple(entry for entry in lock if entry.name in names)


# -- what is wrong


def missing(lock: Lock, project: Mapping[str, object]) -> Iterator[str]:
    """What the project asks for and the lock does not give."""
    asked = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"], *project["build-system"]["requires"]]  # type: ignore[index]
    for text in asked:
        wanted = Requirement(text)
        versions = [entry.version for entry in lock if entry.name == canonicalize_name(wanted.name)]
        if not versions:
            yield f"{wanted.name} is asked for by pyproject.toml and is not in the lock"
        if unfit := [each for each in versions if not wanted.specifier.contains(each, prereleases=True)]:
            yield f"{wanted.name} is {unfit[0]} in the lock; pyproject.toml asks for {wanted.specifier}"


def unlocked(lock: Lock, installed: Mapping[str, str]) -> Iterator[str]:
    """Where an environment differs from the lock."""
    applying = {entry.name: entry for entry in lock if entry.applies}
    for name, entry in applying.items():
        if installed.get(name) != entry.version:
            yield f"{name} {installed.get(name, 'is not')} installed; the lock says {entry.version}"
    for name in sorted(installed.keys() - applying.keys() - BROUGHT_ALONG):
        yield f"{name} {installed[name]} is installed and not in the lock"


def installed() -> dict[str, str]:
    """The versions of this environment, by name."""
    return {canonicalize_name(each.metadata["Name"]): each.version for each in distributions() if each.metadata["Name"]}


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    try:
        lock = read_lock((ROOT / "requirements.lock").read_text("utf-8"))
        wrong = [*missing(lock, project), *unlocked(lock, installed())]
    except (LockError, InvalidRequirement) as error:
        wrong = [str(error)]
    for each in wrong:
        print(f"requirements.lock: {each}", file=sys.stderr)
    if wrong:
        print("make the lock anew by the command at its head, or the environment: rm -r .venv && make check", file=sys.stderr)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
