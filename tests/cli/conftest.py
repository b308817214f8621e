"""The server and worker that these tests talk to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from emp_core.store.embedded import EmbeddedStore
from support.running import running_stack


@pytest.fixture(scope="session")
def emp_url(valkey: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a real server with a real worker; shared, so a test looks at its own jobs only."""
    with running_stack(valkey.url, tmp_path_factory.mktemp("stack") / "stack.log") as url:
        yield url
