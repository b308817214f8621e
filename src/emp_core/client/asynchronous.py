"""The client for code on an event loop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx2

from emp_core.client import calls
from emp_core.client.calls import Call
from emp_core.client.connecting import EVENT_BYTES, FRUITLESS_PAUSE, PATIENCE, TIMEOUT, Deadline, Line
from emp_core.client.retrying import Repeats
from emp_core.client.settings import server_and_key
from emp_core.client.submission import JobOptions, JobRequest, chunks, envelope
from emp_core.client.views import JobTypeView, JobUpdate, JobView, LogLine, StatsView, WhoView, WorkerView
from emp_core.errors import EmpError

T = TypeVar("T")


class AsyncEmpClient:
    """Submits jobs to an EMP server and follows them. Use it as an asynchronous context manager, or close it.

    `url` is the server's address, `api_key` is sent as a bearer token, `timeout` the seconds for one answer.
    `patience` is how many seconds a call goes on when the line fails or the server answers 503 with `Retry-After`:
    requests are repeated with growing, jittered pauses, but only where a repetition cannot do anything twice.

    Every method raises `Unreachable` when patience is over, and the class of `emp_core.errors` that the server's answer
    names (`UnknownJobType`, `InvalidPayload`, `JobNotFound`, ...); a problem of an unknown name is an `EmpError`.
    May be shared between the coroutines of one loop.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, patience: float = PATIENCE, timeout: float = TIMEOUT
    ) -> None:
        """Make a client; nothing is sent yet.

        Raises:
            SettingsError: the URL is not an http or https URL.
        """
        self._line = Line(url, api_key, patience, timeout)
        self._http = httpx2.AsyncClient(**self._line.client_arguments())

    @classmethod
    def configured(cls, url: str | None = None, *, patience: float = PATIENCE, timeout: float = TIMEOUT) -> Self:
        """Make a client as the `emp` command does: for EMP_URL or emp.toml, with the key of EMP_API_KEY or `emp login`.

        Raises:
            SettingsError: a setting is wrong, or the file of `emp login` can be read by others.
        """
        server, api_key = server_and_key(url)
        return cls(server, api_key=api_key, patience=patience, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def submit(
        self, job_type: str, payload: Any, *, wait: float | None = None, **options: Unpack[JobOptions]
    ) -> JobView:
        """Submit one job; a repetition after a lost answer never makes a second one.

        `payload` is a pydantic model, anything that JSON can say, or `RawJson`. `options` are the fields of
        `JobRequest`: priority, delay, run_at, expires_in, expires_at, timeout, progress_timeout, max_attempts, backoff,
        on_worker_lost, retention, tags, idempotency_key. With `wait` the answer comes when the job has
        ended, or after so many seconds (a server holds an answer for a minute at most).

        Raises:
            UnknownJobType: nobody has announced this type; `near` holds names like it.
            InvalidPayload: it does not fit the type's schema; `faults` says where.
            WaitingLineFull: too many jobs of this type wait.
        """
        return await self._send(calls.submit(JobRequest(job_type, payload, **options).keyed(), wait))

    async def submit_many(self, requests: Iterable[JobRequest]) -> list[JobView | EmpError]:
        """Submit many jobs, up to 1,000 or 32 MiB in a round trip; give a job or an error for each, in order.

        An error of a whole round trip (`Unreachable`, `StoreUnavailable`) is raised. Give the requests keys of your own
        where the same list is to be sent again after that.

        Raises:
            InvalidPayload: a payload cannot be written as JSON; the batches before it are submitted.
        """
        envelopes = (envelope(request.keyed(), keyed=True) for request in requests)
        return [answer for batch in chunks(envelopes) for answer in await self._send(calls.submit_batch(batch))]

    async def get(self, job_id: str) -> JobView:
        """Give a job as it is now.

        Raises:
            JobNotFound: no job has this id.
        """
        return await self._send(calls.get(job_id))

    async def wait(self, job_id: str, timeout: float | None = None) -> JobView:
        """Give a job when it has ended, however it ended.

        Raises:
            WaitTimedOut: it had not ended after `timeout` seconds; it goes on.
            JobNotFound: no job has this id.
        """
        deadline = Deadline(job_id, timeout)
        while True:
            asked = deadline.next_poll()
            begun = time.monotonic()
            job = await self._send(calls.get(job_id, asked))
            if job.final:
                return job
            if time.monotonic() - begun < asked / 2:
                await asyncio.sleep(min(FRUITLESS_PAUSE, asked))

    async def watch(self, job_id: str) -> AsyncGenerator[JobUpdate, None]:
        """Give the job's state as it is, then each change, and end after the final one.

        A dropped stream is opened again and begins with the state of that moment: changes between may be missed, the
        final one never is. Patience begins anew with every update.

        Raises:
            JobNotFound: no job has this id.
        """
        last: JobUpdate | None = None
        repeats = Repeats(self._line.patience)
        while last is None or not last.final:
            try:
                # Closed by name: a generator that is left early keeps its connection until it is collected.
                async with aclosing(self._stream(job_id)) as updates:
                    async for update in updates:
                        repeats.succeeded()
                        if update != last:
                            last = update
                            yield update
            except (httpx2.TransportError, httpx2.HTTPStatusError) as failure:
                pause = repeats.pause_after(failure, repeatable=True)
                if pause is None:
                    raise self._line.meaning(failure, calls.get(job_id)) from failure
                await asyncio.sleep(pause)

    async def cancel(self, job_id: str, why: str = "") -> JobView:
        """Call a job off: a waiting one at once, a running one when its handler stops. `why` is kept with the job.

        Raises:
            StateConflict: it has completed or failed.
            JobNotFound: no job has this id.
        """
        return await self._send(calls.cancel(job_id, why))

    async def revive(self, job_id: str) -> JobView:
        """Put a failed or cancelled job back into the waiting line, with all its attempts.

        Not repeated after a lost answer, since the second time is refused.

        Raises:
            StateConflict: it has neither failed nor been cancelled.
            JobNotFound: no job has this id.
        """
        return await self._send(calls.revive(job_id))

    async def result(self, job_id: str) -> Any:
        """Give what a completed job's handler returned, as Python values.

        Raises:
            StateConflict: it has not completed; `state` says what it is.
            JobNotFound: no job has this id.
        """
        return json.loads(await self.result_bytes(job_id))

    async def result_bytes(self, job_id: str) -> bytes:
        """Give a completed job's result as the JSON text that the handler's side wrote; errors as of `result`."""
        return await self._send(calls.result_bytes(job_id))

    async def payload_bytes(self, job_id: str) -> bytes:
        """Give a job's payload byte for byte as it was submitted.

        Raises:
            JobNotFound: no job has this id.
        """
        return await self._send(calls.payload_bytes(job_id))

    async def log(self, job_id: str, start: int = 0) -> list[LogLine]:
        """Give what a job's handler logged, from line `start` (0 is the first) on.

        Raises:
            JobNotFound: no job has this id.
        """
        return await self._send(calls.log(job_id, start))

    async def jobs(
        self,
        *,
        state: str | None = None,
        job_type: str | None = None,
        tag: str | None = None,
        worker: str | None = None,
    ) -> AsyncIterator[JobView]:
        """Give jobs, page by page as they are asked for: waiting ones in claim order, others newest first.

        `state` is a state, or `running` (claimed or in_progress).

        Raises:
            InvalidRequest: no index serves this combination; the message names those that are served.
        """
        following: Mapping[str, str] | None = calls.filtered(state, job_type, tag, worker)
        while following is not None:
            page = await self._send(calls.page(following))
            for job in page.jobs:
                yield job
            following = page.following

    async def job_types(self) -> list[JobTypeView]:
        """Give every job type that workers have announced."""
        return await self._send(calls.job_types())

    async def job_type(self, name: str) -> JobTypeView:
        """Give one job type with its schemas.

        Raises:
            UnknownJobType: nobody has announced it; `near` holds names like it.
        """
        return await self._send(calls.job_type(name))

    async def workers(self) -> list[WorkerView]:
        """Give the workers that live now."""
        return await self._send(calls.workers())

    async def drain(self, worker_id: str) -> None:
        """Ask a worker to claim no more jobs, finish those it has, and end.

        Raises:
            WorkerNotFound: no worker has this id now.
        """
        await self._send(calls.drain(worker_id))

    async def whoami(self) -> WhoView:
        """Give whose API key this client sends, and what it may do.

        Raises:
            Unauthenticated: the server asks for a key, and this one is unknown, revoked or expired.
        """
        return await self._send(calls.whoami())

    async def stats(self) -> StatsView:
        """Give the counts by job type and state, and the throughput of the last hour by minute."""
        return await self._send(calls.stats())

    async def _send(self, call: Call[T]) -> T:
        """Carry a call out, again and again while that is sensible."""
        repeats = Repeats(self._line.patience)
        while True:
            try:
                response = await self._http.request(
                    call.method,
                    call.path,
                    params=call.params,
                    headers=call.headers,
                    content=call.content,
                    timeout=self._line.limits(call.wait),
                )
                response.raise_for_status()
                return call.answer(response)
            except (httpx2.TransportError, httpx2.HTTPStatusError) as failure:
                pause = repeats.pause_after(failure, repeatable=call.repeatable)
                if pause is None:
                    raise self._line.meaning(failure, call) from failure
            await asyncio.sleep(pause)

    async def _stream(self, job_id: str) -> AsyncGenerator[JobUpdate, None]:
        """Give the updates of one connection, until the final one."""
        limits = self._line.stream_limits()
        async with self._http.sse(calls.event_path(job_id), timeout=limits, max_event_size=EVENT_BYTES) as stream:
            if not stream.response.is_success:
                await stream.response.aread()
                stream.response.raise_for_status()
            async for event in stream:
                update = calls.update_of(event.data)
                if update is not None:
                    yield update
                    if update.final:
                        return
        raise httpx2.RemoteProtocolError("the stream ended before the job did")
