"""The documentation says what is so: pages are current, links lead somewhere, examples parse, commands exist."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pyoxigraph as ox
import pytest
import typer
from typer.testing import CliRunner

from fmar_node.cli.main import app
from fmar_node.kinds.delegation import MOST_ASSETS
from fmar_node.settings import Settings
from fmar_node.store.gate import admit
from tests.live import Live

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"
PAGES = [README, *sorted((PROJECT / "docs").rglob("*.md")), PROJECT / "examples" / "data" / "README.md"]
FENCE = re.compile(r"(<!-- executed -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!\!)\[[^\]]+\]\(([^)\s]+)\)")
PLACE = re.compile(r"`((?:\w+/)*\w+\.py):(\w+)`")
ASKS = re.compile(r"^\s*(SELECT|ASK|CONSTRUCT|DESCRIBE)\b", re.MULTILINE)


def named(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    return [text for _, kind, text in FENCE.findall(page.read_text("utf-8")) if kind == language]


def all_blocks(language: str) -> list[tuple[str, str]]:
    return [(named(page), text) for page in PAGES for text in blocks(page, language)]


def headings(page: Path) -> set[str]:
    """The anchors that a page's headings get."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles]
    return {*plain, *re.findall(r'<a id="([^"]+)">', page.read_text("utf-8"))}


def commands() -> list[tuple[str, str]]:
    """Every `fmar ...` that a reader is told to type, without what the shell does around it."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        lines = re.findall(r"^(?:\$ |    )((?:\w+=\S+ )?(?:\.venv/bin/)?fmar .+)$", text, re.MULTILINE)
        found += [(named(page), re.split(r" [|>;] ", line)[0]) for line in lines]
    return found


def queries() -> Iterator[tuple[str, str]]:
    """Every query, behind the prefixes that its page has given before."""
    for page in PAGES:
        prologue = ""
        for text in blocks(page, "sparql"):
            if ASKS.search(text):
                yield named(page), text if "PREFIX" in text else prologue + text
            else:
                prologue = text


def test_what_is_made_from_the_code_is_current() -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}

    run = subprocess.run([sys.executable, PROJECT / "docs" / "generate.py", "--check"], capture_output=True, text=True, env=environment, check=False)

    assert (run.stdout.strip(), run.returncode) == ("everything is current", 0), run.stdout + run.stderr + "run: python docs/generate.py"


def test_rules_tell_the_values_of_constants() -> None:
    rules = (PROJECT / "docs" / "reference" / "rules.md").read_text("utf-8")

    assert f"1 to {MOST_ASSETS} of your assets" in rules
    assert re.findall(r"\[[A-Z_]+\]", rules) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = [link for link in LINK.findall(FENCE.sub("", page.read_text("utf-8"))) if "://" not in link]

    def leads(link: str) -> bool:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        return target.exists() and (not anchor or anchor in headings(target))

    assert [link for link in links if not leads(link)] == []


@pytest.mark.parametrize(("page", "text"), all_blocks("json"))
def test_json_parses(page: str, text: str) -> None:
    documents = [text] if text.startswith(("{\n", "[\n")) else text.splitlines()

    assert [json.loads(document) for document in documents] != []


def test_an_organisation_to_apply_with_is_accepted(tmp_path: Path) -> None:
    (sample,) = [text for text in blocks(PROJECT / "docs" / "guides" / "people.md", "json") if '"type": "Organisation"' in text]
    (tmp_path / "organisation.json").write_text(sample)

    done = CliRunner().invoke(app, ["validate", "--kind", "organisations", str(tmp_path / "organisation.json")])

    assert (done.exit_code, done.stdout.splitlines()[0][-8:]) == (0, "accepted")


@pytest.mark.parametrize(("page", "text"), all_blocks("turtle"))
def test_turtle_parses(page: str, text: str) -> None:
    assert list(ox.parse(text.encode(), format=ox.RdfFormat.TURTLE)) != []


@pytest.mark.parametrize(("page", "text"), list(queries()))
def test_queries_pass_the_gate_and_run(page: str, text: str) -> None:
    admitted = admit(text, Settings())

    assert admitted.form == "SELECT"
    assert list(ox.Store().query(admitted.text).variables) != []


def test_there_is_something_to_test() -> None:
    found = {language: len(all_blocks(language)) for language in ("json", "turtle", "sparql", "python", "console")}

    assert min(found.values()) > 0
    assert len(list(queries())) >= 10
    assert len(commands()) > 30


def test_there_are_ten_useful_queries() -> None:
    guide = PROJECT / "docs" / "guides" / "dso-analyst.md"

    assert len(re.findall(r"^### \d+\. ", guide.read_text("utf-8"), re.MULTILINE)) == 10


@pytest.mark.parametrize(("page", "text"), all_blocks("python"))
def test_python_compiles(page: str, text: str) -> None:
    assert compile(text, page, "exec")


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_exist_with_their_options(page: str, line: str) -> None:
    words = [word for word in shlex.split(line) if not re.fullmatch(r"FMAR_\w+=\S+", word)][1:]
    command = typer.main.get_command(app)
    context = command.make_context("fmar", [], resilient_parsing=True)

    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]

    assert command.make_context(str(command.name), [word for word in words if word != "..."], parent=context)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_places_in_the_code_exist(page: Path) -> None:
    def exists(file: str, name: str) -> bool:
        source = PROJECT / "fmar_node" / file
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        return source.exists() and any(isinstance(node, kinds) and node.name == name for node in ast.walk(ast.parse(source.read_text("utf-8"))))

    assert [place for place in PLACE.findall(page.read_text("utf-8")) if not exists(*place)] == []


def test_readme_is_one_screen_that_starts_with_the_demo_and_a_question() -> None:
    lines = README.read_text("utf-8").splitlines()

    assert len(lines) <= 60
    assert lines[1].strip() == "make demo"
    assert lines[3].strip().startswith(".venv/bin/fmar query examples/queries/storage-by-capacity.rq --as dso-east")
    targets = re.findall(r"`make (\w+)", README.read_text("utf-8"))
    made = re.findall(r"^(\w+):", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert set(targets) == {"demo", "test", "check", "bench"} <= set(made)


def test_every_decision_is_in_the_index_and_on_one_screen() -> None:
    folder = PROJECT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    pages = sorted(folder.glob("0*.md"))

    assert [page.name for page in pages if f"]({page.name})" not in index] == []
    assert [page.name for page in pages if len(page.read_text("utf-8").splitlines()) > 40] == []
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))


def test_every_module_beyond_the_map_has_its_reason() -> None:
    on_the_map = {"__init__", "node", "submit", "read", "query", "client", "record", "identity"}
    on_the_map |= {"jsonld", "vocabulary", "settings", "errors", "clock"}
    reasons = (PROJECT / "docs" / "decisions" / "0007-modules-beyond-the-map.md").read_text("utf-8")

    beyond = {file.stem for file in (PROJECT / "fmar_node").glob("*.py")} - on_the_map

    assert [name for name in sorted(beyond) if f"`{name}.py`" not in reasons] == []


def test_every_dependency_has_its_reason() -> None:
    given = {"authlib", "cryptography", "fastapi", "httpx", "joserfc", "pydantic", "pyoxigraph", "pyshacl", "rdflib", "uvicorn"}
    reasons = (PROJECT / "docs" / "decisions" / "0010-dependencies.md").read_text("utf-8")

    dependencies = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9_-]", each)[0] for each in dependencies} - given

    assert names != set()
    assert [name for name in sorted(names) if not re.search(rf"\b{name}\b", reasons)] == []


@pytest.mark.parametrize("name", ["fsp-developer", "dso-analyst", "acting-for-others", "people", "events"])
def test_examples_that_are_marked_for_it_run(live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    text = (PROJECT / "docs" / "guides" / f"{name}.md").read_text("utf-8")
    examples = [code for mark, kind, code in FENCE.findall(text) if mark and kind == "python"]
    (tmp_path / ".fmar-demo").symlink_to(live.folder)
    monkeypatch.chdir(tmp_path)

    for example in examples:
        exec(compile(example, f"{name}.md", "exec"), {})

    assert examples != []
