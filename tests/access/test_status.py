"""Token status lists: those of external issuers are honoured, the node's own is published (A5, A12, A13)."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from joserfc import jwk, jwt

from fmar_node.access.jose import UnacceptableError
from fmar_node.access.key import SigningKeys
from fmar_node.access.status import OwnList, Place, StatusList, read_status_list
from fmar_node.client import new_key, thumbprint
from fmar_node.clock import SetClock
from fmar_node.settings import Settings
from tests.issuing import Authority, base64url, signed

from .abroad import Abroad
from .conftest import BASE, Desk


@pytest.fixture
def abroad(desk: Desk, directory: Authority) -> Abroad:
    return Abroad(desk, directory)


# -- honoured


def test_a12_a_token_that_its_issuer_has_taken_back_is_refused_within_a_minute(abroad: Abroad) -> None:
    """A12: remote revocation, at most 60 seconds later."""
    token = abroad.token(status=abroad.directory.place(7))
    assert abroad.ask(token)

    abroad.directory.statuses[7] = 1
    abroad.desk.clock.forward(seconds=60)

    assert "revoked or suspended by its issuer" in abroad.refusal(token).detail
    assert abroad.ask(abroad.token(status=abroad.directory.place(8)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_every_width_of_a_status_is_read(abroad: Abroad, bits: int) -> None:
    abroad.directory.bits = bits
    abroad.directory.statuses |= {1: 1, 3: (1 << bits) - 1, 1_023: 1}

    for index, is_good in ((0, True), (1, False), (2, True), (3, False), (4, True), (1_022, True), (1_023, False), (1_024, False)):
        token = abroad.token(status=abroad.directory.place(index))
        assert abroad.ask(token) if is_good else abroad.refusal(token)


def test_the_example_of_the_draft_is_read() -> None:
    """draft-ietf-oauth-status-list, section 4: bits of 1 and of 2, the lowest first."""
    one = StatusList(bits=1, packed=bytes([0xB9, 0xA3]))
    two = StatusList(bits=2, packed=bytes([0xC9, 0x44, 0xF9]))

    assert [one.status(index) for index in range(16)] == [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    assert [two.status(index) for index in range(12)] == [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]


@pytest.mark.parametrize("status", [
    {}, [], "x", {"status_list": []}, {"status_list": {"idx": 1}}, {"status_list": {"uri": "x"}}, {"other": {}}, {"status_list": None},
])  # fmt: skip
def test_a_status_that_cannot_be_looked_up_is_not_valid(abroad: Abroad, status: Any) -> None:
    """A13: what cannot be understood fails closed."""
    abroad.refusal(abroad.token(status=status))


@pytest.mark.parametrize("index", [-1, 1.0, True, "1", None, 2**63, [1]])
def test_a_place_is_a_number(abroad: Abroad, index: Any) -> None:
    abroad.refusal(abroad.token(status=abroad.directory.place(0, idx=index)))


def test_a_list_is_its_issuers(abroad: Abroad) -> None:
    """The address is below a configured one, however it is written."""
    url = abroad.directory.url
    for uri in (
        f"{url}/keys", f"{url}/lists", f"{url}/lists/", f"{url}/lists/../keys", f"{url}/lists/./1", f"{url}/lists/%2e%2e/keys", f"{url}/lists/1?x", f"{url}/lists/1#x",
        f"{url}/lists//1", f"{url}/lists/a\\b", f"{url.replace('http://', 'http://x@')}/lists/1", f"{url}.evil.example/lists/1", "https://evil.example/lists/1", f"{url}/LISTS/1",
    ):  # fmt: skip
        assert "not its issuer's" in abroad.refusal(abroad.token(status=abroad.directory.place(0, uri=uri))).detail
    assert set(abroad.directory.asked) <= {"/keys"}


def test_without_a_configured_place_no_list_is_trusted(desk: Desk, directory: Authority) -> None:
    abroad = Abroad(desk, directory, status_lists=[])

    abroad.refusal(abroad.token(status=directory.place(0)))
    assert abroad.ask(abroad.token())


def test_an_issuer_may_have_to_give_a_status(desk: Desk, directory: Authority) -> None:
    abroad = Abroad(desk, directory, status="required")

    assert "no place in a status list" in abroad.refusal(abroad.token()).detail
    assert abroad.ask(abroad.token(status=directory.place(0)))


@pytest.mark.parametrize("changes", [
    {"sub": None}, {"sub": "x"}, {"iat": None}, {"iat": 9_999_999_999}, {"exp": 1}, {"exp": "x"}, {"ttl": -1}, {"ttl": "x"}, {"status_list": None}, {"status_list": []},
    {"status_list": {"bits": 3, "lst": "eNoDAAAAAAE"}}, {"status_list": {"bits": True, "lst": "eNoDAAAAAAE"}}, {"status_list": {"bits": 1}},
    {"status_list": {"bits": 1, "lst": "x"}}, {"status_list": {"bits": 1, "lst": base64url(b"not zlib")}}, {"status_list": {"bits": 1, "lst": base64url(zlib.compress(b"\0" * 99)[:-6])}},
    {"status_list": {"bits": 1, "lst": base64url(zlib.compress(b"\0" * 99) + b"more")}},
    {"header": {"typ": "JWT"}}, {"header": {"typ": "at+jwt"}}, {"header": {"typ": None}}, {"header": {"kid": "unknown"}}, {"header": {"crit": ["x"]}},
    {"key": {**new_key(), "kid": "unknown"}},
], ids=lambda changes: "another key" if "key" in changes else repr(changes))  # fmt: skip
def test_a13_a_list_that_does_not_hold_is_none(abroad: Abroad, changes: dict[str, Any]) -> None:
    """A5 and A13: another type, another address, another key, no time, no bits: 503, not 200."""
    abroad.directory.list_changes = changes

    assert abroad.outage(abroad.token(status=abroad.directory.place(0)))
    assert abroad.ask(abroad.token())


def test_a13_a_bomb_is_not_inflated(abroad: Abroad) -> None:
    """A13: a gigabyte of zeros is a megabyte of zlib, or a few bytes more than the limit."""
    bomb = zlib.compress(b"\0" * (abroad.settings.status_list_bytes + 1), 9)
    abroad.directory.list_changes = {"status_list": {"bits": 1, "lst": base64url(bomb)}}

    assert len(bomb) < 2_000
    assert abroad.outage(abroad.token(status=abroad.directory.place(0)))


def test_a13_a_stale_list_fails_closed(abroad: Abroad) -> None:
    """A13: while it cannot be fetched the last one counts for `status_list_stale_seconds`, then 503 and not 200."""
    token = abroad.token(status=abroad.directory.place(0), exp=abroad.desk.now + 600)
    assert abroad.ask(token)
    abroad.directory.is_down = True

    abroad.desk.clock.forward(seconds=299)
    assert abroad.ask(token)
    abroad.desk.clock.forward(seconds=2)
    assert abroad.outage(token).code == "unavailable"
    abroad.desk.clock.forward(seconds=1)
    assert "status list" in abroad.outage(token).detail

    abroad.directory.is_down = False
    abroad.desk.clock.forward(seconds=5)
    assert abroad.ask(token)


def test_a13_a_list_that_has_ended_counts_no_more(abroad: Abroad) -> None:
    """A13: its own `exp` goes before the node's patience."""
    abroad.directory.life = 40
    token = abroad.token(status=abroad.directory.place(0))
    assert abroad.ask(token)
    abroad.directory.is_down = True

    abroad.desk.clock.forward(seconds=35)
    assert abroad.ask(token)
    abroad.desk.clock.forward(seconds=5)
    assert abroad.outage(token)


def test_a13_an_older_list_does_not_take_a_newer_ones_place(abroad: Abroad) -> None:
    """A13: what was revoked stays so, whatever an old copy says."""
    old = abroad.directory.status_list()
    abroad.desk.clock.forward(seconds=1)
    abroad.directory.statuses[0] = 1
    abroad.refusal(abroad.token(status=abroad.directory.place(0)))

    abroad.directory.publish("/lists/1", old)
    abroad.desk.clock.forward(seconds=60)

    abroad.refusal(abroad.token(status=abroad.directory.place(0)))
    assert abroad.directory.asked["/lists/1"] == 2


@pytest.mark.parametrize(("ttl", "seconds", "asked"), [(30, 29, 1), (30, 31, 2), (10, 9, 1), (10, 11, 2), (1, 4, 1), (1, 6, 2), (43_200, 29, 1), (43_200, 31, 2)])
def test_a_list_is_fetched_as_often_as_it_says_and_at_least_every_minute(abroad: Abroad, ttl: int, seconds: int, asked: int) -> None:
    abroad.directory.ttl = ttl
    token = abroad.token(status=abroad.directory.place(0))
    assert abroad.ask(token)

    abroad.desk.clock.forward(seconds=seconds)

    assert abroad.ask(token)
    assert abroad.directory.asked["/lists/1"] == asked


def test_a_list_with_a_new_key_of_its_issuer_is_read(abroad: Abroad) -> None:
    assert abroad.ask(abroad.token())
    abroad.desk.clock.forward(seconds=31)
    abroad.directory.keys.insert(0, new_key())
    abroad.directory.list_changes = {"key": abroad.directory.keys[0]}

    assert abroad.ask(abroad.token(status=abroad.directory.place(0)))
    assert abroad.directory.asked == {"/keys": 2, "/lists/1": 1}


def test_a11_a_list_is_fetched_once_for_many(abroad: Abroad) -> None:
    """A11: and for nobody whose token is not signed by its issuer."""
    abroad.directory.seconds = 0.05
    abroad.refusal(abroad.token(status=abroad.directory.place(0), key={**new_key(), "kid": thumbprint(abroad.directory.key)}))
    assert abroad.directory.asked["/lists/1"] == 0

    async def all_at_once() -> int:
        return len(await asyncio.gather(*(abroad.caller(abroad.token(status=abroad.directory.place(0))) for _ in range(50))))

    assert abroad.run(all_at_once) == 50
    assert abroad.directory.asked["/lists/1"] == 1


def test_lists_in_use_are_read_again_before_anybody_has_to_wait(abroad: Abroad) -> None:
    token = abroad.token(status=abroad.directory.place(0))
    assert abroad.ask(token)
    abroad.desk.clock.forward(seconds=20)
    abroad.directory.statuses[0] = 1

    async def kept() -> None:
        abroad.subscriptions.start()
        while abroad.directory.asked["/lists/1"] < 2 or any(each.is_being_asked for each in abroad.issuers.publications()):
            await asyncio.sleep(0.01)

    abroad.run(kept)
    abroad.directory.is_down = True

    abroad.refusal(token)


# -- the node's own list


@dataclass
class Register:
    """Application keys by the entry that they came with."""

    entries: int = 10
    revoked: list[int] = field(default_factory=list)
    highest: int = 9
    asked: int = 0

    def size(self) -> int:
        return self.entries

    def revoked_keys(self) -> tuple[int, list[int]]:
        self.asked += 1
        return self.highest, list(self.revoked)


@pytest.fixture
def register() -> Register:
    return Register()


@pytest.fixture
def own(node_keys: SigningKeys, clock: SetClock, register: Register) -> OwnList:
    return OwnList(BASE, node_keys, clock, register)


def read(own: OwnList, keys: SigningKeys, clock: SetClock) -> StatusList:
    """As anybody else reads it."""

    def find(kid: object) -> Any:
        return keys.find(kid)

    return read_status_list(own.current().text.encode(), f"{BASE}/oauth/status/1", Settings(), clock.now().timestamp(), None, find)


def test_the_own_list_says_which_keys_are_revoked(own: OwnList, node_keys: SigningKeys, clock: SetClock, register: Register) -> None:
    register.revoked = [3, 8]

    found = read(own, node_keys, clock)

    assert [found.status(index) for index in range(10)] == [0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    assert (found.bits, found.ttl) == (1, 30)


def test_a12_a_revocation_is_in_the_list_with_the_journal_entry_that_makes_it(own: OwnList, node_keys: SigningKeys, clock: SetClock, register: Register) -> None:
    """A12: others learn of it as soon as they ask, which `ttl` lets them do twice a minute."""
    assert read(own, node_keys, clock).status(3) == 0

    register.revoked, register.entries = [3], 11

    assert read(own, node_keys, clock).status(3) == 1


def test_the_list_is_the_same_bytes_until_something_changes(own: OwnList, clock: SetClock, register: Register) -> None:
    first = own.current()
    register.entries += 5
    clock.forward(seconds=1_000)

    assert own.current() == first
    assert register.asked == 2
    register.entries, register.revoked = 20, [1]
    assert own.current().tag != first.tag


def test_the_list_is_signed_anew_before_it_ends(own: OwnList, node_keys: SigningKeys, clock: SetClock) -> None:
    first = own.current()

    clock.forward(seconds=1_801)

    assert own.current() != first
    assert read(own, node_keys, clock).ends == clock.now().timestamp() + 3_600


def test_the_list_does_not_tell_how_many_keys_there_are(own: OwnList, node_keys: SigningKeys, clock: SetClock, register: Register) -> None:
    register.highest = 8_191
    assert len(read(own, node_keys, clock).packed) == 1_024

    register.highest, register.entries = 8_192, 9_000
    assert len(read(own, node_keys, clock).packed) == 2_048


def test_a5_the_list_is_no_access_token_nor_is_a_token_a_list(own: OwnList, desk: Desk) -> None:
    """A5: each has its type, and both have the node's key."""
    assert "typ" in desk.refusal(own.current().text, desk.proof(token="x")).detail
    with pytest.raises(UnacceptableError, match="typ"):
        read_status_list(desk.token().encode(), f"{BASE}/oauth/status/1", Settings(), desk.now, None, desk.keys.find)  # type: ignore[arg-type]


def test_a_token_of_the_node_says_where_its_key_stands(desk: Desk) -> None:
    key = desk.directory.keys[thumbprint(desk.key)]
    desk.directory.keys[key.key_id] = replace(key, entry=12)

    given = jwt.decode(desk.token(), jwk.import_key(desk.keys.jwks[-1]), algorithms=["ES256"]).claims

    assert given["status"] == {"status_list": {"idx": 12, "uri": f"{BASE}/oauth/status/1"}} == Place(f"{BASE}/oauth/status/1", 12).as_claim()


def test_two_nodes_understand_each_other(desk: Desk, directory: Authority, own: OwnList, register: Register, clock: SetClock) -> None:
    """One node's list, at another one that trusts it."""
    other = Abroad(desk, directory)
    directory.keys = [dict(desk.keys.jwks[-1])]
    register.revoked = [5]
    text = own.current().text
    claims = {**jwt.decode(text, jwk.import_key(desk.keys.jwks[-1]), algorithms=["ES256"]).claims, "sub": directory.list_uri}
    directory.publish("/lists/1", signed(claims, directory.key, typ="statuslist+jwt"))

    assert other.ask(other.token(status=directory.place(4)))
    other.refusal(other.token(status=directory.place(5)))
