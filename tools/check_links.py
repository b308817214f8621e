"""Check that every relative link of the Markdown files leads to a file and, where it names one, to a heading of it."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

FOLDERS = (".", "docs", "examples", "plugins")


def pages(root: Path) -> Iterator[Path]:
    """Give the Markdown files of the documentation."""
    for folder in FOLDERS:
        found = (root / folder).glob("*.md") if folder == "." else (root / folder).rglob("*.md")
        yield from sorted(
            page for page in found if not any(part.startswith(".") for part in page.relative_to(root).parts)
        )


def _inline(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _inline(token.children or [])


def targets(page: Path) -> Iterator[str]:
    """Give the targets of a page's links and pictures; what stands in code is none."""
    for token in _inline(MarkdownIt().parse(page.read_text(encoding="utf-8"))):
        target = token.attrs.get("href") or token.attrs.get("src")
        if target is not None:
            yield unquote(str(target))


def anchors(page: Path) -> set[str]:
    """Give the anchors that GitHub makes of a page's headings."""
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    titles = [after.content for token, after in itertools.pairwise(tokens) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def faults(root: Path) -> Iterator[str]:
    """Give one line per link that leads nowhere."""
    for page in pages(root):
        for target in targets(page):
            if re.match(r"[a-z+]+:", target):
                continue
            path, _, anchor = target.partition("#")
            led = (page.parent / path) if path else page
            if not led.exists():
                yield f"{page.relative_to(root)}: {target} does not exist"
            elif anchor and led.suffix == ".md" and anchor not in anchors(led):
                yield f"{page.relative_to(root)}: {target} names no heading"


def main() -> None:
    """Print the faults of the repository around this file; exit 1 if there is one."""
    found = list(faults(Path(__file__).resolve().parent.parent))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
