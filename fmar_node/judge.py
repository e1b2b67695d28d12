"""Steps 3 and 5 of the write path: what a document says, and what the shapes say of it.

`judge` is a pure function, the same in a judge process, in `fmar validate` and in tests. `main` is
the judge process: a document that crashes a parser costs one request, not the node. A paper names the release that it is judged
by, and the process has those that it was given; by the candidate, where there is one, a document is judged beside, and only counted.

Rules kept here: all faults of a document at once, each once, on its field; what the node sets may be echoed
unchanged and never changed; defaults are filled before the shapes look.
"""

from __future__ import annotations

import json
import logging
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmar_node import frames, jsonld, logs, representation
from fmar_node.checks.catalogue import EMPTY, Catalogue, read_catalogue
from fmar_node.cim.draft import ILL_FORMED
from fmar_node.cim.table import MEANT
from fmar_node.cim.translation import Translated, translated
from fmar_node.composition import MOST_FAULTS, Reading, in_order, moved
from fmar_node.errors import Fault, FmarError, Invalid, Severity, Unavailable
from fmar_node.kinds import KINDS, Action, Kind
from fmar_node.launch import lasting
from fmar_node.settings import Settings
from fmar_node.vocabulary import RELEASE, Document, Term, TermKind, Tier, Vocabulary

if TYPE_CHECKING:
    from fmar_node.checks.shape import Shapes


log = logging.getLogger("fmar.judge")
AT_HAND = 3
"""Releases that a judge keeps beside the packaged one: the one in force, the candidate, and the one before."""


@dataclass(frozen=True, slots=True)
class Paper:
    """What is handed to a judge: bytes about the record `iri` of a kind, for an action, on a day.

    `previous` is the record's current document where there is one.
    """

    kind: str
    action: str
    iri: str
    media_type: str
    body: bytes
    today: date
    previous: Document | None = None
    release: str = RELEASE
    shadow: str = ""
    """The candidate that it is judged by beside; none where it is empty."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The record document as it would stand (or the note of a named action), and every fault found.

    Where another document was sent than this one is (CIM), `places` are pointers of this one to pointers of that. `shadow` are the
    constraints that stand against it in the candidate and not in the release that it was judged by.
    """

    document: Document = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict)
    release: str = ""
    shadow: tuple[str, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        said = {"document": self.document, "faults": [fault.as_json() for fault in self.faults], "places": dict(self.places), "release": self.release}
        return {**said, "shadow": list(self.shadow)} if self.shadow is not None else said

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Judgement:
        shadow = tuple(value["shadow"]) if "shadow" in value else None
        return cls(value["document"], tuple(fault_from_json(each) for each in value["faults"]), value["places"], value["release"], shadow)

    def placed(self, fault: Fault) -> Fault:
        """A fault of this document where it stands in the one that was sent."""
        return replace(fault, pointer=moved(fault.pointer, self.places)) if self.places else fault


def fault_from_json(value: Mapping[str, Any]) -> Fault:
    return Fault(
        value["code"], Severity(value["severity"]), value["message"],
        value["pointer"], value["field"], value.get("value"), value["constraint"],
    )  # fmt: skip


def judge(paper: Paper, vocabulary: Vocabulary, shapes: Shapes, settings: Settings, catalogue: Catalogue = EMPTY) -> Judgement:
    """The judgement of a document or note, by the release of this vocabulary. Malformed, TooLarge, Invalid where it cannot be read at all."""
    return replace(_judgement(paper, vocabulary, shapes, settings, catalogue), release=vocabulary.release)


def _judgement(paper: Paper, vocabulary: Vocabulary, shapes: Shapes, settings: Settings, catalogue: Catalogue) -> Judgement:
    kind = KINDS[paper.kind]
    action = kind.actions[paper.action]
    if not action.takes_document:
        return _judge_note(paper, kind, action, vocabulary, settings)
    media_type = paper.media_type.removesuffix(MEANT)
    sent = translated(
        paper.body, media_type, kind.class_name, paper.iri, paper.previous, vocabulary, settings, is_meant=media_type != paper.media_type
    )
    if sent is None:
        return _judged(jsonld.read(paper.body, media_type, kind.class_name, paper.iri, vocabulary, settings), paper, vocabulary, shapes, settings, catalogue)
    return _judged_as_sent(sent, paper, vocabulary, shapes, settings, catalogue)


def _judged_as_sent(sent: Translated, paper: Paper, vocabulary: Vocabulary, shapes: Shapes, settings: Settings, catalogue: Catalogue) -> Judgement:
    """The judgement of a CIM document: by the shapes of CIM as it stands, and of the document that it becomes."""
    found = _in_form(shapes.faults(sent.evidence.triples, f"cim/{KINDS[paper.kind].name}", sent.evidence.place))
    plain = {fault.pointer for fault in sent.faults if fault.code != ILL_FORMED}
    by_shapes = [fault for fault in found if fault.pointer not in plain]
    told = [*(fault for fault in sent.faults if fault.pointer not in {each.pointer for each in by_shapes}), *by_shapes]
    judgement = replace(_judged(sent.reading, paper, vocabulary, shapes, settings, catalogue), places=sent.places)
    known = {fault.pointer for fault in told if fault.severity is Severity.REJECT}
    later = [placed for placed in map(judgement.placed, judgement.faults) if placed.severity is Severity.FILLED or placed.pointer not in known]
    return replace(judgement, faults=(*told, *later))


def _in_form(faults: list[Fault]) -> list[Fault]:
    """The faults without those that a value has only because it is not of its form."""
    malformed = {fault.pointer for fault in faults if fault.constraint.endswith("-form")}
    return [fault for fault in faults if fault.constraint.endswith("-form") or fault.pointer not in malformed]


def _judged(reading: Reading, paper: Paper, vocabulary: Vocabulary, shapes: Shapes, settings: Settings, catalogue: Catalogue) -> Judgement:
    kind, faults = KINDS[paper.kind], list(reading.faults)
    document = _without_server_set(reading.document, paper.previous, vocabulary, faults)
    before, spelt = paper.previous or {}, kind.spelling(document)
    document = {**document, **spelt}
    known = catalogue.filled(document)
    filled = {name: before.get(name, value) for name, value in {**known, **kind.defaults({**document, **known}, paper.today)}.items()}
    faults += catalogue.doubts(document, vocabulary)
    document = {"id": document["id"], "type": document["type"], **in_order({**_values(document), **filled}, vocabulary)}
    faults += [_filled(name, value) for name, value in filled.items()]
    excused = {fault.pointer for fault in faults} | {f"/{name}" for name in reading.meant}
    judged = shapes.faults(representation.triples(document, vocabulary), kind.name, reading.pointers)
    judged += kind.plain_checks(document, vocabulary, settings)
    faults += [_hinted(fault, vocabulary) for fault in judged if fault.pointer not in excused and not _stays_valid(fault, document, paper.previous, vocabulary)]
    faults += [_spelt(vocabulary.terms[name], value) for name, value in spelt.items()]
    if len(faults) > MOST_FAULTS:
        raise Invalid("validation-failed", f"more than {MOST_FAULTS} faults; the first are listed", tuple(faults[:MOST_FAULTS]))
    return Judgement(document, tuple(faults))


def _hinted(fault: Fault, vocabulary: Vocabulary) -> Fault:
    """A fault of a code with the code that was most likely meant, and where the list is."""
    term = vocabulary.terms.get(fault.field)
    if term is None or term.kind is not TermKind.CODE or not fault.constraint.endswith("-code"):
        return fault
    return replace(fault, message=fault.message + vocabulary.code_hint(term.scheme, fault.value or ""))


def _stays_valid(fault: Fault, document: Document, previous: Document | None, vocabulary: Vocabulary) -> bool:
    """A code that has been deprecated stays valid on the records that have it (UC-02.01)."""
    term = vocabulary.terms.get(fault.field)
    if previous is None or term is None or not fault.constraint.endswith("-code"):
        return False
    return keeps_codes(term, document, previous, vocabulary)


def keeps_codes(term: Term, document: Document, previous: Document, vocabulary: Vocabulary) -> bool:
    """Whether every code of a term that is not active any more stood in the previous version already, in the record or in its parts."""
    codes = vocabulary.schemes[term.scheme].codes
    found = set(_said(term.name, document))
    return found <= codes.keys() and {each for each in found if not codes[each].is_active} <= set(_said(term.name, previous))


def _said(name: str, value: Any) -> Iterator[str]:
    """The values of a term in a document and its parts."""
    for key, given in value.items():
        for each in given if isinstance(given, list) else (given,):
            if isinstance(each, dict):
                yield from _said(name, each)
            elif key == name:
                yield each


def _values(document: Document) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("id", "type")}


def _without_server_set(
    document: Document, previous: Document | None, vocabulary: Vocabulary, faults: list[Fault]
) -> Document:
    """The document without what only the node sets; changed values of those are faults."""
    kept: Document = {}
    for name, value in document.items():
        term = vocabulary.terms.get(name)
        if term is None or not term.server_set:
            kept[name] = value
        elif previous is None or previous.get(name) != value:
            message = f"{name} is set by the node"
            faults.append(Fault(term.rule or "server-set", Severity.REJECT, message, f"/{name}", name, constraint="server-set"))
    return kept


def _filled(name: str, value: Any) -> Fault:
    return Fault("default", Severity.FILLED, f"{name} was filled with {value}", f"/{name}", name, str(value))


def _spelt(term: Term, value: Any) -> Fault:
    told = None if term.tier is Tier.PERSONAL else str(value)
    return Fault("spelling", Severity.FILLED, f"{term.name} is written {told or 'in another way'}", f"/{term.name}", term.name, told)


def _judge_note(paper: Paper, kind: Kind, action: Action, vocabulary: Vocabulary, settings: Settings) -> Judgement:
    """The small document of a named action: known terms in their form, codes that are active."""
    body = paper.body if paper.body.strip() else b"{}"
    class_name = action.note_class or kind.class_name
    reading = jsonld.read(body, paper.media_type, class_name, paper.iri, vocabulary, settings)
    faults, note = list(reading.faults), _values(reading.document)
    for name, value in note.items():
        term = vocabulary.terms[name]
        if name not in action.note_terms:
            faults.append(Fault("unknown-term", Severity.REJECT, f"{action.name} does not take {name}", f"/{name}", name))
        elif term.kind is TermKind.CODE:
            code = vocabulary.schemes[term.scheme].codes.get(value)
            if code is None or not code.is_active:
                message = f"{name} is not an active code of {term.scheme}{vocabulary.code_hint(term.scheme, str(value))}"
                faults.append(Fault(term.code, Severity.REJECT, message, f"/{name}", name, str(value)[:80]))
    return Judgement(note, tuple(faults))


def main(descriptor: str) -> None:
    """The judge process: papers in, judgements or coded refusals out, until the node hangs up."""
    logs.set_up_child("judge")
    sock = frames.inherited(descriptor)
    with lasting():
        settings, shelf = Settings(), Shelf()
    with suppress(ConnectionError):  # a node that was killed hangs up less politely
        while (frame := frames.receive(sock)) is not None:
            header, (body,) = frame
            if "settings" in header:
                settings = Settings(**header["settings"])
                logs.set_level(settings.log_level)
                shelf.catalogue = _catalogue(settings, shelf.packaged.vocabulary)
                resource.setrlimit(resource.RLIMIT_AS, (settings.judge_memory_bytes, resource.RLIM_INFINITY))
            frames.send(sock, _answer(header, body, shelf, settings))


def _catalogue(settings: Settings, vocabulary: Vocabulary) -> Catalogue:
    """The node's catalogue of devices; one that cannot be read any more fills nothing."""
    try:
        return read_catalogue(Path(settings.device_catalogue), vocabulary, settings) if settings.device_catalogue else EMPTY
    except FmarError as error:
        log.error("no catalogue of devices: %s", error)
        return EMPTY


class Shelf:
    """The releases that a judge has at hand: the packaged one, and the last that it was given."""

    def __init__(self) -> None:
        from fmar_node.checks.shape import Shapes  # and with it rdflib: only judges pay for it

        self.make, vocabulary = Shapes, Vocabulary.load()
        self.given: dict[str, Shapes] = {}
        self.packaged = Shapes(vocabulary)
        self.catalogue = EMPTY

    def put(self, release: str, files: Mapping[str, str]) -> None:
        """One more release, ready for its first document; the one that has been here longest goes where there are too many."""
        shapes = self.make(self.packaged.vocabulary.released(release, files))
        for kind in KINDS.values():
            if f"shapes/{kind.name}.ttl" in files:
                shapes.of(kind.name)
        self.given[release] = shapes
        while len(self.given) > AT_HAND:
            del self.given[next(iter(self.given))]

    def of(self, release: str) -> Shapes:
        return self.given.get(release, self.packaged)

    def judge(self, paper: Paper, settings: Settings) -> Judgement:
        """The judgement by the release that the paper names; by the candidate beside, where there is one."""
        shapes = self.of(paper.release)
        if shapes.vocabulary.release != paper.release:
            raise Unavailable("release-changed", "this judge does not have the release; nothing was written", headers={"Retry-After": "1"})
        judgement = judge(paper, shapes.vocabulary, shapes, settings, self.catalogue)
        if paper.shadow not in self.given or not KINDS[paper.kind].actions[paper.action].takes_document:
            return judgement
        return replace(judgement, shadow=self._beside(paper, judgement, settings))

    def _beside(self, paper: Paper, judgement: Judgement, settings: Settings) -> tuple[str, ...]:
        """What stands against the document in the candidate alone; never a refusal, whatever the candidate makes of it."""
        shapes = self.given[paper.shadow]
        try:
            candidate = judge(paper, shapes.vocabulary, shapes, settings, self.catalogue)
        except FmarError as error:
            return (error.code,)
        except Exception:
            log.exception("a document could not be judged by the candidate: %s %s", paper.kind, paper.action)
            return ("internal-error",)
        return tuple(sorted(_blocking(candidate) - _blocking(judgement)))


def _blocking(judgement: Judgement) -> set[str]:
    """The constraints that stand in the way of a document; those that it answers with a justification do not."""
    answered = {each.get("rule") for each in judgement.document.get("justification", ())}
    grave = [each for each in judgement.faults if each.severity is Severity.REJECT or (each.severity is Severity.JUSTIFY and each.code not in answered)]
    return {each.constraint or each.code for each in grave}


def _answer(header: Mapping[str, Any], body: bytes, shelf: Shelf, settings: Settings) -> dict[str, Any]:
    if "release" in header:
        shelf.put(header["release"], json.loads(body))
    if "paper" not in header:
        return {"ready": True}
    given = dict(header["paper"])
    paper = Paper(**{**given, "today": date.fromisoformat(given["today"])}, body=body)
    try:
        return {"judgement": shelf.judge(paper, settings).as_json()}
    except FmarError as error:
        return {"refusal": refusal_as_json(error)}
    except Exception:
        log.exception("a document could not be judged: %s %s", paper.kind, paper.action)
        return {"refusal": refusal_as_json(Invalid("validation-failed", "this document could not be judged"))}


def refusal_as_json(error: FmarError) -> dict[str, Any]:
    """A coded refusal for its way to another process."""
    return {
        "class": type(error).__name__,
        "code": error.code,
        "detail": error.detail,
        "faults": [fault.as_json() for fault in error.faults],
        "members": error.members,
        "headers": error.headers,
    }
