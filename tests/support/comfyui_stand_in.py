"""A stand-in for a ComfyUI server, written from its documentation: the routes and socket messages that clients use.

Sources: https://docs.comfy.org/development/comfyui-server/comms_routes and .../comms_messages. Where these are silent
(the shapes of errors, the order of the history, binary frames of type 4) it does what is commonly known of the
server. Nodes do nothing but what clients see of them. A test holds it at a node, cuts its sockets, makes it forget,
and reads what it was asked.
"""

from __future__ import annotations

import asyncio
import email.policy
import json
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.parser import BytesParser
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from support import quick_stop  # noqa: F401 - makes stops quick
from support.comfyui_engine import Engine, Prompt
from support.comfyui_nodes import fault, refusals
from support.waiting import wait_until


class StandIn(Engine):
    """The server; `serving` runs it.

    `submissions` are the bodies of all prompts that were accepted, `interrupts` and `deletions` the ids asked for,
    `connections` the ids of the clients that connected.
    """

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self.submissions: list[dict[str, Any]] = []
        self.interrupts: list[str | None] = []
        self.deletions: list[str] = []
        self.connections: list[str] = []
        self.refuses_sockets = False
        self.chooses_ids = False
        """Whether it gives runs ids of its own, as servers did before clients could."""
        self.answers: dict[str, Response] = {}
        """The answers, by path, that are given instead of the right ones."""

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def drop_sockets(self) -> None:
        """Cut every socket."""

        async def cut() -> None:
            for ws in list(self._sockets.values()):
                with suppress(RuntimeError, WebSocketDisconnect):
                    await ws.close(1012)

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(10)

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

        def run() -> None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve())

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: uvicorn_server.started)
            yield server
        finally:
            uvicorn_server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
