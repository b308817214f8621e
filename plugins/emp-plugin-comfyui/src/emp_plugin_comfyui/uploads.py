"""Files of the payload, stored at the server and named in the inputs that read them."""

from __future__ import annotations

from typing import Any, Final

from emp_plugin_comfyui.models import Run, Upload
from emp_plugin_comfyui.server import ComfyServer
from emp_worker import JobContext, JobError

_SUFFIXES: Final = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif"}


def suffix_of(upload: Upload) -> str | None:
    """Say how the name of an upload should end; None if neither the payload nor its content tells."""
    if upload.suffix is not None:
        return upload.suffix.lower()
    if upload.data[:4] == b"RIFF" and upload.data[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in _SUFFIXES.items() if upload.data.startswith(magic)), None)


async def with_files(payload: Run, server: ComfyServer, job: JobContext) -> dict[str, Any]:
    """Store the files, and give the workflow with their names in it.

    Raises:
        JobError: `unknown_file`: its suffix is not given and not known.
    """
    suffixes = [suffix_of(upload) for upload in payload.files]
    if unknown := [number for number, suffix in enumerate(suffixes) if suffix is None]:
        told = "is no PNG, JPEG, WebP or GIF: say how its name should end"
        places = {f"/files/{number}/suffix": told for number in unknown}
        where = f"/files/{unknown[0]}/suffix"
        raise JobError(f"{where}: the file {told}", retryable=False, code="unknown_file", errors=places)
    workflow = {node: described.model_dump(mode="json") for node, described in payload.workflow.items()}
    for number, (upload, suffix) in enumerate(zip(payload.files, suffixes, strict=True), start=1):
        job.progress(None, f"uploading file {number} of {len(payload.files)}")
        workflow[upload.node]["inputs"][upload.input] = await server.upload(upload.data, suffix or "")
    return workflow
