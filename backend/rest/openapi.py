"""The interface's description in OpenAPI 3.1, made of the routes that serve it."""

from collections.abc import Sequence
from typing import Any

from backend.rest.declared import HEALTH, JSON, ZIP, Route

PREFIX = "/api/v1"
REFUSALS = {
    "400": "What was asked for is wrong; one sentence says what.",
    "401": "No token, or one that is not good.",
    "403": "The token's role does not reach.",
    "404": "There is no such run, study, token or list.",
    "409": "The database refuses; one sentence says why.",
    "413": "The body is too large.",
    "429": "Too often; Retry-After says when.",
    "500": "Something that nobody foresaw; the server's log says what.",
    "503": "The database cannot be opened; one sentence says why.",
}
SCHEMAS = "#/components/schemas/"
ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """The OpenAPI document of the routes."""
    paths: dict[str, dict[str, Any]] = {}
    schemas: dict[str, Any] = {"Error": ERROR}
    for route in routes:
        schemas |= _schema(route).get("$defs", {})
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lethe",
            "version": "1",
            "description": "The verbs of the command line; answers are what `--json` prints.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    binary = {"type": "string", "contentMediaType": ZIP}
    schemas = {JSON: {"description": "As `--json` prints it."}, ZIP: binary}
    schema = schemas.get(route.gives, {"type": "string"})
    answers: dict[str, Any] = {"200": {"description": "Done", "content": {route.gives: {"schema": schema}}}}  # fmt: skip
    refused = {"application/json": {"schema": {"$ref": f"{SCHEMAS}Error"}}}
    kept = REFUSALS if route.role else {code: REFUSALS[code] for code in ("400", "429", "500")}
    answers |= {code: {"description": told, "content": refused} for code, told in kept.items()}
    if route.path == HEALTH:  # what is wrong stands in the same answer
        answers["503"] = answers["200"] | {"description": "The database does not answer"}
    words = route.path.strip("/").replace("/", "_").replace("{", "").replace("}", "")
    told: dict[str, Any] = {
        "operationId": f"{route.method.lower()}_{words.replace('.', '_')}",
        "summary": route.summary,
        "description": f"Needs a token of the role {route.role} or a higher one." if route.role else "Needs no token.",
        "responses": answers,
        "security": [{"token": []}] if route.role else [],
    }  # fmt: skip
    return told | _given(route)


def _schema(route: Route) -> dict[str, Any]:
    """What a route takes; what several parts of it share stands under `$defs` and is named where the document keeps it."""
    return route.takes.model_json_schema(ref_template=SCHEMAS + "{model}")


def _given(route: Route) -> dict[str, Any]:
    schema = {key: value for key, value in _schema(route).items() if key != "$defs"}
    if not schema.get("properties"):
        return {}
    if route.method == "POST":
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        return {"requestBody": body}
    parameters = []
    for name, one in schema["properties"].items():
        inside = "{" + name + "}" in route.path
        needed = name in schema.get("required", ())
        place = {"name": name, "in": "path" if inside else "query", "required": inside or needed}
        about = {"description": one.get("description", name)}
        kept = {key: value for key, value in one.items() if key not in ("description", "title")}
        parameters.append(place | about | {"schema": kept})
    return {"parameters": parameters}
