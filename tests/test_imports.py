"""Imports point one way, and light parts stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"app", "backend", "db", "pages"}
PARTS = ("settings", "methods", "options", "attacks", "metrics")


def imported(path: Path) -> set[str]:
    """Dotted names of all modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def files(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if "versions" not in path.parts]


def starts(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@pytest.mark.parametrize("path", files("db"), ids=str)
def test_the_database_imports_nothing_of_ours(path: Path) -> None:
    assert not [name for name in imported(path) if starts(name, "backend", "pages", "app")]


@pytest.mark.parametrize("path", files("backend"), ids=str)
def test_the_backend_never_imports_streamlit_or_pages(path: Path) -> None:
    assert not [name for name in imported(path) if starts(name, "streamlit", "pages", "app")]


@pytest.mark.parametrize("path", files("pages") + [ROOT / "app.py"], ids=str)
def test_no_page_imports_torch(path: Path) -> None:
    heavy = ("torch", "transformers", "safetensors", "backend.recipe", "backend.training")
    assert not [name for name in imported(path) if starts(name, *heavy)]


@pytest.mark.parametrize("kind", PARTS)
def test_parts_import_neither_the_database_nor_one_another(kind: str) -> None:
    others = [f"backend.{other}" for other in PARTS if other != kind]
    for path in files(f"backend/{kind}"):
        names = imported(path)
        assert not [name for name in names if starts(name, "db", *others)], path
        siblings = [name for name in names if name.startswith(f"backend.{kind}.")]
        assert not siblings, f"{path.name} imports {siblings}"


def test_python_users_interface_stands_on_top_of_all_and_beside_the_command_line() -> None:
    names = imported(ROOT / "backend" / "api.py")
    assert not [name for name in names if starts(name, "backend.commands", "torch", "alembic")]
    ours = [path for folder in ("backend", "db", "pages") for path in files(folder)]
    assert not [p for p in [*ours, ROOT / "app.py"] if any(starts(n, "backend.api") for n in imported(p))]  # fmt: skip


@pytest.mark.parametrize("module", ["plugins", "plugin_places", "plugin_rules", "plugin_code", "plugin_loading", "declarations"])  # fmt: skip
def test_plugins_are_found_without_database_and_torch(module: str) -> None:
    names = imported(ROOT / "backend" / f"{module}.py")
    heavy = ("db", "torch", "numpy", "pandas", "streamlit", *(f"backend.{kind}" for kind in PARTS))
    assert not [name for name in names if starts(name, *heavy)]


@pytest.mark.parametrize(
    "module", ["frontier", "recovery", "statistics", "plan", "study", "catalogue"]
)
def test_pure_modules_touch_no_database_and_no_torch(module: str) -> None:
    names = imported(ROOT / "backend" / f"{module}.py")
    assert not [name for name in names if starts(name, "db", "torch", "transformers", "sqlalchemy")]


def test_the_recipe_does_not_know_the_database() -> None:
    for module in ("recipe", "training", "context", "models", "evaluation", "checkpoints"):
        assert not [n for n in imported(ROOT / "backend" / f"{module}.py") if starts(n, "db")]


def test_opening_every_page_leaves_torch_out() -> None:
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
for page in {[p.name for p in sorted((ROOT / "pages").glob("[0-9]*.py"))]!r}:
    at = AppTest.from_file({str(ROOT / "app.py")!r}, default_timeout=300).run()
    at.switch_page(f"pages/{{page}}").run()
    assert not at.exception, (page, at.exception)
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.stdout.strip() == "False", done.stderr[-2000:]
