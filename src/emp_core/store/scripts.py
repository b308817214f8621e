"""Load the Lua files and bind the names in their headers to positions, for Python and for Lua alike.

A header says what a script is called with:

    -- complete: move jobs to completed and store their results.
    -- KEYS  tag
    -- ARGV  worker
    -- ITEM  id token result
    -- REPLY one word per item: OK, LEASE_LOST or NOT_FOUND
    -- FLAGS allow-oom

ARGV names become locals of the script; with ITEM, `ITEMS` is the number of items and `item(i)` gives the fields of one.
A script refuses a store of another format before it does anything (see format.py), unless its header has `FORMAT any`.

prelude.lua is what all scripts share; a script is linked with those of its definitions that it uses. The store executes
and keeps what stands there for each script, so what is not used would cost every call: its closures are made anew, and
the collector of the store's Lua walks through all scripts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

from emp_core.store.format import NEWEST_FORMAT, OLDEST_FORMAT
from emp_core.store.keys import feed_kind

Arg = str | bytes | int | float

_HEADER = re.compile(r"^-- (KEYS|ARGV|ITEM|FLAGS|FORMAT)\b[ ]*(.*)$", re.MULTILINE)
_FORMATS = f"local OLDEST_FORMAT, NEWEST_FORMAT = {OLDEST_FORMAT}, {NEWEST_FORMAT}"
_REFUSE_OTHER_FORMATS = """do
  local refused = refuse_format(%s)
  if refused then return refused end
end"""
_DEFINITION = re.compile(r"^(?=local )", re.MULTILINE)
_DEFINED = re.compile(r"^local (?:function )?(\w[\w, ]*?)(?: =|\()", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_]\w*")
_COMMENT = re.compile(r"--[^\n]*")
_CLOCK = "local NOW = now()"
_SHIFTED_CLOCK = """local OFFSET = redis.call('GET', KEYS[1] .. ':offset') or '0'
local NOW = string.find(OFFSET, '^=') and tonumber(string.sub(OFFSET, 2)) or now() + tonumber(OFFSET)"""


_FEED = "local FEED = T .. ':feed:'"


@dataclass(frozen=True, slots=True)
class Script:
    """One verb's script: its text, the name Redis knows it by, and the names of its arguments in order."""

    name: str
    text: str
    sha: str
    arguments: tuple[str, ...]
    fields: tuple[str, ...]

    def command(self, tag: str, arguments: Mapping[str, Arg], items: Iterable[Sequence[Arg]] = ()) -> list[Arg]:
        """Build the EVALSHA command; a name that is missing or not in the header is an error at once."""
        if arguments.keys() != set(self.arguments):
            raise TypeError(f"{self.name} takes {self.arguments}, was given {tuple(arguments)}")
        command: list[Arg] = ["EVALSHA", self.sha, 1, tag, *(arguments[name] for name in self.arguments)]
        if self.fields:
            command.append(0)
            at, count = len(command) - 1, 0
            for item in items:
                if len(item) != len(self.fields):
                    raise TypeError(f"an item of {self.name} has {self.fields}, was given {len(item)} fields")
                command.extend(item)
                count += 1
            command[at] = count
        return command


def _bindings(arguments: Sequence[str], fields: Sequence[str]) -> str:
    """Write the Lua that gives the script its arguments by name."""
    lines = [f"local {name} = ARGV[{at}]" for at, name in enumerate(arguments, start=1)]
    if fields:
        first = len(arguments) + 1
        values = ", ".join(f"ARGV[at + {offset}]" for offset in range(1, len(fields) + 1))
        lines.append(f"local ITEMS = tonumber(ARGV[{first}])")
        lines.append(f"local function item(i) local at = {first} + (i - 1) * {len(fields)}; return {values} end")
    return "\n".join(lines)


class Scripts:
    """All verbs' scripts by name.

    Args:
        shebang: write the `#!lua` line that fixes behaviour under memory pressure; fakeredis does not read it.
        shifted_clock: add the milliseconds in the partition's `offset` key to the store's clock, for tests; with an
            equals sign before them they are the time itself.
        database: whose channels the scripts publish on.
    """

    def __init__(self, *, shebang: bool = True, shifted_clock: bool = False, database: int = 0) -> None:
        self._options = {"shebang": shebang, "shifted_clock": shifted_clock}
        self._database = database
        folder = resources.files("emp_core.store").joinpath("lua")
        prelude = folder.joinpath("prelude.lua").read_text("utf-8")
        if shifted_clock:
            prelude = prelude.replace(_CLOCK, _SHIFTED_CLOCK)
        if database:
            prelude = prelude.replace(_FEED, f"local FEED = T .. ':{feed_kind(database)}:'")
        verbs = {file.name.removesuffix(".lua"): file for file in folder.iterdir() if file.name.endswith(".lua")}
        del verbs["prelude"]
        self._by_name = {name: _script(name, prelude, file.read_text("utf-8"), shebang) for name, file in verbs.items()}

    def __getitem__(self, name: str) -> Script:
        """Give a verb's script."""
        return self._by_name[name]

    def for_database(self, database: int) -> Scripts:
        """Return the same scripts for another database."""
        return self if database == self._database else Scripts(**self._options, database=database)

    def __iter__(self) -> Iterator[Script]:
        """Give every script."""
        return iter(self._by_name.values())


def _used(prelude: str, own: str) -> list[str]:
    """Return the definitions of the prelude that a script needs, by the names that it and they mention, in order."""
    needed = _words(own)
    used: list[str] = []
    for definition in reversed(_DEFINITION.split(prelude)):
        if needed & _names(definition):
            needed |= _words(definition)
            used.append(definition.rstrip())
    return used[::-1]


def _names(definition: str) -> set[str]:
    """Return the names that a piece of the prelude defines."""
    return {name for names in _DEFINED.findall(definition) for name in re.findall(r"\w+", names)}


def _words(text: str) -> set[str]:
    """Return every word of a Lua text that could be a name; one too many does no harm."""
    return set(_WORD.findall(_COMMENT.sub("", text)))


def _script(name: str, prelude: str, body: str, shebang: bool) -> Script:
    header = {kind: value.split() for kind, value in _HEADER.findall(body)}
    arguments, fields = tuple(header.get("ARGV", ())), tuple(header.get("ITEM", ()))
    flags = ",".join(header["FLAGS"])
    first = (f"#!lua flags={flags}\n" if flags else "#!lua\n") if shebang else ""
    guard = "" if "FORMAT" in header else _REFUSE_OTHER_FORMATS % str("no-writes" in flags).lower()
    own = "\n".join((guard, _bindings(arguments, fields), body))
    text = "\n".join((f"{first}{_FORMATS}", *_used(prelude, own), own))
    sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # the name that Redis gives it
    return Script(name=name, text=text, sha=sha, arguments=arguments, fields=fields)
