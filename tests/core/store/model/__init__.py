"""A pure model of the store: what each verb must do and answer, in plain Python.

A second telling of the scripts, in words of jobs and not of Redis: a verb looks at all jobs and keeps no index, so none
can be forgotten here.
"""

from __future__ import annotations

from dataclasses import dataclass

from .chores import Chores
from .clients import WAITING_LIMIT, Clients
from .holders import Holders
from .leases import Leases
from .world import DAY, LEASE, ModelJob, Wish

__all__ = ["DAY", "LEASE", "WAITING_LIMIT", "Model", "ModelJob", "Wish"]


@dataclass
class Model(Clients, Holders, Leases, Chores):
    """Everything that the store must know, and every verb."""
