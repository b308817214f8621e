"""Passes itself off as a person at Ctrl-C."""

raise KeyboardInterrupt
