"""What tests of several parts share: waiting, processes, stores. `pythonpath` in pyproject.toml makes it importable."""
