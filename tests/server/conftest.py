"""Fixtures around a real server on a real store."""

from __future__ import annotations

from support.serving import ANYTHING, SCHEMA, WORDS, Hand, RunningServer, register, running, stored_jobs, submit
from support.serving_fixtures import client, known_types, server, settings, store, worker

__all__ = [
    "ANYTHING",
    "SCHEMA",
    "WORDS",
    "Hand",
    "RunningServer",
    "client",
    "known_types",
    "register",
    "running",
    "server",
    "settings",
    "store",
    "stored_jobs",
    "submit",
    "worker",
]
