"""The settings of the HTTP server: where it listens, whom it answers, and how much it takes at once."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field

from emp_core.jobs import BATCH_LIMIT, LONGEST_DELAY, PAYLOAD_LIMIT
from emp_core.settings import Names, Seconds, StoreSettings, Tracing
from emp_core.store import WAITING_LIMIT

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
ENVELOPE_ROOM = 64 * 1024
"""Bytes that the envelope of a submission may take besides its payload."""


class ServerSettings(StoreSettings):
    """What the server needs besides the store."""

    host: str = Field(default="127.0.0.1", description="the address to listen on")
    port: int = Field(default=8321, ge=0, le=65535, description="the port to listen on; 0 takes a free one")
    server_workers: int = Field(default=1, ge=1, le=64, description="server processes that share the port")
    durability: str = Field(
        default="store",
        pattern="^(store|replica)$",
        description="when a submission is answered: when the store has it, or (replica) when a replica has it, too",
    )
    insecure: bool = Field(default=False, description="ask nobody for an API key, beyond loopback neither")
    require_key: bool = Field(
        default=False,
        description="ask for an API key on loopback, too, before there is one: for a server behind a proxy",
    )
    keys_fresh_for: Seconds = Field(
        default=timedelta(seconds=1),
        gt=timedelta(0),
        le=timedelta(minutes=1),
        description="how long API keys are kept in memory: a revoked one opens no longer than this",
    )
    session_lasts: Seconds = Field(
        default=timedelta(hours=12),
        ge=timedelta(minutes=1),
        description="how long a browser that has shown a key need not show it again",
    )
    allowed_hosts: Names = Field(
        default=(),
        description="names, besides those of loopback, that requests may be addressed to (separated by commas)",
    )
    payload_limit_bytes: int = Field(default=PAYLOAD_LIMIT, ge=1, description="the largest payload of a job")
    body_limit_values: int = Field(
        default=1_000_000,
        ge=1,
        description="the most JSON values and member names in a body with payloads: each takes many times its bytes",
    )
    batch_limit_items: int = Field(default=BATCH_LIMIT, ge=1, description="the most jobs in one batch")
    batch_limit_bytes: int = Field(default=32 * 1024 * 1024, ge=1, description="the largest body of a batch")
    small_body_limit_bytes: int = Field(
        default=64 * 1024, ge=1, description="the largest body of a request that carries no payload"
    )
    longest_wait: Seconds = Field(
        default=timedelta(seconds=60), ge=timedelta(0), description="the longest time that an answer is held back"
    )
    page_default_items: int = Field(default=50, ge=1, description="jobs in a page that does not say how many")
    page_limit_items: int = Field(default=200, ge=1, description="the most jobs in a page")
    stream_keep_alive: Seconds = Field(
        default=timedelta(seconds=15), gt=timedelta(0), description="how often a silent stream says that it lives"
    )
    stream_buffer_updates: int = Field(
        default=256, ge=1, description="updates kept for a slow listener before it has to read the store again"
    )
    job_types_fresh_for: Seconds = Field(
        default=timedelta(seconds=1), gt=timedelta(0), description="how long the announced job types are kept in memory"
    )
    submissions_at_once: int = Field(
        default=100, ge=1, description="submissions that are worked on at once; more are answered 503 at once"
    )
    bodies_limit_bytes: int = Field(
        default=256 * 1024 * 1024, ge=1, description="memory for the large bodies that come in at once"
    )
    submissions_per_second: int = Field(
        default=0,
        ge=0,
        description="jobs that an API key without a rate of its own may submit a second; 0: any number",
    )
    default_expires_in: Seconds | None = Field(
        default=None,
        gt=timedelta(0),
        le=LONGEST_DELAY,
        description="how long a due job may wait for its first claim, if neither its submission nor its job type sets "
        "an expiry; without it such a job never expires",
    )
    waiting_limit: int = Field(default=5_000_000, ge=1, description="jobs that may wait in all; looked at every second")
    waiting_limit_per_type: int = Field(default=WAITING_LIMIT, ge=1, description="jobs that may wait of one type")
    store_headroom_percent: int = Field(
        default=10,
        ge=0,
        le=90,
        description="how much of the store's maxmemory is kept free of new jobs, so that running ones can finish",
    )
    streams_per_client: int = Field(
        default=1000, ge=1, description="open streams of one API key, or of one address where no key is asked for"
    )
    metrics_job_types: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="job types with series of their own in `/metrics`, the first by name; the rest counts together",
    )
    head_limit_bytes: int = Field(
        default=64 * 1024, ge=1024, description="the largest head of a request: its first line and its headers"
    )
    request_patience: Seconds = Field(
        default=timedelta(seconds=10),
        ge=timedelta(seconds=1),
        description="how long the head of a request may take, and its body more than a byte takes at 4 KiB a second",
    )
    answer_patience: Seconds = Field(
        default=timedelta(seconds=60),
        ge=timedelta(seconds=1),
        description="how long a client may not read what it was sent",
    )
    tracing: Tracing = False
    stop_grace: Seconds = Field(
        default=timedelta(seconds=10), ge=timedelta(0), description="time for open requests to end at a stop"
    )

    @property
    def beyond_loopback(self) -> bool:
        """Tell whether other machines can reach this server."""
        return self.host not in LOOPBACK

    @property
    def asks_for_keys(self) -> bool:
        """Tell whether a key is asked for before there is one."""
        return (self.beyond_loopback or self.require_key) and not self.insecure

    @property
    def replicated(self) -> bool:
        """Tell whether submissions wait for a replica."""
        return self.durability == "replica"

    @property
    def body_limit_bytes(self) -> int:
        """Give the largest body of one submission: its payload and its envelope."""
        return self.payload_limit_bytes + ENVELOPE_ROOM
