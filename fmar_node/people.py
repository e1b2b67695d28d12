"""Who has an account or an invitation: the kind `users` as sign-ins ask for it, and the one thing that they change.

Rules kept here: what the register says now counts, and what its hashed tables find is compared once more; only people of an
organisation that is active or suspended are found; an invitation is accepted through the write path, by the node itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fmar_node.access.caller import ADMITTED, UserRole, node_itself
from fmar_node.access.id_token import identity_name
from fmar_node.access.signin import Person
from fmar_node.clock import Clock, stamp
from fmar_node.drafting import Submission
from fmar_node.identity import new_token
from fmar_node.journal.register import Register
from fmar_node.record import uuid_of
from fmar_node.representation import LD_JSON, json_bytes
from fmar_node.submit import Outcome
from fmar_node.vocabulary import Document


class Accounts:
    """The people of one node. `submit` is its write path."""

    def __init__(self, register: Register, submit: Callable[[Submission], Awaitable[Outcome]], base_url: str, clock: Clock) -> None:
        self.register, self.submit, self.base_url, self.clock = register, submit, base_url, clock

    def signed_in(self, issuer: str, subject: str) -> list[Person]:
        """The ACTIVE users of this identity."""
        name = identity_name(issuer, subject)
        return self._found("USER_IDENTITY", name, lambda user: user["userStatus"] == "ACTIVE" and user.get("identity") == name)

    def invited(self, email: str) -> list[Person]:
        """The INVITED users of this address (in lower case) whose invitation has not ended."""
        now = stamp(self.clock.now())

        def is_invited(user: Document) -> bool:
            return bool(user["userStatus"] == "INVITED" and user.get("userEmail", "").casefold() == email and now < user["inviteEnds"])

        return self._found("USER_EMAIL", email, is_invited)

    def _found(self, scheme: str, value: str, is_one: Callable[[Document], bool]) -> list[Person]:
        versions = (self.register.current("users", id_) for id_ in sorted(self.register.found(scheme, value)))
        people = [_person(version.document) for version in versions if version and is_one(version.document)]
        return [person for person in people if self._is_admitted(person.organisation)]

    def _is_admitted(self, organisation: str) -> bool:
        version = self.register.current("organisations", organisation)
        return version is not None and version.state in ADMITTED

    async def accept(self, person: Person, issuer: str, subject: str, proof: str) -> Person:
        """The invited user is this identity from now on. FmarError where the register refuses."""
        note = {"identity": identity_name(issuer, subject), "identityProof": proof}
        by = node_itself("sign-in")
        await self.submit(Submission(by, "users", "acceptance", person.user, self.base_url, LD_JSON, json_bytes(note), digest=new_token()))
        return person


def _person(user: Document) -> Person:
    return Person(uuid_of(user["id"]), uuid_of(user["userOf"]), UserRole(user["userRole"]))
