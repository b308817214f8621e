"""comfyui.run against the stand-in: what is asked of ComfyUI, what comes back, what is said meanwhile."""

from __future__ import annotations

import base64

import pytest

import emp_plugin_comfyui
from emp_plugin_comfyui import RUN
from emp_worker.contract import check_job_type
from emp_worker.findings import Verdict
from emp_worker.pytest_plugin import StartWorker
from emp_worker.testing import Completed, run_job
from support.comfyui_nodes import PICTURE
from support.comfyui_stand_in import StandIn
from support.comfyui_workflows import node, sampling

PNG = base64.b64encode(PICTURE).decode()


@pytest.fixture
def socket_alone(comfy: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave everything to the socket: queue and history are looked at when it says that the run is over."""
    monkeypatch.setenv("EMP_COMFYUI_POLL_SECONDS", "60")


def test_the_pictures_of_a_workflow_come_back(comfy: StandIn):
    run = run_job(RUN, {"workflow": sampling()})

    assert isinstance(run.outcome, Completed), run.error
    (file,) = run.result["files"]
    assert base64.b64decode(file.pop("data")) == PICTURE
    assert file == {
        "node": "9",
        "kind": "images",
        "filename": "green_00001_.png",
        "subfolder": "bottles",
        "type": "output",
        "media_type": "image/png",
        "bytes": len(PICTURE),
    }


def test_the_workflow_arrives_as_it_was_sent(comfy: StandIn):
    workflow = sampling()
    workflow["3"]["_meta"] = {"title": "my sampler"}

    run = run_job(RUN, {"workflow": workflow})

    (submission,) = comfy.submissions
    assert submission["prompt"] == workflow
    assert submission["prompt_id"] == run.result["prompt_id"]


def test_progress_counts_steps_and_names_the_node(comfy: StandIn, socket_alone: None):
    run = run_job(RUN, {"workflow": sampling(steps=10)})

    fractions = [each.fraction for each in run.progress if each.fraction is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    messages = [each.message or "" for each in run.progress]
    assert any(message.startswith("KSampler (3) 7 of 10") for message in messages), messages


def test_what_comes_from_the_cache_counts_at_once_and_is_named(comfy: StandIn):
    run_job(RUN, {"workflow": sampling(seed=1)})

    run = run_job(RUN, {"workflow": sampling(seed=2)})

    assert set(run.result["cached"]) == {"4", "5", "6"}
    assert len(run.result["files"]) == 1


def test_a_workflow_that_is_all_cached_gives_its_pictures_again(comfy: StandIn):
    first = run_job(RUN, {"workflow": sampling()})

    again = run_job(RUN, {"workflow": sampling()})

    assert again.result["files"] == first.result["files"]
    assert again.result["prompt_id"] != first.result["prompt_id"]


def test_previews_are_counted_and_not_kept(comfy: StandIn, socket_alone: None):
    run = run_job(RUN, {"workflow": sampling(steps=5)})

    assert "5 previews came by; previews are not kept" in [line.message for line in run.log]


def test_a_file_is_uploaded_under_its_content_and_named_in_its_input(comfy: StandIn):
    workflow = {"10": node("LoadImage", image="whatever.png"), "11": node("PreviewImage", images=["10", 0])}

    run = run_job(RUN, {"workflow": workflow, "files": [{"node": "10", "data": PNG}]})

    assert isinstance(run.outcome, Completed), run.error
    (name,) = [name for kind, folder, name in comfy.files if (kind, folder) == ("input", "emp")]
    assert name.endswith(".png")
    assert comfy.files["input", "emp", name] == PICTURE
    assert comfy.submissions[0]["prompt"]["10"]["inputs"]["image"] == f"emp/{name}"


def test_the_same_file_twice_is_stored_once(comfy: StandIn):
    workflow = {
        "1": node("LoadImage"),
        "2": node("LoadImage"),
        "9": node("SaveImage", images=["1", 0]),
        "8": node("SaveImage", images=["2", 0]),
    }

    run_job(RUN, {"workflow": workflow, "files": [{"node": each, "data": PNG} for each in "12"]})

    assert len([name for kind, _, name in comfy.files if kind == "input"]) == 1


def test_a_file_of_another_kind_has_the_suffix_that_it_is_given(comfy: StandIn):
    workflow = {"1": node("LoadImage"), "9": node("SaveImage", images=["1", 0])}
    data = base64.b64encode(b"ID3 a song").decode()

    run = run_job(RUN, {"workflow": workflow, "files": [{"node": "1", "data": data, "suffix": ".mp3"}]})

    assert isinstance(run.outcome, Completed), run.error
    assert comfy.submissions[0]["prompt"]["1"]["inputs"]["image"].endswith(".mp3")


def test_only_the_wanted_outputs_come_back(comfy: StandIn):
    workflow = sampling(**{"7": node("PreviewImage", images=["8", 0])})

    run = run_job(RUN, {"workflow": workflow, "outputs": ["7"]})

    assert [(file["node"], file["type"]) for file in run.result["files"]] == [("7", "temp")]


def test_files_may_stay_where_they_are(comfy: StandIn):
    run = run_job(RUN, {"workflow": sampling(), "include_data": False})

    (file,) = run.result["files"]
    assert (file["data"], file["bytes"], file["filename"]) == (None, None, "green_00001_.png")


def test_what_nodes_give_besides_files_comes_back(comfy: StandIn):
    run = run_job(RUN, {"workflow": {"1": node("ShowText", text="a cat")}})

    assert run.result["values"] == {"1": {"text": ["a cat"]}}
    assert run.result["files"] == []


def test_a_listed_server_may_be_chosen(comfy: StandIn, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EMP_COMFYUI_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("EMP_COMFYUI_SERVERS", f"http://gpu.invalid:8188, {comfy.url}/")

    run = run_job(RUN, {"workflow": sampling(), "server": comfy.url})

    assert isinstance(run.outcome, Completed), run.error


def test_a_worker_stores_what_a_workflow_made(comfy: StandIn, emp_stack: StartWorker):
    job = emp_stack(emp_plugin_comfyui).run("comfyui.run", {"workflow": sampling()})

    assert (job.state, len(job.result["files"])) == ("completed", 1)


def test_the_contract_of_plugins_is_kept(comfy: StandIn):
    findings = check_job_type(RUN, run=True)

    assert [each for each in findings if each.verdict is Verdict.FAILED] == []
