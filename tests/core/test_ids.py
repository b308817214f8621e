"""Ids: distinct, in the order of time, in one alphabet, naming their partition."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emp_core import ids
from emp_core.ids import is_job_id, is_job_type_name, new_job_id, new_worker_id, partition_of

CROCKFORD = set("0123456789abcdefghjkmnpqrstvwxyz")


def test_a_hundred_thousand_ids_of_one_process_are_distinct() -> None:
    """Many of them are of the same millisecond."""
    assert len({new_job_id() for _ in range(100_000)}) == 100_000


def test_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also as text, over a change of the number of digits."""
    made = []
    for milliseconds in (0, 1, 31, 32, 1_700_000_000_000, 1_700_000_000_001, 2**48 - 1):
        monkeypatch.setattr(ids.time, "time_ns", lambda now=milliseconds: now * 1_000_000)
        made.append(new_job_id())

    assert made == sorted(made)


def test_the_time_is_in_the_first_ten_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """48 bits of milliseconds, as in any ULID."""
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_469_918_176_385 * 1_000_000)

    # The example of the ULID specification.
    assert new_job_id()[:10] == "01ARYZ6S41".lower()


def test_ids_of_one_millisecond_do_not_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id tells nothing of its neighbours."""
    monkeypatch.setattr(ids.time, "time_ns", lambda: 1_700_000_000_000 * 1_000_000)

    tails = [new_job_id()[10:24] for _ in range(200)]

    assert len({tail[0] for tail in tails}) > 10
    assert tails != sorted(tails)


_FORKS = """
import os
from emp_core.ids import new_job_id
new_job_id()
child = os.fork()
child and os.waitpid(child, 0)
print(*(new_job_id()[10:24] for _ in range(100)), flush=True)
"""


def test_a_forked_child_makes_ids_of_its_own() -> None:
    """Parent and child have random letters in hand; they must not be the same ones."""
    said = subprocess.run([sys.executable, "-c", _FORKS], capture_output=True, check=True, text=True).stdout.split()

    assert len(said) == len(set(said)) == 200


@pytest.mark.parametrize(("partition", "name"), [(0, "00"), (1, "01"), (32, "10"), (1023, "zz")])
def test_an_id_names_its_partition(partition: int, name: str) -> None:
    """Its last two characters are the ten bits."""
    assert partition_of(new_job_id(partition)) == name


def test_ids_are_26_characters_of_crockfords_alphabet() -> None:
    """Lower case, without i, l, o and u; worker ids have the same form."""
    made = [*(new_job_id() for _ in range(1000)), *(new_worker_id() for _ in range(1000))]

    assert {len(id_) for id_ in made} == {26}
    assert {letter for id_ in made for letter in id_} <= CROCKFORD
    assert all(is_job_id(id_) for id_ in made)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0" * 25,
        "0" * 27,
        "8" + "0" * 25,
        "0" * 25 + "u",
        "0" * 25 + "I",
        "0" * 26 + "\n",
        "0" * 25 + "\u0663",
        "01m857sf80yaen2thst8npw800 ",
        "01ARYZ6S41TSV4RRFFQ69G5FAV",
        "{" + "0" * 24 + "}",
    ],
)
def test_what_has_not_the_form_of_an_id_is_none(text: str) -> None:
    """An id stands in keys, so nothing else may pass for one."""
    assert not is_job_id(text)


@given(st.text(max_size=40))
def test_no_text_outside_the_alphabet_passes(text: str) -> None:
    """Whatever comes over the network."""
    assert not is_job_id(text) or set(text) <= CROCKFORD


@pytest.mark.parametrize("name", ["a", "9", "image.thumbnail", "a-b_c.d", "a" * 128])
def test_a_job_type_may_have_this_name(name: str) -> None:
    """A letter or digit first, at most 128 characters."""
    assert is_job_type_name(name)


@pytest.mark.parametrize(
    "name", ["", ".a", "-a", "_a", "A", "a b", "a:b", "a/b", "a*", "{a}", "ä", "a\n", "a\x00", "a" * 129, "\u0661"]
)
def test_a_job_type_may_not_have_this_name(name: str) -> None:
    """It stands in keys and in hand-written JSON."""
    assert not is_job_type_name(name)
