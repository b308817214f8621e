"""Imported before redis-py: it would import the SDK of OpenTelemetry where that is installed, for metrics of its own.

Nobody asks it for them; a process starts 0.1 s sooner without.
"""

from __future__ import annotations

from emp_core.importing import import_without

import_without("redis.asyncio", missing="opentelemetry")
