"""Every type of event, from the kinds that there are."""

from __future__ import annotations

from maker.markdown import code, page, table

from fmar_node.event import Happening, type_of
from fmar_node.followers.courier import CHALLENGE
from fmar_node.kinds import KINDS

MEANS = {
    Happening.APPEARED: "was not there for the receiver, and now is: it is new, or has come into view",
    Happening.CHANGED: "has other values in what the receiver sees",
    Happening.DISAPPEARED: "was there for the receiver, and no longer is",
}


def events() -> str:
    rows = [
        [code(type_of(plural, each)), f"{article(kind.name)} {MEANS[each]}", code(f"kind={plural}")]
        for plural, kind in KINDS.items()
        for each in Happening
    ]
    intro = (
        "The type of an event says what has become of a record as its receiver sees it; what an event holds is told in "
        "[events](../guides/events.md). `action` in its data, for those who see the whole record, is one of these:"
    )
    actions = [[code(plural), ", ".join(map(code, sorted(kind.actions)))] for plural, kind in KINDS.items()]
    challenge = f"{code(CHALLENGE)} is sent to an endpoint that has not been verified yet, and never stands in the feed."
    return page("Events", intro, table("kind | actions", actions), "## Types", table("type | the record | filter", rows), challenge)


def article(name: str) -> str:
    return f"{'an' if name[0] in 'aeio' else 'a'} {name.replace('-', ' ')}"
