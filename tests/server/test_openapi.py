"""The OpenAPI document tells the truth about every route, and has a typed operation per announced job type."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest

from emp_core.jobs import Announcement
from emp_server.app import ROUTES, SUBMIT_PATH, SUBMIT_TYPED_PATH
from emp_server.hoisting import hoisted
from emp_server.operations import OPERATIONS

from .conftest import SCHEMA, submit

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "http-api.md"


def references(document):
    return set(re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)))


def resolved(document, reference):
    place = document
    for part in reference.removeprefix("#/").split("/"):
        place = place[part]
    return place


@pytest.mark.anyio
async def test_every_route_is_in_the_document(client):
    document = (await client.get("/openapi.json")).json()

    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    wanted = {(method, path) for method, path, *_ in ROUTES} | {("POST", SUBMIT_PATH), ("POST", SUBMIT_TYPED_PATH)}
    assert wanted <= documented


@pytest.mark.anyio
async def test_every_reference_leads_somewhere_inside_the_document(client):
    document = (await client.get("/openapi.json")).json()

    assert document["openapi"].startswith("3.1")
    for reference in references(document):
        assert resolved(document, reference) is not None, reference


@pytest.mark.anyio
async def test_every_operation_names_its_answers_and_what_can_go_wrong(client):
    document = (await client.get("/openapi.json")).json()

    for path, item in document["paths"].items():
        for operation in item.values():
            statuses = set(operation["responses"])
            assert {"400", "403", "500", "503"} <= statuses, path
            assert any(status.startswith("2") for status in statuses), path


@pytest.mark.anyio
async def test_operation_ids_are_unique(client):
    document = (await client.get("/openapi.json")).json()

    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


@pytest.mark.anyio
async def test_a_job_type_has_an_operation_with_its_payload_as_the_body(client):
    document = (await client.get("/openapi.json")).json()

    operation = document["paths"]["/v1/job-types/text.words/jobs"]["post"]
    body = resolved(document, operation["requestBody"]["content"]["application/json"]["schema"]["$ref"])
    assert (body["required"], body["properties"]["text"]) == (["text"], SCHEMA["properties"]["text"])
    assert resolved(document, body["properties"]["size"]["$ref"]) == {"type": "integer", "minimum": 1}
    assert operation["requestBody"]["content"]["application/json"]["examples"]["1"]["value"] == {"text": "one two"}
    assert {"priority", "delay", "tags", "Idempotency-Key"} <= {p["name"] for p in operation["parameters"]}


@pytest.mark.anyio
async def test_a_type_that_is_announced_appears_in_the_document(client, store):
    assert "/v1/job-types/brand.new/jobs" not in (await client.get("/openapi.json")).json()["paths"]

    await store.types.announce([Announcement("brand.new", "d", "p", "1")])
    assert (await client.get("/v1/job-types/brand.new")).status_code == 200

    assert "/v1/job-types/brand.new/jobs" in (await client.get("/openapi.json")).json()["paths"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "component"),
    [
        ("/v1/jobs/{id}", "JobAnswer"),
        ("/v1/jobs?state=pending", "JobPageAnswer"),
        ("/v1/job-types", "JobTypesAnswer"),
        ("/v1/job-types/text.words", "JobTypeAnswer"),
        ("/v1/workers", "WorkersAnswer"),
        ("/v1/workers/{worker}", "WorkerAnswer"),
        ("/v1/stats", "StatsAnswer"),
        ("/readyz", "HealthAnswer"),
        ("/v1/jobs/nope", "ProblemAnswer"),
        ("/v1/job-types/text.word", "ProblemAnswer"),
        ("/v1/jobs", "JobPageAnswer"),
        ("/v1/jobs?state=bogus", "ProblemAnswer"),
    ],
)
async def test_answers_are_what_the_document_says(client, worker, path, component):
    document = (await client.get("/openapi.json")).json()
    job_id = await submit(client, tags=["a"])
    await submit(client)
    await worker.fail(await worker.start("any.thing"))

    answer = (await client.get(path.format(id=job_id, worker=worker.worker_id))).json()

    schema = {"$ref": f"#/components/schemas/{component}", "components": document["components"]}
    jsonschema_rs.Draft202012Validator(schema, offline=True).validate(answer)
    assert set(answer) <= set(document["components"]["schemas"][component]["properties"])


def test_every_route_of_the_table_has_its_operation_described():
    assert {endpoint.__name__ for _, _, endpoint, _ in ROUTES} == set(OPERATIONS)


def test_every_route_says_what_it_is_for():
    assert not [endpoint for _, _, endpoint, _ in ROUTES if not endpoint.__doc__]


def test_every_route_is_in_the_reference():
    text = REFERENCE.read_text()

    wanted = [(method, path) for method, path, *_ in ROUTES] + [("POST", SUBMIT_PATH), ("POST", SUBMIT_TYPED_PATH)]
    assert not [route for route in wanted if f"`{route[0]} {route[1]}`" not in text]


def test_the_reference_names_no_route_that_there_is_not():
    named = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[^`]*)`", REFERENCE.read_text()))

    routes = {(method, path) for method, path, *_ in ROUTES}
    assert named <= routes | {("POST", SUBMIT_PATH), ("POST", SUBMIT_TYPED_PATH)}


def test_definitions_are_hoisted_and_references_follow():
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "properties": {
            "a": {"$ref": "#/$defs/Part"},
            "self": {"$ref": "#"},
            "$ref": {"type": "string"},
            "default": {"$ref": "#/$defs/Part"},
            "far": {"$ref": "http://127.0.0.1:9/x.json"},
            "kept": {"default": {"$ref": "#/$defs/Part"}},
        },
        "$defs": {"Part": {"items": {"$ref": "#/$defs/Odd~1Name[int]"}}, "Odd/Name[int]": {"type": "integer"}},
    }

    components = hoisted("a.Payload", schema)

    assert set(components) == {"a.Payload", "a.Payload.Part", "a.Payload.Odd_Name_int_"}
    properties = components["a.Payload"]["properties"]
    assert properties["a"] == properties["default"] == {"$ref": "#/components/schemas/a.Payload.Part"}
    assert properties["self"] == {"$ref": "#/components/schemas/a.Payload"}
    assert properties["$ref"] == {"type": "string"}
    assert properties["far"] == {}
    assert properties["kept"] == {"default": {"$ref": "#/$defs/Part"}}
    assert components["a.Payload.Part"]["items"] == {"$ref": "#/components/schemas/a.Payload.Odd_Name_int_"}


def test_definitions_with_names_alike_keep_apart():
    components = hoisted("a.Payload", {"$defs": {"A[b]": {"const": 1}, "A(b)": {"const": 2}}})

    assert sorted(component.get("const", 0) for component in components.values()) == [0, 1, 2]


def test_the_tags_of_a_union_are_followed():
    union = {
        "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/Cat"}},
        "oneOf": [{"$ref": "#/$defs/Cat"}],
    }

    components = hoisted("a.Payload", {**union, "$defs": {"Cat": {}}})

    assert components["a.Payload"]["discriminator"]["mapping"] == {"cat": "#/components/schemas/a.Payload.Cat"}
