"""`/metrics`: what a monitoring system is told, through real jobs on a real store."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest

from emp_core.jobs import Failed, Reason, Retry
from emp_core.store import Reply
from support.exposition import scrape
from support.pages import page, rows
from support.plain_http import asking
from support.serving import ANYTHING, WORDS, register, running, submit
from support.waiting import wait_until_async

pytestmark = pytest.mark.anyio

TYPE = ANYTHING.job_type
GAUGES = {
    "emp_store_up",
    "emp_store_round_trip_seconds",
    "emp_store_memory_used_bytes",
    "emp_store_memory_limit_bytes",
    "emp_store_evicts",
    "emp_store_born_timestamp_seconds",
    "emp_jobs",
    "emp_job_oldest_pending_seconds",
    "emp_job_type_paused",
    "emp_job_type_workers",
    "emp_workers",
    "emp_worker_slots",
    "emp_worker_slots_in_use",
    "emp_worker_event_loop_lag_seconds",
    "emp_worker_renewal_age_seconds",
    "emp_http_requests_in_flight",
    "emp_http_streams",
    "emp_build_info",
}
COUNTERS = {
    "emp_jobs_submitted",
    "emp_jobs_completed",
    "emp_jobs_cancelled",
    "emp_jobs_failed",
    "emp_jobs_revived",
    "emp_jobs_set_aside",
    "emp_job_retries",
    "emp_job_losses",
    "emp_job_stale_writes_refused",
    "emp_http_requests",
    "emp_http_requests_refused",
}
HISTOGRAMS = {
    "emp_job_wait_seconds",
    "emp_job_run_seconds",
    "emp_http_request_duration_seconds",
    "emp_event_loop_lag_seconds",
}


async def test_each_metric_has_its_type_a_text_and_a_name_by_the_conventions(client):
    await submit(client)

    families = {name: each for name, each in (await scrape(client)).families.items() if name.startswith("emp_")}

    assert {name for name, each in families.items() if each.type == "gauge"} == GAUGES
    assert {name for name, each in families.items() if each.type == "counter"} == COUNTERS
    assert {name for name, each in families.items() if each.type == "histogram"} == HISTOGRAMS
    assert set(families) == GAUGES | COUNTERS | HISTOGRAMS
    assert all(re.fullmatch(r"[A-Z].*\.", each.documentation) for each in families.values())
    assert all(name.endswith("_seconds") for name in HISTOGRAMS)
    # A name that ends in a unit has a base unit, and no counter's name says _total twice.
    assert not [name for name in families if re.search(r"_(ms|milliseconds|minutes|mib|kb|percent|count|total)$", name)]


async def test_the_reference_has_each_metric_with_its_type_labels_and_text(client):
    await submit(client)
    said = await scrape(client)

    told = {}
    for row in rows(page("docs/reference/metrics.md")):
        labels = tuple(sorted(re.findall(r"`(\w+)`", row["labels"])))
        told[row["metric"].strip("`").removesuffix("_total")] = (row["type"], labels, row["what"].replace("`", ""))
    for name, family in said.families.items():
        if name.startswith("emp_"):
            kind, labels, text = told.pop(name)
            assert (kind, text) == (family.type, family.documentation.replace("`", ""))
            used = {tuple(sorted(set(sample.labels) - {"le"})) for sample in family.samples}
            assert used <= {labels}
    assert not told


async def test_the_answer_is_in_the_text_format_of_prometheus(client):
    answer = await client.get("/metrics")

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    names = re.findall(r"^# TYPE (\S+)", answer.text, re.MULTILINE)
    assert len(names) == len(set(names))


async def test_the_figures_are_those_of_the_jobs(client, store, worker):
    done = [await submit(client) for _ in range(3)]
    for _ in done:
        await worker.complete(await worker.start(TYPE))
    await submit(client)
    failing = await worker.start(TYPE)
    await store.jobs.fail(worker.worker_id, [Failed(failing.job_id, failing.token, Reason.TIMEOUT, b"{}")])
    called_off = await submit(client)
    assert (await client.post(f"/v1/jobs/{called_off}/cancel")).status_code == 200
    await submit(client)
    retried = await worker.start(TYPE)
    later = timedelta(hours=1)
    await store.jobs.retry(worker.worker_id, [Retry(retried.job_id, retried.token, Reason.ERROR, b"{}", later)])
    await submit(client)
    held = await worker.start(TYPE)
    assert await store.jobs.complete(worker.worker_id, [_stale(held)]) == [Reply.LEASE_LOST]
    await submit(client)

    said = await scrape(client)

    states = {labels[1][1]: value for labels, value in said.samples("emp_jobs").items() if labels[0][1] == TYPE}
    assert states == {
        "pending": 1,
        "scheduled": 1,
        "claimed": 0,
        "in_progress": 1,
        "completed": 3,
        "failed": 1,
        "cancelled": 1,
    }
    assert said.value("emp_jobs_submitted_total", job_type=TYPE) == 8
    assert said.value("emp_jobs_completed_total", job_type=TYPE) == 3
    assert said.value("emp_jobs_cancelled_total", job_type=TYPE) == 1
    assert said.value("emp_jobs_failed_total", job_type=TYPE, reason="timeout") == 1
    assert said.value("emp_jobs_failed_total", job_type=TYPE, reason="error") == 0
    assert said.value("emp_job_retries_total", job_type=TYPE) == 1
    assert said.value("emp_job_stale_writes_refused_total", job_type=TYPE) == 1
    assert said.value("emp_job_wait_seconds_count", job_type=TYPE) == 6
    assert said.value("emp_job_run_seconds_count", job_type=TYPE) == 4
    assert said.value("emp_job_wait_seconds_bucket", job_type=TYPE, le="+Inf") == 6
    assert said.value("emp_workers", status="busy") == 1
    assert (said.value("emp_worker_slots"), said.value("emp_worker_slots_in_use")) == (2, 1)
    assert said.value("emp_job_type_workers", job_type=TYPE) == 1
    assert said.value("emp_job_oldest_pending_seconds", job_type=TYPE) > 0


def _stale(held):
    from emp_core.jobs import Completed  # noqa: PLC0415 - only here

    return Completed(held.job_id, "1-old", b"null")


async def test_the_buckets_of_a_histogram_grow_and_their_bounds_are_seconds(client, worker):
    await submit(client)
    await worker.complete(await worker.start(TYPE))

    buckets = (await scrape(client)).samples("emp_job_wait_seconds_bucket")
    of_type = sorted((float(dict(labels)["le"]), value) for labels, value in buckets.items())

    assert of_type[0][0] == 0.004
    assert of_type[-2][0] == 2**26 / 1000
    values = [value for _, value in of_type]
    assert values == sorted(values)
    assert values[-1] == 1


async def test_two_servers_say_the_same_of_the_jobs(settings, client, worker):
    for _ in range(3):
        await submit(client)
    await worker.complete(await worker.start(TYPE))
    with running(settings) as second:
        async with asking(second.url) as other:
            one, two = await scrape(client), await scrape(other)

    ours = {name for name in one.families if name.startswith(("emp_job", "emp_worker", "emp_store"))}
    moving = {
        "emp_store_round_trip_seconds",
        "emp_job_oldest_pending_seconds",
        "emp_worker_renewal_age_seconds",
        "emp_store_memory_used_bytes",
    }
    assert ours > {"emp_jobs", "emp_jobs_submitted", "emp_job_wait_seconds", "emp_workers"}
    for name in ours - moving:
        assert one.families[name].samples == two.families[name].samples


async def test_no_counter_goes_back_when_jobs_are_revived_or_deleted(client, store, worker):
    await submit(client, retention=0.001)
    await worker.fail(await worker.start(TYPE))
    await submit(client)
    failed = await worker.start(TYPE)
    await worker.fail(failed)
    before = await scrape(client)

    assert (await client.post(f"/v1/jobs/{failed.job_id}/revive")).status_code == 200
    await wait_until_async(lambda: _kept(client, "failed", 0))
    after = await scrape(client)

    for name in COUNTERS:
        for labels, value in before.samples(f"{name}_total").items():
            assert after.samples(f"{name}_total")[labels] >= value
    assert after.value("emp_jobs_revived_total", job_type=TYPE) == 1


async def _kept(client, state, number):
    return (await scrape(client)).value("emp_jobs", job_type=TYPE, state=state) == number


async def test_job_types_beyond_the_limit_count_together(settings, client, store):
    for job_type in (WORDS.job_type, ANYTHING.job_type):
        payload = {"text": "x"} if job_type == WORDS.job_type else None
        await client.post("/v1/jobs", json={"job_type": job_type, "payload": payload})
    await submit(client)

    with running(settings.model_copy(update={"metrics_job_types": 1})) as bounded:
        async with asking(bounded.url) as other:
            said = await scrape(other)

    assert said.samples("emp_jobs_submitted_total") == {
        (("job_type", ANYTHING.job_type),): 2,
        (("job_type", "OTHER"),): 1,
    }
    assert said.value("emp_jobs", job_type="OTHER", state="pending") == 1
    assert said.value("emp_job_oldest_pending_seconds", job_type="OTHER") > 0


async def test_labels_have_no_ids_names_or_addresses(client, store):
    await register(store, name="canary-name", host="canary-host")
    ours = await submit(client, tags=["canary-tag"])
    await client.get(f"/v1/jobs/{ours}")
    await client.get("/v1/jobs/canary-path/result")
    await client.get("/canary-nowhere/at/all")
    await client.request("PROPFIND", "/v1/jobs")
    await client.post("/v1/job-types/canary.type/jobs", json={})

    said = await scrape(client)

    assert "canary" not in said.text.lower()
    assert ours not in said.text
    routes = {dict(labels)["route"] for labels in said.samples("emp_http_requests_total")}
    assert routes >= {"/v1/jobs/{job_id}", "/v1/jobs/{job_id}/result", "/v1/job-types/{job_type}/jobs", "unmatched"}
    assert {dict(labels)["method"] for labels in said.samples("emp_http_requests_total")} == {"GET", "POST", "OTHER"}


async def test_requests_are_counted_by_route_method_and_class_of_status(client):
    await submit(client)
    await client.post("/v1/jobs", json={"job_type": "no.such", "payload": None})
    await client.post(f"/v1/job-types/{TYPE}/jobs", json={})
    await client.get("/ui/style.css")

    said = await scrape(client)

    assert said.value("emp_http_requests_total", route="/v1/jobs", method="POST", status="2xx") == 1
    assert said.value("emp_http_requests_total", route="/v1/jobs", method="POST", status="4xx") == 1
    typed = "/v1/job-types/{job_type}/jobs"
    assert said.value("emp_http_requests_total", route=typed, method="POST", status="2xx") == 1
    assert said.value("emp_http_request_duration_seconds_count", route="/v1/jobs", method="POST") == 2
    assert said.value("emp_http_requests_in_flight") == 1  # this one
    assert said.value("emp_http_streams") == 0


async def test_open_streams_and_refusals_are_told(settings, client, store):
    limited = settings.model_copy(update={"streams_per_client": 1})
    with running(limited) as server:
        async with asking(server.url) as own, own.stream("GET", "/v1/events"):
            assert (await own.get("/v1/events")).status_code == 429

            said = await scrape(own)

    assert said.value("emp_http_streams") == 1
    assert said.value("emp_http_requests_in_flight") == 2
    assert said.value("emp_http_requests_refused_total", problem="too-many-streams") == 1


async def test_a_blocked_event_loop_shows(server, client):
    async def lag_above(seconds):
        said = await scrape(client)
        below = said.value("emp_event_loop_lag_seconds_bucket", le=str(seconds))
        return said.value("emp_event_loop_lag_seconds_count") > below

    await wait_until_async(lambda: _at_least(client, "emp_event_loop_lag_seconds_count", 1))

    server.loop.call_soon_threadsafe(time.sleep, 0.8)

    await wait_until_async(lambda: lag_above(0.25))


async def _at_least(client, name, number):
    return (await scrape(client)).value(name) >= number
