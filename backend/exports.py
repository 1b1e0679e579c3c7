"""Charts and frames as files, and a study's bundle: every plot drawn from the frame that the pages draw."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from backend.charts.frontier import caption, frontier_chart
from backend.charts.robustness import compute_chart, dumbbell_chart, relearning_chart
from backend.charts.theme import paper
from backend.frontier import frame as frame_of
from backend.stage import UserError

PACKAGES = ("altair", "vl-convert-python", "moocore", "pandas", "numpy", "scipy")
TABLE = {
    "configuration": "Configuration",
    "robust_forget_quality": "Robust",
    "claimed_forget_quality": "Claimed",
    "utility": "Utility",
    "compute": "Compute",
}


def specification(chart: Any) -> dict[str, Any]:
    """The Vega-Lite specification of the paper's copy of a chart, data included."""
    with alt.data_transformers.disable_max_rows():
        found: dict[str, Any] = paper(chart).to_dict()
    return found


def vega(chart: Any) -> bytes:
    """The Vega-Lite JSON."""
    return json.dumps(specification(chart), indent=1, ensure_ascii=False).encode()


def png(chart: Any) -> bytes:
    """A bitmap at 300 dots per inch."""
    return bytes(vl_convert.vegalite_to_png(specification(chart), ppi=300))


def svg(chart: Any) -> bytes:
    """A vector picture with real text; fonts are the reader's. For print take the PDF."""
    return str(vl_convert.vegalite_to_svg(specification(chart))).encode()


def pdf(chart: Any) -> bytes:
    """One page of the chart's size with its fonts embedded."""
    return bytes(vl_convert.vegalite_to_pdf(specification(chart)))


def html(chart: Any) -> bytes:
    """A page of its own that needs no network."""
    return str(vl_convert.vegalite_to_html(specification(chart), bundle=True)).encode()


def csv(frame: pd.DataFrame) -> bytes:
    """The frame, comma separated; what is unknown is empty."""
    return frame.to_csv(index=False).encode()


def latex(frame: pd.DataFrame) -> bytes:
    """A booktabs table of the objectives with half-widths of the intervals over seeds."""
    lines = [r"\begin{tabular}{lrrrr}", r"\toprule"]
    lines += [" & ".join(TABLE.values()) + r" \\", r"\midrule"]
    lines += [" & ".join(_cells(row, r"$\pm$", _escaped)) + r" \\" for row in _records(frame)]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""]).encode()


def markdown(frame: pd.DataFrame) -> bytes:
    """The same as a Markdown table."""
    lines = ["| " + " | ".join(TABLE.values()) + " |", "| --- " + "| ---: " * 4 + "|"]
    lines += ["| " + " | ".join(_cells(row, "±", str)) + " |" for row in _records(frame)]
    return ("\n".join(lines) + "\n").encode()


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _cells(row: Mapping[str, Any], between: str, text: Any) -> list[str]:
    cells = [text(row["configuration"])]
    for name in list(TABLE)[1:]:
        mean, high = row[name], row.get(f"{name}_high")
        shown = "—" if mean is None or pd.isna(mean) else f"{mean:.3f}"
        wide = shown != "—" and high is not None and not pd.isna(high)
        cells.append(f"{shown} {between} {high - mean:.3f}" if wide else shown)
    return cells


def _escaped(text: str) -> str:
    for plain, escaped in (
        ("_", r"\_"),
        ("%", r"\%"),
        ("&", r"\&"),
        ("→", r"$\to$"),
        ("α", r"$\alpha$"),
        ("β", r"$\beta$"),
    ):
        text = text.replace(plain, escaped)
    return text


def charts(document: Mapping[str, Any], curves: pd.DataFrame) -> dict[str, Any]:
    """The plots of a study by name, from the same frames as the pages."""
    frame = frame_of(document)
    found: dict[str, Any] = {}
    if len(frame):
        found["frontier"] = frontier_chart(frame)
        found["compute"] = compute_chart(frame)
        found["dumbbell"] = dumbbell_chart(frame)
    if len(curves):
        found["relearning"] = relearning_chart(curves)
    return found


WRITERS = {"png": png, "svg": svg, "pdf": pdf, "html": html, "vl.json": vega}


def bundle(document: Mapping[str, Any], curves: pd.DataFrame, directory: Path) -> list[Path]:
    """Write a study's data, plots, tables and manifest into a directory, whole or not at all; the files' paths.

    Raises:
        UserError: the directory exists and is not empty, or cannot be written
    """
    target = Path(directory)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists and is not an empty folder; choose another one.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as problem:
        raise UserError(f"{target} cannot be written: {problem.strerror}.") from problem
    try:
        _fill(made, document, curves)
        made.chmod(0o755)
        if target.exists():
            target.rmdir()
        os.replace(made, target)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return sorted(path for path in target.rglob("*") if path.is_file())


def _fill(folder: Path, document: Mapping[str, Any], curves: pd.DataFrame) -> None:
    frame = frame_of(document)
    files = {
        "data/frontier.json": json.dumps(document, indent=1, ensure_ascii=False).encode(),
        "data/frontier.csv": csv(frame),
        "data/relearning.csv": csv(curves),
        "tables/frontier.tex": latex(frame) if len(frame) else b"",
        "tables/frontier.md": markdown(frame) if len(frame) else b"",
        "caption.txt": f"{caption(frame)}\n".encode(),
    }
    for name, chart in charts(document, curves).items():
        files |= {f"plots/{name}.{ending}": write(chart) for ending, write in WRITERS.items()}
    manifest = {
        "study": document["study"],
        "revision": document["revision"],
        "setting": document["setting"],
        "budget": document["budget"],
        "anchor": document["anchor"],
        "attacks": document["attacks"],
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    files["manifest.json"] = json.dumps(manifest, indent=1).encode()
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
