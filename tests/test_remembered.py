"""What the web process remembers of the journal is what the journal says now."""

from __future__ import annotations

from fmar_node.node import Directory, Remembered
from fmar_node.record import Version
from tests.market import Market, battery


def test_what_is_remembered_is_read_once_while_the_journal_stands(market: Market) -> None:
    own, reads = market.callers["fsp-a"].organisation, []
    remembered: Remembered[Version] = Remembered(market.register)

    def read() -> Version | None:
        reads.append(own)
        return market.register.current("organisations", own)

    first, second = remembered.get(own, read), remembered.get(own, read)

    assert first is second is not None
    assert len(reads) == 1


def test_a_suspension_is_known_at_the_next_request(market: Market) -> None:
    own = market.callers["fsp-a"].organisation
    remembered: Remembered[Version] = Remembered(market.register)
    before = remembered.get(own, lambda: market.register.current("organisations", own))

    market.act(market.callers["operator"], "organisations", own, "suspension")
    after = remembered.get(own, lambda: market.register.current("organisations", own))

    assert before and after
    assert (before.state, after.state) == ("ACTIVE", "SUSPENDED")


def test_what_was_not_there_is_looked_for_again_and_takes_no_room(market: Market) -> None:
    directory = Directory(market.register)

    assert all(directory.find(f"nobody-{number}", None) is None for number in range(50))
    market.submit(market.callers["fsp-a"], "assets", battery("R-1"))

    assert directory.find("nobody-1", None) is None
    assert directory.remembered.found == {}


def test_a_key_is_found_until_it_is_revoked(market: Market) -> None:
    directory, founder = Directory(market.register), market.callers["operator"]
    found = directory.find("operator", None)

    assert found is not None
    assert found.organisation == founder.organisation
    assert directory.find("operator", None) is found
