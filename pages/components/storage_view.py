"""What the data directory holds, and what of it may go."""

import streamlit as st
from sqlalchemy import Engine

from backend import artifacts, placed, retention, storage
from backend.charts.storage import storage_chart
from backend.stage import RunFailed, UserError
from db.session import home, require_database
from pages.components.disk_view import disk_line
from pages.components.downloads import downloads
from pages.components.shown import plain, size, whole
from pages.components.signing_in import beyond

PATIENCE = 3.0  # seconds for the place for models to answer: a person waits


def counted(files: int) -> str:
    """A number of files in words."""
    return f"{whole(files)} file{'s' if files != 1 else ''}"


def storage_view(engine: Engine) -> None:
    """Sums, bars with their table, the largest runs, what may go."""
    files = storage.survey(engine, None, _dispensable(engine), _theirs(engine))
    kinds = storage.by_kind(files)
    st.subheader("What is kept")
    columns = st.columns(3)
    columns[0].metric("All files", size(kinds["bytes"].sum()))
    columns[1].metric("Files", whole(len(files)))
    columns[2].metric("May be removed", size(kinds["removable"].sum()))
    disk_line(engine)
    told = "; ".join(f"{row.label} {size(row.bytes)}" for row in kinds.itertuples() if row.files)
    st.altair_chart(storage_chart(kinds), alt=f"Bytes by kind: {told}")
    place = ", and at LETHE_ARTIFACTS" if artifacts.given() else ""
    st.caption(f"Below the data directory `{home().name}`{place}.")
    shown = kinds[kinds["files"] > 0]
    downloads(storage_chart(kinds), shown, "storage", table=False)
    table = shown.assign(bytes=shown["bytes"].map(size), removable=shown["removable"].map(size))
    st.dataframe(table[["label", "files", "bytes", "removable"]], hide_index=True, width="stretch", column_config={"label": "Kind", "files": "Files", "bytes": "Size", "removable": "May be removed"})  # fmt: skip
    _largest(files)
    _removal(engine, files)


def _dispensable(engine: Engine) -> set[int]:
    return _unneeded(str(engine.url), engine)


@st.cache_data(max_entries=4, ttl=60, show_spinner="Looking for models that nobody needs …")
def _unneeded(place: str, _engine: Engine) -> set[int]:
    return retention.dispensable(_engine)


def _theirs(engine: Engine) -> list[placed.Placed]:
    """What lies at the place for models; a sentence where it does not answer."""
    given = artifacts.given()
    if not given:
        return []
    try:
        return _placed(given, str(engine.url), engine)
    except (UserError, RunFailed, OSError) as problem:
        st.warning(plain(str(problem)))
        return []


@st.cache_data(max_entries=4, ttl=60, show_spinner="Looking at the place for models …")
def _placed(given: str, place: str, _engine: Engine) -> list[placed.Placed]:
    store = artifacts.artifacts(PATIENCE)
    return placed.files(_engine, store) if store else []


def _largest(files: list[storage.StoredFile]) -> None:
    runs = storage.by_run(files)
    if runs.empty:
        return
    st.subheader("Largest runs")
    links = [f"Runs?run={int(run)}" for run in runs["run"]]
    shown = runs.assign(bytes=runs["bytes"].map(size), open=links)
    st.dataframe(shown[["run", "state", "files", "bytes", "open"]], hide_index=True, width="stretch", column_config={"run": "Run", "state": "State", "files": "Files", "bytes": "Size", "open": st.column_config.LinkColumn("", display_text="open")})  # fmt: skip


def _removal(engine: Engine, files: list[storage.StoredFile]) -> None:
    """What may go, counted first; then the button."""
    st.subheader("What may go")
    found = storage.by_reason(files)
    removed = st.session_state.pop("removed", None)
    if removed is not None:
        st.success(f"{counted(removed.files)} removed, {size(removed.bytes)}.")
    if found.empty:
        st.caption("Nothing: every file belongs to a result, or was written a moment ago.")
        return
    chosen = [
        str(row["reason"])
        for row in found.to_dict("records")
        if st.checkbox(f"{row['why']} {counted(row['files'])}, {size(row['bytes'])}.", row["reason"] not in storage.CAREFUL, key=f"gc {row['reason']}")
    ]  # fmt: skip
    would = storage.going(files, chosen)
    lost = "Models among them would have to be trained again." if "dominated" in chosen else "Nothing that a result rests on is among them."  # fmt: skip
    st.markdown(f"**{counted(len(would))}, {size(sum(file.bytes for file in would))}** would be removed. {lost}")  # fmt: skip
    with st.popover("Remove them", icon=":material/delete:", **beyond("admin", disabled=not would)):  # fmt: skip
        st.markdown("Removed files cannot be brought back.")
        if st.button("Remove now", key="gc", type="primary", **beyond("admin")):
            try:
                st.session_state["removed"] = storage.clean(require_database(), chosen)
                _placed.clear()
                _unneeded.clear()
            except RunFailed as problem:
                st.error(plain(str(problem)))
                return
            st.rerun()
