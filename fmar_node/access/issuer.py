"""External issuers: whose tokens count beside the node's own, by which keys, and whom they speak of. No I/O.

Rules kept here:
- an issuer is the exact text of `iss` in the node's settings; its keys come from its configured `jwks_uri` alone;
- a key is found by issuer and `kid` together: the same `kid` at two issuers is two keys, twice at one issuer it is none;
- keys that the node would not take from a participant are not taken from an issuer (`access/key.py`);
- an unknown `kid` is asked for at most once in `issuer_keys_wait_seconds`;
- `sub` is the IRI of an organisation of this node, or the exact value of the one alias that an admitted organisation has
  in the issuer's scheme; roles, areas and state come from the register, never from the token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fmar_node.access.jose import UnacceptableError, json_object
from fmar_node.access.key import PublicKey, public_key
from fmar_node.access.publication import Edition, NotAtHandError, Patience, Publication
from fmar_node.access.status import LIST_TYPE, Place, StatusList, read_status_list
from fmar_node.identity import is_uuid
from fmar_node.settings import Issuer, Settings

KEY_SET_BYTES = 262_144
KEY_SET_KEYS = 100
KID_CHARS = 256
LISTS = 256
"""Status lists that are remembered; a node that hears of more forgets the one that was used longest ago."""
LIST_WAIT_SECONDS = 5.0


class Organisations(Protocol):
    """Organisations as the register has them now. All of them are bare UUIDs."""

    def is_admitted(self, organisation: str, /) -> bool:
        """Whether it is here, and neither pending nor withdrawn."""
        ...

    def named(self, scheme: str, value: str, /) -> Sequence[str]:
        """Those admitted that have this very alias today."""
        ...


class Nobody:
    """The organisations of a node that has no external issuers."""

    def is_admitted(self, _: str, /) -> bool:
        return False

    def named(self, _: str, __: str, /) -> Sequence[str]:
        return ()


@dataclass(frozen=True, slots=True)
class KeySet(Edition):
    """The usable keys of an issuer by `kid`."""

    keys: Mapping[str, PublicKey] = field(default_factory=dict)


def read_key_set(body: bytes, _: KeySet | None, __: float) -> KeySet:
    """An issuer's JWKS (RFC 7517, section 5); keys that are not accepted here are left out. UnacceptableError where it is none."""
    listed = json_object(body, "key set").get("keys")
    if not isinstance(listed, list) or len(listed) > KEY_SET_KEYS:
        raise UnacceptableError(f"has no list of at most {KEY_SET_KEYS} keys")
    named = [pair for pair in map(_named, listed) if pair]
    kids = [kid for kid, _ in named]
    return KeySet(keys={kid: key for kid, key in named if kids.count(kid) == 1})


def _named(jwk: Any) -> tuple[str, PublicKey] | None:
    kid = jwk.get("kid") if isinstance(jwk, dict) else None
    if not isinstance(kid, str) or not 0 < len(kid) <= KID_CHARS:
        return None
    try:
        return kid, public_key(jwk)
    except UnacceptableError:
        return None


class Issuers:
    """The external issuers of one node, and what is known of them."""

    def __init__(self, settings: Settings, organisations: Organisations) -> None:
        self._settings, self._organisations = settings, organisations
        self._entries = {entry.issuer: entry for entry in settings.issuers}
        self._keys = {entry.issuer: self._key_set(entry) for entry in settings.issuers}
        self._lists: OrderedDict[tuple[str, str], Publication[StatusList]] = OrderedDict()
        self.takes_bearer = any(entry.bearer for entry in settings.issuers)

    def find(self, issuer: object) -> Issuer | None:
        """The entry of exactly this `iss`."""
        return self._entries.get(issuer) if isinstance(issuer, str) else None

    def key(self, entry: Issuer, kid: object, now: float) -> PublicKey:
        """The key of that name of that issuer. UnacceptableError, NotAtHandError or Unavailable where there is none to be had."""
        published = self._keys[entry.issuer]
        found = published.current(now).keys.get(kid) if isinstance(kid, str) else None
        if found is None and isinstance(kid, str) and 0 < len(kid) <= KID_CHARS and published.may_ask(now):
            raise NotAtHandError(published)
        if found is None:
            raise UnacceptableError("is not signed with a key of its issuer")
        return found

    def organisation(self, entry: Issuer, subject: str, base_url: str) -> str:
        """The bare UUID of the one that a token of this issuer speaks of. UnacceptableError where it is nobody here."""
        local = subject.removeprefix(f"{base_url}/organisations/")
        if local != subject and is_uuid(local):
            return local
        value = subject.removeprefix(entry.subject_prefix)
        is_mapped = entry.organisation_alias and subject.startswith(entry.subject_prefix) and value
        named = self._organisations.named(entry.organisation_alias, value) if is_mapped else ()
        if len(named) != 1:
            raise UnacceptableError("has a sub that is not an organisation of this node, nor an alias of one")
        return named[0]

    def check_admitted(self, *organisations: str) -> None:
        """UnacceptableError unless each of them may use the register."""
        if not all(map(self._organisations.is_admitted, organisations)):
            raise UnacceptableError("is for an organisation that is not admitted to this register")

    def check_status(self, entry: Issuer, place: Place | None, now: float) -> None:
        """UnacceptableError where the issuer has taken the token back; NotAtHandError or Unavailable where nobody knows."""
        if place is not None and self._list(entry, place).current(now).status(place.index):
            raise UnacceptableError("has been revoked or suspended by its issuer")

    def check_place(self, entry: Issuer, place: Place | None) -> None:
        """UnacceptableError where the token names no status list and has to, or one that is not its issuer's."""
        if place is None:
            if entry.status == "required":
                raise UnacceptableError("names no place in a status list")
        elif not any(place.is_below(prefix) for prefix in entry.status_lists):
            raise UnacceptableError("names a status list that is not its issuer's")

    def publications(self) -> Iterable[Publication[Any]]:
        """All that is to be kept up to date."""
        return [*self._keys.values(), *self._lists.values()]

    def _key_set(self, entry: Issuer) -> Publication[KeySet]:
        known = self._settings
        patience = Patience(known.issuer_keys_seconds, known.issuer_keys_wait_seconds, known.issuer_keys_stale_seconds)
        accept = "application/jwk-set+json, application/json"
        return Publication(f"the key set of {entry.issuer}", entry.jwks_uri, accept, KEY_SET_BYTES, patience, read_key_set)

    def _list(self, entry: Issuer, place: Place) -> Publication[StatusList]:
        name = (entry.issuer, place.uri)
        if name not in self._lists:
            self._lists[name] = self._status_list(entry, place.uri)
            while len(self._lists) > LISTS:
                self._lists.popitem(last=False)
        self._lists.move_to_end(name)
        return self._lists[name]

    def _status_list(self, entry: Issuer, uri: str) -> Publication[StatusList]:
        known = self._settings

        def read(body: bytes, before: StatusList | None, now: float) -> StatusList:
            return read_status_list(body, uri, known, now, before, lambda kid: self.key(entry, kid, now))

        patience = Patience(known.status_list_seconds, LIST_WAIT_SECONDS, known.status_list_stale_seconds)
        return Publication(f"the status list {uri}", uri, f"application/{LIST_TYPE}", known.status_list_bytes, patience, read)
