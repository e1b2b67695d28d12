"""Whom the name in a token of an external issuer means, by the register as it stands."""

from __future__ import annotations

import pytest

from fmar_node.access.membership import has_alias, is_admitted_in, named_in
from tests.market import Market, battery, organisation

DAY = "2026-11-22"
NAME = {"scheme": "DIRECTORY", "value": "Org-7"}


def test_a_name_means_the_organisation_that_has_it_to_the_letter(market: Market) -> None:
    fsp = market.callers["fsp-a"]
    market.update(market.callers["operator"], "organisations", fsp.organisation, alias=[NAME])

    assert named_in(market.register, "DIRECTORY", "Org-7", DAY) == (fsp.organisation,)
    for scheme, value in (("DIRECTORY", "org-7"), ("DIRECTORY", "Org-7 "), ("DIRECTORY", "Org-8"), ("LEI", "Org-7"), ("", "Org-7"), ("DIRECTORY", "")):
        assert named_in(market.register, scheme, value, DAY) == ()


def test_an_asset_is_nobody(market: Market) -> None:
    market.submit(market.callers["fsp-a"], "assets", battery(alias=[NAME]))

    assert market.register.found("DIRECTORY", "org-7") != []
    assert named_in(market.register, "DIRECTORY", "Org-7", DAY) == ()


def test_who_is_not_admitted_has_no_name(market: Market) -> None:
    operator = market.callers["operator"]
    made = market.submit(operator, "organisations", organisation("New", ["FSP"], alias=[NAME])).id
    seen = []
    for action in ("", "approval", "suspension", "deregistration"):
        if action:
            market.act(operator, "organisations", made, action)
        seen.append((named_in(market.register, "DIRECTORY", "Org-7", DAY) == (made,), is_admitted_in(market.register, made)))

    assert seen == [(False, False), (True, True), (True, True), (False, False)]
    assert not is_admitted_in(market.register, "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11")


@pytest.mark.parametrize(("begins", "ends", "is_in_force"), [
    (None, None, True), ("2026-11-22", None, True), ("2026-11-23", None, False), (None, "2026-11-22", False), (None, "2026-11-23", True), ("2026-11-22", "2026-11-23", True),
])  # fmt: skip
def test_an_alias_has_its_time(begins: str | None, ends: str | None, is_in_force: bool) -> None:
    alias = {**NAME, **({"validFrom": begins} if begins else {}), **({"validTo": ends} if ends else {})}

    assert has_alias({"alias": [alias]}, "DIRECTORY", "Org-7", DAY) is is_in_force
