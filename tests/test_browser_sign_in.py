"""Signing in for real: a small provider of OpenID Connect, Streamlit's login through Authlib, a browser."""

import base64
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from db import reads, writes
from db.session import require_database
from tests.in_browser import NEEDS_BROWSER, browser, expect, free_port, page, serve

__all__ = ["browser", "page", "serve"]  # fixtures
pytestmark = NEEDS_BROWSER
jose = pytest.importorskip("joserfc.jwt", reason="pip install -r requirements-auth.txt")


class Provider(ThreadingHTTPServer):
    """Says of everybody who comes that they are `email`."""

    def __init__(self) -> None:
        from joserfc.jwk import RSAKey

        super().__init__(("127.0.0.1", 0), Answers)
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        self.email, self.nonce = "vic@example.org", ""

    def identity(self) -> str:
        now = int(time.time())
        told = {"iss": self.address, "sub": self.email, "aud": "lethe", "iat": now, "exp": now + 600, "nonce": self.nonce, "email": self.email, "email_verified": True}  # fmt: skip
        return str(jose.encode({"alg": "RS256", "kid": "one"}, told, self.key))


class Answers(BaseHTTPRequestHandler):
    """The four addresses that a login asks."""

    server: Provider

    def do_GET(self) -> None:
        parts = urllib.parse.urlparse(self.path)
        query = dict(urllib.parse.parse_qsl(parts.query))
        here = self.server.address
        if parts.path == "/.well-known/openid-configuration":
            self._json({"issuer": here, "authorization_endpoint": f"{here}/authorize", "token_endpoint": f"{here}/token", "jwks_uri": f"{here}/keys", "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"]})  # fmt: skip
        elif parts.path == "/keys":
            self._json({"keys": [self.server.key.as_dict(private=False)]})
        elif parts.path == "/authorize":
            self.server.nonce = query.get("nonce", "")
            back = urllib.parse.urlencode({"code": "c", "state": query["state"]})
            self.send_response(302)
            self.send_header("Location", f"{query['redirect_uri']}?{back}")
            self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._json({"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": self.server.identity()})  # fmt: skip

    def _json(self, told: Any) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()


def secrets(folder: Path, provider: Provider, port: int) -> Path:
    path = folder / "secrets.toml"
    path.write_text(f"""
[auth]
redirect_uri = "http://localhost:{port}/oauth2callback"
cookie_secret = "{base64.b64encode(b"long enough to sign with").decode()}"
client_id = "lethe"
client_secret = "not secret"
server_metadata_url = "{provider.address}/.well-known/openid-configuration"

[roles]
"vic@example.org" = "viewer"
"ron@example.org" = "runner"
""")
    return path


@pytest.mark.parametrize(("email", "may"), [("vic@example.org", False), ("ron@example.org", True)])
def test_from_a_deep_link_through_the_provider_to_the_page_and_out(page: Any, serve: Any, provider: Provider, tmp_path: Path, email: str, may: bool) -> None:  # fmt: skip
    provider.email, port = email, free_port()
    writes.set_paused(require_database(), False)
    path = secrets(tmp_path, provider, port)
    serve("asgi.py", "--secrets.files", str(path), port=port)
    page.goto(f"http://localhost:{port}/Jobs")
    expect(page.get_by_role("heading", name="Lethe", level=1)).to_be_visible()
    expect(page.get_by_text("No worker is running")).to_have_count(0)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text(f"{email}, ")).to_be_visible()
    page.get_by_role("link", name="Jobs").click()
    button = page.get_by_role("button", name="Pause the queue")
    if may:
        button.click()
        expect(page.get_by_role("button", name="Continue the queue")).to_be_visible()
    else:
        expect(button).to_be_disabled()
    assert reads.paused(require_database()) == may
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
