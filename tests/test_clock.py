"""A clock that is put forward: on a node for trying things out, by a file in its folder, and on no other node."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fmar_node.cli.main import app
from fmar_node.clock import AheadClock, SetClock, SystemClock, parse_stamp, stamp, today
from fmar_node.errors import Malformed
from fmar_node.folder import Folder
from fmar_node.settings import Settings

NOON = parse_stamp("2026-11-27T12:00:00Z")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path / "data")
    made.make("http://127.0.0.1:8080")
    return made


def test_it_goes_on_from_where_it_was_put(tmp_path: Path) -> None:
    machine = SetClock(NOON)
    clock = AheadClock(machine, tmp_path / "state" / "clock")
    assert clock.now() == NOON

    clock.go_to(parse_stamp("2026-12-11"))
    machine.forward(minutes=1)

    assert stamp(clock.now()) == "2026-12-11T00:01:00.000Z"
    assert today(AheadClock(machine, tmp_path / "state" / "clock")).isoformat() == "2026-12-11"


def test_a_day_begins_in_london_also_across_a_change_of_the_clocks(tmp_path: Path) -> None:
    clock = AheadClock(SetClock(parse_stamp("2026-10-20T23:30:00Z")), tmp_path / "clock")

    for day in ("2026-10-25", "2026-10-26", "2027-03-29"):
        clock.go_to(parse_stamp(day))
        assert today(clock).isoformat() == day


def test_it_never_goes_back(tmp_path: Path) -> None:
    clock = AheadClock(SetClock(NOON), tmp_path / "clock")
    clock.go_to(NOON + timedelta(days=14))

    with pytest.raises(ValueError, match="has passed"):
        clock.go_to(NOON + timedelta(days=13))

    assert clock.now() == NOON + timedelta(days=14)


def test_only_a_node_on_this_machine_may_have_its_clock_set() -> None:
    for base_url in ("http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"):
        assert Settings.read(environment={}, base_url=base_url, clock_may_be_set=True).clock_may_be_set
    for base_url in ("https://register.example.org", "http://10.0.0.1:8080", "https://127.0.0.1.example.org"):
        with pytest.raises(Malformed, match="clock_may_be_set"):
            Settings.read(environment={}, base_url=base_url, clock_may_be_set=True)


def test_a_file_moves_no_other_node(folder: Folder) -> None:
    AheadClock(SystemClock(), folder.clock).go_to(parse_stamp("2999-01-01"))
    machine = SetClock(NOON)

    assert folder.calendar(folder.settings(), machine) is machine


def test_the_command_says_and_sets_the_time_of_a_node_that_lets_it(folder: Folder) -> None:
    def fmar(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["clock", "--data", str(folder.root), *arguments])
        return done.exit_code, done.output

    status, _ = fmar("--to", "2999-01-01")
    assert (status, folder.clock.exists(), fmar()[0]) == (1, False, 0)

    with folder.settings_file.open("a") as settings:
        settings.write("clock_may_be_set = true\n")

    assert fmar("--to", "2999-01-01")[1].startswith("2999-01-01T00:00:0")
    assert fmar()[1].startswith("2999-01-01T00:00:")
    assert fmar("--to", "2998-01-01")[0] == fmar("--to", "someday")[0] == 1


def test_it_is_not_served_to_other_machines(folder: Folder) -> None:
    with folder.settings_file.open("a") as settings:
        settings.write("clock_may_be_set = true\n")

    done = CliRunner().invoke(app, ["serve", "--data", str(folder.root), "--host", "0.0.0.0"])

    assert done.exit_code == 1
