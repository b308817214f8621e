"""A stand-in for a ComfyUI server, written from its documentation: the routes and socket messages that clients use.

Sources: https://docs.comfy.org/development/comfyui-server/comms_routes and .../comms_messages, and the server's own
OpenAPI document. Nodes do nothing but what clients see of them. A test holds it at a node, cuts its sockets, makes it
forget, and reads what it was asked.
"""

from __future__ import annotations

import asyncio
import email.policy
import json
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from support.comfyui_nodes import PICTURE, Interrupted, NodeFailed, fault, is_output, refusals, signature
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


class StandIn:
    """The server; `serving` runs it.

    `submissions` are the bodies of all prompts that were accepted, `interrupts` and `deletions` the ids asked for,
    `files` what is stored, by (type, subfolder, name), `connections` the ids of the clients that connected.
    """

    def __init__(self) -> None:
        self.port = 0
        self.submissions: list[dict[str, Any]] = []
        self.interrupts: list[str | None] = []
        self.deletions: list[str] = []
        self.connections: list[str] = []
        self.files: dict[tuple[str, str, str], bytes] = {}
        self.picture = PICTURE
        self.is_muted = False
        self.refuses_sockets = False
        self.chooses_ids = False
        """Whether it gives runs ids of its own, as servers did before clients could."""
        self.answers: dict[str, Response] = {}
        """The answers, by path, that are given instead of the right ones."""
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

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    # what a test does to it

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

    def drop_sockets(self) -> None:
        """Cut every socket."""

        async def cut() -> None:
            for ws in list(self._sockets.values()):
                with suppress(RuntimeError, WebSocketDisconnect):
                    await ws.close(1012)

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)

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

    # what clients ask

    async def submit(self, request: Request) -> Response:
        """Take a workflow into the queue, or say what is wrong with it."""
        body = await request.json()
        if "prompt" not in body:
            return JSONResponse({"error": fault("no_prompt", "No prompt provided"), "node_errors": {}}, 400)
        stored = {"/".join(filter(None, [folder, name])) for kind, folder, name in self.files if kind == "input"}
        error, node_errors = refusals(body["prompt"], stored)
        if error is not None:
            return JSONResponse({"error": error, "node_errors": node_errors}, 400)
        self.submissions.append(body)
        prompt_id = str((not self.chooses_ids and body.get("prompt_id")) or uuid.uuid4())
        prompt = Prompt(len(self.submissions), prompt_id, body["prompt"], body.get("client_id", ""))
        self.pending.append(prompt)
        self._wake.set()
        await self._tell_status()
        return JSONResponse({"prompt_id": prompt_id, "number": prompt.number, "node_errors": node_errors})

    async def show_queue(self, request: Request) -> Response:
        """List what runs and what waits."""
        running = [] if self.running is None else [self.running.listed()]
        return JSONResponse({"queue_running": running, "queue_pending": [each.listed() for each in self.pending]})

    async def change_queue(self, request: Request) -> Response:
        """Delete prompts that wait."""
        deleted = (await request.json()).get("delete", [])
        self.deletions += deleted
        self.pending = [each for each in self.pending if each.prompt_id not in deleted]
        return Response()

    async def interrupt(self, request: Request) -> Response:
        """Stop the prompt that runs; with an id, only if it is that one."""
        body = await request.body()
        wanted = json.loads(body).get("prompt_id") if body else None
        self.interrupts.append(wanted)
        if self.running is not None and wanted in {None, self.running.prompt_id}:
            self._interrupted.set()
        return Response()

    async def show_history(self, request: Request) -> Response:
        """Give how a prompt ended; an empty object for one that has not."""
        prompt_id = request.path_params["prompt_id"]
        return JSONResponse({prompt_id: self.history[prompt_id]} if prompt_id in self.history else {})

    async def upload(self, request: Request) -> Response:
        """Store a file that comes as a form."""
        head = f"content-type: {request.headers['content-type']}\r\n\r\n".encode()
        form = BytesParser(policy=email.policy.HTTP).parsebytes(head + await request.body())
        fields: dict[str, Any] = {}
        for part in form.iter_parts():
            name = part.get_param("name", header="content-disposition")
            fields[str(name)] = part
        text = {name: part.get_payload(decode=True).decode() for name, part in fields.items() if name != "image"}
        image = fields["image"]
        key = text.get("type", "input"), text.get("subfolder", ""), image.get_filename()
        self.files[key] = image.get_payload(decode=True)
        return JSONResponse({"name": key[2], "subfolder": key[1], "type": key[0]})

    async def view(self, request: Request) -> Response:
        """Give a stored file."""
        asked = request.query_params
        data = self.files.get((asked.get("type", "output"), asked.get("subfolder", ""), asked["filename"]))
        return Response(status_code=404) if data is None else Response(data, media_type="image/png")

    async def socket(self, ws: WebSocket) -> None:
        """Send a client the messages about its prompts; the same id again replaces the socket."""
        client_id = ws.query_params.get("clientId") or uuid.uuid4().hex
        if self.refuses_sockets:
            await ws.close()
            return
        await ws.accept()
        self.connections.append(client_id)
        self._sockets[client_id] = ws
        await ws.send_json({"type": "status", "data": {**self._status(), "sid": client_id}})
        if self.running is not None and self.running.client_id == client_id and self.running.executed:
            await ws.send_json({"type": "executing", "data": {"node": self.running.executed[-1]}})
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await ws.receive_text()
        if self._sockets.get(client_id) is ws:
            del self._sockets[client_id]

    # what it does

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
            for node, described in prompt.workflow.items():
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

    def app(self) -> Any:
        """Give the application, with and without the prefix `/api`."""
        routes: list[Any] = []
        for prefix in ("", "/api"):
            routes += [
                Route(f"{prefix}/prompt", self.submit, methods=["POST"]),
                Route(f"{prefix}/queue", self.show_queue, methods=["GET"]),
                Route(f"{prefix}/queue", self.change_queue, methods=["POST"]),
                Route(f"{prefix}/interrupt", self.interrupt, methods=["POST"]),
                Route(f"{prefix}/history/{{prompt_id}}", self.show_history),
                Route(f"{prefix}/upload/image", self.upload, methods=["POST"]),
                Route(f"{prefix}/view", self.view),
                WebSocketRoute(f"{prefix}/ws", self.socket),
            ]
        inner = Starlette(routes=routes)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            instead = self.answers.get(scope.get("path", "")) if scope["type"] == "http" else None
            await (instead or inner)(scope, receive, send)

        return app


@contextmanager
def serving(server: StandIn | None = None, port: int = 0) -> Iterator[StandIn]:
    """Run a stand-in in a thread while the body runs; the same one again has kept what it knew."""
    server = server or StandIn()
    with socket.create_server(("127.0.0.1", port)) as listener:
        server.port = listener.getsockname()[1]
        config = uvicorn.Config(server.app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        uvicorn_server = uvicorn.Server(config)

        async def serve() -> None:
            working = asyncio.create_task(server.work())
            try:
                await uvicorn_server.serve([listener])
            finally:
                working.cancel()

        thread = threading.Thread(target=lambda: asyncio.run(serve()))
        thread.start()
        try:
            wait_until(lambda: uvicorn_server.started)
            yield server
        finally:
            uvicorn_server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
