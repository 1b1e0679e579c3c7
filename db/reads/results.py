"""What runs left behind: measurements, values of items, answers, files, and what they cost."""

from collections.abc import Iterator, Mapping, Sequence
from operator import eq
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import Engine, and_, case, func, literal, select

from db.arrays import decode
from db.models import (
    MODEL_FILE,
    REMOVED_MODEL,
    Artifact,
    ItemValues,
    Measurement,
    Run,
    Sample,
    StudyRun,
)
from db.reads.frames import frame, numbers, value
from db.session import reader

VALUES = (Measurement.value, Measurement.standard_error, Measurement.items)


class Items(Mapping[tuple[int, int], np.ndarray]):
    """(run, step) → the value of every item; unpacked on access, because few of many are needed."""

    def __init__(self, data: dict[tuple[int, int], bytes]):
        self._data = data

    def __getitem__(self, key: tuple[int, int]) -> np.ndarray:
        return decode(self._data[key])

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


def measurements(
    engine: Engine,
    study_id: int | None = None,
    run_ids: Sequence[int] | None = None,
    stages: Sequence[str] | None = None,
    splits: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    category: str | None = "",
) -> pd.DataFrame:
    """Measurement rows of a study or of some runs, by run, metric, split, category, step.

    Columns: run, metric, split, category, step, value, standard_error, items. `category` is "" for
    the rows over all items; None gives the rows of all categories.
    """
    M = Measurement
    wanted = None if category is None else [category]
    filters = [
        column.in_(list(values))
        for column, values in ((M.split, splits), (M.metric, metrics), (M.category, wanted))
        if values is not None
    ]
    named = (M.metric, M.split, M.category)
    with reader(engine).connect() as c:
        query = _of_runs(select(*named).distinct(), M, study_id, run_ids, stages).where(*filters)
        names = sorted(tuple(row) for row in c.execute(query))
    # Names travel as numbers: a page that draws a large study reads hundreds of thousands of rows.
    numbered = [(and_(*map(eq, named, key)), code) for code, key in enumerate(names)]
    code = case(*numbered) if numbered else literal(0)
    columns = (M.run_id.label("run"), code.label("code"), M.step, *VALUES)
    query = _of_runs(select(*columns), M, study_id, run_ids, stages).where(*filters)
    return _named(numbers(engine, query), names)


def live_curves(engine: Engine, run_ids: Sequence[int], most: int = 1000) -> pd.DataFrame:
    """What tells how runs at work are doing, by run, metric, split, step; pages read it every other second.

    The training loss of a run; without two points of it, at most `most` rows of what it measured over all items at
    several steps (an attack). Columns: run, metric, split, step, value.
    """
    M = Measurement
    columns = (M.run_id.label("run"), M.metric, M.split, M.step, M.value)
    over_all = select(*columns).where(M.category == "").order_by(M.run_id, M.metric, M.split, M.step)  # fmt: skip
    is_loss = (M.metric == "loss", M.split == "train")
    found = [frame(engine, over_all.where(M.run_id.in_(list(run_ids)), *is_loss))]
    points = found[0]["run"].value_counts()
    for run_id in (one for one in run_ids if points.get(one, 0) < 2):
        # One by one: each is read along the key, and no further than the limit.
        others = over_all.where(M.run_id == run_id, M.metric != "loss", M.split != "train")
        rows = frame(engine, others.limit(most))
        found.append(rows[rows.groupby(["metric", "split"])["step"].transform("nunique") > 1])
    several = found[0]["run"].isin(points[points > 1].index)
    return pd.concat([found[0][several], *found[1:]], ignore_index=True)


def _named(found: dict[str, np.ndarray], names: list[tuple[str, ...]]) -> pd.DataFrame:
    order = np.lexsort((found["step"], found["code"], found["run"]))
    codes = found["code"][order].astype(int)
    columns: dict[str, Any] = {"run": found["run"][order].astype(int)}
    for position, name in enumerate(("metric", "split", "category")):
        texts = np.array([key[position] for key in names], dtype=object)
        columns[name] = pd.Series(texts[codes] if names else [], dtype="str")
    columns["step"] = found["step"][order].astype(int)
    columns |= {name: found[name][order] for name in ("value", "standard_error")}
    columns["items"] = pd.Series(found["items"][order]).astype("Int64")
    return pd.DataFrame(columns)


def _of_runs(
    query: Any,
    table: Any,
    study_id: int | None,
    run_ids: Sequence[int] | None,
    stages: Sequence[str] | None,
) -> Any:
    if study_id is not None:
        query = query.join(StudyRun, StudyRun.run_id == table.run_id)
        query = query.where(StudyRun.study_id == study_id)
    if run_ids is not None:
        query = query.where(table.run_id.in_([int(run_id) for run_id in run_ids]))
    if stages is not None:
        query = query.join(Run, Run.id == table.run_id).where(Run.stage.in_(list(stages)))
    return query


def item_values(
    engine: Engine,
    run_ids: Sequence[int] | None,
    metric: str,
    split: str,
    *,
    study_id: int | None = None,
    stages: Sequence[str] | None = None,
) -> Items:
    """(run, step) → float32 array of the metric's value for every item, of some runs or of a study."""
    query = select(ItemValues.run_id, ItemValues.step, ItemValues.data).where(
        ItemValues.metric == metric, ItemValues.split == split
    )
    with reader(engine).connect() as c:
        rows = c.execute(_of_runs(query, ItemValues, study_id, run_ids, stages))
        return Items({(row[0], row[1]): row[2] for row in rows})


def samples(engine: Engine, run_id: int | Sequence[int]) -> pd.DataFrame:
    """Questions and answers of a run, or of several: run, split, step, item, category, …, correct."""
    S = Sample
    key = (S.run_id.label("run"), S.split, S.step, S.item)
    ids = [run_id] if isinstance(run_id, int) else [int(one) for one in run_id]
    texts = (S.category, S.question, S.expected, S.answer, S.correct)
    return frame(
        engine,
        select(*key, *texts).where(S.run_id.in_(ids)).order_by(S.run_id, S.split, S.step, S.item),
    )


def artifacts(engine: Engine, run_id: int) -> pd.DataFrame:
    """A run's files: kind, path (in the data directory), bytes, sha256, created_at."""
    columns = (Artifact.kind, Artifact.path, Artifact.bytes, Artifact.sha256, Artifact.created_at)
    return frame(engine, select(*columns).where(Artifact.run_id == run_id))


def model_file(engine: Engine, run_id: int) -> dict[str, Any] | None:
    """A run's model: path (in the data directory), bytes, sha256, and whether it was `removed`; None where it has none."""
    columns = (Artifact.path, Artifact.bytes, Artifact.sha256, Artifact.kind)
    kinds = (MODEL_FILE, REMOVED_MODEL)
    query = select(*columns).where(Artifact.run_id == run_id, Artifact.kind.in_(kinds))
    with reader(engine).connect() as c:
        row = c.execute(query.order_by(Artifact.kind).limit(1)).mappings().one_or_none()
    return None if row is None else {**row, "removed": row["kind"] == REMOVED_MODEL}


def cost_history(engine: Engine) -> pd.DataFrame:
    """What finished runs took: stage, name, runs, flops, seconds (sums), seconds_per_flop."""
    seconds, flops = func.sum(Run.seconds), func.sum(Run.flops)
    found = frame(
        engine,
        select(
            Run.stage,
            Run.name,
            func.count().label("runs"),
            flops.label("flops"),
            seconds.label("seconds"),
        )
        .where(Run.state == "complete", Run.flops > 0, Run.seconds > 0, Run.origin == "run")
        .group_by(Run.stage, Run.name),
    )
    found["seconds_per_flop"] = found["seconds"].astype(float) / found["flops"].astype(float)
    return found


def finished_runs(engine: Engine, limit: int = 3000) -> pd.DataFrame:
    """Completed runs made here, the newest first: what they were, and what each took.

    Columns: id, stage, name, parameters, setting, precision, seed, parent, flops, seconds, steps, peak_memory,
    finished_at.
    """
    told = (Run.id, Run.stage, Run.name, Run.parameters, Run.setting, Run.precision, Run.seed)
    took = (Run.flops, Run.seconds, Run.steps, Run.peak_memory, Run.finished_at)
    return frame(
        engine,
        select(*told, Run.parent_id.label("parent"), *took)
        .where(Run.state == "complete", Run.origin == "run")
        .order_by(Run.finished_at.desc(), Run.id.desc())
        .limit(limit),
    )


def disk_used(engine: Engine) -> int:
    """Bytes of all files of runs."""
    here = select(func.sum(Artifact.bytes)).where(Artifact.kind != REMOVED_MODEL)
    return int(value(engine, here) or 0)
