"""Tokens of external issuers: whose, by which keys, for whom, and what it costs to ask (A2, A3, A5, A6, A7, A11, A12)."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk

from fmar_node.access.credential import protected_resource_metadata
from fmar_node.access.issuer import read_key_set
from fmar_node.access.jose import UnacceptableError
from fmar_node.client import new_key, public_part, thumbprint
from fmar_node.clock import SetClock
from fmar_node.errors import Malformed, Unauthenticated
from fmar_node.settings import Settings
from tests.issuing import Authority, published, signed

from .abroad import PLATFORM, Abroad
from .conftest import BASE, ORGANISATION, Desk, b64


@pytest.fixture
def abroad(desk: Desk, directory: Authority) -> Abroad:
    return Abroad(desk, directory)


@pytest.fixture
def second(clock: SetClock) -> Iterator[Authority]:
    with Authority(BASE, clock) as made:
        yield made


# -- accepted on the same terms


def test_a_token_of_a_trusted_issuer_is_a_credential(abroad: Abroad) -> None:
    credential = abroad.ask(abroad.token())

    assert (credential.organisation, credential.actor, credential.issuer) == (ORGANISATION, None, abroad.directory.url)
    assert (credential.client_id, credential.key_id, credential.scope) == ("https://app.example/1", "", "")


def test_the_nodes_own_tokens_need_nobody_elsewhere(abroad: Abroad) -> None:
    abroad.directory.is_down = True

    credential = abroad.ask(abroad.desk.token())

    assert (credential.key_id, credential.issuer) == (thumbprint(abroad.desk.key), "")
    assert not abroad.directory.asked


def test_keys_are_fetched_once_for_many_tokens(abroad: Abroad) -> None:
    for _ in range(5):
        abroad.ask(abroad.token())

    assert abroad.directory.asked == {"/keys": 1}


def test_an_issuer_that_is_not_configured_is_refused_and_never_asked(desk: Desk, directory: Authority, second: Authority) -> None:
    abroad = Abroad(desk, directory)

    assert "not from an issuer" in abroad.refusal(second.token(abroad.subject, desk.key)).detail
    assert not second.asked and not directory.asked


@pytest.mark.parametrize("alter", [
    lambda text: text + "/", lambda text: text[:-1], lambda text: text + "0", lambda text: text.upper(), lambda text: text.replace("127.0.0.1", "localhost"),
    lambda text: [text], lambda text: {text: 1}, lambda text: None, lambda text: 7, lambda text: text + ".evil.example", lambda text: f" {text}",
])  # fmt: skip
def test_a6_iss_is_the_configured_text_and_aud_is_ours(abroad: Abroad, alter: Any) -> None:
    """A6: prefixes, suffixes, slashes, lists."""
    abroad.refusal(abroad.token(iss=alter(abroad.directory.url)))
    abroad.refusal(abroad.token(aud=alter(BASE)))
    assert abroad.ask(abroad.token())


def test_a6_an_issuer_may_have_an_audience_of_its_own_and_then_no_other(desk: Desk, directory: Authority) -> None:
    abroad = Abroad(desk, directory, audience="urn:fmar:gb")

    assert abroad.ask(abroad.token(aud="urn:fmar:gb"))
    assert "urn:fmar:gb" in abroad.refusal(abroad.token(aud=BASE)).detail


@pytest.mark.parametrize("typ", [None, "JWT", "dpop+jwt", "statuslist+jwt", "consent+jwt", "AT+JWT", "application/at+jwt"])
def test_a5_another_type_of_the_same_issuer_is_no_access_token(abroad: Abroad, typ: str | None) -> None:
    """A5: an id token, a proof, a consent, a status list of the same key."""
    header = {"typ": typ}

    assert "typ" in abroad.refusal(signed(abroad.directory.claims(abroad.subject, abroad.desk.key), abroad.directory.key, **header)).detail


@pytest.mark.parametrize(("changes", "said"), [
    ({"exp": None}, "exp"), ({"iat": None}, "iat"), ({"exp": "x"}, "exp"), ({"exp": 10**300}, "exp"), ({"exp": True}, "exp"), ({"nbf": "x"}, "nbf"),
    ({"jti": None}, "jti"), ({"client_id": None}, "client_id"), ({"client_id": "x" * 257}, "client_id"), ({"scope": 7}, "scope"), ({"sub": None}, "sub"),
    ({"cnf": None}, "cnf"), ({"cnf": {}}, "jkt"), ({"cnf": []}, "cnf"),
])  # fmt: skip
def test_a7_claims_are_as_strict_as_the_nodes_own(abroad: Abroad, changes: dict[str, Any], said: str) -> None:
    """A7 and A8: no time, no life without end, no token without a key."""
    assert said in abroad.refusal(abroad.token(**changes)).detail
    assert abroad.ask(abroad.token())


@pytest.mark.parametrize(("iat", "nbf", "exp", "is_good"), [
    (0, None, 300, True), (0, 0, 600, True), (0, None, 601, False), (0, None, 0, False), (11, None, 300, False), (10, None, 300, True), (0, 11, 300, False),
    (-600, None, 1, False),
])  # fmt: skip
def test_a7_time_and_life_are_bounded(abroad: Abroad, iat: int, nbf: int | None, exp: int, is_good: bool) -> None:
    """A7: clock skew of ten seconds, `token_seconds_most` even for what is signed."""
    now = abroad.desk.now
    token = abroad.token(iat=now + iat, nbf=None if nbf is None else now + nbf, exp=now + exp)

    assert abroad.ask(token) if is_good else abroad.refusal(token)


def test_a8_the_proof_is_of_the_key_that_the_token_is_bound_to(abroad: Abroad, app_keys: dict[str, Any]) -> None:
    token = abroad.token()

    assert "bound to another key" in abroad.refusal(token, abroad.desk.proof(token=token, key=app_keys["stranger"])).detail
    proof = abroad.desk.proof(token=token)
    assert abroad.ask(token, proof)
    assert "used before" in abroad.refusal(token, proof).detail


# -- bearer


def test_a_bearer_token_is_refused_unless_the_entry_says_otherwise(desk: Desk, directory: Authority) -> None:
    strict, lax = Abroad(desk, directory), Abroad(desk, directory, bearer=True)
    token = strict.token(cnf=None)

    strict.refusal(token, scheme="Bearer")
    strict.refusal(token)
    assert lax.ask(token, scheme="Bearer").organisation == ORGANISATION


def test_a_bearer_issuer_opens_the_door_for_no_other_token(desk: Desk, directory: Authority) -> None:
    """A bound token is not taken without its proof (RFC 9449, section 7.2), nor the node's own."""
    abroad = Abroad(desk, directory, bearer=True)

    for token in (abroad.token(), desk.token(), desk.forged(desk.claims(cnf=None))):
        abroad.refusal(token, scheme="Bearer")
    abroad.refusal(abroad.token(cnf=None))
    for changes in ({"cnf": {"x5t#S256": "x"}}, {"cnf": 7}):
        abroad.refusal(abroad.token(**changes), scheme="Bearer")
    assert abroad.ask(abroad.token())


def test_a_bearer_issuer_says_nothing_for_another_issuer(desk: Desk, directory: Authority, second: Authority) -> None:
    settings = Settings(issuers=[directory.entry(bearer=True), second.entry()])
    abroad = Abroad(desk, directory)
    abroad.settings = settings
    abroad.reset()

    abroad.refusal(second.token(abroad.subject, desk.key, cnf=None), scheme="Bearer")
    assert abroad.ask(abroad.token(cnf=None), scheme="Bearer")


# -- whom it speaks of


@pytest.mark.parametrize("subject", [
    f"{BASE}/organisations/{ORGANISATION}/", f"{BASE}/organisations/{ORGANISATION.upper()}", f"{BASE}/users/{ORGANISATION}", "org-7", ORGANISATION,
    f"https://other.example/organisations/{ORGANISATION}",
])  # fmt: skip
def test_a_sub_that_names_nobody_here_is_refused(abroad: Abroad, subject: str) -> None:
    assert "has a sub" in abroad.refusal(abroad.token(subject)).detail


def test_a_sub_is_found_by_its_alias(desk: Desk, directory: Authority) -> None:
    abroad = Abroad(desk, directory, organisation_alias="DIRECTORY")
    abroad.members.names["org-7"] = [ORGANISATION]

    assert abroad.ask(abroad.token("org-7")).organisation == ORGANISATION
    assert abroad.ask(abroad.token()).organisation == ORGANISATION
    abroad.refusal(abroad.token("org-8"))


def test_an_alias_is_looked_for_behind_the_prefix(desk: Desk, directory: Authority) -> None:
    abroad = Abroad(desk, directory, organisation_alias="DIRECTORY", subject_prefix="https://directory.example/organisations/")
    abroad.members.names |= {"7": [ORGANISATION], "https://elsewhere.example/7": [ORGANISATION]}

    assert abroad.ask(abroad.token("https://directory.example/organisations/7")).organisation == ORGANISATION
    for subject in ("7", "https://elsewhere.example/7", "https://directory.example/organisations/"):
        abroad.refusal(abroad.token(subject))


def test_an_alias_that_two_have_names_nobody(desk: Desk, directory: Authority) -> None:
    abroad = Abroad(desk, directory, organisation_alias="DIRECTORY")
    abroad.members.names["org-7"] = [ORGANISATION, PLATFORM]

    abroad.refusal(abroad.token("org-7"))


def test_without_a_scheme_no_alias_counts(abroad: Abroad) -> None:
    abroad.members.names["org-7"] = [ORGANISATION]

    abroad.refusal(abroad.token("org-7"))


def test_a12_an_organisation_that_is_not_admitted_is_refused_at_the_next_request(abroad: Abroad) -> None:
    """A12: there is no key to revoke; what counts is the register."""
    token = abroad.token()
    assert abroad.ask(token)

    abroad.members.admitted.discard(ORGANISATION)

    assert "not admitted" in abroad.refusal(token).detail


def test_a12_an_alias_that_has_moved_takes_its_tokens_along(desk: Desk, directory: Authority) -> None:
    """A12: a token that was verified before never means another organisation than its alias does now."""
    abroad = Abroad(desk, directory, organisation_alias="DIRECTORY")
    abroad.members.names["org-7"] = [ORGANISATION]
    token = abroad.token("org-7")
    assert abroad.ask(token)

    abroad.members.names["org-7"] = [PLATFORM]

    assert "another organisation" in abroad.refusal(token).detail
    assert abroad.ask(abroad.token("org-7")).organisation == PLATFORM


# -- acting for another


def test_an_actor_is_an_organisation_here_too(desk: Desk, directory: Authority) -> None:
    abroad = Abroad(desk, directory, organisation_alias="DIRECTORY")
    abroad.members.names["platform-1"] = [PLATFORM]
    for actor in (abroad.platform, "platform-1"):
        token = abroad.token(act={"sub": actor})

        credential = abroad.ask(token)

        assert (credential.organisation, credential.actor, credential.acting) == (ORGANISATION, PLATFORM, PLATFORM)
    abroad.members.admitted.discard(PLATFORM)
    assert "not admitted" in abroad.refusal(abroad.token(act={"sub": abroad.platform})).detail


def test_a_chain_of_actors_is_refused(abroad: Abroad) -> None:
    """A14: depth one."""
    for act in ({"sub": abroad.platform, "act": {"sub": abroad.subject}}, [abroad.platform], abroad.platform, {}, {"sub": "nobody"}):
        abroad.refusal(abroad.token(act=act))
    assert abroad.ask(abroad.token(act={"sub": abroad.platform}))


# -- keys


def test_a2_no_address_in_a_header_is_ever_asked(abroad: Abroad, second: Authority) -> None:
    """A2: `jku`, `x5u`, `jwk`, `x5c`."""
    for header in ({"jku": f"{second.url}/keys"}, {"x5u": f"{second.url}/keys"}, {"jwk": public_part(second.key)}, {"x5c": ["MIIB"]}):
        abroad.refusal(abroad.token(header=header, key=second.key))
        abroad.refusal(abroad.token(header=header))
    assert not second.connections


@pytest.mark.parametrize("kid", [
    None, "", "../keys", "/etc/passwd", "' OR '1'='1", "?k } UNION { ?s ?p ?o", "A" * 43, "x" * 300, "\x00", 0, True, [], {}, ["a"],
], ids=repr)  # fmt: skip
def test_a3_a_hostile_kid_finds_nothing(abroad: Abroad, kid: Any) -> None:
    """A3: a name is a name."""
    assert abroad.ask(abroad.token())

    abroad.refusal(abroad.token(header={"kid": kid}))


def test_a3_one_kid_at_two_issuers_is_two_keys(desk: Desk, directory: Authority, second: Authority) -> None:
    """A3: keys are found by issuer and kid together, and the node's own are a third."""
    kid = desk.keys.jwks[-1]["kid"]
    directory.keys, second.keys = [{**new_key(), "kid": kid}], [{**new_key(), "kid": kid}]
    abroad = Abroad(desk, directory, second)
    one, other, own = directory.token(abroad.subject, desk.key), second.token(abroad.subject, desk.key), desk.token()

    assert [abroad.ask(token).issuer for token in (one, other, own)] == [directory.url, second.url, ""]
    crossed = [
        directory.token(abroad.subject, desk.key, key=second.key), second.token(abroad.subject, desk.key, key=directory.key),
        desk.forged(key=directory.key), directory.token(abroad.subject, desk.key, key=desk.keys.jwks[-1]),
    ]  # fmt: skip
    for token in crossed:
        assert "signature that does not hold" in abroad.refusal(token).detail


def test_an_issuer_does_not_speak_for_the_node(abroad: Abroad) -> None:
    own = abroad.desk.claims()

    assert "not signed with a key of this node" in abroad.refusal(signed(own, abroad.directory.key, typ="at+jwt")).detail


def test_a_kid_that_stands_for_two_keys_stands_for_none() -> None:
    keys = [{**published(new_key()), "kid": kid} for kid in ("a", "b", "b")]

    assert read_key_set(json.dumps({"keys": keys}).encode(), None, 0).keys.keys() == {"a"}


def test_bad_keys_in_a_set_are_left_out() -> None:
    good, rsa = published(new_key()), dict(jwk.generate_key("RSA", 2048).as_dict(private=False))
    bad = [
        {"kty": "oct", "k": "AAAA", "kid": "1"}, {**new_key(), "kid": "2"}, {**rsa, "kid": "3", "alg": "RS256"}, {**good, "kid": "4", "use": "enc"},
        {**good, "kid": 5}, {**good, "kid": ""}, {**good, "kid": "6", "crv": "P-384"}, {**good, "kid": "7", "x": good["y"]}, "x", None, [], 7,
        {name: value for name, value in good.items() if name != "kid"},
    ]  # fmt: skip

    found = read_key_set(json.dumps({"keys": [*bad, good, {**rsa, "kid": "8"}]}).encode(), None, 0)

    assert found.keys.keys() == {good["kid"], "8"}


@pytest.mark.parametrize("body", ["", "x", "[]", "{}", '{"keys": {}}', '{"keys": [], "keys": []}', json.dumps({"keys": [{}] * 101}), "[" * 10_000])
def test_what_is_no_key_set_is_refused(body: str) -> None:
    with pytest.raises(UnacceptableError):
        read_key_set(body.encode(), None, 0)


def test_a11_unknown_kids_ask_an_issuer_once_in_a_while(abroad: Abroad) -> None:
    """A11: ten thousand tokens under unknown names, a hundred at a time, and one fetch."""
    assert abroad.ask(abroad.token())
    abroad.desk.clock.forward(seconds=31)
    abroad.directory.asked.clear()
    template = abroad.token()
    said: Counter[str] = Counter()

    async def flood() -> None:
        for start in range(0, 10_000, 100):
            answers = await asyncio.gather(*(attack(number) for number in range(start, start + 100)))
            said.update(answers)

    async def attack(number: int) -> str:
        try:
            await abroad.caller(renamed(template, f"k{number}"), "x")
        except Unauthenticated as refusal:
            return refusal.detail
        return "accepted"

    abroad.run(flood)

    assert said == {"the access token is not signed with a key of its issuer": 10_000}
    assert abroad.directory.asked["/keys"] == 1
    assert abroad.ask(abroad.token())


def renamed(token: str, kid: str) -> str:
    header = json.dumps({"typ": "at+jwt", "alg": "ES256", "kid": kid}).encode()
    return f"{b64(header)}.{token.split('.', 1)[1]}"


def test_a11_a_flood_of_unknown_issuers_asks_nobody(abroad: Abroad) -> None:
    """A11: nothing is fetched for an issuer that is not configured."""
    for number in range(200):
        abroad.refusal(abroad.token(iss=f"{abroad.directory.url}/{number}"))

    assert not abroad.directory.asked


def test_a11_questions_at_once_wait_for_one_fetch(abroad: Abroad) -> None:
    """A11: the first request of many does not leave the others without an answer."""
    abroad.directory.seconds = 0.1

    async def all_at_once() -> list[str]:
        found = await asyncio.gather(*(abroad.caller(abroad.token()) for _ in range(50)))
        return [each.organisation for each in found]

    assert abroad.run(all_at_once) == [ORGANISATION] * 50
    assert abroad.directory.asked == {"/keys": 1}


def test_one_who_hangs_up_ends_nobody_elses_waiting(abroad: Abroad) -> None:
    abroad.directory.seconds = 0.1

    async def two() -> str:
        first, other = asyncio.create_task(abroad.caller(abroad.token())), asyncio.create_task(abroad.caller(abroad.token()))
        await asyncio.sleep(0.03)
        first.cancel()
        return (await other).organisation

    assert abroad.run(two) == ORGANISATION


def test_a_new_key_of_the_issuer_is_found(abroad: Abroad) -> None:
    assert abroad.ask(abroad.token())
    abroad.directory.keys.append(new_key())
    token = abroad.token()

    early = abroad.refusal(token)
    abroad.desk.clock.forward(seconds=30)

    assert "not signed with a key of its issuer" in early.detail
    assert abroad.ask(token)
    assert abroad.directory.asked["/keys"] == 2


def test_a12_a_withdrawn_key_is_noticed_when_the_set_is_read_again(desk: Desk, directory: Authority) -> None:
    """A12: within `issuer_keys_seconds`, also for a token that was verified before."""
    abroad = Abroad(desk, directory, settings={"issuer_keys_seconds": 60})
    token = abroad.token()
    assert abroad.ask(token)
    directory.keys = [new_key()]

    desk.clock.forward(seconds=61)

    assert "not signed with a key of its issuer" in abroad.refusal(token).detail


# -- while an issuer cannot be reached


def test_known_keys_are_used_while_the_issuer_is_down_for_a_day_and_no_longer(abroad: Abroad) -> None:
    """A13: then 503, never a guess."""
    assert abroad.ask(abroad.token())
    abroad.directory.is_down = True

    for _ in range(24):
        abroad.desk.clock.forward(seconds=3_599)
        assert abroad.ask(abroad.token())
    abroad.desk.clock.forward(seconds=120)

    assert abroad.outage(abroad.token()).code == "unavailable"
    abroad.directory.is_down = False
    abroad.desk.clock.forward(seconds=30)
    assert abroad.ask(abroad.token())


def test_without_any_key_nobody_knows(abroad: Abroad) -> None:
    """A13: a node that has started while the issuer was down."""
    abroad.directory.is_down = True

    assert abroad.directory.url in abroad.outage(abroad.token()).detail
    assert abroad.outage(abroad.token())
    assert abroad.directory.asked["/keys"] == 1


@pytest.mark.parametrize("body", ["", "{}", "x" * 300_000, '{"keys": 7}'])
def test_an_issuer_that_publishes_rubbish_is_one_that_is_down(abroad: Abroad, body: str) -> None:
    assert abroad.ask(abroad.token())
    abroad.directory.publish("/keys", body)
    abroad.desk.clock.forward(seconds=400)

    assert abroad.ask(abroad.token())
    assert abroad.directory.asked["/keys"] == 2


def test_an_issuer_that_publishes_no_key_has_withdrawn_them_all(abroad: Abroad) -> None:
    assert abroad.ask(abroad.token())
    abroad.directory.publish("/keys", '{"keys": []}')
    abroad.desk.clock.forward(seconds=400)

    abroad.refusal(abroad.token())


def test_key_sets_are_read_again_before_anybody_has_to_wait(desk: Desk, directory: Authority) -> None:
    abroad = Abroad(desk, directory)
    assert abroad.ask(abroad.token())
    desk.clock.forward(seconds=200)

    async def kept() -> None:
        abroad.subscriptions.start()
        while directory.asked["/keys"] < 2:
            await asyncio.sleep(0.01)
        while any(each.is_being_asked for each in abroad.issuers.publications()):
            await asyncio.sleep(0.01)

    abroad.run(kept)
    desk.clock.forward(seconds=200)
    directory.is_down = True

    assert abroad.ask(abroad.token())
    assert directory.asked["/keys"] == 2


# -- settings


GOOD = {"issuer": "https://directory.example", "jwks_uri": "https://directory.example/keys"}


@pytest.mark.parametrize(("changes", "said"), [
    ({"issuer": "http://directory.example"}, "https"), ({"jwks_uri": "http://10.0.0.1/keys"}, "https"), ({"jwks_uri": "https://u:p@directory.example/"}, "user"),
    ({"jwks_uri": "file:///etc/passwd"}, "https"), ({"issuer": "https://directory.example/#a"}, "fragment"), ({"issuer": "https://directory.example/?a"}, "query"),
    ({"issuer": ""}, "https"), ({"jwks_uri": None}, "jwks_uri"), ({"issuer": BASE}, "twice"), ({"organisation_alias": "LEI"}, "DIRECTORY"), ({"typo": 1}, "typo"),
    ({"status_lists": ["https://directory.example/lists"]}, "slash"), ({"status_lists": ["http://directory.example/"]}, "https"), ({"status": "maybe"}, "required"),
])  # fmt: skip
def test_an_entry_that_cannot_be_is_refused_at_the_start(changes: dict[str, Any], said: str) -> None:
    entry = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}

    with pytest.raises(Malformed, match="issuers") as refusal:
        Settings.read(None, {}, base_url=BASE, issuers=[entry])

    assert said in refusal.value.detail


def test_two_issuers_have_names_and_schemes_of_their_own() -> None:
    for changes in ({}, {"issuer": "https://other.example", "organisation_alias": "DIRECTORY"}):
        with pytest.raises(Malformed, match="twice"):
            Settings.read(None, {}, issuers=[{**GOOD, "organisation_alias": "DIRECTORY"}, {**GOOD, **changes}])
    assert len(Settings.read(None, {}, issuers=[GOOD, {**GOOD, "issuer": "https://other.example"}]).issuers) == 2


def test_entries_are_read_from_file_and_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('base_url = "https://node.example"\n[[issuers]]\nissuer = "https://directory.example"\njwks_uri = "https://directory.example/keys"\n')

    from_file = Settings.read(file, {})
    from_environment = Settings.read(None, {"FMAR_ISSUERS": json.dumps([GOOD])}, base_url="https://node.example")

    assert from_file == from_environment
    assert Settings(**json.loads(json.dumps(from_file.model_dump()))) == from_file
    with pytest.raises(Malformed, match=r"issuers: .*JSON"):
        Settings.read(None, {"FMAR_ISSUERS": "x"})


def test_the_metadata_name_every_issuer() -> None:
    one, lax = GOOD, {**GOOD, "issuer": "https://lax.example", "bearer": True}

    strict = protected_resource_metadata(BASE, "FMAR node", issuers=Settings(issuers=[one]).issuers)
    mixed = protected_resource_metadata(BASE, "FMAR node", issuers=Settings(issuers=[one, lax]).issuers)

    assert strict["authorization_servers"] == [BASE, "https://directory.example"]
    assert (strict["bearer_methods_supported"], strict["dpop_bound_access_tokens_required"]) == ([], True)
    assert (mixed["bearer_methods_supported"], mixed["dpop_bound_access_tokens_required"]) == (["header"], False)
