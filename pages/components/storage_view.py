"""What the data directory holds, and what of it may go."""

import streamlit as st
from sqlalchemy import Engine

from backend import storage
from backend.charts.storage import storage_chart
from db.session import home, require_database
from pages.components.disk_view import disk_line
from pages.components.downloads import downloads
from pages.components.shown import size, whole
from pages.components.signing_in import beyond

CAREFUL = ("stopped",)  # reasons that cost something, so nobody chooses them unasked


def counted(files: int) -> str:
    """A number of files in words."""
    return f"{whole(files)} file{'s' if files != 1 else ''}"


def storage_view(engine: Engine) -> None:
    """Sums, bars with their table, the largest runs, what may go."""
    files = storage.survey(engine)
    kinds = storage.by_kind(files)
    st.subheader("What is kept")
    columns = st.columns(3)
    columns[0].metric("All files", size(kinds["bytes"].sum()))
    columns[1].metric("Files", whole(len(files)))
    columns[2].metric("May be removed", size(kinds["removable"].sum()))
    disk_line(engine)
    told = "; ".join(f"{row.label} {size(row.bytes)}" for row in kinds.itertuples() if row.files)
    st.altair_chart(storage_chart(kinds), alt=f"Bytes by kind: {told}")
    st.caption(f"Below the data directory `{home().name}`.")
    shown = kinds[kinds["files"] > 0]
    downloads(storage_chart(kinds), shown, "storage", table=False)
    table = shown.assign(bytes=shown["bytes"].map(size), removable=shown["removable"].map(size))
    st.dataframe(table[["label", "files", "bytes", "removable"]], hide_index=True, width="stretch", column_config={"label": "Kind", "files": "Files", "bytes": "Size", "removable": "May be removed"})  # fmt: skip
    _largest(files)
    _removal(engine, files)


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
        if st.checkbox(f"{row['why']} {counted(row['files'])}, {size(row['bytes'])}.", row["reason"] not in CAREFUL, key=f"gc {row['reason']}")
    ]  # fmt: skip
    would = storage.clean(engine, chosen, dry_run=True)
    st.markdown(f"**{counted(would.files)}, {size(would.bytes)}** would be removed. Nothing that a result rests on is among them.")  # fmt: skip
    with st.popover("Remove them", disabled=not would.files, icon=":material/delete:"):
        st.markdown("Removed files cannot be brought back.")
        if st.button("Remove now", key="gc", type="primary", **beyond("admin")):
            st.session_state["removed"] = storage.clean(require_database(), chosen)
            st.rerun()
