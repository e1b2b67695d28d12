"""A picture of the ratios: how far each reaches, with a mark where it should."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.benchmarks.reach import Figure

WIDTH, LINE, LEFT = 900, 26, 430


def share(figure: Figure) -> float | None:
    """The ratio as a part of what is wanted: 1 is enough; below it falls short. None where nothing is wanted."""
    wanted = "".join(character for character in figure.wanted if character in "0123456789.")
    if figure.ratio is None or not wanted:
        return None
    return float(wanted) / figure.ratio if figure.wanted.startswith("within") else figure.ratio / float(wanted)


def bars(figures: Sequence[Figure]) -> str:
    """An SVG of one bar per figure; the line is what is wanted, the bar ends at twice that."""
    shown = [(figure, reached) for figure in figures if (reached := share(figure)) is not None]
    scale = (WIDTH - LEFT - 60) / 2
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{LINE * len(shown) + 40}" font-family="sans-serif" font-size="12">']
    for place, (figure, reached) in enumerate(shown):
        top = 10 + LINE * place
        colour = "#2a7f62" if reached >= 1 else "#c1533d"
        parts.append(f'<text x="{LEFT - 8}" y="{top + 14}" text-anchor="end">{escape(figure.what[:62])} ({figure.size:,})</text>')
        parts.append(f'<rect x="{LEFT}" y="{top}" width="{scale * min(reached, 2):.0f}" height="18" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + scale * min(reached, 2) + 6:.0f}" y="{top + 14}">{figure.ratio:.3g}</text>')
    parts.append(f'<line x1="{LEFT + scale:.0f}" x2="{LEFT + scale:.0f}" y1="4" y2="{LINE * len(shown) + 12}" stroke="#333"/>')
    parts.append(f'<text x="{LEFT + scale:.0f}" y="{LINE * len(shown) + 28}" text-anchor="middle">wanted</text></svg>')
    return "\n".join(parts) + "\n"
