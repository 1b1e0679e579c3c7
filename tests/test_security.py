"""What an attacker would try, against the real parts. docs/security.md lists these tests and the others."""

import base64
import gzip
import os
import socket
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from streamlit.testing.v1 import AppTest

from backend.deleting import remove_files
from backend.given_files import from_bytes
from backend.importing import prepared
from backend.run_filter import Words, parse
from backend.stage import UserError
from db import reads, writes
from tests.in_browser import serve
from tests.small_study import database, run, submit

__all__ = ["serve"]  # a fixture
ROOT = Path(__file__).resolve().parents[1]
SCRIPT = "<script>alert(1)</script><img src=http://evil.example/x.png onerror=alert(2)>"
SQL = ["'; DROP TABLE run; --", '" OR 1=1 --', "x') OR ('1'='1", "%", "_", "\\"]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    found = database(tmp_path, monkeypatch)
    submit(found, run("a"), run("b", "a", name="100% sure"))
    return found


# ---- a page of another site speaks to the server of this machine


def handshake(address: str, origin: str | None, host: str | None = None) -> int:
    """The status of the answer to a websocket's first request; 101 is a yes."""
    place = address.removeprefix("http://")
    lines = ["GET /_stcore/stream HTTP/1.1", f"Host: {host or place}", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}", "Sec-WebSocket-Version: 13"]  # fmt: skip
    lines += [f"Origin: {origin}"] if origin else []
    name, _, port = place.partition(":")
    with socket.create_connection((name, int(port)), timeout=120) as connection:
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = connection.recv(4096)
    return int(answer.split()[1])


@pytest.mark.parametrize("script", ["app.py", "asgi.py"])
def test_another_sites_websocket_is_refused(serve, script: str) -> None:
    address = serve(script)
    port = address.rpartition(":")[2]
    assert handshake(address, address) == 101
    assert handshake(address, f"http://localhost:{port}", f"localhost:{port}") == 101
    assert handshake(address, "http://evil.example") == 403
    assert handshake(address, "null") == 403
    # A name of the attacker's that points at this machine.
    assert handshake(address, "http://evil.example", "evil.example") == 403
    assert handshake(address, f"http://evil.example:{port}", f"evil.example:{port}") == 403


# ---- SQL


@pytest.mark.both_databases
@pytest.mark.parametrize("given", SQL)
def test_a_filters_words_are_values_and_never_sql(engine: Engine, given: str) -> None:
    quoted = given.replace('"', "")
    for filter_ in (f'"{quoted}"', f'method:"{quoted}"', f'tag:"{quoted}"', f'study:"{quoted}"', f'-note:"{quoted}"' if quoted else "is:archived"):  # fmt: skip
        try:
            conditions = parse(filter_, Words())
        except UserError:
            continue
        found = reads.matching_ids(engine, conditions)
        assert len(found) in (0, 1, 2)
    assert reads.matching_ids(engine, parse('method:"%"', Words())) == []
    assert reads.counts(engine)["waiting"] == 2


@pytest.mark.both_databases
@pytest.mark.parametrize("given", SQL)
def test_names_are_values_and_never_sql(engine: Engine, given: str) -> None:
    word = given.replace('"', "")
    writes.add_tag(engine, [1], word)
    assert reads.tags_of(engine, 1) == [" ".join(word.split())]
    assert reads.study(engine, given) is None
    assert writes.remove_tag(engine, [1], given + "no") == 0
    with engine.connect() as c:
        assert c.execute(text("SELECT count(*) FROM run")).scalar() == 2


@pytest.mark.parametrize("column", ["id; DROP TABLE run", "(SELECT 1)", "p.x') --", "id DESC, seed"])  # fmt: skip
def test_an_address_sorts_by_known_columns_only(engine: Engine, column: str) -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["sort"], at.query_params["columns"] = column, f"id,{column}"
    at = at.switch_page("pages/3_Runs.py").run()
    assert not at.exception, at.exception[0].value
    assert reads.counts(engine)["waiting"] == 2


# ---- words as markup


def test_a_note_is_never_markup(engine: Engine) -> None:
    writes.save_note(engine, 1, SCRIPT + " ![x](http://evil.example/x.png)", SCRIPT, 0)
    writes.save_note(engine, 1, "a later version, which lets the page show the earlier one", "", 1)
    writes.add_tag(engine, [1], SCRIPT[:50].replace('"', ""))
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["run"] = "1"
    at = at.switch_page("pages/3_Runs.py").run()
    assert not at.exception, at.exception[0].value
    raw = [str(one.proto.body) for one in at.get("html")]
    assert not [body for body in raw if "<script>alert" in body or "<img src=http" in body]
    marked = [one for kind in ("markdown", "caption", "header", "subheader", "title") for one in at.get(kind)]  # fmt: skip
    assert not [one.value for one in marked if "![x](http" in one.value]
    assert not [one for one in at.markdown if one.proto.allow_html and "alert(" in one.value]


def test_a_reports_title_names_no_other_folder(engine: Engine) -> None:
    report = writes.create_report(engine, "../../etc/passwd\\..\\x")
    writes.add_block(engine, report, "text", "../../x", {"text": "y"})
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300)
    at.query_params["report"] = str(report)
    at = at.switch_page("pages/8_Reports.py").run()
    assert not at.exception, at.exception[0].value
    source = (ROOT / "pages/components/report_downloads.py").read_text(encoding="utf-8")
    assert "title" not in source.split("file_name=")[1].split(",")[0]


# ---- paths


@pytest.mark.parametrize("path", ["../precious/model.safetensors", "checkpoints/../precious/x", "/{}/precious/x", "precious/x", "checkpoints/x"])  # fmt: skip
def test_deleting_a_run_removes_nothing_but_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:  # fmt: skip
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "home"))
    for folder in (tmp_path / "precious", tmp_path / "home" / "precious", tmp_path / "home" / "checkpoints" / "a"):  # fmt: skip
        folder.mkdir(parents=True)
        (folder / "x").write_text("stays")
    remove_files([path.format(tmp_path)])
    assert len([file for file in tmp_path.rglob("x") if file.is_file()]) == 3
    remove_files(["checkpoints/a/x"])
    assert not (tmp_path / "home" / "checkpoints" / "a").exists()


# ---- files that are larger than they look


def test_a_packed_bomb_is_refused_unread() -> None:
    bomb = gzip.compress(b'{"a": "' + b"0" * 50_000_000 + b'"}')
    assert len(bomb) < 100_000
    for name in ("results.json", "table.csv"):
        with pytest.raises(UserError, match="gzip archive; unpack it"):
            prepared([from_bytes("bomb", [(name, bomb)])], None)
