"""A submission takes each option from the client, else from the job type, else from EMP."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from emp_core.errors import InvalidRequest, TooLarge
from emp_core.jobs import MAX_ATTEMPTS_DEFAULT, Backoff, OnWorkerLost
from emp_server.envelope import BackoffOption, Options
from emp_server.options import make_submission

from .conftest import ANYTHING

FULL = replace(
    ANYTHING,
    options={
        "max_attempts": 7,
        "timeout": 1.5,
        "progress_timeout": 2,
        "expires_in": 3,
        "retention": 4,
        "on_worker_lost": "fail",
        "payload_limit": 10,
        "backoff": {"base": 1, "factor": 3, "cap": 9, "jitter": 0.5},
    },
)


def make(options, known=ANYTHING, payload=b"1"):
    return make_submission(known, payload, options, None, limit_bytes=100)


def test_without_options_emp_s_defaults_hold():
    job = make(Options())

    assert (job.priority, job.max_attempts, job.backoff, job.timeout) == (0, MAX_ATTEMPTS_DEFAULT, None, None)
    assert job.schema_digest == ANYTHING.digest
    assert job.on_worker_lost is OnWorkerLost.RETRY


def test_the_job_type_s_options_come_before_emp_s():
    job = make(Options(), FULL)

    assert (job.max_attempts, job.timeout, job.progress_timeout) == (7, timedelta(seconds=1.5), timedelta(seconds=2))
    assert (job.expires_in, job.retention) == (timedelta(seconds=3), timedelta(seconds=4))
    assert job.backoff == Backoff(timedelta(seconds=1), 3, timedelta(seconds=9), 0.5)
    assert job.on_worker_lost is OnWorkerLost.FAIL


def test_a_choice_that_a_later_release_announces_is_read_as_the_default():
    later = replace(ANYTHING, options={"on_worker_lost": "ask"})

    assert make(Options(), later).on_worker_lost is OnWorkerLost.RETRY


def test_the_client_s_options_come_before_the_job_type_s():
    options = Options(
        max_attempts=2,
        timeout="PT1M",
        retention=0,
        backoff=BackoffOption(factor=1.5),
        priority=-5,
        on_worker_lost=OnWorkerLost.RETRY,
    )

    job = make(options, FULL)

    assert (job.max_attempts, job.timeout, job.retention) == (2, timedelta(minutes=1), timedelta(0))
    assert job.backoff == Backoff(timedelta(seconds=1), 1.5, timedelta(seconds=9), 0.5)
    assert job.priority == -5
    assert job.on_worker_lost is OnWorkerLost.RETRY


def test_the_submission_s_expiry_wins_over_the_type_s_and_that_over_the_server_s():
    server, at = timedelta(seconds=60), datetime(2027, 1, 15, 8, tzinfo=UTC)

    def expiry(options, known):
        job = make_submission(known, b"1", options, None, limit_bytes=100, default_expires_in=server)
        return job.expires_in, job.expires_at

    assert expiry(Options(), ANYTHING) == (server, None)
    assert expiry(Options(), FULL) == (timedelta(seconds=3), None)
    assert expiry(Options(expires_in=9), FULL) == (timedelta(seconds=9), None)
    assert expiry(Options(expires_at="2027-01-15T08:00:00Z"), FULL) == (None, at)


@pytest.mark.parametrize(
    ("given", "seconds"), [(5, 5), (0.25, 0.25), ("7", 7), ("PT1H30M", 5400), ("P1D", 86400), ("PT0.5S", 0.5)]
)
def test_a_duration_is_in_seconds_or_iso_8601(given, seconds):
    assert make(Options(delay=given)).delay == timedelta(seconds=seconds)


@pytest.mark.parametrize("given", [1_800_000_000, 1.8e9, "2027-01-15T08:00:00Z", "2027-01-15T09:00:00+01:00"])
def test_a_time_is_in_unix_seconds_or_iso_8601(given):
    job = make(Options(run_at=given))

    assert job.run_at == datetime(2027, 1, 15, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        (Options(run_at=1, delay=1), "/delay"),
        (Options(run_at="2027-01-15T08:00:00"), "/run_at"),
        (Options(run_at="soon"), "/run_at"),
        (Options(run_at=1e300), "/run_at"),
        (Options(run_at="9999-01-01T00:00:00Z"), "/run_at"),
        (Options(delay=-1), "/delay"),
        (Options(delay="1h"), "/delay"),
        (Options(delay=1e300), "/delay"),
        (Options(delay=367 * 86400), "/delay"),
        (Options(timeout=0), "/timeout"),
        (Options(timeout=-1), "/timeout"),
        (Options(timeout=0.0001), "/timeout"),
        (Options(progress_timeout=0), "/progress_timeout"),
        (Options(expires_in=0), "/expires_in"),
        (Options(expires_in=5, expires_at=1), "/expires_at"),
        (Options(expires_at="2027-01-15T08:00:00"), "/expires_at"),
        (Options(expires_at="soon"), "/expires_at"),
        (Options(expires_at=1e300), "/expires_at"),
        (Options(run_at="2027-01-15T08:00:00Z", expires_at="2027-01-15T08:00:00Z"), "/expires_at"),
        (Options(delay=86_400, expires_at=1_800_000), "/expires_at"),
        (Options(retention=-1), "/retention"),
        (Options(backoff=BackoffOption(base=-1)), "/backoff/base"),
        (Options(backoff=BackoffOption(cap="x")), "/backoff/cap"),
        (Options(tags=("ok", "a\nb")), "/tags/1"),
        (Options(tags=("\u202e",)), "/tags/0"),
    ],
)
def test_an_option_out_of_its_range_is_refused_with_a_pointer(options, pointer):
    with pytest.raises(InvalidRequest) as refused:
        make(options)

    assert refused.value.pointer == pointer


def test_a_tag_that_comes_twice_is_kept_once():
    assert make(Options(tags=("b", "a", "b"))).tags == ("b", "a")


@pytest.mark.parametrize(("known", "limit"), [(ANYTHING, 100), (FULL, 10)])
def test_a_payload_at_its_limit_passes_and_one_byte_more_does_not(known, limit):
    make(Options(), known, b"1" * limit)

    with pytest.raises(TooLarge) as refused:
        make(Options(), known, b"1" * (limit + 1))

    assert refused.value.limit == limit
