"""The rules of the house that a machine can check."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CODE = [
    path
    for folder in ("backend", "db", "pages")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "versions" not in path.parts
] + [ROOT / "app.py"]


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400, "split this module"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            # A signature and its documentation may be long: they are a part's form on the Launch page.
            documented = isinstance(node.body[0], ast.Expr)
            first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
            assert (node.end_lineno or 0) - first.lineno < 50, f"split {node.name}"


def test_no_module_is_named_after_nothing() -> None:
    assert not [path for path in CODE if path.stem in ("utils", "helpers", "misc", "common")]


def test_every_folder_of_the_readmes_tree_exists() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tree = readme.split("```text")[1].split("```")[0]
    for line in tree.strip().splitlines():
        assert (ROOT / line.split()[0]).exists(), line


def test_every_verb_is_in_the_readme() -> None:
    from backend.__main__ import parser

    verbs = next(a for a in parser()._actions if a.dest == "verb").choices or {}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [verb for verb in verbs if f"`{verb}" not in readme]
