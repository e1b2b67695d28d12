"""The worlds of a seed side by side, asked the same questions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fmar_node.access.caller import Caller
from fmar_node.query import Question
from tests.market import BASE, Market
from tests.two_worlds.asking import Answered, Snapshot
from tests.two_worlds.queries import Maker, Terms
from tests.two_worlds.worlds import OTHERS, Story, caller_in, fuller, told

CIRCLES = (OTHERS, ("neso",))
"""Viewers that share a fuller world, which hides all that is more in it from each of them."""
NARROW_CIRCLES = (("", "regulator"), ("platform",), ("fsp-a",), ("fsp-c",), ("dso-east",), ("neso",))
"""Fuller worlds with more in them that one sees and another does not."""
Pair = tuple[Question, Answered, Answered]


@dataclass
class Worlds:
    """The plain world and the fuller ones of a seed, made when they are asked for."""

    folder: Path
    seed: int
    questions: int
    circles: tuple[tuple[str, ...], ...] = CIRCLES
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    markets: dict[tuple[str, ...], Market] = field(default_factory=dict)
    asked: dict[str, list[Pair]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.story: Story = told(self.folder, self.seed)
        self.plain = Snapshot(self.story.plain)

    def caller(self, viewer: str) -> Caller:
        return caller_in(self.story.plain, viewer)

    def fuller(self, viewer: str) -> Market:
        circle = next(circle for circle in self.circles if viewer in circle)
        if circle not in self.markets:
            self.markets[circle] = fuller(self.folder / "-".join(("fuller", *circle)), self.story, circle)
            self.snapshots.update(dict.fromkeys(circle, Snapshot(self.markets[circle])))
        return self.markets[circle]

    def maker(self, viewer: str, hidden_from: str) -> Maker:
        terms = Terms.of([self.story.plain, self.fuller(hidden_from)])
        return Maker(f"{self.seed}/{viewer}", terms, f"{BASE}/views/{self.caller(viewer).view}")

    def pairs(self, viewer: str) -> list[Pair]:
        """Each question of a viewer with the answers of the plain and of the fuller world."""
        if viewer not in self.asked:
            caller, maker = self.caller(viewer), self.maker(viewer, viewer)
            beside = self.snapshots[viewer]
            self.asked[viewer] = [
                (question, self.plain.ask(question, caller), beside.ask(question, caller)) for question in maker.questions(self.questions)
            ]
        return self.asked[viewer]

    def close(self) -> None:
        for snapshot in {id(each): each for each in (self.plain, *self.snapshots.values())}.values():
            snapshot.close()
        for market in (self.story.plain, *self.markets.values()):
            market.close()
