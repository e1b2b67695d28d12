"""A register full of realistic assets: written past HTTP and judge, through the real drafting and the real journal.

Rules kept here: an asset varies a row of the published register (capacities, names, meter points with right check
digits) or is one of the domestic kinds that no register publishes; every document is one that the judge accepts
(`test_population` asks it); categories and areas come as often as in the sample, providers by a skewed distribution;
the same plan gives the same documents.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import accumulate, islice
from pathlib import Path
from typing import Any
from uuid import UUID

from fmar_node.access.caller import Caller, caller_of
from fmar_node.checks.mpan import check_digit
from fmar_node.checks.shape import Shapes
from fmar_node.client import Profile, new_key, public_part
from fmar_node.clock import SetClock, today
from fmar_node.drafting import Submission, draft_of, recorded
from fmar_node.errors import Fault, FmarError, Severity
from fmar_node.folder import Folder
from fmar_node.foundation import make_node
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.release import read_register
from fmar_node.journal.journal import Batch, Draft, Journal
from fmar_node.judge import Judgement, Paper, judge
from fmar_node.kinds import KINDS, Situation
from fmar_node.representation import LD_JSON
from fmar_node.settings import Settings
from fmar_node.vocabulary import Document, Vocabulary
from tests.market import organisation

SAMPLE = Path(__file__).parents[2] / "examples" / "data" / "ukpn-ecr-sample.csv"
DAY = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
DOMESTIC = 0.5
"""The share of assets that no register publishes: chargers and heat pumps."""
DISTRIBUTOR_OF = {"UKPN_EPN": 10, "UKPN_LPN": 12, "UKPN_SPN": 19}
CAPACITIES = ("ratedCapacity", "installedCapacity", "genCapacity", "demandCapacity", "agreedExportCapacity", "agreedImportCapacity", "storageEnergyCapacity")
PUBLIC_BODIES: dict[str, tuple[list[str], list[str]]] = {
    "dso-east": (["DNO"], ["UKPN_EPN", "UKPN_LPN"]),
    "dso-south": (["DNO"], ["UKPN_SPN"]),
    "neso": (["SYSTEM_OPERATOR"], []),
}
MACHINES = (
    ("EV_CHARGER", "EV", "Charger", (("Ohme", "Home Pro", "7.40"), ("Zappi", "GLO", "7.00"), ("Hypervolt", "Home 3", "7.40"))),
    ("HEAT_PUMP", "HEAT_PUMP", "Heat pump", (("Vaillant", "aroTHERM", "5.00"), ("Daikin", "Altherma", "8.00"), ("Mitsubishi", "Ecodan", "11.20"))),
)
PLACES = ("Ash", "Beech", "Cedar", "Elm", "Hazel", "Linden", "Maple", "Oak", "Rowan", "Willow")
STREETS = ("Close", "Court", "Drive", "Gardens", "Grove", "Lane", "Road", "Street", "Terrace", "Way")
COMMIT = 500
"""Entries that share a commit while a register is filled."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to make: how many assets of how many providers, after each `every`-th row; `seed` decides everything else."""

    assets: int
    providers: int = 20
    seed: int = 1
    every: int = 1


@dataclass(frozen=True, slots=True)
class Pattern:
    """A document as it is submitted, and as the judge leaves it; assets vary both alike."""

    submitted: Document
    judged: Document
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset of a population: its provider's place in the order of size, and both forms of its document."""

    id: str
    provider: int
    submitted: Document
    judged: Document
    faults: tuple[Fault, ...]

    @property
    def body(self) -> bytes:
        return json.dumps(self.submitted, ensure_ascii=False).encode()


@dataclass
class Population:
    """A made register: profiles of those who can call by name, and some of its assets to ask for."""

    root: Path
    plan: Plan
    profiles: dict[str, Profile] = field(default_factory=dict)
    assets: list[Asset] = field(default_factory=list)

    @property
    def folder(self) -> Folder:
        return Folder(self.root)

    def assets_of(self, provider: int) -> list[Asset]:
        return [asset for asset in self.assets if asset.provider == provider]


def is_accepted(judgement: Judgement) -> bool:
    """Whether nothing in the judgement stands in the way of registering."""
    justified = {each.get("rule") for each in judgement.document.get("justification", ())}
    return not any(
        fault.severity is Severity.REJECT or (fault.severity is Severity.JUSTIFY and fault.code not in justified) for fault in judgement.faults
    )


def judged(document: Document, iri: str, vocabulary: Vocabulary, shapes: Shapes, settings: Settings) -> Judgement | None:
    """What the judge says of an asset; None where it cannot read it or would not have it."""
    paper = Paper("assets", "register", iri, LD_JSON, json.dumps(document).encode(), DAY.date())
    try:
        judgement = judge(paper, vocabulary, shapes, settings)
    except FmarError:
        return None
    return judgement if is_accepted(judgement) else None


@cache
def patterns(every: int = 1) -> tuple[list[Pattern], list[Pattern]]:
    """The published rows (of `every` so many the first) and the domestic machines that the judge accepts."""
    vocabulary, settings = Vocabulary.load(), Settings()
    shapes = Shapes(vocabulary)

    def accepted(documents: Iterator[Document]) -> list[Pattern]:
        found = ((document, judged(document, f"{settings.base_url}/assets/{UUID(int=1)}", vocabulary, shapes, settings)) for document in documents)
        return [Pattern(document, judgement.document, judgement.faults) for document, judgement in found if judgement]

    readings = read_register(read_rows(SAMPLE))[::every]
    return accepted(candidate.document for reading in readings for candidate in reading.candidates), accepted(_domestic())


def _domestic() -> Iterator[Document]:
    for category, technology, _, machines in MACHINES:
        for area in DISTRIBUTOR_OF:
            for maker, model, capacity in machines:
                yield {
                    "@context": "https://w3id.org/fmar/context/v1", "type": "Asset", "assetName": "At home", "ownerKind": "ORGANISATION",
                    "ownerName": "Fenland Homes Ltd", "assetCategory": category, "energySource": "GRID", "demandTechType": technology,
                    "ratedCapacity": capacity, "installedCapacity": capacity, "demandCapacity": capacity, "connectionStatus": "CONNECTED",
                    "connectionType": "FIRM", "dnoConnection": area, "importMPAN": meter_point(area, 0), "postcode": "IP1 2AB",
                    "commissioningDate": "2024-03-01", "manufacturer": maker, "assetModel": model, "serialNumber": "S-0",
                    "justification": [{"rule": "A03", "text": "The housing association has applied to the register."}],
                }  # fmt: skip


def meter_point(area: str, number: int) -> str:
    """The number-th valid MPAN core of an area's distributor."""
    core = f"{DISTRIBUTOR_OF[area]:02d}{number:010d}"
    return core + str(check_digit(core))


def assets(plan: Plan, base_url: str) -> Iterator[Asset]:
    """The assets of a plan, one after another: equal for equal plans but for the number of assets."""
    published, domestic = patterns(plan.every)
    dice = random.Random(plan.seed)
    sizes = list(accumulate(1 / (place + 1) for place in range(plan.providers)))
    for number in range(plan.assets):
        pattern = dice.choice(domestic if dice.random() < DOMESTIC else published)
        changes = _changes(pattern.judged, number, dice)
        id_ = _record_id(number, dice)
        iri = f"{base_url}/assets/{id_}"
        provider = dice.choices(range(plan.providers), cum_weights=sizes)[0]
        yield Asset(id_, provider, _varied(pattern.submitted, changes), {**_moved(_varied(pattern.judged, changes), iri), "id": iri}, pattern.faults)


def _record_id(number: int, dice: random.Random) -> str:
    """A UUID version 7 of a moment of its own."""
    moment = int(DAY.timestamp() * 1000) - 500_000_000 + 5 * number
    return str(UUID(int=(moment << 80) | (7 << 76) | (dice.getrandbits(12) << 64) | (2 << 62) | dice.getrandbits(62)))


def _changes(document: Document, number: int, dice: random.Random) -> dict[str, Any]:
    """New values for the terms that tell assets of one pattern apart; all capacities grow or shrink together."""
    factor = Decimal(dice.randint(850, 1150)) / 1000
    changes: dict[str, Any] = {
        term: str((Decimal(document[term]) * factor).quantize(Decimal("0.01"))) for term in CAPACITIES if term in document and "demandTechType" not in document
    }
    place = f"{dice.choice(PLACES)} {dice.choice(STREETS)} {number}"
    changes["assetName"] = f"{place} - {document['assetName'].rpartition(' - ')[2]}"
    changes["ownerName"] = f"{dice.choice(PLACES)} {'Energy' if 'publishedSource' in document else 'Homes'} {number % 997} Ltd"
    for at, term in enumerate(("importMPAN", "exportMPAN")):
        if term in document:
            changes[term] = meter_point(document["dnoConnection"], 10_000_000 + 2 * number + at)
    if "serialNumber" in document:
        changes["serialNumber"] = f"SN-{number:08d}"
    if "alias" in document:
        changes["alias"] = [{**document["alias"][0], "value": f"ECR-{dice.getrandbits(64):016x}-1"}]
    return changes


def _varied(document: Document, changes: Mapping[str, Any]) -> Document:
    varied = {**document, **changes}
    if "alias" in changes and "id" not in document:
        varied["alias"] = [{term: value for term, value in alias.items() if term not in ("id", "type")} for alias in changes["alias"]]
    return varied


def _moved(document: Document, iri: str) -> Document:
    """The document with its parts below another record's IRI."""
    moved: Document = {}
    for term, value in document.items():
        is_parts = isinstance(value, list) and value and isinstance(value[0], dict)
        moved[term] = [{**part, "id": f"{iri}#{part['id'].rpartition('#')[2]}"} for part in value] if is_parts else value
    return moved


def populate(root: Path, base_url: str, plan: Plan, keep: int = 2_000) -> Population:
    """Makes a node's folder with all organisations and assets in its journal; its graph is left to a rebuild.

    `keep` assets, spread over the whole, are kept to be asked for.
    """
    population = Population(root, plan)
    population.profiles["operator"] = make_node(root, base_url, organisation("Operator", ["FMAR_OPERATOR"]), SetClock(DAY))
    folder, vocabulary = Folder(root), Vocabulary.load()
    signing = folder.journal_key(base_url)
    journal = Journal(folder.journal, signing.name, signing, vocabulary.terms, folder.lookup_key())
    filling = Filling(journal, vocabulary, base_url)
    with journal.batch() as batch:
        for name, (roles, areas) in PUBLIC_BODIES.items():
            filling.join(batch, population, name, roles, areas)
        providers = [filling.join(batch, population, f"fsp-{number}", ["FSP"], []) for number in range(plan.providers)]
    step = max(1, plan.assets // keep)
    coming = enumerate(assets(plan, base_url))
    while chunk := list(islice(coming, COMMIT)):
        with journal.batch() as batch:
            for number, asset in chunk:
                batch.append(filling.draft(asset, providers[asset.provider], batch.next_index))
                if number % step == 0:
                    population.assets.append(asset)
    journal.close()
    return population


@dataclass(slots=True)
class Filling:
    """Drafts for a journal that nobody else writes."""

    journal: Journal
    vocabulary: Vocabulary
    base_url: str
    clock: SetClock = field(default_factory=lambda: SetClock(DAY))

    def join(self, batch: Batch, population: Population, name: str, roles: list[str], areas: list[str]) -> Caller:
        """An organisation registered, approved, and with a key, in one entry; its profile is kept."""
        key, id_ = new_key(), str(UUID(int=(7 << 76) | (2 << 62) | (len(population.profiles) << 80)))
        iri = f"{self.base_url}/organisations/{id_}"
        described = {**organisation(f"The {name} organisation", roles), **({"licenceArea": areas} if areas else {})}
        document: Document = {"id": iri, **described}
        note = {"clientId": name, "applicationName": name, "publicKey": json.dumps(public_part(key))}
        for action in ("register", "approval", "key-registration"):
            document = KINDS["organisations"].actions[action].apply(self.situation(Caller(), document, note))
        population.profiles[name] = Profile(self.base_url, self.base_url, f"{self.base_url}/oauth/token", name, iri, key)
        batch.append(self.drafted("organisations", id_, document, Caller(), (), json.dumps(described).encode(), batch.next_index))
        return caller_of(document, name)

    def situation(self, caller: Caller, document: Document, note: Document | None = None) -> Situation:
        now = self.journal.recorded_now(self.clock.now())
        return Situation(caller, self.journal.register, today(self.clock), document, None, now, note or {})

    def draft(self, asset: Asset, provider: Caller, index: int) -> Draft:
        self.clock.instant += timedelta(milliseconds=5)
        document = KINDS["assets"].actions["register"].apply(self.situation(provider, asset.judged))
        return self.drafted("assets", asset.id, document, provider, asset.faults, asset.body, index)

    def drafted(self, kind: str, id_: str, document: Document, caller: Caller, faults: tuple[Fault, ...], body: bytes, index: int) -> Draft:
        situation = self.situation(caller, document)
        submission = Submission(caller, kind, "register", id_, self.base_url, LD_JSON, body)
        return draft_of(recorded(document, situation, faults, self.vocabulary), situation, submission, self.vocabulary, index)

