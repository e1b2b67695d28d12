"""What happened in a request, for the security log: noted where it happens, written once, when the request is over.

Rules kept here: nothing is noted that came from the outside as text: organisations, users and records by UUID, applications
by the name under which they are registered, routes and not paths, codes, numbers, of a query its hash, and of a saved query the names
that whoever has written it has given it and its parameters. Reads are noted where they opened personal data; writes, queries,
tokens and sign-ins always; refusals of everything that there is. Whose credential was refused is told as claimed, and of an
access token believed only where this node has signed it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from fmar_node.access.caller import ANONYMOUS, Caller
from fmar_node.access.reveal import parties, tiers
from fmar_node.errors import FmarError
from fmar_node.read import Shown
from fmar_node.security_log import MOST_NAMED
from fmar_node.vocabulary import Document, Tier


@dataclass(slots=True)
class Noted:
    """What a request did. `event` is empty as long as it did nothing that is logged unless it is refused."""

    event: str = ""
    action: str = ""
    kind: str = ""
    record: str = ""
    is_trial: bool = False
    records: int = 0
    holders: set[str] = field(default_factory=set)
    """Whose personal data was read: the organisations that a record names as its own."""
    query: str = ""
    saved: str = ""
    """The name of a saved query, and those of its parameters that were given; their values never."""
    parameters: tuple[str, ...] = ()
    rows: int | None = None
    codes: dict[str, int] = field(default_factory=dict)
    """Of the refused rows of a batch."""
    who: Caller | None = None
    """Who it was where that is not the request's caller: of a token or a sign-in, whose it is."""
    claimed: str = ""
    """What names `who` where nobody has proved to be that: a `token` of this node that was refused, or no more than a `client_id`."""

    def saw(self, documents: Iterable[Document], caller: Caller) -> None:
        """Records were shown; those of which the caller sees what is personal are reads of personal data."""
        for document in documents:
            if Tier.PERSONAL in tiers(document, caller):
                self._saw(document)

    def proved(self, documents: Iterable[Document]) -> None:
        """Somebody without standing has proved authority over records by an identifier of theirs."""
        for document in documents:
            self._saw(document)

    def shown(self, shown: Shown, caller: Caller) -> None:
        """A version of a record was shown."""
        if shown.document is shown.version.document or Tier.PERSONAL in tiers(shown.version.document, caller):
            self._saw(shown.version.document)

    def _saw(self, document: Document) -> None:
        self.event = self.event or "read"
        self.records += 1
        self.holders.update(parties(document))

    def asked(self, text: str) -> None:
        """A query was asked."""
        self.event, self.query = "query", hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def wrote(self, action: str, *, is_trial: bool = False) -> None:
        """Something is being written, or tried."""
        self.event, self.action, self.is_trial = "write", action, is_trial

    def signed(self, event: str, action: str = "", who: Caller | None = None) -> None:
        """A token or a sign-in (`event`) was asked for; `who` it is for, once that is known."""
        self.event, self.action, self.who = event, action, who

    def claims(self, by: str, who: Caller | None) -> None:
        """A credential was refused, and names somebody; it is not said that the request came from there."""
        self.who, self.claimed = who, by if who else ""

    def refused_row(self, error: FmarError) -> None:
        """A row of a batch was refused."""
        code = policy_of(error) or error.code
        self.codes[code] = self.codes.get(code, 0) + 1

    def as_line(self, caller: Caller | None, refused: FmarError | None, status: int, size: int) -> dict[str, Any]:
        """The members of the line that have a value, but for those that Watch knows: request, method, route."""
        line: dict[str, Any] = {"outcome": "refused" if refused or status >= 400 else "granted", "status": status}
        line |= _named(self.who or caller or ANONYMOUS)
        if self.claimed:
            line["claimed"] = self.claimed
        if refused:
            line |= {"code": refused.code, **({"policy": policy_of(refused)} if refused.faults else {})}
        if self.kind:
            line["kind"] = self.kind
        if self.record:
            line["record"] = self.record
        if self.action:
            line["action"] = self.action
        if self.saved:
            line |= {"saved": self.saved, "parameters": list(self.parameters)}
        if self.event == "query":
            line |= {"query": self.query, "bytes": size, **({} if self.rows is None else {"rows": self.rows})}
        elif self.event == "write":
            line |= self._written()
        elif self.records:
            line |= {"records": self.records, "holders": sorted(self.holders)[:MOST_NAMED]}
        return line

    def _written(self) -> dict[str, Any]:
        line: dict[str, Any] = {"trial": True} if self.is_trial else {}
        if self.action == "batch":
            line |= {"records": self.records, "refusedRows": dict(Counter(self.codes).most_common(MOST_NAMED))}
        return line


def _named(caller: Caller) -> dict[str, Any]:
    names = {"organisation": caller.organisation, "application": caller.application, "actor": caller.actor, "user": caller.user, "issuer": caller.issuer}
    return {name: value for name, value in names.items() if value}


def policy_of(error: FmarError) -> str:
    """The policy or rule that refused, where one did."""
    return error.faults[0].code if error.faults else ""


def noted_of(request: Request) -> Noted:
    """What is noted of this request so far."""
    noted: Noted = request.scope["state"]["noted"]
    return noted
