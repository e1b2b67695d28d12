"""Documents as nobody should send them, from a die: grown from the vocabulary, or good ones that were damaged."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from fmar_node.cim.projection import CIM
from fmar_node.representation import FLAT, LD_JSON, serialise
from fmar_node.vocabulary import CODES, CONTEXT, FMAR, RDF_TYPE, XSD, Term, TermKind
from tests.market import BASE, battery, organisation, vocabulary

IRI = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
RECORD = {"id": IRI, **{name: value for name, value in battery().items() if name != "justification"}}
ODD_TEXTS = (
    "", " ", "\x00", "\ud800", "\u202e", "\ufeff", "é", "\U0001f600", "a" * 5_000, "null", "NaN", "1e400", "-0", "٣", "@id", "@type", "@context", "@value", "@graph", "_:b", "_:", "#", "#a", "//", "http://[", "urn:x", "a b", "<>", "\\", '"', "'", "{}", "[]",
    "2024-02-30", "2024-02-29", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2024-W01-1", "24:00", "BESS", "bess", f"{CODES}AssetCategory#BESS", f"{CODES}AssetCategory#", f"{BASE}/organisations/x", f"{FMAR}Asset", CONTEXT, "2000000000006",
)  # fmt: skip
ODD_NUMBERS = ("0", "-0", "1", "1.5", "1e3", "1E400", "-1e400", "1e-400", "9" * 30, "0." + "0" * 30 + "1", "1e99999999999", "12345678901234567890.12", "7.500", "true", "null")
ODD_KEYS = ("@id", "@type", "@context", "@graph", "@reverse", "@included", "@nest", "@value", "@list", "@set", "@index", "id", "type", "", "x", "fmar:assetName", f"{FMAR}assetName", "a/b", "a~b", "\ud800", "__proto__", "k" * 300)


class Raw(str):
    """Text that stands in JSON as it is."""

    __slots__ = ()


def written(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


class Grower:
    """One die and what it makes; the same seed makes the same documents."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        words = vocabulary()
        self.terms = list(words.terms.values())
        self.codes = {name: sorted(scheme.codes) for name, scheme in words.schemes.items()}

    # -- JSON

    def json(self) -> bytes:
        """A document in JSON: mostly near a good one, sometimes anything."""
        kind = self.dice.random()
        if kind < 0.15:
            return self.damaged(written(self.value(3)).encode("utf-8", "surrogatepass"))
        document = battery() if self.dice.random() < 0.7 else organisation("Org", ["FSP"])
        for _ in range(self.dice.randint(1, 4)):
            self.change(document)
        text = written(document).encode("utf-8", "surrogatepass")
        return self.damaged(text) if kind > 0.9 else text

    def change(self, document: dict[str, Any]) -> None:
        key = self.key(document)
        match self.dice.randrange(4):
            case 0:
                document.pop(key, None)
            case 1:
                document[key] = self.value(2)
            case 2:
                document[key] = [document.get(key), self.value(1)]
            case _:
                term = self.dice.choice(self.terms)
                document[term.name] = self.fitting(term)

    def key(self, document: dict[str, Any]) -> str:
        return self.dice.choice([*document, *ODD_KEYS, self.dice.choice(self.terms).name, self.dice.choice(self.terms).iri])

    def fitting(self, term: Term) -> Any:
        """A value that the term could have, or nearly."""
        simple: dict[TermKind, Callable[[], Any]] = {
            TermKind.DECIMAL: lambda: Raw(self.dice.choice(ODD_NUMBERS)),
            TermKind.INTEGER: lambda: Raw(self.dice.choice(ODD_NUMBERS)),
            TermKind.BOOLEAN: lambda: self.dice.choice([True, False, "true", "1", 0]),
            TermKind.CODE: lambda: self.dice.choice([*self.codes.get(term.scheme, ["x"]), self.text()]),
            TermKind.PART: lambda: self.part(term.part_class),
        }
        made = simple.get(term.kind, self.text)()
        return [made] * self.dice.randint(0, 3) if term.many and self.dice.random() < 0.7 else made

    def part(self, class_name: str) -> Any:
        terms = [term for term in self.terms if class_name in term.domains and term.kind is not TermKind.PART]
        given = {term.name: self.fitting(term) for term in self.dice.sample(terms, min(len(terms), 3))}
        return {**given, **({self.dice.choice(ODD_KEYS): self.text()} if self.dice.random() < 0.3 else {})}

    def value(self, depth: int) -> Any:
        kind = self.dice.randrange(6 if depth else 4)
        if kind == 4:
            return [self.value(depth - 1) for _ in range(self.dice.randint(0, 3))]
        if kind == 5:
            return {self.dice.choice([*ODD_KEYS, self.dice.choice(self.terms).name]): self.value(depth - 1) for _ in range(self.dice.randint(0, 3))}
        return Raw(self.dice.choice(ODD_NUMBERS)) if kind == 0 else self.text()

    def text(self) -> str:
        return self.dice.choice(ODD_TEXTS) if self.dice.random() < 0.8 else "".join(chr(self.dice.randrange(1, 0x3000)) for _ in range(self.dice.randint(1, 8)))

    # -- Turtle and N-Triples

    def turtle(self) -> bytes:
        """Triples about a record, its parts and what is neither; one in twelve terms is none of Turtle."""
        good = ("<>", "_:r", f"<{IRI}>", f"<{IRI}#device-1>", f"<{IRI}x>", "_:p", "<#a>", "fmar:Asset", "<urn:fmar:state>", "_:b0", "<../organisations/x>")
        return self.statements(("@prefix fmar: <" + FMAR + "> . @prefix xsd: <" + XSD + "> .", "fmar:{}", "a"), good, ("[]", "()", "( 1 [] )", '[ fmar:deviceType "x" ]', "<<( <> a <> )>>", '"x"', "{", "_:"))

    def n_triples(self) -> bytes:
        good = (f"<{IRI}>", "_:r", f"<{IRI}#device-1>", f"<{IRI}x>", "_:p", "<urn:fmar:state>", f"<{FMAR}Asset>", f"<{CODES}AssetCategory#BESS>")
        return self.statements(("", f"<{FMAR}{{}}>", f"<{RDF_TYPE}>"), good, ("<>", "[]", "<a b>", "_:", '"x"', "<urn:a> <urn:b>"))

    def rdf_xml(self) -> bytes:
        """A record in RDF/XML, of ours or of CIM, with bytes exchanged and things of XML put in."""
        text = serialise(RECORD, "application/rdf+xml", vocabulary(), self.dice.choice([FLAT, CIM]))
        odd = [b'<!DOCTYPE x [<!ENTITY e "e">]>', b"&e;", b"&#0;", b"<![CDATA[x]]>", b"<?x y?>", b"<!-- -->", b' rdf:ID="x"', b' rdf:parseType="Collection"', b' xml:base="http://x/"', b"</rdf:RDF>"]
        for _ in range(self.dice.randint(0, 2)):
            at = self.dice.choice([place for place, byte in enumerate(text) if byte in b"<> "])
            text = text[:at] + self.dice.choice(odd) + text[at:]
        return self.damaged(text) if self.dice.random() < 0.7 else text

    def cim(self) -> bytes:
        """A document of CIM in JSON-LD, changed and damaged."""
        document = json.loads(serialise(RECORD, LD_JSON, vocabulary(), CIM))
        for _ in range(self.dice.randint(1, 4)):
            node = self.dice.choice([document, *(each for each in document.get("@graph", ()) if isinstance(each, dict))])
            key = self.dice.choice([*node, *ODD_KEYS, "cim:IdentifiedObject.name", "Names", "@type"])
            node[key] = self.value(2)
        text = written(document).encode("utf-8", "surrogatepass")
        return self.damaged(text) if self.dice.random() < 0.2 else text

    def statements(self, syntax: tuple[str, str, str], good: tuple[str, ...], odd: tuple[str, ...]) -> bytes:
        head, term, a = syntax

        def node() -> str:
            return self.dice.choice(odd if self.dice.random() < 0.02 else good)

        lines = [head, f"_:r {a} <{FMAR}Asset> ."] if self.dice.random() < 0.8 else [head]
        for _ in range(self.dice.randint(1, 12)):
            named = term.format(self.dice.choice(self.terms).name)
            predicate = named if self.dice.random() < 0.9 else self.dice.choice([a, "<urn:p>", f"<{RDF_TYPE}>", "_:p"])
            lines.append(f"{node()} {predicate} {self.literal() if self.dice.random() < 0.6 else node()} .")
        text = "\n".join(lines).encode("utf-8", "surrogatepass")
        return self.damaged(text) if self.dice.random() < 0.1 else text

    def literal(self) -> str:
        text = self.text().replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
        number = self.dice.choice(ODD_NUMBERS)
        ending = self.dice.choice(["", "", "@en", *(f"^^<{XSD}{name}>" for name in ("decimal", "integer", "boolean", "date", "dateTime", "string", "double")), "^^<urn:y>", "^^<>"])
        return f'"{self.dice.choice([text, number])}"{ending}'

    def damaged(self, text: bytes) -> bytes:
        """The same bytes with a few of them lost, doubled or exchanged."""
        for _ in range(self.dice.randint(1, 4)):
            at = self.dice.randrange(len(text) + 1)
            piece = self.dice.choice([b"", b"\x00", b"\xff", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u", b"\xed\xa0\x80", b"@", b"<", b">", b".", b"1e999", text[at : at + 20] * 2])
            text = text[:at] + piece + text[at + self.dice.choice([0, 0, 1, 5]) :]
        return text
