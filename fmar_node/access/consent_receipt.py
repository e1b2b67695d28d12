"""A consent solution's receipt (`consent+jwt`): a consumer's consent that says for whom, for what, about what and until when.

Rules kept here: its issuers are pinned by the settings, apart from those of access tokens, so that neither is ever taken for the other; it has
a type of its own, is signed by a key of its issuer, for this node (`aud`), for one provider (`azp`), and names what it is about by
salted hashes; it ends; where its issuer has status lists it has a place in one. Nothing of it is kept but its hash, its `jti` and that place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fmar_node.access.issuer import Issuers, Nobody
from fmar_node.access.jose import COMPACT, Compact, UnacceptableError, read_compact, text_claim, time_claim
from fmar_node.access.publication import NotAtHandError
from fmar_node.access.status import Place, place_of
from fmar_node.access.subscription import Subscriptions
from fmar_node.clock import Clock
from fmar_node.errors import Unavailable
from fmar_node.settings import ConsentSolution, Issuer, Settings
from fmar_node.sources.consent import (
    Consent,
    ConsentQuestion,
    ConsentVerdict,
    bound,
    instant_of,
    is_reference,
    judged,
    salt_of,
)

RECEIPT_TYPE = "consent+jwt"
MOST_NAMES = 64
T = TypeVar("T")


class ConsentReceipts:
    """The receipts of all configured solutions, with the keys and the status lists that they publish."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings, self.clock = settings, clock
        self.solutions = {each.issuer: each for each in settings.consent_solutions if each.issuer}
        pinned = tuple(map(_as_issuer, self.solutions.values()))
        self.issuers = Issuers(settings.model_copy(update={"issuers": pinned}), Nobody())
        self.subscriptions = Subscriptions(self.issuers, settings.fetch_seconds, clock)

    def start(self) -> None:
        """Begins to keep what is used up to date."""
        if self.solutions:
            self.subscriptions.start()

    async def close(self) -> None:
        await self.subscriptions.close()

    def is_receipt(self, proof: str) -> bool:
        """Whether it has the form of a signed JWT; a reference never has."""
        return COMPACT.fullmatch(proof) is not None

    async def verify(self, question: ConsentQuestion) -> Consent:
        """The verdict; UNKNOWN for whatever is no receipt of a configured solution for this node."""
        try:
            return await self._asked(lambda: self._read(question))
        except UnacceptableError:
            return Consent(ConsentVerdict.UNKNOWN)
        except Unavailable:
            return Consent(ConsentVerdict.UNAVAILABLE)

    async def status(self, solution: str, place: str) -> ConsentVerdict:
        """What the status list says now of a receipt that held."""
        entry = next((self.issuers.find(each.issuer) for each in self.solutions.values() if each.name == solution), None)
        uri, _, index = place.rpartition("#")
        if entry is None or not index.isascii() or not index.isdigit():
            return ConsentVerdict.UNAVAILABLE
        try:
            await self._asked(lambda: self.issuers.check_status(entry, Place(uri, int(index)), self._now()))
        except UnacceptableError:
            return ConsentVerdict.REVOKED
        except Unavailable:
            return ConsentVerdict.UNAVAILABLE
        return ConsentVerdict.VALID

    async def _asked(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except NotAtHandError as missing:
            return await self.subscriptions.settled(missing, ask)

    def _now(self) -> float:
        return self.clock.now().timestamp()

    def _read(self, question: ConsentQuestion) -> Consent:
        compact = read_compact(question.proof, self.settings.literal_chars)
        if compact.header.get("typ") != RECEIPT_TYPE:
            raise UnacceptableError(f"has a typ other than {RECEIPT_TYPE}")
        claims = compact.claims()
        entry = self.issuers.find(claims.get("iss"))
        if entry is None:
            raise UnacceptableError("is of an issuer that this node does not know")
        self._check_signature(compact, entry)
        self._check_audience(claims)
        consent, place = _consent(claims, self.solutions[entry.issuer]), place_of(claims)
        self.issuers.check_place(entry, place)
        verdict = judged(consent, question, claims.get("azp"), _names(claims))
        if verdict is ConsentVerdict.VALID and not self._is_in_force(entry, place):
            verdict = ConsentVerdict.REVOKED
        return Consent(
            verdict, consent.solution, consent.reference, "", consent.purposes, consent.valid_from, consent.valid_to, consent.is_single_use,
            f"{place.uri}#{place.index}" if place else "",
        )  # fmt: skip

    def _check_signature(self, compact: Compact, entry: Issuer) -> None:
        self.issuers.key(entry, compact.header.get("kid"), self._now()).check(compact)

    def _check_audience(self, claims: dict[str, Any]) -> None:
        given = claims.get("aud")
        if self.settings.base_url not in (given if isinstance(given, list) else [given]):
            raise UnacceptableError("is not for this node")

    def _is_in_force(self, entry: Issuer, place: Place | None) -> bool:
        try:
            self.issuers.check_status(entry, place, self._now())
        except UnacceptableError:
            return False
        return True


def _as_issuer(solution: ConsentSolution) -> Issuer:
    status = "required" if solution.status_lists else "optional"
    return Issuer(issuer=solution.issuer, jwks_uri=solution.jwks_uri, status=status, status_lists=solution.status_lists)


def _consent(claims: dict[str, Any], solution: ConsentSolution) -> Consent:
    """What a receipt says, as far as it can be kept. UnacceptableError where something of it is missing."""
    reference, purposes = text_claim(claims, "jti", 128), claims.get("purposes")
    if not is_reference(reference) or not isinstance(purposes, list):
        raise UnacceptableError("has no jti that can be kept, or no purposes")
    begins, ends = time_claim(claims, "nbf" if "nbf" in claims else "iat"), time_claim(claims, "exp")
    try:
        valid_from, valid_to = instant_of(begins), instant_of(ends)
    except ValueError as error:
        raise UnacceptableError("has a time that is none") from error
    if not isinstance(is_single_use := claims.get("single_use", False), bool):
        raise UnacceptableError("has a single_use that is neither true nor false")
    named = tuple(each for each in purposes if isinstance(each, str))
    return Consent(ConsentVerdict.VALID, solution.name, reference, "", named, valid_from, valid_to, is_single_use)


def _names(claims: dict[str, Any]) -> Callable[[str], bool]:
    """Whether the receipt names an identifier. UnacceptableError where it names nothing."""
    subjects = claims.get("subjects")
    names = subjects.get("names") if isinstance(subjects, dict) else None
    if not isinstance(subjects, dict) or not isinstance(names, list) or not 0 < len(names) <= MOST_NAMES:
        raise UnacceptableError("names nothing that it is about")
    try:
        salt = salt_of(subjects.get("salt"))
    except ValueError as error:
        raise UnacceptableError("has a salt of less than 16 bytes") from error
    return lambda identifier: bound(salt, identifier) in names
