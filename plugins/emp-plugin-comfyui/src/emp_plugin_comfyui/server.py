"""One ComfyUI server, as its HTTP routes show it (https://docs.comfy.org/development/comfyui-server/comms_routes)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx2

from emp_plugin_comfyui.failures import mapping, refused, sequence, text
from emp_plugin_comfyui.settings import ComfySettings, place
from emp_worker import JobError

T = TypeVar("T")
FOLDER: Final = "emp"
"""The folder of uploads at the server."""
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_AWAY: Final = {502, 503, 504}
"""What a proxy says of a server that is not there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    body: bytes
    media_type: str

    def document(self) -> Mapping[str, Any]:
        """Read the body as a JSON object; an empty one if it is none."""
        try:
            return mapping(json.loads(self.body))
        except (ValueError, RecursionError):
            return {}


@dataclass(frozen=True, slots=True)
class Unknown:
    """The server does not know the run."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run waits behind so many others."""

    before: int


@dataclass(frozen=True, slots=True)
class Running:
    """The run is being performed."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over; `entry` is what the history says of it."""

    entry: Mapping[str, Any]


Standing = Unknown | Waiting | Running | Finished


class AnswerLost(Exception):
    """A request may or may not have been carried out."""


class TooLarge(Exception):
    """An answer is larger than it may be."""


class Away(Exception):
    """The server cannot be reached, or its answer cannot be read; the request did nothing, or may be repeated."""


class ComfyServer:
    """Speaks to one server. What it says is not trusted: sizes are bounded, shapes are looked at.

    A request that may be repeated is tried again while `patience_seconds` last; then the attempt fails with
    `server_unreachable`, and may be tried again. `tell` hears meanwhile that the server does not answer.
    """

    def __init__(
        self, http: httpx2.AsyncClient, url: str, settings: ComfySettings, tell: Callable[[str], None]
    ) -> None:
        self._http = http
        self.url = url
        self._settings = settings
        self._tell = tell

    async def upload(self, data: bytes, suffix: str) -> str:
        """Store a file for nodes to read, and give its name for their inputs.

        It is named by its content: the same file again is the same one there, and ComfyUI's cache knows it.
        """
        name = hashlib.sha256(data).hexdigest()[:32] + suffix
        form = {"type": "input", "subfolder": FOLDER, "overwrite": "true"}
        files = {"image": (name, data, "application/octet-stream")}
        answer = await self._patiently(lambda: self._ask("POST", "/upload/image", data=form, files=files))
        if answer.status != 200:
            raise self._unexpected("does not take the upload of a file", answer)
        stored = answer.document()
        folder, name = text(stored.get("subfolder")), text(stored.get("name")) or name
        return f"{folder}/{name}" if folder else name

    async def submit(self, workflow: Mapping[str, Any], prompt_id: str) -> str:
        """Put a workflow into the queue, and give the run's id: the wished one, but for old servers that choose it.

        The wished id is also that of the client which hears of the run.

        Raises:
            AnswerLost: it may be there or not; look.
            JobError: `invalid_workflow`, with a place for each fault.
        """
        body = json.dumps({"prompt": workflow, "prompt_id": prompt_id, "client_id": prompt_id}).encode()

        async def once() -> Answer:
            headers = {"content-type": "application/json"}
            return await self._ask("POST", "/prompt", content=body, headers=headers, repeatable=False)

        answer = await self._patiently(once)
        document = answer.document()
        if answer.status == 400:
            raise refused(document)
        if answer.status != 200:
            raise self._unexpected("does not take the workflow", answer)
        taken = text(document.get("prompt_id")) or prompt_id
        if mapping(document.get("node_errors")):
            # Some outputs would be left out; a job is done as a whole or not at all.
            with suppress(Away, AnswerLost, TooLarge):
                await self.withdraw(taken)
            raise refused(document)
        return taken

    async def standing(self, prompt_id: str) -> Standing:
        """Say where a run is."""
        # It may end between two looks, hence the history once more.
        for look in (self._in_history, self._in_queue, self._in_history):
            standing = await look(prompt_id)
            if standing is not None:
                return standing
        return Unknown()

    async def withdraw(self, prompt_id: str) -> None:
        """Take a run out of the queue, or interrupt it; nothing happens to one that is over."""
        await self._ask("POST", "/queue", json={"delete": [prompt_id]})
        # Servers before the targeted interrupt stop whatever runs: ask only if it is ours.
        if isinstance(await self._in_queue(prompt_id), Running):
            await self._ask("POST", "/interrupt", json={"prompt_id": prompt_id})

    async def view(self, query: Mapping[str, str], limit: int) -> Answer:
        """Read a file.

        Raises:
            TooLarge: it has more than `limit` bytes.
            JobError: `output_missing`: the history names it, and it is not there.
        """
        answer = await self._patiently(lambda: self._file(query, limit))
        if answer is None:
            raise TooLarge
        if answer.status == 404:
            told = f"the file {query['filename']} of the run is no longer at the ComfyUI server"
            raise JobError(told, retryable=False, code="output_missing")
        if answer.status != 200:
            raise self._unexpected(f"does not give the file {query['filename']}", answer)
        return answer

    async def _file(self, query: Mapping[str, str], limit: int) -> Answer | None:
        try:
            return await self._ask("GET", "/view", params=query, limit=limit)
        except TooLarge:
            return None

    async def _in_history(self, prompt_id: str) -> Finished | None:
        answer = await self._patiently(lambda: self._ask("GET", f"/history/{prompt_id}"))
        if answer.status != 200:
            raise self._unexpected("does not show its history", answer)
        entry = answer.document().get(prompt_id)
        return Finished(entry) if isinstance(entry, dict) else None

    async def _in_queue(self, prompt_id: str) -> Waiting | Running | None:
        answer = await self._patiently(lambda: self._ask("GET", "/queue"))
        if answer.status != 200:
            raise self._unexpected("does not show its queue", answer)
        queue = answer.document()
        if prompt_id in _ids(queue.get("queue_running")):
            return Running()
        numbers = _ids(queue.get("queue_pending"))
        if prompt_id not in numbers:
            return None
        before = sum(number < numbers[prompt_id] for number in numbers.values())
        return Waiting(before + len(_ids(queue.get("queue_running"))))

    async def _ask(
        self, method: str, path: str, *, limit: int | None = None, repeatable: bool = True, **options: Any
    ) -> Answer:
        """Send one request, and read its answer up to a limit.

        Raises:
            Away, AnswerLost, TooLarge.
        """
        most = self._settings.answer_limit_bytes if limit is None else limit
        try:
            async with self._http.stream(method, self.url + path, **options) as response:
                length = response.headers.get("content-length", "")
                if length.isdigit() and int(length) > most:
                    raise TooLarge
                body = bytearray()
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > most:
                        raise TooLarge
                media_type = response.headers.get("content-type", "").partition(";")[0].strip()
                answer = Answer(response.status_code, bytes(body), media_type)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise Away(_told(error)) from error
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise (Away(_told(error)) if repeatable else AnswerLost(_told(error))) from error
        if answer.status in _AWAY:
            raise Away(f"status {answer.status}") if repeatable else AnswerLost(f"status {answer.status}")
        return answer

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Try again while the server is away."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.patience_seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                return await call()
            except Away as error:
                if loop.time() + pause > end:
                    told = f"the ComfyUI server {place(self.url)} cannot be reached: {error}"
                    raise JobError(told, code="server_unreachable") from error
                self._tell(f"{place(self.url)} does not answer ({error}); it is asked again")
            except TooLarge as error:
                told = f"{place(self.url)} answers with more than {self._settings.answer_limit_bytes:,} bytes"
                raise JobError(told, retryable=False, code="unexpected_answer") from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _unexpected(self, what: str, answer: Answer) -> JobError:
        """Say that a server answers as ComfyUI should not; only its own trouble (5xx) is worth another attempt."""
        said = text(answer.body[:2000].decode(errors="replace"), 200)
        told = f"{place(self.url)} {what}: status {answer.status}" + (f", {said}" if said else "")
        return JobError(told, retryable=answer.status >= 500 or answer.status == 429, code="unexpected_answer")


def _ids(entries: object) -> dict[str, float]:
    """Read the ids of queue entries, with their numbers: the lowest is next."""
    numbers: dict[str, float] = {}
    for entry in sequence(entries):
        match entry:
            case [int() | float() as number, str(prompt_id), *_]:
                numbers[prompt_id] = number
    return numbers


def _told(error: Exception) -> str:
    return text(str(error)) or type(error).__name__
