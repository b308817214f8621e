"""Import a library without what it would use if it is installed, where EMP does not use that through it."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

_NOT_THERE: Final = None
"""What `sys.modules` holds for a module that is not to be found (Python's import system, section 5.3.1)."""


def import_without(module: str, missing: str) -> None:
    """Import a module as on a machine where a package is missing that it looks for.

    Nothing is done where either is imported already: somebody may use them together. The package can be imported later.
    """
    if module in sys.modules or missing in sys.modules:
        return
    sys.modules[missing] = _NOT_THERE  # type: ignore[assignment] # typeshed knows modules only
    try:
        import_module(module)
    finally:
        del sys.modules[missing]
