"""Requests that come one after another: their data, their chain of runs, and what is refused."""

from typing import Any

import pytest

from backend import plan, results, study, worker
from backend.labels import observed, requested
from backend.stage import RunFailed, UserError
from db import writes
from db.session import require_database
from tests.small import small_task

SETTING = {"name": "arithmetic", "addends": 6, "factors": 6, "base_steps": 20, "batch_size": 32}
ATTACK = {"name": "relearn", "learning_rate": [1e-3], "steps": 5}


def rows(examples: Any) -> set[tuple[int, ...]]:
    return {tuple(row) for row in examples.input_ids.tolist()}


def resolved(**recipe: Any) -> Any:
    return study.resolve(
        {"name": "x", "setting": SETTING, "recipes": [recipe], "attacks": [ATTACK]}
    )


def test_requests_are_disjoint_parts_of_the_forget_set_by_family() -> None:
    task = small_task()
    parts = [requested(task, part, 3) for part in (1, 2, 3)]
    asked = [rows(part.train["forget"]) for part in parts]
    assert sum(map(len, asked)) == len(task.train["forget"])
    assert set.union(*asked) == rows(task.train["forget"])
    families = [set(part.train["forget"].families) for part in parts]
    assert not families[0] & families[1] and not families[1] & families[2]


def test_later_requests_are_still_kept_and_earlier_ones_are_gone() -> None:
    task = small_task()
    first, second, last = (requested(task, part, 3) for part in (1, 2, 3))
    kept = rows(task.train["retain"])
    assert rows(first.train["retain"]) == kept | rows(second.train["forget"]) | rows(last.train["forget"])  # fmt: skip
    assert rows(second.train["retain"]) == kept | rows(last.train["forget"])
    assert rows(last.train["retain"]) == kept
    few = requested(observed(task, 0.5), 1, 2)
    assert len(few.train["forget"]) < len(task.train["forget"]) / 2


def test_every_request_is_a_run_on_the_one_before() -> None:
    found = resolved(suppress={"name": "grad_diff", "steps": 4}, requests=[1, 3])
    chain = [run for run in found.runs if run.stage == "suppress"]
    assert [run.parameters.get("request") for run in chain] == [None, [1, 3], [2, 3], [3, 3]]
    assert [run.parent for run in chain[2:]] == [run.fingerprint for run in chain[1:-1]]
    labels = [c["label"] for c in found.document["configurations"]]
    assert labels[2:] == ["GradDiff (steps 4)", "GradDiff (steps 4, requests 3)"]


def test_a_study_with_requests_sums_the_cost_of_all_of_them() -> None:
    found = resolved(
        suppress={"name": "grad_diff", "steps": 4},
        robustify={"name": "repair", "steps": 3},
        requests=2,
    )
    engine = require_database()
    writes.submit(engine, name="asked", document=found.document, runs=plan.as_rows(found.runs))
    assert worker.work(engine, slots=1, until_idle=True)
    rows = {row["method"]: row for row in results.frontier_document(engine, "asked")["rows"]}
    assert rows["grad_diff"]["steps"] == 8
    assert rows["repair"]["steps"] == 11
    assert rows["grad_diff"]["cells_done"] == 1


@pytest.mark.parametrize(
    "recipe, sentence",
    [
        ({"suppress": "npo", "requests": 0}, "requests = 0"),
        ({"suppress": "npo", "requests": 1.5}, "requests = 1.5"),
        ({"suppress": "npo", "requests": []}, "empty grid"),
        ({"suppress": "npo", "label_fraction": []}, "empty grid"),
        ({"wrap": "uld", "requests": 2}, "wrap = o3"),
        ({"pretrain": "data_filtering", "requests": 2}, "takes them with suppress"),
        (
            {
                "suppress": "npo",
                "requests": 2,
                "search": {"trials": 2, "space": {"learning_rate": [1e-4, 1e-3]}},
            },
            "is not searched",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(recipe: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        resolved(**recipe)


def test_more_requests_than_families_are_one_sentence() -> None:
    with pytest.raises(RunFailed, match="21 families of forget items do not make 50 requests"):
        requested(small_task(), 1, 50)
