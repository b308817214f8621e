"""Has a handler that takes three arguments."""

from pydantic import BaseModel, Field

from emp_worker import JobType, hookimpl


class Text(BaseModel):
    """A text."""

    text: str = Field(description="the text")


async def echo(payload: Text, job, database) -> Text:
    """Give the text back."""
    return payload


@hookimpl
def emp_job_types():
    return [JobType("museum.wrong_signature", echo)]
