"""The words that the reference pages need and the code does not have: titles, short explanations, sample callers."""

from __future__ import annotations

from typing import Any

UNITS = {"KiloW": "kW", "KiloW-HR": "kWh", "KiloV": "kV", "M": "m"}

SHORT = {
    "application/ld+json": "JSON-LD",
    "application/json": "JSON",
    "text/turtle": "Turtle",
    "application/n-triples": "N-Triples",
    "application/rdf+xml": "RDF/XML",
    "application/merge-patch+json": "merge patch (RFC 7396)",
    "application/x-ndjson": "NDJSON",
    "application/sparql-query": "SPARQL",
    "application/x-www-form-urlencoded": "form",
}

FORM_CODES = (
    ("`unknown-term`", "R", "the key is no term of the class; the message suggests the nearest one"),
    ("`type-mismatch`", "R", "`type` names another class than the one of this route"),
    ("`foreign-subject`", "R", "an RDF document describes something beside the record and its parts"),
    ("`literal-ill-formed`", "R", "the value is not of the term's form; the code is the term's rule where it has one"),
    ("`server-set`", "R", "the term is set by the node, and the document changes it; the code is the term's rule where it has one"),
    ("`part-id`", "R", "the `id` of a nested part is not below the record"),
    ("`spelling`", "F", "the value is written in another way than the register writes it, and was rewritten; the term is listed in `defaulted`"),
    ("`cim-...`", "R", "what only a document in the [CIM profile](cim-profile.md#faults) can have wrong"),
    ("`default`", "F", "the term was absent and has been filled; it is listed in `defaulted`"),
)

CIM_CODES = (
    ("`unknown-term`", "a property, or a node's property of ours, that is not carried; the message suggests the nearest one"),
    ("`cim-class`", "a node of a class that the register has no place for, or not there"),
    ("`cim-node`", "a node that nothing leads to, or a reference to a node that is not described"),
    ("`foreign-subject`", "a node has the IRI of another record"),
    ("`cim-twice`", "a term is said twice and differently, or there are two nodes where the register has one: a second unit, a second UsagePoint of a direction"),
    ("`cim-unit`", "the class of the technical unit is not that of the category"),
    ("`cim-direction`", "a UsagePoint or a limit does not say which way it is"),
    ("`cim-name-type`", "a Name without a NameType, or with one that there is not on such a node"),
    ("`cim-authority`", "the NameTypeAuthority is not the one that issues such names"),
    ("`cim-fixed`", "a property that always has one value, such as the coordinate system, has another"),
    ("`cim-role`", "a role node that `organisationRoles` does not have, or that stands for several roles"),
    ("`server-set`", "`RegisteredResource.registrationStatus` and other values that the node sets, changed"),
    ("`literal-ill-formed`", "a value that is not of the property's datatype, where no shape says so already"),
)

PARAMETERS = {"code": "A20, A21", "term": "importMPAN, exportMPAN"}
"""What the parameters of the functions that make faults stand for."""

HEADERS = (
    ("`ETag`", "records, answers of writes", "this version as this caller sees it, in this format; `If-None-Match` gives 304"),
    ("`If-Match`", "`PUT`, `PATCH`", "the ETag of the version that the change is based on, in any format; `*` is whatever version there is: with `PUT`, what somebody else has changed meanwhile is overwritten; with `PATCH`, the version that the patch was merged into; 428 without, 412 when stale"),
    ("`Idempotency-Key`", "writes", "the same key and body give the same answer again (`Idempotent-Replayed: true`); another body is 422"),
    ("`Prefer: return=minimal`", "writes", "no body in the answer: 201 or 204"),
    ("`Fmar-Journal-Index`", "answers of writes and of `/sparql`", "the entry that was written; how far the graph had come"),
    ("`Fmar-Claim-Code`", "answers of writes", "the code that the asset's owner lets a provider claim it by: told once, and kept as a hash"),
    ("`Fmar-Min-Journal-Index`", "`/sparql`", "wait until the graph has come so far; 503 with `Retry-After` past the bound"),
    ("`Fmar-Quality`", "answers of writes of assets and organisations", "the score of what was written, 0 to 100, as far as the caller sees it; `Link: rel=\"quality\"` has the rest"),
    ("`Fmar-Hint`", "answers of `/sparql` with a credential", "where the public records are"),
    ('`Link: rel="proof"`, `rel="profile"`, `rel="alternate"`, `rel="next"`', "records, lists", "the receipt; which profile this is, and where the others are; the next page"),
    ("`RateLimit-Policy`, `RateLimit`", "answers to a credential", "how many requests the caller's organisation and application may send (`q` in `w` seconds), "
     "how many they have left (`r`) and in how many seconds they have all of them again (`t`); draft-ietf-httpapi-ratelimit-headers-11"),
    ("`Retry-After`", "409, 429, 503", "seconds"),
)

RELATIONS = {
    "operator": "the caller is the register's operator",
    "self": "the record is the caller's own organisation, one of its users, or one of its subscriptions",
    "manager": "the caller manages the asset (`managedBy`)",
    "owner": "the caller owns the asset (`owner`)",
    "registrant": "the caller registered the asset at its installation (`registeredBy`), and it has no provider yet",
    "applicant": "the caller is the person that has applied for the organisation, which has not been decided yet",
    "grantor": "the caller has granted the delegation (`grantor`)",
    "delegate": "the caller was granted the delegation (`delegate`)",
    "grantee": "the consent is for the caller (`grantee`)",
    "without consent": "the caller manages the asset (`managedBy`), acts for who does, or has registered it and it waits for a provider (`registeredBy`), and the consent that it rests on holds no longer (`consentEndedAt`)",
    "gaining": "the caller has requested the switch (`gainingProvider`)",
    "losing": "the caller was the asset's provider when the switch was requested (`losingProvider`)",
    "committing": "the caller has declared the service window (`windowProvider`)",
    "committed to": "the service window is declared to the caller (`windowOperator`)",
    "publisher": "the caller has published the saved query (`publishedBy`)",
    "audience": "the saved query is published, and is for the caller's organisation or for a role that it has",
    "addressee": "the notice is for the caller (`noticeParty`), or for the register's operator (`noticeRole`), which the caller is",
    "area": "the caller is a DSO, and the asset connects in one of its licence areas (`dnoConnection`)",
    "national": "the caller is the national system operator",
    "granted": "a delegation in force gives the caller READ of the asset",
    "granted personal": "a delegation in force gives the caller READ_PERSONAL of the asset",
    "passport": "a delegation in force gives the caller the organisation's PASSPORT: no keys, no evidence",
    "contacts": "a delegation in force gives the caller the organisation's CONTACTS with its passport",
    "public": "anybody: an approved organisation, or an organisation's asset that a public register (ECR, REPD, TEC, BMU) already "
    "lists, but never an EV charger or a heat pump; a saved query for everybody; or a release that is approved",
}

ACTORS = {
    "manager": "00000000-0000-7000-8000-000000000001",
    "owner": "00000000-0000-7000-8000-000000000002",
    "other": "00000000-0000-7000-8000-000000000003",
    "registrant": "00000000-0000-7000-8000-000000000004",
}

CALLERS: dict[str, tuple[str, list[str], list[str], str]] = {
    "operator": ("other", ["FMAR_OPERATOR"], [], "ACTIVE"),
    "managing FSP": ("manager", ["FSP"], [], "ACTIVE"),
    "managing FSP, suspended": ("manager", ["FSP"], [], "SUSPENDED"),
    "owner": ("owner", ["ASSET_OWNER"], [], "ACTIVE"),
    "another FSP": ("other", ["FSP"], [], "ACTIVE"),
    "DSO of the area": ("other", ["DNO"], ["UKPN_EPN"], "ACTIVE"),
    "another DSO": ("other", ["DNO"], ["UKPN_SPN"], "ACTIVE"),
    "NESO": ("other", ["SYSTEM_OPERATOR"], [], "ACTIVE"),
    "regulator": ("other", ["REGULATOR"], [], "ACTIVE"),
    "platform": ("other", ["PLATFORM"], [], "ACTIVE"),
    "installer": ("other", ["INSTALLER"], [], "ACTIVE"),
    "installer that registered it": ("registrant", ["INSTALLER"], [], "ACTIVE"),
}
"""Name of the caller -> organisation, roles, licence areas, status."""

_ASSET: dict[str, Any] = {
    "id": "https://node.example/assets/00000000-0000-7000-8000-00000000000a",
    "type": "Asset",
    "ownerKind": "ORGANISATION",
    "owner": "@owner",
    "managedBy": "@manager",
    "assetCategory": "BESS",
    "dnoConnection": "UKPN_EPN",
}
_QUERY: dict[str, Any] = {
    "id": "https://node.example/queries/00000000-0000-7000-8000-00000000000c",
    "type": "SavedQuery",
    "publishedBy": "@manager",
    "audience": ["DNO"],
    "queryStatus": "PUBLISHED",
}
RECORDS: dict[str, dict[str, Any]] = {
    "asset in UKPN_EPN": _ASSET,
    "asset in UKPN_EPN that is in the ECR": {**_ASSET, "alias": [{"scheme": "ECR", "value": "x"}]},
    "asset that waits for a provider": {name: value for name, value in {**_ASSET, "registeredBy": "@registrant"}.items() if name != "managedBy"},
    "organisation of the managing FSP": {"id": "@manager", "type": "Organisation", "organisationStatus": "ACTIVE"},
    "user of the managing FSP": {"id": "https://node.example/users/00000000-0000-7000-8000-00000000000b", "type": "User", "userOf": "@manager"},
    "query of the managing FSP for network operators": _QUERY,
    "that organisation, not yet approved": {"id": "@manager", "type": "Organisation", "organisationStatus": "PENDING_APPROVAL"},
    "notice for the managing FSP": {"id": "https://node.example/notices/00000000-0000-7000-8000-00000000000d", "type": "Notice", "noticeParty": "@manager"},
}

ROUTES = {
    ("post", "/assets"): "Registers an asset (UC-02.02).",
    ("post", "/organisations"): "Registers an organisation (UC-01.02).",
    ("post", "/users"): "Invites a user of the caller's organisation (UC-01.01).",
    ("post", "/delegations"): "Offers a delegation, or a passport (UC-05.04).",
    ("post", "/queries"): "Publishes a saved query of the caller's organisation (UC-05.02).",
    ("post", "/subscriptions"): "Opens a subscription of the caller's organisation; its secret stands in the answer, and nowhere else.",
    ("post", "/pause"): "Holds events of a subscription back.",
    ("post", "/resumption"): "Lets events of a subscription that was paused, or has failed, be sent again.",
    ("post", "/secret-rotation"): "Makes a new secret for a subscription; it stands in the answer, and nowhere else.",
    ("post", "/cancellation"): "Ends a subscription, a service window or a switch before its time.",
    ("post", "/switches"): "Requests that an asset be switched to the caller (UC-03.04).",
    ("post", "/service-windows"): "Declares when an asset is committed to a system operator.",
    ("post", "/confirmation"): "Confirms a service window, which stands in the way of a switch from then on.",
    ("post", "/hold"): "Holds a switch up, on a dispute.",
    ("post", "/release"): "Lets a switch go on that was held up.",
    ("post", "/consent-renewal"): "Offers a new proof of consent for an asset (`consentReference`), which is live again where it was suspended for the want of one (UC-05.05).",
    ("post", "/releases"): "Proposes a release of code lists and shapes; for the operator (UC-02.01).",
    ("post", "/analysis"): "Has the impact of a release on the stored records worked out again.",
    ("post", "/shadow"): "Puts a release into shadow: new documents are judged by it beside, and counted.",
    ("post", "/withdrawal"): "Takes a saved query back, a release that is not in force yet, a service window that is not confirmed, or a switch that has not taken effect.",
    ("post", "/acceptance"): "Accepts what was offered; of an asset what a source has queried, with a reason.",
    ("post", "/revocation"): "Ends a delegation, by either side.",
    ("post", "/deactivation"): "Ends a user's account.",
    ("get", "/versions"): "The versions that the caller can tell apart.",
    ("get", "/versions/{number}"): "One of them.",
    ("get", "/history"): "What changed from version to version; who and when for those who see the whole record.",
    ("get", "/provenance"): "Of each field whose word its value is, by which method, and when it was verified; for those who see the evidence.",
    ("get", "/proof"): "The receipt: inclusion proof, and the sections that the caller sees whole.",
    ("get", "/{id}"): "The record as the caller sees it, now, `?at=` a time, or `?version=` n.",
    ("post", "/erasure"): "Destroys personal values of the record in its history and wherever they stand; for the operator.",
    ("get", "/journal/handovers"): "From one signing key of the journal to the next, oldest first.",
    ("post", "/deregistration"): "Ends the record's life: a status, never a deletion.",
    ("post", "/approval"): "Makes a pending organisation active; with a reason where its identity is queried. Has a release come into force on its day.",
    ("post", "/evidence"): "Records what the operator has seen of an organisation's identity, which is confirmed then.",
    ("post", "/rejection"): "Rejects an application, or withdraws it.",
    ("post", "/suspension"): "Stops an organisation from writing.",
    ("post", "/reinstatement"): "Lifts the suspension.",
    ("post", "/key-registration"): "Adds an application's public key.",
    ("post", "/key-revocation"): "Revokes one key, or all keys of an application.",
    ("post", "/acknowledgement"): "Says that who has to act has seen the notice.",
    ("post", "/resolution"): "Resolves a notice: what became of it, and why.",
    ("post", "/claim"): "Claims an asset that waits for a provider, with the authority of its owner: the claim code, or an appointment; what a consumer owns with its consent (`consentReference`) besides.",
    ("post", "/appointment"): "Appoints the provider that may claim the asset; without one takes the appointment back. For its owner.",
    ("post", "/claim-code"): "Has a new claim code made; the one before is void. The code is in the header Fmar-Claim-Code.",
}
"""For routes whose endpoint has no description of its own."""

USE_CASES = {
    "UC-01.01": "Register user",
    "UC-01.02": "Register organisation",
    "UC-01.03": "Update organisation",
    "UC-01.04": "De-register organisation, deactivate user",
    "UC-02.01": "Maintain asset categories",
    "UC-02.02": "Register and validate asset",
    "UC-02.03": "De-register asset",
    "UC-02.04": "Update asset",
    "UC-02.05": "Export",
    "UC-02.06": "Manage connection limit",
    "UC-03.01": "Create market unit",
    "UC-03.02": "Re-assign market unit",
    "UC-03.03": "Update composition of a market unit",
    "UC-03.04": "Owner-initiated switch of provider",
    "UC-03.05": "De-register market unit",
    "UC-04.01": "Product catalogue",
    "UC-04.02": "Record qualification",
    "UC-04.03": "Discover opportunities",
    "UC-05.01": "Share data",
    "UC-05.02": "Analytics",
    "UC-05.03": "Dispute and correction",
    "UC-05.04": "Third-party platforms",
    "UC-05.05": "Consumer consent",
    "UC-05.06": "Audit trail",
    "DQ-1": "Maintain rules of quality",
    "DQ-2": "Validate and score at ingestion",
    "DQ-3": "Scorecard",
    "DQ-4": "Manage discrepancy",
    "UC-05.07": "Categories and schemas",
}

SUPPORT = {
    "UC-01.01": ("sign-in", "covered", "users are invited by their administrators or the operator, and prove who they are at an identity provider"),
    "UC-01.02": ("`/signin?apply=true`", "covered", "a person who has signed in applies, or the operator registers; British companies are asked of the companies register where the node has one, of others the operator records evidence; whoever applied becomes the administrator"),
    "UC-01.03": ("", "covered", "status and roles by the operator only; a changed name, number, type, country or year of an organisation is verified again, and it stays active meanwhile"),
    "UC-01.04": ("", "covered", "live assets and pending switches are counted; keys, users, delegations, saved queries, subscriptions and notices go in the same transaction; the operator may force it, then assets wait for another provider"),
    "UC-02.01": ("`fmar release`, `GET /codes?release=`", "covered", "a release of code lists and shapes is proposed, analysed on the stored register, shadowed, approved for a day, and in force from one journal entry on"),
    "UC-02.02": ("`POST /assets/batch`, also as a table or a job, `?upsert=friendlyCode`, `?upsert=externalId`, `fmar import`", "covered", "conformance, duplicates, references; meter points, MCS certificates, serial numbers and connections are asked of the sources that the node has, the operator accepts a query; what is overdue raises a notice; installers, makers and owners register what has no provider yet, and a provider claims it with its owner's authority; what individuals own needs a consent, which is verified before anything is written"),
    "UC-02.03": ("", "covered", "a confirmed service window and a pending switch stand in the way, and are told together; market units and disputes do not exist yet"),
    "UC-02.04": ("", "covered", "a change of what was verified sends the asset back to validation, and is asked of those that it concerns; those who see the asset are [told](../guides/events.md) which terms changed, and which of these materially (`material_capacity_percent`)"),
    "UC-02.05": ("`GET /assets/export`, `/assets/export/manifest`, `fmar export`, `fmar audit verify`", "covered", "NDJSON-LD, CSV, JSON, JSON-LD, N-Quads, N-Triples, Turtle, RDF/XML; narrowed, as of a time or a place of the journal; with a manifest that the node signs"),
    "UC-03.04": ("`POST /switches`, `/switches/batch`, `managed=former`, `asOf`", "covered", "the gaining provider, or its platform, brings the owner's proof; confirmed windows stand in the way, one switch of an asset is pending at most, the clock makes it effective; the losing provider keeps the record as it was; many assets in one batch, each accepted or refused alone; a consent solution requests as a platform to which the gaining provider has granted `SWITCH`"),
    "UC-05.01": ("reads, lists, lookup, `/sparql`", "in part", "one node answers for itself; it does not ask others"),
    "UC-05.02": ("`GET /queries/{name}`, `/sparql`, `fmar query`", "in part", "questions with typed parameters are published under names for chosen audiences; nothing is worked out ahead of being asked, and there are no market results to analyse yet"),
    "UC-05.04": ("token exchange", "covered", "a platform has keys of its own and acts for providers that have granted it, by tokens that name both"),
    "UC-05.05": ("`consentReference`, `POST /consents/notifications`", "in part", "receipts and references of configured consent solutions; a revocation, notified or found by asking again, suspends the asset and cuts its provider's reading in one transaction; those who saw the asset are [told](../guides/events.md) that it changed or went out of view"),
    "UC-05.07": ("`fmar release`, `GET /shapes?release=`", "in part", "code lists that documents choose from, and shapes; terms, contexts and the lists that the node works with come with the package"),
    "UC-05.06": ("`/history`, `/versions`, `/proof`, `/journal/...`, `/security-log`, `fmar audit verify`", "covered", "an owner or manager sees who did what; others see which of their fields changed"),
    "DQ-1": ("`fmar validate --shapes`, `GET /quality?by=rule`", "in part", "rules are shapes or plain functions with dimension, weight, severity and days, drafted, shadowed, active, retired; they come with a release of the package, and who makes one active looks himself at how many records miss it"),
    "DQ-2": ("`Fmar-Quality`, `{record}/quality`, SPARQL", "covered", "every version is scored as far as each viewer sees it; what was warned of and justified stays with the version"),
    "DQ-3": ("`GET /quality`, `/quality/assets`, `fmar quality`, SPARQL", "covered", "by organisation, category, area, dimension, rule and day, down to the records; aggregates with small cells left out for those who see aggregates alone"),
    "DQ-4": ("`fmar notices`", "covered", "one notice for each party, type and subject, raised by the node and reopened on recurrence; it names fields and sources, both values stand in the record's evidence"),
}
"""Use case -> what covers it beside actions, how far, and a remark. What is not here is not covered yet."""
