"""What comfyui.run is asked for and what it answers."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)

from emp_plugin_comfyui.failures import pointer
from emp_plugin_comfyui.settings import base_url

NODES_LIMIT: Final = 2_000
FILES_LIMIT: Final = 32
BASE64_LIMIT: Final = 15 * 1024 * 1024


def _decode(value: Any) -> Any:
    """Read base64 strictly; Python's own reading skips what does not belong."""
    if not isinstance(value, str):
        return value
    if len(value) > BASE64_LIMIT:
        raise ValueError(f"the base64 text has {len(value):,} characters; at most {BASE64_LIMIT:,} are taken")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64 of the standard alphabet, padded and without whitespace: {error}") from None


Base64 = Annotated[
    bytes,
    BeforeValidator(_decode),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), when_used="json"),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "pattern": "^[A-Za-z0-9+/]*={0,2}$",
            "minLength": 4,
            "maxLength": BASE64_LIMIT,
        },
        mode="validation",
    ),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}, mode="serialization"),
]
NodeId = Annotated[str, Field(min_length=1, max_length=128)]


class Node(BaseModel):
    """One node of a workflow."""

    model_config = ConfigDict(extra="allow")

    class_type: str = Field(min_length=1, max_length=256, description="the kind of node, as ComfyUI names it")
    inputs: dict[str, JsonValue] = Field(
        description="its inputs: values, or links [node, output] to the outputs of other nodes"
    )


class Upload(BaseModel):
    """A file that is stored at the ComfyUI server before the workflow runs."""

    model_config = ConfigDict(extra="forbid")

    node: NodeId = Field(description="the node that reads the file")
    input: str = Field(default="image", min_length=1, max_length=128, description="its input that names the file")
    data: Base64 = Field(description="the file's bytes in base64", min_length=1)
    suffix: str | None = Field(
        default=None,
        pattern=r"^\.[A-Za-z0-9]{1,10}$",
        description="how the file's name ends, like .png; null: what its content is (PNG, JPEG, WebP or GIF)",
    )


class Run(BaseModel):
    """A workflow, and what it needs."""

    model_config = ConfigDict(extra="forbid")

    workflow: dict[NodeId, Node] = Field(
        description="the workflow in API format, as ComfyUI's Export (API) writes it: nodes by their ids. A file with "
        "`nodes` and `links` is the editor's own format, and is refused",
        min_length=1,
        max_length=NODES_LIMIT,
    )
    files: list[Upload] = Field(
        default_factory=list, max_length=FILES_LIMIT, description="files to upload, and the inputs that read them"
    )
    outputs: list[NodeId] | None = Field(
        default=None, max_length=NODES_LIMIT, description="the nodes whose files come back; null: all that give files"
    )
    include_data: bool = Field(
        default=True, description="whether the files' bytes come back; false: only where ComfyUI has stored them"
    )
    server: Annotated[str, AfterValidator(base_url)] | None = Field(
        default=None, max_length=512, description="which of the servers that the operator lists; null: the usual one"
    )

    def unsupported_nodes(self) -> dict[str, str]:
        """Say, by JSON pointer, which nodes give what cannot be fetched."""
        told = "sends its pictures over the socket alone, where a broken one loses them; use SaveImage or PreviewImage"
        return {
            pointer("workflow", node, "class_type"): f"{described.class_type} {told}"
            for node, described in self.workflow.items()
            if described.class_type == "SaveImageWebsocket"
        }

    def unknown_nodes(self) -> dict[str, str]:
        """Say, by JSON pointer, where a node is named that the workflow does not have."""
        named = {f"/files/{number}/node": upload.node for number, upload in enumerate(self.files)}
        named |= {f"/outputs/{number}": node for number, node in enumerate(self.outputs or ())}
        return {
            where: f"there is no node {node!r} in the workflow"
            for where, node in named.items()
            if node not in self.workflow
        }


class OutputFile(BaseModel):
    """A file that a node made."""

    node: str = Field(description="the node that made it")
    kind: str = Field(description="what ComfyUI lists it as: images, gifs, audio, ...")
    filename: str = Field(description="its name at the ComfyUI server")
    subfolder: str = Field(description="its folder there, below that of its type")
    type: str = Field(description="where it is kept there: output or temp")
    media_type: str = Field(description="what it is, like image/png")
    bytes: int | None = Field(description="how many bytes it has; null if they were not asked for")
    data: Base64 | None = Field(description="its bytes in base64; null if they were not asked for")


class RunResult(BaseModel):
    """What a workflow made."""

    prompt_id: str = Field(description="the run's id at the ComfyUI server")
    files: list[OutputFile] = Field(description="the files that its nodes made, in the order of the workflow")
    values: dict[str, dict[str, JsonValue]] = Field(description="what nodes gave besides files, text say, by node")
    cached: list[str] = Field(description="the nodes that ComfyUI took from its cache")
