"""One job: its timeline, payload, result, errors and log."""

from __future__ import annotations

import base64
import io
import json
from datetime import timedelta

import pytest
from PIL import Image

from emp_core.jobs import Reason, Retry
from support.page_reading import Reader
from support.serving import submit

pytestmark = pytest.mark.anyio


async def read(client, job_id: str) -> Reader:
    """Read the page of a job."""
    answer = await client.get(f"/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return Reader(answer.text)


async def test_a_waiting_job_says_what_it_waits_for(client, store):
    await submit(client)
    job_id = await submit(client)

    assert "Nobody serves any.thing now" in (await read(client, job_id)).text


async def test_a_waiting_job_says_its_position(client, worker):
    first, second, third = [await submit(client) for _ in range(3)]

    assert "It is the next of its type" in (await read(client, first)).text
    assert "1 job of its type is before it" in (await read(client, second)).text
    assert "2 jobs of its type are before it" in (await read(client, third)).text


async def test_a_paused_type_is_why_its_job_waits(client, worker):
    await client.post("/v1/job-types/any.thing/pause")

    assert "held back" in (await read(client, await submit(client))).text


async def test_a_running_job_shows_its_progress_and_log(client, worker):
    job_id = await submit(client)
    lines = [b'{"at":1764000000.5,"level":"WARNING","message":"<b>hot</b>","attempt":1}', b"not json", b'{"at":"x"}']
    await worker.report(await worker.start("any.thing"), 0.25, "a quarter", *lines)

    page = await read(client, job_id)

    for words in ("25 %", "a quarter", "Attempt 1 of 3: runs", "WARNING <b>hot</b>", "not json", "3 lines"):
        assert words in page.text


async def test_the_timeline_has_every_attempt_with_its_error(client, worker):
    job_id = await submit(client)
    job = await worker.start("any.thing")
    error = {"kind": "IOError", "message": "no disk", "code": "disk", "traceback": "line 1\nline 2"}
    retry = Retry(job.job_id, job.token, Reason.ERROR, json.dumps(error).encode(), timedelta(0))
    await worker.store.jobs.retry(worker.worker_id, [retry])
    await worker.store.jobs.promote()
    await worker.fail(await worker.start("any.thing"), b'{"kind":"ValueError","message":"bad"}')

    text = (await read(client, job_id)).text

    for words in (
        "Submitted",
        "Attempt 1: retry",
        "IOError disk no disk",
        "line 2",
        "Attempt 2: failed",
        "bad",
        "Failed error",
    ):
        assert words in text
    assert text.index("Attempt 1") < text.index("Attempt 2") < text.index("Failed error")


async def test_a_result_that_is_a_picture_is_shown_as_one(client, worker):
    job_id = await submit(client)
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, "PNG")
    data = base64.b64encode(file.getvalue()).decode()
    await worker.complete(await worker.start("any.thing"), json.dumps({"image": data}).encode())

    page = (await client.get(f"/jobs/{job_id}")).text

    assert f'<img src="data:image/png;base64,{data}"' in page


async def test_a_large_payload_and_result_are_cut_and_linked(client, worker):
    job_id = await submit(client, payload={"text": "x" * 1_500_000})
    await worker.complete(await worker.start("any.thing"), b'"' + b"y" * 5_000_000 + b'"')

    page = await read(client, job_id)

    assert len(page.text) < 20_000
    assert page.text.count("only its beginning is shown") == 2
    assert {f"/v1/jobs/{job_id}/payload", f"/v1/jobs/{job_id}/result"} <= set(page.links)


async def test_what_can_be_done_follows_the_state(client, worker):
    job_id = await submit(client)
    waiting = await read(client, job_id)
    await worker.fail(await worker.start("any.thing"))
    failed = await read(client, job_id)

    assert "Cancel\u2026" in waiting.text
    assert "Revive\u2026" not in waiting.text
    assert "Revive\u2026" in failed.text
    assert "Cancel\u2026" not in failed.text


@pytest.mark.parametrize("job_id", ["nope", "%3Cscript%3E", "01m85efwdh1fztpw75na1j3d00"])
async def test_a_job_that_is_not_there_has_a_page(client, store, job_id):
    answer = await client.get(f"/jobs/{job_id}")

    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "<script>" not in answer.text
