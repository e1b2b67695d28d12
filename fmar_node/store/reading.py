"""What the engine makes of a query's text, without answering it; and where it says that a text is wrong.

A text is asked with a value for a variable that it has not: the engine reads and plans it, and refuses before it evaluates
anything. So a text that would take for ever to answer, even over nothing, is read at once; planning alone takes seconds where it
has some hundreds of patterns, which is for the caller to bound.
"""

from __future__ import annotations

import re

import pyoxigraph as ox

from fmar_node.store.gate import tokens

BASE = "http://node.invalid/sparql"


def check_reading(text: str) -> None:
    """ValueError with the place where the engine does not read a text that the gate has admitted."""
    named = {token[0][1:] for token in tokens(text) if token.lastgroup == "variable"}
    unknown = next(name for number in range(len(named) + 1) if (name := f"v{number}") not in named)
    try:
        ox.Store().query(text, base_iri=BASE, substitutions={ox.Variable(unknown): ox.NamedNode(BASE)})
    except SyntaxError as error:
        raise ValueError(position(str(error))) from error
    except RuntimeError as error:
        if f"?{unknown}" not in str(error):
            raise ValueError(str(error)[:300]) from error


def position(message: str) -> str:
    """The engine's position, and what it says in words; the tokens that it would have expected mislead."""
    place = re.match(r"error at (\d+):(\d+)", message)
    words = re.findall(r"(?:expected (?:one of )?|, )([A-Z][a-z]+ [^,\"'\[]*[a-z])", message)
    said = "; ".join(dict.fromkeys(words))
    if not place:
        return message[:300]
    return f"near line {place[1]}, column {place[2]}" + (f": {said}" if said else "")
