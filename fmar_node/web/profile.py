"""In which profile a record is told: as it is (`fmar`), with labels (`labelled`), or as the Common Information Model has it (`cim`).

Rules kept here: what is told in another profile is the document that the caller sees, and nothing beside it; a profile that
there is not is refused with those that there are, before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from starlette.datastructures import QueryParams

from fmar_node.cim.projection import CIM, CIM_100
from fmar_node.cim.table import MEANT, TABLES
from fmar_node.errors import Malformed, NotAcceptable
from fmar_node.jsonld import MEDIA_TYPES, RDF_XML
from fmar_node.representation import FLAT, LABELLED, Profile

PARAMETERS = frozenset({"profile", "namespace"})
NAMESPACES: Mapping[str, Profile] = MappingProxyType({"cim": CIM, "cim100": CIM_100})
"""The namespaces of CIM that a record may be given out under."""


def profiles(class_name: str) -> tuple[Profile, ...]:
    """The profiles of a class of records, the one that is meant without a word first."""
    return (FLAT, LABELLED, CIM) if class_name in TABLES else (FLAT, LABELLED)


def taken(class_name: str) -> tuple[str, ...]:
    """The media types that documents of a class of records come in."""
    return (*MEDIA_TYPES, RDF_XML) if class_name in TABLES else MEDIA_TYPES


def profile_of(asked: QueryParams, class_name: str) -> Profile:
    """The profile that a request asks for. NotAcceptable, Malformed."""
    offered = {each.name: each for each in profiles(class_name)}
    names, spaces = asked.getlist("profile") or [FLAT.name], asked.getlist("namespace")
    if len(names) > 1 or names[0] not in offered:
        raise NotAcceptable("profile-not-offered", f"profiles of this resource are {', '.join(offered)}")
    if not spaces:
        return offered[names[0]]
    if names[0] != CIM.name or len(spaces) > 1 or spaces[0] not in NAMESPACES:
        raise Malformed("malformed-request", f"namespace goes with profile=cim and is one of {', '.join(NAMESPACES)}")
    return NAMESPACES[spaces[0]]


def links(iri: str, profile: Profile, class_name: str) -> str:
    """What a Link header says of the profiles of a record: which one this is, and where the others are."""
    others = [f'<{iri}{each.query}>; rel="alternate"; profile="{each.iri}"' for each in profiles(class_name) if each.name != profile.name]
    return ", ".join(("", f'<{profile.iri}>; rel="profile"', *others))


def meant(media_type: str, profile: Profile) -> str:
    """The media type of a body, with the profile that it is in where it does not say so itself."""
    return media_type + MEANT if profile.name == CIM.name else media_type
