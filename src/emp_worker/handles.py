"""A handle as its handler gives it, and the future of who waits for it. Plugins import this: nothing of the store."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

from emp_core.jobs import HANDLE_LIMIT


def written(value: Any) -> bytes:
    """Write a handle as it is stored; None is written as nothing, which takes away what was.

    Raises:
        TypeError: it has no JSON.
        ValueError: it has none that every reader takes (NaN, a lone surrogate), or more than 4 KiB of it.
    """
    if value is None:
        return b""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > HANDLE_LIMIT:
        raise ValueError(f"a handle may have {HANDLE_LIMIT:,} bytes of JSON, this one has {len(text):,}; keep an id")
    return text


def resolve(stored: Future[None], error: Exception | None = None) -> None:
    """Tell who waits, unless nobody does any more: a handler may have been called off meanwhile."""
    if not stored.done() and stored.set_running_or_notify_cancel():
        if error is None:
            stored.set_result(None)
        else:
            stored.set_exception(error)
