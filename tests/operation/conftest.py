"""One node for those tests here that may kill its children and read its log."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import Live


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """It logs everything there is, and waits for no query longer than half a second unless it is asked to."""
    given = {"FMAR_LOG_LEVEL": "debug", "FMAR_QUERY_SECONDS_DEFAULT": "0.5", "FMAR_TRUSTED_PROXIES": "127.0.0.1"}
    with Live(tmp_path_factory.mktemp("own"), {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}}, **given) as node:
        yield node
