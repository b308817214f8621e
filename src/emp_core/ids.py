"""Make and read ids: 26 lower-case Crockford characters that sort by time and name their partition.

A job id is 48 bits of Unix milliseconds, 70 random bits and 10 bits of partition, in the alphabet of
https://www.crockford.com/base32.html. The bits are fresh for every id: an id made by counting up from the last one
would give its neighbours away, and cutting such an id for the partition makes duplicates.
"""

from __future__ import annotations

import os
import re
import time
from functools import lru_cache
from typing import Final, NewType

JobId = NewType("JobId", str)
WorkerId = NewType("WorkerId", str)

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_LETTERS: Final = _ALPHABET.encode() * 8
"""A letter for each byte: five random bits of its eight."""
_HEAD, _TAIL, _PARTITION = 10, 14, 2
"""Characters of time, of chance, and of the partition."""
_TAILS_AT_ONCE: Final = 256
JOB_ID_PATTERN: Final = "^[0-7][0-9a-hjkmnp-tv-z]{25}$"
"""The form of the ids of jobs and workers, as a JSON Schema says it."""
JOB_TYPE_PATTERN: Final = "^[a-z0-9][a-z0-9._-]{0,127}$"
"""The form of the names of job types, as a JSON Schema says it."""
_ID = re.compile(JOB_ID_PATTERN)
_TYPE_NAME = re.compile(JOB_TYPE_PATTERN)

_tails: list[str] = []
"""Random letters for ids to come: asking the system for each would cost more than all the rest of an id."""

# A child must not give its jobs the ids that its parent gives to others.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tails.clear)


def _letters(value: int, count: int) -> str:
    return "".join([_ALPHABET[(value >> shift) & 31] for shift in range(5 * (count - 1), -1, -5)])


@lru_cache(maxsize=4)
def _head(milliseconds: int) -> str:
    return _letters(milliseconds, _HEAD)


@lru_cache(maxsize=4)
def _end(partition: int) -> str:
    return _letters(partition, _PARTITION)


def _chance(count: int) -> str:
    return os.urandom(count).translate(_LETTERS).decode()


def new_job_id(partition: int = 0) -> JobId:
    """Make a job id for a partition (0 to 1023)."""
    try:
        tail = _tails.pop()
    except IndexError:
        letters = _chance(_TAIL * _TAILS_AT_ONCE)
        _tails.extend([letters[at : at + _TAIL] for at in range(_TAIL, len(letters), _TAIL)])
        tail = letters[:_TAIL]
    return JobId(_head(time.time_ns() // 1_000_000) + tail + _end(partition))


def new_worker_id() -> WorkerId:
    """Make an id for one registration of a worker; it has a job id's form."""
    return WorkerId(_head(time.time_ns() // 1_000_000) + _chance(_TAIL + _PARTITION))


def is_job_id(text: str) -> bool:
    """Tell whether a text has the form of an id; ids are lower case only."""
    return _ID.fullmatch(text) is not None


def partition_of(job_id: str) -> str:
    """Give the two characters that name a job's partition in its keys."""
    return job_id[-2:]


def is_job_type_name(text: str) -> bool:
    """Tell whether a text may name a job type: 1 to 128 of `a-z 0-9 . _ -`, beginning with a letter or digit."""
    return _TYPE_NAME.fullmatch(text) is not None
