"""The companies register of the United Kingdom, by the public data API of Companies House: `GET /company/{number}`.

Rules kept here: only a company of the number that was asked for is an answer; what a document says stands in a URL only as a number
of eight letters and digits; a name is the same whatever its case, punctuation and way to write its legal form.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from fmar_node.settings import COMPANIES_REGISTER
from fmar_node.sources.asker import Asker, members_of
from fmar_node.sources.source import Comparison, Finding, Outcome, SourceUnavailable, outcome_of, text_of
from fmar_node.vocabulary import Document

NUMBER = re.compile("[A-Z0-9]{8}")
LIMITED = ("ltd", "private-limited-guarant-nsc", "private-limited-guarant-nsc-limited-exemption", "private-limited-shares-section-30-exemption")
TYPE = {**dict.fromkeys(LIMITED, "LTD"), "plc": "PLC", "old-public-company": "PLC", "llp": "LLP"}
UNTOLD_TYPES = frozenset({"", "northern-ireland", "other"})
"""Types that do not say whether a company is one of those."""
FORMS = (
    ("public limited company", "plc"), ("cwmni cyfyngedig cyhoeddus", "plc"), ("ccc", "plc"),
    ("limited liability partnership", "llp"), ("partneriaeth atebolrwydd cyfyngedig", "llp"), ("pac", "llp"),
    ("limited", "ltd"), ("cyfyngedig", "ltd"), ("cyf", "ltd"),
)  # fmt: skip
"""The ways to write a legal form at the end of a name, in English and Welsh; the longer ones first."""


@dataclass(frozen=True, slots=True)
class Company:
    """What the register has of a company; `year` is 0 where it does not say when it was made."""

    number: str
    name: str
    status: str
    type: str
    year: int


class CompaniesRegister(Asker[Company]):
    """Asks a companies register."""

    name = COMPANIES_REGISTER

    async def ask(self, document: Document) -> Finding:
        """What the register has of an organisation, field by field."""
        number = str(document.get("organisationRegistrationNumber", ""))
        if not NUMBER.fullmatch(number):
            raise SourceUnavailable("the record has no number that the register could have")
        path = f"company/{number}"
        answer = await self.answer(path, lambda body: company_of(body, number))
        return Finding(self.name, answer.at, f"{self.url}/{path}", compared(document, answer.found))


def company_of(body: bytes, number: str) -> Company:
    """The company that an answer describes. SourceUnavailable where it describes none, or another one."""
    answer = members_of(body)
    if not (name := text_of(answer, "company_name")) or not (status := text_of(answer, "company_status")):
        raise SourceUnavailable("the answer describes no company")
    if text_of(answer, "company_number").upper() != number:
        raise SourceUnavailable("the answer describes another company")
    made = re.match("[0-9]{4}", text_of(answer, "date_of_creation"), re.ASCII)
    return Company(number, name, status, text_of(answer, "type"), int(made[0]) if made else 0)


# -- the comparison


def compared(document: Document, company: Company | None) -> tuple[Comparison, ...]:
    """An organisation's passport beside what the register has: nothing, or field by field."""
    if company is None:
        return (Comparison("organisationRegistrationNumber", Outcome.NOT_FOUND),)
    is_same_name = same_name(document["organisationLegalName"], company.name)
    return (
        Comparison("organisationRegistrationNumber", Outcome.AGREES, company.number),
        Comparison("organisationLegalName", outcome_of(is_same_name), company.name),
        Comparison("organisationType", _type_outcome(document, company.type), company.type),
        Comparison("companyStatus", outcome_of(company.status == "active"), company.status),
        Comparison("yearOfRegistration", _year_outcome(document, company.year), str(company.year or "")),
    )


def _type_outcome(document: Document, type_: str) -> Outcome:
    if type_ in UNTOLD_TYPES:
        return Outcome.NOT_COMPARED
    return outcome_of(TYPE.get(type_) == document["organisationType"])


def _year_outcome(document: Document, year: int) -> Outcome:
    """Only the year with the national authority is the register's."""
    if not year or "yearOfRegistration" not in document or document.get("yearOfRegistrationBasis") != "NATIONAL":
        return Outcome.NOT_COMPARED
    return outcome_of(int(document["yearOfRegistration"]) == year)


def same_name(ours: str, theirs: str) -> bool:
    """Whether two legal names are one: letters and digits count, `&` is `and`, LIMITED is LTD."""
    return plain_name(ours) == plain_name(theirs)


def plain_name(name: str) -> str:
    """A legal name as it is compared; its legal form stays apart from the rest, so that it cannot be left out."""
    folded = unicodedata.normalize("NFKD", name).casefold().replace("&", " and ")
    folded = re.sub(r"['’.]", "", folded)
    words = " ".join("".join(character if character.isalnum() else " " for character in folded if not unicodedata.combining(character)).split())
    for written, form in FORMS:
        if words == written or words.endswith(f" {written}"):
            words = words.removesuffix(written) + form
            break
    stem, _, last = words.rpartition(" ")
    return f"{stem.replace(' ', '')} {last}" if last in ("ltd", "plc", "llp") else words.replace(" ", "")
