"""What a former provider keeps: the record as it was in the last version of its time, and nothing later (domain 5.3).

Rules kept here: who stands in a relation to a record as it is now sees it as it is now; otherwise, whoever was its provider, or acts on what
that one has granted, sees it as of the end of that time, marked with `asOf`; of several such times the newest. That a time ended, and
with which version, stands in the record itself, so that every reader and every graph comes to the same. An earlier version is judged by the
relations of its time; but where a consent was taken back no more is seen of the past than of the present, and whoever registered an
asset that has a provider now sees nothing of its past either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fmar_node.access.caller import Caller
from fmar_node.access.reveal import Relation, Sight, lacks_consent, opened_by, relations, seen, sight_of, sight_through
from fmar_node.record import Version, uuid_of
from fmar_node.vocabulary import Document, Vocabulary

AS_OF = "asOf"
OF_PROVIDER = frozenset({Relation.MANAGER, Relation.WITHOUT_CONSENT, Relation.GRANTED, Relation.GRANTED_PERSONAL})
"""The relations that a provider's time opens, to itself and to whom it has granted something."""
Numbered = Callable[[str, str, int], Version | None]
"""A version by kind, id and number."""


@dataclass(frozen=True, slots=True)
class Past:
    """A provider's time that has ended: the number of its last version, and when it ended (xsd:dateTime)."""

    organisation: str
    number: int
    ended_at: str


@dataclass(frozen=True, slots=True)
class Look:
    """How a record looks to somebody: what is in sight of a version; `as_of` is empty where that is the newest one."""

    version: Version
    sight: Sight
    as_of: str = ""

    def document(self, vocabulary: Vocabulary) -> Document | None:
        """None where there is nothing to see."""
        if not self.sight.tiers:
            return None
        shown = seen(self.version.document, self.sight, vocabulary)
        return {**shown, AS_OF: self.as_of} if self.as_of else shown


def pasts(document: Document) -> list[Past]:
    """The times of former providers, the newest first; each once, and not of the present one."""
    present, found = uuid_of(document.get("managedBy", "")), dict[str, Past]()
    for each in reversed(document.get("responsibility", ())):
        organisation = uuid_of(each["provider"])
        if "lastVersion" in each and organisation != present:
            found.setdefault(organisation, Past(organisation, int(each["lastVersion"]), each["endedAt"]))
    return list(found.values())


def keepers(caller: Caller) -> frozenset[str]:
    """The organisations whose times with a record open its past to a caller."""
    return frozenset({caller.organisation, *caller.grants} - {""})


def own_look(version: Version, caller: Caller, numbered: Numbered) -> Look | None:
    """How a record, whose newest version this is, looks to the caller beyond what everybody sees; None where that is nothing."""
    if (found := relations(version.document, caller)) - {Relation.PUBLIC}:
        return Look(version, sight_through(found, version.document, caller))
    for past in pasts(version.document):
        then = numbered(version.kind, version.id, past.number) if past.organisation in keepers(caller) else None
        if then is not None and (kept := relations(then.document, caller) & OF_PROVIDER):
            return Look(then, Sight(opened_by(kept)), past.ended_at)
    return None


def look_of(version: Version, caller: Caller, numbered: Numbered) -> Look:
    """How a record, whose newest version this is, looks to the caller."""
    return own_look(version, caller, numbered) or Look(version, sight_of(version.document, caller))


def earlier_look(version: Version, present: Look, caller: Caller, numbered: Numbered) -> Look:
    """How a record looked with an earlier version; `present` is how it looks now."""
    judged = _without_registrant(version) if "managedBy" in present.version.document else version
    then = look_of(judged, caller, numbered)
    then = replace(then, version=version) if then.version is judged else then
    if not lacks_consent(present.version.document):
        return then
    return replace(then, sight=replace(then.sight, tiers=then.sight.tiers & present.sight.tiers))


def _without_registrant(version: Version) -> Version:
    return replace(version, document={term: value for term, value in version.document.items() if term != "registeredBy"})
