"""The node's own signing keys change while it runs: published first, signing later, gone when nothing of theirs counts any more."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pytest

from fmar_node.access.jose import read_compact
from fmar_node.access.key import SigningKeys
from fmar_node.access.replay import ReplayCache
from fmar_node.access.rotation import RotatingKeys, rotate_signing
from fmar_node.clock import SetClock
from fmar_node.settings import Settings

from .conftest import BASE, Desk

SETTINGS = Settings(base_url=BASE)
PUBLISHED = SETTINGS.signing_key_seconds + 1
LIFE = SETTINGS.token_seconds_most + SETTINGS.clock_skew_seconds + 1


@pytest.fixture
def file(tmp_path: Path) -> Path:
    SigningKeys.generate(tmp_path / "token.jwks")
    return tmp_path / "token.jwks"


@pytest.fixture
def keys(file: Path, clock: SetClock) -> RotatingKeys:
    return RotatingKeys(file, SETTINGS, clock)


def kids(keys: RotatingKeys) -> set[str]:
    return {each["kid"] for each in keys.public()["keys"]}


def rotate(file: Path, clock: SetClock, **options: Any) -> str:
    """The new key's name."""
    made = rotate_signing(file, SETTINGS, clock, **options).signing_kid
    clock.forward(seconds=1)
    return made


def test_a_new_key_is_published_first_and_signs_later(keys: RotatingKeys, file: Path, clock: SetClock) -> None:
    old = keys.signing_kid

    new = rotate(file, clock)

    assert (kids(keys), keys.signing_kid) == ({old, new}, old)
    clock.forward(seconds=PUBLISHED - 2)
    assert keys.signing_kid == old
    clock.forward(seconds=1)
    assert (kids(keys), keys.signing_kid) == ({old, new}, new)


def test_an_old_key_counts_until_its_last_token_has_ended_and_no_longer(keys: RotatingKeys, file: Path, clock: SetClock) -> None:
    old, new = keys.signing_kid, rotate(file, clock)
    clock.forward(seconds=PUBLISHED - 1)
    assert keys.signing_kid == new

    clock.forward(seconds=LIFE - 1)
    assert keys.find(old) is not None
    clock.forward(seconds=1)

    assert (keys.find(old), kids(keys)) == (None, {new})
    assert len(SigningKeys.load(file).jwks) == 2
    rotate(file, clock)
    assert old not in {each["kid"] for each in SigningKeys.load(file).jwks}


def test_rotations_in_a_row_leave_out_nothing_that_signs(keys: RotatingKeys, file: Path, clock: SetClock) -> None:
    """At any time what was signed within the longest life verifies, and what signs has been published for long enough."""
    tokens: list[tuple[float, str]] = []
    published: dict[str, float] = {}
    for step in range(400):
        if step in (5, 8, 9, 60, 61, 200):
            rotate(file, clock)
        clock.forward(seconds=10)
        now = clock.now().timestamp()
        for kid in kids(keys):
            published.setdefault(kid, now)
        token = keys.sign({"iat": now}, "at+jwt")
        tokens.append((now, token))
        assert step < 40 or now - published[read_compact(token, 1_000).header["kid"]] >= SETTINGS.signing_key_seconds - 10
        for made, each in tokens:
            if now - made <= SETTINGS.token_seconds_most:
                compact = read_compact(each, 1_000)
                found = keys.find(compact.header["kid"])
                assert found is not None
                found.check(compact)
    assert len(kids(keys)) == 1


def test_a12_a_stolen_key_is_gone_at_once_and_its_tokens_with_it(file: Path, keys: RotatingKeys, clock: SetClock, app_keys: dict[str, Any]) -> None:
    """A12: also those that were verified before."""
    desk = Desk(SigningKeys.load(file), app_keys["ES256"], SETTINGS, clock)
    desk.keys = keys  # type: ignore[assignment]
    desk.restart()
    token = desk.token()
    assert desk.verify(token)

    new = rotate(file, clock, at_once=True)

    assert "not signed with a key of this node" in desk.refusal(token).detail
    assert (kids(keys), keys.signing_kid) == ({new}, new)
    assert desk.verify(desk.token())


def test_tokens_count_through_a_rotation(file: Path, keys: RotatingKeys, clock: SetClock, app_keys: dict[str, Any]) -> None:
    desk = Desk(SigningKeys.load(file), app_keys["ES256"], SETTINGS, clock)
    desk.keys = keys  # type: ignore[assignment]
    desk.replay = ReplayCache(SETTINGS, clock)
    desk.restart()
    clock.forward(seconds=5)
    rotate(file, clock)
    clock.forward(seconds=PUBLISHED - 3)
    before = desk.token()
    clock.forward(seconds=2)
    after = desk.token()

    assert [read_compact(each, 5_000).header["kid"] == keys.signing_kid for each in (before, after)] == [False, True]
    assert desk.verify(before)
    assert desk.verify(after)
    clock.forward(seconds=250)
    assert desk.verify(before)


@pytest.mark.parametrize("content", [b"", b"{", b'{"keys": []}', b'{"keys": [{"kty": "oct"}]}'])
def test_a_file_that_breaks_changes_nothing(keys: RotatingKeys, file: Path, clock: SetClock, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    before, held = kids(keys), file.read_bytes()
    file.write_bytes(content)
    clock.forward(seconds=1)

    with caplog.at_level(logging.ERROR, "fmar.access"):
        assert kids(keys) == before
        clock.forward(seconds=1)
        assert kids(keys) == before

    assert len(caplog.records) == 1
    file.write_bytes(held)
    new = rotate(file, clock)
    assert new in kids(keys)


def test_a_file_that_is_gone_or_open_to_others_changes_nothing(keys: RotatingKeys, file: Path, clock: SetClock) -> None:
    before, held = kids(keys), file.read_bytes()
    file.chmod(0o644)
    clock.forward(seconds=1)
    assert kids(keys) == before
    file.unlink()
    clock.forward(seconds=1)
    assert kids(keys) == before
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as out:
        out.write(held)
    clock.forward(seconds=1)
    assert rotate(file, clock) in kids(keys)


def test_the_file_is_looked_at_once_a_second(keys: RotatingKeys, file: Path, clock: SetClock) -> None:
    keys.public()
    rotate_signing(file, SETTINGS, clock)

    clock.forward(seconds=0.9)
    assert len(kids(keys)) == 1
    clock.forward(seconds=0.1)
    assert len(kids(keys)) == 2


def test_a_node_that_was_made_with_one_key_signs_with_it(clock: SetClock, tmp_path: Path) -> None:
    SigningKeys(()).rotate(tmp_path / "keys", clock.now().timestamp() + 1_000)

    assert RotatingKeys(tmp_path / "keys", SETTINGS, clock).sign({}, "at+jwt")
