"""The policy matrix, every cell of it: kind, action, role, relation, state, and how the caller acts.

`ALLOWED` says a second time, in the form of the use cases, what `kinds/` declares; what is not in it is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from fmar_node.access.caller import Permission, Role, UserRole
from fmar_node.access.reveal import Relation
from fmar_node.kinds import KINDS, Action
from fmar_node.kinds.kind import FORBIDDING, Standing, decide
from tests.market import vocabulary

ANY: frozenset[Relation] = frozenset(Relation)
SELF, MANAGER = frozenset({Relation.SELF}), frozenset({Relation.MANAGER})
APPLICANT = frozenset({Relation.APPLICANT})
PUBLISHER = frozenset({Relation.PUBLISHER})
UNCONSENTED = frozenset({Relation.WITHOUT_CONSENT})
PARTIES, DELEGATE = frozenset({Relation.GRANTOR, Relation.DELEGATE}), frozenset({Relation.DELEGATE})
OPERATOR, FSP, EVERYBODY = frozenset({Role.OPERATOR}), frozenset({Role.FSP}), frozenset(Role)
REGISTRANTS = frozenset({Role.INSTALLER, Role.OEM, Role.OWNER})
REGISTRANT, OWNER = frozenset({Relation.REGISTRANT}), frozenset({Relation.OWNER})
ADMINISTRATOR, EDITOR = UserRole.ADMINISTRATOR, UserRole.EDITOR
ADDRESSEE = frozenset({Relation.ADDRESSEE})
GAINING, COMMITTING, COMMITTED_TO = frozenset({Relation.GAINING}), frozenset({Relation.COMMITTING}), frozenset({Relation.COMMITTED_TO})
NODE = frozenset[tuple[frozenset[Role], frozenset[Relation]]]()

ALLOWED = {
    # action: ({(roles, relations)}, what has to be granted, least role of a person)
    ("assets", "register"): ({(FSP, ANY), (REGISTRANTS, ANY)}, Permission.REGISTER, EDITOR),
    ("assets", "update"): ({(FSP, MANAGER), (EVERYBODY, REGISTRANT)}, Permission.UPDATE, EDITOR),
    ("assets", "deregistration"): ({(FSP, MANAGER | UNCONSENTED), (REGISTRANTS, REGISTRANT | UNCONSENTED)}, Permission.DEREGISTER, EDITOR),
    ("assets", "acceptance"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("assets", "verification"): (NODE, None, ADMINISTRATOR),
    ("assets", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("organisations", "register"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("organisations", "update"): ({(OPERATOR, ANY), (EVERYBODY, SELF | APPLICANT)}, None, ADMINISTRATOR),
    ("organisations", "rejection"): ({(OPERATOR, ANY), (EVERYBODY, APPLICANT)}, None, ADMINISTRATOR),
    ("organisations", "approval"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("organisations", "suspension"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("organisations", "reinstatement"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("organisations", "deregistration"): ({(OPERATOR, ANY), (EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("organisations", "key-registration"): ({(OPERATOR, ANY), (EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("organisations", "key-revocation"): ({(OPERATOR, ANY), (EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("organisations", "evidence"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("organisations", "verification"): (NODE, None, ADMINISTRATOR),
    ("organisations", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("users", "register"): ({(EVERYBODY, ANY)}, None, ADMINISTRATOR),
    ("users", "update"): ({(OPERATOR, ANY), (EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("users", "deactivation"): ({(OPERATOR, ANY), (EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("users", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("delegations", "register"): ({(EVERYBODY, ANY)}, None, ADMINISTRATOR),
    ("delegations", "acceptance"): ({(EVERYBODY, DELEGATE)}, None, ADMINISTRATOR),
    ("delegations", "revocation"): ({(OPERATOR, ANY), (EVERYBODY, PARTIES)}, None, ADMINISTRATOR),
    ("delegations", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("queries", "register"): ({(EVERYBODY, ANY)}, None, EDITOR),
    ("queries", "update"): ({(EVERYBODY, PUBLISHER)}, None, EDITOR),
    ("queries", "withdrawal"): ({(OPERATOR, ANY), (EVERYBODY, PUBLISHER)}, None, EDITOR),
    ("queries", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("queries", "end"): (NODE, None, ADMINISTRATOR),
    ("assets", "claim"): ({(FSP, ANY)}, None, EDITOR),
    ("assets", "appointment"): ({(EVERYBODY, OWNER)}, None, ADMINISTRATOR),
    ("assets", "claim-code"): ({(EVERYBODY, REGISTRANT | OWNER)}, None, EDITOR),
    ("subscriptions", "register"): ({(EVERYBODY, ANY)}, None, ADMINISTRATOR),
    ("subscriptions", "update"): ({(EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("subscriptions", "pause"): ({(EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("subscriptions", "resumption"): ({(EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("subscriptions", "secret-rotation"): ({(EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("subscriptions", "cancellation"): ({(OPERATOR, ANY), (EVERYBODY, SELF)}, None, ADMINISTRATOR),
    ("subscriptions", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("subscriptions", "verification"): (NODE, None, ADMINISTRATOR),
    ("subscriptions", "failure"): (NODE, None, ADMINISTRATOR),
    ("subscriptions", "end"): (NODE, None, ADMINISTRATOR),
    ("releases", "register"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("releases", "analysis"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("releases", "shadow"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("releases", "approval"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("releases", "withdrawal"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("releases", "impact"): (NODE, None, ADMINISTRATOR),
    ("releases", "activation"): (NODE, None, ADMINISTRATOR),
    ("releases", "supersession"): (NODE, None, ADMINISTRATOR),
    ("assets", "orphaning"): (NODE, None, ADMINISTRATOR),
    ("assets", "handover"): (NODE, None, ADMINISTRATOR),
    ("users", "acceptance"): (NODE, None, ADMINISTRATOR),
    ("users", "expiry"): (NODE, None, ADMINISTRATOR),
    ("users", "departure"): (NODE, None, ADMINISTRATOR),
    ("delegations", "activation"): (NODE, None, ADMINISTRATOR),
    ("delegations", "expiry"): (NODE, None, ADMINISTRATOR),
    ("delegations", "end"): (NODE, None, ADMINISTRATOR),
    ("assets", "overrun"): (NODE, None, ADMINISTRATOR),
    ("notices", "register"): (NODE, None, ADMINISTRATOR),
    ("notices", "renewal"): (NODE, None, ADMINISTRATOR),
    ("notices", "reopening"): (NODE, None, ADMINISTRATOR),
    ("notices", "settlement"): (NODE, None, ADMINISTRATOR),
    ("notices", "acknowledgement"): ({(EVERYBODY, ADDRESSEE)}, None, EDITOR),
    ("notices", "resolution"): ({(OPERATOR, ANY), (EVERYBODY, ADDRESSEE)}, None, EDITOR),
    ("notices", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("assets", "consent-loss"): (NODE, None, ADMINISTRATOR),
    ("assets", "consent-renewal"): ({(FSP, MANAGER | UNCONSENTED), (REGISTRANTS - {Role.OWNER}, REGISTRANT | UNCONSENTED)}, Permission.UPDATE, EDITOR),
    ("consents", "register"): (NODE, None, ADMINISTRATOR),
    ("consents", "revocation"): (NODE, None, ADMINISTRATOR),
    ("consents", "expiry"): (NODE, None, ADMINISTRATOR),
    ("consents", "end"): (NODE, None, ADMINISTRATOR),
    ("switches", "register"): ({(FSP, ANY)}, Permission.SWITCH, EDITOR),
    ("switches", "withdrawal"): ({(EVERYBODY, GAINING)}, Permission.SWITCH, EDITOR),
    ("switches", "hold"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("switches", "release"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("switches", "cancellation"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("switches", "lapse"): (NODE, None, ADMINISTRATOR),
    ("switches", "effect"): (NODE, None, ADMINISTRATOR),
    ("switches", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("service-windows", "register"): ({(FSP, ANY)}, Permission.UPDATE, EDITOR),
    ("service-windows", "confirmation"): ({(EVERYBODY, COMMITTED_TO)}, None, EDITOR),
    ("service-windows", "withdrawal"): ({(EVERYBODY, COMMITTING)}, Permission.UPDATE, EDITOR),
    ("service-windows", "cancellation"): ({(OPERATOR, ANY), (EVERYBODY, COMMITTED_TO)}, None, EDITOR),
    ("service-windows", "end"): (NODE, None, ADMINISTRATOR),
    ("service-windows", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
    ("consents", "erasure"): ({(OPERATOR, ANY)}, None, ADMINISTRATOR),
}
STATES = {
    # the states in which a record takes an action; what registers has no record yet
    ("assets", "register"): "",
    ("assets", "update"): "AWAITING_NEW_FSP PENDING_VALIDATION QUERY SUSPENDED_ADMIN VERIFIED",
    ("assets", "deregistration"): "AWAITING_NEW_FSP PENDING_VALIDATION QUERY SUSPENDED_ADMIN SUSPENDED_CONSENT_REVOKED VERIFIED",
    ("assets", "orphaning"): "PENDING_VALIDATION QUERY SUSPENDED_ADMIN SUSPENDED_CONSENT_REVOKED VERIFIED",
    ("assets", "handover"): "AWAITING_NEW_FSP PENDING_VALIDATION QUERY SUSPENDED_CONSENT_REVOKED VERIFIED",
    ("assets", "verification"): "AWAITING_NEW_FSP PENDING_VALIDATION",
    ("assets", "overrun"): "PENDING_VALIDATION QUERY",
    ("assets", "acceptance"): "QUERY",
    ("assets", "claim"): "AWAITING_NEW_FSP",
    ("assets", "appointment"): "AWAITING_NEW_FSP",
    ("assets", "claim-code"): "AWAITING_NEW_FSP",
    ("assets", "consent-loss"): "AWAITING_NEW_FSP PENDING_VALIDATION QUERY VERIFIED",
    ("assets", "consent-renewal"): "AWAITING_NEW_FSP PENDING_VALIDATION QUERY SUSPENDED_CONSENT_REVOKED VERIFIED",
    ("assets", "erasure"): "AWAITING_NEW_FSP DEREGISTERED PENDING_VALIDATION QUERY SUSPENDED_ADMIN SUSPENDED_CONSENT_REVOKED VERIFIED",
    ("organisations", "register"): "",
    ("organisations", "update"): "ACTIVE PENDING_APPROVAL SUSPENDED",
    ("organisations", "approval"): "PENDING_APPROVAL",
    ("organisations", "rejection"): "PENDING_APPROVAL",
    ("organisations", "suspension"): "ACTIVE",
    ("organisations", "reinstatement"): "SUSPENDED",
    ("organisations", "deregistration"): "ACTIVE SUSPENDED",
    ("organisations", "key-registration"): "ACTIVE SUSPENDED",
    ("organisations", "key-revocation"): "ACTIVE SUSPENDED WITHDRAWN",
    ("organisations", "verification"): "ACTIVE PENDING_APPROVAL SUSPENDED",
    ("organisations", "evidence"): "ACTIVE PENDING_APPROVAL SUSPENDED",
    ("organisations", "erasure"): "ACTIVE PENDING_APPROVAL SUSPENDED WITHDRAWN",
    ("users", "register"): "",
    ("users", "update"): "ACTIVE INVITED",
    ("users", "acceptance"): "INVITED",
    ("users", "expiry"): "INVITED",
    ("users", "deactivation"): "ACTIVE INVITED",
    ("users", "departure"): "ACTIVE INVITED",
    ("users", "erasure"): "ACTIVE DEACTIVATED EXPIRED INVITED",
    ("delegations", "register"): "",
    ("delegations", "acceptance"): "OFFERED",
    ("delegations", "revocation"): "ACTIVE OFFERED",
    ("delegations", "activation"): "OFFERED",
    ("delegations", "expiry"): "ACTIVE OFFERED",
    ("delegations", "end"): "ACTIVE OFFERED",
    ("delegations", "erasure"): "ACTIVE EXPIRED OFFERED REVOKED",
    ("queries", "register"): "",
    ("queries", "update"): "PUBLISHED",
    ("queries", "withdrawal"): "PUBLISHED",
    ("queries", "end"): "PUBLISHED",
    ("queries", "erasure"): "PUBLISHED WITHDRAWN",
    ("notices", "register"): "",
    ("notices", "renewal"): "ACKNOWLEDGED OPEN",
    ("notices", "reopening"): "RESOLVED",
    ("notices", "settlement"): "ACKNOWLEDGED OPEN",
    ("notices", "acknowledgement"): "OPEN",
    ("notices", "resolution"): "ACKNOWLEDGED OPEN",
    ("notices", "erasure"): "ACKNOWLEDGED OPEN RESOLVED",
    ("subscriptions", "register"): "",
    ("subscriptions", "update"): "ACTIVE FAILED PAUSED PENDING_VERIFICATION",
    ("subscriptions", "verification"): "PENDING_VERIFICATION",
    ("subscriptions", "pause"): "ACTIVE",
    ("subscriptions", "resumption"): "FAILED PAUSED",
    ("subscriptions", "secret-rotation"): "ACTIVE FAILED PAUSED PENDING_VERIFICATION",
    ("subscriptions", "failure"): "ACTIVE PENDING_VERIFICATION",
    ("subscriptions", "cancellation"): "ACTIVE FAILED PAUSED PENDING_VERIFICATION",
    ("subscriptions", "end"): "ACTIVE FAILED PAUSED PENDING_VERIFICATION",
    ("subscriptions", "erasure"): "ACTIVE ENDED FAILED PAUSED PENDING_VERIFICATION",
    ("consents", "register"): "",
    ("consents", "revocation"): "VALID",
    ("consents", "expiry"): "VALID",
    ("consents", "end"): "VALID",
    ("consents", "erasure"): "ENDED EXPIRED REVOKED VALID",
    ("releases", "register"): "",
    ("releases", "analysis"): "APPROVED PROPOSED SHADOW",
    ("releases", "impact"): "APPROVED PROPOSED SHADOW",
    ("releases", "shadow"): "PROPOSED",
    ("releases", "approval"): "SHADOW",
    ("releases", "withdrawal"): "APPROVED PROPOSED SHADOW",
    ("releases", "activation"): "APPROVED",
    ("releases", "supersession"): "ACTIVE",
    ("service-windows", "register"): "",
    ("service-windows", "confirmation"): "DECLARED",
    ("service-windows", "withdrawal"): "DECLARED",
    ("service-windows", "cancellation"): "CONFIRMED DECLARED",
    ("service-windows", "end"): "CONFIRMED DECLARED",
    ("service-windows", "erasure"): "CANCELLED CONFIRMED DECLARED ENDED",
    ("switches", "register"): "",
    ("switches", "withdrawal"): "HELD IN_NOTICE",
    ("switches", "hold"): "IN_NOTICE",
    ("switches", "release"): "HELD",
    ("switches", "cancellation"): "HELD IN_NOTICE",
    ("switches", "lapse"): "HELD IN_NOTICE",
    ("switches", "effect"): "IN_NOTICE",
    ("switches", "erasure"): "CANCELLED EFFECTIVE HELD IN_NOTICE",
}
STATUS = {
    "assets": "RegistrationStatus",
    "organisations": "OrganisationStatus",
    "users": "UserStatus",
    "delegations": "DelegationStatus",
    "queries": "QueryStatus",
    "notices": "NoticeStatus",
    "subscriptions": "SubscriptionStatus",
    "consents": "ConsentStatus",
    "releases": "ReleaseStatus",
    "switches": "SwitchStatus",
    "service-windows": "WindowStatus",
}
"""The code list of a kind's states."""
ACTIONS = [(plural, name) for plural, kind in KINDS.items() for name in kind.actions]
OPEN_TO_ALL = {("users", "register"), ("delegations", "register"), ("queries", "register"), ("subscriptions", "register")}


def action_of(cell: tuple[str, str]) -> Action:
    return KINDS[cell[0]].actions[cell[1]]


def roles_and_relations() -> Iterator[tuple[frozenset[Role], frozenset[Relation]]]:
    """Every role alone and none, with every relation alone and none."""
    roles = [frozenset[Role](), *(frozenset({role}) for role in Role)]
    relations = [frozenset[Relation](), *(frozenset({relation}) for relation in Relation)]
    return itertools.product(roles, relations)


def is_allowed(cell: tuple[str, str], roles: frozenset[Role], relations: frozenset[Relation]) -> bool:
    """What the table says of an active organisation that acts for itself through an application."""
    for allowed, through in ALLOWED[cell][0]:
        has_role = bool(allowed & roles) or allowed == EVERYBODY
        if has_role and (through == ANY or bool(through & relations)):
            return True
    return False


def test_the_table_has_every_action() -> None:
    assert set(ACTIONS) == set(ALLOWED) == set(STATES)


@pytest.mark.parametrize("cell", ACTIONS)
def test_an_organisation_may_what_the_table_says_and_nothing_else(cell: tuple[str, str]) -> None:
    action = action_of(cell)

    for roles, relations in roles_and_relations():
        verdict = decide(action, Standing(roles, relations))
        assert verdict.permitted == is_allowed(cell, roles, relations), (roles, relations)
        wants_consent = {"CONSENT-ENDED-1"} if relations == UNCONSENTED else set[str]()
        assert verdict.policy in {policy.code for policy in action.policies} | {"NODE-1"} | wants_consent


@pytest.mark.parametrize("cell", ACTIONS)
def test_nobody_does_anything_who_is_not_active(cell: tuple[str, str]) -> None:
    for roles, relations in roles_and_relations():
        assert not decide(action_of(cell), Standing(roles, relations, is_active=False)).permitted


@pytest.mark.parametrize("cell", ACTIONS)
def test_on_behalf_of_another_only_what_was_granted_of_what_that_one_may(cell: tuple[str, str]) -> None:
    """A14: rights(delegate) are a part of rights(delegator), in every cell."""
    action, needed = action_of(cell), ALLOWED[cell][1]

    for roles, relations in roles_and_relations():
        alone = decide(action, Standing(roles, relations)).permitted
        for granted in (frozenset[Permission](), *(frozenset({each}) for each in Permission), frozenset(Permission)):
            verdict = decide(action, Standing(roles, relations, permissions=granted))
            assert verdict.permitted == (alone and needed is not None and needed in granted)
            if not verdict.permitted and alone:
                assert verdict.policy == ("DELEGATION-SCOPE-1" if needed is None else "DELEGATION-SCOPE-2")


@pytest.mark.parametrize("cell", ACTIONS)
def test_a_person_may_what_its_role_allows_of_what_its_organisation_may(cell: tuple[str, str]) -> None:
    action, least = action_of(cell), ALLOWED[cell][2]

    for roles, relations in roles_and_relations():
        alone = decide(action, Standing(roles, relations)).permitted
        for role in UserRole:
            verdict = decide(action, Standing(roles, relations, user_role=role))
            assert verdict.permitted == (alone and role.includes(least))
            if alone and not verdict.permitted:
                assert verdict.policy == "USER-ROLE-1"


@pytest.mark.parametrize("cell", ACTIONS)
def test_who_applies_does_nothing_but_apply(cell: tuple[str, str]) -> None:
    """An applicant has no role; it registers once, and corrects or withdraws what it has applied for."""
    allowed = {("organisations", "register"): ANY, ("organisations", "update"): APPLICANT, ("organisations", "rejection"): APPLICANT}

    for relations in (frozenset[Relation](), *(frozenset({relation}) for relation in Relation if relation is not Relation.SELF)):
        verdict = decide(action_of(cell), Standing(relations=relations, is_applicant=True))
        through = allowed.get(cell, frozenset[Relation]())
        assert verdict.permitted == (through == ANY or bool(through & relations)), relations
        if cell not in allowed:
            assert verdict.policy in ("APPLICANT-1", "NODE-1")


@pytest.mark.parametrize("cell", ACTIONS)
def test_the_node_does_its_own_and_nothing_that_others_do(cell: tuple[str, str]) -> None:
    for roles, relations in roles_and_relations():
        verdict = decide(action_of(cell), Standing(roles, relations, is_node=True))
        assert (verdict.permitted, verdict.policy) == (ALLOWED[cell][0] == NODE, "NODE-1")


@pytest.mark.parametrize("cell", ACTIONS)
def test_a_record_takes_an_action_in_the_states_of_the_table_and_in_no_other(cell: tuple[str, str]) -> None:
    """States are all of the kind's, and none for what is not there yet: with the tests above, every cell of kind, action, role and state."""
    states = {*vocabulary().schemes[STATUS[cell[0]]].codes}
    expected = set(STATES[cell].split()) or {None}

    assert {state for state in (None, *states) if action_of(cell).is_open_in(state)} == expected
    assert expected <= {None, *states}


def test_every_forbidding_policy_says_why() -> None:
    assert set(FORBIDDING) == {"NODE-1", "USER-ROLE-1", "DELEGATION-SCOPE-1", "DELEGATION-SCOPE-2", "APPLICANT-1", "FORMER-PROVIDER-1", "UNSEEN-1", "CONSENT-ENDED-1"}
    assert all(len(reason) > 20 for reason in FORBIDDING.values())


def test_what_is_open_to_every_organisation_is_so_on_purpose() -> None:
    """Everybody invites its own users, shares its own passport and publishes its own queries; the rules of these say whose."""
    open_to_all = {cell for cell in ACTIONS if decide(action_of(cell), Standing()).permitted}

    assert open_to_all == OPEN_TO_ALL
