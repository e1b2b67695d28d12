"""What the client wants: Accept and Content-Type, conditional headers, preferences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fmar_node.errors import Malformed, NotAcceptable, UnsupportedMedia

MERGE_PATCH = "application/merge-patch+json"
MOST_CHARS, MOST_RANGES = 2_048, 50
"""Of a header that names what a client takes; what stands behind them is left out."""
NUMBER = re.compile(r"[0-9]{1,15}")
ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')


@dataclass(frozen=True, slots=True)
class Range:
    """A media range of an Accept header, with its quality and its place in the header."""

    name: str
    quality: float
    place: int

    @property
    def breadth(self) -> int:
        return 2 if self.name in ("*/*", "*") else 1 if self.name.endswith("/*") else 0

    def covers(self, name: str) -> bool:
        return self.name == name or self.breadth == 2 or (self.breadth == 1 and name.startswith(self.name[:-1]))


def ranges(header: str) -> list[Range]:
    """What a header like Accept names, in its order; a quality that is none is 0, a parameter that is none of quality is left out."""
    found = []
    for place, part in enumerate(header[:MOST_CHARS].split(",")[:MOST_RANGES]):
        name, *parameters = (each.strip() for each in part.split(";"))
        quality = next((each[2:] for each in parameters if each.lower().startswith("q=")), "1")
        if name:
            found.append(Range(name.lower(), _quality(quality), place))
    return found


def accepted(header: str) -> list[str]:
    """The ranges of a header, most wanted first; those with q=0 left out."""
    wanted = [each for each in ranges(header) if each.quality]
    return [each.name for each in sorted(wanted, key=lambda each: (-each.quality, each.breadth, each.place))]


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def preferred(header: str, offered: Sequence[str], also: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """The offered media types that an Accept header takes, most wanted first: of the ranges that cover a type the most specific one
    decides (RFC 9110, section 12.5.1). `also` gives an offered type another name by which it may be asked for. All of them
    where the header says nothing."""
    given = ranges(header)
    if not given:
        return list(offered)
    found = []
    for order, name in enumerate(offered):
        covering = [each for each in given if each.covers(name) or each.name == also.get(name)]
        if covering and (decides := min(covering, key=lambda each: (each.breadth, each.name != name, each.place))).quality:
            found.append((-decides.quality, decides.breadth, decides.place, order, name))
    return [name for *_, name in sorted(found)]


def best(header: str, offered: Sequence[str]) -> str:
    """The offered media type that the client wants most; the first offered one where it has no wish. NotAcceptable where it takes none."""
    if not (found := preferred(header, offered)):
        raise NotAcceptable("not-acceptable", f"this resource has {', '.join(offered)}")
    return found[0]


def content_type(header: str | None, taken: Sequence[str]) -> str:
    """The media type of a request body; UnsupportedMedia when it is none of those taken."""
    name, *parameters = (part.strip().lower() for part in (header or "").split(";"))
    charset = next((each.split("=", 1)[1].strip('"') for each in parameters if each.startswith("charset=")), "utf-8")
    if name not in taken:
        listed = ", ".join(taken)
        headers = {"Accept": listed} | ({"Accept-Patch": listed} if MERGE_PATCH in taken else {})
        raise UnsupportedMedia("unsupported-media-type", f"send one of {listed}", headers=headers)
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMedia("unsupported-media-type", f"charset {charset[:20]}; send UTF-8")
    return name


def entity_tags(header: str | None) -> tuple[str, ...] | None:
    """The shared parts of the tags in If-Match (`"<shared>.<format>"`), None without a header."""
    if header is None:
        return None
    if header.strip() == "*":
        return ("*",)
    tags = ENTITY_TAG.findall(header)
    if not tags:
        raise Malformed("malformed-request", 'an entity tag stands in quotes: If-Match: "..."')
    return tuple(tag.split(".")[0] for tag in tags)


def is_known(tag: str, header: str | None) -> bool:
    """Whether If-None-Match names this entity tag, format and all, or any (RFC 9110, section 13.1.2)."""
    return header is not None and (header.strip() == "*" or tag.strip('"') in ENTITY_TAG.findall(header))


def prefers_minimal(headers: Mapping[str, str]) -> bool:
    return "return=minimal" in headers.get("prefer", "").replace(" ", "").lower()


def prefers_async(headers: Mapping[str, str]) -> bool:
    """Whether whoever asks would rather be answered now and have the work done later (RFC 7240, section 4.1)."""
    return any(each.split(";")[0].strip().lower() == "respond-async" for each in headers.get("prefer", "").split(","))
