"""An answer as a service sent it, and after which one another attempt makes sense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

RETRIED: Final = frozenset({429, 500, 502, 503, 504})
"""Status codes after which another attempt may fare better."""
LONGEST_RETRY_AFTER: Final = 3600.0
"""Seconds that a service may ask a job to wait."""


@dataclass(frozen=True, slots=True)
class Received:
    """An answer as it came; names of header fields are in small letters."""

    status: int
    url: str
    redirects: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def retry_after(self) -> float | None:
        """The seconds to wait that the service names, an hour at most; None if it names none that can be read.

        RFC 9110, section 10.2.3. A service must not let a job sleep for as long as it likes.
        """
        text = self.headers.get("retry-after", "").strip()
        if text.isascii() and text.isdigit():
            return min(float(text[:12]), LONGEST_RETRY_AFTER)
        try:
            moment = parsedate_to_datetime(text)
        except (TypeError, ValueError):
            return None
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return min(max(0.0, (moment - datetime.now(UTC)).total_seconds()), LONGEST_RETRY_AFTER)
