"""The query gate: one linear pass over a SPARQL text before the engine sees it.

Rules kept here:
- SERVICE, LOAD and updates are refused by name; so is what passes a limit, before any parser could overflow;
- the text that goes on has one reading only. Oxigraph's parser has no lexer: `SERVICEa:{}` is SERVICE to it,
  `<` before an IRI may be "less than", and a token that fails its own check is taken up again from its middle.
  So whatever can be read twice is either refused or rewritten: comments become blanks of the same length,
  and an IRI that could also be read as an expression gets its first character escaped;
- this is courtesy and caps, not the boundary: the boundary is the worker without a network (`store.sandbox`).

Tokens are the terminals of SPARQL 1.1 (section 19.8) with the borders that Oxigraph 0.5 gives them. Every
alternative is possessive and none is retried over a long stretch, so the pass is linear.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from fmar_node.errors import Malformed, TooLarge

FORMS = frozenset({"SELECT", "ASK", "CONSTRUCT", "DESCRIBE"})
UPDATES = frozenset({"INSERT", "DELETE", "LOAD", "CLEAR", "DROP", "CREATE", "ADD", "MOVE", "COPY", "WITH"})
PROLOGUE = frozenset({"BASE", "PREFIX", "VERSION"})
CHAINING = frozenset({"UNION", "MINUS", "LATERAL", "FILTER", "BIND"})
"""Words that make the tree of a query one level deeper each, as an operator does."""

_FURTHER_WORDS = """
A TRUE FALSE FROM NAMED WHERE GROUP BY HAVING ORDER ASC DESC LIMIT OFFSET VALUES UNDEF DISTINCT REDUCED AS
GRAPH OPTIONAL EXISTS NOT IN SERVICE SILENT INTO DATA USING DEFAULT ALL TO SEPARATOR
COUNT SUM MIN MAX AVG SAMPLE GROUP_CONCAT
STR LANG LANGDIR LANGMATCHES HASLANG HASLANGDIR DATATYPE BOUND IRI URI BNODE RAND ABS CEIL FLOOR ROUND CONCAT
STRLEN UCASE LCASE ENCODE_FOR_URI CONTAINS STRSTARTS STRENDS STRBEFORE STRAFTER SUBSTR REPLACE REGEX
YEAR MONTH DAY HOURS MINUTES SECONDS TIMEZONE TZ NOW ADJUST UUID STRUUID MD5 SHA1 SHA256 SHA384 SHA512
COALESCE IF STRLANG STRLANGDIR STRDT SAMETERM ISIRI ISURI ISBLANK ISLITERAL ISNUMERIC
TRIPLE ISTRIPLE SUBJECT PREDICATE OBJECT
"""
WORDS = FORMS | UPDATES | PROLOGUE | CHAINING | frozenset(_FURTHER_WORDS.split())
"""Every word that may stand bare in a query or at the head of an update (SPARQL 1.1 and what Oxigraph adds)."""

# U+FFF0 to U+FFFD are name characters by the grammar but not IRI characters (RFC 3987): Oxigraph takes the name apart.
_LETTER = (
    "A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
)
_MORE = "0-9\u00b7\u0300-\u036f\u203f-\u2040"
_NAME = rf"[{_LETTER}_{_MORE}\-]"
_LOCAL = rf"(?:[{_LETTER}_{_MORE}:\-]|%[0-9A-Fa-f]{{2}}|\\[_~.\-!$&'()*+,;=/?#@%])"
_LOCAL_FIRST = rf"(?:[{_LETTER}_0-9:]|%[0-9A-Fa-f]{{2}}|\\[_~.\-!$&'()*+,;=/?#@%])"
# An escape of something that is no character makes Oxigraph read the string from its second quote on.
_ESCAPE = (
    r"\\(?:[tbnrf\"'\\]|u(?![dD][89A-Fa-f])[0-9A-Fa-f]{4}"
    r"|U0000(?![dD][89A-Fa-f])[0-9A-Fa-f]{4}|U000[1-9A-Fa-f][0-9A-Fa-f]{4}|U0010[0-9A-Fa-f]{4})"
)
_PREFIX = rf"[{_LETTER}]{_NAME}*+(?:\.++{_NAME}++){{0,8}}+"

TOKEN = re.compile(
    rf"""
      (?P<blank>   [ \t\r\n]++ )
    | (?P<comment> \#[^\r\n]*+ )
    | (?P<iri>     <(?:[^\x00-\x20<>"{{}}|^`\\]|\\u[0-9A-Fa-f]{{4}}|\\U[0-9A-Fa-f]{{8}})*+> )
    | (?P<string>  '''(?:'{{0,2}}+(?:[^'\\]|{_ESCAPE}))*+''' | \"""(?:"{{0,2}}+(?:[^"\\]|{_ESCAPE}))*+\"""
                 | '(?:[^'\\\r\n]|{_ESCAPE})*+' | "(?:[^"\\\r\n]|{_ESCAPE})*+" )
    | (?P<language> @[A-Za-z]++(?:-[A-Za-z0-9]++)*+(?:--[A-Za-z]++)?+ )
    | (?P<variable> [?$][{_LETTER}_0-9][{_LETTER}_{_MORE}]*+ )
    | (?P<node>    _:[{_LETTER}_0-9]{_NAME}*+(?:\.++{_NAME}++)*+ )
    | (?P<name>    (?P<prefix>(?:{_PREFIX})?+):(?P<local>(?:{_LOCAL_FIRST}{_LOCAL}*+(?:\.++{_LOCAL}++)?+)?+) )
    | (?P<number>  (?:[0-9]++\.[0-9]*+|\.?[0-9]++)[eE][+-]?+[0-9]++ | [0-9]*+\.[0-9]++ | [0-9]++ )
    | (?P<word>    [A-Za-z][A-Za-z0-9_]*+ )
    | (?P<open>    [{{(\[] )
    | (?P<close>   [}})\]] )
    | (?P<operator> \|\||&&|!=|<=|>=|[|!=<>+\-*/?]|\^(?!\^) )
    | (?P<mark>    \^\^|[.,;~] )
    """,
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_PLAIN_IRI = re.compile(r"<(?:[A-Za-z][A-Za-z0-9+.\-]*://|>|\\)")
_SAFE_NAMESPACE = re.compile(r"<[A-Za-z][A-Za-z0-9+.\-]*:(?:/?[^/\\][^\\]*|//[^/?#\\]*[/?#][^\\]*)?>")


REWRITTEN, MORE = re.compile(r"<\\U0[0-9A-F]{7}"), 9
"""How an IRI begins whose first character was escaped, and by how much that made it longer."""


class Limits(Protocol):
    """The settings that the gate reads (`fmar_node.settings.Settings` has them)."""

    @property
    def query_bytes(self) -> int: ...
    @property
    def query_tokens(self) -> int: ...
    @property
    def query_nesting(self) -> int: ...
    @property
    def query_operators(self) -> int: ...
    @property
    def query_optionals(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Admitted:
    """A query that passed: its text as the engine shall read it, its form (SELECT, ASK, CONSTRUCT, DESCRIBE), its dataset.

    `default_graphs` and `named_graphs` are the IRIs of FROM and FROM NAMED without escapes; relative ones stay relative to `base`.
    """

    text: str
    form: str
    default_graphs: tuple[str, ...] = ()
    named_graphs: tuple[str, ...] = ()
    base: str = ""


def admit(text: str, limits: Limits) -> Admitted:
    """Pass a query on, with one reading only.

    Malformed `query-malformed` for what can be no query, `query-refused` for SERVICE, LOAD and updates;
    TooLarge `query-too-complex` names the limit that was passed.
    """
    _check_bytes(text, limits)
    reading = _Reading(text, limits)
    for token in tokens(text):
        reading.take(token)
    return reading.finish()


def form_of(text: str) -> str:
    """The form of a query that was admitted: SELECT, ASK, CONSTRUCT or DESCRIBE. Only what comes before that is read."""
    return next(word for token in tokens(text) if token.lastgroup == "word" and (word := token[0].upper()) in FORMS)


def _check_bytes(text: str, limits: Limits) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Malformed("query-malformed", f"a lone surrogate at character {error.start}") from error
    if size > limits.query_bytes:
        raise TooLarge("query-too-complex", f"query_bytes: {size} bytes; this node accepts {limits.query_bytes}")


def tokens(text: str) -> Iterator[re.Match[str]]:
    """Every token of a text, blanks and comments too. Malformed where there is none."""
    at = 0
    while at < len(text):
        if not (token := TOKEN.match(text, at)):
            raise Malformed("query-malformed", f"{_place(text, at)}: unexpected {text[at : at + 10]!r}")
        yield token
        at = token.end()


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"line {line}, column {at - text.rfind(chr(10), 0, at)}"


class _Reading:
    """What one pass has seen so far."""

    def __init__(self, text: str, limits: Limits) -> None:
        self.text = text
        self.limits = limits
        self.form = ""
        self.counts = {"query_tokens": 0, "query_nesting": 0, "query_operators": 0, "query_optionals": 0}
        self.pieces: list[str] = []
        self.copied = 0
        self.names_service = False
        self.namespaces: list[re.Match[str]] = []
        self.pending: re.Match[str] | None = None
        self.half = -1
        self.clause = ""
        self.prefixes: dict[str, str] = {}
        self.graphs: dict[str, list[str]] = {"BASE": [], "FROM": [], "NAMED": []}

    def take(self, token: re.Match[str]) -> None:
        kind = str(token.lastgroup)
        if kind == "blank":
            return
        if kind == "comment":
            self.replace(token, " " * len(token[0]))
            return
        self.count("query_tokens")
        match kind:
            case "word":
                self.word(token)
            case "iri":
                self.iri(token)
            case "name":
                self.name(token)
            case "operator":
                self.operator(token)
            case "open":
                self.nest()
            case "close":
                self.unnest()
        self.pending = token

    def word(self, token: re.Match[str]) -> None:
        word = token[0].upper()
        if word == "SERVICE":
            raise Malformed("query-refused", f"{_place(self.text, token.start())}: SERVICE is never carried out here")
        if word not in WORDS:
            raise Malformed("query-malformed", f"{_place(self.text, token.start())}: {token[0][:40]!r} is no word of SPARQL")
        if not self.form and word not in PROLOGUE:
            self.form = _form(word)
        self.clause = word if word in ("BASE", "FROM") or (word == "NAMED" and self.clause == "FROM") else ""
        if word == "OPTIONAL":
            self.count("query_optionals")
        elif word in CHAINING:
            self.count("query_operators")

    def iri(self, token: re.Match[str]) -> None:
        """`<` may be "less than" to the engine, unless an expression cannot go on as this IRI does."""
        if self.pending and self.pending.lastgroup == "name" and not self.pending["local"]:
            self.namespaces.append(token)
            self.prefixes[self.pending["prefix"]] = token[0][1:-1]
        self.names_graph(token[0][1:-1])
        if not _PLAIN_IRI.match(token[0]):
            self.replace(token, f"<\\U{ord(token[0][1]):08X}{token[0][2:]}")

    def name(self, token: re.Match[str]) -> None:
        if "service" in token["prefix"].lower():
            raise Malformed("query-refused", f"{_place(self.text, token.start())}: a prefix may not contain 'service'; rename it")
        if self.pending and self.pending[0].upper() == "PREFIX":
            self.prefixes[token["prefix"]] = ""
        elif token["prefix"] not in self.prefixes:
            raise Malformed("query-malformed", f"{_place(self.text, token.start())}: the prefix {token['prefix'][:40]}: is not declared")
        self.names_service = self.names_service or "service" in token["local"].lower()
        self.names_graph(self.prefixes.get(token["prefix"], "") + token["local"])

    def names_graph(self, iri: str) -> None:
        """Notes the IRI that BASE, FROM or FROM NAMED is followed by."""
        if self.clause:
            self.graphs[self.clause].append(_plain(iri))
            self.clause = ""

    def operator(self, token: re.Match[str]) -> None:
        """`<<` and `>>` (quoted triples) nest like brackets; `half` is where the first character of a pair ended."""
        self.count("query_operators")
        if token[0] not in "<>":
            return
        if self.half == token.start() and self.text[self.half - 1] == token[0]:
            self.half = -1
            self.nest() if token[0] == "<" else self.unnest()
        else:
            self.half = token.end()

    def nest(self) -> None:
        self.count("query_nesting")

    def unnest(self) -> None:
        self.counts["query_nesting"] = max(0, self.counts["query_nesting"] - 1)

    def count(self, limit: str) -> None:
        self.counts[limit] += 1
        if self.counts[limit] > (most := getattr(self.limits, limit)):
            raise TooLarge("query-too-complex", f"{limit}: more than {most}")

    def replace(self, token: re.Match[str], text: str) -> None:
        self.pieces += (self.text[self.copied : token.start()], text)
        self.copied = token.end()

    def finish(self) -> Admitted:
        if not self.form:
            raise Malformed("query-malformed", "no SELECT, ASK, CONSTRUCT or DESCRIBE")
        if self.names_service:
            self.check_namespaces()
        text = "".join((*self.pieces, self.text[self.copied :]))
        base = "".join(self.graphs["BASE"][-1:])
        return Admitted(text, self.form, tuple(self.graphs["FROM"]), tuple(self.graphs["NAMED"]), base)

    def check_namespaces(self) -> None:
        """A namespace and a local name that make no IRI together are taken apart by the engine, at the colon."""
        for token in self.namespaces:
            if not _SAFE_NAMESPACE.fullmatch(token[0]):
                place = _place(self.text, token.start())
                raise Malformed("query-refused", f"{place}: beside a name with 'service' in it, a namespace must be absolute and have a path")


def _plain(text: str) -> str:
    r"""What is written in an IRI or a local name, without its escapes: `\u006f`, `\U0000006f`, `\-`."""
    return _ESCAPED.sub(lambda found: chr(min(int(found[1][1:], 16), sys.maxunicode)) if len(found[1]) > 1 else found[1], text)


def _form(word: str) -> str:
    if word in UPDATES:
        raise Malformed("query-refused", f"{word} is an update; this endpoint only answers queries")
    if word not in FORMS:
        raise Malformed("query-malformed", f"a query cannot begin with {word}")
    return word
