"""Assets in a table: the template, a batch in CSV, an export sent back, and what spreadsheets do to all of it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import random
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import pytest

from fmar_node.errors import FmarError, Malformed, TooLarge
from fmar_node.settings import Settings
from fmar_node.vocabulary import RELEASE, packaged
from fmar_node.web.sheet import Splitter, cells_of, plain
from fmar_node.web.template import TITLE, Table, columns_of, guarded, header_in, unguarded
from tests.live import Live
from tests.market import mpan, vocabulary

CSV = {"Content-Type": "text/csv"}
SETTINGS = Settings()


def flat(document: dict[str, Any]) -> dict[str, str]:
    """A document as the cells of the template."""
    cells = {name: str(value) for name, value in document.items() if not isinstance(value, list) and name != "type"}
    parts = {f"{name}.{place}.{member}": text for name, value in document.items() if isinstance(value, list) for place, part in enumerate(value, 1) for member, text in part.items()}
    return cells | parts


def table(rows: Iterable[dict[str, str]], **dialect: Any) -> bytes:
    """A sheet of these rows: every column that one of them has."""
    rows = list(rows)
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def sent(live: Live, body: Any, name: str = "fsp-a", **headers: str) -> list[dict[str, Any]]:
    response = live.client(name).post("/assets/batch", content=body, headers={**CSV, **headers})
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def refused(live: Live, body: bytes, **headers: str) -> dict[str, Any]:
    response = live.client("fsp-a").post("/assets/batch", content=body, headers={**CSV, **headers})
    assert response.status_code in (400, 406, 413, 415, 422), response.text
    return dict(response.json())


def one_fault(result: dict[str, Any]) -> tuple[str, str]:
    (error,) = result["problem"]["errors"]
    return error["pointer"], error["message"]


def size(live: Live) -> int:
    return int(live.client().get("/journal/checkpoint").text.splitlines()[1])


# -- the template


def test_the_template_is_a_table_that_a_batch_takes(live: Live) -> None:
    response = live.client().get("/assets/template")
    cells = flat(live.battery())
    title, header = response.text.splitlines()
    row = ",".join(cells.get(name, "") for name in header.split(","))

    (result,) = sent(live, f"{response.text}{row}\r\n")

    assert response.headers["Content-Type"].startswith("text/csv") and RELEASE in response.headers["Content-Disposition"]
    assert (title, result["row"], result["status"]) == (f"{TITLE} {RELEASE}", 3, 201)
    assert set(cells) <= set(header.split(",")) and "recordedAt" not in header
    assert live.client().get("/assets/template", headers={"If-None-Match": response.headers["ETag"]}).status_code == 304


def test_the_template_comes_with_its_codes_and_what_its_columns_take(live: Live) -> None:
    codes, columns = (list(csv.DictReader(io.StringIO(live.client().get("/assets/template", params={"part": part}).text))) for part in ("codes", "columns"))

    assert {"column": "assetCategory", "code": "BESS"}.items() <= next(row for row in codes if row["code"] == "BESS").items()
    assert {row["column"] for row in codes} >= {"dnoConnection", "alias.1.scheme"}
    assert next(row for row in columns if row["column"] == "ratedCapacity")["unit"] == "KiloW"
    assert live.client().get("/assets/template?part=x").status_code == 400


@pytest.mark.parametrize(("title", "is_read"), [
    (f"{TITLE} {RELEASE}", True), (f"{TITLE} {RELEASE},,,,", True), (f'"{TITLE} {RELEASE}"', True), ("# notes of mine", True),
    (f"{TITLE} 0.9.0", False), (f"{TITLE} 27.1.0;;;", False),
])  # fmt: skip
def test_a_template_of_another_version_is_recognised(live: Live, title: str, is_read: bool) -> None:
    body = f"{title}\n".encode() + table([flat(live.battery())])

    if is_read:
        assert sent(live, body)[0]["status"] == 201
    else:
        assert [each["code"] for each in refused(live, body)["errors"]] == ["template-version"]


def test_the_table_of_the_examples_has_one_fault(live: Live) -> None:
    results = sent(live, (packaged("examples") / "tables" / "portfolio.csv").read_bytes())

    assert [result["status"] for result in results] == [201, 201, 422] and one_fault(results[2])[0] == "/importMPAN"


# -- the header


@pytest.mark.parametrize(("header", "pointer", "said"), [
    ("assetName,ratedCapcity", "/ratedCapcity", "did you mean ratedCapacity?"),
    ("assetName,Import MPAN", "/Import MPAN", "did you mean importMPAN?"),
    ("assetName,assetName", "/assetName", "stands 2 times"),
    ("alias,alias.1.value", "/alias", "numbered"),
    ("alias.1.nonsense", "/alias.1.nonsense", "is not a term"),
    ("assetName.1.rule", "/assetName.1.rule", "is not a term"),
    ("a" * 4_000, "/" + "a" * 80, "is not a term"),
])  # fmt: skip
def test_a_header_that_is_not_understood_is_refused_before_any_row(live: Live, header: str, pointer: str, said: str) -> None:
    before = size(live)

    problem = refused(live, f"{header}\n".encode() + b"x\n" * 100)

    assert problem["status"] == 422 and size(live) == before
    assert [each["pointer"] for each in problem["errors"]] == [pointer] and said in problem["errors"][0]["message"]


@pytest.mark.parametrize(("body", "said"), [
    (b"", "no header"), (b"\n\n,,\n", "no header"), (b"# only a title\n", "no header"), ("assetName\n".encode("utf-16"), "UTF-16"),
    (b"assetName,ratedCapacity\rA,1\rB,2\r", "CR"), (b"asset\xff\n", "UTF-8"), (b'"assetName"x\n', "CSV"),
])  # fmt: skip
def test_what_is_no_table_is_refused_with_what_to_do(live: Live, body: bytes, said: str) -> None:
    assert said in refused(live, body)["detail"]


def test_a_table_is_in_our_terms_and_in_utf_8(live: Live) -> None:
    answers = [live.client("fsp-a").post(f"/assets/batch{query}", content=b"assetName\n", headers={"Content-Type": kind}) for query, kind in (("?profile=cim", "text/csv"), ("", "text/csv; charset=windows-1252"))]

    assert [answer.status_code for answer in answers] == [406, 415]


# -- rows


def test_rows_are_independent_and_numbered_as_a_spreadsheet_shows_them(live: Live) -> None:
    first, second, third = flat(live.battery()), flat(live.battery(ratedCapacity="-1")), flat(live.battery())
    *rows, last = table([first, second, third]).splitlines(keepends=True)

    results = sent(live, b"".join([*rows, b",,\n\n", last]))

    assert [(result["row"], result["status"]) for result in results] == [(2, 201), (3, 422), (6, 201)]
    assert "/ratedCapacity" in {error["pointer"] for error in results[1]["problem"]["errors"]}


@pytest.mark.parametrize("dress", [
    lambda body: b"\xef\xbb\xbf" + body, lambda body: body.replace(b"\r\n", b"\n"), lambda body: body.rstrip(b"\r\n"), lambda body: body.replace(b",", b";"),
    lambda body: body.replace(b",", b"\t"), lambda body: body.replace(b"\r\n", b",,,\r\n"),
], ids=["mark", "lf", "unended", "semicolons", "tabs", "wide"])  # fmt: skip
def test_a_table_is_read_as_spreadsheets_write_it(live: Live, dress: Any) -> None:
    document = live.battery(assetName="Hinterhof 7")

    (result,) = sent(live, dress(table([flat(document)])))

    assert result["status"] == 201, result
    assert live.client("fsp-a").get(result["id"]).json().items() >= {"ratedCapacity": "500.00", "importMPAN": document["importMPAN"]}.items()


def test_line_breaks_and_quotation_marks_stand_in_quotation_marks(live: Live) -> None:
    text = 'two lines,\r\nand "quoted"; all of it\n'
    row = flat(live.battery(justification=[{"rule": "A03", "text": text}], manufacturer='5" pipes'))

    (result,) = sent(live, table([row]))

    record = live.client("fsp-a").get(result["id"]).json()
    assert (record["justification"][0]["text"], record["manufacturer"]) == (text, '5" pipes')


@pytest.mark.parametrize("column", ["importMPAN", "exportMPAN"])
@pytest.mark.parametrize(("cell", "said"), [
    ("2.00006E+12", "a number of this MPAN"), ("2,00006E+12", "a number of this MPAN"), ("2E12", "a number of this MPAN"), ("1200 0364 81236", "without spaces"), ("1200036481236 ", "without spaces"),
    ('="1200036481236"', "quotation marks"), ("'1200036481236", "quotation marks"), ("1200036481236.0", "other signs"), ("1,200,036,481,236", "other signs"),
])  # fmt: skip
def test_a_meter_point_that_a_spreadsheet_has_changed_is_refused_with_advice(live: Live, column: str, cell: str, said: str) -> None:
    (result,) = sent(live, table([flat(live.battery()) | {column: cell}]))

    pointer, message = one_fault(result)
    assert (pointer, result["row"], result["status"]) == (f"/{column}", 2, 422)
    assert said in message and "format the column as Text" in message and cell not in json.dumps(result)


@pytest.mark.parametrize(("column", "cell", "said"), [
    ("ratedCapacity", "500,00", "a point"), ("ratedCapacity", "1,200.50", "thousands"), ("ratedCapacity", "5E+2", "scientific"),
    ("ratedCapacity", "500 kW", "nothing beside it"), ("device", "inverter", "list in JSON"), ("device", '[{"a": NaN}]', "list in JSON"),
])  # fmt: skip
def test_a_cell_without_one_certain_meaning_is_refused(live: Live, column: str, cell: str, said: str) -> None:
    (result,) = sent(live, table([flat(live.battery()) | {column: cell}], delimiter=";"))

    assert one_fault(result)[0] == f"/{column}" and said in one_fault(result)[1]


def test_faults_of_parts_point_to_their_columns(live: Live) -> None:
    row = flat(live.battery(alias=[{"scheme": "ECR", "value": "E-1"}, {"scheme": "NONSENSE", "value": "E-2"}]))
    body = table([row, row | {"alias.1.scheme": "", "alias.1.value": ""}, {**flat(live.battery()), "alias.7.scheme": "NOPE", "alias.7.value": "x"}])

    results = sent(live, body)

    assert [[error["pointer"] for error in result["problem"]["errors"]] for result in results] == [["/alias.2.scheme"], ["/alias.2.scheme"], ["/alias.7.scheme"]]


@pytest.mark.parametrize("row", [
    b"x" * 200_000, b'"' + b"x" * 140_000 + b'"', b"a,b,c,d", b'"abc"x', b"\xff\xfe", b"\x00", b"a\rb", b'"\x00"', b"=1+1", b'[{"a":' * 40,
], ids=["huge", "huge-quoted", "wide", "quotes", "bytes", "nul", "cr", "nul-quoted", "formula", "deep"])  # fmt: skip
def test_a_hostile_row_costs_itself_only(live: Live, row: bytes) -> None:
    good = flat(live.battery())
    header, cells = table([good]).splitlines()

    results = sent(live, b"\n".join([header, row, cells]))

    assert [result["row"] for result in results] == [2, 3]
    assert results[0]["status"] in (400, 413, 422) and results[1]["status"] == 201
    assert len(json.dumps(results[0])) < 20_000


@pytest.mark.parametrize("row", [b"x" * 10_000_000, b'"' + b"x\n" * 5_000_000, b'"\n' + b"x" * 300_000], ids=["line", "quoted-lines", "quoted"])
def test_a_row_without_end_ends_the_batch(live: Live, row: bytes) -> None:
    header, cells = table([flat(live.battery())]).splitlines()

    results = sent(live, b"\n".join([header, cells, b"", row, cells]))

    assert [(result["row"], result["status"]) for result in results] == [(2, 201), (4, 413)]
    assert "quotation mark" in results[1]["problem"]["detail"]


def test_a_quotation_mark_that_is_left_open_ends_the_batch(live: Live) -> None:
    header, cells = table([flat(live.battery())]).splitlines()
    body = b"\n".join([header, b"", cells, b'"' + cells, *[table([flat(live.battery())]).splitlines()[1]] * 3])

    results = sent(live, body)

    assert [(result["row"], result["outcome"]) for result in results] == [(3, "created"), (4, "refused")]
    assert results[1]["problem"].items() >= {"code": "malformed-request", "row": 4}.items() and "quotation mark" in results[1]["problem"]["detail"]


def test_a_dry_run_of_a_table_writes_nothing(live: Live) -> None:
    before = size(live)
    rows = [flat(live.battery()), flat(live.battery(ratedCapacity="x"))]

    response = live.client("fsp-a").post("/assets/batch?dry-run=true", content=table(rows), headers=CSV)

    assert [json.loads(line)["outcome"] for line in response.text.splitlines()] == ["accepted", "refused"] and size(live) == before


def test_a_broken_table_goes_on_where_it_stopped(live: Live) -> None:
    lines, key = table(flat(live.battery()) for _ in range(5)).splitlines(keepends=True), {"Idempotency-Key": f"table-{next(live.serials)}"}
    first = sent(live, b"".join(lines[:3]), **key)
    before = size(live)

    results = sent(live, b"".join(lines), **key)

    assert [result["id"] for result in results[:2]] == [result["id"] for result in first]
    assert [result["status"] for result in results] == [201] * 5 and size(live) == before + 3


# -- an export sent back


def test_an_export_is_sent_back_as_it_is_and_changes_nothing(live: Live) -> None:
    texts = ("=1+1", "'=1+1", "''", "@x", "-1", "+", "a, \"b\"\r\nc", "'quoted'")
    for text in texts:
        live.register("fsp-c", manufacturer=f"{text} {next(live.serials)}".replace("\r\n", ""), justification=[{"rule": "A03", "text": f"{text}"}], alias=[{"scheme": "ECR", "value": "E-1"}], v2gCapable=True)
    before, export = size(live), live.client("fsp-c").get("/assets/export", params={"format": "csv"}).content

    results = sent(live, export, "fsp-c")

    assert len(results) >= len(texts)
    assert {(result["status"], result["outcome"]) for result in results} == {(200, "unchanged")} and size(live) == before


def test_an_export_that_somebody_has_changed_is_an_update(live: Live) -> None:
    made = live.register("fsp-c", demandCapacity="480.00").json()
    export = io.StringIO(live.client("fsp-c").get("/assets/export", params={"format": "csv"}).text, newline="")
    (whole,) = [row for row in csv.DictReader(export) if row["assetId"] == made["assetId"]]
    row = {name: cell for name, cell in whole.items() if name == "id" or not vocabulary().terms[name].server_set}

    results = sent(live, table([row | {"demandCapacity": "450"}, row | {"demandCapacity": "440"}, row | {"demandCapacity": "430"}]), "fsp-c")

    assert [result["outcome"] for result in results] == ["updated"] * 3
    assert live.client("fsp-c").get(made["id"]).json().items() >= {"demandCapacity": "430.00", "version": 4}.items()


@pytest.mark.parametrize("text", ["", "a", "=", "'", "''", "'=", "''=", "'a", "-1", "\t", "'\t", "@'"])
def test_what_is_guarded_can_be_read_back(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert guarded(text)[:1] not in ("=", "+", "-", "@", "\t", "\r")


# -- rows of bytes


def split(body: bytes, pieces: random.Random | None = None, most: int = 10_000) -> list[tuple[int, bytes]]:
    splitter, found, at = Splitter(most), [], 0
    while at < len(body):
        step = pieces.randint(1, 9) if pieces else len(body)
        found += splitter.feed(body[at : at + step])
        at += step
    return [*found, *splitter.end()]


def test_rows_are_those_of_a_csv_reader_wherever_the_chunks_end() -> None:
    dice = random.Random(1)
    for _ in range(300):
        rows = [["".join(dice.choices('ab",;\n\r\t', k=dice.randint(0, 6))) for _ in range(dice.randint(1, 4))] for _ in range(dice.randint(1, 6))]
        out = io.StringIO(newline="")
        csv.writer(out).writerows(rows)
        body = out.getvalue().encode()

        found = split(body, dice)

        assert found == split(body)
        assert [cells_of(row, ",") for _, row in found] == rows and [number for number, _ in found] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize(("body", "rows"), [
    (b'a,5" pipe\nb,"c\nd"\n', 2), (b'"a""\nb"\nc\n', 2), (b'a"b\nc"d\n', 2), (b'x,"\n\n\n"', 1), (b"\r\n\r\n", 2), (b"", 0), (b"a", 1),
])  # fmt: skip
def test_a_quotation_mark_counts_where_a_cell_begins(body: bytes, rows: int) -> None:
    assert len(split(body)) == rows


def test_a_row_is_held_no_longer_than_it_may_be() -> None:
    for body in (b"x" * 101, b'"' + b"\n" * 101, b"x\n" * 99 + b"y" * 101):
        with pytest.raises(TooLarge):
            split(body, most=100)


@pytest.mark.parametrize("first", [b"\xff\xfea\x00", b"\xfe\xff\x00a", b"a\rb\rc"])
def test_a_first_row_that_no_reader_understands_is_malformed(first: bytes) -> None:
    with pytest.raises(Malformed):
        plain(first)


def test_any_bytes_are_rows_or_refused() -> None:
    dice, columns = random.Random(2), columns_of(["assetName", "importMPAN", "ratedCapacity", "alias", "justification.1.rule", ""], vocabulary())
    sheet = Table(columns, ",", SETTINGS)
    for _ in range(2_000):
        row = bytes(dice.choices(b'a1,,,"\n\r\x00\xff={}[]:\'E+', k=dice.randint(0, 40)))
        read = sheet.row(7, row)
        assert read is None or (read.refusal is not None) != bool(read.body)


def test_any_header_is_read_or_refused() -> None:
    async def fed(body: bytes) -> AsyncIterator[tuple[int, bytes]]:
        for row in split(body):
            yield row

    dice = random.Random(3)
    for _ in range(500):
        names = dice.choices(["id", "assetName", "alias", "alias.1.value", "#", "", "x", '"', "\x00", "\ufeff", "é"], k=dice.randint(0, 5))
        try:
            found = asyncio.run(header_in(fed(",".join(names).encode()), vocabulary(), SETTINGS))
        except FmarError:
            continue
        assert [column.name if column else "" for column in found.columns] == [name.strip().removeprefix("\ufeff") for name in names]


def test_a_meter_point_in_a_table_is_text_from_end_to_end(live: Live) -> None:
    point = mpan(77_123_456)

    (result,) = sent(live, table([flat(live.battery(importMPAN=point, exportMPAN=None, mpanUnknownReason="EXPORT_NOT_REGISTERED",
        justification=[{"rule": "A03", "text": "x"}, {"rule": "A21", "text": "y"}]))]))  # fmt: skip

    assert live.client("fsp-a").get(result["id"]).json()["importMPAN"] == point


def test_nothing_is_read_of_a_table_without_a_credential(live: Live) -> None:
    assert httpx.post(f"{live.url}/assets/batch", content=b"assetName\n", headers=CSV).status_code == 401
