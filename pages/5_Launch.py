"""What shall be run next?"""

import app

app.guard()

import json  # noqa: E402
import os  # noqa: E402
import shlex  # noqa: E402
from typing import Any  # noqa: E402

import streamlit as st  # noqa: E402
from sqlalchemy import Engine  # noqa: E402

from backend import catalogue, plan, plugins, study  # noqa: E402
from backend.own_words import own_words  # noqa: E402
from backend.stage import UserError  # noqa: E402
from backend.submission import planned as plan_of  # noqa: E402
from backend.submission import stored_source, submitted  # noqa: E402
from db import reads as database  # noqa: E402
from db.actor import may  # noqa: E402
from db.session import require_database  # noqa: E402
from pages.components import reads  # noqa: E402
from pages.components.form import parsed, part_form, written  # noqa: E402
from pages.components.recipe_form import attacks_form, named, recipes_form  # noqa: E402
from pages.components.shown import flops, plain, seconds, size  # noqa: E402
from pages.components.signing_in import beyond, reader  # noqa: E402
from pages.components.study_about import studies_table  # noqa: E402
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
        st.warning(f"There is no run {clone} to clone, or it was imported and never run here.")
    shipped = sorted(catalogue.studies(), key=lambda name: (name != "quick", name))
    names = [*shipped, *(name for name in reads.studies()["name"] if name not in shipped), NEW]
    chosen = str(st.selectbox("Start from", names, key="study", bind="query-params"))
    if chosen != NEW:
        told = studies_table(reads.engine(), reads.studies())
        asks = told.set_index("Study").loc[chosen]
        st.caption(f"**{plain(asks['Asks'])}** Here: {asks['Here']}.")
        with st.expander("All studies and what they ask"):
            st.dataframe(told, hide_index=True, width="stretch", column_config={"Asks": st.column_config.TextColumn(width="large")})  # fmt: skip
    if chosen not in (*shipped, NEW):
        source = stored_source(reads.engine(), chosen)
        if source:
            return source
        st.warning(f"{chosen} was imported; there is no form to start from.")
        chosen = NEW
    if chosen == NEW:
        return {"name": "my-study", "setting": {"name": "arithmetic"}, "seeds": [0], "recipes": [{"suppress": {"name": "max_ent"}}], "attacks": [{"name": "relearn"}]}  # fmt: skip
    return study.load(chosen)


def clone_of(run_id: int) -> dict[str, Any] | None:
    """A study of the recipe that a run belongs to."""
    engine = reads.engine()
    run = database.run(engine, run_id) if engine else None
    if engine is None or run is None or run["origin"] == "imported":
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


def study_form(source: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """The study that the form describes; what is wrong is added to `problems`."""
    form = st.session_state["form"]
    columns = st.columns(3)
    made: dict[str, Any] = {
        "name": columns[0].text_input("Name", source["name"], key=f"{form}-name")
    }
    with columns[1]:
        made["seeds"] = seeds_field(source.get("seeds", [0]), f"{form}-seeds", problems)
    with columns[2]:
        precision = precision_field(source.get("precision", "fp32"), f"{form}-precision")
    asks = st.text_input("What it asks", source.get("question", ""), key=f"{form}-question", max_chars=study.LONGEST_QUESTION, help="one sentence for those who look at the results; it changes no run")  # fmt: skip
    made |= {"question": asks.strip()} if asks.strip() else {}
    made |= {"precision": precision} if precision != "fp32" else {}
    for key in ("oracles", "placebo", "lm_eval"):
        made |= {key: source[key]} if key in source else {}
    with st.expander("Setting"):
        given = named(source.get("setting", "arithmetic"))
        names = [part.name for part in catalogue.parts("settings")]
        names += [given["name"]] if given["name"] not in names else []
        name = st.selectbox(
            "Setting", names, index=names.index(given["name"]), key=f"{form}-setting"
        )
        setting = part_form("settings", str(name), given, f"{form}-setting", grid=False)
    for problem in setting.problems:
        st.error(problem)
    problems += setting.problems
    made["setting"] = setting.table
    made["recipes"] = recipes_form(source.get("recipes", []), form, problems)
    made["attacks"] = attacks_form(source.get("attacks", []), form, problems)
    chosen = metrics_field(source.get("metrics", []), f"{form}-metrics")
    made |= {"metrics": chosen} if chosen else {}
    return made


def metrics_field(given: Any, key: str) -> Any:
    """The metrics of every model beside the setting's own: their names, "all", or none."""
    parts = [p for p in catalogue.parts("metrics") if p.declared["level"] != "study"]
    names = [part.name for part in parts]
    every = st.checkbox(
        "Measure everything that a checkpoint can be asked for", given == "all", key=f"{key}-all"
    )
    if every:
        return "all"
    labels = {part.name: part.label for part in parts}
    names += [name for name in given if name not in names] if isinstance(given, list) else []
    return st.multiselect(
        "Metrics beside the setting's own",
        names,
        [name for name in given if name in names] if isinstance(given, list) else [],
        format_func=lambda name: labels.get(name, name),
        key=key,
    )


def precision_field(given: str, key: str) -> str:
    """In which precision every run of the study computes."""
    choices = study.PRECISIONS
    start = choices.index(given) if given in choices else 0
    told = (
        "fp32 everywhere; bf16 and fp16 multiply in half precision and keep the weights in fp32, for accelerators that"
        " are faster so; the pure ones keep the weights in half precision too, which loses small updates."
    )
    return str(st.selectbox("Precision", choices, start, help=told, key=key))


def seeds_field(seeds: list[int], key: str, problems: list[str]) -> list[Any]:
    """The seeds, with what is wrong below the field."""
    text = st.text_input("Seeds", written(seeds), key=key)
    try:
        listed = parsed(text, "Seeds", True)
    except UserError as mistake:
        st.error(str(mistake))
        problems.append(str(mistake))
        return []
    return listed if isinstance(listed, list) else [listed]


@st.cache_data(max_entries=40, ttl=60, show_spinner=False)
def planned(source: str, place: str, version: str, _engine: Engine | None) -> dict[str, Any]:
    """The plan of a study and its forecast: once for every form and state of the database, not on every keystroke."""
    resolved = study.resolve(json.loads(source), outline=True)
    return {
        "absent": "",
        **plan_of(resolved, _engine),
        "runs": len(resolved.runs),
        "configurations": [c["label"] for c in resolved.document["configurations"]],
    }


def preview(source: dict[str, Any]) -> None:
    """The plan, its cost, the equivalent command, and the button."""
    engine = reads.engine()
    version = "" if engine is None else database.finished_version(engine)
    place = "" if engine is None else str(engine.url)
    version = f"{version}/{plugins.state()}"
    told = planned(json.dumps(source, sort_keys=True), place, version, engine)
    new = told["new"]
    columns = st.columns(4)
    columns[0].metric(
        "New runs",
        f"{new} of {told['runs']}",
        help=f"{told['runs'] - new} exist already and are reused",
    )
    columns[1].metric("Time", seconds(told["seconds"]), help=f"forecast from {told['basis']}")
    columns[2].metric("FLOPs", flops(told["flops"]))
    columns[3].metric("Disk", size(told["disk_bytes"]), help=told["disk"]["says"])
    if told["disk"]["warning"]:
        st.warning(plain(told["disk"]["warning"]))
    name, absent = told["study"], told["absent"]
    if absent:
        st.warning(f"The plan and its cost are known; it can be queued once its data are here. {absent}")  # fmt: skip
    label = f"Queue {new} runs" if new else "Store the study"
    barred = {"disabled": True} if absent else beyond("runner")
    if st.button(label, type="primary", key="queue", **barred):
        submitted(study.resolve(source), require_database())
        st.session_state["queued"] = name
        st.rerun()
    as_file(source)
    with st.expander("Configurations"):
        st.dataframe(
            [{"configuration": label} for label in told["configurations"]],
            hide_index=True,
        )


def as_file(source: dict[str, Any]) -> None:
    """The study for the command line, or to hand to somebody."""
    with st.expander("The same as a file and a command"):
        text, name = toml_text(source), source["name"]
        st.code(text, language="toml")
        st.download_button(f"Download {name}.toml", text, f"{name}.toml", "application/toml")
        own = os.environ.get(plugins.ENVIRONMENT)
        first = f"export {plugins.ENVIRONMENT}={shlex.quote(own)}\n" if own else ""
        st.code(f"{first}python -m backend submit {name}.toml && python -m backend work", language="bash")  # fmt: skip


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
        problems: list[str] = []
        made = study_form(source, problems)
        if problems:
            st.warning("The plan and its cost show once what is marked above is corrected.")
        elif own := () if may("runner", reader()) else own_words(made, source):
            st.info(plain(f"Planning reads what a study names on this machine, so words of your own ({', '.join(own)}) take the role runner; hand the file to somebody who has it."))  # fmt: skip
            as_file(made)
        else:
            preview(made)
    except UserError as mistake:
        st.error(str(mistake))


page()
