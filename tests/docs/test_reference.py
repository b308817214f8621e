"""The reference pages say what the code has, no more and no less."""

from __future__ import annotations

import inspect
import json
import re

import pytest
import write_docs

import emp_worker
import emp_worker.testing
from emp_core import messages
from emp_core.jobs import FINAL_STATES, JobState, Reason
from emp_worker import JobContext, JobType, failures, hookspecs
from support.pages import ROOT, code, page, rows, section

PLUGIN_API = page("docs/reference/plugin-api.md")
STATES = page("docs/reference/job-states.md")


def bare(cell: str) -> str:
    """Give a name without its backticks and arguments."""
    return cell.strip("`").partition("(")[0]


def test_the_made_parts_are_as_the_code_makes_them():
    """Settings, keys, moves, chart and fields of messages: run tools/write_docs.py."""
    assert write_docs.stale(ROOT) == []


def test_every_part_that_is_made_is_on_a_page():
    assert write_docs.used(ROOT) == set(write_docs.PARTS)


def test_a_stale_part_is_noticed(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "ARCHITECTURE.md").write_text("<!-- made: keys -->\n| old |\n<!-- end -->\n")

    assert write_docs.stale(tmp_path) == [tmp_path / "ARCHITECTURE.md"]


def test_every_state_is_explained():
    assert {bare(row["state"]): row["final"] for row in rows(STATES)} == {
        state: "yes" if state in FINAL_STATES else "" for state in JobState
    }


def test_every_reason_is_explained():
    assert [bare(row["reason"]) for row in rows(section(STATES, "Reasons"))] == list(Reason)


@pytest.mark.parametrize("name", ["JobAvailableMessage", "JobUpdateMessage", "WorkerStatusMessage"])
def test_the_json_of_a_message_is_read_and_written_as_it_stands(name):
    (text,) = code(section(page("docs/reference/messages.md"), name), "json")

    message = messages.parse_message(text)

    assert type(message).__name__ == name
    assert message.model_dump() == json.loads(text)


def test_the_public_names_are_explained():
    headings = re.findall(r"^### `(\w+)`$", section(PLUGIN_API, "Names of `emp_worker`"), re.MULTILINE)

    assert sorted(headings) == emp_worker.__all__


def test_the_arguments_of_a_job_type_are_explained():
    arguments = [bare(row["argument"]) for row in rows(section(PLUGIN_API, "`JobType`"))]

    assert arguments == list(inspect.signature(JobType).parameters)


def test_the_members_of_a_job_are_explained():
    members = {bare(row["member"]) for row in rows(section(PLUGIN_API, "`JobContext`"))}

    assert members == {name for name in dir(JobContext) if not name.startswith("_")}


def test_every_error_of_an_attempt_is_explained():
    named = [bare(row["error"]) for row in rows(section(PLUGIN_API, "What an attempt can end with"))]
    known = {
        name
        for name, value in vars(failures).items()
        if inspect.isclass(value) and value.__module__ == failures.__name__
    }

    assert set(named) - {"anything else"} == known - {"AttemptFailure", "InvalidJobType"}


def test_the_hooks_are_explained_with_their_arguments():
    shown = {bare(row["hook"]): row["hook"] for row in rows(section(PLUGIN_API, "Hooks"))}
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("emp_")}

    assert shown == {name: f"`{name}({', '.join(inspect.signature(hook).parameters)})`" for name, hook in hooks.items()}


def test_the_testing_kit_is_explained():
    table = section(PLUGIN_API, "The testing kit: `emp_worker.testing`")
    named = {bare(name) for row in rows(table) for name in row["name"].split(", ")}

    assert named == set(emp_worker.testing.__all__)
    (run_job,) = (row["what"] for row in rows(table) if row["name"] == "`run_job`")
    options = inspect.signature(emp_worker.testing.run_job_async).parameters
    assert [name for name in options if not re.search(rf"\b{name}\b", run_job)] == []
