"""The protocol stripped to its bones, to know the limit: claim, validate, run, finish, and nothing else.

A job is a small hash, a payload and a place in one sorted set. One script call stores what has ended and claims the
next hundred. There are counters, and one publication of updates per call; there are no leases, tokens, attempts,
retries, expiry, limits, progress or logs. How near EMP comes to this is the price of its promises.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from itertools import count
from typing import Any

import uvloop
from pydantic import BaseModel
from redis.asyncio import Redis

from benchmarks.adapters import driver

BATCH = 100

SUBMIT = """
local scores = {}
for i = 1, #ARGV, 2 do
  redis.call('HSET', '{bare}:job:' .. ARGV[i], 'type', 'noop', 'state', 'pending', 'priority', '0', 'attempt', '0')
  redis.call('SET', '{bare}:payload:' .. ARGV[i], ARGV[i + 1])
  scores[#scores + 1] = redis.call('INCR', '{bare}:seq')
  scores[#scores + 1] = ARGV[i]
end
redis.call('ZADD', '{bare}:pending', unpack(scores))
redis.call('HINCRBY', '{bare}:counts', 'left', #ARGV / 2)
return 1
"""

# ARGV: how many to claim, then id and result of each job that has ended.
TURN = """
local now = redis.call('TIME')[1]
local updates, ended, finished = {}, {}, (#ARGV - 1) / 2
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  redis.call('HSET', '{bare}:job:' .. id, 'state', 'completed', 'finished_at', now)
  redis.call('SET', '{bare}:result:' .. id, ARGV[i + 1], 'EX', 86400)
  ended[#ended + 1] = id
  updates[#updates + 1] = '{"job_id":"' .. id .. '","status":"completed"}'
end
if finished > 0 then
  redis.call('ZREM', '{bare}:running', unpack(ended))
  redis.call('HINCRBY', '{bare}:counts', 'left', -finished)
end
local reply, running = {}, {}
local heads = redis.call('ZPOPMIN', '{bare}:pending', ARGV[1])
for i = 1, #heads, 2 do
  local id = heads[i]
  redis.call('HSET', '{bare}:job:' .. id, 'state', 'claimed', 'worker', 'w', 'attempt', '1', 'claimed_at', now)
  running[#running + 1] = now
  running[#running + 1] = id
  updates[#updates + 1] = '{"job_id":"' .. id .. '","status":"claimed"}'
  reply[#reply + 1] = id
  reply[#reply + 1] = redis.call('GET', '{bare}:payload:' .. id)
end
if #running > 0 then redis.call('ZADD', '{bare}:running', unpack(running)) end
if #updates > 0 then redis.call('PUBLISH', '{bare}:updates', table.concat(updates, '\\n')) end
return reply
"""


class Noop(BaseModel):
    """The payload."""

    sent: int
    text: str


class Done(BaseModel):
    """The result."""

    ok: bool


class BareAdapter(driver.Adapter):
    """The bare protocol, and the price of a round trip."""

    async def open(self) -> None:
        """Connect."""
        self._redis = Redis.from_url(driver.URL, legacy_responses=False)
        self._submit = await self._redis.script_load(SUBMIT)
        self._ids = count(time.time_ns())

    async def submit_many(self, payloads: list[dict[str, Any]]) -> None:
        """Submit many jobs."""
        for at in range(0, len(payloads), BATCH):
            items: list[Any] = []
            for payload in payloads[at : at + BATCH]:
                items += [next(self._ids), json.dumps(payload)]
            await self._redis.evalsha(self._submit, 0, *items)

    async def left(self) -> int:
        """Count what has not ended."""
        return int(await self._redis.hget("{bare}:counts", "left") or 0)

    async def round_trips(self, trips: int) -> float:
        """Make single round trips on one connection; gives how many there were in a second."""
        began = time.perf_counter()
        for _ in range(trips):
            await self._redis.set("{bare}:trip", "x")
        return trips / (time.perf_counter() - began)


async def _run(job_id: bytes, payload: bytes, ended: list[Any]) -> None:
    job = Noop.model_validate_json(payload)
    driver.begun(job.sent)
    ended += [job_id, Done(ok=True).model_dump_json()]


async def work() -> None:
    """Run a worker until it is ended."""
    redis = Redis.from_url(driver.URL, legacy_responses=False)
    turn = await redis.script_load(TURN)
    ended: list[Any] = []
    while True:
        reply = await redis.evalsha(turn, 0, BATCH, *ended)
        ended = []
        if not reply:
            await asyncio.sleep(0.005)
            continue
        jobs = zip(*[iter(reply)] * 2, strict=True)
        await asyncio.gather(*(asyncio.create_task(_run(job_id, payload, ended)) for job_id, payload in jobs))


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        uvloop.run(work())
    else:
        driver.serve(BareAdapter())
