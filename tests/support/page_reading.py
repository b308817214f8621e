"""Read pages in tests: their text without tags, their tags, their forms."""

from __future__ import annotations

from html.parser import HTMLParser


class Reader(HTMLParser):
    """Collects a page's text, tags and attributes, and the fields of its forms."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.fields: dict[str, str] = {}
        self._area: str | None = None
        self._choice: str | None = None
        self.feed(page)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what matters of a tag."""
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        self.attributes |= set(given)
        if tag == "a":
            self.links.append(given.get("href", ""))
        if tag == "input" and "name" in given:
            self.fields[given["name"]] = given.get("value", "")
        if tag == "textarea":
            self._area = given.get("name", "")
            self.fields[self._area] = ""
        if tag == "select":
            self._choice = given.get("name", "")
            self.fields.setdefault(self._choice, "")
        if tag == "option" and "selected" in given and self._choice is not None:
            self.fields[self._choice] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        """Leave a field."""
        if tag == "textarea":
            self._area = None
        if tag == "select":
            self._choice = None

    def handle_data(self, data: str) -> None:
        """Keep text."""
        if self._area is None:
            self.words.append(data)
        else:
            self.fields[self._area] += data.removeprefix("\n")
