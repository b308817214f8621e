"""The job type of the page on warm models works, with a library as it assumes one."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from emp_worker import JobType
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.testing import run_job
from support.pages import code, page

LIBRARY = """
calls = []

class Model:
    def stream(self, text, limit):
        yield from (text.split() + ["and", "then"])[:limit]

    def unload(self):
        calls.append("unloaded")

def load(name, device):
    calls.append(f"loaded {name} on {device}")
    return Model()
"""


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stand in for a library that no machine of ours has."""
    module = ModuleType("acme_models")
    exec(LIBRARY, module.__dict__)  # noqa: S102 - our own text
    monkeypatch.setitem(sys.modules, "acme_models", module)
    return module


def the_type() -> JobType:
    """Make the job type that the page shows."""
    (shown,) = code(page("docs/how-to/keep-a-model-warm.md"), "python")
    module = ModuleType("emp_plugin_story")
    sys.modules["emp_plugin_story"] = module  # where pydantic looks annotations up
    exec(shown, module.__dict__)  # noqa: S102 - a page of ours
    (job_type,) = module.emp_job_types()
    return job_type


def test_the_model_is_loaded_by_the_lifespan_and_by_nothing_before(library: ModuleType):
    job_type = the_type()
    before = list(library.calls)

    run = run_job(job_type, {"text": "Once upon"})

    assert before == []
    assert run.result == {"text": "Once upon and then"}
    assert library.calls == ["loaded storyteller-7b on cuda", "unloaded"]


def test_it_keeps_the_contract(library: ModuleType):
    assert [each for each in check_job_type(the_type()) if each.verdict is Verdict.FAILED] == []
