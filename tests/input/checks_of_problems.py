"""What schemathesis checks of EMP besides its own: a problem is one of those that the operation says it may end in."""

from __future__ import annotations

import schemathesis


@schemathesis.check
def problem_is_documented(_ctx, response, case):
    """The status alone would not tell an unknown job from an unknown job type."""
    if response.status_code < 400 or case.method.upper() != case.operation.method.upper():
        return
    document = case.operation.schema.raw_schema
    answers = document["paths"][case.operation.path][case.operation.method.lower()]["responses"]
    answer = answers.get(str(response.status_code))
    if answer is None:
        return  # `status_code_conformance` says so
    if "$ref" in answer:  # schemathesis has replaced some by what they refer to
        answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
    names = answer["content"]["application/problem+json"]["examples"]
    kind = response.json()["type"]
    assert kind in {f"urn:emp:problem:{name}" for name in names}, f"{kind} is not documented"
