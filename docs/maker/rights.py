"""Who sees what, who may do what, and which use cases that makes: worked out with the functions that decide it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from maker.markdown import code, page, table
from maker.words import ACTORS, CALLERS, RECORDS, RELATIONS, SUPPORT, USE_CASES

from fmar_node.access.caller import ANONYMOUS, Caller, Grant, Permission, Role, caller_of
from fmar_node.access.reveal import SEES, Relation, tiers
from fmar_node.kinds import KINDS, Action, Kind
from fmar_node.kinds.kind import FORBIDDING, Standing, decide
from fmar_node.vocabulary import Tier

BASE = "https://node.example"


def policies() -> str:
    sight = [[code(relation.value), RELATIONS[relation.value], *("yes" if tier in SEES[relation] else "" for tier in Tier)] for relation in Relation]
    seen = [[name, *(_seen(document, caller) for document in records().values())] for name, caller in callers().items()]
    parts = [
        "## Who sees what",
        "A caller sees a record through its relations to it; each relation opens whole disclosure tiers "
        "(`fmar_node/access/reveal.py`). Who has none sees nothing: 404, the same as for what does not exist. Who acts on behalf of "
        "another sees what that one has granted, and what is public.",
        table("relation | is | " + " | ".join(tier.value for tier in Tier), sight),
        "Worked out with `reveal` itself for the callers below:",
        table("caller | " + " | ".join(records()), seen),
        "## Who does what",
        "One pure function, `decide` in `fmar_node/kinds/kind.py`, works out every cell; nothing is allowed that no policy permits. "
        "What forbids is looked at first:",
        table("policy | forbids", [[code(name), reason] for name, reason in FORBIDDING.items()]),
        "Besides, an organisation that is not active does nothing but read, and an action is taken only in the states that it names. "
        "In the matrices below a cell holds the relations to the record through which an active organisation of that role may take "
        "the action, `any` where it needs none, and nothing where it may not. *On behalf* is what has to be granted to whoever does it for "
        "another (nothing: nobody may), *person* the least role of a person who does it for its organisation.",
    ]
    for kind in KINDS.values():
        cells = [[code(name), *(_cell(action, role) for role in EVERYBODY), *_conditions(action)] for name, action in kind.actions.items()]
        parts += [f"### {kind.name}", table("action | " + " | ".join(map(_named, EVERYBODY)) + " | on behalf | person", cells)]
        parts += [table("action | use case | policy | states | rules", _action_rows(kind))]
    note = "Refusals quote the code of the policy, the state rule or the rule. Where the caller does not see the record at all, the answer is 404."
    return page("Policies", note, *parts)


EVERYBODY = (*Role, None)
"""The columns of the matrices: every role, and an organisation that has none of these."""


def _named(role: Role | None) -> str:
    return role.value if role else "other"


def _cell(action: Action, role: Role | None) -> str:
    """The relations through which the role may take the action."""
    roles = frozenset({role} if role else ())
    if decide(action, Standing(roles)).permitted:
        return "any"
    return ", ".join(relation.value for relation in Relation if decide(action, Standing(roles, frozenset({relation}))).permitted)


def _conditions(action: Action) -> tuple[str, str]:
    if action.is_nodes_own:
        return "", "the node"
    return code(action.permission.value) if action.permission else "", code(action.user_role.value)


def callers() -> dict[str, Caller]:
    """The callers of `CALLERS`, made of organisation documents as the node makes them."""
    made = {}
    for name, (organisation, roles, areas, status) in CALLERS.items():
        iri = f"{BASE}/organisations/{ACTORS[organisation]}"
        made[name] = caller_of({"id": iri, "organisationRoles": roles, "licenceArea": areas, "organisationStatus": status})
    granted = {ACTORS["manager"]: (Grant(frozenset({Permission.READ, Permission.PASSPORT})),)}
    personal = {ACTORS["manager"]: (Grant(frozenset({Permission.READ_PERSONAL, Permission.CONTACTS})),)}
    made["platform with READ and PASSPORT"] = replace(made["platform"], grants=granted)
    made["platform with READ_PERSONAL and CONTACTS"] = replace(made["platform"], grants=personal)
    made["platform on behalf of the managing FSP, READ"] = replace(made["managing FSP"], actor=ACTORS["other"], grants=granted)
    return {**made, "nobody": ANONYMOUS}


def records() -> dict[str, dict[str, Any]]:
    """The documents of `RECORDS`, with IRIs for the names of organisations."""
    named = {f"@{name}": f"{BASE}/organisations/{number}" for name, number in ACTORS.items()}
    return {name: {term: named.get(str(value), value) for term, value in document.items()} for name, document in RECORDS.items()}


def _seen(document: dict[str, Any], caller: Caller) -> str:
    found = tiers(document, caller)
    return "all" if found == frozenset(Tier) else ", ".join(tier.value for tier in Tier if tier in found) or "nothing"


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
