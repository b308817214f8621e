"""The pages use EMP's own words: a job is never a task, and there is no queue, consumer or broker.

What stands in code is the name of something of others.
"""

from __future__ import annotations

import re

from support.pages import ROOT

OTHERS_WORDS = re.compile(r"(?i)\b(?:tasks?|queues?|consumers?|brokers?)\b")
CODE = re.compile(r"`[^`\n]+`")


def test_no_page_uses_a_word_that_emp_has_another_for():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").rglob("*.md")]

    found = [
        f"{page.relative_to(ROOT)}: {word}"
        for page in pages
        for word in OTHERS_WORDS.findall(CODE.sub("", page.read_text("utf-8")))
    ]

    assert len(pages) > 30
    assert found == []
