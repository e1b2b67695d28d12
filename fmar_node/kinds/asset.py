"""Assets: what may happen to the register's primary record (UC-02.02 to UC-02.05).

States: registrationStatus is validationStatus while the standing is LIVE, else the standing.
A new asset is LIVE and PENDING_VALIDATION; DEREGISTERED is final. The link to the managing FSP is never
changed by an update (that would bypass consent). Published rules keep their keys (A03, A06, A13, A20, A21).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal

from fmar_node.access.caller import Permission, Role, UserRole
from fmar_node.access.reveal import Relation
from fmar_node.checks import mpan
from fmar_node.errors import Fault, Severity
from fmar_node.kinds import validation
from fmar_node.kinds.commitment import is_committed_to_nothing
from fmar_node.kinds.consented import (
    CONSENT_ACTIONS,
    CONSENT_RULES,
    SUSPENDED,
    consent_ended,
    consent_kept,
    consented,
    live_again,
    question_of,
)
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.installation import (
    INSTALLATION_ACTIONS,
    OWNERS_OWN,
    PROVIDER,
    REGISTRANT,
    REGISTRANTS,
    installed,
    is_installed,
    left_behind,
    steward,
)
from fmar_node.kinds.kind import Action, Claim, Kind, Policy, Rule, Situation, by_node, earliest
from fmar_node.kinds.naming import (
    as_called_on,
    external_claim,
    has_own_external_id,
    leaves_external_id_alone,
    publishers_are_registered,
    registrant,
    renamed,
)
from fmar_node.kinds.proof import resting
from fmar_node.kinds.provenance import PRECEDENCE, keeps_what_is_better_known
from fmar_node.kinds.responsibility import AWAITING_NEW_FSP, begun, handed_over, over
from fmar_node.kinds.validation import INQUIRY, MAKERS_WORD, UNTIMED, VALIDATION_ACTIONS, timed, validated_anew
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document

LIVE = frozenset({"PENDING_VALIDATION", "VERIFIED", "QUERY"})
NOT_FINAL = LIVE | {SUSPENDED, "SUSPENDED_ADMIN", AWAITING_NEW_FSP}
TO_HAND_OVER = LIVE | {SUSPENDED, AWAITING_NEW_FSP}
"""The states in which another provider may become responsible (domain 5.3)."""
NEAR = 5
"""Per cent of capacity within which an asset of the same MPAN and category is probably the same one (domain 5.1)."""
LIKENESS = ("the same meter point", "the same category", f"capacity within {NEAR} %")
BASIC = 70
"""The score of whatever the rule fires for, of 100; each of these that an own asset has in common too adds a share of the rest."""
DISTINCTIVE = {"manufacturer": "the same manufacturer", "assetModel": "the same model", "commissioningDate": "the same day of commissioning"}


MANAGING = frozenset({Relation.MANAGER})


# -- rules


def owner_is_registered(situation: Situation) -> Iterable[Fault]:
    """A03: the owner is an organisation of the register that has not left it."""
    owner = situation.document.get("owner")
    if owner is None:
        return
    found = situation.register.current("organisations", uuid_of(owner))
    if found is None or found.iri != owner or found.state not in ("ACTIVE", "SUSPENDED"):
        yield Fault("A03", Severity.REJECT, "no such organisation is registered", "/owner", "owner", constraint="A03-unknown")


def delegate_leaves_owner_alone(situation: Situation) -> Iterable[Fault]:
    """Whoever acts for another makes itself no owner, and changes none: an owner sees the whole record, for good."""
    actor, owner = situation.caller.actor, situation.document.get("owner")
    was = situation.previous.document.get("owner") if situation.previous else owner
    if actor and (owner != was or uuid_of(owner or "") == actor):
        message = "the owner is named by the provider itself, not on its behalf"
        yield Fault("ASSET-OWNER-1", Severity.REJECT, message, "/owner", "owner")


def is_effective_from_today(situation: Situation) -> Iterable[Fault]:
    """A06: today or later, when it is given or changed (domain 3.4, row 7)."""
    effective = situation.document.get("effectiveDate")
    was = situation.previous.document.get("effectiveDate") if situation.previous else None
    if effective and effective != was and effective < situation.today.isoformat():
        yield Fault("A06", Severity.REJECT, "the effective date lies in the past", "/effectiveDate", "effectiveDate", effective, "A06-past")


def is_commissioned_by_today(situation: Situation) -> Iterable[Fault]:
    """A13: an asset cannot have been commissioned in the future."""
    commissioned = situation.document.get("commissioningDate")
    if commissioned and commissioned > situation.today.isoformat():
        message = "the commissioning date lies in the future"
        yield Fault("A13", Severity.REJECT, message, "/commissioningDate", "commissioningDate", commissioned, "A13-future")


def has_own_meter_points(situation: Situation) -> Iterable[Fault]:
    """A20, A21: a meter point that another organisation's asset uses needs a justification."""
    for term, code in (("importMPAN", "A20"), ("exportMPAN", "A21")):
        if any(_manager(other) != situation.caller.organisation for other in _sharing(situation, term)):
            message = "this meter point is already used by an asset of another organisation"
            yield Fault(code, Severity.JUSTIFY, message, f"/{term}", term, constraint=f"{code}-shared")


def is_not_a_duplicate(situation: Situation) -> Iterable[Fault]:
    """Same serial number and manufacturer, or same EVSE, on a live asset is the same asset; a near twin is probably."""
    for claim in sorted(_physical_claims(situation.document), key=lambda claim: claim.scope):
        holder = situation.register.holder(claim)
        if holder is not None and holder != uuid_of(situation.document["id"]):
            term = "alias" if claim.scope == "evse" else "serialNumber"
            yield Fault("DUPLICATE_EXACT", Severity.REJECT, _already(situation, holder), f"/{term}", term)
            return
    if twin := next(_of_same_evse(situation), None):
        yield Fault("DUPLICATE_EXACT", Severity.REJECT, _already(situation, twin), "/alias", "alias")
        return
    yield from _probable(situation)


def _of_same_evse(situation: Situation) -> Iterator[str]:
    """Other live assets that have one of the document's EVSE ids today: one that is dated is in no claim, since it ends without an entry."""
    today, own = situation.today.isoformat(), uuid_of(situation.document["id"])
    for value in sorted(_evse_on(situation.document, today)):
        for id_ in situation.register.found("EVSE", value):
            found = situation.register.current("assets", id_)
            if id_ != own and found and found.state in NOT_FINAL and value in _evse_on(found.document, today):
                yield id_


def _evse_on(document: Document, day: str) -> set[str]:
    return {value for scheme, value in handles(as_called_on(document, day)) if scheme == "EVSE"}


def has_own_friendly_code(situation: Situation) -> Iterable[Fault]:
    """A friendly code is unique among the organisation's live assets, ignoring case."""
    for claim in friendly_claim(situation.document, situation.caller.organisation):
        holder = situation.register.holder(claim)
        if holder is not None and holder != uuid_of(situation.document["id"]):
            message = "another of your assets has this friendly code" + ("" if situation.caller.actor else f": assets/{holder}")
            yield Fault("FRIENDLY_CODE_TAKEN", Severity.REJECT, message, "/friendlyCode", "friendlyCode")


def has_a_reason(situation: Situation) -> Iterable[Fault]:
    """De-registration says why; a duplicate names the asset that stays."""
    if "deregistrationReason" not in situation.note:
        yield Fault("ASSET-DEREGISTER-4", Severity.REJECT, "deregistrationReason is missing", "/deregistrationReason", "deregistrationReason")
    elif (situation.note["deregistrationReason"] == "DUPLICATE") != ("survivor" in situation.note) or not _survives(situation):
        message = "a duplicate, and nothing else, names the live asset of yours that stays, as survivor"
        yield Fault("ASSET-DEREGISTER-5", Severity.REJECT, message, "/survivor", "survivor")


def _survives(situation: Situation) -> bool:
    """Whether the survivor that the note names, if any, is another live asset of the caller."""
    iri = situation.note.get("survivor")
    if iri is None:
        return True
    found = situation.register.current("assets", uuid_of(iri))
    is_other = found is not None and found.iri == iri != situation.document["id"] and found.state in NOT_FINAL
    return is_other and found is not None and _manager(found.document) == situation.caller.organisation


def _sharing(situation: Situation, term: str) -> list[Document]:
    """Live assets that carry the meter point, where the submission newly names it."""
    value = situation.document.get(term)
    before = situation.previous.document.get(term) if situation.previous else None
    if not value or value == before:
        return []
    return [
        found.document
        for id_ in situation.register.found("MPAN", value)
        if (found := situation.register.current("assets", id_)) and found.state in NOT_FINAL
    ]


def _probable(situation: Situation) -> Iterable[Fault]:
    """A near twin that the document newly makes: how like it is, and in what. Of another organisation's no more is told than the rule says."""
    twins = _twins(situation)
    own = [(_likeness(situation, twin), twin["id"]) for twin in twins if _manager(twin) == situation.caller.organisation]
    found, id_ = max(own, key=lambda each: (len(each[0]), each[1])) if own else (LIKENESS, "")
    score = str(BASIC + (100 - BASIC) * (len(found) - len(LIKENESS)) // len(DISTINCTIVE))
    reasons, place = ", ".join(found), "" if situation.caller.actor else f": assets/{uuid_of(id_)}"
    if own:
        message = f"you have registered an asset that is probably this one (score {score} of 100: {reasons}){place}"
        yield Fault("DUPLICATE_PROBABLE", Severity.JUSTIFY, message, "/ratedCapacity", "ratedCapacity", score)
    elif twins:
        message = f"an asset that is probably this one is already registered (score {score} of 100: {reasons})"
        yield Fault("DUPLICATE_PROBABLE", Severity.JUSTIFY, message, "/ratedCapacity", "ratedCapacity", score)


def _likeness(situation: Situation, twin: Document) -> tuple[str, ...]:
    """In what a document is like a near twin of the same organisation; whoever acts for it may not see the twin."""
    document = situation.document if not situation.caller.actor else {}
    same = [words for term, words in DISTINCTIVE.items() if term in document and _folded(document[term]) == _folded(twin.get(term, ""))]
    return (*LIKENESS, *same)


def _twins(situation: Situation) -> list[Document]:
    """Other live assets at the document's meter points, of its category and about its capacity, that were not so before."""
    before = situation.previous.document if situation.previous else {}
    ids = {id_ for point in _points(situation.document) for id_ in situation.register.found("MPAN", point)} - {uuid_of(situation.document["id"])}
    found = [situation.register.current("assets", id_) for id_ in sorted(ids)]
    live = [each.document for each in found if each and each.state in NOT_FINAL]
    return [twin for twin in live if _is_near(situation.document, twin) and not (_points(before) & _points(twin) and _is_near(before, twin))]


def _points(document: Document) -> set[str]:
    return {document[term] for term in ("importMPAN", "exportMPAN") if term in document}


def _is_near(document: Document, twin: Document) -> bool:
    """Of one category, and within 5 % of capacity: a hybrid's other half, another category at the same point, is another asset."""
    if any(document.get(term) != twin.get(term) for term in ("assetCategory", "otherKind")):
        return False
    ours, theirs = (Decimal(each.get("ratedCapacity", 0)) for each in (document, twin))
    return abs(ours - theirs) * 100 <= NEAR * max(ours, theirs)


def _manager(asset: Document | str, situation: Situation | None = None) -> str:
    if isinstance(asset, str):
        found = situation.register.current("assets", asset) if situation else None
        return steward(found.document) if found else ""
    return steward(asset)


def _already(situation: Situation, holder: str) -> str:
    if _manager(holder, situation) == situation.caller.organisation:
        return "you have registered this asset already" + ("" if situation.caller.actor else f": assets/{holder}")
    advice = "; where its owner wants you to manage it, claim it with the claim code that its installer has, or request a switch of provider (POST /switches)"
    return "this asset is already registered" + (advice if situation.caller.has(Role.FSP) else "")


# -- identifiers


def _physical_claims(document: Document) -> set[Claim]:
    claims = set()
    if document.get("serialNumber") and document.get("manufacturer"):
        claims.add(Claim("serial", f"{_folded(document['manufacturer'])}|{_folded(document['serialNumber'])}"))
    for alias in document.get("alias", ()):
        if alias.get("scheme") == "EVSE" and alias.get("value") and "validTo" not in alias and "validFrom" not in alias:
            claims.add(Claim("evse", _alias_value(alias)))
    return claims


def friendly_claim(document: Document, manager: str) -> set[Claim]:
    """The claim of a friendly code: within the organisation, ignoring case."""
    code = document.get("friendlyCode")
    return {Claim(f"friendlyCode/{manager}", _folded(code))} if code else set()


def claims(document: Document) -> set[Claim]:
    """What only this asset may have; a de-registered one frees all of it (domain 5.5)."""
    if document.get("registrationStatus") == "DEREGISTERED":
        return set()
    return _physical_claims(document) | friendly_claim(document, _manager(document)) | external_claim(document, registrant(document))


def handles(document: Document) -> set[tuple[str, str]]:
    """The identifiers that lookup finds the asset by: scheme and value."""
    found = {*validation.handles(document)}
    found |= {("MPAN", document[term]) for term in ("importMPAN", "exportMPAN") if term in document}
    if serial := document.get("serialNumber"):
        found.add(("SERIAL", _folded(serial)))
        found.add(("SERIAL", f"{_folded(document.get('manufacturer', ''))}|{_folded(serial)}"))
    for device in document.get("device", ()):
        if serial := device.get("serialNumber"):
            found.add(("SERIAL", _folded(serial)))
            found.add(("SERIAL", f"{_folded(device.get('manufacturer', ''))}|{_folded(serial)}"))
    if code := document.get("friendlyCode"):
        found.add(("FRIENDLY_CODE", _folded(code)))
    found |= {("FRIENDLY_CODE", _folded(each["formerCodeText"])) for each in document.get("formerCode", ())}
    if code := document.get("externalId"):
        found.add(("EXTERNAL_ID", _folded(code)))
    if digest := document.get("claimCodeHash"):
        found.add(("CLAIM_CODE", digest))
    for alias in document.get("alias", ()):
        if alias.get("scheme") and alias.get("value"):
            found.add((alias["scheme"], _alias_value(alias)))
    return found | resting(document)


def _alias_value(alias: Document) -> str:
    """EVSE ids are compared without their asterisks (domain section 4)."""
    value = _folded(alias["value"])
    return value.replace("*", "") if alias["scheme"] == "EVSE" else value


def _folded(text: str) -> str:
    return text.strip().casefold()


# -- what the node sets


def registered(situation: Situation) -> Document:
    """A new asset: linked to the caller's organisation, pending validation; at an installation without a provider."""
    base = situation.document["id"].rsplit("/assets/", 1)[0]
    provider = f"{base}/organisations/{situation.caller.organisation}"
    managed = {"registrationStatus": "PENDING_VALIDATION", "standing": "LIVE", "managedBy": provider}
    is_managed = not is_installed(situation)
    document = consented(situation, situation.document)
    document = {
        **(begun(document, provider, situation.today.isoformat(), situation.now) if is_managed else document),
        "assetId": uuid_of(situation.document["id"]),
        "validationStatus": "PENDING_VALIDATION",
        **(managed if is_managed else installed(situation)),
    }
    return timed(document, "", situation)


def updated(situation: Situation) -> Document:
    """The next version: with the facts that still hold of it, and the friendly code that it had before."""
    return consented(situation, renamed(situation, validated_anew(situation)))


def deregistered(situation: Situation) -> Document:
    """The end of life: a status, never a deletion."""
    ended = {*UNTIMED, "claimCodeHash", "appointedProvider"}
    kept = {term: value for term, value in situation.document.items() if term not in ended}
    return {
        **over(kept, situation.today.isoformat(), situation.now),
        **{term: situation.note[term] for term in ("deregistrationReason", "survivor") if term in situation.note},
        "registrationStatus": "DEREGISTERED",
        "standing": "DEREGISTERED",
    }


def orphaned(situation: Situation) -> Document:
    """The provider has left the register; the asset stays, and waits for another one."""
    whole = over(situation.document, situation.today.isoformat(), situation.now)
    return {**whole, "registrationStatus": AWAITING_NEW_FSP, "standing": AWAITING_NEW_FSP}


def taken_over(situation: Situation) -> Document:
    """Another provider is responsible from a day on; what the last one called the asset stays with the last one."""
    note, asset = situation.note, left_behind(situation.document)
    if "registeredBy" not in asset:
        asset.pop("externalId", None)
    whole = handed_over(asset, note["provider"], note["validFrom"], situation.now)
    return live_again({**whole, **({"consent": note["consent"]} if "consent" in note else {})})


def defaults(document: Document, today: date) -> dict[str, object]:
    """F: what the published rules fill where a document is silent (A06, A08)."""
    filled: dict[str, object] = {}
    if "effectiveDate" not in document:
        filled["effectiveDate"] = today.isoformat()
    if document.get("assetCategory") == "BESS" and "energySource" not in document:
        filled["energySource"] = "GRID"
    return filled


def spelling(document: Document) -> dict[str, object]:
    """F: a meter point by its core, where the full MPAN of 21 characters was given."""
    cores = {term: mpan.core(document[term]) for term in ("importMPAN", "exportMPAN") if isinstance(document.get(term), str)}
    return {term: core for term, core in cores.items() if core != document[term]}


def plain_checks(document: Document, *_: object) -> list[Fault]:
    """Checks that a plain function does better than SHACL: MPAN check digits and distributors."""
    return mpan.faults(document.get("importMPAN"), document.get("exportMPAN"), document.get("dnoConnection"))


DOCUMENT_RULES = (
    Rule(owner_is_registered, ("A03",)),
    Rule(delegate_leaves_owner_alone, ("ASSET-OWNER-1",)),
    *CONSENT_RULES,
    Rule(is_effective_from_today, ("A06",)),
    Rule(is_commissioned_by_today, ("A13",)),
    Rule(has_own_meter_points, ("A20", "A21")),
    Rule(is_not_a_duplicate, ("DUPLICATE_EXACT", "DUPLICATE_PROBABLE")),
    Rule(has_own_friendly_code, ("FRIENDLY_CODE_TAKEN",)),
    Rule(has_own_external_id, ("EXTERNAL_ID_TAKEN",)),
    Rule(leaves_external_id_alone, ("ASSET-EXTERNAL-1",)),
    Rule(publishers_are_registered, ("EXTENSION-1", "EXTENSION-2")),
)

BETTER_KNOWN = Rule(keeps_what_is_better_known, (PRECEDENCE,))

ASSET = Kind(
    name="asset",
    plural="assets",
    class_name="Asset",
    defaults=defaults,
    plain_checks=plain_checks,
    claims=claims,
    handles=handles,
    spelling=spelling,
    upserts_by=("friendlyCode", "externalId"),
    filters=(
        "assetCategory", "energySource", "demandTechType", "otherKind", "connectionStatus", "connectionType",
        "dnoConnection", "gspGroup", "registrationStatus", "validationStatus", "standing", "owner", "managedBy", "friendlyCode",
    ),
    inquiry=INQUIRY,
    awaits=lambda document: earliest(validation.awaits(document)),
    matters=validation.matters,
    actions={
        "register": Action(
            name="register",
            use_cases=("UC-02.02",),
            policies=(
                Policy(
                    "ASSET-REGISTER-2",
                    "an active installer, maker or owner registers what was installed before it has a provider",
                    REGISTRANTS,
                ),
                Policy(
                    "ASSET-REGISTER-1",
                    "an active flexibility service provider registers the assets that it manages, an installer, a maker or an owner what has no provider yet; "
                    "platforms and installers act on behalf of one that has granted it to them, with a token that names both",
                    PROVIDER,
                ),
            ),
            rules=(*DOCUMENT_RULES, OWNERS_OWN),
            apply=registered,
            consequences=consent_kept,
            consent=question_of,
            takes_document=True,
            draws_code=True,
            permission=Permission.REGISTER,
            user_role=UserRole.EDITOR,
        ),
        "update": Action(
            name="update",
            use_cases=("UC-02.04",),
            policies=(
                Policy("ASSET-UPDATE-3", "whoever registered the asset corrects it as long as it has no provider", relations=REGISTRANT),
                Policy("ASSET-UPDATE-1", "only the provider that manages the asset changes it", PROVIDER, MANAGING),
            ),
            rules=(*DOCUMENT_RULES, MAKERS_WORD, BETTER_KNOWN),
            states=NOT_FINAL - {SUSPENDED},
            state_rule="ASSET-UPDATE-2",
            apply=updated,
            consequences=consent_kept,
            consent=question_of,
            takes_document=True,
            permission=Permission.UPDATE,
            user_role=UserRole.EDITOR,
        ),
        "deregistration": Action(
            name="deregistration",
            use_cases=("UC-02.03",),
            policies=(
                Policy("ASSET-DEREGISTER-2", "whoever registered the asset takes it back as long as it has no provider", REGISTRANTS, REGISTRANT | {Relation.WITHOUT_CONSENT}),
                Policy("ASSET-DEREGISTER-1", "only the provider that manages the asset de-registers it", PROVIDER, MANAGING | {Relation.WITHOUT_CONSENT}),
            ),
            rules=(
                Rule(has_a_reason, ("ASSET-DEREGISTER-4", "ASSET-DEREGISTER-5")),
                Rule(is_committed_to_nothing, ("CONFIRMED_WINDOW", "SWITCH_PENDING")),
            ),
            states=NOT_FINAL,
            state_rule="ASSET-DEREGISTER-3",
            apply=deregistered,
            consequences=consent_ended,
            note_terms=frozenset({"deregistrationReason", "survivor"}),
            permission=Permission.DEREGISTER,
            user_role=UserRole.EDITOR,
        ),
        "orphaning": Action(
            name="orphaning",
            use_cases=("UC-01.04",),
            policies=by_node("ASSET-ORPHAN-1"),
            states=NOT_FINAL - {AWAITING_NEW_FSP},
            state_rule="ASSET-ORPHAN-2",
            apply=orphaned,
            is_nodes_own=True,
        ),
        "handover": Action(
            name="handover",
            use_cases=("UC-03.04",),
            policies=by_node("ASSET-HANDOVER-1"),
            states=TO_HAND_OVER,
            state_rule="ASSET-HANDOVER-2",
            apply=taken_over,
            note_class="Responsibility",
            note_terms=frozenset({"provider", "validFrom"}),
            is_nodes_own=True,
        ),
        **VALIDATION_ACTIONS,
        **INSTALLATION_ACTIONS,
        **CONSENT_ACTIONS,
        ERASURE: erasure("ASSET", NOT_FINAL | {"DEREGISTERED"}),
    },
)
