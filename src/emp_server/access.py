"""Say of each route who may use it: the third column of the route tables, enforced before the route is called.

`guarded(READ)` is a list of dependencies for the framework. What is not open asks for a key first (`gate.py`), so a
route that forgets its access is still closed to strangers. Routes that need to know who calls take `TheCaller`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request

from emp_core.api_keys import Scope
from emp_core.errors import ScopeMissing
from emp_server.callers import Caller, caller_in
from emp_server.parts import TheParts
from emp_server.waiting import not_found, read_job

AUDITED: Final = "emp.audited"
"""The member of an ASGI scope that is there when the request goes into the audit log."""


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route: who has the scope (anybody with a key where it is None).

    Args:
        scope: what is needed.
        own: whoever may submit may use the route for jobs of the same key; others do not exist for that caller.
        or_submit: the scope `submit` is enough, too.
        open: nobody has to show a key.
    """

    scope: Scope | None = None
    own: bool = False
    or_submit: bool = False
    open: bool = False

    @property
    def audited(self) -> bool:
        """Tell whether its use goes into the audit log."""
        return self.scope in {Scope.OPERATE, Scope.ADMIN}


OPEN: Final = Access(open=True)
ANY_KEY: Final = Access()
SUBMIT: Final = Access(Scope.SUBMIT)
READ: Final = Access(Scope.READ)
READ_OR_SUBMIT: Final = Access(Scope.READ, or_submit=True)
READ_OR_OWN: Final = Access(Scope.READ, own=True)
OPERATE: Final = Access(Scope.OPERATE)
OPERATE_OR_OWN: Final = Access(Scope.OPERATE, own=True)
ADMIN: Final = Access(Scope.ADMIN)


def guarded(access: Access) -> list[Any]:
    """Give the dependencies of a route with this access."""

    async def enforce(request: Request, parts: TheParts) -> None:
        if access.audited:
            request.scope[AUDITED] = True
        await _enforce(access, request, parts)

    return [Depends(enforce)]


async def _enforce(access: Access, request: Request, parts: TheParts) -> None:
    caller = caller_in(request.scope)
    if access.scope is None or caller.may(access.scope) or (access.or_submit and caller.may(Scope.SUBMIT)):
        return
    job_id = request.path_params.get("job_id")
    if access.own and job_id is not None:
        await _must_own(caller, job_id, parts, access.scope)
        return
    caller.needs(access.scope)


async def _must_own(caller: Caller, job_id: str, parts: TheParts, scope: Scope) -> None:
    """Let pass whoever submitted the job.

    Raises:
        JobNotFound: it is another's, and the caller may not see it; or there is none.
        ScopeMissing: the caller may see it, but not do this.
    """
    if not caller.may(Scope.SUBMIT) and not caller.may(Scope.READ):
        caller.needs(scope)
    job = await read_job(parts.store, job_id)
    if not caller.may_see(job):
        raise not_found(job_id)
    if job.owner != caller.owner or not caller.may(Scope.SUBMIT):
        raise ScopeMissing(f"this needs an API key with the scope {scope}", scope=scope)


def _caller(request: Request) -> Caller:
    return caller_in(request.scope)


TheCaller = Annotated[Caller, Depends(_caller)]
"""A route's parameter of this type is given who sends the request."""
