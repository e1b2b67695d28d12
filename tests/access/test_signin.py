"""A person signs in at a real provider over loopback, or is refused: attempts, answers, ID tokens, and who that is here."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from fmar_node.access.caller import UserRole
from fmar_node.access.id_token import Identity
from fmar_node.access.provider import Provider
from fmar_node.access.signin import Arrival, Attempt, Person, SignIn, admitted, proof_of
from fmar_node.client import new_key, public_part
from fmar_node.clock import SetClock, SystemClock
from fmar_node.errors import Conflict, FmarError, Forbidden, Malformed, Unavailable
from fmar_node.settings import Settings
from tests.providing import ADA, BOB, UNSURE, Providing, answered

from .conftest import compact

BASE = "http://127.0.0.1:8080"
FSP, OTHER = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12"
T = TypeVar("T")
Change = dict[str, Any]


@pytest.fixture(scope="module")
def shared() -> Iterator[Providing]:
    with Providing() as providing:
        yield providing


@pytest.fixture
def providing(shared: Providing) -> Providing:
    shared.provider.well_behaved()
    shared.provider.secret = ""
    return shared


class Desk:
    """The sign-ins of one node, each question in a loop of its own, as a browser's requests are."""

    def __init__(self, *settings: Change, base: str = BASE, clock: Any = None, secret: str = "", **more: Any) -> None:
        self.settings = Settings.read(environment={}, identity_providers=settings, **more)
        self.clock = clock or SetClock(SystemClock().now())
        providers = [Provider(each, secret, self.settings, self.clock) for each in self.settings.identity_providers]
        self.sign_in = SignIn(base, self.settings, self.clock, providers)
        self.loop = asyncio.new_event_loop()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def begin(self, name: str = "central", **given: Any) -> tuple[str, str]:
        return self.run(self.sign_in.begin(name, **given))

    def finish(self, pairs: list[tuple[str, str]], sealed: str) -> Arrival:
        return self.run(self.sign_in.finish(pairs, sealed))

    def sign(self, who: str = "ada-1", **given: Any) -> Arrival:
        url, sealed = self.begin(**given)
        return self.finish(answered(url, who), sealed)

    def close(self) -> None:
        self.run(self.sign_in.close())
        self.loop.close()


@pytest.fixture
def made() -> Iterator[list[Desk]]:
    desks: list[Desk] = []
    yield desks
    for desk in desks:
        desk.close()


@pytest.fixture
def desk(providing: Providing, made: list[Desk]) -> Desk:
    made.append(Desk(providing.setting()))
    return made[-1]


def failed(work: Callable[[], Any], code: str = "sign-in-failed") -> FmarError:
    with pytest.raises(FmarError) as refusal:
        work()
    assert refusal.value.code == code, refusal.value
    return refusal.value


# -- it holds


def test_a_sign_in_says_who_somebody_is(desk: Desk, providing: Providing) -> None:
    arrival = desk.sign(organisation=FSP, path="/assets?managed=me")

    identity = arrival.identity
    assert (identity.issuer, identity.subject, identity.email) == (providing.url, ADA["sub"], ADA["email"])
    assert identity.name == f"{providing.url}|ada-1"
    assert (arrival.attempt.organisation, arrival.attempt.path) == (FSP, "/assets?managed=me")
    assert (identity.methods, identity.authenticated is not None) == (("pwd",), True)


def test_what_is_asked_is_code_with_pkce_state_and_nonce(desk: Desk, providing: Providing) -> None:
    url, sealed = desk.begin()

    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(f"{providing.url}/authorize?")
    assert (asked["response_type"], asked["code_challenge_method"], asked["scope"]) == ("code", "S256", "openid email")
    assert (asked["client_id"], asked["redirect_uri"]) == ("fmar-node", f"{BASE}/signin/callback")
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) == 43
    assert not any(asked[name] in sealed for name in ("state", "nonce"))
    again = parse_qs(urlsplit(desk.begin()[0]).query)
    assert all(again[name] != [asked[name]] for name in ("state", "nonce", "code_challenge"))


def test_an_address_is_taken_in_lower_case(desk: Desk) -> None:
    assert desk.sign("bob-2").identity.email == BOB["email"].lower()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_confidential_client_authenticates(providing: Providing, made: list[Desk], method: str) -> None:
    providing.provider.secret = "s3cret: with %"
    providing.provider.description = {"token_endpoint_auth_methods_supported": [method]}
    made += [Desk(providing.setting(), secret="s3cret: with %"), Desk(providing.setting(), secret="other")]

    assert made[0].sign().identity.subject == "ada-1"
    assert "invalid_client" in failed(made[1].sign, "identity-provider-unavailable").detail


@pytest.mark.parametrize(("kind", "algorithm"), [("ES256", "ES256"), ("Ed25519", "Ed25519"), ("Ed25519", "EdDSA"), ("PS256", "PS256"), ("PS256", "RS256")])
def test_the_algorithms_of_providers_are_taken(desk: Desk, providing: Providing, app_keys: Change, kind: str, algorithm: str) -> None:
    provider, key = providing.provider, app_keys[kind]
    provider.sign = lambda claims: compact({"alg": algorithm, "kid": "k"}, claims, key)
    provider.answers["/jwks"] = json_answer({"keys": [{**public_part(key), "kid": "k"}]})

    assert desk.sign().identity.subject == "ada-1"


def test_a_key_that_was_rotated_in_is_fetched(desk: Desk, providing: Providing) -> None:
    desk.sign()
    providing.provider.rotate(forget=True)
    failed(desk.sign)

    desk.clock.forward(seconds=desk.settings.provider_refresh_seconds)
    providing.provider.change = later(30)
    assert desk.sign().identity.subject == "ada-1"


def later(seconds: int) -> Callable[[Change], Change]:
    """The claims of a provider whose clock has gone on with the node's."""
    return lambda claims: {**claims, "iat": claims["iat"] + seconds, "exp": claims["exp"] + seconds}


# -- attempts


def test_an_answer_counts_once(desk: Desk) -> None:
    url, sealed = desk.begin()
    pairs = answered(url, "ada-1")
    desk.finish(pairs, sealed)

    assert "used before" in failed(lambda: desk.finish(pairs, sealed)).detail


def test_an_attempt_that_failed_is_used_up_too(desk: Desk) -> None:
    url, sealed = desk.begin()
    pairs = answered(url, "ada-1")
    failed(lambda: desk.finish([(name, "x" if name == "code" else value) for name, value in pairs], sealed))

    assert "used before" in failed(lambda: desk.finish(pairs, sealed)).detail


def test_a_code_counts_once(desk: Desk) -> None:
    url, sealed = desk.begin()
    code = dict(answered(url, "ada-1"))["code"]
    (first, one), (second, two) = desk.begin(), desk.begin()
    desk.finish(with_code(answered(first, "ada-1"), dict(answered(first, "ada-1"))["code"]), one)

    assert "does not know the code" in failed(lambda: desk.finish(with_code(answered(second, "ada-1"), code), two)).detail
    assert sealed


def with_code(pairs: list[tuple[str, str]], code: str) -> list[tuple[str, str]]:
    return [(name, code if name == "code" else value) for name, value in pairs]


def test_the_answer_to_somebody_elses_attempt_is_refused(desk: Desk) -> None:
    """Login CSRF: an attacker's answer in the victim's browser, which has begun an attempt of its own or none."""
    theirs, _ = desk.begin()
    pairs = answered(theirs, "eve-3")
    _, sealed = desk.begin()

    for cookie in (sealed, "", "x", sealed[:-4]):
        assert "not begun in this browser" in failed(lambda: desk.finish(pairs, cookie)).detail  # noqa: B023


def test_an_attempt_does_not_outlive_the_process(desk: Desk, providing: Providing, made: list[Desk]) -> None:
    url, sealed = desk.begin()
    made.append(Desk(providing.setting()))

    failed(lambda: made[-1].finish(answered(url, "ada-1"), sealed))


def test_an_attempt_has_its_time(desk: Desk) -> None:
    url, sealed = desk.begin()
    desk.clock.forward(seconds=desk.settings.sign_in_seconds)

    assert "600 seconds" in failed(lambda: desk.finish(answered(url, "ada-1"), sealed)).detail


@pytest.mark.parametrize("name", ["state", "code", "iss"])
def test_a_parameter_that_stands_twice_is_refused(desk: Desk, name: str) -> None:
    url, sealed = desk.begin()
    pairs = answered(url, "ada-1")

    failed(lambda: desk.finish([*pairs, (name, dict(pairs)[name])], sealed))


def test_a_person_may_say_no_at_the_provider(desk: Desk) -> None:
    assert "access_denied" in failed(lambda: desk.sign("nobody")).detail


@pytest.mark.parametrize("path", [
    "//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/a b", "/\t/evil.example", "", "assets", "/é", "/a\r\nLocation: x",
    "/" + "x" * 512, "javascript:alert(1)", "/<b>", '/"', "http:/evil.example", "///evil.example",
])  # fmt: skip
def test_nobody_is_led_elsewhere(desk: Desk, path: str) -> None:
    failed(lambda: desk.begin(path=path), "malformed-request")


def test_a_node_below_a_path_leads_below_it(providing: Providing, made: list[Desk]) -> None:
    made.append(Desk(providing.setting(), base=f"{BASE}/fmar"))

    assert [made[0].sign_in.is_local(path) for path in ("/fmar/assets", "/fmar", "/assets", "/fmarther", "/")] == [True, True, False, False, False]


# -- which provider


def test_an_answer_of_another_provider_is_refused(desk: Desk) -> None:
    url, sealed = desk.begin()
    pairs = [(name, "https://evil.example" if name == "iss" else value) for name, value in answered(url, "ada-1")]

    assert "(iss)" in failed(lambda: desk.finish(pairs, sealed)).detail


def test_an_answer_without_iss_is_refused_where_the_provider_sends_it(desk: Desk) -> None:
    url, sealed = desk.begin()

    assert "(iss)" in failed(lambda: desk.finish([pair for pair in answered(url, "ada-1") if pair[0] != "iss"], sealed)).detail


def test_a_provider_that_cannot_be_told_apart_is_not_used_beside_others(providing: Providing, made: list[Desk]) -> None:
    providing.provider.description = {"authorization_response_iss_parameter_supported": None}
    other = {"name": "other", "issuer": "https://id.example", "client_id": "c"}
    made += [Desk(providing.setting(), other), Desk(providing.setting(), other, secret="s"), Desk(providing.setting())]

    failed(made[0].begin, "identity-provider-unavailable")
    assert [desk.begin()[0].startswith(providing.url) for desk in made[1:]] == [True, True]


def test_there_is_no_provider_of_that_name(desk: Desk) -> None:
    assert "central" in failed(lambda: desk.begin("other"), "malformed-request").detail


# -- the ID token


@pytest.mark.parametrize(("change", "words"), [
    ({"nonce": "other"}, "nonce"), ({"nonce": None}, "nonce"), ({"aud": "other"}, "another client"), ({"aud": ["fmar-node", "other"]}, "another client"),
    ({"aud": None}, "another client"), ({"azp": "other"}, "another client"), ({"iss": "https://evil.example"}, "another issuer"), ({"iss": None}, "another issuer"),
    ({"exp": 1}, "expired"), ({"exp": None}, "no exp"), ({"exp": "9999999999"}, "not a time"), ({"iat": 1}, "before this sign-in"), ({"iat": None}, "no iat"),
    ({"iat": 9_999_999_999, "exp": 9_999_999_999}, "not valid yet"), ({"nbf": 9_999_999_999}, "not valid yet"), ({"sub": None}, "no sub"), ({"sub": ""}, "sub"),
    ({"sub": "x" * 256}, "sub"), ({"sub": 7}, "sub"), ({"email": None}, "no email"), ({"email_verified": False}, "not verified"),
    ({"email_verified": None}, "not verified"), ({"email_verified": "true"}, "not verified"), ({"email": "ada@exämple.org"}, "email"), ({"email": "ada"}, "email"),
    ({"auth_time": "now"}, "auth_time"),
])  # fmt: skip
def test_an_id_token_that_is_not_all_that_is_expected_is_refused(desk: Desk, providing: Providing, change: Change, words: str) -> None:
    providing.provider.change = lambda claims: {**claims, **change}

    refusal = failed(desk.sign)

    assert isinstance(refusal, Forbidden) and words in refusal.detail
    assert "ada@" not in refusal.detail


def test_an_audience_of_one_in_a_list_and_azp_are_taken(desk: Desk, providing: Providing) -> None:
    providing.provider.change = lambda claims: {**claims, "aud": ["fmar-node"], "azp": "fmar-node"}

    assert desk.sign().identity.subject == "ada-1"


def test_an_address_that_nobody_has_checked_is_refused(desk: Desk) -> None:
    assert "not verified" in failed(lambda: desk.sign(UNSURE["sub"])).detail


def forgeries() -> dict[str, Callable[[Providing], Callable[[Change], str]]]:
    def own(providing: Providing) -> Change:
        return dict(providing.provider.keys[-1])

    def secret(providing: Providing) -> Change:
        return {"kty": "oct", "k": base64.urlsafe_b64encode(json.dumps(public_part(own(providing))).encode()).decode().rstrip("=")}

    def by(key: Callable[[Providing], Change], **header: Any) -> Callable[[Providing], Callable[[Change], str]]:
        def forger(providing: Providing) -> Callable[[Change], str]:
            return lambda claims: compact({"kid": own(providing)["kid"], **header}, claims, key(providing))

        return forger

    stranger = new_key()
    return {
        "none": lambda _: lambda claims: f"{b64({'alg': 'none'})}.{b64(claims)}.AA",
        "none, unsigned": lambda _: lambda claims: f"{b64({'alg': 'none'})}.{b64(claims)}.",
        "HS256 with the public key": by(secret, alg="HS256"),
        "a stranger's key": by(lambda _: stranger, alg="ES256"),
        "a stranger's key that it brings": by(lambda _: stranger, alg="ES256", jwk=public_part(stranger)),
        "jku": by(own, alg="ES256", jku="https://evil.example/jwks"),
        "crit": by(own, alg="ES256", crit=["x"]),
        "an unknown kid": by(own, alg="ES256", kid="other"),
        "an access token": by(own, alg="ES256", typ="at+jwt"),
        "a logout token": by(own, alg="ES256", typ="logout+jwt"),
        "not a token": lambda _: lambda claims: "x",
        "a bomb": lambda _: lambda claims: "x" * 100_000,
    }


def b64(value: Change) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("name", forgeries())
def test_a_forged_id_token_is_refused(desk: Desk, providing: Providing, name: str) -> None:
    providing.provider.sign = forgeries()[name](providing)

    assert "ID token" in failed(desk.sign).detail


def test_the_algorithm_that_a_key_names_is_the_only_one(desk: Desk, providing: Providing, app_keys: Change) -> None:
    key = app_keys["PS256"]
    providing.provider.sign = lambda claims: compact({"alg": "RS256", "kid": "k"}, claims, key)
    providing.provider.answers["/jwks"] = json_answer({"keys": [{**public_part(key), "kid": "k", "alg": "PS256"}]})

    failed(desk.sign)


def test_a_key_for_encryption_or_with_its_private_part_verifies_nothing(desk: Desk, providing: Providing) -> None:
    key = dict(providing.provider.keys[-1])
    for published in ({**public_part(key), "kid": key["kid"], "use": "enc"}, {name: value for name, value in key.items() if name != "use"}):
        providing.provider.answers["/jwks"] = json_answer({"keys": [published]})
        desk.clock.forward(seconds=desk.settings.provider_cache_seconds)
        providing.provider.change = later(90_000)

        failed(desk.sign)


# -- the provider


def json_answer(value: Any, status: int = 200) -> Any:
    return status, {"Content-Type": "application/json"}, json.dumps(value).encode()


@pytest.mark.parametrize("answer", [
    json_answer({}, 500), json_answer([]), (200, {}, b"<html>"), (200, {}, b"x" * 300_000), (302, {"Location": "http://127.0.0.1:1/x"}, b""), (200, {"Content-Encoding": "gzip"}, b"x"),
])  # fmt: skip
@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/jwks"])
def test_a_provider_without_a_usable_answer_is_unavailable(desk: Desk, providing: Providing, path: str, answer: Any) -> None:
    providing.provider.answers[path] = answer

    refusal = failed(desk.sign, "identity-provider-unavailable")

    assert isinstance(refusal, Unavailable) and refusal.headers["Retry-After"]


@pytest.mark.parametrize("change", [
    {"issuer": "https://evil.example"}, {"issuer": None}, {"token_endpoint": "http://evil.example/token"}, {"authorization_endpoint": "javascript:alert(1)"},
    {"jwks_uri": "file:///etc/passwd"}, {"jwks_uri": None}, {"token_endpoint": "https://a@evil.example/"}, {"code_challenge_methods_supported": ["plain"]},
    {"code_challenge_methods_supported": "S256 plain"}, {"code_challenge_methods_supported": 7}, {"token_endpoint_auth_methods_supported": None},
])  # fmt: skip
def test_a_description_that_is_not_the_configured_providers_is_not_used(desk: Desk, providing: Providing, change: Change) -> None:
    providing.provider.description = change

    failed(desk.sign, "identity-provider-unavailable")


def test_a_provider_that_is_down_is_asked_again_later(desk: Desk, providing: Providing) -> None:
    providing.stop()
    failed(desk.begin, "identity-provider-unavailable")
    providing.start()
    failed(desk.begin, "identity-provider-unavailable")

    desk.clock.forward(seconds=2)

    assert desk.sign().identity.subject == "ada-1"


def test_a_slow_provider_is_not_waited_for(providing: Providing, made: list[Desk]) -> None:
    import socket

    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        silent = {"name": "silent", "issuer": f"http://127.0.0.1:{mute.getsockname()[1]}", "client_id": "c"}
        made.append(Desk(silent, provider_seconds=0.1))

        failed(lambda: made[0].begin("silent"), "identity-provider-unavailable")


def test_descriptions_and_keys_are_kept_and_strangers_do_not_make_the_node_fetch(desk: Desk, providing: Providing) -> None:
    desk.sign()
    providing.provider.sign = forgeries()["an unknown kid"](providing)
    for _ in range(10):
        failed(desk.sign)

    fetched = [path for path in providing.provider.asked if path in ("/.well-known/openid-configuration", "/jwks")]
    assert sorted(fetched) == ["/.well-known/openid-configuration", "/jwks"]


# -- who that is at this node


@dataclass
class Accounts:
    """People written by hand."""

    active: dict[str, Person] = field(default_factory=dict)
    """By identity."""
    waiting: dict[str, list[Person]] = field(default_factory=dict)
    """By address."""
    proofs: list[str] = field(default_factory=list)
    refusal: FmarError | None = None

    def signed_in(self, issuer: str, subject: str) -> list[Person]:
        return [person for name, person in self.active.items() if name == f"{issuer}|{subject}"]

    def invited(self, email: str) -> list[Person]:
        return self.waiting.get(email, [])

    async def accept(self, person: Person, issuer: str, subject: str, proof: str) -> Person:
        if self.refusal:
            raise self.refusal
        self.proofs.append(proof)
        self.active[f"{issuer}|{subject}"] = person
        return person


IDENTITY = Identity("https://id.example", "ada-1", "ada@example.org", ("pwd", "mfa"), None, "ab" * 32)
EDITOR, READER = Person("u1", FSP, UserRole.EDITOR), Person("u2", OTHER, UserRole.READER)


def entered(people: Accounts, organisation: str = "", identity: Identity = IDENTITY) -> Person:
    return asyncio.run(admitted(people, Arrival(identity, Attempt("central", organisation, "/", 0.0))))


def test_an_invitation_is_accepted_with_the_proof_of_who_it_was() -> None:
    people = Accounts(waiting={"ada@example.org": [EDITOR]})

    assert entered(people) == EDITOR
    assert people.proofs == [proof_of(IDENTITY)] == [f"OpenID Connect (pwd mfa), ID token sha-256 {'ab' * 32}"]


def test_an_account_is_known_by_issuer_and_subject_and_not_by_its_address() -> None:
    people = Accounts({IDENTITY.name: EDITOR})

    assert entered(people, identity=replace(IDENTITY, email="new@example.org")) == EDITOR
    for other in (replace(IDENTITY, subject="eve"), replace(IDENTITY, issuer="https://other.example")):
        with pytest.raises(Forbidden):
            entered(people, identity=other)
    assert people.proofs == []


def test_of_several_organisations_none_is_guessed() -> None:
    people = Accounts({IDENTITY.name: EDITOR}, {"ada@example.org": [READER, replace(EDITOR, user="u3")]})

    with pytest.raises(Conflict) as refusal:
        entered(people)
    assert (refusal.value.code, refusal.value.members["choices"]) == ("sign-in-choice", [FSP, OTHER])
    assert people.proofs == []
    assert entered(people, FSP) == EDITOR
    assert entered(people, OTHER) == READER


@pytest.mark.parametrize("people", [
    Accounts(), Accounts({IDENTITY.name: EDITOR}), Accounts(waiting={"ada@example.org": [EDITOR]}), Accounts({"x": READER}),
    Accounts(waiting={"ada@example.org": [READER]}, refusal=Conflict("conflict", "it has been accepted by somebody else")),
])  # fmt: skip
def test_who_has_no_account_learns_nothing_of_why(people: Accounts) -> None:
    with pytest.raises(Forbidden) as refusal:
        entered(people, OTHER)

    assert (refusal.value.code, refusal.value.detail, refusal.value.members) == ("identity-not-invited", "", {})


# -- settings


@pytest.mark.parametrize("change", [
    {"issuer": "http://id.example"}, {"issuer": "https://a:b@id.example"}, {"issuer": "https://id.example?x"}, {"issuer": "https://id.example#x"}, {"issuer": "id.example"},
    {"name": "Two Words"}, {"name": ""}, {"client_id": ""}, {"client_secret": "x"}, {"scopes": ["two words"]}, {"issuer": "http://127.0.0.1.evil.example"},
])  # fmt: skip
def test_settings_of_a_provider_are_checked(change: Change) -> None:
    given = {"name": "central", "issuer": "https://id.example", "client_id": "c", **change}

    with pytest.raises(Malformed):
        Settings.read(environment={}, identity_providers=[given])


def test_settings_of_providers_stand_in_the_environment_as_json() -> None:
    given = [{"name": "central", "issuer": "https://id.example", "client_id": "c", "scopes": ["profile"]}]

    (provider,) = Settings.read(environment={"FMAR_IDENTITY_PROVIDERS": json.dumps(given)}).identity_providers

    assert (provider.name, provider.scopes) == ("central", ("openid", "email", "profile"))
    for wrong in ("x", json.dumps(given * 2), "{}"):
        with pytest.raises(Malformed):
            Settings.read(environment={"FMAR_IDENTITY_PROVIDERS": wrong})


def test_people_sign_in_over_https_or_on_this_machine() -> None:
    given = {"name": "central", "issuer": "https://id.example", "client_id": "c"}

    with pytest.raises(Malformed):
        Desk(given, base="http://register.example")


