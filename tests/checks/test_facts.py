"""Facts of a document: they are those of its triples, whatever is asked for first."""

from __future__ import annotations

from fmar_node.checks.compiled import facts_of
from fmar_node.checks.facts import facts_in
from fmar_node.representation import triples
from fmar_node.vocabulary import RDF_TYPE, Vocabulary
from tests.checks.test_real_rows import real_documents

VOCABULARY = Vocabulary.load()


def test_the_facts_of_a_document_are_those_of_its_triples() -> None:
    for document in real_documents(100, 3):
        found, told = facts_in(document, VOCABULARY), facts_of(triples(document, VOCABULARY))

        assert {subject: {iri: set(terms) for iri, terms in found[subject].items()} for subject in found} == {
            subject: {iri: set(terms) for iri, terms in told[subject].items()} for subject in told
        }


def test_what_two_parts_of_one_name_say_is_said_of_one_subject() -> None:
    iri = "https://node.example/assets/1"
    parts = [{"id": f"{iri}#alias-1", "type": "Identifier", "value": value} for value in ("A", "B", "A")]
    document = {"id": iri, "type": "Asset", "alias": parts}

    found, told = facts_in(document, VOCABULARY), facts_of(triples(document, VOCABULARY))

    for subject in told:
        assert dict(found[subject]).keys() == told[subject].keys()
        assert len(found[subject]) == len(told[subject])
        assert [set(found[subject][iri]) for iri in told[subject]] == [set(terms) for terms in told[subject].values()]
        assert RDF_TYPE in found[subject]
        assert "urn:nothing" not in found[subject]
