"""Names a job type as no key may be named."""

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
    return [JobType("Museum: Bad Name", echo)]
