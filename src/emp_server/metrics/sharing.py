"""Let the processes of one `emp server` add up what they count, in files of a folder that lives as long as they do.

These are prometheus_client's, which looks for the folder in a variable of the environment when it is imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Final

from prometheus_client.multiprocess import mark_process_dead

_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


def shared_folder() -> str | None:
    """Give the folder that this process shares with others; None where it counts alone."""
    return os.environ.get(_VARIABLE)


@contextmanager
def sharing() -> Iterator[str]:
    """Make the processes that are spawned while the body runs share what they count; gives the folder."""
    with TemporaryDirectory(prefix="emp-metrics-") as folder:
        os.environ[_VARIABLE] = folder
        try:
            yield folder
        finally:
            del os.environ[_VARIABLE]


def forget_process(pid: int, folder: str) -> None:
    """Take what an ended process had under way out of the sums; what it has counted stays in them."""
    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # it has no types
