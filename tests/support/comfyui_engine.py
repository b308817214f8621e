"""What the stand-in for ComfyUI does with prompts: one after the other, with the messages and history that it shows."""

from __future__ import annotations

import asyncio
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from support.comfyui_nodes import PICTURE, Interrupted, NodeFailed, in_order, is_output, signature
from support.waiting import wait_until

PREVIEW: Final = b"\xff\xd8\xff\xe0 a small preview"
_PREVIEW_IMAGE, _TEXT = 1, 3
_JPEG: Final = 1


@dataclass
class Prompt:
    """One entry of the queue."""

    number: int
    prompt_id: str
    workflow: dict[str, Any]
    client_id: str
    executed: list[str] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def listed(self) -> list[Any]:
        """Give the entry as `/queue` and `/history` list it."""
        extra = {"client_id": self.client_id, "create_time": 1_700_000_000_000}
        outputs = [node for node, described in self.workflow.items() if is_output(described)]
        return [self.number, self.prompt_id, self.workflow, extra, outputs]


class Engine:
    """Performs what is pending; a test holds it at a node, makes it forget, and lets it go.

    `files` is what is stored, by (type, subfolder, name).
    """

    def __init__(self) -> None:
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.picture = PICTURE
        self.is_muted = False
        self.pending: list[Prompt] = []
        self.running: Prompt | None = None
        self.history: dict[str, Any] = {}
        self._sockets: dict[str, WebSocket] = {}
        self._cache: set[str] = set()
        self._cached_ui: dict[str, Any] = {}
        self._holds: dict[str, asyncio.Event] = {}
        self._held: set[str] = set()
        self._interrupted = asyncio.Event()
        self._wake = asyncio.Event()
        self._saved = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def hold(self, *nodes: str) -> None:
        """Stop at these nodes, in the middle of them, until they are released."""
        self._holds.update({node: asyncio.Event() for node in nodes})

    def wait_held(self, node: str, timeout: float = 20.0) -> None:
        """Wait until a prompt is held at a node."""
        wait_until(lambda: node in self._held, timeout)

    def release(self) -> None:
        """Let go of all nodes that are held."""
        for event in self._holds.values():
            self._soon(event.set)

    def stop_running(self) -> None:
        """Interrupt what runs, as somebody does who looks at ComfyUI."""
        self._soon(self._interrupted.set)

    def forget(self) -> None:
        """Lose the queue and the history, as a restart does."""

        def lose() -> None:
            self.pending.clear()
            self.history.clear()
            self.running = None
            self._interrupted.set()

        self._soon(lose)
        wait_until(lambda: not self.history and self.running is None)

    def _soon(self, call: Any) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(call)

    async def work(self) -> None:
        """Perform the prompts, one after the other."""
        self._loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            while self.pending:
                self.running = self.pending.pop(0)
                self._interrupted.clear()
                await self._perform(self.running)
                await self._tell_status()
            await self._wake.wait()

    async def _perform(self, prompt: Prompt) -> None:
        signatures = {node: signature(node, prompt.workflow) for node in prompt.workflow}
        cached = [node for node in prompt.workflow if signatures[node] in self._cache]
        await self._tell(prompt, "execution_start")
        await self._tell(prompt, "execution_cached", nodes=cached)
        node = ""
        try:
            for node in in_order(prompt.workflow):
                described = prompt.workflow[node]
                if node in cached:
                    ui = self._cached_ui.get(signatures[node])
                else:
                    await self._tell(prompt, "executing", node=node, display_node=node)
                    prompt.executed.append(node)
                    ui = await self._run_node(prompt, node, described)
                    self._cache.add(signatures[node])
                    self._cached_ui[signatures[node]] = ui
                if ui is not None:
                    prompt.outputs[node] = ui
                    await self._tell(prompt, "executed", node=node, display_node=node, output=ui)
            await self._tell(prompt, "execution_success")
        except Interrupted:
            about = {"node_id": node, "node_type": prompt.workflow[node]["class_type"], "executed": prompt.executed}
            await self._tell(prompt, "execution_interrupted", **about)
        except NodeFailed as error:
            about = {"node_id": node, "node_type": prompt.workflow[node]["class_type"], "executed": prompt.executed}
            await self._tell(prompt, "execution_error", **about, **error.told())
        await self._end(prompt)

    async def _end(self, prompt: Prompt) -> None:
        """Write the history, and only then say that nothing runs any more."""
        if self.running is not prompt:  # it was made to forget
            return
        success = prompt.messages[-1][0] == "execution_success"
        status = {"status_str": "success" if success else "error", "completed": success, "messages": prompt.messages}
        self.history[prompt.prompt_id] = {
            "prompt": prompt.listed(), "outputs": prompt.outputs, "status": status, "meta": {}
        }  # fmt: skip
        self.running = None
        await self._send(prompt.client_id, {"type": "executing", "data": {"node": None, "prompt_id": prompt.prompt_id}})

    async def _run_node(self, prompt: Prompt, node: str, described: dict[str, Any]) -> dict[str, Any] | None:
        inputs, kind = described["inputs"], described["class_type"]
        steps = inputs.get("steps", 1)
        for step in range(1, steps + 1):
            if steps > 1:
                await self._tell(prompt, "progress", node=node, value=step, max=steps)
                await self._send(prompt.client_id, struct.pack(">II", _PREVIEW_IMAGE, _JPEG) + PREVIEW)
            if step == (steps + 1) // 2:
                await self._hold_at(node)
            if self._interrupted.is_set():
                raise Interrupted
        match kind:
            case "Explode":
                raise NodeFailed(inputs.get("exception", "ValueError"), inputs.get("message", "it exploded"))
            case "SaveImage" | "PreviewImage":
                return self._save(kind, inputs)
            case "ShowText":
                await self._send(prompt.client_id, struct.pack(">II", _TEXT, len(node)) + node.encode() + b"a text")
                return {"text": [inputs["text"]]}
        return None

    def _save(self, kind: str, inputs: dict[str, Any]) -> dict[str, Any]:
        images = []
        for _ in range(inputs.get("batch", 1)):
            self._saved += 1
            folder, _, prefix = inputs.get("filename_prefix", "ComfyUI").rpartition("/")
            place = "output" if kind == "SaveImage" else "temp"
            image = {"filename": f"{prefix}_{self._saved:05}_.png", "subfolder": folder, "type": place}
            self.files[place, folder, image["filename"]] = self.picture
            images.append(image)
        return {"images": images}

    async def _hold_at(self, node: str) -> None:
        if (event := self._holds.get(node)) is None:
            return
        self._held.add(node)
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(self._interrupted.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        self._held.discard(node)

    def _status(self) -> dict[str, Any]:
        remaining = len(self.pending) + (self.running is not None)
        return {"status": {"exec_info": {"queue_remaining": remaining}}}

    async def _tell_status(self) -> None:
        for client_id in list(self._sockets):
            await self._send(client_id, {"type": "status", "data": self._status()})

    async def _tell(self, prompt: Prompt, kind: str, **data: Any) -> None:
        told = {**data, "prompt_id": prompt.prompt_id, "timestamp": 1_700_000_000_000}
        if kind.startswith("execution_"):
            prompt.messages.append((kind, told))
        await self._send(prompt.client_id, {"type": kind, "data": told})

    async def _send(self, client_id: str, message: dict[str, Any] | bytes) -> None:
        ws = self._sockets.get(client_id)
        if ws is None or self.is_muted:
            return
        with suppress(RuntimeError, WebSocketDisconnect):
            await (ws.send_bytes(message) if isinstance(message, bytes) else ws.send_json(message))
