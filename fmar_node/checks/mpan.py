"""MPANs: the check digit, and what the distributor id says (domain section 4).

Rules kept here: an MPAN is a string of 13 ASCII digits, never a number; the thirteenth is the weighted sum of
the first twelve, modulo 11, modulo 10; thirteen zeros pass that sum and are no MPAN. The check misses about 2 %
of single errors and swaps: it is no proof. A distributor's id fixes the network's area only where the
distributor runs no network elsewhere; independent distributors (IDNOs) stand in any area, and their list grows.
No fault repeats an MPAN: it is personal (C7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fmar_node.errors import Fault, Severity

WEIGHTS = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)
CORE = re.compile(r"[0-9]{13}")
FULL = re.compile(r"[0-9]{5}[0-9A-Za-z]{3}([0-9]{13})")
"""Profile class, time-switch code and line-loss factor class in front of the core."""
NOBODY = "0" * 13


@dataclass(frozen=True, slots=True)
class Distributor:
    """Whom the first two digits name: a DNO with its GSP group and DNOCode, or an IDNO with neither."""

    id: str
    name: str
    gsp_group: str | None = None
    dno_code: str | None = None
    is_area_fixed: bool = False

    @property
    def is_independent(self) -> bool:
        return self.dno_code is None


DNOS = (
    ("10", "_A", "UKPN_EPN", True),
    ("11", "_B", "NGED_EMID", True),
    ("12", "_C", "UKPN_LPN", True),
    ("13", "_D", "SPEN_SPM", True),
    ("14", "_E", "NGED_WMID", True),
    ("15", "_F", "NPG_NE", True),
    ("16", "_G", "ENWL", True),
    ("17", "_P", "SSEN_SHEPD", False),
    ("18", "_N", "SPEN_SPD", True),
    ("19", "_J", "UKPN_SPN", True),
    ("20", "_H", "SSEN_SEPD", False),
    ("21", "_K", "NGED_WALES", True),
    ("22", "_L", "NGED_SWEST", True),
    ("23", "_M", "NPG_YK", True),
)
"""Distributor id, GSP group, DNOCode, and whether the id fixes the area (17 and 20 run networks elsewhere too)."""

IDNOS = {
    "24": "IPNL", "25": "LENG", "26": "GUCL", "27": "ETCL", "28": "EDFI", "29": "HARL", "30": "PENL", "31": "UKPD",
    "32": "UDNL", "33": "GGEN", "34": "MPDL", "35": "FEAL", "36": "VATT", "37": "FORB", "38": "INDI",
}  # fmt: skip

DISTRIBUTORS: Mapping[str, Distributor] = MappingProxyType(
    {id_: Distributor(id_, code, group, code, fixed) for id_, group, code, fixed in DNOS}
    | {id_: Distributor(id_, name) for id_, name in IDNOS.items()}
)
"""Everybody known, by the first two digits."""

GSP_GROUPS: Mapping[str, str] = MappingProxyType({code: group for _, group, code, _ in DNOS})
"""DNOCode -> GSP group."""


def check_digit(core12: str) -> int:
    """The thirteenth digit for the first twelve. ValueError when they are not twelve ASCII digits."""
    if re.fullmatch(r"[0-9]{12}", core12) is None:
        raise ValueError("twelve ASCII digits are needed")
    return sum(int(digit) * weight for digit, weight in zip(core12, WEIGHTS, strict=True)) % 11 % 10


def is_valid(mpan: str) -> bool:
    """Whether a text is an MPAN core: 13 ASCII digits, not all zero, check digit right."""
    return CORE.fullmatch(mpan) is not None and mpan != NOBODY and check_digit(mpan[:12]) == int(mpan[12])


def core(written: str) -> str:
    """The core of a full MPAN of 21 characters; anything else as it is."""
    full = FULL.fullmatch(written)
    return full[1] if full else written


def distributor(mpan: str) -> Distributor | None:
    """Whose network an MPAN is on, by its first two digits; None when nobody is known by them."""
    return DISTRIBUTORS.get(mpan[:2])


def faults(import_mpan: str | None, export_mpan: str | None, dno_connection: str | None) -> list[Fault]:
    """What is wrong with a document's two MPANs, import first.

    A20, A21 (R): check digit, thirteen zeros. A19 (W): the id names another area than `dno_connection` (a
    DNOCode), or nobody. What is not 13 digits is the shape's to report, and gets nothing here.
    """
    found: list[Fault] = []
    for code, term, mpan in (("A20", "importMPAN", import_mpan), ("A21", "exportMPAN", export_mpan)):
        if not isinstance(mpan, str) or CORE.fullmatch(mpan) is None:
            continue
        if not is_valid(mpan):
            found.append(_invalid(code, term, mpan))
        elif warning := _area(term, distributor(mpan), dno_connection):
            found.append(warning)
    return found


def _invalid(code: str, term: str, mpan: str) -> Fault:
    if mpan == NOBODY:
        return Fault(code, Severity.REJECT, "thirteen zeros are no MPAN", f"/{term}", term, constraint=f"{code}-zero")
    message = "the last digit is not the check digit of the first twelve; look the MPAN up again"
    return Fault(code, Severity.REJECT, message, f"/{term}", term, constraint=f"{code}-check-digit")


def _area(term: str, found: Distributor | None, dno_connection: str | None) -> Fault | None:
    if found is None:
        message = f"the first two digits of {term} name no distributor that is known here"
        return Fault("A19", Severity.WARN, message, f"/{term}", term, constraint="A19-unknown-distributor")
    if not found.is_area_fixed or dno_connection in (None, found.dno_code):
        return None
    message = f"the first two digits of {term} belong to another network than dnoConnection"
    return Fault("A19", Severity.WARN, message, "/dnoConnection", "dnoConnection", constraint="A19-mismatch")
