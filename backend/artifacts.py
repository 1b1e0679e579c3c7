"""Where models lie besides the data directory: any address of fsspec, every file under the hash of its content.

LETHE_ARTIFACTS names the address; without it nothing here is used. A backup keeps its models in the same way.
"""

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from backend.patience import Away, is_full, patiently
from backend.stage import RunFailed, UserError

T = TypeVar("T")

ENVIRONMENT = "LETHE_ARTIFACTS"
SHA256 = re.compile(r"[0-9a-f]{64}")
PART = re.compile(r"(models|resume)/[0-9a-zA-Z]+\.[0-9a-f]{8}\.part")  # not whole yet, or never
CHUNK = 1 << 22
SECONDS = 60.0  # for a store that does not answer
STORING_SECONDS = 600.0  # the same where a finished model would be lost
# Here a file is there once it is whole; elsewhere it has another name until then.
WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oss", "oci", "tos"}
OWN_MEMORY = "memory"


class Damaged(Exception):
    """What lies under a hash has another content."""


class Artifacts:
    """Files by their content, and states to resume from by fingerprint, at one address.

    What does not answer is asked again for a while; then RunFailed says so in one sentence.
    """

    def __init__(
        self,
        address: str,
        folder: str = "models",
        *,
        connect: bool = True,
        patience: float | None = None,
    ):
        """UserError where fsspec cannot make anything of the address; without `connect` the first use will tell."""
        self.address, self._folder, self._patience = address, folder, patience
        self._files: Any = None
        self._root = ""
        try:
            if connect:
                self._try(lambda files: None)
        except (ValueError, ImportError) as problem:
            raise UserError(f"{self.shown} is no place that can be written: {problem}.") from problem  # fmt: skip

    @property
    def shown(self) -> str:
        """The address without a password that it may hold."""
        return re.sub(r"//[^/:@]+:.*@|//[^/@]*@", "//", self.address)

    def size(self, digest: str) -> int | None:
        """Bytes of that content; None where it is not there."""
        return self._try(lambda files: self._size(files, self._model(digest)))

    def put(self, here: Path, digest: str, *, anew: bool = False) -> bool:
        """Whether that content is there now, whole or not at all; `anew` stores it whatever is there.

        False where the file is gone or has another content.
        """
        if not anew and self.size(digest) is not None:
            return True
        if not here.is_file() or hashed(here) != digest:
            return False
        self._try(lambda files: _store(files, here, self._model(digest), digest), STORING_SECONDS)
        return True

    def get(self, digest: str, here: Path) -> None:
        """Bring that content, unless it is here: under a temporary name until it is whole.

        Raises:
            FileNotFoundError: it is not there
            Damaged: it is another content by now
        """
        if here.is_file() and hashed(here) == digest:
            return
        if self._try(lambda files: _fetch(files, self._model(digest), here, digest)) != digest:
            raise Damaged(digest)

    def is_whole(self, digest: str) -> bool:
        """Whether that content is there, read from its first byte to its last."""

        def action(files: Any) -> bool:
            try:
                return _hash_there(files, self._model(digest)) == digest
            except FileNotFoundError:
                return False

        return self._try(action)

    def remove(self, digest: str) -> None:
        """Forget that content."""
        self._try(lambda files: _remove(files, self._model(digest)))

    def contents(self) -> dict[str, int]:
        """hash → bytes of everything that is there."""
        return {name: size for name, size in self._listed(self._folder) if SHA256.fullmatch(name)}

    def age(self, digest: str) -> float | None:
        """Seconds since the content was stored; None where the place does not tell, or it went."""
        return self._try(lambda files: _age(files, self._model(digest)))

    def put_state(self, fingerprint: str, here: Path) -> None:
        """Keep a run's state to resume from; the last one counts."""
        self._try(lambda files: _store(files, here, self._state(fingerprint)))

    def read_state(self, fingerprint: str, look: Callable[[IO[bytes]], T]) -> T | None:
        """What `look` finds in a run's state; None where there is none."""

        def action(files: Any) -> T | None:
            if self._size(files, self._state(fingerprint)) is None:
                return None
            with files.open(self._state(fingerprint), "rb") as file:
                return look(file)

        return self._try(action)

    def get_state(self, fingerprint: str, here: Path) -> None:
        """Bring a run's state."""
        self._try(lambda files: _fetch(files, self._state(fingerprint), here, ""))

    def drop_state(self, fingerprint: str) -> None:
        """Forget a run's state."""
        self._try(lambda files: _remove(files, self._state(fingerprint)))

    def states(self) -> dict[str, int]:
        """fingerprint → bytes of every state that is there."""
        return {name: size for name, size in self._listed("resume") if name.isalnum()}

    def parts(self) -> dict[str, int]:
        """path → bytes of what is being stored, or was when a process was killed."""
        listed = ((f"{place}/{name}", size) for place in ("models", "resume") for name, size in self._listed(place))  # fmt: skip
        return {path: size for path, size in listed if PART.fullmatch(path)}

    def age_of_part(self, path: str) -> float | None:
        """As `age`, of such a part."""
        return self._try(lambda files: _age(files, f"{self._root}/{path}"))

    def remove_part(self, path: str) -> None:
        """Forget such a part."""
        assert PART.fullmatch(path), path
        self._try(lambda files: _remove(files, f"{self._root}/{path}"))

    def owner(self, name: str = "", *, anew: bool = False) -> str:
        """Whose the place is; it becomes that of `name` where it is nobody's, or `anew`. Empty where it still is."""

        def action(files: Any) -> str:
            there = f"{self._root}/database"
            if name and (anew or self._size(files, there) is None):
                _make_folder(files, there)
                files.pipe_file(there, name.encode())
            return "" if self._size(files, there) is None else str(files.cat_file(there).decode())

        return self._try(action)

    def check(self) -> None:
        """Write, read and remove a small file.

        Raises:
            UserError: that cannot be done here, or the place would be another one in every process
        """
        if OWN_MEMORY in _protocols(self._files):
            raise UserError(f"{self.shown} lasts only as long as a process; {ENVIRONMENT} takes a folder or a store that all processes see.")  # fmt: skip
        try:
            self._try(lambda files: _probe(files, f"{self._root}/probe-{uuid.uuid4().hex}"), 0)
        except (RunFailed, OSError, ValueError, ImportError) as problem:
            why = problem.__cause__ if isinstance(problem, RunFailed) else problem
            raise UserError(f"{ENVIRONMENT} is {self.shown}, which cannot be written: {_words(why)}.") from problem  # fmt: skip

    def _model(self, digest: str) -> str:
        assert SHA256.fullmatch(digest), digest
        return f"{self._root}/{self._folder}/{digest}"

    def _state(self, fingerprint: str) -> str:
        assert fingerprint.isalnum(), f"not a fingerprint: {fingerprint!r}"
        return f"{self._root}/resume/{fingerprint}"

    def _size(self, files: Any, there: str) -> int | None:
        # Not `exists`, to which a place that does not answer is one without the file.
        try:
            return int(files.info(there)["size"])
        except FileNotFoundError:
            return None

    def _listed(self, folder: str) -> list[tuple[str, int]]:
        def action(files: Any) -> list[Any]:
            try:
                return list(files.ls(f"{self._root}/{folder}", detail=True))
            except FileNotFoundError:
                return []

        found = self._try(action)
        return [(one["name"].rpartition("/")[2], int(one["size"] or 0)) for one in found]

    def _try(self, action: Callable[[Any], T], seconds: float | None = None) -> T:
        """What the action gives; a connection that broke is made anew for every try."""

        def once() -> T:
            try:
                if self._files is None:
                    self._files, self._root = located(self.address)
                self._files.invalidate_cache()  # others store and remove too
                return action(self._files)
            except (FileNotFoundError, PermissionError, ValueError, ImportError):
                raise
            except Exception as problem:
                if is_full(problem):
                    raise
                self._files = None
                raise Away(_words(problem)) from problem

        try:
            usual = SECONDS if self._patience is None else self._patience
            return patiently(once, usual if seconds is None else seconds)
        except Away as problem:
            raise RunFailed(f"{self.shown} could not be reached: {problem}; see to {ENVIRONMENT} or the place, then retry.") from problem.__cause__  # fmt: skip


def located(address: str) -> tuple[Any, str]:
    """The file system of an address, with a connection of its own, and the folder in it."""
    from fsspec.core import url_to_fs

    files, root = url_to_fs(address, skip_instance_cache=True)
    return files, root.rstrip("/")


def given() -> str:
    """What LETHE_ARTIFACTS says, a folder as an absolute path; empty where it says nothing."""
    address = os.environ.get(ENVIRONMENT, "").strip()
    named = "://" in address or "::" in address
    return address if named or not address else str(Path(os.path.expanduser(address)).absolute())


def artifacts(patience: float | None = None) -> Artifacts | None:
    """The place that LETHE_ARTIFACTS names, asked again for so long where it does not answer; None where it names none.

    Raises:
        UserError: it is no address
    """
    address = given()
    return Artifacts(address, patience=patience) if address else None


def checked() -> Artifacts | None:
    """The same once it was seen that processes of this machine can write there.

    Raises:
        UserError: they cannot
    """
    try:
        found = artifacts()
    except (RunFailed, OSError) as problem:
        raise UserError(f"{ENVIRONMENT}: {problem}") from problem
    if found is not None:
        found.check()
    return found


def hashed(path: Path) -> str:
    """The sha256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _protocols(files: Any) -> set[str]:
    named = getattr(files, "protocol", ())
    return {named} if isinstance(named, str) else set(named)


def _store(files: Any, here: Path, there: str, digest: str = "") -> None:
    """The file under that name, whole or not at all; `digest` is the hash of what never changes under it."""
    if WHOLE & _protocols(files):
        files.put_file(str(here), there)
        return
    files.makedirs(there.rpartition("/")[0], exist_ok=True)
    temporary = f"{there}.{uuid.uuid4().hex[:8]}.part"
    try:
        files.put_file(str(here), temporary)
        if int(files.info(temporary)["size"]) != here.stat().st_size:
            raise ConnectionError("a file did not arrive whole")
        if "file" in _protocols(files):
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
        _replace(files, temporary, there, digest)
    except BaseException:
        with contextlib.suppress(Exception):
            files.rm_file(temporary)
        raise


def _replace(files: Any, temporary: str, there: str, digest: str) -> None:
    """What is there goes only for a server that does not rename onto it, and not where it is the same already."""
    try:
        files.mv(temporary, there)
    except (ConnectionError, TimeoutError, EOFError, PermissionError):
        raise
    except Exception:
        files.invalidate_cache()
        if not files.exists(temporary) or not files.exists(there):
            raise
        if digest and _hash_there(files, there) == digest:
            files.rm_file(temporary)
            return
        files.rm_file(there)
        files.mv(temporary, there)


def _hash_there(files: Any, there: str) -> str:
    digest = hashlib.sha256()
    with files.open(there, "rb") as source:
        while part := source.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()


def _fetch(files: Any, there: str, here: Path, digest: str) -> str:
    """The content's hash; it takes its name here only where that is the one expected, or none is."""
    size = int(files.info(there)["size"])
    here.parent.mkdir(parents=True, exist_ok=True)
    temporary = here.with_name(f".{here.name}.{os.getpid()}")
    try:
        with files.open(there, "rb") as source, open(temporary, "wb") as target:
            written = _copied(source, target)
        if temporary.stat().st_size != size:
            raise ConnectionError("a file did not arrive whole")
        if digest in ("", written):
            temporary.replace(here)
    finally:
        temporary.unlink(missing_ok=True)
    return written


def _copied(source: Any, target: Any) -> str:
    """Copy what is left of one file into another; the sha256 of it."""
    digest = hashlib.sha256()
    while part := source.read(CHUNK):
        digest.update(part)
        target.write(part)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest()


def _remove(files: Any, there: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        files.info(there)
        files.rm_file(there)


def _age(files: Any, there: str) -> float | None:
    try:
        told = files.modified(there)
    except (NotImplementedError, FileNotFoundError):  # it went since it was listed
        return None
    told = told if told.tzinfo else told.replace(tzinfo=UTC)
    return (datetime.now(UTC) - told).total_seconds()


def _make_folder(files: Any, there: str) -> None:
    """What a name lies in, where there are folders."""
    if not WHOLE & _protocols(files):
        files.makedirs(there.rpartition("/")[0], exist_ok=True)


def _probe(files: Any, there: str) -> None:
    _make_folder(files, there)
    files.pipe_file(there, b"lethe")
    try:
        if files.cat_file(there) != b"lethe":
            raise ConnectionError("what was written does not come back")
    finally:
        files.rm_file(there)


def _words(problem: BaseException | None) -> str:
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0].rstrip('.')}" if lines else type(problem).__name__
