"""Row A5 of the attack catalogue: five types of JWT in five places; libraries accept any `typ`, the node does not."""

from __future__ import annotations

from typing import Any

import pytest

from fmar_node.client import thumbprint
from fmar_node.errors import FmarError

from .conftest import Desk, b64

TYPES = ["at+jwt", "dpop+jwt", "JWT", "consent+jwt", "statuslist+jwt"]
FITS = {"dpop authorization": "at+jwt", "bearer authorization": "", "dpop at resource": "dpop+jwt", "dpop at token": "dpop+jwt", "assertion": "JWT"}


def _present(desk: Desk, place: str, typ: Any) -> None:
    """A JWT that is right for `place` in key, claims and signature, with `typ` as its type."""
    header = {"typ": typ}
    if place == "dpop authorization":
        desk.verify(desk.forged(**header))
    elif place == "bearer authorization":
        token = desk.forged(**header)
        desk.verifier.verify("GET", desk.url, [f"Bearer {token}"], [desk.proof(token=token)])
    elif place == "dpop at resource":
        token = desk.token()
        desk.verify(token, desk.proof(token=token, header=header))
    elif place == "dpop at token":
        desk.issue(proofs=[desk.proof("POST", desk.token_url, header=header)])
    else:
        desk.issue(desk.form(client_assertion=desk.assertion(header=header)))


@pytest.mark.parametrize("place", FITS)
@pytest.mark.parametrize("typ", TYPES)
def test_a5_only_the_right_type_counts_in_each_place(desk: Desk, place: str, typ: str) -> None:
    """A5: five types in five places."""
    if typ == FITS[place]:
        _present(desk, place, typ)
    else:
        with pytest.raises(FmarError) as caught:
            _present(desk, place, typ)
        assert "typ" in caught.value.detail or place == "bearer authorization"


@pytest.mark.parametrize("typ", [None, "", "AT+JWT", "at+JWT", "application/at+jwt", "at+jwt ", 7, ["at+jwt"]], ids=repr)
@pytest.mark.parametrize("place", ["dpop authorization", "dpop at resource"])
def test_a5_a_type_is_spelt_exactly(desk: Desk, place: str, typ: Any) -> None:
    with pytest.raises(FmarError):
        _present(desk, place, typ)
    _present(desk, place, FITS[place])


def test_a5_a_jwt_made_for_one_place_counts_in_no_other(desk: Desk) -> None:
    """A5: real ones, in each other's place."""
    token = desk.token()
    made = {"token": token, "proof": desk.proof(token=token), "assertion": desk.assertion(), "id token": desk.forged(typ="JWT")}

    for name, jwt in made.items():
        if name != "token":
            desk.refusal(jwt, desk.proof(ath=b64(b"x" * 32)))
        if name != "proof":
            desk.refusal(token, jwt)
            desk.token_refusal(proofs=[jwt])
        if name != "assertion":
            desk.token_refusal(desk.form(client_assertion=jwt))
    assert desk.verify(token, made["proof"]) is not None
    assert desk.issue(desk.form(client_assertion=made["assertion"]))


def test_a5_a_participants_own_key_makes_no_access_token(desk: Desk) -> None:
    forged = desk.forged(key=desk.key, kid=thumbprint(desk.key))

    assert desk.refusal(forged).detail == "the access token is not signed with a key of this node"
    assert desk.verify(desk.forged()) is not None
