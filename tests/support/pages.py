"""Read the pages of the documentation: sections, tables, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def page(path: str) -> str:
    """Give the text of a page by its path in the repository."""
    return (ROOT / path).read_text("utf-8")


def section(text: str, title: str) -> str:
    """Give what stands under a heading, with its subsections, up to the next heading of its level."""
    found = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert found is not None, f"there is no heading {title!r}"
    after = text[found.end() :]
    following = re.search(rf"^#{{1,{len(found[1])}}} ", after, re.MULTILINE)
    return after[: following.start()] if following else after


def rows(text: str) -> Iterator[dict[str, str]]:
    """Give the rows of the first table in a text, by the titles of its columns."""
    lines = re.search(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert lines is not None, "there is no table"
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[0].splitlines()]
    titles = cells[0]
    for row in cells[2:]:
        yield dict(zip(titles, row, strict=True))


def code(text: str, kind: str) -> list[str]:
    """Give the fenced code of a kind."""
    return re.findall(rf"^```{kind}\b[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
