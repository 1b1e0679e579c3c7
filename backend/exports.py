"""Charts and frames as files, and a study's bundle: every plot drawn from the frame that the pages draw."""

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from backend.attack_frames import matrix
from backend.charts.attacks import matrix_chart
from backend.charts.frontier import caption, frontier_chart
from backend.charts.labels import labels_chart, series
from backend.charts.robustness import (
    WORST,
    compute_chart,
    dumbbell_chart,
    grid_chart,
    oracle_matching_chart,
    relearning_chart,
)
from backend.charts.theme import ANCHOR, GROUND, paper
from backend.frontier import frame as frame_of
from backend.stage import UserError

MANIFEST = "manifest.json"
PACKAGES = ("altair", "vl-convert-python", "moocore", "pandas", "numpy", "scipy")
TABLE = {
    "configuration": "Configuration",
    "robust_forget_quality": "Robust",
    "claimed_forget_quality": "Claimed",
    "utility": "Utility",
    "compute": "Compute",
}


def specification(chart: Any) -> dict[str, Any]:
    """The Vega-Lite specification of the paper's copy of a chart, data included.

    Paper is white: what a chart drew for a dark page takes its light colour.
    """
    with alt.data_transformers.disable_max_rows():
        text = json.dumps(paper(chart).to_dict())
    for colours in (GROUND, ANCHOR):
        text = text.replace(colours["dark"], colours["light"])
    found: dict[str, Any] = json.loads(text)
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
    """A booktabs table of the objectives, mean ± half the interval over seeds; its evidence in a comment above."""
    lines = [f"% {_evidence(frame)}", r"\begin{tabular}{lrrrr}", r"\toprule"]
    lines += [" & ".join(TABLE.values()) + r" \\", r"\midrule"]
    lines += [
        " & ".join(_cells(row, r"$\pm$", "---", _escaped)) + r" \\" for row in _records(frame)
    ]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""]).encode()


def markdown(frame: pd.DataFrame) -> bytes:
    """The same as a Markdown table, its evidence below."""
    lines = ["| " + " | ".join(TABLE.values()) + " |", "| --- " + "| ---: " * 4 + "|"]
    lines += ["| " + " | ".join(_cells(row, "±", "—", _barred)) + " |" for row in _records(frame)]
    return "\n".join([*lines, "", _evidence(frame), ""]).encode()


def _evidence(frame: pd.DataFrame) -> str:
    """What every number of a table rests on."""
    if frame.empty:
        return "No configuration has a number yet."
    row = frame.iloc[0]
    seeds = f"{row['seeds']} seed{'s' if row['seeds'] != 1 else ''}"
    spread = ", ± half of Student's 95 % interval over seeds" if row["seeds"] > 1 else ""
    return (
        f"Mean over {seeds}{spread}; worst case over {row['grid_size']} attack cells,"
        f" {row['budget']} steps; anchor: {row['anchor']}."
    )


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _cells(
    row: Mapping[str, Any], between: str, unknown: str, text: Callable[[str], str]
) -> list[str]:
    cells = [text(row["configuration"])]
    for name in list(TABLE)[1:]:
        mean, high = row[name], row.get(f"{name}_high")
        if mean is None or pd.isna(mean):
            cells.append(unknown)
            continue
        wide = high is not None and not pd.isna(high)
        cells.append(f"{mean:.3f} {between} {high - mean:.3f}" if wide else f"{mean:.3f}")
    return cells


LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "→": r"$\to$",
        "α": r"$\alpha$",
        "β": r"$\beta$",
        **{sign: f"\\{sign}" for sign in "_%&#${}"},
    }
)


def _escaped(text: str) -> str:
    return text.translate(LATEX)


def _barred(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


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
        found["dumbbell"] = dumbbell_chart(frame[~frame["method"].isin(["base", "oracle"])])
    if len(frame) and len(document["attacks"]) > 1:
        found["attacks"] = matrix_chart(matrix(document))
    if len(frame) and len(series(frame).dropna(subset=["robust_forget_quality"])):
        found["labels"] = labels_chart(frame)
    for name, mine in _along(curves):
        found[f"grid{name}"] = grid_chart(mine, metric)
        if (mine["cell"] == WORST).any():
            found[f"relearning{name}"] = relearning_chart(mine, metric)
    matched = pd.DataFrame(document.get("oracle_matching", []))
    matched = matched.dropna(subset=["kl", "after"]) if len(matched) else matched
    if len(matched):
        found["oracle_matching"] = oracle_matching_chart(matched)
    return found


WRITERS = {"png": png, "svg": svg, "pdf": pdf, "html": html, "vl.json": vega}


def bundle(document: Mapping[str, Any], curves: pd.DataFrame, directory: Path) -> list[Path]:
    """Write a study's data, plots, tables and manifest into a directory; the files' paths.

    A new directory appears whole or not at all. In one that exists every file is replaced whole, the manifest last; an
    earlier bundle's files go, anybody else's stay.

    Raises:
        UserError: the directory cannot be written, or a file of somebody else's has a name of the bundle's
    """
    target = Path(directory)
    files = _files(document, curves)
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


def _files(document: Mapping[str, Any], curves: pd.DataFrame) -> dict[str, bytes]:
    """Every file of a bundle by its path in it, the manifest with the checksum of all others last."""
    frame = frame_of(document)
    files = {
        "data/frontier.json": json.dumps(document, indent=1, ensure_ascii=False).encode(),
        "data/frontier.csv": csv(frame),
        "data/relearning.csv": csv(curves),
        "data/attacks.csv": csv(matrix(document)),
        "tables/frontier.tex": latex(frame),
        "tables/frontier.md": markdown(frame),
        "caption.txt": f"{caption(frame)} {_evidence(frame)}\n".encode(),
    }
    for name, chart in charts(document, curves).items():
        files |= {f"plots/{name}.{ending}": write(chart) for ending, write in WRITERS.items()}
    told = ("study", "revision", "setting", "budget", "anchor", "attacks", "attack_grid_size")
    manifest = {
        **{key: document[key] for key in told},
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return files | {MANIFEST: json.dumps(manifest, indent=1, ensure_ascii=False).encode()}
