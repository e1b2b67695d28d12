"""Keys of participants and of the node."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from fmar_node.access.jose import UnacceptableError, read_compact
from fmar_node.access.key import SigningKeys, public_key, public_members, thumbprint
from fmar_node.client import new_key, public_part
from fmar_node.client import thumbprint as client_thumbprint

RFC_7638 = {
    "kty": "RSA", "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs"
    "tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbI"
    "SD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
}  # fmt: skip


def test_a_thumbprint_is_the_example_of_rfc_7638() -> None:
    members = {name: RFC_7638[name] for name in ("e", "kty", "n")}

    assert thumbprint(members) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("kind", ["ES256", "Ed25519", "PS256"])
def test_node_and_client_name_a_key_alike(app_keys: dict[str, Any], kind: str) -> None:
    key = public_key(public_part(app_keys[kind]))

    assert key.thumbprint == client_thumbprint(app_keys[kind])
    assert kind in key.algorithms


def test_a_registered_rsa_key_that_says_rs256_is_refused() -> None:
    assert public_members({**RFC_7638, "alg": "PS256"})
    with pytest.raises(UnacceptableError, match="another purpose"):
        public_members(RFC_7638)


def test_the_file_of_signing_keys_is_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "keys.jwks"

    SigningKeys.generate(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["keys.jwks"]
    file.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        SigningKeys.load(file)


def test_signing_keys_come_back_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.jwks"
    made = SigningKeys.generate(file)

    loaded = SigningKeys.load(file)

    token = loaded.sign({"a": 1}, "at+jwt")
    made.find(made.jwks[0]["kid"]).check(read_compact(token, 1_000))
    assert loaded.public() == made.public()


def test_a_second_generation_never_overwrites_the_first(tmp_path: Path) -> None:
    file = tmp_path / "keys.jwks"
    SigningKeys.generate(file)
    held = file.read_bytes()

    with pytest.raises(FileExistsError):
        SigningKeys.generate(file)

    assert file.read_bytes() == held


@pytest.mark.parametrize("content", ['{"keys": []}', "{}", "[]", '{"keys": [{"kty": "oct", "k": "AAAA", "kid": "1"}]}', "x"])
def test_a_file_without_signing_keys_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "keys.jwks"
    file.write_text(content)
    file.chmod(0o600)

    with pytest.raises(ValueError, match=r"JWKS|JSON|Expecting"):
        SigningKeys.load(file)


def test_after_a_rotation_the_newest_signs_and_all_verify(tmp_path: Path) -> None:
    file = tmp_path / "keys.jwks"
    first = SigningKeys.generate(file)
    old = read_compact(first.sign({}, "at+jwt"), 1_000)

    both = first.rotate(file)

    new = read_compact(both.sign({}, "at+jwt"), 1_000)
    assert new.header["kid"] != old.header["kid"]
    for each in (old, new):
        SigningKeys.load(file).find(each.header["kid"]).check(each)


def test_nothing_private_is_published_or_printed(tmp_path: Path) -> None:
    keys = SigningKeys.generate(tmp_path / "keys.jwks")
    secret = keys.jwks[0]["d"]

    published = keys.public()

    assert secret not in f"{json.dumps(published)} {keys!r}"
    assert published["keys"][0].keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}


def test_a_new_key_of_a_participant_is_p_256_unless_asked_otherwise() -> None:
    assert (new_key()["crv"], new_key("Ed25519")["crv"]) == ("P-256", "Ed25519")
    assert "d" not in public_part(new_key())
