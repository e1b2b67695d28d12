"""What the package is made of: the lock, the audit of it, the bill of materials in the wheel."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CI = ROOT / ".ci"
HASH = "--hash=sha256:" + "a" * 64


def module(name: str) -> ModuleType:
    sys.path.insert(0, str(CI))
    try:
        return __import__(name)
    finally:
        sys.path.remove(str(CI))


lock, audit, bill = module("lock"), module("audit"), module("bill")


# -- the lock


@pytest.fixture(scope="module")
def entries() -> Any:
    return lock.read_lock((ROOT / "requirements.lock").read_text("utf-8"))


def test_everything_that_is_asked_for_is_pinned_and_hashed(entries: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

    assert list(lock.missing(entries, project)) == []
    assert len(entries) > 60 and all(entry.hashes for entry in entries)


def test_a_lock_is_read_with_its_markers_hashes_and_reasons() -> None:
    text = f"# made by\na-b==1.0 ; python_version < '3.12' \\\n    {HASH} \\\n    {HASH.replace('a' * 64, 'b' * 64)}\n    # via\n    #   c\n    #   fmar-node (pyproject.toml)\nc==2 \\\n    {HASH}\n    # via fmar-node (pyproject.toml:dev)\n"

    first, second = lock.read_lock(text)

    assert (first.name, first.version, first.marker, [each[0] for each in first.hashes]) == ("a-b", "1.0", "python_version < '3.12'", ["a", "b"])
    assert (first.wanted_by, second.wanted_by) == ({"c", "fmar-node"}, {"fmar-node:dev"})
    assert [entry.name for entry in lock.shipped((first, second))] == ["a-b"]


@pytest.mark.parametrize("line", [
    "a==1.0", f"a>=1.0 {HASH}", f"a {HASH}", "a==1.0 --hash=md5:" + "a" * 32, f"a==1.* {HASH}", f"-e . {HASH}", f"a @ https://x.example/a.whl {HASH}", "git+https://x.example/a", "--index-url https://x.example",
    f"a==1.0 {HASH}\na==2.0 {HASH}", f"a==1.0 {HASH} --no-binary", "a==1.0 --hash=sha256:abc",
])  # fmt: skip
def test_what_is_not_pinned_and_hashed_is_refused(line: str) -> None:
    with pytest.raises(lock.LockError):
        lock.read_lock(line)


def test_an_environment_that_differs_is_told() -> None:
    one, two = lock.read_lock(f"one==1.0 {HASH}\ntwo==1.0 ; sys_platform == 'nowhere' {HASH}")

    assert list(lock.unlocked((one, two), {"one": "1.0", "fmar-node": "0", "setuptools": "65"})) == []
    assert list(lock.unlocked((one, two), {"one": "1.1", "three": "3"})) == ["one 1.1 installed; the lock says 1.0", "three 3 is installed and not in the lock"]
    assert list(lock.missing((one,), {"project": {"dependencies": ["one>=2", "three"]}, "dependency-groups": {"dev": []}, "build-system": {"requires": []}})) == [
        "one is 1.0 in the lock; pyproject.toml asks for >=2", "three is asked for by pyproject.toml and is not in the lock",
    ]  # fmt: skip


# -- the audit


@pytest.fixture
def osv() -> Iterator[str]:
    """A service in the manner of OSV that knows of one vulnerability, in `jinja2`."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found = {"id": "TEST-1", "summary": "x", "affected": [{"package": asked["package"], "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]}]}
            body = json.dumps({"vulns": [found]} if asked["package"]["name"] == "jinja2" else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


@pytest.mark.parametrize(("package", "code", "said"), [("rich==1.0", 0, "no known vulnerability"), ("jinja2==1.0", 1, "VULNERABLE: jinja2 1.0: TEST-1, mended in 99")])
def test_what_is_found_fails(osv: str, package: str, code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pip_audit", reason="pip-audit is in the dev group")
    (tmp_path / "small.lock").write_text(f"{package} \\\n    {HASH}\n")

    assert audit.main(["--osv", osv, "--lock", str(tmp_path / "small.lock"), "--release"]) == code
    assert said in "".join(capsys.readouterr())


@pytest.mark.parametrize(("options", "code"), [([], 0), (["--release"], 1)])
def test_that_nobody_could_be_asked_is_said_and_fails_a_release_alone(options: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit.main(["--osv", "http://127.0.0.1:9/v1/query", *options]) == code

    said = capsys.readouterr().err
    assert "NOT AUDITED" in said and "no all-clear" in said and "OSV" in said


@pytest.mark.parametrize(("output", "expected"), [
    ("", ((), (), "it broke")), ("{}", ((), (), "it broke")), ('{"dependencies": []}', ((), (), "")),
    ('{"dependencies": [{"name": "a", "skip_reason": "not found"}]}', ((), ("a",), "")),
    ('{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X", "fix_versions": []}]}]}', (("a 1: X, mended in no version",), (), "")),
])  # fmt: skip
def test_a_package_that_nobody_has_heard_of_was_not_asked_about(output: str, expected: Any) -> None:
    found = audit.finding(output, "Traceback\nit broke\n")

    assert (found.vulnerable, found.unasked, found.silence) == expected
    assert found.is_whole is (output == '{"dependencies": []}' or "vulns" in output)


# -- the bill of materials


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return zipfile.ZipFile(made)


def test_a_wheel_brings_the_bill_of_what_it_is_installed_with(wheel: zipfile.ZipFile, entries: Any) -> None:
    (name,) = (each for each in wheel.namelist() if "/sboms/" in each)
    made = json.loads(wheel.read(name))

    components = {(each["name"], each["version"]): each for each in made["components"]}
    assert name.endswith(".dist-info/sboms/fmar-node.cdx.json") and name in wheel.read(name.split("/")[0] + "/RECORD").decode()
    assert (made["bomFormat"], made["specVersion"], made["metadata"]["component"]["name"]) == ("CycloneDX", "1.6", "fmar-node")
    assert set(components) - {(entry.name, entry.version) for entry in lock.shipped(entries)} == {("@zazuko/yasgui", "4.6.2")}
    assert {f"fmar_node/web/yasgui/{file}" for file in ("yasgui.min.js", "yasgui.min.css", "start.js", "LICENSE.txt")} <= set(wheel.namelist())
    assert {"starlette", "cryptography", "pyoxigraph", "rdflib"} <= {each for each, _ in components} and not {"pytest", "ruff", "mypy", "schemathesis"} & {each for each, _ in components}
    for entry in lock.shipped(entries):
        part = components[entry.name, entry.version]
        assert part["purl"] == f"pkg:pypi/{entry.name}@{entry.version}"
        assert {each["content"] for each in part["hashes"]} == set(entry.hashes)
    assert sum("licenses" in part for part in components.values()) > len(components) // 2


def test_a_bill_is_of_its_schema_and_the_same_each_time(entries: Any) -> None:
    rust = pytest.importorskip("jsonschema_rs", reason="it comes with schemathesis")
    cyclonedx = pytest.importorskip("cyclonedx.schema", reason="it comes with pip-audit")
    folder = Path(cyclonedx.__file__).parent / "_res"
    whole = json.loads((folder / "bom-1.6.SNAPSHOT.schema.json").read_text("utf-8"))

    made = bill.bill(entries, "1.2.3")

    checked = rust.validator_for(whole, retriever=lambda uri: json.loads((folder / uri.rsplit("/", 1)[1]).read_text("utf-8")))
    assert [error.message for error in checked.iter_errors(made)] == []
    assert bill.bill(entries, "1.2.3") == made != bill.bill(entries, "1.2.4")
    references = {each["bom-ref"] for each in made["components"]} | {made["metadata"]["component"]["bom-ref"]}
    assert {each["ref"] for each in made["dependencies"]} == references >= {each for part in made["dependencies"] for each in part["dependsOn"]}
    assert len(made["dependencies"][0]["dependsOn"]) >= 20


def test_what_is_shipped_for_browsers_is_what_its_note_says() -> None:
    notes = list((ROOT / "fmar_node" / "web").glob("*/yasgui.json"))
    told = [(note.parent, *each) for note in notes for each in json.loads(note.read_text("utf-8"))["files"].items()]

    assert len(told) == 2
    for folder, name, digest in told:
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
        assert (folder / "LICENSE.txt").read_text("utf-8").startswith("The MIT License")
