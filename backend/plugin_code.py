"""What a plugin's numbers depend on: its file and the files of its own folder or package that it imports.

They are found by reading the imports, without importing anything. The hash is over the text, so that every edit counts, a
comment too: it is the same on every machine and version of Python, which a hash of the parsed program would not be.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path


def code(file: Path, root: Path, package: str = "") -> str:
    """The hash of a plugin's source, 16 hexadecimal digits.

    `root` is the folder that its relative imports stay in; of an installed plugin `package` is the name under which that
    folder is imported.

    Raises:
        SyntaxError: a file of it does not parse
        ValueError: a file of it is no text in UTF-8
        OSError: a file of it cannot be read
    """
    digest = hashlib.sha256()
    for path in sorted(needed(file, root, package)):
        text = path.read_text(encoding="utf-8")  # line ends of any system become \n
        digest.update(f"{path.relative_to(root).as_posix()}\n{len(text)}\n{text}".encode())
    return digest.hexdigest()[:16]


def needed(file: Path, root: Path, package: str) -> set[Path]:
    """The file and all that it imports from its own folder or package, directly or not; raises as `code` does."""
    return {path for path in looked_for(file, root, package) if path == file or path.is_file()}


def looked_for(file: Path, root: Path, package: str) -> set[Path]:
    """The same with the files that are not there: were one made, it would be imported; raises as `code` does."""
    found: set[Path] = set()
    left = [file]
    while left:
        path = left.pop()
        if path in found:
            continue
        found.add(path)
        if path == file or path.is_file():
            left += _imported(path, root, package)
    return found


def _imported(path: Path, root: Path, package: str) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.ImportFrom):
            start = _start(path, node, root, package)
            if start is not None:
                yield from _modules(start, root)
                for alias in node.names:
                    yield from _modules(start / alias.name, root)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if (place := _inside(alias.name, root, package)) is not None:
                    yield from _modules(place, root)


def _start(path: Path, node: ast.ImportFrom, root: Path, package: str) -> Path | None:
    """Where the module of `from MODULE import …` lies, without suffix; None outside of the plugin's own folder."""
    if not node.level:
        return _inside(node.module or "", root, package)
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    return folder.joinpath(*(node.module or "").split(".")) if node.module else folder


def _inside(name: str, root: Path, package: str) -> Path | None:
    if not package or (name != package and not name.startswith(f"{package}.")):
        return None
    return root.joinpath(*name.removeprefix(package).strip(".").split("."))


def _modules(place: Path, root: Path) -> Iterator[Path]:
    """The module's file, and those of the packages that are imported on the way to it, whether they are there or not."""
    if root not in (place, *place.parents):
        return
    if place != root:
        yield place.with_suffix(".py")
    for folder in (place, *place.parents):
        yield folder / "__init__.py"
        if folder == root:
            return
