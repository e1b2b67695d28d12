"""The clients that there are, and those that the settings name."""

from __future__ import annotations

from fmar_node.clock import Clock
from fmar_node.errors import Malformed
from fmar_node.folder import Folder, is_open, readable
from fmar_node.settings import Settings
from fmar_node.sources.asker import key_in
from fmar_node.sources.companies_register import CompaniesRegister
from fmar_node.sources.mcs import CertificateRegister
from fmar_node.sources.meter_point import MeterPointService
from fmar_node.sources.oem import SerialRegister
from fmar_node.sources.source import ExternalSource

CLIENTS = (CompaniesRegister, MeterPointService, CertificateRegister, SerialRegister)


def clients(settings: Settings, folder: Folder, clock: Clock) -> list[ExternalSource]:
    """Of the sources that are configured; Malformed where one cannot be asked as the settings say."""
    return [client(settings, clock, _key(client.name, settings, folder)) for client in CLIENTS if client.name in settings.sources]


def _key(name: str, settings: Settings, folder: Folder) -> str:
    if not (given := settings.source_key_file(name)):
        return ""
    file = folder.root / given
    if file.exists() and is_open(file):
        raise Malformed("malformed-request", "{}; {}".format(*readable(file)))
    return key_in(file, f"{name.lower()}_key_file")
