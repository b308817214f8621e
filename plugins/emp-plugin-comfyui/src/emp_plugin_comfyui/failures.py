"""What ComfyUI says is wrong, as JobErrors with JSON pointers into the payload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from emp_worker import JobError

_TOLD: Final = 8
"""So many places stand in a message; the error's list holds more."""
_OUT_OF_MEMORY: Final = ("OutOfMemory", "MemoryError", "OOM")


def pointer(*parts: str) -> str:
    """Write a JSON pointer (RFC 6901)."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def text(value: object, limit: int = 400) -> str:
    """Read a text of a server, which may be anything, in one line."""
    return " ".join(value.split())[:limit] if isinstance(value, str) else ""


def mapping(value: object) -> Mapping[str, Any]:
    """Read an object of a server, which may be anything."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[Any]:
    """Read an array of a server, which may be anything."""
    return value if isinstance(value, list) else ()


def misfit(places: Mapping[str, str], *, code: str) -> JobError:
    """Say what in a payload cannot be, by JSON pointer."""
    return JobError(_listed(places), retryable=False, code=code, errors=places)


def refused(answer: Mapping[str, Any]) -> JobError:
    """Say why ComfyUI does not take a workflow; `answer` is what it said with status 400, or of some of the outputs."""
    places = dict(_places(mapping(answer.get("node_errors"))))
    error = answer.get("error")
    said = error if isinstance(error, str) else mapping(error).get("message")
    told = text(said) or "ComfyUI refuses the workflow"
    if details := text(mapping(error).get("details")):
        told += f" ({details})"
    if places:
        told += ": " + _listed(places)
    return JobError(told, retryable=False, code="invalid_workflow", errors=places)


def _places(node_errors: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for node, told in node_errors.items():
        kind = text(mapping(told).get("class_type"))
        for error in sequence(mapping(told).get("errors")):
            fault = mapping(error)
            name = text(mapping(fault.get("extra_info")).get("input_name"))
            where = pointer("workflow", node, "inputs", name) if name else pointer("workflow", node)
            message = text(fault.get("message")) or "is refused"
            details = text(fault.get("details"))
            said = f"{message}: {details}" if details and details != name else message
            yield where, f"{kind}: {said}" if kind else said


def _listed(places: Mapping[str, str]) -> str:
    shown = [f"{where}: {what}" for where, what in list(places.items())[:_TOLD]]
    more = len(places) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more > 0 else "")


def failed(told: Mapping[str, Any]) -> JobError:
    """Say that a node failed; `told` is what `execution_error` says. Only a lack of memory is worth another attempt."""
    kind = text(told.get("exception_type")) or "an error"
    node, class_type = text(told.get("node_id")), text(told.get("node_type"))
    message = f"{kind}: {text(told.get('exception_message'), 1000)}".removesuffix(": ")
    where = pointer("workflow", node) if node else "/workflow"
    what = f"{class_type}: {message}" if class_type else message
    short = any(word in kind for word in _OUT_OF_MEMORY)
    return JobError(
        f"a node failed: {where}: {what}",
        retryable=short,
        code="out_of_memory" if short else "node_failed",
        errors={where: what},
    )


def interrupted() -> JobError:
    """Say that somebody at ComfyUI stopped the run."""
    return JobError("the run was interrupted at the ComfyUI server", retryable=False, code="interrupted")


def lost(prompt_id: str) -> JobError:
    """Say that the server has forgotten a run that it had taken."""
    told = f"the ComfyUI server no longer knows the run {prompt_id}: it was restarted, or its queue was cleared"
    return JobError(told, code="run_lost")


def of_entry(entry: Mapping[str, Any]) -> JobError | None:
    """Say how a run failed by what the history says of it; None if it has not."""
    status = mapping(entry.get("status"))
    if not status or status.get("status_str") == "success":
        return None
    for message in reversed(sequence(status.get("messages"))):
        match message:
            case ["execution_error", dict(told)]:
                return failed(told)
            case ["execution_interrupted", _]:
                return interrupted()
    return JobError("the run failed, and ComfyUI's history does not say why", code="node_failed", retryable=False)
