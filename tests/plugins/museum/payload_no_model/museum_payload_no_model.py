"""Has a payload that is no pydantic model."""

from pydantic import BaseModel, Field

from emp_worker import JobType, hookimpl


class Text(BaseModel):
    """A text."""

    text: str = Field(description="the text")


async def echo(payload: dict[str, str]) -> Text:
    """Give the text back."""
    return payload


@hookimpl
def emp_job_types():
    return [JobType("museum.payload_no_model", echo)]
