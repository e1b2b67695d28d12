"""Row A9 of the attack catalogue: what has been used once is not used again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from fmar_node.access.replay import ReplayCache
from fmar_node.clock import SetClock
from fmar_node.errors import FmarError, Unavailable
from fmar_node.settings import Settings

from .conftest import NOON, Desk


def _outcomes(times: int, act: Any) -> list[str]:
    """What `times` simultaneous calls came to: "ok" or the code of the refusal."""
    together = Barrier(times)

    def one(_: int) -> str:
        together.wait()
        try:
            act()
        except FmarError as error:
            return error.code
        return "ok"

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(one, range(times)))


def test_a9_of_a_hundred_simultaneous_replays_of_a_request_one_wins(desk: Desk) -> None:
    """A9: in the memory of the process."""
    token = desk.token()
    proof = desk.proof(token=token)

    outcomes = _outcomes(100, lambda: desk.verify(token, proof))

    assert sorted(outcomes) == ["invalid-dpop-proof"] * 99 + ["ok"]


def test_a9_of_a_hundred_simultaneous_replays_of_an_assertion_one_wins(desk: Desk) -> None:
    """A9: assertions too."""
    form = desk.form()
    proofs = iter([desk.proof("POST", desk.token_url) for _ in range(100)])

    outcomes = _outcomes(100, lambda: desk.issue(form, [next(proofs)]))

    assert sorted(outcomes) == ["invalid-client"] * 99 + ["ok"]


def test_a9_a_proof_of_the_token_endpoint_counts_once(desk: Desk) -> None:
    proof = desk.proof("POST", desk.token_url)
    assert desk.issue(proofs=[proof])["token_type"] == "DPoP"

    assert desk.token_refusal(proofs=[proof]).members == {"error": "invalid_dpop_proof"}


def test_a9_a_jti_is_refused_in_another_proof_too_but_not_by_another_key(desk: Desk, app_keys: dict[str, Any]) -> None:
    token = desk.token()
    assert desk.verify(token, desk.proof(token=token, jti="same")) is not None

    assert "before" in desk.refusal(token, desk.proof(token=token, jti="same", iat=desk.now + 1)).detail

    desk.key = app_keys["Ed25519"]
    desk.directory.register("app-a", desk.key)
    other = desk.token()
    assert desk.verify(other, desk.proof(token=other, jti="same")) is not None


def test_a9_a_refused_request_uses_up_nothing(desk: Desk) -> None:
    token = desk.token()
    proof = desk.proof(token=token, jti="kept")
    desk.refusal(token, desk.proof(method="POST", token=token, jti="kept"))

    assert desk.verify(token, proof) is not None


def test_a9_a_replay_is_refused_for_as_long_as_the_proof_could_count(desk: Desk, clock: SetClock) -> None:
    clock.forward(minutes=5)
    token = desk.token()
    proof = desk.proof(token=token, iat=desk.now + 10)
    assert desk.verify(token, proof) is not None

    for _ in range(70):
        clock.forward(seconds=1)
        assert "before" in desk.refusal(token, proof).detail
        assert desk.verify(token) is not None
    clock.forward(seconds=1)

    assert "ago" in desk.refusal(token, proof).detail


def test_a9_after_a_restart_what_was_issued_before_it_is_refused(desk: Desk, clock: SetClock) -> None:
    token = desk.token()
    proof, form = desk.proof(token=token), desk.form()
    assert desk.verify(token, proof) is not None
    clock.forward(seconds=3)

    desk.restart()

    assert desk.refusal(token, proof).members == {"error": "use_dpop_nonce"}
    assert "before this node started" in desk.token_refusal(form).detail
    assert desk.verify(token) is not None


def test_a9_after_a_restart_a_slow_clock_gets_through_with_a_nonce(desk: Desk, clock: SetClock) -> None:
    token = desk.token()
    clock.forward(seconds=3)
    desk.restart()
    nonce = desk.refusal(token, desk.proof(token=token, iat=desk.now - 2)).headers["DPoP-Nonce"]

    assert desk.verify(token, desk.proof(token=token, iat=desk.now - 2, nonce=nonce)) is not None


def test_a_clock_set_back_revives_nothing(desk: Desk, clock: SetClock) -> None:
    clock.forward(hours=1)
    token = desk.token()
    proof = desk.proof(token=token)
    assert desk.verify(token, proof) is not None
    clock.forward(hours=1)
    desk.token()

    clock.forward(hours=-1)

    assert desk.refusal(token, proof).members == {"error": "use_dpop_nonce"}


def test_the_memory_forgets_after_its_window_and_not_before() -> None:
    clock = SetClock(NOON)
    cache = ReplayCache(Settings(), clock)
    for second in range(400):
        assert cache.use("owner", f"jti-{second}")
        assert not cache.use("owner", f"jti-{max(0, second - 70)}")
        clock.forward(seconds=1)

    assert len(cache) <= 2 * 72
    assert cache.use("owner", "jti-0")


def test_the_memory_is_bounded_and_refuses_when_full() -> None:
    clock = SetClock(NOON)
    cache = ReplayCache(Settings(replay_entries=10), clock)
    assert all(cache.use("owner", str(number)) for number in range(10))

    with pytest.raises(Unavailable) as caught:
        cache.use("owner", "one more")

    assert int(caught.value.headers["Retry-After"]) > 0
    assert not cache.use("owner", "3")
    clock.forward(minutes=5)
    assert cache.use("owner", "one more")
