"""Known vulnerabilities of what requirements.lock names, as pip-audit finds them; and whether anybody could be asked at all.

Rules kept here: what was found fails; that nobody could be asked is said loudly and passes, unless `--release` demands an
answer; a package that an index has not heard of counts as not asked about. One package is asked for first, so that an index
that does not answer is not asked a hundred times.

    python .ci/audit.py [--release] [--osv URL]      exits with 1 for what fails
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from lock import ROOT, read_lock

LOCK = ROOT / "requirements.lock"
INDEX, OSV = "https://pypi.org/pypi/{name}/{version}/json", "https://api.osv.dev/v1/query"
SECONDS = 15


@dataclass(frozen=True, slots=True)
class Finding:
    """What one source said: every vulnerability, every package that it said nothing about, and why it said nothing at all."""

    vulnerable: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    silence: str = ""

    @property
    def is_whole(self) -> bool:
        return not self.silence and not self.unasked


@dataclass(frozen=True, slots=True)
class Source:
    """A place to ask, and how pip-audit is told to."""

    name: str
    probe: urllib.request.Request
    arguments: Sequence[str] = field(default_factory=tuple)

    def ask(self, lock: Path) -> Finding:
        try:
            with urllib.request.urlopen(self.probe, timeout=SECONDS):  # noqa: S310
                pass
        except (OSError, urllib.error.URLError) as error:
            return Finding(silence=str(error))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--disable-pip", "--format", "json", "--progress-spinner", "off", "--timeout", str(SECONDS), *self.arguments]
        said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return finding(said.stdout, said.stderr)


def finding(output: str, errors: str) -> Finding:
    """What pip-audit's answer comes to; without one, why."""
    try:
        asked: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Finding(silence=(errors.strip().splitlines() or ["pip-audit said nothing"])[-1][:300])
    vulnerable = [f"{each['name']} {each['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no version'}" for each in asked for found in each.get("vulns", ())]
    return Finding(tuple(vulnerable), tuple(each["name"] for each in asked if "skip_reason" in each))


def sources(osv: str) -> list[Source]:
    """The package index first, then OSV; one of our own packages is what both are tried with."""
    tried = next(entry for entry in read_lock(LOCK.read_text("utf-8")) if entry.name == "starlette")
    query = json.dumps({"package": {"name": tried.name, "ecosystem": "PyPI"}, "version": tried.version}).encode()
    asked = urllib.request.Request(osv, query, {"Content-Type": "application/json"})  # noqa: S310
    index = urllib.request.Request(INDEX.format(name=tried.name, version=tried.version))  # noqa: S310
    listed = [Source("the package index", index, ("--vulnerability-service", "pypi")), Source("OSV", asked, ("--vulnerability-service", "osv", "--osv-url", osv))]
    return listed if osv == OSV else listed[1:]


def main(arguments: Sequence[str] | None = None) -> int:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--release", action="store_true", help="fail where nobody could be asked")
    given.add_argument("--osv", default=OSV, help="ask this OSV service, and no other")
    given.add_argument("--lock", type=Path, default=LOCK)
    options = given.parse_args(arguments)
    silent = []
    for source in sources(options.osv):
        told = source.ask(options.lock)
        for each in told.vulnerable:
            print(f"VULNERABLE: {each}", file=sys.stderr)
        if told.vulnerable:
            return 1
        if told.is_whole:
            print(f"no known vulnerability in what requirements.lock names, says {source.name}")
            return 0
        silent.append(f"{source.name}: {told.silence or 'has not heard of ' + ', '.join(told.unasked)}")
    print("NOT AUDITED: nobody could be asked for known vulnerabilities; this is no all-clear", file=sys.stderr)
    for line in silent:
        print(f"  {line}", file=sys.stderr)
    print("  a release needs the answer: make check RELEASE=1 where the index or OSV can be reached", file=sys.stderr)
    return 1 if options.release else 0


if __name__ == "__main__":
    sys.exit(main())
