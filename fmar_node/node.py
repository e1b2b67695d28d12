"""The composition root: a node in its web process. The only module that knows every concrete class.

`submit`, `read` and `query` are the three things that a node does for a caller; writer, judges and query workers
are processes of their own that this one starts and supervises.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Hashable, Sequence
from datetime import date
from pathlib import Path
from typing import Generic, TypeVar

from fmar_node.access.caller import ADMITTED, ANONYMOUS, Caller, applying
from fmar_node.access.certificate import CertificateCheck
from fmar_node.access.credential import Credential, Verifier
from fmar_node.access.issuer import Issuers
from fmar_node.access.key import ApplicationKey
from fmar_node.access.membership import is_admitted_in, named_in
from fmar_node.access.provider import Provider
from fmar_node.access.publication import NotAtHandError
from fmar_node.access.replay import ReplayCache
from fmar_node.access.rotation import RotatingKeys
from fmar_node.access.session import Session, Sessions
from fmar_node.access.signin import SignIn
from fmar_node.access.standing import Standings
from fmar_node.access.status import OwnList
from fmar_node.access.subscription import Subscriptions
from fmar_node.access.token import TokenService
from fmar_node.clock import Clock, SystemClock, today
from fmar_node.drafting import Submission
from fmar_node.errors import FmarError, Unauthenticated
from fmar_node.folder import Folder
from fmar_node.followers.verification import INQUIRIES, Verification, clients
from fmar_node.journal.register import Register, connect
from fmar_node.links import JudgePool, WriterLink
from fmar_node.people import Accounts
from fmar_node.query import Question, ask
from fmar_node.read import Reader
from fmar_node.saved_query import SavedQueries, house_of
from fmar_node.security_log import SecurityLog
from fmar_node.settings import Settings
from fmar_node.store.pool import Answer, QueryPool
from fmar_node.submit import Desk, Outcome, submit
from fmar_node.vocabulary import Vocabulary

T = TypeVar("T")


class Remembered(Generic[T]):
    """What was found in the journal, by key, for as long as the journal has not moved on; what was not there is looked for again."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.size = -1
        self.found: dict[Hashable, T] = {}

    def get(self, key: Hashable, read: Callable[[], T | None]) -> T | None:
        if (size := self.register.size()) != self.size:
            self.found, self.size = {}, size
        if key not in self.found and (value := read()) is not None:
            self.found[key] = value
        return self.found.get(key)


class Directory:
    """Registered application keys as the journal has them now."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.remembered: Remembered[ApplicationKey] = Remembered(register)

    def find(self, client_id: str, key_id: str | None) -> ApplicationKey | None:
        return self.remembered.get((client_id, key_id), lambda: self._read(client_id, key_id))

    def _read(self, client_id: str, key_id: str | None) -> ApplicationKey | None:
        row = self.register.application_key(client_id, key_id)
        if row is None:
            return None
        jwk = json.loads(row["jwk"])
        return ApplicationKey(row["client_id"], row["organisation"], row["key_id"], jwk, bool(row["is_active"]), row["entry"])


class Organisations:
    """Organisations as the journal has them now, as far as tokens of external issuers speak of them."""

    def __init__(self, register: Register, clock: Clock) -> None:
        self.register, self.clock = register, clock
        self.admitted: Remembered[bool] = Remembered(register)
        self.names: Remembered[tuple[str, ...]] = Remembered(register)

    def is_admitted(self, organisation: str, /) -> bool:
        return bool(self.admitted.get(organisation, lambda: is_admitted_in(self.register, organisation)))

    def named(self, scheme: str, value: str, /) -> tuple[str, ...]:
        day = today(self.clock).isoformat()
        return self.names.get((scheme, value, day), lambda: named_in(self.register, scheme, value, day)) or ()


class Node:
    """A running node: start it, use it, close it."""

    def __init__(self, folder: Folder, settings: Settings, clock: Clock | None = None) -> None:
        folder.check_made()
        self.folder, self.settings = folder, settings
        self.clock: Clock = clock or SystemClock()
        self.certificates = CertificateCheck(settings, self.clock)
        self.vocabulary = Vocabulary.load()
        self.queries = QueryPool(settings)
        self.house = house_of(settings, folder.queries)
        self.judges = JudgePool(settings)
        self.writer = WriterLink(str(folder.root), settings, self._use_snapshot)
        self.security = SecurityLog(folder.log, settings, self.clock)
        self.is_ready, self.is_stopping = False, False
        self.refusal: Exception | None = None
        """Why it did not start."""
        self.starting: asyncio.Task[None] | None = None
        self.sources = clients(settings, folder, self.clock)
        self.verification: Verification | None = None
        self.verifying: asyncio.Task[None] | None = None
        self.level_at = 0
        """The journal index that the graph has to reach before this node is ready: what was there when it started."""

    def begin(self) -> asyncio.Task[None]:
        """Begins to start, beside what the caller does next; `start` waits for the end of it."""
        self.starting = self.starting or asyncio.create_task(self._start())
        return self.starting

    async def start(self) -> None:
        """The node works when this returns. FmarError, OSError or ValueError when something cannot start."""
        try:
            await self.begin()
        except (FmarError, OSError, ValueError) as refusal:
            self.refusal = refusal
            raise

    async def _start(self) -> None:
        """Writer first, then everything that reads; judges, slow to start, beside them."""
        self.security.start()
        judges = asyncio.create_task(self.judges.start())
        try:
            await self._start_reading()
            await judges
        except BaseException:
            judges.cancel()
            await asyncio.gather(judges, return_exceptions=True)
            raise
        self._begin_verification()
        self.is_ready = True

    async def _start_reading(self) -> None:
        await self.writer.start()
        self.register = Register(connect(self.folder.journal / "journal.db"), self.vocabulary.terms, self.folder.lookup_key())
        self.reader = Reader(self.register, self.vocabulary)
        self.saved_queries = SavedQueries(self.folder.queries, self.register, self.vocabulary, self.settings)
        self.standings = Standings(self.register, self.clock)
        self._open_credentials()
        self.level_at = self.register.size() - 1
        await self.queries.start()

    def _open_credentials(self) -> None:
        base_url, settings = self.settings.base_url, self.settings
        keys, directory = RotatingKeys(self.folder.token_keys, settings, self.clock), Directory(self.register)
        replay = ReplayCache(settings, self.clock)
        issuers = Issuers(settings, Organisations(self.register, self.clock))
        self.directory = directory
        self.keys, self.verifier_key = keys, self.folder.journal_key(base_url).verifier
        self.tokens = TokenService(base_url, keys, settings, self.clock, directory, replay, self.standings.mandate)
        self.verifier = Verifier(base_url, keys, settings, self.clock, directory, replay, issuers)
        self.status_list = OwnList(base_url, keys, self.clock, self.register)
        self.subscriptions = Subscriptions(issuers, settings.fetch_seconds, self.clock)
        if settings.issuers:
            self.subscriptions.start()
        self._open_sessions()

    def _open_sessions(self) -> None:
        """What people need who sign in."""
        settings = self.settings
        providers = [Provider(each, self.folder.secret(each.client_secret_file), settings, self.clock) for each in settings.identity_providers]
        self.sign_in = SignIn(settings.base_url, settings, self.clock, providers)
        self.sessions = Sessions(self.folder.sessions, settings, self.clock)
        self.people = Accounts(self.register, self.submit, settings.base_url, self.clock)

    def _begin_verification(self) -> None:
        if not self.sources:
            return
        register = Register(connect(self.folder.journal / "journal.db"), self.vocabulary.terms, self.folder.lookup_key())
        self.verification = Verification(register, self.sources, self.submit, self.settings, self.clock)
        self.verifying = asyncio.create_task(self.verification.run())

    async def _end_verification(self) -> None:
        if self.verifying is not None and self.verification is not None:
            self.verifying.cancel()
            await asyncio.gather(self.verifying, return_exceptions=True)
            await self.verification.close()

    async def _use_snapshot(self, path: str) -> None:
        await self.queries.use(Path(path))

    async def caller(
        self, method: str, url: str, authorization: Sequence[str], proofs: Sequence[str], certificates: Sequence[str] = ()
    ) -> Caller:
        """Step 2: who is asking. Unauthenticated where a credential does not hold; anonymous where there is none.

        Unavailable where that depends on an external issuer, and what it publishes cannot be read.
        """

        def verified() -> Credential | None:
            return self.verifier.verify(method, url, authorization, proofs, certificates)

        try:
            credential = verified()
        except NotAtHandError as missing:
            credential = await self.subscriptions.settled(missing, verified)
        if credential is None:
            return ANONYMOUS
        caller = self.standings.named(credential.organisation, credential.client_id, credential.key_id, credential.actor or "")
        if caller.actor and not caller.grants.get(caller.organisation):
            raise self.verifier.refused("no delegation to the organisation that this access token names as actor is in force")
        return caller

    def person(self, token: str) -> tuple[Caller, Session]:
        """Who is asking by a session. Unauthenticated where it has ended, as it does when the account or the organisation has."""
        session = self.sessions.find(token)
        if session is None:
            raise self._out("the session has ended, or is not one of this node")
        if session.applicant:
            return applying(session.applicant), session
        caller = self.standings.named(session.organisation, user=session.user)
        if caller.state not in ADMITTED or caller.user_role is None:
            self.sessions.end(session.id)
            raise self._out("the account or its organisation is not active any more")
        return caller, session

    def _out(self, detail: str) -> Unauthenticated:
        return Unauthenticated("session-ended", detail, headers=self.verifier.missing().headers)

    def registered(self, application: str) -> Caller | None:
        """Whose application has that name, by its active key; None where there is none, or no one key."""
        key = self.directory.find(application, None) if application else None
        return Caller(key.organisation, key.client_id) if key else None

    @property
    def today(self) -> date:
        return today(self.clock)

    async def submit(self, submission: Submission, *, dry_run: bool = False) -> Outcome:
        """The write path (`fmar_node.submit`)."""
        desk = Desk(self.register, self.judges, self.writer, self.vocabulary, self.house)
        outcome = await submit(desk, submission, self.today, dry_run=dry_run)
        if self.verification is not None and submission.kind in INQUIRIES:
            self.verification.wake()
        return outcome

    async def query(self, question: Question, caller: Caller) -> Answer:
        """SPARQL inside the caller's window (`fmar_node.query`)."""
        return await ask(self.queries, self.settings, question, caller, self.writer.want)

    async def close(self) -> None:
        """Stops taking work, lets the writer finish, ends the children."""
        self.is_ready = False
        await self._end_verification()
        if hasattr(self, "subscriptions"):
            await self.subscriptions.close()
        await self.queries.close()
        await self.judges.close()
        await self.writer.close()
        if hasattr(self, "sessions"):
            await self.sign_in.close()
            self.sessions.close()
        await asyncio.to_thread(self.security.close)
        if hasattr(self, "register"):
            self.register.connection.close()
