"""People over HTTP: a live node, a real identity provider, and a browser that keeps its cookies."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from starlette.datastructures import Headers

from fmar_node.web.cookie import attempt_cookie, given, is_own_page, origin_of, session_cookie, setting
from tests.live import LD_JSON, Live, free_port
from tests.market import saved_query
from tests.providing import SERVER, Providing, ask, returned

OF_HTML = {"Accept": "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"}
COUNT = iter(range(1, 1_000))


@pytest.fixture(scope="module")
def providing() -> Iterator[Providing]:
    with Providing() as made:
        yield made


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, providing: Providing) -> Iterator[Live]:
    two: dict[str, dict[str, Any]] = {"fsp-a": {"roles": ["FSP"]}, "fsp-b": {"roles": ["FSP"]}}
    providers = json.dumps([providing.setting()])
    with Live(tmp_path_factory.mktemp("people"), two, FMAR_IDENTITY_PROVIDERS=providers, FMAR_FRESHNESS_SECONDS="5") as node:
        yield node


OPENED: list[httpx.Client] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Every browser of a test is closed after it."""
    yield
    while OPENED:
        OPENED.pop().close()


class Browser:
    """A person's browser at the node."""

    def __init__(self, live: Live, sub: str, **headers: str) -> None:
        self.live, self.sub = live, sub
        self.client = httpx.Client(base_url=live.url, headers={"Accept": "application/json", **headers})
        OPENED.append(self.client)

    def begin(self, **asked: str) -> httpx.Response:
        return self.client.get("/signin", params={"provider": "central", **asked})

    def sign_in(self, **asked: str) -> httpx.Response:
        """The node's answer when the provider has sent the browser back."""
        begun = self.begin(**asked)
        assert begun.status_code == 303, begun.text
        return self.client.get(returned(begun.headers["Location"], self.sub))

    def signed_in(self, **asked: str) -> Browser:
        response = self.sign_in(**asked)
        assert response.status_code == 303, response.text
        return self

    def who(self) -> dict[str, Any]:
        response = self.client.get("/session")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def send(self, method: str, path: str, **given: Any) -> httpx.Response:
        """A request as a page of the node sends it."""
        headers = {"Origin": self.live.url, **given.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **given)

    @property
    def token(self) -> str:
        return str(self.client.cookies.get("fmar-session"))


def invite(live: Live, sub: str, by: str = "fsp-a", role: str = "EDITOR", **given: str) -> str:
    """Invites somebody that the provider knows from now on; the user's path."""
    document = {"type": "User", "userEmail": f"{sub}@example.org", "userRole": role, **given}
    made = live.client(by).post("/users", json=document, headers=LD_JSON)
    assert made.status_code == 201, made.text
    return urlsplit(made.headers["Location"]).path


@pytest.fixture
def sub(providing: Providing) -> str:
    """Somebody whom only this test knows."""
    name = f"person-{next(COUNT)}"
    providing.provider.people.append({"sub": name, "name": name, "email": f"{name}@example.org"})
    return name


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    return dict(response.json())


# -- in


def test_who_is_invited_signs_in_and_is_who_the_register_says(live: Live, providing: Providing, sub: str) -> None:
    user = invite(live, sub, role="ADMINISTRATOR", userName="Ada")
    browser = Browser(live, sub)

    response = browser.sign_in(**{"return": "/assets?managed=me"})

    assert (response.status_code, response.headers["Location"]) == (303, f"{live.url}/assets?managed=me")
    assert response.headers["Cache-Control"] == "no-store"
    who = browser.who()
    assert (who["user"], who["organisation"], who["role"]) == (live.url + user, live.profiles["fsp-a"].organisation, "ADMINISTRATOR")
    assert who["began"] < who["idleEnds"] < who["ends"]
    record = live.client("fsp-a").get(user).json()
    assert (record["userStatus"], record["identity"]) == ("ACTIVE", f"{providing.url}|{sub}")
    assert record["identityProof"].startswith("OpenID Connect (pwd), ID token sha-256 ")


def test_the_second_sign_in_writes_nothing_and_ends_the_browsers_first_session(live: Live, sub: str) -> None:
    user = invite(live, sub)
    browser = Browser(live, sub).signed_in()
    first, version = browser.token, live.client("fsp-a").get(user).json()["version"]

    browser.signed_in()

    assert browser.token != first
    assert live.client("fsp-a").get(user).json()["version"] == version
    problem(httpx.get(f"{live.url}/session", cookies={"fmar-session": first}), 401, "session-ended")


def test_cookies_are_for_the_node_alone(live: Live, sub: str) -> None:
    invite(live, sub)
    browser = Browser(live, sub)
    begun = browser.begin()

    arrived = browser.client.get(returned(begun.headers["Location"], sub))

    made = [*begun.headers.get_list("set-cookie"), *arrived.headers.get_list("set-cookie")]
    assert [cookie.split("=")[0] for cookie in made] == ["fmar-signin", "fmar-signin", "fmar-session"]
    for cookie in made:
        assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
    assert "Max-Age=600" in made[0] and "Max-Age=0" in made[1]


def test_over_https_cookies_have_the_prefix_that_binds_them_to_the_host() -> None:
    base = "https://register.example"

    cookie = setting(session_cookie(base), "x", 60, base)

    assert cookie == "__Host-fmar-session=x; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
    assert attempt_cookie(base) == "__Host-fmar-signin"


def test_a_session_that_somebody_else_chose_is_not_taken_up(live: Live, sub: str) -> None:
    """Fixation: a cookie that was there before the sign-in counts neither before nor after it."""
    invite(live, sub)
    browser = Browser(live, sub)
    browser.client.cookies.set("fmar-session", "A" * 43, domain="127.0.0.1", path="/")

    browser.signed_in()

    assert browser.token != "A" * 43
    problem(httpx.get(f"{live.url}/session", cookies={"fmar-session": "A" * 43}), 401, "session-ended")


def test_the_way_in_is_a_page_for_people_and_a_list_for_programs(live: Live) -> None:
    told = httpx.get(f"{live.url}/signin", params={"return": "/assets"}, headers={"Accept": "application/json"}).json()
    page = httpx.get(f"{live.url}/signin", headers=OF_HTML)

    assert told == {"providers": [{"name": "central", "href": f"{live.url}/signin?provider=central&return=%2Fassets"}]}
    assert page.headers["Content-Type"].startswith("text/html")
    assert f'href="{live.url}/signin?provider=central"' in page.text
    assert 'href="/signin"' in httpx.get(live.url, headers=OF_HTML).text


@pytest.mark.parametrize("asked", [
    {"provider": "other"}, {"provider": "central", "return": "//evil.example"}, {"provider": "central", "return": "https://evil.example"}, {"provider": "central", "return": "/\\evil"},
    {"provider": "central", "organisation": "x"}, {"provider": "central", "redirect_uri": "https://evil.example"}, {"provider": ["central", "central"]},
])  # fmt: skip
def test_a_beginning_that_is_not_understood_is_refused(live: Live, asked: dict[str, Any]) -> None:
    problem(httpx.get(f"{live.url}/signin", params=asked), 400, "malformed-request")


# -- not in


def test_who_is_not_invited_learns_whom_to_ask_and_nothing_else(live: Live, sub: str) -> None:
    browser = Browser(live, sub)

    refused = problem(browser.sign_in(), 403, "identity-not-invited")
    page = Browser(live, sub, **OF_HTML).sign_in()

    assert "administrator" in refused["detail"] and sub not in json.dumps(refused)
    assert browser.client.get("/session").status_code == 401
    assert (page.status_code, "identity-not-invited" in page.text, "administrator" in page.text) == (403, True, True)
    assert "fmar-session" not in page.headers["set-cookie"]


def test_an_invitation_of_another_organisation_is_none(live: Live, sub: str) -> None:
    invite(live, sub, by="fsp-b")

    problem(Browser(live, sub).sign_in(organisation=live.profiles["fsp-a"].organisation.rsplit("/", 1)[1]), 403, "identity-not-invited")


def test_of_several_organisations_one_is_chosen(live: Live, sub: str) -> None:
    invite(live, sub, by="fsp-a")
    invite(live, sub, by="fsp-b")
    a, b = (live.profiles[name].organisation.rsplit("/", 1)[1] for name in ("fsp-a", "fsp-b"))
    browser = Browser(live, sub)

    refused = problem(browser.sign_in(**{"return": "/assets"}), 409, "sign-in-choice")
    page = Browser(live, sub, **OF_HTML).sign_in(**{"return": "/assets"})

    assert sorted(refused["choices"]) == sorted([a, b])
    assert browser.client.get("/session").status_code == 401
    links = re.findall(r'href="(/signin\?[^"]*)"', page.text)
    assert page.status_code == 409 and "The fsp-b organisation" in page.text
    chosen = dict(parse_qsl(urlsplit(next(link for link in links if b in link).replace("&amp;", "&")).query))
    assert chosen == {"provider": "central", "organisation": b, "return": "/assets"}
    del chosen["provider"]
    assert browser.signed_in(**chosen).who()["organisation"].endswith(b)


def test_the_answer_of_another_browser_is_refused(live: Live, sub: str) -> None:
    invite(live, sub)
    theirs = Browser(live, sub)
    answer = returned(theirs.begin().headers["Location"], sub)
    victim = Browser(live, "victim")
    victim.begin()

    problem(victim.client.get(answer), 400, "sign-in-failed")
    problem(httpx.get(answer), 400, "sign-in-failed")
    assert theirs.client.get(answer).status_code == 303
    problem(theirs.client.get(answer), 400, "sign-in-failed")


def test_who_fails_again_and_again_waits(live: Live, sub: str) -> None:
    statuses = [Browser(live, sub).sign_in().status_code for _ in range(12)]

    assert statuses == [403] * 10 + [429] * 2
    assert "Retry-After" in Browser(live, sub).sign_in().headers


def test_a_provider_that_is_down_is_said_to_be(live: Live, providing: Providing, sub: str) -> None:
    invite(live, sub)
    browser = Browser(live, sub)
    answer = returned(browser.begin().headers["Location"], sub)
    providing.stop()

    down = browser.client.get(answer)
    providing.start()

    problem(down, 503, "identity-provider-unavailable")
    assert down.headers["Retry-After"]
    browser.signed_in()


# -- the session as a credential


def test_a_person_sees_and_writes_what_the_organisation_may(live: Live, sub: str) -> None:
    user = invite(live, sub, role="EDITOR")
    browser = Browser(live, sub).signed_in()

    made = browser.send("POST", "/assets", json=live.battery(), headers=LD_JSON)

    assert made.status_code == 201, made.text
    history = live.client("fsp-a").get(f"{made.headers['Location']}/history").json()["items"]
    assert (history[0]["by"]["user"], history[0]["by"]["application"]) == (user.rsplit("/", 1)[1], "")
    assert browser.client.get(made.headers["Location"]).json()["managedBy"] == live.profiles["fsp-a"].organisation
    assert httpx.get(made.headers["Location"]).status_code == 404
    query = {"query": "SELECT (COUNT(*) AS ?n) { ?s a <https://w3id.org/fmar/ns#Asset> }"}
    waiting = {"Fmar-Min-Journal-Index": made.headers["Fmar-Journal-Index"], "Accept": "text/csv"}
    assert int(browser.client.get("/sparql", params=query, headers=waiting).text.split()[1]) >= 1


def test_a_person_asks_the_saved_queries_of_its_organisation_from_their_pages(live: Live, sub: str) -> None:
    made = live.client("fsp-b").post("/queries", json=saved_query("for-fsp-a", audience=None, audienceOrganisation=[live.profiles["fsp-a"].organisation]), headers=LD_JSON)
    assert made.status_code == 201, made.text
    invite(live, sub, role="READER")
    browser = Browser(live, sub).signed_in()

    listed, page = (browser.client.get(path, headers=OF_HTML) for path in ("/queries", "/queries/for-fsp-a"))
    fields = re.findall(r'<(?:select|input) name="(\w+)"', page.text)
    answer = browser.client.get("/queries/for-fsp-a", params=dict.fromkeys(fields, "") | {"format": "csv"}, headers=OF_HTML)

    assert "/queries/for-fsp-a" in listed.text and "window of" in page.text
    assert (fields, answer.status_code, answer.headers["Content-Type"].split(";")[0]) == (["area", "format"], 200, "text/csv")
    assert httpx.get(f"{live.url}/queries/for-fsp-a", headers=OF_HTML).status_code == 404
    problem(browser.send("POST", "/queries", json=saved_query("mine"), headers=LD_JSON), 403, "not-permitted")


def test_a_reader_reads(live: Live, sub: str) -> None:
    invite(live, sub, role="READER")
    browser = Browser(live, sub).signed_in()

    refused = problem(browser.send("POST", "/assets", json=live.battery(), headers=LD_JSON), 403, "not-permitted")

    assert refused["errors"][0]["code"] == "USER-ROLE-1"
    assert browser.client.get("/assets?managed=me").status_code == 200


ELSEWHERE: tuple[dict[str, str], ...] = (
    {}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site", "Origin": "null"}, {"Referer": "self"},
)  # fmt: skip


def test_what_a_page_of_another_site_sends_is_refused(live: Live, sub: str) -> None:
    invite(live, sub)
    browser = Browser(live, sub).signed_in()

    for headers in ELSEWHERE:
        for method, path in (("POST", "/assets"), ("DELETE", "/session"), ("POST", "/session/end")):
            problem(browser.client.request(method, path, json={}, headers={**LD_JSON, **headers}), 403, "cross-site-request")

    assert browser.who()


def test_other_sites_read_nothing(live: Live, sub: str) -> None:
    invite(live, sub)
    browser = Browser(live, sub).signed_in()

    response = browser.client.get("/assets", headers={"Origin": "https://evil.example"})

    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers
    gone = browser.client.delete("/session", headers={"Origin": "https://evil.example"})
    assert (gone.status_code, browser.client.get("/session").status_code) == (403, 200)
    assert "Cookie" in response.headers["Vary"]


def test_a_form_without_referrer_is_told_by_what_no_page_can_set() -> None:
    base = "https://register.example"

    def is_own(**headers: str) -> bool:
        return is_own_page(Headers({name.replace("_", "-"): value for name, value in headers.items()}), base)

    assert is_own(origin=base) and is_own(sec_fetch_site="same-origin") and is_own(origin="null", sec_fetch_site="same-origin")
    assert not is_own(origin=f"{base}:444") and not is_own(origin=f"{base}.evil.example") and not is_own(origin="http://register.example")
    assert [origin_of(each) for each in ("https://A.example:443/fmar", "http://[::1]:80", "http://[::1]:8080/")] == ["https://a.example", "http://[::1]", "http://[::1]:8080"]


def test_beside_an_access_token_a_session_plays_no_role(live: Live, sub: str) -> None:
    invite(live, sub)
    browser = Browser(live, sub).signed_in()
    cookie = {"Cookie": f"fmar-session={browser.token}"}

    for wrong in ("", "x", "DPoP x", f"Bearer {browser.token}"):
        assert browser.client.get("/assets", headers={"Authorization": wrong}).status_code == 401
    made = live.client("fsp-b").post("/assets", json=live.battery(), headers={**LD_JSON, **cookie})
    assert made.json()["managedBy"] == live.profiles["fsp-b"].organisation
    problem(live.client("fsp-b").get("/session", headers=cookie), 401, "session-missing")


def test_two_sessions_in_one_request_are_none(live: Live, sub: str) -> None:
    invite(live, sub)
    token = Browser(live, sub).signed_in().token

    problem(httpx.get(f"{live.url}/session", headers={"Cookie": f"fmar-session={token}; fmar-session={'A' * 43}"}), 401, "session-ended")
    assert given(["a=1; b=2", "a=3"], "a") == ["1", "3"]


# -- out


def test_who_is_deactivated_is_out_at_once(live: Live, sub: str) -> None:
    user = invite(live, sub)
    browser = Browser(live, sub).signed_in()

    assert live.client("fsp-a").post(f"{user}/deactivation").status_code == 200

    response = browser.client.get("/assets")
    problem(response, 401, "session-ended")
    assert response.headers["set-cookie"].startswith("fmar-session=; ") and "WWW-Authenticate" in response.headers
    problem(browser.sign_in(), 403, "identity-not-invited")
    with sqlite3.connect(live.folder / "state" / "sessions.db") as connection:
        assert connection.execute("SELECT count(*) FROM session WHERE user = ?", (user.rsplit("/", 1)[1],)).fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize(("method", "path", "status"), [("DELETE", "/session", 204), ("POST", "/session/end", 303)])
def test_signing_out_ends_the_session(live: Live, sub: str, method: str, path: str, status: int) -> None:
    invite(live, sub)
    browser = Browser(live, sub).signed_in()
    token = browser.token

    response = browser.send(method, path)

    assert (response.status_code, response.headers["set-cookie"].split(";")[0]) == (status, "fmar-session=")
    problem(httpx.get(f"{live.url}/session", cookies={"fmar-session": token}), 401, "session-ended")
    problem(browser.client.get("/session"), 401, "session-missing")


def test_the_page_of_a_session_has_the_way_out(live: Live, sub: str) -> None:
    invite(live, sub)
    browser = Browser(live, sub).signed_in()

    page = browser.client.get("/session", headers=OF_HTML)

    assert '<form method="post" action="/session/end">' in page.text
    assert "The fsp-a organisation" in page.text and browser.token not in page.text
    left = browser.client.post("/session/end", headers={"Origin": "null", "Sec-Fetch-Site": "same-origin"})
    assert (left.status_code, left.headers["Location"]) == (303, f"{live.url}/signin")


def test_a_person_ends_its_own_sessions_and_an_administrator_those_of_the_organisation(live: Live, providing: Providing) -> None:
    names = [f"person-{next(COUNT)}" for _ in range(3)]
    providing.provider.people += [{"sub": name, "name": name, "email": f"{name}@example.org"} for name in names]
    for name, by, role in zip(names, ("fsp-a", "fsp-a", "fsp-b"), ("ADMINISTRATOR", "READER", "ADMINISTRATOR"), strict=True):
        invite(live, name, by, role)
    admin, reader, other = (Browser(live, name).signed_in() for name in names)
    second = Browser(live, names[1]).signed_in()

    own = reader.client.get("/sessions").json()["items"]
    assert [each["isCurrent"] for each in own] == [False, True]
    seen = {each["user"] for each in admin.client.get("/sessions").json()["items"]}
    assert {admin.who()["user"], reader.who()["user"]} <= seen and other.who()["user"] not in seen
    for stranger in (other, reader):
        problem(stranger.send("DELETE", admin.who()["id"]), 404, "not-found")
    assert reader.send("DELETE", second.who()["id"]).status_code == 204
    problem(second.client.get("/session"), 401, "session-ended")
    problem(admin.client.delete(own[1]["id"]), 403, "cross-site-request")
    assert admin.send("DELETE", own[1]["id"]).status_code == 204
    problem(reader.client.get("/session"), 401, "session-ended")


def test_an_organisation_that_has_left_is_out_at_once(live: Live, providing: Providing, sub: str) -> None:
    described = {"type": "Organisation", "organisationLegalName": "Gone", "organisationType": "OTHER", "organisationTypeDescription": "x", "organisationRoles": ["FSP"]}
    operator = live.client("operator")
    gone = operator.post("/organisations", json=described, headers=LD_JSON).headers["Location"]
    assert operator.post(f"{gone}/approval").status_code == 200
    invite(live, sub, by="operator", role="ADMINISTRATOR", userOf=gone)
    browser = Browser(live, sub).signed_in()

    left = operator.post(f"{gone}/deregistration")

    assert left.status_code == 200, left.text
    problem(browser.client.get("/assets"), 401, "session-ended")


# -- the node and the example


def test_a_restart_keeps_sessions_and_no_attempts(live: Live, sub: str) -> None:
    invite(live, sub)
    browser, other = Browser(live, sub).signed_in(), Browser(live, sub)
    answer = returned(other.begin().headers["Location"], sub)

    live.stop()
    live.start()

    assert browser.who()["role"] == "EDITOR"
    problem(other.client.get(answer), 400, "sign-in-failed")


def test_nothing_of_a_sign_in_is_in_the_log(live: Live, sub: str) -> None:
    invite(live, sub)
    browser = Browser(live, sub)
    answer = returned(browser.begin().headers["Location"], sub)
    browser.client.get(answer)

    log = live.log.read_text("utf-8")

    secret = [value for name, value in parse_qsl(urlsplit(answer).query) if name in ("code", "state")]
    assert '"route": "/signin/callback"' in log
    assert not [each for each in (*secret, browser.token, sub, "example.org") if each in log]


def test_the_example_provider_is_one(tmp_path: Path) -> None:
    port, people = free_port(), tmp_path / "people.json"
    people.write_text(json.dumps([{"sub": "1", "name": "Ada <b>", "email": "ada@example.org"}]))
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([sys.executable, SERVER, "--port", str(port), "--people", people], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and url in process.stdout.readline()
        try:
            described = ask("GET", f"{url}/.well-known/openid-configuration").json()
            asked = {"response_type": "code", "client_id": "c", "redirect_uri": "http://127.0.0.1:1/x", "scope": "openid", "code_challenge": "x", "code_challenge_method": "S256"}
            page = ask("GET", described["authorization_endpoint"], params=asked)
            kids = [[key["kid"] for key in ask(method, url + path).json()["keys"]] for method, path in (("GET", "/jwks"), ("POST", "/rotate"), ("POST", "/rotate?forget=true"))]
            elsewhere = ask("GET", described["authorization_endpoint"], params={**asked, "redirect_uri": "https://evil.example"})
        finally:
            process.terminate()

    assert described["issuer"] == url
    assert "<button>Ada &lt;b&gt;</button>" in page.text
    assert [len(each) for each in kids] == [1, 2, 1] and kids[0][0] == kids[1][0] != kids[2][0]
    assert elsewhere.status_code == 400


def test_a_person_applies_for_an_organisation_and_comes_back_as_its_administrator(live: Live, sub: str) -> None:
    document = {
        "type": "Organisation", "organisationLegalName": f"{sub} Flex", "organisationType": "OTHER",
        "organisationTypeDescription": "a cooperative", "organisationRoles": ["FSP"],
    }  # fmt: skip
    browser = Browser(live, sub).signed_in(apply="true")

    made = browser.send("POST", "/organisations", json=document, headers=LD_JSON)
    path = urlsplit(made.headers["Location"]).path
    seen = browser.client.get(path).json()
    refused = browser.send("POST", "/users", json={"type": "User", "userEmail": "x@example.org"}, headers=LD_JSON)
    assert live.client("operator").post(f"{path}/approval", headers={"If-Match": live.client("operator").get(path).headers["ETag"]}).status_code == 200
    back = Browser(live, sub).signed_in().who()

    assert (made.status_code, seen["organisationStatus"], browser.who()["applicant"]) == (201, "PENDING_APPROVAL", f"{sub}@example.org")
    assert refused.json()["errors"][0]["code"] == "APPLICANT-1"
    assert (back["organisation"], back["role"]) == (made.headers["Location"], "ADMINISTRATOR")
    assert live.client("fsp-a").get(path).json().keys().isdisjoint({"applicant", "applicantEmail"})


def test_whoever_only_applies_has_no_more_than_an_application(live: Live, sub: str) -> None:
    browser = Browser(live, sub).signed_in(apply="true")

    assert browser.client.get("/users").json()["items"] == []
    assert [item["isCurrent"] for item in browser.client.get("/sessions").json()["items"]] == [True]
    assert browser.send("POST", "/assets", json=live.battery(), headers=LD_JSON).status_code == 403
    assert browser.client.post("/sparql", content="ASK {}", headers={"Content-Type": "application/sparql-query", "Origin": live.url}).status_code == 200
    problem(Browser(live, sub).sign_in(), 403, "identity-not-invited")
    assert Browser(live, sub).begin(apply="perhaps").status_code == 400
