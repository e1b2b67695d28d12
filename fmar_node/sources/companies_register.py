"""The companies register of the United Kingdom, by the public data API of Companies House: `GET /company/{number}`.

Rules kept here: only 200 with a company of the number that was asked for, and 404, are answers; a redirect is not followed, an answer
is read up to a limit of bytes and of time; the address is https, or this machine; what a document says stands in a URL only
as a number of eight letters and digits; a name is the same whatever its case, punctuation and way to write its legal form.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
import unicodedata
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from fmar_node.clock import Clock, stamp
from fmar_node.errors import Malformed
from fmar_node.settings import COMPANIES_REGISTER, Settings
from fmar_node.sources.source import Comparison, Finding, Outcome, SourceUnavailable, text_of
from fmar_node.vocabulary import Document

NUMBER = re.compile("[A-Z0-9]{8}")
REMEMBERED = 1_000
"""Answers that are kept at most."""
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


@dataclass(frozen=True, slots=True)
class Answer:
    """A company, or None where the register has none of that number; and when it said so."""

    company: Company | None
    at: str


class CompaniesRegister:
    """Asks a companies register; `key` is sent as the user of HTTP Basic, with an empty password."""

    def __init__(self, settings: Settings, clock: Clock, key: str = "") -> None:
        self.url, self.settings, self.clock = checked(settings.companies_register_url), settings, clock
        self.remembered: OrderedDict[str, tuple[float, Answer]] = OrderedDict()
        self.client = httpx.AsyncClient(
            auth=httpx.BasicAuth(key, "") if key else None,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "fmar-node"},
            timeout=settings.source_seconds, follow_redirects=False, trust_env=not _is_loopback(self.url),
        )  # fmt: skip

    @property
    def name(self) -> str:
        return COMPANIES_REGISTER

    async def ask(self, document: Document) -> Finding:
        """What the register has of an organisation, field by field."""
        number = str(document.get("organisationRegistrationNumber", ""))
        if not NUMBER.fullmatch(number):
            raise SourceUnavailable("the record has no number that the register could have")
        answer = await self._answer(number)
        return Finding(COMPANIES_REGISTER, answer.at, f"{self.url}/company/{number}", compared(document, answer.company))

    async def _answer(self, number: str) -> Answer:
        known = self.remembered.get(number)
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        answer = Answer(await self._company(number), stamp(self.clock.now()))
        self.remembered[number] = (time.monotonic() + self.settings.source_cache_seconds, answer)
        self.remembered.move_to_end(number)
        while len(self.remembered) > REMEMBERED:
            self.remembered.popitem(last=False)
        return answer

    async def _company(self, number: str) -> Company | None:
        try:
            async with asyncio.timeout(self.settings.source_seconds), self.client.stream("GET", f"{self.url}/company/{number}") as response:
                kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                if response.status_code == httpx.codes.NOT_FOUND and kind != "text/html":  # a page is some other server's
                    return None
                if response.status_code != httpx.codes.OK:
                    raise SourceUnavailable(_said(response.status_code), _pause(response.headers.get("retry-after", "")))
                body = await self._read(response)
        except TimeoutError:
            raise SourceUnavailable(f"no answer within {self.settings.source_seconds:g} seconds") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise SourceUnavailable(f"no answer: {type(error).__name__}") from error
        return company_of(body, number)

    async def _read(self, response: httpx.Response) -> bytes:
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise SourceUnavailable("the answer is compressed, which was not asked for")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self.settings.source_bytes:
                raise SourceUnavailable(f"the answer has more than {self.settings.source_bytes} bytes")
        return bytes(body)

    async def close(self) -> None:
        await self.client.aclose()


def key_in(file: Path) -> str:
    """The key that a file holds. Malformed where it holds none that can be sent."""
    try:
        key = file.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise Malformed("malformed-request", f"companies_register_key_file: {file} cannot be read: {type(error).__name__}") from error
    if not re.fullmatch(r"[!-9;-~]+", key):
        raise Malformed("malformed-request", f"companies_register_key_file: {file} holds no key: one line without spaces or colons")
    return key


def checked(url: str) -> str:
    """The address of a register, without a slash at its end. Malformed where it is none that can be asked."""
    try:
        parts = urlsplit(url)
        is_good = bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        is_good = False
    if not is_good or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(url))):
        detail = "companies_register_url is https://..., or http:// on this machine, without a query or a user"
        raise Malformed("malformed-request", detail)
    return url.rstrip("/")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _said(status: int) -> str:
    told = {401: "it does not accept this node's key", 403: "it does not accept this node's key", 429: "it is asked too often"}
    return told.get(status, f"it answered with status {status}")


def _pause(text: str) -> float:
    return float(text) if re.fullmatch("[0-9]{1,6}", text) else 0.0


def company_of(body: bytes, number: str) -> Company:
    """The company that an answer describes. SourceUnavailable where it describes none, or another one."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise SourceUnavailable("the answer is not JSON") from None
    if not isinstance(answer, dict) or not (name := text_of(answer, "company_name")) or not (status := text_of(answer, "company_status")):
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
        Comparison("organisationLegalName", _outcome(is_same_name), company.name),
        Comparison("organisationType", _type_outcome(document, company.type), company.type),
        Comparison("companyStatus", _outcome(company.status == "active"), company.status),
        Comparison("yearOfRegistration", _year_outcome(document, company.year), str(company.year or "")),
    )


def _outcome(agrees: bool) -> Outcome:
    return Outcome.AGREES if agrees else Outcome.DIFFERS


def _type_outcome(document: Document, type_: str) -> Outcome:
    if type_ in UNTOLD_TYPES:
        return Outcome.NOT_COMPARED
    return _outcome(TYPE.get(type_) == document["organisationType"])


def _year_outcome(document: Document, year: int) -> Outcome:
    """Only the year with the national authority is the register's."""
    if not year or "yearOfRegistration" not in document or document.get("yearOfRegistrationBasis") != "NATIONAL":
        return Outcome.NOT_COMPARED
    return _outcome(int(document["yearOfRegistration"]) == year)


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
