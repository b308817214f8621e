"""`http.request`: one request, its answer as the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from emp_plugin_http.calls import Answer, Call, answer_body
from emp_plugin_http.received import RETRIED, Received
from emp_plugin_http.settings import MIB
from emp_worker import JobContext, JobError

if TYPE_CHECKING:
    from emp_plugin_http.exchange import Exchange

Status = Annotated[int, Field(ge=100, le=599)]


class Request(Call):
    """A request to make, and what its answer may be."""

    expect: list[Status] = Field(
        default_factory=list, max_length=64, description="the status codes that are a success; empty: 200 to 299"
    )
    redirects: int = Field(default=5, ge=0, le=20, description="how many redirects are followed; 0: they are answers")
    timeout_seconds: float = Field(default=30.0, gt=0, le=600, description="the longest time of the whole exchange")
    response_limit_bytes: int = Field(
        default=MIB, ge=0, le=8 * MIB, description="the most bytes of the answer's body; the operator may allow less"
    )


def failure(received: Received, what: str = "the service") -> JobError:
    """Make the error of an answer that is not what was expected; the service says when to come again."""
    shown = received.data[:200].decode("utf-8", "replace").strip()
    told = f"{what} answered {received.status}" + (f": {shown}" if shown else "")
    return JobError(
        told,
        retryable=received.status in RETRIED,
        code=f"status_{received.status}",
        retry_after=received.retry_after if received.status in RETRIED else None,
    )


async def request(payload: Request, job: JobContext) -> Answer:
    """Make one HTTP request and give its answer."""
    exchange: Exchange = job.resources
    limit = min(payload.response_limit_bytes, exchange.settings.response_limit_bytes)
    job.progress(0.0, f"{payload.method} sent")
    received = await exchange.send(
        payload, limit=limit, seconds=payload.timeout_seconds, redirects=payload.redirects, key=job.job_id
    )
    job.log.info("%s answered %d with %d bytes", received.url, received.status, len(received.data))
    if received.status not in payload.expect and (payload.expect or not 200 <= received.status <= 299):
        raise failure(received)
    return Answer(
        status=received.status,
        url=received.url,
        redirects=received.redirects,
        headers=dict(received.headers),
        **answer_body(received.data),
    )
