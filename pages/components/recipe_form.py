"""The parts of the Launch form that can be had several times: recipes and attacks."""

from typing import Any

import streamlit as st

from backend import catalogue, study
from backend.combining import slots
from backend.stage import UserError
from pages.components.form import PartForm, parsed, part_form, written

MOST = 200  # recipes or attacks of a form
# What a recipe takes besides its stages: default and meaning.
AROUND = {
    "label_fraction": (
        1.0,
        "share of the forget items that are known to be such; a list is a grid",
    ),
    "requests": (1, "parts in which the forget set is unlearnt, one after another"),
}


def named(value: Any) -> dict[str, Any]:
    """A part as a table, also where a bare name was given."""
    return {"name": value} if isinstance(value, str) else dict(value)


def recipes_form(
    given: list[dict[str, Any]], key: str, problems: list[str]
) -> list[dict[str, Any]]:
    """All recipes; what is wrong is added to `problems`."""
    count = int(st.number_input("Recipes", 0, MOST, len(given), key=f"{key}-count"))
    found = []
    for position in range(count):
        with st.container(border=True):
            st.markdown(f"**Recipe {position + 1}**")
            start = given[position] if position < len(given) else {}
            recipe = _recipe(start, f"{key}-{position}", problems)
            if recipe:
                found.append(recipe)
    return found


def _recipe(given: dict[str, Any], key: str, problems: list[str]) -> dict[str, Any]:
    """One recipe: for every stage a method or none."""
    found: dict[str, Any] = {}
    stages = {
        stage: [m.name for m in catalogue.parts("methods") if m.declared["stage"] == stage]
        for stage in study.RECIPE_STAGES
    }
    stages = {stage: methods for stage, methods in stages.items() if methods}
    for column, (stage, methods) in zip(st.columns(len(stages)), stages.items(), strict=True):
        start = named(given[stage]) if stage in given else {}
        with column:
            name = _choice(stage.capitalize(), ["none", *methods], start, f"{key}-{stage}")
        if name != "none":
            same = start if start.get("name") == name else {}
            found[stage] = _parameters("methods", name, same, f"{key}-{stage}", problems)
            with column:
                found[stage] = {**found[stage], **_options(name, same, f"{key}-{stage}", problems)}
    if found:
        found |= _around(given, key, problems)
    return found


def _around(given: dict[str, Any], key: str, problems: list[str]) -> dict[str, Any]:
    """What goes around a recipe's stages: labels and requests as fields, the rest as the study file has it."""
    found: dict[str, Any] = {}
    with st.expander("Labels and requests", expanded=bool(set(AROUND) & set(given))):
        for column, (name, (default, help_)) in zip(st.columns(2), AROUND.items(), strict=True):
            label, start = name.replace("_", " "), given.get(name, default)
            with column:
                text = st.text_input(label, written(start), help=help_, key=f"{key}-{name}")
                try:
                    value = parsed(text, label, grid=True)
                except UserError as mistake:
                    problems.append(str(mistake))
                    st.error(str(mistake))
                    continue
            found |= {name: value} if value != default else {}
    kept = {k: v for k, v in given.items() if k not in (*study.RECIPE_STAGES, *AROUND)}
    if kept:
        st.caption("Kept as they are: " + ", ".join(f"{k} = {v}" for k, v in kept.items()))
    return {**found, **kept}


def _options(name: str, given: dict[str, Any], key: str, problems: list[str]) -> dict[str, Any]:
    """What a method is combined with: for every slot that it takes an option or none."""
    found: dict[str, Any] = {}
    known = {part.name: part for part in catalogue.parts("methods")}
    taken = slots(known[name]) if name in known else ()
    if not taken:
        return found
    with st.expander("Combined with", expanded=any(slot in given for slot in taken)):
        for slot in taken:
            names = [o.name for o in catalogue.parts("options") if o.declared["slot"] == slot]
            start = named(given[slot]) if slot in given else {}
            label = slot.replace("_", " ").capitalize()
            name = _choice(label, ["none", *names], start, f"{key}-{slot}")
            if name != "none" and _is_here("options", name, problems):
                same = start if start.get("name") == name else {}
                form = part_form("options", name, same, f"{key}-{slot}")
                problems += form.problems
                found[slot] = form.table
    return found


def attacks_form(
    given: list[dict[str, Any]], key: str, problems: list[str]
) -> list[dict[str, Any]]:
    """All attacks with their grids; what is wrong is added to `problems`."""
    count = int(st.number_input("Attacks", 0, MOST, len(given), key=f"{key}-attacks"))
    names = [part.name for part in catalogue.parts("attacks")]
    found = []
    for position in range(count):
        start = named(given[position]) if position < len(given) else {}
        with st.container(border=True):
            name = _choice(f"Attack {position + 1}", names, start, f"{key}-attack-{position}")
            same = start if start.get("name") == name else {}
            where = f"{key}-attack-{position}"
            found.append(_parameters("attacks", name, same, where, problems))
    return found


def _choice(label: str, options: list[str], given: dict[str, Any], key: str) -> str:
    """The chosen name; one that is given and not here is among them, so that nothing is left out unseen."""
    start = given.get("name")
    options = options if start is None or start in options else [*options, start]
    index = options.index(start) if start is not None else 0
    return str(st.selectbox(label, options, index=index, key=key))


def _parameters(
    kind: str, name: str, given: dict[str, Any], key: str, problems: list[str]
) -> dict[str, Any]:
    """A part's form, folded; what differs from the defaults and what is wrong shows below it."""
    if not _is_here(kind, name, problems):
        return given
    with st.expander(f"Parameters of {name}", expanded=False):
        form = part_form(kind, name, given, key)
    problems += form.problems
    for problem in form.problems:
        st.error(problem)
    if not form.problems:
        st.caption(differing(form))
    return form.table


def _is_here(kind: str, name: str, problems: list[str]) -> bool:
    """Whether there is such a part; where there is none, a plugin's that is absent say, what helps is said."""
    try:
        catalogue.part(kind, name)
    except UserError as mistake:
        problems.append(str(mistake))
        st.error(str(mistake))
        return False
    return True


def differing(form: PartForm) -> str:
    """The values that are no defaults, in one line."""
    told = [f"{key} = {written(value)}" for key, value in form.table.items() if key != "name"]
    return ", ".join(told).replace("_", "\\_") or "all defaults"
