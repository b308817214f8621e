"""What is broken on purpose is found; what is not broken is not."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from faults.mutants import MUTANTS, Edit, Mutant, changed_copy, judge, line_of, try_out, unchanged


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_fits_the_code(mutant: Mutant, tmp_path: Path) -> None:
    """Its edits apply, and change something."""
    source = changed_copy(mutant.edits, tmp_path)

    assert all(edit.new in (source / edit.file).read_text() and edit.new != edit.old for edit in mutant.edits)


@pytest.mark.parametrize("old", ["no such text", "local"])
def test_an_edit_that_does_not_fit_is_an_error(old: str, tmp_path: Path) -> None:
    """Else a mutant that changes nothing would pass for one that survived, or the wrong place would change."""
    with pytest.raises(ValueError, match=r"renew\.lua holds \d+ times, and not once"):
        changed_copy([Edit("emp_core/store/lua/renew.lua", old, "")], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", [unchanged(MUTANTS), *MUTANTS], ids=lambda mutant: mutant.name)
def test_each_mutant_is_killed_and_nothing_is_found_in_what_is_not_changed(
    mutant: Mutant, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make mutants` does the same and prints a table."""
    seed = random.randrange(1 << 32)
    with capsys.disabled():
        print(f"\nseed of {mutant.name}: {seed}", end=" ")

    verdict = judge(mutant, tmp_path, seed)

    assert verdict.is_right, line_of(verdict)


@pytest.mark.slow
def test_a_mutant_that_harms_nothing_survives(tmp_path: Path) -> None:
    """So a hunt can fail."""
    comment = Edit("emp_core/store/lua/renew.lua", "-- renew: ", "-- renew:  ")

    verdict = try_out(Mutant("harmless", ("scripts flushed",), (comment,)), tmp_path, 1, rounds=1)

    assert verdict.violation is None
