"""Say who asks."""

from __future__ import annotations

import msgspec
from fastapi import Response

from emp_server import media
from emp_server.access import TheCaller
from emp_server.documents import WhoamiAnswer


async def whoami(caller: TheCaller) -> Response:
    """Say whose key the request shows, and what it may do; `key_id` is null where no key is asked for."""
    key = caller.key
    answer = WhoamiAnswer(
        key_id=key.key_id if key else None,
        name=caller.name,
        scopes=sorted(caller.scopes),
        expires_at=key.expires_at if key else None,
    )
    return Response(msgspec.json.encode(answer), media_type=media.JSON)
