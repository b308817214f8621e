"""What a handler can say and ask through its job."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

import pytest

from emp_worker import JobCancelled
from support.attempts import KeptReports, a_context


def test_progress_goes_to_the_reporter():
    kept = KeptReports()

    a_context(kept).progress(0.5, "half")

    assert kept.progresses == [(0.5, "half")]


@pytest.mark.parametrize(("said", "heard"), [(-1, 0.0), (1.5, 1.0), (float("inf"), 1.0), (1, 1.0), (None, None)])
def test_a_fraction_is_brought_between_nothing_and_all(said: float | None, heard: float | None):
    kept = KeptReports()

    a_context(kept).progress(said)

    assert kept.progresses == [(heard, None)]


def test_a_fraction_that_is_no_number_is_refused():
    kept = KeptReports()

    with pytest.raises(ValueError, match="NaN"):
        a_context(kept).progress(float("nan"))

    assert kept.progresses == []


def test_a_progress_message_is_cut_to_256_characters():
    kept = KeptReports()

    a_context(kept).progress(0.5, "ä" * 300)

    assert kept.progresses == [(0.5, "ä" * 256)]


def test_a_progress_message_is_always_text_that_can_be_sent():
    kept = KeptReports()

    a_context(kept).progress(0.5, "a\ud800b")

    assert kept.progresses == [(0.5, "a?b")]


def test_a_log_line_says_when_how_grave_what_and_in_which_attempt():
    kept = KeptReports()

    a_context(kept, attempt=2).log.warning("%d of %d", 1, 2)

    (line,) = kept.lines
    assert datetime.fromisoformat(line.pop("at")).utcoffset() is not None
    assert line == {"level": "warning", "message": "1 of 2", "attempt": 2}


def test_an_exception_is_logged_with_its_traceback():
    kept = KeptReports()

    try:
        raise RuntimeError("out of luck")
    except RuntimeError:
        a_context(kept).log.exception("it failed")

    assert kept.lines[0]["message"].startswith("it failed\nTraceback")
    assert "out of luck" in kept.lines[0]["message"]


class _Unspeakable:
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("arguments", [("%d", "text"), ("%s", _Unspeakable()), (_Unspeakable(),)])
def test_a_line_that_cannot_be_written_costs_the_line_only(arguments: tuple[object, ...]):
    kept = KeptReports()

    a_context(kept).log.info(*arguments)

    assert "cannot be written" in kept.lines[0]["message"]


def test_a_log_line_with_a_lone_surrogate_is_kept():
    kept = KeptReports()

    a_context(kept).log.info("a\ud800b")

    assert kept.lines[0]["message"] == "a?b"


def test_the_log_keeps_1000_lines_and_then_says_that_the_rest_was_dropped():
    kept = KeptReports()
    context = a_context(kept)

    for number in range(1_500):
        context.log.info("line %d", number)

    assert len(kept.lines) == 1_001
    assert kept.lines[999]["message"] == "line 999"
    assert "dropped" in kept.lines[1_000]["message"]


def test_a_log_of_exactly_1000_lines_is_whole():
    kept = KeptReports()
    context = a_context(kept)

    for number in range(1_000):
        context.log.info("line %d", number)

    assert kept.lines[-1]["message"] == "line 999"


def test_the_log_keeps_256_kib_and_then_says_that_the_rest_was_dropped():
    kept = KeptReports()
    context = a_context(kept)

    for _ in range(100):
        context.log.info("x" * 10_000)

    assert len(kept.lines) == 25 + 1
    assert "dropped" in kept.lines[-1]["message"]


def test_one_very_long_line_is_cut_and_the_log_goes_on():
    kept = KeptReports()
    context = a_context(kept)

    context.log.info("x" * 1_000_000)
    context.log.info("next")

    assert len(kept.lines[0]["message"]) == 16 * 1024 + 3
    assert kept.lines[1]["message"] == "next"


def test_threads_that_log_at_once_share_one_limit():
    kept = KeptReports()
    context = a_context(kept)
    log = context.log
    threads = [threading.Thread(target=lambda: [log.info("x") for _ in range(300)]) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(kept.lines) == 1_001


def test_a_jobs_logger_is_not_kept_by_the_logging_module():
    before = set(logging.root.manager.loggerDict)

    a_context().log.info("hello")

    assert set(logging.root.manager.loggerDict) == before


def test_a_job_that_nobody_called_off_goes_on():
    context = a_context()

    context.raise_if_cancelled()

    assert not context.cancelled


def test_a_job_that_was_called_off_stops_where_it_asks():
    context = a_context()

    context.request_cancel()

    assert context.cancelled
    with pytest.raises(JobCancelled):
        context.raise_if_cancelled()


def test_a_job_that_goes_on_elsewhere_says_so_however_often_it_is_told_to_stop():
    context = a_context()

    context.request_cancel(handed_over=True)
    context.request_cancel()

    assert context.handed_over


def test_a_handlers_own_except_exception_does_not_swallow_the_stop():
    assert not issubclass(JobCancelled, Exception)
