"""What people do, in a real browser: every flow through the pages, and that no page has an error."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from emp_core.store.embedded import EmbeddedStore
from emp_server.settings import ServerSettings
from support.browser import Tab
from support.running import running_stack
from support.serving import RunningServer
from support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stack(valkey: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a server and a worker with the installed plugins; give the URL."""
    with running_stack(valkey.url, tmp_path_factory.mktemp("stack") / "stack.log") as url:
        yield url


@pytest.fixture
def api(stack: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=stack, timeout=20, trust_env=False) as api:
        yield api


def simulate(api: httpx2.Client, **payload: float) -> str:
    """Submit a simulation, and give its id."""
    answer = api.post("/v1/jobs", json={"job_type": "simulation.run", "payload": payload, "max_attempts": 1})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def wait_for_state(api: httpx2.Client, job_id: str, state: str) -> None:
    """Wait until a job is in a state."""
    wait_until(lambda: api.get(f"/v1/jobs/{job_id}").json()["state"] == state, 20)


def test_a_thumbnail_is_run_from_the_form_and_seen(stack: str, tab: Tab, tmp_path: Path):
    file = tmp_path / "picture.png"
    Image.new("RGB", (64, 32), (200, 30, 60)).save(file)
    tab.go(f"{stack}/types/image.thumbnail")
    tab.follow("a.primary")
    tab.choose_file("input[type=file]", file)
    tab.wait_for("document.getElementById('payload/image').value.length > 10")
    tab.fill("[name='payload/width']", "16")

    tab.follow("form.run button.primary")
    tab.wait_for_text("completed", "h1")

    data = tab.wait_for("document.querySelector('section[aria-labelledby=result] img')?.src")
    assert Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))).size == (16, 8)
    assert tab.evaluate("document.querySelector('section[aria-labelledby=result] img').naturalWidth") == 16


def test_what_the_schema_refuses_stands_beside_its_field(stack: str, tab: Tab):
    tab.go(f"{stack}/types/simulation.run/run")
    tab.fill("[name='payload/steps']", "0")

    tab.follow("form.run button.primary")
    tab.troubles.clear()  # the browser logs the answer 422 of a page as an error

    assert "Not submitted" in tab.text()
    assert tab.evaluate("document.getElementById('payload/steps').getAttribute('aria-invalid')") == "true"
    assert tab.evaluate("document.getElementById('payload/steps').value") == "0"


def test_a_running_job_is_watched_and_cancelled(stack: str, api: httpx2.Client, tab: Tab):
    job_id = simulate(api, steps=2000, step_seconds=0.05)
    tab.go(f"{stack}/jobs/{job_id}")
    tab.wait_for_text("in progress", "h1")
    first = tab.wait_for("document.querySelector('.big progress')?.value")

    tab.wait_for(f"document.querySelector('.big progress').value > {first}")
    tab.follow("button.danger")
    assert "1 job that runs is asked to stop" in tab.text()
    tab.fill("#why", "enough")
    tab.follow("form.run button.primary")
    tab.wait_for_text("cancelled", "h1")

    assert "by monitor: enough" in tab.text()


def test_a_failed_job_is_found_and_revived(stack: str, api: httpx2.Client, tab: Tab):
    job_id = simulate(api, steps=3, step_seconds=0, fail_attempts=1)
    wait_for_state(api, job_id, "failed")
    tab.go(stack)
    tab.follow(f"a[href='/jobs/{job_id}']")
    assert "simulated_failure" in tab.text()

    tab.follow("button[value=revive]")
    tab.follow("form.run button.primary")

    tab.wait_for_text("round 2")


def test_jobs_are_filtered_and_selected(stack: str, api: httpx2.Client, tab: Tab):
    waiting = [
        api.post("/v1/jobs", json={"job_type": "simulation.run", "payload": {}, "delay": 600, "tags": ["mine"]}).json()[
            "id"
        ]
        for _ in range(3)
    ]
    tab.go(f"{stack}/jobs?tag=mine")
    tab.wait_for("!document.querySelector('[data-all]').hidden")

    tab.click("[data-all] input")
    tab.follow("button[value=cancel]")
    assert "3 jobs that wait are cancelled at once" in tab.text()
    tab.follow("form.run button.primary")

    assert "3 jobs: cancelled" in tab.text()
    assert all(api.get(f"/v1/jobs/{job_id}").json()["state"] == "cancelled" for job_id in waiting)


def test_rows_hold_still_while_somebody_selects(stack: str, api: httpx2.Client, tab: Tab):
    first = api.post("/v1/jobs", json={"job_type": "simulation.run", "payload": {}, "delay": 600, "tags": ["hold"]})
    tab.go(f"{stack}/jobs?tag=hold")
    rows = "document.querySelectorAll('tbody tr').length"
    tab.wait_for(f"{rows} == 1")
    tab.click("tbody input[type=checkbox]")
    tab.move(5, 5)

    api.post("/v1/jobs", json={"job_type": "simulation.run", "payload": {}, "delay": 600, "tags": ["hold"]})
    tab.wait_for_text("1 new", "[data-held]")

    assert tab.evaluate(rows) == 1
    assert tab.evaluate("document.querySelector('tbody input').checked") is True
    assert tab.evaluate("document.querySelector('tbody input').value") == first.json()["id"]
    tab.click("[data-show]")
    tab.move(5, 5)
    tab.wait_for(f"{rows} == 2")


def test_a_list_is_live_until_somebody_pauses_it(stack: str, api: httpx2.Client, tab: Tab):
    rows = "document.querySelectorAll('tbody a.id').length"
    tab.go(f"{stack}/jobs?tag=live")
    tab.move(5, 5)
    api.post("/v1/jobs", json={"job_type": "simulation.run", "payload": {}, "delay": 600, "tags": ["live"]})
    tab.wait_for(f"{rows} == 1")

    tab.click("[data-pause]")
    tab.move(5, 5)
    tab.wait_for_text("Paused", "[data-status]")
    api.post("/v1/jobs", json={"job_type": "simulation.run", "payload": {}, "delay": 600, "tags": ["live"]})
    assert tab.evaluate(rows) == 1

    tab.click("[data-pause]")
    tab.move(5, 5)
    tab.wait_for(f"{rows} == 2")


def test_a_type_is_paused_and_resumed(stack: str, api: httpx2.Client, tab: Tab):
    tab.go(f"{stack}/types/simulation.run_blocking")

    tab.follow("form[action$=pause] button")
    tab.follow("form.run button.primary")
    assert "paused" in tab.text("h1")
    tab.follow("form[action$=resume] button")

    assert "paused" not in tab.text("h1")


def test_the_pages_work_without_scripts(stack: str, api: httpx2.Client, tab: Tab):
    job_id = simulate(api, steps=1, step_seconds=0)
    wait_for_state(api, job_id, "completed")
    tab.without_scripts()

    for path, words in (
        ("/", "Ended jobs"),
        ("/jobs?state=completed", "simulation.run"),
        (f"/jobs/{job_id}", "Timeline"),
    ):
        tab.go(stack + path)
        assert words in tab.text()
        assert tab.evaluate("document.querySelector('[data-status]').hidden") is True


def test_every_control_can_be_reached_and_seen_with_the_keyboard(stack: str, tab: Tab):
    tab.go(f"{stack}/jobs")
    reached = []
    for _ in range(14):
        tab.press("Tab")
        reached.append(tab.evaluate("document.activeElement.textContent.trim() || document.activeElement.name"))

    assert reached[0] == "Skip to the content"
    assert reached[1:8] == ["EMP", "Overview", "Jobs", "Job types", "Workers", "System", "API"]
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_window(stack: str, api: httpx2.Client, tab: Tab, width: int):
    job_id = simulate(api, steps=1, step_seconds=0)
    wait_for_state(api, job_id, "completed")
    worker_id = api.get("/v1/workers").json()["workers"][0]["id"]
    paths = (
        "/",
        "/jobs",
        f"/jobs/{job_id}",
        "/types",
        "/types/image.thumbnail",
        "/types/image.thumbnail/run",
        "/workers",
    )
    tab.look(width=width)

    for path in (*paths, f"/workers/{worker_id}", "/system", "/login", "/docs"):
        tab.go(stack + path)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width, path


def test_hostile_text_opens_no_dialog_and_breaks_no_policy(stack: str, api: httpx2.Client, tab: Tab):
    tag = "<script>alert(1)</script>"
    body = {"job_type": "simulation.run", "payload": {}, "delay": 600, "tags": [tag]}
    job_id = api.post("/v1/jobs", json=body).json()["id"]
    api.post(f"/v1/jobs/{job_id}/cancel", json={"why": "<img src=x onerror=alert(2)>"})

    for path in ("/jobs?state=cancelled", f"/jobs/{job_id}", f"/jobs?{httpx2.QueryParams({'tag': tag})}"):
        tab.go(stack + path)
        assert tag in tab.text()


def test_an_open_page_outlives_a_restart_of_the_server(settings: ServerSettings, known_types: None, tab: Tab):
    first = RunningServer(settings)
    first.start()
    tab.go(f"{first.url}/jobs")
    tab.wait_for_text("Live", "[data-status]")
    first.stop()
    tab.wait_for_text("No connection", "[data-status]")

    second = RunningServer(settings, first.port)
    second.start()
    try:
        body = {"job_type": "any.thing", "payload": 1}
        job_id = httpx2.post(f"{second.url}/v1/jobs", json=body, trust_env=False).json()["id"]
        tab.wait_for(f"document.querySelector('a[href=\"/jobs/{job_id}\"]') !== null")
        tab.wait_for_text("Live", "[data-status]")
    finally:
        second.stop()
    tab.troubles.clear()  # the browser logs what it could not reach
