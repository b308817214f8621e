"""The child process of `emp_worker.examples_apart`: `python -m emp_worker.examples_child FD`, where FD takes its words.

It loads the plugin that standard input names, and performs the examples of one job type. Each word is a line of JSON:
a step that it comes to, a finding, and at last that it is through.
"""

from __future__ import annotations

import emp_core.plain_structlog  # noqa: F401 - before structlog

# isort: split
import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

from emp_worker.discovery import GROUP, FoundPlugin, PluginFailure
from emp_worker.examples import Entering, perform_examples
from emp_worker.findings import Finding, Verdict
from emp_worker.loading import load_plugin

DONE = "done"


def main() -> None:
    """Perform the examples, and say each step before it is taken."""
    trail = int(sys.argv[1])
    # What a handler starts must not hold the pipe.
    os.set_inheritable(trail, False)
    orders = json.load(sys.stdin)
    sys.path[:] = orders["sys_path"]

    def say(word: Any) -> None:
        os.write(trail, json.dumps(word).encode() + b"\n")

    def entering(check: str, what: str, seconds: float) -> None:
        say([check, what, seconds])

    for finding in _findings(orders, entering):
        say(dataclasses.asdict(finding))
    say(DONE)
    sys.stderr.flush()
    # A thread that never ends, or what a plugin does at the end of an interpreter, is nobody's concern any more.
    os._exit(0)


def _findings(orders: dict[str, Any], entering: Entering) -> Iterator[Finding]:
    distribution, version, name, value = orders["plugin"]
    # It has no distribution here: that what it requires is there has been checked.
    plugin = load_plugin(FoundPlugin(distribution, version, name, EntryPoint(name, value, GROUP)))
    wanted = orders["job_type"]
    if isinstance(plugin, PluginFailure):
        yield Finding(wanted, "run", Verdict.FAILED, f"the plugin does not load a second time: {plugin.why}")
        return
    (job_type,) = (each for each in plugin.job_types if each.name == wanted)
    payloads = {what: text.encode() for what, text in orders["payloads"].items()}
    yield from perform_examples(job_type, payloads, entering)


if __name__ == "__main__":
    main()
