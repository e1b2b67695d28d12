"""Switches: another provider becomes responsible for an asset, at its owner's wish (UC-03.04, domain 5.2, 5.3).

States: IN_NOTICE -> EFFECTIVE by the clock, or CANCELLED (the gaining provider withdraws or is no longer active, the consent ends, the operator
decides), or HELD by the operator and back. A request that is refused changes nothing: it has its reason as a code, and stands in the
security log. Rules kept here: who requests brings the owner's proof, or is the owner; without it, whether there is an asset is not told; a
confirmed service window stands in the way, and no more of it is told than the earliest date; one switch of an asset is pending at
most; the day begins at midnight in London; what a switch changes, it changes in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta

from fmar_node.access.caller import Permission, Role, UserRole
from fmar_node.access.reveal import Relation
from fmar_node.checks import mpan
from fmar_node.clock import midnight
from fmar_node.errors import Fault, Severity
from fmar_node.kinds import proof
from fmar_node.kinds.commitment import LAPSE, NOT_ACTIVE, PENDING, confirmed_windows, free_from, pending_claim
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.kind import Action, Claim, Consequence, Kind, Matter, Policy, Rule, Situation, becomes, by_node
from fmar_node.kinds.responsibility import AWAITING_NEW_FSP
from fmar_node.record import Version, uuid_of
from fmar_node.settings import Settings
from fmar_node.sources.consent import ConsentPurpose, ConsentQuestion
from fmar_node.vocabulary import Document, Vocabulary

IN_NOTICE, HELD, EFFECTIVE, CANCELLED = "IN_NOTICE", "HELD", "EFFECTIVE", "CANCELLED"
WITHDRAWN, CONSENT_ENDED, NOT_ELIGIBLE, BY_OPERATOR = "WITHDRAWN", "CONSENT_ENDED", "NOT_ELIGIBLE_STATE", "OPERATOR"
EFFECT = "effect"
ELIGIBLE = frozenset({"PENDING_VALIDATION", "VERIFIED", "QUERY", "SUSPENDED_CONSENT_REVOKED", AWAITING_NEW_FSP})
SOUGHT = ("assetScheme", "assetValue")
"""By which an asset is meant whose id is not known: used, and not kept."""
METER_POINT = "MPAN"
PHYSICAL = frozenset({METER_POINT, "SERIAL"})
"""The schemes by which an asset is meant, beside those of aliases: none of what an organisation calls it for itself."""
MOST_AMBIGUOUS = 20
PROVIDER, OPERATOR, GAINING = frozenset({Role.FSP}), frozenset({Role.OPERATOR}), frozenset({Relation.GAINING})


# -- which asset


def meant(situation: Situation) -> list[Version]:
    """The assets that a request may mean: by id, or by an identifier; none that has left the register."""
    document, register = situation.document, situation.register
    if iri := document.get("switchAsset"):
        found = [register.current("assets", uuid_of(iri))]
        return [each for each in found if each is not None and each.iri == iri and each.state != "DEREGISTERED"]
    scheme, value = _sought(document)
    ids = sorted(register.found(scheme, _normal(scheme, value))) if scheme and value else []
    living = [each for id_ in ids if (each := register.current("assets", id_)) is not None and each.state != "DEREGISTERED"]
    return [each for each in living if scheme in PHYSICAL or any(alias.get("scheme") == scheme for alias in each.document.get("alias", ()))]


def _sought(document: Document) -> tuple[str, str]:
    """Scheme and value of the identifier by which an asset is meant."""
    scheme, value = (str(document.get(term, "")) for term in SOUGHT)
    return scheme.upper(), value


def _normal(scheme: str, value: str) -> str:
    """An identifier as handles keep it."""
    if scheme == METER_POINT:
        return mpan.core(value.strip())
    text = value.strip().casefold()
    return text.replace("*", "") if scheme == "EVSE" else text


def _asset(situation: Situation) -> Version | None:
    """The one asset that is meant."""
    found = meant(situation)
    return found[0] if len(found) == 1 else None


def provider_of(asset: Document) -> str:
    """The IRI of the provider that is responsible now; empty where the asset waits for one."""
    return "" if asset.get("standing") == AWAITING_NEW_FSP else str(asset.get("managedBy", ""))


def question_of(situation: Situation) -> ConsentQuestion | None:
    """Whether the owner lets the caller take over this very asset, be it registered or not."""
    if not situation.house.has_consents:
        return None
    document = situation.document
    base = document["id"].rsplit("/switches/", 1)[0]
    grantee = f"{base}/organisations/{situation.caller.organisation}"
    return ConsentQuestion(str(document.get(proof.PROOF, "")), grantee, ConsentPurpose.SWITCH, _subjects(situation))


def _subjects(situation: Situation) -> tuple[str, ...]:
    """What the consent has to be about: the asset and its meter points, or one of several; where several, or none, stand at one meter point, that alone."""
    found, document = meant(situation), situation.document
    scheme, value = _sought(document)
    if scheme == METER_POINT and len(found) != 1:
        return (f"mpan:{_normal(scheme, value)}",)
    if not found and (iri := document.get("switchAsset")):
        return (f"asset:{uuid_of(iri)}",)
    return tuple(subject for each in found[:MOST_AMBIGUOUS] for subject in proof.points(each.document))


# -- rules


def plain_checks(document: Document, vocabulary: Vocabulary, _: Settings) -> list[Fault]:
    """An asset is meant by what it is called in the world; what one organisation calls it is nobody else's to try."""
    scheme, known = _sought(document)[0], PHYSICAL | set(vocabulary.schemes["IdentifierScheme"].codes)
    if not scheme or scheme in known:
        return []
    message = f"assetScheme is one of {', '.join(sorted(known))}"
    return [Fault("SWITCH-REQUEST-2", Severity.REJECT, message, "/assetScheme", "assetScheme", constraint="assetScheme")]


def names_one_asset(situation: Situation) -> Iterable[Fault]:
    """By its id, or by scheme and value of an identifier; what the node sets is not sent."""
    document = situation.document
    given = [term for term in SOUGHT if document.get(term)]
    if bool(document.get("switchAsset")) == bool(given) or len(given) == 1:
        message = "name the asset: switchAsset, or assetScheme and assetValue as in a lookup"
        yield Fault("SWITCH-REQUEST-2", Severity.REJECT, message, "/switchAsset", "switchAsset")


def is_proven(situation: Situation) -> Iterable[Fault]:
    """The owner's proof, unless the caller owns the asset itself; whether there is such an asset, nobody learns without it."""
    if _has_proof(situation):
        return
    question = question_of(situation)
    if question is None:
        message = "this node trusts no consent solution: no proof can be verified, and an asset is switched to its owner alone"
        yield Fault("consent-not-available", Severity.REJECT, message, f"/{proof.PROOF}", proof.PROOF)
    else:
        yield from proof.faults(situation, question, is_needed=True)


def _has_proof(situation: Situation) -> bool:
    """Whether the caller may know of the asset: its proof holds, or it needs none."""
    question, asset = question_of(situation), _asset(situation)
    is_given = proof.PROOF in situation.document or situation.consent is not None
    if not is_given and asset is not None and uuid_of(asset.document.get("owner", "")) == situation.caller.organisation:
        return True
    return question is not None and is_given and not any(proof.faults(situation, question, is_needed=True)) and situation.consent is not None


def asset_is_there(situation: Situation) -> Iterable[Fault]:
    """After proof: what to do about an asset that is not registered, and which there are where several are meant."""
    if not _has_proof(situation):
        return
    found = meant(situation)
    if not found:
        message = "no such asset is registered: register it (POST /assets) with the owner's consent, no switch is needed"
        yield Fault("ASSET_UNKNOWN", Severity.REJECT, message, "/switchAsset", "switchAsset")
    elif len(found) > 1 and _sought(situation.document)[0] == METER_POINT:
        named = ", ".join(f"assets/{each.id}" for each in found[:MOST_AMBIGUOUS])
        message = f"{len(found)} assets have this identifier: request a switch of each that is to move, by switchAsset: {named}"
        yield Fault("ASSET_AMBIGUOUS", Severity.REJECT, message, "/assetValue", "assetValue")
    elif len(found) > 1:
        message = "several assets have this identifier: name the one that is meant by its meter point, or a serial number as manufacturer|serial number"
        yield Fault("ASSET_AMBIGUOUS", Severity.REJECT, message, "/assetValue", "assetValue")


def may_be_switched(situation: Situation) -> Iterable[Fault]:
    """The state of the asset, whose it is, and whether another switch of it is pending."""
    asset = _asset(situation) if _has_proof(situation) else None
    if asset is None:
        return
    if asset.state not in ELIGIBLE:
        yield Fault("NOT_ELIGIBLE_STATE", Severity.REJECT, f"the asset is {asset.state}, and cannot be switched", "/switchAsset", "switchAsset")
    if uuid_of(provider_of(asset.document)) == situation.caller.organisation:
        yield Fault("SAME_FSP", Severity.REJECT, "you are this asset's provider already", "/switchAsset", "switchAsset")
    if situation.register.holder(pending_claim(asset.id)) is not None:
        yield Fault("SWITCH_ALREADY_PENDING", Severity.REJECT, "a switch of this asset is pending", "/switchAsset", "switchAsset")


def date_is_possible(situation: Situation) -> Iterable[Fault]:
    """Not before the notice is over, not too far off, and not while a confirmed window of the losing provider lasts."""
    asset = _asset(situation) if _has_proof(situation) else None
    if asset is None:
        return
    earliest, day = earliest_date(asset.document, situation), switch_date(asset.document, situation)
    latest = (situation.today + timedelta(days=situation.house.switch_days_most)).isoformat()
    if not (_is_day(day) and earliest <= day <= latest):
        message = f"switchDate is from {earliest}, when the notice is over, to {latest}"
        yield Fault("EFFECTIVE_DATE_INVALID", Severity.REJECT, message, "/switchDate", "switchDate", day)
    elif windows := confirmed_windows(situation.register, asset.id, midnight(day)) if provider_of(asset.document) else []:
        message = f"the asset is committed; the earliest possible switchDate is {free_from(windows)}"
        yield Fault("SERVICE_WINDOW_CONFIRMED", Severity.REJECT, message, "/switchDate", "switchDate", day)


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def earliest_date(asset: Document, situation: Situation) -> str:
    """The first day after the notice, which a provider has that is responsible now."""
    days = situation.house.switch_notice_days if provider_of(asset) else 0
    return (situation.today + timedelta(days=days)).isoformat()


def switch_date(asset: Document, situation: Situation) -> str:
    return str(situation.document.get("switchDate") or earliest_date(asset, situation))


# -- what the node sets


def requested(situation: Situation) -> Document:
    asset = _asset(situation)
    assert asset is not None
    base, day = situation.document["id"].rsplit("/switches/", 1)[0], switch_date(asset.document, situation)
    kept = {term: value for term, value in situation.document.items() if term not in (*SOUGHT, proof.PROOF)}
    losing, area = provider_of(asset.document), asset.document.get("dnoConnection")
    return {
        **kept,
        "switchAsset": asset.iri,
        "switchDate": day,
        "effectiveAt": midnight(day),
        "switchStatus": IN_NOTICE,
        "gainingProvider": f"{base}/organisations/{situation.caller.organisation}",
        **({"losingProvider": losing} if losing else {}),
        **({"switchArea": area} if area else {}),
        **({"consent": proof.record_of(situation)} if situation.consent else {}),
    }


def _cancelled(document: Document, reason: str) -> Document:
    return {**document, "switchStatus": CANCELLED, "switchReason": reason}


def withdrawn(situation: Situation) -> Document:
    return _cancelled(situation.document, WITHDRAWN)


def given_up(situation: Situation) -> Document:
    """The operator has decided, or what it rests on has fallen: a consent says nothing more, others say what it was."""
    return _cancelled(situation.document, situation.note.get("switchReason", CONSENT_ENDED))


def decided(situation: Situation) -> Document:
    return _cancelled(situation.document, BY_OPERATOR)


def released(situation: Situation) -> Document:
    """On its way again; where its day has passed meanwhile, it takes effect today."""
    day = max(situation.document["switchDate"], situation.today.isoformat())
    return {**situation.document, "switchStatus": IN_NOTICE, "switchDate": day, "effectiveAt": midnight(day)}


def effective(situation: Situation) -> Document:
    """What becomes of a switch whose time has come: it takes effect if everything still is as it has to be."""
    reason = _in_the_way(situation)
    return _cancelled(situation.document, reason) if reason else {**situation.document, "switchStatus": EFFECTIVE}


def _in_the_way(situation: Situation) -> str:
    document, register = situation.document, situation.register
    gaining = register.current("organisations", uuid_of(document["gainingProvider"]))
    if gaining is None or gaining.state != "ACTIVE":
        return NOT_ACTIVE
    consent = register.current("consents", uuid_of(document["consent"])) if "consent" in document else None
    if consent is not None and consent.state != "VALID":
        return CONSENT_ENDED
    asset = register.current("assets", uuid_of(document["switchAsset"]))
    present = provider_of(asset.document) if asset else ""
    is_other = bool(present) and present != document.get("losingProvider")
    return NOT_ELIGIBLE if asset is None or asset.state not in ELIGIBLE or is_other else ""


# -- what follows


def consent_is_kept(situation: Situation) -> Iterable[Consequence]:
    """The record of the consent that came with the request."""
    question, asset = question_of(situation), _asset(situation)
    if situation.consent is not None and question is not None and asset is not None:
        is_owned = asset.document.get("ownerKind") == "ORGANISATION"
        yield proof.kept(situation, question, asset.iri, asset.document.get("owner", "") if is_owned else "")


def consent_is_over(situation: Situation) -> Iterable[Consequence]:
    """A switch that is given up needs its consent no longer."""
    yield from proof.ended(situation, situation.document.get("consent", ""))


def asset_moves(situation: Situation) -> Iterable[Consequence]:
    """The asset's link, and the end of the consent that the losing provider had; or the end of the switch's own."""
    document = situation.document
    if _in_the_way(situation):
        yield from consent_is_over(situation)
        return
    asset = situation.register.current("assets", uuid_of(document["switchAsset"]))
    assert asset is not None
    told = {"provider": document["gainingProvider"], "validFrom": document["switchDate"], "consent": document.get("consent")}
    yield Consequence("assets", asset.id, "handover", {term: value for term, value in told.items() if value})
    yield from proof.ended(situation, asset.document.get("consent", ""))


def awaits(document: Document) -> tuple[str, str] | None:
    """The day of the switch. One that rests on a consent waits for the word of its solution on that day (`followers/switching.py`)."""
    is_clocks = document.get("switchStatus") == IN_NOTICE and "consent" not in document
    return (document["effectiveAt"], EFFECT) if is_clocks else None


def matters(document: Document) -> Iterable[Matter]:
    """The losing provider is told, as long as the switch is to come."""
    if document.get("switchStatus") in PENDING and "losingProvider" in document:
        text = f"on {document['switchDate']} this asset gets another provider; what you have committed it to should end by then"
        yield Matter(document["losingProvider"], "SWITCH_PENDING", document["switchAsset"], text, due_by=document["effectiveAt"])


def claims(document: Document) -> set[Claim]:
    """One pending switch of an asset."""
    return {pending_claim(uuid_of(document["switchAsset"]))} if document.get("switchStatus") in PENDING else set()


def handles(document: Document) -> set[tuple[str, str]]:
    """What a consent that ends finds it by."""
    return proof.resting(document) if document.get("switchStatus") in PENDING else set()


CODES: Mapping[str, tuple[str, ...]] = {
    "asset": ("ASSET_UNKNOWN", "ASSET_AMBIGUOUS"),
    "state": ("NOT_ELIGIBLE_STATE", "SAME_FSP", "SWITCH_ALREADY_PENDING"),
    "date": ("EFFECTIVE_DATE_INVALID", "SERVICE_WINDOW_CONFIRMED"),
}
SWITCH = Kind(
    name="switch",
    plural="switches",
    class_name="Switch",
    plain_checks=plain_checks,
    claims=claims,
    handles=handles,
    awaits=awaits,
    matters=matters,
    filters=("switchAsset", "switchDate", "switchStatus", "gainingProvider", "losingProvider"),
    actions={
        "register": Action(
            "register",
            ("UC-03.04",),
            (Policy("SWITCH-REQUEST-1", f"{NOT_ACTIVE}: an active flexibility service provider requests that an asset be switched to it", PROVIDER),),
            (
                Rule(names_one_asset, ("SWITCH-REQUEST-2",)),
                Rule(is_proven, ("consent-not-available", "consent-required", *proof.CODES)),
                Rule(asset_is_there, CODES["asset"]),
                Rule(may_be_switched, CODES["state"]),
                Rule(date_is_possible, CODES["date"]),
            ),
            apply=requested,
            consequences=consent_is_kept,
            consent=question_of,
            takes_document=True,
            permission=Permission.SWITCH,
            user_role=UserRole.EDITOR,
        ),
        "withdrawal": Action(
            "withdrawal",
            ("UC-03.04",),
            (Policy("SWITCH-WITHDRAW-1", "a switch is withdrawn by the provider that has requested it", relations=GAINING),),
            states=PENDING,
            state_rule="SWITCH-WITHDRAW-2",
            apply=withdrawn,
            consequences=consent_is_over,
            permission=Permission.SWITCH,
            user_role=UserRole.EDITOR,
        ),
        "hold": Action(
            "hold",
            ("UC-03.04",),
            (Policy("SWITCH-HOLD-1", "the operator holds a switch up, on a dispute", OPERATOR),),
            states=frozenset({IN_NOTICE}),
            state_rule="SWITCH-HOLD-2",
            apply=becomes("switchStatus", HELD),
        ),
        "release": Action(
            "release",
            ("UC-03.04",),
            (Policy("SWITCH-RELEASE-1", "the operator lets a switch go on that it has held up", OPERATOR),),
            states=frozenset({HELD}),
            state_rule="SWITCH-RELEASE-2",
            apply=released,
        ),
        "cancellation": Action(
            "cancellation",
            ("UC-03.04",),
            (Policy("SWITCH-CANCEL-1", "the operator cancels a switch, on a dispute", OPERATOR),),
            states=PENDING,
            state_rule="SWITCH-CANCEL-2",
            apply=decided,
            consequences=consent_is_over,
        ),
        LAPSE: Action(
            LAPSE,
            ("UC-03.04", "UC-05.05"),
            by_node("SWITCH-LAPSE-1"),
            states=PENDING,
            state_rule="SWITCH-LAPSE-2",
            apply=given_up,
            note_terms=frozenset({"switchReason"}),
            is_nodes_own=True,
        ),
        EFFECT: Action(
            EFFECT,
            ("UC-03.04",),
            by_node("SWITCH-EFFECT-1"),
            states=frozenset({IN_NOTICE}),
            state_rule="SWITCH-EFFECT-2",
            apply=effective,
            consequences=asset_moves,
            is_nodes_own=True,
        ),
        ERASURE: erasure("SWITCH", PENDING | {EFFECTIVE, CANCELLED}),
    },
)
