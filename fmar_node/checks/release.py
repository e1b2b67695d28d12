"""What is wrong with a proposed release, told before anything is judged by it: its files, its codes, its shapes, its level.

Rules kept here: a release changes code lists that documents choose from, and shapes, and no term: those are the package's; a code
that was there stays there and means what it meant; the codes that a shape lists are the active ones; shapes are SHACL Core, of names
of their own, and judge in bounded time; what is not compiled is told, not skipped; a release says how grave it is, and is no graver.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import pyoxigraph as ox
import rdflib
from rdflib.namespace import RDF, SH

from fmar_node import jsonld
from fmar_node.checks.compiled import COMPONENTS, NO_CONSTRAINTS, RECURSION, facts_of
from fmar_node.checks.grade import LEVELS, changes
from fmar_node.checks.shape import SEVERITIES, Shapes, graph_of, named_throughout
from fmar_node.checks.shape_file import mistakes_in
from fmar_node.composition import CODE_TEXT
from fmar_node.errors import Fault, FmarError, Severity
from fmar_node.representation import LD_JSON, triples
from fmar_node.settings import Settings
from fmar_node.vocabulary import (
    CODES,
    FMAR,
    RDF_TYPE,
    SHAPES,
    SKOS,
    Document,
    Vocabulary,
    packaged,
    shape_names,
    turtle,
)

LISTS = frozenset({
    "AssetCategory", "ConnectionStatus", "ConnectionType", "DemandTechType", "DeregistrationReason", "DNOCode", "EnergySource", "GSPGroup",
    "IdentifierScheme", "MpanUnknownReason", "OrganisationType", "OtherKind",
})  # fmt: skip
"""The code lists that documents choose from. Those of states, roles and permissions are the node's own workings."""
OWN_SHAPES = "release"
"""What a release is judged by is no matter of a release: a wrong one could not be mended by the next."""
NOT_COMPILED = frozenset({
    "qualifiedValueShape", "qualifiedMinCount", "qualifiedMaxCount", "qualifiedValueShapesDisjoint",
    "alternativePath", "inversePath", "zeroOrMorePath", "oneOrMorePath", "zeroOrOnePath",
})  # fmt: skip
"""The rest of SHACL Core, which pyshacl alone judges."""
VALUES = frozenset({
    "NodeShape", "PropertyShape", "Violation", "Warning", "Info", "IRI", "BlankNode", "Literal", "BlankNodeOrIRI", "BlankNodeOrLiteral", "IRIOrLiteral",
})  # fmt: skip
CORE = NO_CONSTRAINTS | NOT_COMPILED | VALUES | {str(each).removeprefix(str(SH)) for each in COMPONENTS}
NEEDED = ("notation", "prefLabel", "definition")
Codes = Mapping[str, Mapping[str, list[str]]]
"""The concepts of a list: IRI -> predicate -> values."""


def faults(files: Mapping[str, str], document: Document, vocabulary: Vocabulary, settings: Settings) -> list[Fault]:
    """Everything that is wrong with the files of a release that is proposed over the one of this vocabulary."""
    found = [*_misnamed(document), *_too_much(files, vocabulary, settings)]
    graphs: dict[str, Any] = {}
    found += [] if found else [fault for place, each in _placed(document) for fault in _unread(place, each, graphs)]
    if found or not files:
        return found
    candidate = vocabulary.released("candidate", {**vocabulary.files, **files})
    shapes = Shapes(candidate)
    for place, each in _placed(document):
        name, text = each["fileName"], each["fileText"]
        if name.startswith("codes/"):
            found += _in_codes(place, name.removeprefix("codes/").removesuffix(".ttl"), text, vocabulary)
        else:
            found += _in_shapes(place, name.removeprefix("shapes/").removesuffix(".ttl"), graphs[name], shapes)
    found += [] if found else _unlisted(candidate)
    if any(fault.severity is Severity.REJECT for fault in found):
        return found
    return [*found, *_graver(graphs, document, vocabulary), *_of_examples(files, vocabulary, shapes, settings)]


# -- files


@cache
def names() -> frozenset[str]:
    """The files that a release may have."""
    return frozenset({f"codes/{name}.ttl" for name in LISTS} | {f"shapes/{name}.ttl" for name in shape_names() if name != OWN_SHAPES and not name.startswith("quality/")})


def _placed(document: Document) -> Iterator[tuple[str, Document]]:
    for place, each in enumerate(document.get("releaseFile", ())):
        if each.keys() >= {"fileName", "fileText"}:
            yield f"/releaseFile/{place}", each


def _misnamed(document: Document) -> Iterator[Fault]:
    """Files of the closed set, each once."""
    seen: set[str] = set()
    for place, each in _placed(document):
        name = each["fileName"]
        if name not in names():
            message = f"{name[:80]} is no file that a release changes; there are {', '.join(sorted(names()))}. Terms, contexts, rules of quality and the lists that the node itself works with come with the package"
            yield Fault("RELEASE-FILE-1", Severity.REJECT, message, f"{place}/fileName", "fileName")
        elif name in seen:
            yield Fault("RELEASE-FILE-2", Severity.REJECT, f"{name} stands twice", f"{place}/fileName", "fileName")
        seen.add(name)


def _too_much(files: Mapping[str, str], vocabulary: Vocabulary, settings: Settings) -> Iterator[Fault]:
    """So many bytes together, those of the files that it takes over included; and a difference."""
    size = sum(len(text.encode()) for text in {**vocabulary.files, **files}.values())
    if size > settings.release_bytes:
        message = f"the release has {size} bytes with what it takes over from the one in force; this node takes {settings.release_bytes}"
        yield Fault("RELEASE-FILE-3", Severity.REJECT, message, "/releaseFile", "releaseFile")
    for name in sorted(files.keys() & names()):
        if files[name] == vocabulary.text(name):
            message = f"{name} is as it is in force; leave it out"
            yield Fault("RELEASE-FILE-4", Severity.REJECT, message, "/releaseFile", "releaseFile")


def _unread(place: str, file: Document, graphs: dict[str, Any]) -> Iterator[Fault]:
    """Turtle; what it says is put to the others."""
    try:
        graphs[file["fileName"]] = graph_of(turtle(file["fileText"]))
    except (SyntaxError, ValueError) as error:
        yield Fault("RELEASE-FILE-5", Severity.REJECT, f"this is not Turtle: {str(error)[:300]}", f"{place}/fileText", "fileText")


# -- code lists


def codes_in(text: str, scheme: str) -> Codes:
    """The concepts of a list, as its file has them."""
    listed: dict[str, dict[str, list[str]]] = {}
    for triple in turtle(text):
        subject = getattr(triple.subject, "value", "")
        if subject.startswith(f"{CODES}{scheme}#"):
            listed.setdefault(subject, {}).setdefault(triple.predicate.value, []).append(getattr(triple.object, "value", ""))
    return listed


def _in_codes(place: str, scheme: str, text: str, vocabulary: Vocabulary) -> Iterator[Fault]:
    """Codes that were there are there, mean what they meant, and are whole."""
    before, after = codes_in(vocabulary.text(f"codes/{scheme}.ttl"), scheme), codes_in(text, scheme)
    where = f"{place}/fileText"
    stems = (f"{CODES}{scheme}", f"{CODES}{scheme}#")
    strange = {str(getattr(each.subject, "value", "a blank node")) for each in turtle(text)} - {stems[0], *after}
    for subject in sorted(strange):
        yield Fault("RELEASE-CODES-1", Severity.REJECT, f"{subject[:120]} is no code of {scheme}", where, "fileText")
    for code, facts in sorted(after.items()):
        if wrong := _wrong(code, facts, scheme):
            yield Fault("RELEASE-CODES-2", Severity.REJECT, f"{code.removeprefix(stems[1])[:60]} {wrong}", where, "fileText")
    for code in sorted(before.keys() - after.keys()):
        message = f"{code.removeprefix(stems[1])} is gone: a code that was there stays, and is deprecated by fmar:active false"
        yield Fault("RELEASE-CODES-3", Severity.REJECT, message, where, "fileText")
    for code in sorted(before.keys() & after.keys()):
        if _has_another_meaning(before[code], after[code]):
            message = f"{code.removeprefix(stems[1])} has another definition: a code keeps its meaning; where only the wording is amended, a new skos:changeNote says so"
            yield Fault("RELEASE-CODES-4", Severity.REJECT, message, where, "fileText")


def _wrong(code: str, facts: Mapping[str, list[str]], scheme: str) -> str:
    """What is wrong with one concept by itself; empty where nothing is."""
    notation = code.rsplit("#", 1)[-1]
    if CODE_TEXT.fullmatch(notation) is None or facts.get(f"{SKOS}notation") != [notation]:
        return "has not exactly one skos:notation, the end of its IRI"
    if facts.get(f"{SKOS}inScheme") != [f"{CODES}{scheme}"] or facts.get(RDF_TYPE) != [f"{SKOS}Concept"]:
        return f"is not a skos:Concept in the scheme {scheme} alone"
    if missing := [each for each in NEEDED if len(facts.get(f"{SKOS}{each}", ())) != 1]:
        return f"has not exactly one skos:{missing[0]}"
    if facts.get(f"{FMAR}active") not in (["true"], ["false"]):
        return "does not say whether it is active (fmar:active true or false)"
    return ""


def _has_another_meaning(before: Mapping[str, list[str]], after: Mapping[str, list[str]]) -> bool:
    definition, note = f"{SKOS}definition", f"{SKOS}changeNote"
    is_stated = bool(set(after.get(note, ())) - set(before.get(note, ())))
    return before.get(definition) != after.get(definition) and not is_stated


# -- shapes


def _in_shapes(place: str, kind: str, graph: Any, shapes: Shapes) -> Iterator[Fault]:
    """Core, named, compiled or said not to be."""
    where = f"{place}/fileText"
    for said in mistakes_in(graph, shapes.vocabulary):
        yield Fault("RELEASE-SHAPES-1", Severity.REJECT, said, where, "fileText")
    for said in _beyond_core(graph, kind):
        yield Fault("RELEASE-SHAPES-2", Severity.REJECT, said, where, "fileText")
    try:
        prepared = named_throughout(shapes.of(kind))
        _ = prepared.judge
    except Exception as error:  # whatever an engine of shapes makes of what is no shape
        yield Fault("RELEASE-SHAPES-3", Severity.REJECT, f"these shapes cannot be prepared: {str(error)[:300]}", where, "fileText")
        return
    for shape, reason in sorted(prepared.compiled.unsupported.items()):
        if reason == RECURSION:
            yield Fault("RELEASE-SHAPES-2", Severity.REJECT, f"{_local(shape)} refers to itself, and SHACL leaves open what that means", where, "fileText")
            continue
        message = f"{_local(shape)} is not compiled ({reason}): pyshacl is asked of every document, which takes about ten times as long"
        yield Fault("RELEASE-SHAPES-4", Severity.WARN, message, where, "fileText")


def _beyond_core(graph: Any, kind: str) -> Iterator[str]:
    """What shapes of a register do not have, and what a shape without a name or a message lacks."""
    own = f"{SHAPES}{kind}"
    for term in sorted({str(term) for triple in graph for term in triple if isinstance(term, rdflib.URIRef) and term.startswith(str(SH))}):
        if term.removeprefix(str(SH)) not in CORE:
            yield f"sh:{term.removeprefix(str(SH))} is not of SHACL Core, and shapes of a register have nothing else"
    for subject in sorted({str(each) for each in graph.subjects() if isinstance(each, rdflib.URIRef)}):
        if subject != own and not subject.startswith(f"{own}#"):
            yield f"{subject[:120]} is not a name of this file: they begin with {own}#"
    for shape in sorted(set(graph.subjects(SH.severity)), key=str):
        if len(list(graph.objects(shape, SH.message))) != 1 or "-" not in _local(shape) or not isinstance(shape, rdflib.URIRef):
            yield f"{_local(shape)} has not exactly one sh:message and a name of a code, a hyphen and a word"
    if (None, rdflib.OWL.imports, None) in graph:
        yield "owl:imports: a file of shapes stands by itself"


def _local(shape: Any) -> str:
    return str(shape).rsplit("#", 1)[-1] if isinstance(shape, rdflib.URIRef) else "a shape without an IRI"


def _unlisted(candidate: Vocabulary) -> Iterator[Fault]:
    """Every list of codes in a shape has exactly the active ones."""
    severities = {str(each) for each in SEVERITIES}
    for name in shape_names():
        facts = facts_of(candidate.shapes[name])
        for shape, of_shape in facts.items():
            paths = [getattr(each, "value", "") for each in of_shape.get(str(SH.path), ())]
            term = candidate.by_iri.get(paths[0]) if paths else None
            heads = list(of_shape.get(str(SH["in"]), ()))
            if not heads or term is None or not term.scheme or severities.isdisjoint(getattr(each, "value", "") for each in of_shape.get(str(SH.severity), ())):
                continue
            listed = {getattr(each, "value", "") for each in _items(facts, heads[0])}
            active = {code.iri for code in candidate.schemes[term.scheme].codes.values() if code.is_active}
            if wrong := sorted(each.rsplit("#", 1)[-1] for each in listed ^ active):
                message = f"{getattr(shape, 'value', '').rsplit('#', 1)[-1]} in shapes/{name}.ttl does not list exactly the active codes of {term.scheme}: see {', '.join(wrong[:10])}"
                yield Fault("RELEASE-CODES-5", Severity.REJECT, message, "/releaseFile", "releaseFile")


def _items(facts: Any, head: Any) -> Iterator[Any]:
    while head in facts:
        yield from facts[head].get(str(RDF.first), ())
        head = next(iter(facts[head].get(str(RDF.rest), ())), None)


# -- how grave it is


def _graver(graphs: Mapping[str, Any], document: Document, vocabulary: Vocabulary) -> Iterator[Fault]:
    """The level is that of the gravest change, or a graver one."""
    level = document.get("releaseLevel", "")
    if level not in LEVELS:
        return
    found = [each for name in sorted(graphs) for each in changes(name, graph_of(turtle(vocabulary.text(name))), graphs[name])]
    gravest = max((each.level for each in found), key=LEVELS.index, default=LEVELS[0])
    if LEVELS.index(level) < LEVELS.index(gravest):
        what = "; ".join(each.told for each in found if each.level == gravest)
        yield Fault("RELEASE-LEVEL-1", Severity.REJECT, f"this release is {gravest}, not {level}: {what[:400]}", "/releaseLevel", "releaseLevel", level)


def _of_examples(files: Mapping[str, str], vocabulary: Vocabulary, after: Shapes, settings: Settings) -> Iterator[Fault]:
    """The examples that everybody starts from: which of them it would refuse, and the release in force does not."""
    before = Shapes(vocabulary)
    for file in sorted((packaged("examples") / "documents").glob("*.json")):
        class_name = "Organisation" if file.stem.startswith("organisation") else "Asset"
        if f"shapes/{class_name.lower()}.ttl" not in files:
            continue
        iri = f"{settings.base_url}/{class_name.lower()}s/{file.stem}"
        try:
            document = jsonld.read(file.read_bytes(), LD_JSON, class_name, iri, vocabulary, settings).document
        except FmarError:  # one in CIM
            continue
        new = _constraints(after, document, class_name.lower())
        if more := sorted(new and new - _constraints(before, document, class_name.lower())):
            yield Fault("RELEASE-EXAMPLE-1", Severity.WARN, f"the example {file.name} would have more against it: {', '.join(more)}", "/releaseFile", "releaseFile")


def _constraints(shapes: Shapes, document: Document, kind: str) -> set[str]:
    found: Iterable[ox.Triple] = triples(document, shapes.vocabulary)
    return {fault.constraint for fault in shapes.faults(found, kind, {})}
