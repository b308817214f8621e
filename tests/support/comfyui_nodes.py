"""What the stand-in for ComfyUI knows of nodes: which there are, what is refused of a workflow, what a failure says."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final

PICTURE: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAFUlEQVR42mM8ESDCgA0wMeAAg1MCAO/EATx/9yNvAAAAAElFTkSuQmCC"
)
"""An 8 x 8 PNG, which is what every node makes."""

_REQUIRED: Final = {
    "CheckpointLoaderSimple": ("ckpt_name",),
    "EmptyImage": ("width", "height"),
    "EmptyLatentImage": ("width", "height"),
    "CLIPTextEncode": ("clip", "text"),
    "KSampler": ("model", "positive", "latent_image", "steps", "seed"),
    "VAEDecode": ("samples",),
    "LoadImage": ("image",),
    "SaveImage": ("images",),
    "PreviewImage": ("images",),
    "ShowText": ("text",),
    "Explode": (),
}
_OUTPUTS: Final = {"SaveImage", "PreviewImage", "ShowText", "Explode"}


class Interrupted(Exception):
    """Somebody stopped the prompt."""


@dataclass
class NodeFailed(Exception):
    """A node raised."""

    exception_type: str
    message: str

    def told(self) -> dict[str, Any]:
        """Give what `execution_error` says of it."""
        return {
            "exception_message": self.message,
            "exception_type": self.exception_type,
            "traceback": ['  File "nodes.py", line 1, in explode\n'],
            "current_inputs": {},
            "current_outputs": [],
        }


def is_output(described: dict[str, Any]) -> bool:
    """Tell whether a node gives something back."""
    return described.get("class_type") in _OUTPUTS


def fault(kind: str, message: str, details: str = "", **extra: Any) -> dict[str, Any]:
    """Write an error as ComfyUI does."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def signature(node: str, workflow: dict[str, Any]) -> str:
    """Name what a node would compute, so that the same again is taken from the cache."""
    described = workflow[node]
    inputs = {
        name: signature(value[0], workflow) if isinstance(value, list) else value
        for name, value in described["inputs"].items()
    }
    return json.dumps([described["class_type"], inputs], sort_keys=True)


def in_order(workflow: dict[str, Any]) -> list[str]:
    """Give the nodes so that each comes after those that it takes something from."""
    order: dict[str, None] = {}

    def add(node: str) -> None:
        for value in workflow[node]["inputs"].values():
            if isinstance(value, list) and value[0] not in order:
                add(value[0])
        order[node] = None

    for node in workflow:
        add(node)
    return list(order)


def refusals(workflow: Any, stored: set[str]) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Give the error and the errors of nodes for which a workflow is refused; no error where an output is left."""
    for node, described in workflow.items():
        kind = described.get("class_type")
        if kind not in _REQUIRED:
            message = f"Cannot execute because node {kind} does not exist."
            return fault("invalid_prompt", message, f"Node ID '#{node}'"), {}
    outputs = [node for node, described in workflow.items() if is_output(described)]
    if not outputs:
        return fault("prompt_no_outputs", "Prompt has no outputs"), {}
    node_errors = {}
    for node, described in workflow.items():
        if faults := list(_faults(described, stored)):
            dependent = [output for output in outputs if node in _ancestors(output, workflow)]
            node_errors[node] = {
                "errors": faults, "dependent_outputs": dependent, "class_type": described["class_type"]
            }  # fmt: skip
    spoiled = {output for error in node_errors.values() for output in error["dependent_outputs"]}
    if spoiled >= set(outputs):
        return fault("prompt_outputs_failed_validation", "Prompt outputs failed validation"), node_errors
    return None, node_errors


def _faults(described: dict[str, Any], stored: set[str]) -> Any:
    inputs = described["inputs"]
    for name in _REQUIRED[described["class_type"]]:
        if name not in inputs:
            yield fault("required_input_missing", "Required input is missing", name, input_name=name)
    if described["class_type"] == "LoadImage" and inputs.get("image") not in stored:
        told = f"image - Invalid image file: {inputs.get('image')}"
        yield fault("custom_validation_failed", "Custom validation failed for node", told, input_name="image")


def _ancestors(node: str, workflow: dict[str, Any]) -> set[str]:
    links = [value[0] for value in workflow[node]["inputs"].values() if isinstance(value, list)]
    return {node}.union(*(_ancestors(each, workflow) for each in links if each in workflow))
