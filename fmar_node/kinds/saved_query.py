"""Saved queries: questions that an organisation publishes under a name, with parameters that have types (UC-05.02).

States: PUBLISHED -> WITHDRAWN. Any active organisation publishes; its publisher changes a query, and takes it back, as the
operator may; it is withdrawn with the organisation that has published it. A query has its name to itself while it is
published, and does not change it: the name is its address. Files of the node and of its operator come first. Whoever may ask a query
is answered in its own window: to publish one grants nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.access.caller import ADMITTED, Role, UserRole
from fmar_node.access.reveal import Relation
from fmar_node.checks.saved_query import NAME, faults
from fmar_node.errors import Fault, Severity
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.kind import Action, Claim, Kind, Policy, Rule, Situation, becomes, by_node
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document

PUBLISHED, WITHDRAWN = "PUBLISHED", "WITHDRAWN"
READER = "QUERY_READER"
"""The scheme of the handles by which queries are found: a code of Audience, or the IRI of an organisation."""
OPERATORS = "FMAR_OPERATOR"
OPERATOR, OWN = frozenset({Role.OPERATOR}), frozenset({Relation.PUBLISHER})


# -- rules


def name_is_free(situation: Situation) -> Iterable[Fault]:
    """One published query of a name; none that a file of the node or of its operator has already."""
    name = situation.document.get("queryName", "")
    if not NAME.fullmatch(name):
        return
    holder = situation.register.holder(name_of(name))
    if situation.house.has_file(name):
        yield Fault("SAVED-QUERY-PUBLISH-2", Severity.REJECT, "this name belongs to a query of the node itself", "/queryName", "queryName")
    elif holder not in (None, uuid_of(situation.document["id"])):
        found = situation.register.current("queries", holder or "")
        is_own = found is not None and uuid_of(found.document["publishedBy"]) == situation.caller.organisation
        message = f"you have registered this name already: queries/{holder}" if is_own else "another query has this name"
        yield Fault("QUERY_NAME_TAKEN", Severity.REJECT, message, "/queryName", "queryName")


def there_is_room(situation: Situation) -> Iterable[Fault]:
    """So many at once, as the operator sets it."""
    most = situation.house.most_queries
    if len(situation.register.belonging("queries", situation.caller.organisation, (PUBLISHED,))) >= most:
        message = f"your organisation has {most} published queries, as many as it may have; withdraw one first"
        yield Fault("SAVED-QUERY-PUBLISH-3", Severity.REJECT, message, "", "queryStatus")


def audience_is_here(situation: Situation) -> Iterable[Fault]:
    """Whom it is for is in the register."""
    for place, iri in enumerate(situation.document.get("audienceOrganisation", ())):
        found = situation.register.current("organisations", uuid_of(iri))
        if found is None or found.iri != iri or found.state not in ADMITTED:
            message = "the audience are organisations of this register"
            yield Fault("SAVED-QUERY-PUBLISH-4", Severity.REJECT, message, f"/audienceOrganisation/{place}", "audienceOrganisation")


def name_stays(situation: Situation) -> Iterable[Fault]:
    """Its name is its address, and others rely on it."""
    was = situation.previous.document if situation.previous else {}
    if situation.document.get("queryName") != was.get("queryName"):
        message = "a query keeps its name; withdraw this one and publish another"
        yield Fault("SAVED-QUERY-UPDATE-3", Severity.REJECT, message, "/queryName", "queryName")


# -- what the node sets


def published(situation: Situation) -> Document:
    base = situation.document["id"].rsplit("/queries/", 1)[0]
    return {**situation.document, "publishedBy": f"{base}/organisations/{situation.caller.organisation}", "queryStatus": PUBLISHED}


# -- how it is found


def name_of(name: str) -> Claim:
    """What a published query of that name holds."""
    return Claim("query", name)


def claims(document: Document) -> set[Claim]:
    return {name_of(document["queryName"])} if document.get("queryStatus") == PUBLISHED else set()


def handles(document: Document) -> set[tuple[str, str]]:
    """Whoever may ask it, so that a list for somebody looks at those queries alone."""
    if document.get("queryStatus") != PUBLISHED:
        return set()
    readers = (OPERATORS, document["publishedBy"], *document.get("audience", ()), *document.get("audienceOrganisation", ()))
    return {(READER, each) for each in readers}


SAVED_QUERY = Kind(
    name="saved-query",
    plural="queries",
    class_name="SavedQuery",
    plain_checks=faults,
    claims=claims,
    handles=handles,
    actions={
        "register": Action(
            "register",
            ("UC-05.02",),
            (Policy("SAVED-QUERY-PUBLISH-1", "an active organisation publishes queries of its own"),),
            (
                Rule(name_is_free, ("QUERY_NAME_TAKEN", "SAVED-QUERY-PUBLISH-2")),
                Rule(there_is_room, ("SAVED-QUERY-PUBLISH-3",)),
                Rule(audience_is_here, ("SAVED-QUERY-PUBLISH-4",)),
            ),
            apply=published,
            takes_document=True,
            user_role=UserRole.EDITOR,
        ),
        "update": Action(
            "update",
            ("UC-05.02",),
            (Policy("SAVED-QUERY-UPDATE-1", "a query is changed by the organisation that has published it", relations=OWN),),
            (Rule(name_stays, ("SAVED-QUERY-UPDATE-3",)), Rule(audience_is_here, ("SAVED-QUERY-PUBLISH-4",))),
            states=frozenset({PUBLISHED}),
            state_rule="SAVED-QUERY-UPDATE-2",
            takes_document=True,
            user_role=UserRole.EDITOR,
        ),
        "withdrawal": Action(
            "withdrawal",
            ("UC-05.02",),
            (
                Policy("SAVED-QUERY-WITHDRAW-1", "the operator withdraws any query", OPERATOR),
                Policy("SAVED-QUERY-WITHDRAW-2", "a query is withdrawn by the organisation that has published it, or by the operator", relations=OWN),
            ),
            states=frozenset({PUBLISHED}),
            state_rule="SAVED-QUERY-WITHDRAW-3",
            apply=becomes("queryStatus", WITHDRAWN),
            user_role=UserRole.EDITOR,
        ),
        "end": Action(
            "end",
            ("UC-01.04",),
            by_node("SAVED-QUERY-END-1"),
            states=frozenset({PUBLISHED}),
            state_rule="SAVED-QUERY-END-2",
            apply=becomes("queryStatus", WITHDRAWN),
            is_nodes_own=True,
        ),
        ERASURE: erasure("SAVED-QUERY", frozenset({PUBLISHED, WITHDRAWN})),
    },
)
