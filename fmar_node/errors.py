"""Every way in which the node refuses, in one tree.

Rules kept here: an error says what kind of trouble it is and carries a stable code from `PROBLEMS`;
which HTTP status that becomes is chosen in `fmar_node.web` alone (RFC 9457). A `detail` says what to
do next and never holds another organisation's value.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """What a problem code means, for its page at `{base}/problems/{code}`."""

    title: str
    remedy: str


PROBLEMS: dict[str, Problem] = {
    # the request itself
    "malformed-json": Problem("The body is not well-formed JSON", "Send one JSON object, UTF-8, no duplicate keys, no NaN or Infinity."),
    "malformed-rdf": Problem("The body could not be parsed", "Check the syntax of the format that Content-Type names; the detail has the position."),
    "malformed-request": Problem("The request is malformed", "The detail names the header or parameter that could not be understood."),
    "body-too-large": Problem("The body is larger than this node accepts", "Send a smaller document; the limit is in the detail."),
    "nesting-too-deep": Problem("The body is nested too deeply", "No FMAR document needs this depth; flatten it."),
    "unsupported-media-type": Problem("This media type is not accepted here", "Use one of the types in the Accept header of the answer."),
    "not-acceptable": Problem("None of the requested formats can be produced", "Ask for one of the formats in the detail, or send no Accept header."),
    "profile-not-offered": Problem("This resource is not told in that profile", "Ask for one of the profiles in the detail, or for none."),
    "method-not-allowed": Problem("This method is not offered here", "The Allow header lists the methods of this resource."),
    "personal-filter": Problem("Lists are never filtered by a personal field", "Look an asset up by an identifier with POST /assets/lookup: it travels in the body, never in a URL; what else you see of it is asked with SPARQL."),
    # documents
    "validation-failed": Problem("The document breaks rules of the register", "Mend every entry of errors[] with severity R; give a justification for each with severity J."),
    "context-not-supported": Problem("This @context is not supported", "Leave @context out, or use https://w3id.org/fmar/context/v1; for CIM https://w3id.org/fmar/context/cim-v1, or prefixes of CIM namespaces and nothing else."),
    "keyword-not-supported": Problem("This JSON-LD keyword is not accepted in a record document", "Describe one record with the published terms only."),
    "consent-not-available": Problem("This node cannot verify a consent", "Its operator has configured no consent solution; register assets that an organisation owns, without consentReference."),
    "consent-required": Problem("A consent is missing", "Send the proof that the consent solution gave you as consentReference: a receipt or a reference, for you, about this asset or all of its meter points."),
    "consent-service-unavailable": Problem("The consent solution gives no answer", "Nothing was written. Repeat the request after the time in Retry-After, with the same Idempotency-Key."),
    "notification-not-accepted": Problem("The notification was not accepted", "Sign the raw body with the secret of this node, by the headers of Standard Webhooks, in time; the detail says what was wrong."),
    # credentials
    "credential-missing": Problem("A credential is needed", "Get an access token at /oauth/token and send it with a DPoP proof."),
    "invalid-token": Problem("The access token was not accepted", "Get a new token; the detail says what was wrong with this one."),
    "invalid-dpop-proof": Problem("The DPoP proof was not accepted", "Make a new proof for this method and URL; the detail says what was wrong."),
    "invalid-client-certificate": Problem("The client certificate was not accepted", "Connect with one certificate that is in force, with a P-256, Ed25519 or RSA key; the detail says what was wrong."),
    "invalid-client": Problem("The client was not accepted", "Sign a private_key_jwt assertion with a registered, unrevoked key, or connect with a certificate for one where the node takes certificates. An agent says it (502) where the key in its profile is refused: it reads the profile again at the next request."),
    "invalid-grant-request": Problem("The token request is malformed", "Use grant_type=client_credentials with a private_key_jwt client assertion and a DPoP header."),
    "sign-in-failed": Problem("The sign-in did not hold", "Begin again at /signin; the detail says what was wrong."),
    "sign-in-choice": Problem("This person belongs to several organisations", "Begin again with organisation= one of those in choices."),
    "identity-not-invited": Problem("No invitation for this identity", "Ask your organisation's administrator for an invitation to the e-mail address that the identity provider knows."),
    "identity-provider-unavailable": Problem("The identity provider gave no usable answer", "Try again later; the node's log has the reason for its operator."),
    "session-missing": Problem("Nobody has signed in", "Sign in at /signin."),
    "session-ended": Problem("The session has ended", "Sign in again at /signin."),
    "cross-site-request": Problem("The request does not come from a page of this node", "With a session, send Origin with the node's own address; a program uses an access token instead."),
    "agent-refused": Problem("The agent does not serve this caller", "Only tools on this machine may use an agent, at the address that it printed."),
    "node-unreachable": Problem("The agent cannot reach its node", "Check that the node runs, and the address in profile.json."),
    # permission and existence
    "not-permitted": Problem("The caller may not do this", "The detail names the policy that refused and who may."),
    "not-found": Problem("There is nothing here for this caller", "It does not exist, or this credential does not see it; both look the same."),
    # state
    "conflict": Problem("The state of the register does not allow this", "The errors name what stands in the way and what to do first."),
    "version-stale": Problem("The record has changed since", "Read the record again, apply the change to it, and send its new ETag in If-Match."),
    "precondition-required": Problem("If-Match is required", "Send the ETag of the version that the change is based on."),
    "idempotency-key-reused": Problem("This Idempotency-Key was used with another body", "Use a new key for a new request."),
    "idempotency-key-running": Problem("A request with this Idempotency-Key is still running", "Wait and repeat the request."),
    "release-changed": Problem("Another release of the vocabulary has come into force meanwhile", "Nothing was written. Repeat the request, a write with the same Idempotency-Key: it is judged by the release that is in force now."),
    # queries
    "query-malformed": Problem("The query is not SPARQL 1.1", "The detail has the position of the first error."),
    "query-refused": Problem("The query asks for something that this endpoint never does", "SERVICE, LOAD and updates are refused; query the graphs that the service description lists."),
    "query-too-complex": Problem("The query is larger than this node accepts", "The detail names the limit that it passed."),
    "query-timeout": Problem("The query ran longer than allowed", "Narrow the query; the detail has the deadline."),
    "query-out-of-memory": Problem("The query needed more memory than allowed", "Narrow the query, or page through it by a sort key."),
    "query-too-many-rows": Problem("The result is larger than allowed", "Narrow the query or page through it by a sort key; the detail has the limit."),
    "query-failed": Problem("The query could not be evaluated", "Simplify the query; if it keeps failing, report it."),
    "sandbox-missing": Problem("Query workers cannot be cut off from the network on this machine", "Run the node on Linux with seccomp (x86-64 or arm64), or set require_sandbox = false where nobody else can send queries."),
    "graph-behind": Problem("The graph has not reached the requested journal index yet", "Repeat the request after the time in Retry-After."),
    # limits
    "rate-limited": Problem("More requests than this node takes from one caller", "Repeat the request after the time in Retry-After; RateLimit-Policy says what is taken, RateLimit what is left."),
    "query-budget-spent": Problem("The organisation's queries have used the time that it has with the query workers", "Repeat the query after the time in Retry-After, or narrow it: the detail names the budget."),
    # operation
    "http-too-old": Problem("The answer is too long for HTTP/1.0", "Ask in HTTP/1.1: in HTTP/1.0 nobody can tell a whole answer from one that broke off, so that a long one is not sent."),
    "client-gone": Problem("The client went away before it was answered", "Nobody gets this but the logs: what was being worked out was given up at once."),
    "too-many-requests": Problem("Too many requests at once", "Repeat the request after the time in Retry-After."),
    "unavailable": Problem("The node cannot do this right now", "Repeat the request after the time in Retry-After, writes with the same Idempotency-Key."),
    "storage-full": Problem("The node has no room to write", "Nothing was written; the operator has been told by /readyz and the log."),
    "internal-error": Problem("The node made a mistake", "Report the instance; nothing was half done."),
}


class Severity(StrEnum):
    """How grave a fault is (reference: published rules v1.0, section 3 of the field list)."""

    REJECT = "R"
    JUSTIFY = "J"
    WARN = "W"
    FILLED = "F"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a document: where, which rule, how grave.

    `pointer` is an RFC 6901 JSON pointer into the submitted document (or into its JSON-LD form),
    `field` the term's name, `code` the rule ("A04"), `constraint` the constraint that fired ("A04-cap").
    """

    code: str
    severity: Severity
    message: str
    pointer: str = ""
    field: str = ""
    value: str | None = None
    constraint: str = ""

    def as_json(self) -> dict[str, Any]:
        shown = {
            "pointer": self.pointer,
            "field": self.field,
            "code": self.code,
            "constraint": self.constraint or self.code,
            "severity": self.severity.value,
            "message": self.message,
        }
        return shown if self.value is None else {**shown, "value": self.value}


class BrokenOff(Exception):
    """An answer of which a part has gone out cannot be ended well: the connection breaks, so that whoever asked notices. It has been told why."""


@dataclass(eq=False)
class FmarError(Exception):
    """A coded refusal. `members` are further members of the problem document."""

    code: str
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    members: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.code not in PROBLEMS:
            raise KeyError(f"{self.code!r} is not in errors.PROBLEMS")
        named = ", ".join(f"{fault.code} {fault.pointer}".strip() for fault in self.faults)
        super().__init__(": ".join(part for part in (self.code, self.detail, named) if part))

    @property
    def title(self) -> str:
        return PROBLEMS[self.code].title


class Malformed(FmarError):
    """The request cannot be understood."""


class Unauthenticated(FmarError):
    """No credential, or one that does not hold. `members['error']` is the OAuth error word."""


class Forbidden(FmarError):
    """The caller may know that it exists, but may not do this."""


class NotFound(FmarError):
    """Nothing here that this caller may see."""


class MethodNotAllowed(FmarError):
    """The resource has no such method."""


class NotAcceptable(FmarError):
    """No representation that the caller accepts."""


class Conflict(FmarError):
    """The state of the register does not allow it."""


class Stale(FmarError):
    """The version that the change is based on is not the current one."""


class PreconditionMissing(FmarError):
    """A condition that this method requires was not sent."""


class TooLarge(FmarError):
    """A size limit was passed."""


class UnsupportedMedia(FmarError):
    """A body in a format that is not accepted here."""


class Invalid(FmarError):
    """Understood, but against the rules; `faults` has all of them."""


class Outdated(FmarError):
    """A version of HTTP in which this cannot be answered."""


class TooMany(FmarError):
    """Too many requests at once; `headers` has Retry-After."""


class Unavailable(FmarError):
    """Cannot be done right now; nothing was written, or nobody knows (then `detail` says so)."""


class OutOfRoom(FmarError):
    """The disk is full, read-only, or out of handles; nothing was written."""


class Broken(FmarError):
    """The node's own fault."""


def by_name(name: str) -> type[FmarError]:
    """The error class of that name: errors travel between processes by name."""
    return {kind.__name__: kind for kind in FmarError.__subclasses__()}[name]


def counted(number: float, one: str, many: str = "") -> str:
    """So many of something, in words that agree: `1 entry`, `2 entries`, `0.5 seconds`."""
    shown = f"{number:g}" if isinstance(number, float) else str(number)
    return f"{shown} {one if number == 1 else many or one + 's'}"


def with_article(word: str) -> str:
    """One of something, by how its name begins: `a User`, `an Asset`."""
    return f"{'an' if word[:1] in 'AEIO' else 'a'} {word}"


def nearest(wrong: str, known: Iterable[str]) -> str:
    """The known word that a misspelt one most likely meant, whatever its case; empty where there is none."""
    words = {each.lower(): each for each in known}
    near = difflib.get_close_matches(wrong.lower(), words, n=1)
    return words[near[0]] if near else ""
