"""The short way of a submission: from its connection to the store and back without a task, a scope or messages.

Nearly all submissions have one form: a small body that came as a whole, from a caller who is known, with nothing asked
for beside the job. The functions that check all others check these, in the tick in which they came, and the answer is
written when the store's call has ended. Whatever has another form, or would be refused before it reaches the store,
goes the long way (`routes/submission.py`): nothing has been done of it by then, so it cannot be told apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Final, NamedTuple

import structlog
from starlette.types import Message

from emp_core.api_keys import Scope
from emp_core.errors import EmpError, InternalError
from emp_core.jobs import Submission
from emp_core.store import Submitted
from emp_server import media
from emp_server.answers import job_path
from emp_server.body import JSON_BODY, media_type
from emp_server.callers import Caller
from emp_server.catalog import KnownType
from emp_server.crowd import SMALL_BODY, Place
from emp_server.delivery import NO_WAIT
from emp_server.door import ARMOUR, Door
from emp_server.envelope import parse_envelope
from emp_server.new_jobs import new_job_json
from emp_server.options import Plain, make_submission
from emp_server.parts import Parts
from emp_server.problems import REQUEST_ID, problem_answer
from emp_server.raw_answers import header_lines
from emp_server.routes.submission import SUBMIT_PATH
from emp_server.submitting import answer_one, refusal_of, warnings_for

Answer = Callable[[int, bytes, bytes], None]
"""Write an answer: its status, its headers as lines (all but what frames it), and its body."""

_LONG_WAY: Final = frozenset({b"prefer", b"idempotency-key", b"cookie", b"transfer-encoding", b"content-encoding"})
"""Headers with which a submission asks for more, or for what has to be looked up."""

_log = structlog.get_logger()


_ARMOUR_LINES: Final = header_lines(ARMOUR)
_JSON: Final = header_lines([(b"content-type", media.JSON.encode())])
_JOBS: Final = job_path("").encode()


class ShortWay:
    """The short way through one server's parts."""

    def __init__(self, parts: Parts, door: Door) -> None:
        self.parts = parts
        self.door = door
        # What is traced goes the long way, whole: a body is never this small.
        self._body_limit = -1 if parts.traced.are_wanted else min(SMALL_BODY, parts.settings.body_limit_bytes)
        self._plain: dict[str, Plain] = {}
        self._gathered: list[_UnderWay] = []

    def take(self, headers: Mapping[bytes, bytes], body: bytes, answer: Answer) -> bool:
        """Begin a submission to `SUBMIT_PATH` that is answered soon; False if it has to go the long way."""
        parts = self.parts
        if (
            len(body) > self._body_limit
            or not _LONG_WAY.isdisjoint(headers)
            or parts.crowd.is_full
            or parts.pressure.is_felt
        ):
            return False
        begun = perf_counter()
        try:
            checked = self._check(headers, body)
        except Exception:  # noqa: BLE001 - whatever it is, the long way meets it as well, and answers it
            return False
        place = None if checked is None else parts.crowd.enter()
        if checked is None or place is None:
            return False
        under_way = _UnderWay(parts, checked, place, self.door.name(headers), begun, answer)
        if under_way.is_charged():
            if not self._gathered:
                asyncio.get_running_loop().call_soon(self._hand_over)
            self._gathered.append(under_way)
        return True

    def _check(self, headers: Mapping[bytes, bytes], body: bytes) -> _Checked | None:
        """Give the submission that this is; None where the store would have to be asked first.

        Raises:
            EmpError: it is refused.
        """
        parts = self.parts
        caller = parts.keyring.recognised(headers)
        refusal = self.door.refusal(headers)
        if caller is None or refusal is not None or not caller.may(Scope.SUBMIT):
            return None
        media_type(headers, JSON_BODY)
        envelope = parse_envelope(body)
        known = parts.catalog.at_hand(envelope.job_type)
        if known is None:
            return None
        payload = bytes(envelope.payload)
        limit, expires_in = parts.settings.payload_limit_bytes, parts.settings.default_expires_in
        newest = known.newest
        if envelope.asks_nothing:
            plain = self._plain.get(newest.job_type)
            if plain is None or plain.known is not newest:
                plain = self._plain[newest.job_type] = Plain(newest, limit, expires_in)
            submission = plain.submission(payload, envelope.priority, caller.owner)
        else:
            submission = make_submission(
                newest,
                payload,
                envelope,
                None,
                limit_bytes=limit,
                default_expires_in=expires_in,
                owner=caller.owner,
            )
        if known.check is not None:
            known.check(payload)
        return _Checked(caller, known, submission)

    def _hand_over(self) -> None:
        """Hand the submissions of one tick to the store together: a future and a callback for each would cost more."""
        gathered, self._gathered = self._gathered, []
        try:
            storing = self.parts.store.jobs.submit_soon([under_way.submission for under_way in gathered])
        except Exception as error:  # noqa: BLE001 - as at the door: each client gets an answer and the log the traceback
            for under_way in gathered:
                under_way.failed(error)
        else:
            storing.add_done_callback(partial(_hand_out, gathered))


def _hand_out(gathered: Sequence[_UnderWay], storing: asyncio.Future[Sequence[Submitted]]) -> None:
    """Answer what the store has said of each."""
    error = storing.exception()
    if error is not None:
        for under_way in gathered:
            under_way.failed(error)
        return
    for under_way, submitted in zip(gathered, storing.result(), strict=True):
        under_way.stored(submitted)


class _Checked(NamedTuple):
    """A submission that nothing is wrong with."""

    caller: Caller
    known: KnownType
    submission: Submission


class _UnderWay:
    """A submission on its way to the store and back."""

    __slots__ = ("_answer", "_begun", "_checked", "_later", "_parts", "_place", "_rate", "_request_id")

    def __init__(
        self, parts: Parts, checked: _Checked, place: Place, request_id: bytes, begun: float, answer: Answer
    ) -> None:
        self._parts = parts
        self._checked = checked
        self._place = place
        self._request_id = request_id
        self._begun = begun
        self._answer = answer
        self._rate = b""

    @property
    def submission(self) -> Submission:
        """What is to be stored."""
        return self._checked.submission

    def is_charged(self) -> bool:
        """Charge the caller; False where that is refused, and answered."""
        parts = self._parts
        parts.traffic.under_way += 1
        try:
            rate = parts.rates.charge(self._checked.caller)
        except EmpError as error:
            self._refuse(error)
            return False
        if rate:
            self._rate = header_lines((name.lower().encode(), value.encode()) for name, value in rate.items())
        return True

    def failed(self, error: BaseException) -> None:
        """Answer that it was not stored, or may not have been."""
        if isinstance(error, EmpError):
            self._refuse(error)
        else:
            self._fail(error)

    def stored(self, submitted: Submitted) -> None:
        """Answer what the store has said."""
        _, known, submission = self._checked
        self._place.leave()
        try:
            refusal = refusal_of(submitted, submission.job_type)
            if refusal is not None:
                raise refusal
            text = new_job_json(submission, submitted, warnings_for(known))
            if text is None:
                # Sent twice to a store that was lost for a moment, and meanwhile a worker has it.
                self._later = asyncio.create_task(self._answer_as_it_is(submitted))
            else:
                self._accept(submitted, text)
        except Exception as error:  # noqa: BLE001 - as above
            self.failed(error)

    async def _answer_as_it_is(self, submitted: Submitted) -> None:
        """Read a job that may have gone on, and answer with it."""
        _, known, submission = self._checked
        try:
            answer = await answer_one(self._parts, submission, submitted, known, NO_WAIT, _nothing_comes)
            self._accept(submitted, answer.body)
        except Exception as error:  # noqa: BLE001 - as above
            self.failed(error)

    def _accept(self, submitted: Submitted, text: bytes) -> None:
        location = b"location: %b%b\r\n" % (_JOBS, submitted.job_id.encode())
        self._end(HTTPStatus.ACCEPTED, _JSON + location + self._rate, text)

    def _fail(self, error: BaseException) -> None:
        request_id = self._request_id.decode()
        _log.error("request_failed", exc_info=error, request_id=request_id, method="POST", path=SUBMIT_PATH)
        self._refuse(InternalError("an unexpected fault; the server's log has it"))

    def _refuse(self, error: EmpError) -> None:
        response = problem_answer(error, {"path": SUBMIT_PATH, REQUEST_ID: self._request_id.decode()})
        lines = header_lines(header for header in response.raw_headers if header[0] != b"content-length")
        self._end(response.status_code, lines, bytes(response.body))

    def _end(self, status: int, lines: bytes, body: bytes) -> None:
        traffic = self._parts.traffic
        self._place.leave()
        traffic.under_way -= 1
        traffic.count(SUBMIT_PATH, "POST", status, perf_counter() - self._begun)
        self._answer(status, b"%b%bx-request-id: %b\r\n" % (lines, _ARMOUR_LINES, self._request_id), body)


async def _nothing_comes() -> Message:
    """Be the `receive` of a request that nobody waits with."""
    return {"type": "http.disconnect"}
