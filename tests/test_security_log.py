"""The security log as a file: written beside the requests, rotated, bounded, read from its end."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fmar_node import security_log
from fmar_node.clock import SystemClock
from fmar_node.security_log import NAME, SecurityLog, Wish, files, read
from fmar_node.settings import Settings

MINE, OTHERS = "11111111-0000-7000-8000-000000000001", "11111111-0000-7000-8000-000000000002"


def made(folder: Path, **limits: Any) -> SecurityLog:
    return SecurityLog(folder / "log", Settings(**limits), SystemClock())


def filled(folder: Path, count: int, **limits: Any) -> SecurityLog:
    log = made(folder, **limits)
    for number in range(count):
        log.add("read" if number % 3 else "write", {"number": number, "organisation": MINE if number % 2 else OTHERS})
        if number % 50 == 49:
            log.flush()
    log.flush()
    return log


def numbers(folder: Path, **wish: Any) -> list[int]:
    """All pages of a wish, one after the other."""
    found, cursor = [], ""
    while True:
        page = read(folder / "log", Wish(**{**wish, "cursor": cursor}))
        found += [line["number"] for line in page.lines]
        if not (cursor := page.cursor):
            return found


def test_a_line_is_one_line_of_json_whatever_it_holds(tmp_path: Path) -> None:
    log = made(tmp_path)

    log.add("token", {"application": "a\r\nb\u2028{}", "rows": 0})
    log.close()

    (text,) = (tmp_path / "log" / NAME).read_bytes().splitlines()
    line = json.loads(text)
    assert (line["event"], line["application"], line["rows"]) == ("token", "a\r\nb\u2028{}", 0)
    assert abs(datetime.fromisoformat(line["time"]) - datetime.now(UTC)) < timedelta(seconds=10)


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    filled(tmp_path, 200, security_log_bytes=4096).close()

    modes = {stat.S_IMODE(file.stat().st_mode) for file in files(tmp_path / "log")}
    assert (modes, stat.S_IMODE((tmp_path / "log").stat().st_mode)) == ({0o600}, 0o700)


def test_a_thread_writes_what_comes_and_nobody_waits(tmp_path: Path) -> None:
    log = made(tmp_path)
    log.start()

    log.add("read", {})
    deadline = time.monotonic() + 5
    while not log.written and time.monotonic() < deadline:
        time.sleep(0.02)

    assert log.written == 1
    log.close()


def test_what_has_come_is_on_disk_when_it_is_closed(tmp_path: Path) -> None:
    log = made(tmp_path)
    log.start()
    threads = [threading.Thread(target=lambda: [log.add("read", {}) for _ in range(1000)]) for _ in range(4)]

    [thread.start() for thread in threads], [thread.join() for thread in threads]
    log.close()

    assert len((tmp_path / "log" / NAME).read_text().splitlines()) + log.dropped == 4000 and log.dropped == 0


def test_files_are_put_aside_by_size_and_removed_by_number(tmp_path: Path) -> None:
    filled(tmp_path, 2_000, security_log_bytes=10_000, security_log_files=4).close()

    kept = files(tmp_path / "log")
    found = numbers(tmp_path, limit=100)
    assert len(kept) == 4 and kept[0].name == NAME
    assert found == list(range(1_999, found[-1] - 1, -1)) and 100 < len(found) < 2_000


def test_files_are_removed_by_age(tmp_path: Path) -> None:
    filled(tmp_path, 500, security_log_bytes=10_000).close()
    old = files(tmp_path / "log")[1:]
    for file in old:
        os.utime(file, (time.time() - 3 * 86_400,) * 2)

    filled(tmp_path, 50, security_log_days=2).close()

    assert [file for file in old if file.exists()] == []


def test_a_queue_that_is_full_drops_and_counts(tmp_path: Path) -> None:
    log = made(tmp_path, security_log_waiting=10)

    for _ in range(25):
        log.add("read", {})
    log.close()

    assert (log.dropped, log.written) == (15, 10)


def test_a_disk_that_is_full_leaves_no_half_line_and_loses_nothing_that_has_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, write = filled(tmp_path, 3), os.write
    for number in range(3, 20):
        log.add("write", {"number": number})

    def full(descriptor: int, data: memoryview) -> int:
        if len(data) > 100:
            return write(descriptor, data[:77])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(security_log.os, "write", full)
    log.flush()
    held = (tmp_path / "log" / NAME).read_bytes()
    trouble = log.trouble
    monkeypatch.undo()
    log.flush()

    assert (trouble, log.trouble, log.dropped) == ("No space left on device", "", 0)
    assert len([json.loads(line) for line in held.splitlines()]) == 3
    assert numbers(tmp_path) == list(range(19, -1, -1))


def test_a_folder_that_cannot_be_made_is_told_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    log = made(tmp_path)

    log.add("read", {})
    log.flush()
    trouble = log.trouble
    log.close()

    assert trouble and log.dropped == 1


def test_a_file_that_somebody_took_away_is_begun_anew(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    (tmp_path / "log" / NAME).rename(tmp_path / "log" / "taken")

    log.add("read", {"number": 3})
    log.close()

    assert numbers(tmp_path) == [3]


def test_pages_go_back_through_all_files(tmp_path: Path) -> None:
    filled(tmp_path, 1_000, security_log_bytes=20_000).close()

    assert numbers(tmp_path, limit=7) == list(range(999, -1, -1))
    assert numbers(tmp_path, limit=7, event="write") == list(range(999, -1, -3))
    assert numbers(tmp_path, limit=7, organisation=MINE) == list(range(999, -1, -2))


def test_a_file_of_several_blocks_is_halved_for_a_cursor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security_log, "BLOCK", 300)
    filled(tmp_path, 500).close()

    assert numbers(tmp_path, limit=3) == list(range(499, -1, -1))


def test_a_page_ends_where_enough_was_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, 500).close()
    monkeypatch.setattr(security_log, "SCANNED", 5_000)

    page = read(tmp_path / "log", Wish(event="sign-in"))

    assert page.lines == [] and page.cursor
    assert numbers(tmp_path, event="write") == list(range(498, -1, -3))


def test_a_span_of_time_is_found(tmp_path: Path) -> None:
    log = filled(tmp_path, 20)
    time.sleep(0.02)
    since = datetime.now(UTC)
    time.sleep(0.02)
    [log.add("read", {"number": number}) for number in range(20, 40)]
    time.sleep(0.02)
    until = datetime.now(UTC)
    time.sleep(0.02)
    log.add("read", {"number": 40})
    log.close()

    assert numbers(tmp_path, since=since, until=until) == list(range(39, 19, -1))
    assert numbers(tmp_path, until=since) == list(range(19, -1, -1))


def test_what_is_broken_in_a_file_is_passed_over(tmp_path: Path) -> None:
    filled(tmp_path, 3).close()
    with (tmp_path / "log" / NAME).open("ab") as file:
        file.write(b'{"id": "01a2\n[1]\n\xff\n\n')
    log = made(tmp_path)
    log.add("read", {"number": 3})
    log.close()

    assert numbers(tmp_path) == [3, 2, 1, 0]


def test_where_there_is_no_log_there_are_no_lines(tmp_path: Path) -> None:
    assert read(tmp_path / "log", Wish()) == security_log.Page([], "")
