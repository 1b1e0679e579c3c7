"""The REST interface: tokens, roles, limits, and answers that are those of the command line."""

import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvicorn
from sqlalchemy import Engine, text
from starlette.applications import Starlette

from backend import access
from backend.__main__ import main
from backend.rest.declared import ROUTES
from backend.rest.limits import Buckets
from backend.rest.openapi import PREFIX
from backend.rest.serving import Limits, routes
from backend.stage import UserError
from db import reads
from db.session import DatabaseProblem, require_database
from tests.in_browser import answers, serve, wait_for
from tests.report_data import engine, small_home

__all__ = ["engine", "serve", "small_home"]  # fixtures
Ask = Callable[..., tuple[int, Any, Any]]
SOURCE = {
    "name": "mine",
    "setting": {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 6},
    "recipes": [{"suppress": {"name": "max_ent", "steps": 3}}],
}


def started(limits: Limits | None = None) -> tuple[uvicorn.Server, str]:
    """The routes on a server of their own in a thread; its address."""
    # Bound at once, so that nobody else gets the port.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    # Its logging would close every handler of this process, and absl's one then closes what pytest captures.
    config = uvicorn.Config(Starlette(routes=routes(limits)), "127.0.0.1", port, log_config=None)
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, args=([listener],), daemon=True).start()
    deadline = time.monotonic() + 600
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return server, f"http://127.0.0.1:{port}{PREFIX}"


def asking(address: str) -> Ask:
    def ask(method: str, path: str, token: str = "", body: Any = None, **headers: str) -> tuple[int, Any, Any]:  # fmt: skip
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()  # fmt: skip
        given = {**headers, **({"Authorization": f"Bearer {token}"} if token else {})}
        request = urllib.request.Request(address + path, data, given, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as found:
                status, told, kind = found.status, found.read(), found.headers
        except urllib.error.HTTPError as refused:
            status, told, kind = refused.code, refused.read(), refused.headers
        return status, json.loads(told) if "json" in kind["content-type"] else told, kind

    return ask


@pytest.fixture
def ask(own_home: Any) -> Iterator[Ask]:
    server, address = started()
    yield asking(address)
    server.should_exit = True


def token(role: str = "runner", name: str = "") -> str:
    return access.make_token(require_database(), name or f"a {role}", role, 1).secret


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


# ---- who gets in


def test_without_a_token_only_the_health_is_told(ask: Ask) -> None:
    for route in ROUTES:
        path = route.path.replace("{run}", "1").replace("{kind}", "methods")
        status, told, headers = ask(route.method, path, body={} if route.method == "POST" else None)
        if route.path == "/health":
            assert status == 200 and told == {"state": "ok", "database": False, "schema": None, "workers": 0}  # fmt: skip
        else:
            assert status == 401 and "token create NAME" in told["error"], route.path
            assert headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("given", ["x", "lethe_00000000_" + "a" * 43, "lethe_", "' OR 1=1 --", "\u00e9"])  # fmt: skip
def test_a_forged_token_is_refused(ask: Ask, engine: Engine, given: str) -> None:
    good = token("admin")
    for forged in (given, good[:-1] + ("a" if good[-1] != "a" else "b"), good[:15] + "a" * 43):
        assert ask("GET", "/status", forged.encode().decode("latin-1"))[0] == 401
    assert ask("GET", "/status", good)[0] == 200


def test_expired_and_revoked_tokens_are_refused(ask: Ask, engine: Engine) -> None:
    one, two = token(name="one"), token(name="two")
    assert ask("GET", "/status", one)[0] == ask("GET", "/status", two)[0] == 200
    assert main(["token", "revoke", "two"]) == 0
    with engine.begin() as c:
        past = datetime.now(UTC) - timedelta(seconds=1)
        c.execute(text("UPDATE api_token SET expires_at = :past WHERE name = 'one'"), {"past": past.replace(tzinfo=None).isoformat(sep=" ")})  # fmt: skip
    for secret in (one, two):
        status, told, _ = ask("GET", "/status", secret)
        assert status == 401 and "expired or was revoked" in told["error"]


def test_only_a_hash_of_a_token_is_kept(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    made = said(capsys, "token", "create", "ci", "--role", "runner", "--days", "7")
    secret = made["secret"]
    assert len(secret.rpartition("_")[0]) and len(secret) == 58
    with engine.connect() as c:
        everything = str([tuple(r) for name in ("api_token", "audit_entry", "event") for r in c.execute(text(f"SELECT * FROM {name}"))])  # fmt: skip
    assert secret not in everything and secret[15:] not in everything
    listed = said(capsys, "token", "list")
    assert listed[0]["prefix"] == made["prefix"] and "sha256" not in listed[0]


@pytest.mark.parametrize(("role", "days"), [("none", 1), ("root", 1), ("runner", 0), ("runner", 9999)])  # fmt: skip
def test_a_token_that_cannot_be_is_one_sentence(engine: Engine, role: str, days: int) -> None:
    with pytest.raises(UserError):
        access.make_token(engine, "x", role, days)


def test_two_good_tokens_never_share_a_name(engine: Engine) -> None:
    token(name="ci")
    with pytest.raises(DatabaseProblem, match="revoke it, or choose another"):
        token(name="ci")
    assert main(["token", "revoke", "ci"]) == 0
    token(name="ci")


def test_a_viewers_token_reads_and_changes_nothing(ask: Ask, engine: Engine) -> None:
    viewer = token("viewer")
    before = reads.data_version(engine)
    for route in ROUTES:
        if route.role in ("runner", "admin"):
            body = {"study": "quick", "runs": ["quick"], "name": "x", "files": [{"path": "x.csv", "text": "a"}]}  # fmt: skip
            kept = {key: body[key] for key in route.takes.model_fields if key in body} if route.method == "POST" else None  # fmt: skip
            status, told, _ = ask(route.method, route.path, viewer, kept)
            assert status == 403 and f"takes the role {route.role}" in told["error"], route.path
    assert ask("POST", "/studies", viewer, {"study": "quick", "dry_run": True})[0] == 403
    assert reads.data_version(engine) == before
    tried = reads.audit(engine, actor="token a viewer")
    assert set(tried["outcome"]) == {"refused"} and "POST /cancel" in list(tried["action"])
    assert ask("GET", "/runs/1", viewer)[0] == 200


# ---- the same as the command line


def test_answers_are_those_of_the_command_line(ask: Ask, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    one = token("viewer")
    for path, words in (
        ("/status", ["status"]),
        ("/studies", ["studies"]),
        ("/runs?study=quick", ["runs", "quick"]),
        ("/runs?study=quick&filter=stage:attack", ["runs", "quick", "--filter", "stage:attack"]),
        ("/runs/3", ["show", "3"]),
        ("/frontier?study=quick", ["frontier", "quick"]),
        ("/catalogue/methods", ["methods"]),
        ("/catalogue/metrics", ["metrics"]),
    ):
        status, told, _ = ask("GET", path, one)
        assert status == 200 and told == said(capsys, *words), path
    filtered = ask("GET", "/runs?study=quick&filter=stage:attack", one)[1]
    assert filtered and {run["stage"] for run in filtered} == {"attack"}


def test_a_study_is_queued_steered_and_written_down(ask: Ask, own_home: Any) -> None:
    runner = token("runner")
    asked = {"study": SOURCE, "dry_run": True}
    status, told, _ = ask("POST", "/studies", runner, asked)
    assert status == 200 and told["new"] > 0 and told["revision"] is None
    assert ask("GET", "/runs?study=mine", runner)[0] == 404
    status, made, _ = ask("POST", "/studies", runner, {"study": SOURCE})
    assert made["revision"] == 1 and made["new"] == told["new"]
    assert ask("POST", "/pause", runner)[1] == {"queue": "paused"}
    assert ask("POST", "/resume", runner)[1] == {"queue": "claiming"}
    assert ask("POST", "/cancel", runner, {"runs": ["mine"]})[1] == {"cancelled": made["new"]}
    assert ask("POST", "/retry", runner, {"runs": [1], "fresh": True})[1] == {"queued again": 1}
    log = reads.audit(require_database())
    mine = log[log["actor"] == "token a runner"]
    assert list(mine["action"]) == ["retry", "request_cancel", "set_paused", "set_paused", "submit"]
    assert set(mine["through"]) == {"rest"}


def test_an_admin_does_from_afar_what_the_command_line_does(ask: Ask, engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    admin = token("admin")
    made = ask("POST", "/tokens", admin, {"name": "ci", "role": "runner", "days": 7})[1]
    assert ask("GET", "/status", made["secret"])[0] == 200
    listed = ask("GET", "/tokens", admin)[1]
    assert listed == said(capsys, "token", "list") and "sha256" not in listed[-1]
    assert ask("POST", "/tokens/revoke", admin, {"name": "ci"})[1] == {"revoked": 1}
    assert ask("GET", "/status", made["secret"])[0] == 401
    log = ask("GET", "/audit?last=2&actor=token%20a%20admin", admin)[1]
    assert [entry["action"] for entry in log] == ["revoke_token", "keep_token"]
    assert log == said(capsys, "audit", "--last", "2", "--actor", "token a admin")
    runs = len(reads.study_runs(engine, 1))
    assert ask("POST", "/delete", admin, {"study": "quick"})[1] == {"deleted": runs}
    assert ask("GET", "/runs?study=quick", admin)[0] == 404
    assert ask("POST", "/delete", admin, {"study": "quick"})[0] == 404


def test_results_are_imported_from_afar_as_from_a_folder(ask: Ask, engine: Engine, tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    runner = token("runner")
    table = "model,method,forget quality,utility\none,npo,0.5,0.9\ntwo,undo,0.8,0.95\n"
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    asked = {"files": [{"path": "table.csv", "text": table}], "name": "theirs", "dry_run": True}
    status, told, _ = ask("POST", "/import", runner, asked)
    assert status == 200, told
    assert told == said(capsys, "import", str(tmp_path / "table.csv"), "--name", "theirs", "--dry-run")  # fmt: skip
    done = ask("POST", "/import", runner, {**asked, "dry_run": False})[1]
    assert (done["revision"], done["new"], done["changed"]) == (1, 2, True)
    assert ask("POST", "/import", runner, {**asked, "dry_run": False})[1]["changed"] is False
    assert len(ask("GET", "/runs?study=theirs", runner)[1]) == 2
    status, told, _ = ask("POST", "/studies", runner, {"study": {**SOURCE, "name": "theirs"}})
    assert status == 400 and "name = 'theirs' is that of an imported study" in told["error"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"files": [{"path": "a.json", "text": "{"}]}, "is not JSON"),
        ({"files": [{"path": "a.zip", "text": "PK\x03\x04"}]}, "zip archive"),
        ({"files": [{"path": "../../etc/passwd", "text": "x"}]}, "is none of"),
        ({"files": [{"path": "a.csv", "text": "a,b\n1,2\n"}], "kind": "none"}, "none"),
        ({"files": []}, "at least 1"),
    ],
)
def test_what_is_no_result_is_refused_in_a_sentence(ask: Ask, engine: Engine, body: Any, says: str) -> None:  # fmt: skip
    status, told, _ = ask("POST", "/import", token("runner"), body)
    assert status in (400, 404) and says in told["error"], told


def test_a_bundle_is_downloaded_as_one_archive(ask: Ask, engine: Engine) -> None:
    status, told, headers = ask("GET", "/export?study=quick&preset=one%20column", token("viewer"))
    assert status == 200 and headers["content-type"] == "application/zip"
    assert {"manifest.json", "data/frontier.csv"} <= set(zipfile.ZipFile(io.BytesIO(told)).namelist())  # fmt: skip


# ---- what is wrong is one sentence


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "sentence"),
    [
        ("GET", "/runs?study=nobody", None, 404, "no study 'nobody'"),
        ("GET", "/runs/999999", None, 404, "no run 999999"),
        ("GET", "/runs/99999999999999999999", None, 400, "less than"),
        ("GET", "/runs/..%2f..%2fetc", None, 404, "no GET"),
        ("GET", "/runs", None, 400, "study: Field required"),
        ("GET", "/runs?study=quick&x=1", None, 400, "takes study, filter"),
        ("GET", "/runs?study=quick&filter=nonsense:1", None, 400, "fields are"),
        ("GET", "/frontier?study=quick&budget=99999999", None, 400, "budget"),
        ("GET", "/nothing", None, 404, "openapi.json"),
        ("DELETE", "/runs/1", None, 404, "no DELETE"),
        ("POST", "/studies", b"{", 400, "not JSON"),
        ("POST", "/studies", b"[" * 100_000, 400, "not JSON"),
        ("POST", "/studies", [], 400, "takes study"),
        ("POST", "/studies", {"study": "../../etc/passwd"}, 404, "no study '../../etc/passwd'"),
        ("POST", "/studies", {"study": "backend/studies/quick.toml"}, 404, "no study"),
        ("POST", "/studies", {"study": {"name": "x", "recipes": "no"}}, 400, "recipes must be a list"),
        ("POST", "/cancel", {"runs": []}, 400, "runs"),
        ("POST", "/studies", b" " * 1_000_001, 413, "larger"),
        ("POST", "/cancel", {"runs": [10**30]}, 400, "no run's number"),
        ("POST", "/cancel", {"runs": ["9" * 5000]}, 400, "no run's number"),
        ("POST", "/retry", {"runs": [2**31]}, 400, "those end at 2147483647"),
        ("POST", "/cancel", {"runs": [2**31 - 1]}, 404, "no run 2147483647"),
        ("POST", "/cancel", {"runs": [True]}, 400, "valid integer"),
        ("POST", "/cancel", {"runs": ["\ud800"]}, 400, "half a character"),
        ("POST", "/cancel", {"runs": ["a\0b"]}, 400, "zero byte"),
        ("GET", "/runs?study=%00", None, 400, "zero byte"),
        ("POST", "/studies", {"study": {**SOURCE, "name": "\ud800"}}, 400, "half a character"),
        ("POST", "/studies", {"study": {**SOURCE, "seeds": [2**63]}}, 400, "from 0 to 2000000000"),
        ("POST", "/studies", {"study": {**SOURCE, "seeds": [2**31]}}, 400, "from 0 to 2000000000"),
        ("POST", "/studies", b'{"study": {"name": "x", "recipes": [1e999, NaN]}}', 400, "not JSON"),
        ("POST", "/studies", {"study": {**SOURCE, "setting": "nonsense"}}, 400, "no setting 'nonsense'"),
        ("POST", "/studies", {"study": "quick", "set": ["setting={name = 'nonsense'}"]}, 400, "no setting"),
        ("GET", "/frontier?study=quick&attacker_flops=inf", None, 400, "finite"),
        ("GET", "/catalogue/nonsense", None, 404, "no list of nonsense"),
        ("POST", "/tokens/revoke", {"name": "nobody"}, 404, "no token 'nobody'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_in_json(ask: Ask, engine: Engine, method: str, path: str, body: Any, status: int, sentence: str) -> None:  # fmt: skip
    found, told, headers = ask(method, path, token("admin"), body)
    assert found == status, told
    assert set(told) == {"error"} and sentence in told["error"] and "\n" not in told["error"]
    assert "access-control-allow-origin" not in headers and headers["cache-control"] == "no-store"


@pytest.mark.parametrize("words", [["show", "9" * 30], ["log", "9" * 30], ["cancel", "9" * 5000], ["frontier", "quick", "--attacker-flops", "inf"]])  # fmt: skip
def test_numbers_beyond_all_are_one_sentence_on_the_command_line_too(engine: Engine, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:  # fmt: skip
    assert main([*words, "--json"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_other_sites_are_told_of_no_permission(ask: Ask, engine: Engine) -> None:
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    status, _, headers = ask("OPTIONS", "/studies", **asked)
    assert status == 404
    assert not [name for name in headers if name.lower().startswith("access-control")]


# ---- how often


def test_a_bucket_fills_with_time_and_each_has_its_own() -> None:
    now = [0.0]
    buckets = Buckets(2, 0.5, clock=lambda: now[0])
    assert [buckets.wait("a") for _ in range(3)] == [0, 0, 2]
    assert buckets.wait("b") == 0
    now[0] = 2
    assert [buckets.wait("a"), buckets.wait("a")] == [0, 2]


@pytest.mark.parametrize("limited", ["address", "token"])
def test_who_asks_too_often_is_told_when_to_come_back(engine: Engine, limited: str) -> None:
    few, many = Buckets(3, 0.1, clock=lambda: 0.0), Buckets(1000, 10.0)
    server, address = started(Limits(few, many) if limited == "address" else Limits(many, few))
    ask, one, other = asking(address), token("viewer"), token("viewer", "other")
    try:
        found = [ask("GET", "/status", one) for _ in range(5)]
        assert [status for status, _, _ in found] == [200] * 3 + [429] * 2
        assert 1 <= int(found[-1][2]["retry-after"]) <= 10 and "ask again" in found[-1][1]["error"]
        assert ask("GET", "/status", other)[0] == (429 if limited == "address" else 200)
        forged = ask("GET", "/status", "forged")[0]
        assert forged == (429 if limited == "address" else 401)
    finally:
        server.should_exit = True


@pytest.mark.parametrize(
    ("proxies", "limited"), [(None, True), ("", True), ("10.0.0.1", True), ("127.0.0.1", False)]
)
def test_nobody_is_a_new_address_with_every_request(engine: Engine, monkeypatch: pytest.MonkeyPatch, proxies: str | None, limited: bool) -> None:  # fmt: skip
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if proxies is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", proxies)
    server, address = started(Limits(Buckets(3, 0.1, clock=lambda: 0.0), Buckets(1000, 10.0)))
    ask, one = asking(address), token("viewer")
    try:
        spoofed = [ask("GET", "/status", one, **{"X-Forwarded-For": f"10.1.0.{k}"})[0] for k in range(6)]  # fmt: skip
        assert spoofed == ([200] * 3 + [429] * 3 if limited else [200] * 6)
        same = [ask("GET", "/status", one, **{"X-Forwarded-For": f"9.9.9.{k}, 10.2.0.1"})[0] for k in range(6)]  # fmt: skip
        assert same == ([429] * 6 if limited else [200] * 3 + [429] * 3), "what a client puts before is no address"  # fmt: skip
    finally:
        server.should_exit = True


# ---- where it is served


@pytest.mark.slow
def test_one_server_has_the_pages_and_the_interface(serve: Any) -> None:
    address, viewer = serve("asgi.py"), token("viewer")
    wait_for(lambda: answers(f"{address}{PREFIX}/health"), 300)
    ask = asking(f"{address}{PREFIX}")
    assert ask("GET", "/health")[1]["database"] is True
    assert ask("GET", "/status")[0] == 401
    assert ask("GET", "/status", viewer)[1]["counts"]["complete"] == 0
    with urllib.request.urlopen(address, timeout=120) as page:
        assert b"<title>Streamlit" in page.read()
    with urllib.request.urlopen(f"{address}/Frontier?study=quick", timeout=120) as page:
        assert page.url == f"{address}/?study=quick" and b"<title>Streamlit" in page.read()


def test_prometheus_gets_its_own_kind_of_text(ask: Ask, engine: Engine) -> None:
    status, told, headers = ask("GET", "/metrics", token("viewer"))
    assert status == 200 and headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b'lethe_runs{state="complete"}' in told
