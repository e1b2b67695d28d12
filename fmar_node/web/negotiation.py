"""What the client wants: Accept and Content-Type, conditional headers, preferences."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fmar_node.errors import Malformed, NotAcceptable, UnsupportedMedia

NUMBER = re.compile(r"[0-9]{1,15}")
ENTITY_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')


def accepted(header: str) -> list[str]:
    """The media ranges of an Accept header, most wanted first; those with q=0 left out."""
    ranges = []
    for place, part in enumerate(header.split(",")):
        name, *parameters = (each.strip() for each in part.split(";"))
        quality = next((each[2:] for each in parameters if each.lower().startswith("q=")), "1")
        if name:
            ranges.append((-_quality(quality), _breadth(name), place, name.lower()))
    return [name for quality, _, _, name in sorted(ranges) if quality < 0]


def _quality(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1.0)
    except ValueError:
        return 0.0


def _breadth(name: str) -> int:
    return 2 if name == "*/*" else 1 if name.endswith("/*") else 0


def best(header: str, offered: Sequence[str], otherwise: str | None = None) -> str:
    """The offered media type that the client wants most; the first offered one where it has no wish."""
    if not header.strip():
        return otherwise or offered[0]
    for wanted in accepted(header):
        if wanted in offered:
            return wanted
        if wanted == "*/*":
            return otherwise or offered[0]
        if wanted.endswith("/*"):
            matching = [each for each in offered if each.startswith(wanted[:-1])]
            if matching:
                return matching[0]
    raise NotAcceptable("not-acceptable", f"this resource has {', '.join(offered)}")


def content_type(header: str | None, taken: Sequence[str]) -> str:
    """The media type of a request body; UnsupportedMedia when it is none of those taken."""
    name, *parameters = (part.strip().lower() for part in (header or "").split(";"))
    charset = next((each.split("=", 1)[1].strip('"') for each in parameters if each.startswith("charset=")), "utf-8")
    if name not in taken:
        raise UnsupportedMedia("unsupported-media-type", f"send one of {', '.join(taken)}", headers={"Accept": ", ".join(taken)})
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
