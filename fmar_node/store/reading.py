"""What the engine makes of a query's text, without answering it; and where it says that a text is wrong.

A text is asked with a value for a variable that it has not: the engine reads and plans it, and refuses before it evaluates
anything. So a text that would take for ever to answer, even over nothing, is read at once; planning alone takes seconds where it
has some hundreds of patterns, which is for the caller to bound.
"""

from __future__ import annotations

import re

import pyoxigraph as ox

from fmar_node.store.gate import MORE, REWRITTEN, TOKEN, tokens

BASE = "http://node.invalid/sparql"


def check_reading(text: str) -> None:
    """ValueError with the place where the engine does not read a text that the gate has admitted."""
    named = {token[0][1:] for token in tokens(text) if token.lastgroup == "variable"}
    unknown = next(name for number in range(len(named) + 1) if (name := f"v{number}") not in named)
    try:
        ox.Store().query(text, base_iri=BASE, substitutions={ox.Variable(unknown): ox.NamedNode(BASE)})
    except SyntaxError as error:
        raise ValueError(position(str(error), text)) from error
    except RuntimeError as error:
        if f"?{unknown}" not in str(error):
            raise ValueError(str(error)[:300]) from error


def position(message: str, text: str) -> str:
    """The engine's position, and what it says in words, or else what stands there; the tokens that it would have expected mislead.

    `text` is what the gate made of a query: the place is that of the query as it was sent.
    """
    if not (place := re.match(r"error at (\d+):(\d+)", message)):
        return message[:300]
    line, column = int(place[1]), int(place[2])
    before, rest = _parted(text, line, column)
    words = re.findall(r"(?:expected (?:one of )?|, )([A-Z][A-Za-z]+ [^,\"'\[]*[a-z])", message)
    said = "; ".join(dict.fromkeys(words)) or _standing(rest) or _unfinished(text)
    return f"near line {line}, column {column - MORE * len(REWRITTEN.findall(before))}: {said}"


def _standing(rest: str) -> str:
    found = TOKEN.match(rest)
    return rest and f"unexpected {found[0][:40] if found else rest[:10]!r}"


def _unfinished(text: str) -> str:
    """Why a query may be wrong where it ends: the engine has looked that far ahead."""
    kinds = [token.lastgroup for token in tokens(text)]
    if kinds.count("open") > kinds.count("close"):
        return "a bracket is not closed"
    return "the query ends here, and something before is incomplete or too much"


def _parted(text: str, line: int, column: int) -> tuple[str, str]:
    """What stands before a place in its line, and what stands there and behind it."""
    lines = text.split("\n")
    at = sum(len(each) + 1 for each in lines[: line - 1]) + column - 1
    return text[at - column + 1 : at], text[at:].lstrip()
