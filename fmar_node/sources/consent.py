"""Consent: what a provider presents as proof, what is asked about it, and what is answered (UC-05.05, domain 5.4).

A proof is a receipt that a consent solution has signed (`consent+jwt`), or an opaque reference that it is asked about. Rules kept here: only
VALID lets anything proceed, and whoever does not answer is UNAVAILABLE; a verdict is about one question and is never used for
another; a proof goes to the solution that it is of and to nobody else; what is bound is told apart by salted hashes alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, Self

from fmar_node.clock import Clock, parse_stamp, stamp
from fmar_node.settings import ConsentSolution, Settings
from fmar_node.sources.asker import Asker, members_of
from fmar_node.sources.source import SourceUnavailable, text_of

REFERENCE_CHARS = 128
HASH = "sha256:"


class ConsentVerdict(StrEnum):
    """What a solution says of a proof; only VALID proceeds."""

    VALID = "VALID"
    UNKNOWN = "UNKNOWN"
    NOT_YET_VALID = "NOT_YET_VALID"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"
    WRONG_SUBJECT = "WRONG_SUBJECT"
    WRONG_GRANTEE = "WRONG_GRANTEE"
    WRONG_PURPOSE = "WRONG_PURPOSE"
    REPLAYED = "REPLAYED"
    UNAVAILABLE = "UNAVAILABLE"


class ConsentPurpose(StrEnum):
    """What a consent is for; codes of ConsentPurpose."""

    REGISTER = "REGISTER"
    SWITCH = "SWITCH"
    SHARE = "SHARE"


ENDED = frozenset({ConsentVerdict.REVOKED, ConsentVerdict.EXPIRED})
"""The verdicts by which a consent that held holds no longer."""


@dataclass(frozen=True, slots=True)
class ConsentQuestion:
    """Whether a proof lets a provider (`grantee`, an IRI) do something about an asset at an instant.

    `subjects` are canonical identifiers (`asset:UUID`, `mpan:CORE`): the consent names the asset, or every one of its meter points, which stand
    behind it. Where there are several assets, it is about one of them.
    """

    proof: str = field(repr=False)
    grantee: str
    purpose: ConsentPurpose
    subjects: tuple[str, ...] = field(repr=False)
    at: str = ""

    @property
    def about(self) -> str:
        """What tells this question from another one, whatever the proof."""
        return hashlib.sha256(json.dumps([self.grantee, self.purpose, sorted(self.subjects)]).encode()).hexdigest()

    def is_bound(self, is_named: Callable[[str], bool]) -> bool:
        """Whether a consent that names some identifiers is about the asset."""
        starts = [place for place, subject in enumerate(self.subjects) if place == 0 or subject.startswith("asset:")]
        assets = (self.subjects[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True))
        return any(_is_named(asset, is_named) for asset in assets)


def _is_named(asset: tuple[str, ...], is_named: Callable[[str], bool]) -> bool:
    points = [subject for subject in asset if subject.startswith("mpan:")]
    return any(map(is_named, set(asset) - set(points))) or (bool(points) and all(map(is_named, points)))


@dataclass(frozen=True, slots=True)
class Consent:
    """The answer. `solution` has said it, `reference` is the solution's own name of the consent, `digest` the hash of the proof.

    `place` is where its status stands in a status list, `record` the id that its record is to have.
    """

    verdict: ConsentVerdict
    solution: str = ""
    reference: str = field(default="", repr=False)
    digest: str = ""
    purposes: tuple[str, ...] = ()
    valid_from: str = ""
    valid_to: str = ""
    is_single_use: bool = False
    place: str = field(default="", repr=False)
    checked_at: str = ""
    about: str = ""
    record: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Self | None:
        if value is None:
            return None
        given = {each.name: value[each.name] for each in fields(cls)}
        return cls(**{**given, "verdict": ConsentVerdict(given["verdict"]), "purposes": tuple(given["purposes"])})


def digest_of(proof: str) -> str:
    """What is kept of a proof."""
    return HASH + hashlib.sha256(proof.encode()).hexdigest()


def bound(salt: bytes, identifier: str) -> str:
    """How a consent names an identifier: base64url of SHA-256 over salt and canonical identifier (`docs/formats/consent.md`)."""
    return base64.urlsafe_b64encode(hashlib.sha256(salt + identifier.encode()).digest()).rstrip(b"=").decode()


class Receipts(Protocol):
    """Whoever can read receipts (`fmar_node.access.consent_receipt`)."""

    def is_receipt(self, proof: str) -> bool:
        """Whether a proof is a receipt at all, believed or not."""
        ...

    async def verify(self, question: ConsentQuestion) -> Consent: ...

    async def status(self, solution: str, place: str) -> ConsentVerdict:
        """VALID or REVOKED by the status list that has the place, or UNAVAILABLE."""
        ...


class SolutionAsker(Asker[dict[str, Any]]):
    """Asks a consent solution: `POST {url}/verify` about a reference, `POST {url}/status` about consents that held."""

    name = "CONSENT"

    def __init__(self, solution: ConsentSolution, settings: Settings, clock: Clock, key: str = "") -> None:
        super().__init__(settings, clock, key, solution.url)
        self.solution = solution

    async def verify(self, question: ConsentQuestion, salt: bytes) -> Consent:
        """SourceUnavailable where it gives no answer that can be used."""
        names = [bound(salt, subject) for subject in question.subjects]
        asked = {
            "reference": question.proof, "grantee": question.grantee, "purpose": question.purpose.value,
            "salt": base64.urlsafe_b64encode(salt).rstrip(b"=").decode(), "subjects": names,
        }  # fmt: skip
        body = await self._body("verify", asked)
        if body is None:
            return Consent(ConsentVerdict.UNKNOWN)
        return answered(members_of(body), question, dict(zip(question.subjects, names, strict=True)))

    async def statuses(self, references: Sequence[str]) -> dict[str, ConsentVerdict]:
        """What it says now of consents that held, by reference; those that it does not tell of are UNKNOWN."""
        body = await self._body("status", {"consents": list(references)})
        told = members_of(body).get("statuses") if body is not None else {}
        if not isinstance(told, dict):
            raise SourceUnavailable("the answer has no statuses")
        return {reference: _verdict(told.get(reference)) for reference in references}


def answered(answer: Mapping[str, Any], question: ConsentQuestion, names: Mapping[str, str]) -> Consent:
    """The consent that an answer describes: what it says of scope and time is compared again, a VALID alone is not believed."""
    verdict, reference = _verdict(answer.get("verdict")), text_of(answer, "consent", REFERENCE_CHARS)
    if verdict is not ConsentVerdict.VALID:
        return Consent(verdict)
    if not is_reference(reference):
        raise SourceUnavailable("the answer names no consent")
    purposes, named = (_texts(answer, member) for member in ("purposes", "subjects"))
    consent = Consent(
        verdict, reference=reference, purposes=purposes, valid_from=_instant(answer, "validFrom"), valid_to=_instant(answer, "validTo"),
        is_single_use=_flag(answer, "singleUse"),
    )  # fmt: skip
    return replace(consent, verdict=judged(consent, question, answer.get("grantee"), lambda subject: names[subject] in named))


def judged(consent: Consent, question: ConsentQuestion, grantee: object, is_named: Callable[[str], bool]) -> ConsentVerdict:
    """The first thing that is wrong with a consent that holds by itself: for whom, for what, about what, when."""
    if grantee != question.grantee:
        return ConsentVerdict.WRONG_GRANTEE
    if question.purpose not in consent.purposes:
        return ConsentVerdict.WRONG_PURPOSE
    if not question.is_bound(is_named):
        return ConsentVerdict.WRONG_SUBJECT
    if consent.valid_from > question.at:
        return ConsentVerdict.NOT_YET_VALID
    if consent.valid_to and consent.valid_to <= question.at:
        return ConsentVerdict.EXPIRED
    return ConsentVerdict.VALID


def is_reference(text: str) -> bool:
    """Whether a solution's name of a consent can be kept: printable ASCII without blanks."""
    return 0 < len(text) <= REFERENCE_CHARS and text.isascii() and text.isprintable() and " " not in text


def _verdict(value: object) -> ConsentVerdict:
    try:
        return ConsentVerdict(value) if isinstance(value, str) else ConsentVerdict.UNKNOWN
    except ValueError:
        return ConsentVerdict.UNKNOWN


def _texts(answer: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = answer.get(name)
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _flag(answer: Mapping[str, Any], name: str) -> bool:
    """False where it is absent: what restricts a consent is never guessed."""
    if not isinstance(value := answer.get(name, False), bool):
        raise SourceUnavailable(f"the answer has a {name} that is neither true nor false")
    return value


def _instant(answer: Mapping[str, Any], name: str) -> str:
    if not (text := text_of(answer, name, 40)):
        return ""
    try:
        return stamp(parse_stamp(text))
    except ValueError:
        raise SourceUnavailable(f"the answer has a {name} that is no time") from None


class Consents:
    """Every consent solution that a node trusts: receipts by their signature, references by a call to the solution whose they are."""

    def __init__(
        self, receipts: Receipts, askers: Iterable[SolutionAsker], clock: Clock, salt: Callable[[], bytes],
        has_ended: Callable[[str, str], bool] = lambda *_: False,
    ) -> None:
        self.receipts, self.clock, self.salt, self.has_ended = receipts, clock, salt, has_ended
        self.askers = {asker.solution.name: asker for asker in askers}

    async def verify(self, question: ConsentQuestion) -> Consent:
        """The verdict on a proof, as of now. What a solution has taken back already does not hold, whatever is said of it."""
        now = self.clock.now()
        asked = replace(question, at=stamp(now))
        found = await (self.receipts.verify(asked) if self.receipts.is_receipt(question.proof) else self._by_call(asked))
        if found.verdict is ConsentVerdict.VALID and self.has_ended(found.solution, found.reference):
            found = replace(found, verdict=ConsentVerdict.REVOKED)
        return replace(found, digest=digest_of(question.proof), checked_at=stamp(now), about=question.about)

    async def _by_call(self, question: ConsentQuestion) -> Consent:
        for asker in self.askers.values():
            if question.proof.startswith(asker.solution.reference_prefix):
                return await self._asked(asker.verify(question, self.salt()), asker.solution.name)
        return Consent(ConsentVerdict.UNKNOWN)

    async def _asked(self, answer: Awaitable[Consent], solution: str) -> Consent:
        try:
            return replace(await answer, solution=solution)
        except SourceUnavailable:
            return Consent(ConsentVerdict.UNAVAILABLE, solution)

    async def recheck(self, solution: str, consents: Mapping[str, str]) -> dict[str, ConsentVerdict]:
        """What is said now of consents of one solution that held: by reference, with the place of its status where it has one."""
        found = {}
        called = [reference for reference, place in consents.items() if not place]
        for reference, place in consents.items():
            if place:
                found[reference] = await self.receipts.status(solution, place)
        if called and (asker := self.askers.get(solution)):
            try:
                found |= await asker.statuses(called)
            except SourceUnavailable:
                found |= dict.fromkeys(called, ConsentVerdict.UNAVAILABLE)
        return found

    async def close(self) -> None:
        """Ends its connections."""
        for asker in self.askers.values():
            await asker.close()


def salt_of(text: object) -> bytes:
    """The salt of a receipt: at least 16 bytes in base64url. ValueError otherwise."""
    try:
        salt = base64.b64decode(str(text) + "=" * (-len(str(text)) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("is no base64url") from error
    if not 16 <= len(salt) <= 64:
        raise ValueError("has not 16 to 64 bytes")
    return salt


def instant_of(seconds: float) -> str:
    """A NumericDate as `stamp` writes it. ValueError where there is no such time."""
    try:
        return stamp(datetime.fromtimestamp(seconds, parse_stamp("2026-01-01T00:00:00Z").tzinfo))
    except (OverflowError, OSError) as error:
        raise ValueError("is no time") from error
