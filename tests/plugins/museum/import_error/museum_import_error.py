"""Fails while it is imported."""

raise ImportError("libexhibit.so is too old")
