"""Patterns that take a time which grows with their text alone, and those that do not."""

from __future__ import annotations

import re

import pytest
import rdflib

from fmar_node.checks.pattern import slowness
from fmar_node.vocabulary import packaged_text, shape_names

TWICE = "it reads a repeated part of a text in more than one way"
RIVALS = "two repeated parts of it read the same text, one after the other"


def packaged_patterns() -> list[str]:
    graphs = [rdflib.Graph().parse(data=packaged_text(f"shapes/{name}.ttl"), format="turtle") for name in shape_names()]
    return sorted({str(pattern) for graph in graphs for pattern in graph.objects(None, rdflib.SH.pattern)})


@pytest.mark.parametrize("pattern", packaged_patterns())
def test_those_of_the_package_are_linear(pattern: str) -> None:
    assert slowness(pattern) == ""


@pytest.mark.parametrize("pattern", [
    "", "abc", "^[a-z]+$", "^([a-z]+-)+[a-z]+$", r"^\+?[0-9]{1,3}( [0-9]+)*$", "^(ab|cd)*e$", "(?i)^x+$", "^((ab)*c)*$", "^(GB)?[0-9]{9}$", "[^\\w]", "^([a-z]*-){3}$", "^(ab){3}c*$",
])  # fmt: skip
def test_one_reading_is_linear(pattern: str) -> None:
    assert slowness(pattern) == ""


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a*)*$", "^(a|ab?)*c$", r"^(\d+|\w+)*$", "^(aa|aaa)+$", "^([a-z]+[0-9]*)+$", "^(a{1,9}){1,9}$", "^(a?b?)*$", "^(?:x?x?)+y$", "^(a?){30}b$", "^(a?)?$", "^(|a?)$", "^(.*a){20}$", "^(a+){2}$"])
def test_a_part_that_is_read_in_two_ways_may_take_for_ever(pattern: str) -> None:
    assert slowness(pattern) == TWICE


@pytest.mark.parametrize("pattern", ["^a*a*$", r"^\w+\s?\w+$", r"^.*x.*$", "^a?a?a?a?$", "^[a-z]{1,5}[a-z]{1,5}$"])
def test_two_loops_over_one_text_take_its_square(pattern: str) -> None:
    assert slowness(pattern) == RIVALS


@pytest.mark.parametrize("pattern", ["a+b", r"\s+$", "^a|b+c"])
def test_a_loop_that_is_tried_everywhere_is_told_to_begin_at_the_beginning(pattern: str) -> None:
    assert slowness(pattern) == f"{RIVALS}; begin it with ^"


@pytest.mark.parametrize("pattern", ["^(?=a)b", "^(?!a)b", r"^(a)\1$", "^(?<=a)b", "^(?>a+)$", "^" + "(ab)" * 250])
def test_what_cannot_be_looked_through_is_refused(pattern: str) -> None:
    assert slowness(pattern).endswith("which is not looked through")


def test_what_does_not_compile_says_so_itself() -> None:
    with pytest.raises(re.error):
        slowness("^(a")
