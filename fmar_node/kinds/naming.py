"""What an asset is called, by whom, and from when until when (UC-02.04, domain 5.2).

Rules kept here: an alias or a former code counts on the days on which it is valid, [from, to); an external id is the word of whoever
registered the asset, unique among what that one has registered, and nobody else changes it; a friendly code that is renamed stays
with the asset as a former code, so that a lookup as of an earlier day finds it.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.clock import day_of
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.installation import steward
from fmar_node.kinds.kind import Claim, Situation
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document

MOST_FORMER = 20
"""Former codes that a record keeps; its versions keep them all."""


def is_valid_on(part: Document, day: str) -> bool:
    """Whether an alias or a former code is valid on a day (an xsd:date); half-open, as all intervals here."""
    return bool(part.get("validFrom", "") <= day < part.get("validTo", "9999"))


def as_called_on(document: Document, day: str) -> Document:
    """The asset with those names alone that it has on a day."""
    called = dict(document)
    for term in ("alias", "formerCode"):
        called[term] = [part for part in document.get(term, ()) if is_valid_on(part, day)]
    if day < _coded_since(document):
        called.pop("friendlyCode", None)
    if day < _registered_on(document):
        called.pop("externalId", None)
    return called


def _coded_since(document: Document) -> str:
    """The first day of the friendly code that an asset has now."""
    former = document.get("formerCode", ())
    return str(former[-1]["validTo"]) if former else _registered_on(document)


def _registered_on(document: Document) -> str:
    """The day of registration, before which nobody called the asset anything here; nothing before it is registered."""
    return day_of(document["registeredAt"]) if "registeredAt" in document else ""


def renamed(situation: Situation, document: Document) -> Document:
    """An update, with the friendly code that it takes away among the former ones. One that lasted no whole day is in the versions alone."""
    assert situation.previous is not None
    was, today = situation.previous.document, situation.today.isoformat()
    since = _coded_since(was) or today
    if "friendlyCode" not in was or was["friendlyCode"] == document.get("friendlyCode") or since >= today:
        return document
    former = {"type": "FormerCode", "formerCodeText": was["friendlyCode"], "validFrom": since, "validTo": today}
    kept = [*document.get("formerCode", ()), former][-MOST_FORMER:]
    return {**document, "formerCode": [{**each, "id": f"{document['id']}#formerCode-{place}"} for place, each in enumerate(kept, start=1)]}


def external_claim(document: Document, registrant: str) -> set[Claim]:
    """The claim of an external id: within what an organisation has registered, ignoring case."""
    code = document.get("externalId")
    return {Claim(f"externalId/{registrant}", code.strip().casefold())} if code else set()


def registrant(document: Document) -> str:
    """Whose word the external id is: who registered the asset at its installation, or who manages it."""
    return uuid_of(document["registeredBy"]) if "registeredBy" in document else steward(document)


# -- rules


def has_own_external_id(situation: Situation) -> Iterable[Fault]:
    """An external id is unique among the live assets that an organisation has registered."""
    whose = registrant(situation.previous.document) if situation.previous else situation.caller.organisation
    for claim in external_claim(situation.document, whose):
        holder = situation.register.holder(claim)
        if holder is not None and holder != uuid_of(situation.document["id"]):
            found = situation.register.current("assets", holder)
            is_claimed = found is not None and "registeredBy" in found.document and "managedBy" in found.document
            told = "; it has a provider now, which keeps it" if is_claimed else ""
            message = f"another asset that you have registered has this external id{told}"
            yield Fault("EXTERNAL_ID_TAKEN", Severity.REJECT, message, "/externalId", "externalId")


def leaves_external_id_alone(situation: Situation) -> Iterable[Fault]:
    """The provider of an installed asset keeps what its registrant calls it."""
    was = situation.previous.document if situation.previous else {}
    is_anothers = registrant(was) != situation.caller.organisation if was else False
    if is_anothers and was.get("externalId") != situation.document.get("externalId"):
        message = "externalId is the word of whoever registered the asset: send it as it is"
        yield Fault("ASSET-EXTERNAL-1", Severity.REJECT, message, "/externalId", "externalId")


def publishers_are_registered(situation: Situation) -> Iterable[Fault]:
    """A new extension field is in the namespace of an active organisation of the register, each name once; its value is not judged."""
    before = situation.previous.document.get("extension", ()) if situation.previous else ()
    known, seen = {each["extensionPublisher"] for each in before if "extensionPublisher" in each}, set[tuple[str, str]]()
    for place, field in enumerate(situation.document.get("extension", ())):
        name = field.get("extensionPublisher", ""), field.get("extensionName", "")
        if name in seen:
            yield Fault("EXTENSION-2", Severity.REJECT, "a field of one publisher stands twice", f"/extension/{place}/extensionName", "extensionName")
        seen.add(name)
        if name[0] and name[0] not in known and not _is_active(situation, name[0]):
            message = "extensionPublisher is an active organisation of this register"
            yield Fault("EXTENSION-1", Severity.REJECT, message, f"/extension/{place}/extensionPublisher", "extensionPublisher")


def _is_active(situation: Situation, iri: str) -> bool:
    found = situation.register.current("organisations", uuid_of(iri))
    return found is not None and found.iri == iri and found.state == "ACTIVE"
