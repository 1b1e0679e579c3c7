"""Places where models can lie: a server of FTP, and one of S3, on this machine alone."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.in_browser import free_port


@contextmanager
def ftp(folder: Path, port: int = 0) -> Iterator[str]:
    """The address of a server of the folder; it ends with the context."""
    pytest.importorskip("pyftpdlib", reason="pyftpdlib is not installed (requirements-dev.txt)")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    logging.getLogger("pyftpdlib").setLevel(logging.ERROR)
    authorizer = DummyAuthorizer()
    folder.mkdir(parents=True, exist_ok=True)
    authorizer.add_user("lethe", "secret", str(folder), perm="elradfmwMT")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer})
    server = ThreadedFTPServer(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"ftp://lethe:secret@127.0.0.1:{server.address[1]}/models of all"
    finally:
        server.close_all()
        thread.join()


@contextmanager
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty bucket of a server in this process."""
    pytest.importorskip(
        "s3fs", reason="s3fs and moto[server] are too large to be asked of everybody"
    )
    server = pytest.importorskip(
        "moto.server", reason="s3fs and moto[server] are too large to be asked of everybody"
    )
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=free_port())
    running.start()
    host, port = running.get_host_and_port()
    for name, value in (("AWS_ACCESS_KEY_ID", "lethe"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_DEFAULT_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", f"http://{host}:{port}")):  # fmt: skip
        monkeypatch.setenv(name, value)
    import s3fs

    bucket = f"lethe-{port}"  # the server's memory outlasts it
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir(bucket)
    try:
        yield f"s3://{bucket}/models of all"
    finally:
        running.stop()
