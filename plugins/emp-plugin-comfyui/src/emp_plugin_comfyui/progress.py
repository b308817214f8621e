"""How far a run has come: each node has a weight, and counts as it begins, steps and ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from emp_plugin_comfyui.messages import Cached, Executing, Message, Preview, Stepped
from emp_plugin_comfyui.models import Node

_MOST_STEPS: Final = 1000


def weight(node: Node) -> float:
    """Give what a node counts: its steps, if it has an input of that name, since samplers take nearly all the time."""
    steps = node.inputs.get("steps")
    if isinstance(steps, bool) or not isinstance(steps, int | float):
        return 1.0
    return float(min(max(steps, 1), _MOST_STEPS))


class RunProgress:
    """Hears the messages of a run, and says how far it has come.

    The fraction never goes back. Nodes that another node makes while it runs count as part of that one.
    """

    def __init__(self, workflow: Mapping[str, Node]) -> None:
        self._weights = {node: weight(described) for node, described in workflow.items()}
        self._names = {node: described.class_type for node, described in workflow.items()}
        self._done: set[str] = set()
        self._current: str | None = None
        self._part = 0.0
        self._note = ""
        self._fraction = 0.0
        self.previews = 0
        self.cached: tuple[str, ...] = ()

    def hear(self, message: Message) -> bool:
        """Take a message; tells whether there is something new to say."""
        match message:
            case Cached(nodes):
                self.cached = tuple(node for node in nodes if node in self._weights)
                self._done |= set(self.cached)
            case Executing(node):
                self._begin(node)
            case Stepped(node, value, most):
                if node != self._current:
                    self._begin(node)
                self._part = min(max(value / most, 0.0), 1.0)
                self._note = f" {value:g} of {most:g}"
            case Preview():
                self.previews += 1
                return False
            case _:
                return False
        return True

    def _begin(self, node: str) -> None:
        if self._current is not None and self._current != node:
            self._done.add(self._current)
        self._current = node
        self._part, self._note = 0.0, ""

    @property
    def fraction(self) -> float:
        """How much is done, 0.0 to 1.0."""
        done = sum(self._weights.get(node, 0.0) for node in self._done)
        current = self._weights.get(self._current or "", 0.0) if self._current not in self._done else 0.0
        self._fraction = max(self._fraction, (done + current * self._part) / sum(self._weights.values()))
        return min(self._fraction, 1.0)

    @property
    def note(self) -> str:
        """What is being done."""
        if self._current is None:
            return f"{len(self.cached)} nodes from the cache" if self.cached else "running"
        name = self._names.get(self._current, "node")
        return f"{name} ({self._current}){self._note}"
