"""The vocabulary and the shapes agree: with each other, with the published definitions, with house rules."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pyoxigraph
import pytest
from rdflib import OWL, RDF, RDFS, SH, SKOS, Graph, Literal, Namespace, URIRef
from rdflib.collection import Collection

from fmar_node.cim.table import PROPERTIES, iri

PROJECT = Path(__file__).parents[2]
ELEXON = PROJECT.parent / "shared" / "reference" / "elexon"
MODULES = sorted((PROJECT / "ontology").glob("*.ttl"))
SCHEMES = sorted((PROJECT / "ontology" / "codes").glob("*.ttl"))
SHAPES = sorted((PROJECT / "shapes").glob("*.ttl"))
IN_CIM = sorted((PROJECT / "shapes" / "cim").glob("*.ttl"))
FILES = [*MODULES, *SCHEMES, *SHAPES, *IN_CIM]
TEXTS = [
    *FILES,
    *sorted((PROJECT / "ontology").glob("*.jsonld")),
    *sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in (".ttl", ".txt")),
]

FMAR = Namespace("https://w3id.org/fmar/ns#")
CODES = "https://w3id.org/fmar/codes/"
CIM = ("https://cim.ucaiug.io/ns#", "https://cim4.eu/ns/nc#")
DCTERMS = Namespace("http://purl.org/dc/terms/")
QUDT_UNIT = URIRef("http://qudt.org/schema/qudt/hasUnit")
DOMAIN_INCLUDES = URIRef("https://schema.org/domainIncludes")

pytestmark = pytest.mark.xdist_group("shapes")


def named(path: Path) -> str:
    return path.relative_to(PROJECT).as_posix()


@cache
def graph(*files: Path) -> Graph:
    found = Graph()
    for file in files:
        found.parse(file, format="turtle")
    return found


def properties() -> list[str]:
    ontology = graph(*MODULES)
    found = {*ontology.subjects(RDF.type, OWL.DatatypeProperty), *ontology.subjects(RDF.type, OWL.ObjectProperty)}
    return sorted(str(term) for term in found)


def domains(term: URIRef) -> list[URIRef]:
    ontology = graph(*MODULES)
    return [*ontology.objects(term, RDFS.domain), *ontology.objects(term, DOMAIN_INCLUDES)]


@cache
def allowed(file: Path) -> dict[URIRef, set[URIRef]]:
    """Class -> the properties that its closed shape allows."""
    shapes, found = graph(file), defaultdict(set)
    for shape in shapes.subjects(SH.closed, Literal(True)):
        paths = {path for part in shapes.objects(shape, SH.property) for path in shapes.objects(part, SH.path)}
        found[shapes.value(shape, SH.targetClass)] |= paths
    return found


def code_lists() -> list[tuple[Path, str]]:
    """Every constraint with a list of codes: those that have a severity, not the conditions."""
    found = [(file, shape) for file in SHAPES for shape in sorted(graph(file).subjects(SH["in"]))]
    return [(file, str(shape)) for file, shape in found if (shape, SH.severity, None) in graph(file)]


def active(scheme: str) -> set[URIRef]:
    return set(graph(PROJECT / "ontology" / "codes" / f"{scheme}.ttl").subjects(FMAR.active, Literal(True)))


def rows(name: str) -> list[dict[str, str]]:
    if not ELEXON.exists():
        pytest.skip("the published definitions are not on this machine")
    with (ELEXON / name).open(encoding="utf-8-sig", newline="") as table:
        return list(csv.DictReader(table))


# -- files


@pytest.mark.parametrize("file", FILES, ids=named)
def test_both_parsers_read_the_same_triples(file):
    theirs = {quad.triple for quad in pyoxigraph.parse(path=str(file), format=pyoxigraph.RdfFormat.TURTLE)}

    assert len(graph(file)) == len(theirs) > 0


@pytest.mark.parametrize("file", FILES, ids=named)
def test_every_file_has_an_ontology_header(file):
    (header,) = graph(file).subjects(RDF.type, OWL.Ontology)

    needed = (OWL.versionIRI, DCTERMS.title, DCTERMS.description, DCTERMS.license, DCTERMS.created)

    assert [term for term in needed if len(list(graph(file).objects(header, term))) != 1] == []


def test_no_file_has_a_tab_a_carriage_return_or_a_byte_order_mark():
    bad = [named(path) for path in TEXTS if re.search(rb"\t|\r|\A\xef\xbb\xbf", path.read_bytes())]

    assert len(TEXTS) > 100
    assert bad == []


# -- terms


@pytest.mark.parametrize("term", properties())
def test_a_property_is_described(term):
    ontology, subject = graph(*MODULES), URIRef(term)

    needed = (RDFS.label, SKOS.definition, RDFS.range, FMAR.disclosureTier, FMAR.termOrder)

    assert [each for each in needed if len(list(ontology.objects(subject, each))) != 1] == []
    assert len(list(ontology.objects(subject, RDFS.domain))) <= 1
    assert domains(subject) != []


def test_the_order_of_terms_has_no_ties():
    orders = [int(order) for order in graph(*MODULES).objects(None, FMAR.termOrder)]

    assert len(orders) == len(set(orders)) == len(properties())


def test_disclosure_tiers_are_the_four_that_are_declared():
    ontology = graph(*MODULES)

    used = set(ontology.objects(None, FMAR.disclosureTier))
    declared = set(ontology.subjects(RDF.type, FMAR.DisclosureTier))

    assert used == declared == {FMAR.open, FMAR.operational, FMAR.commercial, FMAR.personal}


def test_every_code_property_names_a_scheme_that_exists():
    ontology = graph(*MODULES)
    coded = set(ontology.subjects(RDFS.range, SKOS.Concept))

    schemes = set(graph(*SCHEMES).subjects(RDF.type, SKOS.ConceptScheme))

    assert coded == set(ontology.subjects(FMAR.codeScheme)) != set()
    told_over_http_alone = {URIRef(f"{CODES}SourceTrust")}
    assert set(ontology.objects(None, FMAR.codeScheme)) == schemes - told_over_http_alone


@pytest.mark.parametrize("file", SCHEMES, ids=named)
def test_a_code_list_is_complete(file):
    codes, scheme = graph(file), URIRef(CODES + file.stem)
    needed = (SKOS.notation, SKOS.prefLabel, SKOS.definition, FMAR.active, FMAR.validFrom)

    concepts = set(codes.subjects(RDF.type, SKOS.Concept))

    assert concepts == set(codes.subjects(SKOS.inScheme, scheme)) != set()
    assert {str(one) for one in concepts} == {f"{scheme}#{notation}" for notation in codes.objects(None, SKOS.notation)}
    assert [(one, each) for one in concepts for each in needed if len(list(codes.objects(one, each))) != 1] == []


def test_every_active_network_code_has_its_distributor_id_and_its_group():
    codes = graph(*SCHEMES)
    networks = active("DNOCode")

    ids = [str(code) for network in networks for code in codes.objects(network, FMAR.distributorId)]
    groups = [group for network in networks for group in codes.objects(network, FMAR.gspGroup)]

    assert sorted(ids) == [str(number) for number in range(10, 24)]
    assert len(groups) == 14
    assert set(groups) == active("GSPGroup")


# -- shapes


@pytest.mark.parametrize("term", properties())
def test_the_closed_shape_of_every_class_allows_its_properties(term):
    closed = [(file, cls) for file in SHAPES for cls in allowed(file) if cls in domains(URIRef(term))]

    assert {cls for _, cls in closed} == set(domains(URIRef(term)))
    assert [file.name for file, cls in closed if URIRef(term) not in allowed(file)[cls]] == []


@pytest.mark.parametrize("file", [*SHAPES, *IN_CIM], ids=named)
def test_shapes_are_core_and_use_only_terms_that_exist(file):
    shapes = graph(file)
    terms = {term for triple in shapes for term in triple if isinstance(term, URIRef)}
    known = {iri(name) for name in PROPERTIES} if file in IN_CIM else set(properties())

    unknown = {term for term in terms if term.startswith(str(SH)) and term not in SH}
    paths = {*shapes.objects(None, SH.path), *shapes.objects(None, FMAR.onProperty)}

    assert unknown == set()
    assert {SH.sparql, SH.select, SH.ask, SH.js} & terms == set()
    assert {str(path) for path in paths} <= known


@pytest.mark.parametrize(("file", "shape"), code_lists())
def test_a_list_of_codes_holds_exactly_the_active_ones(file, shape):
    shapes = graph(file)
    path = shapes.value(URIRef(shape), SH.path)
    scheme = str(graph(*MODULES).value(path, FMAR.codeScheme)).removeprefix(CODES)

    listed = list(Collection(shapes, shapes.value(URIRef(shape), SH["in"])))

    assert len(listed) == len(set(listed))
    assert set(listed) == active(scheme) != set()


# -- the published definitions


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_published_codes_stand_as_published(version):
    codes = graph(*SCHEMES)
    published = rows(f"fmar-asset-data-definitions-v{version}-git-fmar-codecatalogue-master.csv")

    def as_published(row):
        code = URIRef(f"{CODES}{row['Catalogue']}#{row['Code']}")
        notes = (SKOS.prefLabel, SKOS.definition, FMAR.appliesTo, SKOS.note)
        said = [str(codes.value(code, note, default="")) for note in notes]
        return [*said, str(codes.value(code, FMAR.active)).capitalize()]

    columns = ("Label", "Definition", "AppliesTo", "Notes", "Active")
    assert len(published) == 62
    assert [as_published(row) for row in published] == [[row[name] for name in columns] for row in published]


def test_codes_that_are_not_published_are_marked_as_ours():
    codes = graph(*SCHEMES)
    catalogue = rows("fmar-asset-data-definitions-v1.1-git-fmar-codecatalogue-master.csv")
    published = {URIRef(f"{CODES}{row['Catalogue']}#{row['Code']}") for row in catalogue}

    lists = {row["Catalogue"] for row in catalogue}
    ours = {code for code in codes.subjects(FMAR.addedBy)}
    unmarked = {code for code in codes.subjects(RDF.type, SKOS.Concept) if code not in published | ours}

    assert ours & published == set()
    assert {code.removeprefix(CODES).split("#")[0] for code in unmarked} == {
        "OrganisationType",
        "OrganisationRole",
        "OrganisationStatus",
    }
    assert {code for code in ours if code.removeprefix(CODES).split("#")[0] in lists} == set()


@pytest.mark.parametrize(
    ("attribute", "scheme", "separator"),
    [
        ("OrganisationType", "OrganisationType", "\n"),
        ("OrganisationRoles", "OrganisationRole", "\n"),
        ("OrganisationStatus", "OrganisationStatus", ","),
    ],
)
def test_lists_that_are_published_as_labels_have_those_labels(attribute, scheme, separator):
    codes = graph(PROJECT / "ontology" / "codes" / f"{scheme}.ttl")
    attributes = rows("fmar-organisation-data-definitions-v1.1-git-org.csv")
    published = {row["Ontology Term (Machine-Friendly)"]: row for row in attributes}

    labels = {text.strip() for text in published[attribute]["Allowed values (Code list)"].split(separator)} - {""}
    theirs = [code for code in codes.subjects(SKOS.notation) if (code, FMAR.addedBy, None) not in codes]

    assert {str(codes.value(code, SKOS.prefLabel)) for code in theirs} == labels
    assert (URIRef(CODES + scheme), FMAR.labelsAccepted, Literal(True)) in codes


@pytest.mark.parametrize(
    ("name", "text", "count"),
    [
        ("fmar-asset-data-definitions-v1.1-git-asset.csv", "FMAR Business Defination", 21),
        ("fmar-organisation-data-definitions-v1.1-git-org.csv", "Business Defination", 37),
    ],
)
def test_published_attributes_are_terms_in_the_published_wording(name, text, count):
    ontology = graph(*MODULES)
    term = "Ontology Term (Machine-Friendly)"

    published = {(row[term] or row["FMAR Attribute Name"]).strip(): row[text].strip() for row in rows(name)}
    ours = {key: ontology.value(predicate=FMAR.publishedName, object=Literal(key)) for key in published}

    assert len(published) == count
    assert [key for key, subject in ours.items() if subject is None] == []
    wordings = {key: wording for key, wording in published.items() if wording}
    assert {key: str(ontology.value(ours[key], SKOS.definition)) for key in wordings} == wordings


# -- CIM


def test_cim_is_named_by_its_canonical_namespaces_and_in_one_module():
    looks_like_cim = re.compile(r"\bcim|iec\.ch/tc57|entsoe", re.IGNORECASE)

    def spoken(file):
        iris = {str(term) for triple in graph(file) for term in triple if isinstance(term, URIRef)}
        return {iri for iri in iris if looks_like_cim.search(iri) and not iri.startswith("https://w3id.org/fmar/")}

    assert [named(file) for file in FILES if spoken(file)] == ["ontology/cim-align.ttl", *map(named, IN_CIM)]
    assert {iri for file in FILES for iri in spoken(file) if not iri.startswith(CIM)} == set()


def test_no_property_with_a_unit_is_a_kind_of_cim_property():
    words = graph(*MODULES)

    with_unit = set(words.subjects(QUDT_UNIT))
    aligned = set(words.subjects(RDFS.subPropertyOf)) | set(words.subjects(OWL.equivalentProperty))

    assert FMAR.ratedCapacity in with_unit
    assert with_unit & aligned == set()
