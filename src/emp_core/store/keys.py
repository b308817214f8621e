"""Every key name of EMP in one place, with what the key holds and who deletes it.

All keys of a partition begin with its tag `{emp:<namespace>:<partition>}`, so one script may touch them and a Redis
Cluster keeps them in one slot. The scripts build the same names from the tag. What belongs to the namespace has a tag
of its own. The table OWNERS is what the test of the key space walks.
"""

from __future__ import annotations

from typing import Final

OWNERS: Final = {
    "job:": "a job's small fields; retain",
    "payload:": "its payload, the JSON text as it came; retain",
    "result:": "its result, the JSON text as it came; retain",
    "error:": "its last error, a JSON object; retain",
    "attempts:": "one record per ended attempt but the last; retain",
    "log:": "its log lines; retain",
    "pending:": "waiting ids of a type by urgency; empty when worked off",
    "scheduled": "ids by due time; promote",
    "expiring": "waiting ids by expiry; expire",
    "retained": "final ids by deletion time; retain",
    "running": "claimed ids by the time of the claim; the verbs that settle",
    "finished:": "final ids by the time they ended, per state and per state and type; retain",
    "tag:": "ids of a tag by submission time; retain",
    "workers": "lease deadlines; leave, recover",
    "worker:": "a worker's status and last claim; leave, recover",
    "held:": "the jobs a worker holds; the verbs that settle",
    "asked:": "the jobs a worker is asked to cancel; leave, recover",
    "bell:": "wakes one worker; leave, recover, a day",
    "lost": "workers that left or were lost, capped",
    "wake:": "a type's doorbell; when rung, a day",
    "counts": "jobs by type and state, totals; for ever, bounded by the types",
    "totals": "durations by size, failures by reason; for ever, bounded by the types",
    "minute:": "what happened in one minute; a day",
    "idem:": "idempotency keys; a day",
    "sweep": "the last sweep; for ever",
    "epoch": "the birth of this store; for ever",
    "format": "the number of the store's format (format.py); for ever",
    "seq": "the submission counter; for ever",
    "broken": "records that could not be read, capped",
    "paused": "paused types; resume",
    "keys": "API keys, hashed (in the namespace's tag); revoked by hand",
    "session:": "sessions of browsers, by the digest of their token (in the namespace's tag); half a day",
    "types": "announced job types (in the namespace's tag); announce, 30 days after the last time",
}


def namespace_tag(namespace: str) -> str:
    """Give the tag of what belongs to a namespace and not to a partition."""
    return f"{{emp:{namespace}}}"


def feed_kind(database: int) -> str:
    """Return how the names of a database's channels begin, after the tag.

    Databases share their channels, so the name of a channel has the number of its database unless that is 0.
    """
    return f"feed:{database}" if database else "feed"


class Keys:
    """The names of the keys and channels of one partition."""

    __slots__ = ("_feed", "tag")

    def __init__(self, namespace: str, partition: str, database: int = 0) -> None:
        self.tag = f"{{emp:{namespace}:{partition}}}"
        self._feed = feed_kind(database)

    def __call__(self, kind: str, *parts: str) -> str:
        """Name a key, for instance `keys("finished", "failed", "image.thumbnail")`."""
        return ":".join((self.tag, kind, *parts))

    def channel(self, name: str) -> str:
        """Name a channel, for instance `keys.channel("updates")`."""
        return self(self._feed, name)
