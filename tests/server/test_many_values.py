"""A body is bounded by how many values it holds, too: a megabyte of them takes a hundred megabytes when it is read."""

from __future__ import annotations

import json

import pytest

from emp_core.errors import TooLarge
from emp_server.strict_json import refuse_many_values

from .conftest import stored_jobs

pytestmark = pytest.mark.anyio

LIMIT = 100
JSON = {"content-type": "application/json"}
MANY = b"[" + b"0," * LIMIT + b"0]"
ENVELOPE = b'{"job_type":"any.thing","payload":%s}'


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"body_limit_values": LIMIT})


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/jobs", ENVELOPE % MANY),
        ("/v1/job-types/any.thing/jobs", MANY),
        ("/v1/job-types/any.thing/validate", MANY),
        ("/v1/jobs/batch", b"[" + ENVELOPE % MANY + b"]"),
        ("/v1/jobs/batch", b"[" + b",".join([ENVELOPE % b"[0,0,0,0,0]"] * 20) + b"]"),
    ],
    ids=["submission", "typed submission", "validate", "item of a batch", "items of a batch together"],
)
async def test_a_body_of_too_many_values_is_answered_413(client, store, path, body):
    answer = await client.post(path, content=body, headers=JSON)

    assert (answer.status_code, answer.json()["limit"]) == (413, LIMIT)
    assert "values" in answer.json()["detail"]
    assert await stored_jobs(store) == 0


async def test_what_looks_like_values_inside_of_a_text_is_not_counted(client, store):
    table = json.dumps('a,b:[{"c"}]\\\n' * LIMIT).encode()

    answer = await client.post("/v1/jobs", content=ENVELOPE % table, headers=JSON)

    assert answer.status_code == 202
    assert await stored_jobs(store) == 1


def counted(value):
    """Return how many values and names there are."""
    match value:
        case dict():
            return 1 + sum(1 + counted(each) for each in value.values())
        case list():
            return 1 + sum(map(counted, value))
        case _:
            return 1


@pytest.mark.parametrize(
    "value",
    [
        [0] * 50,
        [[]] * 50,
        [{}] * 50,
        [[[[[]]]]] * 10,
        {str(n): n for n in range(50)},
        [{"a": [1, {"b": None}]}] * 10,
        ["a,b", "c:d", '"e,', "\\", '\\"', "[]{}", ""] * 10,
        {'",': ["{", "}"], "\\": "\\\\"},
        "," * 300,
    ],
)
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")], ids=["dense", "spaced"])
def test_values_are_counted_exactly(value, separators):
    body = json.dumps(value, separators=separators).encode()
    exact = counted(value)

    refuse_many_values(body, exact)

    with pytest.raises(TooLarge):
        refuse_many_values(body, exact - 1)
