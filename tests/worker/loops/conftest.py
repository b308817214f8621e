"""What the tests of the loops import by name; it lives with what other tests use, too."""

from __future__ import annotations

from support.bench import TYPE, Bench, Nothing, plugins_of

__all__ = ["TYPE", "Bench", "Nothing", "plugins_of"]
