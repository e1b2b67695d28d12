"""Credentials per second, each kind verified in this process, beside bare verifications of the signatures that come with one.

Rules kept here: rounds take turns; tokens and proofs are made before the clock starts; what is bare is `cryptography` alone
over the same bytes, its key and signature ready to be used.
"""

from __future__ import annotations

import base64
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwk

from fmar_node.access.credential import Verifier
from fmar_node.access.key import SigningKeys
from fmar_node.access.session import Sessions
from fmar_node.access.standing import Standings
from fmar_node.client import new_key, public_part
from fmar_node.clock import SystemClock
from fmar_node.settings import Settings
from fmar_node.web.cookie import given, session_cookie
from tests.access.abroad import Abroad
from tests.access.conftest import Desk
from tests.access.test_client_certificate import hashed, made, sequence
from tests.issuing import Authority
from tests.kinds.test_user import active
from tests.market import Market

VERIFIED = 300
"""Credentials of one round."""
ROUNDS = 9
Work = list[Callable[[], object]]
Prepared = tuple[Work, Work]
"""As many credentials to verify, and the bare verifications beside them."""
Compared = tuple[str, str, str, float]


def credentials(scratch: Path) -> Iterator[Compared]:
    """What was verified, how many a second, what was beside it, and the ratio."""
    scratch.mkdir()
    keys, settings = SigningKeys.generate(scratch / "keys.jwks"), Settings(trusted_proxies=("127.0.0.1",))
    with Authority("http://127.0.0.1:8080") as directory:
        desk = Desk(keys, new_key(), settings, SystemClock())
        abroad = Abroad(desk, directory)
        yield _compared("own token in memory, DPoP proof", lambda: _own(desk, fresh=False))
        yield _compared("own token not in memory, DPoP proof", lambda: _own(desk, fresh=True))
        yield _compared("external issuer's token in memory, its status list, DPoP proof", lambda: _foreign(abroad, fresh=False))
        yield _compared("external issuer's token not in memory, its status list, DPoP proof", lambda: _foreign(abroad, fresh=True))
        yield _compared("token in memory, bound to a client certificate", lambda: _certified(desk))
        yield _session(desk, scratch)


def _session(desk: Desk, scratch: Path) -> Compared:
    """A person's session: found in its file, and the standing of its account."""
    market = Market(scratch / "market")
    market.join("operator", "FMAR_OPERATOR")
    organisation = market.join("fsp-a", "FSP").organisation
    user, sessions = active(market), Sessions(scratch / "people" / "sessions.db", Settings(), SystemClock())
    standings, name = Standings(market.register, SystemClock()), session_cookie(desk.base)
    token, _ = sessions.begin(user, organisation, "idp")
    lines = [f"{name}={token}"]

    def one() -> object:
        session = sessions.find(given(lines, name)[0])
        assert session
        return standings.named(session.organisation, user=session.user)

    plain = _signature(desk.proof(), desk.key)
    found = _compared("session cookie", lambda: ([one] * VERIFIED, [plain] * VERIFIED))
    sessions.close()
    market.close()
    return found


def _compared(what: str, prepare: Callable[[], Prepared]) -> Compared:
    """Credentials per second, and bare verifications per second of the signatures that come with one, in turns."""
    found = []
    for _ in range(ROUNDS):
        ours, theirs = prepare()
        found.append((len(ours) / _seconds(ours), len(ours) / _seconds(theirs), len(theirs) // len(ours)))
    rate, plain = (statistics.median(each[place] for each in found) for place in (0, 1))
    signatures = "1 signature" if found[0][2] == 1 else f"{found[0][2]} signatures"
    return what, f"{rate:,.0f}/s", f"bare ES256, {signatures}: {plain:,.0f}/s", rate / plain


def _seconds(work: Work) -> float:
    started = time.perf_counter()
    for each in work:
        each()
    return time.perf_counter() - started


def _signature(compact: str, key: dict[str, Any]) -> Callable[[], object]:
    """The bare verification of a compact JWS."""
    signed, _, signature = compact.rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public, message, scheme = jwk.import_key(public_part(key)).public_key, signed.encode(), ec.ECDSA(SHA256())
    return lambda: public.verify(der, message, scheme)


def _own(desk: Desk, *, fresh: bool) -> Prepared:
    tokens = [desk.forged() for _ in range(VERIFIED)] if fresh else [desk.forged()] * VERIFIED
    if not fresh:
        desk.verify(tokens[0])
    return _with_proofs(desk, desk.verifier, tokens, desk.keys.jwks[-1] if fresh else None)


def _foreign(abroad: Abroad, *, fresh: bool) -> Prepared:
    place = {"status": abroad.directory.place(7)}
    tokens = [abroad.token(**place) for _ in range(VERIFIED)] if fresh else [abroad.token(**place)] * VERIFIED
    abroad.ask(abroad.token(**place) if fresh else tokens[0])  # its keys and its list are there then
    return _with_proofs(abroad.desk, abroad.verifier, tokens, abroad.directory.key if fresh else None)


def _with_proofs(desk: Desk, verifier: Verifier, tokens: list[str], signer: dict[str, Any] | None) -> Prepared:
    """`signer` is the key of tokens whose signatures have to be verified too."""
    proofs = [desk.proof(token=token) for token in tokens]

    def verifying(token: str, proof: str) -> Callable[[], object]:
        return lambda: verifier.verify("GET", desk.url, [f"DPoP {token}"], [proof])

    plain = [_signature(proof, desk.key) for proof in proofs]
    if signer:
        plain += [_signature(token, signer) for token in tokens]
    return [verifying(*pair) for pair in zip(tokens, proofs, strict=True)], plain


def _certified(desk: Desk) -> Prepared:
    now = desk.clock.now()
    der = made(desk.key, now.replace(year=now.year - 1, day=1), now.replace(year=now.year + 1, day=1))
    token = desk.forged(desk.claims(cnf={"x5t#S256": hashed(der)}))

    def one() -> object:
        return desk.verifier.verify("GET", desk.url, [f"Bearer {token}"], [], (sequence_of_it,))

    sequence_of_it = sequence(der)
    one()
    return [one] * VERIFIED, [_signature(token, desk.keys.jwks[-1])] * VERIFIED
