"""`script.run`: a payload names one of the operator's commands and gives its arguments."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from emp_plugin_script.commands import MIB, PREFIX, Command, Value
from emp_plugin_script.running import Ended, Line, Tail, run
from emp_worker import JobContext, JobError

_PROGRESS: Final = re.compile(r"EMP_PROGRESS ([01](?:\.[0-9]+)?)(?: (.*))?")
"""A line of standard output that says how far the command is; it is no log line."""
_FROM_WORKER: Final = ("PATH", "LANG", "LC_ALL", "TZ")
_LAST_WORDS: Final = 500


class Script(BaseModel):
    """A command to run, by its name in the operator's list."""

    model_config = ConfigDict(extra="forbid")

    command: str = Field(max_length=64, description="the command's name in the operator's list")
    arguments: dict[str, Value] = Field(
        default_factory=dict, max_length=256, description="its arguments by their names; which there are, the list says"
    )
    stdin: str | None = Field(
        default=None, max_length=4 * MIB, description="a text for its standard input, if the command takes one"
    )


class ScriptResult(BaseModel):
    """How a command ended, and the end of what it wrote."""

    exit_code: int = Field(description="its exit code")
    seconds: float = Field(description="how long it ran, in seconds")
    stdout: str = Field(description="the end of its standard output, as much as the operator lets be kept")
    stderr: str = Field(description="the end of its standard error")
    stdout_bytes: int = Field(description="how many bytes it wrote to standard output")
    stderr_bytes: int = Field(description="how many bytes it wrote to standard error")


def payload_of(names: Iterable[str]) -> type[Script]:
    """Give the payload's model for these commands: the server refuses any other name at its door."""
    known = sorted(names)
    if not known:
        return Script

    def is_known(name: str) -> str:
        if name not in known:
            raise ValueError(f"is none of {', '.join(known)}")
        return name

    field = Field(description="the command's name in the operator's list", json_schema_extra={"enum": [*known]})
    return create_model(
        "Script", __base__=Script, __doc__=Script.__doc__, command=(Annotated[str, AfterValidator(is_known)], field)
    )


async def perform(payload: Script, job: JobContext) -> ScriptResult:
    """Run one of the commands that the operator of the worker has listed."""
    commands: Mapping[str, Command] = job.resources
    command = commands.get(payload.command)
    if command is None:
        told = f"{payload.command!r} is no command of this worker; its operator lists them in {PREFIX}COMMANDS"
        raise JobError(told, retryable=False, code="no_such_command", errors={"/command": "is not listed"})
    argv = command.line(payload.arguments)
    if payload.stdin is not None and not command.stdin:
        told = f"{payload.command} takes no standard input"
        raise JobError(told, retryable=False, code="bad_arguments", errors={"/stdin": "is not taken"})
    folder = Path(tempfile.mkdtemp(prefix="emp-script-"))
    try:
        return await _perform(payload, job, command, argv, folder)
    finally:
        # In a thread: a command may have left a million files.
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


async def _perform(payload: Script, job: JobContext, command: Command, argv: list[str], folder: Path) -> ScriptResult:
    def on_output(text: str) -> bool:
        if (found := _PROGRESS.fullmatch(text)) is not None:
            job.progress(float(found[1]), found[2])
            return False
        job.log.info("%s", text)
        return True

    def on_error(text: str) -> bool:
        job.log.warning("%s", text)
        return True

    out = Tail(command.output_limit_bytes, on_output, marker=b"EMP_PROGRESS ")
    err = Tail(command.output_limit_bytes, on_error)
    line = Line(
        argv=argv,
        folder=folder,
        env=_environment(command, job, folder),
        stdin=(payload.stdin or "").encode("utf-8", "replace"),
        memory=(command.memory_limit_mib or 0) * MIB,
    )
    job.progress(None, payload.command)
    try:
        async with asyncio.timeout(command.timeout_seconds):
            ended = await run(line, out, err)
    except TimeoutError:
        told = f"{payload.command} ran longer than {command.timeout_seconds:g} s"
        raise JobError(told, retryable=command.retry, code="timeout") from None
    code = _checked(payload.command, command, ended, err)
    return ScriptResult(
        exit_code=code,
        seconds=round(ended.seconds, 3),
        stdout=out.text(),
        stderr=err.text(),
        stdout_bytes=out.total,
        stderr_bytes=err.total,
    )


def _checked(name: str, command: Command, ended: Ended, err: Tail) -> int:
    """Give the exit code of a command that went well.

    Raises:
        JobError: `not_started`, `killed` or `exit_code`.
    """
    if ended.code is None:
        raise JobError(f"{name} could not be started: {ended.why}", retryable=command.retry, code="not_started")
    if ended.code in command.exit_codes:
        return ended.code
    words = err.text().strip()[-_LAST_WORDS:]
    said = f": {words}" if words else ""
    if ended.code < 0:
        told = f"{name} was killed by {_signal_name(-ended.code)}{said}"
        raise JobError(told, retryable=command.retry, code="killed")
    raise JobError(f"{name} ended with exit code {ended.code}{said}", retryable=command.retry, code="exit_code")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _environment(command: Command, job: JobContext, folder: Path) -> dict[str, str]:
    """Give a command's environment: of the worker's only what is listed, so that no secret of EMP is in it."""
    kept = {name: os.environ[name] for name in (*_FROM_WORKER, *command.pass_env) if name in os.environ}
    own: dict[str, Any] = {
        "HOME": folder,
        "TMPDIR": folder,
        "EMP_JOB_ID": job.job_id,
        "EMP_JOB_ATTEMPT": job.attempt,
        "EMP_JOB_MAX_ATTEMPTS": job.max_attempts,
    }
    return kept | {name: str(value) for name, value in own.items()} | command.env
