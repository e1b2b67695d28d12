"""The worlds of one seed, which the tests of the default suite share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.two_worlds.pairs import Worlds

SEED = 1
QUESTIONS = 35
"""For each viewer; 490 together."""


@pytest.fixture(scope="session")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    made = Worlds(tmp_path_factory.mktemp("worlds"), SEED, QUESTIONS)
    yield made
    made.close()
