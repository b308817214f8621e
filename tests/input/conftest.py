"""Fixtures around a real server on a real store, for what is hostile."""

from __future__ import annotations

from support.serving_fixtures import client, server, settings, store, worker

__all__ = ["client", "server", "settings", "store", "worker"]
