"""The shim's library, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.shim import compiled


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled(tmp_path_factory.mktemp("shim"))
