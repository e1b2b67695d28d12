"""Fixtures that every test may use: a market in this process, and a live node over HTTP."""

from __future__ import annotations

import fcntl
import gc
import os
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from tests.live import Live
from tests.market import Market
from tests.operation.secure import Authority

LONG = (
    "cli/test_demo.py", "test_crash.py", "keeping/test_scrub.py", "faults/test_node_faults.py", "cli/test_commands.py", "web/test_operations_http.py",
    "web/test_sparql.py", "web/test_limits.py", "test_recovery.py", "attacks/test_documents.py", "attacks/test_queries.py", "attacks/test_oracles.py",
    "operation/test_checkup.py", "shapes/test_fixtures.py", "checks/test_shape.py", "store/test_pool.py", "web/test_issuers_http.py", "two_worlds/test_queries.py",
)  # fmt: skip
"""What takes long begins first: no worker is left with it when the others have ended."""


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


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Nine thousand tests stay until the end: the garbage collector need not look at them again and again."""
    gc.disable()
    try:
        with alone_at_first() if hasattr(session.config, "workerinput") else nullcontext():
            return (yield)
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def alone_at_first() -> Iterator[None]:
    """The first worker compiles the tests; the others wait for that, instead of doing the same beside it."""
    with Path(__file__).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the order of their folders, but for what takes long."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are cores: many tests wait for a node."""
    return 2 + (os.cpu_count() or 1)
