"""Declares one job type twice."""

from pydantic import BaseModel, Field

from emp_worker import JobType, hookimpl


class Text(BaseModel):
    """A text."""

    text: str = Field(description="the text")


async def echo(payload: Text) -> Text:
    """Give the text back."""
    return payload


@hookimpl
def emp_job_types():
    return [JobType("museum.duplicate", echo), JobType("museum.duplicate", echo)]
