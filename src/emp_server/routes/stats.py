"""Show counts: by type and state, and by minute."""

from __future__ import annotations

import msgspec
from fastapi import Response

from emp_server import media
from emp_server.answers import stats_answer
from emp_server.parts import TheParts


async def get_stats(parts: TheParts) -> Response:
    """Count jobs by type and state, totals that only grow, the last hour by minute, and the oldest pending jobs."""
    stats = await parts.store.views.stats()
    return Response(msgspec.json.encode(stats_answer(stats)), media_type=media.JSON)
