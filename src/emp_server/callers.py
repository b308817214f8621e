"""Who sends a request: the holder of an API key, or anyone where no key is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.types import Scope as AsgiScope

from emp_core.api_keys import ApiKey, Scope, implied
from emp_core.errors import ScopeMissing
from emp_core.jobs import Job

CALLER: Final = "emp.caller"
"""The member of an ASGI scope under which the gate keeps who sends the request."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request, and what that one may do (`scopes` has all that the key's own ones imply).

    `key` is None where no key is asked for. `token` is that of the browser's session, where there is one.
    """

    name: str
    scopes: frozenset[Scope]
    key: ApiKey | None = None
    token: str | None = None

    @property
    def owner(self) -> str:
        """Give what a job of this caller is marked with."""
        return "" if self.key is None else self.key.key_id

    @property
    def idempotency_scope(self) -> str:
        """Give whose idempotency keys this caller's are."""
        return "anyone" if self.key is None else self.key.key_id

    def called(self, otherwise: str) -> str:
        """Give the name of the caller's key, or another word where there is none."""
        return otherwise if self.key is None else self.key.name

    def may(self, scope: Scope) -> bool:
        """Tell whether this caller may do what needs a scope."""
        return scope in self.scopes

    def needs(self, scope: Scope) -> None:
        """Let pass who has a scope.

        Raises:
            ScopeMissing: this caller has not.
        """
        if scope not in self.scopes:
            raise ScopeMissing(f"this needs an API key with the scope {scope}", scope=scope)

    def may_see(self, job: Job) -> bool:
        """Tell whether this caller may know of a job: who may not is told what is told of a job that does not exist."""
        return Scope.READ in self.scopes or (self.key is not None and job.owner == self.key.key_id)


ANYONE: Final = Caller("anyone", frozenset(Scope))
"""Whoever it is, where no key is asked for."""


STRANGER: Final = Caller("nobody", frozenset())
"""Whoever asks for an open path: may do nothing else."""


def caller_of(key: ApiKey, token: str | None = None) -> Caller:
    """Give the holder of a key."""
    return Caller(key.name, implied(key.scopes), key, token)


def caller_in(scope: AsgiScope) -> Caller:
    """Give who sends the request of an ASGI scope that has passed the gate."""
    caller: Caller = scope[CALLER]
    return caller
