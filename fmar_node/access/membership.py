"""Whom a token of an external issuer speaks of: organisations as the register has them.

Rules kept here: a name is an alias in force that day, to the letter; who is pending or withdrawn has no name.
"""

from __future__ import annotations

from fmar_node.access.caller import ADMITTED
from fmar_node.journal.register import Register
from fmar_node.vocabulary import Document


def is_admitted_in(register: Register, organisation: str) -> bool:
    """Whether an organisation is there, and neither pending nor withdrawn."""
    version = register.current("organisations", organisation)
    return version is not None and version.document.get("organisationStatus") in ADMITTED


def named_in(register: Register, scheme: str, value: str, day: str) -> tuple[str, ...]:
    """The admitted organisations (bare UUIDs) that have this very alias on a day."""
    found = [register.current("organisations", each) for each in register.found(scheme, value.casefold())]
    return tuple(each.id for each in found if each and is_admitted_in(register, each.id) and has_alias(each.document, scheme, value, day))


def has_alias(document: Document, scheme: str, value: str, day: str) -> bool:
    """Whether a record has an alias, to the letter, on that day; its end is the first day on which it has not."""
    return any(
        (each.get("scheme"), each.get("value")) == (scheme, value) and each.get("validFrom", day) <= day < each.get("validTo", "9999")
        for each in document.get("alias", ())
    )
