"""The Makefile and the checks under `tools` do what they say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import check_links
import check_tree
import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parent.parent


@pytest.fixture
def repo(tmp_path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    return tmp_path


def test_make_alone_lists_every_target_with_what_it_does():
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared is not None

    listed = subprocess.run(["make"], cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert re.findall(r"^make (\S+) +\S", listed, re.MULTILINE) == declared[1].split()


@pytest.mark.parametrize(
    "line",
    [
        "cache = /home/someone/.cache",
        "data: /Users/someone/emp",
        "pip install --index-url https://packages.example/simple emp-jobs",
        "find-links = wheels",
    ],
)
def test_a_line_that_names_a_machine_or_a_registry_is_found(repo, line):
    (repo / "notes.md").write_text(f"first\n{line}\n")

    found = list(check_tree.faults(repo))

    assert len(found) == 1
    assert found[0].startswith("notes.md:2: ")


def test_the_path_of_the_checkout_is_found(repo):
    (repo / "notes.md").write_text(f"see {repo}/src\n")

    assert list(check_tree.faults(repo)) == ["notes.md:1: names the path of this checkout"]


def test_ignored_files_may_name_anything(repo):
    (repo / ".gitignore").write_text("mine.txt\n")
    (repo / "mine.txt").write_text("/home/someone/.cache\n")

    assert list(check_tree.faults(repo)) == []


def test_a_link_to_a_missing_file_or_heading_is_found(tmp_path):
    (tmp_path / "README.md").write_text(
        "[a](docs/a.md) [b](docs/b.md) [c](docs/a.md#usage) [d](docs/a.md#missing) ![e](e.png)"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# Usage\n")

    found = list(check_links.faults(tmp_path))

    assert found == [
        "README.md: docs/b.md does not exist",
        "README.md: docs/a.md#missing names no heading",
        "README.md: e.png does not exist",
    ]


def test_links_in_code_and_to_the_web_are_left_alone(tmp_path):
    (tmp_path / "README.md").write_text("`[a](missing.md)` [b](https://example.org/missing)\n\n    [c](missing.md)\n")

    assert list(check_links.faults(tmp_path)) == []
