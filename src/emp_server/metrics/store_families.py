"""Write what the store counts as metrics: the same ones, whichever server is asked.

Names and units follow the conventions of Prometheus: base units, `_total` for what only grows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from emp_core.jobs import FINAL_STATES, JobState, Reason
from emp_core.store import Durations, Measured
from emp_server.metrics.job_type_label import OTHER, JobTypeLabel

STATUSES: Final = ("idle", "busy", "draining", "lost")
SMALLEST_BUCKET: Final = 2
LARGEST_BUCKET: Final = 26
"""The buckets of durations that are told apart: up to 4 ms, and twice as much each, up to 2^26 ms, 18.6 hours."""
_BOUNDS: Final = tuple(range(SMALLEST_BUCKET, LARGEST_BUCKET + 1))

_TOTALS: Final = (
    ("submitted", "emp_jobs_submitted", "Jobs submitted."),
    ("completed", "emp_jobs_completed", "Jobs completed."),
    ("cancelled", "emp_jobs_cancelled", "Jobs cancelled."),
    ("revived", "emp_jobs_revived", "Jobs that a person let run again after their end."),
    ("retried", "emp_job_retries", "Attempts that failed and are followed by another."),
    ("lost", "emp_job_losses", "Attempts that lost their worker."),
    ("refused", "emp_job_stale_writes_refused", "Writes refused because the worker held the job no longer."),
)
_DURATIONS: Final = (
    ("wait", "emp_job_wait_seconds", "How long jobs waited until a worker claimed them, from when they were due."),
    ("run", "emp_job_run_seconds", "How long the last attempts of ended jobs ran."),
)


class StoreCollector(Collector):
    """Gives the metrics of one measurement; of a store that is away, only that it is.

    Args:
        measured: what the store counts; None if it does not answer.
        job_type_limit: so many job types have series of their own.
    """

    def __init__(self, measured: Measured | None, job_type_limit: int) -> None:
        self._measured = measured
        self._job_type_limit = job_type_limit

    def collect(self) -> Iterator[Metric]:
        """Give the metrics."""
        up = 0 if self._measured is None else 1
        yield GaugeMetricFamily("emp_store_up", "Whether the store answers: 1, or 0 if it does not.", value=up)
        if self._measured is not None:
            label = JobTypeLabel(self._measured.counts, self._job_type_limit)
            yield from _store(self._measured)
            yield from _jobs(self._measured, label)
            yield from _totals(self._measured, label)
            yield from _durations(self._measured, label)
            yield from _workers(self._measured, label)


def _store(measured: Measured) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "emp_store_round_trip_seconds",
        "How long it took to read this from the store.",
        value=measured.round_trip.total_seconds(),
    )
    yield GaugeMetricFamily(
        "emp_store_memory_used_bytes", "Memory that the store uses; 0: it does not say.", value=measured.memory_used
    )
    yield GaugeMetricFamily(
        "emp_store_memory_limit_bytes", "Memory that the store may use; 0: no limit.", value=measured.memory_limit
    )
    yield GaugeMetricFamily(
        "emp_store_evicts",
        "Whether the store discards jobs when its memory is full: 1, or 0 if it does not.",
        value=int(measured.evicts),
    )
    born = GaugeMetricFamily(
        "emp_store_born_timestamp_seconds",
        "When the store was first used, in Unix time; it changes when the store came back empty.",
    )
    if measured.born is not None:
        born.add_metric((), measured.born.timestamp())
    yield born
    yield CounterMetricFamily(
        "emp_jobs_set_aside",
        "Job records that could not be read and were set aside: no worker gets these jobs, see `emp doctor`.",
        value=measured.set_aside,
    )


def _jobs(measured: Measured, label: JobTypeLabel) -> Iterator[Metric]:
    jobs = GaugeMetricFamily(
        "emp_jobs", "Jobs by type and state; ended ones are counted while they are kept.", labels=("job_type", "state")
    )
    for state in JobState:
        in_state = measured.kept if state in FINAL_STATES else measured.counts
        for job_type, number in label.sums({name: of.get(state, 0) for name, of in in_state.items()}).items():
            jobs.add_metric((job_type, state), number)
    yield jobs
    oldest = GaugeMetricFamily(
        "emp_job_oldest_pending_seconds",
        "How long the longest-waiting pending job of a type has waited; 0: none waits.",
        labels=("job_type",),
    )
    ages = dict.fromkeys(label, 0.0)
    for job_type, since in measured.oldest_pending.items():
        name = label[job_type] or OTHER
        ages[name] = max(ages.get(name, 0.0), (measured.at - since).total_seconds())
    _add_all(oldest, ages)
    yield oldest
    paused = GaugeMetricFamily(
        "emp_job_type_paused", "Whether a job type is paused: 1, or 0 if it is not.", labels=("job_type",)
    )
    _add_all(paused, {name: int(name in measured.paused) for name in label if name != OTHER})
    yield paused


def _totals(measured: Measured, label: JobTypeLabel) -> Iterator[Metric]:
    for counter, name, text in _TOTALS:
        family = CounterMetricFamily(name, text, labels=("job_type",))
        _add_all(family, label.sums({job_type: of.get(counter, 0) for job_type, of in measured.counts.items()}))
        yield family
    failed = CounterMetricFamily("emp_jobs_failed", "Jobs failed, by reason.", labels=("job_type", "reason"))
    for reason in Reason:
        numbers = label.sums({job_type: of.get(reason, 0) for job_type, of in measured.failures.items()})
        for job_type, number in numbers.items():
            failed.add_metric((job_type, reason), number)
    yield failed


def _durations(measured: Measured, label: JobTypeLabel) -> Iterator[Metric]:
    for what, name, text in _DURATIONS:
        family = HistogramMetricFamily(name, text, labels=("job_type",))
        of_types = measured.durations.get(what, {})
        seconds = label.sums({job_type: each.total.total_seconds() for job_type, each in of_types.items()})
        below = [label.sums(_up_to(bound, of_types)) for bound in _BOUNDS]
        in_all = label.sums({job_type: sum(each.buckets.values()) for job_type, each in of_types.items()})
        for job_type in label:
            buckets = [(repr(2**bound / 1000), of[job_type]) for bound, of in zip(_BOUNDS, below, strict=True)]
            family.add_metric((job_type,), [*buckets, ("+Inf", in_all[job_type])], seconds[job_type])
        yield family


def _up_to(bound: int, of_types: Mapping[str, Durations]) -> dict[str, float]:
    """Count the durations below 2^bound milliseconds, by job type."""
    return {
        job_type: sum(number for bucket, number in each.buckets.items() if bucket <= bound)
        for job_type, each in of_types.items()
    }


def _workers(measured: Measured, label: JobTypeLabel) -> Iterator[Metric]:
    by_status = Counter(worker.status for worker in measured.workers)
    workers = GaugeMetricFamily(
        "emp_workers", "Workers by status; `unseen` are those beyond a thousand.", labels=("status",)
    )
    _add_all(workers, {status: by_status[status] for status in STATUSES} | {"unseen": measured.workers_beyond})
    yield workers
    alive = [worker for worker in measured.workers if worker.status != "lost"]
    yield _gauge("emp_worker_slots", "Room for running jobs in all workers.", sum(worker.slots for worker in alive))
    yield _gauge("emp_worker_slots_in_use", "Jobs that workers hold.", sum(worker.held for worker in measured.workers))
    yield _gauge(
        "emp_worker_event_loop_lag_seconds",
        "How late the event loop of the latest worker is.",
        max((worker.loop_lag.total_seconds() for worker in alive), default=0),
    )
    yield _gauge(
        "emp_worker_renewal_age_seconds",
        "How long ago the worker that is silent for the longest renewed its lease.",
        max((worker.renewed_ago.total_seconds() for worker in measured.workers), default=0),
    )
    serving = GaugeMetricFamily(
        "emp_job_type_workers", "Workers that take jobs of a type; not told for OTHER.", labels=("job_type",)
    )
    takes = Counter(name for worker in alive if worker.status != "draining" for name in worker.types)
    _add_all(serving, {name: takes[name] for name in label if name != OTHER})
    yield serving


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _add_all(family: GaugeMetricFamily | CounterMetricFamily, by_label: Mapping[str, float]) -> None:
    for value, number in by_label.items():
        family.add_metric((value,), number)
