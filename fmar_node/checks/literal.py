"""Literals as the compiled shapes read them: XSD 1.1 part 2, as far as rdflib and Python agree with it.

Rules kept here: where a literal is ill-formed, out of bounds, or has no order that all of them share, there is doubt;
doubt is an exception, so that no negation can turn it into a verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyoxigraph as ox
from rdflib.namespace import RDF

from fmar_node.vocabulary import XSD


class Doubt(Exception):
    """The judge may read these terms in another way."""


@dataclass(frozen=True, slots=True)
class Datatype:
    """How the literals of a datatype look, what they stand for, and between which bounds."""

    form: re.Pattern[str]
    read: Callable[[str], Any]
    least: float = -math.inf
    most: float = math.inf

    def value(self, text: str) -> Any:
        """The value of a lexical form. Doubt where it is ill-formed or out of bounds."""
        try:
            value = self.read(text) if self.form.fullmatch(text) else None
        except ValueError:
            value = None
        if value is None or (isinstance(value, NUMBERS) and not self.least <= value <= self.most):
            raise Doubt
        return value


NUMBERS = (int, float, Decimal)
ANY = re.compile(".*", re.DOTALL)
BOOLEAN = re.compile("true|false|1|0")
INTEGER = re.compile("[+-]?[0-9]{1,4000}")
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)")
FLOAT = re.compile(DECIMAL.pattern + "([eE][+-]?[0-9]+)?")
DATE = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
INSTANT = re.compile(DATE.pattern + r"T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})?")
DATATYPES: Mapping[str, Datatype] = {
    XSD + "string": Datatype(ANY, str),
    str(RDF.langString): Datatype(ANY, str),
    XSD + "boolean": Datatype(BOOLEAN, str),
    XSD + "decimal": Datatype(DECIMAL, Decimal),
    XSD + "float": Datatype(FLOAT, float),
    XSD + "double": Datatype(FLOAT, float),
    XSD + "date": Datatype(DATE, date.fromisoformat),
    XSD + "dateTime": Datatype(INSTANT, datetime.fromisoformat),
    XSD + "integer": Datatype(INTEGER, int),
    XSD + "nonNegativeInteger": Datatype(INTEGER, int, least=0),
    XSD + "positiveInteger": Datatype(INTEGER, int, least=1),
    XSD + "long": Datatype(INTEGER, int, -(2**63), 2**63 - 1),
    XSD + "int": Datatype(INTEGER, int, -(2**31), 2**31 - 1),
    XSD + "short": Datatype(INTEGER, int, -(2**15), 2**15 - 1),
    XSD + "byte": Datatype(INTEGER, int, -(2**7), 2**7 - 1),
}


def ordered(term: ox.NamedNode | ox.BlankNode | ox.Literal) -> Any:
    """The value of a number, date or time. Doubt for everything else."""
    datatype = DATATYPES.get(term.datatype.value) if isinstance(term, ox.Literal) else None
    value = datatype.value(term.value) if datatype else None
    if not isinstance(value, (*NUMBERS, date)):
        raise Doubt
    return value


def holds(order: Callable[[Any, Any], bool], left: Any, right: Any) -> bool:
    """Whether an order holds between two values. Doubt where Python has none: other kinds, a zone on one side only."""
    try:
        return order(left, right)
    except TypeError as error:
        raise Doubt from error
