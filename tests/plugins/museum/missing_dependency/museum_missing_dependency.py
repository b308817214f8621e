"""Imports what its metadata requires and nobody has installed."""

import frobnicate_the_missing  # noqa: F401
