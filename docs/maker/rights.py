"""Who sees what, who may do what, and which use cases that makes: worked out with the functions that decide it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maker.markdown import code, page, table
from maker.words import ACTORS, CALLERS, RECORDS, RELATIONS, SUPPORT, USE_CASES

from fmar_node.access.caller import ANONYMOUS, Caller, caller_of
from fmar_node.access.reveal import SEES, Relation, tiers
from fmar_node.kinds import KINDS, Action, Kind, Situation
from fmar_node.record import Actor, Version
from fmar_node.vocabulary import Tier

BASE = "https://node.example"


def policies() -> str:
    sight = [[code(relation.value), RELATIONS[relation.value], *("yes" if tier in SEES[relation] else "" for tier in Tier)] for relation in Relation]
    seen = [[name, *(_seen(document, caller) for document in records().values())] for name, caller in callers().items()]
    parts = [
        "## Who sees what",
        "A caller sees a record through its relations to it; each relation opens whole disclosure tiers "
        "(`fmar_node/access/reveal.py`). Who has none sees nothing: 404, the same as for what does not exist.",
        table("relation | is | " + " | ".join(tier.value for tier in Tier), sight),
        "Worked out with `reveal` itself for the callers below:",
        table("caller | " + " | ".join(records()), seen),
    ]
    for kind in KINDS.values():
        may = [[code(name), *(_may(action, each, kind) for each in callers().values())] for name, action in kind.actions.items()]
        parts += [f"## Who does what: {kind.name}", table("action | use case | policy | states | rules", _action_rows(kind))]
        parts += ["Worked out with the policies themselves:", table("action | " + " | ".join(callers()), may)]
    note = "Refusals quote the code of the policy, the state rule or the rule. Where the caller does not see the record at all, the answer is 404."
    return page("Policies", note, *parts)


def callers() -> dict[str, Caller]:
    """The callers of `CALLERS`, made of organisation documents as the node makes them."""
    made = {}
    for name, (organisation, roles, areas, status) in CALLERS.items():
        iri = f"{BASE}/organisations/{ACTORS[organisation]}"
        made[name] = caller_of({"id": iri, "organisationRoles": roles, "licenceArea": areas, "organisationStatus": status})
    return {**made, "nobody": ANONYMOUS}


def records() -> dict[str, dict[str, Any]]:
    """The documents of `RECORDS`, with IRIs for the names of organisations."""
    named = {f"@{name}": f"{BASE}/organisations/{number}" for name, number in ACTORS.items()}
    return {name: {term: named.get(str(value), value) for term, value in document.items()} for name, document in RECORDS.items()}


def _seen(document: dict[str, Any], caller: Caller) -> str:
    found = tiers(document, caller)
    return "all" if found == frozenset(Tier) else ", ".join(tier.value for tier in Tier if tier in found) or "nothing"


def _may(action: Action, caller: Caller, kind: Kind) -> str:
    document = next(each for each in records().values() if each["type"] == kind.class_name)
    previous = None if action.name == "register" else Version(kind.plural, document["id"].rsplit("/", 1)[-1], 1, 0, "register", "", Actor(""), document)
    return "yes" if action.verdict(Situation(caller, None, None, document, previous)).permitted else ""  # type: ignore[arg-type]


def _action_rows(kind: Kind) -> Iterator[list[str]]:
    for name, action in kind.actions.items():
        allowed = "; ".join(f"`{policy.code}`: {policy.reason}" for policy in action.policies)
        states = ", ".join(code(state) for state in sorted(action.states)) + (f" (`{action.state_rule}`)" if action.state_rule else "")
        named = ", ".join(dict.fromkeys(code(each) for rule in action.rules for each in rule.codes))
        yield [code(name), ", ".join(action.use_cases), allowed, states, named]


def use_cases() -> str:
    done = {id_: [f"{kind.name} {name}" for kind in KINDS.values() for name, action in kind.actions.items() if id_ in action.use_cases] for id_ in USE_CASES}
    named = {id_ for kind in KINDS.values() for action in kind.actions.values() for id_ in action.use_cases}
    if unknown := named - USE_CASES.keys():
        raise ValueError(f"kinds name use cases that docs/maker/words.py does not: {unknown}")
    rows = [[id_, title, ", ".join(map(code, done[id_])), *SUPPORT.get(id_, ("", "not yet", ""))] for id_, title in USE_CASES.items()]
    if silent := [id_ for id_ in named if id_ not in SUPPORT]:
        raise ValueError(f"docs/maker/words.py does not say how far these are covered: {silent}")
    covered = [sum(row[4].startswith(word) for row in rows) for word in ("covered", "in part", "not yet")]
    intro = f"The catalogue has {len(rows)} use cases; of these {covered[0]} are covered, {covered[1]} in part, {covered[2]} not yet. Numbers follow the catalogue's list."
    return page("Use cases", intro, table("use case | title | actions | also by | status | remark", rows))
