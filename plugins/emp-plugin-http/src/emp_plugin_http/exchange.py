"""Make a call and take its answer: within limits, to allowed places only, each redirect checked like the first."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Final

import httpcore2
import httpx2

from emp_plugin_http.calls import Call, Method
from emp_plugin_http.guard import GuardedNetwork, Resolve, resolve
from emp_plugin_http.received import Received
from emp_plugin_http.settings import PREFIX, HttpSettings, read_settings
from emp_worker import JobError

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})  # RFC 9110, 15.4
_KEPT_ELSEWHERE: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""Header fields that go along to another origin: any other may be a secret."""


_UNREADABLE: Final = (httpx2.InvalidURL, ValueError)
"""What httpx2 raises for a URL: the second for hosts that are no IDNA names, and for lone surrogates."""


@cache
def _tls() -> ssl.SSLContext:
    """Read the certificates that are trusted once in a process."""
    return httpcore2.default_ssl_context()


class Exchange:
    """Calls through one pool of connections."""

    def __init__(self, settings: HttpSettings, look_up: Resolve = resolve) -> None:
        self.settings = settings
        # No proxy from the environment: behind one, the address of the target would be checked by nobody.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_tls(),
            max_connections=200,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=GuardedNetwork(settings.allow_networks, look_up),
        )

    async def close(self) -> None:
        """Let all connections go."""
        await self._pool.aclose()

    async def send(
        self, call: Call, *, limit: int, seconds: float, redirects: int = 0, key: str | None = None
    ) -> Received:
        """Make a call and read its answer; `key` is sent as Idempotency-Key with a POST or PATCH that has none.

        Raises:
            JobError: `target_not_allowed`, `address_not_allowed`, `bad_url`, `too_many_redirects`,
                `response_too_large` or `encoded_response`, which no other attempt would mend; `timeout` or
                `connection_failed`, which one may.
        """
        url, method, headers, body = _url(call.url), call.method, _headers(call, key), _body(call)
        try:
            async with asyncio.timeout(seconds):
                for followed in range(redirects + 1):
                    self._check(url)
                    received = await self._once(method, url, headers, body, followed, limit)
                    target = received.headers.get("location")
                    if redirects == 0 or received.status not in _REDIRECTS or target is None:
                        return received
                    new = _joined(url, target)
                    if received.status == 303 or (received.status in {301, 302} and method is Method.POST):
                        method, body = Method.HEAD if method is Method.HEAD else Method.GET, b""
                        headers = {name: value for name, value in headers.items() if name != "content-type"}
                    if _origin(new) != _origin(url):
                        headers = {name: value for name, value in headers.items() if name in _KEPT_ELSEWHERE}
                    url = new
        except (TimeoutError, httpcore2.TimeoutException):
            raise JobError(f"{_shown(url)} did not answer within {seconds:g} s", code="timeout") from None
        except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            told = str(error) or type(error).__name__
            raise JobError(f"the exchange with {_shown(url)} failed: {told}", code="connection_failed") from None
        raise JobError(
            f"there were more than {redirects} redirects, the last to {_shown(url)}",
            retryable=False,
            code="too_many_redirects",
        )

    def _check(self, url: httpx2.URL) -> None:
        scheme, host, port = _origin(url)
        if not self.settings.allows(scheme, host, port):
            raise JobError(
                f"{_shown(url)} is not among the targets that the worker's operator lists in {PREFIX}TARGETS",
                retryable=False,
                code="target_not_allowed",
            )

    async def _once(
        self, method: Method, url: httpx2.URL, headers: Mapping[str, str], body: bytes, followed: int, limit: int
    ) -> Received:
        fields = [("host", url.netloc.decode("ascii")), ("accept-encoding", "identity"), *headers.items()]
        if body or method in {Method.POST, Method.PUT, Method.PATCH}:
            fields.append(("content-length", str(len(body))))
        request = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields]
        timeouts = {"connect": self.settings.connect_seconds}
        async with self._pool.stream(
            method.value, request, headers=raw, content=body, extensions={"timeout": timeouts}
        ) as response:
            got: dict[str, str] = {}
            for name, value in response.headers:
                known = name.decode("latin-1").lower()
                got[known] = ", ".join(filter(None, (got.get(known), value.decode("latin-1"))))
            if got.get("content-encoding", "identity").lower() != "identity":
                raise JobError(
                    f"{_shown(url)} answers in {got['content-encoding']}, although identity was asked for",
                    retryable=False,
                    code="encoded_response",
                )
            data = bytearray()
            async for chunk in response.aiter_stream():
                data += chunk
                if len(data) > limit:
                    raise JobError(
                        f"the answer of {_shown(url)} has more than {limit:,} bytes",
                        retryable=False,
                        code="response_too_large",
                    )
            return Received(response.status, _shown(url), followed, got, bytes(data))


@asynccontextmanager
async def exchange() -> AsyncIterator[Exchange]:
    """Open the pool of connections that the jobs of a process share; the lifespan of the job types."""
    opened = Exchange(read_settings())
    try:
        yield opened
    finally:
        await opened.close()


def _url(text: str) -> httpx2.URL:
    try:
        return _sound(httpx2.URL(text))
    except _UNREADABLE as error:
        raise _bad(f"the URL cannot be read: {error}") from None


def _joined(url: httpx2.URL, target: str) -> httpx2.URL:
    try:
        return _sound(url.join(target))
    except _UNREADABLE as error:
        raise _bad(f"{_shown(url)} redirects to what is no URL: {error}") from None


def _sound(url: httpx2.URL) -> httpx2.URL:
    if url.scheme not in {"http", "https"} or not url.raw_host:
        raise _bad("a URL begins with http:// or https:// and a host")
    if url.port is not None and not 1 <= url.port <= 65_535:
        raise _bad("a port is a number from 1 to 65535")
    if url.userinfo:
        raise _bad("a URL must not hold a name or a password; send an Authorization header")
    return url


def _bad(told: str) -> JobError:
    return JobError(told, retryable=False, code="bad_url")


def _origin(url: httpx2.URL) -> tuple[str, str, int]:
    # The form that is looked up: xn--..., not what people read.
    return url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)


def _shown(url: httpx2.URL) -> str:
    """Give a URL as it may be shown: without its query, which may hold a key."""
    return str(url.copy_with(query=None, fragment=None))


def _headers(call: Call, key: str | None) -> dict[str, str]:
    headers = {"user-agent": "emp-plugin-http", "accept": "*/*"}
    if call.json_body is not None:
        headers["content-type"] = "application/json"
    elif call.body is not None:
        headers["content-type"] = "text/plain; charset=utf-8"
    if key is not None and call.method in {Method.POST, Method.PATCH}:
        headers["idempotency-key"] = key
    return headers | {name.lower(): value for name, value in call.headers.items()}


def _body(call: Call) -> bytes:
    if call.json_body is not None:
        return json.dumps(call.json_body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    if call.body_base64 is not None:
        return base64.b64decode(call.body_base64)
    return (call.body or "").encode("utf-8", "replace")
