"""What a plugin's metadata requires: another EMP, or packages that are not installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import Distribution

import pytest

from emp_worker.requirements import missing, why_not_for_this_emp


class Described(Distribution):
    """A distribution of which only the metadata is there."""

    def __init__(self, requires: tuple[str, ...]) -> None:
        self._requires = requires

    def read_text(self, filename: str) -> str | None:
        """Give its METADATA."""
        lines = ["Metadata-Version: 2.1", "Name: described", "Version: 1.0"]
        return "\n".join([*lines, *(f"Requires-Dist: {each}" for each in self._requires), ""])

    def locate_file(self, path: object) -> None:  # type: ignore[override]
        """Give nothing: there are no files."""


@pytest.fixture
def requiring() -> Callable[..., Distribution]:
    """Give a function that makes a distribution with requirements."""
    return lambda *requires: Described(requires)


@pytest.mark.parametrize("text", ["emp-jobs", "emp-jobs[worker]>=0.1,<1", "EMP_jobs>=0.1"])
def test_this_emp_will_do(requiring, text):
    assert why_not_for_this_emp(requiring(text)) == ""


@pytest.mark.parametrize("text", ["emp-jobs[worker]>=99", "Emp.Jobs>=99", "emp-jobs<0.1"])
def test_another_emp_is_needed(requiring, text):
    assert "is installed; install another version of the plugin, or of EMP" in why_not_for_this_emp(requiring(text))


def test_what_is_not_installed_is_listed(requiring):
    assert missing(requiring("pydantic>=2", "no-such-package>=2", "pydantic>=99")) == [
        "no-such-package>=2",
        "pydantic>=99",
    ]


@pytest.mark.parametrize("text", ["no-such-package; extra == 'dev'", "no-such-package; python_version < '3'", "== ?"])
def test_what_does_not_count_here_is_not_missing(requiring, text):
    assert missing(requiring(text)) == []
