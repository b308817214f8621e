"""Make and read ids: 26 lower-case Crockford characters that sort by time and name their partition.

A job id is 48 bits of Unix milliseconds, 70 random bits and 10 bits of partition, in the alphabet of
https://www.crockford.com/base32.html. The bits are fresh for every id: an id made by counting up from the last one
would give its neighbours away, and cutting such an id for the partition makes duplicates.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import NewType

JobId = NewType("JobId", str)
WorkerId = NewType("WorkerId", str)

PARTITION_BITS = 10
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_TYPE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")


def _encode(value: int) -> str:
    """Write 130 bits as 26 characters, ten bits at a time."""
    pairs = _PAIRS
    return "".join([pairs[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def new_job_id(partition: int = 0) -> JobId:
    """Make a job id for a partition (0 to 1023)."""
    milliseconds = time.time_ns() // 1_000_000
    return JobId(_encode((milliseconds << 80) | (secrets.randbits(70) << PARTITION_BITS) | partition))


def new_worker_id() -> WorkerId:
    """Make an id for one registration of a worker; it has a job id's form."""
    return WorkerId(_encode(((time.time_ns() // 1_000_000) << 80) | secrets.randbits(80)))


def is_job_id(text: str) -> bool:
    """Tell whether a text has the form of an id; ids are lower case only."""
    return _ID.fullmatch(text) is not None


def partition_of(job_id: str) -> str:
    """Give the two characters that name a job's partition in its keys."""
    return job_id[-2:]


def is_job_type_name(text: str) -> bool:
    """Tell whether a text may name a job type: 1 to 128 of `a-z 0-9 . _ -`, beginning with a letter or digit."""
    return _TYPE_NAME.fullmatch(text) is not None
