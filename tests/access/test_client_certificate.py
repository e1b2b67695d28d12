"""Client certificates that proxies forward: RFC 9440, RFC 8705; rows A8 and A16 of the attack catalogue."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from joserfc import jwk

from fmar_node.access.certificate import CertificateCheck, ClientCertificate
from fmar_node.access.credential import protected_resource_metadata
from fmar_node.access.jose import UnacceptableError
from fmar_node.access.token import EXCHANGE, SUBJECT_TYPE, TokenService, authorization_server_metadata
from fmar_node.client import new_key, thumbprint
from fmar_node.clock import SetClock
from fmar_node.errors import FmarError, Malformed, Unauthenticated
from fmar_node.settings import Settings

from .conftest import BASE, NOON, ORGANISATION, Desk, b64
from .test_token_service import _parts

PROXY = "10.0.0.5"
SETTINGS = Settings(trusted_proxies=(PROXY, "192.0.2.0/24", "2001:db8::/64"))
URI = "https://directory.example/members/app-a"


def private(key: dict[str, Any]) -> Any:
    return jwk.import_key(key).private_key


def made(key: Any, starts: datetime = NOON - timedelta(days=1), ends: datetime = NOON + timedelta(days=1), uris: tuple[str, ...] = ()) -> bytes:
    """The DER of a self-signed certificate for a key, or for a JWK."""
    key = private(key) if isinstance(key, dict) else key
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "app-a")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(starts).not_valid_after(ends)
    if uris:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(each) for each in uris]), critical=False)
    has_own_hash = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return builder.sign(key, None if has_own_hash else hashes.SHA256()).public_bytes(Encoding.DER)


def sequence(der: bytes) -> str:
    """RFC 9440, section 2.2."""
    return f":{base64.b64encode(der).decode()}:"


def escaped(der: bytes, safe: str = "") -> str:
    """What nginx has in $ssl_client_escaped_cert; some balancers leave `+/=` as they are."""
    return quote(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM), safe=safe)


def hashed(der: bytes) -> str:
    return b64(hashlib.sha256(der).digest())


@pytest.fixture
def check(clock: SetClock) -> CertificateCheck:
    return CertificateCheck(SETTINGS, clock)


@pytest.fixture
def desk(node_keys: Any, app_keys: dict[str, Any], clock: SetClock) -> Desk:
    """The desk of a node behind listed proxies."""
    return Desk(node_keys, app_keys["ES256"], SETTINGS, clock)


@pytest.fixture
def der(app_keys: dict[str, Any]) -> bytes:
    """A certificate for the registered key of app-a."""
    return made(app_keys["ES256"])


def refused(check: CertificateCheck, *values: str) -> str:
    with pytest.raises(UnacceptableError) as caught:
        check.read(values)
    return str(caught.value)


# A16: whose header counts


@pytest.mark.parametrize("peer", [PROXY, "192.0.2.0", "192.0.2.255", "2001:db8::7", "::ffff:10.0.0.5"])
def test_a16_a_listed_proxy_is_heard(check: CertificateCheck, peer: str) -> None:
    assert check.forwarded(peer, ["x"]) == ("x",)


@pytest.mark.parametrize("peer", ["10.0.0.6", "192.0.3.0", "2001:db8:0:1::7", "127.0.0.1", "::1", "", "localhost", "10.0.0.5, 10.0.0.6", "::ffff:10.0.0.6", "testclient"])
def test_a16_from_anybody_else_the_header_is_not_there(check: CertificateCheck, peer: str, der: bytes) -> None:
    assert check.forwarded(peer, [sequence(der)]) == ()


def test_a16_a_node_without_listed_proxies_hears_nobody(clock: SetClock) -> None:
    """A16: a header that anybody can send is not there."""
    check = CertificateCheck(Settings(), clock)

    assert [check.forwarded(peer, ["x"]) for peer in (PROXY, "127.0.0.1", "::1", "")] == [()] * 4
    assert check.is_offered is False


@pytest.mark.parametrize("none", ["", "::"])
def test_what_proxies_send_for_no_certificate_is_none(check: CertificateCheck, none: str) -> None:
    assert check.forwarded(PROXY, [none]) == ()
    assert check.forwarded(PROXY, []) == ()


def test_a16_a_header_that_a_proxy_added_to_the_clients_own_is_refused(check: CertificateCheck, der: bytes) -> None:
    """A client's spoof beside the proxy's header, in whichever order, even an empty one."""
    for pair in ([sequence(der), sequence(der)], ["", sequence(der)], [sequence(der), "::"]):
        assert "exactly one header" in refused(check, *check.forwarded(PROXY, pair))
    assert "neither" in refused(check, f"{sequence(der)}, {sequence(der)}")


@pytest.mark.parametrize("listed", ["everybody", "10.0.0.300", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.1;10.0.0.2"])
def test_a16_a_list_of_proxies_that_is_none_or_holds_everybody_is_refused_at_start(listed: str) -> None:
    with pytest.raises(Malformed, match="trusted_proxies"):
        Settings.read(environment={"FMAR_TRUSTED_PROXIES": listed})


def test_proxies_are_listed_in_file_or_environment() -> None:
    read = Settings.read(environment={"FMAR_TRUSTED_PROXIES": "10.0.0.5, 192.0.2.0/24"})

    assert read.trusted_proxies == ("10.0.0.5", "192.0.2.0/24")
    assert Settings(**read.model_dump(mode="json")) == read
    assert Settings.read(environment={"FMAR_TRUSTED_PROXIES": ""}).trusted_proxies == ()


@pytest.mark.parametrize("name", ["", "Client Cert", "Client_Cert", "X:Y", "X\r\nY", "é", "-"])
def test_a_header_name_that_is_none_is_refused_at_start(name: str) -> None:
    with pytest.raises(Malformed, match="client_certificate_header"):
        Settings.read(environment={"FMAR_CLIENT_CERTIFICATE_HEADER": name})


# what the header may hold


@pytest.mark.parametrize("form", [sequence, escaped, lambda der: escaped(der, "+/="), lambda der: escaped(der).removesuffix("%0A"), lambda der: escaped(der).replace("%2B", "%2b")])
def test_both_forms_are_the_same_certificate(check: CertificateCheck, der: bytes, form: Any) -> None:
    found = check.read([form(der)])

    assert found.x5t_s256 == hashed(der)
    assert (found.not_before, found.not_after) == (NOON - timedelta(days=1), NOON + timedelta(days=1))


@pytest.mark.parametrize("kind", ["ES256", "Ed25519", "PS256"])
def test_the_key_of_a_certificate_is_the_registered_one_by_its_thumbprint(check: CertificateCheck, app_keys: dict[str, Any], kind: str) -> None:
    found = check.read([sequence(made(app_keys[kind]))])

    assert found.key.thumbprint == thumbprint(app_keys[kind])


def test_the_one_uri_of_the_subject_is_told(check: CertificateCheck, app_keys: dict[str, Any]) -> None:
    told = [check.read([sequence(made(app_keys["ES256"], uris=uris))]).uri for uris in ((), (URI,), (URI, f"{URI}/2"))]

    assert told == ["", URI, ""]


def other_keys() -> dict[str, Any]:
    return {
        "P-384": ec.generate_private_key(ec.SECP384R1()), "P-521": ec.generate_private_key(ec.SECP521R1()), "secp256k1": ec.generate_private_key(ec.SECP256K1()),
        "RSA-1024": rsa.generate_private_key(65537, 1024), "RSA, exponent 3": rsa.generate_private_key(3, 2048), "Ed448": ed448.Ed448PrivateKey.generate(),
        "DSA": dsa.generate_private_key(1024),
    }  # fmt: skip


def test_keys_that_sign_nothing_here_are_refused(check: CertificateCheck) -> None:
    said = {name: refused(check, sequence(made(key))) for name, key in other_keys().items()}

    assert {name for name, text in said.items() if "P-256, Ed25519 or RSA" in text} == {"P-384", "P-521", "secp256k1", "Ed448", "DSA"}
    assert {name for name, text in said.items() if "2048 to 4096 bits" in text} == {"RSA-1024", "RSA, exponent 3"}


def test_a_certificate_counts_within_its_time(check: CertificateCheck, clock: SetClock, app_keys: dict[str, Any]) -> None:
    value = sequence(made(app_keys["ES256"], NOON, NOON + timedelta(hours=1)))
    assert isinstance(check.read([value]), ClientCertificate)
    for seconds, is_good in ((-11, False), (-10, True), (3600, True), (3601, False)):
        late = CertificateCheck(SETTINGS, SetClock(NOON + timedelta(seconds=seconds)))

        if is_good:
            assert late.read([value]).x5t_s256
        else:
            assert ("has expired" if seconds > 0 else "not valid yet") in refused(late, value)


def malformed(der: bytes) -> list[str]:
    good, pem = sequence(der), escaped(der)
    broken_der = [der[:-1], der + b"\0", der[:40], b"\x30\x00", b"x", der.replace(b"app-a", b"app-\xff")[:-9]]
    return [
        good[:-1], good[1:], f" {good}", f"{good};a=1", good.replace("M", "_", 1), good.replace(":", "", 1), f"{good[:60]} {good[60:]}", f"{good[:-1]}==:", "a", ":", ":::",
        ":=:", ":é:", f'"{good}"', "?1", f"({good})", *map(sequence, broken_der), pem + pem, f"x{pem}", pem[:-20], pem.replace("%20", "+"), pem.replace("%0A", "%0D%0A"),
        pem.replace("%0A", ""), pem.replace("CERTIFICATE", "PUBLIC%20KEY"), pem.replace("%0A", "\n"), pem.replace("%20", "%2", 1), pem.replace("MII", "M%00I", 1), f"{pem}%00", "%",
        base64.b64encode(der).decode(), quote("-----BEGIN CERTIFICATE-----\n\n-----END CERTIFICATE-----\n"), ":{http.request.tls.client.certificate_der_base64}:",
    ]  # fmt: skip


def test_whatever_else_a_header_holds_is_refused_and_not_repeated(check: CertificateCheck, der: bytes) -> None:
    for value in malformed(der):
        said = refused(check, value)

        assert len(said) > 15, value
        assert len(value) < 12 or value not in said


def test_a_header_that_is_too_long_is_refused_before_it_is_read(check: CertificateCheck, clock: SetClock, der: bytes) -> None:
    assert "longer than 16384 bytes" in refused(check, ":" + "A" * 16_384 + ":")
    assert "longer than 100 bytes" in refused(CertificateCheck(Settings(header_bytes=100), clock), sequence(der))


@given(text=st.text(max_size=300) | st.binary(max_size=300).map(sequence) | st.binary(max_size=300).map(quote))
@effort(max_examples=150, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_refused_in_words(check: CertificateCheck, text: str) -> None:
    assert refused(check, text)


@given(data=st.data())
@effort(max_examples=300, deadline=None, database=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_certificate_with_any_byte_altered_is_refused_or_another_one(check: CertificateCheck, der: bytes, data: st.DataObject) -> None:
    """Whatever the parser makes of it, it is never an error of the node, and never the certificate that it was."""
    place, bits = data.draw(st.integers(0, len(der) - 1)), data.draw(st.integers(1, 255))
    altered = der[:place] + bytes([der[place] ^ bits]) + der[place + 1 :]

    try:
        found = check.read([sequence(altered)])
    except UnacceptableError:
        return
    assert found.x5t_s256 == hashed(altered) != hashed(der)


# the token endpoint (RFC 8705, sections 2.2 and 3)


def by_certificate(desk: Desk, der: bytes, proofs: tuple[str, ...] = (), **form: str) -> dict[str, Any]:
    said = {"grant_type": "client_credentials", "client_id": "app-a", **form}
    return desk.service.issue({name: value for name, value in said.items() if value}, proofs, "POST", desk.token_url, [sequence(der)])


def not_given(desk: Desk, der: bytes, **form: str) -> FmarError:
    with pytest.raises(FmarError) as caught:
        by_certificate(desk, der, **form)
    return caught.value


@pytest.mark.parametrize("kind", ["ES256", "Ed25519", "PS256"])
def test_a_certificate_for_a_registered_key_gets_a_token_that_is_bound_to_it(desk: Desk, app_keys: dict[str, Any], kind: str) -> None:
    desk.directory.register("app-a", app_keys[kind])
    der = made(app_keys[kind])

    answer = by_certificate(desk, der)

    _, claims = _parts(answer.pop("access_token"))
    assert answer == {"token_type": "Bearer", "expires_in": 300, "scope": "fmar"}
    assert claims["cnf"] == {"x5t#S256": hashed(der)}
    assert (claims["client_id"], claims["client_key_id"]) == ("app-a", thumbprint(app_keys[kind]))


def test_with_a_proof_the_token_is_bound_to_the_key_of_the_proof_alone(desk: Desk, der: bytes) -> None:
    answer = by_certificate(desk, der, (desk.proof("POST", desk.token_url),))

    assert answer["token_type"] == "DPoP"
    assert _parts(answer["access_token"])[1]["cnf"] == {"jkt": thumbprint(desk.key)}
    assert desk.verify(answer["access_token"]) is not None


def test_an_assertion_over_a_connection_with_any_certificate_gets_a_token_bound_to_that(desk: Desk) -> None:
    der = made(new_key())

    answer = desk.service.issue(desk.form(), [], "POST", desk.token_url, [sequence(der)])

    assert answer["token_type"] == "Bearer"
    assert _parts(answer["access_token"])[1]["cnf"] == {"x5t#S256": hashed(der)}


def test_an_assertion_with_a_proof_needs_no_look_at_the_certificate(desk: Desk) -> None:
    answer = desk.service.issue(desk.form(), [desk.proof("POST", desk.token_url)], "POST", desk.token_url, ["nonsense"])

    assert answer["token_type"] == "DPoP"


def test_a_certificate_does_not_make_up_for_an_assertion_that_does_not_hold(desk: Desk, der: bytes, app_keys: dict[str, Any]) -> None:
    strangers = desk.assertion(key=app_keys["stranger"])

    assert not_given(desk, der, client_assertion=strangers, client_assertion_type=desk.form()["client_assertion_type"]).code == "invalid-client"
    assert not_given(desk, der, client_assertion=desk.assertion()).code == "invalid-client"
    assert by_certificate(desk, der)["access_token"]


@pytest.mark.parametrize("client_id", ["", "app-b", "nobody", "app-a' OR 1=1", "\0", "a" * 300])
def test_a_certificate_is_that_of_its_client_only(desk: Desk, der: bytes, app_keys: dict[str, Any], client_id: str) -> None:
    desk.directory.register("app-b", app_keys["Ed25519"])

    error = not_given(desk, der, client_id=client_id)

    assert (type(error), error.code, error.members) == (Unauthenticated, "invalid-client", {"error": "invalid_client"})
    assert by_certificate(desk, der)


def test_who_acts_for_another_may_do_so_by_certificate(desk: Desk, der: bytes) -> None:
    """Token exchange (RFC 8693) with the same authentication and binding as any token request."""
    provider, granted = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12", {("0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12", ORGANISATION)}
    desk.service = TokenService(BASE, desk.keys, SETTINGS, desk.clock, desk.directory, desk.replay, lambda *pair: pair in granted)
    form = {"grant_type": EXCHANGE, "subject_token": f"{BASE}/organisations/{provider}", "subject_token_type": SUBJECT_TYPE}

    answer = by_certificate(desk, der, **form)

    claims = _parts(answer["access_token"])[1]
    assert (claims["sub"], claims["act"], claims["cnf"]) == (form["subject_token"], {"sub": f"{BASE}/organisations/{ORGANISATION}"}, {"x5t#S256": hashed(der)})
    granted.clear()
    assert not_given(desk, der, **form).members == {"error": "invalid_target"}


def test_a_certificate_for_an_unregistered_or_revoked_key_is_no_client(desk: Desk, der: bytes, app_keys: dict[str, Any]) -> None:
    assert "not registered" in not_given(desk, made(app_keys["stranger"])).detail

    desk.directory.revoke(desk.key)

    assert "revoked" in not_given(desk, der).detail


def test_a_bad_certificate_is_refused_with_its_code_whatever_it_was_for(desk: Desk, app_keys: dict[str, Any]) -> None:
    expired = made(app_keys["ES256"], NOON - timedelta(days=2), NOON - timedelta(days=1))

    error = not_given(desk, expired)
    with pytest.raises(Unauthenticated) as bound:
        desk.service.issue(desk.form(), [], "POST", desk.token_url, ["nonsense"])

    assert [error.code, bound.value.code] == ["invalid-client-certificate"] * 2
    assert [error.members, bound.value.members] == [{"error": "invalid_client"}] * 2
    assert error.detail == "the client certificate has expired; renew it"


def test_without_certificate_and_assertion_both_are_asked_for(desk: Desk) -> None:
    with pytest.raises(Unauthenticated, match="private_key_jwt"):
        desk.service.issue({"grant_type": "client_credentials", "client_id": "app-a"}, [], "POST", desk.token_url, [])


def test_without_certificate_and_proof_a_proof_is_asked_for(desk: Desk) -> None:
    with pytest.raises(Malformed, match="exactly one DPoP header"):
        desk.service.issue(desk.form(), [], "POST", desk.token_url, [])


# A8: a token that is bound to a certificate


def use(desk: Desk, authorization: str, certificates: tuple[str, ...] = (), proofs: tuple[str, ...] = ()) -> Any:
    return desk.verifier.verify("GET", desk.url, [authorization], proofs, certificates)


def refusal(desk: Desk, authorization: str, certificates: tuple[str, ...] = (), proofs: tuple[str, ...] = ()) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as caught:
        use(desk, authorization, certificates, proofs)
    error = caught.value
    challenge = error.headers["WWW-Authenticate"]
    assert challenge.startswith("DPoP ") and ', Bearer error="invalid_token", resource_metadata="' in challenge
    assert authorization.split()[1] not in f"{error.detail}{challenge}"
    return error


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bound_token_is_taken_with_its_certificate(desk: Desk, der: bytes, scheme: str) -> None:
    token = by_certificate(desk, der)["access_token"]

    for value in (sequence(der), escaped(der)):
        found = use(desk, f"{scheme} {token}", (value,))

        assert (found.client_id, found.key_id) == ("app-a", thumbprint(desk.key))


def test_a8_a_stolen_token_is_refused_with_another_certificate_with_none_and_with_a_proof(desk: Desk, der: bytes, app_keys: dict[str, Any]) -> None:
    token = by_certificate(desk, der)["access_token"]
    others, same_key = sequence(made(app_keys["stranger"])), sequence(made(desk.key))

    assert "another client certificate" in refusal(desk, f"Bearer {token}", (others,)).detail
    assert "another client certificate" in refusal(desk, f"Bearer {token}", (same_key,)).detail
    assert refusal(desk, f"Bearer {token}").code == "invalid-token"
    assert "Authorization: Bearer" in refusal(desk, f"DPoP {token}", (sequence(der),), (desk.proof(token=token),)).detail
    assert refusal(desk, f"DPoP {token}", (), (desk.proof(token=token),)).code == "invalid-token"
    assert use(desk, f"Bearer {token}", (sequence(der),))


def test_a8_a_token_that_is_bound_to_a_key_is_no_bearer_token_whatever_certificate_comes(desk: Desk, der: bytes) -> None:
    token = desk.token()

    assert "no bearer token" in refusal(desk, f"Bearer {token}", (sequence(der),), (desk.proof(token=token),)).detail
    assert desk.verify(token) is not None


def test_a8_of_two_bindings_both_must_hold(desk: Desk, der: bytes) -> None:
    token = desk.forged(desk.claims(cnf={"jkt": thumbprint(desk.key), "x5t#S256": hashed(der)}))
    own, other = (sequence(der),), (sequence(made(new_key())),)

    assert "none came" in refusal(desk, f"DPoP {token}", (), (desk.proof(token=token),)).detail
    assert "another client certificate" in refusal(desk, f"DPoP {token}", other, (desk.proof(token=token),)).detail
    assert "no bearer token" in refusal(desk, f"Bearer {token}", own).detail
    assert "another key" in refusal(desk, f"DPoP {token}", own, (desk.proof(token=token, key=new_key()),)).detail
    assert use(desk, f"DPoP {token}", own, (desk.proof(token=token),))


@pytest.mark.parametrize("cnf", [None, {}, {"kid": "x"}, {"x5t": "x"}, {"x5t#S256": None}, {"x5t#S256": 7}, {"x5t#S256": ""}, {"x5t#S256": ["x"]}, {"x5t#S256": "é"}, {"jkt": "", "x5t#S256": "x"}, "x", ["x5t#S256"]])
def test_a8_a_token_without_a_binding_that_can_hold_is_refused(desk: Desk, der: bytes, cnf: Any) -> None:
    token = desk.forged(desk.claims(cnf=cnf))

    for scheme in ("Bearer", "DPoP"):
        assert refusal(desk, f"{scheme} {token}", (sequence(der),), (desk.proof(token=token),)).code == "invalid-token"


def test_a_bound_token_with_a_bad_certificate_is_refused_with_the_certificates_code(desk: Desk, clock: SetClock, app_keys: dict[str, Any]) -> None:
    der = made(app_keys["ES256"], NOON - timedelta(days=1), NOON + timedelta(seconds=60))
    token = by_certificate(desk, der)["access_token"]
    assert use(desk, f"Bearer {token}", (sequence(der),))

    for values in (("nonsense",), (sequence(der), sequence(der)), (sequence(der[:-1]),)):
        assert refusal(desk, f"Bearer {token}", values).code == "invalid-client-certificate"
    clock.forward(seconds=61)
    error = refusal(desk, f"Bearer {token}", (sequence(der),))

    assert (error.code, error.members, error.detail) == ("invalid-client-certificate", {"error": "invalid_token"}, "the client certificate has expired; renew it")


def test_a_renewed_certificate_with_the_same_key_gets_a_new_token(desk: Desk, der: bytes) -> None:
    old, renewed = by_certificate(desk, der)["access_token"], made(desk.key, ends=NOON + timedelta(days=365))

    new = by_certificate(desk, renewed)["access_token"]

    assert "another client certificate" in refusal(desk, f"Bearer {old}", (sequence(renewed),)).detail
    assert use(desk, f"Bearer {new}", (sequence(renewed),))


def test_a12_the_token_of_a_revoked_key_dies_with_it(desk: Desk, der: bytes) -> None:
    token = by_certificate(desk, der)["access_token"]

    desk.directory.revoke(desk.key)

    assert "revoked" in refusal(desk, f"Bearer {token}", (sequence(der),)).detail


def test_a_dpop_bound_token_needs_no_look_at_the_certificate(desk: Desk) -> None:
    token = desk.token()

    assert use(desk, f"DPoP {token}", ("nonsense",), (desk.proof(token=token),))
    assert desk.verifier.verify("GET", desk.url, [], [], ("nonsense",)) is None


def test_without_listed_proxies_bearer_is_not_offered(node_keys: Any, app_keys: dict[str, Any], clock: SetClock, der: bytes) -> None:
    desk = Desk(node_keys, app_keys["ES256"], Settings(), clock)
    with pytest.raises(Unauthenticated) as caught:
        use(desk, f"Bearer {desk.forged(desk.claims(cnf={'x5t#S256': hashed(der)}))}")

    assert "DPoP-bound tokens only" in caught.value.detail
    assert "Bearer" not in caught.value.headers["WWW-Authenticate"]


# metadata


def test_the_metadata_tell_of_certificates_where_proxies_are_listed() -> None:
    server, resource = authorization_server_metadata(BASE, True), protected_resource_metadata(BASE, "FMAR node", True)

    assert server["token_endpoint_auth_methods_supported"] == ["private_key_jwt", "self_signed_tls_client_auth"]
    assert server["tls_client_certificate_bound_access_tokens"] is resource["tls_client_certificate_bound_access_tokens"] is True
    assert (resource["bearer_methods_supported"], resource["dpop_bound_access_tokens_required"]) == (["header"], False)


def test_the_metadata_do_not_tell_of_certificates_otherwise() -> None:
    said = f"{authorization_server_metadata(BASE)}{protected_resource_metadata(BASE, 'FMAR node')}"

    assert "tls_client" not in said
