"""The part of the lock file that a running node needs: its own dependencies and theirs, with their hashes, and no tools.

    python examples/operation/runtime.py requirements.lock > runtime.lock
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = "fmar-node (pyproject.toml)"
PACKAGE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==.*(?:\n .*)+", re.MULTILINE)


def needed(lock: str) -> list[str]:
    """The entries of the lock whose packages the node needs, directly or through others, as the comments tell."""
    entries = [(found["name"], found[0]) for found in PACKAGE.finditer(lock)]  # a name twice: another version for another Python
    wanted = {ROOT}
    while grown := {name for name, entry in entries if parents(entry) & wanted} - wanted:
        wanted |= grown
    return [entry for name, entry in entries if name in wanted]


def parents(entry: str) -> set[str]:
    """What a package is in the lock for."""
    return {line.strip("# ").removeprefix("via").strip() for line in re.findall(r"^ +#.*$", entry, re.MULTILINE)}


if __name__ == "__main__":
    print("\n".join(needed(Path(sys.argv[1]).read_text("utf-8"))))
