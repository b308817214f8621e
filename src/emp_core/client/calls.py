"""Every call that the client makes, as data: the request, and how its answer is read. Both clients carry them out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import TypeAdapter

from emp_core.client.problems import error_of
from emp_core.client.submission import JobRequest, envelope
from emp_core.client.views import JobTypeView, JobUpdate, JobView, LogLine, Progress, StatsView, WhoView, WorkerView
from emp_core.errors import EmpError, InvalidRequest, NotFound, StateConflict
from emp_core.jobs import JobState
from emp_core.tracing import trace_headers

T = TypeVar("T")
V = TypeVar("V")

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
LONGEST_NAME = 1000
"""Characters of a name or a value in an address; no name in EMP is as long."""
JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One request, and `read`, which makes its answer a value.

    `repeatable`: sending it twice does what sending it once does. `wait`: seconds that the server may hold the answer.
    """

    method: str
    path: str
    read: Callable[[httpx2.Response], T]
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    repeatable: bool = True
    wait: float = 0.0

    def __post_init__(self) -> None:
        for name, value in self.params.items():
            if len(value) > LONGEST_NAME or not _is_text(value):
                raise InvalidRequest(f"{name} is not text, or longer than {LONGEST_NAME} characters")

    def answer(self, response: httpx2.Response) -> T:
        """Read an answer that is not a problem.

        Raises:
            EmpError: it is not an answer of EMP.
        """
        if response.headers.get("content-type", "").startswith("text/html"):
            raise EmpError(f"{self.method} {response.url} was not answered by an EMP server, but with a web page")
        try:
            return self.read(response)
        except (ValueError, KeyError, TypeError) as error:  # pydantic's errors are ValueErrors
            raise EmpError(f"{self.method} {response.url} was not answered by an EMP server: {error}") from error


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list of jobs, and the parameters that ask for the next part (None: this was the last)."""

    jobs: tuple[JobView, ...]
    following: Mapping[str, str] | None


def _reader(kind: Any, member: str | None = None) -> Callable[[httpx2.Response], Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)

    def read(response: httpx2.Response) -> Any:
        if member is None:
            return adapter.validate_json(response.content)
        return adapter.validate_python(response.json()[member])

    return read


_JOB: Callable[[httpx2.Response], JobView] = _reader(JobView)


def job_path(job_id: str, rest: str = "") -> str:
    """Give a job's address."""
    return f"/v1/jobs/{segment(job_id)}{rest}"


def segment(name: str) -> str:
    """Make an id or a name, whatever it holds, one segment of an address.

    Raises:
        NotFound: nothing can have this name: it would lead to another address (RFC 3986, section 5.2.4), or to none.
    """
    if name in {"", ".", ".."} or len(name) > LONGEST_NAME or not _is_text(name):
        shown = name if len(name) <= 40 else f"{name[:37]}..."
        raise NotFound(f"there is nothing named {shown!r}")
    return quote(name, safe="")


def _is_text(value: str) -> bool:
    """Tell whether a text can be sent: one that came from bytes which are not UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def submit(request: JobRequest, wait: float | None) -> Call[JobView]:
    """Submit one job that has its idempotency key."""
    key = request.idempotency_key or ""
    if _KEY.fullmatch(key) is None:
        raise InvalidRequest("an idempotency key is 1 to 255 visible ASCII characters")
    headers = {**JSON, **trace_headers(), "idempotency-key": key}
    params = {} if wait is None else {"wait": f"{wait:g}"}
    return Call("POST", "/v1/jobs", _JOB, params, headers, envelope(request), wait=wait or 0.0)


def submit_batch(envelopes: Sequence[bytes]) -> Call[list[JobView | EmpError]]:
    """Submit many jobs whose envelopes carry their keys; one answer per job, in order."""

    def read(response: httpx2.Response) -> list[JobView | EmpError]:
        items = [_batch_item(json.loads(line)) for line in response.content.split(b"\n") if line.strip()]
        if len(items) != len(envelopes):
            raise ValueError(f"{len(envelopes)} jobs were sent, {len(items)} answered")
        return items

    return Call(
        "POST", "/v1/jobs/batch", read, headers={**JSON, **trace_headers()}, content=b"[" + b",".join(envelopes) + b"]"
    )


def _batch_item(document: Mapping[str, Any]) -> JobView | EmpError:
    if "id" in document:
        return JobView.model_validate(document)
    return error_of(int(document.get("status", 0)), document)


def get(job_id: str, wait: float = 0.0) -> Call[JobView]:
    """Read a job, after it ended or after `wait` seconds."""
    return Call("GET", job_path(job_id), _JOB, {"wait": f"{wait:g}"} if wait else {}, wait=wait)


def cancel(job_id: str, why: str) -> Call[JobView]:
    """Call a job off; a job that is cancelled already stays so."""
    content = json.dumps({"why": why}).encode() if why else None
    return Call("POST", job_path(job_id, "/cancel"), _JOB, headers=JSON, content=content)


def revive(job_id: str) -> Call[JobView]:
    """Put a failed or cancelled job back into the waiting line; a second time would be refused."""
    return Call("POST", job_path(job_id, "/revive"), _JOB, headers=JSON, repeatable=False)


def result_bytes(job_id: str) -> Call[bytes]:
    """Read a completed job's result as it came from the handler."""

    def read(response: httpx2.Response) -> bytes:
        if response.status_code == httpx2.codes.ACCEPTED:
            state = _JOB(response).state
            raise StateConflict(f"job {job_id} has no result yet: it is {state}", state=state)
        return response.content

    return Call("GET", job_path(job_id, "/result"), read)


def payload_bytes(job_id: str) -> Call[bytes]:
    """Read a job's payload as it was sent."""
    return Call("GET", job_path(job_id, "/payload"), lambda response: response.content)


def log(job_id: str, start: int) -> Call[list[LogLine]]:
    """Read a job's log lines from number `start` on."""

    def read(response: httpx2.Response) -> list[LogLine]:
        return [LogLine.model_validate_json(line) for line in response.content.split(b"\n") if line.strip()]

    return Call("GET", job_path(job_id, "/log"), read, {"start": str(start)} if start else {})


def filtered(state: str | None, job_type: str | None, tag: str | None, worker: str | None) -> dict[str, str]:
    """Give the parameters that ask for the first page of a filter."""
    wanted = {"state": state, "job_type": job_type, "tag": tag, "worker": worker}
    return {name: value for name, value in wanted.items() if value is not None}


def page(params: Mapping[str, str]) -> Call[Page]:
    """Read one page of the jobs that a filter finds."""

    def read(response: httpx2.Response) -> Page:
        following = response.links.get("next")
        parameters = None if following is None else dict(httpx2.URL(following["url"]).params)
        jobs = TypeAdapter(tuple[JobView, ...]).validate_python(response.json()["jobs"])
        return Page(jobs, parameters)

    return Call("GET", "/v1/jobs", read, params)


def job_types() -> Call[list[JobTypeView]]:
    """Read what can be submitted."""
    return Call("GET", "/v1/job-types", _reader(list[JobTypeView], "job_types"))


def job_type(name: str) -> Call[JobTypeView]:
    """Read one job type with its schemas."""
    return Call("GET", f"/v1/job-types/{segment(name)}", _reader(JobTypeView))


def workers() -> Call[list[WorkerView]]:
    """Read who works now."""
    return Call("GET", "/v1/workers", _reader(list[WorkerView], "workers"))


def drain(worker_id: str) -> Call[None]:
    """Ask a worker to claim no more jobs."""
    return Call("POST", f"/v1/workers/{segment(worker_id)}/drain", lambda _: None, headers=JSON)


def stats() -> Call[StatsView]:
    """Read the counts and the throughput."""
    return Call("GET", "/v1/stats", _reader(StatsView))


def whoami() -> Call[WhoView]:
    """Ask whose key is sent."""
    return Call("GET", "/v1/whoami", _reader(WhoView))


def event_path(job_id: str) -> str:
    """Give the address of a job's stream of updates."""
    return job_path(job_id, "/events")


def update_of(data: str) -> JobUpdate | None:
    """Read one event of a job's stream: the job as it is, or an update; None for an event of another kind.

    Raises:
        EmpError: it is not an event of EMP.
    """
    try:
        document = json.loads(data) if data else None
        if not isinstance(document, dict):
            return None
        if "state" in document and "id" in document:
            job = JobView.model_validate(document)
            return JobUpdate(job_id=job.id, state=job.state, progress=job.progress)
        if "status" in document and "job_id" in document:
            progress = Progress(fraction=document.get("progress", 0.0), message=document.get("message", ""))
            return JobUpdate(job_id=document["job_id"], state=JobState(document["status"]), progress=progress)
    except ValueError as error:
        raise EmpError(f"the stream holds an event that no EMP server sends: {error}") from error
    return None
