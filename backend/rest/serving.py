"""The routes as Starlette serves them: token, rate, size, role, then the service, in a thread; errors are one sentence."""

import json
import logging
import math
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio import to_thread
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as Served

from backend.access import Actor, Refused, acting, bearer
from backend.rest.declared import HEALTH, JSON, ROUTES, TEXT, ZIP, Route
from backend.rest.limits import Buckets
from backend.rest.openapi import PREFIX
from backend.rest.reading import NoText, document, whole
from backend.stage import NotFound, UserError
from db.session import DatabaseProblem, NotThere, open_database
from db.writes.guarded import demand

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
HOW = "Send `Authorization: Bearer TOKEN`; `python -m backend token create NAME --role runner --days 90` makes one."
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
PROXIES = "FORWARDED_ALLOW_IPS"  # uvicorn's: whose X-Forwarded-For tells where a request comes from
log = logging.getLogger(__name__)


@dataclass
class Limits:
    """How often an address, and a token, may ask."""

    address: Buckets
    token: Buckets


class Denied(Exception):
    """An answer other than what was asked for."""

    def __init__(self, status: int, sentence: str, **headers: str):
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers


def routes(limits: Limits | None = None) -> list[BaseRoute]:
    """All routes, and one that says of any other address that it is none."""
    kept = limits or Limits(Buckets(240, 4.0), Buckets(120, 2.0))
    made: list[BaseRoute] = [
        Served(PREFIX + one.path, partial(_answer, one, kept), methods=[one.method])
        for one in ROUTES
    ]
    return [*made, Served("/api/{rest:path}", _none, methods=METHODS)]


async def _none(request: Request) -> Response:
    what = f"{request.method} {request.url.path}"
    return _error(404, f"There is no {what[:200]}; {PREFIX}/openapi.json lists what there is.")


async def _answer(route: Route, limits: Limits, request: Request) -> Response:
    try:
        _pace(limits.address, _whence(request))
        actor = await to_thread.run_sync(_admitted, route, limits, _token(request))
        given = await _given(route, request)
        asked = await to_thread.run_sync(_validated, route, given)
        return await to_thread.run_sync(_done, route, actor, asked)
    except Denied as denied:
        return _error(denied.status, denied.sentence, denied.headers)
    except Exception:  # what nobody foresaw is in the log, not in the answer
        log.exception("%s %s", route.method, route.path)
        return _error(500, "Something went wrong; the server's log says what.")


def _whence(request: Request) -> str:
    """The address whose bucket a request takes from.

    By itself uvicorn believes X-Forwarded-For of whoever is on this machine, so anybody there could be a new address with
    every request. Until the operator names the proxies, all who send that header share one bucket.
    """
    if PROXIES not in os.environ and "x-forwarded-for" in request.headers:
        return "forwarded"
    return request.client.host if request.client else ""


def _token(request: Request) -> str:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else ""


def _admitted(route: Route, limits: Limits, given: str) -> Actor | None:
    """Who asks; None where nobody has to say so."""
    if not route.role:
        return None
    try:
        actor = bearer(open_database(create=False), given)
    except DatabaseProblem as problem:
        raise Denied(503, str(problem)) from problem
    if actor is None:
        what = "The token is not known, has expired or was revoked." if given else "There is no token."  # fmt: skip
        raise Denied(401, f"{what} {HOW}", **{"WWW-Authenticate": "Bearer"})
    _pace(limits.token, actor.name)
    try:
        with acting(actor):  # before anything of a large body is read
            demand(route.role, f"{route.method} {route.path}")
    except Refused as refusal:
        raise Denied(403, str(refusal)) from refusal
    return actor


def _pace(buckets: Buckets, who: str) -> None:
    seconds = buckets.wait(who)
    if seconds:
        after = str(math.ceil(seconds))
        raise Denied(429, f"Too many requests; ask again in {after} s.", **{"Retry-After": after})


async def _given(route: Route, request: Request) -> Any:
    """The query and the path's parts, or the body; never more of it than may be."""
    if route.method != "POST":
        return {**request.query_params, **request.path_params}
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > route.largest:
            raise Denied(413, f"The body is larger than {route.largest} bytes.")
    return bytes(body) or b"{}"


def _validated(route: Route, given: Any) -> Any:
    """What is asked for; out of the server's loop, for a body may be large."""
    try:
        return route.takes.model_validate(
            document(given) if isinstance(given, bytes) else whole(given)
        )
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "The body"
        valid = ", ".join(route.takes.model_fields) or "nothing"
        raise Denied(400, f"{name[:200]}: {first['msg']}; {route.path} takes {valid}.") from problem
    except NoText as problem:
        raise Denied(400, str(problem)) from problem
    except (ValueError, RecursionError) as problem:
        raise Denied(400, "The body is not JSON.") from problem


def _done(route: Route, actor: Actor | None, asked: Any) -> Response:
    try:
        if actor is None:
            return _sent(route, route.do(asked))
        with acting(actor):
            return _sent(route, route.do(asked))
    except Refused as refusal:
        raise Denied(403, str(refusal)) from refusal
    except (NotFound, NotThere) as missing:
        raise Denied(404, str(missing)) from missing
    except UserError as mistake:
        raise Denied(400, str(mistake)) from mistake
    except DatabaseProblem as problem:
        raise Denied(409, str(problem)) from problem


def _sent(route: Route, found: Any) -> Response:
    if route.gives == ZIP:
        named = {"Content-Disposition": 'attachment; filename="lethe-export.zip"'}
        return Response(found, headers={**HEADERS, **named}, media_type=ZIP)
    if route.gives == TEXT:
        return Response(found, headers={**HEADERS, "Content-Type": TEXT})
    status = 503 if route.path == HEALTH and found["state"] != "ok" else 200
    return Response(_text(found), status, HEADERS, JSON)


def _text(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, default=str, allow_nan=False)


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    told = {"error": " ".join(sentence.split())}
    return Response(_text(told), status, {**HEADERS, **(headers or {})}, JSON)
