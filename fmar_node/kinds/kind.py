"""What a kind of record is: its actions, who may take them, in which states, by which rules.

Each kind is one declarative file beside this one. Rules kept here: default deny (an action without a
policy that permits is refused); every policy and rule has a code that errors and tests quote; a rule is a
pure function of the `Situation`, which reads the journal's own tables inside its transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from fmar_node.access.caller import Caller
from fmar_node.errors import Fault
from fmar_node.record import Version
from fmar_node.vocabulary import Document


@dataclass(frozen=True, slots=True)
class Claim:
    """A value that only one live record may have within a scope, e.g. a friendly code within an organisation."""

    scope: str
    value: str


class Register(Protocol):
    """What rules may ask of the register: the journal's current state."""

    def current(self, kind: str, id_: str) -> Version | None:
        """The newest version of a record."""
        ...

    def holder(self, claim: Claim) -> str | None:
        """The id of the record that holds a claim."""
        ...

    def found(self, scheme: str, value: str) -> list[str]:
        """The ids of the records that carry an identifier."""
        ...

    def live_assets(self, organisation: str) -> int:
        """How many assets that are not de-registered an organisation manages or owns."""
        ...


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything a policy or a rule may look at."""

    caller: Caller
    register: Register
    today: date
    document: Document
    previous: Version | None = None
    now: str = ""
    """The instant of recording, an xsd:dateTime."""
    note: Document = field(default_factory=dict)
    """The small document of a named action."""
    sources: frozenset[str] = frozenset()
    """The external sources that this node asks, as codes of EvidenceKind."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A yes or no with its reason."""

    permitted: bool
    policy: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """A named permission: who may take an action. The reason is shown to those who may not."""

    code: str
    reason: str
    permits: Callable[[Situation], bool]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over the state of the register: `faults` has everything that is wrong, under one of `codes`."""

    faults: Callable[[Situation], Iterable[Fault]]
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """Something that may happen to a record. `states` are those it may happen in (none: it makes the record)."""

    name: str
    use_cases: tuple[str, ...]
    policies: tuple[Policy, ...]
    rules: tuple[Rule, ...] = ()
    states: frozenset[str] = frozenset()
    state_rule: str = ""
    apply: Callable[[Situation], Document] = lambda situation: situation.document
    note_terms: frozenset[str] = frozenset()
    """The terms of the small document that the action takes (named actions only)."""
    note_class: str = ""
    """The class that the small document is read as, where it is not the record's own."""
    takes_document: bool = False
    is_nodes_own: bool = False
    """Taken by the node itself and by nobody over HTTP, and about a version that it names."""

    def verdict(self, situation: Situation) -> Verdict:
        """The first policy that permits, or the refusal of the last one."""
        for policy in self.policies:
            if policy.permits(situation):
                return Verdict(True, policy.code)
        refused = self.policies[-1]
        return Verdict(False, refused.code, refused.reason)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record. `plural` is its room in every URL, `class_name` its class in the ontology."""

    name: str
    plural: str
    class_name: str
    actions: Mapping[str, Action]
    defaults: Callable[[Document, date], dict[str, object]]
    plain_checks: Callable[[Document], list[Fault]]
    claims: Callable[[Document], set[Claim]]
    handles: Callable[[Document], set[tuple[str, str]]]
    filters: tuple[str, ...] = ()
    spelling: Callable[[Document], dict[str, object]] = lambda _: {}
    """The values that a document writes in another way than the register does, as the register writes them."""
