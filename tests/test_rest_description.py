"""The description of the REST interface: it holds every route, all that each may answer, and leads nowhere in vain."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine

from backend.rest.declared import ROUTES
from backend.rest.openapi import PREFIX, document
from backend.rest.serving import routes
from tests.report_data import engine, small_home
from tests.test_rest import Ask, ask, token

__all__ = ["ask", "engine", "small_home"]  # fixtures


def test_every_route_that_is_served_is_described_and_the_other_way_round(ask: Ask, engine: Engine) -> None:  # fmt: skip
    status, told, _ = ask("GET", "/openapi.json", token("viewer"))
    assert status == 200 and told == json.loads(json.dumps(document(ROUTES)))
    described = {(method.upper(), path) for path, one in told["paths"].items() for method in one}
    served = {(method, one.path) for one in routes()[:-1] for method in one.methods - {"HEAD"}}
    assert described == served
    operations = [one for path in told["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) == len(ROUTES)
    assert all(one["summary"] and one["responses"]["200"] for one in operations)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from ([part["$ref"]] if "$ref" in part else [])
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from references(one)


def test_every_reference_of_the_description_leads_somewhere() -> None:
    told = json.loads(json.dumps(document(ROUTES)))
    found = set(references(told))
    assert {"#/components/schemas/Error", "#/components/schemas/ResultFile"} <= found
    for one in found:
        part = told
        for name in one.removeprefix("#/").split("/"):
            part = part[name]
        assert part["type"] == "object", one
    assert "$defs" not in json.dumps(told)


def test_every_answer_that_a_route_gives_is_described(ask: Ask, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    described = {
        route.path: set(document([route])["paths"][PREFIX + route.path][route.method.lower()]["responses"])
        for route in ROUTES
    }  # fmt: skip
    assert described["/status"] == {"200", "400", "401", "403", "404", "409", "413", "429", "500", "503"}  # fmt: skip
    assert described["/health"] == {"200", "400", "429", "500", "503"}
    assert ask("GET", "/health?x=1")[0] == 400
    for wrong in ("verysecret", "postgresql://ada:verysecret@host:port/lethe"):
        monkeypatch.setenv("LETHE_DATABASE_URL", wrong)
        status, told, _ = ask("GET", "/status")
        assert status == 503 and "verysecret" not in told["error"]
    status, told, _ = ask("GET", "/health")
    assert status == 503 and told["state"] == "no database"
    broken = document(ROUTES)["paths"][f"{PREFIX}/health"]["get"]["responses"]["503"]
    assert "$ref" not in json.dumps(broken), "as 200, with what is wrong"


def test_the_description_is_openapi() -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="pip install -r requirements-dev.txt")  # fmt: skip
    validator.validate(document(ROUTES))
