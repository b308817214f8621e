"""Handlers find no credentials of EMP in the environment, of their own process or of the one that started it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.bench import Bench
from support.processes import StartedProcess
from support.scratch_plugins import install

from .conftest import EMP

pytestmark = [pytest.mark.anyio, pytest.mark.process]

NOSY = '''
import os
from pathlib import Path
from pydantic import BaseModel
from emp_worker import JobType, hookimpl

class Nothing(BaseModel):
    pass

def look(payload: Nothing) -> list[str]:
    """Return every variable of EMP that can be seen, and those of the process that started this one."""
    own = [f"{name}={value}" for name, value in os.environ.items()]
    parent = Path(f"/proc/{os.getppid()}/environ")
    theirs = parent.read_bytes().decode().split("\\0") if WITH_PARENT and parent.exists() else []
    return sorted({each for each in (*own, *theirs) if each.upper().startswith("EMP_")})

@hookimpl
def emp_job_types():
    return [JobType("nosy.look", look, isolation=ISOLATION)]
'''


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_a_handler_finds_no_credentials(
    bench: Bench, start_process: Callable[..., StartedProcess], tmp_path: Path, isolation: str
) -> None:
    """Settings of plugins are there all the same."""
    site = tmp_path / "site"
    site.mkdir()
    constants = f"ISOLATION = {isolation!r}\nWITH_PARENT = {isolation == 'process'}\n"
    install(site, "emp-plugin-nosy", constants + NOSY)
    env = {
        "EMP_REDIS_URL": bench.url,
        "EMP_NAMESPACE": bench.namespace,
        "EMP_API_KEY": "emp_secret",
        "EMP_NOSY_COLOUR": "red",
        "EMP_TYPES": "nosy.*",
        "PYTHONPATH": str(site),
    }
    start_process([EMP, "worker"], env=env)

    job_id = await bench.submit(job_type="nosy.look", payload=b"{}")
    done = await bench.final(job_id, timeout=30)

    seen = {each.partition("=")[0] for each in json.loads(done.result)}
    assert "EMP_NOSY_COLOUR" in seen
    assert not seen & {"EMP_REDIS_URL", "EMP_REDIS_URL_FILE", "EMP_API_KEY"}
