"""Has a payload of which no JSON Schema can be made."""

from collections.abc import Callable

from pydantic import BaseModel, Field

from emp_worker import JobType, hookimpl


class Text(BaseModel):
    """A text."""

    text: Callable[[], str] = Field(description="the text")


async def echo(payload: Text) -> Text:
    """Give the text back."""
    return payload


@hookimpl
def emp_job_types():
    return [JobType("museum.no_schema", echo)]
