"""The OpenAPI document is of this moment: valid, named by its ETag, with the types, keys and problems there are."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import jsonschema_rs
import pytest
import redis.asyncio
from openapi_spec_validator import OpenAPIV31SpecValidator

from emp_core.api_keys import Scope, new_key
from emp_core.errors import problems
from emp_core.jobs import Announcement
from emp_server.app import ROUTES
from support.waiting import wait_until_async

from .conftest import WORDS, register

pytestmark = pytest.mark.anyio

NEW = Announcement("brand.new", "d-new", "emp-plugin-new", "1.0", payload_schema={"type": "string"})
NEW_PATH = "/v1/job-types/brand.new/jobs"


async def described(client, **headers):
    answer = await client.get("/openapi.json", headers=headers)
    assert answer.status_code == 200
    return answer.json()


def operations(document):
    return [(path, operation) for path, item in document["paths"].items() for operation in item.values()]


@pytest.mark.parametrize("asks", [False, True], ids=["open", "keys"])
async def test_the_document_is_valid(client, store, asks):
    headers = {}
    if asks:
        key, text = new_key("tester", [Scope.READ])
        await store.api_keys.add(key)
        headers["authorization"] = f"Bearer {text}"

    document = await described(client, **headers)

    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


async def test_a_type_appears_when_its_first_worker_joins(client, store):
    assert NEW_PATH not in (await described(client))["paths"]

    await store.types.announce([NEW])
    await register(store, types={NEW.job_type: NEW.digest})

    await wait_until_async(lambda: is_there(client, NEW_PATH))
    assert (await described(client))["components"]["schemas"]["brand.new.Payload"] == {"type": "string"}


@pytest.mark.parametrize(("days", "stays"), [(29, True), (31, False)])
async def test_a_type_goes_thirty_days_after_its_last_worker_was_there(client, store, settings, days, stays):
    await store.types.announce([NEW])
    worker = await register(store, types={NEW.job_type: NEW.digest})
    await store.workers.leave(worker.worker_id, "it was told to")
    await wait_until_async(lambda: is_there(client, NEW_PATH))

    await seen_last(settings, NEW, timedelta(days=days))

    await wait_until_async(lambda: is_there(client, NEW_PATH, wanted=stays))
    if stays:
        warned = await client.post(NEW_PATH, json="a payload")
        assert warned.json()["warnings"] == ["no_worker"]
    else:
        assert (await client.post(NEW_PATH, json="a payload")).status_code == 404


async def is_there(client, path, *, wanted=True):
    return (path in (await described(client))["paths"]) is wanted


async def seen_last(settings, known, ago):
    """Put the last announcement of a version back in time; the store's clock cannot be."""
    key, field = f"{{emp:{settings.namespace}}}:types", f"{known.job_type}|{known.digest}"
    async with redis.asyncio.from_url(settings.redis_url) as raw:
        _, _, body = (await raw.hget(key, field)).partition(b" ")
        at = int((datetime.now(tz=UTC) - ago).timestamp() * 1000)
        await raw.hset(key, field, b"%d " % at + body)


async def test_what_has_not_changed_is_answered_304(client):
    tag = (await client.get("/openapi.json")).headers["etag"]

    answer = await client.get("/openapi.json", headers={"if-none-match": f'"other", {tag}'})

    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)


async def test_the_etag_changes_with_a_schema_and_with_nothing_else(client, store):
    tag = (await client.get("/openapi.json")).headers["etag"]
    worker = await register(store)
    await store.types.announce([WORDS])
    await wait_until_async(lambda: workers_online(client, 1))
    assert (await client.get("/openapi.json")).headers["etag"] == tag

    await store.types.announce([replace(WORDS, digest="d-two", version="2.0", payload_schema={"type": "object"})])
    await store.workers.leave(worker.worker_id, "it was told to")

    async def other():
        return (await client.get("/openapi.json", headers={"if-none-match": tag})).status_code == 200

    await wait_until_async(other)


async def workers_online(client, count):
    return (await client.get(f"/v1/job-types/{WORDS.job_type}")).json()["workers_online"] == count


async def test_an_operation_says_which_scope_its_key_needs(client, store):
    access = {endpoint.__name__: access for _, _, endpoint, access in ROUTES}
    before = {operation["operationId"]: operation["security"] for _, operation in operations(await described(client))}
    key, text = new_key("tester", [Scope.READ])
    await store.api_keys.add(key)

    async def asked():
        return (await client.get("/openapi.json")).status_code == 401

    await wait_until_async(asked)
    document = await described(client, authorization=f"Bearer {text}")

    for _, operation in operations(document):
        name = operation["operationId"]
        if name in access:
            needed = [scope for wanted in operation["security"] for scope in wanted["key"]]
            assert needed[:1] == ([access[name].scope] if access[name].scope else []), name
            assert bool(operation["security"]) is not access[name].open, name
        else:
            assert operation["security"] == [{"key": ["submit"]}], name
        assert before[name] == ([{}, *operation["security"]] if operation["security"] else []), name
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


async def test_every_problem_answer_has_its_media_type_schema_and_examples(client):
    document = await described(client)
    schema = {"$ref": "#/components/schemas/ProblemAnswer", "components": document["components"]}
    is_problem = jsonschema_rs.Draft202012Validator(schema, offline=True)
    met = set()

    for path, operation in operations(document):
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                continue
            said = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]
            assert set(said["content"]) == {"application/problem+json"}, path
            names = set(said["content"]["application/problem+json"]["examples"])
            for name in names:
                value = document["components"]["examples"][name]["value"]
                is_problem.validate(value)
                assert (value["type"], str(value["status"])) == (f"urn:emp:problem:{name}", status)
            met |= names

    # A wrong method belongs to no operation.
    assert met == set(problems()) - {"method-not-allowed"}


async def test_every_link_leads_to_an_operation_that_takes_what_it_gives(client):
    document = await described(client)
    takes = {
        operation["operationId"]: {parameter["name"] for parameter in operation.get("parameters", ())}
        for _, operation in operations(document)
    }

    for name, link in document["components"]["links"].items():
        assert set(link["parameters"]) <= takes[link["operationId"]], name
    submission = document["paths"]["/v1/jobs"]["post"]["responses"]["202"]
    assert {"get_job", "get_result", "job_events", "cancel_job"} <= set(submission["links"])
    assert {"Location", "RateLimit"} <= set(submission["headers"])


async def test_no_parameter_may_be_null(client):
    for path, operation in operations(await described(client)):
        for parameter in operation.get("parameters", ()):
            assert {"type": "null"} not in parameter.get("schema", {}).get("anyOf", []), (path, parameter["name"])


class Addresses(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self, page):
        super().__init__()
        self.found = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found |= {value for name, value in attrs if name in {"href", "src", "srcset", "action", "data", "poster"}}


async def test_the_docs_refer_to_nothing_outside(client, store):
    outside = "https://evil.example/x.js"
    schema = {"$id": outside, "$schema": outside, "$ref": outside, "description": outside, "externalDocs": outside}
    await store.types.announce([replace(NEW, title=outside, description=outside, payload_schema=schema)])
    await wait_until_async(lambda: is_there(client, NEW_PATH))

    answer = await client.get("/docs")

    assert outside in answer.text  # as text
    assert {address for address in Addresses(answer.text).found if not re.match(r"/(?!/)|#", address)} == set()
    assert "default-src 'none'" in answer.headers["content-security-policy"]


async def test_the_docs_show_bodies_answers_and_what_a_key_needs(client):
    page = (await client.get("/docs")).text

    assert '<a href="#text.words.Payload">' in page
    assert '<a href="#text.words.Job">' in page
    assert "&#34;one two&#34;" in page
    assert "API key: <code>read</code> or <code>submit</code>, but none is asked for now." in page


async def test_an_address_that_looks_like_a_jobs_has_its_own_methods_only(client):
    for method in ("GET", "HEAD", "PUT"):
        answer = await client.request(method, "/v1/jobs/batch")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
