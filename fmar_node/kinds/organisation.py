"""Organisations: one record, id and set of roles per legal entity (UC-01.02 to UC-01.04), and their keys.

States: PENDING_APPROVAL -> ACTIVE <-> SUSPENDED -> WITHDRAWN. Status and roles are the operator's; the rest of
the passport is the organisation's own. Suspension blocks writing, not reading. De-registration is refused
while live assets depend on the organisation, and takes its keys away in the same entry.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING

from stdnum import ean, lei
from stdnum.eu import eic
from stdnum.exceptions import ValidationError as NumberError
from stdnum.gb import vat

from fmar_node.access.caller import Role
from fmar_node.access.reveal import Relation
from fmar_node.errors import Fault, Severity
from fmar_node.identity import new_record_id
from fmar_node.kinds.commitment import has_no_switch_pending, lapsing
from fmar_node.kinds.erasure import ERASURE, erasure
from fmar_node.kinds.identity import (
    COMPANIES,
    IDENTITY_ACTIONS,
    INQUIRY,
    UNITED_KINGDOM,
    WHO_IT_IS,
    asked,
    asked_anew,
)
from fmar_node.kinds.kind import Action, Claim, Consequence, Kind, Policy, Rule, Situation, becomes
from fmar_node.kinds.matter import lapsed
from fmar_node.record import uuid_of
from fmar_node.vocabulary import Document

if TYPE_CHECKING:
    from fmar_node.access.key import PublicKey

ADMITTED = frozenset({"ACTIVE", "SUSPENDED"})
DIRECTORY = "DIRECTORY"
HELD = frozenset({"PENDING_VALIDATION", "VERIFIED", "QUERY", "SUSPENDED_CONSENT_REVOKED", "SUSPENDED_ADMIN"})
"""The states of assets that have a provider."""
APPLIED = ("applicant", "applicantEmail")
"""Who has applied for the organisation: gone from it when that is decided."""
OPERATORS_OWN = ("organisationRoles", "organisationRolesDescription", "licenceArea")
MOBILES = (
    ("primaryMobileNumber", "primaryMobileNumberCountryCode"),
    ("secondaryContactMobileNumber", "secondaryContactMobileNumberCountryCode"),
    ("technicalItMobileNumber", "countryCode"),
)
BRITISH = frozenset({
    "uk", "gb", "gbr", "greatbritain", "unitedkingdom", "theunitedkingdom", "unitedkingdomofgreatbritainandnorthernireland",
    "england", "scotland", "wales", "northernireland", "englandandwales",
})  # fmt: skip
"""The ways in which documents write that something is in the United Kingdom, folded."""
CHECK_DIGITS = {
    "LEI": (re.compile("[A-Z0-9]{18}[0-9]{2}"), lei.is_valid),
    "GLN": (re.compile("[0-9]{13}"), ean.is_valid),
    "EIC": (re.compile("[0-9A-Z-]{15}[0-9A-Z]"), eic.is_valid),
}
"""Aliases with check digits: the form in which they are looked at, and whether they hold."""


MOST_ORPHANS = 5_000
"""Assets that may lose their provider with one entry."""
OPERATOR, OWN = frozenset({Role.OPERATOR}), frozenset({Relation.SELF})


# -- rules


def is_new(situation: Situation) -> Iterable[Fault]:
    """One record per legal entity: registration number and country, LEI, VAT number."""
    for claim in sorted(claims(situation.document), key=lambda claim: claim.scope):
        holder = situation.register.holder(claim)
        if holder is not None and holder != uuid_of(situation.document["id"]):
            message = f"an organisation with this {claim.scope} is registered already"
            yield Fault("ORG_ALREADY_REGISTERED", Severity.REJECT, message, "/organisationRegistrationNumber", "organisationRegistrationNumber")
            return


def leaves_roles_alone(situation: Situation) -> Iterable[Fault]:
    """UC-01.03: status and roles are changed by the operator only."""
    if situation.caller.has(Role.OPERATOR) or situation.previous is None:
        return
    was = situation.previous.document
    for term in OPERATORS_OWN:
        if situation.document.get(term) != was.get(term):
            yield Fault("ORGANISATION-UPDATE-3", Severity.REJECT, f"{term} is changed by the operator only", f"/{term}", term)


def leaves_directory_names_alone(situation: Situation) -> Iterable[Fault]:
    """Tokens of external issuers speak of whoever has the name: it is entered by the operator only."""
    was = situation.previous.document if situation.previous else {}
    if not situation.caller.has(Role.OPERATOR) and _directory_names(situation.document) != _directory_names(was):
        yield Fault("ORGANISATION-UPDATE-3", Severity.REJECT, "an alias of the scheme DIRECTORY is changed by the operator only", "/alias", "alias")


def _directory_names(document: Document) -> list[str]:
    return sorted(json.dumps(alias, sort_keys=True) for alias in document.get("alias", ()) if alias.get("scheme") == DIRECTORY)


def areas_belong_to_a_network(situation: Situation) -> Iterable[Fault]:
    """A licence area belongs to a distribution network operator, and such an operator has one."""
    is_network = "DNO" in situation.document.get("organisationRoles", ())
    has_area = bool(situation.document.get("licenceArea"))
    if is_network != has_area:
        message = "licenceArea goes with the role DNO: both or neither"
        yield Fault("Organisation.licenceArea", Severity.REJECT, message, "/licenceArea", "licenceArea")


def an_operator_remains(situation: Situation) -> Iterable[Fault]:
    """The operator's own organisation is not put out of the register by itself: somebody has to be able to undo it."""
    if uuid_of(situation.document["id"]) == situation.caller.organisation and situation.caller.has(Role.OPERATOR):
        message = "an operator's organisation is suspended or de-registered by another operator only"
        yield Fault("ORGANISATION-OPERATOR-1", Severity.REJECT, message, "", "organisationStatus")


def an_operator_keeps_its_role(situation: Situation) -> Iterable[Fault]:
    """Nor does an operator take its own role away."""
    is_own_record = uuid_of(situation.document["id"]) == situation.caller.organisation and situation.caller.has(Role.OPERATOR)
    if is_own_record and "FMAR_OPERATOR" not in situation.document.get("organisationRoles", ()):
        message = "the role FMAR_OPERATOR is taken away by another operator only"
        yield Fault("ORGANISATION-OPERATOR-1", Severity.REJECT, message, "/organisationRoles", "organisationRoles")


def an_operators_key_remains(situation: Situation) -> Iterable[Fault]:
    """The last key of an operator cannot be revoked: register its successor first."""
    wanted = (situation.note.get("clientId"), situation.note.get("keyId"))
    active = [key for key in situation.document.get("applicationKey", ()) if key["keyStatus"] == "ACTIVE"]
    is_operator = "FMAR_OPERATOR" in situation.document.get("organisationRoles", ())
    if is_operator and active and all(_matches(key, *wanted) for key in active):
        message = "this is the operator's last key: register another one first"
        yield Fault("ORGANISATION-OPERATOR-2", Severity.REJECT, message, "/keyId", "keyId")


def nothing_depends(situation: Situation) -> Iterable[Fault]:
    """UC-01.04: live assets stand in the way of leaving the register; the operator alone may have them wait for another provider."""
    count = situation.register.live_assets(uuid_of(situation.document["id"]))
    if situation.note.get("forced"):
        if not situation.caller.has(Role.OPERATOR):
            yield Fault("ORGANISATION-DEREGISTER-4", Severity.REJECT, "only the operator may take an organisation out while assets depend on it", "/forced", "forced")
        elif count > MOST_ORPHANS:
            message = f"{count} live assets are more than the {MOST_ORPHANS} that may lose their provider at once"
            yield Fault("LIVE_ASSETS", Severity.REJECT, message, "", "managedBy")
    elif count:
        message = f"{count} live assets: de-register them first (POST /assets/{{id}}/deregistration), or have them switched"
        yield Fault("LIVE_ASSETS", Severity.REJECT, message, "", "managedBy")


def key_is_new(situation: Situation) -> Iterable[Fault]:
    """A key is of an accepted type, and belongs to one application of one organisation."""
    note = situation.note
    for term in ("clientId", "publicKey"):
        if not note.get(term):
            yield Fault("ORGANISATION-KEY-3", Severity.REJECT, f"{term} is missing", f"/{term}", term)
    key, problem = registered_key(note.get("publicKey", ""))
    if problem and note.get("publicKey"):
        yield Fault("ORGANISATION-KEY-3", Severity.REJECT, f"the public key {problem}", "/publicKey", "publicKey")
    if key is None or not note.get("clientId"):
        return
    for claim in _key_claims([{"clientId": note["clientId"], "keyId": key.thumbprint}]):
        holder = situation.register.holder(claim)
        is_own_client = claim.scope == "clientId" and holder == uuid_of(situation.document["id"])
        if holder and not is_own_client:
            yield Fault("ORGANISATION-KEY-4", Severity.REJECT, f"this {claim.scope} is registered already", "/publicKey", "publicKey")


def registered_key(text: str) -> tuple[PublicKey | None, str]:
    """The public key of a JWK's text, or why it is not accepted."""
    from fmar_node.access.jose import UnacceptableError
    from fmar_node.access.key import public_key  # joserfc with it: whoever sees no key starts without

    try:
        return public_key(json.loads(text)), ""
    except UnacceptableError as refusal:
        return None, str(refusal)
    except (ValueError, RecursionError):
        return None, "is not a JWK in JSON"


def key_is_known(situation: Situation) -> Iterable[Fault]:
    """Only an active key of this organisation can be revoked."""
    keys = situation.document.get("applicationKey", ())
    wanted = (situation.note.get("clientId"), situation.note.get("keyId"))
    if not any(_matches(key, *wanted) for key in keys):
        message = "no active key of this organisation has this clientId and keyId"
        yield Fault("ORGANISATION-KEY-5", Severity.REJECT, message, "/keyId", "keyId")


# -- what the node sets


def an_applicant_asks_for_itself(situation: Situation) -> Iterable[Fault]:
    """Whoever applies has one application at a time, and does not make itself the operator."""
    applicant = situation.caller.applicant
    if applicant is None:
        return
    if situation.register.holder(Claim("application", applicant.identity)):
        yield Fault("APPLICATION_PENDING", Severity.REJECT, "you have applied for an organisation already: the operator decides on it", "", "applicant")
    if "FMAR_OPERATOR" in situation.document.get("organisationRoles", ()):
        yield Fault("ORGANISATION-REGISTER-3", Severity.REJECT, "the role FMAR_OPERATOR is given by an operator only", "/organisationRoles", "organisationRoles")


def first_administrator(situation: Situation) -> Iterable[Consequence]:
    """The applicant becomes the organisation's administrator: invited, to prove its address once more (UC-01.01)."""
    if email := situation.document.get("applicantEmail"):
        note = {"userOf": situation.document["id"], "userEmail": email, "userRole": "ADMINISTRATOR"}
        yield Consequence("users", new_record_id(), "register", note)


def registered(situation: Situation) -> Document:
    """A new organisation waits for the operator's approval."""
    applicant = situation.caller.applicant
    return {
        **asked(situation),
        **({"applicant": applicant.identity, "applicantEmail": applicant.email} if applicant else {}),
        "fmarOrganisationId": uuid_of(situation.document["id"]),
        "organisationStatus": "PENDING_APPROVAL",
    }


def approved(situation: Situation) -> Document:
    reason = {"approvalReason": situation.note["approvalReason"]} if "approvalReason" in situation.note else {}
    return {**_decided(situation), **reason, "organisationStatus": "ACTIVE"}


def rejected(situation: Situation) -> Document:
    """It was never in the register; whoever it is may apply again."""
    return {**_decided(situation), "rejectionReason": situation.note.get("rejectionReason", "withdrawn by the applicant"), "organisationStatus": "WITHDRAWN"}


def _decided(situation: Situation) -> Document:
    return {term: value for term, value in situation.document.items() if term not in APPLIED}


def says_why(situation: Situation) -> Iterable[Fault]:
    """An operator that rejects an application says why."""
    if situation.caller.has(Role.OPERATOR) and "rejectionReason" not in situation.note:
        yield Fault("ORGANISATION-REJECT-4", Severity.REJECT, "rejectionReason is missing", "/rejectionReason", "rejectionReason")


def withdrawn(situation: Situation) -> Document:
    """Leaving takes every key away in the same entry."""
    keys = [{**key, "keyStatus": "REVOKED"} for key in situation.document.get("applicationKey", ())]
    gone = {**situation.document, **situation.note, "organisationStatus": "WITHDRAWN"}
    return {**gone, "applicationKey": keys} if keys else gone


def taken_away(situation: Situation) -> Iterable[Consequence]:
    """Who leaves takes its people, its queries, its subscriptions, what it was told, has granted and was granted along, in the same transaction."""
    own, register = uuid_of(situation.document["id"]), situation.register
    yield from lapsed(register, own)
    yield from lapsing(situation)
    for user in register.belonging("users", own, ("INVITED", "ACTIVE")):
        yield Consequence("users", user.id, "departure")
    for delegation in register.belonging("delegations", own, ("OFFERED", "ACTIVE")):
        yield Consequence("delegations", delegation.id, "end")
    for query in register.belonging("queries", own, ("PUBLISHED",)):
        yield Consequence("queries", query.id, "end")
    for subscription in register.belonging("subscriptions", own, ("PENDING_VERIFICATION", "ACTIVE", "PAUSED", "FAILED")):
        yield Consequence("subscriptions", subscription.id, "end")
    if situation.note.get("forced"):
        for asset in register.belonging("assets", own, tuple(HELD)):
            if uuid_of(asset.document.get("managedBy", "")) == own:
                yield Consequence("assets", asset.id, "orphaning")


def with_key(situation: Situation) -> Document:
    """One more active key; its id is its RFC 7638 thumbprint."""
    keys = list(situation.document.get("applicationKey", ()))
    key, _ = registered_key(situation.note["publicKey"])
    assert key is not None
    added = {
        "id": f"{situation.document['id']}#applicationKey-{len(keys) + 1}",
        "type": "ApplicationKey",
        "clientId": situation.note["clientId"],
        "applicationName": situation.note.get("applicationName", situation.note["clientId"]),
        "keyId": key.thumbprint,
        "publicKey": json.dumps(key.jwk, separators=(",", ":"), sort_keys=True),
        "keyStatus": "ACTIVE",
        "keyRegisteredAt": situation.now,
    }
    return {**situation.document, "applicationKey": [*keys, added]}


def without_key(situation: Situation) -> Document:
    """Revokes one key, or all keys of an application where no keyId is given."""
    wanted = (situation.note.get("clientId"), situation.note.get("keyId"))
    keys = [
        {**key, "keyStatus": "REVOKED"} if _matches(key, *wanted) else key
        for key in situation.document["applicationKey"]
    ]
    return {**situation.document, "applicationKey": keys}


def _matches(key: Document, client_id: str | None, key_id: str | None) -> bool:
    return key["keyStatus"] == "ACTIVE" and key["clientId"] == client_id and key_id in (None, key["keyId"])


# -- identifiers and checks


def claims(document: Document) -> set[Claim]:
    """What identifies the legal entity, and the keys of its applications; whose application was rejected may come again."""
    found = set(_key_claims(document.get("applicationKey", ())))
    if "rejectionReason" in document:
        return found
    if "applicant" in document:
        found.add(Claim("application", document["applicant"]))
    country = _folded(document.get("countryOfIncorporation", "United Kingdom"))
    if number := document.get("organisationRegistrationNumber"):
        found.add(Claim("registration number", f"{country}|{_folded(number).zfill(8)}"))
    if vat_number := document.get("vatRegistrationNumber"):
        found.add(Claim("VAT number", _folded(vat_number).removeprefix("gb")))
    for alias in document.get("alias", ()):
        if alias.get("scheme") == "LEI":
            found.add(Claim("LEI", _folded(alias.get("value", ""))))
        elif alias.get("scheme") == DIRECTORY and document.get("organisationStatus") != "WITHDRAWN":
            found.add(Claim("name in a directory", alias.get("value", "").casefold()))
    return found


def _key_claims(keys: Iterable[Document]) -> Iterable[Claim]:
    for key in keys:
        yield Claim("clientId", key["clientId"])
        yield Claim("applicationKey", key["keyId"])


def _folded(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.casefold())


def handles(document: Document) -> set[tuple[str, str]]:
    return {(alias["scheme"], alias["value"].casefold()) for alias in document.get("alias", ()) if "value" in alias and "scheme" in alias}


def plain_checks(document: Document, *_: object) -> list[Fault]:
    """Check digits of a GB VAT number and of aliases; a mobile number begins with its country code."""
    faults = list(_wrong_aliases(document))
    number = document.get("vatRegistrationNumber")
    is_gb = document.get("countryOfIncorporation", "United Kingdom") == "United Kingdom"
    if number and is_gb and document.get("organisationType") != "NON_UK":
        try:
            vat.validate(number)
        except NumberError:
            faults.append(Fault("Organisation.vatRegistrationNumber", Severity.REJECT, "the check digits are wrong", "/vatRegistrationNumber", "vatRegistrationNumber", constraint="Organisation.vatRegistrationNumber-digits"))
    for term, code in MOBILES:
        if term in document and code in document and not document[term].startswith(document[code]):
            faults.append(Fault(f"Organisation.{code}", Severity.WARN, f"{term} does not begin with this country code", f"/{code}", code, constraint=f"Organisation.{code}-prefix"))
    return faults


def _wrong_aliases(document: Document) -> Iterable[Fault]:
    """Check digits of an LEI, a GLN, an EIC."""
    for place, alias in enumerate(document.get("alias", ())):
        scheme, value = alias.get("scheme"), alias.get("value", "")
        if scheme in CHECK_DIGITS and (pattern := CHECK_DIGITS[scheme])[0].fullmatch(value) and not pattern[1](value):
            message = f"the check digits of this {scheme} are wrong"
            yield Fault("Alias.value", Severity.REJECT, message, f"/alias/{place}/value", "value", constraint="Alias.value-digits")


def spelling(document: Document) -> dict[str, object]:
    """F: the United Kingdom by its name; the number of a British company in capitals, digits with zeros in front up to eight."""
    countries = {term: document[term] for term in ("countryOfIncorporation", "registeredCountry") if term in document}
    found: dict[str, object] = {term: UNITED_KINGDOM for term, value in countries.items() if _folded(value) in BRITISH}
    is_british = found.get("countryOfIncorporation", document.get("countryOfIncorporation", UNITED_KINGDOM)) == UNITED_KINGDOM
    if (number := document.get("organisationRegistrationNumber")) and is_british and document.get("organisationType") in COMPANIES:
        plain = re.sub(r"\s", "", number).upper()
        found["organisationRegistrationNumber"] = plain.zfill(8) if re.fullmatch("[0-9]+", plain) else plain
    return {term: value for term, value in found.items() if value != document[term]}


def defaults(document: Document, _: date) -> dict[str, object]:
    """F: an organisation of a GB type is incorporated in the United Kingdom unless it says otherwise."""
    if "countryOfIncorporation" not in document and document.get("organisationType") not in (None, "NON_UK", "OTHER"):
        return {"countryOfIncorporation": "United Kingdom"}
    return {}


def _operator_only(code: str, what: str) -> tuple[Policy, ...]:
    return (Policy(code, f"only the operator {what}", OPERATOR),)


ORGANISATION = Kind(
    name="organisation",
    plural="organisations",
    class_name="Organisation",
    defaults=defaults,
    plain_checks=plain_checks,
    claims=claims,
    handles=handles,
    filters=("organisationType", "organisationRoles", "organisationStatus", "licenceArea", "identityStatus"),
    spelling=spelling,
    inquiry=INQUIRY,
    actions={
        "register": Action(
            "register",
            ("UC-01.02",),
            (
                Policy("ORGANISATION-REGISTER-2", "a person who has signed in to apply registers an organisation of its own", applicants=True),
                Policy("ORGANISATION-REGISTER-1", "organisations are registered by the operator, or by a person who has signed in to apply (/signin?apply=true)", OPERATOR),
            ),
            (
                Rule(an_applicant_asks_for_itself, ("APPLICATION_PENDING", "ORGANISATION-REGISTER-3")),
                Rule(is_new, ("ORG_ALREADY_REGISTERED",)),
                Rule(leaves_directory_names_alone, ("ORGANISATION-UPDATE-3",)),
                Rule(areas_belong_to_a_network, ("Organisation.licenceArea",)),
            ),
            apply=registered,
            takes_document=True,
            is_open_to_applicants=True,
        ),
        "update": Action(
            "update",
            ("UC-01.03",),
            (
                Policy("ORGANISATION-UPDATE-1", "the operator changes any organisation", OPERATOR),
                Policy("ORGANISATION-UPDATE-2", "an organisation's own passport is changed by itself, who applies for it, or the operator", relations=OWN | {Relation.APPLICANT}),
            ),
            (
                Rule(is_new, ("ORG_ALREADY_REGISTERED",)),
                Rule(leaves_roles_alone, ("ORGANISATION-UPDATE-3",)),
                Rule(leaves_directory_names_alone, ("ORGANISATION-UPDATE-3",)),
                Rule(an_operator_keeps_its_role, ("ORGANISATION-OPERATOR-1",)),
                Rule(areas_belong_to_a_network, ("Organisation.licenceArea",)),
            ),
            states=frozenset({"PENDING_APPROVAL", "ACTIVE", "SUSPENDED"}),
            state_rule="ORGANISATION-UPDATE-4",
            apply=asked_anew,
            takes_document=True,
            is_open_to_applicants=True,
        ),
        "approval": Action(
            "approval",
            ("UC-01.02",),
            _operator_only("ORGANISATION-APPROVE-1", "approves organisations"),
            (WHO_IT_IS,),
            states=frozenset({"PENDING_APPROVAL"}),
            state_rule="ORGANISATION-APPROVE-2",
            apply=approved,
            consequences=first_administrator,
            names_version=lambda document: "applicant" in document,
            note_terms=frozenset({"approvalReason"}),
        ),
        "rejection": Action(
            "rejection",
            ("UC-01.02",),
            (
                Policy("ORGANISATION-REJECT-1", "the operator rejects an application", OPERATOR),
                Policy("ORGANISATION-REJECT-2", "an application is rejected by the operator, or withdrawn by who has made it", relations=frozenset({Relation.APPLICANT})),
            ),
            (Rule(says_why, ("ORGANISATION-REJECT-4",)),),
            states=frozenset({"PENDING_APPROVAL"}),
            state_rule="ORGANISATION-REJECT-3",
            apply=rejected,
            note_terms=frozenset({"rejectionReason"}),
            is_open_to_applicants=True,
        ),
        "suspension": Action(
            "suspension",
            ("UC-01.03",),
            _operator_only("ORGANISATION-SUSPEND-1", "suspends organisations"),
            (Rule(an_operator_remains, ("ORGANISATION-OPERATOR-1",)),),
            states=frozenset({"ACTIVE"}),
            state_rule="ORGANISATION-SUSPEND-2",
            apply=becomes("organisationStatus", "SUSPENDED"),
            consequences=lapsing,
        ),
        "reinstatement": Action(
            "reinstatement",
            ("UC-01.03",),
            _operator_only("ORGANISATION-REINSTATE-1", "lifts a suspension"),
            states=frozenset({"SUSPENDED"}),
            state_rule="ORGANISATION-REINSTATE-2",
            apply=approved,
        ),
        "deregistration": Action(
            "deregistration",
            ("UC-01.04",),
            (
                Policy("ORGANISATION-DEREGISTER-1", "the operator de-registers any organisation", OPERATOR),
                Policy("ORGANISATION-DEREGISTER-2", "an organisation is de-registered by itself or the operator", relations=OWN),
            ),
            (
                Rule(nothing_depends, ("LIVE_ASSETS", "ORGANISATION-DEREGISTER-4")),
                Rule(has_no_switch_pending, ("SWITCH_PENDING",)),
                Rule(an_operator_remains, ("ORGANISATION-OPERATOR-1",)),
            ),
            states=ADMITTED,
            state_rule="ORGANISATION-DEREGISTER-3",
            apply=withdrawn,
            consequences=taken_away,
            note_terms=frozenset({"forced"}),
        ),
        "key-registration": Action(
            "key-registration",
            ("UC-01.02", "UC-05.04"),
            (
                Policy("ORGANISATION-KEY-1", "the operator registers any application's key", OPERATOR),
                Policy("ORGANISATION-KEY-2", "an organisation's keys are registered by itself or the operator", relations=OWN),
            ),
            (Rule(key_is_new, ("ORGANISATION-KEY-3", "ORGANISATION-KEY-4")),),
            states=ADMITTED,
            state_rule="ORGANISATION-KEY-6",
            apply=with_key,
            note_class="ApplicationKey",
            note_terms=frozenset({"clientId", "applicationName", "publicKey"}),
        ),
        "key-revocation": Action(
            "key-revocation",
            ("UC-01.04",),
            (
                Policy("ORGANISATION-KEY-1", "the operator revokes any application's key", OPERATOR),
                Policy("ORGANISATION-KEY-2", "an organisation's keys are revoked by itself or the operator", relations=OWN),
            ),
            (Rule(key_is_known, ("ORGANISATION-KEY-5",)), Rule(an_operators_key_remains, ("ORGANISATION-OPERATOR-2",))),
            states=frozenset({"ACTIVE", "SUSPENDED", "WITHDRAWN"}),
            state_rule="ORGANISATION-KEY-7",
            apply=without_key,
            note_class="ApplicationKey",
            note_terms=frozenset({"clientId", "keyId"}),
        ),
        **IDENTITY_ACTIONS,
        ERASURE: erasure("ORGANISATION", ADMITTED | {"PENDING_APPROVAL", "WITHDRAWN"}),
    },
)
