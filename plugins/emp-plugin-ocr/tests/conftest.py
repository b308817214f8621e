"""These tests need the model, which is too heavy for every checkout: `make setup-heavy` installs it."""

from __future__ import annotations

from importlib.util import find_spec

# `make test-all` and `.ci/run` run them where it is installed.
collect_ignore_glob = [] if find_spec("rapidocr_onnxruntime") else ["test_*.py"]
