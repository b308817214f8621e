"""Notice when the code of EMP or of a plugin changes under a running development stack."""

from __future__ import annotations

import site
import sysconfig
import time
from collections.abc import Iterator
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_TICK: Final = 0.25
_OURS: Final = ("emp_core", "emp_server", "emp_worker")
_NOT_PYTHON: Final = (".lua", ".html", ".css", ".js")


def code_places() -> list[Path]:
    """Find the folders and files of the code that is under development: what is not installed into site-packages.

    Plugins are found by their entry points' metadata; none is imported.
    """
    plugins = (point.module.partition(".")[0] for point in entry_points(group="emp_worker"))
    installed = [Path(folder).resolve() for folder in (*site.getsitepackages(), sysconfig.get_path("purelib"))]
    places = set()
    for name in {*_OURS, *plugins}:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            place = Path(spec.origin).resolve()
            places.add(place.parent if spec.submodule_search_locations else place)
    return sorted(place for place in places if not any(place.is_relative_to(folder) for folder in installed))


def ticks(places: list[Path]) -> Iterator[bool]:
    """Tell four times a second, without end, whether code in these places has changed."""
    if not places:
        while True:
            time.sleep(_TICK)
            yield False
    # It comes with the server's extra, and only reload needs it.
    from watchfiles import PythonFilter, watch

    only_code = PythonFilter(extra_extensions=_NOT_PYTHON)
    for changes in watch(*places, watch_filter=only_code, rust_timeout=int(_TICK * 1000), yield_on_timeout=True):
        yield bool(changes)
