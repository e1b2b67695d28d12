"""The releases of a register as they are obeyed: each a vocabulary, read once from its record; the packaged one is release 1.

Rules kept here: what is in force is what the journal says, looked up in the transaction or for the request that it is asked for; a
release that was made over another version of the package stands as it is, over the files that this package has besides, and is
called so in what it judges.
"""

from __future__ import annotations

from collections.abc import Iterable

from fmar_node.errors import Broken, NotFound
from fmar_node.journal.register import Register
from fmar_node.kinds.release import CANDIDATE, IN_FORCE, PLACE, files_in
from fmar_node.record import Version
from fmar_node.vocabulary import RELEASE, Document, Vocabulary

AT_HAND = 4


def release_name(document: Document) -> str:
    """What records are said to have been judged by: the version, and the package where it is another than the release was made over."""
    version, over = str(document["releaseVersion"]), document["releasedOver"]
    return version if over == RELEASE else f"{version}.on.{RELEASE}"


class Releases:
    """Finds them in a register; the last few are kept."""

    def __init__(self, packaged: Vocabulary | None = None) -> None:
        self.packaged = packaged or Vocabulary.load()
        self.read: dict[str, Vocabulary] = {}

    def in_force(self, register: Register) -> Vocabulary:
        """The one that documents are judged by."""
        return self._found(register, IN_FORCE) or self.packaged

    def candidate(self, register: Register) -> Vocabulary | None:
        """The one that is to follow: in shadow, or approved."""
        return self._found(register, CANDIDATE)

    def numbered(self, register: Register, number: int) -> tuple[Vocabulary, Version | None]:
        """A release by its number, with its record; release 1 has none. NotFound where there is none of that number."""
        if number == 1:
            return self.packaged, None
        version = next(iter(self._versions(register, str(number))), None)
        if version is None:
            raise NotFound("not-found", "there is no release of this number for you")
        return self.of(version), version

    def _found(self, register: Register, place: str) -> Vocabulary | None:
        ids = register.found(PLACE, place)
        if not ids:
            return None
        return self.read.get(ids[0]) or self.of(next(iter(self._versions(register, place))))

    def _versions(self, register: Register, place: str) -> Iterable[Version]:
        return (version for id_ in register.found(PLACE, place) if (version := register.current("releases", id_)))

    def of(self, version: Version) -> Vocabulary:
        """The vocabulary of a release. Broken where it cannot be read: it was read before it was accepted."""
        if version.id not in self.read:
            try:
                self.read[version.id] = self.packaged.released(release_name(version.document), files_in(version.document))
            except SyntaxError as error:
                raise Broken("internal-error", f"release {version.document['releaseNumber']} cannot be read: {error}") from error
            while len(self.read) > AT_HAND:
                del self.read[next(iter(self.read))]
        return self.read[version.id]
