"""Read from a handler's signature what it takes and what it gives."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, get_type_hints

from pydantic import BaseModel

from emp_worker.failures import InvalidJobType

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_SHAPES = "a handler is `(payload)` or `(payload, job)`"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a handler takes and gives. `result` is an annotation, or `inspect.Signature.empty` if nothing says it."""

    payload: type[BaseModel]
    result: Any
    takes_job: bool
    is_async: bool


def read_signature(handler: Callable[..., Any], *, payload: Any = None, result: Any = None) -> Signature:
    """Read a handler's signature; a payload or result that is given wins over the annotation.

    Raises:
        InvalidJobType: the handler cannot be one; the message says what to do.
    """
    if not callable(handler):
        raise InvalidJobType(f"the handler is {handler!r}; give a function")
    function = _function(handler)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidJobType("the handler is a generator; return the result, and tell the way there by job.progress()")
    parameters, returned = _parameters(handler)
    model = payload
    if model is None:
        model = _resolve(parameters[0].annotation, function, "the payload's annotation", "give JobType(payload=...)")
    if model is inspect.Parameter.empty:
        raise InvalidJobType(f"the payload has no annotation; annotate `{parameters[0].name}` with a pydantic model")
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise InvalidJobType(f"the payload is {model!r}; it must be a pydantic model (a class derived from BaseModel)")
    if result is None:
        result = _resolve(returned, function, "the result's annotation", "give JobType(result=...)")
    return Signature(model, result, len(parameters) > 1, inspect.iscoroutinefunction(function))


def _function(handler: Callable[..., Any]) -> Any:
    """Find the function behind a partial, a decorated one or an object that is called."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not inspect.isroutine(handler):
        handler = type(handler).__call__
    # A wrapper says for itself whether it is async, so it is unwrapped only to resolve annotations.
    return handler


def _parameters(handler: Callable[..., Any]) -> tuple[list[inspect.Parameter], Any]:
    """List the one or two parameters that a handler is called with, and what it says it returns."""
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError) as error:
        raise InvalidJobType(f"the handler's signature cannot be read; {_SHAPES}") from error
    positional = [each for each in signature.parameters.values() if each.kind in _POSITIONAL]
    for each in signature.parameters.values():
        if each.kind is inspect.Parameter.KEYWORD_ONLY and each.default is inspect.Parameter.empty:
            raise InvalidJobType(f"the handler needs a keyword argument `{each.name}`; {_SHAPES}")
    needed = [each for each in positional if each.default is inspect.Parameter.empty]
    if not positional or len(needed) > 2:
        raise InvalidJobType(f"the handler takes {len(positional)} positional arguments; {_SHAPES}")
    return positional[:2], signature.return_annotation


def _resolve(annotation: Any, function: Any, what: str, otherwise: str) -> Any:
    """Turn an annotation that may be text (`from __future__ import annotations`) into what it names."""
    if annotation is inspect.Signature.empty:
        return annotation
    names = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        # One annotation at a time: a name that only type checkers import must not spoil the others.
        return get_type_hints(SimpleNamespace(__annotations__={"it": annotation}), names, include_extras=True)["it"]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        raise InvalidJobType(
            f"{what} `{annotation}` cannot be resolved ({error}); import it at the top of the module, or {otherwise}"
        ) from error
