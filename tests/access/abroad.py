"""A credential desk that takes the tokens of a directory elsewhere, asked as the node asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from fmar_node.access.credential import Credential, Verifier
from fmar_node.access.issuer import Issuers
from fmar_node.access.publication import NotAtHandError
from fmar_node.access.subscription import Subscriptions
from fmar_node.errors import FmarError, Unauthenticated, Unavailable
from fmar_node.settings import Settings
from tests.issuing import Authority

from .conftest import ORGANISATION, Desk, check_refusal

PLATFORM = "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12"
T = TypeVar("T")


@dataclass
class Members:
    """Who is admitted, and under which names."""

    admitted: set[str] = field(default_factory=lambda: {ORGANISATION, PLATFORM})
    names: dict[str, list[str]] = field(default_factory=dict)

    def is_admitted(self, organisation: str, /) -> bool:
        return organisation in self.admitted

    def named(self, scheme: str, value: str, /) -> list[str]:
        return [each for each in self.names.get(value, []) if scheme == "DIRECTORY" and each in self.admitted]


class Abroad:
    """The desk of one node, and the directories that it trusts."""

    def __init__(self, desk: Desk, *directories: Authority, settings: dict[str, Any] | None = None, **entry: Any) -> None:
        self.desk, self.directory = desk, directories[0]
        entries = [each.entry(**entry) for each in directories]
        self.settings = Settings(issuers=entries, **(settings or {}))
        self.members = Members()
        self.reset()

    def reset(self) -> None:
        """The node has started again."""
        self.issuers = Issuers(self.settings, self.members)
        self.subscriptions = Subscriptions(self.issuers, 2.0, self.desk.clock)
        desk = self.desk
        self.verifier = Verifier(desk.base, desk.keys, self.settings, desk.clock, desk.directory, desk.replay, self.issuers)

    @property
    def subject(self) -> str:
        return f"{self.desk.base}/organisations/{ORGANISATION}"

    @property
    def platform(self) -> str:
        return f"{self.desk.base}/organisations/{PLATFORM}"

    def token(self, subject: str | None = None, **changes: Any) -> str:
        return self.directory.token(subject or self.subject, self.desk.key, **changes)

    async def caller(self, token: str, proof: str | None = None, scheme: str = "DPoP") -> Credential:
        """As `Node.caller` does it."""
        proofs = [] if scheme != "DPoP" and proof is None else [proof or self.desk.proof(token=token)]

        def ask() -> Credential | None:
            return self.verifier.verify("GET", self.desk.url, [f"{scheme} {token}"], proofs)

        try:
            credential = ask()
        except NotAtHandError as missing:
            credential = await self.subscriptions.settled(missing, ask)
        assert credential is not None
        return credential

    def ask(self, token: str, proof: str | None = None, scheme: str = "DPoP") -> Credential:
        return self.run(lambda: self.caller(token, proof, scheme))

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def whole() -> T:
            try:
                return await work()
            finally:
                await self.subscriptions.close()

        return asyncio.run(whole())

    def refusal(self, token: str, proof: str | None = None, scheme: str = "DPoP") -> Unauthenticated:
        with pytest.raises(Unauthenticated) as caught:
            self.ask(token, proof, scheme)
        return check_refusal(caught.value, token)

    def outage(self, token: str) -> Unavailable:
        """The refusal where nobody knows."""
        with pytest.raises(FmarError) as caught:
            self.ask(token)
        assert isinstance(caught.value, Unavailable), caught.value
        assert int(caught.value.headers["Retry-After"]) > 0
        return caught.value
