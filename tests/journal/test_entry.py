"""Entries: what is committed to, what a commitment gives away (nothing), and what erasure leaves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from fmar_node.identity import new_salt
from fmar_node.journal.entry import SECTIONS, Entry, EntryError, canonical, commit, leaf_data, parse_leaf, seal
from fmar_node.journal.tree import leaf_hash

BODIES = {section: canonical({"section": section}) for section in SECTIONS}
MPAN = "1200012345679"


def counted() -> Iterator[bytes]:
    return (bytes([number]) * 16 for number in range(256))


def entry() -> Entry:
    return seal(BODIES, new_salt).at(7)


def mpan_body(mpan: str) -> bytes:
    return canonical({"importMPAN": mpan})


def guessed(commitment: bytes, salt: bytes) -> list[str]:
    """The meter points of one street whose body commits alike, all 10,000 tried."""
    street = [f"{MPAN[:-4]}{number:04d}" for number in range(10_000)]
    return [mpan for mpan in street if hashlib.sha256(salt + mpan_body(mpan)).digest() == commitment]


def test_the_leaf_is_a_format_line_and_seven_commitments():
    sealed = seal(BODIES, counted().__next__)

    expected = [hashlib.sha256(bytes([at]) * 16 + BODIES[section]).digest() for at, section in enumerate(SECTIONS)]
    assert sealed.leaf_data == b"fmar-entry-v1\n" + b"".join(expected)
    assert len(sealed.leaf_data) == 238
    assert sealed.leaf_hash == sealed.at(0).leaf_hash == leaf_hash(sealed.leaf_data)


def test_the_order_of_the_sections_is_fixed():
    assert SECTIONS == ("envelope", "actor", "open", "operational", "commercial", "personal", "submission")
    reordered = dict(reversed(BODIES.items()))

    assert seal(reordered, counted().__next__) == seal(BODIES, counted().__next__)


def test_every_section_of_every_entry_has_a_salt_of_its_own():
    first, second = seal(BODIES, new_salt), seal(BODIES, new_salt)

    assert len({*first.salts, *second.salts}) == 14
    assert not {*first.commitments} & {*second.commitments}


def test_equal_bodies_do_not_commit_alike():
    sealed = seal(dict.fromkeys(SECTIONS, b"the same"), new_salt)

    assert len(set(sealed.commitments)) == 7


def test_absence_is_not_visible():
    full, empty = seal(BODIES, new_salt), seal({}, new_salt)

    assert [len(each) for each in empty.commitments] == [len(each) for each in full.commitments]
    assert len(empty.leaf_data) == len(full.leaf_data)
    assert hashlib.sha256(b"").digest() not in empty.commitments
    assert len({*empty.commitments, *seal({}, new_salt).commitments}) == 14


def test_an_absent_section_is_empty_for_those_who_may_see_it():
    stored = seal({"open": b"{}"}, new_salt).at(0)

    assert (stored.body("personal"), stored.body("open")) == (b"", b"{}")
    assert not stored.is_erased("personal")


def test_a_meter_point_cannot_be_found_by_trying():
    stored = seal({"personal": mpan_body(MPAN)}, new_salt).at(0)
    unsalted = hashlib.sha256(mpan_body(MPAN)).digest()

    assert guessed(unsalted, b"") == [MPAN]
    assert guessed(stored.commitment("personal"), stored.salt("personal")) == [MPAN]
    assert guessed(stored.commitment("personal"), b"") == []
    assert guessed(stored.commitment("personal"), stored.salt("open")) == []


def test_an_erased_section_keeps_the_leaf():
    whole = entry()

    erased = whole.erase("personal")

    assert erased.leaf_data == whole.leaf_data
    assert erased.commitment("personal") == whole.commitment("personal")
    erased.verify()


def test_an_erased_section_is_gone():
    whole = entry()

    erased = whole.erase("personal")

    assert erased.is_erased("personal")
    assert (erased.body("personal"), erased.salt("personal")) == (None, None)
    assert whole.salt("personal") not in erased.salts
    assert whole.body("personal") not in erased.bodies


def test_erasure_leaves_the_other_sections():
    whole = entry()

    erased = whole.erase("personal").erase("submission").erase("personal")

    left = [section for section in SECTIONS if not erased.is_erased(section)]
    assert left == ["envelope", "actor", "open", "operational", "commercial"]
    assert [erased.body(section) for section in left] == [BODIES[section] for section in left]


def test_an_entry_as_sealed_verifies():
    entry().verify()


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("part", ["salts", "bodies", "commitments"])
def test_an_altered_section_is_named(section, part):
    whole, place = entry(), SECTIONS.index(section)
    values = list(getattr(whole, part))
    values[place] = values[place][:-1] + bytes([values[place][-1] ^ 1])

    with pytest.raises(EntryError, match=f"wrong-commitment: section {section} "):
        replace(whole, **{part: tuple(values)}).verify()


@pytest.mark.parametrize("part", ["salts", "bodies"])
def test_a_section_is_not_erased_by_half(part):
    whole = entry()
    halved = replace(whole, **{part: (None, *getattr(whole, part)[1:])})

    with pytest.raises(EntryError, match="wrong-commitment: section envelope "):
        halved.verify()


def test_salt_and_body_cannot_be_cut_elsewhere():
    with pytest.raises(EntryError, match="malformed-salt"):
        commit(bytes(15), b"\x00body")


def test_an_unknown_section_is_refused():
    with pytest.raises(EntryError, match="unknown-section"):
        seal({"secret": b"x"}, new_salt)
    with pytest.raises(EntryError, match="unknown-section"):
        entry().erase("secret")


def test_a_leaf_gives_its_commitments_back():
    sealed = seal(BODIES, new_salt)

    assert parse_leaf(sealed.leaf_data) == sealed.commitments


@pytest.mark.parametrize("data", [b"", bytes(238), b"fmar-entry-v2\n" + bytes(224), b"fmar-entry-v1\n" + bytes(192)])
def test_a_leaf_of_another_format_is_refused(data):
    with pytest.raises(EntryError, match="malformed-leaf"):
        parse_leaf(data)


@pytest.mark.parametrize("commitments", [[bytes(32)] * 6, [bytes(32)] * 8, [bytes(32)] * 6 + [bytes(31)]])
def test_no_leaf_without_seven_whole_commitments(commitments):
    with pytest.raises(EntryError, match="malformed-entry"):
        leaf_data(commitments)


def test_an_entry_has_seven_sections():
    with pytest.raises(EntryError, match="malformed-entry"):
        Entry(0, (), (), ())


def test_sections_are_canonical_json():
    assert canonical({"b": "é", "a": [1, True, None]}) == '{"a":[1,true,null],"b":"é"}'.encode()
