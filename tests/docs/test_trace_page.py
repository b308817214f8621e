"""The page on traces names what the code says, and its example makes the span that it promises."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from opentelemetry import trace

from emp_worker import JobType
from emp_worker.testing import run_job
from support.pages import ROOT, code, page, rows, section
from support.spans import KeptSpans

PAGE = page("docs/how-to/trace-with-opentelemetry.md")
MODULES = ("src/emp_core/tracing/sdk.py", "src/emp_server/tracing.py", "src/emp_worker/tracing.py")


def named_in(path: str) -> set[str]:
    """Give the attributes that a module names."""
    texts = {
        node.value
        for node in ast.walk(ast.parse((Path(ROOT) / path).read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if re.fullmatch(r"(messaging|emp|error)\.[a-z._]+", text)}


def test_every_attribute_has_its_row():
    """And no other one has."""
    table = section(PAGE, "Read it").partition("| attribute | is |")
    told = set(re.findall(r"`([a-z._]+)`", " ".join(row["attribute"] for row in rows("".join(table[1:])))))
    told = (told - {".type"}) | {"messaging.operation.type"}

    assert told == set().union(*map(named_in, MODULES)) - {"emp.tracing"}


def test_the_handler_of_the_page_makes_its_span(monkeypatch):
    """Under the attempt's, wherever it runs."""
    kept = KeptSpans()
    [source] = code(PAGE, "python")
    monkeypatch.setattr(trace, "get_tracer", kept.provider.get_tracer)
    namespace: dict[str, object] = {"__name__": "emp_plugin_wordcount"}

    exec(source, namespace)  # noqa: S102 - our own page
    run = run_job(JobType("text.wordcount", namespace["count"]), {"text": "to be or not to be"})

    assert run.result == 6
    assert [span.name for span in kept.all()] == ["split"]
