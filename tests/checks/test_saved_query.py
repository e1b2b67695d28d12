"""Values of parameters: each is a term of its kind, or refused before anybody else sees it."""

from __future__ import annotations

import pytest

from fmar_node.checks.saved_query import Parameter, Term
from tests.market import vocabulary


@pytest.mark.parametrize("iri", ["urn:x:1", "https://example.org/a?b=c#d", "https://example.org/é"])
def test_an_iri(iri: str) -> None:
    assert Parameter("x", "iri").term(iri, vocabulary()) == Term(iri)


@pytest.mark.parametrize("text", ["", "relative", "urn:[", "urn:a b", "http://[", "http://a/%zz", "urn:a>"])
def test_what_the_engine_takes_for_no_iri(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Parameter("x", "iri").term(text, vocabulary())
