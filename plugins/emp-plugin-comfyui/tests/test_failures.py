"""How comfyui.run fails: with a code, whether it is worth another attempt, and a place in the workflow."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from starlette.responses import Response

from emp_plugin_comfyui import RUN
from emp_worker.testing import Failed, JobRun, Retry, run_job
from support.comfyui_nodes import PICTURE
from support.comfyui_stand_in import StandIn
from support.comfyui_workflows import node, sampling

PNG = base64.b64encode(PICTURE).decode()


def failure(run: JobRun, *, retried: bool = False) -> dict[str, Any]:
    """Give the error of a run that failed, for good unless said otherwise."""
    assert isinstance(run.outcome, Retry if retried else Failed), run.outcome
    assert run.error is not None
    return run.error


def pointers(run: JobRun) -> list[str]:
    return [fault["pointer"] for fault in failure(run)["errors"]]


def test_a_refused_workflow_names_the_input(comfy: StandIn):
    workflow = sampling()
    del workflow["3"]["inputs"]["seed"]

    run = run_job(RUN, {"workflow": workflow})

    assert failure(run)["code"] == "invalid_workflow"
    assert failure(run)["errors"] == [
        {"pointer": "/workflow/3/inputs/seed", "message": "KSampler: Required input is missing"}
    ]
    assert "/workflow/3/inputs/seed" in failure(run)["message"]


def test_a_node_that_does_not_exist_is_refused_with_its_name(comfy: StandIn):
    run = run_job(RUN, {"workflow": {"1": node("NoSuchNode")}})

    assert failure(run)["code"] == "invalid_workflow"
    assert "NoSuchNode does not exist" in failure(run)["message"]


def test_a_workflow_whose_outputs_are_refused_in_part_fails_as_a_whole(comfy: StandIn):
    comfy.hold("5")
    workflow = sampling(**{"7": node("PreviewImage")})

    run = run_job(RUN, {"workflow": workflow})

    assert failure(run)["code"] == "invalid_workflow"
    assert pointers(run) == ["/workflow/7/inputs/images"]
    assert comfy.deletions == [comfy.submissions[0]["prompt_id"]]
    assert run.handle["number"] == 2


def test_a_node_that_raises_is_named(comfy: StandIn):
    run = run_job(RUN, {"workflow": sampling(**{"a/b": node("Explode", message="no such thing")})})

    assert failure(run)["code"] == "node_failed"
    assert failure(run)["errors"] == [{"pointer": "/workflow/a~1b", "message": "Explode: ValueError: no such thing"}]


def test_a_lack_of_memory_is_worth_another_attempt(comfy: StandIn):
    broken = node("Explode", exception="torch.OutOfMemoryError", message="Allocation on device")

    run = run_job(RUN, {"workflow": {"1": broken}})

    assert failure(run, retried=True)["code"] == "out_of_memory"


def test_a_node_whose_pictures_come_over_the_socket_alone_is_refused(comfy: StandIn):
    run = run_job(RUN, {"workflow": sampling(**{"7": node("SaveImageWebsocket", images=["8", 0])})})

    assert failure(run)["code"] == "unsupported_node"
    assert pointers(run) == ["/workflow/7/class_type"]
    assert "use SaveImage or PreviewImage" in failure(run)["message"]
    assert comfy.submissions == []


def test_a_server_that_is_down_is_tried_again_and_named_without_its_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_COMFYUI_URL", "http://ann:secret@127.0.0.1:9")
    monkeypatch.setenv("EMP_COMFYUI_PATIENCE_SECONDS", "0.3")

    run = run_job(RUN, {"workflow": sampling()})

    error = failure(run, retried=True)
    assert error["code"] == "server_unreachable"
    assert "http://127.0.0.1:9 cannot be reached" in error["message"]
    assert "secret" not in str(error) + str(run.log)


@pytest.mark.parametrize(
    "server", ["http://169.254.169.254", "http://127.0.0.1:1", "https://gpu.invalid", "http://ann@gpu.invalid:8188"]
)
def test_a_server_that_is_not_listed_is_never_asked(comfy: StandIn, monkeypatch: pytest.MonkeyPatch, server: str):
    monkeypatch.setenv("EMP_COMFYUI_SERVERS", "http://gpu.invalid:8188")

    run = run_job(RUN, {"workflow": sampling(), "server": server})

    assert failure(run)["code"] == "server_not_allowed"
    assert comfy.submissions == []


@pytest.mark.parametrize("path", ["/prompt", "/queue"])
def test_a_redirect_is_not_followed(comfy: StandIn, path: str):
    comfy.answers[path] = Response(status_code=307, headers={"location": "http://169.254.169.254/"})

    run = run_job(RUN, {"workflow": sampling()})

    assert failure(run)["code"] == "unexpected_answer"
    assert "307" in failure(run)["message"]


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"null", b'{"queue_running": 7}', b"[" * 100_000])
def test_what_is_no_comfyui_does_not_crash_the_handler(comfy: StandIn, body: bytes):
    comfy.answers["/prompt"] = comfy.answers["/queue"] = Response(body)

    run = run_job(RUN, {"workflow": sampling()})

    assert failure(run, retried=True)["code"] == "run_lost"


def test_an_answer_that_is_too_large_is_not_read(comfy: StandIn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_COMFYUI_ANSWER_LIMIT_BYTES", str(1024 * 1024))
    comfy.answers["/queue"] = Response(b" " * (1024 * 1024 + 1))

    run = run_job(RUN, {"workflow": sampling()})

    assert failure(run)["code"] == "unexpected_answer"


def test_the_servers_own_trouble_is_worth_another_attempt(comfy: StandIn):
    comfy.answers["/prompt"] = Response(b"Traceback", 500)

    run = run_job(RUN, {"workflow": sampling()})

    assert failure(run, retried=True)["code"] == "unexpected_answer"


def test_files_beyond_the_limit_fail_with_the_remedy(comfy: StandIn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_COMFYUI_OUTPUT_LIMIT_BYTES", str(len(PICTURE) * 2))
    workflow = sampling()
    workflow["9"]["inputs"]["batch"] = 3

    run = run_job(RUN, {"workflow": workflow})

    assert failure(run)["code"] == "outputs_too_large"
    assert "include_data" in failure(run)["message"]


def test_a_huge_file_is_not_taken_to_its_end(comfy: StandIn):
    comfy.picture = b"\0" * (12 * 1024 * 1024)

    run = run_job(RUN, {"workflow": sampling()})

    assert failure(run)["code"] == "outputs_too_large"


def test_too_many_files_fail(comfy: StandIn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_COMFYUI_OUTPUT_LIMIT_FILES", "2")
    workflow = sampling()
    workflow["9"]["inputs"]["batch"] = 3

    run = run_job(RUN, {"workflow": workflow})

    assert failure(run)["code"] == "too_many_outputs"


def test_values_beyond_the_limit_fail(comfy: StandIn):
    run = run_job(RUN, {"workflow": {"1": node("ShowText", text="x" * 600_000)}})

    assert failure(run)["code"] == "outputs_too_large"


def test_a_file_that_is_gone_fails(comfy: StandIn):
    comfy.answers["/view"] = Response(status_code=404)

    run = run_job(RUN, {"workflow": sampling()})

    assert failure(run)["code"] == "output_missing"
    assert "green_00001_.png" in failure(run)["message"]


def test_a_wanted_node_that_gave_nothing_fails(comfy: StandIn):
    run = run_job(RUN, {"workflow": sampling(), "outputs": ["9", "3"]})

    assert failure(run)["code"] == "no_output"
    assert pointers(run) == ["/outputs/1"]


def test_a_file_of_unknown_kind_needs_a_suffix(comfy: StandIn):
    data = base64.b64encode(b"what is this").decode()
    workflow = {"1": node("LoadImage"), "9": node("SaveImage", images=["1", 0])}

    run = run_job(RUN, {"workflow": workflow, "files": [{"node": "1", "data": data}]})

    assert failure(run)["code"] == "unknown_file"
    assert pointers(run) == ["/files/0/suffix"]


@pytest.mark.parametrize(
    ("variable", "value"), [("URL", "ftp://gpu"), ("URL", "gpu:8188"), ("POLL_SECONDS", "soon"), ("SERVERS", "a,b")]
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str):
    monkeypatch.setenv(f"EMP_COMFYUI_{variable}", value)

    run = run_job(RUN, {"workflow": sampling()})

    assert failure(run, retried=True)["code"] == "settings"
    assert f"EMP_COMFYUI_{variable}" in failure(run, retried=True)["message"]


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [
        ({}, "/workflow"),
        ({"workflow": {}}, "/workflow"),
        ({"workflow": {"nodes": [], "links": [], "version": 0.4}}, "/workflow/nodes"),
        ({"workflow": {"1": {"inputs": {}}}}, "/workflow/1/class_type"),
        ({"workflow": {"1": node("X")}, "files": [{"node": "1", "data": "a Gk="}]}, "/files/0/data"),
        ({"workflow": {"1": node("X")}, "files": [{"node": "1", "data": PNG, "suffix": "../x"}]}, "/files/0/suffix"),
        ({"workflow": {"1": node("X")}, "server": "file:///etc/passwd"}, "/server"),
        ({"workflow": {"1": node("X")}, "seed": 1}, "/seed"),
    ],
)
def test_a_payload_that_does_not_fit_is_refused_with_its_place(payload: dict[str, Any], pointer: str):
    assert pointer in pointers(run_job(RUN, payload))


@pytest.mark.parametrize(
    ("payload", "pointer"),
    [({"files": [{"node": "2", "data": PNG}]}, "/files/0/node"), ({"outputs": ["1", "2"]}, "/outputs/1")],
)
def test_a_node_that_is_not_in_the_workflow_is_refused(payload: dict[str, Any], pointer: str):
    run = run_job(RUN, {"workflow": {"1": node("X")}, **payload})

    assert failure(run)["code"] == "unknown_node"
    assert pointers(run) == [pointer]


def test_a_server_that_does_not_answer_is_named_while_it_is_asked_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_COMFYUI_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("EMP_COMFYUI_PATIENCE_SECONDS", "0.5")

    run = run_job(RUN, {"workflow": sampling()})

    assert failure(run, retried=True)["code"] == "server_unreachable"
    assert str(run.progress[-1].message).startswith("http://127.0.0.1:1 does not answer (")
