"""Is sound, but prints and writes to every stream while it is imported."""

import os
import sys

from pydantic import BaseModel, Field

from emp_worker import JobType, hookimpl

print("{'noise': 1}", flush=True)
os.write(1, b"noise below Python\n")
sys.stderr.write("noise on standard error\n")
sys.stdout = sys.stderr


class Text(BaseModel):
    """A text."""

    text: str = Field(description="the text")


async def echo(payload: Text) -> Text:
    """Give the text back."""
    return payload


@hookimpl
def emp_job_types():
    return [JobType("museum.noisy", echo)]
