"""The steps that an attempt goes through in every mode: payload in, hooks around, result out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from pluggy import HookRelay
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError

from emp_core.errors import PayloadFault
from emp_core.finite import holds_null_or_constant, non_finite_pointers, pointer_of, refused_places
from emp_core.jobs import RESULT_LIMIT
from emp_worker.context import JobContext
from emp_worker.failures import JobError, PayloadRefused, ResultRefused, ResultTooLarge
from emp_worker.jobtypes import JobType

Wrapper = AbstractContextManager[Any] | AbstractAsyncContextManager[Any]


def read_payload(job_type: JobType, payload: bytes) -> BaseModel:
    """Build the payload's model: the first and only time that its JSON is parsed.

    Raises:
        PayloadRefused: it does not fit; each place is named.
    """
    try:
        return job_type.payload.model_validate_json(payload)
    except ValidationError as error:
        raise PayloadRefused(f"the payload does not fit {job_type.name}", faults=_faults(error)) from None


def arguments(job_type: JobType, model: BaseModel, context: JobContext) -> tuple[Any, ...]:
    """Give what the handler is called with: the payload, and the job if it takes it."""
    return (model, context) if job_type.takes_job else (model,)


def write_result(job_type: JobType, value: Any) -> bytes:
    """Check what the handler returned against its annotation and write it as JSON.

    Raises:
        ResultRefused: it is something else, or has no JSON, as NaN and Infinity have none; each place is named.
        ResultTooLarge: the JSON is over 16 MiB.
    """
    if isinstance(value, Iterator | Awaitable):
        # Reading it to its end may never end; closing it stops a coroutine's complaint that nobody awaited it.
        if close := getattr(value, "close", None):
            close()
        raise ResultRefused(f"the handler returned a {type(value).__name__}; return the value that it leads to")
    try:
        value = job_type.result.validate_python(value)
        result = job_type.result.dump_json(value, warnings="error")
    except ValidationError as error:
        raise ResultRefused("the result is not what the handler's annotation says", faults=_faults(error)) from None
    except PydanticSerializationError as error:
        raise ResultRefused(f"the result cannot be written as JSON: {error}") from None
    if holds_null_or_constant(result) and (pointers := non_finite_pointers(value, result, job_type.result.core_schema)):
        faults = [
            PayloadFault(pointer, "NaN and Infinity have no JSON; return null, or a string") for pointer in pointers
        ]
        raise ResultRefused(f"the result cannot be written as JSON: {refused_places(pointers)}", faults=faults)
    if len(result) > RESULT_LIMIT:
        raise ResultTooLarge(f"the result has {len(result):,} bytes; at most {RESULT_LIMIT:,} can be kept")
    return result


def wrappers(hooks: HookRelay | None, context: JobContext) -> Sequence[Wrapper]:
    """Ask the plugins for the context managers to put around this call."""
    if hooks is None or not hooks.emp_around_job.get_hookimpls():
        return ()
    made: list[Wrapper] = hooks.emp_around_job(job=context)
    return made


def swallowed() -> JobError:
    """Make the error of an attempt whose own error a wrapper kept to itself: there is no result to go on with."""
    return JobError("an emp_around_job hook of a plugin swallowed what the handler raised; it must let it through")


def caught(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """Call, and give what it returned and what it raised.

    Some exceptions must not pass through a future: StopIteration never arrives, SystemExit would end the loop.
    """
    try:
        return call(), None
    except BaseException as error:  # noqa: BLE001 - whatever a handler raises is its attempt's error
        return None, error


def _faults(error: ValidationError) -> list[PayloadFault]:
    """Name each place of a refusal by its JSON pointer (RFC 6901)."""
    return [
        PayloadFault(pointer_of(fault["loc"]), fault["msg"])
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
