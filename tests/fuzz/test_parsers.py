"""Every reader of what comes from outside, with generated input: it answers or refuses in its own words, and soon.

The short form is the same with every run. The long one, two hundred times as much for each:
make test ARGS="-n 0 -m campaign tests/fuzz/test_parsers.py"
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from starlette.datastructures import QueryParams

from fmar_node.access import consent_receipt, id_token, status
from fmar_node.access.authority import key_id_of, operator_key
from fmar_node.access.id_token import Expected
from fmar_node.access.jose import UnacceptableError, read_compact
from fmar_node.access.key import public_key, public_members
from fmar_node.access.proof import normal_url
from fmar_node.checks import release
from fmar_node.checks.saved_query import Parameter, sense
from fmar_node.client import new_key, public_part
from fmar_node.clock import parse_stamp, stamp
from fmar_node.errors import FmarError
from fmar_node.imports.release import read_register
from fmar_node.imports.spelling import packaged
from fmar_node.imports.table import read_table
from fmar_node.journal.checkpoint import Checkpoint, Note, VerifierKey
from fmar_node.journal.handover import Handover
from fmar_node.journal.receipt import parse_receipt, verify_receipt
from fmar_node.journal.tile import Tile
from fmar_node.journal.tree import ProofError
from fmar_node.jsonld import elements, exact, read_json, read_value
from fmar_node.read import _closed, _opened
from fmar_node.saved_query import SavedQuery, parse
from fmar_node.settings import ConsentSolution, Settings
from fmar_node.sources import notification
from fmar_node.store.gate import TOKEN, admit
from fmar_node.web import credentials, negotiation, operations, records, sparql
from fmar_node.web.events import wish_in
from fmar_node.web.sheet import Splitter, rows_of
from fmar_node.web.template import header_in
from tests.market import SETTINGS, vocabulary
from tests.store.test_gate_fuzz import BEFORE, NOISE, PROLOGUE, SERVICES

SHORT, LONG = 80, 15_000
SECONDS = 1.0
"""No input takes longer than this."""
MEASURES = [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=[pytest.mark.campaign, pytest.mark.timeout(3_600)])]
REFUSALS = (FmarError, UnacceptableError, ProofError)
NODE_KEY = "node.example/journal+00000000+AA=="


def each(count: int, inputs: SearchStrategy[Any], read: Callable[[Any], Any], *more: type[Exception]) -> None:
    """`read` answers or refuses each input, in time."""
    @effort(max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))
    @given(inputs)
    def tried(given: Any) -> None:
        began = time.process_time()
        try:
            read(given)
        except (*REFUSALS, *more) as refusal:
            str(refusal).encode()
        assert time.process_time() - began < SECONDS

    tried()


# -- what is generated

text = st.text(max_size=80) | st.text(st.characters(codec="ascii"), max_size=200)
header = st.text(st.characters(max_codepoint=255), max_size=200)
"""What a header can carry, as the server hands it on."""
leaf = st.none() | st.booleans() | st.integers() | st.floats() | text
tree = st.recursive(leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=12)
json_text = tree.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200) | text.map(lambda each: each.encode("utf-8", "surrogatepass"))


def joined(pieces: list[str], separators: str = "", most: int = 12) -> SearchStrategy[str]:
    """Pieces of a grammar in any order, with anything between them."""
    return st.lists(st.sampled_from(pieces) | text.map(lambda each: each[:6]), max_size=most).map(separators.join)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


part = json_text.map(b64) | text | st.sampled_from(["", "e30", "eyJhbGciOiJFUzI1NiJ9", "=", "A" * 20_000])
compact = st.lists(part, max_size=5).map(".".join) | st.binary(max_size=60).map(b64) | text
KEY = public_part(new_key())
odd_key = st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "k", "use", "alg", "key_ops", "x5c"]), st.sampled_from([*KEY.values(), "AQAB", "RSA", "OKP", "oct", "Ed25519", "sig"]) | tree, max_size=8)
jwk = odd_key.map(lambda changes: {**KEY, **changes}) | odd_key | tree

media_range = joined(["text/turtle", "application/ld+json", "*/*", "text/*", "*", "/", ";", ",", "q=0.5", "q=", "q=nan", "q=1e999", "q=-1", ";q=0", ' ', '"', "charset=utf-8", "charset="], "")
entity_tags = joined(['"0123456789abcdef.jsonld"', 'W/"x"', '"', "*", ",", " ", '""', "W/", "\\"], "")
queries = joined([*BEFORE, *NOISE, *SERVICES, PROLOGUE, "SELECT * {", "ASK {", "}", "CONSTRUCT", "DESCRIBE <x>", "FROM <x>", "FROM NAMED", "<<", ">>", "{|", "|}", "~", "UNION", "OPTIONAL {", "VALUES ?x {", "FILTER(", ")"], " ", 20)
form = joined(["query=", "ASK{}", "&", "=", "%", "%ff", "%00", "%2", "+", "grant_type=client_credentials", "a=1&a=2", ";", "update=", "timeout="], "")
instants = joined(["2026-11-22", "T", "09:30:00", "Z", "+14:00", "-14:00", "0001-01-01", "9999-12-31", "23:59:60", ".999999999", "-W01-1", "20261122", " ", "٢"], "") | st.datetimes().map(str) | text


# -- documents: see also test_documents


@pytest.mark.parametrize("count", MEASURES)
def test_json_of_documents_and_batches(count: int) -> None:
    each(count, json_text, lambda body: read_json(body, SETTINGS))
    each(count, json_text, lambda body: read_value(body, SETTINGS))
    each(count, st.lists(json_text, max_size=5).map(lambda rows: b"[" + b",".join(rows) + b"]") | json_text, lambda body: [read_value(row, SETTINGS) for row in elements(body, SETTINGS)])


@pytest.mark.parametrize("count", MEASURES)
def test_an_array_has_the_elements_that_it_was_made_of(count: int) -> None:
    def taken_apart(values: list[Any]) -> None:
        rows = [json.dumps(value, allow_nan=False).encode() for value in values]
        assert list(elements(b" [" + b" , ".join(rows) + b"] ", Settings(body_bytes=10**6))) == ([b"%s" % row for row in spaced(rows)] if rows else [])

    def spaced(rows: list[bytes]) -> list[bytes]:
        return [(b"" if place == 0 else b" ") + row + (b"" if place == len(rows) - 1 else b" ") for place, row in enumerate(rows)]

    each(count, st.lists(tree.filter(lambda value: "NaN" not in json.dumps(value) and "Infinity" not in json.dumps(value)), max_size=5), taken_apart)


@pytest.mark.parametrize("count", MEASURES)
def test_numbers(count: int) -> None:
    def written_out(number: str) -> None:
        plain = exact(number)
        assert plain is None or ("e" not in plain.lower() and len(plain) < 64)

    each(count, st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,12})?", fullmatch=True) | text, written_out)


@pytest.mark.parametrize("count", MEASURES)
def test_merge_patches(count: int) -> None:
    def merged(pair: tuple[Any, Any]) -> None:
        target, change = pair
        result = records.merge(target, change)
        if isinstance(change, dict):
            assert isinstance(result, dict)
            assert all(name not in result for name, value in change.items() if value is None)
            assert records.merge(result, change) == result or "nan" in repr(pair)
        assert json.loads(records.encoded(result)) == json.loads(json.dumps(result)) or "nan" in repr(pair)

    each(count, st.tuples(tree, tree), merged)


@pytest.mark.parametrize("count", MEASURES)
def test_instants(count: int) -> None:
    def read(given: str) -> None:
        instant = parse_stamp(given)
        assert stamp(instant).endswith("Z") and len(stamp(instant)) == 24

    each(count, instants, read, ValueError)


# -- queries


@pytest.mark.parametrize("count", MEASURES)
def test_queries(count: int) -> None:
    def passed(query: str) -> None:
        admitted = admit(query, SETTINGS)
        assert admit(admitted.text, SETTINGS).form == admitted.form
        assert TOKEN.match(admitted.text) or not admitted.text

    each(count, queries | text, passed)


@pytest.mark.parametrize("count", MEASURES)
def test_parameters_of_the_protocol(count: int) -> None:
    each(count, form | header, sparql._pairs)
    each(count, form.map(str.encode) | st.binary(max_size=100), credentials._form)
    each(count, st.lists(header, max_size=2), sparql.seconds_of)
    each(count, header | st.none(), sparql.min_index_of)


# -- credentials


@pytest.mark.parametrize("count", MEASURES)
def test_compact_signatures(count: int) -> None:
    def read(jws: str) -> None:
        for may_bring_key in (False, True):
            found = read_compact(jws, 16_384, may_bring_key=may_bring_key)
            public_key(KEY).check(found)
            found.claims()

    each(count, compact, read)
    each(count, compact, key_id_of)


@pytest.mark.parametrize("count", MEASURES)
def test_public_keys(count: int) -> None:
    def read(given: Any) -> None:
        members = public_members(given)
        assert public_key(given).jwk == members

    each(count, jwk, read)
    each(count, json_text.map(lambda each: each.decode("utf-8", "replace")), operator_key)


@pytest.mark.parametrize("count", MEASURES)
def test_urls_of_proofs(count: int) -> None:
    def same(url: str) -> None:
        assert normal_url(normal_url(url)) == normal_url(url)

    each(count, joined(["http://", "https://", "HTTP://", "node.example", ":80", ":", "@", "[::1]", "[", "/", "//", "?", "#", "%41", "%2f", "%", "..", "\\", "é"]), same)


# -- headers and parameters


@pytest.mark.parametrize("count", MEASURES)
def test_negotiation(count: int) -> None:
    offered = ("application/ld+json", "text/turtle", "text/html")
    each(count, media_range | header, lambda given: negotiation.best(given, offered))
    each(count, media_range | header, lambda given: negotiation.content_type(given, offered))
    each(count, entity_tags | header, negotiation.entity_tags)
    each(count, entity_tags | header, lambda given: negotiation.is_known('"0123456789abcdef.jsonld"', given))
    each(count, header, lambda given: negotiation.prefers_minimal({"prefer": given}))


@pytest.mark.parametrize("count", MEASURES)
def test_cursors_limits_and_trials(count: int) -> None:
    def opened(cursor: str) -> None:
        after = _opened(cursor)
        assert after == "" or _opened(_closed(after)) == after

    each(count, text | json_text.map(b64) | tree.map(lambda value: b64(json.dumps([value]).encode())), opened)
    each(count, text | st.integers().map(str), lambda given: records.page_limit(given, 50, 500))
    each(count, form | st.lists(st.tuples(st.sampled_from(["dry-run", "dry_run", "DryRun", "cursor", "limit", "managed"]), text), max_size=4).map(QueryParams), lambda asked: records._is_dry(QueryParams(asked)))
    each(count, form, lambda asked: records._check_page(QueryParams(asked)))


@pytest.mark.parametrize("count", MEASURES)
def test_ids_of_requests(count: int) -> None:
    def named(values: list[bytes]) -> None:
        given = operations.request_id_of({"headers": [(b"x-request-id", value) for value in values]}, lambda _: True)
        assert given.isascii() and given.isprintable() and 16 <= len(given) <= 64

    each(count, st.lists(st.binary(max_size=80) | st.from_regex(rb"[0-9a-f-]{10,70}", fullmatch=True), max_size=2), named)


# -- tables


cell = joined(["BESS", "1.5", "1,5", "1.0E+12", "2000000000006", "'=1", '"', '""', "\n", "\r", "=", "[1]", '[{"scheme": "ECR"}]', "true", "\ufeff", "é", "\x00"], "", 4)
row = st.lists(cell, max_size=6).flatmap(lambda cells: st.sampled_from([",", ";", "\t"]).map(lambda mark: mark.join(cells)))
heading = joined(["assetName", "assetCategory", "importMPAN", "ratedCapacity", "alias.1.scheme", "alias.0.value", "alias", "id", "version", "#", "fmar-template", "", " "], ",", 6)


@pytest.mark.parametrize("count", MEASURES)
def test_tables_of_a_batch(count: int) -> None:
    """However a table comes in pieces, its rows are the same."""
    async def rows(table: bytes, size: int) -> list[Any]:
        async def pieces() -> AsyncIterator[bytes]:
            for place in range(0, len(table), size):
                yield table[place : place + size]

        splitter = Splitter(2_000)
        sheet = rows_of(pieces(), splitter)
        found = await header_in(sheet, vocabulary(), SETTINGS)
        splitter.know(found.delimiter)
        return [(read.number, read.body, str(read.refusal)) async for read in found.rows(sheet)]

    def taken(table: tuple[str, list[str], int]) -> None:
        head, below, size = table
        body = "\n".join([head, *below]).encode("utf-8", "surrogatepass")
        whole = asyncio.run(rows(body, len(body) + 1))
        assert asyncio.run(rows(body, size)) == whole

    each(count, st.tuples(heading, st.lists(row, max_size=4), st.integers(1, 40)), taken)


# -- what others sign: claims as they are read once the signature has held, so that a broken issuer breaks nothing here


claims = st.dictionaries(st.sampled_from([
    "iss", "sub", "aud", "azp", "iat", "nbf", "exp", "ttl", "jti", "nonce", "email", "email_verified", "amr", "auth_time", "status", "status_list", "purposes", "subjects", "single_use",
]), st.sampled_from([0, 1, True, 1e308, -1, 2**70, "x", "a@b.example", ["x"], {"status_list": {"idx": 1, "uri": "x"}}, {"bits": 1, "lst": "eNrbuRgAAhcBXQ"}, {"salt": "A" * 22, "names": ["x"]}]) | tree, max_size=19)  # fmt: skip


@pytest.mark.parametrize("count", MEASURES)
def test_claims_of_others(count: int) -> None:
    solution = ConsentSolution(name="s", issuer="https://consent.example", jwks_uri="https://consent.example/keys")
    expected = Expected("https://issuer.example", "client", "nonce", 0.0, 10.0, 5.0)

    def read(said: dict[str, Any]) -> None:
        for reader in (status.place_of, lambda told: status._statuses(told.get("status_list"), 1_000), lambda told: consent_receipt._consent(told, solution), lambda told: consent_receipt._names(told)("x"),
                       lambda told: id_token._check_audience(told, "client"), lambda told: id_token._check_times(told, expected), id_token._verified_email, lambda told: id_token._methods(told.get("amr"))):  # fmt: skip
            with suppress(UnacceptableError):
                reader(said)

    each(count, claims, read)
    each(count, compact, id_token.read_id_token)
    each(count, tree | st.lists(jwk, max_size=3).map(lambda keys: {"keys": keys}), id_token.provider_keys)


@pytest.mark.parametrize("count", MEASURES)
def test_notifications(count: int) -> None:
    secret = b"k" * 32

    def sent(given: tuple[str, str, str, bytes]) -> None:
        id_, seconds, signature, body = given
        headers = {"webhook-id": id_, "webhook-timestamp": seconds, "webhook-signature": signature}
        with pytest.raises(notification.Unsigned):
            notification.sender(headers, body, {"s": secret}, 0.0, 300.0)

    each(count, st.tuples(header, header, joined(["v1,", "v1", "A" * 43 + "=", " ", "v1a,"]) | header, st.binary(max_size=50)), sent)
    told = st.dictionaries(st.sampled_from(["type", "timestamp", "data"]), st.sampled_from(["consent.revoked", "2026-11-22T09:30:00Z", {"consent": "x"}, {"consent": 1}]) | tree, max_size=3)
    each(count, told.map(lambda each: json.dumps(each).encode()) | json_text, lambda body: notification.notification_of("s", "id", body), ValueError)


# -- releases, and what is wished of the feed


turtle_text = joined(["@prefix sh: <http://www.w3.org/ns/shacl#> .", "@prefix : <x#> .", ":a", "a", "sh:NodeShape", "sh:property", "[", "]", "sh:path", "sh:minCount", "1", "'x'@en", '"""', ";", ".", "(", ")", "<", ">", "_:b"], " ", 25)
FILES = ["codes/AssetCategory.ttl", "shapes/asset.ttl", "shapes/release.ttl", "../x", ""]


@pytest.mark.parametrize("count", MEASURES)
def test_files_of_a_release(count: int) -> None:
    """What is sent for a release has its faults told, each with its place."""
    def judged(given: list[tuple[str, str]]) -> None:
        document = {"releaseFile": [{"fileName": name, "fileText": sent} for name, sent in given]}
        assert all(fault.pointer.startswith("/releaseFile") for fault in release.faults(dict(given), document, vocabulary(), SETTINGS))

    each(count // 5, st.lists(st.tuples(st.sampled_from(FILES), turtle_text | text), min_size=1, max_size=2), judged)


@pytest.mark.parametrize("count", MEASURES)
def test_wishes_of_the_feed(count: int) -> None:
    words = st.sampled_from(["kind", "type", "category", "area", "action", "subject", "since", "cursor", "wait"])
    each(count, form | st.lists(st.tuples(words, text | st.sampled_from(["assets", "BESS", "UKPN_EPN", "register", "now"])), max_size=4), lambda asked: wish_in(QueryParams(asked), vocabulary()))


PARAMETERS = [Parameter("x", "text"), Parameter("s", "iri"), Parameter("area", "code", "DNOCode", True)]
saved = joined([
    "SELECT", "CONSTRUCT", "ASK", "{", "}", "(", ")", "?x", "?s", "?area", "$x", "*", "AS", "BIND(", "FILTER(", "BOUND(", "MINUS", "EXISTS", "GROUP BY", "=", "<", "IN",
    "VALUES", "GRAPH", ":p", "<http://x/>", "'?x'", "#?x\n", ".", "COUNT(", "[", "]",
], " ", 30)  # fmt: skip


@pytest.mark.parametrize("count", MEASURES)
def test_saved_queries(count: int) -> None:
    """A file or a record is read, or everything is told that is wrong with it; and values are terms of their kind."""
    def judged(given: str) -> None:
        assert all(fault.pointer and fault.message for fault in sense("name", given, PARAMETERS, vocabulary(), SETTINGS))

    heads = joined(["# title: T\n", "# about: A\n", "# for: everyone\n", "# x: text\n", "# x: code DNOCode, optional; what\n", "#", ":", "\n", "# for: DNO,", "SELECT ?x { ?s ?p ?x }"], "")
    each(count, saved | queries | text, judged)
    each(count, heads | text, lambda given: parse("name", given, vocabulary(), SETTINGS), ValueError)
    query = SavedQuery("name", "", "", (), tuple(PARAMETERS), "")
    each(count, st.lists(st.tuples(st.sampled_from(["x", "s", "area", "aera"]) | text, text | st.just("UKPN_EPN")), max_size=5), lambda given: query.bound(given, vocabulary()))


# -- the journal's own texts, as a participant's tools read them


@pytest.mark.parametrize("count", MEASURES)
def test_texts_of_the_journal(count: int) -> None:
    lines = joined(["node.example/journal", "\n", "7", "-1", "AAAA", "— ", "node.example/journal ", "=" * 4, "\n\n", "0" * 44, "key-lost", "9" * 40, b64(bytes(32)), base64.b64encode(bytes(32)).decode()])
    each(count, lines, lambda given: Checkpoint.parse(Note.parse(given).text))
    each(count, lines, Note.parse)
    each(count, lines, Handover.parse)
    each(count, lines | text, VerifierKey.parse)
    each(count, joined(["entries", "0", "63", "64", "/", "x001", "000", ".p/", "256", "1", "..", "%2f"]), Tile.parse)
    members = st.fixed_dictionaries({}, optional={name: tree for name in ("origin", "index", "treeSize", "sections", "proof", "checkpoint", "leaf", "format", "version")})
    each(count, members.map(json.dumps) | json_text, lambda given: verify_receipt(parse_receipt(given), NODE_KEY))


# -- published tables


@pytest.mark.parametrize("count", MEASURES)
def test_published_tables(count: int, tmp_path: Path) -> None:
    columns = packaged().columns
    names = [*columns][:40]
    cells = joined(["1000000000003", "Solar", "Battery", "6.0", "6,0", "1e400", "NaN", "-", "Connected", "2016-10-01", "31/02/2020", "Norwich", '"', "'", "=", "\x00", "MW", "Mr A Person", "Fennel Energy Ltd", "NR25 6AA", "607000", "Yes"], "", 3)
    rows = st.lists(st.lists(cells, max_size=12), max_size=5)
    file = tmp_path / "table.csv"

    def read(given: tuple[list[str], list[list[str]], str, str]) -> None:
        header, lines, separator, encoding = given
        file.write_text("\n".join(separator.join(line) for line in [header, *lines]), encoding, errors="replace")
        read_register(list(read_table(file, columns)), "a release")

    each(count, st.tuples(st.permutations(names), rows, st.sampled_from([",", ";", "\t"]), st.sampled_from(["utf-8", "utf-16", "cp1252", "utf-8-sig"])), read)

    def any_bytes(data: bytes) -> None:
        file.write_bytes(data)
        read_register(list(read_table(file, columns)), "a release")

    each(count, st.binary(max_size=400), any_bytes)
