"""A place for models besides the data directory: whole contents under their hashes, over several protocols."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from backend import artifacts as module
from backend.artifacts import Artifacts, Damaged, checked, given
from backend.stage import RunFailed, UserError
from tests import stores
from tests.in_browser import free_port

KINDS = ("folder", "file", "memory", "ftp", "s3")


@pytest.fixture(params=KINDS)
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An address that is empty yet."""
    with ExitStack() as stack:
        if request.param == "ftp":
            yield stack.enter_context(stores.ftp(tmp_path / "served"))
        elif request.param == "s3":
            yield stack.enter_context(stores.s3(monkeypatch))
        else:
            where = {"folder": f"{tmp_path}/", "file": f"file://{tmp_path}/", "memory": f"memory://{tmp_path.name}/"}  # fmt: skip
            yield f"{where[request.param]}models of all"


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_a_content_comes_back_as_it_was(place: str, tmp_path: Path) -> None:
    store, here = Artifacts(place), tmp_path / "here"
    digest = written(here, bytes(range(256)) * 40_000)
    assert store.size(digest) is None and store.contents() == {}
    assert store.put(here, digest) and store.put(here, digest)
    other = Artifacts(place)
    assert other.contents() == {digest: 10_240_000} and other.size(digest) == 10_240_000
    age = other.age(digest)
    assert age is None or -5 < age < 3600
    back = tmp_path / "deep" / "back"
    other.get(digest, back)
    assert back.read_bytes() == here.read_bytes()
    other.remove(digest)
    other.remove(digest)
    assert store.contents() == {} and store.size(digest) is None
    with pytest.raises(FileNotFoundError):
        store.get(digest, tmp_path / "none")
    assert not list(tmp_path.glob("**/.*"))


def test_what_is_stored_anew_replaces_what_was_there(place: str, tmp_path: Path) -> None:
    store = Artifacts(place)
    digest = written(tmp_path / "here", b"whole")
    assert store.put(tmp_path / "here", digest)
    assert store.put(tmp_path / "here", digest, anew=True)
    assert store.contents() == {digest: 5}
    for state in (b"first", b"second"):
        (tmp_path / "state").write_bytes(state)
        store.put_state("f00d", tmp_path / "state")
    assert store.states() == {"f00d": 6}
    assert store.read_state("f00d", lambda file: file.read(3)) == b"sec"
    store.get_state("f00d", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"second"
    store.drop_state("f00d")
    assert store.states() == {} and store.read_state("f00d", lambda file: 1) is None


def test_it_can_be_written(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.ENVIRONMENT, place)
    if place.startswith("memory"):
        with pytest.raises(UserError, match="only as long as a process"):
            checked()
        return
    found = checked()
    assert found is not None and found.contents() == {}


def test_a_file_that_is_gone_or_another_one_is_not_stored(tmp_path: Path) -> None:
    store = Artifacts(str(tmp_path / "store"))
    digest = written(tmp_path / "here", b"this")
    (tmp_path / "here").write_bytes(b"that")
    assert not store.put(tmp_path / "here", digest)
    assert not store.put(tmp_path / "nowhere", digest)
    assert store.contents() == {}


def test_another_content_under_a_hash_never_takes_its_name_here(tmp_path: Path) -> None:
    store = Artifacts(str(tmp_path / "store"))
    digest = written(tmp_path / "here", b"this")
    store.put(tmp_path / "here", digest)
    (tmp_path / "store" / "models" / digest).write_bytes(b"that")
    with pytest.raises(Damaged):
        store.get(digest, tmp_path / "back")
    assert not (tmp_path / "back").exists() and not list(tmp_path.glob(".*"))


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from fsspec.implementations.local import LocalFileSystem

    def breaks(self: object, here: str, there: str, **_: object) -> None:
        Path(there).write_bytes(b"th")
        raise ConnectionResetError("gone")

    store = Artifacts(str(tmp_path / "store"))
    digest = written(tmp_path / "here", b"this")
    monkeypatch.setattr(LocalFileSystem, "put_file", breaks)
    monkeypatch.setattr(module, "STORING_SECONDS", 0.5)
    with pytest.raises(RunFailed, match="could not be reached: ConnectionResetError: gone"):
        store.put(tmp_path / "here", digest)
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]


def test_a_store_that_is_away_for_a_while_is_waited_for(tmp_path: Path) -> None:
    port, digest = free_port(), written(tmp_path / "here", b"this")
    stop = threading.Event()

    def later() -> None:
        time.sleep(1)
        with stores.ftp(tmp_path / "served", port):
            stop.wait(600)

    pytest.importorskip("pyftpdlib")
    server = threading.Thread(target=later)
    server.start()
    try:
        store = Artifacts(f"ftp://lethe:secret@127.0.0.1:{port}/store")
        assert store.put(tmp_path / "here", digest)
        assert store.contents() == {digest: 4}
    finally:
        stop.set()
        server.join()


def test_a_connection_that_broke_is_made_anew(tmp_path: Path) -> None:
    port, digest = free_port(), written(tmp_path / "here", b"this")
    with stores.ftp(tmp_path / "served", port) as address:
        store = Artifacts(address)
        assert store.put(tmp_path / "here", digest)
    with stores.ftp(tmp_path / "served", port):
        assert store.contents() == {digest: 4}


def test_a_store_that_never_answers_is_told_in_a_sentence_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(module, "SECONDS", 0.5)
    address = f"ftp://lethe:secret@127.0.0.1:{free_port()}/store"
    with pytest.raises(RunFailed) as told:
        Artifacts(address)
    assert "could not be reached: ConnectionRefusedError" in str(told.value)
    assert "secret" not in str(told.value) and "\n" not in str(told.value)
    monkeypatch.setenv(module.ENVIRONMENT, address)
    with pytest.raises(UserError, match="LETHE_ARTIFACTS: ftp://127.0.0.1"):
        checked()


@pytest.mark.parametrize("who", ["lethe:secret", "lethe:se/cr@et", "secret"])
def test_who_signs_in_is_never_shown(who: str) -> None:
    assert Artifacts(f"s3://{who}@bucket/models", connect=False).shown == "s3://bucket/models"
    assert Artifacts("s3://bucket/a:b", connect=False).shown == "s3://bucket/a:b"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("nonsense://x", "nonsense://x is no place"),
        ("/proc/models", "which cannot be written"),
        ("http://127.0.0.1:9/x", "which cannot be written"),
    ],
)
def test_an_address_that_cannot_be_is_refused(address: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv(module.ENVIRONMENT, address)
    with pytest.raises(UserError, match=says):
        checked()


def test_without_the_variable_there_is_no_store_and_a_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.delenv(module.ENVIRONMENT, raising=False)
    assert given() == "" and checked() is None
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(module.ENVIRONMENT, "shared")
    assert given() == str(tmp_path / "shared")


class Renames:
    """Servers on which a name is not renamed onto another, or that lose the connection as it is asked of them."""

    def __init__(self, patch: pytest.MonkeyPatch, problem: Exception, *, only_onto: bool):
        self.removed: list[str] = []
        move, remove = LocalFileSystem.mv, LocalFileSystem.rm_file

        def mv(files: LocalFileSystem, a: str, b: str, **more: object) -> None:
            if not only_onto or Path(b).exists():
                raise problem
            move(files, a, b, **more)

        def rm_file(files: LocalFileSystem, path: str) -> None:
            self.removed.append(Path(path).name)
            remove(files, path)

        patch.setattr(LocalFileSystem, "mv", mv)
        patch.setattr(LocalFileSystem, "rm_file", rm_file)


def test_the_same_content_is_never_taken_away_to_be_stored_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    store, here = Artifacts(f"file://{tmp_path}/models"), tmp_path / "here"
    digest = written(here, b"a model")
    assert store.put(here, digest)
    server = Renames(monkeypatch, FileExistsError("it exists"), only_onto=True)
    assert store.put(here, digest, anew=True)
    assert digest not in server.removed and store.is_whole(digest) and not store.parts()
    (tmp_path / "models" / "models" / digest).write_bytes(b"a muddl")
    assert not store.is_whole(digest)
    assert store.put(here, digest, anew=True)
    assert digest in server.removed and store.is_whole(digest) and not store.parts()
    for state in (b"step 1", b"step 2"):
        here.write_bytes(state)
        store.put_state("f00d", here)
    assert store.read_state("f00d", lambda file: file.read()) == b"step 2"


@pytest.mark.parametrize("problem", [ConnectionError("lost"), PermissionError("not yours")])
def test_what_is_there_stays_where_a_rename_fails_for_another_reason(problem: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    store, here = Artifacts(f"file://{tmp_path}/models", patience=0.0), tmp_path / "here"
    monkeypatch.setattr(module, "STORING_SECONDS", 0.0)
    digest = written(here, b"a model")
    assert store.put(here, digest)
    (tmp_path / "models" / "models" / digest).write_bytes(b"a muddl")
    server = Renames(monkeypatch, problem, only_onto=False)
    with pytest.raises((RunFailed, PermissionError)):
        store.put(here, digest, anew=True)
    assert digest not in server.removed and (tmp_path / "models" / "models" / digest).exists()
