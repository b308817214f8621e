"""`emp worker`: its options."""

from __future__ import annotations

from emp_worker.cli import worker
from emp_worker.settings import WorkerSettings

BY_VARIABLE_ONLY = {
    "plugins",
    "plugins_disabled",
    "plugins_prefer",
    "plugins_import_limit",
    "log_format",
    "log_level",
    "redis_url_file",
    "tracing",
}
"""Settings that several commands share."""


def test_every_setting_of_how_a_worker_runs_has_an_option() -> None:
    """The others are the same for all commands of a deployment."""
    options = {option.name for option in worker.params}

    assert options == set(WorkerSettings.model_fields) - BY_VARIABLE_ONLY
