"""HTTP to a server of a test: without certificates, whose reading takes 50 ms, and without proxies."""

from __future__ import annotations

from typing import Any

import httpx2

from emp_core.client.connecting import NO_AUTHORITIES


def asking(url: str = "", *, timeout: float = 20, **options: Any) -> httpx2.AsyncClient:
    """Make a client of a server."""
    return httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False, verify=NO_AUTHORITIES, **options)


def ask(url: str, *, timeout: float = 20, **options: Any) -> httpx2.Response:
    """Send one GET."""
    return httpx2.get(url, timeout=timeout, trust_env=False, verify=NO_AUTHORITIES, **options)
