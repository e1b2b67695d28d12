"""MPANs: every vector of domain section 4, and what the distributor id says."""

from __future__ import annotations

import pytest

from fmar_node.checks import mpan
from fmar_node.errors import Severity

VALID = ["1200036481236", "2012345678906", "2012345678385", "1312345678907", "1000000000003", "1000000000040"]
WRONG_DIGIT = ["1200036481235", "1200036481326", "2100036481236", "1200010257778"]
NOT_13_DIGITS = [
    "120003648123",
    "12000364812366",
    "1200 0364 81236",
    "1.20004E+12",
    "١٢٠٠٠٣٦٤٨١٢٣٦",
    "",
    "120003648123x",
    "1200036481236\n",
]


@pytest.mark.parametrize("text", VALID)
def test_valid_mpans_pass(text: str) -> None:
    assert mpan.is_valid(text)
    assert mpan.check_digit(text[:12]) == int(text[12])
    assert mpan.faults(None, text, None) == []


@pytest.mark.parametrize("text", [*WRONG_DIGIT, *NOT_13_DIGITS, "0000000000000"])
def test_invalid_mpans_fail(text: str) -> None:
    assert not mpan.is_valid(text)


def test_a_remainder_of_ten_gives_the_digit_zero() -> None:
    assert mpan.check_digit("100000000004") == 0


@pytest.mark.parametrize("core", ["", "12000364812", "1200036481236", "١٢٠٠٠٣٦٤٨١٢٣"])
def test_the_check_digit_needs_twelve_ascii_digits(core: str) -> None:
    with pytest.raises(ValueError, match="twelve"):
        mpan.check_digit(core)


@pytest.mark.parametrize("text", WRONG_DIGIT)
def test_a20_and_a21_reject_a_wrong_check_digit_without_repeating_it(text: str) -> None:
    found = mpan.faults(text, text, None)

    assert [(fault.constraint, fault.field) for fault in found] == [
        ("A20-check-digit", "importMPAN"),
        ("A21-check-digit", "exportMPAN"),
    ]
    assert all(fault.severity is Severity.REJECT for fault in found)
    assert all(text not in str(fault.as_json()) for fault in found)


def test_a21_rejects_thirteen_zeros_although_they_pass_the_sum() -> None:
    (fault,) = mpan.faults(None, "0" * 13, "UKPN_EPN")

    assert (fault.code, fault.severity, fault.constraint) == ("A21", Severity.REJECT, "A21-zero")


@pytest.mark.parametrize("text", NOT_13_DIGITS)
def test_what_is_not_13_digits_is_left_to_the_shape(text: str) -> None:
    assert mpan.faults(text, None, "UKPN_EPN") == []


def numbered(distributor: str) -> str:
    return f"{distributor}0000000000{mpan.check_digit(f'{distributor}0000000000')}"


@pytest.mark.parametrize("id_", ["10", "11", "12", "13", "14", "15", "16", "18", "19", "21", "22", "23"])
def test_a19_warns_where_the_id_fixes_another_area(id_: str) -> None:
    own = mpan.DISTRIBUTORS[id_].dno_code

    assert mpan.faults(None, numbered(id_), own) == []
    (fault,) = mpan.faults(None, numbered(id_), "SSEN_SEPD")
    assert (fault.constraint, fault.severity, fault.field) == ("A19-mismatch", Severity.WARN, "dnoConnection")


@pytest.mark.parametrize("id_", ["17", "20", "24", "31", "38"])
def test_a19_is_silent_for_networks_outside_their_area_and_for_independents(id_: str) -> None:
    assert mpan.faults(numbered(id_), None, "UKPN_EPN") == []


@pytest.mark.parametrize("id_", ["00", "09", "39", "99"])
def test_a19_warns_of_an_unknown_distributor(id_: str) -> None:
    text = f"{id_}1000000000{mpan.check_digit(f'{id_}1000000000')}"

    (fault,) = mpan.faults(text, None, "UKPN_EPN")

    assert (fault.constraint, fault.severity) == ("A19-unknown-distributor", Severity.WARN)


def test_distributors_are_the_14_areas_and_15_independents() -> None:
    dnos = [each for each in mpan.DISTRIBUTORS.values() if not each.is_independent]

    assert len(dnos) == 14
    assert len(mpan.DISTRIBUTORS) == 29
    assert {each.gsp_group for each in dnos} == {f"_{letter}" for letter in "ABCDEFGHJKLMNP"}
    assert mpan.distributor("2012345678906") == mpan.Distributor("20", "SSEN_SEPD", "_H", "SSEN_SEPD")
    assert mpan.distributor("2400000000000").name == "IPNL"  # type: ignore[union-attr]
    assert mpan.distributor("9900000000000") is None
