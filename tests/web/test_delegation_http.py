"""Acting on behalf of another over HTTP: tokens that name both, rights that end at once, one graph for all that was granted."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from fmar_node.client import EXCHANGE, SUBJECT_TYPE, CredentialError, Profile, connect
from tests.live import LD_JSON, Live
from tests.market import mpan
from tests.web.test_credentials_http import Hand, newcomer

PATCH = {"If-Match": "*", "Content-Type": "application/merge-patch+json"}
NAMES = "SELECT ?name WHERE { ?asset <https://w3id.org/fmar/ns#assetName> ?name }"


@dataclass
class Pair:
    """A provider and a platform that only this test knows."""

    live: Live
    provider: Profile
    platform: Profile

    def client(self, profile: Profile, *, acting: bool = False) -> httpx.Client:
        return connect(profile.acting_for(self.provider.organisation) if acting else profile, patience=0)

    def register(self, client: httpx.Client, **changes: Any) -> httpx.Response:
        return client.post("/assets", json=self.live.battery(**changes), headers=LD_JSON)

    def grant(self, *permissions: str, **changes: Any) -> str:
        """Offered and accepted; the delegation's IRI."""
        document = {
            "type": "Delegation", "delegate": self.platform.organisation, "permission": list(permissions),
            "assetScope": "ALL_ASSETS", "validTo": "2099-01-01", **changes,
        }  # fmt: skip
        with self.client(self.provider) as client:
            made = client.post("/delegations", json={name: value for name, value in document.items() if value}, headers=LD_JSON)
        assert made.status_code == 201, made.text
        with self.client(self.platform) as client:
            assert client.post(f"{made.headers['Location']}/acceptance").status_code == 200
        return made.headers["Location"]

    def revoke(self, delegation: str) -> httpx.Response:
        with self.client(self.provider) as client:
            ended = client.post(f"{delegation}/revocation")
        assert ended.status_code == 200, ended.text
        return ended


@pytest.fixture
def pair(live: Live) -> Iterator[Pair]:
    yield Pair(live, newcomer(live, "FSP")[1], newcomer(live, "PLATFORM")[1])


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def test_a_token_names_the_subject_and_the_actor(pair: Pair) -> None:
    pair.grant("READ")
    hand = Hand(pair.live, pair.platform)

    answer = hand.ask_token(grant_type=EXCHANGE, subject_token=pair.provider.organisation, subject_token_type=SUBJECT_TYPE)

    said = answer.json()
    assert said["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
    assert claims(said["access_token"])["sub"] == pair.provider.organisation
    assert claims(said["access_token"])["act"] == {"sub": pair.platform.organisation}


@pytest.mark.parametrize(("changes", "word"), [
    ({"subject_token": "organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"}, "invalid_target"),
    ({"subject_token": "x"}, "invalid_target"),
    ({"subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}, "invalid_request"),
    ({"actor_token": "x"}, "invalid_request"),
    ({"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"}, "invalid_request"),
])  # fmt: skip
def test_an_exchange_that_names_nobody_who_has_granted_anything_is_refused(pair: Pair, changes: dict[str, str], word: str) -> None:
    """A14: no delegation, no token."""
    pair.grant("READ")
    form = {"grant_type": EXCHANGE, "subject_token": pair.provider.organisation, "subject_token_type": SUBJECT_TYPE, **changes}

    answer = Hand(pair.live, pair.platform).ask_token(**form)

    assert (answer.status_code, answer.json()["error"]) == (400, word)


def test_nobody_gets_a_token_for_an_organisation_that_has_granted_it_nothing(pair: Pair) -> None:
    with pair.client(pair.platform, acting=True) as client, pytest.raises(CredentialError, match="no delegation"):
        client.get("/assets")


def test_a_platform_registers_and_changes_what_it_was_granted_and_history_names_both(pair: Pair) -> None:
    pair.grant("READ", "REGISTER", "UPDATE")

    with pair.client(pair.platform, acting=True) as client:
        made = pair.register(client)
        changed = client.patch(
            made.headers["Location"], content=b'{"assetName": "Renamed"}',
            headers={"If-Match": "*", "Content-Type": "application/merge-patch+json"},
        )  # fmt: skip
        gone = client.post(f"{made.headers['Location']}/deregistration", json={"deregistrationReason": "ERROR"}, headers=LD_JSON)
    with pair.client(pair.provider) as client:
        history = client.get(f"{made.headers['Location']}/history").json()["items"]

    assert (made.status_code, changed.status_code, gone.status_code) == (201, 200, 403)
    assert gone.json()["errors"][0]["code"] == "DELEGATION-SCOPE-2"
    assert "serialNumber" not in made.json()  # READ opens no personal values
    assert {(line["by"]["organisation"], line["by"]["actor"]) for line in history} == {
        (pair.provider.organisation.rsplit("/", 1)[-1], pair.platform.organisation.rsplit("/", 1)[-1])
    }


def test_with_a_token_of_its_own_a_platform_registers_nothing(pair: Pair) -> None:
    pair.grant("READ", "REGISTER")

    with pair.client(pair.platform) as client:
        answer = pair.register(client)

    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (403, "ASSET-REGISTER-1")


def test_revocation_ends_issued_tokens_within_a_second(pair: Pair) -> None:
    """A12: a token that was issued before is refused at the next request."""
    delegation = pair.grant("READ")
    with pair.client(pair.provider) as client:
        asset = pair.register(client).headers["Location"]
    with pair.client(pair.platform, acting=True) as client:
        before = client.get(asset).status_code
        pair.revoke(delegation)
        began = time.monotonic()
        with pytest.raises(CredentialError, match="no delegation"):  # the old token is refused, and there is no new one
            client.get(asset)

    assert before == 200
    assert time.monotonic() - began < 1


def test_a_passport_that_is_in_force_keeps_the_token_and_opens_no_asset(pair: Pair) -> None:
    """A14: what ended is refused, whatever else holds between the two."""
    delegation = pair.grant("READ", "REGISTER", "UPDATE")
    pair.grant("PASSPORT", assetScope="")
    with pair.client(pair.platform, acting=True) as client:
        asset = pair.register(client).headers["Location"]
        pair.revoke(delegation)

        read, registered = client.get(asset), pair.register(client)
        passport = client.get(pair.provider.organisation)

    assert (read.status_code, registered.status_code, passport.status_code) == (404, 403, 200)
    assert registered.json()["errors"][0]["code"] == "DELEGATION-SCOPE-2"


def test_a_delegate_changes_what_an_owner_is_called_and_not_which_organisation_it_is(pair: Pair) -> None:
    pair.grant("READ_PERSONAL", "UPDATE")
    with pair.client(pair.provider) as client:
        asset = pair.register(client, ownerName="Its true name").headers["Location"]

    with pair.client(pair.platform, acting=True) as client:
        renamed = client.patch(asset, content=b'{"ownerName": "Another name"}', headers=PATCH)
        moved = client.patch(asset, content=json.dumps({"owner": pair.provider.organisation, "ownerName": None}), headers=PATCH)
    with pair.client(pair.provider) as client:
        now, before = client.get(asset).json(), client.get(f"{asset}/versions/1").json()

    assert (renamed.status_code, moved.status_code) == (200, 422)
    assert moved.json()["errors"][0]["code"] == "ASSET-OWNER-1"
    assert (before["ownerName"], now["ownerName"]) == ("Its true name", "Another name")


@pytest.mark.parametrize(("dry_run", "number"), [("false", 7001), ("true", 7003)])
def test_what_a_delegate_does_not_see_it_does_not_change_and_no_trial_tells_what_it_is(pair: Pair, dry_run: str, number: int) -> None:
    """C1, A14: the very value that is hidden is answered as any other, so that nobody finds a meter point by trying."""
    pair.grant("READ", "UPDATE")
    hidden, other = mpan(number), mpan(number + 1)
    with pair.client(pair.provider) as client:
        made = pair.register(client, importMPAN=hidden)

    with pair.client(pair.platform, acting=True) as client:
        answers = [
            client.patch(made.headers["Location"], params={"dry-run": dry_run}, json=change, headers=PATCH)
            for change in ({"exportMPAN": hidden}, {"exportMPAN": other}, {"importMPAN": None}, {"serialNumber": "SN-1"}, {"ownerName": "Another name"})
        ]
        answers += [
            client.patch(made.headers["Location"], params={"dry-run": dry_run}, json=change, headers=PATCH)
            for change in ({"importMPAN": hidden}, {"fmar:serialNumber": made.json()["serialNumber"]}, {"https://w3id.org/fmar/ns#ownerName": made.json()["ownerName"]}, {"easting": None})
        ]
        told = {(answer.status_code, answer.json()["detail"], tuple(error["code"] for error in answer.json()["errors"])) for answer in answers}
        same = client.patch(made.headers["Location"], json={"assetName": "Seen"}, headers=PATCH)
    with pair.client(pair.provider) as client:
        after = client.get(made.headers["Location"]).json()

    assert [(status, codes) for status, _, codes in told] == [(403, ("UNSEEN-1",))]
    assert same.status_code == 200
    assert {name: value for name, value in after.items() if name in ("importMPAN", "serialNumber", "ownerName")} == {
        name: value for name, value in made.json().items() if name in ("importMPAN", "serialNumber", "ownerName")
    }


def test_what_a_provider_has_registered_is_not_found_by_trial_on_its_behalf(pair: Pair) -> None:
    """C1: to the provider its own asset is no news, to whoever may only register for it each is; both are told, the one of them so many times an hour."""
    with pair.client(pair.provider) as client:
        document = pair.live.battery()
        assert client.post("/assets", json=document, headers=LD_JSON).status_code == 201
        own = {client.post("/assets", params={"dry-run": "true"}, json=document, headers=LD_JSON).status_code for _ in range(130)}
    pair.grant("REGISTER")

    with pair.client(pair.platform, acting=True) as client:
        others = [client.post("/assets", params={"dry-run": "true"}, json=document, headers=LD_JSON).status_code for _ in range(130)]

    assert own == {409}
    assert (others[0], others[-1]) == (409, 429)


def test_a_platforms_graph_holds_all_that_was_granted_to_it(pair: Pair) -> None:
    others = Pair(pair.live, newcomer(pair.live, "FSP")[1], pair.platform)
    for each, name in ((pair, "First"), (others, "Second")):
        with each.client(each.provider) as client:
            each.register(client, assetName=name)
        each.grant("READ")
    ungranted = Pair(pair.live, newcomer(pair.live, "FSP")[1], pair.platform)
    with ungranted.client(ungranted.provider) as client:
        last = ungranted.register(client, assetName="Third")

    with pair.client(pair.platform) as client:
        headers = {"Content-Type": "application/sparql-query", "Fmar-Min-Journal-Index": last.headers["Fmar-Journal-Index"]}
        answer = client.post("/sparql", content=NAMES, headers=headers).json()
        listed = client.get("/assets").json()["items"]

    assert {row["name"]["value"] for row in answer["results"]["bindings"]} == {"First", "Second"}
    assert {"First", "Second"} <= {item.get("assetName") for item in listed}
    assert "Third" not in {item.get("assetName") for item in listed}


def test_the_graph_of_before_a_revocation_is_never_shown_after_it(pair: Pair) -> None:
    """A12: SPARQL waits for a graph that knows of it."""
    with pair.client(pair.provider) as client:
        pair.register(client, assetName="Only for a while")
    delegation = pair.grant("READ")
    headers = {"Content-Type": "application/sparql-query"}

    with pair.client(pair.platform) as client:
        before = client.post("/sparql", content=NAMES, headers=headers).json()["results"]["bindings"]
        pair.revoke(delegation)
        after = client.post("/sparql", content=NAMES, headers=headers).json()["results"]["bindings"]

    assert (len(before), after) == (1, [])


def test_who_acts_for_another_asks_sparql_with_its_own_token(pair: Pair) -> None:
    pair.grant("READ")

    with pair.client(pair.platform, acting=True) as client:
        answer = client.post("/sparql", content=NAMES, headers={"Content-Type": "application/sparql-query"})

    assert answer.status_code == 403
    assert "QUERY-ACTING-1" in answer.json()["detail"]


def test_a_suspended_provider_has_nobody_acting_for_it(pair: Pair) -> None:
    pair.grant("READ")
    with pair.client(pair.platform, acting=True) as client:
        assert client.get("/assets").status_code == 200
        assert pair.live.client("operator").post(f"{pair.provider.organisation}/suspension").status_code == 200
        with pytest.raises(CredentialError):
            client.get("/assets")


def test_an_idempotency_key_of_a_platform_is_not_its_providers(pair: Pair) -> None:
    pair.grant("READ", "REGISTER")
    document, headers = pair.live.battery(), {**LD_JSON, "Idempotency-Key": "the-same"}

    with pair.client(pair.platform, acting=True) as client:
        made = client.post("/assets", json=document, headers=headers)
        again = client.post("/assets", json=document, headers=headers)
    with pair.client(pair.provider) as client:
        own = client.post("/assets", json=document, headers=headers)

    assert (made.status_code, again.headers.get("Idempotent-Replayed"), made.headers["Location"]) == (201, "true", again.headers["Location"])
    assert (own.status_code, own.json()["errors"][0]["code"]) == (409, "DUPLICATE_EXACT")


def test_a_passport_is_pulled_with_contacts_only_where_they_were_granted(pair: Pair) -> None:
    with pair.client(pair.provider) as client:
        etag = client.get(pair.provider.organisation).headers["ETag"]
        patch = {"primaryContactEmail": "ada@example.org", "vatRegistrationNumber": "GB980780684"}
        headers = {"If-Match": etag, "Content-Type": "application/merge-patch+json"}
        assert client.patch(pair.provider.organisation, content=json.dumps(patch), headers=headers).status_code == 200

    def pulled() -> set[str]:
        with pair.client(pair.platform) as client:
            return set(client.get(pair.provider.organisation).json())

    before = pulled()
    pair.grant("PASSPORT", assetScope="")
    passport = pulled()
    pair.grant("CONTACTS", assetScope="")

    assert {"vatRegistrationNumber", "primaryContactEmail"} & before == set()
    assert {"vatRegistrationNumber", "primaryContactEmail"} & passport == {"vatRegistrationNumber"}
    assert {"vatRegistrationNumber", "primaryContactEmail"} <= pulled()


def test_who_sees_part_of_a_record_patches_it_and_is_not_told_the_rest(pair: Pair) -> None:
    """A14: neither a trial nor a replacement shows, or takes away, what was not granted."""
    pair.grant("READ", "UPDATE")
    with pair.client(pair.provider) as client:
        made = pair.register(client)
    asset, whole = made.headers["Location"], made.json()
    patch = {"If-Match": "*", "Content-Type": "application/merge-patch+json"}

    with pair.client(pair.platform, acting=True) as client:
        seen = client.get(asset)
        trial = client.patch(f"{asset}?dry-run=true", content=b'{"assetName": "Trial"}', headers=patch).json()["document"]
        put = client.put(asset, content=seen.content, headers={**LD_JSON, "If-Match": seen.headers["ETag"]})
        line = client.post("/assets/batch", content=json.dumps([seen.json() | {"assetName": "Other"}, seen.json()]), headers={"Content-Type": "application/json"})
        owner = client.patch(asset, content=json.dumps({"owner": pair.platform.organisation}), headers=patch)
    with pair.client(pair.provider) as client:
        after = client.get(asset).json()

    assert {"serialNumber", "importMPAN"} & trial.keys() == set() and trial["assetName"] == "Trial"
    assert [put.status_code, *(json.loads(each).get("outcome") for each in line.text.splitlines())] == [403, "refused", "unchanged"]
    assert owner.json()["errors"][0]["code"] == "ASSET-OWNER-1"
    assert after == whole


@pytest.mark.parametrize(("permissions", "status"), [
    (["REGISTER"], 409), (["READ", "REGISTER"], 403), (["READ", "REGISTER", "UPDATE"], 403),
])  # fmt: skip
def test_an_upsert_for_another_reaches_no_further_than_what_was_granted(pair: Pair, permissions: list[str], status: int) -> None:
    """A14: an asset that is not seen is none that one has, and one that is seen in part is not replaced."""
    document = pair.live.battery(friendlyCode="OURS-1")
    with pair.client(pair.provider) as client:
        made = client.post("/assets", json=document, headers=LD_JSON)
    pair.grant(*permissions)

    with pair.client(pair.platform, acting=True) as client:
        answer = client.post("/assets", json=document | {"demandCapacity": "1.00"}, params={"upsert": "friendlyCode"}, headers=LD_JSON)
        fresh = client.post("/assets", json=pair.live.battery(friendlyCode="OURS-2"), params={"upsert": "friendlyCode"}, headers=LD_JSON)

    assert (answer.status_code, fresh.status_code) == (status, 201)
    assert made.json()["assetId"] not in answer.text
    with pair.client(pair.provider) as client:
        assert client.get(made.headers["Location"]).json()["version"] == 1


def test_nobody_registers_itself_as_owner_on_behalf_of_another(pair: Pair) -> None:
    """A14: an owner would see the record for good."""
    pair.grant("READ", "REGISTER")

    with pair.client(pair.platform, acting=True) as client:
        answer = pair.register(client, owner=pair.platform.organisation, ownerName=None)

    assert answer.json()["errors"][0]["code"] == "ASSET-OWNER-1"


def test_an_idempotency_key_is_one_providers_and_one_platforms(pair: Pair) -> None:
    """A14: what was sent for one provider is no answer for another."""
    other = Pair(pair.live, newcomer(pair.live, "FSP")[1], pair.platform)
    document, headers = pair.live.battery(serialNumber=None), {**LD_JSON, "Idempotency-Key": "both"}
    answers = []
    for each in (pair, other):
        each.grant("READ", "REGISTER")
        with each.client(each.platform, acting=True) as client:
            answers.append(client.post("/assets", json=document | {"justification": [{"rule": rule, "text": "x"} for rule in ("A03", "A20", "A21", "DUPLICATE_PROBABLE")]}, headers=headers))

    assert [answer.status_code for answer in answers] == [201, 201]
    assert [answer.json()["managedBy"] for answer in answers] == [pair.provider.organisation, other.provider.organisation]
