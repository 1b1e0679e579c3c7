"""The form of a part, made from its signature: the catalogue's parameters with their types, choices and bounds."""

import tomllib
from dataclasses import dataclass
from typing import Any

import streamlit as st

from backend import badges, catalogue
from backend.stage import UserError

ABREAST = 3  # fields in a row
# What the groups of parameters that several parts share are called.
GROUPS = {
    "text_training": "Base and oracle",
    "language_model": "Model and tokenizer",
    "training": "Optimiser and schedule",
    "suppression": "Every suppression",
    "distillation": "Every distillation",
    "relearning": "Every relearning",
}


@dataclass
class PartForm:
    """What a part's form holds: the table for a study file, and what is wrong with it."""

    table: dict[str, Any]
    problems: list[str]


def part_form(kind: str, name: str, given: dict[str, Any], key: str, grid: bool = True) -> PartForm:
    """The form of a part; its table has the name and every value that differs from the default.

    Numbers take a list, written with commas, as a grid. What is wrong is said below its field.
    """
    part = catalogue.part(kind, name)
    st.caption(f"{part.summary} *{part.source}*" if part.source else part.summary)
    if part.file:
        st.caption(f"From the plugin `{part.file}`.")
    if kind == "methods":
        st.markdown(" ".join(f":gray-badge[{badge}]" for badge in badges.of_method(part.declared)))
    form = PartForm({"name": name}, [])
    groups: dict[str, list[catalogue.Parameter]] = {"": []}
    for parameter in part.parameters:
        groups.setdefault(parameter.group, []).append(parameter)
    for group, parameters in groups.items():
        if group:
            st.markdown(f"**{GROUPS.get(group, group.replace('_', ' ').capitalize())}**")
        for start in range(0, len(parameters), ABREAST):
            row = parameters[start : start + ABREAST]
            for column, parameter in zip(st.columns(ABREAST, vertical_alignment="bottom"), row, strict=False):  # fmt: skip
                with column:
                    _fill(form, parameter, given, f"{key}-{name}-{parameter.name}", grid)
    return form


def _fill(
    form: PartForm, parameter: catalogue.Parameter, given: dict[str, Any], key: str, grid: bool
) -> None:
    """One parameter's field: its value goes into the form's table, or what is wrong with it among the problems."""
    try:
        value = _field(parameter, given.get(parameter.name, parameter.default), key, grid)
        _check(parameter, value, form.table["name"], grid)
    except UserError as mistake:
        form.problems.append(str(mistake))
        st.error(str(mistake))
        return
    if value != parameter.default:
        form.table[parameter.name] = value


def _check(parameter: catalogue.Parameter, value: Any, where: str, grid: bool) -> None:
    """The value, or every value of a grid, fits; UserError where one does not."""
    several = grid and isinstance(value, list) and parameter.type != "list"
    if several and not value:
        raise UserError(f"{where}: {parameter.name} has no value.")
    for one in value if several else [value]:
        parameter.check(one, where)


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
            label,
            choices,
            index=choices.index(value),
            format_func=lambda choice: choice if choice != "" else "none",
            help=parameter.help,
            key=key,
        )
    nullable = parameter.type.endswith("?")
    empty = "none" if nullable else None
    text = st.text_input(
        label, value=written(value), help=parameter.help, key=key, placeholder=empty
    )
    if nullable and not text.strip():
        return None
    if parameter.type == "str":
        words = [word.strip() for word in text.split(",") if word.strip()]
        return words[0] if len(words) == 1 else words if grid else text
    return parsed(text, label, grid and parameter.type != "list")


def written(value: Any) -> str:
    """A value as one writes it: a grid with commas, numbers short, nothing for null."""
    if value is None:
        return ""
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
