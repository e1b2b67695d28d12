"""What may happen to each kind of record: one short declarative file each."""

from collections.abc import Mapping

from fmar_node.kinds.asset import ASSET
from fmar_node.kinds.delegation import DELEGATION
from fmar_node.kinds.kind import Action, Claim, Consequence, Kind, Policy, Register, Rule, Situation, Verdict
from fmar_node.kinds.organisation import ORGANISATION
from fmar_node.kinds.user import USER

KINDS: Mapping[str, Kind] = {kind.plural: kind for kind in (ASSET, ORGANISATION, USER, DELEGATION)}

__all__ = ["KINDS", "Action", "Claim", "Consequence", "Kind", "Policy", "Register", "Rule", "Situation", "Verdict"]
