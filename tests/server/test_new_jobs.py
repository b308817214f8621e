"""The answer to a submission: what a template gives is what is written out in full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from emp_core.ids import new_job_id
from emp_core.jobs import JobState, Submission
from emp_core.store import Submitted, SubmitWord
from emp_server.answers import details_json
from emp_server.new_jobs import new_job, new_job_json

NOW = datetime(2026, 11, 28, 6, 0, 0, 123_000, tzinfo=UTC)


def stored(submission: Submission, word: SubmitWord = SubmitWord.OK, **fields: JobState) -> Submitted:
    """Give what the store says of a submission."""
    return Submitted(word, submission.job_id, fields.get("state", JobState.PENDING), NOW)


@pytest.mark.parametrize(
    "tags", [(), ("red", "blue"), ('"created_at":"1970-01-01T00:00:00Z"', "ä", "\\"), ("%b", "{0}")]
)
@pytest.mark.parametrize("warnings", [(), ("no_worker",)])
def test_a_pending_job_reads_as_if_it_were_written_in_full(tags: tuple[str, ...], warnings: tuple[str, ...]) -> None:
    """Whatever its tags hold, and for the second of its kind too."""
    for _ in range(2):
        submission = Submission(new_job_id(), "a.type", b"{}", priority=-7, max_attempts=5, tags=tags)
        details = new_job(submission, stored(submission))
        assert details is not None

        assert new_job_json(submission, stored(submission), warnings) == details_json(details, warnings)


def test_a_job_with_times_of_its_own_has_them_in_its_answer() -> None:
    """A scheduled one when it is due, one that expires until when."""
    later = Submission(new_job_id(), "a.type", b"{}", delay=timedelta(minutes=1))
    expiring = Submission(new_job_id(), "a.type", b"{}", expires_in=timedelta(minutes=2))

    scheduled = msgspec.json.decode(new_job_json(later, stored(later, state=JobState.SCHEDULED), ()) or b"")
    pending = msgspec.json.decode(new_job_json(expiring, stored(expiring), ()) or b"")

    assert (scheduled["state"], scheduled["scheduled_at"]) == ("scheduled", "2026-11-28T06:01:00.123000Z")
    assert (pending["state"], pending["expires_at"]) == ("pending", "2026-11-28T06:02:00.123000Z")


def test_a_repeated_submission_has_no_new_job() -> None:
    """The first one is somebody else's tale: it is read."""
    submission = Submission(new_job_id(), "a.type", b"{}")

    assert new_job_json(submission, stored(submission, SubmitWord.REPEAT), ()) is None
