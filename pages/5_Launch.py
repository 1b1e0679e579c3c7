"""What shall be run next?"""

import app

app.guard()

import json  # noqa: E402
from typing import Any  # noqa: E402

import streamlit as st  # noqa: E402

from backend import catalogue, plan, study  # noqa: E402
from backend.commands.queue import forecast_of  # noqa: E402
from backend.stage import UserError  # noqa: E402
from db import reads as database  # noqa: E402
from db import writes  # noqa: E402
from db.session import require_database  # noqa: E402
from pages.components import reads  # noqa: E402
from pages.components.form import parsed, part_form, written  # noqa: E402
from pages.components.shown import flops, seconds, size  # noqa: E402
from pages.components.toml_text import toml_text  # noqa: E402

NEW = "an empty form"


def starting_point() -> dict[str, Any]:
    """The study that the form starts from: a shipped one, the clone of a run, or nothing."""
    clone = st.query_params.get("clone", "")
    if clone.isdigit():
        cloned = clone_of(int(clone))
        if cloned:
            st.info(f"Cloned from run {clone}; change what you like.")
            return cloned
        st.warning(f"There is no run {clone} to clone.")
    names = [*catalogue.studies(), NEW]
    chosen = st.selectbox("Start from", names, key="study", bind="query-params")
    if chosen == NEW:
        return {"name": "my-study", "setting": {"name": "arithmetic"}, "seeds": [0], "recipes": [{"suppress": {"name": "max_ent"}}], "attacks": [{"name": "relearn"}]}  # fmt: skip
    return study.load(str(chosen))


def clone_of(run_id: int) -> dict[str, Any] | None:
    """A study of the recipe that a run belongs to."""
    engine = reads.engine()
    run = database.run(engine, run_id) if engine else None
    if engine is None or run is None:
        return None
    setting = {"name": run["setting"]["name"], **run["setting"]["parameters"]}
    source: dict[str, Any] = {"name": f"clone-of-run-{run_id}", "setting": setting, "seeds": [run["seed"]], "recipes": [], "attacks": attacks_of(run)}  # fmt: skip
    recipe: dict[str, Any] = {}
    while run is not None:
        if run["stage"] in study.RECIPE_STAGES:
            recipe[run["stage"]] = {"name": run["name"], **run["parameters"]}
        run = database.run(engine, run["parent"]["id"]) if run["parent"] else None
    if recipe:
        source["recipes"] = [
            {stage: recipe[stage] for stage in study.RECIPE_STAGES if stage in recipe}
        ]
    return source


def attacks_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The attacks of the first study that has the run."""
    engine = reads.engine()
    found = database.study(engine, run["studies"][0]) if engine and run["studies"] else None
    given = (found.document.get("source") or {}).get("attacks") if found else None
    return given or [{"name": "relearn", "learning_rate": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]}]


def named(value: Any) -> dict[str, Any]:
    """A part as a table, also where a bare name was given."""
    return {"name": value} if isinstance(value, str) else dict(value)


def recipe_form(position: int, recipe: dict[str, Any]) -> dict[str, Any]:
    """One recipe: for every stage a method or none."""
    found: dict[str, Any] = {}
    for stage in study.RECIPE_STAGES:
        methods = [m.name for m in catalogue.parts("methods") if m.declared["stage"] == stage]
        if not methods:
            continue
        given = named(recipe[stage]) if stage in recipe else {}
        options = ["none", *methods]
        index = options.index(given["name"]) if given.get("name") in options else 0
        key = f"{st.session_state.get('form', '')}-{position}-{stage}"
        name = st.selectbox(stage.capitalize(), options, index=index, key=key)
        if name != "none":
            with st.expander(f"Parameters of {name}", expanded=False):
                same = given if given.get("name") == name else {}
                found[stage] = part_form("methods", str(name), same, key)
            st.caption(differing(found[stage]))
    return found


def differing(table: dict[str, Any]) -> str:
    """The values that are no defaults, in one line."""
    told = [f"{key} = {written(value)}" for key, value in table.items() if key != "name"]
    return ", ".join(told).replace("_", "\\_") or "all defaults"


def recipes_form(source: dict[str, Any]) -> list[dict[str, Any]]:
    """All recipes, with a number of them to choose."""
    given = source.get("recipes", [])
    count = st.number_input("Recipes", 0, 20, len(given), key=f"{st.session_state['form']}-count")
    found = []
    for position in range(int(count)):
        with st.container(border=True):
            st.markdown(f"**Recipe {position + 1}**")
            recipe = recipe_form(position, given[position] if position < len(given) else {})
            if recipe:
                found.append(recipe)
    return found


def study_form(source: dict[str, Any]) -> dict[str, Any]:
    """The study that the form describes."""
    form = st.session_state["form"]
    columns = st.columns(2)
    made: dict[str, Any] = {
        "name": columns[0].text_input("Name", source["name"], key=f"{form}-name")
    }
    seeds = columns[1].text_input("Seeds", written(source.get("seeds", [0])), key=f"{form}-seeds")
    listed = parsed(seeds, "Seeds", True)
    made["seeds"] = listed if isinstance(listed, list) else [listed]
    for key in ("oracles", "placebo", "precision"):
        made |= {key: source[key]} if key in source else {}
    with st.expander("Setting"):
        given = named(source.get("setting", "arithmetic"))
        names = [part.name for part in catalogue.parts("settings")]
        name = st.selectbox(
            "Setting", names, index=names.index(given["name"]), key=f"{form}-setting"
        )
        made["setting"] = part_form("settings", str(name), given, f"{form}-setting", grid=False)
    made["recipes"] = recipes_form(source)
    with st.expander("Attacks"):
        made["attacks"] = [
            part_form("attacks", attack["name"], attack, f"{form}-attack-{position}")
            for position, attack in enumerate(source.get("attacks", []))
        ]
    return made


def preview(source: dict[str, Any]) -> None:
    """The plan, its cost, the equivalent command, and the button."""
    resolved = study.resolve(source)
    engine = reads.engine()
    known = set() if engine is None else database.existing(engine)
    new = sum(run.fingerprint not in known for run in resolved.runs)
    told = forecast_of(resolved, engine)
    columns = st.columns(4)
    columns[0].metric(
        "New runs",
        f"{new} of {len(resolved.runs)}",
        help=f"{len(resolved.runs) - new} exist already and are reused",
    )
    columns[1].metric("Time", seconds(told["seconds"]), help=f"forecast from {told['basis']}")
    columns[2].metric("FLOPs", flops(told["flops"]))
    columns[3].metric("Disk", size(told["disk_bytes"]))
    name = resolved.document["name"]
    if st.button(f"Queue {new} runs" if new else "Store the study", type="primary", key="queue"):
        writes.submit(
            require_database(),
            name=name,
            document=resolved.document,
            runs=plan.as_rows(resolved.runs),
        )
        st.session_state["queued"] = name
        st.rerun()
    with st.expander("The same as a file and a command"):
        st.code(toml_text(source), language="toml")
        st.code(f"python -m backend submit {name}.toml && python -m backend work", language="bash")
    with st.expander("Configurations"):
        st.dataframe(
            [{"configuration": c["label"]} for c in resolved.document["configurations"]],
            hide_index=True,
        )


def page() -> None:
    """Choose, change, see the cost, queue."""
    st.title("Launch")
    st.markdown("**What shall be run next?** A list, written with commas, is a grid.")
    if st.session_state.get("queued"):
        st.success(f"{st.session_state['queued']} is queued.")
        st.html('<a href="Jobs" target="_self">Watch it on Jobs</a>')
    try:
        source = starting_point()
        # Widgets of another starting point are other widgets: their keys carry a hash of it.
        st.session_state["form"] = plan.fingerprint({"source": json.dumps(source, sort_keys=True)})
        preview(study_form(source))
    except UserError as mistake:
        st.error(str(mistake))


page()
