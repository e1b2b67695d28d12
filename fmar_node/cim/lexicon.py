"""What keys, types and ids of a CIM document mean.

Rules kept here: a context comes from the package, or declares known namespaces and names of theirs, and nothing else; ours is
not redefined; whatever namespace CIM was written in, names come out as the table has them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from fmar_node.cim import table as t
from fmar_node.vocabulary import FMAR, XSD

NEIGHBOURS = MappingProxyType({
    **t.ALIASES, FMAR: FMAR, XSD: XSD,
    **{each: each for each in (
        "http://www.w3.org/1999/02/22-rdf-syntax-ns#", "http://www.w3.org/2000/01/rdf-schema#", "http://www.w3.org/2002/07/owl#",
        "http://www.w3.org/2004/02/skos/core#", "http://purl.org/dc/terms/", "http://www.w3.org/ns/dcat#", "http://www.w3.org/ns/prov#",
        "https://cim.ucaiug.io/ns/prof-cim#", "https://cim4.eu/ns/dcatcim#", "https://cim4.eu/ns/Metadata-European#",
        "http://iec.ch/TC57/61970-552/ModelDescription/1#", "http://iec.ch/TC57/61970-552/DifferenceModel/1#",
        "http://iec.ch/TC57/1999/rdf-schema-extensions-19990926#", "http://ofgem.gov.uk/ns/CIM/LTDS/Extensions#",
    )},
})  # fmt: skip
"""Namespaces that a context may give a prefix: those of CIM, and what stands beside them in CIM documents."""
OURS = MappingProxyType({"cim": t.CIM, "nc": t.NC, "eu": t.EU, "fmar": FMAR, "xsd": XSD})
KNOWN: Mapping[str, str] = MappingProxyType({t.local(t.iri(name)): t.iri(name) for name in t.words()})
SAID_ANYWAY = (("@version", "1.1"), ("id", "@id"), ("type", "@type"))
"""What a context may say that is so without it."""


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words of one document: its prefixes, its names for single IRIs, and the namespace of bare words (empty for none)."""

    prefixes: Mapping[str, str]
    aliases: Mapping[str, str]
    vocab: str

    def name(self, key: str) -> str:
        """What the table calls it; empty where JSON-LD would drop it."""
        if key in self.aliases:
            return t.named(self.aliases[key])
        prefix, colon, rest = key.partition(":")
        if colon:
            return t.named(key if rest.startswith("//") else self.prefixes.get(prefix, f"{prefix}:") + rest)
        if self.vocab == FMAR and "." in key:
            return key  # so CIM writes its properties, and no term of ours is written so
        return t.named(self.vocab + key) if self.vocab else ""

    def id(self, text: str, iri: str, base_url: str) -> str:
        """The id that a text refers to, in a document about the record `iri`."""
        prefix, colon, rest = text.partition(":")
        if text.startswith("#"):
            return iri + text
        if colon and "/" not in prefix:
            return self.prefixes[prefix] + rest if prefix in self.prefixes and not rest.startswith("//") else text
        return f"{base_url}/{text.lstrip('/')}"


OUR_WORDS = Lexicon(OURS, KNOWN, FMAR)
"""Those of our own context."""


def lexicon_of(context: Any, is_meant: bool) -> Lexicon | None:
    """The words of a document with this context; None where it is no CIM document, or does more than name what is known."""
    given = context if isinstance(context, list) else [context]
    if given == [None]:
        return OUR_WORDS if is_meant else None
    declared: dict[str, Any] = {}
    for each in given:
        if isinstance(each, dict) and declared.keys().isdisjoint(each):
            declared |= each
        elif each != t.CONTEXT:
            return None
    words = {key: value for key, value in declared.items() if (key, value) not in SAID_ANYWAY}
    if not all(isinstance(value, str) for value in words.values()):
        return None
    return _beside_ours(words) if t.CONTEXT in given else _of_its_own(words)


def spaces_in(context: Any) -> set[str]:
    """The IRIs that a context gives names to."""
    given = context if isinstance(context, list) else [context]
    return {value for each in given if isinstance(each, dict) for value in each.values() if isinstance(value, str) and value.endswith(("#", "/"))}


def _beside_ours(words: Mapping[str, str]) -> Lexicon | None:
    """Our context, and prefixes beside those that it has."""
    new = {key: value for key, value in words.items() if OURS.get(key) != value}
    if not new.keys().isdisjoint({*OURS, *KNOWN}) or not _are_prefixes(new):
        return None
    return Lexicon({**OURS, **new}, KNOWN, FMAR) if new else OUR_WORDS


def _of_its_own(words: Mapping[str, str]) -> Lexicon | None:
    """Prefixes of namespaces, one of them of CIM; names of what is in these; a namespace of bare words."""
    vocab = words.get("@vocab", "")
    rest = {key: value for key, value in words.items() if key != "@vocab"}
    prefixes = {key: value for key, value in rest.items() if value in NEIGHBOURS}
    names = {key: Lexicon(prefixes, {}, "").name(value) for key, value in rest.items() if key not in prefixes}
    if not _are_prefixes(prefixes) or not t.ALIASES.keys() & {vocab, *prefixes.values()} or vocab not in {"", *NEIGHBOURS}:
        return None
    if not all(_is_name(key, name) for key, name in names.items()):
        return None
    return Lexicon(prefixes, {key: t.iri(name) for key, name in names.items()}, vocab)


def _are_prefixes(words: Mapping[str, str]) -> bool:
    return all(value in NEIGHBOURS and not key.startswith("@") for key, value in words.items())


def _is_name(key: str, name: str) -> bool:
    """Whether a word stands for something of CIM's or ours."""
    return not key.startswith("@") and bool(name) and (name.startswith(FMAR) or t.iri(name) != name)
