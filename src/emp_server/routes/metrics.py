"""Tell a monitoring system how it stands, in the text format of Prometheus."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Final

import structlog
from fastapi import Response
from prometheus_client import CollectorRegistry, Info, generate_latest

from emp_core.errors import StoreError
from emp_core.store import Measured
from emp_server import media
from emp_server.metrics.store_families import StoreCollector
from emp_server.metrics.traffic import Traffic
from emp_server.parts import TheParts

PATIENCE: Final = 3.0
"""Seconds that the store may take: a scrape that ends after ten counts as failed."""

_log = structlog.get_logger("emp.server")


async def metrics(parts: TheParts) -> Response:
    """Give what the store counts, and what this server does.

    While the store is away the answer is 200 all the same, with `emp_store_up 0`: the server's own metrics matter most
    then.
    """
    parts.traffic.look(parts.crowd.streams)
    # In a thread: thousands of lines take longer than others should wait.
    text = await asyncio.to_thread(_written, parts.traffic, await _measured(parts), parts.settings.metrics_job_types)
    return Response(text, media_type=media.PROMETHEUS)


async def _measured(parts: TheParts) -> Measured | None:
    try:
        async with asyncio.timeout(PATIENCE):
            return await parts.store.measures.measure()
    except (StoreError, TimeoutError) as error:
        _log.debug("store_not_measured", error=str(error))
        return None


def _written(traffic: Traffic, measured: Measured | None, job_type_limit: int) -> bytes:
    registry = CollectorRegistry()
    Info("emp_build", "The release of EMP that answers.", registry=registry).info({"version": version("emp-jobs")})
    registry.register(StoreCollector(measured, job_type_limit))
    return generate_latest(registry) + generate_latest(traffic.registry)
