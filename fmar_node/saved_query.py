"""Saved queries: named questions with typed parameters, for those who do not write SPARQL.

A file of its own each: `# name: value` lines (title, about, for, then one per parameter), and a SELECT. Rules kept here: a
value of a parameter is bound to its variable by the engine as a term, and never becomes text of the query; a parameter is
a variable of the result (the engine substitutes those and no others); a query is asked in the caller's own window; who
may not ask it is told that there is none of that name; a file that is wrong is left out, and said to be wrong.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pyoxigraph as ox

from fmar_node.access.caller import ROLE_OF_CODE, Caller
from fmar_node.errors import FmarError, Malformed, NotFound
from fmar_node.settings import Settings
from fmar_node.store.gate import admit
from fmar_node.vocabulary import CODES, XSD, Vocabulary, packaged

log = logging.getLogger("fmar.queries")
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
HEAD = re.compile(r"# ?([a-z]\w*): *(.*)")
PARAMETER = re.compile(r"(text|iri|date|integer|decimal|code \w+)(, optional)?(?:; *(.*))?")
IRI = re.compile(r"[a-z][a-z0-9+.-]*:[^\x00-\x20<>\"{}|^`\\]+")
INTEGER, DECIMAL = re.compile(r"[+-]?[0-9]{1,18}"), re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,9})?")
EVERYONE = "everyone"
MOST_TEXT = 200
RESERVED = frozenset({"format", "timeout"})


class Term(NamedTuple):
    """An RDF term for the engine: an IRI where there is no datatype."""

    value: str
    datatype: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`kind` is text, iri, date, integer, decimal or code; `scheme` the code list."""

    name: str
    kind: str
    scheme: str = ""
    is_optional: bool = False
    about: str = ""

    def term(self, text: str, vocabulary: Vocabulary) -> Term:
        """The term that a value stands for; Malformed where it is none of the kind."""
        match self.kind:
            case "code":
                if text in vocabulary.schemes[self.scheme].codes:
                    return Term(f"{CODES}{self.scheme}#{text}")
                raise self._wrong(f"one of {', '.join(sorted(vocabulary.schemes[self.scheme].codes))}")
            case "iri":
                if IRI.fullmatch(text):
                    return Term(text)
                raise self._wrong("an absolute IRI")
            case "date":
                try:
                    return Term(date.fromisoformat(text).isoformat(), XSD + "date")
                except ValueError:
                    raise self._wrong("a date as 2026-11-30") from None
            case "integer":
                if INTEGER.fullmatch(text):
                    return Term(str(int(text)), XSD + "integer")
                raise self._wrong("a whole number")
            case "decimal":
                if DECIMAL.fullmatch(text):
                    return Term(str(Decimal(text)), XSD + "decimal")
                raise self._wrong("a number with a point, without exponent")
        if 0 < len(text) <= MOST_TEXT and text.isprintable():
            return Term(text, XSD + "string")
        raise self._wrong(f"a text of 1 to {MOST_TEXT} printable characters")

    def _wrong(self, wanted: str) -> Malformed:
        return Malformed("malformed-request", f"{self.name} is {wanted}")


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A named query as its file says it; `readers` are codes of roles, IRIs of organisations, or everyone."""

    name: str
    title: str
    about: str
    readers: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    text: str

    def may_be_asked_by(self, caller: Caller, base_url: str) -> bool:
        own = {EVERYONE, f"{base_url}/organisations/{caller.organisation}", *(code for code, role in ROLE_OF_CODE.items() if role in caller.roles)}
        return not own.isdisjoint(self.readers)

    def bound(self, given: Sequence[tuple[str, str]], vocabulary: Vocabulary) -> dict[str, Term]:
        """The terms of the variables that are given. Malformed where one is unknown, twice there, missing, or of another kind."""
        known = {each.name: each for each in self.parameters}
        found: dict[str, Term] = {}
        for name, text in given:
            if name not in known:
                taken = ", ".join(sorted({*known, *RESERVED}))
                raise Malformed("malformed-request", f"{self.name} has no parameter {name[:40]!r}; it takes {taken}")
            if name in found:
                raise Malformed("malformed-request", f"{name} is given twice")
            if not text and known[name].is_optional:
                continue  # a form sends what was left empty
            found[name] = known[name].term(text, vocabulary)
        if missing := [each.name for each in self.parameters if not each.is_optional and each.name not in found]:
            raise Malformed("malformed-request", f"{self.name} needs {', '.join(missing)}")
        return found


def parse(name: str, text: str, vocabulary: Vocabulary, settings: Settings) -> SavedQuery:
    """A file's query; ValueError or FmarError that says what is wrong with it."""
    if not NAME.fullmatch(name):
        raise ValueError("a name is of small letters, digits and hyphens")
    head = {found[1]: found[2] for line in text.splitlines() if (found := HEAD.fullmatch(line.strip()))}
    if missing := [each for each in ("title", "about", "for") if not head.get(each)]:
        raise ValueError(f"it has no {missing[0]}")
    readers = tuple(head["for"].replace(",", " ").split())
    if odd := [each for each in readers if each != EVERYONE and each not in ROLE_OF_CODE and not each.startswith(f"{settings.base_url}/organisations/")]:
        raise ValueError(f"nobody is {odd[0]!r}: {EVERYONE}, {', '.join(ROLE_OF_CODE)}, or the IRI of an organisation")
    parameters = tuple(_parameter(each, value, vocabulary) for each, value in head.items() if each not in ("title", "about", "for"))
    names = _variables(admit(text, settings).text)
    if odd := [each.name for each in parameters if each.name not in names]:
        raise ValueError(f"{odd[0]} is no variable of its result")
    return SavedQuery(name, head["title"], head["about"], readers, parameters, text)


def _variables(text: str) -> set[str]:
    """Those of the result of a SELECT that the gate has admitted, as the engine reads it."""
    try:
        found = ox.Store().query(text, base_iri="http://node.invalid/sparql")
    except (SyntaxError, RuntimeError) as error:
        raise ValueError(f"the engine does not read it: {error}") from error
    if not isinstance(found, ox.QuerySolutions):
        raise ValueError("it is no SELECT")
    return {variable.value for variable in found.variables}


def _parameter(name: str, told: str, vocabulary: Vocabulary) -> Parameter:
    found = PARAMETER.fullmatch(told)
    if not found or name in RESERVED:
        raise ValueError(f"{name} is no parameter: text, iri, date, integer, decimal or code and a list, then optional, then what it is")
    kind, _, scheme = found[1].partition(" ")
    if scheme and scheme not in vocabulary.schemes:
        raise ValueError(f"there is no code list {scheme}")
    return Parameter(name, kind, scheme, bool(found[2]), found[3] or "")


class SavedQueries:
    """Those that ship with the node, and those in a folder of its operator, which is looked at again whenever it is asked."""

    def __init__(self, folder: Path, vocabulary: Vocabulary, settings: Settings) -> None:
        self.folder, self.vocabulary, self.settings = folder, vocabulary, settings
        self.read: dict[Path, tuple[tuple[int, int], SavedQuery | None]] = {}

    def all(self, caller: Caller) -> list[SavedQuery]:
        """Those that the caller may ask, by name; the operator's replace shipped ones."""
        files = [*(packaged("examples") / "saved-queries").glob("*.rq"), *sorted(self.folder.glob("*.rq"))]
        found = {each.name: each for file in files if (each := self._read(file))}
        return [found[name] for name in sorted(found) if found[name].may_be_asked_by(caller, self.settings.base_url)]

    def get(self, name: str, caller: Caller) -> SavedQuery:
        """NotFound where there is none of that name for this caller."""
        for each in self.all(caller):
            if each.name == name:
                return each
        raise NotFound("not-found", "there is no saved query of that name for you; GET /queries lists those that there are")

    def _read(self, file: Path) -> SavedQuery | None:
        try:
            state = file.stat()
        except OSError:  # it has just gone
            return None
        key = (state.st_mtime_ns, state.st_size)
        if self.read.get(file, (None, None))[0] == key:
            return self.read[file][1]
        made = None
        try:
            made = parse(file.stem, file.read_text("utf-8"), self.vocabulary, self.settings)
        except (ValueError, OSError, FmarError) as error:
            log.warning("the saved query %s is left out: %s", file.name, error)
        self.read[file] = (key, made)
        return made


def example(query: SavedQuery, vocabulary: Vocabulary) -> Mapping[str, str]:
    """A value for each parameter, to show in documentation."""
    values = {"text": "text", "iri": "https://example.org/", "date": "2026-11-30", "integer": "1", "decimal": "1.5"}
    return {each.name: next(iter(sorted(vocabulary.schemes[each.scheme].codes))) if each.scheme else values[each.kind] for each in query.parameters}
