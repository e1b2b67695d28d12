"""Releases of code lists and shapes: how the operator changes what the register takes, without a new package (UC-02.01, UC-05.07).

States: PROPOSED -> SHADOW -> APPROVED -> ACTIVE -> SUPERSEDED; WITHDRAWN from any of the first three. A release has the files that
differ from the package's, those of the release before it included, so that it stands by itself; once proposed it does not change.
Its effect on the stored records is known before it goes into shadow, where new documents are judged by it beside, and only
counted. One release at a time is a candidate (in shadow, or approved), and stands on the one in force. An approved one comes into
force by the clock, at the beginning of its day, in one entry with the end of the one before: everything after that entry obeys it.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.access.caller import Role
from fmar_node.clock import midnight
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.kind import Action, Consequence, Kind, Policy, Register, Rule, Situation, becomes, by_node
from fmar_node.record import Version
from fmar_node.settings import Settings
from fmar_node.vocabulary import RELEASE as PACKAGE
from fmar_node.vocabulary import Document, Vocabulary

PROPOSED, SHADOW, APPROVED, ACTIVE, SUPERSEDED, WITHDRAWN = "PROPOSED", "SHADOW", "APPROVED", "ACTIVE", "SUPERSEDED", "WITHDRAWN"
PLACE = "RELEASE"
"""The scheme of the handles by which releases are found: a number, or one of the next three words."""
IN_FORCE, CANDIDATE, ANY = "in force", "candidate", "any"
FIRST = 2
"""The number of the first release of a register; the packaged one is release 1."""
LEVELS = ("MAJOR", "MINOR", "PATCH")
OPERATOR = frozenset({Role.OPERATOR})
ONLY_OPERATOR = "only the operator releases code lists and shapes"
IMPACT = frozenset({"impactAt", "impactRecords", "impactFailing"})


# -- which there are


def found(register: Register, place: str) -> Version | None:
    """The release in force, the candidate, or the one of a number; None where there is none in the register."""
    ids = register.found(PLACE, place)
    return register.current("releases", ids[0]) if ids else None


def stands_on(document: Document, register: Register) -> bool:
    """Whether the release that it was made from is still in force."""
    base = found(register, IN_FORCE)
    return document.get("basedOn") == (base.iri if base else None)


def files_in(document: Document) -> dict[str, str]:
    """The texts of a release by the names of the files in whose place they stand."""
    return {each["fileName"]: each["fileText"] for each in document.get("releaseFile", ()) if each.keys() >= {"fileName", "fileText"}}


# -- rules


def impact_is_known(situation: Situation) -> Iterable[Fault]:
    """What it does to the stored records has been worked out."""
    if "impactAt" not in situation.document:
        message = "its impact on the stored records is not known yet: GET /releases/{id}/impact says how far the analysis is"
        yield Fault("RELEASE-SHADOW-3", Severity.REJECT, message, "", "impactAt")


def is_the_only_candidate(situation: Situation) -> Iterable[Fault]:
    """One candidate at a time, so that what its shadow counts is its own doing."""
    if situation.register.found(PLACE, CANDIDATE):
        message = "another release is in shadow or approved: let it come into force, or withdraw it"
        yield Fault("RELEASE-SHADOW-4", Severity.REJECT, message, "", "releaseStatus")


def base_is_in_force(situation: Situation) -> Iterable[Fault]:
    """What it was made from has not been superseded since."""
    if not stands_on(situation.document, situation.register):
        message = "another release has come into force since it was proposed: withdraw it, and propose it again"
        yield Fault("RELEASE-SHADOW-5", Severity.REJECT, message, "", "basedOn")


def day_is_to_come(situation: Situation) -> Iterable[Fault]:
    """From today or a later day on; what was accepted yesterday is not judged again."""
    day = situation.note.get("activeFrom", "")
    if day < situation.today.isoformat():
        message = "activeFrom is missing: from which day on is it in force?" if not day else "activeFrom is today, which means at once, or a later day"
        yield Fault("RELEASE-APPROVE-3", Severity.REJECT, message, "/activeFrom", "activeFrom", day or None)


# -- what the node sets


def proposed(situation: Situation) -> Document:
    """With its number and version, and with the files of the release before it that it leaves as they are."""
    document, base = situation.document, found(situation.register, IN_FORCE)
    number = FIRST + len(situation.register.found(PLACE, ANY))
    version = max((base.document["releaseVersion"] if base else PACKAGE, PACKAGE), key=_numbers)
    return {
        **document,
        **({"basedOn": base.iri} if base else {}),
        "releaseFile": [*document.get("releaseFile", ()), *_inherited(document, base)],
        "releaseNumber": number,
        "releaseVersion": f"{raised(version, document['releaseLevel'])}+{number}",
        "releasedOver": PACKAGE,
        "releaseStatus": PROPOSED,
    }


def _inherited(document: Document, base: Version | None) -> list[Document]:
    own, taken = files_in(document), {each["id"] for each in document.get("releaseFile", ())}
    free = (iri for number in range(1, 1_000) if (iri := f"{document['id']}#inherited-{number}") not in taken)
    kept = {name: text for name, text in files_in(base.document if base else {}).items() if name not in own}
    return [{"id": next(free), "type": "ReleaseFile", "fileName": name, "fileText": text} for name, text in sorted(kept.items())]


def raised(version: str, level: str) -> str:
    """The version after a change of a level (semantic versioning); what stands behind its plus goes.

    >>> raised("1.4.2+7", "MINOR")
    '1.5.0'
    """
    numbers, place = _numbers(version), LEVELS.index(level)
    return ".".join(map(str, [*numbers[:place], numbers[place] + 1, *[0] * (2 - place)]))


def _numbers(version: str) -> list[int]:
    return [int(each) for each in version.split("+", maxsplit=1)[0].split(".")]


def analysed(situation: Situation) -> Document:
    return {**situation.document, **situation.note}


def forgotten(situation: Situation) -> Document:
    """Its impact is worked out again: the register has moved on."""
    return {term: value for term, value in situation.document.items() if term not in IMPACT}


def approved(situation: Situation) -> Document:
    return {**situation.document, "activeFrom": situation.note["activeFrom"], "releaseStatus": APPROVED}


def the_one_before_ends(situation: Situation) -> Iterable[Consequence]:
    """Two are never in force: the one before ends in the same transaction."""
    for id_ in situation.register.found(PLACE, IN_FORCE):
        yield Consequence("releases", id_, "supersession")


# -- what is looked at beside the shapes, and how it is found


def judged(document: Document, vocabulary: Vocabulary, settings: Settings) -> list[Fault]:
    from fmar_node.checks.release import faults  # and with it rdflib: only judges pay for it

    return faults(files_in(document), document, vocabulary, settings)


def handles(document: Document) -> set[tuple[str, str]]:
    places = {ANY, str(document["releaseNumber"])}
    places |= {SHADOW: {CANDIDATE}, APPROVED: {CANDIDATE}, ACTIVE: {IN_FORCE}}.get(document["releaseStatus"], set())
    return {(PLACE, each) for each in places}


def awaits(document: Document) -> tuple[str, str] | None:
    return (midnight(document["activeFrom"]), "activation") if document.get("releaseStatus") == APPROVED else None


UC = ("UC-02.01", "UC-05.07")
RELEASE = Kind(
    name="release",
    plural="releases",
    class_name="Release",
    plain_checks=judged,
    handles=handles,
    filters=("releaseStatus",),
    awaits=awaits,
    actions={
        "register": Action("register", UC, (Policy("RELEASE-PROPOSE-1", ONLY_OPERATOR, OPERATOR),), apply=proposed, takes_document=True),
        "analysis": Action(
            "analysis",
            UC,
            (Policy("RELEASE-ANALYSE-1", ONLY_OPERATOR, OPERATOR),),
            states=frozenset({PROPOSED, SHADOW, APPROVED}),
            state_rule="RELEASE-ANALYSE-2",
            apply=forgotten,
        ),
        "impact": Action(
            "impact",
            UC,
            by_node("RELEASE-IMPACT-1"),
            states=frozenset({PROPOSED, SHADOW, APPROVED}),
            state_rule="RELEASE-IMPACT-2",
            apply=analysed,
            note_terms=IMPACT,
            is_nodes_own=True,
        ),
        "shadow": Action(
            "shadow",
            UC,
            (Policy("RELEASE-SHADOW-1", ONLY_OPERATOR, OPERATOR),),
            (Rule(impact_is_known, ("RELEASE-SHADOW-3",)), Rule(is_the_only_candidate, ("RELEASE-SHADOW-4",)), Rule(base_is_in_force, ("RELEASE-SHADOW-5",))),
            states=frozenset({PROPOSED}),
            state_rule="RELEASE-SHADOW-2",
            apply=becomes("releaseStatus", SHADOW),
        ),
        "approval": Action(
            "approval",
            UC,
            (Policy("RELEASE-APPROVE-1", ONLY_OPERATOR, OPERATOR),),
            (Rule(day_is_to_come, ("RELEASE-APPROVE-3",)),),
            states=frozenset({SHADOW}),
            state_rule="RELEASE-APPROVE-2",
            apply=approved,
            note_terms=frozenset({"activeFrom"}),
        ),
        "withdrawal": Action(
            "withdrawal",
            UC,
            (Policy("RELEASE-WITHDRAW-1", ONLY_OPERATOR, OPERATOR),),
            states=frozenset({PROPOSED, SHADOW, APPROVED}),
            state_rule="RELEASE-WITHDRAW-2",
            apply=becomes("releaseStatus", WITHDRAWN),
        ),
        "activation": Action(
            "activation",
            UC,
            by_node("RELEASE-ACTIVATE-1"),
            states=frozenset({APPROVED}),
            state_rule="RELEASE-ACTIVATE-2",
            apply=becomes("releaseStatus", ACTIVE),
            consequences=the_one_before_ends,
            is_nodes_own=True,
        ),
        "supersession": Action(
            "supersession",
            UC,
            by_node("RELEASE-SUPERSEDE-1"),
            states=frozenset({ACTIVE}),
            state_rule="RELEASE-SUPERSEDE-2",
            apply=becomes("releaseStatus", SUPERSEDED),
            is_nodes_own=True,
        ),
    },
)
