"""When the client sends a request again, and how long it waits before."""

from __future__ import annotations

import httpx2
import pytest

from emp_core.client.retrying import LONGEST_PAUSE, Repeats, never_sent, pause_before, retry_after


def a_refusal(status: int, **headers: str) -> httpx2.HTTPStatusError:
    request = httpx2.Request("GET", "http://127.0.0.1")
    return httpx2.HTTPStatusError(
        "", request=request, response=httpx2.Response(status, headers=headers, request=request)
    )


@pytest.mark.parametrize(
    ("repeat", "shortest", "longest"), [(0, 0.05, 0.1), (1, 0.1, 0.2), (3, 0.4, 0.8), (99, 2.5, 5.0)]
)
def test_pauses_double_and_are_drawn_from_their_upper_half(repeat, shortest, longest):
    assert pause_before(repeat, left=100, unit=0.0) == pytest.approx(shortest)
    assert pause_before(repeat, left=100, unit=1.0) == pytest.approx(longest)


def test_a_pause_is_as_long_as_the_server_asks():
    assert pause_before(0, left=100, unit=0.5, retry_after=3) == 3


def test_there_is_no_pause_that_patience_does_not_cover():
    assert pause_before(0, left=1, unit=0.5, retry_after=3) is None


@pytest.mark.parametrize(
    ("refusal", "seconds"),
    [
        (a_refusal(503, **{"retry-after": "2"}), 2.0),
        (a_refusal(503, **{"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}), LONGEST_PAUSE),
        (a_refusal(503), None),
        (a_refusal(429, **{"retry-after": "2"}), None),
        (a_refusal(507, **{"retry-after": "2"}), None),
    ],
)
def test_only_a_503_with_retry_after_invites_a_repetition(refusal, seconds):
    assert retry_after(refusal.response) == seconds


@pytest.mark.parametrize(
    ("error", "sure"),
    [
        (httpx2.ConnectError(""), True),
        (httpx2.ConnectTimeout(""), True),
        (httpx2.ReadError(""), False),
        (httpx2.ReadTimeout(""), False),
        (httpx2.RemoteProtocolError(""), False),
        (httpx2.WriteError(""), False),
    ],
)
def test_a_request_was_surely_not_sent_only_without_a_connection(error, sure):
    assert never_sent(error) is sure


def test_what_must_not_be_done_twice_is_repeated_only_if_it_was_never_sent():
    repeats = Repeats(10.0)

    assert repeats.pause_after(httpx2.ConnectError(""), repeatable=False) is not None
    assert repeats.pause_after(httpx2.ReadError(""), repeatable=False) is None
    assert repeats.pause_after(a_refusal(503, **{"retry-after": "1"}), repeatable=False) is None


def test_a_success_makes_the_next_failure_the_first_again():
    repeats = Repeats(100.0)
    for _ in range(8):
        late = repeats.pause_after(httpx2.ReadError(""), repeatable=True)

    repeats.succeeded()

    assert late > 1
    assert repeats.pause_after(httpx2.ReadError(""), repeatable=True) <= 0.1
