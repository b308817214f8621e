"""The names that a plugin author may use."""

from __future__ import annotations

import pytest

import emp_worker


def test_every_public_name_can_be_had():
    assert all(getattr(emp_worker, name) is not None for name in emp_worker.__all__)


def test_the_public_names_are_sorted_and_few():
    assert emp_worker.__all__ == sorted(emp_worker.__all__)
    assert len(emp_worker.__all__) < 12


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'JobTipe'"):
        _ = emp_worker.JobTipe
