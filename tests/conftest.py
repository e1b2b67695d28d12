"""Fixtures that every test may use: a market in this process, and a live node over HTTP."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import Live
from tests.market import Market
from tests.operation.secure import Authority


@pytest.fixture(scope="session", autouse=True)
def trusts_nobody_outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test asks the world: one authority of its own, instead of a hundred and fifty that each new client would read."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SSL_CERT_FILE", str(Authority(tmp_path_factory.mktemp("trust")).ca))
        yield


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """A closed market that `market` is copied from."""
    made = Market(tmp_path_factory.mktemp("founded"))
    made.join("operator", "FMAR_OPERATOR")
    for name in ("fsp-a", "fsp-b", "fsp-c"):
        made.join(name, "FSP")
    made.join("dso-east", "DNO", licenceArea=["UKPN_EPN", "UKPN_LPN"])
    made.join("dso-south", "DNO", licenceArea=["UKPN_SPN"])
    made.join("neso", "SYSTEM_OPERATOR")
    made.join("regulator", "REGULATOR")
    made.join("platform", "PLATFORM")
    made.join("installer", "INSTALLER")
    made.close()
    return made


@pytest.fixture
def market(founded: Market, tmp_path: Path) -> Iterator[Market]:
    """An operator, three providers, two DSOs, NESO, a regulator, a platform and an installer; no assets yet."""
    made = founded.copied(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A node served by `fmar serve` on loopback, with the same participants and their own keys; it counts no refused token requests: one test is not to use up another's."""
    with Live(tmp_path_factory.mktemp("live"), FMAR_FRESHNESS_SECONDS="5", FMAR_TOKEN_REFUSALS="0") as node:
        yield node


def pytest_configure() -> None:
    """Hundreds of processes are started here: what the first one has compiled is there for the others."""
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    gc.disable()


def pytest_collection_finish() -> None:
    """Nine thousand tests stay until the end: the garbage collector need not look at them again and again."""
    gc.freeze()
    gc.enable()


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: many tests wait for a node."""
    return 2 + (os.cpu_count() or 1)
