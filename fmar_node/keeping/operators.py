"""The operator's application keys as the journal records them, and what they may answer for: the successor of a lost signing key."""

from __future__ import annotations

from fmar_node.access.authority import check_authorised, key_id_of
from fmar_node.access.caller import Role, caller_of
from fmar_node.access.jose import UnacceptableError
from fmar_node.access.key import PublicKey
from fmar_node.journal.checkpoint import NoteError
from fmar_node.journal.handover import Authority, Handover
from fmar_node.journal.register import Register
from fmar_node.kinds.organisation import registered_key


def operator_keys(register: Register, size: int) -> dict[str, PublicKey]:
    """The active application keys of operators as the first `size` entries have them, by key id."""
    found: dict[str, PublicKey] = {}
    for version in register.as_of("organisations", size - 1):
        if caller_of(version.document).has(Role.OPERATOR):
            for each in version.document.get("applicationKey", ()):
                key, _ = registered_key(each["publicKey"])
                if key and each["keyStatus"] == "ACTIVE":
                    found[key.thumbprint] = key
    return found


def authority_in(register: Register) -> Authority:
    """Says who may replace a lost key by the operator's keys that the journal itself records."""

    def check(handover: Handover) -> None:
        try:
            key = operator_keys(register, handover.size).get(key_id_of(handover.authorisation))
            if key is None:
                raise UnacceptableError("is not of a key that the operator had then")
            check_authorised(handover.authorisation, handover.text, key)
        except UnacceptableError as error:
            raise _not_authorised(handover, error) from error

    return check


def operator_authority(key: PublicKey) -> Authority:
    """Says it by a key of the operator that a verifier has from elsewhere."""

    def check(handover: Handover) -> None:
        try:
            check_authorised(handover.authorisation, handover.text, key)
        except UnacceptableError as error:
            raise _not_authorised(handover, error) from error

    return check


def _not_authorised(handover: Handover, error: UnacceptableError) -> NoteError:
    return NoteError("loss-not-authorised", f"the authorisation of the key {handover.new.id.hex()} {error}")
