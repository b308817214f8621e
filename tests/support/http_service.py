"""A real HTTP server for tests: each path answers as the test says, and what was asked is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Asked:
    """One request that the server has had."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """What the server answers."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Route = Callable[[Asked], Reply]


class Service:
    """A server on loopback. `routes` maps paths to replies, or to functions that make them."""

    def __init__(self) -> None:
        self.routes: dict[str, Route | Reply] = {}
        self.asked: list[Asked] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def port(self) -> int:
        """Its port."""
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def json(self, path: str, *answers: Any, status: int = 200, **headers: str) -> None:
        """Answer a path with JSON values, one after the other; the last one stays."""
        left = list(answers)

        def reply(_: Asked) -> Reply:
            value = left.pop(0) if len(left) > 1 else left[0]
            return Reply(status, headers, json.dumps(value).encode())

        self.routes[path] = reply

    def count(self, method: str, path: str) -> int:
        """Say how often something was asked."""
        return sum((each.method, each.path) == (method, path) for each in self.asked)

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("content-length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                asked = Asked(self.command, self.path, headers, self.rfile.read(length))
                service.asked.append(asked)
                route = service.routes.get(self.path, Reply(404, {}, b"nothing here"))
                reply = route if isinstance(route, Reply) else route(asked)
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.send_header("content-length", str(len(reply.body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(reply.body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815 - the library's names

            def log_message(self, *_: object) -> None:
                pass

        return Handler
