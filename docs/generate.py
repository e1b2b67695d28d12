"""Writes what follows from the code and the ontology: `docs/reference/` and the JSON-LD context.

`.venv/bin/python docs/generate.py` writes, `--check` only says what is stale. Rules kept here: a page states nothing that the
code does not; what the code cannot say (titles of use cases, what a relation means in words) stands in
`docs/maker/words.py`, and a missing word is an error, never a gap.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from maker import cim
from maker.events import events
from maker.lists import VOCABULARY, codes, context, problems, settings, terms
from maker.rights import policies, use_cases
from maker.routes import http
from maker.rules import rules

from fmar_node.vocabulary import Vocabulary

HERE = Path(__file__).parent
PROJECT = HERE.parent
REFERENCE = {
    "terms": terms, "codes": codes, "rules": rules, "problems": problems, "settings": settings, "http": http,
    "policies": policies, "use-cases": use_cases, "cim-profile": cim.profile,
    "events": events,
}  # fmt: skip
FILES: Mapping[Path, Callable[[], str]] = {
    **{HERE / "reference" / f"{name}.md": make for name, make in REFERENCE.items()},
    PROJECT / "ontology" / "context-v1.jsonld": context,
    PROJECT / "ontology" / "context-cim-v1.jsonld": cim.context,
}


def main(arguments: list[str]) -> int:
    """Status 1 when `--check` finds a stale file."""
    if shared := shared_places():
        print("\n".join(f"fmar:termOrder {order} of {name} belongs to {' and '.join(terms_)}: no two terms share one" for name, order, terms_ in shared))
        return 1
    stale = {file: text for file, make in FILES.items() if not is_current(file, text := make())}
    for file, text in stale.items() if "--check" not in arguments else ():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, "utf-8")
    word = "stale" if "--check" in arguments else "wrote"
    print("\n".join(f"{word}: {file.relative_to(PROJECT).as_posix()}" for file in stale) or "everything is current")
    return int(bool(stale) and "--check" in arguments)


def shared_places(vocabulary: Vocabulary = VOCABULARY) -> list[tuple[str, int, list[str]]]:
    """Class, place and terms, where terms of one class have the same place among its keys."""
    found: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name, of_class in vocabulary.classes.items():
        for term in of_class:
            found[name, term.order].append(term.name)
    return [(*key, names) for key, names in found.items() if len(names) > 1]


def is_current(file: Path, text: str) -> bool:
    return file.exists() and file.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
