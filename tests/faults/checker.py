"""The checker: one pass over what clients know, what handlers wrote down and what the store holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from faults.checks_of_jobs import (
    bytes_are_kept,
    final_is_final,
    one_final_state,
    only_legal_moves,
    starts_are_bounded,
    waits_are_bounded,
)
from faults.checks_of_store import counters_agree, indexes_agree, keys_have_owners
from faults.facts import Facts, Violation, facts_of
from faults.history import History
from faults.journal import Journal
from faults.snapshot import Snapshot

Check = Callable[[Facts], Iterator[Violation]]

CHECKS: Final[tuple[Check, ...]] = (
    one_final_state,
    final_is_final,
    only_legal_moves,
    starts_are_bounded,
    bytes_are_kept,
    indexes_agree,
    counters_agree,
    keys_have_owners,
    waits_are_bounded,
)


def check(history: History, journal: Journal, snapshot: Snapshot) -> list[Violation]:
    """Give every violation of the invariants; empty if all hold. Pure: nothing is asked, nothing is waited for."""
    facts = facts_of(history, journal, snapshot)
    return [violation for each in CHECKS for violation in each(facts)]
