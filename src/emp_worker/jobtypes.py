"""A job type: its name, payload, handler, and the rules that its jobs follow."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import PydanticSerializationError, from_json, to_json
from pydantic_core.core_schema import any_schema

from emp_core.finite import non_finite_pointers, refused_places
from emp_core.ids import is_job_type_name
from emp_core.jobs import (
    LONGEST_DELAY,
    MAX_ATTEMPTS_DEFAULT,
    MAX_ATTEMPTS_LIMIT,
    PAYLOAD_LIMIT,
    Announcement,
    Backoff,
    OnWorkerLost,
)
from emp_worker.failures import InvalidJobType
from emp_worker.signatures import Signature, read_signature

Lifespan = Callable[[], AbstractContextManager[Any] | AbstractAsyncContextManager[Any]]
Seconds = float | timedelta

_FACTOR_LIMIT: Final = 100.0
_MEMORY_LEAST: Final = 64 * 1024 * 1024


class Isolation(StrEnum):
    """Where a handler runs."""

    ASYNC = "async"
    THREAD = "thread"
    PROCESS = "process"


@dataclass(frozen=True, slots=True, init=False, eq=False)
class JobType:
    """A kind of work: `JobType("text.wordcount", count, timeout=30)`.

    The handler is `(payload)` or `(payload, job)`; `async def` runs on the worker's loop, `def` in a thread, and either
    with `isolation="process"` in a child process that can be killed; `memory_limit` (bytes) bounds that.
    The payload's pydantic model and the result's type come from its annotations unless given. Times are seconds or
    timedeltas: `timeout` ends an attempt, `progress_timeout` ends one that shows no sign of life, `expires_in` bounds
    the wait for the first claim, `retention` is how long a final job is kept. With `on_worker_lost="fail"` a job fails
    when the process that performs it dies; else it runs again while attempts are left. `concurrency` is the most
    that run at once in one worker. `lifespan` makes a context manager (sync, entered in a thread, or async), entered
    once per process before the type's first job; its value is `job.resources`.

    Raises:
        InvalidJobType: something does not fit; the message says what to do.
    """

    name: str
    handler: Callable[..., Any]
    payload: type[BaseModel]
    result: TypeAdapter[Any]
    takes_job: bool
    title: str
    description: str
    examples: tuple[Any, ...]
    timeout: timedelta | None
    progress_timeout: timedelta | None
    expires_in: timedelta | None
    max_attempts: int
    backoff: Backoff | None
    on_worker_lost: OnWorkerLost
    isolation: Isolation
    is_async: bool
    concurrency: int | None
    memory_limit: int | None
    payload_limit: int
    retention: timedelta | None
    lifespan: Lifespan | None
    payload_schema: Mapping[str, Any]
    result_schema: Mapping[str, Any] | None
    digest: str

    def __init__(  # noqa: PLR0913 - one argument for each thing that an author may say
        self,
        name: str,
        handler: Callable[..., Any],
        *,
        payload: type[BaseModel] | None = None,
        result: Any = None,
        title: str | None = None,
        description: str | None = None,
        examples: Sequence[Any] = (),
        timeout: Seconds | None = None,
        progress_timeout: Seconds | None = None,
        expires_in: Seconds | None = None,
        max_attempts: int = MAX_ATTEMPTS_DEFAULT,
        backoff: Backoff | None = None,
        on_worker_lost: str = OnWorkerLost.RETRY,
        isolation: str | None = None,
        concurrency: int | None = None,
        memory_limit: int | None = None,
        payload_limit: int = PAYLOAD_LIMIT,
        retention: Seconds | None = None,
        lifespan: Lifespan | None = None,
    ) -> None:
        if not isinstance(name, str) or not is_job_type_name(name):
            raise InvalidJobType(f"{name!r} cannot name a job type; use 1 to 128 of a-z 0-9 . _ -")
        try:
            signature = read_signature(handler, payload=payload, result=result)
            adapter = TypeAdapter(Any if signature.result is inspect.Signature.empty else signature.result)
            schemas = _payload_schema(signature), _result_schema(signature, adapter)
            for which, schema in zip(("payload", "result"), schemas, strict=True):
                _json_value(f"the schema of the {which}", schema)
            fields: dict[str, Any] = {
                "name": name,
                "handler": handler,
                "payload": signature.payload,
                "result": adapter,
                "takes_job": signature.takes_job,
                "title": title or name,
                "description": _first_paragraph(handler) if description is None else description,
                "examples": tuple(_json_value(f"example {n}", example) for n, example in enumerate(examples, start=1)),
                "timeout": _duration("timeout", timeout),
                "progress_timeout": _duration("progress_timeout", progress_timeout),
                "expires_in": _duration("expires_in", expires_in),
                "max_attempts": _count("max_attempts", max_attempts, MAX_ATTEMPTS_LIMIT),
                "backoff": _backoff(backoff),
                "on_worker_lost": _on_worker_lost(on_worker_lost),
                "isolation": _isolation(isolation, signature),
                "is_async": signature.is_async,
                "concurrency": None if concurrency is None else _count("concurrency", concurrency, 10_000),
                "memory_limit": _memory_limit(memory_limit, isolation),
                "payload_limit": _count(
                    "payload_limit", PAYLOAD_LIMIT if payload_limit is None else payload_limit, PAYLOAD_LIMIT
                ),
                "retention": _duration("retention", retention),
                "lifespan": _lifespan(lifespan),
                "payload_schema": schemas[0],
                "result_schema": schemas[1],
                "digest": _digest(*schemas),
            }
        except (ValueError, PydanticUserError, PydanticUndefinedAnnotation, PydanticSerializationError) as error:
            raise InvalidJobType(f"job type {name}: {error}") from error
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def announcement(self, distribution: str, version: str) -> Announcement:
        """Say what the store and the server need to know of this type; times in the options are seconds."""
        options: dict[str, Any] = {
            "timeout": _seconds(self.timeout),
            "progress_timeout": _seconds(self.progress_timeout),
            "expires_in": _seconds(self.expires_in),
            "max_attempts": self.max_attempts,
            "on_worker_lost": self.on_worker_lost if self.on_worker_lost is OnWorkerLost.FAIL else None,
            "retention": _seconds(self.retention),
            "payload_limit": self.payload_limit,
            "isolation": self.isolation.value,
            "concurrency": self.concurrency,
            "memory_limit": self.memory_limit,
        }
        if self.backoff is not None:
            options["backoff"] = {
                "base": _seconds(self.backoff.base),
                "factor": self.backoff.factor,
                "cap": _seconds(self.backoff.cap),
                "jitter": self.backoff.jitter,
            }
        return Announcement(
            job_type=self.name,
            digest=self.digest,
            distribution=distribution,
            version=version,
            title=self.title,
            description=self.description,
            payload_schema=self.payload_schema,
            result_schema=self.result_schema,
            examples=self.examples,
            options={name: value for name, value in options.items() if value is not None},
        )


def _payload_schema(signature: Signature) -> dict[str, Any]:
    return signature.payload.model_json_schema(mode="validation")


def _result_schema(signature: Signature, adapter: TypeAdapter[Any]) -> dict[str, Any] | None:
    if signature.result is inspect.Signature.empty:
        return None
    return adapter.json_schema(mode="serialization")


def _json_value(what: str, value: Any) -> Any:
    """Return a value as JSON has it; refuse NaN and Infinity, a default of a field among them."""
    text = to_json(value)
    if pointers := non_finite_pointers(value, text, any_schema()):
        raise ValueError(
            f"{what} cannot be written as JSON: {refused_places(pointers)}; give a number, None or a string"
        )
    return from_json(text)


def _digest(payload_schema: object, result_schema: object) -> str:
    """Name a pair of schemas: 16 hex digits of the SHA-256 of their JSON with sorted keys."""
    pair = [payload_schema, result_schema]
    text = json.dumps(pair, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _first_paragraph(handler: Callable[..., Any]) -> str:
    # An object that is called, a partial say, has its class's docstring.
    text = inspect.getdoc(handler) if inspect.isroutine(handler) else None
    return (text or "").partition("\n\n")[0].replace("\n", " ")


def _duration(name: str, value: Seconds | None) -> timedelta | None:
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if not isinstance(seconds, int | float) or math.isnan(seconds) or not 0 < seconds <= LONGEST_DELAY.total_seconds():
        raise ValueError(f"{name} is {value!r}; give seconds above 0 and up to {LONGEST_DELAY.days} days")
    return timedelta(seconds=seconds)


def _seconds(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


def _count(name: str, value: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ValueError(f"{name} is {value!r}; give a whole number from 1 to {most}")
    return value


def _backoff(backoff: Backoff | None) -> Backoff | None:
    """Refuse a backoff whose arithmetic could end in something that is no wait."""
    if backoff is None:
        return None
    _duration("backoff.base", backoff.base)
    _duration("backoff.cap", backoff.cap)
    if not 1 <= backoff.factor <= _FACTOR_LIMIT or not 0 <= backoff.jitter <= 1:
        raise ValueError(f"backoff has a factor from 1 to {_FACTOR_LIMIT:.0f} and a jitter from 0 to 1; got {backoff}")
    return backoff


def _on_worker_lost(wish: str) -> OnWorkerLost:
    if wish not in tuple(OnWorkerLost):
        raise ValueError(f"on_worker_lost is {wish!r}; give one of {', '.join(OnWorkerLost)}")
    return OnWorkerLost(wish)


def _isolation(wish: str | None, signature: Signature) -> Isolation:
    natural = Isolation.ASYNC if signature.is_async else Isolation.THREAD
    if wish == Isolation.PROCESS:
        return Isolation.PROCESS
    if wish is not None and wish not in tuple(Isolation):
        raise ValueError(f"isolation is {wish!r}; give one of {', '.join(Isolation)}")
    if wish is not None and wish != natural:
        kind, remedy = ("async def", "def") if signature.is_async else ("def", "async def")
        raise ValueError(f"isolation={wish!r} does not fit an `{kind}` handler; leave it out, or write `{remedy}`")
    return natural


def _memory_limit(limit: int | None, isolation: str | None) -> int | None:
    if limit is None:
        return None
    if isolation != Isolation.PROCESS:
        raise ValueError("memory_limit bounds a child process; give isolation='process' too")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < _MEMORY_LEAST:
        least = f"{_MEMORY_LEAST} bytes (64 MiB): Python and the plugins are in it"
        raise ValueError(f"memory_limit is {limit!r}; give a whole number of at least {least}")
    return limit


def _lifespan(lifespan: Lifespan | None) -> Lifespan | None:
    if lifespan is not None and not callable(lifespan):
        raise ValueError("lifespan is called to make a context manager; give the function, not what it returns")
    return lifespan
