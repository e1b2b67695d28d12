"""The composition root: a node in its web process. The only module that knows every concrete class.

`submit`, `read` and `query` are the three things that a node does for a caller; writer, judges and query workers
are processes of their own that this one starts and supervises.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Hashable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from fmar_node.access.caller import ADMITTED, ANONYMOUS, Caller, applying
from fmar_node.access.certificate import CertificateCheck
from fmar_node.access.consent_receipt import ConsentReceipts
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
from fmar_node.checks.catalogue import read_catalogue
from fmar_node.clock import Clock, SystemClock, today
from fmar_node.drafting import Submission
from fmar_node.errors import FmarError, Malformed, Unauthenticated, Unavailable
from fmar_node.feed import Feeds, Pulse
from fmar_node.folder import Folder
from fmar_node.followers.analyses import Analyses
from fmar_node.followers.consents import ConsentWatch
from fmar_node.followers.daily import Daily
from fmar_node.followers.deliveries import Deliveries
from fmar_node.followers.switching import SwitchWatch
from fmar_node.followers.verification import INQUIRIES, Verification, clients
from fmar_node.followers.webhooks import Webhooks
from fmar_node.identity import new_salt
from fmar_node.job import Jobs
from fmar_node.journal.register import Register, connect
from fmar_node.judge import Judgement
from fmar_node.links import JudgePool, WriterLink
from fmar_node.people import Accounts
from fmar_node.query import Question, ask
from fmar_node.read import Reader
from fmar_node.release import Releases
from fmar_node.saved_query import SavedQueries, house_of
from fmar_node.scorecard import Scorecards
from fmar_node.scorecard_file import ScorecardFile
from fmar_node.security_log import SecurityLog
from fmar_node.settings import Settings
from fmar_node.shadow import Shadow
from fmar_node.sources.consent import Consents, SolutionAsker
from fmar_node.sources.inbox import Inbox
from fmar_node.sources.notification import Notification, secret_of
from fmar_node.store.pool import Answer, QueryPool
from fmar_node.submit import Desk, Outcome, submit
from fmar_node.vocabulary import RELEASE, Vocabulary

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
        """What credentials, sessions and deliveries go by."""
        self.calendar = folder.calendar(settings, self.clock)
        """What the register goes by, as the writer does: days, grants, consents, switches, and when anything was found out."""
        self.certificates = CertificateCheck(settings, self.clock)
        self.vocabulary = Vocabulary.load()
        """The release in force, as it was when the register was last looked at; `obey` looks again."""
        self.releases, self.candidate = Releases(self.vocabulary), ""
        self.obeyed_at = -1
        self.shadow = Shadow(folder.releases)
        self.warming: asyncio.Task[None] | None = None
        self.analyses: Analyses | None = None
        self.queries = QueryPool(settings)
        self.house = house_of(settings, folder.queries)
        self.judges = JudgePool(self._with_catalogue())
        self.writer = WriterLink(str(folder.root), settings, self._use_snapshot)
        self.security = SecurityLog(folder.log, settings, self.clock)
        self.is_ready, self.is_stopping = False, False
        self.refusal: Exception | None = None
        """Why it did not start."""
        self.starting: asyncio.Task[None] | None = None
        self.sources = clients(settings, folder, self.calendar)
        self.verification: Verification | None = None
        self.consents: Consents | None = None
        self.consent_secrets = secrets_of(settings, folder)
        self.watch: ConsentWatch | None = None
        self.switching: SwitchWatch | None = None
        self.following: list[asyncio.Task[None]] = []
        """What goes on beside requests, until the node is closed."""
        self.level_at = 0
        """The journal index that the graph has to reach before this node is ready: what was there when it started."""

    def _with_catalogue(self) -> Settings:
        """The settings for judges, with the place of the catalogue of devices. Malformed where it cannot be read."""
        if not self.settings.device_catalogue:
            return self.settings
        path = self.folder.root / self.settings.device_catalogue
        read_catalogue(path, self.vocabulary, self.settings)
        return self.settings.model_copy(update={"device_catalogue": str(path)})

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
        if self.sources:
            self.verification = Verification(self._another_register(), self.sources, self.submit, self.settings, self.calendar)
        self.analyses = Analyses(self._another_register(), self.folder, self.submit, self.settings)
        daily = Daily(self.scorecards, self.past_scores, lambda: self.today)
        followers = (self.verification, self.watch, self.switching, self.webhooks, self.analyses, daily)
        self.following = [asyncio.create_task(each.run()) for each in followers if each is not None]
        self.is_ready = True

    async def _start_reading(self) -> None:
        await self.writer.start()
        self.register = self._another_register()
        self.reader = Reader(self.register, self.vocabulary, self.settings.material_capacity_percent)
        self.saved_queries = SavedQueries(self.folder.queries, self.register, self.vocabulary, self.settings)
        self.standings = Standings(self.register, self.calendar)
        self.obey()
        self.scorecards = Scorecards(self.queries, self.settings, self.writer.want)
        self.past_scores = ScorecardFile(self.folder.scorecards, self.settings.scorecard_days)
        self._open_credentials()
        self.pulse = Pulse(self.register)
        self.feeds = Feeds(self._another_register(), self.vocabulary, self.pulse, self.settings.material_capacity_percent)
        self.jobs = Jobs(self.folder.jobs, self.settings, self.clock)
        self._open_consents()
        deliveries = Deliveries(self.folder.deliveries)
        self.webhooks = Webhooks(self._another_register(), deliveries, self.vocabulary, self.submit, self.settings, self.clock, self.calendar, self.pulse)
        self.level_at = self.register.size() - 1
        await self.queries.start()

    def _another_register(self) -> Register:
        """The register over a connection of its own: each is read in one thread at a time."""
        return Register(connect(self.folder.journal / "journal.db"), self.vocabulary.terms, self.folder.lookup_key())

    def _open_credentials(self) -> None:
        base_url, settings = self.settings.base_url, self.settings
        keys, directory = RotatingKeys(self.folder.token_keys, settings, self.clock), Directory(self.register)
        replay = ReplayCache(settings, self.clock)
        issuers = Issuers(settings, Organisations(self.register, self.calendar))
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
        self.people = Accounts(self.register, self.submit, settings.base_url, self.calendar)

    def _open_consents(self) -> None:
        """The consent solutions that are trusted, what they have notified, and the follower that asks them again."""
        settings, folder = self.settings, self.folder
        if not settings.consent_solutions:
            return
        self.receipts, self.inbox = ConsentReceipts(settings, self.clock), Inbox(folder.notifications)
        self.receipts.start()
        askers = [SolutionAsker(each, settings, self.calendar, folder.secret(each.key_file)) for each in settings.consent_solutions if each.url]
        self.consents = Consents(self.receipts, askers, self.calendar, new_salt, self.inbox.has_ended)
        self.watch = ConsentWatch(self._another_register(), self.consents, self.inbox, self.submit, settings, self.calendar)
        self.switching = SwitchWatch(self._another_register(), self.consents, self.submit, settings, self.calendar)

    async def take(self, notification: Notification) -> None:
        """What a consent solution has notified, and signed."""
        assert self.watch is not None  # without a solution nobody's signature holds
        await self.watch.take(notification)

    def obey(self) -> Vocabulary:
        """The release in force at this moment; what is to follow is made ready."""
        if (size := self.register.size()) == self.obeyed_at:
            return self.vocabulary
        in_force, candidate = self.releases.in_force(self.register), self.releases.candidate(self.register)
        self.obeyed_at = size
        self.vocabulary = in_force
        if (name := candidate.release if candidate else "") != self.candidate or in_force.release not in (RELEASE, *self.judges.releases):
            self.candidate = name
            self.judges.know([in_force, *([candidate] if candidate else [])])
            self.warming = asyncio.create_task(self.judges.warm())
        return in_force

    async def _end_followers(self) -> None:
        """What they have not entered yet they find again in the journal."""
        for each in self.following:
            each.cancel()
        await asyncio.gather(*self.following, return_exceptions=True)
        for follower in (self.verification, self.watch, self.switching, self.analyses):
            if follower is not None:
                await follower.close()
        if hasattr(self, "webhooks"):
            await self.webhooks.close()
        if self.consents is not None:
            await self.consents.close()
            await self.receipts.close()
            self.inbox.close()
        self.shadow.save()

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
        caller = self.standings.named(credential.organisation, credential.client_id, credential.key_id, credential.actor or "", issuer=credential.issuer)
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

    def check_key(self, caller: Caller) -> None:
        """Unauthenticated where the key that a caller came with has been revoked since: long work stops with it."""
        key = self.directory.find(caller.application, caller.key_id) if caller.key_id else None
        if caller.key_id and (key is None or not key.is_active or key.organisation != caller.party):
            raise self.verifier.refused("the key that this was sent with has been revoked")

    def registered(self, application: str) -> Caller | None:
        """Whose application has that name, by its active key; None where there is none, or no one key."""
        key = self.directory.find(application, None) if application else None
        return Caller(key.organisation, key.client_id) if key else None

    @property
    def today(self) -> date:
        return today(self.calendar)

    async def submit(self, submission: Submission, *, dry_run: bool = False) -> Outcome:
        """The write path (`fmar_node.submit`); once more where another release came into force in the middle of it."""
        try:
            outcome = await submit(self._desk(), submission, self.today, dry_run=dry_run)
        except Unavailable as refusal:
            if refusal.code != "release-changed":
                raise
            outcome = await submit(self._desk(), submission, self.today, dry_run=dry_run)
        if self.analyses is not None and submission.kind == "releases":
            self.analyses.wake()
        if self.verification is not None and submission.kind in INQUIRIES:
            self.verification.wake()
        self.pulse.beat()
        if self.watch is not None and outcome.receipt is not None:
            self.watch.wake()
        return outcome

    def _desk(self) -> Desk:
        in_force = self.obey()
        return Desk(self.register, self.judges, self.writer, in_force, self.house, self.consents, self.candidate, partial(self._note_shadow, self.candidate), self.standings)

    def _note_shadow(self, candidate: str, submission: Submission, judgement: Judgement) -> None:
        if judgement.shadow is not None:
            self.shadow.note(candidate, submission.kind, submission.caller.organisation, judgement.shadow, time.monotonic())

    async def query(self, question: Question, caller: Caller) -> Answer:
        """SPARQL inside the caller's window (`fmar_node.query`)."""
        return await ask(self.queries, self.settings, question, caller, self.writer.want)

    async def close(self) -> None:
        """Stops taking work, lets the writer finish, ends the children."""
        self.is_ready = False
        await self._end_followers()
        if hasattr(self, "subscriptions"):
            await self.subscriptions.close()
        await self.queries.close()
        await self.judges.close()
        await self.writer.close()
        if hasattr(self, "sessions"):
            await self.sign_in.close()
            self.sessions.close()
        if hasattr(self, "feeds"):
            await self.feeds.close()
        if hasattr(self, "jobs"):
            self.jobs.close()
        await asyncio.to_thread(self.security.close)
        if hasattr(self, "register"):
            self.register.connection.close()
        if hasattr(self, "past_scores"):
            self.past_scores.close()


def secrets_of(settings: Settings, folder: Folder) -> dict[str, bytes]:
    """By consent solution, the secrets that notifications are signed with. Malformed where one is none."""
    found = {}
    for each in settings.consent_solutions:
        if each.notification_secret_file:
            try:
                found[each.name] = secret_of(folder.secret(each.notification_secret_file))
            except ValueError as error:
                detail = f"consent_solutions: {each.notification_secret_file} {error}"
                raise Malformed("malformed-request", detail) from error
    return found
