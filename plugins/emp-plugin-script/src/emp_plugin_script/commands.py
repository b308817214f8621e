"""The commands that an operator has listed in a TOML file, and the command line that a payload makes of one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from emp_worker import InvalidJobType, JobError

PREFIX: Final = "EMP_SCRIPT_"
MIB: Final = 1024 * 1024
Value = bool | int | float | str

_PLACE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
ArgumentName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class ScriptSettings(BaseSettings):
    """Where the list of commands is."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    commands: Path | None = Field(
        default=None, description="the TOML file that lists the commands; none: there are none"
    )


class Argument(BaseModel):
    """One argument of a command: its type, and the values that it may have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["string", "integer", "number", "flag"] = "string"
    description: str = ""
    default: Value | None = None
    choices: tuple[str, ...] = ()
    pattern: str | None = None
    max_length: int = Field(default=1024, ge=0, le=65_536)
    minimum: float | None = None
    maximum: float | None = None
    allow_dash: bool = False

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.pattern is not None:
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern: {error}") from None
        if self.default is not None and (fault := self.fault(self.default)):
            raise ValueError(f"default: {fault}")
        return self

    def fault(self, value: Value) -> str | None:
        """Say why a value cannot be this argument's, if it cannot."""
        if self.type == "flag":
            return None if isinstance(value, bool) else "is not true or false"
        if self.type == "string":
            return self._fault_of_text(value) if isinstance(value, str) else "is not a text"
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole and not (self.type == "number" and isinstance(value, float)):
            return "is not a whole number" if self.type == "integer" else "is not a number"
        if self.minimum is not None and float(value) < self.minimum:
            return f"is less than {self.minimum:g}"
        if self.maximum is not None and float(value) > self.maximum:
            return f"is more than {self.maximum:g}"
        return None

    def _fault_of_text(self, value: str) -> str | None:
        if "\0" in value:
            return "holds a NUL, which no argument can"
        if len(value) > self.max_length:
            return f"has more than {self.max_length} characters"
        if self.choices and value not in self.choices:
            return f"is none of {', '.join(self.choices)}"
        if self.pattern is not None and re.fullmatch(self.pattern, value) is None:
            return f"does not match {self.pattern}"
        if value.startswith("-") and not self.allow_dash:
            return "begins with a dash, which the program could take for an option"
        return None


class Command(BaseModel):
    """A command: a program with its arguments, and the limits that it runs within."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    argv: tuple[str, ...] = Field(min_length=1, max_length=256)
    description: str = ""
    arguments: dict[ArgumentName, Argument] = Field(default_factory=dict)
    example: dict[str, Value] | None = None
    timeout_seconds: float = Field(default=300, gt=0, le=7 * 86_400)
    memory_limit_mib: int | None = Field(default=None, ge=16, le=1_048_576)
    output_limit_bytes: int = Field(default=65_536, ge=0, le=4 * MIB)
    exit_codes: tuple[int, ...] = (0,)
    retry: bool = False
    stdin: bool = False
    env: dict[str, str] = Field(default_factory=dict)
    pass_env: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if _PLACE.search(self.argv[0]) or not Path(self.argv[0]).is_absolute():
            raise ValueError("argv begins with the absolute path of the program, without an argument in it")
        used = {name for part in self.argv for name in _PLACE.findall(part)}
        if unknown := used - self.arguments.keys():
            raise ValueError(f"argv uses {', '.join(sorted(unknown))}, which arguments does not declare")
        if unused := self.arguments.keys() - used:
            raise ValueError(f"argv does not use {', '.join(sorted(unused))}")
        for part in self.argv:
            flags = [name for name in _PLACE.findall(part) if self.arguments[name].type == "flag"]
            if len(flags) > 1 or (flags and not part.startswith("{" + flags[0] + "}")):
                raise ValueError(
                    f"{part!r}: a flag stands at the beginning, before what it switches on: {{verbose}}--verbose"
                )
        return self

    def line(self, given: Mapping[str, Value]) -> list[str]:
        """Make the command line. A part whose argument is not given, or whose flag is false, is left out.

        Raises:
            JobError: `bad_arguments`; each place is named.
        """
        faults: dict[str, str] = {
            name: "is no argument of this command" for name in given if name not in self.arguments
        }
        values: dict[str, Value | None] = {}
        for name, argument in self.arguments.items():
            values[name] = value = given.get(name, argument.default)
            if value is not None and (fault := argument.fault(value)):
                faults[name] = fault
            elif value is None and argument.type != "flag" and self._is_required(name):
                faults[name] = "is required"
        if faults:
            told = "; ".join(f"{name} {fault}" for name, fault in faults.items())
            errors = {
                f"/arguments/{name.replace('~', '~0').replace('/', '~1')}": fault for name, fault in faults.items()
            }
            raise JobError(told, retryable=False, code="bad_arguments", errors=errors)
        line = []
        for template in self.argv:
            if (part := _filled(template, values)) is not None:
                self._refuse_option(template, part)
                line.append(part)
        return line

    def _refuse_option(self, template: str, part: str) -> None:
        """Reject a part that values have made an option of the program: a text, a number, or several of them together.

        Raises:
            JobError: `bad_arguments`.
        """
        names = _PLACE.findall(template)
        written = _PLACE.sub(lambda found: "" if self.arguments[found[1]].type == "flag" else found[0], template)
        if (
            not part.startswith("-")
            or written.startswith("-")
            or any(self.arguments[name].allow_dash for name in names)
        ):
            return
        raise JobError(
            f"{', '.join(names)}: the part {template!r} of the command line would begin with a dash, which the program "
            "could take for an option",
            retryable=False,
            code="bad_arguments",
            errors={f"/arguments/{name}": "makes a part that begins with a dash" for name in names},
        )

    def _is_required(self, name: str) -> bool:
        """Tell whether an argument must be given: all of them, but for those in a part that a flag switches."""
        return not any(
            "{" + name + "}" in part and self.arguments[_PLACE.findall(part)[0]].type == "flag" for part in self.argv
        )


def _filled(part: str, values: Mapping[str, Value | None]) -> str | None:
    """Put values into one part of a command line: it stays one part, whatever is in them. None: it is left out."""
    names = _PLACE.findall(part)
    if any(values[name] is None or values[name] is False for name in names):
        return None
    return _PLACE.sub(lambda found: "" if values[found[1]] is True else str(values[found[1]]), part)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    commands: dict[Name, Command]


def read_commands() -> dict[str, Command]:
    """Read the operator's list; none where there is no file named.

    Raises:
        InvalidJobType: it cannot be read, or something in it is wrong; the message names the place.
    """
    path = ScriptSettings().commands
    if path is None:
        return {}
    try:
        return dict(_File.model_validate(tomllib.loads(path.read_text("utf-8"))).commands)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_input=False)
        )
    except (OSError, ValueError) as error:
        told = str(error)
    raise InvalidJobType(f"{PREFIX}COMMANDS: {path}: {told}")


def as_example(name: str, command: Command) -> dict[str, Any] | None:
    """Give a payload that shows a command, if one can be made."""
    if command.example is not None:
        return {"command": name, "arguments": dict(command.example)}
    needs = [
        each for each, argument in command.arguments.items() if argument.default is None and argument.type != "flag"
    ]
    return None if needs else {"command": name}
