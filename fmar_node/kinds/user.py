"""Users: persons who act for an organisation, with the least that is needed to know them again (UC-01.01, UC-01.04).

States: INVITED -> ACTIVE -> DEACTIVATED; INVITED -> EXPIRED or DEACTIVATED. An administrator invites by e-mail address;
whoever proves that address at an identity provider of this node within the time of the invitation becomes the user,
and is known by that provider's identifier from then on. One account for each address and organisation at a time; an
organisation that has administrators keeps one. Who leaves an organisation is deactivated, never deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from fmar_node.access.caller import Role
from fmar_node.access.reveal import Relation
from fmar_node.clock import stamp
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.kind import Action, Claim, Kind, Policy, Rule, Situation, becomes, by_node
from fmar_node.record import Version, uuid_of
from fmar_node.vocabulary import Document

ADMINISTRATOR = "ADMINISTRATOR"
INVITATION = timedelta(days=14)
PRESENT = frozenset({"INVITED", "ACTIVE"})
OPERATOR, OWN = frozenset({Role.OPERATOR}), frozenset({Relation.SELF})


# -- rules


def organisation_is_active(situation: Situation) -> Iterable[Fault]:
    """A user acts for an active organisation: the caller's own, unless the operator invites."""
    iri = invited(situation)["userOf"]
    found = situation.register.current("organisations", uuid_of(iri))
    own = uuid_of(iri) == situation.caller.organisation
    if found is None or found.iri != iri or not (own or situation.caller.has(Role.OPERATOR)):
        message = "users are invited for your own organisation; leave userOf out"
        yield Fault("USER-INVITE-3", Severity.REJECT, message, "/userOf", "userOf")
    elif found.state != "ACTIVE":
        yield Fault("USER-INVITE-4", Severity.REJECT, f"the organisation is {found.state}", "/userOf", "userOf")


def has_no_account_yet(situation: Situation) -> Iterable[Fault]:
    """One present account for each address in an organisation; of another organisation's nothing is told."""
    if next(iter(organisation_is_active(situation)), None):
        return
    for claim in claims(invited(situation)):
        holder = situation.register.holder(claim)
        if claim.scope.startswith("user/") and holder not in (None, uuid_of(situation.document["id"])):
            message = f"this address has an account in your organisation: users/{holder}"
            yield Fault("USER_EXISTS", Severity.REJECT, message, "/userEmail", "userEmail")


def only_the_role_changes(situation: Situation) -> Iterable[Fault]:
    """An account is one person's: neither its address nor its organisation moves on."""
    was = situation.previous.document if situation.previous else {}
    for term in ("userOf", "userEmail"):
        if situation.document.get(term) != was.get(term):
            message = f"{term} stays; deactivate this user and invite another one"
            yield Fault("USER-UPDATE-4", Severity.REJECT, message, f"/{term}", term)


def an_administrator_stays(situation: Situation) -> Iterable[Fault]:
    """The last administrator of an organisation stays until there is a successor; the operator may say otherwise."""
    if _is_last_administrator(situation):
        yield LAST


def an_administrator_remains_one(situation: Situation) -> Iterable[Fault]:
    """Nor does it give up its role."""
    if situation.document.get("userRole") != ADMINISTRATOR and _is_last_administrator(situation):
        yield LAST


LAST = Fault("LAST_ADMINISTRATOR", Severity.REJECT, "this is the organisation's last administrator: make another user one first", "", "userRole")


def _is_last_administrator(situation: Situation) -> bool:
    previous = situation.previous
    if previous is None or not _administers(previous) or situation.caller.has(Role.OPERATOR):
        return False
    users = situation.register.belonging("users", uuid_of(previous.document["userOf"]), ("ACTIVE",))
    return not any(_administers(each) for each in users if each.id != previous.id)


def _administers(user: Version) -> bool:
    return user.state == "ACTIVE" and user.document["userRole"] == ADMINISTRATOR


def invitation_holds(situation: Situation) -> Iterable[Fault]:
    """An invitation is accepted before its end, by an identity that has no other account in the organisation."""
    if situation.document["inviteEnds"] <= situation.now:
        yield Fault("USER-ACCEPT-3", Severity.REJECT, "the invitation has ended", "", "inviteEnds")
    claim = Claim(f"identity/{situation.document['userOf']}", situation.note.get("identity", ""))
    if not claim.value or situation.register.holder(claim) not in (None, uuid_of(situation.document["id"])):
        yield Fault("USER_EXISTS", Severity.REJECT, "this identity has an account in the organisation already", "", "identity")


# -- what the node sets


def invited(situation: Situation) -> Document:
    base = situation.document["id"].rsplit("/users/", 1)[0]
    ends = datetime.fromisoformat(situation.now) + INVITATION if situation.now else None
    return {
        "userOf": f"{base}/organisations/{situation.caller.organisation}",
        **situation.document,
        "userStatus": "INVITED",
        **({"inviteEnds": stamp(ends)} if ends else {}),
    }


def accepted(situation: Situation) -> Document:
    """The person has proved who it is."""
    return {**situation.document, **situation.note, "userStatus": "ACTIVE"}


def defaults(document: Document, _: date) -> dict[str, object]:
    return {} if "userRole" in document else {"userRole": "READER"}


def claims(document: Document) -> set[Claim]:
    """What only one present account of an organisation may have: the address, the proved identity."""
    if document.get("userStatus", "INVITED") not in PRESENT:
        return set()
    organisation = document.get("userOf", "")
    named = {("user", document["userEmail"].casefold()) if "userEmail" in document else None, ("identity", document["identity"]) if "identity" in document else None}
    return {Claim(f"{each[0]}/{organisation}", each[1]) for each in named if each}


def handles(document: Document) -> set[tuple[str, str]]:
    """How sign-in finds a user: by address while invited, by identity from then on."""
    if document.get("userStatus") == "INVITED" and "userEmail" in document:
        return {("USER_EMAIL", document["userEmail"].casefold())}
    if document.get("userStatus") == "ACTIVE" and "identity" in document:
        return {("USER_IDENTITY", document["identity"])}
    return set()


def awaits(document: Document) -> tuple[str, str] | None:
    return (document["inviteEnds"], "expiry") if document.get("userStatus") == "INVITED" else None


USER = Kind(
    name="user",
    plural="users",
    class_name="User",
    defaults=defaults,
    claims=claims,
    handles=handles,
    awaits=awaits,
    filters=("userOf", "userRole", "userStatus"),
    actions={
        "register": Action(
            "register",
            ("UC-01.01",),
            (
                Policy("USER-INVITE-1", "the operator invites users of any organisation", OPERATOR),
                Policy("USER-INVITE-2", "an active organisation invites its own users"),
            ),
            (Rule(organisation_is_active, ("USER-INVITE-3", "USER-INVITE-4")), Rule(has_no_account_yet, ("USER_EXISTS",))),
            apply=invited,
            takes_document=True,
        ),
        "update": Action(
            "update",
            ("UC-01.01",),
            (
                Policy("USER-UPDATE-1", "the operator changes any user", OPERATOR),
                Policy("USER-UPDATE-2", "a user is changed by its own organisation or the operator", relations=OWN),
            ),
            (Rule(only_the_role_changes, ("USER-UPDATE-4",)), Rule(an_administrator_remains_one, ("LAST_ADMINISTRATOR",))),
            states=PRESENT,
            state_rule="USER-UPDATE-3",
            takes_document=True,
        ),
        "acceptance": Action(
            "acceptance",
            ("UC-01.01",),
            by_node("USER-ACCEPT-1"),
            (Rule(invitation_holds, ("USER-ACCEPT-3", "USER_EXISTS")),),
            states=frozenset({"INVITED"}),
            state_rule="USER-ACCEPT-2",
            apply=accepted,
            note_terms=frozenset({"identity", "identityProof"}),
            is_nodes_own=True,
        ),
        "expiry": Action(
            "expiry",
            ("UC-01.01",),
            by_node("USER-EXPIRE-1"),
            states=frozenset({"INVITED"}),
            state_rule="USER-EXPIRE-2",
            apply=becomes("userStatus", "EXPIRED"),
            is_nodes_own=True,
        ),
        "deactivation": Action(
            "deactivation",
            ("UC-01.04",),
            (
                Policy("USER-DEACTIVATE-1", "the operator deactivates any user", OPERATOR),
                Policy("USER-DEACTIVATE-2", "a user is deactivated by its own organisation or the operator", relations=OWN),
            ),
            (Rule(an_administrator_stays, ("LAST_ADMINISTRATOR",)),),
            states=PRESENT,
            state_rule="USER-DEACTIVATE-3",
            apply=becomes("userStatus", "DEACTIVATED"),
        ),
        "departure": Action(
            "departure",
            ("UC-01.04",),
            by_node("USER-DEPART-1"),
            states=PRESENT,
            state_rule="USER-DEPART-2",
            apply=becomes("userStatus", "DEACTIVATED"),
            is_nodes_own=True,
        ),
        ERASURE: erasure("USER", PRESENT | {"EXPIRED", "DEACTIVATED"}),
    },
)
