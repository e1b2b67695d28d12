"""What may happen to each kind of record: one short declarative file each."""

from collections.abc import Mapping

from fmar_node.kinds.asset import ASSET
from fmar_node.kinds.consent import CONSENT
from fmar_node.kinds.delegation import DELEGATION
from fmar_node.kinds.kind import (
    BARE,
    Action,
    Claim,
    Consequence,
    House,
    Kind,
    Matter,
    Policy,
    Register,
    Rule,
    Situation,
    Verdict,
)
from fmar_node.kinds.notice import NOTICE
from fmar_node.kinds.organisation import ORGANISATION
from fmar_node.kinds.release import RELEASE
from fmar_node.kinds.saved_query import SAVED_QUERY
from fmar_node.kinds.service_window import SERVICE_WINDOW
from fmar_node.kinds.subscription import SUBSCRIPTION
from fmar_node.kinds.switch import SWITCH
from fmar_node.kinds.user import USER

KINDS: Mapping[str, Kind] = {kind.plural: kind for kind in (ASSET, ORGANISATION, USER, DELEGATION, SAVED_QUERY, NOTICE, SUBSCRIPTION, CONSENT, RELEASE, SERVICE_WINDOW, SWITCH)}

__all__ = ["BARE", "KINDS", "Action", "Claim", "Consequence", "House", "Kind", "Matter", "Policy", "Register", "Rule", "Situation", "Verdict"]
