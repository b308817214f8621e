"""What ComfyUI's socket says, as values. All else that comes is `Other`: there are messages of extensions, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from emp_plugin_comfyui.failures import mapping, sequence

_PREVIEWS: Final = {1, 4}
"""The event types of binary messages that hold a preview, with and without metadata."""
_ENDS: Final = {"execution_success", "execution_error", "execution_interrupted"}


@dataclass(frozen=True, slots=True)
class Cached:
    """These nodes are not performed: what they gave before will do."""

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Executing:
    """A node begins."""

    node: str


@dataclass(frozen=True, slots=True)
class Stepped:
    """A node has come so far."""

    node: str
    value: float
    most: float


@dataclass(frozen=True, slots=True)
class Preview:
    """A picture of how far a node has come, of so many bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The run is over, well or not; the history says which."""


@dataclass(frozen=True, slots=True)
class Other:
    """Something that is not about this run, or not for us."""


Message = Cached | Executing | Stepped | Preview | Ended | Other


def read_message(frame: str | bytes, prompt_id: str) -> Message:
    """Read a message about a run; never raises."""
    if isinstance(frame, bytes):
        is_preview = len(frame) > 8 and int.from_bytes(frame[:4]) in _PREVIEWS
        return Preview(len(frame) - 8) if is_preview else Other()
    try:
        whole = mapping(json.loads(frame))
    except (ValueError, RecursionError):
        return Other()
    data = mapping(whole.get("data"))
    # The first message after a connection was made again names the node that runs, without the run's id.
    if data.get("prompt_id", prompt_id) != prompt_id:
        return Other()
    return _about(whole.get("type"), data)


def _about(kind: object, data: Mapping[str, Any]) -> Message:
    node = data.get("display_node") or data.get("node")
    match kind:
        case "execution_cached":
            return Cached(tuple(each for each in sequence(data.get("nodes")) if isinstance(each, str)))
        case "executing" if data.get("node") is None:
            return Ended() if "prompt_id" in data else Other()
        case "executing" if isinstance(node, str):
            return Executing(node)
        case "progress" if isinstance(node, str):
            value, most = data.get("value"), data.get("max")
            if isinstance(value, int | float) and isinstance(most, int | float) and most > 0:
                return Stepped(node, value, most)
        case str() if kind in _ENDS:
            return Ended()
    return Other()
