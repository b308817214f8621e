"""The tests that the page on testing shows pass, on the plugin of the tutorial."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from support.pages import code, page

pytestmark = pytest.mark.process

PLUGIN = re.compile(r'^```python title="emp-plugin-wordcount/src/([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def test_the_tests_of_the_page_pass(tmp_path):
    for path, content in PLUGIN.findall(page("docs/tutorials/your-first-job-type.md")):
        file = tmp_path / "site" / path
        file.parent.mkdir(parents=True)
        file.write_text(content)
    shown = code(page("docs/how-to/test-a-plugin.md"), "python")
    for number, content in enumerate(shown):
        (tmp_path / f"test_{number}.py").write_text(content)
    (tmp_path / "conftest.py").write_text("import pytest\n\n@pytest.fixture\ndef anyio_backend(): return 'asyncio'\n")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:valkey", "-W", "error", "--rootdir", str(tmp_path), "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    assert f"{len(shown)} passed" in run.stdout
