"""Charts and frames as files, and a study's bundle: every plot drawn from the frame that the pages draw."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import vl_convert

from backend import bibliography, paper_tables, table_text
from backend.anchors import ANCHORS, competing
from backend.attack_frames import matrix
from backend.charts.attacks import matrix_chart
from backend.charts.captions import caption
from backend.charts.frontier import coloured, frontier_chart
from backend.charts.labels import labels_chart, series
from backend.charts.presets import DEFAULT, preset_of
from backend.charts.printing import Figure, plain, printed
from backend.charts.robustness import (
    WORST,
    compute_chart,
    dumbbell_chart,
    grid_chart,
    oracle_matching_chart,
    relearning_chart,
)
from backend.frontier import frame as frame_of
from backend.spreadsheets import csv
from backend.stage import UserError
from backend.tables import matching_frame

MANIFEST = "manifest.json"
PACKAGES = ("altair", "vl-convert-python", "moocore", "pandas", "numpy", "scipy", "statsmodels")
DOTS = 300  # an inch


def figure(chart: Any, preset: str = DEFAULT, greys: bool = False) -> Figure:
    """The chart (or its Vega-Lite specification) as a figure of a preset's size; UserError names the presets.

    The same chart is laid out once, however many kinds of files are made of it.
    """
    known = preset_of(preset)
    return _figure(json.dumps(plain(chart)), known.name, greys)


@lru_cache(maxsize=16)
def _figure(text: str, preset: str, greys: bool) -> Figure:
    return printed(json.loads(text), preset_of(preset), greys)


def specification(chart: Any, preset: str = DEFAULT, greys: bool = False) -> dict[str, Any]:
    """The Vega-Lite specification of the paper's copy of a chart, data included."""
    return figure(chart, preset, greys).specification


def vega(chart: Any, preset: str = DEFAULT, greys: bool = False) -> bytes:
    """The Vega-Lite JSON."""
    made = specification(chart, preset, greys)
    return json.dumps(made, indent=1, ensure_ascii=False).encode()


def png(chart: Any, preset: str = DEFAULT, greys: bool = False, dots: int = DOTS) -> bytes:
    """A bitmap at 300 dots per inch, or as many as are asked for."""
    return bytes(vl_convert.vegalite_to_png(specification(chart, preset, greys), ppi=dots))


def svg(chart: Any, preset: str = DEFAULT, greys: bool = False) -> bytes:
    """A vector picture with real text; where the reader lacks its font, Arial's letters are as wide."""
    return str(vl_convert.vegalite_to_svg(specification(chart, preset, greys))).encode()


def pdf(chart: Any, preset: str = DEFAULT, greys: bool = False) -> bytes:
    """One page of the figure's size with its fonts embedded."""
    return bytes(vl_convert.vegalite_to_pdf(specification(chart, preset, greys)))


def html(chart: Any, preset: str = DEFAULT, greys: bool = False) -> bytes:
    """A page of its own that needs no network."""
    made = specification(chart, preset, greys)
    return str(vl_convert.vegalite_to_html(made, bundle=True)).encode()


def records(frame: pd.DataFrame) -> bytes:
    """The frame as JSON, one object a row; what is unknown is null, and no digit is lost."""
    text = frame.to_json(orient="records", double_precision=15, force_ascii=False, indent=1)
    return str(text).encode()


def table_of(
    frame: pd.DataFrame, document: Mapping[str, Any] | None = None, reference: str | None = None
) -> paper_tables.Table:
    """The paper's table of a frontier document's configurations that the frame holds; without a document the frame's own."""
    if document is None:
        return table_text.of_frame(frame, "data")
    held = set(frame["configuration"]) if "configuration" in frame else set()
    rows = [
        row for row in document["rows"]
        if row["configuration"] in held or row["method"] in ANCHORS
    ]  # fmt: skip
    measured = [document["reference"][name] for name in ("metric_forget", "metric_retain")]
    chosen = [name for name in measured if any(name in row["metrics"] for row in rows)]
    return paper_tables.table({**document, "rows": rows}, chosen, reference)


def latex(frame: pd.DataFrame, document: Mapping[str, Any] | None = None) -> bytes:
    """A booktabs table: of the document's objectives with intervals and marks, or of the frame's columns."""
    return table_text.latex(table_of(frame, document)).encode()


def markdown(frame: pd.DataFrame, document: Mapping[str, Any] | None = None) -> bytes:
    """The same as a Markdown table, its notes below."""
    return table_text.markdown(table_of(frame, document)).encode()


def bibtex(words: Iterable[str]) -> bytes:
    """BibTeX of the parts of these names or labels; a comment where none of them follows a paper."""
    found = bibliography.bibtex(words)
    return (found or "% None of the parts shown follows a paper that is known here.\n").encode()


def checksums(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of every file by its name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def versions() -> dict[str, Any]:
    """The versions of Python and of the packages that a picture depends on."""
    return {
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }


def _along(curves: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The curves of every attack that has steps, and what its plots' names end in: nothing where it is the only one."""
    if curves.empty:
        return []
    several = curves.groupby("attack", sort=False)["step"].nunique()
    names = list(several[several > 1].index)
    ends = {name: "" if len(names) == 1 else f"_{name}" for name in names}
    return [(ends[name], curves[curves["attack"] == name]) for name in names]


def charts(document: Mapping[str, Any], curves: pd.DataFrame) -> dict[str, Any]:
    """The plots of a study by name, from the same frames as the pages."""
    frame = frame_of(document)
    metric = document["reference"]["forget_label"] or "metric"
    found: dict[str, Any] = {}
    if len(frame):
        found["frontier"] = frontier_chart(frame)
    if len(frame) and frame["robust_forget_quality"].notna().any():
        found["compute"] = compute_chart(frame)
        found["dumbbell"] = dumbbell_chart(frame[competing(frame)])
    if len(frame) and len(document["attacks"]) > 1:
        found["attacks"] = matrix_chart(matrix(document))
    if len(frame) and len(series(frame).dropna(subset=["robust_forget_quality"])):
        found["labels"] = labels_chart(frame)
    for name, mine in _along(curves):
        found[f"grid{name}"] = grid_chart(mine, metric)
        if (mine["cell"] == WORST).any():
            found[f"relearning{name}"] = relearning_chart(mine, metric)
    matched = matching_frame(document).dropna(subset=["kl", "after"])
    if len(matched):
        found["oracle_matching"] = oracle_matching_chart(matched)
    return found


WRITERS: dict[str, Any] = {"png": png, "svg": svg, "pdf": pdf, "html": html, "vl.json": vega}


def bundle(
    document: Mapping[str, Any],
    curves: pd.DataFrame,
    directory: Path,
    preset: str = DEFAULT,
    reference: str | None = None,
) -> list[Path]:
    """Write a study's data, plots, tables, references and manifest into a directory; the files' paths.

    Plots have the preset's size; the table tests against the configuration `reference`, without one the study's first.

    A new directory appears whole or not at all. In one that exists every file is replaced whole, the manifest last; an
    earlier bundle's files go, anybody else's stay.

    Raises:
        UserError: the directory cannot be written, a file of somebody else's has a name of the bundle's, or there is no
            such preset or reference
    """
    target = Path(directory)
    files = _files(document, curves, preset_of(preset).name, reference)
    made: Path | None = None
    try:
        _refuse_strangers(target, files)
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        for name, content in files.items():
            path = made / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made.chmod(0o755)
        _move(made, target, list(files))
    except OSError as problem:
        raise UserError(f"{target} cannot be written: {problem.strerror}.") from problem
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
    return sorted(target / name for name in files)


def _listed(target: Path) -> set[str]:
    """The files of an earlier bundle in a directory, as its manifest lists them."""
    try:
        files = json.loads((target / MANIFEST).read_bytes())["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    inside = {str(name) for name in files if not Path(name).is_absolute() and ".." not in name}
    return inside | {MANIFEST}


def _refuse_strangers(target: Path, files: Collection[str]) -> None:
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file; give a folder.")
    known = _listed(target)
    strangers = [name for name in files if (target / name).exists() and name not in known]
    if strangers:
        raise UserError(
            f"{target / strangers[0]} exists and is not of an earlier export; choose another folder."
        )


def _move(made: Path, target: Path, names: Sequence[str]) -> None:
    """Put the files in place; the manifest, by which a bundle is known, goes first and comes last."""
    if not target.exists():
        os.replace(made, target)
        return
    for name in sorted(_listed(target) - set(names)):
        (target / name).unlink(missing_ok=True)
    for name in (*(n for n in names if n != MANIFEST), MANIFEST):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        os.replace(made / name, target / name)


def _files(
    document: Mapping[str, Any], curves: pd.DataFrame, preset: str, reference: str | None
) -> dict[str, bytes]:
    """Every file of a bundle by its path in it, the manifest with the checksum of all others last."""
    frame = frame_of(document)
    table = table_of(frame, document, reference)
    table.caption = caption(frame)
    said = (caption(frame), coloured(frame).told(), table.notes[0])
    files = {
        "data/frontier.json": json.dumps(document, indent=1, ensure_ascii=False).encode(),
        "data/frontier.csv": csv(frame),
        "data/relearning.csv": csv(curves),
        "data/attacks.csv": csv(matrix(document)),
        "tables/frontier.tex": table_text.latex(table).encode(),
        "tables/frontier.md": table_text.markdown(table).encode(),
        "references.bib": bibtex(bibliography.of_document(document)),
        "caption.txt": f"{' '.join(word for word in said if word)}\n".encode(),
    }
    for name, chart in charts(document, curves).items():
        files |= {f"plots/{name}.{end}": write(chart, preset) for end, write in WRITERS.items()}
    told = ("study", "revision", "setting", "budget", "anchor", "attacks", "attack_grid_size")
    manifest = {
        **{key: document[key] for key in told},
        "preset": preset,
        **versions(),
        "files": checksums(files),
    }
    return files | {MANIFEST: json.dumps(manifest, indent=1, ensure_ascii=False).encode()}
