"""A study as TOML text: the standard library reads TOML but does not write it."""

import json
from typing import Any


def toml_text(source: dict[str, Any]) -> str:
    """The study file that stands for a source of plain values, tables and lists of tables."""
    plain = [f"{key} = {_value(value)}" for key, value in source.items() if not _tables(value)]
    blocks = ["\n".join(plain)]
    for key, value in source.items():
        if _tables(value):
            blocks += [_block(key, table) for table in value]
    return "\n\n".join(blocks) + "\n"


def _tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _block(key: str, table: dict[str, Any]) -> str:
    return "\n".join([f"[[{key}]]", *(f"{name} = {_value(item)}" for name, item in table.items())])


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
