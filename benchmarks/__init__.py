"""Measure EMP beside the systems that users would pick instead: `make bench`, `make bench QUICK=1`."""
