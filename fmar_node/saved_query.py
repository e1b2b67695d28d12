"""Saved queries: named questions with typed parameters, for those who do not write SPARQL.

Three places have them: those that ship with the node, those that its operator puts into a folder, and those that
organisations publish as records (`kinds/saved_query.py`). Rules kept here: a name of the operator's goes before one that
ships, and both before a published one; a value of a parameter is bound to its variable by the engine as a term, and never
becomes text of the query; a query is asked in the caller's own window; who may not ask it is told that there is none of
that name; a file that is wrong is left out, and said to be wrong, with all that is.

A file is a head of comments (`# name: value`: title, about, for, then one per parameter) and a SELECT or a CONSTRUCT.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fmar_node.access.caller import ROLE_OF_CODE, Caller
from fmar_node.access.reveal import tiers
from fmar_node.checks.saved_query import NAME, RESERVED, Parameter, Term, hint_at, parameters_in, sense
from fmar_node.errors import Fault, FmarError, Malformed, NotFound, Severity
from fmar_node.identity import is_uuid
from fmar_node.journal.register import Register
from fmar_node.kinds import KINDS, House
from fmar_node.kinds.saved_query import OPERATORS, PUBLISHED, READER, name_of
from fmar_node.settings import Settings
from fmar_node.store.gate import form_of
from fmar_node.vocabulary import Document, Vocabulary, packaged

log = logging.getLogger("fmar.queries")
HEAD = re.compile(r"# ?([a-z]\w*): *(.*)")
PARAMETER = re.compile(r"(text|iri|date|integer|decimal|code \w+)(, optional)?(?:; *(.*))?")
ABOUT_ALL = ("title", "about", "for")
EVERYONE = "everyone"
MOST_UNKNOWN = 20
"""Unknown parameters that one answer names."""
SHIPPED = "saved-queries"
"""Where those that ship are, among the examples."""


@dataclass(frozen=True, slots=True)
class SavedQuery:
    """A named query. `readers` are codes of roles, IRIs of organisations, or everyone; `publisher` and `record` the IRIs of those of a published one."""

    name: str
    title: str
    about: str
    readers: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    text: str
    publisher: str = ""
    record: str = ""

    @property
    def form(self) -> str:
        """SELECT or CONSTRUCT."""
        return form_of(self.text)

    def may_be_asked_by(self, caller: Caller, base_url: str) -> bool:
        return not {EVERYONE, *readers_of(caller, base_url)}.isdisjoint(self.readers)

    def bound(self, given: Sequence[tuple[str, str]], vocabulary: Vocabulary) -> dict[str, Term]:
        """The terms of the variables that are given. Malformed with every fault: unknown, twice there, missing, or of another kind."""
        faults, values, found = list(self._misnamed(given)), dict(given), dict[str, Term]()
        for each in self.parameters:
            text = values.get(each.name)
            if text is None or (each.is_optional and not text):  # a form sends what was left empty
                faults += [] if each.is_optional else [_fault("parameter-missing", each.name, f"{each.name} is needed: {each.wanted(vocabulary)}")]
                continue
            try:
                found[each.name] = each.term(text, vocabulary)
            except ValueError:
                faults.append(_fault("parameter-malformed", each.name, f"{each.name} is {each.wanted(vocabulary)}"))
        if faults:
            several = f"{len(faults)} faults in the parameters of {self.name}: {', '.join(fault.field for fault in faults)}"
            raise Malformed("malformed-request", faults[0].message if len(faults) == 1 else several, tuple(faults))
        return found

    def _misnamed(self, given: Sequence[tuple[str, str]]) -> Iterator[Fault]:
        known, count = [each.name for each in self.parameters], Counter(name for name, _ in given)
        taken = ", ".join(sorted([*known, *RESERVED]))
        for name in itertools.islice((name for name in count if name not in known), MOST_UNKNOWN):
            hint = hint_at(name[:40], known) or f"; it takes {taken}"
            yield _fault("parameter-unknown", name[:40], f"{self.name} has no parameter {name[:40]!r}{hint}")
        yield from (_fault("parameter-repeated", name, f"{name} is given twice") for name in known if count[name] > 1)


def _fault(code: str, name: str, message: str) -> Fault:
    return Fault(code, Severity.REJECT, message, field=name)


def readers_of(caller: Caller, base_url: str) -> Iterator[str]:
    """What a caller is called in the audience of a query, beside everyone: codes of its roles, the IRI of its organisation."""
    if caller.organisation:
        yield f"{base_url}/organisations/{caller.organisation}"
    yield from (code for code, role in ROLE_OF_CODE.items() if role in caller.roles)


# -- files


@dataclass(frozen=True, slots=True)
class Head:
    """What the comments at the head of a file say; `wrong` is what they say that cannot be, `text` the query behind them."""

    title: str
    about: str
    readers: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    wrong: tuple[str, ...]
    text: str


def head_of(text: str) -> Head:
    """Reads a file's head."""
    lines = text.removeprefix("\ufeff").splitlines()
    comments = list(itertools.takewhile(lambda line: not line.strip() or line.lstrip().startswith("#"), lines))
    told = [(number, found[1], found[2].strip()) for number, line in enumerate(comments, 1) if (found := HEAD.fullmatch(line.strip()))]
    said = {name: value for _, name, value in told if name in ABOUT_ALL}
    named = [(number, name, PARAMETER.fullmatch(value)) for number, name, value in told if name not in ABOUT_ALL]
    wrong = [f"it says twice what its {name} is" for name in ABOUT_ALL if sum(each == name for _, each, _ in told) > 1]
    form = "text, iri, date, integer, decimal or code and a list, then optional, then what it is"
    wrong += [f"line {number} does not say what the parameter {name} is: {form}" for number, name, found in named if not found]
    parameters = [_parameter(name, found) for _, name, found in named if found]
    readers = tuple(said.get("for", "").replace(",", " ").split())
    query = "\n".join([*(line for line in comments if not HEAD.fullmatch(line.strip())), *lines[len(comments) :]])
    return Head(said.get("title", ""), said.get("about", ""), readers, tuple(parameters), tuple(wrong), query.strip() + "\n")


def _parameter(name: str, found: re.Match[str]) -> Parameter:
    kind, _, scheme = found[1].partition(" ")
    return Parameter(name, kind, scheme, bool(found[2]), found[3] or "")


def parse(name: str, text: str, vocabulary: Vocabulary, settings: Settings) -> SavedQuery:
    """A file's query; ValueError that says everything that is wrong with it."""
    text = text.removeprefix("\ufeff")
    head = head_of(text)
    found = [] if NAME.fullmatch(name) else ["a name is of small letters, digits and hyphens"]
    found += [f"it has no {each}" for each, said in zip(ABOUT_ALL, (head.title, head.about, head.readers), strict=True) if not said]
    odd = [each for each in head.readers if each != EVERYONE and each not in ROLE_OF_CODE and not each.startswith(f"{settings.base_url}/organisations/")]
    found += [f"nobody is {each!r}: {EVERYONE}, {', '.join(ROLE_OF_CODE)}, or the IRI of an organisation" for each in odd]
    found += [*head.wrong, *(fault.message for fault in sense(name, text, head.parameters, vocabulary, settings))]
    if found:
        raise ValueError("; ".join(found))
    return SavedQuery(name, head.title, head.about, head.readers, head.parameters, text)


def files_of(folder: Path) -> list[Path]:
    """An operator's files."""
    return sorted(file for file in folder.glob("*.rq") if file.is_file())


def broken_files(folder: Path, vocabulary: Vocabulary, settings: Settings) -> Iterator[tuple[Path, str]]:
    """The files in an operator's folder that are left out, and why."""
    for file in files_of(folder):
        try:
            parse(file.stem, file.read_text("utf-8"), vocabulary, settings)
        except (ValueError, OSError) as error:
            yield file, str(error)


def house_of(settings: Settings, folder: Path) -> House:
    """What a node with these settings and this folder for saved queries brings to decisions."""
    actions = {plural: frozenset(kind.actions) for plural, kind in KINDS.items()}
    return House(
        settings.sources, settings.queries_per_organisation, settings.subscriptions_per_organisation, actions, partial(_has_file, folder),
        validation_seconds=settings.validation_seconds, asset_query_seconds=settings.asset_query_seconds,
        has_consents=bool(settings.consent_solutions), needs_authorisation=settings.owner_authorisation,
        switch_notice_days=settings.switch_notice_days, switch_days_most=settings.switch_days_most,
    )  # fmt: skip


def _has_file(folder: Path, name: str) -> bool:
    return any((each / f"{name}.rq").exists() for each in (folder, packaged("examples") / SHIPPED))


# -- all of them


class SavedQueries:
    """Those of files, which are looked at again whenever they are asked for, and those that the register has."""

    def __init__(self, folder: Path, register: Register, vocabulary: Vocabulary, settings: Settings) -> None:
        self.folder, self.register, self.vocabulary, self.settings = folder, register, vocabulary, settings
        self.read: dict[Path, tuple[tuple[int, int], SavedQuery | None]] = {}

    def get(self, name: str, caller: Caller) -> SavedQuery:
        """NotFound where there is none of that name for this caller."""
        found = self._of_file(name) if NAME.fullmatch(name) else None
        if found and found.may_be_asked_by(caller, self.settings.base_url):
            return found
        if found is None and (published := self._published(self.register.holder(name_of(name)), caller)):
            return published
        raise NotFound("not-found", "there is no saved query of that name for you; GET /queries lists those that there are")

    def page(self, caller: Caller, after: str, limit: int) -> list[SavedQuery]:
        """So many of those that the caller may ask, behind one of them: those of files by name, then published ones by age. `after` is a name, or an id."""
        own = [] if is_uuid(after) else [each for each in self._of_files(caller) if each.name > after]
        found = own[:limit]
        while len(found) < limit:
            ids = self.register.carrying(self._handles(caller), after if is_uuid(after) else "", limit)
            published = [each for id_ in ids if (each := self._published(id_, caller))]
            found += [each for each in published if self._of_file(each.name) is None][: limit - len(found)]
            if len(ids) < limit:
                break
            after = ids[-1]
        return found

    def _handles(self, caller: Caller) -> Iterable[tuple[str, str]]:
        named = () if caller.actor else readers_of(caller, self.settings.base_url)
        return [(READER, EVERYONE.upper()), *((READER, each) for each in named)]

    def _published(self, id_: str | None, caller: Caller) -> SavedQuery | None:
        version = self.register.current("queries", id_) if id_ else None
        if version is None or version.state != PUBLISHED or not tiers(version.document, caller):
            return None
        return _of_record(version.document)

    def _of_files(self, caller: Caller) -> list[SavedQuery]:
        """By name; the operator's replace shipped ones."""
        files = [*(packaged("examples") / SHIPPED).glob("*.rq"), *files_of(self.folder)]
        found = {each.name: each for file in files if (each := self._read(file))}
        return [found[name] for name in sorted(found) if found[name].may_be_asked_by(caller, self.settings.base_url)]

    def _of_file(self, name: str) -> SavedQuery | None:
        return self._read(self.folder / f"{name}.rq") or self._read(packaged("examples") / SHIPPED / f"{name}.rq")

    def _read(self, file: Path) -> SavedQuery | None:
        try:
            state = file.stat()
        except OSError:  # there is none, or it has just gone
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


def _of_record(document: Document) -> SavedQuery:
    readers = (OPERATORS, document["publishedBy"], *document.get("audience", ()), *document.get("audienceOrganisation", ()))
    return SavedQuery(
        document["queryName"], document["queryTitle"], document["queryDescription"], readers, tuple(parameters_in(document)),
        document["queryText"], document["publishedBy"], document["id"],
    )  # fmt: skip


def example(query: SavedQuery, vocabulary: Vocabulary) -> Mapping[str, str]:
    """A value for each parameter, to show in documentation."""
    values = {"text": "text", "iri": "https://example.org/", "date": "2026-11-30", "integer": "1", "decimal": "1.5"}
    return {each.name: next(iter(sorted(vocabulary.schemes[each.scheme].codes))) if each.scheme else values[each.kind] for each in query.parameters}
