"""The example market of the demo: who takes part, and the published assets that its providers register.

Rules kept here: organisations are invented; who is there already is kept with its key, and so is every asset:
rows go in under the same idempotency keys again. Rows of one meter point go to one provider.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from fmar_node.cli.participate import ROLES, onboard
from fmar_node.cli.registering import registering
from fmar_node.cli.tour.visit import KEPT_ALIVE, example
from fmar_node.client import Profile, connect
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.reading import RowReading
from fmar_node.imports.release import read_register
from fmar_node.imports.report import Outcome, Report, RowReport, json_lines
from fmar_node.imports.run import run_import

SAMPLE = "data/ukpn-ecr-sample.csv"
CONCURRENCY = 8
CONTACTS = ("primaryContact", "technicalItContact")


@dataclass(frozen=True, slots=True)
class Participant:
    """An invented organisation: its short name, legal form, Companies House style number, and contacts."""

    name: str
    role: str
    legal_name: str
    form: str
    number: str
    contacts: tuple[str, str]
    areas: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """Its passport: the example organisation, with its own name, number, roles and contacts."""
        document: dict[str, Any] = json.loads(example("documents/organisation.json").read_bytes())
        host = f"{self.name}.example.com"
        document |= {
            "organisationLegalName": self.legal_name, "organisationTradingName": self.legal_name.removesuffix(" Ltd").removesuffix(" plc"),
            "organisationType": self.form, "organisationRegistrationNumber": self.number, "organisationRoles": [ROLES[self.role]],
            "organisationWebsite": f"https://{host}", "organisationEmail": f"office@{host}",
        }  # fmt: skip
        for prefix, person in zip(CONTACTS, self.contacts, strict=True):
            first, last = person.split()
            document |= {f"{prefix}FirstName": first, f"{prefix}LastName": last, f"{prefix}Email": f"{first}.{last}@{host}".lower()}
        document |= {"licenceArea": list(self.areas)} if self.areas else {}
        return {name: value for name, value in document.items() if value}


OPERATOR = {
    "type": "Organisation",
    "organisationLegalName": "FMAR Demo Operator",
    "organisationType": "OTHER",
    "organisationTypeDescription": "operator of a demo's register",
    "organisationRoles": ["FMAR_OPERATOR"],
}
PARTICIPANTS = (
    Participant("fsp-a", "fsp", "Green Park Flexibility Ltd", "LTD", "99000101", ("Maya Lindqvist", "Owen Pryce")),
    Participant("fsp-b", "fsp", "Tidewater Energy Services Ltd", "LTD", "99000102", ("Grace Adeyemi", "Luca Marsh")),
    Participant("fsp-c", "fsp", "Northbrook Aggregation Ltd", "LTD", "99000103", ("Hamish Reid", "Priya Nair")),
    Participant("dso-east", "dso", "Eastern and London Example Networks plc", "PLC", "99000104", ("Ruth Calder", "Sam Okoro"), ("UKPN_EPN", "UKPN_LPN")),
    Participant("dso-south", "dso", "South Eastern Example Networks plc", "PLC", "99000105", ("Peter Vance", "Ines Moreau"), ("UKPN_SPN",)),
    Participant("neso", "neso", "Example National System Operator Ltd", "LTD", "99000106", ("Alice Thorne", "Ben Hussain")),
    Participant("regulator", "regulator", "Office of Example Energy Markets", "GOVERNMENT_DEPARTMENT", "", ("Noor Rahman", "Elin Voss")),
    Participant("platform", "platform", "Flexmarket Example Platform Ltd", "LTD", "99000107", ("Joe Castell", "Mina Sato")),
    Participant("installer", "installer", "Brightwire Installations Ltd", "LTD", "99000108", ("Dana Firth", "Karl Weiss")),
)
PROVIDERS = ("fsp-a", "fsp-b", "fsp-c")


def settle_in(folder: Path) -> dict[str, Profile]:
    """The profiles of all participants, the operator's too; those who are not there yet are onboarded."""
    profiles = {"operator": Profile.load(folder / "operator")}
    for participant in PARTICIPANTS:
        place = folder / participant.name
        if not (place / "profile.json").exists():
            onboard(profiles["operator"], participant.name, participant.document(), place)
        profiles[participant.name] = Profile.load(place)
    return profiles


def bring_in_assets(profiles: dict[str, Profile], on_row: Callable[[int, int], None]) -> Report:
    """Registers the sample's rows over HTTP, by the three providers in turn. `on_row` hears how many of how many are done."""
    readings = read_register(read_rows(example(SAMPLE)))
    clients = {name: connect(profiles[name], limits=KEPT_ALIVE) for name in PROVIDERS}
    register, done, lock = _dealt(readings, clients), iter(range(1, len(readings) + 1)), threading.Lock()

    def count(_: RowReport) -> None:
        with lock:
            on_row(next(done), len(readings))

    try:
        return run_import(readings, register, CONCURRENCY, count)
    finally:
        for client in clients.values():
            client.close()


def _dealt(readings: Iterable[RowReading], clients: dict[str, httpx.Client]) -> Callable[[dict[str, Any], str], Outcome]:
    """Registers each document as the provider that its row was dealt to."""
    desks = [registering(client, {}) for client in clients.values()]
    dealt: dict[str, int] = {}
    at_meter_point: dict[str, int] = {}
    for place, reading in enumerate(readings):
        points = [point for each in reading.documents for term in ("importMPAN", "exportMPAN") if (point := each.get(term))]
        desk = next((at_meter_point[point] for point in points if point in at_meter_point), place % len(desks))
        at_meter_point.update(dict.fromkeys(points, desk))
        dealt.update({candidate.key: desk for candidate in reading.candidates})
    return lambda document, key: desks[dealt[key]](document, key)


def write_report(report: Report, file: Path) -> None:
    """The whole row report as lines of JSON."""
    file.write_text("".join(f"{line}\n" for line in json_lines(report)), "utf-8")
