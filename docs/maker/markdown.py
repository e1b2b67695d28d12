"""Markdown as the reference pages need it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

NOTE = "<!-- Made from the code by docs/generate.py; do not edit. -->"


def page(title: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", NOTE, *parts]) + "\n"


def table(header: str, rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table; `header` has its columns parted by bars."""
    names = [name.strip() for name in header.split("|")]
    lines = [names, ["---"] * len(names), *([cell(each) for each in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: Any) -> str:
    text = " ".join(str(value).split())
    return text.replace("|", "\\|")


def code(text: str) -> str:
    return f"`{text}`" if text else ""
