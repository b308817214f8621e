"""Run the commands that an operator has listed: `script.run`."""

from __future__ import annotations

from contextlib import nullcontext

from emp_plugin_script.commands import as_example, read_commands
from emp_plugin_script.script import Script, ScriptResult, payload_of, perform
from emp_worker import JobType, hookimpl

__all__ = ["Script", "ScriptResult", "emp_job_types"]


@hookimpl
def emp_job_types() -> list[JobType]:
    """Declare script.run for the commands that are listed when the worker starts."""
    commands = read_commands()
    examples = [shown for name, command in commands.items() if (shown := as_example(name, command)) is not None]
    return [
        JobType(
            "script.run",
            perform,
            payload=payload_of(commands),
            title="Script",
            examples=examples or [{"command": "backup", "arguments": {"folder": "photos"}}] * (not commands),
            concurrency=16,
            lifespan=lambda: nullcontext(commands),
        )
    ]
