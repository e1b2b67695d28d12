"""Step 16: any plain tool can use the node, through an agent on this machine that adds credential and proof."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import re
import shutil
import sys
from pathlib import Path

from fmar_node.cli.tour.child import Process, last_lines, running, tool
from fmar_node.cli.tour.narrator import results
from fmar_node.cli.tour.visit import Unexpected, Visit, example, expect, expect_that

WHO = "dso-east"
ADDRESS = re.compile(r"through (http://\S+)")
WRAPPED = """
import json
from SPARQLWrapper import JSON, SPARQLWrapper

service = SPARQLWrapper("{agent}/sparql")
service.setQuery(open("{query}").read())
service.setReturnFormat(JSON)
print(json.dumps(service.query().convert()["results"]["bindings"]))
"""
PLAIN = """
import json, urllib.parse, urllib.request

form = urllib.parse.urlencode({{"query": open("{query}").read()}}).encode()
answer = urllib.request.urlopen("{agent}/sparql", form)
print(json.dumps(json.load(answer)["results"]["bindings"]))
"""


def plug_in(visit: Visit) -> str:
    """curl and SPARQLWrapper, neither of which knows what DPoP is."""
    log = visit.folder.root / "agent.log"
    visit.narrator.remark("An agent speaks for dso-east on this machine:")
    visit.narrator.code(f"fmar agent --as {WHO} --data {visit.folder.root} --port 0", "bash")
    with running("agent", "--as", WHO, "--data", str(visit.folder.root), "--port", "0", log=log, is_read=True) as process:
        address = _address(process, log)
        visit.narrator.output(address)
        wanted = results(visit.ask(WHO, "how-much-storage"))[1]
        _with_curl(visit, address, wanted)
        _with_a_library(visit, address, wanted)
    return "The same numbers as with the node's own client. Whatever speaks HTTP or SPARQL can be plugged in."


def _address(process: Process, log: Path) -> str:
    line = process.stdout.readline() if process.stdout else ""
    found = ADDRESS.search(line)
    if found is None:
        raise Unexpected(f"the agent did not start: {last_lines(log) or line}")
    return found[1]


def _with_curl(visit: Visit, address: str, wanted: list[list[str]]) -> None:
    if not shutil.which("curl"):
        visit.narrator.remark("(curl is not installed here; this part is left out)")
        return
    query = shown(example("queries/how-much-storage.rq"))
    arguments = ["curl", "-sS", "-H", "Accept: text/csv", "--data-urlencode", f"query@{query}", f"{address}/sparql"]
    visit.narrator.remark("curl, with a header for the format and nothing else:")
    visit.narrator.code(f'curl -sS -H "Accept: text/csv" \\\n     --data-urlencode query@{query} \\\n     {address}/sparql', "bash")
    done = tool(*arguments)
    visit.narrator.output(done.stdout + done.stderr)
    expect("the answer to curl", wanted, list(csv.reader(io.StringIO(done.stdout)))[1:])


def _with_a_library(visit: Visit, address: str, wanted: list[list[str]]) -> None:
    has_wrapper = importlib.util.find_spec("SPARQLWrapper") is not None
    visit.narrator.remark("SPARQLWrapper, as its manual says:" if has_wrapper else "Python's own urllib (SPARQLWrapper is not installed here):")
    script = (WRAPPED if has_wrapper else PLAIN).format(agent=address, query=shown(example("queries/how-much-storage.rq")))
    visit.narrator.code(script, "python")
    done = tool(sys.executable, "-c", script)
    visit.narrator.output(done.stdout or done.stderr)
    expect_that(done.returncode == 0, "the script runs")
    expect("the answer to the script", wanted, [[cell["value"] for cell in row.values()] for row in json.loads(done.stdout)])


def shown(path: Path) -> str:
    """A path as a person would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
