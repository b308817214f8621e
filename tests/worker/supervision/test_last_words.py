"""The stacks of a stuck or crashed process name the handler that is to blame."""

from __future__ import annotations

from emp_worker.last_words import LastWords

STUCK = """
Timeout (0:00:06)!
Thread 0x00007f1 (most recent call first):
  File "/usr/lib/python3.11/selectors.py", line 468 in select
  File "/x/emp_worker/heartbeat.py", line 90 in _in_thread

Thread 0x00007f2 (most recent call first):
  File "/usr/lib/python3.11/re/__init__.py", line 166 in match
  File "/x/plugin/words.py", line 12 in count
  File "/x/emp_worker/isolation/async_.py", line 30 in run
  File "/x/emp_worker/isolation/__init__.py", line 60 in run
  File "/usr/lib/python3.11/asyncio/runners.py", line 118 in run
"""

CRASHED = """
Fatal Python error: Segmentation fault

Thread 0x00007f1 (most recent call first):
  File "/x/plugin/other.py", line 3 in wait
  File "/x/emp_worker/isolation/thread.py", line 80 in _perform

Current thread 0x00007f2 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "/x/plugin/words.py", line 12 in count
  File "/x/emp_worker/isolation/async_.py", line 30 in run
"""


def read(text: str) -> LastWords:
    """Take a text line by line."""
    words = LastWords()
    for line in text.strip().splitlines():
        words.take(line)
    return words


def test_the_handler_is_named_and_emps_own_threads_are_not() -> None:
    """Innermost frame first, down to where EMP called the handler."""
    assert read(STUCK).culprit() == "re/__init__.py:166 match < plugin/words.py:12 count"


def test_after_a_crash_only_the_thread_that_crashed_counts() -> None:
    """Its neighbours were doing no harm."""
    words = read(CRASHED)

    assert words.culprit() == "ctypes/__init__.py:519 string_at < plugin/words.py:12 count"
    assert words.fatal == "Segmentation fault"


def test_silence_is_told_apart_from_a_crash() -> None:
    """Only the first line of the stacks of a silent process says so."""
    words = LastWords()

    assert [words.take(line) for line in STUCK.strip().splitlines()][:3] == [True, False, False]
    assert not any(LastWords().take(line) for line in CRASHED.splitlines())
    assert words.fatal is None


def test_older_stacks_are_replaced() -> None:
    """Who was silent before and went on is not blamed for what happens later."""
    words = read(STUCK + "Timeout (0:00:06)!")

    assert words.culprit() == ""
