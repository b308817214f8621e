"""What the socket may say, and what that makes of the progress."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from emp_plugin_comfyui import Node
from emp_plugin_comfyui.failures import of_entry
from emp_plugin_comfyui.messages import Cached, Ended, Executing, Other, Preview, Stepped, read_message
from emp_plugin_comfyui.progress import RunProgress
from support.comfyui_workflows import sampling

OURS = "our-run"


def said(kind: str, **data: Any) -> str:
    return json.dumps({"type": kind, "data": data})


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (said("execution_cached", nodes=["4", 5], prompt_id=OURS), Cached(("4",))),
        (said("executing", node="3", display_node="3", prompt_id=OURS), Executing("3")),
        (said("executing", node="3.0.1", display_node="3", prompt_id=OURS), Executing("3")),
        (said("executing", node="3"), Executing("3")),
        (said("executing", node=None), Other()),
        (said("executing", node=None, prompt_id=OURS), Ended()),
        (said("executing", node=None, prompt_id="another"), Other()),
        (said("progress", node="3", value=7, max=20, prompt_id=OURS), Stepped("3", 7, 20)),
        (said("progress", node="3", value=7, max=0, prompt_id=OURS), Other()),
        (said("progress", node="3", value="7", max=20, prompt_id=OURS), Other()),
        (said("execution_success", prompt_id=OURS), Ended()),
        (said("execution_error", prompt_id=OURS), Ended()),
        (said("execution_interrupted", prompt_id=OURS), Ended()),
        (said("execution_interrupted", prompt_id="another"), Other()),
        (said("status", status={"exec_info": {"queue_remaining": 1}}), Other()),
        (said("some.extension", node="3", prompt_id=OURS), Other()),
        (struct.pack(">II", 1, 1) + b"jpeg", Preview(4)),
        (struct.pack(">II", 4, 2) + b"{}jpeg", Preview(6)),
        (struct.pack(">II", 3, 1) + b"3text", Other()),
    ],
)
def test_a_message_is_read(frame: str | bytes, expected: object):
    assert read_message(frame, OURS) == expected


@pytest.mark.parametrize(
    "frame",
    ["", "null", "[]", '"text"', "{", "[" * 100_000, '{"type": 7, "data": []}', '{"data": {"node": {}}}', b"", b"1"],
)
def test_whatever_comes_is_no_crash(frame: str | bytes):
    assert read_message(frame, OURS) == Other()


def progress(workflow: dict[str, Any]) -> RunProgress:
    return RunProgress({name: Node.model_validate(node) for name, node in workflow.items()})


def test_a_sampler_counts_as_much_as_it_has_steps():
    run = progress(sampling(steps=15))

    run.hear(Executing("3"))
    run.hear(Stepped("3", 15, 15))

    assert run.fraction == 15 / 20
    assert run.note == "KSampler (3) 15 of 15"


def test_what_is_cached_counts_at_once():
    run = progress(sampling(steps=15))

    run.hear(Cached(("4", "5", "6", "unknown")))

    assert run.fraction == 3 / 20
    assert run.cached == ("4", "5", "6")


def test_progress_never_goes_back():
    run = progress(sampling(steps=15))
    fractions = []

    for message in (Executing("3"), Stepped("3", 15, 15), Stepped("3", 1, 15), Executing("4"), Executing("3")):
        run.hear(message)
        fractions.append(run.fraction)

    assert fractions == sorted(fractions)


@pytest.mark.parametrize("steps", [0, -5, 1e300, True, "many", None, ["4", 0]])
def test_a_strange_number_of_steps_spoils_nothing(steps: Any):
    workflow = sampling()
    workflow["3"]["inputs"]["steps"] = steps
    run = progress(workflow)

    run.hear(Stepped("3", 99, 1))

    assert 0.0 <= run.fraction <= 1.0


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"outputs": {}}, None),
        ({"status": {"status_str": "success", "completed": True, "messages": []}}, None),
        ({"status": {"status_str": "error", "messages": [["execution_error", {"node_id": "3"}]]}}, "node_failed"),
        ({"status": {"status_str": "error", "messages": [["execution_interrupted", {}]]}}, "interrupted"),
        ({"status": {"status_str": "error", "messages": "none"}}, "node_failed"),
        ({"status": {"status_str": "error", "messages": [7, [], ["execution_error", 7]]}}, "node_failed"),
        ({"status": "error"}, None),
    ],
)
def test_a_history_entry_says_how_a_run_failed(entry: dict[str, Any], code: str | None):
    error = of_entry(entry)

    assert (error and error.code) == code
