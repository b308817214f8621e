"""The messages that EMP publishes: facts for observers, safe to lose and safe to repeat.

An observer that misses one reads the store. Fields are fixed by the specification; later ones are optional.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class BaseMessage(BaseModel):
    """What every message has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str = Field(description="which message this is")
    timestamp: float = Field(description="when it happened, in Unix seconds of the store's clock")


class JobAvailableMessage(BaseMessage):
    """A job waits for a worker."""

    type: Literal["job_available"] = "job_available"
    job_id: str = Field(description="the job's id")
    job_type: str = Field(description="its job type")
    priority: int = Field(description="its priority; a higher number is more urgent")
    job_request_payload: str = Field(description="its payload as a JSON string; empty if it is omitted")
    payload_omitted: bool = Field(
        default=False, description="whether the payload is omitted: over 4 KiB, or unreadable"
    )


class JobUpdateMessage(BaseMessage):
    """A job has changed."""

    type: Literal["job_update"] = "job_update"
    job_id: str = Field(description="the job's id")
    job_type: str = Field(default="", description="its job type")
    status: str = Field(description="its state")
    progress: float = Field(description="how much is done, 0.0 to 1.0")
    message: str = Field(description="what its handler said last")


class WorkerStatusMessage(BaseMessage):
    """A worker has changed: with each claim that takes jobs it is busy, without a job it is idle."""

    type: Literal["worker_status"] = "worker_status"
    worker_id: str = Field(description="the worker's id")
    status: str = Field(description="idle, busy, draining, lost or left")
    job_id: str | None = Field(default=None, description="the job that it claimed last; only with busy")
    job_type: str | None = Field(default=None, description="that job's type")


Message = Annotated[JobAvailableMessage | JobUpdateMessage | WorkerStatusMessage, Field(discriminator="type")]

_MESSAGE: TypeAdapter[JobAvailableMessage | JobUpdateMessage | WorkerStatusMessage] = TypeAdapter(Message)


def parse_message(text: str | bytes) -> JobAvailableMessage | JobUpdateMessage | WorkerStatusMessage:
    """Read one message from its JSON.

    Raises:
        pydantic.ValidationError: it is not one of the messages.
    """
    return _MESSAGE.validate_json(text)
