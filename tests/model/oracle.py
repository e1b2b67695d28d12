"""What a register does, told a second time: plain dictionaries that follow the documentation and nothing of the node.

Rules kept here: every prediction comes from `docs/reference/policies.md` (who may, who sees), `rules.md` (what is
refused), `terms.md` (which tier a field is in) and the flows of the domain (validation, duplicates, de-registration);
what only the node can know (identifiers, the instant of recording) is learned from its answer.

Documents are plain here: a link is the bare identifier of a record, a part has no identifier, a warning is its rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Document = dict[str, Any]

POLICIES = {
    ("assets", "register"): ("ASSET-REGISTER-1", ""),
    ("assets", "update"): ("ASSET-UPDATE-1", "ASSET-UPDATE-2"),
    ("assets", "deregistration"): ("ASSET-DEREGISTER-1", "ASSET-DEREGISTER-3"),
    ("organisations", "register"): ("ORGANISATION-REGISTER-1", ""),
    ("organisations", "update"): ("ORGANISATION-UPDATE-2", "ORGANISATION-UPDATE-4"),
    ("organisations", "approval"): ("ORGANISATION-APPROVE-1", "ORGANISATION-APPROVE-2"),
    ("organisations", "suspension"): ("ORGANISATION-SUSPEND-1", "ORGANISATION-SUSPEND-2"),
    ("organisations", "reinstatement"): ("ORGANISATION-REINSTATE-1", "ORGANISATION-REINSTATE-2"),
    ("organisations", "deregistration"): ("ORGANISATION-DEREGISTER-2", "ORGANISATION-DEREGISTER-3"),
    ("organisations", "key-registration"): ("ORGANISATION-KEY-2", "ORGANISATION-KEY-6"),
    ("organisations", "key-revocation"): ("ORGANISATION-KEY-2", "ORGANISATION-KEY-7"),
}
"""What a refusal quotes: the policy, and the rule of the record's state."""
STATES = {
    "approval": {"PENDING_APPROVAL"}, "suspension": {"ACTIVE"}, "reinstatement": {"SUSPENDED"},
    "deregistration": {"ACTIVE", "SUSPENDED"}, "key-registration": {"ACTIVE", "SUSPENDED"},
    "key-revocation": {"ACTIVE", "SUSPENDED", "WITHDRAWN"}, "update": {"PENDING_APPROVAL", "ACTIVE", "SUSPENDED"},
}  # fmt: skip
"""In which states of an organisation something may be done to it."""
OWN = {"update", "deregistration", "key-registration", "key-revocation"}
"""What an organisation may do to itself; the rest is the operator's."""
CONFLICTS = {
    "DUPLICATE_EXACT", "FRIENDLY_CODE_TAKEN", "ORG_ALREADY_REGISTERED", "LIVE_ASSETS", "ORGANISATION-KEY-4",
    "ORGANISATION-OPERATOR-1", "ORGANISATION-OPERATOR-2",
}  # fmt: skip
TIERS = {
    "operator": {"open", "operational", "commercial", "personal"},
    "self": {"open", "operational", "commercial", "personal"},
    "manager": {"open", "operational", "commercial", "personal"},
    "owner": {"open", "operational", "commercial", "personal"},
    "area": {"open", "operational", "personal"},
    "national": {"open", "operational"},
    "public": {"open"},
}
VERIFIED_BY_OTHERS = ("importMPAN", "exportMPAN", "serialNumber", "manufacturer", "assetModel", "assetCategory", "dnoConnection")
NODES_OWN = {
    "assets": {
        "assetId", "registrationStatus", "validationStatus", "standing", "managedBy", "deregistrationReason", "deregisteredAt",
        "survivor", "responsibility", "evidence", "validationDueBy", "overdueSince", "acceptanceReason", "warning", "defaulted", "registeredAt", "recordedAt", "recordedBy", "version", "shapesVersion",
    },
    "organisations": {
        "fmarOrganisationId", "organisationStatus", "applicationKey", "warning", "defaulted", "registeredAt", "recordedAt",
        "recordedBy", "version", "shapesVersion", "identityStatus", "identityEvidence", "approvalReason",
    },
}  # fmt: skip
"""Marked *node* in terms.md."""
NEW_ORGANISATION = {"organisationStatus": "PENDING_APPROVAL", "identityStatus": "NOT_CHECKED"}
AREA_OF = {"10": "UKPN_EPN", "12": "UKPN_LPN", "19": "UKPN_SPN"}
TABLE = Path(__file__).parents[2] / "docs/reference/terms.md"


def tiers_of_terms(text: str) -> dict[str, str]:
    """Which tier each term is in, as the published tables say."""
    return {row[1]: row[2] for row in re.finditer(r"^\| `(\w+)` \|.*?\| (open|operational|commercial|personal) \|", text, re.MULTILINE)}


TIER = tiers_of_terms(TABLE.read_text("utf-8"))


@dataclass(frozen=True)
class Request:
    """Something that a participant asks for. `basis` is None without If-Match, else "*" or the number of a version."""

    caller: str
    kind: str
    id: str
    action: str
    document: Document
    method: str = "POST"
    basis: str | int | None = None
    key: str = ""

    @property
    def is_document(self) -> bool:
        return self.action in ("register", "update")

    @property
    def digest(self) -> str:
        """What makes two requests the same one."""
        return repr((self.method, self.kind, self.id, self.action, self.document))


@dataclass(frozen=True)
class Answer:
    """What became of a request: accepted as a version at a place of the journal, or refused with codes."""

    id: str = ""
    number: int = 0
    index: int = -1
    is_repeat: bool = False
    code: str = ""
    faults: frozenset[str] = frozenset()


def refused(code: str, *faults: str) -> Answer:
    return Answer(code=code, faults=frozenset(faults))


@dataclass(frozen=True)
class Version:
    """A record as it stood from one instant on."""

    document: Document
    time: str
    index: int

    @property
    def state(self) -> str:
        return str(self.document.get("registrationStatus") or self.document.get("organisationStatus"))


@dataclass(frozen=True)
class Shown:
    """A version as a caller sees it, with the number that it has for the caller."""

    document: Document
    number: int
    time: str


@dataclass
class Oracle:
    """The register: every version of every record, the answers given to idempotency keys, the size of the journal.

    `thumbprints` has the name of each public key that may turn up.
    """

    thumbprints: Mapping[str, str]
    size: int = 0
    records: dict[str, dict[str, list[Version]]] = field(default_factory=lambda: {"organisations": {}, "assets": {}})
    answered: dict[tuple[str, str], tuple[str, Answer]] = field(default_factory=dict)

    # -- what stands

    def now(self, kind: str, id_: str) -> Version | None:
        versions = self.records[kind].get(id_)
        return versions[-1] if versions else None

    def everything(self, kind: str) -> Iterator[tuple[str, Document]]:
        for id_, versions in self.records[kind].items():
            yield id_, versions[-1].document

    def live(self) -> Iterator[tuple[str, Document]]:
        return ((id_, each) for id_, each in self.everything("assets") if each["standing"] != "DEREGISTERED")

    def organisation(self, id_: str) -> Document:
        found = self.now("organisations", id_)
        return found.document if found else {"organisationStatus": "", "organisationRoles": []}

    def is_admitted(self, id_: str) -> bool:
        return self.organisation(id_)["organisationStatus"] in ("ACTIVE", "SUSPENDED")

    def is_active(self, id_: str) -> bool:
        return self.organisation(id_)["organisationStatus"] == "ACTIVE"

    def has(self, id_: str, *roles: str) -> bool:
        return self.is_admitted(id_) and not set(roles).isdisjoint(self.organisation(id_)["organisationRoles"])

    # -- who sees what

    def relations(self, document: Document, caller: str) -> set[str]:
        found = {"public"} if is_public(document) else set()
        if not self.is_admitted(caller):
            return found
        if self.has(caller, "FMAR_OPERATOR"):
            found.add("operator")
        if document.get("fmarOrganisationId") == caller:
            found.add("self")
        if document.get("managedBy") == caller:
            found.add("manager")
        if document.get("owner") == caller:
            found.add("owner")
        if self.has(caller, "DNO") and document.get("dnoConnection") in self.organisation(caller).get("licenceArea", ()):
            found.add("area")
        if "assetId" in document and self.has(caller, "SYSTEM_OPERATOR"):
            found.add("national")
        return found

    def tiers(self, document: Document, caller: str) -> set[str]:
        return set().union(*(TIERS[relation] for relation in self.relations(document, caller)))

    def shown(self, document: Document, caller: str) -> Document | None:
        opened = self.tiers(document, caller)
        return cut(document, opened) if opened else None

    def sees(self, kind: str, id_: str, caller: str) -> Document | None:
        found = self.now(kind, id_)
        return self.shown(found.document, caller) if found else None

    def versions(self, kind: str, id_: str, caller: str) -> list[Shown]:
        """Those that the caller can tell apart, numbered as it counts."""
        told: list[Shown] = []
        for version in self.records[kind].get(id_, ()):
            document = self.shown(version.document, caller)
            if document is not None and (not told or told[-1].document != document):
                told.append(Shown(document, len(told) + 1, version.time))
        return told

    def at(self, kind: str, id_: str, caller: str, time: str) -> Shown | None:
        """The record as it stood then; None where the caller does not see how it stood then."""
        then = [version for version in self.records[kind].get(id_, ()) if version.time <= time]
        if not then or self.shown(then[-1].document, caller) is None:
            return None
        return [shown for shown in self.versions(kind, id_, caller) if shown.time <= time][-1]

    def listed(self, kind: str, caller: str, managed: bool, equal: Mapping[str, str]) -> list[str]:
        found = []
        for id_, document in self.everything(kind):
            shown = self.shown(document, caller)
            is_wanted = shown is not None and all(_is_or_has(shown.get(name), value) for name, value in equal.items())
            if is_wanted and (not managed or document.get("managedBy") == caller):
                found.append(id_)
        return sorted(found)

    def looked_up(self, scheme: str, value: str, caller: str) -> list[str]:
        """Those in whose identifiers of this tier the caller has standing (domain 5.2)."""
        needed = "personal" if scheme in ("MPAN", "SERIAL") else "commercial"
        found = [id_ for id_, each in self.live() if _folded(scheme, value) in identifiers(each, scheme) and needed in self.tiers(each, caller)]
        return sorted(found)

    def graph(self, caller: str) -> dict[str, set[str]]:
        """What the caller's own graph says of which record; public rows stand in the public graph alone."""
        return {id_: set(self.shown(each, caller) or ()) for id_, each in self._all() if self.relations(each, caller) - {"public"}}

    def public_graph(self) -> dict[str, set[str]]:
        return {id_: set(cut(each, {"open"})) for id_, each in self._all() if is_public(each)}

    def _all(self) -> Iterator[tuple[str, Document]]:
        yield from self.everything("organisations")
        yield from self.everything("assets")

    # -- what is answered

    def expect(self, request: Request, today: str) -> Answer:
        """What the node has to say to a request."""
        earlier = self.answered.get((request.caller, request.key)) if request.key else None
        if earlier is not None:
            same = earlier[0] == request.digest
            return Answer(earlier[1].id, earlier[1].number, earlier[1].index, True) if same else refused("idempotency-key-reused")
        return self.refusal(request) or self._judged(request, today)

    def refusal(self, request: Request) -> Answer | None:
        """What is said before anybody looks at the document: existence, permission, state, version."""
        previous = self.now(request.kind, request.id)
        policy, state_rule = POLICIES[request.kind, request.action]
        if request.action != "register" and (previous is None or self.sees(request.kind, request.id, request.caller) is None):
            return refused("not-found")
        if not self._may(request):
            return refused("not-permitted", policy)
        if previous is None:
            return None
        if previous.state == "DEREGISTERED" or (request.kind == "organisations" and previous.state not in STATES[request.action]):
            return refused("conflict", state_rule)
        if not request.is_document:
            return None
        if request.basis is None:
            return refused("precondition-required")
        return None if request.basis in ("*", previous.document["version"]) else refused("version-stale")

    def _may(self, request: Request) -> bool:
        if not self.is_active(request.caller):
            return False
        if request.kind == "organisations":
            is_own = request.action in OWN and request.id == request.caller
            return is_own or self.has(request.caller, "FMAR_OPERATOR")
        previous = self.now("assets", request.id)
        is_manager = previous is None or previous.document["managedBy"] == request.caller
        return is_manager and self.has(request.caller, "FSP", "AGGREGATOR")

    def _judged(self, request: Request, today: str) -> Answer:
        previous = self.now(request.kind, request.id)
        before = previous.document if previous else None
        faults = set(self._faults(request, before, today))
        if faults:
            return refused(_code_of(faults), *(fault.rstrip("?") for fault in faults))
        if previous and request.is_document and self.becomes(request, today) == before:
            return Answer(request.id, len(self.records[request.kind][request.id]), previous.index, True)
        return Answer(request.id, len(self.records[request.kind].get(request.id, ())) + 1, self.size)

    def _faults(self, request: Request, before: Document | None, today: str) -> Iterable[str]:
        if request.kind == "assets" and request.is_document:
            return self.asset_faults(self.whole(request, today), before, request, today)
        if request.kind == "assets":
            return self._departure_faults(request)
        if request.is_document:
            return self._passport_faults(self.whole(request, today), before, request)
        return self._decision_faults(request, before or {})

    # -- what is refused: assets

    def asset_faults(self, document: Document, before: Document | None, request: Request, today: str) -> Iterator[str]:
        """Every rule that the document breaks and does not justify; with a question mark where a justification would do."""
        justified = {each["rule"] for each in document.get("justification", ())}
        for code in self._shape_faults(document):
            yield code
        if (owner := document.get("owner")) and not self.is_admitted(owner):
            yield "A03"  # a record that waits for approval is not to be told from none
        if (document["effectiveDate"] < today) and document["effectiveDate"] != (before or {}).get("effectiveDate"):
            yield "A06"
        if document["commissioningDate"] > today:
            yield "A13"
        is_exact = self._is_taken(document, request.id)
        if is_exact:
            yield "DUPLICATE_EXACT"
        for term, code in (("importMPAN", "A20"), ("exportMPAN", "A21")):
            if code not in justified and any(each["managedBy"] != request.caller for each in self._at_point(document, before, term)):
                yield f"{code}?"
        if not is_exact and "DUPLICATE_PROBABLE" not in justified and self._has_new_twin(document, before or {}, request.id):
            yield "DUPLICATE_PROBABLE?"
        code = document.get("friendlyCode", "").casefold()
        others = [each for id_, each in self.live() if id_ != request.id and each["managedBy"] == request.caller]
        if code and any(each.get("friendlyCode", "").casefold() == code for each in others):
            yield "FRIENDLY_CODE_TAKEN"

    def _shape_faults(self, document: Document) -> Iterator[str]:
        justified = {each["rule"] for each in document.get("justification", ())}
        if document["ownerKind"] == "INDIVIDUAL":
            yield "consent-not-available"
            if "owner" in document:
                yield "A03"
        elif "owner" not in document and "ownerName" not in document:
            yield "A03"
        elif "owner" not in document and "A03" not in justified:
            yield "A03?"
        if float(document["installedCapacity"]) < max(float(document["genCapacity"]), float(document["demandCapacity"])):
            yield "A17"
        if "serialNumber" in document and not re.fullmatch(r"[A-Za-z0-9_-]{3,64}", document["serialNumber"]):
            yield "A12"
        for term, code in (("importMPAN", "A20"), ("exportMPAN", "A21")):
            if term in document and not _is_mpan(document[term]):
                yield code
        if "friendlyKode" in document:
            yield "unknown-term"

    def _is_taken(self, document: Document, id_: str) -> bool:
        """Whether another live asset is the same device: serial number and manufacturer, or EVSE."""
        return any(devices(document) & devices(each) for other, each in self.live() if other != id_)

    def _at_point(self, document: Document, before: Document | None, term: str) -> list[Document]:
        """The live assets at a meter point that is newly named."""
        value = document.get(term)
        if value is None or value == (before or {}).get(term):
            return []
        return [each for _, each in self.live() if value in (each.get("importMPAN"), each.get("exportMPAN"))]

    def _has_new_twin(self, document: Document, before: Document, id_: str) -> bool:
        """Whether another live asset is a near twin at the same point, and was none of the document as it was."""
        others = [each for other, each in self.live() if other != id_]
        return any(_is_twin(document, each) and not _is_twin(before, each) for each in others)

    def _departure_faults(self, request: Request) -> Iterator[str]:
        note = request.document
        if "deregistrationReason" not in note:
            yield "ASSET-DEREGISTER-4"
            return
        survivor = self.now("assets", note.get("survivor", ""))
        stays = survivor is not None and survivor.state != "DEREGISTERED" and survivor.document["managedBy"] == request.caller
        is_right = stays and note["survivor"] != request.id if note["deregistrationReason"] == "DUPLICATE" else "survivor" not in note
        if not is_right:
            yield "ASSET-DEREGISTER-5"

    # -- what is refused: organisations

    def _passport_faults(self, document: Document, before: Document | None, request: Request) -> Iterator[str]:
        others = [each for id_, each in self.everything("organisations") if id_ != request.id]
        if any(identities(document) & identities(each) for each in others):
            yield "ORG_ALREADY_REGISTERED"
        roles = ("organisationRoles", "organisationRolesDescription", "licenceArea")
        is_operator = self.has(request.caller, "FMAR_OPERATOR")
        if before and not is_operator and any(document.get(term) != before.get(term) for term in roles):
            yield "ORGANISATION-UPDATE-3"
        if before and is_operator and request.id == request.caller and "FMAR_OPERATOR" not in document["organisationRoles"]:
            yield "ORGANISATION-OPERATOR-1"
        if ("DNO" in document["organisationRoles"]) != ("licenceArea" in document):
            yield "Organisation.licenceArea"

    def _decision_faults(self, request: Request, before: Document) -> Iterator[str]:
        is_own = request.id == request.caller and self.has(request.caller, "FMAR_OPERATOR")
        if request.action in ("suspension", "deregistration") and is_own:
            yield "ORGANISATION-OPERATOR-1"
        if request.action == "deregistration" and any(request.id in (each["managedBy"], each.get("owner")) for _, each in self.live()):
            yield "LIVE_ASSETS"
        if request.action == "key-registration":
            yield from self._new_key_faults(request)
        if request.action == "key-revocation":
            active = [key for key in before.get("applicationKey", ()) if key["keyStatus"] == "ACTIVE"]
            gone = [key for key in active if _is_meant(key, request.document)]
            if not gone:
                yield "ORGANISATION-KEY-5"
            elif gone == active and "FMAR_OPERATOR" in before["organisationRoles"]:
                yield "ORGANISATION-OPERATOR-2"

    def _new_key_faults(self, request: Request) -> Iterator[str]:
        note = request.document
        if "clientId" not in note or "publicKey" not in note:
            yield "ORGANISATION-KEY-3"
            return
        for id_, each in self.everything("organisations"):
            for key in each.get("applicationKey", ()):
                if key["publicKey"] == note["publicKey"] or (key["clientId"] == note["clientId"] and id_ != request.id):
                    yield "ORGANISATION-KEY-4"

    # -- what it becomes

    def take(self, request: Request, answer: Answer, time: str, today: str) -> None:
        """The request has been accepted, at this time, under this identifier and in this place."""
        if not answer.is_repeat:
            made = self.becomes(request, today)
            self.keep(request.kind, answer.id, made, time, request.caller)
        if request.key:
            self.answered[request.caller, request.key] = (request.digest, answer)

    def keep(self, kind: str, id_: str, document: Document, time: str, by: str) -> None:
        """The next version of a record, with the record of its making."""
        versions = self.records[kind].setdefault(id_, [])
        mark = {"registeredAt": versions[0].time if versions else time, "recordedAt": time, "version": len(versions) + 1}
        identity = {"assetId": id_} if kind == "assets" else {"fmarOrganisationId": id_}
        keys = [{"keyRegisteredAt": time, **key} for key in document.get("applicationKey", ())]
        left = {"deregisteredAt": time} if document.get("standing") == "DEREGISTERED" else {}
        whole = {**document, **mark, **identity, **left, "recordedBy": by or id_, "shapesVersion": "*"}
        if kind == "assets":
            whole["responsibility"] = _responsible(whole, versions[-1].document if versions else {}, time)
        versions.append(Version({**whole, "applicationKey": keys} if keys else whole, time, self.size))
        self.size += 1

    def whole(self, request: Request, today: str) -> Document:
        """The submitted document with what the node fills in where it is silent (A06, A08)."""
        previous = self.now(request.kind, request.id)
        before = previous.document if previous else {}
        own = NODES_OWN[request.kind]
        patched = merged(_without(before, own), request.document) if request.method == "PATCH" else request.document
        document = normal(_without(patched, own))
        if request.kind == "assets":
            document.setdefault("effectiveDate", before.get("effectiveDate", today))
            if document["assetCategory"] == "BESS":
                document.setdefault("energySource", before.get("energySource", "GRID"))
        return document

    def becomes(self, request: Request, today: str) -> Document:
        """The record after an accepted request. An unchanged record is the same document as before."""
        previous = self.now(request.kind, request.id)
        before = previous.document if previous else None
        if request.kind == "assets":
            return self._asset_becomes(request, before, today)
        if request.is_document:
            return _changed(self.whole(request, today), before or NEW_ORGANISATION, "organisations", set())
        assert before is not None
        return self._decided(before, request)

    def _decided(self, before: Document, request: Request) -> Document:
        """An organisation after a named action."""
        state = {"approval": "ACTIVE", "suspension": "SUSPENDED", "reinstatement": "ACTIVE", "deregistration": "WITHDRAWN"}
        keys = [dict(key) for key in before.get("applicationKey", ())]
        note = request.document
        if request.action == "key-registration":
            named = {"keyId": self.thumbprints[note["publicKey"]], "applicationName": note["clientId"]}
            keys.append({**named, **note, "keyStatus": "ACTIVE"})
        for key in keys:
            if request.action == "deregistration" or (request.action == "key-revocation" and _is_meant(key, note)):
                key["keyStatus"] = "REVOKED"
        after = {**before, "organisationStatus": state.get(request.action, before["organisationStatus"])}
        return {**after, "applicationKey": keys} if keys else after

    def _asset_becomes(self, request: Request, before: Document | None, today: str) -> Document:
        if request.action == "deregistration":
            return {**(before or {}), **request.document, "registrationStatus": "DEREGISTERED", "standing": "DEREGISTERED"}
        document = self.whole(request, today)
        filled = {term for term in ("effectiveDate", "energySource") if term in document and term not in self._said(request, before)}
        fresh = {"registrationStatus": "PENDING_VALIDATION", "validationStatus": "PENDING_VALIDATION", "standing": "LIVE", "managedBy": request.caller}
        return _changed(document, before or fresh, "assets", filled)

    def _said(self, request: Request, before: Document | None) -> set[str]:
        """The terms that the submission holds; a patch holds what it is merged into."""
        patched = merged(before or {}, request.document) if request.method == "PATCH" else request.document
        return set(patched)

    def validated(self, id_: str, validation: str, standing: str) -> Document:
        """What the node itself writes when it has asked others, or an operator decides on the standing."""
        previous = self.now("assets", id_)
        assert previous is not None
        status = validation if standing == "LIVE" else standing
        return {**_without(previous.document, {"warning"}), "validationStatus": validation, "standing": standing, "registrationStatus": status}


# -- documents


def _changed(document: Document, before: Document, kind: str, filled: set[str]) -> Document:
    """A document with what the node keeps of the record, and with its notes; `before` itself where nothing has changed."""
    kept = {name: value for name, value in before.items() if name in NODES_OWN[kind]}
    result = {**kept, **document}
    if kind == "assets":
        touched = any(document.get(term) != before.get(term) for term in VERIFIED_BY_OTHERS)
        if before["validationStatus"] == "QUERY" or (before["validationStatus"] == "VERIFIED" and touched):
            result["validationStatus"] = "PENDING_VALIDATION"
            if before["standing"] == "LIVE":
                result["registrationStatus"] = "PENDING_VALIDATION"
    if result == before:
        return before
    stays = {term for term in before.get("defaulted", ()) if document.get(term) == before.get(term)}
    notes = {"warning": warnings(document) if kind == "assets" else [], "defaulted": sorted(filled | stays)}
    return {name: value for name, value in {**result, **notes}.items() if value != []}


def _responsible(document: Document, before: Document, time: str) -> list[Document]:
    """The one provider that an asset has here, from the day of its registration to that of its end."""
    times = [dict(each) for each in before.get("responsibility", [{"provider": document["managedBy"], "validFrom": time[:10], "begunAt": time}])]
    is_over = document.get("standing") == "DEREGISTERED" and "validTo" not in times[-1]
    return [{**times[-1], **({"validTo": time[:10], "endedAt": time} if is_over else {})}]


def cut(document: Document, opened: set[str]) -> Document:
    """The fields whose tiers are open, in the parts too."""
    shown: Document = {}
    for name, value in document.items():
        if TIER[name] in opened:
            is_parts = isinstance(value, list) and value and isinstance(value[0], dict)
            shown[name] = [cut(each, opened) for each in value] if is_parts else value
    return shown


def is_public(document: Document) -> bool:
    if "organisationStatus" in document:
        return document["organisationStatus"] in ("ACTIVE", "SUSPENDED", "WITHDRAWN")
    is_listed = any(alias["scheme"] in ("ECR", "REPD", "TEC", "BMU") for alias in document.get("alias", ()))
    return is_listed and document["ownerKind"] == "ORGANISATION" and document["assetCategory"] not in ("EV_CHARGER", "HEAT_PUMP")


def warnings(document: Document) -> list[str]:
    """The rules that warn: another network's MPAN, a store without its energy, a name that is missing."""
    found = set()
    if any(AREA_OF.get(document.get(term, "")[:2], document["dnoConnection"]) != document["dnoConnection"] for term in ("importMPAN", "exportMPAN")):
        found.add("A19")
    if document["assetCategory"] == "BESS" and "storageEnergyCapacity" not in document:
        found.add("Asset.storageEnergyCapacity")
    if "assetName" not in document:
        found.add("A02")
    return sorted(found)


def devices(document: Document) -> set[str]:
    """What makes two assets the same thing."""
    found = {f"evse {_folded('EVSE', alias['value'])}" for alias in document.get("alias", ()) if alias["scheme"] == "EVSE"}
    if "serialNumber" in document and "manufacturer" in document:
        found.add(f"serial {document['manufacturer'].casefold()} {document['serialNumber'].casefold()}")
    return found


def identities(document: Document) -> set[str]:
    """What makes two organisations the same legal entity."""
    found = {f"LEI {alias['value']}" for alias in document.get("alias", ()) if alias["scheme"] == "LEI"}
    if number := document.get("organisationRegistrationNumber"):
        found.add(f"number {document.get('countryOfIncorporation', 'United Kingdom')} {number}")
    if number := document.get("vatRegistrationNumber"):
        found.add(f"VAT {number.removeprefix('GB')}")
    return found


def identifiers(document: Document, scheme: str) -> set[str]:
    """What lookup finds an asset by, folded."""
    if scheme == "MPAN":
        return {document[term] for term in ("importMPAN", "exportMPAN") if term in document}
    if scheme == "SERIAL":
        things = [document, *document.get("device", ())]
        return {each["serialNumber"].casefold() for each in things if "serialNumber" in each}
    if scheme == "FRIENDLY_CODE":
        return {document["friendlyCode"].casefold()} if "friendlyCode" in document else set()
    return {_folded(scheme, alias["value"]) for alias in document.get("alias", ()) if alias["scheme"] == scheme}


def normal(document: Document) -> Document:
    """Codes of a list stand in one order; what is absent is absent."""
    return {name: _in_order(value) for name, value in document.items() if value is not None}


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    whole = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        whole[name] = merged(whole.get(name), value)
    return {name: value for name, value in whole.items() if value is not None}


def _in_order(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) and value and isinstance(value[0], str) else value


def _without(document: Document, names: set[str]) -> Document:
    return {name: value for name, value in document.items() if name not in names}


def _is_or_has(value: Any, wanted: str) -> bool:
    return wanted in value if isinstance(value, list) else value == wanted


def _folded(scheme: str, value: str) -> str:
    """As identifiers are compared: EVSE ids without their asterisks, case aside."""
    return value.replace("*", "").casefold() if scheme == "EVSE" else value.casefold()


def _is_twin(one: Document, other: Document) -> bool:
    shares = identifiers(one, "MPAN") & identifiers(other, "MPAN")
    return bool(shares) and one["assetCategory"] == other["assetCategory"] and _is_near(one, other)


def _is_near(one: Document, other: Document) -> bool:
    """Capacity within 5 %."""
    capacities = sorted(float(each["ratedCapacity"]) for each in (one, other))
    return capacities[1] - capacities[0] <= 0.05 * capacities[1]


def _is_mpan(text: str) -> bool:
    weights = (3, 5, 7, 13, 17, 19, 23, 29, 31, 37, 41, 43)
    return sum(int(digit) * weight for digit, weight in zip(text[:12], weights, strict=True)) % 11 % 10 == int(text[12])


def _is_meant(key: Document, note: Document) -> bool:
    """Whether a revocation means this key: by its application, and by its own name where one is given."""
    return key["clientId"] == note.get("clientId") and note.get("keyId") in (None, key["keyId"])


def _code_of(faults: set[str]) -> str:
    """A conflict where the state alone stands in the way, else a document to mend; consent has a code of its own."""
    if faults <= CONFLICTS:
        return "conflict"
    rejected = {fault for fault in faults if not fault.endswith("?")}
    return "consent-not-available" if rejected == {"consent-not-available"} else "validation-failed"
