"""Which variables of a query the engine gives a value to from outside, everywhere that they stand.

The engine (`Store.query(substitutions=)`) puts such a value into the row that it begins with, after it has planned the
query without it. Rules kept here, each seen in `tests/store/test_substitution.py`: a value reaches what the outermost
SELECT gives, or what a pattern of a CONSTRUCT has; never a nested SELECT; BOUND and MINUS go
wrong by it; where nothing but an expression has the variable, the plan takes it for unbound: a copy of it is dropped,
and `=`, `!=` and IN compare terms where values were meant.

Read by the tokens of `store.gate`, in one pass, and rather refused once too often than once too seldom.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from fmar_node.store.gate import FORMS, tokens

NOT_GIVEN = "is no variable of its result"
STAR = "is asked for with SELECT *: name the columns of the result, it among them"
NOT_MATCHED = "is in no pattern, and a CONSTRUCT carries a value nowhere else"
NESTED = "stands in a nested SELECT, which its value does not reach"
BOUND = "stands in BOUND, which does not know its value; leave it optional, or compare with COALESCE(... , true)"
MINUS = "does not go with MINUS, which takes its value for something that both sides have; write FILTER NOT EXISTS"
INNER_AS = "is bound by AS in an inner group; that is for the outermost group, for SELECT and for GROUP BY"
AS_AND_MORE = "is bound by AS, and stands in a pattern or an expression besides"
UNTYPED = (
    "stands in an expression, and no pattern before it in the same group has it: its value is carried there where it is compared with "
    "<, <=, > or >=, calculated with, or given to a function such as CONTAINS or sameTerm; beside =, !=, IN or alone it is lost"
)

CALL = "()"
ORDERING = frozenset({"<", "<=", ">", ">=", "+", "-", "*", "/"})
FUNCTIONS = {
    "STR", "LANG", "LANGMATCHES", "DATATYPE", "IRI", "URI", "ABS", "CEIL", "FLOOR", "ROUND", "CONCAT", "STRLEN", "UCASE", "LCASE",
    "ENCODE_FOR_URI", "CONTAINS", "STRSTARTS", "STRENDS", "STRBEFORE", "STRAFTER", "SUBSTR", "REPLACE", "REGEX", "YEAR", "MONTH", "DAY",
    "HOURS", "MINUTES", "SECONDS", "TZ", "SAMETERM", "ISIRI", "ISURI", "ISLITERAL", "ISNUMERIC", "COUNT", "SUM", "MIN", "MAX", "AVG",
    "ASC", "DESC", CALL,
}  # fmt: skip
"""What takes a value for what it is. `CALL` stands for functions that have an IRI."""


@dataclass(slots=True)
class _Frame:
    """What an opening bracket begins. `before` is the word or mark in front of it; `matched` are variables of its patterns."""

    mark: str = ""
    before: str = ""
    is_expression: bool = False
    is_nested: bool = False
    matched: set[str] = field(default_factory=set)


def unreached(text: str, names: Collection[str]) -> dict[str, str]:
    """Those of the names whose value the engine would not carry through a text that the gate has admitted, and why."""
    found: dict[str, str] = {}
    if names:
        for name, why in _Walk(text, frozenset(names)).faults():
            found.setdefault(name, why)
    return found


class _Walk:
    """One pass over the tokens, with the brackets that are open."""

    def __init__(self, text: str, names: frozenset[str]) -> None:
        self.tokens: list[re.Match[str]] = [each for each in tokens(text) if each.lastgroup not in ("blank", "comment")]
        self.names, self.open = names, [_Frame()]
        self.form, self.is_head, self.has_star = "", True, False
        self.given: set[str] = set()
        self.named: set[str] = set()
        self.used: set[str] = set()
        self.outermost: set[str] = set()
        """What patterns of the outermost group have: expressions of SELECT and after the group may use it."""
        self.outside: set[str] = set()

    def faults(self) -> Iterator[tuple[str, str]]:
        for place, token in enumerate(self.tokens):
            match token.lastgroup:
                case "word":
                    yield from self._word(token[0].upper())
                case "open":
                    self._open(place)
                case "close" if len(self.open) > 1:
                    self._close()
                case "variable" if token[0][1:] in self.names:
                    yield from self._variable(place, token[0][1:])
            self.has_star |= self.is_head and len(self.open) == 1 and token[0] == "*"
        yield from ((name, AS_AND_MORE) for name in self.named & self.used)
        yield from ((name, UNTYPED) for name in self.outside - self.outermost)
        why = NOT_MATCHED if self.form == "CONSTRUCT" else STAR if self.has_star else NOT_GIVEN
        yield from ((name, why) for name in self.names - self.given)

    def _word(self, word: str) -> Iterator[tuple[str, str]]:
        if word in FORMS:
            self.open[-1].is_nested = bool(self.form)
            self.form = self.form or word
        elif word == "MINUS":
            yield from ((name, MINUS) for name in self.names)

    def _at(self, place: int) -> str:
        return self.tokens[place][0].upper() if 0 <= place < len(self.tokens) else ""

    def _open(self, place: int) -> None:
        mark, before, within = self.tokens[place][0], self._at(place - 1), self.open[-1]
        self.is_head &= mark != "{"
        if mark != "(":
            self.open.append(_Frame(mark, before))
            return
        kind = self.tokens[place - 1].lastgroup
        is_call = kind in ("name", "iri")
        is_expression = within.is_expression or kind == "word" or not within.mark or (is_call and self._at(place - 2) == "FILTER")
        self.open.append(_Frame(mark, CALL if is_call else before, is_expression and before not in ("VALUES", "A")))

    def _close(self) -> None:
        closed = self.open.pop()
        if closed.mark == "{" and len(self.open) == 1:
            self.outermost |= closed.matched

    def _variable(self, place: int, name: str) -> Iterator[tuple[str, str]]:
        groups = [each for each in self.open if each.mark == "{"]
        if any(each.is_nested for each in self.open):
            yield name, NESTED
        elif self._at(place - 1) == "AS":
            yield from self._bound(name, len(groups))
        elif self.open[-1].is_expression:
            yield from self._expressed(place, name, groups)
        elif groups:
            self._matched(place, name, groups)
        elif self.is_head:
            self.given.add(name)

    def _bound(self, name: str, depth: int) -> Iterator[tuple[str, str]]:
        self.named.add(name)
        if depth > 1:
            yield name, INNER_AS
        if self.is_head or self.form == "CONSTRUCT":
            self.given.add(name)

    def _expressed(self, place: int, name: str, groups: list[_Frame]) -> Iterator[tuple[str, str]]:
        around = self.open[-1].before
        if around not in ("ASC", "DESC"):
            self.used.add(name)
        if around == "BOUND":
            yield name, BOUND
        elif not groups:
            self.outside |= set() if self._is_typed(place) else {name}
        elif name not in groups[-1].matched and not self._is_typed(place):
            yield name, UNTYPED

    def _is_typed(self, place: int) -> bool:
        """Whether what stands around it gives a value whatever the plan takes it for."""
        before, after = self._at(place - 1), self._at(place + 1)
        is_alone = before in ("(", ",", "DISTINCT") and after in (")", ",", ";")
        return not ORDERING.isdisjoint((before, after)) or (is_alone and self.open[-1].before in FUNCTIONS)

    def _matched(self, place: int, name: str, groups: list[_Frame]) -> None:
        if groups[0].before == "CONSTRUCT":  # the template
            return
        self.used.add(name)
        if "VALUES" not in (self._at(place - 1), self.open[-1].before):
            groups[-1].matched.add(name)
        if self.form == "CONSTRUCT" and not any(each.is_expression or each.before == "EXISTS" for each in self.open):
            self.given.add(name)
