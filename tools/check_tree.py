"""Check that no file of the repository names the machine or the package registry that it was written with."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

PUBLIC_HOSTS = frozenset({"pypi.org", "files.pythonhosted.org"})
PATTERNS = {
    "a home directory": re.compile(rb"/(?:home|Users)/[A-Za-z0-9_.-]+/"),
    "a package index": re.compile(
        rb"(?:index-url|find-links)\s*=|--(?:extra-)?index-url|--find-links|://files\.pythonhosted\.org"
    ),
}
# It spells the patterns.
EXEMPT = frozenset({"tools/check_tree.py", "tests/test_tools.py"})


def committed(root: Path) -> Iterator[Path]:
    """Give the files that are committed or would be by `git add`, relative to the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],  # noqa: S607  # git is where the PATH says
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in sorted(set(listed.stdout.decode().split("\0"))):
        if name and (root / name).is_file():
            yield Path(name)


def machine_patterns(root: Path) -> dict[str, re.Pattern[bytes]]:
    """Give what only this machine has: the path of the checkout, and the hosts and folders of pip's configuration."""
    patterns = {"the path of this checkout": re.compile(re.escape(str(root).encode()) + rb"(?![\w-])")}
    pip = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    for url in re.findall(r"[a-z]+://[^\s'\"]+", pip.stdout):
        parts = urlsplit(url)
        place = parts.hostname or parts.path.rstrip("/")
        if place not in PUBLIC_HOSTS:
            patterns[f"pip's {url}"] = re.compile(re.escape(place.encode()))
    return patterns


def faults(root: Path) -> Iterator[str]:
    """Give one line per place that names a machine or a registry."""
    patterns = {**PATTERNS, **machine_patterns(root)}
    for name in committed(root):
        if str(name) in EXEMPT:
            continue
        for number, line in enumerate((root / name).read_bytes().splitlines(), start=1):
            for what, pattern in patterns.items():
                if pattern.search(line):
                    yield f"{name}:{number}: names {what}"


def main() -> None:
    """Print the faults of the repository around this file; exit 1 if there is one."""
    found = list(faults(Path(__file__).resolve().parent.parent))
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
