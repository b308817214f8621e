"""Any sequence of verbs leaves in a real store exactly what a pure model says, and every answer is the model's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from emp_core.store.embedded import EmbeddedStore
from emp_core.store.scripts import Scripts

from .model.machine import StoreMachine

pytestmark = pytest.mark.process

BOUNDED = settings(
    max_examples=50,
    stateful_step_count=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
"""The same sequences at every run."""
LONG = settings(BOUNDED, max_examples=400, stateful_step_count=80, derandomize=False, database=None, print_blob=True)
"""Other sequences at every run; a failure prints how to have it again."""
SEARCH = settings(BOUNDED, phases=[Phase.generate], max_examples=400, report_multiple_bugs=False)
"""As long as it takes to find a break, and the first one found will do."""


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedStore]:
    """Run a store that the machine may empty."""
    with EmbeddedStore() as store:
        yield store


def run(url: str, scripts: Scripts, profile: settings) -> None:
    """Let hypothesis drive the machine."""
    run_state_machine_as_test(lambda: StoreMachine(url, scripts), settings=profile)


@pytest.mark.timeout(400)  # a failure is made smaller before it is shown
def test_the_store_does_what_the_model_says(own: EmbeddedStore) -> None:
    """After every step of many short lives."""
    run(own.url, Scripts(shifted_clock=True), BOUNDED)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_store_does_what_the_model_says_for_long(own: EmbeddedStore) -> None:
    """After every step of many long lives."""
    run(own.url, Scripts(shifted_clock=True), LONG)


class BrokenScripts(Scripts):
    """The scripts with one piece of Lua replaced, wherever it stands."""

    def __init__(self, sound: str, broken: str) -> None:
        super().__init__(shifted_clock=True)
        assert any(sound in script.text for script in self)
        for script in list(self):
            text = script.text.replace(sound, broken)
            sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
            self._by_name[script.name] = replace(script, text=text, sha=sha)


BREAKS = {
    "a counter is not decremented": ("count(job.state, job.type, -1)\n  count(state", "count(state"),
    "finish leaves the index of running jobs": ("zrem(T .. ':running', job.id)", ""),
    "a released attempt is not given back": ("'attempt', int(job.attempt - 1))", "'attempt', job.attempt)"),
}


@pytest.mark.slow
@pytest.mark.timeout(600)  # what is found is made smaller before it is shown
@pytest.mark.parametrize("what", list(BREAKS))
def test_a_broken_script_differs_from_the_model(own: EmbeddedStore, what: str) -> None:
    """The comparison can fail: each break is found."""
    with pytest.raises(AssertionError):
        run(own.url, BrokenScripts(*BREAKS[what]), SEARCH)
