"""The form of a part, made from its signature: the catalogue's parameters with their types, choices and bounds."""

import tomllib
from typing import Any

import streamlit as st

from backend import catalogue
from backend.stage import UserError


def part_form(
    kind: str, name: str, given: dict[str, Any], key: str, grid: bool = True
) -> dict[str, Any]:
    """The table of a part for a study file: its name and every value that differs from the default.

    Numbers take a list, written with commas, as a grid.
    """
    part = catalogue.part(kind, name)
    st.caption(f"{part.summary} *{part.source}*" if part.source else part.summary)
    table: dict[str, Any] = {"name": name}
    columns = st.columns(3)
    for position, parameter in enumerate(part.parameters):
        with columns[position % 3]:
            value = _field(
                parameter,
                given.get(parameter.name, parameter.default),
                f"{key}-{name}-{parameter.name}",
                grid,
            )
        if value != parameter.default:
            table[parameter.name] = value
    return table


def _field(parameter: catalogue.Parameter, value: Any, key: str, grid: bool) -> Any:
    label = parameter.name.replace("_", " ")
    if parameter.type == "bool":
        return st.checkbox(label, value=bool(value), help=parameter.help, key=key)
    if parameter.choices:
        choices = list(parameter.choices)
        if grid:
            default = value if isinstance(value, list) else [value]
            chosen = st.multiselect(label, choices, default=default, help=parameter.help, key=key)
            return chosen[0] if len(chosen) == 1 else chosen
        return st.selectbox(
            label, choices, index=choices.index(value), help=parameter.help, key=key
        )
    text = st.text_input(label, value=written(value), help=parameter.help, key=key)
    return parsed(text, label, grid and parameter.type != "list")


def written(value: Any) -> str:
    """A value as one writes it: a grid with commas, numbers short."""
    if isinstance(value, list) and not (value and isinstance(value[0], list)):
        return ", ".join(written(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def parsed(text: str, label: str, grid: bool) -> Any:
    """What was written: a number, a list of numbers, or a text; UserError where it is none of these."""
    words = [word.strip() for word in text.split(",")] if grid else [text.strip()]
    try:
        values = [tomllib.loads(f"value = {_toml_number(word)}")["value"] for word in words if word]
    except tomllib.TOMLDecodeError:
        raise UserError(f"{label}: {text!r} is neither a number nor a list of numbers.") from None
    if not values:
        return []
    return values[0] if len(values) == 1 else values


def _toml_number(word: str) -> str:
    """TOML wants a digit on both sides of the point and a number before an exponent."""
    return f"0{word}" if word.startswith(".") else word
