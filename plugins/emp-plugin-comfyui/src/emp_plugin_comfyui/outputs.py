"""What the nodes of a run gave, read from its history entry and from the server's files."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import JsonValue

from emp_plugin_comfyui.failures import mapping, sequence
from emp_plugin_comfyui.models import OutputFile
from emp_plugin_comfyui.server import ComfyServer, TooLarge
from emp_plugin_comfyui.settings import ComfySettings
from emp_worker import JobContext, JobError

VALUES_LIMIT: Final = 512 * 1024
"""The most bytes of JSON that nodes may give besides files."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a file is at the server."""

    node: str
    kind: str
    filename: str
    subfolder: str
    type: str

    def query(self) -> dict[str, str]:
        """Give the parameters that ask for it."""
        return {"filename": self.filename, "subfolder": self.subfolder, "type": self.type}


def references(outputs: Mapping[str, Any], wanted: Collection[str] | None) -> list[Reference]:
    """List the files of a history entry's outputs: whatever has a file name, under whatever key."""
    return [
        reference
        for node, given in outputs.items()
        if wanted is None or node in wanted
        for kind, items in mapping(given).items()
        for reference in _files(node, kind, items)
    ]


def _files(node: str, kind: str, items: object) -> Iterator[Reference]:
    for item in sequence(items):
        filename = mapping(item).get("filename")
        if isinstance(filename, str) and filename:
            folder, place = (mapping(item).get(name) for name in ("subfolder", "type"))
            folder, place = (value if isinstance(value, str) else "" for value in (folder, place))
            yield Reference(node, kind, filename, folder, place or "output")


def values(outputs: Mapping[str, Any], wanted: Collection[str] | None) -> dict[str, dict[str, JsonValue]]:
    """Give what nodes gave besides files.

    Raises:
        JobError: `outputs_too_large`.
    """
    given: dict[str, dict[str, JsonValue]] = {}
    for node, output in outputs.items():
        if wanted is not None and node not in wanted:
            continue
        rest = {kind: items for kind, items in mapping(output).items() if not any(_files(node, kind, items))}
        if rest:
            given[node] = rest
    if len(json.dumps(given)) > VALUES_LIMIT:
        told = f"the nodes gave more than {VALUES_LIMIT:,} bytes of values besides files; choose `outputs`"
        raise JobError(told, retryable=False, code="outputs_too_large")
    return given


async def fetch(
    server: ComfyServer, listed: list[Reference], settings: ComfySettings, job: JobContext, *, include_data: bool
) -> list[OutputFile]:
    """Read the files, as far as they fit a result.

    Raises:
        JobError: `outputs_too_large`, `too_many_outputs`, `output_missing`.
    """
    if len(listed) > settings.output_limit_files:
        told = f"the run made {len(listed)} files; at most {settings.output_limit_files} fit a result: choose `outputs`"
        raise JobError(told, retryable=False, code="too_many_outputs")
    files: list[OutputFile] = []
    left = settings.output_limit_bytes
    for number, reference in enumerate(listed, start=1):
        media_type = mimetypes.guess_type(reference.filename)[0] or "application/octet-stream"
        data = None
        if include_data:
            job.progress(None, f"fetching file {number} of {len(listed)}")
            try:
                answer = await server.view(reference.query(), left)
            except TooLarge:
                raise _too_large(reference, settings.output_limit_bytes) from None
            data, media_type = answer.body, answer.media_type or media_type
            left -= len(data)
        files.append(
            OutputFile(
                node=reference.node,
                kind=reference.kind,
                filename=reference.filename,
                subfolder=reference.subfolder,
                type=reference.type,
                media_type=media_type,
                bytes=None if data is None else len(data),
                data=data,
            )
        )
    return files


def _too_large(reference: Reference, limit: int) -> JobError:
    told = (
        f"the files of the run have more than {limit:,} bytes (at {reference.filename} of node {reference.node}): "
        "choose `outputs`, or take only their places with `include_data: false`"
    )
    return JobError(told, retryable=False, code="outputs_too_large")
