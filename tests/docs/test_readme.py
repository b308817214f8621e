"""The README holds what it shows: its plugin works, and the make targets that it names are there."""

from __future__ import annotations

import re
from types import ModuleType

from emp_worker.testing import run_job
from support.pages import code, page

README = page("README.md")


def test_the_plugin_of_the_readme_counts_words():
    (source,) = code(README, "python")
    plugin = ModuleType("emp_plugin_wordcount")
    exec(source, vars(plugin))  # noqa: S102 - our own page
    (job_type,) = plugin.emp_job_types()

    (example,) = job_type.examples

    assert run_job(job_type, example).result == 6


def test_the_make_targets_exist():
    targets = re.findall(r"^([a-z-]+):", page("Makefile"), re.MULTILINE)

    assert set(re.findall(r"\bmake ([a-z-]+) ", README)) <= set(targets)
