"""The model as the keys and values that must stand in the store, derived anew each time, and what does stand there."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import Any

import redis

from emp_core.jobs import FINAL_STATES, JobState
from emp_core.store.records import BEGINS_WITH

from . import Model, ModelJob
from .world import ModelWorker

INFO = {"name": "tester"}
PLUGIN = "1.0"
"""The version of the plugin that every worker of the model claims with."""

Picture = dict[str, Any]
"""Names of keys without their tag, and values: text, list, set or dict; a zset is a dict of scores."""

SHORT_LIVED = ("minute:", "wake:", "bell:", "idem")

_READ_ALL = """
local readers = {string = {'GET'}, hash = {'HGETALL'}, list = {'LRANGE', 0, -1}, set = {'SMEMBERS'},
  zset = {'ZRANGE', 0, -1, 'WITHSCORES'}}
local found = {}
for i, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local command = readers[kind]
  local value = redis.call(command[1], key, unpack(command, 2))
  found[i] = {key, kind, redis.call('PTTL', key), value}
end
return found
"""


def wanted(model: Model) -> Picture:
    """Give everything that must stand in the store."""
    picture: Picture = {}
    for job in model.jobs.values():
        picture |= _own_keys(job)
    picture |= _indexes(model) | _counters(model)
    for worker, known in model.workers.items():
        picture[f"worker:{worker}"] = _worker(known)
    picture |= {f"wake:{job_type}": [b"1"] for job_type in model.rings}
    picture |= {f"bell:{worker}": [b"1"] for worker in model.bells}
    picture["paused"] = model.paused
    picture["lost"] = model.gone[:100]
    picture["idem"] = sorted(f"{job_id} {digest}".encode() for job_id, digest in model.idempotency.values())
    picture["types"] = model.types
    picture["epoch"] = model.has_epoch
    picture["format"] = model.format
    picture["seq"] = model.seq
    if model.swept_at is not None:
        picture["sweep"] = {"at": str(model.swept_at), "hold_until": str(model.hold_until)}
    return {key: value for key, value in picture.items() if value}


def wanted_lives(model: Model) -> set[str]:
    """Give the keys that must have a time to live: what is short-lived, and the large ones of final jobs."""
    of_jobs = {key for job in model.jobs.values() if job.state in FINAL_STATES for key in _own_keys(job)}
    short = {key for key in wanted(model) if key.startswith(SHORT_LIVED)}
    return {key for key in of_jobs if not key.startswith("job:")} | short


def _own_keys(job: ModelJob) -> Picture:
    own = {
        "job": _record(job),
        "payload": job.payload,
        "result": job.result,
        "error": job.error,
        "log": job.log,
        "attempts": [{**record, "error": json.loads(record["error"] or b"null")} for record in job.attempts],
    }
    return {f"{kind}:{job.job_id}": value for kind, value in own.items() if value}


def _record(job: ModelJob) -> dict[str, str]:
    held = job.claimed_at is not None
    fields = {
        "type": job.job_type,
        "state": job.state,
        "tags": "\n".join(job.tags) or None,
        "token": job.token or None,
        "worker": job.worker,
        "plugin": PLUGIN if held else None,
        "progress": job.fraction,
        "message": job.message,
        "reason": job.reason,
        "settled": job.settled,
        "cancel_by": "tester" if job.cancel_at is not None else None,
        "cancel_why": "" if job.cancel_at is not None else None,
        "logged": f"{job.logged[0]} {job.logged[1]}" if job.logged else None,
        "handle": job.handle.decode() or None,
        "round": job.round if job.round > 1 else None,
        "suspect": "1" if job.is_suspect else None,
        "place": "child" if job.in_child else None,
        "on_lost": "fail" if job.fails_with_worker else None,
    }
    numbers = ("priority", "attempt", "max_attempts", "created_at", "retention", "run_at", "expires_at")
    numbers += ("claimed_at", "started_at", "finished_at", "cancel_at")
    fields |= {name: getattr(job, name) for name in numbers} | {"no": job.seq}
    fields |= {name: getattr(job, name) or None for name in ("losses", "releases", "refusals")}
    return {name: str(value) for name, value in fields.items() if value is not None}


def _worker(known: ModelWorker) -> dict[str, str]:
    fields = {
        "info": json.dumps(INFO),
        "started_at": str(known.started_at),
        "renewed_at": str(known.renewed_at),
        "lost": known.lost,
        "draining": "1" if known.draining else None,
        "lag": "0.000" if known.renewed else None,
        "troubles": "" if known.renewed else None,
    }
    if known.claim_ids is not None:
        fields |= {"claim": str(known.claim), "claim_ids": " ".join(known.claim_ids)}
    return {name: value for name, value in fields.items() if value is not None}


def _indexes(model: Model) -> Picture:
    picture: defaultdict[str, dict[str, int]] = defaultdict(dict)
    sets: defaultdict[str, set[str]] = defaultdict(set)
    for job in model.jobs.values():
        for tag in job.tags:
            picture[f"tag:{tag}"][job.job_id] = job.created_at
        if job.is_running:
            assert job.claimed_at is not None
            picture["running"][job.job_id] = job.claimed_at
            sets[f"held:{job.worker}"].add(job.job_id)
            if job.cancel_at is not None:
                sets[f"asked:{job.worker}"].add(job.job_id)
        elif job.state in FINAL_STATES:
            assert job.finished_at is not None
            for index in (f"finished:{job.state}", f"finished:{job.state}:{job.job_type}"):
                picture[index][job.job_id] = job.finished_at
            picture["retained"][job.job_id] = job.deleted_at
        else:
            if job.state is JobState.PENDING:
                picture[f"pending:{job.job_type}"][job.job_id] = (1000 - job.priority) * 2**42 + job.seq
            else:
                assert job.run_at is not None
                picture["scheduled"][job.job_id] = job.run_at
            if job.expires_at is not None:
                picture["expiring"][job.job_id] = job.expires_at
    picture["workers"] = {worker: known.lease for worker, known in model.workers.items()}
    return {**picture, **sets}


def _counters(model: Model) -> Picture:
    live = Counter(f"{job.state}:{job.job_type}" for job in model.jobs.values() if job.state not in FINAL_STATES)
    minutes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (minute, field), n in model.minutes.items():
        minutes[f"minute:{minute}"][field] = n
    return {"counts": dict(model.totals + live), "totals": dict(+model.for_ever), **minutes}


def found(client: redis.Redis, namespace: str) -> tuple[Picture, set[str]]:
    """Read everything that stands in the store, and which keys have a time to live."""
    picture: Picture = {"idem": []}
    lives = set()
    for raw_key, kind, life, raw in client.eval(_READ_ALL, 0):  # type: ignore[union-attr]
        tag, _, name = raw_key.decode().partition("}:")
        assert tag in {f"{{emp:{namespace}", f"{{emp:{namespace}:00"}, raw_key
        value = _value(kind.decode(), raw)
        if name == "offset":
            continue
        if name.startswith("idem:"):
            picture["idem"] = sorted([*picture["idem"], value])
            name = "idem"
        else:
            picture[name] = _READ_AS.get(name.partition(":")[0], lambda as_it_is: as_it_is)(value)
        if life > 0:
            lives.add(name)
    return {key: value for key, value in picture.items() if value}, lives


def _value(kind: str, raw: Any) -> Any:
    if kind == "hash":
        return {name.decode(): value.decode() for name, value in zip(raw[::2], raw[1::2], strict=True)}
    if kind == "zset":
        return {name.decode(): int(float(score)) for name, score in zip(raw[::2], raw[1::2], strict=True)}
    if kind == "set":
        return {member.decode() for member in raw}
    return raw


def _attempt(record: bytes) -> dict[str, Any]:
    read = json.loads(record)
    assert read.pop("plugin_version") == PLUGIN
    return dict(read)


def _gone(record: bytes) -> tuple[str, str, str]:
    read = json.loads(record)
    return read["worker_id"], read["status"], read["reason"]


def _numbers(fields: dict[str, str]) -> dict[str, int]:
    return {name: int(n) for name, n in fields.items() if int(n)}


_READ_AS = {
    "job": lambda fields: BEGINS_WITH | fields,
    "attempts": lambda records: [_attempt(record) for record in records],
    "lost": lambda records: [_gone(record) for record in records],
    "counts": _numbers,
    "totals": _numbers,
    "minute": _numbers,
    "types": lambda fields: {name: int(value.split(" ", 1)[0]) for name, value in fields.items()},
    "epoch": bool,
    "format": int,
    "seq": int,
}
