"""What a saved query may be, whether a file or a record says it: its name, its parameters, and a text that carries their values.

Rules kept here: all that is wrong at once, each on its field; the text passes the gate that every query passes, is read by
the engine, and has the value of each parameter carried to wherever the parameter stands (`store.substitution`); a value is a
term of its parameter's kind, or refused; it never becomes text of the query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import NamedTuple

import pyoxigraph as ox

from fmar_node.errors import Fault, FmarError, Severity, nearest
from fmar_node.identity import is_uuid
from fmar_node.settings import Settings
from fmar_node.store.gate import admit
from fmar_node.store.reading import check_reading
from fmar_node.store.substitution import unreached
from fmar_node.vocabulary import CODES, XSD, Document, Vocabulary

NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
INTEGER, DECIMAL = re.compile(r"[+-]?[0-9]{1,18}"), re.compile(r"[+-]?[0-9]{1,15}(?:\.[0-9]{1,9})?")
FORMS = ("SELECT", "CONSTRUCT")
MOST_TOKENS = 400
"""Words and marks of a saved query: the engine plans it where documents are judged, and takes seconds over some hundreds of patterns."""
MOST_TEXT = 200
RESERVED = ("format", "timeout")
"""Parameters that every saved query has."""


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
        """The term that a value stands for; ValueError that says what is wanted where it is none of the kind."""
        match self.kind:
            case "code" if text in vocabulary.schemes[self.scheme].codes:
                return Term(f"{CODES}{self.scheme}#{text}")
            case "iri":
                return Term(ox.NamedNode(text).value)
            case "date" if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
                return Term(date.fromisoformat(text).isoformat(), XSD + "date")
            case "integer" if INTEGER.fullmatch(text):
                return Term(str(int(text)), XSD + "integer")
            case "decimal" if DECIMAL.fullmatch(text):
                return Term(str(Decimal(text)), XSD + "decimal")
            case "text" if 0 < len(text) <= MOST_TEXT and text.isprintable():
                return Term(text, XSD + "string")
        raise ValueError(f"no {self.kind}")

    def wanted(self, vocabulary: Vocabulary) -> str:
        """What a value of it has to be."""
        if self.kind == "code":
            return f"one of {', '.join(sorted(vocabulary.schemes[self.scheme].codes))}"
        return FORM_OF_KIND[self.kind]


FORM_OF_KIND = {
    "text": f"a text of 1 to {MOST_TEXT} printable characters",
    "iri": "an absolute IRI",
    "date": "a date as 2026-11-30",
    "integer": "a whole number of up to 18 digits",
    "decimal": "a number as 7.5, without exponent",
}


def sense(name: str, text: str, parameters: Sequence[Parameter], vocabulary: Vocabulary, settings: Settings) -> Iterator[Fault]:
    """Everything that is wrong; the parameters' places in the text are looked at when it is one that can be asked."""
    if is_uuid(name):
        yield Fault("SavedQuery.queryName", Severity.REJECT, "a name that looks like the id of a record would be taken for one", "/queryName", "queryName")
    wrong = list(_text_sense(text, settings))
    lost = {} if wrong else unreached(text, [each.name for each in parameters])
    yield from wrong
    for place, each in enumerate(parameters):
        yield from _name_sense(each, sum(other.name == each.name for other in parameters) > 1, lost.get(each.name), f"/parameter/{place}/parameterName")
        yield from _list_sense(each, vocabulary, f"/parameter/{place}/codeList")


def _text_sense(text: str, settings: Settings) -> Iterator[Fault]:
    """A SELECT or a CONSTRUCT that passes the gate, and that the engine reads."""
    try:
        admitted = admit(text, settings.model_copy(update={"query_tokens": min(MOST_TOKENS, settings.query_tokens)}))
        if admitted.form in FORMS:
            check_reading(admitted.text)
            return
        message = f"a saved query is a {' or a '.join(FORMS)}, not {admitted.form}"
    except FmarError as error:
        message = error.detail
    except ValueError as error:
        message = f"the engine does not read it: {error}"
    yield Fault("SavedQuery.queryText", Severity.REJECT, message, "/queryText", "queryText")


def _name_sense(parameter: Parameter, is_twice: bool, lost: str | None, pointer: str) -> Iterator[Fault]:
    """Each name once, none of those that every query takes, and one that the text has where a value reaches it."""
    name = parameter.name
    if name in RESERVED:
        message = f"every query takes {' and '.join(RESERVED)}: call {name} something else"
        yield Fault("QueryParameter.parameterName", Severity.REJECT, message, pointer, "parameterName")
    if is_twice:
        yield Fault("QueryParameter.parameterName", Severity.REJECT, f"two parameters are called {name}", pointer, "parameterName")
    if lost:
        yield Fault("QueryParameter.parameterName", Severity.REJECT, f"{name} {lost}", pointer, "parameterName")


def _list_sense(parameter: Parameter, vocabulary: Vocabulary, pointer: str) -> Iterator[Fault]:
    """A code list that there is, where the parameter is a code."""
    if (parameter.kind == "code") != bool(parameter.scheme):
        yield Fault("QueryParameter.codeList", Severity.REJECT, "codeList goes with the kind CODE: both or neither", pointer, "codeList")
    elif parameter.scheme and parameter.scheme not in vocabulary.schemes:
        message = f"there is no code list {parameter.scheme[:60]}{hint_at(parameter.scheme, vocabulary.schemes)}"
        yield Fault("QueryParameter.codeList", Severity.REJECT, message, pointer, "codeList")


def hint_at(wrong: str, known: Iterable[str]) -> str:
    """The name that a misspelt one most likely meant, as the end of a sentence; nothing where there is none."""
    near = nearest(wrong, known)
    return f"; did you mean {near}?" if near else ""


def parameters_in(document: Document) -> list[Parameter]:
    """The parameters of a record, as far as they are described."""
    return [
        Parameter(
            each.get("parameterName", ""), each.get("parameterKind", "").lower(), each.get("codeList", ""),
            each.get("isOptional", False), each.get("parameterDescription", ""),
        )
        for each in document.get("parameter", ())
    ]  # fmt: skip


def faults(document: Document, vocabulary: Vocabulary, settings: Settings) -> list[Fault]:
    """What is wrong with a record's query that shapes cannot tell; what is missing is theirs to tell."""
    if "queryName" not in document or "queryText" not in document:
        return []
    found = sense(document["queryName"], document["queryText"], parameters_in(document), vocabulary, settings)
    return [replace(fault, constraint=f"{fault.code}-sense") for fault in found]
