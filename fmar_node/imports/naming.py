"""What an asset of a published register is called: by its site, never by its customer, who may be a person."""

from __future__ import annotations

from itertools import dropwhile

from fmar_node.imports.cell import named
from fmar_node.imports.reading import Cells
from fmar_node.imports.spelling import Spellings, words

NAME_CHARS = 255
LEAST_NAME_LETTERS = 4
"""What is left of a site's name without the customer's and without legal forms is a name from so many letters on."""


def asset_name(cells: Cells, label: str, otherwise: str) -> str:
    """Site and technology in the alphabet of A02, without the customer's name; else a substation; else `otherwise`."""
    site, customer = named(cells.text("customer_site")), cells.text("customer_name")
    without = _without_customer(site, customer, cells.spellings)
    if without == site and site != cells.text("customer_site"):
        cells.keep("customer_site")
    telling = [word for word in words(without).split() if word not in cells.spellings.legal_forms]
    if len("".join(telling)) < LEAST_NAME_LETTERS:
        places = (named(cells.text(column)) for column in ("primary", "bulk_supply_point", "grid_supply_point"))
        kept = (text for text in places if text and text == _without_customer(text, customer, cells.spellings))
        without = next(kept, otherwise)
    return f"{without[: NAME_CHARS - len(label) - 3].rstrip()} - {label}"


def _without_customer(site: str, customer: str, spellings: Spellings) -> str:
    """A site's name with the words of the customer's name, legal form apart, taken out."""
    parts = site.split()
    folded = [words(part) for part in parts]
    core = [word for word in words(customer).split() if word not in spellings.legal_forms]
    for start in range(len(parts) - len(core) + 1 if core else 0):
        if folded[start : start + len(core)] == core:
            rest = dropwhile(lambda part: words(part) in spellings.legal_forms, parts[start + len(core) :])
            return " ".join([*parts[:start], *rest]).strip(" -_/")
    return "" if core and words(customer) in words(site) else site
